//! Failing over, as a table: what the first key answers, how many keys are tried, and what the client sees.

mod harness;

use std::time::Duration;

use harness::{Call, Canned, End, Harness, START, config};
use libra_core::config::{ClientKeys, CustomLlm};
use libra_core::event::{AttemptResult, Ending, Event};
use libra_core::failure::{Class, Why};
use libra_core::secret::ApiKey;

const GOOD: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1,"totalTokenCount":2}}"#;

fn good(call: &Call) -> Canned {
    if call.path.contains("alt=sse") || call.body.windows(13).any(|part| part == b"\"stream\":true") {
        Canned::sse(format!("data: {GOOD}\r\n\r\n"))
    } else if call.path.contains("streamGenerateContent") {
        Canned::json(200, format!("[{GOOD}\n]\n"))
    } else {
        Canned::json(200, GOOD)
    }
}

fn error(status: u16, message: &str, google_status: &str, details: &str) -> Canned {
    let details = if details.is_empty() { String::new() } else { format!(r#","details":[{details}]"#) };
    let body = format!(
        r#"{{"error":{{"code":{status},"message":"{message}","status":"{google_status}"{details}}}}}"#
    );
    Canned::json(status, body)
}

fn reason(reason: &str) -> String {
    format!(
        r#"{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{reason}","domain":"googleapis.com"}}"#
    )
}

fn quota(id: &str, value: &str, delay: &str) -> String {
    format!(
        r#"{{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{{"quotaMetric":"m","quotaId":"{id}","quotaDimensions":{{"model":"gemini-2.5-flash"}},"quotaValue":"{value}"}}]}},{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{delay}"}}"#
    )
}

fn leaked() -> Canned {
    error(403, "Your API key was reported as leaked. Please use another API key.", "PERMISSION_DENIED", "")
}

fn invalid() -> Canned {
    error(
        400,
        "API key not valid. Please pass a valid API key.",
        "INVALID_ARGUMENT",
        &reason("API_KEY_INVALID"),
    )
}

fn unauthenticated() -> Canned {
    error(401, "Request had invalid authentication credentials.", "UNAUTHENTICATED", "")
}

fn minute() -> Canned {
    error(
        429,
        "Quota.",
        "RESOURCE_EXHAUSTED",
        &quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "10", "30s"),
    )
}

fn day() -> Canned {
    error(
        429,
        "Quota.",
        "RESOURCE_EXHAUSTED",
        &quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "250", "22s"),
    )
}

fn overloaded() -> Canned {
    error(503, "The model is overloaded.", "UNAVAILABLE", "")
}

fn bad_request() -> Canned {
    error(400, "Invalid value at 'contents'.", "INVALID_ARGUMENT", "")
}

/// All four ways to ask.
fn calls() -> [Call; 5] {
    [Call::native(), Call::native_stream(), Call::native_array(), Call::chat(), Call::chat_stream()]
}

/// The first key answers `first`, the second is good.
fn check_second_helps(what: &str, first: &Canned) {
    for call in calls() {
        let mut harness = Harness::new(config(&["first", "second"]));
        let seen = harness.send(&call, |request| {
            if request.headers()["x-goog-api-key"] == "first" { first.clone() } else { good(&call) }
        });
        assert_eq!(seen.calls, ["first", "second"], "{what} {}", call.path);
        assert_eq!(seen.status, 200, "{what} {}", call.path);
        assert!(seen.text().contains("Hello"), "{what} {}: {}", call.path, seen.text());
        assert!(!seen.headers.contains_key("x-goog-api-key"), "{what}: an echoed key came down");
    }
}

#[test]
fn where_another_key_can_help_it_is_tried_at_once() {
    for (what, first) in [
        ("leaked", leaked()),
        ("invalid", invalid()),
        ("unauthenticated", unauthenticated()),
        ("minute", minute()),
        ("day", day()),
        ("overloaded", overloaded()),
        ("internal", error(500, "An internal error has occurred.", "INTERNAL", "")),
        ("bad gateway", Canned::json(502, "<html>")),
        ("deadline", error(504, "Deadline expired.", "DEADLINE_EXCEEDED", "")),
        ("closed model", error(404, "This model is no longer available to new users.", "NOT_FOUND", "")),
        ("refused", Canned::nothing(End::Refused)),
        ("no answer", Canned::nothing(End::Broken)),
        ("silence", Canned::nothing(End::Silence)),
        ("empty 200", Canned::json(200, "").ending(End::Complete)),
    ] {
        check_second_helps(what, &first);
    }
}

