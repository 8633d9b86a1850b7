//! Files that come, are shown, listed, named in prompts and deleted.

use serde_json::{Value, json};

use crate::harness::{Call, Canned};
use crate::{World, delete, form, others};

#[test]
fn a_file_is_shown_as_it_was_sent_even_after_a_restart() {
    let mut world = World::new();
    let made = world.upload("vision", "a cat.png", "\u{89}PNG");
    let expected = json!({
        "id": "file-f1", "object": "file", "bytes": 5, "created_at": 1_787_150_041, "expires_at": 1_787_322_852,
        "filename": "a cat.png", "purpose": "vision", "status": "processed",
    });
    assert_eq!(made, expected);
    let start: Value = serde_json::from_str(&world.google.seen[0].3).expect("JSON");
    assert_eq!(start["file"]["displayName"], "vision/a cat.png");
    assert_eq!(world.google.contents["files/f1"], "\u{89}PNG");
    assert_eq!(world.get("/v1/files/file-f1"), expected);
    let mut world = world.restarted();
    assert_eq!(world.get("/v1beta/openai/files/file-f1"), expected);
    assert!(world.google.seen.iter().all(|seen| !seen.1.contains("libra")), "nobody else's business");
}

#[test]
fn purposes_and_names_come_back() {
    let check = |purpose: &str, name: &str, label: &str, mime_type: &str| {
        let mut world = World::new();
        let made = world.upload(purpose, name, "text");
        assert_eq!((made["purpose"].as_str(), made["filename"].as_str()), (Some(purpose), Some(name)));
        let (_, shown) = &world.google.objects["files/f1"];
        assert_eq!(shown["displayName"], label);
        assert_eq!(shown["mimeType"], mime_type);
    };
    check("user_data", "notes.txt", "notes.txt", "text/plain");
    check("assistants", "notes.md", "assistants/notes.md", "text/markdown");
    check("evals", "e.unknown", "evals/e.unknown", "text/plain");
    check("user_data", "表.csv", "表.csv", "text/csv");
}

#[test]
fn what_is_wrong_with_a_form_is_named() {
    let check = |call: &Call, status: u16, param: Value, message: &str| {
        let mut world = World::new();
        let (said, at) = world.refused(call, status);
        assert_eq!(at, param, "{said}");
        assert!(said.contains(message), "{said}");
        assert!(world.google.seen.is_empty(), "Google is not asked");
    };
    let file = ("file", Some("a.txt"), "text");
    check(&form(&[file]), 400, json!("purpose"), "Missing required parameter: 'purpose'");
    check(&form(&[("purpose", None, "fun"), file]), 400, json!("purpose"), "'user_data'");
    check(&form(&[("purpose", None, "vision")]), 400, json!("file"), "Missing required parameter: 'file'");
    check(&form(&[("purpose", None, "vision"), ("file", Some("a"), "")]), 400, json!("file"), "empty");
    check(&Call::post("/v1/files", "{}"), 400, json!("file"), "expected a form");
    let mut cut = form(&[("purpose", None, "vision"), file]);
    cut.body = cut.body.slice(..cut.body.len() - 5);
    check(&cut, 400, Value::Null, "does not end with its boundary");
    check(&Call::get("/v1/files/file-ABC"), 404, json!("id"), "No such File object: file-ABC");
    check(&Call::get("/v1/files/..%2Fx/content"), 404, json!("id"), "No such File object");
    check(&Call::get("/v1/files?limit=0"), 400, json!("limit"), "1 to 10000");
    check(&Call::get("/v1/files?order=up"), 400, json!("order"), "'asc' or 'desc'");
    check(&Call::get("/v1/batches?limit=101"), 400, json!("limit"), "1 to 100");
}

#[test]
fn a_file_too_large_for_the_gateway_is_refused_before_it_comes() {
    let config = libra_core::config::Config { memory: Some(1_000), ..crate::pool() };
    let mut world = World { harness: crate::Harness::new(config), ..World::new() };
    let (message, _) =
        world.refused(&form(&[("purpose", None, "vision"), ("file", Some("a"), &"x".repeat(2_000))]), 413);
    assert!(message.contains("1000 bytes"), "{message}");
}

