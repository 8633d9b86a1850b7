use std::collections::BTreeMap;

use proptest::prelude::{any, prop_assert_eq, prop_oneof, proptest};

use super::*;

mod models;
mod projects;

/// As long as a key of Google's, and none.
const SECRET: &str = "AQ.no-real-key-but-as-long-as-one-0123456789";

type Vars<'a> = &'a [(&'a str, &'a str)];

fn read(vars: Vars<'_>) -> Result<(Config, Vec<Notice>), ConfigError> {
    let vars: BTreeMap<&str, &str> = vars.iter().copied().collect();
    Config::from_vars(
        |name| vars.get(name).map(|value| (*value).to_owned()),
        |path| match path {
            "keys.txt" => {
                Ok("# mine\nfile-key-number-one-is-long\n\nteam:file-key-number-two # spare\n".to_owned())
            }
            "bad.txt" => Ok(format!("{SECRET}\n{SECRET}\u{e9}\n")),
            _ => Err("no such file".to_owned()),
        },
    )
}

fn good(vars: Vars<'_>) -> Config {
    read(vars).map(|(config, _)| config).unwrap_or_else(|error| panic!("{vars:?}: {error}"))
}

fn bad(vars: Vars<'_>) -> String {
    let error = read(vars).err().unwrap_or_else(|| panic!("{vars:?} was taken")).to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn an_empty_environment_gives_the_default() {
    let (config, notices) = read(&[]).expect("nothing is wrong with nothing");
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    assert_eq!(notices, []);
    let blank: Vec<_> = VARIABLES.iter().map(|variable| (variable.name, " \n")).collect();
    assert_eq!(format!("{:?}", good(&blank)), format!("{:?}", Config::default()));
}

#[test]
fn the_defaults_of_the_table_are_the_defaults() {
    let table: Vec<_> = VARIABLES.iter().map(|variable| (variable.name, variable.default)).collect();
    assert_eq!(format!("{:?}", good(&table)), format!("{:?}", Config::default()));
}

#[test]
fn every_setting_is_documented() {
    let sample = include_str!("../../../../.env.sample");
    let documents = [
        include_str!("../../../../docs/configuration.md"),
        include_str!("../../../../docs/configuration.zh-CN.md"),
    ];
    for variable in VARIABLES {
        let line = format!("# {}={}\n", variable.name, variable.default);
        assert!(sample.contains(&line), ".env.sample lacks {line:?}");
        for document in documents {
            let row = match variable.default {
                "" => format!("| `{}` | |", variable.name),
                default => format!("| `{}` | `{default}` |", variable.name),
            };
            assert!(document.contains(&row), "a document lacks {row:?}");
        }
    }
    let known =
        |name: &str| VARIABLES.iter().any(|variable| variable.name == name) || list_of(name).is_some();
    for text in documents.into_iter().chain([sample]) {
        for name in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let setting = ["LIBRA_", "BACKUP_API", "TRUSTED_API", "CUSTOM_LLM_"];
            if setting.iter().any(|prefix| name.starts_with(prefix)) && !name.ends_with('_') {
                assert!(known(name), "{name} is documented but unknown");
            }
        }
    }
}

#[test]
fn pools_are_read_in_all_their_forms() {
    let check = |vars: Vars<'_>, expected: &[(Option<&str>, &str)]| {
        let config = good(vars);
        let keys: Vec<_> =
            config.keys.iter().map(|entry| (entry.project.as_deref(), entry.key.expose())).collect();
        assert_eq!(keys, expected, "{vars:?}");
    };
    check(&[("LIBRA_KEYS", "k1,k2")], &[(None, "k1"), (None, "k2")]);
    check(&[("BACKUP_API_KEYS", "“k1”，k2")], &[(None, "k1"), (None, "k2")]);
    check(&[("LIBRA_KEYS", "k1,k2"), ("BACKUP_API_KEYS", "k2\nk1")], &[(None, "k1"), (None, "k2")]);
    check(&[("LIBRA_KEYS", "a:k1,k2,b:c:d")], &[(Some("a"), "k1"), (None, "k2"), (Some("b"), "c:d")]);
    check(&[("LIBRA_KEYS", "k1,k2,k1,a:k2,k2")], &[(None, "k1"), (Some("a"), "k2")]);
    check(
        &[("BACKUP_API_KEYS", "k0"), ("BACKUP_API_KEYS_1", "k1,"), ("BACKUP_API_KEYS_100", "k100")],
        &[(None, "k0"), (None, "k1"), (None, "k100")],
    );
    check(&[("LIBRA_KEYS_101", "k101"), ("LIBRA_KEYS_01", "k1")], &[]);
    check(
        &[("LIBRA_KEYS_2", "k2"), ("LIBRA_KEYS_FILE", "keys.txt")],
        &[(None, "k2"), (None, "file-key-number-one-is-long"), (Some("team"), "file-key-number-two")],
    );
}

