//! The shell's clock: wall time for core, timers for waiting.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libra_core::time::Timestamp;

/// Timers reach no further; a longer wait is simply taken up again.
const FARTHEST: Duration = Duration::from_secs(24 * 3600);

/// Now.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// A timer that is set up only when it is really waited for: most answers come first.
#[derive(Default)]
pub(crate) struct Sleep {
    deadline: Timestamp,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
    /// What the timer is set to.
    set_to: Timestamp,
}

impl Sleep {
    pub(crate) fn set_deadline(mut self: Pin<&mut Self>, deadline: Timestamp) {
        self.deadline = deadline;
    }

    /// Sets the deadline unless a timer is running already: for a deadline that moves with every chunk.
    pub(crate) fn set_deadline_once(mut self: Pin<&mut Self>, deadline: Timestamp) {
        if self.set_to == Timestamp::EPOCH {
            self.deadline = deadline;
        }
    }

    /// Ready at the deadline, or earlier when that is far away.
    pub(crate) fn poll_elapsed(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.timer.is_none() || self.set_to != self.deadline {
            let now = now();
            let wait = self.deadline.since(now).min(FARTHEST);
            if wait.is_zero() {
                return Poll::Ready(());
            }
            self.set_to = self.deadline;
            // Timers count whole milliseconds from a moment inside one: one more, so as not to wake too early.
            let wait = wait + Duration::from_millis(1);
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(tokio::time::Instant::now() + wait),
                None => self.timer = Some(Box::pin(tokio::time::sleep(wait))),
            }
        }
        match &mut self.timer {
            Some(timer) => {
                let elapsed = timer.as_mut().poll(context);
                if elapsed.is_ready() {
                    self.set_to = Timestamp::EPOCH;
                }
                elapsed
            }
            None => Poll::Ready(()),
        }
    }
}
