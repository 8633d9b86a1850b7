//! Bodies of answers on their way to the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _};
use http_body::{Body, Frame, SizeHint};
use libra_core::relay::{BodyEnd, Next, Piece, Relay};

use crate::clock;
use crate::drive::{Drive, Operation, Turn};
use crate::metrics::{METRICS, Underway};
use crate::telemetry::{self, bodies::Said};

/// The body of an answer.
pub(crate) enum AnswerBody {
    /// All of it. Empty once it was sent.
    Whole(Bytes),
    /// A committed answer as it comes.
    Relay(Box<RelayBody>),
    /// A response that has begun before its answer.
    Open(OpenBody),
    /// Results as they come.
    Stream(BoxStream<'static, Bytes>),
}

impl AnswerBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Relay(relay) => relay.poll_data(context).map(|data| data.map(|data| data.map(Frame::data))),
            Self::Open(open) => open.poll_data(context).map(|data| data.map(|data| data.map(Frame::data))),
            Self::Stream(stream) => {
                stream.poll_next_unpin(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Relay(_) | Self::Open(_) | Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// A response that has begun while its exchange goes on: signs of life, and then the answer.
pub(crate) enum OpenBody {
    /// No answer is committed. The drive comes back with what it has brought.
    Driving(BoxFuture<'static, (Drive, Turn)>),
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

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
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
    silence: Pin<Box<clock::Sleep>>,
    next: Next,
    gathered: Gathered,
    /// How often in vain was asked for another piece since the last one.
    in_vain: u8,
    _underway: Underway,
    /// For the log, where bodies are in it.
    said: Option<Said>,
}

/// Pieces that go out in one write.
#[derive(Default)]
struct Gathered {
    first: Bytes,
    more: BytesMut,
}

/// So often is asked in vain before what there is goes out. The upstream's connection is another task and needs a turn
/// to bring more; hyper asks a body twice in a turn.
const ASKED: u8 = 2;

/// So many bytes go out in one write at most.
const GATHERED: usize = 8 << 10;

impl Gathered {
    fn add(&mut self, bytes: Bytes) {
        if self.first.is_empty() {
            self.first = bytes;
            return;
        }
        if self.more.is_empty() {
            self.more.reserve(GATHERED.max(self.first.len() + bytes.len()));
            self.more.extend_from_slice(&self.first);
        }
        self.more.extend_from_slice(&bytes);
    }

    fn len(&self) -> usize {
        self.first.len().max(self.more.len())
    }

    fn take(&mut self) -> Bytes {
        let first = std::mem::take(&mut self.first);
        if self.more.is_empty() { first } else { self.more.split().freeze() }
    }
}

impl RelayBody {
    pub(crate) fn new(relay: Relay, first: Piece, upstream: Option<Operation>) -> Self {
        let silence = Box::pin(clock::Sleep::default());
        let first = (!first.bytes.is_empty() || first.next != Next::More).then_some(first);
        Self {
            relay,
            first,
            upstream,
            silence,
            next: Next::More,
            gathered: Gathered::default(),
            in_vain: 0,
            _underway: METRICS.stream_begins(),
            said: None,
        }
    }

    /// From now on, what goes to the client is told.
    pub(crate) fn watch(&mut self, said: Said) {
        self.said = Some(said);
    }

    /// What goes out next. Pieces that have come together go out together, as every write costs a system call:
    /// a piece is held for one turn of the upstream's connection, and if that brings another, for the next.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        while self.next == Next::More && self.gathered.len() < GATHERED {
            let piece = match self.first.take() {
                Some(piece) => piece,
                None => match self.poll_upstream(context) {
                    Poll::Ready(piece) => piece,
                    Poll::Pending if self.gathered.len() == 0 => return Poll::Pending,
                    Poll::Pending if self.in_vain < ASKED => {
                        self.in_vain += 1;
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Pending => break,
                },
            };
            self.in_vain = 0;
            self.next = piece.next;
            if self.next != Next::More {
                telemetry::record(self.relay.take_events());
                self.upstream = None;
            }
            if let Some(said) = &mut self.said {
                said.hear(&piece.bytes);
            }
            self.gathered.add(piece.bytes);
        }
        self.in_vain = 0;
        if self.gathered.len() > 0 {
            return Poll::Ready(Some(Ok(self.gathered.take())));
        }
        match self.next {
            Next::Reset => {
                self.next = Next::End;
                Poll::Ready(Some(Err(io::Error::other("the answer was cut"))))
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
        // The timer is not set anew with every chunk: it looks, when it goes off, when the last one came.
        loop {
            let deadline = self.relay.idle_deadline();
            if deadline <= clock::now() {
                return Poll::Ready(self.relay.finish(&BodyEnd::Idle, clock::now()));
            }
            self.silence.as_mut().set_deadline_once(deadline);
            ready!(self.silence.as_mut().poll_elapsed(context));
        }
    }
}

impl Drop for RelayBody {
    fn drop(&mut self) {
        if self.next == Next::More {
            self.relay.abandon(clock::now());
            telemetry::record(self.relay.take_events());
        }
    }
}