#[test]
fn client_keys_stay_out_of_the_pool() {
    let config = good(&[("LIBRA_KEYS", "k1,c1,k2"), ("TRUSTED_API_KEYS", "c1,with:colon")]);
    assert_eq!(config.keys.len(), 2);
    assert!(config.clients.contains(&ApiKey::new("c1")));
    assert!(config.clients.contains(&ApiKey::new("with:colon")));
    assert!(!config.clients.contains(&ApiKey::new("k1")));
}

#[test]
fn an_administrators_token_is_long_and_nobody_elses() {
    let token = "an-administrators-token";
    let config = good(&[("LIBRA_ADMIN_TOKEN", token)]);
    assert_eq!(config.admin_token, Some(ApiKey::new(token)));
    assert!(!format!("{config:?}").contains(token));
    let check = |text: &str, expected: &str| {
        let vars = [("LIBRA_KEYS", SECRET), ("LIBRA_CLIENTS", token), ("LIBRA_ADMIN_TOKEN", text)];
        assert_eq!(bad(&vars), format!("LIBRA_ADMIN_TOKEN: {expected}"));
    };
    check("fifteen-letters", "has fewer than 16 characters, and could be guessed; use a long random one");
    check(token, "is a client's key or one of the pool: use one of its own");
    check(SECRET, "is a client's key or one of the pool: use one of its own");
    check("two-long-tokens-1 two-long-tokens-2", "holds more than one key; one is expected");
}

#[test]
fn notices_say_what_is_probably_not_meant() {
    let check = |vars: Vars<'_>, expected: &[Notice]| {
        let (_, notices) = read(vars).unwrap_or_else(|error| panic!("{vars:?}: {error}"));
        assert_eq!(notices, expected, "{vars:?}");
        for notice in notices {
            let line = notice.to_string();
            assert!(!line.contains('\n') && !line.contains("-long-enough-"), "{line}");
        }
    };
    const POOL: &str = "pool-key-long-enough-1,pool-key-long-enough-2";
    const CLIENT: &str = "client-key-long-enough-1";
    check(&[("LIBRA_KEYS", POOL), ("LIBRA_CLIENTS", CLIENT)], &[]);
    check(&[("LIBRA_KEYS", POOL)], &[Notice::PoolClosed]);
    check(&[("LIBRA_CLIENTS", CLIENT)], &[Notice::ClientsWithoutPool]);
    check(
        &[("BACKUP_API_KEYS", POOL), ("BACKUP_API_KEYS_1", POOL), ("TRUSTED_API_KEYS", CLIENT)],
        &[Notice::Duplicates { variable: "BACKUP_API_KEYS", count: 2 }],
    );
    check(
        &[("LIBRA_KEYS", POOL), ("LIBRA_CLIENTS", "pool-key-long-enough-2")],
        &[Notice::ClientKeysInPool { count: 1 }],
    );
    check(
        &[("LIBRA_KEYS", "short"), ("LIBRA_CLIENTS", "secret")],
        &[
            Notice::ShortKeys { variable: "LIBRA_KEYS", count: 1 },
            Notice::WeakClients { variable: "LIBRA_CLIENTS", weakness: Weakness::WellKnown },
        ],
    );
    check(
        &[("LIBRA_KEYS", POOL), ("LIBRA_CLIENTS", CLIENT), ("LIBRA_PROJECTS", "{\"a\": {}, \"b\": {}}")],
        &[Notice::ProjectsWithoutKeys { first: "a".to_owned(), count: 2 }],
    );
    check(&[("LIBRA_KEYS", POOL), ("LIBRA_PAID_CLIENTS", CLIENT)], &[Notice::PaidClientsWithoutPaidProject]);
    check(
        &[
            ("LIBRA_KEYS", "a:pool-key-long-enough-1"),
            ("LIBRA_PAID_CLIENTS", CLIENT),
            ("LIBRA_PROJECTS", "{\"a\": {\"tier\": \"paid\"}}"),
        ],
        &[],
    );
    check(&[("LIBRA_PROJECTS", "{\"a\": {}}")], &[]);
    check(&[("LIBRA_UPSTREAM", "http://127.0.0.1:9000")], &[]);
    check(&[("LIBRA_UPSTREAM", "http://[::1]:9000")], &[]);
    check(
        &[("LIBRA_UPSTREAM", "http://gemini.example")],
        &[Notice::PlainHttp { variable: "LIBRA_UPSTREAM" }],
    );
    check(
        &[("CUSTOM_LLM_BASE_URL", "http://llm.example/v1")],
        &[Notice::PlainHttp { variable: "CUSTOM_LLM_BASE_URL" }],
    );
    assert!(Notice::PoolClosed.to_string().contains("请将 TRUSTED_API_KEYS（或 LIBRA_CLIENTS）设为"));
}

