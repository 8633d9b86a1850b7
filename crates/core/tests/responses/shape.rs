//! What OpenAI's description of the API requires, and what clients rely on besides.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::ID;
use crate::golden::value;

/// An event of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Event {
    /// Reads a stream as a client does.
    pub(crate) fn read_all(out: &[u8]) -> Vec<Self> {
        let text = std::str::from_utf8(out).expect("UTF-8");
        assert!(text.is_empty() || text.ends_with("\n\n"), "whole frames");
        let read = |frame: &str| {
            let (name, data) = frame.split_once('\n').expect("two lines");
            let data = data.strip_prefix("data: ").expect("data");
            assert!(!data.contains('\n'), "one line of data");
            let name = name.strip_prefix("event: ").expect("a name").to_owned();
            Self { name, data: value(data.as_bytes()) }
        };
        text.split_terminator("\n\n").map(read).collect()
    }

    fn text(&self, name: &str) -> String {
        self.data[name].as_str().unwrap_or_else(|| panic!("{}: {name} is no string", self.name)).to_owned()
    }

    fn index(&self) -> u64 {
        self.data["output_index"].as_u64().expect("an index")
    }
}

/// A whole answer.
pub(crate) fn check_response(response: &Value) {
    assert_eq!(response["id"], ID);
    assert_eq!(response["object"], "response");
    assert!(response["created_at"].is_u64());
    let has = |name: &str| response.as_object().is_some_and(|object| object.contains_key(name));
    for name in [
        "error",
        "incomplete_details",
        "instructions",
        "model",
        "tools",
        "output",
        "parallel_tool_calls",
        "metadata",
        "tool_choice",
        "temperature",
        "top_p",
        "usage",
    ] {
        assert!(has(name), "{name}");
    }
    let status = response["status"].as_str().expect("a status");
    assert_eq!(response["error"].is_null(), status != "failed", "{response}");
    assert_eq!(response["incomplete_details"].is_null(), status != "incomplete");
    let mut ids = Vec::new();
    for item in response["output"].as_array().expect("items") {
        check_item(item);
        assert!(!ids.contains(&&item["id"]), "an id twice");
        ids.push(&item["id"]);
        if !item["call_id"].is_null() {
            assert!(!ids.contains(&&item["call_id"]), "a call's id twice");
            ids.push(&item["call_id"]);
        }
    }
    if status != "in_progress" {
        check_usage(&response["usage"]);
    }
}

fn check_usage(usage: &Value) {
    for path in [
        "/input_tokens",
        "/output_tokens",
        "/total_tokens",
        "/input_tokens_details/cached_tokens",
        "/input_tokens_details/cache_write_tokens",
        "/output_tokens_details/reasoning_tokens",
    ] {
        assert!(usage.pointer(path).is_some_and(Value::is_u64), "{path}: {usage}");
    }
}

fn check_item(item: &Value) {
    assert!(item["id"].as_str().is_some_and(|id| !id.is_empty()), "{item}");
    let strings = |names: &[&str]| {
        for name in names {
            assert!(item[*name].is_string(), "{name}: {item}");
        }
    };
    match item["type"].as_str().expect("a type") {
        "message" => {
            assert_eq!(item["role"], "assistant");
            strings(&["status"]);
            item["content"].as_array().expect("content").iter().for_each(check_part);
        }
        "reasoning" => {
            for part in item["summary"].as_array().expect("a summary") {
                assert_eq!(part["type"], "summary_text");
                assert!(part["text"].is_string());
            }
        }
        "function_call" => {
            strings(&["call_id", "name", "arguments"]);
            if item["status"] == "completed" {
                assert!(value(item["arguments"].as_str().expect("a string").as_bytes()).is_object());
            }
        }
        "custom_tool_call" => strings(&["call_id", "name", "input"]),
        "web_search_call" => assert_eq!(item["action"]["type"], "search"),
        "code_interpreter_call" => strings(&["code", "container_id", "status"]),
        "image_generation_call" => strings(&["status"]),
        other => panic!("an item of kind {other}"),
    }
}

fn check_part(part: &Value) {
    match part["type"].as_str().expect("a type") {
        "output_text" => {
            assert!(part["text"].is_string() && part["logprobs"].is_array());
            for annotation in part["annotations"].as_array().expect("annotations") {
                assert_eq!(annotation["type"], "url_citation");
                assert!(annotation["start_index"].is_u64() && annotation["end_index"].is_u64());
                assert!(annotation["url"].is_string() && annotation["title"].is_string());
            }
        }
        "refusal" => assert!(part["refusal"].is_string()),
        other => panic!("a part of kind {other}"),
    }
}

