//! Wall-clock time as core sees it, and the Pacific calendar by which Google counts its days.
//!
//! Core has no clock: a shell passes [`Timestamp`]s in.

use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::ToSpan as _;
use jiff::tz::TimeZone;

static PACIFIC: TimeZone = jiff::tz::get!("America/Los_Angeles");

/// A moment in wall-clock time: milliseconds since the Unix epoch.
///
/// Wall-clock and not monotonic, as rests and set-asides outlive the process that decided them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch; earlier than everything else.
    pub const EPOCH: Self = Self(0);
    /// Later than everything else: "until a person says otherwise".
    pub const NEVER: Self = Self(u64::MAX);

    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, as `created` fields want them.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// As RFC 3339 writes it, in UTC and whole seconds. The farthest future where there is no such year.
    pub fn rfc3339(self) -> String {
        let seconds = i64::try_from(self.as_secs()).ok();
        let moment = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        moment.map_or_else(|| "9999-12-31T00:00:00Z".to_owned(), |moment| moment.to_string())
    }

    /// The moment that a text of RFC 3339 means; of a date alone, the end of its day in UTC. None before 1970.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let text = text.trim();
        let moment = match text.parse::<jiff::Timestamp>() {
            Ok(moment) => moment,
            // A time without its zone is read as a date as well, and means nothing here.
            Err(_) if text.len() > "2027-01-31".len() => return None,
            Err(_) => {
                let next = text.parse::<jiff::civil::Date>().ok()?.checked_add(1.day()).ok()?;
                next.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp()
            }
        };
        u64::try_from(moment.as_millisecond()).ok().map(Self)
    }

    /// The day in America/Los_Angeles, by which Google counts: `2026-11-24`. Empty after the year 9999.
    pub fn pacific_day(self) -> String {
        let now = i64::try_from(self.0).ok().and_then(|now| jiff::Timestamp::from_millisecond(now).ok());
        now.map_or_else(String::new, |now| now.to_zoned_datetime(PACIFIC.clone()).date().to_string())
    }

    /// The next midnight in America/Los_Angeles, when Google's daily quotas start again.
    ///
    /// Source: "RPD quotas reset at midnight Pacific time" (ai.google.dev, rate limits). Daylight saving is
    /// honoured: a day of 23 or 25 hours ends when the local calendar says so.
    pub fn next_pacific_midnight(self) -> Self {
        let midnight = i64::try_from(self.0)
            .ok()
            .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
            .and_then(|now| now.to_zoned_datetime(PACIFIC.clone()).date().checked_add(1.day()).ok())
            .and_then(|tomorrow| tomorrow.to_zoned_datetime(PACIFIC.clone()).ok())
            .and_then(|midnight| u64::try_from(midnight.timestamp().as_millisecond()).ok());
        // Outside jiff's calendar (after the year 9999) a day is 24 hours.
        midnight.map_or_else(|| self + Duration::from_secs(86_400), Self)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(now: &str, midnight: &str) {
        let at = |text: &str| {
            let instant: jiff::Timestamp = text.parse().expect("test times are valid");
            Timestamp::from_millis(u64::try_from(instant.as_millisecond()).expect("after 1970"))
        };
        assert_eq!(at(now).next_pacific_midnight(), at(midnight), "after {now}");
        assert_eq!((at(midnight) - Duration::from_millis(1)).pacific_day(), at(now).pacific_day());
        assert_eq!(at(midnight).pacific_day(), midnight[..10], "it is past midnight there, and long in UTC");
    }

    #[test]
    fn pacific_midnight_follows_daylight_saving() {
        check("2026-11-24T06:36:16Z", "2026-11-24T08:00:00Z"); // winter: UTC-8
        check("2026-11-24T08:00:00Z", "2026-11-25T08:00:00Z"); // midnight itself belongs to the new day
        check("2026-07-01T12:00:00Z", "2026-07-02T07:00:00Z"); // summer: UTC-7
        check("2026-03-08T08:30:00Z", "2026-03-09T07:00:00Z"); // 23 hours: clocks go forward on 8 March
        check("2026-11-01T07:30:00Z", "2026-11-02T08:00:00Z"); // 25 hours: clocks go back on 1 November
    }

    #[test]
    fn the_end_of_time_does_not_panic() {
        assert_eq!(Timestamp::NEVER.next_pacific_midnight(), Timestamp::NEVER);
        assert_eq!(Timestamp::NEVER.pacific_day(), "");
        assert_eq!(Timestamp::NEVER + Duration::from_secs(1), Timestamp::NEVER);
        assert_eq!(Timestamp::EPOCH - Duration::from_secs(1), Timestamp::EPOCH);
    }
}
