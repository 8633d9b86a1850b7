//! A shell without sockets: drives exchanges against a scripted upstream in virtual time.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

pub mod strict;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use libra_core::config::{Config, PoolKey, Strategy};
use libra_core::event::Event;
use libra_core::exchange::{Exchange, Op, OpId, Outcome, Step};
use libra_core::gateway::{Accepted, Gateway, Head};
use libra_core::relay::{BodyEnd, Next};
use libra_core::secret::ApiKey;
use libra_core::time::Timestamp;

/// 15 January 2027, 08:00 UTC: midnight in California.
pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub const CLIENT: &str = "client-key";

/// An answer of the scripted upstream.
#[derive(Debug, Clone)]
pub struct Canned {
    pub status: u16,
    pub content_type: &'static str,
    /// Further fields of the head.
    pub headers: Vec<(&'static str, String)>,
    pub chunks: Vec<Bytes>,
    pub end: End,
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Complete,
    /// The connection breaks.
    Broken,
    /// A kept-alive connection was dead before a byte came.
    Stale,
    /// No connection at all.
    Refused,
    /// Nothing more comes.
    Silence,
}

impl Canned {
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: "application/json; charset=UTF-8",
            headers: Vec::new(),
            chunks: vec![body.into()],
            end: End::Complete,
        }
    }

    pub fn sse(body: impl Into<Bytes>) -> Self {
        Self { content_type: "text/event-stream", ..Self::json(200, body) }
    }

    pub fn nothing(end: End) -> Self {
        Self { status: 0, content_type: "", headers: Vec::new(), chunks: Vec::new(), end }
    }

    pub fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn ending(self, end: End) -> Self {
        Self { end, ..self }
    }

    /// The same bytes, cut into chunks at these places.
    pub fn cut_at(mut self, places: &[usize]) -> Self {
        let whole = Bytes::from(self.chunks.concat());
        let mut from = 0;
        self.chunks.clear();
        for &to in places.iter().chain([&whole.len()]) {
            self.chunks.push(whole.slice(from..to));
            from = to;
        }
        self
    }
}

/// What the client saw, and what it took.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Whether the connection was broken in the middle of the body.
    pub reset: bool,
    /// The key of each call, in order.
    pub calls: Vec<String>,
    pub took: Duration,
    pub events: Vec<Event>,
}

impl Seen {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("bodies are UTF-8")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }
}

/// Answers a request for a file. What nobody has said anything of cannot be reached.
pub type Web = Box<dyn FnMut(&Request<()>) -> Vec<Outcome>>;

fn no_web(_: &Request<()>) -> Vec<Outcome> {
    vec![Outcome::Failed { stale: false, message: "no connection could be made".to_owned() }]
}

/// A gateway with a clock of its own.
pub struct Harness {
    pub gateway: Arc<Gateway>,
    pub now: Timestamp,
    /// What answers where media are fetched from.
    pub web: Web,
}

/// A request of a client.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Call {
    pub fn post(path: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("authorization", format!("Bearer {CLIENT}"))];
        Self { method: Method::POST, path: path.to_owned(), headers, body: body.into() }
    }

    pub fn get(path: &str) -> Self {
        Self { method: Method::GET, ..Self::post(path, "") }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn without_key(mut self) -> Self {
        self.headers.clear();
        self
    }

    pub fn native() -> Self {
        Self::post("/v1beta/models/gemini-2.5-flash:generateContent", NATIVE)
    }

    pub fn native_stream() -> Self {
        Self::post("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", NATIVE)
    }

    pub fn native_array() -> Self {
        Self::post("/v1beta/models/gemini-2.5-flash:streamGenerateContent", NATIVE)
    }

    pub fn chat() -> Self {
        Self::post("/v1/chat/completions", CHAT)
    }

    pub fn chat_stream() -> Self {
        Self::post("/v1/chat/completions", CHAT_STREAM)
    }

    pub fn message_stream() -> Self {
        Self::post("/v1/messages", CHAT_STREAM)
    }
}

const NATIVE: &str = r#"{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}"#;
const CHAT: &str = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hi"}]}"#;
const CHAT_STREAM: &str =
    r#"{"model":"gemini-2.5-flash","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;

/// A configuration with these pool keys, in order, and one client.
pub fn config(keys: &[&str]) -> Config {
    Config {
        keys: keys.iter().map(|key| PoolKey::from(ApiKey::new(key))).collect(),
        // Without a pool the client is served with its own key.
        clients: keys.iter().map(|_| ApiKey::new(CLIENT)).collect(),
        strategy: Strategy::RoundRobin,
        // The queue has tests of its own.
        queue_wait: Duration::ZERO,
        ..Config::default()
    }
}

impl Harness {
    pub fn new(config: Config) -> Self {
        Self { gateway: Gateway::new(config, 1), now: START, web: Box::new(no_web) }
    }

