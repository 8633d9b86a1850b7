use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libra_core::config::Tier;
use libra_core::pool::{ProjectId, StateChange};
use libra_core::secret::{ApiKey, KeyId};
use serde_json::json;

use super::*;
use crate::store::tests::Scratch;

/// Nobody's, and found wherever it would be in clear text.
const CANARY: &str = "canary-that-nobody-may-find-in-a-file-4711";
const SET: &str = "fixture-key-of-the-settings";
const OTHER: &str = "fixture-key-of-the-store";
const CLIENT: &str = "client-key-of-the-tests";

const WHO: Actor = Actor::CommandLine;

/// An administration with files of its own: `libra.toml` in the folder, and the store in `data`.
fn begin(folder: &Path) -> (Administration, Arc<Gateway>) {
    let file = folder.join("libra.toml");
    if !file.exists() {
        fs::write(&file, format!("keys = ['{SET}']\nclients = ['{CLIENT}']\n")).expect("a file");
    }
    let data = folder.join("data").display().to_string();
    let options = Options { config: Some(file), data: Some(data), ..Options::default() };
    let settings = Settings::load(&options).expect("good settings");
    let opened = store::open(&settings.store).expect("a store");
    let administration = Administration::begin(&options, settings, opened.as_ref()).expect("it can be read");
    let gateway = Gateway::new(administration.config(), 1);
    administration.govern(Arc::clone(&gateway), || {});
    (administration, gateway)
}

fn new(key: &str) -> NewKey {
    NewKey::from(ApiKey::new(key))
}

fn id(key: &str) -> KeyId {
    ApiKey::new(key).id()
}

fn client(name: &str) -> NewClient {
    NewClient { key: None, settings: ClientSettings { name: name.to_owned(), ..ClientSettings::default() } }
}

#[test]
fn keys_hold_at_once_and_after_a_restart() {
    let scratch = Scratch::new();
    let (administration, gateway) = begin(scratch.path());
    let keys = vec![
        NewKey {
            label: Some("mine".to_owned()),
            tags: vec!["b".to_owned(), "a".to_owned(), "b".to_owned()],
            project: Some("team".to_owned()),
            ..new(CANARY)
        },
        new(OTHER),
        new(OTHER),
        new(SET),
    ];
    let added = administration.add_keys(WHO, keys).expect("they can be added");
    assert_eq!(added.added, [id(CANARY), id(OTHER)]);
    assert_eq!((added.doubles, added.in_settings), (vec![id(OTHER)], vec![id(SET)]));
    assert_eq!(gateway.pool_size(), (3, 3));
    let again = administration.add_keys(WHO, vec![new(OTHER)]).expect("nothing is wrong with it");
    assert_eq!(again, Added { doubles: vec![id(OTHER)], ..Added::default() });

    let pause = KeyChange { paused: Some(true), ..KeyChange::default() };
    let view = administration.change_key(WHO, id(SET), pause).expect("also one of the settings");
    assert!(view.paused && view.origin == Origin::Settings && view.added_at.is_none());
    assert_eq!(gateway.pool_size(), (3, 2));
    let change =
        KeyChange { label: Some(None), project: Some(Some("other".to_owned())), ..KeyChange::default() };
    administration.change_key(WHO, id(CANARY), change).expect("it can be changed");
    let refused = administration.remove_keys(WHO, &[id(OTHER), id(SET)]);
    assert!(
        matches!(&refused, Err(Refusal::Wrong(text)) if text.contains("comes from the settings")),
        "{refused:?}"
    );
    assert_eq!(gateway.pool_size(), (3, 2), "none is removed");
    administration.remove_keys(WHO, &[id(OTHER)]).expect("it is the store's");
    assert_eq!(gateway.pool_size(), (2, 1));
    let before = administration.keys();
    drop((administration, gateway));

    let (administration, gateway) = begin(scratch.path());
    assert_eq!(gateway.pool_size(), (2, 1));
    let without_time = |views: Vec<KeyView>| -> Vec<_> {
        views
            .into_iter()
            .map(|view| (view.id, view.label, view.tags, view.project, view.paused, view.added_at))
            .collect()
    };
    assert_eq!(without_time(administration.keys()), without_time(before));
    let views = administration.keys();
    let view = views.iter().find(|view| view.id == id(CANARY)).expect("it is there");
    assert_eq!((view.label.as_deref(), view.project.as_deref()), (None, Some("other")));
    assert_eq!(view.tags, ["a", "b"]);
    assert!(!format!("{views:?}").contains(CANARY));
    let exported = administration.export_keys(WHO).expect("it can be noted");
    assert_eq!(exported.iter().map(|(_, key)| key.expose()).collect::<Vec<_>>(), [SET, CANARY]);
    let actions: Vec<String> =
        administration.audit(None, 100).expect("a log").into_iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["keys.export", "keys.remove", "keys.change", "keys.change", "keys.add", "keys.add"]);
}

