//! Why an answer ended.

/// What a finish reason comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model was done, or its answer is of no use: malformed calls, and whatever is new.
    Stop,
    /// It was cut off.
    Length,
    /// It was blocked for what it says.
    Blocked,
}

/// Reads Gemini's own word.
pub fn finish(native: &str) -> Finish {
    match native {
        // An answer that Gemini wants to go on with is one that was cut off.
        "MAX_TOKENS" | "CONTINUATION" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "NO_IMAGE"
        | "ESCALATION"
        | "PUP_LIMITED_DISABLED" => Finish::Blocked,
        _ if native.starts_with("IMAGE_") => Finish::Blocked,
        _ => Finish::Stop,
    }
}
