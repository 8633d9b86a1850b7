//! The shell: HTTP/1.1 over TCP, and nothing that decides.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Sleep;

use crate::asked::TooLarge;
use crate::clock::{Clock, UnixMillis, http_date};
use crate::intake::Intake;
use crate::live;
use crate::objects::Taken;
use crate::plan::{End, Plan, Reply};
use crate::simulator::{Simulator, Ticket};

/// Connections that wait to be accepted. A burst of more than the usual 1,024 would otherwise meet one-second
/// retransmissions, which a benchmark would take for the gateway's.
const BACKLOG: i32 = 4096;

/// Listens on an address, with a deep backlog. Port 0 takes any free one.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves until it is dropped; then all connections are closed at once.
pub async fn serve(simulator: Arc<Simulator>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection(Arc::clone(&simulator), stream));
            }
            // Out of file descriptors, most likely: those that there are go on.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(simulator: Arc<Simulator>, stream: TcpStream) {
    // Without it, small events wait for the acknowledgement of those before.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let reset = Arc::new(AtomicBool::new(false));
    let io = Connection { io: TokioIo::new(stream), reset: Arc::clone(&reset) };
    let live = live::Waiting::default();
    let waiting = Arc::clone(&live);
    let service = service_fn(move |request: Request<Incoming>| {
        let (simulator, reset, waiting) = (Arc::clone(&simulator), Arc::clone(&reset), Arc::clone(&waiting));
        async move {
            if live::is_asked_for(request.uri()) {
                let (reply, headers) = live::answer(&simulator, request, &waiting);
                let mut response = response(reply, None, simulator.clock().now());
                response.headers_mut().extend(headers);
                return Ok(response);
            }
            exchange(simulator, reset, request).await
        }
    });
    // A client that leaves, or a connection that is cut on purpose, is no error here.
    let _ = http1::Builder::new().serve_connection(io, service).with_upgrades().await;
    let session = live.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(session) = session {
        session.run().await;
    }
}

/// Why a connection ends before its answer does.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is broken on purpose")
    }
}

impl std::error::Error for Broken {}

async fn exchange(
    simulator: Arc<Simulator>,
    reset: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Result<Response<PlannedBody>, Broken> {
    let (mut head, body) = request.into_parts();
    if let Some(intake) = simulator.intake(&head.method, &head.uri, &head.headers) {
        let (plan, ticket) = take_in(intake, body).await?;
        return carry_out(plan, ticket, simulator.clock(), &reset).await;
    }
    let body = match Limited::new(body, simulator.body_limit()).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            head.extensions.insert(TooLarge);
            Bytes::new()
        }
        Err(_) => return Err(Broken),
    };
    let (plan, ticket) = simulator.answer(&Request::from_parts(head, body));
    carry_out(plan, ticket, simulator.clock(), &reset).await
}

/// Takes in an upload as it comes.
async fn take_in(mut intake: Intake, mut body: Incoming) -> Result<(Plan, Option<Ticket>), Broken> {
    while let Some(frame) = body.frame().await {
        // Of a connection that breaks, what has come stays.
        let frame = frame.map_err(|_| Broken)?;
        if let Ok(data) = frame.into_data()
            && intake.take(&data) == Taken::Cut
        {
            return Ok(intake.cut());
        }
    }
    Ok(intake.finish())
}

async fn carry_out(
    plan: Plan,
    ticket: Option<Ticket>,
    clock: &Clock,
    reset: &AtomicBool,
) -> Result<Response<PlannedBody>, Broken> {
    match plan {
        Plan::Answer(reply) => {
            let reply = hurried(reply, clock);
            if !reply.head_delay.is_zero() {
                tokio::time::sleep(reply.head_delay).await;
            }
            Ok(response(reply, ticket, clock.now()))
        }
        // The client's leaving drops this future, and the ticket with it.
        Plan::Hang => std::future::pending().await,
        Plan::Reset => {
            ticket.into_iter().for_each(Ticket::done);
            reset.store(true, Ordering::Relaxed);
            Err(Broken)
        }
    }
}

