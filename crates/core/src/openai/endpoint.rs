//! OpenAI's endpoints besides chats and responses: one closed set, and everything in which they differ is one `match`.
//!
//! Some of their requests take several of Gemini's ([`Request::parts`]): a hundred embeddings each, one image each, one
//! prompt each. Every part is answered for itself, with a [`Fragment`], and those make the whole answer.

use bytes::Bytes;

use super::audio::{speech, transcription};
use super::tokens::Tokens;
use super::{completions, embeddings, images};
use crate::config::AliasFor;
use crate::error::{Error, Kind};
use crate::gemini::finish::{Finish, finish};
use crate::gemini::remote::{Media, Written};
use crate::gemini::response::{Candidate, GenerateContentResponse, Text};

/// The endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/images/generations`
    ImageGeneration,
    /// `/v1/images/edits`
    ImageEdit,
    /// `/v1/audio/speech`
    Speech,
    /// `/v1/audio/transcriptions`
    Transcription,
    /// `/v1/audio/translations`
    Translation,
    /// `/v1/completions`
    Completion,
}

/// A request that was read.
#[derive(Debug)]
pub enum Request {
    /// Texts to vectors.
    Embeddings(embeddings::Request),
    /// A prompt, perhaps with images, to images.
    Images(images::Request),
    /// Text to sound.
    Speech(speech::Request),
    /// Sound to text.
    Transcription(transcription::Request),
    /// Text to text.
    Completion(completions::Request),
}

/// The answer to a part of a request: a stretch of the whole answer, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    pub(super) bytes: Vec<u8>,
    pub(super) tokens: Tokens,
}

/// What translates the events of one answer.
#[derive(Debug)]
pub enum Encoder {
    /// Sound.
    Speech(Box<speech::Encoder>),
    /// A transcript.
    Transcription(transcription::Encoder),
    /// A completion.
    Completion(completions::Encoder),
}

impl Endpoint {
    /// The endpoint of a path without its version.
    pub fn of_path(parts: &[&str]) -> Option<Self> {
        Some(match parts {
            ["embeddings"] => Self::Embeddings,
            ["images", "generations"] => Self::ImageGeneration,
            ["images", "edits"] => Self::ImageEdit,
            ["audio", "speech"] => Self::Speech,
            ["audio", "transcriptions"] => Self::Transcription,
            ["audio", "translations"] => Self::Translation,
            ["completions"] => Self::Completion,
            _ => return None,
        })
    }

    /// What the ids of its answers begin with.
    pub(crate) const fn id_prefix(self) -> &'static str {
        match self {
            Self::Completion => "cmpl-",
            _ => "",
        }
    }

    /// Reads a body. `id` and `created` (seconds since 1970) are the answer's.
    ///
    /// # Errors
    /// 400, with the field at fault as OpenAI names it.
    pub fn read(self, body: &Bytes, content_type: &str, id: String, created: u64) -> Result<Request, Error> {
        Ok(match self {
            Self::Embeddings => Request::Embeddings(embeddings::Request::parse(body)?),
            Self::ImageGeneration => Request::Images(images::Request::generation(body, created)?),
            Self::ImageEdit => Request::Images(images::Request::edit(body, content_type, created)?),
            Self::Speech => Request::Speech(speech::Request::parse(body)?),
            Self::Transcription | Self::Translation => {
                let translates = self == Self::Translation;
                Request::Transcription(transcription::Request::read(body, content_type, translates)?)
            }
            Self::Completion => Request::Completion(completions::Request::parse(body, id, created)?),
        })
    }
}

impl Request {
    /// The model, as the client names it.
    pub fn model(&self) -> &str {
        match self {
            Self::Embeddings(request) => &request.model,
            Self::Images(request) => &request.model,
            Self::Speech(request) => &request.model,
            Self::Transcription(request) => &request.model,
            Self::Completion(request) => &request.model,
        }
    }

