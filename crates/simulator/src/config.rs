//! What there is: projects, their keys and quotas. Filled by hand, by [`demo`](crate::demo), or from TOML.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use crate::clock::UnixMillis;
use crate::fault::Condition;
use crate::quota::{Limits, Minutes};

/// Everything that can be set. Everything but time and chance, which come apart from it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The projects, with their keys.
    pub projects: Vec<Project>,
    /// Takes any other key that does not begin with `bad` too, each as the only key of a project without limits.
    pub open: bool,
    /// How a minute is cut.
    pub minutes: Minutes,
    /// What goes wrong for everybody for a while, whatever the key.
    pub disturbances: Vec<Disturbance>,
    /// How many requests the log remembers.
    pub logged_requests: usize,
    /// The largest request body, in bytes, packed or unpacked.
    pub body_limit: usize,
}

/// A project of Google's cloud: quotas are its, not its keys'.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Project {
    /// A name for people.
    pub name: String,
    /// Its number, as errors tell it (`projects/123456789012`). None: derived from its place in the list.
    pub number: Option<u64>,
    /// Which tier's names its quotas have.
    pub tier: Tier,
    /// Its quotas for each model.
    pub limits: Limits,
    /// Models with quotas of their own.
    pub models: BTreeMap<String, Limits>,
    /// What is wrong with all of its keys that have no condition of their own.
    pub condition: Condition,
    /// Its keys.
    pub keys: Vec<Key>,
}

/// Something that goes wrong for every healthy key: a model's overload, a network's fault, everyday trouble. It goes by
/// the simulator's clock, counted from the simulator's start.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disturbance {
    /// When it begins, in seconds after the start.
    #[serde(default)]
    pub after_secs: u64,
    /// How long it lasts, in seconds. None: for ever.
    pub for_secs: Option<u64>,
    /// The only model that it meets. None: all.
    pub model: Option<String>,
    /// What happens. Chance is drawn for each disturbance on its own; of several that would strike, the first does.
    pub condition: Condition,
}

/// A tier of Google's pricing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Nothing to pay, little to use.
    #[default]
    Free,
    /// With a billing account.
    Paid,
}

/// A key. In TOML a string, or a table with `key` and `condition`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "WrittenKey")]
pub struct Key {
    /// The key itself. Made up, as everything here.
    pub key: String,
    /// What is wrong with it.
    pub condition: Condition,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenKey {
    Plain(String),
    Table {
        key: String,
        #[serde(default)]
        condition: Condition,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            projects: Vec::new(),
            open: false,
            minutes: Minutes::Fixed,
            disturbances: Vec::new(),
            logged_requests: 256,
            // Google's limit for a request with inline data.
            body_limit: 100 << 20,
        }
    }
}

impl Config {
    /// Any key is good, and nothing is limited.
    pub fn open() -> Self {
        Self { open: true, ..Self::default() }
    }

    /// Reads TOML. The error is a sentence for the person who wrote it.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut seen = HashSet::new();
        for key in config.projects.iter().flat_map(|project| &project.keys) {
            if !seen.insert(&key.key) {
                return Err(format!("the key {} is there twice", key.key));
            }
        }
        Ok(config)
    }
}

impl Disturbance {
    /// Whether it can meet a request for this model, so many milliseconds after the start.
    pub fn meets(&self, model: &str, since_start: UnixMillis) -> bool {
        let from = self.after_secs.saturating_mul(1000);
        let until =
            self.for_secs.map_or(UnixMillis::MAX, |secs| from.saturating_add(secs.saturating_mul(1000)));
        (from..until).contains(&since_start) && self.model.as_deref().is_none_or(|only| only == model)
    }
}

impl Project {
    /// A project with healthy keys.
    pub fn new(name: impl Into<String>, limits: Limits, keys: &[&str]) -> Self {
        Self {
            name: name.into(),
            limits,
            keys: keys.iter().copied().map(Key::from).collect(),
            ..Self::default()
        }
    }

    /// The quotas for a model.
    pub fn limits(&self, model: &str) -> Limits {
        self.models.get(model).copied().unwrap_or(self.limits)
    }
}

impl Key {
    /// A key with a condition.
    pub fn new(key: impl Into<String>, condition: Condition) -> Self {
        Self { key: key.into(), condition }
    }
}

impl From<&str> for Key {
    fn from(key: &str) -> Self {
        Self::new(key, Condition::Healthy)
    }
}

impl From<WrittenKey> for Key {
    fn from(written: WrittenKey) -> Self {
        match written {
            WrittenKey::Plain(key) => Self::new(key, Condition::Healthy),
            WrittenKey::Table { key, condition } => Self { key, condition },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    #[test]
    fn toml_says_everything() {
        let config = Config::from_toml(
            r#"
            minutes = "rolling"
            [[projects]]
            name = "first"
            number = 7
            tier = "paid"
            limits = { requests_per_minute = 10 }
            keys = ["plain", { key = "lost", condition = "leaked" }]
            models."gemini-2.5-pro" = { requests_per_day = 0 }
            [[projects]]
            condition = "flaky:10:overloaded"
            "#,
        )
        .expect("the configuration is good");
        let first = &config.projects[0];
        assert_eq!(config.minutes, Minutes::Rolling);
        assert_eq!((first.number, first.tier), (Some(7), Tier::Paid));
        assert_eq!(first.keys[0], Key::from("plain"));
        assert_eq!(first.keys[1], Key::new("lost", Condition::Faulty(Fault::Leaked)));
        assert_eq!(first.limits("gemini-2.5-pro").requests_per_day, Some(0));
        assert_eq!(first.limits("gemini-2.5-pro").requests_per_minute, None);
        assert_eq!(first.limits("gemini-2.5-flash").requests_per_minute, Some(10));
        assert_eq!(config.projects[1].condition, Condition::Flaky { percent: 10, fault: Fault::Overloaded });
    }

    #[test]
    fn disturbances_have_a_time_and_a_model() {
        let config = Config::from_toml(
            r#"
            disturbances = [
                { after_secs = 60, for_secs = 10, model = "gemini-2.5-pro", condition = "overloaded" },
                { condition = "flaky:5:cut" },
            ]
            "#,
        )
        .expect("the configuration is good");
        let check = |model: &str, at: u64, expected: [bool; 2]| {
            let met: Vec<_> = config.disturbances.iter().map(|one| one.meets(model, at)).collect();
            assert_eq!(met, expected, "{model} at {at}");
        };
        check("gemini-2.5-pro", 59_999, [false, true]);
        check("gemini-2.5-pro", 60_000, [true, true]);
        check("gemini-2.5-flash", 60_000, [false, true]);
        check("gemini-2.5-pro", 70_000, [false, true]);
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, named: &str| {
            let error = Config::from_toml(text).expect_err("the configuration is wrong");
            assert!(error.contains(named), "{error}");
        };
        check("project = []", "project");
        check("[[projects]]\ncondition = \"sick\"", "sick");
        check("[[projects]]\nkeys = [\"one\", \"one\"]", "one is there twice");
    }
}
