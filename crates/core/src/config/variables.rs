//! The table of all settings: what there is, what it is when it is not set, and what it means.
//!
//! Help texts and the check for mistyped names are made from it; the documents are tested against it.

use super::lists::MAX_PARTS;

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name in the environment.
    pub name: &'static str,
    /// What it is when not set, as it would be written. Empty: nothing.
    pub default: &'static str,
    /// What it means, in one line.
    pub meaning: &'static str,
    /// What it belongs to.
    pub group: Group,
}

/// What settings are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The pool and who may use it.
    Keys,
    /// The choice of keys, failing over, and times.
    Attempts,
    /// Model names.
    Models,
    /// What the server offers, and where.
    Server,
    /// The OpenAI-compatible service that takes over.
    CustomLlm,
    /// How the network is reached.
    Network,
}

impl Group {
    /// All groups, in the order in which they are shown.
    pub const ALL: [Self; 6] =
        [Self::Keys, Self::Attempts, Self::Models, Self::Server, Self::CustomLlm, Self::Network];

    /// The group's heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Keys => "Keys",
            Self::Attempts => "Choosing keys and failing over",
            Self::Models => "Models",
            Self::Server => "Server",
            Self::CustomLlm => "A service that takes over",
            Self::Network => "Network",
        }
    }
}

