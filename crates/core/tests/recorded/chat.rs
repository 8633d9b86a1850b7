//! Every recorded answer as a chat, whole and in events: the same texts, thoughts, calls, images and tokens.

use serde_json::{Value, json};

use crate::harness::{Call, Canned, Harness, config};
use crate::{Recording, recordings};

/// The events of an answer: those of a stream in either framing, or the whole one.
fn events(answer: &Canned) -> Vec<Value> {
    let body = String::from_utf8(answer.chunks.concat()).expect("UTF-8");
    if answer.content_type == "text/event-stream" {
        let data = body.lines().filter_map(|line| line.strip_prefix("data:"));
        return data.map(|data| serde_json::from_str(data).expect("JSON")).collect();
    }
    match serde_json::from_str(&body).expect("JSON") {
        Value::Array(events) => events,
        whole => vec![whole],
    }
}

/// One answer that says what the events say.
fn joined(events: &[Value]) -> Value {
    let mut whole = json!({ "candidates": [{ "content": { "role": "model", "parts": parts(events) } }] });
    for event in events {
        for name in ["usageMetadata", "promptFeedback"] {
            if !event[name].is_null() {
                whole[name] = event[name].clone();
            }
        }
        for name in ["finishReason", "groundingMetadata", "logprobsResult"] {
            if !event["candidates"][0][name].is_null() {
                whole["candidates"][0][name] = event["candidates"][0][name].clone();
            }
        }
    }
    if events.iter().all(|event| event["candidates"].is_null()) {
        whole.as_object_mut().expect("an object").remove("candidates");
    }
    whole
}

fn parts(events: &[Value]) -> Vec<Value> {
    let parts = events.iter().filter_map(|event| event["candidates"][0]["content"]["parts"].as_array());
    parts.flatten().cloned().collect()
}

/// What a client has to learn of an answer.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    thoughts: String,
    /// Name and arguments.
    calls: Vec<(String, Value)>,
    images: usize,
    /// Prompt, completion, cached, reasoning.
    tokens: [u64; 4],
}

impl Said {
    /// By Google.
    fn natively(events: &[Value]) -> Self {
        let mut said = Self::default();
        for part in parts(events) {
            let text = part["text"].as_str().unwrap_or_default();
            if part["thought"] == true {
                said.thoughts.push_str(text);
            } else {
                said.text.push_str(text);
                said.images += usize::from(
                    part["inlineData"]["mimeType"].as_str().is_some_and(|kind| kind.starts_with("image/")),
                );
            }
            if let Some(name) = part["functionCall"]["name"].as_str() {
                let args = &part["functionCall"]["args"];
                let args = if args.is_null() { json!({}) } else { args.clone() };
                said.calls.push((name.to_owned(), args));
            }
        }
        let usage = events.iter().rev().map(|event| &event["usageMetadata"]).find(|usage| !usage.is_null());
        let count = |name: &str| usage.and_then(|usage| usage[name].as_u64()).unwrap_or_default();
        said.tokens = [
            count("promptTokenCount") + count("toolUsePromptTokenCount"),
            count("candidatesTokenCount") + count("thoughtsTokenCount"),
            count("cachedContentTokenCount"),
            count("thoughtsTokenCount"),
        ];
        said
    }

    /// In a chat: a message, or the pieces of one.
    fn in_chat(messages: &[Value], usage: &Value) -> Self {
        let mut said = Self::default();
        for message in messages {
            said.text.push_str(message["content"].as_str().unwrap_or_default());
            said.thoughts.push_str(message["reasoning_content"].as_str().unwrap_or_default());
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                let arguments = call["function"]["arguments"].as_str().expect("arguments are a string");
                let name = call["function"]["name"].as_str().expect("a name").to_owned();
                said.calls.push((name, serde_json::from_str(arguments).expect("arguments are JSON")));
            }
            said.images += message["images"].as_array().map_or(0, Vec::len);
        }
        let count = |place: &str| usage.pointer(place).and_then(Value::as_u64).expect("a count");
        said.tokens = [
            count("/prompt_tokens"),
            count("/completion_tokens"),
            count("/prompt_tokens_details/cached_tokens"),
            count("/completion_tokens_details/reasoning_tokens"),
        ];
        said
    }
}

/// A chat that wants to know everything; the model is one that can be asked for it.
fn chat(stream: bool) -> Call {
    let mut body = json!({
        "model": "gemini-2.5-flash", "messages": [{ "role": "user", "content": "Hi" }], "web_search_options": {},
    });
    if stream {
        body["stream"] = true.into();
        body["stream_options"] = json!({ "include_usage": true });
    }
    Call::post("/v1/chat/completions", body.to_string())
}