#[test]
fn what_cannot_be_is_refused_as_a_whole() {
    let scratch = Scratch::new();
    let (administration, gateway) = begin(scratch.path());
    let check = |keys: Vec<NewKey>, expected: &str| {
        let refused = administration.add_keys(WHO, keys).expect_err(expected).to_string();
        assert!(refused.contains(expected), "{refused}");
        assert!(!refused.contains(CANARY));
        assert_eq!(gateway.pool_size(), (1, 1));
    };
    check(vec![new(OTHER), new(CLIENT)], "key 2: is a client's key");
    check(vec![NewKey { project: Some("with blanks".to_owned()), ..new(CANARY) }], "a project has");
    check(vec![NewKey { label: Some(String::new()), ..new(CANARY) }], "a label has");
    check(vec![NewKey { tags: vec!["\n\u{7}".to_owned()], ..new(CANARY) }], "a tag has");
    check(vec![new(&format!("{CANARY} {CANARY}"))], "has characters that no key has");
    let change = KeyChange { paused: Some(true), ..KeyChange::default() };
    assert!(matches!(administration.change_key(WHO, id(OTHER), change), Err(Refusal::NotFound(_))));
    assert!(matches!(administration.remove_keys(WHO, &[id(OTHER)]), Err(Refusal::NotFound(_))));
    assert_eq!(administration.audit(None, 10).map(|entries| entries.len()), Ok(0));
}