const fn variable(
    group: Group,
    name: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Variable {
    Variable { name, default, meaning, group }
}

/// All settings.
pub const VARIABLES: [Variable; 68] = [
    variable(Group::Keys, "LIBRA_KEYS", "", "the pool: Gemini keys, each as KEY or project:KEY"),
    variable(Group::Keys, "LIBRA_KEYS_FILE", "", "a file with keys of the pool, a line a key, # comments"),
    variable(Group::Keys, "BACKUP_API_KEYS", "", "the same as LIBRA_KEYS, under its former name"),
    variable(Group::Keys, "BACKUP_API_KEYS_FILE", "", "the same as LIBRA_KEYS_FILE"),
    variable(Group::Keys, "LIBRA_CLIENTS", "", "the client keys that may use the pool"),
    variable(Group::Keys, "LIBRA_CLIENTS_FILE", "", "a file with client keys, a line a key, # comments"),
    variable(Group::Keys, "TRUSTED_API_KEYS", "", "the same as LIBRA_CLIENTS, under its former name"),
    variable(Group::Keys, "TRUSTED_API_KEYS_FILE", "", "the same as LIBRA_CLIENTS_FILE"),
    variable(
        Group::Keys,
        "LIBRA_PAID_CLIENTS",
        "",
        "client keys, not listed elsewhere, that are served by paid projects only",
    ),
    variable(Group::Keys, "LIBRA_PAID_CLIENTS_FILE", "", "a file with such keys, a line a key, # comments"),
    variable(
        Group::Keys,
        "LIBRA_CLIENT_KEYS",
        "allow",
        "allow or deny: whether clients may bring several Gemini keys of their own where a pool is set",
    ),
    variable(
        Group::Keys,
        "LIBRA_PROJECTS",
        "",
        "what projects are, as JSON: {\"team-a\":{\"tier\":\"paid\",\"max_per_day\":{\"requests\":1000}}}",
    ),
    variable(
        Group::Keys,
        "LIBRA_PRICES",
        "",
        "prices of a million tokens, for max_per_day.cost: pattern=input/output;pattern=input/output",
    ),
    variable(
        Group::Keys,
        "LIBRA_PROJECT_PROBE",
        "off",
        "on or off: whether to find out at the start which keys share a project, with a small file in each",
    ),
    variable(
        Group::Attempts,
        "LIBRA_STRATEGY",
        "headroom",
        "how the next key is chosen: headroom, round-robin, time-window, random or least-used",
    ),
    variable(
        Group::Attempts,
        "LIBRA_AFFINITY",
        "on",
        "on or off: whether conversations stay with their project while it has room",
    ),
    variable(
        Group::Attempts,
        "LIBRA_QUEUE_WAIT",
        "20s",
        "how long a request may wait for a project to have room; 0: not at all",
    ),
    variable(Group::Attempts, "LIBRA_QUEUE_SIZE", "1000", "how many requests may wait, 1 to 100000"),
    variable(
        Group::Attempts,
        "LIBRA_MAX_ATTEMPTS",
        "",
        "attempts a request gets at most, 1 to 100; not set: every key once, at most 10",
    ),
    variable(
        Group::Attempts,
        "LIBRA_RETRY_BUDGET",
        "20%",
        "retries after overload, silence or empty answers, as a share of all requests; off: no bound",
    ),
    variable(
        Group::Attempts,
        "LIBRA_HEDGE_AFTER",
        "",
        "how long an attempt may show nothing before a second one begins beside it; not set: there is no second",
    ),
    variable(
        Group::Attempts,
        "LIBRA_FIRST_BYTE_TIMEOUT",
        "45s",
        "how long a stream may take to its first event",
    ),
    variable(
        Group::Attempts,
        "LIBRA_ANSWER_TIMEOUT",
        "300s",
        "how long an answer that is no stream may take",
    ),
    variable(
        Group::Attempts,
        "LIBRA_HEARTBEAT",
        "10s",
        "how long a client waits for a stream (not Gemini's own) without a sign of life; 0: for ever",
    ),
    variable(
        Group::Attempts,
        "LIBRA_IDLE_TIMEOUT",
        "300s",
        "how long an answer that has begun may be silent",
    ),
    variable(
        Group::Attempts,
        "LIBRA_DEADLINE",
        "600s",
        "how long a request may take until its answer begins, all attempts together",
    ),
    variable(
        Group::Attempts,
        "LIBRA_REPLAY_LIMIT",
        "32MiB",
        "the largest request body that is kept for another attempt, at most 1GiB",
    ),
    variable(
        Group::Attempts,
        "LIBRA_BODY_LIMIT",
        "100MiB",
        "the largest request body that is taken at all, 1KiB to 16GiB",
    ),
    variable(
        Group::Attempts,
        "LIBRA_MEMORY",
        "",
        "how much of bodies and answers is held in memory altogether; not set: a quarter of what there is",
    ),
    variable(
        Group::Models,
        "LIBRA_MODEL_ALIASES",
        "",
        "what model names stand for: pattern=model,model;pattern=model, before the built-in ones",
    ),
    variable(
        Group::Models,
        "LIBRA_MODEL_FALLBACKS",
        "",
        "the models to turn to where one cannot serve: pattern=model,model;pattern=model",
    ),
    variable(
        Group::Models,
        "LIBRA_MODELS",
        "",
        "the models that are listed and served, * and ? allowed; not set: all",
    ),
    variable(
        Group::Models,
        "LIBRA_MODELS_DENY",
        "",
        "the models that are neither listed nor served, * and ? allowed",
    ),
    variable(
        Group::Models,
        "LIBRA_SUFFIXES",
        "",
        "suffixes of models' names that lists show: -search, -nothinking, -thinking-8192, (high); off: none is read",
    ),
    variable(
        Group::Models,
        "LIBRA_SAFETY",
        "client",
        "what Gemini blocks where the client does not say: client, off, block-none, block-only-high and so on",
    ),
    variable(
        Group::Models,
        "LIBRA_SAFETY_CLIENTS",
        "",
        "client keys with a threshold of their own: off:KEY,block-only-high:KEY",
    ),
    variable(Group::Models, "LIBRA_SAFETY_CLIENTS_FILE", "", "a file with such entries, a line each"),
    variable(
        Group::Models,
        "LIBRA_SIGNATURES_IN_IDS",
        "off",
        "on or off: whether thought signatures go into the ids of tool calls, for several instances",
    ),
    variable(
        Group::Models,
        "LIBRA_VERIFY_MODEL",
        "gemini-3.5-flash-lite",
        "the model on which keys are checked",
    ),
    variable(
        Group::Server,
        "LIBRA_LISTEN",
        "127.0.0.1:8080",
        "the address to listen on; :8080 means all addresses",
    ),
    variable(
        Group::Server,
        "PORT",
        "",
        "the port to listen on, on all addresses, where LIBRA_LISTEN is not set",
    ),
    variable(
        Group::Server,
        "LIBRA_BASE_PATH",
        "",
        "the path under which a reverse proxy serves the gateway, like /gemini",
    ),
    variable(
        Group::Server,
        "LIBRA_PUBLIC_URL",
        "",
        "where clients reach the gateway, for addresses in answers; not set: as each client calls it",
    ),
    variable(
        Group::Server,
        "LIBRA_HOME",
        "on",
        "on or off: whether / shows a page that says how to call the gateway",
    ),
    variable(
        Group::Server,
        "LIBRA_VERIFY",
        "open",
        "who may have keys checked at /verify: open (everybody, within limits), trusted or off",
    ),
    variable(
        Group::Server,
        "LIBRA_ADMIN_TOKEN",
        "",
        "the token that opens /admin, 16 characters or more; not set: there is no /admin",
    ),
    variable(
        Group::Server,
        "LIBRA_TRUSTED_PROXIES",
        "",
        "proxies whose word about a client's address counts: networks, addresses, loopback, private",
    ),
    variable(
        Group::Server,
        "LIBRA_DATA",
        "",
        "the folder for what outlives a restart; not set: libra in the platform's data directory; off: none",
    ),
    variable(
        Group::Server,
        "LIBRA_SECRET",
        "",
        "what seals contents in it, 32 characters or more; not set: made at the first start, in a file there",
    ),
    variable(Group::Server, "LIBRA_SECRET_NEW", "", "the secret that is to follow it: see libra keys rekey"),
    variable(
        Group::Server,
        "LIBRA_RETENTION_DAYS",
        "30",
        "how many days logs, counters and thought signatures are stored, 1 to 3650",
    ),
    variable(
        Group::Server,
        "LIBRA_RETENTION_SIZE",
        "500MB",
        "how large the store may grow, 10MB to 1000GB: then the oldest entries of the log go first",
    ),
    variable(
        Group::Server,
        "LIBRA_LIVE_SESSIONS",
        "1000",
        "how many sessions of the Live API there may be at once, up to 100000; 0: none",
    ),
    variable(
        Group::Server,
        "LIBRA_LIVE_IDLE",
        "10m",
        "how long a session of the Live API may be silent on both sides; 0: for ever",
    ),
    variable(
        Group::Server,
        "LIBRA_LIVE_LIMIT",
        "0",
        "how long a session of the Live API may last; 0: as long as Google lets it",
    ),
    variable(
        Group::Server,
        "LIBRA_LOG",
        "info",
        "what is logged: error, warn, info, debug, trace or off, also by module (info,libra=debug)",
    ),
    variable(
        Group::CustomLlm,
        "CUSTOM_LLM_BASE_URL",
        "",
        "an OpenAI-compatible service that takes chats over when the whole pool is exhausted",
    ),
    variable(Group::CustomLlm, "CUSTOM_LLM_API_KEY", "", "its key"),
    variable(Group::CustomLlm, "CUSTOM_LLM_MODELS", "", "the models that always go there, * and ? allowed"),
    variable(
        Group::CustomLlm,
        "CUSTOM_LLM_MODEL",
        "",
        "the model to ask it for when it takes over; not set: the one that was asked for",
    ),
    variable(
        Group::Network,
        "LIBRA_UPSTREAM",
        "https://generativelanguage.googleapis.com",
        "where Gemini is, without a version",
    ),
    variable(
        Group::Network,
        "LIBRA_FETCH",
        "trusted",
        "images and files by address: trusted (fetched for clients of the pool), pass (to Google) or off",
    ),
    variable(
        Group::Network,
        "LIBRA_FETCH_ALLOW",
        "",
        "networks that are fetched from besides the internet: addresses, loopback, private",
    ),
    variable(Group::Network, "LIBRA_FETCH_LIMIT", "20MiB", "the largest file that is fetched, 1KiB to 1GiB"),
    variable(
        Group::Network,
        "LIBRA_FETCH_TIMEOUT",
        "30s",
        "how long fetching all files of a request may take",
    ),
    variable(
        Group::Network,
        "HTTPS_PROXY",
        "",
        "the proxy to reach https addresses through: http://, socks5:// or socks5h://",
    ),
    variable(Group::Network, "ALL_PROXY", "", "the proxy for every address that has no other"),
    variable(Group::Network, "NO_PROXY", "", "the hosts that are reached without a proxy"),
];

/// The names of lists that may also come as `NAME_1` to `NAME_100` and as `NAME_FILE`, each with the plain name
/// that it shares with its other name.
const LISTS: [(&str, &str); 5] = [
    ("LIBRA_KEYS", "LIBRA_KEYS"),
    ("BACKUP_API_KEYS", "LIBRA_KEYS"),
    ("LIBRA_CLIENTS", "LIBRA_CLIENTS"),
    ("TRUSTED_API_KEYS", "LIBRA_CLIENTS"),
    ("LIBRA_PAID_CLIENTS", "LIBRA_PAID_CLIENTS"),
];

/// The plain name of the list that a variable is a part of: `LIBRA_KEYS` for `BACKUP_API_KEYS_7`. None for all
/// variables that are no part of a list of keys.
///
/// Where settings come from several places, all parts of a list come from the same: the keys of the environment
/// take the place of those in a file and are not added to them.
pub fn list_of(name: &str) -> Option<&'static str> {
    LISTS.iter().find_map(|(list, plain)| {
        let rest = name.strip_prefix(list)?;
        let is_part = match rest.strip_prefix('_') {
            None => rest.is_empty(),
            Some("FILE") => true,
            Some(number) => {
                number.parse().is_ok_and(|n: usize| (1..=MAX_PARTS).contains(&n) && n.to_string() == number)
            }
        };
        is_part.then_some(*plain)
    })
}

