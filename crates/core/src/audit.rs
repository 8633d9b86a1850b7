//! What a pool is worth right now: the few requests that find out, and what their answers come to.
//!
//! An audit asks each key at most `1 + models` things ([`most_requests`]): one countTokens, which shows a dead
//! key and costs no quota, then one short generateContent a model. It writes nothing and uploads nothing, unless
//! somebody asks for a [probe of the projects](crate::project_probe). A key that proves dead is asked nothing more.
//!
//! [`KeyAudit`] is the audit of one key, [`summarize`] puts all of them together. How it is shown is a shell's
//! matter.

mod summary;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Uri};

pub use self::summary::{
    ModelSummary, NamedLimit, Projects, Standing, Summary, project_of_each, summarize, take_in,
};
use crate::check::CheckAnswer;
use crate::config::PoolKey;
use crate::failure::{self, Answer, Class, Consequence, Failure, Limit};
use crate::judge;
use crate::route::escape_model;
use crate::time::Timestamp;
use crate::upstream;

/// The most models that one audit asks for: each costs every key a request of the day.
pub const MAX_MODELS: usize = 16;

/// After so many keys in a row to which nobody answered, the network is to blame, and the rest is not asked.
pub const HOPELESS_AFTER: usize = 10;

const COUNT: &str = r#"{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}"#;
const GENERATE: &str =
    r#"{"contents":[{"role":"user","parts":[{"text":"Hi"}]}],"generationConfig":{"maxOutputTokens":8}}"#;

/// How many requests an audit makes at most.
pub const fn most_requests(keys: usize, models: usize) -> usize {
    keys.saturating_mul(models.saturating_add(1))
}

/// The audit of one key: ask [`next`](Self::next) for a request, tell [`heard`](Self::heard) the answer, until
/// there is nothing more to ask.
#[derive(Debug)]
pub struct KeyAudit {
    key: PoolKey,
    models: Arc<[String]>,
    /// What the count of tokens found; none before it.
    counted: Option<Finding>,
    /// One for each model asked so far, in the order of `models`.
    findings: Vec<Finding>,
    /// Google's number of the key's project.
    consumer: Option<String>,
    /// Whether nothing more is asked.
    over: bool,
}

/// What an audit has found of one key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyReport {
    /// The key as its owner recognises it.
    pub key: String,
    /// The project that the settings name.
    pub project: Option<String>,
    /// The project's number as Google names it in some refusals. Not for showing: it only tells which keys share
    /// a project.
    pub consumer: Option<String>,
    /// One for each model, in the order of the models.
    pub findings: Vec<Finding>,
}

/// How a key stands with one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it comes to.
    pub state: State,
    /// When it may be over, where that is known.
    pub until: Option<Timestamp>,
    /// What Google said, redacted, where it did not answer.
    pub message: Option<String>,
    /// The limits that Google named.
    pub limits: Vec<Limit>,
}

/// What a key is worth with a model right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It answers.
    Answers,
    /// Dead: found in public and switched off.
    Leaked,
    /// Dead: unknown to Google, mistyped, deleted or expired.
    Invalid,
    /// Dead: Google does not take it as a credential.
    Unauthenticated,
    /// Dead: its project is suspended, denied or gone.
    Suspended,
    /// Dead: restricted to other uses.
    Restricted,
    /// Dead: the API or billing is switched off in its project.
    Disabled,
    /// Limited: the quota of the day is used up.
    DayUsedUp,
    /// Limited: the quota of the minute is used up.
    MinuteUsedUp,
    /// Limited: its project has no quota for this model.
    NoQuota,
    /// Limited: Google does not say by what.
    Throttled,
    /// Limited: its project's money is used up.
    Unpaid,
    /// The model is closed to this key or its project.
    ModelClosed,
    /// There is no such model, or it does not generate content.
    ModelUnknown,
    /// The model is out of capacity; says nothing about the key.
    Overloaded,
    /// An answer of another kind that was none; says nothing about the key.
    Failed,
    /// Google does not serve the address that the audit speaks from; says nothing about the key.
    AddressRefused,
    /// Google could not be reached; says nothing about the key.
    Unreachable,
    /// It was not asked, as the audit was given up.
    Unchecked,
}

