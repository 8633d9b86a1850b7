//! Another project for a request whose own has no room: its files are uploaded there again, its cache is written out.
//!
//! It takes what the [spool](crate::affinity::spool) still has of both. The copy of a file is remembered, so that the next
//! request finds it there; Google deletes it after two days like any other.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;

use super::attempt::{Attempt, Lease, Phase};
use super::{Op, OpId, Outcome, Single, Step};
use crate::affinity::name::ObjectName;
use crate::affinity::objects::COPY;
use crate::affinity::scan;
use crate::affinity::spool::written_out;
use crate::auth::Access;
use crate::failure::{self, Answer, Class, Elsewhere, Failure};
use crate::pool::{Only, ProjectId, Want};
use crate::secret::KeyId;
use crate::task::Task;
use crate::time::Timestamp;
use crate::tokens;
use crate::upstream;

/// So long one copy may take.
const COPYING: Duration = Duration::from_secs(60);

/// A project that is without room for longer loses its clients. A minute's quota is no reason to: a store and a file that
/// is to be imported have to be in one project.
const LONG: Duration = Duration::from_secs(300);

/// The answer to an upload is read up to here.
const ANSWER: usize = 64 << 10;

/// What becomes of a request that its own project cannot serve.
#[derive(Debug)]
pub(super) enum Moving {
    /// Nothing: it goes where its objects are.
    No,
    /// It goes to any project that has room.
    Anywhere,
    /// A file is on its way to the project whose key was chosen.
    Copying(Box<Copying>),
}

#[derive(Debug)]
pub(super) struct Copying {
    op: OpId,
    file: ObjectName,
    lease: Lease,
    began: Timestamp,
    status: Option<StatusCode>,
    body: BytesMut,
}

impl Single {
    /// Whether the request can go to another project than that of its objects, and does so from now on.
    pub(super) fn moves(&mut self, now: Timestamp) -> bool {
        let Some(only) = self.only.filter(|_| matches!(self.moving, Moving::No)) else { return false };
        let is_prompt = matches!(self.task, Task::Native { .. } | Task::Generation(_));
        let Some(body) = self.task.translated_body().or_else(|| self.body.clone()).filter(|_| is_prompt)
        else {
            return false;
        };
        let Some(body) = self.without_cache(body) else { return false };
        if !self.files_are_at_hand(&body) {
            return false;
        }
        let files = self.owners.iter().filter(|(name, _)| name.collection() == "files");
        self.stay = files.map(|(name, _)| self.gateway.spool().copied_to(name)).next().flatten();
        self.tokens = tokens::estimate(&body);
        self.moved_body = Some(body);
        let recovery =
            self.gateway.pool(false).recovery(&Want { tried: &[], avoid: &[], ..self.want() }, now);
        self.avoid.push(only.project);
        self.moving = Moving::Anywhere;
        // Another project, and no further load on the one that has none to spare.
        self.adds_to_load = false;
        if let Access::Pool { client } = &self.access {
            self.leave_home(client.id(), recovery, now);
        }
        self.only = None;
        true
    }

    /// The project of the request's objects has no room before `recovery`. If that is long, what the client makes next is
    /// made where there is room; else it stays where it can be used with the rest.
    pub(super) fn leave_home(&self, client: KeyId, recovery: Option<Timestamp>, now: Timestamp) {
        let is_long = recovery.is_none_or(|recovery| recovery > now + LONG);
        if self.only.is_some() && is_long {
            self.gateway.objects(false).move_out(client);
        }
    }

    /// One of the projects whose objects the request names, if what it names of the others can be brought there.
    pub(super) fn meeting_place(&mut self) -> Option<Only> {
        let is_prompt = matches!(self.task, Task::Native { .. } | Task::Generation(_));
        let body = self.task.translated_body().or_else(|| self.body.clone()).filter(|_| is_prompt)?;
        let spool = self.gateway.spool();
        let comes_to = |target: &Only| {
            self.owners.iter().all(|(name, place)| {
                place.project == target.project || name.collection() == "files" && spool.file(name).is_some()
            })
        };
        let target = self.owners.iter().map(|(_, place)| *place).find(comes_to)?;
        drop(spool);
        self.moved_body = Some(body);
        Some(target)
    }

    /// The body with what its cache was made of in the cache's place, if it uses one. None: that is not known any more.
    fn without_cache(&self, body: Bytes) -> Option<Bytes> {
        let mut caches = self.owners.iter().filter(|(name, _)| name.collection() == "cachedContents");
        let Some((cache, _)) = caches.next() else { return Some(body) };
        let spool = self.gateway.spool();
        written_out(&body, spool.cache(cache)?)
    }

    /// Whether all that the body names can be uploaded again.
    fn files_are_at_hand(&self, body: &Bytes) -> bool {
        let public = self.called.public(self.gateway.config());
        let spool = self.gateway.spool();
        scan::generation(body).iter().all(|found| match found.field {
            scan::Field::Address => {
                public.object(&found.value).is_none_or(|name| spool.file(&name).is_some())
            }
            _ => false,
        })
    }

