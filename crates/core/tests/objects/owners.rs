//! Who serves a request that names objects.

use serde_json::json;

use crate::google::Google;
use crate::harness::{CLIENT, Call, Canned, Harness, Seen};
use crate::uploads::upload;
use crate::{call, harness, others};

fn ask(harness: &mut Harness, google: &mut Google, uris: &[&str]) -> Seen {
    let parts: Vec<_> = uris.iter().map(|uri| json!({ "fileData": { "fileUri": uri } })).collect();
    let body = json!({ "contents": [{ "parts": parts }] }).to_string();
    let call = call("POST", "/v1/models/m:generateContent", &body);
    harness.send(&call, |request| google.answer(request))
}

#[test]
fn an_object_that_nobody_knows_is_looked_up_once() {
    let (mut harness, mut google) = (harness(), Google::default());
    google.objects.insert("files/old".to_owned(), "p3".to_owned());
    let uri = "https://generativelanguage.googleapis.com/v1beta/files/old";
    assert_eq!(ask(&mut harness, &mut google, &[uri]).status, 200);
    let looks = google.keys_of("/v1beta/files/old").len();
    assert!((1..=5).contains(&looks), "{looks}");
    assert_eq!(google.seen.last().map(|seen| &seen.2[..2]), Some("p3"));
    assert_eq!(ask(&mut harness, &mut google, &[uri]).calls.len(), 1, "it is known now");
}

#[test]
fn what_nobody_has_is_googles_word_and_no_keys_fault() {
    let (mut harness, mut google) = (harness(), Google::default());
    let seen = ask(&mut harness, &mut google, &["files/nobodys"]);
    assert_eq!(seen.status, 403);
    assert!(seen.text().contains("permission to access the File nobodys"), "{}", seen.text());
    assert_eq!(seen.calls.len(), 6, "five projects are asked, and one is sent the prompt");
    assert_eq!(ask(&mut harness, &mut google, &["files/nobodys"]).calls.len(), 1, "that is remembered, too");
    assert_eq!(harness.gateway.pool_size(), (10, 10));
    harness.now = harness.now + std::time::Duration::from_secs(61);
    google.objects.insert("files/nobodys2".to_owned(), "p1".to_owned());
    assert_eq!(ask(&mut harness, &mut google, &["files/nobodys2"]).status, 200);
}

#[test]
fn objects_of_two_projects_are_refused_before_anybody_is_asked() {
    let (mut harness, mut google) = (harness(), Google::default());
    google.objects.insert("files/a".to_owned(), "p1".to_owned());
    google.objects.insert("files/b".to_owned(), "p2".to_owned());
    let seen = ask(&mut harness, &mut google, &["files/a", "files/b"]);
    assert_eq!(seen.status, 400);
    assert!(seen.text().contains("files/a and files/b belong to different projects"), "{}", seen.text());
    assert!(google.keys_of("generateContent").is_empty());
}

#[test]
fn no_client_sees_anothers_objects() {
    let (mut harness, mut google) = (harness(), Google::default());
    upload(&mut harness, &mut google, "mine");
    let before = google.seen.len();
    let check = |harness: &mut Harness, google: &mut Google, call: &Call, expected: u16| {
        let seen = harness.send(call, |request| google.answer(request));
        assert_eq!(seen.status, expected, "{} {}", call.path, seen.text());
    };
    let prompt = r#"{"contents":[{"parts":[{"\u0066ileData":{"file\u0055ri":"files/o1"}}]}]}"#;
    check(&mut harness, &mut google, &others("GET", "/v1beta/files/o1", ""), 403);
    check(&mut harness, &mut google, &others("DELETE", "/v1beta/files/o1", ""), 403);
    check(&mut harness, &mut google, &others("POST", "/v1beta/models/m:generateContent", prompt), 403);
    assert_eq!(google.seen.len(), before, "nothing of it reaches Google");
    check(&mut harness, &mut google, &call("GET", "/v1beta/files/o1", ""), 200);
    let admin = others("GET", "/v1beta/files/o1", "").with("x-libra-admin", "the-administrators-token");
    check(&mut harness, &mut google, &admin, 200);
}

#[test]
fn another_key_of_the_project_takes_over() {
    let (mut harness, mut google) = (harness(), Google::default());
    upload(&mut harness, &mut google, "mine");
    let maker = google.keys_of("/upload/")[0].to_owned();
    google.dead.push(maker.clone());
    let seen = ask(&mut harness, &mut google, &["files/o1"]);
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert_eq!(seen.calls.len(), 2);
    assert_eq!(seen.calls[0], maker);
    assert_eq!(seen.calls[1][..2], maker[..2]);
    assert_eq!(ask(&mut harness, &mut google, &["files/o1"]).calls.len(), 1);
}

