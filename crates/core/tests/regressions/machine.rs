//! The machine: exchanges, relays, the pool.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::harness::{Call, Canned, End, Harness, START, config};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use libra_core::config::{Config, CustomLlm, Strategy};
use libra_core::event::{Ending, Event};
use libra_core::exchange::{Exchange, Op, OpId, Outcome, Step};
use libra_core::failure::{Class, Consequence, Elsewhere, Failure, Why};
use libra_core::gateway::{Accepted, Head};
use libra_core::pool::{Pick, Pool, PoolSettings, StateChange, Want};
use libra_core::secret::ApiKey;

const GOOD: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1,"totalTokenCount":2}}"#;
const PART: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hel"}],"role":"model"},"index":0}]}"#;
const CHAT: &str = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hi"}]}"#;

fn exchange(
    harness: &Harness,
    method: Method,
    path: &str,
    headers: &[(&'static str, &str)],
    body: &str,
) -> Exchange {
    let mut map = HeaderMap::new();
    map.insert("authorization", HeaderValue::from_static("Bearer client-key"));
    map.insert("content-length", HeaderValue::from(body.len()));
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_str(value).expect("a value"));
    }
    let uri = path.parse().expect("a path");
    let head = Head { method: &method, uri: &uri, headers: &map, peer: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    match harness.gateway.accept(&head, harness.now) {
        Accepted::NeedBody(intake) => {
            intake.whole(Bytes::copy_from_slice(body.as_bytes()), harness.now).expect("an exchange")
        }
        Accepted::Stream(exchange) => exchange,
        Accepted::Reply(reply) => panic!("{reply:?}"),
        Accepted::Verify(_) => panic!("a verification"),
        Accepted::Upgrade(_) => panic!("a session"),
    }
}

fn start(exchange: &mut Exchange, now: libra_core::time::Timestamp) -> (OpId, http::Request<Option<Bytes>>) {
    match exchange.poll(now) {
        Step::Start(op, Op::Upstream(request)) => (op, request),
        other => panic!("{other:?}"),
    }
}

fn array_head() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers
}

/// What a model says (a function's argument, a text) must not set a whole project aside.
#[test]
fn words_of_the_model_do_not_set_a_project_aside() {
    let call = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"code":"PUP_LIMITED_DISABLED"}}}],"role":"model"},"finishReason":"STOP","index":0}]}"#;
    let text = r#"{"candidates":[{"content":{"parts":[{"text":"PUP_LIMITED_DISABLED"}],"role":"model"},"finishReason":"STOP","index":0}]}"#;
    for event in [call, text] {
        for ask in [Call::native_stream(), Call::chat_stream()] {
            let mut harness = Harness::new(config(&["first", "second"]));
            let seen = harness.send(&ask, |_| Canned::sse(format!("data: {event}\r\n\r\n")));
            assert_eq!(seen.status, 200);
            let set_aside: Vec<_> =
                seen.events.iter().filter(|event| matches!(event, Event::SetAside { .. })).collect();
            assert!(set_aside.is_empty(), "{} {event}: {set_aside:?}", ask.path);
        }
    }
}

/// An error among the elements of an array: what the client gets must be JSON.
#[test]
fn an_error_element_after_others_leaves_the_array_well_formed() {
    let error = r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#;
    for comma in ["\n,\r\n", ","] {
        let first = format!("[{PART}");
        let second = format!("{comma}{PART}{comma}{error}\n]\n");
        let canned = Canned::json(200, first.clone() + &second).cut_at(&[first.len()]);
        let seen = Harness::new(config(&["only"])).send(&Call::native_array(), |_| canned.clone());
        let parsed = serde_json::from_str::<Vec<serde_json::Value>>(seen.text());
        assert!(parsed.is_ok(), "{comma:?} {:?}: {}", parsed.err(), seen.text());
    }
}

/// An array of which nothing but the bracket came, and then silence.
#[test]
fn an_array_that_is_cut_before_its_first_element_is_json_all_the_same() {
    for begin in ["[", " "] {
        let canned = Canned::json(200, begin).ending(End::Silence);
        let seen = Harness::new(config(&["only"])).send(&Call::native_array(), |_| canned.clone());
        if seen.status == 200 {
            let parsed = serde_json::from_str::<Vec<serde_json::Value>>(seen.text());
            assert!(parsed.is_ok(), "{begin:?} {:?}: {}", parsed.err(), seen.text());
        }
    }
}

