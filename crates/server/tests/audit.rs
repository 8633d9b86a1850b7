//! `libra audit`, against the simulator: what it counts, what it spends, and how it ends.

#[path = "running/mod.rs"]
mod running;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use libra_simulator::{Clock, Condition, Config, Fault, Key, Limits, Project, Simulator};
use running::{faulty, simulator};
use serde_json::{Value, json};

/// Runs `libra audit` with a pool in the settings; `files` are put into its working folder.
async fn audit(
    simulator: &Arc<Simulator>,
    pool: &str,
    files: &[(&str, &str)],
    arguments: &[&str],
) -> (i32, String, String) {
    let listener = libra_simulator::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
    let upstream = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(libra_simulator::serve(Arc::clone(simulator), listener));
    run(&upstream, pool, files, arguments).await
}

async fn run(
    upstream: &str,
    pool: &str,
    files: &[(&str, &str)],
    arguments: &[&str],
) -> (i32, String, String) {
    let folder = folder();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("a file can be written");
    }
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_libra"));
    command
        .env_clear()
        .current_dir(&folder)
        .env("LIBRA_UPSTREAM", upstream)
        .env("TZ", "Asia/Shanghai")
        .env("LIBRA_KEYS", pool)
        .arg("audit")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let Output { status, stdout, stderr } = command.output().await.expect("libra runs");
    std::fs::remove_dir_all(&folder).expect("the folder can be removed");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("it ends by itself"), text(stdout), text(stderr))
}

fn folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("libra-audit-{}-{number}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder can be made");
    folder
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

const LIVE: &str = "a-key-that-is-long-and-answers";
const LEAKED: &str = "a-key-that-is-long-and-leaked!";
const INVALID: &str = "a-key-that-is-long-and-invalid";
const USED_UP: &str = "a-key-that-is-long-and-used-up";
const SUSPENDED: &str = "a-key-that-is-long-of-a-felon!";

