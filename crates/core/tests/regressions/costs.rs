//! What things cost, and heads of answers.

use std::net::{IpAddr, Ipv4Addr};

use crate::harness::{Call, Canned, End, Harness, config};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use libra_core::config::{Config, CustomLlm, Strategy};
use libra_core::exchange::{Exchange, Op, Outcome, Step};
use libra_core::gateway::{Accepted, Head};
use libra_core::relay::Next;
use proptest::prelude::*;

const GOOD: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP","index":0}]}"#;
const CHAT: &str = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hi"}]}"#;

fn exchange(harness: &Harness, path: &str, body: &str) -> Exchange {
    let mut map = HeaderMap::new();
    map.insert("authorization", HeaderValue::from_static("Bearer client-key"));
    map.insert("content-length", HeaderValue::from(body.len()));
    let uri = path.parse().expect("a path");
    let head =
        Head { method: &Method::POST, uri: &uri, headers: &map, peer: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    match harness.gateway.accept(&head, harness.now) {
        Accepted::NeedBody(intake) => {
            intake.whole(Bytes::copy_from_slice(body.as_bytes()), harness.now).expect("an exchange")
        }
        other => panic!("{other:?}"),
    }
}

fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    list.iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}

/// "Its answers pass through unchanged": what tells a client how to read them, and when to come back.
#[test]
fn the_custom_services_headers_that_matter_pass() {
    let service = CustomLlm {
        base_url: "http://llm.example/v1".parse().expect("an address"),
        api_key: None,
        models: vec![libra_core_wild("gemini-*")],
        model: None,
    };
    let harness = Harness::new(Config { custom_llm: Some(service), ..config(&["only"]) });
    let mut running = exchange(&harness, "/v1/chat/completions", CHAT);
    let Step::Start(op, _) = running.poll(harness.now) else { panic!("a start") };
    let answered = headers(&[
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
        ("retry-after", "7"),
        ("x-request-id", "abc"),
    ]);
    running.handle(op, Outcome::Head(StatusCode::TOO_MANY_REQUESTS, answered), harness.now);
    let Step::Commit { op, .. } = running.poll(harness.now) else { panic!("a commit") };
    let (head, _) = running.commit(op).begin(harness.now);
    for name in ["content-type", "content-encoding", "retry-after"] {
        assert!(head.headers().contains_key(name), "{name} is lost: {:?}", head.headers());
    }
}

fn libra_core_wild(pattern: &str) -> wildmatch::WildMatch {
    wildmatch::WildMatch::new(pattern)
}

/// An upstream that compresses although it was asked not to (a proxy on the way): the client has to be told.
#[test]
fn a_compressed_answer_says_so() {
    let harness = Harness::new(config(&["only"]));
    let mut running = exchange(&harness, "/v1beta/models/m:countTokens", "{}");
    let Step::Start(op, Op::Upstream(_)) = running.poll(harness.now) else { panic!("a start") };
    let answered = headers(&[("content-type", "application/json"), ("content-encoding", "gzip")]);
    running.handle(op, Outcome::Head(StatusCode::OK, answered), harness.now);
    running.handle(op, Outcome::Chunk(Bytes::from_static(b"\x1f\x8b\x08")), harness.now);
    running.handle(op, Outcome::End, harness.now);
    let mut step = running.poll(harness.now);
    while let Step::Cancel(_) = step {
        step = running.poll(harness.now);
    }
    match step {
        Step::Reply(reply) => assert!(
            reply.status() != StatusCode::OK || reply.headers().contains_key("content-encoding"),
            "{reply:?}"
        ),
        Step::Start(..) => {}
        other => panic!("{other:?}"),
    }
}

