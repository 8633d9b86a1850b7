//! Objects and whose they are, without a network.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use libra_simulator::{Clock, Condition, Config, Fault, Limits, Plan, Project, Simulator};
use serde_json::{Value, json};

/// 24 November 2026, 12:00:00 in California.
const NOON: u64 = 1_795_550_400_000;
/// A key, another of the same project, and one of another project.
const OWN: &str = "own";
const SAME: &str = "same";
const OTHER: &str = "other";

fn simulator() -> Arc<Simulator> {
    let projects = vec![
        Project::new("one", Limits::default(), &[OWN, SAME]),
        Project::new("two", Limits::default(), &[OTHER]),
    ];
    Simulator::new(Config { projects, ..Config::default() }, Clock::manual(NOON), 7)
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    bytes: Vec<u8>,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    fn name(&self) -> String {
        let file = self.body["file"]["name"].as_str();
        file.or_else(|| self.body["name"].as_str()).expect("the answer has a name").to_owned()
    }
}

/// `call` is `METHOD PATH`; `headers` are `name: value`, on a line each.
fn send(simulator: &Arc<Simulator>, key: &str, call: &str, headers: &str, body: impl Into<Bytes>) -> Answer {
    let (method, path) = call.split_once(' ').expect("a call has a method");
    let mut request =
        Request::builder().method(method).uri(path).header("host", "test:80").header("x-goog-api-key", key);
    for (name, value) in headers.lines().filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    let request = request.body(body.into()).expect("test requests are valid");
    let (plan, ticket) = simulator.answer(&request);
    ticket.into_iter().for_each(|ticket| ticket.done());
    let Plan::Answer(reply) = plan else { panic!("{call}: {plan:?}") };
    let bytes = reply.pieces.concat();
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    Answer { status: reply.status, headers: reply.headers, bytes, body }
}

fn ask(simulator: &Arc<Simulator>, key: &str, call: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(simulator, key, call, "content-type: application/json", body)
}

/// Uploads a text file of this display name; gives its name.
fn upload(simulator: &Arc<Simulator>, key: &str, display_name: &str) -> String {
    let metadata = json!({ "file": { "displayName": display_name } });
    let body = format!(
        "--b\r\ncontent-type: application/json\r\n\r\n{metadata}\r\n--b\r\ncontent-type: text/plain\r\n\r\ntext\r\n--b--\r\n"
    );
    let headers = "content-type: multipart/related; boundary=b";
    let answer = send(simulator, key, "POST /upload/v1beta/files?uploadType=multipart", headers, body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.name()
}

/// Starts a session; gives the path to send chunks to.
fn start(simulator: &Arc<Simulator>, key: &str, path: &str, metadata: Value) -> String {
    let headers = "x-goog-upload-protocol: resumable\nx-goog-upload-command: start\n\
                   x-goog-upload-header-content-type: text/plain";
    let answer = send(simulator, key, &format!("POST {path}"), headers, metadata.to_string());
    assert_eq!((answer.status, answer.bytes.len()), (200, 0), "{}", answer.body);
    assert_eq!(answer.header("x-goog-upload-status"), "active");
    assert_eq!(answer.header("x-goog-upload-chunk-granularity"), "8388608");
    let url = answer.header("x-goog-upload-url");
    assert_eq!(url, answer.header("x-goog-upload-control-url"));
    url.strip_prefix("http://test:80").expect("the address is this host's").to_owned()
}

/// A request to a session.
fn chunk(
    simulator: &Arc<Simulator>,
    key: &str,
    path: &str,
    command: &str,
    offset: u64,
    body: &str,
) -> Answer {
    let headers = format!("x-goog-upload-command: {command}\nx-goog-upload-offset: {offset}");
    send(simulator, key, &format!("PUT {path}"), &headers, body.to_owned())
}

#[test]
fn overloads_meet_objects_and_spoiled_answers_do_not() {
    let simulator = simulator();
    let check = |fault: Fault, expected: u16| {
        assert!(simulator.set_key(OWN, Condition::Faulty(fault)));
        assert_eq!(send(&simulator, OWN, "GET /v1beta/files", "", "").status, expected, "{fault}");
    };
    check(Fault::Overloaded, 503);
    check(Fault::BareExhausted, 429);
    check(Fault::Leaked, 403);
    check(Fault::MinuteLimit, 200);
    check(Fault::Truncated, 200);
}

#[test]
fn uploads_grow_chunk_by_chunk() {
    let simulator = simulator();
    let path = start(&simulator, OWN, "/upload/v1/files", json!({ "file": { "display_name": "a.txt" } }));
    assert!(path.starts_with("/upload/v1/files?upload_id="), "{path}");
    let check = |key, command, offset, body, status, session: &str, received: &str| {
        let answer = chunk(&simulator, key, &path, command, offset, body);
        assert_eq!(answer.status, status, "{command} {offset}: {}", answer.body);
        assert_eq!(answer.header("x-goog-upload-status"), session, "{command} {offset}");
        assert_eq!(answer.header("x-goog-upload-size-received"), received, "{command} {offset}");
        answer
    };
    check(OWN, "upload", 0, "Hello ", 200, "active", "");
    check(OWN, "query", 0, "", 200, "active", "6");
    check(OWN, "upload", 5, "x", 400, "active", "6");
    check(OWN, "sing", 6, "x", 400, "active", "6");
    check(OTHER, "upload, finalize", 6, "there.", 404, "", "");
    let file = check(SAME, "upload, finalize", 6, "there.", 200, "final", "").body;
    let name = file["file"]["name"].as_str().expect("a file has a name").to_owned();
    assert_eq!(
        file,
        json!({ "file": {
            "name": name,
            "displayName": "a.txt",
            "mimeType": "text/plain",
            "sizeBytes": "12",
            "createTime": "2026-11-24T20:00:00.000000Z",
            "updateTime": "2026-11-24T20:00:00.000000Z",
            "expirationTime": "2026-11-26T20:00:00.000000Z",
            // `printf 'Hello there.' | sha256sum`, in base64.
            "sha256Hash": "MjNlYTQ5OGU4MmY0NDM1YjFjMTM1MzI0ZWVkZWY0YmE2NDA2MTYwMDg5NzA3N2JmNzYwODJhNTBiNDFhOWMxMw==",
            "uri": format!("https://generativelanguage.googleapis.com/v1beta/{name}"),
            "state": "ACTIVE",
            "source": "UPLOADED",
        } })
    );
    assert_eq!(check(OWN, "query", 0, "", 200, "final", "12").body, file);
    check(OWN, "upload", 12, "more", 400, "final", "12");
    assert_eq!(simulator.file_content(&name).as_deref(), Some(&b"Hello there."[..]));
    // The Python SDK sends no key with chunks.
    let path = start(&simulator, OWN, "/upload/v1beta/files", json!({}));
    let bare =
        Request::put(&path).header("x-goog-upload-command", "upload").header("x-goog-upload-offset", 0);
    let bare = bare.body(Bytes::from_static(b"")).expect("test requests are valid");
    let (Plan::Answer(reply), _) = simulator.answer(&bare) else { panic!("there is no answer") };
    assert_eq!(reply.status, 200);
    assert_eq!(chunk(&simulator, OWN, &path, "cancel", 0, "").header("x-goog-upload-status"), "cancelled");
    assert_eq!(chunk(&simulator, OWN, &path, "upload", 0, "x").status, 400);
    assert_eq!(simulator.counts().key(OWN).calls[&("files", "upload")], 10);
    assert_eq!(simulator.log()[1]["body_bytes"], 6);
}

#[test]
fn uploads_are_cut_where_their_names_say() {
    let simulator = simulator();
    let metadata = json!({ "file": { "displayName": "{{cut=4}}{{cut=6}}" } });
    let path = start(&simulator, OWN, "/upload/v1beta/files", metadata);
    let put = |offset: u64, body: &'static str| {
        let request = Request::put(&path)
            .header("x-goog-api-key", OWN)
            .header("x-goog-upload-command", "upload, finalize")
            .header("x-goog-upload-offset", offset)
            .body(Bytes::from_static(body.as_bytes()))
            .expect("test requests are valid");
        simulator.answer(&request).0
    };
    assert_eq!(put(0, "abcdef"), Plan::Reset);
    let received = |expected: &str| {
        let answer = chunk(&simulator, OWN, &path, "query", 0, "");
        assert_eq!(answer.header("x-goog-upload-size-received"), expected);
    };
    received("4");
    assert_eq!(put(4, "ef"), Plan::Reset);
    received("6");
    let answer = chunk(&simulator, OWN, &path, "upload, finalize", 6, "");
    assert_eq!(
        (answer.status, simulator.file_content(&answer.name()).as_deref()),
        (200, Some(&b"abcdef"[..]))
    );
}

