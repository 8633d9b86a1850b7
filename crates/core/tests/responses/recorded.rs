//! Real answers of Google's, where this machine has some: each becomes a well-formed response, whole and in events,
//! with the same texts, calls and tokens.

use libra_core::openai::responses::from_gemini;
use serde_json::{Value, json};

use crate::golden::value;
use crate::recordings::{self, Recording};
use crate::shape::{check_events, check_response};
use crate::{context, events};

#[test]
fn recorded_answers_translate_where_there_are_recordings() {
    recordings::check(|Recording { path, events: chunks, .. }| {
        let context = || context(&json!({ "tools": [{ "type": "web_search" }] }));
        let streamed = events(context(), chunks);
        check_events(&streamed);
        check_said(&streamed.last().expect("events").data["response"], chunks, path);
        if let [answer] = chunks.as_slice() {
            let (response, _) =
                from_gemini::answer(answer.to_string().as_bytes(), &context()).expect("answers");
            let response = value(&response);
            check_response(&response);
            check_said(&response, chunks, path);
        }
    });
}

fn check_said(response: &Value, chunks: &[Value], path: &str) {
    let parts = || {
        let parts = chunks.iter().filter_map(|chunk| chunk["candidates"][0]["content"]["parts"].as_array());
        parts.flatten()
    };
    let text = |thought: bool| -> String {
        let parts = parts().filter(|part| (part["thought"] == true) == thought);
        parts.filter_map(|part| part["text"].as_str()).collect()
    };
    let items = response["output"].as_array().expect("items");
    let joined = |kind: &str, list: &str| -> String {
        let items = items.iter().filter(|item| item["type"] == kind);
        items
            .flat_map(|item| item[list].as_array().cloned().unwrap_or_default())
            .filter_map(|part| part["text"].as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(joined("message", "content"), text(false), "{path}");
    assert_eq!(joined("reasoning", "summary"), text(true), "{path}");
    let count = |kind: &str| items.iter().filter(|item| item["type"] == kind).count();
    let native =
        |field: &str| parts().filter(|part| !part[field].is_null() && part["thought"] != true).count();
    let calls: Vec<(String, Value)> = parts()
        .filter(|part| !part["functionCall"].is_null())
        .map(|part| {
            let call = &part["functionCall"];
            (call["name"].as_str().unwrap_or_default().to_owned(), call["args"].clone())
        })
        .collect();
    let answered: Vec<(String, Value)> = items
        .iter()
        .filter(|item| item["type"] == "function_call")
        .map(|item| {
            let arguments = item["arguments"].as_str().expect("a string");
            (item["name"].as_str().expect("a name").to_owned(), value(arguments.as_bytes()))
        })
        .collect();
    for (call, answered) in calls.iter().zip(&answered) {
        assert_eq!(call.0, answered.0, "{path}");
        assert!(call.1.is_null() || call.1 == answered.1, "{path}");
    }
    assert_eq!(calls.len(), answered.len(), "{path}");
    assert_eq!(count("code_interpreter_call"), native("executableCode"), "{path}");
    let usage = chunks.iter().rev().map(|chunk| &chunk["usageMetadata"]).find(|usage| !usage.is_null());
    if let Some(usage) = usage {
        let counted = |name: &str| usage[name].as_u64().unwrap_or_default();
        assert_eq!(response["usage"]["total_tokens"], counted("totalTokenCount"), "{path}");
        let prompt = counted("promptTokenCount") + counted("toolUsePromptTokenCount");
        assert_eq!(response["usage"]["input_tokens"], prompt, "{path}");
        let thoughts = &response["usage"]["output_tokens_details"]["reasoning_tokens"];
        assert_eq!(*thoughts, counted("thoughtsTokenCount"), "{path}");
    }
}
