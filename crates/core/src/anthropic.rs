//! Anthropic's API on top of Gemini. Its errors are in [`error`](crate::error).

pub mod messages;
pub mod models;