#[test]
fn files_come_in_other_ways_too() {
    let simulator = simulator();
    let raw =
        send(&simulator, OWN, "POST /upload/v1beta/files?uploadType=media", "content-type: a/b", "data");
    assert_eq!((raw.status, &raw.body["file"]["mimeType"]), (200, &json!("a/b")));
    assert_eq!(raw.body["file"]["sizeBytes"], "4");
    let empty = json!({ "file": { "name": "files/my-own", "displayName": "d", "mimeType": "a/b" } });
    assert_eq!(ask(&simulator, OWN, "POST /v1beta/files", empty.clone()).name(), "files/my-own");
    assert_eq!(ask(&simulator, OWN, "POST /v1beta/files", empty).status, 409);
    let register = json!({ "uris": ["gs://bucket/file"] });
    assert_eq!(ask(&simulator, OWN, "POST /v1beta/files:register", register).status, 401);
    let broken =
        send(&simulator, OWN, "POST /upload/v1beta/files", "content-type: multipart/related", "data");
    assert_eq!(broken.status, 400);
    assert_eq!(simulator.files_kept(), 2);
}

#[test]
fn files_are_their_projects() {
    let simulator = simulator();
    let name = upload(&simulator, OWN, "one");
    let check = |key: &str, call: &str, status: u16| {
        let answer = ask(&simulator, key, &call.replace("NAME", &name), Value::Null);
        assert_eq!(answer.status, status, "{key} {call}: {}", answer.body);
        answer
    };
    check(OWN, "GET /v1beta/NAME", 200);
    check(SAME, "GET /v1/NAME", 200);
    let id = name.strip_prefix("files/").expect("it is a file");
    let refused = check(OTHER, "GET /v1beta/NAME", 403);
    let message = format!("You do not have permission to access the File {id} or it may not exist.");
    assert_eq!(refused.message(), message);
    assert_eq!(check(OTHER, "GET /v1beta/files", 200).body, json!({}));
    check(OWN, "GET /v1beta/NAME:download?alt=media", 400);
    check(OTHER, "DELETE /v1beta/NAME", 403);
    simulator.clock().advance(Duration::from_secs(48 * 3600 - 1));
    check(SAME, "GET /v1beta/NAME", 200);
    simulator.clock().advance(Duration::from_secs(1));
    check(SAME, "GET /v1beta/NAME", 403);
    assert_eq!(simulator.files_kept(), 0);
    assert!(simulator.set_key(OWN, Condition::Faulty(Fault::Leaked)));
    assert!(check(OWN, "GET /v1beta/files", 403).message().contains("leaked"));
    check("stranger", "GET /v1beta/files", 400);
    check(OTHER, "GET /v1beta/files/a/b", 404);
    assert_eq!(ask(&simulator, OWN, "POST /upload/v1beta/files", Value::Null).status, 403);
}

#[test]
fn lists_have_pages() {
    let simulator = simulator();
    let names: Vec<String> = (0..5).map(|number| upload(&simulator, OWN, &format!("{number}"))).collect();
    let first = ask(&simulator, SAME, "GET /v1beta/files?pageSize=2", Value::Null).body;
    let shown = |body: &Value| -> Vec<Value> {
        body["files"].as_array().expect("a list has files").iter().map(|file| file["name"].clone()).collect()
    };
    assert_eq!(shown(&first), [names[4].as_str(), names[3].as_str()]);
    let token = first["nextPageToken"].as_str().expect("there is more");
    let path = format!("GET /v1beta/files?pageSize=100&pageToken={token}");
    let rest = ask(&simulator, OWN, &path, Value::Null).body;
    assert_eq!(shown(&rest), [names[2].as_str(), names[1].as_str(), names[0].as_str()]);
    assert_eq!(rest.get("nextPageToken"), None);
    assert_eq!(ask(&simulator, OTHER, &path, Value::Null).status, 400);
}

