//! The administration of a running server over HTTP and on the command line: what it lets in, changes, shows and keeps.

mod kept;
mod running;

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};

use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use kept::Folder;
use libra_simulator::{Condition, Fault};
use running::{CHAT, CLIENT, Running, chat, faulty, simulator, text};
use rusqlite::Connection;
use serde_json::{Value, json};

const TOKEN: &str = "token-of-the-administration";
const READER: &str = "token-of-whoever-looks";
const GOOD: &str = "a-key-that-is-long-and-good";
const SPARE: &str = "a-key-that-is-long-and-spare";
const DEAD: &str = "a-key-that-is-long-and-dead";

async fn administered(folder: &Folder) -> Running {
    let conditions = [(GOOD, Condition::Healthy), (SPARE, Condition::Healthy), (DEAD, faulty(Fault::Leaked))];
    let settings = [
        ("LIBRA_KEYS", GOOD),
        ("LIBRA_DATA", folder.path()),
        ("LIBRA_ADMIN_TOKEN", TOKEN),
        ("LIBRA_ADMIN_READ_TOKEN", READER),
    ];
    Running::start(simulator(&conditions), &settings).await
}

fn request(
    running: &Running,
    token: &str,
    method: Method,
    path: &str,
    body: &str,
) -> Request<Full<bytes::Bytes>> {
    let mut request = running.request(method, path, body.to_owned());
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    request
}

/// The status and the body of an answer of JSON.
async fn ask(running: &Running, token: &str, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = running.send(request(running, token, method, path, &body)).await;
    let status = answer.status().as_u16();
    let said = text(answer).await.expect("a whole body");
    (status, serde_json::from_str(&said).unwrap_or(Value::String(said)))
}

async fn admin(running: &Running, method: Method, path: &str, body: Value) -> (u16, Value) {
    ask(running, TOKEN, method, &format!("/admin/api/{path}"), &body).await
}

fn header<'a>(answer: &'a Response<Incoming>, name: &str) -> Option<&'a str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Runs `libra` with only this in its environment: exit code, standard output, standard error.
fn libra(variables: &[(&str, &str)], arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_libra"));
    command.env_clear().current_dir(std::env::temp_dir()).env("TZ", "UTC");
    command.envs(variables.iter().copied()).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("libra runs");
    // It may not read it.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("libra ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("it ends by itself"), text(stdout), text(stderr))
}

