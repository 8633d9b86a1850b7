//! What the simulator answers, without a network: keys, conditions, quotas, directives, counts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use libra_simulator::{
    Clock, Condition, Config, Disturbance, End, Fault, Key, Limits, PLAIN_FAULTS, Plan, Project, Reply,
    Simulator,
};
use serde_json::{Value, json};

/// 24 November 2026, 12:00:00 in California.
const NOON: u64 = 1_795_550_400_000;
const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const EVENTS: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
const ARRAY: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";

fn simulator(projects: Vec<Project>) -> Arc<Simulator> {
    Simulator::new(Config { projects, ..Config::default() }, Clock::manual(NOON), 7)
}

fn healthy() -> Arc<Simulator> {
    simulator(vec![Project::new("one", Limits::default(), &["key-one", "key-two"])])
}

fn prompt(text: &str) -> Value {
    json!({ "contents": [{ "parts": [{ "text": text }] }] })
}

fn request(method: Method, path: &str, key: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let builder = Request::builder().method(method).uri(path);
    let builder = if key.is_empty() { builder } else { builder.header("x-goog-api-key", key) };
    builder.body(body.into()).expect("test requests are valid")
}

/// Asks to the end.
fn plan(simulator: &Arc<Simulator>, path: &str, key: &str, body: &Value) -> Plan {
    let (plan, ticket) = simulator.answer(&request(Method::POST, path, key, body.to_string()));
    ticket.into_iter().for_each(|ticket| ticket.done());
    plan
}

fn reply(simulator: &Arc<Simulator>, path: &str, key: &str, body: &Value) -> Reply {
    match plan(simulator, path, key, body) {
        Plan::Answer(reply) => reply,
        other => panic!("{other:?} is no answer"),
    }
}

