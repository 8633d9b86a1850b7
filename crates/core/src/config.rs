//! Settings, as a struct that is swapped whole.
//!
//! Variables and `libra.toml` fill the same struct through one lookup, `|name| -> Option<String>`; the shells
//! say where a name is looked up. Every setting is documented in `.env.sample` and in [`VARIABLES`].
//!
//! No message made here shows a key: lists are quoted by position, other values only where they are too short
//! to be one. Names of projects are shown: what looks like a key is none.

mod keys;
mod lists;
mod models;
mod notice;
mod prices;
mod projects;
mod proxy;
mod values;
mod variables;
mod weak;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::Uri;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

pub use self::keys::{MAX_KEY_BYTES, MAX_KEYS, parse_keys};
pub use self::lists::{MAX_LIST_BYTES, MAX_PARTS};
pub use self::models::AliasFor;
pub(crate) use self::models::pattern as model_pattern;
pub use self::notice::Notice;
pub use self::prices::Price;
pub use self::projects::{
    ModelLimits, ProjectSettings, Tier, label as read_label, project_name as read_project_name,
};
pub use self::proxy::{ProxyAddress, read_proxies};
pub(crate) use self::values::networks as read_network;
pub use self::values::{duration as read_duration, listen as read_listen, size as read_size};
pub use self::variables::{Group, VARIABLES, Variable, is_live, is_secret, list_of, quoted};
pub use self::weak::{Weakness, weakness};

use self::lists::Source;
use crate::clients::Clients;
pub use crate::gemini::tuning::Safety;
use crate::secret::{ApiKey, KeyId};

