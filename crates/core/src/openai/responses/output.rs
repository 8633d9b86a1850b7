//! The output of an answer, item by item: what Gemini sends becomes items, and each of them a sequence of events.
//!
//! One item is open at a time, so that the items of a stream follow one another, and what is sent as finished is
//! what stands in the answer at last. A whole answer is the same with nobody listening to the events.

use serde_json::value::RawValue;

use super::carrier::{self, Signed};
use super::context::Context;
use super::events::Events;
use super::search::Search;
use super::write::{self, Called, Status, escaped, field, number, string};
use super::{ids, usage};
use crate::error::{Error, Kind};
use crate::gemini::finish::{Finish, finish};
use crate::gemini::piece::Piece;
use crate::gemini::response::{Blob, Candidate, FunctionCall, GenerateContentResponse, Text};
use crate::json;
use crate::openai::chat::finish::{blocked, is_ordinary};
use crate::openai::chat::from_gemini::plain_input;
use crate::openai::chat::logprobs;
use crate::signatures::{CallIds, Issued};

/// How much of an answer is kept, as it has to be repeated at its end. Some pictures have room.
const LARGEST: usize = 64 << 20;

/// What an answer has become so far.
#[derive(Debug)]
pub(super) struct Output {
    events: Events,
    ids: CallIds,
    begun: bool,
    /// The finished items, parted by commas, and how many they are.
    items: Vec<u8>,
    count: usize,
    open: Open,
    calls: u64,
    /// Whether anything but reasoning was said.
    said: bool,
    search: Search,
    usage: String,
    ending: Option<Ending>,
}

/// The item that is not finished yet.
#[derive(Debug, Default)]
enum Open {
    #[default]
    Nothing,
    Reasoning {
        text: Vec<u8>,
    },
    Message {
        text: Vec<u8>,
        logprobs: Vec<u8>,
        signature: Option<TextSignature>,
    },
    Code {
        code: Vec<u8>,
    },
}

/// The signature of a text.
#[derive(Debug)]
struct TextSignature {
    /// A JSON string.
    literal: String,
    /// Whether the reasoning before the text has it.
    is_sealed: bool,
}

/// Why Gemini ended it.
#[derive(Debug)]
struct Ending {
    native: String,
    of_prompt: bool,
}

