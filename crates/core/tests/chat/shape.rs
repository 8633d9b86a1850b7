//! What OpenAI's description of the API requires, and what clients rely on besides.

use serde_json::{Value, json};

use crate::golden::value;
use crate::{CREATED, ID};

/// What OpenAI's description of the API requires of a completion.
pub(crate) fn check_completion(completion: &Value) {
    assert_eq!(completion["id"], ID);
    assert_eq!(completion["object"], "chat.completion");
    assert_eq!(completion["created"], CREATED);
    assert_eq!(completion["model"], "asked-for");
    check_usage(&completion["usage"]);
    for choice in completion["choices"].as_array().expect("choices") {
        assert!(choice["index"].is_u64());
        check_reason(&choice["finish_reason"]);
        let has =
            |value: &Value, name: &str| value.as_object().is_some_and(|object| object.contains_key(name));
        assert!(has(choice, "logprobs"));
        let message = &choice["message"];
        assert_eq!(message["role"], "assistant");
        assert!(message["content"].is_string() || has(message, "content"));
        assert!(has(message, "refusal"));
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            check_call(call);
        }
    }
}

/// What it requires of the chunks of a stream, and what clients rely on besides.
pub(crate) fn check_chunks(chunks: &[Value]) {
    let mut started = Vec::new();
    let mut finished = Vec::new();
    for (number, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk["id"], ID);
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["created"], CREATED);
        assert_eq!(chunk["model"], "asked-for");
        let choices = chunk["choices"].as_array().expect("choices");
        if choices.is_empty() {
            assert_eq!(number + 1, chunks.len(), "usage comes last");
            check_usage(&chunk["usage"]);
            continue;
        }
        assert!(chunk["usage"].is_null());
        for choice in choices {
            assert!(choice["delta"].is_object());
            let index = choice["index"].as_u64().expect("an index");
            if !started.contains(&index) {
                assert_eq!(choice["delta"], json!({ "role": "assistant", "content": "" }));
                started.push(index);
            }
            assert!(!finished.contains(&index), "nothing follows a finish reason");
            if !choice["finish_reason"].is_null() {
                check_reason(&choice["finish_reason"]);
                assert_eq!(choice["delta"], json!({}));
                finished.push(index);
            }
            for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
                assert!(call["index"].is_u64());
                check_call(call);
            }
        }
    }
    assert_eq!(started.len(), finished.len());
}

fn check_usage(usage: &Value) {
    for name in ["prompt_tokens", "completion_tokens", "total_tokens"] {
        assert!(usage[name].is_u64());
    }
}

fn check_reason(reason: &Value) {
    let reason = reason.as_str().expect("a reason");
    assert!(
        ["stop", "length", "tool_calls", "content_filter", "function_call"].contains(&reason),
        "{reason}"
    );
}

fn check_call(call: &Value) {
    assert!(call["id"].as_str().is_some_and(|id| !id.is_empty()));
    if call["type"] == "custom" {
        assert!(call["custom"]["name"].is_string() && call["custom"]["input"].is_string());
        return;
    }
    assert_eq!(call["type"], "function");
    assert!(call["function"]["name"].is_string());
    let arguments = call["function"]["arguments"].as_str().expect("arguments are a string");
    assert!(value(arguments.as_bytes()).is_object());
}