/// Everything that can be set. [`Config::default`] is what an empty environment gives.
#[derive(Debug, Clone)]
pub struct Config {
    /// The pool: `LIBRA_KEYS`, formerly `BACKUP_API_KEYS`. In the order given, without duplicates and without
    /// any key that is also in [`clients`](Self::clients).
    pub keys: Vec<PoolKey>,
    /// What is said of projects: `LIBRA_PROJECTS`, and tables of `LIBRA_KEYS`. Each name once.
    pub projects: Vec<ProjectSettings>,
    /// What models cost, for projects with a limit on their cost: `LIBRA_PRICES`. The first that matches counts.
    pub prices: Vec<Price>,
    /// The clients that may use the pool, and what each may: `LIBRA_CLIENTS`, formerly `TRUSTED_API_KEYS`,
    /// `LIBRA_PAID_CLIENTS` and `LIBRA_SAFETY_CLIENTS`.
    pub clients: Clients,
    /// Whether no client may take what others may still want of a day that is short: `LIBRA_FAIR_SHARES`.
    pub fair_shares: bool,
    /// Whether clients may bring keys of their own where a pool is set: `LIBRA_CLIENT_KEYS`.
    pub client_keys: ClientKeys,
    /// How the next key is chosen: `LIBRA_STRATEGY`.
    pub strategy: Strategy,
    /// Whether conversations stay with their project while it has room: `LIBRA_AFFINITY`.
    pub affinity: bool,
    /// How long a request may wait for a project to have room: `LIBRA_QUEUE_WAIT`. Zero: not at all.
    pub queue_wait: Duration,
    /// How many requests may wait, at least one: `LIBRA_QUEUE_SIZE`.
    pub queue_size: usize,
    /// Where Gemini is: `LIBRA_UPSTREAM`. Scheme and authority, with an optional path prefix that ends
    /// without a slash (the path of an address without one is `/`).
    pub upstream: Uri,
    /// The address to listen on: `LIBRA_LISTEN`, or `PORT` (then on all addresses).
    pub listen: SocketAddr,
    /// The path under which a reverse proxy serves the gateway: `LIBRA_BASE_PATH`. Empty, or `/like/this`.
    pub base_path: String,
    /// Where clients reach the gateway: `LIBRA_PUBLIC_URL`, with the base path, without a slash at the end. None: where
    /// the client's own request says.
    pub public_url: Option<String>,
    /// Whether projects reach Gemini from different addresses, as a shell with several proxies says.
    pub several_ways: bool,
    /// How many attempts a request gets at most: `LIBRA_MAX_ATTEMPTS`. None: every key once, at most 10.
    pub max_attempts: Option<u32>,
    /// How many retries into what may be an overload a hundred requests are worth: `LIBRA_RETRY_BUDGET`. None: as
    /// many as there are.
    pub retry_budget: Option<u8>,
    /// How long an attempt may show nothing before a second one begins beside it: `LIBRA_HEDGE_AFTER`. None: there
    /// is never a second.
    pub hedge_after: Option<Duration>,
    /// How long a stream may take to its first event: `LIBRA_FIRST_BYTE_TIMEOUT`.
    pub first_byte_timeout: Duration,
    /// How long an answer that is no stream may take: `LIBRA_ANSWER_TIMEOUT`.
    pub answer_timeout: Duration,
    /// How long a client waits for a stream without any sign of life: `LIBRA_HEARTBEAT`. Zero: for ever.
    pub heartbeat: Duration,
    /// How long a committed answer may be silent: `LIBRA_IDLE_TIMEOUT`.
    pub idle_timeout: Duration,
    /// How long a request may take until its answer begins, all attempts together: `LIBRA_DEADLINE`.
    pub deadline: Duration,
    /// The largest body kept for another attempt, in bytes: `LIBRA_REPLAY_LIMIT`.
    pub replay_limit: u64,
    /// The largest body taken at all, in bytes: `LIBRA_BODY_LIMIT`.
    pub body_limit: u64,
    /// How much of request bodies and answers is held in memory altogether, in bytes: `LIBRA_MEMORY`. None: the
    /// shell decides by what the machine has, else [`DEFAULT_MEMORY`].
    pub memory: Option<u64>,
    /// How many calls of the network one request may make where it asks many projects, or about many keys. No setting: a
    /// shell says it, where its platform counts them.
    pub most_calls: Option<u32>,
    /// Foreign model names and what they stand for: `LIBRA_MODEL_ALIASES`, before the built-in ones.
    pub model_aliases: Vec<ModelAlias>,
    /// Gemini models and those to turn to where they cannot serve: `LIBRA_MODEL_FALLBACKS`.
    pub model_fallbacks: Vec<ModelAlias>,
    /// Whether thought signatures go into the ids of calls, too: `LIBRA_SIGNATURES_IN_IDS`.
    pub signatures_in_ids: bool,
    /// What may stand behind a model's name: `LIBRA_SUFFIXES`.
    pub suffixes: Suffixes,
    /// What Gemini is to block where the client does not say: `LIBRA_SAFETY`.
    pub safety: Safety,
    /// The models that are listed and served: `LIBRA_MODELS`. Empty: all.
    pub models: Vec<WildMatch>,
    /// The models that are neither listed nor served: `LIBRA_MODELS_DENY`.
    pub models_deny: Vec<WildMatch>,
    /// Who may have keys checked at `/verify`: `LIBRA_VERIFY`.
    pub verify: Verify,
    /// The model that checks use: `LIBRA_VERIFY_MODEL`.
    pub verify_model: String,
    /// What opens `/admin`: `LIBRA_ADMIN_TOKEN`. None: there is no such path.
    pub admin_token: Option<ApiKey>,
    /// What opens it for looking alone: `LIBRA_ADMIN_READ_TOKEN`.
    pub admin_read_token: Option<ApiKey>,
    /// Whether it is found out at the start which keys share a project, with a file in each: `LIBRA_PROJECT_PROBE`.
    pub project_probe: bool,
    /// Whether `/` shows a page: `LIBRA_HOME`.
    pub home: bool,
    /// The proxies whose word about a client's address counts: `LIBRA_TRUSTED_PROXIES`.
    pub trusted_proxies: Vec<IpNet>,
    /// What becomes of media that requests name by address: `LIBRA_FETCH`.
    pub fetch: Fetch,
    /// The networks that media are fetched from besides the internet, on any port: `LIBRA_FETCH_ALLOW`.
    pub fetch_allow: Vec<IpNet>,
    /// The largest file that is fetched, in bytes: `LIBRA_FETCH_LIMIT`.
    pub fetch_limit: u64,
    /// How long fetching all media of a request may take: `LIBRA_FETCH_TIMEOUT`.
    pub fetch_timeout: Duration,
    /// How long a session of the Live API may be silent: `LIBRA_LIVE_IDLE`. None: for ever.
    pub live_idle: Option<Duration>,
    /// How long one may last: `LIBRA_LIVE_LIMIT`. None: as long as Google lets it.
    pub live_limit: Option<Duration>,
    /// How many there may be at once: `LIBRA_LIVE_SESSIONS`.
    pub live_sessions: usize,
    /// An OpenAI-compatible service that takes over: `CUSTOM_LLM_…`.
    pub custom_llm: Option<CustomLlm>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            projects: Vec::new(),
            prices: Vec::new(),
            clients: Clients::default(),
            fair_shares: true,
            client_keys: ClientKeys::Allow,
            strategy: Strategy::Headroom,
            affinity: true,
            queue_wait: Duration::from_secs(20),
            queue_size: 1000,
            upstream: Uri::from_static("https://generativelanguage.googleapis.com"),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), values::DEFAULT_PORT),
            base_path: String::new(),
            public_url: None,
            several_ways: false,
            max_attempts: None,
            retry_budget: Some(20),
            hedge_after: None,
            first_byte_timeout: Duration::from_secs(45),
            answer_timeout: Duration::from_secs(300),
            heartbeat: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(300),
            deadline: Duration::from_secs(600),
            replay_limit: 32 * values::MIB,
            body_limit: 100 * values::MIB,
            memory: None,
            most_calls: None,
            model_aliases: Vec::new(),
            model_fallbacks: Vec::new(),
            signatures_in_ids: false,
            suffixes: Suffixes::Listed(Vec::new()),
            safety: Safety::Client,
            models: Vec::new(),
            models_deny: Vec::new(),
            verify: Verify::Open,
            verify_model: models::SMALL.to_owned(),
            admin_token: None,
            admin_read_token: None,
            project_probe: false,
            home: true,
            trusted_proxies: Vec::new(),
            fetch: Fetch::Trusted,
            fetch_allow: Vec::new(),
            fetch_limit: 20 * values::MIB,
            fetch_timeout: Duration::from_secs(30),
            live_idle: Some(Duration::from_secs(600)),
            live_limit: None,
            live_sessions: 1000,
            custom_llm: None,
        }
    }
}

