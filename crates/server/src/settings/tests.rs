use std::path::PathBuf;

use super::*;

const SECRET: &str = "AQ.no-real-key-but-as-long-as-one-0123456789";

/// What there is in a test: options, environment, files.
#[derive(Default)]
struct Place<'a> {
    options: Options,
    environment: &'a [(&'a str, &'a str)],
    files: &'a [(&'a str, &'a str)],
}

impl Place<'_> {
    fn read(&self) -> Result<Settings, String> {
        let environment =
            self.environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let read_file = |path: &Path| {
            let file = self.files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| (*text).to_owned()).ok_or_else(|| ErrorKind::NotFound.into())
        };
        Settings::read(&self.options, environment, &read_file).map_err(|error| error.to_string())
    }

    fn good(&self) -> Settings {
        self.read().unwrap_or_else(|error| panic!("{error}"))
    }
}

fn keys(settings: &Settings) -> Vec<&str> {
    settings.config.keys.iter().map(|entry| entry.key.expose()).collect()
}

#[test]
fn the_strongest_place_wins() {
    let listen = |given: usize| {
        let options = if given > 3 {
            Options { listen: Some(":4".to_owned()), ..Options::default() }
        } else {
            Options::default()
        };
        let environment: &[_] = if given > 2 { &[("LIBRA_LISTEN", ":3")] } else { &[("LIBRA_LISTEN", " ")] };
        let dotenv = if given > 1 { "LIBRA_LISTEN=:2" } else { "LIBRA_LISTEN=" };
        let file = if given > 0 { "listen = ':1'" } else { "" };
        let files = [(".env", dotenv), ("libra.toml", file)];
        Place { options, environment, files: &files }.good().config.listen.to_string()
    };
    let all: Vec<String> = (0..5).map(listen).collect();
    assert_eq!(all, ["127.0.0.1:8080", "0.0.0.0:1", "0.0.0.0:2", "0.0.0.0:3", "0.0.0.0:4"]);
}

#[test]
fn nothing_set_anywhere_is_fine() {
    let settings = Place::default().good();
    assert_eq!(settings.log, "info");
    assert_eq!(settings.notices, []);
    assert_eq!(settings.proxies, Proxies::default());
    assert!(!settings.demo);
}

#[test]
fn a_list_comes_whole_from_one_place() {
    let files = [
        (".env", "BACKUP_API_KEYS=dotenv-1, dotenv-2\nTRUSTED_API_KEYS=client\n"),
        ("libra.toml", "keys = ['file']\nclients = ['other']\n"),
    ];
    let settings =
        Place { environment: &[("LIBRA_KEYS_2", "environment")], files: &files, ..Place::default() }.good();
    assert_eq!(keys(&settings), ["environment"]);
    assert_eq!(settings.config.clients.len(), 1);
    let settings = Place { environment: &[("LIBRA_KEYS", "\"\"")], files: &files, ..Place::default() }.good();
    assert_eq!(keys(&settings), ["dotenv-1", "dotenv-2"]);
}

#[test]
fn a_file_of_settings_can_be_named() {
    let files = [
        ("libra.toml", "strategy = 'random'"),
        ("other.toml", "log = 'warn'\nkeys_file = 'pool.txt'"),
        ("pool.txt", "a\nb\n"),
    ];
    let options = Options { config: Some(PathBuf::from("other.toml")), ..Options::default() };
    let settings = Place { options, files: &files, ..Place::default() }.good();
    assert_eq!(settings.log, "warn");
    assert_eq!(keys(&settings), ["a", "b"]);
    assert_eq!(settings.config.strategy, libra_core::config::Strategy::Headroom);
}

#[test]
fn errors_name_the_setting_where_it_stands() {
    let check = |place: Place<'_>, expected: &str| assert_eq!(place.read().expect_err(expected), expected);
    let environment = |vars, expected: &str| check(Place { environment: vars, ..Place::default() }, expected);
    let files = |files, expected: &str| check(Place { files, ..Place::default() }, expected);
    let strategies = "is not one of headroom, round-robin, time-window, random, least-used";
    environment(&[("LIBRA_STRATEGY", "fastest")], &format!("LIBRA_STRATEGY: \"fastest\" {strategies}"));
    files(&[(".env", "LIBRA_STRATEGY=x")], &format!("LIBRA_STRATEGY (.env, line 1): \"x\" {strategies}"));
    files(&[("libra.toml", "strategy = 'x'")], &format!("strategy (libra.toml, line 1): \"x\" {strategies}"));
    check(
        Place {
            options: Options { upstream: Some("x".to_owned()), ..Options::default() },
            ..Place::default()
        },
        "--upstream: is no http or https address; write it like https://example.com or https://example.com/path",
    );
    check(
        Place {
            options: Options { config: Some("x.toml".into()), ..Options::default() },
            ..Place::default()
        },
        "x.toml: cannot be read: entity not found",
    );
    environment(
        &[("LIBRA_LOG", "loud")],
        "LIBRA_LOG: \"loud\" is not one of off, error, warn, info, debug, trace (or module=level, parted by commas)",
    );
    environment(
        &[("LIBRA_KEYS_FILE", SECRET)],
        "LIBRA_KEYS_FILE: the file that it names cannot be read: entity not found",
    );
    let file = format!("[[keys]]\nkey = '{SECRET}'\n[[keys]]\nname = 'p'");
    check(
        Place { files: &[("libra.toml", &file)], ..Place::default() },
        "keys (libra.toml, line 1): entry 2: needs a text named key",
    );
    files(
        &[("libra.toml", "[[projects]]\nname = 'a'\ntier = 'gold'")],
        "projects (libra.toml, line 1): project \"a\": tier: \"gold\" is not one of free, paid, unknown",
    );
    files(&[(".env", SECRET)], ".env: line 1 is not of the form NAME=VALUE");
    files(&[("libra.toml", SECRET)], "libra.toml: line 1 is not valid TOML");
    files(
        &[("libra.toml", "stratgy = 'x'")],
        "libra.toml: there is no setting \"stratgy\"; is strategy meant?",
    );
}

