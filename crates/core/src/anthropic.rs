//! Anthropic's API on top of Gemini. Its errors are in [`error`](crate::error).

pub mod messages;
pub mod models;

/// What keeps an idle stream alive. The SDKs skip it wherever it comes.
pub const PING: &[u8] = b"event: ping\ndata: {\"type\":\"ping\"}\n\n";
