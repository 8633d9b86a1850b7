//! What Anthropic's SDKs make of an answer, and what they would not put up with.

use serde_json::{Value, json};

/// The stop reasons that there are.
const STOP_REASONS: [&str; 7] = [
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
];

/// Puts a stream together as the SDKs do.
pub(crate) fn collect(stream: &str) -> Value {
    let mut message = Value::Null;
    let mut open: Option<Open> = None;
    let mut stopped = false;
    for frame in stream.split_terminator("\n\n") {
        let (kind, event) = read(frame);
        assert!(!stopped, "after message_stop: {frame}");
        assert_eq!(kind == "message_start", message.is_null(), "message_start comes once, first: {frame}");
        match kind {
            "message_start" => {
                message = event["message"].clone();
                assert_eq!(message["content"], json!([]));
                assert!(message["stop_reason"].is_null() && message["usage"]["input_tokens"].is_u64());
            }
            "content_block_start" => {
                assert!(open.is_none(), "blocks do not overlap: {frame}");
                let content = message["content"].as_array_mut().expect("content");
                assert_eq!(event["index"], content.len(), "{frame}");
                content.push(event["content_block"].clone());
                open = Some(Open::of(&event["content_block"]));
            }
            "content_block_delta" => {
                let open = open.as_mut().unwrap_or_else(|| panic!("no block is open: {frame}"));
                let content = message["content"].as_array_mut().expect("content");
                assert_eq!(event["index"], content.len() - 1, "{frame}");
                open.take(content.last_mut().expect("a block"), &event["delta"]);
            }
            "content_block_stop" => {
                let content = message["content"].as_array_mut().expect("content");
                assert_eq!(event["index"], content.len() - 1, "{frame}");
                open.take().expect("a block is open").close(content.last_mut().expect("a block"));
            }
            "message_delta" => {
                assert!(open.is_none() && message["stop_reason"].is_null(), "{frame}");
                for (name, value) in event["delta"].as_object().expect("a delta") {
                    message[name] = value.clone();
                }
                message["usage"] = event["usage"].clone();
            }
            "message_stop" => stopped = true,
            "ping" => {}
            other => panic!("{other}: {frame}"),
        }
    }
    assert!(stopped, "no message_stop");
    check(&message);
    message
}

fn read(frame: &str) -> (&str, Value) {
    let lines: Vec<&str> = frame.split('\n').collect();
    let [event, data] = lines.as_slice() else { panic!("two lines make an event: {frame}") };
    let kind = event.strip_prefix("event: ").expect("the kind first");
    let data: Value = serde_json::from_str(data.strip_prefix("data: ").expect("the data")).expect("JSON");
    assert_eq!(data["type"], kind, "{frame}");
    (kind, data)
}

/// A block that is not closed yet.
struct Open {
    sealed: bool,
    input: String,
}

impl Open {
    fn of(block: &Value) -> Self {
        match block["type"].as_str().expect("a type") {
            "text" => assert_eq!(block["text"], ""),
            "thinking" => assert!(block["thinking"] == "" && block["signature"] == ""),
            "tool_use" | "server_tool_use" => assert_eq!(block["input"], json!({})),
            "web_search_tool_result" | "code_execution_tool_result" => {}
            other => panic!("{other}"),
        }
        Self { sealed: false, input: String::new() }
    }

    fn take(&mut self, block: &mut Value, delta: &Value) {
        assert!(!self.sealed, "the signature comes last");
        let append = |block: &mut Value, name: &str| {
            let more = delta[name].as_str().expect("text");
            block[name] = format!("{}{more}", block[name].as_str().expect("text")).into();
        };
        match (block["type"].as_str().expect("a type"), delta["type"].as_str().expect("a type")) {
            ("text", "text_delta") => append(block, "text"),
            ("text", "citations_delta") => match block["citations"].as_array_mut() {
                Some(citations) => citations.push(delta["citation"].clone()),
                None => block["citations"] = json!([delta["citation"]]),
            },
            ("thinking", "thinking_delta") => append(block, "thinking"),
            ("thinking", "signature_delta") => {
                self.sealed = true;
                block["signature"] = delta["signature"].clone();
            }
            ("tool_use" | "server_tool_use", "input_json_delta") => {
                self.input.push_str(delta["partial_json"].as_str().expect("a piece of JSON"));
            }
            other => panic!("{other:?}"),
        }
    }

    fn close(self, block: &mut Value) {
        match block["type"].as_str().expect("a type") {
            "thinking" => assert!(self.sealed, "thoughts are sealed"),
            "tool_use" | "server_tool_use" => {
                block["input"] = serde_json::from_str(&self.input).expect("the pieces make JSON");
            }
            _ => {}
        }
    }
}

/// What has to be true of every message.
pub(crate) fn check(message: &Value) {
    assert!(message["id"].as_str().is_some_and(|id| id.starts_with("msg_")), "{message}");
    assert_eq!((&message["type"], &message["role"]), (&json!("message"), &json!("assistant")));
    assert!(message["model"].is_string() && message["stop_sequence"].is_null());
    let reason = message["stop_reason"].as_str().expect("a reason");
    assert!(STOP_REASONS.contains(&reason), "{reason}");
    for count in ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"] {
        assert!(message["usage"][count].is_u64(), "{message}");
    }
    let mut ids = Vec::new();
    for block in message["content"].as_array().expect("content") {
        match block["type"].as_str().expect("a type") {
            "text" => assert!(block["text"].is_string()),
            "thinking" => {
                let signature = block["signature"].as_str().expect("a signature");
                assert!(block["thinking"].is_string() && !signature.is_empty(), "{block}");
            }
            kind @ ("tool_use" | "server_tool_use") => {
                assert!(block["input"].is_object() && block["name"].is_string(), "{block}");
                let id = block["id"].as_str().expect("an id");
                let prefix = if kind == "tool_use" { "toolu_" } else { "srvtoolu_" };
                assert!(id.starts_with(prefix), "{id}");
                assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{id}");
                assert!(!ids.contains(&id), "{id} comes twice");
                ids.push(id);
            }
            "web_search_tool_result" | "code_execution_tool_result" => {
                assert!(block["tool_use_id"].is_string(), "{block}");
            }
            other => panic!("{other}"),
        }
    }
    let calls = message["content"].as_array().into_iter().flatten().any(|block| block["type"] == "tool_use");
    assert!(reason != "tool_use" || calls, "{message}");
}

/// A message without what a stream cannot know in time: which signature a text will have, and, before the text
/// that rests on it, what was searched for.
pub(crate) fn comparable(message: &Value) -> Value {
    let mut message = message.clone();
    let blocks = message["content"].as_array_mut().expect("content");
    blocks.retain(|block| {
        let is_empty = block["type"] == "thinking" && block["thinking"] == "";
        let is_search = block["type"] == "web_search_tool_result" || block["name"] == "web_search";
        !(is_empty || is_search)
    });
    for block in blocks {
        if block["type"] == "thinking" {
            block["signature"] = Value::Null;
        }
        if block["type"] == "server_tool_use" {
            block["id"] = Value::Null;
        }
        if block["type"] == "code_execution_tool_result" {
            block["tool_use_id"] = Value::Null;
        }
    }
    message
}
