//! What a request needs in the project whose key was chosen for its next attempt, and what is not there: a medium that is
//! too large to stand in the request ([`large`](super::large)), or a file of a project that has no room
//! ([`moving`](super::moving)). It is uploaded before the attempt; another attempt in another project puts it there, too.
//!
//! The files stay until Google deletes them after two days, and what needs them again meanwhile finds them there. No client
//! sees them.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;

use super::attempt::{Attempt, Lease, Phase};
use super::{Op, OpId, Outcome, Single, Step};
use crate::affinity::name::ObjectName;
use crate::affinity::objects::COPY;
use crate::error::{Error, Kind};
use crate::failure::{self, Answer, Class, Elsewhere, Failure};
use crate::gateway::no_room;
use crate::memory::Held;
use crate::secret::KeyId;
use crate::time::Timestamp;
use crate::upstream;

/// So long one file may take, until it can be used: 100 MB at some 2 MB a second, and Google's look at a film.
const BRINGING: Duration = Duration::from_secs(180);

/// So long until a film that Google looks at is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// So many uploads one request may take: its files, in some projects.
const MOST_BROUGHT: u32 = 256;

/// The answer to an upload is read up to here.
const ANSWER: usize = 64 << 10;

/// A file on its way.
#[derive(Debug)]
pub(super) struct Bringing {
    /// What is being waited for; none between two looks at a film.
    op: Option<OpId>,
    /// What it is: its name in the project that it comes from, or its digest.
    what: String,
    /// What Google calls it, once it has come.
    name: Option<ObjectName>,
    lease: Lease,
    began: Timestamp,
    again: Timestamp,
    status: Option<StatusCode>,
    body: BytesMut,
    /// The room for what is sent.
    _held: Held,
}

/// A file as far as it matters here.
#[derive(Debug, Deserialize)]
struct File {
    name: String,
    uri: String,
    #[serde(default)]
    state: String,
}

impl Single {
    /// Brings a file into the project of this key, with the content type and the body of its upload.
    pub(super) fn bring(
        &mut self,
        what: &str,
        (content_type, body): (String, Bytes),
        lease: Lease,
        now: Timestamp,
    ) -> Step {
        self.brought += 1;
        if self.brought > MOST_BROUGHT {
            lease.unused(now);
            let message = "The files of this request cannot be kept in a project.";
            self.refuse(&Error::new(Kind::BadGateway, message), now);
            return self.advance(now);
        }
        let mut held = self.gateway.share();
        if !held.grow(body.len()) {
            lease.unused(now);
            self.refuse(&no_room(), now);
            return self.advance(now);
        }
        let mut headers = HeaderMap::new();
        if let Ok(content_type) = HeaderValue::try_from(content_type) {
            headers.insert(CONTENT_TYPE, content_type);
        }
        headers.insert("x-goog-upload-protocol", HeaderValue::from_static("multipart"));
        let path = "/upload/v1beta/files?uploadType=multipart";
        let upstream = &self.gateway.config().upstream;
        let request = upstream::to_gemini(upstream, Method::POST, path, headers, lease.key(), Some(body));
        let op = self.new_op();
        self.bringing = Some(Box::new(Bringing {
            op: Some(op),
            what: what.to_owned(),
            name: None,
            lease,
            began: now,
            again: now,
            status: None,
            body: BytesMut::new(),
            _held: held,
        }));
        Step::Start(op, Op::Upstream(request))
    }

    /// The next step of a file on its way; none where there is none.
    pub(super) fn bring_on(&mut self, now: Timestamp) -> Option<Step> {
        let bringing = self.bringing.as_ref()?;
        let until = (bringing.began + BRINGING).min(self.times.deadline);
        if now >= until {
            let bringing = self.bringing.take()?;
            let failure = failure::timeout(now.since(bringing.began));
            self.bringing_failed(*bringing, failure, now);
            return Some(self.advance(now));
        }
        match &bringing.name {
            Some(name) if bringing.op.is_none() && now >= bringing.again => {
                let (path, key) = (format!("/v1beta/{name}"), bringing.lease.key().clone());
                let upstream = &self.gateway.config().upstream;
                let body = Some(Bytes::new());
                let request = upstream::to_gemini(upstream, Method::GET, &path, HeaderMap::new(), &key, body);
                let op = self.new_op();
                self.bringing.as_mut()?.op = Some(op);
                Some(Step::Start(op, Op::Upstream(request)))
            }
            Some(_) if bringing.op.is_none() => Some(Step::WaitUntil(bringing.again.min(until))),
            _ => Some(Step::WaitUntil(until)),
        }
    }

