//! Uploads: sessions that grow chunk by chunk, and bodies of several parts.
//!
//! Of what is uploaded, sizes and digests are kept, and the beginning for a while; so a file may be as large as it
//! likes. Chunks need not be multiples of the granularity that the first answer names.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use memchr::memmem;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::asked::parse;
use crate::call::query;
use crate::clock::UnixMillis;
use crate::errors::{Form, GoogleError};
use crate::json::{field, text};
use crate::objects::media::{Content, origin};
use crate::objects::route::Route;
use crate::objects::shelf::{Kept, Shelf};
use crate::objects::{Answered, Asking, File, Objects, header};
use crate::plan::Reply;
use crate::simulator::ProjectId;

/// What Google wants chunks to be a multiple of.
const GRANULARITY: u64 = 8 << 20;
/// Google takes no larger file.
const LARGEST: u64 = 2 << 30;
/// How long a session waits for more. Google does not say; others have seen hours and days.
const KEPT: UnixMillis = 24 * 3_600_000;
/// So much of a file is kept to be looked at.
const BEGINNING: usize = 1 << 20;
/// So much of all sessions together.
const BEGINNINGS: usize = 64 << 20;

/// The sessions that there are.
#[derive(Debug)]
pub(crate) struct Uploads {
    sessions: Shelf<Session>,
}

/// A file that is coming.
#[derive(Debug)]
struct Session {
    target: Target,
    file: File,
    /// How long it is not ready once it is there.
    processing: UnixMillis,
    declared: Option<u64>,
    received: u64,
    digest: Sha256,
    beginning: Vec<u8>,
    /// At which sizes the connection is still to be cut. Ascending.
    cuts: Vec<u64>,
    /// Which request may write. A later one takes the session over from one that hangs.
    writer: u64,
    end: End,
}

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

/// How far a session is.
#[derive(Debug, Clone)]
enum End {
    Open,
    /// With the answer that finished it.
    Final(Value),
    Cancelled,
}

/// A request that writes into a session, or asks about it.
#[derive(Debug)]
pub(crate) struct Writing {
    project: ProjectId,
    session: String,
    writer: u64,
    command: Command,
}

/// `X-Goog-Upload-Command`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Command {
    uploads: bool,
    finalizes: bool,
    queries: bool,
    cancels: bool,
}

/// Whether a chunk may go on coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    More,
    /// The connection is to be reset.
    Cut,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { sessions: Shelf::new("uploads") }
    }
}