/// The events of a stream that has ended: their numbers, their order, and that they say what stands in the answer.
pub(crate) fn check_events(events: &[Event]) {
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event.data["type"], event.name.as_str());
        assert_eq!(event.data["sequence_number"], number as u64);
    }
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names[..2], ["response.created", "response.in_progress"]);
    for event in &events[..2] {
        check_response(&event.data["response"]);
        assert_eq!(event.data["response"]["status"], "in_progress");
        assert_eq!(event.data["response"]["output"], json!([]));
    }
    let (last, between) = events[2..].split_last().expect("an end");
    let response = &last.data["response"];
    check_response(response);
    assert_eq!(last.name, format!("response.{}", response["status"].as_str().expect("a status")));

    let mut done = Vec::new();
    let mut rest = between;
    while let Some((first, others)) = rest.split_first() {
        assert_eq!(first.name, "response.output_item.added");
        assert_eq!(first.index(), done.len() as u64, "one item after another");
        let end = others.iter().position(|event| event.name == "response.output_item.done").expect("done");
        let item = &others[end].data["item"];
        assert_eq!(others[end].index(), first.index());
        for name in ["type", "id", "call_id", "name", "role", "namespace"] {
            assert_eq!(first.data["item"][name], item[name], "{name} has changed");
        }
        assert_eq!(first.data["item"]["status"], "in_progress");
        check_item(&first.data["item"]);
        check_item(item);
        for event in &others[..end] {
            assert_eq!(event.index(), first.index());
            assert_eq!(event.data["item_id"], item["id"]);
        }
        check_content(item, &others[..end]);
        done.push(item.clone());
        rest = &others[end + 1..];
    }
    assert_eq!(response["output"], Value::from(done), "the answer is what was sent");
}

/// What was said of an item between its beginning and its end.
fn check_content(item: &Value, events: &[Event]) {
    let mut joined: BTreeMap<&str, String> = BTreeMap::new();
    let mut annotations = Vec::new();
    let names: Vec<&str> = events
        .iter()
        .map(|event| {
            let name = event.name.strip_prefix("response.").expect("a name");
            if let Some(stem) = name.strip_suffix(".delta") {
                joined.entry(stem).or_default().push_str(&event.text("delta"));
            }
            if name.starts_with("output_text.d") {
                assert!(event.data["logprobs"].is_array());
            }
            if name == "output_text.annotation.added" {
                assert_eq!(event.data["annotation_index"], annotations.len() as u64);
                annotations.push(event.data["annotation"].clone());
            }
            name
        })
        .collect();
    let text_of = |name: &str, field: &str| {
        let event = events.iter().find(|event| event.name == format!("response.{name}.done")).expect(name);
        assert_eq!(event.text(field), joined.get(name).cloned().unwrap_or_default(), "{name}");
        event.text(field)
    };
    let between = |first: &str, inner: &[&str], last: &str| {
        assert_eq!((names.first(), names.last()), (Some(&first), Some(&last)), "{names:?}");
        let inside = &names[1..names.len() - 1];
        assert!(inside.iter().all(|name| inner.contains(name)), "{names:?}");
        let mut places = inside.iter().map(|name| inner.iter().position(|inner| inner == name));
        let mut before = None;
        assert!(places.all(|place| std::mem::replace(&mut before, place) <= place), "{names:?}");
    };
    match item["type"].as_str().expect("a type") {
        "message" if item["content"][0]["type"] == "refusal" => {
            between("content_part.added", &["refusal.delta", "refusal.done"], "content_part.done");
            assert_eq!(text_of("refusal", "refusal"), item["content"][0]["refusal"]);
        }
        "message" => {
            between(
                "content_part.added",
                &["output_text.delta", "output_text.annotation.added", "output_text.done"],
                "content_part.done",
            );
            assert_eq!(text_of("output_text", "text"), item["content"][0]["text"]);
            assert_eq!(events.last().expect("events").data["part"], item["content"][0]);
            assert_eq!(item["content"][0]["annotations"], Value::from(annotations));
        }
        "reasoning" if names.is_empty() => assert!(item["encrypted_content"].is_string()),
        "reasoning" => {
            between(
                "reasoning_summary_part.added",
                &["reasoning_summary_text.delta", "reasoning_summary_text.done"],
                "reasoning_summary_part.done",
            );
            assert_eq!(text_of("reasoning_summary_text", "text"), item["summary"][0]["text"]);
        }
        "function_call" => {
            assert_eq!(names, ["function_call_arguments.delta", "function_call_arguments.done"]);
            assert_eq!(text_of("function_call_arguments", "arguments"), item["arguments"]);
            assert_eq!(events[1].data["name"], item["name"]);
        }
        "custom_tool_call" => {
            assert_eq!(names, ["custom_tool_call_input.delta", "custom_tool_call_input.done"]);
            assert_eq!(text_of("custom_tool_call_input", "input"), item["input"]);
        }
        "web_search_call" => {
            let expected = ["in_progress", "searching", "completed"];
            assert_eq!(names, expected.map(|name| format!("web_search_call.{name}")));
        }
        "image_generation_call" => {
            let expected = ["in_progress", "generating", "completed"];
            assert_eq!(names, expected.map(|name| format!("image_generation_call.{name}")));
        }
        "code_interpreter_call" => {
            assert_eq!(text_of("code_interpreter_call_code", "code"), item["code"]);
        }
        other => panic!("an item of kind {other}"),
    }
}