/// One byte is no event: a stream without a first event within its time fails over.
#[test]
fn a_comment_is_no_first_event() {
    let mut harness = Harness::new(config(&["first", "second"]));
    let seen = harness.send(&Call::native_stream(), |request| {
        if request.headers()["x-goog-api-key"] == "first" {
            Canned::sse(": waiting\r\n\r\n").ending(End::Silence)
        } else {
            Canned::sse(format!("data: {GOOD}\r\n\r\n"))
        }
    });
    assert!(seen.text().contains("Hello"), "{:?} {}", seen.calls, seen.text());
}

/// A limit told in the middle of a long stream counts from when it was told.
#[test]
fn a_rest_told_late_counts_from_then() {
    let mut harness = Harness::new(config(&["only"]));
    let body = r#"{"contents":[{"parts":[{"text":"Hi"}]}]}"#;
    let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
    let mut running = exchange(&harness, Method::POST, path, &[], body);
    let (op, _) = start(&mut running, harness.now);
    running.handle(op, Outcome::Head(StatusCode::OK, HeaderMap::new()), harness.now);
    running.handle(op, Outcome::Chunk(format!("data: {PART}\r\n\r\n").into()), harness.now);
    assert!(matches!(running.poll(harness.now), Step::Commit { .. }));
    let mut relay = running.commit(op);
    let _ = relay.begin(harness.now);
    harness.now = harness.now + Duration::from_secs(120);
    let error = r#"{"error":{"code":429,"message":"Quota.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaValue":"10"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"30s"}]}}"#;
    let _ = relay.push(format!("data: {error}\r\n\r\n").into(), harness.now);
    drop(relay);
    let seen = harness.send(&Call::native(), |_| Canned::json(200, GOOD));
    assert_eq!((seen.status, seen.calls.len()), (429, 0), "the limited key was used again at once");
}

#[test]
fn silence_is_counted_from_the_last_bytes() {
    let mut harness = Harness::new(config(&["only"]));
    let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
    let body = r#"{"contents":[{"parts":[{"text":"Hi"}]}]}"#;
    let mut running = exchange(&harness, Method::POST, path, &[], body);
    let (op, _) = start(&mut running, harness.now);
    running.handle(op, Outcome::Head(StatusCode::OK, HeaderMap::new()), harness.now);
    running.handle(op, Outcome::Chunk(format!("data: {PART}\r\n\r\n").into()), harness.now);
    assert!(matches!(running.poll(harness.now), Step::Commit { .. }));
    let mut relay = running.commit(op);
    let later = Duration::from_secs(7);
    harness.now = harness.now + later;
    let _ = relay.begin(harness.now);
    let patience = relay.idle_deadline().since(harness.now);
    assert!(patience > later);
    harness.now = harness.now + later;
    // In the middle of an event: nothing goes out, and yet the upstream is not silent.
    let piece = relay.handle(Outcome::Chunk("data: {".into()), harness.now);
    assert!(piece.bytes.is_empty());
    assert_eq!(relay.idle_deadline().since(harness.now), patience);
}

