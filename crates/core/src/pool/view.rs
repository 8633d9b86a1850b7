//! What is in the pool now, and whom it would choose: for people and programs that look at it.
//!
//! Looking changes nothing: no lease, no count, no turn. What is shown can be told to anybody who may see the
//! pool: keys go by their [`KeyId`].

mod skewed;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::choose::Standing as KeyStanding;
use super::incident::Gate;
use super::table::{Cell, Rank};
use super::{Pool, Project, ProjectId, Want};
use crate::config::Strategy;
use crate::failure::Why;
use crate::secret::KeyId;
use crate::time::Timestamp;

/// The state of the pool at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolView {
    /// When it was looked at.
    pub at: Moment,
    /// By how much the local clock is behind Google's, where it is clearly wrong; negative where it is ahead. All
    /// times are Google's.
    #[serde(default)]
    pub clock_behind_seconds: i64,
    /// How the next key is chosen.
    pub strategy: Strategy,
    /// How many keys there are.
    pub keys: KeyCounts,
    /// How many projects they belong to.
    pub projects: ProjectCounts,
    /// What is paused because many projects failed alike.
    pub incidents: Vec<IncidentView>,
    /// The projects, by priority.
    pub each_project: Vec<ProjectView>,
}

/// How many keys there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCounts {
    /// All of them.
    pub all: usize,
    /// Those in use.
    pub usable: usize,
    /// Those that are not used until a probe or a person brings them back.
    pub set_aside: usize,
    /// Those that their owner has paused.
    #[serde(default)]
    pub paused: usize,
}

/// How many projects the keys belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectCounts {
    /// The projects, where each key of which nothing is known counts as one.
    pub count: usize,
    /// Whether the project of every key is known. If not, the count is an upper bound.
    pub verified: bool,
    /// The projects of which neither the configuration, nor an administrator, nor Google has said anything.
    pub unknown: usize,
    /// The same in words: `12 keys = 5 projects`.
    pub summary: String,
}

/// A pause of one level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentView {
    /// The model that is overloaded; none where the way to Google is disturbed.
    pub model: Option<String>,
    /// When the next request tries.
    pub until: Moment,
}

/// A project and its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectView {
    /// The configured name, or one made from its number: `project-d9d96d82c5`.
    pub name: String,
    /// Smaller ones come first.
    pub priority: u8,
    /// Until when the whole project rests, if it does.
    pub rests_until: Option<Moment>,
    /// Its keys, in the pool's order.
    pub keys: Vec<KeyView>,
    /// What is known of it by model, or by quota family where Google has named one.
    pub models: Vec<ModelView>,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// What stands for it.
    pub key: KeyId,
    /// Requests under way.
    pub in_flight: u32,
    /// Whether its owner has paused it.
    #[serde(default)]
    pub paused: bool,
    /// Why it is not used, if it is set aside.
    pub set_aside: Option<SetAsideView>,
}

/// Why a key is not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAsideView {
    /// The reason.
    pub why: Why,
    /// When that was seen.
    pub since: Moment,
    /// When it is tried again; none where only a person can bring it back.
    pub next_probe: Option<Moment>,
}

/// A project's standing with one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelView {
    /// The model, or the quota family that it shares.
    pub model: String,
    /// In the running minute.
    pub requests_per_minute: Used,
    /// In the running minute; input tokens.
    pub tokens_per_minute: Used,
    /// Since midnight, Pacific time.
    pub requests_per_day: Used,
    /// Since midnight, Pacific time.
    pub tokens_per_day: Used,
    /// How used the tightest limit is; where none is known, one of the free tier is assumed.
    pub load_percent: u32,
    /// Until when it rests, if it does.
    pub rests_until: Option<Moment>,
    /// Until when it comes last, because it failed by no fault of its own, if it does.
    pub penalised_until: Option<Moment>,
}

/// A count, and the limit that it is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// What was counted here.
    pub used: u64,
    /// The limit that Google named or the configuration gives; none: not known.
    pub limit: Option<u64>,
}

/// A time, as a moment and as seconds from when it was looked at: negative for the past.
///
/// Later than any calendar: both are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// RFC 3339, UTC.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub at: Timestamp,
    /// Rounded up.
    pub in_seconds: Option<i64>,
}

/// Whom the pool would choose for a request, and why not the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// When it was asked.
    pub at: Moment,
    /// The model asked for.
    pub model: String,
    /// The name under which its quotas are kept.
    pub family: String,
    /// The input tokens asked for.
    pub tokens: u64,
    /// How the next key is chosen.
    pub strategy: Strategy,
    /// Who would serve now.
    pub picked: Option<Picked>,
    /// Where nobody would: the earliest moment at which somebody can. None: not before a person or a probe helps.
    pub recovers: Option<Moment>,
    /// Every project, by priority.
    pub projects: Vec<Candidate>,
}

