//! Times as people read them: in their own zone, with UTC beside it.

use std::time::Duration;

use jiff::tz::TimeZone;
use libra_core::time::Timestamp;

/// Shows times to somebody in a time zone.
pub(crate) struct Clock<'a> {
    pub(crate) now: Timestamp,
    pub(crate) zone: &'a TimeZone,
}

impl Clock<'_> {
    /// `2026-11-24 09:00 CET (2026-11-24 08:00 UTC), in 1 h 24 min`: in the reader's zone where it is another.
    pub(crate) fn moment(&self, at: Timestamp) -> String {
        let Some(time) = jiff_time(at) else { return "nobody knows when".to_owned() };
        let wait = at.since(self.now);
        // A rest of seconds is of no use in whole minutes.
        let format = if wait < Duration::from_secs(3600) { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M" };
        format!("{}, in {}", self.shown(time, format), duration(wait))
    }

    /// `2026-11-24 09:00 CET (2026-11-24 08:00 UTC)`: for what has been.
    pub(crate) fn past(&self, at: Timestamp) -> String {
        jiff_time(at).map_or_else(String::new, |time| self.shown(time, "%Y-%m-%d %H:%M"))
    }

    fn shown(&self, time: jiff::Timestamp, format: &str) -> String {
        let utc = format!("{} UTC", time.strftime(format));
        let local = time.to_zoned_datetime(self.zone.clone());
        let place = local.strftime("%Z").to_string();
        if self.zone.is_unknown() || place == "UTC" {
            utc
        } else {
            format!("{} {place} ({utc})", local.strftime(format))
        }
    }

    /// Times within the same minute are shown as one.
    pub(crate) fn minute(&self, at: Timestamp) -> u64 {
        at.as_secs() / 60
    }
}

/// Within jiff's calendar, which ends with the year 9999.
pub(crate) fn jiff_time(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).ok()?).ok()
}

fn duration(wait: Duration) -> String {
    let seconds = wait.as_millis().div_ceil(1000);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-24T06:36:16Z.
    const NOW: Timestamp = Timestamp::from_millis(1_795_502_176_000);

    fn zone() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(8))
    }

    #[test]
    fn times_are_shown_in_both_zones() {
        let check = |zone: TimeZone, seconds: u64, expected: &str| {
            let clock = Clock { now: NOW, zone: &zone };
            assert_eq!(clock.moment(NOW + Duration::from_secs(seconds)), expected);
        };
        check(zone(), 22, "2026-11-24 14:36:38 +08 (2026-11-24 06:36:38 UTC), in 22 s");
        check(TimeZone::UTC, 90, "2026-11-24 06:37:46 UTC, in 2 min");
        check(TimeZone::unknown(), 7200, "2026-11-24 08:36 UTC, in 2 h 0 min");
        assert_eq!(Clock { now: NOW, zone: &zone() }.moment(Timestamp::NEVER), "nobody knows when");
    }
}
