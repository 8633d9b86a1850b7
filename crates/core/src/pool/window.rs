//! What was asked in the last minute and since midnight: the counts that Google's limits are held against.

use std::collections::VecDeque;
use std::time::Duration;

use crate::google_clock::Skew;
use crate::time::Timestamp;

/// Requests are counted in slots this long, so that a busy minute takes bounded memory.
const SLOT: Duration = Duration::from_millis(100);

/// How long a request counts, in milliseconds. Google may count in fixed minutes or in sliding ones; whoever never
/// exceeds a limit in any sixty seconds is right with both.
pub(super) const MINUTE: u64 = 60_000;

/// What the way to Google may take more for one request than for another: so much longer a request counts here.
const WAY: Duration = Duration::from_millis(150);

/// What is counted so near to the end of Google's minute may be in it or not.
const NEAR: Duration = Duration::from_millis(300);

/// How long the own count stays in doubt after such a word.
const DOUBT: Duration = Duration::from_secs(60);

/// Google's word and the own count differ by more than this where they count in different windows.
const DIFFERENT: Duration = Duration::from_secs(2);

/// The running minute.
///
/// Taken to slide, until Google says of a quota that it is free again long before the own count says so: then Google
/// counts in fixed minutes, and this was the end of one.
#[derive(Debug, Clone, Default)]
pub(super) struct Minute {
    /// Where in each clock minute a fixed one begins, in milliseconds.
    fixed: Option<u64>,
    slots: VecDeque<Slot>,
    requests: u64,
    tokens: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// When its requests count no more at Google's.
    until: Timestamp,
    requests: u64,
    tokens: u64,
}

/// The running day, Pacific time.
#[derive(Debug, Clone, Default)]
pub(super) struct Day {
    /// How wrong the local clock is.
    skew: Skew,
    ends: Timestamp,
    requests: u64,
    tokens: u64,
}

/// Where a request was counted, to correct it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Charge {
    slot: Timestamp,
    day: Timestamp,
    tokens: u64,
}

impl Minute {
    fn expire(&mut self, now: Timestamp) {
        while let Some(slot) = self.slots.front()
            && slot.until + WAY <= now
        {
            self.requests = self.requests.saturating_sub(slot.requests);
            self.tokens = self.tokens.saturating_sub(slot.tokens);
            self.slots.pop_front();
        }
    }

    fn add(&mut self, tokens: u64, now: Timestamp) -> Timestamp {
        self.expire(now);
        let until = self.counts_until(now);
        let until = match self.slots.back_mut() {
            // A clock that was set back counts into the last slot.
            Some(last) if last.until >= until => {
                last.requests += 1;
                last.tokens += tokens;
                last.until
            }
            _ => {
                self.slots.push_back(Slot { until, requests: 1, tokens });
                until
            }
        };
        self.requests += 1;
        self.tokens += tokens;
        until
    }

    /// Counts a request that began some time ago and was not counted then.
    fn add_late(&mut self, tokens: u64, began: Timestamp, now: Timestamp) {
        self.expire(now);
        let until = self.counts_until(began);
        if until + WAY <= now {
            return;
        }
        let at = self.slots.partition_point(|slot| slot.until < until);
        match self.slots.get_mut(at) {
            Some(slot) if slot.until == until => {
                slot.requests += 1;
                slot.tokens += tokens;
            }
            _ => self.slots.insert(at, Slot { until, requests: 1, tokens }),
        }
        self.requests += 1;
        self.tokens += tokens;
    }

    /// Until when a request counts that begins now.
    fn counts_until(&self, now: Timestamp) -> Timestamp {
        let slot = SLOT.as_millis() as u64;
        let begins = Timestamp::from_millis(now.as_millis() / slot * slot);
        match self.fixed {
            None => begins + SLOT + Duration::from_millis(MINUTE),
            Some(phase) => {
                let into = (now.as_millis() + MINUTE - phase) % MINUTE;
                now + Duration::from_millis(MINUTE - into)
            }
        }
    }

