//! Anthropic's messages against golden fixtures, against themselves, and against noise.
//!
//! A fixture file is an array of cases. With `LIBRA_WRITE_FIXTURES=1` the tests write what the code answers today
//! into them, to be read before it is committed, and fail.

use std::fs;
use std::path::{Path, PathBuf};

use libra_core::anthropic::messages::stream::Encoder;
use libra_core::anthropic::messages::{Context, MessagesRequest, from_gemini, to_gemini};
use libra_core::error::Kind;
use libra_core::gemini::request::Known;
use libra_core::signatures::{Issued, Recalled};
use serde_json::{Value, json};

use crate::client::{check as check_message, collect, comparable};

mod client;
#[path = "../harness/mutation.rs"]
mod mutation;
mod noise;

const ID: &str = "msg_0123456789abcdefghijklmnop";
const MODEL: &str = "gemini-3.5-flash";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/messages").join(name)
}

fn cases(name: &str) -> Vec<Value> {
    let text = fs::read(fixture(name)).expect("the fixture is there");
    serde_json::from_slice(&text).expect("the fixture is an array of cases")
}

/// A request of which a case says only what matters.
fn messages(fields: &Value) -> MessagesRequest {
    let mut request = json!({ "model": "asked-for", "messages": [{ "role": "user", "content": "Hi" }] });
    for (name, value) in fields.as_object().into_iter().flatten() {
        request[name] = value.clone();
    }
    parse(&request)
}

fn parse(request: &Value) -> MessagesRequest {
    MessagesRequest::parse(request.to_string().as_bytes()).expect("a request that can be read")
}

/// What the gateway remembers: `{"id": {"signature": …, "native_id": …}}`.
fn known(case: &Value) -> Known {
    let mut recalled = Recalled::default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    recalled.extend(case["recalled"].as_object().into_iter().flatten().map(|(id, call)| Issued {
        id: id.clone(),
        signature: text(&call["signature"]),
        native_id: text(&call["native_id"]),
    }));
    Known { recalled, ..Known::default() }
}

