//! One attempt of an exchange: how far it has come, what its answer amounts to, and the key that it holds.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use super::OpId;
use crate::error::Error;
use crate::event::{Event, Usage};
use crate::failure::{self, Answer, Class, Consequence, Elsewhere, Failure, Why};
use crate::gateway::Gateway;
use crate::judge::Verdict;
use crate::pool::{LeaseId, ProjectId};
use crate::secret::ApiKey;
use crate::sse::{Decoder, Framing};
use crate::task::Task;
use crate::time::Timestamp;

/// An error body is read up to here; more is no error message.
const ERROR_BODY: usize = 64 << 10;

/// A native answer that is no stream is held up to here; a larger one streams.
const HELD_ANSWER: usize = 4 << 20;

/// An answer that has to be translated must be whole; this is more than any model answers.
const TRANSLATED_ANSWER: usize = 64 << 20;

/// A stream that has not shown what it is by then counts as an answer.
const JUDGED_BYTES: usize = 256 << 10;
const JUDGED_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) op: OpId,
    /// None for the custom service.
    pub(super) lease: Option<Lease>,
    pub(super) started: Timestamp,
    pub(super) deadline: Timestamp,
    pub(super) phase: Phase,
}

/// How far an attempt has come.
#[derive(Debug)]
pub(crate) enum Phase {
    /// To be started again, on a fresh connection.
    Stale,
    /// Sent.
    Sent,
    /// An error status; its body is being read.
    Refused { status: StatusCode, headers: HeaderMap, body: BytesMut },
    /// A whole answer is being held.
    Holding { status: StatusCode, headers: HeaderMap, chunks: Vec<Bytes>, size: usize },
    /// A stream whose first good event is being waited for.
    Judging {
        status: StatusCode,
        headers: HeaderMap,
        decoder: Decoder,
        held: Vec<Bytes>,
        size: usize,
        since: Option<Timestamp>,
        /// It says that the model has spoiled it, and nothing else so far.
        spoiled: bool,
    },
    /// Good. `ended`: no more of it will come.
    Proven { status: StatusCode, headers: HeaderMap, held: Vec<Bytes>, ended: bool },
}

/// A key in use. Given back when dropped, whatever happens.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) gateway: Arc<Gateway>,
    pub(super) guests: bool,
    pub(super) id: LeaseId,
    pub(super) key: ApiKey,
}

/// What a chunk or the end of a body has decided.
pub(super) enum Over {
    NotYet,
    Failed(Failure),
    /// Gemini has answered with a no, which is for the client.
    Declined(Error),
    Refused,
    /// A stream that says nothing but that the model has spoiled it. It is proven, for want of a better one.
    Spoiled,
    Whole(Bytes),
}

impl Phase {
    /// A stream begins.
    pub(crate) fn judging(status: StatusCode, headers: HeaderMap, framing: Framing) -> Self {
        let decoder = Decoder::new(framing);
        Self::Judging { status, headers, decoder, held: Vec::new(), size: 0, since: None, spoiled: false }
    }

    /// A whole answer begins.
    pub(crate) const fn holding(status: StatusCode, headers: HeaderMap) -> Self {
        Self::Holding { status, headers, chunks: Vec::new(), size: 0 }
    }
}

impl Attempt {
    pub(super) fn is_proven(&self, now: Timestamp) -> bool {
        match &self.phase {
            Phase::Proven { .. } => true,
            Phase::Judging { since: Some(since), .. } => now.since(*since) >= JUDGED_WITHIN,
            _ => false,
        }
    }

    /// Whether nothing of an answer has come.
    pub(super) fn is_silent(&self) -> bool {
        matches!(&self.phase, Phase::Sent | Phase::Judging { since: None, .. })
    }

    pub(super) fn wakes_at(&self) -> Timestamp {
        match &self.phase {
            Phase::Judging { since: Some(since), .. } => self.deadline.min(*since + JUDGED_WITHIN),
            _ => self.deadline,
        }
    }

