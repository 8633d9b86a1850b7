//! Google's errors, in Google's own shapes: `google.rpc.Status` as JSON, with the details that each class has.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::config::Tier;
use crate::fault::Fault;
use crate::json;
use crate::quota::{Limits, Quota};

const DOCS: &str = "https://ai.google.dev/gemini-api/docs/rate-limits";
const HOST: &str = "generativelanguage.googleapis.com";
const SERVICE: &str = "google.ai.generativelanguage";

/// An error answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GoogleError {
    /// The HTTP status, which is also `error.code`.
    pub status: u16,
    /// `{"error": {"code", "message", "status", "details"?}}`
    pub body: Value,
}

/// How the answer that an error takes the place of would have been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// One JSON object.
    Single,
    /// Server-sent events (`alt=sse`).
    Events,
    /// A JSON array, written while it grows.
    Array,
}

/// Whom an error speaks to, and about what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances<'a> {
    /// The key that was used.
    pub key: &'a str,
    /// The number of its project.
    pub project: u64,
    /// The project's tier.
    pub tier: Tier,
    /// The project's quotas for the model.
    pub limits: Limits,
    /// The model asked for, without `models/`. Empty where none was.
    pub model: &'a str,
    /// `v1`, `v1beta` or `v1alpha`.
    pub version: &'a str,
    /// The method asked for, `generateContent`.
    pub method: &'a str,
    /// Milliseconds until the minute's quotas have room again.
    pub retry_after: u64,
}

impl GoogleError {
    fn new(status: u16, message: impl Into<String>) -> Self {
        let message = message.into();
        let name = match status {
            400 => "INVALID_ARGUMENT",
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            409 => "ALREADY_EXISTS",
            416 => "OUT_OF_RANGE",
            429 => "RESOURCE_EXHAUSTED",
            499 => "CANCELLED",
            503 => "UNAVAILABLE",
            504 => "DEADLINE_EXCEEDED",
            302 => "UNKNOWN",
            _ => "INTERNAL",
        };
        Self { status, body: json!({ "error": { "code": status, "message": message, "status": name } }) }
    }

    fn named(mut self, status: &str) -> Self {
        self.body["error"]["status"] = json!(status);
        self
    }

    fn with(mut self, details: Value) -> Self {
        self.body["error"]["details"] = details;
        self
    }

    /// With `google.rpc.ErrorInfo` and, as it usually comes with it, the message again as `LocalizedMessage`.
    fn because(self, reason: &str, metadata: Value) -> Self {
        let message = self.body["error"]["message"].clone();
        let localized = json!({
            "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
            "locale": "en-US",
            "message": message,
        });
        self.with(json!([error_info(reason, metadata), localized]))
    }

    /// As the interactions and their family say it: a word for a code, and nothing but a message besides.
    pub(crate) fn in_words(mut self) -> Self {
        let message = self.body["error"]["message"].take();
        let said = message.as_str().unwrap_or_default();
        if said.starts_with("Your prepayment credits") {
            self.status = 402;
        }
        let code = match self.status {
            400 if self.body["error"]["status"] == "FAILED_PRECONDITION" => "failed_precondition",
            400 => "invalid_request",
            401 => "unauthenticated",
            402 => "payment_required",
            403 => "permission_denied",
            404 if said.starts_with("models/") => "model_not_found",
            404 => "not_found",
            409 => "already_exists",
            416 => "out_of_range",
            429 if self.body.to_string().contains("PerDay") => "quota_exceeded",
            429 => "rate_limit_exceeded",
            499 => "cancelled",
            501 => "unimplemented",
            503 => "service_unavailable",
            504 => "deadline_exceeded",
            _ => "api_error",
        };
        self.body = json!({ "error": { "code": code, "message": message } });
        self
    }

    /// The whole body. Errors of a growing array come as an array; those of events as a plain object.
    pub(crate) fn bytes(&self, form: Form) -> Bytes {
        let object = json::pretty(&self.body);
        match form {
            Form::Single | Form::Events => object.into(),
            Form::Array => [b"[", object.as_slice(), b"]"].concat().into(),
        }
    }

    /// 400: the request itself is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    /// 400: fields that the message at `path` does not have.
    pub(crate) fn unknown_fields(path: &str, names: &[&str]) -> Self {
        let place = if path.is_empty() { String::new() } else { format!(" at '{path}'") };
        let messages: Vec<String> = names
            .iter()
            .map(|name| {
                format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field.")
            })
            .collect();
        Self::bad_field(path, &messages)
    }

