//! The tables, as a list of migrations: each is run once, in a transaction, after a copy of what was there.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{StoreError, backup};

/// Tells a store of Libra's from any other SQLite database: "Libr".
pub(crate) const APPLICATION: i32 = 0x4c69_6272;

/// All migrations. What is in use is never changed, only followed.
///
/// Identifiers of keys, clients and projects are the 64 bits of their fingerprints (`key-…`), times are milliseconds
/// since 1970.
pub(crate) const MIGRATIONS: [&str; 2] = [TABLES, ADMINISTRATION];

const TABLES: &str = "
-- Rests: the later end counts. No model is the whole project.
CREATE TABLE rests (
    project INTEGER NOT NULL, model TEXT NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (project, model)
) WITHOUT ROWID;

-- Which projects are one, and which keys are one of their own: the stronger word counts, then the newer.
CREATE TABLE joins (
    project INTEGER NOT NULL, other INTEGER NOT NULL, said_by INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (project, other)
) WITHOUT ROWID;
CREATE TABLE splits (key INTEGER PRIMARY KEY, said_by INTEGER NOT NULL, at INTEGER NOT NULL);

-- Limits: the newest counts.
CREATE TABLE limits (
    project INTEGER NOT NULL, model TEXT NOT NULL, kind TEXT NOT NULL, value INTEGER NOT NULL,
    PRIMARY KEY (project, model, kind)
) WITHOUT ROWID;

-- What projects have served in a day, where their owners bound it: the greater counts. Cost in millionths.
CREATE TABLE spent (
    project INTEGER PRIMARY KEY, ends INTEGER NOT NULL, requests INTEGER NOT NULL, cost INTEGER NOT NULL
);

-- Keys that were set aside, and when they came back: the newer counts.
CREATE TABLE keys (
    key INTEGER PRIMARY KEY, why TEXT, since INTEGER NOT NULL DEFAULT 0, restored INTEGER NOT NULL DEFAULT 0
);