const REASONS: [&str; 5] = ["stop", "length", "tool_calls", "content_filter", "function_call"];

#[test]
fn chats_say_what_google_said() {
    let mut kinds = std::collections::BTreeMap::<&str, u32>::new();
    for Recording { name, answer, generates, .. } in recordings() {
        if !generates || answer.status != 200 {
            continue;
        }
        let events = events(&answer);
        let native = Said::natively(&events);
        for (kind, there) in [
            ("streams", events.len() > 1),
            ("calls", !native.calls.is_empty()),
            ("thoughts", !native.thoughts.is_empty()),
            ("sound", parts(&events).iter().any(|part| !part["inlineData"].is_null())),
            ("citations", events.iter().any(|event| !event["candidates"][0]["groundingMetadata"].is_null())),
            (
                "blocked",
                events.iter().any(|event| {
                    event.to_string().contains("\"SAFETY\"")
                        || !event["promptFeedback"]["blockReason"].is_null()
                }),
            ),
        ] {
            *kinds.entry(kind).or_default() += u32::from(there);
        }
        // Code that Google ran goes into the text, too.
        let has_code = parts(&events).iter().any(|part| !part["executableCode"].is_null());
        let check = |said: Said, way: &str| {
            let text = if has_code { native.text.clone() } else { said.text.clone() };
            assert_eq!(Said { text, ..said }, native, "{name}, {way}");
        };

        let whole = Canned::json(200, joined(&events).to_string());
        let seen = Harness::new(config(&["pool-key-one"])).send(&chat(false), |_| whole.clone());
        assert_eq!(seen.status, 200, "{name}: {}", seen.text());
        let completion: Value = serde_json::from_str(seen.text()).expect("JSON");
        assert_eq!(completion["model"], "gemini-2.5-flash", "{name}: the client's name for the model");
        let reason = completion["choices"][0]["finish_reason"].as_str().unwrap_or_default();
        assert!(REASONS.contains(&reason), "{name}: {reason}");
        check(Said::in_chat(&[completion["choices"][0]["message"].clone()], &completion["usage"]), "whole");

        let stream: String = events.iter().map(|event| format!("data: {event}\r\n\r\n")).collect();
        let size = stream.len();
        let places: Vec<usize> = (1..size.div_ceil(100)).map(|piece| piece * 100).collect();
        let stream = Canned::sse(stream).cut_at(&places);
        let seen = Harness::new(config(&["pool-key-one"])).send(&chat(true), |_| stream.clone());
        assert_eq!(seen.status, 200, "{name}: {}", seen.text());
        assert!(seen.text().ends_with("data: [DONE]\n\n"), "{name}: {}", seen.text());
        let chunks: Vec<Value> = seen
            .text()
            .lines()
            .filter_map(|line| line.strip_prefix("data: {"))
            .map(|chunk| serde_json::from_str(&format!("{{{chunk}")).expect("JSON"))
            .collect();
        let deltas: Vec<Value> = chunks.iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
        let indices: Vec<u64> =
            deltas.iter().filter_map(|delta| delta["tool_calls"][0]["index"].as_u64()).collect();
        assert_eq!(
            indices,
            (0..indices.len() as u64).collect::<Vec<_>>(),
            "{name}: calls are counted through"
        );
        let reasons: Vec<&str> =
            chunks.iter().filter_map(|chunk| chunk["choices"][0]["finish_reason"].as_str()).collect();
        assert_eq!(reasons, [reason], "{name}: the stream ends as the whole answer does");
        let usage = &chunks.last().expect("chunks")["usage"];
        check(Said::in_chat(&deltas, usage), "in events");
    }
    if !kinds.is_empty() {
        eprintln!("{kinds:?}");
        assert!(["streams", "calls", "thoughts"].iter().all(|kind| kinds[kind] > 0), "{kinds:?}");
    }
}

#[test]
fn errors_come_in_openais_shape() {
    for Recording { name, answer, generates, .. } in recordings() {
        if !generates || answer.status == 200 {
            continue;
        }
        for stream in [false, true] {
            let seen = Harness::new(config(&["pool-key-one"])).send(&chat(stream), |_| answer.clone());
            assert!(seen.status >= 400, "{name}: {}", seen.text());
            assert!(
                seen.header("content-type").is_some_and(|kind| kind.starts_with("application/json")),
                "{name}"
            );
            let error: Value = serde_json::from_str(seen.text()).expect("JSON");
            let keys: Vec<&String> = error["error"].as_object().expect("an error").keys().collect();
            assert_eq!(keys, ["message", "type", "param", "code"], "{name}");
            assert!(!seen.text().contains("pool-key-one"), "{name}");
        }
    }
}
