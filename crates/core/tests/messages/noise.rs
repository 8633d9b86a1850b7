//! Noise: whatever comes in, the translators answer or refuse, and never panic.

use libra_core::anthropic::messages::stream::Encoder;
use libra_core::anthropic::messages::{MessagesRequest, from_gemini, to_gemini};
use libra_core::gemini::request::Known;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::client::{check as check_message, collect};
use crate::golden::{cases, value};
use crate::mutation::{self, repeatable};
use crate::{ANSWERS, REQUESTS, context};

/// The words that the translators look for.
const WORDS: &str = "\
    model messages role content user assistant system text type image document source base64 url \
    media_type image/png data file file_id files/a title context tool_use tool_result tool_use_id id \
    name input is_error thinking signature sig_a redacted_thinking server_tool_use \
    code_execution_tool_result search_result stdout code tools input_schema bash_20250124 \
    web_search_20250305 custom tool_choice any tool disable_parallel_tool_use enabled disabled \
    budget_tokens output_config effort high format json_schema schema max_tokens stop_sequences \
    candidates parts functionCall args finishReason STOP SAFETY inlineData mimeType thought \
    thoughtSignature groundingMetadata groundingChunks web uri groundingSupports segment \
    webSearchQueries executableCode codeExecutionResult outcome output usageMetadata promptFeedback \
    blockReason index";

/// Any JSON that could look like a request or an answer.
fn any_json() -> impl Strategy<Value = Value> {
    mutation::any_json(WORDS, &["x-anthropic-billing-header: a\nb"])
}

/// Good JSON with one of its values replaced.
fn mutated(files: &[&str], member: &str) -> impl Strategy<Value = Value> + use<> {
    let cases = files.iter().flat_map(|file| cases(file));
    mutation::mutated(cases.map(|case| case[member].clone()).collect(), any_json())
}

const MODELS: [&str; 5] = ["gemini-2.0-flash", "gemini-2.5-pro", "gemini-3.5-flash", "gemini-4-argon", "x"];

fn try_request(request: &Value) {
    let Ok(request) = MessagesRequest::parse(request.to_string().as_bytes()) else { return };
    request.call_ids().for_each(drop);
    for model in MODELS {
        if let Ok(written) = to_gemini::request(&request, model, &Known::default()) {
            let body = value(&written.body);
            let contents = body["contents"].as_array().expect("contents");
            assert!(!contents.is_empty());
            assert!(
                contents.iter().all(|turn| turn["parts"].as_array().is_some_and(|parts| !parts.is_empty()))
            );
            let count =
                to_gemini::count(&request, model, &Known::default()).expect("what is asked is counted");
            value(&count.body);
        }
    }
}

fn try_answer(answer: &Value) {
    let body = answer.to_string();
    for fields in [
        json!({}),
        json!({ "thinking": { "type": "adaptive" }, "tools": [{ "name": "a b", "input_schema": {} }] }),
        json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search" }],
            "tool_choice": { "type": "auto", "disable_parallel_tool_use": true } }),
    ] {
        let context = context(&fields);
        if let Ok((message, _)) = from_gemini::answer(body.as_bytes(), &context) {
            check_message(&value(&message));
        }
        let mut out = Vec::new();
        let mut encoder = Encoder::new(context, "gemini-3.5-flash");
        if encoder.push(body.as_bytes(), &mut out).is_ok() && encoder.is_finished() {
            encoder.finish(&mut out);
            collect(&String::from_utf8(out).expect("UTF-8"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..repeatable() })]

    #[test]
    fn any_json_is_a_request_or_an_error(request in any_json()) {
        try_request(&request);
        try_request(&json!({ "model": "m", "messages": request, "tools": request }));
        try_request(&json!({ "model": "m", "messages": [{ "role": "user", "content": request },
            { "role": "assistant", "content": request }], "system": request }));
        try_request(&json!({ "model": "m", "messages": [{ "role": "user", "content": "a" }], "tools": [
            { "name": "a", "input_schema": request },
        ], "output_config": { "format": { "type": "json_schema", "schema": request } } }));
    }

    #[test]
    fn a_mutated_request_is_a_request_or_an_error(request in mutated(&REQUESTS, "request")) {
        try_request(&request);
    }

    #[test]
    fn any_json_is_an_answer_or_an_error(answer in any_json()) {
        try_answer(&answer);
        try_answer(&json!({ "candidates": [{ "content": { "parts": [answer] }, "groundingMetadata": answer, "finishReason": "STOP" }] }));
    }

    #[test]
    fn a_mutated_answer_is_an_answer_or_an_error(answer in mutated(&[ANSWERS], "answer")) {
        try_answer(&answer);
    }

    #[test]
    fn any_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(MessagesRequest::parse(&bytes).is_err());
        let answered = from_gemini::answer(&bytes, &context(&json!({})));
        prop_assert!(answered.is_err());
    }
}
