//! `batches/*`: many requests for later. A batch is pending for a quarter of a second of the simulator's clock, runs for
//! another, and then all is answered; `{{processing_ms=…}}` in its display name makes it longer, `{{state=failed}}`
//! fails it. Batches use no quota.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::answer::{Answer, hash};
use crate::clock::{UnixMillis, json_time};
use crate::directive::UploadDirectives;
use crate::errors::{Form, GoogleError};
use crate::json::{field, list, text};
use crate::models::Model;
use crate::objects::files::listed;
use crate::objects::media::Content;
use crate::objects::shelf::{Kept, Shelf};
use crate::objects::{Answered, Asking, File, Objects, operations, route};
use crate::plan::Reply;
use crate::simulator::ProjectId;
use crate::{asked, validate, write};

/// So many batches are remembered, as each holds its requests and its answers. Google takes a hundred at once.
const MOST: usize = 512;

/// So many requests of a batch are answered; Google takes more.
const MOST_REQUESTS: usize = 10_000;

/// The batches that there are.
#[derive(Debug)]
pub(crate) struct Batches {
    batches: Shelf<Batch>,
}

#[derive(Debug)]
struct Batch {
    work: Work,
    model: &'static Model,
    display_name: String,
    /// With what its owner calls them.
    requests: Vec<Asked>,
    failed: usize,
    /// Whether requests came as a file, so that answers become one.
    is_file: bool,
    runs_at: UnixMillis,
    ends_at: UnixMillis,
    fails: bool,
    end: End,
}

/// What a batch is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Generate,
    Embed,
}

/// One request of a batch: `{"request", "metadata"}`, or in a file `{"key", "request"}`.
#[derive(Debug)]
struct Asked {
    request: Value,
    metadata: Value,
    key: Value,
}

#[derive(Debug, Clone)]
enum End {
    /// It is under way, or nobody has looked since it was done.
    Open,
    /// `metadata.output`
    Done(Value),
    Cancelled(UnixMillis),
}

impl Default for Batches {
    fn default() -> Self {
        Self { batches: Shelf::with_most("batches", MOST) }
    }
}

impl Batch {
    fn state(&self, now: UnixMillis) -> &'static str {
        match self.end {
            End::Cancelled(_) => "BATCH_STATE_CANCELLED",
            _ if now < self.runs_at => "BATCH_STATE_PENDING",
            _ if now < self.ends_at => "BATCH_STATE_RUNNING",
            _ if self.fails => "BATCH_STATE_FAILED",
            _ => "BATCH_STATE_SUCCEEDED",
        }
    }

    fn is_over(&self, now: UnixMillis) -> bool {
        now >= self.ends_at || matches!(self.end, End::Cancelled(_))
    }

    /// The answers: each `{"response" | "error", "metadata"?, "key"?}`.
    fn answers(&self) -> Vec<Value> {
        let answers = self.requests.iter().enumerate().map(|(number, asked)| {
            let mut answered = match self.answer(number, &asked.request) {
                Ok(response) => json!({ "response": response }),
                Err(error) => {
                    // The code is that of gRPC: 3 is an invalid argument.
                    json!({ "error": { "code": 3, "message": error.body["error"]["message"] } })
                }
            };
            for (name, value) in [("metadata", &asked.metadata), ("key", &asked.key)] {
                if !value.is_null() {
                    answered[name] = value.clone();
                }
            }
            answered
        });
        answers.collect()
    }

    fn answer(&self, number: usize, request: &Value) -> Result<Value, GoogleError> {
        match self.work {
            Work::Generate => {
                validate::generate(request, self.model)?;
                let id = hash(&(number, &self.display_name));
                let pieces = write::answer(&Answer::to(request, self.model), self.model, Form::Single, id);
                Ok(serde_json::from_slice(&pieces.concat()).unwrap_or_default())
            }
            Work::Embed => {
                let (vector, tokens) = asked::embedding(request, self.model)?;
                Ok(json!({ "embedding": vector, "tokenCount": tokens.to_string() }))
            }
        }
    }

    fn name_of_type(&self) -> &'static str {
        match self.work {
            Work::Generate => "GenerateContentBatch",
            Work::Embed => "EmbedContentBatch",
        }
    }
}