impl Config {
    /// What Gemini is to block for a client that does not say.
    pub fn safety_for(&self, client: KeyId) -> Safety {
        let own = self.clients.find(client).and_then(|client| client.settings.safety);
        own.unwrap_or(self.safety)
    }

    /// What so many tokens of a model cost, in millionths of what prices are in. Nothing, where it has no price.
    pub fn cost_millionths(&self, model: &str, input_tokens: u64, output_tokens: u64) -> u64 {
        let price = self.prices.iter().find(|price| price.models.matches(model));
        // Prices are for a million tokens.
        price.map_or(0, |price| (price.cost(input_tokens, output_tokens) * 1e6).ceil() as u64)
    }

    /// Reads the settings.
    ///
    /// `lookup` gives a variable's value by its name; a blank value counts as none. `read_file` gives the text
    /// of the file that a `…_FILE` variable names, or says in a few words why it cannot be read (it should read
    /// no more than [`MAX_LIST_BYTES`]); a shell without files always says so.
    ///
    /// # Errors
    /// The first variable whose value cannot be used.
    pub fn from_vars(
        lookup: impl Fn(&str) -> Option<String>,
        read_file: impl Fn(&str) -> Result<String, String>,
    ) -> Result<(Self, Vec<Notice>), ConfigError> {
        let source = Source { lookup: &lookup, read_file: &read_file };
        let mut notices = Vec::new();
        let default = Self::default();
        let prices = source.value("LIBRA_PRICES", prices::prices)?.unwrap_or(default.prices);
        let keys = keys::read_all(&source, !prices.is_empty(), &mut notices)?;
        let [admin_token, admin_read_token] = admin_tokens(&source, &keys)?;
        let timeout = |name, default: Duration| {
            source.value(name, values::duration).map(|value| value.unwrap_or(default))
        };
        let upstream = source.value("LIBRA_UPSTREAM", values::upstream)?.unwrap_or(default.upstream);
        let custom_llm = custom_llm(&source)?;
        let addresses = [
            ("LIBRA_UPSTREAM", Some(&upstream)),
            ("CUSTOM_LLM_BASE_URL", custom_llm.as_ref().map(|service| &service.base_url)),
        ];
        for (variable, address) in addresses {
            if address.is_some_and(|address| !values::is_private_way(address)) {
                notices.push(Notice::PlainHttp { variable });
            }
        }
        let config = Self {
            admin_token,
            admin_read_token,
            keys: keys.pool,
            projects: keys.projects,
            prices,
            clients: keys.clients,
            fair_shares: source.value("LIBRA_FAIR_SHARES", values::switch)?.unwrap_or(default.fair_shares),
            client_keys: source
                .value("LIBRA_CLIENT_KEYS", |text| {
                    values::choice(text, &[("allow", ClientKeys::Allow), ("deny", ClientKeys::Deny)])
                })?
                .unwrap_or(default.client_keys),
            strategy: source
                .value("LIBRA_STRATEGY", |text| values::choice(text, &STRATEGIES))?
                .unwrap_or(default.strategy),
            affinity: source.value("LIBRA_AFFINITY", values::switch)?.unwrap_or(default.affinity),
            queue_wait: source
                .value("LIBRA_QUEUE_WAIT", values::duration_or_none)?
                .map_or(default.queue_wait, Option::unwrap_or_default),
            queue_size: source.value("LIBRA_QUEUE_SIZE", values::queue_size)?.unwrap_or(default.queue_size),
            upstream,
            listen: listen(&source)?.unwrap_or(default.listen),
            base_path: source.value("LIBRA_BASE_PATH", values::base_path)?.unwrap_or(default.base_path),
            public_url: source.value("LIBRA_PUBLIC_URL", values::public_url)?,
            several_ways: default.several_ways,
            max_attempts: source.value("LIBRA_MAX_ATTEMPTS", values::attempts)?,
            retry_budget: source
                .value("LIBRA_RETRY_BUDGET", values::percent_or_none)?
                .unwrap_or(default.retry_budget),
            hedge_after: source
                .value("LIBRA_HEDGE_AFTER", values::duration_or_none)?
                .unwrap_or(default.hedge_after),
            first_byte_timeout: timeout("LIBRA_FIRST_BYTE_TIMEOUT", default.first_byte_timeout)?,
            answer_timeout: timeout("LIBRA_ANSWER_TIMEOUT", default.answer_timeout)?,
            heartbeat: source
                .value("LIBRA_HEARTBEAT", values::duration_or_none)?
                .map_or(default.heartbeat, Option::unwrap_or_default),
            idle_timeout: timeout("LIBRA_IDLE_TIMEOUT", default.idle_timeout)?,
            deadline: timeout("LIBRA_DEADLINE", default.deadline)?,
            replay_limit: source
                .value("LIBRA_REPLAY_LIMIT", |text| values::size(text, 0, values::GIB))?
                .unwrap_or(default.replay_limit),
            body_limit: source
                .value("LIBRA_BODY_LIMIT", |text| values::size(text, values::KIB, 16 * values::GIB))?
                .unwrap_or(default.body_limit),
            most_calls: None,
            memory: source
                .value("LIBRA_MEMORY", |text| values::size(text, values::MIB, 1024 * values::GIB))?,
            model_aliases: source
                .value("LIBRA_MODEL_ALIASES", models::aliases)?
                .unwrap_or(default.model_aliases),
            model_fallbacks: source
                .value("LIBRA_MODEL_FALLBACKS", models::aliases)?
                .unwrap_or(default.model_fallbacks),
            signatures_in_ids: source
                .value("LIBRA_SIGNATURES_IN_IDS", values::switch)?
                .unwrap_or(default.signatures_in_ids),
            suffixes: source.value("LIBRA_SUFFIXES", models::suffixes)?.unwrap_or(default.suffixes),
            safety: source
                .value("LIBRA_SAFETY", |text| values::choice(text, &SAFETY))?
                .unwrap_or(default.safety),
            models: source.value("LIBRA_MODELS", models::patterns)?.unwrap_or(default.models),
            models_deny: source.value("LIBRA_MODELS_DENY", models::patterns)?.unwrap_or(default.models_deny),
            verify: source
                .value("LIBRA_VERIFY", |text| {
                    let allowed =
                        [("open", Verify::Open), ("trusted", Verify::Trusted), ("off", Verify::Off)];
                    values::choice(text, &allowed)
                })?
                .unwrap_or(default.verify),
            verify_model: source.value("LIBRA_VERIFY_MODEL", models::name)?.unwrap_or(default.verify_model),
            project_probe: source
                .value("LIBRA_PROJECT_PROBE", values::switch)?
                .unwrap_or(default.project_probe),
            home: source.value("LIBRA_HOME", values::switch)?.unwrap_or(default.home),
            trusted_proxies: source
                .value("LIBRA_TRUSTED_PROXIES", values::networks)?
                .unwrap_or(default.trusted_proxies),
            fetch: source
                .value("LIBRA_FETCH", |text| {
                    let allowed = [("trusted", Fetch::Trusted), ("pass", Fetch::Pass), ("off", Fetch::Off)];
                    values::choice(text, &allowed)
                })?
                .unwrap_or(default.fetch),
            fetch_allow: source.value("LIBRA_FETCH_ALLOW", values::networks)?.unwrap_or(default.fetch_allow),
            fetch_limit: source
                .value("LIBRA_FETCH_LIMIT", |text| values::size(text, values::KIB, values::GIB))?
                .unwrap_or(default.fetch_limit),
            fetch_timeout: timeout("LIBRA_FETCH_TIMEOUT", default.fetch_timeout)?,
            live_idle: source
                .value("LIBRA_LIVE_IDLE", values::duration_or_none)?
                .unwrap_or(default.live_idle),
            live_limit: source
                .value("LIBRA_LIVE_LIMIT", values::duration_or_none)?
                .unwrap_or(default.live_limit),
            live_sessions: source
                .value("LIBRA_LIVE_SESSIONS", values::sessions)?
                .unwrap_or(default.live_sessions),
            custom_llm,
        };
        Ok((config, notices))
    }
}

