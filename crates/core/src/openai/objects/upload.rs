//! A file on its way to Gemini: in one request where it is small, else in two, the second of which goes on where it was if
//! the connection breaks.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Response};
use serde::Deserialize;

use super::{Ask, Work, no_room, parse};
use crate::affinity::address::UploadOwner;
use crate::affinity::name::ObjectName;
use crate::error::{Error, Kind};
use crate::gateway::Gateway;
use crate::memory::Held;
use crate::openai::files::GeminiFile;
use crate::resource::{Area, ResourceCall};
use crate::route::Version;

/// A file up to here goes in one request, for which it is copied. It is the size of a piece of Google's own SDKs.
const AT_ONCE: usize = 8 << 20;

const PROTOCOL: HeaderName = HeaderName::from_static("x-goog-upload-protocol");
const COMMAND: HeaderName = HeaderName::from_static("x-goog-upload-command");
const OFFSET: HeaderName = HeaderName::from_static("x-goog-upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("x-goog-upload-header-content-length");
const KIND: HeaderName = HeaderName::from_static("x-goog-upload-header-content-type");
const ADDRESS: HeaderName = HeaderName::from_static("x-goog-upload-url");

/// The first request of an upload. `named`: objects that its project has to have.
///
/// # Errors
/// 503 where there is no room for a copy.
pub(super) fn begin(
    label: &str,
    mime_type: &str,
    data: Bytes,
    named: Vec<ObjectName>,
    gateway: &Gateway,
    held: &mut Held,
) -> Result<(Work, Ask), Error> {
    let about = serde_json::json!({ "file": { "displayName": label, "mimeType": mime_type } }).to_string();
    let kind =
        HeaderValue::try_from(mime_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    if data.len() > AT_ONCE {
        let headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (PROTOCOL, HeaderValue::from_static("resumable")),
            (COMMAND, HeaderValue::from_static("start")),
            (LENGTH, HeaderValue::from(data.len())),
            (KIND, kind),
        ];
        let ask = Ask { headers, body: about.into(), named, ..files("", None) };
        return Ok((Work::Starting(data), ask));
    }
    if !held.grow(data.len()) {
        return Err(no_room());
    }
    // Nothing that a client could know, so that no file has it by design.
    let boundary = format!("libra-{}", gateway.answer_id());
    let mut body = Vec::with_capacity(data.len() + about.len() + 256);
    for (mime_type, part) in [("application/json; charset=UTF-8", about.as_bytes()), (mime_type, &data)] {
        body.extend_from_slice(format!("--{boundary}\r\nContent-Type: {mime_type}\r\n\r\n").as_bytes());
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let content_type = HeaderValue::try_from(format!("multipart/related; boundary={boundary}"));
    let headers = vec![
        (CONTENT_TYPE, content_type.expect("a boundary has letters, digits and a dash")),
        (PROTOCOL, HeaderValue::from_static("multipart")),
    ];
    Ok((Work::Sending, Ask { headers, body: body.into(), named, ..files("uploadType=multipart", None) }))
}

/// The bytes, to the address that Google has given for them.
///
/// # Errors
/// 502 where it has given none.
pub(super) fn rest(reply: &Response<Bytes>, data: Bytes) -> Result<Ask, Error> {
    let address = reply.headers().get(&ADDRESS).and_then(|address| address.to_str().ok());
    let query = address.and_then(|address| address.split_once('?')).map(|(_, query)| query);
    let owner = query.and_then(UploadOwner::find);
    let (Some(query), Some(owner)) = (query, owner) else {
        return Err(Error::new(Kind::BadGateway, "the upstream has given no address for the file's bytes"));
    };
    let headers = vec![
        (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (COMMAND, HeaderValue::from_static("upload, finalize")),
        (OFFSET, HeaderValue::from_static("0")),
    ];
    Ok(Ask { headers, body: data, ..files(query, Some(owner)) })
}

/// The file that an upload has made, in OpenAI's words.
///
/// # Errors
/// 502 where it has made none.
pub(super) fn made(body: &[u8]) -> Result<Bytes, Error> {
    #[derive(Deserialize)]
    struct Made {
        file: GeminiFile,
    }
    let made: Made = parse(body)?;
    Ok(made.file.object().write())
}

fn files(query: &str, upload: Option<UploadOwner>) -> Ask {
    Ask {
        call: ResourceCall::new(&Method::POST, Version::V1Beta, Area::Upload, &["files"], query),
        model: None,
        upload,
        headers: Vec::new(),
        body: Bytes::new(),
        named: Vec::new(),
    }
}
