//! What was done to keys: dead ones called after their verdict, unproven ones crowded, healthy ones set aside.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Case, Verdict};
use crate::record::Call;

/// What is known of a key at a moment of the run, from outside.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    has_answered: bool,
    is_told_dead: bool,
    in_flight: u32,
}

impl Case<'_> {
    pub(super) fn judge_keys(&self, verdict: &mut Verdict) {
        verdict.set_aside = self.record.set_aside.len();
        let healthy = self.record.set_aside.iter().filter(|(_, key)| !self.dead(*key));
        verdict.wrongly_set_aside = healthy.count();
        let later = self.scenario.start + super::FIRST_HOUR;
        let mut keys = vec![Known::default(); self.projects.len()];
        let mut ends: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::new();
        for (number, call) in self.record.calls.iter().enumerate() {
            // What ends at the same moment ends first: the gateway may know of it.
            while let Some(&Reverse((ended, over))) = ends.peek()
                && ended <= call.began
            {
                ends.pop();
                self.take_in(&self.record.calls[over as usize], &mut keys);
            }
            let key = keys[call.key as usize];
            if call.request.is_some() {
                if key.is_told_dead {
                    verdict.dead_calls += 1;
                    // A key that is dead cannot be at its limit: nothing is counted twice.
                    verdict.wasted += 1;
                    verdict.later_wasted += usize::from(call.began >= later);
                }
                if !key.has_answered && key.in_flight > 0 && self.has_choice(number, &keys) {
                    verdict.crowded += 1;
                }
            }
            keys[call.key as usize].in_flight += 1;
            ends.push(Reverse((call.ended.unwrap_or(u64::MAX), number as u32)));
        }
    }

    fn take_in(&self, call: &Call, keys: &mut [Known]) {
        let key = &mut keys[call.key as usize];
        key.in_flight = key.in_flight.saturating_sub(1);
        key.has_answered |= call.status == 200;
        key.is_told_dead |= self.dead(call.key) && (400..=403).contains(&call.status);
    }

    /// Whether a call could have gone to another key: one that is not crowded itself, works, has room and was not
    /// tried by the same request.
    fn has_choice(&self, number: usize, keys: &[Known]) -> bool {
        let call = &self.record.calls[number];
        let Some(model) = call.model else { return false };
        let since = call.request.map_or(0, |request| self.record.requests[request as usize].at);
        let before = self.record.calls[..number].iter().rev().take_while(|one| one.began >= since);
        let tried: Vec<u32> = before.filter(|one| one.request == call.request).map(|one| one.key).collect();
        keys.iter().enumerate().any(|(other, known)| {
            let other = other as u32;
            let project = self.projects[other as usize] as usize;
            other != call.key
                && (known.has_answered || known.in_flight == 0)
                && !self.dead(other)
                && !tried.contains(&other)
                && self.accounts[project * self.model_count + model as usize]
                    .opens(call.began, call.tokens, &self.days)
                    .is_some_and(|opening| opening.at == call.began)
        })
    }

    fn dead(&self, key: u32) -> bool {
        self.is_dead.get(key as usize).copied().unwrap_or_default()
    }
}
