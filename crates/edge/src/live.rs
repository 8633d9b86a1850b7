//! Sessions of the Live API: moves messages between a client's WebSocket and Google's, as core says.
//!
//! The platforms' WebSockets cannot be told to stop reading: what comes while a session does not want it waits here, within
//! a bound, and beyond it the session ends. They answer pings by themselves and send none.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use js_sys::{ArrayBuffer, Reflect, Uint8Array};
use libra_core::failure::BODY_LIMIT;
use libra_core::live::{Close, Ended, Fault, Frame, Input, MAX_FROM_CLIENT, Outgoing, Session, Step};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Headers, Response};

use crate::answer::Farewell;
use crate::clock::{self, Sleep};
use crate::head;
use crate::incoming::Incoming;
use crate::log;

/// So much of what a side sends waits until the session takes it, and so much one message may have: an isolate has 128 MB,
/// and Cloudflare takes no larger ones.
const WAITING: usize = 32 << 20;

/// While the platform still holds so much of what a side is sent, nothing more is given to it; it is looked again so soon.
const UNSENT: f64 = (1 << 20) as f64;
const LOOK: Duration = Duration::from_millis(20);

/// Codes below are the protocol's own, which some platforms send only one of.
const OWN_CODES: u16 = 4000;

#[wasm_bindgen]
extern "C" {
    /// How a platform makes WebSockets (`entries/*`).
    #[derive(Clone)]
    pub type Sockets;

    /// `{ socket, response }`: the client's end, and what its upgrade is answered with.
    #[wasm_bindgen(method, catch)]
    fn accept(this: &Sockets, request: &web_sys::Request, headers: &Headers) -> Result<Made, JsValue>;

    /// Brings `{ socket }`, open; or `{ response }`, or its `{ status }`, where the other side has refused.
    #[wasm_bindgen(method, catch)]
    fn dial(this: &Sockets, address: &str, headers: &Headers) -> Result<js_sys::Promise, JsValue>;

    type Made;

    #[wasm_bindgen(method, getter)]
    fn socket(this: &Made) -> Option<Socket>;

    #[wasm_bindgen(method, getter)]
    fn response(this: &Made) -> Option<Response>;

    #[wasm_bindgen(method, getter)]
    fn status(this: &Made) -> Option<u16>;

    /// A platform's WebSocket.
    type Socket;

    #[wasm_bindgen(method, setter, js_name = binaryType)]
    fn set_binary_type(this: &Socket, kind: &str);

    #[wasm_bindgen(method, getter, js_name = bufferedAmount)]
    fn buffered(this: &Socket) -> Option<f64>;

    #[wasm_bindgen(method, catch, js_name = send)]
    fn send_text(this: &Socket, text: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = send)]
    fn send_bytes(this: &Socket, bytes: &Uint8Array) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = close)]
    fn close_plainly(this: &Socket) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = close)]
    fn close_with(this: &Socket, code: u16, reason: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = addEventListener)]
    fn listen(this: &Socket, to: &str, listener: &JsValue) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = removeEventListener)]
    fn ignore(this: &Socket, to: &str, listener: &JsValue) -> Result<(), JsValue>;
}

/// The answer to a client's upgrade. The session goes on by itself.
///
/// # Errors
/// The platform does not take the upgrade.
pub(crate) fn answer(
    session: Session,
    request: &web_sys::Request,
    sockets: Sockets,
    farewell: Farewell,
) -> Result<JsValue, JsValue> {
    let session = Watched(session);
    let head = session.0.head();
    let made = sockets.accept(request, &head::to_js(head.headers())?)?;
    let (Some(socket), Some(response)) = (made.socket(), made.response()) else {
        return Err(js_sys::Error::new("the platform has made no WebSocket").into());
    };
    let client = End::new(socket, MAX_FROM_CLIENT);
    let relay = Relay { session, client: Some(client), upstream: Upward::None, sockets };
    spawn_local(async move {
        relay.run().await;
        drop(farewell);
    });
    Ok(response.into())
}