#[test]
fn a_dead_key_costs_the_client_nothing() {
    let mut world = World::new();
    world.google.dead =
        (0..3).flat_map(|project| (0..2).map(move |key| format!("p{project}-k{key}"))).collect();
    assert_eq!(world.upload("vision", "a.png", "text")["id"], "file-f1");
    let keys: Vec<&str> = world.google.seen.iter().rev().take(2).map(|seen| seen.2.as_str()).collect();
    assert_eq!(keys[0], keys[1], "bytes follow their upload");
    assert!(keys[0].starts_with("p3"), "{keys:?}");
}

#[test]
fn lists_have_an_order_and_go_on_behind_a_file() {
    let mut world = World::new();
    for (number, purpose) in ["vision", "user_data", "vision", "assistants", "vision"].iter().enumerate() {
        world.upload(purpose, &format!("{number}.txt"), "text");
    }
    let mut check = |query: &str, expected: &[&str], more: bool| {
        let list = world.get(&format!("/v1/files{query}"));
        let ids: Vec<&str> = list["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|file| file["id"].as_str().expect("an id"))
            .collect();
        assert_eq!(ids, expected, "{query}");
        assert_eq!(list["has_more"], more, "{query}");
        assert_eq!(list["last_id"], expected.last().map_or(Value::Null, |id| json!(id)), "{query}");
    };
    check("", &["file-f5", "file-f4", "file-f3", "file-f2", "file-f1"], false);
    check("?order=asc&limit=2", &["file-f1", "file-f2"], true);
    check("?order=asc&limit=2&after=file-f4", &["file-f5"], false);
    check("?limit=2&after=file-f4", &["file-f3", "file-f2"], true);
    check("?purpose=vision", &["file-f5", "file-f3", "file-f1"], false);
    check("?purpose=batch", &[], false);
    let (_, param) = world.refused(&Call::get("/v1/files?after=file-f9"), 400);
    assert_eq!(param, "after");
}

#[test]
fn no_client_sees_anothers_files() {
    let mut world = World::new();
    world.upload("user_data", "mine.txt", "text");
    let before = world.google.seen.len();
    let prompt = prompt_of_chat("file-f1");
    for call in
        [Call::get("/v1/files/file-f1"), Call::get("/v1/files/file-f1/content"), delete("/v1/files/file-f1")]
    {
        let (message, _) = world.refused(&others(call), 404);
        assert_eq!(message, "No such File object: file-f1");
    }
    world.refused(&others(prompt), 403);
    assert_eq!(world.google.seen.len(), before, "nothing of it reaches Google");
    assert_eq!(world.ask(&others(Call::get("/v1/files")), 200)["data"], json!([]));
    assert_eq!(world.get("/v1/files")["data"].as_array().map(Vec::len), Some(1));
}

fn prompt_of_chat(id: &str) -> Call {
    let content = json!([{ "type": "file", "file": { "file_id": id } }, { "type": "text", "text": "?" }]);
    let body = json!({ "model": "gemini-2.5-flash", "messages": [{ "role": "user", "content": content }] });
    Call::post("/v1/chat/completions", body.to_string())
}

#[test]
fn prompts_of_every_dialect_go_where_their_files_are() {
    let mut world = World::new();
    world.upload("user_data", "a.pdf", "%PDF-1.7");
    let project = world.google.objects["files/f1"].0.clone();
    let mut world = world.restarted();
    let image = json!([{ "role": "user", "content": [{ "type": "input_image", "file_id": "file-f1" }] }]);
    let file = json!([{ "role": "user", "content": [{ "type": "input_file", "file_id": "file-f1" }] }]);
    let document = json!([{ "role": "user", "content": [
        { "type": "document", "source": { "type": "file", "file_id": "file-f1" } },
    ] }]);
    let calls = [
        prompt_of_chat("file-f1"),
        prompt_of_chat("files/f1"),
        Call::post("/v1/responses", json!({ "model": "m", "input": image }).to_string()),
        Call::post("/v1/responses", json!({ "model": "m", "input": file }).to_string()),
        Call::post(
            "/v1/messages",
            json!({ "model": "m", "max_tokens": 9, "messages": document }).to_string(),
        ),
    ];
    for call in &calls {
        let seen = world.send(call);
        assert_eq!(seen.status, 200, "{}", seen.text());
        let (_, _, key, body) = world.google.seen.last().expect("a prompt");
        assert!(key.starts_with(&project), "{key}");
        assert!(body.contains("\"https://generativelanguage.googleapis.com/v1beta/files/f1\""), "{body}");
    }
}

#[test]
fn what_was_uploaded_cannot_be_had_again_and_that_is_said() {
    let mut world = World::new();
    world.upload("assistants", "a.pdf", "%PDF-1.7");
    let (message, _) = world.refused(&Call::get("/v1/files/file-f1/content"), 400);
    assert!(message.starts_with("Not allowed to download files of purpose: assistants"), "{message}");
    let (message, _) = world.refused(&Call::get("/v1/files/file-f9/content"), 404);
    assert_eq!(message, "No such File object: file-f9");
}

#[test]
fn what_google_has_made_comes_as_it_is() {
    let mut world = World::new();
    let shown =
        json!({ "name": "files/film", "source": "GENERATED", "mimeType": "video/mp4", "sizeBytes": "8" });
    world.google.objects.insert("files/film".to_owned(), ("p2".to_owned(), shown));
    world.google.contents.insert("files/film".to_owned(), "the film".into());
    let seen = world.send(&Call::get("/v1/files/file-film/content"));
    assert_eq!((seen.status, seen.text()), (200, "the film"));
    assert_eq!(seen.header("content-type"), Some("video/mp4"));
    assert!(seen.header("x-goog-api-key").is_none() && seen.header("location").is_none());
    assert_eq!(world.get("/v1/files/file-film")["purpose"], "assistants_output");
}

#[test]
fn a_file_is_deleted() {
    let mut world = World::new();
    world.upload("user_data", "a.txt", "text");
    let deleted = world.ask(&delete("/v1/files/file-f1"), 200);
    assert_eq!(deleted, json!({ "id": "file-f1", "object": "file", "deleted": true }));
    assert!(world.google.objects.is_empty());
    world.refused(&Call::get("/v1/files/file-f1"), 404);
}

#[test]
fn googles_refusals_come_in_openais_words() {
    let mut world = World::new();
    let call = form(&[("purpose", None, "user_data"), ("file", Some("a"), "text")]);
    let refusal =
        r#"{"error":{"code":429,"message":"Quota exceeded for storage.","status":"RESOURCE_EXHAUSTED"}}"#;
    let seen = world.harness.send(&call, |_| Canned::json(429, refusal));
    assert_eq!(seen.status, 429, "{}", seen.text());
    let error: Value = serde_json::from_str(seen.text()).expect("JSON");
    assert!(error["error"]["type"].is_string() && error["error"]["message"].is_string(), "{error}");
}

#[test]
fn a_client_with_a_key_of_its_own_has_its_own_files() {
    let mut world = World { harness: crate::Harness::new(crate::harness::config(&[])), ..World::new() };
    assert_eq!(world.upload("user_data", "a.txt", "text")["id"], "file-f1");
    assert!(world.google.seen.iter().all(|seen| seen.2 == crate::harness::CLIENT));
    assert_eq!(world.get("/v1/files")["data"][0]["id"], "file-f1");
    world.ask(&prompt_of_chat("file-f1"), 200);
    let (message, _) = world.refused(&others(Call::get("/v1/files/file-f1")), 404);
    assert_eq!(message, "No such File object: file-f1");
    assert_eq!(world.google.seen.last().map(|seen| seen.2.as_str()), Some("other-client"));
}
