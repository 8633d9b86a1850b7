//! Real exchanges with Google, replayed through the gateway, where a folder of them lies beside the project.
//!
//! Native answers must come back byte for byte, chats must come out whole. Without the folder this checks
//! nothing, and says so.

#[path = "recorded/chat.rs"]
mod chat;
mod harness;
#[path = "recorded/messages.rs"]
mod messages;

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use harness::{Call, Canned, Harness, config};
use http::Method;
use serde_json::Value;

struct Recording {
    name: String,
    call: Call,
    answer: Canned,
    generates: bool,
}

/// The recordings of methods that are served.
fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/recorded");
    let Ok(files) = fs::read_dir(&folder) else {
        eprintln!("no recordings beside the project: nothing is replayed");
        return Vec::new();
    };
    let mut found: Vec<Recording> = files.flatten().filter_map(|file| recording(&file.path())).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!found.is_empty(), "the folder is there, and none of its recordings is");
    eprintln!("{} recordings are replayed", found.len());
    found
}

fn recording(path: &Path) -> Option<Recording> {
    let name = path.file_stem()?.to_str()?.to_owned();
    let file: Value = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
    let (request, response) = (file.get("request")?, file.get("response")?);
    let address: http::Uri = request["url"].as_str()?.parse().ok()?;
    let path = address.path_and_query()?.as_str().to_owned();
    let served =
        ["generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"];
    let method = address.path().rsplit_once(':').map(|(_, method)| method.to_owned());
    let is_list = address.path().ends_with("/models");
    if !is_list && !method.as_deref().is_some_and(|method| served.contains(&method)) {
        return None;
    }
    if response["body_encoding"] != "utf-8" {
        return None;
    }
    let body = request["body"].as_str().unwrap_or("").to_owned();
    let mut call = Call::post(&path, body).with("x-goog-api-client", "replay");
    if is_list {
        call.method = Method::GET;
    }
    let event_stream = response["headers"]["content-type"].as_str()?.starts_with("text/event-stream");
    let answer = Canned {
        status: u16::try_from(response["status"].as_u64()?).ok()?,
        content_type: if event_stream { "text/event-stream" } else { "application/json; charset=UTF-8" },
        headers: Vec::new(),
        chunks: vec![Bytes::from(response["body"].as_str()?.to_owned())],
        end: harness::End::Complete,
        after: std::time::Duration::ZERO,
    };
    let generates = method.is_some_and(|method| method.ends_with("enerateContent"));
    Some(Recording { name, call, answer, generates })
}

#[test]
fn native_answers_come_back_byte_for_byte() {
    for Recording { name, call, answer, .. } in recordings() {
        // As one piece, and in pieces of 100 bytes.
        let size: usize = answer.chunks.iter().map(Bytes::len).sum();
        for step in [size.max(1), 100] {
            let places: Vec<usize> = (1..size.div_ceil(step)).map(|piece| piece * step).collect();
            let answer = answer.clone().cut_at(&places);
            // As a plain proxy for the client's own key, so that errors about the key are passed on, too.
            let seen = Harness::new(config(&[])).send(&call, |_| answer.clone());
            assert_eq!(seen.status, answer.status, "{name}");
            assert_eq!(seen.body, answer.chunks.concat(), "{name}");
            assert_eq!(seen.calls.len(), 1, "{name}");
        }
    }
}

