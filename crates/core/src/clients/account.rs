//! What one client has used: in the last minute, today, this month and altogether, and what is under way.
//!
//! A request holds what it may use from its admission on, and spends it when it is known: so that clients never get more
//! than they may, however many of their requests come at once, and nothing counts twice. Only what was spent is stored;
//! it never becomes less, so that of two counts of a period the greater is right.

use std::collections::VecDeque;
use std::time::Duration;

use super::ClientSettings;
use super::limit::{Limit, Measure, Period};
use crate::time::Timestamp;

/// A minute's requests are counted in slots this long, so that a busy minute takes some two kilobytes. A slot counts until
/// its last moment is a minute ago.
const SLOT: u64 = 1_000;
const MINUTE: u64 = 60_000;

/// How much of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    /// Requests.
    pub requests: u64,
    /// Tokens, of input and output.
    pub tokens: u64,
    /// Money, in millionths of what prices are in.
    pub cost_millionths: u64,
}

/// What a client has used.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    minute: Minute,
    sums: [Sum; 3],
    /// Requests and sessions under way.
    pub(super) under_way: u64,
    /// When it was last heard of, in this process or an earlier one.
    pub(super) seen: Timestamp,
    /// Of which limits the operator has been told in the present window, and when that ends: near, and reached.
    told: [Vec<(Limit, Timestamp)>; 2],
}

/// The last sixty seconds.
#[derive(Debug, Clone, Default)]
struct Minute {
    slots: VecDeque<Slot>,
    requests: u64,
    tokens: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    number: u64,
    requests: u64,
    tokens: u64,
}

/// One period.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    ends: Timestamp,
    spent: Amounts,
    /// What requests under way may use, as far as is known before they end.
    held: Amounts,
}

/// Where something was counted that is not known for certain yet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    slot: u64,
    ends: [Timestamp; 3],
    pub(super) amounts: Amounts,
}

/// How far a limit is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) limit: Limit,
    /// How much there may be; money in millionths.
    pub(super) of: u64,
    pub(super) used: u64,
    /// When all of it is free again, if nothing else comes; never, where it does not come back.
    pub(super) resets: Timestamp,
}

/// A limit in the way of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) standing: Standing,
    pub(super) needs: u64,
    /// When there is room for it; none: not by waiting.
    pub(super) until: Option<Timestamp>,
}

impl Amounts {
    fn add(&mut self, more: Self) {
        self.requests = self.requests.saturating_add(more.requests);
        self.tokens = self.tokens.saturating_add(more.tokens);
        self.cost_millionths = self.cost_millionths.saturating_add(more.cost_millionths);
    }

    fn take(&mut self, less: Self) {
        self.requests = self.requests.saturating_sub(less.requests);
        self.tokens = self.tokens.saturating_sub(less.tokens);
        self.cost_millionths = self.cost_millionths.saturating_sub(less.cost_millionths);
    }

    fn greater(self, other: Self) -> Self {
        Self {
            requests: self.requests.max(other.requests),
            tokens: self.tokens.max(other.tokens),
            cost_millionths: self.cost_millionths.max(other.cost_millionths),
        }
    }

    fn of(self, measure: Measure) -> u64 {
        match measure {
            Measure::Requests => self.requests,
            Measure::Tokens => self.tokens,
            Measure::Cost => self.cost_millionths,
        }
    }
}

impl Account {
    /// Forgets what is over.
    fn roll(&mut self, now: Timestamp) {
        self.minute.expire(now);
        for (sum, period) in self.sums.iter_mut().zip(Period::ALL) {
            if sum.ends <= now {
                *sum = Sum { ends: end_of(period, now), ..Sum::default() };
            }
        }
    }

