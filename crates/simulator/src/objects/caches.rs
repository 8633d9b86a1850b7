//! `cachedContents/*`: the beginning of prompts, kept for an hour or for as long as its owner says.
//!
//! Google caches nothing small; here the size does not matter, so that a test need not be long.

use http::Method;
use serde_json::{Value, json};

use crate::answer;
use crate::call::query;
use crate::clock::{UnixMillis, json_time, read_time};
use crate::errors::GoogleError;
use crate::json::{field, spells, text};
use crate::models::Model;
use crate::objects::files::listed;
use crate::objects::shelf::{Kept, Shelf};
use crate::objects::{Answered, Asking, Objects, route};
use crate::plan::Reply;
use crate::simulator::ProjectId;
use crate::validate::known;

/// How long one is kept whose owner does not say.
const KEPT: UnixMillis = 3_600_000;

const FIELDS: &[&str] = &[
    "name",
    "model",
    "displayName",
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "ttl",
    "expireTime",
    "usageMetadata",
];

/// The caches that there are.
#[derive(Debug)]
pub(crate) struct Caches {
    caches: Shelf<Cache>,
}

/// A cache. What it holds does not matter, but for how much.
#[derive(Debug)]
struct Cache {
    /// Without `models/`.
    model: &'static str,
    display_name: String,
    tokens: u64,
}

impl Default for Caches {
    fn default() -> Self {
        Self { caches: Shelf::new("caches") }
    }
}

impl Caches {
    fn of(&self, project: ProjectId, name: &str, now: UnixMillis) -> Result<&Kept<Cache>, GoogleError> {
        let foreign = || GoogleError::denied("CachedContent not found (or permission denied)");
        self.caches.find(project, name, now).ok_or_else(foreign)
    }

    /// The tokens that a request (`{"cachedContent": "cachedContents/…", …}`) of a model need not bring itself; zero
    /// where it names no cache.
    pub(crate) fn tokens(
        &self,
        request: &Value,
        model: &str,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<u64, GoogleError> {
        let name = text(request, "cachedContent");
        if name.is_empty() {
            return Ok(0);
        }
        let cache = &self.of(project, name, now)?.it;
        if cache.model != model {
            return Err(GoogleError::invalid(format!(
                "Model used by GenerateContent request (models/{model}) and CachedContent (models/{}) has to be the same.",
                cache.model
            )));
        }
        if ["systemInstruction", "tools", "toolConfig"].iter().any(|name| field(request, name).is_some()) {
            return Err(GoogleError::invalid(
                "CachedContent can not be used with GenerateContent request setting system_instruction, tools or \
                 tool_config.\n\nProposed fix: move those values to CachedContent from GenerateContent request.",
            ));
        }
        Ok(cache.tokens)
    }
}

fn show(name: &str, kept: &Kept<Cache>) -> Value {
    json!({
        "name": name,
        "model": format!("models/{}", kept.it.model),
        "createTime": json_time(kept.created),
        "updateTime": json_time(kept.updated),
        "expireTime": json_time(kept.until.unwrap_or(u64::MAX)),
        "displayName": kept.it.display_name,
        "usageMetadata": { "totalTokenCount": kept.it.tokens },
    })
}

/// When a cache ends that this body describes. None: it does not say.
fn end(body: &Value, now: UnixMillis) -> Result<Option<UnixMillis>, GoogleError> {
    let wrong =
        |name: &str| GoogleError::invalid_value(name, "(type.googleapis.com/google.protobuf.Duration)");
    if let Some(ttl) = field(body, "ttl") {
        let seconds = ttl.as_str().and_then(|ttl| ttl.strip_suffix('s')?.parse::<f64>().ok());
        let seconds = seconds.filter(|seconds| (0.0..1e12).contains(seconds)).ok_or_else(|| wrong("ttl"))?;
        return Ok(Some(now.saturating_add((seconds * 1_000.0) as UnixMillis)));
    }
    let Some(time) = field(body, "expireTime") else { return Ok(None) };
    let time = time.as_str().and_then(read_time).ok_or_else(|| wrong("expire_time"))?;
    if time <= now {
        return Err(GoogleError::invalid("* CachedContent.expire_time: expire_time must be in the future\n"));
    }
    Ok(Some(time))
}

/// Answers what is asked of caches.
pub(crate) fn answer(asking: &Asking<'_>) -> Answered {
    let (project, now, name) = (asking.project, asking.now, asking.route.name());
    let parts = asking.route.parts();
    let shown = match (asking.method(), parts.as_slice(), asking.route.verb) {
        (&Method::POST, [_], "") => {
            let body = asking.json()?;
            asking.objects(|objects| objects.cache(&body, project, now))?
        }
        (&Method::GET, [_], "") => {
            let page = route::page(asking.request.uri(), 50, 1000);
            asking.objects(|objects| {
                let (found, next) = objects.caches.caches.list(project, "cachedContents/", &page, now)?;
                Ok(listed(
                    "cachedContents",
                    found.iter().map(|(name, kept)| show(name, kept)).collect(),
                    next,
                ))
            })?
        }
        (&Method::GET, [_, _], "") => {
            asking.objects(|objects| objects.caches.of(project, &name, now).map(|kept| show(&name, kept)))?
        }
        (&Method::PATCH, [_, _], "") => {
            let body = asking.json()?;
            known(&body, FIELDS, "cached_content")?;
            let mask = query(asking.request.uri(), "updateMask").unwrap_or_default().into_owned();
            let may_change = |field: &&str| ["ttl", "expireTime"].iter().any(|name| spells(field, name));
            let end = end(&body, now)?;
            asking.objects(|objects| {
                objects.caches.of(project, &name, now)?;
                if !mask.split(',').filter(|field| !field.is_empty()).all(|field| may_change(&field)) {
                    return Err(GoogleError::invalid(
                        "Only ttl and expire_time of a CachedContent can be updated.",
                    ));
                }
                let kept = objects.caches.caches.find_mut(project, &name, now);
                let kept = kept.ok_or_else(GoogleError::no_such_entity)?;
                kept.until = end.or(kept.until);
                kept.updated = now;
                Ok(show(&name, kept))
            })?
        }
        (&Method::DELETE, [_, _], "") => asking.objects(|objects| {
            objects.caches.of(project, &name, now)?;
            objects.caches.caches.remove(project, &name, now);
            Ok(json!({}))
        })?,
        _ => return Ok(None),
    };
    Ok(Some(Reply::object(&shown)))
}

impl Objects {
    fn cache(&mut self, body: &Value, project: ProjectId, now: UnixMillis) -> Result<Value, GoogleError> {
        known(body, FIELDS, "cached_content")?;
        let asked = text(body, "model");
        let asked = asked.strip_prefix("models/").unwrap_or(asked);
        if asked.is_empty() {
            return Err(GoogleError::invalid("* CachedContent.model: model is not specified\n"));
        }
        let model = Model::named(asked).filter(|model| model.supports("createCachedContent"));
        let model =
            model.ok_or_else(|| GoogleError::no_such_model(asked, "v1beta", "createCachedContent"))?;
        self.check_references(body, model.id, project, now)?;
        let cache = Cache {
            model: model.id,
            display_name: text(body, "displayName").to_owned(),
            tokens: answer::input(body).prompt(),
        };
        let until = end(body, now)?.unwrap_or_else(|| now.saturating_add(KEPT));
        let name = format!("cachedContents/{}", self.caches.caches.id(40));
        Ok(show(&name, self.caches.caches.put(name.clone(), project, now, Some(until), cache)))
    }
}