    /// 400: a value that its field cannot have.
    pub(crate) fn invalid_value(path: &str, what: &str) -> Self {
        Self::bad_field(path, &[format!("Invalid value at '{path}' {what}")])
    }

    fn bad_field(path: &str, messages: &[String]) -> Self {
        let violations: Vec<Value> = messages
            .iter()
            .map(|message| match path {
                "" => json!({ "description": message }),
                path => json!({ "field": path, "description": message }),
            })
            .collect();
        Self::invalid(messages.join("\n")).with(json!([{
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": violations,
        }]))
    }

    /// 403: no credential.
    pub(crate) fn no_credential() -> Self {
        Self::new(
            403,
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key \
             or other form of API consumer identity to call this API.",
        )
    }

    /// 400: more than one credential.
    pub(crate) fn several_credentials() -> Self {
        Self::invalid("Multiple authentication credentials received. Please pass only one.")
    }

    /// 400: a key that Google does not know.
    pub(crate) fn key_invalid() -> Self {
        Self::invalid("API key not valid. Please pass a valid API key.")
            .because("API_KEY_INVALID", json!({ "service": HOST }))
    }

    /// 404: a model that there is not, or that cannot be asked so.
    pub(crate) fn no_such_model(model: &str, version: &str, method: &str) -> Self {
        if method == "get" {
            return Self::new(404, format!("Model is not found: models/{model} for api version {version}"));
        }
        Self::new(
            404,
            format!(
                "models/{model} is not found for API version {version}, or is not supported for {method}. Call \
                 ListModels to see the list of available models and their supported methods."
            ),
        )
    }

