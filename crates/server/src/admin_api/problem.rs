//! Why something is not done, as the administration says it.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::administration::Refusal;

/// What is answered where something is not done.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body {
    error: Said,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Wrong)]
struct Said {
    /// The same word for the same reason: `unauthorized`, `wrong_field` …
    code: &'static str,
    /// One or two sentences for a person.
    message: String,
    /// The field of the body, or the parameter of the query, that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    code: &'static str,
    message: String,
    field: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    /// The methods that the path takes, where it does not take this one.
    pub(crate) allow: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), field: None, retry_after: None, allow: None }
    }

    /// A body or a query that is not as it is described.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// A field of the body or a parameter of the query that is not as it is described.
    pub(crate) fn wrong_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let field = Some(field.into());
        Self { field, ..Self::new(StatusCode::BAD_REQUEST, "wrong_field", message) }
    }

    /// What is well said and cannot be.
    pub(crate) fn impossible(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "impossible", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(crate) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    pub(crate) fn only_looks() -> Self {
        Self::new(StatusCode::FORBIDDEN, "only_looks", "This token is for looking alone. 此令牌只能查看。")
    }

    pub(crate) fn wrong_confirmation() -> Self {
        let message = "The token in the body is not the administrator's. 请求体中的令牌不正确。";
        Self { field: Some("token".to_owned()), ..Self::new(StatusCode::FORBIDDEN, "wrong_token", message) }
    }

    pub(crate) fn too_many_guesses(wait: Duration) -> Self {
        let message =
            "Too many wrong tokens came from this address: wait a moment. 此地址的错误令牌过多，请稍候。";
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_guesses", message);
        Self { retry_after: Some(wait), ..problem }
    }

    /// Something that cannot be had because nothing is stored here.
    pub(crate) fn no_store() -> Self {
        let message = "Nothing is stored here (LIBRA_DATA): this cannot be kept. 未启用存储（LIBRA_DATA）。";
        Self::new(StatusCode::CONFLICT, "no_store", message)
    }

    /// The disk has failed.
    pub(crate) fn disk(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "disk", message)
    }

    /// A method that the path does not take, and those that it does.
    pub(crate) fn allowing(self, allow: String) -> Self {
        Self { allow: Some(allow), ..self }
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn body(&self) -> Body {
        let Self { code, message, field, .. } = self.clone();
        Body { error: Said { code, message, field } }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::NoStore(_) => Self::new(StatusCode::CONFLICT, "no_store", message),
            Refusal::NotFound(_) => Self::not_found(message),
            Refusal::Wrong(_) => Self::impossible(message),
            Refusal::Disk(_) => Self::disk(message),
        }
    }
}