-- Objects, by a key of the project that has each, and who made it.
CREATE TABLE objects (
    name TEXT PRIMARY KEY, key INTEGER NOT NULL, maker INTEGER, until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX objects_until ON objects (until);

-- Sealed: signatures of calls, by a hash of the client and the call.
CREATE TABLE calls (name BLOB PRIMARY KEY, at INTEGER NOT NULL, said BLOB NOT NULL);
CREATE INDEX calls_at ON calls (at);

-- Sealed: answers that can be gone on from.
CREATE TABLE answers (
    id TEXT PRIMARY KEY, client INTEGER NOT NULL, before TEXT, until INTEGER NOT NULL, shown INTEGER NOT NULL,
    said BLOB NOT NULL
);
-- All that is asked of many at once, so that what was said is not read for it.
CREATE INDEX answers_held ON answers (id, before, until, shown);

-- What was used, by Pacific day. Client 0: all that brought their own keys. Project 0: none of the pool's.
CREATE TABLE usage (
    day TEXT NOT NULL, client INTEGER NOT NULL, project INTEGER NOT NULL, model TEXT NOT NULL,
    requests INTEGER NOT NULL, not_answered INTEGER NOT NULL, attempts INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL, total_tokens INTEGER NOT NULL,
    PRIMARY KEY (day, client, project, model)
) WITHOUT ROWID;

-- The log of requests: nothing of what was said.
CREATE TABLE requests (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, request TEXT NOT NULL, client INTEGER NOT NULL,
    dialect TEXT NOT NULL, model TEXT, status INTEGER NOT NULL, ending TEXT NOT NULL, attempts INTEGER NOT NULL,
    key INTEGER, project INTEGER, prompt_tokens INTEGER, total_tokens INTEGER, ms INTEGER NOT NULL
);
CREATE INDEX requests_at ON requests (at);

-- Single values: by what contents are sealed.
CREATE TABLE single (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
";

const ADMINISTRATION: &str = "
-- Keys of the pool, in its order, sealed. None is sealed where the settings have the key and something is said of it here.
CREATE TABLE pool_keys (
    position INTEGER PRIMARY KEY AUTOINCREMENT, key INTEGER NOT NULL UNIQUE, sealed BLOB, said TEXT NOT NULL,
    added_at INTEGER NOT NULL
);

-- Clients: what stands for each, what stands for its present key, that key's keyed hash, and what is said of it.
CREATE TABLE clients (
    client INTEGER PRIMARY KEY, key INTEGER NOT NULL UNIQUE, hash BLOB NOT NULL, said TEXT NOT NULL,
    added_at INTEGER NOT NULL
);

-- Settings, sealed, as some are secrets.
CREATE TABLE settings (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;

-- What is said of projects beyond the settings.
CREATE TABLE projects (name TEXT PRIMARY KEY, said TEXT NOT NULL) WITHOUT ROWID;

-- The log of changes: who, what, before and after. Nothing secret is in it.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, before TEXT, after TEXT
);
";

/// Brings a database to the newest form. What was there is copied beside it first, as `….before-2` for the second.
///
/// # Errors
/// The database is not one of Libra's, or of a newer Libra; it cannot be read or written.
pub(crate) fn migrate(database: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), StoreError> {
    let found = version(database, path, migrations.len())?;
    for (version, migration) in (1..).zip(migrations).skip(found as usize) {
        if version > 1 {
            backup::copy(database, &before(path, version))?;
        }
        let transaction = database.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// How many migrations a database has behind it; none where it is new.
///
/// # Errors
/// As above.
pub(crate) fn version(database: &Connection, path: &Path, newest: usize) -> Result<u32, StoreError> {
    let application: i32 = database.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let newest = u32::try_from(newest).unwrap_or(u32::MAX);
    let version: u32 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: u32 = database.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version) {
        (APPLICATION, version) if version > newest => {
            Err(StoreError::Newer { path: path.to_owned(), version, newest })
        }
        (APPLICATION, version) => Ok(version),
        (0, 0) if tables == 0 => Ok(0),
        _ => Err(StoreError::Foreign(path.to_owned())),
    }
}

/// Where what was there before a migration is copied to.
fn before(path: &Path, version: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".before-{version}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::*;

    #[test]
    fn migrations_run_once_and_leave_a_copy_of_what_was() {
        let scratch = Scratch::new();
        let path = scratch.path().join("libra.db");
        let mut database = Connection::open(&path).expect("a database");
        migrate(&mut database, &path, &MIGRATIONS).expect("a new one");
        migrate(&mut database, &path, &MIGRATIONS).expect("nothing to do");
        assert!(!before(&path, 1).exists(), "there was nothing to copy");
        database.execute("INSERT INTO splits VALUES (7, 1, 2)", []).expect("a row");
        let further = [&MIGRATIONS[..], &["ALTER TABLE splits ADD COLUMN more INTEGER"]].concat();
        let newest = MIGRATIONS.len() as u32;
        migrate(&mut database, &path, &further).expect("one more");
        let more = "SELECT more IS NULL FROM splits WHERE key = 7";
        assert!(database.query_row(more, [], |row| row.get::<_, bool>(0)).expect("the row is there"));
        let copy = Connection::open(before(&path, newest + 1)).expect("a copy");
        assert!(copy.query_row(more, [], |_| Ok(())).is_err(), "it has no such column");
        let rows: u32 = copy.query_row("SELECT count(*) FROM splits", [], |row| row.get(0)).expect("rows");
        assert_eq!(rows, 1);
        let refused = migrate(&mut database, &path, &MIGRATIONS).expect_err("newer than this program");
        assert!(
            matches!(refused, StoreError::Newer { version, newest: known, .. }
                if version == newest + 1 && known == newest),
            "{refused}"
        );
    }

    #[test]
    fn a_failed_migration_changes_nothing() {
        let scratch = Scratch::new();
        let path = scratch.path().join("libra.db");
        let mut database = Connection::open(&path).expect("a database");
        migrate(&mut database, &path, &MIGRATIONS).expect("a new one");
        let wrong =
            [&MIGRATIONS[..], &["CREATE TABLE other (a); ALTER TABLE nobody ADD COLUMN more"]].concat();
        migrate(&mut database, &path, &wrong).expect_err("there is no such table");
        let newest = MIGRATIONS.len();
        assert_eq!(version(&database, &path, newest).expect("it is as it was"), newest as u32);
        assert!(database.execute("INSERT INTO other VALUES (1)", []).is_err());
    }

    #[test]
    fn somebody_elses_database_is_left_alone() {
        let scratch = Scratch::new();
        let path = scratch.path().join("libra.db");
        let mut database = Connection::open(&path).expect("a database");
        database.execute_batch("CREATE TABLE theirs (a)").expect("a table");
        let refused = migrate(&mut database, &path, &MIGRATIONS).expect_err("it is not ours");
        assert!(matches!(refused, StoreError::Foreign(_)), "{refused}");
    }
}
