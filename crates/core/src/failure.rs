//! MECHANISM: what an unsuccessful answer of the upstream means.
//!
//! Status and body go in, a [`Failure`] comes out: whose fault it is, what has to rest and until when, and
//! whether another project can help. What is then done about it is [`retry`](crate::retry)'s business; what it
//! means for keys and projects, [`pool`](crate::pool)'s.
//!
//! Two rules stand above all others. What nobody has seen before never costs a key anything. And what a client
//! can write into an error (a file's name, a model's) never decides about a key: reasons are read from Google's
//! structured details, and sentences only from their beginning, which is Google's own.

mod classify;
mod delay;
mod quota;
mod redact;
mod report;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

pub use self::classify::{Answer, BODY_LIMIT, classify, classify_event};
pub use self::redact::{redact, redact_body, redact_text};
use crate::error::{Error, Kind, UpstreamBody};
use crate::time::Timestamp;

/// An attempt that brought no usable answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The upstream's status; none where there was no answer to speak of (connection, time-out).
    pub status: Option<StatusCode>,
    /// Which of the known classes this is.
    pub class: Class,
    /// What the pool has to remember.
    pub consequence: Consequence,
    /// How many further projects are worth trying with this request.
    pub elsewhere: Elsewhere,
    /// How long to wait before the same project can help: what the upstream asked for where that is to be
    /// believed, else what the class is known to take.
    pub retry_after: Option<Duration>,
    /// The project's number that Google named in `metadata.consumer`: the keys that name the same one share
    /// their quotas. Never shown to clients.
    pub consumer: Option<String>,
    /// Quota families that Google named (`quotaDimensions.model`). They rest together with the model asked for,
    /// whose name may differ ("gemini-3.1-pro" for a preview of it).
    pub families: Vec<String>,
    /// Limits that Google named (`quotaValue`). Never zero: a project without any quota is
    /// [`Class::QuotaNone`], which ends by itself.
    pub limits: Vec<Limit>,
    /// What to tell the client: one line, redacted, 2,000 characters at most.
    pub message: String,
    /// The body for clients that speak Google's dialect: whole JSON, redacted, otherwise as it came. Empty where
    /// there was none, or something else: a page or half an error helps no client, and a browser would run
    /// the page as the gateway's own.
    pub body: Bytes,
    /// The content type of `body`, where the upstream named one.
    pub content_type: Option<HeaderValue>,
}

impl Failure {
    /// What a client is told if this failure is the last word.
    pub fn to_error(&self) -> Error {
        let kind = match (self.class, self.status) {
            (Class::ModelClosed | Class::ModelUnknown, _) => Kind::ModelNotFound,
            // Google says 400; clients of the other dialects look for their own word.
            (Class::KeyInvalid, _) => Kind::Unauthorized,
            (Class::Request, Some(StatusCode::BAD_REQUEST)) if says_too_long(&self.message) => {
                Kind::PromptTooLong
            }
            (_, Some(status)) if status.is_client_error() || status.is_server_error() => {
                Kind::from_status(status)
            }
            (Class::Timeout, _) => Kind::Timeout,
            _ => Kind::BadGateway,
        };
        let body = (!self.body.is_empty()).then(|| UpstreamBody {
            status: self.status.unwrap_or_else(|| kind.status()),
            content_type: self.content_type.clone(),
            bytes: self.body.clone(),
        });
        Error { retry_after: self.retry_after, body, ..Error::new(kind, self.message.clone()) }
    }

    /// A failure that blames nobody. `message` is for the client and holds no secret.
    pub fn new(class: Class, elsewhere: Elsewhere, message: impl Into<String>) -> Self {
        Self {
            status: None,
            class,
            consequence: Consequence::Nothing,
            elsewhere,
            retry_after: None,
            consumer: None,
            families: Vec::new(),
            limits: Vec::new(),
            message: message.into(),
            body: Bytes::new(),
            content_type: None,
        }
    }
}

/// "The input token count (3475108) exceeds the maximum number of tokens allowed (1048576)."
fn says_too_long(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("token count") && message.contains("exceeds the maximum")
}

/// The upstream could not be reached, or the connection broke before the answer was whole. `message` says what
/// happened, for a person.
pub fn network(message: &str) -> Failure {
    Failure::new(Class::Network, Elsewhere::All, report::one_line(&redact_text(message, None)))
}

/// The upstream was given up on after this long. Every attempt may be billed, hence one more at most.
pub fn timeout(after: Duration) -> Failure {
    // To a tenth: a timer that goes off a little late says nothing of the limit.
    let seconds = (after.as_secs_f32() * 10.0).round() / 10.0;
    let message = format!("The upstream did not answer within {seconds} seconds.");
    Failure::new(Class::Timeout, Elsewhere::One, message)
}

