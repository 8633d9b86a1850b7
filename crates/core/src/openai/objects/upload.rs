//! A file on its way to Gemini, in two requests like those of Google's own SDKs: the second goes on where it was if the
//! connection breaks, and what was uploaded this way can be uploaded again to another project.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Response};
use serde::Deserialize;

use super::{Ask, Work, parse};
use crate::affinity::address::UploadOwner;
use crate::affinity::name::ObjectName;
use crate::error::{Error, Kind};
use crate::openai::files::GeminiFile;
use crate::resource::{Area, ResourceCall};
use crate::route::Version;

const PROTOCOL: HeaderName = HeaderName::from_static("x-goog-upload-protocol");
const COMMAND: HeaderName = HeaderName::from_static("x-goog-upload-command");
const OFFSET: HeaderName = HeaderName::from_static("x-goog-upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("x-goog-upload-header-content-length");
const KIND: HeaderName = HeaderName::from_static("x-goog-upload-header-content-type");
const ADDRESS: HeaderName = HeaderName::from_static("x-goog-upload-url");

/// The first request of an upload. `named`: objects that its project has to have.
pub(super) fn begin(label: &str, mime_type: &str, data: Bytes, named: Vec<ObjectName>) -> (Work, Ask) {
    let about = serde_json::json!({ "file": { "displayName": label, "mimeType": mime_type } });
    let kind = HeaderValue::try_from(mime_type);
    let headers = vec![
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (PROTOCOL, HeaderValue::from_static("resumable")),
        (COMMAND, HeaderValue::from_static("start")),
        (LENGTH, HeaderValue::from(data.len())),
        (KIND, kind.unwrap_or(HeaderValue::from_static("application/octet-stream"))),
    ];
    let ask = Ask { headers, body: about.to_string().into(), named, ..files("", None) };
    (Work::Starting(data), ask)
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
