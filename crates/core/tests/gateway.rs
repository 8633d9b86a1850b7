//! The gateway's own answers: who is let in, what is refused from the head alone, models, CORS, verification.

mod harness;

use std::net::IpAddr;
use std::time::Duration;

use harness::{CLIENT, Call, Canned, Harness, config};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use libra_core::check::{CheckAnswer, KeyStatus};
use libra_core::clients::Clients;
use libra_core::config::{Config, Verify};
use libra_core::gateway::{Accepted, Head, Place};
use wildmatch::WildMatch;

const GOOD: &str =
    r#"{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP"}]}"#;
const LIST: &str = r#"{"models":[{"name":"models/gemini-2.5-flash","displayName":"Gemini 2.5 Flash"},{"name":"models/gemini-2.5-pro"}]}"#;

fn good(_: &http::Request<Option<bytes::Bytes>>) -> Canned {
    Canned::json(200, GOOD)
}

fn never(request: &http::Request<Option<bytes::Bytes>>) -> Canned {
    panic!("{} went upstream", request.uri())
}

#[test]
fn strangers_are_refused_in_their_dialect_and_told_what_to_do() {
    let check = |config: Config, call: Call, status: u16, says: &[&str]| {
        let seen = Harness::new(config).send(&call, never);
        assert_eq!(seen.status, status, "{}", call.path);
        for say in says {
            assert!(seen.text().contains(say), "{}: {} not in {}", call.path, say, seen.text());
        }
    };
    let stranger = |call: Call| call.without_key().with("x-api-key", "somebody");
    let open = || config(&["pool-key-one"]);
    let closed = || Config { clients: Clients::default(), ..open() };
    check(open(), stranger(Call::native()), 401, &["\"status\":\"UNAUTHENTICATED\"", "密钥"]);
    check(open(), stranger(Call::chat()), 401, &["\"code\":\"invalid_api_key\"", "\"param\":null"]);
    check(open(), Call::chat().without_key(), 401, &["No API key"]);
    check(closed(), stranger(Call::chat()), 401, &["LIBRA_CLIENTS", "请管理员设置"]);
    check(
        open(),
        Call::post("/v1/messages/batches", "{}"),
        404,
        &[r#"{"type":"error","error":{"type":"not_found_error""#, r#""request_id":"req_"#],
    );
    check(
        open(),
        stranger(Call::post("/v1/messages", "{}")),
        401,
        &[r#"{"type":"error","error":{"type":"authentication_error""#],
    );
    check(open(), Call::get("/v1/nothing"), 404, &["/v1 for OpenAI"]);
    check(closed(), Call::get("/").without_key(), 200, &["LIBRA_CLIENTS", "base"]);
    check(open(), Call::get("/health").without_key(), 200, &["alive"]);
    check(open(), Call::get("/ready").without_key(), 200, &["ready"]);
    check(Config { home: false, ..open() }, Call::get("/").without_key(), 404, &[]);
    let page = Harness::new(open()).send(&Call::get("/").without_key(), never);
    assert!(!page.text().contains(env!("CARGO_PKG_VERSION")) && !page.text().contains("LIBRA_CLIENTS"));
}

#[test]
fn bodies_are_bounded_before_they_are_read() {
    let small = Config { body_limit: 100, replay_limit: 50, ..config(&["pool-key-one"]) };
    let body = |size: usize| format!("{{\"contents\":\"{}\"}}", "x".repeat(size));
    let native = "/v1beta/models/m:generateContent";
    let check = |call: Call, status: u16| {
        let seen = Harness::new(small.clone()).send(&call, good);
        assert_eq!(seen.status, status, "{} with {} bytes: {}", call.path, call.body.len(), seen.text());
        seen
    };
    check(Call::post(native, body(10)), 200);
    assert!(check(Call::post(native, body(200)), 413).text().contains("\"INVALID_ARGUMENT\""));
    assert!(check(Call::post("/v1/chat/completions", body(200)), 413).text().contains("LIBRA_BODY_LIMIT"));
    // Between the limits: one attempt, streamed.
    let mut harness = Harness::new(Config { keys: config(&["a", "b"]).keys, ..small.clone() });
    let seen = harness.send(&Call::post(native, body(60)), |request| {
        assert!(request.body().is_none(), "the shell streams it");
        Canned::json(503, "{}")
    });
    assert_eq!((seen.status, seen.calls.len()), (503, 1));
    let zipped = Call::post("/v1/chat/completions", "zip").with("content-encoding", "gzip");
    check(zipped, 415);
    check(Call::post(native, "zip").with("content-encoding", "gzip"), 200);
}

#[test]
fn wrong_chats_are_told_the_field() {
    for (body, param) in [
        ("", "null"),
        ("{", "null"),
        (r#"{"model":"gemini-2.5-flash"}"#, "\"messages\""),
        (r#"{"messages":[{"role":"user","content":"x"}]}"#, "\"model\""),
    ] {
        let seen =
            Harness::new(config(&["pool-key-one"])).send(&Call::post("/v1/chat/completions", body), never);
        assert_eq!(seen.status, 400, "{body}");
        assert!(seen.text().contains(&format!("\"param\":{param}")), "{body}: {}", seen.text());
    }
}

#[test]
fn foreign_model_names_are_served_and_echoed() {
    let mut harness = Harness::new(config(&["pool-key-one"]));
    for asked in ["gpt-4o", "o3-mini", "claude-sonnet-4-5", "models/gemini-2.5-pro"] {
        let body = format!(r#"{{"model":"{asked}","messages":[{{"role":"user","content":"x"}}]}}"#);
        let seen = harness.send(&Call::post("/v1/chat/completions", body), |request| {
            assert!(request.uri().path().starts_with("/v1beta/models/gemini-"), "{}", request.uri());
            assert!(!request.uri().path().contains("models/models"), "{}", request.uri());
            Canned::json(200, GOOD)
        });
        assert!(seen.text().contains(&format!("\"model\":\"{asked}\"")), "{}", seen.text());
    }
    let seen =
        harness.send(&Call::post("/v1beta/models/text-embedding-3-small:embedContent", "{}"), |request| {
            assert_eq!(request.uri().path(), "/v1beta/models/gemini-embedding-001:embedContent");
            Canned::json(200, r#"{"embedding":{"values":[1]}}"#)
        });
    assert_eq!(seen.status, 200);
    for strange in ["/v1beta/models/..%2F..%2Ffiles:generateContent", "/v1beta/models/%0A:generateContent"] {
        assert_eq!(harness.send(&Call::post(strange, "{}"), never).status, 404, "{strange}");
    }
}

#[test]
fn lists_are_trimmed_kept_and_in_the_callers_dialect() {
    let trimmed = Config { models_deny: vec![WildMatch::new("*-pro")], ..config(&["pool-key-one"]) };
    let mut harness = Harness::new(trimmed);
    let list = |request: &http::Request<Option<bytes::Bytes>>| {
        assert_eq!(
            request.uri().path_and_query().map(|path| path.as_str()),
            Some("/v1beta/models?pageSize=1000")
        );
        Canned::json(200, LIST)
    };
    let seen = harness.send(&Call::get("/v1/models"), list);
    assert!(
        seen.text().starts_with(r#"{"object":"list","data":[{"id":"gemini-2.5-flash","object":"model""#),
        "{}",
        seen.text()
    );
    assert!(!seen.text().contains("pro"));
    assert_eq!(harness.send(&Call::get("/models"), never).body.len(), seen.body.len(), "kept for a while");
    let anthropic = Call::get("/v1/models").with("anthropic-version", "2023-06-01");
    assert!(harness.send(&anthropic, list).text().contains(r#""type":"model","id":"gemini-2.5-flash""#));
    let google = Call::get("/v1beta/models?pageSize=2&key=client-key");
    let seen = harness.send(&google, |request| {
        assert_eq!(
            request.uri().path_and_query().map(|path| path.as_str()),
            Some("/v1beta/models?pageSize=2")
        );
        Canned::json(200, LIST)
    });
    assert_eq!(
        seen.text(),
        r#"{"models":[{"name":"models/gemini-2.5-flash","displayName":"Gemini 2.5 Flash"}]}"#
    );
    harness.now = harness.now + Duration::from_secs(301);
    assert_eq!(harness.send(&Call::get("/v1/models"), list).calls.len(), 1, "asked anew in the end");
    let chat = Call::post(
        "/v1/chat/completions",
        r#"{"model":"gemini-2.5-pro","messages":[{"role":"user","content":"x"}]}"#,
    );
    let seen = harness.send(&chat, never);
    assert!(seen.status == 404 && seen.text().contains("\"code\":\"model_not_found\""), "{}", seen.text());
    let one = harness.send(&Call::get("/v1/models/gemini-2.5-flash"), |_| {
        Canned::json(200, r#"{"name":"models/gemini-2.5-flash"}"#)
    });
    assert!(one.text().contains(r#""id":"gemini-2.5-flash""#), "{}", one.text());
}

#[test]
fn browsers_are_let_in() {
    let asked = Call { method: Method::OPTIONS, ..Call::get("/v1/chat/completions") }
        .without_key()
        .with("origin", "https://app.example")
        .with("access-control-request-headers", "authorization,content-type,x-stainless-os");
    let seen = Harness::new(config(&["pool-key-one"])).send(&asked, never);
    assert_eq!(seen.status, 204);
    assert_eq!(
        seen.header("access-control-allow-headers"),
        Some("authorization,content-type,x-stainless-os")
    );
    assert!(seen.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));
}

/// How many keys are checked, or the status of the refusal.
fn verify(harness: &Harness, peer: &str, headers: &[(&'static str, &str)]) -> Result<usize, StatusCode> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
    }
    let (method, uri) = (Method::POST, "/verify".parse().expect("a path"));
    let peer: IpAddr = peer.parse().expect("an address");
    match harness.gateway.accept(&Head { method: &method, uri: &uri, headers: &map, peer }, harness.now) {
        Accepted::Verify(verification) => Ok(verification.checks.len()),
        Accepted::Reply(reply) => Err(reply.status()),
        _ => panic!("neither checks nor a refusal"),
    }
}

#[test]
fn strangers_may_have_a_few_keys_checked() {
    let keys = |count: usize| (0..count).map(|key| format!("key-{key}")).collect::<Vec<_>>().join(",");
    let mut harness = Harness::new(config(&["pool-key-one"]));
    let from = |harness: &Harness, peer: &str, count: usize| {
        verify(harness, peer, &[("x-goog-api-key", &keys(count))])
    };
    assert_eq!(from(&harness, "192.0.2.1", 6), Err(StatusCode::BAD_REQUEST));
    assert_eq!(from(&harness, "192.0.2.1", 5), Ok(5));
    assert_eq!(from(&harness, "192.0.2.1", 5), Ok(5));
    assert_eq!(from(&harness, "192.0.2.1", 1), Err(StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(from(&harness, "192.0.2.2", 1), Ok(1));
    assert_eq!(from(&harness, "2001:db8::1", 5).and_then(|_| from(&harness, "2001:db8::2", 5)), Ok(5));
    assert_eq!(from(&harness, "2001:db8::3", 1), Err(StatusCode::TOO_MANY_REQUESTS), "one subscriber");
    harness.now = harness.now + Duration::from_secs(60);
    assert_eq!(from(&harness, "192.0.2.1", 1), Ok(1));
    let bearer = format!("Bearer {CLIENT}");
    let trusted = |count: usize| {
        verify(&harness, "192.0.2.1", &[("authorization", &bearer), ("x-goog-api-key", &keys(count))])
    };
    assert_eq!(trusted(99), Ok(99));
    assert_eq!(trusted(101), Err(StatusCode::BAD_REQUEST));
    assert_eq!(trusted(0), Err(StatusCode::BAD_REQUEST), "a trusted key is not one to check");
    for (setting, expected) in
        [(Verify::Trusted, StatusCode::UNAUTHORIZED), (Verify::Off, StatusCode::NOT_FOUND)]
    {
        let harness = Harness::new(Config { verify: setting, ..config(&["pool-key-one"]) });
        assert_eq!(from(&harness, "192.0.2.1", 1), Err(expected));
    }
}

#[test]
fn a_forwarded_address_counts_where_the_proxy_is_trusted() {
    let trusting = Config {
        trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        ..config(&["pool-key-one"])
    };
    let harness = Harness::new(trusting);
    let via = |peer: &str, forwarded: &str| {
        verify(&harness, peer, &[("x-forwarded-for", forwarded), ("x-goog-api-key", "a,b,c,d,e")])
    };
    assert_eq!(via("10.0.0.1", "198.51.100.1").and_then(|_| via("10.0.0.1", "198.51.100.1")), Ok(5));
    assert_eq!(via("10.0.0.1", "198.51.100.1"), Err(StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(
        via("10.0.0.1", "203.0.113.9, 198.51.100.1, 10.0.0.2"),
        Err(StatusCode::TOO_MANY_REQUESTS),
        "invented hops do not count"
    );
    assert_eq!(via("10.0.0.1", "198.51.100.2"), Ok(5));
    assert_eq!(via("192.0.2.1", "198.51.100.3").and_then(|_| via("192.0.2.1", "198.51.100.4")), Ok(5));
    assert_eq!(via("192.0.2.1", "198.51.100.5"), Err(StatusCode::TOO_MANY_REQUESTS), "a stranger's word");
}

#[test]
fn a_check_says_what_a_key_is_worth() {
    let harness = Harness::new(config(&[]));
    let check =
        harness.gateway.check(libra_core::secret::ApiKey::new("AIzaSyB-a-made-up-key-for-this-test-99"));
    let request = check.request();
    assert!(
        request.uri().path().ends_with(":generateContent")
            && request.headers()["x-goog-api-key"] == "AIzaSyB-a-made-up-key-for-this-test-99"
    );
    let result = |answer: CheckAnswer| check.result(&answer, harness.now);
    let answered = |status: u16, body: &'static str| {
        Ok((
            StatusCode::from_u16(status).expect("a status"),
            HeaderMap::new(),
            bytes::Bytes::from_static(body.as_bytes()),
        ))
    };
    let good = result(answered(200, GOOD));
    assert_eq!(good.to_json(), r#"{"key":"AIzaSyB......test-99","status":"GOOD"}"#);
    let leaked = r#"{"error":{"code":403,"message":"Your API key was reported as leaked. Please use another API key.","status":"PERMISSION_DENIED"}}"#;
    assert_eq!(result(answered(403, leaked)).status, KeyStatus::Bad);
    let limited = result(answered(
        429,
        r#"{"error":{"code":429,"message":"Quota of AIzaSyB-a-made-up-key-for-this-test-99","status":"RESOURCE_EXHAUSTED"}}"#,
    ));
    assert_eq!(limited.status, KeyStatus::Error);
    assert!(!limited.to_json().contains("made-up"), "{}", limited.to_json());
    assert_eq!(result(Err("no route".to_owned())).status, KeyStatus::Error);
}

#[test]
fn a_key_that_is_set_aside_comes_back_by_a_probe() {
    let mut harness = Harness::new(config(&["first", "second"]));
    let invalid = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#;
    let seen =
        harness.send(&Call::native(), |request| match request.headers()["x-goog-api-key"] == "first" {
            true => Canned::json(400, invalid),
            false => Canned::json(200, GOOD),
        });
    assert_eq!(seen.calls, ["first", "second"]);
    assert_eq!(harness.gateway.pool_size(), (2, 1));
    assert!(!harness.gateway.take_changes().is_empty());
    assert!(harness.gateway.due(harness.now).is_empty());
    harness.now = harness.gateway.next_deadline(harness.now).expect("a probe is planned");
    let due = harness.gateway.due(harness.now);
    let due: Vec<_> = due
        .into_iter()
        .map(|due| match due {
            libra_core::gateway::DueNow::Probe(check) => check,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(due.len() == 1 && due[0].request().uri().path().ends_with(":countTokens"));
    let tokens = bytes::Bytes::from_static(b"{\"totalTokens\":1}");
    assert!(due[0].conclude(&Ok((StatusCode::OK, HeaderMap::new(), tokens)), harness.now).is_some());
    assert_eq!(harness.gateway.pool_size(), (2, 2));
}

#[test]
fn what_is_held_has_a_common_bound() {
    let tight = Config { memory: Some(1000), ..config(&["a", "b"]) };
    let mut harness = Harness::new(tight);
    // A native answer that there is no room for is not held, and so cannot fail over any more.
    let large = Canned::json(200, format!("{}{}", GOOD, " ".repeat(2000)));
    let seen = harness.send(&Call::native(), |_| large.clone().ending(harness::End::Broken));
    assert!(seen.status == 200 && seen.reset, "{}", seen.text());
    let seen = harness.send(&Call::chat(), |_| large.clone());
    assert_eq!(seen.status, 502, "{}", seen.text());
    // Everything has been given back.
    let seen = harness.send(&Call::chat(), good);
    assert_eq!(seen.status, 200, "{}", seen.text());
}

#[test]
fn ready_says_where_requests_leave_from_and_that_google_refused_it() {
    let mut harness = Harness::new(config(&["pool-key-one"]));
    let ready = |harness: &mut Harness| {
        let seen = harness.send(&Call::get("/ready").without_key(), |_| panic!("nothing goes up"));
        assert_eq!(seen.status, 200);
        serde_json::from_slice::<serde_json::Value>(&seen.body).expect("JSON")
    };
    assert_eq!(ready(&mut harness), serde_json::json!({ "status": "ready" }));
    let place = |region: &str| Place { region: region.to_owned(), country: Some("HK".to_owned()) };
    harness.gateway.leaves_from(place("hkg1"));
    harness.gateway.leaves_from(place("<b>"));
    let refusal = r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#;
    harness.send(&Call::native(), |_| Canned::json(400, refusal));
    harness.now = harness.now + Duration::from_secs(60);
    let said = ready(&mut harness);
    assert_eq!((&said["region"], &said["country"]), (&"hkg1".into(), &"HK".into()));
    assert_eq!(said["location_refused"]["seconds_ago"], 60);
    harness.now = harness.now + Duration::from_secs(3600);
    assert!(ready(&mut harness)["location_refused"].is_null());
}
