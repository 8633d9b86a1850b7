//! Traces and metrics for a collector, by OTLP over HTTP, with the names of OpenTelemetry's conventions for generative AI.
//!
//! A request is told after it has ended: a span for it, and one for each of its attempts. A thread of its own makes spans and
//! sends them; requests only put what happened into a queue with a bound. A collector that is slow or gone makes the queue
//! full, and what does not fit is dropped and counted.
//!
//! No content and no key is in them: attempts have keys' fingerprints.

mod client;
mod gathered;

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use libra_core::event::{Attempt, AttemptResult, Course, Ending, Event, Operation, TraceContext, Usage};
use libra_core::gateway::Gateway;
use libra_core::secret::ApiKey;
use libra_core::time::Timestamp;
use opentelemetry::metrics::{Histogram, MeterProvider as _};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanExporter as _};
use tokio::runtime::Handle;

use self::client::Client;
use self::gathered::Gathered;
use crate::metrics::{METRICS, Named, dialect, ending};
use crate::upstream::Upstream;

/// So many requests wait to be told: some seconds of a busy gateway, and a few megabytes.
const WAITING: usize = 4096;

/// So many spans go together, or what there is after so long.
const BATCH: usize = 512;
const GATHERED: Duration = Duration::from_secs(2);

/// A collector that takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// So long the last batch may take when the process ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// How often metrics are sent.
const METRICS_EVERY: Duration = Duration::from_secs(30);

/// Who answers, in the conventions' words.
const PROVIDER: &str = "gcp.gemini";

/// The steps that the conventions name for durations and for tokens.
const SECONDS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Where a collector is, and what it is told.
#[derive(Clone)]
pub(crate) struct Collector {
    /// Without `/v1/traces`.
    pub(crate) endpoint: String,
    /// Headers that go with every request; their values may be secrets.
    pub(crate) headers: Vec<(String, ApiKey)>,
    /// Which traces are told.
    pub(crate) sampling: Sampling,
}

/// The address and headers may be secrets.
impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("sampling", &self.sampling).finish_non_exhaustive()
    }
}

/// Which traces are told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sampling {
    /// The share of them.
    pub(crate) ratio: f64,
    /// Whether the client's own decision comes first.
    pub(crate) by_parent: bool,
}

