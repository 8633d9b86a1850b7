//! Google's clock, as the `Date` of its answers tells it, beside the local one.
//!
//! Google's days end by its own clock. A machine whose clock is wrong by minutes would rest projects past midnight,
//! or ask them before it. So times at which quotas start again are reckoned by Google's clock; everything else (how
//! long something may take, how long a rest lasts) by the local one, in which all [`Timestamp`]s are.
//!
//! What is learned is this machine's error: no [change of the pool](crate::pool::StateChange) carries it to another.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, DATE};
use jiff::fmt::rfc2822::DateTimeParser;

use crate::failure::{Consequence, Failure};
use crate::time::Timestamp;

/// The local clock counts as right while Google's says nothing else by more than this: `Date` has whole seconds, and
/// clocks that are kept by NTP are better than that.
const TOLERATED: i64 = 2_000;

/// So many answers are remembered.
const REMEMBERED: usize = 16;

/// So many have to agree, and more than half of those remembered: a `Date` that a proxy on the way made up, or kept,
/// does not move midnight.
const AGREEING: usize = 5;

/// After as many as have to agree, one answer in so long a time is looked at: clocks do not run fast.
const EVERY: Duration = Duration::from_secs(1);

/// An answer that took longer to begin says too little of when its `Date` was true.
const SLOW: Duration = Duration::from_secs(10);

/// No Gemini API has answered before 2023 began.
const EARLIEST: Timestamp = Timestamp::from_millis(1_672_531_200_000);

/// How far Google's clock is ahead of the local one, in milliseconds; negative where it is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Skew(i64);

/// What the answers say.
#[derive(Debug, Default)]
pub(crate) struct GoogleClock {
    skew: AtomicI64,
    heard: Mutex<Heard>,
}

/// The last answers. Each tells between which bounds the skew is.
#[derive(Debug, Default)]
struct Heard {
    bounds: VecDeque<(i64, i64)>,
    last: Timestamp,
}

impl Skew {
    /// Both clocks show the same.
    pub const NONE: Self = Self(0);

    /// Google's clock is so many seconds ahead.
    #[cfg(test)]
    pub(crate) const fn of_seconds(seconds: i64) -> Self {
        Self(seconds * 1000)
    }

    /// What Google's clock shows when the local one shows `local`.
    pub fn google(self, local: Timestamp) -> Timestamp {
        moved(local, self.0)
    }

    /// What the local clock shows when Google's shows `google`.
    pub fn local(self, google: Timestamp) -> Timestamp {
        moved(google, self.0.saturating_neg())
    }

    /// When the local clock will show that it is [midnight](Timestamp::next_pacific_midnight) at Google's.
    pub fn next_pacific_midnight(self, now: Timestamp) -> Timestamp {
        self.local(self.google(now).next_pacific_midnight())
    }

    /// By how many seconds Google's clock is ahead.
    pub const fn seconds(self) -> i64 {
        self.0 / 1000
    }

    /// A failure that was read by Google's clock, in local time.
    pub(crate) fn localised(self, mut failure: Failure) -> Failure {
        match &mut failure.consequence {
            Consequence::RestProject(until) | Consequence::RestModel(until) => *until = self.local(*until),
            _ => {}
        }
        failure
    }
}

fn moved(at: Timestamp, by: i64) -> Timestamp {
    if at == Timestamp::NEVER {
        return at;
    }
    Timestamp::from_millis(at.as_millis().saturating_add_signed(by))
}

impl GoogleClock {
    /// What is known of the local clock's error.
    pub(crate) fn skew(&self) -> Skew {
        Skew(self.skew.load(Ordering::Relaxed))
    }

