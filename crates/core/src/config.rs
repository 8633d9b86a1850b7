//! Settings, as a struct that is swapped whole.
//!
//! Variables and `libra.toml` fill the same struct through one lookup, `|name| -> Option<String>`; the shells
//! say where a name is looked up. Every setting is documented in `.env.sample`.

use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use ipnet::IpNet;
use wildmatch::WildMatch;

use crate::secret::{ApiKey, KeySet};

/// Everything that can be set. [`Config::default`] is what an empty environment gives.
#[derive(Debug, Clone)]
pub struct Config {
    /// The pool: `LIBRA_KEYS`, formerly `BACKUP_API_KEYS`. In the order given, without duplicates.
    pub keys: Vec<PoolKey>,
    /// The client keys that may use the pool: `LIBRA_CLIENTS`, formerly `TRUSTED_API_KEYS`.
    pub clients: KeySet,
    /// Whether clients may bring keys of their own where a pool is set: `LIBRA_CLIENT_KEYS`.
    pub client_keys: ClientKeys,
    /// How the next key is chosen: `LIBRA_STRATEGY`.
    pub strategy: Strategy,
    /// Where Gemini is: `LIBRA_UPSTREAM`. Scheme and authority, with an optional path prefix.
    pub upstream: Uri,
    /// The address to listen on: `LIBRA_LISTEN`, or `PORT` (then on all addresses).
    pub listen: SocketAddr,
    /// The path under which a reverse proxy serves the gateway: `LIBRA_BASE_PATH`. Empty, or `/like/this`.
    pub base_path: String,
    /// How many attempts a request gets at most: `LIBRA_MAX_ATTEMPTS`. None: every key once, at most 10.
    pub max_attempts: Option<u32>,
    /// How long a stream may take to its first event: `LIBRA_FIRST_BYTE_TIMEOUT`.
    pub first_byte_timeout: Duration,
    /// How long an answer that is no stream may take: `LIBRA_ANSWER_TIMEOUT`.
    pub answer_timeout: Duration,
    /// How long a committed answer may be silent: `LIBRA_IDLE_TIMEOUT`.
    pub idle_timeout: Duration,
    /// How long a request may take until its answer begins, all attempts together: `LIBRA_DEADLINE`.
    pub deadline: Duration,
    /// The largest body kept for another attempt, in bytes: `LIBRA_REPLAY_LIMIT`.
    pub replay_limit: u64,
    /// The largest body taken at all, in bytes: `LIBRA_BODY_LIMIT`.
    pub body_limit: u64,
    /// Foreign model names and what they stand for: `LIBRA_MODEL_ALIASES`, before the built-in ones.
    pub model_aliases: Vec<ModelAlias>,
    /// The models that are listed and served: `LIBRA_MODELS`. Empty: all.
    pub models: Vec<WildMatch>,
    /// The models that are neither listed nor served: `LIBRA_MODELS_DENY`.
    pub models_deny: Vec<WildMatch>,
    /// Who may have keys checked at `/verify`: `LIBRA_VERIFY`.
    pub verify: Verify,
    /// The model that checks use: `LIBRA_VERIFY_MODEL`.
    pub verify_model: String,
    /// Whether `/` shows a page: `LIBRA_HOME`.
    pub home: bool,
    /// The proxies whose word about a client's address counts: `LIBRA_TRUSTED_PROXIES`.
    pub trusted_proxies: Vec<IpNet>,
    /// An OpenAI-compatible service that takes over: `CUSTOM_LLM_…`.
    pub custom_llm: Option<CustomLlm>,
}

/// A key of the pool.
#[derive(Debug, Clone)]
pub struct PoolKey {
    /// The key.
    pub key: ApiKey,
    /// The project it belongs to, where the user says so (`team-a:KEY`).
    pub project: Option<String>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// One after the other.
    RoundRobin,
    /// Gemini Balance Lite's: a 10-second window split into equal slots, one a key. Needs no memory.
    TimeWindow,
    /// Any.
    Random,
    /// The one with the fewest requests under way, then the fewest ever.
    LeastUsed,
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

/// What a foreign model name stands for.
#[derive(Debug, Clone)]
pub struct ModelAlias {
    /// The names meant.
    pub pattern: WildMatch,
    /// The Gemini models; the first is used, the others are for when it cannot serve.
    pub models: Vec<String>,
}

/// An OpenAI-compatible service for when the pool is exhausted.
#[derive(Debug, Clone)]
pub struct CustomLlm {
    /// `CUSTOM_LLM_BASE_URL`, as its own users write it (`https://api.example.com/v1`).
    pub base_url: Uri,
    /// `CUSTOM_LLM_API_KEY`.
    pub api_key: Option<ApiKey>,
    /// `CUSTOM_LLM_MODELS`: the models that always go there.
    pub models: Vec<WildMatch>,
    /// `CUSTOM_LLM_MODEL`: the model to ask for when a Gemini model's request is taken over. None: the same.
    pub model: Option<String>,
}
