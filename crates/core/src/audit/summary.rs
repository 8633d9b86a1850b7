//! What the reports of all keys come to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Group, KeyReport, State};
use crate::failure::LimitKind;
use crate::project_probe::Relations;
use crate::time::Timestamp;

/// A pool in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// How many different keys there are.
    pub keys: usize,
    /// How many of them answer with every model.
    pub healthy: usize,
    /// How many are dead, by why.
    pub dead: BTreeMap<State, usize>,
    /// The keys that are limited with at least one model.
    pub limited: Standing,
    /// How many projects the keys that live belong to.
    pub projects: Projects,
    /// One for each model, in the order of the models.
    pub models: Vec<ModelSummary>,
}

/// How many projects there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projects {
    /// How many keys were counted: those that are not dead.
    pub keys: usize,
    /// So many at most: a key whose project is not known counts as one of its own.
    pub count: usize,
    /// How many keys have a project that is not known. With none, `count` is exact.
    pub unknown: usize,
}

/// What one model gives.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSummary {
    /// Its name.
    pub model: String,
    /// How many keys were asked, or known to be dead without.
    pub asked: usize,
    /// How the keys stand; every key is counted once.
    pub states: BTreeMap<State, Standing>,
    /// The limits that Google named, each once.
    pub limits: Vec<NamedLimit>,
}

/// Keys that are in the same state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// How many.
    pub keys: usize,
    /// When the first of them is out of it, where known.
    pub first: Option<Timestamp>,
    /// When the last of them is out of it, where known.
    pub last: Option<Timestamp>,
}

/// A limit that Google named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedLimit {
    /// The quota family, where Google named one. Several models can share it.
    pub family: Option<String>,
    /// What is counted, over which window.
    pub kind: LimitKind,
    /// How many.
    pub value: u64,
    /// To how many keys it was named.
    pub keys: usize,
}

/// Counts what was found.
pub fn summarize(reports: &[KeyReport], models: &[String]) -> Summary {
    let mut summary = Summary {
        keys: reports.len(),
        healthy: 0,
        dead: BTreeMap::new(),
        limited: Standing::default(),
        projects: projects(reports),
        models: models.iter().enumerate().map(|(index, model)| of_model(reports, index, model)).collect(),
    };
    for report in reports {
        if report.findings.iter().all(|finding| finding.state == State::Answers) {
            summary.healthy += 1;
        }
        if let Some(state) = report.death() {
            *summary.dead.entry(state).or_default() += 1;
        }
        let limited = report.findings.iter().filter(|finding| finding.state.group() == Group::Limited);
        // A key is whole again when the last of its models is.
        let ends: Vec<Option<Timestamp>> = limited.map(|finding| finding.until).collect();
        if !ends.is_empty() {
            summary.limited.add(ends.into_iter().flatten().max());
        }
    }
    summary
}

