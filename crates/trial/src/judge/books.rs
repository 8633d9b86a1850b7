//! The judge's own books of the quotas: what each project has given of each model, and when it has room.
//!
//! Written after the run from what Google answered, by the limits that the scenario tells and the pool has to learn.

use std::collections::BTreeMap;

use libra_simulator::{Limits, Minutes, UnixMillis};

use crate::calendar::Days;

const MINUTE: UnixMillis = 60_000;
const SECOND: UnixMillis = 1_000;

/// A call that is begun is at Google's within so many milliseconds.
const ON_ITS_WAY: UnixMillis = 1_000;

/// One project's account for one model.
#[derive(Debug, Clone)]
pub struct Account {
    limits: Limits,
    window: Minutes,
    /// By the time at which they counted.
    entries: Vec<Entry>,
    /// What was used, for looking back; made when it is first needed.
    used: Option<Used>,
}

/// When an account has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opening {
    /// From here on the simulator admits.
    pub at: UnixMillis,
    /// From here on any clock does: the simulator's rolling minutes go by whole seconds, which nobody outside can know.
    pub surely: UnixMillis,
}

/// What was taken out of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When the gateway knew of it.
    pub began: UnixMillis,
    /// When it counted.
    pub at: UnixMillis,
    /// Its input tokens.
    pub tokens: u64,
}

#[derive(Debug, Clone, Default)]
struct Used {
    /// Requests and tokens by slot: a minute, or a second where minutes roll.
    slots: BTreeMap<u64, (u64, u64)>,
    days: BTreeMap<usize, u64>,
}

impl Account {
    /// An account with its entries, in any order.
    pub fn new(limits: Limits, window: Minutes, mut entries: Vec<Entry>) -> Self {
        entries.sort_by_key(|entry| entry.at);
        Self { limits, window, entries, used: None }
    }

    /// The earliest moment from `now` on at which a request of so many tokens would have been admitted, by what was
    /// known at `now`. None: never.
    pub fn opens(&self, now: UnixMillis, tokens: u64, days: &Days) -> Option<Opening> {
        let Limits { requests_per_minute, input_tokens_per_minute, requests_per_day } = self.limits;
        let room_at_all = requests_per_minute != Some(0)
            && requests_per_day != Some(0)
            && input_tokens_per_minute.is_none_or(|limit| tokens <= limit);
        if !room_at_all {
            return None;
        }
        let minute = self.minute_opens(now, tokens);
        let day = days.of(now);
        let is_used_up = requests_per_day.is_some_and(|limit| {
            let known = self.known(days.start(day), now);
            known.count() as u64 >= limit
        });
        if !is_used_up {
            return Some(minute);
        }
        let end = days.end(day);
        Some(Opening { at: minute.at.max(end), surely: minute.surely.max(end) })
    }

    fn minute_opens(&self, now: UnixMillis, tokens: u64) -> Opening {
        let requests = self.limits.requests_per_minute.unwrap_or(u64::MAX);
        let most = self.limits.input_tokens_per_minute.unwrap_or(u64::MAX);
        if requests == u64::MAX && most == u64::MAX {
            return Opening::sharp(now);
        }
        let oldest = match self.window {
            Minutes::Fixed => now / MINUTE * MINUTE,
            Minutes::Rolling => (now / SECOND + 1).saturating_sub(60) * SECOND,
        };
        let within: Vec<&Entry> = self.known(oldest, now).collect();
        let mut left = (within.len() as u64, within.iter().map(|entry| entry.tokens).sum::<u64>());
        let fits = |(count, used): (u64, u64)| count < requests && used.saturating_add(tokens) <= most;
        if fits(left) {
            return Opening::sharp(now);
        }
        if self.window == Minutes::Fixed {
            return Opening::sharp((now / MINUTE + 1) * MINUTE);
        }
        for entry in within {
            left = (left.0 - 1, left.1 - entry.tokens);
            if fits(left) {
                return Opening { at: (entry.at / SECOND + 60) * SECOND, surely: entry.at + MINUTE };
            }
        }
        Opening::sharp(now)
    }

    /// What counts from `from` on and was known at `now`.
    fn known(&self, from: UnixMillis, now: UnixMillis) -> impl Iterator<Item = &Entry> {
        let first = self.entries.partition_point(|entry| entry.at < from);
        self.entries[first..]
            .iter()
            .take_while(move |entry| entry.at <= now.saturating_add(ON_ITS_WAY))
            .filter(move |entry| entry.began <= now)
    }

    /// The slots into which quotas are cut that have a moment between the two.
    pub fn slots(window: Minutes, from: UnixMillis, to: UnixMillis) -> impl Iterator<Item = u64> {
        let size = slot_size(window);
        from / size..=to / size
    }

    /// When a slot begins.
    pub fn slot_start(window: Minutes, slot: u64) -> UnixMillis {
        slot * slot_size(window)
    }

    /// Looking back on the whole run: takes a request out of a slot if nothing that was served has to give way.
    pub fn take_back(&mut self, slot: u64, tokens: u64, days: &Days) -> bool {
        let (limits, window) = (self.limits, self.window);
        let used = self.used.get_or_insert_with(|| Used::of(&self.entries, window, days));
        let day = days.of(Self::slot_start(window, slot));
        let in_day = used.days.get(&day).copied().unwrap_or_default();
        if limits.requests_per_day.is_some_and(|limit| in_day >= limit)
            || !used.has_room(slot, tokens, limits, window)
        {
            return false;
        }
        let slot = used.slots.entry(slot).or_default();
        *slot = (slot.0 + 1, slot.1 + tokens);
        *used.days.entry(day).or_default() += 1;
        true
    }
}

