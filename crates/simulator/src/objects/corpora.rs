//! `corpora/*` with documents and chunks, and `tunedModels/*`: both of former years, both with permissions. Nothing is
//! searched, nothing is tuned; a tuned model says what its base model says.

use http::Method;
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::call::{Call, Operation, query};
use crate::clock::{UnixMillis, json_time};
use crate::errors::{Form, GoogleError};
use crate::json::{list, text};
use crate::models::Model;
use crate::objects::files::listed;
use crate::objects::shelf::{Kept, Shelf};
use crate::objects::{Answered, Asking, Objects, operations, route};
use crate::plan::{Plan, Reply};
use crate::simulator::ProjectId;

/// What serves where a tuned model does not say what it is tuned from.
const BASE: &str = "gemini-2.5-flash";

/// Everything by its full name, `corpora/a/documents/b/chunks/c`.
#[derive(Debug)]
pub(crate) struct Corpora {
    things: Shelf<Value>,
}

impl Default for Corpora {
    fn default() -> Self {
        Self { things: Shelf::new("corpora") }
    }
}

impl Corpora {
    /// Refuses what is not the project's.
    pub(crate) fn check(&self, project: ProjectId, name: &str, now: UnixMillis) -> Result<(), GoogleError> {
        self.of(project, name, now).map(|_| ())
    }

    fn of(&self, project: ProjectId, name: &str, now: UnixMillis) -> Result<&Kept<Value>, GoogleError> {
        self.things.find(project, name, now).ok_or_else(|| foreign(name))
    }

