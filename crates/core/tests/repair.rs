//! What Google refuses of what the gateway has made is made otherwise, once, and remembered.

mod harness;

use harness::{Call, Canned, Harness, config};
use libra_core::event::Event;
use serde_json::{Value, json};

const ANSWER: &str = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#;

fn refused(message: &str) -> Canned {
    let error = json!({ "error": { "code": 400, "message": message, "status": "INVALID_ARGUMENT" } });
    Canned::json(400, error.to_string())
}

fn chat(parameters: &Value) -> Call {
    let body = json!({
        "model": "gemini-3.5-flash", "messages": [{ "role": "user", "content": "Hi" }],
        "tools": [{ "type": "function", "function": { "name": "f", "parameters": parameters } }],
    });
    Call::post("/v1/chat/completions", body.to_string())
}

#[test]
fn a_refused_schema_is_put_otherwise_and_remembered() {
    let mut harness = Harness::new(config(&["pool-key-one", "pool-key-two"]));
    let refusal = "* GenerateContentRequest.tools[0].function_declarations[0].parameters_json_schema.properties[a].format: only 'enum' and 'date-time' are supported for STRING type";
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string", "format": "uri" } } });
    let mut upstream = |request: &http::Request<Option<bytes::Bytes>>| {
        let body = String::from_utf8_lossy(request.body().as_deref().unwrap_or_default()).into_owned();
        if body.contains("\"format\"") { refused(refusal) } else { Canned::json(200, ANSWER) }
    };
    let first = harness.send(&chat(&schema), &mut upstream);
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(first.calls.len(), 2);
    assert_eq!(first.calls[0], first.calls[1], "the same key: no other would take it as it was");
    assert!(first.events.iter().any(|event| matches!(event, Event::AttemptFailed { .. })));
    let second = harness.send(&chat(&schema), &mut upstream);
    assert_eq!((second.status, second.calls.len()), (200, 1), "remembered");
}

#[test]
fn what_does_not_help_is_told_and_forgotten() {
    let mut harness = Harness::new(config(&["pool-key-one", "pool-key-two"]));
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let seen = harness.send(&chat(&json!({ "type": "object" })), |request| {
            bodies.push(request.body().clone().unwrap_or_default());
            refused("The specified schema produces a constraint that has too many states for serving.")
        });
        assert_eq!((seen.status, seen.calls.len()), (400, 2), "{}", seen.text());
        assert!(seen.text().contains("too many states"), "{}", seen.text());
    }
    let is_open_api = |body: &bytes::Bytes| String::from_utf8_lossy(body).contains("\"parameters\":");
    assert_eq!(bodies.iter().map(is_open_api).collect::<Vec<_>>(), [false, true, false, true]);
    // What has nothing to do with a schema is the client's affair.
    let seen = harness
        .send(&chat(&json!({ "type": "object" })), |_| refused("Please use a valid role: user, model."));
    assert_eq!((seen.status, seen.calls.len()), (400, 1));
}

#[test]
fn refused_signatures_are_replaced_once() {
    let mut harness = Harness::new(config(&["pool-key-one", "pool-key-two"]));
    let body = json!({ "model": "gemini-3.5-flash", "messages": [
        { "role": "user", "content": "Hi" },
        { "role": "assistant", "tool_calls": [{ "id": "x", "type": "function", "function": { "name": "f", "arguments": "{}" },
            "extra_content": { "google": { "thought_signature": "Zm9yZWlnbg==" } } }] },
        { "role": "tool", "tool_call_id": "x", "content": "1" },
    ] });
    let call = Call::post("/v1/chat/completions", body.to_string());
    let seen = harness.send(&call, |request| {
        let body = String::from_utf8_lossy(request.body().as_deref().unwrap_or_default()).into_owned();
        if body.contains("Zm9yZWlnbg==") {
            refused("Corrupted thought signature.")
        } else {
            Canned::json(200, ANSWER)
        }
    });
    assert_eq!((seen.status, seen.calls.len()), (200, 2), "{}", seen.text());
    let stand_ins = seen.events.iter().find_map(|event| match event {
        Event::Finished(finished) => Some(finished.stand_ins),
        _ => None,
    });
    assert_eq!(stand_ins, Some(1), "operators are told");
}

#[test]
fn a_native_body_is_the_clients_affair() {
    let body = r#"{"contents":[],"generationConfig":{"responseJsonSchema":{"type":"string"}}}"#;
    let call = Call::post("/v1beta/models/gemini-3.5-flash:generateContent", body);
    let seen = Harness::new(config(&["pool-key-one"]))
        .send(&call, |_| refused("The response_json_schema is refused."));
    assert_eq!((seen.status, seen.calls.len()), (400, 1));
}
