//! The table: status and error in, [`Failure`] out.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::report::{Content, Reading, Report, one_line, read};
use super::{Class, Consequence, Elsewhere, Failure, Limit, Why, quota, redact, redact_text};
use crate::secret::ApiKey;
use crate::time::Timestamp;

/// How much of an error body is read: 64 KiB. Google's are of some hundred bytes.
pub const BODY_LIMIT: usize = 64 * 1024;

/// A caller without permission for one model. Grants change when people change them.
const MODEL_FORBIDDEN: Duration = Duration::from_secs(6 * 60 * 60);
/// A model closed to new users does not open again; the project may be moved to another tier, though.
const MODEL_CLOSED: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// 402: somebody has to pay first.
const PAYMENT: Duration = Duration::from_secs(3 * 60 * 60);

/// What the upstream answered, as far as the classifier needs it.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The status line's.
    pub status: StatusCode,
    /// The content type, if it named one.
    pub content_type: Option<&'a str>,
    /// The decoded body, the first 64 KiB at most ([`BODY_LIMIT`]).
    pub body: &'a [u8],
    /// The model that was asked for, as it stands in the path without `models/`; none where the operation has none.
    pub model: Option<&'a str>,
}

/// What an unsuccessful answer means. `key` is the one that was sent; it is taken out of everything that goes on.
///
/// The status line decides, whatever the content type says: Google answers 4xx with plain JSON as
/// `text/event-stream`. Only a 2xx or 3xx is read like an event of a stream.
pub fn classify(answer: &Answer<'_>, key: &ApiKey, now: Timestamp) -> Failure {
    let body = &answer.body[..answer.body.len().min(BODY_LIMIT)];
    let reading = read(answer.content_type, body);
    let status = answer.status;
    if !(status.is_client_error() || status.is_server_error()) {
        return of_event(reading, answer.model, key, now);
    }
    let content_type = answer.content_type.and_then(|text| HeaderValue::from_str(text).ok());
    Failure { content_type, ..failure(Some(status), reading, answer.model, key, now) }
}

/// What an error object met inside a 200 means: `data: {"error": …}` (with or without the `data:`), a bare
/// tail, an array's element. The status is `error.code`, a number or a word.
pub fn classify_event(body: &[u8], model: Option<&str>, key: &ApiKey, now: Timestamp) -> Failure {
    of_event(read(None, &body[..body.len().min(BODY_LIMIT)]), model, key, now)
}

/// What has to be done, without the words.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) class: Class,
    pub(super) consequence: Consequence,
    pub(super) elsewhere: Elsewhere,
    pub(super) wait: Option<Duration>,
    pub(super) families: Vec<String>,
    pub(super) limits: Vec<Limit>,
}

impl Verdict {
    pub(super) const fn new(class: Class, consequence: Consequence, elsewhere: Elsewhere) -> Self {
        Self { class, consequence, elsewhere, wait: None, families: Vec::new(), limits: Vec::new() }
    }

    pub(super) fn with_wait(self, wait: Option<Duration>) -> Self {
        Self { wait, ..self }
    }

    /// Nothing to remember.
    const fn nothing(class: Class, elsewhere: Elsewhere) -> Self {
        Self::new(class, Consequence::Nothing, elsewhere)
    }

    /// Another project can help, and this key or project is out.
    const fn all(class: Class, consequence: Consequence) -> Self {
        Self::new(class, consequence, Elsewhere::All)
    }
}

fn of_event(reading: Reading<'_>, model: Option<&str>, key: &ApiKey, now: Timestamp) -> Failure {
    let status = match &reading.content {
        Content::Error(report) => report.status,
        Content::Page { .. } | Content::Unreadable => None,
    };
    failure(status, reading, model, key, now)
}

fn failure(
    status: Option<StatusCode>,
    reading: Reading<'_>,
    model: Option<&str>,
    key: &ApiKey,
    now: Timestamp,
) -> Failure {
    let verdict = match &reading.content {
        Content::Error(report) => of_error(status, report, model, now),
        Content::Page { banned, .. } => of_page(status, *banned, now),
        Content::Unreadable => of_status(status, now),
    };
    let (said, consumer) = match reading.content {
        Content::Error(report) => (Some(report.message), report.consumer),
        Content::Page { title, .. } => {
            let page = title.unwrap_or_else(|| "a web page".to_owned());
            (Some(format!("The upstream answered with a page instead of an error: {page}")), None)
        }
        Content::Unreadable => (None, None),
    };
    let message = one_line(&redact_text(&said.unwrap_or_default(), Some(key)));
    let message = match (message.is_empty(), status) {
        (false, _) => message,
        (true, Some(status)) => format!("The upstream answered {status}."),
        (true, None) => "The upstream gave an answer that cannot be read.".to_owned(),
    };
    Failure {
        status,
        class: verdict.class,
        consequence: verdict.consequence,
        elsewhere: verdict.elsewhere,
        retry_after: verdict.wait,
        consumer,
        families: verdict.families,
        limits: verdict.limits,
        message,
        body: reading.json.map_or_else(Bytes::new, |json| redact(json, key).into_owned().into()),
        content_type: None,
    }
}