    /// Takes in the head of an answer of Google's to a request that was `sent` then. The skew, if it has changed.
    pub(crate) fn hear(&self, head: &HeaderMap, sent: Timestamp, now: Timestamp) -> Option<Skew> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back is to be looked at again at once.
        let lately = now >= heard.last && now.since(heard.last) < EVERY;
        if lately && heard.bounds.len() >= AGREEING {
            return None;
        }
        let bounds = bounds(head, sent, now)?;
        heard.last = now;
        if heard.bounds.len() == REMEMBERED {
            heard.bounds.pop_front();
        }
        heard.bounds.push_back(bounds);
        let known = self.skew().0;
        let new = agreed(&heard.bounds, known)?;
        self.skew.store(new, Ordering::Relaxed);
        Some(Skew(new))
    }
}

/// Between which bounds the skew is, by one answer: its `Date` was true at some moment between the sending of the
/// request and the arrival of the head, and is cut off to whole seconds.
fn bounds(head: &HeaderMap, sent: Timestamp, now: Timestamp) -> Option<(i64, i64)> {
    // A kept answer has the date at which it was made.
    if head.contains_key(AGE) || now < sent || now.since(sent) > SLOW {
        return None;
    }
    let date = DateTimeParser::new().parse_timestamp(head.get(DATE)?.as_bytes()).ok()?;
    let date = u64::try_from(date.as_millisecond()).ok().map(Timestamp::from_millis)?;
    if date < EARLIEST {
        return None;
    }
    let minus = |later: u64, earlier: u64| i64::try_from(later).ok()?.checked_sub_unsigned(earlier);
    Some((minus(date.as_millis(), now.as_millis())?, minus(date.as_millis() + 1_000, sent.as_millis())?))
}

/// The skew that the answers agree on, where it is another one than `known`.
fn agreed(bounds: &VecDeque<(i64, i64)>, known: i64) -> Option<i64> {
    let (from, to, agreeing) = most_agreed(bounds)?;
    if agreeing < AGREEING || agreeing * 2 <= bounds.len() {
        return None;
    }
    let near = |skew: i64| from - TOLERATED <= skew && skew <= to + TOLERATED;
    if near(known) {
        return None;
    }
    // Not a correction by a second, which would be as uncertain as the clock.
    Some(if near(0) { 0 } else { from + (to - from) / 2 })
}