/// Responses, whole and in events.
#[test]
fn responses_come_out_whole() {
    for Recording { name, answer, generates, .. } in recordings() {
        let body = String::from_utf8(answer.chunks.concat()).expect("UTF-8");
        if !generates || answer.status != 200 || body.trim_start().starts_with('[') {
            continue;
        }
        let is_sse = answer.content_type == "text/event-stream";
        let call = Call::post(
            "/v1/responses",
            format!(r#"{{"model":"gemini-2.5-flash","input":"Hi","stream":{is_sse}}}"#),
        );
        let seen = Harness::new(config(&["pool-key-one"])).send(&call, |_| answer.clone());
        assert_eq!(seen.status, 200, "{name}: {}", seen.text());
        let response: Value = if is_sse {
            let last = seen.text().lines().rev().find_map(|line| line.strip_prefix("data: "));
            let last: Value = serde_json::from_str(last.expect("events")).expect("JSON");
            last["response"].clone()
        } else {
            serde_json::from_str(seen.text()).expect("JSON")
        };
        let texts = body.matches("\"text\"").count();
        assert!(
            matches!(response["status"].as_str(), Some("completed" | "incomplete")),
            "{name}: {response}"
        );
        assert!(
            texts == 0 || !response["output"].as_array().expect("items").is_empty(),
            "{name}: {response}"
        );
        assert!(response["usage"]["total_tokens"].as_u64() > Some(0), "{name}: {response}");
    }
}

/// The recordings of a method, with what was asked and what was answered.
fn recorded(method: &str) -> Vec<(String, Value, Canned, Value)> {
    let of_method = |recording: &Recording| {
        recording.call.path.split('?').next().is_some_and(|path| path.ends_with(method))
            && recording.answer.status == 200
    };
    recordings()
        .into_iter()
        .filter(of_method)
        .filter_map(|Recording { name, call, answer, .. }| {
            let asked = serde_json::from_slice(&call.body).ok()?;
            let answered = serde_json::from_slice(&answer.chunks.concat()).ok()?;
            Some((name, asked, answer, answered))
        })
        .collect()
}

/// What a gateway sends for a client's request, and what the client gets for this answer.
fn through(path: &str, body: &Value, answer: &Canned) -> (Value, harness::Seen) {
    let mut sent = Value::Null;
    let call = Call::post(path, body.to_string());
    let seen = Harness::new(config(&["pool-key-one"])).send(&call, |request| {
        sent = serde_json::from_slice(request.body().as_ref().expect("a body")).expect("JSON");
        answer.clone()
    });
    assert_eq!(seen.status, 200, "{}", String::from_utf8_lossy(&seen.body));
    (sent, seen)
}

#[test]
fn embeddings_come_out_with_length_one() {
    for (name, asked, answer, answered) in recorded(":batchEmbedContents") {
        let requests = asked["requests"].as_array().expect("requests");
        let body = serde_json::json!({
            "model": requests[0]["model"],
            "input": requests.iter().map(|one| &one["content"]["parts"][0]["text"]).collect::<Vec<_>>(),
            "dimensions": requests[0]["outputDimensionality"],
        });
        let (sent, seen) = through("/v1/embeddings", &body, &answer);
        assert_eq!(sent, asked, "{name}: what is asked is what was asked");
        let told: Value = serde_json::from_str(seen.text()).expect("JSON");
        let vectors = answered["embeddings"].as_array().expect("embeddings");
        assert_eq!(told["data"].as_array().map(Vec::len), Some(vectors.len()), "{name}");
        for (vector, entry) in vectors.iter().zip(told["data"].as_array().expect("data")) {
            let numbers = |vector: &Value| -> Vec<f64> {
                vector
                    .as_array()
                    .expect("numbers")
                    .iter()
                    .map(|one| one.as_f64().expect("a number"))
                    .collect()
            };
            let (theirs, ours) = (numbers(&vector["values"]), numbers(&entry["embedding"]));
            let length = |vector: &[f64]| vector.iter().map(|one| one * one).sum::<f64>().sqrt();
            assert!((length(&ours) - 1.0).abs() < 1e-4, "{name}: {}", length(&ours));
            let scale = length(&theirs);
            assert!(theirs.iter().zip(&ours).all(|(a, b)| (a / scale - b).abs() < 1e-5), "{name}");
        }
    }
}

#[test]
fn speech_comes_out_in_a_file() {
    for (name, mut asked, answer, answered) in recorded("-tts:generateContent") {
        let parts = &asked["contents"][0]["parts"];
        let voice =
            &asked["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"];
        let body = serde_json::json!({
            "model": asked["model"], "input": parts[0]["text"], "voice": voice, "response_format": "wav",
        });
        let (sent, seen) = through("/v1/audio/speech", &body, &answer);
        // The model is in the path.
        asked.as_object_mut().expect("an object").remove("model");
        assert_eq!(sent, asked, "{name}: what is asked is what was asked");
        let sound = answered["candidates"][0]["content"]["parts"][0]["inlineData"]["data"].as_str();
        let sound = STANDARD.decode(sound.expect("sound")).expect("base64");
        assert_eq!(seen.body[..4], *b"RIFF", "{name}");
        assert_eq!(seen.body[44..], sound[..sound.len() / 2 * 2], "{name}");
    }
}
