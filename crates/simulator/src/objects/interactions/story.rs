//! How an interaction is told: whole, or event by event.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Answer, hash, tokens};
use crate::clock::{UnixMillis, json_time};
use crate::errors::GoogleError;
use crate::json::{field, text};
use crate::models::Model;

/// The interaction, done.
pub(super) fn whole(id: &str, body: &Value, answer: &Answer, model: &Model, now: UnixMillis) -> Value {
    let steps = steps(id, answer);
    let waits = steps.iter().any(|step| step["type"] == "function_call");
    let said: u64 = steps.iter().filter(|step| step["type"] != "thought").map(said).sum();
    let is_cut = answer.chunks.iter().any(|chunk| chunk.finish == Some("MAX_TOKENS"));
    let status = match (waits, is_cut) {
        (true, _) => "requires_action",
        (false, true) => "incomplete",
        (false, false) => "completed",
    };
    let usage = answer.usage;
    // To the second, unlike everything else.
    let time = json_time(now);
    let time = format!("{}Z", time.split('.').next().unwrap_or_default());
    let mut whole = json!({
        "id": id,
        "status": status,
        "usage": {
            "total_tokens": usage.prompt() + said + usage.thoughts,
            "total_input_tokens": usage.prompt(),
            "input_tokens_by_modality": [{ "modality": "text", "tokens": usage.prompt() }],
            "total_cached_tokens": usage.cached,
            "total_output_tokens": said,
            "total_tool_use_tokens": 0,
            "total_thought_tokens": usage.thoughts,
        },
        "created": time,
        "updated": time,
        "service_tier": "standard",
        "steps": steps,
        "object": "interaction",
    });
    let names = ["agent", "previousInteractionId", "environment"];
    let snake = ["agent", "previous_interaction_id", "environment_id"];
    for (name, snake) in names.into_iter().zip(snake) {
        if let Some(value) = field(body, name).filter(|value| value.is_string()) {
            whole[snake] = value.clone();
        }
    }
    if whole.get("agent").is_none() {
        whole["model"] = json!(model.serves);
    }
    whole
}

fn steps(id: &str, answer: &Answer) -> Vec<Value> {
    let mut steps = Vec::new();
    if answer.usage.thoughts > 0 {
        let signature = BASE64.encode(format!("simulated thought {:016x}", hash(id)));
        steps.push(json!({ "signature": signature, "type": "thought" }));
    }
    let mut content = Vec::new();
    for (number, part) in answer.whole().parts.into_iter().flatten().enumerate() {
        if part.get("thought").is_some() {
            continue;
        }
        if let Some(call) = part.get("functionCall") {
            let call_id = call
                .get("id")
                .cloned()
                .unwrap_or_else(|| json!(format!("{:08x}", hash(&(id, number)) as u32)));
            steps.push(json!({
                "id": call_id,
                "type": "function_call",
                "name": call["name"],
                "arguments": call["args"],
            }));
        } else if let Some(data) = part.get("inlineData") {
            let mime = text(data, "mimeType");
            let kind = if mime.starts_with("audio/") { "audio" } else { "image" };
            content.push(json!({ "type": kind, "mime_type": mime, "data": data["data"] }));
        } else if !text(&part, "text").is_empty() {
            content.push(json!({ "text": part["text"], "type": "text" }));
        }
    }
    if !content.is_empty() {
        steps.push(json!({ "content": content, "type": "model_output" }));
    }
    steps
}

fn said(step: &Value) -> u64 {
    let content = step["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    match content {
        [] => step.to_string().len() as u64 / 4,
        content => content.iter().map(|one| tokens(text(one, "text"))).sum(),
    }
}

/// The events of an interaction that is told as it comes.
pub(super) fn events(whole: &Value, answer: &Answer) -> Vec<Value> {
    let about = |leave_out: &[&str]| {
        let fields = whole.as_object().into_iter().flatten();
        let fields = fields.filter(|(name, _)| !leave_out.contains(&name.as_str()));
        fields.map(|(name, value)| (name.clone(), value.clone())).collect::<serde_json::Map<_, _>>()
    };
    let mut begun = about(&["steps", "usage", "created", "updated", "service_tier"]);
    begun.insert("status".to_owned(), json!("in_progress"));
    let mut events = vec![
        json!({ "interaction": begun, "event_type": "interaction.created" }),
        json!({ "interaction_id": whole["id"], "status": "in_progress", "event_type": "interaction.status_update" }),
    ];
    for (index, step) in whole["steps"].as_array().into_iter().flatten().enumerate() {
        let started = match step["type"].as_str() {
            Some("function_call") => {
                json!({ "type": "function_call", "id": step["id"], "name": step["name"], "arguments": {} })
            }
            _ => json!({ "type": step["type"] }),
        };
        events.push(json!({ "index": index, "step": started, "event_type": "step.start" }));
        let deltas = deltas(step, answer);
        events.extend(
            deltas
                .into_iter()
                .map(|delta| json!({ "index": index, "delta": delta, "event_type": "step.delta" })),
        );
        events.push(json!({ "index": index, "event_type": "step.stop" }));
    }
    events.push(json!({ "interaction": about(&["steps"]), "event_type": "interaction.completed" }));
    events
}

fn deltas(step: &Value, answer: &Answer) -> Vec<Value> {
    match step["type"].as_str() {
        Some("thought") => vec![json!({ "signature": step["signature"], "type": "thought_signature" })],
        Some("function_call") => {
            vec![json!({ "arguments": step["arguments"].to_string(), "type": "arguments_delta" })]
        }
        _ => {
            let content = step["content"].as_array().into_iter().flatten();
            let others = content.filter(|one| one["type"] != "text").cloned();
            let parts = answer.chunks.iter().flat_map(|chunk| chunk.parts.iter().flatten());
            let texts = parts
                .filter(|part| part.get("thought").is_none() && !text(part, "text").is_empty())
                .map(|part| json!({ "text": part["text"], "type": "text" }));
            texts.chain(others).collect()
        }
    }
}

/// What a stream tells when the model is overloaded.
pub(super) fn error() -> Bytes {
    let told = json!({ "error": GoogleError::overloaded().in_words().body["error"], "event_type": "error" });
    event(told, "")
}

/// An event as it is written.
pub(super) fn event(mut event: Value, id: &str) -> Bytes {
    if !id.is_empty() {
        event["event_id"] = json!(id);
    }
    format!("event: {}\ndata: {event}\n\n", text(&event, "eventType")).into()
}
