//! The simulator's time: the system's, or one that only moves when a test moves it.
//!
//! Quotas, counts and the log go by this clock. Delays inside an answer are waited out in tokio's time, which a
//! test pauses with tokio's own means.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::ToSpan as _;
use jiff::tz::TimeZone;

/// Milliseconds since the Unix epoch.
pub type UnixMillis = u64;

/// Where the simulator reads the time. Clones share it: what one advances, all see.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
struct Source {
    /// The moment a manual clock started at; none for the system's time.
    start: Option<UnixMillis>,
    /// Milliseconds by which the clock was moved on.
    advanced: AtomicU64,
}

impl Clock {
    /// The system's time.
    pub fn system() -> Self {
        Self(Arc::new(Source { start: None, advanced: AtomicU64::new(0) }))
    }

    /// A clock that stands still at `start`, in milliseconds since the Unix epoch.
    pub fn manual(start: UnixMillis) -> Self {
        Self(Arc::new(Source { start: Some(start), advanced: AtomicU64::new(0) }))
    }

    /// Moves the clock on. Works on the system's time too: a running simulator can be taken to tomorrow.
    pub fn advance(&self, by: Duration) {
        self.0.advanced.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The present moment.
    pub fn now(&self) -> UnixMillis {
        let base = self.0.start.unwrap_or_else(|| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
        });
        base.saturating_add(self.0.advanced.load(Ordering::Relaxed))
    }
}

/// The end of the day in which `now` lies: the next midnight in America/Los_Angeles, where Google's daily quotas
/// start again. A day in which the clocks change has 23 or 25 hours.
pub(crate) fn end_of_day(now: UnixMillis) -> UnixMillis {
    static PACIFIC: TimeZone = jiff::tz::get!("America/Los_Angeles");
    let end = || {
        let here = jiff::Timestamp::from_millisecond(i64::try_from(now).ok()?).ok()?;
        let tomorrow = here.to_zoned_datetime(PACIFIC.clone()).date().checked_add(1.day()).ok()?;
        let midnight = tomorrow.to_zoned_datetime(PACIFIC.clone()).ok()?;
        u64::try_from(midnight.timestamp().as_millisecond()).ok()
    };
    // Past the end of jiff's calendar (the year 9999) a day has 24 hours.
    end().unwrap_or_else(|| now.saturating_add(86_400_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMillis {
        let moment: jiff::Timestamp = text.parse().expect("test times are valid");
        u64::try_from(moment.as_millisecond()).expect("after 1970")
    }

    #[test]
    fn days_end_at_pacific_midnight() {
        let check = |now, end| assert_eq!(end_of_day(at(now)), at(end), "the day of {now}");
        check("2026-12-01T07:59:59Z", "2026-12-01T08:00:00Z");
        check("2026-12-01T08:00:00Z", "2026-12-02T08:00:00Z");
        check("2026-06-15T06:00:00Z", "2026-06-15T07:00:00Z");
        // Clocks go forward on 14 March 2027 (23 hours) and back on 7 November 2027 (25 hours).
        check("2027-03-14T08:00:00Z", "2027-03-15T07:00:00Z");
        check("2027-11-07T07:00:00Z", "2027-11-08T08:00:00Z");
        assert_eq!(end_of_day(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_manual_clock_moves_when_told() {
        let clock = Clock::manual(1_000);
        let other = clock.clone();
        assert_eq!(clock.now(), 1_000);
        other.advance(Duration::from_millis(234));
        assert_eq!(clock.now(), 1_234);
        assert!(Clock::system().now() > 1_700_000_000_000);
    }
}