/// What is held in memory where nobody knows how much there is, in bytes.
pub const DEFAULT_MEMORY: u64 = 256 * values::MIB;

/// The names of the thresholds.
const SAFETY: [(&str, Safety); 6] = [
    ("client", Safety::Client),
    ("off", Safety::Off),
    ("block-none", Safety::BlockNone),
    ("block-only-high", Safety::BlockOnlyHigh),
    ("block-medium-and-above", Safety::BlockMediumAndAbove),
    ("block-low-and-above", Safety::BlockLowAndAbove),
];

/// The names of the strategies.
const STRATEGIES: [(&str, Strategy); 5] = [
    ("headroom", Strategy::Headroom),
    ("round-robin", Strategy::RoundRobin),
    ("time-window", Strategy::TimeWindow),
    ("random", Strategy::Random),
    ("least-used", Strategy::LeastUsed),
];

/// `LIBRA_LISTEN`; else `PORT`, by which hosting platforms say where they expect a service, on all addresses.
fn listen(source: &Source<'_>) -> Result<Option<SocketAddr>, ConfigError> {
    match source.value("LIBRA_LISTEN", values::listen)? {
        Some(address) => Ok(Some(address)),
        None => {
            let port = source.value("PORT", values::port)?;
            Ok(port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)))
        }
    }
}

