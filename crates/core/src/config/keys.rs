//! The pool and the client keys.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::lists::{Source, split, tables};
use super::projects::{self, ProjectSettings, Said, Tier, agree};
use super::{ConfigError, Notice, PoolKey, SAFETY, values};
use crate::clients::{Client, ClientSettings, Clients};
use crate::gemini::tuning::Safety;
use crate::secret::{ApiKey, KeyId};

/// The most keys that a list may hold.
pub const MAX_KEYS: usize = 200_000;

/// The longest key, in bytes. The longest known ones of Google's have some 60; other services' have some 200.
pub const MAX_KEY_BYTES: usize = 512;

/// Google's keys have 39 characters (`AIza…`) or more (`AQ.…`). What is much shorter was cut off.
pub(super) const SHORTEST_POOL_KEY: usize = 20;

/// 16 random characters cannot be guessed over a network.
pub(super) const SHORTEST_CLIENT_KEY: usize = 16;

/// The pool and who may use it.
pub(super) struct Keys {
    /// The pool, without any key that is a client's.
    pub(super) pool: Vec<PoolKey>,
    /// All clients.
    pub(super) clients: Clients,
    pub(super) projects: Vec<ProjectSettings>,
}

/// Reads the pool, the client keys and the projects.
pub(super) fn read_all(
    source: &Source<'_>,
    has_prices: bool,
    notices: &mut Vec<Notice>,
) -> Result<Keys, ConfigError> {
    let pool = read(source, ["LIBRA_KEYS", "BACKUP_API_KEYS"], Entries::WithProjects)?;
    let clients = read(source, ["LIBRA_CLIENTS", "TRUSTED_API_KEYS"], Entries::Clients)?;
    let paid_only = read_one(source, "LIBRA_PAID_CLIENTS", Entries::Plain)?;
    let paid_only = paid_only.unwrap_or_else(|| List::new("LIBRA_PAID_CLIENTS"));
    let with_safety = read_one(source, "LIBRA_SAFETY_CLIENTS", Entries::WithProjects)?;
    let with_safety = with_safety.unwrap_or_else(|| List::new("LIBRA_SAFETY_CLIENTS"));
    let safety = with_safety.thresholds()?;
    for list in [&pool, &clients, &paid_only, &with_safety] {
        if list.duplicates > 0 {
            notices.push(Notice::Duplicates { variable: list.variable, count: list.duplicates });
        }
    }
    let short = pool.shorter_than(SHORTEST_POOL_KEY);
    if short > 0 {
        notices.push(Notice::ShortKeys { variable: pool.variable, count: short });
    }
    for list in [&clients, &paid_only, &with_safety] {
        let short = list.shorter_than(SHORTEST_CLIENT_KEY);
        if short > 0 {
            notices.push(Notice::GuessableClients { variable: list.variable, count: short });
        }
    }
    let variable = pool.variable;
    let mut entries = pool.entries;
    let clients = settle_clients(clients, paid_only, &safety, has_prices)?;
    match (entries.is_empty(), clients.is_empty()) {
        (false, true) => notices.push(Notice::PoolClosed),
        (true, false) => notices.push(Notice::ClientsWithoutPool),
        (true, true) | (false, false) => {}
    }
    let before = entries.len();
    entries.retain(|entry| !clients.contains(&entry.key.key));
    let count = before - entries.len();
    if count > 0 && entries.is_empty() {
        // Going on without a pool would make a plain proxy of what was meant to be one with a pool.
        return Err(ConfigError::new(
            variable,
            "every key of the pool is also a client key, and client keys never go upstream: give your clients \
             keys of their own making",
        ));
    }
    if count > 0 {
        notices.push(Notice::ClientKeysInPool { count });
    }
    let projects = projects::settle(source, &mut entries, variable, has_prices, notices)?;
    let is_held = clients.iter().any(|client| client.settings.paid_only);
    if !entries.is_empty() && is_held && !has_paid_key(&entries, &projects) {
        notices.push(Notice::PaidClientsWithoutPaidProject);
    }
    let pool = entries.into_iter().map(|entry| entry.key).collect();
    Ok(Keys { pool, clients, projects })
}

