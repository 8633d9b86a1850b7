//! A request that only one project can serve, as it names what belongs to that project.
//!
//! The strategy has no say in it: there is one project, and its keys. The key that made the object comes first: that
//! the others belong to the same project may be no more than a guess.

use std::sync::Arc;

use super::choose::{Pick, Rejection, Standing, Want};
use super::{Pool, ProjectId, standing};
use crate::config::Strategy;
use crate::secret::{ApiKey, KeyId};
use crate::time::Timestamp;

/// The one project that can serve a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Only {
    /// The project.
    pub project: ProjectId,
    /// The key that is known to belong to it.
    pub key: KeyId,
}

impl Pool {
    /// Chooses and leases a key of this project.
    pub(super) fn pick_within(&mut self, only: Only, want: &Want<'_>, now: Timestamp) -> Pick {
        let guests = want.own.is_some();
        for key in want.own.unwrap_or_default() {
            self.insert(key, ProjectId::of_key(key.id()));
        }
        let Some(&number) = self.project_numbers.get(&only.project) else {
            return Pick::Rejected { why: Rejection::NoneUsable };
        };
        if want.paid && !self.projects[number as usize].is_paid() {
            return Pick::Rejected { why: Rejection::NoneUsable };
        }
        let blocked = self.projects[number as usize].rest_until;
        if blocked > now {
            return Pick::CoolingDown { until: blocked };
        }
        let Some(slot) = self.slot_within(only, number, want) else {
            let why = if want.tried.is_empty() { Rejection::NoneUsable } else { Rejection::AllTried };
            return Pick::Rejected { why };
        };
        let table = want.model.and_then(|model| self.lend_table(model));
        let Some(mut table) = table else { return self.lease_untold(slot, now) };
        let tokens = want.tokens.max(1);
        let rest = match (self.strategy, guests) {
            (Strategy::Headroom, false) => table.room(number, tokens, now),
            _ => match self.key_standing(&self.keys[slot], want, Some(&table), now) {
                Standing::RestsUntil(until) => until,
                _ => now,
            },
        };
        let charge = (rest <= now && self.strategy == Strategy::Headroom && !guests).then(|| {
            let standing = standing(&self.projects[number as usize]);
            let charge = table.charge(number, standing, (tokens, self.next_lease + 1), now);
            (Arc::clone(&table.model), number, charge)
        });
        self.return_table(table);
        match (rest <= now, charge) {
            (false, _) => Pick::CoolingDown { until: rest },
            (true, None) => self.lease_untold(slot, now),
            (true, charge) => {
                let lease = self.lease(slot, charge, now);
                Pick::Ready { lease, key: self.keys[slot].key.clone() }
            }
        }
    }

    /// When the project has room for a request. None: not before a person or a probe helps.
    pub(super) fn room_within(&mut self, only: Only, want: &Want<'_>, now: Timestamp) -> Option<Timestamp> {
        let &number = self.project_numbers.get(&only.project)?;
        if self.projects[number as usize].usable.is_empty() {
            return None;
        }
        let rest = self.projects[number as usize].rest_until.max(now);
        let Some(mut table) = want.model.and_then(|model| self.lend_table(model)) else { return Some(rest) };
        let room = table.recovery(number, want.tokens.max(1), now).max(rest);
        self.return_table(table);
        (room < Timestamp::NEVER).then_some(room)
    }

    /// The key that this stands for.
    pub(crate) fn key(&self, id: KeyId) -> Option<ApiKey> {
        self.by_id.get(&id).map(|&slot| self.keys[slot].key.clone())
    }

    /// Whether the project of a key has one that can be asked.
    pub(crate) fn can_be_asked(&self, key: KeyId) -> bool {
        let slot = self.by_id.get(&key);
        slot.is_some_and(|&slot| !self.projects[self.keys[slot].project as usize].usable.is_empty())
    }

    /// Projects with a key that can be asked, at most so many, and a key of each. Of a client's own keys each is one.
    pub(crate) fn representatives(&self, own: Option<&[ApiKey]>, most: usize) -> Vec<Only> {
        if let Some(own) = own {
            let own = own.iter().take(most);
            return own.map(|key| Only { project: ProjectId::of_key(key.id()), key: key.id() }).collect();
        }
        let able = self.projects.iter().filter(|project| !project.gone);
        let able = able.filter_map(|project| {
            let &slot = project.usable.first()?;
            Some(Only { project: project.id, key: self.keys[slot].key.id() })
        });
        able.take(most).collect()
    }

