//! Listens, accepts, and ends in good order.

mod greeting;
mod listen;
mod places;
mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, watch};

use self::greeting::Spoken;
pub(crate) use self::listen::{Listener, listen, listen_also, open};
pub(crate) use self::places::Places;
use self::places::{Full, Place};
pub(crate) use self::tls::{Acceptor, Tls};
use crate::app::{App, Door};
use crate::patient::Patient;
use crate::signals::Signals;

/// A client that takes longer for its first byte, its handshake or its request's head is no client. So long, too, a
/// connection of HTTP/1.1 may do nothing between requests.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection of HTTP/2 on which nothing was asked for so long is told to end.
const IDLE_TWO: Duration = Duration::from_secs(300);

/// Bounds of what one client can make the gateway hold or do. Most have a test in `tests/hardening.rs`.
mod bounds {
    use std::time::Duration;

    /// A request's head, in bytes. Beyond, 431. A client's cookies and keys are some hundreds.
    pub(super) const HEAD: usize = 64 << 10;
    /// Header fields of a request.
    pub(super) const FIELDS: usize = 100;
    /// Streams at a time on one connection of HTTP/2.
    pub(super) const STREAMS: u32 = 100;
    /// Streams that a client may reset before they were looked at, and errors of its own that it may make, until its
    /// connection is closed (CVE-2023-44487, CVE-2025-8671).
    pub(super) const RESETS: usize = 20;
    pub(super) const ERRORS: usize = 100;
    /// Requests that a client may give up before they were answered, on one connection of HTTP/2, where it gives up more
    /// than half: each has cost an attempt, and a client that has changed its mind so often has none.
    pub(super) const GIVEN_UP: u64 = 100;
    /// What a client may send on a stream and on its connection before it is read, in bytes: enough for 2 MB a second
    /// over an ocean. It is the client's to use, whatever is read of it: so many connections of HTTP/2 there may be as have
    /// room in a quarter of the memory, as long as that is [`LEAST_TWO`] at least.
    pub(super) const STREAM_WINDOW: u32 = 256 << 10;
    pub(super) const CONNECTION_WINDOW: u32 = 512 << 10;
    pub(super) const LEAST_TWO: usize = 64;
    /// What waits to be sent on a stream.
    pub(super) const SENDING: usize = 32 << 10;
    /// How often a silent connection is asked whether it is there, and how long it may take to say so.
    pub(super) const PING: Duration = Duration::from_secs(30);
    pub(super) const PONG: Duration = Duration::from_secs(20);
}

/// How clients are served.
pub(crate) struct Service {
    pub(crate) app: App,
    /// Listeners of the administration alone.
    pub(crate) administration: Vec<Listener>,
    pub(crate) places: Arc<Places>,
    /// How long answers under way may take after the signal to end.
    pub(crate) drain: Duration,
    /// The memory that there is, in bytes, where that is known.
    pub(crate) memory: Option<u64>,
}

/// What every connection needs.
struct Shared {
    app: App,
    places: Arc<Places>,
    one: http1::Builder,
    two: http2::Builder<TokioExecutor>,
    /// Places for connections of HTTP/2 among all.
    twos: Semaphore,
    /// How long a write may wait for a client that has stopped reading.
    patience: Duration,
}