/// A port of loopback that nothing listens on at the moment.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_it_is_described_is_refused_by_name() {
    let folder = Folder::new();
    let running = administered(&folder).await;
    let check = async |method: Method, path: &str, body: &str, status: u16, field: Option<&str>| {
        let answer =
            running.send(request(&running, TOKEN, method.clone(), &format!("/admin/api/{path}"), body)).await;
        assert_eq!(answer.status().as_u16(), status, "{method} {path} {body}");
        assert_eq!(header(&answer, "cache-control"), Some("no-store"), "{path}");
        assert_eq!(header(&answer, "access-control-allow-origin"), None, "{path}");
        let allow = header(&answer, "allow").map(str::to_owned);
        assert_eq!(allow.is_some(), status == 405, "{path}");
        let said: Value = serde_json::from_str(&text(answer).await.expect("a body")).unwrap_or_default();
        assert_eq!(said["error"]["field"].as_str(), field, "{path} {body}: {said}");
        assert!(said["error"]["message"].is_string(), "{path} {body}: {said}");
    };
    check(Method::POST, "clients", r#"{"name":"a","colour":1}"#, 400, Some("colour")).await;
    check(Method::POST, "clients", r#"{"nmae":"a"}"#, 400, Some("nmae")).await;
    check(Method::POST, "clients", "{}", 400, Some("name")).await;
    check(Method::POST, "clients", r#"{"name":7}"#, 400, Some("name")).await;
    check(Method::POST, "clients", "{", 400, None).await;
    check(Method::POST, "clients", r#"{"name":"a","weight":1000}"#, 422, None).await;
    check(Method::POST, "clients", r#"{"name":"a","key":"sk-123456"}"#, 400, Some("key")).await;
    check(Method::POST, "clients", r#"{"name":"a","key":"change-me-please"}"#, 422, None).await;
    check(Method::POST, "keys", r#"{"text":""}"#, 400, Some("text")).await;
    check(Method::POST, "keys", r#"{"text":"nothing in it"}"#, 422, None).await;
    check(Method::PATCH, "keys/key-1", r#"{"paused":true}"#, 404, None).await;
    check(Method::PATCH, "keys/key-0000000000000000", r#"{"paused":null}"#, 400, Some("paused")).await;
    check(Method::GET, "keys?limti=1", "", 400, Some("limti")).await;
    check(Method::GET, "keys?limit=0", "", 400, Some("limit")).await;
    check(Method::GET, "pool?x=1", "", 400, Some("x")).await;
    check(Method::GET, "usage?by=hour", "", 400, Some("by")).await;
    check(Method::GET, "requests?since=yesterday", "", 400, Some("since")).await;
    check(Method::GET, "explain", "", 400, Some("model")).await;
    check(Method::GET, "nothing", "", 404, None).await;
    check(Method::GET, "", "", 404, None).await;
    check(Method::PUT, "clients", "", 405, None).await;
    check(Method::OPTIONS, "clients", "", 405, None).await;
    check(Method::GET, "reload", "", 405, None).await;
    check(Method::POST, "clients", &" ".repeat(300 << 10), 413, None).await;
    let mut plain = request(&running, TOKEN, Method::POST, "/admin/api/clients", r#"{"name":"a"}"#);
    plain.headers_mut().insert("content-type", "text/plain".parse().expect("a header"));
    assert_eq!(running.send(plain).await.status(), 415);
    assert!(!running.log().contains("panicked"), "{}", running.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_open_what_they_are_for_and_guesses_are_slowed_down() {
    let folder = Folder::new();
    let running = administered(&folder).await;
    let (status, document) =
        ask(&running, READER, Method::GET, "/admin/api/openapi.json", &Value::Null).await;
    assert_eq!((status, document["openapi"].as_str()), (200, Some("3.1.0")));
    let paths = document["paths"].as_object().expect("paths");
    for (path, operations) in paths {
        let path = path.replace("{id}", "key-0000000000000000");
        for (method, operation) in operations.as_object().expect("operations") {
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).expect("a method");
            let (status, said) = ask(&running, "", method.clone(), &path, &Value::Null).await;
            assert_eq!(status, 401, "{method} {path}: {said}");
            let may = operation["responses"]["403"].is_null();
            let (status, said) = ask(&running, READER, method.clone(), &path, &Value::Null).await;
            assert_eq!(status == 403, !may, "{method} {path}: {said}");
            assert!(
                operation["responses"][status.to_string()].is_object(),
                "{method} {path}: {status} is not described"
            );
        }
    }
    // A client's key is no token, and is not told apart from any other.
    for _ in 0..10 {
        assert_eq!(ask(&running, CLIENT, Method::GET, "/admin/pool", &Value::Null).await.0, 401);
    }
    let answer = running.send(request(&running, CLIENT, Method::GET, "/admin/api/keys", "")).await;
    assert_eq!(answer.status(), 429);
    assert!(
        header(&answer, "retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok_and(|s| s <= 2))
    );
    assert_eq!(ask(&running, TOKEN, Method::GET, "/admin/pool", &Value::Null).await.0, 429);
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    assert_eq!(ask(&running, TOKEN, Method::GET, "/admin/pool", &Value::Null).await.0, 200);
    assert!(!running.log().contains(TOKEN) && !running.log().contains(READER), "{}", running.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_on_disk_when_they_are_answered() {
    let folder = Folder::new();
    let running = administered(&folder).await;
    let pasted = format!("# mine\n{SPARE}, {SPARE}\nteam-b:{DEAD}\n{GOOD}\nshort\n");
    let (status, added) =
        admin(&running, Method::POST, "keys", json!({ "text": pasted, "tags": ["new"] })).await;
    assert_eq!(status, 200, "{added}");
    assert_eq!(added["added"].as_array().map(Vec::len), Some(2), "{added}");
    assert_eq!(
        (&added["doubles"], &added["in_settings"], &added["refused_count"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(added["projects"], json!(["team-b"]));
    let id = libra_core::secret::ApiKey::new(SPARE).id().to_string();
    let change = json!({ "label": "the spare one", "paused": true });
    let (status, key) = admin(&running, Method::PATCH, &format!("keys/{id}"), change).await;
    assert_eq!(
        (status, key["label"].as_str(), &key["paused"]),
        (200, Some("the spare one"), &json!(true)),
        "{key}"
    );
    // Killed, not ended: what was answered is there.
    drop(running);
    let running = administered(&folder).await;
    let (_, keys) = admin(&running, Method::GET, "keys?state=paused", Value::Null).await;
    assert_eq!((&keys["total"], &keys["keys"][0]["label"]), (&json!(1), &json!("the spare one")), "{keys}");
    let (_, keys) = admin(&running, Method::GET, "keys?tag=new&limit=1", Value::Null).await;
    assert_eq!(keys["total"], 2, "{keys}");
    let next = format!("keys?tag=new&limit=1&after={}", keys["next"].as_str().expect("another page"));
    let (_, last) = admin(&running, Method::GET, &next, Value::Null).await;
    assert!(last["next"].is_null() && last["keys"][0]["id"] != keys["keys"][0]["id"], "{last}");
    let (status, said) = admin(&running, Method::POST, "keys/export", json!({ "token": READER })).await;
    assert_eq!(status, 403, "{said}");
    let (status, exported) = admin(&running, Method::POST, "keys/export", json!({ "token": TOKEN })).await;
    assert_eq!(status, 200);
    assert!(exported["keys"].as_array().is_some_and(|keys| keys.iter().any(|key| key["key"] == SPARE)));
    let (_, job) = admin(&running, Method::POST, "keys/verify", json!({})).await;
    let path = format!("checks/{}", job["id"]);
    let job = loop {
        let (_, job) = admin(&running, Method::GET, &path, Value::Null).await;
        if job["is_over"] == true {
            break job;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let dead = libra_core::secret::ApiKey::new(DEAD).id().to_string();
    assert_eq!((&job["total"], &job["bad"]), (&json!(3), &json!(1)), "{job}");
    assert_eq!(job["failures"][0]["id"], dead, "{job}");
    let (status, _) = admin(&running, Method::DELETE, &format!("keys/{id}"), Value::Null).await;
    assert_eq!(status, 204);
    let (status, said) = admin(&running, Method::DELETE, &format!("keys/{id}"), Value::Null).await;
    assert_eq!(status, 404, "{said}");
    let of_settings = libra_core::secret::ApiKey::new(GOOD).id().to_string();
    let (status, said) = admin(&running, Method::DELETE, &format!("keys/{of_settings}"), Value::Null).await;
    assert_eq!(status, 422, "{said}");
    let (_, audit) = admin(&running, Method::GET, "audit", Value::Null).await;
    let actions: Vec<&str> = audit["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .filter_map(|change| change["action"].as_str())
        .collect();
    for action in ["keys.add", "keys.change", "keys.export", "keys.remove"] {
        assert!(actions.contains(&action), "{action}: {actions:?}");
    }
    for secret in [SPARE, DEAD, GOOD, TOKEN] {
        assert!(!running.log().contains(secret) && !audit.to_string().contains(secret), "{secret} was told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_and_go_while_it_runs() {
    let folder = Folder::new();
    let running = administered(&folder).await;
    let (status, made) = admin(&running, Method::POST, "clients", json!({ "name": "ann" })).await;
    assert_eq!(status, 201, "{made}");
    let (key, id) =
        (made["key"].as_str().expect("a key").to_owned(), made["client"]["id"].as_str().expect("an id"));
    let say = async |key: &str| {
        ask(&running, key, Method::POST, CHAT, &serde_json::from_str(&chat("hello", false)).expect("JSON"))
            .await
            .0
    };
    assert_eq!(say(&key).await, 200);
    let (status, said) = admin(&running, Method::POST, "clients", json!({ "name": "ann" })).await;
    assert_eq!(status, 422, "{said}");
    let change = json!({ "requests_per_day": 1000.0, "models": ["gemini-*"] });
    let (status, changed) = admin(&running, Method::PATCH, &format!("clients/{id}"), change).await;
    assert_eq!((status, &changed["settings"]["requests_per_day"]), (200, &json!(1000)), "{changed}");
    let (_, changed) =
        admin(&running, Method::PATCH, &format!("clients/{id}"), json!({ "models": null })).await;
    assert_eq!(changed["settings"], json!({ "name": "ann", "requests_per_day": 1000 }));
    let (status, rotated) = admin(&running, Method::POST, &format!("clients/{id}/rotate"), Value::Null).await;
    assert_eq!(status, 200, "{rotated}");
    let other = rotated["key"].as_str().expect("a key");
    assert_eq!((say(&key).await, say(other).await), (401, 200));
    let id = rotated["client"]["id"].as_str().expect("an id");
    // What was used is there, by name.
    let rows = async |path: &str| {
        for _ in 0..100 {
            let (_, answer) = admin(&running, Method::GET, path, Value::Null).await;
            if answer["rows"]
                .as_array()
                .or_else(|| answer["requests"].as_array())
                .is_some_and(|rows| !rows.is_empty())
            {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{path}: nothing was stored");
    };
    let usage = rows("usage?by=day,client,model&client=ann").await;
    assert_eq!(
        (&usage["rows"][0]["client_name"], &usage["rows"][0]["model"]),
        (&json!("ann"), &json!("gemini-2.5-flash"))
    );
    let (_, table) = admin(&running, Method::GET, "usage?by=client&format=csv", Value::Null).await;
    assert!(
        table
            .as_str()
            .is_some_and(|table| table.starts_with("day,client,client_name") && table.contains("ann")),
        "{table}"
    );
    let log = rows("requests?client=ann&limit=1").await;
    assert_eq!(
        (&log["requests"][0]["status"], &log["requests"][0]["client_name"]),
        (&json!(200), &json!("ann"))
    );
    let (status, _) = admin(&running, Method::DELETE, &format!("clients/{id}"), Value::Null).await;
    assert_eq!((status, say(other).await), (204, 401));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_public_has_its_administration_elsewhere() {
    let folder = Folder::new();
    let address = free_address().to_string();
    let settings = [("LIBRA_KEYS", GOOD), ("LIBRA_DATA", folder.path()), ("LIBRA_ADMIN_LISTEN", &address)];
    let running = Running::start(simulator(&[(GOOD, Condition::Healthy)]), &settings).await;
    let file = folder.0.join("admin-token");
    let token = std::fs::read_to_string(&file).expect("a token was made");
    let token = token.trim();
    assert!(running.logs(file.to_str().expect("a path")) && !running.log().contains(token));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    }
    for path in ["/admin/api/keys", "//admin/pool", "/%61dmin/api/keys", "/admin", "/gemini/admin/pool"] {
        let (status, said) = ask(&running, token, Method::GET, path, &Value::Null).await;
        assert_eq!(status, 404, "{path}: {said}");
    }
    let elsewhere = |path: &str| {
        let mut request = request(&running, token, Method::GET, path, "");
        *request.uri_mut() = format!("http://{address}{path}").parse().expect("an address");
        request
    };
    assert_eq!(running.send(elsewhere("/admin/api/keys")).await.status(), 200);
    assert_eq!(running.send(elsewhere("/health")).await.status(), 200);
    assert_eq!(running.send(elsewhere("/v1/models")).await.status(), 404);
    // Commands find both.
    let port = running.base.rsplit(':').next().expect("a port");
    let listen = format!("127.0.0.1:{port}");
    let variables =
        [("LIBRA_DATA", folder.path()), ("LIBRA_ADMIN_LISTEN", &*address), ("LIBRA_LISTEN", &*listen)];
    let (code, shown, said) = libra(&variables, &["keys", "list"], "");
    assert!(code == 0 && shown.starts_with("1 key\n"), "{shown}{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_and_a_folder_there_is_no_administration() {
    let running = Running::start(simulator(&[(GOOD, Condition::Healthy)]), &[("LIBRA_KEYS", GOOD)]).await;
    let (status, said) = ask(&running, TOKEN, Method::GET, "/admin/api/keys", &Value::Null).await;
    assert!(
        status == 404
            && said["error"]["message"].as_str().is_some_and(|said| said.starts_with("There is nothing at")),
        "{said}"
    );
}

#[test]
fn keys_that_everybody_guesses_open_nothing_in_public() {
    let check = |key: &str, expected: &str| {
        let variables = [
            ("LIBRA_CLIENTS", key),
            ("LIBRA_LISTEN", "0.0.0.0:0"),
            ("LIBRA_DATA", "off"),
            ("LIBRA_KEYS", GOOD),
        ];
        let (code, _, said) = libra(&variables, &[], "");
        assert!(code != 0 && said.contains(expected), "{code} {said}");
        assert!(said.contains("does not start") && !said.contains(key), "{said}");
    };
    check("sk-123456", "LIBRA_CLIENTS: a client key is one that everybody knows");
    check("elevenchars", "LIBRA_CLIENTS: a client key has fewer than 12 characters");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_does_the_same_on_the_server_and_on_the_store() {
    let folder = Folder::new();
    let running = administered(&folder).await;
    let listen = running.base.trim_start_matches("http://").to_owned();
    let variables = [("LIBRA_DATA", folder.path()), ("LIBRA_LISTEN", &*listen), ("LIBRA_ADMIN_TOKEN", TOKEN)];
    let run = |arguments: &[&str], input: &str, expected: i32| {
        let (code, shown, said) = libra(&variables, arguments, input);
        assert_eq!(code, expected, "{arguments:?}: {shown}{said}");
        format!("{shown}{said}")
    };
    assert!(
        run(&["keys", "add", "--project", "team-a"], SPARE, 0).starts_with("1 key added"),
        "keys are added"
    );
    assert!(run(&["keys", "list", "--project", "team-a"], "", 0).contains("team-a"));
    let id = libra_core::secret::ApiKey::new(SPARE).id().to_string();
    assert!(run(&["keys", "label", &id[..12], "the spare one"], "", 0).contains("the spare one"));
    assert!(run(&["keys", "pause", "the spare one"], "", 0).contains("paused"));
    assert!(run(&["keys", "resume", &id], "", 0).contains("in use"));
    assert!(run(&["keys", "pause", "AIzaSomething"], "", 1).contains("is a key itself"));
    assert!(run(&["keys", "verify"], "", 0).contains("2 keys: 2 good"));
    let key = run(&["clients", "add", "ann", "--set", "requests_per_day=100"], "", 0);
    assert!(key.contains("shown this once"), "{key}");
    assert!(run(&["clients", "list"], "", 0).contains("requests_per_day=100"));
    assert!(run(&["clients", "change", "ann", "--set", "weight=3"], "", 0).contains("weight=3"));
    let (status, _) = running.post(CHAT, chat("hello", false)).await;
    assert_eq!(status, 200);
    let mut logs = String::new();
    for _ in 0..50 {
        logs = run(&["logs"], "", 0);
        if !logs.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(logs.contains("complete") && logs.contains("gemini-2.5-flash"), "{logs}");
    assert!(run(&["usage", "--by", "day,model"], "", 0).contains("gemini-2.5-flash"));
    drop(running);
    // The same without a gateway.
    let here = "no gateway runs; this is the store at";
    assert!(run(&["keys", "list", "--json"], "", 0).contains(&id));
    let listed = run(&["keys", "list"], "", 0);
    assert!(listed.contains("the spare one") && listed.contains(here), "{listed}");
    assert!(run(&["clients", "rotate", "ann"], "", 0).contains("shown this once"));
    assert!(run(&["usage"], "", 0).contains("REQUESTS"));
    assert!(run(&["keys", "export"], "", 0).contains(SPARE));
    assert!(run(&["keys", "remove", "the spare one"], "", 0).contains("1 key removed"));
    assert!(run(&["clients", "remove", "ann"], "", 0).contains("is removed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_another_program_need_not_change_anything() {
    let folder = Folder::new();
    let other = Folder::new();
    std::fs::create_dir_all(&other.0).expect("a folder");
    let file = other.0.join("gpt-load.db");
    Connection::open(&file)
        .and_then(|database| {
            database.execute_batch(&format!(
                "CREATE TABLE groups (id INTEGER PRIMARY KEY, name TEXT, channel_type TEXT, proxy_keys TEXT);
                 CREATE TABLE api_keys (id INTEGER PRIMARY KEY, key_value TEXT, group_id INTEGER, status TEXT);
                 INSERT INTO groups VALUES (1, 'main', 'gemini', 'a-token-of-the-team,sk-123456');
                 INSERT INTO api_keys VALUES (1, '{SPARE}', 1, 'active');"
            ))
        })
        .expect("a database");
    let running = administered(&folder).await;
    let listen = running.base.trim_start_matches("http://").to_owned();
    let variables = [("LIBRA_DATA", folder.path()), ("LIBRA_LISTEN", &*listen), ("LIBRA_ADMIN_TOKEN", TOKEN)];
    let arguments = ["import", "gpt-load", file.to_str().expect("a path")];
    let (code, shown, said) = libra(&variables, &[&arguments[..], &["--dry-run"]].concat(), "");
    assert!(code == 0 && shown.contains("1 keys") && shown.contains("dry run"), "{shown}{said}");
    let body: Value = serde_json::from_str(&chat("hello", false)).expect("JSON");
    assert_eq!(ask(&running, "a-token-of-the-team", Method::POST, CHAT, &body).await.0, 401);
    let (code, shown, said) = libra(&variables, &arguments, "");
    assert!(code == 0 && shown.contains("1 key added") && shown.contains("1 added"), "{shown}{said}");
    assert!(!shown.contains(SPARE) && !shown.contains("a-token-of-the-team"), "{shown}");
    assert_eq!(ask(&running, "a-token-of-the-team", Method::POST, CHAT, &body).await.0, 200);
    let (code, shown, said) = libra(&variables, &arguments, "");
    assert!(code == 0 && shown.contains("1 there already"), "{shown}{said}");
}
