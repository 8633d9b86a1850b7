//! Chat completions against golden fixtures, against themselves, and against noise.

use libra_core::error::Kind;
use libra_core::gemini::request::Known;
use libra_core::openai::chat::stream::Encoder;
use libra_core::openai::chat::{ChatRequest, Context, from_gemini, to_gemini};
use serde_json::{Value, json};

use crate::golden::{body, cases, known, split_with_indices, value, with_fields};
use crate::recordings::Recording;
use crate::shape::{check_chunks, check_completion};

#[path = "../harness/golden.rs"]
mod golden;
#[path = "../harness/mutation.rs"]
mod mutation;
mod noise;
#[path = "../harness/recordings.rs"]
mod recordings;
mod shape;

const ID: &str = "chatcmpl-0123456789abcdefghijklmnop";
const CREATED: u64 = 1_800_000_000;

/// A request of which a case says only what matters.
fn chat(fields: &Value) -> ChatRequest {
    let plain = json!({ "model": "asked-for", "messages": [{ "role": "user", "content": "Hi" }] });
    parse(&with_fields(plain, fields))
}

fn parse(request: &Value) -> ChatRequest {
    ChatRequest::parse(request.to_string().as_bytes()).expect("a request that can be read")
}

fn context(fields: &Value) -> Context {
    chat(fields).context(ID, CREATED)
}

/// What a stream of events becomes: the chunks, without `[DONE]`, which is checked.
fn chunks(context: Context, events: &[Value]) -> Vec<Value> {
    let mut encoder = Encoder::new(context);
    let mut out = Vec::new();
    for event in events {
        assert!(!out.ends_with(b"data: [DONE]\n\n"));
        encoder.push(event.to_string().as_bytes(), &mut out).expect("an event that can be read");
        assert!(out.is_empty() || out.ends_with(b"}\n\n"), "only whole frames come out");
    }
    assert!(encoder.is_finished());
    encoder.finish(&mut out);
    let text = String::from_utf8(out).expect("UTF-8");
    let mut frames: Vec<_> = text.split_terminator("\n\n").collect();
    assert_eq!(frames.pop(), Some("data: [DONE]"));
    frames
        .iter()
        .map(|frame| {
            assert!(!frame.contains('\n'));
            value(frame.strip_prefix("data: ").expect("one line of data").as_bytes())
        })
        .collect()
}