#[test]
fn a_200_that_is_no_answer_fails_over_too() {
    let error = r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;
    let empty =
        r#"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP"}]}"#;
    let disabled = r#"{"candidates":[{"finishReason":"PUP_LIMITED_DISABLED"}]}"#;
    for call in calls() {
        let is_sse = good(&call).content_type == "text/event-stream";
        let is_array = call.path.ends_with("streamGenerateContent");
        let wrap = |json: &str| match (is_sse, is_array) {
            (true, _) => Canned::sse(format!("data: {json}\r\n\r\n")),
            (_, true) => Canned::json(200, format!("[{json}]")),
            _ => Canned::json(200, json.to_owned()),
        };
        let mut firsts =
            vec![wrap(error), wrap(empty), wrap(disabled), wrap(GOOD).ending(End::Broken).cut_at(&[40])];
        firsts[3].chunks.truncate(1);
        if is_sse {
            firsts.push(Canned::sse(error.to_owned()));
            firsts.push(Canned::sse(format!("data: {empty}\r\n\r\n")).ending(End::Broken));
        }
        for first in firsts {
            let mut harness = Harness::new(config(&["first", "second"]));
            let seen = harness.send(&call, |request| {
                if request.headers()["x-goog-api-key"] == "first" { first.clone() } else { good(&call) }
            });
            assert_eq!(seen.calls, ["first", "second"], "{first:?} {}", call.path);
            assert!(seen.text().contains("Hello"), "{first:?} {}", call.path);
        }
    }
}

#[test]
fn a_fault_of_the_request_is_told_at_once_as_google_wrote_it() {
    for (what, answer) in [
        ("bad request", bad_request()),
        ("no such model", error(404, "models/x is not found for API version v1beta.", "NOT_FOUND", "")),
        ("too large", error(413, "Request too large.", "INVALID_ARGUMENT", "")),
        (
            "foreign file",
            error(
                403,
                "You do not have permission to access the File abc or it may not exist.",
                "PERMISSION_DENIED",
                "",
            ),
        ),
        (
            "location",
            error(400, "User location is not supported for the API use.", "FAILED_PRECONDITION", ""),
        ),
    ] {
        for call in calls() {
            let mut harness = Harness::new(config(&["first", "second"]));
            let seen = harness.send(&call, |_| answer.clone());
            assert_eq!(seen.calls, ["first"], "{what} {}", call.path);
            assert_eq!(seen.status, answer.status, "{what} {}", call.path);
            if !call.path.contains("chat") {
                assert_eq!(seen.body, answer.chunks[0], "{what} {}", call.path);
            }
            let again = harness.send(&call, |_| good(&call));
            let again_first = harness.send(&call, |_| good(&call));
            assert_eq!(
                [&again.calls[0], &again_first.calls[0]],
                ["second", "first"],
                "{what}: a key paid for it"
            );
        }
    }
}

#[test]
fn a_blocked_prompt_is_an_answer() {
    let blocked = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{}}"#;
    let mut harness = Harness::new(config(&["first", "second"]));
    let seen = harness.send(&Call::native(), |_| Canned::json(200, blocked));
    assert_eq!((seen.calls.len(), seen.text()), (1, blocked));
    let seen = harness.send(&Call::native_stream(), |_| Canned::sse(format!("data: {blocked}\r\n\r\n")));
    assert_eq!((seen.calls.len(), seen.text()), (1, format!("data: {blocked}\r\n\r\n").as_str()));
}