/// A 200 without content and without a reason for it. It comes and goes by chance; a project from which it came
/// lately is asked last.
pub fn empty() -> Failure {
    Failure {
        consequence: Consequence::Penalty,
        ..Failure::new(Class::Empty, Elsewhere::All, "The upstream gave an empty answer.")
    }
}

/// A 200 that says nothing but that the model has spoiled its answer, a function call mostly. Nobody is to blame.
pub fn malformed() -> Failure {
    Failure::new(Class::Malformed, Elsewhere::All, "The model gave a malformed function call.")
}

/// A 200 whose body is no whole JSON: it broke off on its way. Treated like an empty answer, which it is to the client.
pub fn broken() -> Failure {
    Failure { message: "The upstream's answer broke off.".to_owned(), ..empty() }
}

/// The known classes of failure, by whose fault they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The key is unknown to Google, mistyped, deleted or expired (400 `API_KEY_INVALID`).
    KeyInvalid,
    /// The key was found in public and switched off (403).
    KeyLeaked,
    /// 401: a key that Google does not take as a credential.
    KeyUnauthenticated,
    /// The key is restricted to other APIs, referrers, addresses or apps (403 `API_KEY_…_BLOCKED`).
    KeyRestricted,
    /// The key may not use this model (403 without a reason).
    ModelForbidden,
    /// The project is suspended, denied or gone (403 `CONSUMER_…`).
    ProjectSuspended,
    /// The API is not switched on, or billing is off, in the project (403 `SERVICE_DISABLED`, `BILLING_DISABLED`).
    ProjectDisabled,
    /// The project's money is used up (402; 429 prepayment or spending cap).
    ProjectBilling,
    /// This model is closed to the project (404 "no longer available to new users").
    ModelClosed,
    /// No such model, or not for this method (404 "is not found for API version").
    ModelUnknown,
    /// A quota by the minute is used up.
    QuotaMinute,
    /// A quota by the day is used up.
    QuotaDay,
    /// The project has no quota at all for this model ("limit: 0").
    QuotaNone,
    /// 429 without details: a quota that Google does not name, or a throttle.
    QuotaUnnamed,
    /// The model is out of capacity (503; 429 of the shared quota).
    Overloaded,
    /// The upstream failed inside (500, 502, 499 and the like).
    Internal,
    /// The upstream gave up in time (504), or this gateway did.
    Timeout,
    /// No connection, or one that broke before the answer was whole.
    Network,
    /// A 200 with nothing in it.
    Empty,
    /// A 200 in which the model has spoiled its answer.
    Malformed,
    /// Google does not serve the address this gateway speaks from (location, or an IP ban).
    Egress,
    /// The request names an object of another project, or one that is gone.
    Affinity,
    /// A thought signature that this project does not take.
    Signature,
    /// The request itself is wrong; every project would say so.
    Request,
    /// This gateway sent something it must not send (no credential, two credentials).
    Gateway,
    /// Nothing that is known here. Nobody is blamed.
    Unknown,
}

impl Class {
    /// Whether a fault is the key's alone: another key of its project may serve.
    pub const fn is_the_keys(self) -> bool {
        matches!(self, Self::KeyInvalid | Self::KeyLeaked | Self::KeyUnauthenticated | Self::KeyRestricted)
    }

    /// Whether a fault is the whole project's, for every model, until its owner mends it.
    pub const fn is_the_projects(self) -> bool {
        matches!(self, Self::ProjectSuspended | Self::ProjectDisabled)
    }
}

/// What the pool has to remember of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing; nobody is to blame, or the client is.
    Nothing,
    /// The key is set aside.
    SetAside(Why),
    /// A strike against the key; three in a row set it aside ([`Why::Unauthenticated`]).
    Strike,
    /// The key's project is set aside, with all its keys.
    SetAsideProject(Why),
    /// The whole project rests.
    RestProject(Timestamp),
    /// The project rests for the model asked for, and for the quota family that the failure names.
    RestModel(Timestamp),
    /// The project is chosen last for this model for a while. Grows with repetition.
    Penalty,
}

/// Why a key or a project is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Google found it in public. Until a person says otherwise.
    Leaked,
    /// Google does not know it (any more).
    Invalid,
    /// 401, three times in a row.
    Unauthenticated,
    /// Suspended or denied.
    Suspended,
    /// Restricted to other uses, or the API is switched off.
    Restricted,
}

/// How many further projects are worth trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Elsewhere {
    /// None: they would all say the same.
    None,
    /// One more, then give up.
    One,
    /// As many as there are.
    All,
}

/// A limit that Google named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The quota family, as in `quotaDimensions.model`; none where Google named no model.
    pub family: Option<String>,
    /// What is counted, over which window.
    pub kind: LimitKind,
    /// How many.
    pub value: u64,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// Requests a minute.
    RequestsPerMinute,
    /// Requests a day.
    RequestsPerDay,
    /// Input tokens a minute.
    TokensPerMinute,
    /// Tokens a day.
    TokensPerDay,
}
