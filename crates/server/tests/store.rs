//! What outlives a restart, with the real binary: what was learned of keys, whose files are whose, conversations.

mod kept;
mod running;

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use kept::{Folder, PUBLIC, ask, upload};
use libra_core::secret::ApiKey;
use libra_simulator::{Condition, Fault, Simulator};
use running::{CHAT, CLIENT, GENERATE, Running, chat, faulty, native, simulator};
use serde_json::{Value, json};

const HEALTHY: Condition = Condition::Healthy;
const OTHER_CLIENT: &str = "another-client-key-of-the-tests";

async fn start(simulator: &Arc<Simulator>, keys: &str, folder: &Folder) -> Running {
    let clients = format!("{CLIENT},{OTHER_CLIENT}");
    let settings = [
        ("LIBRA_KEYS", keys),
        ("LIBRA_CLIENTS", &clients),
        ("LIBRA_DATA", folder.path()),
        ("LIBRA_PUBLIC_URL", PUBLIC),
    ];
    Running::start(Arc::clone(simulator), &settings).await
}

/// Ends libra as an operator does.
fn stop(mut running: Running) {
    let process = running.process().to_string();
    assert!(Command::new("kill").args(["-TERM", &process]).status().expect("kill").success());
    let ended = running.wait();
    assert!(ended.success(), "{ended}: {}", running.log());
}

