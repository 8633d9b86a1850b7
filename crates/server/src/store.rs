//! What outlives a restart: an SQLite database in the data folder.
//!
//! At the start it is read whole, before anything is served, and told to the gateway; from then on it is only written, by
//! a thread of its own behind a bounded queue, so that a disk which is slow or full costs memory and never a request.
//! What is written merges: rests, limits, set-asides and owners of objects as the changes of core's state do. Nothing
//! secret is in it but what was said, and that is sealed. See `docs/store.md`.

mod backup;
mod book;
mod entry;
mod folder;
mod load;
mod queue;
mod retention;
mod rows;
mod schema;
mod seal;
mod usage;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use libra_core::event::Event;
use libra_core::gateway::Gateway;
use libra_core::secret::ApiKey;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _};

pub(crate) use self::backup::{backup, restore};
pub(crate) use self::book::{Book, Entry as Change, Kept, KeptClient, KeptKey, Note, Noted};
use self::entry::Entry;
use self::folder::Folder;
use self::queue::Queue;
pub(crate) use self::retention::Retention;
use self::schema::MIGRATIONS;
use self::seal::Seal;
use self::writer::Writer;
use crate::clock;
use crate::settings::{Place, StoreSettings};

/// How often is fetched what core has learned.
const FETCHED: Duration = Duration::from_millis(200);

/// How long an answer waits at most for what it made to be on disk. Longer, and the disk is slow: it goes on.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long the end of the process waits for the last rows.
const FAREWELL: Duration = Duration::from_secs(10);

/// What is sealed to see whether the secret is still the same, and what it is about.
const SINGLE: &str = "single";
const KNOWN: &[u8] = b"libra";

