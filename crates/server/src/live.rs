//! Sessions of the Live API: moves messages between a client's WebSocket and Google's, as core says.
//!
//! hyper does the handshakes on both sides, so that proxies, TLS and error bodies are those of every other request;
//! tungstenite does the frames and answers pings. Each session is a task, and each direction waits for itself alone.

mod counted;

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{Request, Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use libra_core::failure::BODY_LIMIT;
use libra_core::gateway::Gateway;
use libra_core::live::{
    Close, Ended, Fault, Frame, Input, MAX_FROM_CLIENT, MAX_FROM_UPSTREAM, Outgoing, Session, Step,
};
use libra_core::memory::Held;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes, error::ProtocolError};

use self::counted::Counted;
use crate::body::AnswerBody;
use crate::clock;
use crate::drive::poll_data;
use crate::telemetry;
use crate::upstream::{SendError, Upstream};

/// The body of a refusal comes with its head, or soon.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// What a connection reads at once: most messages are shorter, and there may be a thousand sessions.
const READ_BUFFER: usize = 16 << 10;

type Socket = WebSocketStream<Counted<TokioIo<Upgraded>>>;

/// The answer to a client's upgrade. The session goes on by itself.
pub(crate) fn answer(
    session: Session,
    client: OnUpgrade,
    asked: &HeaderMap,
    gateway: &Arc<Gateway>,
    upstream: &Arc<Upstream>,
    stopping: watch::Receiver<bool>,
) -> Response<AnswerBody> {
    let mut head = session.head();
    put_upgrade(head.headers_mut());
    // Core has seen that it is there.
    let key = asked.get(SEC_WEBSOCKET_KEY).map_or(&b""[..], HeaderValue::as_bytes);
    if let Ok(accept) = HeaderValue::try_from(derive_accept_key(key)) {
        head.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let relay = Relay { session: Watched(session), client: None, upstream: Upward::None };
    tokio::spawn(relay.run(client, Arc::clone(gateway), Arc::clone(upstream), stopping));
    head.map(|()| AnswerBody::whole(Bytes::new()))
}

fn put_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// A session whose end is logged, also where its task is dropped.
struct Watched(Session);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.abandon(clock::now());
        telemetry::record(self.0.take_events());
    }
}

/// A session with its connections.
struct Relay {
    session: Watched,
    client: Option<End>,
    upstream: Upward,
}