/// Puts together what is said of clients in `LIBRA_CLIENTS` and in the lists of those that are paid for, or that have
/// thresholds of their own.
fn settle_clients(
    clients: List,
    paid_only: List,
    safety: &[(ApiKey, Safety)],
    has_prices: bool,
) -> Result<Clients, ConfigError> {
    let variable = clients.variable;
    let mut all: BTreeMap<KeyId, Client> = BTreeMap::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut reserved = 0_u32;
    for (index, Entry { key, client, .. }) in clients.entries.into_iter().enumerate() {
        let settings = client.map(|settings| *settings).unwrap_or_default();
        let problem =
            |problem: String| Err(ConfigError::new(variable, format!("entry {}: {problem}", index + 1)));
        if let (Some(setting), false) = (settings.needs_prices(), has_prices) {
            return problem(format!("has a {setting}, which needs prices: set LIBRA_PRICES too"));
        }
        if !settings.name.is_empty() && !names.insert(settings.name.clone()) {
            return problem(format!("there is another client named \"{}\"", settings.name));
        }
        reserved += u32::from(settings.reserve);
        if reserved > 100 {
            return problem("with it, more than 100 percent of the pool are reserved".to_owned());
        }
        all.insert(key.key.id(), Client::new(key.key, settings));
    }
    let plain = |key: &ApiKey| Client::new(key.clone(), ClientSettings::default());
    for key in paid_only.keys() {
        all.entry(key.id()).or_insert_with(|| plain(key)).settings.paid_only = true;
    }
    for (key, safety) in safety {
        all.entry(key.id()).or_insert_with(|| plain(key)).settings.safety = Some(*safety);
    }
    Ok(all.into_values().collect())
}

fn has_paid_key(entries: &[Entry], projects: &[ProjectSettings]) -> bool {
    let paid = projects.iter().filter(|project| project.tier == Tier::Paid);
    let paid: BTreeSet<&str> = paid.map(|project| project.name.as_str()).collect();
    entries.iter().any(|entry| entry.key.project.as_deref().is_some_and(|project| paid.contains(project)))
}

/// The keys that a person writes on the command line, read like the pool's.
///
/// # Errors
/// An entry that cannot be a key, named by its position; the variable of the error is `KEY`.
pub fn parse_keys(text: &str) -> Result<Vec<PoolKey>, ConfigError> {
    let mut list = List::new("KEY");
    for (index, entry) in split(text).iter().enumerate() {
        list.add(entry, Entries::WithProjects)
            .map_err(|problem| ConfigError::new("KEY", format!("entry {}: {problem}", index + 1)))?;
    }
    Ok(list.entries.into_iter().map(|entry| entry.key).collect())
}

/// A value that is one key.
pub(super) fn single(text: &str) -> Result<ApiKey, String> {
    let entries = split(text);
    let mut entries = entries.iter();
    match (entries.next(), entries.next()) {
        (Some(key), None) => checked(key),
        (None, _) => Err("holds no key".to_owned()),
        (Some(_), Some(_)) => Err("holds more than one key; one is expected".to_owned()),
    }
}

/// What the entries of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entries {
    /// Keys.
    Plain,
    /// Keys, of which some say their project first: `team-a:KEY`.
    WithProjects,
    /// Keys, and tables of a key and what is said of its client.
    Clients,
}

/// Reads a list under its plain or its former name; both may be set if they say the same.
fn read(source: &Source<'_>, names: [&'static str; 2], entries: Entries) -> Result<List, ConfigError> {
    let [plain, former] = names.map(|name| read_one(source, name, entries));
    match (plain?, former?) {
        (Some(plain), Some(former)) if !plain.same_keys(&former) => Err(ConfigError::new(
            plain.variable,
            format!(
                "is set and differs from {}, which means the same: set only one of them",
                former.variable
            ),
        )),
        (Some(list), _) | (None, Some(list)) => Ok(list),
        (None, None) => Ok(List::new(names[0])),
    }
}

