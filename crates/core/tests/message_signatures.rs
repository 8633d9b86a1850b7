//! Long conversations with tools in Anthropic's dialect, by clients that keep more or less of what they get, against
//! an upstream that refuses what has lost its signature.

mod harness;

use harness::strict::Strict;
use harness::{Call, Harness, config};
use libra_core::config::Config;
use libra_core::event::Event;
use serde_json::{Value, json};

/// What a client asks for, and what of it it hands back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    /// Has thinking on, and keeps all blocks.
    Thinks,
    /// Has thinking on, and drops the blocks of thoughts.
    Forgets,
    /// Has thinking off.
    Plain,
}

/// Turns of a conversation, and steps in each.
const TURNS: usize = 50;
const STEPS: usize = 3;

/// Holds a conversation; says how many stand-ins the upstream got. `restarts`: the gateway is a new one each time.
fn converse(config: &Config, client: Client, stream: bool, restarts: bool, turns: usize) -> u32 {
    let mut harness = Harness::new(config.clone());
    let mut upstream = Strict::default();
    upstream.any_id = restarts;
    let mut messages: Vec<Value> = Vec::new();
    let mut told = 0;
    for turn in 0..turns {
        messages.push(json!({ "role": "user", "content": format!("Question {turn}") }));
        for step in 0..=STEPS {
            if restarts {
                harness = Harness::new(config.clone());
            }
            let mut body = json!({
                "model": "gemini-3.5-flash", "max_tokens": 1024, "stream": stream, "messages": messages,
                "tools": [{ "name": "look", "input_schema": { "type": "object" } }],
            });
            if client != Client::Plain {
                body["thinking"] = json!({ "type": "adaptive" });
            }
            let call = Call::post("/v1/messages?beta=true", body.to_string());
            let seen = harness.send(&call, |request| upstream.answer(request, STEPS));
            assert_eq!(seen.status, 200, "turn {turn}, step {step}: {} {:?}", seen.text(), upstream.refused);
            told += seen.events.iter().map(stand_ins).sum::<u32>();
            let mut content = if stream { joined(seen.text()) } else { whole(seen.text()) };
            let thoughts = content.iter().filter(|block| block["type"] == "thinking").count();
            assert_eq!(thoughts > 0, client != Client::Plain, "{content:?}");
            if client == Client::Forgets {
                content.retain(|block| block["type"] != "thinking");
            }
            let calls = content.iter().filter(|block| block["type"] == "tool_use");
            let results: Vec<Value> = calls
                .map(|call| {
                    let id = call["id"].as_str().expect("an id");
                    assert!(
                        id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)),
                        "{id}"
                    );
                    json!({ "type": "tool_result", "tool_use_id": id, "content": "{\"seen\":true}" })
                })
                .collect();
            assert_eq!(results.is_empty(), step == STEPS, "turn {turn}, step {step}: {}", seen.text());
            messages.push(json!({ "role": "assistant", "content": content }));
            if !results.is_empty() {
                messages.push(json!({ "role": "user", "content": results }));
            }
        }
    }
    assert!(upstream.signatures() >= turns * STEPS);
    assert_eq!(upstream.stand_ins, told, "operators are told");
    upstream.stand_ins
}

fn stand_ins(event: &Event) -> u32 {
    if let Event::Finished(finished) = event { finished.stand_ins } else { 0 }
}

fn whole(body: &str) -> Vec<Value> {
    let message: Value = serde_json::from_str(body).expect("JSON");
    message["content"].as_array().expect("content").clone()
}

/// What a client joins of a stream.
fn joined(body: &str) -> Vec<Value> {
    let mut content: Vec<Value> = Vec::new();
    let mut input = String::new();
    for event in body.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let event: Value = serde_json::from_str(event).expect("JSON");
        let text = |name: &str| event["delta"][name].as_str().unwrap_or_default().to_owned();
        match event["type"].as_str().expect("a type") {
            "content_block_start" => content.push(event["content_block"].clone()),
            "content_block_delta" => {
                let block = content.last_mut().expect("a block");
                match event["delta"]["type"].as_str().expect("a type") {
                    "text_delta" => {
                        block["text"] =
                            format!("{}{}", block["text"].as_str().expect("text"), text("text")).into();
                    }
                    "signature_delta" => block["signature"] = text("signature").into(),
                    "input_json_delta" => input.push_str(&text("partial_json")),
                    _ => {}
                }
            }
            "content_block_stop" if !input.is_empty() => {
                let block = content.last_mut().expect("a block");
                block["input"] = serde_json::from_str(&std::mem::take(&mut input)).expect("JSON");
            }
            _ => {}
        }
    }
    content
}

#[test]
fn no_signature_is_lost_in_a_long_conversation() {
    let plain = config(&["pool-key-one"]);
    let check = |client, stream, turns| {
        assert_eq!(converse(&plain, client, stream, false, turns), 0, "{client:?}, stream {stream}");
    };
    check(Client::Thinks, true, TURNS);
    check(Client::Plain, true, TURNS);
    check(Client::Forgets, true, TURNS / 5);
    for client in [Client::Thinks, Client::Forgets, Client::Plain] {
        check(client, false, TURNS / 5);
    }
}

#[test]
fn without_memory_thoughts_and_ids_still_carry_signatures() {
    let plain = config(&["pool-key-one"]);
    let in_ids = Config { signatures_in_ids: true, ..plain.clone() };
    for stream in [false, true] {
        let check = |config: &Config, client, expected: bool| {
            let stand_ins = converse(config, client, stream, true, 3);
            assert_eq!(stand_ins == 0, expected, "{client:?}, stream {stream}");
        };
        check(&plain, Client::Thinks, true);
        check(&in_ids, Client::Plain, true);
        check(&in_ids, Client::Forgets, true);
        check(&plain, Client::Plain, false);
    }
}