    /// Holds this much, if no limit is in the way. Only what the request needs something of is looked at.
    pub(super) fn hold(
        &mut self,
        settings: &ClientSettings,
        amounts: Amounts,
        now: Timestamp,
    ) -> Result<Held, Over> {
        self.roll(now);
        self.seen = self.seen.max(now);
        if let Some(over) = self.over(settings, amounts, now) {
            return Err(over);
        }
        let slot = self.minute.add(amounts, now);
        self.sums.iter_mut().for_each(|sum| sum.held.add(amounts));
        Ok(Held { slot, ends: self.sums.map(|sum| sum.ends), amounts })
    }

    /// The limit that is in the way for the longest time, if any is.
    fn over(&self, settings: &ClientSettings, amounts: Amounts, now: Timestamp) -> Option<Over> {
        let over = |limit: Limit| {
            let needs = amounts.of(limit.measure());
            let standing = self.standing(limit, settings)?;
            if needs == 0 || standing.used.saturating_add(needs) <= standing.of {
                return None;
            }
            let until = match limit.period() {
                _ if needs > standing.of => None,
                Some(Period::Total) => None,
                Some(_) => Some(standing.resets),
                None => Some(self.minute.room_at(limit.measure(), standing.of - needs)),
            };
            Some(Over { standing, needs, until: until.map(|until| until.max(now)) })
        };
        Limit::COUNTED.into_iter().filter_map(over).max_by_key(|over| over.until.unwrap_or(Timestamp::NEVER))
    }

    /// How far a limit is used; none where the client has no such limit.
    fn standing(&self, limit: Limit, settings: &ClientSettings) -> Option<Standing> {
        let of = limit.of(settings)?;
        let measure = limit.measure();
        let (used, resets) = match limit.period() {
            Some(period) => {
                let sum = &self.sums[period as usize];
                (sum.spent.of(measure).saturating_add(sum.held.of(measure)), sum.ends)
            }
            None => (self.minute.of(measure), self.minute.empty_at()),
        };
        Some(Standing { limit, of, used, resets })
    }

    /// How far each limit is used that the client has.
    pub(super) fn standings(&mut self, settings: &ClientSettings, now: Timestamp) -> Vec<Standing> {
        self.roll(now);
        Limit::COUNTED.into_iter().filter_map(|limit| self.standing(limit, settings)).collect()
    }

    /// What was spent in a period when the account was last looked at, and when that ends.
    pub(super) fn sum(&self, period: Period) -> (Amounts, Timestamp) {
        let sum = &self.sums[period as usize];
        (sum.spent, sum.ends)
    }

    /// A request has been sent: it counts, whatever becomes of it.
    pub(super) fn send(&mut self, held: &mut Held, now: Timestamp) {
        self.roll(now);
        let requests = Amounts { requests: held.amounts.requests, ..Amounts::default() };
        self.release(held, requests);
        self.sums.iter_mut().for_each(|sum| sum.spent.add(requests));
        held.amounts.requests = 0;
    }

    /// This much was used in place of what was held. Where it is more, the rest counts from now.
    pub(super) fn spend(&mut self, held: &mut Held, used: Amounts, now: Timestamp) {
        self.roll(now);
        let estimate = Amounts { requests: 0, ..held.amounts };
        self.release(held, estimate);
        self.sums.iter_mut().for_each(|sum| sum.spent.add(used));
        self.minute.take(
            held.slot,
            Amounts { tokens: estimate.tokens.saturating_sub(used.tokens), ..Amounts::default() },
        );
        let more = used.tokens.saturating_sub(estimate.tokens);
        if more > 0 {
            self.minute.add(Amounts { tokens: more, ..Amounts::default() }, now);
        }
        held.amounts.tokens = 0;
        held.amounts.cost_millionths = 0;
    }

    /// What is held is not used after all.
    pub(super) fn refund(&mut self, held: &mut Held) {
        let rest = std::mem::take(&mut held.amounts);
        self.release(held, rest);
        self.minute.take(held.slot, rest);
    }

