//! OpenAI's API on top of Gemini.

pub mod chat;
mod json;
pub mod models;
mod voice;
