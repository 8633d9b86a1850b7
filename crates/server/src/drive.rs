//! THE loop: does what an exchange says, and tells it what came of it.
//!
//! No decision about keys, retries or protocols is made here. Dropping the future is how a client's leaving
//! cancels everything: the operations go with it, and leases return themselves.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body as _;
use hyper::body::Incoming;
use libra_core::exchange::{Exchange, Op, OpId, Operations, Outcome, Step};

use crate::body::{AnswerBody, OpenBody, RelayBody};
use crate::clock;
use crate::fetch::{Fetch, Fetcher};
use crate::metrics::{METRICS, Underway};
use crate::telemetry;
use crate::upstream::{Answer, ClientBody, SendError, Upstream};
use crate::waiting::Waiting;

/// Drives an exchange to its answer, or to where the response has to begin. `body` is the client's, where it is
/// streamed.
pub(crate) async fn drive(
    exchange: Exchange,
    upstream: &Arc<Upstream>,
    fetcher: &Arc<Fetcher>,
    waiting: &Arc<Waiting>,
    body: Option<ClientBody>,
) -> Response<AnswerBody> {
    let mut drive = Drive {
        exchange: Watched { exchange: Some(exchange), _underway: METRICS.request_begins() },
        operations: Operations::default(),
        upstream: Arc::clone(upstream),
        fetcher: Arc::clone(fetcher),
        waiting: Arc::clone(waiting),
        body,
    };
    match drive.next().await {
        Turn::Open(head) => head.map(|()| AnswerBody::Open(OpenBody::new(drive))),
        Turn::Ping(bytes) => Response::new(AnswerBody::whole(bytes)),
        Turn::Reply(reply) => reply.map(AnswerBody::whole),
        Turn::Relay(head, relay) => head.map(|()| AnswerBody::Relay(relay)),
    }
}

/// An exchange that is being driven.
pub(crate) struct Drive {
    exchange: Watched,
    operations: Operations<Operation>,
    upstream: Arc<Upstream>,
    fetcher: Arc<Fetcher>,
    waiting: Arc<Waiting>,
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
        let mut sleep = pin!(clock::Sleep::default());
        let operations = &mut self.operations;
        loop {
            let Some(running) = &mut self.exchange.exchange else {
                unreachable!("the loop ends with the exchange")
            };
            match running.poll(clock::now()) {
                Step::Start(op, Op::Upstream(request)) => {
                    let answer = self.upstream.send(request, &mut self.body);
                    operations.start(op, Operation::Sent(answer));
                }
                Step::Start(op, Op::Fetch(request)) => {
                    let fetch = self.fetcher.send(request);
                    operations.start(op, Operation::Fetching(fetch));
                }
                Step::Cancel(op) => operations.cancel(op),
                Step::WaitUntil(until) => {
                    sleep.as_mut().set_deadline(until);
                    let outcome = poll_fn(|context| poll_next(operations, sleep.as_mut(), context));
                    if let Some((op, outcome)) = outcome.await {
                        running.handle(op, outcome, clock::now());
                    }
                }
                Step::Queued { ticket, until } => {
                    let wait = self.waiting.begin(ticket);
                    sleep.as_mut().set_deadline(until);
                    let outcome = poll_fn(|context| match wait.poll_turn(context) {
                        Poll::Ready(()) => Poll::Ready(None),
                        Poll::Pending => poll_next(operations, sleep.as_mut(), context),
                    });
                    if let Some((op, outcome)) = outcome.await {
                        running.handle(op, outcome, clock::now());
                    }
                }
                Step::Open(head) => return Turn::Open(head),
                Step::Ping(bytes) => return Turn::Ping(bytes),
                Step::Reply(reply) => {
                    let exchange = self.exchange.take();
                    if exchange.is_some_and(|exchange| exchange.makes()) && reply.status().is_success() {
                        telemetry::flushed().await;
                    }
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

/// What comes next of the operations; none where nothing has come before `sleep` ends.
fn poll_next(
    operations: &mut Operations<Operation>,
    sleep: Pin<&mut clock::Sleep>,
    context: &mut Context<'_>,
) -> Poll<Option<(OpId, Outcome)>> {
    match operations.poll_next(context, Operation::poll_next) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => sleep.poll_elapsed(context).map(|()| None),
    }
}

/// An exchange whose end is logged, also when the client leaves and the loop is dropped.
struct Watched {
    exchange: Option<Exchange>,
    _underway: Underway,
}

impl Watched {
    fn take(&mut self) -> Option<Exchange> {
        let mut exchange = self.exchange.take()?;
        telemetry::record(exchange.take_events());
        Some(exchange)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.abandon(clock::now());
            telemetry::record(exchange.take_events());
        }
    }
}

/// A request under way, or its answer.
pub(crate) enum Operation {
    /// The head of the answer has not come.
    Sent(Answer),
    /// The same, of a server of the web.
    Fetching(Fetch),
    /// Its body is coming.
    Answering(Incoming),
    /// It has ended.
    Over,
}

impl Operation {
    /// What comes next of it. After the end, nothing does.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        let (next, outcome) = match self {
            Self::Sent(answer) => match ready!(answer.poll_head(context)) {
                Ok(answer) => {
                    let (head, body) = answer.into_parts();
                    (Self::Answering(body), Outcome::Head(head.status, head.headers))
                }
                Err(SendError::BodyTooLarge) => (Self::Over, Outcome::TooLarge),
                Err(SendError::Network { stale, message }) => {
                    (Self::Over, Outcome::Failed { stale, message })
                }
            },
            Self::Fetching(fetch) => match ready!(fetch.poll_head(context)) {
                Ok(answer) => {
                    let (head, body) = answer.into_parts();
                    (Self::Answering(body), Outcome::Head(head.status, head.headers))
                }
                Err(message) => (Self::Over, Outcome::Failed { stale: false, message }),
            },
            Self::Answering(body) => match ready!(poll_data(body, context)) {
                Some(Ok(chunk)) => return Poll::Ready(Outcome::Chunk(chunk)),
                Some(Err(error)) => {
                    let message = error.to_string();
                    (Self::Over, Outcome::Failed { stale: false, message })
                }
                None => (Self::Over, Outcome::End),
            },
            Self::Over => return Poll::Pending,
        };
        *self = next;
        Poll::Ready(outcome)
    }

    /// Whether all of it has come.
    fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }
}

/// The next data of a body; trailers are nobody's business here.
pub(crate) fn poll_data(
    body: &mut Incoming,
    context: &mut Context<'_>,
) -> Poll<Option<hyper::Result<Bytes>>> {
    loop {
        match ready!(Pin::new(&mut *body).poll_frame(context)) {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Poll::Ready(Some(Ok(data)));
                }
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        }
    }
}
