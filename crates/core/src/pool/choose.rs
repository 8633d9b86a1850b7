//! Which key serves next: the strategies, and what all of them respect.
//!
//! A key that failed in this request, is set aside, or whose project rests is never chosen. One whose project
//! has a penalty (an overload, an empty answer) is chosen when there is no other.

use std::collections::HashMap;
use std::time::Duration;

use super::{Cell, Key, LeaseId, Pool, ProjectId};
use crate::config::Strategy;
use crate::secret::{ApiKey, KeyId};
use crate::time::Timestamp;

/// The time window of `time-window`, as Gemini Balance Lite has it.
const WINDOW: Duration = Duration::from_secs(10);

/// What a key is wanted for.
#[derive(Debug, Clone, Copy)]
pub struct Want<'a> {
    /// The model; none for calls that concern no model.
    pub model: Option<&'a str>,
    /// The keys that this request has tried.
    pub tried: &'a [KeyId],
    /// The client's own keys; none where the pool serves.
    pub own: Option<&'a [ApiKey]>,
}

/// What there is.
#[derive(Debug)]
pub enum Pick {
    /// A key, leased.
    Ready { lease: LeaseId, key: ApiKey },
    /// None now, but one that has not been tried will be there at this time.
    CoolingDown { until: Timestamp },
    /// None, and none by waiting.
    Rejected { why: Rejection },
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Every key that could have served has been tried in this request.
    AllTried,
    /// Every key is set aside, or there are none.
    NoneUsable,
}

/// What a single key has to say.
enum Standing {
    Ready,
    Penalised,
    RestsUntil(Timestamp),
    Tried,
    SetAside,
}

impl Pool {
    /// Chooses a key and leases it.
    pub fn pick(&mut self, want: &Want<'_>, now: Timestamp) -> Pick {
        let own: Option<Vec<usize>> = want
            .own
            .map(|keys| keys.iter().map(|key| self.insert(key, ProjectId::of_key(key.id()))).collect());
        let guests = own.is_some();
        let count = own.as_ref().map_or(self.usable.len(), Vec::len);
        if count == 0 {
            return Pick::Rejected { why: Rejection::NoneUsable };
        }
        let chance = self.chance.usize(..count);
        let candidates = own.as_deref().unwrap_or(&self.usable);
        let start = self.start(candidates, guests, chance, now);
        let cells = want.model.and_then(|model| self.models.get(model));
        let mut penalised = None;
        let mut last_resort = None;
        let mut recovery = Timestamp::NEVER;
        let mut tried = false;
        let mut chosen = None;
        let by_rank = self.strategy == Strategy::LeastUsed && !guests;
        let mut ranked = self.ranking.iter().map(|&(_, _, slot)| slot);
        for offset in 0..if by_rank { self.ranking.len() } else { candidates.len() } {
            let slot = if by_rank {
                ranked.next().expect("the ranking is as long as it says")
            } else {
                candidates[(start + offset) % candidates.len()]
            };
            match self.standing(&self.keys[slot], want.tried, cells, now) {
                Standing::Ready => {
                    chosen = Some(slot);
                    break;
                }
                Standing::Penalised => penalised = penalised.or(Some(slot)),
                Standing::RestsUntil(until) => recovery = recovery.min(until),
                Standing::Tried => tried = true,
                // A client has no other keys than its own: for want of a better one they are tried again.
                Standing::SetAside if guests => last_resort = last_resort.or(Some(slot)),
                Standing::SetAside => {}
            }
        }
        if recovery < Timestamp::NEVER {
            last_resort = None;
        }
        match chosen.or(penalised).or(last_resort) {
            Some(slot) => {
                if !guests && matches!(self.strategy, Strategy::Headroom | Strategy::RoundRobin) {
                    let next = self.usable.partition_point(|&usable| usable <= slot);
                    self.cursor = self.usable.get(next).copied().unwrap_or(0);
                }
                let lease = self.lease(slot, now);
                Pick::Ready { lease, key: self.keys[slot].key.clone() }
            }
            None if recovery < Timestamp::NEVER => Pick::CoolingDown { until: recovery },
            None => Pick::Rejected { why: if tried { Rejection::AllTried } else { Rejection::NoneUsable } },
        }
    }

    /// The earliest moment at which some key can serve the model, whatever a request has tried. None: not
    /// before a person or a probe helps.
    pub fn recovery(&self, model: Option<&str>, own: Option<&[ApiKey]>, now: Timestamp) -> Option<Timestamp> {
        let cells = model.and_then(|model| self.models.get(model));
        let slots: Vec<usize> = match own {
            Some(keys) => keys.iter().filter_map(|key| self.by_id.get(&key.id()).copied()).collect(),
            None => self.usable.clone(),
        };
        slots
            .into_iter()
            .filter_map(|slot| match self.standing(&self.keys[slot], &[], cells, now) {
                Standing::Ready | Standing::Penalised => Some(now),
                Standing::RestsUntil(until) => Some(until),
                Standing::Tried | Standing::SetAside => None,
            })
            .min()
    }

    fn standing(
        &self,
        key: &Key,
        tried: &[KeyId],
        cells: Option<&HashMap<ProjectId, Cell>>,
        now: Timestamp,
    ) -> Standing {
        if tried.contains(&key.key.id()) {
            return Standing::Tried;
        }
        if key.set_aside.is_some() {
            return Standing::SetAside;
        }
        let cell = cells.and_then(|cells| cells.get(&key.project));
        let project = self.resting_projects.get(&key.project).copied().unwrap_or_default();
        let rest = cell.map_or(project, |cell| project.max(cell.rest_until()));
        if rest > now {
            return Standing::RestsUntil(rest);
        }
        match cell {
            Some(cell) if cell.penalised(now) => Standing::Penalised,
            _ => Standing::Ready,
        }
    }

    /// Where in the candidates the search begins; `chance` is a random place.
    fn start(&self, candidates: &[usize], guests: bool, chance: usize, now: Timestamp) -> usize {
        match self.strategy {
            Strategy::Random => chance,
            Strategy::TimeWindow => {
                let all = if guests { candidates.len() } else { self.keys.len() };
                let window = u64::try_from(WINDOW.as_millis()).unwrap_or(1);
                let slot = (now.as_millis() % window) * all as u64 / window;
                let slot = usize::try_from(slot).unwrap_or(0);
                if guests { slot } else { candidates.partition_point(|&candidate| candidate < slot) }
            }
            Strategy::Headroom | Strategy::RoundRobin if !guests => {
                let cursor = self.cursor;
                candidates.partition_point(|&candidate| candidate < cursor)
            }
            // The one used longest ago comes first: round-robin over whatever set of keys a client brings.
            Strategy::Headroom | Strategy::RoundRobin | Strategy::LeastUsed => candidates
                .iter()
                .enumerate()
                .min_by_key(|&(_, &slot)| self.keys[slot].last_lease)
                .map_or(0, |(at, _)| at),
        }
    }
}
