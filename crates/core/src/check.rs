//! Whether a key works: the cheap request that finds out, and what its answer says.
//!
//! The same check serves `/verify`, the command line and the probes of keys that are set aside. A key that may
//! list models proves nothing; one that may generate a word does.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use serde::Serialize;

use crate::event::Event;
use crate::failure::{self, Answer, Class, Failure};
use crate::gateway::Gateway;
use crate::judge;
use crate::mark::Mark;
use crate::project_probe::Relations;
use crate::route::{VerifyFormat, escape_model};
use crate::secret::ApiKey;
use crate::time::Timestamp;
use crate::upstream;

/// So many keys are checked at once.
pub const CONCURRENT: usize = 5;

/// A list of keys to check for a client.
#[derive(Debug)]
pub struct Verification {
    /// How the client wants the results.
    pub format: VerifyFormat,
    /// One check a key.
    pub checks: Vec<Check>,
    /// The keys of which is to be said, too, which share a project.
    pub projects: Option<Vec<ApiKey>>,
    /// For the head of the answer.
    pub mark: Mark,
}

impl Verification {
    /// Where Gemini is.
    pub fn origin(&self) -> Uri {
        self.checks.first().map(|check| check.gateway.config().upstream.clone()).unwrap_or_default()
    }
}

/// Which of the keys of a verification share a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyProjects {
    /// The keys of each project, as their owner recognises them.
    pub projects: Vec<Vec<String>>,
    /// Keys of which nothing could be found out.
    pub unclear: Vec<String>,
}

impl KeyProjects {
    /// What a probe of these keys has found.
    pub fn new(keys: &[ApiKey], relations: &Relations) -> Self {
        let shown = |entries: &Vec<usize>| {
            entries.iter().filter_map(|&entry| Some(keys.get(entry)?.masked())).collect()
        };
        Self { projects: relations.projects.iter().map(shown).collect(), unclear: shown(&relations.unclear) }
    }

    /// One JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A check of one key.
#[derive(Debug)]
pub struct Check {
    gateway: Arc<Gateway>,
    key: ApiKey,
    kind: CheckKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CheckKind {
    /// Generates a word: proves that the key serves.
    Verify,
    /// Counts the tokens of a word: proves that the key is taken, and costs no quota.
    Probe,
}

/// What the upstream said to a check: status, head and body, or what the network said.
pub type CheckAnswer = Result<(StatusCode, HeaderMap, Bytes), String>;

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckResult {
    /// The key as its owner recognises it.
    pub key: String,
    /// What is known now.
    pub status: KeyStatus,
    /// Why it is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a check has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum KeyStatus {
    /// It serves.
    Good,
    /// It does not, and will not by waiting.
    Bad,
    /// Not now: limited, overloaded, unreachable. Says nothing about the key itself.
    Error,
}

impl Check {
    /// A check for `/verify`.
    pub(crate) fn verify(gateway: Arc<Gateway>, key: ApiKey) -> Self {
        Self { gateway, key, kind: CheckKind::Verify }
    }

    /// A check of a pool key that is set aside.
    pub(crate) fn probe(gateway: Arc<Gateway>, key: ApiKey) -> Self {
        Self { gateway, key, kind: CheckKind::Probe }
    }

    /// The request to send.
    pub fn request(&self) -> Request<Option<Bytes>> {
        let config = self.gateway.config();
        let model = escape_model(&config.verify_model);
        let (method, body) = match self.kind {
            CheckKind::Verify => (
                "generateContent",
                r#"{"contents":[{"role":"user","parts":[{"text":"Hi"}]}],"generationConfig":{"maxOutputTokens":8}}"#,
            ),
            CheckKind::Probe => ("countTokens", r#"{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}"#),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let path = format!("/v1beta/models/{model}:{method}");
        let body = Some(Bytes::from_static(body.as_bytes()));
        upstream::to_gemini(&config.upstream, Method::POST, &path, headers, &self.key, body)
    }

    /// What the answer says of the key.
    pub fn result(&self, answer: &CheckAnswer, now: Timestamp) -> CheckResult {
        let (status, error) = match self.failure(answer, now) {
            None => (KeyStatus::Good, None),
            Some(failure) => {
                let is_bad = failure.class.is_the_keys() || failure.class.is_the_projects();
                let status = if is_bad { KeyStatus::Bad } else { KeyStatus::Error };
                (status, Some(failure.message))
            }
        };
        CheckResult { key: self.key.masked(), status, error }
    }

    /// Tells the pool what a probe has found.
    pub fn conclude(&self, answer: &CheckAnswer, now: Timestamp) -> Option<Event> {
        let works = match self.failure(answer, now) {
            None => true,
            // A quota that is used up is a quota all the same.
            Some(failure) => matches!(failure.class, Class::QuotaMinute | Class::QuotaDay),
        };
        let key = self.key.id();
        self.gateway.pool(false).probed(key, works, now);
        works.then_some(Event::Restored { key })
    }

    fn failure(&self, answer: &CheckAnswer, now: Timestamp) -> Option<Failure> {
        let config = self.gateway.config();
        let model = Some(config.verify_model.as_str());
        match answer {
            Ok((status, _, body)) if status.is_success() && judge::is_error(body) => {
                Some(failure::classify_event(body, model, &self.key, now))
            }
            Ok((status, _, _)) if status.is_success() => None,
            Ok((status, headers, body)) => {
                let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let answer = Answer { status: *status, content_type, body, model };
                Some(failure::classify(&answer, &self.key, now))
            }
            Err(message) => Some(failure::network(message)),
        }
    }
}

impl CheckResult {
    /// As one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("text and an enum are always JSON")
    }
}