#[test]
fn mistyped_names_are_told() {
    let environment = [
        ("LIBRA_STRATGEY", "random"),
        ("LIBRA_WHATEVER_IT_IS", "1"),
        ("BACKUP_API_KEY", "a"),
        ("LIBRA_KEYS_101", "a"),
        ("LIBRARY_PATH", "/usr/lib"),
        ("HOME", "/root"),
    ];
    let settings = Place { environment: &environment, ..Place::default() }.good();
    let told: Vec<String> = settings.notices.iter().map(Notice::to_string).collect();
    assert_eq!(
        told,
        [
            "BACKUP_API_KEY is set, but there is no such setting; is BACKUP_API_KEYS meant?",
            "LIBRA_KEYS_101 is set, but there is no such setting",
            "LIBRA_STRATGEY is set, but there is no such setting; is LIBRA_STRATEGY meant?",
            "LIBRA_WHATEVER_IT_IS is set, but there is no such setting",
        ]
    );
}

#[test]
fn proxies_are_read_in_either_case_and_never_shown() {
    let environment = [
        ("HTTPS_PROXY", "http://upper"),
        ("https_proxy", " http://user:word-of-the-proxy@lower "),
        ("ALL_PROXY", "socks5h://all"),
    ];
    let files = [(".env", "NO_PROXY=localhost\nall_proxy=http://weaker")];
    let settings = Place { environment: &environment, files: &files, ..Place::default() }.good();
    assert_eq!(settings.proxies.https.as_deref(), Some("http://user:word-of-the-proxy@lower"));
    assert_eq!(settings.proxies.all.as_deref(), Some("socks5h://all"));
    assert_eq!(settings.proxies.none.as_deref(), Some("localhost"));
    assert!(!format!("{settings:?}").contains("word-of-the-proxy"));
}

#[test]
fn a_demo_leaves_real_keys_aside() {
    let environment = [
        ("BACKUP_API_KEYS", SECRET),
        ("TRUSTED_API_KEYS", "client"),
        ("LIBRA_PAID_CLIENTS", "other"),
        ("LIBRA_PROJECTS", "{\"a\": {\"tier\": \"paid\"}}"),
        ("LIBRA_UPSTREAM", "https://real.example"),
        ("CUSTOM_LLM_API_KEY", SECRET),
        ("HTTPS_PROXY", "http://proxy"),
        ("LIBRA_STRATEGY", "random"),
    ];
    let options = Options { demo: true, ..Options::default() };
    let settings = Place { options, environment: &environment, files: &[] }.good();
    assert!(settings.demo && settings.config.keys.is_empty() && settings.config.clients.is_empty());
    assert_eq!(settings.config.projects, []);
    assert_eq!(settings.config.upstream, Config::default().upstream);
    assert_eq!(settings.proxies, Proxies::default());
    assert_eq!(settings.config.strategy, libra_core::config::Strategy::Random);
    assert_eq!(settings.notices, []);
}

#[test]
fn what_is_logged_is_checked() {
    let check =
        |text: &str, expected: Option<&str>| assert_eq!(directives(text).ok().as_deref(), expected, "{text}");
    check("debug", Some("debug"));
    check(" WARN ", Some("warn"));
    check("info, libra=debug,hyper_util::client=trace", Some("info,libra=debug,hyper_util::client=trace"));
    for text in ["", "loud", "libra=", "a b=info", "info,,warn", "libra[x]=info"] {
        check(text, None);
    }
}

#[test]
fn the_documents_examples_are_good() {
    let documents = [
        include_str!("../../../../docs/configuration.md"),
        include_str!("../../../../docs/configuration.zh-CN.md"),
    ];
    for document in documents {
        let mut blocks = document.split("```");
        let mut read = 0;
        while let (Some(_), Some(block)) = (blocks.next(), blocks.next()) {
            let (language, text) = block.split_once('\n').expect("a block has lines");
            let name = match language {
                "sh" => continue,
                "toml" => "libra.toml",
                _ => ".env",
            };
            Place { files: &[(name, text)], ..Place::default() }.good();
            read += 1;
        }
        assert_eq!(read, 8);
    }
    let sample = include_str!("../../../../.env.sample");
    let all =
        sample.lines().map(|line| line.strip_prefix("# ").filter(|line| line.contains('=')).unwrap_or("# -"));
    let all = all.filter(|line| !line.contains(' ')).collect::<Vec<_>>().join("\n");
    let settings = Place { files: &[(".env", &all)], ..Place::default() }.good();
    assert_eq!(format!("{:?}", settings.config), format!("{:?}", Config::default()));
    assert_eq!(settings.log, "info");
}