/// The project that each key belongs to, as a number from 1 in the order of the keys; none where it is not
/// known. Google's word wins over the settings': of a project that they name, Google's number for one of its
/// keys counts for those for which Google named none.
pub fn project_of_each(reports: &[KeyReport]) -> Vec<Option<usize>> {
    #[derive(PartialEq, Eq, Hash)]
    enum Name<'a> {
        Consumer(&'a str),
        Configured(&'a str),
    }
    let mut consumers: HashMap<&str, &str> = HashMap::new();
    for report in reports {
        if let (Some(project), Some(consumer)) = (&report.project, &report.consumer) {
            consumers.entry(project).or_insert(consumer);
        }
    }
    let mut numbers = HashMap::new();
    reports
        .iter()
        .map(|report| {
            let name = match (&report.consumer, &report.project) {
                (Some(consumer), _) => Name::Consumer(consumer),
                (None, Some(project)) => match consumers.get(project.as_str()) {
                    Some(consumer) => Name::Consumer(consumer),
                    None => Name::Configured(project),
                },
                (None, None) => return None,
            };
            let next = numbers.len() + 1;
            Some(*numbers.entry(name).or_insert(next))
        })
        .collect()
}

/// Notes in the reports which keys share a project, as a probe has found out. `entries` are the places of the keys that
/// each of the probe's entries stands for.
pub fn take_in(reports: &mut [KeyReport], entries: &[Vec<usize>], relations: &Relations) {
    for (number, project) in relations.projects.iter().enumerate() {
        let places: Vec<usize> = project.iter().flat_map(|&entry| entries[entry].iter().copied()).collect();
        let told = places.iter().find_map(|&place| reports[place].consumer.clone());
        // Google's numbers are digits.
        let name = told.unwrap_or_else(|| format!("probed {number}"));
        for place in places {
            reports[place].consumer = Some(name.clone());
        }
    }
}

fn projects(reports: &[KeyReport]) -> Projects {
    let mut projects = Projects { keys: 0, count: 0, unknown: 0 };
    let mut known = BTreeSet::new();
    for (report, project) in reports.iter().zip(project_of_each(reports)) {
        if report.death().is_some() {
            continue;
        }
        projects.keys += 1;
        match project {
            Some(project) => {
                known.insert(project);
            }
            None => projects.unknown += 1,
        }
    }
    projects.count = known.len() + projects.unknown;
    projects
}

fn of_model(reports: &[KeyReport], index: usize, model: &str) -> ModelSummary {
    let mut summary =
        ModelSummary { model: model.to_owned(), asked: 0, states: BTreeMap::new(), limits: Vec::new() };
    for finding in reports.iter().filter_map(|report| report.findings.get(index)) {
        summary.asked += usize::from(finding.state != State::Unchecked);
        summary.states.entry(finding.state).or_default().add(finding.until);
        for limit in &finding.limits {
            let same = |known: &NamedLimit| {
                known.kind == limit.kind && known.value == limit.value && known.family == limit.family
            };
            match summary.limits.iter().position(same) {
                Some(at) => summary.limits[at].keys += 1,
                None if summary.limits.len() == MAX_LIMITS => {}
                None => summary.limits.push(NamedLimit {
                    family: limit.family.clone(),
                    kind: limit.kind,
                    value: limit.value,
                    keys: 1,
                }),
            }
        }
    }
    summary
}

/// The most different limits that are listed for a model. There are four kinds and a handful of tiers.
const MAX_LIMITS: usize = 64;

impl Summary {
    /// Whether every key answers with every model.
    pub fn is_healthy(&self) -> bool {
        self.healthy == self.keys
    }
}

impl Projects {
    /// Whether the project of every key is known.
    pub fn is_exact(&self) -> bool {
        self.unknown == 0
    }
}

impl ModelSummary {
    /// How many keys answer now.
    pub fn answering(&self) -> usize {
        self.states.get(&State::Answers).map_or(0, |standing| standing.keys)
    }

    /// What plain rotation, which gives every key its turn, would waste now: the share of its calls that fail,
    /// in all and by why, between 0 and 1. Zero where nothing was asked.
    pub fn waste(&self) -> (f64, Vec<(State, f64)>) {
        let share = |keys: usize| if self.asked == 0 { 0.0 } else { keys as f64 / self.asked as f64 };
        let fails = |state: State| !matches!(state, State::Answers | State::Unchecked);
        let failing = self.states.iter().filter(|(state, _)| fails(**state));
        let by_state = failing.map(|(state, standing)| (*state, share(standing.keys))).collect();
        (share(self.asked - self.answering()), by_state)
    }
}

impl Standing {
    fn add(&mut self, until: Option<Timestamp>) {
        self.keys += 1;
        if let Some(until) = until {
            self.first = Some(self.first.map_or(until, |first| first.min(until)));
            self.last = Some(self.last.map_or(until, |last| last.max(until)));
        }
    }
}