#[test]
fn clients_hold_at_once_and_after_a_restart() {
    let scratch = Scratch::new();
    let (administration, gateway) = begin(scratch.path());
    let (view, key) = administration.add_client(WHO, client("team a")).expect("it can be added");
    assert!(key.expose().len() > 60 && view.origin == Origin::Store && view.name == "team a");
    assert!(gateway.config().clients.contains(&key));
    let own = NewClient { key: Some(ApiKey::new(CANARY)), ..client("with its own") };
    let (_, same) = administration.add_client(WHO, own.clone()).expect("a key of its own");
    assert_eq!(same.expose(), CANARY);
    for (refused, expected) in [
        (own, "another client named"),
        (NewClient { key: Some(ApiKey::new(CANARY)), ..client("b") }, "there is a client with this key"),
        (NewClient { key: Some(ApiKey::new(SET)), ..client("b") }, "one of the pool"),
        (NewClient { key: Some(ApiKey::new("short")), ..client("b") }, "could be guessed"),
    ] {
        let refused = administration.add_client(WHO, refused).expect_err(expected).to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    let settings = ClientSettings { requests_per_day: Some(5), ..client("team b").settings };
    let changed = administration.change_client(WHO, view.id, settings.clone()).expect("it can be changed");
    assert_eq!(changed.settings, settings);
    let (rotated, next) = administration.rotate_client(WHO, view.id).expect("another key");
    assert_eq!(rotated.id, view.id, "it stays the same client");
    assert!(gateway.config().clients.contains(&next) && !gateway.config().clients.contains(&key));
    let of_settings = administration.remove_client(WHO, id(CLIENT));
    assert!(matches!(&of_settings, Err(Refusal::Wrong(text)) if text.contains("comes from the settings")));
    drop((administration, gateway));

    let (administration, gateway) = begin(scratch.path());
    let clients = &gateway.config().clients;
    assert!(clients.contains(&next) && clients.contains(&ApiKey::new(CANARY)) && !clients.contains(&key));
    let views = administration.clients();
    let names: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
    assert!(names.contains(&"team b") && names.contains(&"with its own") && names.len() == 3, "{names:?}");
    let again = administration.clients().into_iter().find(|found| found.id == view.id).expect("it is there");
    assert_eq!(again.settings.requests_per_day, Some(5));
    administration.remove_client(WHO, view.id).expect("it can be removed");
    assert!(!gateway.config().clients.contains(&next));
}

#[test]
fn projects_and_settings_hold_at_once_and_after_a_restart() {
    let scratch = Scratch::new();
    let (administration, gateway) = begin(scratch.path());
    let none = administration.change_project(WHO, "team", ProjectChange::default());
    assert!(matches!(none, Err(Refusal::NotFound(_))));
    administration
        .add_keys(WHO, vec![NewKey { project: Some("team".to_owned()), ..new(OTHER) }])
        .expect("a project");
    let change: ProjectChange = serde_json::from_value(json!({
        "label": "The team", "tier": "paid", "limits": [{ "model": "gemini-*", "rpm": 7 }],
        "max_per_day": { "requests": 100 },
    }))
    .expect("a change");
    let view = administration.change_project(WHO, "team", change).expect("it can be");
    assert_eq!((view.tier, view.priority, view.keys), (Tier::Paid, 2, 1));
    assert_eq!(view.limits, json!([{ "model": "gemini-*", "rpm": 7 }]));
    assert_eq!(gateway.config().projects[0].max_requests_per_day, Some(100));
    for (wrong, expected) in [
        (json!({ "tier": "gold" }), "tier"),
        (json!({ "limits": 7 }), "limits"),
        (json!({ "max_per_day": { "cost": 5 } }), "needs prices"),
    ] {
        let change = serde_json::from_value(wrong).expect("a change");
        let refused = administration.change_project(WHO, "team", change).expect_err(expected).to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    let back: ProjectChange =
        serde_json::from_value(json!({ "limits": null, "priority": 0 })).expect("a change");
    let view = administration.change_project(WHO, "team", back).expect("it can be");
    assert_eq!((view.limits, view.priority), (json!([]), 0));
    assert_eq!(view.changed, ["label", "tier", "priority", "max_per_day"]);

    let set = |name: &str, value: Option<&str>| administration.change_setting(WHO, name, value);
    let view = set("LIBRA_STRATEGY", Some(" round-robin ")).expect("it can be");
    assert_eq!((view.value.as_deref(), view.origin.as_str()), (Some("round-robin"), "store"));
    assert_eq!(gateway.config().strategy, libra_core::config::Strategy::RoundRobin);
    let view = set("CUSTOM_LLM_API_KEY", Some(CANARY));
    assert!(matches!(&view, Err(Refusal::Wrong(text)) if text.contains("CUSTOM_LLM_BASE_URL")), "{view:?}");
    set("CUSTOM_LLM_BASE_URL", Some("https://llm.example/v1")).expect("it can be");
    let view = set("CUSTOM_LLM_API_KEY", Some(CANARY)).expect("it can be");
    assert!(view.is_set && view.is_secret && view.value.is_none());
    for (name, value, expected) in [
        ("LIBRA_NOTHING", "1", "there is no setting"),
        ("LIBRA_STRATEGY", "fastest", "\"fastest\" is not one of"),
        ("LIBRA_KEYS", CANARY, "is a list of keys"),
        ("LIBRA_LISTEN", ":80", "counts from the start on"),
    ] {
        let refused = set(name, Some(value)).expect_err(expected).to_string();
        assert!(refused.contains(expected) && !refused.contains(CANARY), "{refused}");
    }
    drop((administration, gateway));

    let (administration, gateway) = begin(scratch.path());
    let config = gateway.config();
    assert_eq!(config.strategy, libra_core::config::Strategy::RoundRobin);
    assert_eq!(config.projects[0].tier, Tier::Paid);
    assert_eq!(
        config.custom_llm.as_ref().and_then(|custom| custom.api_key.clone()),
        Some(ApiKey::new(CANARY))
    );
    let shown = format!("{:?} {:?}", administration.settings(), administration.audit(None, 100));
    assert!(!shown.contains(CANARY), "{shown}");
    // What a file says from now on wins.
    let text = format!("keys = ['{SET}']\nclients = ['{CLIENT}']\nstrategy = 'random'\n");
    fs::write(scratch.path().join("libra.toml"), text).expect("a file");
    administration.reload().expect("a good file");
    assert_eq!(gateway.config().strategy, libra_core::config::Strategy::Random);
    let refused = administration.change_setting(WHO, "LIBRA_STRATEGY", Some("headroom"));
    assert!(
        matches!(&refused, Err(Refusal::Wrong(text)) if text.contains("libra.toml), which wins")),
        "{refused:?}"
    );
    let view = administration.change_setting(WHO, "CUSTOM_LLM_API_KEY", None).expect("it can be taken back");
    assert!(!view.is_set && view.origin == "default");
}

#[test]
fn a_wrong_file_changes_nothing() {
    let scratch = Scratch::new();
    let (administration, gateway) = begin(scratch.path());
    administration.add_keys(WHO, vec![new(OTHER)]).expect("a key");
    let file = scratch.path().join("libra.toml");
    for (text, expected) in [
        ("keys = ['a'\nstrategy = 1", "line 2 is not valid TOML"),
        ("home = true\nstrategy = 'fastest'", "line 2): \"fastest\" is not one of"),
        ("strateg = 'random'", "is strategy meant?"),
    ] {
        fs::write(&file, text).expect("a file");
        let refused = administration.reload().expect_err(expected).to_string();
        assert!(refused.contains(expected), "{refused}");
        assert_eq!(gateway.pool_size(), (2, 2));
    }
    fs::write(
        &file,
        format!("keys = ['another-fixture-key-of-a-file']\nclients = ['{CLIENT}']\nlisten = ':1'"),
    )
    .expect("a file");
    let reloaded = administration.reload().expect("a good file");
    assert_eq!(reloaded.notices, ["LIBRA_LISTEN: has changed, and counts from the next start on"]);
    let ids: Vec<KeyId> = administration.keys().iter().map(|view| view.id).collect();
    assert_eq!(ids, [id("another-fixture-key-of-a-file"), id(OTHER)]);
}

#[test]
fn without_a_store_it_is_said_why() {
    let scratch = Scratch::new();
    let file = scratch.path().join("libra.toml");
    fs::write(&file, format!("keys = ['{SET}']")).expect("a file");
    let options = Options { config: Some(file), ephemeral: true, ..Options::default() };
    let settings = Settings::load(&options).expect("good settings");
    let administration = Administration::begin(&options, settings, None).expect("it needs no store");
    assert_eq!(administration.keys().len(), 1);
    let refused = administration.add_keys(WHO, vec![new(OTHER)]).expect_err("nothing can be kept");
    assert!(matches!(&refused, Refusal::NoStore(text) if text.contains("--ephemeral")), "{refused}");
    for refused in [
        administration.remove_keys(WHO, &[id(SET)]).expect_err("as above"),
        administration.add_client(WHO, client("a")).map(|_| ()).expect_err("as above"),
        administration.change_setting(WHO, "LIBRA_HOME", Some("off")).map(|_| ()).expect_err("as above"),
        administration.export_keys(WHO).map(|_| ()).expect_err("as above"),
        administration.audit(None, 1).map(|_| ()).expect_err("as above"),
    ] {
        assert!(matches!(refused, Refusal::NoStore(_)), "{refused}");
    }
}

#[test]
fn where_the_disk_fails_nothing_changes() {
    let scratch = Scratch::new();
    let (administration, gateway) = begin(scratch.path());
    let other = rusqlite::Connection::open(scratch.path().join("data/libra.db")).expect("a database");
    other
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'disk I/O error'); END",
        )
        .expect("a trigger");
    let refused = administration.add_keys(WHO, vec![new(OTHER)]).expect_err("the disk fails");
    assert!(matches!(&refused, Refusal::Disk(text) if text.contains("disk I/O error")), "{refused}");
    let change = administration.change_setting(WHO, "LIBRA_STRATEGY", Some("random")).expect_err("as above");
    assert!(matches!(change, Refusal::Disk(_)));
    assert_eq!(gateway.config().strategy, libra_core::config::Strategy::Headroom);
    let view = administration.settings().into_iter().find(|view| view.name == "LIBRA_STRATEGY");
    assert!(view.is_some_and(|view| !view.is_set));
    assert_eq!((gateway.pool_size(), administration.keys().len()), ((1, 1), 1));
    other.execute_batch("DROP TRIGGER full").expect("it is well again");
    administration.add_keys(WHO, vec![new(OTHER)]).expect("it can be added");
    assert_eq!(gateway.pool_size(), (2, 2));
}

