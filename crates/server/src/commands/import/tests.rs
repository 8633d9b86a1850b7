//! Files of other programs, made here.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const A: &str = "fixture-key-not-a-real-one-0000000001";
const B: &str = "fixture-key-not-a-real-one-0000000002";
const C: &str = "fixture-key-not-a-real-one-0000000003";

/// A file that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("libra-import-{}-{number}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self(path)
    }

    fn text(text: &str) -> Self {
        let this = Self::new();
        std::fs::write(&this.0, text).expect("it can be written");
        this
    }

    fn database(sql: &str) -> Self {
        let this = Self::new();
        Connection::open(&this.0).and_then(|database| database.execute_batch(sql)).expect("a database");
        this
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Keys, `!` before those that are paused; clients by name, token and settings.
fn check(found: &Found, keys: &[&str], clients: &[(&str, &str, Value)]) {
    let found_keys: Vec<String> = found
        .keys
        .iter()
        .map(|key| format!("{}{}", if key.paused { "!" } else { "" }, key.key.expose()))
        .collect();
    assert_eq!(found_keys, keys);
    let found_clients: Vec<(&str, &str, Value)> = found
        .clients
        .iter()
        .map(|client| (client.name.as_str(), client.key.expose(), Value::Object(client.settings.clone())))
        .collect();
    assert_eq!(found_clients, clients);
    let told = format!("{:?}{:?}{found:?}", found.left_out, found.notes);
    for key in found.keys.iter().map(|key| &key.key).chain(found.clients.iter().map(|client| &client.key)) {
        assert!(!told.contains(key.expose()), "{told}");
    }
}

#[test]
fn gemini_balances_file_is_read() {
    let file = Scratch::text(&format!(
        "# Settings\nDATABASE_TYPE=mysql\nAPI_KEYS=[\"{A}\",\"{B}\",\"{A}\"]\nALLOWED_TOKENS=[\"sk-123456\",\"a-token-of-the-team\"]\n\
         AUTH_TOKEN=a-token-of-the-owner\nVERTEX_API_KEYS=[\"AQ.something\"]\n"
    ));
    let mut found = gemini_balance::read(&file.0).expect("it is one");
    found.leave_out_weak();
    let clients = [
        ("gemini-balance 2", "a-token-of-the-team", json!({})),
        ("gemini-balance AUTH_TOKEN", "a-token-of-the-owner", json!({})),
    ];
    check(&found, &[A, B], &clients);
    assert!(found.left_out.iter().any(|line| line.contains("everybody knows")), "{:?}", found.left_out);
    assert!(found.left_out.iter().any(|line| line.contains("Vertex")), "{:?}", found.left_out);
    assert!(found.notes.iter().any(|line| line.contains("MySQL")), "{:?}", found.notes);
    assert!(gemini_balance::read(&Scratch::text("OTHER=1\n").0).is_err());
}

#[test]
fn gemini_balances_database_is_read() {
    let file = Scratch::database(&format!(
        "CREATE TABLE t_settings (id INTEGER PRIMARY KEY, key VARCHAR(100), value TEXT, description VARCHAR(255));
         INSERT INTO t_settings (key, value) VALUES ('API_KEYS', '[\"{A}\", \"{B}\"]'),
             ('ALLOWED_TOKENS', '[\"a-token-of-the-team\"]'), ('AUTH_TOKEN', 'a-token-of-the-team'), ('PROXIES', NULL);"
    ));
    let found = gemini_balance::read(&file.0).expect("it is one");
    check(&found, &[A, B], &[("gemini-balance", "a-token-of-the-team", json!({}))]);
    assert!(gemini_balance::read(&Scratch::database("CREATE TABLE other (a);").0).is_err());
}

#[test]
fn gpt_loads_database_is_read() {
    let sealed = "0123456789abcdef".repeat(8);
    let file = Scratch::database(&format!(
        "CREATE TABLE groups (id INTEGER PRIMARY KEY, name TEXT, channel_type TEXT, proxy_keys TEXT);
         CREATE TABLE api_keys (id INTEGER PRIMARY KEY, key_value TEXT, key_hash TEXT, group_id INTEGER, status TEXT, notes TEXT);
         CREATE TABLE system_settings (id INTEGER PRIMARY KEY, setting_key TEXT, setting_value TEXT);
         INSERT INTO groups VALUES (1, 'main', 'gemini', 'a-token-of-the-team,another-token-of-it'), (2, 'gpt', 'openai', '');
         INSERT INTO api_keys VALUES (1, '{A}', '', 1, 'active', 'mine'), (2, '{B}', '', 1, 'invalid', ''),
             (3, '{sealed}', '', 1, 'active', ''), (4, 'sk-of-another-service-00000000', '', 2, 'active', '');
         INSERT INTO system_settings VALUES (1, 'proxy_keys', 'a-token-for-all-groups'), (2, 'app_url', 'http://a');"
    ));
    let found = gpt_load::read(&file.0).expect("it is one");
    let clients = [
        ("main 1", "a-token-of-the-team", json!({})),
        ("main 2", "another-token-of-it", json!({})),
        ("gpt-load", "a-token-for-all-groups", json!({})),
    ];
    check(&found, &[A, &format!("!{B}")], &clients);
    assert_eq!(found.keys[0].label.as_deref(), Some("mine"));
    assert!(found.left_out.iter().any(|line| line.contains("1 keys are encrypted")), "{:?}", found.left_out);
    assert!(
        found.left_out.iter().any(|line| line.contains("another service (openai)")),
        "{:?}",
        found.left_out
    );
}

#[test]
fn new_apis_database_is_read() {
    let token = "k".repeat(20) + "0123456789abcdefghijklmnop12";
    let file = Scratch::database(&format!(
        "CREATE TABLE channels (id INTEGER PRIMARY KEY, type INTEGER, key TEXT, name TEXT, status INTEGER, channel_info JSON);
         CREATE TABLE tokens (id INTEGER PRIMARY KEY, user_id INTEGER, key CHAR(48), status INTEGER, name TEXT,
             expired_time BIGINT, remain_quota INTEGER, unlimited_quota NUMERIC, model_limits_enabled NUMERIC,
             model_limits TEXT, allow_ips TEXT, deleted_at DATETIME);
         INSERT INTO channels VALUES (1, 24, '{A}', 'one', 1, NULL),
             (2, 24, '{B}' || char(10) || '{C}', 'two', 1, '{{\"is_multi_key\":true,\"multi_key_status_list\":{{\"1\":3}}}}'),
             (3, 1, 'sk-of-another-service', 'other', 1, NULL);
         INSERT INTO tokens VALUES (1, 1, '{token}', 1, 'ann', -1, 0, 1, 0, '', '', NULL),
             (2, 1, '{token}2', 2, 'bob', 1800000000, 500, 0, 1, 'gemini-2.5-flash,gemini-2.5-pro', '10.0.0.0/8' || char(10) || '192.0.2.1', NULL),
             (3, 1, '{token}3', 3, 'old', 1, 0, 1, 0, '', '', NULL),
             (4, 1, '{token}4', 1, 'gone', -1, 0, 1, 0, '', '', '2026-01-01');"
    ));
    let found = new_api::read(&file.0).expect("it is one");
    let bob = json!({
        "paused": true,
        "expires": "2027-01-15T08:00:00Z",
        "models": ["gemini-2.5-flash", "gemini-2.5-pro"],
        "addresses": ["10.0.0.0/8", "192.0.2.1"],
    });
    let (ann, bobs) = (format!("sk-{token}"), format!("sk-{token}2"));
    check(&found, &[A, B, &format!("!{C}")], &[("ann", &ann, json!({})), ("bob", &bobs, bob)]);
    assert!(found.left_out.iter().any(|line| line.contains("old: it has expired")), "{:?}", found.left_out);
    assert!(found.left_out.iter().any(|line| line.contains("1 channels of other")), "{:?}", found.left_out);
    assert!(found.notes.iter().any(|line| line.contains("1 tokens have a quota")), "{:?}", found.notes);
    // one-api has other columns.
    let file = Scratch::database(&format!(
        "CREATE TABLE channels (id INTEGER PRIMARY KEY, type INTEGER, key TEXT, status INTEGER, name TEXT);
         CREATE TABLE tokens (id INTEGER PRIMARY KEY, key CHAR(48), status INTEGER, name TEXT, models TEXT, subnet TEXT);
         INSERT INTO channels VALUES (1, 24, '{A}', 2, 'off');
         INSERT INTO tokens VALUES (1, '{token}', 1, '', 'gemini-2.5-flash', '10.0.0.0/8');"
    ));
    let found = new_api::read(&file.0).expect("it is one");
    let settings = json!({ "models": ["gemini-2.5-flash"], "addresses": ["10.0.0.0/8"] });
    check(&found, &[&format!("!{A}")], &[("token", &ann, settings)]);
}

#[test]
fn litellms_file_is_read() {
    let file = Scratch::text(&format!(
        "model_list:\n  - model_name: flash\n    litellm_params: &all\n      model: gemini/gemini-2.5-flash\n      api_key: {A}\n\
         \x20 - model_name: pro\n    litellm_params: {{model: gemini/gemini-2.5-pro, api_key: os.environ/GEMINI_TWO}}\n\
         \x20 - model_name: lost\n    litellm_params: {{model: gemini/gemini-2.5-pro, api_key: os.environ/NOBODY}}\n\
         \x20 - model_name: gpt\n    litellm_params: {{model: openai/gpt-4o, api_key: sk-of-another}}\n\
         \x20 - model_name: v\n    litellm_params: {{model: vertex_ai/gemini-pro}}\n\
         general_settings:\n  master_key: os.environ/MASTER\n  database_url: postgres://x\n"
    ));
    let variable = |name: &str| match name {
        "GEMINI_TWO" => Some(B.to_owned()),
        "MASTER" => Some("sk-the-master-key-of-all".to_owned()),
        _ => None,
    };
    let found = litellm::read(&file.0, variable).expect("it is one");
    check(&found, &[A, B], &[("litellm master_key", "sk-the-master-key-of-all", json!({}))]);
    for part in ["NOBODY", "1 models of other", "Vertex AI", "hashes of them"] {
        assert!(found.left_out.iter().any(|line| line.contains(part)), "{part}: {:?}", found.left_out);
    }
    assert!(litellm::read(&Scratch::text("a: [").0, variable).is_err());
    assert!(litellm::read(&Scratch::text("a: 1").0, variable).is_err());
}
