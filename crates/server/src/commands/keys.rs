//! `libra keys`.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Reach, done, query, read, shown};
use crate::admin_api::{Job, Key, Keys, KeysAdded};
use crate::cli::{KeysOptions, KeysTask, Options};
use crate::progress::Line;
use crate::settings::Settings;
use crate::store::private;
use crate::{StartError, say};

/// As much as the gateway reads.
const MOST_BYTES: u64 = 16_000_000;

/// How often is looked how far a check is.
const LOOKED: Duration = Duration::from_millis(300);

/// # Errors
/// The gateway or the store refuses; a file cannot be read or written.
pub(crate) async fn keys(
    options: &Options,
    settings: &Settings,
    asked: &KeysOptions,
) -> Result<ExitCode, StartError> {
    let reach = Reach::find(options, settings, &asked.asked)?;
    let is_json = asked.asked.json;
    match &asked.task {
        KeysTask::List { project, tag, state } => {
            list(&reach, [("project", project), ("tag", tag), ("state", state)], is_json).await
        }
        KeysTask::Add { file, project, label, tags, paused } => {
            let text = pasted(file.as_deref())?;
            let mut body = json!({ "text": *text, "tags": tags, "paused": paused });
            for (name, value) in [("project", project), ("label", label)] {
                if let Some(value) = value {
                    body[name] = value.as_str().into();
                }
            }
            let answer = reach.ask(Method::POST, "/admin/api/keys", Some(&body)).await?;
            if is_json {
                say(&answer);
                return done();
            }
            let added: KeysAdded = read(&answer)?;
            say(&summary(&added));
            for refused in &added.refused {
                eprintln!("libra: entry {} {}", refused.entry, refused.problem);
            }
            done()
        }
        KeysTask::Remove { keys } => {
            let ids = ids(&reach, keys).await?;
            reach.ask(Method::POST, "/admin/api/keys/remove", Some(&json!({ "ids": ids }))).await?;
            say(&format!("{} removed", counted(ids.len() as u64)));
            done()
        }
        KeysTask::Pause { keys } => change(&reach, keys, &json!({ "paused": true }), is_json).await,
        KeysTask::Resume { keys } => change(&reach, keys, &json!({ "paused": false }), is_json).await,
        KeysTask::Label { key, label } => {
            change(&reach, std::slice::from_ref(key), &json!({ "label": label }), is_json).await
        }
        KeysTask::Tag { key, tags } => {
            change(&reach, std::slice::from_ref(key), &json!({ "tags": tags }), is_json).await
        }
        KeysTask::Verify { keys } => verify(&reach, keys, is_json).await,
        KeysTask::Export { output } => export(&reach, output.as_deref(), is_json).await,
        KeysTask::Rekey => crate::rekey(settings),
    }
}

async fn list(
    reach: &Reach,
    filters: [(&str, &Option<String>); 3],
    is_json: bool,
) -> Result<ExitCode, StartError> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let mut parameters: Vec<(&str, Option<String>)> =
            filters.iter().map(|(name, value)| (*name, (*value).clone())).collect();
        parameters.extend([("limit", Some("10000".to_owned())), ("after", after)]);
        let page: Keys = reach.get(&format!("/admin/api/keys{}", query(&parameters))).await?;
        all.extend(page.keys);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if is_json {
        say(&serde_json::to_string_pretty(&all)?);
        return done();
    }
    let rows = all.iter().map(|key| {
        let state = match (&key.set_aside, key.paused) {
            (_, true) => "paused".to_owned(),
            (Some(aside), false) => format!("set aside: {}", aside.why),
            (None, false) => "in use".to_owned(),
        };
        [
            key.id.to_string(),
            key.masked.clone(),
            key.label.clone().unwrap_or_default(),
            key.project.clone().unwrap_or_default(),
            key.tags.join(", "),
            key.origin.clone(),
            state,
        ]
    });
    let header = ["KEY", "LOOKS LIKE", "LABEL", "PROJECT", "TAGS", "FROM", "STATE"];
    say(&format!("{}\n\n{}", counted(all.len() as u64), shown(header, rows.collect()).trim_end()));
    done()
}

async fn change(
    reach: &Reach,
    names: &[String],
    body: &Value,
    is_json: bool,
) -> Result<ExitCode, StartError> {
    for id in ids(reach, names).await? {
        let answer = reach.ask(Method::PATCH, &format!("/admin/api/keys/{id}"), Some(body)).await?;
        if is_json {
            say(&answer);
            continue;
        }
        let key: Key = read(&answer)?;
        let state = if key.paused { "paused" } else { "in use" };
        let label = key.label.map(|label| format!("  {label}")).unwrap_or_default();
        say(&format!("{}  {state}{label}", key.id));
    }
    done()
}

