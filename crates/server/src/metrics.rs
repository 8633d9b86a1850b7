//! What is counted, for Prometheus: see `docs/observability.md` for the list.
//!
//! Counters are atomics; a request takes a shared lock for each of a few families, and nothing is allocated once its labels
//! were met. What can be asked for at any time (keys, room, memory) is collected when somebody [asks](page).
//!
//! No label is a client's to choose: models go by name once they have answered ([`Models`]), projects as the pool shows
//! them, up to a bound. Metrics are process-wide, as the log is.

pub(crate) mod listener;
mod models;
pub(crate) mod page;
mod pool;
mod process;

use std::fmt::{self, Write as _};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use libra_core::error::Dialect;
use libra_core::event::{
    Attempt, AttemptResult, Course, Ending, Event, Finished, LiveEnded, LiveEndedBy, Operation,
};
use libra_core::failure::Why;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use self::models::{Model, Models};

/// What this process has counted.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// All that is counted as it happens.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) models: Models,
    requests: Family<RequestLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    failures: Family<FailureLabels, Counter>,
    rests: Counter,
    hedges: Counter,
    retries_used_up: Counter,
    fetch_failures: Counter,
    lost_signatures: Counter,
    set_asides: Family<ReasonLabels, Counter>,
    restored: Counter,
    limited: Family<LimitLabels, Counter>,
    queue_wait: Histogram,
    in_flight: Gauge,
    streams: Gauge,
    /// What became of messages to the webhook.
    pub(crate) webhooks: Outcomes,
    /// What became of requests and metrics for the collector.
    #[cfg_attr(
        not(feature = "otlp"),
        expect(dead_code, reason = "registered, so that dashboards are the same")
    )]
    pub(crate) otlp: Outcomes,
    /// Answers by their status code, whatever was asked for.
    codes: Vec<AtomicU64>,
    log_lines: OnceCounter,
}

/// Statuses that HTTP has.
const CODES: usize = 600;

