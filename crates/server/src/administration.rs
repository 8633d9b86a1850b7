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
mod watch;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use libra_core::clients::HashKey;
use libra_core::config::{Config, Notice};
use libra_core::gateway::Gateway;
use libra_core::secret::ApiKey;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::cli::Options;
use crate::clock;
use crate::settings::{Mark, Place, Settings};
use crate::store::{self, Book, Change, Kept, Note, Noted, Opened, StoreError};

#[allow(unused_imports, reason = "for whoever asks for changes")]
pub(crate) use self::clients::{ClientSettings, ClientView, NewClient};
#[allow(unused_imports, reason = "for whoever asks for changes")]
pub(crate) use self::keys::{Added, KeyChange, KeyView, NewKey};
#[allow(unused_imports, reason = "for whoever asks for changes")]
pub(crate) use self::projects::{ProjectChange, ProjectView};
#[allow(unused_imports, reason = "for whoever asks for changes")]
pub(crate) use self::settings::SettingView;
pub(crate) use self::watch::watch;

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
    options: Options,
    state: Mutex<State>,
    /// What goes by the settings, where a gateway runs.
    governed: OnceLock<Governed>,
}

/// A gateway, and what is to be told when something has changed.
struct Governed {
    gateway: Arc<Gateway>,
    changed: Box<dyn Fn() + Send + Sync>,
}

/// What the start has found out where nobody has set it.
#[derive(Clone)]
struct Found {
    /// How much is held in memory.
    memory: Option<u64>,
    /// The administrator's token.
    admin_token: Option<ApiKey>,
}

/// Both halves of what holds.
struct State {
    /// What files and the environment say, with the settings that the store adds.
    settings: Settings,
    /// What holds where no setting says otherwise.
    found: Found,
    kept: Kept,
    /// Why there is none, in words.
    book: Result<Book, &'static str>,
    hash_key: Option<HashKey>,
    /// What holds now.
    config: Config,
    /// The folder, where no gateway holds it.
    _store: Option<Opened>,
}

impl Administration {
    /// The administration of a gateway that is to be made with [`config`](Self::config).
    ///
    /// A stored setting that cannot be used any more is left out with a warning: a start must not fail for it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn begin(
        options: &Options,
        settings: Settings,
        store: Option<&Opened>,
    ) -> Result<Self, StoreError> {
        let why = match &settings.store.place {
            Place::Nowhere => {
                "libra runs without a store (--ephemeral, --demo or LIBRA_DATA=off), so that nothing could be kept: \
                 change the settings, or start it with LIBRA_DATA set to a folder"
            }
            Place::Named(_) | Place::Usual(_) => {
                "the usual data folder cannot be used, so that nothing could be kept: change the settings, or start \
                 libra with LIBRA_DATA set to a folder"
            }
        };
        let (mut kept, book, hash_key) = match store {
            Some(store) => {
                let mut book = store.book()?;
                let hash_key = book.hash_key()?;
                (book.read()?, Ok(book), Some(hash_key))
            }
            None => (Kept::default(), Err(why), None),
        };
        if kept.unreadable > 0 {
            tracing::warn!(
                entries = kept.unreadable,
                "not all keys and settings of the store open with its secret"
            );
        }
        let found =
            Found { memory: settings.config.memory, admin_token: settings.config.admin_token.clone() };
        let settings = with_stored(options, settings, &mut kept);
        let config = effective(&settings, &found, &kept, hash_key.as_ref());
        let state = State { settings, found, kept, book, hash_key, config, _store: None };
        Ok(Self { options: options.clone(), state: Mutex::new(state), governed: OnceLock::new() })
    }

    /// The administration of the store alone, for commands while no gateway runs. It holds the data folder.
    ///
    /// # Errors
    /// There is no store, a gateway uses it, or it cannot be read.
    pub(crate) fn of_store(options: &Options, settings: Settings) -> Result<Self, StoreError> {
        let opened = store::open_existing(&settings.store)?;
        let this = Self::begin(options, settings, Some(&opened))?;
        this.state()._store = Some(opened);
        Ok(this)
    }

    /// What holds now.
    pub(crate) fn config(&self) -> Config {
        self.state().config.clone()
    }

    /// The files that settings come from, as they were when they were read.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Mark)> {
        self.state().settings.files.clone()
    }

    /// What to tell at the start.
    pub(crate) fn notices(&self) -> Vec<String> {
        let state = self.state();
        notices(&state.settings, &state.config)
    }

    /// From now on this gateway goes by what holds. `changed` is called after each change.
    pub(crate) fn govern(&self, gateway: Arc<Gateway>, changed: impl Fn() + Send + Sync + 'static) {
        // There is one, made once.
        let _ = self.governed.set(Governed { gateway, changed: Box::new(changed) });
    }

    /// The log of changes, newest first: at most `limit` entries with numbers below `before`.
    ///
    /// # Errors
    /// No store, or it cannot be read.
    pub(crate) fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, Refusal> {
        let state = self.state();
        let book = state.book.as_ref().map_err(|why| Refusal::NoStore((*why).to_owned()))?;
        let notes = book.notes(before, limit).map_err(|error| Refusal::Disk(error.to_string()))?;
        let entry = |note: Noted| AuditEntry {
            number: note.number,
            at: note.at,
            actor: note.actor,
            action: note.action,
            subject: note.subject,
            before: note.before,
            after: note.after,
        };
        Ok(notes.into_iter().map(entry).collect())
    }

    /// Reads files and the environment again. Where something is wrong, all stays as it is.
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub(crate) fn reload(&self) -> Result<Reloaded, Refusal> {
        let mut state = self.state();
        if state.settings.demo {
            return Ok(Reloaded { notices: vec!["a demonstration keeps its settings".to_owned()] });
        }
        let settings = Settings::load_with(&self.options, &state.kept.settings)
            .map_err(|error| Refusal::Wrong(error.to_string()))?;
        let config = effective(&settings, &state.found, &state.kept, state.hash_key.as_ref());
        let mut told = notices(&settings, &config);
        let restart: [(&str, bool); 7] = [
            ("LIBRA_LOG", settings.log != state.settings.log),
            ("a proxy for all, or LIBRA_CA_FILE", settings.outward != state.settings.outward),
            (
                "a further address, TLS's files, LIBRA_DRAIN or a limit of connections",
                settings.serving != state.settings.serving,
            ),
            ("LIBRA_DATA", settings.store.place != state.settings.store.place),
            (
                "LIBRA_RETENTION_DAYS or LIBRA_RETENTION_SIZE",
                settings.store.retention != state.settings.store.retention,
            ),
            ("LIBRA_SECRET", settings.store.secret != state.settings.store.secret),
            ("LIBRA_FETCH_ALLOW", settings.config.fetch_allow != state.settings.config.fetch_allow),
        ];
        let restart = restart.into_iter().filter(|(_, changed)| *changed);
        told.extend(
            restart.map(|(name, _)| format!("{name}: has changed, and counts from the next start on")),
        );
        told.extend(self.put_in_force(&mut state, config));
        state.settings = settings;
        Ok(Reloaded { notices: told })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes changes, and then has them hold. In this order, so that nothing holds that is not on disk.
    fn change(
        &self,
        state: &mut State,
        actor: Actor,
        changes: Vec<Change>,
        notes: Vec<Told>,
    ) -> Result<(), Refusal> {
        if changes.is_empty() && notes.is_empty() {
            return Ok(());
        }
        let at = clock::now().as_millis();
        let notes: Vec<Note> = notes
            .into_iter()
            .map(|Told { action, subject, before, after }| Note {
                at,
                actor: actor.to_string(),
                action,
                subject,
                before,
                after,
            })
            .collect();
        let book = state.book.as_mut().map_err(|why| Refusal::NoStore((*why).to_owned()))?;
        book.write(&changes, &notes).map_err(|error| Refusal::Disk(error.to_string()))?;
        let is_change = !changes.is_empty();
        state.kept.take(changes);
        if is_change {
            let config = effective(&state.settings, &state.found, &state.kept, state.hash_key.as_ref());
            for notice in self.put_in_force(state, config) {
                tracing::warn!("{notice}");
            }
        }
        Ok(())
    }

    /// Has these settings hold. What to tell of it.
    fn put_in_force(&self, state: &mut State, config: Config) -> Vec<String> {
        state.config = config.clone();
        let Some(governed) = self.governed.get() else { return Vec::new() };
        let notices = governed.gateway.reconfigure(config, clock::now());
        (governed.changed)();
        notices.iter().map(ToString::to_string).collect()
    }
}

