//! The pool and the client keys.

use std::collections::BTreeMap;

use super::lists::{Source, split};
use super::{ConfigError, Notice, PoolKey};
use crate::secret::{ApiKey, KeyId, KeySet};

/// The most keys that a list may hold.
pub const MAX_KEYS: usize = 200_000;

/// The longest key, in bytes. The longest known ones of Google's have some 60; other services' have some 200.
pub const MAX_KEY_BYTES: usize = 512;

/// The longest project name, in bytes.
const MAX_PROJECT_BYTES: usize = 128;

/// Google's keys have 39 characters (`AIza…`) or more (`AQ.…`). What is much shorter was cut off.
const SHORTEST_POOL_KEY: usize = 20;

/// 16 random characters cannot be guessed over a network.
const SHORTEST_CLIENT_KEY: usize = 16;

/// The pool and the client keys, neither with any key of the other's.
pub(super) fn pool_and_clients(
    source: &Source<'_>,
    notices: &mut Vec<Notice>,
) -> Result<(Vec<PoolKey>, KeySet), ConfigError> {
    let pool = read(source, ["LIBRA_KEYS", "BACKUP_API_KEYS"], Entries::WithProjects)?;
    let clients = read(source, ["LIBRA_CLIENTS", "TRUSTED_API_KEYS"], Entries::Plain)?;
    for list in [&pool, &clients] {
        if list.duplicates > 0 {
            notices.push(Notice::Duplicates { variable: list.variable, count: list.duplicates });
        }
    }
    let short = pool.shorter_than(SHORTEST_POOL_KEY);
    if short > 0 {
        notices.push(Notice::ShortKeys { variable: pool.variable, count: short });
    }
    let short = clients.shorter_than(SHORTEST_CLIENT_KEY);
    if short > 0 {
        notices.push(Notice::GuessableClients { variable: clients.variable, count: short });
    }
    let variable = pool.variable;
    let (mut pool, clients) =
        (pool.keys, clients.keys.into_iter().map(|entry| entry.key).collect::<KeySet>());
    match (pool.is_empty(), clients.is_empty()) {
        (false, true) => notices.push(Notice::PoolClosed),
        (true, false) => notices.push(Notice::ClientsWithoutPool),
        (true, true) | (false, false) => {}
    }
    let before = pool.len();
    pool.retain(|entry| !clients.contains(&entry.key));
    let count = before - pool.len();
    if count > 0 && pool.is_empty() {
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
    Ok((pool, clients))
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
    Ok(list.keys)
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
        let unit = if part.is_file { "line" } else { "entry" };
        part.entries(|position, entry| {
            list.add(entry, entries).map_err(|problem| {
                ConfigError::new(part.variable.as_str(), format!("{unit} {position}: {problem}"))
            })
        })?;
    }
    Ok((!parts.is_empty()).then_some(list))
}

/// A list as far as it was read.
struct List {
    variable: &'static str,
    keys: Vec<PoolKey>,
    positions: BTreeMap<KeyId, usize>,
    duplicates: usize,
}

impl List {
    fn new(variable: &'static str) -> Self {
        Self { variable, keys: Vec::new(), positions: BTreeMap::new(), duplicates: 0 }
    }

    /// Takes an entry in, or says what is wrong with it without showing it.
    fn add(&mut self, entry: &str, entries: Entries) -> Result<(), String> {
        let (project, key) = match entries {
            Entries::Plain => (None, entry),
            Entries::WithProjects => match entry.split_once(':') {
                Some((project, key)) => (Some(checked_project(project)?), key),
                None => (None, entry),
            },
        };
        let key = checked(key)?;
        if let Some(&position) = self.positions.get(&key.id()) {
            self.duplicates += 1;
            let known = &mut self.keys[position].project;
            match (known.as_ref(), project) {
                (Some(known), Some(project)) if *known != project => {
                    return Err("puts a key into another project than an earlier entry did".to_owned());
                }
                (None, project) => *known = project,
                (Some(_), _) => {}
            }
            return Ok(());
        }
        if self.keys.len() == MAX_KEYS {
            return Err(format!("is one more than the {MAX_KEYS} keys that a list may hold"));
        }
        self.positions.insert(key.id(), self.keys.len());
        self.keys.push(PoolKey { key, project });
        Ok(())
    }

    fn same_keys(&self, other: &Self) -> bool {
        self.keys.len() == other.keys.len()
            && self.keys.iter().all(|entry| {
                other.positions.get(&entry.key.id()).is_some_and(|position| other.keys[*position] == *entry)
            })
    }

    fn shorter_than(&self, length: usize) -> usize {
        self.keys.iter().filter(|entry| entry.key.expose().len() < length).count()
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

fn checked_project(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("has no project before its colon".to_owned());
    }
    if text.len() > MAX_PROJECT_BYTES || !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err(format!("a project has at most {MAX_PROJECT_BYTES} visible ASCII characters"));
    }
    Ok(text.to_owned())
}
