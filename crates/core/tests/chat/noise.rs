//! Noise: whatever comes in, the translators answer or refuse, and never panic.

use libra_core::gemini::remote::Written;
use libra_core::gemini::request::Known;
use libra_core::openai::chat::stream::Encoder;
use libra_core::openai::chat::{ChatRequest, from_gemini, to_gemini};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::golden::{cases, value};
use crate::mutation::{self, repeatable};
use crate::shape::{check_chunks, check_completion};
use crate::{ANSWERS, REQUESTS, context};

/// The words that the translators look for.
const WORDS: &str = "\
    model messages role content user assistant tool system function text type image_url url tool_calls \
    tool_call_id id name arguments {} tools parameters properties required enum const allOf $ref \
    definitions items array tool_choice response_format json_schema schema candidates parts functionCall \
    args finishReason STOP inlineData mimeType image/png audio/L16;rate=1 data data:, groundingMetadata \
    groundingChunks groundingSupports segment startIndex endIndex index usageMetadata promptFeedback \
    blockReason logprobsResult thought extra_body google thinking_config reasoning_effort low stop n \
    seed";

/// Any JSON that could look like a request or an answer.
fn any_json() -> impl Strategy<Value = Value> {
    mutation::any_json(WORDS, &[])
}

/// Good JSON with one of its values replaced.
fn mutated(files: &[&str], member: &str) -> impl Strategy<Value = Value> + use<> {
    let cases = files.iter().flat_map(|file| cases(file));
    mutation::mutated(cases.map(|case| case[member].clone()).collect(), any_json())
}

const MODELS: [&str; 6] =
    ["gemini-2.0-flash", "gemini-2.5-pro", "gemini-3.5-flash", "gemini-4-argon", "gemma-3-27b-it", "x"];

fn try_request(request: &Value) {
    let Ok(chat) = ChatRequest::parse(request.to_string().as_bytes()) else { return };
    for model in MODELS {
        if let Ok(Written { body, .. }) = to_gemini::request(&chat, model, &Known::default()) {
            let body = value(&body);
            let contents = body["contents"].as_array().expect("contents");
            assert!(!contents.is_empty());
            assert!(
                contents.iter().all(|turn| turn["parts"].as_array().is_some_and(|parts| !parts.is_empty()))
            );
        }
    }
}

fn try_answer(answer: &Value) {
    let body = answer.to_string();
    for fields in [
        json!({}),
        json!({ "functions": [{ "name": "a b" }] }),
        json!({ "web_search_options": {}, "modalities": ["audio"], "audio": { "format": "wav" } }),
    ] {
        let context = context(&fields);
        if let Ok((completion, _)) = from_gemini::answer(body.as_bytes(), &context) {
            check_completion(&value(&completion));
        }
        let mut out = Vec::new();
        let mut encoder = Encoder::new(context);
        if encoder.push(body.as_bytes(), &mut out).is_ok() && encoder.is_finished() {
            encoder.finish(&mut out);
            let text = String::from_utf8(out).expect("UTF-8");
            let frames = text.split_terminator("\n\n").filter_map(|frame| frame.strip_prefix("data: {"));
            let chunks: Vec<_> = frames.map(|frame| value(format!("{{{frame}").as_bytes())).collect();
            check_chunks(&chunks);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..repeatable() })]

    #[test]
    fn any_json_is_a_request_or_an_error(request in any_json()) {
        try_request(&request);
        try_request(&json!({ "model": "m", "messages": request, "tools": request }));
        try_request(&json!({ "model": "m", "messages": [{ "role": "user", "content": "a" }], "tools": [
            { "function": { "name": "a", "parameters": request } },
        ], "response_format": { "type": "json_schema", "json_schema": { "schema": request } } }));
    }

    #[test]
    fn a_mutated_request_is_a_request_or_an_error(request in mutated(&REQUESTS, "request")) {
        try_request(&request);
    }

    #[test]
    fn any_json_is_an_answer_or_an_error(answer in any_json()) {
        try_answer(&answer);
        try_answer(&json!({ "candidates": [{ "content": { "parts": [answer] }, "groundingMetadata": answer, "logprobsResult": answer, "finishReason": "STOP" }] }));
    }

    #[test]
    fn a_mutated_answer_is_an_answer_or_an_error(answer in mutated(&[ANSWERS], "answer")) {
        try_answer(&answer);
    }

    #[test]
    fn any_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(ChatRequest::parse(&bytes).is_err());
        let answered = from_gemini::answer(&bytes, &context(&json!({})));
        prop_assert!(answered.is_err());
    }
}
