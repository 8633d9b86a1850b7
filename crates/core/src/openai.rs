//! OpenAI's API on top of Gemini.

pub mod chat;
pub mod models;
mod voice;
