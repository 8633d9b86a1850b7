//! `files/*`: uploaded or generated, kept for two days.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::clock::{UnixMillis, json_time};
use crate::directive::UploadDirectives;
use crate::errors::GoogleError;
use crate::json::{field, text};
use crate::objects::media::{self, Content};
use crate::objects::shelf::{Kept, Shelf};
use crate::objects::{Answered, Asking, route, upload};
use crate::plan::Reply;
use crate::simulator::ProjectId;

/// Google deletes files after two days.
const KEPT: UnixMillis = 48 * 3_600_000;

/// Google's bound on the id of a file.
const LONGEST: usize = 40;

/// So much of what files hold is kept in all, for tests to look at; the oldest files lose theirs first.
const MOST_CONTENT: usize = 64 << 20;

/// Where Google says that files are, whatever host was asked.
const ORIGIN: &str = "https://generativelanguage.googleapis.com";

/// The files that there are.
#[derive(Debug)]
pub(crate) struct Files {
    files: Shelf<File>,
}

/// A file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) display_name: Option<String>,
    pub(crate) mime: String,
    pub(crate) size: u64,
    /// None: nobody has read it whole.
    pub(crate) sha256: Option<[u8; 32]>,
    /// Until then it is `PROCESSING`.
    pub(crate) ready_at: UnixMillis,
    /// Whether it is `FAILED` after that.
    pub(crate) fails: bool,
    /// Whether the service made it: only then can it be downloaded.
    pub(crate) is_generated: bool,
    pub(crate) content: Content,
}

impl Default for Files {
    fn default() -> Self {
        Self { files: Shelf::new("files") }
    }
}

impl Files {
    /// Adds a file; gives its name, `files/…`. `wanted` is the name that its owner wants it to have.
    pub(crate) fn add(
        &mut self,
        wanted: &str,
        file: File,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<String, GoogleError> {
        let id = wanted.strip_prefix("files/").unwrap_or(wanted);
        let is_good = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        if id.len() > LONGEST || !id.chars().all(is_good) {
            return Err(GoogleError::invalid(
                "* CreateFileRequest.file.name: a name has at most 40 lowercase letters, digits and dashes\n",
            ));
        }
        let name = if id.is_empty() { format!("files/{}", self.files.id(12)) } else { format!("files/{id}") };
        if self.files.has(&name, now) {
            return Err(GoogleError::exists(format!("Requested entity already exists: {name}")));
        }
        self.put(&name, file, project, now);
        Ok(name)
    }

    /// Puts a file there by a name that the service itself has chosen.
    pub(crate) fn put(&mut self, name: &str, file: File, project: ProjectId, now: UnixMillis) {
        self.files.put(name.to_owned(), project, now, Some(now.saturating_add(KEPT)), file);
        let mut room = MOST_CONTENT;
        for (_, kept) in self.files.oldest_first().into_iter().rev() {
            match room.checked_sub(kept.it.content.held()) {
                Some(left) => room = left,
                None => kept.it.content = Content::Gone,
            }
        }
    }

    /// A file of the project. `name` with or without `files/`.
    pub(crate) fn of(
        &self,
        project: ProjectId,
        name: &str,
        now: UnixMillis,
    ) -> Result<&Kept<File>, GoogleError> {
        let id = name.strip_prefix("files/").unwrap_or(name);
        let found = self.files.find(project, &format!("files/{id}"), now);
        found.ok_or_else(|| GoogleError::foreign_file(id))
    }

    /// A file that can be used.
    pub(crate) fn active(
        &self,
        project: ProjectId,
        name: &str,
        now: UnixMillis,
    ) -> Result<&Kept<File>, GoogleError> {
        let kept = self.of(project, name, now)?;
        if kept.it.state(now) == "ACTIVE" {
            return Ok(kept);
        }
        let id = name.strip_prefix("files/").unwrap_or(name);
        Err(GoogleError::precondition(format!(
            "The File {id} is not in an ACTIVE state and usage is not allowed."
        )))
    }

    /// What a file shows of itself.
    pub(crate) fn show(&self, project: ProjectId, name: &str, now: UnixMillis) -> Result<Value, GoogleError> {
        self.of(project, name, now).map(|kept| show(name, kept, now))
    }

    /// How many there are.
    pub(crate) fn len(&self, now: UnixMillis) -> usize {
        self.files.len(now)
    }

    /// What is kept of a file's content, whosever it is.
    pub(crate) fn content(&mut self, name: &str) -> Option<Bytes> {
        let found = self.files.oldest_first().into_iter().find(|(known, _)| *known == name)?;
        match &found.1.it.content {
            Content::Kept(content) => Some(content.clone()),
            Content::Gone | Content::Pattern => None,
        }
    }
}

impl File {
    /// A file with this metadata (`{"displayName", "mimeType"}`), and what its display name asks for.
    pub(crate) fn uploaded(
        metadata: &Value,
        mime: &str,
        now: UnixMillis,
    ) -> Result<(Self, UploadDirectives), GoogleError> {
        let display_name = field(metadata, "displayName").and_then(Value::as_str).map(str::to_owned);
        if display_name.as_deref().is_some_and(|name| name.chars().count() > 512) {
            return Err(GoogleError::invalid(
                "* CreateFileRequest.file.display_name: display_name must have at most 512 characters\n",
            ));
        }
        let asked = UploadDirectives::read(display_name.as_deref().unwrap_or_default())
            .map_err(|error| GoogleError::invalid(format!("libra-simulator: {error}")))?;
        let told = text(metadata, "mimeType");
        let mime = [told, mime].into_iter().find(|mime| !mime.is_empty());
        let file = Self {
            display_name,
            mime: mime.unwrap_or("application/octet-stream").to_owned(),
            size: 0,
            sha256: None,
            ready_at: now.saturating_add(u64::try_from(asked.processing.as_millis()).unwrap_or(0)),
            fails: asked.fails,
            is_generated: false,
            content: Content::Gone,
        };
        Ok((file, asked))
    }

