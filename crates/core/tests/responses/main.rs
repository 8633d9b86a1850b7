//! The Responses API against golden fixtures, against itself, against noise, and in long conversations.

use libra_core::error::{Error, Kind};
use libra_core::gemini::request::Known;
use libra_core::openai::responses::stream::Encoder;
use libra_core::openai::responses::{Context, Conversation, ResponsesRequest, from_gemini, to_gemini};
use serde_json::{Value, json};

use crate::golden::{body, cases, known, split, value, with_fields};
use crate::shape::{Event, check_events, check_response};

mod conversation;
#[path = "../harness/golden.rs"]
mod golden;
#[path = "../harness/mod.rs"]
mod harness;
mod kept;
#[path = "../harness/mutation.rs"]
mod mutation;
mod noise;
mod recorded;
#[path = "../harness/recordings.rs"]
mod recordings;
mod shape;

const ID: &str = "resp_0123456789abcdef01234567";
const CREATED: u64 = 1_800_000_000;

/// A request of which a case says only what matters.
fn request(fields: &Value) -> ResponsesRequest {
    let request = with_fields(json!({ "model": "asked-for", "input": "Hi" }), fields);
    ResponsesRequest::parse(request.to_string().as_bytes()).expect("a request that can be read")
}

fn conversation(request: &ResponsesRequest) -> Result<Conversation, Error> {
    request.conversation(None, &request.items(ID)?)
}

fn context(fields: &Value) -> Context {
    let request = request(fields);
    let conversation = conversation(&request).expect("a conversation");
    request.context(&conversation, ID, CREATED)
}

/// What a stream of events becomes.
fn events(context: Context, chunks: &[Value]) -> Vec<Event> {
    let mut encoder = Encoder::new(context);
    let mut out = Vec::new();
    for chunk in chunks {
        encoder.push(chunk.to_string().as_bytes(), &mut out).expect("an event that can be read");
        assert!(out.is_empty() || out.ends_with(b"}\n\n"), "only whole frames come out");
    }
    assert!(encoder.is_finished());
    encoder.finish(&mut out);
    let events = Event::read_all(&out);
    let answer = encoder.take_answer().expect("it is finished");
    assert_eq!(value(&answer), events.last().expect("events").data["response"]);
    events
}

const REQUESTS: &str = "responses/requests.json";
const ANSWERS: &str = "responses/answers.json";
const STREAMS: &str = "responses/streams.json";

#[test]
fn requests() {
    golden::check(&[REQUESTS], |case| {
        let conversation = conversation(&request(&case["request"])).expect("a conversation");
        let model = case["model"].as_str().unwrap_or("gemini-3.5-flash");
        let translated = to_gemini::request(&conversation, model, &known(case)).expect("translates");
        value(&translated.body)
    });
}

#[test]
fn answers() {
    golden::check(&[ANSWERS], |case| {
        let (answer, _) =
            from_gemini::answer(case["answer"].to_string().as_bytes(), &context(&case["request"]))
                .expect("answers");
        let answer = value(&answer);
        check_response(&answer);
        told(&answer)
    });
}

/// What an answer says, without what it repeats of its request.
fn told(answer: &Value) -> Value {
    let mut told = json!({});
    for name in ["status", "error", "incomplete_details", "output", "usage"] {
        told[name] = answer[name].clone();
    }
    told
}

#[test]
fn streams() {
    golden::check(&[STREAMS], |case| {
        let chunks = case["events"].as_array().expect("events");
        let events = events(context(&case["request"]), chunks);
        check_events(&events);
        let line = |event: &Event| {
            let mut data = event.data.clone();
            if !data["response"].is_null() {
                data["response"] = told(&data["response"]);
            }
            data
        };
        events.iter().map(line).collect::<Vec<_>>().into()
    });
}