impl Uploads {
    fn start(
        &mut self,
        target: Target,
        metadata: &Value,
        mime: &str,
        declared: Option<u64>,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<String, GoogleError> {
        if declared.is_some_and(|declared| declared > LARGEST) {
            return Err(GoogleError::invalid(format!(
                "* CreateFileRequest.file.size_bytes: a file has at most {LARGEST} bytes\n"
            )));
        }
        let (file, asked) = File::uploaded(metadata, mime, now)?;
        let session = Session {
            target,
            file,
            processing: u64::try_from(asked.processing.as_millis()).unwrap_or(0),
            declared,
            received: 0,
            digest: Sha256::new(),
            beginning: Vec::new(),
            cuts: asked.cuts,
            writer: 0,
            end: End::Open,
        };
        let id = format!("AJsim{}", self.sessions.id(56));
        self.sessions.put(id.clone(), project, now, Some(now + KEPT), session);
        Ok(id)
    }

    /// A request to a session begins.
    fn begin(
        &mut self,
        project: ProjectId,
        id: &str,
        headers: &HeaderMap,
        now: UnixMillis,
    ) -> Result<Writing, Box<Reply>> {
        let Some(Kept { it: session, .. }) = self.sessions.find_mut(project, id, now) else {
            let unknown = GoogleError::not_found("The upload session was not found.");
            return Err(Box::new(Reply::error(&unknown, Form::Single)));
        };
        let refuse = |session: &Session, message: String| {
            Err(Box::new(session.refuse(&GoogleError::invalid(message))))
        };
        let Some(command) = Command::read(header(headers, "x-goog-upload-command")) else {
            return refuse(session, "Invalid upload command: X-Goog-Upload-Command.".to_owned());
        };
        if !matches!(session.end, End::Open) && !command.queries {
            return refuse(session, "Upload has already been terminated.".to_owned());
        }
        if command.uploads {
            let offset = header(headers, "x-goog-upload-offset");
            if offset.parse() != Ok(session.received) {
                let received = session.received;
                return refuse(
                    session,
                    format!(
                        "Invalid upload offset: X-Goog-Upload-Offset is \"{offset}\", and {received} bytes were received."
                    ),
                );
            }
        }
        if !command.queries {
            session.writer += 1;
        }
        // What is past is not cut again.
        session.cuts.retain(|cut| *cut > session.received || (*cut == 0 && session.writer == 1));
        Ok(Writing { project, session: id.to_owned(), writer: session.writer, command })
    }

    /// Takes in a piece of a body.
    pub(crate) fn take(&mut self, writing: &Writing, data: &[u8], now: UnixMillis) -> Taken {
        let held: usize = self.sessions.oldest_first().iter().map(|(_, kept)| kept.it.beginning.len()).sum();
        let Some(kept) = self.sessions.find_mut(writing.project, &writing.session, now) else {
            return Taken::More;
        };
        let session = &mut kept.it;
        // What a request says that may not write is of no account.
        if !writing.command.uploads || session.writer != writing.writer || !matches!(session.end, End::Open) {
            return Taken::More;
        }
        let room = session.cuts.first().map(|cut| cut.saturating_sub(session.received));
        let cut = room.filter(|room| *room <= data.len() as u64);
        let data = match cut {
            Some(room) => &data[..room as usize],
            None => data,
        };
        session.digest.update(data);
        session.received += data.len() as u64;
        let most = BEGINNING.saturating_sub(session.beginning.len()).min(BEGINNINGS.saturating_sub(held));
        session.beginning.extend_from_slice(&data[..data.len().min(most)]);
        if cut.is_none() {
            return Taken::More;
        }
        session.cuts.remove(0);
        Taken::Cut
    }
}

impl Session {
    fn refuse(&self, error: &GoogleError) -> Reply {
        self.about(Reply::error(error, Form::Single))
            .with("x-goog-upload-size-received", &self.received.to_string())
    }

