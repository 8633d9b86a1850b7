//! The log: lines for people or JSON for programs, on standard error.
//!
//! A thread of its own writes them. Where standard error stands still (a full pipe, a stopped terminal), lines wait up to a
//! bound, and then are dropped and counted; no request waits for them.

use std::io::IsTerminal as _;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::metrics::METRICS;

/// So many lines wait. Most have some 200 bytes, the longest as many as bodies may have.
const LINES: usize = 4096;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Pretty,
    /// An object a line.
    Json,
}

/// Begins to log. What waits is written when the guard is dropped.
pub(crate) fn begin(directives: &str, format: Format) -> WorkerGuard {
    // A bare level is about Libra; its libraries only warn.
    let directives = match directives.parse::<tracing::Level>() {
        Ok(level) => format!("warn,libra={level},libra_core={level}"),
        Err(_) => directives.to_owned(),
    };
    let filter = EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LINES)
        .lossy(true)
        .thread_name("log")
        .finish(std::io::stderr());
    let dropped = writer.error_counter();
    METRICS.count_dropped_lines(move || dropped.dropped_lines() as u64);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let _ = match format {
        Format::Pretty => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => log.json().flatten_event(true).try_init(),
    };
    guard
}
