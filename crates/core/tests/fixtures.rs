//! The golden fixtures of the three dialects that chat, through a whole gateway: what a client sends, what goes up for it,
//! what comes down, and what the client sees. So they are played by other builds of it, too.
//!
//! The translators' own tests compare every case with its fixture to the letter. Here ids and times, which the gateway makes
//! up, are left out of the comparison, and so are the cases named in [`NOT_THROUGH`].

#[path = "harness/golden.rs"]
mod golden;
mod harness;

use golden::{body, cases, value, with_fields};
use harness::{Call, Canned, Harness, Seen, config};
use libra_core::config::{Config, Fetch};
use serde_json::{Value, json};

/// A dialect: where its fixtures are, and where it is asked.
struct Dialect {
    folder: &'static str,
    path: &'static str,
    requests: &'static [&'static str],
    answers: &'static str,
    streams: &'static str,
    /// A request of which a case says only what matters.
    plain: fn() -> Value,
}

const DIALECTS: [Dialect; 3] = [
    Dialect {
        folder: "chat",
        path: "/v1/chat/completions",
        requests: &["request/messages.json", "request/tools.json", "request/settings.json"],
        answers: "answer/answers.json",
        streams: "stream/streams.json",
        plain: || json!({ "messages": [{ "role": "user", "content": "Hi" }] }),
    },
    Dialect {
        folder: "messages",
        path: "/v1/messages",
        requests: &["request/messages.json", "request/tools.json", "request/settings.json"],
        answers: "answer/answers.json",
        streams: "stream/streams.json",
        plain: || json!({ "max_tokens": 1024, "messages": [{ "role": "user", "content": "Hi" }] }),
    },
    Dialect {
        folder: "responses",
        path: "/v1/responses",
        requests: &["requests.json"],
        answers: "answers.json",
        streams: "streams.json",
        plain: || json!({ "input": "Hi" }),
    },
];

/// Cases that are about a translator alone, and why a whole gateway does otherwise.
const NOT_THROUGH: [(&str, &str); 2] = [
    ("nothing", "an empty answer fails over, and is an error in the end"),
    ("words first, where a signature may come", "the case is of a model that signs, and does not say which"),
];

/// What ids are made of: in the fixtures, and by a gateway of the tests for its first request.
const MADE_UP: [&str; 3] =
    ["0123456789abcdefghijklmnop", "0123456789abcdef01234567", "96236d630a79e49baff2439b"];

const MODEL: &str = "gemini-2.5-flash";
const GOOD: &str =
    r#"{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP"}]}"#;

fn harness() -> Harness {
    Harness::new(Config { fetch: Fetch::Pass, ..config(&["one"]) })
}

fn is_through(case: &Value) -> bool {
    let is_known = |name: &str| NOT_THROUGH.iter().any(|(known, _)| *known == name);
    // What is remembered of earlier calls has not been heard by this gateway.
    case["recalled"].is_null() && !case["name"].as_str().is_some_and(is_known)
}

/// Answers as the request wants it.
fn good(uri: &http::Uri) -> Canned {
    match uri.query().is_some_and(|query| query.contains("alt=sse")) {
        true => Canned::sse(format!("data: {GOOD}\r\n\r\n")),
        false => Canned::json(200, GOOD),
    }
}

fn send(
    dialect: &Dialect,
    request: &Value,
    upstream: impl FnMut(&http::Request<Option<bytes::Bytes>>) -> Canned,
) -> Seen {
    harness().send(&Call::post(dialect.path, request.to_string()), upstream)
}

