//! Calls about objects, in Google's own terms: files, caches, batches, videos, stores, interactions, and whatever method
//! there may be besides those that generate.
//!
//! Their bodies pass as they came, up and down, but for the addresses in them. What is decided here is what a call is
//! about: whether it makes an object, asks for one, or for a list.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{self, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::affinity::address::{OWNER, Public, UploadOwner};
use crate::affinity::name::{ObjectName, is_collection};
use crate::error::Dialect;
use crate::exchange::Phase;
use crate::judge;
use crate::pool::Only;
use crate::route::{Version, escape_model, without_credentials};
use crate::secret::{ApiKey, KeyId};
use crate::sse::Framing;
use crate::upstream;

/// What of an upload's head goes up, besides what goes up of every request.
const UPLOAD_HEADERS: [HeaderName; 7] = [
    HeaderName::from_static("x-goog-upload-command"),
    HeaderName::from_static("x-goog-upload-offset"),
    HeaderName::from_static("x-goog-upload-protocol"),
    HeaderName::from_static("x-goog-upload-header-content-length"),
    HeaderName::from_static("x-goog-upload-header-content-type"),
    HeaderName::from_static("x-goog-upload-file-name"),
    HeaderName::from_static("content-disposition"),
];

/// What of a request's head goes up where bytes are asked for.
const RANGE_HEADERS: [HeaderName; 3] = [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH];

/// What of an upload's answer comes down as it is.
const UPLOADED_HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("x-goog-upload-status"),
    HeaderName::from_static("x-goog-upload-size-received"),
    HeaderName::from_static("x-goog-upload-chunk-granularity"),
    HeaderName::from_static("x-guploader-uploadid"),
];

/// Addresses in the head of an upload's answer.
const UPLOAD_ADDRESSES: [HeaderName; 2] =
    [HeaderName::from_static("x-goog-upload-url"), HeaderName::from_static("x-goog-upload-control-url")];

/// What of the head comes down with bytes.
const MEDIA_HEADERS: [HeaderName; 4] = [
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    HeaderName::from_static("x-goog-hash"),
];

/// A call about an object, as it goes upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceCall {
    /// What is to be done.
    pub method: Method,
    /// The API version of the path.
    pub version: Version,
    /// Which of Google's services it is for.
    pub area: Area,
    /// The segments of the path behind the version, decoded. At least one.
    pub parts: Vec<String>,
    /// The query without credentials.
    pub query: Option<String>,
}

/// Which of Google's services a path is for, by what stands before the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// `/v1beta/…`
    Plain,
    /// `/upload/v1beta/…`
    Upload,
    /// `/download/v1beta/…`
    Download,
}

/// What a call amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It makes an object. `settles`: one that is used together with others, so that all are made in one project.
    Make { settles: bool },
    /// It sends bytes, or asks how many have arrived, of an upload that has begun.
    Upload,
    /// It lists all of a collection: every project has a part of it.
    List,
    /// It asks for bytes.
    Media,
    /// Something else with an object that is named, or with none.
    Act,
}

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Resource {
    call: ResourceCall,
    kind: Kind,
    /// The model that the path names, as the upstream knows it.
    model: Option<String>,
    /// What quotas are counted for.
    counted: Option<String>,
    /// Whose the upload is that it goes on with.
    upload: Option<UploadOwner>,
    /// The answer is a stream of events.
    streams: bool,
    /// A part of a list, asked of one project.
    pub(crate) only: Option<Only>,
    /// In which a failure is told.
    dialect: Dialect,
    /// What it needs of a project beyond what path and body say.
    named: Vec<ObjectName>,
    /// Its answer is translated, and has to be there whole, unless it is sound or pictures.
    whole: bool,
}

/// What of the body of an interaction decides how it is sent and answered.
#[derive(Debug, Default, Deserialize)]
struct Interaction {
    model: Option<String>,
    #[serde(default)]
    stream: bool,
}

impl ResourceCall {
    /// The call that a path asks for. `parts` are what is behind the version.
    pub(crate) fn new(method: &Method, version: Version, area: Area, parts: &[&str], query: &str) -> Self {
        let parts = parts.iter().map(|&part| part.to_owned()).collect();
        Self { method: method.clone(), version, area, parts, query: without_credentials(query) }
    }

    /// The object that the path names.
    pub(crate) fn object(&self) -> Option<ObjectName> {
        ObjectName::of_path(&self.parts)
    }