/// The settings that count as soon as they change. All others are read once, at the start.
const LIVE: [&str; 43] = [
    "LIBRA_KEYS",
    "BACKUP_API_KEYS",
    "LIBRA_CLIENTS",
    "TRUSTED_API_KEYS",
    "LIBRA_PAID_CLIENTS",
    "LIBRA_SAFETY_CLIENTS",
    "LIBRA_CLIENT_KEYS",
    "LIBRA_PROJECTS",
    "LIBRA_PRICES",
    "LIBRA_STRATEGY",
    "LIBRA_AFFINITY",
    "LIBRA_QUEUE_WAIT",
    "LIBRA_QUEUE_SIZE",
    "LIBRA_MAX_ATTEMPTS",
    "LIBRA_RETRY_BUDGET",
    "LIBRA_HEDGE_AFTER",
    "LIBRA_FIRST_BYTE_TIMEOUT",
    "LIBRA_ANSWER_TIMEOUT",
    "LIBRA_HEARTBEAT",
    "LIBRA_IDLE_TIMEOUT",
    "LIBRA_DEADLINE",
    "LIBRA_REPLAY_LIMIT",
    "LIBRA_BODY_LIMIT",
    "LIBRA_MODEL_ALIASES",
    "LIBRA_MODEL_FALLBACKS",
    "LIBRA_SIGNATURES_IN_IDS",
    "LIBRA_SUFFIXES",
    "LIBRA_SAFETY",
    "LIBRA_MODELS",
    "LIBRA_MODELS_DENY",
    "LIBRA_VERIFY",
    "LIBRA_VERIFY_MODEL",
    "LIBRA_BASE_PATH",
    "LIBRA_PUBLIC_URL",
    "LIBRA_HOME",
    "LIBRA_TRUSTED_PROXIES",
    "LIBRA_UPSTREAM",
    "LIBRA_FETCH",
    "LIBRA_FETCH_LIMIT",
    "LIBRA_FETCH_TIMEOUT",
    "LIBRA_LIVE_IDLE",
    "LIBRA_LIVE_LIMIT",
    "LIBRA_LIVE_SESSIONS",
];

/// Words in the names of settings whose values are never shown. Proxies' addresses may hold passwords.
const SECRET: [&str; 8] =
    ["TOKEN", "SECRET", "API_KEY", "PASSWORD", "SAFETY_CLIENTS", "HEADERS", "WEBHOOK", "_PROXY"];

/// Whether a setting counts as soon as it changes, without a restart.
pub fn is_live(name: &str) -> bool {
    LIVE.contains(&name) || name.starts_with("CUSTOM_LLM_")
}

/// Whether the value of a setting is never shown.
pub fn is_secret(name: &str) -> bool {
    list_of(name).is_some() || SECRET.iter().any(|word| name.contains(word))
}

/// A value as messages may show it: in quotes where it is too short to be a key, else only its length.
pub fn quoted(value: &str) -> String {
    let length = value.chars().count();
    if length <= LONGEST_SHOWN && !value.chars().any(char::is_control) {
        return format!("\"{value}\"");
    }
    format!("the value given ({length} characters)")
}

/// Shorter than any service's keys, longer than most words that a setting allows.
const LONGEST_SHOWN: usize = 19;
