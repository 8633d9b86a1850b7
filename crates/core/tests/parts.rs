//! Requests that take several of the upstream's, and others of OpenAI's endpoints, through the whole gateway.

mod harness;

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use harness::{Call, Canned, End, Harness, Seen, config};
use http::Request;
use libra_core::config::{Config, ModelAlias, ModelLimits, ProjectSettings, Strategy, Tier};
use libra_core::event::{Ending, Event, Finished, Usage};
use serde_json::{Value, json};
use wildmatch::WildMatch;

type Upstream = Request<Option<Bytes>>;

fn embeddings(count: usize) -> Call {
    let texts: Vec<String> = (0..count).map(|number| format!("{number}")).collect();
    Call::post(
        "/v1/embeddings",
        json!({ "model": "text-embedding-3-small", "input": texts, "encoding_format": "float" }).to_string(),
    )
}

/// The texts that a request upstream asks for.
fn asked(request: &Upstream) -> Vec<f64> {
    let body: Value = serde_json::from_slice(request.body().as_ref().expect("a body")).expect("JSON");
    let requests = body["requests"].as_array().expect("requests");
    let texts = requests.iter().map(|one| one["content"]["parts"][0]["text"].as_str().expect("text"));
    texts.map(|text| text.parse().expect("a number")).collect()
}

/// A vector for each text, in which the text can be recognised.
fn vectors(request: &Upstream) -> Canned {
    let vectors: Vec<Value> = asked(request)
        .into_iter()
        .map(|number| {
            let angle = number / 1000.0;
            json!({ "values": [angle.cos(), angle.sin()] })
        })
        .collect();
    Canned::json(200, json!({ "embeddings": vectors }).to_string())
}

fn error(status: u16, body: &str) -> Canned {
    Canned::json(status, body.to_owned())
}

const MINUTE_LIMIT: &str = r#"{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/embed_content_free_tier_requests","quotaId":"EmbedContentRequestsPerMinutePerProjectPerModel-FreeTier"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"5s"}]}}"#;
const WRONG: &str =
    r#"{"error":{"code":400,"message":"Unsupported dimension.","status":"INVALID_ARGUMENT"}}"#;

fn finished(seen: &Seen) -> &Finished {
    let mut ends = seen.events.iter().filter_map(|event| match event {
        Event::Finished(finished) => Some(finished),
        _ => None,
    });
    let end = ends.next().expect("an end is told");
    assert!(ends.next().is_none(), "one request has one end");
    end
}

fn check_vectors(seen: &Seen, count: usize) {
    assert_eq!(seen.status, 200, "{}", seen.text());
    let answer: Value = serde_json::from_slice(&seen.body).expect("JSON");
    let data = answer["data"].as_array().expect("data");
    assert_eq!(data.len(), count);
    for (number, entry) in data.iter().enumerate() {
        assert_eq!(entry["index"], number);
        let sine = entry["embedding"][1].as_f64().expect("a number");
        assert!((sine - (number as f64 / 1000.0).sin()).abs() < 1e-6, "{number} is in its place");
    }
}

#[test]
fn parts_are_answered_by_several_projects_and_put_together() {
    let mut harness = Harness::new(config(&["one", "two", "three"]));
    let seen = harness.send(&embeddings(250), vectors);
    check_vectors(&seen, 250);
    let mut keys = seen.calls.clone();
    keys.sort_unstable();
    assert_eq!(keys, ["one", "three", "two"], "each part has a key of its own");
    let end = finished(&seen);
    assert_eq!((end.ending, end.attempts, end.status.as_u16()), (Ending::Complete, 3, 200));
    assert_eq!(end.model.as_deref(), Some("gemini-embedding-001"));
}

#[test]
fn a_part_that_fails_goes_to_another_project() {
    let mut harness = Harness::new(config(&["one", "two", "three"]));
    let seen = harness.send(&embeddings(150), |request| match request.headers()["x-goog-api-key"].to_str() {
        Ok("one") => error(429, MINUTE_LIMIT),
        _ => vectors(request),
    });
    check_vectors(&seen, 150);
    assert_eq!(finished(&seen).attempts, 3);
}