    /// `room` says whether the common memory has room for the chunk.
    pub(super) fn take(&mut self, chunk: Bytes, room: bool, task: &Task, now: Timestamp) -> Over {
        match &mut self.phase {
            Phase::Refused { body, .. } => {
                let room = ERROR_BODY.saturating_sub(body.len());
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if body.len() >= ERROR_BODY { Over::Refused } else { Over::NotYet }
            }
            Phase::Holding { status, headers, chunks, size } => {
                *size += chunk.len();
                chunks.push(chunk);
                let translated = task.is_translated();
                // Addresses are turned in answers about objects: in as much of them as in translated ones.
                let whole = translated || task.resource().is_some();
                let (size, limit) = (*size, if whole { TRANSLATED_ANSWER } else { HELD_ANSWER });
                if size <= limit && room {
                    return Over::NotYet;
                }
                if translated {
                    let message = match room {
                        true => "The upstream's answer is too large to translate.",
                        false => "The gateway holds too much at the moment to translate this answer.",
                    };
                    return Over::Failed(Failure::new(Class::Unknown, Elsewhere::None, message));
                }
                let (status, headers) = (*status, std::mem::take(headers));
                self.phase = Phase::Proven { status, headers, held: std::mem::take(chunks), ended: false };
                Over::NotYet
            }
            Phase::Judging { status, headers, decoder, held, size, since, spoiled } => {
                *size += chunk.len();
                held.push(chunk.clone());
                decoder.push(chunk);
                let mut proven = *size > JUDGED_BYTES || !room;
                while let Some(frame) = decoder.next_frame() {
                    let Some(data) = frame.data() else { continue };
                    // A comment, or the bracket that opens an array, is no sign of an answer yet.
                    since.get_or_insert(now);
                    match task.judge_event(&data) {
                        Verdict::Good => {
                            if let Some(error) = task.refusal(&data) {
                                return Over::Declined(error);
                            }
                            proven = true;
                            break;
                        }
                        Verdict::Spoiled => *spoiled = true,
                        Verdict::Empty | Verdict::Broken => {}
                        Verdict::ProjectDisabled => return Over::Failed(project_disabled()),
                        Verdict::Error => {
                            return Over::Failed(event_error(&data, self.lease.as_ref(), task, now));
                        }
                    }
                }
                if proven {
                    let (status, headers) = (*status, std::mem::take(headers));
                    self.phase = Phase::Proven { status, headers, held: std::mem::take(held), ended: false };
                }
                Over::NotYet
            }
            Phase::Proven { held, .. } => {
                held.push(chunk);
                Over::NotYet
            }
            Phase::Stale | Phase::Sent => Over::NotYet,
        }
    }

    pub(super) fn end(&mut self, task: &Task, now: Timestamp) -> Over {
        match &mut self.phase {
            Phase::Refused { .. } => Over::Refused,
            Phase::Holding { chunks, .. } => {
                let mut chunks = std::mem::take(chunks);
                Over::Whole(if chunks.len() == 1 { chunks.remove(0) } else { chunks.concat().into() })
            }
            Phase::Judging { status, headers, decoder, held, spoiled, .. } => {
                let rest = crate::sse::Frame::of_rest(decoder.framing(), decoder.rest());
                let verdict = rest.data().map(|data| (task.judge_event(&data), data));
                match verdict {
                    Some((Verdict::Error, data)) => {
                        Over::Failed(event_error(&data, self.lease.as_ref(), task, now))
                    }
                    Some((Verdict::ProjectDisabled, _)) => Over::Failed(project_disabled()),
                    // An event without the blank line that ends it, but whole.
                    Some((Verdict::Good, data)) => {
                        if let Some(error) = task.refusal(&data) {
                            return Over::Declined(error);
                        }
                        let (status, headers) = (*status, std::mem::take(headers));
                        self.phase =
                            Phase::Proven { status, headers, held: std::mem::take(held), ended: true };
                        Over::NotYet
                    }
                    verdict if *spoiled || matches!(verdict, Some((Verdict::Spoiled, _))) => {
                        let (status, headers) = (*status, std::mem::take(headers));
                        let held = std::mem::take(held);
                        self.phase = Phase::Proven { status, headers, held, ended: true };
                        Over::Spoiled
                    }
                    _ => Over::Failed(failure::empty()),
                }
            }
            Phase::Proven { ended, .. } => {
                *ended = true;
                Over::NotYet
            }
            Phase::Stale => Over::NotYet,
            Phase::Sent => Over::Failed(failure::network("the connection ended without an answer")),
        }
    }
}