    /// Sends a call; `upstream` answers each request that goes up.
    pub fn send(&mut self, call: &Call, mut upstream: impl FnMut(&Request<Option<Bytes>>) -> Canned) -> Seen {
        let headers: HeaderMap = call
            .headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header value"))
            })
            .chain([(http::header::CONTENT_LENGTH, HeaderValue::from(call.body.len()))])
            .collect();
        let uri = call.path.parse().expect("a path");
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let head = Head { method: &call.method, uri: &uri, headers: &headers, peer };
        let reply = match self.gateway.accept(&head, self.now) {
            Accepted::Reply(reply) => reply,
            Accepted::Stream(exchange) => return self.drive(exchange, &mut upstream),
            Accepted::NeedBody(intake) => match intake.whole(call.body.clone(), self.now) {
                Ok(exchange) => return self.drive(exchange, &mut upstream),
                Err(reply) => reply,
            },
            Accepted::Verify(_) => panic!("a verification has no exchange"),
        };
        let (head, body) = reply.into_parts();
        Seen {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_vec(),
            reset: false,
            calls: Vec::new(),
            took: Duration::ZERO,
            events: Vec::new(),
        }
    }

    fn drive(
        &mut self,
        mut exchange: Exchange,
        upstream: &mut dyn FnMut(&Request<Option<Bytes>>) -> Canned,
    ) -> Seen {
        let began = self.now;
        let mut calls = Vec::new();
        let mut events = Vec::new();
        let mut running: Vec<(OpId, VecDeque<Outcome>)> = Vec::new();
        for _ in 0..100_000 {
            let step = exchange.poll(self.now);
            events.extend(exchange.take_events());
            match step {
                Step::Start(op, Op::Upstream(request)) => {
                    let key = request.headers().get("x-goog-api-key");
                    let key = key.or_else(|| request.headers().get("authorization"));
                    calls.push(key.map_or("", |key| key.to_str().expect("ASCII")).to_owned());
                    running.push((op, outcomes(upstream(&request))));
                }
                Step::Start(op, Op::Fetch(request)) => running.push((op, (self.web)(&request).into())),
                Step::Cancel(op) => running.retain(|(running, _)| *running != op),
                Step::WaitUntil(until) => {
                    let next =
                        running.iter_mut().find_map(|(op, outcomes)| Some((*op, outcomes.pop_front()?)));
                    match next {
                        Some((op, outcome)) => exchange.handle(op, outcome, self.now),
                        None => {
                            assert!(until >= self.now, "waiting for the past");
                            assert!(until < Timestamp::NEVER, "waiting forever");
                            self.now = until.max(self.now + Duration::from_millis(1));
                        }
                    }
                }
                Step::Queued { ticket, until } => {
                    assert!(until >= self.now, "waiting for the past");
                    let next =
                        running.iter_mut().find_map(|(op, outcomes)| Some((*op, outcomes.pop_front()?)));
                    if let Some((op, outcome)) = next {
                        exchange.handle(op, outcome, self.now);
                        continue;
                    }
                    let woken = self.gateway.due(self.now).into_iter().any(
                        |due| matches!(due, libra_core::gateway::DueNow::Wake(woken) if woken == ticket),
                    );
                    if !woken {
                        let next = self.gateway.next_deadline(self.now).unwrap_or(until);
                        self.now = next.clamp(
                            self.now + Duration::from_millis(1),
                            until.max(self.now + Duration::from_millis(1)),
                        );
                    }
                }
                Step::Reply(reply) => {
                    let (head, body) = reply.into_parts();
                    return Seen {
                        status: head.status.as_u16(),
                        headers: head.headers,
                        body: body.to_vec(),
                        reset: false,
                        calls,
                        took: self.now.since(began),
                        events,
                    };
                }
                Step::Commit { op, .. } => {
                    let at = running.iter().position(|(running, _)| *running == op).expect("a running op");
                    let mut rest = running.swap_remove(at).1;
                    let mut relay = exchange.commit(op);
                    let (head, mut piece) = relay.begin(self.now);
                    let mut body = piece.bytes.to_vec();
                    while piece.next == Next::More {
                        piece = match rest.pop_front() {
                            Some(Outcome::Chunk(chunk)) => relay.push(chunk, self.now),
                            Some(Outcome::End) => relay.finish(&BodyEnd::Complete, self.now),
                            Some(_) => relay.finish(&BodyEnd::Broken, self.now),
                            None => {
                                self.now = relay.idle_deadline(self.now);
                                relay.finish(&BodyEnd::Idle, self.now)
                            }
                        };
                        body.extend_from_slice(&piece.bytes);
                    }
                    events.extend(relay.take_events());
                    let (head, ()) = head.into_parts();
                    return Seen {
                        status: head.status.as_u16(),
                        headers: head.headers,
                        body,
                        reset: piece.next == Next::Reset,
                        calls,
                        took: self.now.since(began),
                        events,
                    };
                }
            }
        }
        panic!("the exchange does not end");
    }
}

fn outcomes(canned: Canned) -> VecDeque<Outcome> {
    let mut outcomes = VecDeque::new();
    if canned.status != 0 {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(canned.content_type));
        headers.insert("x-goog-api-key", HeaderValue::from_static("echoed"));
        for (name, value) in canned.headers {
            headers.insert(name, HeaderValue::from_str(&value).expect("a header value"));
        }
        outcomes.push_back(Outcome::Head(StatusCode::from_u16(canned.status).expect("a status"), headers));
        outcomes.extend(canned.chunks.into_iter().filter(|chunk| !chunk.is_empty()).map(Outcome::Chunk));
    }
    match canned.end {
        End::Complete => outcomes.push_back(Outcome::End),
        End::Broken => outcomes.push_back(Outcome::Failed { stale: false, message: "broken".to_owned() }),
        End::Stale => outcomes.push_back(Outcome::Failed { stale: true, message: "closed".to_owned() }),
        End::Refused => outcomes.push_back(Outcome::Failed { stale: false, message: "refused".to_owned() }),
        End::Silence => {}
    }
    outcomes
}