fn translated_request(case: &Value) -> Value {
    let chat = parse(&case["request"]);
    let models = case["expected"].as_object().expect("models").keys();
    models
        .map(|model| {
            (model.clone(), value(&to_gemini::request(&chat, model, &known(case)).expect("translates").body))
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn translated_answer(case: &Value) -> Value {
    value(
        &from_gemini::answer(case["answer"].to_string().as_bytes(), &context(&case["request"]))
            .expect("answers")
            .0,
    )
}

fn translated_stream(case: &Value) -> Value {
    chunks(context(&case["request"]), case["events"].as_array().expect("events")).into()
}

const REQUESTS: [&str; 3] =
    ["chat/request/messages.json", "chat/request/tools.json", "chat/request/settings.json"];
const ANSWERS: &str = "chat/answer/answers.json";
const STREAMS: &str = "chat/stream/streams.json";

#[test]
fn requests() {
    golden::check(&REQUESTS, translated_request);
}

#[test]
fn answers() {
    golden::check(&[ANSWERS], translated_answer);
    for case in cases(ANSWERS) {
        check_completion(&case["expected"]);
    }
}

#[test]
fn streams() {
    golden::check(&[STREAMS], translated_stream);
    for case in cases(STREAMS) {
        check_chunks(case["expected"].as_array().expect("chunks"));
    }
}

#[test]
fn wrong_requests_name_the_field() {
    golden::check_refusals("chat/errors.json", |case| {
        let chat = ChatRequest::parse(body(case).as_bytes())?;
        to_gemini::request(&chat, "gemini-2.5-flash", &Known::default()).map(|_| ())
    });
}

#[test]
fn wrong_answers_are_errors() {
    let check = |body: &str, kind: Kind| {
        let context = || context(&json!({}));
        assert_eq!(
            from_gemini::answer(body.as_bytes(), &context()).map(|_| ()).map_err(|error| error.kind),
            Err(kind),
            "{body}"
        );
        let mut out = Vec::new();
        let pushed = Encoder::new(context()).push(body.as_bytes(), &mut out);
        assert_eq!(pushed.map_err(|error| error.kind), Err(kind), "{body}");
        assert!(out.is_empty());
    };
    check("", Kind::BadGateway);
    check("<html>", Kind::BadGateway);
    check("[]", Kind::BadGateway);
    check(r#"{"candidates":[{"content":{"parts":[{"text":1}]}}]}"#, Kind::BadGateway);
    check(r#"{"error":{"code":503,"message":"The model is overloaded."}}"#, Kind::Unavailable);
    check(r#"{"error":{"message":"?"}}"#, Kind::BadGateway);
    let empty = from_gemini::answer(b"{}", &context(&json!({})));
    assert_eq!(empty.map(|_| ()).map_err(|error| error.kind), Err(Kind::BadGateway));
}

#[test]
fn a_stream_without_a_finish_reason_is_not_finished() {
    let mut encoder = Encoder::new(context(&json!({})));
    let mut out = Vec::new();
    assert!(!encoder.is_finished());
    encoder.push(br#"{"usageMetadata":{"promptTokenCount":1}}"#, &mut out).expect("an event");
    assert!(out.is_empty() && !encoder.is_finished());
    let two = br#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"},{"index":1}]}"#;
    encoder.push(two, &mut out).expect("an event");
    assert!(!encoder.is_finished(), "the second choice has none");
    encoder.push(br#"{"candidates":[{"index":1,"finishReason":"STOP"}]}"#, &mut out).expect("an event");
    assert!(encoder.is_finished());
    let many = br#"{"candidates":[{"index":4000000000}]}"#;
    assert!(encoder.push(many, &mut out).is_err(), "candidates are bounded");
}

#[test]
fn ids_of_calls_are_short_and_unlike() {
    let answer = json!({ "candidates": [{ "content": { "parts": [
        { "functionCall": { "name": "a" } }, { "functionCall": { "name": "a" } },
    ] } }, { "index": 1, "content": { "parts": [{ "functionCall": { "name": "a" } }] } }] });
    let answer =
        value(&from_gemini::answer(answer.to_string().as_bytes(), &context(&json!({}))).expect("answers").0);
    let mut ids: Vec<_> = answer["choices"]
        .as_array()
        .expect("choices")
        .iter()
        .flat_map(|choice| choice["message"]["tool_calls"].as_array().expect("calls"))
        .map(|call| call["id"].as_str().expect("an id").to_owned())
        .collect();
    assert!(ids.iter().all(|id| id.len() <= 40), "{ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

/// What a client can collect from a stream has to be what a whole answer says.
#[test]
fn a_stream_says_what_a_whole_answer_says() {
    let mut checked = 0;
    for case in cases(ANSWERS) {
        let whole = &case["expected"];
        if !whole["choices"][0]["message"]["audio"].is_null() {
            // Sound is joined, and put behind a header, only where it is whole.
            continue;
        }
        for events in [vec![case["answer"].clone()], split_with_indices(&case["answer"])] {
            let mut fields = case["request"].clone();
            fields["stream_options"] = json!({ "include_usage": true });
            let streamed = collect(&chunks(context(&fields), &events));
            assert_eq!(streamed["choices"], comparable(whole), "{}", case["name"]);
            assert_eq!(streamed["usage"], whole["usage"], "{}", case["name"]);
            checked += 1;
        }
    }
    assert!(checked > 20);
}

/// What a client makes of chunks.
fn collect(chunks: &[Value]) -> Value {
    let mut choices: Vec<Value> = Vec::new();
    let mut usage = Value::Null;
    for chunk in chunks {
        for part in chunk["choices"].as_array().expect("choices") {
            let index = usize::try_from(part["index"].as_u64().expect("an index")).expect("small");
            if choices.len() <= index {
                choices.resize(index + 1, json!({ "content": "", "calls": {}, "images": [] }));
            }
            let choice = &mut choices[index];
            for name in ["content", "reasoning_content", "refusal"] {
                if let Some(text) = part["delta"][name].as_str() {
                    choice[name] = format!("{}{text}", choice[name].as_str().unwrap_or_default()).into();
                }
            }
            for call in part["delta"]["tool_calls"].as_array().into_iter().flatten() {
                let mut call = call.clone();
                let index = call.as_object_mut().and_then(|call| call.remove("index")).expect("an index");
                assert!(choice["calls"][index.to_string()].is_null(), "a call comes whole");
                choice["calls"][index.to_string()] = call;
            }
            for image in part["delta"]["images"].as_array().into_iter().flatten() {
                choice["images"].as_array_mut().expect("an array").push(image.clone());
            }
            for name in ["function_call", "annotations", "extra_content"] {
                if !part["delta"][name].is_null() {
                    choice[name] = part["delta"][name].clone();
                }
            }
            for name in ["finish_reason", "native_finish_reason", "logprobs"] {
                if !part[name].is_null() {
                    choice[name] = part[name].clone();
                }
            }
        }
        usage = chunk["usage"].clone();
    }
    json!({ "choices": choices, "usage": usage })
}

/// A whole answer in the shape of [`collect`].
fn comparable(whole: &Value) -> Value {
    let choices = whole["choices"].as_array().expect("choices").iter().map(|choice| {
        let message = &choice["message"];
        let mut calls = json!({});
        for (index, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
            calls[index.to_string()] = call.clone();
        }
        let mut comparable = json!({
            "content": message["content"].as_str().unwrap_or_default(),
            "calls": calls,
            "images": message["images"].as_array().cloned().unwrap_or_default(),
        });
        for name in ["reasoning_content", "refusal", "function_call", "annotations", "extra_content"] {
            if !message[name].is_null() {
                comparable[name] = message[name].clone();
            }
        }
        for name in ["finish_reason", "native_finish_reason", "logprobs"] {
            if !choice[name].is_null() {
                comparable[name] = choice[name].clone();
            }
        }
        comparable
    });
    choices.collect::<Vec<_>>().into()
}

/// Real answers of Google's, where this machine has some: each has to become a well-formed completion with the
/// same text. Where there are none, nothing is checked, and the test says so.
#[test]
fn recorded_answers_translate_where_there_are_recordings() {
    recordings::check(|Recording { path, body, events }| {
        let text = |thought: bool| -> String {
            let parts =
                events.iter().filter_map(|event| event["candidates"][0]["content"]["parts"].as_array());
            let parts = parts.flatten().filter(|part| (part["thought"] == true) == thought);
            parts.filter_map(|part| part["text"].as_str()).collect()
        };
        let has_code = body.contains("executableCode");
        let calls = events.iter().filter_map(|event| event["candidates"][0]["content"]["parts"].as_array());
        let calls = calls.flatten().filter(|part| !part["functionCall"].is_null()).count();

        let chunks = chunks(context(&json!({ "web_search_options": {} })), events);
        check_chunks(&chunks);
        let streamed = collect(&chunks);
        let streamed = &streamed["choices"][0];
        let said = |name: &str| streamed[name].as_str().unwrap_or_default().to_owned();
        assert!(said("content") == text(false) || has_code, "{path}");
        assert_eq!(said("reasoning_content"), text(true));
        assert_eq!(streamed["calls"].as_object().map(serde_json::Map::len), Some(calls));
        if let [answer] = events.as_slice() {
            let completion = from_gemini::answer(answer.to_string().as_bytes(), &context(&json!({})));
            let completion = value(&completion.expect("answers").0);
            check_completion(&completion);
            let message = &completion["choices"][0]["message"];
            assert!(message["content"].as_str().unwrap_or_default() == text(false) || has_code, "{path}");
        }
    });
}
