//! What an answer repeats of its request.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::ResponsesRequest;
use crate::json;

/// The beginning of the answer's object, up to its status.
pub(super) fn opening(request: &ResponsesRequest, id: &str, created: u64) -> Vec<u8> {
    let mut out = br#"{"id":"#.to_vec();
    json::string(&mut out, id);
    out.extend_from_slice(br#","object":"response","created_at":"#);
    json::number(&mut out, created);
    out.extend_from_slice(br#","background":false"#);
    let out = &mut out;
    text(out, "instructions", request.instructions.as_deref());
    value(out, "max_output_tokens", request.max_output_tokens);
    value(out, "max_tool_calls", request.max_tool_calls);
    raw(out, "metadata", request.metadata.as_deref(), "{}");
    text(out, "model", Some(&request.model));
    value(out, "parallel_tool_calls", Some(request.parallel_tool_calls.unwrap_or(true)));
    text(out, "previous_response_id", request.previous_response_id.as_deref());
    text(out, "prompt_cache_key", request.prompt_cache_key.as_deref());
    raw(out, "reasoning", request.reasoning.as_deref(), r#"{"effort":null,"summary":null}"#);
    text(out, "safety_identifier", request.safety_identifier.as_deref());
    let tier = request.service_tier.as_deref().filter(|tier| *tier != "auto");
    text(out, "service_tier", Some(tier.unwrap_or("default")));
    value(out, "store", Some(request.stores()));
    value(out, "temperature", request.temperature);
    raw(out, "text", request.text.as_deref(), r#"{"format":{"type":"text"}}"#);
    raw(out, "tool_choice", request.tool_choice.as_deref(), r#""auto""#);
    tools(out, request.tools.as_deref().unwrap_or_default());
    value(out, "top_logprobs", Some(request.top_logprobs.unwrap_or(0)));
    value(out, "top_p", request.top_p);
    text(out, "truncation", Some(request.truncation.as_deref().unwrap_or("disabled")));
    text(out, "user", request.user.as_deref());
    std::mem::take(out)
}

fn name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(out: &mut Vec<u8>, field: &str, text: Option<&str>) {
    name(out, field);
    match text {
        Some(text) => json::string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

fn value(out: &mut Vec<u8>, field: &str, value: Option<impl serde::Serialize>) {
    name(out, field);
    serde_json::to_writer(out, &value).expect("numbers and booleans can be written, and a buffer takes them");
}

fn raw(out: &mut Vec<u8>, field: &str, raw: Option<&RawValue>, otherwise: &str) {
    name(out, field);
    json::document(out, raw.map_or(otherwise, RawValue::get));
}

/// The tools as they were sent. Two fields of a function may be left out there and must not be here.
fn tools(out: &mut Vec<u8>, tools: &[Box<RawValue>]) {
    #[derive(Deserialize)]
    struct Probe<'a> {
        #[serde(borrow)]
        r#type: Option<std::borrow::Cow<'a, str>>,
        strict: Option<IgnoredAny>,
        parameters: Option<IgnoredAny>,
    }
    name(out, "tools");
    out.push(b'[');
    for (number, tool) in tools.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        json::document(out, tool.get());
        let Ok(Probe { r#type, strict, parameters }) = serde_json::from_str::<Probe<'_>>(tool.get()) else {
            continue;
        };
        if r#type.as_deref() != Some("function") {
            continue;
        }
        let absent = |field: &str| !tool.get().contains(&format!("\"{field}\""));
        // An object with a type has a member before.
        for (field, missing) in [("strict", strict.is_none()), ("parameters", parameters.is_none())] {
            if missing && absent(field) && out.pop() == Some(b'}') {
                name(out, field);
                out.extend_from_slice(if field == "strict" { b"false}" } else { b"null}" });
            }
        }
    }
    out.push(b']');
}
