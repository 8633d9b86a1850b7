//! Long conversations with tools, by clients that keep more or less of what they get, against an upstream that
//! refuses what has lost its signature.

mod harness;

use harness::strict::Strict;
use harness::{Call, Harness, config};
use libra_core::config::Config;
use libra_core::event::Event;
use serde_json::{Value, json};

/// What a client hands back of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    /// Everything, fields that it does not know included.
    All,
    /// The fields of OpenAI's own.
    Ids,
}

/// Turns of a conversation, and steps in each.
const TURNS: usize = 50;
const STEPS: usize = 3;

/// What came of a conversation.
struct Came {
    upstream: Strict,
    /// Stand-ins that operators were told of.
    told: u32,
    longest_id: usize,
}

/// Holds a conversation. `forgets`: the gateway is a new one each time, which knows no ids of Google's either.
fn converse(config: &Config, keeps: Keeps, stream: bool, forgets: bool, turns: usize) -> Came {
    let mut harness = Harness::new(config.clone());
    let mut upstream = Strict::default();
    upstream.any_id = forgets;
    let mut messages: Vec<Value> = Vec::new();
    let mut told = 0;
    let mut longest_id = 0;
    for turn in 0..turns {
        messages.push(json!({ "role": "user", "content": format!("Question {turn}") }));
        for step in 0..=STEPS {
            if forgets {
                harness = Harness::new(config.clone());
            }
            let body = json!({
                "model": "gemini-3.5-flash", "stream": stream, "messages": messages,
                "tools": [{ "type": "function", "function": { "name": "look", "parameters": { "type": "object" } } }],
            });
            let call = Call::post("/v1/chat/completions", body.to_string());
            let seen = harness.send(&call, |request| upstream.answer(request, STEPS));
            assert_eq!(seen.status, 200, "turn {turn}, step {step}: {} {:?}", seen.text(), upstream.refused);
            told += seen.events.iter().map(stand_ins).sum::<u32>();
            let mut message = if stream { joined(seen.text()) } else { whole(seen.text()) };
            if keeps == Keeps::Ids {
                strip(&mut message);
            }
            let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
            messages.push(message);
            for call in &calls {
                let id = call["id"].as_str().expect("an id");
                assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{id}");
                longest_id = longest_id.max(id.len());
                messages.push(json!({ "role": "tool", "tool_call_id": id, "content": "{\"seen\":true}" }));
            }
            assert_eq!(calls.is_empty(), step == STEPS, "turn {turn}, step {step}: {}", seen.text());
        }
    }
    Came { upstream, told, longest_id }
}

fn stand_ins(event: &Event) -> u32 {
    if let Event::Finished(finished) = event { finished.stand_ins } else { 0 }
}

fn whole(body: &str) -> Value {
    let completion: Value = serde_json::from_str(body).expect("JSON");
    completion["choices"][0]["message"].clone()
}

/// What a client joins of a stream.
fn joined(body: &str) -> Value {
    let mut message = json!({ "role": "assistant", "content": "" });
    let mut calls: Vec<Value> = Vec::new();
    for event in body.lines().filter_map(|line| line.strip_prefix("data: {")) {
        let chunk: Value = serde_json::from_str(&format!("{{{event}")).expect("JSON");
        let delta = &chunk["choices"][0]["delta"];
        if let Some(text) = delta["content"].as_str() {
            message["content"] = format!("{}{text}", message["content"].as_str().expect("text")).into();
        }
        if !delta["extra_content"].is_null() {
            message["extra_content"] = delta["extra_content"].clone();
        }
        calls.extend(delta["tool_calls"].as_array().cloned().unwrap_or_default());
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    message
}

fn strip(message: &mut Value) {
    let message = message.as_object_mut().expect("an object");
    message.remove("extra_content");
    for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        call.as_object_mut().expect("an object").remove("extra_content");
    }
}

#[test]
fn no_signature_is_lost_in_a_long_conversation() {
    let plain = config(&["pool-key-one"]);
    let in_ids = Config { signatures_in_ids: true, ..plain.clone() };
    let check = |config: &Config, keeps, stream| {
        let came = converse(config, keeps, stream, false, TURNS);
        let case = format!("{keeps:?}, stream {stream}");
        assert_eq!((came.upstream.stand_ins, came.told), (0, 0), "{case}");
        assert!(came.upstream.signatures() >= TURNS * STEPS, "{case}");
        assert!(config.signatures_in_ids || came.longest_id <= 40, "{case}");
    };
    for stream in [false, true] {
        check(&plain, Keeps::All, stream);
        check(&plain, Keeps::Ids, stream);
        check(&in_ids, Keeps::Ids, stream);
    }
}

#[test]
fn without_memory_ids_and_extra_content_still_carry_signatures() {
    let plain = config(&["pool-key-one"]);
    let in_ids = Config { signatures_in_ids: true, ..plain.clone() };
    let check = |config: &Config, keeps, expected: bool| {
        let came = converse(config, keeps, true, true, 3);
        assert_eq!(came.upstream.stand_ins == 0, expected, "{keeps:?}");
        assert_eq!(came.upstream.stand_ins, came.told, "operators are told");
    };
    check(&plain, Keeps::All, true);
    check(&in_ids, Keeps::Ids, true);
    check(&plain, Keeps::Ids, false);
}
