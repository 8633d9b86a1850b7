//! One HTTP request in, one HTTP answer out: reads what the gateway asks for and hands the exchange to the loop.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::poll_fn;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use libra_core::gateway::{Accepted, BodyFault, Gateway, Head, Intake};
use tokio::sync::watch;

use crate::admin_api::{self, AdminApi};
use crate::body::AnswerBody;
use crate::checks;
use crate::clock;
use crate::drive::{drive, poll_data};
use crate::fetch::Fetcher;
use crate::live;
use crate::metrics::METRICS;
use crate::metrics::page::Guarded;
use crate::telemetry::{self, bodies};
use crate::upstream::{ClientBody, Upstream};
use crate::waiting::Waiting;

/// A client that sends nothing of its body for so long is given up.
const BODY_SILENCE: Duration = Duration::from_secs(60);

/// Of a body that nobody wants, so much is read before the refusal is sent, and for so long.
const DRAINED: usize = 64 << 20;
const DRAINED_WITHIN: Duration = Duration::from_secs(10);

/// What every connection shares.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) waiting: Arc<Waiting>,
    /// Who may see the metrics.
    pub(crate) metrics: Guarded,
    /// True once the process is to end. Every connection and every session listens.
    pub(crate) stopping: Arc<watch::Sender<bool>>,
    /// The administration, where there is one.
    pub(crate) admin: Option<Arc<AdminApi>>,
    /// Who comes in here.
    pub(crate) door: Door,
}

/// For whom an address is that is listened at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Clients alone.
    Clients,
    /// The administration alone.
    Administration,
    Both,
}

impl App {
    /// Answers a request.
    pub(crate) async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Response<AnswerBody> {
        let answer = self.answered(peer, request).await;
        METRICS.count_answer(answer.status());
        answer
    }

    async fn answered(&self, peer: IpAddr, request: Request<Incoming>) -> Response<AnswerBody> {
        let (mut parts, body) = request.into_parts();
        let is_two = parts.version == Version::HTTP_2;
        if is_two {
            as_of_one(&mut parts);
        }
        if let Some(page) = self.metrics.answer(&parts, &self.gateway).await {
            return page.map(AnswerBody::whole);
        }
        if let Some(page) = self.administration(&parts) {
            let mut answer = match (page, &self.admin) {
                (Administered::Page(page), Some(admin)) => admin.answer(&parts, peer, &page, body).await,
                (Administered::Page(_) | Administered::Elsewhere, _) => {
                    drain(body).await;
                    admin_api::elsewhere()
                }
                (Administered::Only, _) => {
                    drain(body).await;
                    admin_api::only_administration()
                }
            };
            self.gateway.mark(answer.headers_mut());
            return answer;
        }
        let head = Head { method: &parts.method, uri: &parts.uri, headers: &parts.headers, peer };
        match self.gateway.accept(&head, clock::now()) {
            Accepted::Reply(reply) => {
                // A client that waits for "100 Continue" sends nothing before it; reading would ask it to.
                if !parts.headers.contains_key(EXPECT) {
                    drain(body).await;
                }
                if *self.stopping.borrow() && self.is_about_readiness(&parts.uri) {
                    return ending();
                }
                reply.map(AnswerBody::whole)
            }
            Accepted::Stream(exchange) => {
                let body = ClientBody::new(None, body, exchange.body_limit());
                drive(exchange, &self.upstream, &self.fetcher, &self.waiting, Some(body)).await
            }
            Accepted::NeedBody(intake) => self.with_body(intake, body).await,
            Accepted::Upgrade(session) => match parts.extensions.remove() {
                Some(client) => {
                    let stopping = self.stopping.subscribe();
                    let answer = live::answer(
                        *session,
                        client,
                        &parts.headers,
                        &self.gateway,
                        &self.upstream,
                        stopping,
                    );
                    if is_two { of_two(answer) } else { answer }
                }
                // Every connection of HTTP/1.1 can be upgraded, and of HTTP/2 what was asked for with CONNECT.
                None if is_two => {
                    let mut answer = Response::new(AnswerBody::whole(Bytes::new()));
                    *answer.status_mut() = StatusCode::BAD_REQUEST;
                    answer
                }
                None => Response::new(AnswerBody::whole(Bytes::new())),
            },
            Accepted::Verify(verification) => {
                let mark = verification.mark;
                let mut answer = checks::answer(verification, Arc::clone(&self.upstream)).await;
                mark.put(answer.headers_mut());
                answer
            }
        }
    }

    /// What a request is to the administration, if it is anything.
    fn administration(&self, parts: &Parts) -> Option<Administered> {
        match admin_api::page_of(parts, &self.gateway) {
            // Without a token there is no such path, whatever it is.
            Some(_) if self.door != Door::Clients && self.admin.is_none() && self.has_no_token() => None,
            Some(page) if self.door != Door::Clients => Some(Administered::Page(page)),
            Some(_) => Some(Administered::Elsewhere),
            None if self.door == Door::Administration && !is_about_health(parts) => Some(Administered::Only),
            None => None,
        }
    }

    fn has_no_token(&self) -> bool {
        self.gateway.config().admin_token.is_none()
    }

    /// Whether an address asks whether there is something to serve with.
    fn is_about_readiness(&self, uri: &Uri) -> bool {
        let config = self.gateway.config();
        uri.path().strip_prefix(config.base_path.as_str()).is_some_and(|path| path == "/ready")
    }

