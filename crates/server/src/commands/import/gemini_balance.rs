//! gemini-balance: its `.env`, or the table `t_settings` of its SQLite database, which wins there over `.env`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Map;

use super::{Found, columns, database, is_database, list, text_of};
use crate::settings::dotenv;

pub(super) fn read(file: &Path) -> Result<Found, String> {
    let values = if is_database(file) { of_database(file)? } else { of_file(file)? };
    let value = |name: &str| values.get(name).map(String::as_str).unwrap_or_default();
    let mut found = Found::default();
    for key in list(value("API_KEYS")) {
        found.key(&key, None, false);
    }
    let tokens = list(value("ALLOWED_TOKENS"));
    let many = tokens.len() > 1;
    for (place, token) in (1..).zip(&tokens) {
        let name = if many { format!("gemini-balance {place}") } else { "gemini-balance".to_owned() };
        found.client(&name, token, Map::new());
    }
    // It opens the pool, too, beside its pages.
    found.client("gemini-balance AUTH_TOKEN", value("AUTH_TOKEN").trim(), Map::new());
    let vertex = list(value("VERTEX_API_KEYS")).len();
    if vertex > 0 {
        found
            .left_out
            .push(format!("{vertex} keys of Vertex AI (VERTEX_API_KEYS): they are for another API"));
    }
    let paid = value("PAID_KEY").trim();
    if !paid.is_empty() {
        found.key(paid, Some("PAID_KEY"), false);
        found.notes.push(
            "PAID_KEY is labelled so: say that its project is paid (libra keys label, LIBRA_PROJECTS)"
                .to_owned(),
        );
    }
    if value("DATABASE_TYPE").trim().eq_ignore_ascii_case("mysql") {
        found.notes.push(
            "this gemini-balance keeps its settings in MySQL, and what was changed on its pages is there alone: copy the \
             keys on its page of keys, and add them with libra keys add"
                .to_owned(),
        );
    }
    Ok(found)
}

fn of_file(file: &Path) -> Result<BTreeMap<String, String>, String> {
    let text = text_of(file)?;
    let values = dotenv::parse(&text)?.into_iter().map(|(name, value)| (name.to_owned(), value));
    let values: BTreeMap<String, String> = values.collect();
    if !["API_KEYS", "ALLOWED_TOKENS", "AUTH_TOKEN"].iter().any(|name| values.contains_key(*name)) {
        return Err(
            "it has none of gemini-balance's settings (API_KEYS, ALLOWED_TOKENS, AUTH_TOKEN)".to_owned()
        );
    }
    Ok(values)
}

fn of_database(file: &Path) -> Result<BTreeMap<String, String>, String> {
    let database = database(file, "gemini-balance")?;
    if !columns(&database, "t_settings")?.contains("key") {
        return Err("it is no database of gemini-balance's: there is no table t_settings".to_owned());
    }
    let mut statement = database
        .prepare("SELECT key, coalesce(value, '') FROM t_settings")
        .map_err(|error| error.to_string())?;
    let rows =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(|error| error.to_string())?;
    rows.collect::<Result<_, _>>().map_err(|error| error.to_string())
}