/// The way to Google.
enum Upward {
    None,
    Dialling(BoxFuture<'static, Dialled>),
    Open(Box<End>),
}

/// What came of asking Google for a WebSocket.
enum Dialled {
    Open(HeaderMap, Box<Socket>),
    Refused(StatusCode, HeaderMap, Bytes),
    Failed { stale: bool, message: String },
}

impl Relay {
    async fn run(
        mut self,
        client: OnUpgrade,
        gateway: Arc<Gateway>,
        upstream: Arc<Upstream>,
        mut stopping: watch::Receiver<bool>,
    ) {
        let Ok(client) = client.await else { return };
        self.client = Some(End::new(socket(client, Role::Server, MAX_FROM_CLIENT, gateway.share()).await));
        let mut sleep = pin!(clock::Sleep::default());
        let mut stop = pin!(async move {
            // An error is the end of whoever would say so.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        });
        let mut is_stopped = false;
        loop {
            telemetry::record(self.session.0.take_events());
            match self.session.0.poll(clock::now()) {
                Step::Connect(request) => {
                    let dialling = Box::pin(dial(Arc::clone(&upstream), *request, gateway.share()));
                    self.upstream = Upward::Dialling(dialling);
                }
                Step::Disconnect => self.upstream = Upward::None,
                Step::End => break,
                Step::Wait(until) => {
                    sleep.as_mut().set_deadline(until);
                    let input = poll_fn(|context| {
                        if !is_stopped && stop.as_mut().poll(context).is_ready() {
                            is_stopped = true;
                            return Poll::Ready(Some(Input::Stop));
                        }
                        if let Poll::Ready(input) = self.poll_input(context) {
                            return Poll::Ready(Some(input));
                        }
                        sleep.as_mut().poll_elapsed(context).map(|()| None)
                    });
                    if let Some(input) = input.await {
                        self.session.0.handle(input, clock::now());
                    }
                }
            }
        }
    }

    /// Sends what goes out, and reads what may be read, until something has happened.
    ///
    /// Sending comes first: it is what makes room for reading.
    fn poll_input(&mut self, context: &mut Context<'_>) -> Poll<Input> {
        let (session, now) = (&mut self.session.0, clock::now());
        if let Some(client) = &mut self.client
            && client.poll_send(context, || session.to_client(now)).is_ready()
        {
            return Poll::Ready(Input::ClientEnded(Ended::Lost));
        }
        if let Upward::Open(upstream) = &mut self.upstream
            && upstream.poll_send(context, || session.to_upstream(now)).is_ready()
        {
            return Poll::Ready(Input::UpstreamEnded(Ended::Lost));
        }
        if let Some(client) = &mut self.client
            && session.reads_client()
            && let Poll::Ready(got) = client.poll_read(context)
        {
            return Poll::Ready(match got {
                Got::Frame(frame) => Input::FromClient(frame),
                Got::Ended(ended) => Input::ClientEnded(ended),
                Got::Fault(fault) => Input::ClientFault(fault),
            });
        }
        match &mut self.upstream {
            Upward::None => Poll::Pending,
            Upward::Dialling(dialling) => {
                let Poll::Ready(dialled) = dialling.as_mut().poll(context) else { return Poll::Pending };
                self.upstream = Upward::None;
                Poll::Ready(match dialled {
                    Dialled::Open(headers, socket) => {
                        self.upstream = Upward::Open(Box::new(End::new(*socket)));
                        Input::Connected(headers)
                    }
                    Dialled::Refused(status, headers, body) => Input::Refused(status, headers, body),
                    Dialled::Failed { stale, message } => Input::Failed { stale, message },
                })
            }
            Upward::Open(upstream) => {
                if !session.reads_upstream() {
                    return Poll::Pending;
                }
                upstream.poll_read(context).map(|got| match got {
                    Got::Frame(frame) => Input::FromUpstream(frame),
                    Got::Ended(ended) => Input::UpstreamEnded(ended),
                    Got::Fault(_) => Input::UpstreamEnded(Ended::Lost),
                })
            }
        }
    }
}

/// One end: a WebSocket, and how far it is.
struct End {
    socket: Socket,
    /// Whether all that was given to it has left.
    is_flushed: bool,
    reading: Reading,
    /// Whether it was told that the connection is gone.
    is_lost: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Messages,
    /// Bytes that nobody wants, so that the other side gets as far as reading its close.
    Leftovers,
    Nothing,
}

/// What an end has brought.
enum Got {
    Frame(Frame),
    Ended(Ended),
    Fault(Fault),
}

impl End {
    fn new(socket: Socket) -> Self {
        Self { socket, is_flushed: true, reading: Reading::Messages, is_lost: false }
    }

    /// Sends one message after the other, each once the one before has left. Ready, once: the connection is gone.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        mut next: impl FnMut() -> Option<Outgoing>,
    ) -> Poll<()> {
        while !self.is_lost {
            if !self.is_flushed {
                match self.socket.poll_flush_unpin(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => self.is_flushed = true,
                    Poll::Ready(Err(_)) => return self.lost(),
                }
            }
            let Some(outgoing) = next() else { return Poll::Pending };
            let sent = message(outgoing).map(|message| match self.socket.poll_ready_unpin(context) {
                Poll::Ready(Ok(())) => self.socket.start_send_unpin(message),
                // What was flushed is ready.
                Poll::Ready(Err(error)) => Err(error),
                Poll::Pending => Err(Error::Io(io::ErrorKind::WouldBlock.into())),
            });
            match sent {
                Some(Ok(())) => self.is_flushed = false,
                Some(Err(_)) => return self.lost(),
                None => {}
            }
        }
        Poll::Pending
    }

    /// After the end of its reading, the end itself was told already.
    fn lost(&mut self) -> Poll<()> {
        self.is_lost = true;
        let was_told = self.reading == Reading::Nothing;
        self.reading = Reading::Nothing;
        if was_told { Poll::Pending } else { Poll::Ready(()) }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Got> {
        loop {
            match self.reading {
                Reading::Messages => {}
                Reading::Leftovers => return self.poll_leftovers(context),
                Reading::Nothing => return Poll::Pending,
            }
            let next = self.socket.poll_next_unpin(context);
            if matches!(next, Poll::Ready(Some(Ok(_)))) {
                self.socket.get_mut().taken();
            }
            let got = match next {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(Message::Text(text)))) => {
                    Got::Frame(Frame { payload: text.into(), is_text: true })
                }
                Poll::Ready(Some(Ok(Message::Binary(payload)))) => {
                    Got::Frame(Frame { payload, is_text: false })
                }
                Poll::Ready(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {
                    // A pong may be owed.
                    self.is_flushed = false;
                    continue;
                }
                Poll::Ready(Some(Ok(Message::Close(close)))) => {
                    // So is a close.
                    self.is_flushed = false;
                    self.reading = Reading::Nothing;
                    let close = close.map(|close| Close {
                        code: close.code.into(),
                        reason: close.reason.as_str().to_owned(),
                    });
                    Got::Ended(Ended::Said(close))
                }
                Poll::Ready(Some(Err(error))) => match fault(&error) {
                    Some(fault) => {
                        self.reading = Reading::Leftovers;
                        Got::Fault(fault)
                    }
                    None => {
                        self.reading = Reading::Nothing;
                        Got::Ended(Ended::Lost)
                    }
                },
                Poll::Ready(None) => {
                    self.reading = Reading::Nothing;
                    Got::Ended(Ended::Lost)
                }
            };
            return Poll::Ready(got);
        }
    }

    fn poll_leftovers(&mut self, context: &mut Context<'_>) -> Poll<Got> {
        let mut buffer = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut buffer);
            match Pin::new(self.socket.get_mut()).poll_read(context, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => {
                    self.reading = Reading::Nothing;
                    return Poll::Ready(Got::Ended(Ended::Lost));
                }
            }
        }
    }
}

