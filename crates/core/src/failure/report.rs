//! Reads an error body into a [`Report`], whatever its shape.
//!
//! Shapes that the upstream uses: `{"error": {…}}`; the same in an array (the OpenAI-compatible paths, streams
//! without `alt=sse`); `error.code` as a word (interactions); `error` as a bare sentence; behind `data:`.
//! A body may also be cut short. Every field may be missing or of another type, and one odd field must not
//! hide the others, so this reads a document tree and not typed structs.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value};

use super::delay;

/// How many violations are read. Google names a handful; a hostile body could name thousands.
const MOST_VIOLATIONS: usize = 16;
/// The longest name of a quota or a family that is kept, in bytes. Google's are shorter.
const LONGEST_NAME: usize = 128;
/// How much of a message is looked at, in characters. What Google says stands at its beginning.
const LONGEST_SAID: usize = 8_000;
/// The longest message for a client, in characters.
const LONGEST_MESSAGE: usize = 2_000;

/// What stood in an answer's body.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) content: Content,
    /// The JSON, if the body was one whole document.
    pub(super) json: Option<&'a [u8]>,
}

/// The meaning of a body.
#[derive(Debug)]
pub(super) enum Content {
    /// An error object.
    Error(Box<Report>),
    /// A web page, from Google's front end or something on the way.
    Page {
        /// Google's "We're sorry… automated queries": the address we speak from is banned.
        banned: bool,
        title: Option<String>,
    },
    /// Nothing that could be read.
    Unreadable,
}

/// An error object, as far as anything here looks at it.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The status that the body itself names, by number or by word.
    pub(super) status: Option<StatusCode>,
    /// `error.code` where it is a word, in lower case (interactions).
    pub(super) word: String,
    /// `error.message`, as it came.
    pub(super) message: String,
    /// Its beginning in lower case, for comparing.
    pub(super) said: String,
    /// `ErrorInfo.reason`s.
    pub(super) reasons: Vec<String>,
    /// The digits of `metadata.consumer` "projects/N".
    pub(super) consumer: Option<String>,
    pub(super) violations: Vec<Violation>,
    /// The longest wait that is named anywhere.
    pub(super) delay: Option<Duration>,
}

/// One quota that was exceeded.
#[derive(Debug)]
pub(super) struct Violation {
    /// `quotaId` and `quotaMetric` in lower case without separators, so that "PerDay" and "per_day" are one.
    pub(super) quota: String,
    /// `quotaDimensions.model`.
    pub(super) family: Option<String>,
    /// `quotaValue`.
    pub(super) value: Option<u64>,
}

/// Reads a body. `content_type` only helps to tell a page: Google sends plain JSON as `text/event-stream`.
pub(super) fn read<'a>(content_type: Option<&str>, body: &'a [u8]) -> Reading<'a> {
    let text = body.trim_ascii();
    if let Ok(value) = serde_json::from_slice::<Value>(text) {
        return Reading { content: of_value(&value), json: Some(body) };
    }
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('<') || content_type.is_some_and(is_html) {
        return Reading { content: page(text), json: None };
    }
    let value = payload(text).and_then(lenient);
    Reading { content: value.as_ref().map_or(Content::Unreadable, of_value), json: None }
}

/// A message for a client: one line, bounded, nothing that a terminal would obey.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(4 * LONGEST_MESSAGE));
    let mut characters = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        for c in (characters > 0).then_some(' ').into_iter().chain(word.chars()) {
            if characters == LONGEST_MESSAGE - 1 {
                line.push('…');
                return line;
            }
            line.push(c);
            characters += 1;
        }
    }
    line
}

/// The status that a symbolic code stands for: `google.rpc.Code`, or a code of the interactions API.
fn status_of_word(word: &str) -> Option<StatusCode> {
    let code = match word {
        "invalid_argument" | "invalid_request" | "invalid_request_error" | "failed_precondition" => 400,
        "unauthenticated" | "authentication_error" => 401,
        "payment_required" => 402,
        "permission_denied" | "permission_error" => 403,
        "not_found" | "model_not_found" | "not_found_error" => 404,
        "aborted" | "already_exists" => 409,
        "out_of_range" => 416,
        "resource_exhausted" | "rate_limit_exceeded" | "too_many_requests" | "quota_exceeded" => 429,
        "cancelled" => 499,
        "internal" | "internal_error" | "api_error" | "server_error" | "unknown" | "data_loss" => 500,
        "unimplemented" => 501,
        "unavailable" | "service_unavailable" | "overloaded" | "overloaded_error" => 503,
        "deadline_exceeded" | "timeout" => 504,
        _ => return None,
    };
    StatusCode::from_u16(code).ok()
}