impl State {
    /// Whether anything can be kept.
    fn check_store(&self) -> Result<(), Refusal> {
        self.book.as_ref().map(|_| ()).map_err(|why| Refusal::NoStore((*why).to_owned()))
    }
}

/// What is noted of a change.
struct Told {
    action: &'static str,
    subject: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// The settings with what the store adds, as far as that can be used.
fn with_stored(options: &Options, settings: Settings, kept: &mut Kept) -> Settings {
    if settings.demo {
        return settings;
    }
    while !kept.settings.is_empty() {
        match Settings::load_with(options, &kept.settings) {
            Ok(settings) => return settings,
            Err(error) => {
                tracing::warn!("a stored setting is left out, as it cannot be used: {error}");
                let name = error.stored().map(str::to_owned);
                match name.filter(|name| kept.settings.contains_key(name)) {
                    Some(name) => drop(kept.settings.remove(&name)),
                    // Together with others it makes something else wrong.
                    None => kept.settings.clear(),
                }
            }
        }
    }
    settings
}

/// What holds: the settings, and what the store adds to them.
fn effective(settings: &Settings, found: &Found, kept: &Kept, hash_key: Option<&HashKey>) -> Config {
    let mut config = settings.config.clone();
    config.memory = config.memory.or(found.memory);
    config.admin_token = config.admin_token.or_else(|| found.admin_token.clone());
    projects::add(&mut config, &kept.projects);
    clients::add(&mut config, &kept.clients, hash_key);
    keys::add(&mut config, &kept.keys);
    config
}

/// What to tell of settings, without what the store makes good.
fn notices(settings: &Settings, config: &Config) -> Vec<String> {
    let (has_keys, has_clients) = (!config.keys.is_empty(), !config.clients.is_empty());
    let mut notices: Vec<Notice> = settings.notices.clone();
    notices.retain(|notice| match notice {
        Notice::PoolClosed => !has_clients,
        Notice::ClientsWithoutPool => !has_keys,
        _ => true,
    });
    if has_keys && !has_clients && !notices.contains(&Notice::PoolClosed) {
        notices.push(Notice::PoolClosed);
    }
    notices.iter().map(ToString::to_string).collect()
}

/// A field that was given, be it as null.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests;
