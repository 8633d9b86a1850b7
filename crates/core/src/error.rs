//! What a client is told when its request cannot be served, and how each dialect words it.
//!
//! An [`Error`] is never a [`Failure`](crate::failure::Failure): the one is what the client hears, the other
//! what the upstream did. [`retry`](crate::retry) turns failures into the truest error.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::mark::RequestId;

/// The protocol a client speaks, and in which it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Google's own API.
    Gemini,
    /// OpenAI's chat completions, models and what belongs to them.
    OpenAi,
    /// Anthropic's messages.
    Anthropic,
}

/// The longest message, in bytes. Google's have up to some kilobytes; what is longer quotes the client's own words.
const LONGEST_MESSAGE: usize = 8 << 10;

/// A recovery within this time is worth an SDK's own retries.
const SOON: Duration = Duration::from_secs(60);

/// What went wrong, from the client's point of view. Decides the status and every dialect's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 400: the request cannot be understood or is not allowed as it is.
    BadRequest,
    /// 400: Gemini's filters stand in the way of an answer.
    Blocked,
    /// 400: more tokens than the model takes. Agents shorten the conversation when they hear it.
    PromptTooLong,
    /// 400: an image that the request names by address cannot be had.
    ImageUrl,
    /// 401: no key, or one that may not use the pool.
    Unauthorized,
    /// 403: known, but not allowed.
    Forbidden,
    /// 404: no such path.
    NotFound,
    /// 404: no such model.
    ModelNotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    RequestTimeout,
    /// 413: the body is larger than the gateway takes.
    TooLarge,
    /// 415: a content encoding that cannot be read here.
    UnsupportedEncoding,
    /// 429: too much for now; a wait helps.
    RateLimited,
    /// 499 upstream, or the like: the upstream gave the request up.
    Cancelled,
    /// 500: the upstream or the gateway failed.
    Internal,
    /// 502: what the upstream answered is no answer.
    BadGateway,
    /// 503: no capacity, of the upstream or of the whole pool.
    Unavailable,
    /// 504: no answer in time.
    Timeout,
}

/// What a client is told. Holds no secret: messages and bodies are redacted before they come here.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// What went wrong.
    pub kind: Kind,
    /// One or more sentences for a person.
    pub message: String,
    /// The field of the request that is at fault, as OpenAI names it (`messages[1].content`).
    pub param: Option<String>,
    /// When a retry makes sense.
    pub retry_after: Option<Duration>,
    /// The upstream's own error body, redacted. The Gemini dialect passes it on as it is.
    pub body: Option<UpstreamBody>,
}

/// An error body as the upstream wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamBody {
    /// The upstream's own status.
    pub status: StatusCode,
    /// Its content type, if it named one.
    pub content_type: Option<HeaderValue>,
    /// The body, with keys and project numbers taken out.
    pub bytes: Bytes,
}

