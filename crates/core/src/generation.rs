//! Generation in another dialect than Gemini's: a request translated for a model, and its answer translated back.
//!
//! The dialects are a closed set, and everything in which they differ is one `match` here. Each has a pure
//! translator of its own: the request to Gemini's, a whole answer, and an answer in events.

use std::borrow::Cow;

use bytes::Bytes;

use crate::anthropic::messages::{self, MessagesRequest};
use crate::error::{Dialect, Error};
use crate::gemini::remote::{Media, Remote, Written};
use crate::gemini::request::Known;
use crate::mark::RequestId;
use crate::openai::chat::{self, ChatRequest};
use crate::signatures::{Issued, Recalled};
use crate::time::Timestamp;

/// In which form a client asks for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// OpenAI's `/v1/chat/completions`.
    Chat,
    /// Anthropic's `/v1/messages`.
    Messages,
    /// Anthropic's `/v1/messages/count_tokens`: no answer, but what asking would cost.
    MessageTokens,
}

/// A request that was read, and what the translation of its answer has to know of it.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one a request, boxed with what it belongs to")]
pub(crate) enum Asked {
    Chat { request: ChatRequest, context: chat::Context },
    Messages { request: MessagesRequest, context: messages::Context },
    MessageTokens { request: MessagesRequest },
}

/// A request, translated for one model.
#[derive(Debug)]
pub(crate) struct Generation {
    asked: Asked,
    model: String,
    /// What the gateway knows beside it.
    known: Known,
    /// For Gemini.
    written: Written,
}

/// What translates the events of one answer.
#[derive(Debug)]
pub(crate) enum Encoder {
    Chat(chat::stream::Encoder),
    Messages(messages::stream::Encoder),
}

impl Form {
    /// The dialect of its errors.
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Chat => Dialect::OpenAi,
            Self::Messages | Self::MessageTokens => Dialect::Anthropic,
        }
    }

    /// What the ids of its answers begin with.
    fn id_prefix(self) -> &'static str {
        match self {
            Self::Chat => "chatcmpl-",
            Self::Messages | Self::MessageTokens => messages::ID_PREFIX,
        }
    }
}

impl Asked {
    /// Reads a body. `unique` makes the answer's id; `signatures_in_ids` says whether signatures go into the ids
    /// of calls.
    ///
    /// # Errors
    /// A body that is no request of this form.
    pub(crate) fn read(
        form: Form,
        body: &[u8],
        unique: &str,
        signatures_in_ids: bool,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let (id, created) = (format!("{}{unique}", form.id_prefix()), now.as_secs());
        match form {
            Form::Chat => {
                let request = ChatRequest::parse(body)?;
                let mut context = request.context(id, created);
                context.signatures_in_ids = signatures_in_ids;
                Ok(Self::Chat { request, context })
            }
            Form::Messages => {
                let request = MessagesRequest::parse(body)?;
                let mut context = request.context(id);
                context.signatures_in_ids = signatures_in_ids;
                Ok(Self::Messages { request, context })
            }
            Form::MessageTokens => {
                let mut request = MessagesRequest::parse(body)?;
                // A count comes whole, whatever the request that it is for asks.
                request.stream = false;
                Ok(Self::MessageTokens { request })
            }
        }
    }

    /// The model, as the client names it.
    pub(crate) fn model(&self) -> &str {
        match self {
            Self::Chat { request, .. } => &request.model,
            Self::Messages { request, .. } | Self::MessageTokens { request } => &request.model,
        }
    }

    /// The ids of the calls in the conversation, of which the gateway may know more.
    pub(crate) fn call_ids(&self) -> Vec<Cow<'_, str>> {
        match self {
            Self::Chat { request, .. } => request.call_ids().collect(),
            Self::Messages { request, .. } | Self::MessageTokens { request } => request.call_ids().collect(),
        }
    }

    /// Translates it for a model. `recalled` is what the gateway knows of its [calls](Self::call_ids).
    ///
    /// # Errors
    /// What cannot be said to Gemini.
    pub(crate) fn translated_for(self, model: String, recalled: Recalled) -> Result<Generation, Error> {
        let known = Known { recalled, ..Known::default() };
        let written = self.to_gemini(&model, &known)?;
        Ok(Generation { asked: self, model, known, written })
    }

    fn to_gemini(&self, model: &str, known: &Known) -> Result<Written, Error> {
        match self {
            Self::Chat { request, .. } => chat::to_gemini::request(request, model, known),
            Self::Messages { request, .. } => messages::to_gemini::request(request, model, known),
            Self::MessageTokens { request } => messages::to_gemini::count(request, model, known),
        }
    }
}

impl Generation {
    /// The model, as the client named it.
    pub(crate) fn asked_model(&self) -> &str {
        self.asked.model()
    }