    /// Requests and tokens that began after a moment of the last minute.
    fn since(&self, moment: Timestamp) -> (u64, u64) {
        let leave = moment + SLOT + Duration::from_millis(MINUTE);
        let after = self.slots.iter().rev().take_while(|slot| slot.until > leave);
        after.fold((0, 0), |sum, slot| (sum.0 + slot.requests, sum.1 + slot.tokens))
    }

    fn correct(&mut self, at: Timestamp, requests: bool, from: u64, to: u64) {
        let Some(slot) = self.slots.iter_mut().rev().find(|slot| slot.until == at) else { return };
        let removed = u64::from(requests).min(slot.requests);
        slot.requests -= removed;
        self.requests = self.requests.saturating_sub(removed);
        slot.tokens = slot.tokens.saturating_sub(from) + to;
        self.tokens = self.tokens.saturating_sub(from) + to;
    }

    /// A fixed minute ends then, and with it everything that was counted before.
    fn ends_at(&mut self, end: Timestamp) {
        self.fixed = Some(end.as_millis() % MINUTE);
        let (requests, tokens) = (self.requests, self.tokens);
        if requests > 0 {
            self.slots = VecDeque::from([Slot { until: end, requests, tokens }]);
        }
    }

    /// Counts in fixed minutes that end at this place in the clock's minute, or in sliding ones.
    fn count_by(&mut self, fixed: Option<u64>, now: Timestamp) {
        if let Some(phase) = fixed
            && self.fixed != fixed
        {
            let into = (now.as_millis() + MINUTE - phase) % MINUTE;
            let began = Timestamp::from_millis(now.as_millis() - into);
            let end = began + Duration::from_millis(MINUTE);
            // A slot that ends by the sliding count after the fixed end was filled in this minute.
            let within = self.slots.iter().filter(|slot| slot.until > end);
            let (requests, tokens) =
                within.fold((0, 0), |sum, slot| (sum.0 + slot.requests, sum.1 + slot.tokens));
            (self.requests, self.tokens) = (requests, tokens);
            self.slots =
                (requests > 0).then_some(Slot { until: end, requests, tokens }).into_iter().collect();
        }
        self.fixed = fixed;
    }

    /// When so many requests and tokens will have left Google's window.
    fn when(&self, requests: u64, tokens: u64) -> Timestamp {
        let (mut gone, mut gone_tokens) = (0, 0);
        for slot in &self.slots {
            gone += slot.requests;
            gone_tokens += slot.tokens;
            if gone >= requests && gone_tokens >= tokens {
                return slot.until;
            }
        }
        self.slots.back().map_or(Timestamp::EPOCH, |slot| slot.until)
    }
}

impl Day {
    fn roll(&mut self, now: Timestamp) {
        if self.ends <= now {
            let ends = self.skew.next_pacific_midnight(now);
            *self = Self { skew: self.skew, ends, requests: 0, tokens: 0 };
        }
    }
}

/// Minute and day of one project and model, against its limits.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    minute: Minute,
    day: Day,
    /// Requests that are under way: Google may have refused them.
    under_way: u64,
    /// Google's last word that did not agree with the own count: when a minute would have ended.
    doubt: Option<Timestamp>,
    pub(super) limits: Limits,
}

/// The limits that Google named, or that the configuration gives. None: not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) requests_per_minute: Option<u64>,
    pub(super) tokens_per_minute: Option<u64>,
    pub(super) requests_per_day: Option<u64>,
    pub(super) tokens_per_day: Option<u64>,
}

impl Limits {
    /// Whether one of them is zero: a project that is not given the model.
    pub(super) fn admit_nothing(&self) -> bool {
        [self.requests_per_minute, self.tokens_per_minute, self.requests_per_day].contains(&Some(0))
    }
}

/// What a limit is taken to be for ordering only, while nobody has named it: the smaller ones of the free tier.
const ASSUMED: [u64; 3] = [15, 250_000, 1_000];

impl Meter {
    pub(super) fn new(skew: Skew) -> Self {
        Self { day: Day { skew, ..Day::default() }, ..Self::default() }
    }

