//! An answer in events: `streamGenerateContent` to `chat.completion.chunk`.
//!
//! Events go in one at a time, without their framing; whole frames come out. Gemini's finish reason is held
//! back until [`finish`](Encoder::finish): some models repeat it on every event, and clients stop reading at
//! the first one. A stream that ends before every choice has a finish reason was cut
//! ([`is_finished`](Encoder::is_finished)); nothing here makes it look otherwise.

use super::piece::Piece;
use super::{Context, finish, from_gemini, grounding, logprobs, usage};
use crate::error::{Error, Kind};
use crate::gemini::response::{Candidate, GenerateContentResponse, Text};
use crate::json;
use crate::signatures::{CallIds, Issued};

/// OpenAI's bound on `n`, far above Gemini's own.
const MOST_CHOICES: usize = 128;

/// How much text is kept to place citations in. Longer answers keep those of their beginning.
const MOST_GROUNDED_TEXT: usize = 1 << 20;

/// How much of Gemini's grounding is kept until the end.
const MOST_GROUNDING: usize = 1 << 20;

/// Translates the events of one answer.
#[derive(Debug)]
pub struct Encoder {
    frames: Frames,
    ids: CallIds,
    choices: Vec<Choice>,
    /// The last `usageMetadata` that came, where the client wants to know.
    usage: String,
}

/// What all frames have in common.
#[derive(Debug)]
struct Frames {
    context: Context,
    /// `data: {"id":…,"object":…,"created":…,"model":…,"choices":[`
    opening: Vec<u8>,
    /// `]}` and the end of the event, with `"usage":null` where the client asked for usage.
    closing: &'static [u8],
}

/// How far a choice has come.
#[derive(Debug)]
struct Choice {
    index: u32,
    calls: u64,
    images: u64,
    speaks: bool,
    /// Whether anything but its role was sent.
    said: bool,
    ending: Option<Ending>,
    text: String,
    grounding: Vec<String>,
    /// Bytes in `grounding`.
    grounding_size: usize,
    /// The message's signature, a JSON string: clients join what comes more than once, so it comes at the end.
    signature: Option<String>,
}

/// Why Gemini ended. The usual reasons are held without an allocation.
#[derive(Debug)]
enum Ending {
    Stop,
    MaxTokens,
    Blocked(String),
    Other(String),
}

