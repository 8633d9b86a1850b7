//! Long-running operations: films, tuning, imports. One is pending for half a second of the simulator's clock, or for
//! as long as its prompt says.

use http::Method;
use serde_json::{Value, json};

use crate::clock::UnixMillis;
use crate::errors::GoogleError;
use crate::json::{field, list, text};
use crate::objects::files::{listed, uri};
use crate::objects::media::Content;
use crate::objects::shelf::{Kept, Shelf};
use crate::objects::{Answered, Asking, File, Objects, references, route};
use crate::plan::Reply;
use crate::simulator::ProjectId;

/// How long work takes, where nothing else is asked for.
pub(crate) const USUAL: UnixMillis = 500;

/// The size of a film, where nothing else is asked for.
const FILM: u64 = 2 << 20;

/// Google makes no more films at once.
const MOST_FILMS: f64 = 4.0;

/// The operations that there are, by their full names.
#[derive(Debug)]
pub(crate) struct Operations {
    operations: Shelf<Operation>,
}

/// Work that is under way, or done.
#[derive(Debug)]
struct Operation {
    done_at: UnixMillis,
    /// What it always shows besides its name; null where that is nothing.
    metadata: Value,
    /// `{"response": …}` or `{"error": …}`
    outcome: Value,
}

impl Default for Operations {
    fn default() -> Self {
        Self { operations: Shelf::new("operations") }
    }
}

impl Operations {
    /// Begins one below `parent` (`models/m/operations/`); gives what it shows of itself.
    pub(crate) fn begin(
        &mut self,
        parent: &str,
        metadata: Value,
        outcome: Value,
        project: ProjectId,
        now: UnixMillis,
        takes: UnixMillis,
    ) -> Value {
        let name = format!("{parent}{}", self.operations.id(12));
        let operation = Operation { done_at: now.saturating_add(takes), metadata, outcome };
        let kept = self.operations.put(name.clone(), project, now, None, operation);
        show(&name, kept, now)
    }

    fn of(&self, project: ProjectId, name: &str, now: UnixMillis) -> Result<&Kept<Operation>, GoogleError> {
        self.operations.find(project, name, now).ok_or_else(GoogleError::no_such_entity)
    }
}

fn show(name: &str, kept: &Kept<Operation>, now: UnixMillis) -> Value {
    let operation = &kept.it;
    let mut shown = json!({ "name": name });
    if !operation.metadata.is_null() {
        shown["metadata"] = operation.metadata.clone();
    }
    // What is pending does not even say so.
    if now >= operation.done_at {
        shown["done"] = json!(true);
        for (name, value) in operation.outcome.as_object().into_iter().flatten() {
            shown[name] = value.clone();
        }
    }
    shown
}

/// Answers what is asked of operations, whatever they belong to.
pub(crate) fn answer(asking: &Asking<'_>) -> Answered {
    let (project, now, name) = (asking.project, asking.now, asking.route.name());
    let is_collection = name == "operations" || name.ends_with("/operations");
    asking.objects(|objects| {
        let operations = &mut objects.operations;
        Ok(Some(Reply::object(&match (asking.method(), asking.route.verb) {
            (&Method::GET, "") if is_collection => {
                let page = route::page(asking.request.uri(), 50, 100);
                let parent = format!("{name}/");
                let (found, next) = operations.operations.list(project, &parent, &page, now)?;
                listed("operations", found.iter().map(|(name, kept)| show(name, kept, now)).collect(), next)
            }
            (&Method::GET, "") => operations.of(project, &name, now).map(|kept| show(&name, kept, now))?,
            (&Method::POST, "cancel") => {
                let cancelled = json!({ "code": 1, "message": "The operation was cancelled." });
                operations.of(project, &name, now)?;
                if let Some(kept) = operations.operations.find_mut(project, &name, now)
                    && now < kept.it.done_at
                {
                    kept.it.done_at = now;
                    kept.it.outcome = json!({ "error": cancelled });
                }
                json!({})
            }
            (&Method::DELETE, "") => {
                operations.of(project, &name, now)?;
                operations.operations.remove(project, &name, now);
                json!({})
            }
            _ => return Ok(None),
        })))
    })
}

/// What a prompt says about a film.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Film {
    /// Zero: the usual size.
    pub(crate) bytes: u64,
    pub(crate) takes: Option<UnixMillis>,
}

impl Objects {
    /// Begins to make films: `{"instances": [{"prompt", "video"?}], "parameters": {"sampleCount"}}`.
    pub(crate) fn film(
        &mut self,
        model: &str,
        body: &Value,
        film: Film,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<Value, GoogleError> {
        for name in quoted(body) {
            self.files.active(project, &name, now)?;
        }
        let parameters = field(body, "parameters").unwrap_or(&Value::Null);
        let asked = ["sampleCount", "numberOfVideos"];
        let count = asked.into_iter().find_map(|name| crate::json::number(parameters, name)).unwrap_or(1.0);
        if !(1.0..=MOST_FILMS).contains(&count) {
            return Err(GoogleError::invalid(format!("sampleCount must be in the range [1, {MOST_FILMS}].")));
        }
        let takes = film.takes.unwrap_or(USUAL);
        let size = if film.bytes == 0 { FILM } else { film.bytes };
        let mut samples = Vec::new();
        for _ in 0..count as usize {
            let mut file = File::generated("video/mp4", Content::Pattern, size);
            file.ready_at = now.saturating_add(takes);
            let name = self.files.add("", file, project, now)?;
            samples.push(json!({ "video": { "uri": format!("{}:download?alt=media", uri(&name)) } }));
        }
        let outcome = json!({ "response": {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse",
            "generateVideoResponse": { "generatedSamples": samples },
        } });
        let parent = format!("models/{model}/operations/");
        Ok(self.operations.begin(&parent, Value::Null, outcome, project, now, takes))
    }
}

/// The files that the instances of a prediction name.
fn quoted(body: &Value) -> Vec<String> {
    let instances = list(body, "instances").iter();
    instances
        .flat_map(|instance| {
            ["video", "image", "lastFrame"].into_iter().filter_map(|name| field(instance, name))
        })
        .flat_map(|medium| ["uri", "fileUri", "gcsUri"].map(|name| text(medium, name)))
        .filter_map(references::file_of)
        .collect()
}
