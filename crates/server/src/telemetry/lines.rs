//! Events as lines of the log.

use libra_core::event::{Ending, Event, LiveEndedBy};
use libra_core::time::Timestamp;

use super::story::Stories;

/// Writes an event to the log. `stories`: at debug level, how requests went.
pub(super) fn tell(event: &Event, stories: Option<&Stories>) {
    match event {
        Event::AttemptFailed { request, key, model, class, status, message, elapsed } => {
            let key = key.as_ref().map(tracing::field::display);
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
            let (status, attempts, ms) = (end.status.as_u16(), end.attempts, end.elapsed.as_millis() as u64);
            let (request, tokens) = (end.request, end.usage.map(|usage| usage.total));
            let (dialect, model, ending) = (end.dialect, end.model.as_deref(), end.ending);
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
                    "{}",
                    stories.map_or_else(|| "answered".to_owned(), |stories| stories.of(end))
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
                (end.request, end.model.as_deref(), end.by, end.code, end.attempts);
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
            if *behind_seconds > 0 { "behind" } else { "ahead of" },
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
