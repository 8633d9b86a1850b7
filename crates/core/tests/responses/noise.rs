//! Noise: whatever comes in, the translators answer or refuse, never panic, and what they send is in order.

use libra_core::gemini::request::Known;
use libra_core::openai::responses::stream::Encoder;
use libra_core::openai::responses::{ResponsesRequest, from_gemini, to_gemini};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::golden::{cases, value};
use crate::mutation::{self, repeatable};
use crate::shape::{Event, check_events, check_response};
use crate::{ANSWERS, ID, REQUESTS, context};

/// The words that the translators look for.
const WORDS: &str = "\
    model input type role content user assistant developer message text input_text output_text \
    input_image image_url input_file file_data file_id file_url filename id call_id name namespace \
    arguments {} output function_call function_call_output custom_tool_call custom_tool_call_output \
    reasoning encrypted_content libra1.next.AAAA libra1.call.a.AAAA libra1.last.AAAA summary \
    item_reference additional_tools tools function custom web_search parameters format grammar \
    json_schema schema tool_choice allowed_tools mode required effort low include extra_content google \
    thought_signature mcp_call local_shell_call action image_generation_call result \
    code_interpreter_call code outputs logs candidates parts functionCall args finishReason STOP \
    inlineData mimeType image/png data executableCode codeExecutionResult groundingMetadata \
    webSearchQueries groundingChunks web uri groundingSupports segment startIndex endIndex usageMetadata \
    promptFeedback blockReason logprobsResult chosenCandidates token thought thoughtSignature";

/// Any JSON that could look like a request or an answer.
fn any_json() -> impl Strategy<Value = Value> {
    mutation::any_json(WORDS, &[])
}

/// Good JSON with one of its values replaced.
fn mutated(file: &str, member: &str) -> impl Strategy<Value = Value> + use<> {
    mutation::mutated(cases(file).into_iter().map(|case| case[member].clone()).collect(), any_json())
}

fn try_request(request: &Value) {
    let Ok(request) = ResponsesRequest::parse(request.to_string().as_bytes()) else { return };
    let Ok(items) = request.items(ID) else { return };
    for item in &items {
        value(item.json.as_bytes());
    }
    let Ok(conversation) = request.conversation(None, &items) else { return };
    let _ = request.context(&conversation, ID, 0);
    for model in ["gemini-2.5-pro", "gemini-3.5-flash", "gemma-3-27b-it", "x"] {
        if let Ok(translated) = to_gemini::request(&conversation, model, &Known::default()) {
            let body = value(&translated.body);
            let contents = body["contents"].as_array().expect("contents");
            assert!(
                contents.iter().all(|turn| turn["parts"].as_array().is_some_and(|parts| !parts.is_empty()))
            );
        }
    }
}

fn fields() -> [Value; 2] {
    let everything = json!({
        "include": [
            "reasoning.encrypted_content", "code_interpreter_call.outputs", "web_search_call.action.sources",
        ],
        "tools": [
            { "type": "custom", "name": "patch" },
            { "type": "namespace", "name": "n", "tools": [{ "type": "function", "name": "f" }] },
            { "type": "web_search" },
        ],
    });
    [json!({ "parallel_tool_calls": false }), everything]
}

fn try_answer(answer: &Value) {
    let body = answer.to_string();
    for fields in fields() {
        if let Ok((response, _)) = from_gemini::answer(body.as_bytes(), &context(&fields)) {
            check_response(&value(&response));
        }
        try_stream(&fields, std::slice::from_ref(answer));
    }
}

/// Everything that is accepted ends as it should.
fn try_stream(fields: &Value, chunks: &[Value]) {
    let mut encoder = Encoder::new(context(fields));
    let mut out = Vec::new();
    for chunk in chunks {
        let before = out.len();
        if encoder.push(chunk.to_string().as_bytes(), &mut out).is_err() {
            assert_eq!(out.len(), before);
        }
    }
    encoder.finish(&mut out);
    check_events(&Event::read_all(&out));
}

