//! Where core's events go: log lines, counters, the store, traces, and the webhook.
//!
//! All of it is process-wide, and none of it waits: what goes elsewhere goes through a queue with a bound.

pub(crate) mod bodies;
mod lines;
pub(crate) mod log;
#[cfg(feature = "otlp")]
pub(crate) mod otlp;
mod story;
pub(crate) mod webhook;

use std::sync::{Arc, OnceLock};

use libra_core::event::Event;

use self::story::Stories;
use self::webhook::Webhook;
use crate::metrics::METRICS;
use crate::store::{Figures, Store};

/// The store of this process: as the log, it is for whatever happens anywhere in it.
static STORE: OnceLock<Arc<Store>> = OnceLock::new();

/// Who else wants to know.
static LISTENERS: OnceLock<Listeners> = OnceLock::new();

/// Who wants to know what happens.
pub(crate) struct Listeners {
    pub(crate) webhook: Option<Webhook>,
    #[cfg(feature = "otlp")]
    pub(crate) otlp: Option<otlp::Otlp>,
    /// For whoever reads the log at debug level.
    pub(crate) stories: Option<Stories>,
}

/// From now on, events are stored, too.
pub(crate) fn keep_in(store: Arc<Store>) {
    // There is one, opened once.
    let _ = STORE.set(store);
}

/// From now on, they hear of events.
pub(crate) fn listen(listeners: Listeners) {
    let _ = LISTENERS.set(listeners);
}

/// Sends what is left. To be called once, when nothing is served any more.
pub(crate) fn end() {
    #[cfg(feature = "otlp")]
    if let Some(otlp) = LISTENERS.get().and_then(|listeners| listeners.otlp.as_ref()) {
        otlp.end();
    }
}

/// Waits until what was learned so far is stored, where it is; never for long.
pub(crate) async fn flushed() {
    if let Some(store) = STORE.get() {
        store.flushed().await;
    }
}

/// How the store is doing, if there is one.
pub(crate) fn store_figures() -> Option<Figures> {
    STORE.get().map(|store| store.figures())
}

/// Takes in what happened. Nothing secret is in it.
pub(crate) fn record(events: Vec<Event>) {
    let listeners = LISTENERS.get();
    for event in events {
        METRICS.count(&event);
        if let Some(store) = STORE.get() {
            store.record(&event);
        }
        if let Some(webhook) = listeners.and_then(|listeners| listeners.webhook.as_ref()) {
            webhook.hear(&event);
        }
        lines::tell(&event, listeners.and_then(|listeners| listeners.stories.as_ref()));
        #[cfg(feature = "otlp")]
        if let Some(otlp) = listeners.and_then(|listeners| listeners.otlp.as_ref()) {
            otlp.offer(event);
        }
    }
}

/// For whoever reads the log at debug level: how requests went, in words.
pub(crate) fn stories(gateway: &Arc<libra_core::gateway::Gateway>) -> Option<Stories> {
    tracing::enabled!(tracing::Level::DEBUG).then(|| Stories::new(gateway))
}
