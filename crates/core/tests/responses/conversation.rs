//! Long conversations with tools, by clients that send everything themselves and by such that go on from the last
//! answer, against an upstream that refuses what has lost its signature.

use libra_core::config::Config;
use libra_core::event;
use serde_json::{Value, json};

use crate::harness::strict::Strict;
use crate::harness::{Call, Harness, config};
use crate::shape::Event;

/// Turns of a long conversation and of a short one, and steps in each.
const LONG: usize = 50;
const SHORT: usize = 8;
const STEPS: usize = 3;

/// How a client keeps a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    /// It sends all items back, reasoning included, and nothing is to be kept elsewhere.
    Sealed,
    /// It sends all items back but reasoning.
    Calls,
    /// It names the last answer.
    Previous,
    /// It sends references to the items of answers.
    References,
}

/// Stand-ins that the upstream got, and those that operators were told of.
fn converse(keeps: Keeps, stream: bool, forgets: bool, turns: usize) -> (u32, u32) {
    let config: Config = config(&["pool-key-one"]);
    let mut harness = Harness::new(config.clone());
    let mut upstream = Strict::default();
    upstream.any_id = forgets;
    let mut items: Vec<Value> = Vec::new();
    let mut previous = Value::Null;
    let mut told = 0;
    for turn in 0..turns {
        items.push(json!({ "role": "user", "content": format!("Question {turn}") }));
        for step in 0..=STEPS {
            if forgets {
                harness = Harness::new(config.clone());
            }
            let body = json!({
                "model": "gemini-3.5-flash", "stream": stream, "input": items, "previous_response_id": previous,
                "store": keeps != Keeps::Sealed, "include": ["reasoning.encrypted_content"],
                "tools": [{ "type": "function", "name": "look", "parameters": { "type": "object" } }],
            });
            let call = Call::post("/v1/responses", body.to_string());
            let seen = harness.send(&call, |request| upstream.answer(request, STEPS));
            assert_eq!(seen.status, 200, "turn {turn}, step {step}: {} {:?}", seen.text(), upstream.refused);
            for event in &seen.events {
                if let event::Event::Finished(finished) = event {
                    told += finished.stand_ins;
                }
            }
            let response = if stream {
                Event::read_all(&seen.body).last().expect("events").data["response"].clone()
            } else {
                serde_json::from_slice(&seen.body).expect("JSON")
            };
            assert_eq!(response["status"], "completed", "{response}");
            let output = response["output"].as_array().expect("items").clone();
            if keeps == Keeps::Previous {
                items.clear();
                previous = response["id"].clone();
            }
            let mut calls = 0;
            for item in &output {
                match keeps {
                    Keeps::Sealed => items.push(item.clone()),
                    Keeps::Calls if item["type"] != "reasoning" => items.push(item.clone()),
                    Keeps::References => {
                        items.push(json!({ "type": "item_reference", "id": item["id"] }));
                    }
                    Keeps::Calls | Keeps::Previous => {}
                }
            }
            for call in output.iter().filter(|item| item["type"] == "function_call") {
                items.push(json!({
                    "type": "function_call_output", "call_id": call["call_id"], "output": "{\"seen\":true}",
                }));
                calls += 1;
            }
            assert_eq!(calls == 0, step == STEPS, "turn {turn}, step {step}: {response}");
        }
    }
    assert!(upstream.signatures() >= turns * STEPS);
    (upstream.stand_ins, told)
}

#[test]
fn no_signature_is_lost_in_a_long_conversation() {
    for (keeps, stream) in [(Keeps::Sealed, true), (Keeps::Previous, false)] {
        assert_eq!(converse(keeps, stream, false, LONG), (0, 0), "{keeps:?}, stream {stream}");
    }
}

#[test]
fn nor_in_a_short_one_however_a_client_keeps_it() {
    for keeps in [Keeps::Sealed, Keeps::Calls, Keeps::Previous, Keeps::References] {
        for stream in [false, true] {
            assert_eq!(converse(keeps, stream, false, SHORT), (0, 0), "{keeps:?}, stream {stream}");
        }
    }
}

#[test]
fn reasoning_items_carry_signatures_past_a_gateway_that_forgets() {
    for stream in [false, true] {
        assert_eq!(converse(Keeps::Sealed, stream, true, SHORT), (0, 0), "stream {stream}");
    }
    let (came, told) = converse(Keeps::Calls, true, true, SHORT);
    assert!(came > 0, "nothing else carries them");
    assert_eq!(came, told, "operators are told");
}
