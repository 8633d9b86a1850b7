//! The request that goes upstream for one attempt, and what of the answer's head comes back.
//!
//! Both directions pass allow-lists. Exactly one credential goes up, as `x-goog-api-key`: Google refuses two
//! ("Multiple authentication credentials received"), and a key in a URL ends up in logs. What comes down is
//! sifted because Google has been seen to echo request headers, the key among them, in a redirect's head.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request};

use crate::secret::ApiKey;

/// Where Gemini's key goes.
const API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// Header fields of the client that concern the upstream. Not among them: credentials, cookies, anything that
/// tells where the client is or came from, and what belongs to one connection.
const FORWARDED: [HeaderName; 9] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::USER_AGENT,
    HeaderName::from_static("x-goog-api-client"),
    HeaderName::from_static("x-goog-request-params"),
    HeaderName::from_static("x-server-timeout"),
    HeaderName::from_static("api-revision"),
];

/// Header fields of the upstream's answer that concern the client.
const RETURNED: [HeaderName; 8] = [
    header::CONTENT_TYPE,
    header::CONTENT_LANGUAGE,
    header::CONTENT_DISPOSITION,
    header::ETAG,
    header::LAST_MODIFIED,
    HeaderName::from_static("x-gemini-service-tier"),
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("x-content-type-options"),
];

/// The client's header fields that are kept for the upstream.
pub fn forwarded(client: &HeaderMap) -> HeaderMap {
    sift(client, &FORWARDED)
}

/// The upstream's header fields that are kept for the client.
pub fn returned(upstream: &HeaderMap) -> HeaderMap {
    sift(upstream, &RETURNED)
}

/// The header fields of another service that are kept for the client: its answers pass as they are.
pub fn returned_by_service(service: &HeaderMap) -> HeaderMap {
    let mut kept = returned(service);
    for name in [header::RETRY_AFTER, header::CONTENT_ENCODING, HeaderName::from_static("x-request-id")] {
        if let Some(value) = service.get(&name) {
            kept.insert(name, value.clone());
        }
    }
    kept
}

/// Keeps some more header fields.
pub(crate) fn keep(from: &HeaderMap, names: &[HeaderName], kept: &mut HeaderMap) {
    for name in names {
        if let Some(value) = from.get(name) {
            kept.insert(name.clone(), value.clone());
        }
    }
}

fn sift(from: &HeaderMap, allowed: &[HeaderName]) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(allowed.len());
    keep(from, allowed, &mut kept);
    kept
}