    async fn with_body(&self, mut intake: Intake, mut body: Incoming) -> Response<AnswerBody> {
        let limit = intake.body_limit();
        let (patience, administers) = (self.gateway.config().deadline, intake.administers());
        let read = tokio::time::timeout(patience, read(&mut body, &mut intake)).await;
        let read = read.unwrap_or(ReadBody::Faulty(BodyFault::TooSlow));
        let mut asked = None;
        let (exchange, streamed) = match read {
            ReadBody::Whole(bytes) => {
                // What is kept of it is looked at once the answer has a name.
                asked = bodies::asked(&bytes).filter(|_| !administers);
                (intake.whole(bytes, clock::now()), None)
            }
            ReadBody::Larger(prefix) => match intake.streamed() {
                Ok(exchange) => (Ok(exchange), Some(ClientBody::new(Some(prefix), body, limit))),
                Err(refusal) => {
                    drain(body).await;
                    (Err(refusal), None)
                }
            },
            ReadBody::Faulty(fault) => {
                drain(body).await;
                return intake.refuse(fault).map(AnswerBody::whole);
            }
        };
        let mut answer = match exchange {
            Ok(exchange) => drive(exchange, &self.upstream, &self.fetcher, &self.waiting, streamed).await,
            Err(answer) => {
                if administers && answer.status().is_success() {
                    telemetry::flushed().await;
                }
                answer.map(AnswerBody::whole)
            }
        };
        if !administers {
            bodies::show_exchange(asked, &mut answer, &self.gateway);
        }
        answer
    }
}

/// Whether it is asked whether the gateway is alive, which is to be seen from anywhere.
fn is_about_health(parts: &Parts) -> bool {
    parts.uri.path().ends_with("/health") || parts.uri.path().ends_with("/ready")
}

/// What a request is to the administration.
enum Administered {
    /// A page below `/admin`.
    Page(String),
    /// A page that is not here.
    Elsewhere,
    /// Something else, where there is nothing else.
    Only,
}

enum ReadBody {
    Whole(Bytes),
    /// Larger than is kept: what was read so far.
    Larger(Bytes),
    Faulty(BodyFault),
}

/// Reads what is left of a body and drops it, within bounds: a client that is still sending would not see the
/// answer, as the connection would be closed under it.
pub(crate) async fn drain(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    let drained = async {
        let mut size = 0;
        while size < DRAINED
            && let Some(Ok(chunk)) = poll_fn(|context| poll_data(&mut body, context)).await
        {
            size += chunk.len();
        }
    };
    let _ = tokio::time::timeout(DRAINED_WITHIN, drained).await;
}

async fn read(body: &mut Incoming, intake: &mut Intake) -> ReadBody {
    let most = intake.whole_limit();
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let chunk = poll_fn(|context| poll_data(body, context));
        let chunk = match tokio::time::timeout(BODY_SILENCE, chunk).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(_))) => return ReadBody::Faulty(BodyFault::Broken),
            Ok(None) => break,
            Err(_) => return ReadBody::Faulty(BodyFault::TooSlow),
        };
        let room = intake.hold(chunk.len());
        if !room && !intake.can_stream() {
            return ReadBody::Faulty(BodyFault::NoRoom);
        }
        // Most bodies come in one piece, which is then kept as it is.
        if first.is_empty() && all.is_empty() {
            first = chunk;
            if first.len() as u64 <= most && room && body.is_end_stream() {
                return ReadBody::Whole(first);
            }
        } else {
            if all.is_empty() {
                // All that is announced, if it will be kept: growing step by step would hold it twice. What is reserved
                // takes no memory before it is written to.
                let rest = body.size_hint().exact().unwrap_or(0).min(most);
                all.reserve(first.len() + chunk.len() + usize::try_from(rest).unwrap_or(0));
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&chunk);
        }
        if !room || (first.len() + all.len()) as u64 > most {
            let prefix = if all.is_empty() { first } else { all.freeze() };
            return ReadBody::Larger(prefix);
        }
    }
    ReadBody::Whole(if all.is_empty() { first } else { all.freeze() })
}

/// Makes of a request's head over HTTP/2 what it would be over HTTP/1.1: there is one way to read it.
///
/// The host stands in a pseudo-header, and a WebSocket is asked for with CONNECT (RFC 8441).
fn as_of_one(parts: &mut Parts) {
    if !parts.headers.contains_key(HOST)
        && let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(HOST, host);
    }
    let is_websocket =
        parts.extensions.get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket");
    if parts.method == Method::CONNECT && is_websocket {
        parts.method = Method::GET;
        parts.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        // Nobody looks at what is made of it: HTTP/2 needs no proof that the server has understood.
        parts.headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="));
    }
}

/// The answer to an upgrade as HTTP/2 gives it.
fn of_two(mut answer: Response<AnswerBody>) -> Response<AnswerBody> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        *answer.status_mut() = StatusCode::OK;
    }
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
        answer.headers_mut().remove(name);
    }
    answer
}

/// Whoever shares out requests is to send no more of them here.
fn ending() -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::whole(Bytes::from_static(b"ending")));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// Marks a stream of events.
pub(crate) fn event_stream(body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
