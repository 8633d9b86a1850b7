//! POLICY: the keys, what is known of them, and which one serves next.
//!
//! A key belongs to a project; quotas are a project's, per model. So rests are kept by (project, model) and by
//! project, while set-asides belong to keys. Everything here is learned from the upstream's answers: a cell
//! comes into being only when the upstream gave a reason for it, as model names come from clients.
//!
//! The same type serves the configured pool and, bounded, the keys that clients bring
//! ([`Pool::for_guests`]): the two never share an instance.

mod calendar;
mod change;
mod choose;
mod due;
mod guess;
mod health;
mod incident;
mod kinship;
mod learn;
mod lease;
mod least_used;
mod measure;
mod minutes;
mod queue;
mod reconfigure;
mod record;
mod table;
mod together;
mod view;
mod window;
mod within;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub use self::change::{By, StateChange};
pub use self::choose::{Pick, Rejection, Want};
use self::guess::Guesses;
use self::health::SetAside;
use self::incident::Incident;
pub use self::kinship::Kept;
use self::kinship::Kinship;
pub(crate) use self::measure::STRETCH;
pub use self::measure::{Measure, Named, Quota, Room};
use self::minutes::Minutes;
use self::queue::Queue;
pub use self::queue::Ticket;
pub use self::record::Record;
use self::table::{Standing, Table};
use self::together::Together;
pub use self::view::{
    Candidate, Explanation, IncidentView, KeyCounts, KeyView, ModelView, Moment, Picked, PoolView,
    ProjectCounts, ProjectView, SetAsideView, Used, Verdict,
};
use self::window::Charge;
pub use self::within::Only;
use crate::config::{PoolKey, Price, ProjectSettings, ProxyAddress, Strategy, Tier};
use crate::failure::{Class, Consequence, Failure, Why};
use crate::google_clock::Skew;
use crate::secret::{ApiKey, KeyId};
use crate::time::Timestamp;

/// How long a lease lasts that nobody returns. Longer than any answer takes; a lease only orders
/// `least-used`, so that one lost for an hour harms little.
const LEASE: Duration = Duration::from_secs(3600);

/// So many models can have rests or penalties at once. Google serves some hundred.
const MAX_MODELS: usize = 1024;

/// So many projects can be known for one model.
const MAX_CELLS: usize = 200_000;

/// So many changes wait to be fetched; beyond, the oldest are dropped, as newer ones merge over them.
const MAX_CHANGES: usize = 65_536;

/// 401 answers in a row that set a key aside. One may be Google's own fault.
const STRIKES: u8 = 3;

/// What stands for a project: quotas are counted by it.
///
/// One a key until it is known better: by the project's name in the configuration, or by what [`By`] says.
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
    /// A request that waits has its turn.
    Wake(Ticket),
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
    projects: Vec<Project>,
    project_numbers: HashMap<ProjectId, u32>,
    /// The projects by priority, and where in each priority the next turn begins.
    order: Vec<u32>,
    turns: Vec<Turn>,
    /// The slots of the keys that are neither set aside nor paused, ascending.
    usable: Vec<usize>,
    /// The keys that are not set aside, for `least-used` only.
    ranking: BTreeSet<least_used::Load>,
    /// What is known by model or quota family.
    tables: HashMap<Box<str>, Table>,
    /// The quota family of a model, where Google has named another one.
    families: HashMap<Box<str>, Box<str>>,
    minutes: Minutes,
    /// How wrong the local clock is.
    skew: Skew,
    egress: Incident,
    overloads: HashMap<Box<str>, Incident>,
    verdicts: Verdicts,
    together: Together,
    guesses: Guesses,
    queue: Queue,
    leases: BTreeMap<LeaseId, Leased>,
    next_lease: u64,
    /// When which slot is to be probed.
    probes: BTreeSet<(Timestamp, usize)>,
    cursor: usize,
    changes: Vec<StateChange>,
    /// The projects that have served since changes were last asked for, where their owners bound what they serve.
    spent: BTreeSet<u32>,
    /// What the user says of projects, until they are met.
    settings: HashMap<ProjectId, ProjectSettings>,
    prices: Vec<Price>,
}

/// How a pool is to choose.
#[derive(Debug, Clone, Copy)]
pub struct PoolSettings<'a> {
    /// The strategy.
    pub strategy: Strategy,
    /// What the user says of projects.
    pub projects: &'a [ProjectSettings],
    /// What tokens cost, for projects with a daily budget.
    pub prices: &'a [Price],
}