/// `LIBRA_ADMIN_TOKEN` and `LIBRA_ADMIN_READ_TOKEN`: long enough not to be guessed, and nobody else's.
fn admin_tokens(source: &Source<'_>, keys: &keys::Keys) -> Result<[Option<ApiKey>; 2], ConfigError> {
    let read = |name: &str| {
        source.value(name, |text| {
            let token = keys::single(text)?;
            if token.expose().len() < keys::SHORTEST_CLIENT_KEY {
                return Err(format!(
                    "has fewer than {} characters, and could be guessed; use a long random one",
                    keys::SHORTEST_CLIENT_KEY
                ));
            }
            if keys.clients.contains(&token) || keys.pool.iter().any(|entry| entry.key == token) {
                return Err("is a client's key or one of the pool: use one of its own".to_owned());
            }
            Ok(token)
        })
    };
    let (token, reading) = (read("LIBRA_ADMIN_TOKEN")?, read("LIBRA_ADMIN_READ_TOKEN")?);
    if reading.is_some() && token == reading {
        let problem = "is the same as LIBRA_ADMIN_TOKEN, which may do more: use one of its own";
        return Err(ConfigError::new("LIBRA_ADMIN_READ_TOKEN", problem));
    }
    Ok([token, reading])
}

fn custom_llm(source: &Source<'_>) -> Result<Option<CustomLlm>, ConfigError> {
    let api_key = source.value("CUSTOM_LLM_API_KEY", keys::single)?;
    let models = source.value("CUSTOM_LLM_MODELS", models::patterns)?;
    let model = source.value("CUSTOM_LLM_MODEL", values::foreign_model)?;
    let Some(base_url) = source.value("CUSTOM_LLM_BASE_URL", values::service_url)? else {
        let orphans = [
            ("CUSTOM_LLM_API_KEY", api_key.is_some()),
            ("CUSTOM_LLM_MODELS", models.is_some()),
            ("CUSTOM_LLM_MODEL", model.is_some()),
        ];
        return match orphans.into_iter().find(|(_, set)| *set) {
            Some((name, _)) => Err(ConfigError::new(
                name,
                "is set, but CUSTOM_LLM_BASE_URL is not: set the address of the service, or leave both out",
            )),
            None => Ok(None),
        };
    };
    Ok(Some(CustomLlm { base_url, api_key, models: models.unwrap_or_default(), model }))
}

