//! POLICY: the keys, what is known of them, and which one serves next.
//!
//! A key belongs to a project; quotas are a project's, per model. So rests are kept by (project, model) and by
//! project, while set-asides belong to keys. Everything here is learned from the upstream's answers: a cell
//! comes into being only when the upstream gave a reason for it, as model names come from clients.
//!
//! The same type serves the configured pool and, bounded, the keys that clients bring
//! ([`Pool::for_guests`]): the two never share an instance.

mod change;
mod choose;
mod health;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

pub use self::change::StateChange;
pub use self::choose::{Pick, Rejection, Want};
use self::health::{Cell, SetAside};
use crate::config::{PoolKey, Strategy};
use crate::failure::{Consequence, Failure, Why};
use crate::secret::{ApiKey, KeyId};
use crate::time::Timestamp;

/// How long a lease lasts that nobody returns. Longer than any answer takes; a lease only orders
/// `least-used`, so that one lost for an hour harms little.
const LEASE: Duration = Duration::from_secs(3600);

/// So many models can have rests or penalties at once. Google serves some hundred.
const MAX_MODELS: usize = 1024;

/// So many changes wait to be fetched; beyond, the oldest are dropped, as newer ones merge over them.
const MAX_CHANGES: usize = 65_536;

/// 401 answers in a row that set a key aside. One may be Google's own fault.
const STRIKES: u8 = 3;

/// What stands for a project: quotas are counted by it.
///
/// One a key until it is known better: by the project's name in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectId(u64);

/// A key in use, to be given back with [`Pool::release`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(u64);

/// Something that is due in the pool, for the shell's pool task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// A key that is set aside should be tried with a cheap call; [`Pool::probed`] takes the result.
    Probe(ApiKey),
}

/// The keys and what is known of them.
#[derive(Debug)]
pub struct Pool {
    strategy: Strategy,
    chance: fastrand::Rng,
    /// For guests: so many keys are remembered, the oldest make room.
    capacity: Option<usize>,
    keys: Vec<Key>,
    by_id: HashMap<KeyId, usize>,
    /// The slots of the keys that are not set aside, ascending.
    usable: Vec<usize>,
    /// By (in flight, used, slot), for `least-used` only.
    ranking: BTreeSet<(u32, u64, usize)>,
    resting_projects: HashMap<ProjectId, Timestamp>,
    models: HashMap<Box<str>, HashMap<ProjectId, Cell>>,
    leases: BTreeMap<LeaseId, (usize, KeyId, Timestamp)>,
    next_lease: u64,
    /// When which slot is to be probed.
    probes: BTreeSet<(Timestamp, usize)>,
    cursor: usize,
    changes: Vec<StateChange>,
}

#[derive(Debug)]
struct Key {
    key: ApiKey,
    project: ProjectId,
    used: u64,
    in_flight: u32,
    strikes: u8,
    set_aside: Option<SetAside>,
    /// How often it was probed since it last served: probes get rarer, also where they succeed and the key
    /// then fails again.
    probes: usize,
    /// When it was last taken back into use.
    restored: Timestamp,
    /// The number of the lease that used it last.
    last_lease: u64,
}

impl ProjectId {
    /// The project of a key of which nothing else is known.
    pub fn of_key(key: KeyId) -> Self {
        Self(key.as_u64())
    }

    /// The project that a configuration names.
    pub fn named(name: &str) -> Self {
        // Names and keys share the space of keyed hashes; a collision is as unlikely as between two keys.
        Self(ApiKey::new(&format!("project {name}")).id().as_u64())
    }

    /// The number that stores and fleets carry.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl Pool {
    /// The configured pool. `seed` decides what chance decides.
    pub fn new(keys: &[PoolKey], strategy: Strategy, seed: u64) -> Self {
        let mut this = Self::empty(strategy, seed, None);
        for PoolKey { key, project, .. } in keys {
            let project = project.as_deref().map(ProjectId::named);
            this.insert(key, project.unwrap_or_else(|| ProjectId::of_key(key.id())));
        }
        this
    }

    /// A memory of at most `capacity` keys that clients bring.
    pub fn for_guests(capacity: usize, strategy: Strategy, seed: u64) -> Self {
        Self::empty(strategy, seed, Some(capacity.max(1)))
    }

    fn empty(strategy: Strategy, seed: u64, capacity: Option<usize>) -> Self {
        Self {
            strategy,
            chance: fastrand::Rng::with_seed(seed),
            capacity,
            keys: Vec::new(),
            by_id: HashMap::new(),
            usable: Vec::new(),
            ranking: BTreeSet::new(),
            resting_projects: HashMap::new(),
            models: HashMap::new(),
            leases: BTreeMap::new(),
            next_lease: 0,
            probes: BTreeSet::new(),
            cursor: 0,
            changes: Vec::new(),
        }
    }

