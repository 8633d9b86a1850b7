//! What a gateway is told at its start. What is over is left out.

use libra_core::clients::{Amounts, Period};
use libra_core::contents::Content;
use libra_core::gateway::Gateway;
use libra_core::pool::{ProjectId, StateChange};
use libra_core::secret::KeyId;
use libra_core::time::Timestamp;
use rusqlite::{Connection, Row};

use super::StoreError;
use super::rows::{BYS, KINDS, WHYS, about_answer, about_call, kind_name, strength, time, time_of, why_name};
use super::seal::Seal;

/// So many calls are read, the newest: as many as a gateway remembers.
const CALLS: u32 = 100_000;

/// What was told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Changes of the pool and of objects.
    pub(crate) changes: usize,
    /// Signatures and answers.
    pub(crate) contents: usize,
    /// Those among them that do not open: they were changed by somebody else.
    pub(crate) unreadable: usize,
}

/// Tells a gateway what is stored.
///
/// # Errors
/// The database cannot be read.
pub(crate) fn load(
    database: &Connection,
    seal: &Seal,
    gateway: &Gateway,
    now: Timestamp,
) -> Result<Loaded, StoreError> {
    let changes = changes(database, now)?;
    gateway.apply(&changes, now);
    let mut loaded = Loaded { changes: changes.len(), contents: 0, unreadable: 0 };

    // One that is written again becomes the last.
    let newest = format!("SELECT rowid AS number, name, said FROM calls ORDER BY number DESC LIMIT {CALLS}");
    let sql = format!("SELECT name, said FROM ({newest}) ORDER BY number");
    let call = |row: &Row<'_>| {
        let (name, said) = (row.get::<_, [u8; 16]>(0)?, row.get_ref(1)?.as_blob()?);
        let said = seal.open(&about_call(&name), said);
        Ok(said.map(|said| Content::Call { name, said: said.into() }))
    };
    restore(database, &sql, call, gateway, &mut loaded, now)?;

    let answer = |row: &Row<'_>| {
        let (id, before) = (row.get::<_, Box<str>>(0)?, row.get::<_, Option<Box<str>>>(2)?);
        let (client, until) = (key(row, 1)?, time_at(row, 3)?);
        let said = seal.open(&about_answer(&id, client, before.as_deref()), row.get_ref(5)?.as_blob()?);
        let shown = row.get(4)?;
        Ok(said.map(|said| Content::Answer { id, client, before, until, shown, said: said.into() }))
    };
    // In the order in which they came: what an answer goes on from is before it.
    let sql = "SELECT id, client, before, until, shown, said FROM answers ORDER BY until, rowid";
    restore(database, sql, answer, gateway, &mut loaded, now)?;
    Ok(loaded)
}