    /// 429: limits without room.
    pub(crate) fn quota(quotas: &[(Quota, u64)], about: Circumstances<'_>) -> Self {
        let named: Vec<_> =
            quotas.iter().map(|(quota, value)| (quota_names(*quota, about.tier), *value)).collect();
        let delay = format!("{}.{:03}s", about.retry_after / 1000, about.retry_after % 1000);
        let mut message = format!(
            "You exceeded your current quota, please check your plan and billing details. For more information on \
             this error, head to: {DOCS}. To monitor your current usage, head to: https://ai.dev/rate-limit. "
        );
        for ((metric, _), value) in &named {
            message.push_str(&format!(
                "\n* Quota exceeded for metric: {HOST}/{metric}, limit: {value}, model: {}",
                about.model
            ));
        }
        message.push_str(&format!("\nPlease retry in {delay}."));
        let violations: Vec<Value> = named
            .iter()
            .map(|((metric, id), value)| {
                json!({
                    "quotaMetric": format!("{HOST}/{metric}"),
                    "quotaId": id,
                    "quotaDimensions": { "location": "global", "model": about.model },
                    "quotaValue": value.to_string(),
                })
            })
            .collect();
        Self::new(429, message).with(json!([
            { "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations },
            help("Learn more about Gemini API quotas", DOCS),
            { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay },
        ]))
    }

    /// What a fault says instead of an answer. None: the fault is not a refusal.
    pub(crate) fn refusal(fault: Fault, about: Circumstances<'_>) -> Option<Self> {
        let consumer = format!("projects/{}", about.project);
        let limits = about.limits;
        let quota = |quota, value: Option<u64>, usual| Self::quota(&[(quota, value.unwrap_or(usual))], about);
        Some(match fault {
            Fault::Invalid => Self::key_invalid(),
            Fault::Expired => Self::invalid("API key expired. Please renew the API key.")
                .because("API_KEY_INVALID", json!({ "service": HOST })),
            Fault::Leaked => {
                Self::new(403, "Your API key was reported as leaked. Please use another API key.")
            }
            Fault::Suspended => {
                let who = format!("api_key:{}", about.key);
                Self::new(403, format!("Permission denied: Consumer '{who}' has been suspended.")).because(
                    "CONSUMER_SUSPENDED",
                    json!({ "service": HOST, "consumer": consumer, "containerInfo": who }),
                )
            }
            Fault::Restricted => {
                let method = rpc(about);
                Self::new(403, format!("Requests to this API {HOST} method {method} are blocked.")).because(
                    "API_KEY_SERVICE_BLOCKED",
                    json!({ "service": HOST, "consumer": consumer, "apiName": HOST, "methodName": method }),
                )
            }
            Fault::AddressBlocked => Self::new(
                403,
                "The provided API key has an IP address restriction. The originating IP address of the call \
                 violates this restriction.",
            )
            .with(json!([error_info(
                "API_KEY_IP_ADDRESS_BLOCKED",
                json!({ "service": HOST, "consumer": consumer, "callerIp": "192.0.2.1" }),
            )])),
            Fault::ServiceDisabled => {
                let console = format!(
                    "https://console.developers.google.com/apis/api/{HOST}/overview?project={}",
                    about.project
                );
                Self::new(
                    403,
                    format!(
                        "Generative Language API has not been used in project {} before or it is disabled. Enable \
                         it by visiting {console} then retry. If you enabled this API recently, wait a few minutes \
                         for the action to propagate to our systems and retry.",
                        about.project
                    ),
                )
                .with(json!([
                    help("Google developers console API activation", &console),
                    error_info("SERVICE_DISABLED", json!({ "service": HOST, "consumer": consumer })),
                ]))
            }
            Fault::BillingDisabled => Self::new(
                403,
                format!(
                    "This API method requires billing to be enabled. Please enable billing on project #{0} by \
                     visiting https://console.developers.google.com/billing/enable?project={0} then retry.",
                    about.project
                ),
            )
            .with(json!([error_info(
                "BILLING_DISABLED",
                json!({ "service": HOST, "consumer": consumer }),
            )])),
            Fault::Forbidden => Self::new(403, "The caller does not have permission"),
            Fault::FileForbidden => Self::new(
                403,
                "You do not have permission to access the File simulated or it may not exist.",
            ),
            Fault::Unauthenticated => Self::new(
                401,
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or \
                 other valid authentication credential. See \
                 https://developers.google.com/identity/sign-in/web/devconsole-project.",
            )
            .with(json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "ACCESS_TOKEN_TYPE_UNSUPPORTED",
                "metadata": { "method": rpc(about), "service": HOST },
            }])),
            Fault::DayLimit => quota(Quota::RequestsPerDay, limits.requests_per_day, 250),
            Fault::MinuteLimit => quota(Quota::RequestsPerMinute, limits.requests_per_minute, 10),
            Fault::TokenLimit => quota(Quota::InputTokensPerMinute, limits.input_tokens_per_minute, 250_000),
            Fault::NoQuota => Self::quota(
                &[
                    (Quota::RequestsPerDay, 0),
                    (Quota::RequestsPerMinute, 0),
                    (Quota::InputTokensPerMinute, 0),
                ],
                about,
            ),
            Fault::Prepay => Self::new(
                429,
                "Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to \
                 manage your project and billing.",
            ),
            Fault::SpendingCap => Self::new(
                429,
                "Your project has exceeded its monthly spending cap. Please go to AI Studio at \
                 https://ai.studio/spend to manage your project spend cap.",
            ),
            Fault::HelpOnly => Self::new(
                429,
                format!(
                    "You exceeded your current quota, please check your plan and billing details. For more \
                     information on this error, head to: {DOCS}."
                ),
            )
            .with(json!([help("Learn more about Gemini API quotas", DOCS)])),
            Fault::BareExhausted => Self::new(429, "Resource has been exhausted (e.g. check quota)."),
            Fault::SharedExhausted => Self::new(
                429,
                "Resource exhausted. Please try again later. Please refer to \
                 https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.",
            ),
            Fault::Overloaded => Self::overloaded(),
            Fault::Internal => Self::new(
                500,
                "An internal error has occurred. Please retry or report in \
                 https://developers.generativeai.google/guide/troubleshooting",
            ),
            Fault::Deadline => Self::new(504, "Deadline expired before operation could complete."),
            Fault::Cancelled => Self::new(499, "The operation was cancelled."),
            Fault::ModelClosed => Self::new(
                404,
                format!(
                    "This model models/{} is no longer available to new users. Please update your code to use a \
                     newer model for the latest features and improvements.",
                    about.model
                ),
            ),
            Fault::Location => Self::invalid("User location is not supported for the API use.")
                .named("FAILED_PRECONDITION"),
            Fault::BadRequest => Self::invalid("Request contains an invalid argument."),
            Fault::CorruptSignature => Self::invalid("Corrupted thought signature."),
            Fault::Empty
            | Fault::EmptyCandidate
            | Fault::NoContent
            | Fault::MaxTokens
            | Fault::Blocked
            | Fault::Safety
            | Fault::Malformed
            | Fault::ProjectLimited
            | Fault::FirstEventError
            | Fault::EventError
            | Fault::RawErrorTail
            | Fault::Truncated
            | Fault::Cut
            | Fault::Stall
            | Fault::Silent
            | Fault::Hang
            | Fault::ResetBeforeHeaders
            | Fault::Html(_)
            | Fault::SlowFirstByte(_) => return None,
        })
    }

    /// 403 for what belongs to another project, or is not there: Google does not say which.
    pub(crate) fn foreign(kind: &str, id: &str) -> Self {
        Self::new(403, format!("You do not have permission to access the {kind} {id} or it may not exist."))
    }

    /// The same of a file. `name` without `files/`.
    pub(crate) fn foreign_file(name: &str) -> Self {
        Self::foreign("File", name)
    }

    /// 401: what only a person may do, who has an OAuth token.
    pub(crate) fn key_unsupported() -> Self {
        Self::new(
            401,
            "API keys are not supported by this API. Expected OAuth2 access token or other authentication \
             credentials that assert a principal. See https://cloud.google.com/docs/authentication",
        )
        .with(json!([error_info("CREDENTIALS_MISSING", json!({ "service": HOST }))]))
    }

    /// 403 with a sentence.
    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(403, message)
    }

    /// 404 for what belongs to another project, or is not there.
    pub(crate) fn no_such_entity() -> Self {
        Self::new(404, "Requested entity was not found.")
    }

    /// 404 with a sentence.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, message)
    }

    /// 400: not now.
    pub(crate) fn precondition(message: impl Into<String>) -> Self {
        Self::new(400, message).named("FAILED_PRECONDITION")
    }

    /// 409: a name that is taken.
    pub(crate) fn exists(message: impl Into<String>) -> Self {
        Self::new(409, message)
    }

    /// 416: a part of a body that there is not.
    pub(crate) fn out_of_range() -> Self {
        Self::new(416, "The requested range cannot be satisfied.")
    }

    /// The body that comes with a 302.
    pub(crate) fn elsewhere() -> Self {
        Self::new(302, "Unknown Error.")
    }

    /// 503: also what breaks into streams.
    pub(crate) fn overloaded() -> Self {
        Self::new(
            503,
            "This model is currently experiencing high demand. Spikes in demand are usually temporary. Please try \
             again later.",
        )
    }
}

