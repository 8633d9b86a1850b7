//! Scenarios: pools and loads, written in TOML. `docs/simulate.md` explains every field.

mod check;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use libra_core::config::Config;
use libra_simulator::{self as simulator, Condition, Disturbance, Limits, Minutes, Tier, UnixMillis};
use serde::Deserialize;

/// A pool and a load.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it is about, in a sentence.
    #[serde(default)]
    pub about: String,
    /// When it begins.
    #[serde(default = "usual_start", deserialize_with = "read_moment")]
    pub start: UnixMillis,
    /// How long requests arrive.
    #[serde(deserialize_with = "read_duration")]
    pub duration: Duration,
    /// How Google cuts minutes. A file may name both ways; a run has one.
    #[serde(default = "usual_minutes")]
    pub minutes: Vec<Minutes>,
    /// How long an all-knowing scheduler may hold a request back: what `LIBRA_QUEUE_WAIT` is for the gateway.
    #[serde(default = "usual_patience", deserialize_with = "read_duration")]
    pub patience: Duration,
    /// Settings of the gateway: `LIBRA_…` variables.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// How long things take.
    #[serde(default)]
    pub latency: Latency,
    /// The projects, in groups of like ones.
    pub projects: Vec<ProjectGroup>,
    /// The load.
    pub clients: Vec<Client>,
    /// What goes wrong for everybody for a while.
    #[serde(default)]
    pub disturbances: Vec<Disturbance>,
}

/// Projects that are alike.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectGroup {
    /// How many there are.
    #[serde(default = "one")]
    pub count: usize,
    /// How many keys each has.
    #[serde(default = "one")]
    pub keys: usize,
    /// The names that its quotas have.
    #[serde(default)]
    pub tier: Tier,
    /// The quotas for each model.
    #[serde(default)]
    pub limits: Limits,
    /// Models with quotas of their own.
    #[serde(default)]
    pub models: BTreeMap<String, Limits>,
    /// How many of each project's keys are dead.
    #[serde(default)]
    pub dead: usize,
    /// What dead means.
    #[serde(default = "usual_death")]
    pub dead_because: Condition,
    /// What is wrong with the keys that are not dead.
    #[serde(default)]
    pub condition: Condition,
    /// Requests a minute that others send with keys of the same project, by model.
    #[serde(default)]
    pub others: BTreeMap<String, f64>,
    /// Whether the gateway is told which keys share a project.
    #[serde(default)]
    pub known: bool,
}

/// A client and its load.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// What it is called.
    pub name: String,
    /// The model it asks for.
    pub model: String,
    /// Its load as a share of what all projects could serve of that model in the hours in which it sends.
    #[serde(default)]
    pub load: Option<f64>,
    /// Its load in requests a minute.
    #[serde(default)]
    pub rate: Option<f64>,
    /// How its requests are spread.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// From which hour to which of each Pacific day it sends; none: always.
    #[serde(default)]
    pub hours: Option<[f64; 2]>,
    /// The least and the most input tokens of a request.
    #[serde(default = "usual_tokens")]
    pub tokens: [u64; 2],
    /// The share of its requests that ask for a stream.
    #[serde(default)]
    pub streams: f64,
    /// How many requests a conversation has; their first message is the same.
    #[serde(default = "one")]
    pub turns: usize,
}

/// How requests are spread in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// As independent people send them.
    #[default]
    Poisson,
    /// One after the other, with equal gaps.
    Even,
    /// All at once, at the beginning. `rate` is then their number.
    Burst,
}

/// How long things take, in milliseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// From the gateway to Google, and as long back.
    pub network_ms: u64,
    /// From a request's arrival at Google to the first byte of its answer, half of the time.
    pub first_byte_ms: u64,
    /// From there to the end of the answer, half of the time.
    pub answer_ms: u64,
    /// Logarithmic deviation: 0 is always the median, 0.5 makes one in six longer than 1.6 medians.
    pub spread: f64,
    /// What an error takes.
    pub error_ms: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { network_ms: 30, first_byte_ms: 700, answer_ms: 2_500, spread: 0.5, error_ms: 80 }
    }
}

