//! What the tasks and the benchmark share: running other programs.

#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is where its results go")]

pub mod command;
pub mod gateway;
pub mod server;
