//! A second attempt beside one that keeps silent.

use std::cell::Cell;
use std::time::Duration;

use libra_core::config::{Config, Strategy};
use libra_core::event::Event;

use crate::harness::{Call, Canned, End, Harness, Seen, config};
use crate::upstream::{GOOD, error, good};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn hedged(strategy: Strategy, keys: &[&str]) -> Config {
    Config { hedge_after: Some(secs(2)), strategy, ..config(keys) }
}

/// Sends a call to a gateway whose attempts are answered in turn; the last answer is given again and again.
fn send(config: Config, call: &Call, answers: &[Canned]) -> (Harness, Seen) {
    let mut harness = Harness::new(config);
    let asked = Cell::new(0);
    let seen = harness.send(call, |_| {
        let number = asked.replace(asked.get() + 1);
        answers[number.min(answers.len() - 1)].clone()
    });
    (harness, seen)
}

fn hedges(seen: &Seen) -> usize {
    seen.events.iter().filter(|event| matches!(event, Event::Hedged { .. })).count()
}

fn no_lease_is_left(harness: &Harness) {
    assert!(format!("{:?}", harness.gateway).contains("leases: {}"), "{:?}", harness.gateway);
}

const STRATEGIES: [Strategy; 2] = [Strategy::Headroom, Strategy::RoundRobin];

#[test]
fn whichever_is_first_answers_and_the_other_is_dropped() {
    // What the first and the second say, the answer's words, and when it comes.
    let check = |call: &Call, first: u64, second: u64, word: &str, took: u64| {
        for strategy in STRATEGIES {
            let says = |word: &str, after| {
                let mut answer = good(call).after(secs(after));
                let text = String::from_utf8(answer.chunks[0].to_vec()).expect("UTF-8");
                answer.chunks[0] = text.replace("Hello", word).into();
                answer
            };
            let (harness, seen) = send(
                hedged(strategy, &["a", "b", "c"]),
                call,
                &[says("first", first), says("second", second)],
            );
            assert_eq!((seen.status, seen.calls.len(), hedges(&seen)), (200, 2, 1), "{}", call.path);
            assert!(seen.text().contains(word), "{}", seen.text());
            assert_eq!(seen.took, secs(took));
            no_lease_is_left(&harness);
            let blamed = seen.events.iter().any(|event| matches!(event, Event::AttemptFailed { .. }));
            assert!(!blamed, "a loser is not to blame");
            let view = harness.gateway.view(harness.now);
            assert!(
                view.each_project.iter().all(|one| one.models.iter().all(|m| m.penalised_until.is_none()))
            );
        }
    };
    for call in [Call::native(), Call::native_stream(), Call::chat(), Call::chat_stream()] {
        check(&call, 30, 1, "second", 3);
        check(&call, 4, 5, "first", 4);
        check(&call, 4, 2, "first", 4);
    }
}

#[test]
fn only_silence_of_requests_that_may_be_repeated_is_hedged() {
    let slow = |call: &Call| good(call).after(secs(5));
    let check = |config: Config, call: &Call, expected: usize| {
        let (_, seen) = send(config, call, &[slow(call)]);
        assert_eq!((seen.status, seen.calls.len(), hedges(&seen)), (200, 1 + expected, expected), "{call:?}");
    };
    let keys = &["a", "b", "c"];
    let call = Call::chat();
    check(hedged(Strategy::Headroom, keys), &call, 1);
    check(Config { hedge_after: None, ..hedged(Strategy::Headroom, keys) }, &call, 0);
    check(Config { hedge_after: Some(secs(6)), ..hedged(Strategy::Headroom, keys) }, &call, 0);
    check(hedged(Strategy::Headroom, &["only"]), &call, 0);
    check(Config { max_attempts: Some(1), ..hedged(Strategy::Headroom, keys) }, &call, 0);
    let tools = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]}"#;
    check(hedged(Strategy::Headroom, keys), &Call::post("/v1/chat/completions", tools), 0);
    let native = r#"{"contents":[{"parts":[{"text":"Hi"}]}],"tools":[{"googleSearch":{}}]}"#;
    check(hedged(Strategy::Headroom, keys), &Call::post(&Call::native().path, native), 0);
    let count = Call::post("/v1beta/models/gemini-2.5-flash:countTokens", call.body);
    let (_, seen) = send(
        hedged(Strategy::Headroom, keys),
        &count,
        &[Canned::json(200, "{\"totalTokens\":1}").after(secs(5))],
    );
    assert_eq!((seen.status, seen.calls.len()), (200, 1), "only answers of the model are hedged");
    let own = Call::chat().without_key().with("x-goog-api-key", "own-one,own-other");
    check(hedged(Strategy::Headroom, keys), &own, 0);
}

