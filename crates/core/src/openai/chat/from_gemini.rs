//! A whole answer: `generateContent` to `chat.completion`.
//!
//! Written straight into the buffer that goes out. Gemini's strings are JSON already and are copied as they
//! came.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::message::{CalledFunction, known_as};
use super::piece::Piece;
use super::{AudioFormat, finish, grounding, logprobs, usage};
use crate::error::{Error, Kind};
use crate::gemini::names::FunctionNames;
use crate::gemini::response::{Blob, Candidate, FunctionCall, GenerateContentResponse, Text};
use crate::json;
use crate::openai::audio::wave;
use crate::signatures::{CallIds, Issued};

/// What the translation of an answer has to know of its request. Made by
/// [`ChatRequest::context`](super::ChatRequest::context).
#[derive(Debug, Clone)]
pub struct Context {
    /// The model, as the client asked for it.
    pub model: String,
    /// `chatcmpl-…`, unique. Calls get their ids from it.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Whether a stream ends with an event that tells the tokens.
    pub include_usage: bool,
    /// The client's names of its functions.
    pub(in crate::openai) names: FunctionNames,
    /// Those of them that are custom tools, and are called with plain text.
    pub(in crate::openai) custom: BTreeSet<String>,
    /// `parallel_tool_calls: false`. Gemini cannot be told, so further calls are left out.
    pub(in crate::openai) single_call: bool,
    /// The request was in the form of 2023, and calls are `function_call`.
    pub(in crate::openai) legacy_call: bool,
    /// The model may search, so that citations can come.
    pub(in crate::openai) grounded: bool,
    /// The form of sound that was asked for.
    pub(in crate::openai) audio: Option<AudioFormat>,
    /// Whether signatures go into the ids of calls, too.
    pub signatures_in_ids: bool,
}

