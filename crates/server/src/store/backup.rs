//! Copies of the whole database: `libra backup` while a gateway runs, `libra restore` while none does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::folder::{self, Folder, database_in};
use super::{MIGRATIONS, StoreError, check_secret, schema, seal_of};
use crate::settings::StoreSettings;

/// `libra backup`: copies the store of the data folder, whether or not a gateway uses it.
///
/// # Errors
/// There is no store; the file is there already or cannot be written.
pub(crate) fn backup(settings: &StoreSettings, file: &Path) -> Result<(), StoreError> {
    let path = database_in(settings.folder()?);
    if !path.is_file() {
        return Err(StoreError::Nothing(path));
    }
    let database = open_to_read(&path)?;
    schema::version(&database, &path, MIGRATIONS.len())?;
    copy(&database, file)
}

/// `libra restore`: puts a backup in the place of the store. What was there stays beside it as `….before-restore`.
///
/// # Errors
/// A gateway runs; the file is no whole backup, of a newer Libra, or sealed with another secret.
pub(crate) fn restore(settings: &StoreSettings, file: &Path) -> Result<(), StoreError> {
    let folder = Folder::hold(settings.folder()?)?;
    let backup = open_to_read(file)?;
    schema::version(&backup, file, MIGRATIONS.len())?;
    let found: String = backup.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(StoreError::Damaged { path: file.to_owned(), found });
    }
    check_secret(&backup, &seal_of(settings, &folder)?, file)?;
    let path = database_in(folder.path());
    let fresh = with_ending(&path, ".restored");
    let failed = |error: io::Error| StoreError::File { path: path.clone(), problem: error.to_string() };
    remove(&fresh).map_err(failed)?;
    copy(&backup, &fresh)?;
    if path.is_file() {
        let kept = with_ending(&path, ".before-restore");
        for ending in ["", "-wal", "-shm"] {
            remove(&with_ending(&kept, ending)).map_err(failed)?;
            // What a killed process has left beside it belongs to it.
            match fs::rename(with_ending(&path, ending), with_ending(&kept, ending)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
    }
    fs::rename(&fresh, &path).map_err(failed)
}

/// Copies a database into a new file, as it is at this moment; writers go on meanwhile.
///
/// # Errors
/// The file is there already or cannot be written.
pub(crate) fn copy(database: &Connection, file: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::File { path: file.to_owned(), problem: error.to_string() };
    if file.exists() {
        return Err(failed(io::Error::other("it is there already; it is not overwritten")));
    }
    let partial = with_ending(file, ".partial");
    remove(&partial).map_err(failed)?;
    folder::private().open(&partial).map_err(failed)?;
    let mut copy = Connection::open(&partial)?;
    {
        let backup = Backup::new(database, &mut copy)?;
        // All in one step: in several, every change would begin it anew.
        while backup.step(-1)? != StepResult::Done {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    // One file, which any SQLite can read.
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    copy.close().map_err(|(_, error)| error)?;
    fs::File::open(&partial).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(&partial, file).map_err(failed)
}

/// Opens a database for reading. That of a running gateway needs more than a look: readers leave marks beside it.
fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let failed = |problem: String| StoreError::File { path: path.to_owned(), problem };
    fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(Duration::from_secs(10))?;
    Ok(database)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
