//! Changes of the pool's state as data, for a store or other instances to carry.

use serde::{Deserialize, Serialize};

use super::health::SetAside;
use super::{MAX_CHANGES, Pool, ProjectId, Today};
use crate::failure::{LimitKind, Why};
use crate::secret::KeyId;
use crate::time::Timestamp;

/// A number with a fraction is carried in millionths.
const MILLION: f64 = 1_000_000.0;

/// Who says which keys share a project. The stronger the word, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// How their quotas run out: evidence, no proof.
    Quotas,
    /// A person: the configuration, or whoever administers the gateway.
    Person,
    /// Google: it named the project, or one key could read what another had uploaded.
    Google,
}

/// Something that was learned of keys, projects and objects, in a form that merges in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    /// A project rests, for one model or altogether. Of two, the later end counts.
    Rest {
        /// Who rests.
        project: ProjectId,
        /// For which model or quota family; none: for all.
        model: Option<Box<str>>,
        /// Until when.
        until: Timestamp,
    },
    /// Two projects have turned out to be one. Their order does not matter. Against a split, the stronger word counts,
    /// and of two equally strong ones the newer.
    Joined {
        /// The one.
        project: ProjectId,
        /// The other.
        other: ProjectId,
        /// Who says so.
        by: By,
        /// Since when.
        at: Timestamp,
    },
    /// A key is a project of its own. Against a join, the stronger word counts, and of two equally strong ones the
    /// newer.
    Split {
        /// The key.
        key: KeyId,
        /// Who says so.
        by: By,
        /// Since when.
        at: Timestamp,
    },
    /// A limit was named. Of two, the newer counts.
    Limit {
        /// Whose.
        project: ProjectId,
        /// For which model or quota family.
        model: Box<str>,
        /// What is limited.
        kind: LimitKind,
        /// To how many.
        value: u64,
    },
    /// A key is set aside. Of two, the newer counts.
    SetAside {
        /// The key.
        key: KeyId,
        /// Why.
        why: Why,
        /// Since when.
        since: Timestamp,
    },
    /// What a project has served in a day, where its owner allows so much and no more. Of two of the same day the greater
    /// counts.
    Spent {
        /// The project.
        project: ProjectId,
        /// When the day ends.
        ends: Timestamp,
        /// Requests.
        requests: u64,
        /// What they cost, in millionths of what prices are in.
        cost_millionths: u64,
    },
    /// An object belongs to the project of a key. Who made it is known for ever, once it is known.
    Object {
        /// Its name, as [`ObjectName`](crate::affinity::name) has it.
        object: Box<str>,
        /// A key of the project.
        key: KeyId,
        /// The client that made it.
        maker: Option<KeyId>,
        /// How long it is remembered.
        until: Timestamp,
    },
    /// An object goes by another name now, and never again by this one.
    Forgotten {
        /// The name that it had.
        object: Box<str>,
    },
    /// A key is in use again.
    Restored {
        /// The key.
        key: KeyId,
        /// Since when.
        at: Timestamp,
    },
}

