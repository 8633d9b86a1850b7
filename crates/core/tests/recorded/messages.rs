//! The recordings in Anthropic's dialect: texts, calls and tokens agree, none is lost and none invented.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::harness::{Call, Canned, Harness, config};
use crate::{Recording, recordings};

/// What an answer says, in nobody's shape.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    thoughts: String,
    /// Names and arguments.
    calls: Vec<(Value, Value)>,
    /// Code that Google ran, and what it printed.
    code: Vec<String>,
    /// Of the prompt but its cached part, of the cache, of the answer.
    tokens: [u64; 3],
}

#[test]
fn messages_lose_nothing_and_invent_nothing() {
    let mut checked = 0;
    for Recording { name, answer, generates, .. } in recordings() {
        if !generates || answer.status != 200 {
            continue;
        }
        let body = String::from_utf8(answer.chunks.concat()).expect("UTF-8");
        let events = events(&body);
        let expected = of_google(&events);
        let sse: String = events.iter().map(|event| format!("data: {event}\r\n\r\n")).collect();
        let streamed = send(true, &Canned::sse(sse));
        assert!(streamed.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), "{name}");
        assert_eq!(of_message(&joined(&streamed)), expected, "{name}, streamed");
        if let [event] = events.as_slice() {
            let whole = send(false, &Canned::json(200, Bytes::from(event.to_string())));
            let message = serde_json::from_str(&whole).expect("JSON");
            assert_eq!(of_message(&message), expected, "{name}");
        }
        checked += 1;
    }
    eprintln!("{checked} recordings in Anthropic's dialect");
}

fn send(stream: bool, answer: &Canned) -> String {
    let body = json!({
        "model": "gemini-3.5-flash", "max_tokens": 1024, "stream": stream, "thinking": { "type": "adaptive" },
        "messages": [{ "role": "user", "content": "Hi" }],
        "tools": [{ "type": "web_search_20250305", "name": "web_search" }],
    });
    let seen = Harness::new(config(&["pool-key-one"]))
        .send(&Call::post("/v1/messages", body.to_string()), |_| answer.clone());
    assert_eq!(seen.status, 200, "{}", seen.text());
    seen.text().to_owned()
}

fn events(body: &str) -> Vec<Value> {
    let value = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
    match body.trim_start().as_bytes().first() {
        Some(b'[') => value(body).as_array().cloned().expect("an array"),
        Some(b'{') => vec![value(body)],
        _ => body.lines().filter_map(|line| line.strip_prefix("data:")).map(value).collect(),
    }
}

fn of_google(events: &[Value]) -> Said {
    let mut said = Said::default();
    let parts = events.iter().filter_map(|event| event["candidates"][0]["content"]["parts"].as_array());
    for part in parts.flatten() {
        let text = part["text"].as_str().unwrap_or_default();
        match part["thought"] == true {
            true => said.thoughts.push_str(text),
            false => said.text.push_str(text),
        }
        if let Some(call) = part["functionCall"].as_object() {
            let args = call.get("args").cloned().unwrap_or_else(|| json!({}));
            said.calls.push((call["name"].clone(), args));
        }
        if let Some(code) = part["executableCode"]["code"].as_str() {
            said.code.push(code.to_owned());
        }
        if part["codeExecutionResult"].is_object() {
            said.code.push(part["codeExecutionResult"]["output"].as_str().unwrap_or_default().to_owned());
        }
        if let (Some(kind), Some(data)) =
            (part["inlineData"]["mimeType"].as_str(), part["inlineData"]["data"].as_str())
        {
            let label = if kind.starts_with("image/") { "![image]" } else { "[audio]" };
            said.text.push_str(&format!("{label}(data:{kind};base64,{data})"));
        }
    }
    let usage = events.iter().rev().map(|event| &event["usageMetadata"]).find(|usage| usage.is_object());
    let count = |name: &str| usage.and_then(|usage| usage[name].as_u64()).unwrap_or(0);
    let cached = count("cachedContentTokenCount");
    let prompt = count("promptTokenCount") + count("toolUsePromptTokenCount");
    said.tokens = [prompt - cached, cached, count("candidatesTokenCount") + count("thoughtsTokenCount")];
    said
}

fn of_message(message: &Value) -> Said {
    let mut said = Said::default();
    for block in message["content"].as_array().expect("content") {
        let text = |name: &str| block[name].as_str().unwrap_or_default().to_owned();
        match block["type"].as_str().expect("a type") {
            "text" => said.text.push_str(&text("text")),
            "thinking" => said.thoughts.push_str(&text("thinking")),
            "tool_use" => said.calls.push((block["name"].clone(), block["input"].clone())),
            "server_tool_use" if block["name"] == "code_execution" => {
                said.code.push(block["input"]["code"].as_str().expect("code").to_owned());
            }
            "code_execution_tool_result" => {
                let output = |name: &str| block["content"][name].as_str().expect("output").to_owned();
                said.code.push(output("stdout") + &output("stderr"));
            }
            _ => {}
        }
    }
    let count = |name: &str| message["usage"][name].as_u64().expect("a count");
    said.tokens = [count("input_tokens"), count("cache_read_input_tokens"), count("output_tokens")];
    said
}

/// What a client joins of a stream.
fn joined(stream: &str) -> Value {
    let mut message = Value::Null;
    let mut input = String::new();
    for event in stream.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let event: Value = serde_json::from_str(event).expect("JSON");
        match event["type"].as_str().expect("a type") {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                message["content"].as_array_mut().expect("content").push(event["content_block"].clone());
            }
            "content_block_delta" => {
                let block = message["content"].as_array_mut().and_then(|content| content.last_mut());
                let block = block.expect("a block");
                for name in ["text", "thinking"] {
                    if let Some(more) = event["delta"][name].as_str() {
                        block[name] = format!("{}{more}", block[name].as_str().expect("text")).into();
                    }
                }
                input.push_str(event["delta"]["partial_json"].as_str().unwrap_or_default());
            }
            "content_block_stop" if !input.is_empty() => {
                let block = message["content"].as_array_mut().and_then(|content| content.last_mut());
                block.expect("a block")["input"] =
                    serde_json::from_str(&std::mem::take(&mut input)).expect("JSON");
            }
            "message_delta" => message["usage"] = event["usage"].clone(),
            _ => {}
        }
    }
    message
}