    /// The local clock is now known to be so wrong. Where a fixed minute begins was told in its time: that has to be
    /// told again, as the clock may have been set meanwhile.
    pub(super) fn set_skew(&mut self, skew: Skew, now: Timestamp) {
        self.day.skew = skew;
        if self.day.ends > now {
            self.day.ends = skew.next_pacific_midnight(now);
        }
        self.minute.fixed = None;
        self.doubt = None;
    }

    /// Counts a request.
    pub(super) fn charge(&mut self, tokens: u64, now: Timestamp) -> Charge {
        self.day.roll(now);
        self.under_way += 1;
        self.day.requests += 1;
        self.day.tokens += tokens;
        Charge { slot: self.minute.add(tokens, now), day: self.day.ends, tokens }
    }

    /// Counts a request that has ended well and was not counted when it began.
    pub(super) fn charge_late(&mut self, tokens: u64, began: Timestamp, now: Timestamp) {
        self.day.roll(now);
        self.day.requests += 1;
        self.day.tokens += tokens;
        self.minute.add_late(tokens, began, now);
    }

    /// Whether a request of so many tokens that is sent then shows by its answer that minutes are fixed, and one `began` not
    /// long before: it is one too many for a minute that slides, by far, and not for one that began there.
    pub(super) fn tells_minutes(
        &mut self,
        tokens: u64,
        began: Timestamp,
        at: Timestamp,
        now: Timestamp,
    ) -> bool {
        // Tokens are estimates, and prove nothing.
        let Some(limit) = self.limits.requests_per_minute.filter(|_| self.minute.fixed.is_none()) else {
            return false;
        };
        self.minute.expire(now);
        self.day.roll(now);
        let served = self.minute.requests.saturating_sub(self.under_way);
        let slides_until = over(served, 1, Some(limit)).map(|over| self.minute.when(over, 0));
        let (requests, used) = self.minute.since(began);
        slides_until.is_some_and(|until| until > at + DIFFERENT)
            && requests < limit
            && over(used, tokens, self.limits.tokens_per_minute).is_none()
            && !self.is_day_full(tokens)
    }

    /// Whether the requests of the minute are certainly used up, for some time yet, however minutes are cut; `around`: where a
    /// fixed one may begin and end. One that is more than half over may be cut elsewhere.
    pub(super) fn is_surely_full(&mut self, around: Option<(Timestamp, Timestamp)>, now: Timestamp) -> bool {
        let Some(limit) = self.limits.requests_per_minute else { return false };
        self.minute.expire(now);
        self.day.roll(now);
        let served = self.minute.requests.saturating_sub(self.under_way);
        let Some(over) = over(served, 1, Some(limit)) else { return false };
        let lasts = self.minute.when(over, 0) > now + DIFFERENT;
        let either_way = self.minute.fixed.is_some()
            || around.is_none_or(|(began, ends)| {
                let since = self.minute.since(began).0.saturating_sub(self.under_way);
                since >= limit && ends > now + DIFFERENT
            });
        lasts && either_way && self.day.requests < self.limits.requests_per_day.unwrap_or(u64::MAX)
    }

    /// The request had so many tokens in truth.
    pub(super) fn correct(&mut self, charge: Charge, tokens: u64) {
        self.under_way = self.under_way.saturating_sub(1);
        self.minute.correct(charge.slot, false, charge.tokens, tokens);
        if self.day.ends == charge.day {
            self.day.tokens = self.day.tokens.saturating_sub(charge.tokens) + tokens;
        }
    }

    /// Google did not count the request: it never came to an answer.
    pub(super) fn refund(&mut self, charge: Charge) {
        self.under_way = self.under_way.saturating_sub(1);
        self.minute.correct(charge.slot, true, charge.tokens, 0);
        if self.day.ends == charge.day {
            self.day.requests = self.day.requests.saturating_sub(1);
            self.day.tokens = self.day.tokens.saturating_sub(charge.tokens);
        }
    }

