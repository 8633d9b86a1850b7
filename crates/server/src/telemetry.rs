//! Core's events as log lines, and as rows of the store where there is one.

use std::sync::{Arc, OnceLock};

use libra_core::event::{Ending, Event, LiveEndedBy};
use libra_core::time::Timestamp;

use crate::store::Store;

/// The store of this process: as the log, it is for whatever happens anywhere in it.
static STORE: OnceLock<Arc<Store>> = OnceLock::new();

/// From now on, events are stored, too.
pub(crate) fn keep_in(store: Arc<Store>) {
    // There is one, opened once.
    let _ = STORE.set(store);
}

/// Waits until what was learned so far is stored, where it is; never for long.
pub(crate) async fn flushed() {
    if let Some(store) = STORE.get() {
        store.flushed().await;
    }
}

/// Writes events to the log. Nothing secret is in them.
pub(crate) fn record(events: Vec<Event>) {
    for event in events {
        if let Some(store) = STORE.get() {
            store.record(&event);
        }
        match event {
            Event::AttemptFailed { request, key, model, class, status, message, elapsed } => {
                let key = key.map(tracing::field::display);
                let status = status.map(|status| status.as_u16());
                tracing::info!(
                    %request,
                    key,
                    model,
                    status,
                    ?class,
                    ms = elapsed.as_millis() as u64,
                    "attempt failed: {message}"
                );
            }
            Event::FetchFailed { request, host, message } => {
                tracing::info!(%request, host, "a file cannot be fetched: {message}");
            }
            Event::Finished(end) => {
                let key = end.key.map(tracing::field::display);
                let (status, attempts, ms) =
                    (end.status.as_u16(), end.attempts, end.elapsed.as_millis() as u64);
                let (request, tokens) = (end.request, end.usage.map(|usage| usage.total));
                let (dialect, model, ending) = (end.dialect, end.model, end.ending);
                if end.stand_ins > 0 {
                    tracing::warn!(
                        %request,
                        model,
                        calls = end.stand_ins,
                        "thought signatures were lost; the model did not see its own reasoning"
                    );
                }
                match ending {
                    Ending::Complete | Ending::ClientLeft => tracing::debug!(
                        %request,
                        ?dialect,
                        model,
                        status,
                        ?ending,
                        attempts,
                        key,
                        tokens,
                        ms,
                        "answered"
                    ),
                    Ending::Refused | Ending::Cut => tracing::info!(
                        %request,
                        ?dialect,
                        model,
                        status,
                        ?ending,
                        attempts,
                        key,
                        tokens,
                        ms,
                        "not answered"
                    ),
                }
            }
            Event::LiveEnded(end) => {
                let key = end.key.map(tracing::field::display);
                let tokens = end.usage.map(|usage| usage.total);
                let (up, down, ms) = (end.up, end.down, end.elapsed.as_millis() as u64);
                let (request, model, by, code, attempts) =
                    (end.request, end.model, end.by, end.code, end.attempts);
                let is_good = !matches!(by, LiveEndedBy::Gateway) && matches!(code, 1000 | 1001 | 1005);
                // An event has one level.
                macro_rules! tell {
                    ($level:ident) => {
                        tracing::$level!(
                            %request,
                            model,
                            ?by,
                            code,
                            attempts,
                            key,
                            tokens,
                            frames_up = up.frames,
                            bytes_up = up.bytes,
                            frames_down = down.frames,
                            bytes_down = down.bytes,
                            ms,
                            "a live session has ended"
                        )
                    };
                }
                if is_good { tell!(debug) } else { tell!(info) }
            }
            Event::Hedged { request, key } => {
                tracing::debug!(%request, %key, "a second attempt, as the first keeps silent");
            }
            Event::RetriesUsedUp { request } => tracing::info!(
                %request,
                "no other key was tried: the retry budget is used up"
            ),
            Event::ClockOff { behind_seconds: 0 } => {
                tracing::info!("the local clock is right again, by the date of Google's answers");
            }
            Event::ClockOff { behind_seconds } => tracing::warn!(
                "the local clock is {} s {} Google's: days are taken to end by Google's",
                behind_seconds.abs(),
                if behind_seconds > 0 { "behind" } else { "ahead of" },
            ),
            Event::SetAside { key, why } => tracing::warn!(%key, ?why, "key set aside"),
            Event::ClientLimited { client, limit, of, until } => tracing::info!(
                %client,
                limit = limit.name(),
                of,
                until = until.map(Timestamp::rfc3339),
                "a client has reached a limit"
            ),
            Event::ClientNearLimit { client, limit, used, of } => {
                tracing::info!(%client, limit = limit.name(), used, of, "a client is near a limit");
            }
            Event::Restored { key } => tracing::info!(%key, "key in use again"),
        }
    }
}
