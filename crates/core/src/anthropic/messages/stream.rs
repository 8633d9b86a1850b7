//! An answer in events: `streamGenerateContent` to `message_start`, blocks, `message_delta` and `message_stop`.
//!
//! Events go in one at a time, without their framing; whole frames come out. Why Gemini ended is held back until
//! [`finish`](Encoder::finish), as some models repeat it on every event. A stream that ends before it said so was
//! cut ([`is_finished`](Encoder::is_finished)); nothing here makes it look otherwise.

use serde_json::value::RawValue;

use super::blocks::Blocks;
use super::writer::Shape;
use super::{Context, from_gemini, usage};
use crate::error::Error;
use crate::gemini::model::Model;
use crate::gemini::response::GenerateContentResponse;
use crate::signatures::Issued;

/// Translates the events of one answer.
#[derive(Debug)]
pub struct Encoder {
    blocks: Blocks,
    begun: bool,
    /// The last `usageMetadata` that came.
    usage: String,
    ending: Option<Ending>,
}

/// Why Gemini ended.
#[derive(Debug)]
struct Ending {
    native: String,
    of_prompt: bool,
}

impl Encoder {
    /// Begins an answer of `model`, the upstream's.
    pub fn new(context: Context, model: &str) -> Self {
        let signs = Model::parse(model).signs_calls();
        let blocks = Blocks::new(context, Shape::Events, signs);
        Self { blocks, begun: false, usage: String::new(), ending: None }
    }

    /// Translates the JSON of one event, and appends the frames that it makes.
    ///
    /// # Errors
    /// 502 where the event cannot be understood; the status that it names where it is an error. Nothing is
    /// appended then, and the stream is over.
    pub fn push(&mut self, event: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let response = GenerateContentResponse::read(event)?;
        if let Some(usage) = response.usage_metadata {
            self.usage.clear();
            self.usage.push_str(usage.get());
        }
        if !self.begun {
            self.begun = true;
            self.begin(response.usage_metadata, out);
        }
        // Only one answer was asked for.
        for candidate in response.candidates.iter().filter(|candidate| candidate.index.unwrap_or(0) == 0) {
            self.blocks.push(candidate, out);
            if let Some(reason) = candidate.finish_reason {
                self.ending = Some(Ending { native: reason.decode().into_owned(), of_prompt: false });
            }
        }
        if let Some(blocked) = response.blocked()
            && self.ending.is_none()
        {
            self.ending = Some(Ending { native: blocked.decode().into_owned(), of_prompt: true });
        }
        Ok(())
    }

    /// Whether Gemini has said why it ended. If a stream ends before, it was cut: the client is told so, and
    /// [`finish`](Self::finish) is not called.
    pub fn is_finished(&self) -> bool {
        self.ending.is_some()
    }

    /// Ends the answer: the open block, why it ended, and its tokens.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.blocks.finish(out);
        let (native, of_prompt) =
            self.ending.as_ref().map_or(("", false), |ending| (ending.native.as_str(), ending.of_prompt));
        let reason = if of_prompt { "refusal" } else { self.blocks.stop_reason(native) };
        let details = (reason == "refusal").then(|| from_gemini::refusal(native, of_prompt));
        out.extend_from_slice(b"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{");
        from_gemini::stop(out, reason, details.as_deref());
        out.extend_from_slice(br#"},"usage":"#);
        usage::write(out, &self.usage, self.blocks.searches());
        out.extend_from_slice(b"}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }

    /// What has to be remembered of the answer since this was last asked.
    pub fn take_issued(&mut self) -> Vec<Issued> {
        self.blocks.take_issued()
    }

    fn begin(&self, metadata: Option<&RawValue>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":");
        from_gemini::head(out, self.blocks.context());
        out.extend_from_slice(br#","content":[],"stop_reason":null,"stop_sequence":null,"usage":"#);
        usage::write(out, metadata.map_or("null", RawValue::get), 0);
        out.extend_from_slice(b"}}\n\n");
    }
}