    /// The slot of the key that is known to belong to the project, else of the one whose turn it is.
    fn slot_within(&mut self, only: Only, number: u32, want: &Want<'_>) -> Option<usize> {
        let own = |slot: &usize| self.keys[*slot].project == number && self.keys[*slot].is_usable();
        let first = self.by_id.get(&only.key).copied().filter(own);
        if let Some(slot) = first.filter(|_| !want.tried.contains(&only.key)) {
            return Some(slot);
        }
        let (at, slot) = self.key_in_turn(number, want.tried)?;
        self.projects[number as usize].turn = at + 1;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PoolKey;
    use crate::failure::{Class, Consequence, Elsewhere, Failure, Why};
    use crate::pool::PoolSettings;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn pool(strategy: Strategy) -> Pool {
        let keys: Vec<PoolKey> = [("a", "a1"), ("a", "a2"), ("b", "b1")]
            .into_iter()
            .map(|(project, key)| PoolKey {
                project: Some(project.to_owned()),
                ..PoolKey::from(ApiKey::new(key))
            })
            .collect();
        Pool::new(&keys, PoolSettings::only(strategy), 1)
    }

    fn picked(pool: &mut Pool, want: &Want<'_>) -> String {
        match pool.pick(want, NOW) {
            Pick::Ready { key, .. } => key.expose().to_owned(),
            Pick::CoolingDown { until } => format!("at {}", until.since(NOW).as_secs()),
            Pick::Rejected { why } => format!("{why:?}"),
        }
    }

    #[test]
    fn only_the_owner_serves_and_the_maker_comes_first() {
        for strategy in [Strategy::Headroom, Strategy::RoundRobin, Strategy::LeastUsed, Strategy::TimeWindow]
        {
            let mut pool = pool(strategy);
            let only = Only { project: ProjectId::named("a"), key: ApiKey::new("a2").id() };
            let want = Want { model: Some("m"), tokens: 1, only: Some(only), ..Want::default() };
            for _ in 0..3 {
                assert_eq!(picked(&mut pool, &want), "a2", "{strategy:?}");
            }
            let tried = [ApiKey::new("a2").id()];
            assert_eq!(picked(&mut pool, &Want { tried: &tried, ..want }), "a1");
            let tried = ["a1", "a2"].map(|key| ApiKey::new(key).id());
            assert_eq!(picked(&mut pool, &Want { tried: &tried, ..want }), "AllTried");
            let leaked = Failure {
                consequence: Consequence::SetAside(Why::Leaked),
                ..Failure::new(Class::KeyLeaked, Elsewhere::All, "")
            };
            pool.failed(ApiKey::new("a2").id(), Some("m"), &leaked, NOW);
            assert_eq!(picked(&mut pool, &want), "a1");
            let rest = Failure {
                consequence: Consequence::RestModel(NOW + std::time::Duration::from_secs(30)),
                ..Failure::new(Class::QuotaMinute, Elsewhere::All, "")
            };
            pool.failed(ApiKey::new("a1").id(), Some("m"), &rest, NOW);
            assert_eq!(picked(&mut pool, &want), "at 30", "{strategy:?}");
            assert_eq!(pool.recovery(&want, NOW).map(|at| at.since(NOW).as_secs()), Some(30));
            assert_eq!(picked(&mut pool, &Want { only: None, ..want }), "b1");
            assert_eq!(picked(&mut pool, &Want { model: None, ..want }), "a1", "the rest is one model's");
        }
    }

    #[test]
    fn a_clients_own_key_is_its_own_project() {
        let mut pool = Pool::for_guests(8, Strategy::Headroom, 1);
        let own = ["x", "y"].map(ApiKey::new);
        let only = Only { project: ProjectId::of_key(own[1].id()), key: own[1].id() };
        let want = Want { only: Some(only), own: Some(&own), ..Want::default() };
        assert_eq!(picked(&mut pool, &want), "y");
        let tried = [own[1].id()];
        assert_eq!(picked(&mut pool, &Want { tried: &tried, ..want }), "AllTried");
    }
}
