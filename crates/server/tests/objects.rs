//! Objects over sockets: files that go up in pieces and whole, a film that comes down, lists, and a restart.

mod running;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use libra_simulator::{Clock, Config, Limits, Project, Simulator};
use running::{CLIENT, GENERATE, Running, text};
use serde_json::{Value, json};

const KEYS: &str = "p0:p0-key-one,p0:p0-key-two,p1:p1-key-one,p1:p1-key-two,p2:p2-key-one,p2:p2-key-two";

/// Three projects with two keys each.
fn google() -> Arc<Simulator> {
    let project = |number: usize| {
        let keys = ["one", "two"].map(|key| format!("p{number}-key-{key}"));
        Project::new(format!("p{number}"), Limits::default(), &keys.each_ref().map(String::as_str))
    };
    let config = Config { projects: (0..3).map(project).collect(), ..Config::default() };
    Simulator::new(config, Clock::system(), 1)
}

async fn libra(simulator: &Arc<Simulator>) -> Running {
    Running::start(Arc::clone(simulator), &[("LIBRA_KEYS", KEYS)]).await
}

fn header<'a>(answer: &'a Response<Incoming>, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().expect("ASCII"))
}

/// Begins an upload. The path at which it goes on.
async fn begin(running: &Running, display_name: &str) -> String {
    let body = json!({ "file": { "displayName": display_name } }).to_string();
    let mut request = running.request(Method::POST, "/upload/v1beta/files", body);
    for (name, value) in [("x-goog-upload-protocol", "resumable"), ("x-goog-upload-command", "start")] {
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    let begun = running.send(request).await;
    assert_eq!((begun.status().as_u16(), header(&begun, "x-goog-upload-status")), (200, "active"));
    let address = header(&begun, "x-goog-upload-url");
    address.strip_prefix(&running.base).unwrap_or_else(|| panic!("{address}")).to_owned()
}

async fn piece(
    running: &Running,
    path: &str,
    (command, offset): (&str, usize),
    bytes: impl Into<Bytes>,
) -> (String, String) {
    let request = Request::builder()
        .method(Method::PUT)
        .uri(format!("{}{path}", running.base))
        .header("x-goog-upload-command", command)
        .header("x-goog-upload-offset", offset)
        .body(Full::new(bytes.into()))
        .expect("a request");
    let answer = running.send(request).await;
    let (status, upload) = (answer.status(), header(&answer, "x-goog-upload-status").to_owned());
    let body = text(answer).await.expect("a whole body");
    assert_eq!(status, 200, "{body}");
    (upload, body)
}

/// Uploads a file in one piece. Its address.
async fn upload(running: &Running, bytes: impl Into<Bytes>) -> String {
    let path = begin(running, "a file").await;
    let (status, body) = piece(running, &path, ("upload, finalize", 0), bytes).await;
    assert_eq!(status, "final", "{body}");
    address(&body)
}

fn address(file: &str) -> String {
    let file: Value = serde_json::from_str(file).expect("JSON");
    file["file"]["uri"].as_str().expect("an address").to_owned()
}

async fn ask(running: &Running, addresses: &[&str]) -> (u16, String) {
    let parts: Vec<Value> = addresses
        .iter()
        .map(|uri| json!({ "fileData": { "fileUri": uri, "mimeType": "text/plain" } }))
        .collect();
    running.post(GENERATE, json!({ "contents": [{ "parts": parts }] }).to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_up_in_pieces_through_a_cut_and_is_used() {
    let simulator = google();
    let running = libra(&simulator).await;
    // In the second piece, once a connection to Google has served.
    let path = begin(&running, "a file {{cut=1500000}}").await;
    let (first, second) = (vec![b'a'; 1 << 20], vec![b'b'; 1 << 20]);
    assert_eq!(piece(&running, &path, ("upload", 0), first).await.0, "active");
    let (status, file) = piece(&running, &path, ("upload, finalize", 1 << 20), second).await;
    assert_eq!(status, "final", "{file}");
    assert!(file.contains("\"2097152\""), "{file}");
    let address = address(&file);
    assert!(address.starts_with(&running.base), "{address}");
    let (one, two) = (upload(&running, "one").await, upload(&running, "two").await);
    let (status, answer) = ask(&running, &[&address, &one, &two]).await;
    assert_eq!(status, 200, "{answer}");
    let counts = simulator.counts();
    let asked = counts.keys.values().filter(|key| key.requests > 0);
    let projects: Vec<_> = asked.filter_map(|key| key.project.as_deref()).collect();
    assert!(projects.iter().all(|project| *project == projects[0]), "{projects:?}");
    assert_eq!(counts.totals.status(403) + counts.totals.status(404), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_comes_down_and_no_key_with_it() {
    let running = libra(&google()).await;
    let prompt = json!({ "instances": [{ "prompt": "a film {{bytes=3000000}}" }] }).to_string();
    let (status, begun) =
        running.post("/v1/models/veo-3.1-generate-preview:predictLongRunning", prompt).await;
    assert_eq!(status, 200, "{begun}");
    let name =
        serde_json::from_str::<Value>(&begun).expect("JSON")["name"].as_str().expect("a name").to_owned();
    let mut done = Value::Null;
    for _ in 0..100 {
        let (status, operation) = running.get(&format!("/v1/{name}")).await;
        assert_eq!(status, 200, "{operation}");
        done = serde_json::from_str(&operation).expect("JSON");
        if done["done"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let samples = &done["response"]["generateVideoResponse"]["generatedSamples"];
    let address = samples[0]["video"]["uri"].as_str().unwrap_or_else(|| panic!("{done}"));
    let path = address.strip_prefix(&running.base).unwrap_or_else(|| panic!("{address}"));
    // As it is, and as Google's SDKs write it behind a gateway without TLS.
    for path in [path.to_owned(), format!("/v1/files/{address}:download?alt=media")] {
        let mut request = running.request(Method::GET, &path, "");
        request.headers_mut().insert("x-goog-api-client", "google-genai-sdk/3.4.0".parse().expect("a value"));
        let answer = running.send(request).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "content-type")), (200, "video/mp4"), "{path}");
        let head = format!("{:?}", answer.headers());
        assert!(!head.contains("-key-") && !head.contains("location"), "{head}");
        let film = answer.into_body().collect().await.expect("a whole film").to_bytes();
        assert_eq!((film.len(), &film[4..8]), (3_000_000, &b"ftyp"[..]));
    }
    let mut request = running.request(Method::GET, path, "");
    request.headers_mut().insert("range", "bytes=4-7".parse().expect("a value"));
    let answer = running.send(request).await;
    assert_eq!(answer.status(), 206);
    assert_eq!(text(answer).await.as_deref(), Some("ftyp"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_of_all_projects() {
    let simulator = google();
    for project in 0..3 {
        for number in 0..4 {
            let request = Request::post("/v1beta/files")
                .header("x-goog-api-key", format!("p{project}-key-one"))
                .body(Bytes::from(json!({ "file": { "displayName": format!("{number}") } }).to_string()))
                .expect("a request");
            let (_, ticket) = simulator.answer(&request);
            ticket.into_iter().for_each(|ticket| ticket.done());
        }
    }
    let running = libra(&simulator).await;
    let (mut names, mut pages, mut token) = (std::collections::BTreeSet::new(), 0, String::new());
    loop {
        let (status, page) = running.get(&format!("/v1beta/files?pageSize=5&pageToken={token}")).await;
        assert_eq!(status, 200, "{page}");
        let page: Value = serde_json::from_str(&page).expect("JSON");
        let files = page["files"].as_array().expect("no page is empty");
        names.extend(files.iter().map(|file| file["name"].as_str().expect("a name").to_owned()));
        pages += 1;
        match page["nextPageToken"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    assert_eq!((names.len(), pages), (12, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_no_object() {
    let simulator = google();
    let before = libra(&simulator).await;
    let file = upload(&before, "something").await;
    let path = begin(&before, "under way").await;
    piece(&before, &path, ("upload", 0), "0123456789").await;
    let cache =
        json!({ "model": "models/gemini-2.5-flash", "contents": [{ "parts": [{ "text": "long" }] }] });
    let (status, cache) = before.post("/v1beta/cachedContents", cache.to_string()).await;
    assert_eq!(status, 200, "{cache}");
    let cache =
        serde_json::from_str::<Value>(&cache).expect("JSON")["name"].as_str().expect("a name").to_owned();
    let file = file.replace(&before.base, "");
    drop(before);

    let after = libra(&simulator).await;
    let (status, body) = piece(&after, &path, ("upload, finalize", 10), "abc").await;
    assert_eq!(status, "final", "{body}");
    let under_way = address(&body);
    let (status, answer) = ask(&after, &[&format!("{}{file}", after.base), &under_way]).await;
    assert_eq!(status, 200, "{answer}");
    let new = upload(&after, "new").await;
    let (status, answer) = ask(&after, &[&under_way, &new]).await;
    assert_eq!(status, 200, "what is made now goes where the rest is: {answer}");
    for method in [Method::GET, Method::DELETE] {
        let answer = after.send(after.request(method, &format!("/v1beta/{cache}"), "")).await;
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_goes_through_and_is_not_held() {
    const SIZE: usize = 96 << 20;
    let running = libra(&google()).await;
    let path = begin(&running, "large").await;
    let (status, file) = piece(&running, &path, ("upload, finalize", 0), vec![7; SIZE]).await;
    assert_eq!(status, "final", "{file}");
    assert!(file.contains(&format!("\"{SIZE}\"")), "{file}");
    if let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", running.process())) {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let kilobytes: usize =
            peak.split_whitespace().next().and_then(|peak| peak.parse().ok()).expect("a number");
        assert!(kilobytes < 64 << 10, "{kilobytes} KB at the most, for a file of {} KB", SIZE >> 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_do_not_see_each_others_files() {
    let simulator = google();
    let clients = format!("{CLIENT},another-client-of-the-tests");
    let running =
        Running::start(Arc::clone(&simulator), &[("LIBRA_KEYS", KEYS), ("LIBRA_CLIENTS", &clients)]).await;
    let file = upload(&running, "mine").await;
    let path = file.strip_prefix(&running.base).expect("an address of the gateway").to_owned();
    let stranger = |method: Method, path: &str, body: String| {
        let mut request = running.request(method, path, body);
        let key = "Bearer another-client-of-the-tests".parse().expect("a value");
        request.headers_mut().insert("authorization", key);
        running.send(request)
    };
    let prompt =
        json!({ "contents": [{ "parts": [{ "fileData": { "fileUri": file, "mimeType": "text/plain" } }] }] });
    for (method, path, body) in [
        (Method::GET, path.as_str(), String::new()),
        (Method::DELETE, path.as_str(), String::new()),
        (Method::POST, GENERATE, prompt.to_string()),
    ] {
        assert_eq!(stranger(method, path, body).await.status(), 403, "{path}");
    }
    let list = text(stranger(Method::GET, "/v1beta/files", String::new()).await).await.expect("a list");
    assert_eq!(list, "{}");
    assert!(running.get("/v1beta/files").await.1.contains("files/"));
}