#[test]
fn errors_name_the_variable_and_what_is_allowed() {
    let check = |vars: Vars<'_>, expected: &str| assert_eq!(bad(vars), expected, "{vars:?}");
    check(
        &[("LIBRA_STRATEGY", "fastest")],
        "LIBRA_STRATEGY: \"fastest\" is not one of headroom, round-robin, time-window, random, least-used",
    );
    check(
        &[("LIBRA_STRATEGY", SECRET)],
        "LIBRA_STRATEGY: the value given (44 characters) is not one of headroom, round-robin, time-window, random, least-used",
    );
    check(
        &[("LIBRA_KEYS", "a"), ("BACKUP_API_KEYS", "b")],
        "LIBRA_KEYS: is set and differs from BACKUP_API_KEYS, which means the same: set only one of them",
    );
    check(
        &[("LIBRA_CLIENTS", "a,b"), ("TRUSTED_API_KEYS_1", "a")],
        "LIBRA_CLIENTS: is set and differs from TRUSTED_API_KEYS, which means the same: set only one of them",
    );
    check(
        &[("BACKUP_API_KEYS", "a"), ("BACKUP_API_KEYS_2", "a,k\u{e9}y")],
        "BACKUP_API_KEYS_2: entry 2: character 2 is not a visible ASCII character",
    );
    check(
        &[("LIBRA_KEYS_FILE", "bad.txt")],
        "LIBRA_KEYS_FILE: line 2: character 45 is not a visible ASCII character",
    );
    check(
        &[("LIBRA_KEYS_FILE", SECRET)],
        "LIBRA_KEYS_FILE: the file that it names cannot be read: no such file",
    );
    check(
        &[("LIBRA_KEYS", "a\\nb")],
        "LIBRA_KEYS: entry 1: holds \\n as two characters: part the keys by commas or real line breaks",
    );
    check(&[("LIBRA_KEYS", &"k".repeat(513))], "LIBRA_KEYS: entry 1: has 513 bytes; a key has at most 512");
    check(&[("LIBRA_KEYS", "a,p:")], "LIBRA_KEYS: entry 2: has no key");
    check(&[("LIBRA_KEYS", ":a")], "LIBRA_KEYS: entry 1: has no project before its colon");
    check(
        &[("LIBRA_KEYS", "p:a,q:a")],
        "LIBRA_KEYS: entry 2: puts a key into another project than an earlier entry did",
    );
    check(
        &[("LIBRA_KEYS", "a"), ("LIBRA_CLIENTS", "a")],
        "LIBRA_KEYS: every key of the pool is also a client key, and client keys never go upstream: give your \
         clients keys of their own making",
    );
    check(
        &[("CUSTOM_LLM_API_KEY", SECRET)],
        "CUSTOM_LLM_API_KEY: is set, but CUSTOM_LLM_BASE_URL is not: set the address of the service, or leave both out",
    );
    check(&[("CUSTOM_LLM_API_KEY", "a,b")], "CUSTOM_LLM_API_KEY: holds more than one key; one is expected");
    check(
        &[("LIBRA_UPSTREAM", "https://a.example/v1beta")],
        "LIBRA_UPSTREAM: ends in /v1beta; leave it out, as clients say which version they want",
    );
    check(
        &[("LIBRA_MODEL_ALIASES", "a=b,c=d")],
        "LIBRA_MODEL_ALIASES: \"c=d\" holds a =; aliases are parted by semicolons",
    );
    check(
        &[("LIBRA_DEADLINE", "0")],
        "LIBRA_DEADLINE: \"0\" is no time from 1ms to 24h; write 45s, 500ms, 2m, 1h or a number of seconds",
    );
    check(
        &[("LIBRA_HOME", "maybe")],
        "LIBRA_HOME: \"maybe\" is not one of on, off (or true, false, yes, no, 1, 0)",
    );
    check(
        &[("LIBRA_BODY_LIMIT", "17GiB")],
        "LIBRA_BODY_LIMIT: \"17GiB\" is no size from 1KiB to 16GiB; write 32MiB, 32MB, 32m or a number of bytes",
    );
}

