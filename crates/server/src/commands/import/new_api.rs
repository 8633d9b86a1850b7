//! new-api, and one-api from which it comes: the tables `channels` (type 24 is Gemini) and `tokens` of their SQLite database.
//!
//! Tokens are stored without the `sk-` that clients send. What users may still spend is in a currency of its own, and does
//! not come along.

use std::path::Path;

use libra_core::time::Timestamp;
use rusqlite::Connection;
use serde_json::{Map, Value};

use super::{Found, columns, database, list, or};

/// Gemini among the types of channels.
const GEMINI: i64 = 24;

pub(super) fn read(file: &Path) -> Result<Found, String> {
    let database = database(file, "new-api")?;
    let (channels, tokens) = (columns(&database, "channels")?, columns(&database, "tokens")?);
    if !channels.contains("type") || !channels.contains("key") || !tokens.contains("key") {
        return Err(
            "it is no database of new-api's or one-api's: there are no tables channels and tokens".to_owned()
        );
    }
    let mut found = Found::default();
    read_channels(&database, &channels, &mut found).map_err(|error| error.to_string())?;
    read_tokens(&database, &tokens, &mut found).map_err(|error| error.to_string())?;
    Ok(found)
}

fn read_channels(
    database: &Connection,
    columns: &std::collections::BTreeSet<String>,
    found: &mut Found,
) -> rusqlite::Result<()> {
    let sql = format!(
        "SELECT type, key, {}, {}, {} FROM channels ORDER BY id",
        or(columns, "name", "''"),
        or(columns, "status", "1"),
        or(columns, "channel_info", "NULL"),
    );
    let mut statement = database.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut others = 0;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(0)? != GEMINI {
            others += 1;
            continue;
        }
        let keys: String = row.get(1)?;
        let name: Option<String> = row.get(2)?;
        let enabled = row.get::<_, i64>(3)? == 1;
        let info: Value = row
            .get::<_, Option<String>>(4)
            .ok()
            .flatten()
            .and_then(|info| serde_json::from_str(&info).ok())
            .unwrap_or_default();
        let keys = list(&keys);
        for (place, key) in keys.iter().enumerate() {
            // Of several keys of a channel each can be off by itself; those that are not listed are on.
            let status = info["multi_key_status_list"][place.to_string()].as_i64().unwrap_or(1);
            let label = name.as_deref().filter(|_| keys.len() == 1);
            found.key(key, label, !enabled || status != 1);
        }
    }
    if others > 0 {
        found.left_out.push(format!("{others} channels of other services than Gemini"));
    }
    Ok(())
}

fn read_tokens(
    database: &Connection,
    columns: &std::collections::BTreeSet<String>,
    found: &mut Found,
) -> rusqlite::Result<()> {
    let sql = format!(
        "SELECT key, {}, {}, {}, {}, {}, {}, {}, {} FROM tokens {} ORDER BY id",
        or(columns, "name", "''"),
        or(columns, "status", "1"),
        or(columns, "expired_time", "-1"),
        or(columns, "unlimited_quota", "1"),
        or(columns, "model_limits_enabled", "0"),
        or(columns, "model_limits", "''"),
        // one-api's names for the same.
        or(columns, "models", "''"),
        or(columns, "allow_ips", or(columns, "subnet", "''")),
        if columns.contains("deleted_at") { "WHERE deleted_at IS NULL" } else { "" },
    );
    let mut statement = database.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut limited = 0;
    while let Some(row) = rows.next()? {
        let text = |at| row.get::<_, Option<String>>(at).map(Option::unwrap_or_default);
        let number = |at| row.get::<_, Option<i64>>(at).map(Option::unwrap_or_default);
        let key = text(0)?;
        let key = key.trim();
        let name = text(1)?;
        let mut settings = Map::new();
        // 1 enabled, 2 disabled, 3 expired, 4 used up.
        match number(2)? {
            1 => {}
            3 => {
                found.left_out.push(format!("token {}: it has expired", shown(&name)));
                continue;
            }
            _ => {
                settings.insert("paused".to_owned(), true.into());
            }
        }
        let expires = u64::try_from(number(3)?).ok().filter(|expires| *expires > 0);
        if let Some(expires) = expires {
            let expires = Timestamp::from_millis(expires.saturating_mul(1000)).rfc3339();
            settings.insert("expires".to_owned(), whole_seconds(&expires).into());
        }
        limited += usize::from(number(4)? == 0);
        let models = if number(5)? != 0 { list(&text(6)?) } else { list(&text(7)?) };
        if models.len() > 100 {
            found
                .notes
                .push(format!("token {}: it names more than 100 models, and may use all here", shown(&name)));
        } else if !models.is_empty() {
            settings.insert("models".to_owned(), models.into());
        }
        let addresses: Vec<String> = list(&text(8)?);
        if !addresses.is_empty() {
            settings.insert("addresses".to_owned(), addresses.into());
        }
        let name = if name.trim().is_empty() { "token" } else { name.as_str() };
        // Clients send it with sk- before it.
        let sent = if key.starts_with("sk-") { key.to_owned() } else { format!("sk-{key}") };
        if !key.is_empty() {
            found.client(name, &sent, settings);
        }
    }
    if limited > 0 {
        found.notes.push(format!(
            "{limited} tokens have a quota in new-api's own units, which does not come along: set limits with \
             libra clients change NAME --set tokens_per_month=…"
        ));
    }
    Ok(())
}

/// A time without its fraction.
fn whole_seconds(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(whole, _)| format!("{whole}Z"))
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}