/// What the process does that [`what_was_answered_outlives_a_kill`] kills.
fn add_for_ever(folder: &Path) {
    let (administration, _gateway) = begin(folder);
    let life = std::process::id();
    for number in 0.. {
        let key = format!("{CANARY}-{life}-{number:04}");
        administration.add_keys(WHO, vec![new(&key)]).expect("a key");
        told(&format!("key {key}"));
        let (_, key) =
            administration.add_client(WHO, client(&format!("client {life} {number}"))).expect("a client");
        told(&format!("client {}", key.expose()));
    }
}

/// To the process that waits for it, and not to the capture of tests' output.
fn told(line: &str) {
    let mut out = std::io::stdout();
    out.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| out.flush()).expect("somebody listens");
}

/// Again and again in the midst of its work: what was answered is there, and nothing of it in clear text.
/// `LIBRA_KILLS=200` kills more often.
#[test]
fn what_was_answered_outlives_a_kill() {
    if let Some(folder) = folder_of_child() {
        return add_for_ever(&folder);
    }
    let kills = std::env::var("LIBRA_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(4);
    let scratch = Scratch::new();
    let (mut keys, mut clients): (Vec<String>, Vec<String>) = Default::default();
    for kill in 0..kills {
        let so_many = keys.len() + clients.len() + 1 + kill % 7;
        let mut child = process("what_was_answered_outlives_a_kill", scratch.path());
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        while let Some(Ok(line)) = lines.next() {
            match line.split_once(' ') {
                Some(("key", key)) => keys.push(key.to_owned()),
                Some(("client", key)) => clients.push(key.to_owned()),
                _ => continue,
            }
            if keys.len() + clients.len() == so_many {
                // On Unix that is SIGKILL.
                child.kill().expect("it runs");
            }
        }
        child.wait().expect("it ends");
        assert!(keys.len() + clients.len() >= so_many, "kill {kill}");
        let (_administration, gateway) = begin(scratch.path());
        let config = gateway.config();
        let pool: HashSet<&str> = config.keys.iter().map(|key| key.key.expose()).collect();
        assert!(keys.iter().all(|key| pool.contains(key.as_str())), "kill {kill}: a key is lost");
        assert!(
            clients.iter().all(|key| config.clients.contains(&ApiKey::new(key))),
            "kill {kill}: a client is lost"
        );
    }
    for file in fs::read_dir(scratch.path().join("data")).expect("a folder") {
        let path = file.expect("a file").path();
        let bytes = fs::read(&path).expect("it can be read");
        let secrets = clients.iter().flat_map(|key| [key.as_str(), &key["libra-".len()..]]);
        for secret in secrets.chain(["canary-that"]) {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret in {}", path.display());
        }
    }
}

/// What the process does that [`a_rekeying_outlives_a_kill`] kills.
fn rekey_for_ever(folder: &Path) {
    let settings = store_settings(folder);
    loop {
        told("again");
        store::open_existing(&settings).and_then(|opened| opened.rekey(&settings)).expect("a new secret");
    }
}

#[test]
fn a_rekeying_outlives_a_kill() {
    if let Some(folder) = folder_of_child() {
        return rekey_for_ever(&folder);
    }
    let kills = std::env::var("LIBRA_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(6);
    let scratch = Scratch::new();
    let (administration, gateway) = begin(scratch.path());
    let keys = (0..300).map(|number| new(&format!("{CANARY}-{number}"))).collect();
    administration.add_keys(WHO, keys).expect("they can be added");
    drop((administration, gateway));
    for kill in 0..kills {
        let mut child = process("a_rekeying_outlives_a_kill", scratch.path());
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        lines.by_ref().map_while(Result::ok).find(|line| line == "again").expect("it begins");
        // Some moments in the midst of it, whatever that is just then.
        std::thread::sleep(Duration::from_micros(1 + (kill * 7_919) % 60_000));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        let (_administration, gateway) = begin(scratch.path());
        assert_eq!(gateway.pool_size().0, 301, "kill {kill}");
    }
}

/// Where this process is the one that its test has started to be killed.
fn folder_of_child() -> Option<PathBuf> {
    std::env::var_os("LIBRA_TEST_FOLDER").map(Into::into)
}

/// The same test in a process of its own.
fn process(test: &str, folder: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args([&format!("administration::tests::{test}"), "--exact", "--nocapture"])
        .env("LIBRA_TEST_FOLDER", folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts")
}

fn store_settings(folder: &Path) -> crate::settings::StoreSettings {
    let data = folder.join("data").display().to_string();
    let options = Options { data: Some(data), ..Options::default() };
    Settings::load(&options).expect("good settings").store
}

#[test]
fn the_store_is_sealed_anew_whenever_that_is_cut_short() {
    let scratch = Scratch::new();
    let (administration, gateway) = begin(scratch.path());
    administration.add_keys(WHO, vec![new(CANARY)]).expect("a key");
    administration.change_setting(WHO, "LIBRA_HOME", Some("off")).expect("a setting");
    let (_, client) = administration.add_client(WHO, client("a")).expect("a client");
    drop((administration, gateway));
    let data = scratch.path().join("data");
    let secret = || fs::read_to_string(data.join("secret")).expect("a secret");
    let settings = |secret: Option<&str>, new: Option<&str>| {
        let options = Options { data: Some(data.display().to_string()), ..Options::default() };
        let mut settings = Settings::load(&options).expect("good settings").store;
        settings.secret = secret.map(ApiKey::new);
        settings.new_secret = new.map(ApiKey::new);
        settings
    };
    let rekey = |settings: &crate::settings::StoreSettings| {
        store::open_existing(settings).and_then(|opened| opened.rekey(settings))
    };
    let is_there = || {
        let (_administration, gateway) = begin(scratch.path());
        let config = gateway.config();
        config.keys.iter().any(|key| key.key.expose() == CANARY)
            && config.clients.contains(&client)
            && !config.home
    };
    let before = secret();
    rekey(&settings(None, None)).expect("a new secret in the file");
    assert_ne!(secret(), before);
    assert!(is_there());
    // Cut short after all was sealed anew, and before the file had its name.
    let after = secret();
    fs::write(data.join("secret.next"), &after).expect("a file");
    fs::write(data.join("secret"), &before).expect("a file");
    assert!(is_there());
    assert_eq!(secret(), after);
    // Cut short before anything was sealed anew.
    fs::write(data.join("secret.next"), &before).expect("a file");
    assert!(is_there());
    rekey(&settings(None, None)).expect("once more");
    assert!(is_there() && secret() != before && secret() != after);
    // By the environment: the old one need not be known any more.
    let [first, second] = ["first-secret-of-the-tests-0123456789", "second-secret-of-the-tests-0123456789"];
    rekey(&settings(None, Some(first))).expect("from the file to a variable");
    assert!(matches!(store::open_existing(&settings(None, None)), Err(StoreError::OtherSecret(_))));
    assert!(matches!(rekey(&settings(Some(first), None)), Err(StoreError::NoNewSecret)));
    rekey(&settings(Some(first), Some(second))).expect("to another");
    assert!(store::open_existing(&settings(Some(first), Some(second))).is_ok(), "before it is set anew");
    assert!(store::open_existing(&settings(Some(second), None)).is_ok());
    assert!(matches!(store::open_existing(&settings(Some(first), None)), Err(StoreError::OtherSecret(_))));
}

#[test]
fn thousands_of_keys_are_added_within_seconds() {
    let scratch = Scratch::new();
    let (administration, gateway) = begin(scratch.path());
    let keys = (0..10_000).map(|number| new(&format!("fixture-key-number-{number}"))).collect();
    let began = Instant::now();
    let added = administration.add_keys(WHO, keys).expect("they can be added");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!((added.added.len(), gateway.pool_size()), (10_000, (10_001, 10_001)));
    assert_eq!(administration.audit(None, 10).map(|entries| entries.len()), Ok(1), "told as one");
}

#[test]
fn a_hundred_thousand_keys_change_within_a_moment() {
    let keys = |numbers: std::ops::Range<u32>| -> Config {
        let keys = numbers.map(|number| ApiKey::new(&format!("fixture-key-number-{number}")).into());
        Config { keys: keys.collect(), ..Config::default() }
    };
    let gateway = Gateway::new(keys(0..100_000), 1);
    let until = clock::now() + Duration::from_secs(600);
    let rest = |number: u32| StateChange::Rest {
        project: ProjectId::of_key(id(&format!("fixture-key-number-{number}"))),
        model: Some("gemini-2.5-flash".into()),
        until,
    };
    let rests: Vec<StateChange> = (0..50_000).map(rest).collect();
    gateway.apply(&rests, clock::now());
    let other = keys(1..100_001);
    let began = Instant::now();
    gateway.reconfigure(other, clock::now());
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "without optimisation, beside other tests: {took:?}");
    assert_eq!(gateway.pool_size(), (100_000, 100_000));
}