/// An answer repeats its request, in full and on one line.
#[test]
fn an_answer_repeats_its_request() {
    let fields = json!({
        "instructions": "Be\nbrief.", "max_output_tokens": 99, "metadata": { "a": "b c" }, "parallel_tool_calls": false,
        "prompt_cache_key": "k", "reasoning": { "effort": "low", "summary": "auto" }, "safety_identifier": "s",
        "service_tier": "flex", "store": false, "temperature": 0.5, "text": { "format": { "type": "text" } },
        "tool_choice": "auto", "top_p": 0.9, "truncation": "auto", "user": "u",
        "tools": [
            { "type": "function", "name": "a", "parameters": { "type": "object" }, "strict": true },
            { "type": "custom", "name": "b" },
        ],
    });
    let answer =
        json!({ "candidates": [{ "content": { "parts": [{ "text": "a" }] }, "finishReason": "STOP" }] });
    let (answer, _) = from_gemini::answer(answer.to_string().as_bytes(), &context(&fields)).expect("answers");
    let answer = value(&answer);
    check_response(&answer);
    for (name, expected) in fields.as_object().expect("fields") {
        assert_eq!(answer[name], *expected, "{name}");
    }
    assert_eq!(answer["background"], false);
    assert!(answer["previous_response_id"].is_null());

    let pretty = "{\"model\":\"m\",\"input\":\"a\",\"tools\":[{\"type\": \"function\",\n \"name\": \"a b\"}],\"metadata\":{\n}}";
    let request = ResponsesRequest::parse(pretty.as_bytes()).expect("a request");
    let conversation = conversation(&request).expect("a conversation");
    let mut out = Vec::new();
    let mut encoder = Encoder::new(request.context(&conversation, ID, CREATED));
    encoder.push(br#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#, &mut out).expect("an event");
    let created = &Event::read_all(&out)[0].data["response"];
    assert_eq!(
        created["tools"],
        json!([{ "type": "function", "name": "a b", "strict": false, "parameters": null }])
    );
}

#[test]
fn wrong_requests_name_the_field() {
    golden::check_refusals("responses/errors.json", |case| {
        let request = ResponsesRequest::parse(body(case).as_bytes())?;
        to_gemini::request(&conversation(&request)?, "gemini-2.5-flash", &Known::default()).map(|_| ())
    });
}

#[test]
fn wrong_answers_are_errors() {
    let check = |body: &str, kind: Kind| {
        let context = || context(&json!({}));
        let answered = from_gemini::answer(body.as_bytes(), &context());
        assert_eq!(answered.map_err(|error| error.kind).map(|_| ()), Err(kind), "{body}");
        let mut out = Vec::new();
        let pushed = Encoder::new(context()).push(body.as_bytes(), &mut out);
        assert_eq!(pushed.map_err(|error| error.kind), Err(kind), "{body}");
        assert!(out.is_empty());
    };
    check("", Kind::BadGateway);
    check("<html>", Kind::BadGateway);
    check(r#"{"candidates":[{"content":{"parts":[{"text":1}]}}]}"#, Kind::BadGateway);
    check(r#"{"error":{"code":503,"message":"The model is overloaded."}}"#, Kind::Unavailable);
    assert!(from_gemini::answer(b"{}", &context(&json!({}))).is_err());
}

#[test]
fn a_stream_that_breaks_off_says_so() {
    let mut encoder = Encoder::new(context(&json!({})));
    let mut out = Vec::new();
    encoder.push(br#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#, &mut out).expect("an event");
    assert!(!encoder.is_finished());
    encoder.fail(&Error::new(Kind::RateLimited, "Too much."), &mut out);
    assert!(encoder.take_answer().is_none());
    let events = Event::read_all(&out);
    let last = events.last().expect("an event");
    assert_eq!(last.name, "response.failed");
    assert_eq!(last.data["sequence_number"], events.len() as u64 - 1);
    assert_eq!(
        last.data["response"]["error"],
        json!({ "code": "rate_limit_exceeded", "message": "Too much." })
    );
    assert_eq!(last.data["response"]["status"], "failed");
    check_response(&last.data["response"]);

    let mut out = Vec::new();
    Encoder::new(context(&json!({}))).fail(&Error::new(Kind::BadGateway, "No."), &mut out);
    let names: Vec<String> = Event::read_all(&out).into_iter().map(|event| event.name).collect();
    assert_eq!(names, ["response.created", "response.in_progress", "response.failed"]);
}

/// What a client can collect from a stream has to be what a whole answer says.
#[test]
fn a_stream_says_what_a_whole_answer_says() {
    let mut checked = 0;
    for case in cases(ANSWERS) {
        let whole = &case["expected"];
        for chunks in [vec![case["answer"].clone()], split(&case["answer"])] {
            let events = events(context(&case["request"]), &chunks);
            check_events(&events);
            let streamed = told(&events.last().expect("events").data["response"]);
            if chunks.len() == 1 {
                assert_eq!(streamed, *whole, "{}", case["name"]);
            } else {
                // What is said at the end only (signatures, citations) stands elsewhere in a stream.
                assert_eq!(said(&streamed), said(whole), "{}", case["name"]);
            }
            checked += 1;
        }
    }
    assert!(checked > 20);
}

/// Texts and calls, without ids and what belongs to them.
fn said(answer: &Value) -> Value {
    let mut said = json!({ "status": answer["status"], "usage": answer["usage"], "text": "", "calls": [] });
    for item in answer["output"].as_array().expect("items") {
        for part in item["content"].as_array().into_iter().flatten() {
            let text = part["text"].as_str().or_else(|| part["refusal"].as_str()).unwrap_or_default();
            said["text"] = format!("{}{text}", said["text"].as_str().unwrap_or_default()).into();
        }
        if !item["call_id"].is_null() {
            let call = json!([item["call_id"], item["name"], item["arguments"], item["input"]]);
            said["calls"].as_array_mut().expect("an array").push(call);
        }
    }
    said
}
