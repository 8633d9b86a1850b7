//! What becomes rows: one transaction a batch. Rows merge as [`StateChange`] says, in whatever order they come.

use std::time::Duration;

use libra_core::clients::Amounts;
use libra_core::contents::Content;
use libra_core::failure::{LimitKind, Why};
use libra_core::gateway::Gateway;
use libra_core::pool::{By, StateChange};
use libra_core::secret::KeyId;
use libra_core::time::Timestamp;
use rusqlite::{Connection, Transaction, params};

use super::StoreError;
use super::queue::Batch;
use super::seal::Seal;
use super::usage::Usage;

/// Writes all of a batch, or nothing.
///
/// # Errors
/// The database cannot be written.
pub(crate) fn write(
    database: &mut Connection,
    seal: &Seal,
    batch: &Batch,
    gateway: &Gateway,
    now: Timestamp,
) -> Result<(), StoreError> {
    // What a person has said is to survive a loss of power, too, once it is answered.
    let is_administration = batch.changes.iter().any(is_a_persons);
    database.pragma_update(None, "synchronous", if is_administration { "FULL" } else { "NORMAL" })?;
    let transaction = database.transaction()?;
    write_changes(&transaction, batch)?;
    write_contents(&transaction, seal, batch, now)?;
    write_log(&transaction, batch, gateway)?;
    transaction.commit()?;
    Ok(())
}

fn is_a_persons(change: &StateChange) -> bool {
    matches!(change, StateChange::Joined { by: By::Person, .. } | StateChange::Split { by: By::Person, .. })
}

fn write_changes(transaction: &Transaction<'_>, batch: &Batch) -> Result<(), StoreError> {
    if batch.changes.is_empty() && batch.objects.is_empty() {
        return Ok(());
    }
    let mut rest = transaction.prepare(
        "INSERT INTO rests VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET until = max(until, excluded.until)",
    )?;
    let mut join = transaction.prepare(
        "INSERT INTO joins VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET said_by = excluded.said_by, at = excluded.at
         WHERE (excluded.said_by, excluded.at) > (said_by, at)",
    )?;
    let mut split = transaction.prepare(
        "INSERT INTO splits VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET said_by = excluded.said_by, at = excluded.at
         WHERE (excluded.said_by, excluded.at) > (said_by, at)",
    )?;
    let mut limit = transaction.prepare("INSERT OR REPLACE INTO limits VALUES (?1, ?2, ?3, ?4)")?;
    // What is known of Google's clock moves the end of a day by minutes; of the next one it is a day away.
    let mut spent = transaction.prepare(
        "INSERT INTO spent VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET
             requests = iif(excluded.ends > ends + 43200000, excluded.requests, max(requests, excluded.requests)),
             cost = iif(excluded.ends > ends + 43200000, excluded.cost, max(cost, excluded.cost)),
             ends = max(ends, excluded.ends)
         WHERE excluded.ends > ends - 43200000",
    )?;
    let mut client_spent = transaction.prepare(
        "INSERT INTO client_spent VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET
             requests = iif(excluded.ends > ends, excluded.requests, max(requests, excluded.requests)),
             tokens = iif(excluded.ends > ends, excluded.tokens, max(tokens, excluded.tokens)),
             cost = iif(excluded.ends > ends, excluded.cost, max(cost, excluded.cost)),
             ends = excluded.ends
         WHERE excluded.ends >= ends",
    )?;
    let mut set_aside = transaction.prepare(
        "INSERT INTO keys (key, why, since) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET why = excluded.why, since = excluded.since WHERE excluded.since > since",
    )?;
    let mut restored = transaction.prepare(
        "INSERT INTO keys (key, restored) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET restored = max(restored, excluded.restored)",
    )?;
    let mut object = transaction.prepare(
        "INSERT INTO objects VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET key = excluded.key, maker = coalesce(maker, excluded.maker),
             until = max(until, excluded.until)",
    )?;
    let mut forgotten = transaction.prepare("DELETE FROM objects WHERE name = ?1")?;
    for change in batch.changes.iter().chain(&batch.objects) {
        match change {
            StateChange::Rest { project, model, until } => {
                let model = model.as_deref().unwrap_or_default();
                rest.execute(params![id(project.as_u64()), model, time(*until)])
            }
            StateChange::Joined { project, other, by, at } => {
                // Their order means nothing.
                let (one, other) = (*project.min(other), *project.max(other));
                join.execute(params![id(one.as_u64()), id(other.as_u64()), strength(*by), time(*at)])
            }
            StateChange::Split { key, by, at } => {
                split.execute(params![key_id(*key), strength(*by), time(*at)])
            }
            StateChange::Limit { project, model, kind, value } => {
                limit.execute(params![id(project.as_u64()), model, kind_name(*kind), count(*value)])
            }
            StateChange::Spent { project, ends, requests, cost_millionths } => {
                let (requests, cost) = (count(*requests), count(*cost_millionths));
                spent.execute(params![id(project.as_u64()), time(*ends), requests, cost])
            }
            StateChange::ClientSpent { client, period, ends, spent } => {
                let Amounts { requests, tokens, cost_millionths: cost } = *spent;
                let [requests, tokens, cost] = [requests, tokens, cost].map(count);
                client_spent.execute(params![
                    key_id(*client),
                    period.name(),
                    time(*ends),
                    requests,
                    tokens,
                    cost
                ])
            }
            StateChange::SetAside { key, why, since } => {
                set_aside.execute(params![key_id(*key), why_name(*why), time(*since)])
            }
            StateChange::Restored { key, at } => restored.execute(params![key_id(*key), time(*at)]),
            StateChange::Forgotten { object } => forgotten.execute([object]),
            StateChange::Object { object: name, key, maker, until } => {
                object.execute(params![name, key_id(*key), maker.map(key_id), time(*until)])
            }
        }?;
    }
    Ok(())
}