/// From 10 ms, doubled until some five minutes: the steps of OpenTelemetry's conventions for generative AI, and two more.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 16))
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    dialect: &'static str,
    operation: &'static str,
    model: Model,
    status: &'static str,
    ending: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    model: Model,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    model: Model,
    class: Named,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// The name of a variant, in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Named(pub(crate) libra_core::failure::Class);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{:?}", self.0);
        for (at, letter) in name.chars().enumerate() {
            if letter.is_ascii_uppercase() && at > 0 {
                f.write_char('_')?;
            }
            f.write_char(letter.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

impl EncodeLabelValue for Named {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        write!(encoder, "{self}")
    }
}

/// What became of things that are sent elsewhere.
#[derive(Clone)]
pub(crate) struct Outcomes {
    /// They have arrived.
    pub(crate) sent: Counter,
    /// They were refused, or nobody was there.
    pub(crate) failed: Counter,
    /// They were not sent, as too much waited already.
    pub(crate) dropped: Counter,
}

impl Outcomes {
    fn register(registry: &mut Registry, name: &str, help: &str) -> Self {
        let family = Family::<ResultLabels, Counter>::default();
        let of = |result| family.get_or_create_owned(&ResultLabels { result });
        let outcomes = Self { sent: of("sent"), failed: of("failed"), dropped: of("dropped") };
        registry.register(name, help, family);
        outcomes
    }
}

/// How many lines of the log were dropped, from wherever that is known.
type OnceCounter = std::sync::OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>;

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("libra");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What runs", build);
        let mut this = Self {
            models: Models::register(&mut registry),
            requests: Family::default(),
            attempts: Family::default(),
            failures: Family::default(),
            rests: Counter::default(),
            hedges: Counter::default(),
            retries_used_up: Counter::default(),
            fetch_failures: Counter::default(),
            lost_signatures: Counter::default(),
            set_asides: Family::default(),
            restored: Counter::default(),
            limited: Family::default(),
            queue_wait: seconds(),
            in_flight: Gauge::default(),
            streams: Gauge::default(),
            webhooks: Outcomes::register(
                &mut registry,
                "webhook_messages",
                "Messages for the webhook by what became of them",
            ),
            otlp: Outcomes::register(
                &mut registry,
                "otlp_items",
                "Spans and metrics for the collector by what became of them",
            ),
            codes: std::iter::repeat_with(AtomicU64::default).take(CODES).collect(),
            log_lines: OnceCounter::new(),
            registry,
        };
        let registry = &mut this.registry;
        registry.register(
            "requests",
            "Requests that have ended, sessions of the Live API among them",
            this.requests.clone(),
        );
        registry.register("attempts", "Attempts with a key by what came of them", this.attempts.clone());
        registry.register("attempt_failures", "Attempts that failed, by class", this.failures.clone());
        registry.register("rests", "Rests that failures have led to", this.rests.clone());
        registry.register(
            "hedges",
            "Second attempts that began beside one that kept silent",
            this.hedges.clone(),
        );
        registry.register(
            "retries_refused",
            "Attempts that were not made as the retry budget was used up",
            this.retries_used_up.clone(),
        );
        registry.register(
            "fetch_failures",
            "Media named by address that could not be had",
            this.fetch_failures.clone(),
        );
        registry.register(
            "lost_signatures",
            "Calls of conversations that had lost their thought signatures",
            this.lost_signatures.clone(),
        );
        registry.register("key_set_asides", "Keys that were set aside, by reason", this.set_asides.clone());
        registry.register("keys_restored", "Keys that came back into use", this.restored.clone());
        registry.register(
            "clients_limited",
            "How often a client had reached one of its limits, by the limit",
            this.limited.clone(),
        );
        registry.register_with_unit(
            "queue_wait",
            "How long requests waited for a project to have room, of those that waited",
            Unit::Seconds,
            this.queue_wait.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests for which no answer is committed",
            this.in_flight.clone(),
        );
        registry.register(
            "streams_in_flight",
            "Answers that are on their way to clients",
            this.streams.clone(),
        );
        this
    }

    /// Counts what has happened.
    pub(crate) fn count(&self, event: &Event) {
        match event {
            Event::Finished(end) => self.count_request(end),
            Event::LiveEnded(end) => self.count_session(end),
            Event::SetAside { why, .. } => {
                self.set_asides.get_or_create(&ReasonLabels { reason: reason(*why) }).inc();
            }
            Event::Restored { .. } => {
                self.restored.inc();
            }
            Event::Hedged { .. } => {
                self.hedges.inc();
            }
            Event::RetriesUsedUp { .. } => {
                self.retries_used_up.inc();
            }
            Event::FetchFailed { .. } => {
                self.fetch_failures.inc();
            }
            Event::ClientLimited { limit, .. } => {
                self.limited.get_or_create(&LimitLabels { limit: limit.name() }).inc();
            }
            // They are counted with the end of their request, or when the limit is reached.
            Event::AttemptFailed { .. } | Event::ClientNearLimit { .. } | Event::ClockOff { .. } => {}
        }
    }

    fn count_request(&self, end: &Finished) {
        let has_answered = end.ending == Ending::Complete && end.key.is_some();
        let model = self.models.find(end.model.as_deref(), has_answered);
        let status = match end.status.as_u16() {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.requests
            .get_or_create(&RequestLabels {
                dialect: dialect(end.dialect),
                operation: end.course.operation.name(),
                model: model.label.clone(),
                status,
                ending: ending(end.ending),
            })
            .inc();
        self.lost_signatures.inc_by(end.stand_ins.into());
        if end.ending == Ending::Complete {
            model.duration(end.course.operation).observe(end.elapsed.as_secs_f64());
            if end.course.streams
                && let Some(first_byte) = end.course.first_byte
            {
                model.first_byte.observe(first_byte.as_secs_f64());
            }
        }
        if let Some(usage) = end.usage {
            model.count_tokens(usage);
        }
        self.count_course(&end.course, &model.label);
    }

    fn count_session(&self, end: &LiveEnded) {
        let model = self.models.find(end.model.as_deref(), end.key.is_some());
        let is_good = matches!(end.code, 1000 | 1001 | 1005) && end.key.is_some();
        let ending = match end.by {
            _ if is_good => "complete",
            LiveEndedBy::Client => "client_left",
            LiveEndedBy::Gateway | LiveEndedBy::Upstream if end.key.is_some() => "cut",
            LiveEndedBy::Gateway | LiveEndedBy::Upstream => "refused",
        };
        let operation = Operation::Live.name();
        self.requests
            .get_or_create(&RequestLabels {
                dialect: "gemini",
                operation,
                model: model.label.clone(),
                status: "1xx",
                ending,
            })
            .inc();
        if let Some(usage) = end.usage {
            model.count_tokens(usage);
        }
        self.count_course(&end.course, &model.label);
    }

    fn count_course(&self, course: &Course, model: &Model) {
        if let Some(queued) = course.queued {
            self.queue_wait.observe(queued.as_secs_f64());
        }
        for Attempt { result, .. } in &course.attempts {
            let label = match result {
                AttemptResult::Served => "served",
                AttemptResult::Failed { .. } => "failed",
                AttemptResult::Dropped => "dropped",
            };
            self.attempts.get_or_create(&AttemptLabels { model: model.clone(), result: label }).inc();
            if let AttemptResult::Failed { class, rests, .. } = result {
                self.failures
                    .get_or_create(&FailureLabels { model: model.clone(), class: Named(*class) })
                    .inc();
                self.rests.inc_by(rests.is_some().into());
            }
        }
    }

    /// Counts the head of an answer.
    pub(crate) fn count_answer(&self, status: http::StatusCode) {
        if let Some(count) = self.codes.get(usize::from(status.as_u16())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request is under way for as long as this is kept.
    pub(crate) fn request_begins(&self) -> Underway {
        Underway::new(&self.in_flight)
    }

    /// An answer is under way for as long as this is kept.
    pub(crate) fn stream_begins(&self) -> Underway {
        Underway::new(&self.streams)
    }

    /// Where to ask for the lines of the log that were dropped.
    pub(crate) fn count_dropped_lines(&self, count: impl Fn() -> u64 + Send + Sync + 'static) {
        let _ = self.log_lines.set(Box::new(count));
    }
}

/// Counted as long as it lives.
pub(crate) struct Underway(Gauge);

impl Underway {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.dec();
    }
}

pub(crate) const fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Gemini => "gemini",
        Dialect::OpenAi => "openai",
        Dialect::Anthropic => "anthropic",
    }
}

pub(crate) const fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Complete => "complete",
        Ending::Refused => "refused",
        Ending::Cut => "cut",
        Ending::ClientLeft => "client_left",
    }
}

pub(crate) const fn reason(why: Why) -> &'static str {
    match why {
        Why::Leaked => "leaked",
        Why::Invalid => "invalid",
        Why::Unauthenticated => "unauthenticated",
        Why::Suspended => "suspended",
        Why::Restricted => "restricted",
    }
}