/// The status of a numeric `google.rpc.Code`, which old clients ask for (`enum-encoding=int`).
fn status_of_number(code: u64) -> Option<StatusCode> {
    let code = match code {
        1 => 499,
        2 | 13 | 15 => 500,
        3 | 9 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        11 => 416,
        12 => 501,
        14 => 503,
        16 => 401,
        400..=599 => u16::try_from(code).ok()?,
        _ => return None,
    };
    StatusCode::from_u16(code).ok()
}

fn of_value(value: &Value) -> Content {
    error_object(value).map_or(Content::Unreadable, |error| Content::Error(Box::new(Report::of_error(error))))
}

/// The error in a document: under `error`, in the first element of an array that has one, or the document
/// itself if it looks like one.
fn error_object(value: &Value) -> Option<&Value> {
    match value {
        Value::Array(elements) => elements
            .iter()
            .filter_map(|element| element.get("error"))
            .find(|error| error.is_object() || error.is_string()),
        Value::Object(fields) => match fields.get("error") {
            Some(error @ (Value::Object(_) | Value::String(_))) => Some(error),
            _ => fields.contains_key("message").then_some(value),
        },
        _ => None,
    }
}

impl Report {
    fn of_error(error: &Value) -> Self {
        let mut report = Self::default();
        match error {
            Value::Object(fields) => report.take_fields(fields),
            Value::String(message) => report.message.clone_from(message),
            _ => {}
        }
        report.said = report.message.chars().take(LONGEST_SAID).flat_map(char::to_lowercase).collect();
        report.delay = report.delay.max(delay::from_message(&report.said));
        report
    }

    fn take_fields(&mut self, fields: &Map<String, Value>) {
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let status_of = |name: &str| {
            let value = fields.get(name)?;
            value
                .as_u64()
                .and_then(status_of_number)
                .or_else(|| status_of_word(&value.as_str()?.to_ascii_lowercase()))
        };
        self.status = status_of("code").or_else(|| status_of("status"));
        self.word = text("code").to_ascii_lowercase();
        text("message").clone_into(&mut self.message);
        let details = fields.get("details").and_then(Value::as_array);
        for detail in details.into_iter().flatten().filter_map(Value::as_object) {
            self.take_detail(detail);
        }
    }

    /// Goes by the fields and not by `@type`, as none has two meanings and the type may be missing.
    fn take_detail(&mut self, detail: &Map<String, Value>) {
        if let Some(reason) = detail.get("reason").and_then(Value::as_str) {
            self.reasons.push(reason.to_owned());
        }
        if let Some(metadata) = detail.get("metadata").and_then(Value::as_object) {
            self.take_metadata(metadata);
        }
        for violation in detail.get("violations").and_then(Value::as_array).into_iter().flatten() {
            let Some(violation) = violation.as_object() else { continue };
            let model = violation.get("quotaDimensions").and_then(|dimensions| dimensions.get("model"));
            self.add_violation(
                [violation.get("quotaId"), violation.get("quotaMetric")],
                model,
                violation.get("quotaValue"),
            );
        }
        self.delay = self.delay.max(detail.get("retryDelay").and_then(delay::from_json));
        if self.message.is_empty() {
            // LocalizedMessage.
            detail.get("message").and_then(Value::as_str).unwrap_or_default().clone_into(&mut self.message);
        }
    }