impl Lease {
    pub(crate) fn key(&self) -> &ApiKey {
        &self.key
    }

    /// A key that the pool has leased.
    pub(crate) fn new(gateway: Arc<Gateway>, guests: bool, id: LeaseId, key: ApiKey) -> Self {
        Self { gateway, guests, id, key }
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Whether the key is the client's own.
    pub(crate) fn is_guests(&self) -> bool {
        self.guests
    }

    /// The project that the key belongs to, as far as is known.
    pub(crate) fn project(&self) -> Option<ProjectId> {
        self.gateway.pool(self.guests).project_of(self.key.id())
    }

    pub(super) fn is_set_aside(&self) -> bool {
        self.gateway.pool(self.guests).set_aside(self.key.id()).is_some()
    }

    /// What an unsuccessful answer to the key means.
    pub(crate) fn classify(&self, answer: &Answer<'_>, now: Timestamp) -> Failure {
        let skew = self.gateway.skew();
        let mut failure = skew.localised(failure::classify(answer, &self.key, skew.google(now)));
        if failure.class == Class::Egress && self.gateway.config().several_ways {
            // Another project may come from another address.
            failure.elsewhere = Elsewhere::All;
        }
        failure
    }

    /// What an error in the middle of an answer to the key means.
    pub(crate) fn classify_event(&self, data: &[u8], model: Option<&str>, now: Timestamp) -> Failure {
        let skew = self.gateway.skew();
        skew.localised(failure::classify_event(data, model, &self.key, skew.google(now)))
    }

    /// The key is bringing an answer that is good so far.
    pub(super) fn begun(&self, now: Timestamp) {
        self.gateway.pool(self.guests).begun(self.id, now);
    }

    /// The key has brought a good answer.
    pub(crate) fn succeeded(self, model: Option<&str>, usage: Option<Usage>, now: Timestamp) {
        let mut pool = self.gateway.pool(self.guests);
        pool.succeeded(self.key.id(), model, now);
        if let (Some(usage), Some(model)) = (usage, model) {
            pool.used(self.id, model, usage, now);
        }
    }

    /// The key serves a session that has begun.
    pub(crate) fn serves(&self, model: Option<&str>, now: Timestamp) {
        self.gateway.pool(self.guests).succeeded(self.key.id(), model, now);
    }

    /// A turn of the session has used so many tokens; `first`: what the lease was charged for was this one.
    pub(crate) fn used(&self, model: &str, usage: Usage, first: bool, now: Timestamp) {
        let mut pool = self.gateway.pool(self.guests);
        match first {
            true => pool.used(self.id, model, usage, now),
            false => pool.used_again(self.id, model, usage, now),
        }
    }

    /// The session goes on.
    pub(crate) fn renew(&mut self, now: Timestamp) {
        self.id = self.gateway.pool(self.guests).renew(self.id, now);
    }

    /// The key was not used after all.
    pub(crate) fn unused(&self, now: Timestamp) {
        self.gateway.pool(self.guests).unused(self.id, now);
    }

    /// The attempt has failed. What the pool concludes comes back as events.
    pub(crate) fn failed(&self, model: Option<&str>, failure: &Failure, now: Timestamp) -> Option<Event> {
        let key = self.key.id();
        let why = self.gateway.pool(self.guests).lease_failed(self.id, model, failure, now)?;
        Some(Event::SetAside { key, why })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.gateway.pool(self.guests).release(self.id);
    }
}

/// An error that came with status 200.
pub(super) fn event_error(data: &[u8], lease: Option<&Lease>, task: &Task, now: Timestamp) -> Failure {
    match lease {
        Some(lease) => lease.classify_event(data, task.model(), now),
        None => Failure::new(Class::Unknown, Elsewhere::None, "The service sent an error."),
    }
}

pub(super) fn project_disabled() -> Failure {
    Failure {
        consequence: Consequence::SetAsideProject(Why::Suspended),
        ..Failure::new(
            Class::ProjectSuspended,
            Elsewhere::All,
            "The project is limited or disabled by Google.",
        )
    }
}