/// The kinds of [`State`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The key answers.
    Answers,
    /// The key is of no use, and waiting does not help.
    Dead,
    /// A quota or money is used up.
    Limited,
    /// The model is not to be had with this key.
    Closed,
    /// Nothing is known of the key: not now, not from here.
    Unclear,
}

impl KeyAudit {
    /// The audit of `key` with `models`.
    pub fn new(key: PoolKey, models: Arc<[String]>) -> Self {
        Self { key, models, counted: None, findings: Vec::new(), consumer: None, over: false }
    }

    /// The next request to send; none when all is known.
    pub fn next(&self, origin: &Uri) -> Option<Request<Option<Bytes>>> {
        if self.over {
            return None;
        }
        let (method, body) = match self.counted {
            None => ("countTokens", COUNT),
            Some(_) => ("generateContent", GENERATE),
        };
        let model = escape_model(self.models.get(self.findings.len())?);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let path = format!("/v1beta/models/{model}:{method}");
        let body = Some(Bytes::from_static(body.as_bytes()));
        Some(upstream::to_gemini(origin, Method::POST, &path, headers, &self.key.key, body))
    }

    /// Takes in the answer to the last request.
    pub fn heard(&mut self, answer: &CheckAnswer, now: Timestamp) {
        let generates = self.counted.is_some();
        let failure = self.failure(answer, generates, now);
        if let Some(consumer) = failure.as_ref().and_then(|failure| failure.consumer.clone()) {
            self.consumer = Some(consumer);
        }
        let finding = failure.map_or_else(Finding::answers, Finding::of);
        let state = finding.state;
        if generates {
            self.over = state.group() == Group::Dead || state.is_nobody_there();
            self.findings.push(finding);
        } else {
            // A 401 and a lost connection come by chance at times: the next request is their second witness.
            let by_chance = matches!(state, State::Unauthenticated | State::Unreachable);
            let said_all = state.group() == Group::Dead || state == State::AddressRefused;
            self.over = said_all && !by_chance;
            self.counted = Some(finding);
        }
        self.over |= self.findings.len() >= self.models.len();
    }

    /// What has been found. What holds for the key holds for the models that were not asked.
    pub fn report(self) -> KeyReport {
        let Self { key, models, counted, mut findings, consumer, .. } = self;
        let last = findings.last().cloned().or(counted).unwrap_or_else(Finding::unchecked);
        findings.resize(models.len(), Finding { limits: Vec::new(), ..last });
        KeyReport { key: key.key.masked(), project: key.project, consumer, findings }
    }

    fn failure(&self, answer: &CheckAnswer, generates: bool, now: Timestamp) -> Option<Failure> {
        let model = self.models.get(self.findings.len()).map(String::as_str);
        let key = &self.key.key;
        match answer {
            Ok((status, _, body)) if status.is_success() => match judge::whole(body, generates) {
                judge::Verdict::Good | judge::Verdict::Spoiled => None,
                judge::Verdict::Error => Some(failure::classify_event(body, model, key, now)),
                judge::Verdict::ProjectDisabled => Some(Failure::new(
                    Class::ProjectSuspended,
                    failure::Elsewhere::All,
                    "The project is limited or disabled for policy violations.",
                )),
                judge::Verdict::Empty | judge::Verdict::Broken => Some(failure::empty()),
            },
            Ok((status, headers, body)) => {
                let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
                Some(failure::classify(&Answer { status: *status, content_type, body, model }, key, now))
            }
            Err(message) => Some(failure::network(message)),
        }
    }
}

impl KeyReport {
    /// The report of a key that was not asked.
    pub fn unchecked(key: &PoolKey, models: usize) -> Self {
        Self {
            key: key.key.masked(),
            project: key.project.clone(),
            consumer: None,
            findings: vec![Finding::unchecked(); models],
        }
    }

    /// Why the key is dead, if it is.
    pub fn death(&self) -> Option<State> {
        self.findings.last().map(|finding| finding.state).filter(|state| state.group() == Group::Dead)
    }

    /// Whether nothing was heard of Google about the key.
    pub fn heard_nothing(&self) -> bool {
        self.findings.iter().all(|finding| finding.state.is_nobody_there())
    }
}

impl Finding {
    fn answers() -> Self {
        Self { state: State::Answers, until: None, message: None, limits: Vec::new() }
    }

