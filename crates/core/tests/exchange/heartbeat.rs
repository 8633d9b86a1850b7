//! Signs of life for clients that wait for a stream.

use std::time::Duration;

use libra_core::config::{Config, CustomLlm};
use libra_core::event::{Ending, Event};

use crate::harness::{Call, Canned, End, Harness, Seen, config};
use crate::upstream::{GOOD, error, good};

const PING: &str = ": ping\n\n";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn with_heartbeat(keys: &[&str], every: Duration) -> Config {
    Config { heartbeat: every, ..config(keys) }
}

/// The first key is silent until its time is up, the others answer like this.
fn silent_first(config: Config, call: &Call, then: &Canned) -> Seen {
    let mut first = true;
    Harness::new(config).send(call, |_| match std::mem::take(&mut first) {
        true => Canned::nothing(End::Silence),
        false => then.clone(),
    })
}

#[test]
fn a_client_that_waits_hears_something_and_is_failed_over_behind_it() {
    let call = Call::chat_stream();
    let seen = silent_first(with_heartbeat(&["first", "second"], secs(10)), &call, &good(&call));
    assert_eq!((seen.status, seen.calls.len()), (200, 2));
    assert_eq!(seen.beats, [10, 10, 20, 30, 40].map(secs), "the first time-out is after 45 s");
    assert_eq!(seen.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(seen.header("cache-control"), Some("no-cache"));
    assert!(
        seen.header("x-libra-request-id").is_some() && seen.header("access-control-allow-origin").is_some()
    );
    let body = seen.text().strip_prefix(&PING.repeat(4)).expect("pings first");
    assert!(
        body.starts_with("data: {") && body.contains("Hello") && body.ends_with("data: [DONE]\n\n"),
        "{body}"
    );
}

#[test]
fn there_are_none_for_other_clients() {
    let check = |call: &Call, every: u64| {
        let seen = silent_first(with_heartbeat(&["first", "second"], secs(every)), call, &good(call));
        assert_eq!((seen.status, seen.beats.len()), (200, 0), "{}", call.path);
        assert!(!seen.text().contains("ping"), "{}", seen.text());
    };
    check(&Call::native_stream(), 10);
    check(&Call::native_array(), 10);
    check(&Call::native(), 10);
    check(&Call::chat(), 10);
    check(&Call::chat_stream(), 0);
    check(&Call::chat_stream(), 46);
}

#[test]
fn a_failure_behind_a_heartbeat_is_the_dialects_error_event() {
    // What the second key says, the error's type, and its code.
    let check = |then: Canned, kind: &str, code: &str| {
        let seen = silent_first(with_heartbeat(&["first", "second"], secs(10)), &Call::chat_stream(), &then);
        assert_eq!(seen.status, 200, "it was said long ago");
        let said = seen.text().trim_start_matches(PING);
        let (event, rest) = said.split_once("\n\n").expect("an event");
        assert_eq!(rest, "", "and nothing after it, no [DONE]: {said}");
        let object = event.strip_prefix("data: {\"error\":{").expect("an error object");
        assert!(object.contains(kind) && object.contains(code), "{object}");
        match seen.events.last() {
            Some(Event::Finished(end)) => {
                assert_eq!((end.ending, end.status.as_u16()), (Ending::Refused, 200))
            }
            other => panic!("{other:?}"),
        }
    };
    let overloaded = error(503, "The model is overloaded.", "UNAVAILABLE");
    check(overloaded, "\"type\":\"server_error\"", "\"code\":\"service_unavailable\"");
    let wrong = error(400, "Request contains an invalid argument.", "INVALID_ARGUMENT");
    check(wrong, "\"type\":\"invalid_request_error\"", "\"code\":null");
    check(Canned::nothing(End::Silence), "\"type\":\"server_error\"", "\"code\":\"timeout\"");
}

#[test]
fn anthropics_clients_get_events_of_their_own() {
    let body = r#"{"model":"gemini-2.5-flash","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    let call = Call::post("/v1/messages", body);
    let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    let seen = silent_first(with_heartbeat(&["first", "second"], secs(10)), &call, &good(&call));
    assert_eq!((seen.status, seen.calls.len(), seen.beats.len()), (200, 2, 5));
    let answer = seen.text().strip_prefix(&ping.repeat(4)).expect("pings first");
    assert!(
        answer.starts_with("event: message_start\n") && answer.contains("event: message_stop\n"),
        "{answer}"
    );
    let overloaded = error(503, "The model is overloaded.", "UNAVAILABLE");
    let seen = silent_first(with_heartbeat(&["first", "second"], secs(10)), &call, &overloaded);
    let said = seen.text().strip_prefix(&ping.repeat(4)).expect("pings first");
    assert!(said.starts_with("event: error\ndata: {\"type\":\"error\","), "{said}");
    assert!(said.contains("overloaded_error") && said.matches("event: ").count() == 1, "{said}");
}

#[test]
fn an_answer_that_breaks_off_behind_a_heartbeat_ends_as_any_other() {
    let cut = GOOD.replace(r#","finishReason":"STOP""#, "");
    let cut = Canned::sse(format!("data: {cut}\r\n\r\n")).ending(End::Broken);
    let seen = silent_first(with_heartbeat(&["first", "second"], secs(10)), &Call::chat_stream(), &cut);
    let body = seen.text();
    assert!(
        body.contains("Hello") && body.contains("data: {\"error\"") && !body.contains("[DONE]"),
        "{body}"
    );
}

#[test]
fn waiting_in_the_queue_is_covered() {
    let config = Config {
        heartbeat: secs(2),
        queue_wait: secs(20),
        strategy: libra_core::config::Strategy::Headroom,
        ..config(&["only"])
    };
    let mut harness = Harness::new(config);
    let call = Call::chat_stream();
    let minute = r#"{"error":{"code":429,"message":"Quota.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"m","quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"7s"}]}}"#;
    let seen = harness.send(&Call::chat(), |_| Canned::json(429, minute));
    assert_eq!(seen.status, 429);
    let seen = harness.send(&call, |_| good(&call));
    assert_eq!((seen.status, seen.calls.len(), seen.took.as_secs()), (200, 1, 7), "{}", seen.text());
    assert_eq!(seen.beats, [2, 2, 4, 6].map(secs));
    assert!(seen.text().starts_with(&PING.repeat(3)) && seen.text().ends_with("data: [DONE]\n\n"));
}

#[test]
fn another_service_answers_in_events_or_not_at_all() {
    let check = |theirs: Canned, expected: &str| {
        let custom = CustomLlm {
            base_url: "https://llm.example/v1".parse().expect("a URL"),
            api_key: None,
            models: Vec::new(),
            model: None,
        };
        let config = Config { custom_llm: Some(custom), ..with_heartbeat(&["first"], secs(10)) };
        let seen = Harness::new(config).send(&Call::chat_stream(), |request| match request.uri().host() {
            Some("llm.example") => theirs.clone(),
            _ => Canned::nothing(End::Silence),
        });
        assert_eq!((seen.status, seen.text().trim_start_matches(PING)), (200, expected));
    };
    check(Canned::sse("data: theirs\n\ndata: [DONE]\n\n"), "data: theirs\n\ndata: [DONE]\n\n");
    check(
        Canned::json(429, "{\"error\":\"theirs\"}"),
        "data: {\"error\":{\"message\":\"The service that stands in for Gemini answered 429 Too Many \
         Requests.\",\"type\":\"rate_limit_error\",\"param\":null,\"code\":\"rate_limit_exceeded\"}}\n\n",
    );
}