impl PoolSettings<'_> {
    /// A strategy, and nothing said of projects.
    pub const fn only(strategy: Strategy) -> Self {
        Self { strategy, projects: &[], prices: &[] }
    }
}

#[derive(Debug)]
struct Key {
    key: ApiKey,
    /// The project that the configuration puts it into.
    named: Option<ProjectId>,
    project: u32,
    /// Left alone by its owner.
    paused: bool,
    used: u64,
    in_flight: u32,
    strikes: u8,
    /// It has brought an answer since it came into use.
    proven: bool,
    set_aside: Option<SetAside>,
    /// How often it was probed since it last served: probes get rarer, also where they succeed and the key
    /// then fails again.
    probes: usize,
    /// When it was last taken back into use.
    restored: Timestamp,
    /// The number of the lease that used it last.
    last_lease: u64,
    /// What was said of the project that it belongs to.
    kinship: Kinship,
}

#[derive(Debug)]
struct Project {
    id: ProjectId,
    /// What the configuration calls it.
    name: Option<Box<str>>,
    /// What the user says of it.
    settings: Option<ProjectSettings>,
    priority: u8,
    /// What it has served today.
    today: Today,
    /// The slots of its keys that are neither set aside nor paused.
    usable: Vec<usize>,
    /// Whose turn it is among them.
    turn: usize,
    rest_until: Timestamp,
    /// Somebody whose word counts has said which keys belong to it.
    known: bool,
    /// It has turned out to be another one.
    gone: bool,
}

/// What a project has served in the running day, Pacific time, against what its owner allows.
#[derive(Debug, Default)]
struct Today {
    ends: Timestamp,
    requests: u64,
    cost: f64,
}

/// A stretch of the order with one priority.
#[derive(Debug)]
struct Turn {
    begin: usize,
    end: usize,
    next: usize,
}

/// A key in use.
#[derive(Debug)]
struct Leased {
    key: KeyId,
    until: Timestamp,
    began: Timestamp,
    /// Whether it was counted at all.
    counted: bool,
    /// Where the request was counted.
    charged: Option<(Arc<str>, u32, Charge)>,
}

/// Verdicts about keys since the last success: where many fall at once, it is not the keys.
#[derive(Debug, Default)]
struct Verdicts {
    keys: Vec<(KeyId, u32)>,
    first: Timestamp,
}

/// Verdicts about so many projects within so long a time, and about half of the pool, are an incident at Google.
const MANY_VERDICTS: usize = 3;
const VERDICTS_TOGETHER: Duration = Duration::from_secs(10);

/// The priority of a project of which nothing is said; a smaller number comes first.
const PRIORITY: u8 = 1;

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

    /// What a number of [`as_u64`](Self::as_u64) stands for.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

