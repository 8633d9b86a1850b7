//! What agents work with: agents, environments and their files, credentials, triggers and their runs, webhooks, voices.
//!
//! These are of the family of the interactions: fields are written in snake_case, and errors have words for codes.
//! Nothing is run, nobody is called, and of credentials no secret is kept.

use http::Method;
use serde_json::{Map, Value, json};

use crate::clock::{UnixMillis, json_time};
use crate::errors::GoogleError;
use crate::json::text;
use crate::objects::route::Place;
use crate::objects::shelf::{Kept, Shelf};
use crate::objects::{Answered, Asking, File, media, route};
use crate::plan::Reply;
use crate::simulator::ProjectId;

/// Google forgets a voice that nobody uses for a year.
const VOICE_KEPT: UnixMillis = 365 * 86_400_000;

/// What of a credential may be shown.
const SHOWN_OF_CREDENTIALS: &[&str] = &["type", "display_name"];

/// Resources by their full names, `triggers/a/executions/b`.
#[derive(Debug)]
pub(crate) struct Resources {
    resources: Shelf<Value>,
    /// By environment and path, `environments/e/files/src/main.py`.
    files: Shelf<File>,
}

impl Default for Resources {
    fn default() -> Self {
        Self { resources: Shelf::new("resources"), files: Shelf::new("environments") }
    }
}

