//! What the administration keeps: keys of the pool, clients, settings, projects, and the log of changes.
//!
//! Unlike all that is learned, this is on disk when it is said to be: a connection of its own, one transaction a change,
//! and the disk confirms it (`synchronous=FULL`). Keys and settings are sealed; of clients' keys there is a keyed hash.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use libra_core::clients::{HashKey, KeyHash};
use libra_core::secret::{ApiKey, KeyId};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use serde_json::Value;
use zeroize::Zeroizing;

use super::rows::key_id;
use super::seal::{self, Seal};
use super::{SINGLE, StoreError};

/// So many entries of the log of changes are kept: some megabytes.
const AUDITED: i64 = 10_000;

/// Where the key with which clients' keys are hashed is, sealed.
const HASH_KEY: &str = "client-hash";

/// All that is kept.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// In the pool's order.
    pub(crate) keys: Vec<KeptKey>,
    pub(crate) clients: BTreeMap<KeyId, KeptClient>,
    pub(crate) settings: BTreeMap<String, String>,
    /// What is said of projects, as `LIBRA_PROJECTS` has it, by name.
    pub(crate) projects: BTreeMap<String, Value>,
    /// Entries that do not open: somebody else has changed them.
    pub(crate) unreadable: usize,
}

impl Kept {
    /// Takes changes in that were written.
    pub(crate) fn take(&mut self, changes: Vec<Entry>) {
        let mut places: HashMap<KeyId, usize> =
            self.keys.iter().enumerate().map(|(place, key)| (key.id, place)).collect();
        let mut gone: HashSet<KeyId> = HashSet::new();
        for change in changes {
            match change {
                Entry::Key(key) => match places.get(&key.id) {
                    Some(&place) => self.keys[place] = key,
                    None => {
                        places.insert(key.id, self.keys.len());
                        self.keys.push(key);
                    }
                },
                Entry::NoKey(id) => drop(gone.insert(id)),
                Entry::Client(id, client) => drop(self.clients.insert(id, client)),
                Entry::NoClient(id) => drop(self.clients.remove(&id)),
                Entry::Setting(name, Some(value)) => drop(self.settings.insert(name, value)),
                Entry::Setting(name, None) => drop(self.settings.remove(&name)),
                Entry::Project(name, Some(said)) => drop(self.projects.insert(name, said)),
                Entry::Project(name, None) => drop(self.projects.remove(&name)),
            }
        }
        if !gone.is_empty() {
            self.keys.retain(|key| !gone.contains(&key.id));
        }
    }
}

/// A key, or what is said of one that the settings have.
#[derive(Debug, Clone)]
pub(crate) struct KeptKey {
    pub(crate) id: KeyId,
    pub(crate) key: Option<ApiKey>,
    /// What is said of it, by field.
    pub(crate) said: Value,
    /// Milliseconds since 1970.
    pub(crate) added_at: u64,
}

/// A client.
#[derive(Debug, Clone)]
pub(crate) struct KeptClient {
    /// What stands for its present key.
    pub(crate) key: KeyId,
    pub(crate) hash: KeyHash,
    pub(crate) said: Value,
    /// Milliseconds since 1970.
    pub(crate) added_at: u64,
}

/// A change to be written.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A key is there, or is said to be otherwise.
    Key(KeptKey),
    NoKey(KeyId),
    Client(KeyId, KeptClient),
    NoClient(KeyId),
    Setting(String, Option<String>),
    Project(String, Option<Value>),
}

/// An entry for the log of changes.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) at: u64,
    pub(crate) actor: String,
    pub(crate) action: &'static str,
    pub(crate) subject: String,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// An entry of the log of changes.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) number: u64,
    pub(crate) at: u64,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// The administration's part of a store.
pub(crate) struct Book {
    database: Connection,
    seal: Seal,
}

impl Book {
    pub(super) fn open(path: &Path, seal: Seal) -> Result<Self, StoreError> {
        let database = Connection::open(path)?;
        // The thread that writes what is learned holds the database for moments only.
        database.busy_timeout(Duration::from_secs(5))?;
        database.pragma_update(None, "synchronous", "FULL")?;
        Ok(Self { database, seal })
    }

    /// The key with which clients' keys are hashed, made where there is none.
    ///
    /// # Errors
    /// The database cannot be read or written; the key does not open.
    pub(crate) fn hash_key(&mut self) -> Result<HashKey, StoreError> {
        let sql = "SELECT value FROM single WHERE name = ?1";
        let known: Option<Vec<u8>> = self.database.query_row(sql, [HASH_KEY], |row| row.get(0)).optional()?;
        if let Some(sealed) = known {
            let open = self.seal.open(HASH_KEY, &sealed).map(Zeroizing::new);
            let bytes = open.and_then(|open| <[u8; 32]>::try_from(open.as_slice()).ok());
            return bytes
                .map(HashKey::new)
                .ok_or_else(|| StoreError::OtherSecret(self.database.path().unwrap_or_default().into()));
        }
        let bytes = Zeroizing::new(seal::random::<32>()?);
        let sealed = self.seal.seal(HASH_KEY, &*bytes)?;
        self.database.execute("INSERT INTO single VALUES (?1, ?2)", params![HASH_KEY, sealed])?;
        Ok(HashKey::new(*bytes))
    }

