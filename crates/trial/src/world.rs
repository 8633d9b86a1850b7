//! The world in which a trial runs: clients, the gateway, a simulated Google, and a time that jumps.
//!
//! This is a shell as the server is one, but without anything that waits. What would be waited for is an event in a
//! heap, by time and then by the order in which it was planned; so nothing depends on chance but through the seed.

mod client;
mod google;

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use http::Request;
use libra_core::check::{Check, CheckAnswer};
use libra_core::exchange::{Exchange, Op, OpId, Outcome, Step};
use libra_core::gateway::{DueNow, Gateway};
use libra_core::pool::{self, StateChange};
use libra_core::relay::{BodyEnd, Next, Piece, Relay};
use libra_core::secret::KeyId;
use libra_core::time::Timestamp;
use libra_simulator::{Clock, Simulator, Ticket, UnixMillis};

use self::client::{Door, Seen};
use crate::load::{self, Arrival, OthersCall};
use crate::record::{Call, Ended, Record};
use crate::scenario::{Scenario, key_number};

/// The pool is looked after at least this often, in milliseconds, as the server does it.
const ROUND: u64 = 30_000;

/// An exchange that asks for so many steps at one moment asks for ever.
const MOST_STEPS: u32 = 10_000;

/// A request that has not ended so long after the last arrival, in milliseconds, never will.
const LONGEST_ANSWER: u64 = 3_600_000;

/// The world of one run.
pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    models: Vec<&'a str>,
    now: UnixMillis,
    gateway: Arc<Gateway>,
    google: Arc<Simulator>,
    random: Rng,
    doors: Vec<Door>,
    events: BinaryHeap<Reverse<Planned>>,
    planned: u64,
    /// By the number of the request.
    tasks: Vec<Option<Box<Task>>>,
    live: usize,
    /// The number of each pool key.
    keys: HashMap<KeyId, u32>,
    /// When the pool is looked after next.
    pool_at: UnixMillis,
    /// Who waits with which ticket.
    tickets: HashMap<pool::Ticket, usize>,
    others: Vec<OthersCall<'a>>,
    record: Record,
    /// What must not happen, if it has.
    broken: Option<String>,
}

/// Something that will happen.
struct Planned {
    at: UnixMillis,
    number: u64,
    event: Event,
}

enum Event {
    /// A call is at Google's.
    Reaches { task: usize, op: OpId },
    /// Something of a call's answer is back.
    Comes { task: usize, op: OpId, outcome: Outcome, is_last: bool },
    /// A request waits no longer.
    Wakes { task: usize },
    /// The pool wants to be looked after.
    Pool,
    /// A probe's answer is back.
    Probed { check: Box<Check>, call: usize, answer: CheckAnswer },
    /// Others use a project.
    Others { number: usize },
}

/// A request under way.
struct Task {
    phase: Phase,
    running: Vec<Running>,
    /// The earliest time at which it will be woken.
    wakes_at: UnixMillis,
    seen: Seen,
}

enum Phase {
    /// No answer is committed. Boxed, as a relay is much smaller.
    Exchange(Box<Exchange>),
    /// An answer is on its way.
    Relay(Box<Relay>),
    Over,
}

/// A call under way.
struct Running {
    op: OpId,
    /// Its number in the record.
    call: usize,
    /// What is sent, until it arrives.
    request: Option<Request<Bytes>>,
    /// Keeps the call open in the simulator's counts.
    ticket: Option<Ticket>,
}

impl<'a> World<'a> {
    /// A world before its first request.
    ///
    /// # Errors
    /// A setting or strategy that there is not.
    pub(crate) fn new(scenario: &'a Scenario, strategy: Option<&str>, seed: u64) -> Result<Self, String> {
        let config = scenario.gateway(strategy)?;
        let number = |key: &libra_core::config::PoolKey| {
            let number = key_number(key.key.expose()).and_then(|number| u32::try_from(number).ok());
            Some((key.key.id(), number?))
        };
        let keys = config.keys.iter().filter_map(number).collect();
        Ok(Self {
            scenario,
            models: scenario.models(),
            now: scenario.start,
            gateway: Gateway::new(config, seed),
            google: Simulator::new(scenario.simulator(), Clock::manual(scenario.start), seed),
            random: Rng::with_seed(seed ^ 0x1a7e_9c75),
            doors: client::doors(scenario)?,
            events: BinaryHeap::new(),
            planned: 0,
            tasks: Vec::new(),
            live: 0,
            keys,
            pool_at: UnixMillis::MAX,
            tickets: HashMap::new(),
            others: load::others(scenario, seed),
            record: Record::default(),
            broken: None,
        })
    }