fn show(name: &str, kept: &Kept<Batch>, now: UnixMillis) -> Value {
    let batch = &kept.it;
    let kind = format!("type.googleapis.com/google.ai.generativelanguage.v1main.{}", batch.name_of_type());
    let all = batch.requests.len();
    let mut stats = json!({ "requestCount": all.to_string() });
    let (state, is_over) = (batch.state(now), batch.is_over(now));
    let counts = match state {
        "BATCH_STATE_SUCCEEDED" => [
            ("successfulRequestCount", all.saturating_sub(batch.failed)),
            ("failedRequestCount", batch.failed),
        ],
        "BATCH_STATE_FAILED" => [("failedRequestCount", all), ("", 0)],
        _ => [("pendingRequestCount", all), ("", 0)],
    };
    for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        stats[name] = json!(count.to_string());
    }
    let mut metadata = json!({
        "@type": kind,
        "model": format!("models/{}", batch.model.id),
        "displayName": batch.display_name,
        "createTime": json_time(kept.created),
        "updateTime": json_time(kept.updated),
        "batchStats": stats,
        "state": state,
        "name": name,
    });
    let mut shown = json!({ "name": name });
    if is_over {
        let ended = if let End::Cancelled(at) = batch.end { at } else { batch.ends_at };
        metadata["endTime"] = json!(json_time(ended));
        metadata["updateTime"] = json!(json_time(ended.max(kept.updated)));
        shown["done"] = json!(true);
    }
    match &batch.end {
        End::Done(output) => {
            metadata["output"] = output.clone();
            let mut response = output.clone();
            response["@type"] = json!(format!("{kind}Output"));
            shown["response"] = response;
        }
        End::Cancelled(_) => {
            shown["error"] = json!({ "code": 1, "message": "The operation was cancelled." });
        }
        End::Open if is_over => {
            shown["error"] = json!({ "code": 13, "message": "The batch failed." });
        }
        End::Open => {}
    }
    shown["metadata"] = metadata;
    shown
}

