//! A request that is answered with one answer of the upstream: its attempts, one after the other or two side by side, and
//! what comes of each.
//!
//! What comes before an attempt (media, owners, copies), beside it (hedging) and after it (repairs, a second best) are
//! modules of their own, each with its part of [`Single`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};

use super::attempt::{Attempt, Lease, Over, Phase, event_error, project_disabled};
use super::bring::Bringing;
use super::fetch::Gathering;
use super::heartbeat::Heartbeat;
use super::hedge::may_be_sent_twice;
use super::objects::learn_continuation;
use super::owner::{Ownership, Reference};
use super::resume::Resume;
use super::second_best::SecondBest;
use super::waiting::Place;
use super::{Admitted, CLIENT_LEFT, Op, OpId, Outcome, Step, Times};
use crate::affinity::address::Called;
use crate::affinity::conversations::Conversation;
use crate::affinity::name::ObjectName;
use crate::auth::Access;
use crate::clients::{Charge, Told};
use crate::error::{Dialect, Error, Kind};
use crate::event::{Course, Ending, Event, Finished, Usage};
use crate::failure::{self, Answer, Class, Elsewhere, Failure};
use crate::gateway::Gateway;
use crate::judge::{self, Verdict};
use crate::mark::Mark;
use crate::memory::Held;
use crate::pool::{Only, Pick, ProjectId, Want};
use crate::relay::{Mode, Origin, Relay};
use crate::repair;
use crate::resource::{self, Resource};
use crate::retry::{self, Budget, DEFAULT_ATTEMPTS, GivenUp};
use crate::secret::{ApiKey, KeyId};
use crate::sse::{Decoder, Framing};
use crate::task::Task;
use crate::time::Timestamp;
use crate::tokens;
use crate::upstream;

/// A kept-alive connection that turns out dead is replaced so often; then it is no accident.
const STALE_RETRIES: u32 = 3;

/// So long an upload may take that streams: 2 GB at some 100 KB a second.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(6 * 60 * 60);

/// A request that is answered with one answer of the upstream.
#[derive(Debug)]
pub(super) struct Single {
    pub(super) gateway: Arc<Gateway>,
    pub(super) task: Task,
    pub(super) access: Access,
    pub(super) headers: HeaderMap,
    pub(super) called: Called,
    /// None: larger than what is kept; the shell streams it, once.
    pub(super) body: Option<Bytes>,
    /// The share of the common memory that body and answers take.
    pub(super) held: Held,
    pub(super) mark: Mark,
    /// What it takes of what its client may use.
    pub(super) charge: Option<Charge>,
    pub(super) times: Times,
    /// For a client that waits for a stream.
    pub(super) heartbeat: Option<Heartbeat>,
    /// A place in the queue, while it waits in one.
    pub(super) place: Option<Place>,
    /// How often it may still take one.
    pub(super) queues_left: u8,
    pub(super) budget: Budget,
    /// Whether the next attempt adds to what may be an overload, and so has to fit the common budget.
    pub(super) adds_to_load: bool,
    /// How many attempts each model gets.
    pub(super) attempts_a_model: u32,
    /// How long one attempt may be silent before another begins beside it; none: as long as it likes.
    pub(super) hedge_after: Option<Duration>,
    /// Models to turn to when the present one cannot serve; the next one is last.
    pub(super) further_models: Vec<String>,
    /// Whether the present model is one of those.
    pub(super) turned: bool,
    pub(super) tried: Vec<KeyId>,
    /// Projects that failed as a whole, by no fault of the key's.
    pub(super) avoid: Vec<ProjectId>,
    /// Those of the tried keys that were refused for a quota of the minute: they can serve when it is over.
    pub(super) short: Vec<KeyId>,
    /// The objects that the request names, and the projects of those that are known.
    pub(super) references: Vec<Reference>,
    pub(super) owners: Vec<(ObjectName, Only)>,
    pub(super) ownership: Ownership,
    /// The one project that can serve.
    pub(super) only: Option<Only>,
    /// Whether the body has addresses that may be this gateway's.
    pub(super) names_addresses: bool,
    /// Where the upstream has the bytes that are asked for, and how often it has said that they are elsewhere.
    pub(super) redirect: Option<String>,
    pub(super) redirects: u8,
    pub(super) resume: Resume,
    /// Whether it has left the project of its objects, and the body whose files go where it goes.
    pub(super) has_moved: bool,
    pub(super) moved_body: Option<Bytes>,
    /// A file that is being put into the project whose key was chosen, how many there were, and the key once it is there.
    pub(super) bringing: Option<Box<Bringing>>,
    pub(super) brought: u32,
    pub(super) chosen: Option<Lease>,
    /// Input tokens, estimated.
    pub(super) tokens: u64,
    /// The conversation that the request goes on with, and the project that served it last.
    pub(super) conversation: Option<Conversation>,
    pub(super) stay: Option<ProjectId>,
    pub(super) failures: Vec<Failure>,
    pub(super) second_best: Option<SecondBest>,
    /// The media that it names by address.
    pub(super) gathering: Gathering,
    pub(super) running: Vec<Attempt>,
    pub(super) cancel: Vec<OpId>,
    pub(super) reply: Option<Response<Bytes>>,
    pub(super) next_op: u32,
    pub(super) stale_retries: u32,
    /// What was learned of schemas from the refusal that led to another try; there is one such try.
    pub(super) repaired: Option<Vec<repair::Name>>,
    /// The signatures were refused: so many stand-ins go up in their place.
    pub(super) unsigned: Option<u32>,
    pub(super) taken_over: bool,
    pub(super) course: Course,
    pub(super) events: Vec<Event>,
}