/// A key and its project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picked {
    /// The project's name.
    pub project: String,
    /// The key whose turn it is.
    pub key: KeyId,
}

/// A project that could serve, or could not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The project's name.
    pub project: String,
    /// Smaller ones come first.
    pub priority: u8,
    /// Its keys.
    pub keys: usize,
    /// Those that are not set aside.
    pub usable_keys: usize,
    /// How used the tightest limit of the model is.
    pub load_percent: u32,
    /// Whether it could serve now, or why not.
    pub verdict: Verdict,
    /// Until when the verdict holds, if that is known.
    pub until: Option<Moment>,
}

/// Whether a project could serve a request now, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It could.
    Ready,
    /// It could, but comes last: it failed lately by no fault of its own.
    Penalised,
    /// All its keys are set aside.
    NoUsableKey,
    /// All its keys that are not set aside are paused.
    Paused,
    /// The whole project rests.
    ProjectRests,
    /// It rests with this model.
    ModelRests,
    /// It is not given the model at all: a limit is zero.
    NoQuota,
    /// The limits of the running minute have no room for the request.
    MinuteFull,
    /// The limits of the running day have no room for the request.
    DayFull,
    /// Many projects failed alike, and the others wait for the one that tries.
    Incident,
}

impl Verdict {
    /// Whether the project could serve.
    pub const fn serves(self) -> bool {
        matches!(self, Self::Ready | Self::Penalised)
    }
}

impl Moment {
    /// A time seen from `now`.
    pub fn new(at: Timestamp, now: Timestamp) -> Self {
        let ahead = i64::try_from(at.since(now).as_millis().div_ceil(1000));
        let behind = i64::try_from(now.since(at).as_secs());
        let in_seconds = match (ahead, behind) {
            (Ok(ahead), Ok(behind)) if jiff_time(at).is_some() => Some(ahead - behind),
            _ => None,
        };
        Self { at, in_seconds }
    }

    /// The time, if it is still to come.
    fn ahead(at: Timestamp, now: Timestamp) -> Option<Self> {
        (at > now).then(|| Self::new(at, now))
    }
}

impl Pool {
    /// The state of the pool.
    pub fn view(&mut self, now: Timestamp) -> PoolView {
        let mut views: Vec<ProjectView> = self
            .projects
            .iter()
            .map(|project| ProjectView {
                name: project.shown_name(),
                priority: project.priority,
                rests_until: Moment::ahead(project.rest_until, now),
                keys: Vec::new(),
                models: Vec::new(),
            })
            .collect();
        for key in &self.keys {
            let set_aside = key.set_aside.as_ref().map(|aside| SetAsideView {
                why: aside.why,
                since: Moment::new(aside.since, now),
                next_probe: (aside.probe_at != Timestamp::NEVER && !key.paused)
                    .then(|| Moment::new(aside.probe_at, now)),
            });
            let (id, in_flight, paused) = (key.key.id(), key.in_flight, key.paused);
            let view = KeyView { key: id, in_flight, paused, set_aside };
            views[key.project as usize].keys.push(view);
        }
        let mut tables: Vec<_> = self.tables.iter_mut().collect();
        tables.sort_by_key(|(name, _)| *name);
        for (model, table) in tables {
            for (project, cell) in table.cells_mut() {
                views[project as usize].models.push(cell.view(model, now));
            }
        }
        let paused = self.keys.iter().filter(|key| key.paused).count();
        let keys = KeyCounts {
            all: self.keys.len(),
            usable: self.usable.len(),
            set_aside: self.keys.len() - self.usable.len() - paused,
            paused,
        };
        let in_order = self.order.iter().map(|&number| number as usize);
        let mut views: Vec<Option<ProjectView>> = views.into_iter().map(Some).collect();
        PoolView {
            at: Moment::new(now, now),
            clock_behind_seconds: 0,
            strategy: self.strategy,
            keys,
            projects: self.project_counts(),
            incidents: self.incidents(now),
            each_project: in_order.filter_map(|number| views[number].take()).collect(),
        }
    }

    pub(crate) fn project_counts(&self) -> ProjectCounts {
        let is_unknown = |number: &&u32| !self.projects[**number as usize].known;
        let (count, unknown) = (self.order.len(), self.order.iter().filter(is_unknown).count());
        let plural = |number: usize| if number == 1 { "" } else { "s" };
        let keys = self.keys.len();
        let bound = if unknown > 0 { "at most " } else { "" };
        let doubt = if unknown > 0 { " (unverified)" } else { "" };
        let summary = format!("{keys} key{} = {bound}{count} project{}{doubt}", plural(keys), plural(count));
        ProjectCounts { count, verified: unknown == 0, unknown, summary }
    }

