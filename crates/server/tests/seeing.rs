//! What operators see of the real server: metrics, traces, log, webhook; and that no key is in any of it.

#[path = "seeing/receiver.rs"]
mod receiver;
mod running;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::{Method, Request};
use http_body_util::Full;
use libra_simulator::{Condition, Fault};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use receiver::{Got, Receiver};
use running::{CHAT, CLIENT, GENERATE, Running, STREAM, chat, faulty, native, simulator, text};

const HEALTHY: Condition = Condition::Healthy;
const TOKEN: &str = "metrics-token-of-the-tests";

/// The page as a map: a series with its labels, and its value.
struct Page(BTreeMap<String, f64>, String);

impl Page {
    fn parse(text: String) -> Self {
        assert!(text.ends_with("# EOF\n"), "OpenMetrics end so");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let mut series = BTreeMap::new();
        for line in lines {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let value = value.parse().expect("a number");
            assert!(series.insert(name.to_owned(), value).is_none(), "twice: {name}");
        }
        Self(series, text)
    }

    /// The sum of all series of this name that have these labels.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let is_asked = |series: &str| {
            let (its, rest) = series.split_once('{').unwrap_or((series, ""));
            its == name && labels.iter().all(|label| rest.contains(label))
        };
        self.0.iter().filter(|(series, _)| is_asked(series)).map(|(_, value)| value).sum()
    }

    fn names(&self) -> BTreeSet<&str> {
        self.0.keys().map(|series| series.split('{').next().unwrap_or(series)).collect()
    }
}