    /// All that is kept.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn read(&self) -> Result<Kept, StoreError> {
        let mut kept = Kept::default();
        let mut each = |sql: &str, take: &mut dyn FnMut(&mut Kept, &Row<'_>) -> rusqlite::Result<bool>| {
            let mut statement = self.database.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if !take(&mut kept, row)? {
                    kept.unreadable += 1;
                }
            }
            Ok::<_, StoreError>(())
        };
        each("SELECT key, sealed, said, added_at FROM pool_keys ORDER BY position", &mut |kept, row| {
            let id = key_of(row, 0)?;
            let sealed = row.get_ref(1)?.as_blob_or_null()?;
            let key = match sealed {
                Some(sealed) => match self.opened(&about_key(id), sealed) {
                    Some(text) => Some(ApiKey::new(&text)),
                    None => return Ok(false),
                },
                None => None,
            };
            if key.as_ref().is_some_and(|key| key.id() != id) {
                return Ok(false);
            }
            kept.keys.push(KeptKey {
                id,
                key,
                said: json(row, 2)?.unwrap_or_default(),
                added_at: number(row, 3)?,
            });
            Ok(true)
        })?;
        each("SELECT client, key, hash, said, added_at FROM clients", &mut |kept, row| {
            let client = KeptClient {
                key: key_of(row, 1)?,
                hash: KeyHash::from_bytes(row.get(2)?),
                said: json(row, 3)?.unwrap_or_default(),
                added_at: number(row, 4)?,
            };
            kept.clients.insert(key_of(row, 0)?, client);
            Ok(true)
        })?;
        each("SELECT name, sealed FROM settings", &mut |kept, row| {
            let name: String = row.get(0)?;
            let Some(value) = self.opened(&about_setting(&name), row.get_ref(1)?.as_blob()?) else {
                return Ok(false);
            };
            kept.settings.insert(name, value.to_string());
            Ok(true)
        })?;
        each("SELECT name, said FROM projects", &mut |kept, row| {
            kept.projects.insert(row.get(0)?, json(row, 1)?.unwrap_or_default());
            Ok(true)
        })?;
        Ok(kept)
    }

    fn opened(&self, about: &str, sealed: &[u8]) -> Option<Zeroizing<String>> {
        let bytes = self.seal.open(about, sealed)?;
        // What is not text is wiped all the same.
        String::from_utf8(bytes)
            .map(Zeroizing::new)
            .map_err(|error| drop(Zeroizing::new(error.into_bytes())))
            .ok()
    }

    /// Writes changes and notes of them: all, and confirmed by the disk, or nothing.
    ///
    /// # Errors
    /// The database cannot be written.
    pub(crate) fn write(&mut self, entries: &[Entry], notes: &[Note]) -> Result<(), StoreError> {
        let seal = &self.seal;
        let transaction = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Keys may come and go by the ten thousand.
        let mut put_key = transaction.prepare(
            "INSERT INTO pool_keys (key, sealed, said, added_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (key) DO UPDATE SET sealed = excluded.sealed, said = excluded.said",
        )?;
        let mut delete_key = transaction.prepare("DELETE FROM pool_keys WHERE key = ?1")?;
        for entry in entries {
            match entry {
                Entry::Key(KeptKey { id, key, said, added_at }) => {
                    let sealed = key.as_ref().map(|key| seal.seal(&about_key(*id), key.expose().as_bytes()));
                    put_key.execute(params![
                        key_id(*id),
                        sealed.transpose()?,
                        said.to_string(),
                        int(*added_at)
                    ])?;
                }
                Entry::NoKey(id) => {
                    delete_key.execute([key_id(*id)])?;
                }
                Entry::Client(id, KeptClient { key, hash, said, added_at }) => {
                    let mut put = transaction.prepare(
                        "INSERT INTO clients (client, key, hash, said, added_at) VALUES (?1, ?2, ?3, ?4, ?5)
                         ON CONFLICT (client) DO UPDATE SET
                             key = excluded.key, hash = excluded.hash, said = excluded.said",
                    )?;
                    let (hash, said) = (hash.as_bytes().as_slice(), said.to_string());
                    put.execute(params![key_id(*id), key_id(*key), hash, said, int(*added_at)])?;
                }
                Entry::NoClient(id) => {
                    transaction.execute("DELETE FROM clients WHERE client = ?1", [key_id(*id)])?;
                }
                Entry::Setting(name, Some(value)) => {
                    let sealed = seal.seal(&about_setting(name), value.as_bytes())?;
                    transaction
                        .execute("INSERT OR REPLACE INTO settings VALUES (?1, ?2)", params![name, sealed])?;
                }
                Entry::Setting(name, None) => {
                    transaction.execute("DELETE FROM settings WHERE name = ?1", [name])?;
                }
                Entry::Project(name, Some(said)) => {
                    let said = said.to_string();
                    transaction.execute("INSERT OR REPLACE INTO projects VALUES (?1, ?2)", [name, &said])?;
                }
                Entry::Project(name, None) => {
                    transaction.execute("DELETE FROM projects WHERE name = ?1", [name])?;
                }
            }
        }
        for Note { at, actor, action, subject, before, after } in notes {
            let text = |value: &Option<Value>| value.as_ref().map(Value::to_string);
            let mut put = transaction.prepare(
                "INSERT INTO audit (at, actor, action, subject, before, after) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            put.execute(params![int(*at), actor, action, subject, text(before), text(after)])?;
        }
        drop((put_key, delete_key));
        transaction
            .execute("DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?1", [AUDITED])?;
        transaction.commit()?;
        Ok(())
    }

    /// The log of changes, newest first: at most `limit` entries with numbers below `before`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn notes(&self, before: Option<u64>, limit: usize) -> Result<Vec<Noted>, StoreError> {
        let mut statement = self.database.prepare(
            "SELECT number, at, actor, action, subject, before, after FROM audit WHERE number < ?1
             ORDER BY number DESC LIMIT ?2",
        )?;
        let noted = |row: &Row<'_>| {
            Ok(Noted {
                number: number(row, 0)?,
                at: number(row, 1)?,
                actor: row.get(2)?,
                action: row.get(3)?,
                subject: row.get(4)?,
                before: json(row, 5)?,
                after: json(row, 6)?,
            })
        };
        let (before, limit) = (before.map_or(i64::MAX, int), i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = statement.query_map([before, limit], noted)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Seals all that is sealed in a store with another secret, in one transaction.
///
/// # Errors
/// The database cannot be read or written; something in it does not open.
pub(super) fn seal_anew(database: &mut Connection, old: &Seal, new: &Seal) -> Result<(), StoreError> {
    let path = database.path().unwrap_or_default().to_owned();
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    /// So many rows; an answer has at most 16 MiB.
    const TOGETHER: usize = 20;
    /// A table, the column that is sealed, what tells rows apart, and what each is about.
    type About = fn(&Row<'_>) -> rusqlite::Result<String>;
    let tables: [(&str, &str, &str, About); 5] = [
        ("single", "value", "name", |row| row.get(2)),
        ("pool_keys", "sealed", "key", |row| Ok(about_key(key_of(row, 2)?))),
        ("settings", "sealed", "name", |row| Ok(about_setting(&row.get::<_, String>(2)?))),
        ("calls", "said", "name", |row| Ok(super::rows::about_call(&row.get::<_, [u8; 16]>(2)?))),
        ("answers", "said", "id, client, before", |row| {
            let (id, before) = (row.get::<_, String>(2)?, row.get::<_, Option<String>>(4)?);
            Ok(super::rows::about_answer(&id, key_of(row, 3)?, before.as_deref()))
        }),
    ];
    for (table, column, names, about) in tables {
        let place_of = match table {
            "single" | "settings" => "name",
            _ => "rowid",
        };
        // Some rows at a time, as a store may be larger than memory; none is changed while rows are read.
        let sql = format!(
            "SELECT {place_of}, {column}, {names} FROM {table}
             WHERE {column} IS NOT NULL AND (?1 IS NULL OR {place_of} > ?1) ORDER BY {place_of} LIMIT {TOGETHER}"
        );
        let mut select = transaction.prepare(&sql)?;
        let update = format!("UPDATE {table} SET {column} = ?1 WHERE {place_of} = ?2");
        let mut put = transaction.prepare(&update)?;
        let mut last = Sql::Null;
        loop {
            let mut sealed_anew = Vec::new();
            let mut count = 0;
            let mut rows = select.query([&last])?;
            let mut next = last.clone();
            while let Some(row) = rows.next()? {
                count += 1;
                next = row.get(0)?;
                let about = about(row)?;
                let about = if table == "single" && about == "sealed" { SINGLE.to_owned() } else { about };
                match old.open(&about, &row.get::<_, Vec<u8>>(1)?).map(Zeroizing::new) {
                    Some(open) => sealed_anew.push((new.seal(&about, &open)?, next.clone())),
                    // It has not been readable before either.
                    None if ["calls", "answers"].contains(&table) => {}
                    None => {
                        let found = format!("an entry of {table} does not open");
                        return Err(StoreError::Damaged { path: path.into(), found });
                    }
                }
            }
            drop(rows);
            for (sealed, place) in sealed_anew {
                put.execute(params![sealed, place])?;
            }
            if count < TOGETHER {
                break;
            }
            last = next;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn about_key(key: KeyId) -> String {
    format!("the pool's {key}")
}

fn about_setting(name: &str) -> String {
    format!("setting {name}")
}

fn key_of(row: &Row<'_>, at: usize) -> rusqlite::Result<KeyId> {
    Ok(KeyId::from_u64(row.get::<_, i64>(at)?.cast_unsigned()))
}

fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(at)?).unwrap_or(0))
}

fn json(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Value>> {
    let text: Option<String> = row.get(at)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Times and numbers of entries are far from where they would not fit.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
