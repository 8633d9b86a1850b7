//! The load: so many requests over so many connections that stay open, each answer checked to be whole.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A run that takes longer than this has hung.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is asked, again and again.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) path: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) expect: Expect,
}

/// When an answer of 200 is whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expect {
    /// The least size of the body in bytes.
    pub(crate) bytes: usize,
    /// The least number of server-sent events.
    pub(crate) events: usize,
    /// What must be in the body, as the sign of its end.
    pub(crate) mark: &'static str,
}

impl Expect {
    fn check(&self, body: &[u8]) -> Result<(), String> {
        let events = if self.events == 0 { 0 } else { memmem::find_iter(body, "data: ").count() };
        if body.len() >= self.bytes
            && events >= self.events
            && memmem::find(body, self.mark.as_bytes()).is_some()
        {
            return Ok(());
        }
        let end = String::from_utf8_lossy(&body[body.len().saturating_sub(200)..]);
        Err(format!(
            "an answer of {} bytes and {events} events is not whole (expected: {self:?}); it ends with {end:?}",
            body.len()
        ))
    }
}

/// What a run showed.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) took: Duration,
    /// Of each request: from sending it to the first byte of the answer's body.
    pub(crate) first_bytes: Vec<Duration>,
}

/// Sends `total` requests over `connections` connections, each waiting for its answer before it sends the next one.
pub(crate) async fn run(
    address: SocketAddr,
    call: &Call,
    connections: usize,
    total: usize,
) -> Result<Run, String> {
    let left = std::rc::Rc::new(Cell::new(total));
    let began = Instant::now();
    let mut tasks = tokio::task::LocalSet::new();
    let mut handles = Vec::with_capacity(connections);
    for _ in 0..connections.min(total) {
        let (left, call) = (left.clone(), call.clone());
        handles.push(tasks.spawn_local(async move {
            let mut connection = Connection::open(address).await?;
            let mut first_bytes = Vec::new();
            while left.get() > 0 {
                left.set(left.get() - 1);
                first_bytes.push(connection.send(&call).await?);
            }
            Ok::<_, String>(first_bytes)
        }));
    }
    tokio::time::timeout(PATIENCE, &mut tasks)
        .await
        .map_err(|_| format!("{total} requests took longer than {} s", PATIENCE.as_secs()))?;
    let took = began.elapsed();
    let mut first_bytes = Vec::with_capacity(total);
    for handle in handles {
        first_bytes.extend(handle.await.map_err(|error| error.to_string())??);
    }
    Ok(Run { took, first_bytes })
}

/// A burst: every connection is opened at the same moment and asks once. Returns the slowest connect, and the time
/// until the last answer.
pub(crate) async fn burst(
    address: SocketAddr,
    call: &Call,
    connections: usize,
) -> Result<(Duration, Duration), String> {
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for _ in 0..connections {
        let call = call.clone();
        tasks.spawn(async move {
            let stream = connect(address).await?;
            let connected = began.elapsed();
            Connection::over(stream, address).await?.send(&call).await?;
            Ok::<_, String>(connected)
        });
    }
    let mut slowest = Duration::ZERO;
    while let Some(ended) = tasks.join_next().await {
        slowest = slowest.max(ended.map_err(|error| error.to_string())??);
    }
    Ok((slowest, began.elapsed()))
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    /// The body of the last answer; kept, so that its memory is.
    body: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, String> {
        Self::over(connect(address).await?, address).await
    }

    async fn over(stream: TcpStream, address: SocketAddr) -> Result<Self, String> {
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("no HTTP on {address}: {error}"))?;
        tokio::spawn(async move {
            // Its error is seen by the request under way.
            let _ = connection.await;
        });
        let host = HeaderValue::from_str(&address.to_string()).expect("an address is a header value");
        Ok(Self { sender, host, body: Vec::new() })
    }

    /// Asks, and reads the answer to its end. Returns the time to the first byte of its body.
    async fn send(&mut self, call: &Call) -> Result<Duration, String> {
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = if call.body.is_empty() { Method::GET } else { Method::POST };
        *request.uri_mut() = call.path.clone();
        *request.headers_mut() = call.headers.clone();
        request.headers_mut().insert(HOST, self.host.clone());
        let began = Instant::now();
        self.sender.ready().await.map_err(|error| format!("the connection was closed: {error}"))?;
        let mut answer =
            self.sender.send_request(request).await.map_err(|error| format!("no answer: {error}"))?;
        self.body.clear();
        let mut first_byte = None;
        while let Some(frame) = answer.frame().await {
            let frame = frame.map_err(|error| format!("the answer broke off: {error}"))?;
            if let Some(data) = frame.data_ref() {
                first_byte.get_or_insert_with(|| began.elapsed());
                self.body.extend_from_slice(data);
            }
        }
        if answer.status() != StatusCode::OK {
            return Err(format!("status {}: {}", answer.status(), String::from_utf8_lossy(&self.body)));
        }
        call.expect.check(&self.body)?;
        Ok(first_byte.unwrap_or_else(|| began.elapsed()))
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream =
        TcpStream::connect(address).await.map_err(|error| format!("cannot connect to {address}: {error}"))?;
    stream.set_nodelay(true).map_err(|error| format!("cannot set TCP_NODELAY: {error}"))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_whole_answers_from_cut_ones() {
        let check = |expect: Expect, body: &str, whole: bool| {
            assert_eq!(expect.check(body.as_bytes()).is_ok(), whole, "{body}");
        };
        let json = Expect { bytes: 10, events: 0, mark: "STOP" };
        check(json, "{\"finish\":\"STOP\"}", true);
        check(json, "{\"finish\":\"", false);
        check(json, "STOP", false);
        let stream = Expect { bytes: 0, events: 2, mark: "[DONE]" };
        check(stream, "data: 1\n\ndata: [DONE]\n\n", true);
        check(stream, "data: [DONE]\n\n", false);
        check(stream, "data: 1\n\ndata: 2\n\n", false);
    }
}