async fn page_of(running: &Running, base: &str, token: Option<&str>) -> (u16, String) {
    let mut request = Request::builder().uri(format!("{base}/metrics"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = running.send(request.body(Full::default()).expect("a request")).await;
    (answer.status().as_u16(), text(answer).await.expect("a whole body"))
}

async fn page(running: &Running) -> Page {
    let (status, text) = page_of(running, &running.base, Some(TOKEN)).await;
    assert_eq!(status, 200, "{text}");
    Page::parse(text)
}

const METRICS: (&str, &str) = ("LIBRA_METRICS_TOKEN", TOKEN);

#[tokio::test(flavor = "multi_thread")]
async fn known_traffic_is_counted_exactly() {
    let keys = [("leaked-key", faulty(Fault::Leaked)), ("good-key", HEALTHY)];
    let settings = [("LIBRA_KEYS", "a:leaked-key,b:good-key"), ("LIBRA_STRATEGY", "round-robin"), METRICS];
    let running = Running::start(simulator(&keys), &settings).await;
    for _ in 0..3 {
        assert_eq!(running.post(CHAT, chat("Hello", false)).await.0, 200);
    }
    for _ in 0..2 {
        assert_eq!(running.post(STREAM, native("Hello")).await.0, 200);
    }
    assert_eq!(running.post(GENERATE, native("{{fault=bad-request}}")).await.0, 400);
    assert_eq!(running.get("/v1/models").await.0, 200);
    assert_eq!(running.get("/nothing/here").await.0, 404);
    let page = page(&running).await;
    let check = |name: &str, labels: &[&str], expected: f64| {
        let sum = page.sum(name, labels);
        assert!((sum - expected).abs() < 1e-9, "{name} {labels:?}: {sum}, not {expected}\n{}", page.1);
    };
    let flash = r#"model="gemini-2.5-flash""#;
    let (ok, complete) = (r#"status="2xx""#, r#"ending="complete""#);
    let requests = "libra_requests_total";
    check(requests, &[r#"dialect="openai""#, r#"operation="generate""#, flash, ok, complete], 3.0);
    check(requests, &[r#"dialect="gemini""#, r#"operation="generate""#, flash, ok, complete], 2.0);
    check(requests, &[r#"dialect="gemini""#, flash, r#"status="4xx""#, r#"ending="refused""#], 1.0);
    check(requests, &[r#"operation="models""#, r#"model="none""#, ok], 1.0);
    check(requests, &[], 7.0);
    check("libra_attempts_total", &[r#"result="served""#], 6.0);
    check("libra_attempts_total", &[r#"result="failed""#], 2.0);
    check("libra_attempt_failures_total", &[r#"class="key_leaked""#], 1.0);
    check("libra_attempt_failures_total", &[r#"class="request""#], 1.0);
    check("libra_key_set_asides_total", &[r#"reason="leaked""#], 1.0);
    check("libra_keys", &[r#"state="usable""#], 1.0);
    check("libra_keys", &[r#"state="set_aside""#], 1.0);
    check("libra_keys_set_aside", &[r#"reason="leaked""#], 1.0);
    check("libra_time_to_first_byte_seconds_count", &[flash], 2.0);
    check("libra_request_duration_seconds_count", &[r#"operation="generate""#], 5.0);
    check("libra_http_responses_total", &[r#"code="200""#], 6.0);
    check("libra_http_responses_total", &[r#"code="400""#], 1.0);
    check("libra_http_responses_total", &[r#"code="404""#], 1.0);
    check("libra_requests_in_flight", &[], 0.0);
    check("libra_streams_in_flight", &[], 0.0);
    check("libra_build_info", &[], 1.0);
    let counts = running.simulator.counts();
    let tokens = |kind: &str| page.sum("libra_tokens_total", &[flash, kind]);
    assert!(tokens(r#"kind="input""#) > 0.0 && tokens(r#"kind="output""#) > 0.0, "{}", page.1);
    assert_eq!(counts.key("leaked-key").requests, 1, "it was tried once");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_counted_while_they_flow() {
    let settings = [("LIBRA_KEYS", "pool-key"), METRICS];
    let running = Running::start(simulator(&[("pool-key", HEALTHY)]), &settings).await;
    let slow = running.request(Method::POST, STREAM, native("{{chunks=40}} {{delay_ms=50}}"));
    let answer = running.send(slow).await;
    assert!((page(&running).await.sum("libra_streams_in_flight", &[]) - 1.0).abs() < 1e-9);
    drop(answer);
    for _ in 0..100 {
        let page = page(&running).await;
        if page.sum("libra_streams_in_flight", &[]) < 1.0 {
            let left = page.sum("libra_requests_total", &[r#"ending="client_left""#]);
            assert!((left - 1.0).abs() < 1e-9, "{}", page.1);
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the stream is still counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_for_whoever_may_see_it() {
    let settings = [("LIBRA_KEYS", "pool-key"), ("LIBRA_METRICS_LISTEN", "127.0.0.1:0"), METRICS];
    let running = Running::start(simulator(&[("pool-key", HEALTHY)]), &settings).await;
    for token in [None, Some(CLIENT), Some("metrics-token-of-the-test"), Some("")] {
        let (status, said) = page_of(&running, &running.base, token).await;
        assert!(status == 401 && !said.contains("libra_"), "{token:?}: {status}");
    }
    assert_eq!(page_of(&running, &running.base, Some(TOKEN)).await.0, 200);
    let log = running.log();
    let open = log.split("metrics are on ").nth(1).expect("the address is told").split("/metrics").next();
    let open = open.expect("an address");
    assert_eq!(page_of(&running, open, None).await.0, 200);
    // Without a token there is no such page, and an administrator's opens it, too.
    let running = Running::start(
        simulator(&[("pool-key", HEALTHY)]),
        &[("LIBRA_KEYS", "pool-key"), ("LIBRA_ADMIN_TOKEN", "admin-token-of-the-tests")],
    )
    .await;
    assert_eq!(page_of(&running, &running.base, Some("admin-token-of-the-tests")).await.0, 200);
    let running = Running::start(simulator(&[("pool-key", HEALTHY)]), &[("LIBRA_KEYS", "pool-key")]).await;
    let (status, said) = page_of(&running, &running.base, Some(CLIENT)).await;
    assert!(status == 404 && !said.contains("libra_"), "{status}");
}

/// Neither models that clients make up nor thousands of projects make the page grow without end.
#[tokio::test(flavor = "multi_thread")]
async fn series_are_bounded() {
    let many: Vec<String> = (0..400).map(|number| format!("key-of-many-{number}")).collect();
    let keys: Vec<(&str, Condition)> = many.iter().map(|key| (key.as_str(), HEALTHY)).collect();
    let list = many.join(",");
    let settings = [("LIBRA_KEYS", list.as_str()), ("LIBRA_LOG", "error"), METRICS];
    let running = Running::start(simulator(&keys), &settings).await;
    for number in 0..300 {
        // Conversations stay where they are: each is another one.
        assert_eq!(running.post(GENERATE, native(&format!("Hello {number}"))).await.0, 200);
    }
    let before = page(&running).await;
    for number in 0..60 {
        let path = format!("/v1beta/models/made-up-{number}:generateContent");
        assert_eq!(running.post(&path, native("Hello")).await.0, 404, "{number}");
    }
    let after = page(&running).await;
    assert!(!after.1.contains("made-up"), "{}", after.1);
    assert!(after.sum("libra_requests_total", &[r#"model="other""#]) > 59.0, "{}", after.1);
    let grown = after.0.len() - before.0.len();
    assert!(grown < 20, "{grown} more series");
    let projects: BTreeSet<_> =
        after.0.keys().filter_map(|series| series.split("project=\"").nth(1)?.split('"').next()).collect();
    assert!(projects.len() <= 101 && projects.contains("other"), "{} projects", projects.len());
}

fn text_of<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    match &attributes.iter().find(|attribute| attribute.key == name)?.value.as_ref()?.value {
        Some(Value::StringValue(text)) => Some(text),
        _ => None,
    }
}

fn number_of(attributes: &[KeyValue], name: &str) -> Option<i64> {
    match attributes.iter().find(|attribute| attribute.key == name)?.value.as_ref()?.value {
        Some(Value::IntValue(number)) => Some(number),
        _ => None,
    }
}

fn spans(got: &[Got]) -> Vec<Span> {
    let requests = got.iter().filter(|got| got.path == "/v1/traces");
    let requests =
        requests.map(|got| ExportTraceServiceRequest::decode(got.body.clone()).expect("a request"));
    requests
        .flat_map(|request| request.resource_spans)
        .flat_map(|spans| spans.scope_spans)
        .flat_map(|spans| spans.spans)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_span_and_so_is_each_attempt() {
    let collector = Receiver::start(&[]).await;
    let keys = [("tired-key", faulty(Fault::MinuteLimit)), ("good-key", HEALTHY)];
    let settings = [
        ("LIBRA_KEYS", "a:tired-key,b:good-key"),
        ("LIBRA_STRATEGY", "round-robin"),
        ("LIBRA_OTLP", collector.base.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=seven"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
        METRICS,
    ];
    let running = Running::start(simulator(&keys), &settings).await;
    for _ in 0..2 {
        let mut request = running.request(Method::POST, CHAT, chat("Hello", true));
        let traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        request.headers_mut().insert("traceparent", traced.parse().expect("a value"));
        let answer = running.send(request).await;
        assert_eq!(answer.status(), 200);
        text(answer).await.expect("a whole answer");
    }
    // The client does not record this one.
    let mut request = running.request(Method::POST, CHAT, chat("Hello", true));
    let untraced = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-00f067aa0ba902b7-00";
    request.headers_mut().insert("traceparent", untraced.parse().expect("a value"));
    text(running.send(request).await).await.expect("a whole answer");
    let got = collector.wait_until(|got| spans(got).len() >= 5).await;
    assert!(got.iter().all(|got| got.headers["x-tenant"] == "seven"));
    let spans = spans(&got);
    assert_eq!(spans.len(), 5, "two requests, three attempts: {spans:#?}");
    let trace = u128::to_be_bytes(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    assert!(spans.iter().all(|span| span.trace_id == trace), "{spans:#?}");
    let parent = u64::to_be_bytes(0x00f0_67aa_0ba9_02b7);
    let roots: Vec<_> = spans.iter().filter(|span| span.parent_span_id == parent).collect();
    assert_eq!(roots.len(), 2);
    for root in &roots {
        let attributes = &root.attributes;
        assert_eq!(root.name, "chat gemini-2.5-flash");
        assert_eq!(text_of(attributes, "gen_ai.operation.name"), Some("chat"));
        assert_eq!(text_of(attributes, "gen_ai.provider.name"), Some("gcp.gemini"));
        assert_eq!(text_of(attributes, "gen_ai.request.model"), Some("gemini-2.5-flash"));
        assert!(number_of(attributes, "gen_ai.usage.input_tokens").is_some_and(|tokens| tokens > 0));
        assert!(number_of(attributes, "gen_ai.usage.output_tokens").is_some_and(|tokens| tokens > 0));
        let attempts: Vec<_> = spans.iter().filter(|span| span.parent_span_id == root.span_id).collect();
        assert!((1..=2).contains(&attempts.len()), "{spans:#?}");
        for attempt in attempts {
            assert!(attempt.start_time_unix_nano >= root.start_time_unix_nano, "{spans:#?}");
            assert!(attempt.end_time_unix_nano <= root.end_time_unix_nano, "{spans:#?}");
            assert!(text_of(&attempt.attributes, "libra.key").is_some_and(|key| key.starts_with("key-")));
        }
    }
    let failed: Vec<_> = spans.iter().filter_map(|span| text_of(&span.attributes, "error.type")).collect();
    assert_eq!(failed, ["quota_minute"]);
    let got = collector.wait_until(|got| got.iter().any(|got| got.path == "/v1/metrics")).await;
    let metrics = got.iter().filter(|got| got.path == "/v1/metrics");
    let metrics: BTreeSet<String> = metrics
        .flat_map(|got| {
            ExportMetricsServiceRequest::decode(got.body.clone()).expect("a request").resource_metrics
        })
        .flat_map(|metrics| metrics.scope_metrics)
        .flat_map(|metrics| metrics.metrics)
        .map(|metric| metric.name)
        .collect();
    let expected = ["gen_ai.client.operation.duration", "gen_ai.client.token.usage"];
    assert_eq!(metrics, expected.map(str::to_owned).into());
    let sent = page(&running).await.sum("libra_otlp_items_total", &[r#"result="sent""#]);
    assert!((sent - 5.0).abs() < 1e-9, "{sent}");
}

/// Nobody notices that a collector is gone, but for a counter.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_costs_nothing() {
    let settings = [("LIBRA_KEYS", "pool-key"), ("LIBRA_OTLP", "http://127.0.0.1:9"), METRICS];
    let running = Running::start(simulator(&[("pool-key", HEALTHY)]), &settings).await;
    for _ in 0..20 {
        assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
    }
    for _ in 0..200 {
        let page = page(&running).await;
        if page.sum("libra_otlp_items_total", &[r#"result="failed""#]) >= 1.0 {
            assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing has failed: {}", running.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_once_and_signed() {
    // It does not take the first message at once.
    let reader = Receiver::start(&[503]).await;
    let address = format!("{}/hook?token=secret-of-the-address", reader.base);
    let keys = [("leaked-key", faulty(Fault::Leaked)), ("good-key", HEALTHY)];
    let settings = [
        ("LIBRA_KEYS", "a:leaked-key,b:good-key"),
        ("LIBRA_STRATEGY", "round-robin"),
        ("LIBRA_WEBHOOK", address.as_str()),
        ("LIBRA_WEBHOOK_SECRET", "secret-of-the-signature"),
        ("LIBRA_LOG", "trace"),
    ];
    let running = Running::start(simulator(&keys), &settings).await;
    for _ in 0..4 {
        assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
    }
    let got = reader.wait_until(|got| got.len() >= 2).await;
    assert_eq!(got[0].body, got[1].body);
    let said: serde_json::Value = serde_json::from_slice(&got[1].body).expect("JSON");
    assert_eq!((&said["event"], &said["project"]), (&"key_leaked".into(), &"a".into()), "{said}");
    assert!(said["key"].as_str().is_some_and(|key| key.starts_with("key-")), "{said}");
    assert!(got[1].headers["x-libra-signature"].to_str().is_ok_and(|it| it.starts_with("sha256=")));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(reader.got().len(), 2, "it is told once");
    let log = running.log();
    assert!(!log.contains("secret-of-the"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_tells_how_a_request_went() {
    let keys = [("tired-key", faulty(Fault::MinuteLimit)), ("good-key", HEALTHY)];
    let settings = [("LIBRA_KEYS", "a:tired-key,b:good-key"), ("LIBRA_STRATEGY", "round-robin")];
    let running = Running::start(simulator(&keys), &settings).await;
    for _ in 0..2 {
        assert_eq!(running.post(STREAM, native("Hello")).await.0, 200);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let log = running.log();
    let story = log.lines().find(|line| line.contains("429 quota minute, rests ")).expect("a story");
    for part in ["request → key-", " project a", " project b", " → first byte ", " → done ", " tokens"]
    {
        assert!(story.contains(part), "{part}: {story}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_can_be_json() {
    let settings = [("LIBRA_KEYS", "pool-key"), ("LIBRA_LOG_FORMAT", "json")];
    let running = Running::start(simulator(&[("pool-key", HEALTHY)]), &settings).await;
    assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let log = running.log();
    let lines = log.lines().map(|line| serde_json::from_str(line).expect("an object a line"));
    let lines: Vec<serde_json::Value> = lines.collect();
    assert!(lines.iter().any(|line| line["status"] == 200 && line["ending"] == "Complete"), "{log}");
}

/// A terminal that stands still holds no request up.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_nobody_up() {
    let settings = [("LIBRA_KEYS", "pool-key"), ("LIBRA_LOG", "trace"), ("LIBRA_LOG_BODIES", "on"), METRICS];
    let running = Running::start_unread(simulator(&[("pool-key", HEALTHY)]), &settings).await;
    for _ in 0..2000 {
        assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
    }
    let page = page(&running).await;
    assert!(page.sum("libra_log_lines_dropped_total", &[]) > 0.0, "{}", page.1);
}

/// Keys that are nowhere to be found in what is shown, whatever is switched on.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_shows_in_anything_that_is_shown() {
    const CANARY: &str = "AIzaSyCANARY-of-the-tests-0123456789abc";
    const PLAIN: &str = "canary.plain-key_7";
    for format in ["pretty", "json"] {
        for level in ["error", "warn", "info", "debug", "trace"] {
            let (collector, reader) = (Receiver::start(&[]).await, Receiver::start(&[]).await);
            let keys = [(CANARY, faulty(Fault::Leaked)), (PLAIN, HEALTHY), ("third", HEALTHY)];
            let list = format!("a:{CANARY},b:{PLAIN},c:third");
            let settings = [
                ("LIBRA_KEYS", list.as_str()),
                ("LIBRA_STRATEGY", "round-robin"),
                ("LIBRA_LOG", level),
                ("LIBRA_LOG_FORMAT", format),
                ("LIBRA_LOG_BODIES", "16KiB"),
                ("LIBRA_OTLP", collector.base.as_str()),
                ("LIBRA_WEBHOOK", reader.base.as_str()),
                METRICS,
            ];
            let running = Running::start(simulator(&keys), &settings).await;
            let spilled = format!("Look: {CANARY} and {PLAIN}, x={CLIENT}");
            for _ in 0..3 {
                running.post(CHAT, chat(&spilled, false)).await;
                running.post(CHAT, chat(&spilled, true)).await;
                running.post(STREAM, native(&spilled)).await;
                running.post(GENERATE, native(&format!("{spilled} {{{{fault=suspended}}}}"))).await;
            }
            let image = "Ab9+".repeat(2000);
            let body = serde_json::json!({ "contents": [{ "parts": [
                { "text": "Hi" }, { "inlineData": { "mimeType": "image/png", "data": image } },
            ] }] });
            running.post(GENERATE, body.to_string()).await;
            let page = page(&running).await.1;
            let spans = collector.wait_until(|got| !got.is_empty()).await;
            let told = reader.wait_until(|got| !got.is_empty()).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            let log = running.log();
            if matches!(level, "info" | "debug" | "trace") {
                assert!(log.contains("asked: ") && log.contains("answered: "), "{log}");
                assert!(log.contains("[8000 characters]"), "{log}");
            }
            let sent = [spans, told].concat();
            let sent = sent.iter().map(|got| String::from_utf8_lossy(&got.body).into_owned());
            let seen = sent.collect::<String>() + &page + &log;
            for secret in [CANARY, PLAIN, CLIENT, TOKEN] {
                assert!(!seen.contains(secret), "{secret} shows at {level} in {format}: {seen}");
            }
        }
    }
}

/// Every metric that the dashboard and the alert rules ask for is there.
#[tokio::test(flavor = "multi_thread")]
async fn dashboard_and_alerts_ask_for_what_there_is() {
    let folder = format!("{}/libra-seeing-{}", std::env::temp_dir().display(), std::process::id());
    let keys = [("leaked-key", faulty(Fault::Leaked)), ("good-key", HEALTHY)];
    let projects = r#"{"b":{"limits":[{"rpm":100,"tpm":100000,"rpd":1000}]}}"#;
    let settings = [
        ("LIBRA_KEYS", "a:leaked-key,b:good-key"),
        ("LIBRA_PROJECTS", projects),
        ("LIBRA_DATA", folder.as_str()),
        METRICS,
    ];
    let running = Running::start(simulator(&keys), &settings).await;
    for number in 0..6 {
        assert_eq!(running.post(STREAM, native(&format!("Hello {number}"))).await.0, 200);
    }
    let page = page(&running).await;
    let names = page.names();
    drop(running);
    let _ = std::fs::remove_dir_all(folder);
    let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy");
    let dashboard = std::fs::read_to_string(format!("{deploy}/grafana/libra.json")).expect("a dashboard");
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let alerts = std::fs::read_to_string(format!("{deploy}/prometheus/alerts.yml")).expect("rules");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut asked: Vec<String> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default())
        .map(|target| target["expr"].as_str().expect("a query").to_owned())
        .collect();
    assert!(asked.len() > 20, "{} queries", asked.len());
    asked.extend(alerts.lines().filter(|line| !line.trim_start().starts_with('#')).map(str::to_owned));
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let mut found = BTreeSet::new();
    for text in &asked {
        for word in text.split(|char| !is_name(char)) {
            if word.starts_with("libra_") || word.starts_with("process_") {
                assert!(names.contains(word), "there is no {word}: {text}\n{names:?}");
                found.insert(word.to_owned());
            }
        }
    }
    assert!(found.len() > 25, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_of_incidents() {
    let reader = Receiver::start(&[]).await;
    let names: Vec<String> = (0..8).map(|number| format!("key-of-project-{number}")).collect();
    let keys: Vec<_> = names.iter().map(|name| (name.as_str(), faulty(Fault::Overloaded))).collect();
    let list = names.join(",");
    let settings = [
        ("LIBRA_KEYS", list.as_str()),
        ("LIBRA_WEBHOOK", reader.base.as_str()),
        ("LIBRA_WEBHOOK_FORMAT", "feishu"),
        ("LIBRA_RETRY_BUDGET", "off"),
        ("LIBRA_QUEUE_WAIT", "0"),
    ];
    let running = Running::start(simulator(&keys), &settings).await;
    let mut is_told = false;
    for number in 0..40 {
        running.post(GENERATE, native(&format!("Hello {number}"))).await;
        let said = |got: &Got| String::from_utf8_lossy(&got.body).contains("many projects fail alike");
        is_told = reader.got().iter().any(said);
        if is_told {
            break;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert!(is_told, "{:?}\n{}", reader.got(), running.log());
}