/// Runs a command of libra's: whether it succeeded, and what it said.
fn libra(folder: &Folder, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_libra"));
    command.env_clear().current_dir(std::env::temp_dir()).env("LIBRA_DATA", folder.path());
    command.env("LIBRA_LISTEN", "127.0.0.1:0").args(arguments).stdin(Stdio::null());
    let Output { status, stderr, .. } = command.output().expect("libra runs");
    (status.success(), String::from_utf8(stderr).expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_keys_and_days_at_their_end_are_not_asked_again() {
    let folder = Folder::new();
    let [lost, spent, good] = ["key-that-is-lost-2f61", "key-that-is-spent-93c0", "key-that-is-good-51d7"];
    let keys = [(lost, faulty(Fault::Leaked)), (spent, faulty(Fault::DayLimit)), (good, HEALTHY)];
    let simulator = simulator(&keys);
    let pool = [lost, spent, good].join(",");
    let running = start(&simulator, &pool, &folder).await;
    for _ in 0..6 {
        assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
    }
    let before = simulator.counts();
    assert_eq!((before.key(lost).requests, before.key(spent).requests), (1, 1));
    stop(running);

    let running = start(&simulator, &pool, &folder).await;
    for _ in 0..6 {
        assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
    }
    let after = simulator.counts();
    assert_eq!((after.key(lost).requests, after.key(spent).requests), (1, 1), "{}", running.log());
    assert_eq!(after.key(good).status(200), 12);
    stop(running);
    assert_eq!(folder.number("SELECT count(*) FROM requests WHERE ending = 'complete'"), 12);
    assert_eq!(folder.number("SELECT sum(requests) FROM usage"), 12);
    for file in std::fs::read_dir(&folder.0).expect("a folder") {
        let file = file.expect("a file").path();
        let bytes = std::fs::read(&file).expect("it can be read");
        for secret in [lost, spent, good, CLIENT, OTHER_CLIENT, "Hello"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {}", file.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_found_and_still_their_makers_alone() {
    let folder = Folder::new();
    let keys = ["one", "two", "three", "four"].map(|key| (key, HEALTHY));
    let simulator = simulator(&keys);
    let running = start(&simulator, "one,two,three,four", &folder).await;
    let (name, uri) = upload(&running).await;
    // What an answer has named is on disk when it comes: nothing else has the time to be.
    drop(running);

    let running = start(&simulator, "one,two,three,four", &folder).await;
    let before = simulator.counts().totals.requests;
    let prompt = json!({ "contents": [{ "role": "user", "parts": [
        { "text": "Read" }, { "fileData": { "fileUri": uri, "mimeType": "text/plain" } }
    ] }] });
    let path = format!("/v1beta/{name}");
    assert_eq!(ask(&running, CLIENT, Method::POST, GENERATE, &prompt.to_string()).await.0, 200);
    assert_eq!(ask(&running, CLIENT, Method::GET, &path, "").await.0, 200);
    assert_eq!(simulator.counts().totals.requests - before, 2, "nobody had to be asked whose it is");
    let refused = ask(&running, OTHER_CLIENT, Method::POST, GENERATE, &prompt.to_string()).await;
    assert!((400..500).contains(&refused.0), "{refused:?}");
    assert!((400..500).contains(&ask(&running, OTHER_CLIENT, Method::GET, &path, "").await.0));
    assert_eq!(simulator.counts().totals.requests - before, 2, "refused without asking anybody");
    let list = ask(&running, CLIENT, Method::GET, "/v1beta/files", "").await.1;
    assert!(list.contains(&name), "{list}");
    let list = ask(&running, OTHER_CLIENT, Method::GET, "/v1beta/files", "").await.1;
    assert!(!list.contains(&name), "{list}");

    // What is made next is made beside it, so that both can be used together.
    let (_, other) = upload(&running).await;
    let both = json!({ "contents": [{ "role": "user", "parts": [
        { "fileData": { "fileUri": uri, "mimeType": "text/plain" } },
        { "fileData": { "fileUri": other, "mimeType": "text/plain" } },
        { "text": "Compare" }
    ] }] });
    let (status, body) = ask(&running, CLIENT, Method::POST, GENERATE, &both.to_string()).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_go_on() {
    let folder = Folder::new();
    let simulator = simulator(&[("one", HEALTHY), ("two", HEALTHY)]);
    let running = start(&simulator, "one,two", &folder).await;
    let respond = async |running: &Running, input: &str, before: Option<&str>| {
        let body = json!({ "model": "gemini-2.5-flash", "input": input, "previous_response_id": before });
        let (status, body) = ask(running, CLIENT, Method::POST, "/v1/responses", &body.to_string()).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).expect("JSON")["id"].as_str().expect("an id").to_owned()
    };
    let first = respond(&running, "My name is Confidential.", None).await;
    let second = respond(&running, "And now?", Some(&first)).await;
    let deleted = respond(&running, "This one goes.", Some(&second)).await;
    let path = format!("/v1/responses/{deleted}");
    assert_eq!(ask(&running, CLIENT, Method::DELETE, &path, "").await.0, 200);

    let tools = json!([{ "type": "function", "function": {
        "name": "look", "parameters": { "type": "object", "properties": {} }
    } }]);
    let mut messages = vec![json!({ "role": "user", "content": "{{call=look {}}}" })];
    let talk = async |running: &Running, messages: &[Value]| {
        let body = json!({ "model": "gemini-3-pro-preview", "messages": messages, "tools": tools });
        let (status, body) = ask(running, CLIENT, Method::POST, CHAT, &body.to_string()).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).expect("JSON")["choices"][0]["message"].clone()
    };
    let message = talk(&running, &messages).await;
    let call = message["tool_calls"][0].clone();
    stop(running);

    let running = start(&simulator, "one,two", &folder).await;
    let third = respond(&running, "And after a restart?", Some(&second)).await;
    let items = ask(&running, CLIENT, Method::GET, &format!("/v1/responses/{second}"), "").await;
    assert_eq!(items.0, 200, "{items:?}");
    assert_eq!(ask(&running, CLIENT, Method::GET, &path, "").await.0, 404, "it was deleted");
    let theirs = ask(&running, OTHER_CLIENT, Method::GET, &format!("/v1/responses/{third}"), "").await;
    assert_eq!(theirs.0, 404);
    // Most clients keep nothing of a call but its id, its name and its arguments.
    let bare = json!({ "id": call["id"], "type": "function", "function": call["function"] });
    messages.push(json!({ "role": "assistant", "tool_calls": [bare] }));
    messages.push(json!({ "role": "tool", "tool_call_id": call["id"], "content": "a lake" }));
    talk(&running, &messages).await;
    assert!(!running.log().contains("signatures were lost"), "{}", running.log());
    stop(running);
    let bytes = std::fs::read(folder.0.join("libra.db")).expect("it can be read");
    assert!(!bytes.windows(12).any(|window| window == b"Confidential"), "what was said can be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_administration_said_is_stored_when_it_is_answered() {
    const TOKEN: &str = "token-of-the-administration";
    let folder = Folder::new();
    let simulator = simulator(&[("one", HEALTHY), ("two", HEALTHY)]);
    let settings = [("LIBRA_KEYS", "one,two"), ("LIBRA_DATA", folder.path()), ("LIBRA_ADMIN_TOKEN", TOKEN)];
    let running = Running::start(Arc::clone(&simulator), &settings).await;
    let view = ask(&running, TOKEN, Method::GET, "/admin/pool", "").await.1;
    let view: Value = serde_json::from_str(&view).unwrap_or_else(|_| panic!("{view}"));
    assert_eq!(view["projects"]["count"], 2, "{view}");
    let keys = json!({ "keys": [ApiKey::new("one").id(), ApiKey::new("two").id()] });
    let joined = ask(&running, TOKEN, Method::POST, "/admin/projects/join", &keys.to_string()).await;
    assert_eq!(joined.0, 200, "{joined:?}");
    // Killed, at once.
    drop(running);
    assert_eq!(folder.number("SELECT count(*) FROM joins"), 1);
    let running = Running::start(simulator, &settings).await;
    let view = ask(&running, TOKEN, Method::GET, "/admin/pool", "").await.1;
    assert!(view.contains("2 keys = 1 project"), "{view}");
}

/// A disk on which nothing can be written: whoever holds the database holds no request.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_slows_nobody() {
    let folder = Folder::new();
    let simulator = simulator(&[("one", HEALTHY)]);
    let running = start(&simulator, "one", &folder).await;
    let database = folder.database();
    database.execute_batch("BEGIN IMMEDIATE").expect("held");
    let began = Instant::now();
    for _ in 0..50 {
        let sent = Instant::now();
        assert_eq!(running.post(CHAT, chat("Hello", false)).await.0, 200);
        assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let sent = Instant::now();
    upload(&running).await;
    assert!(sent.elapsed() < Duration::from_secs(3), "what makes something waits, but not for long");
    database.execute_batch("ROLLBACK").expect("free");
    drop(database);
    stop(running);
    assert!(folder.number("SELECT count(*) FROM requests") >= 50, "it was written when it could be");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_holds_a_folder_and_copies_are_made_beside_it() {
    let folder = Folder::new();
    let simulator = simulator(&[("one", HEALTHY)]);
    let running = start(&simulator, "one", &folder).await;
    let (succeeded, said) = libra(&folder, &[]);
    assert!(!succeeded && said.contains("another libra uses the data folder"), "{said}");
    assert_eq!(running.post(CHAT, chat("Hello", false)).await.0, 200);
    let copy = folder.0.join("copy.db");
    let copy = copy.to_str().expect("a plain path");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(libra(&folder, &["backup", copy]), (true, String::new()));
    let (succeeded, said) = libra(&folder, &["backup", copy]);
    assert!(!succeeded && said.contains("is there already"), "{said}");
    let (succeeded, said) = libra(&folder, &["restore", copy]);
    assert!(!succeeded && said.contains("another libra uses the data folder"), "{said}");
    assert_eq!(running.post(CHAT, chat("Hello", false)).await.0, 200);
    stop(running);
    assert_eq!(folder.number("SELECT count(*) FROM requests"), 2);
    assert_eq!(libra(&folder, &["restore", copy]), (true, String::new()));
    assert_eq!(folder.number("SELECT count(*) FROM requests"), 1);
    stop(start(&simulator, "one", &folder).await);

    folder.database().pragma_update(None, "user_version", 99).expect("a newer form");
    let (succeeded, said) = libra(&folder, &[]);
    assert!(!succeeded && said.contains("was written by a newer libra"), "{said}");
}
