//! One session of the Live API: a WebSocket of a client, and one of Google's behind it.
//!
//! A state machine without input or output, as [`exchange`](crate::exchange) is one for requests. A shell accepts the
//! client's upgrade with [`Session::head`], asks [`Session::poll`] what to do, moves frames, and tells what happened with
//! [`Session::handle`]:
//!
//! ```text
//! poll ─► Connect(request)  ask Google for a WebSocket
//!      ─► Disconnect        drop the connection to Google, whatever it does
//!      ─► Wait(t)           until something happens, at most until t
//!      ─► End               drop both
//! to_client, to_upstream            what goes out, as soon as that side takes more
//! reads_client, reads_upstream      whether that side is to be read now
//! ```
//!
//! Google is asked once the client's first frame has said which model it wants. Until Google's first frame
//! (`setupComplete`) another key can take over: what the client sends meanwhile is held, up to a bound, and beyond it the
//! client is not read. From then on frames pass as they are, and so do closes. A frame is read only when the one before
//! has gone out, in each direction by itself: a slow side slows the other and fills no memory.

mod admit;
mod attempt;
mod call;
mod close;
mod goodbye;
mod known;
mod learned;
mod message;
mod setup;
mod who;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};

pub(crate) use self::admit::{Permit, admit};
use self::attempt::Attempt;
pub use self::call::{Call, Method};
pub use self::close::{Close, Ended};
use self::close::{GOING_AWAY, INVALID_DATA, POLICY, TRY_AGAIN_LATER};
use self::goodbye::Side;
use self::known::Owner;
pub use self::message::{Fault, Frame, Input, Outgoing, Step};
use self::setup::Setup;
use self::who::Who;
use crate::affinity::name::ObjectName;
use crate::auth::Access;
use crate::config::AliasFor;
use crate::event::{Event, LiveEndedBy, Traffic, Usage};
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::judge;
use crate::mark::Mark;
use crate::memory::Held;
use crate::pool::ProjectId;
use crate::retry::Budget;
use crate::secret::{ApiKey, KeyId};
use crate::time::Timestamp;

/// The largest message that a client may send: a picture or some minutes of sound fit in.
pub const MAX_FROM_CLIENT: usize = 16 << 20;

/// The largest message that is taken from Google.
pub const MAX_FROM_UPSTREAM: usize = 64 << 20;

/// The largest first message: instructions and declarations of tools.
const MAX_SETUP: usize = 4 << 20;

/// A client that has said nothing by then wants nothing.
const SETUP_WITHIN: Duration = Duration::from_secs(30);

/// So much of what a client sends before Google is ready is held; then the client is not read.
const HELD_BYTES: usize = 1 << 20;
const HELD_FRAMES: usize = 64;

/// Proxies close connections on which nothing moves for a minute; some do after thirty seconds.
const PING: Duration = Duration::from_secs(20);

/// A lease lasts for an hour; a session may be longer.
const RENEW_LEASE: Duration = Duration::from_secs(30 * 60);

/// One session.
#[derive(Debug)]
pub struct Session {
    gateway: Arc<Gateway>,
    call: Call,
    /// What of the client's query goes up.
    query: Option<String>,
    who: Who,
    /// The key of a client of the pool.
    trusted: Option<ApiKey>,
    /// What of the client's header goes up.
    headers: HeaderMap,
    mark: Mark,
    _permit: Permit,
    held: Held,
    arrived: Timestamp,
    /// When the last message came, from either side.
    heard: Timestamp,
    ping_at: Timestamp,
    ping_due: bool,
    phase: Phase,
    client: Side,
    upstream: Side,
    /// Messages on their way.
    up: VecDeque<Frame>,
    up_size: usize,
    down: VecDeque<Frame>,
    setup: Option<Setup>,
    model: Option<String>,
    /// Whose the session is that goes on.
    owner: Option<Owner>,
    attempt: Option<Attempt>,
    budget: Budget,
    adds_to_load: bool,
    /// How long a project's room may be waited for.
    patience: Timestamp,
    tried: Vec<KeyId>,
    avoid: Vec<ProjectId>,
    failures: Vec<Failure>,
    /// What Google said of each failure, where it was by a close.
    closes: Vec<Option<Close>>,
    stale_retries: u32,
    disconnect: bool,
    /// The names of this session that are remembered; older ones are forgotten.
    names: VecDeque<ObjectName>,
    key: Option<KeyId>,
    traffic: [Traffic; 2],
    usage: Option<Usage>,
    end: Option<(LiveEndedBy, u16)>,
    told: bool,
    events: Vec<Event>,
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The client's first message is to come.
    Opening,
    /// A key is looked for, from then on.
    Looking(Timestamp),
    /// A connection to Google is to be asked for.
    Dialling,
    /// It has been asked for.
    Connecting,
    /// Google has the setup, or is to have it.
    SettingUp { sent: bool },
    /// Frames pass.
    Open,
    /// Goodbyes are said, until then.
    Closing(Timestamp),
    /// All is over.
    Over,
}

