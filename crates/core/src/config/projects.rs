//! What the user says of Google projects: tier, rank, limits.
//!
//! Two places say it: `LIBRA_PROJECTS`, by the project's name, and the tables of `LIBRA_KEYS`, for the project of
//! the key. They are put together, and have to agree where both speak.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use wildmatch::WildMatch;

use super::keys::Entry;
use super::lists::{MAX_LIST_BYTES, Source, json_error};
use super::variables::quoted;
use super::{ConfigError, Notice, models, values};

/// The most projects: each has a key at least.
const MAX_PROJECTS: usize = super::MAX_KEYS;

/// The most limits of one project; a choice of a project may look at all.
const MAX_LIMITS: usize = 100;

/// The longest name of a project and the longest label of a key, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// More than Google gives anybody, and far from where sums of numbers overflow.
const MOST_COUNTED: u64 = 1_000_000_000_000;

/// The most that a day may cost, in whatever money the prices are in.
const MOST_COST: f64 = 1e9;

/// What the user says of a project. Only projects of which something is said have one.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectSettings {
    /// The name, as in [`PoolKey::project`](super::PoolKey::project).
    pub name: String,
    /// What Google's billing says of it.
    pub tier: Tier,
    /// Its place, if one was given: see [`rank`](Self::rank).
    pub priority: Option<u8>,
    /// How many requests it may serve in a day, whatever Google would allow.
    pub max_requests_per_day: Option<u64>,
    /// What it may cost in a day, by [`Config::prices`](super::Config::prices), which then are not empty.
    pub max_cost_per_day: Option<f64>,
    /// Known limits of models. The first whose pattern matches counts; models without one are learned.
    pub limits: Vec<ModelLimits>,
}

impl ProjectSettings {
    /// The place among the projects: those with the lowest number serve first, the others when these have no
    /// room. Without a priority of its own a project has 1, a paid one 2.
    pub fn rank(&self) -> u8 {
        self.priority.unwrap_or(match self.tier {
            Tier::Unknown | Tier::Free => 1,
            Tier::Paid => 2,
        })
    }

    /// A project of which nothing is said.
    pub fn new(name: &str) -> Self {
        Said::default().of(name.to_owned())
    }

    /// The same project where something else is said of it: the fields of a table as `LIBRA_PROJECTS` has them take the
    /// place of what is known.
    ///
    /// # Errors
    /// A field that there is not, or a value that cannot be, with the field before it.
    pub fn with(&self, fields: Value) -> Result<Self, String> {
        let Value::Object(mut table) = fields else { return Err(format!("needs a table of {SETTINGS}")) };
        let said = Said::take(&mut table)?;
        nothing_left(&table, SETTINGS)?;
        let other = self.clone();
        Ok(Self {
            name: other.name,
            tier: said.tier.unwrap_or(other.tier),
            priority: said.priority.or(other.priority),
            max_requests_per_day: said.max_requests_per_day.or(other.max_requests_per_day),
            max_cost_per_day: said.max_cost_per_day.or(other.max_cost_per_day),
            limits: said.limits.unwrap_or(other.limits),
        })
    }

    /// What is said of it, as `LIBRA_PROJECTS` has it; its tier and place always.
    pub fn written(&self) -> Value {
        let limits = self.limits.iter().map(|limits| {
            let counts = [
                ("rpm", limits.requests_per_minute),
                ("tpm", limits.tokens_per_minute),
                ("rpd", limits.requests_per_day),
            ];
            let counts =
                counts.into_iter().filter_map(|(name, count)| Some((name.to_owned(), count?.into())));
            let model = [("model".to_owned(), Value::from(limits.models.pattern()))];
            Value::Object(model.into_iter().chain(counts).collect())
        });
        let most = [
            ("requests", self.max_requests_per_day.map(Value::from)),
            ("cost", self.max_cost_per_day.map(Value::from)),
        ];
        let most = most.into_iter().filter_map(|(name, most)| Some((name.to_owned(), most?)));
        let tier = match self.tier {
            Tier::Unknown => "unknown",
            Tier::Free => "free",
            Tier::Paid => "paid",
        };
        serde_json::json!({
            "tier": tier,
            "priority": self.rank(),
            "limits": limits.collect::<Vec<_>>(),
            "max_per_day": most.collect::<Map<String, Value>>(),
        })
    }

