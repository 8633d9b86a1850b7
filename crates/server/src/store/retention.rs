//! What is kept how long, in small steps between two batches.

use std::time::Duration;

use libra_core::time::Timestamp;
use rusqlite::{Connection, params};

use super::StoreError;
use super::rows::time;

/// So many rows go in one step, which takes some milliseconds.
const STEP: u32 = 1000;

/// So many objects are stored.
const OBJECTS: u32 = 400_000;

/// So many pages are given back to the disk in one step.
const PAGES: u32 = 2000;

/// How long, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// How long logs, counters and signatures are kept.
    pub(crate) age: Duration,
    /// How large the database may be, in bytes.
    pub(crate) size: u64,
}

impl Retention {
    /// Takes a step. Says whether another one is due at once.
    ///
    /// # Errors
    /// The database cannot be written.
    pub(crate) fn step(&self, database: &mut Connection, now: Timestamp) -> Result<bool, StoreError> {
        let old = now - self.age;
        let transaction = database.transaction()?;
        let mut most = 0;
        let mut delete = |sql: &str, before: i64| {
            most = most.max(transaction.execute(sql, params![before, STEP])?);
            Ok::<_, StoreError>(())
        };
        delete(
            "DELETE FROM requests WHERE number IN (SELECT number FROM requests WHERE at < ?1 ORDER BY at LIMIT ?2)",
            time(old),
        )?;
        delete(
            "DELETE FROM calls WHERE rowid IN (SELECT rowid FROM calls WHERE at < ?1 ORDER BY at LIMIT ?2)",
            time(old),
        )?;
        delete(
            "DELETE FROM objects WHERE name IN (SELECT name FROM objects WHERE until < ?1 ORDER BY until LIMIT ?2)",
            time(now),
        )?;
        // More than any gateway remembers; those that end soonest go.
        let over: i64 =
            transaction
                .query_row("SELECT max(count(*) - ?1, 0) FROM objects", [OBJECTS], |row| row.get(0))?;
        let soonest = "DELETE FROM objects WHERE name IN (SELECT name FROM objects ORDER BY until LIMIT ?1)";
        most = most.max(transaction.execute(soonest, [over.min(STEP.into())])?);
        let mut delete = |sql: &str, before: i64| {
            most = most.max(transaction.execute(sql, params![before, STEP])?);
            Ok::<_, StoreError>(())
        };
        delete("DELETE FROM rests WHERE until < ?1 AND ?2", time(now))?;
        // Answers whose time is over, but for those that others go on from.
        delete(
            "DELETE FROM answers WHERE rowid IN (
                 WITH RECURSIVE held(id) AS (
                     SELECT id FROM answers WHERE shown AND until >= ?1
                     UNION
                     SELECT answers.before FROM held JOIN answers USING (id) WHERE answers.before IS NOT NULL
                 )
                 SELECT rowid FROM answers WHERE id NOT IN held LIMIT ?2
             )",
            time(now),
        )?;
        transaction.execute("DELETE FROM usage WHERE day < ?1", [old.pacific_day()])?;
        if most == 0 && size(&transaction)? > self.size {
            // The log first: what else there is, clients would miss.
            for sql in [
                "DELETE FROM requests WHERE number IN (SELECT number FROM requests ORDER BY at LIMIT ?1)",
                "DELETE FROM calls WHERE rowid IN (SELECT rowid FROM calls ORDER BY at LIMIT ?1)",
                "DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers ORDER BY until LIMIT ?1)",
            ] {
                most = transaction.execute(sql, [STEP])?;
                if most > 0 {
                    break;
                }
            }
        }
        transaction.commit()?;
        let free: u32 = database.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if free > PAGES {
            database.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
        }
        Ok(most > 0 || free > 2 * PAGES)
    }
}

/// What the database holds, in bytes.
fn size(database: &Connection) -> Result<u64, StoreError> {
    let pragma = |name| database.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok((pages * pragma("page_size")?).cast_unsigned())
}
