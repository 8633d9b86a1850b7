//! A thousand chats through a pool whose first keys are bad: all succeed, judged by the simulator's own counts.

mod running;

use std::sync::Arc;

use libra_simulator::{Condition, Fault};
use running::{CHAT, CLIENT, GENERATE, Running, chat, faulty, native, simulator};

const REQUESTS: usize = 1_000;

/// So many requests are under way at once: a key that turns out bad may have been taken by all of them.
const TOGETHER: usize = 8;

fn keys() -> Vec<(String, Condition)> {
    let bad = [
        Fault::Leaked,
        Fault::Invalid,
        Fault::MinuteLimit,
        Fault::DayLimit,
        Fault::Overloaded,
        Fault::Leaked,
        Fault::Unauthenticated,
        Fault::Suspended,
    ];
    let bad = bad.into_iter().enumerate().map(|(n, fault)| (format!("bad-{n}-{fault:?}"), faulty(fault)));
    let healthy = (0..4).map(|n| (format!("healthy-{n}"), Condition::Healthy));
    bad.chain(healthy).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_chats_succeed_behind_bad_keys() {
    let keys = keys();
    let named: Vec<(&str, Condition)> =
        keys.iter().map(|(key, condition)| (key.as_str(), *condition)).collect();
    let list = named.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(",");
    let running = Arc::new(Running::start(simulator(&named), &[("LIBRA_KEYS", &list)]).await);

    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..TOGETHER {
        let running = Arc::clone(&running);
        workers.spawn(async move {
            for request in 0..REQUESTS / TOGETHER {
                let stream = (worker + request) % 2 == 0;
                let (status, body) = running.post(CHAT, chat("Hello", stream)).await;
                assert_eq!(status, 200, "{body}");
                let end = if stream { "data: [DONE]\n\n" } else { "}" };
                assert!(body.contains("Hello") && body.ends_with(end), "{body}");
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done.expect("every request succeeds");
    }

    let counts = running.simulator.counts();
    let answered: u64 = (0..4).map(|n| counts.key(&format!("healthy-{n}")).status(200)).sum();
    assert_eq!(answered, REQUESTS as u64, "every request was answered once, by a healthy key");
    for n in 0..4 {
        let share = counts.key(&format!("healthy-{n}")).status(200);
        assert!((150..=350).contains(&share), "healthy-{n} has {share} of {REQUESTS}");
    }
    for (key, condition) in &keys {
        let calls = counts.key(key).requests;
        match condition {
            Condition::Healthy => {}
            // Only what was under way when the verdict came; 401 takes three.
            Condition::Faulty(Fault::Unauthenticated) => {
                assert!(calls <= 2 + TOGETHER as u64, "{key}: {calls}")
            }
            // Comes last, so that it is hardly ever tried.
            Condition::Faulty(Fault::Overloaded) => assert!(calls <= 60, "{key}: {calls}"),
            // The minute may have ended meanwhile.
            Condition::Faulty(Fault::MinuteLimit) => {
                assert!((1..=2 * TOGETHER as u64).contains(&calls), "{key}: {calls}");
            }
            _ => assert!((1..=TOGETHER as u64).contains(&calls), "{key}: {calls}"),
        }
    }
    // Once everything is known, nothing is wasted: 200 more requests, and no bad key is touched.
    let before = running.simulator.counts();
    for _ in 0..200 {
        assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
    }
    let after = running.simulator.counts();
    for (key, condition) in &keys {
        let touched = after.key(key).requests - before.key(key).requests;
        match condition {
            Condition::Healthy | Condition::Faulty(Fault::Overloaded) => {}
            // A new minute is worth one request.
            Condition::Faulty(Fault::MinuteLimit) => assert!(touched <= 1, "{key}: {touched}"),
            _ => assert_eq!(touched, 0, "{key} was set aside and used again"),
        }
    }
    let log = running.log();
    let set_aside = log.lines().filter(|line| line.contains("key set aside")).count();
    assert_eq!(
        set_aside, 5,
        "two leaked, one invalid, one unauthenticated, one suspended; no healthy one: {log}"
    );
}

/// Everything that libra says about an exchange is free of keys.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_shows_anywhere() {
    let keys: Vec<(String, Condition)> = keys();
    let named: Vec<(&str, Condition)> =
        keys.iter().map(|(key, condition)| (key.as_str(), *condition)).collect();
    let list = named.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(",");
    let running = Running::start(simulator(&named), &[("LIBRA_KEYS", &list), ("LIBRA_LOG", "trace")]).await;
    let mut seen = String::new();
    for _ in 0..12 {
        seen += &running.post(CHAT, chat("Hello", false)).await.1;
        seen += &running.post(GENERATE, native("{{fault=bad-request}} no")).await.1;
    }
    seen += &running.post(CHAT, chat("{{fault=suspended}}", false)).await.1;
    seen += &running.get("/v1/models").await.1;
    seen += &running.get("/").await.1;
    seen += &running.log();
    for (key, _) in &keys {
        assert!(!seen.contains(key.as_str()), "{key} shows");
    }
    assert!(!seen.contains(CLIENT), "the client's key shows");
    // What the simulator got: one credential, in the header, and none of the client's.
    let got = running.simulator.log().to_string();
    assert!(got.contains("x-goog-api-key") && !got.contains(CLIENT), "{got}");
}