    fn take_metadata(&mut self, metadata: &Map<String, Value>) {
        let consumer = metadata.get("consumer").and_then(Value::as_str);
        if let Some(number) = consumer.and_then(project_number) {
            self.consumer = Some(number.to_owned());
        }
        // The older form of a quota error, an ErrorInfo of reason RATE_LIMIT_EXCEEDED.
        if metadata.contains_key("quota_limit") || metadata.contains_key("quota_metric") {
            self.add_violation(
                [metadata.get("quota_limit"), metadata.get("quota_metric")],
                metadata.get("model"),
                metadata.get("quota_limit_value"),
            );
        }
    }

    fn add_violation(&mut self, names: [Option<&Value>; 2], model: Option<&Value>, value: Option<&Value>) {
        if self.violations.len() == MOST_VIOLATIONS {
            return;
        }
        let quota = names.into_iter().flatten().filter_map(Value::as_str).flat_map(|name| {
            name.chars().take(LONGEST_NAME).filter(char::is_ascii_alphanumeric).chain([' '])
        });
        self.violations.push(Violation {
            quota: quota.map(|c| c.to_ascii_lowercase()).collect(),
            family: model
                .and_then(Value::as_str)
                .filter(|model| !model.is_empty() && model.len() <= LONGEST_NAME)
                .map(str::to_owned),
            value: value.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok())),
        });
    }
}

/// The digits of "projects/N" or "project_number:N".
fn project_number(consumer: &str) -> Option<&str> {
    let number = consumer.strip_prefix("projects/").or_else(|| consumer.strip_prefix("project_number:"))?;
    let digits = (1..=20).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(number)
}

fn is_html(content_type: &str) -> bool {
    content_type.to_ascii_lowercase().contains("html")
}

fn page(text: &str) -> Content {
    let lower = text.to_ascii_lowercase();
    let banned = ["automated queries", "unusual traffic", "google.com/sorry/"];
    let title = lower.find("<title>").and_then(|at| {
        let start = at + "<title>".len();
        let end = lower[start..].find("</title>")?;
        let title = one_line(&text[start..start + end]);
        (!title.is_empty()).then_some(title)
    });
    Content::Page { banned: banned.iter().any(|sign| lower.contains(sign)), title }
}

/// The JSON in a text that is none as a whole: the data of a server-sent event, or the text itself.
fn payload(text: &str) -> Option<&str> {
    let starts = |line: &str| line.starts_with(['{', '[']);
    let data = text.lines().find_map(|line| line.trim_start().strip_prefix("data:").map(str::trim_start));
    match data.filter(|data| starts(data)) {
        Some(data) if !starts(text) => Some(data),
        _ => starts(text).then_some(text),
    }
}

/// The first JSON document in `text`, completed if it was cut short.
fn lenient(text: &str) -> Option<Value> {
    let first = serde_json::Deserializer::from_str(text).into_iter().next();
    if let Some(Ok(value)) = first {
        return Some(value);
    }
    completions(text).iter().find_map(|text| serde_json::from_str(text).ok())
}