/// Takes in what is to be told.
pub(crate) struct Otlp {
    queue: SyncSender<Told>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Told {
    Ended(Box<Event>),
    Stop,
}

impl Otlp {
    /// Begins to tell a collector.
    ///
    /// # Errors
    /// An endpoint that is no address; the system has no thread to give.
    pub(crate) fn begin(
        collector: &Collector,
        gateway: &Arc<Gateway>,
        upstream: Upstream,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let client = Client { runtime: Handle::current(), upstream: Arc::new(upstream) };
        let teller = Teller::new(collector, gateway, client)?;
        let (queue, told) = sync_channel(WAITING);
        let runtime = Handle::current();
        let thread =
            thread::Builder::new().name("otlp".to_owned()).spawn(move || teller.run(&told, &runtime))?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Takes in the end of a request. Other events are part of it.
    pub(super) fn offer(&self, event: Event) {
        if matches!(event, Event::Finished(_) | Event::LiveEnded(_))
            && self.queue.try_send(Told::Ended(Box::new(event))).is_err()
        {
            METRICS.otlp.dropped.inc();
        }
    }

    /// Sends what is left, but not for long.
    pub(super) fn end(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let until = Instant::now() + FAREWELL;
        let Some(thread) = thread else { return };
        while self.queue.try_send(Told::Stop).is_err() && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The thread's own.
struct Teller {
    gateway: Arc<Gateway>,
    tracer: SdkTracer,
    /// Kept, as tracers are of it.
    _traces: SdkTracerProvider,
    spans: Gathered,
    exporter: SpanExporter,
    metrics: SdkMeterProvider,
    durations: Histogram<f64>,
    tokens: Histogram<u64>,
    /// Whether the last batch did not arrive.
    fails: bool,
}

impl Teller {
    fn new(
        collector: &Collector,
        gateway: &Arc<Gateway>,
        client: Client,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let service = std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "libra".to_owned());
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let headers: std::collections::HashMap<String, String> =
            collector.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
        let endpoint = |signal: &str| format!("{}/v1/{signal}", collector.endpoint.trim_end_matches('/'));
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client.clone())
            .with_headers(headers.clone())
            .with_endpoint(endpoint("traces"))
            .with_timeout(PATIENCE)
            .build()?;
        exporter.set_resource(&resource);
        let share = Sampler::TraceIdRatioBased(collector.sampling.ratio);
        let sampler = match collector.sampling.by_parent {
            true => Sampler::ParentBased(Box::new(share)),
            false => share,
        };
        let spans = Gathered::default();
        let traces = SdkTracerProvider::builder()
            .with_sampler(sampler)
            .with_resource(resource.clone())
            .with_span_processor(spans.clone())
            .build();
        let of_metrics = MetricExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_headers(headers)
            .with_endpoint(endpoint("metrics"))
            .with_timeout(PATIENCE)
            .build()?;
        let every = std::env::var("OTEL_METRIC_EXPORT_INTERVAL").ok().and_then(|every| every.parse().ok());
        let every = every.map_or(METRICS_EVERY, |millis: u64| Duration::from_millis(millis.max(100)));
        let reader = PeriodicReader::builder(of_metrics).with_interval(every).build();
        let metrics = SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build();
        let meter = metrics.meter("libra");
        let durations = meter
            .f64_histogram("gen_ai.client.operation.duration")
            .with_unit("s")
            .with_description("How long a request took, with all its attempts")
            .with_boundaries(SECONDS.into())
            .build();
        let tokens = meter
            .u64_histogram("gen_ai.client.token.usage")
            .with_unit("{token}")
            .with_description("Tokens that went in and came out")
            .with_boundaries(TOKENS.into())
            .build();
        Ok(Self {
            gateway: Arc::clone(gateway),
            tracer: traces.tracer("libra"),
            _traces: traces,
            spans,
            exporter,
            metrics,
            durations,
            tokens,
            fails: false,
        })
    }

    fn run(mut self, told: &Receiver<Told>, runtime: &Handle) {
        let mut since = Instant::now();
        loop {
            let is_over = match told.recv_timeout(GATHERED) {
                Ok(Told::Ended(event)) => {
                    self.tell(&event);
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Ok(Told::Stop) | Err(RecvTimeoutError::Disconnected) => true,
            };
            if is_over || self.spans.len() >= BATCH || since.elapsed() >= GATHERED {
                since = Instant::now();
                self.send(runtime);
            }
            if is_over {
                let _ = self.metrics.shutdown_with_timeout(FAREWELL);
                return;
            }
        }
    }

    fn send(&mut self, runtime: &Handle) {
        let spans = self.spans.take();
        if spans.is_empty() {
            return;
        }
        let count = spans.len() as u64;
        // Not the error's own words: they may name the address.
        let fails = runtime.block_on(self.exporter.export(spans)).is_err();
        match fails {
            true => METRICS.otlp.failed.inc_by(count),
            false => METRICS.otlp.sent.inc_by(count),
        };
        match (std::mem::replace(&mut self.fails, fails), fails) {
            (false, true) => {
                tracing::warn!(
                    "the collector takes no spans; they are dropped, requests are served all the same"
                );
            }
            (true, false) => tracing::info!("the collector takes spans again"),
            _ => {}
        }
    }

    /// Makes spans of a request that has ended, and counts it.
    fn tell(&self, event: &Event) {
        let end = match event {
            Event::Finished(end) => End {
                course: &end.course,
                operation: operation(end.course.operation, dialect(end.dialect)),
                model: end.model.as_deref(),
                usage: end.usage,
                elapsed: end.elapsed,
                error: match end.ending {
                    Ending::Complete if end.status.as_u16() < 400 => None,
                    Ending::Complete | Ending::Refused => Some(end.status.as_u16().to_string()),
                    ended => Some(ending(ended).to_owned()),
                },
                attributes: vec![
                    KeyValue::new("libra.request.id", end.request.to_string()),
                    KeyValue::new("libra.dialect", dialect(end.dialect)),
                    KeyValue::new("libra.ending", ending(end.ending)),
                    KeyValue::new("http.response.status_code", i64::from(end.status.as_u16())),
                ],
            },
            Event::LiveEnded(end) => End {
                course: &end.course,
                operation: operation(Operation::Live, "gemini"),
                model: end.model.as_deref(),
                usage: end.usage,
                elapsed: end.elapsed,
                error: (!matches!(end.code, 1000 | 1001 | 1005)).then(|| end.code.to_string()),
                attributes: vec![
                    KeyValue::new("libra.request.id", end.request.to_string()),
                    KeyValue::new("libra.close.code", i64::from(end.code)),
                ],
            },
            _ => return,
        };
        self.measure(&end);
        self.trace(end);
    }

    fn measure(&self, end: &End<'_>) {
        // Names that clients make up are not to make series.
        let model = match end.model {
            Some(model) if METRICS.models.knows(model) => model.to_owned(),
            Some(_) => "other".to_owned(),
            None => String::new(),
        };
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", end.operation),
            KeyValue::new("gen_ai.provider.name", PROVIDER),
            KeyValue::new("gen_ai.request.model", model.clone()),
            KeyValue::new("gen_ai.response.model", model),
        ];
        if let Some(usage) = end.usage {
            for (kind, tokens) in [("input", usage.prompt), ("output", usage.output + usage.thoughts)] {
                let kind = KeyValue::new("gen_ai.token.type", kind);
                self.tokens.record(tokens, &[attributes.as_slice(), &[kind]].concat());
            }
        }
        if let Some(error) = &end.error {
            attributes.push(KeyValue::new("error.type", error.clone()));
        }
        self.durations.record(end.elapsed.as_secs_f64(), &attributes);
    }

    fn trace(&self, end: End<'_>) {
        let ended = SystemTime::now();
        let began = ended - end.elapsed;
        let model = end.model.unwrap_or_default();
        let asked = end.course.first_model.as_deref().unwrap_or(model);
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", end.operation),
            KeyValue::new("gen_ai.provider.name", PROVIDER),
        ];
        if !model.is_empty() {
            attributes.push(KeyValue::new("gen_ai.request.model", asked.to_owned()));
            attributes.push(KeyValue::new("gen_ai.response.model", model.to_owned()));
        }
        if let Some(usage) = end.usage {
            let count = |name, tokens: u64| KeyValue::new(name, i64::try_from(tokens).unwrap_or(i64::MAX));
            attributes.push(count("gen_ai.usage.input_tokens", usage.prompt));
            attributes.push(count("gen_ai.usage.output_tokens", usage.output + usage.thoughts));
            attributes.push(count("gen_ai.usage.cache_read.input_tokens", usage.cached));
            attributes.push(count("gen_ai.usage.reasoning.output_tokens", usage.thoughts));
        }
        if let Some(first_byte) = end.course.first_byte.filter(|_| end.course.streams) {
            let seconds = first_byte.as_secs_f64();
            attributes.push(KeyValue::new("gen_ai.response.time_to_first_chunk", seconds));
        }
        if let Some(queued) = end.course.queued {
            attributes.push(KeyValue::new("libra.queued", queued.as_secs_f64()));
        }
        if let Some(error) = &end.error {
            attributes.push(KeyValue::new("error.type", error.clone()));
        }
        attributes.extend(end.attributes);
        let name = format!("{} {model}", end.operation).trim_end().to_owned();
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_start_time(began)
            .with_attributes(attributes);
        let parent = end.course.trace.map_or_else(Context::new, parent);
        let mut span = self.tracer.build_with_context(builder, &parent);
        if let Some(error) = end.error {
            span.set_status(Status::error(error));
        }
        let context = parent.with_remote_span_context(span.span_context().clone());
        if span.is_recording() {
            for attempt in &end.course.attempts {
                self.trace_attempt(attempt, (began, ended), model, &context);
            }
        }
        span.end_with_timestamp(ended);
    }

