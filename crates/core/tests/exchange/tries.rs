//! How often a request is tried, by what came of it.

use libra_core::config::{Config, Strategy};
use libra_core::event::{Ending, Event};

use crate::harness::{Call, Canned, Harness, Seen, config};
use crate::upstream::{GOOD, error, good};

const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// An answer that is one object, in the form that a call asks for.
fn answer(call: &Call, json: &str) -> Canned {
    let mut answer = good(call);
    let text = String::from_utf8(answer.chunks[0].to_vec()).expect("UTF-8");
    answer.chunks[0] = text.replace(GOOD, json).into();
    answer
}

fn spoiled(call: &Call) -> Canned {
    answer(
        call,
        r#"{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL","index":0}],"usageMetadata":{"promptTokenCount":7,"totalTokenCount":7}}"#,
    )
}

/// Sends a call whose attempts are answered in turn; the last answer is given again and again.
fn send(config: Config, call: &Call, answers: &[Canned]) -> Seen {
    let mut asked = 0;
    Harness::new(config).send(call, |_| {
        asked += 1;
        answers[(asked - 1).min(answers.len() - 1)].clone()
    })
}

const CALLS: [fn() -> Call; 4] = [Call::native, Call::native_stream, Call::chat, Call::chat_stream];

#[test]
fn what_is_an_answer_or_the_requests_own_fault_is_asked_once() {
    let check = |json: &str| {
        for call in CALLS.map(|call| call()) {
            let seen = send(config(&KEYS), &call, &[answer(&call, json)]);
            assert_eq!((seen.status, seen.calls.len()), (200, 1), "{}: {json}", call.path);
        }
    };
    check(
        r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":3}}"#,
    );
    check(r#"{"promptFeedback":{"blockReason":"SAFETY","safetyRatings":[]}}"#);
    check(r#"{"candidates":[{"content":{},"finishReason":"SAFETY","index":0}]}"#);
    check(r#"{"candidates":[{"content":{},"finishReason":"MAX_TOKENS","index":0}]}"#);
    let refused = |message: &str| {
        for call in CALLS.map(|call| call()) {
            let seen = send(config(&KEYS), &call, &[error(400, message, "INVALID_ARGUMENT")]);
            assert_eq!((seen.status, seen.calls.len()), (400, 1), "{}: {message}", call.path);
        }
    };
    // Each try would count against another project's tokens of the minute.
    refused("The input token count (3475108) exceeds the maximum number of tokens allowed (1048576).");
    refused("The input token count exceeds the maximum number of tokens allowed 1048576.");
    refused("Request payload size exceeds the limit: 20971520 bytes.");
}

#[test]
fn a_spoiled_answer_is_tried_elsewhere_twice_and_given_in_the_end() {
    for call in CALLS.map(|call| call()) {
        let seen = send(config(&KEYS), &call, &[spoiled(&call), good(&call)]);
        assert_eq!((seen.status, seen.calls.len()), (200, 2), "{}", call.path);
        assert!(seen.text().contains("Hello") && !seen.text().contains("MALFORMED"), "{}", seen.text());
        let check = |config: Config, answers: &[Canned], calls: usize| {
            let seen = send(config, &call, answers);
            assert_eq!((seen.status, seen.calls.len(), seen.reset), (200, calls, false), "{}", seen.text());
            assert!(seen.text().contains("MALFORMED_FUNCTION_CALL"), "{}", seen.text());
            assert!(!seen.text().contains("\"error\""), "{}", seen.text());
            if call.path.contains("v1beta") {
                assert_eq!(seen.body, spoiled(&call).chunks.concat(), "Google's own bytes");
            }
            match seen.events.last() {
                Some(Event::Finished(end)) => {
                    assert_eq!((end.ending, end.attempts as usize), (Ending::Complete, calls));
                    assert!(end.key.is_some() && end.usage.is_some_and(|usage| usage.prompt == 7), "{end:?}");
                }
                other => panic!("{other:?}"),
            }
        };
        check(config(&KEYS), &[spoiled(&call)], 3);
        check(config(&["only"]), &[spoiled(&call)], 1);
        check(Config { max_attempts: Some(2), ..config(&KEYS) }, &[spoiled(&call)], 2);
        // Nobody does better, and nothing is waited for.
        let minute = error(429, "Quota exceeded for metric: per minute.", "RESOURCE_EXHAUSTED");
        let queued = Config { queue_wait: std::time::Duration::from_secs(90), ..config(&["a", "b", "c"]) };
        check(queued, &[spoiled(&call), minute], 3);
        let overloaded = error(503, "The model is overloaded.", "UNAVAILABLE");
        check(config(&["a", "b", "c"]), &[spoiled(&call), overloaded], 3);
    }
}

#[test]
fn words_before_it_make_it_an_answer() {
    let call = Call::chat_stream();
    let words = GOOD.replace(r#","finishReason":"STOP""#, "");
    let end = r#"{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL","index":0}]}"#;
    let stream = Canned::sse(format!("data: {words}\r\n\r\ndata: {end}\r\n\r\n"));
    let seen = send(config(&KEYS), &call, &[stream]);
    assert_eq!((seen.status, seen.calls.len()), (200, 1));
    assert!(seen.text().contains("Hello") && seen.text().ends_with("data: [DONE]\n\n"), "{}", seen.text());
}

#[test]
fn nobody_is_struck_for_a_spoiled_answer() {
    let mut harness = Harness::new(Config { strategy: Strategy::Headroom, ..config(&KEYS) });
    let call = Call::chat();
    for _ in 0..4 {
        let _ = harness.send(&call, |_| spoiled(&call));
    }
    let view = harness.gateway.view(harness.now);
    let models = view.each_project.iter().flat_map(|project| &project.models);
    assert!(models.clone().all(|model| model.penalised_until.is_none() && model.rests_until.is_none()));
    assert!(format!("{:?}", harness.gateway).contains("leases: {}"));
}

#[test]
fn after_an_empty_answer_those_come_first_that_have_answered_lately() {
    // One project in eight answers; who has found it once does not look for it elsewhere.
    let mut harness = Harness::new(Config { strategy: Strategy::Headroom, ..config(&KEYS) });
    let call = Call::chat();
    let mut unanswered = 0;
    for _ in 0..40 {
        let seen = harness.send(&call, |request| match request.headers()["x-goog-api-key"] == "c" {
            true => good(&call),
            false => answer(&call, r#"{"candidates":[{"content":{},"finishReason":"STOP"}]}"#),
        });
        unanswered += u32::from(seen.status != 200);
    }
    assert_eq!(unanswered, 0);
}