/// Names that Gemini refuses are fitted in one pass; with a search for each, this many would take minutes.
#[test]
fn many_strange_function_names_are_fitted() {
    let tools: Vec<String> = (0..20_000_u32)
        .map(|n| {
            let name: String = [n / 4000, n % 4000]
                .iter()
                .map(|n| char::from_u32(0x4e00 + n).expect("a character"))
                .collect();
            format!(r#"{{"type":"function","function":{{"name":"{name}"}}}}"#)
        })
        .collect();
    let body = format!(
        r#"{{"model":"gemini-2.5-flash","messages":[{{"role":"user","content":"Hi"}}],"tools":[{}]}}"#,
        tools.join(",")
    );
    let harness = Harness::new(config(&["only"]));
    let mut exchange = exchange(&harness, "/v1/chat/completions", &body);
    let Step::Start(_, Op::Upstream(request)) = exchange.poll(harness.now) else { panic!("a start") };
    let sent: serde_json::Value =
        serde_json::from_slice(request.body().as_ref().expect("a body")).expect("JSON");
    let declared = sent["tools"][0]["functionDeclarations"].as_array().expect("declarations");
    let names: std::collections::BTreeSet<&str> =
        declared.iter().map(|function| function["name"].as_str().expect("a name")).collect();
    assert_eq!((declared.len(), names.len()), (20_000, 20_000));
}

fn piece() -> impl Strategy_ {
    prop_oneof![
        Just(format!("data: {GOOD}\r\n\r\n").into_bytes()),
        Just(format!("[{GOOD}\n,\r\n{GOOD}").into_bytes()),
        Just(GOOD.as_bytes().to_vec()),
        Just(b"data: {\"error\":{\"code\":429,\"message\":\"Please retry in 3h.\",\"status\":\"RESOURCE_EXHAUSTED\"}}\n\n".to_vec()),
        Just(b",{\"error\":{\"code\":400}}]".to_vec()),
        Just(b"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}]}}]}".to_vec()),
        Just(b"\"usageMetadata\"\"promptTokenCount\":99999999999999999999".to_vec()),
        Just(b"<html><title>x".to_vec()),
        Just(b"[".repeat(3000)),
        Just(b"{\"a\":".repeat(3000)),
        prop::collection::vec(any::<u8>(), 0..40),
        "[\\[\\]{},:\"\\\\a\\n\\r ]{0,30}".prop_map(String::into_bytes),
    ]
}

use proptest::strategy::Strategy as Strategy_0;
trait Strategy_: Strategy_0<Value = Vec<u8>> {}
impl<T: Strategy_0<Value = Vec<u8>>> Strategy_ for T {}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    /// Whatever an upstream answers: every exchange ends, nothing panics, no lease is lost, no key is shown.
    #[test]
    fn noise_ends(
        statuses in prop::collection::vec(prop::sample::select(vec![200_u16, 200, 200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 503, 504]), 1..4),
        pieces in prop::collection::vec(piece(), 0..6),
        end in prop::sample::select(vec![End::Complete, End::Broken, End::Stale, End::Refused, End::Silence]),
        kind in prop::sample::select(vec!["application/json", "text/event-stream", "text/html"]),
        which in 0_usize..5,
        strategy in prop::sample::select(vec![Strategy::RoundRobin, Strategy::TimeWindow, Strategy::Random, Strategy::LeastUsed]),
    ) {
        let call = [Call::native(), Call::native_stream(), Call::native_array(), Call::chat(), Call::chat_stream()][which].clone();
        let mut harness = Harness::new(Config { strategy, ..config(&["pool-key-number-one-0001", "pool-key-number-two-0002", "pool-key-number-three-3"]) });
        let mut number = 0;
        let seen = harness.send(&call, |_| {
            number += 1;
            let chunks: Vec<Bytes> = pieces.iter().cloned().map(Bytes::from).collect();
            Canned { status: statuses[number % statuses.len()], content_type: kind, headers: Vec::new(), chunks, end, after: std::time::Duration::ZERO }
        });
        prop_assert!(seen.calls.len() <= 6);
        prop_assert!(!String::from_utf8_lossy(&seen.body).contains("pool-key-number"));
        let shown = format!("{:?}", harness.gateway);
        prop_assert!(shown.contains("leases: {}"), "{}", shown);
        prop_assert!(!shown.contains("pool-key-number"));
        let _ = Next::More;
    }

    /// Whatever a head holds: no panic, and nothing of a stranger's goes up.
    #[test]
    fn heads_of_all_kinds(
        method in prop::sample::select(vec!["GET", "POST", "HEAD", "DELETE", "OPTIONS", "CONNECT", "PATCH"]),
        path in "(/(v1|v1beta|v1alpha|openai|gemini|models|tunedModels|chat|completions|verify|%2e%2e|\\.\\.|%2F|a:b|x:generateContent|m:streamGenerateContent|%00|%E4%BD|base|files)){0,6}/?",
        query in "(\\?((key|k%65y|alt|\\$alt|format|pageSize)=(a|sse|json|%2C|a,b|%FF|)&?){0,3})?",
        name in prop::sample::select(vec!["x-goog-api-key", "authorization", "x-api-key", "x-server-timeout", "content-length", "content-encoding", "x-forwarded-for", "host"]),
        value in prop::collection::vec(any::<u8>().prop_filter("allowed", |byte| *byte >= 32 && *byte != 127), 0..30),
    ) {
        let harness = Harness::new(Config { base_path: "/base".to_owned(), ..config(&["pool-key-number-one-0001"]) });
        let uri: http::Uri = match format!("{}{query}", if path.is_empty() { "/" } else { &path }).parse() { Ok(uri) => uri, Err(_) => return Ok(()) };
        let mut map = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            map.append(name, value.clone());
            map.append(name, value);
        }
        let method: Method = method.parse().expect("a method");
        let head = Head { method: &method, uri: &uri, headers: &map, peer: IpAddr::V4(Ipv4Addr::LOCALHOST) };
        if let Accepted::Stream(mut exchange) = harness.gateway.accept(&head, harness.now)
            && let Step::Start(_, Op::Upstream(request)) = exchange.poll(harness.now) {
                prop_assert!(request.headers()["x-goog-api-key"] != "pool-key-number-one-0001", "{} {:?}", uri, map);
            }
    }
}
