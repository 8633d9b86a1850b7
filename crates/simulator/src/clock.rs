//! The simulator's time: the system's, one that only moves when a test moves it, or one that runs fast.
//!
//! Quotas, counts and the log go by this clock, and so does the `Date` of answers. Delays inside an answer are waited out
//! in tokio's time, which a test pauses with tokio's own means; where the clock runs fast, they are as much shorter.

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
    base: Base,
    /// Milliseconds by which the clock was moved on.
    advanced: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
enum Base {
    System,
    Still(UnixMillis),
    Lapse { start: UnixMillis, origin: UnixMillis, rate: u32 },
}

impl Clock {
    /// The system's time.
    pub fn system() -> Self {
        Self::of(Base::System)
    }

    /// A clock that stands still at `start`, in milliseconds since the Unix epoch.
    pub fn manual(start: UnixMillis) -> Self {
        Self::of(Base::Still(start))
    }

    /// A clock that shows `start` until the system's shows `origin`, and from then on runs `rate` times as fast.
    pub fn lapse(start: UnixMillis, origin: UnixMillis, rate: u32) -> Self {
        Self::of(Base::Lapse { start, origin, rate: rate.max(1) })
    }

    fn of(base: Base) -> Self {
        Self(Arc::new(Source { base, advanced: AtomicU64::new(0) }))
    }

    /// How long a stretch of this clock's time takes.
    pub fn real(&self, time: Duration) -> Duration {
        match self.0.base {
            Base::System | Base::Still(_) => time,
            Base::Lapse { rate, .. } => time / rate,
        }
    }

    /// Moves the clock on. Works on the system's time too: a running simulator can be taken to tomorrow.
    pub fn advance(&self, by: Duration) {
        self.0.advanced.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The present moment.
    pub fn now(&self) -> UnixMillis {
        let base = match self.0.base {
            Base::System => system_now(),
            Base::Still(start) => start,
            Base::Lapse { start, origin, rate } => {
                start.saturating_add(system_now().saturating_sub(origin).saturating_mul(rate.into()))
            }
        };
        base.saturating_add(self.0.advanced.load(Ordering::Relaxed))
    }
}

fn system_now() -> UnixMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A moment as HTTP's `Date` says it.
pub(crate) fn http_date(now: UnixMillis) -> Option<String> {
    let moment = jiff::Timestamp::from_millisecond(i64::try_from(now).ok()?).ok()?;
    Some(moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// A moment as Google's JSON says it: `2026-11-24T20:00:00.000000Z`.
pub(crate) fn json_time(now: UnixMillis) -> String {
    let moment = i64::try_from(now).ok().and_then(|now| jiff::Timestamp::from_millisecond(now).ok());
    moment.unwrap_or(jiff::Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// A moment that JSON tells.
pub(crate) fn read_time(text: &str) -> Option<UnixMillis> {
    u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()).ok()
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

    #[test]
    fn a_lapse_runs_fast_from_its_origin_on() {
        let now = system_now();
        assert_eq!(Clock::lapse(5_000, now + 60_000, 100).now(), 5_000);
        let clock = Clock::lapse(5_000, now - 1_000, 100);
        let shown = clock.now();
        assert!((105_000..165_000).contains(&shown), "{shown}");
        assert_eq!(clock.real(Duration::from_secs(100)), Duration::from_secs(1));
    }

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(http_date(784_111_777_000).as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(http_date(u64::MAX), None);
        assert_eq!(json_time(1_795_550_400_500), "2026-11-24T20:00:00.500000Z");
        assert_eq!(read_time("2026-11-24T20:00:00.5Z"), Some(1_795_550_400_500));
        assert_eq!(read_time("soon"), None);
    }
}