#[test]
fn a_bad_key_is_not_used_again_and_a_limited_one_rests() {
    let mut harness = Harness::new(config(&["leaked", "invalid", "minute", "day", "good"]));
    let answer = |key: &str| match key {
        "leaked" => leaked(),
        "invalid" => invalid(),
        "minute" => minute(),
        "day" => day(),
        _ => Canned::json(200, GOOD),
    };
    let send = |harness: &mut Harness| {
        harness.send(&Call::native(), |request| {
            answer(request.headers()["x-goog-api-key"].to_str().expect("ASCII"))
        })
    };
    let seen = send(&mut harness);
    assert_eq!(seen.calls, ["leaked", "invalid", "minute", "day", "good"]);
    let set_aside: Vec<Why> = seen
        .events
        .iter()
        .filter_map(|event| match event {
            Event::SetAside { why, .. } => Some(*why),
            _ => None,
        })
        .collect();
    assert_eq!(set_aside, [Why::Leaked, Why::Invalid]);
    assert_eq!(send(&mut harness).calls, ["good"]);
    harness.now = START + Duration::from_secs(29);
    assert_eq!(send(&mut harness).calls, ["good"], "Google said 30 s");
    harness.now = START + Duration::from_secs(31);
    assert_eq!(send(&mut harness).calls, ["minute", "good"]);
    harness.now = START + Duration::from_secs(24 * 3600 - 60);
    assert!(!send(&mut harness).calls.contains(&"day".to_owned()), "a day ends at midnight Pacific");
    harness.now = START + Duration::from_secs(24 * 3600);
    assert!(send(&mut harness).calls.contains(&"day".to_owned()));
}