    /// The limits of a Gemini model, as far as they are set.
    pub fn limits_of(&self, model: &str) -> Option<&ModelLimits> {
        self.limits.iter().find(|limits| limits.models.matches(model))
    }
}

/// Whether a project pays. Google may use what passes through free ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tier {
    /// Nobody said so.
    #[default]
    Unknown,
    /// Without billing.
    Free,
    /// With billing.
    Paid,
}

/// Limits of some models in one project, as Google's console shows them. None: not known. Zero: the project does
/// not have these models.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelLimits {
    /// The models meant, by Gemini's names.
    pub models: WildMatch,
    /// Requests a minute (RPM).
    pub requests_per_minute: Option<u64>,
    /// Input tokens a minute (TPM).
    pub tokens_per_minute: Option<u64>,
    /// Requests a day (RPD).
    pub requests_per_day: Option<u64>,
}

/// What one place says of a project.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Said {
    tier: Option<Tier>,
    priority: Option<u8>,
    max_requests_per_day: Option<u64>,
    max_cost_per_day: Option<f64>,
    limits: Option<Vec<ModelLimits>>,
}

/// The names of [`Said`]'s settings, for messages.
pub(super) const SETTINGS: &str = "tier, priority, max_per_day and limits";

impl Said {
    /// Takes the settings of a project out of a table, and leaves in it what else it holds.
    pub(super) fn take(table: &mut Map<String, Value>) -> Result<Self, String> {
        let (requests, cost) = taken(table, "max_per_day", max_per_day)?.unwrap_or_default();
        Ok(Self {
            tier: taken(table, "tier", tier)?,
            priority: taken(table, "priority", priority)?,
            max_requests_per_day: requests,
            max_cost_per_day: cost,
            limits: taken(table, "limits", limits)?,
        })
    }

    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what another place says. The error is the setting about which the two disagree.
    pub(super) fn merge(&mut self, other: Self) -> Result<(), &'static str> {
        agree(&mut self.tier, other.tier).map_err(|()| "tier")?;
        agree(&mut self.priority, other.priority).map_err(|()| "priority")?;
        agree(&mut self.max_requests_per_day, other.max_requests_per_day)
            .map_err(|()| "max_per_day.requests")?;
        agree(&mut self.max_cost_per_day, other.max_cost_per_day).map_err(|()| "max_per_day.cost")?;
        agree(&mut self.limits, other.limits).map_err(|()| "limits")
    }

    fn of(self, name: String) -> ProjectSettings {
        ProjectSettings {
            name,
            tier: self.tier.unwrap_or_default(),
            priority: self.priority,
            max_requests_per_day: self.max_requests_per_day,
            max_cost_per_day: self.max_cost_per_day,
            limits: self.limits.unwrap_or_default(),
        }
    }
}

/// Fills what is not known yet; an error where both are known and differ.
pub(super) fn agree<T: PartialEq>(known: &mut Option<T>, more: Option<T>) -> Result<(), ()> {
    match (&known, more) {
        (Some(known), Some(more)) if *known != more => Err(()),
        (Some(_), _) => Ok(()),
        (None, more) => {
            *known = more;
            Ok(())
        }
    }
}

/// Puts together what is said of projects in `LIBRA_PROJECTS` and beside the keys, which `variable` holds.
///
/// A key without a project of which something is said gets a project of its own, named after its label, or
/// after its identity where that name is not its alone. `has_prices` is whether a cost can be known at all.
pub(super) fn settle(
    source: &Source<'_>,
    entries: &mut [Entry],
    variable: &'static str,
    has_prices: bool,
    notices: &mut Vec<Notice>,
) -> Result<Vec<ProjectSettings>, ConfigError> {
    const VARIABLE: &str = "LIBRA_PROJECTS";
    let mut projects = Projects { has_prices, ..Projects::default() };
    for (name, said) in source.value_within(VARIABLE, MAX_LIST_BYTES, declared)?.unwrap_or_default() {
        projects.add(VARIABLE, &name, said)?;
    }
    name_projects(entries, &projects);
    let with_keys: BTreeSet<&str> = entries.iter().filter_map(|entry| entry.key.project.as_deref()).collect();
    let mut unused =
        projects.said.iter().map(|(name, _)| name).filter(|name| !with_keys.contains(name.as_str()));
    if let (false, Some(first)) = (entries.is_empty(), unused.next()) {
        notices.push(Notice::ProjectsWithoutKeys { first: first.clone(), count: 1 + unused.count() });
    }
    for Entry { key, said, .. } in entries {
        if let (Some(project), Some(said)) = (&key.project, said.take()) {
            projects.add(variable, project, *said)?;
        }
    }
    Ok(projects.said.into_iter().map(|(name, said)| said.of(name)).collect())
}