/// The narrowest stretch that lies within the most bounds, and within how many (Marzullo's algorithm).
fn most_agreed(bounds: &VecDeque<(i64, i64)>) -> Option<(i64, i64, usize)> {
    let mut ends: Vec<(i64, bool)> =
        bounds.iter().flat_map(|&(from, to)| [(from, false), (to, true)]).collect();
    // Where one ends as another begins, they agree.
    ends.sort_unstable();
    let (mut within, mut best) = (0_usize, None::<(i64, i64, usize)>);
    for (at, &(from, is_end)) in ends.iter().enumerate() {
        if is_end {
            within -= 1;
            continue;
        }
        within += 1;
        if best.is_none_or(|(.., most)| within > most) {
            let to = ends.get(at + 1).map_or(from, |(to, _)| *to);
            best = Some((from, to, within));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// 15 January 2027, 08:00 UTC: midnight in California.
    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    const MINUTES_10: i64 = 600_000;

    fn date(at: Timestamp) -> HeaderMap {
        let time =
            jiff::Timestamp::from_second(i64::try_from(at.as_secs()).expect("in range")).expect("in range");
        let text = time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        HeaderMap::from_iter([(DATE, HeaderValue::try_from(text).expect("ASCII"))])
    }

    /// An hour of answers at irregular moments, each as far off as `error` says for its number, in milliseconds.
    fn after(answers: u64, error: impl Fn(u64) -> i64) -> Skew {
        let clock = GoogleClock::default();
        for number in 0..answers {
            let sent = NOW + Duration::from_millis(number * 7_319);
            let now = sent + Duration::from_millis(80 + number * 137 % 900);
            let google = moved(sent, error(number)) + Duration::from_millis(number * 53 % 80);
            clock.hear(&date(google), sent, now);
        }
        clock.skew()
    }

    #[test]
    fn the_skew_is_what_most_answers_agree_on() {
        let check = |answers, error: &dyn Fn(u64) -> i64, expected: i64, what: &str| {
            let skew = after(answers, error).0;
            assert!(skew == expected || expected != 0 && (skew - expected).abs() < 700, "{what}: {skew}");
        };
        check(400, &|_| 0, 0, "a clock that is right");
        check(400, &|_| 1_400, 0, "a second is no error");
        check(400, &|_| MINUTES_10, MINUTES_10, "a clock that is slow");
        check(400, &|_| -MINUTES_10, -MINUTES_10, "one that is fast");
        check(4, &|_| MINUTES_10, 0, "a few answers are not enough");
        check(5, &|_| MINUTES_10, MINUTES_10, "five that agree are");
        check(400, &|n| if n % 3 == 0 { -86_400_000 } else { 0 }, 0, "some that are a day old");
        check(400, &|n| if n % 3 == 0 { n as i64 * 9_999 } else { 30_000 }, 30_000, "some that say anything");
        check(400, &|n| n as i64 * 60_000, 0, "nobody agrees");
        check(400, &|n| if n < 200 { MINUTES_10 } else { 0 }, 0, "a clock that was set right meanwhile");
        check(400, &|n| if n < 200 { 0 } else { MINUTES_10 }, MINUTES_10, "or wrong");
    }

    #[test]
    fn a_skew_that_is_known_does_not_tremble() {
        let clock = GoogleClock::default();
        let mut changes = 0;
        for number in 0..1_000 {
            let sent = NOW + Duration::from_millis(number * 2_713);
            let google = moved(sent, MINUTES_10) + Duration::from_millis(number * 331 % 1_500);
            changes +=
                u32::from(clock.hear(&date(google), sent, sent + Duration::from_millis(1_500)).is_some());
        }
        assert_eq!(changes, 1);
    }

    #[test]
    fn what_is_no_date_of_googles_is_not_believed() {
        let check = |head: HeaderMap, took: u64, expected: bool| {
            assert_eq!(bounds(&head, NOW, NOW + Duration::from_secs(took)).is_some(), expected, "{head:?}");
        };
        let with =
            |name, value: &'static str| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        check(date(NOW), 1, true);
        check(date(NOW), 30, false);
        check(HeaderMap::new(), 1, false);
        check(with(DATE, "soon"), 1, false);
        check(with(DATE, "Mon, 15 Jan 2027 08:00:00 GMT"), 1, false); // it was a Friday
        check(with(DATE, "Thu, 01 Jan 1970 00:00:00 GMT"), 1, false);
        check(with(DATE, "Fri, 31 Dec 9999 23:59:59 GMT"), 1, false);
        let mut kept = date(NOW);
        kept.insert(AGE, HeaderValue::from_static("5"));
        check(kept, 1, false);
        assert!(bounds(&date(NOW), NOW + Duration::from_secs(1), NOW).is_none(), "the clock was set back");
    }

    #[test]
    fn midnight_is_googles() {
        let check = |skew: i64, now: Timestamp, expected: Timestamp| {
            assert_eq!(Skew(skew).next_pacific_midnight(now), expected, "{skew}");
        };
        let day = Duration::from_secs(86_400);
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        // The local clock shows ten to; Google's, ten past the next midnight but one.
        check(0, NOW - minutes(10), NOW);
        check(2 * MINUTES_10, NOW - minutes(10), NOW - minutes(20) + day);
        // The local clock is ten minutes fast: at ten past, it is not midnight yet.
        check(-MINUTES_10, NOW + minutes(9), NOW + minutes(10));
        check(-MINUTES_10, NOW + minutes(10), NOW + minutes(10) + day);
        assert!(
            Skew(i64::MAX).next_pacific_midnight(NOW) >= NOW
                && Skew(i64::MIN).google(NOW) == Timestamp::EPOCH
        );
        assert_eq!(Skew(-5).local(Timestamp::NEVER), Timestamp::NEVER);
    }
}