    /// Lets all requests arrive, and everything happen that follows.
    ///
    /// # Errors
    /// What the gateway did that no shell could carry out.
    pub(crate) fn run(mut self, arrivals: &[Arrival]) -> Result<Record, String> {
        let last = arrivals.last().map_or(self.now, |arrival| arrival.at);
        let mut arrivals = arrivals.iter().peekable();
        self.plan_others(0);
        while self.broken.is_none() {
            let next = self.events.peek().map(|Reverse(planned)| planned.at);
            match (arrivals.peek(), next) {
                (None, _) if self.live == 0 => break,
                (Some(arrival), next) if next.is_none_or(|next| arrival.at <= next) => {
                    self.now = arrival.at;
                    self.arrive(arrival);
                    arrivals.next();
                }
                (_, Some(next)) if next <= last.saturating_add(LONGEST_ANSWER) => {
                    let Some(Reverse(planned)) = self.events.pop() else { break };
                    self.now = planned.at;
                    self.happen(planned.event);
                }
                _ => break,
            }
            self.look_at_pool();
        }
        self.record.ended = self.now;
        match self.broken {
            Some(what) => Err(format!("{}: {what}", self.scenario.name)),
            None => Ok(self.record),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Reaches { task, op } => self.reach(task, op),
            Event::Comes { task, op, outcome, is_last } => self.come(task, op, outcome, is_last),
            Event::Wakes { task } => self.wake(task),
            Event::Pool => self.look_after_pool(),
            Event::Probed { check, call, answer } => {
                self.record.calls[call].ended = Some(self.now);
                check.conclude(&answer, self.time());
            }
            Event::Others { number } => self.others_call(number),
        }
    }

    fn plan(&mut self, at: UnixMillis, event: Event) {
        self.planned += 1;
        self.events.push(Reverse(Planned { at, number: self.planned, event }));
    }

    /// Takes in what an exchange wants, until it waits or ends.
    fn drive(&mut self, number: usize) {
        let Some(mut task) = self.tasks.get_mut(number).and_then(Option::take) else { return };
        for _ in 0..MOST_STEPS {
            let Phase::Exchange(exchange) = &mut task.phase else { break };
            match exchange.poll(self.time()) {
                Step::Start(op, Op::Upstream(request)) => self.begin(number, &mut task, op, request),
                Step::Start(_, Op::Fetch(_)) => {
                    self.broken =
                        Some("a request named media, of which the scenarios know nothing".to_owned());
                    return;
                }
                Step::Cancel(op) => self.cancel(&mut task, op),
                Step::WaitUntil(until) => {
                    self.wake_at(number, &mut task, until.as_millis());
                    self.tasks[number] = Some(task);
                    return;
                }
                Step::Queued { ticket, until } => {
                    self.tickets.insert(ticket, number);
                    self.wake_at(number, &mut task, until.as_millis());
                    self.tasks[number] = Some(task);
                    return;
                }
                // A trial's clients speak Gemini's own protocol, in which no response begins before its answer.
                Step::Open(_) | Step::Ping(_) => {}
                Step::Reply(reply) => {
                    let ended = client::replied(&reply, self.now);
                    return self.end(number, &task, ended);
                }
                Step::Commit { op, cancel } => {
                    cancel.into_iter().for_each(|op| self.cancel(&mut task, op));
                    let Phase::Exchange(exchange) = std::mem::replace(&mut task.phase, Phase::Over) else {
                        break;
                    };
                    let mut relay = exchange.commit(op);
                    let (head, piece) = relay.begin(self.time());
                    task.seen.head(&head);
                    task.phase = Phase::Relay(Box::new(relay));
                    return self.pass(number, task, &piece);
                }
            }
        }
        self.broken = Some("an exchange does not end".to_owned());
    }

    /// A piece of a committed answer reaches the client.
    fn pass(&mut self, number: usize, mut task: Box<Task>, piece: &Piece) {
        task.seen.piece(&piece.bytes);
        if piece.next != Next::More {
            let ended = task.seen.ended(piece.next == Next::End, self.now);
            return self.end(number, &task, ended);
        }
        if let Phase::Relay(relay) = &task.phase {
            let idle_at = relay.idle_deadline().as_millis();
            self.wake_at(number, &mut task, idle_at);
        }
        self.tasks[number] = Some(task);
    }