/// Translates the body of a successful answer. Beside it comes what has to be remembered of its calls.
///
/// # Errors
/// 502 where the body is no answer, or has neither a candidate nor a reason for having none; the status that
/// it names where it is an error.
pub fn answer(body: &[u8], context: &Context) -> Result<(Bytes, Vec<Issued>), Error> {
    let response = GenerateContentResponse::read(body)?;
    let blocked = response.prompt_feedback.as_ref().and_then(|feedback| feedback.block_reason);
    if response.candidates.is_empty() && blocked.is_none() {
        return Err(Error::new(Kind::BadGateway, "the upstream's answer holds no candidate"));
    }

    let mut ids = context.call_ids();
    let mut out = Vec::with_capacity(body.len() + 512);
    out.extend_from_slice(br#"{"id":"#);
    json::string(&mut out, &context.id);
    out.extend_from_slice(br#","object":"chat.completion","created":"#);
    json::number(&mut out, context.created);
    out.extend_from_slice(br#","model":"#);
    json::string(&mut out, &context.model);
    out.extend_from_slice(br#","choices":["#);
    for (position, candidate) in response.candidates.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        let index = candidate.index.map_or(position as u64, u64::from);
        choice(&mut out, candidate, index, &mut ids, context);
    }
    if let Some(blocked) = blocked.filter(|_| response.candidates.is_empty()) {
        blocked_prompt(&mut out, blocked);
    }
    out.extend_from_slice(br#"],"usage":"#);
    usage::write(&mut out, response.usage_metadata.map_or("null", RawValue::get));
    out.push(b'}');
    Ok((out.into(), ids.take()))
}

/// Writes one of `choices`.
fn choice(out: &mut Vec<u8>, candidate: &Candidate<'_>, index: u64, ids: &mut CallIds, context: &Context) {
    let pieces = || {
        let parts = candidate.content.iter().flat_map(|content| content.parts.iter());
        parts.filter_map(Piece::of)
    };
    let calls = || {
        let calls = pieces().filter_map(|piece| match piece {
            Piece::Call { call, signature } => Some((call, signature)),
            _ => None,
        });
        calls.take(if context.takes_one_call() { 1 } else { usize::MAX })
    };
    let called = calls().next().is_some();
    let audio =
        || pieces().filter_map(|piece| if let Piece::Audio(blob) = piece { Some(blob) } else { None });
    let speaks = audio().next().is_some();
    let native = candidate.finish_reason.map(Text::decode).unwrap_or_default();
    let reason = finish::reason(&native, called, context);

    out.extend_from_slice(br#"{"index":"#);
    json::number(out, index);
    out.extend_from_slice(br#","message":{"role":"assistant","content":"#);
    if !pieces().any(Piece::is_content) && (called || speaks) {
        out.extend_from_slice(b"null");
    } else {
        out.push(b'"');
        pieces().for_each(|piece| piece.write_content(out));
        out.push(b'"');
    }
    out.extend_from_slice(br#","refusal":"#);
    let refusal = if pieces().next().is_none() { finish::refusal(reason, &native, false) } else { None };
    match refusal {
        Some(refusal) => json::string(out, &refusal),
        None => out.extend_from_slice(b"null"),
    }
    let mut reasoning = pieces().filter_map(|piece| match piece {
        Piece::Reasoning(text) => Some(text.escaped().as_bytes()),
        _ => None,
    });
    if let Some(first) = reasoning.next() {
        out.extend_from_slice(br#","reasoning_content":""#);
        out.extend_from_slice(first);
        reasoning.for_each(|text| out.extend_from_slice(text));
        out.push(b'"');
    }
    if called {
        let opening: &[u8] =
            if context.legacy_call { br#","function_call":"# } else { br#","tool_calls":["# };
        out.extend_from_slice(opening);
        for (number, (call, signature)) in calls().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            if context.legacy_call {
                legacy_call(out, call, signature, ids, context);
            } else {
                out.push(b'{');
                tool_call(out, call, signature, (index, number as u64), ids, context);
            }
        }
        if !context.legacy_call {
            out.push(b']');
        }
    }
    if let Some(signature) = message_signature(candidate, context) {
        out.push(b',');
        extra_content(out, signature.literal());
    }
    let mut images = 0;
    for part in candidate.content.iter().flat_map(|content| content.parts.iter()) {
        if let Some(Piece::Image(blob)) = Piece::of(part) {
            out.extend_from_slice(if images == 0 { br#","images":["# } else { b"," });
            image(out, blob, part.thought_signature, images);
            images += 1;
        }
    }
    if images > 0 {
        out.push(b']');
    }
    if speaks {
        sound(out, audio(), context);
    }
    if let Some(metadata) = candidate.grounding_metadata {
        annotations(out, pieces(), metadata);
    }
    out.extend_from_slice(br#"},"logprobs":"#);
    logprobs::write(out, candidate.logprobs_result);
    out.extend_from_slice(br#","finish_reason":""#);
    out.extend_from_slice(reason.as_bytes());
    out.push(b'"');
    if !finish::is_ordinary(&native) {
        out.extend_from_slice(br#","native_finish_reason":"#);
        json::string(out, &native);
    }
    out.push(b'}');
}

/// Writes the one choice that stands for a prompt that Gemini did not answer.
fn blocked_prompt(out: &mut Vec<u8>, blocked: Text<'_>) {
    let native = blocked.decode();
    out.extend_from_slice(br#"{"index":0,"message":{"role":"assistant","content":"","refusal":"#);
    json::string(out, &finish::refusal("content_filter", &native, true).unwrap_or_default());
    out.extend_from_slice(br#"},"logprobs":null,"finish_reason":"content_filter","native_finish_reason":"#);
    json::string(out, &native);
    out.push(b'}');
}

/// Writes `annotations`, for which the content has to be text.
fn annotations<'p, 'a: 'p>(
    out: &mut Vec<u8>,
    pieces: impl Iterator<Item = Piece<'p, 'a>>,
    metadata: &RawValue,
) {
    let mut content = vec![b'"'];
    pieces.for_each(|piece| piece.write_content(&mut content));
    content.push(b'"');
    let content = serde_json::from_slice::<String>(&content).unwrap_or_default();
    if let Some(annotations) = grounding::annotations(std::iter::once(metadata.get()), &content) {
        out.extend_from_slice(br#","annotations":"#);
        out.extend_from_slice(annotations.as_bytes());
    }
}

impl Context {
    /// The model may search, though the request does not say so.
    pub fn expect_citations(&mut self) {
        self.grounded = true;
    }

    /// Whether a function, by Gemini's name, is a custom tool of the client's.
    fn is_custom(&self, name: &str) -> bool {
        !self.custom.is_empty() && self.custom.contains(self.names.to_client(name))
    }

    /// The ids of the answer's calls.
    pub(super) fn call_ids(&self) -> CallIds {
        CallIds::new("call_", self.id.strip_prefix("chatcmpl-").unwrap_or(&self.id), self.signatures_in_ids)
    }

    /// Whether only the first call counts. The form of 2023 has no place for more.
    pub(super) fn takes_one_call(&self) -> bool {
        self.single_call || self.legacy_call
    }
}

/// Writes a call after its opening brace. `place` is the numbers of the choice and of the call in it.
pub(super) fn tool_call(
    out: &mut Vec<u8>,
    call: &FunctionCall<'_>,
    signature: Option<Text<'_>>,
    place: (u64, u64),
    ids: &mut CallIds,
    context: &Context,
) {
    let native_id = call.id.map(Text::decode);
    let decoded = signature.map(Text::decode);
    out.extend_from_slice(br#""id":"#);
    json::string(out, &ids.issue(place, native_id.as_deref(), decoded.as_deref()));
    match call.name.map(Text::decode).filter(|name| context.is_custom(name)) {
        Some(_) => {
            out.extend_from_slice(br#","type":"custom","custom":"#);
            custom(out, call, context);
        }
        None => {
            out.extend_from_slice(br#","type":"function","function":"#);
            function(out, call, context);
        }
    }
    if let Some(signature) = signature {
        out.push(b',');
        extra_content(out, signature.literal());
    }
    out.push(b'}');
}

/// Writes a call in the form of 2023, which has no id and nothing beside name and arguments.
pub(super) fn legacy_call(
    out: &mut Vec<u8>,
    call: &FunctionCall<'_>,
    signature: Option<Text<'_>>,
    ids: &mut CallIds,
    context: &Context,
) {
    let start = out.len();
    function(out, call, context);
    if let (Some(signature), Ok(CalledFunction { name, arguments })) =
        (signature, serde_json::from_slice(&out[start..]))
    {
        ids.note(known_as(&name, &arguments), None, Some(&signature.decode()));
    }
}

/// Writes `extra_content` with a signature, which is a JSON string.
pub(super) fn extra_content(out: &mut Vec<u8>, signature: &str) {
    out.extend_from_slice(br#""extra_content":{"google":{"thought_signature":"#);
    out.extend_from_slice(signature.as_bytes());
    out.extend_from_slice(b"}}");
}

/// The signature that belongs to the message as a whole: the last one of a part that is no call; in the form of
/// 2023, where a call has no place of its own for one, the first of a call.
pub(super) fn message_signature<'a>(candidate: &Candidate<'a>, context: &Context) -> Option<Text<'a>> {
    let parts = || candidate.content.iter().flat_map(|content| content.parts.iter());
    let of = |call: bool| {
        // An image has a place of its own for its signature.
        let parts =
            parts().filter(move |part| part.function_call.is_some() == call && part.inline_data.is_none());
        parts.filter_map(|part| part.thought_signature.filter(|signature| !signature.is_empty()))
    };
    if context.legacy_call { of(true).next() } else { of(false).last() }
}

/// Writes a custom tool's name and its text.
fn custom(out: &mut Vec<u8>, call: &FunctionCall<'_>, context: &Context) {
    out.extend_from_slice(br#"{"name":"#);
    let name = call.name.map(Text::decode).unwrap_or_default();
    json::string(out, context.names.to_client(&name));
    out.extend_from_slice(br#","input":"#);
    plain_input(out, call.args.map_or("{}", RawValue::get));
    out.push(b'}');
}

/// Writes the text that a custom tool is called with, as a JSON string.
pub(in crate::openai) fn plain_input(out: &mut Vec<u8>, args: &str) {
    #[derive(serde::Deserialize)]
    struct Arguments<'a> {
        #[serde(borrow)]
        input: Text<'a>,
    }
    match serde_json::from_str::<Arguments<'_>>(args) {
        Ok(Arguments { input }) => out.extend_from_slice(input.literal().as_bytes()),
        // A model can write anything: what it wrote is the text.
        Err(_) => json::string(out, args),
    }
}

/// Writes a call's name and its arguments, which OpenAI has as JSON in a string.
pub(super) fn function(out: &mut Vec<u8>, call: &FunctionCall<'_>, context: &Context) {
    out.extend_from_slice(br#"{"name":"#);
    match call.name {
        None => out.extend_from_slice(br#""""#),
        Some(name) if context.names.is_identity() => out.extend_from_slice(name.literal().as_bytes()),
        Some(name) => json::string(out, context.names.to_client(&name.decode())),
    }
    out.extend_from_slice(br#","arguments":"#);
    match call.args.map(RawValue::get) {
        Some(args) if args.starts_with('{') => json::document_as_string(out, args),
        Some(_) | None => out.extend_from_slice(br#""{}""#),
    }
    out.push(b'}');
}

/// Writes an image in the shape that clients of OpenRouter and its like know.
pub(super) fn image(out: &mut Vec<u8>, blob: &Blob<'_>, signature: Option<Text<'_>>, index: u64) {
    out.extend_from_slice(br#"{"type":"image_url","index":"#);
    json::number(out, index);
    out.extend_from_slice(br#","image_url":{"url":"data:"#);
    out.extend_from_slice(blob.mime_type.map(Text::escaped).unwrap_or_default().as_bytes());
    out.extend_from_slice(b";base64,");
    out.extend_from_slice(blob.data.map(Text::escaped).unwrap_or_default().as_bytes());
    out.extend_from_slice(br#""}"#);
    if let Some(signature) = signature {
        out.push(b',');
        extra_content(out, signature.literal());
    }
    out.push(b'}');
}

/// Writes `audio`. Nothing is kept here, so that it expires as it is made.
fn sound<'p, 'a: 'p>(out: &mut Vec<u8>, audio: impl Iterator<Item = &'p Blob<'a>>, context: &Context) {
    let mut rate = wave::RATE;
    let mut pcm = Vec::new();
    for blob in audio {
        rate = blob.mime_type.and_then(wave::sample_rate).unwrap_or(rate);
        let data = blob.data.map(Text::decode).unwrap_or_default();
        pcm.append(&mut STANDARD.decode(data.as_bytes()).unwrap_or_default());
    }
    if context.audio == Some(AudioFormat::Wav) {
        pcm.splice(..0, wave::header(rate, Some(pcm.len())));
    }
    out.push(b',');
    audio_opening(out, context);
    out.extend_from_slice(br#","data":""#);
    out.extend_from_slice(STANDARD.encode(pcm).as_bytes());
    out.extend_from_slice(br#"","expires_at":"#);
    json::number(out, context.created);
    out.extend_from_slice(br#","transcript":""}"#);
}

/// Writes `audio` up to its id.
pub(super) fn audio_opening(out: &mut Vec<u8>, context: &Context) {
    out.extend_from_slice(br#""audio":{"id":"#);
    json::string(out, &format!("audio_{}", context.id.strip_prefix("chatcmpl-").unwrap_or(&context.id)));
}
