//! A request that takes several of Gemini's: a thousand embeddings, four images, one completion for each prompt.
//!
//! Each part is an exchange of its own ([`Single`]): its attempts, its quota and its place in the queue are its own, and
//! every part may be served by another project. A few parts are under way at a time, and one at a time looks for a key,
//! so that a request of many parts takes no more places in the queue than any other. The first part that fails for good
//! fails the whole, with its own error, and the others are dropped.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use super::inner::Operations;
use super::{Admitted, CLIENT_LEFT, OpId, Outcome, Single, Step};
use crate::affinity::address::Called;
use crate::auth::Access;
use crate::clients::Charge;
use crate::error::{Error, Kind};
use crate::event::{Course, Ending, Event, Finished, Usage};
use crate::gateway::{Gateway, no_room};
use crate::generation::{Fragment, Generation};
use crate::mark::{MODEL, Mark};
use crate::memory::Held;
use crate::secret::KeyId;
use crate::task::Task;
use crate::time::Timestamp;

/// So many parts are under way at a time: one request should not take the whole pool.
const SIDE_BY_SIDE: usize = 4;

/// A request of several parts.
#[derive(Debug)]
pub(super) struct Parts {
    gateway: Arc<Gateway>,
    whole: Box<Generation>,
    access: Access,
    headers: HeaderMap,
    called: Called,
    further_models: Vec<String>,
    mark: Mark,
    arrived: Timestamp,
    deadline: Timestamp,
    /// The share of the common memory that the request and the answered parts take.
    held: Held,
    /// What it takes of what its client may use, and its parts have not taken over.
    charge: Option<Charge>,
    /// The number of the next part to begin.
    next: usize,
    running: Vec<Part>,
    /// The part that waits for a key, or for its turn to get one.
    seeker: Option<usize>,
    /// What the parts have brought, by their numbers.
    fragments: Vec<Option<Fragment>>,
    cancel: Vec<OpId>,
    reply: Option<Response<Bytes>>,
    next_op: u32,
    /// Of the parts that are over.
    attempts: u32,
    usage: Option<Usage>,
    /// The key that served last.
    key: Option<KeyId>,
    course: Course,
    /// The model that served in the place of the one asked for, if one did.
    other_model: Option<HeaderValue>,
    events: Vec<Event>,
}

/// A part that is under way.
#[derive(Debug)]
struct Part {
    number: usize,
    single: Single,
    operations: Operations,
}

impl Parts {
    /// `admitted` is about a generation: nothing else has parts.
    pub(super) fn new(gateway: Arc<Gateway>, admitted: Admitted) -> Self {
        let Admitted { task, access, headers, called, body: _, further_models, held, arrived, mark, charge } =
            admitted;
        let Task::Generation(whole) = task else { unreachable!("nothing else has parts") };
        let deadline = arrived + gateway.config().deadline;
        let (parts, operation) = (whole.parts(), whole.form().operation());
        Self {
            gateway,
            whole,
            access,
            headers,
            called,
            further_models,
            mark,
            arrived,
            deadline,
            held,
            charge,
            next: 0,
            running: Vec::new(),
            seeker: None,
            fragments: vec![None; parts],
            cancel: Vec::new(),
            reply: None,
            next_op: 0,
            attempts: 0,
            usage: None,
            key: None,
            course: Course::new(operation, false, mark.trace()),
            other_model: None,
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
            let mut wakes_at: Option<Timestamp> = None;
            let mut queued = None;
            let mut at = 0;
            while at < self.running.len() {
                let part = &mut self.running[at];
                // One at a time looks for a key.
                if part.operations.is_empty() && self.seeker.is_some_and(|seeker| seeker != part.number) {
                    at += 1;
                    continue;
                }
                let until = match part.single.poll(now) {
                    Step::Start(inner, what) => {
                        self.next_op += 1;
                        let outer = OpId(self.next_op);
                        part.operations.start(outer, inner);
                        self.seeker = self.seeker.filter(|seeker| *seeker != part.number);
                        return Step::Start(outer, what);
                    }
                    Step::Cancel(inner) => match part.operations.cancel(inner) {
                        Some(outer) => return Step::Cancel(outer),
                        None => continue,
                    },
                    Step::WaitUntil(until) => {
                        if part.operations.is_empty() {
                            self.seeker = Some(part.number);
                        }
                        until
                    }
                    Step::Queued { ticket, until } => {
                        self.seeker = Some(part.number);
                        queued = Some(ticket);
                        until
                    }
                    // Parts are no streams, whose clients alone hear signs of life.
                    Step::Open(_) | Step::Ping(_) => continue,
                    Step::Reply(reply) => {
                        self.over(at, reply, now);
                        break;
                    }
                    Step::Commit { .. } => {
                        let error = Error::new(Kind::Internal, "A part of the answer came as a stream.");
                        self.refuse(&error, now);
                        break;
                    }
                };
                wakes_at = Some(wakes_at.map_or(until, |earlier| earlier.min(until)));
                at += 1;
            }
            if self.reply.is_some() || at < self.running.len() {
                continue;
            }
            if self.seeker.is_none() && self.running.len() < SIDE_BY_SIDE && self.next < self.fragments.len()
            {
                if let Err(error) = self.begin(now) {
                    self.refuse(&error, now);
                }
                continue;
            }
            return match (queued, wakes_at) {
                (Some(ticket), Some(until)) => Step::Queued { ticket, until },
                (None, Some(until)) => Step::WaitUntil(until),
                (_, None) => {
                    self.answer(now);
                    continue;
                }
            };
        }
    }

