//! What clients may use, through the whole gateway: refusals in every dialect, heads, counts, shares, and what a client
//! sees of itself.

mod harness;

use std::time::Duration;

use harness::{CLIENT, Call, Canned, End, Harness, START, Seen, config};
use libra_core::clients::{Client, ClientSettings, HashKey, Limit};
use libra_core::config::{Config, ModelLimits, Price, ProjectSettings, Strategy, Tier};
use libra_core::event::Event;
use libra_core::gateway::Gateway;
use libra_core::secret::ApiKey;
use libra_core::time::Timestamp;
use serde_json::{Value, json};
use wildmatch::WildMatch;

const OTHER: &str = "another-client";
const DAY: u64 = 86_400;

/// An answer that has used 40 tokens of input and 60 of output.
const ANSWER: &str = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":40,"candidatesTokenCount":60,"totalTokenCount":100}}"#;

fn good() -> Canned {
    Canned::json(200, ANSWER)
}

fn stream() -> Canned {
    Canned::sse(format!("data: {ANSWER}\r\n\r\n"))
}

fn settings(value: Value) -> ClientSettings {
    ClientSettings::read(value).expect("good settings")
}

/// Two pool keys; one client with these settings, and prices of 1 and 2.
fn limited(value: Value) -> Config {
    let client = Client::new(ApiKey::new(CLIENT), settings(value));
    Config {
        clients: [client].into_iter().collect(),
        prices: vec![Price { models: WildMatch::new("*"), input: 1.0, output: 2.0 }],
        ..config(&["one", "two"])
    }
}

fn calls() -> [Call; 3] {
    [Call::native(), Call::chat(), Call::post("/v1/messages", MESSAGE)]
}

const MESSAGE: &str =
    r#"{"model":"gemini-2.5-flash","max_tokens":100,"messages":[{"role":"user","content":"Hi"}]}"#;

fn json_of(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap_or_else(|_| panic!("{}", seen.text()))
}