#[test]
fn too_many_keys_are_refused() {
    let list = |count: usize| (0..count).map(|n| format!("k{n}\n")).collect::<String>();
    assert_eq!(good(&[("LIBRA_KEYS", &list(3000))]).keys.len(), 3000);
    assert_eq!(
        bad(&[("LIBRA_KEYS", &list(MAX_KEYS + 1))]),
        "LIBRA_KEYS: entry 200001: is one more than the 200000 keys that a list may hold"
    );
    assert_eq!(
        bad(&[("LIBRA_KEYS", &" ".repeat(MAX_LIST_BYTES + 1))]),
        "LIBRA_KEYS: is longer than 32768 KiB"
    );
}

#[test]
fn no_message_shows_a_key() {
    let hidden = |shown: &dyn fmt::Debug, display: &dyn fmt::Display| {
        for text in [format!("{shown:?}"), display.to_string()] {
            assert!(!text.contains("no-real-key"), "{text}");
        }
    };
    for variable in VARIABLES {
        let values = [
            SECRET.to_owned(),
            format!("{SECRET}\u{e9}"),
            format!("{SECRET} {SECRET}="),
            format!("{{\"{SECRET}\": 1}}"),
            format!("{{\"{SECRET}\": \"{SECRET}?\"}}"),
            format!("[\"{SECRET}"),
            format!("{SECRET}={SECRET}={SECRET}"),
            format!("https://{SECRET}@host.example/"),
            format!("https://host.example/?key={SECRET}"),
            format!("{SECRET}:{SECRET}\u{e9}"),
            format!("{{\"{SECRET}\": {{\"{SECRET}\": 1}}}}"),
            format!("[{{\"key\": \"{SECRET}\", \"{SECRET}\": 1}}]"),
            format!("[{{\"key\": \"{SECRET}\", \"project\": \"{SECRET}\"}}]"),
            format!("[{{\"key\": \"{SECRET}\", \"label\": \"{SECRET}\", \"tier\": \"{SECRET}\"}}]"),
            format!("[{{\"name\": \"a\", \"tier\": \"{SECRET}\"}}]"),
            format!(
                "[{{\"name\": \"{SECRET}\", \"limits\": [{{\"model\": \"{SECRET}\", \"rpm\": \"{SECRET}\"}}]}}]"
            ),
            format!("{SECRET}:{SECRET}"),
        ];
        for value in values {
            match read(&[(variable.name, &value)]) {
                Err(error) => hidden(&error, &error),
                Ok((_, notices)) => notices.iter().for_each(|notice| hidden(notice, notice)),
            }
        }
    }
    let error = parse_keys(&format!("{SECRET} {SECRET}\u{e9}")).expect_err("no ASCII");
    assert_eq!(error.to_string(), "KEY: entry 2: character 45 is not a visible ASCII character");
}

