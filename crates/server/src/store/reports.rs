//! What is read of the store while the gateway runs: counters and the log of requests.
//!
//! Every question has a connection of its own that only reads, so that no writer waits. Questions block on the disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Row};

use super::StoreError;
use super::folder::database_in;

/// A question that takes longer is given up: its SQL is interrupted after so many steps of SQLite's machine, some seconds.
const MOST_STEPS: i32 = 1_000;
const MOST_LOTS: u32 = 1_000_000;

/// Where reports are read from.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    path: PathBuf,
}

/// By what counters are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Day,
    Client,
    Project,
    Model,
}

/// Which counters.
#[derive(Debug, Clone, Default)]
pub(crate) struct UsageFilter {
    /// The first and the last Pacific day.
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) client: Option<u64>,
    pub(crate) project: Option<u64>,
    pub(crate) model: Option<String>,
}

/// Counters that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct UsageRow {
    pub(crate) day: Option<String>,
    pub(crate) client: Option<u64>,
    pub(crate) project: Option<u64>,
    pub(crate) model: Option<String>,
    pub(crate) requests: u64,
    pub(crate) not_answered: u64,
    pub(crate) attempts: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) total_tokens: u64,
}

/// Which entries of the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogFilter {
    /// Those with smaller numbers, newest first; or with greater ones, oldest first.
    pub(crate) before: Option<u64>,
    pub(crate) after: Option<u64>,
    pub(crate) since: Option<u64>,
    pub(crate) until: Option<u64>,
    pub(crate) client: Option<u64>,
    pub(crate) project: Option<u64>,
    pub(crate) key: Option<u64>,
    pub(crate) model: Option<String>,
    pub(crate) ending: Option<&'static str>,
    pub(crate) status: Option<u16>,
    pub(crate) request: Option<String>,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogRow {
    pub(crate) number: u64,
    pub(crate) at: u64,
    pub(crate) request: String,
    pub(crate) client: u64,
    pub(crate) dialect: String,
    pub(crate) model: Option<String>,
    pub(crate) status: u16,
    pub(crate) ending: String,
    pub(crate) attempts: u32,
    pub(crate) key: Option<u64>,
    pub(crate) project: Option<u64>,
    pub(crate) prompt_tokens: Option<u64>,
    pub(crate) total_tokens: Option<u64>,
    pub(crate) milliseconds: u64,
}

impl Reports {
    /// Of the store in a data folder.
    pub(crate) fn of(folder: &Path) -> Self {
        Self { path: database_in(folder) }
    }

    /// The counters that fit, added up by `groups`, at most `limit` rows; days and then the busiest first.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub(crate) fn usage(
        &self,
        groups: &[Group],
        filter: &UsageFilter,
        limit: usize,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let column = |group: Group, name: &'static str| if groups.contains(&group) { name } else { "NULL" };
        let columns = [
            column(Group::Day, "day"),
            column(Group::Client, "client"),
            column(Group::Project, "project"),
            column(Group::Model, "model"),
        ];
        let mut asked = Conditions::default();
        asked.and("day >= ?", filter.from.clone());
        asked.and("day <= ?", filter.to.clone());
        asked.and("client = ?", filter.client.map(u64::cast_signed));
        asked.and("project = ?", filter.project.map(u64::cast_signed));
        asked.and("model = ?", filter.model.clone());
        let sql = format!(
            "SELECT {}, total(requests), total(not_answered), total(attempts), total(prompt_tokens), total(total_tokens)
             FROM usage {} GROUP BY 1, 2, 3, 4 ORDER BY 1 DESC, 5 DESC, 2, 3, 4 LIMIT {limit}",
            columns.join(", "),
            asked.sql(),
        );
        self.read(&sql, asked, |row| {
            let id = |at| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(i64::cast_unsigned));
            // Sums of counters that clients drive need not fit into an integer.
            let sum = |at| Ok::<_, rusqlite::Error>(row.get::<_, f64>(at)?.max(0.0) as u64);
            Ok(UsageRow {
                day: row.get(0)?,
                client: id(1)?,
                project: id(2)?,
                model: row.get(3)?,
                requests: sum(4)?,
                not_answered: sum(5)?,
                attempts: sum(6)?,
                prompt_tokens: sum(7)?,
                total_tokens: sum(8)?,
            })
        })
    }

    /// The entries of the log that fit, at most `limit`.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn log(&self, filter: &LogFilter, limit: usize) -> Result<Vec<LogRow>, StoreError> {
        let mut asked = Conditions::default();
        asked.and("number < ?", filter.before.map(signed));
        asked.and("number > ?", filter.after.map(signed));
        asked.and("at >= ?", filter.since.map(signed));
        asked.and("at < ?", filter.until.map(signed));
        asked.and("client = ?", filter.client.map(u64::cast_signed));
        asked.and("project = ?", filter.project.map(u64::cast_signed));
        asked.and("key = ?", filter.key.map(u64::cast_signed));
        asked.and("model = ?", filter.model.clone());
        asked.and("ending = ?", filter.ending.map(str::to_owned));
        asked.and("status = ?", filter.status.map(i64::from));
        asked.and("request = ?", filter.request.clone());
        let order = if filter.after.is_some() { "ASC" } else { "DESC" };
        let sql = format!(
            "SELECT number, at, request, client, dialect, model, status, ending, attempts, key, project, prompt_tokens,
                 total_tokens, ms
             FROM requests {} ORDER BY number {order} LIMIT {limit}",
            asked.sql(),
        );
        self.read(&sql, asked, |row| {
            let id = |at| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(i64::cast_unsigned));
            let count = |at| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(unsigned));
            Ok(LogRow {
                number: unsigned(row.get(0)?),
                at: unsigned(row.get(1)?),
                request: row.get(2)?,
                client: row.get::<_, i64>(3)?.cast_unsigned(),
                dialect: row.get(4)?,
                model: row.get(5)?,
                status: row.get(6)?,
                ending: row.get(7)?,
                attempts: row.get(8)?,
                key: id(9)?,
                project: id(10)?,
                prompt_tokens: count(11)?,
                total_tokens: count(12)?,
                milliseconds: unsigned(row.get(13)?),
            })
        })
    }

    fn read<T>(
        &self,
        sql: &str,
        asked: Conditions,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        if !self.path.exists() {
            return Err(StoreError::Nothing(self.path.clone()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut database = Connection::open_with_flags(&self.path, flags)?;
        database.busy_timeout(Duration::from_secs(5))?;
        let mut lots = 0;
        database.progress_handler(
            MOST_STEPS,
            Some(move || {
                lots += 1;
                lots > MOST_LOTS
            }),
        )?;
        let mut statement = database.prepare(sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(asked.values), |row| read(row))?;
        Ok(rows.collect::<Result<Vec<T>, _>>()?)
    }
}

/// What rows have to fit, as SQL with its values apart.
#[derive(Default)]
struct Conditions {
    conditions: Vec<&'static str>,
    values: Vec<Value>,
}

impl Conditions {
    fn and(&mut self, condition: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.conditions.push(condition);
            self.values.push(value.into());
        }
    }

    fn sql(&self) -> String {
        match self.conditions.as_slice() {
            [] => String::new(),
            conditions => format!("WHERE {}", conditions.join(" AND ")),
        }
    }
}

/// Numbers and times never reach the end of SQLite's integers; what is asked for may.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