    /// The upstream's model.
    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    /// The body for Gemini.
    pub(crate) fn body(&self) -> Bytes {
        self.written.body.clone()
    }

    /// So many calls of the conversation had lost their signatures.
    pub(crate) fn stand_ins(&self) -> u32 {
        self.written.stand_ins
    }

    /// In which form the client asked.
    pub(crate) fn form(&self) -> Form {
        match &self.asked {
            Asked::Chat { .. } => Form::Chat,
            Asked::Messages { .. } => Form::Messages,
            Asked::MessageTokens { .. } => Form::MessageTokens,
        }
    }

    /// Gemini's method, as it stands in a path.
    pub(crate) fn method(&self) -> &'static str {
        match &self.asked {
            Asked::MessageTokens { .. } => "countTokens",
            _ if self.streams() => "streamGenerateContent?alt=sse",
            _ => "generateContent",
        }
    }

    /// Whether Gemini's answer has candidates.
    pub(crate) fn generates(&self) -> bool {
        !matches!(self.asked, Asked::MessageTokens { .. })
    }

    /// Whether the answer is to come in events.
    pub(crate) fn streams(&self) -> bool {
        match &self.asked {
            Asked::Chat { request, .. } => request.stream,
            Asked::Messages { request, .. } => request.stream,
            Asked::MessageTokens { .. } => false,
        }
    }

    /// Translates the request anew, for another model.
    ///
    /// # Errors
    /// The request cannot be put to that model.
    pub(crate) fn turn_to(&mut self, model: String) -> Result<(), Error> {
        self.written = self.asked.to_gemini(&model, &self.known)?;
        self.model = model;
        Ok(())
    }

    /// The media that it names by address and that have not been fetched.
    pub(crate) fn remote(&self) -> &[Remote] {
        &self.written.remote
    }

    /// Puts what was fetched in the place of its addresses.
    ///
    /// # Errors
    /// The request cannot be put to its model.
    pub(crate) fn place(&mut self, media: Media) -> Result<(), Error> {
        self.known.media = media;
        self.written = self.asked.to_gemini(&self.model, &self.known)?;
        Ok(())
    }

    /// The client's answer from a whole one of Gemini, and what has to be remembered of its calls.
    ///
    /// # Errors
    /// Gemini's answer cannot be translated.
    pub(crate) fn answer(&self, body: &[u8]) -> Result<(Bytes, Vec<Issued>), Error> {
        match &self.asked {
            Asked::Chat { context, .. } => chat::from_gemini::answer(body, context),
            Asked::Messages { context, .. } => messages::from_gemini::answer(body, context),
            Asked::MessageTokens { .. } => Ok((messages::from_gemini::count(body)?, Vec::new())),
        }
    }

    /// What translates the answer's events; none where there are no events.
    pub(crate) fn encoder(&self) -> Option<Encoder> {
        match &self.asked {
            Asked::Chat { context, .. } => Some(Encoder::Chat(chat::stream::Encoder::new(context.clone()))),
            Asked::Messages { context, .. } => {
                let encoder = messages::stream::Encoder::new(context.clone(), &self.model);
                Some(Encoder::Messages(encoder))
            }
            Asked::MessageTokens { .. } => None,
        }
    }
}

impl Encoder {
    /// Translates the JSON of one event, and appends the frames that it makes, often none or one.
    ///
    /// # Errors
    /// The event cannot be understood, or is an error. Nothing is appended then, and the stream is over.
    pub(crate) fn push(&mut self, event: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Chat(encoder) => encoder.push(event, out),
            Self::Messages(encoder) => encoder.push(event, out),
        }
    }

    /// What has to be remembered of the calls since this was last asked.
    pub(crate) fn take_issued(&mut self) -> Vec<Issued> {
        match self {
            Self::Chat(encoder) => encoder.take_issued(),
            Self::Messages(encoder) => encoder.take_issued(),
        }
    }

    /// Whether Gemini has said why it ended. If a stream ends before, it was cut.
    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Self::Chat(encoder) => encoder.is_finished(),
            Self::Messages(encoder) => encoder.is_finished(),
        }
    }

    /// Ends an answer that is complete.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Chat(encoder) => encoder.finish(out),
            Self::Messages(encoder) => encoder.finish(out),
        }
    }

    /// Ends an answer that broke off.
    pub(crate) fn fail(&mut self, error: &Error, request: RequestId, out: &mut Vec<u8>) {
        match self {
            Self::Chat(_) => out.extend_from_slice(&error.event(Dialect::OpenAi, None)),
            Self::Messages(_) => out.extend_from_slice(&error.event(Dialect::Anthropic, Some(request))),
        }
    }
}