    /// What the model is asked for.
    pub fn alias_for(&self) -> AliasFor {
        match self {
            Self::Embeddings(_) => AliasFor::Embed,
            Self::Images(_) => AliasFor::Image,
            Self::Speech(_) => AliasFor::Speech,
            Self::Transcription(_) => AliasFor::Transcribe,
            Self::Completion(_) => AliasFor::Chat,
        }
    }

    /// Whether another model may answer in the place of the one that was asked for. Vectors of different models cannot
    /// be compared, so that embeddings fail rather than come from another.
    pub fn takes_another_model(&self) -> bool {
        !matches!(self, Self::Embeddings(_))
    }

    /// Whether Gemini's answer has candidates.
    pub fn generates(&self) -> bool {
        !matches!(self, Self::Embeddings(_))
    }

    /// The method on the model.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Embeddings(_) => "batchEmbedContents",
            _ if self.streams() => "streamGenerateContent?alt=sse",
            _ => "generateContent",
        }
    }

    /// Whether Gemini is to answer in events.
    pub fn streams(&self) -> bool {
        match self {
            Self::Embeddings(_) | Self::Images(_) => false,
            Self::Speech(request) => request.streams(),
            Self::Transcription(request) => request.streams(),
            Self::Completion(request) => request.streams(),
        }
    }

    /// How many requests to Gemini it takes; at least one.
    pub fn parts(&self) -> usize {
        match self {
            Self::Embeddings(request) => request.batches(),
            Self::Images(request) => request.count(),
            Self::Speech(_) | Self::Transcription(_) => 1,
            Self::Completion(request) => request.choices(),
        }
    }

    /// A part for Gemini. `media` is what has been fetched for it.
    ///
    /// # Errors
    /// 400 for what cannot be said to Gemini.
    pub fn to_gemini(&self, model: &str, part: usize, media: &Media) -> Result<Written, Error> {
        Ok(match self {
            Self::Embeddings(request) => {
                Written { body: request.to_gemini(model, part), ..Written::default() }
            }
            Self::Images(request) => request.to_gemini(model)?.write(media),
            Self::Speech(request) => request.to_gemini().write(media),
            Self::Transcription(request) => request.to_gemini(model),
            Self::Completion(request) => request.to_gemini(model, part).write(media),
        })
    }

    /// What a part's whole answer says.
    ///
    /// # Errors
    /// 400 where Gemini would not answer, 502 where it has not answered what was asked.
    pub fn fragment(&self, answer: &[u8], part: usize) -> Result<Fragment, Error> {
        match self {
            Self::Embeddings(request) => request.entries(answer, part),
            Self::Images(request) => request.entry(answer),
            Self::Speech(request) => request.sound(answer),
            Self::Transcription(request) => request.transcript(answer),
            Self::Completion(request) => request.choice(answer, part),
        }
    }

    /// The client's answer, from those to all parts in order.
    pub fn answer(&self, parts: &[Fragment]) -> Bytes {
        match self {
            Self::Embeddings(request) => request.answer(parts),
            Self::Images(request) => request.answer(parts),
            Self::Speech(_) | Self::Transcription(_) => {
                parts.iter().flat_map(|part| part.bytes.iter().copied()).collect()
            }
            Self::Completion(request) => request.answer(parts),
        }
    }

    /// The media type of the answer, whether whole or in events.
    pub fn content_type(&self) -> &'static str {
        const JSON: &str = "application/json";
        const EVENTS: &str = "text/event-stream; charset=utf-8";
        match self {
            Self::Embeddings(_) => JSON,
            Self::Images(request) if request.stream => EVENTS,
            Self::Completion(request) if request.stream => EVENTS,
            Self::Images(_) | Self::Completion(_) => JSON,
            Self::Speech(request) => request.content_type(),
            Self::Transcription(request) if request.streams() => EVENTS,
            Self::Transcription(request) => request.content_type(),
        }
    }

    /// What the client is told where the first event that says anything says that nothing will come. Until then no
    /// answer has begun.
    pub fn refusal(&self, event: &[u8]) -> Option<Error> {
        match self {
            Self::Speech(_) | Self::Transcription(_) => blocked(&GenerateContentResponse::read(event).ok()?),
            // A completion says it with its finish reason.
            Self::Embeddings(_) | Self::Images(_) | Self::Completion(_) => None,
        }
    }

    /// What translates the answer's events; none where it does not come in events.
    pub fn encoder(&self) -> Option<Encoder> {
        match self {
            Self::Embeddings(_) | Self::Images(_) => None,
            Self::Speech(request) => Some(Encoder::Speech(Box::new(request.encoder()))),
            Self::Transcription(request) => Some(Encoder::Transcription(request.encoder())),
            Self::Completion(request) => Some(Encoder::Completion(request.encoder())),
        }
    }
}

