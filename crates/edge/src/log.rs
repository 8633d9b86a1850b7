//! Core's events as lines of JSON for the platform's log.

use libra_core::event::{Ending, Event};
use libra_core::failure::Why;
use libra_core::time::Timestamp;
use serde_json::{Value, json};

use crate::js;

/// Writes events to the log. Nothing secret is in them.
pub(crate) fn record(events: Vec<Event>) {
    for event in events {
        js::log(&line(&event).to_string());
    }
}

fn line(event: &Event) -> Value {
    match event {
        Event::AttemptFailed { request, key, model, class, status, message, elapsed } => json!({
            "event": "attempt failed",
            "request": request.to_string(),
            "key": key.map(|key| key.to_string()),
            "model": model,
            "status": status.map(|status| status.as_u16()),
            "class": format!("{class:?}"),
            "message": message,
            "ms": elapsed.as_millis() as u64,
        }),
        Event::FetchFailed { request, host, message } => json!({
            "event": "file not fetched",
            "request": request.to_string(),
            "host": host,
            "message": message,
        }),
        Event::Finished(end) => json!({
            "event": match end.ending {
                Ending::Complete | Ending::ClientLeft => "answered",
                Ending::Refused | Ending::Cut => "not answered",
            },
            "request": end.request.to_string(),
            "dialect": format!("{:?}", end.dialect),
            "model": end.model,
            "status": end.status.as_u16(),
            "ending": format!("{:?}", end.ending),
            "attempts": end.attempts,
            "key": end.key.map(|key| key.to_string()),
            "tokens": end.usage.map(|usage| usage.total),
            "lost_signatures": end.stand_ins,
            "ms": end.elapsed.as_millis() as u64,
        }),
        Event::LiveEnded(end) => json!({
            "event": "live session ended",
            "request": end.request.to_string(),
            "model": end.model,
            "key": end.key.map(|key| key.to_string()),
            "code": end.code,
        }),
        Event::Hedged { request, key } => json!({
            "event": "second attempt beside a silent one",
            "request": request.to_string(),
            "key": key.to_string(),
        }),
        Event::RetriesUsedUp { request } => json!({
            "event": "retry budget used up",
            "request": request.to_string(),
        }),
        Event::ClockOff { behind_seconds } => json!({
            "event": "clock",
            "behind_google_seconds": behind_seconds,
        }),
        Event::SetAside { key, why } => json!({
            "event": "key set aside",
            "key": key.to_string(),
            "why": shown(*why),
        }),
        Event::ClientLimited { client, limit, of, until } => json!({
            "event": "client has reached a limit",
            "client": client.to_string(),
            "limit": limit.name(),
            "of": of,
            "until": until.map(Timestamp::rfc3339),
        }),
        Event::ClientNearLimit { client, limit, used, of } => json!({
            "event": "client is near a limit",
            "client": client.to_string(),
            "limit": limit.name(),
            "used": used,
            "of": of,
        }),
        Event::Restored { key } => json!({ "event": "key in use again", "key": key.to_string() }),
    }
}

fn shown(why: Why) -> String {
    format!("{why:?}")
}