#[test]
fn requests() {
    let mut failed = Vec::new();
    for dialect in &DIALECTS {
        for file in dialect.requests {
            for case in cases(&format!("{}/{file}", dialect.folder)).iter().filter(|case| is_through(case)) {
                let by_model: Vec<(&str, &Value)> = match case["model"].as_str() {
                    Some(model) => vec![(model, &case["expected"])],
                    None if dialect.folder == "responses" => vec![("gemini-3.5-flash", &case["expected"])],
                    None => case["expected"]
                        .as_object()
                        .expect("models")
                        .iter()
                        .map(|(name, body)| (name.as_str(), body))
                        .collect(),
                };
                for (model, expected) in by_model {
                    let request = with_fields(
                        with_fields((dialect.plain)(), &case["request"]),
                        &json!({ "model": model }),
                    );
                    let mut up = Value::Null;
                    let seen = send(dialect, &request, |request| {
                        up = value(request.body().as_ref().expect("a body"));
                        good(request.uri())
                    });
                    if up != *expected {
                        failed.push(format!(
                            "{}: {} ({model}, {})\n  {up}\n  {expected}",
                            dialect.folder, case["name"], seen.status
                        ));
                    }
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} differ:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn answers() {
    let mut failed = Vec::new();
    for dialect in &DIALECTS {
        for case in
            cases(&format!("{}/{}", dialect.folder, dialect.answers)).iter().filter(|case| is_through(case))
        {
            let request =
                with_fields(with_fields((dialect.plain)(), &json!({ "model": MODEL })), &case["request"]);
            let seen = send(dialect, &request, |_| Canned::json(200, case["answer"].to_string()));
            let (seen, expected) = (settled(value(&seen.body)), settled(case["expected"].clone()));
            if !holds(&seen, &expected) {
                failed.push(format!("{}: {}\n  {seen}\n  {expected}", dialect.folder, case["name"]));
            }
        }
    }
    assert!(failed.is_empty(), "{} differ:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn streams() {
    let mut failed = Vec::new();
    for dialect in &DIALECTS {
        for case in
            cases(&format!("{}/{}", dialect.folder, dialect.streams)).iter().filter(|case| is_through(case))
        {
            let request = with_fields((dialect.plain)(), &json!({ "model": MODEL }));
            let request = with_fields(with_fields(request, &case["request"]), &json!({ "stream": true }));
            let events = case["events"].as_array().expect("events");
            let events: String = events.iter().map(|event| format!("data: {event}\r\n\r\n")).collect();
            let seen = send(dialect, &request, |_| Canned::sse(events.clone()));
            let frames = seen
                .text()
                .split("\n\n")
                .filter_map(|frame| frame.lines().find_map(|line| line.strip_prefix("data: ")));
            let frames = frames
                .filter(|data| *data != "[DONE]")
                .map(|data| settled(value(data.as_bytes())))
                .collect::<Vec<_>>();
            let expected =
                case["expected"].as_array().expect("events").iter().cloned().map(settled).collect::<Vec<_>>();
            if !holds(&Value::from(frames.clone()), &Value::from(expected.clone())) {
                failed.push(format!(
                    "{}: {}\n  {}\n  {}",
                    dialect.folder,
                    case["name"],
                    Value::from(frames),
                    Value::from(expected)
                ));
            }
        }
    }
    assert!(failed.is_empty(), "{} differ:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn refusals() {
    for dialect in &DIALECTS {
        for case in cases(&format!("{}/errors.json", dialect.folder)) {
            let seen = harness().send(&Call::post(dialect.path, body(&case)), |request| good(request.uri()));
            assert_eq!(
                (seen.status, &seen.calls[..]),
                (400, &[][..]),
                "{}: {}",
                dialect.folder,
                case["name"]
            );
            let message = case["message"].as_str().expect("a message");
            let said = value(&seen.body)["error"]["message"].as_str().expect("a message").to_owned();
            assert!(said.contains(message), "{}: {}: {said}", dialect.folder, case["name"]);
        }
    }
}

/// Whether everything that is expected is there: a gateway echoes more settings than a case says.
fn holds(seen: &Value, expected: &Value) -> bool {
    match (seen, expected) {
        (Value::Object(seen), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| seen.get(name).is_some_and(|seen| holds(seen, value)))
        }
        (Value::Array(seen), Value::Array(expected)) => {
            seen.len() == expected.len() && seen.iter().zip(expected).all(|(seen, value)| holds(seen, value))
        }
        _ => seen == expected,
    }
}

/// Without what the gateway makes up.
fn settled(mut answer: Value) -> Value {
    match &mut answer {
        Value::Object(fields) => {
            for made_up in ["id", "created", "created_at", "completed_at", "item_id", "model", "response_id"]
            {
                fields.remove(made_up);
            }
            fields.values_mut().for_each(|value| *value = settled(value.take()));
        }
        // An event with its name, in a fixture's words.
        Value::String(text) if text.starts_with("event: ") => {
            let (_, data) = text.split_once(" data: ").expect("an event has data");
            return settled(value(data.as_bytes()));
        }
        Value::String(text) => {
            for id in MADE_UP {
                *text = text.replace(id, "…");
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| *value = settled(value.take())),
        _ => {}
    }
    answer
}