impl Encoder {
    /// Begins an answer.
    pub fn new(context: Context) -> Self {
        let mut opening = Vec::with_capacity(192);
        opening.extend_from_slice(br#"data: {"id":"#);
        json::string(&mut opening, &context.id);
        opening.extend_from_slice(br#","object":"chat.completion.chunk","created":"#);
        json::number(&mut opening, context.created);
        opening.extend_from_slice(br#","model":"#);
        json::string(&mut opening, &context.model);
        opening.extend_from_slice(br#","choices":["#);
        let closing: &[u8] = if context.include_usage { b"],\"usage\":null}\n\n" } else { b"]}\n\n" };
        let ids = context.call_ids();
        Self { frames: Frames { context, opening, closing }, ids, choices: Vec::new(), usage: String::new() }
    }

    /// Translates the JSON of one event, and appends the frames that it makes, often none or one.
    ///
    /// # Errors
    /// 502 where the event cannot be understood; the status that it names where it is an error. Nothing is
    /// appended then, and the stream is over.
    pub fn push(&mut self, event: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let response = GenerateContentResponse::read(event)?;
        let too_many = |index: u32| usize::try_from(index).map_or(true, |index| index >= MOST_CHOICES);
        if response.candidates.iter().any(|candidate| candidate.index.is_some_and(too_many)) {
            return Err(Error::new(Kind::BadGateway, "the upstream's answer has too many candidates"));
        }
        if let Some(usage) = response.usage_metadata
            && self.frames.context.include_usage
        {
            self.usage.clear();
            self.usage.push_str(usage.get());
        }
        out.reserve(event.len() + self.frames.opening.len() + 64);
        for candidate in response.candidates.iter() {
            let choice = open(&mut self.choices, &self.frames, candidate.index.unwrap_or(0), out);
            choice.push(candidate, &self.frames, &mut self.ids, out);
        }
        let blocked = response.prompt_feedback.and_then(|feedback| feedback.block_reason);
        if let Some(blocked) = blocked
            && response.candidates.is_empty()
        {
            if self.choices.is_empty() {
                open(&mut self.choices, &self.frames, 0, out);
            }
            for choice in self.choices.iter_mut().filter(|choice| choice.ending.is_none()) {
                choice.ending = Some(Ending::Blocked(blocked.decode().into_owned()));
            }
        }
        Ok(())
    }

    /// Ends the answer: finish reasons, usage where it was asked for, and `[DONE]`.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        for choice in &self.choices {
            choice.finish(&self.frames, out);
        }
        if self.frames.context.include_usage {
            out.extend_from_slice(&self.frames.opening);
            out.extend_from_slice(br#"],"usage":"#);
            usage::write(out, &self.usage);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// What has to be remembered of the calls since this was last asked.
    pub fn take_issued(&mut self) -> Vec<Issued> {
        self.ids.take()
    }

    /// Whether Gemini has said of every choice why it ended. If a stream ends before, it was cut: the client
    /// is told so, and [`finish`](Self::finish) is not called.
    pub fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.ending.is_some())
    }
}

/// The choice of this index; its first frame is sent with it.
fn open<'c>(choices: &'c mut Vec<Choice>, frames: &Frames, index: u32, out: &mut Vec<u8>) -> &'c mut Choice {
    let position = choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
        frames.open(out, index);
        out.extend_from_slice(br#""role":"assistant","content":"""#);
        frames.close(out);
        choices.push(Choice {
            index,
            calls: 0,
            images: 0,
            speaks: false,
            said: false,
            ending: None,
            text: String::new(),
            grounding: Vec::new(),
            grounding_size: 0,
            signature: None,
        });
        choices.len() - 1
    });
    &mut choices[position]
}