    fn unchecked() -> Self {
        Self { state: State::Unchecked, until: None, message: None, limits: Vec::new() }
    }

    fn of(failure: Failure) -> Self {
        let until = match failure.consequence {
            Consequence::RestModel(until) | Consequence::RestProject(until) => Some(until),
            _ => None,
        };
        let state = State::of(failure.class);
        // A closed model does not open at a time; the pool's rest is only its patience.
        let until = until.filter(|_| state.group() == Group::Limited && state != State::NoQuota);
        Self { state, until, message: Some(failure.message), limits: failure.limits }
    }
}

impl State {
    fn of(class: Class) -> Self {
        match class {
            Class::KeyInvalid => Self::Invalid,
            Class::KeyLeaked => Self::Leaked,
            Class::KeyUnauthenticated => Self::Unauthenticated,
            Class::KeyRestricted => Self::Restricted,
            Class::ProjectSuspended => Self::Suspended,
            Class::ProjectDisabled => Self::Disabled,
            Class::ProjectBilling => Self::Unpaid,
            Class::QuotaDay => Self::DayUsedUp,
            Class::QuotaMinute => Self::MinuteUsedUp,
            Class::QuotaNone => Self::NoQuota,
            Class::QuotaUnnamed => Self::Throttled,
            Class::ModelForbidden | Class::ModelClosed => Self::ModelClosed,
            Class::ModelUnknown => Self::ModelUnknown,
            Class::Overloaded => Self::Overloaded,
            Class::Egress => Self::AddressRefused,
            Class::Network => Self::Unreachable,
            Class::Internal
            | Class::Timeout
            | Class::Empty
            | Class::Malformed
            | Class::Affinity
            | Class::Signature
            | Class::Request
            | Class::Gateway
            | Class::Unknown => Self::Failed,
        }
    }

    /// Its kind.
    pub const fn group(self) -> Group {
        match self {
            Self::Answers => Group::Answers,
            Self::Leaked
            | Self::Invalid
            | Self::Unauthenticated
            | Self::Suspended
            | Self::Restricted
            | Self::Disabled => Group::Dead,
            Self::DayUsedUp | Self::MinuteUsedUp | Self::NoQuota | Self::Throttled | Self::Unpaid => {
                Group::Limited
            }
            Self::ModelClosed | Self::ModelUnknown => Group::Closed,
            Self::Overloaded | Self::Failed | Self::AddressRefused | Self::Unreachable | Self::Unchecked => {
                Group::Unclear
            }
        }
    }

    /// The word for programs, in `kebab-case`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Answers => "answers",
            Self::Leaked => "leaked",
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Suspended => "suspended",
            Self::Restricted => "restricted",
            Self::Disabled => "disabled",
            Self::DayUsedUp => "day-used-up",
            Self::MinuteUsedUp => "minute-used-up",
            Self::NoQuota => "no-quota",
            Self::Throttled => "throttled",
            Self::Unpaid => "unpaid",
            Self::ModelClosed => "model-closed",
            Self::ModelUnknown => "model-unknown",
            Self::Overloaded => "overloaded",
            Self::Failed => "failed",
            Self::AddressRefused => "address-refused",
            Self::Unreachable => "unreachable",
            Self::Unchecked => "unchecked",
        }
    }

    /// The words for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Answers
            | Self::Leaked
            | Self::Invalid
            | Self::Unauthenticated
            | Self::Suspended
            | Self::Restricted
            | Self::Failed
            | Self::Unreachable => self.word(),
            Self::Disabled => "API or billing off",
            Self::DayUsedUp => "used up for the day",
            Self::MinuteUsedUp => "used up for the minute",
            Self::NoQuota => "no quota at all",
            Self::Throttled => "limited, not said by what",
            Self::Unpaid => "money used up",
            Self::ModelClosed => "model closed to it",
            Self::ModelUnknown => "no such model",
            Self::Overloaded => "model overloaded",
            Self::AddressRefused => "not served at this address",
            Self::Unchecked => "not asked",
        }
    }

    /// Whether it was not Google's API that spoke about the key, but the way there.
    const fn is_nobody_there(self) -> bool {
        matches!(self, Self::AddressRefused | Self::Unreachable)
    }
}

#[cfg(test)]
mod tests;
