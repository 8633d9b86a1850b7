//! `/admin`: what the operator may ask the gateway. Without a token set, there is no such path.
//!
//! A question is answered from the head; a change of the pool comes as a JSON body.

mod change;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response};
use serde::Serialize;

pub(crate) use self::change::{Change, MOST_BYTES};
use crate::error::{Dialect, Error, Kind};
use crate::gateway::{Gateway, Head};
use crate::secret::ApiKey;
use crate::time::Timestamp;

/// The answer to a request for `/admin/{page}`.
pub(crate) fn answer(gateway: &Gateway, head: &Head<'_>, page: &str, now: Timestamp) -> Response<Bytes> {
    page_of(gateway, head, page, now).unwrap_or_else(|error| error.response(Dialect::OpenAi, None))
}

fn page_of(gateway: &Gateway, head: &Head<'_>, page: &str, now: Timestamp) -> Result<Response<Bytes>, Error> {
    let config = gateway.config();
    let may_look = is_admin(head.headers, config.admin_token.as_ref())
        || Change::at(page).is_none() && is_admin(head.headers, config.admin_read_token.as_ref());
    if !may_look {
        let message = "This needs the administration's token (LIBRA_ADMIN_TOKEN) as Authorization: Bearer. \
                       需要管理令牌（LIBRA_ADMIN_TOKEN），以 Authorization: Bearer 发送。";
        return Err(Error::new(Kind::Unauthorized, message));
    }
    if Change::at(page).is_some() {
        let message = format!("/admin/{page} takes POST, not {}.", head.method);
        return Err(Error::new(Kind::MethodNotAllowed, message));
    }
    let question = match page {
        "pool" | "explain" if ![Method::GET, Method::HEAD].contains(head.method) => {
            let message = format!("/admin/{page} takes GET, not {}.", head.method);
            return Err(Error::new(Kind::MethodNotAllowed, message));
        }
        "pool" => return json(&gateway.view(now)),
        "explain" => Question::parse(head.uri.query().unwrap_or(""))?,
        _ => {
            let message = "There is /admin/pool and /admin/explain (GET), /admin/projects/join and \
                           /admin/projects/split (POST).";
            return Err(Error::new(Kind::NotFound, message));
        }
    };
    json(&gateway.explain(&question.model, question.tokens, now)?)
}

impl Gateway {
    /// What becomes of a change that whoever may administer this gateway asks for: `projects/join` and `projects/split`,
    /// with a JSON body. None: there is no such change.
    pub fn administer(&self, page: &str, body: &[u8], now: Timestamp) -> Option<Result<Bytes, Error>> {
        let change = Change::at(page)?;
        Some(change.answer(self, body, now).map(Response::into_body))
    }
}

/// Whether the bearer is the administration's token, compared in constant time.
pub(crate) fn is_admin(headers: &HeaderMap, token: Option<&ApiKey>) -> bool {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
    match (token, shown) {
        (Some(token), Some((scheme, shown))) => {
            scheme.eq_ignore_ascii_case("bearer") && ApiKey::new(shown) == *token
        }
        _ => false,
    }
}

/// What is to be explained.
struct Question {
    model: String,
    tokens: u64,
}

impl Question {
    fn parse(query: &str) -> Result<Self, Error> {
        let (mut model, mut tokens) = (String::new(), 1);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "model" => model = value.into_owned(),
                "tokens" => {
                    let parsed = value.parse().ok().filter(|tokens| *tokens <= MOST_TOKENS);
                    tokens = parsed.ok_or_else(|| {
                        Error::new(Kind::BadRequest, format!("tokens is a number up to {MOST_TOKENS}."))
                    })?;
                }
                _ => {}
            }
        }
        if model.is_empty() {
            return Err(Error::new(Kind::BadRequest, "Name a model: /admin/explain?model=M&tokens=N"));
        }
        Ok(Self { model, tokens })
    }
}

/// More than any model takes.
const MOST_TOKENS: u64 = 1_000_000_000;

fn json(value: &impl Serialize) -> Result<Response<Bytes>, Error> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|_| Error::new(Kind::Internal, "The answer could not be written."))?;
    let mut response = Response::new(Bytes::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
