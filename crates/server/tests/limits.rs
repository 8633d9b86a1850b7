//! What clients may use, with the real binary: limits, what a client sees of itself, and that a restart resets nothing.

mod kept;
mod running;

use std::process::Command;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{Method, Response};
use hyper::body::Incoming;
use kept::{Folder, ask, request};
use libra_simulator::{Condition, Simulator};
use running::{CHAT, CLIENT, GENERATE, Running, chat, native, simulator, text};
use serde_json::{Value, json};

const OTHER: &str = "another-client-key-of-the-tests";

async fn start(simulator: &Arc<Simulator>, folder: &Folder) -> Running {
    let clients = json!([
        { "key": CLIENT, "name": "limited", "requests_per_day": 3, "concurrent_requests": 8, "dialects": ["gemini", "openai"] },
        { "key": OTHER },
    ]);
    let clients = clients.to_string();
    let settings = [("LIBRA_KEYS", "one,two"), ("LIBRA_CLIENTS", &clients), ("LIBRA_DATA", folder.path())];
    Running::start(Arc::clone(simulator), &settings).await
}

fn stop(mut running: Running) {
    let process = running.process().to_string();
    assert!(Command::new("kill").args(["-TERM", &process]).status().expect("kill").success());
    assert!(running.wait().success(), "{}", running.log());
}

async fn me(running: &Running, key: &str) -> Value {
    let (status, body) = ask(running, key, Method::GET, "/me", "").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

fn header<'a>(answer: &'a Response<Incoming>, name: &str) -> Option<&'a str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_outlive_a_restart() {
    let folder = Folder::new();
    let simulator = simulator(&["one", "two"].map(|key| (key, Condition::Healthy)));
    let running = start(&simulator, &folder).await;
    let answer = running.send(request(&running, CLIENT, Method::POST, CHAT, &chat("Hello", true))).await;
    assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), Some("2"));
    assert!(text(answer).await.is_some_and(|body| body.contains("[DONE]")));
    assert_eq!(ask(&running, CLIENT, Method::POST, GENERATE, &native("Hello")).await.0, 200);
    let refused = ask(&running, CLIENT, Method::POST, "/v1/messages", &chat("Hello", false)).await;
    assert_eq!(refused.0, 403, "{}", refused.1);
    let seen = me(&running, CLIENT).await;
    assert_eq!((&seen["name"], &seen["used"]["day"]["requests"]), (&json!("limited"), &json!(2)));
    assert!(seen["used"]["day"]["tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{seen}");
    assert_eq!(seen["concurrent_requests"], json!({ "limit": 8, "used": 0 }));
    stop(running);

    let running = start(&simulator, &folder).await;
    assert_eq!(me(&running, CLIENT).await["used"]["day"], seen["used"]["day"]);
    // Ten at once: one of them is let in.
    let prompt = native("Hello");
    let asked = (0..10).map(|_| ask(&running, CLIENT, Method::POST, GENERATE, &prompt));
    let statuses: Vec<u16> = asked.collect::<FuturesUnordered<_>>().map(|(status, _)| status).collect().await;
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 9, "{statuses:?}");
    let refused = running.send(request(&running, CLIENT, Method::POST, CHAT, &chat("Hello", false))).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = header(&refused, "retry-after").and_then(|wait| wait.parse().ok()).expect("a wait");
    assert!(wait <= 25 * 3600 && wait > 0, "{wait}");
    assert_eq!(header(&refused, "x-ratelimit-remaining-requests"), Some("0"));
    assert!(text(refused).await.is_some_and(|body| body.contains("rate_limit_exceeded")));
    assert_eq!(ask(&running, OTHER, Method::POST, GENERATE, &native("Hello")).await.0, 200);
    assert_eq!(me(&running, OTHER).await["limits"], json!([]));
    stop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_wait_and_good_ones_do_not() {
    let folder = Folder::new();
    let simulator = simulator(&[("one", Condition::Healthy)]);
    let running = start(&simulator, &folder).await;
    let mut statuses = Vec::new();
    for number in 0..24 {
        let wrong = format!("wrong-key-{number}");
        statuses.push(ask(&running, &wrong, Method::POST, GENERATE, &native("Hello")).await.0);
    }
    assert_eq!((statuses[0], statuses[23]), (401, 429), "{statuses:?}");
    assert_eq!(ask(&running, OTHER, Method::POST, GENERATE, &native("Hello")).await.0, 200);
    stop(running);
}
