//! The administration of a running server: `/admin`, the heads of answers, `libra pool` and `libra explain`.

mod running;

use std::process::{Command, Output, Stdio};

use http::Method;
use libra_core::pool::{Explanation, PoolView, Verdict};
use libra_simulator::{Condition, Fault};
use running::{CHAT, GENERATE, Running, STREAM, chat, faulty, native, simulator, text};

const TOKEN: &str = "token-of-the-administration";
const LEAKED: &str = "a-key-that-is-long-and-leaked";
const GOOD: &str = "a-key-that-is-long-and-good";

async fn administered() -> Running {
    let simulator = simulator(&[(LEAKED, faulty(Fault::Leaked)), (GOOD, Condition::Healthy)]);
    let pool = format!("lost:{LEAKED},team-a:{GOOD}");
    Running::start(simulator, &[("LIBRA_KEYS", &pool), ("LIBRA_ADMIN_TOKEN", TOKEN)]).await
}

/// Runs `libra` with only this in its environment: exit code, standard output, standard error.
fn libra(variables: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_libra"));
    command.env_clear().current_dir(std::env::temp_dir()).env("TZ", "Asia/Shanghai");
    command.envs(variables.iter().copied()).args(arguments).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().expect("libra runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("it ends by itself"), text(stdout), text(stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administration_is_behind_its_token() {
    let running = administered().await;
    let ask = async |path: &str, bearer: Option<&str>| {
        let mut request = running.request(Method::GET, path, "");
        match bearer {
            Some(bearer) => request.headers_mut().insert("authorization", bearer.parse().expect("a header")),
            None => request.headers_mut().remove("authorization"),
        };
        let answer = running.send(request).await;
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "{path}");
        assert!(answer.headers().contains_key("x-libra-request-id"), "{path}");
        let status = answer.status().as_u16();
        (status, text(answer).await.expect("a whole body"))
    };
    let bearer = format!("Bearer {TOKEN}");
    for path in ["/admin/pool", "/admin/explain?model=m", "/admin/else"] {
        assert_eq!(ask(path, None).await.0, 401);
        assert_eq!(ask(path, Some("Bearer client-key-of-the-tests")).await.0, 401);
    }
    assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
    let (status, body) = ask("/admin/pool", Some(&bearer)).await;
    assert_eq!(status, 200, "{body}");
    assert!(!body.contains(GOOD) && !body.contains(LEAKED) && !body.contains(TOKEN), "{body}");
    let view: PoolView = serde_json::from_str(&body).expect("a view");
    assert_eq!(view.keys.all, 2);
    assert_eq!(view.projects.summary, "2 keys = 2 projects");
    let (status, body) = ask("/admin/explain?model=gemini-2.5-flash&tokens=50", Some(&bearer)).await;
    let explained: Explanation = serde_json::from_str(&body).expect("an explanation");
    assert_eq!((status, explained.tokens), (200, 50));
    assert!(!running.log().contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_name_their_request_and_tell_administrators_more() {
    let running = administered().await;
    let (mut projects, mut all_attempts) = (Vec::new(), 0);
    for (path, body) in [
        (GENERATE, native("Hello")),
        (STREAM, native("Hello")),
        (CHAT, chat("Hello", true)),
        (CHAT, chat("Hello", false)),
    ] {
        let plain = running.send(running.request(Method::POST, path, body.clone())).await;
        let headers = plain.headers();
        let id = headers["x-libra-request-id"].to_str().expect("ASCII").to_owned();
        assert!(!headers.contains_key("x-libra-attempts") && !headers.contains_key("x-libra-project"));
        text(plain).await.expect("a whole body");
        for _ in 0..100 {
            if running.log().contains(&id) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(running.log().contains(&id), "{path}: {id}\n{}", running.log());

        let mut request = running.request(Method::POST, path, body);
        request.headers_mut().insert("x-libra-admin", TOKEN.parse().expect("a header"));
        let told = running.send(request).await;
        let header = |name: &str| told.headers()[name].to_str().expect("ASCII").to_owned();
        projects.push(header("x-libra-project"));
        all_attempts += header("x-libra-attempts").parse::<u32>().expect("a number");
        assert_eq!(told.headers()["access-control-allow-origin"], "*");
    }
    assert_eq!(projects, ["team-a"; 4]);
    assert!((4..=5).contains(&all_attempts), "{all_attempts}");
    let verify = running.request(Method::POST, "/verify?format=json", "");
    let answer = running.send(verify).await;
    assert!(answer.headers().contains_key("x-libra-request-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_the_pool_and_explains() {
    let running = administered().await;
    for _ in 0..4 {
        assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
    }
    let listen = running.base.trim_start_matches("http://");
    let token = ("LIBRA_ADMIN_TOKEN", TOKEN);
    let (code, shown, said) = libra(&[token, ("LIBRA_LISTEN", listen)], &["pool"]);
    assert_eq!(code, 0, "{said}");
    for part in [
        "2 in all, 1 usable, 1 set aside",
        "2 keys = 2 projects",
        "lost ",
        "no usable key",
        "team-a",
        "none: only a person can help",
        " CST (20",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains(GOOD) && !shown.contains(LEAKED), "{shown}");
    let slashed = format!("{}/", running.base);
    let (code, json, _) = libra(&[token], &["pool", "--json", "--url", &slashed]);
    assert_eq!(code, 0);
    serde_json::from_str::<PoolView>(&json).expect("a view");

    let explain = ["explain", "--model", "gemini-2.5-flash", "--tokens", "100", "--listen", listen];
    let (code, shown, said) = libra(&[token], &explain);
    assert_eq!(code, 0, "{said}");
    assert!(shown.contains("gemini-2.5-flash, 100 input tokens"), "{shown}");
    assert!(shown.contains("team-a would serve now, with key-"), "{shown}");
    let explain = ["explain", "--model", "gpt-4o", "--json", "--listen", listen];
    let (_, json, said) = libra(&[token], &explain);
    let explained: Explanation = serde_json::from_str(&json).unwrap_or_else(|_| panic!("{json}{said}"));
    assert!(explained.model.starts_with("gemini-"));
    assert!(explained.projects.iter().any(|candidate| candidate.verdict == Verdict::NoUsableKey));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said() {
    let check = |variables: &[(&str, &str)], arguments: &[&str], code: i32, expected: &str| {
        for command in [&["pool"][..], &["explain", "--model", "gemini-2.5-flash"][..]] {
            let arguments: Vec<&str> = command.iter().chain(arguments).copied().collect();
            let (ended, shown, said) = libra(variables, &arguments);
            assert_eq!((ended, shown.as_str()), (code, ""), "{arguments:?}: {said}");
            assert!(said.contains(expected), "{arguments:?}: {said}");
            assert!(!said.contains(TOKEN), "{said}");
        }
    };
    let token = ("LIBRA_ADMIN_TOKEN", TOKEN);
    check(&[], &[], 2, "LIBRA_ADMIN_TOKEN is not set");
    check(&[token], &["--url", "localhost"], 2, "--url: write http://HOST:PORT");
    check(&[token], &["--listen", "127.0.0.1:1"], 1, "no gateway answers at http://127.0.0.1:1");
    let administered = administered().await;
    let wrong = ("LIBRA_ADMIN_TOKEN", "another-token-that-is-long");
    check(&[wrong], &["--url", &administered.base], 1, "does not take this LIBRA_ADMIN_TOKEN");
    let plain = Running::start(simulator(&[(GOOD, Condition::Healthy)]), &[("LIBRA_KEYS", GOOD)]).await;
    check(&[token], &["--url", &plain.base], 1, "has no /admin: set LIBRA_ADMIN_TOKEN for it");
    let (code, _, said) = libra(&[token], &["explain", "--model", "..", "--url", &administered.base]);
    assert!(code == 1 && said.contains("is not served here"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_joined_and_split_from_the_command_line() {
    let names = ["a-key-that-is-long-1", "a-key-that-is-long-2", "a-key-that-is-long-3"];
    let simulator = simulator(&names.map(|name| (name, Condition::Healthy)));
    let settings = [("LIBRA_KEYS", &*names.join(",")), ("LIBRA_ADMIN_TOKEN", TOKEN)];
    let running = Running::start(simulator, &settings).await;
    let token = ("LIBRA_ADMIN_TOKEN", TOKEN);
    let [first, second, _] = names.map(|name| libra_core::secret::ApiKey::new(name).id().to_string());
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let arguments = [&["pool"], arguments, &["--url", &running.base]].concat();
        let (ended, shown, said) = libra(&[token], &arguments);
        assert_eq!(ended, code, "{arguments:?}: {shown}{said}");
        assert!(format!("{shown}{said}").contains(expected), "{arguments:?}: {shown}{said}");
        assert!(!names.iter().any(|name| format!("{shown}{said}").contains(name)), "{shown}{said}");
    };
    check(&["join", &first, &second[..12]], 0, "Projects  3 keys = at most 2 projects (unverified)");
    check(&[], 0, "2 of 2");
    check(&["split", &second, "--json"], 0, "\"count\": 3");
    check(&["split", &second], 1, "is a project of its own already");
    check(&["join", &first, names[1]], 1, "is a key itself");
    let large = " ".repeat(100_000);
    let mut request = running.request(Method::POST, "/admin/projects/join", large);
    request.headers_mut().insert("authorization", format!("Bearer {TOKEN}").parse().expect("a header"));
    assert_eq!(running.send(request).await.status(), 413);
}