    /// The model whose method is called, and the method.
    pub(crate) fn model_method(&self) -> Option<(&str, &str)> {
        match self.parts.as_slice() {
            [models, call] if models == "models" => call.rsplit_once(':'),
            _ => None,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        let asks = |wanted: &str| {
            let query = self.query.as_deref().unwrap_or_default();
            query.split('&').any(|pair| pair == wanted)
        };
        let collection = self.collection();
        let is_whole = self.parts.len() == 1
            || matches!(self.parts.as_slice(), [models, _, operations] if models == "models" && operations == "operations");
        match (&self.method, self.area) {
            (_, Area::Upload) if self.query.as_deref().is_some_and(|query| query.contains("upload_id=")) => {
                Kind::Upload
            }
            (&Method::GET, Area::Download) => Kind::Media,
            (&Method::GET, _)
                if asks("alt=media") || self.parts.iter().any(|part| part.ends_with(":download")) =>
            {
                Kind::Media
            }
            (&Method::GET, Area::Plain)
                if is_whole && (is_collection(collection) || self.parts.len() == 3) =>
            {
                Kind::List
            }
            (&Method::POST, _) if self.object().is_none() => Kind::Make {
                // Batches, videos and interactions are work for a quota, and go where there is room.
                settles: is_collection(collection)
                    && !matches!(collection, "batches" | "interactions" | "tunedModels" | "auth_tokens"),
            },
            _ => Kind::Act,
        }
    }

    /// `files` of `files/a`, of `files:register` and of `files`.
    pub(crate) fn collection(&self) -> &str {
        let first = self.parts.first().map_or("", String::as_str);
        first.split_once(':').map_or(first, |(collection, _)| collection)
    }

    /// Path and query for the upstream, with another model where one stands for it.
    fn path_and_query(&self, model: Option<&str>) -> String {
        let mut path = String::with_capacity(64);
        match self.area {
            Area::Plain => {}
            Area::Upload => path.push_str("/upload"),
            Area::Download => path.push_str("/download"),
        }
        let _ = write!(path, "/{}", self.version.as_str());
        for (at, part) in self.parts.iter().enumerate() {
            let served = model.filter(|_| at == 1).zip(self.model_method());
            let _ = match served {
                Some((model, (_, method))) => {
                    write!(path, "/{}:{}", escape_model(model), escape_model(method))
                }
                None => write!(path, "/{}", escape_model(part)),
            };
        }
        if let Some(query) = &self.query {
            let _ = write!(path, "?{query}");
        }
        path
    }
}

impl Resource {
    /// A call. `model`: the one that the path names, as the upstream knows it. `upload`: whose the upload is.
    pub(crate) fn new(mut call: ResourceCall, model: Option<String>, upload: Option<UploadOwner>) -> Self {
        let kind = call.kind();
        if kind == Kind::Upload {
            call.query = call.query.and_then(|query| without_owner(&query));
        }
        let counted = model.as_deref().zip(call.model_method()).map(|(model, (_, method))| match method {
            "predict" | "predictLongRunning" | "generateAnswer" => model.to_owned(),
            // Batches and what else there may be have quotas of their own.
            method => format!("{model}:{method}"),
        });
        let asks_for_events =
            call.query.as_deref().is_some_and(|query| query.split('&').any(|pair| pair == "stream=true"));
        let streams = call.collection() == "interactions" && asks_for_events;
        Self {
            call,
            kind,
            model,
            counted,
            upload,
            streams,
            only: None,
            dialect: Dialect::Gemini,
            named: Vec::new(),
            whole: false,
        }
    }

    /// A step of what a client of another dialect has asked for. `named`: what it needs of a project beyond what path and
    /// body say.
    #[must_use]
    pub(crate) fn into_step(self, dialect: Dialect, named: Vec<ObjectName>) -> Self {
        Self { dialect, named, whole: true, ..self }
    }

    /// Takes in what the body says of how it is to be answered.
    pub(crate) fn read(&mut self, body: &[u8]) {
        if self.call.collection() == "interactions"
            && self.call.method == Method::POST
            && self.call.parts.len() == 1
        {
            let read: Interaction = serde_json::from_slice(body).unwrap_or_default();
            self.streams = read.stream;
            self.counted = read.model.map(|model| model.trim_start_matches("models/").to_owned());
        }
    }

    /// The same call for one project's part of a list.
    pub(crate) fn part_of_list(&self, query: Option<String>, only: Only) -> Self {
        Self {
            call: ResourceCall { query, ..self.call.clone() },
            kind: Kind::Act,
            model: None,
            counted: None,
            upload: None,
            streams: false,
            only: Some(only),
            dialect: self.dialect,
            named: Vec::new(),
            whole: self.whole,
        }
    }

    /// In which a failure is told.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What it needs of a project beyond what path and body say.
    pub(crate) fn named(&self) -> &[ObjectName] {
        &self.named
    }

    /// Whether its answer is translated.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    pub(crate) fn call(&self) -> &ResourceCall {
        &self.call
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn upload(&self) -> Option<UploadOwner> {
        self.upload
    }

    /// Whether its body is a file's, or a part of one.
    pub(crate) fn sends_bytes(&self) -> bool {
        self.call.area == Area::Upload
    }