fn read_one(source: &Source<'_>, name: &'static str, entries: Entries) -> Result<Option<List>, ConfigError> {
    let parts = source.parts(name)?;
    let mut list = List::new(name);
    for part in &parts {
        if entries != Entries::Plain && !part.is_file {
            let tables = tables(&part.text).map_err(|problem| ConfigError::new(&part.variable, problem))?;
            if let Some(tables) = tables {
                for (index, table) in tables.into_iter().enumerate() {
                    let added = match entries {
                        Entries::Clients => list.add_client(table),
                        Entries::Plain | Entries::WithProjects => list.add_value(table),
                    };
                    added.map_err(|problem| {
                        ConfigError::new(&part.variable, format!("entry {}: {problem}", index + 1))
                    })?;
                }
                continue;
            }
        }
        let unit = if part.is_file { "line" } else { "entry" };
        part.entries(|position, entry| {
            list.add(entry, entries).map_err(|problem| {
                ConfigError::new(part.variable.as_str(), format!("{unit} {position}: {problem}"))
            })
        })?;
    }
    Ok((!parts.is_empty()).then_some(list))
}

/// A key of the pool, and what is said beside it of its project.
#[derive(PartialEq)]
pub(super) struct Entry {
    pub(super) key: PoolKey,
    pub(super) said: Option<Box<Said>>,
    /// What is said of a client.
    client: Option<Box<ClientSettings>>,
}

/// A list as far as it was read.
struct List {
    variable: &'static str,
    entries: Vec<Entry>,
    positions: BTreeMap<KeyId, usize>,
    duplicates: usize,
}

impl List {
    fn new(variable: &'static str) -> Self {
        Self { variable, entries: Vec::new(), positions: BTreeMap::new(), duplicates: 0 }
    }

    fn keys(&self) -> impl Iterator<Item = &ApiKey> {
        self.entries.iter().map(|entry| &entry.key.key)
    }

    /// What stands before the keys, where it is a threshold.
    fn thresholds(&self) -> Result<Vec<(ApiKey, Safety)>, ConfigError> {
        let threshold = |(index, entry): (usize, &Entry)| {
            let word = entry.key.project.as_deref().filter(|_| entry.said.is_none());
            let word = word.ok_or_else(|| "needs a threshold before its key, as in off:KEY".to_owned());
            let safety = word.and_then(|word| values::choice(word, &SAFETY)).map_err(|problem| {
                ConfigError::new(self.variable, format!("entry {}: {problem}", index + 1))
            })?;
            Ok((entry.key.key.clone(), safety))
        };
        self.entries.iter().enumerate().map(threshold).collect()
    }

    /// Takes an entry in, or says what is wrong with it without showing it.
    fn add(&mut self, entry: &str, entries: Entries) -> Result<(), String> {
        let (project, key) = match entries {
            Entries::Plain | Entries::Clients => (None, entry),
            Entries::WithProjects => parted(entry)?,
        };
        let key = checked(key)?;
        self.insert(Entry { key: PoolKey { project, ..PoolKey::from(key) }, said: None, client: None })
    }

    /// Takes an entry of a JSON array of clients in: a text, or a table.
    fn add_client(&mut self, value: Value) -> Result<(), String> {
        match value {
            Value::String(text) => {
                let text = Zeroizing::new(text);
                split(&text).iter().try_for_each(|entry| self.add(entry, Entries::Clients))
            }
            Value::Object(mut table) => {
                let key = key_of(&mut table)?;
                let settings = Box::new(ClientSettings::read(Value::Object(table))?);
                let key = PoolKey::from(checked(key.trim())?);
                self.insert(Entry { key, said: None, client: Some(settings) })
            }
            _ => Err("is neither a text nor a table".to_owned()),
        }
    }