/// Why there is no store, or a command about it failed.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// No data folder is known on this machine.
    NoFolder,
    /// The data folder cannot be used.
    Folder { path: PathBuf, problem: String },
    /// Another process uses it.
    InUse(PathBuf),
    /// The database is of a newer Libra.
    Newer { path: PathBuf, version: u32, newest: u32 },
    /// The database is not one of Libra's.
    Foreign(PathBuf),
    /// What is sealed in it does not open.
    OtherSecret(PathBuf),
    /// Another secret is wanted, and none was given.
    NoNewSecret,
    /// The database is not whole.
    Damaged { path: PathBuf, found: String },
    /// There is no store.
    Nothing(PathBuf),
    /// A file cannot be read or written.
    File { path: PathBuf, problem: String },
    /// SQLite's word.
    Database(rusqlite::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFolder => f.write_str("there is no data folder (LIBRA_DATA)"),
            Self::Folder { path, problem } => {
                write!(f, "the data folder {} cannot be used: {problem}", path.display())
            }
            Self::InUse(path) => write!(
                f,
                "another libra uses the data folder {}: stop it, or set LIBRA_DATA to another folder (--ephemeral \
                 runs without one)",
                path.display()
            ),
            Self::Newer { path, version, newest } => write!(
                f,
                "{} was written by a newer libra (form {version}; this one knows forms up to {newest}): use that one, \
                 or a backup that an older one has made",
                path.display()
            ),
            Self::Foreign(path) => write!(f, "{} is not a store of libra's", path.display()),
            Self::OtherSecret(path) => write!(
                f,
                "{} was sealed with another secret: set LIBRA_SECRET as it was, or put back the file named secret \
                 that was in the data folder",
                path.display()
            ),
            Self::NoNewSecret => f.write_str(
                "LIBRA_SECRET is set: set LIBRA_SECRET_NEW to the secret that is to follow it (openssl rand -base64 32)",
            ),
            Self::Damaged { path, found } => write!(f, "{} is damaged: {found}", path.display()),
            Self::Nothing(path) => write!(f, "there is no store at {}", path.display()),
            Self::File { path, problem } => write!(f, "{}: {problem}", path.display()),
            Self::Database(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// Sealing fails only where the system gives no randomness.
impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Database(rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    }
}

impl StoreError {
    /// Whether the place is to blame, and not what is in it.
    fn is_of_place(&self) -> bool {
        match self {
            Self::NoFolder | Self::Folder { .. } => true,
            Self::Database(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
            ),
            _ => false,
        }
    }
}

/// A store that was opened and not told to a gateway.
pub(crate) struct Opened {
    folder: Folder,
    database: Connection,
    seal: Seal,
    retention: Retention,
}

/// Opens the store. None: none is wanted, or the machine has no place for one and none was named.
///
/// # Errors
/// The folder that was named cannot be used; another process uses it; what is in it cannot be used.
pub(crate) fn open(settings: &StoreSettings) -> Result<Option<Opened>, StoreError> {
    if settings.place == Place::Nowhere {
        return Ok(None);
    }
    match Opened::open(settings) {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if error.is_of_place() && !matches!(settings.place, Place::Named(_)) => {
            tracing::warn!(
                "nothing is stored, and what is learned is lost when libra ends: {error}; set LIBRA_DATA to a folder, \
                 or to off if that is meant"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Opens the store that is there, for a command that works on it while no gateway runs.
///
/// # Errors
/// There is none; a gateway uses it; what is in it cannot be used.
pub(crate) fn open_existing(settings: &StoreSettings) -> Result<Opened, StoreError> {
    let path = folder::database_in(settings.folder()?);
    if path.is_file() { Opened::open(settings) } else { Err(StoreError::Nothing(path)) }
}

impl Opened {
    fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        let folder = Folder::hold(settings.folder()?)?;
        let path = folder.database()?;
        let mut database = Connection::open(&path)?;
        database.busy_timeout(Duration::from_secs(5))?;
        // Only a database without tables takes this in.
        database.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        // The end of the process loses nothing, that of the machine the last moments.
        database.pragma_update(None, "synchronous", "NORMAL")?;
        database.pragma_update(None, "journal_size_limit", 16 << 20)?;
        schema::migrate(&mut database, &path, &MIGRATIONS)?;
        let seal = seal_for(settings, &folder, &database, &path)?;
        database
            .execute("INSERT OR IGNORE INTO single VALUES ('sealed', ?1)", [seal.seal(SINGLE, KNOWN)?])?;
        Ok(Self { folder, database, seal, retention: settings.retention })
    }

    /// What the administration keeps in this store.
    ///
    /// # Errors
    /// The database cannot be opened once more.
    pub(crate) fn book(&self) -> Result<Book, StoreError> {
        Book::open(&folder::database_in(self.folder.path()), self.seal.clone())
    }

    /// Seals everything with another secret: `LIBRA_SECRET_NEW`, or one that is made and put into the file. What the
    /// operator has to do now, in words.
    ///
    /// Whenever this is cut short, either the old secret opens the store or the new one does, and a start finds out
    /// which.
    ///
    /// # Errors
    /// `LIBRA_SECRET` is set and `LIBRA_SECRET_NEW` is not; something cannot be read or written.
    pub(crate) fn rekey(mut self, settings: &StoreSettings) -> Result<&'static str, StoreError> {
        let path = self.folder.secret();
        let failed = |error: io::Error| StoreError::File { path: path.clone(), problem: error.to_string() };
        let prepared = self.folder.next_secret();
        let (seal, done) = match (&settings.new_secret, &settings.secret) {
            (Some(secret), _) => {
                (Seal::of(secret), "set LIBRA_SECRET to what LIBRA_SECRET_NEW is, and take that one away")
            }
            (None, Some(_)) => return Err(StoreError::NoNewSecret),
            (None, None) => {
                // One that was left by a rekeying that did not come to its end was never used.
                let _ = std::fs::remove_file(&prepared);
                let text = seal::make(&prepared).map_err(failed)?;
                (Seal::of(&ApiKey::new(&text)), "the new secret is in the data folder")
            }
        };
        self.database.pragma_update(None, "synchronous", "FULL")?;
        book::seal_anew(&mut self.database, &self.seal, &seal)?;
        if settings.new_secret.is_none() {
            std::fs::rename(&prepared, &path).map_err(failed)?;
        }
        // What the old secret opens is not to stay in the file that is written ahead.
        self.database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
        Ok(done)
    }

    /// Tells the gateway what is stored, and from then on stores what it learns.
    ///
    /// # Errors
    /// The database cannot be read; the system has no thread to give.
    pub(crate) fn begin(self, gateway: &Arc<Gateway>) -> Result<Arc<Store>, StoreError> {
        let Self { folder, database, seal, retention } = self;
        let loaded = load::load(&database, &seal, gateway, clock::now())?;
        if loaded.unreadable > 0 {
            tracing::warn!(entries = loaded.unreadable, "not all of the store opens with its secret");
        }
        tracing::info!(
            changes = loaded.changes,
            contents = loaded.contents,
            "the store is {}",
            folder.path().display()
        );
        gateway.keep_contents();
        let queue = Arc::new(Queue::default());
        let writer =
            Writer { database, seal, queue: Arc::clone(&queue), gateway: Arc::clone(gateway), retention };
        let (ended, is_over) = mpsc::channel();
        thread::Builder::new().name("store".to_owned()).spawn(move || {
            writer.run();
            // The folder is free when nobody writes into it.
            drop(folder);
            // Whoever waits for it may have gone.
            let _ = ended.send(());
        })?;
        let store = Arc::new(Store {
            queue,
            gateway: Arc::clone(gateway),
            fetching: Mutex::new(()),
            is_over: Mutex::new(is_over),
        });
        thread::Builder::new().name("store-fetch".to_owned()).spawn({
            let store = Arc::clone(&store);
            move || {
                while !store.queue.is_stopping() {
                    thread::sleep(FETCHED);
                    store.fetch();
                }
            }
        })?;
        Ok(store)
    }
}

/// The store of a running gateway.
pub(crate) struct Store {
    queue: Arc<Queue>,
    gateway: Arc<Gateway>,
    /// Two that fetch at once would bring what they fetch out of order.
    fetching: Mutex<()>,
    is_over: Mutex<mpsc::Receiver<()>>,
}

impl Store {
    /// Notes what happened.
    pub(crate) fn record(&self, event: &Event) {
        if let Some(entry) = Entry::of(event, clock::now()) {
            self.queue.ended(entry);
        }
    }

    /// Brings what core has learned into the queue.
    fn fetch(&self) {
        let _fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        self.queue.learned(self.gateway.take_changes(), self.gateway.take_contents());
    }

    /// Waits until what was learned so far is on disk, but not for long.
    pub(crate) async fn flushed(self: &Arc<Self>) {
        let store = Arc::clone(self);
        // Writing down what conversations have left behind may take a while.
        let _ = tokio::task::spawn_blocking(move || store.fetch()).await;
        // What could not be written in time is written later.
        let _ = tokio::time::timeout(PATIENCE, self.queue.flushed()).await;
    }

    /// Writes what is left. To be called once, when nothing is served any more.
    pub(crate) fn end(&self) {
        self.fetch();
        self.queue.stop();
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        if is_over.recv_timeout(FAREWELL).is_err() {
            tracing::warn!("the last of what was learned is not in the store: it cannot be written");
        }
    }
}

/// What seals the contents of a store.
fn seal_of(settings: &StoreSettings, folder: &Folder) -> Result<Seal, StoreError> {
    match &settings.secret {
        Some(secret) => Ok(Seal::of(secret)),
        None => Seal::in_file(&folder.secret())
            .map_err(|error| StoreError::File { path: folder.secret(), problem: error.to_string() }),
    }
}

/// What seals the contents of a store that is there. Where a rekeying was cut short, or `LIBRA_SECRET` was not set anew
/// after it, that is the new secret.
fn seal_for(
    settings: &StoreSettings,
    folder: &Folder,
    database: &Connection,
    path: &Path,
) -> Result<Seal, StoreError> {
    let prepared = folder.next_secret();
    let failed = |error: io::Error| StoreError::File { path: prepared.clone(), problem: error.to_string() };
    let next = match (&settings.new_secret, &settings.secret) {
        (Some(secret), _) => Some(Seal::of(secret)),
        (None, None) if prepared.is_file() => Some(Seal::in_file(&prepared).map_err(failed)?),
        _ => None,
    };
    if let Some(next) = next
        && is_sealed_by(database, &next)? == Some(true)
    {
        if settings.new_secret.is_none() {
            std::fs::rename(&prepared, folder.secret()).map_err(failed)?;
        }
        return Ok(next);
    }
    let seal = seal_of(settings, folder)?;
    check_secret(database, &seal, path)?;
    Ok(seal)
}

/// Sees whether a store was sealed with this secret. One that has sealed nothing takes any.
fn check_secret(database: &Connection, seal: &Seal, path: &Path) -> Result<(), StoreError> {
    match is_sealed_by(database, seal)? {
        Some(false) => Err(StoreError::OtherSecret(path.to_owned())),
        _ => Ok(()),
    }
}

/// Whether a store was sealed with this secret. None: it has sealed nothing.
fn is_sealed_by(database: &Connection, seal: &Seal) -> Result<Option<bool>, StoreError> {
    let known = database.query_row("SELECT value FROM single WHERE name = 'sealed'", [], |row| row.get(0));
    let known: Option<Vec<u8>> = known.optional()?;
    Ok(known.map(|sealed| seal.open(SINGLE, &sealed).as_deref() == Some(KNOWN)))
}

#[cfg(test)]
pub(crate) mod tests;
