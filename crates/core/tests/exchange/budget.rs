//! What retries may add to the load.

use libra_core::config::Config;
use libra_core::event::Event;

use crate::harness::{Call, Canned, End, Harness, config};
use crate::upstream::{day, error, good};

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

fn empty() -> Canned {
    Canned::json(200, r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}]}"#)
}

/// A gateway whose retries are used up, all at one moment.
fn used_up() -> Harness {
    let mut harness = Harness::new(Config { retry_budget: Some(0), ..config(&KEYS) });
    for _ in 0..500 {
        let _ = harness.send(&Call::chat(), |_| empty());
    }
    harness
}

#[test]
fn retries_are_a_share_of_the_requests() {
    // The setting, requests, and calls at most: each of them would make four.
    let check = |retry_budget, requests: usize, expected: usize| {
        let mut harness = Harness::new(Config { retry_budget, ..config(&KEYS) });
        let mut calls = 0;
        let mut events = Vec::new();
        for _ in 0..requests {
            let seen = harness.send(&Call::chat(), |_| empty());
            assert_eq!(seen.status, 502, "{}", seen.text());
            calls += seen.calls.len();
            events.extend(seen.events);
        }
        // The first request finds the budget full, and earns nothing.
        assert!(calls.abs_diff(expected) <= 1, "{retry_budget:?}: {calls}");
        let told = events.iter().any(|event| matches!(event, Event::RetriesUsedUp { .. }));
        assert_eq!(told, expected < 4 * requests);
    };
    check(Some(20), 250, 1_000);
    check(Some(20), 1_000, 1_000 + 1_000 + 200);
    check(Some(0), 1_000, 1_000 + 1_000);
    check(None, 1_000, 4_000);
}

#[test]
fn what_costs_no_load_is_retried_always() {
    let silence = Canned::nothing(End::Silence);
    let invalid = Canned::json(
        400,
        r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}"#,
    );
    let leaked = error(403, "Your API key was reported as leaked.", "PERMISSION_DENIED");
    // What the first key says, and whether another one is tried.
    let check = |first: Canned, expected: bool| {
        let call = Call::chat();
        let mut asked = 0;
        let seen = used_up().send(&call, |_| {
            asked += 1;
            if asked == 1 { first.clone() } else { good(&call) }
        });
        assert_eq!((seen.status == 200, asked == 2), (expected, expected), "{first:?}: {}", seen.text());
    };
    check(invalid, true);
    check(leaked, true);
    check(day(), true);
    check(error(503, "The model is overloaded.", "UNAVAILABLE"), false);
    check(error(500, "An internal error has occurred.", "INTERNAL"), false);
    check(Canned::nothing(End::Refused), false);
    check(empty(), false);
    // It takes so long that the gateway has earned some again.
    check(silence, true);
}

#[test]
fn the_truest_error_is_told_and_clients_keys_are_apart() {
    let mut harness = used_up();
    let overloaded = error(503, "The model is overloaded.", "UNAVAILABLE");
    let seen = harness.send(&Call::chat(), |_| overloaded.clone());
    assert_eq!((seen.status, seen.calls.len(), seen.header("retry-after")), (503, 1, Some("1")));
    let own = Call::chat().without_key().with("x-goog-api-key", "own-one,own-other");
    assert_eq!(harness.send(&own, |_| overloaded.clone()).calls.len(), 2);
}

#[test]
fn a_few_requests_among_flaky_keys_are_all_answered() {
    let names: Vec<String> = (0..30).map(|number| format!("key-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut harness = Harness::new(config(&names));
    let call = Call::chat();
    let mut chance = 1_u32;
    for _ in 0..600 {
        let seen = harness.send(&call, |request| {
            let key = request.headers()["x-goog-api-key"].to_str().expect("ASCII");
            chance ^= chance << 13;
            chance ^= chance >> 17;
            chance ^= chance << 5;
            match chance % 10 {
                _ if key.ends_with('5') => empty(),
                0..=2 => error(503, "The model is overloaded.", "UNAVAILABLE"),
                3 => Canned::nothing(End::Refused),
                _ => good(&call),
            }
        });
        assert_eq!(seen.status, 200, "{} {:?}", seen.text(), seen.events);
    }
}
