//! THE loop: does what an exchange says, and tells it what came of it.
//!
//! The same as the server's, over fetch and streams. No decision about keys, retries or protocols is made here. Dropping
//! the future is how a client's leaving cancels everything: the operations go with it, and leases return themselves.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use libra_core::exchange::{Exchange, Op, OpId, Operations, Outcome, Step};
use libra_core::time::Timestamp;

use crate::body::{AnswerBody, OpenBody, RelayBody};
use crate::clock::{self, Sleep};
use crate::log;
use crate::shell::Shell;
use crate::upstream::{ClientBody, Operation};

/// Drives an exchange to its answer, or to where the response has to begin. `body` is the client's, where it is
/// streamed.
pub(crate) async fn drive(
    exchange: Exchange,
    shell: &Rc<Shell>,
    body: Option<ClientBody>,
) -> Response<AnswerBody> {
    let operations = Operations::default();
    let mut drive = Drive { exchange: Watched(Some(exchange)), operations, shell: Rc::clone(shell), body };
    match drive.next().await {
        Turn::Open(head) => head.map(|()| AnswerBody::Open(OpenBody::new(drive))),
        Turn::Ping(bytes) => Response::new(AnswerBody::Whole(bytes)),
        Turn::Reply(reply) => reply.map(AnswerBody::Whole),
        Turn::Relay(head, relay) => head.map(|()| AnswerBody::Relay(relay)),
    }
}

/// An exchange that is being driven.
pub(crate) struct Drive {
    exchange: Watched,
    operations: Operations<Operation>,
    shell: Rc<Shell>,
    body: Option<ClientBody>,
}

/// What comes of driving, for the client.
pub(crate) enum Turn {
    /// The response begins, and the exchange goes on.
    Open(Response<()>),
    /// A sign of life in it.
    Ping(Bytes),
    /// All of the answer.
    Reply(Response<Bytes>),
    /// An answer that streams.
    Relay(Response<()>, Box<RelayBody>),
}

impl Drive {
    /// Does what the exchange says, until there is something for the client.
    pub(crate) async fn next(&mut self) -> Turn {
        let mut sleep = Sleep::default();
        let operations = &mut self.operations;
        loop {
            let Some(running) = &mut self.exchange.0 else { unreachable!("the loop ends with the exchange") };
            match running.poll(clock::now()) {
                Step::Start(op, Op::Upstream(request)) => {
                    operations.start(op, Operation::send(request, &mut self.body));
                }
                Step::Start(op, Op::Fetch(request)) => match self.shell.may_fetch(request.uri()) {
                    Ok(()) => {
                        let request: Request<Option<Bytes>> = request.map(|()| Some(Bytes::new()));
                        operations.start(op, Operation::send(request, &mut None));
                    }
                    Err(reason) => {
                        let outcome = Outcome::Failed { stale: false, message: reason.to_owned() };
                        running.handle(op, outcome, clock::now());
                    }
                },
                Step::Cancel(op) => operations.cancel(op),
                Step::WaitUntil(until) => {
                    let outcome = poll_fn(|context| poll_next(operations, &mut sleep, until, context));
                    if let Some((op, outcome)) = outcome.await {
                        running.handle(op, outcome, clock::now());
                    }
                }
                Step::Queued { ticket, until } => {
                    let wait = self.shell.wait(ticket);
                    // Nobody looks after the pool but the requests themselves.
                    while !wait.has_turn() && clock::now() < until {
                        let look = self.shell.next_look(clock::now()).min(until);
                        let outcome = poll_fn(|context| poll_next(operations, &mut sleep, look, context));
                        if let Some((op, outcome)) = outcome.await {
                            running.handle(op, outcome, clock::now());
                            break;
                        }
                        self.shell.look_after_pool(clock::now(), None);
                    }
                }
                Step::Open(head) => return Turn::Open(head),
                Step::Ping(bytes) => return Turn::Ping(bytes),
                Step::Reply(reply) => {
                    self.exchange.take();
                    return Turn::Reply(reply);
                }
                Step::Commit { op, .. } => {
                    let Some(exchange) = self.exchange.take() else { unreachable!("it was there above") };
                    let mut relay = exchange.commit(op);
                    let (head, first) = relay.begin(clock::now());
                    let upstream = std::mem::take(operations).take(op).filter(|answer| !answer.is_over());
                    return Turn::Relay(head, Box::new(RelayBody::new(relay, first, upstream)));
                }
            }
        }
    }
}

/// What comes next of the operations; none where nothing has come `until` then.
fn poll_next(
    operations: &mut Operations<Operation>,
    sleep: &mut Sleep,
    until: Timestamp,
    context: &mut Context<'_>,
) -> Poll<Option<(OpId, Outcome)>> {
    match operations.poll_next(context, Operation::poll_next) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => sleep.poll_until(until, context).map(|()| None),
    }
}

/// An exchange whose end is logged, also when the client leaves and the loop is dropped.
struct Watched(Option<Exchange>);

impl Watched {
    fn take(&mut self) -> Option<Exchange> {
        let mut exchange = self.0.take()?;
        log::record(exchange.take_events());
        Some(exchange)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(exchange) = &mut self.0 {
            exchange.abandon(clock::now());
            log::record(exchange.take_events());
        }
    }
}