impl Error {
    /// An error with nothing but a kind and a message, which is cut where it is longer than anybody reads.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > LONGEST_MESSAGE {
            message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
            message.push('…');
        }
        Self { kind, message, param: None, retry_after: None, body: None }
    }

    /// A request that is wrong in a field.
    pub fn bad_request(message: impl Into<String>, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(Kind::BadRequest, message) }
    }

    /// The status that a client of this dialect sees. Google's own, where its own body is passed on.
    pub fn status(&self, dialect: Dialect) -> StatusCode {
        match (dialect, &self.body) {
            (Dialect::Gemini, Some(body)) => body.status,
            // Anthropic's own status for "overloaded".
            (Dialect::Anthropic, _) if self.kind == Kind::Unavailable => {
                StatusCode::from_u16(529).expect("529 is in range")
            }
            _ => self.kind.status(),
        }
    }

    /// The answer in the client's dialect: status, `Retry-After` and body. `request` is told where the dialect's
    /// errors name it.
    pub fn response(&self, dialect: Dialect, request: Option<RequestId>) -> Response<Bytes> {
        let (content_type, body) = match (&self.body, dialect) {
            (Some(body), Dialect::Gemini) => (body.content_type.clone(), body.bytes.clone()),
            _ => (None, self.body(dialect, request)),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status(dialect);
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(CONTENT_TYPE, content_type.unwrap_or(json));
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        // The SDKs of OpenAI and Anthropic try again by themselves, and ask this before they do.
        let in_vain = self.retry_after.is_none_or(|wait| wait > SOON);
        if matches!(self.kind, Kind::RateLimited | Kind::Unavailable) && in_vain && dialect != Dialect::Gemini
        {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        response
    }

    /// The error as an event of a stream that has begun, framing included.
    pub fn event(&self, dialect: Dialect, request: Option<RequestId>) -> Bytes {
        let body = self.object(dialect, request);
        let prefix: &[u8] = match dialect {
            Dialect::Gemini | Dialect::OpenAi => b"data: ",
            Dialect::Anthropic => b"event: error\ndata: ",
        };
        let end: &[u8] = if dialect == Dialect::Gemini { b"\r\n\r\n" } else { b"\n\n" };
        [prefix, &body, end].concat().into()
    }

    /// The error object as it stands in a stream: the upstream's own where that can be passed on, on one line.
    pub fn object(&self, dialect: Dialect, request: Option<RequestId>) -> Bytes {
        let google = match (dialect, &self.body) {
            (Dialect::Gemini, Some(body)) => serde_json::from_slice::<serde_json::Value>(&body.bytes).ok(),
            _ => None,
        };
        match google {
            Some(object) if object.is_object() => object.to_string().into(),
            _ => self.body(dialect, request),
        }
    }

    /// The gateway's own error object in a dialect, as compact JSON.
    pub fn body(&self, dialect: Dialect, request: Option<RequestId>) -> Bytes {
        let body = match dialect {
            Dialect::Gemini => {
                let mut error = json!({
                    "code": self.status(dialect).as_u16(),
                    "message": self.message,
                    "status": self.kind.google_status(),
                });
                if let Some(wait) = self.retry_after {
                    error["details"] = json!([{
                        "@type": "type.googleapis.com/google.rpc.RetryInfo",
                        "retryDelay": format!("{}s", whole_seconds(wait)),
                    }]);
                }
                json!({ "error": error })
            }
            Dialect::OpenAi => json!({ "error": {
                "message": self.message,
                "type": self.kind.openai_type(),
                "param": self.param,
                "code": self.kind.openai_code(),
            }}),
            Dialect::Anthropic => json!({
                "type": "error",
                "error": { "type": self.kind.anthropic_type(), "message": self.message },
                "request_id": request.map(|request| request.to_anthropics()),
            }),
        };
        body.to_string().into()
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl Kind {
    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::Blocked | Self::ImageUrl | Self::PromptTooLong => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound | Self::ModelNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Cancelled | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The kind that an upstream's status amounts to.
    pub fn from_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Unauthorized,
            402 | 403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            408 => Self::RequestTimeout,
            413 => Self::TooLarge,
            415 => Self::UnsupportedEncoding,
            429 => Self::RateLimited,
            499 => Self::Cancelled,
            400..=499 => Self::BadRequest,
            502 => Self::BadGateway,
            503 => Self::Unavailable,
            504 => Self::Timeout,
            _ => Self::Internal,
        }
    }

    /// `google.rpc.Code` as Google's errors name it in `status`.
    const fn google_status(self) -> &'static str {
        match self {
            Self::BadRequest
            | Self::Blocked
            | Self::ImageUrl
            | Self::PromptTooLong
            | Self::TooLarge
            | Self::UnsupportedEncoding => "INVALID_ARGUMENT",
            Self::Unauthorized => "UNAUTHENTICATED",
            Self::Forbidden => "PERMISSION_DENIED",
            Self::NotFound | Self::ModelNotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "UNIMPLEMENTED",
            Self::RequestTimeout | Self::Timeout => "DEADLINE_EXCEEDED",
            Self::RateLimited => "RESOURCE_EXHAUSTED",
            Self::Cancelled => "CANCELLED",
            Self::Internal => "INTERNAL",
            Self::BadGateway | Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// `error.type` of OpenAI's API.
    const fn openai_type(self) -> &'static str {
        match self {
            Self::BadRequest
            | Self::Blocked
            | Self::PromptTooLong
            | Self::ImageUrl
            | Self::NotFound
            | Self::ModelNotFound
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::TooLarge
            | Self::UnsupportedEncoding => "invalid_request_error",
            Self::Unauthorized => "authentication_error",
            Self::Forbidden => "permission_error",
            Self::RateLimited => "rate_limit_error",
            Self::Cancelled | Self::Internal | Self::BadGateway | Self::Unavailable | Self::Timeout => {
                "server_error"
            }
        }
    }

    /// `error.code` of OpenAI's API, where it has one for this.
    const fn openai_code(self) -> Option<&'static str> {
        match self {
            Self::Blocked => Some("moderation_blocked"),
            Self::Unauthorized => Some("invalid_api_key"),
            Self::PromptTooLong => Some("context_length_exceeded"),
            Self::ModelNotFound => Some("model_not_found"),
            Self::RateLimited => Some("rate_limit_exceeded"),
            Self::Unavailable => Some("service_unavailable"),
            Self::Timeout => Some("timeout"),
            Self::ImageUrl => Some("invalid_image_url"),
            Self::BadRequest
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::TooLarge
            | Self::UnsupportedEncoding
            | Self::Cancelled
            | Self::Internal
            | Self::BadGateway => None,
        }
    }

    /// `error.type` of Anthropic's API.
    const fn anthropic_type(self) -> &'static str {
        match self {
            Self::BadRequest
            | Self::Blocked
            | Self::PromptTooLong
            | Self::ImageUrl
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::UnsupportedEncoding => "invalid_request_error",
            Self::Unauthorized => "authentication_error",
            Self::Forbidden => "permission_error",
            Self::NotFound | Self::ModelNotFound => "not_found_error",
            Self::TooLarge => "request_too_large",
            Self::RateLimited => "rate_limit_error",
            Self::Cancelled | Self::Internal | Self::BadGateway => "api_error",
            Self::Unavailable => "overloaded_error",
            Self::Timeout => "timeout_error",
        }
    }
}