/// One project of the scenario.
#[derive(Debug, Clone, Copy)]
pub struct Project<'a> {
    /// What it is like.
    pub group: &'a ProjectGroup,
    /// The number of its first key; the others follow.
    pub first_key: usize,
}

impl Scenario {
    /// Reads TOML.
    ///
    /// # Errors
    /// A sentence for the person who wrote it.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        scenario.check()?;
        Ok(scenario)
    }

    /// One scenario for each way to cut minutes that it names.
    pub fn variants(&self) -> Vec<Self> {
        let alone = |minutes: &Minutes| Self { minutes: vec![*minutes], ..self.clone() };
        self.minutes.iter().map(alone).collect()
    }

    /// How minutes are cut: the first way named.
    pub fn window(&self) -> Minutes {
        self.minutes.first().copied().unwrap_or_default()
    }

    /// Name and way to cut minutes.
    pub fn title(&self) -> String {
        let window = match self.window() {
            Minutes::Fixed => "fixed",
            Minutes::Rolling => "rolling",
        };
        format!("{} ({window} minutes)", self.name)
    }

    /// When requests cease to arrive.
    pub fn end(&self) -> UnixMillis {
        self.start.saturating_add(millis(self.duration))
    }

    /// The projects, in order.
    pub fn projects(&self) -> impl Iterator<Item = Project<'_>> {
        let groups = self.projects.iter().flat_map(|group| std::iter::repeat_n(group, group.count));
        groups.scan(0, |next, group| {
            let first_key = *next;
            *next += group.keys;
            Some(Project { group, first_key })
        })
    }

    /// How many projects there are.
    pub fn project_count(&self) -> usize {
        self.projects.iter().map(|group| group.count).sum()
    }

    /// How many keys there are.
    pub fn key_count(&self) -> usize {
        self.projects.iter().map(|group| group.count * group.keys).sum()
    }

    /// The models that are asked for, in the order of the clients.
    pub fn models(&self) -> Vec<&str> {
        let mut models = Vec::new();
        for client in &self.clients {
            if !models.contains(&client.model.as_str()) {
                models.push(client.model.as_str());
            }
        }
        models
    }

    /// The simulated Gemini.
    pub(crate) fn simulator(&self) -> simulator::Config {
        let projects = self.projects().enumerate().map(|(number, Project { group, first_key })| {
            let mut keys: Vec<simulator::Key> = (0..group.keys)
                .map(|at| {
                    let condition = if at < group.dead { group.dead_because } else { group.condition };
                    simulator::Key::new(key(first_key + at), condition)
                })
                .collect();
            if !group.others.is_empty() {
                keys.push(simulator::Key::from(others_key(number).as_str()));
            }
            simulator::Project {
                name: format!("project {number}"),
                tier: group.tier,
                limits: group.limits,
                models: group.models.clone(),
                keys,
                ..simulator::Project::default()
            }
        });
        simulator::Config {
            projects: projects.collect(),
            minutes: self.window(),
            disturbances: self.disturbances.clone(),
            logged_requests: 0,
            ..simulator::Config::default()
        }
    }

    /// The gateway's configuration. `strategy`: a name, or none for the default.
    pub(crate) fn gateway(&self, strategy: Option<&str>) -> Result<Config, String> {
        let variables = self.variables(strategy);
        let no_files = |_: &str| Err("a scenario has no files".to_owned());
        let (config, _) = Config::from_vars(|name| variables.get(name).cloned(), no_files)
            .map_err(|error| error.to_string())?;
        Ok(config)
    }

    /// The settings of the gateway.
    pub(crate) fn variables(&self, strategy: Option<&str>) -> BTreeMap<String, String> {
        let mut keys = String::new();
        for (number, Project { group, first_key }) in self.projects().enumerate() {
            for at in first_key..first_key + group.keys {
                let project = if group.known { format!("project-{number}:") } else { String::new() };
                // Writing to a string cannot fail.
                let _ = writeln!(keys, "{project}{}", key(at));
            }
        }
        let clients: Vec<String> = (0..self.clients.len()).map(client_key).collect();
        let mut variables = self.settings.clone();
        variables.insert("LIBRA_KEYS".to_owned(), keys);
        variables.insert("LIBRA_CLIENTS".to_owned(), clients.join(","));
        if let Some(strategy) = strategy {
            variables.insert("LIBRA_STRATEGY".to_owned(), strategy.to_owned());
        }
        variables
    }
}