impl CustomLlm {
    /// Whether requests for this model always go to the service.
    pub fn serves(&self, model: &str) -> bool {
        self.models.iter().any(|pattern| pattern.matches(model))
    }
}

/// A setting that cannot be used. One line that names it, says what is wrong and what is allowed, and never
/// shows a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The variable, as it was looked up (`BACKUP_API_KEYS_2`).
    pub variable: String,
    /// What is wrong with it, and what is allowed. Reads on after the variable's name and a colon.
    pub problem: String,
}

impl ConfigError {
    /// An error in one variable.
    pub fn new(variable: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { variable: variable.into(), problem: problem.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// A key of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolKey {
    /// The key.
    pub key: ApiKey,
    /// The project it belongs to, where the user says so (`team-a:KEY`).
    pub project: Option<String>,
    /// What the user calls it.
    pub label: Option<String>,
    /// Whether it is left alone for now: neither used nor probed.
    pub paused: bool,
}

impl From<ApiKey> for PoolKey {
    /// A key of which nothing else is known.
    fn from(key: ApiKey) -> Self {
        Self { key, project: None, label: None, paused: false }
    }
}

/// Whether clients' own keys are used where a pool is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKeys {
    /// A client that sends several keys, none of them trusted, is served with them.
    Allow,
    /// Only trusted clients are served.
    Deny,
}

/// How the next key is chosen among those that may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The project with the most room for the request, within the first rank that has any.
    Headroom,
    /// One after the other.
    RoundRobin,
    /// Gemini Balance Lite's: a 10-second window split into equal slots, one a key. Needs no memory.
    TimeWindow,
    /// Any.
    Random,
    /// The one with the fewest requests under way, then the fewest ever.
    LeastUsed,
}

/// What may stand behind a model's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suffixes {
    /// Nothing: a name is a name.
    Off,
    /// Whatever [`suffix`](crate::suffix) knows; lists show models with these.
    Listed(Vec<String>),
}

impl Suffixes {
    /// The suffixes that lists show.
    pub fn listed(&self) -> &[String] {
        match self {
            Self::Off => &[],
            Self::Listed(listed) => listed,
        }
    }
}

/// Who may have keys checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Anybody, strangers within limits.
    Open,
    /// Trusted clients.
    Trusted,
    /// Nobody; the path does not exist.
    Off,
}

/// What becomes of media that requests name by address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// For clients of the pool they are fetched; for others their addresses go to Google.
    Trusted,
    /// Their addresses go to Google, whose newer models fetch them.
    Pass,
    /// They are refused.
    Off,
}

/// What a foreign model name stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelAlias {
    /// The names meant.
    pub pattern: WildMatch,
    /// The Gemini models, at least one; the first is used, the others are for when it cannot serve.
    pub models: Vec<String>,
}

/// An OpenAI-compatible service for when the pool is exhausted.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomLlm {
    /// `CUSTOM_LLM_BASE_URL`, as its own users write it (`https://api.example.com/v1`), without a slash at the
    /// end. No credential, no query.
    pub base_url: Uri,
    /// `CUSTOM_LLM_API_KEY`.
    pub api_key: Option<ApiKey>,
    /// `CUSTOM_LLM_MODELS`: the models that always go there.
    pub models: Vec<WildMatch>,
    /// `CUSTOM_LLM_MODEL`: the model to ask for when a Gemini model's request is taken over. None: the same.
    pub model: Option<String>,
}

#[cfg(test)]
mod tests;