    fn insert(&mut self, key: &ApiKey, project: ProjectId) -> usize {
        if let Some(&slot) = self.by_id.get(&key.id()) {
            return slot;
        }
        let entry = Key {
            key: key.clone(),
            project,
            used: 0,
            in_flight: 0,
            strikes: 0,
            set_aside: None,
            probes: 0,
            restored: Timestamp::EPOCH,
            last_lease: 0,
        };
        let slot = match self.capacity {
            Some(capacity) if self.keys.len() >= capacity => {
                // First in, first out: `cursor` is not used for anything else in a guests' memory.
                let slot = self.cursor % capacity;
                self.cursor += 1;
                self.unschedule(slot);
                let old = std::mem::replace(&mut self.keys[slot], entry);
                self.by_id.remove(&old.key.id());
                self.resting_projects.remove(&old.project);
                if let Err(at) = self.usable.binary_search(&slot) {
                    self.usable.insert(at, slot);
                }
                slot
            }
            _ => {
                self.keys.push(entry);
                self.usable.push(self.keys.len() - 1);
                self.keys.len() - 1
            }
        };
        if self.strategy == Strategy::LeastUsed && self.capacity.is_none() {
            self.ranking.insert((0, 0, slot));
        }
        self.by_id.insert(key.id(), slot);
        slot
    }

    /// How many keys there are, set aside or not.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys are not set aside.
    pub fn usable(&self) -> usize {
        self.usable.len()
    }

    /// Why a key is set aside, if it is.
    pub fn set_aside(&self, key: KeyId) -> Option<Why> {
        let slot = *self.by_id.get(&key)?;
        self.keys[slot].set_aside.as_ref().map(|aside| aside.why)
    }

    fn lease(&mut self, slot: usize, now: Timestamp) -> LeaseId {
        self.next_lease += 1;
        let id = LeaseId(self.next_lease);
        self.rerank(slot, |key| {
            key.in_flight += 1;
            key.used += 1;
        });
        self.keys[slot].last_lease = id.0;
        self.leases.insert(id, (slot, self.keys[slot].key.id(), now + LEASE));
        id
    }

    /// Gives a key back. Twice does no harm.
    pub fn release(&mut self, lease: LeaseId) {
        if let Some((slot, id, _)) = self.leases.remove(&lease)
            && self.keys[slot].key.id() == id
        {
            self.rerank(slot, |key| key.in_flight = key.in_flight.saturating_sub(1));
        }
    }

    /// Changes what `least-used` orders by.
    fn rerank(&mut self, slot: usize, change: impl FnOnce(&mut Key)) {
        let key = &mut self.keys[slot];
        let before = (key.in_flight, key.used, slot);
        change(key);
        let after = (key.in_flight, key.used, slot);
        if self.ranking.remove(&before) {
            self.ranking.insert(after);
        }
    }

    /// A key has brought a good answer: its strikes and the penalties on its project for this model are over.
    pub fn succeeded(&mut self, key: KeyId, model: Option<&str>, now: Timestamp) {
        let Some(&slot) = self.by_id.get(&key) else { return };
        self.keys[slot].strikes = 0;
        self.keys[slot].probes = 0;
        if self.capacity.is_some() && self.keys[slot].set_aside.is_some() {
            // A client's own key, tried again for want of another.
            self.restore(key, now);
        }
        if let Some(cells) = model.and_then(|model| self.models.get_mut(model))
            && let Some(cell) = cells.get_mut(&self.keys[slot].project)
        {
            cell.forgive();
        }
    }

    /// Learns from a failure of `key`. Returns why the key (or its project) is now set aside, if it is.
    pub fn failed(
        &mut self,
        key: KeyId,
        model: Option<&str>,
        failure: &Failure,
        now: Timestamp,
    ) -> Option<Why> {
        let slot = *self.by_id.get(&key)?;
        let project = self.keys[slot].project;
        match failure.consequence {
            Consequence::Nothing => None,
            Consequence::SetAside(why) => self.put_aside(slot, why, now),
            Consequence::Strike => {
                self.keys[slot].strikes = self.keys[slot].strikes.saturating_add(1);
                if self.keys[slot].strikes >= STRIKES {
                    return self.put_aside(slot, Why::Unauthenticated, now);
                }
                None
            }
            Consequence::SetAsideProject(why) => {
                let of_project: Vec<usize> =
                    self.usable.iter().copied().filter(|&slot| self.keys[slot].project == project).collect();
                of_project.into_iter().filter_map(|slot| self.put_aside(slot, why, now)).last()
            }
            Consequence::RestProject(until) => {
                self.apply(&StateChange::Rest { project, model: None, until }, now);
                self.changed(StateChange::Rest { project, model: None, until });
                None
            }
            Consequence::RestModel(until) => {
                let families = failure.families.iter().map(String::as_str);
                for model in families.chain(model) {
                    let change = StateChange::Rest { project, model: Some(model.into()), until };
                    self.apply(&change, now);
                    self.changed(change);
                }
                None
            }
            Consequence::Penalty => {
                if let Some(model) = model {
                    let chance = self.chance.f64();
                    if let Some(cell) = self.cell(model, project, now) {
                        cell.penalise(now, chance);
                    }
                }
                None
            }
        }
    }