impl Session {
    /// The head of the answer to the client's upgrade; the shell adds what is the handshake's.
    pub fn head(&self) -> Response<()> {
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        self.mark.put(head.headers_mut());
        head
    }

    /// What to do next.
    pub fn poll(&mut self, now: Timestamp) -> Step {
        if std::mem::take(&mut self.disconnect) {
            return Step::Disconnect;
        }
        if now >= self.ping_at {
            self.ping_at = now + PING;
            self.ping_due = true;
        }
        match self.phase {
            Phase::Opening if now >= self.arrived + SETUP_WITHIN => {
                self.refuse(Close::new(POLICY, "No setup message came within 30 s."), now);
            }
            Phase::Looking(from) if from <= now => return self.look(now),
            Phase::Dialling => return self.dial(),
            Phase::Connecting | Phase::SettingUp { .. } if self.attempt_ends_at() <= now => {
                self.timed_out(now);
            }
            Phase::Open => self.watch_open(now),
            Phase::Closing(until)
                if until <= now || [&self.client, &self.upstream].iter().all(|side| **side == Side::Gone) =>
            {
                self.finish(now);
            }
            Phase::Over => return Step::End,
            _ => return Step::Wait(self.wakes_at(now)),
        }
        match (self.phase, self.disconnect) {
            (Phase::Over, false) => Step::End,
            (Phase::Open, false) => Step::Wait(self.wakes_at(now)),
            _ => self.poll(now),
        }
    }

    /// Whether the client is to be read now.
    pub fn reads_client(&self) -> bool {
        match self.phase {
            Phase::Opening => true,
            Phase::Open => self.up.is_empty(),
            Phase::Looking(_) | Phase::Dialling | Phase::Connecting | Phase::SettingUp { .. } => {
                self.up_size < HELD_BYTES && self.up.len() < HELD_FRAMES
            }
            Phase::Closing(_) => self.client != Side::Gone,
            Phase::Over => false,
        }
    }

    /// Whether Google is to be read now.
    pub fn reads_upstream(&self) -> bool {
        match self.phase {
            Phase::SettingUp { .. } => true,
            Phase::Open => self.down.is_empty(),
            Phase::Closing(_) => self.upstream != Side::Gone,
            _ => false,
        }
    }

    /// What goes to the client next. Asked for when the client can take it.
    pub fn to_client(&mut self, now: Timestamp) -> Option<Outgoing> {
        if let Some(frame) = self.down.pop_front() {
            self.moved(now);
            return Some(Outgoing::Frame(frame));
        }
        if let Some(close) = self.client.take_owed() {
            self.moved(now);
            return Some(Outgoing::Close(close));
        }
        (std::mem::take(&mut self.ping_due) && self.client == Side::Open).then_some(Outgoing::Ping)
    }