    /// Something of a call's answer is back.
    fn come(&mut self, number: usize, op: OpId, outcome: Outcome, is_last: bool) {
        let now = self.time();
        let Some(task) = self.tasks.get_mut(number).and_then(Option::as_mut) else { return };
        let Some(at) = task.running.iter().position(|running| running.op == op) else { return };
        if is_last {
            let running = task.running.swap_remove(at);
            self.record.calls[running.call].ended = Some(self.now);
            running.ticket.into_iter().for_each(Ticket::done);
        }
        match &mut task.phase {
            Phase::Exchange(exchange) => {
                exchange.handle(op, outcome, now);
                self.drive(number);
            }
            Phase::Relay(relay) => {
                let piece = relay.handle(outcome, now);
                let Some(task) = self.tasks[number].take() else { return };
                self.pass(number, task, &piece);
            }
            Phase::Over => {}
        }
    }

    fn wake_at(&mut self, number: usize, task: &mut Task, until: UnixMillis) {
        let until = until.max(self.now + 1);
        if until < task.wakes_at {
            task.wakes_at = until;
            self.plan(until, Event::Wakes { task: number });
        }
    }

    /// A request has waited until its time, or until the pool calls it.
    fn wake(&mut self, number: usize) {
        let now = self.time();
        let Some(task) = self.tasks.get_mut(number).and_then(Option::as_mut) else { return };
        task.wakes_at = UnixMillis::MAX;
        let piece = match &mut task.phase {
            Phase::Exchange(_) => return self.drive(number),
            Phase::Relay(relay) if relay.idle_deadline() <= now => relay.finish(&BodyEnd::Idle, now),
            Phase::Relay(..) => Piece { bytes: Bytes::new(), next: Next::More },
            Phase::Over => return,
        };
        let Some(task) = self.tasks[number].take() else { return };
        self.pass(number, task, &piece);
    }

    fn begin(&mut self, number: usize, task: &mut Task, op: OpId, request: Request<Option<Bytes>>) {
        let call = self.new_call(Some(number), &request);
        let request = Some(request.map(Option::unwrap_or_default));
        task.running.push(Running { op, call, request, ticket: None });
        let at = self.now + self.network();
        self.plan(at, Event::Reaches { task: number, op });
    }

    /// Writes a call down.
    fn new_call(&mut self, request: Option<usize>, call: &Request<Option<Bytes>>) -> usize {
        let key = call.headers().get("x-goog-api-key").and_then(|key| key_number(key.to_str().ok()?));
        let Some(key) = key.and_then(|key| u32::try_from(key).ok()) else {
            self.broken = Some("a call went up without a key of the pool".to_owned());
            return 0;
        };
        self.record.calls.push(Call {
            request: request.and_then(|request| u32::try_from(request).ok()),
            key,
            model: google::counted_model(call.uri(), &self.models),
            tokens: call.body().as_ref().map_or(0, |body| load::tokens(body)),
            began: self.now,
            reached: None,
            ended: None,
            status: 0,
        });
        self.record.calls.len() - 1
    }

    fn cancel(&mut self, task: &mut Task, op: OpId) {
        if let Some(at) = task.running.iter().position(|running| running.op == op) {
            let running = task.running.swap_remove(at);
            self.record.calls[running.call].ended = Some(self.now);
        }
    }

    fn end(&mut self, number: usize, task: &Task, ended: Ended) {
        for running in &task.running {
            self.record.calls[running.call].ended = Some(self.now);
        }
        self.record.requests[number].end = Some(ended);
        self.live -= 1;
    }

    /// Does what is due in the pool.
    fn look_after_pool(&mut self) {
        if self.pool_at > self.now {
            return; // an earlier plan has replaced this one
        }
        self.pool_at = UnixMillis::MAX;
        for due in self.gateway.due(self.time()) {
            match due {
                DueNow::Probe(check) => self.probe(check),
                DueNow::Wake(ticket) => {
                    if let Some(number) = self.tickets.remove(&ticket) {
                        self.wake(number);
                    }
                }
            }
        }
    }

    /// Notes what has changed in the pool, and when it wants to be looked after.
    fn look_at_pool(&mut self) {
        for change in self.gateway.take_changes() {
            if let StateChange::SetAside { key, .. } = change
                && let Some(key) = self.keys.get(&key)
            {
                self.record.set_aside.push((self.now, *key));
            }
        }
        let deadline = self.gateway.next_deadline(self.time()).map_or(UnixMillis::MAX, Timestamp::as_millis);
        let wanted = deadline.clamp(self.now + 1, self.now + ROUND);
        if wanted < self.pool_at {
            self.pool_at = wanted;
            self.plan(wanted, Event::Pool);
        }
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Planned {}
