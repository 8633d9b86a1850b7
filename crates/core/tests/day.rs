//! A day of many clients' requests in virtual time: nothing that the gateway remembers grows beyond its bound.

#![expect(clippy::print_stdout, reason = "what was measured is shown with --nocapture")]

mod harness;

use std::time::Duration;

use bytes::Bytes;
use harness::{Call, Canned, Harness, START, config};
use libra_core::config::Config;
use libra_core::secret::ApiKey;

/// Requests of the day. Conversations, schemas, calls and answers are then more than may be remembered.
const REQUESTS: u64 = 40_000;

const DAY: Duration = Duration::from_hours(24);

/// What is held for requests; a share of it bounds what is remembered in bytes.
const MEMORY: u64 = 4 << 20;

const CALLS: &str = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"look","args":{}},"thoughtSignature":"c2lnbmF0dXJlIG9mIGEgdGhvdWdodCB0aGF0IGlzIG5vdCBzaG9ydA=="}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":3,"totalTokenCount":8}}"#;
const QUOTA: &str = r#"{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaDimensions":{"model":"MODEL","location":"global"},"quotaValue":"10"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3s"}]}}"#;
const OVERLOADED: &str = r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#;
const FILE: &str = r#"{"file":{"name":"files/NAME","uri":"https://generativelanguage.googleapis.com/v1beta/files/NAME","mimeType":"text/plain","sizeBytes":"5","state":"ACTIVE"}}"#;

/// What comes from upstream for the request with this number: mostly an answer, sometimes what teaches the pool something.
fn google(number: u64, path: &str) -> Canned {
    if path.contains("/upload/") {
        return Canned::json(200, FILE.replace("NAME", &format!("f{number}")));
    }
    let model = path.rsplit('/').next().and_then(|rest| rest.split(':').next()).unwrap_or_default();
    match number % 11 {
        3 => Canned::json(429, QUOTA.replace("MODEL", model)),
        7 => Canned::json(503, OVERLOADED),
        _ => Canned::json(200, CALLS),
    }
}

/// The request with this number: every kind of memory has its turn, and hardly anything comes twice.
fn call(number: u64) -> Call {
    let prompt = format!("What is number {number}?");
    // Names come from clients: more than Google has.
    let model = format!("gemini-{}-test", number / 6 % 3000);
    let client = format!("client-{}", number / 6 % 300);
    let call = match number % 6 {
        0 => Call::post(
            &format!("/v1beta/models/{model}:generateContent"),
            format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":"{prompt}"}}]}}]}}"#),
        ),
        1 | 2 => Call::post(
            "/v1/chat/completions",
            format!(
                r#"{{"model":"{model}","messages":[{{"role":"user","content":"{prompt}"}}],"tools":[{{"type":"function","function":{{"name":"look","parameters":{{"type":"object","properties":{{"p{number}":{{"type":"string"}}}}}}}}}}]}}"#
            ),
        ),
        3 => Call::post("/v1/responses", format!(r#"{{"model":"{model}","input":"{prompt}","store":true}}"#)),
        4 => Call::post("/upload/v1beta/files?uploadType=media", Bytes::from(prompt))
            .with("content-type", "text/plain"),
        // Clients with keys of their own.
        _ => {
            let own = format!("AIzaSyOfAGuest{number:025},AIzaSyOfAGuesu{number:025}");
            return Call::post(
                &format!("/v1beta/models/{model}:generateContent"),
                format!(r#"{{"contents":[{{"parts":[{{"text":"{prompt}"}}]}}]}}"#),
            )
            .without_key()
            .with("x-goog-api-key", &own);
        }
    };
    let call = Call { headers: Vec::new(), ..call };
    let call = if number % 6 == 4 { call.with("content-type", "text/plain") } else { call };
    Call { headers: [call.headers, vec![("authorization", format!("Bearer {client}"))]].concat(), ..call }
}

#[test]
fn after_a_day_every_table_is_within_its_bound() {
    let keys: Vec<String> = (0..40).map(|number| format!("pool-key-{number}")).collect();
    let clients = (0..300).map(|number| ApiKey::new(&format!("client-{number}"))).collect();
    let keys = keys.iter().map(String::as_str).collect::<Vec<_>>();
    let mut harness = Harness::new(Config { clients, memory: Some(MEMORY), ..config(&keys) });
    let mut most: Vec<u64> = Vec::new();
    let (mut served, mut sent) = (0, 0_u64);
    for number in 0..REQUESTS {
        harness.now = harness.now.max(START + DAY.mul_f64(number as f64 / REQUESTS as f64));
        let seen = harness.send(&call(number), |request| {
            sent += 1;
            google(sent, request.uri().path())
        });
        served += u64::from(seen.status == 200);
        assert_ne!(seen.status, 500, "{number}: {}", seen.text());
        // As the task that looks after the pool does. A store that hangs takes nothing for hours.
        let _ = harness.gateway.due(harness.now);
        if number % 10_000 == 9_999 {
            let _ = harness.gateway.take_changes();
        }
        if number % 100 == 0 {
            let sizes = harness.gateway.sizes();
            most.resize(sizes.len(), 0);
            for (most, size) in most.iter_mut().zip(&sizes) {
                assert!(size.now <= size.most, "after {number} requests: {size:?}");
                *most = (*most).max(size.now);
            }
        }
    }
    let sizes = harness.gateway.sizes();
    for (size, most) in sizes.iter().zip(&most) {
        println!("{:<24} {most:>9} of {}", size.what, size.most);
    }
    assert!(served * 10 > REQUESTS * 7, "{served} of {REQUESTS} were served");
    // What a day fills to the brim was really put to the test.
    for full in ["conversations", "clients' own keys", "bytes of signatures"] {
        let (size, most) =
            sizes.iter().zip(&most).find(|(size, _)| size.what == full).expect("it is counted");
        assert!(most * 10 >= size.most * 8, "{full}: {most} of {}", size.most);
    }
    assert_eq!(sizes.last().map(|held| held.now), Some(0), "what was held for requests has come back");
}
