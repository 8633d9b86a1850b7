//! Anthropic's dialect. So far its list of models; its errors are in [`error`](crate::error).

pub mod models;