/// Headers that Google sends with everything, of which a client needs none.
const HEADERS: &[(&str, &str)] = &[
    ("vary", "Origin, Referer, X-Origin"),
    ("server", "scaffolding on HTTPServer2"),
    ("x-xss-protection", "0"),
    ("x-frame-options", "SAMEORIGIN"),
    ("x-content-type-options", "nosniff"),
    ("server-timing", "gfet4t7; dur=42"),
    ("x-gemini-service-tier", "standard"),
    ("alt-svc", "h3=\":443\"; ma=2592000,h3-29=\":443\"; ma=2592000"),
];

/// Delays as long as the clock makes them.
fn hurried(reply: Reply, clock: &Clock) -> Reply {
    let [head_delay, first_delay, delay] =
        [reply.head_delay, reply.first_delay, reply.delay].map(|delay| clock.real(delay));
    Reply { head_delay, first_delay, delay, ..reply }
}

fn response(reply: Reply, ticket: Option<Ticket>, now: UnixMillis) -> Response<PlannedBody> {
    // 499 and the like are not in http's list of names, but are statuses.
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(HEADERS.len() + 3);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if reply.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    for (name, value) in HEADERS {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    for name in reply.headers.keys() {
        headers.remove(name);
    }
    headers.extend(reply.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    if let Some(date) = http_date(now).and_then(|date| HeaderValue::try_from(date).ok()) {
        headers.insert(DATE, date);
    }
    // Nobody asks a body that is known to have ended for its end.
    let is_sized = headers.contains_key(CONTENT_LENGTH) && reply.end == End::Complete;
    let ticket = match ticket {
        Some(ticket) if is_sized && reply.pieces.iter().all(Bytes::is_empty) => {
            ticket.done();
            None
        }
        ticket => ticket,
    };
    response.map(|()| PlannedBody { reply, next: 0, pause: None, has_paused: false, is_sized, ticket })
}

/// A body that comes as planned. But for downloads its length is not told beforehand, as Google does not tell it either.
struct PlannedBody {
    reply: Reply,
    next: usize,
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether the pause before what comes next is over.
    has_paused: bool,
    /// Whether its length was told beforehand.
    is_sized: bool,
    ticket: Option<Ticket>,
}

impl PlannedBody {
    /// How long to wait before what comes next.
    fn pause(&self) -> Duration {
        /// What was written before a cut has to leave this machine first, or it would be thrown away with the rest.
        const FLUSH: Duration = Duration::from_millis(5);
        match self.next {
            0 => self.reply.first_delay,
            next if next < self.reply.pieces.len() => self.reply.delay,
            _ if self.reply.end == End::Cut => FLUSH,
            _ => Duration::ZERO,
        }
    }

    fn done(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.done();
        }
    }
}

impl Body for PlannedBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if !self.has_paused {
            let pause = self.pause();
            if !pause.is_zero() {
                let sleep = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
                ready!(sleep.as_mut().poll(cx));
                self.pause = None;
            }
            self.has_paused = true;
        }
        let Some(piece) = self.reply.pieces.get(self.next).cloned() else {
            return match self.reply.end {
                End::Complete => {
                    self.done();
                    Poll::Ready(None)
                }
                End::Cut => {
                    self.done();
                    Poll::Ready(Some(Err(Broken)))
                }
                // The client's leaving drops the body, and the ticket with it.
                End::Never => Poll::Pending,
            };
        };
        self.next += 1;
        self.has_paused = false;
        if self.is_sized && self.next == self.reply.pieces.len() {
            self.done();
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

/// A connection that can be reset instead of closed.
struct Connection {
    io: TokioIo<TcpStream>,
    reset: Arc<AtomicBool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // With a linger time of zero, closing sends RST. Where it cannot be set, the client sees a close.
            let _ = SockRef::from(self.io.inner()).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        pin!(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        pin!(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Relaxed) {
            // A shutdown would say goodbye.
            return Poll::Ready(Ok(()));
        }
        pin!(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        pin!(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