    /// A file that holds this.
    pub(crate) fn holds(&mut self, content: Bytes) {
        self.size = content.len() as u64;
        self.sha256 = Some(Sha256::digest(&content).into());
        self.content = Content::Kept(content);
    }

    /// One that the service made.
    pub(crate) fn generated(mime: &str, content: Content, size: u64) -> Self {
        let sha256 = match &content {
            Content::Kept(content) => Some(Sha256::digest(content).into()),
            Content::Gone | Content::Pattern => None,
        };
        let mime = mime.to_owned();
        Self {
            display_name: None,
            mime,
            size,
            sha256,
            ready_at: 0,
            fails: false,
            is_generated: true,
            content,
        }
    }

    fn state(&self, now: UnixMillis) -> &'static str {
        match self.fails {
            _ if now < self.ready_at => "PROCESSING",
            true => "FAILED",
            false => "ACTIVE",
        }
    }
}

/// The address that Google gives a file.
pub(crate) fn uri(name: &str) -> String {
    format!("{ORIGIN}/v1beta/{name}")
}

fn show(name: &str, kept: &Kept<File>, now: UnixMillis) -> Value {
    let file = &kept.it;
    let mut shown = json!({ "name": name });
    if let Some(display_name) = &file.display_name {
        shown["displayName"] = json!(display_name);
    }
    shown["mimeType"] = json!(file.mime);
    shown["sizeBytes"] = json!(file.size.to_string());
    shown["createTime"] = json!(json_time(kept.created));
    shown["updateTime"] = json!(json_time(kept.updated));
    shown["expirationTime"] = json!(json_time(kept.until.unwrap_or(kept.created)));
    if let Some(sha256) = file.sha256 {
        // Google encodes the hexadecimal digits, not the bytes.
        let digits: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        shown["sha256Hash"] = json!(BASE64.encode(digits));
    }
    shown["uri"] = json!(uri(name));
    if file.is_generated {
        shown["downloadUri"] = json!(format!("{}:download?alt=media", uri(name)));
    }
    let state = file.state(now);
    shown["state"] = json!(state);
    if state == "FAILED" {
        shown["error"] = json!({ "code": 3, "message": "The File failed to be processed." });
    }
    shown["source"] = json!(if file.is_generated { "GENERATED" } else { "UPLOADED" });
    shown
}