/// A translated body is JSON, whatever the client called its own.
#[test]
fn a_translated_body_goes_up_as_json() {
    for (sent, what) in [
        (None, "none"),
        (Some("application/x-www-form-urlencoded"), "curl's"),
        (Some("text/plain"), "a browser's"),
    ] {
        let harness = Harness::new(config(&["only"]));
        let headers: Vec<(&'static str, &str)> = sent.iter().map(|value| ("content-type", *value)).collect();
        let mut running = exchange(&harness, Method::POST, "/v1/chat/completions", &headers, CHAT);
        let (_, request) = start(&mut running, harness.now);
        let kind = request.headers().get("content-type").map(|kind| kind.to_str().expect("ASCII"));
        assert!(kind.is_some_and(|kind| kind.starts_with("application/json")), "{what}: {kind:?}");
    }
}

/// A GET has no body upstream, whatever the client put into it.
#[test]
fn a_list_of_models_is_asked_for_without_a_body() {
    let harness = Harness::new(config(&["only"]));
    let mut running = exchange(&harness, Method::GET, "/v1beta/models?pageSize=2", &[], "{}");
    let (_, request) = start(&mut running, harness.now);
    assert_eq!(request.body().as_ref().map_or(0, Bytes::len), 0, "{request:?}");
}

/// An error that comes as a 200 is no list, and is not kept for five minutes.
#[test]
fn an_error_in_a_200_is_no_list_of_models() {
    let error = r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#;
    for path in ["/v1beta/models?pageSize=2", "/v1/models"] {
        let mut harness = Harness::new(config(&["first", "second"]));
        let call = Call::get(path);
        let first = harness.send(&call, |_| Canned::json(200, error));
        let second = harness.send(&call, |_| Canned::json(200, r#"{"models":[{"name":"models/m"}]}"#));
        assert!(first.status != 200, "{path}: {} {}", first.status, first.text());
        assert!(
            second.text().contains("\"m\"") || second.text().contains("models/m"),
            "{path}: {}",
            second.text()
        );
    }
}

/// "An answer of 200 whose first event is an error … fails over like any other failure", vectors too.
#[test]
fn an_error_in_a_200_fails_over_for_vectors_too() {
    let error = r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#;
    for method in ["embedContent", "countTokens", "batchEmbedContents"] {
        let mut harness = Harness::new(config(&["first", "second"]));
        let call = Call::post(&format!("/v1beta/models/gemini-embedding-001:{method}"), "{}");
        let seen = harness.send(&call, |request| {
            let first = request.headers()["x-goog-api-key"] == "first";
            Canned::json(200, if first { error } else { r#"{"totalTokens":3}"# })
        });
        assert_eq!(seen.calls, ["first", "second"], "{method}: {}", seen.text());
    }
}

/// A setting that is allowed must not make requests panic.
#[test]
fn a_short_deadline_and_the_sdks_timeout_do_not_panic() {
    let config = Config { deadline: Duration::from_millis(500), ..config(&["only"]) };
    let seen = Harness::new(config)
        .send(&Call::native().with("x-server-timeout", "30"), |_| Canned::json(200, GOOD));
    assert_eq!(seen.status, 200);
}

/// What a failed attempt started is ended before the next one begins.
#[test]
fn the_operation_of_a_failed_attempt_is_cancelled() {
    let harness = Harness::new(config(&["first", "second"]));
    let body = r#"{"contents":[{"parts":[{"text":"Hi"}]}]}"#;
    let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
    let mut running = exchange(&harness, Method::POST, path, &[], body);
    let (op, _) = start(&mut running, harness.now);
    running.handle(op, Outcome::Head(StatusCode::OK, HeaderMap::new()), harness.now);
    let error = "data: {\"error\":{\"code\":503,\"message\":\"x\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n";
    running.handle(op, Outcome::Chunk(error.into()), harness.now);
    match running.poll(harness.now) {
        Step::Cancel(cancelled) => assert_eq!(cancelled, op),
        other => panic!("its body is still being read: {other:?}"),
    }
}

/// The same where an error's body is longer than what is read of it.
#[test]
fn the_operation_of_an_endless_error_body_is_cancelled() {
    let harness = Harness::new(config(&["first", "second"]));
    let mut running = exchange(&harness, Method::POST, "/v1/chat/completions", &[], CHAT);
    let (op, _) = start(&mut running, harness.now);
    running.handle(op, Outcome::Head(StatusCode::SERVICE_UNAVAILABLE, array_head()), harness.now);
    running.handle(op, Outcome::Chunk(vec![b'x'; 70_000].into()), harness.now);
    match running.poll(harness.now) {
        Step::Cancel(cancelled) => assert_eq!(cancelled, op),
        other => panic!("its body is still being read: {other:?}"),
    }
}

/// A fault of the request whose body breaks off is a fault of the request all the same.
#[test]
fn the_status_counts_where_an_errors_body_breaks_off() {
    for status in [400_u16, 413, 404] {
        let mut harness = Harness::new(config(&["a", "b", "c", "d"]));
        let broken = Canned::json(status, r#"{"error":{"code":"#).ending(End::Broken);
        let seen = harness.send(&Call::native(), |_| broken.clone());
        assert_eq!((seen.status, seen.calls.len()), (status, 1), "{}", seen.text());
    }
}

/// A body that took longer than the deadline: nobody is at a limit.
#[test]
fn a_request_that_ran_out_of_time_is_not_told_that_projects_are_at_their_limit() {
    let mut harness = Harness::new(config(&["only"]));
    let mut map = HeaderMap::new();
    map.insert("authorization", HeaderValue::from_static("Bearer client-key"));
    map.insert("content-length", HeaderValue::from(CHAT.len()));
    let uri = "/v1/chat/completions".parse().expect("a path");
    let head =
        Head { method: &Method::POST, uri: &uri, headers: &map, peer: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    let Accepted::NeedBody(intake) = harness.gateway.accept(&head, harness.now) else { panic!("a body") };
    harness.now = harness.now + Duration::from_secs(601);
    let mut running = intake.whole(CHAT.into(), harness.now).expect("an exchange");
    match running.poll(harness.now) {
        Step::Reply(reply) => {
            let body = String::from_utf8_lossy(reply.body()).into_owned();
            assert!(reply.status() != StatusCode::TOO_MANY_REQUESTS, "{body}");
        }
        Step::Start(..) => {}
        other => panic!("{other:?}"),
    }
}

/// The total deadline holds for the custom service, too.
#[test]
fn the_custom_service_keeps_the_total_deadline() {
    let service = CustomLlm {
        base_url: "http://llm.example/v1".parse().expect("an address"),
        api_key: None,
        models: Vec::new(),
        model: None,
    };
    let config = Config {
        deadline: Duration::from_secs(60),
        answer_timeout: Duration::from_secs(300),
        custom_llm: Some(service),
        ..config(&["only"])
    };
    let mut harness = Harness::new(config);
    let seen = harness.send(&Call::chat(), |_| Canned::nothing(End::Silence));
    assert!(seen.took <= Duration::from_secs(61), "{:?} {:?}", seen.calls, seen.took);
}

/// An empty answer can be the prompt's doing: as many more tries as find one good project among four, not one a key.
#[test]
fn an_empty_answer_is_tried_a_few_times_more_and_not_on_every_key() {
    let empty = r#"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9000}}"#;
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let seen = Harness::new(config(&keys)).send(&Call::chat(), |_| Canned::json(200, empty));
    assert!(seen.calls.len() == 4, "{} keys were billed for one prompt", seen.calls.len());
}

/// A whole answer that is half a document is no answer.
#[test]
fn half_a_document_is_no_answer() {
    let half = &GOOD[..GOOD.len() - 40];
    let mut harness = Harness::new(config(&["first", "second"]));
    let seen = harness.send(&Call::native(), |request| {
        Canned::json(200, if request.headers()["x-goog-api-key"] == "first" { half } else { GOOD })
    });
    assert_eq!(seen.text(), GOOD);
}

/// A finish reason is a field of a candidate, not an argument of a function.
#[test]
fn an_argument_does_not_finish_a_stream() {
    let event = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"finishReason":"x"}}}],"role":"model"},"index":0}]}"#;
    let seen = Harness::new(config(&["only"]))
        .send(&Call::native_stream(), |_| Canned::sse(format!("data: {event}\r\n\r\n")));
    assert!(seen.text().contains("\"error\""), "a cut stream was told as complete: {}", seen.text());
    let ending = seen.events.iter().find_map(|event| match event {
        Event::Finished(finished) => Some(finished.ending),
        _ => None,
    });
    assert_eq!(ending, Some(Ending::Cut));
}

