//! A whole answer: `generateContent` to a message, `countTokens` to a count.
//!
//! Written straight into the buffer that goes out. Gemini's strings are JSON already and are copied as they came.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::blocks::Blocks;
use super::writer::Shape;
use super::{Context, usage};
use crate::error::{Error, Kind};
use crate::gemini::count;
use crate::gemini::response::{GenerateContentResponse, Text};
use crate::json;
use crate::signatures::Issued;

/// Translates the body of a successful answer; beside it, what has to be remembered of its calls.
///
/// # Errors
/// 502 where the body is no answer, or has neither a candidate nor a reason for having none; the status that
/// it names where it is an error.
pub fn answer(body: &[u8], context: &Context) -> Result<(Bytes, Vec<Issued>), Error> {
    let response = GenerateContentResponse::read(body)?;
    let blocked = response.blocked();
    let Some(candidate) = response.candidates.iter().next() else {
        let Some(blocked) = blocked else {
            return Err(Error::new(Kind::BadGateway, "the upstream's answer holds no candidate"));
        };
        let mut out = Vec::with_capacity(512);
        opening(&mut out, context);
        closing(&mut out, "refusal", Some(&refusal(&blocked.decode(), true)));
        end(&mut out, response.usage_metadata, 0);
        return Ok((out.into(), Vec::new()));
    };
    let mut out = Vec::with_capacity(body.len() + 512);
    opening(&mut out, context);
    // All is there, so that nothing may turn out to be signed.
    let mut blocks = Blocks::new(context.clone(), Shape::Whole, false);
    blocks.push(candidate, &mut out);
    blocks.finish(&mut out);
    let native = candidate.finish_reason.map(Text::decode).unwrap_or_default();
    let reason = blocks.stop_reason(&native);
    let details = (reason == "refusal").then(|| refusal(&native, false));
    closing(&mut out, reason, details.as_deref());
    end(&mut out, response.usage_metadata, blocks.searches());
    Ok((out.into(), blocks.take_issued()))
}

/// Translates the answer to `countTokens`.
///
/// # Errors
/// 502 where the body is no count.
pub fn count(body: &[u8]) -> Result<Bytes, Error> {
    Ok(format!(r#"{{"input_tokens":{}}}"#, count::tokens(body)?).into())
}

/// Writes a message up to its content.
fn opening(out: &mut Vec<u8>, context: &Context) {
    head(out, context);
    out.extend_from_slice(br#","content":["#);
}

/// Writes what a message begins with in both shapes.
pub(super) fn head(out: &mut Vec<u8>, context: &Context) {
    out.extend_from_slice(br#"{"id":"#);
    json::string(out, &context.id);
    out.extend_from_slice(br#","type":"message","role":"assistant","model":"#);
    json::string(out, &context.model);
}

fn closing(out: &mut Vec<u8>, reason: &str, refusal: Option<&str>) {
    out.extend_from_slice(b"],");
    stop(out, reason, refusal);
    out.extend_from_slice(br#","usage":"#);
}

fn end(out: &mut Vec<u8>, metadata: Option<&RawValue>, searches: u64) {
    usage::write(out, metadata.map_or("null", RawValue::get), searches);
    out.push(b'}');
}

/// Writes why an answer ended. Which of its stop sequences the model came upon Gemini does not tell.
pub(super) fn stop(out: &mut Vec<u8>, reason: &str, refusal: Option<&str>) {
    out.extend_from_slice(br#""stop_reason":""#);
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(br#"","stop_sequence":null"#);
    if let Some(refusal) = refusal {
        out.extend_from_slice(br#","stop_details":{"type":"refusal","category":null,"explanation":"#);
        json::string(out, refusal);
        out.push(b'}');
    }
}

/// Why there is no answer, in words.
pub(super) fn refusal(native: &str, of_prompt: bool) -> String {
    let what = if of_prompt { "the prompt" } else { "the answer" };
    format!("Gemini blocked {what} ({native}).")
}