/// `error.status`, `type` and `code`: whatever the dialect has.
fn named(seen: &Seen) -> String {
    let error = &json_of(seen)["error"];
    let word = |name: &str| error[name].as_str().map(str::to_owned);
    [word("status"), word("type"), word("code")].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn used(harness: &Harness) -> Value {
    let seen = harness_me(harness, "/me");
    json_of(&seen)
}

fn harness_me(harness: &Harness, path: &str) -> Seen {
    let mut harness = Harness::at(harness.gateway.clone(), harness.now);
    harness.send(&Call::get(path), |_| panic!("nothing goes up"))
}

#[test]
fn every_limit_is_told_in_every_dialect_and_the_wait_is_true() {
    // What is said, and how long it is to the end of it: a minute, a day, or for ever.
    let check = |limit: Value, is_budget: bool, wait: Option<u64>| {
        for call in calls() {
            let mut harness = Harness::new(limited(limit.clone()));
            assert_eq!(harness.send(&call, |_| good()).status, 200, "{limit}");
            harness.now = harness.now + Duration::from_millis(500);
            let refused = harness.send(&call, |_| panic!("nothing goes up"));
            assert_eq!(refused.status, 429, "{limit} {}", refused.text());
            assert_eq!(
                refused.header("retry-after"),
                wait.map(|wait| wait.to_string()).as_deref(),
                "{limit}"
            );
            let expected = match call.path.as_str() {
                "/v1/messages" => "rate_limit_error",
                "/v1/chat/completions" if is_budget => "insufficient_quota insufficient_quota",
                "/v1/chat/completions" => "rate_limit_error rate_limit_exceeded",
                _ => "RESOURCE_EXHAUSTED",
            };
            assert_eq!(named(&refused), expected, "{limit}");
            if call.path.starts_with("/v1beta") {
                let delay = &json_of(&refused)["error"]["details"][0]["retryDelay"];
                assert_eq!(delay.as_str().map(str::to_owned), wait.map(|wait| format!("{wait}s")), "{limit}");
            }
            let Some(wait) = wait else { continue };
            harness.now = harness.now + Duration::from_secs(wait - 1);
            assert_eq!(harness.send(&call, |_| good()).status, 429, "{limit}: not earlier");
            harness.now = harness.now + Duration::from_secs(1);
            assert_eq!(harness.send(&call, |_| good()).status, 200, "{limit}: but then");
        }
    };
    // A second's slot leaves a minute after its end.
    check(json!({ "requests_per_minute": 1 }), false, Some(61));
    check(json!({ "tokens_per_minute": 100 }), false, Some(61));
    check(json!({ "requests_per_day": 1 }), false, Some(DAY));
    check(json!({ "tokens_per_day": 100 }), false, Some(DAY));
    // 40 of input and 60 of output cost 160 millionths.
    check(json!({ "cost_per_day": 0.00016 }), true, Some(DAY));
    check(json!({ "cost_per_month": 0.00016 }), true, Some(17 * DAY));
    check(json!({ "tokens_per_month": 100 }), true, Some(17 * DAY));
    check(json!({ "tokens_in_total": 100 }), true, None);
    check(json!({ "cost_in_total": 0.00016 }), true, None);
}

#[test]
fn what_a_key_does_not_open_is_named() {
    let check = |settings: Value, call: &Call, status: u16, word: &str| {
        let mut harness = Harness::new(limited(settings.clone()));
        let seen = harness.send(call, |_| panic!("nothing goes up"));
        assert_eq!(seen.status, status, "{settings} {}", seen.text());
        assert!(seen.text().contains(word), "{settings} {}", seen.text());
    };
    let [native, chat, message] = calls();
    check(json!({ "expires": START.rfc3339() }), &native, 401, "expired at 2027-01-15T08:00:00Z");
    check(json!({ "expires": START.rfc3339() }), &chat, 401, "authentication_error");
    check(json!({ "paused": true }), &message, 403, "permission_error");
    check(json!({ "models": "gemini-*-pro" }), &native, 403, "may not use the model gemini-2.5-flash");
    check(json!({ "models": "gemini-*-pro" }), &chat, 403, "may not use the model gemini-2.5-flash");
    check(json!({ "dialects": ["openai"] }), &native, 403, "Gemini's protocol");
    check(json!({ "dialects": ["openai"] }), &message, 403, "Anthropic's protocol");
    check(json!({ "addresses": ["192.0.2.0/24"] }), &chat, 403, "may not be used from 127.0.0.1");
    let batch = Call::post("/v1beta/models/gemini-2.5-flash:batchGenerateContent", "{}");
    check(json!({ "tokens_per_day": 5 }), &batch, 403, "batch");
    check(json!({ "requests_per_day": 0 }), &native, 429, "RESOURCE_EXHAUSTED");
    check(json!({ "tokens_per_minute": 3 }), &chat, 429, "This request needs about");
    let open = json!({
        "expires": (START + Duration::from_secs(1)).rfc3339(), "models": ["gpt-4o", "*-flash"],
        "dialects": ["gemini"], "addresses": "loopback",
    });
    assert_eq!(Harness::new(limited(open)).send(&native, |_| good()).status, 200);
    // The name that the client uses counts as well as the one that serves.
    let alias = Call::post(
        "/v1/chat/completions",
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}"#,
    );
    assert_eq!(Harness::new(limited(json!({ "models": "gpt-4o" }))).send(&alias, |_| good()).status, 200);
}

#[test]
fn lists_have_the_models_that_the_client_may_use() {
    const LIST: &str = r#"{"models":[{"name":"models/gemini-2.5-pro"},{"name":"models/gemini-2.5-flash"}]}"#;
    let mut harness = Harness::new(Config {
        clients: [
            Client::new(ApiKey::new(CLIENT), settings(json!({ "models": "*-flash" }))),
            Client::new(ApiKey::new(OTHER), ClientSettings::default()),
        ]
        .into_iter()
        .collect(),
        ..config(&["one"])
    });
    for path in ["/v1/models", "/v1beta/models"] {
        let all = harness
            .send(&Call::get(path).without_key().with("x-api-key", OTHER), |_| Canned::json(200, LIST));
        assert!(all.text().contains("pro") && all.text().contains("flash"), "{}", all.text());
        let own = harness.send(&Call::get(path), |_| Canned::json(200, LIST));
        assert!(!own.text().contains("pro") && own.text().contains("flash"), "{path} {}", own.text());
    }
}