fn context(fields: &Value) -> Context {
    messages(fields).context(ID)
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

/// What a stream of events becomes, and what is remembered of it.
fn stream(context: Context, events: &[Value]) -> (String, Vec<Issued>) {
    let mut encoder = Encoder::new(context, MODEL);
    let (mut out, mut issued) = (Vec::new(), Vec::new());
    for event in events {
        encoder.push(event.to_string().as_bytes(), &mut out).expect("an event that can be read");
        assert!(out.is_empty() || out.ends_with(b"}\n\n"), "only whole frames come out");
        issued.append(&mut encoder.take_issued());
    }
    assert!(encoder.is_finished());
    encoder.finish(&mut out);
    (String::from_utf8(out).expect("UTF-8"), issued)
}

fn is_writing() -> bool {
    std::env::var_os("LIBRA_WRITE_FIXTURES").is_some()
}

/// Runs `translate` on every case of a file, and compares.
fn check(file: &str, translate: impl Fn(&Value) -> Value) {
    if is_writing() {
        let mut cases = cases(file);
        for case in &mut cases {
            case["expected"] = translate(case);
        }
        let text = serde_json::to_string_pretty(&cases).expect("JSON") + "\n";
        fs::write(fixture(file), text).expect("the fixture can be written");
        eprintln!("{file} was written anew: read the difference");
        return;
    }
    for case in cases(file) {
        let translated = translate(&case);
        assert_eq!(
            translated,
            case["expected"],
            "{file}: {}\n{}",
            case["name"],
            serde_json::to_string_pretty(&translated).expect("JSON")
        );
    }
}

fn translated_request(case: &Value) -> Value {
    let request = parse(&case["request"]);
    let models = case["expected"].as_object().expect("models").keys();
    models
        .map(|model| {
            let written = to_gemini::request(&request, model, &known(case)).expect("translates");
            (model.clone(), value(&written.body))
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn translated_answer(case: &Value) -> Value {
    let body = case["answer"].to_string();
    value(&from_gemini::answer(body.as_bytes(), &context(&case["request"])).expect("answers").0)
}

/// The events, a line each.
fn translated_stream(case: &Value) -> Value {
    let events = case["events"].as_array().expect("events");
    let (out, _) = stream(context(&case["request"]), events);
    collect(&out);
    out.split_terminator("\n\n").map(|frame| frame.replace('\n', " ")).collect::<Vec<_>>().into()
}

const REQUESTS: [&str; 3] = ["request/messages.json", "request/tools.json", "request/settings.json"];
const ANSWERS: &str = "answer/answers.json";
const STREAMS: &str = "stream/streams.json";

#[test]
fn requests() {
    REQUESTS.iter().for_each(|file| check(file, translated_request));
    assert!(!is_writing(), "the fixtures were written anew");
}

#[test]
fn answers() {
    check(ANSWERS, translated_answer);
    assert!(!is_writing(), "the fixtures were written anew");
    for case in cases(ANSWERS) {
        check_message(&case["expected"]);
    }
}

#[test]
fn streams() {
    check(STREAMS, translated_stream);
    assert!(!is_writing(), "the fixtures were written anew");
}

#[test]
fn a_stream_says_what_a_whole_answer_says() {
    let mut checked = 0;
    for case in cases(ANSWERS) {
        let context = context(&case["request"]);
        for events in [vec![case["answer"].clone()], split(&case["answer"])] {
            let streamed = collect(&stream(context.clone(), &events).0);
            assert_eq!(comparable(&streamed), comparable(&case["expected"]), "{}", case["name"]);
            checked += 1;
        }
    }
    assert!(checked > 20);
}

/// One event a part, the rest of the candidate on its last one.
fn split(answer: &Value) -> Vec<Value> {
    let mut events = Vec::new();
    for candidate in answer["candidates"].as_array().into_iter().flatten() {
        let parts = candidate["content"]["parts"].as_array().cloned().unwrap_or_default();
        for part in parts.split_last().map(|(_, but_last)| but_last).unwrap_or_default() {
            events.push(json!({ "candidates": [{ "content": { "parts": [part] } }] }));
        }
        let mut last = candidate.clone();
        if let Some(part) = parts.last() {
            last["content"]["parts"] = json!([part]);
        }
        events.push(json!({ "candidates": [last] }));
    }
    let mut rest = answer.clone();
    if let Some(rest) = rest.as_object_mut() {
        rest.remove("candidates");
    }
    events.push(rest);
    events
}

/// The blocks of an answer, handed back, bring Gemini's signatures to where they came from.
#[test]
fn signatures_come_back_where_they_came_from() {
    let thinks = json!({ "thinking": { "type": "adaptive" } });
    let check = |parts: Value, expected: &[&str]| {
        let candidates = json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": "STOP" }] });
        let whole =
            from_gemini::answer(candidates.to_string().as_bytes(), &context(&thinks)).expect("answers");
        let streamed = stream(context(&thinks), &split(&candidates));
        for (message, issued, without_memory) in
            [(value(&whole.0), whole.1, true), (collect(&streamed.0), streamed.1, false)]
        {
            let mut recalled = Recalled::default();
            if !without_memory {
                recalled.extend(issued);
            }
            let request = parse(&json!({ "model": MODEL, "messages": [
                { "role": "user", "content": "Hi" },
                { "role": "assistant", "content": message["content"] },
            ] }));
            let known = Known { recalled, ..Known::default() };
            let body = value(&to_gemini::request(&request, MODEL, &known).expect("translates").body);
            let signatures: Vec<&str> = body["contents"][1]["parts"]
                .as_array()
                .expect("parts")
                .iter()
                .map(|part| part["thoughtSignature"].as_str().unwrap_or_default())
                .collect();
            assert_eq!(signatures, expected, "{message} {body}");
        }
    };
    let thought = json!({ "text": "Hm.", "thought": true });
    let call = json!({ "functionCall": { "name": "a", "args": {} } });
    let signed_call = json!({ "functionCall": { "name": "a", "args": {} }, "thoughtSignature": "Y2FsbA==" });
    let (text, end) = (json!({ "text": "Well." }), json!({ "text": "", "thoughtSignature": "dGV4dA==" }));
    check(json!([thought, signed_call, call]), &["Y2FsbA==", ""]);
    check(json!([signed_call]), &["Y2FsbA=="]);
    check(json!([thought, text, signed_call]), &["", "Y2FsbA=="]);
    check(json!([thought, text, text, end]), &["dGV4dA=="]);
    check(json!([text, end]), &["dGV4dA=="]);
    check(json!([thought, text, end, signed_call]), &["dGV4dA==", "Y2FsbA=="]);
}

#[test]
fn counts_ask_for_everything_that_an_answer_would() {
    let request = messages(&json!({ "system": "Be brief.", "tools": [{ "name": "a", "input_schema": {} }] }));
    let written = to_gemini::count(&request, MODEL, &Known::default()).expect("translates");
    let asked = value(&to_gemini::request(&request, MODEL, &Known::default()).expect("translates").body);
    let mut inside = value(&written.body)["generateContentRequest"].clone();
    assert_eq!(inside["model"], "models/gemini-3.5-flash");
    inside.as_object_mut().expect("an object").remove("model");
    assert_eq!(inside, asked);
    let count = from_gemini::count(br#"{"totalTokens":7,"promptTokensDetails":[]}"#).expect("a count");
    assert_eq!(count, r#"{"input_tokens":7}"#);
    assert!(from_gemini::count(b"<html>").is_err());
}

#[test]
fn wrong_requests_name_the_field() {
    for case in cases("errors.json") {
        let body = case["body"].as_str().map_or_else(|| case["body"].to_string(), str::to_owned);
        let result = MessagesRequest::parse(body.as_bytes()).and_then(|request| {
            to_gemini::request(&request, "gemini-2.5-flash", &Known::default()).map(|_| ())
        });
        let error = result.expect_err(case["name"].as_str().unwrap_or_default());
        assert_eq!(error.kind, Kind::BadRequest);
        assert_eq!(error.param.as_deref(), case["param"].as_str(), "{}: {error}", case["name"]);
        let expected = case["message"].as_str().expect("a message");
        assert!(error.message.contains(expected), "{}: {error}", case["name"]);
    }
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
        let pushed = Encoder::new(context(), MODEL).push(body.as_bytes(), &mut out);
        assert_eq!(pushed.map_err(|error| error.kind), Err(kind), "{body}");
        assert!(out.is_empty());
    };
    check("", Kind::BadGateway);
    check("<html>", Kind::BadGateway);
    check("[]", Kind::BadGateway);
    check(r#"{"candidates":[{"content":{"parts":[{"text":1}]}}]}"#, Kind::BadGateway);
    check(r#"{"error":{"code":503,"message":"The model is overloaded."}}"#, Kind::Unavailable);
    let empty = from_gemini::answer(b"{}", &context(&json!({})));
    assert_eq!(empty.map(|_| ()).map_err(|error| error.kind), Err(Kind::BadGateway));
}

#[test]
fn a_stream_without_a_finish_reason_is_not_finished() {
    let mut encoder = Encoder::new(context(&json!({})), MODEL);
    let mut out = Vec::new();
    assert!(!encoder.is_finished());
    encoder.push(br#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#, &mut out).expect("an event");
    assert!(!encoder.is_finished());
    encoder.push(br#"{"candidates":[{"finishReason":"STOP"}]}"#, &mut out).expect("an event");
    assert!(encoder.is_finished());
}
