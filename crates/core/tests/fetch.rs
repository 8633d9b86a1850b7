//! Media that requests name by address: fetched, put in place, kept for a while, and refused in plain words.

mod harness;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use harness::{CLIENT, Call, Canned, Harness, Seen, config};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, StatusCode};
use libra_core::config::{Config, Fetch};
use libra_core::event::Event;
use libra_core::exchange::Outcome;

const ANSWER: &str =
    r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"A cat."}]},"finishReason":"STOP"}]}"#;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";
/// The same in base64.
const PNG_BASE64: &str = "iVBORw0KGgogYW5kIHNvIG9u";

/// What a server says: a status, headers, and a body in chunks.
fn says(status: u16, headers: &[(&'static str, &str)], chunks: &[&[u8]]) -> Vec<Outcome> {
    let pairs = headers.iter().map(|(name, value)| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).expect("a header value"))
    });
    let head = Outcome::Head(StatusCode::from_u16(status).expect("a status"), pairs.collect::<HeaderMap>());
    let chunks = chunks.iter().map(|chunk| Outcome::Chunk(Bytes::copy_from_slice(chunk)));
    [head].into_iter().chain(chunks).chain([Outcome::End]).collect()
}

fn png() -> Vec<Outcome> {
    says(200, &[("content-type", "image/png")], &[&PNG[..5], &PNG[5..]])
}

fn moved(to: &str) -> Vec<Outcome> {
    says(302, &[("location", to)], &[])
}

/// A gateway, what it asked of the web, and the bodies that went up.
struct World {
    harness: Harness,
    asked: Arc<Mutex<Vec<String>>>,
    sent: Vec<String>,
}

impl World {
    fn new(config: Config, mut web: impl FnMut(&str) -> Vec<Outcome> + 'static) -> Self {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut harness = Harness::new(config);
        let asks = Arc::clone(&asked);
        harness.web = Box::new(move |request: &Request<()>| {
            assert!(!request.headers().contains_key("authorization"));
            assert!(!request.headers().contains_key("x-goog-api-key"));
            assert!(!request.headers().contains_key("cookie"));
            assert!(request.headers()["user-agent"].to_str().expect("ASCII").starts_with("libra/"));
            asks.lock().expect("the list").push(request.uri().to_string());
            web(&request.uri().to_string())
        });
        Self { harness, asked, sent: Vec::new() }
    }

    fn send(&mut self, call: &Call) -> Seen {
        let sent = &mut self.sent;
        self.harness.send(call, |request| {
            let body = request.body().as_ref().expect("a body");
            sent.push(String::from_utf8(body.to_vec()).expect("UTF-8"));
            Canned::json(200, ANSWER)
        })
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("the list"))
    }
}

/// A chat with these parts in one message.
fn chat(parts: &[String]) -> Call {
    Call::post(
        "/v1/chat/completions",
        format!(
            r#"{{"model":"gemini-2.5-flash","messages":[{{"role":"user","content":[{}]}}]}}"#,
            parts.join(",")
        ),
    )
}