    pub(crate) fn counted(&self) -> Option<&str> {
        self.counted.as_deref()
    }

    pub(crate) fn framing(&self) -> Option<Framing> {
        self.streams.then_some(Framing::Sse)
    }

    pub(crate) fn method_and_path(&self) -> (Method, String) {
        (self.call.method.clone(), self.call.path_and_query(self.model.as_deref()))
    }

    /// What the head of a good answer leads to.
    pub(crate) fn phase(&self, status: StatusCode, headers: HeaderMap) -> Phase {
        match self.framing() {
            Some(framing) => Phase::judging(status, headers, framing),
            None if self.kind == Kind::Media && !(self.whole && is_text(&headers)) => {
                Phase::Proven { status, headers, held: Vec::new(), ended: false }
            }
            None => Phase::holding(status, headers),
        }
    }

    /// A whole answer for the client.
    pub(crate) fn respond(
        &self,
        (status, headers): (StatusCode, &HeaderMap),
        body: Bytes,
        public: &Public,
        (key, client): (&ApiKey, KeyId),
    ) -> Response<Bytes> {
        let mut response = Response::new(public.body_downward(body));
        *response.status_mut() = status;
        let mut kept = upstream::returned(headers);
        upstream::keep(headers, &UPLOADED_HEADERS, &mut kept);
        if let Some(location) = headers.get(header::LOCATION).and_then(|value| value.to_str().ok())
            && let Some(Ok(location)) = public.downward(location).map(HeaderValue::try_from)
        {
            kept.insert(header::LOCATION, location);
        }
        for name in UPLOAD_ADDRESSES {
            let address = headers.get(&name).and_then(|value| value.to_str().ok());
            let address = address.and_then(|address| public.upload(address, key, client));
            if let Some(Ok(address)) = address.map(HeaderValue::try_from) {
                kept.insert(name, address);
            }
        }
        *response.headers_mut() = kept;
        response
    }

    /// The head of an answer that streams.
    pub(crate) fn media_head(&self, headers: &HeaderMap) -> HeaderMap {
        let mut kept = upstream::returned(headers);
        upstream::keep(headers, &MEDIA_HEADERS, &mut kept);
        kept
    }
}

/// What of the client's head goes up.
pub(crate) fn forwarded(call: &ResourceCall, client: &HeaderMap) -> HeaderMap {
    let mut kept = upstream::forwarded(client);
    let more: &[HeaderName] = match (call.area, call.kind()) {
        (Area::Upload, _) => &UPLOAD_HEADERS,
        (_, Kind::Media) => &RANGE_HEADERS,
        _ => &[],
    };
    upstream::keep(client, more, &mut kept);
    kept
}

/// Whether bytes are said to be text, as what comes of a batch is.
fn is_text(headers: &HeaderMap) -> bool {
    let says = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_unknown = says.is_empty() || says.starts_with("application/octet-stream");
    is_unknown || says.contains("json") || says.starts_with("text/")
}

/// Whether an answer is an error and nothing else. An operation or an interaction that has failed tells its error, and is a
/// good answer all the same.
pub(crate) fn is_error(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Told {
        error: Option<IgnoredAny>,
        name: Option<IgnoredAny>,
        id: Option<IgnoredAny>,
    }
    let told = |told: &Told| told.error.is_some() && told.name.is_none() && told.id.is_none();
    if !judge::mentions_error(body) {
        return false;
    }
    match body.trim_ascii_start().first() {
        Some(b'[') => {
            serde_json::from_slice::<Vec<Told>>(body).is_ok_and(|list| list.first().is_some_and(told))
        }
        _ => serde_json::from_slice::<Told>(body).as_ref().is_ok_and(told),
    }
}

/// Whether a body is JSON, which may name objects.
pub(crate) fn is_json(headers: &HeaderMap, body: &[u8]) -> bool {
    let says = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    (says.is_empty() || says.contains("json") || says.starts_with("text/"))
        && body.trim_ascii_start().starts_with(b"{")
}

fn without_owner(query: &str) -> Option<String> {
    let is_owner = |pair: &&str| pair.split('=').next() == Some(OWNER);
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_owner(pair)).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_from_what_has_failed() {
        let check = |body: &str, expected: bool| assert_eq!(is_error(body.as_bytes()), expected, "{body}");
        check(r#"{"error":{"code":503,"message":"m"}}"#, true);
        check(r#"[{"error":{"code":503}}]"#, true);
        check(r#"{"name":"models/m/operations/o","done":true,"error":{"code":3}}"#, false);
        check(r#"{"id":"v1_x","status":"failed","error":{"code":"internal"}}"#, false);
        check(r#"{"text":"an \"error\" of mine"}"#, false);
        check("", false);
        check("not JSON, \"error\"", false);
    }
}
