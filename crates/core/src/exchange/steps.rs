//! A call of another dialect that takes some of Gemini's about objects, one after the other: each is an exchange of its
//! own, with its attempts, its owner and its patience. What each is, and what its answer leads to, says
//! [`Work`](crate::openai::objects::Work).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use http::{Response, StatusCode};

use super::inner::Operations;
use super::{Admitted, CLIENT_LEFT, Exchange, OpId, Outcome, Step};
use crate::affinity::address::Called;
use crate::auth::Access;
use crate::error::{Dialect, Error, Kind};
use crate::event::{Ending, Event, Finished};
use crate::gateway::{Gateway, no_room};
use crate::mark::Mark;
use crate::memory::Held;
use crate::openai::objects::{Ask, Next, Of, Work};
use crate::relay::Relay;
use crate::resource::Resource;
use crate::secret::KeyId;
use crate::task::Task;
use crate::time::Timestamp;

/// For whom the steps are made.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) access: Access,
    /// What of the client's header goes upstream.
    pub(crate) headers: HeaderMap,
    pub(crate) called: Called,
    /// The share of the common memory that the request takes.
    pub(crate) held: Held,
    pub(crate) arrived: Timestamp,
    pub(crate) mark: Mark,
}

/// The steps of one call.
#[derive(Debug)]
pub(super) struct Steps {
    client: Client,
    work: Work,
    present: Exchange,
    /// Something was made in a step.
    pub(super) makes: bool,
    /// The present step's.
    operations: Operations,
    cancel: Vec<OpId>,
    reply: Option<Response<Bytes>>,
    next_op: u32,
    attempts: u32,
    /// The key that served last.
    key: Option<KeyId>,
    events: Vec<Event>,
}

impl Steps {
    pub(super) fn new(mut client: Client, work: Work, first: Ask) -> Self {
        // They are of the client's body.
        for name in [CONTENT_TYPE, CONTENT_ENCODING, ACCEPT] {
            client.headers.remove(name);
        }
        let present = client.exchange(first, client.arrived);
        Self {
            client,
            work,
            makes: present.makes(),
            present,
            operations: Operations::default(),
            cancel: Vec::new(),
            reply: None,
            next_op: 0,
            attempts: 0,
            key: None,
            events: Vec::new(),
        }
    }

    pub(super) fn poll(&mut self, now: Timestamp) -> Step {
        loop {
            if let Some(op) = self.cancel.pop() {
                return Step::Cancel(op);
            }
            if let Some(reply) = self.reply.take() {
                return Step::Reply(reply);
            }
            match self.present.poll(now) {
                Step::Start(inner, what) => {
                    self.next_op += 1;
                    let outer = OpId(self.next_op);
                    self.operations.start(outer, inner);
                    return Step::Start(outer, what);
                }
                Step::Cancel(inner) => {
                    if let Some(outer) = self.operations.cancel(inner) {
                        return Step::Cancel(outer);
                    }
                }
                Step::Reply(reply) => self.over(reply, now),
                Step::Commit { op, cancel } => {
                    let ours = |inner: OpId| self.operations.outer(inner).unwrap_or(inner);
                    return Step::Commit { op: ours(op), cancel: cancel.into_iter().map(ours).collect() };
                }
                step @ (Step::WaitUntil(_) | Step::Queued { .. }) => return step,
                // Only those who wait for events of a model hear signs of life.
                Step::Open(_) | Step::Ping(_) => {}
            }
        }
    }

    /// A step has come to its end.
    fn over(&mut self, reply: Response<Bytes>, now: Timestamp) {
        self.leave();
        let public = self.client.called.public(&self.client.gateway.config());
        let client = self.client.access.client();
        let of = Of { gateway: &self.client.gateway, client, public: &public, now };
        // It is held while what comes of it is made.
        if !self.client.held.grow(reply.body().len()) {
            return self.refuse(&no_room(), now);
        }
        let late = now.since(self.client.arrived) >= self.client.gateway.config().deadline;
        match self.work.next(reply, of) {
            Ok(Next::Ask(_)) if late => {
                let message = "The request took longer than the gateway gives it.";
                self.refuse(&Error::new(Kind::Timeout, message), now);
            }
            Ok(Next::Ask(ask)) => {
                self.present = self.client.exchange(ask, now);
                self.makes = self.makes || self.present.makes();
            }
            Ok(Next::Done(reply)) => {
                let good = reply.status().is_success();
                self.finish(reply, if good { Ending::Complete } else { Ending::Refused }, now);
            }
            Err(error) => self.refuse(&error, now),
        }
    }

    /// Nothing more of the present step is wanted.
    fn leave(&mut self) {
        let events = self.present.take_events();
        self.hear(events);
        self.cancel.extend(self.operations.take());
    }

    fn refuse(&mut self, error: &Error, now: Timestamp) {
        let reply = error.response(Dialect::OpenAi, Some(self.client.mark.id()));
        self.finish(reply, Ending::Refused, now);
    }

    fn finish(&mut self, mut reply: Response<Bytes>, ending: Ending, now: Timestamp) {
        let key = self.key.filter(|_| ending == Ending::Complete);
        self.tell_end(reply.status(), ending, key, now);
        self.client.mark.put_served(reply.headers_mut(), self.attempts, None);
        self.reply = Some(reply);
    }

    fn tell_end(&mut self, status: StatusCode, ending: Ending, key: Option<KeyId>, now: Timestamp) {
        self.events.push(Event::Finished(Finished {
            request: self.client.mark.id(),
            client: self.client.access.client(),
            dialect: Dialect::OpenAi,
            model: None,
            status,
            ending,
            attempts: self.attempts,
            key,
            usage: None,
            stand_ins: 0,
            elapsed: now.since(self.client.arrived),
        }));
    }

    /// Takes in what happened in a step. Its end is not the whole's.
    fn hear(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Finished(Finished { attempts, key, .. }) => {
                    self.attempts = self.attempts.saturating_add(attempts);
                    self.key = key.or(self.key);
                }
                event => self.events.push(event),
            }
        }
    }

    pub(super) fn handle(&mut self, op: OpId, outcome: Outcome, now: Timestamp) {
        if let Some(inner) = self.operations.inner(op) {
            self.present.handle(inner, outcome, now);
        }
    }

    /// The bytes of the last step go to the client as they come.
    pub(super) fn commit(self, op: OpId) -> Relay {
        let inner = self.operations.inner(op).unwrap_or(op);
        self.present.commit(inner)
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        let events = self.present.take_events();
        self.hear(events);
        std::mem::take(&mut self.events)
    }

    pub(super) fn abandon(&mut self, now: Timestamp) {
        self.present.abandon(now);
        self.leave();
        self.tell_end(CLIENT_LEFT, Ending::ClientLeft, None, now);
    }
}

impl Client {
    /// One of the steps, as if its client had asked for it in Gemini's words.
    fn exchange(&self, ask: Ask, now: Timestamp) -> Exchange {
        let Ask { call, model, upload, headers: own, body, named } = ask;
        let mut headers = self.headers.clone();
        headers.extend(own);
        let resource = Resource::new(call, model, upload).into_step(Dialect::OpenAi, named);
        let admitted = Admitted {
            task: Task::Resource(Box::new(resource)),
            access: self.access.clone(),
            headers,
            called: self.called.clone(),
            body: Some(body),
            further_models: Vec::new(),
            held: self.gateway.share(),
            arrived: now,
            mark: self.mark,
        };
        Exchange::new(Arc::clone(&self.gateway), admitted)
    }
}