#[test]
fn a_part_that_fails_for_good_fails_the_whole() {
    let mut harness = Harness::new(config(&["one", "two", "three"]));
    let seen = harness.send(&embeddings(1000), |request| match asked(request)[0] {
        0.0 => error(400, WRONG),
        _ => Canned::nothing(End::Silence),
    });
    assert_eq!(seen.status, 400);
    assert!(seen.text().contains("Unsupported dimension."), "{}", seen.text());
    assert!(seen.calls.len() <= 4, "a few at a time: {}", seen.calls.len());
    assert_eq!(finished(&seen).ending, Ending::Refused);
    assert_eq!(finished(&seen).attempts as usize, seen.calls.len());
    assert_eq!(seen.took, Duration::ZERO, "nobody waits for the others");
}

#[test]
fn where_no_project_has_room_the_client_is_told_when_one_will() {
    let mut harness = Harness::new(config(&["one", "two"]));
    let seen = harness.send(&embeddings(150), |_| error(429, MINUTE_LIMIT));
    // Five seconds, and a spread of up to half of one.
    assert_eq!(seen.status, 429, "{}", seen.text());
    assert!(matches!(seen.header("retry-after"), Some("5" | "6")), "{:?}", seen.header("retry-after"));
}

#[test]
fn parts_wait_in_the_queue_for_their_turn() {
    let limits = ModelLimits {
        models: WildMatch::new("*"),
        requests_per_minute: Some(2),
        tokens_per_minute: None,
        requests_per_day: None,
    };
    let project = ProjectSettings {
        name: "a".to_owned(),
        tier: Tier::Unknown,
        priority: None,
        max_requests_per_day: None,
        max_cost_per_day: None,
        limits: vec![limits],
        proxy: None,
    };
    let mut config =
        Config { queue_wait: Duration::from_secs(90), strategy: Strategy::Headroom, ..config(&["one"]) };
    config.keys[0].project = Some("a".to_owned());
    config.projects = vec![project];
    let mut harness = Harness::new(config);
    // Once a model has answered, its requests are counted.
    check_vectors(&harness.send(&embeddings(1), vectors), 1);
    let began = harness.now;
    let sent = RefCell::new(Vec::new());
    let seen = harness.send(&embeddings(500), |request| {
        sent.borrow_mut().push(asked(request)[0]);
        vectors(request)
    });
    check_vectors(&seen, 500);
    assert_eq!(*sent.borrow(), [0.0, 100.0, 200.0, 300.0, 400.0], "none is sent twice, nor before its turn");
    assert_eq!(harness.now.since(began).as_secs(), 120, "two a minute");
}

#[test]
fn vectors_never_come_from_another_model() {
    let aliases = ModelAlias { pattern: WildMatch::new("*"), models: vec!["gemini-embedding-2".to_owned()] };
    let config = Config { model_fallbacks: vec![aliases], ..config(&["one"]) };
    let seen = Harness::new(config).send(&embeddings(1), |request| {
        assert!(request.uri().path().contains("gemini-embedding-001"), "{}", request.uri());
        error(503, r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#)
    });
    assert_eq!(seen.status, 503);
}

fn image(data: &str) -> Canned {
    let answer = json!({
        "candidates": [{ "content": { "parts": [{ "inlineData": { "mimeType": "image/png", "data": data } }] },
            "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 4, "candidatesTokenCount": 6, "totalTokenCount": 10 },
    });
    Canned::json(200, answer.to_string())
}

#[test]
fn images_are_as_many_requests() {
    let body = json!({ "model": "gpt-image-1", "prompt": "A dot", "n": 3 });
    let drawn = RefCell::new(0);
    let seen = Harness::new(config(&["one", "two"])).send(
        &Call::post("/v1/images/generations", body.to_string()),
        |request| {
            assert_eq!(request.uri().path(), "/v1beta/models/gemini-2.5-flash-image:generateContent");
            *drawn.borrow_mut() += 1;
            image(&format!("AAA{}", drawn.borrow()))
        },
    );
    let answer: Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!(
        answer["data"],
        json!([{ "b64_json": "AAA1" }, { "b64_json": "AAA2" }, { "b64_json": "AAA3" }])
    );
    assert_eq!(finished(&seen).usage, Some(Usage { prompt: 12, total: 30, output: 18, ..Usage::default() }));
}

#[test]
fn a_refusal_to_draw_is_told_at_once_and_blames_nobody() {
    let body = json!({ "prompt": "A dot", "n": 1 });
    let answer = r#"{"candidates":[{"content":{"parts":[{"text":"No."}]},"finishReason":"STOP"}]}"#;
    let mut harness = Harness::new(config(&["one", "two"]));
    let seen =
        harness.send(&Call::post("/v1/images/generations", body.to_string()), |_| Canned::json(200, answer));
    let error: Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!((seen.status, seen.calls.len()), (400, 1), "{}", seen.text());
    assert_eq!(error["error"]["code"], "moderation_blocked");
    assert_eq!(harness.gateway.pool_size(), (2, 2));
}

const SOUND: &str = r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"audio/L16;codec=pcm;rate=24000","data":"AAECAw=="}}]}"#;

