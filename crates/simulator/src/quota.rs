//! Quotas: what a project may use of one model a minute and a day, and what it has used.
//!
//! A request is admitted when every limit has room for it; one that is refused uses nothing. Google does not say
//! how its minutes are cut; [`Minutes`] offers the two ways that observations fit.

use serde::Deserialize;

use crate::clock::{UnixMillis, end_of_day};

const MINUTE: UnixMillis = 60_000;
const SECONDS: usize = 60;

/// What a project may use of one model. Absent: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a minute.
    pub requests_per_minute: Option<u64>,
    /// Input tokens a minute.
    pub input_tokens_per_minute: Option<u64>,
    /// Requests a day, to midnight Pacific.
    pub requests_per_day: Option<u64>,
}

/// How a minute is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Minutes {
    /// A new one begins with every minute of the clock.
    #[default]
    Fixed,
    /// The last 60 seconds, to the second.
    Rolling,
}

/// One of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quota {
    /// [`Limits::requests_per_minute`].
    RequestsPerMinute,
    /// [`Limits::input_tokens_per_minute`].
    InputTokensPerMinute,
    /// [`Limits::requests_per_day`].
    RequestsPerDay,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exceeded {
    /// The limits without room, with their values. Never empty.
    pub quotas: Vec<(Quota, u64)>,
    /// When the minute's limits have room again, in milliseconds from now. Google gives such a delay for an
    /// exhausted day too, where it is of no use.
    pub retry_after: u64,
}

/// What a project has used of one model.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usage {
    minute: Minute,
    /// When the present day ends, and what was used in it.
    day_end: UnixMillis,
    day_requests: u64,
}

impl Usage {
    /// Takes one request of `tokens` input tokens out of the quotas, if they all have room for it.
    pub(crate) fn take(
        &mut self,
        limits: Limits,
        minutes: Minutes,
        tokens: u64,
        now: UnixMillis,
    ) -> Result<(), Exceeded> {
        if now >= self.day_end {
            self.day_end = end_of_day(now);
            self.day_requests = 0;
        }
        self.minute.forget(minutes, now);
        let (requests, used_tokens) = self.minute.sum();
        let checks = [
            (Quota::RequestsPerMinute, limits.requests_per_minute, requests, 1),
            (Quota::InputTokensPerMinute, limits.input_tokens_per_minute, used_tokens, tokens),
            (Quota::RequestsPerDay, limits.requests_per_day, self.day_requests, 1),
        ];
        let quotas: Vec<_> = checks
            .into_iter()
            .filter_map(|(quota, limit, used, more)| {
                limit.filter(|limit| used.saturating_add(more) > *limit).map(|limit| (quota, limit))
            })
            .collect();
        if !quotas.is_empty() {
            return Err(Exceeded { quotas, retry_after: self.minute.room_in(minutes, now) });
        }
        self.minute.add(tokens, now);
        self.day_requests += 1;
        Ok(())
    }
}

/// The last minute, second by second.
#[derive(Debug, Clone)]
struct Minute {
    /// The second (since the epoch) that each slot holds, with its requests and tokens.
    slots: Box<[(u64, u64, u64); SECONDS]>,
}

impl Default for Minute {
    fn default() -> Self {
        Self { slots: Box::new([(0, 0, 0); SECONDS]) }
    }
}

impl Minute {
    fn forget(&mut self, minutes: Minutes, now: UnixMillis) {
        let oldest = match minutes {
            Minutes::Fixed => now / MINUTE * 60,
            Minutes::Rolling => (now / 1000 + 1).saturating_sub(60),
        };
        for slot in self.slots.iter_mut().filter(|slot| slot.0 < oldest) {
            *slot = (0, 0, 0);
        }
    }

    fn sum(&self) -> (u64, u64) {
        self.slots.iter().fold((0, 0), |(requests, tokens), slot| (requests + slot.1, tokens + slot.2))
    }

    fn add(&mut self, tokens: u64, now: UnixMillis) {
        let second = now / 1000;
        let slot = &mut self.slots[(second % 60) as usize];
        *slot = (second, slot.1 + 1, slot.2.saturating_add(tokens));
    }