/// A last event without its blank line is an event where the body ends well.
#[test]
fn a_single_event_without_a_blank_line_is_an_answer() {
    for end in ["", "\n", "\r\n"] {
        for call in [Call::native_stream(), Call::chat_stream()] {
            let mut harness = Harness::new(config(&["first", "second"]));
            let seen = harness.send(&call, |_| Canned::sse(format!("data: {GOOD}{end}")));
            assert_eq!((seen.status, seen.calls.len()), (200, 1), "{end:?}: {}", seen.text());
        }
    }
}

/// Google takes `$alt` as it takes `alt`.
#[test]
fn the_other_spelling_of_alt_is_a_stream_of_events_too() {
    let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?%24alt=sse";
    let mut harness = Harness::new(config(&["first", "second"]));
    let body = format!("data: {GOOD}\r\n\r\n");
    let seen = harness.send(&Call::post(path, "{}"), |_| Canned::sse(body.clone()));
    assert_eq!((seen.status, seen.text(), seen.calls.len()), (200, body.as_str(), 1));
}

/// A request's own fault in the middle of a stream costs no key anything.
#[test]
fn a_fault_of_the_request_in_a_stream_is_no_penalty() {
    let error = r#"{"error":{"code":400,"message":"Request contains an invalid argument.","status":"INVALID_ARGUMENT"}}"#;
    let mut harness = Harness::new(config(&["first", "second"]));
    let _ = harness
        .send(&Call::native_stream(), |_| Canned::sse(format!("data: {PART}\r\n\r\ndata: {error}\r\n\r\n")));
    let next: Vec<String> =
        (0..2).map(|_| harness.send(&Call::native(), |_| Canned::json(200, GOOD)).calls[0].clone()).collect();
    assert_eq!(next, ["second", "first"], "the first key was penalised");
}