/// Serves until the first signal, then lets answers under way end, and sessions say goodbye. A second signal ends that.
pub(crate) async fn serve(listeners: Vec<Listener>, service: Service, mut signals: Signals) {
    let Service { app, administration, places, drain, memory } = service;
    let stopping = Arc::clone(&app.stopping);
    let mut one = http1::Builder::new();
    one.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    one.max_header_size(bounds::HEAD).max_headers(bounds::FIELDS);
    let mut two = http2::Builder::new(TokioExecutor::new());
    two.timer(TokioTimer::new())
        .max_concurrent_streams(bounds::STREAMS)
        .max_pending_accept_reset_streams(bounds::RESETS)
        .max_local_error_reset_streams(bounds::ERRORS)
        .max_header_list_size(u32::try_from(bounds::HEAD).unwrap_or(u32::MAX))
        .initial_stream_window_size(bounds::STREAM_WINDOW)
        .initial_connection_window_size(bounds::CONNECTION_WINDOW)
        .max_send_buf_size(bounds::SENDING)
        .keep_alive_interval(bounds::PING)
        .keep_alive_timeout(bounds::PONG)
        .enable_connect_protocol();
    let patience = app.gateway.config().idle_timeout;
    let behind = |door: Door| {
        let app = App { door, ..app.clone() };
        let (places, one, two) = (Arc::clone(&places), one.clone(), two.clone());
        Arc::new(Shared { app, places, one, two, twos: Semaphore::new(most_of_two(memory)), patience })
    };
    let mut accepting = tokio::task::JoinSet::new();
    for (door, listeners) in [(app.door, listeners), (Door::Administration, administration)] {
        let shared = behind(door);
        for listener in listeners {
            accepting.spawn(accept(listener, Arc::clone(&shared)));
        }
    }
    signals.next().await;
    // Waits until the listeners are closed: who connects from now on is refused by the system.
    accepting.shutdown().await;
    drop(app);
    crate::notify::stopping();
    stopping.send_replace(true);
    tokio::select! {
        _ = tokio::time::timeout(drain, stopping.closed()) => {}
        () = signals.next() => tracing::warn!("a second signal: what is under way is given up"),
    }
}

/// Accepts connections for as long as it is polled.
async fn accept(listener: Listener, shared: Arc<Shared>) {
    loop {
        match &listener {
            Listener::Tcp { socket, tls } => match socket.accept().await {
                Ok((stream, peer)) => shared.begin(stream, peer, tls.clone()),
                Err(error) => cannot_accept(&error).await,
            },
            #[cfg(unix)]
            Listener::Unix(socket) => match socket.0.accept().await {
                Ok((stream, _)) => {
                    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
                    let stopping = shared.app.stopping.subscribe();
                    if let Ok(place) = shared.places.take(peer, true) {
                        let shared = Arc::clone(&shared);
                        tokio::spawn(async move {
                            shared.speak_one(stream, peer, stopping).await;
                            drop(place);
                        });
                    }
                }
                Err(error) => cannot_accept(&error).await,
            },
        }
    }
}

