//! Something that takes requests and remembers them: a collector, or the reader of a webhook.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A request that has come.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Takes requests until it is dropped.
pub(crate) struct Receiver {
    pub base: String,
    got: Arc<Mutex<Vec<Got>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Answers with these statuses, one after the other; then with 200.
    pub(crate) async fn start(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let statuses = Arc::new(Mutex::new(statuses.to_vec()));
        let task = tokio::spawn({
            let got = Arc::clone(&got);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (got, statuses) = (Arc::clone(&got), Arc::clone(&statuses));
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (got, statuses) = (Arc::clone(&got), Arc::clone(&statuses));
                        async move {
                            let (head, body) = request.into_parts();
                            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                            let path = head.uri.to_string();
                            got.lock().expect("no panic").push(Got { path, headers: head.headers, body });
                            let mut statuses = statuses.lock().expect("no panic");
                            let status = if statuses.is_empty() { 200 } else { statuses.remove(0) };
                            let mut response = Response::new(Full::new(Bytes::new()));
                            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
                            Ok::<_, Infallible>(response)
                        }
                    });
                    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
            }
        });
        Self { base, got, task }
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().expect("no panic").clone()
    }

    /// Waits until something that has come is enough.
    pub(crate) async fn wait_until(&self, enough: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        for _ in 0..300 {
            let got = self.got();
            if enough(&got) {
                return got;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not enough has come: {:?}", self.got().iter().map(|got| &got.path).collect::<Vec<_>>());
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}