#[test]
fn prompts_quote_files_of_their_project() {
    let simulator = simulator();
    let (one, two) = (upload(&simulator, OWN, "one"), upload(&simulator, SAME, "two {{processing_ms=3000}}"));
    let quote = |names: &[&String]| {
        let file =
            |name: &&String| json!({ "file_data": { "file_uri": format!("http://gateway/v1/{name}") } });
        let mut parts: Vec<Value> = names.iter().map(file).collect();
        parts.push(json!({ "fileData": { "fileUri": "https://www.youtube.com/watch?v=a" } }));
        json!({ "contents": [{ "parts": parts }] })
    };
    let check = |key: &str, method: &str, names: &[&String], status: u16, text: &str| {
        let answer =
            ask(&simulator, key, &format!("POST /v1/models/gemini-2.5-flash:{method}"), quote(names));
        let body = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert_eq!(answer.status, status, "{method}: {body}");
        assert!(body.contains(text), "{method}: {body}");
    };
    check(OWN, "generateContent", &[&one], 200, &format!("I read 1 file: {one}."));
    check(OTHER, "generateContent", &[&one], 403, "You do not have permission to access the File");
    check(OTHER, "streamGenerateContent?alt=sse", &[&one], 403, "You do not have permission");
    check(OTHER, "countTokens", &[&one], 403, "You do not have permission");
    check(OTHER, "generateContent", &[], 200, "Hello");
    check(OWN, "generateContent", &[&one, &two], 400, "is not in an ACTIVE state and usage is not allowed.");
    simulator.clock().advance(Duration::from_secs(3));
    check(SAME, "generateContent", &[&one, &two], 200, &format!("I read 2 files: {one}, {two}."));
    let shaped = json!({ "contents": [{ "parts": [
        { "text": "{{bytes=100}}" }, { "fileData": { "fileUri": format!("http://a/v1/{one}") } },
    ] }] });
    let path = "POST /v1beta/models/gemini-2.5-flash:generateContent";
    assert_eq!(ask(&simulator, OWN, path, shaped.clone()).status, 200);
    assert_eq!(ask(&simulator, OTHER, path, shaped).status, 403);
}

