//! How a session ends: codes, reasons, and what Google means by them.

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use crate::error::{Error, Kind};
use crate::failure::redact_text;
use crate::secret::ApiKey;

/// The most that a reason can be: 123 bytes (RFC 6455, section 5.5: 125 with the code).
const LONGEST_REASON: usize = 123;

/// Codes of RFC 6455, section 7.4.1, and of IANA's registry.
pub(super) const GOING_AWAY: u16 = 1001;
pub(super) const INVALID_DATA: u16 = 1007;
pub(super) const POLICY: u16 = 1008;
pub(super) const INTERNAL: u16 = 1011;
pub(super) const TRY_AGAIN_LATER: u16 = 1013;

/// Why a side closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The code.
    pub code: u16,
    /// A sentence, at most 123 bytes.
    pub reason: String,
}

/// How the connection of a side has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It said goodbye, with or without a word.
    Said(Option<Close>),
    /// It is gone.
    Lost,
}

impl Close {
    /// A close; the reason is cut where it is too long.
    pub(super) fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        if reason.len() > LONGEST_REASON {
            reason.truncate(reason.floor_char_boundary(LONGEST_REASON - '…'.len_utf8()));
            reason.push('…');
        }
        Self { code, reason }
    }

    /// What the other side may be told of a close: without keys, and none of the codes that are never sent.
    pub(super) fn told(&self, secret: Option<&ApiKey>) -> Option<Self> {
        let may_be_sent = matches!(self.code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        may_be_sent.then(|| Self::new(self.code, redact_text(&self.reason, secret)))
    }

    /// The same as Google would have said it over HTTP: a status, and an error object.
    ///
    /// Google's sentences are known from their beginnings, as further on they quote the client's words.
    pub(super) fn as_answer(&self) -> (StatusCode, Bytes) {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({ "error": { "code": status.as_u16(), "message": self.reason } });
        (status, body.to_string().into())
    }

    fn status(&self) -> u16 {
        let said = self.reason.trim_start().to_ascii_lowercase();
        if let Some((status, _)) =
            SENTENCES.iter().find(|(_, starts)| starts.iter().any(|start| said.starts_with(start)))
        {
            return *status;
        }
        if said.contains("is not found for api version") {
            return 404;
        }
        match self.code {
            1002 | 1003 | 1007 | 1008 | 1009 | 1010 => 400,
            1001 | 1012 | 1013 => 503,
            _ => 500,
        }
    }

    /// What a client is told when no attempt was good.
    pub(super) fn of_error(error: &Error, model: Option<&str>) -> Self {
        let wait = error.retry_after.map(|wait| wait.as_millis().div_ceil(1000).max(1));
        let model = model.unwrap_or("this");
        match (error.kind, wait) {
            (Kind::RateLimited, Some(wait)) => Self::new(
                TRY_AGAIN_LATER,
                format!("Try again in {wait} s: every project is at its limit for {model}."),
            ),
            (Kind::Unavailable, Some(wait)) => {
                Self::new(TRY_AGAIN_LATER, format!("Try again in {wait} s: nobody can serve {model} now."))
            }
            (Kind::RateLimited, None) => Self::new(TRY_AGAIN_LATER, error.message.clone()),
            (kind, _) => Self::new(code_of(kind), error.message.clone()),
        }
    }
}

impl From<&'static str> for Close {
    fn from(reason: &'static str) -> Self {
        Self::new(INVALID_DATA, reason)
    }
}

/// The status that Google's sentences go with, by how they begin, in lower case.
const SENTENCES: [(u16, &[&str]); 6] = [
    (
        429,
        &[
            "you exceeded your current quota",
            "resource has been exhausted",
            "resource exhausted",
            "quota exceeded",
            "your prepayment credits",
            "your project has exceeded",
        ],
    ),
    (
        403,
        &[
            "your api key was reported as leaked",
            "your project has been denied access",
            "permission denied",
            "the caller does not have permission",
            "requests to this api ",
            "requests from ",
            "the provided api key has an ip address restriction",
            "generative language api has not been used in project ",
        ],
    ),
    (401, &["request had invalid authentication credentials", "request is missing required authentication"]),
    (404, &["models/", "this model models/"]),
    (503, &["the service is currently unavailable", "the model is overloaded", "this model is currently"]),
    (504, &["deadline expired"]),
];

const fn code_of(kind: Kind) -> u16 {
    match kind {
        Kind::BadRequest
        | Kind::Blocked
        | Kind::PromptTooLong
        | Kind::ImageUrl
        | Kind::UnsupportedEncoding => INVALID_DATA,
        Kind::Unauthorized
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::ModelNotFound
        | Kind::MethodNotAllowed
        | Kind::RequestTimeout
        | Kind::TooLarge => POLICY,
        Kind::QuotaSpent => TRY_AGAIN_LATER,
        Kind::RateLimited
        | Kind::Cancelled
        | Kind::Internal
        | Kind::BadGateway
        | Kind::Unavailable
        | Kind::Timeout => INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn googles_sentences_have_statuses() {
        let check = |code, reason: &str, expected: u16| {
            assert_eq!(Close::new(code, reason).as_answer().0.as_u16(), expected, "{code} {reason}");
        };
        check(1011, "You exceeded your current quota, please check your plan and billing details.", 429);
        check(1008, "Resource has been exhausted (e.g. check quota).", 429);
        check(1008, "Your API key was reported as leaked. Please use another API key.", 403);
        check(1007, "API key not valid. Please pass a valid API key.", 400);
        check(1008, "models/quota is not found for API version v1beta, or is not supported", 404);
        check(1011, "The service is currently unavailable.", 503);
        check(1011, "Deadline expired before operation could complete.", 504);
        check(1011, "Internal error encountered.", 500);
        check(1007, "Request contains an invalid argument.", 400);
        check(1013, "", 503);
        check(4000, "", 500);
        // What a client wrote does not decide.
        check(1007, "Unknown function: you exceeded your current quota", 400);
    }

    #[test]
    fn reasons_are_short_and_hold_no_key() {
        let key = ApiKey::new("AIzaSyA-key-of-the-tests-0123456789abc");
        let close = Close::new(1008, format!("Consumer 'api_key:{}' has been suspended", key.expose()));
        let told = close.told(Some(&key)).expect("1008 may be sent");
        assert!(!told.reason.contains("key-of-the-tests"), "{}", told.reason);
        let long = Close::new(1008, "语".repeat(100));
        assert!(long.reason.len() <= 123 && long.reason.ends_with('…'), "{}", long.reason.len());
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            assert_eq!(Close::new(code, "").told(None), None, "{code}");
        }
    }

    #[test]
    fn a_refusal_says_when() {
        let error = |kind, wait: Option<u64>| Error {
            retry_after: wait.map(Duration::from_millis),
            ..Error::new(kind, "Nobody is there.")
        };
        let check = |kind, wait, code, reason: &str| {
            assert_eq!(Close::of_error(&error(kind, wait), Some("m")), Close::new(code, reason), "{kind:?}");
        };
        let limit = "Try again in 37 s: every project is at its limit for m.";
        check(Kind::RateLimited, Some(36_100), 1013, limit);
        check(Kind::RateLimited, None, 1013, "Nobody is there.");
        check(Kind::Unavailable, Some(1_000), 1013, "Try again in 1 s: nobody can serve m now.");
        check(Kind::Unavailable, None, 1011, "Nobody is there.");
        check(Kind::ModelNotFound, None, 1008, "Nobody is there.");
        check(Kind::BadRequest, None, 1007, "Nobody is there.");
    }
}
