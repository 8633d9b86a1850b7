//! `/v1/files` and `/v1/batches`: each call as a few of Gemini's, one after the other.
//!
//! Every one of them is a call as a client of Gemini's own dialect would make it, so that whose an object is, who sees it,
//! and what happens when a key fails is the same here as there. What is kept between them is in [`Work`], and nothing
//! outlives the request.

mod list;
mod shown;
mod upload;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Response};

use self::list::List;
use self::shown::Shown;
use super::batches::{self, GeminiBatch, input};
use super::files::{self, GeminiFile, Sent};
use crate::affinity::address::{Public, UploadOwner};
use crate::affinity::name::ObjectName;
use crate::error::{Error, Kind};
use crate::gateway::Gateway;
use crate::memory::Held;
use crate::resource::{Area, ResourceCall};
use crate::route::Version;
use crate::secret::KeyId;
use crate::time::Timestamp;

/// What is asked of files and batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `POST /v1/files`
    CreateFile,
    /// `GET /v1/files`
    ListFiles { query: String },
    /// `GET /v1/files/{id}`
    GetFile { id: String },
    /// `DELETE /v1/files/{id}`
    DeleteFile { id: String },
    /// `GET /v1/files/{id}/content`
    FileContent { id: String },
    /// `POST /v1/batches`
    CreateBatch,
    /// `GET /v1/batches`
    ListBatches { query: String },
    /// `GET /v1/batches/{id}`
    GetBatch { id: String },
    /// `POST /v1/batches/{id}/cancel`
    CancelBatch { id: String },
}

/// One of Gemini's calls that it takes.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) call: ResourceCall,
    /// The model that the path names.
    pub(crate) model: Option<String>,
    /// Whose the upload is that it goes on with.
    pub(crate) upload: Option<UploadOwner>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
    /// Objects that its project has to have.
    pub(crate) named: Vec<ObjectName>,
}

/// What follows an answer of Gemini's.
#[derive(Debug)]
pub(crate) enum Next {
    /// Another call.
    Ask(Ask),
    /// The client's answer.
    Done(Response<Bytes>),
}

/// For whom it is done, and with what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) client: KeyId,
    pub(crate) public: &'a Public,
    pub(crate) now: Timestamp,
}

/// A call on its way: what the answer that is waited for is to.
#[derive(Debug)]
pub(crate) enum Work {
    /// The beginning of an upload, whose bytes are to follow.
    Starting(Bytes),
    /// A whole upload.
    Sending,
    /// Files or batches.
    Listing(List),
    /// A file that is to be shown.
    File(Shown),
    /// The batch whose output is to be shown, as Google shows no such file.
    OutputOf(Shown),
    Deleting(Shown),
    /// The batch whose output is to be fetched.
    BatchOf(Shown),
    /// Bytes, and the model that they come from.
    Content(Shown, Option<String>),
    /// The file whose bytes Google has refused, with that answer.
    Refused(Shown, Response<Bytes>),
    /// The file that a batch is to be made of.
    Input(Box<batches::Wanted>),
    /// A batch that is to be shown. `cancelled`: the client has just asked for its end.
    Batch {
        id: String,
        cancelled: bool,
    },
    Cancelling {
        id: String,
    },
}

impl Call {
    /// The call of a path without its version, and the methods that the path takes.
    pub(crate) fn of_path(method: &Method, parts: &[&str], query: &str) -> Option<(Self, &'static [Method])> {
        let query = || query.to_owned();
        Some(match parts {
            ["files"] if *method == Method::POST => (Self::CreateFile, &[Method::POST]),
            ["files"] => (Self::ListFiles { query: query() }, &[Method::GET, Method::POST]),
            ["files", id] if *method == Method::DELETE => {
                (Self::DeleteFile { id: (*id).to_owned() }, &[Method::DELETE])
            }
            ["files", id] => (Self::GetFile { id: (*id).to_owned() }, &[Method::GET, Method::DELETE]),
            ["files", id, "content"] => (Self::FileContent { id: (*id).to_owned() }, &[Method::GET]),
            ["batches"] if *method == Method::POST => (Self::CreateBatch, &[Method::POST]),
            ["batches"] => (Self::ListBatches { query: query() }, &[Method::GET, Method::POST]),
            ["batches", id] => (Self::GetBatch { id: (*id).to_owned() }, &[Method::GET]),
            ["batches", id, "cancel"] => (Self::CancelBatch { id: (*id).to_owned() }, &[Method::POST]),
            _ => return None,
        })
    }
}