#[test]
fn films_take_a_while_and_are_downloaded() {
    let simulator = simulator();
    let path = "POST /v1beta/models/veo-3.1-lite-generate-preview:predictLongRunning";
    let body =
        json!({ "instances": [{ "prompt": "Waves {{bytes=3000000}}" }], "parameters": { "sampleCount": 1 } });
    let begun = ask(&simulator, OWN, path, body).body;
    let name = begun["name"].as_str().expect("an operation has a name").to_owned();
    assert!(name.starts_with("models/veo-3.1-lite-generate-preview/operations/"), "{name}");
    assert_eq!(begun, json!({ "name": name }));
    let get = format!("GET /v1/{name}");
    assert_eq!(ask(&simulator, SAME, &get, Value::Null).body, begun);
    assert_eq!(ask(&simulator, OTHER, &get, Value::Null).status, 404);
    simulator.clock().advance(Duration::from_millis(500));
    let done = ask(&simulator, SAME, &get, Value::Null).body;
    assert_eq!(done["done"], true);
    let uri = &done["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]["uri"];
    let uri = uri.as_str().expect("a film has an address");
    let path = uri.strip_prefix("https://generativelanguage.googleapis.com").expect("it is Google's");
    let moved = send(&simulator, OWN, &format!("GET {path}"), "user-agent: test\nrange: bytes=0-9", "");
    assert_eq!((moved.status, &moved.body["error"]["status"]), (302, &json!("UNKNOWN")));
    // Google's front end does this: a gateway that hands on what it gets tells everybody its key.
    assert_eq!(moved.header("x-goog-api-key"), OWN);
    assert_eq!(moved.header("user-agent"), "test,gzip(gfe)");
    let location = moved.header("location").strip_prefix("http://test:80").expect("it is this host");
    assert!(location.starts_with("/download/v1beta/files/"), "{location}");
    let whole = send(&simulator, SAME, &format!("GET {location}"), "", "");
    assert_eq!((whole.status, whole.bytes.len()), (200, 3_000_000));
    assert_eq!((whole.header("content-type"), whole.header("content-length")), ("video/mp4", "3000000"));
    let check = |range: &str, status: u16, told: &str, expected: &[u8]| {
        let part = send(&simulator, OWN, &format!("GET {location}"), &format!("range: bytes={range}"), "");
        assert_eq!((part.status, part.header("content-range")), (status, told), "{range}");
        assert!(status == 416 || part.bytes == expected, "{range}");
    };
    check("1048570-1048580", 206, "bytes 1048570-1048580/3000000", &whole.bytes[1_048_570..1_048_581]);
    check("2999990-", 206, "bytes 2999990-2999999/3000000", &whole.bytes[2_999_990..]);
    check("3000000-", 416, "bytes */3000000", &[]);
    assert_eq!(send(&simulator, OTHER, &format!("GET {path}"), "", "").status, 403);
    assert_eq!(send(&simulator, OTHER, &format!("GET {location}"), "", "").status, 403);
    // A film goes on from one that is the project's.
    let more = json!({ "instances": [{ "prompt": "More waves", "video": { "uri": uri } }] });
    let path = "POST /v1beta/models/veo-3.1-generate-preview:predictLongRunning";
    assert_eq!(ask(&simulator, OWN, path, more.clone()).status, 200);
    assert_eq!(ask(&simulator, OTHER, path, more).status, 403);
}

#[test]
fn models_that_do_not_chat() {
    let simulator = simulator();
    let paint = json!({ "instances": [{ "prompt": "A cat" }], "parameters": { "sampleCount": 2 } });
    let painted = ask(&simulator, OWN, "POST /v1beta/models/imagen-4.0-generate-001:predict", paint).body;
    assert_eq!(painted["predictions"].as_array().map(Vec::len), Some(2));
    let question = json!({ "contents": [{ "parts": [{ "text": "Why?" }] }], "answerStyle": "ABSTRACTIVE" });
    let answer = ask(&simulator, OWN, "POST /v1beta/models/aqa:generateAnswer", question.clone());
    assert_eq!((answer.status, &answer.body["answer"]["finishReason"]), (200, &json!("STOP")));
    assert_eq!(ask(&simulator, OWN, "POST /v1beta/models/aqa:generateContent", question.clone()).status, 404);
    assert_eq!(ask(&simulator, OWN, "POST /v1beta/models/aqa:predict", question).status, 404);
}

#[test]
fn caches_are_their_projects() {
    let simulator = simulator();
    let create = json!({ "model": "models/gemini-2.5-flash", "ttl": "300s", "displayName": "a",
        "contents": [{ "role": "user", "parts": [{ "text": "12345678".repeat(10) }] }] });
    let made = ask(&simulator, OWN, "POST /v1beta/cachedContents", create).body;
    let name = made["name"].as_str().expect("a cache has a name").to_owned();
    assert_eq!(
        made,
        json!({
            "name": name,
            "model": "models/gemini-2.5-flash",
            "createTime": "2026-11-24T20:00:00.000000Z",
            "updateTime": "2026-11-24T20:00:00.000000Z",
            "expireTime": "2026-11-24T20:05:00.000000Z",
            "displayName": "a",
            "usageMetadata": { "totalTokenCount": 20 },
        })
    );
    let check = |key: &str, call: &str, body: Value, status: u16, text: &str| {
        let answer = ask(&simulator, key, &call.replace("NAME", &name), body);
        let body = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert_eq!(answer.status, status, "{key} {call}: {body}");
        assert!(body.contains(text), "{key} {call}: {body}");
        answer.body
    };
    let denied = "CachedContent not found (or permission denied)";
    check(SAME, "GET /v1/NAME", Value::Null, 200, &name);
    check(OTHER, "GET /v1/NAME", Value::Null, 403, denied);
    check(OTHER, "PATCH /v1/NAME", json!({ "ttl": "1s" }), 403, denied);
    check(OTHER, "DELETE /v1/NAME", Value::Null, 403, denied);
    check(SAME, "GET /v1/cachedContents", Value::Null, 200, &name);
    assert_eq!(check(OTHER, "GET /v1/cachedContents", Value::Null, 200, ""), json!({}));
    let flash = "POST /v1beta/models/gemini-2.5-flash:generateContent";
    let prompt = |more: Value| {
        let mut prompt =
            json!({ "contents": [{ "parts": [{ "text": "12345678" }] }], "cachedContent": name });
        prompt.as_object_mut().expect("it is one").extend(more.as_object().cloned().unwrap_or_default());
        prompt
    };
    let usage = check(SAME, flash, prompt(json!({})), 200, "")["usageMetadata"].clone();
    assert_eq!((&usage["promptTokenCount"], &usage["cachedContentTokenCount"]), (&json!(22), &json!(20)));
    check(OTHER, flash, prompt(json!({})), 403, denied);
    check(OTHER, "POST /v1/models/gemini-2.5-flash:streamGenerateContent", prompt(json!({})), 403, denied);
    let pro = "POST /v1beta/models/gemini-2.5-pro:generateContent";
    check(OWN, pro, prompt(json!({})), 400, "has to be the same");
    let instruction = json!({ "systemInstruction": { "parts": [{ "text": "Be brief." }] } });
    check(OWN, flash, prompt(instruction), 400, "CachedContent can not be used with GenerateContent request");
    let later = check(OWN, "PATCH /v1beta/NAME?updateMask=ttl", json!({ "ttl": "600s" }), 200, "");
    assert_eq!(later["expireTime"], "2026-11-24T20:10:00.000000Z");
    check(OWN, "PATCH /v1beta/NAME?updateMask=model", json!({ "model": "models/a" }), 400, "Only ttl");
    check(OWN, "PATCH /v1beta/NAME", json!({ "ttl": "soon" }), 400, "ttl");
    simulator.clock().advance(Duration::from_secs(600));
    check(OWN, flash, prompt(json!({})), 403, denied);
    check(OWN, "POST /v1beta/cachedContents", json!({ "contents": [] }), 400, "model is not specified");
}

#[test]
fn batches_are_answered_after_a_while() {
    let simulator = simulator();
    let asked = |text: &str| json!({ "contents": [{ "parts": [{ "text": text }] }] });
    let create = json!({ "batch": { "displayName": "a", "inputConfig": { "requests": { "requests": [
        { "request": asked("Hi"), "metadata": { "custom": "0" } },
        { "request": { "contents": [], "nonsense": 1 } },
    ] } } } });
    let path = "POST /v1beta/models/gemini-2.5-flash:batchGenerateContent";
    let made = ask(&simulator, OWN, path, create.clone());
    assert_eq!(made.status, 200, "{}", made.body);
    let name = made.name();
    let kind = "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch";
    assert_eq!(
        made.body,
        json!({ "name": name, "metadata": {
            "@type": kind,
            "model": "models/gemini-2.5-flash",
            "displayName": "a",
            "createTime": "2026-11-24T20:00:00.000000Z",
            "updateTime": "2026-11-24T20:00:00.000000Z",
            "batchStats": { "requestCount": "2", "pendingRequestCount": "2" },
            "state": "BATCH_STATE_PENDING",
            "name": name,
        } })
    );
    let get = |key: &str| ask(&simulator, key, &format!("GET /v1/{name}"), Value::Null);
    assert_eq!(get(OTHER).status, 404);
    simulator.clock().advance(Duration::from_millis(250));
    assert_eq!(get(SAME).body["metadata"]["state"], "BATCH_STATE_RUNNING");
    simulator.clock().advance(Duration::from_millis(250));
    let done = get(SAME).body;
    assert_eq!((&done["done"], &done["metadata"]["state"]), (&json!(true), &json!("BATCH_STATE_SUCCEEDED")));
    assert_eq!(done["metadata"]["batchStats"]["failedRequestCount"], "1");
    let answers = &done["metadata"]["output"]["inlinedResponses"]["inlinedResponses"];
    assert_eq!(answers[0]["metadata"], json!({ "custom": "0" }));
    assert_eq!(answers[0]["response"]["candidates"][0]["finishReason"], "STOP");
    assert_eq!(answers[1]["error"]["code"], 3);
    let list = ask(&simulator, OWN, "GET /v1beta/batches", Value::Null).body;
    assert_eq!(list["operations"][0], done);
    let rename = format!("POST /v1beta/{name}:updateGenerateContentBatch");
    assert_eq!(ask(&simulator, OWN, &rename, json!({ "displayName": "b" })).body["displayName"], "b");
    let second = ask(&simulator, OWN, path, create).name();
    assert_eq!(ask(&simulator, OTHER, &format!("POST /v1/{second}:cancel"), Value::Null).status, 404);
    assert_eq!(ask(&simulator, SAME, &format!("POST /v1/{second}:cancel"), Value::Null).body, json!({}));
    simulator.clock().advance(Duration::from_secs(1));
    let cancelled = ask(&simulator, OWN, &format!("GET /v1/{second}"), Value::Null).body;
    assert_eq!(cancelled["metadata"]["state"], "BATCH_STATE_CANCELLED");
    assert_eq!(ask(&simulator, SAME, &format!("DELETE /v1/{second}"), Value::Null).body, json!({}));
    assert_eq!(ask(&simulator, OWN, &format!("GET /v1/{second}"), Value::Null).status, 404);
}

#[test]
fn batches_are_read_from_files_and_answered_into_files() {
    let simulator = simulator();
    let line =
        |key: &str| json!({ "key": key, "request": { "contents": [{ "parts": [{ "text": "Hi" }] }] } });
    let lines = format!("{}\n{}\n", line("a"), line("b"));
    let raw = "content-type: application/jsonl";
    let file = send(&simulator, OWN, "POST /upload/v1beta/files?uploadType=media", raw, lines).name();
    let create = json!({ "batch": { "inputConfig": { "file_name": file } } });
    let path = "POST /v1beta/models/gemini-2.5-flash:batchGenerateContent";
    assert_eq!(ask(&simulator, OTHER, path, create.clone()).status, 403);
    let name = ask(&simulator, SAME, path, create).name();
    simulator.clock().advance(Duration::from_millis(500));
    let done = ask(&simulator, OWN, &format!("GET /v1beta/{name}"), Value::Null).body;
    let answers = done["metadata"]["output"]["responsesFile"].as_str().expect("answers are a file");
    assert_eq!(done["response"]["responsesFile"], answers);
    let path = format!("GET /download/v1beta/{answers}:download?alt=media");
    assert_eq!(send(&simulator, OTHER, &path, "", "").status, 403);
    let answers = String::from_utf8(send(&simulator, SAME, &path, "", "").bytes).expect("JSON is UTF-8");
    let read: Vec<Value> =
        answers.lines().map(|line| serde_json::from_str(line).expect("lines are JSON")).collect();
    assert_eq!((&read[0]["key"], &read[1]["key"]), (&json!("a"), &json!("b")));
    assert!(read[1]["response"]["candidates"][0]["content"]["parts"][0]["text"].is_string());
    let embed = json!({ "batch": { "input_config": { "requests": { "requests": [
        { "request": { "content": { "parts": [{ "text": "a" }] }, "outputDimensionality": 4 } },
    ] } } } });
    let path = "POST /v1beta/models/gemini-embedding-001:asyncBatchEmbedContent";
    let name = ask(&simulator, OWN, path, embed).name();
    simulator.clock().advance(Duration::from_millis(500));
    let done = ask(&simulator, OWN, &format!("GET /v1beta/{name}"), Value::Null).body;
    let vector = &done["metadata"]["output"]["inlinedEmbedContentResponses"]["inlinedResponses"][0];
    assert_eq!(vector["response"]["embedding"]["values"].as_array().map(Vec::len), Some(4), "{done}");
}

#[test]
fn stores_have_documents() {
    let simulator = simulator();
    let made = ask(&simulator, OWN, "POST /v1beta/fileSearchStores", json!({ "displayName": "My Store" }));
    let store = made.name();
    assert!(store.starts_with("fileSearchStores/mystore-"), "{store}");
    let at = |path: &str| path.replace("STORE", &store);
    let ask = |key: &str, call: &str, body: Value| ask(&simulator, key, &at(call), body);
    let path = at("/upload/v1beta/STORE:uploadToFileSearchStore");
    let session = start(&simulator, OWN, &path, json!({ "displayName": "d", "mimeType": "text/plain" }));
    assert!(session.starts_with(&format!("{path}?upload_id=")), "{session}");
    let begun = chunk(&simulator, OWN, &session, "upload, finalize", 0, "Paris is in France.");
    assert_eq!(begun.header("x-goog-upload-status"), "final");
    let operation = begun.name();
    assert!(operation.starts_with(&at("STORE/upload/operations/")), "{operation}");
    assert_eq!(begun.body, json!({ "name": operation }));
    simulator.clock().advance(Duration::from_millis(500));
    let done = ask(SAME, &format!("GET /v1/{operation}"), Value::Null).body;
    let document = done["response"]["documentName"].as_str().expect("there is a document").to_owned();
    assert_eq!(ask(OTHER, &format!("GET /v1/{operation}"), Value::Null).status, 404);
    let shown = ask(SAME, &format!("GET /v1/{document}"), Value::Null).body;
    assert_eq!((&shown["state"], &shown["sizeBytes"]), (&json!("STATE_ACTIVE"), &json!("19")));
    assert_eq!(ask(OTHER, &format!("GET /v1/{document}"), Value::Null).status, 403);
    let (_, blob) = document.rsplit_once('/').expect("names have parts");
    let media = send(&simulator, OWN, &at(&format!("GET /v1beta/STORE/media/{blob}?alt=media")), "", "");
    assert_eq!((media.status, media.bytes.as_slice()), (200, &b"Paris is in France."[..]));
    let file = upload(&simulator, OWN, "import me");
    let foreign = upload(&simulator, OTHER, "not mine");
    let import = |name: &str| ask(OWN, "POST /v1beta/STORE:importFile", json!({ "fileName": name }));
    assert!(import(&file).name().starts_with(&at("STORE/operations/")));
    assert_eq!(import(&foreign).status, 403);
    let list = ask(SAME, "GET /v1beta/STORE/documents", Value::Null).body;
    assert_eq!(list["documents"].as_array().map(Vec::len), Some(2));
    assert_eq!(ask(OWN, "GET /v1beta/STORE", Value::Null).body["activeDocumentsCount"], "2");
    let search = json!({ "contents": [{ "parts": [{ "text": "Where is Paris?" }] }],
        "tools": [{ "fileSearch": { "file_search_store_names": [store] } }] });
    let generate = "POST /v1beta/models/gemini-2.5-pro:generateContent";
    assert_eq!(ask(SAME, generate, search.clone()).status, 200);
    assert_eq!(ask(OTHER, generate, search).status, 403);
    assert_eq!(ask(OTHER, "DELETE /v1beta/STORE?force=true", Value::Null).status, 403);
    let refused = ask(OWN, "DELETE /v1beta/STORE", Value::Null);
    assert_eq!((refused.status, &refused.body["error"]["status"]), (400, &json!("FAILED_PRECONDITION")));
    assert_eq!(ask(OWN, "DELETE /v1beta/STORE?force=True", Value::Null).body, json!({}));
    assert_eq!(ask(OWN, &format!("GET /v1/{document}"), Value::Null).status, 403);
    assert_eq!(ask(OWN, "GET /v1beta/fileSearchStores", Value::Null).body, json!({}));
}

#[test]
fn what_agents_work_with_is_their_projects() {
    let simulator = simulator();
    let check = |kind: &str, body: Value, shown: (&str, Value)| {
        let made = ask(&simulator, OWN, &format!("POST /v1/{kind}"), body);
        assert_eq!(made.status, 200, "{kind}: {}", made.body);
        assert_eq!(made.body[shown.0], shown.1, "{kind}: {}", made.body);
        let id = made.body["id"].as_str().expect("it has an id");
        let name = format!("{kind}/{id}");
        assert_eq!(ask(&simulator, SAME, &format!("GET /v1beta/{name}"), Value::Null).body["id"], id);
        let refused = ask(&simulator, OTHER, &format!("GET /v1beta/{name}"), Value::Null);
        assert_eq!((refused.status, &refused.body["error"]["code"]), (404, &json!("not_found")), "{kind}");
        let list = ask(&simulator, SAME, &format!("GET /v1beta/{kind}?page_size=5"), Value::Null).body;
        assert_eq!(list[kind][0]["id"], id, "{list}");
        let empty = ask(&simulator, OTHER, &format!("GET /v1beta/{kind}"), Value::Null).body;
        assert_eq!(empty[kind].as_array().map(Vec::len), Some(0), "{kind}");
        name
    };
    let environment = check("environments", json!({ "sources": [] }), ("status", json!("active")));
    let id = environment.strip_prefix("environments/").expect("it is one").to_owned();
    let agent = json!({ "id": "mine", "base_environment": environment, "description": "d" });
    let agent = check("agents", agent, ("description", json!("d")));
    assert_eq!(ask(&simulator, OWN, "POST /v1/agents", json!({ "id": "mine" })).status, 409);
    let credential = json!({ "type": "api_key", "api_key": "hidden" });
    let credential = check("credentials", credential, ("api_key", Value::Null));
    let trigger = json!({ "schedule": "* * * * *", "time_zone": "UTC", "environment_id": id });
    let foreign = ask(&simulator, OTHER, "POST /v1/triggers", trigger.clone());
    assert_eq!(foreign.status, 404);
    let trigger = check("triggers", trigger, ("schedule", json!("* * * * *")));
    let webhook = json!({ "uri": "https://example.com", "subscribed_events": ["batch.succeeded"] });
    let webhook = check("webhooks", webhook, ("state", json!("enabled")));
    check(
        "voices",
        json!({ "voice": { "type": "prompted", "display_name": "v" } }),
        ("display_name", json!("v")),
    );
    let get = |key: &str, call: &str, body: Value| ask(&simulator, key, call, body);
    let run = get(OWN, &format!("POST /v1/{trigger}/executions"), json!({})).body;
    let runs = get(SAME, &format!("GET /v1/{trigger}/executions"), Value::Null).body;
    assert_eq!(runs["trigger_executions"][0], run);
    assert_eq!(get(OTHER, &format!("POST /v1/{trigger}/executions"), json!({})).status, 404);
    assert_eq!(get(OWN, &format!("POST /v1/{webhook}:ping"), json!({})).body, json!({}));
    let secret = get(OWN, &format!("POST /v1/{webhook}:rotateSigningSecret"), json!({})).body;
    assert!(secret["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")));
    let renamed =
        get(OWN, &format!("PATCH /v1/{credential}"), json!({ "display_name": "c", "id": "no" })).body;
    assert_eq!(renamed["display_name"], "c");
    assert_eq!(get(OTHER, &format!("DELETE /v1/{agent}"), Value::Null).status, 404);
    assert_eq!(get(OWN, &format!("DELETE /v1/{agent}"), Value::Null).status, 200);
    assert_eq!(get(OWN, &format!("GET /v1/{agent}"), Value::Null).status, 404);
    let put = format!("PUT /upload/v1/{environment}/files/src/main.py");
    let file = send(&simulator, OWN, &put, "content-type: text/x-python", "print()");
    assert_eq!((file.status, &file.body["path"]), (200, &json!("src/main.py")));
    assert_eq!(send(&simulator, OTHER, &put, "", "print()").status, 404);
    let listed = get(OWN, &format!("GET /v1/{environment}/files/src"), Value::Null).body;
    assert_eq!(listed["files"][0]["size_bytes"], "7");
    let media = get(SAME, &format!("GET /v1/{environment}/files/src/main.py?alt=media"), Value::Null);
    assert_eq!(media.bytes, b"print()");
    assert_eq!(get(OTHER, &format!("GET /v1/{environment}/files/src"), Value::Null).status, 404);
}

