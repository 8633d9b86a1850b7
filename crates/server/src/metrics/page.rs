//! `/metrics`: the answer for whoever may see it, on any listener.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use libra_core::gateway::Gateway;
use libra_core::pool::{Measure, Named};
use libra_core::secret::ApiKey;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use super::{METRICS, pool, process};
use crate::clock;
use crate::telemetry;

/// Looking at a pool of a hundred thousand keys takes some milliseconds: one after the other is often enough.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// What the page is, in the words of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Who may see the page where clients are served, too.
#[derive(Clone)]
pub(crate) struct Guarded {
    tokens: Arc<[ApiKey]>,
    path: Arc<str>,
}

impl Guarded {
    /// `tokens` open the page; without one, there is none.
    pub(crate) fn new(tokens: impl IntoIterator<Item = ApiKey>, base_path: &str) -> Self {
        let path = format!("{}/metrics", base_path.trim_end_matches('/'));
        Self { tokens: tokens.into_iter().collect(), path: path.into() }
    }

    /// The answer to a request for the page; none: it is for something else.
    pub(crate) async fn answer(
        &self,
        head: &http::request::Parts,
        gateway: &Arc<Gateway>,
    ) -> Option<Response<Bytes>> {
        let is_here = [&self.path, "/metrics"].contains(&head.uri.path());
        if !is_here || self.tokens.is_empty() || ![Method::GET, Method::HEAD].contains(&head.method) {
            return None;
        }
        if !self.opens(&head.headers) {
            let message = "This needs LIBRA_METRICS_TOKEN or LIBRA_ADMIN_TOKEN as Authorization: Bearer.\n";
            return Some(plain(StatusCode::UNAUTHORIZED, message));
        }
        Some(answer(gateway).await)
    }

    fn opens(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
        let Some((scheme, shown)) = shown else { return false };
        // Keys are compared in constant time.
        let shown = ApiKey::new(shown.trim());
        scheme.eq_ignore_ascii_case("bearer") && self.tokens.contains(&shown)
    }
}

/// The answer on a listener of the page's own.
pub(crate) async fn answer_openly(head: &http::request::Parts, gateway: &Arc<Gateway>) -> Response<Bytes> {
    match head.uri.path() {
        "/metrics" | "/" if [Method::GET, Method::HEAD].contains(&head.method) => answer(gateway).await,
        _ => plain(StatusCode::NOT_FOUND, "There is /metrics.\n"),
    }
}

/// The page itself, for whoever may see it.
pub(crate) async fn answer(gateway: &Arc<Gateway>) -> Response<Bytes> {
    let Ok(_permit) = ONE_AT_A_TIME.acquire().await else { unreachable!("the semaphore is never closed") };
    let gateway = Arc::clone(gateway);
    let written = tokio::task::spawn_blocking(move || write(&gateway)).await;
    let Ok(Ok(text)) = written else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "The metrics cannot be written.\n");
    };
    let mut response = plain(StatusCode::OK, text);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
    response
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn write(gateway: &Gateway) -> Result<String, fmt::Error> {
    let knows = |name: &str| METRICS.models.knows(name);
    let named = Named { projects: pool::PROJECTS, rooms: pool::ROOMS, models: &knows };
    let now = Now {
        measure: gateway.measure(&named, clock::now()),
        memory: gateway.memory_held(),
        live_sessions: gateway.live_sessions(),
    };
    let mut registry = Registry::default();
    registry.sub_registry_with_prefix("libra").register_collector(Box::new(now));
    registry.register_collector(Box::new(Process));
    let mut page = String::new();
    text::encode_registry(&mut page, &METRICS.registry)?;
    text::encode_registry(&mut page, &registry)?;
    text::encode_eof(&mut page)?;
    Ok(page)
}

/// What is so at this moment.
#[derive(Debug)]
struct Now {
    measure: Measure,
    memory: (u64, u64),
    live_sessions: usize,
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        pool::encode(&self.measure, &|name| METRICS.models.knows(name), encoder)?;
        gauge(
            encoder,
            "memory_held_bytes",
            "What is held for requests of the memory there is for that",
            self.memory.0 as f64,
        )?;
        gauge(encoder, "memory_limit_bytes", "How much there is", self.memory.1 as f64)?;
        gauge(encoder, "live_sessions", "Sessions of the Live API", self.live_sessions as f64)?;
        if let Some(store) = telemetry::store_figures() {
            gauge(encoder, "store_queue_rows", "Rows that wait to be written", store.waiting as f64)?;
            counter(
                encoder,
                "store_rows_dropped",
                "Rows that fell out of the queue, as the store was too slow",
                store.dropped as f64,
            )?;
            counter(
                encoder,
                "store_write_errors",
                "Attempts to write the store that failed",
                store.write_errors as f64,
            )?;
        }
        let codes = METRICS.codes.iter().enumerate().filter_map(|(code, count)| {
            let count = count.load(Ordering::Relaxed);
            (count > 0).then(|| ([("code", code.to_string())], count as f64))
        });
        counters(
            encoder,
            "http_responses",
            "Answers by status code, whatever was asked for and whoever asked",
            codes,
        )?;
        let lines = METRICS.log_lines.get().map_or(0, |lines| lines());
        counter(encoder, "log_lines_dropped", "Lines that the log could not take in time", lines as f64)
    }
}

struct Process;

impl Debug for Process {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Process")
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        process::encode(&mut encoder)
    }
}

pub(super) fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}

pub(super) fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: f64,
) -> fmt::Result {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(value).encode(metric)
}

/// Gauges of one name, each with its labels.
pub(super) fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (L, f64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (L, f64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