impl Encoder {
    /// Translates the JSON of one event, and appends what it makes.
    ///
    /// # Errors
    /// The event cannot be understood. Nothing is appended then, and the stream is over.
    pub fn push(&mut self, event: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let event = GenerateContentResponse::read(event)?;
        match self {
            Self::Speech(encoder) => encoder.push(&event, out),
            Self::Transcription(encoder) => encoder.push(&event, out),
            Self::Completion(encoder) => {
                encoder.push(&event, out);
                Ok(())
            }
        }
    }

    /// Whether Gemini has said why it ended. If a stream ends before, it was cut.
    pub fn is_finished(&self) -> bool {
        match self {
            Self::Speech(encoder) => encoder.is_finished(),
            Self::Transcription(encoder) => encoder.is_finished(),
            Self::Completion(encoder) => encoder.is_finished(),
        }
    }

    /// Ends an answer that is complete.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Speech(encoder) => encoder.finish(out),
            Self::Transcription(encoder) => encoder.finish(out),
            Self::Completion(encoder) => encoder.finish(out),
        }
    }

    /// Whether an error can be said in the answer. In plain sound it cannot.
    pub fn can_say_errors(&self) -> bool {
        match self {
            Self::Speech(encoder) => encoder.is_of_events(),
            Self::Transcription(_) | Self::Completion(_) => true,
        }
    }
}

impl Fragment {
    /// All fragments with commas between them.
    pub(super) fn join(fragments: &[Self], out: &mut Vec<u8>) {
        for (number, fragment) in fragments.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&fragment.bytes);
        }
    }

    /// How many bytes it has.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// The texts of a candidate that are not thoughts.
pub(super) fn texts<'c, 'a>(candidate: &'c Candidate<'a>) -> impl Iterator<Item = Text<'a>> + use<'a, 'c> {
    let parts = candidate.content.iter().flat_map(|content| content.parts.iter());
    parts.filter(|part| part.thought != Some(true)).filter_map(|part| part.text)
}

/// What the client is told where Gemini's filters stand in the place of an answer; none where something was answered.
pub(super) fn blocked(answer: &GenerateContentResponse<'_>) -> Option<Error> {
    let blocked = |what: &str, why: Text<'_>| {
        let message = format!("Gemini blocked {what} ({}).", why.decode());
        Some(Error::new(Kind::Blocked, message))
    };
    if let Some(why) = answer.blocked() {
        return blocked("the prompt", why);
    }
    let mut reasons = answer.candidates.iter().filter_map(|candidate| {
        let says_nothing = candidate.content.as_ref().is_none_or(|content| content.parts.is_empty());
        candidate.finish_reason.filter(|_| says_nothing)
    });
    // That no image came of it is the model's fault, not the prompt's.
    let is_block = |why: &Text<'_>| finish(why.escaped()) == Finish::Blocked && why.escaped() != "NO_IMAGE";
    blocked("the answer", reasons.find(is_block)?)
}
