//! Libra's core: a load-balancing gateway for the Gemini API as pure functions and state machines.
//!
//! Nothing here opens a socket, reads a clock, the environment or a file, or starts a task: bytes, time,
//! chance and configuration are arguments. The native server and the WebAssembly edition are thin shells
//! around the same [`Gateway`](gateway::Gateway). `ARCHITECTURE.md` tells the way of a request.

pub mod error;
pub mod failure;
pub mod gemini;
pub mod openai;
pub mod secret;
pub mod time;
