//! What every answer carries in its head, whatever it says: the request's name, and who may read it.

use std::fmt;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::error::Dialect;
use crate::event::TraceContext;
use crate::secret::ApiKey;

/// The name of the request, for whoever asks the operator about it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-libra-request-id");

/// The same as Anthropic's SDKs look for it.
const ANTHROPICS_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// With the administration's token: tell more about this request.
const ADMIN: HeaderName = HeaderName::from_static("x-libra-admin");

/// For administrators: how many attempts were made.
const ATTEMPTS: HeaderName = HeaderName::from_static("x-libra-attempts");

/// The model that served, where it is not the one that was asked for first.
pub(crate) const MODEL: HeaderName = HeaderName::from_static("x-libra-model");

/// For administrators: the project that served.
const PROJECT: HeaderName = HeaderName::from_static("x-libra-project");

/// The name of a request in heads and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

/// What the answers to one request carry.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    id: RequestId,
    /// Whether an administrator asks.
    admin: bool,
    /// Whether browsers may read it from anywhere.
    origins: bool,
    /// What the client speaks.
    dialect: Dialect,
    /// The trace that the request belongs to.
    trace: Option<TraceContext>,
}

impl RequestId {
    /// The name that has this number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Names the request in the head of its answer.
    pub(crate) fn put(self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::try_from(self.to_string()) {
            headers.insert(REQUEST_ID, id);
        }
    }

    /// In Anthropic's form: `req_…`.
    pub(crate) fn to_anthropics(self) -> String {
        format!("req_{self}")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Mark {
    /// The mark of a request with this head. `token` opens the administration; `origins` says whether browsers may
    /// read the answer from anywhere.
    pub(crate) fn new(
        id: RequestId,
        dialect: Dialect,
        headers: &HeaderMap,
        token: Option<&ApiKey>,
        origins: bool,
    ) -> Self {
        let shown = headers.get(ADMIN).and_then(|shown| shown.to_str().ok());
        let admin = matches!((token, shown), (Some(token), Some(shown)) if ApiKey::new(shown) == *token);
        Self { id, admin, origins, dialect, trace: TraceContext::find(headers) }
    }

    /// The name of the request.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The trace that the request belongs to, if its head names one.
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    /// Whether an administrator asks, who may be told about attempts and projects.
    pub(crate) fn is_admins(&self) -> bool {
        self.admin
    }

    /// Marks the head of an answer.
    pub fn put(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::try_from(self.id.to_string()) {
            headers.insert(REQUEST_ID, id);
        }
        if self.dialect == Dialect::Anthropic
            && let Ok(id) = HeaderValue::try_from(self.id.to_anthropics())
        {
            headers.insert(ANTHROPICS_REQUEST_ID, id);
        }
        if self.origins {
            // Browsers may call from anywhere: the key is in a header that no browser adds by itself.
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        }
    }

    /// Says in the head of an answer that another model than the one asked for has given it.
    pub(crate) fn put_model(headers: &mut HeaderMap, model: &str) {
        // Names of models pass as a path's; one that is no header's value all the same is not said.
        if let Ok(model) = HeaderValue::from_str(model) {
            headers.insert(MODEL, model);
        }
    }

    /// Marks the head of an answer with what came of the request.
    pub(crate) fn put_served(&self, headers: &mut HeaderMap, attempts: u32, project: Option<&str>) {
        self.put(headers);
        if !self.admin {
            return;
        }
        headers.insert(ATTEMPTS, HeaderValue::from(attempts));
        // Names of projects are visible ASCII: the configuration takes no others.
        if let Some(Ok(project)) = project.map(HeaderValue::from_str) {
            headers.insert(PROJECT, project);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens() {
        let token = ApiKey::new("a-long-token-of-the-tests");
        let check = |token: Option<&ApiKey>, shown: Option<&'static str>, expected: bool| {
            let headers = shown.map(|shown| (ADMIN, HeaderValue::from_static(shown))).into_iter().collect();
            let mark = Mark::new(RequestId::new(1), Dialect::OpenAi, &headers, token, true);
            assert_eq!(mark.is_admins(), expected, "{shown:?}");
        };
        check(Some(&token), Some("a-long-token-of-the-tests"), true);
        check(Some(&token), Some("a-long-token-of-the-test"), false);
        check(Some(&token), Some(""), false);
        check(Some(&token), None, false);
        check(None, Some("a-long-token-of-the-tests"), false);
    }

    #[test]
    fn administrators_are_told_more() {
        let (id, dialect) = (RequestId::new(0xabc), Dialect::Anthropic);
        let mark = Mark { id, admin: true, origins: false, dialect, trace: None };
        let mut headers = HeaderMap::new();
        mark.put_served(&mut headers, 2, Some("team-a"));
        assert_eq!(headers["x-libra-request-id"], "0000000000000abc");
        assert_eq!(headers["x-libra-attempts"], "2");
        assert_eq!(headers["x-libra-project"], "team-a");
        assert_eq!(headers["request-id"], "req_0000000000000abc");
        assert_eq!(headers.len(), 4);
    }
}
