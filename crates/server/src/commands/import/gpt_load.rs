//! gpt-load: its SQLite database. Groups have keys and the tokens that open them; keys are sealed where `ENCRYPTION_KEY` is set.

use std::path::Path;

use rusqlite::Connection;
use serde_json::Map;

use super::{Found, columns, database, list, or};

pub(super) fn read(file: &Path) -> Result<Found, String> {
    let database = database(file, "gpt-load")?;
    let (groups, keys) = (columns(&database, "groups")?, columns(&database, "api_keys")?);
    if !groups.contains("channel_type") || !keys.contains("key_value") {
        return Err("it is no database of gpt-load's: there are no tables groups and api_keys".to_owned());
    }
    let mut found = Found::default();
    let sql =
        format!("SELECT id, name, channel_type, {} FROM groups ORDER BY id", or(&groups, "proxy_keys", "''"));
    let each = |row: &rusqlite::Row<'_>| {
        let texts = (row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, Option<String>>(3)?);
        Ok((row.get::<_, i64>(0)?, texts))
    };
    let all = rows(&database, &sql, each)?;
    for (id, (name, channel, tokens)) in all {
        // OpenAI's dialect of Google's has Gemini's keys, too; what others' addresses take is not known here.
        if channel != "gemini" {
            let count: i64 = database
                .query_row("SELECT count(*) FROM api_keys WHERE group_id = ?1", [id], |row| row.get(0))
                .map_err(|error| error.to_string())?;
            found.left_out.push(format!("group {name}: {count} keys of another service ({channel})"));
            continue;
        }
        keys_of(&database, &keys, id, &name, &mut found)?;
        let tokens = list(&tokens.unwrap_or_default());
        let many = tokens.len() > 1;
        for (place, token) in (1..).zip(&tokens) {
            if is_sealed(token) {
                found.left_out.push(format!("a token of group {name}: it is encrypted (ENCRYPTION_KEY)"));
                continue;
            }
            let name = if many { format!("{name} {place}") } else { name.clone() };
            found.client(&name, token, Map::new());
        }
    }
    if columns(&database, "system_settings")?.contains("setting_value") {
        let sql = "SELECT setting_value FROM system_settings WHERE setting_key = 'proxy_keys'";
        for text in rows(&database, sql, |row| row.get::<_, String>(0))? {
            for token in list(&text) {
                found.client("gpt-load", &token, Map::new());
            }
        }
    }
    Ok(found)
}

fn keys_of(
    database: &Connection,
    columns: &std::collections::BTreeSet<String>,
    group: i64,
    name: &str,
    found: &mut Found,
) -> Result<(), String> {
    let sql = format!(
        "SELECT key_value, {}, {} FROM api_keys WHERE group_id = {group} ORDER BY id",
        or(columns, "status", "'active'"),
        or(columns, "notes", "''"),
    );
    let each = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?))
    };
    let mut sealed = 0;
    for (key, status, notes) in rows(database, &sql, each)? {
        if is_sealed(&key) {
            sealed += 1;
        } else {
            found.key(&key, notes.as_deref(), status != "active");
        }
    }
    if sealed > 0 {
        found.left_out.push(format!(
            "group {name}: {sealed} keys are encrypted (ENCRYPTION_KEY): export them on gpt-load's page of keys, and add \
             them with libra keys add"
        ));
    }
    Ok(())
}

/// Whether a value is what gpt-load's encryption leaves: hexadecimal, with a nonce of 12 bytes and a tag of 16.
fn is_sealed(value: &str) -> bool {
    value.len() >= 2 * (12 + 16 + 1)
        && value.len().is_multiple_of(2)
        && value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn rows<T>(
    database: &Connection,
    sql: &str,
    each: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, String> {
    let mut statement = database.prepare(sql).map_err(|error| error.to_string())?;
    let rows = statement.query_map([], each).map_err(|error| error.to_string())?;
    rows.collect::<Result<_, _>>().map_err(|error| error.to_string())
}