#[test]
fn an_answer_that_has_begun_is_not_hedged() {
    // The first event is a thought without words, the next one comes after a while.
    let call = Call::native_stream();
    let begun =
        Canned::sse("data: {\"usageMetadata\":{\"promptTokenCount\":1}}\r\n\r\n").ending(End::Silence);
    let (_, seen) = send(hedged(Strategy::Headroom, &["a", "b"]), &call, &[begun]);
    assert_eq!((seen.calls.len(), hedges(&seen)), (1, 0));
}

#[test]
fn without_room_to_spare_there_is_none() {
    let keys = &["a", "b", "c", "d"];
    let call = Call::chat();
    // The shortest penalty is half a second.
    let after = Duration::from_millis(300);
    for strategy in STRATEGIES {
        let config = Config { hedge_after: Some(after), ..hedged(strategy, keys) };
        // The others are overloaded: they come last, which is good enough for a retry only.
        let mut harness = Harness::new(config);
        let seen = harness.send(&call, |request| match request.headers()["x-goog-api-key"] == "d" {
            true => good(&call),
            false => error(503, "The model is overloaded.", "UNAVAILABLE"),
        });
        assert_eq!((seen.status, seen.calls.len()), (200, 4));
        let seen = harness.send(&call, |_| good(&call).after(after * 3 / 2));
        assert_eq!((seen.status, hedges(&seen)), (200, 0), "{strategy:?}");
    }
    // Nothing is left of what retries may add.
    let config =
        Config { retry_budget: Some(0), hedge_after: Some(after / 10), ..hedged(STRATEGIES[0], keys) };
    let mut harness = Harness::new(config);
    assert_eq!(hedges(&harness.send(&call, |_| good(&call).after(after))), 1);
    let other = Call::post("/v1beta/models/gemini-2.5-pro:generateContent", Call::native().body);
    for _ in 0..500 {
        let _ = harness.send(&other, |_| Canned::json(200, "{}"));
    }
    let seen = harness.send(&call, |_| good(&call).after(after));
    assert_eq!((seen.status, hedges(&seen)), (200, 0));
}

#[test]
fn where_both_fail_others_are_tried() {
    let call = Call::chat_stream();
    let overloaded = |after| error(503, "The model is overloaded.", "UNAVAILABLE").after(secs(after));
    for strategy in STRATEGIES {
        let answers = [overloaded(4), overloaded(1), good(&call)];
        let (harness, seen) = send(hedged(strategy, &["a", "b", "c"]), &call, &answers);
        assert_eq!((seen.status, seen.calls.len(), hedges(&seen)), (200, 3, 1), "{}", seen.text());
        assert_eq!(seen.took, secs(4), "the first is waited for");
        no_lease_is_left(&harness);
    }
    // A fault of the request is told at once, and ends the other.
    let wrong = error(400, "Request contains an invalid argument.", "INVALID_ARGUMENT").after(secs(1));
    let (harness, seen) =
        send(hedged(Strategy::Headroom, &["a", "b", "c"]), &call, &[Canned::nothing(End::Silence), wrong]);
    assert_eq!((seen.status, seen.calls.len(), seen.took), (400, 2, secs(3)));
    no_lease_is_left(&harness);
    // What only concerns the second's project does not.
    let foreign = error(
        403,
        "You do not have permission to access the File abc or it may not exist.",
        "PERMISSION_DENIED",
    );
    let answers = [good(&call).after(secs(9)), foreign];
    let (_, seen) = send(hedged(Strategy::Headroom, &["a", "b", "c"]), &call, &answers);
    assert_eq!((seen.status, seen.calls.len(), seen.took), (200, 2, secs(9)));
}

#[test]
fn a_client_that_leaves_ends_both() {
    use libra_core::exchange::Step;
    let mut harness = Harness::new(hedged(Strategy::Headroom, &["a", "b"]));
    let mut exchange = harness.exchange(&Call::chat());
    assert!(matches!(exchange.poll(harness.now), Step::Start(..)));
    let Step::WaitUntil(until) = exchange.poll(harness.now) else { panic!("a wait") };
    assert_eq!(until.since(harness.now), secs(2));
    harness.now = until;
    assert!(matches!(exchange.poll(harness.now), Step::Start(..)));
    assert!(matches!(exchange.poll(harness.now), Step::WaitUntil(_)));
    exchange.abandon(harness.now);
    drop(exchange);
    no_lease_is_left(&harness);
}

#[test]
fn a_conversation_stays_with_the_project_that_answered() {
    let mut harness = Harness::new(hedged(Strategy::Headroom, &["a", "b", "c"]));
    let first = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hi"}]}"#;
    let next = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"},{"role":"user","content":"And?"}]}"#;
    let call = Call::post("/v1/chat/completions", first);
    let mut silent = true;
    let seen = harness.send(&call, |_| match std::mem::take(&mut silent) {
        true => Canned::nothing(End::Silence),
        false => Canned::json(200, GOOD),
    });
    assert_eq!(seen.calls.len(), 2);
    let call = Call::post("/v1/chat/completions", next);
    let again = harness.send(&call, |_| Canned::json(200, GOOD));
    assert_eq!(again.calls, seen.calls[1..]);
}
