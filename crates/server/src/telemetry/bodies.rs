//! Requests and answers in the log, for whoever has asked for them: never in full, never with a secret, and without what
//! media are made of.

use std::fmt::Write as _;
use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use libra_core::failure::redact_body;
use libra_core::gateway::Gateway;

use crate::body::AnswerBody;

/// More than this of a body is not looked at: what is shown is much less.
const LOOKED_AT: usize = 64 << 10;

/// Runs of letters this long that have no space are no words: they are media, or signatures.
const MEDIUM: usize = 256;

/// Shorter words are no keys.
const KEY: usize = 6;

/// The longest key that is looked for. So much of a body that was cut is not shown, as it may be half a key.
const LONGEST_KEY: usize = 512;

/// How many bytes of a body are shown; none: bodies are not.
static SHOWN: OnceLock<usize> = OnceLock::new();

/// From now on, the first bytes of bodies are shown.
pub(crate) fn show(most: usize) {
    let _ = SHOWN.set(most);
}

/// A request's body until its answer has a name for it.
pub(crate) struct Asked(Bytes);

/// What is kept of a request's body, if bodies are shown.
pub(crate) fn asked(body: &Bytes) -> Option<Asked> {
    SHOWN.get().map(|_| Asked(body.clone()))
}

/// Shows a request and its answer; of one that streams, what there is when it ends.
pub(crate) fn show_exchange(
    asked: Option<Asked>,
    answer: &mut Response<AnswerBody>,
    gateway: &std::sync::Arc<Gateway>,
) {
    let Some(&most) = SHOWN.get() else { return };
    let request = name(answer.headers());
    if let Some(Asked(body)) = asked {
        tracing::info!(target: "libra::bodies", request, "asked: {}", shown(&body, most, gateway));
    }
    let status = answer.status().as_u16();
    match answer.body_mut() {
        AnswerBody::Whole(body) => {
            let said = shown(body, most, gateway);
            tracing::info!(target: "libra::bodies", request, status, "answered: {said}");
        }
        AnswerBody::Relay(relay) => {
            relay.watch(Said { request, gathered: BytesMut::new(), most, gateway: gateway.clone() });
        }
        // Their answers come later than their heads, as do all of theirs.
        AnswerBody::Open(_) | AnswerBody::Stream(_) => {}
    }
}

fn name(headers: &HeaderMap) -> String {
    let name = headers.get("x-libra-request-id").and_then(|name| name.to_str().ok());
    name.unwrap_or_default().to_owned()
}

/// What has gone to a client of an answer that streams.
pub(crate) struct Said {
    request: String,
    gathered: BytesMut,
    most: usize,
    gateway: std::sync::Arc<Gateway>,
}

impl Said {
    pub(crate) fn hear(&mut self, piece: &[u8]) {
        let room = LOOKED_AT.saturating_add(1).saturating_sub(self.gathered.len());
        self.gathered.extend_from_slice(&piece[..piece.len().min(room)]);
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        let said = shown(&self.gathered, self.most, &self.gateway);
        tracing::info!(target: "libra::bodies", request = self.request, "answered: {said}");
    }
}

/// The beginning of a body, as it can be shown.
fn shown(body: &[u8], most: usize, gateway: &Gateway) -> String {
    show_safely(body, most, |word| gateway.is_secret(word))
}