    /// Takes in what has come of an operation, if it is about a file on its way.
    ///
    /// # Errors
    /// The outcome, where it belongs to another operation.
    pub(super) fn brought(&mut self, op: OpId, outcome: Outcome, now: Timestamp) -> Result<(), Outcome> {
        let Some(bringing) = self.bringing.as_mut().filter(|bringing| bringing.op == Some(op)) else {
            return Err(outcome);
        };
        let failed = match outcome {
            Outcome::Head(status, _) => {
                bringing.status = Some(status);
                return Ok(());
            }
            Outcome::Chunk(chunk) => {
                let room = ANSWER.saturating_sub(bringing.body.len());
                bringing.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                return Ok(());
            }
            Outcome::End => None,
            Outcome::Failed { message, .. } => Some(failure::network(&message)),
            Outcome::TooLarge => Some(failure::network("the file is too large")),
        };
        let Some(mut bringing) = self.bringing.take() else { return Ok(()) };
        let (status, body) = (bringing.status.take(), std::mem::take(&mut bringing.body));
        let failed = failed.or_else(|| match status {
            Some(status) if status.is_success() => None,
            status => {
                let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
                let answer = Answer { status, content_type: None, body: &body, model: None };
                Some(bringing.lease.classify(&answer, now))
            }
        });
        if let Some(failure) = failed {
            self.bringing_failed(*bringing, failure, now);
            return Ok(());
        }
        let file = read(&body).and_then(|file| {
            let name = ObjectName::of_text(&file.name, |_| false)?;
            Some((name, file))
        });
        let Some((name, file)) = file else {
            let message = "The upstream's answer to an upload could not be understood.";
            let failure = Failure::new(Class::Unknown, Elsewhere::One, message);
            self.bringing_failed(*bringing, failure, now);
            return Ok(());
        };
        match file.state.as_str() {
            "" | "ACTIVE" => {
                let Bringing { what, lease, .. } = *bringing;
                if let Some(project) = lease.project() {
                    let guests = lease.is_guests();
                    self.gateway.objects(guests).learn(&name, lease.key().id(), Some(COPY), now);
                    self.gateway.placed().put(&what, project, file.uri, now);
                }
                self.chosen = Some(lease);
            }
            "FAILED" => {
                bringing.lease.unused(now);
                let message =
                    "Gemini cannot read one of the media of this request. Gemini 无法读取请求中的媒体。";
                self.refuse(&Error::new(Kind::BadRequest, message), now);
            }
            _ => {
                bringing.op = None;
                bringing.name = Some(name);
                bringing.again = now + AGAIN;
                self.bringing = Some(bringing);
            }
        }
        Ok(())
    }

    fn bringing_failed(&mut self, bringing: Bringing, failure: Failure, now: Timestamp) {
        let Bringing { op, lease, began, .. } = bringing;
        self.tried.push(lease.key().id());
        self.budget.spend();
        let op = op.unwrap_or_else(|| self.new_op());
        let attempt = Attempt { op, lease: Some(lease), started: began, deadline: began, phase: Phase::Sent };
        self.failed(attempt, failure, now);
    }

    /// Where something is that was brought into the project of this key.
    pub(super) fn place_of_copy(&self, what: &str, key: KeyId) -> Option<String> {
        let project = self.place_of(key)?.project;
        // Not by the clock: it was there a moment ago.
        self.gateway.placed().find(what, project, Timestamp::EPOCH).map(str::to_owned)
    }

    /// After a refusal of an object: what is gone is brought there again the next time.
    pub(super) fn distrust_copies(&self, failure: &Failure, lease: Option<&Lease>) {
        let Some(project) = lease.and_then(Lease::project).filter(|_| failure.class == Class::Affinity)
        else {
            return;
        };
        let files = self.owners.iter().map(|(name, _)| name.as_str());
        let media = self.task.large().iter().map(|large| large.digest());
        for what in files.chain(media) {
            self.gateway.placed().forget(what, project);
        }
    }

    pub(super) fn drop_bringing(&mut self) {
        if let Some(bringing) = self.bringing.take() {
            self.cancel.extend(bringing.op);
        }
        self.chosen = None;
    }
}

/// The file of an answer: to an upload, or to the question how it is.
fn read(body: &[u8]) -> Option<File> {
    #[derive(Deserialize)]
    struct Uploaded {
        file: File,
    }
    serde_json::from_slice::<Uploaded>(body)
        .map(|uploaded| uploaded.file)
        .or_else(|_| serde_json::from_slice(body))
        .ok()
}
