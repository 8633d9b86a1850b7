//! Items of an answer as JSON. Texts come escaped, as Gemini wrote them.

use crate::json;

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete,
}

impl Status {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
        }
    }
}

/// Writes `,"name":` and a string that is escaped already.
pub(super) fn escaped(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    field(out, name);
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

/// Writes `,"name":` and a string.
pub(super) fn string(out: &mut Vec<u8>, name: &str, text: &str) {
    field(out, name);
    json::string(out, text);
}

/// Writes `,"name":` and a number.
pub(super) fn number(out: &mut Vec<u8>, name: &str, number: u64) {
    field(out, name);
    json::number(out, number);
}

/// Writes `,"name":`.
pub(super) fn field(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Writes the beginning of an item: its kind, its id and how far it is.
fn item(out: &mut Vec<u8>, kind: &str, id: &str, status: Status) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.push(b'"');
    string(out, "id", id);
    string(out, "status", status.as_str());
}

/// A part of a summary.
pub(super) fn summary(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(br#"{"type":"summary_text""#);
    escaped(out, "text", text);
    out.push(b'}');
}

/// A reasoning item.
pub(super) fn reasoning(out: &mut Vec<u8>, id: &str, status: Status, text: &[u8], sealed: Option<&str>) {
    item(out, "reasoning", id, status);
    out.extend_from_slice(br#","summary":["#);
    if !text.is_empty() {
        summary(out, text);
    }
    out.push(b']');
    if let Some(sealed) = sealed {
        string(out, "encrypted_content", sealed);
    }
    out.push(b'}');
}

/// A part of text. `annotations` and `logprobs` are the elements of their lists.
pub(super) fn output_text(out: &mut Vec<u8>, text: &[u8], annotations: &[u8], logprobs: &[u8]) {
    out.extend_from_slice(br#"{"type":"output_text","annotations":["#);
    out.extend_from_slice(annotations);
    out.extend_from_slice(br#"],"logprobs":["#);
    out.extend_from_slice(logprobs);
    out.push(b']');
    escaped(out, "text", text);
    out.push(b'}');
}

/// A part that says that nothing will be said.
pub(super) fn refusal(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(br#"{"type":"refusal""#);
    string(out, "refusal", text);
    out.push(b'}');
}

/// A message. `content` is the elements of its list; `signature` a JSON string.
pub(super) fn message(out: &mut Vec<u8>, id: &str, status: Status, content: &[u8], signature: Option<&str>) {
    item(out, "message", id, status);
    out.extend_from_slice(br#","role":"assistant","content":["#);
    out.extend_from_slice(content);
    out.push(b']');
    if let Some(signature) = signature {
        extra_content(out, signature);
    }
    out.push(b'}');
}

/// Where Google's own OpenAI-compatible endpoint puts signatures.
fn extra_content(out: &mut Vec<u8>, signature: &str) {
    out.extend_from_slice(br#","extra_content":{"google":{"thought_signature":"#);
    out.extend_from_slice(signature.as_bytes());
    out.extend_from_slice(b"}}");
}

/// A call of a function or of a custom tool, as far as the client's names go.
pub(super) struct Called<'a> {
    pub(super) id: &'a str,
    pub(super) call_id: &'a str,
    pub(super) name: &'a str,
    pub(super) namespace: Option<&'a str>,
    pub(super) is_custom: bool,
}

/// A call. `input` is a JSON string.
pub(super) fn call(out: &mut Vec<u8>, call: &Called<'_>, status: Status, input: &[u8]) {
    item(out, if call.is_custom { "custom_tool_call" } else { "function_call" }, call.id, status);
    string(out, "call_id", call.call_id);
    string(out, "name", call.name);
    if let Some(namespace) = call.namespace {
        string(out, "namespace", namespace);
    }
    field(out, if call.is_custom { "input" } else { "arguments" });
    out.extend_from_slice(input);
    out.push(b'}');
}

/// A picture.
pub(super) fn picture(
    out: &mut Vec<u8>,
    id: &str,
    done: bool,
    (format, data): (&str, &[u8]),
    signature: Option<&str>,
) {
    item(out, "image_generation_call", id, if done { Status::Completed } else { Status::InProgress });
    if done {
        string(out, "output_format", format);
        escaped(out, "result", data);
        if let Some(signature) = signature {
            extra_content(out, signature);
        }
    } else {
        out.extend_from_slice(br#","result":null"#);
    }
    out.push(b'}');
}

/// Code that Google ran. `outputs` is none where the client did not ask for them.
pub(super) fn code(out: &mut Vec<u8>, id: &str, status: Status, code: &[u8], outputs: Option<&[u8]>) {
    item(out, "code_interpreter_call", id, status);
    escaped(out, "code", code);
    // Google has no containers that a client could name.
    string(out, "container_id", "gemini");
    field(out, "outputs");
    match outputs {
        None => out.extend_from_slice(b"null"),
        Some([]) => out.extend_from_slice(b"[]"),
        Some(logs) => {
            out.extend_from_slice(br#"[{"type":"logs""#);
            escaped(out, "logs", logs);
            out.extend_from_slice(b"}]");
        }
    }
    out.push(b'}');
}

/// A search of the web. Queries and addresses are JSON strings.
pub(super) fn search(
    out: &mut Vec<u8>,
    id: &str,
    status: Status,
    queries: &[String],
    sources: Option<&[String]>,
) {
    item(out, "web_search_call", id, status);
    out.extend_from_slice(br#","action":{"type":"search","query":"#);
    out.extend_from_slice(queries.first().map_or(r#""""#, String::as_str).as_bytes());
    field(out, "queries");
    out.push(b'[');
    out.extend_from_slice(queries.join(",").as_bytes());
    out.push(b']');
    if let Some(sources) = sources {
        field(out, "sources");
        out.push(b'[');
        for (number, url) in sources.iter().enumerate() {
            out.extend_from_slice(if number > 0 { b",{" } else { b"{" });
            out.extend_from_slice(br#""type":"url","url":"#);
            out.extend_from_slice(url.as_bytes());
            out.push(b'}');
        }
        out.push(b']');
    }
    out.extend_from_slice(b"}}");
}
