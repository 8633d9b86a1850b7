//! Whether what came with status 200 is an answer.
//!
//! Gemini can answer 200 and then send an error, nothing, or an empty candidate. Until an answer has shown that
//! it is one, the exchange holds it back and can still go on to another project.
//!
//! A good first event has any non-empty part (thought, text, call, data), a `promptFeedback`, or a finish reason
//! that speaks of content; MAX_TOKENS without parts is an answer, too: the thoughts used the budget up.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::event::Usage;

/// What an event, or a whole answer, amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// An answer.
    Good,
    /// Nothing yet that a client could use.
    Empty,
    /// An answer that says nothing but that the model has spoiled it: chance, and no fault of the key.
    Spoiled,
    /// An error object in place of an answer.
    Error,
    /// The project is limited or disabled for policy violations, said by a finish reason (`PUP_LIMITED_DISABLED`).
    ProjectDisabled,
    /// Not the JSON that it should be.
    Broken,
}

/// Judges the whole of an answer that is no stream.
pub fn whole(json: &[u8], generates: bool) -> Verdict {
    if generates && json.trim_ascii().is_empty() {
        return Verdict::Empty;
    }
    if !json.trim_ascii_end().ends_with(b"}") {
        return Verdict::Broken;
    }
    if generates {
        return content(json);
    }
    match mentions_error(json) && is_error(json) {
        true => Verdict::Error,
        false => Verdict::Good,
    }
}

/// Judges one event of a stream, or the whole of an answer with candidates.
pub fn content(json: &[u8]) -> Verdict {
    if has_text(json) && !mentions_disabled(json) && !mentions_error(json) {
        return Verdict::Good;
    }
    let Ok(answer) = serde_json::from_slice::<Answer<'_>>(json) else { return Verdict::Broken };
    if answer.error.is_some() {
        return Verdict::Error;
    }
    if answer.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
        return Verdict::Good;
    }
    let mut verdict = Verdict::Empty;
    for candidate in answer.candidates.unwrap_or_default() {
        let reason = candidate.finish_reason.as_deref().unwrap_or("");
        if reason == "PUP_LIMITED_DISABLED" {
            return Verdict::ProjectDisabled;
        }
        let parts = candidate.content.and_then(|content| content.parts).unwrap_or_default();
        let says_something = parts.iter().any(Part::says_something);
        match reason {
            _ if says_something => verdict = Verdict::Good,
            // STOP says that the model has spoken; where it has said nothing, that is no answer.
            "" | "STOP" | "FINISH_REASON_UNSPECIFIED" => {}
            "MALFORMED_FUNCTION_CALL" | "MALFORMED_RESPONSE" | "UNEXPECTED_TOOL_CALL" => {
                if verdict == Verdict::Empty {
                    verdict = Verdict::Spoiled;
                }
            }
            _ => verdict = Verdict::Good,
        }
    }
    verdict
}

/// Whether one of the events in a stretch of a server-sent stream could be an error object. Looks at beginnings
/// of lines only: Google's events are one line each, and a bare error begins a line, too.
pub fn has_error_event(events: &[u8]) -> bool {
    let mut from = 0;
    loop {
        let rest = &events[from..];
        let line = rest.strip_prefix(b"data:").unwrap_or(rest).trim_ascii_start();
        if line.strip_prefix(b"{").is_some_and(|object| object.trim_ascii_start().starts_with(b"\"error\"")) {
            return true;
        }
        match memchr::memchr(b'\n', &events[from..]) {
            Some(at) => from += at + 1,
            None => return false,
        }
    }
}

/// Whether the bytes hold an unescaped key `"error"`. Inside a JSON string its quotes would be escaped.
pub fn mentions_error(json: &[u8]) -> bool {
    static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));
    ERROR.find(json).is_some()
}

/// Whether a JSON object is an error object: `{"error": …}`, alone or in an array.
pub fn is_error(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        error: Option<IgnoredAny>,
    }
    match json.trim_ascii_start().first() {
        Some(b'[') => serde_json::from_slice::<Vec<Probe>>(json)
            .is_ok_and(|list| list.first().is_some_and(|first| first.error.is_some())),
        _ => serde_json::from_slice::<Probe>(json).is_ok_and(|probe| probe.error.is_some()),
    }
}

/// Whether an event ends its stream as it should: with a finish reason, or with the reason why the prompt was
/// blocked. A stream without either was cut.
pub fn finishes(json: &[u8]) -> bool {
    match serde_json::from_slice::<Answer<'_>>(json) {
        Ok(answer) => {
            answer.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some())
                || answer.candidates.is_some_and(|all| all.iter().any(|one| one.finish_reason.is_some()))
        }
        Err(_) => mentions_finish(json),
    }
}