#[test]
fn corpora_and_tuned_models_are_their_projects() {
    let simulator = simulator();
    let get = |key: &str, call: &str, body: Value| ask(&simulator, key, call, body);
    let corpus = get(OWN, "POST /v1beta/corpora", json!({ "name": "corpora/mine", "displayName": "c" }));
    assert_eq!(corpus.name(), "corpora/mine");
    assert_eq!(get(OTHER, "GET /v1beta/corpora/mine", Value::Null).status, 403);
    let document = get(SAME, "POST /v1beta/corpora/mine/documents", json!({ "displayName": "d" })).name();
    assert_eq!(get(OTHER, "POST /v1beta/corpora/mine/documents", json!({})).status, 403);
    let chunk = json!({ "requests": [{ "chunk": { "data": { "stringValue": "x" } } }] });
    let chunks = get(OWN, &format!("POST /v1beta/{document}/chunks:batchCreate"), chunk).body;
    assert_eq!(chunks["chunks"][0]["state"], "STATE_ACTIVE");
    let listed = get(OWN, &format!("GET /v1beta/{document}/chunks"), Value::Null).body;
    assert_eq!(listed["chunks"].as_array().map(Vec::len), Some(1));
    assert_eq!(get(OWN, "POST /v1beta/corpora/mine:query", json!({ "query": "q" })).status, 200);
    let question = json!({ "contents": [], "semanticRetriever": { "source": "corpora/mine" } });
    assert_eq!(get(OWN, "POST /v1beta/models/aqa:generateAnswer", question.clone()).status, 200);
    assert_eq!(get(OTHER, "POST /v1beta/models/aqa:generateAnswer", question).status, 403);
    assert_eq!(get(OWN, "DELETE /v1beta/corpora/mine", Value::Null).status, 400);
    assert_eq!(get(OWN, "DELETE /v1beta/corpora/mine?force=true", Value::Null).status, 200);
    assert_eq!(get(OWN, &format!("GET /v1beta/{document}"), Value::Null).status, 403);
    let tune = json!({ "displayName": "t", "baseModel": "models/gemini-2.5-pro" });
    let operation = get(OWN, "POST /v1beta/tunedModels?tunedModelId=tuned", tune).name();
    assert!(operation.starts_with("tunedModels/tuned/operations/"), "{operation}");
    simulator.clock().advance(Duration::from_millis(500));
    assert_eq!(get(SAME, &format!("GET /v1beta/{operation}"), Value::Null).body["done"], true);
    assert_eq!(get(SAME, "GET /v1beta/tunedModels/tuned", Value::Null).body["state"], "ACTIVE");
    let prompt = json!({ "contents": [{ "parts": [{ "text": "Hi" }] }] });
    let answer = get(SAME, "POST /v1beta/tunedModels/tuned:generateContent", prompt.clone());
    assert_eq!((answer.status, &answer.body["modelVersion"]), (200, &json!("gemini-2.5-pro")));
    assert_eq!(get(OTHER, "POST /v1beta/tunedModels/tuned:generateContent", prompt).status, 403);
    let permission = json!({ "granteeType": "EVERYONE", "role": "READER" });
    let permission = get(OWN, "POST /v1beta/tunedModels/tuned/permissions", permission).name();
    assert_eq!(get(OTHER, &format!("GET /v1beta/{permission}"), Value::Null).status, 403);
}