/// Answers what is asked of files.
pub(crate) fn answer(asking: &Asking<'_>) -> Answered {
    use crate::objects::route::Place::{Download, Plain, Upload};
    let (project, now) = (asking.project, asking.now);
    let parts = asking.route.parts();
    match (asking.route.place, asking.method(), parts.as_slice(), asking.route.verb) {
        (Upload, &Method::POST | &Method::PUT, ["files"], "") => upload::answer(asking),
        (Plain, &Method::POST, ["files"], "register") => Err(GoogleError::key_unsupported()),
        (Plain, &Method::POST, ["files"], "") => {
            let body = asking.small_json()?;
            let metadata = field(&body, "file").unwrap_or(&Value::Null);
            let (file, _) = File::uploaded(metadata, "", now)?;
            let shown = asking.objects(|objects| {
                let name = objects.files.add(text(metadata, "name"), file, project, now)?;
                objects.files.show(project, &name, now)
            })?;
            Ok(Some(Reply::object(&json!({ "file": shown }))))
        }
        (Plain, &Method::GET, ["files"], "") => {
            let page = route::page(asking.request.uri(), 10, 100);
            let listed = asking.objects(|objects| {
                let (files, next) = objects.files.files.list(project, "files/", &page, now)?;
                let shown: Vec<Value> = files.iter().map(|(name, kept)| show(name, kept, now)).collect();
                Ok(listed("files", shown, next))
            })?;
            Ok(Some(Reply::object(&listed)))
        }
        // Google calls what comes of batches by names that are longer than it takes here.
        (Plain, method @ (&Method::GET | &Method::DELETE), ["files", id], "") if id.len() > LONGEST => {
            let request = if method == Method::GET { "GetFileRequest" } else { "DeleteFileRequest" };
            Err(GoogleError::invalid(format!(
                "* {request}.name: File ID (name excluding 'files/') cannot be more than {LONGEST} characters.\n"
            )))
        }
        (Plain, &Method::GET, ["files", id], "") => {
            let shown = asking.objects(|objects| {
                objects.files.of(project, id, now).map(|kept| show(&asking.route.name(), kept, now))
            })?;
            Ok(Some(Reply::object(&shown)))
        }
        (Plain, &Method::DELETE, ["files", id], "") => asking.objects(|objects| {
            objects.files.of(project, id, now)?;
            objects.files.files.remove(project, &asking.route.name(), now);
            Ok(Some(Reply::object(&json!({}))))
        }),
        (place @ (Plain | Download), &Method::GET, ["files", id], "download") => {
            let file =
                asking.objects(|objects| objects.files.of(project, id, now).map(|kept| kept.it.clone()))?;
            if !file.is_generated {
                return Err(GoogleError::invalid("Only generated files can be downloaded."));
            }
            if place == Plain {
                Ok(Some(media::elsewhere(asking)))
            } else {
                media::download(asking, &file).map(Some)
            }
        }
        _ => Ok(None),
    }
}

/// A list as Google shows it: without what is empty.
pub(crate) fn listed(name: &str, shown: Vec<Value>, next: Option<String>) -> Value {
    let mut list = json!({});
    if !shown.is_empty() {
        list[name] = shown.into();
    }
    if let Some(next) = next {
        list["nextPageToken"] = next.into();
    }
    list
}