impl Pool {
    /// The configured pool. `seed` decides what chance decides.
    pub fn new(keys: &[PoolKey], settings: PoolSettings<'_>, seed: u64) -> Self {
        let mut this = Self::empty(settings.strategy, seed, None);
        this.prices = settings.prices.to_vec();
        for project in settings.projects {
            this.settings.insert(ProjectId::named(&project.name), project.clone());
        }
        for PoolKey { key, project, paused, .. } in keys {
            let id = project.as_deref().map(ProjectId::named);
            let slot = this.insert(key, id.unwrap_or_else(|| ProjectId::of_key(key.id())));
            this.keys[slot].named = id;
            if *paused {
                this.pause(slot);
            }
            if let Some(name) = project {
                let number = this.keys[slot].project;
                let project = &mut this.projects[number as usize];
                project.name.get_or_insert_with(|| name.as_str().into());
                project.known = true;
                this.keys[slot].kinship = Kinship::configured();
            }
        }
        this.arrange();
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
            projects: Vec::new(),
            project_numbers: HashMap::new(),
            order: Vec::new(),
            turns: Vec::new(),
            usable: Vec::new(),
            ranking: BTreeSet::new(),
            tables: HashMap::new(),
            families: HashMap::new(),
            minutes: Minutes::default(),
            skew: Skew::NONE,
            egress: Incident::of_egress(),
            overloads: HashMap::new(),
            verdicts: Verdicts::default(),
            together: Together::default(),
            guesses: Guesses::default(),
            queue: Queue::default(),
            leases: BTreeMap::new(),
            next_lease: 0,
            probes: BTreeSet::new(),
            cursor: 0,
            changes: Vec::new(),
            spent: BTreeSet::new(),
            settings: HashMap::new(),
            prices: Vec::new(),
        }
    }

    /// Orders the projects by priority.
    fn arrange(&mut self) {
        self.order = (0..self.projects.len()).filter_map(|number| u32::try_from(number).ok()).collect();
        let projects = &self.projects;
        self.order.retain(|&number| !projects[number as usize].gone);
        self.order.sort_by_key(|&number| projects[number as usize].priority);
        self.turns.clear();
        for (place, &number) in self.order.iter().enumerate() {
            let priority = self.projects[number as usize].priority;
            match self.turns.last_mut() {
                Some(turn) if self.projects[self.order[turn.begin] as usize].priority == priority => {
                    turn.end = place + 1;
                }
                _ => self.turns.push(Turn { begin: place, end: place + 1, next: place }),
            }
        }
    }

    fn insert(&mut self, key: &ApiKey, project: ProjectId) -> usize {
        if let Some(&slot) = self.by_id.get(&key.id()) {
            return slot;
        }
        let slot = match self.capacity {
            Some(capacity) if self.keys.len() >= capacity => self.evict(capacity),
            _ => self.keys.len(),
        };
        let number = self.project_numbers.get(&project).copied().unwrap_or_else(|| {
            let fresh = Project::new(project, self.settings.remove(&project));
            // A guest's project has the number of its key's slot, so that both make room together.
            let number = if self.capacity.is_some() { slot } else { self.projects.len() };
            match self.projects.get_mut(number) {
                Some(old) => *old = fresh,
                None => self.projects.push(fresh),
            }
            u32::try_from(number).unwrap_or(u32::MAX)
        });
        self.project_numbers.insert(project, number);
        let entry = Key::new(key.clone(), number);
        match self.keys.get_mut(slot) {
            Some(old) => *old = entry,
            None => self.keys.push(entry),
        }
        self.projects[number as usize].usable.push(slot);
        if let Err(at) = self.usable.binary_search(&slot) {
            self.usable.insert(at, slot);
        }
        if self.strategy == Strategy::LeastUsed && self.capacity.is_none() {
            self.ranking.insert((0, 0, slot));
        }
        self.by_id.insert(key.id(), slot);
        slot
    }

    /// Makes room for another guest: first in, first out. The slot that is free then.
    fn evict(&mut self, capacity: usize) -> usize {
        // `cursor` is not used for anything else in a guests' memory.
        let slot = self.cursor % capacity;
        self.cursor += 1;
        self.unschedule(slot);
        let number = self.keys[slot].project;
        self.by_id.remove(&self.keys[slot].key.id());
        self.project_numbers.remove(&self.projects[number as usize].id);
        for table in self.tables.values_mut() {
            table.remove(number);
        }
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

    /// How large its tables are, and may be: what grows with what clients ask for and Google answers.
    pub(crate) fn sizes(&self) -> [(&'static str, usize, usize); 6] {
        let cells = self.tables.values().map(Table::len).max().unwrap_or(0);
        [
            ("models", self.tables.len(), MAX_MODELS),
            ("projects of a model", cells, MAX_CELLS),
            ("families", self.families.len(), MAX_MODELS),
            ("incidents", self.overloads.len(), MAX_MODELS),
            ("changes", self.changes.len(), MAX_CHANGES),
            ("pairs of keys", self.together.len(), together::PAIRS),
        ]
    }

    /// How many keys are neither set aside nor paused.
    pub fn usable(&self) -> usize {
        self.usable.len()
    }

    /// The project of a key, and the proxy that the user has named for it. None for a key that is not of this pool.
    pub fn way(&self, key: KeyId) -> Option<(ProjectId, Option<ProxyAddress>)> {
        let project = &self.projects[self.keys[*self.by_id.get(&key)?].project as usize];
        let proxy = project.settings.as_ref().and_then(|settings| settings.proxy.clone());
        Some((project.id, proxy))
    }

    /// How many projects the keys belong to, as far as is known: each key counts as one until it is known better.
    pub fn projects(&self) -> usize {
        self.projects.iter().filter(|project| !project.gone).count()
    }

    /// The project of a key.
    pub fn project_of(&self, key: KeyId) -> Option<ProjectId> {
        let slot = *self.by_id.get(&key)?;
        Some(self.projects[self.keys[slot].project as usize].id)
    }

    /// Why a key is set aside, if it is.
    pub fn set_aside(&self, key: KeyId) -> Option<Why> {
        let slot = *self.by_id.get(&key)?;
        self.keys[slot].set_aside.as_ref().map(|aside| aside.why)
    }

    /// Changes what `least-used` orders by.
    fn rerank(&mut self, slot: usize, change: impl FnOnce(&mut Key)) {
        let key = &mut self.keys[slot];
        let before = least_used::load(key, slot);
        change(key);
        let after = least_used::load(key, slot);
        if self.ranking.remove(&before) {
            self.ranking.insert(after);
            let orders = self.tables.values_mut().filter_map(|table| table.awake.as_mut());
            orders.for_each(|awake| awake.rerank(before, after));
        }
    }

    /// Takes a key that is set aside out of the order of `least-used`.
    fn unrank(&mut self, slot: usize) {
        let load = least_used::load(&self.keys[slot], slot);
        self.ranking.remove(&load);
        let orders = self.tables.values_mut().filter_map(|table| table.awake.as_mut());
        orders.for_each(|awake| awake.set_aside(load));
    }

    /// Takes a key that is back into the order of `least-used`.
    fn rank(&mut self, slot: usize) {
        if self.strategy != Strategy::LeastUsed || self.capacity.is_some() {
            return;
        }
        let load = least_used::load(&self.keys[slot], slot);
        self.ranking.insert(load);
        let orders = self.tables.values_mut().filter_map(|table| table.awake.as_mut());
        orders.for_each(|awake| awake.restore(load));
    }

    fn standing_of(&self, project: u32) -> Standing<'_> {
        standing(&self.projects[project as usize])
    }

    /// The name under which a model's quotas are kept.
    fn family<'a>(&'a self, model: &'a str) -> &'a str {
        self.families.get(model).map_or(model, AsRef::as_ref)
    }

    /// Changes what is known of a project and a model, if there is room for it.
    fn change<T>(
        &mut self,
        model: &str,
        project: u32,
        now: Timestamp,
        change: impl FnOnce(&mut table::Cell) -> T,
    ) -> Option<T> {
        self.make_table(model, now)?;
        let family = self.families.get(model).map_or(model, AsRef::as_ref);
        let table = self.tables.get_mut(family)?;
        if table.len() >= MAX_CELLS && table.cell(project).is_none() {
            return None;
        }
        Some(table.change(project, standing(&self.projects[project as usize]), now, change))
    }

    /// Makes the table of a model where there is none, and room for one.
    fn make_table(&mut self, model: &str, now: Timestamp) -> Option<()> {
        let family = self.family(model).to_owned();
        if !self.tables.contains_key(family.as_str()) {
            if self.tables.len() >= MAX_MODELS {
                self.tables.retain(|_, table| table.matters(now));
            }
            if self.tables.len() >= MAX_MODELS {
                return None;
            }
            let table = Table::new(&family, self.skew, self.minutes.fixed());
            self.tables.insert(family.as_str().into(), table);
        }
        Some(())
    }

    /// A project has changed as a whole: it is placed anew for every model.
    fn replace(&mut self, project: u32, now: Timestamp) {
        let standing = standing(&self.projects[project as usize]);
        for table in self.tables.values_mut() {
            if table.cell(project).is_some() {
                table.change(project, standing, now, |_| ());
            }
        }
    }

    /// A key has brought a good answer: its strikes and the penalties on its project for this model are over.
    pub fn succeeded(&mut self, key: KeyId, model: Option<&str>, now: Timestamp) {
        self.egress.succeeded();
        self.verdicts = Verdicts::default();
        let Some(&slot) = self.by_id.get(&key) else { return };
        self.keys[slot].strikes = 0;
        self.keys[slot].proven = true;
        self.keys[slot].probes = 0;
        if self.capacity.is_some() && self.keys[slot].set_aside.is_some() {
            // A client's own key, tried again for want of another.
            self.restore(key, now);
        }
        let Some(model) = model else { return };
        if let Some(overload) = self.overloads.get_mut(model) {
            overload.succeeded();
        }
        let project = self.keys[slot].project;
        let known = self.tables.get(self.family(model)).is_some_and(|table| table.cell(project).is_some());
        if known {
            self.change(model, project, now, table::Cell::forgive);
        } else if self.strategy == Strategy::Headroom && self.capacity.is_none() {
            // The first proof that the model exists: from now on its requests are counted.
            self.change(model, project, now, table::Cell::forgive);
        }
    }

    /// Learns from the failure of a leased request. Returns why the key (or its project) is now set aside, if it is.
    pub fn lease_failed(
        &mut self,
        lease: LeaseId,
        model: Option<&str>,
        failure: &Failure,
        now: Timestamp,
    ) -> Option<Why> {
        let key = self.leases.get(&lease)?.key;
        if !is_counted(failure.class) {
            self.unused(lease, now);
        }
        let why = self.failed(key, model, failure, now);
        if failure.class == Class::QuotaMinute {
            self.minutes.trial_failed(lease, now);
            self.guesses.trial_failed(lease, now);
        }
        self.look_for_kin(key, lease, model, failure, now);
        why
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
        self.note_incident(project, model, failure, now);
        self.learn(project, model, failure, now);
        self.hear_consumer(slot, failure, now);
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
                let of_project = self.projects[project as usize].usable.clone();
                of_project.into_iter().filter_map(|slot| self.put_aside(slot, why, now)).last()
            }
            Consequence::RestProject(until) => {
                self.rest(project, None, until, now);
                None
            }
            Consequence::RestModel(until) => {
                let families = failure.families.iter().map(String::as_str);
                for model in families.chain(model) {
                    self.rest(project, Some(model), until, now);
                    if failure.class == Class::QuotaMinute {
                        self.heard(project, model, until, now);
                    }
                }
                None
            }
            Consequence::Penalty => {
                if let Some(model) = model {
                    let chance = self.chance.f64();
                    self.change(model, project, now, |cell| cell.penalise(now, chance));
                }
                None
            }
        }
    }

    fn rest(&mut self, project: u32, model: Option<&str>, until: Timestamp, now: Timestamp) {
        let project = self.projects[project as usize].id;
        let change = StateChange::Rest { project, model: model.map(Into::into), until };
        self.apply(&change, now);
        self.changed(change);
    }

    /// Takes a key back into use, as a probe has shown or a person says.
    pub fn restore(&mut self, key: KeyId, now: Timestamp) {
        let change = StateChange::Restored { key, at: now };
        self.apply(&change, now);
        self.changed(change);
    }
}