/// Out of files, mostly: those under way will free some.
async fn cannot_accept(error: &io::Error) {
    tracing::warn!("cannot accept a connection: {error}");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

impl Shared {
    fn begin(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, tls: Option<Acceptor>) {
        let _ = stream.set_nodelay(true);
        let trusted = &self.app.gateway.config().trusted_proxies;
        let is_trusted = trusted.iter().any(|network| network.contains(&peer.ip().to_canonical()));
        let place = match self.places.take(peer.ip(), is_trusted) {
            Ok(place) => place,
            Err(full) => return refuse(stream, full, tls.is_some()),
        };
        let stopping = self.app.stopping.subscribe();
        tokio::spawn(Arc::clone(self).connection(stream, peer.ip(), tls, place, stopping));
    }

    /// One connection, until it ends. What is large in it comes into being once the client has said something.
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: IpAddr,
        tls: Option<Acceptor>,
        _place: Place,
        mut stopping: watch::Receiver<bool>,
    ) {
        let greeted = async {
            match &tls {
                None => greeting::spoken(&stream).await,
                Some(_) if greeting::is_plain(&stream).await? => Ok(Spoken::One),
                Some(_) => Ok(Spoken::Tls),
            }
        };
        let spoken = tokio::select! {
            spoken = tokio::time::timeout(HEAD_TIMEOUT, greeted) => spoken,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        // Clients that leave are no event.
        let Ok(Ok(spoken)) = spoken else { return };
        match (spoken, tls) {
            (Spoken::One, None) => Box::pin(self.speak_one(stream, peer, stopping)).await,
            (Spoken::Two, None) => match self.twos.try_acquire() {
                Ok(_place) => Box::pin(self.speak_two(stream, peer, stopping)).await,
                Err(_) => tracing::warn!(%peer, "no more connections of HTTP/2 are taken"),
            },
            (Spoken::Tls, None) => {
                tracing::warn!(%peer, "a client spoke TLS to an address without: it is to use http://, or set LIBRA_TLS_CERT");
                greeting::tell(stream, greeting::NO_TLS_HERE).await;
            }
            (Spoken::One | Spoken::Two, Some(_)) => {
                tracing::warn!(%peer, "a client did not speak TLS to an address with: it is to use https://");
                greeting::tell(stream, greeting::NO_PLAIN_HERE).await;
            }
            (Spoken::Tls, Some(tls)) => {
                // Without a place, HTTP/1.1 is what is offered.
                let place = self.twos.try_acquire().ok();
                let handshake = tls.now(place.is_some()).accept(stream);
                let shaken = tokio::time::timeout(HEAD_TIMEOUT, Box::pin(handshake));
                let stream = match shaken.await {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => return tracing::debug!(%peer, "a TLS handshake failed: {error}"),
                    Err(_) => return,
                };
                if stream.get_ref().1.alpn_protocol() == Some(tls::H2) {
                    Box::pin(self.speak_two(stream, peer, stopping)).await;
                } else {
                    drop(place);
                    Box::pin(self.speak_one(stream, peer, stopping)).await;
                }
            }
        }
    }

    async fn speak_one<S>(&self, stream: S, peer: IpAddr, stopping: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request: Request<Incoming>| {
            let app = self.app.clone();
            async move { Ok::<_, Infallible>(app.answer(peer, request).await) }
        });
        let stream = TokioIo::new(Patient::new(stream, self.patience));
        let connection = self.one.serve_connection(stream, service).with_upgrades();
        until_stopped(connection, |connection| connection.graceful_shutdown(), stopping).await;
    }

    async fn speak_two<S>(&self, stream: S, peer: IpAddr, mut stopping: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let asked = Arc::new(Asked::default());
        let service = service_fn(|request: Request<Incoming>| {
            let app = self.app.clone();
            let asking = Asking::new(&asked);
            async move {
                let answer = app.answer(peer, request).await;
                asking.answered();
                Ok::<_, Infallible>(answer)
            }
        });
        let stream = TokioIo::new(Patient::new(stream, self.patience));
        let connection = self.two.serve_connection(stream, service);
        let idle = async {
            let mut before = None;
            while before.replace(asked.all()) != Some(asked.all()) {
                tokio::time::sleep(IDLE_TWO).await;
            }
        };
        let mut connection = pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = idle => {}
            () = asked.too_much.notified() => {
                return tracing::warn!(%peer, "a client gave up one request after the other: its connection is closed");
            }
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// How many connections of HTTP/2 there may be.
fn most_of_two(memory: Option<u64>) -> usize {
    let most = memory.map(|memory| memory / 4 / u64::from(bounds::CONNECTION_WINDOW));
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(Semaphore::MAX_PERMITS);
    most.clamp(bounds::LEAST_TWO, Semaphore::MAX_PERMITS)
}

/// What was asked for on a connection of HTTP/2.
#[derive(Default)]
struct Asked {
    all: AtomicU64,
    given_up: AtomicU64,
    too_much: Notify,
}

impl Asked {
    fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }
}

/// One request, until it is answered or given up.
struct Asking {
    asked: Arc<Asked>,
    is_answered: bool,
}

impl Asking {
    fn new(asked: &Arc<Asked>) -> Self {
        asked.all.fetch_add(1, Ordering::Relaxed);
        Self { asked: Arc::clone(asked), is_answered: false }
    }

    fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let given_up = self.asked.given_up.fetch_add(1, Ordering::Relaxed) + 1;
        if given_up > bounds::GIVEN_UP && given_up * 2 > self.asked.all() {
            self.asked.too_much.notify_one();
        }
    }
}

/// Drives a connection; once all is to stop, until what is under way has ended.
async fn until_stopped<C: Future>(
    connection: C,
    wind_down: fn(Pin<&mut C>),
    mut stopping: watch::Receiver<bool>,
) {
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    wind_down(connection.as_mut());
    let _ = connection.await;
}

/// For a connection for which there is no place: says so where that costs nothing.
fn refuse(stream: TcpStream, full: Full, is_secure: bool) {
    match full {
        Full::Altogether => tracing::warn!("no more connections are taken (LIBRA_CONNECTIONS)"),
        Full::ForAddress => {
            tracing::debug!("no more connections of an address are taken (LIBRA_CONNECTIONS_PER_ADDRESS)");
        }
    }
    if !is_secure {
        // A fresh connection takes so few bytes at once, and nobody waits for those who do not.
        let _ = stream.try_write(greeting::FULL);
    }
}