impl Single {
    pub(super) fn new(gateway: Arc<Gateway>, admitted: Admitted) -> Self {
        let Admitted {
            task,
            access,
            headers,
            called,
            body,
            further_models,
            held,
            arrived: now,
            mark,
            charge,
        } = admitted;
        let config = gateway.config();
        let patience = match task.framing() {
            Some(_) => config.first_byte_timeout,
            None => config.answer_timeout,
        };
        // `X-Server-Timeout` is the SDKs' word for how long the client waits, in seconds.
        let asked = headers.get("x-server-timeout").and_then(|value| value.to_str().ok()?.parse().ok());
        let attempt = match (asked, task.framing()) {
            (Some(seconds), None) => {
                Duration::from_secs(seconds).max(Duration::from_secs(1)).min(config.deadline)
            }
            _ => patience,
        };
        let keys = match &access {
            Access::Pool { .. } => config.keys.len(),
            Access::Own(keys) => keys.len(),
        };
        let every_key_once = DEFAULT_ATTEMPTS.min(u32::try_from(keys).unwrap_or(u32::MAX));
        let attempts = match (&body, task.resource().map(Resource::kind)) {
            (None, _) => 1,
            // One piece of many: it costs less to go on with it than to begin anew.
            (Some(_), Some(resource::Kind::Upload)) => DEFAULT_ATTEMPTS,
            (Some(_), _) => config.max_attempts.unwrap_or(every_key_once),
        };
        let conversation = match (&access, task.model()) {
            (Access::Pool { client }, Some(model)) if config.affinity && task.generates() => {
                let sent = task.translated_body().or_else(|| body.clone()).unwrap_or_default();
                Conversation::of(client.id(), model, &sent)
            }
            _ => None,
        };
        let stay = conversation.and_then(|conversation| gateway.conversations().project(conversation, now));
        let tokens = match task.translated_body().or_else(|| body.clone()) {
            Some(body) if task.model().is_some() => tokens::estimate(&body),
            _ => 1,
        };
        let hedge_after = config.hedge_after.filter(|_| {
            let sent = task.translated_body().or_else(|| body.clone());
            matches!(access, Access::Pool { .. })
                && task.generates()
                && body.is_some()
                && sent.is_some_and(|sent| may_be_sent_twice(&sent, &headers))
        });
        let ping = task.ping().filter(|_| !config.heartbeat.is_zero());
        let heartbeat = ping.map(|ping| Heartbeat::new(config.heartbeat, ping));
        // A gigabyte takes as long as the client's line is slow.
        let streams_up = body.is_none() && task.resource().is_some();
        let patience = if streams_up { config.deadline.max(UPLOAD_PATIENCE) } else { config.deadline };
        let course = Course::new(task.operation(), task.framing().is_some(), mark.trace());
        let times = Times { arrived: now, deadline: now + patience, attempt, idle: config.idle_timeout };
        Self {
            task,
            access,
            headers,
            called,
            body,
            held,
            mark,
            charge,
            times,
            heartbeat,
            place: None,
            queues_left: 2,
            budget: Budget::new(attempts),
            adds_to_load: false,
            attempts_a_model: attempts,
            hedge_after,
            further_models,
            turned: false,
            tried: Vec::new(),
            avoid: Vec::new(),
            short: Vec::new(),
            references: Vec::new(),
            owners: Vec::new(),
            ownership: Ownership::Due,
            only: None,
            names_addresses: false,
            redirect: None,
            redirects: 0,
            resume: Resume::No,
            has_moved: false,
            moved_body: None,
            bringing: None,
            brought: 0,
            chosen: None,
            tokens,
            conversation,
            stay,
            failures: Vec::new(),
            second_best: None,
            gathering: Gathering::Due,
            running: Vec::new(),
            cancel: Vec::new(),
            reply: None,
            next_op: 0,
            stale_retries: 0,
            repaired: None,
            unsigned: None,
            taken_over: false,
            course,
            events: Vec::new(),
            gateway,
        }
    }