    /// A request has ended without a word of what it has used: it counts as it was estimated.
    pub(super) fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// When a request of so many tokens may be sent without a doubt: `now`, or later.
    pub(super) fn room(&mut self, tokens: u64, now: Timestamp) -> Timestamp {
        self.free(tokens, WAY, now)
    }

    /// When Google has room for it: what clients are told.
    pub(super) fn recovery(&mut self, tokens: u64, now: Timestamp) -> Timestamp {
        self.free(tokens, Duration::ZERO, now)
    }

    fn free(&mut self, tokens: u64, way: Duration, now: Timestamp) -> Timestamp {
        self.minute.expire(now);
        self.day.roll(now);
        let limits = self.limits;
        // A project that is not given the model at all.
        if limits.admit_nothing() {
            return Timestamp::NEVER;
        }
        let mut at = now;
        // While the own count is in doubt, Google's word alone decides.
        let certain = self.doubt.is_none_or(|end| now > end + DOUBT);
        if let Some(over) = over(self.minute.requests, 1, limits.requests_per_minute).filter(|_| certain) {
            at = at.max(self.minute.when(over, 0) + way);
        }
        // A request larger than the whole limit is Google's to refuse: the number is an estimate.
        if let Some(over) = over(self.minute.tokens, tokens, limits.tokens_per_minute) {
            at = at.max(self.minute.when(0, over.min(self.minute.tokens)) + way);
        }
        if self.is_day_full(tokens) { at.max(self.day.ends) } else { at }
    }

    /// Whether the running day has no room for one more request of so many tokens.
    pub(super) fn is_day_full(&self, tokens: u64) -> bool {
        let limits = self.limits;
        over(self.day.requests, 1, limits.requests_per_day).is_some()
            || (self.day.tokens > 0 && over(self.day.tokens, tokens, limits.tokens_per_day).is_some())
    }

    /// How many requests the running day allows, and how many it has had.
    pub(super) fn day_requests(&mut self, now: Timestamp) -> (Option<u64>, u64) {
        self.day.roll(now);
        (self.limits.requests_per_day, self.day.requests)
    }

    /// Counts minutes as Google is known to count them.
    pub(super) fn count_by(&mut self, fixed: Option<u64>, now: Timestamp) {
        self.minute.count_by(fixed, now);
        self.doubt = None;
    }

    /// Google has refused a request for a quota of the minute and said when it is free again. When the oldest request
    /// leaves by the own count, where that slides and sees the limit reached, too.
    pub(super) fn heard(&mut self, free_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        self.minute.expire(now);
        let limit = self.limits.requests_per_minute?;
        let slides = self.minute.fixed.is_none();
        // What is still under way may have been refused, too: only what was served counts here.
        let served = self.minute.requests.saturating_sub(self.under_way);
        let over = (served + 1).checked_sub(limit).filter(|over| *over > 0);
        let own = over.map(|over| self.minute.when(over, 0));
        self.compare(own.unwrap_or(now), free_at, now);
        let is_full = self.minute.requests >= limit;
        self.minute.slots.front().filter(|_| slides && is_full).map(|oldest| oldest.until)
    }

    /// Holds the own count against Google's word.
    fn compare(&mut self, own: Timestamp, free_at: Timestamp, now: Timestamp) {
        if own <= free_at + DIFFERENT {
            let late = self.minute.fixed.is_some() && own > now && free_at > own + DIFFERENT;
            if late {
                self.minute.fixed = None;
            }
            self.doubt = None;
            return;
        }
        // Twice the same place in the clock's minute, in different minutes: fixed minutes end there.
        let phase = free_at.as_millis() % MINUTE;
        let again = self.doubt.is_some_and(|end| {
            let apart = (phase + MINUTE - end.as_millis() % MINUTE) % MINUTE;
            let near = DIFFERENT.as_millis() as u64;
            free_at.since(end) >= DOUBT / 2 && (apart <= near || apart >= MINUTE - near)
        });
        if again {
            self.minute.ends_at(free_at);
            self.doubt = None;
        } else if self.doubt.is_none_or(|end| free_at.since(end) >= DOUBT / 2) {
            self.doubt = Some(free_at);
        }
    }

