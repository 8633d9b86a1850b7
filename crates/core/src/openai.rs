//! OpenAI's API on top of Gemini.

pub mod audio;
pub mod batches;
pub mod chat;
pub mod completions;
pub mod embeddings;
pub mod endpoint;
mod files;
mod form;
pub mod images;
pub mod models;
pub mod objects;
pub mod responses;
mod sampling;
mod texts;
mod tokens;
mod voice;
