//! Bodies of answers on their way to the client.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{LocalBoxStream, StreamExt as _};
use libra_core::relay::{BodyEnd, Next, Piece, Relay};

use crate::clock::{self, Sleep};
use crate::drive::{Drive, Turn};
use crate::incoming::Broken;
use crate::log;
use crate::upstream::{ClientBody, Operation};

/// A body that goes out.
pub(crate) enum AnswerBody {
    /// All of it. Empty once it was sent.
    Whole(Bytes),
    /// A committed answer as it comes.
    Relay(Box<RelayBody>),
    /// A response that has begun before its answer.
    Open(OpenBody),
    /// Results as they come.
    Stream(LocalBoxStream<'static, Bytes>),
    /// The client's, on its way up.
    Client(ClientBody),
}

impl AnswerBody {
    /// What goes out next; never an empty piece.
    pub(crate) fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            let data = match self {
                Self::Whole(bytes) if bytes.is_empty() => None,
                Self::Whole(bytes) => Some(Ok(std::mem::take(bytes))),
                Self::Relay(relay) => ready!(relay.poll_data(context)),
                Self::Open(open) => ready!(open.poll_data(context)),
                Self::Stream(stream) => ready!(stream.poll_next_unpin(context)).map(Ok),
                Self::Client(client) => ready!(client.poll_data(context)),
            };
            if !matches!(&data, Some(Ok(bytes)) if bytes.is_empty()) {
                return Poll::Ready(data);
            }
        }
    }
}

/// A response that has begun while its exchange goes on: signs of life, and then the answer.
pub(crate) enum OpenBody {
    /// No answer is committed. The drive comes back with what it has brought.
    Driving(LocalBoxFuture<'static, (Drive, Turn)>),
    /// An answer is on its way.
    Relay(Box<RelayBody>),
    /// All is said.
    Over,
}

impl OpenBody {
    pub(crate) fn new(mut drive: Drive) -> Self {
        Self::Driving(Box::pin(async move {
            let turn = drive.next().await;
            (drive, turn)
        }))
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            let (drive, turn) = match self {
                Self::Driving(driving) => ready!(driving.as_mut().poll(context)),
                Self::Relay(relay) => return relay.poll_data(context),
                Self::Over => return Poll::Ready(None),
            };
            let said = match turn {
                Turn::Open(_) => Bytes::new(),
                Turn::Ping(bytes) => bytes,
                Turn::Reply(reply) => {
                    *self = Self::Over;
                    return Poll::Ready(Some(Ok(reply.into_body())));
                }
                Turn::Relay(_, relay) => {
                    *self = Self::Relay(relay);
                    continue;
                }
            };
            *self = Self::new(drive);
            if !said.is_empty() {
                return Poll::Ready(Some(Ok(said)));
            }
        }
    }
}

/// A committed answer: what the upstream sends goes through the relay.
pub(crate) struct RelayBody {
    relay: Relay,
    /// What goes first, as it was held back.
    first: Option<Piece>,
    /// None where the upstream's body has ended.
    upstream: Option<Operation>,
    silence: Sleep,
    next: Next,
}

impl RelayBody {
    pub(crate) fn new(relay: Relay, first: Piece, upstream: Option<Operation>) -> Self {
        Self { relay, first: Some(first), upstream, silence: Sleep::default(), next: Next::More }
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        while self.next == Next::More {
            let piece = match self.first.take() {
                Some(piece) => piece,
                None => ready!(self.poll_upstream(context)),
            };
            self.next = piece.next;
            if self.next != Next::More {
                log::record(self.relay.take_events());
                self.upstream = None;
            }
            if !piece.bytes.is_empty() {
                return Poll::Ready(Some(Ok(piece.bytes)));
            }
        }
        match self.next {
            Next::Reset => {
                self.next = Next::End;
                Poll::Ready(Some(Err(Broken)))
            }
            Next::End | Next::More => Poll::Ready(None),
        }
    }

    fn poll_upstream(&mut self, context: &mut Context<'_>) -> Poll<Piece> {
        let Some(upstream) = &mut self.upstream else {
            return Poll::Ready(self.relay.finish(&BodyEnd::Complete, clock::now()));
        };
        if let Poll::Ready(outcome) = upstream.poll_next(context) {
            return Poll::Ready(self.relay.handle(outcome, clock::now()));
        }
        ready!(self.silence.poll_until(self.relay.idle_deadline(), context));
        Poll::Ready(self.relay.finish(&BodyEnd::Idle, clock::now()))
    }
}

impl Drop for RelayBody {
    fn drop(&mut self) {
        if self.next == Next::More {
            self.relay.abandon(clock::now());
            log::record(self.relay.take_events());
        }
    }
}
