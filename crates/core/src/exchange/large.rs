//! Media that are too large to stand in a request: before an attempt they are put, as files, into the project whose key
//! was chosen for it. Another attempt in another project puts them there, too.
//!
//! The files stay until Google deletes them after two days, and what is sent again meanwhile (a conversation sends all of
//! its media with every turn) finds them there. No client sees them.

use std::sync::Arc;
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
use crate::gemini::large::Large;
use crate::memory::Held;
use crate::secret::KeyId;
use crate::time::Timestamp;
use crate::upstream;

/// So long one medium may take, until it can be used: 100 MB at some 2 MB a second, and Google's look at a film.
const SENDING: Duration = Duration::from_secs(180);

/// So long until a film that Google looks at is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// So many uploads one request may take: its media, in some projects.
const MOST_SENT: u32 = 256;

/// The answer to an upload is read up to here.
const ANSWER: usize = 64 << 10;

/// A medium on its way.
#[derive(Debug)]
pub(super) struct Sending {
    /// What is being waited for; none between two looks at a film.
    op: Option<OpId>,
    digest: String,
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
    /// Begins the attempt with this key, or what has to come before it: the next medium that its project has not.
    pub(super) fn send_media(&mut self, lease: Lease, now: Timestamp) -> Step {
        let Some(project) = lease.project().filter(|_| !self.task.large().is_empty()) else {
            return self.start(lease, now);
        };
        let is_missing =
            |large: &&Arc<Large>| self.gateway.placed().find(large.digest(), project, now).is_none();
        let Some(large) = self.task.large().iter().find(is_missing).cloned() else {
            return self.start(lease, now);
        };
        self.media_sent += 1;
        if self.media_sent > MOST_SENT {
            lease.unused(now);
            let message = "The media of this request cannot be kept in a project.";
            self.refuse(&Error::new(Kind::BadGateway, message), now);
            return self.advance(now);
        }
        let Some((content_type, body)) = large.as_related() else {
            lease.unused(now);
            self.refuse(&Error::new(Kind::BadRequest, "Invalid base64 data."), now);
            return self.advance(now);
        };
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
        let request =
            upstream::to_gemini(upstream, Method::POST, path, headers, lease.key(), Some(body.into()));
        let op = self.new_op();
        self.sending = Some(Box::new(Sending {
            op: Some(op),
            digest: large.digest().to_owned(),
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

    /// The next step of a medium on its way; none where there is none.
    pub(super) fn send_on(&mut self, now: Timestamp) -> Option<Step> {
        let sending = self.sending.as_ref()?;
        let until = (sending.began + SENDING).min(self.times.deadline);
        if now >= until {
            let sending = self.sending.take()?;
            let failure = failure::timeout(now.since(sending.began));
            self.sending_failed(*sending, failure, now);
            return Some(self.advance(now));
        }
        match &sending.name {
            Some(name) if sending.op.is_none() && now >= sending.again => {
                let (path, key) = (format!("/v1beta/{name}"), sending.lease.key().clone());
                let upstream = &self.gateway.config().upstream;
                let body = Some(Bytes::new());
                let request = upstream::to_gemini(upstream, Method::GET, &path, HeaderMap::new(), &key, body);
                let op = self.new_op();
                self.sending.as_mut()?.op = Some(op);
                Some(Step::Start(op, Op::Upstream(request)))
            }
            Some(_) if sending.op.is_none() => Some(Step::WaitUntil(sending.again.min(until))),
            _ => Some(Step::WaitUntil(until)),
        }
    }

    /// Takes in what has come of an operation, if it is about a medium on its way.
    ///
    /// # Errors
    /// The outcome, where it belongs to another operation.
    pub(super) fn sent(&mut self, op: OpId, outcome: Outcome, now: Timestamp) -> Result<(), Outcome> {
        let Some(sending) = self.sending.as_mut().filter(|sending| sending.op == Some(op)) else {
            return Err(outcome);
        };
        let failed = match outcome {
            Outcome::Head(status, _) => {
                sending.status = Some(status);
                return Ok(());
            }
            Outcome::Chunk(chunk) => {
                let room = ANSWER.saturating_sub(sending.body.len());
                sending.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                return Ok(());
            }
            Outcome::End => None,
            Outcome::Failed { message, .. } => Some(failure::network(&message)),
            Outcome::TooLarge => Some(failure::network("the medium is too large")),
        };
        let Some(mut sending) = self.sending.take() else { return Ok(()) };
        let (status, body) = (sending.status.take(), std::mem::take(&mut sending.body));
        let failed = failed.or_else(|| match status {
            Some(status) if status.is_success() => None,
            status => {
                let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
                let answer = Answer { status, content_type: None, body: &body, model: None };
                Some(sending.lease.classify(&answer, now))
            }
        });
        if let Some(failure) = failed {
            self.sending_failed(*sending, failure, now);
            return Ok(());
        }
        let file = read(&body).and_then(|file| {
            let name = ObjectName::of_text(&file.name, |_| false)?;
            Some((name, file))
        });
        let Some((name, file)) = file else {
            let message = "The upstream's answer to an upload could not be understood.";
            let failure = Failure::new(Class::Unknown, Elsewhere::One, message);
            self.sending_failed(*sending, failure, now);
            return Ok(());
        };
        match file.state.as_str() {
            "" | "ACTIVE" => {
                let Sending { digest, lease, .. } = *sending;
                if let Some(project) = lease.project() {
                    let guests = lease.is_guests();
                    self.gateway.objects(guests).learn(&name, lease.key().id(), Some(COPY), now);
                    self.gateway.placed().put(&digest, project, file.uri, now);
                }
                self.chosen = Some(lease);
            }
            "FAILED" => {
                sending.lease.unused(now);
                let message =
                    "Gemini cannot read one of the media of this request. Gemini 无法读取请求中的媒体。";
                self.refuse(&Error::new(Kind::BadRequest, message), now);
            }
            _ => {
                sending.op = None;
                sending.name = Some(name);
                sending.again = now + AGAIN;
                self.sending = Some(sending);
            }
        }
        Ok(())
    }

    fn sending_failed(&mut self, sending: Sending, failure: Failure, now: Timestamp) {
        let Sending { op, lease, began, .. } = sending;
        self.tried.push(lease.key().id());
        self.budget.spend();
        let op = op.unwrap_or_else(|| self.new_op());
        let attempt = Attempt { op, lease: Some(lease), started: began, deadline: began, phase: Phase::Sent };
        self.failed(attempt, failure, now);
    }

    /// Where a medium is, for a key whose project has it. None: the address is no medium's mark.
    pub(super) fn placed(&self, mark: &str, key: KeyId) -> Option<String> {
        let digest = Large::digest_of_mark(mark)?;
        let project = self.place_of(key)?.project;
        // Not by the clock: it was there a moment ago.
        self.gateway.placed().find(digest, project, Timestamp::EPOCH).map(str::to_owned)
    }

    /// After a refusal of an object: a medium that is gone is put there again the next time.
    pub(super) fn distrust_placed(&self, failure: &Failure, lease: Option<&Lease>) {
        let Some(project) = lease.and_then(Lease::project).filter(|_| failure.class == Class::Affinity)
        else {
            return;
        };
        for large in self.task.large() {
            self.gateway.placed().forget(large.digest(), project);
        }
    }

    pub(super) fn drop_sending(&mut self) {
        if let Some(sending) = self.sending.take() {
            self.cancel.extend(sending.op);
        }
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
