//! The connections to the upstream: HTTP/1.1 with a large pool, TLS, and through a proxy where one is set; where several
//! are, through the one that [`egress`](crate::egress) chooses.
//!
//! HTTP/1.1 and not 2: one HTTP/2 connection hides a stream limit behind which requests queue.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{
    CaptureConnection, Connected, Connection, HttpConnector, capture_connection,
};
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use libra_core::config::ProxyAddress;
use libra_core::gateway::Gateway;
use libra_core::secret::KeyId;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::app::drain;
use crate::drive::poll_data;
use crate::egress::{Egress, Way};
use crate::settings::{Outward, Proxies};

/// Longer than any healthy handshake, shorter than a person's patience.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Google closes idle connections after some four minutes.
const IDLE_CONNECTION: Duration = Duration::from_secs(90);

/// The largest head of an answer, and what is read at a time.
const READ_BUFFER: usize = 128 << 10;

/// Requests over connections that are kept.
pub(crate) type HttpClient = Client<HttpsConnector<Dialer>, UpstreamBody>;

/// What sends requests upstream.
pub(crate) struct Upstream {
    client: HttpClient,
    /// The ways to Gemini, where there are several.
    egress: Option<Egress>,
}

/// The client's body, streamed into one attempt, up to a limit.
pub(crate) struct ClientBody {
    /// What was read before it was known that the body is too large to be kept.
    prefix: Option<Bytes>,
    /// None once the upstream wants no more of it.
    rest: Option<Incoming>,
    /// How many more bytes are taken.
    left: u64,
    too_large: Arc<AtomicBool>,
}

/// The body of a request.
pub(crate) enum UpstreamBody {
    Whole(Bytes),
    Streamed(ClientBody),
}

/// An answer that is being waited for.
pub(crate) struct Answer {
    response: ResponseFuture,
    connection: CaptureConnection,
    too_large: Option<Arc<AtomicBool>>,
    way: Option<Arc<Way>>,
    /// The same request once more, for the next way.
    again: Option<Box<Again>>,
}

/// A request whose body is kept, and the ways that it can still take.
struct Again {
    request: Request<Bytes>,
    ways: std::vec::IntoIter<Arc<Way>>,
}

/// Why there is no answer.
pub(crate) enum SendError {
    /// The client's body is larger than the limit.
    BodyTooLarge,
    /// The network's fault. `stale`: the connection had served before and died before any byte of an answer.
    Network { stale: bool, message: String },
}

impl Upstream {
    /// With what the user has set; `gateway` says which way is whose, where there are several.
    pub(crate) fn new(outward: &Outward, tls: &ClientConfig, gateway: Option<&Arc<Gateway>>) -> Self {
        let trusted = tls.clone();
        let through =
            move |address: &ProxyAddress| client(&trusted, Matcher::builder().all(address.expose()).build());
        let egress = gateway.map(|gateway| Egress::new(gateway, &outward.several, through));
        Self { client: client(tls, matcher(&outward.proxies)), egress }
    }

    /// Sends a request. One without a body takes the client's streamed one.
    pub(crate) fn send(&self, request: Request<Option<Bytes>>, streamed: &mut Option<ClientBody>) -> Answer {
        let ways = match (&self.egress, request.extensions().get::<KeyId>()) {
            (Some(egress), Some(key)) => egress.ways(*key),
            _ => Vec::new(),
        };
        let mut ways = ways.into_iter();
        let way = ways.next();
        let mut too_large = None;
        let mut again = None;
        let request = request.map(|whole| match (whole, streamed.take()) {
            (None, Some(body)) => {
                too_large = Some(Arc::clone(&body.too_large));
                UpstreamBody::Streamed(body)
            }
            (whole, untouched) => {
                *streamed = untouched;
                UpstreamBody::Whole(whole.unwrap_or_default())
            }
        });
        if ways.len() > 0
            && let UpstreamBody::Whole(body) = request.body()
        {
            again = Some(Box::new(Again { request: copy(&request, body.clone()), ways }));
        }
        let client = way.as_ref().map_or(&self.client, |way| &way.client);
        Answer { too_large, again, ..Answer::begin(client, request, way.clone()) }
    }
}

fn client(tls: &ClientConfig, matcher: Matcher) -> HttpClient {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.set_keepalive(Some(Duration::from_secs(60)));
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls.clone())
        .https_or_http()
        .enable_http1()
        .wrap_connector(Dialer { http, matcher: Arc::new(matcher) });
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION)
        .http1_max_buf_size(READ_BUFFER)
        .build(https)
}

