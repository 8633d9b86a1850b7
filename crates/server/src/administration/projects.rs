//! Projects, as they are administered.

use libra_core::config::Tier;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

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
