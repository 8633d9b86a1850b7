//! What a test's gateway was asked and what came of it, as data: with `LIBRA_WRITE_PLAYS=FOLDER` each [`Harness`] of a test
//! that passes writes a file there, from which another build of the gateway can be shown to do the same.
//!
//! Of a test that has many gateways (some cut a stream at each of its bytes) the first are written and then every 50th.
//!
//! A play says the settings as variables, then for each request of a client when it came, what went up for it, what the
//! scripted upstream answered, and what the client saw. Bodies are base64.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs, thread};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::HeaderMap;
use http::{Request, StatusCode};
use libra_core::clients::Clients;
use libra_core::config::{ClientKeys, Config, Fetch, Safety, Strategy, Suffixes};
use libra_core::exchange::Outcome;
use libra_core::secret::ApiKey;
use libra_core::time::Timestamp;
use serde_json::{Map, Value, json};

use super::{CLIENT, Call, Canned, End, Seen};

/// Clients that tests let in: a set of keys does not tell which it has.
const CLIENTS: [&str; 2] = [CLIENT, "other-client"];

/// One gateway's play.
pub struct Play {
    folder: PathBuf,
    variables: Map<String, Value>,
    /// Why its settings cannot be said in variables.
    unsaid: Option<String>,
    calls: Vec<Value>,
    /// What has gone up for the request that is being answered.
    upstream: Vec<Value>,
}

impl Play {
    /// None: nobody wants plays written.
    pub fn begin(config: &Config) -> Option<Self> {
        let folder = PathBuf::from(env::var_os("LIBRA_WRITE_PLAYS")?);
        let variables = variables(config);
        let unsaid = differs(config, &variables);
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        Some(Self { folder, variables, unsaid, calls: Vec::new(), upstream: Vec::new() })
    }