impl Work {
    /// Begins a call: the first of Gemini's that it takes. What is made of the body counts as `held`.
    ///
    /// # Errors
    /// What the client is told where there is nothing to ask Gemini for.
    pub(crate) fn begin(
        call: Call,
        body: &Bytes,
        content_type: &str,
        of: Of<'_>,
        held: &mut Held,
    ) -> Result<(Self, Ask), Error> {
        match call {
            Call::CreateFile => Self::upload(body, content_type, of, held),
            Call::ListFiles { query } => List::of_files(&query).map(Self::list),
            Call::ListBatches { query } => List::of_batches(&query).map(Self::list),
            Call::GetFile { id } => {
                let shown = Shown::read(id)?;
                Ok(match shown.file.batch() {
                    Some(batch) => Self::batch_ask(batch).with(Self::OutputOf(shown)),
                    None => shown.ask(Method::GET).with(Self::File(shown)),
                })
            }
            Call::DeleteFile { id } => {
                let shown = Shown::read(id)?;
                if shown.file.batch().is_some() {
                    // It would refuse the name as too long, and say nothing else.
                    let message =
                        "What has come of a batch cannot be deleted: Google does so itself, after 48 hours.";
                    return Err(Error::bad_request(message, "id"));
                }
                Ok(shown.ask(Method::DELETE).with(Self::Deleting(shown)))
            }
            Call::FileContent { id } => {
                let shown = Shown::read(id)?;
                Ok(match shown.file.batch() {
                    Some(batch) => Self::batch_ask(batch).with(Self::BatchOf(shown)),
                    None => shown.bytes().with(Self::Content(shown, None)),
                })
            }
            Call::CreateBatch => {
                let wanted = batches::Wanted::read(body)?;
                let ask = plain(Method::GET, &["files", wanted.file.last()]);
                Ok(ask.with(Self::Input(Box::new(wanted))))
            }
            Call::GetBatch { id } => {
                let ask = Self::batch_ask(batches::name(&id).ok_or_else(|| batches::no_batch(&id))?);
                Ok(ask.with(Self::Batch { id, cancelled: false }))
            }
            Call::CancelBatch { id } => {
                let name = batches::name(&id).ok_or_else(|| batches::no_batch(&id))?;
                let ask = plain(Method::POST, &["batches", &format!("{name}:cancel")]);
                Ok(Ask { headers: json(), ..ask }.with(Self::Cancelling { id }))
            }
        }
    }

    fn list(list: List) -> (Self, Ask) {
        let ask = list.ask(None);
        (Self::Listing(list), ask)
    }

    fn batch_ask(name: &str) -> Ask {
        plain(Method::GET, &["batches", name])
    }

    fn upload(body: &Bytes, content_type: &str, of: Of<'_>, held: &mut Held) -> Result<(Self, Ask), Error> {
        let sent = Sent::read(body, content_type)?;
        if sent.purpose != "batch" {
            return Ok(upload::begin(&sent.label(), &sent.mime_type, sent.data, Vec::new()));
        }
        let Of { gateway, client, public, now } = of;
        let input = input::translate(&sent.data, input::Of { gateway, client, public, now }, held)?;
        let label = files::Label {
            purpose: sent.purpose,
            batch: Some((input.target, &input.model)),
            name: &sent.name,
        };
        Ok(upload::begin(&label.write(), &sent.mime_type, input.lines, input.named))
    }