/// A session whose end is logged, also where it is dropped.
struct Watched(Session);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.abandon(clock::now());
        log::record(self.0.take_events());
    }
}

/// A session with its connections.
struct Relay {
    session: Watched,
    client: Option<End>,
    upstream: Upward,
    sockets: Sockets,
}

/// The way to Google.
enum Upward {
    None,
    Dialling(Rc<Dialling>),
    Open(End),
}

/// What came of asking Google for a WebSocket.
enum Dialled {
    Open(Socket),
    Refused(StatusCode, HeaderMap, Bytes),
    Failed,
}

impl Relay {
    async fn run(mut self) {
        let mut sleep = Sleep::default();
        let mut look = Sleep::default();
        loop {
            log::record(self.session.0.take_events());
            match self.session.0.poll(clock::now()) {
                Step::Connect(request) => {
                    self.upstream = Upward::Dialling(Dialling::begin(&self.sockets, &request));
                }
                Step::Disconnect => self.upstream = Upward::None,
                Step::End => break,
                Step::Wait(until) => {
                    let input = poll_fn(|context| {
                        if let Poll::Ready(input) = self.poll_input(&mut look, context) {
                            return Poll::Ready(Some(input));
                        }
                        sleep.poll_until(until, context).map(|()| None)
                    });
                    if let Some(input) = input.await {
                        self.session.0.handle(input, clock::now());
                    }
                }
            }
        }
    }

    /// Sends what goes out, and takes what may be taken, until something has happened.
    fn poll_input(&mut self, look: &mut Sleep, context: &mut Context<'_>) -> Poll<Input> {
        loop {
            let (session, now) = (&mut self.session.0, clock::now());
            let mut is_full = false;
            if let Some(client) = &mut self.client {
                match client.send(|| session.to_client(now)) {
                    Sent::All => {}
                    Sent::Full => is_full = true,
                    Sent::Lost => return Poll::Ready(Input::ClientEnded(Ended::Lost)),
                }
            }
            if let Upward::Open(upstream) = &mut self.upstream {
                match upstream.send(|| session.to_upstream(now)) {
                    Sent::All => {}
                    Sent::Full => is_full = true,
                    Sent::Lost => return Poll::Ready(Input::UpstreamEnded(Ended::Lost)),
                }
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
                Upward::None => {}
                Upward::Dialling(dialling) => {
                    if let Poll::Ready(dialled) = dialling.poll_dialled(context) {
                        self.upstream = Upward::None;
                        return Poll::Ready(match dialled {
                            Dialled::Open(socket) => {
                                self.upstream = Upward::Open(End::new(socket, WAITING));
                                Input::Connected(HeaderMap::new())
                            }
                            Dialled::Refused(status, headers, body) => Input::Refused(status, headers, body),
                            Dialled::Failed => {
                                let message = "the connection to the upstream failed".to_owned();
                                Input::Failed { stale: false, message }
                            }
                        });
                    }
                }
                Upward::Open(upstream) => {
                    if session.reads_upstream()
                        && let Poll::Ready(got) = upstream.poll_read(context)
                    {
                        return Poll::Ready(match got {
                            Got::Frame(frame) => Input::FromUpstream(frame),
                            Got::Ended(ended) => Input::UpstreamEnded(ended),
                            Got::Fault(_) => Input::UpstreamEnded(Ended::Lost),
                        });
                    }
                }
            }
            if !is_full {
                return Poll::Pending;
            }
            // Nothing tells when a platform has sent what it holds.
            ready!(look.poll_until(now + LOOK, context));
        }
    }
}

/// An attempt to reach Google. One that nobody waits for any more closes what it opens.
#[derive(Default)]
struct Dialling {
    dialled: RefCell<Option<Dialled>>,
    waker: RefCell<Option<Waker>>,
}