    /// A request went up, and was answered so.
    pub fn answered(&mut self, request: &Request<Option<Bytes>>, canned: &Canned) {
        let mut fields = vec![("content-type", canned.content_type), ("x-goog-api-key", "echoed")];
        fields.extend(canned.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let end = match canned.end {
            End::Complete => "complete",
            End::Broken => "broken",
            End::Stale => "stale",
            End::Refused => "refused",
            End::Silence => "silence",
        };
        self.upstream.push(json!({
            "method": request.method().as_str(),
            "uri": request.uri().to_string(),
            "headers": headers(request.headers()),
            "body": request.body().as_ref().map(|body| STANDARD.encode(body)),
            "answer": {
                "status": canned.status, "headers": fields, "after": millis(canned.after), "end": end,
                "chunks": canned.chunks.iter().map(|chunk| STANDARD.encode(chunk)).collect::<Vec<_>>(),
            },
        }));
    }

    /// A file was asked for.
    pub fn fetched(&mut self, request: &Request<()>, outcomes: &[Outcome]) {
        let (mut status, mut fields, mut chunks, mut end) =
            (0, Value::Array(Vec::new()), Vec::new(), "silence");
        for outcome in outcomes {
            match outcome {
                Outcome::Head(code, head) => (status, fields) = (StatusCode::as_u16(code), headers(head)),
                Outcome::Chunk(chunk) => chunks.push(STANDARD.encode(chunk)),
                Outcome::End => end = "complete",
                Outcome::Failed { .. } | Outcome::TooLarge => end = "broken",
            }
        }
        self.upstream.push(json!({
            "method": request.method().as_str(),
            "uri": request.uri().to_string(),
            "headers": headers(request.headers()),
            "body": null,
            "answer": { "status": status, "headers": fields, "after": 0, "end": end, "chunks": chunks },
        }));
    }

    /// A client has its answer.
    pub fn seen(&mut self, call: &Call, at: Timestamp, seen: &Seen) {
        self.calls.push(json!({
            "at": at.as_millis(),
            "method": call.method.as_str(),
            "path": call.path,
            "headers": call.headers,
            "body": STANDARD.encode(&call.body),
            "upstream": std::mem::take(&mut self.upstream),
            "seen": {
                "status": seen.status,
                "headers": headers(&seen.headers),
                "body": STANDARD.encode(&seen.body),
                "reset": seen.reset,
                "took": millis(seen.took),
            },
        }));
    }

    fn write(&self) {
        /// So many gateways of one test are written in any case. Each test has a thread of its own.
        const FIRST: u32 = 100;
        const THEN_EVERY: u32 = 50;
        thread_local! {
            static NUMBER: Cell<u32> = const { Cell::new(0) };
        }
        let number = NUMBER.replace(NUMBER.get() + 1);
        if number >= FIRST && number % THEN_EVERY != 0 {
            return;
        }
        let program = env::current_exe().expect("the test's program");
        let program = program.file_stem().expect("it has a name").to_string_lossy().into_owned();
        // Behind the last hyphen cargo puts a digest.
        let program = program.rsplit_once('-').map_or(program.as_str(), |(name, _)| name);
        let thread = thread::current();
        let test = format!("{program}::{}", thread.name().unwrap_or("?"));
        let play = json!({
            "test": test, "variables": self.variables, "unsaid": self.unsaid, "calls": self.calls,
        });
        let file = self.folder.join(format!("{}-{number:04}.json", test.replace("::", ".")));
        fs::write(&file, play.to_string()).expect("the play can be written");
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        if !thread::panicking() && !self.calls.is_empty() {
            self.write();
        }
    }
}

fn headers(headers: &HeaderMap) -> Value {
    // Bytes as characters of the same numbers, as JavaScript has them.
    let text =
        |value: &http::HeaderValue| value.as_bytes().iter().map(|&byte| char::from(byte)).collect::<String>();
    headers.iter().map(|(name, value)| json!([name.as_str(), text(value)])).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("tests last for days at most")
}

/// The settings that tests change, as variables.
fn variables(config: &Config) -> Vec<(&'static str, String)> {
    let key = |key: &libra_core::config::PoolKey| match &key.project {
        Some(project) => format!("{project}:{}", key.key.expose()),
        None => key.key.expose().to_owned(),
    };
    let time = |time: Duration| format!("{}ms", time.as_millis());
    let keys: Vec<String> = config.keys.iter().map(key).collect();
    let clients: Vec<&str> =
        CLIENTS.into_iter().filter(|client| config.clients.contains(&ApiKey::new(client))).collect();
    let mut variables = vec![
        ("LIBRA_KEYS", keys.join(",")),
        ("LIBRA_CLIENTS", clients.join(",")),
        ("LIBRA_QUEUE_WAIT", time(config.queue_wait)),
        ("LIBRA_HEARTBEAT", time(config.heartbeat)),
        ("LIBRA_FIRST_BYTE_TIMEOUT", time(config.first_byte_timeout)),
        ("LIBRA_ANSWER_TIMEOUT", time(config.answer_timeout)),
        ("LIBRA_IDLE_TIMEOUT", time(config.idle_timeout)),
        ("LIBRA_DEADLINE", time(config.deadline)),
        ("LIBRA_REPLAY_LIMIT", config.replay_limit.to_string()),
        ("LIBRA_BODY_LIMIT", config.body_limit.to_string()),
        ("LIBRA_RETRY_BUDGET", config.retry_budget.map_or("off".to_owned(), |share| format!("{share}%"))),
    ];
    let strategy = match config.strategy {
        Strategy::Headroom => "headroom",
        Strategy::RoundRobin => "round-robin",
        Strategy::TimeWindow => "time-window",
        Strategy::Random => "random",
        Strategy::LeastUsed => "least-used",
    };
    variables.push(("LIBRA_STRATEGY", strategy.to_owned()));
    if config.client_keys == ClientKeys::Deny {
        variables.push(("LIBRA_CLIENT_KEYS", "deny".to_owned()));
    }
    if config.signatures_in_ids {
        variables.push(("LIBRA_SIGNATURES_IN_IDS", "on".to_owned()));
    }
    match &config.suffixes {
        Suffixes::Off => variables.push(("LIBRA_SUFFIXES", "off".to_owned())),
        Suffixes::Listed(listed) => variables.push(("LIBRA_SUFFIXES", listed.join(","))),
    }
    if config.fetch == Fetch::Pass {
        variables.push(("LIBRA_FETCH", "pass".to_owned()));
    }
    if config.safety == Safety::Off {
        variables.push(("LIBRA_SAFETY", "off".to_owned()));
    }
    let fallbacks = config.model_fallbacks.iter().map(|of| format!("{}={}", of.pattern, of.models.join(",")));
    variables.push(("LIBRA_MODEL_FALLBACKS", fallbacks.collect::<Vec<_>>().join(";")));
    let mut optional = |name, value: Option<String>| variables.extend(value.map(|value| (name, value)));
    optional("LIBRA_MAX_ATTEMPTS", config.max_attempts.map(|most| most.to_string()));
    optional("LIBRA_HEDGE_AFTER", config.hedge_after.map(time));
    optional("LIBRA_MEMORY", config.memory.map(|memory| memory.to_string()));
    if let Some(custom) = &config.custom_llm {
        optional("CUSTOM_LLM_BASE_URL", Some(custom.base_url.to_string()));
        optional("CUSTOM_LLM_API_KEY", custom.api_key.as_ref().map(|key| key.expose().to_owned()));
        optional("CUSTOM_LLM_MODEL", custom.model.clone());
        let models: Vec<String> = custom.models.iter().map(ToString::to_string).collect();
        optional("CUSTOM_LLM_MODELS", Some(models.join(",")).filter(|models| !models.is_empty()));
    }
    variables
}

/// What the variables do not say of the settings.
fn differs(config: &Config, variables: &[(&str, String)]) -> Option<String> {
    let lookup = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    let read = match Config::from_vars(lookup, |_| Err("there are no files".to_owned())) {
        Ok((read, _)) => read,
        Err(problem) => return Some(problem.to_string()),
    };
    if read.clients.len() != config.clients.len() {
        return Some("the clients differ".to_owned());
    }
    // Where there are several, their order is chance, and tests with several set nothing for them.
    let comparable = |config: &Config| match config.clients.len() {
        0 | 1 => format!("{config:#?}"),
        _ => format!("{:#?}", Config { clients: Clients::default(), ..config.clone() }),
    };
    let (read, meant) = (comparable(&read), comparable(config));
    let mut lines = read.lines().zip(meant.lines());
    // Patterns are read so that case does not matter, which tests do not always do.
    let differ = |(read, meant): &(&str, &str)| read != meant && !meant.contains("case_insensitive");
    lines.find(differ).map(|(_, meant)| format!("no variable for `{}`", meant.trim()))
}