    fn incidents(&self, now: Timestamp) -> Vec<IncidentView> {
        let view = |model: Option<&str>, until| IncidentView {
            model: model.map(str::to_owned),
            until: Moment::new(until, now),
        };
        let egress = self.egress.paused_until().map(|until| view(None, until));
        let mut overloads: Vec<_> = self.overloads.iter().collect();
        overloads.sort_by_key(|(name, _)| *name);
        let overloads = overloads
            .into_iter()
            .filter_map(|(model, overload)| Some(view(Some(model), overload.paused_until()?)));
        egress.into_iter().chain(overloads).collect()
    }

    /// Whom the pool would choose for a request with so many input tokens, and what of every project.
    pub fn explain(&mut self, model: &str, tokens: u64, now: Timestamp) -> Explanation {
        let tokens = tokens.max(1);
        let family = self.family(model).to_owned();
        let gates = [
            self.egress.gate(now),
            self.overloads.get(model).map_or(Gate::Open, |overload| overload.gate(now)),
        ];
        let closed = gates.into_iter().filter_map(|gate| match gate {
            Gate::Closed(until) => Some(until),
            Gate::Open | Gate::Trial => None,
        });
        let closed = closed.max();
        let mut keys = vec![0; self.projects.len()];
        let mut paused = vec![false; self.projects.len()];
        for key in &self.keys {
            keys[key.project as usize] += 1;
            paused[key.project as usize] |= key.paused && key.set_aside.is_none();
        }
        // The classic strategies count nothing and know rests only.
        let counts = self.strategy == Strategy::Headroom;
        let mut projects = Vec::with_capacity(self.order.len());
        let mut best: Option<((bool, Rank, u32), usize)> = None;
        let mut table = self.tables.remove_entry(family.as_str());
        let is_known = table.is_some();
        for &number in &self.order {
            let project = &self.projects[number as usize];
            let cell = table.as_mut().and_then(|(_, table)| table.cell_mut(number));
            let mut look = Look::at(project, cell, counts.then_some(tokens), closed, now);
            if look.verdict == Verdict::NoUsableKey && paused[number as usize] {
                look.verdict = Verdict::Paused;
            }
            if look.verdict.serves()
                && let Some((_, slot)) = self.key_in_turn(number, &[])
            {
                let this = ((self.keys[slot].is_crowded(), look.rank, number), slot);
                best = Some(best.map_or(this, |best| best.min(this)));
            }
            projects.push(Candidate {
                project: project.shown_name(),
                priority: project.priority,
                keys: keys[number as usize],
                usable_keys: project.usable.len(),
                load_percent: look.load_percent,
                verdict: look.verdict,
                until: look.until.map(|until| Moment::new(until, now)),
            });
        }
        self.tables.extend(table);
        let slot = match closed {
            Some(_) => None,
            None if counts && is_known => best.map(|(_, slot)| slot),
            None if counts => self.key_of_project_in_turn(now),
            None => self.next_by_key(model, now),
        };
        let picked = slot.map(|slot| {
            let key = &self.keys[slot];
            Picked { project: self.projects[key.project as usize].shown_name(), key: key.key.id() }
        });
        let recovers = match picked {
            Some(_) => None,
            None => self.recovery(&Want { model: Some(model), tokens, ..Want::default() }, now),
        };
        Explanation {
            at: Moment::new(now, now),
            model: model.to_owned(),
            family,
            tokens,
            strategy: self.strategy,
            picked,
            recovers: recovers.map(|at| Moment::new(at.max(closed.unwrap_or(at)), now)),
            projects,
        }
    }

    /// The name of a key's project.
    pub fn project_name(&self, key: KeyId) -> Option<String> {
        let slot = *self.by_id.get(&key)?;
        Some(self.projects[self.keys[slot].project as usize].shown_name())
    }

    /// The key of the project whose turn it is while nothing is known of the model.
    fn key_of_project_in_turn(&self, now: Timestamp) -> Option<usize> {
        let in_turn = self.turns.iter().flat_map(|turn| {
            let (before, from) = (turn.begin..turn.next, turn.next..turn.end);
            from.chain(before).map(|place| self.order[place])
        });
        let slots = in_turn
            .filter(|&project| self.standing_of(project).blocked_until <= now)
            .filter_map(|project| self.key_in_turn(project, &[]))
            .map(|(_, slot)| slot);
        let mut crowded = None;
        for slot in slots {
            if !self.keys[slot].is_crowded() {
                return Some(slot);
            }
            crowded = crowded.or(Some(slot));
        }
        crowded
    }