impl Dialling {
    fn begin(sockets: &Sockets, request: &Request<()>) -> Rc<Self> {
        let dialling = Rc::new(Self::default());
        let begun = head::to_js(request.headers())
            .and_then(|headers| sockets.dial(&request.uri().to_string(), &headers));
        let waited_for = Rc::downgrade(&dialling);
        spawn_local(async move {
            let dialled = match begun {
                Ok(promise) => dialled(JsFuture::from(promise).await).await,
                Err(_) => Dialled::Failed,
            };
            match (waited_for.upgrade(), dialled) {
                (Some(dialling), dialled) => {
                    *dialling.dialled.borrow_mut() = Some(dialled);
                    let waker = dialling.waker.borrow_mut().take();
                    waker.into_iter().for_each(Waker::wake);
                }
                (None, Dialled::Open(socket)) => {
                    let _ = socket.close_plainly();
                }
                (None, _) => {}
            }
        });
        dialling
    }

    fn poll_dialled(&self, context: &Context<'_>) -> Poll<Dialled> {
        match self.dialled.borrow_mut().take() {
            Some(dialled) => Poll::Ready(dialled),
            None => {
                *self.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

async fn dialled(said: Result<JsValue, JsValue>) -> Dialled {
    let Ok(made) = said.map(|said| said.unchecked_into::<Made>()) else { return Dialled::Failed };
    if let Some(socket) = made.socket() {
        return Dialled::Open(socket);
    }
    if let Some(response) = made.response() {
        let (status, headers) = head::of_answer(&response);
        let mut incoming = Incoming::new(response.body());
        let mut body = BytesMut::new();
        while body.len() < BODY_LIMIT
            && let Some(Ok(chunk)) = poll_fn(|context| incoming.poll_data(context)).await
        {
            body.extend_from_slice(&chunk[..chunk.len().min(BODY_LIMIT - body.len())]);
        }
        incoming.cancel();
        return Dialled::Refused(status, headers, body.freeze());
    }
    match made.status().and_then(|status| StatusCode::from_u16(status).ok()) {
        Some(status) => Dialled::Refused(status, HeaderMap::new(), Bytes::new()),
        None => Dialled::Failed,
    }
}

/// One end: a WebSocket, and what it has brought. Dropping it closes it.
struct End {
    socket: Socket,
    inbox: Rc<Inbox>,
    /// What listens, for as long as it may be called.
    listeners: [(&'static str, Listener); 3],
    /// Whether nothing more can be sent.
    is_closed: bool,
}

/// What a platform calls with an event.
type Listener = Closure<dyn FnMut(JsValue)>;

/// What an end has brought and the session has not taken.
#[derive(Default)]
struct Inbox {
    got: RefCell<VecDeque<Got>>,
    bytes: Cell<usize>,
    waker: RefCell<Option<Waker>>,
    /// Nothing more is taken: it has ended.
    is_over: Cell<bool>,
}

/// What an end has brought.
enum Got {
    Frame(Frame),
    Ended(Ended),
    Fault(Fault),
}

enum Sent {
    /// What there was.
    All,
    /// So much that the platform has yet to send it.
    Full,
    /// The connection is gone.
    Lost,
}

impl End {
    fn new(socket: Socket, most: usize) -> Self {
        socket.set_binary_type("arraybuffer");
        let inbox = Rc::new(Inbox::default());
        let [on_message, on_close, on_error] = [(); 3].map(|()| Rc::clone(&inbox));
        let listeners: [(&str, Listener); 3] = [
            ("message", Closure::new(move |event: JsValue| on_message.take_in(message(&event, most)))),
            ("close", Closure::new(move |event: JsValue| on_close.take_in(Got::Ended(closed(&event))))),
            ("error", Closure::new(move |_| on_error.take_in(Got::Ended(Ended::Lost)))),
        ];
        for (to, listener) in &listeners {
            // A platform without events would bring nothing: the session then ends by its times.
            let _ = socket.listen(to, listener.as_ref());
        }
        Self { socket, inbox, listeners, is_closed: false }
    }

    /// Gives the platform what goes out, as far as it takes it.
    fn send(&mut self, mut next: impl FnMut() -> Option<Outgoing>) -> Sent {
        while !self.is_closed {
            if self.socket.buffered().is_some_and(|unsent| unsent > UNSENT) {
                return Sent::Full;
            }
            let Some(outgoing) = next() else { break };
            let sent = match outgoing {
                Outgoing::Frame(Frame { payload, is_text: true }) => match str::from_utf8(&payload) {
                    Ok(text) => self.socket.send_text(text),
                    // A text came as one, and nothing of it but a name in JSON has changed.
                    Err(_) => Ok(()),
                },
                Outgoing::Frame(Frame { payload, .. }) => {
                    self.socket.send_bytes(&Uint8Array::from(&*payload))
                }
                // The platforms have their own.
                Outgoing::Ping => Ok(()),
                Outgoing::Close(close) => {
                    self.close(close.as_ref());
                    break;
                }
            };
            if sent.is_err() {
                self.is_closed = true;
                let was_told = self.inbox.is_over.replace(true);
                return if was_told { Sent::All } else { Sent::Lost };
            }
        }
        Sent::All
    }

    fn close(&mut self, close: Option<&Close>) {
        self.is_closed = true;
        let Some(Close { code, reason }) = close else {
            let _ = self.socket.close_plainly();
            return;
        };
        if self.socket.close_with(*code, reason).is_err() {
            // Deno sends 1000 and codes of one's own only. The reason says what it is about.
            let own = OWN_CODES + code % 1000;
            let _ = self.socket.close_with(own, reason).or_else(|_| self.socket.close_plainly());
        }
    }

    fn poll_read(&mut self, context: &Context<'_>) -> Poll<Got> {
        let got = self.inbox.got.borrow_mut().pop_front();
        let Some(got) = got else {
            *self.inbox.waker.borrow_mut() = Some(context.waker().clone());
            return Poll::Pending;
        };
        match &got {
            Got::Frame(frame) => self.inbox.bytes.set(self.inbox.bytes.get() - frame.payload.len()),
            Got::Ended(_) if !self.is_closed => {
                // Some platforms leave it to us to answer a close.
                self.is_closed = true;
                let _ = self.socket.close_plainly();
            }
            Got::Ended(_) | Got::Fault(_) => {}
        }
        Poll::Ready(got)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        for (to, listener) in &self.listeners {
            let _ = self.socket.ignore(to, listener.as_ref());
        }
        if !self.is_closed {
            let _ = self.socket.close_plainly();
        }
    }
}

impl Inbox {
    fn take_in(&self, got: Got) {
        if self.is_over.get() {
            return;
        }
        if let Got::Frame(frame) = &got {
            let bytes = self.bytes.get() + frame.payload.len();
            if bytes > WAITING {
                self.is_over.set(true);
                return self.put(Got::Fault(Fault::TooLarge));
            }
            self.bytes.set(bytes);
        } else {
            self.is_over.set(matches!(got, Got::Ended(_)));
        }
        self.put(got);
    }

    fn put(&self, got: Got) {
        self.got.borrow_mut().push_back(got);
        let waker = self.waker.borrow_mut().take();
        waker.into_iter().for_each(Waker::wake);
    }
}

/// What an event has brought.
fn message(event: &JsValue, most: usize) -> Got {
    let data = Reflect::get(event, &"data".into()).unwrap_or_default();
    let frame = if let Some(text) = data.as_string() {
        Frame { payload: text.into(), is_text: true }
    } else if let Some(buffer) = data.dyn_ref::<ArrayBuffer>() {
        Frame { payload: Uint8Array::new(buffer).to_vec().into(), is_text: false }
    } else {
        return Got::Fault(Fault::Malformed);
    };
    if frame.payload.len() > most { Got::Fault(Fault::TooLarge) } else { Got::Frame(frame) }
}

/// How an event says that it has ended.
fn closed(event: &JsValue) -> Ended {
    let field = |name: &str| Reflect::get(event, &name.into()).unwrap_or_default();
    let code = field("code").as_f64().unwrap_or_default() as u16;
    match code {
        // Without a code; and without a close.
        1005 => Ended::Said(None),
        0 | 1006 => Ended::Lost,
        code => Ended::Said(Some(Close { code, reason: field("reason").as_string().unwrap_or_default() })),
    }
}