    fn put_aside(&mut self, slot: usize, why: Why, now: Timestamp) -> Option<Why> {
        let key = self.keys[slot].key.id();
        if self.keys[slot].set_aside.is_some() {
            return None;
        }
        let change = StateChange::SetAside { key, why, since: now };
        self.apply(&change, now);
        self.changed(change);
        Some(why)
    }

    /// Takes a key back into use, as a probe has shown or a person says.
    pub fn restore(&mut self, key: KeyId, now: Timestamp) {
        let change = StateChange::Restored { key, at: now };
        self.apply(&change, now);
        self.changed(change);
    }

    /// Takes in a change that another instance, or this one before a restart, has made. Changes merge: of two
    /// rests the later counts, of what is said about a key the newest.
    pub fn apply(&mut self, change: &StateChange, now: Timestamp) {
        match change {
            StateChange::Rest { project, model: None, until } => {
                if self.resting_projects.len() >= self.keys.len().max(64) {
                    let known: std::collections::HashSet<ProjectId> =
                        self.keys.iter().map(|key| key.project).collect();
                    self.resting_projects.retain(|project, _| known.contains(project));
                }
                let rest = self.resting_projects.entry(*project).or_default();
                *rest = (*rest).max(*until);
            }
            StateChange::Rest { project, model: Some(model), until } => {
                if let Some(cell) = self.cell(model, *project, now) {
                    cell.rest(*until);
                }
            }
            StateChange::SetAside { key, why, since } => {
                let Some(&slot) = self.by_id.get(key) else { return };
                let aside = SetAside::new(*why, *since, self.keys[slot].probes);
                let known = self.keys[slot].set_aside.as_ref().map(|known| known.since);
                if known.is_some_and(|known| known >= *since) || self.keys[slot].restored > *since {
                    return;
                }
                self.unschedule(slot);
                if aside.probe_at != Timestamp::NEVER {
                    self.probes.insert((aside.probe_at, slot));
                }
                self.keys[slot].set_aside = Some(aside);
                self.usable.retain(|&usable| usable != slot);
            }
            StateChange::Restored { key, at } => {
                let Some(&slot) = self.by_id.get(key) else { return };
                if self.keys[slot].set_aside.as_ref().is_some_and(|known| known.since > *at) {
                    return;
                }
                self.keys[slot].restored = self.keys[slot].restored.max(*at);
                self.unschedule(slot);
                self.keys[slot].strikes = 0;
                if self.keys[slot].set_aside.take().is_some() {
                    let at = self.usable.partition_point(|&usable| usable < slot);
                    self.usable.insert(at, slot);
                }
            }
        }
    }

    fn unschedule(&mut self, slot: usize) {
        if let Some(aside) = &self.keys[slot].set_aside {
            self.probes.remove(&(aside.probe_at, slot));
        }
    }

    /// The cell of a project and a model, made if there is room for one.
    fn cell(&mut self, model: &str, project: ProjectId, now: Timestamp) -> Option<&mut Cell> {
        if !self.models.contains_key(model) {
            if self.models.len() >= MAX_MODELS {
                self.models.retain(|_, cells| cells.values().any(|cell| cell.matters(now)));
            }
            if self.models.len() >= MAX_MODELS {
                return None;
            }
            self.models.insert(model.into(), HashMap::new());
        }
        let projects = self.keys.len().max(64);
        let cells = self.models.get_mut(model)?;
        if cells.len() >= projects && !cells.contains_key(&project) {
            cells.retain(|_, cell| cell.matters(now));
            if cells.len() >= projects {
                return None;
            }
        }
        Some(cells.entry(project).or_default())
    }

    /// When [`due`](Self::due) will next have something.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let lease = self.leases.first_key_value().map(|(_, &(_, _, until))| until);
        let probe = self.probes.first().map(|&(at, _)| at);
        lease.into_iter().chain(probe).min()
    }

    /// What is due now. Lost leases are taken back on the way.
    pub fn due(&mut self, now: Timestamp) -> Vec<Due> {
        while let Some((&lease, &(_, _, until))) = self.leases.first_key_value()
            && until <= now
        {
            self.release(lease);
        }
        let mut due = Vec::new();
        while let Some(&(at, slot)) = self.probes.first()
            && at <= now
        {
            self.probes.pop_first();
            let key = &mut self.keys[slot];
            if let Some(aside) = &mut key.set_aside {
                // Until the result is in, the next probe is already planned: a result that never comes is a
                // failed probe.
                key.probes += 1;
                aside.postpone(now, key.probes);
                self.probes.insert((aside.probe_at, slot));
                due.push(Due::Probe(self.keys[slot].key.clone()));
            }
        }
        due
    }

    /// The result of a probe. Only a good answer restores; a fault that says nothing about the key leaves it
    /// set aside until the next probe.
    pub fn probed(&mut self, key: KeyId, works: bool, now: Timestamp) {
        if works {
            self.restore(key, now);
        }
    }

    fn changed(&mut self, change: StateChange) {
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
        std::mem::take(&mut self.changes)
    }
}

#[cfg(test)]
mod tests;
