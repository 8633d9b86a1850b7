//! OpenAI's API on top of Gemini.

pub mod chat;
pub mod models;
pub mod responses;
mod voice;
