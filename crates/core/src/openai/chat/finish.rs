//! Why an answer ended, in OpenAI's five words.
//!
//! Clients know no others, so Gemini's own word goes beside, as `native_finish_reason`, where it says more.

use super::Context;
use crate::gemini::finish::{Finish, finish};

/// `finish_reason` for Gemini's reason and for whether there was a call.
pub(super) fn reason(native: &str, called: bool, context: &Context) -> &'static str {
    match finish(native) {
        Finish::Length => "length",
        Finish::Blocked => "content_filter",
        Finish::Stop if called && context.legacy_call => "function_call",
        Finish::Stop if called => "tool_calls",
        Finish::Stop => "stop",
    }
}

/// Whether OpenAI's word says it all.
pub(in crate::openai) fn is_ordinary(native: &str) -> bool {
    matches!(native, "STOP" | "MAX_TOKENS" | "FINISH_REASON_UNSPECIFIED" | "")
}

/// What stands in `refusal` where nothing was answered at all; none where the answer was not refused.
pub(super) fn refusal(reason: &str, native: &str, of_prompt: bool) -> Option<String> {
    (reason == "content_filter").then(|| blocked(native, of_prompt))
}

/// What clients are told of a refusal.
pub(in crate::openai) fn blocked(native: &str, of_prompt: bool) -> String {
    let what = if of_prompt { "the prompt" } else { "the answer" };
    format!("Gemini blocked {what} ({native}).")
}
