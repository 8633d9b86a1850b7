//! The shell's clock: wall time for core, timers for waiting.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libra_core::time::Timestamp;

/// Timers reach no further; a longer wait is simply taken up again.
const FARTHEST: Duration = Duration::from_secs(24 * 3600);

/// Now.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Not `as_millis`: its 128-bit division costs more than reading the clock.
    Timestamp::from_millis(since_epoch.as_secs() * 1000 + u64::from(since_epoch.subsec_millis()))
}

/// A timer that is set up only when it is really waited for: most answers come first.
#[derive(Default)]
pub(crate) struct Sleep {
    deadline: Timestamp,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
    /// What the timer is set to.
    set_to: Timestamp,
    /// Whom the timer wakes.
    waker: Option<Waker>,
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
            self.waker = None;
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(tokio::time::Instant::now() + wait),
                None => self.timer = Some(Box::pin(tokio::time::sleep(wait))),
            }
        }
        let this = &mut *self;
        let Some(timer) = &mut this.timer else { return Poll::Ready(()) };
        // A timer that runs and knows whom to wake need not be told again with every chunk.
        let known = this.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if known && !timer.is_elapsed() {
            return Poll::Pending;
        }
        let elapsed = timer.as_mut().poll(context);
        match elapsed {
            Poll::Ready(()) => (this.set_to, this.waker) = (Timestamp::EPOCH, None),
            Poll::Pending => this.waker = Some(context.waker().clone()),
        }
        elapsed
    }
}
