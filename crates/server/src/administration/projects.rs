//! Projects, as they are administered.

use std::collections::BTreeMap;

use libra_core::config::{Config, ProjectSettings, Tier, quoted, read_label};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Actor, Administration, Refusal, State, Told};
use crate::store::Change;

/// A project that has a name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ProjectView {
    pub(crate) name: String,
    /// What its owner calls it beside that.
    pub(crate) label: Option<String>,
    #[serde(serialize_with = "tier_name")]
    pub(crate) tier: Tier,
    /// Its place: those with the lowest number serve first.
    pub(crate) priority: u8,
    /// Limits of models, as `LIBRA_PROJECTS` has them: `[{"model": "gemini-*", "rpm": 10}]`.
    pub(crate) limits: Value,
    /// As `LIBRA_PROJECTS` has it: `{"requests": 1000, "cost": 5.0}`.
    pub(crate) max_per_day: Value,
    /// How many keys are said to belong to it.
    pub(crate) keys: usize,
    /// What of it was changed here: `tier`, `priority`, `limits`, `max_per_day`, `label`.
    pub(crate) changed: Vec<&'static str>,
}

/// A change of a project: what is none stays as it is; `Some(None)` takes back what was changed here, so that the
/// settings' word counts again. Values are as `LIBRA_PROJECTS` has them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProjectChange {
    #[serde(deserialize_with = "super::given", skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<Option<String>>,
    #[serde(deserialize_with = "super::given", skip_serializing_if = "Option::is_none")]
    pub(crate) tier: Option<Option<String>>,
    #[serde(deserialize_with = "super::given", skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<Option<u8>>,
    #[serde(deserialize_with = "super::given", skip_serializing_if = "Option::is_none")]
    pub(crate) limits: Option<Option<Value>>,
    #[serde(deserialize_with = "super::given", skip_serializing_if = "Option::is_none")]
    pub(crate) max_per_day: Option<Option<Value>>,
}

pub(super) fn tier_name<S: Serializer>(tier: &Tier, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match tier {
        Tier::Unknown => "unknown",
        Tier::Free => "free",
        Tier::Paid => "paid",
    })
}

/// The fields of a project that are said here, by their names in a [`ProjectChange`].
const FIELDS: [&str; 5] = ["label", "tier", "priority", "limits", "max_per_day"];

/// Has what is said here hold, field by field, over what the settings say. What cannot be used any more says nothing.
pub(super) fn add(config: &mut Config, kept: &BTreeMap<String, Value>) {
    for (name, said) in kept {
        let known = config.projects.iter().position(|project| project.name == *name);
        let before = known.map_or_else(|| ProjectSettings::new(name), |at| config.projects[at].clone());
        let Ok(after) = before.with(without_label(said)) else { continue };
        match known {
            Some(at) => config.projects[at] = after,
            None => config.projects.push(after),
        }
    }
}

fn without_label(said: &Value) -> Value {
    let mut said = said.clone();
    if let Some(said) = said.as_object_mut() {
        said.remove("label");
    }
    said
}

impl Administration {
    /// All projects that have a name, by name.
    pub(crate) fn projects(&self) -> Vec<ProjectView> {
        views(&self.state())
    }

    /// Changes what is said of a project. It wins over what the settings say, field by field.
    ///
    /// # Errors
    /// No store, no such project, a value that cannot be.
    pub(crate) fn change_project(
        &self,
        actor: Actor,
        project: &str,
        change: ProjectChange,
    ) -> Result<ProjectView, Refusal> {
        let mut state = self.state();
        state.check_store()?;
        let none = || {
            Refusal::NotFound(format!(
                "no key is said to belong to a project {}: give its keys the project first",
                quoted(project)
            ))
        };
        if !views(&state).iter().any(|view| view.name == project) {
            return Err(none());
        }
        let before = state.kept.projects.get(project).cloned();
        let mut said = before.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        let Value::Object(changed) = serde_json::to_value(&change).unwrap_or_default() else {
            return Err(none());
        };
        for (field, value) in changed {
            match (field.as_str(), value) {
                (_, Value::Null) => drop(said.remove(&field)),
                ("label", Value::String(label)) => {
                    let label = read_label(&label).map_err(Refusal::Wrong)?;
                    said.insert(field, label.into());
                }
                (_, value) => drop(said.insert(field, value)),
            }
        }
        let said = Value::Object(said);
        let settings = ProjectSettings::new(project).with(without_label(&said)).map_err(Refusal::Wrong)?;
        if settings.max_cost_per_day.is_some() && state.config.prices.is_empty() {
            return Err(Refusal::Wrong("max_per_day.cost needs prices: set LIBRA_PRICES too".to_owned()));
        }
        let is_empty = said.as_object().is_none_or(Map::is_empty);
        let note = Told {
            action: "projects.change",
            subject: project.to_owned(),
            before,
            after: Some(said.clone()),
        };
        let change = Change::Project(project.to_owned(), (!is_empty).then_some(said));
        self.change(&mut state, actor, vec![change], vec![note])?;
        views(&state).into_iter().find(|view| view.name == project).ok_or_else(none)
    }
}

fn views(state: &State) -> Vec<ProjectView> {
    let mut keys: BTreeMap<&str, usize> = BTreeMap::new();
    for name in state.config.keys.iter().filter_map(|key| key.project.as_deref()) {
        *keys.entry(name).or_default() += 1;
    }
    for project in &state.config.projects {
        keys.entry(&project.name).or_default();
    }
    let settings: BTreeMap<&str, &ProjectSettings> =
        state.config.projects.iter().map(|project| (project.name.as_str(), project)).collect();
    let view = |(name, keys): (&str, usize)| {
        let plain = ProjectSettings::new(name);
        let settings = settings.get(name).copied().unwrap_or(&plain);
        let mut written = settings.written();
        let said = state.kept.projects.get(name);
        let label = said.and_then(|said| said.get("label")?.as_str());
        ProjectView {
            name: name.to_owned(),
            label: label.map(str::to_owned),
            tier: settings.tier,
            priority: settings.rank(),
            limits: written["limits"].take(),
            max_per_day: written["max_per_day"].take(),
            keys,
            changed: FIELDS
                .into_iter()
                .filter(|field| said.is_some_and(|said| said.get(field).is_some()))
                .collect(),
        }
    };
    keys.into_iter().map(view).collect()
}
