//! One request of a client, from its arrival until an answer is committed or refused.
//!
//! A state machine without input or output. A shell asks [`Exchange::poll`] what to do, does it, and tells what
//! came of it with [`Exchange::handle`]:
//!
//! ```text
//! poll ─► Start(op)      send this; tell its head, its chunks, its end
//!      ─► Cancel(op)     drop it; nothing of it is wanted any more
//!      ─► WaitUntil(t)   until something comes of what has been started, at most until t
//!      ─► Queued(ticket) the same, or until the pool says that this ticket has its turn
//!      ─► Open(head)     begin the response; what else comes of the exchange is for its body
//!      ─► Ping(bytes)    send this in the response that has begun
//!      ─► Reply(…)       the whole answer; the exchange is over
//!      ─► Commit(op)     the answer is good: take the relay, give it what else comes of op
//! ```
//!
//! More than one operation can be under way; a shell keeps them as [`Operations`]. What comes of them is told also while a turn
//! is waited for.

mod attempt;
mod bring;
mod fetch;
mod heartbeat;
mod hedge;
mod inner;
mod large;
mod listing;
mod moving;
mod objects;
mod operations;
mod owner;
mod parts;
mod repaired;
mod resume;
mod second_best;
mod single;
mod steps;
mod take_over;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};

pub(crate) use self::attempt::{Lease, Phase};
use self::listing::Listing;
pub(crate) use self::objects::learn_continuation;
pub use self::operations::Operations;
use self::parts::Parts;
use self::single::Single;
pub(crate) use self::steps::Client;
use self::steps::Steps;
use crate::affinity::address::Called;
use crate::auth::Access;
use crate::event::Event;
use crate::gateway::Gateway;
use crate::mark::Mark;
use crate::memory::Held;
use crate::openai::objects::{Ask, Work};
use crate::pool::Ticket;
use crate::relay::Relay;
use crate::resource::{self, Resource};
use crate::task::Task;
use crate::time::Timestamp;

/// What logs call a request whose client left: nginx's number for it.
const CLIENT_LEFT: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

/// The number of an operation within its exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(u32);

/// Something for the shell to do.
#[derive(Debug)]
pub enum Op {
    /// Send a request. A body of None is the client's own, streamed by the shell.
    Upstream(Request<Option<Bytes>>),
    /// Ask any server of the web for a file: without a key, only where the
    /// [guard](crate::fetch::guard::Guard) permits, and following no redirect.
    Fetch(Request<()>),
}

/// What has come of an operation.
#[derive(Debug)]
pub enum Outcome {
    /// The head of the answer.
    Head(StatusCode, HeaderMap),
    /// A part of the body.
    Chunk(Bytes),
    /// The end of the body.
    End,
    /// The client's body, streamed, turned out larger than the limit.
    TooLarge,
    /// The connection could not be made, or broke.
    Failed {
        /// The connection had served before and died before any byte of an answer: nobody's fault.
        stale: bool,
        /// What the network said; no address, no secret.
        message: String,
    },
}

/// What the shell does next.
#[derive(Debug)]
pub enum Step {
    /// Begin an operation.
    Start(OpId, Op),
    /// Drop an operation.
    Cancel(OpId),
    /// Wait for what has been started, at most until then.
    WaitUntil(Timestamp),
    /// Wait for the turn of this ticket ([`Gateway::due`]) or for what has been started, at most until then.
    Queued {
        /// The place in the queue.
        ticket: Ticket,
        /// When patience ends.
        until: Timestamp,
    },
    /// Begin the response with this head: the client has waited long enough for a sign of life. The exchange goes on.
    Open(Response<()>),
    /// Send this in the response that has begun, at once.
    Ping(Bytes),
    /// Answer this. The exchange is over. Where the response has begun, only the body is sent.
    Reply(Response<Bytes>),
    /// Take the [relay](Exchange::commit) of this operation; drop the others. Where the response has begun, the
    /// relay's head is not sent.
    Commit {
        /// The operation that answers.
        op: OpId,
        /// Operations that are not needed any more.
        cancel: Vec<OpId>,
    },
}

/// The times of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) arrived: Timestamp,
    pub(crate) deadline: Timestamp,
    /// For an attempt to show its first event (streams) or its whole answer.
    pub(crate) attempt: Duration,
    /// Between the chunks of a committed answer.
    pub(crate) idle: Duration,
}