/// What the other side has done wrong; none: nothing, it is only gone.
fn fault(error: &Error) -> Option<Fault> {
    match error {
        Error::Capacity(_) => Some(Fault::TooLarge),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) | Error::Utf8(_) => Some(Fault::Malformed),
        _ => None,
    }
}

fn message(outgoing: Outgoing) -> Option<Message> {
    Some(match outgoing {
        // A text came as one, and nothing of it but a name in JSON has changed.
        Outgoing::Frame(Frame { payload, is_text: true }) => {
            Message::Text(Utf8Bytes::try_from(payload).ok()?)
        }
        Outgoing::Frame(Frame { payload, is_text: false }) => Message::Binary(payload),
        Outgoing::Ping => Message::Ping(Bytes::new()),
        Outgoing::Close(close) => Message::Close(
            close.map(|close| CloseFrame { code: close.code.into(), reason: close.reason.into() }),
        ),
    })
}

async fn socket(upgraded: Upgraded, role: Role, most: usize, held: Held) -> Socket {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(most))
        .max_frame_size(Some(most));
    WebSocketStream::from_raw_socket(Counted::new(TokioIo::new(upgraded), held), role, Some(config)).await
}

/// Asks Google for a WebSocket.
async fn dial(upstream: Arc<Upstream>, request: Request<()>, held: Held) -> Dialled {
    let key = generate_key();
    let mut request = request.map(|()| Some(Bytes::new()));
    put_upgrade(request.headers_mut());
    request.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    if let Ok(key) = HeaderValue::try_from(key.as_str()) {
        request.headers_mut().insert(SEC_WEBSOCKET_KEY, key);
    }
    let mut answer = upstream.send(request, &mut None);
    let mut response = match poll_fn(|context| answer.poll_head(context)).await {
        Ok(response) => response,
        Err(SendError::Network { stale, message }) => return Dialled::Failed { stale, message },
        Err(SendError::BodyTooLarge) => unreachable!("there is no body"),
    };
    let (status, headers) = (response.status(), response.headers().clone());
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let mut body = BytesMut::new();
        let read = async {
            while body.len() < BODY_LIMIT
                && let Some(Ok(chunk)) = poll_fn(|context| poll_data(response.body_mut(), context)).await
            {
                body.extend_from_slice(&chunk[..chunk.len().min(BODY_LIMIT - body.len())]);
            }
        };
        let _ = tokio::time::timeout(BODY_WITHIN, read).await;
        return Dialled::Refused(status, headers, body.freeze());
    }
    let expected = derive_accept_key(key.as_bytes());
    if headers.get(SEC_WEBSOCKET_ACCEPT).is_none_or(|accept| accept.as_bytes() != expected.as_bytes()) {
        let message = "the upstream's answer to a WebSocket's handshake is wrong".to_owned();
        return Dialled::Failed { stale: false, message };
    }
    match hyper::upgrade::on(response).await {
        Ok(upgraded) => {
            Dialled::Open(headers, Box::new(socket(upgraded, Role::Client, MAX_FROM_UPSTREAM, held).await))
        }
        Err(error) => {
            let message = format!("the connection to the upstream failed: {error}");
            Dialled::Failed { stale: false, message }
        }
    }
}