#[test]
fn times_and_sizes_are_read_with_their_units() {
    let time = |text: &str, millis: u64| {
        let config = good(&[("LIBRA_IDLE_TIMEOUT", text)]);
        assert_eq!(config.idle_timeout, Duration::from_millis(millis), "{text}");
    };
    time("45s", 45_000);
    time("45", 45_000);
    time("45 sec", 45_000);
    time("500ms", 500);
    time("2m", 120_000);
    time("2 Min", 120_000);
    time("1h", 3_600_000);
    time("\"24h\"", 86_400_000);
    for text in
        ["0", "0ms", "25h", "-1", "1.5s", "s", "1d", "1h30m", "99999999999999999999", "18446744073709551615h"]
    {
        bad(&[("LIBRA_IDLE_TIMEOUT", text)]);
    }
    let beat = |text: &str, millis: u64| {
        let config = good(&[("LIBRA_HEARTBEAT", text)]);
        assert_eq!(config.heartbeat, Duration::from_millis(millis), "{text}");
    };
    beat("2s", 2000);
    beat("off", 0);
    let budget = |text: &str, percent: Option<u8>| {
        assert_eq!(good(&[("LIBRA_RETRY_BUDGET", text)]).retry_budget, percent, "{text}");
    };
    budget("35%", Some(35));
    budget("35 %", Some(35));
    budget("100", Some(100));
    budget("0", Some(0));
    budget("off", None);
    for text in ["101%", "-1", "half", "2.5%", "%"] {
        let said = bad(&[("LIBRA_RETRY_BUDGET", text)]);
        assert!(said.ends_with("is no share from 0% to 100%, nor off"), "{said}");
    }
    let wait = |text: &str, millis: u64| {
        let config = good(&[("LIBRA_QUEUE_WAIT", text)]);
        assert_eq!(config.queue_wait, Duration::from_millis(millis), "{text}");
    };
    wait("5s", 5000);
    for text in ["0", "0s", "off", "Off"] {
        wait(text, 0);
    }
    assert_eq!(
        bad(&[("LIBRA_QUEUE_WAIT", "25h")]),
        "LIBRA_QUEUE_WAIT: \"25h\" is no time from 1ms to 24h; write 45s, 500ms, 2m, 1h or a number of seconds, or \
         0 for none"
    );
    let size = |text: &str, bytes: u64| {
        assert_eq!(good(&[("LIBRA_REPLAY_LIMIT", text)]).replay_limit, bytes, "{text}");
    };
    size("0", 0);
    size("33554432", 32 << 20);
    size("32MiB", 32 << 20);
    size("32m", 32 << 20);
    size("32 MB", 32_000_000);
    size("512k", 512 << 10);
    size("1g", 1 << 30);
    for text in ["-1", "2GiB", "1TB", "MiB", "1.5m", "18446744073709551615g"] {
        bad(&[("LIBRA_REPLAY_LIMIT", text)]);
    }
}

