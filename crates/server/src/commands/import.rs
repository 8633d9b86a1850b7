//! `libra import`: the keys and the clients of another program, with the tokens that its clients send already.
//!
//! A file is only read. What is found becomes keys and clients as if somebody had typed them; what cannot be taken over is
//! told, with the reason. No key and no token is ever printed.

mod gemini_balance;
mod gpt_load;
mod litellm;
mod new_api;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use http::Method;
use libra_core::secret::{ApiKey, KeyId};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Map, Value, json};

use super::keys::summary;
use super::{Reach, done, read};
use crate::admin_api::{KeysAdded, own_key};
use crate::cli::{ImportOptions, Options, Program};
use crate::progress::Line;
use crate::settings::Settings;
use crate::{StartError, say};

/// What was found in a file.
#[derive(Debug, Default)]
struct Found {
    keys: Vec<FoundKey>,
    clients: Vec<FoundClient>,
    /// What is not taken over, and why; one line each.
    left_out: Vec<String>,
    /// What to know beside that.
    notes: Vec<String>,
    known: BTreeSet<KeyId>,
}

/// A key for the pool.
#[derive(Debug)]
struct FoundKey {
    key: ApiKey,
    label: Option<String>,
    paused: bool,
}

/// Somebody who sends a token.
#[derive(Debug)]
struct FoundClient {
    name: String,
    key: ApiKey,
    /// As `ClientSettings` are written.
    settings: Map<String, Value>,
}

/// # Errors
/// The file cannot be read or is none of that program's; the gateway or the store refuses.
pub(crate) async fn import(
    options: &Options,
    settings: &Settings,
    asked: &ImportOptions,
) -> Result<ExitCode, StartError> {
    let file = &asked.file;
    let found = match asked.from {
        Program::GeminiBalance => gemini_balance::read(file),
        Program::GptLoad => gpt_load::read(file),
        Program::NewApi => new_api::read(file),
        Program::Litellm => litellm::read(file, |name| std::env::var(name).ok()),
    };
    let mut found = found.map_err(|problem| format!("{}: {problem}", file.display()))?;
    found.leave_out_weak();
    let paused = found.keys.iter().filter(|key| key.paused).count();
    say(&format!(
        "Found      {} keys ({paused} of them not in use), {} clients",
        found.keys.len(),
        found.clients.len()
    ));
    for client in &found.clients {
        let said =
            if client.settings.is_empty() { String::new() } else { format!("  {}", words(&client.settings)) };
        say(&format!("Client     {}{said}", client.name));
    }
    for line in &found.left_out {
        say(&format!("Left out   {line}"));
    }
    for line in &found.notes {
        say(&format!("Note       {line}"));
    }
    if asked.dry_run {
        say("Nothing was taken over: this was a dry run.");
        return done();
    }
    if found.keys.is_empty() && found.clients.is_empty() {
        return Err("there is nothing to take over".into());
    }
    let reach = Reach::find(options, settings, &asked.asked)?;
    take_over(&reach, &found, asked.from).await
}

async fn take_over(reach: &Reach, found: &Found, program: Program) -> Result<ExitCode, StartError> {
    let tag = match program {
        Program::GeminiBalance => "gemini-balance",
        Program::GptLoad => "gpt-load",
        Program::NewApi => "new-api",
        Program::Litellm => "litellm",
    };
    for paused in [false, true] {
        let keys = found.keys.iter().filter(|key| key.paused == paused);
        let keys: Vec<Value> =
            keys.map(|key| json!({ "key": key.key.expose(), "label": key.label })).collect();
        if keys.is_empty() {
            continue;
        }
        let body = json!({ "text": Value::from(keys).to_string(), "tags": [tag], "paused": paused });
        let answer = reach.ask(Method::POST, "/admin/api/keys", Some(&body)).await?;
        let added: KeysAdded = read(&answer)?;
        say(&format!("Keys       {}{}", summary(&added), if paused { " (paused)" } else { "" }));
    }
    let mut line = Line::new();
    let (mut added, mut refused) = (0, 0);
    let all = found.clients.len() as u64;
    for (place, client) in (1..).zip(&found.clients) {
        let mut body = client.settings.clone();
        body.insert("name".to_owned(), client.name.as_str().into());
        body.insert("key".to_owned(), client.key.expose().into());
        match reach.ask(Method::POST, "/admin/api/clients", Some(&body.into())).await {
            Ok(_) => added += 1,
            Err(problem) => {
                refused += 1;
                line.clear();
                say(&format!("Left out   client {}: {problem}", client.name));
            }
        }
        line.bar(place, all, "clients");
    }
    line.clear();
    if all > 0 {
        say(&format!("Clients    {added} added, {refused} left out"));
    }
    done()
}