impl Objects {
    /// Takes a batch: `{"batch": {"displayName", "inputConfig": {"requests": {"requests": […]} | "fileName"}}}`.
    pub(crate) fn batch(
        &mut self,
        work: Work,
        model: &'static Model,
        body: &Value,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<Value, GoogleError> {
        let batch = field(body, "batch").unwrap_or(&Value::Null);
        let input = field(batch, "inputConfig").unwrap_or(&Value::Null);
        let display_name = text(batch, "displayName");
        let asked = UploadDirectives::read(display_name)
            .map_err(|error| GoogleError::invalid(format!("libra-simulator: {error}")))?;
        let file = text(input, "fileName");
        let requests = match file {
            "" => {
                let inlined = field(input, "requests").unwrap_or(&Value::Null);
                list(inlined, "requests").iter().map(|asked| Asked::read(asked.clone())).collect()
            }
            file => self.lines(file, project, now)?,
        };
        if requests.is_empty() || requests.len() > MOST_REQUESTS {
            return Err(GoogleError::invalid(format!(
                "* BatchGenerateContentRequest.batch.input_config: from 1 to {MOST_REQUESTS} requests are needed\n"
            )));
        }
        for asked in &requests {
            self.check_references(&asked.request, model.id, project, now)?;
        }
        let takes = u64::try_from(asked.processing.as_millis()).ok().filter(|takes| *takes > 0);
        let takes = takes.unwrap_or(operations::USUAL);
        let batch = Batch {
            work,
            model,
            display_name: display_name.to_owned(),
            requests,
            failed: 0,
            is_file: !file.is_empty(),
            runs_at: now.saturating_add(takes / 2),
            ends_at: now.saturating_add(takes),
            fails: asked.fails,
            end: End::Open,
        };
        let name = format!("batches/{}", self.batches.batches.id(36));
        Ok(show(&name, self.batches.batches.put(name.clone(), project, now, None, batch), now))
    }

    /// The requests that a file has, one a line.
    fn lines(&self, file: &str, project: ProjectId, now: UnixMillis) -> Result<Vec<Asked>, GoogleError> {
        let file = &self.files.active(project, file, now)?.it;
        let content = match &file.content {
            Content::Kept(content) if content.len() as u64 == file.size => content,
            _ => {
                return Err(GoogleError::invalid(
                    "libra-simulator: of a file, only 1 MiB is kept to be read here",
                ));
            }
        };
        let lines = content.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let wrong = |error: serde_json::Error| GoogleError::invalid(format!("Invalid JSONL line: {error}"));
        lines.map(|line| serde_json::from_slice(line).map(Asked::read).map_err(wrong)).collect()
    }

    /// Finishes a batch whose time has come.
    fn settle(&mut self, project: ProjectId, name: &str, now: UnixMillis) -> Result<(), GoogleError> {
        let found = self.batches.batches.find_mut(project, name, now);
        let batch = &mut found.ok_or_else(GoogleError::no_such_entity)?.it;
        if now < batch.ends_at || batch.fails || !matches!(batch.end, End::Open) {
            return Ok(());
        }
        let answers = batch.answers();
        batch.failed = answers.iter().filter(|answer| answer.get("error").is_some()).count();
        let output = if batch.is_file {
            let lines: String = answers.iter().map(|answer| format!("{answer}\n")).collect();
            let size = lines.len() as u64;
            let content = Content::Kept(Bytes::from(lines));
            let file = File::generated("application/jsonl", content, size);
            let file_name = format!("files/batch-{}", name.trim_start_matches("batches/"));
            self.files.put(&file_name, file, project, now);
            json!({ "responsesFile": file_name })
        } else {
            let inlined = json!({ "inlinedResponses": answers });
            match batch.work {
                Work::Generate => json!({ "inlinedResponses": inlined }),
                Work::Embed => json!({ "inlinedEmbedContentResponses": inlined }),
            }
        };
        if let Some(kept) = self.batches.batches.find_mut(project, name, now) {
            kept.it.end = End::Done(output);
        }
        Ok(())
    }

    fn show_batch(&mut self, project: ProjectId, name: &str, now: UnixMillis) -> Result<Value, GoogleError> {
        self.settle(project, name, now)?;
        let found = self.batches.batches.find(project, name, now);
        found.map(|kept| show(name, kept, now)).ok_or_else(GoogleError::no_such_entity)
    }
}

impl Asked {
    fn read(mut asked: Value) -> Self {
        let mut take = |name: &str| asked.get_mut(name).map(Value::take).unwrap_or_default();
        Self { request: take("request"), metadata: take("metadata"), key: take("key") }
    }
}

/// Answers what is asked of batches.
pub(crate) fn answer(asking: &Asking<'_>) -> Answered {
    let (project, now, name) = (asking.project, asking.now, asking.route.name());
    let body = if asking.method() == Method::GET { Value::Null } else { asking.json()? };
    let page = route::page(asking.request.uri(), 50, 100);
    let parts = asking.route.parts();
    asking.objects(|objects| {
        let shown = match (asking.method(), parts.as_slice(), asking.route.verb) {
            (&Method::GET, [_], "") => {
                let (found, next) = objects.batches.batches.list(project, "batches/", &page, now)?;
                let names: Vec<String> = found.into_iter().map(|(name, _)| name.to_owned()).collect();
                let shown = names.iter().map(|name| objects.show_batch(project, name, now));
                listed("operations", shown.collect::<Result<_, _>>()?, next)
            }
            (&Method::GET, [_, _], "") => objects.show_batch(project, &name, now)?,
            (&Method::POST, [_, _], "cancel") => {
                let found = objects.batches.batches.find_mut(project, &name, now);
                let kept = found.ok_or_else(GoogleError::no_such_entity)?;
                if !kept.it.is_over(now) {
                    kept.it.end = End::Cancelled(now);
                }
                json!({})
            }
            (
                &Method::POST | &Method::PATCH,
                [_, _],
                "updateGenerateContentBatch" | "updateEmbedContentBatch",
            ) => {
                let found = objects.batches.batches.find_mut(project, &name, now);
                let kept = found.ok_or_else(GoogleError::no_such_entity)?;
                if let Some(display_name) = field(&body, "displayName").and_then(Value::as_str) {
                    kept.it.display_name = display_name.to_owned();
                }
                kept.updated = now;
                objects.show_batch(project, &name, now)?["metadata"].take()
            }
            (&Method::DELETE, [_, _], "") => {
                let removed = objects.batches.batches.remove(project, &name, now);
                removed.map(|_| json!({})).ok_or_else(GoogleError::no_such_entity)?
            }
            _ => return Ok(None),
        };
        Ok(Some(Reply::object(&shown)))
    })
}
