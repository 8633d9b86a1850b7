//! What an interaction asks, as a `GenerateContentRequest`: so the same model answers it.

use serde_json::{Value, json};

use crate::errors::GoogleError;
use crate::json::{field, list, text};

/// The prompt of an interaction. Of its input, steps that say nothing here (thoughts, searches) are left out.
pub(super) fn read(body: &Value) -> Result<Value, GoogleError> {
    let contents = match field(body, "input") {
        Some(Value::String(said)) => vec![user(vec![json!({ "text": said })])],
        Some(Value::Array(items)) => turns(items),
        Some(content @ Value::Object(_)) => turns(std::slice::from_ref(content)),
        _ => Vec::new(),
    };
    if contents.is_empty() {
        return Err(GoogleError::invalid("'input' is required."));
    }
    let mut request = json!({ "contents": contents });
    let system = text(body, "systemInstruction");
    if !system.is_empty() {
        request["systemInstruction"] = json!({ "parts": [{ "text": system }] });
    }
    if let Some(name) = field(body, "cachedContent") {
        request["cachedContent"] = name.clone();
    }
    let tools: Vec<Value> = list(body, "tools").iter().filter_map(tool).collect();
    if !tools.is_empty() {
        request["tools"] = tools.into();
    }
    if let Some(config) = field(body, "generationConfig") {
        request["generationConfig"] = ["maxOutputTokens", "stopSequences"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), field(config, name)?.clone())))
            .collect::<serde_json::Map<_, _>>()
            .into();
    }
    Ok(request)
}

fn user(parts: Vec<Value>) -> Value {
    json!({ "role": "user", "parts": parts })
}

/// Contents that stand alone are one turn of the user; steps are turns of their own.
fn turns(items: &[Value]) -> Vec<Value> {
    let mut turns = Vec::new();
    let mut loose = Vec::new();
    for item in items {
        match text(item, "type") {
            "user_input" => turns.push(user(parts(list(item, "content")))),
            "model_output" => {
                turns.push(json!({ "role": "model", "parts": parts(list(item, "content")) }));
            }
            "function_call" => {
                let call = json!({ "name": text(item, "name"), "args": field(item, "arguments"), "id": text(item, "id") });
                turns.push(json!({ "role": "model", "parts": [{ "functionCall": call }] }));
            }
            "function_result" => turns.push(user(vec![result(item)])),
            _ => loose.extend(part(item)),
        }
    }
    if !loose.is_empty() {
        turns.push(user(loose));
    }
    turns.retain(|turn| !list(turn, "parts").is_empty());
    turns
}

fn result(item: &Value) -> Value {
    let told = field(item, "result").cloned().unwrap_or_default();
    let parts = told.as_array().map(|content| parts(content)).unwrap_or_default();
    json!({ "functionResponse": {
        "name": text(item, "name"),
        "id": text(item, "callId"),
        "response": { "result": told },
        "parts": parts,
    } })
}

fn parts(content: &[Value]) -> Vec<Value> {
    content.iter().filter_map(part).collect()
}

/// A content, `{"type": "text" | "image" | "document" …}`, as a part.
fn part(content: &Value) -> Option<Value> {
    if text(content, "type") == "text" {
        return Some(json!({ "text": text(content, "text") }));
    }
    let mime = text(content, "mimeType");
    if let Some(uri) = field(content, "uri") {
        return Some(json!({ "fileData": { "fileUri": uri, "mimeType": mime } }));
    }
    field(content, "data").map(|data| json!({ "inlineData": { "data": data, "mimeType": mime } }))
}

fn tool(tool: &Value) -> Option<Value> {
    match text(tool, "type") {
        "function" => {
            let mut function =
                json!({ "name": text(tool, "name"), "description": text(tool, "description") });
            if let Some(parameters) = field(tool, "parameters") {
                function["parametersJsonSchema"] = parameters.clone();
            }
            Some(json!({ "functionDeclarations": [function] }))
        }
        "file_search" => {
            Some(json!({ "fileSearch": { "fileSearchStoreNames": list(tool, "fileSearchStoreNames") } }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_become_prompts() {
        let check = |input: Value, expected: Value| {
            let read = read(&json!({ "input": input })).map(|request| request["contents"].clone());
            assert_eq!(read, Ok(expected), "{input}");
        };
        check(json!("Hi"), json!([{ "role": "user", "parts": [{ "text": "Hi" }] }]));
        check(
            json!([{ "type": "text", "text": "Hi" }, { "type": "document", "uri": "files/a", "mime_type": "a/b" }]),
            json!([{ "role": "user", "parts": [
                { "text": "Hi" }, { "fileData": { "fileUri": "files/a", "mimeType": "a/b" } },
            ] }]),
        );
        check(
            json!([
                { "type": "user_input", "content": [{ "type": "text", "text": "Hi" }] },
                { "type": "thought", "signature": "x" },
                { "type": "function_call", "id": "1", "name": "f", "arguments": {} },
                { "type": "function_result", "call_id": "1", "name": "f", "result": "done" },
            ]),
            json!([
                { "role": "user", "parts": [{ "text": "Hi" }] },
                { "role": "model", "parts": [{ "functionCall": { "name": "f", "args": {}, "id": "1" } }] },
                { "role": "user", "parts": [{ "functionResponse": {
                    "name": "f", "id": "1", "response": { "result": "done" }, "parts": [],
                } }] },
            ]),
        );
        for nothing in [json!(null), json!([]), json!(7), json!([{ "type": "thought" }])] {
            assert!(read(&json!({ "input": nothing })).is_err());
        }
    }
}