/// What is said of projects so far, in the order in which they came.
#[derive(Default)]
struct Projects {
    said: Vec<(String, Said)>,
    places: BTreeMap<String, usize>,
    has_prices: bool,
}

impl Projects {
    fn add(&mut self, variable: &str, name: &str, said: Said) -> Result<(), ConfigError> {
        let problem =
            |problem: &str| Err(ConfigError::new(variable, format!("project \"{name}\": {problem}")));
        if said.max_cost_per_day.is_some() && !self.has_prices {
            return problem("has a max_per_day.cost, which needs prices: set LIBRA_PRICES too");
        }
        match self.places.get(name) {
            Some(&place) => match self.said[place].1.merge(said) {
                Ok(()) => Ok(()),
                Err(setting) => problem(&format!("two different values of {setting} are given")),
            },
            None => {
                self.places.insert(name.to_owned(), self.said.len());
                self.said.push((name.to_owned(), said));
                Ok(())
            }
        }
    }
}

/// Gives keys of which something is said a project.
fn name_projects(entries: &mut [Entry], projects: &Projects) {
    let mut taken: BTreeMap<&str, usize> = projects.places.keys().map(|name| (name.as_str(), 1)).collect();
    for entry in entries.iter() {
        match (&entry.key.project, &entry.key.label, &entry.said) {
            (Some(project), _, _) => *taken.entry(project).or_default() += 1,
            (None, Some(label), Some(_)) => *taken.entry(label).or_default() += 1,
            (None, _, _) => {}
        }
    }
    let names: Vec<(usize, String)> = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.key.project.is_none() && entry.said.is_some())
        .map(|(index, Entry { key, .. })| {
            let own = key.label.as_deref().filter(|label| taken.get(label) == Some(&1));
            (index, own.map_or_else(|| key.key.id().to_string(), str::to_owned))
        })
        .collect();
    for (index, name) in names {
        entries[index].key.project = Some(name);
    }
}

/// A JSON object of names to settings, or an array of settings with a `name` each.
fn declared(text: &str) -> Result<Vec<(String, Said)>, String> {
    let tables: Vec<(Value, Value)> = match serde_json::from_str(text).map_err(|error| json_error(&error))? {
        Value::Object(projects) => {
            projects.into_iter().map(|(name, table)| (Value::String(name), table)).collect()
        }
        Value::Array(projects) => projects
            .into_iter()
            .map(|mut table| {
                let name = table.as_object_mut().and_then(|table| table.remove("name"));
                (name.unwrap_or_default(), table)
            })
            .collect(),
        _ => return Err("is neither a JSON object of projects nor an array of them".to_owned()),
    };
    if tables.len() > MAX_PROJECTS {
        return Err(format!("has {} projects; at most {MAX_PROJECTS} are allowed", tables.len()));
    }
    let projects = tables.into_iter().enumerate().map(|(index, (name, mut table))| {
        let entry = |problem: String| format!("entry {}: {problem}", index + 1);
        let name = name.as_str().ok_or_else(|| entry("needs a text named name".to_owned()))?;
        let name = project_name(name).map_err(entry)?;
        let problem = |problem: String| format!("project \"{name}\": {problem}");
        let table = table.as_object_mut().ok_or_else(|| problem(format!("needs a table of {SETTINGS}")))?;
        let said = Said::take(table).map_err(problem)?;
        nothing_left(table, SETTINGS).map_err(problem)?;
        Ok((name, said))
    });
    projects.collect()
}

/// A setting of a table, taken out of it. None where it is not there.
pub(super) fn taken<T>(
    table: &mut Map<String, Value>,
    name: &str,
    read: impl FnOnce(Value) -> Result<T, String>,
) -> Result<Option<T>, String> {
    match table.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => read(value).map(Some).map_err(|problem| format!("{name}: {problem}")),
    }
}