    /// What to do next.
    pub(super) fn poll(&mut self, now: Timestamp) -> Step {
        let step = self.advance(now);
        let (mark, dialect) = (self.mark, self.task.dialect());
        let told = self.charge.as_ref().and_then(|charge| charge.told().copied());
        match &mut self.heartbeat {
            Some(heartbeat) => heartbeat.instead_of(step, || event_stream(mark, told, dialect), now),
            None => step,
        }
    }

    /// What to do next for the answer.
    pub(super) fn advance(&mut self, now: Timestamp) -> Step {
        if let Some(op) = self.cancel.pop() {
            return Step::Cancel(op);
        }
        if let Some(reply) = self.reply.take() {
            return Step::Reply(reply);
        }
        if let Some(proven) = self.running.iter().find(|attempt| attempt.is_proven(now)) {
            let op = proven.op;
            self.learn_interaction(proven, now);
            self.note_winner(proven.lease.as_ref(), now);
            proven.lease.iter().for_each(|lease| lease.begun(now));
            let others = self.running.iter().map(|attempt| attempt.op).filter(|&other| other != op);
            return Step::Commit { op, cancel: others.collect() };
        }
        if let Some(late) = self.running.iter().position(|attempt| attempt.deadline <= now) {
            let attempt = self.running.swap_remove(late);
            if matches!(attempt.phase, Phase::Refused { .. }) {
                self.refused(attempt, now);
            } else {
                let failure = failure::timeout(now.since(attempt.started));
                self.failed(attempt, failure, now);
            }
            return self.advance(now);
        }
        if let Some(at) = self.running.iter().position(|attempt| matches!(attempt.phase, Phase::Stale)) {
            return self.restart(at, now);
        }
        if let Some(step) = self.hedge(now) {
            return step;
        }
        if let Some(deadline) = self.running.iter().map(|attempt| attempt.wakes_at()).min() {
            return Step::WaitUntil(self.hedges_at().map_or(deadline, |hedge| hedge.min(deadline)));
        }
        if let Some(step) = self.take_over_at_once(now) {
            return step;
        }
        if let Some(step) = self.fetch_media(now) {
            return step;
        }
        if let Some(step) = self.find_owner(now) {
            return step;
        }
        if let Some(reply) = self.reply.take() {
            return Step::Reply(reply);
        }
        if let Some(step) = self.bring_on(now) {
            return step;
        }
        if let Some(lease) = self.chosen.take() {
            return self.go_with(lease, now);
        }
        if self.budget.allows_another() && now < self.times.deadline {
            let guests = matches!(self.access, Access::Own(_));
            // With an answer at hand, nothing is waited for.
            let may_wait = self.second_best.is_none();
            if let Some(step) = self.wait_behind_others(may_wait, now) {
                return step;
            }
            match self.pick(guests, now) {
                Pick::Ready { lease, key } => {
                    let lease = Lease { gateway: Arc::clone(&self.gateway), guests, id: lease, key };
                    if !self.may_add_to_load(guests, now) {
                        lease.unused(now);
                        drop(lease);
                        self.place = None;
                        return self.give_up(now);
                    }
                    if let Some(mut place) = self.place.take() {
                        place.served = true;
                    }
                    self.course.leave_queue(now);
                    return self.go_with(lease, now);
                }
                Pick::CoolingDown { until } if may_wait && until <= self.waits_until() => {
                    if self.is_long(until) && self.moves(now) {
                        return self.advance(now);
                    }
                    return if self.queues() { self.wait_in_queue(now) } else { Step::WaitUntil(until) };
                }
                Pick::Rejected { .. } if self.tries_keys_again() => return self.advance(now),
                _ if may_wait && self.asks_short_again(now) => return self.advance(now),
                Pick::CoolingDown { .. } | Pick::Rejected { .. } => {}
            }
            if self.moves(now) {
                return self.advance(now);
            }
        }
        self.place = None;
        self.give_up(now)
    }