    /// What goes to Google next. Asked for when Google can take it.
    pub fn to_upstream(&mut self, now: Timestamp) -> Option<Outgoing> {
        match self.phase {
            Phase::SettingUp { sent: false } => {
                self.phase = Phase::SettingUp { sent: true };
                self.setup.as_ref().map(|setup| Outgoing::Frame(setup.frame.clone()))
            }
            Phase::Open | Phase::Closing(_) => {
                if let Some(frame) = self.up.pop_front() {
                    self.up_size -= frame.payload.len();
                    if self.up.is_empty() {
                        self.held.release();
                    }
                    self.moved(now);
                    return Some(Outgoing::Frame(frame));
                }
                let close = self.upstream.take_owed()?;
                self.moved(now);
                Some(Outgoing::Close(close))
            }
            _ => None,
        }
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::FromClient(frame) => self.hear_client(frame, now),
            Input::FromUpstream(frame) => self.hear_upstream(frame, now),
            Input::Connected(headers) => self.connected(&headers, now),
            Input::Refused(status, headers, body) => self.refused(status, &headers, &body, now),
            Input::Failed { stale, message } => self.not_connected(stale, &message, now),
            Input::ClientEnded(ended) => self.client_ended(ended, now),
            Input::UpstreamEnded(ended) => self.upstream_ended(ended, now),
            Input::ClientFault(fault) => {
                let close = match fault {
                    Fault::TooLarge => Close::new(1009, "A message may have 16 MiB at most."),
                    Fault::Malformed => Close::new(INVALID_DATA, "This is no WebSocket message."),
                };
                self.end_both(close, now);
            }
            Input::Stop => self.end_both(Close::new(GOING_AWAY, "The gateway is being restarted."), now),
        }
    }

    /// What happened since this was last asked.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The session is dropped before its end. Both connections go with it.
    pub fn abandon(&mut self, now: Timestamp) {
        self.finish(now);
    }

    fn hear_client(&mut self, frame: Frame, now: Timestamp) {
        self.heard = now;
        self.traffic[0].add(&frame);
        match self.phase {
            Phase::Opening => self.begin(frame, now),
            Phase::Closing(_) | Phase::Over => {}
            _ => {
                // Held already, so this says only when to stop reading.
                let room = self.phase == Phase::Open || self.held.grow(frame.payload.len());
                self.up_size += frame.payload.len();
                self.up.push_back(frame);
                if !room {
                    self.refuse(
                        Close::new(TRY_AGAIN_LATER, "The gateway holds too much at the moment."),
                        now,
                    );
                }
            }
        }
    }

    /// The first message.
    fn begin(&mut self, frame: Frame, now: Timestamp) {
        let gateway = Arc::clone(&self.gateway);
        let serve = |asked: &str| {
            let served = gateway.served_model(asked, AliasFor::Chat);
            served.map_err(|error| Close::of_error(&error, Some(asked)))
        };
        let setup = match Setup::read(frame, serve) {
            Ok(setup) => setup,
            Err(close) => return self.refuse(close, now),
        };
        if setup.model.is_none() && matches!(self.who, Who::Keys(_)) {
            return self.refuse(Close::new(INVALID_DATA, "setup.model is missing."), now);
        }
        if !self.held.grow(setup.frame.payload.len()) {
            let close = Close::new(TRY_AGAIN_LATER, "The gateway holds too much at the moment.");
            return self.refuse(close, now);
        }
        match (&self.who, &setup.handle) {
            (Who::Token { owner, .. }, _) => self.owner = *owner,
            (Who::Keys(_), None) => {}
            (Who::Keys(access), Some(handle)) => {
                self.owner = known::of_session(&self.gateway, handle, access, now);
                if self.owner.is_some_and(|owner| !owner.serves(access)) {
                    let close = Close::new(POLICY, "The session to resume is another client's.");
                    return self.refuse(close, now);
                }
            }
        }
        self.model.clone_from(&setup.model);
        self.setup = Some(setup);
        self.patience = now + self.gateway.config().queue_wait;
        self.phase = Phase::Looking(now);
    }

    fn hear_upstream(&mut self, frame: Frame, now: Timestamp) {
        match self.phase {
            Phase::SettingUp { .. } => {
                if judge::is_error(&frame.payload) {
                    return self.error_frame(&frame, now);
                }
                self.commit(now);
            }
            Phase::Open => {}
            _ => return,
        }
        self.heard = now;
        self.traffic[1].add(&frame);
        self.look_at(&frame.payload, now);
        self.down.push_back(frame);
    }

    /// Google is ready: from here nothing fails over.
    fn commit(&mut self, now: Timestamp) {
        self.phase = Phase::Open;
        self.setup = None;
        self.failures.clear();
        self.closes.clear();
        if self.up.is_empty() {
            self.held.release();
        }
        if let Some(lease) = self.lease() {
            lease.serves(self.model.as_deref(), now);
        }
        self.key = self.lease().map(|lease| lease.key().id());
    }

    fn watch_open(&mut self, now: Timestamp) {
        let config = self.gateway.config();
        if let Some(idle) = config.live_idle.filter(|idle| now >= self.heard + *idle) {
            let reason = format!("Nothing was said for {} s.", idle.as_secs_f32());
            return self.end_both(Close::new(GOING_AWAY, reason), now);
        }
        if let Some(limit) = config.live_limit.filter(|limit| now >= self.arrived + *limit) {
            let reason = format!("A session may last for {} s here.", limit.as_secs_f32());
            return self.end_both(Close::new(GOING_AWAY, reason), now);
        }
        if let Some(attempt) = &mut self.attempt
            && now >= attempt.renewed + RENEW_LEASE
            && let Some(lease) = &mut attempt.lease
        {
            attempt.renewed = now;
            lease.renew(now);
        }
    }

    /// When there is something to do, whatever happens.
    fn wakes_at(&self, now: Timestamp) -> Timestamp {
        let config = self.gateway.config();
        let at = match self.phase {
            Phase::Opening => self.arrived + SETUP_WITHIN,
            Phase::Looking(from) => from,
            Phase::Connecting | Phase::SettingUp { .. } => self.attempt_ends_at(),
            Phase::Open => {
                let idle = config.live_idle.map(|idle| self.heard + idle);
                let limit = config.live_limit.map(|limit| self.arrived + limit);
                let renewal = self.attempt.as_ref().map(|attempt| attempt.renewed + RENEW_LEASE);
                [idle, limit, renewal].into_iter().flatten().min().unwrap_or(Timestamp::NEVER)
            }
            Phase::Closing(until) => until,
            Phase::Dialling | Phase::Over => now,
        };
        at.min(self.ping_at)
    }

    /// The credential that went up.
    fn secret(&self) -> Option<&ApiKey> {
        match &self.who {
            Who::Token { token, .. } => Some(token),
            Who::Keys(_) => Some(self.lease()?.key()),
        }
    }

    /// The credential that the client came with.
    fn clients_secret(&self) -> Option<&ApiKey> {
        match &self.who {
            Who::Token { token, .. } => Some(token),
            Who::Keys(Access::Pool { .. }) => self.trusted.as_ref(),
            Who::Keys(Access::Own(keys)) => keys.first(),
        }
    }
}