fn write_contents(
    transaction: &Transaction<'_>,
    seal: &Seal,
    batch: &Batch,
    now: Timestamp,
) -> Result<(), StoreError> {
    if batch.contents.is_empty() {
        return Ok(());
    }
    let mut call = transaction.prepare("INSERT OR REPLACE INTO calls VALUES (?1, ?2, ?3)")?;
    // One that was deleted stays deleted.
    let mut answer = transaction.prepare(
        "INSERT INTO answers VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET until = excluded.until",
    )?;
    let mut deleted = transaction.prepare("UPDATE answers SET shown = 0 WHERE id = ?1")?;
    for content in &batch.contents {
        match content {
            Content::Call { name, said } => {
                let said = seal.seal(&about_call(name), said)?;
                call.execute(params![name, time(now), said])
            }
            Content::Answer { id, client, before, until, shown, said } => {
                let said = seal.seal(&about_answer(id, *client, before.as_deref()), said)?;
                answer.execute(params![id, key_id(*client), before, time(*until), shown, said])
            }
            Content::Deleted { id } => deleted.execute([id]),
        }?;
    }
    Ok(())
}

/// What a sealed entry is about: whoever changes a row's other columns does not get it opened for somebody else.
pub(crate) fn about_call(name: &[u8]) -> String {
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("call {name}")
}

pub(crate) fn about_answer(id: &str, client: KeyId, before: Option<&str>) -> String {
    format!("answer {id} of {client} after {}", before.unwrap_or_default())
}

fn write_log(transaction: &Transaction<'_>, batch: &Batch, gateway: &Gateway) -> Result<(), StoreError> {
    let mut log = transaction.prepare(
        "INSERT INTO requests (at, request, client, dialect, model, status, ending, attempts, key, project,
             prompt_tokens, total_tokens, ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    let mut usage = Usage::default();
    for entry in &batch.log {
        let project = entry.key.and_then(|key| gateway.project_of(key));
        log.execute(params![
            time(entry.at),
            entry.request.to_string(),
            key_id(entry.client),
            entry.dialect,
            entry.model,
            entry.status,
            entry.ending.name(),
            entry.attempts,
            entry.key.map(key_id),
            project.map(|project| id(project.as_u64())),
            entry.usage.map(|usage| count(usage.prompt)),
            entry.usage.map(|usage| count(usage.total)),
            millis(entry.elapsed),
        ])?;
        usage.count(entry);
    }
    let mut add = transaction.prepare(
        "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,
             not_answered = not_answered + excluded.not_answered, attempts = attempts + excluded.attempts,
             prompt_tokens = prompt_tokens + excluded.prompt_tokens,
             total_tokens = total_tokens + excluded.total_tokens",
    )?;
    for (of, counts) in usage.iter().chain(batch.usage.iter()) {
        // Clients that bring their own keys are as many as there are keys in the world: they are counted together.
        let client = of.client.filter(|client| gateway.config().clients.find(*client).is_some());
        let project = of.key.and_then(|key| gateway.project_of(key));
        add.execute(params![
            of.day,
            client.map_or(0, key_id),
            project.map_or(0, |project| id(project.as_u64())),
            of.model,
            count(counts.requests),
            count(counts.not_answered),
            count(counts.attempts),
            count(counts.prompt_tokens),
            count(counts.total_tokens),
        ])?;
    }
    Ok(())
}

/// The same 64 bits, as SQLite's integers have a sign.
pub(crate) fn id(number: u64) -> i64 {
    number.cast_signed()
}

pub(crate) fn key_id(key: KeyId) -> i64 {
    id(key.as_u64())
}

/// No count and no time reaches the end of SQLite's integers; what is for ever ends there.
fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn time(time: Timestamp) -> i64 {
    count(time.as_millis())
}

/// The reverse of [`time`].
pub(crate) fn time_of(number: i64) -> Timestamp {
    match u64::try_from(number) {
        Ok(_) if number == i64::MAX => Timestamp::NEVER,
        Ok(millis) => Timestamp::from_millis(millis),
        Err(_) => Timestamp::EPOCH,
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// All words that are stored. One that was stored once is never used for something else.
pub(crate) const BYS: [By; 3] = [By::Quotas, By::Person, By::Google];
pub(crate) const WHYS: [Why; 5] =
    [Why::Leaked, Why::Invalid, Why::Unauthenticated, Why::Suspended, Why::Restricted];
pub(crate) const KINDS: [LimitKind; 4] = [
    LimitKind::RequestsPerMinute,
    LimitKind::RequestsPerDay,
    LimitKind::TokensPerMinute,
    LimitKind::TokensPerDay,
];

pub(crate) fn strength(by: By) -> i64 {
    match by {
        By::Quotas => 1,
        By::Person => 2,
        By::Google => 3,
    }
}

pub(crate) fn why_name(why: Why) -> &'static str {
    match why {
        Why::Leaked => "leaked",
        Why::Invalid => "invalid",
        Why::Unauthenticated => "unauthenticated",
        Why::Suspended => "suspended",
        Why::Restricted => "restricted",
    }
}

pub(crate) fn kind_name(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::RequestsPerMinute => "requests-per-minute",
        LimitKind::RequestsPerDay => "requests-per-day",
        LimitKind::TokensPerMinute => "tokens-per-minute",
        LimitKind::TokensPerDay => "tokens-per-day",
    }
}
