//! Fetches media that clients name by address: with connections of its own, without a key, and only from where the
//! guard permits.
//!
//! A name is looked up once for each connection, every address that it leads to is checked, and the connection is
//! made to exactly these: a name whose answer changes in between leads nowhere else. Through a proxy the names are
//! the proxy's to look up, and so to guard.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo};
use libra_core::fetch::guard::{Guard, Refused};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tower_service::Service;

use crate::settings::Proxies;
use crate::upstream::{CONNECT_TIMEOUT, DialError, UpstreamBody, matcher, through_proxy};

/// So many names are looked up at a time. Each takes a thread for as long as it lasts, also when nobody waits any more.
const LOOKUPS: usize = 32;

/// So many addresses of a name are tried; who has more has them for other reasons than to be reached.
const ADDRESSES: usize = 16;

/// How names become addresses.
type Lookup = Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// What fetches.
pub(crate) struct Fetcher {
    client: Client<HttpsConnector<Dialer>, UpstreamBody>,
}

/// An answer that is being waited for.
pub(crate) struct Fetch(ResponseFuture);

impl Fetcher {
    pub(crate) fn new(proxies: &Proxies, tls: &ClientConfig, guard: Guard) -> Self {
        Self::with(matcher(proxies), tls, guard, system_lookup())
    }

    fn with(matcher: Matcher, tls: &ClientConfig, guard: Guard, lookup: Lookup) -> Self {
        let dialer = Dialer { guard: Arc::new(guard), matcher: Arc::new(matcher), lookup };
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(dialer);
        // A kept connection would outlive what its name led to.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(https);
        Self { client }
    }

    pub(crate) fn send(&self, request: Request<()>) -> Fetch {
        Fetch(self.client.request(request.map(|()| UpstreamBody::Whole(Bytes::new()))))
    }
}

impl Fetch {
    /// The head of the answer, or why there is none, in words for the client.
    pub(crate) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response<Incoming>, String>> {
        let answer = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(answer.map_err(|error| {
            // Not what the network said: it would tell of networks that are none of the client's business.
            let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
            while let Some(error) = cause {
                if let Some(NotReached(reason)) = error.downcast_ref() {
                    return (*reason).to_owned();
                }
                cause = error.source();
            }
            let reason =
                if error.is_connect() { "no connection could be made" } else { "its answer broke off" };
            reason.to_owned()
        }))
    }
}

/// Why a host is not connected to.
#[derive(Debug)]
struct NotReached(&'static str);

impl std::fmt::Display for NotReached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for NotReached {}

impl From<Refused> for NotReached {
    fn from(refused: Refused) -> Self {
        Self(refused.reason())
    }
}

/// Opens connections to what the guard permits.
#[derive(Clone)]
struct Dialer {
    guard: Arc<Guard>,
    matcher: Arc<Matcher>,
    lookup: Lookup,
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = BoxFuture<'static, Result<Self::Response, DialError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Self { guard, matcher, lookup } = self.clone();
        Box::pin(async move {
            let host = target.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let usual = if target.scheme_str() == Some("https") { 443 } else { 80 };
            let port = target.port_u16().unwrap_or(usual);
            if let Some(proxy) = matcher.intercept(&target) {
                guard.check_unresolved(&host, port).map_err(NotReached::from)?;
                return through_proxy(&proxy, connector(HttpConnector::new()), target).await;
            }
            let addresses = match host.parse::<IpAddr>() {
                Ok(ip) => vec![SocketAddr::new(ip, port)],
                Err(_) => lookup(host, port).await.map_err(|_| NotReached("its host cannot be found"))?,
            };
            if addresses.is_empty() {
                return Err(NotReached("its host cannot be found").into());
            }
            // One that is not permitted says enough of the name.
            for address in &addresses {
                guard.check(*address).map_err(NotReached::from)?;
            }
            let mut http = connector(HttpConnector::new_with_resolver(Checked(addresses)));
            Ok(http.call(target).await?)
        })
    }
}

fn connector<R>(mut http: HttpConnector<R>) -> HttpConnector<R> {
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http
}

/// Leads to addresses that were checked, whatever the name.
#[derive(Clone)]
struct Checked(Vec<SocketAddr>);

impl Service<Name> for Checked {
    type Response = std::iter::Take<std::vec::IntoIter<SocketAddr>>;
    type Error = io::Error;
    type Future = std::future::Ready<Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        std::future::ready(Ok(std::mem::take(&mut self.0).into_iter().take(ADDRESSES)))
    }
}

/// The machine's own way to look names up.
fn system_lookup() -> Lookup {
    let places = Arc::new(Semaphore::new(LOOKUPS));
    Arc::new(move |host, port| {
        let places = Arc::clone(&places);
        Box::pin(async move {
            let place = places.acquire_owned().await.map_err(io::Error::other)?;
            let lookup = tokio::task::spawn_blocking(move || {
                let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
                drop(place);
                addresses
            });
            lookup.await?
        })
    })
}

#[cfg(test)]
mod tests;
