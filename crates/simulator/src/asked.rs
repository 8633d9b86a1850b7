//! One call that is being answered, from the key to the last byte.

use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use serde_json::{Value, json};

use crate::answer::{self, Answer, Usage};
use crate::call::{self, Call, Operation};
use crate::clock::UnixMillis;
use crate::directive::{self, Directives, Shape};
use crate::errors::{Circumstances, Form, GoogleError, SORRY_PAGE};
use crate::fault::Fault;
use crate::json::{self, field, list, number, text};
use crate::models::{self, Model};
use crate::objects::{Film, Work, references};
use crate::plan::{HTML, JSON, Plan, Reply};
use crate::simulator::{Caller, ProjectId, Simulator};
use crate::validate;
use crate::write;

/// One call that is being answered.
pub(crate) struct Asked<'a> {
    pub(crate) simulator: &'a Simulator,
    pub(crate) request: &'a Request<Bytes>,
    pub(crate) call: &'a Call,
    pub(crate) caller: &'a Caller,
    pub(crate) now: UnixMillis,
}

/// Marks a request (as an extension) whose body was larger than allowed and is therefore not there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TooLarge;

impl Asked<'_> {
    /// What the shell has to do.
    pub(crate) fn plan(&self) -> Plan {
        let form = self.call.operation.form();
        let mut plan = self.decide().unwrap_or_else(|error| Plan::Answer(Reply::error(&error, form)));
        if let Plan::Answer(reply) = &mut plan
            && form == Form::Single
            && wants_gzip(self.request)
        {
            reply.pack();
        }
        plan
    }

    /// In Google's order: the key, the model, what is wrong with the two, the request, the quotas.
    fn decide(&self) -> Result<Plan, GoogleError> {
        if self.caller.project.is_none() {
            return Err(GoogleError::key_invalid());
        }
        let own = self.caller.fault;
        if let Some(fault) = own.filter(|fault| fault.is_of_the_key()) {
            return self
                .refuse(fault, self.minute_left())
                .map_or_else(|| Err(GoogleError::key_invalid()), Err);
        }
        let method = self.call.operation.method();
        if self.call.operation == Operation::ListModels {
            let page = models::page(
                call::query(self.request.uri(), "pageSize").as_deref(),
                call::query(self.request.uri(), "pageToken").as_deref(),
            );
            let page = page.ok_or_else(|| GoogleError::invalid("Request contains an invalid argument."))?;
            return Ok(self.object(&page));
        }
        let no_such_model = || GoogleError::no_such_model(&self.call.model, self.call.version, method);
        let model = Model::named(&self.call.model).ok_or_else(no_such_model)?;
        if self.call.operation == Operation::GetModel {
            return Ok(self.object(&model.describe()));
        }
        if !model.supports(method) {
            return Err(no_such_model());
        }
        if let Some(plan) = own.and_then(|fault| self.instead(fault, self.minute_left())) {
            return plan;
        }
        let body = self.body()?;
        match self.call.operation {
            Operation::ListModels | Operation::GetModel => Err(no_such_model()),
            Operation::Generate | Operation::Stream(_) => self.generate(model, &body),
            Operation::PredictLongRunning | Operation::Predict | Operation::GenerateAnswer => {
                self.predict(model, &parse(&body)?)
            }
            Operation::BatchGenerate => self.batch(Work::Generate, model, &parse(&body)?),
            Operation::AsyncBatchEmbed => self.batch(Work::Embed, model, &parse(&body)?),
            Operation::CountTokens => {
                let body = parse(&body)?;
                let request = validate::count_tokens(&body)?;
                let cached = self.check_references(request)?;
                let usage = Usage { cached, ..answer::input(request) };
                Ok(self.spoilt(
                    &json!({ "totalTokens": usage.prompt(), "promptTokensDetails": usage.details() }),
                ))
            }
            Operation::Embed => {
                let body = parse(&body)?;
                let (vector, tokens) = embedding(&body, model)?;
                self.check_references(&body)?;
                self.take(model, tokens)?;
                Ok(self
                    .spoilt(&json!({ "embedding": vector, "usageMetadata": { "promptTokenCount": tokens } })))
            }
            Operation::BatchEmbed => {
                let body = parse(&body)?;
                let requests = list(&body, "requests");
                if requests.is_empty() || requests.len() > 100 {
                    return Err(GoogleError::invalid(
                        "* BatchEmbedContentsRequest.requests: at least one and at most 100 requests can be in one batch\n",
                    ));
                }
                let vectors =
                    requests.iter().map(|one| embedding(one, model)).collect::<Result<Vec<_>, _>>()?;
                requests.iter().try_for_each(|one| self.check_references(one).map(|_| ()))?;
                let tokens = vectors.iter().map(|(_, tokens)| tokens).sum();
                self.take(model, tokens)?;
                let vectors: Vec<Value> = vectors.into_iter().map(|(vector, _)| vector).collect();
                Ok(self.spoilt(
                    &json!({ "embeddings": vectors, "usageMetadata": { "promptTokenCount": tokens } }),
                ))
            }
        }
    }

    fn generate(&self, model: &'static Model, body: &[u8]) -> Result<Plan, GoogleError> {
        // Only a prompt with directives can ask for a shape, and a shaped answer needs no look at the rest.
        if memchr::memmem::find(body, b"{{").is_some()
            && let Some(text) = directive::last_user_text(body)
        {
            let directives = self.directives(&text)?;
            if directives.shape != Shape::default() {
                return self.shaped(model, body, &directives);
            }
        }
        let body = parse(body)?;
        let directives = self.directives(&answer::last_user_text(&body))?;
        let asked_for = directives.fault.fault(|| self.caller.percent);
        if let Some(plan) = asked_for.and_then(|fault| self.instead(fault, retry_after(&directives))) {
            return plan;
        }
        validate::generate(&body, model)?;
        let cached = self.check_references(&body)?;
        let mut answer = Answer::to(&body, model);
        answer.usage.cached = cached;
        let tokens = answer.usage.prompt();
        if asked_for.is_none() {
            self.take(model, tokens)?;
        }
        // Refused, but the quota is used all the same.
        if tokens > model.input_limit {
            return Err(GoogleError::invalid(format!(
                "The input token count ({tokens}) exceeds the maximum number of tokens allowed ({}).",
                model.input_limit
            )));
        }
        let fault = asked_for.or(self.caller.fault);
        let form = self.call.operation.form();
        if let Some(fault) = fault {
            answer.spoil(fault, form != Form::Single);
        }
        let id = answer::hash(&(self.simulator.seed(), self.caller.number));
        let pieces = write::answer(&answer, model, form, id);
        Ok(self.finish(Reply::good(form, pieces), &directives, fault))
    }

    fn batch(&self, work: Work, model: &'static Model, body: &Value) -> Result<Plan, GoogleError> {
        let Some(project) = self.caller.project else { return Err(GoogleError::key_invalid()) };
        let batch = self.simulator.objects(|objects| objects.batch(work, model, body, project, self.now))?;
        Ok(self.spoilt(&batch))
    }

    /// What models give that do not chat.
    fn predict(&self, model: &'static Model, body: &Value) -> Result<Plan, GoogleError> {
        let Some(project) = self.caller.project else { return Err(GoogleError::key_invalid()) };
        if self.call.operation == Operation::GenerateAnswer {
            self.check_references(body)?;
            self.check_corpus(body, project)?;
            self.take(model, answer::input(body).prompt())?;
            return Ok(self.spoilt(&answer::attributed(body)));
        }
        let instances = list(body, "instances");
        if instances.is_empty() {
            return Err(GoogleError::invalid("* PredictRequest.instances: instances is not specified\n"));
        }
        let prompt: Vec<&str> = instances.iter().map(|instance| text(instance, "prompt")).collect();
        let directives = Directives::of_film(&prompt.join(" "))
            .map_err(|error| GoogleError::invalid(format!("libra-simulator: {error}")))?;
        let asked_for = directives.fault.fault(|| self.caller.percent);
        if let Some(plan) = asked_for.and_then(|fault| self.instead(fault, retry_after(&directives))) {
            return plan;
        }
        self.take(model, prompt.iter().map(|prompt| answer::tokens(prompt)).sum())?;
        if self.call.operation == Operation::Predict {
            return Ok(self.spoilt(&answer::paintings(body)));
        }
        let takes = u64::try_from(directives.delay.as_millis()).ok().filter(|takes| *takes > 0);
        let film = Film { bytes: directives.shape.bytes as u64, takes };
        let operation =
            self.simulator.objects(|objects| objects.film(model.id, body, film, project, self.now))?;
        Ok(self.spoilt(&operation))
    }

    /// An answer of a size that was asked for. Faults of its content do nothing to it, as it has none.
    fn shaped(
        &self,
        model: &'static Model,
        body: &[u8],
        directives: &Directives,
    ) -> Result<Plan, GoogleError> {
        let asked_for = directives.fault.fault(|| self.caller.percent);
        if let Some(plan) = asked_for.and_then(|fault| self.instead(fault, retry_after(directives))) {
            return plan;
        }
        if references::may_be_in(body) {
            self.check_references(&parse(body)?)?;
        }
        let tokens = body.len() as u64 / 4;
        if asked_for.is_none() {
            self.take(model, tokens)?;
        }
        let form = self.call.operation.form();
        let pieces = self.simulator.shaped(model, form, directives.shape, tokens);
        Ok(self.finish(Reply::good(form, pieces), directives, asked_for.or(self.caller.fault)))
    }

    /// Refuses a request that names what is not the project's. Gives the tokens that a cache brings.
    fn check_references(&self, request: &Value) -> Result<u64, GoogleError> {
        let Some(project) = self.caller.project else { return Ok(0) };
        let model = &self.call.model;
        self.simulator.objects(|objects| objects.check_references(request, model, project, self.now))
    }

    /// Refuses a question to a corpus that is not the project's.
    fn check_corpus(&self, request: &Value, project: ProjectId) -> Result<(), GoogleError> {
        let Some(retriever) = field(request, "semanticRetriever") else { return Ok(()) };
        let source = text(retriever, "source");
        self.simulator.objects(|objects| objects.corpora.check(project, source, self.now))
    }

    pub(crate) fn directives(&self, text: &str) -> Result<Directives, GoogleError> {
        Directives::read(text).map_err(|error| GoogleError::invalid(format!("libra-simulator: {error}")))
    }

    pub(crate) fn finish(&self, mut reply: Reply, directives: &Directives, fault: Option<Fault>) -> Plan {
        reply.first_delay = directives.first_delay;
        reply.delay = directives.delay;
        if let Some(fault) = fault {
            reply.spoil(fault, self.call.operation.form());
        }
        Plan::Answer(reply)
    }

    /// What a fault does instead of an answer. None: there is an answer, though it may be spoilt.
    pub(crate) fn instead(&self, fault: Fault, retry_after: u64) -> Option<Result<Plan, GoogleError>> {
        match fault {
            Fault::Hang => Some(Ok(Plan::Hang)),
            Fault::ResetBeforeHeaders => Some(Ok(Plan::Reset)),
            Fault::Html(status) => Some(Ok(Plan::Answer(Reply::whole(status, HTML, SORRY_PAGE)))),
            fault => self.refuse(fault, retry_after).map(Err),
        }
    }

    pub(crate) fn refuse(&self, fault: Fault, retry_after: u64) -> Option<GoogleError> {
        GoogleError::refusal(fault, self.circumstances(retry_after))
    }

    fn circumstances(&self, retry_after: u64) -> Circumstances<'_> {
        let project = self.caller.project.and_then(|id| self.simulator.project(id));
        let place = match self.caller.project {
            Some(ProjectId::Configured(place)) => place as u64,
            Some(ProjectId::Own(place)) => 1_000 + place as u64,
            None => 0,
        };
        Circumstances {
            key: &self.caller.key,
            // Twelve digits, as Google's have.
            project: project.and_then(|project| project.number).unwrap_or(100_000_000_000 + place),
            tier: project.map(|project| project.tier).unwrap_or_default(),
            limits: project.map(|project| project.limits(&self.call.model)).unwrap_or_default(),
            model: &self.call.model,
            version: self.call.version,
            method: self.call.operation.method(),
            retry_after,
        }
    }

    /// Milliseconds to the end of the minute.
    pub(crate) fn minute_left(&self) -> u64 {
        60_000 - self.now % 60_000
    }

    /// Takes the request out of the project's quotas.
    pub(crate) fn take(&self, model: &'static Model, tokens: u64) -> Result<(), GoogleError> {
        match self.caller.project {
            Some(project) if self.call.operation.is_counted() => {
                self.simulator.take(project, model, tokens, self.now).map_err(|exceeded| {
                    GoogleError::quota(&exceeded.quotas, self.circumstances(exceeded.retry_after))
                })
            }
            _ => Ok(()),
        }
    }

    /// The body, unpacked.
    pub(crate) fn body(&self) -> Result<Bytes, GoogleError> {
        let body = self.request.body();
        let limit = self.simulator.body_limit();
        let too_large = || {
            GoogleError::invalid(format!(
                "Request payload size exceeds the limit: {limit} bytes. Please use the File API to upload files in \
                 larger sizes and retry the request."
            ))
        };
        if body.len() > limit || self.request.extensions().get::<TooLarge>().is_some() {
            return Err(too_large());
        }
        let encoding = self.request.headers().get(CONTENT_ENCODING);
        if !encoding.is_some_and(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"gzip")) {
            return Ok(body.clone());
        }
        let mut unpacked = Vec::new();
        let reader = flate2::read::MultiGzDecoder::new(&body[..]);
        match reader.take(limit as u64 + 1).read_to_end(&mut unpacked) {
            Ok(size) if size <= limit => Ok(unpacked.into()),
            Ok(_) => Err(too_large()),
            Err(_) => Err(GoogleError::invalid("Request body could not be decompressed.")),
        }
    }

    fn object(&self, object: &Value) -> Plan {
        Plan::Answer(Reply::whole(200, JSON, json::pretty(object)))
    }

    /// An object, with what the key's condition does to it.
    fn spoilt(&self, object: &Value) -> Plan {
        let mut reply = Reply::whole(200, JSON, json::pretty(object));
        if let Some(fault) = self.caller.fault {
            reply.spoil(fault, Form::Single);
        }
        Plan::Answer(reply)
    }
}