    /// Takes an entry of a JSON array in: a text, or a table.
    fn add_value(&mut self, value: Value) -> Result<(), String> {
        match value {
            Value::String(text) => {
                let text = Zeroizing::new(text);
                split(&text).iter().try_for_each(|entry| self.add(entry, Entries::WithProjects))
            }
            Value::Object(mut table) => {
                let key = key_of(&mut table)?;
                let text = |value: Value| match value {
                    Value::String(text) => Ok(text),
                    _ => Err("is no text".to_owned()),
                };
                let project = projects::taken(&mut table, "project", |value| {
                    text(value).and_then(|text| projects::project_name(&text))
                })?;
                let label = projects::taken(&mut table, "label", |value| {
                    text(value).and_then(|text| projects::label(&text))
                })?;
                let said = Said::take(&mut table)?;
                let said = (!said.is_nothing()).then(|| Box::new(said));
                projects::nothing_left(&table, &format!("key, project, label, {}", projects::SETTINGS))?;
                let (project, key) = match project {
                    Some(project) => (Some(project), key.trim()),
                    None => parted(key.trim())?,
                };
                let key = PoolKey { project, label, ..PoolKey::from(checked(key)?) };
                self.insert(Entry { key, said, client: None })
            }
            _ => Err("is neither a text nor a table".to_owned()),
        }
    }

    /// Takes a key in; one that is known already may add what was not said of it before.
    fn insert(&mut self, entry: Entry) -> Result<(), String> {
        let id = entry.key.key.id();
        if let Some(&position) = self.positions.get(&id) {
            self.duplicates += 1;
            let known = &mut self.entries[position];
            agree(&mut known.key.project, entry.key.project)
                .map_err(|()| "puts a key into another project than an earlier entry did")?;
            agree(&mut known.key.label, entry.key.label)
                .map_err(|()| "gives a key another label than an earlier entry did")?;
            match (&mut known.said, entry.said) {
                (Some(known), Some(said)) => known.merge(*said).map_err(|setting| {
                    format!("says another {setting} of a key's project than an earlier entry did")
                })?,
                (known, said) => *known = known.take().or(said),
            }
            agree(&mut known.client, entry.client)
                .map_err(|()| "says something else of a client than an earlier entry did")?;
            return Ok(());
        }
        if self.entries.len() == MAX_KEYS {
            return Err(format!("is one more than the {MAX_KEYS} keys that a list may hold"));
        }
        self.positions.insert(id, self.entries.len());
        self.entries.push(entry);
        Ok(())
    }

    fn same_keys(&self, other: &Self) -> bool {
        self.entries.len() == other.entries.len()
            && self.entries.iter().all(|entry| {
                let position = other.positions.get(&entry.key.key.id());
                position.is_some_and(|position| other.entries[*position] == *entry)
            })
    }

    fn shorter_than(&self, length: usize) -> usize {
        self.keys().filter(|key| key.expose().len() < length).count()
    }
}

/// The key of a table, taken out of it.
fn key_of(table: &mut Map<String, Value>) -> Result<Zeroizing<String>, String> {
    match table.remove("key") {
        Some(Value::String(key)) => Ok(Zeroizing::new(key)),
        _ => Err("needs a text named key".to_owned()),
    }
}

/// A key, if the text can be one: it has to fit into an HTTP header.
fn checked(text: &str) -> Result<ApiKey, String> {
    if text.is_empty() {
        return Err("has no key".to_owned());
    }
    if text.len() > MAX_KEY_BYTES {
        return Err(format!("has {} bytes; a key has at most {MAX_KEY_BYTES}", text.len()));
    }
    if ["\\n", "\\r", "\\t"].iter().any(|escape| text.contains(escape)) {
        return Err("holds \\n as two characters: part the keys by commas or real line breaks".to_owned());
    }
    match text.chars().position(|c| !c.is_ascii_graphic()) {
        Some(at) => Err(format!("character {} is not a visible ASCII character", at + 1)),
        None => Ok(ApiKey::new(text)),
    }
}

/// A key, and the project before it if one is named.
fn parted(entry: &str) -> Result<(Option<String>, &str), String> {
    match entry.split_once(':') {
        Some(("", _)) => Err("has no project before its colon".to_owned()),
        Some((project, key)) => Ok((Some(projects::project_name(project)?), key)),
        None => Ok((None, entry)),
    }
}
