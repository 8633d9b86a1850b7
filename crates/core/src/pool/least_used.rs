//! `least-used`: the key with the least to do, and of those the one that has done least.
//!
//! Keys that rest do nothing, and so they would come first, and with them a search through all that rest. Where many do,
//! a model's table keeps an order of its own, without them.

use std::collections::BTreeSet;

use super::choose::{LOOKED_AT, Standing};
use super::table::Table;
use super::{Key, Pick, Pool, Rejection, Want};
use crate::time::Timestamp;

/// Requests under way, requests served, and the key's slot.
pub(super) type Load = (u32, u64, usize);

/// The order for one model.
#[derive(Debug, Default)]
pub(super) struct Awake {
    /// The keys that may serve, as far as is known.
    keys: BTreeSet<Load>,
    /// Those that rest, by when they are to be looked at again.
    asleep: BTreeSet<(Timestamp, usize)>,
}

impl Awake {
    /// A key has more to do, or less.
    pub(super) fn rerank(&mut self, before: Load, after: Load) {
        if self.keys.remove(&before) {
            self.keys.insert(after);
        }
    }

    /// A key is set aside.
    pub(super) fn set_aside(&mut self, load: Load) {
        self.keys.remove(&load);
    }

    /// A key is back that was set aside.
    pub(super) fn restore(&mut self, load: Load) {
        self.keys.insert(load);
    }

    fn wake(&mut self, keys: &[Key], now: Timestamp) {
        while let Some(&(at, slot)) = self.asleep.first()
            && at <= now
        {
            self.asleep.pop_first();
            if keys[slot].is_usable() {
                self.keys.insert(load(&keys[slot], slot));
            }
        }
    }
}

/// Where a key stands in the order.
pub(super) fn load(key: &Key, slot: usize) -> Load {
    (key.in_flight, key.used, slot)
}

impl Pool {
    /// Chooses a key and leases it.
    pub(super) fn pick_least_used(&mut self, want: &Want<'_>, now: Timestamp) -> Pick {
        let mut table = want.model.and_then(|model| self.lend_table(model));
        let mut awake = table.as_mut().and_then(|table| table.awake.take());
        if let Some(awake) = &mut awake {
            awake.wake(&self.keys, now);
        }
        let mut found = Found::default();
        self.search(
            want,
            table.as_ref(),
            awake.as_deref().map_or(&self.ranking, |awake| &awake.keys),
            now,
            &mut found,
        );
        if let Some(table) = &mut table {
            if awake.is_none() && found.resting.len() > LOOKED_AT {
                awake = Some(Box::new(Awake { keys: self.ranking.clone(), asleep: BTreeSet::new() }));
            }
            if let Some(awake) = &mut awake {
                for (until, slot) in found.resting {
                    awake.keys.remove(&load(&self.keys[slot], slot));
                    awake.asleep.insert((until, slot));
                }
                let untried =
                    |&&(_, slot): &&(Timestamp, usize)| !want.tried.contains(&self.keys[slot].key.id());
                let next = awake.asleep.iter().take(LOOKED_AT).find(untried);
                found.recovery = next.map_or(found.recovery, |&(at, _)| found.recovery.min(at));
            }
            table.awake = awake;
        }
        table.into_iter().for_each(|table| self.return_table(table));
        match found.chosen.or(found.penalised) {
            Some(slot) => {
                let lease = self.lease(slot, None, now);
                Pick::Ready { lease, key: self.keys[slot].key.clone() }
            }
            None if found.recovery < Timestamp::NEVER => Pick::CoolingDown { until: found.recovery },
            None => {
                Pick::Rejected { why: if found.tried { Rejection::AllTried } else { Rejection::NoneUsable } }
            }
        }
    }

    fn search(
        &self,
        want: &Want<'_>,
        table: Option<&Table>,
        order: &BTreeSet<Load>,
        now: Timestamp,
        found: &mut Found,
    ) {
        for &(_, _, slot) in order {
            match self.key_standing(&self.keys[slot], want, table, now) {
                Standing::Ready => {
                    found.chosen = Some(slot);
                    return;
                }
                Standing::Penalised => found.penalised = found.penalised.or(Some(slot)),
                Standing::RestsUntil(until) => {
                    found.recovery = found.recovery.min(until);
                    found.resting.push((until, slot));
                }
                Standing::Tried => found.tried = true,
                Standing::SetAside => {}
            }
        }
    }
}

/// What a search has met.
#[derive(Debug)]
struct Found {
    chosen: Option<usize>,
    penalised: Option<usize>,
    resting: Vec<(Timestamp, usize)>,
    recovery: Timestamp,
    tried: bool,
}

impl Default for Found {
    fn default() -> Self {
        Self { chosen: None, penalised: None, resting: Vec::new(), recovery: Timestamp::NEVER, tried: false }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{PoolKey, Strategy};
    use crate::failure::{Class, Consequence, Elsewhere, Failure, Why};
    use crate::pool::PoolSettings;
    use crate::secret::{ApiKey, KeyId};

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const MODEL: Option<&str> = Some("gemini-2.5-flash");

    /// The order of its own changes nothing: whoever would search all keys would choose the same.
    #[test]
    fn the_order_of_a_model_chooses_as_the_order_of_all() {
        let keys: Vec<PoolKey> =
            (0..300).map(|number| PoolKey::from(ApiKey::new(&format!("key {number}")))).collect();
        let ids: Vec<KeyId> = keys.iter().map(|key| key.key.id()).collect();
        let mut pool = Pool::new(&keys, PoolSettings::only(Strategy::LeastUsed), 1);
        let mut chance = fastrand::Rng::with_seed(7);
        let mut now = NOW;
        let mut leases = Vec::new();
        let mut had_its_own = false;
        for _ in 0..4_000 {
            now = now + Duration::from_millis(chance.u64(..400));
            let key = ids[chance.usize(..ids.len())];
            let until = now + Duration::from_secs(chance.u64(1..120));
            let consequence = match chance.u8(..40) {
                0 => Consequence::SetAside(Why::Leaked),
                1 => Consequence::RestProject(until),
                2 => Consequence::Penalty,
                _ => Consequence::RestModel(until),
            };
            let failure = Failure { consequence, ..Failure::new(Class::Unknown, Elsewhere::All, "made up") };
            pool.failed(key, MODEL, &failure, now);
            if chance.u8(..20) == 0 {
                pool.restore(ids[chance.usize(..ids.len())], now);
            }
            let tried = [ids[chance.usize(..ids.len())], ids[chance.usize(..ids.len())]];
            let want = Want { model: MODEL, tried: &tried, ..Want::default() };
            let mut expected = Found::default();
            pool.search(&want, pool.tables.get("gemini-2.5-flash"), &pool.ranking, now, &mut expected);
            match pool.pick(&want, now) {
                Pick::Ready { lease, key } => {
                    let slot = expected.chosen.or(expected.penalised).expect("there is one");
                    assert_eq!(key.id(), ids[slot]);
                    leases.push(lease);
                }
                otherwise => assert_eq!(expected.chosen.or(expected.penalised), None, "{otherwise:?}"),
            }
            if leases.len() > 20 {
                pool.release(leases.swap_remove(chance.usize(..leases.len())));
            }
            had_its_own |= pool.tables.values().any(|table| table.awake.is_some());
        }
        assert!(had_its_own);
    }
}