    fn trace_attempt(
        &self,
        attempt: &Attempt,
        (began, ended): (SystemTime, SystemTime),
        model: &str,
        context: &Context,
    ) {
        // The shell's clock may run otherwise than the system's; an attempt lies within its request in any case.
        let at = |time: Timestamp| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(time.as_millis().min(1 << 50));
            time.clamp(began.min(ended), ended)
        };
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", "generate_content"),
            KeyValue::new("gen_ai.provider.name", PROVIDER),
            KeyValue::new("gen_ai.request.model", model.to_owned()),
        ];
        if let Some(key) = attempt.key {
            attributes.push(KeyValue::new("libra.key", key.to_string()));
            if let Some(project) = self.gateway.project_name(key) {
                attributes.push(KeyValue::new("libra.project", project));
            }
        }
        let mut status = Status::Unset;
        match attempt.result {
            AttemptResult::Served => {}
            AttemptResult::Dropped => attributes.push(KeyValue::new("libra.dropped", true)),
            AttemptResult::Failed { class, status: answered, rests } => {
                attributes.push(KeyValue::new("error.type", Named(class).to_string()));
                if let Some(answered) = answered {
                    let code = i64::from(answered.as_u16());
                    attributes.push(KeyValue::new("http.response.status_code", code));
                }
                if let Some(rests) = rests {
                    attributes.push(KeyValue::new("libra.rests", rests.as_secs_f64()));
                }
                status = Status::error(Named(class).to_string());
            }
        }
        let builder = SpanBuilder::from_name(format!("attempt {model}").trim_end().to_owned())
            .with_kind(SpanKind::Client)
            .with_start_time(at(attempt.began))
            .with_attributes(attributes);
        let mut span = self.tracer.build_with_context(builder, context);
        span.set_status(status);
        span.end_with_timestamp(attempt.ended.map_or(ended, at));
    }
}

/// The end of a request, or of a session.
struct End<'a> {
    course: &'a Course,
    operation: &'static str,
    model: Option<&'a str>,
    usage: Option<Usage>,
    elapsed: Duration,
    error: Option<String>,
    attributes: Vec<KeyValue>,
}

/// What the conventions call an operation, where they have a name for it.
fn operation(operation: Operation, dialect: &str) -> &'static str {
    match (operation, dialect) {
        (Operation::Generate, "gemini") => "generate_content",
        (Operation::Generate, _) => "chat",
        (Operation::Embed, _) => "embeddings",
        (operation, _) => operation.name(),
    }
}

/// What the client's span is to ours.
fn parent(trace: TraceContext) -> Context {
    let flags = if trace.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let (id, span) = (TraceId::from(trace.trace), SpanId::from(trace.parent));
    Context::new().with_remote_span_context(SpanContext::new(id, span, flags, true, TraceState::default()))
}