/// The pool key of a number. Made up, and as long as Google's.
pub(crate) fn key(number: usize) -> String {
    format!("trial-pool-key-{number:024}")
}

/// The number of a pool key.
pub(crate) fn key_number(key: &str) -> Option<usize> {
    key.strip_prefix("trial-pool-key-")?.parse().ok()
}

/// The key with which others use a project.
pub(crate) fn others_key(project: usize) -> String {
    format!("trial-others-key-{project:022}")
}

/// The key of a client.
pub(crate) fn client_key(client: usize) -> String {
    format!("trial-client-key-{client:06}")
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn one() -> usize {
    1
}

fn usual_start() -> UnixMillis {
    // 1 December 2026, midnight in California.
    1_796_112_000_000
}

fn usual_minutes() -> Vec<Minutes> {
    vec![Minutes::Fixed]
}

fn usual_patience() -> Duration {
    Duration::from_secs(20)
}

fn usual_tokens() -> [u64; 2] {
    [200, 1_800]
}

fn usual_death() -> Condition {
    Condition::Faulty(simulator::Fault::Invalid)
}

fn read_moment<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<UnixMillis, D::Error> {
    let text = String::deserialize(deserializer)?;
    let moment = text.parse::<jiff::Timestamp>().ok();
    moment
        .and_then(|moment| u64::try_from(moment.as_millisecond()).ok())
        .ok_or_else(|| serde::de::Error::custom(format!("{text} is no moment such as 2026-11-01T07:00:00Z")))
}

fn read_duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration(&text)
        .ok_or_else(|| serde::de::Error::custom(format!("{text} is no duration such as 90s, 15m, 6h or 2d")))
}

/// `90s`, `15m`, `6h`, `2d`.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.trim().char_indices().next_back()?;
    let seconds = match unit.1 {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text.trim()[..unit.0].trim().parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        name = "small"
        duration = "15m"
        minutes = ["fixed", "rolling"]
        [[projects]]
        keys = 3
        dead = 1
        limits = { requests_per_minute = 10 }
        [[projects]]
        count = 2
        known = true
        [[clients]]
        name = "one"
        model = "gemini-2.5-flash"
        rate = 6.0
    "#;

    #[test]
    fn a_scenario_makes_both_sides() {
        let scenario = Scenario::from_toml(SMALL).expect("the scenario is good");
        assert_eq!((scenario.project_count(), scenario.key_count()), (3, 5));
        let simulator = scenario.simulator();
        assert_eq!(simulator.projects[0].keys[0].condition, Condition::Faulty(simulator::Fault::Invalid));
        assert_eq!(simulator.projects[0].keys[1].condition, Condition::Healthy);
        assert_eq!(simulator.projects[2].keys[0].key, key(4));
        let config = scenario.gateway(Some("random")).expect("the configuration is good");
        assert_eq!(config.keys.len(), 5);
        assert_eq!(config.keys[4].project.as_deref(), Some("project-2"));
        assert_eq!(config.clients.len(), 1);
        assert!(scenario.gateway(Some("dice")).is_err());
        assert_eq!(scenario.variants().len(), 2);
        assert_eq!(scenario.variants()[1].title(), "small (rolling minutes)");
        assert_eq!(key_number(&key(7)), Some(7));
    }

    #[test]
    fn durations_have_units() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(duration(text), seconds.map(Duration::from_secs), "{text}");
        };
        check("90s", Some(90));
        check("15m", Some(900));
        check(" 6 h", Some(21_600));
        check("2d", Some(172_800));
        for wrong in ["", "h", "5", "-1s", "1.5h", "5µ", "99999999999999999999d", "9999999999999999999d"] {
            check(wrong, None);
        }
    }
}