/// A request that was let in, with its body.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) task: Task,
    pub(crate) access: Access,
    /// What of the client's header goes upstream.
    pub(crate) headers: HeaderMap,
    /// By which address the client has called.
    pub(crate) called: Called,
    /// None: larger than what is kept; the shell streams it, once.
    pub(crate) body: Option<Bytes>,
    /// Models to turn to when the first cannot serve, the next one last.
    pub(crate) further_models: Vec<String>,
    /// The share of the common memory that the body takes.
    pub(crate) held: Held,
    pub(crate) arrived: Timestamp,
    /// For the head of the answer.
    pub(crate) mark: Mark,
}

/// One request of a client.
#[derive(Debug)]
pub struct Exchange(Kinds);

#[derive(Debug)]
enum Kinds {
    /// Answered with one answer of the upstream.
    Single(Box<Single>),
    /// Answered with several.
    Parts(Box<Parts>),
    /// Answered with a list from each project.
    Listing(Box<Listing>),
    /// Answered by what comes of some calls about objects, one after the other.
    Steps(Box<Steps>),
}

impl Exchange {
    pub(crate) fn new(gateway: Arc<Gateway>, admitted: Admitted) -> Self {
        match &admitted.task {
            Task::Generation(generation) if generation.parts() > 1 => {
                Self(Kinds::Parts(Box::new(Parts::new(gateway, admitted))))
            }
            Task::Resource(resource)
                if resource.kind() == resource::Kind::List
                    && Listing::is_needed(&gateway, &admitted.access, admitted.mark) =>
            {
                Self(Kinds::Listing(Box::new(Listing::new(gateway, admitted))))
            }
            _ => Self(Kinds::Single(Box::new(Single::new(gateway, admitted)))),
        }
    }

    /// A call of another dialect about objects, that begins with this one of Gemini's.
    pub(crate) fn steps(client: Client, (work, first): (Work, Ask)) -> Self {
        Self(Kinds::Steps(Box::new(Steps::new(client, work, first))))
    }

    /// What to do next.
    pub fn poll(&mut self, now: Timestamp) -> Step {
        match &mut self.0 {
            Kinds::Single(single) => single.poll(now),
            Kinds::Parts(parts) => parts.poll(now),
            Kinds::Listing(listing) => listing.poll(now),
            Kinds::Steps(steps) => steps.poll(now),
        }
    }

    /// Takes in what has come of an operation.
    pub fn handle(&mut self, op: OpId, outcome: Outcome, now: Timestamp) {
        match &mut self.0 {
            Kinds::Single(single) => single.handle(op, outcome, now),
            Kinds::Parts(parts) => parts.handle(op, outcome, now),
            Kinds::Listing(listing) => listing.handle(op, outcome, now),
            Kinds::Steps(steps) => steps.handle(op, outcome, now),
        }
    }

    /// The answer of `op` is good; from here there is no failing over.
    pub fn commit(self, op: OpId) -> Relay {
        match self.0 {
            Kinds::Single(single) => single.commit(op),
            Kinds::Steps(steps) => steps.commit(op),
            Kinds::Parts(_) | Kinds::Listing(_) => unreachable!("an answer in parts is a reply"),
        }
    }

    /// The largest body that is taken, where the shell streams it, in bytes.
    pub fn body_limit(&self) -> u64 {
        match &self.0 {
            Kinds::Single(single) => single.task.body_limit(&single.gateway.config()),
            Kinds::Parts(_) | Kinds::Listing(_) | Kinds::Steps(_) => 0,
        }
    }

    /// Whether the answer names what was made for the client: it should be [stored](Gateway::take_changes) before it goes
    /// out, as clients do not look for what they were told of.
    pub fn makes(&self) -> bool {
        match &self.0 {
            Kinds::Single(single) => {
                let kind = single.task.resource().map(Resource::kind);
                matches!(kind, Some(resource::Kind::Make { .. } | resource::Kind::Upload))
            }
            Kinds::Steps(steps) => steps.makes,
            Kinds::Parts(_) | Kinds::Listing(_) => false,
        }
    }

    /// What happened since this was last asked.
    pub fn take_events(&mut self) -> Vec<Event> {
        match &mut self.0 {
            Kinds::Single(single) => single.take_events(),
            Kinds::Parts(parts) => parts.take_events(),
            Kinds::Listing(listing) => listing.take_events(),
            Kinds::Steps(steps) => steps.take_events(),
        }
    }

    /// The client has left before an answer. What was started is to be dropped.
    pub fn abandon(&mut self, now: Timestamp) {
        match &mut self.0 {
            Kinds::Single(single) => single.abandon(now),
            Kinds::Parts(parts) => parts.abandon(now),
            Kinds::Listing(listing) => listing.abandon(now),
            Kinds::Steps(steps) => steps.abandon(now),
        }
    }
}