fn show_safely(body: &[u8], most: usize, is_secret: impl Fn(&str) -> bool) -> String {
    let (looked_at, is_cut) = match body.get(..LOOKED_AT) {
        Some(beginning) if body.len() > LOOKED_AT => (beginning, true),
        _ => (body, false),
    };
    // Events are documents of their own, each in a line.
    let mut safe = Vec::with_capacity(looked_at.len());
    let is_events = looked_at.starts_with(b"data:") || looked_at.starts_with(b"event:");
    if is_events {
        for line in looked_at.split_inclusive(|byte| *byte == b'\n') {
            let (name, data) = line.split_at(if line.starts_with(b"data:") { 5 } else { 0 });
            safe.extend_from_slice(name);
            safe.extend_from_slice(&redact_body(data));
        }
    } else {
        safe.extend_from_slice(&redact_body(looked_at));
    }
    let text = String::from_utf8_lossy(&safe);
    let mut text = without_words(&text, &is_secret);
    if is_cut {
        let whole = text.len().saturating_sub(LONGEST_KEY);
        text.truncate(text.floor_char_boundary(whole));
    }
    let is_longer = is_cut || text.len() > most;
    text.truncate(text.floor_char_boundary(most));
    let mut line: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    if is_longer {
        let _ = write!(line, "… ({} bytes)", body.len());
    }
    line
}

/// The text with keys and media replaced.
fn without_words(text: &str, is_secret: &impl Fn(&str) -> bool) -> String {
    // A client's key may have any letters but these; most have fewer, and may stand beside others.
    let parts_words = |char: char| char.is_whitespace() || "\"'\\,;{}[]()<>".contains(char);
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "_-.+/=".contains(char);
    let text = replaced(text, |char| !parts_words(char), |word| has_secret(word, is_secret).then(redacted));
    replaced(&text, is_plain, |word| match word.len() {
        MEDIUM.. => Some(format!("[{} characters]", word.len())),
        _ => has_secret(word, is_secret).then(redacted),
    })
}

fn redacted() -> String {
    "[redacted]".to_owned()
}

/// The text with some of its words replaced.
fn replaced(text: &str, is_word: impl Fn(char) -> bool, with: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(from) = rest.find(&is_word) {
        let length = rest[from..].find(|char| !is_word(char)).unwrap_or(rest.len() - from);
        let word = &rest[from..from + length];
        out.push_str(&rest[..from]);
        match with(word) {
            Some(other) => out.push_str(&other),
            None => out.push_str(word),
        }
        rest = &rest[from + length..];
    }
    out.push_str(rest);
    out
}

/// Whether a word, or a part of it, is a key.
fn has_secret(word: &str, is_secret: &impl Fn(&str) -> bool) -> bool {
    let parts = word.split(['/', '=', '+', ':', '?', '&']);
    std::iter::once(word)
        .chain(parts)
        .flat_map(|part| [part, part.trim_matches(['.', '=', '/', '+', '!', '?', ':'])])
        .any(|part| (KEY..=LONGEST_KEY).contains(&part.len()) && is_secret(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_shown_without_secrets_and_media() {
        let check = |body: &str, expected: &str| {
            let shown = show_safely(body.as_bytes(), 80, |word| word == "client-key.7");
            assert_eq!(shown, expected, "{body}");
        };
        check(r#"{"text":"Hello"}"#, r#"{"text":"Hello"}"#);
        check("two\nlines", "two lines");
        check(
            r#"{"text":"it is client-key.7, or x=client-key.7."}"#,
            r#"{"text":"it is [redacted], or [redacted]"}"#,
        );
        let image = format!(r#"{{"data":"{}"}}"#, "Ab9+".repeat(100));
        check(&image, r#"{"data":"[400 characters]"}"#);
        let long = "word ".repeat(100);
        check(&long, &format!("{}… (500 bytes)", "word ".repeat(16)));
        let key = format!("AIza{}", "Sy0_-".repeat(7));
        let shown = show_safely(format!("data: {{\"a\":\"{key}\"}}\n\n").as_bytes(), 500, |_| false);
        assert!(!shown.contains("Sy0_-") && shown.starts_with("data: {"), "{shown}");
    }

    #[test]
    fn half_a_key_at_a_cut_is_not_shown() {
        let key = format!("AIza{}", "Sy0_-".repeat(7));
        for before in LOOKED_AT - 60..LOOKED_AT {
            let body = format!("{}{key}", " ".repeat(before));
            let shown = show_safely(body.as_bytes(), LOOKED_AT, |_| false);
            assert!(!shown.contains("AIza"), "{before}");
        }
    }
}