impl Found {
    /// A key, once.
    fn key(&mut self, text: &str, label: Option<&str>, paused: bool) {
        let key = ApiKey::new(text);
        if key.expose().is_empty() {
            return;
        }
        if !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) || key.expose().len() < 20 {
            self.left_out.push(
                "a key that is none of Gemini's: it is too short, or has characters that no key has"
                    .to_owned(),
            );
            return;
        }
        if self.known.insert(key.id()) {
            let label =
                label.map(str::trim).filter(|label| !label.is_empty() && label.chars().count() <= 100);
            self.keys.push(FoundKey { key, label: label.map(str::to_owned), paused });
        }
    }

    /// A client by its token, once; its name made unlike others'.
    fn client(&mut self, name: &str, token: &str, settings: Map<String, Value>) {
        let key = ApiKey::new(token);
        if key.expose().is_empty() || self.clients.iter().any(|known| known.key == key) {
            return;
        }
        let plain: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
        let plain = if plain.trim().is_empty() { "client" } else { plain.trim() };
        let mut name = plain.to_owned();
        for number in 2.. {
            if self.clients.iter().all(|known| known.name != name) {
                break;
            }
            name = format!("{plain} {number}");
        }
        self.clients.push(FoundClient { name, key, settings });
    }

    /// Tokens that everybody guesses open nothing here.
    fn leave_out_weak(&mut self) {
        let left_out = &mut self.left_out;
        self.clients.retain(|client| match own_key(client.key.expose()) {
            Ok(_) => true,
            Err(problem) => {
                let why = problem.message().trim_end_matches(" Leave it out, and one is made.");
                left_out
                    .push(format!("client {}: {why} Its users need another: libra clients add", client.name));
                false
            }
        });
    }
}

/// Settings in a line.
fn words(settings: &Map<String, Value>) -> String {
    settings.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// More than any of these programs' text files has.
const MOST_BYTES: u64 = 64 << 20;

fn text_of(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let opened = File::open(file).map_err(|error| error.to_string())?;
    opened.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

/// Whether a file is an SQLite database, by its first bytes.
fn is_database(file: &Path) -> bool {
    let mut start = [0; 16];
    File::open(file).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == *b"SQLite format 3\0"
}

/// Opens an SQLite database for reading alone.
fn database(file: &Path, program: &str) -> Result<Connection, String> {
    if !is_database(file) {
        return Err(format!(
            "it is no SQLite database; {program} keeps its keys in one where no other is set"
        ));
    }
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| error.to_string())
}

/// The columns that a table has; none: there is no such table.
fn columns(database: &Connection, table: &str) -> Result<BTreeSet<String>, String> {
    let mut statement =
        database.prepare("SELECT name FROM pragma_table_info(?1)").map_err(|error| error.to_string())?;
    let names = statement.query_map([table], |row| row.get(0)).map_err(|error| error.to_string())?;
    names.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// A column, or what stands for it where a version of the program does not have it.
fn or<'a>(columns: &BTreeSet<String>, name: &'a str, without: &'a str) -> &'a str {
    if columns.contains(name.trim_matches('"')) { name } else { without }
}

/// Texts in a JSON array, or parted by commas and lines.
fn list(text: &str) -> Vec<String> {
    let text = text.trim().trim_matches(['\'', '"']).trim();
    if let Ok(list) = serde_json::from_str::<Vec<String>>(text) {
        return list.iter().map(|entry| entry.trim().to_owned()).filter(|entry| !entry.is_empty()).collect();
    }
    let plain = text.trim_start_matches('[').trim_end_matches(']');
    let entries =
        plain.split([',', '\n', '\r']).map(|entry| entry.trim().trim_matches(['\'', '"']).to_owned());
    entries.filter(|entry| !entry.is_empty()).collect()
}

#[cfg(test)]
mod tests;