impl Key {
    /// A key of which nothing is known.
    fn new(key: ApiKey, project: u32) -> Self {
        Self {
            key,
            named: None,
            project,
            paused: false,
            used: 0,
            in_flight: 0,
            strikes: 0,
            proven: false,
            set_aside: None,
            probes: 0,
            restored: Timestamp::EPOCH,
            last_lease: 0,
            kinship: Kinship::default(),
        }
    }

    /// Whether it may be used at all.
    fn is_usable(&self) -> bool {
        self.set_aside.is_none() && !self.paused
    }

    /// Whether a request tries it already and nothing is known of it: another one has a better choice.
    fn is_crowded(&self) -> bool {
        !self.proven && self.in_flight > 0
    }
}

impl Project {
    /// A project of which nothing is known but what its owner says.
    fn new(id: ProjectId, settings: Option<ProjectSettings>) -> Self {
        Self {
            id,
            name: None,
            priority: settings.as_ref().map_or(PRIORITY, ProjectSettings::rank),
            settings,
            today: Today::default(),
            usable: Vec::new(),
            turn: 0,
            rest_until: Timestamp::EPOCH,
            known: false,
            gone: false,
        }
    }

    fn is_paid(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.tier == Tier::Paid)
    }
}

/// Whether Google counts a request that ended like this against a quota: what it has worked on, and what may have
/// got that far.
fn is_counted(class: Class) -> bool {
    matches!(class, Class::Request | Class::Empty | Class::Malformed | Class::Timeout | Class::Signature)
}

fn standing(project: &Project) -> Standing<'_> {
    let blocked_until = if project.usable.is_empty() { Timestamp::NEVER } else { project.rest_until };
    Standing { settings: project.settings.as_ref(), priority: project.priority, blocked_until }
}

#[cfg(test)]
mod tests;