impl Choice {
    /// Translates what an event has of this choice: a frame for each piece.
    fn push(&mut self, candidate: &Candidate<'_>, frames: &Frames, ids: &mut CallIds, out: &mut Vec<u8>) {
        let context = &frames.context;
        let mut logprobs = candidate.logprobs_result;
        for part in candidate.content.iter().flat_map(|content| content.parts.iter()) {
            let Some(piece) = Piece::of(part) else { continue };
            if matches!(piece, Piece::Call { .. }) && context.takes_one_call() && self.calls > 0 {
                continue;
            }
            self.said = true;
            frames.open(out, self.index);
            match piece {
                Piece::Text(_) | Piece::Code { .. } | Piece::Output(_) => {
                    out.extend_from_slice(br#""content":""#);
                    let start = out.len();
                    piece.write_content(out);
                    if context.grounded {
                        self.remember(&out[start..]);
                    }
                    out.push(b'"');
                }
                Piece::Reasoning(text) => {
                    out.extend_from_slice(br#""reasoning_content":"#);
                    out.extend_from_slice(text.literal().as_bytes());
                }
                Piece::Call { call, signature } if context.legacy_call => {
                    out.extend_from_slice(br#""function_call":"#);
                    from_gemini::legacy_call(out, call, signature, ids, context);
                    self.calls += 1;
                }
                Piece::Call { call, signature } => {
                    out.extend_from_slice(br#""tool_calls":[{"index":"#);
                    json::number(out, self.calls);
                    out.push(b',');
                    let place = (self.index.into(), self.calls);
                    from_gemini::tool_call(out, call, signature, place, ids, context);
                    out.push(b']');
                    self.calls += 1;
                }
                Piece::Image(blob) => {
                    out.extend_from_slice(br#""images":["#);
                    from_gemini::image(out, blob, part.thought_signature, self.images);
                    out.push(b']');
                    self.images += 1;
                }
                Piece::Audio(blob) => {
                    let data = blob.data.map_or(r#""""#, Text::literal);
                    // Clients join what comes more than once, so the id comes once.
                    if self.speaks {
                        out.extend_from_slice(br#""audio":{"data":"#);
                    } else {
                        from_gemini::audio_opening(out, context);
                        out.extend_from_slice(br#","data":"#);
                    }
                    out.extend_from_slice(data.as_bytes());
                    out.push(b'}');
                    self.speaks = true;
                }
            }
            let logprobs = if piece.is_content() { logprobs.take() } else { None };
            if logprobs.is_some() {
                out.extend_from_slice(br#"},"logprobs":"#);
                logprobs::write(out, logprobs);
                frames.close_choice(out);
            } else {
                frames.close(out);
            }
        }
        if let Some(signature) = from_gemini::message_signature(candidate, context)
            && !(context.legacy_call && self.signature.is_some())
        {
            self.signature = Some(signature.literal().to_owned());
        }
        if let Some(metadata) = candidate.grounding_metadata
            && context.grounded
            && self.grounding_size + metadata.get().len() <= MOST_GROUNDING
        {
            self.grounding_size += metadata.get().len();
            self.grounding.push(metadata.get().to_owned());
        }
        if let Some(reason) = candidate.finish_reason {
            self.ending = Some(match reason.escaped() {
                "STOP" => Ending::Stop,
                "MAX_TOKENS" => Ending::MaxTokens,
                _ => Ending::Other(reason.decode().into_owned()),
            });
        }
    }

    /// Keeps text to place citations in.
    fn remember(&mut self, escaped: &[u8]) {
        let literal = [b"\"", escaped, b"\""].concat();
        if let Ok(text) = serde_json::from_slice::<String>(&literal)
            && self.text.len() + text.len() <= MOST_GROUNDED_TEXT
        {
            self.text.push_str(&text);
        }
    }

    /// The last frames of this choice. One without a finish reason gets none.
    fn finish(&self, frames: &Frames, out: &mut Vec<u8>) {
        let Some(ending) = &self.ending else { return };
        let (native, of_prompt) = match ending {
            Ending::Stop => ("STOP", false),
            Ending::MaxTokens => ("MAX_TOKENS", false),
            Ending::Other(native) => (native.as_str(), false),
            Ending::Blocked(native) => (native.as_str(), true),
        };
        let reason = match of_prompt {
            true => "content_filter",
            false => finish::reason(native, self.calls > 0, &frames.context),
        };
        let annotations = grounding::annotations(self.grounding.iter().map(String::as_str), &self.text);
        if let Some(annotations) = annotations {
            frames.open(out, self.index);
            out.extend_from_slice(br#""annotations":"#);
            out.extend_from_slice(annotations.as_bytes());
            frames.close(out);
        }
        if let Some(signature) = &self.signature {
            frames.open(out, self.index);
            from_gemini::extra_content(out, signature);
            frames.close(out);
        }
        if let Some(refusal) = finish::refusal(reason, native, of_prompt).filter(|_| !self.said) {
            frames.open(out, self.index);
            out.extend_from_slice(br#""refusal":"#);
            json::string(out, &refusal);
            frames.close(out);
        }
        frames.open(out, self.index);
        out.extend_from_slice(br#"},"finish_reason":""#);
        out.extend_from_slice(reason.as_bytes());
        out.push(b'"');
        if !finish::is_ordinary(native) {
            out.extend_from_slice(br#","native_finish_reason":"#);
            json::string(out, native);
        }
        out.push(b'}');
        out.extend_from_slice(frames.closing);
    }
}

impl Frames {
    /// Up to and with the brace that opens `delta`.
    fn open(&self, out: &mut Vec<u8>, index: u32) {
        out.extend_from_slice(&self.opening);
        out.extend_from_slice(br#"{"index":"#);
        json::number(out, index.into());
        out.extend_from_slice(br#","delta":{"#);
    }

    /// From the brace that closes `delta`.
    fn close(&self, out: &mut Vec<u8>) {
        out.push(b'}');
        self.close_choice(out);
    }

    /// From the finish reason, which a choice has only in its last frame.
    fn close_choice(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#","finish_reason":null}"#);
        out.extend_from_slice(self.closing);
    }
}