#[test]
fn what_was_made_is_found_again() {
    let (mut harness, mut google) = (harness(), Google::default());
    let made = |harness: &mut Harness, google: &mut Google, path: &str| {
        let seen = harness.send(&call("POST", path, "{}"), |request| google.answer(request));
        assert_eq!(seen.status, 200, "{}", seen.text());
        let made: serde_json::Value = serde_json::from_str(seen.text()).expect("JSON");
        made["name"].as_str().expect("a name").to_owned()
    };
    for path in ["/v1/cachedContents", "/v1beta/fileSearchStores", "/v1alpha/models/veo:predictLongRunning"] {
        let name = made(&mut harness, &mut google, path);
        for version in ["v1", "v1beta", "v1alpha"] {
            let seen = harness
                .send(&call("GET", &format!("/{version}/{name}"), ""), |request| google.answer(request));
            assert_eq!((seen.status, seen.calls.len()), (200, 1), "{name}");
        }
    }
    let cache = r#"{"contents":[],"cachedContent":"cachedContents/o1"}"#;
    let seen = harness
        .send(&call("POST", "/v1beta/models/m:generateContent", cache), |request| google.answer(request));
    assert_eq!((seen.status, seen.calls.len()), (200, 1), "{}", seen.text());
}

#[test]
fn interactions_are_gone_on_with_where_they_were() {
    let (mut harness, mut google) = (harness(), Google::default());
    for stream in [false, true] {
        let body = json!({ "model": "m", "input": "Hi", "stream": stream }).to_string();
        let seen =
            harness.send(&call("POST", "/v1beta/interactions", &body), |request| google.answer(request));
        assert_eq!(seen.status, 200, "{}", seen.text());
        let id = google.objects.keys().filter_map(|name| name.strip_prefix("interactions/")).next_back();
        let id = id.expect("an interaction").to_owned();
        let next = json!({ "model": "m", "input": "Go on", "previous_interaction_id": id }).to_string();
        let seen =
            harness.send(&call("POST", "/v1beta/interactions", &next), |request| google.answer(request));
        assert_eq!((seen.status, seen.calls.len()), (200, 1), "{}", seen.text());
        let path = format!("/v1beta/interactions/{id}");
        let seen = harness.send(&call("GET", &path, ""), |request| google.answer(request));
        assert_eq!((seen.status, seen.calls.len()), (200, 1));
        assert_eq!(harness.send(&others("GET", &path, ""), |request| google.answer(request)).status, 403);
    }
    let unknown = json!({ "model": "m", "input": "Hi", "previous_interaction_id": "v1_unknown" }).to_string();
    let seen =
        harness.send(&call("POST", "/v1beta/interactions", &unknown), |request| google.answer(request));
    assert_eq!(seen.status, 404, "{}", seen.text());
    assert!(seen.text().contains("not_found"));
}

#[test]
fn a_download_is_followed_and_echoes_no_key() {
    let (mut harness, mut google) = (harness(), Google::default());
    google.objects.insert("files/film".to_owned(), "p2".to_owned());
    let seen = harness
        .send(&call("GET", "/v1beta/files/film:download?alt=media&key=client-key", ""), |request| {
            google.answer(request)
        });
    assert_eq!((seen.status, seen.text()), (200, "the film"));
    assert_eq!(seen.header("content-type"), Some("video/mp4"));
    assert_eq!(seen.header("content-length"), Some("8"));
    assert!(seen.header("location").is_none() && seen.header("x-goog-api-key").is_none());
    let told = format!("{:?} {:?}", seen.headers, seen.events);
    assert!(!told.contains("p2-k"), "{told}");
    let (_, path, key, _) = google.seen.last().expect("a request");
    assert_eq!(path, "/download/v1beta/files/film:download?alt=media");
    assert_eq!(&key[..2], "p2");
    assert!(!google.seen.iter().any(|seen| seen.1.contains(CLIENT)));
}

#[test]
fn a_redirect_to_elsewhere_gets_no_key() {
    let mut harness = harness();
    let elsewhere = |_: &http::Request<Option<bytes::Bytes>>| {
        Canned::json(302, "{}").with("location", "https://evil.example/x".to_owned())
    };
    let seen = harness.send(&call("GET", "/download/v1beta/things/x:download?alt=media", ""), elsewhere);
    assert_eq!(seen.status, 502, "{}", seen.text());
    assert!(seen.header("location").is_none());
}

#[test]
fn a_token_to_go_on_with_is_one_projects() {
    let mut harness = harness();
    let mut keys = Vec::new();
    let mut go_on = |harness: &mut Harness, body: &str| {
        let call = call("POST", "/v1/models/m:generateContent", body);
        let seen = harness.send(&call, |_| {
            Canned::json(
                200,
                r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"CONTINUATION","continuationToken":"tok/1="}]}"#,
            )
        });
        keys.push(seen.calls[0].clone());
    };
    go_on(&mut harness, r#"{"contents":[{"parts":[{"text":"one"}]}]}"#);
    for number in 0..3 {
        go_on(
            &mut harness,
            &format!(r#"{{"contents":[{{"parts":[{{"text":"{number}"}}]}}],"continuationToken":"tok/1="}}"#),
        );
    }
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn what_was_learned_outlives_a_restart_where_it_is_carried() {
    let (mut harness, mut google) = (harness(), Google::default());
    upload(&mut harness, &mut google, "mine");
    let changes = harness.gateway.take_changes();
    let mut harness = crate::harness();
    harness.gateway.apply(&changes, harness.now);
    assert_eq!(ask(&mut harness, &mut google, &["files/o1"]).calls.len(), 1);
    assert_eq!(harness.send(&others("GET", "/v1/files/o1?key=x", ""), |_| unreachable!()).status, 403);
}