impl Opening {
    fn sharp(at: UnixMillis) -> Self {
        Self { at, surely: at }
    }

    /// How far a moment that was told is from the truth, in milliseconds; above 0: later.
    pub fn error(self, told: UnixMillis) -> i64 {
        let truth = told.clamp(self.at, self.surely);
        i64::try_from(i128::from(told) - i128::from(truth)).unwrap_or(i64::MIN)
    }
}

impl Used {
    fn of(entries: &[Entry], window: Minutes, days: &Days) -> Self {
        let mut used = Self::default();
        for entry in entries {
            let slot = used.slots.entry(entry.at / slot_size(window)).or_default();
            *slot = (slot.0 + 1, slot.1 + entry.tokens);
            *used.days.entry(days.of(entry.at)).or_default() += 1;
        }
        used
    }

    /// Whether every minute that has this slot in it has room.
    fn has_room(&self, slot: u64, tokens: u64, limits: Limits, window: Minutes) -> bool {
        let slots = match window {
            Minutes::Fixed => 1,
            Minutes::Rolling => 60,
        };
        (slot..slot + slots).all(|last| {
            let first = (last + 1).saturating_sub(slots);
            let (count, sum) = self
                .slots
                .range(first..=last)
                .fold((0, 0), |(count, sum), (_, one)| (count + one.0, sum + one.1));
            limits.requests_per_minute.is_none_or(|limit| count < limit)
                && limits.input_tokens_per_minute.is_none_or(|limit| sum + tokens <= limit)
        })
    }
}

fn slot_size(window: Minutes) -> UnixMillis {
    match window {
        Minutes::Fixed => MINUTE,
        Minutes::Rolling => SECOND,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 December 2026, noon in California.
    const NOON: UnixMillis = 1_796_155_200_000;
    const HOUR: UnixMillis = 3_600_000;

    fn account(window: Minutes, at: &[(UnixMillis, u64)]) -> Account {
        let limits = Limits {
            requests_per_minute: Some(3),
            input_tokens_per_minute: Some(100),
            requests_per_day: Some(6),
        };
        let entry = |&(after, tokens): &(u64, u64)| Entry { began: NOON + after, at: NOON + after, tokens };
        Account::new(limits, window, at.iter().map(entry).collect())
    }

    fn days() -> Days {
        Days::between(NOON, NOON + 24 * HOUR)
    }

    #[test]
    fn the_moment_is_known_at_which_there_is_room() {
        let check = |window, at: &[(u64, u64)], now: u64, tokens, expected: Option<u64>| {
            let opens = account(window, at).opens(NOON + now, tokens, &days());
            assert_eq!(opens.map(|opens| opens.at - NOON), expected, "{window:?} {at:?} at {now}");
        };
        let three = [(10_500, 10), (20_000, 10), (30_000, 10)];
        check(Minutes::Fixed, &three[..2], 31_000, 10, Some(31_000));
        check(Minutes::Fixed, &three, 31_000, 10, Some(60_000));
        check(Minutes::Fixed, &three, 60_000, 10, Some(60_000));
        check(Minutes::Rolling, &three, 31_000, 10, Some(70_000));
        check(Minutes::Rolling, &three, 69_999, 10, Some(70_000));
        // Two have to go before 90 tokens fit.
        check(Minutes::Rolling, &three, 31_000, 90, Some(80_000));
        check(Minutes::Fixed, &three, 31_000, 101, None);
        // What is not known yet does not count.
        check(Minutes::Fixed, &three, 29_000, 10, Some(29_000));
        let six: Vec<_> = (0..6).map(|hour| (hour * HOUR, 1)).collect();
        check(Minutes::Rolling, &six, 6 * HOUR, 1, Some(12 * HOUR));
        check(Minutes::Rolling, &six, 12 * HOUR, 1, Some(12 * HOUR));
        let opening = account(Minutes::Rolling, &three).opens(NOON + 31_000, 10, &days()).expect("it opens");
        assert_eq!(opening.surely, NOON + 70_500);
        let errors = [69_000, 70_000, 70_500, 71_000].map(|told| opening.error(NOON + told));
        assert_eq!(errors, [-1_000, 0, 0, 500]);
        let none = Limits { requests_per_day: Some(0), ..Limits::default() };
        assert_eq!(Account::new(none, Minutes::Fixed, Vec::new()).opens(NOON, 1, &days()), None);
    }

    #[test]
    fn what_is_taken_back_fits_without_harm() {
        let minute = NOON / 60_000;
        let mut fixed = account(Minutes::Fixed, &[(10_500, 10), (20_000, 10)]);
        assert!(fixed.take_back(minute, 10, &days()));
        assert!(!fixed.take_back(minute, 10, &days()), "three are the limit");
        assert!(fixed.take_back(minute + 1, 10, &days()));
        assert!(!fixed.take_back(minute + 1, 91, &days()), "100 tokens are the limit");
        assert!(fixed.take_back(minute + 1, 90, &days()));
        assert!(fixed.take_back(minute + 2, 1, &days()));
        assert!(!fixed.take_back(minute + 3, 1, &days()), "six are the limit of the day");
        let second = NOON / 1_000;
        let mut rolling = account(Minutes::Rolling, &[(10_500, 10), (20_000, 10), (71_000, 10)]);
        assert!(rolling.take_back(second + 15, 10, &days()));
        assert!(!rolling.take_back(second + 30, 10, &days()), "the minute up to 20 s has three");
        assert!(rolling.take_back(second + 80, 10, &days()));
        assert_eq!(Account::slots(Minutes::Fixed, NOON + 59_000, NOON + 61_000).count(), 2);
    }
}