/// A key's fault in the middle of a stream is not told to the pool's client as its own.
#[test]
fn a_pool_keys_fault_in_a_stream_is_not_the_clients() {
    let error = r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#;
    let seen = Harness::new(config(&["first", "second"]))
        .send(&Call::chat_stream(), |_| Canned::sse(format!("data: {PART}\r\n\r\ndata: {error}\r\n\r\n")));
    assert!(!seen.text().contains("API key not valid"), "{}", seen.text());
}

fn limited(until: libra_core::time::Timestamp) -> Failure {
    Failure {
        consequence: Consequence::RestModel(until),
        ..Failure::new(Class::QuotaMinute, Elsewhere::All, "")
    }
}

fn pick(pool: &mut Pool, keys: &[ApiKey], now: libra_core::time::Timestamp) {
    let want = Want { model: Some("m"), own: Some(keys), ..Want::default() };
    if let Pick::Ready { lease, .. } = pool.pick(&want, now) {
        pool.release(lease);
    }
}

/// What is remembered of clients' keys is bounded, whatever they bring.
#[test]
fn the_memory_of_clients_keys_is_bounded() {
    let mut pool = Pool::for_guests(64, Strategy::RoundRobin, 1);
    let mut now = START;
    for number in 0..2_000 {
        now = now + Duration::from_secs(1);
        let key = ApiKey::new(&format!("guest-{number}"));
        pick(&mut pool, std::slice::from_ref(&key), now);
        pool.failed(key.id(), Some("m"), &limited(now + Duration::from_secs(10)), now);
    }
    let cells = format!("{pool:?}").matches("Cell {").count();
    assert!(cells <= 128, "{cells} cells of 64 keys");
}

/// The same for keys that are set aside.
#[test]
fn the_probes_of_clients_keys_are_bounded() {
    let mut pool = Pool::for_guests(64, Strategy::RoundRobin, 1);
    let mut now = START;
    let invalid = Failure {
        consequence: Consequence::SetAside(Why::Invalid),
        ..Failure::new(Class::KeyInvalid, Elsewhere::All, "")
    };
    for number in 0..2_000 {
        now = now + Duration::from_secs(1);
        let key = ApiKey::new(&format!("guest-{number}"));
        pick(&mut pool, std::slice::from_ref(&key), now);
        pool.failed(key.id(), Some("m"), &invalid, now);
    }
    let debug = format!("{pool:?}");
    let probes = debug.split("probes: {").nth(1).and_then(|rest| rest.split('}').next()).unwrap_or_default();
    let probes = probes.matches("Timestamp(").count();
    assert!(probes <= 64, "{probes} probes of 64 keys");
}

/// Rests that are over make room for new ones.
#[test]
fn rests_that_are_over_make_room() {
    let key = ApiKey::new("pool-key-one");
    let keys = [libra_core::config::PoolKey::from(key.clone())];
    let mut pool = Pool::new(&keys, PoolSettings::only(Strategy::RoundRobin), 1);
    for number in 0..1_100 {
        pool.failed(
            key.id(),
            Some(&format!("model-{number}")),
            &limited(START + Duration::from_secs(1)),
            START,
        );
    }
    let later = START + Duration::from_secs(3600);
    pool.failed(key.id(), Some("gemini-2.5-flash"), &limited(later + Duration::from_secs(60)), later);
    let want = Want { model: Some("gemini-2.5-flash"), ..Want::default() };
    assert!(matches!(pool.pick(&want, later), Pick::CoolingDown { .. }), "a limited key is used");
}

