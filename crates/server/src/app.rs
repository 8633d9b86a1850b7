//! One HTTP request in, one HTTP answer out: reads what the gateway asks for and hands the exchange to the loop.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::poll_fn;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, EXPECT, HeaderValue};
use http::request::Parts;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use libra_core::gateway::{Accepted, BodyFault, Gateway, Head, Intake};
use tokio::sync::watch;

use crate::admin_api::{self, AdminApi};
use crate::body::AnswerBody;
use crate::checks;
use crate::clock;
use crate::drive::{drive, poll_data};
use crate::fetch::Fetcher;
use crate::live;
use crate::telemetry;
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
        let (mut parts, body) = request.into_parts();
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
                    live::answer(*session, client, &parts.headers, &self.upstream, stopping)
                }
                // Every connection of HTTP/1.1 can be upgraded.
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

    async fn with_body(&self, mut intake: Intake, mut body: Incoming) -> Response<AnswerBody> {
        let limit = intake.body_limit();
        let (patience, administers) = (self.gateway.config().deadline, intake.administers());
        let read = tokio::time::timeout(patience, read(&mut body, &mut intake)).await;
        let read = read.unwrap_or(ReadBody::Faulty(BodyFault::TooSlow));
        let (exchange, streamed) = match read {
            ReadBody::Whole(bytes) => (intake.whole(bytes, clock::now()), None),
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
        match exchange {
            Ok(exchange) => drive(exchange, &self.upstream, &self.fetcher, &self.waiting, streamed).await,
            Err(answer) => {
                if administers && answer.status().is_success() {
                    telemetry::flushed().await;
                }
                answer.map(AnswerBody::whole)
            }
        }
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

/// Marks a stream of events.
pub(crate) fn event_stream(body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
