//! Signs of life for a client that waits for a stream: the head of the response, and then comments or pings.
//!
//! Proxies and clients give up connections on which nothing comes. That the response has begun says nothing of the
//! answer: failing over goes on behind it, and what comes of it in the end is said in the response's body.

use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::Step;
use crate::time::Timestamp;

/// The heartbeat of one exchange.
#[derive(Debug)]
pub(super) struct Heartbeat {
    every: Duration,
    /// What the dialect's clients pass over.
    ping: &'static [u8],
    /// When the next is due; none before the first look at the clock.
    next: Option<Timestamp>,
    open: bool,
}

impl Heartbeat {
    pub(super) fn new(every: Duration, ping: &'static [u8]) -> Self {
        Self { every, ping, next: None, open: false }
    }

    /// Whether the response has begun.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// What is done instead of `step`, where that would be waiting and a sign of life is due: it opens the response
    /// with `head` if need be, and then goes out.
    pub(super) fn instead_of(
        &mut self,
        step: Step,
        head: impl FnOnce() -> Response<()>,
        now: Timestamp,
    ) -> Step {
        let (Step::WaitUntil(until) | Step::Queued { until, .. }) = step else { return step };
        let next = *self.next.get_or_insert(now + self.every);
        if next > now {
            let until = until.min(next);
            return match step {
                Step::Queued { ticket, .. } => Step::Queued { ticket, until },
                _ => Step::WaitUntil(until),
            };
        }
        if !self.open {
            self.open = true;
            return Step::Open(head());
        }
        self.next = Some(now + self.every);
        Step::Ping(Bytes::from_static(self.ping))
    }
}