#[test]
fn tokens_are_made() {
    let simulator = simulator();
    let made = ask(&simulator, OWN, "POST /v1alpha/auth_tokens", json!({ "uses": 3 })).body;
    assert!(made["name"].as_str().is_some_and(|name| name.starts_with("auth_tokens/")), "{made}");
    assert_eq!((&made["uses"], &made["expireTime"]), (&json!(3), &json!("2026-11-24T20:30:00.000000Z")));
    assert_eq!(ask(&simulator, "stranger", "POST /v1alpha/auth_tokens", json!({})).status, 400);
    assert_eq!(ask(&simulator, OWN, "GET /v1alpha/auth_tokens", Value::Null).status, 404);
}

#[test]
fn interactions_go_on_from_their_projects_own() {
    let simulator = simulator();
    let flash = |more: Value| {
        let mut body = json!({ "model": "gemini-2.5-flash", "input": "Hello there" });
        body.as_object_mut().expect("it is one").extend(more.as_object().cloned().unwrap_or_default());
        body
    };
    let create = |key: &str, body: Value| ask(&simulator, key, "POST /v1/interactions", body);
    let made = create(OWN, flash(json!({}))).body;
    let id = made["id"].as_str().expect("it has an id").to_owned();
    assert!(id.starts_with("v1_Ch"), "{id}");
    assert_eq!(
        (&made["status"], &made["object"], &made["model"], &made["created"]),
        (
            &json!("completed"),
            &json!("interaction"),
            &json!("gemini-2.5-flash"),
            &json!("2026-11-24T20:00:00Z")
        )
    );
    assert_eq!(made["steps"][0]["type"], "thought");
    assert!(made["steps"][1]["content"][0]["text"].as_str().is_some_and(|text| text.contains("Hello there")));
    let get = |key: &str, what: &str| {
        ask(&simulator, key, &format!("GET /v1beta/interactions/{id}{what}"), Value::Null)
    };
    assert_eq!(get(SAME, "").body, made);
    assert_eq!(get(SAME, "?include_input=true").body["input"], "Hello there");
    let refused = get(OTHER, "");
    assert_eq!((refused.status, &refused.body["error"]["code"]), (404, &json!("not_found")));
    assert_eq!(create(SAME, flash(json!({ "previous_interaction_id": id }))).status, 200);
    let refused = create(OTHER, flash(json!({ "previous_interaction_id": id })));
    assert_eq!((refused.status, &refused.body["error"]["code"]), (404, &json!("not_found")));
    let forgotten = create(OWN, flash(json!({ "store": false }))).body;
    let forgotten = forgotten["id"].as_str().expect("it has an id").to_owned();
    assert_eq!(ask(&simulator, OWN, &format!("GET /v1/interactions/{forgotten}"), Value::Null).status, 404);
    assert_eq!(ask(&simulator, OTHER, &format!("DELETE /v1/interactions/{id}"), Value::Null).status, 404);
    assert_eq!(ask(&simulator, OWN, &format!("DELETE /v1/interactions/{id}"), Value::Null).body, json!({}));
    assert_eq!(get(OWN, "").status, 404);
    let check = |key: &str, body: Value, status: u16, code: &str| {
        let answer = create(key, body.clone());
        assert_eq!((answer.status, &answer.body["error"]["code"]), (status, &json!(code)), "{body}");
    };
    let file = upload(&simulator, OWN, "a");
    let document = json!([{ "type": "document", "uri": format!("https://any.host/v1/{file}") }]);
    check(OTHER, flash(json!({ "input": document })), 403, "permission_denied");
    let told = create(OWN, flash(json!({ "input": document }))).body;
    assert!(told.to_string().contains(&file), "{told}");
    check(OWN, flash(json!({ "agent": "deep-research-pro" })), 400, "invalid_request");
    check(OWN, json!({ "model": "gemini-0", "input": "Hi" }), 404, "model_not_found");
    check(OWN, json!({ "agent": "mine", "input": "Hi" }), 404, "not_found");
    check(OWN, json!({ "agent": "deep-research-pro", "input": "Hi", "environment": "e" }), 404, "not_found");
    check(OWN, flash(json!({ "input": "{{fault=overloaded}}" })), 503, "service_unavailable");
    check(OWN, flash(json!({ "input": "{{fault=prepay}}" })), 402, "payment_required");
    check(OWN, flash(json!({ "input": "{{fault=day-limit}}" })), 429, "quota_exceeded");
    let search =
        json!({ "tools": [{ "type": "file_search", "file_search_store_names": ["fileSearchStores/a"] }] });
    check(OWN, flash(search), 403, "permission_denied");
    let weather = json!({ "tools": [{ "type": "function", "name": "weather", "parameters": { "type": "object" } }],
        "input": "use weather" });
    let waits = create(OWN, flash(weather)).body;
    assert_eq!(
        (&waits["status"], &waits["steps"][1]["name"]),
        (&json!("requires_action"), &json!("weather"))
    );
}