#[test]
fn when_all_fail_the_truest_error_is_told_with_the_time_to_wait() {
    let check = |answers: &[(&'static str, Canned)], call: Call, status: u16, retry_after: Option<u64>| {
        let keys: Vec<&str> = answers.iter().map(|(key, _)| *key).collect();
        let mut harness = Harness::new(config(&keys));
        let seen = harness.send(&call, |request| {
            let key = request.headers()["x-goog-api-key"].to_str().expect("ASCII");
            answers.iter().find(|(name, _)| *name == key).expect("a pool key").1.clone()
        });
        assert_eq!(seen.status, status, "{keys:?}: {}", seen.text());
        let wait: Option<u64> = seen.header("retry-after").map(|wait| wait.parse().expect("seconds"));
        match (wait, retry_after) {
            (Some(wait), Some(expected)) => {
                assert!((expected..=expected + 1).contains(&wait), "{keys:?}: {wait}")
            }
            (wait, expected) => assert_eq!(wait, expected, "{keys:?}"),
        }
        assert!(!seen.text().contains("pool-"), "a key in {}", seen.text());
        seen
    };
    check(&[("pool-1", minute()), ("pool-2", day())], Call::native(), 429, Some(30));
    check(&[("pool-1", day()), ("pool-2", overloaded())], Call::chat(), 429, Some(1));
    check(&[("pool-1", day())], Call::chat(), 429, Some(24 * 3600));
    check(&[("pool-1", leaked()), ("pool-2", invalid())], Call::native(), 503, None);
    let seen = check(&[("pool-1", invalid())], Call::chat(), 503, None);
    assert!(seen.text().contains("\"code\":\"service_unavailable\""), "{}", seen.text());
    check(&[("pool-1", Canned::nothing(End::Silence))], Call::chat_stream(), 504, None);
    check(&[("pool-1", Canned::nothing(End::Refused))], Call::native(), 502, Some(1));
}

#[test]
fn a_key_that_failed_is_never_tried_again_in_the_same_request() {
    for keys in 1..=12_usize {
        let names: Vec<String> = (0..keys).map(|key| format!("key{key}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut harness = Harness::new(config(&names));
        let seen = harness.send(&Call::native(), |_| day());
        let mut different = seen.calls.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(seen.calls.len(), keys.min(10), "every key once, at most ten");
        assert_eq!(different.len(), seen.calls.len());
    }
    let limited = libra_core::config::Config { max_attempts: Some(2), ..config(&["a", "b", "c"]) };
    let seen = Harness::new(limited).send(&Call::native(), |_| day());
    assert_eq!(seen.calls.len(), 2);
}

#[test]
fn a_time_out_costs_one_more_attempt_and_no_more() {
    let mut harness = Harness::new(config(&["a", "b", "c", "d"]));
    let seen = harness.send(&Call::native_stream(), |_| Canned::nothing(End::Silence));
    assert_eq!((seen.status, seen.calls.len(), seen.took.as_secs()), (504, 2, 90));
    let seen = harness.send(&Call::native().with("x-server-timeout", "7"), |_| Canned::nothing(End::Silence));
    assert_eq!((seen.status, seen.calls.len(), seen.took.as_secs()), (504, 2, 14));
}

#[test]
fn a_stale_connection_is_nobodys_fault() {
    let mut harness = Harness::new(config(&["first", "second"]));
    let mut answers = [Canned::nothing(End::Stale), Canned::json(200, GOOD)].into_iter();
    let seen = harness.send(&Call::native(), |_| answers.next().expect("two calls"));
    assert_eq!((seen.status, &seen.calls[..]), (200, &["first".to_owned(), "first".to_owned()][..]));
    assert!(!seen.events.iter().any(|event| matches!(event, Event::AttemptFailed { .. })));
    let mut harness = Harness::new(config(&["first", "second"]));
    let seen =
        harness.send(&Call::native(), |request| match request.headers()["x-goog-api-key"] == "first" {
            true => Canned::nothing(End::Stale),
            false => Canned::json(200, GOOD),
        });
    assert_eq!((seen.status, seen.calls.len()), (200, 5), "stale again and again is no accident");
}

#[test]
fn a_short_rest_is_waited_out_and_a_long_one_is_not() {
    let quota = |delay| {
        error(
            429,
            "Quota.",
            "RESOURCE_EXHAUSTED",
            &quota("GenerateRequestsPerMinutePerProjectPerModel", "10", delay),
        )
    };
    let mut harness = Harness::new(config(&["only"]));
    assert_eq!(harness.send(&Call::chat(), |_| quota("2s")).status, 429);
    let seen = harness.send(&Call::chat(), |_| Canned::json(200, GOOD));
    assert_eq!((seen.status, seen.took.as_secs()), (200, 2));
    assert_eq!(harness.send(&Call::chat(), |_| quota("9s")).status, 429);
    let seen = harness.send(&Call::chat(), |_| Canned::json(200, GOOD));
    assert_eq!((seen.status, seen.calls.len(), seen.took.as_secs()), (429, 0, 0), "at once, without a call");
    assert!(matches!(seen.header("retry-after"), Some("9" | "10")));
}

#[test]
fn several_keys_of_a_client_are_its_pool() {
    let closed = libra_core::config::Config { client_keys: ClientKeys::Deny, ..config(&["pool"]) };
    let call = Call::native().without_key().with("x-goog-api-key", "own-bad,own-good");
    assert_eq!(Harness::new(closed).send(&call, |_| Canned::json(200, GOOD)).status, 401);

    let mut harness = Harness::new(config(&["pool"]));
    let answer =
        |request: &http::Request<_>| match request.headers()["x-goog-api-key"].to_str().expect("ASCII") {
            "own-bad" => invalid(),
            "own-good" => Canned::json(200, GOOD),
            other => panic!("{other} went upstream"),
        };
    let seen = harness.send(&call, answer);
    assert_eq!((seen.status, &seen.calls[..]), (200, &["own-bad".to_owned(), "own-good".to_owned()][..]));
    assert_eq!(harness.send(&call, answer).calls, ["own-good"], "bad keys are remembered");

    let only_bad = Call::native().without_key().with("x-goog-api-key", "own-bad,own-bad2");
    let seen = harness.send(&only_bad, |_| invalid());
    assert_eq!(
        (seen.status, seen.body),
        (400, invalid().chunks[0].to_vec()),
        "Google's own word, for its own keys"
    );

    let mixed = Call::native().without_key().with("x-goog-api-key", "own-good, client-key");
    assert_eq!(
        harness.send(&mixed, |_| Canned::json(200, GOOD)).calls,
        ["pool"],
        "a trusted key opens the pool"
    );
}

#[test]
fn a_custom_service_takes_over_when_the_pool_is_exhausted() {
    let custom = CustomLlm {
        base_url: "https://llm.example/v1".parse().expect("a URL"),
        api_key: Some(ApiKey::new("custom")),
        models: vec![wildmatch::WildMatch::new("deepseek-*")],
        model: Some("stand-in".to_owned()),
    };
    let config = libra_core::config::Config { custom_llm: Some(custom), ..config(&["first"]) };
    let theirs = r#"{"object":"chat.completion","choices":[]}"#;
    let upstream = |request: &http::Request<Option<bytes::Bytes>>| match request.uri().host() {
        Some("llm.example") => {
            assert!(!request.headers().contains_key("x-goog-api-key"), "a pool key went elsewhere");
            Canned::json(201, theirs)
        }
        _ => day(),
    };
    let mut harness = Harness::new(config);
    let seen = harness.send(&Call::chat(), |request| {
        if request.uri().host() == Some("llm.example") {
            let body = request.body().as_ref().expect("a body");
            assert!(body.windows(18).any(|part| part == br#""model":"stand-in""#), "{body:?}");
        }
        upstream(request)
    });
    assert_eq!((seen.status, seen.text(), seen.calls.len()), (201, theirs, 2));
    let listed = Call::post(
        "/v1/chat/completions",
        r#"{"model":"deepseek-chat","messages":[{"role":"user","content":"Hi"}]}"#,
    );
    let seen = harness.send(&listed, upstream);
    assert_eq!((seen.status, &seen.calls[..]), (201, &["Bearer custom".to_owned()][..]));
    assert_eq!(harness.send(&Call::native(), upstream).status, 429, "only chats are taken over");
    let own = Call::post("/v1/chat/completions", listed.body.clone()).without_key().with("x-api-key", "x,y");
    let seen = harness.send(&own, |_| {
        error(404, "models/deepseek-chat is not found for API version v1beta.", "NOT_FOUND", "")
    });
    assert_eq!(seen.status, 404, "the service is for trusted clients only");
}

#[test]
fn every_end_is_an_event() {
    let mut harness = Harness::new(config(&["first"]));
    let ending = |seen: &harness::Seen| match seen.events.last() {
        Some(Event::Finished(end)) => end.ending,
        other => panic!("{other:?}"),
    };
    assert_eq!(ending(&harness.send(&Call::chat(), |_| Canned::json(200, GOOD))), Ending::Complete);
    assert_eq!(ending(&harness.send(&Call::chat(), |_| bad_request())), Ending::Refused);
    let stream = Canned::sse(format!("data: {GOOD}\r\n\r\n"));
    assert_eq!(ending(&harness.send(&Call::native_stream(), |_| stream.clone())), Ending::Complete);
    let text = stream.chunks[0].slice(..);
    let cut = String::from_utf8(text.to_vec()).expect("UTF-8").replace(r#","finishReason":"STOP""#, "");
    assert_eq!(ending(&harness.send(&Call::native_stream(), |_| Canned::sse(cut.clone()))), Ending::Cut);
}

#[test]
fn an_end_tells_how_it_went() {
    let mut harness = Harness::new(config(&["first", "second"]));
    let stream = Canned::sse(format!("data: {GOOD}\r\n\r\n"));
    let mut asked = 0;
    let seen = harness.send(&Call::native_stream(), |_| {
        asked += 1;
        if asked == 1 { minute() } else { stream.clone() }
    });
    let Some(Event::Finished(end)) = seen.events.last() else { panic!("{:?}", seen.events) };
    let course = &end.course;
    assert!(course.streams && course.first_byte.is_some_and(|first| first <= end.elapsed), "{course:?}");
    let [failed, served] = course.attempts.as_slice() else { panic!("{course:?}") };
    assert!(
        matches!(failed.result, AttemptResult::Failed { class: Class::QuotaMinute, rests: Some(_), .. }),
        "{failed:?}"
    );
    assert_eq!((served.result, served.key), (AttemptResult::Served, end.key));
    assert!(failed.ended <= Some(served.began) && served.ended.is_some(), "{course:?}");
}