/// Rounded up, so that a client that waits as told does not come too early. At least one second.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_words_an_error_in_its_own_shape() {
        let error = Error {
            retry_after: Some(Duration::from_millis(1_200)),
            ..Error::new(Kind::RateLimited, "too much for now")
        };
        let check = |dialect, expected: &str| {
            let response = error.response(dialect, Some(RequestId::new(0xabc)));
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(response.headers()[RETRY_AFTER], "2");
            assert_eq!(std::str::from_utf8(response.body()).expect("JSON is UTF-8"), expected);
        };
        check(
            Dialect::Gemini,
            r#"{"error":{"code":429,"message":"too much for now","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"2s"}]}}"#,
        );
        check(
            Dialect::OpenAi,
            r#"{"error":{"message":"too much for now","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#,
        );
        check(
            Dialect::Anthropic,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"too much for now"},"request_id":"req_0000000000000abc"}"#,
        );
    }

    #[test]
    fn overload_has_anthropics_own_status() {
        let error = Error::new(Kind::Unavailable, "busy");
        assert_eq!(error.response(Dialect::Anthropic, None).status().as_u16(), 529);
        assert_eq!(error.response(Dialect::OpenAi, None).status().as_u16(), 503);
    }

    #[test]
    fn the_gemini_dialect_passes_googles_own_body() {
        let google = Bytes::from_static(b"{\n  \"error\": {}\n}\n");
        let error = Error {
            body: Some(UpstreamBody {
                status: StatusCode::BAD_REQUEST,
                content_type: Some(HeaderValue::from_static("application/json; charset=UTF-8")),
                bytes: google.clone(),
            }),
            ..Error::new(Kind::BadRequest, "wrong")
        };
        assert_eq!(error.response(Dialect::Gemini, None).into_body(), google);
        assert_ne!(error.response(Dialect::OpenAi, None).into_body(), google);
    }
}