fn mixed() -> Arc<Simulator> {
    simulator(&[
        (LIVE, Condition::Healthy),
        (LEAKED, faulty(Fault::Leaked)),
        (INVALID, faulty(Fault::Invalid)),
        (USED_UP, faulty(Fault::DayLimit)),
        (SUSPENDED, faulty(Fault::Suspended)),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_pool_ends_well() {
    let simulator = simulator(&[(LIVE, Condition::Healthy), (LEAKED, Condition::Healthy)]);
    let pool = format!("team:{LIVE},team:{LEAKED}");
    let (code, text, said) = audit(&simulator, &pool, &[], &[]).await;
    assert_eq!(code, 0, "{text}{said}");
    assert!(text.contains("2 different, none of them double; 2 healthy"), "{text}");
    assert!(text.contains("2 keys = 1 project\n"), "{text}");
    assert!(text.contains("2 of 2 keys answer now"), "{text}");
    assert!(said.contains("this makes at most 4 requests, of which at most 2 generate"), "{said}");
    let calls = simulator.counts().totals.calls;
    assert_eq!(calls.values().sum::<u64>(), 4, "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mixed_pool_is_told_apart_and_no_key_is_shown() {
    let simulator = mixed();
    let pool = [LIVE, LEAKED, INVALID, USED_UP, SUSPENDED, LIVE].join(",");
    let arguments = ["--json", "--model", "gemini-2.5-flash,gemini-2.5-pro"];
    let (code, text, said) = audit(&simulator, &pool, &[], &arguments).await;
    assert_eq!(code, 1, "{said}");
    let found = parse(&text);
    assert_eq!(found["keys"]["different"], 5);
    assert_eq!(found["keys"]["double"], 1);
    assert_eq!(found["keys"]["healthy"], 1);
    assert_eq!(found["keys"]["dead_by_why"], json!({ "leaked": 1, "invalid": 1, "suspended": 1 }));
    assert_eq!(found["keys"]["limited"]["keys"], 1);
    assert!(found["keys"]["limited"]["last_until"].as_str().is_some_and(|until| until.ends_with(":00:00Z")));
    assert_eq!(found["projects"], json!({ "keys": 2, "at_most": 2, "exact": false, "unknown": 2 }));
    let flash = &found["models"][0];
    assert_eq!((&flash["model"], &flash["answering"]), (&json!("gemini-2.5-flash"), &json!(1)));
    assert_eq!(flash["limits"][0]["kind"], "requests-per-day");
    assert_eq!(flash["waste_of_rotation"]["share"], 0.8);
    assert_eq!(found["models"][1]["states"]["day-used-up"]["keys"], 1);
    for key in [LIVE, LEAKED, INVALID, USED_UP, SUSPENDED] {
        assert!(!text.contains(key) && !said.contains(key), "{text}{said}");
    }
    // The dead are asked once only, and the others as often as was said.
    let counts = simulator.counts();
    assert!(counts.totals.requests <= 15, "{:?}", counts.totals);
    for key in [LEAKED, INVALID, SUSPENDED] {
        assert_eq!(counts.key(key).requests, 1, "{key}");
    }
    assert_eq!(
        found["requests"],
        json!({ "at_most": 15, "made": counts.totals.requests, "given_up": false })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_in_the_readers_zone() {
    let simulator = mixed();
    let (code, text, _) = audit(&simulator, USED_UP, &[], &[]).await;
    assert_eq!(code, 1);
    assert!(text.contains(" CST (20") && text.contains(" UTC), in "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_gateway_is_read_and_its_tokens_stay() {
    let simulator = mixed();
    let file = format!(
        "MYSQL_HOST=db\nAPI_KEYS=[\"{LIVE}\", \"{INVALID}\",\"{LIVE}\"]\nALLOWED_TOKENS=[\"token-of-a-client\"]\n\
         AUTH_TOKEN=token-of-the-owner\nTEST_MODEL=gemini-1.5-flash\n"
    );
    let files = [("balance.env", file.as_str())];
    let (code, text, said) = audit(&simulator, "", &files, &["--env", "balance.env", "--json"]).await;
    assert_eq!(code, 1, "{said}");
    let found = parse(&text);
    assert_eq!((&found["source"], &found["clients"]), (&json!("balance.env"), &json!(2)));
    assert_eq!((&found["keys"]["different"], &found["keys"]["double"]), (&json!(2), &json!(1)));
    let asked: Vec<String> = simulator.counts().keys.keys().cloned().collect();
    assert!(asked.iter().all(|key| !key.contains("token")), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_that_google_names_are_joined() {
    let keys = vec![Key::new(LIVE, Condition::Healthy), Key::new(USED_UP, Condition::Healthy)];
    let blocked = [LEAKED, INVALID].map(|key| Key::new(key, faulty(Fault::Suspended)));
    let project = |name: &str, keys| Project { keys, ..Project::new(name, Limits::default(), &[]) };
    let config = Config {
        projects: vec![project("good", keys), project("gone", blocked.to_vec())],
        ..Config::default()
    };
    let simulator = Simulator::new(config, Clock::system(), 1);
    let pool = [LIVE, USED_UP, LEAKED, INVALID].join(",");
    let (_, text, _) = audit(&simulator, &pool, &[], &["--json"]).await;
    let found = parse(&text);
    let number = |index: usize| found["each_key"][index]["project_number"].clone();
    assert_eq!([number(0), number(1), number(2), number(3)], [json!(null), json!(null), json!(1), json!(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_gone_is_not_asked_for_every_key() {
    let pool: Vec<String> = (0..40).map(|n| format!("a-key-that-is-long-number-{n:02}")).collect();
    let (code, text, _) = run("http://127.0.0.1:1", &pool.join(","), &[], &["--json"]).await;
    assert_eq!(code, 1);
    let found = parse(&text);
    assert_eq!(found["requests"]["given_up"], true);
    assert!(found["requests"]["made"].as_u64().is_some_and(|made| made <= 40), "{text}");
    let states = &found["models"][0]["states"];
    let keys = ["unreachable", "unchecked"].map(|state| states[state]["keys"].as_u64().unwrap_or(0));
    assert_eq!(keys, [10, 30]);
    assert_eq!(found["keys"]["dead"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_ends_with_two() {
    let simulator = mixed();
    let broken = format!("API_KEYS=[\"{LIVE}\"\nnonsense\n");
    let files = [("none.env", "PORT=8000\n"), ("broken.env", broken.as_str()), ("empty.txt", "")];
    let cases: [(&[&str], &str); 7] = [
        (&[], "no keys to audit"),
        (&["--env", "none.env"], "none.env: no keys in it"),
        (&["--env", "empty.txt"], "empty.txt: no keys in it"),
        (&["--env", "broken.env"], "broken.env: line 2 is not of the form NAME=VALUE"),
        (&["--env", "absent.env"], "absent.env: cannot be read"),
        (&["--env", "none.env", "--model", "a b"], "none.env"),
        (&["--bogus"], "--bogus"),
    ];
    for (arguments, expected) in cases {
        let (code, text, said) = audit(&simulator, "", &files, arguments).await;
        assert_eq!((code, text.as_str()), (2, ""), "{arguments:?}: {said}");
        assert!(said.contains(expected) && !said.contains(LIVE), "{arguments:?}: {said}");
    }
    assert_eq!(simulator.counts().totals.requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demonstration_can_be_audited() {
    let (code, text, said) = run("", "", &[], &["--demo"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(text.contains("12 different"), "{text}");
    assert!(text.contains("8 of 12 keys answer now"), "{text}");
    let files = [("pool.txt", LIVE)];
    let (code, _, said) = run("", "", &files, &["--demo", "--env", "pool.txt"]).await;
    assert_eq!(code, 2);
    assert!(said.contains("no real key meets the simulator"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_finds_the_projects_and_leaves_nothing_behind() {
    let key = |name: &str| Key::new(name, Condition::Healthy);
    let project = |name: &str, keys: Vec<Key>| Project { keys, ..Project::new(name, Limits::default(), &[]) };
    let dead = Key::new(LEAKED, faulty(Fault::Leaked));
    let projects = vec![
        project("one", vec![key("a-key-that-is-long-one-1"), key("a-key-that-is-long-one-2"), dead]),
        project("two", vec![key("a-key-that-is-long-two-1"), key("a-key-that-is-long-two-2")]),
        project("three", vec![key("a-key-that-is-long-three")]),
    ];
    let simulator = Simulator::new(Config { projects, ..Config::default() }, Clock::system(), 1);
    let pool = format!(
        "a-key-that-is-long-one-1,a-key-that-is-long-two-1,{LEAKED},a-key-that-is-long-one-2,\
         a-key-that-is-long-three,a-key-that-is-long-two-2"
    );
    let (_, shown, said) = audit(&simulator, &pool, &[], &[]).await;
    assert!(shown.contains("at most 5 projects (unverified"), "{shown}");
    assert!(said.contains("Nothing is uploaded"), "{said}");
    let (_, shown, said) = audit(&simulator, &pool, &[], &["--probe-projects"]).await;
    assert!(shown.contains("5 living keys = 3 projects (verified)"), "{shown}");
    assert!(said.contains("is uploaded into each project and deleted again"), "{said}");
    assert_eq!(simulator.files_kept(), 0);
}
