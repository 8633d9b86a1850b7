//! Settings, as they are administered.

use serde::Serialize;

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
    /// Whether it can be changed while the gateway runs, here or in a file.
    pub(crate) needs_restart: bool,
}