#[test]
fn interactions_are_told_event_by_event() {
    let simulator = simulator();
    let body = json!({ "model": "gemini-2.5-flash", "input": "Hello there", "stream": true });
    let told = ask(&simulator, OWN, "POST /v1/interactions", body);
    let told = String::from_utf8(told.bytes).expect("events are UTF-8");
    let datas: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let (end, events) = datas.split_last().expect("there are events");
    assert_eq!(*end, "[DONE]");
    let events: Vec<Value> =
        events.iter().map(|event| serde_json::from_str(event).expect("events are JSON")).collect();
    let types: Vec<&str> = events.iter().filter_map(|event| event["event_type"].as_str()).collect();
    assert_eq!(types[..4], ["interaction.created", "interaction.status_update", "step.start", "step.delta"]);
    assert_eq!(types.last(), Some(&"interaction.completed"));
    assert!(events.iter().all(|event| event["event_id"].is_string()));
    let id = events[0]["interaction"]["id"].as_str().expect("it has an id");
    let whole = ask(&simulator, SAME, &format!("GET /v1/interactions/{id}"), Value::Null).body;
    let said: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(whole["steps"][1]["content"][0]["text"], said);
    let last = events[3]["event_id"].as_str().expect("it has an id");
    let path = format!("GET /v1/interactions/{id}?stream=true&last_event_id={last}");
    let rest = String::from_utf8(ask(&simulator, SAME, &path, Value::Null).bytes).expect("events are UTF-8");
    assert!(told.ends_with(&rest) && rest.starts_with("event: step.stop\n"), "{rest}");
    assert_eq!(ask(&simulator, OTHER, &path, Value::Null).status, 404);
    assert_eq!(ask(&simulator, OWN, &path.replace(last, "other"), Value::Null).status, 400);
    let body = json!({ "model": "gemini-2.5-flash", "input": "{{fault=event-error}}", "stream": true });
    let spoilt = ask(&simulator, OWN, "POST /v1/interactions", body).bytes;
    let spoilt = String::from_utf8(spoilt).expect("events are UTF-8");
    assert!(spoilt.starts_with("event: interaction.created\n"), "{spoilt}");
    assert!(spoilt.ends_with("\"event_type\":\"error\"}\n\n"), "{spoilt}");
    assert!(spoilt.contains("\"code\":\"service_unavailable\""), "{spoilt}");
}