    /// Adds to a collection, `corpora/a/documents`.
    fn add(
        &mut self,
        collection: &str,
        wanted: &str,
        body: &Value,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<Value, GoogleError> {
        if let Some((parent, _)) = collection.rsplit_once('/') {
            self.check(project, parent, now)?;
        }
        let id = [wanted, text(body, "name").rsplit('/').next().unwrap_or_default()];
        let id = id.into_iter().find(|id| !id.is_empty()).map_or_else(|| self.things.id(12), str::to_owned);
        let name = format!("{collection}/{id}");
        if self.things.has(&name, now) {
            return Err(GoogleError::exists(format!("Requested entity already exists: {name}")));
        }
        let mut shown = json!({ "name": name });
        for (field, value) in body.as_object().into_iter().flatten().filter(|(field, _)| *field != "name") {
            shown[field] = value.clone();
        }
        if !collection.ends_with("permissions") {
            shown["createTime"] = json!(json_time(now));
            shown["updateTime"] = json!(json_time(now));
        }
        if collection == "tunedModels" || collection.ends_with("chunks") {
            shown["state"] = json!(if collection == "tunedModels" { "ACTIVE" } else { "STATE_ACTIVE" });
        }
        self.things.put(name, project, now, None, shown.clone());
        Ok(shown)
    }
}

/// The error for what belongs to another project, or is not there.
fn foreign(name: &str) -> GoogleError {
    let (collection, id) = name.rsplit_once('/').unwrap_or(("", name));
    let kind = match collection.rsplit('/').next() {
        Some("corpora") => "Corpus",
        Some("documents") => "Document",
        Some("chunks") => "Chunk",
        Some("permissions") => "Permission",
        _ => "tuned model",
    };
    GoogleError::foreign(kind, id)
}

/// Answers what is asked of corpora and tuned models.
pub(crate) fn answer(asking: &Asking<'_>) -> Answered {
    let (project, now, name) = (asking.project, asking.now, asking.route.name());
    let parts = asking.route.parts();
    if matches!(asking.route.verb, "generateContent" | "streamGenerateContent" | "countTokens") {
        return generate(asking).map(Some);
    }
    let body = if asking.method() == Method::GET { Value::Null } else { asking.small_json()? };
    let page = route::page(asking.request.uri(), 10, 1000);
    let wanted = query(asking.request.uri(), "tunedModelId").unwrap_or_default().into_owned();
    let forced = query(asking.request.uri(), "force").is_some_and(|force| force.eq_ignore_ascii_case("true"));
    let is_collection = parts.len() % 2 == 1;
    asking.objects(|objects| {
        let corpora = &mut objects.corpora;
        let shown = match (asking.method(), asking.route.verb) {
            (&Method::POST, "") if name == "tunedModels" => objects.tune(&wanted, &body, project, now)?,
            (&Method::POST, "") if is_collection => corpora.add(&name, "", &body, project, now)?,
            (&Method::POST, "batchCreate") if is_collection => {
                let asked = list(&body, "requests").iter();
                let made = asked.map(|one| corpora.add(&name, "", &one["chunk"], project, now));
                json!({ "chunks": made.collect::<Result<Vec<_>, _>>()? })
            }
            (&Method::GET, "") if is_collection => {
                if let Some((parent, _)) = name.rsplit_once('/') {
                    corpora.check(project, parent, now)?;
                }
                let (found, next) = corpora.things.list(project, &format!("{name}/"), &page, now)?;
                let shown = found.into_iter().map(|(_, kept)| kept.it.clone()).collect();
                listed(parts.last().copied().unwrap_or_default(), shown, next)
            }
            (&Method::GET, "") => corpora.of(project, &name, now)?.it.clone(),
            (&Method::PATCH, "") => {
                let kept = corpora.things.find_mut(project, &name, now).ok_or_else(|| foreign(&name))?;
                for (field, value) in
                    body.as_object().into_iter().flatten().filter(|(field, _)| *field != "name")
                {
                    kept.it[field] = value.clone();
                }
                kept.it["updateTime"] = json!(json_time(now));
                kept.it.clone()
            }
            (&Method::DELETE, "") => {
                corpora.check(project, &name, now)?;
                let below = format!("{name}/");
                if !forced && !corpora.things.below(project, &below, now).is_empty() {
                    return Err(GoogleError::precondition("Cannot delete a resource that is not empty."));
                }
                corpora.things.remove_below(project, &below);
                corpora.things.remove(project, &name, now);
                json!({})
            }
            (&Method::POST, "query") => {
                corpora.check(project, &name, now)?;
                json!({ "relevantChunks": [] })
            }
            (&Method::POST, "transferOwnership") => {
                corpora.check(project, &name, now)?;
                json!({})
            }
            _ => return Ok(None),
        };
        Ok(Some(Reply::object(&shown)))
    })
}

impl Objects {
    /// Tunes a model; gives the operation that does it.
    fn tune(
        &mut self,
        wanted: &str,
        body: &Value,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<Value, GoogleError> {
        let mut model = self.corpora.add("tunedModels", wanted, body, project, now)?;
        let name = text(&model, "name").to_owned();
        model["@type"] = json!("type.googleapis.com/google.ai.generativelanguage.v1beta.TunedModel");
        let metadata = json!({ "tunedModel": name });
        let parent = format!("{name}/operations/");
        let outcome = json!({ "response": model });
        Ok(self.operations.begin(&parent, metadata, outcome, project, now, operations::USUAL))
    }
}

/// A tuned model is asked: what its base model says.
fn generate(asking: &Asking<'_>) -> Result<Reply, GoogleError> {
    let name = asking.route.name();
    let base = asking.objects(|objects| {
        let model = &objects.corpora.of(asking.project, &name, asking.now)?.it;
        let base = text(model, "baseModel");
        Ok(Model::named(base.strip_prefix("models/").unwrap_or(base)).map_or(BASE, |model| model.id))
    })?;
    let is_sse = query(asking.request.uri(), "alt").as_deref() == Some("sse");
    let operation = match asking.route.verb {
        "countTokens" => Operation::CountTokens,
        "streamGenerateContent" => Operation::Stream(if is_sse { Form::Events } else { Form::Array }),
        _ => Operation::Generate,
    };
    let call = Call { version: asking.route.version, model: base.to_owned(), operation };
    let plan = Asked {
        simulator: asking.simulator,
        request: asking.request,
        call: &call,
        caller: asking.caller,
        now: asking.now,
    }
    .plan();
    match plan {
        Plan::Answer(reply) => Ok(reply),
        // What breaks connections is for the models themselves.
        Plan::Hang | Plan::Reset => Err(GoogleError::overloaded()),
    }
}