/// A document that was cut short, closed in two ways: right at the cut, and after the last whole member.
fn completions(text: &str) -> [String; 2] {
    let mut open = Vec::new();
    let mut whole = (0, Vec::new());
    let mut in_string = false;
    let mut bytes = text.bytes().enumerate();
    // Where an escape begins that the cut took the end of.
    let mut escape = None;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if in_string => {
                escape = Some(at);
                bytes.next();
            }
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' => open.push('}'),
            b'[' => open.push(']'),
            b'}' | b']' => {
                open.pop();
            }
            b',' => whole = (at, open.clone()),
            _ => {}
        }
        if matches!(byte, b'{' | b'[') && !in_string {
            whole = (at + 1, open.clone());
        }
        // Deeper than serde_json reads.
        if open.len() > 128 {
            break;
        }
    }
    let cut = escape.filter(|&at| in_string && text.len() - at < "\\u0000".len()).unwrap_or(text.len());
    let mut at_cut = text[..cut].to_owned();
    if in_string {
        at_cut.push('"');
    }
    at_cut.extend(open.into_iter().rev());
    let mut after_member = text[..whole.0].to_owned();
    after_member.extend(whole.1.into_iter().rev());
    [at_cut, after_member]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(body: &str) -> Report {
        match read(None, body.as_bytes()).content {
            Content::Error(report) => *report,
            other => panic!("{body} is read as {other:?}"),
        }
    }

    #[test]
    fn every_shape_of_an_error_is_found() {
        let check = |body: &str, status: Option<u16>, message: &str| {
            let report = report(body);
            assert_eq!(
                (report.status.map(|status| status.as_u16()), &*report.message),
                (status, message),
                "{body}"
            );
        };
        check(r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#, Some(503), "busy");
        check(r#"[{"error":{"code":400,"message":"wrong"}}]"#, Some(400), "wrong");
        check(r#"[{"candidates":[]},{"error":{"code":500,"message":"late"}}]"#, Some(500), "late");
        check(r#"{"error":{"code":"quota_exceeded","message":"enough"}}"#, Some(429), "enough");
        check(r#"{"event_type":"error","error":{"code":"api_error","message":"oh"}}"#, Some(500), "oh");
        check(r#"{"error":{"status":"UNAVAILABLE","message":"busy"}}"#, Some(503), "busy");
        check(r#"{"error":{"code":8,"status":8,"message":"numeric"}}"#, Some(429), "numeric");
        check(r#"{"error":"a sentence"}"#, None, "a sentence");
        check(r#"{"message":"bare","code":404}"#, Some(404), "bare");
        check(r#"{"error":{"code":[],"message":7,"details":"none"}}"#, None, "");
        check("data: {\"error\":{\"code\":503,\"message\":\"busy\"}}\r\n\r\n", Some(503), "busy");
        check("event: error\ndata:{\"error\":{\"code\":503,\"message\":\"busy\"}}\n\n", Some(503), "busy");
        check("\u{feff}{\"error\":{\"code\":503,\"message\":\"busy\"}} trailing", Some(503), "busy");
        check(r#"{"error":{"details":[{"locale":"en","message":"localized"}]}}"#, None, "localized");
    }

    #[test]
    fn what_was_read_before_a_cut_counts() {
        let whole = r#"{"error":{"code":429,"message":"a \"b\" \u00e9","details":[{"violations":[{"quotaId":"XPerDay","quotaValue":"20"}]},{"retryDelay":"22s"}]}}"#;
        for cut in 0..whole.len() {
            let Content::Error(report) = read(None, &whole.as_bytes()[..cut]).content else {
                assert!(cut < r#"{"error":{"#.len(), "nothing read from {}", &whole[..cut]);
                continue;
            };
            let read_code = report.status == Some(StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(read_code, cut >= r#"{"error":{"code":429"#.len(), "{}", &whole[..cut]);
            let read_quota = report.violations.iter().any(|violation| violation.quota.contains("xperday"));
            assert_eq!(read_quota, cut >= whole.find("PerDay").unwrap_or_default() + 6, "{}", &whole[..cut]);
        }
    }

    #[test]
    fn pages_and_rubbish_are_told_apart() {
        let check = |content_type, body: &[u8], expected: &str| {
            let content = format!("{:?}", read(content_type, body).content);
            assert!(content.starts_with(expected), "{content}");
        };
        check(
            None,
            b"<!DOCTYPE html><title>Error 502\n (Server Error)!!1</title>",
            "Page { banned: false, title: Some(\"Error 502 (Server",
        );
        check(Some("text/html; charset=UTF-8"), b"We're sorry... automated queries", "Page { banned: true");
        check(Some("text/event-stream"), b"{\"error\":{}}", "Error(");
        for rubbish in [
            &b""[..],
            b"{}",
            b"[]",
            b"null",
            b"\xff\xfe",
            b"upstream connect error",
            b"{\"error\":null}",
            b"data: [DONE]",
        ] {
            check(None, rubbish, "Unreadable");
        }
        check(None, "[".repeat(60_000).as_bytes(), "Unreadable");
        check(None, b"{\"error\":{\"message\":\"\xff\"}}", "Error(");
    }

    #[test]
    fn messages_are_one_bounded_line() {
        assert_eq!(one_line(" two\r\n  lines\u{7}\t\u{1b}[31m "), "two lines [31m");
        assert_eq!(one_line(&"é".repeat(5_000)).chars().count(), LONGEST_MESSAGE);
        assert_eq!(one_line(""), "");
    }
}