fn error_info(reason: &str, metadata: Value) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": metadata,
    })
}

fn help(description: &str, url: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.Help",
        "links": [{ "description": description, "url": url }],
    })
}

/// The full name of the method, `google.ai.generativelanguage.v1beta.GenerativeService.GenerateContent`.
fn rpc(about: Circumstances<'_>) -> String {
    let mut letters = about.method.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let method: String = first.into_iter().chain(letters).collect();
    let service = if about.model.is_empty() { "ModelService" } else { "GenerativeService" };
    format!("{SERVICE}.{}.{service}.{method}", about.version)
}

/// Metric and id of a quota. The free tier's ids end in `-FreeTier`.
fn quota_names(quota: Quota, tier: Tier) -> (&'static str, &'static str) {
    match (quota, tier) {
        (Quota::RequestsPerMinute, Tier::Free) => {
            ("generate_content_free_tier_requests", "GenerateRequestsPerMinutePerProjectPerModel-FreeTier")
        }
        (Quota::RequestsPerDay, Tier::Free) => {
            ("generate_content_free_tier_requests", "GenerateRequestsPerDayPerProjectPerModel-FreeTier")
        }
        (Quota::InputTokensPerMinute, Tier::Free) => (
            "generate_content_free_tier_input_token_count",
            "GenerateContentInputTokensPerModelPerMinute-FreeTier",
        ),
        (Quota::RequestsPerMinute, Tier::Paid) => {
            ("generate_requests_per_model", "GenerateRequestsPerMinutePerProjectPerModel")
        }
        (Quota::RequestsPerDay, Tier::Paid) => {
            ("generate_requests_per_model_per_day", "GenerateRequestsPerDayPerProjectPerModel")
        }
        (Quota::InputTokensPerMinute, Tier::Paid) => (
            "generate_content_paid_tier_input_token_count",
            "GenerateContentPaidTierInputTokensPerModelPerMinute",
        ),
    }
}

