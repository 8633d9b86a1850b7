//! Heads of requests and answers, between JavaScript's types and core's.

use std::net::{IpAddr, Ipv4Addr};

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use js_sys::Array;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::JsValue;
use web_sys::{Headers, Request, Response};

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The head of a client's request.
pub(crate) struct ClientHead {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) peer: IpAddr,
}

impl ClientHead {
    /// None: it is not one that HTTP knows.
    pub(crate) fn read(request: &Request, peer: Option<&str>) -> Option<Self> {
        let method = Method::from_bytes(request.method().as_bytes()).ok()?;
        let uri: Uri = request.url().parse().ok()?;
        let mut headers = from_js(&request.headers());
        complete(&mut headers, &uri, request.body().is_some());
        // Who cannot be told apart shares what one address may have.
        let peer = peer.and_then(|peer| peer.parse().ok()).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Some(Self { method, uri, headers, peer })
    }
}

/// Adds what platforms take out of heads, or say elsewhere, and core reads there.
fn complete(headers: &mut HeaderMap, uri: &Uri, has_body: bool) {
    if !headers.contains_key(HOST)
        && let Some(host) = uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok())
    {
        headers.insert(HOST, host);
    }
    if !headers.contains_key(FORWARDED_PROTO)
        && let Some(scheme) = uri.scheme_str().and_then(|scheme| HeaderValue::from_str(scheme).ok())
    {
        headers.insert(FORWARDED_PROTO, scheme);
    }
    // HTTP/2 and 3 have no such field, but bodies without a length.
    if has_body && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// The head of an answer.
pub(crate) fn of_answer(response: &Response) -> (StatusCode, HeaderMap) {
    let mut headers = from_js(&response.headers());
    // What is read was decoded by the platform.
    if headers.remove(CONTENT_ENCODING).is_some() {
        headers.remove(CONTENT_LENGTH);
    }
    // Zero is what a platform says where it followed a redirect or failed without an error.
    (StatusCode::from_u16(response.status()).unwrap_or(StatusCode::BAD_GATEWAY), headers)
}

/// Core's headers as JavaScript's.
///
/// # Errors
/// The platform does not take one.
pub(crate) fn to_js(headers: &HeaderMap) -> Result<Headers, JsValue> {
    let written = Headers::new()?;
    for (name, value) in headers {
        written.append(name.as_str(), &text(value.as_bytes()))?;
    }
    Ok(written)
}

fn from_js(headers: &Headers) -> HeaderMap {
    let mut read = HeaderMap::new();
    let Ok(Some(entries)) = js_sys::try_iter(headers) else { return read };
    for entry in entries.flatten() {
        let Ok(entry) = entry.dyn_into::<Array>() else { continue };
        let (Some(name), Some(value)) = (entry.get(0).as_string(), entry.get(1).as_string()) else {
            continue;
        };
        // One that core's type does not take is left out, as a server would refuse it.
        if let (Ok(name), Some(Ok(value))) =
            (HeaderName::from_bytes(name.as_bytes()), bytes(&value).map(HeaderValue::from_maybe_shared))
        {
            read.append(name, value);
        }
    }
    read
}

/// JavaScript holds a header's bytes as the characters of the same numbers.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn bytes(text: &str) -> Option<bytes::Bytes> {
    text.chars().map(|char| u8::try_from(char).ok()).collect::<Option<Vec<u8>>>().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_platforms_leave_out_is_added() {
        let uri = Uri::from_static("https://libra.example:8443/v1/models?a=b");
        let check = |given: &[(&'static str, &'static str)], has_body, name: &str, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            complete(&mut headers, &uri, has_body);
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            assert_eq!(value, expected, "{name} of {given:?}");
        };
        check(&[], false, "host", Some("libra.example:8443"));
        check(&[("host", "other.example")], false, "host", Some("other.example"));
        check(&[], false, "x-forwarded-proto", Some("https"));
        check(&[("x-forwarded-proto", "http")], false, "x-forwarded-proto", Some("http"));
        check(&[], true, "transfer-encoding", Some("chunked"));
        check(&[], false, "transfer-encoding", None);
        check(&[("content-length", "7")], true, "transfer-encoding", None);
    }

    #[test]
    fn a_headers_bytes_survive() {
        let value: Vec<u8> = (0x20..=0xff).collect();
        assert_eq!(bytes(&text(&value)).as_deref(), Some(value.as_slice()));
        assert_eq!(bytes("钥匙"), None);
    }
}