#[test]
fn words_and_numbers_are_read_leniently() {
    let home = |text: &str, on: bool| assert_eq!(good(&[("LIBRA_HOME", text)]).home, on, "{text}");
    for text in ["on", "ON", "true", "1", "yes", "'on'"] {
        home(text, true);
    }
    for text in ["off", "False", "0", "no"] {
        home(text, false);
    }
    let strategy = |text: &str, expected| {
        assert_eq!(good(&[("LIBRA_STRATEGY", text)]).strategy, expected, "{text}");
    };
    strategy("", Strategy::Headroom);
    strategy("HEADROOM", Strategy::Headroom);
    strategy("round-robin", Strategy::RoundRobin);
    strategy("time-window", Strategy::TimeWindow);
    strategy("Least_Used", Strategy::LeastUsed);
    strategy("random", Strategy::Random);
    assert_eq!(good(&[("LIBRA_VERIFY", "off")]).verify, Verify::Off);
    assert_eq!(good(&[("LIBRA_CLIENT_KEYS", "deny")]).client_keys, ClientKeys::Deny);
    assert!(!good(&[("LIBRA_AFFINITY", "off")]).affinity);
    assert_eq!(good(&[("LIBRA_QUEUE_SIZE", "1")]).queue_size, 1);
    for text in ["0", "100001", "-1", "all"] {
        bad(&[("LIBRA_QUEUE_SIZE", text)]);
    }
    assert_eq!(good(&[("LIBRA_MAX_ATTEMPTS", "3")]).max_attempts, Some(3));
    for text in ["0", "101", "-1", "all"] {
        bad(&[("LIBRA_MAX_ATTEMPTS", text)]);
    }
}

#[test]
fn addresses_to_listen_on() {
    let check =
        |vars: Vars<'_>, expected: &str| assert_eq!(good(vars).listen.to_string(), expected, "{vars:?}");
    check(&[], "127.0.0.1:8080");
    check(&[("PORT", "3000")], "0.0.0.0:3000");
    check(&[("PORT", "3000"), ("LIBRA_LISTEN", "127.0.0.1:9000")], "127.0.0.1:9000");
    let listen = |text: &str, expected: &str| check(&[("LIBRA_LISTEN", text)], expected);
    listen("[::]:80", "[::]:80");
    listen(":80", "0.0.0.0:80");
    listen("*:80", "0.0.0.0:80");
    listen("localhost:0", "127.0.0.1:0");
    listen("8081", "127.0.0.1:8081");
    listen("192.0.2.1", "192.0.2.1:8080");
    listen("::1", "[::1]:8080");
    for text in ["example.com:80", "127.0.0.1:65536", "127.0.0.1:", "localhost", "http://127.0.0.1"] {
        bad(&[("LIBRA_LISTEN", text)]);
    }
    bad(&[("PORT", "x")]);
}

#[test]
fn addresses_of_services_and_paths() {
    let upstream = |text: &str, expected: &str| {
        assert_eq!(good(&[("LIBRA_UPSTREAM", text)]).upstream, expected, "{text}");
    };
    upstream("https://a.example", "https://a.example/");
    upstream("https://a.example/", "https://a.example/");
    upstream("https://a.example:8443/gemini/", "https://a.example:8443/gemini");
    upstream("HTTP://localhost:9000", "http://localhost:9000/");
    let wrong = [
        "a.example",
        "ftp://a.example",
        "https://",
        "https:///x",
        "https://:80",
        "https://a.example:",
        "https://a.example:99999",
        "https://user:secret@a.example",
        "https://a.example/?x=1",
        "https://a.example/#x",
        "https://a example",
        "/path",
        "https://a.example/v1/",
    ];
    for text in wrong {
        let error = bad(&[("LIBRA_UPSTREAM", text)]);
        assert!(!error.contains("secret"), "{error}");
    }
    let service = |text: &str, expected: &str| {
        let config = good(&[("CUSTOM_LLM_BASE_URL", text)]);
        assert_eq!(config.custom_llm.map(|service| service.base_url), expected.parse().ok(), "{text}");
    };
    service("https://llm.example/v1", "https://llm.example/v1");
    service("https://llm.example/v1/", "https://llm.example/v1");
    service("https://llm.example/v1/chat/completions", "https://llm.example/v1");
    let path = |text: &str, expected: &str| {
        assert_eq!(good(&[("LIBRA_BASE_PATH", text)]).base_path, expected, "{text}");
    };
    path("/", "");
    path("gemini", "/gemini");
    path("/a/b/", "/a/b");
    for text in ["/a//b", "/a/../b", "/a b", "/a?b", "/%41"] {
        bad(&[("LIBRA_BASE_PATH", text)]);
    }
    let networks = |text: &str, expected: &[&str]| {
        let networks: Vec<String> =
            good(&[("LIBRA_TRUSTED_PROXIES", text)]).trusted_proxies.iter().map(IpNet::to_string).collect();
        assert_eq!(networks, expected, "{text}");
    };
    networks("10.1.2.3/8, 192.0.2.1", &["10.0.0.0/8", "192.0.2.1/32"]);
    networks("Loopback 2001:db8::/32", &["127.0.0.0/8", "::1/128", "2001:db8::/32"]);
    networks("private", &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]);
    for text in ["10.0.0.0/33", "public", "10.0.0"] {
        bad(&[("LIBRA_TRUSTED_PROXIES", text)]);
    }
}