    fn about(&self, reply: Reply) -> Reply {
        let status = match self.end {
            End::Open => "active",
            End::Final(_) => "final",
            End::Cancelled => "cancelled",
        };
        reply.with("x-goog-upload-status", status).with("server", "UploadServer")
    }
}

impl Command {
    fn read(text: &str) -> Option<Self> {
        let mut command = Self::default();
        for word in text.split(',') {
            match word.trim().to_ascii_lowercase().as_str() {
                "upload" => command.uploads = true,
                "finalize" => command.finalizes = true,
                "query" => command.queries = true,
                "cancel" => command.cancels = true,
                _ => return None,
            }
        }
        Some(command)
    }
}

impl Objects {
    /// A request whose body is taken in piece by piece begins: to a session, or one that brings a whole file.
    pub(crate) fn begin_upload(
        &mut self,
        request: &Request<Bytes>,
        route: &Route,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<Writing, Box<Reply>> {
        if let Some(id) = query(request.uri(), "upload_id") {
            return self.uploads.begin(project, &id, request.headers(), now);
        }
        let wrong = |error: &GoogleError| Box::new(Reply::error(error, Form::Single));
        let target = self.target(route, &Value::Null, project, now).map_err(|error| wrong(&error))?;
        let mime = header(request.headers(), "content-type");
        let id = self.uploads.start(target, &Value::Null, mime, None, project, now);
        let session = id.map_err(|error| wrong(&error))?;
        let command = Command { uploads: true, finalizes: true, ..Command::default() };
        Ok(Writing { project, session, writer: 0, command })
    }

    /// The body is there: the answer.
    pub(crate) fn finish_upload(&mut self, writing: &Writing, now: UnixMillis) -> Reply {
        let Some(kept) = self.uploads.sessions.find_mut(writing.project, &writing.session, now) else {
            let gone = GoogleError::not_found("The upload session was not found.");
            return Reply::error(&gone, Form::Single);
        };
        let session = &mut kept.it;
        let plain = || Reply::whole(200, "text/plain; charset=utf-8", "");
        if writing.command.queries {
            let answer = match &session.end {
                End::Final(answer) => Reply::object(answer),
                End::Open | End::Cancelled => plain(),
            };
            return session
                .about(answer)
                .with("x-goog-upload-size-received", &session.received.to_string())
                .with("x-goog-upload-chunk-granularity", &GRANULARITY.to_string());
        }
        if session.writer != writing.writer || !matches!(session.end, End::Open) {
            return session.refuse(&GoogleError::invalid("Upload has already been terminated."));
        }
        if writing.command.cancels {
            session.end = End::Cancelled;
            session.beginning = Vec::new();
            return session.about(plain());
        }
        if !writing.command.finalizes {
            return session.about(plain());
        }
        if session.received > LARGEST || session.declared.is_some_and(|size| size != session.received) {
            return session.refuse(&GoogleError::invalid(format!(
                "Invalid upload size: {} bytes were declared, and {} received.",
                session.declared.unwrap_or(LARGEST),
                session.received
            )));
        }
        let mut file = session.file.clone();
        file.size = session.received;
        file.sha256 = Some(session.digest.clone().finalize().into());
        file.ready_at = now + session.processing;
        file.content = Content::Kept(std::mem::take(&mut session.beginning).into());
        let target = session.target.clone();
        let answer = match self.arrive(&target, file, writing.project, now) {
            Ok(answer) => answer,
            Err(error) => return Reply::error(&error, Form::Single).with("x-goog-upload-status", "final"),
        };
        let reply = Reply::object(&answer);
        match self.uploads.sessions.find_mut(writing.project, &writing.session, now) {
            Some(kept) => {
                kept.it.end = End::Final(answer);
                kept.it.about(reply)
            }
            None => reply,
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
        let body = asking.json()?;
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

/// A part of a body of several.
struct Section {
    mime: String,
    content: Bytes,
}

fn sections(body: &Bytes, boundary: &str) -> Vec<Section> {
    let mark = format!("--{boundary}");
    let mut places: Vec<usize> = memmem::find_iter(body, &mark).collect();
    // A mark begins a line.
    places.retain(|place| *place == 0 || body[..*place].ends_with(b"\n"));
    let between = places.windows(2).map(|pair| body.slice(pair[0] + mark.len()..pair[1]));
    between
        .filter_map(|section| {
            let (head, skip) = match memmem::find(&section, b"\r\n\r\n") {
                Some(end) => (&section[..end], end + 4),
                None => memmem::find(&section, b"\n\n").map(|end| (&section[..end], end + 2))?,
            };
            let head = String::from_utf8_lossy(head).into_owned();
            let mime = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
                name.trim().eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
            });
            let content = section.slice(skip..);
            let end = content.strip_suffix(b"\r\n").or_else(|| content.strip_suffix(b"\n"));
            let length = end.map_or(content.len(), <[u8]>::len);
            Some(Section { mime: mime.unwrap_or_default(), content: content.slice(..length) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_sections() {
        let check = |body: &'static str, expected: &[(&str, &str)]| {
            let found = sections(&Bytes::from_static(body.as_bytes()), "b");
            let found: Vec<_> = found
                .iter()
                .map(|one| (one.mime.as_str(), std::str::from_utf8(&one.content).unwrap_or_default()))
                .collect();
            assert_eq!(found, expected, "{body}");
        };
        check(
            "--b\r\nContent-Type: a/b\r\n\r\n{}\r\n--b\r\ncontent-type: c/d\r\n\r\none\r\n\r\n two --b\r\n--b--\r\n",
            &[("a/b", "{}"), ("c/d", "one\r\n\r\n two --b")],
        );
        check("--b\nContent-Type: a/b\n\n{}\n--b--", &[("a/b", "{}")]);
        check("--b\r\n\r\n\r\n--b--", &[("", "")]);
        check("nothing", &[]);
    }

    #[test]
    fn commands_are_lists() {
        let check =
            |text: &str, expected: Option<Command>| assert_eq!(Command::read(text), expected, "{text}");
        let none = Command::default();
        check("upload", Some(Command { uploads: true, ..none }));
        check("upload, finalize", Some(Command { uploads: true, finalizes: true, ..none }));
        check("query", Some(Command { queries: true, ..none }));
        check("CANCEL", Some(Command { cancels: true, ..none }));
        check("", None);
        check("start", None);
    }
}
