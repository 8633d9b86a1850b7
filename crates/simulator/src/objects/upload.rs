//! Uploads: the start of sessions and what becomes of them, and files that come in one request.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use serde_json::{Value, json};

use crate::asked::parse;
use crate::call::query;
use crate::clock::UnixMillis;
use crate::errors::{Form, GoogleError};
use crate::json::{field, text};
use crate::objects::media::origin;
use crate::objects::multipart::sections;
use crate::objects::route::Route;
use crate::objects::session::{GRANULARITY, Writing};
use crate::objects::{Answered, Asking, File, Objects, header};
use crate::plan::Reply;
use crate::simulator::ProjectId;

/// What becomes of an upload.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// `files/*`, with the name that its owner wants, which may be empty.
    File(String),
    /// A document of a store, with what was said about it.
    Document { store: String, metadata: Value },
    /// A file of an environment, by its full name.
    Environment(String),
}

impl Objects {
    /// A request whose body is taken in piece by piece begins: to a session, for which its address is enough (`project` is
    /// None where there is no key), or one that brings a whole file.
    pub(crate) fn begin_upload(
        &mut self,
        request: &Request<Bytes>,
        route: &Route,
        project: Option<ProjectId>,
        now: UnixMillis,
    ) -> Result<Writing, Box<Reply>> {
        if let Some(id) = query(request.uri(), "upload_id") {
            return self.uploads.begin(project, &id, request.headers(), now);
        }
        let wrong = |error: &GoogleError| Box::new(Reply::error(error, Form::Single));
        let project = project.ok_or_else(|| wrong(&GoogleError::no_credential()))?;
        let target = self.target(route, &Value::Null, project, now).map_err(|error| wrong(&error))?;
        let mime = header(request.headers(), "content-type");
        let id = self.uploads.start(target, &Value::Null, mime, None, project, now);
        let session = id.map_err(|error| wrong(&error))?;
        Ok(Writing::whole(project, session))
    }

    /// The body is there: the answer.
    pub(crate) fn finish_upload(&mut self, writing: &Writing, now: UnixMillis) -> Reply {
        let (target, file) = match self.uploads.complete(writing, now) {
            Ok(whole) => whole,
            Err(reply) => return *reply,
        };
        match self.arrive(&target, file, writing.project, now) {
            Ok(answer) => self.uploads.finish(writing, answer, now),
            Err(error) => Reply::error(&error, Form::Single).with("x-goog-upload-status", "final"),
        }
    }

    /// A file is there: it becomes what it was sent for.
    fn arrive(
        &mut self,
        target: &Target,
        file: File,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<Value, GoogleError> {
        match target {
            Target::File(wanted) => {
                let name = self.files.add(wanted, file, project, now)?;
                Ok(json!({ "file": self.files.show(project, &name, now)? }))
            }
            Target::Document { store, metadata } => {
                self.add_document(store, "upload/", file, metadata, project, now)
            }
            Target::Environment(name) => Ok(self.resources.add_file(name, file, project, now)),
        }
    }

    /// What becomes of what is uploaded to a path.
    fn target(
        &self,
        route: &Route,
        metadata: &Value,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<Target, GoogleError> {
        match route.parts().as_slice() {
            ["files"] => Ok(Target::File(text(metadata, "name").to_owned())),
            ["fileSearchStores", _] if route.verb == "uploadToFileSearchStore" => {
                let store = route.name();
                self.stores.check(project, &store, now)?;
                Ok(Target::Document { store, metadata: metadata.clone() })
            }
            ["environments", environment, "files", _, ..] => {
                let found = self.resources.check("environments", environment, project, now);
                found.map_err(GoogleError::in_words)?;
                Ok(Target::Environment(route.name()))
            }
            _ => Err(GoogleError::not_found("There is nothing to upload to.")),
        }
    }
}

/// Whether the body of a request to `/upload/…` is taken in piece by piece: it goes to a session, or it is a whole file
/// and nothing else.
pub(crate) fn is_streamed(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let is_whole = !is_start(headers) && !is_multipart(uri, headers);
    matches!(*method, Method::POST | Method::PUT) && (is_whole || query(uri, "upload_id").is_some())
}

fn is_start(headers: &HeaderMap) -> bool {
    header(headers, "x-goog-upload-command").eq_ignore_ascii_case("start")
}

fn is_multipart(uri: &Uri, headers: &HeaderMap) -> bool {
    query(uri, "uploadType").as_deref() == Some("multipart")
        || header(headers, "x-goog-upload-protocol").eq_ignore_ascii_case("multipart")
        || header(headers, "content-type").starts_with("multipart/")
}

/// Answers the start of a session, and an upload of several parts.
pub(super) fn answer(asking: &Asking<'_>) -> Answered {
    let (project, now) = (asking.project, asking.now);
    if is_start(asking.request.headers()) {
        let body = asking.small_json()?;
        let metadata = metadata(&body, asking.route);
        let declared = asking.header("x-goog-upload-header-content-length").parse().ok();
        let mime = asking.header("x-goog-upload-header-content-type");
        let id = asking.objects(|objects| {
            let target = objects.target(asking.route, metadata, project, now)?;
            objects.uploads.start(target, metadata, mime, declared, project, now)
        })?;
        return Ok(Some(started(asking, &id)));
    }
    let wrong = || GoogleError::invalid("Malformed multipart body.");
    let body = asking.body()?;
    let content_type = asking.header("content-type");
    let (_, boundary) = content_type.split_once("boundary=").ok_or_else(wrong)?;
    let boundary = boundary.split(';').next().unwrap_or_default().trim().trim_matches('"');
    let [about, media] = sections(&body, boundary).try_into().map_err(|_| wrong())?;
    let about = parse(&about.content)?;
    let metadata = metadata(&about, asking.route);
    let (mut file, _) = File::uploaded(metadata, &media.mime, now)?;
    file.holds(media.content);
    let answer = asking.objects(|objects| {
        let target = objects.target(asking.route, metadata, project, now)?;
        objects.arrive(&target, file, project, now)
    })?;
    Ok(Some(Reply::object(&answer).with("x-goog-upload-status", "final")))
}

/// What a body says about a file: of `files`, in a field of its own.
fn metadata<'a>(body: &'a Value, route: &Route) -> &'a Value {
    if route.path[0] == "files" { field(body, "file").unwrap_or(&Value::Null) } else { body }
}

fn started(asking: &Asking<'_>, id: &str) -> Reply {
    let uri = asking.request.uri();
    let mut url = format!(
        "{}{}?upload_id={id}&upload_protocol=resumable",
        origin(asking.request.headers()),
        uri.path()
    );
    // A key that came in the address comes back in it.
    if let Some(key) = query(uri, "key") {
        url.push_str("&key=");
        url.extend(form_urlencoded::byte_serialize(key.as_bytes()));
    }
    Reply::whole(200, "text/plain; charset=utf-8", "")
        .with("x-guploader-uploadid", id)
        .with("x-goog-upload-status", "active")
        .with("x-goog-upload-url", &url)
        .with("x-goog-upload-control-url", &url)
        .with("x-goog-upload-chunk-granularity", &GRANULARITY.to_string())
        .with("x-goog-upload-header-content-type", "application/json; charset=UTF-8")
        .with("x-goog-upload-header-vary", "Origin, Referer, X-Origin")
        .with("server", "UploadServer")
        .with("content-length", "0")
}
