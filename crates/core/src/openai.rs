//! OpenAI's API on top of Gemini.

pub mod chat;
mod media;
pub mod models;
mod voice;
