//! What is changed while the gateway runs: keys, clients, projects and settings.
//!
//! One place owns both halves: what files and the environment say, and what the store adds to it. It makes the
//! effective settings of both and hands them to the gateway, at the start, after each change and when a file has
//! changed. A change is on disk before its method returns `Ok`; where the disk fails, nothing changes.
//!
//! All methods block on the disk for as long as it takes: call them where that is allowed
//! (`tokio::task::spawn_blocking`).

mod clients;
mod keys;
mod projects;
mod settings;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use libra_core::gateway::Gateway;
use libra_core::secret::{ApiKey, KeyId};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub(crate) use self::clients::{ClientSettings, ClientView, NewClient};
pub(crate) use self::keys::{Added, KeyChange, KeyView, NewKey};
pub(crate) use self::projects::{ProjectChange, ProjectView};
pub(crate) use self::settings::SettingView;

/// Who changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    /// Whoever has the administrator's token, from this address.
    Token(IpAddr),
    /// Whoever has the token for looking, from this address. Changes nothing; for what is looked at and noted.
    ReadOnly(IpAddr),
    /// A command on this machine, on the store.
    CommandLine,
    /// The start of the gateway.
    Start,
    /// A file of settings that has changed, or SIGHUP.
    File,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(address) => write!(f, "admin {address}"),
            Self::ReadOnly(address) => write!(f, "read-only {address}"),
            Self::CommandLine => f.write_str("command line"),
            Self::Start => f.write_str("start"),
            Self::File => f.write_str("file"),
        }
    }
}

/// Where something comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Origin {
    /// Files or the environment.
    Settings,
    /// The store.
    Store,
}

/// Why something is not done. One line without secrets, for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing can be kept: there is no store. Says why.
    NoStore(String),
    /// There is no such key, client, project or setting.
    NotFound(String),
    /// What is asked for cannot be: a value, or a contradiction to something else. Says which.
    Wrong(String),
    /// The disk has failed. Nothing has changed.
    Disk(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStore(text) | Self::NotFound(text) | Self::Wrong(text) => f.write_str(text),
            Self::Disk(text) => write!(f, "the store cannot be written, and nothing has changed: {text}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// An entry of the log of changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct AuditEntry {
    /// Ascending; later entries have greater ones.
    pub(crate) number: u64,
    /// When, in milliseconds since 1970.
    pub(crate) at: u64,
    /// Who, as [`Actor`] is displayed.
    pub(crate) actor: String,
    /// What was done: `keys.add`, `clients.rotate`, `settings.change` …
    pub(crate) action: String,
    /// To what: a key's or client's id, a project's or setting's name.
    pub(crate) subject: String,
    /// What was before, without secrets.
    pub(crate) before: Option<Value>,
    /// What is now, without secrets.
    pub(crate) after: Option<Value>,
}

/// What a reload has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// What to tell, one line each.
    pub(crate) notices: Vec<String>,
}

/// The administration of a gateway, or of its store while none runs.
pub(crate) struct Administration {
    gateway: Option<Arc<Gateway>>,
}

impl Administration {
    /// All keys of the pool, in its order.
    pub(crate) fn keys(&self) -> Vec<KeyView> {
        Vec::new()
    }

    /// Adds keys to the pool. Those that are there already are told apart, and nothing is said of them.
    ///
    /// # Errors
    /// No store; a label, tag or project that cannot be; a key that is a client's. Then none is added.
    pub(crate) fn add_keys(&self, actor: Actor, keys: Vec<NewKey>) -> Result<Added, Refusal> {
        let _ = (actor, keys);
        Err(self.no_store())
    }

    /// Changes what is said of a key, whether it comes from the settings or the store.
    ///
    /// # Errors
    /// No store, no such key, a value that cannot be.
    pub(crate) fn change_key(&self, actor: Actor, key: KeyId, change: KeyChange) -> Result<KeyView, Refusal> {
        let _ = (actor, key, change);
        Err(self.no_store())
    }

    /// Removes keys for ever; requests that run with them end well.
    ///
    /// # Errors
    /// No store, no such key, or one that comes from the settings (it can be paused). Then none is removed.
    pub(crate) fn remove_keys(&self, actor: Actor, keys: &[KeyId]) -> Result<(), Refusal> {
        let _ = (actor, keys);
        Err(self.no_store())
    }

    /// All keys themselves. It is noted in the log of changes that they were given out.
    ///
    /// # Errors
    /// It cannot be noted: then they are not given out.
    pub(crate) fn export_keys(&self, actor: Actor) -> Result<Vec<(KeyView, ApiKey)>, Refusal> {
        let _ = actor;
        Err(self.no_store())
    }

    /// All clients, by name.
    pub(crate) fn clients(&self) -> Vec<ClientView> {
        Vec::new()
    }

    /// Adds a client. Its key is in the answer, and never again.
    ///
    /// # Errors
    /// No store, a name that another one has, settings that cannot be, a key that is a client's or the pool's.
    pub(crate) fn add_client(
        &self,
        actor: Actor,
        client: NewClient,
    ) -> Result<(ClientView, ApiKey), Refusal> {
        let _ = (actor, client);
        Err(self.no_store())
    }

    /// Replaces what is said of a client.
    ///
    /// # Errors
    /// As above; no such client, or one that comes from the settings.
    pub(crate) fn change_client(
        &self,
        actor: Actor,
        client: KeyId,
        settings: ClientSettings,
    ) -> Result<ClientView, Refusal> {
        let _ = (actor, client, settings);
        Err(self.no_store())
    }

    /// Removes a client: its key opens nothing from then on.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn remove_client(&self, actor: Actor, client: KeyId) -> Result<(), Refusal> {
        let _ = (actor, client);
        Err(self.no_store())
    }

    /// Gives a client another key; the one it had opens nothing from then on. The view has the id to go by from now
    /// on.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn rotate_client(&self, actor: Actor, client: KeyId) -> Result<(ClientView, ApiKey), Refusal> {
        let _ = (actor, client);
        Err(self.no_store())
    }

    /// All projects that have a name, by name.
    pub(crate) fn projects(&self) -> Vec<ProjectView> {
        Vec::new()
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
        let _ = (actor, project, change);
        Err(self.no_store())
    }

    /// Every setting there is, in the order of the documents.
    pub(crate) fn settings(&self) -> Vec<SettingView> {
        Vec::new()
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
        let _ = (actor, name, value);
        Err(self.no_store())
    }

    /// The log of changes, newest first: at most `limit` entries with numbers below `before`.
    ///
    /// # Errors
    /// No store, or it cannot be read.
    pub(crate) fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, Refusal> {
        let _ = (before, limit);
        Err(self.no_store())
    }

    /// Reads files and the environment again. Where something is wrong, all stays as it is.
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub(crate) fn reload(&self) -> Result<Reloaded, Refusal> {
        Ok(Reloaded { notices: Vec::new() })
    }

    fn no_store(&self) -> Refusal {
        Refusal::NoStore("there is no store".to_owned())
    }
}

/// A field that was given, be it as null.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
