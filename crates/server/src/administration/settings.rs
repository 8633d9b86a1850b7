//! Settings, as they are administered.

use libra_core::config::{VARIABLES, Variable, is_live, is_secret, list_of, quoted};
use serde::Serialize;
use serde_json::Value;

use super::{Actor, Administration, Refusal, State, Told, effective};
use crate::settings::{Settings, Shown};
use crate::store::Change;

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SettingView {
    /// Its variable.
    pub(crate) name: &'static str,
    /// What it means, in one line.
    pub(crate) meaning: &'static str,
    /// What it is when it is not set; empty: nothing.
    pub(crate) default: &'static str,
    /// What it is set to. None: not set, or a secret.
    pub(crate) value: Option<String>,
    /// Whether it is set at all.
    pub(crate) is_set: bool,
    /// Whether its value is never shown.
    pub(crate) is_secret: bool,
    /// Where it is set: `command line`, `environment`, `.env`, a file's name, `store`; `default` where it is not.
    pub(crate) origin: String,
    /// Whether a change counts from the next start on only, and so cannot be made here.
    pub(crate) needs_restart: bool,
}

impl Administration {
    /// Every setting there is, in the order of the documents.
    pub(crate) fn settings(&self) -> Vec<SettingView> {
        let state = self.state();
        VARIABLES.iter().map(|variable| view(&state, variable)).collect()
    }

    /// Sets a setting, or takes it back (none). What files or the environment say wins over the store, so that a
    /// setting that is set there cannot be changed here.
    ///
    /// # Errors
    /// No store, no such setting, one that is set elsewhere or needs a restart, a value that cannot be.
    pub(crate) fn change_setting(
        &self,
        actor: Actor,
        name: &str,
        value: Option<&str>,
    ) -> Result<SettingView, Refusal> {
        let mut state = self.state();
        state.check_store()?;
        let variable = VARIABLES.iter().find(|variable| variable.name == name);
        let variable =
            variable.ok_or_else(|| Refusal::NotFound(format!("there is no setting {}", quoted(name))))?;
        let wrong = |problem: String| Err(Refusal::Wrong(format!("{name} {problem}")));
        if list_of(name).is_some() || name == "LIBRA_SAFETY_CLIENTS" {
            return wrong("is a list of keys: add and remove keys and clients instead".to_owned());
        }
        if !is_live(name) {
            return wrong("counts from the start on: set it where the gateway is started".to_owned());
        }
        let shown = shown(&state, name);
        if let Some(origin) = shown.and_then(|shown| shown.origin.as_ref().filter(|_| !shown.is_of_store)) {
            return wrong(format!("is set elsewhere ({origin}), which wins: change it there"));
        }
        let value = value.map(str::trim).filter(|value| !value.is_empty());
        let before = state.kept.settings.get(name).cloned();
        if before.as_deref() == value {
            return Ok(view(&state, variable));
        }
        let mut stored = state.kept.settings.clone();
        match value {
            Some(value) => stored.insert(name.to_owned(), value.to_owned()),
            None => stored.remove(name),
        };
        let settings = Settings::load_with(&self.options, &stored)
            .map_err(|error| Refusal::Wrong(error.to_string().replace(" (store)", "")))?;
        // Nothing may be left behind by prices that others need.
        let config = effective(&settings, state.memory, &state.kept, state.hash_key.as_ref());
        if config.prices.is_empty() && needs_prices(&config) {
            return wrong("is needed by clients or projects with a limit on their cost".to_owned());
        }
        let told = |value: Option<&str>| {
            value.map(|value| if is_secret(name) { "(secret)".into() } else { value.into() })
        };
        let note = Told {
            action: "settings.change",
            subject: name.to_owned(),
            before: told(before.as_deref()).map(Value::String),
            after: told(value).map(Value::String),
        };
        let change = Change::Setting(name.to_owned(), value.map(str::to_owned));
        let old = std::mem::replace(&mut state.settings, settings);
        if let Err(refusal) = self.change(&mut state, actor, vec![change], vec![note]) {
            state.settings = old;
            return Err(refusal);
        }
        Ok(view(&state, variable))
    }
}

fn needs_prices(config: &libra_core::config::Config) -> bool {
    config.clients.iter().any(|client| client.settings.needs_prices().is_some())
        || config.projects.iter().any(|project| project.max_cost_per_day.is_some())
}

fn shown<'a>(state: &'a State, name: &str) -> Option<&'a Shown> {
    state.settings.shown.iter().find(|shown| shown.name == name)
}

fn view(state: &State, variable: &Variable) -> SettingView {
    let shown = shown(state, variable.name);
    let origin = shown.and_then(|shown| shown.origin.clone());
    SettingView {
        name: variable.name,
        meaning: variable.meaning,
        default: variable.default,
        value: shown.and_then(|shown| shown.value.clone()),
        is_set: origin.is_some(),
        is_secret: is_secret(variable.name),
        origin: origin.unwrap_or_else(|| "default".to_owned()),
        needs_restart: !is_live(variable.name),
    }
}