    fn release(&mut self, held: &Held, amounts: Amounts) {
        for (sum, ends) in self.sums.iter_mut().zip(held.ends) {
            // What was held in a period that is over went with it.
            if sum.ends == ends {
                sum.held.take(amounts);
            }
        }
    }

    /// Takes in what was spent in a period before a restart, or elsewhere.
    pub(super) fn restore(&mut self, period: Period, ends: Timestamp, spent: Amounts, now: Timestamp) {
        let sum = &mut self.sums[period as usize];
        if period == Period::Day {
            self.seen = self.seen.max((ends - Duration::from_secs(1)).min(now));
        }
        if ends <= now {
            return;
        }
        if sum.ends == ends {
            sum.spent = sum.spent.greater(spent);
        } else if sum.ends <= now || sum.ends < ends {
            *sum = Sum { ends, spent, ..Sum::default() };
        }
    }

    /// Whether this is the first time in the window of the limit that the operator is to be told of it.
    pub(super) fn tells(&mut self, limit: Limit, reached: bool, until: Timestamp, now: Timestamp) -> bool {
        let told = &mut self.told[usize::from(reached)];
        told.retain(|(_, until)| *until > now);
        if told.iter().any(|(known, _)| *known == limit) {
            return false;
        }
        told.push((limit, until.max(now + Duration::from_millis(MINUTE))));
        true
    }
}

fn end_of(period: Period, now: Timestamp) -> Timestamp {
    match period {
        Period::Day => now.next_pacific_midnight(),
        Period::Month => now.next_pacific_month(),
        Period::Total => Timestamp::NEVER,
    }
}

impl Minute {
    fn expire(&mut self, now: Timestamp) {
        while let Some(slot) = self.slots.front()
            && slot.leaves_at() <= now
        {
            self.requests = self.requests.saturating_sub(slot.requests);
            self.tokens = self.tokens.saturating_sub(slot.tokens);
            self.slots.pop_front();
        }
    }

    fn add(&mut self, amounts: Amounts, now: Timestamp) -> u64 {
        let Amounts { requests, tokens, .. } = amounts;
        let mut number = now.as_millis() / SLOT;
        match self.slots.back_mut() {
            // A clock that was set back counts into the last slot.
            Some(last) if last.number >= number => {
                number = last.number;
                last.requests = last.requests.saturating_add(requests);
                last.tokens = last.tokens.saturating_add(tokens);
            }
            _ => self.slots.push_back(Slot { number, requests, tokens }),
        }
        self.requests = self.requests.saturating_add(requests);
        self.tokens = self.tokens.saturating_add(tokens);
        number
    }

    fn take(&mut self, number: u64, amounts: Amounts) {
        let Some(slot) = self.slots.iter_mut().rev().find(|slot| slot.number == number) else { return };
        let (requests, tokens) = (amounts.requests.min(slot.requests), amounts.tokens.min(slot.tokens));
        slot.requests -= requests;
        slot.tokens -= tokens;
        self.requests = self.requests.saturating_sub(requests);
        self.tokens = self.tokens.saturating_sub(tokens);
    }

    fn of(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Requests => self.requests,
            Measure::Tokens => self.tokens,
            Measure::Cost => 0,
        }
    }

    /// When no more than `most` is left, if nothing else comes.
    fn room_at(&self, measure: Measure, most: u64) -> Timestamp {
        let mut left = self.of(measure);
        for slot in &self.slots {
            left = left.saturating_sub(match measure {
                Measure::Tokens => slot.tokens,
                Measure::Requests | Measure::Cost => slot.requests,
            });
            if left <= most {
                return slot.leaves_at();
            }
        }
        self.empty_at()
    }

    fn empty_at(&self) -> Timestamp {
        self.slots.back().map_or(Timestamp::EPOCH, |slot| slot.leaves_at())
    }
}

impl Slot {
    fn leaves_at(&self) -> Timestamp {
        Timestamp::from_millis(self.number.saturating_add(1).saturating_mul(SLOT).saturating_add(MINUTE))
    }
}
