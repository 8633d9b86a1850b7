//! Golden fixtures: files below `tests/fixtures`, each an array of cases with what is expected of them.
//!
//! With `LIBRA_WRITE_FIXTURES=1` the tests write what the code answers today into them, to be read before it is
//! committed, and fail.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};

use libra_core::error::{Error, Kind};
use libra_core::gemini::request::Known;
use libra_core::signatures::{Issued, Recalled};
use serde_json::{Value, json};

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file)
}

pub fn cases(file: &str) -> Vec<Value> {
    let text = fs::read(path(file)).expect("the fixture is there");
    serde_json::from_slice(&text).expect("the fixture is an array of cases")
}

/// Runs `translate` on every case of these files, and compares.
pub fn check(files: &[&str], translate: impl Fn(&Value) -> Value) {
    if std::env::var_os("LIBRA_WRITE_FIXTURES").is_some() {
        files.iter().for_each(|file| write(file, &translate));
        panic!("{} written anew: read the difference", files.join(", "));
    }
    for file in files {
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
}

fn write(file: &str, translate: impl Fn(&Value) -> Value) {
    let mut cases = cases(file);
    for case in &mut cases {
        case["expected"] = translate(case);
    }
    let text = serde_json::to_string_pretty(&cases).expect("JSON") + "\n";
    fs::write(path(file), text).expect("the fixture can be written");
}

/// Every case of a file is refused, with the field at fault and the words that it says.
pub fn check_refusals(file: &str, read: impl Fn(&Value) -> Result<(), Error>) {
    for case in cases(file) {
        let error = read(&case).expect_err(case["name"].as_str().unwrap_or_default());
        assert_eq!(error.kind, Kind::BadRequest, "{}", case["name"]);
        assert_eq!(error.param.as_deref(), case["param"].as_str(), "{}: {error}", case["name"]);
        let expected = case["message"].as_str().expect("a message");
        assert!(error.message.contains(expected), "{}: {error}", case["name"]);
    }
}

/// The body of a case: a text as it is, anything else as JSON.
pub fn body(case: &Value) -> String {
    case["body"].as_str().map_or_else(|| case["body"].to_string(), str::to_owned)
}

/// A plain request with the fields of a case, which says only what matters.
pub fn with_fields(mut plain: Value, fields: &Value) -> Value {
    for (name, value) in fields.as_object().into_iter().flatten() {
        plain[name] = value.clone();
    }
    plain
}

/// What the gateway remembers: `{"id": {"signature": …, "native_id": …}}`.
pub fn known(case: &Value) -> Known {
    let mut recalled = Recalled::default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    recalled.extend(case["recalled"].as_object().into_iter().flatten().map(|(id, call)| Issued {
        id: id.clone(),
        signature: text(&call["signature"]),
        native_id: text(&call["native_id"]),
    }));
    Known { recalled, ..Known::default() }
}

pub fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

/// An answer of Gemini's as a stream: one event a part, the rest of each candidate on its last one.
pub fn split(answer: &Value) -> Vec<Value> {
    split_with(answer, |_, _| ())
}

/// The same, each event with the index of its candidate.
pub fn split_with_indices(answer: &Value) -> Vec<Value> {
    split_with(answer, |candidate, index| candidate["index"] = index.into())
}

fn split_with(answer: &Value, mark: impl Fn(&mut Value, usize)) -> Vec<Value> {
    let mut events = Vec::new();
    let mut push = |mut candidate: Value, index: usize| {
        mark(&mut candidate, index);
        events.push(json!({ "candidates": [candidate] }));
    };
    for (index, candidate) in answer["candidates"].as_array().into_iter().flatten().enumerate() {
        let parts = candidate["content"]["parts"].as_array().cloned().unwrap_or_default();
        for part in parts.split_last().map(|(_, but_last)| but_last).unwrap_or_default() {
            push(json!({ "content": { "parts": [part] } }), index);
        }
        let mut last = candidate.clone();
        if let Some(part) = parts.last() {
            last["content"]["parts"] = json!([part]);
        }
        push(last, index);
    }
    let mut rest = answer.clone();
    if let Some(rest) = rest.as_object_mut() {
        rest.remove("candidates");
    }
    events.push(rest);
    events
}
