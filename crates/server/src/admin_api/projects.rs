//! Projects over HTTP, and which keys share one.

use libra_core::pool::ProjectCounts;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::keys::{tier_name, within};
use super::problem::Problem;
use super::{AdminApi, Answer, Asked};
use crate::administration::{ProjectChange, ProjectView};
use crate::telemetry;

/// A project that has a name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Project)]
pub(crate) struct Project {
    name: String,
    label: Option<String>,
    /// `unknown`, `free` or `paid`.
    #[schema(pattern = "^(unknown|free|paid)$")]
    tier: String,
    /// Those with the lowest number serve first.
    priority: u8,
    /// Limits of models, as `LIBRA_PROJECTS` has them.
    #[schema(value_type = Value)]
    limits: Value,
    /// What it may serve in a day, as `LIBRA_PROJECTS` has it.
    #[schema(value_type = Value)]
    max_per_day: Value,
    /// How many keys are said to belong to it.
    keys: u64,
    /// What of it was changed here.
    changed: Vec<String>,
}

/// All projects that have a name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Projects {
    projects: Vec<Project>,
    #[schema(value_type = Counts)]
    counts: ProjectCounts,
}

/// How many projects the keys belong to.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of the pool's counts")]
pub(crate) struct Counts {
    count: u64,
    /// Whether the project of every key is known. If not, the count is an upper bound.
    verified: bool,
    unknown: u64,
    /// The same in words.
    summary: String,
}

/// A change of a project: what is left out stays as it is; null takes back what was changed here, so that the settings'
/// word counts again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ChangeProject {
    #[serde(deserialize_with = "super::given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    label: Option<Option<String>>,
    /// `unknown`, `free` or `paid`.
    #[serde(deserialize_with = "super::given")]
    #[schema(value_type = Option<String>, pattern = "^(unknown|free|paid)$")]
    tier: Option<Option<String>>,
    /// Those with the lowest number serve first.
    #[serde(deserialize_with = "super::read::given_whole")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 255)]
    priority: Option<Option<u8>>,
    /// Limits of models, as `LIBRA_PROJECTS` has them.
    #[serde(deserialize_with = "super::given")]
    #[schema(value_type = Option<Vec<Limit>>, max_items = 100)]
    limits: Option<Option<Value>>,
    /// What it may serve in a day, as `LIBRA_PROJECTS` has it.
    #[serde(deserialize_with = "super::given")]
    #[schema(value_type = Option<Object>)]
    max_per_day: Option<Option<Value>>,
}

/// Limits of the models that a pattern fits.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what core reads")]
pub(crate) struct Limit {
    /// A pattern of models' names; without it, all.
    model: Option<String>,
    /// Requests a minute.
    rpm: Option<u64>,
    /// Input tokens a minute.
    tpm: Option<u64>,
    /// Requests a day.
    rpd: Option<u64>,
    /// Input tokens a day.
    tpd: Option<u64>,
}

/// Keys of which is said whether they share a project.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a description of what core reads")]
pub(crate) struct KeysNamed {
    /// Ids (or their beginnings, `key-` and six digits at least), labels, or projects' names for all their keys.
    #[schema(min_items = 1, max_items = 1000)]
    keys: Vec<String>,
}

/// What has become of it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of core's answer")]
pub(crate) struct KeysPlaced {
    keys: Vec<String>,
    projects: Counts,
}

impl AdminApi {
    pub(super) async fn projects(&self) -> Result<Answer, Problem> {
        let projects = self.blocking(|administration| Ok(administration.projects())).await?;
        let counts = self.gateway.project_counts();
        Answer::json(&Projects { projects: projects.into_iter().map(project_of).collect(), counts })
    }

    pub(super) async fn change_project(&self, asked: Asked) -> Result<Answer, Problem> {
        let change: ChangeProject = asked.json()?;
        within("label", change.label.as_ref().and_then(Option::as_deref), 100)?;
        if let Some(Some(tier)) = &change.tier
            && !["unknown", "free", "paid"].contains(&tier.as_str())
        {
            return Err(Problem::wrong_field("tier", "tier: expected unknown, free or paid."));
        }
        if matches!(&change.limits, Some(Some(limits)) if !limits.is_array()) {
            return Err(Problem::wrong_field("limits", "limits: expected an array."));
        }
        if matches!(&change.max_per_day, Some(Some(most)) if !most.is_object()) {
            return Err(Problem::wrong_field("max_per_day", "max_per_day: expected an object."));
        }
        let ChangeProject { label, tier, priority, limits, max_per_day } = change;
        let change = ProjectChange { label, tier, priority, limits, max_per_day };
        let (name, actor) = (asked.id.clone(), asked.actor());
        let project =
            self.blocking(move |administration| administration.change_project(actor, &name, change)).await?;
        Answer::json(&project_of(project))
    }

    /// Says which keys share a project, or do not; core knows how.
    pub(super) async fn place_keys(&self, asked: Asked, page: &str) -> Result<Answer, Problem> {
        let Some(done) = self.gateway.administer(page, &asked.body, crate::clock::now()) else {
            return Err(Problem::not_found("There is no such path."));
        };
        let body = done.map_err(|error| match error.param {
            Some(field) => Problem::wrong_field(field, error.message),
            None => Problem::impossible(error.message),
        })?;
        telemetry::flushed().await;
        Ok(Answer::written(body))
    }
}

fn project_of(view: ProjectView) -> Project {
    Project {
        name: view.name,
        label: view.label,
        tier: tier_name(view.tier).to_owned(),
        priority: view.priority,
        limits: view.limits,
        max_per_day: view.max_per_day,
        keys: view.keys as u64,
        changed: view.changed.iter().map(|name| (*name).to_owned()).collect(),
    }
}