/// Whether the bytes hold a key that [`finishes`] looks for. Every event of every stream passes here.
pub fn mentions_finish(json: &[u8]) -> bool {
    static REASON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"Reason\""));
    REASON.find_iter(json).any(|at| json[..at].ends_with(b"\"finish") || json[..at].ends_with(b"\"block"))
}

/// Whether the bytes hold the word by which Google says that a project is limited or disabled. It may be somebody
/// else's word: [`content`] tells.
pub fn mentions_disabled(json: &[u8]) -> bool {
    memmem::find(json, b"\"PUP_LIMITED_DISABLED\"").is_some()
}

/// The last token counts in an answer or event, found without parsing it.
pub fn usage(json: &[u8]) -> Option<Usage> {
    let from = memmem::rfind(json, b"\"usageMetadata\"")?;
    let metadata = &json[from..];
    let number = |name: &[u8]| {
        let at = memmem::find(metadata, name)? + name.len();
        let digits = metadata[at..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let digits = &digits[..digits.iter().take_while(|byte| byte.is_ascii_digit()).count()];
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    let prompt = number(b"\"promptTokenCount\"").unwrap_or(0);
    Some(Usage {
        prompt,
        total: number(b"\"totalTokenCount\"").unwrap_or(prompt),
        output: number(b"\"candidatesTokenCount\"").unwrap_or(0),
        thoughts: number(b"\"thoughtsTokenCount\"").unwrap_or(0),
        cached: number(b"\"cachedContentTokenCount\"").unwrap_or(0),
    })
}

/// A quick look that finds most good answers without parsing them: a text that is not empty.
fn has_text(json: &[u8]) -> bool {
    memmem::find_iter(json, b"\"text\"").any(|at| {
        let value = json[at + 6..].trim_ascii_start();
        let Some(value) = value.strip_prefix(b":") else { return false };
        let value = value.trim_ascii_start();
        value.starts_with(b"\"") && value.len() > 1 && value[1] != b'"'
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    error: Option<IgnoredAny>,
    #[serde(borrow)]
    candidates: Option<Vec<Candidate<'a>>>,
    prompt_feedback: Option<PromptFeedback>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    block_reason: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(borrow)]
    content: Option<Content<'a>>,
    /// A string, or a number for clients that ask for numeric enums.
    #[serde(borrow, default, deserialize_with = "text_or_anything")]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    parts: Option<Vec<Part<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    inline_data: Option<IgnoredAny>,
    file_data: Option<IgnoredAny>,
    function_call: Option<IgnoredAny>,
    function_response: Option<IgnoredAny>,
    executable_code: Option<IgnoredAny>,
    code_execution_result: Option<IgnoredAny>,
    tool_call: Option<IgnoredAny>,
    tool_response: Option<IgnoredAny>,
}

impl Part<'_> {
    fn says_something(&self) -> bool {
        self.text.as_ref().is_some_and(|text| !text.is_empty())
            || self.inline_data.is_some()
            || self.file_data.is_some()
            || self.function_call.is_some()
            || self.function_response.is_some()
            || self.executable_code.is_some()
            || self.code_execution_result.is_some()
            || self.tool_call.is_some()
            || self.tool_response.is_some()
    }
}

fn text_or_anything<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum TextOrNumber<'a> {
        #[serde(borrow)]
        Text(Cow<'a, str>),
        Number(u64),
        Other(IgnoredAny),
    }
    Ok(match Option::<TextOrNumber<'de>>::deserialize(from)? {
        Some(TextOrNumber::Text(text)) => Some(text),
        // The enum's numbers: 0 unspecified, 1 STOP.
        Some(TextOrNumber::Number(0 | 1)) => Some("STOP".into()),
        Some(TextOrNumber::Number(_) | TextOrNumber::Other(_)) => Some("OTHER".into()),
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_from_what_is_none() {
        let check = |json: &str, expected| assert_eq!(content(json.as_bytes()), expected, "{json}");
        let part = |part: &str, rest: &str| {
            format!(r#"{{"candidates":[{{"content":{{"parts":[{part}],"role":"model"}}{rest}}}]}}"#)
        };
        check(&part(r#"{"text":"Hi"}"#, ""), Verdict::Good);
        check(&part(r#"{"text": "Hi"}"#, r#","finishReason":"STOP""#), Verdict::Good);
        check(&part(r#"{"text":"\"error\" is only a word here"}"#, ""), Verdict::Good);
        check(&part(r#"{"text":"hm","thought":true}"#, ""), Verdict::Good);
        check(&part(r#"{"functionCall":{"name":"f","args":{"error":"x"}}}"#, ""), Verdict::Good);
        check(&part(r#"{"inlineData":{"mimeType":"image/png","data":""}}"#, ""), Verdict::Good);
        check(&part(r#"{"text":""}"#, ""), Verdict::Empty);
        check(&part(r#"{"text":"","thoughtSignature":"c2ln"}"#, r#","finishReason":"STOP""#), Verdict::Empty);
        check(&part("", r#","finishReason":"STOP""#), Verdict::Empty);
        check(&part("", r#","finishReason":1"#), Verdict::Empty);
        check(&part("", r#","finishReason":2"#), Verdict::Good);
        check(&part("", r#","finishReason":"MAX_TOKENS""#), Verdict::Good);
        check(r#"{"candidates":[{"content":{},"finishReason":"SAFETY","index":0}]}"#, Verdict::Good);
        check(r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]}"#, Verdict::Spoiled);
        check(&part(r#"{"text":"x"}"#, r#","finishReason":"MALFORMED_FUNCTION_CALL""#), Verdict::Good);
        check(
            r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"},{"finishReason":"MAX_TOKENS"}]}"#,
            Verdict::Good,
        );
        check(r#"{"candidates":[{"finishReason":"PUP_LIMITED_DISABLED"}]}"#, Verdict::ProjectDisabled);
        check(
            &part(r#"{"text":"x"}"#, r#","finishReason":"PUP_LIMITED_DISABLED""#),
            Verdict::ProjectDisabled,
        );
        check(r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{}}"#, Verdict::Good);
        check(r#"{"promptFeedback":{},"usageMetadata":{}}"#, Verdict::Empty);
        check(r#"{"usageMetadata":{"promptTokenCount":3}}"#, Verdict::Empty);
        check(r#"{"candidates":[]}"#, Verdict::Empty);
        check("{}", Verdict::Empty);
        check(r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#, Verdict::Error);
        check(r#"{"error":{"code":503,"message":"the \"text\": \"x\" is long"}}"#, Verdict::Error);
        check("<html>", Verdict::Broken);
        check("", Verdict::Broken);
    }

    #[test]
    fn errors_are_objects_at_the_top() {
        assert!(is_error(br#"{"error":{"code":503}}"#));
        assert!(is_error(br#"[{"error":{"code":503}}]"#));
        assert!(is_error(br#"{"error":"busy"}"#));
        assert!(!is_error(br#"{"candidates":[{"error":1}]}"#));
        assert!(!is_error(b"nothing"));
    }

    #[test]
    fn error_events_are_suspected_by_their_beginning() {
        assert!(has_error_event(b"data: {\"error\": {}}\r\n\r\n"));
        assert!(has_error_event(b"data: {\"a\":1}\r\n\r\n{\n  \"error\": {\n"));
        assert!(has_error_event(b"data:{ \"error\":{}}\n\n"));
        assert!(!has_error_event(b"data: {\"candidates\":[{\"error\":1}]}\r\n\r\n"));
        assert!(!has_error_event(b""));
    }

    #[test]
    fn the_end_of_a_stream_is_recognised() {
        assert!(finishes(br#"{"candidates":[{"finishReason":"STOP"}]}"#));
        assert!(finishes(br#"{"promptFeedback":{"blockReason": "SAFETY"}}"#));
        assert!(!finishes(br#"{"candidates":[{"content":{"parts":[{"text":"\"finishReason\""}]}}]}"#));
        assert!(!finishes(br#"{"otherReason":1}"#));
    }

    #[test]
    fn usage_is_found_without_parsing() {
        let json =
            br#"{"usageMetadata": {"promptTokenCount": 11,"totalTokenCount": 304, "x":[{"tokenCount":1}],
                "candidatesTokenCount": 200, "thoughtsTokenCount" :93,"cachedContentTokenCount":7}}"#;
        assert_eq!(usage(json), Some(Usage { prompt: 11, total: 304, output: 200, thoughts: 93, cached: 7 }));
        assert_eq!(
            usage(br#"{"usageMetadata":{"promptTokenCount":8}}"#),
            Some(Usage { prompt: 8, total: 8, ..Usage::default() })
        );
        assert_eq!(usage(b"{}"), None);
    }
}