/// A part as Gemini could send it.
fn part() -> impl Strategy<Value = Value> {
    let signed = |part: Value, signature: Option<&'static str>| {
        let mut part = part;
        if let Some(signature) = signature {
            part["thoughtSignature"] = signature.into();
        }
        part
    };
    let text = prop::sample::select(vec!["", "a", "é\n\"", "\u{2028}"]);
    let name = prop::sample::select(vec!["look", "patch", "n.f", ""]);
    let args = prop::sample::select(vec![
        json!({}),
        json!({ "input": "*** Begin\n\"x\"" }),
        json!({ "input": 7 }),
        json!({ "input": "a", "b": 1 }),
        json!(null),
    ]);
    let part = prop_oneof![
        (text.clone(), any::<bool>()).prop_map(|(text, thought)| json!({ "text": text, "thought": thought })),
        (name, args, prop::option::of("[a-c]"))
            .prop_map(|(name, args, id)| json!({ "functionCall": { "id": id, "name": name, "args": args } })),
        Just(json!({ "inlineData": { "mimeType": "image/png", "data": "AAAA" } })),
        Just(json!({ "inlineData": { "mimeType": "audio/L16", "data": "AAAA" } })),
        text.prop_map(|code| json!({ "executableCode": { "language": "PYTHON", "code": code } })),
        Just(json!({ "codeExecutionResult": { "output": "1\n" } })),
        Just(json!({})),
    ];
    (part, prop::option::of(prop::sample::select(vec!["", "c2ln", "+/=="])))
        .prop_map(move |(part, signature)| signed(part, signature))
}

/// An event as Gemini could send it.
fn chunk() -> impl Strategy<Value = Value> {
    let grounding = json!({
        "webSearchQueries": ["q\"", "r"],
        "groundingChunks": [{ "web": { "uri": "https://a", "title": "A" } }],
        "groundingSupports": [{ "segment": { "startIndex": 0, "endIndex": 1 }, "groundingChunkIndices": [0] }],
    });
    let reason = prop::sample::select(vec![
        "STOP",
        "MAX_TOKENS",
        "SAFETY",
        "MALFORMED_FUNCTION_CALL",
        "OTHER",
        "NEW_ONE",
    ]);
    let candidate =
        (prop::collection::vec(part(), 0..4), prop::option::weighted(0.2, reason), any::<bool>(), 0..2_u32)
            .prop_map(move |(parts, reason, grounded, index)| {
                let mut candidate =
                    json!({ "content": { "parts": parts }, "finishReason": reason, "index": index });
                if grounded {
                    candidate["groundingMetadata"] = grounding.clone();
                }
                candidate
            });
    prop_oneof![
        8 => candidate.prop_map(|candidate| json!({ "candidates": [candidate], "usageMetadata": { "totalTokenCount": 3 } })),
        1 => Just(json!({ "promptFeedback": { "blockReason": "SAFETY" } })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..repeatable() })]

    #[test]
    fn any_json_is_a_request_or_an_error(request in any_json()) {
        try_request(&request);
        try_request(&json!({ "model": "m", "input": request, "tools": request, "text": request }));
        try_request(&json!({ "model": "m", "input": [request], "tools": [request], "tool_choice": request }));
    }

    #[test]
    fn a_mutated_request_is_a_request_or_an_error(request in mutated(REQUESTS, "request")) {
        let mut request = request;
        if request.is_object() && request["model"].is_null() {
            request["model"] = "m".into();
        }
        try_request(&request);
    }

    #[test]
    fn any_json_is_an_answer_or_an_error(answer in any_json()) {
        try_answer(&answer);
        try_answer(&json!({ "candidates": [{ "content": { "parts": [answer] }, "groundingMetadata": answer, "logprobsResult": answer, "finishReason": "STOP" }] }));
    }

    #[test]
    fn a_mutated_answer_is_an_answer_or_an_error(answer in mutated(ANSWERS, "answer")) {
        try_answer(&answer);
    }

    #[test]
    fn any_sequence_of_chunks_is_a_valid_sequence_of_events(chunks in prop::collection::vec(chunk(), 0..8)) {
        for fields in fields() {
            try_stream(&fields, &chunks);
        }
    }

    #[test]
    fn any_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(ResponsesRequest::parse(&bytes).is_err());
        let answered = from_gemini::answer(&bytes, &context(&json!({})));
        prop_assert!(answered.is_err());
    }
}