/// The same request without what only its first sending needs.
fn copy(request: &Request<UpstreamBody>, body: Bytes) -> Request<Bytes> {
    let mut copy = Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

impl Answer {
    fn begin(client: &HttpClient, mut request: Request<UpstreamBody>, way: Option<Arc<Way>>) -> Self {
        if let Some(way) = &way {
            way.begin();
        }
        let connection = capture_connection(&mut request);
        Self { response: client.request(request), connection, too_large: None, way, again: None }
    }

    pub(crate) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response<Incoming>, SendError>> {
        loop {
            let error = match ready!(Pin::new(&mut self.response).poll(context)) {
                Ok(response) => {
                    if let Some(ServedBefore(served)) = response.extensions().get() {
                        served.store(true, Ordering::Relaxed);
                    }
                    if let Some(way) = &self.way {
                        way.worked();
                    }
                    return Poll::Ready(Ok(response));
                }
                Err(error) => error,
            };
            if self.too_large.as_ref().is_some_and(|too_large| too_large.load(Ordering::Relaxed)) {
                return Poll::Ready(Err(SendError::BodyTooLarge));
            }
            let mut extensions = http::Extensions::new();
            if let Some(connected) = &*self.connection.connection_metadata() {
                connected.get_extras(&mut extensions);
            }
            let served =
                extensions.get::<ServedBefore>().is_some_and(|ServedBefore(it)| it.load(Ordering::Relaxed));
            let stale = served && !error.is_connect();
            // The error's own text has the address in it, its cause says what happened.
            let mut cause = error.source();
            while let Some(deeper) = cause.and_then(|cause| cause.source()) {
                cause = Some(deeper);
            }
            let what = if error.is_connect() {
                "cannot connect to the upstream"
            } else {
                "the connection to the upstream failed"
            };
            let message = match cause {
                Some(cause) => format!("{what}: {cause}"),
                None => what.to_owned(),
            };
            if error.is_connect()
                && let Some(way) = &self.way
            {
                way.failed(&message);
                if let Some(mut again) = self.again.take()
                    && let Some(next) = again.ways.next()
                {
                    let request = again.request.clone().map(UpstreamBody::Whole);
                    let client = next.client.clone();
                    *self = Self { again: Some(again), ..Self::begin(&client, request, Some(next)) };
                    continue;
                }
            }
            return Poll::Ready(Err(SendError::Network { stale, message }));
        }
    }
}

impl ClientBody {
    pub(crate) fn new(prefix: Option<Bytes>, rest: Incoming, limit: u64) -> Self {
        Self { prefix, rest: Some(rest), left: limit, too_large: Arc::default() }
    }
}

impl Drop for ClientBody {
    /// What the upstream did not want is read all the same, within bounds: the client is still sending, and would not
    /// see the answer otherwise.
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(drain(rest));
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let body = match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Self::Whole(bytes) => return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streamed(body) => body,
        };
        let chunk = match body.prefix.take() {
            Some(prefix) => prefix,
            None => {
                let Some(rest) = &mut body.rest else { return Poll::Ready(None) };
                match ready!(poll_data(rest, context)) {
                    Some(Ok(chunk)) => chunk,
                    Some(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                    None => return Poll::Ready(None),
                }
            }
        };
        match body.left.checked_sub(chunk.len() as u64) {
            Some(left) => {
                body.left = left;
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            None => {
                body.too_large.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err(io::Error::other("the body is larger than the limit"))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed(ClientBody { prefix: None, rest: Some(rest), .. }) => rest.size_hint(),
            Self::Streamed(_) => SizeHint::default(),
        }
    }
}

/// Which address is reached through which proxy.
pub(crate) fn matcher(proxies: &Proxies) -> Matcher {
    let mut matcher = Matcher::builder();
    if let Some(proxy) = &proxies.https {
        matcher = matcher.https(proxy.clone());
    }
    if let Some(proxy) = &proxies.all {
        matcher = matcher.all(proxy.clone());
    }
    if let Some(hosts) = &proxies.none {
        matcher = matcher.no(hosts.clone());
    }
    matcher.build()
}

/// Opens connections: straight, or through the proxy that the address calls for.
#[derive(Clone)]
pub(crate) struct Dialer {
    http: HttpConnector,
    matcher: Arc<Matcher>,
}

/// Set once a connection has brought an answer. One that then dies without a byte was merely closed by the
/// upstream while idle.
#[derive(Clone)]
struct ServedBefore(Arc<AtomicBool>);

/// A connection that remembers whether it has served.
pub(crate) struct Stream {
    inner: TokioIo<TcpStream>,
    served: ServedBefore,
}

pub(crate) type DialError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Dialer {
    type Response = Stream;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let mut http = self.http.clone();
        let proxy = self.matcher.intercept(&target);
        Box::pin(async move {
            let inner = match proxy {
                None => http.call(target).await?,
                Some(proxy) => through_proxy(&proxy, http, target).await?,
            };
            Ok(Stream { inner, served: ServedBefore(Arc::default()) })
        })
    }
}

/// A connection to `target` that a proxy makes.
pub(crate) async fn through_proxy(
    proxy: &Intercept,
    http: HttpConnector,
    target: Uri,
) -> Result<TokioIo<TcpStream>, DialError> {
    match proxy.uri().scheme_str() {
        Some(scheme @ ("socks5" | "socks5h")) => {
            let mut socks = SocksV5::new(proxy.uri().clone(), http).local_dns(scheme == "socks5");
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            Ok(socks.call(target).await?)
        }
        Some("http") => {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), http);
            if let Some(credentials) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(credentials.clone());
            }
            Ok(tunnel.call(with_port(target)).await?)
        }
        _ => Err("a proxy must be http, socks5 or socks5h".into()),
    }
}

/// CONNECT names a port; without one, the tunnel would take 443 even for plain http.
fn with_port(target: Uri) -> Uri {
    let (Some("http"), None, Some(host)) = (target.scheme_str(), target.port(), target.host()) else {
        return target;
    };
    let named = format!("http://{host}:80{}", target.path());
    named.parse().unwrap_or(target)
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.inner.connected().extra(self.served.clone())
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(context, buffers)
    }
}
