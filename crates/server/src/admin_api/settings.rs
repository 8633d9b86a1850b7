//! Settings, the log of changes, and reading the settings again, over HTTP.

use libra_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::{AdminApi, Answer, Asked};
use crate::administration::{AuditEntry, SettingView};

/// A setting.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Setting)]
pub(crate) struct Setting {
    /// Its variable.
    name: String,
    /// What it means, in one line.
    meaning: String,
    /// What it is when it is not set; empty: nothing.
    default: String,
    /// What it is set to. None: not set, or a secret.
    value: Option<String>,
    is_set: bool,
    /// Whether its value is never shown.
    is_secret: bool,
    /// Where it is set: `command line`, `environment`, `.env`, a file's name, `store`; else `default`.
    origin: String,
    /// Whether it cannot be changed while the gateway runs.
    needs_restart: bool,
}

/// All settings.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Settings {
    settings: Vec<Setting>,
}

/// A change of one setting.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeSetting {
    /// Its variable: `LIBRA_STRATEGY`.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// As it would be written in the environment; null takes back what was set here.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(max_length = 100000, required = true)]
    value: Option<String>,
}

/// Which changes, and how many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditAsked {
    /// Those with smaller numbers: the last one of the page before.
    #[param(minimum = 0, maximum = 9007199254740991_i64)]
    before: Option<u64>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: u32,
}

impl Default for AuditAsked {
    fn default() -> Self {
        Self { before: None, limit: 100 }
    }
}

/// Changes, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Audit {
    changes: Vec<Change>,
    /// The `before` of the next page, if there is one.
    next: Option<u64>,
}

/// A change.
#[derive(Debug, Serialize, ToSchema)]
struct Change {
    number: u64,
    #[schema(format = DateTime)]
    at: String,
    /// Who: `admin 192.0.2.1`, `command line`, `file` …
    actor: String,
    /// What was done: `keys.add`, `clients.rotate` …
    action: String,
    /// To what: a key's or client's id, a project's or setting's name.
    subject: String,
    /// What was before, without secrets.
    #[schema(value_type = Value)]
    before: Option<Value>,
    /// What is now, without secrets.
    #[schema(value_type = Value)]
    after: Option<Value>,
}

/// What reading the settings again has brought.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reloaded {
    /// What to tell, one line each.
    notices: Vec<String>,
}

impl AdminApi {
    pub(super) async fn settings(&self) -> Result<Answer, Problem> {
        let settings = self.blocking(|administration| Ok(administration.settings())).await?;
        Answer::json(&Settings { settings: settings.into_iter().map(setting_of).collect() })
    }

    pub(super) async fn change_setting(&self, asked: Asked) -> Result<Answer, Problem> {
        let ChangeSetting { name, value } = asked.json()?;
        super::keys::within("name", Some(&name), 100)?;
        if value.as_ref().is_some_and(|value| value.chars().count() > 100_000) {
            return Err(Problem::wrong_field("value", "value: expected at most 100000 characters."));
        }
        let actor = asked.actor();
        let setting = self
            .blocking(move |administration| administration.change_setting(actor, &name, value.as_deref()))
            .await?;
        Answer::json(&setting_of(setting))
    }

    pub(super) async fn audit(&self, asked: AuditAsked) -> Result<Answer, Problem> {
        if asked.limit == 0 || asked.limit > 1000 {
            return Err(Problem::wrong_field("limit", "limit: expected a number from 1 to 1000."));
        }
        if asked.before.is_some_and(|before| before > 9_007_199_254_740_991) {
            return Err(Problem::wrong_field("before", "before: expected a number up to 9007199254740991."));
        }
        let limit = asked.limit as usize;
        let entries =
            self.blocking(move |administration| administration.audit(asked.before, limit + 1)).await?;
        let has_more = entries.len() > limit;
        let changes: Vec<Change> = entries.into_iter().take(limit).map(change_of).collect();
        let next = changes.last().filter(|_| has_more).map(|change| change.number);
        Answer::json(&Audit { changes, next })
    }

    pub(super) async fn reload(&self) -> Result<Answer, Problem> {
        let reloaded = self.blocking(|administration| administration.reload()).await?;
        Answer::json(&Reloaded { notices: reloaded.notices })
    }
}

fn setting_of(view: SettingView) -> Setting {
    Setting {
        name: view.name.to_owned(),
        meaning: view.meaning.to_owned(),
        default: view.default.to_owned(),
        value: view.value,
        is_set: view.is_set,
        is_secret: view.is_secret,
        origin: view.origin,
        needs_restart: view.needs_restart,
    }
}

fn change_of(entry: AuditEntry) -> Change {
    let AuditEntry { number, at, actor, action, subject, before, after } = entry;
    Change { number, at: Timestamp::from_millis(at).rfc3339(), actor, action, subject, before, after }
}