    /// Milliseconds until something is given back; at least one.
    fn room_in(&self, minutes: Minutes, now: UnixMillis) -> u64 {
        let next = match minutes {
            Minutes::Fixed => (now / MINUTE + 1) * MINUTE,
            Minutes::Rolling => {
                let oldest = self.slots.iter().filter(|slot| slot.1 > 0).map(|slot| slot.0).min();
                oldest.map_or(now, |second| (second + 60) * 1000)
            }
        };
        next.saturating_sub(now).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 24 November 2026, 12:00:00 in California.
    const NOON: UnixMillis = 1_795_550_400_000;

    const LIMITS: Limits = Limits {
        requests_per_minute: Some(3),
        input_tokens_per_minute: Some(100),
        requests_per_day: Some(5),
    };

    /// Requests at (milliseconds after noon, tokens), and what refused each.
    fn check(minutes: Minutes, requests: &[(u64, u64, &[Quota])]) {
        let mut usage = Usage::default();
        for (number, (offset, tokens, expected)) in requests.iter().enumerate() {
            let refused = usage.take(LIMITS, minutes, *tokens, NOON + offset);
            let quotas: Vec<_> = refused
                .err()
                .into_iter()
                .flat_map(|refused| refused.quotas)
                .map(|(quota, _)| quota)
                .collect();
            assert_eq!(&quotas, expected, "{minutes:?}, request {number}");
        }
    }

    #[test]
    fn minutes_have_limits_of_requests_and_tokens() {
        use Quota::{InputTokensPerMinute, RequestsPerMinute};
        check(
            Minutes::Fixed,
            &[
                (50_000, 10, &[]),
                (50_000, 10, &[]),
                (50_100, 90, &[InputTokensPerMinute]),
                (51_000, 10, &[]),
                (59_999, 10, &[RequestsPerMinute]),
                (59_999, 80, &[RequestsPerMinute, InputTokensPerMinute]),
                (60_000, 100, &[]),
            ],
        );
        check(
            Minutes::Rolling,
            &[
                (50_000, 10, &[]),
                (55_000, 10, &[]),
                (59_000, 10, &[]),
                (60_000, 10, &[RequestsPerMinute]),
                (109_999, 10, &[RequestsPerMinute]),
                (110_000, 10, &[]),
                (114_000, 10, &[RequestsPerMinute]),
            ],
        );
    }

    #[test]
    fn days_have_limits_and_end_at_midnight() {
        let hour = 3_600_000;
        check(
            Minutes::Fixed,
            &[
                (0, 1, &[]),
                (hour, 1, &[]),
                (2 * hour, 1, &[]),
                (3 * hour, 1, &[]),
                (4 * hour, 1, &[]),
                (12 * hour - 1, 1, &[Quota::RequestsPerDay]),
                (12 * hour, 1, &[]),
            ],
        );
    }

    #[test]
    fn the_day_of_the_clock_change_is_an_hour_longer() {
        // 1 November 2026, 00:00 in California (UTC-7); the day ends at 08:00 UTC on the 2nd.
        let midnight = 1_793_516_400_000;
        let limits = Limits { requests_per_day: Some(1), ..Limits::default() };
        let mut usage = Usage::default();
        let mut take =
            |hours: u64| usage.take(limits, Minutes::Fixed, 1, midnight + hours * 3_600_000).is_ok();
        assert!(take(0));
        assert!(!take(24));
        assert!(take(25));
    }

    #[test]
    fn the_delay_runs_to_the_end_of_the_minute() {
        let limits = Limits { requests_per_minute: Some(1), ..Limits::default() };
        let mut usage = Usage::default();
        assert!(usage.take(limits, Minutes::Fixed, 1, NOON + 1).is_ok());
        let refused =
            usage.take(limits, Minutes::Fixed, 1, NOON + 21_250).expect_err("the minute is used up");
        assert_eq!(refused, Exceeded { quotas: vec![(Quota::RequestsPerMinute, 1)], retry_after: 38_750 });
    }

    #[test]
    fn a_limit_of_zero_admits_nothing() {
        let limits = Limits { requests_per_day: Some(0), ..Limits::default() };
        assert!(Usage::default().take(limits, Minutes::Fixed, 1, NOON).is_err());
        assert!(Usage::default().take(Limits::default(), Minutes::Fixed, u64::MAX, u64::MAX).is_ok());
    }
}
