//! `libra clients`.

use std::process::ExitCode;

use http::Method;
use serde_json::{Map, Value, json};

use super::{Reach, done, read, shown};
use crate::cli::{ClientsOptions, ClientsTask, Options, Said};
use crate::settings::Settings;
use crate::{StartError, say};

/// # Errors
/// The gateway or the store refuses.
pub(crate) async fn clients(
    options: &Options,
    settings: &Settings,
    asked: &ClientsOptions,
) -> Result<ExitCode, StartError> {
    let reach = Reach::find(options, settings, &asked.asked)?;
    let is_json = asked.asked.json;
    match &asked.task {
        ClientsTask::List => {
            let answer = reach.ask(Method::GET, "/admin/api/clients", None).await?;
            if is_json {
                say(&answer);
                return done();
            }
            let all: Value = read(&answer)?;
            let text = |client: &Value, name: &str| client[name].as_str().unwrap_or_default().to_owned();
            let clients = all["clients"].as_array().map(Vec::as_slice).unwrap_or_default();
            let rows = clients.iter().map(|client| {
                [
                    text(client, "name"),
                    text(client, "id"),
                    text(client, "origin"),
                    said_of(&client["settings"]),
                ]
            });
            say(shown(["NAME", "ID", "FROM", "SETTINGS"], rows.collect()).trim_end());
            done()
        }
        ClientsTask::Add { name, said } => {
            let mut body = fields(said)?;
            body.insert("name".to_owned(), name.as_str().into());
            let answer = reach.ask(Method::POST, "/admin/api/clients", Some(&body.into())).await?;
            with_key(&answer, is_json)
        }
        ClientsTask::Change { client, said } => {
            let id = id_of(&reach, client).await?;
            let body = fields(said)?;
            if body.is_empty() {
                return Err("nothing is to be changed: say what with --set NAME=VALUE".into());
            }
            let answer =
                reach.ask(Method::PATCH, &format!("/admin/api/clients/{id}"), Some(&body.into())).await?;
            if is_json {
                say(&answer);
                return done();
            }
            let changed: Value = read(&answer)?;
            let name = changed["name"].as_str().unwrap_or_default();
            say(format!("{name}  {}", said_of(&changed["settings"])).trim_end());
            done()
        }
        ClientsTask::Remove { client } => {
            let id = id_of(&reach, client).await?;
            reach.ask(Method::DELETE, &format!("/admin/api/clients/{id}"), None).await?;
            say(&format!("{client} is removed; its key opens nothing any more"));
            done()
        }
        ClientsTask::Rotate { client } => {
            let id = id_of(&reach, client).await?;
            let path = format!("/admin/api/clients/{id}/rotate");
            let answer = reach.ask(Method::POST, &path, None).await?;
            with_key(&answer, is_json)
        }
    }
}

/// Shows a key, this once.
fn with_key(answer: &str, is_json: bool) -> Result<ExitCode, StartError> {
    if is_json {
        say(answer);
        return done();
    }
    let made: Value = read(answer)?;
    let key = made["key"].as_str().ok_or("the gateway is another version of libra, or none")?;
    eprintln!("libra: this is the key of {}, and is shown this once:", made["client"]["name"]);
    say(key);
    done()
}

async fn id_of(reach: &Reach, name: &str) -> Result<String, StartError> {
    let all: Value = reach.get("/admin/api/clients").await?;
    let clients = all["clients"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = clients.iter().find(|client| client["name"] == name || client["id"] == name);
    let id = found.and_then(|client| client["id"].as_str()).map(str::to_owned);
    id.ok_or_else(|| format!("there is no client {name}: see libra clients list").into())
}

/// `NAME=VALUE` as a field: numbers, yes and no as they are, lists parted by commas, nothing as null.
fn fields(said: &Said) -> Result<Map<String, Value>, StartError> {
    const LISTS: [&str; 3] = ["models", "dialects", "addresses"];
    let mut fields = Map::new();
    for setting in &said.settings {
        let (name, value) = setting.split_once('=').ok_or("--set: write NAME=VALUE")?;
        let (name, value) = (name.trim().replace('-', "_"), value.trim());
        let value = match value {
            "" => Value::Null,
            value if LISTS.contains(&name.as_str()) => {
                value.split(',').map(str::trim).collect::<Vec<_>>().into()
            }
            value if ["name", "expires", "safety"].contains(&name.as_str()) => value.into(),
            "true" | "yes" | "on" => true.into(),
            "false" | "no" | "off" => false.into(),
            value => {
                serde_json::from_str::<serde_json::Number>(value).map_or_else(|_| json!(value), Value::Number)
            }
        };
        fields.insert(name, value);
    }
    Ok(fields)
}

/// What is said of a client, in a line.
fn said_of(settings: &Value) -> String {
    let fields = settings.as_object().into_iter().flatten().filter(|(name, _)| *name != "name");
    let shown = fields.map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        Value::Array(values) => {
            format!("{name}={}", values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))
        }
        value => format!("{name}={value}"),
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_said_in_a_word() {
        let said =
            |settings: &[&str]| Said { settings: settings.iter().map(|text| (*text).to_owned()).collect() };
        let read = fields(&said(&[
            "requests-per-day=1000",
            "models=gemini-*-flash*, gpt-4o",
            "cost_per_day=1.5",
            "paused=yes",
            "expires=2027-01-31",
            "weight=",
        ]));
        let expected = json!({
            "requests_per_day": 1000,
            "models": ["gemini-*-flash*", "gpt-4o"],
            "cost_per_day": 1.5,
            "paused": true,
            "expires": "2027-01-31",
            "weight": null,
        });
        assert_eq!(read.map(Value::Object).ok(), Some(expected));
        assert!(fields(&said(&["paused"])).is_err());
        let settings = json!({ "name": "a", "models": ["b", "c"], "weight": 3 });
        assert_eq!(said_of(&settings), "models=b,c weight=3");
    }
}
