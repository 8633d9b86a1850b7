//! An answer in events: `streamGenerateContent` to `response.…` events.
//!
//! Events go in one at a time, without their framing; whole frames come out, each with its number. Gemini's finish
//! reason is held back until [`finish`](Encoder::finish), as some models repeat it on every event. A stream that
//! ends before one has come was cut ([`is_finished`](Encoder::is_finished)): then [`fail`](Encoder::fail) says so.

use bytes::Bytes;

use super::Context;
use super::events::Events;
use super::output::Output;
use crate::error::Error;
use crate::gemini::response::GenerateContentResponse;
use crate::signatures::Issued;

/// Translates the events of one answer.
#[derive(Debug)]
pub struct Encoder {
    context: Context,
    output: Output,
    answer: Option<Bytes>,
}

impl Encoder {
    /// For an answer to the request that the context is of.
    pub fn new(context: Context) -> Self {
        let output = Output::new(&context, Events::numbered());
        Self { context, output, answer: None }
    }

    /// Translates the JSON of one event, and appends the frames that it makes.
    ///
    /// # Errors
    /// 502 where the event cannot be understood; the status that it names where it is an error. Nothing is
    /// appended then, and the stream is over.
    pub fn push(&mut self, event: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.output.push(&GenerateContentResponse::read(event)?, event.len(), &self.context, out)
    }

    /// Whether Gemini has said why it ended. If a stream ends before, it was cut.
    pub fn is_finished(&self) -> bool {
        self.output.is_finished()
    }

    /// Ends an answer that is complete.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.answer = Some(self.output.finish(&self.context, out).into());
    }

    /// Ends an answer that broke off.
    pub fn fail(&mut self, error: &Error, out: &mut Vec<u8>) {
        self.output.fail(error, &self.context, out);
    }

    /// What has to be remembered of the calls since this was last asked.
    pub fn take_issued(&mut self) -> Vec<Issued> {
        self.output.take_issued()
    }

    /// The whole answer, once it has been finished.
    pub fn take_answer(&mut self) -> Option<Bytes> {
        self.answer.take()
    }
}
