//! Answers of the scripted upstream.

use crate::harness::{Call, Canned};

pub(crate) const GOOD: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1,"totalTokenCount":2}}"#;

/// A good answer in the form that a call asks for.
pub(crate) fn good(call: &Call) -> Canned {
    if call.path.contains("alt=sse") || call.body.windows(13).any(|part| part == b"\"stream\":true") {
        Canned::sse(format!("data: {GOOD}\r\n\r\n"))
    } else {
        Canned::json(200, GOOD)
    }
}

/// An error object of Google's.
pub(crate) fn error(status: u16, message: &str, google_status: &str) -> Canned {
    let body = format!(r#"{{"error":{{"code":{status},"message":"{message}","status":"{google_status}"}}}}"#);
    Canned::json(status, body)
}

/// A quota by the day is used up.
pub(crate) fn day() -> Canned {
    let body = r#"{"error":{"code":429,"message":"Quota.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"m","quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaValue":"250"}]}]}}"#;
    Canned::json(429, body)
}
