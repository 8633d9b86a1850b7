//! Media that are too large for a request of Gemini's.

use serde_json::{Value, json};

use crate::World;
use crate::harness::Call;

/// A medium of so many bytes, in base64.
fn base64(size: usize) -> String {
    "QUJD".repeat(size / 3)
}

fn chat(media: &[(&str, &str)]) -> Call {
    let mut content: Vec<Value> = media
        .iter()
        .map(|(kind, data)| json!({ "type": "image_url", "image_url": { "url": format!("data:{kind};base64,{data}") } }))
        .collect();
    content.push(json!({ "type": "text", "text": "What is it?" }));
    let body = json!({ "model": "gemini-2.5-flash", "messages": [{ "role": "user", "content": content }] });
    Call::post("/v1/chat/completions", body.to_string())
}

/// The paths that were asked for, without their queries.
fn paths(world: &World) -> Vec<&str> {
    world.google.seen.iter().map(|seen| seen.1.split('?').next().unwrap_or_default()).collect()
}

const PROMPT: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const UPLOAD: &str = "/upload/v1beta/files";

#[test]
fn a_medium_too_large_for_a_request_goes_up_as_a_file_once() {
    let mut world = World::new();
    let (large, small) = (base64(16 << 20), base64(1 << 10));
    let call = chat(&[("image/png", &small), ("video/mp4", &large)]);
    world.ask(&call, 200);
    assert_eq!(paths(&world), [UPLOAD, PROMPT]);
    let (_, _, key, body) = world.google.seen.last().expect("a prompt").clone();
    let file = json!({ "fileData": { "mimeType": "video/mp4",
        "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/f1" } });
    assert!(
        body.contains(&file.to_string()) || body.contains(&file["fileData"]["fileUri"].to_string()),
        "{body}"
    );
    assert!(body.contains(&small) && !body.contains("inline:"), "{body}");
    assert_eq!(world.google.seen[0].2, key, "the same key");
    assert_eq!(world.google.contents["files/f1"].len(), (16 << 20) / 3 * 3);
    assert!(world.google.contents["files/f1"].starts_with(b"ABCABC"));

    // The conversation goes on: in the same project nothing is uploaded again.
    let project = key.split('-').next().expect("a project").to_owned();
    world.google.busy = ["p0", "p1", "p2", "p3"].into_iter().filter(|other| *other != project).collect();
    for _ in 0..2 {
        let before = world.google.seen.len();
        world.ask(&call, 200);
        let uploads = world.google.seen[before..].iter().filter(|seen| seen.1.starts_with(UPLOAD));
        assert!(
            uploads.clone().all(|seen| !seen.2.starts_with(&project)),
            "{:?}",
            uploads.collect::<Vec<_>>()
        );
    }
    // No client sees such a file.
    assert_eq!(world.get("/v1/files")["data"], json!([]));
}

#[test]
fn another_project_gets_the_medium_too() {
    let mut world = World::new();
    world.google.busy = "p0 p1".to_owned();
    world.google.dead = vec!["p2-k0".to_owned(), "p2-k1".to_owned()];
    world.ask(&chat(&[("video/mp4", &base64(16 << 20))]), 200);
    let (_, _, key, body) = world.google.seen.last().expect("a prompt").clone();
    assert!(key.starts_with("p3"), "{key}");
    let name = world.google.objects.iter().find(|(_, (owner, _))| owner == "p3").expect("a file").0;
    assert!(body.contains(&format!("/v1beta/{name}\"")), "each project has a file of its own");
}

#[test]
fn a_film_that_google_looks_at_is_waited_for() {
    let mut world = World::new();
    world.google.looks = 3;
    world.ask(&chat(&[("video/mp4", &base64(16 << 20))]), 200);
    assert_eq!(paths(&world), [UPLOAD, "/v1beta/files/f1", "/v1beta/files/f1", "/v1beta/files/f1", PROMPT]);
    world.google.looks = u32::MAX;
    let seen = world.send(&chat(&[("video/webm", &base64(16 << 20))]));
    assert_eq!(seen.status, 504, "{}", seen.text());
}

#[test]
fn other_dialects_are_served_and_native_requests_stay_as_they_are() {
    let data = base64(16 << 20);
    let block = json!([{ "role": "user", "content": [
        { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": data } },
    ] }]);
    let body = json!({ "model": "gemini-2.5-flash", "max_tokens": 9, "messages": block });
    // Of a client with a key of its own, for once.
    let mut world = World { harness: crate::Harness::new(crate::harness::config(&[])), ..World::new() };
    world.ask(&Call::post("/v1/messages", body.to_string()), 200);
    assert_eq!(paths(&world), [UPLOAD, PROMPT]);
    let mut world = World::new();
    let parts = json!([{ "inlineData": { "mimeType": "image/png", "data": data } }]);
    let native = json!({ "contents": [{ "parts": parts }] }).to_string();
    let seen = world.send(&Call::post(PROMPT, native));
    assert_eq!(seen.status, 400, "{}", seen.text());
    assert_eq!(paths(&world), [PROMPT]);
}