impl Pool {
    /// Takes in a change that another instance, or this one before a restart, has made. Changes merge: of two
    /// rests the later counts, of what is said about a key or a limit the newest.
    pub fn apply(&mut self, change: &StateChange, now: Timestamp) {
        match change {
            StateChange::Rest { project, model: None, until } => {
                let Some(&number) = self.project_numbers.get(project) else { return };
                let rest = &mut self.projects[number as usize].rest_until;
                *rest = (*rest).max(*until);
                self.replace(number, now);
            }
            StateChange::Rest { project, model: Some(model), until } => {
                let Some(&number) = self.project_numbers.get(project) else { return };
                self.change(model, number, now, |cell| cell.rest(*until));
            }
            StateChange::Joined { project, other, by, at } => {
                self.join_projects(*project, *other, (*by, *at), now);
            }
            StateChange::Split { key, by, at } => {
                let Some(&slot) = self.by_id.get(key) else { return };
                self.split_slot(slot, (*by, *at), now);
            }
            StateChange::Limit { project, model, kind, value } => {
                let Some(&number) = self.project_numbers.get(project) else { return };
                self.change(model, number, now, |cell| {
                    let limits = &mut cell.meter.limits;
                    let limit = match kind {
                        LimitKind::RequestsPerMinute => &mut limits.requests_per_minute,
                        LimitKind::RequestsPerDay => &mut limits.requests_per_day,
                        LimitKind::TokensPerMinute => &mut limits.tokens_per_minute,
                        LimitKind::TokensPerDay => &mut limits.tokens_per_day,
                    };
                    *limit = Some(*value);
                });
            }
            StateChange::Spent { project, ends, requests, cost_millionths } => {
                let Some(&number) = self.project_numbers.get(project) else { return };
                if *ends <= now {
                    return;
                }
                let today = &mut self.projects[number as usize].today;
                if today.ends <= now {
                    *today = Today { ends: *ends, requests: 0, cost: 0.0 };
                }
                today.requests = today.requests.max(*requests);
                today.cost = today.cost.max(*cost_millionths as f64 / MILLION);
                self.spend(number, 0, 0.0, now);
            }
            StateChange::SetAside { key, why, since } => {
                let Some(&slot) = self.by_id.get(key) else { return };
                let aside = SetAside::new(*why, *since, self.keys[slot].probes);
                let known = self.keys[slot].set_aside.as_ref().map(|known| known.since);
                if known.is_some_and(|known| known >= *since) || self.keys[slot].restored > *since {
                    return;
                }
                self.unschedule(slot);
                if aside.probe_at != Timestamp::NEVER && !self.keys[slot].paused {
                    self.probes.insert((aside.probe_at, slot));
                }
                self.keys[slot].set_aside = Some(aside);
                self.unrank(slot);
                self.keys[slot].proven = false;
                if let Ok(at) = self.usable.binary_search(&slot) {
                    self.usable.remove(at);
                }
                let number = self.keys[slot].project;
                self.projects[number as usize].usable.retain(|&usable| usable != slot);
                if self.projects[number as usize].usable.is_empty() {
                    self.replace(number, now);
                }
            }
            // Objects are no matter of the pool's.
            StateChange::Object { .. } | StateChange::Forgotten { .. } => {}
            StateChange::Restored { key, at } => {
                let Some(&slot) = self.by_id.get(key) else { return };
                if self.keys[slot].set_aside.as_ref().is_some_and(|known| known.since > *at) {
                    return;
                }
                self.keys[slot].restored = self.keys[slot].restored.max(*at);
                self.unschedule(slot);
                self.keys[slot].strikes = 0;
                if self.keys[slot].set_aside.take().is_some() && !self.keys[slot].paused {
                    self.rank(slot);
                    if let Err(at) = self.usable.binary_search(&slot) {
                        self.usable.insert(at, slot);
                    }
                    let number = self.keys[slot].project;
                    self.projects[number as usize].usable.push(slot);
                    self.replace(number, now);
                }
            }
        }
    }

    pub(super) fn unschedule(&mut self, slot: usize) {
        if let Some(aside) = &self.keys[slot].set_aside {
            self.probes.remove(&(aside.probe_at, slot));
        }
    }

    pub(super) fn changed(&mut self, change: StateChange) {
        if self.capacity.is_some() {
            return; // what is known of clients' keys is nobody else's business
        }
        if self.changes.len() >= MAX_CHANGES {
            self.changes.drain(..MAX_CHANGES / 2);
        }
        self.changes.push(change);
    }

    /// What has changed since this was last asked, for whoever keeps or shares it.
    pub fn take_changes(&mut self) -> Vec<StateChange> {
        for number in std::mem::take(&mut self.spent) {
            let project = &self.projects[number as usize];
            let Today { ends, requests, cost } = project.today;
            let cost_millionths = (cost * MILLION).ceil() as u64;
            self.changed(StateChange::Spent { project: project.id, ends, requests, cost_millionths });
        }
        std::mem::take(&mut self.changes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{PoolKey, ProjectSettings, Strategy, Tier};
    use crate::pool::{Pick, PoolSettings, Want};
    use crate::secret::ApiKey;

    #[test]
    fn what_an_owner_allows_for_a_day_is_not_allowed_anew_after_a_restart() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let keys = [PoolKey { project: Some("a".into()), ..PoolKey::from(ApiKey::new("one")) }];
        let project = ProjectSettings {
            name: "a".to_owned(),
            tier: Tier::Unknown,
            priority: None,
            max_requests_per_day: Some(3),
            max_cost_per_day: None,
            limits: Vec::new(),
        };
        let settings = PoolSettings {
            projects: std::slice::from_ref(&project),
            ..PoolSettings::only(Strategy::Headroom)
        };
        let pool = || Pool::new(&keys, settings, 1);
        let serves = |pool: &mut Pool, now| {
            matches!(
                pool.pick(&Want { model: Some("m"), tokens: 1, ..Want::default() }, now),
                Pick::Ready { .. }
            )
        };
        let mut before = pool();
        assert!(serves(&mut before, now) && serves(&mut before, now));
        let changes = before.take_changes();
        assert!(matches!(changes[..], [StateChange::Spent { requests: 2, .. }]), "once for all: {changes:?}");
        assert_eq!(before.take_changes(), []);
        let mut after = pool();
        for change in changes.iter().chain(&changes) {
            after.apply(change, now);
        }
        assert!(serves(&mut after, now) && !serves(&mut after, now));
        let mut next_day = pool();
        let day = Duration::from_secs(86_400);
        changes.iter().for_each(|change| next_day.apply(change, now + day));
        assert!((0..3).all(|_| serves(&mut next_day, now + day)));
    }
}
