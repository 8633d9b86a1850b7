//! Clients that wait for a stream, over real connections.

mod running;

use std::time::{Duration, Instant};

use http::Method;
use http_body_util::BodyExt as _;
use libra_simulator::{Condition, Fault};
use running::{CHAT, GENERATE, Running, STREAM, chat, faulty, native, simulator};

const HEALTHY: Condition = Condition::Healthy;

/// The pieces of an answer, each with when it came.
async fn pieces(running: &Running, path: &str, body: String) -> (u16, Vec<(Duration, String)>) {
    let began = Instant::now();
    let mut answer = running.send(running.request(Method::POST, path, body)).await;
    let status = answer.status().as_u16();
    let mut pieces = Vec::new();
    while let Some(frame) = answer.frame().await {
        let data = frame.expect("a whole stream").into_data().expect("data");
        pieces.push((began.elapsed(), String::from_utf8(data.to_vec()).expect("UTF-8")));
    }
    (status, pieces)
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_of_life_come_while_nothing_else_does() {
    let settings =
        [("LIBRA_KEYS", "hangs,good"), ("LIBRA_HEARTBEAT", "300ms"), ("LIBRA_FIRST_BYTE_TIMEOUT", "1s")];
    let keys = [("hangs", faulty(Fault::Hang)), ("good", HEALTHY)];
    let running = Running::start(simulator(&keys), &settings).await;
    // Each of the two comes first once, and the one that hangs is given up after a second.
    let mut beaten = 0;
    for _ in 0..2 {
        let (status, pieces) = pieces(&running, CHAT, chat("Hello", true)).await;
        let text: String = pieces.iter().map(|(_, text)| text.as_str()).collect();
        assert!(status == 200 && text.ends_with("data: [DONE]\n\n"), "{text}");
        if let Some((at, _)) = pieces.first().filter(|(_, first)| first == ": ping\n\n") {
            beaten += 1;
            assert!(*at < Duration::from_millis(900), "the first after {at:?}");
            assert_eq!(text.matches(": ping\n\n").count(), 3, "{text}");
        }
    }
    assert_eq!(beaten, 1);
    let (_, pieces) = pieces(&running, STREAM, native("{{first_delay_ms=700}}")).await;
    assert!(pieces[0].1.starts_with("data: {"), "Gemini's own streams have none: {pieces:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_behind_a_sign_of_life_is_told_in_the_stream() {
    let settings =
        [("LIBRA_KEYS", "hangs"), ("LIBRA_HEARTBEAT", "200ms"), ("LIBRA_FIRST_BYTE_TIMEOUT", "500ms")];
    let running = Running::start(simulator(&[("hangs", faulty(Fault::Hang))]), &settings).await;
    let (status, body) = running.post(CHAT, chat("Hello", true)).await;
    let said = body.trim_start_matches(": ping\n\n");
    assert!(status == 200 && body.starts_with(": ping"), "{body}");
    assert!(said.starts_with("data: {\"error\":{") && !said.contains("[DONE]"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_behind_a_sign_of_life_ends_the_upstreams_work() {
    let settings = [("LIBRA_KEYS", "good"), ("LIBRA_HEARTBEAT", "100ms")];
    let running = Running::start(simulator(&[("good", HEALTHY)]), &settings).await;
    let slow = running.request(Method::POST, CHAT, chat("{{first_delay_ms=20000}}", true));
    let mut answer = running.send(slow).await;
    answer.frame().await.expect("a sign of life").expect("whole");
    drop(answer);
    ended(&running, 1).await;
    for _ in 0..100 {
        if running.log().contains("ClientLeft") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{}", running.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_answers_where_the_first_keeps_silent() {
    let settings = [("LIBRA_KEYS", "slow,good"), ("LIBRA_HEDGE_AFTER", "200ms"), ("LIBRA_HEARTBEAT", "off")];
    let keys = [("slow", faulty(Fault::SlowFirstByte(20_000))), ("good", HEALTHY)];
    let running = Running::start(simulator(&keys), &settings).await;
    let began = Instant::now();
    for (path, body) in [
        (STREAM, native("Hello")),
        (CHAT, chat("Hello", true)),
        (GENERATE, native("Hello")),
        (CHAT, chat("Hello", false)),
    ] {
        let (status, body) = running.post(path, body).await;
        assert_eq!(status, 200, "{body}");
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let hedged = running.log().matches("a second attempt").count() as u64;
    assert!(hedged > 0, "{}", running.log());
    ended(&running, hedged).await;
    assert!(!running.log().contains("attempt failed"), "{}", running.log());
    // A client that leaves ends both.
    let slow = running.request(Method::POST, CHAT, chat("{{first_delay_ms=20000}}", true));
    let client = tokio::spawn(running.http.request(slow));
    tokio::time::sleep(Duration::from_millis(600)).await;
    client.abort();
    ended(&running, hedged + 2).await;
}

/// Waits until the upstream has seen so many requests dropped.
async fn ended(running: &Running, requests: u64) {
    for _ in 0..100 {
        if running.simulator.counts().totals.aborted == requests {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{requests}: {:?}\n{}", running.simulator.counts().totals, running.log());
}