/// The page that Google's front end serves where there is nothing.
pub(crate) const NOT_FOUND_PAGE: &str = "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  \
    <meta name=viewport content=\"initial-scale=1, minimum-scale=1, width=device-width\">\n  \
    <title>Error 404 (Not Found)!!1</title>\n  \
    <p><b>404.</b> <ins>That’s an error.</ins>\n  \
    <p>The requested URL was not found on this server.  <ins>That’s all we know.</ins>\n";

/// The page for addresses that Google holds for robots.
pub(crate) const SORRY_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Sorry...</title></head>\n<body>\n\
    <h1>We're sorry...</h1>\n<p>... but your computer or network may be sending automated queries. To protect our \
    users, we can't process your request right now.</p>\n</body></html>\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::PLAIN;

    const ABOUT: Circumstances<'_> = Circumstances {
        key: "key-one",
        project: 123,
        tier: Tier::Free,
        limits: Limits {
            requests_per_minute: Some(3),
            input_tokens_per_minute: None,
            requests_per_day: Some(4),
        },
        model: "gemini-2.5-flash",
        version: "v1beta",
        method: "generateContent",
        retry_after: 45_837,
    };

    /// Fault, HTTP status, name of the status, and what else has to be at which place.
    type Row = (Fault, u16, &'static str, &'static [(&'static str, &'static str)]);

    const ROWS: &[Row] = &[
        (Fault::Invalid, 400, "INVALID_ARGUMENT", &[("/details/0/reason", "API_KEY_INVALID")]),
        (Fault::Expired, 400, "INVALID_ARGUMENT", &[("/details/0/reason", "API_KEY_INVALID")]),
        (Fault::Leaked, 403, "PERMISSION_DENIED", &[("/message", "reported as leaked")]),
        (
            Fault::Suspended,
            403,
            "PERMISSION_DENIED",
            &[
                ("/message", "api_key:key-one"),
                ("/details/0/reason", "CONSUMER_SUSPENDED"),
                ("/details/0/metadata/consumer", "projects/123"),
                ("/details/0/metadata/containerInfo", "key-one"),
                ("/details/1/message", "key-one"),
            ],
        ),
        (
            Fault::Restricted,
            403,
            "PERMISSION_DENIED",
            &[
                ("/details/0/reason", "API_KEY_SERVICE_BLOCKED"),
                ("/details/0/metadata/methodName", "v1beta.GenerativeService.GenerateContent"),
            ],
        ),
        (
            Fault::AddressBlocked,
            403,
            "PERMISSION_DENIED",
            &[
                ("/details/0/reason", "API_KEY_IP_ADDRESS_BLOCKED"),
                ("/details/0/metadata/callerIp", "192.0.2.1"),
            ],
        ),
        (
            Fault::ServiceDisabled,
            403,
            "PERMISSION_DENIED",
            &[("/details/1/reason", "SERVICE_DISABLED"), ("/details/1/metadata/consumer", "projects/123")],
        ),
        (Fault::BillingDisabled, 403, "PERMISSION_DENIED", &[("/details/0/reason", "BILLING_DISABLED")]),
        (Fault::Forbidden, 403, "PERMISSION_DENIED", &[("/message", "The caller does not have permission")]),
        (Fault::FileForbidden, 403, "PERMISSION_DENIED", &[("/message", "permission to access the File")]),
        (
            Fault::Unauthenticated,
            401,
            "UNAUTHENTICATED",
            &[("/details/0/reason", "ACCESS_TOKEN_TYPE_UNSUPPORTED")],
        ),
        (
            Fault::DayLimit,
            429,
            "RESOURCE_EXHAUSTED",
            &[
                ("/details/0/violations/0/quotaId", "GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
                ("/details/0/violations/0/quotaValue", "4"),
                ("/details/0/violations/0/quotaDimensions/model", "gemini-2.5-flash"),
                ("/details/1/links/0/url", "rate-limits"),
                ("/details/2/retryDelay", "45.837s"),
                ("/message", "Please retry in 45.837s."),
                ("/message", "limit: 4, model: gemini-2.5-flash"),
            ],
        ),
        (
            Fault::MinuteLimit,
            429,
            "RESOURCE_EXHAUSTED",
            &[
                ("/details/0/violations/0/quotaMetric", "generate_content_free_tier_requests"),
                ("/details/0/violations/0/quotaId", "PerMinute"),
                ("/details/0/violations/0/quotaValue", "3"),
                ("/details/2/@type", "google.rpc.RetryInfo"),
            ],
        ),
        (
            Fault::TokenLimit,
            429,
            "RESOURCE_EXHAUSTED",
            &[
                ("/details/0/violations/0/quotaId", "InputTokensPerModelPerMinute"),
                ("/details/0/violations/0/quotaValue", "250000"),
            ],
        ),
        (
            Fault::NoQuota,
            429,
            "RESOURCE_EXHAUSTED",
            &[
                ("/message", "limit: 0"),
                ("/details/0/violations/0/quotaValue", "0"),
                ("/details/0/violations/2/quotaValue", "0"),
            ],
        ),
        (Fault::Prepay, 429, "RESOURCE_EXHAUSTED", &[("/message", "prepayment credits are depleted")]),
        (Fault::SpendingCap, 429, "RESOURCE_EXHAUSTED", &[("/message", "monthly spending cap")]),
        (
            Fault::HelpOnly,
            429,
            "RESOURCE_EXHAUSTED",
            &[("/details/0/@type", "type.googleapis.com/google.rpc.Help")],
        ),
        (Fault::BareExhausted, 429, "RESOURCE_EXHAUSTED", &[("/message", "Resource has been exhausted")]),
        (Fault::SharedExhausted, 429, "RESOURCE_EXHAUSTED", &[("/message", "error-code-429")]),
        (Fault::Overloaded, 503, "UNAVAILABLE", &[("/message", "high demand")]),
        (Fault::Internal, 500, "INTERNAL", &[("/message", "internal error")]),
        (Fault::Deadline, 504, "DEADLINE_EXCEEDED", &[("/message", "Deadline expired")]),
        (Fault::Cancelled, 499, "CANCELLED", &[("/message", "cancelled")]),
        (Fault::ModelClosed, 404, "NOT_FOUND", &[("/message", "no longer available to new users")]),
        (Fault::Location, 400, "FAILED_PRECONDITION", &[("/message", "User location is not supported")]),
        (Fault::BadRequest, 400, "INVALID_ARGUMENT", &[("/message", "invalid argument")]),
        (Fault::CorruptSignature, 400, "INVALID_ARGUMENT", &[("/message", "Corrupted thought signature.")]),
    ];

    #[test]
    fn refusals_have_what_their_class_has() {
        for (fault, status, name, places) in ROWS {
            let error = GoogleError::refusal(*fault, ABOUT).expect("the table has refusals only");
            assert_eq!(error.status, *status, "{fault}");
            let body: Value = serde_json::from_slice(&error.bytes(Form::Single)).expect("errors are JSON");
            assert_eq!(body["error"]["code"], *status, "{fault}");
            assert_eq!(body["error"]["status"], *name, "{fault}");
            for (place, text) in *places {
                let found = body["error"].pointer(place).and_then(Value::as_str).unwrap_or_default();
                assert!(found.contains(text), "{fault}: {place} is {found:?}, not {text:?}");
            }
        }
        let refusals =
            PLAIN.iter().filter(|(_, fault)| GoogleError::refusal(*fault, ABOUT).is_some()).count();
        assert_eq!(refusals, ROWS.len(), "a refusal is missing in the table");
    }

    #[test]
    fn unknown_fields_are_named_with_their_place() {
        let error = GoogleError::unknown_fields("generation_config", &["topX", "topY"]);
        let message = error.body["error"]["message"].as_str().expect("there is a message");
        assert!(
            message.contains("Unknown name \"topX\" at 'generation_config': Cannot find field."),
            "{message}"
        );
        assert_eq!(error.body["error"]["details"][0]["fieldViolations"][1]["field"], "generation_config");
        let error = GoogleError::unknown_fields("", &["topX"]);
        let message = error.body["error"]["message"].as_str().expect("there is a message");
        assert_eq!(message, "Invalid JSON payload received. Unknown name \"topX\": Cannot find field.");
    }

    #[test]
    fn errors_of_arrays_are_arrays() {
        let error = GoogleError::overloaded();
        assert!(error.bytes(Form::Array).starts_with(b"[{\n  \"error\": {\n    \"code\": 503,"));
        assert!(error.bytes(Form::Events).starts_with(b"{\n  \"error\": {"));
        assert!(error.bytes(Form::Single).ends_with(b"}\n}\n"));
    }
}