/// Checks that a table held nothing but the settings that were taken out of it.
pub(super) fn nothing_left(table: &Map<String, Value>, known: &str) -> Result<(), String> {
    match table.keys().next() {
        Some(unknown) => Err(format!("there is no setting {}; {known} are known", quoted(unknown))),
        None => Ok(()),
    }
}

fn tier(value: Value) -> Result<Tier, String> {
    let allowed = [("free", Tier::Free), ("paid", Tier::Paid), ("unknown", Tier::Unknown)];
    values::choice(value.as_str().unwrap_or_default(), &allowed)
}

fn priority(value: Value) -> Result<u8, String> {
    let number = value.as_u64().and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(|| "is no number from 0 to 255".to_owned())
}

fn max_per_day(mut value: Value) -> Result<(Option<u64>, Option<f64>), String> {
    const SETTINGS: &str = "requests and cost";
    let table = value.as_object_mut().ok_or_else(|| format!("needs a table of {SETTINGS}"))?;
    let most = (taken(table, "requests", count)?, taken(table, "cost", cost)?);
    nothing_left(table, SETTINGS)?;
    Ok(most)
}

fn limits(value: Value) -> Result<Vec<ModelLimits>, String> {
    let Value::Array(tables) = value else { return Err("needs an array of tables".to_owned()) };
    if tables.len() > MAX_LIMITS {
        return Err(format!("has {} entries; at most {MAX_LIMITS} are allowed", tables.len()));
    }
    let limits = tables.into_iter().enumerate().map(|(index, table)| {
        limits_of_models(table).map_err(|problem| format!("entry {}: {problem}", index + 1))
    });
    limits.collect()
}

fn limits_of_models(mut value: Value) -> Result<ModelLimits, String> {
    const SETTINGS: &str = "model, rpm, tpm and rpd";
    let table = value.as_object_mut().ok_or_else(|| format!("needs a table of {SETTINGS}"))?;
    let pattern = |value: Value| models::pattern(value.as_str().unwrap_or_default());
    let limits = ModelLimits {
        models: match taken(table, "model", pattern)? {
            Some(models) => models,
            None => models::pattern("*")?,
        },
        requests_per_minute: taken(table, "rpm", count)?,
        tokens_per_minute: taken(table, "tpm", count)?,
        requests_per_day: taken(table, "rpd", count)?,
    };
    nothing_left(table, SETTINGS)?;
    if let ModelLimits {
        requests_per_minute: None, tokens_per_minute: None, requests_per_day: None, ..
    } = limits
    {
        return Err("has none of rpm, tpm and rpd".to_owned());
    }
    Ok(limits)
}

fn count(value: Value) -> Result<u64, String> {
    let number = value.as_u64().filter(|number| *number <= MOST_COUNTED);
    number.ok_or_else(|| format!("is no whole number from 0 to {MOST_COUNTED}"))
}

fn cost(value: Value) -> Result<f64, String> {
    let number = value.as_f64().filter(|number| (0.0..=MOST_COST).contains(number));
    number.ok_or_else(|| format!("is no amount from 0 to {MOST_COST}"))
}

/// A project's name, if the text can be one.
///
/// # Errors
/// What is wrong with it.
pub fn project_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err(format!("a project has 1 to {MAX_NAME_BYTES} visible ASCII characters"));
    }
    no_key(text, "a project")
}

/// A key's label, if the text can be one: it may stand in a header and name a project.
///
/// # Errors
/// What is wrong with it.
pub fn label(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = |c: char| c.is_ascii_graphic() || c == ' ';
    if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.chars().all(fits) {
        return Err(format!("a label has 1 to {MAX_NAME_BYTES} visible ASCII characters or spaces"));
    }
    no_key(text, "a label")
}

/// Names are shown: what looks like a key of Google's is none.
fn no_key(text: &str, what: &str) -> Result<String, String> {
    if text.len() >= super::keys::SHORTEST_POOL_KEY && (text.starts_with("AIza") || text.starts_with("AQ.")) {
        return Err(format!("{what} looks like a key; write project:KEY"));
    }
    Ok(text.to_owned())
}