#[test]
fn heads_say_what_is_left() {
    let limits = json!({ "requests_per_minute": 10, "requests_per_day": 5, "tokens_per_minute": 1_000 });
    let mut harness = Harness::new(limited(limits));
    let [_, chat, message] = calls();
    let seen = harness.send(&chat, |_| good());
    assert_eq!(seen.header("x-ratelimit-limit-requests"), Some("5"));
    assert_eq!(seen.header("x-ratelimit-remaining-requests"), Some("4"));
    assert_eq!(seen.header("x-ratelimit-reset-requests"), Some("24h0m0s"));
    assert_eq!(seen.header("x-ratelimit-limit-tokens"), Some("1000"));
    let left = |seen: &Seen, name: &str| seen.header(name).and_then(|value| value.parse::<u64>().ok());
    assert!(left(&seen, "x-ratelimit-remaining-tokens").is_some_and(|left| (900..1_000).contains(&left)));
    assert_eq!(seen.header("x-ratelimit-reset-tokens"), Some("1m1s"));
    let seen = harness.send(&message, |_| good());
    assert_eq!(seen.header("anthropic-ratelimit-requests-limit"), Some("5"));
    assert_eq!(seen.header("anthropic-ratelimit-requests-remaining"), Some("3"));
    assert_eq!(seen.header("anthropic-ratelimit-requests-reset"), Some("2027-01-16T08:00:00Z"));
    assert!(
        left(&seen, "anthropic-ratelimit-tokens-remaining").is_some_and(|left| (800..900).contains(&left))
    );
    let seen = harness.send(&Call::chat_stream(), |_| stream());
    assert_eq!(seen.header("x-ratelimit-remaining-requests"), Some("2"));
    (0..2).for_each(|_| assert_eq!(harness.send(&Call::native(), |_| good()).status, 200));
    let refused = harness.send(&chat, |_| good());
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    let plain = Harness::new(config(&["one"])).send(&chat, |_| good());
    assert_eq!(plain.header("x-ratelimit-limit-requests"), None);
}