/// An error in one of Google's shapes.
fn of_error(status: Option<StatusCode>, report: &Report, model: Option<&str>, now: Timestamp) -> Verdict {
    let said = report.said.as_str();
    let Some(code) = status.map(|status| status.as_u16()) else {
        return Verdict::nothing(Class::Unknown, Elsewhere::One);
    };
    if matches!(code, 400 | 401 | 403)
        && let Some(verdict) = of_reasons(report).or_else(|| of_credentials(said))
    {
        return verdict;
    }
    match code {
        400 => bad_request(said),
        // Only Google's own word counts against a key: a proxy on the way may want to be paid, too.
        401 if report.status == Some(StatusCode::UNAUTHORIZED) => {
            Verdict::all(Class::KeyUnauthenticated, Consequence::Strike)
        }
        401 => Verdict::nothing(Class::Unknown, Elsewhere::All),
        402 if report.status == status => {
            Verdict::all(Class::ProjectBilling, Consequence::RestProject(now + PAYMENT))
        }
        403 => forbidden(said, model, now),
        404 => not_found(report, model, now),
        429 => quota::read(report, now),
        503 | 529 => of_status(status, now).with_wait(report.delay),
        _ => of_status(status, now),
    }
}

/// `ErrorInfo.reason` (google.api.ErrorReason), which no client can write.
fn of_reasons(report: &Report) -> Option<Verdict> {
    report.reasons.iter().find_map(|reason| {
        let verdict = match reason.as_str() {
            "API_KEY_INVALID" => Verdict::all(Class::KeyInvalid, Consequence::SetAside(Why::Invalid)),
            "CONSUMER_SUSPENDED" | "CONSUMER_INVALID" => {
                Verdict::all(Class::ProjectSuspended, Consequence::SetAsideProject(Why::Suspended))
            }
            "SERVICE_DISABLED" | "BILLING_DISABLED" => {
                Verdict::all(Class::ProjectDisabled, Consequence::SetAsideProject(Why::Restricted))
            }
            "CREDENTIALS_MISSING" | "OVERLOADED_CREDENTIALS" => {
                Verdict::nothing(Class::Gateway, Elsewhere::None)
            }
            // Services, referrers, addresses, Android and iOS apps.
            blocked if blocked.starts_with("API_KEY_") && blocked.ends_with("_BLOCKED") => {
                Verdict::all(Class::KeyRestricted, Consequence::SetAside(Why::Restricted))
            }
            _ => return None,
        };
        Some(verdict)
    })
}

/// The same faults where only the sentence tells. Sentences are compared from their beginning: what a client
/// wrote is quoted further on.
fn of_credentials(said: &str) -> Option<Verdict> {
    let begins = |sentences: &[&str]| sentences.iter().any(|sentence| said.starts_with(sentence));
    let verdict = if begins(&["api key not valid", "api key not found", "api key expired"]) {
        Verdict::all(Class::KeyInvalid, Consequence::SetAside(Why::Invalid))
    } else if begins(&["your api key was reported as leaked"]) {
        Verdict::all(Class::KeyLeaked, Consequence::SetAside(Why::Leaked))
    } else if begins(&["permission denied: consumer "]) && said.contains("' has been suspended")
        || begins(&["your project has been denied access"])
    {
        Verdict::all(Class::ProjectSuspended, Consequence::SetAsideProject(Why::Suspended))
    } else if begins(&["requests to this api ", "requests from "])
        && said.trim_end().ends_with("are blocked.")
        || begins(&["the provided api key has an ip address restriction"])
    {
        Verdict::all(Class::KeyRestricted, Consequence::SetAside(Why::Restricted))
    } else if begins(&["generative language api has not been used in project "]) {
        Verdict::all(Class::ProjectDisabled, Consequence::SetAsideProject(Why::Restricted))
    } else if begins(&["multiple authentication credentials", "method doesn't allow unregistered callers"]) {
        Verdict::nothing(Class::Gateway, Elsewhere::None)
    } else if begins(&["user location is not supported", "gemini api free tier is not available"]) {
        if said.contains("billing") {
            // Projects that pay are served there.
            Verdict::new(Class::Egress, Consequence::Penalty, Elsewhere::All)
        } else {
            Verdict::nothing(Class::Egress, Elsewhere::None)
        }
    } else {
        return None;
    };
    Some(verdict)
}

/// 400: the request's own fault, once credentials and places are out of the question.
fn bad_request(said: &str) -> Verdict {
    // A signature that is missing, or stands in the wrong place, is no signature of another project.
    let refused =
        ["corrupted thought signature", "invalid thought signature", "thought signature is not valid"];
    let said = said.replace("thought_signature", "thought signature");
    let signature = refused.iter().any(|words| said.contains(words));
    Verdict::nothing(if signature { Class::Signature } else { Class::Request }, Elsewhere::None)
}