    /// How used the limits are, in thousandths of the tightest one.
    pub(super) fn load(&self) -> u32 {
        let part = |used: u64, limit: Option<u64>, assumed: u64| {
            let limit = limit.unwrap_or(assumed).max(1);
            u32::try_from(used.saturating_mul(1000) / limit).unwrap_or(u32::MAX)
        };
        part(self.minute.requests, self.limits.requests_per_minute, ASSUMED[0])
            .max(part(self.minute.tokens, self.limits.tokens_per_minute, ASSUMED[1]))
            .max(part(self.day.requests, self.limits.requests_per_day, ASSUMED[2]))
    }

    /// Counts what another meter has counted of the same quota.
    pub(super) fn absorb(&mut self, other: Self) {
        let mut slots: Vec<Slot> = self.minute.slots.drain(..).chain(other.minute.slots).collect();
        slots.sort_by_key(|slot| slot.until);
        slots.dedup_by(|later, earlier| {
            let same = later.until == earlier.until;
            if same {
                earlier.requests += later.requests;
                earlier.tokens += later.tokens;
            }
            same
        });
        self.minute.slots = slots.into();
        self.minute.requests += other.minute.requests;
        self.minute.tokens += other.minute.tokens;
        self.under_way += other.under_way;
        if other.day.ends == self.day.ends {
            self.day.requests += other.day.requests;
            self.day.tokens += other.day.tokens;
        } else if other.day.ends > self.day.ends {
            self.day = other.day;
        }
        let limits = &mut self.limits;
        limits.requests_per_minute = limits.requests_per_minute.or(other.limits.requests_per_minute);
        limits.tokens_per_minute = limits.tokens_per_minute.or(other.limits.tokens_per_minute);
        limits.requests_per_day = limits.requests_per_day.or(other.limits.requests_per_day);
        limits.tokens_per_day = limits.tokens_per_day.or(other.limits.tokens_per_day);
    }

    /// The same counts for a quota of its own. What is under way is settled with the old one.
    pub(super) fn split(&self) -> Self {
        Self { under_way: 0, ..self.clone() }
    }

    /// When the load falls next.
    pub(super) fn next_change(&self) -> Option<Timestamp> {
        self.minute.slots.front().map(|slot| slot.until + WAY)
    }

    /// How much of a minute a request of so many tokens uses up: the time between requests that are spread evenly.
    pub(super) fn share_of_minute(&self, tokens: u64) -> Duration {
        let part = |used: u64, limit: Option<u64>| {
            limit.map_or(0.0, |limit| used.min(limit) as f64 / limit.max(1) as f64)
        };
        let share = part(1, self.limits.requests_per_minute).max(part(tokens, self.limits.tokens_per_minute));
        (Duration::from_millis(MINUTE) + WAY).mul_f64(share)
    }

    /// Tokens since midnight, as of the last look at the clock.
    pub(super) fn tokens_today(&self) -> u64 {
        self.day.tokens
    }

    /// Requests of the minute or day whose quota is free again then by Google's word: those that were certainly served of it,
    /// and how many it may have been.
    pub(super) fn served_until(&mut self, until: Timestamp, of_day: bool, now: Timestamp) -> (u64, u64) {
        self.minute.expire(now);
        self.day.roll(now);
        if of_day {
            return (self.day.requests.saturating_sub(self.under_way), self.day.requests);
        }
        let near = |slot: &Slot| slot.until.since(until).max(until.since(slot.until)) <= NEAR;
        let sum = |counts: &dyn Fn(&Slot) -> bool| -> u64 {
            self.minute.slots.iter().filter(|slot| counts(slot)).map(|slot| slot.requests).sum()
        };
        let is_fixed = self.minute.fixed.is_some();
        let most = sum(&|slot| near(slot) || slot.until > until);
        let sure = sum(&|slot| if is_fixed { near(slot) } else { !near(slot) && slot.until > until });
        (sure.saturating_sub(self.under_way), most)
    }