    /// Begins the attempt with this key, or what has to come before it: the next file of the request is brought into
    /// the key's project.
    pub(super) fn go_with(&mut self, lease: Lease, now: Timestamp) -> Step {
        let (Some(body), Some(project)) = (&self.moved_body, lease.project()) else {
            return self.send_media(lease, now);
        };
        let public = self.called.public(self.gateway.config());
        let spool = self.gateway.spool();
        let named = scan::generation(body).into_iter().filter_map(|found| public.object(&found.value));
        let is_there = |name: &ObjectName| {
            self.owners.iter().any(|(owned, place)| owned == name && place.project == project)
                || spool.copy(name, project).is_some()
        };
        let missing = named.into_iter().find(|name| !is_there(name));
        let Some(file) = missing else {
            drop(spool);
            return self.send_media(lease, now);
        };
        let Some((content_type, body)) = spool.file(&file).map(|content| content.as_related(file.id()))
        else {
            drop(spool);
            return self.send_media(lease, now);
        };
        drop(spool);
        let op = self.new_op();
        let mut headers = HeaderMap::new();
        if let Ok(content_type) = HeaderValue::try_from(content_type) {
            headers.insert(CONTENT_TYPE, content_type);
        }
        headers.insert("x-goog-upload-protocol", HeaderValue::from_static("multipart"));
        let path = "/upload/v1beta/files?uploadType=multipart";
        let upstream = &self.gateway.config().upstream;
        let request = upstream::to_gemini(upstream, Method::POST, path, headers, lease.key(), Some(body));
        self.moving = Moving::Copying(Box::new(Copying {
            op,
            file,
            lease,
            began: now,
            status: None,
            body: BytesMut::new(),
        }));
        Step::Start(op, Op::Upstream(request))
    }

    /// Until when a copy may take; none where none is under way.
    pub(super) fn copies_until(&self) -> Option<Timestamp> {
        match &self.moving {
            Moving::Copying(copying) => Some((copying.began + COPYING).min(self.times.deadline)),
            Moving::No | Moving::Anywhere => None,
        }
    }

    /// A copy takes too long.
    pub(super) fn give_up_copying(&mut self, now: Timestamp) {
        if let Moving::Copying(copying) = std::mem::replace(&mut self.moving, Moving::Anywhere) {
            let failure = failure::timeout(now.since(copying.began));
            self.copy_failed(*copying, failure, now);
        }
    }

    /// Takes in what has come of an operation, if it copies a file.
    ///
    /// # Errors
    /// The outcome, where it belongs to another operation.
    pub(super) fn copied(&mut self, op: OpId, outcome: Outcome, now: Timestamp) -> Result<(), Outcome> {
        let Moving::Copying(copying) = &mut self.moving else { return Err(outcome) };
        if copying.op != op {
            return Err(outcome);
        }
        let failed = match outcome {
            Outcome::Head(status, _) => {
                copying.status = Some(status);
                return Ok(());
            }
            Outcome::Chunk(chunk) => {
                let room = ANSWER.saturating_sub(copying.body.len());
                copying.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                return Ok(());
            }
            Outcome::End => None,
            Outcome::Failed { message, .. } => Some(failure::network(&message)),
            Outcome::TooLarge => Some(failure::network("the copy is too large")),
        };
        let Moving::Copying(copying) = std::mem::replace(&mut self.moving, Moving::Anywhere) else {
            return Ok(());
        };
        let failed = failed.or_else(|| match copying.status {
            Some(status) if status.is_success() => None,
            status => {
                let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
                let answer = Answer { status, content_type: None, body: &copying.body, model: None };
                Some(copying.lease.classify(&answer, now))
            }
        });
        if let Some(failure) = failed {
            self.copy_failed(*copying, failure, now);
            return Ok(());
        }
        let Some(copy) = read_copy(&copying.body) else {
            let message = "A file of the request cannot be used in another project yet.";
            let failure = Failure::new(Class::Unknown, Elsewhere::None, message);
            self.copy_failed(*copying, failure, now);
            return Ok(());
        };
        let Copying { file, lease, .. } = *copying;
        if let Some(project) = lease.project() {
            if let Some(name) = ObjectName::of_text(&copy.name, |_| false) {
                let guests = lease.is_guests();
                self.gateway.objects(guests).learn(&name, lease.key().id(), Some(COPY), now);
            }
            self.gateway.spool().copied(file, project, copy.uri);
        }
        self.chosen = Some(lease);
        Ok(())
    }

    fn copy_failed(&mut self, copying: Copying, failure: Failure, now: Timestamp) {
        let Copying { op, lease, began, .. } = copying;
        self.tried.push(lease.key().id());
        self.budget.spend();
        let attempt = Attempt { op, lease: Some(lease), started: began, deadline: began, phase: Phase::Sent };
        self.failed(attempt, failure, now);
    }

    /// Where a file is to be found with a key of this project, if the request has moved there.
    pub(super) fn copy_of(&self, address: &str, project: ProjectId) -> Option<String> {
        let name = self.called.public(self.gateway.config()).object(address)?;
        self.gateway.spool().copy(&name, project).cloned()
    }

    /// After a refusal of an object: a copy that is gone is made again the next time.
    pub(super) fn distrust_copies(&self, failure: &Failure, lease: Option<&Lease>) {
        let Some(project) = lease.and_then(Lease::project).filter(|_| failure.class == Class::Affinity)
        else {
            return;
        };
        for (name, _) in &self.owners {
            self.gateway.spool().forget_copy(name, project);
        }
    }

    /// The key that a copy was made with.
    pub(super) fn take_chosen(&mut self) -> Option<Lease> {
        self.chosen.take()
    }

    pub(super) fn drop_copying(&mut self) {
        if let Moving::Copying(copying) = std::mem::replace(&mut self.moving, Moving::Anywhere) {
            self.cancel.push(copying.op);
        }
        self.chosen = None;
    }
}

#[derive(Deserialize)]
struct Copy {
    name: String,
    uri: String,
    #[serde(default)]
    state: String,
}

/// The file that an upload has made. None: it cannot be used yet.
fn read_copy(body: &[u8]) -> Option<Copy> {
    #[derive(Deserialize)]
    struct Uploaded {
        file: Copy,
    }
    let uploaded: Uploaded = serde_json::from_slice(body).ok()?;
    (uploaded.file.state.is_empty() || uploaded.file.state == "ACTIVE").then_some(uploaded.file)
}