/// The delay, in milliseconds, that a 429 names which a prompt asked for.
pub(crate) fn retry_after(directives: &Directives) -> u64 {
    /// Short enough to be waited out, long enough to be seen.
    const USUAL: Duration = Duration::from_millis(1_500);
    let delay = directives.retry_after.unwrap_or(USUAL);
    u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)
}

/// A body as an object; an empty one is `{}`.
pub(crate) fn parse(body: &[u8]) -> Result<Value, GoogleError> {
    let syntax = |error: serde_json::Error| {
        let line = error.line();
        GoogleError::invalid(format!(
            "Invalid JSON payload received. Unexpected token at line {line}: {error}"
        ))
    };
    let body: Value =
        if body.is_empty() { json!({}) } else { serde_json::from_slice(body).map_err(syntax)? };
    if body.is_object() {
        return Ok(body);
    }
    Err(GoogleError::invalid("Invalid JSON payload received. Unexpected token: an object is needed."))
}

/// `{"values": […]}` and the tokens of one `EmbedContentRequest`.
pub(crate) fn embedding(request: &Value, model: &Model) -> Result<(Value, u64), GoogleError> {
    const MOST: f64 = 3_072.0;
    validate::embed(request)?;
    let content = field(request, "content").unwrap_or(&Value::Null);
    let text: String = list(content, "parts").iter().map(|part| text(part, "text")).collect();
    let config = field(request, "embedContentConfig").unwrap_or(&Value::Null);
    let wanted = number(request, "outputDimensionality").or_else(|| number(config, "outputDimensionality"));
    let dimensions = wanted.unwrap_or(MOST);
    if !(1.0..=MOST).contains(&dimensions) {
        return Err(GoogleError::invalid(format!(
            "* EmbedContentRequest.output_dimensionality: output_dimensionality must be in the range [1, {MOST}].\n"
        )));
    }
    let mut values = answer::embedding(&text, MOST as usize);
    values.truncate(dimensions as usize);
    if model.scales_vectors() {
        answer::normalise(&mut values);
    }
    Ok((json!({ "values": values }), answer::tokens(&text).max(1)))
}

fn wants_gzip(request: &Request<Bytes>) -> bool {
    let accepted =
        request.headers().get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip")
            && !matches!(quality.replace(' ', "").as_str(), "q=0" | "q=0.0")
    })
}