    /// Begins the next part.
    fn begin(&mut self, now: Timestamp) -> Result<(), Error> {
        let number = self.next;
        let generation = self.whole.part(number)?;
        let mut held = self.gateway.share();
        if !held.grow(generation.body().len()) {
            return Err(no_room());
        }
        let left = (self.fragments.len() - self.next) as u64;
        let charge = self.charge.as_mut().map(|charge| charge.part(left));
        self.next += 1;
        let admitted = Admitted {
            task: Task::Generation(Box::new(generation)),
            access: self.access.clone(),
            headers: self.headers.clone(),
            called: self.called.clone(),
            body: Some(Bytes::new()),
            further_models: self.further_models.clone(),
            held,
            // Its patience begins now; its end is the whole's.
            arrived: now,
            mark: self.mark,
            charge,
        };
        let mut single = Single::new(Arc::clone(&self.gateway), admitted);
        single.times.deadline = self.deadline;
        self.running.push(Part { number, single, operations: Operations::default() });
        Ok(())
    }

    /// A part has come to its end.
    fn over(&mut self, at: usize, mut reply: Response<Bytes>, now: Timestamp) {
        let mut part = self.running.remove(at);
        self.hear(part.single.take_events());
        self.cancel.extend(part.operations.take());
        self.seeker = self.seeker.filter(|seeker| *seeker != part.number);
        self.other_model = reply.headers().get(&MODEL).cloned().or_else(|| self.other_model.take());
        match reply.extensions_mut().remove::<Fragment>() {
            Some(fragment) if self.held.grow(fragment.size()) => self.fragments[part.number] = Some(fragment),
            Some(_) => self.refuse(&no_room(), now),
            None => self.finish(reply, Ending::Refused, now),
        }
    }

    /// All parts are there.
    fn answer(&mut self, now: Timestamp) {
        let fragments: Vec<Fragment> = self.fragments.drain(..).flatten().collect();
        let mut response = Response::new(self.whole.join(&fragments));
        let content_type = HeaderValue::from_static(self.whole.content_type());
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response.headers_mut().extend(self.other_model.take().map(|model| (MODEL, model)));
        self.finish(response, Ending::Complete, now);
    }

    fn refuse(&mut self, error: &Error, now: Timestamp) {
        let reply = error.response(self.whole.form().dialect(), Some(self.mark.id()));
        self.finish(reply, Ending::Refused, now);
    }

    fn finish(&mut self, mut response: Response<Bytes>, ending: Ending, now: Timestamp) {
        let key = self.key.filter(|_| ending == Ending::Complete);
        self.drop_running();
        self.tell_end(response.status(), ending, key, now);
        if let Some(mut charge) = self.charge.take() {
            if let Some(told) = charge.told() {
                told.put(response.headers_mut(), self.whole.form().dialect());
            }
            if ending == Ending::Complete {
                charge.used_as_held(now);
            }
        }
        // The parts may have come from several projects: none is named.
        self.mark.put_served(response.headers_mut(), self.attempts, None);
        self.reply = Some(response);
    }

    /// Gives up what is under way.
    fn drop_running(&mut self) {
        for mut part in std::mem::take(&mut self.running) {
            self.hear(part.single.take_events());
            // One that has come to its end has told.
            if part.single.reply.is_none() {
                self.attempts = self.attempts.saturating_add(part.single.budget.made());
            }
            self.cancel.extend(part.operations.take());
        }
    }

    fn tell_end(&mut self, status: StatusCode, ending: Ending, key: Option<KeyId>, now: Timestamp) {
        let mut course = std::mem::take(&mut self.course);
        course.end(None, now);
        if ending == Ending::Complete {
            course.first_byte = Some(now.since(self.arrived));
        }
        self.events.push(Event::Finished(Finished {
            request: self.mark.id(),
            client: self.access.client(),
            dialect: self.whole.form().dialect(),
            model: Some(self.whole.model().to_owned()),
            status,
            ending,
            attempts: self.attempts,
            key,
            usage: self.usage,
            // Nothing in parts has calls.
            stand_ins: 0,
            elapsed: now.since(self.arrived),
            course,
        }));
    }

    /// Takes in what happened in a part. Its end is not the whole's.
    fn hear(&mut self, events: Vec<Event>) {
        for event in events {
            let Event::Finished(Finished { attempts, key, usage, course, .. }) = event else {
                self.events.push(event);
                continue;
            };
            self.attempts = self.attempts.saturating_add(attempts);
            self.key = key.or(self.key);
            self.course.absorb(course);
            if let Some(usage) = usage {
                self.usage.get_or_insert_default().add(usage);
            }
        }
    }

    pub(super) fn handle(&mut self, op: OpId, outcome: Outcome, now: Timestamp) {
        for part in &mut self.running {
            if let Some(inner) = part.operations.inner(op) {
                return part.single.handle(inner, outcome, now);
            }
        }
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        let heard: Vec<Vec<Event>> = self.running.iter_mut().map(|part| part.single.take_events()).collect();
        heard.into_iter().for_each(|events| self.hear(events));
        std::mem::take(&mut self.events)
    }

    pub(super) fn abandon(&mut self, now: Timestamp) {
        self.drop_running();
        self.tell_end(CLIENT_LEFT, Ending::ClientLeft, None, now);
    }
}
