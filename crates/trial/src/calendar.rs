//! Days as Google counts quotas by: from midnight to midnight in California.

use jiff::ToSpan as _;
use jiff::tz::TimeZone;
use libra_simulator::UnixMillis;

/// The days that a trial touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Days {
    /// The first moment of each day, and of the day after the last.
    midnights: Vec<UnixMillis>,
}

impl Days {
    /// The days from `from` to `to`.
    pub fn between(from: UnixMillis, to: UnixMillis) -> Self {
        let mut midnights = vec![midnight(from, 0)];
        let mut last = midnights[0];
        while last <= to {
            // A day has at most 25 hours.
            last = midnight(last, 1).max(last + 1);
            midnights.push(last);
        }
        Self { midnights }
    }

    /// How many days.
    pub fn count(&self) -> usize {
        self.midnights.len() - 1
    }

    /// The number of the day, from zero; moments outside count to the first or last.
    pub fn of(&self, at: UnixMillis) -> usize {
        self.midnights.partition_point(|midnight| *midnight <= at).clamp(1, self.count()) - 1
    }

    /// When a day begins.
    pub fn start(&self, day: usize) -> UnixMillis {
        self.midnights[day.min(self.count())]
    }

    /// When a day ends.
    pub fn end(&self, day: usize) -> UnixMillis {
        self.start(day + 1)
    }
}

/// The midnight before `at`, or so many days later.
fn midnight(at: UnixMillis, days_later: i64) -> UnixMillis {
    static PACIFIC: TimeZone = jiff::tz::get!("America/Los_Angeles");
    let found = || {
        let here = jiff::Timestamp::from_millisecond(i64::try_from(at).ok()?).ok()?;
        let date = here.to_zoned_datetime(PACIFIC.clone()).date().checked_add(days_later.days()).ok()?;
        let midnight = date.to_zoned_datetime(PACIFIC.clone()).ok()?;
        u64::try_from(midnight.timestamp().as_millisecond()).ok()
    };
    // Outside jiff's calendar a day has 24 hours from now.
    found().unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn days_follow_daylight_saving() {
        // 31 October 2026, 00:00 in California (UTC-7).
        let start = 1_793_430_000_000;
        let days = Days::between(start, start + 60 * HOUR);
        assert_eq!(days.count(), 3);
        let hours: Vec<_> = (0..3).map(|day| (days.end(day) - days.start(day)) / HOUR).collect();
        assert_eq!(hours, [24, 25, 24]);
        assert_eq!(days.start(0), start);
        assert_eq!(
            [0, 24 * HOUR - 1, 24 * HOUR, 48 * HOUR].map(|after| days.of(start + after)),
            [0, 0, 1, 1]
        );
        assert_eq!(days.of(0), 0);
        assert_eq!(days.of(u64::MAX), 2);
    }
}