/// The ids of keys by name, each one key.
async fn ids(reach: &Reach, names: &[String]) -> Result<Vec<String>, StartError> {
    let mut ids = Vec::new();
    for (place, name) in names.iter().enumerate() {
        if ["AIza", "AQ."].iter().any(|start| name.starts_with(start)) {
            let place = place + 1;
            return Err(format!(
                "name {place} is a key itself; keys go by key-… here, as what is typed may be kept"
            )
            .into());
        }
        let path = format!(
            "/admin/api/keys{}",
            query(&[("name", Some(name.clone())), ("limit", Some("2".to_owned()))])
        );
        let found: Keys = reach.get(&path).await?;
        match found.keys.as_slice() {
            [key] => ids.push(key.id.to_string()),
            [] => return Err(format!("there is no key {name}: see libra keys list").into()),
            _ => return Err(format!("{name} fits several keys: see libra keys list").into()),
        }
    }
    ids.dedup();
    Ok(ids)
}

async fn verify(reach: &Reach, names: &[String], is_json: bool) -> Result<ExitCode, StartError> {
    let body = if names.is_empty() { json!({}) } else { json!({ "ids": ids(reach, names).await? }) };
    let mut job: Job = reach.send(Method::POST, "/admin/api/keys/verify", &body).await?;
    let mut failures = Vec::new();
    let mut line = Line::new();
    loop {
        failures.append(&mut job.failures);
        line.bar(
            job.done,
            job.total,
            &format!("{} good, {} bad, {} unclear", job.good, job.bad, job.unclear),
        );
        if job.is_over && failures.len() as u64 >= job.bad + job.unclear {
            break;
        }
        tokio::time::sleep(LOOKED).await;
        job = reach.get(&format!("/admin/api/checks/{}?from={}", job.id, job.next)).await?;
    }
    line.clear();
    let all_good = job.good == job.total;
    if is_json {
        job.failures = failures;
        say(&serde_json::to_string_pretty(&job)?);
    } else {
        for failure in &failures {
            let error = failure.error.clone().unwrap_or_default();
            say(format!("{:<7}  {}  {}  {error}", failure.status.to_uppercase(), failure.id, failure.masked)
                .trim_end());
        }
        say(&format!("{}: {} good, {} bad, {} unclear", counted(job.total), job.good, job.bad, job.unclear));
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn export(reach: &Reach, output: Option<&Path>, is_json: bool) -> Result<ExitCode, StartError> {
    let body = json!({ "token": reach.token().expose() });
    let answer = Zeroizing::new(reach.ask(Method::POST, "/admin/api/keys/export", Some(&body)).await?);
    let text = if is_json {
        Zeroizing::new(format!("{}\n", *answer))
    } else {
        let exported: Value = read(&answer)?;
        let lines = exported["keys"].as_array().into_iter().flatten().map(|key| {
            let text = key["key"].as_str().unwrap_or_default();
            key["project"]
                .as_str()
                .map_or_else(|| format!("{text}\n"), |project| format!("{project}:{text}\n"))
        });
        Zeroizing::new(lines.collect::<String>())
    };
    match output {
        Some(file) => {
            let opened = private().create_new(true).open(file);
            let mut opened = opened.map_err(|error| format!("{}: {error}", file.display()))?;
            opened.write_all(text.as_bytes())?;
            opened.sync_all()?;
            say(&format!("the keys are in {}", file.display()));
        }
        None => std::io::stdout().write_all(text.as_bytes())?,
    }
    done()
}

/// What was pasted, from a file or standard input.
fn pasted(file: Option<&Path>) -> Result<Zeroizing<String>, StartError> {
    let mut text = Zeroizing::new(String::new());
    match file.filter(|file| *file != Path::new("-")) {
        Some(file) => {
            let opened = std::fs::File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
            opened.take(MOST_BYTES + 1).read_to_string(&mut text)?;
        }
        None => {
            std::io::stdin().lock().take(MOST_BYTES + 1).read_to_string(&mut text)?;
        }
    }
    if text.len() as u64 > MOST_BYTES {
        return Err(format!("that is more than {MOST_BYTES} bytes: add it in parts").into());
    }
    Ok(text)
}

/// What has become of keys.
pub(super) fn summary(added: &KeysAdded) -> String {
    let mut text = format!("{} added", counted(added.added.len() as u64));
    for (count, what) in [
        (added.doubles, "there already"),
        (added.in_settings, "in the settings already"),
        (added.refused_count, "no keys"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    if !added.projects.is_empty() {
        text.push_str(&format!("; projects: {}", added.projects.len()));
    }
    text
}

fn counted(count: u64) -> String {
    format!("{count} key{}", if count == 1 { "" } else { "s" })
}