    pub(super) fn pick(&self, guests: bool, now: Timestamp) -> Pick {
        if self.settles() && self.only.is_none() {
            return self.pick_at_home(guests, now);
        }
        self.gateway.pool(guests).pick(&self.want(), now)
    }

    /// Whether the next attempt may be made, as far as the load is concerned.
    pub(super) fn may_add_to_load(&mut self, guests: bool, now: Timestamp) -> bool {
        if !self.adds_to_load {
            return true;
        }
        let may = self.gateway.retries(guests).take(now);
        if !may {
            self.events.push(Event::RetriesUsedUp { request: self.mark.id() });
        }
        may
    }

    pub(super) fn want(&self) -> Want<'_> {
        let own = match &self.access {
            Access::Pool { .. } => None,
            Access::Own(keys) => Some(keys.as_slice()),
        };
        Want {
            model: self.task.model(),
            tokens: self.tokens,
            tried: &self.tried,
            avoid: &self.avoid,
            stay: self.stay,
            spare: false,
            proven: matches!(
                self.failures.last(),
                Some(Failure { class: Class::Empty | Class::Malformed, .. })
            ),
            paid: match &self.access {
                Access::Pool { client } => client.settings.paid_only,
                Access::Own(_) => false,
            },
            only: self.only,
            own,
        }
    }

    pub(super) fn start(&mut self, lease: Lease, now: Timestamp) -> Step {
        if self.budget.made() == 0 {
            self.gateway.retries(lease.is_guests()).earn();
        }
        if let (Some(conversation), Some(project)) = (self.conversation, lease.project()) {
            self.gateway.conversations().served(conversation, project, now);
        }
        self.begin(lease, now)
    }

    pub(super) fn begin(&mut self, lease: Lease, now: Timestamp) -> Step {
        self.budget.spend();
        self.note_sent(now);
        self.tried.push(lease.key.id());
        let room = self.gateway.room_told(&lease, self.task.model(), now);
        self.course.begin(Some(lease.key.id()), room, now);
        let op = self.new_op();
        let request = self.request(&lease.key);
        // A body that the client is still sending is not the upstream's silence.
        let patience = if self.body.is_some() { now + self.times.attempt } else { Timestamp::NEVER };
        let deadline = patience.min(self.times.deadline);
        self.running.push(Attempt { op, lease: Some(lease), started: now, deadline, phase: Phase::Sent });
        Step::Start(op, Op::Upstream(request))
    }

    /// From now on it counts as a request of its client, whatever becomes of it.
    pub(super) fn note_sent(&mut self, now: Timestamp) {
        if let Some(charge) = &mut self.charge {
            charge.sent(now);
        }
    }

    /// The same key, on a fresh connection: no new attempt. Unless it has been set aside meanwhile.
    pub(super) fn restart(&mut self, at: usize, now: Timestamp) -> Step {
        if self.running[at].lease.as_ref().is_some_and(Lease::is_set_aside) {
            self.running.swap_remove(at);
            return self.advance(now);
        }
        let op = self.new_op();
        let attempt = &mut self.running[at];
        attempt.op = op;
        attempt.phase = Phase::Sent;
        let key = attempt.lease.as_ref().map(|lease| lease.key.clone());
        let request = match key {
            Some(key) => self.request(&key),
            None => self.custom_request(),
        };
        Step::Start(op, Op::Upstream(request))
    }

    pub(super) fn request(&self, key: &ApiKey) -> Request<Option<Bytes>> {
        let config = self.gateway.config();
        let (method, path) = self.task.method_and_path();
        let path = self.redirect.as_deref().unwrap_or(&path);
        let mut headers = self.headers.clone();
        let translated = self.task.translated_body().map(|body| self.repaired_body(body));
        if translated.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            // What the client accepts (sound, for one) is made here.
            headers.remove(ACCEPT);
        }
        let body = self.moved_body.clone().or(translated).or_else(|| self.body.clone());
        let body = body.map(|body| self.addressed(body, key.id()));
        let body = self.resumed(&mut headers, body);
        upstream::to_gemini(&config.upstream, method, path, headers, key, body)
    }

    pub(super) fn new_op(&mut self) -> OpId {
        self.next_op += 1;
        OpId(self.next_op)
    }

    pub(super) fn handle(&mut self, op: OpId, outcome: Outcome, now: Timestamp) {
        let Err(outcome) = self.fetched(op, outcome, now) else { return };
        let Err(outcome) = self.looked(op, outcome, now) else { return };
        let Err(outcome) = self.brought(op, outcome, now) else { return };
        let Some(at) = self.running.iter().position(|attempt| attempt.op == op) else { return };
        let attempt = &mut self.running[at];
        let over = match outcome {
            Outcome::Head(status, headers) => {
                if attempt.lease.is_some() {
                    self.events.extend(self.gateway.hear_date(&headers, attempt.started, now));
                }
                if self.redirected(status, &headers) || self.learns_received(status, &headers) {
                    self.running[at].phase = Phase::Stale;
                    self.cancel.push(op);
                    return;
                }
                let attempt = &mut self.running[at];
                let is_events = || {
                    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(EVENT_STREAM))
                };
                attempt.phase = match attempt.lease {
                    Some(_) => self.task.phase_after_head(status, headers),
                    // In a response that has begun, only events can follow.
                    None if self.heartbeat.as_ref().is_some_and(Heartbeat::is_open)
                        && !(status.is_success() && is_events()) =>
                    {
                        let message = format!("The service that stands in for Gemini answered {status}.");
                        return self.refuse(&Error::new(Kind::from_status(status), message), now);
                    }
                    // The custom service's answers pass through, whatever they are.
                    None => Phase::Proven { status, headers, held: Vec::new(), ended: false },
                };
                return;
            }
            Outcome::Chunk(chunk) => {
                let room = attempt.lease.is_none() || self.held.grow(chunk.len());
                attempt.take(chunk, room, &self.task, now)
            }
            Outcome::End => attempt.end(&self.task, now),
            Outcome::Failed { stale: true, .. }
                if matches!(attempt.phase, Phase::Sent) && self.stale_retries < STALE_RETRIES =>
            {
                // With the body gone there is nothing to send again.
                if self.body.is_some() {
                    self.stale_retries += 1;
                    attempt.phase = Phase::Stale;
                    // What was sent before may have arrived, and be there for good.
                    self.ask_what_arrived();
                    return;
                }
                Over::Failed(failure::network("the connection was closed before an answer"))
            }
            // The status was said; how much of the body came with it matters less.
            Outcome::Failed { .. } if matches!(attempt.phase, Phase::Refused { .. }) => Over::Refused,
            Outcome::Failed { message, .. } => Over::Failed(failure::network(&message)),
            Outcome::TooLarge => {
                let error = crate::gateway::too_large(self.task.body_limit(&self.gateway.config()));
                return self.refuse(&error, now);
            }
        };
        match over {
            Over::NotYet => {}
            Over::Failed(failure) => {
                let attempt = self.running.swap_remove(at);
                self.failed(attempt, failure, now);
            }
            Over::Declined(error) => {
                let attempt = self.running.swap_remove(at);
                self.cancel.push(attempt.op);
                self.declined(attempt.lease, &error, None, now);
            }
            Over::Refused => {
                let attempt = self.running.swap_remove(at);
                self.refused(attempt, now);
            }
            Over::Spoiled => {
                let attempt = self.running.swap_remove(at);
                self.spoiled(attempt, None, now);
            }
            Over::Whole(body) => {
                let attempt = self.running.swap_remove(at);
                self.answer(attempt, body, now);
            }
        }
    }

    /// An attempt has brought a whole answer.
    pub(super) fn answer(&mut self, attempt: Attempt, body: Bytes, now: Timestamp) {
        let failure = match self.task.judge(&body) {
            Verdict::Good => return self.give(attempt, body, now),
            Verdict::Spoiled => return self.spoiled(attempt, Some(body), now),
            Verdict::Empty => failure::empty(),
            Verdict::Error => event_error(&body, attempt.lease.as_ref(), &self.task, now),
            Verdict::ProjectDisabled => project_disabled(),
            Verdict::Broken => failure::broken(),
        };
        self.failed(Attempt { phase: Phase::Sent, ..attempt }, failure, now);
    }

    /// Gives a whole answer to the client.
    pub(super) fn give(&mut self, attempt: Attempt, body: Bytes, now: Timestamp) {
        if self.task.resource().is_some() {
            return self.give_resource(attempt, body, now);
        }
        let Attempt { lease, started, phase, op, deadline } = attempt;
        let Phase::Holding { status, headers, .. } = phase else { return };
        let (response, issued) = match self.task.answer(status, &headers, body.clone(), &self.gateway, now) {
            Ok(answer) => answer,
            Err(error) if error.kind == Kind::Blocked => {
                return self.declined(lease, &error, judge::usage(&body), now);
            }
            Err(error) => {
                let failure = Failure::new(Class::Unknown, Elsewhere::One, error.to_string());
                return self.failed(
                    Attempt { op, lease, started, deadline, phase: Phase::Sent },
                    failure,
                    now,
                );
            }
        };
        if !issued.is_empty() {
            self.gateway.signatures().remember(self.access.client(), issued);
        }
        if let Some(kept) = self.task.kept(response.body()) {
            self.gateway.answers().keep(self.access.client(), kept, now);
        }
        let key = lease.as_ref().map(|lease| lease.key.id());
        let usage = if self.task.generates() { judge::usage(&body) } else { None };
        if let Some(lease) = &lease {
            let by = (lease.key.id(), lease.guests);
            learn_continuation(&self.gateway, &body, by, self.access.client(), now);
        }
        self.note_winner(lease.as_ref(), now);
        if let Some(lease) = lease {
            lease.succeeded(self.task.model(), usage, now);
        }
        if let (Access::Pool { .. }, Some(name)) = (&self.access, self.task.cached_as()) {
            self.gateway.keep(name, &response, now);
        }
        self.finish(response, Ending::Complete, key, usage, now);
    }

    /// The upstream has answered, and its answer is a no: no other key would get another.
    pub(super) fn declined(
        &mut self,
        lease: Option<Lease>,
        error: &Error,
        usage: Option<Usage>,
        now: Timestamp,
    ) {
        if let Some(lease) = lease {
            lease.succeeded(self.task.model(), usage, now);
        }
        self.gateway.settle(self.charge.as_mut().filter(|_| usage.is_some()), self.task.model(), usage, now);
        self.refuse(error, now);
    }

    /// The upstream has answered with an error status.
    pub(super) fn refused(&mut self, attempt: Attempt, now: Timestamp) {
        let Phase::Refused { status, headers, body } = &attempt.phase else { return };
        let (status, body) = (*status, body.clone().freeze());
        let Some(lease) = &attempt.lease else { return };
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let answer = Answer { status, content_type, body: &body, model: self.task.model() };
        let failure = lease.classify(&answer, now);
        if failure.class == Class::Egress {
            self.gateway.refused_here(now);
        }
        if self.can_repair(&failure) {
            return self.try_repaired(attempt, &failure, now);
        }
        self.failed(attempt, failure, now);
    }

    /// Operators are told of every attempt that failed.
    pub(super) fn note_failure(&mut self, attempt: &Attempt, failure: &Failure, now: Timestamp) {
        let key = attempt.lease.as_ref().map(|lease| lease.key.id());
        self.course.failed(key, failure, now);
        self.events.push(Event::AttemptFailed {
            request: self.mark.id(),
            key,
            model: self.task.model().map(str::to_owned),
            class: failure.class,
            status: failure.status,
            message: failure.message.clone(),
            elapsed: now.since(attempt.started),
        });
    }

    pub(super) fn failed(&mut self, attempt: Attempt, failure: Failure, now: Timestamp) {
        // Whatever else would come of it is not wanted.
        self.cancel.push(attempt.op);
        self.budget.learn(&failure);
        self.redirect = None;
        self.resume_after(&failure);
        self.distrust_copies(&failure, attempt.lease.as_ref());
        self.adds_to_load = retry::adds_to_load(failure.class);
        self.note_failure(&attempt, &failure, now);
        match attempt.lease {
            Some(lease) => {
                self.events.extend(lease.failed(self.task.model(), &failure, now));
                if !failure.class.is_the_keys() {
                    self.avoid.extend(lease.project());
                }
                if failure.class == Class::QuotaMinute {
                    self.short.push(lease.key.id());
                }
                if failure.class == Class::Request {
                    // Another one would be told the same.
                    self.drop_running();
                }
                self.failures.push(failure);
            }
            None => {
                let error =
                    Error::new(Kind::BadGateway, "The service that stands in for Gemini cannot be reached.");
                self.refuse(&error, now);
            }
        }
    }

    pub(super) fn give_up(&mut self, now: Timestamp) -> Step {
        if let Some(step) = self.settle_for_second_best(now) {
            return step;
        }
        if let Some(step) = self.turn_to_next_model(now) {
            return step;
        }
        if self.failures.iter().all(|failure| failure.elsewhere != Elsewhere::None)
            && let Some(step) = self.take_over(now)
        {
            return step;
        }
        let want = Want { tried: &[], avoid: &[], ..self.want() };
        let own_keys = want.own.is_some();
        let recovery = self.gateway.pool(own_keys).recovery(&want, now);
        let given_up = GivenUp { failures: &self.failures, recovery, own_keys, now };
        let error = match self.failures.is_empty() && now >= self.times.deadline {
            true => Error::new(Kind::Timeout, "The request took longer than the gateway gives it."),
            false => given_up.error(),
        };
        if let (Kind::RateLimited, Some(model), Access::Pool { client }) =
            (error.kind, self.task.model(), &self.access)
        {
            self.gateway.pool(false).refused(model, client.id(), now);
            let client = client.id();
            self.leave_home(client, recovery, now);
        }
        self.refuse(&error, now);
        match self.reply.take() {
            Some(reply) => Step::Reply(reply),
            None => Step::WaitUntil(now),
        }
    }

    /// The next model of an alias, where the present one cannot serve and the request itself is not at fault.
    pub(super) fn turn_to_next_model(&mut self, now: Timestamp) -> Option<Step> {
        let faulty = |failure: &Failure| {
            matches!(failure.class, Class::Request | Class::Affinity | Class::Signature | Class::Egress)
        };
        if now >= self.times.deadline || self.body.is_none() || self.failures.iter().any(faulty) {
            return None;
        }
        let next = self.further_models.pop()?;
        if self.course.first_model.is_none() {
            self.course.first_model = self.task.model().map(str::to_owned);
        }
        if let Err(error) = self.task.turn_to(next) {
            self.refuse(&error, now);
        }
        self.turned = true;
        self.tried.clear();
        self.avoid.clear();
        self.short.clear();
        // It has capacity of its own, and the operator wants it to be asked.
        self.adds_to_load = false;
        self.budget.renew(self.attempts_a_model);
        Some(self.advance(now))
    }

    /// Whether the response has begun.
    pub(super) fn is_open(&self) -> bool {
        self.heartbeat.as_ref().is_some_and(Heartbeat::is_open)
    }

    pub(super) fn refuse(&mut self, error: &Error, now: Timestamp) {
        let mut response = error.response(self.task.dialect(), Some(self.mark.id()));
        if self.is_open()
            && let Some(mut encoder) = self.task.stream_encoder()
        {
            let mut said = Vec::new();
            encoder.fail(error, self.mark.id(), &mut said);
            *response.body_mut() = said.into();
        }
        // Without `alt=sse` a stream is an array, and so is its error.
        if self.task.framing() == Some(Framing::Array) && error.body.is_none() && !self.task.is_translated() {
            let body = response.body_mut();
            *body = [b"[", &body[..], b"]"].concat().into();
        }
        self.finish(response, Ending::Refused, None, None, now);
    }

    pub(super) fn finish(
        &mut self,
        mut response: Response<Bytes>,
        ending: Ending,
        key: Option<KeyId>,
        usage: Option<Usage>,
        now: Timestamp,
    ) {
        let mut course = std::mem::take(&mut self.course);
        course.end(key.map(Some), now);
        if ending == Ending::Complete {
            course.first_byte = Some(now.since(self.times.arrived));
        }
        self.events.push(Event::Finished(Finished {
            request: self.mark.id(),
            client: self.access.client(),
            dialect: self.task.dialect(),
            model: self.task.model().map(str::to_owned),
            status: if self.is_open() { StatusCode::OK } else { response.status() },
            ending,
            attempts: self.budget.made(),
            key,
            usage,
            stand_ins: self.stand_ins(),
            elapsed: now.since(self.times.arrived),
            course,
        }));
        self.put_mark(response.headers_mut(), key);
        if ending == Ending::Complete {
            self.gateway.settle(self.charge.as_mut(), self.task.model(), usage, now);
        }
        self.charge = None;
        self.drop_search();
        self.drop_bringing();
        self.drop_running();
        self.reply = Some(response);
    }

    /// Marks the head of the answer; `key` is the one that has served, if one has.
    pub(super) fn put_mark(&self, headers: &mut HeaderMap, key: Option<KeyId>) {
        let told = key.filter(|_| self.mark.is_admins() && matches!(self.access, Access::Pool { .. }));
        let project = told.and_then(|key| self.gateway.pool(false).project_name(key));
        self.mark.put_served(headers, self.budget.made(), project.as_deref());
        if let Some(told) = self.charge.as_ref().and_then(Charge::told) {
            told.put(headers, self.task.dialect());
        }
        if let (true, Some(_), Some(model)) = (self.turned, key, self.task.model()) {
            Mark::put_model(headers, model);
        }
    }

    pub(super) fn commit(mut self, op: OpId) -> Relay {
        let at = self.running.iter().position(|attempt| attempt.op == op);
        let attempt = at.map(|at| self.running.swap_remove(at));
        let (lease, phase) = match attempt {
            Some(attempt) => (attempt.lease, attempt.phase),
            None => (None, Phase::Sent),
        };
        let (status, headers, held, ended) = match phase {
            Phase::Proven { status, headers, held, ended } => (status, headers, held, ended),
            Phase::Judging { status, headers, held, .. } => (status, headers, held, false),
            Phase::Holding { status, headers, chunks, .. } => (status, headers, chunks, false),
            Phase::Stale | Phase::Sent | Phase::Refused { .. } => {
                (StatusCode::BAD_GATEWAY, HeaderMap::new(), Vec::new(), false)
            }
        };
        let mut headers = match (&lease, self.task.resource()) {
            (Some(_), Some(resource)) => resource.media_head(&headers),
            (Some(_), None) => upstream::returned(&headers),
            (None, _) => upstream::returned_by_service(&headers),
        };
        self.put_mark(&mut headers, lease.as_ref().map(|lease| lease.key.id()));
        let mode = match (self.task.framing(), &lease) {
            (_, None) | (None, _) => Mode::Bytes,
            // Their events are not those of a model's answers.
            _ if self.task.resource().is_some() => Mode::Bytes,
            (Some(framing), Some(_)) => {
                let decoder = Decoder::new(framing);
                match self.task.stream_encoder() {
                    Some(encoder) => {
                        let content_type = HeaderValue::from_static(self.task.stream_content_type());
                        headers.insert(CONTENT_TYPE, content_type);
                        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                        Mode::Translated { decoder, encoder: Box::new(encoder) }
                    }
                    None => Mode::Native { decoder, flowing: false },
                }
            }
        };
        let model = self.task.model().map(Arc::from);
        let origin = Origin {
            gateway: Arc::clone(&self.gateway),
            client: self.access.client(),
            stand_ins: self.stand_ins(),
            lease,
            model,
            request: self.mark.id(),
            dialect: self.task.dialect(),
            times: self.times,
            attempts: self.budget.made(),
            charge: self.charge.take(),
            course: self.course,
        };
        Relay::new((status, headers), mode, origin, held, ended)
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(super) fn abandon(&mut self, now: Timestamp) {
        self.drop_search();
        self.drop_bringing();
        if !self.running.is_empty() {
            // What was sent is answered all the same, and nobody hears how much that takes.
            self.gateway.settle(self.charge.as_mut(), self.task.model(), None, now);
        }
        self.charge = None;
        self.running.clear();
        let mut course = std::mem::take(&mut self.course);
        course.end(None, now);
        self.events.push(Event::Finished(Finished {
            request: self.mark.id(),
            client: self.access.client(),
            dialect: self.task.dialect(),
            model: self.task.model().map(str::to_owned),
            status: CLIENT_LEFT,
            ending: Ending::ClientLeft,
            attempts: self.budget.made(),
            key: None,
            usage: None,
            stand_ins: self.stand_ins(),
            elapsed: now.since(self.times.arrived),
            course,
        }));
    }
}

/// The content type of events.
const EVENT_STREAM: &[u8] = b"text/event-stream";

/// The head of a response that begins before its answer.
fn event_stream(mark: Mark, told: Option<Told>, dialect: Dialect) -> Response<()> {
    let mut head = Response::new(());
    put_event_stream(head.headers_mut());
    if let Some(told) = told {
        told.put(head.headers_mut(), dialect);
    }
    mark.put(head.headers_mut());
    head
}

fn put_event_stream(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}