fn image(address: &str) -> String {
    format!(r#"{{"type":"image_url","image_url":{{"url":"{address}"}}}}"#)
}

fn one_key() -> Config {
    config(&["k1"])
}

#[test]
fn files_take_the_place_of_their_addresses() {
    let mut world = World::new(one_key(), |_| png());
    let inline = format!(r#"{{"inlineData":{{"mimeType":"image/png","data":"{PNG_BASE64}"}}}}"#);
    let mut check = |parts: &[String], expected: &str, asked: &[&str]| {
        let seen = world.send(&chat(parts));
        assert_eq!(seen.status, 200, "{}", seen.text());
        assert_eq!(seen.calls, ["k1"]);
        let sent = world.sent.pop().expect("a body");
        let parts = format!(r#""parts":[{expected}]"#);
        assert!(sent.contains(&parts), "{parts}\n{sent}");
        assert_eq!(world.asked(), asked);
    };
    check(&[image("https://a.example/1.png")], &inline, &["https://a.example/1.png"]);
    check(
        &[r#"{"type":"image_url","image_url":"http://a.example"}"#.to_owned()],
        &inline,
        &["http://a.example/"],
    );
    check(
        &[r#"{"type":"file","file":{"file_id":"https://a.example/2"}}"#.to_owned()],
        &inline,
        &["https://a.example/2"],
    );
    check(
        &[r#"{"type":"file","file":{"file_data":"https://a.example/3","filename":"a.pdf"}}"#.to_owned()],
        &inline,
        &["https://a.example/3"],
    );
    // Each address once, however often it stands there.
    let twice = format!("{inline},{inline}");
    check(&[image("https://a.example/4"), image("https://a.example/4")], &twice, &["https://a.example/4"]);
    // What is Google's own is Google's to fetch.
    check(&[image("https://youtu.be/x")], r#"{"fileData":{"fileUri":"https://youtu.be/x"}}"#, &[]);
    check(&[image("gs://bucket/x")], r#"{"fileData":{"fileUri":"gs://bucket/x"}}"#, &[]);
    check(
        &[image("data:image/png;base64,AAAA")],
        r#"{"inlineData":{"mimeType":"image/png","data":"AAAA"}}"#,
        &[],
    );
}

#[test]
fn images_in_results_of_tools_are_fetched_too() {
    let body = r#"{"model":"gemini-3-pro-preview","messages":[
        {"role":"user","content":"Look."},
        {"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"see","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"c1","content":[{"type":"image_url","image_url":{"url":"https://a.example/1"}}]}]}"#;
    let mut world = World::new(one_key(), |_| png());
    assert_eq!(world.send(&Call::post("/v1/chat/completions", body)).status, 200);
    assert!(world.sent[0].contains(PNG_BASE64), "{}", world.sent[0]);
}

#[test]
fn redirects_are_followed_so_far() {
    let check = |chain: &'static [(&'static str, &'static str)], expected: &str| {
        let mut world = World::new(one_key(), move |address| {
            let step = chain.iter().find(|(from, _)| *from == address);
            step.map_or_else(png, |(_, to)| moved(to))
        });
        let seen = world.send(&chat(&[image(chain[0].0)]));
        if expected.is_empty() {
            assert_eq!(seen.status, 200, "{}", seen.text());
        } else {
            assert_eq!(seen.status, 400, "{}", seen.text());
            assert!(seen.text().contains(expected), "{}", seen.text());
            assert!(world.sent.is_empty());
        }
        world.asked()
    };
    let asked =
        check(&[("http://a.example/x?y", "https://b.example/z"), ("https://b.example/z", "last")], "");
    assert_eq!(asked, ["http://a.example/x?y", "https://b.example/z", "https://b.example/last"]);
    let asked = check(&[("https://a.example/", "/")], "it redirects more than 5 times");
    assert_eq!(asked.len(), 6);
    check(
        &[("https://a.example/", "http://a.example/")],
        "it redirects to an address that is http, where https was",
    );
    check(&[("https://a.example/", "file:///etc/passwd")], "that is no http or https address");
    check(&[("https://a.example/", "https://u:p@a.example/")], "that holds a user name or a password");
    check(&[("https://a.example/", "https://0x7f.1/")], "that names its host by a number");
}

#[test]
fn what_cannot_be_had_is_the_requests_fault() {
    let limited = || Config { fetch_limit: 1024, ..one_key() };
    let check = |config: Config, address: &str, answer: fn() -> Vec<Outcome>, expected: &str| {
        let mut world = World::new(config, move |_| answer());
        let seen = world.send(&chat(&[r#"{"type":"text","text":"What is it?"}"#.to_owned(), image(address)]));
        let expected = format!(
            r#"{{"error":{{"message":"{expected}","type":"invalid_request_error","param":"messages[0].content[1].image_url.url","code":"invalid_image_url"}}}}"#
        );
        assert_eq!((seen.status, seen.text()), (400, expected.as_str()));
        assert!(world.sent.is_empty() && seen.calls.is_empty());
        assert!(
            seen.events.iter().any(|event| matches!(event, Event::FetchFailed { .. })),
            "{:?}",
            seen.events
        );
        assert!(!format!("{:?}", seen.events).contains("secret"));
        assert_eq!(world.harness.gateway.pool_size(), (1, 1));
    };
    let file = |problem: &str| {
        format!("The image at a.example cannot be fetched: {problem}. 无法获取 a.example 上的文件。")
    };
    let address = "https://a.example/secret?token=secret";
    check(one_key(), address, || says(404, &[], &[b"no"]), &file("its server answered 404"));
    check(one_key(), address, || says(302, &[], &[]), &file("its server answered 302"));
    check(one_key(), address, || says(206, &[], &[PNG]), &file("its server answered 206"));
    check(
        one_key(),
        address,
        || says(200, &[("content-type", "text/html")], &[b"<html>"]),
        &file("it is a web page, not an image"),
    );
    check(
        one_key(),
        address,
        || says(200, &[("content-type", "application/zip")], &[b"PK"]),
        &file("it is of a kind that Gemini does not read"),
    );
    check(one_key(), address, || says(200, &[], &[]), &file("it is empty"));
    check(
        one_key(),
        address,
        || says(200, &[("content-encoding", "gzip")], &[PNG]),
        &file("it comes compressed, unasked"),
    );
    check(
        limited(),
        address,
        || says(200, &[("content-length", "1025")], &[PNG]),
        &file("it is larger than 1024 bytes (LIBRA_FETCH_LIMIT)"),
    );
    check(
        limited(),
        address,
        || says(200, &[], &[&[0; 1000], &[0; 25]]),
        &file("it is larger than 1024 bytes (LIBRA_FETCH_LIMIT)"),
    );
    check(
        one_key(),
        address,
        || vec![Outcome::Failed { stale: false, message: "its address is not a public one".to_owned() }],
        &file("its address is not a public one"),
    );
    check(
        one_key(),
        address,
        || {
            let mut broken = png();
            broken.pop();
            broken.push(Outcome::Failed { stale: false, message: "its answer broke off".to_owned() });
            broken
        },
        &file("its answer broke off"),
    );
    check(one_key(), address, || vec![Outcome::End], &file("its answer broke off"));
    check(one_key(), address, Vec::new, &file("it did not come in time (LIBRA_FETCH_TIMEOUT)"));
    let wrong = |problem: &str| format!("The address of the image {problem}. 文件地址无效。");
    check(one_key(), "https://user:secret@a.example/", Vec::new, &wrong("holds a user name or a password"));
    check(
        one_key(),
        "http://2130706433/secret",
        Vec::new,
        &wrong("names its host by a number; write it like 192.0.2.1"),
    );
}

#[test]
fn documents_have_an_error_of_their_own() {
    let mut world = World::new(one_key(), |_| says(404, &[], &[]));
    let part = r#"{"type":"file","file":{"file_id":"https://a.example/x"}}"#.to_owned();
    let seen = world.send(&chat(&[part]));
    assert_eq!(seen.status, 400);
    assert!(
        seen.text().contains(r#""param":"messages[0].content[0].file.file_id","code":null"#),
        "{}",
        seen.text()
    );
    assert!(seen.text().contains("The file at a.example"), "{}", seen.text());
}

#[test]
fn a_text_is_a_document_and_no_image() {
    let mut world = World::new(one_key(), |_| says(200, &[("content-type", "text/csv")], &[b"a,b"]));
    let file = r#"{"type":"file","file":{"file_id":"https://a.example/x"}}"#.to_owned();
    assert_eq!(world.send(&chat(std::slice::from_ref(&file))).status, 200);
    assert!(
        world.sent[0].contains(r#"{"inlineData":{"mimeType":"text/csv","data":"YSxi"}}"#),
        "{}",
        world.sent[0]
    );
    // Also where it is known from before, and where it stands in both places.
    for parts in [vec![image("https://a.example/x")], vec![file, image("https://a.example/x")]] {
        let seen = world.send(&chat(&parts));
        assert_eq!(seen.status, 400, "{}", seen.text());
        assert!(seen.text().contains("it is a text, not an image"), "{}", seen.text());
    }
}

#[test]
fn what_was_fetched_is_kept_for_a_while() {
    let mut world = World::new(one_key(), |address| match address {
        "https://a.example/never" => says(200, &[("cache-control", "private, no-store")], &[PNG]),
        _ => png(),
    });
    let ask = |world: &mut World, address: &str| {
        assert_eq!(world.send(&chat(&[image(address)])).status, 200);
        assert!(world.sent.pop().expect("a body").contains(PNG_BASE64));
        world.asked().len()
    };
    assert_eq!(ask(&mut world, "https://a.example/1"), 1);
    assert_eq!(ask(&mut world, "https://a.example/1"), 0);
    assert_eq!(ask(&mut world, "https://a.example/1?x"), 1);
    assert_eq!(ask(&mut world, "https://a.example/never"), 1);
    assert_eq!(ask(&mut world, "https://a.example/never"), 1);
    world.harness.now = world.harness.now + Duration::from_secs(600);
    assert_eq!(ask(&mut world, "https://a.example/1"), 1);
}

#[test]
fn the_settings_say_what_becomes_of_addresses() {
    let address = "https://a.example/1.png";
    let passed = r#"{"fileData":{"mimeType":"image/png","fileUri":"https://a.example/1.png"}}"#;
    let check = |config: Config, client: &str, status: u16, asked: usize, expected: &str| {
        let mut world = World::new(config, |_| png());
        let call = chat(&[image(address)]).without_key().with("x-goog-api-key", client);
        let seen = world.send(&call);
        assert_eq!(seen.status, status, "{}", seen.text());
        assert_eq!(world.asked().len(), asked);
        let shown = world.sent.pop().unwrap_or_else(|| seen.text().to_owned());
        assert!(shown.contains(expected), "{shown}");
    };
    let set = |fetch| Config { fetch, ..one_key() };
    check(set(Fetch::Trusted), CLIENT, 200, 1, PNG_BASE64);
    check(set(Fetch::Trusted), "own-key-1,own-key-2", 200, 0, passed);
    check(set(Fetch::Pass), CLIENT, 200, 0, passed);
    check(set(Fetch::Off), CLIENT, 400, 0, "Files are not fetched from the web here (LIBRA_FETCH)");
    check(set(Fetch::Off), "own-key-1,own-key-2", 400, 0, "send them as data URLs");
}

#[test]
fn several_come_at_a_time_and_not_too_many() {
    let addresses = |count: usize| -> Vec<String> {
        (0..count).map(|number| image(&format!("https://a.example/{number}"))).collect()
    };
    let mut world = World::new(one_key(), |_| Vec::new());
    let seen = world.send(&chat(&addresses(10)));
    assert_eq!((seen.status, seen.took), (400, Duration::from_secs(30)));
    assert_eq!(world.asked().len(), 6);

    let mut world = World::new(one_key(), |_| png());
    assert_eq!(world.send(&chat(&addresses(100))).status, 200);
    let asked = world.asked();
    assert_eq!(
        (asked.len(), asked[0].as_str(), asked[99].as_str()),
        (100, "https://a.example/0", "https://a.example/99")
    );

    let seen = world.send(&chat(&addresses(101)));
    assert_eq!(seen.status, 400);
    assert!(seen.text().contains("at most 100 files"), "{}", seen.text());
    assert!(seen.text().contains("messages[0].content[100].image_url.url"), "{}", seen.text());
    assert_eq!(world.asked().len(), 0);
}

#[test]
fn all_together_have_a_bound_too() {
    let config = Config { body_limit: 4000, ..one_key() };
    let mut world = World::new(config, |_| {
        says(200, &[("cache-control", "no-store")], &[b"\x89PNG\r\n\x1a\n", &[0; 1600]])
    });
    assert_eq!(world.send(&chat(&[image("https://a.example/1")])).status, 200);
    for parts in
        [["https://a.example/1", "https://a.example/2"], ["https://a.example/1", "https://a.example/1"]]
    {
        let seen = world.send(&chat(&parts.map(image)));
        assert_eq!(seen.status, 400);
        assert!(
            seen.text().contains("all files of the request are larger than 3000 bytes"),
            "{}",
            seen.text()
        );
    }
    // The same of what is known from before.
    world.harness.web = Box::new(|_| says(200, &[], &[b"\x89PNG\r\n\x1a\n", &[0; 1600]]));
    assert_eq!(world.send(&chat(&[image("https://a.example/3")])).status, 200);
    assert_eq!(world.send(&chat(&[image("https://a.example/3"), image("https://a.example/3")])).status, 400);
}

#[test]
fn without_memory_there_is_a_503_and_nothing_stays_held() {
    let config = Config { memory: Some(50_000), ..one_key() };
    let mut world = World::new(config, |_| says(200, &[], &[b"\x89PNG\r\n\x1a\n", &[0; 60_000]]));
    let seen = world.send(&chat(&[image("https://a.example/1")]));
    assert_eq!(seen.status, 503, "{}", seen.text());
    assert_eq!(seen.header("retry-after"), Some("1"));
    let mut world = World::new(Config { memory: Some(50_000), ..one_key() }, |_| {
        says(200, &[], &[b"\x89PNG\r\n\x1a\n", &[0; 20_000]])
    });
    // The file, its base64 and the body do not fit together.
    assert_eq!(world.send(&chat(&[image("https://a.example/1")])).status, 503);
    // Nor do two files that are still on their way.
    world.harness.web = Box::new(|_| {
        let mut coming = says(200, &[], &[&[0; 30_000]]);
        coming.pop();
        coming
    });
    assert_eq!(world.send(&chat(&[image("https://a.example/1"), image("https://a.example/2")])).status, 503);
    world.harness.web = Box::new(|_| says(200, &[], &[b"\x89PNG\r\n\x1a\n", &[0; 10_000]]));
    for _ in 0..20 {
        assert_eq!(world.send(&chat(&[image("https://a.example/1")])).status, 200);
    }
}

#[test]
fn another_model_gets_what_was_fetched() {
    let config = Config {
        model_fallbacks: Config::from_vars(
            |name| (name == "LIBRA_MODEL_FALLBACKS").then(|| "gemini-2.5-flash=gemini-2.5-pro".to_owned()),
            |_| Err("none".to_owned()),
        )
        .expect("settings")
        .0
        .model_fallbacks,
        ..one_key()
    };
    let mut world = World::new(config, |_| png());
    let mut sent = Vec::new();
    let seen = world.harness.send(&chat(&[image("https://a.example/1")]), |request| {
        sent.push((request.uri().path().to_owned(), request.body().clone().expect("a body")));
        match sent.len() {
            1 => Canned::json(503, r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#),
            _ => Canned::json(200, ANSWER),
        }
    });
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert_eq!(sent.len(), 2);
    assert!(sent[1].0.contains("gemini-2.5-pro"), "{}", sent[1].0);
    assert!(sent.iter().all(|(_, body)| String::from_utf8_lossy(body).contains(PNG_BASE64)));
    assert_eq!(world.asked().len(), 1);
}