    /// Requests and tokens in the running minute, requests and the end of the running day.
    pub(super) fn counts(&mut self, now: Timestamp) -> (u64, u64, u64, Timestamp) {
        self.minute.expire(now);
        self.day.roll(now);
        (self.minute.requests, self.minute.tokens, self.day.requests, self.day.ends)
    }
}

/// By how much a limit would be exceeded, if it would.
fn over(used: u64, more: u64, limit: Option<u64>) -> Option<u64> {
    limit.and_then(|limit| (used + more).checked_sub(limit)).filter(|over| *over > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 15 January 2027, midnight in California.
    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_minute_slides() {
        let mut meter = Meter {
            limits: Limits { requests_per_minute: Some(2), ..Limits::default() },
            ..Meter::default()
        };
        meter.charge(0, NOW);
        assert_eq!(meter.room(0, NOW), NOW);
        meter.charge(0, NOW + secs(20));
        let free = meter.room(0, NOW + secs(30));
        assert!((60_000..=60_300).contains(&free.since(NOW).as_millis()), "{:?}", free.since(NOW));
        assert_eq!(meter.room(0, free), free);
    }

    #[test]
    fn fixed_minutes_are_recognised_by_googles_word() {
        let limits = Limits { requests_per_minute: Some(3), ..Limits::default() };
        let mut meter = Meter { limits, ..Meter::default() };
        for second in 40..43 {
            meter.charge(0, NOW + secs(second));
        }
        assert!(meter.room(0, NOW + secs(45)) > NOW + secs(99));
        meter.under_way = 0;
        meter.heard(NOW + secs(60), NOW + secs(45));
        assert_eq!(meter.room(0, NOW + secs(50)), NOW + secs(50), "in doubt");
        for second in 70..73 {
            meter.charge(0, NOW + secs(second));
        }
        meter.under_way = 0;
        meter.heard(NOW + secs(120), NOW + secs(75));
        assert_eq!(meter.room(0, NOW + secs(75)), NOW + secs(120) + WAY);
        for second in 121..124 {
            assert_eq!(meter.room(0, NOW + secs(second)), NOW + secs(second));
            meter.charge(0, NOW + secs(second));
        }
        assert_eq!(meter.room(0, NOW + secs(124)), NOW + secs(180) + WAY);
        // A word that agrees with a sliding minute changes nothing.
        let mut sliding = Meter { limits, ..Meter::default() };
        for second in 40..43 {
            sliding.charge(0, NOW + secs(second));
        }
        sliding.under_way = 0;
        sliding.heard(NOW + secs(100), NOW + secs(45));
        assert!(sliding.room(0, NOW + secs(45)) > NOW + secs(99));
    }

    #[test]
    fn tokens_count_and_are_corrected() {
        let mut meter = Meter {
            limits: Limits { tokens_per_minute: Some(1000), ..Limits::default() },
            ..Meter::default()
        };
        let charge = meter.charge(900, NOW);
        assert!(meter.room(200, NOW) > NOW);
        meter.correct(charge, 300);
        assert_eq!(meter.room(200, NOW), NOW);
        assert!(meter.room(800, NOW) > NOW);
        let mut fresh = Meter { limits: meter.limits, ..Meter::default() };
        assert_eq!(fresh.room(5000, NOW), NOW, "an estimate refuses nothing");
    }

    #[test]
    fn a_day_ends_at_midnight_pacific() {
        let mut meter =
            Meter { limits: Limits { requests_per_day: Some(1), ..Limits::default() }, ..Meter::default() };
        let charge = meter.charge(0, NOW + secs(5));
        assert_eq!(meter.room(0, NOW + secs(10)), NOW + secs(86_400));
        meter.refund(charge);
        assert_eq!(meter.room(0, NOW + secs(10)), NOW + secs(10));
        meter.charge(0, NOW + secs(11));
        assert_eq!(meter.room(0, NOW + secs(86_400)), NOW + secs(86_400));
    }
}