    /// The key that a classic strategy would choose.
    fn next_by_key(&self, model: &str, now: Timestamp) -> Option<usize> {
        if self.usable.is_empty() {
            return None;
        }
        // Drawn from a copy: the pool's own next number stays its next.
        let chance = self.chance.clone().usize(..self.usable.len());
        let start = self.start(&self.usable, false, chance, now) % self.usable.len();
        let table = self.tables.get(self.family(model));
        let by_rank = self.ranking.iter().map(|&(_, _, slot)| slot);
        let in_turn = self.usable[start..].iter().chain(&self.usable[..start]).copied();
        let in_order: Vec<usize> =
            if self.strategy == Strategy::LeastUsed { by_rank.collect() } else { in_turn.collect() };
        let mut penalised = None;
        for slot in in_order {
            match self.key_standing(&self.keys[slot], &Want::default(), table, now) {
                KeyStanding::Ready => return Some(slot),
                KeyStanding::Penalised => penalised = penalised.or(Some(slot)),
                KeyStanding::RestsUntil(_) | KeyStanding::Tried | KeyStanding::SetAside => {}
            }
        }
        penalised
    }
}

impl Project {
    /// The configured name, or one made from the number.
    pub(super) fn shown_name(&self) -> String {
        match &self.name {
            Some(name) => name.to_string(),
            None => self.id.made_up_name(),
        }
    }
}

impl ProjectId {
    /// A short name; that of a single key's project begins like the key's.
    fn made_up_name(self) -> String {
        format!("project-{:010x}", self.0 >> 24)
    }
}

impl Cell {
    fn view(&mut self, model: &str, now: Timestamp) -> ModelView {
        let (requests, tokens, day, _) = self.meter.counts(now);
        let limits = self.meter.limits;
        ModelView {
            model: model.to_owned(),
            requests_per_minute: Used { used: requests, limit: limits.requests_per_minute },
            tokens_per_minute: Used { used: tokens, limit: limits.tokens_per_minute },
            requests_per_day: Used { used: day, limit: limits.requests_per_day },
            tokens_per_day: Used { used: self.meter.tokens_today(), limit: limits.tokens_per_day },
            load_percent: self.meter.load() / 10,
            rests_until: Moment::ahead(self.rest_until(), now),
            penalised_until: self.penalty_until(now).map(|until| Moment::new(until, now)),
        }
    }
}

/// How a project looks to one request.
struct Look {
    verdict: Verdict,
    until: Option<Timestamp>,
    load_percent: u32,
    rank: Rank,
}

impl Look {
    /// `tokens` is none where nothing is counted. Of several reasons the one that lasts longest is told.
    fn at(
        project: &Project,
        mut cell: Option<&mut Cell>,
        tokens: Option<u64>,
        closed: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let mut reasons = vec![(project.rest_until, Verdict::ProjectRests)];
        if let Some(cell) = &mut cell {
            reasons.push((cell.rest_until(), Verdict::ModelRests));
            if let Some(tokens) = tokens {
                let full = cell.meter.room(tokens, now);
                let why = match full {
                    Timestamp::NEVER => Verdict::NoQuota,
                    _ if cell.meter.is_day_full(tokens) => Verdict::DayFull,
                    _ => Verdict::MinuteFull,
                };
                reasons.push((full, why));
            }
        }
        let longest = reasons.into_iter().filter(|(until, _)| *until > now).max_by_key(|(until, _)| *until);
        let penalty = cell.as_ref().and_then(|cell| cell.penalty_until(now));
        let (verdict, until) = match (longest, closed, penalty) {
            _ if project.usable.is_empty() => (Verdict::NoUsableKey, None),
            (Some((until, verdict)), ..) => (verdict, Some(until)),
            (None, Some(until), _) => (Verdict::Incident, Some(until)),
            (None, None, Some(until)) => (Verdict::Penalised, Some(until)),
            (None, None, None) => (Verdict::Ready, None),
        };
        let priority = project.priority;
        let rank = cell.as_ref().map_or_else(|| Rank::fresh(priority), |cell| cell.rank(priority, now));
        let load_percent = cell.map_or(0, |cell| cell.meter.load() / 10);
        Self { verdict, until, load_percent, rank }
    }
}

/// Within jiff's calendar, which ends with the year 9999.
fn jiff_time(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).ok()?).ok()
}

fn write_time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    match jiff_time(*at) {
        Some(time) => serializer.collect_str(&time),
        None => serializer.serialize_none(),
    }
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(Timestamp::NEVER) };
    let time: jiff::Timestamp = text.parse().map_err(de::Error::custom)?;
    u64::try_from(time.as_millisecond()).map(Timestamp::from_millis).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests;
