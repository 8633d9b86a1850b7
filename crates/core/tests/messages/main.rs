//! Anthropic's messages against golden fixtures, against themselves, and against noise.

use libra_core::anthropic::messages::stream::Encoder;
use libra_core::anthropic::messages::{Context, MessagesRequest, from_gemini, to_gemini};
use libra_core::error::Kind;
use libra_core::gemini::request::Known;
use libra_core::signatures::{Issued, Recalled};
use serde_json::{Value, json};

use crate::client::{check as check_message, collect, comparable};
use crate::golden::{body, cases, known, split, value, with_fields};

mod client;
#[path = "../harness/golden.rs"]
mod golden;
#[path = "../harness/mutation.rs"]
mod mutation;
mod noise;

const ID: &str = "msg_0123456789abcdefghijklmnop";
const MODEL: &str = "gemini-3.5-flash";

/// A request of which a case says only what matters.
fn messages(fields: &Value) -> MessagesRequest {
    let plain = json!({ "model": "asked-for", "messages": [{ "role": "user", "content": "Hi" }] });
    parse(&with_fields(plain, fields))
}

fn parse(request: &Value) -> MessagesRequest {
    MessagesRequest::parse(request.to_string().as_bytes()).expect("a request that can be read")
}

fn context(fields: &Value) -> Context {
    messages(fields).context(ID)
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

const REQUESTS: [&str; 3] =
    ["messages/request/messages.json", "messages/request/tools.json", "messages/request/settings.json"];
const ANSWERS: &str = "messages/answer/answers.json";
const STREAMS: &str = "messages/stream/streams.json";

#[test]
fn requests() {
    golden::check(&REQUESTS, translated_request);
}

#[test]
fn answers() {
    golden::check(&[ANSWERS], translated_answer);
    for case in cases(ANSWERS) {
        check_message(&case["expected"]);
    }
}

#[test]
fn streams() {
    golden::check(&[STREAMS], translated_stream);
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
    golden::check_refusals("messages/errors.json", |case| {
        let request = MessagesRequest::parse(body(case).as_bytes())?;
        to_gemini::request(&request, "gemini-2.5-flash", &Known::default()).map(|_| ())
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