#[test]
fn interactions_in_the_background_take_a_while() {
    let simulator = simulator();
    let begin = || {
        let body = json!({ "agent": "deep-research-pro", "input": "Why?", "background": true });
        let begun = ask(&simulator, OWN, "POST /v1/interactions", body).body;
        assert_eq!((&begun["status"], &begun["steps"]), (&json!("in_progress"), &Value::Null));
        begun["id"].as_str().expect("it has an id").to_owned()
    };
    let (first, second) = (begin(), begin());
    let cancel = format!("POST /v1/interactions/{first}/cancel");
    assert_eq!(ask(&simulator, OTHER, &cancel, Value::Null).status, 404);
    assert_eq!(ask(&simulator, SAME, &cancel, Value::Null).body["status"], "cancelled");
    simulator.clock().advance(Duration::from_millis(500));
    let get = |id: &str| ask(&simulator, OWN, &format!("GET /v1/interactions/{id}"), Value::Null).body;
    assert_eq!((&get(&first)["status"], &get(&second)["status"]), (&json!("cancelled"), &json!("completed")));
    assert_eq!(
        ask(&simulator, OWN, &format!("POST /v1/interactions/{second}/cancel"), Value::Null).status,
        400
    );
    assert_eq!(simulator.counts().key(OWN).calls[&("interactions", "create")], 2);
}

#[test]
fn interactions_use_quotas() {
    let limits = Limits { requests_per_minute: Some(1), ..Limits::default() };
    let projects = vec![Project::new("one", limits, &[OWN])];
    let simulator = Simulator::new(Config { projects, ..Config::default() }, Clock::manual(NOON), 7);
    let body = json!({ "model": "gemini-2.5-flash", "input": "Hi" });
    assert_eq!(ask(&simulator, OWN, "POST /v1/interactions", body.clone()).status, 200);
    let refused = ask(&simulator, OWN, "POST /v1/interactions", body);
    assert_eq!((refused.status, &refused.body["error"]["code"]), (429, &json!("rate_limit_exceeded")));
    assert_eq!(refused.body["error"].as_object().map(|error| error.len()), Some(2));
    let decide = json!({ "model": "gemini-2.5-pro", "input": "x", "questions": { "a": { "type": "noul" } } });
    assert_eq!(ask(&simulator, OWN, "POST /v1/decisions", decide.clone()).body["answers"]["a"]["noul"], 0.5);
    assert_eq!(ask(&simulator, OWN, "POST /v1/decisions", decide).status, 429);
}