impl Resources {
    /// Refuses what is not the project's. `name` with or without the kind before it.
    pub(crate) fn check(
        &self,
        kind: &str,
        name: &str,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<(), GoogleError> {
        let id = name.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
        self.of(project, &format!("{kind}/{id}"), now).map(|_| ())
    }

    /// An environment that a request asks for: by name, or as an object that describes one and may name it.
    pub(crate) fn check_environment(
        &self,
        asked: Option<&Value>,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<(), GoogleError> {
        let name = match asked {
            Some(Value::String(name)) => name,
            Some(described) => text(described, "environmentId"),
            None => "",
        };
        // A new one is made where none is named.
        if matches!(name, "" | "remote") { Ok(()) } else { self.check("environments", name, project, now) }
    }

    fn of(&self, project: ProjectId, name: &str, now: UnixMillis) -> Result<&Kept<Value>, GoogleError> {
        self.resources.find(project, name, now).ok_or_else(GoogleError::no_such_entity)
    }

    fn add(
        &mut self,
        collection: &str,
        mut body: Value,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<Value, GoogleError> {
        let kind = collection.split('/').next().unwrap_or_default();
        self.check_environment(body.get("environment_id"), project, now)?;
        self.check_environment(body.get("base_environment"), project, now)?;
        self.check_environment(body.get("from_environment"), project, now)?;
        let is_kept = body.get("store") != Some(&Value::Bool(false));
        let about = if kind == "voices" { body["voice"].take() } else { body };
        let wanted = text(&about, "id").to_owned();
        let id = if wanted.is_empty() { self.resources.id(24) } else { wanted };
        let name = format!("{collection}/{id}");
        if self.resources.has(&name, now) {
            return Err(GoogleError::exists(format!("Requested entity already exists: {name}")));
        }
        let mut shown = json!({ "id": id });
        for (field, value) in about.as_object().into_iter().flatten() {
            if field != "id" && (kind != "credentials" || SHOWN_OF_CREDENTIALS.contains(&field.as_str())) {
                shown[field] = value.clone();
            }
        }
        let time = json!(json_time(now));
        let more = match (kind, collection.contains('/')) {
            ("agents", _) => json!({}),
            ("environments", _) => json!({ "status": "active", "created": time, "updated": time }),
            ("voices", _) => json!({ "expire_time": json_time(now.saturating_add(VOICE_KEPT)) }),
            ("triggers", true) => {
                let trigger = collection.split('/').nth(1).unwrap_or_default();
                json!({ "trigger_id": trigger, "status": "succeeded", "start_time": time, "end_time": time })
            }
            ("webhooks", _) => json!({
                "name": name, "state": "enabled", "new_signing_secret": self.secret(), "create_time": time, "update_time": time,
            }),
            _ => json!({ "status": "active", "create_time": time, "update_time": time }),
        };
        shown.as_object_mut().into_iter().for_each(|shown| shown.extend(object(&more)));
        if is_kept {
            let until = (kind == "voices").then_some(now.saturating_add(VOICE_KEPT));
            let mut kept = shown.clone();
            // It is told once.
            kept.as_object_mut().into_iter().for_each(|kept| drop(kept.remove("new_signing_secret")));
            self.resources.put(name, project, now, until, kept);
        }
        Ok(shown)
    }

    fn secret(&self) -> String {
        format!("whsec_{}", self.resources.id(32))
    }

    /// A file of an environment is there.
    pub(super) fn add_file(&mut self, name: &str, file: File, project: ProjectId, now: UnixMillis) -> Value {
        show_file(name, self.files.put(name.to_owned(), project, now, None, file))
    }
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn show_file(name: &str, kept: &Kept<File>) -> Value {
    let path = name.splitn(4, '/').nth(3).unwrap_or_default();
    json!({
        "name": path.rsplit('/').next(),
        "path": path,
        "type": "file",
        "size_bytes": kept.it.size.to_string(),
        "mime_type": kept.it.mime,
        "created": json_time(kept.created),
        "modified": json_time(kept.updated),
    })
}

/// Answers what is asked of these resources.
pub(crate) fn answer(asking: &Asking<'_>) -> Answered {
    let (project, now, name) = (asking.project, asking.now, asking.route.name());
    let parts = asking.route.parts();
    if let ["environments", environment, "files", ..] = parts.as_slice() {
        return files(asking, environment);
    }
    if asking.route.place != Place::Plain {
        return Ok(None);
    }
    let body = if asking.method() == Method::GET { Value::Null } else { asking.small_json()? };
    let page = route::page(asking.request.uri(), 50, 1000);
    asking.objects(|objects| {
        let resources = &mut objects.resources;
        let shown = match (asking.method(), parts.as_slice(), asking.route.verb) {
            (&Method::POST, [_], "") => resources.add(&name, body, project, now)?,
            (&Method::GET, [kind], "") => {
                let (found, next) = resources.resources.list(project, &format!("{kind}/"), &page, now)?;
                list(kind, found.into_iter().map(|(_, kept)| kept.it.clone()).collect(), next)
            }
            (&Method::POST, ["triggers", trigger, "executions"], "") => {
                resources.check("triggers", trigger, project, now)?;
                resources.add(&name, body, project, now)?
            }
            (&Method::GET, ["triggers", trigger, "executions"], "") => {
                resources.check("triggers", trigger, project, now)?;
                let (found, next) = resources.resources.list(project, &format!("{name}/"), &page, now)?;
                list("trigger_executions", found.into_iter().map(|(_, kept)| kept.it.clone()).collect(), next)
            }
            (&Method::GET, [_, _] | ["triggers", _, "executions", _], "") => {
                resources.of(project, &name, now)?.it.clone()
            }
            (&Method::PATCH, [_, _], "") => {
                let found = resources.resources.find_mut(project, &name, now);
                let kept = found.ok_or_else(GoogleError::no_such_entity)?;
                for (field, value) in object(&body).into_iter().filter(|(field, _)| field != "id") {
                    kept.it[field] = value;
                }
                if kept.it.get("update_time").is_some() {
                    kept.it["update_time"] = json!(json_time(now));
                }
                kept.it.clone()
            }
            (&Method::DELETE, [_, _], "") => {
                resources.of(project, &name, now)?;
                resources.resources.remove(project, &name, now);
                resources.resources.remove_below(project, &format!("{name}/"));
                resources.files.remove_below(project, &format!("{name}/"));
                json!({})
            }
            (&Method::POST, ["webhooks", _], "ping") => {
                resources.of(project, &name, now)?;
                json!({})
            }
            (&Method::POST, ["webhooks", _], "rotateSigningSecret") => {
                resources.of(project, &name, now)?;
                json!({ "secret": resources.secret() })
            }
            _ => return Ok(None),
        };
        Ok(Some(Reply::object(&shown)))
    })
}

/// What is in an environment: a file with its bytes (`alt=media`), or what is known of it, or of all below a path.
fn files(asking: &Asking<'_>, environment: &str) -> Answered {
    let (project, now, name) = (asking.project, asking.now, asking.route.name());
    if asking.method() != Method::GET {
        return Ok(None);
    }
    let is_media = crate::call::query(asking.request.uri(), "alt").as_deref() == Some("media");
    let found = asking.objects(|objects| {
        let resources = &objects.resources;
        resources.check("environments", environment, project, now)?;
        if is_media {
            let file = resources.files.find(project, &name, now).ok_or_else(GoogleError::no_such_entity)?;
            return Ok(Err(file.it.clone()));
        }
        let exact = resources.files.find(project, &name, now).map(|kept| show_file(&name, kept));
        let below = resources.files.below(project, &format!("{name}/"), now);
        Ok(Ok(exact.into_iter().chain(below.into_iter().map(|(name, kept)| show_file(name, kept))).collect()))
    })?;
    match found {
        Ok(shown) => Ok(Some(Reply::object(&list("files", shown, None)))),
        Err(file) => media::download(asking, &file).map(Some),
    }
}

fn list(name: &str, shown: Vec<Value>, next: Option<String>) -> Value {
    let mut list = json!({ name: shown });
    if let Some(next) = next {
        list["next_page_token"] = next.into();
    }
    list
}