#[test]
fn the_custom_service_is_read_whole() {
    let config = good(&[
        ("CUSTOM_LLM_BASE_URL", "https://llm.example/v1"),
        ("CUSTOM_LLM_API_KEY", "'sk-1'"),
        ("CUSTOM_LLM_MODELS", "deepseek-*, qwen*"),
        ("CUSTOM_LLM_MODEL", "deepseek-chat"),
    ]);
    let service = config.custom_llm.expect("it was set");
    assert_eq!(service.api_key, Some(ApiKey::new("sk-1")));
    assert_eq!(service.models.len(), 2);
    assert_eq!(service.model.as_deref(), Some("deepseek-chat"));
}

#[test]
fn parts_of_lists_are_known_by_name() {
    let check = |name: &str, expected: Option<&str>| assert_eq!(list_of(name), expected, "{name}");
    check("LIBRA_KEYS", Some("LIBRA_KEYS"));
    check("BACKUP_API_KEYS_7", Some("LIBRA_KEYS"));
    check("TRUSTED_API_KEYS_FILE", Some("LIBRA_CLIENTS"));
    check("LIBRA_CLIENTS_100", Some("LIBRA_CLIENTS"));
    check("LIBRA_PAID_CLIENTS_2", Some("LIBRA_PAID_CLIENTS"));
    for name in
        ["LIBRA_CLIENT_KEYS", "LIBRA_KEYS_0", "LIBRA_KEYS_101", "LIBRA_KEYS_07", "LIBRA_KEYS_", "LIBRA_KEYSX"]
    {
        check(name, None);
    }
}

fn any_value() -> impl proptest::strategy::Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9]{0,25} ?[a-zA-Z]{0,4}",
        "(https?://)?[a-z@:/?#\\[\\]%.0-9]{0,30}",
        "[a-z*?=,;{}\"\\[\\]:：，；＝“” \\\\\n-]{0,40}",
    ]
}

proptest! {
    #[test]
    fn no_value_panics(values in proptest::collection::vec(any_value(), VARIABLES.len()), file in any_value()) {
        let lookup = |name: &str| {
            let index = VARIABLES.iter().position(|variable| variable.name == name)?;
            values.get(index).cloned()
        };
        for only in VARIABLES {
            let one = |name: &str| (name == only.name).then(|| lookup(name)).flatten();
            if let Ok((config, _)) = Config::from_vars(one, |_| Ok(file.clone())) {
                for value in &values {
                    config.resolve_model(value, AliasFor::Chat);
                    config.model_allowed(value);
                    config.further_models(value, value).count();
                }
            }
        }
        let _ = Config::from_vars(lookup, |_| Ok(file.clone()));
        let _ = parse_keys(&file);
    }

    #[test]
    fn lists_survive_every_form(keys in proptest::collection::btree_set("[a-zA-Z0-9._-]{8,60}", 1..20)) {
        let keys: Vec<String> = keys.into_iter().collect();
        let forms = [
            keys.join(","),
            keys.join("，\n"),
            serde_json::to_string(&keys).expect("strings are JSON"),
            format!("\"{}\"", keys.join("\", \"")),
        ];
        for form in forms {
            let read: Vec<String> = parse_keys(&form)
                .expect("they are keys")
                .iter()
                .map(|entry| entry.key.expose().to_owned())
                .collect();
            prop_assert_eq!(&read, &keys);
        }
    }
}