/// "Changes merge in any order": an old set-aside that comes again does not undo a restoration.
#[test]
fn a_set_aside_that_comes_again_does_not_undo_a_restoration() {
    let key = ApiKey::new("pool-key-one");
    let keys = [libra_core::config::PoolKey::from(key.clone())];
    let mut pool = Pool::new(&keys, PoolSettings::only(Strategy::RoundRobin), 1);
    let aside = StateChange::SetAside { key: key.id(), why: Why::Invalid, since: START };
    pool.apply(&aside, START);
    pool.restore(key.id(), START + Duration::from_secs(1));
    pool.apply(&aside, START);
    assert_eq!(pool.set_aside(key.id()), None);
}

/// A base path with a doubled slash before it.
#[test]
fn a_doubled_slash_before_the_base_path_is_forgiven() {
    let config = Config { base_path: "/base".to_owned(), ..config(&["only"]) };
    let seen = Harness::new(config)
        .send(&Call::post("//base/v1/chat/completions", CHAT), |_| Canned::json(200, GOOD));
    assert_eq!(seen.status, 200, "{}", seen.text());
}

/// Keys parted by a full-width comma, as the configuration takes them.
#[test]
fn a_full_width_comma_parts_keys_in_a_header() {
    let harness = Harness::new(Config { keys: Vec::new(), clients: Default::default(), ..config(&["x"]) });
    let mut map = HeaderMap::new();
    map.insert("x-goog-api-key", HeaderValue::from_bytes("key-a，key-b".as_bytes()).expect("opaque bytes"));
    map.insert("content-length", HeaderValue::from(CHAT.len()));
    let uri = "/v1/chat/completions".parse().expect("a path");
    let head =
        Head { method: &Method::POST, uri: &uri, headers: &map, peer: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    let accepted = harness.gateway.accept(&head, harness.now);
    assert!(matches!(accepted, Accepted::NeedBody(_)), "{accepted:?}");
}

/// A model's name that says what Google says of closed models is a name.
#[test]
fn a_models_name_decides_nothing() {
    let name = "x no longer available to new users";
    let body = format!(
        r#"{{"error":{{"code":404,"message":"models/{name} is not found for API version v1beta, or is not supported for generateContent.","status":"NOT_FOUND"}}}}"#
    );
    let path = "/v1beta/models/x%20no%20longer%20available%20to%20new%20users:generateContent";
    let seen = Harness::new(config(&["a", "b", "c", "d"]))
        .send(&Call::post(path, "{}"), |_| Canned::json(404, body.clone()));
    assert_eq!(seen.calls.len(), 1, "the client's own words sent the request to every key");
}

/// An alias lists models: the second serves where the first cannot.
#[test]
fn the_second_model_of_an_alias_serves_where_the_first_cannot() {
    let (config, _) = Config::from_vars(
        |name| match name {
            "LIBRA_KEYS" => Some("pool-key-of-some-length-1".to_owned()),
            "LIBRA_CLIENTS" => Some("client-key".to_owned()),
            "LIBRA_MODEL_ALIASES" => Some("best=gemini-a,gemini-b".to_owned()),
            _ => None,
        },
        |_| Err("no files".to_owned()),
    )
    .expect("settings");
    let body = r#"{"model":"best","messages":[{"role":"user","content":"Hi"}]}"#;
    let seen = Harness::new(config).send(&Call::post("/v1/chat/completions", body), |request| {
        if request.uri().path().contains("gemini-a") {
            Canned::json(404, r#"{"error":{"code":404,"message":"models/gemini-a is not found for API version v1beta.","status":"NOT_FOUND"}}"#)
        } else {
            Canned::json(200, GOOD)
        }
    });
    assert_eq!(seen.status, 200, "{}", seen.text());
}

/// A relay that ended well leaves nothing in flight.
#[test]
fn leases_come_back() {
    let mut harness = Harness::new(config(&["only"]));
    for call in [Call::native_stream(), Call::chat_stream(), Call::native(), Call::chat()] {
        let _ = harness.send(&call, |_| {
            if call.path.contains("sse") || call.body.windows(6).any(|part| part == b"stream") {
                Canned::sse(format!("data: {GOOD}\r\n\r\n"))
            } else {
                Canned::json(200, GOOD)
            }
        });
    }
    assert!(format!("{:?}", harness.gateway).contains("leases: {}"), "{:?}", harness.gateway);
}