/// Which projects are one comes first, as rests and limits are then theirs.
fn changes(database: &Connection, now: Timestamp) -> Result<Vec<StateChange>, StoreError> {
    let mut changes = Vec::new();
    let mut read = |sql: &str, change: &dyn Fn(&Row<'_>) -> rusqlite::Result<Option<StateChange>>| {
        let mut statement = database.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            changes.extend(change(row)?);
        }
        Ok::<_, StoreError>(())
    };
    let by = |row: &Row<'_>, at| {
        let stored: i64 = row.get(at)?;
        Ok::<_, rusqlite::Error>(BYS.into_iter().find(|by| strength(*by) == stored))
    };
    read("SELECT key, said_by, at FROM splits", &|row| {
        let Some(by) = by(row, 1)? else { return Ok(None) };
        Ok(Some(StateChange::Split { key: key(row, 0)?, by, at: time_at(row, 2)? }))
    })?;
    read("SELECT project, other, said_by, at FROM joins", &|row| {
        let Some(by) = by(row, 2)? else { return Ok(None) };
        let (project, other) = (project(row, 0)?, project(row, 1)?);
        Ok(Some(StateChange::Joined { project, other, by, at: time_at(row, 3)? }))
    })?;
    read("SELECT project, model, kind, value FROM limits", &|row| {
        let stored: String = row.get(2)?;
        let Some(kind) = KINDS.into_iter().find(|kind| kind_name(*kind) == stored) else { return Ok(None) };
        let (project, model) = (project(row, 0)?, row.get::<_, Box<str>>(1)?);
        let value = u64::try_from(row.get::<_, i64>(3)?).unwrap_or_default();
        Ok(Some(StateChange::Limit { project, model, kind, value }))
    })?;
    let now = time(now);
    read(&format!("SELECT project, model, until FROM rests WHERE until > {now}"), &|row| {
        let model = Some(row.get::<_, Box<str>>(1)?).filter(|model| !model.is_empty());
        Ok(Some(StateChange::Rest { project: project(row, 0)?, model, until: time_at(row, 2)? }))
    })?;
    read(&format!("SELECT project, ends, requests, cost FROM spent WHERE ends > {now}"), &|row| {
        let number = |at| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(at)?).unwrap_or_default());
        let (project, ends) = (project(row, 0)?, time_at(row, 1)?);
        Ok(Some(StateChange::Spent { project, ends, requests: number(2)?, cost_millionths: number(3)? }))
    })?;
    // Days that are over say when a client was seen.
    read("SELECT client, period, ends, requests, tokens, cost FROM client_spent", &|row| {
        let number = |at| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(at)?).unwrap_or_default());
        let Some(period) = Period::named(&row.get::<_, Box<str>>(1)?) else { return Ok(None) };
        let ends = if period == Period::Total { Timestamp::NEVER } else { time_at(row, 2)? };
        let spent = Amounts { requests: number(3)?, tokens: number(4)?, cost_millionths: number(5)? };
        Ok(Some(StateChange::ClientSpent { client: key(row, 0)?, period, ends, spent }))
    })?;
    read("SELECT key, restored FROM keys WHERE restored > 0", &|row| {
        Ok(Some(StateChange::Restored { key: key(row, 0)?, at: time_at(row, 1)? }))
    })?;
    read("SELECT key, why, since FROM keys WHERE since > restored", &|row| {
        let stored: String = row.get(1)?;
        let Some(why) = WHYS.into_iter().find(|why| why_name(*why) == stored) else { return Ok(None) };
        Ok(Some(StateChange::SetAside { key: key(row, 0)?, why, since: time_at(row, 2)? }))
    })?;
    // What is remembered longest is told last, and so stays where there is no room for all.
    let sql = format!("SELECT name, key, maker, until FROM objects WHERE until > {now} ORDER BY until");
    read(&sql, &|row| {
        let maker = row.get::<_, Option<i64>>(2)?.map(|maker| KeyId::from_u64(maker.cast_unsigned()));
        let (object, until) = (row.get::<_, Box<str>>(0)?, time_at(row, 3)?);
        Ok(Some(StateChange::Object { object, key: key(row, 1)?, maker, until }))
    })?;
    Ok(changes)
}

/// Tells a gateway what conversations have left behind, one entry at a time: there may be much.
fn restore(
    database: &Connection,
    sql: &str,
    content: impl Fn(&Row<'_>) -> rusqlite::Result<Option<Content>>,
    gateway: &Gateway,
    loaded: &mut Loaded,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut statement = database.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut problem = None;
    let contents = std::iter::from_fn(|| {
        loop {
            let read = match rows.next() {
                Ok(None) => return None,
                Ok(Some(row)) => content(row),
                Err(error) => Err(error),
            };
            match read {
                Ok(Some(content)) => {
                    loaded.contents += 1;
                    return Some(content);
                }
                Ok(None) => loaded.unreadable += 1,
                Err(error) => {
                    problem = Some(error);
                    return None;
                }
            }
        }
    });
    gateway.restore(contents, now);
    problem.map_or(Ok(()), |problem| Err(problem.into()))
}

fn key(row: &Row<'_>, at: usize) -> rusqlite::Result<KeyId> {
    Ok(KeyId::from_u64(row.get::<_, i64>(at)?.cast_unsigned()))
}

fn project(row: &Row<'_>, at: usize) -> rusqlite::Result<ProjectId> {
    Ok(ProjectId::from_u64(row.get::<_, i64>(at)?.cast_unsigned()))
}

fn time_at(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    Ok(time_of(row.get(at)?))
}