fn speech(format: &str) -> Call {
    let body = json!({ "model": "tts-1", "voice": "alloy", "input": "Hello", "response_format": format });
    Call::post("/v1/audio/speech", body.to_string())
}

#[test]
fn speech_comes_as_it_is_made() {
    let check = |format: &str, content_type: &str, expected: &[u8]| {
        let call = speech(format).with("accept", "application/octet-stream");
        let seen = Harness::new(config(&["one"])).send(&call, |request| {
            assert!(!request.headers().contains_key("accept"), "what the client accepts is made here");
            let whole = format!("{SOUND},\"finishReason\":\"STOP\"}}]}}");
            match request.uri().query() {
                Some("alt=sse") => Canned::sse(format!("data: {SOUND}}}]}}\r\n\r\ndata: {whole}\r\n\r\n")),
                _ => Canned::json(200, whole),
            }
        });
        assert_eq!(seen.status, 200, "{}", String::from_utf8_lossy(&seen.body));
        assert_eq!(seen.header("content-type"), Some(content_type));
        assert!(!seen.reset);
        assert!(seen.body.starts_with(expected), "{:?}", &seen.body[..8.min(seen.body.len())]);
    };
    check("pcm", "audio/pcm", &[0, 1, 2, 3, 0, 1, 2, 3]);
    check("wav", "audio/wav", b"RIFF");
    check("mp3", "audio/mpeg", &[0xFF, 0xF3]);
}

#[test]
fn speech_that_is_cut_is_no_whole_file() {
    let seen = Harness::new(config(&["one"]))
        .send(&speech("pcm"), |_| Canned::sse(format!("data: {SOUND}}}]}}\r\n\r\n")));
    assert!(seen.reset, "plain sound cannot say what happened");
    let body = json!({ "input": "Hello", "stream_format": "sse", "response_format": "pcm" });
    let seen = Harness::new(config(&["one"])).send(&Call::post("/v1/audio/speech", body.to_string()), |_| {
        Canned::sse(format!("data: {SOUND}}}]}}\r\n\r\n"))
    });
    assert!(!seen.reset && seen.text().contains("\"error\""), "{}", seen.text());
    assert!(!seen.text().contains("speech.audio.done"));
}

#[test]
fn speech_that_is_blocked_is_an_error_and_no_empty_file() {
    let mut harness = Harness::new(config(&["one", "two"]));
    let seen = harness.send(&speech("mp3"), |_| {
        Canned::sse("data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\r\n\r\n")
    });
    assert_eq!((seen.status, seen.calls.len()), (400, 1), "{}", seen.text());
    assert_eq!(seen.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(harness.gateway.pool_size(), (2, 2));
}

#[test]
fn a_recording_is_sent_on_and_its_form_is_not() {
    let form = "--X\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--X\r\n\
                Content-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\
                Content-Type: audio/mpeg\r\n\r\nID3\r\n--X--\r\n";
    let call =
        Call::post("/v1/audio/transcriptions", form).with("content-type", "multipart/form-data; boundary=X");
    let seen = Harness::new(config(&["one"])).send(&call, |request| {
        assert_eq!(request.headers()["content-type"], "application/json");
        assert_eq!(request.uri().path(), "/v1beta/models/gemini-3.8-flash:generateContent");
        let body: Value = serde_json::from_slice(request.body().as_ref().expect("a body")).expect("JSON");
        let sound = &body["contents"][0]["parts"][0]["inlineData"];
        assert_eq!(*sound, json!({ "mimeType": "audio/mp3", "data": "SUQz" }));
        Canned::json(200, r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}]}"#)
    });
    let answer: Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!(answer["text"], "Hi");
}

#[test]
fn what_parts_bring_is_held_within_the_common_memory() {
    let call = embeddings(300);
    // Room for the request and little more.
    let memory = Some(call.body.len() as u64 + 1_000);
    let seen = Harness::new(Config { memory, ..config(&["one"]) }).send(&call, vectors);
    assert_eq!(seen.status, 503, "{}", seen.text());
}