/// A request of the gateway's own to Gemini.
///
/// `path` begins with a slash; `body` is None for a body that the shell streams. What stands for the key is among the
/// request's extensions (a [`KeyId`](crate::secret::KeyId)), for shells that choose a way to Google by it.
pub fn to_gemini(
    origin: &Uri,
    method: Method,
    path: &str,
    mut headers: HeaderMap,
    key: &ApiKey,
    body: Option<Bytes>,
) -> Request<Option<Bytes>> {
    // A key has been checked to be visible ASCII where it came in.
    if let Ok(mut value) = HeaderValue::from_str(key.expose()) {
        value.set_sensitive(true);
        headers.insert(API_KEY, value);
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let mut request = Request::new(body);
    request.extensions_mut().insert(key.id());
    *request.method_mut() = method;
    *request.uri_mut() = at(origin, path);
    *request.headers_mut() = headers;
    request
}

/// What a WebSocket is asked for with.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// A key.
    Key(&'a ApiKey),
    /// An ephemeral token, made of characters that a query takes as they are.
    Token(&'a ApiKey),
}

/// A request for a WebSocket of the Live API, without what is the handshake's.
pub fn to_live(
    origin: &Uri,
    path: &str,
    query: Option<&str>,
    mut headers: HeaderMap,
    credential: Credential<'_>,
) -> Request<()> {
    let mut path = path.to_owned();
    let mut mark = '?';
    let mut add = |pair: &str| {
        path.push(std::mem::replace(&mut mark, '&'));
        path.push_str(pair);
    };
    query.into_iter().for_each(&mut add);
    match credential {
        Credential::Token(token) => add(&format!("access_token={}", token.expose())),
        // A key has been checked to be visible ASCII where it came in.
        Credential::Key(key) => {
            if let Ok(mut value) = HeaderValue::from_str(key.expose()) {
                value.set_sensitive(true);
                headers.insert(API_KEY, value);
            }
        }
    }
    let mut request = Request::new(());
    if let Credential::Key(key) = credential {
        request.extensions_mut().insert(key.id());
    }
    *request.uri_mut() = at(origin, &path);
    *request.headers_mut() = headers;
    request
}

/// A request to an OpenAI-compatible service, with its own credential.
pub fn to_custom_llm(
    base_url: &Uri,
    key: Option<&ApiKey>,
    client: &HeaderMap,
    body: Bytes,
) -> Request<Option<Bytes>> {
    let mut headers = sift(client, &[header::CONTENT_TYPE, header::ACCEPT, header::USER_AGENT]);
    if let Some(key) = key
        && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", key.expose()))
    {
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let mut request = Request::new(Some(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = at(base_url, "/chat/completions");
    *request.headers_mut() = headers;
    request
}

/// `path` under the origin's own path prefix.
fn at(origin: &Uri, path: &str) -> Uri {
    let mut parts = origin.clone().into_parts();
    let prefix = origin.path().trim_end_matches('/');
    let whole = if prefix.is_empty() {
        PathAndQuery::try_from(path)
    } else {
        PathAndQuery::try_from(format!("{prefix}{path}"))
    };
    // Paths are built from escaped parts; one that is none all the same leads to the upstream's own 404.
    parts.path_and_query = Some(whole.unwrap_or_else(|_| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).unwrap_or_else(|_| origin.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_credential_goes_up_and_nothing_that_tells_of_the_client() {
        let mut client = HeaderMap::new();
        for (name, value) in [
            ("x-goog-api-key", "client-secret"),
            ("authorization", "Bearer client-secret"),
            ("x-api-key", "client-secret"),
            ("cookie", "session=client-secret"),
            ("x-goog-user-project", "someone"),
            ("referer", "https://where.example/"),
            ("origin", "https://where.example"),
            ("x-forwarded-for", "192.0.2.1"),
            ("cf-connecting-ip", "192.0.2.1"),
            ("host", "libra.example"),
            ("content-type", "application/json"),
            ("x-goog-api-client", "google-genai-sdk/3.4.0"),
        ] {
            client.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let request = to_gemini(
            &Uri::from_static("https://upstream.example/prefix/"),
            Method::POST,
            "/v1/models/m:generateContent?alt=sse",
            forwarded(&client),
            &ApiKey::new("pool-secret"),
            None,
        );
        assert_eq!(request.uri(), "https://upstream.example/prefix/v1/models/m:generateContent?alt=sse");
        let mut names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept-encoding", "content-type", "x-goog-api-client", "x-goog-api-key"]);
        assert_eq!(request.headers()["x-goog-api-key"], "pool-secret");
        assert!(!format!("{request:?}").contains("secret"), "the header's value prints as sensitive");
    }

    #[test]
    fn an_echoed_key_does_not_come_down() {
        let mut upstream = HeaderMap::new();
        upstream.insert(API_KEY, HeaderValue::from_static("pool-secret"));
        upstream.insert(header::SET_COOKIE, HeaderValue::from_static("a=b"));
        upstream.insert(header::LOCATION, HeaderValue::from_static("https://x.example/?key=pool-secret"));
        upstream.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert_eq!(returned(&upstream).keys().collect::<Vec<_>>(), ["content-type"]);
    }

    #[test]
    fn another_service_gets_its_own_credential_only() {
        let mut client = HeaderMap::new();
        client.insert("x-goog-api-client", HeaderValue::from_static("google-genai-sdk/3.4.0"));
        client.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let url = Uri::from_static("https://llm.example/v1");
        let key = ApiKey::new("custom-secret");
        let request = to_custom_llm(&url, Some(&key), &client, Bytes::new());
        assert_eq!(request.uri(), "https://llm.example/v1/chat/completions");
        assert_eq!(request.headers()["authorization"], "Bearer custom-secret");
        assert!(!request.headers().contains_key("x-goog-api-client"));
    }
}