/// What became of an answer.
enum Outcome {
    Completed,
    Incomplete(&'static str),
    Failed { code: &'static str, message: String },
}

impl Output {
    pub(super) fn new(context: &Context, events: Events) -> Self {
        Self {
            events,
            ids: CallIds::new("call_", ids::unique(&context.id), context.signatures_in_ids),
            begun: false,
            items: Vec::new(),
            count: 0,
            open: Open::Nothing,
            calls: 0,
            said: false,
            search: Search::default(),
            usage: String::new(),
            ending: None,
        }
    }

    /// Takes in an answer, or a piece of it.
    ///
    /// # Errors
    /// The answer has grown beyond bounds. Nothing is written then.
    pub(super) fn push(
        &mut self,
        response: &GenerateContentResponse<'_>,
        size: usize,
        context: &Context,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if self.items.len() + self.open.size() + size > LARGEST {
            return Err(Error::new(
                Kind::BadGateway,
                "the upstream's answer is too large to be repeated at its end",
            ));
        }
        self.begin(context, out);
        if let Some(usage) = response.usage_metadata {
            self.usage.clear();
            self.usage.push_str(usage.get());
        }
        // There is one answer here, and Gemini is asked for one.
        for candidate in response.candidates.iter().filter(|candidate| candidate.index.unwrap_or(0) == 0) {
            self.candidate(candidate, context, out);
        }
        if let (Some(native), None) = (response.blocked(), &self.ending) {
            self.ending = Some(Ending { native: native.decode().into_owned(), of_prompt: true });
        }
        Ok(())
    }

    /// Whether Gemini has said why it ended.
    pub(super) fn is_finished(&self) -> bool {
        self.ending.is_some()
    }

    /// What has to be remembered of the calls since this was last asked.
    pub(super) fn take_issued(&mut self) -> Vec<Issued> {
        self.ids.take()
    }

    /// Ends an answer that is complete, and returns it.
    pub(super) fn finish(&mut self, context: &Context, out: &mut Vec<u8>) -> Vec<u8> {
        self.begin(context, out);
        let Ending { native, of_prompt } =
            self.ending.take().unwrap_or(Ending { native: String::new(), of_prompt: false });
        let outcome = self.outcome(&native, of_prompt);
        if let (Outcome::Incomplete("content_filter"), false) = (&outcome, self.said) {
            self.refuse(&blocked(&native, of_prompt), context, out);
        }
        let cut = !matches!(outcome, Outcome::Completed);
        self.close(if cut { Status::Incomplete } else { Status::Completed }, context, out);
        self.search(context, out);
        let (name, response) = match &outcome {
            Outcome::Completed => ("response.completed", self.response(context, &outcome)),
            Outcome::Incomplete(_) => ("response.incomplete", self.response(context, &outcome)),
            Outcome::Failed { .. } => ("response.failed", self.response(context, &outcome)),
        };
        self.lifecycle(name, &response, out);
        response
    }

    /// Ends an answer that broke off. What was begun stays as it is.
    pub(super) fn fail(&mut self, error: &Error, context: &Context, out: &mut Vec<u8>) {
        self.begin(context, out);
        let code = match error.kind {
            Kind::RateLimited => "rate_limit_exceeded",
            Kind::BadRequest => "invalid_prompt",
            _ => "server_error",
        };
        let response = self.response(context, &Outcome::Failed { code, message: error.message.clone() });
        self.lifecycle("response.failed", &response, out);
    }

    fn outcome(&self, native: &str, of_prompt: bool) -> Outcome {
        let class = if of_prompt { Finish::Blocked } else { finish(native) };
        // The model has done something that is no answer; who goes on as if it had would lose it.
        let is_slip = native.starts_with("MALFORMED")
            || matches!(native, "UNEXPECTED_TOOL_CALL" | "TOO_MANY_TOOL_CALLS" | "MISSING_THOUGHT_SIGNATURE")
            || !is_ordinary(native) && !self.said;
        match class {
            Finish::Length => Outcome::Incomplete("max_output_tokens"),
            Finish::Blocked => Outcome::Incomplete("content_filter"),
            Finish::Stop if is_slip => {
                let message = format!("Gemini ended without an answer ({native}). Try again.");
                Outcome::Failed { code: "server_error", message }
            }
            Finish::Stop => Outcome::Completed,
        }
    }

    fn begin(&mut self, context: &Context, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let mut response = context.opening.clone();
        response.extend_from_slice(
            br#","status":"in_progress","error":null,"incomplete_details":null,"output":[],"usage":null}"#,
        );
        self.lifecycle("response.created", &response, out);
        self.lifecycle("response.in_progress", &response, out);
    }

    fn lifecycle(&mut self, name: &str, response: &[u8], out: &mut Vec<u8>) {
        self.events.say(out, name, |out| {
            field(out, "response");
            out.extend_from_slice(response);
        });
    }

    /// The answer as it is now.
    fn response(&self, context: &Context, outcome: &Outcome) -> Vec<u8> {
        let mut out = Vec::with_capacity(context.opening.len() + self.items.len() + 512);
        out.extend_from_slice(&context.opening);
        let status = match outcome {
            Outcome::Completed => "completed",
            Outcome::Incomplete(_) => "incomplete",
            Outcome::Failed { .. } => "failed",
        };
        string(&mut out, "status", status);
        field(&mut out, "error");
        match outcome {
            Outcome::Failed { code, message } => {
                out.extend_from_slice(br#"{"code":"#);
                json::string(&mut out, code);
                string(&mut out, "message", message);
                out.push(b'}');
            }
            Outcome::Completed | Outcome::Incomplete(_) => out.extend_from_slice(b"null"),
        }
        field(&mut out, "incomplete_details");
        match outcome {
            Outcome::Incomplete(reason) => {
                out.extend_from_slice(br#"{"reason":"#);
                json::string(&mut out, reason);
                out.push(b'}');
            }
            Outcome::Completed | Outcome::Failed { .. } => out.extend_from_slice(b"null"),
        }
        field(&mut out, "output");
        out.push(b'[');
        out.extend_from_slice(&self.items);
        out.push(b']');
        field(&mut out, "usage");
        usage::write(&mut out, &self.usage);
        out.push(b'}');
        out
    }

    fn candidate(&mut self, candidate: &Candidate<'_>, context: &Context, out: &mut Vec<u8>) {
        if let Some(metadata) = candidate.grounding_metadata {
            self.search.learn(metadata);
        }
        let mut logprobs = candidate.logprobs_result;
        for part in candidate.content.iter().flat_map(|content| content.parts.iter()) {
            let signature = part.thought_signature.filter(|signature| !signature.is_empty());
            match Piece::of(part) {
                None => {
                    // An empty text is where the signature of the one before may stand.
                    if let (Open::Message { signature: of_text, .. }, Some(signature)) =
                        (&mut self.open, signature)
                    {
                        *of_text = Some(TextSignature::new(signature, false));
                    }
                }
                Some(Piece::Reasoning(text)) => self.reasoning(text, context, out),
                Some(Piece::Text(text)) => self.text(text, signature, logprobs.take(), context, out),
                Some(Piece::Call { call, .. }) => self.call(call, signature, context, out),
                Some(Piece::Code { code, .. }) => self.code(code, context, out),
                Some(Piece::Output(output)) => self.code_output(output, context, out),
                Some(Piece::Image(blob)) => self.picture(blob, signature, context, out),
                // There is no item for sound, and nobody can ask for it.
                Some(Piece::Audio(_)) => {}
            }
        }
        if let Some(reason) = candidate.finish_reason {
            self.ending = Some(Ending { native: reason.decode().into_owned(), of_prompt: false });
        }
    }

    /// The id of the item that is open, or will be next.
    fn id(&self, kind: &str, context: &Context) -> String {
        ids::of_output(kind, &context.id, self.count)
    }

    fn reasoning(&mut self, piece: Text<'_>, context: &Context, out: &mut Vec<u8>) {
        if !matches!(self.open, Open::Reasoning { .. }) {
            self.close(Status::Completed, context, out);
            let id = self.id("rs", context);
            self.added(out, |out| write::reasoning(out, &id, Status::InProgress, b"", None));
            self.of_summary(out, "response.reasoning_summary_part.added", &id, |out| {
                field(out, "part");
                write::summary(out, b"");
            });
            self.open = Open::Reasoning { text: Vec::new() };
        }
        let id = self.id("rs", context);
        let piece = piece.escaped().as_bytes();
        self.of_summary(out, "response.reasoning_summary_text.delta", &id, |out| {
            escaped(out, "delta", piece)
        });
        if let Open::Reasoning { text } = &mut self.open {
            text.extend_from_slice(piece);
        }
    }

    /// Closes the reasoning that leads to what comes next, and seals a signature in it. Where there was none, an
    /// item without words carries it.
    fn seal(&mut self, signed: Signed<'_>, signature: Text<'_>, context: &Context, out: &mut Vec<u8>) {
        let sealed = carrier::seal(signed, &signature.decode());
        match std::mem::take(&mut self.open) {
            Open::Reasoning { text } => {
                self.close_reasoning(&text, Status::Completed, Some(&sealed), context, out)
            }
            other => {
                self.open = other;
                self.close(Status::Completed, context, out);
                let id = self.id("rs", context);
                self.added(out, |out| write::reasoning(out, &id, Status::InProgress, b"", None));
                self.done(out, |out| write::reasoning(out, &id, Status::Completed, b"", Some(&sealed)));
            }
        }
    }

    fn close_reasoning(
        &mut self,
        text: &[u8],
        status: Status,
        sealed: Option<&str>,
        context: &Context,
        out: &mut Vec<u8>,
    ) {
        let id = self.id("rs", context);
        self.of_summary(out, "response.reasoning_summary_text.done", &id, |out| escaped(out, "text", text));
        self.of_summary(out, "response.reasoning_summary_part.done", &id, |out| {
            field(out, "part");
            write::summary(out, text);
        });
        self.done(out, |out| write::reasoning(out, &id, status, text, sealed));
    }

    fn text(
        &mut self,
        piece: Text<'_>,
        signed: Option<Text<'_>>,
        probabilities: Option<&RawValue>,
        context: &Context,
        out: &mut Vec<u8>,
    ) {
        let opens = !matches!(self.open, Open::Message { .. });
        if opens {
            if let Some(signature) = signed {
                self.seal(Signed::Next, signature, context, out);
            }
            self.close(Status::Completed, context, out);
            self.search(context, out);
            let id = self.id("msg", context);
            self.added(out, |out| write::message(out, &id, Status::InProgress, b"", None));
            self.of_content(out, "response.content_part.added", &id, |out| {
                field(out, "part");
                write::output_text(out, b"", b"", b"");
            });
            self.open = Open::Message { text: Vec::new(), logprobs: Vec::new(), signature: None };
            self.said = true;
        }
        let id = self.id("msg", context);
        let piece = piece.escaped().as_bytes();
        let tokens = probabilities.and_then(logprobs::tokens).unwrap_or_default();
        let tokens = tokens.get(1..tokens.len().saturating_sub(1)).unwrap_or_default();
        self.of_content(out, "response.output_text.delta", &id, |out| {
            escaped(out, "delta", piece);
            list(out, "logprobs", tokens);
        });
        if let Open::Message { text, logprobs, signature } = &mut self.open {
            text.extend_from_slice(piece);
            if !logprobs.is_empty() && !tokens.is_empty() {
                logprobs.push(b',');
            }
            logprobs.extend_from_slice(tokens);
            if let Some(signed) = signed {
                *signature = Some(TextSignature::new(signed, opens));
            }
        }
    }

    fn close_message(
        &mut self,
        (text, logprobs): (&[u8], &[u8]),
        status: Status,
        signature: Option<&TextSignature>,
        context: &Context,
        out: &mut Vec<u8>,
    ) {
        let id = self.id("msg", context);
        let annotations = self.search.annotations(text);
        for (index, annotation) in annotations.iter().enumerate() {
            self.of_content(out, "response.output_text.annotation.added", &id, |out| {
                number(out, "annotation_index", index as u64);
                field(out, "annotation");
                out.extend_from_slice(annotation.as_bytes());
            });
        }
        self.of_content(out, "response.output_text.done", &id, |out| {
            escaped(out, "text", text);
            list(out, "logprobs", logprobs);
        });
        let mut part = Vec::with_capacity(text.len() + 96);
        write::output_text(&mut part, text, annotations.join(",").as_bytes(), logprobs);
        self.of_content(out, "response.content_part.done", &id, |out| {
            field(out, "part");
            out.extend_from_slice(&part);
        });
        let literal = signature.map(|signature| signature.literal.as_str());
        self.done(out, |out| write::message(out, &id, status, &part, literal));
        if let Some(signature) =
            signature.filter(|signature| context.sealed_reasoning && !signature.is_sealed)
            && let Ok(signature) = serde_json::from_str::<Text<'_>>(&signature.literal)
        {
            // It came when the text was out already.
            self.seal(Signed::Last, signature, context, out);
        }
    }

    fn call(
        &mut self,
        call: &FunctionCall<'_>,
        signature: Option<Text<'_>>,
        context: &Context,
        out: &mut Vec<u8>,
    ) {
        if context.single_call && self.calls > 0 {
            return;
        }
        let decoded = signature.map(Text::decode);
        let native_id = call.id.map(Text::decode);
        let call_id = self.ids.issue((0, self.calls), native_id.as_deref(), decoded.as_deref());
        self.calls += 1;
        self.said = true;
        if let Some(signature) = signature {
            self.close_message_first(context, out);
            self.seal(Signed::Call(&call_id), signature, context, out);
        }
        self.close(Status::Completed, context, out);
        self.search(context, out);

        let native = call.name.map(Text::decode).unwrap_or_default();
        let (namespace, name, is_custom) = context.tool(&native);
        let id = self.id(if is_custom { "ctc" } else { "fc" }, context);
        let called = Called { id: &id, call_id: &call_id, name, namespace, is_custom };
        let args = call.args.map(RawValue::get).filter(|args| args.starts_with('{')).unwrap_or("{}");
        let mut input = Vec::with_capacity(args.len() + args.len() / 8 + 2);
        if is_custom {
            plain_input(&mut input, args);
        } else {
            json::document_as_string(&mut input, args);
        }
        self.added(out, |out| write::call(out, &called, Status::InProgress, br#""""#));
        let (delta, done, named) = if is_custom {
            ("response.custom_tool_call_input.delta", "response.custom_tool_call_input.done", "input")
        } else {
            ("response.function_call_arguments.delta", "response.function_call_arguments.done", "arguments")
        };
        self.of_item(out, delta, &id, |out| {
            field(out, "delta");
            out.extend_from_slice(&input);
        });
        self.of_item(out, done, &id, |out| {
            if !is_custom {
                string(out, "name", name);
            }
            field(out, named);
            out.extend_from_slice(&input);
        });
        self.done(out, |out| write::call(out, &called, Status::Completed, &input));
    }

    /// A message in front of a signed call is closed before the signature is sealed, so that it is not taken for
    /// the message's.
    fn close_message_first(&mut self, context: &Context, out: &mut Vec<u8>) {
        if matches!(self.open, Open::Message { .. }) {
            self.close(Status::Completed, context, out);
        }
    }

    fn code(&mut self, code: Text<'_>, context: &Context, out: &mut Vec<u8>) {
        self.close(Status::Completed, context, out);
        let id = self.id("ci", context);
        let code = code.escaped().as_bytes();
        self.added(out, |out| write::code(out, &id, Status::InProgress, b"", None));
        self.of_item(out, "response.code_interpreter_call.in_progress", &id, |_| {});
        self.of_item(out, "response.code_interpreter_call_code.delta", &id, |out| {
            escaped(out, "delta", code)
        });
        self.of_item(out, "response.code_interpreter_call_code.done", &id, |out| escaped(out, "code", code));
        self.of_item(out, "response.code_interpreter_call.interpreting", &id, |_| {});
        self.open = Open::Code { code: code.to_vec() };
        self.said = true;
    }

    fn code_output(&mut self, output: Text<'_>, context: &Context, out: &mut Vec<u8>) {
        // Output without code is nothing that Google sends.
        if let Open::Code { code } = &mut self.open {
            let code = std::mem::take(code);
            self.open = Open::Nothing;
            self.close_code(&code, output.escaped().as_bytes(), Status::Completed, context, out);
        }
    }

    fn close_code(&mut self, code: &[u8], logs: &[u8], status: Status, context: &Context, out: &mut Vec<u8>) {
        let id = self.id("ci", context);
        let outputs = context.code_outputs.then_some(logs);
        self.of_item(out, "response.code_interpreter_call.completed", &id, |_| {});
        self.done(out, |out| write::code(out, &id, status, code, outputs));
    }

    fn picture(
        &mut self,
        blob: &Blob<'_>,
        signature: Option<Text<'_>>,
        context: &Context,
        out: &mut Vec<u8>,
    ) {
        self.close(Status::Completed, context, out);
        let id = self.id("ig", context);
        let mime_type = blob.mime_type.map(Text::decode).unwrap_or_default();
        let format = mime_type.strip_prefix("image/").unwrap_or("png").to_owned();
        let data = blob.data.map(Text::escaped).unwrap_or_default().as_bytes();
        self.added(out, |out| write::picture(out, &id, false, (&format, b""), None));
        self.of_item(out, "response.image_generation_call.in_progress", &id, |_| {});
        self.of_item(out, "response.image_generation_call.generating", &id, |_| {});
        self.of_item(out, "response.image_generation_call.completed", &id, |_| {});
        let signature = signature.map(Text::literal);
        self.done(out, |out| write::picture(out, &id, true, (&format, data), signature));
        self.said = true;
    }

    /// A message that says why there is none.
    fn refuse(&mut self, why: &str, context: &Context, out: &mut Vec<u8>) {
        self.close(Status::Completed, context, out);
        let id = self.id("msg", context);
        let mut part = Vec::new();
        write::refusal(&mut part, why);
        self.added(out, |out| write::message(out, &id, Status::InProgress, b"", None));
        self.of_content(out, "response.content_part.added", &id, |out| {
            field(out, "part");
            write::refusal(out, "");
        });
        self.of_content(out, "response.refusal.delta", &id, |out| string(out, "delta", why));
        self.of_content(out, "response.refusal.done", &id, |out| string(out, "refusal", why));
        self.of_content(out, "response.content_part.done", &id, |out| {
            field(out, "part");
            out.extend_from_slice(&part);
        });
        self.done(out, |out| write::message(out, &id, Status::Completed, &part, None));
    }

    /// The search that the answer rests on, once.
    fn search(&mut self, context: &Context, out: &mut Vec<u8>) {
        let Some((queries, sources)) = self.search.due() else { return };
        let id = self.id("ws", context);
        let sources = context.search_sources.then_some(sources.as_slice());
        self.added(out, |out| write::search(out, &id, Status::InProgress, &[], None));
        self.of_item(out, "response.web_search_call.in_progress", &id, |_| {});
        self.of_item(out, "response.web_search_call.searching", &id, |_| {});
        self.of_item(out, "response.web_search_call.completed", &id, |_| {});
        self.done(out, |out| write::search(out, &id, Status::Completed, &queries, sources));
    }

    /// Finishes the item that is open.
    fn close(&mut self, status: Status, context: &Context, out: &mut Vec<u8>) {
        match std::mem::take(&mut self.open) {
            Open::Nothing => {}
            Open::Reasoning { text } => self.close_reasoning(&text, status, None, context, out),
            Open::Message { text, logprobs, signature } => {
                self.close_message((&text, &logprobs), status, signature.as_ref(), context, out);
            }
            Open::Code { code } => self.close_code(&code, b"", status, context, out),
        }
    }

    fn added(&mut self, out: &mut Vec<u8>, item: impl FnOnce(&mut Vec<u8>)) {
        let index = self.count as u64;
        self.events.say(out, "response.output_item.added", |out| {
            number(out, "output_index", index);
            field(out, "item");
            item(out);
        });
    }

    fn done(&mut self, out: &mut Vec<u8>, item: impl FnOnce(&mut Vec<u8>)) {
        if self.count > 0 {
            self.items.push(b',');
        }
        let start = self.items.len();
        item(&mut self.items);
        let (index, items) = (self.count as u64, &self.items);
        self.events.say(out, "response.output_item.done", |out| {
            number(out, "output_index", index);
            field(out, "item");
            out.extend_from_slice(&items[start..]);
        });
        self.count += 1;
    }

    fn of_item(&mut self, out: &mut Vec<u8>, name: &str, id: &str, fields: impl FnOnce(&mut Vec<u8>)) {
        let index = self.count as u64;
        self.events.say(out, name, |out| {
            string(out, "item_id", id);
            number(out, "output_index", index);
            fields(out);
        });
    }

    /// Messages have one part each.
    fn of_content(&mut self, out: &mut Vec<u8>, name: &str, id: &str, fields: impl FnOnce(&mut Vec<u8>)) {
        self.of_item(out, name, id, |out| {
            number(out, "content_index", 0);
            fields(out);
        });
    }

    /// And so have summaries.
    fn of_summary(&mut self, out: &mut Vec<u8>, name: &str, id: &str, fields: impl FnOnce(&mut Vec<u8>)) {
        self.of_item(out, name, id, |out| {
            number(out, "summary_index", 0);
            fields(out);
        });
    }
}

impl TextSignature {
    fn new(signature: Text<'_>, is_sealed: bool) -> Self {
        Self { literal: signature.literal().to_owned(), is_sealed }
    }
}

impl Open {
    fn size(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Reasoning { text } => text.len(),
            Self::Message { text, logprobs, .. } => text.len() + logprobs.len(),
            Self::Code { code } => code.len(),
        }
    }
}

fn list(out: &mut Vec<u8>, name: &str, elements: &[u8]) {
    field(out, name);
    out.push(b'[');
    out.extend_from_slice(elements);
    out.push(b']');
}