/// Asks, and gives the status and `error.message`.
fn ask(simulator: &Arc<Simulator>, key: &str, text: &str) -> (u16, String) {
    let reply = reply(simulator, GENERATE, key, &prompt(text));
    let body: Value = serde_json::from_slice(&reply.pieces.concat()).unwrap_or_default();
    (reply.status, body["error"]["message"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn only_known_keys_are_served() {
    let simulator = healthy();
    assert_eq!(ask(&simulator, "key-one", "hi").0, 200);
    assert_eq!(ask(&simulator, "key", "hi").0, 400);
    assert_eq!(ask(&simulator, "", "hi").0, 403);
    let open = Simulator::new(Config::open(), Clock::manual(NOON), 1);
    assert_eq!(ask(&open, "anything", "hi").0, 200);
    assert_eq!(ask(&open, "bad-key", "hi").0, 400);
    assert_eq!(ask(&open, "", "hi").0, 403);
    assert_eq!(open.counts().key("anything").project.as_deref(), Some("of anything"));
}

#[test]
fn an_open_simulator_remembers_no_more_keys_than_it_can() {
    let open = Simulator::new(Config { logged_requests: 0, ..Config::open() }, Clock::manual(NOON), 1);
    for number in 0..5_000 {
        assert_eq!(ask(&open, &format!("key-{number}"), "hi").0, 200);
    }
    let counts = open.counts();
    assert!(counts.keys.len() <= 4_100);
    assert_eq!(counts.totals.requests, 5_000);
    assert_eq!(counts.key("(others)").requests, 5_000 - 4_096);
}

#[test]
fn every_fault_works_by_key_and_by_prompt() {
    let by_key = healthy();
    let by_prompt = healthy();
    for (name, fault) in PLAIN_FAULTS {
        assert!(by_key.set_key("key-one", Condition::Faulty(*fault)));
        for path in [GENERATE, EVENTS, ARRAY] {
            let body = prompt("Tell me something long about load balancing");
            let directed =
                prompt(&format!("Tell me something long about load balancing {{{{fault={name}}}}}"));
            let (from_key, from_prompt) =
                (plan(&by_key, path, "key-one", &body), plan(&by_prompt, path, "key-one", &directed));
            let shown = |plan: &Plan| match plan {
                Plan::Answer(reply) => format!("{} {:?}", reply.status, reply.end),
                other => format!("{other:?}"),
            };
            assert_eq!(shown(&from_key), shown(&from_prompt), "{name} {path}");
            assert_ne!(from_key, plan(&by_key, path, "key-two", &body), "{name} {path}");
        }
    }
    assert_eq!(by_prompt.counts().key("key-one").requests, 3 * PLAIN_FAULTS.len() as u64);
}

#[test]
fn a_list_of_models_says_nothing_about_quotas() {
    let check = |fault, expected| {
        let key = Key::new("key", Condition::Faulty(fault));
        let simulator = simulator(vec![Project { keys: vec![key], ..Project::default() }]);
        let (plan, _ticket) = simulator.answer(&request(Method::GET, "/v1/models", "key", ""));
        let Plan::Answer(reply) = plan else { panic!("{fault} is no answer") };
        assert_eq!(reply.status, expected, "{fault}");
        // The model does not matter before the key is good.
        let refused = ask(&simulator, "key", "hi").0;
        assert_ne!(refused, 200, "{fault}");
    };
    check(Fault::Invalid, 400);
    check(Fault::Leaked, 403);
    check(Fault::DayLimit, 200);
    check(Fault::Forbidden, 200);
    check(Fault::Overloaded, 200);
}

#[test]
fn a_projects_condition_is_for_its_healthy_keys() {
    let keys = vec![Key::from("plain"), Key::new("lost", Condition::Faulty(Fault::Leaked))];
    let condition = Condition::Faulty(Fault::DayLimit);
    let simulator =
        simulator(vec![Project { name: "used-up".to_owned(), condition, keys, ..Project::default() }]);
    assert_eq!(ask(&simulator, "plain", "hi").0, 429);
    assert_eq!(ask(&simulator, "lost", "hi").0, 403);
    assert!(simulator.set_project("used-up", Condition::Healthy));
    assert_eq!(ask(&simulator, "plain", "hi").0, 200);
    assert!(!simulator.set_project("other", Condition::Healthy));
    assert!(!simulator.set_key("other", Condition::Healthy));
    simulator.reset();
    assert_eq!(ask(&simulator, "plain", "hi").0, 429);
}

#[test]
fn quotas_are_the_projects_and_the_models() {
    let limits = Limits { requests_per_minute: Some(2), requests_per_day: Some(3), ..Limits::default() };
    let simulator = simulator(vec![
        Project::new("one", limits, &["one-a", "one-b"]),
        Project::new("two", limits, &["two-a"]),
    ]);
    assert_eq!(ask(&simulator, "one-a", "hi").0, 200);
    assert_eq!(ask(&simulator, "one-b", "hi").0, 200);
    let (status, message) = ask(&simulator, "one-a", "hi");
    assert_eq!(status, 429);
    assert!(message.contains("limit: 2, model: gemini-2.5-flash\nPlease retry in 60.000s."), "{message}");
    assert_eq!(ask(&simulator, "two-a", "hi").0, 200);
    let other = reply(&simulator, "/v1/models/gemini-2.5-pro:generateContent", "one-a", &prompt("hi"));
    assert_eq!(other.status, 200);
    // What the prompt asks for uses no quota.
    assert_eq!(ask(&simulator, "two-a", "{{fault=empty-candidate}}").0, 200);
    assert_eq!(ask(&simulator, "two-a", "hi").0, 200);
    simulator.clock().advance(Duration::from_secs(60));
    assert_eq!(ask(&simulator, "one-b", "hi").0, 200);
    let (status, message) = ask(&simulator, "one-b", "hi");
    assert_eq!(status, 429);
    assert!(message.contains("limit: 3, model"), "{message}");
    simulator.clock().advance(Duration::from_secs(12 * 3600 - 61));
    assert_eq!(ask(&simulator, "one-b", "hi").0, 429);
    simulator.clock().advance(Duration::from_secs(1));
    assert_eq!(ask(&simulator, "one-b", "hi").0, 200);
}

#[test]
fn input_tokens_are_counted() {
    let limits = Limits { input_tokens_per_minute: Some(100), ..Limits::default() };
    let simulator = simulator(vec![Project::new("one", limits, &["key"])]);
    assert_eq!(ask(&simulator, "key", &"word".repeat(60)).0, 200);
    let (status, message) = ask(&simulator, "key", &"word".repeat(60));
    assert_eq!(status, 429);
    assert!(message.contains("input_token_count, limit: 100"), "{message}");
    assert_eq!(ask(&simulator, "key", &"word".repeat(40)).0, 200);
}

#[test]
fn chance_follows_the_seed() {
    let outcomes = |seed| {
        let flaky = Condition::Flaky { percent: 40, fault: Fault::Overloaded };
        let projects = vec![Project { keys: vec![Key::new("key", flaky)], ..Project::default() }];
        let simulator = Simulator::new(Config { projects, ..Config::default() }, Clock::manual(NOON), seed);
        (0..200).map(|_| ask(&simulator, "key", "hi").0).collect::<Vec<_>>()
    };
    let first = outcomes(1);
    assert_eq!(first, outcomes(1));
    assert_ne!(first, outcomes(2));
    let failed = first.iter().filter(|status| **status == 503).count();
    assert!((50..110).contains(&failed), "{failed} of 200");
}

#[test]
fn directives_shape_answers() {
    let simulator = healthy();
    let shaped = reply(
        &simulator,
        EVENTS,
        "key-one",
        &prompt("{{chunks=20}}{{chunk_bytes=512}}{{delay_ms=3}}{{first_delay_ms=4}}"),
    );
    assert_eq!(shaped.pieces.len(), 20);
    assert!(shaped.pieces.iter().all(|event| event.len() == 512));
    assert_eq!((shaped.delay, shaped.first_delay), (Duration::from_millis(3), Duration::from_millis(4)));
    let cut = reply(&simulator, EVENTS, "key-one", &prompt("{{chunks=20}}{{fault=cut}}"));
    assert_eq!((cut.pieces.len(), cut.end), (11, End::Cut));
    let slow = reply(&simulator, GENERATE, "key-one", &prompt("{{fault=slow-first-byte:250}}"));
    assert_eq!(slow.head_delay, Duration::from_millis(250));
    let (status, message) = ask(&simulator, "key-one", "{{fault=sick}}");
    assert_eq!((status, message.as_str()), (400, "libra-simulator: there is no fault named sick"));
    assert!(ask(&simulator, "key-one", "{{fault=minute-limit}}").1.ends_with("Please retry in 1.500s."));
    assert!(ask(&simulator, "key-one", "{{fault=day_limit}}{{retry_ms=70}}").1.ends_with("retry in 0.070s."));
    // Only the last text counts.
    let mut body = prompt("{{fault=overloaded}}");
    let contents = body["contents"].as_array_mut().expect("contents are a list");
    contents.push(json!({ "role": "model", "parts": [{ "text": "I am." }] }));
    contents.push(json!({ "role": "user", "parts": [{ "text": "And now?" }] }));
    assert_eq!(reply(&simulator, GENERATE, "key-one", &body).status, 200);
}

#[test]
fn errors_come_in_the_form_of_the_answer() {
    let simulator = healthy();
    let check = |path: &str, content_type: &str, start: &str| {
        let reply = reply(&simulator, path, "key-one", &prompt("{{fault=overloaded}}"));
        let body = String::from_utf8(reply.pieces.concat()).expect("errors are UTF-8");
        assert_eq!((reply.status, reply.content_type), (503, content_type), "{path}");
        assert!(body.starts_with(start), "{path}: {body}");
    };
    check(GENERATE, "application/json; charset=UTF-8", "{\n  \"error\"");
    check(EVENTS, "text/event-stream", "{\n  \"error\"");
    check(ARRAY, "application/json; charset=UTF-8", "[{\n  \"error\"");
}

#[test]
fn models_and_paths_that_there_are_not() {
    let simulator = healthy();
    let check = |path: &str, status: u16, text: &str| {
        let reply = reply(&simulator, path, "key-one", &prompt("hi"));
        let body = String::from_utf8(reply.pieces.concat()).expect("errors are UTF-8");
        assert_eq!(reply.status, status, "{path}");
        assert!(body.contains(text), "{path}: {body}");
    };
    check("/v1/models/gemini-0:generateContent", 404, "models/gemini-0 is not found for API version v1,");
    check("/v1beta/models/gemini-2.5-flash:embedContent", 404, "is not supported for embedContent.");
    check("/v1beta/models/gemini-embedding-001:streamGenerateContent", 404, "is not supported for");
    check("/v1beta/chat", 404, "<!DOCTYPE html>");
    check("/", 404, "<!DOCTYPE html>");
}

#[test]
fn tokens_are_counted_and_texts_embedded() {
    let simulator = healthy();
    let object = |path: &str, body: Value| -> Value {
        let reply = reply(&simulator, path, "key-one", &body);
        assert_eq!(reply.status, 200, "{path} {:?}", reply.pieces);
        serde_json::from_slice(&reply.pieces.concat()).expect("answers are JSON")
    };
    let count = "/v1beta/models/gemini-2.5-flash:countTokens";
    assert_eq!(object(count, prompt("12345678"))["totalTokens"], 2);
    assert_eq!(object(count, json!({ "generateContentRequest": prompt("12345678") }))["totalTokens"], 2);
    let content = json!({ "parts": [{ "text": "a" }] });
    let one = object(
        "/v1/models/gemini-embedding-001:embedContent",
        json!({ "content": content, "output_dimensionality": 8 }),
    );
    assert_eq!(one["embedding"]["values"].as_array().map(Vec::len), Some(8));
    let request = json!({ "model": "models/gemini-embedding-001", "content": content });
    let two = object(
        "/v1/models/gemini-embedding-001:batchEmbedContents",
        json!({ "requests": [request, request] }),
    );
    assert_eq!(two["embeddings"].as_array().map(Vec::len), Some(2));
    assert_eq!(two["embeddings"][1]["values"].as_array().map(Vec::len), Some(3_072));
}

#[test]
fn bodies_that_are_too_large_or_no_json() {
    let projects = vec![Project::new("one", Limits::default(), &["key"])];
    let config = Config { projects, body_limit: 1_000, ..Config::default() };
    let simulator = Simulator::new(config, Clock::manual(NOON), 1);
    let check = |request: Request<Bytes>, expected: &str| {
        let (Plan::Answer(reply), _ticket) = simulator.answer(&request) else { panic!("there is no answer") };
        let body = String::from_utf8(reply.pieces.concat()).expect("errors are UTF-8");
        assert_eq!(reply.status, 400, "{body}");
        assert!(body.contains(expected), "{body}");
    };
    check(request(Method::POST, GENERATE, "key", vec![b' '; 1_001]), "exceeds the limit: 1000 bytes");
    check(request(Method::POST, GENERATE, "key", "{"), "Invalid JSON payload received.");
    check(request(Method::POST, GENERATE, "key", "[]"), "an object is needed");
    check(request(Method::POST, GENERATE, "key", ""), "contents is not specified");
    let mut packed = request(Method::POST, GENERATE, "key", "no gzip");
    packed.headers_mut().insert("content-encoding", "gzip".parse().expect("the header is valid"));
    check(packed, "could not be decompressed");
    let bomb = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&[b' '; 100_000]).and_then(|()| encoder.finish()).expect("memory is writable")
    };
    let mut packed = request(Method::POST, GENERATE, "key", bomb);
    packed.headers_mut().insert("content-encoding", "gzip".parse().expect("the header is valid"));
    check(packed, "exceeds the limit");
}

#[test]
fn everything_is_counted() {
    let simulator = healthy();
    ask(&simulator, "key-one", "hi");
    ask(&simulator, "key-one", "{{fault=overloaded}}");
    ask(&simulator, "stranger", "hi");
    ask(&simulator, "", "hi");
    simulator.clock().advance(Duration::from_secs(1));
    let (_, ticket) = simulator.answer(&request(Method::POST, EVENTS, "key-one", prompt("hi").to_string()));
    assert_eq!(simulator.counts().key("key-one").in_flight, 1);
    drop(ticket);
    plan(&simulator, GENERATE, "key-one", &prompt("{{fault=hang}}"));
    let counts = simulator.counts();
    let one = counts.key("key-one");
    assert_eq!((one.requests, one.in_flight, one.aborted), (4, 0, 1));
    assert_eq!((one.status(200), one.status(503), one.status(0)), (2, 1, 1));
    assert_eq!(one.project.as_deref(), Some("one"));
    assert_eq!(one.calls[&("gemini-2.5-flash", "generateContent")], 3);
    assert_eq!((one.first_ms, one.last_ms), (Some(NOON), Some(NOON + 1_000)));
    assert_eq!(counts.key("stranger").status(400), 1);
    assert_eq!(counts.key("(none)").status(403), 1);
    assert_eq!(counts.totals.requests, 6);
    simulator.reset();
    assert_eq!(simulator.counts().totals.requests, 0);
}

#[test]
fn control_endpoints() {
    let simulator = healthy();
    let control = |method: Method, path: &str, body: &str| -> (u16, Value) {
        let (plan, ticket) =
            simulator.answer(&request(method, &format!("/_simulator/{path}"), "", body.to_owned()));
        assert!(ticket.is_none());
        let Plan::Answer(reply) = plan else { panic!("{path} gives no answer") };
        (reply.status, serde_json::from_slice(&reply.pieces.concat()).expect("answers are JSON"))
    };
    ask(&simulator, "key-one", "hi");
    let (_, counts) = control(Method::GET, "counts", "");
    assert_eq!(counts["keys"]["key-one"]["calls"]["gemini-2.5-flash:generateContent"], 1);
    assert_eq!(counts["keys"]["key-two"]["requests"], 0);
    assert_eq!(counts["totals"]["statuses"]["200"], 1);
    let (_, log) = control(Method::GET, "log", "");
    assert_eq!(log[0]["path"], GENERATE);
    assert_eq!(log[0]["headers"]["x-goog-api-key"], "key-one");
    assert_eq!(log[0]["body"], prompt("hi").to_string());
    let leaked = r#"{ "key": "key-one", "condition": "leaked" }"#;
    assert_eq!(control(Method::POST, "keys", leaked).0, 200);
    assert_eq!(ask(&simulator, "key-one", "hi").0, 403);
    assert_eq!(control(Method::GET, "keys", "").1, json!({ "key-one": "leaked", "key-two": "healthy" }));
    assert_eq!(control(Method::POST, "keys", r#"{ "project": "one", "condition": "prepay" }"#).0, 200);
    assert_eq!(ask(&simulator, "key-two", "hi").0, 429);
    assert_eq!(control(Method::POST, "keys", r#"{ "key": "other", "condition": "leaked" }"#).0, 404);
    assert_eq!(control(Method::POST, "keys", r#"{ "key": "key-one", "condition": "sick" }"#).0, 400);
    let (_, clock) = control(Method::POST, "clock", r#"{ "advance_ms": 500 }"#);
    assert_eq!(clock["now_ms"], NOON + 500);
    assert_eq!(control(Method::POST, "reset", "").0, 200);
    assert_eq!(ask(&simulator, "key-one", "hi").0, 200);
    assert_eq!(control(Method::POST, "nothing", "").0, 404);
}

#[test]
fn disturbances_meet_everybody_for_their_time() {
    let overload = Disturbance {
        after_secs: 60,
        for_secs: Some(10),
        model: Some("gemini-2.5-flash".to_owned()),
        condition: Condition::Faulty(Fault::Overloaded),
    };
    let projects = vec![Project {
        keys: vec![Key::from("key-one"), Key::new("lost", Condition::Faulty(Fault::Leaked))],
        ..Project::default()
    }];
    let config = Config { projects, disturbances: vec![overload], ..Config::default() };
    let simulator = Simulator::new(config, Clock::manual(NOON), 7);
    let ask = |key| ask(&simulator, key, "Hi").0;
    assert_eq!(ask("key-one"), 200);
    simulator.clock().advance(Duration::from_secs(60));
    assert_eq!((ask("key-one"), ask("lost")), (503, 403));
    let other = "/v1beta/models/gemini-2.5-pro:generateContent";
    assert_eq!(reply(&simulator, other, "key-one", &prompt("Hi")).status, 200);
    simulator.clock().advance(Duration::from_secs(10));
    assert_eq!(ask("key-one"), 200);
}