#[test]
fn a_request_counts_once_whatever_it_takes() {
    let day = |harness: &Harness| {
        let used = used(harness);
        (
            used["used"]["day"]["requests"].clone(),
            used["used"]["day"]["tokens"].clone(),
            used["concurrent_requests"]["used"].clone(),
        )
    };
    let mut harness = Harness::new(limited(json!({ "requests_per_day": 10, "tokens_per_day": 10_000 })));
    // The first key fails, the second serves.
    let mut answers =
        vec![good(), Canned::json(500, r#"{"error":{"code":500,"message":"x","status":"INTERNAL"}}"#)];
    let seen = harness.send(&Call::native(), |_| answers.pop().expect("two attempts"));
    assert_eq!((seen.status, seen.calls.len()), (200, 2));
    assert_eq!(day(&harness), (json!(1), json!(100), json!(0)));
    // A stream, whole.
    harness.send(&Call::native_stream(), |_| stream());
    assert_eq!(day(&harness), (json!(2), json!(200), json!(0)));
    // One that the gateway itself refuses costs nothing.
    let wrong = Call::post("/v1/chat/completions", "{}");
    assert_eq!(harness.send(&wrong, |_| good()).status, 400);
    assert_eq!(day(&harness), (json!(2), json!(200), json!(0)));
    // One that was sent counts, and no tokens where there is no answer.
    let refused = Canned::json(400, r#"{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}"#);
    assert_eq!(harness.send(&Call::native(), |_| refused.clone()).status, 400);
    assert_eq!(day(&harness), (json!(3), json!(200), json!(0)));
    // What was sent of a stream that is cut was used.
    let cut = Canned { chunks: stream().chunks, ..Canned::nothing(End::Broken) };
    let cut = Canned { status: 200, content_type: "text/event-stream", ..cut };
    harness.send(&Call::native_stream(), |_| cut.clone());
    assert_eq!(day(&harness).0, json!(4));
    // A question for the number of tokens is a request, and uses none.
    let count = Call::post(
        "/v1beta/models/gemini-2.5-flash:countTokens",
        &br#"{"contents":[{"parts":[{"text":"Hi"}]}]}"#[..],
    );
    harness.send(&count, |_| Canned::json(200, r#"{"totalTokens":2}"#));
    let (requests, tokens, _) = day(&harness);
    assert_eq!((requests, tokens), (json!(5), json!(300)));
}

#[test]
fn parts_count_each_and_are_refused_together() {
    let texts = |count: usize| {
        let texts: Vec<String> = (0..count).map(|number| format!("{number}")).collect();
        Call::post("/v1/embeddings", json!({ "model": "gemini-embedding-001", "input": texts }).to_string())
    };
    let vectors = |request: &http::Request<Option<bytes::Bytes>>| {
        let body: Value = serde_json::from_slice(request.body().as_ref().expect("a body")).expect("JSON");
        let count = body["requests"].as_array().map_or(1, Vec::len);
        Canned::json(200, json!({ "embeddings": vec![json!({ "values": [1.0, 0.0] }); count] }).to_string())
    };
    let mut harness = Harness::new(limited(json!({ "requests_per_day": 4 })));
    let seen = harness.send(&texts(250), vectors);
    assert_eq!((seen.status, seen.calls.len()), (200, 3), "{}", seen.text());
    assert_eq!(used(&harness)["used"]["day"]["requests"], 3);
    assert_eq!(harness.send(&texts(250), vectors).status, 429, "three do not fit any more");
    assert_eq!(harness.send(&texts(1), vectors).status, 200, "and have taken nothing");
    assert_eq!(used(&harness)["limits"][0]["remaining"], 0);
    assert_eq!(used(&harness)["concurrent_requests"]["used"], 0);
}

#[test]
fn places_are_given_back() {
    let mut harness = Harness::new(limited(json!({ "concurrent_requests": 1 })));
    let mut exchange = harness.exchange(&Call::native());
    let refused = harness.send(&Call::chat(), |_| good());
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    exchange.abandon(harness.now);
    drop(exchange);
    assert_eq!(harness.send(&Call::chat_stream(), |_| stream()).status, 200);
    assert_eq!(harness.send(&Call::get("/v1beta/files"), |_| Canned::json(200, "{}")).status, 200);
    assert_eq!(harness.send(&Call::chat(), |_| good()).status, 200);
}

#[test]
fn counts_outlive_restarts_and_other_settings() {
    let limits = limited(json!({ "requests_per_day": 2, "name": "one" }));
    let mut harness = Harness::new(limits.clone());
    assert_eq!(harness.send(&Call::native(), |_| good()).status, 200);
    let changes = harness.gateway.take_changes();
    harness.gateway.reconfigure(limits.clone(), harness.now);
    assert_eq!(harness.send(&Call::native(), |_| good()).status, 200);
    harness.gateway.reconfigure(limited(json!({ "requests_per_day": 3 })), harness.now);
    assert_eq!(harness.send(&Call::native(), |_| good()).status, 200);
    assert_eq!(harness.send(&Call::native(), |_| good()).status, 429);
    let mut after = Harness::new(limits);
    after.gateway.apply(&changes, START);
    after.gateway.apply(&changes, START);
    assert_eq!(after.send(&Call::native(), |_| good()).status, 200);
    assert_eq!(after.send(&Call::native(), |_| good()).status, 429);
}

#[test]
fn a_stored_client_comes_in_by_its_hash() {
    let (key, by) = (ApiKey::new(CLIENT), HashKey::new([3; 32]));
    let stored = Client::stored(key.id(), by.hash(&key), settings(json!({ "requests_per_day": 1 })));
    let mut config = config(&["one"]);
    config.clients = [stored].into_iter().collect();
    config.clients.set_hash_key(by);
    let mut harness = Harness::new(config);
    assert_eq!(harness.send(&Call::native(), |_| good()).status, 200);
    assert_eq!(harness.send(&Call::native(), |_| good()).status, 429);
    assert_eq!(
        harness.send(&Call::native().without_key().with("x-api-key", "wrong"), |_| good()).status,
        401
    );
}

/// One project that may serve a hundred requests a day, and two clients.
fn short(fair_shares: bool, [first, second]: [Value; 2]) -> Config {
    let client = |key: &str, value: Value| Client::new(ApiKey::new(key), settings(value));
    let mut config = config(&["one"]);
    config.keys[0].project = Some("p".to_owned());
    Config {
        clients: [client(CLIENT, first), client(OTHER, second)].into_iter().collect(),
        projects: vec![ProjectSettings {
            tier: Tier::Free,
            limits: vec![ModelLimits {
                models: WildMatch::new("*"),
                requests_per_minute: None,
                tokens_per_minute: None,
                requests_per_day: Some(100),
            }],
            ..ProjectSettings::new("p")
        }],
        fair_shares,
        strategy: Strategy::Headroom,
        ..config
    }
}

#[test]
fn nobody_takes_the_day_before_the_others_wake() {
    let others = Call::native().without_key().with("x-goog-api-key", OTHER);
    let served = |harness: &mut Harness, call: &Call, most: usize| {
        (0..most).take_while(|_| harness.send(call, |_| good()).status == 200).count()
    };
    let plain = || [json!({}), json!({})];
    let mut harness = Harness::new(short(true, plain()));
    assert_eq!(harness.send(&others, |_| good()).status, 200, "it was seen");
    assert_eq!(served(&mut harness, &Call::native(), 200), 50);
    let refused = harness.send(&Call::native(), |_| panic!("nothing goes up"));
    let wait = refused.header("retry-after").and_then(|wait| wait.parse::<u64>().ok()).expect("a wait");
    assert!(refused.text().contains("LIBRA_FAIR_SHARES") && wait > 0, "{}", refused.text());
    harness.now = harness.now + Duration::from_secs(wait - 1);
    assert_eq!(harness.send(&Call::native(), |_| good()).status, 429, "not earlier");
    harness.now = harness.now + Duration::from_secs(1);
    assert_eq!(harness.send(&Call::native(), |_| good()).status, 200, "but then");
    assert_eq!(served(&mut harness, &others, 200), 48, "the rest");
    let told = harness.gateway.take_events();
    let limited =
        told.iter().filter(|event| matches!(event, Event::ClientLimited { limit: Limit::FairShare, .. }));
    assert_eq!(limited.count(), 1);
    // Where it is switched off, or the other was never seen, all of it is there.
    let mut off = Harness::new(short(false, plain()));
    assert_eq!(off.send(&others, |_| good()).status, 200);
    assert_eq!(served(&mut off, &Call::native(), 200), 99);
    assert_eq!(served(&mut Harness::new(short(true, plain())), &Call::native(), 200), 100);
    // What is reserved is kept for somebody who was never seen.
    let mut reserved = Harness::new(short(true, [json!({}), json!({ "reserve": 30 })]));
    assert_eq!(served(&mut reserved, &Call::native(), 200), 70);
    assert_eq!(served(&mut reserved, &others, 200), 30);
}

#[test]
fn wrong_keys_are_slowed_down_and_good_ones_never() {
    let mut harness = Harness::new(config(&["one"]));
    let wrong =
        |number: usize| Call::chat().without_key().with("authorization", &format!("Bearer wrong-{number}"));
    let seen: Vec<u16> = (0..25).map(|number| harness.send(&wrong(number), |_| good()).status).collect();
    assert!(
        seen[..20].iter().all(|status| *status == 401) && seen[20..].iter().all(|status| *status == 429),
        "{seen:?}"
    );
    let slowed = harness.send(&wrong(30), |_| good());
    assert_eq!(slowed.header("retry-after"), Some("6"));
    assert_eq!(harness.send(&Call::chat(), |_| good()).status, 200);
    assert_eq!(harness.send(&Call::chat().without_key(), |_| good()).status, 401, "no key is no guess");
    harness.now = harness.now + Duration::from_secs(6);
    assert_eq!(harness.send(&wrong(30), |_| good()).status, 401);
}

#[test]
fn a_client_sees_itself_and_nobody_else() {
    let limits = json!({ "name": "team a", "requests_per_day": 10, "cost_per_day": 1.0, "cost_in_total": 0.01, "models": ["*-flash"] });
    let mut config = limited(limits);
    config.clients.insert(Client::new(ApiKey::new(OTHER), settings(json!({ "name": "team b" }))));
    let mut harness = Harness::new(config);
    assert_eq!(harness.send(&Call::native(), |_| good()).status, 200);
    let me = used(&harness);
    assert_eq!(
        (&me["name"], &me["models"], &me["expires"]),
        (&json!("team a"), &json!(["*-flash"]), &Value::Null)
    );
    assert_eq!(
        me["limits"][0],
        json!({ "limit": "requests_per_day", "of": 10, "used": 1, "remaining": 9, "resets": "2027-01-16T08:00:00Z" })
    );
    let total = json!({ "limit": "cost_in_total", "of": 0.01, "used": 0.00016, "remaining": 0.00984, "resets": null });
    assert_eq!(me["limits"][2], total);
    assert_eq!(
        me["used"]["month"],
        json!({ "requests": 1, "tokens": 100, "cost": 0.00016, "resets": "2027-02-01T08:00:00Z" })
    );
    assert!(!me.to_string().contains("team b"));
    for prefix in ["/v1/dashboard/billing", "/dashboard/billing"] {
        let subscription = json_of(&harness_me(&harness, &format!("{prefix}/subscription")));
        assert_eq!(
            (&subscription["hard_limit_usd"], &subscription["access_until"]),
            (&json!(0.01), &json!(0))
        );
        let usage = json_of(&harness_me(
            &harness,
            &format!("{prefix}/usage?start_date=2027-01-01&end_date=2027-02-01"),
        ));
        assert_eq!(usage, json!({ "object": "list", "total_usage": 0.016 }));
    }
    for header in ["x-goog-api-key", "x-api-key"] {
        let other =
            harness.send(&Call::get("/me").without_key().with(header, OTHER), |_| panic!("nothing goes up"));
        assert_eq!(json_of(&other)["name"], "team b");
        assert_eq!(json_of(&other)["used"]["total"]["requests"], 0);
        assert!(!other.text().contains("team a") && !other.text().contains(OTHER));
    }
    let unlimited = Call::get("/v1/dashboard/billing/subscription").without_key().with("x-api-key", OTHER);
    let unlimited = harness.send(&unlimited, |_| panic!("nothing goes up"));
    assert_eq!(json_of(&unlimited)["hard_limit_usd"], 100_000_000.0);
    let stranger = Call::get("/me").without_key().with("x-api-key", "stranger");
    assert_eq!(harness.send(&stranger, |_| panic!("nothing goes up")).status, 401);
    assert_eq!(harness.send(&Call::post("/me", ""), |_| panic!("nothing goes up")).status, 405);
}

#[test]
fn with_a_single_client_nothing_changes() {
    let mut config = short(true, [json!({}), json!({})]);
    config.clients = [ApiKey::new(CLIENT)].into_iter().collect();
    let mut harness = Harness::new(config);
    let served = (0..200).take_while(|_| harness.send(&Call::native(), |_| good()).status == 200).count();
    assert_eq!(served, 100);
    assert_eq!(harness.gateway.take_events(), []);
}

#[test]
fn the_end_of_time_harms_nobody() {
    let gateway = Gateway::new(limited(json!({ "requests_per_minute": 1, "cost_per_month": 1.0 })), 1);
    let mut harness = Harness::at(gateway, Timestamp::from_millis(u64::MAX / 2));
    assert_eq!(harness.send(&Call::native(), |_| good()).status, 200);
    assert_eq!(harness.send(&Call::native(), |_| good()).status, 429);
}
