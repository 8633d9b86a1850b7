//! The shell's clock: wall time for core, timers for waiting.
//!
//! For trials the clock of the whole process can run fast ([`Lapse`]); what core waits for then takes as much less.

use std::future::Future as _;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libra_core::time::Timestamp;

/// Timers reach no further; a longer wait is simply taken up again.
const FARTHEST: Duration = Duration::from_secs(24 * 3600);

/// A clock that runs fast: it shows `start` until the system's shows `origin`, and from then on runs `rate` times as fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lapse {
    rate: u32,
    origin: u64,
    start: u64,
}

/// Set once, before anything asks for the time.
static LAPSE: OnceLock<Lapse> = OnceLock::new();

impl Lapse {
    /// From now on this is the time.
    pub(crate) fn begin(self) {
        let _ = LAPSE.set(self);
    }

    fn at(self, system: u64) -> u64 {
        self.start.saturating_add(system.saturating_sub(self.origin).saturating_mul(self.rate.into()))
    }
}

/// `RATE:ORIGIN:START`, moments in milliseconds since the Unix epoch.
impl FromStr for Lapse {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = text.split(':').map(str::parse::<u64>);
        let mut next = || numbers.next().and_then(Result::ok).ok_or("write RATE:ORIGIN:START");
        let (rate, origin, start) = (next()?, next()?, next()?);
        let rate = u32::try_from(rate).ok().filter(|rate| (1..=FASTEST).contains(rate));
        let rate = rate.ok_or_else(|| format!("RATE is a number from 1 to {FASTEST}"))?;
        match numbers.next() {
            None => Ok(Self { rate, origin, start }),
            Some(_) => Err("write RATE:ORIGIN:START".to_owned()),
        }
    }
}

/// Beyond, a millisecond of the machine is longer than what the pool waits for.
const FASTEST: u32 = 10_000;

/// How long a stretch of the clock's time takes.
pub(crate) fn real(time: Duration) -> Duration {
    LAPSE.get().map_or(time, |lapse| time / lapse.rate)
}

/// Now.
pub(crate) fn now() -> Timestamp {
    let now = system_now();
    LAPSE.get().map_or(now, |lapse| Timestamp::from_millis(lapse.at(now.as_millis())))
}

fn system_now() -> Timestamp {
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
            let wait = real(self.deadline.since(now)).min(FARTHEST);
            if self.deadline <= now {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lapse_is_read_and_runs_fast() {
        let lapse: Lapse = "200:1000:5000".parse().expect("it is well formed");
        assert_eq!((lapse.at(0), lapse.at(1_000), lapse.at(1_003)), (5_000, 5_000, 5_600));
        for wrong in ["", "200", "200:1", "0:1:2", "10001:1:2", "1:2:3:4", "1:-2:3", "fast:1:2"] {
            assert!(wrong.parse::<Lapse>().is_err(), "{wrong}");
        }
    }
}
