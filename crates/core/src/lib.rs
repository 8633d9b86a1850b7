//! Libra's core: a load-balancing gateway for the Gemini API as pure functions and state machines.
//!
//! Nothing here opens a socket, reads a clock, the environment or a file, or starts a task: bytes, time,
//! chance and configuration are arguments. The native server and the WebAssembly edition are thin shells
//! around the same [`Gateway`](gateway::Gateway). `ARCHITECTURE.md` tells the way of a request.

mod admin;
pub mod affinity;
mod answers;
pub mod anthropic;
pub mod audit;
pub mod auth;
pub mod check;
pub mod clients;
pub mod config;
pub mod contents;
pub mod error;
pub mod event;
pub mod exchange;
pub mod failure;
pub mod fetch;
mod fields;
pub mod gateway;
pub mod gemini;
pub mod generation;
pub mod google_clock;
mod home;
mod json;
pub mod judge;
pub mod live;
pub mod mark;
pub mod memory;
pub mod multipart;
pub mod openai;
pub mod pool;
pub mod project_probe;
pub mod relay;
pub mod repair;
pub mod resource;
pub mod retry;
pub mod route;
pub mod seal;
pub mod secret;
pub mod signatures;
pub mod sse;
pub mod suffix;
mod task;
pub mod time;
pub mod tokens;
pub mod upstream;