/// 403 without a fault of key or project: a thing of another project, a gated model, or something new.
fn forbidden(said: &str, model: Option<&str>, now: Timestamp) -> Verdict {
    let foreign =
        ["do not have permission to access", "or it may not exist", "not found (or permission denied)"];
    if foreign.iter().any(|words| said.contains(words)) || names_object(said) {
        return Verdict::nothing(Class::Affinity, Elsewhere::None);
    }
    if !said.starts_with("the caller does not have permission") {
        return Verdict::nothing(Class::Unknown, Elsewhere::All);
    }
    match model {
        Some(model) if is_owned_model(model) => Verdict::nothing(Class::Affinity, Elsewhere::None),
        Some(_) => Verdict::all(Class::ModelForbidden, Consequence::RestModel(now + MODEL_FORBIDDEN)),
        None => Verdict::nothing(Class::Unknown, Elsewhere::One),
    }
}

/// 404: a model that is closed to this project, one that nobody has, or an object.
fn not_found(report: &Report, model: Option<&str>, now: Timestamp) -> Verdict {
    let said = report.said.as_str();
    // A message about an unknown model begins with its name, which is the client's word.
    if said.contains("no longer available to new users") && !said.starts_with("models/") {
        return Verdict::all(Class::ModelClosed, Consequence::RestModel(now + MODEL_CLOSED));
    }
    if names_object(said) || model.is_some_and(is_owned_model) {
        return Verdict::nothing(Class::Affinity, Elsewhere::None);
    }
    let model_unknown = report.word == "model_not_found"
        || said.contains("is not found for api version")
        || said.starts_with("models/")
        || said.starts_with("model ");
    if model_unknown {
        return Verdict::nothing(Class::ModelUnknown, Elsewhere::None);
    }
    let object = said.contains("not found") || said.contains("does not exist") || report.word == "not_found";
    Verdict::nothing(if object { Class::Affinity } else { Class::Request }, Elsewhere::None)
}

/// Whether a sentence names an object that belongs to one project.
fn names_object(said: &str) -> bool {
    const COLLECTIONS: [&str; 17] = [
        "files/",
        "cachedcontents/",
        "batches/",
        "operations/",
        "filesearchstores/",
        "ragstores/",
        "tunedmodels/",
        "corpora/",
        "generatedfiles/",
        "interactions/",
        "agents/",
        "environments/",
        "credentials/",
        "triggers/",
        "webhooks/",
        "voices/",
        "auth_tokens/",
    ];
    let named = |collection: &&str| {
        said.match_indices(*collection).any(|(at, _)| {
            let before = said[..at].rsplit(char::is_whitespace).next().unwrap_or_default();
            let after = said[at + collection.len()..].chars().next();
            // Neither the end of a longer word, nor a link to somewhere else.
            let link = before.contains("://") && !before.contains("generativelanguage");
            !link && !before.ends_with(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric)
        })
    };
    said.starts_with("cachedcontent ") || COLLECTIONS.iter().any(named)
}

/// Models that a project made itself.
fn is_owned_model(model: &str) -> bool {
    ["tunedModels/", "corpora/"].iter().any(|collection| model.starts_with(collection))
}

/// A page: Google's front end, or a proxy on the way. A key is never to blame.
fn of_page(status: Option<StatusCode>, banned: bool, now: Timestamp) -> Verdict {
    if banned {
        return Verdict::nothing(Class::Egress, Elsewhere::None);
    }
    match status.map(|status| status.as_u16()) {
        Some(401..=403 | 429) => Verdict::nothing(Class::Unknown, Elsewhere::One),
        _ => of_status(status, now),
    }
}

/// What the status alone says. The safest reading: nobody is struck or set aside.
fn of_status(status: Option<StatusCode>, now: Timestamp) -> Verdict {
    let Some(status) = status else {
        return Verdict::nothing(Class::Unknown, Elsewhere::One);
    };
    match status.as_u16() {
        401..=403 => Verdict::nothing(Class::Unknown, Elsewhere::One),
        // A proxy between here and Google wants a password.
        407 => Verdict::nothing(Class::Egress, Elsewhere::None),
        408 | 504 | 524 => Verdict::nothing(Class::Timeout, Elsewhere::One),
        429 => quota::unreadable(now),
        // The client is still here, so it was the upstream that gave up.
        499 => Verdict::nothing(Class::Internal, Elsewhere::One),
        501 => Verdict::nothing(Class::Request, Elsewhere::None),
        503 | 529 => Verdict::new(Class::Overloaded, Consequence::Penalty, Elsewhere::All),
        // A 500 can be the request's doing (a context that is too long), hence one more project and not all;
        // a project that gives nothing else is chosen last after a while.
        500..=599 => Verdict::new(Class::Internal, Consequence::Penalty, Elsewhere::One),
        400..=499 => Verdict::nothing(Class::Request, Elsewhere::None),
        _ => Verdict::nothing(Class::Unknown, Elsewhere::One),
    }
}