    /// Takes in Gemini's answer, as a client of its own dialect would have it, though errors are in OpenAI's words.
    ///
    /// # Errors
    /// What the client is told.
    pub(crate) fn next(&mut self, reply: Response<Bytes>, of: Of<'_>) -> Result<Next, Error> {
        if !reply.status().is_success() {
            return self.failed(reply);
        }
        match self {
            Self::Starting(bytes) => {
                let ask = upload::rest(&reply, std::mem::take(bytes))?;
                *self = Self::Sending;
                Ok(Next::Ask(ask))
            }
            Self::Sending => Ok(done(upload::made(reply.body())?)),
            Self::Listing(list) => match list.take(&reply)? {
                Some(ask) => Ok(Next::Ask(ask)),
                None => Ok(Next::Done(list.answer()?)),
            },
            Self::File(shown) => {
                let file: GeminiFile = parse(reply.body())?;
                Ok(done(files::FileObject { id: shown.id.clone(), ..file.object() }.write()))
            }
            Self::OutputOf(shown) => {
                let batch: GeminiBatch = parse(reply.body())?;
                Ok(done(shown.output_of(&batch)))
            }
            Self::Deleting(shown) => {
                let deleted = serde_json::json!({ "id": shown.id, "object": "file", "deleted": true });
                Ok(done(deleted.to_string().into()))
            }
            Self::BatchOf(shown) => {
                let batch: GeminiBatch = parse(reply.body())?;
                let (ask, shown) = (shown.bytes(), shown.take());
                *self = Self::Content(shown, Some(batch.model().to_owned()));
                Ok(Next::Ask(ask))
            }
            Self::Content(shown, model) => shown.content(reply, model.as_deref(), of),
            Self::Refused(shown, answer) => {
                let file: GeminiFile = parse(reply.body())?;
                match file.was_sent() {
                    true => Err(shown.not_given(&file)),
                    false => Ok(Next::Done(std::mem::take(answer))),
                }
            }
            Self::Input(wanted) => {
                let file: GeminiFile = parse(reply.body())?;
                let ask = batch_of(wanted, &file, of.gateway)?;
                *self = Self::Batch { id: String::new(), cancelled: false };
                Ok(Next::Ask(ask))
            }
            Self::Batch { cancelled, .. } => {
                let batch: GeminiBatch = parse(reply.body())?;
                Ok(done(batch.object(*cancelled)))
            }
            Self::Cancelling { id } => {
                let id = std::mem::take(id);
                let ask = Self::batch_ask(batches::name(&id).unwrap_or_default());
                *self = Self::Batch { id, cancelled: true };
                Ok(Next::Ask(ask))
            }
        }
    }

    /// Google's refusal in OpenAI's words.
    fn failed(&mut self, reply: Response<Bytes>) -> Result<Next, Error> {
        // Google says that a file or batch may not be seen where there is none.
        let is_absent = matches!(reply.status().as_u16(), 403 | 404);
        match self {
            // Why it was refused is to be seen at the file.
            Self::Content(shown, None) if reply.status().is_client_error() && reply.status() != 429 => {
                let (ask, shown) = (shown.ask(Method::GET), shown.take());
                *self = Self::Refused(shown, reply);
                Ok(Next::Ask(ask))
            }
            Self::File(shown)
            | Self::OutputOf(shown)
            | Self::Deleting(shown)
            | Self::BatchOf(shown)
            | Self::Content(shown, _)
            | Self::Refused(shown, _)
                if is_absent =>
            {
                Err(files::no_file(&shown.id))
            }
            Self::Input(wanted) if is_absent => {
                let message = format!("No such File object: {}", wanted.input);
                Err(Error::bad_request(message, "input_file_id"))
            }
            Self::Batch { id, .. } | Self::Cancelling { id } if is_absent && !id.is_empty() => {
                Err(batches::no_batch(id))
            }
            Self::Refused(_, answer) => Ok(Next::Done(std::mem::take(answer))),
            _ => Ok(Next::Done(reply)),
        }
    }
}

impl Ask {
    fn with(self, work: Work) -> (Work, Self) {
        (work, self)
    }
}

/// The call that makes a batch of a file.
fn batch_of(wanted: &batches::Wanted, file: &GeminiFile, gateway: &Gateway) -> Result<Ask, Error> {
    let label = file.label();
    let Some((target, model)) = label.batch else {
        let message = "The file holds no requests that were translated for Gemini: upload it here, with the purpose 'batch'.";
        return Err(Error::bad_request(message, "input_file_id"));
    };
    if target != wanted.target {
        let message = format!(
            "The requests of the file are for '{}', not for '{}'.",
            target.path(),
            wanted.target.path()
        );
        return Err(Error::bad_request(message, "endpoint"));
    }
    if !gateway.config().model_allowed(model) {
        let message = format!("The model {model} is not served here. 此网关不提供模型 {model}。");
        return Err(Error::new(Kind::ModelNotFound, message));
    }
    let (method, body) = wanted.to_gemini();
    let ask = plain(Method::POST, &["models", &format!("{model}:{method}")]);
    Ok(Ask { model: Some(model.to_owned()), headers: json(), body, ..ask })
}

fn plain(method: Method, parts: &[&str]) -> Ask {
    Ask {
        call: ResourceCall::new(&method, Version::V1Beta, Area::Plain, parts, ""),
        model: None,
        upload: None,
        headers: Vec::new(),
        body: Bytes::new(),
        named: Vec::new(),
    }
}

fn json() -> Vec<(HeaderName, HeaderValue)> {
    vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))]
}

fn done(body: Bytes) -> Next {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Next::Done(response)
}

fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|_| Error::new(Kind::BadGateway, "the upstream's answer could not be understood"))
}
