//! The page at `/`: how to call the gateway. Says nothing about its pool or version, as strangers read it.

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use crate::auth::CLOSED;
use crate::config::Config;

const PAGE: &str = include_str!("home.html");

/// The page.
pub(crate) fn page(config: &Config) -> Response<Bytes> {
    let closed = !config.keys.is_empty() && config.clients.is_empty();
    let notice = if closed { format!("<p class=\"notice\">{CLOSED}</p>") } else { String::new() };
    let page = PAGE.replace("<!-- notice -->", &notice).replace("{base}", &config.base_path);
    let mut response = Response::new(Bytes::from(page));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
