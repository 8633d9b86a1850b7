//! A shell without sockets: drives exchanges against a scripted upstream in virtual time.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

mod play;
pub mod strict;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use libra_core::config::{Config, PoolKey, Strategy};
use libra_core::event::Event;
use libra_core::exchange::{Exchange, Op, OpId, Outcome, Step};
use libra_core::gateway::{Accepted, Gateway, Head};
use libra_core::relay::{BodyEnd, Next};
use libra_core::secret::ApiKey;
use libra_core::time::Timestamp;

/// 15 January 2027, 08:00 UTC: midnight in California.
pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// What a shell says of a connection, whatever a platform says.
const FAILED: &str = "the connection to the upstream failed";

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
    /// How long it takes to come.
    pub after: Duration,
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
            after: Duration::ZERO,
        }
    }

    pub fn sse(body: impl Into<Bytes>) -> Self {
        Self { content_type: "text/event-stream", ..Self::json(200, body) }
    }

    pub fn nothing(end: End) -> Self {
        Self { status: 0, chunks: Vec::new(), ..Self::json(200, "") }.ending(end)
    }

    pub fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
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
    /// When the response began and each sign of life came, from the beginning, where that was before the answer.
    pub beats: Vec<Duration>,
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
    play: Option<play::Play>,
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
        // The queue and signs of life have tests of their own.
        queue_wait: Duration::ZERO,
        heartbeat: Duration::ZERO,
        ..Config::default()
    }
}

/// A pool of this many projects (`p0`) with two keys each (`p0-k0`), and a second client.
pub fn projects(count: usize) -> Config {
    let keys = (0..count).flat_map(|project| (0..2).map(move |key| (project, key)));
    Config {
        keys: keys
            .map(|(project, key)| PoolKey {
                project: Some(format!("p{project}")),
                ..PoolKey::from(ApiKey::new(&format!("p{project}-k{key}")))
            })
            .collect(),
        clients: [CLIENT, "other-client"].map(ApiKey::new).into_iter().collect(),
        ..config(&[])
    }
}

impl Harness {
    pub fn new(config: Config) -> Self {
        let play = play::Play::begin(&config);
        Self { gateway: Gateway::new(config, 1), now: START, web: Box::new(no_web), play }
    }

    /// The exchange of a call that is let in.
    pub fn exchange(&self, call: &Call) -> Exchange {
        self.accept(call).unwrap_or_else(|reply| panic!("{reply:?}"))
    }

    /// Sends a call; `upstream` answers each request that goes up.
    pub fn send(&mut self, call: &Call, mut upstream: impl FnMut(&Request<Option<Bytes>>) -> Canned) -> Seen {
        let at = self.now;
        let seen = match self.accept(call) {
            Ok(exchange) => self.drive(exchange, &mut upstream),
            Err(reply) => Self::refused(reply),
        };
        if let Some(play) = &mut self.play {
            play.seen(call, at, &seen);
        }
        seen
    }

    fn refused(reply: Response<Bytes>) -> Seen {
        let (head, body) = reply.into_parts();
        Seen {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_vec(),
            reset: false,
            calls: Vec::new(),
            took: Duration::ZERO,
            beats: Vec::new(),
            events: Vec::new(),
        }
    }

    fn accept(&self, call: &Call) -> Result<Exchange, Response<Bytes>> {
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
        match self.gateway.accept(&head, self.now) {
            Accepted::Reply(reply) => Err(reply),
            Accepted::Stream(exchange) => Ok(exchange),
            Accepted::NeedBody(intake) => intake.whole(call.body.clone(), self.now),
            Accepted::Verify(_) => panic!("a verification has no exchange"),
            Accepted::Upgrade(_) => panic!("a session has no exchange"),
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
        let mut beats = Vec::new();
        let mut open: Option<Response<Vec<u8>>> = None;
        let mut running: Vec<(OpId, Timestamp, VecDeque<Outcome>)> = Vec::new();
        for _ in 0..100_000 {
            let step = exchange.poll(self.now);
            events.extend(exchange.take_events());
            match step {
                Step::Start(op, Op::Upstream(request)) => {
                    let key = request.headers().get("x-goog-api-key");
                    let key = key.or_else(|| request.headers().get("authorization"));
                    calls.push(key.map_or("", |key| key.to_str().expect("ASCII")).to_owned());
                    let canned = upstream(&request);
                    if let Some(play) = &mut self.play {
                        play.answered(&request, &canned);
                    }
                    running.push((op, self.now + canned.after, outcomes(canned)));
                }
                Step::Start(op, Op::Fetch(request)) => {
                    let outcomes = (self.web)(&request);
                    if let Some(play) = &mut self.play {
                        play.fetched(&request, &outcomes);
                    }
                    running.push((op, self.now, outcomes.into()));
                }
                Step::Cancel(op) => running.retain(|(running, ..)| *running != op),
                Step::WaitUntil(until) => {
                    let now = self.now;
                    let next = next_outcome(&mut running, now);
                    let coming = running.iter().filter(|(.., rest)| !rest.is_empty()).map(|(_, at, _)| *at);
                    let until = coming.min().map_or(until, |at| until.min(at.max(now)));
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
                    if let Some((op, outcome)) = next_outcome(&mut running, self.now) {
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
                Step::Open(head) => {
                    assert!(open.is_none(), "the response begins twice");
                    beats.push(self.now.since(began));
                    open = Some(head.map(|()| Vec::new()));
                }
                Step::Ping(bytes) => {
                    beats.push(self.now.since(began));
                    open.as_mut().expect("a response that has begun").body_mut().extend_from_slice(&bytes);
                }
                Step::Reply(reply) => {
                    let (head, mut body) = reply.map(|body| body.to_vec()).into_parts();
                    let (head, before) = open.map_or((head, Vec::new()), Response::into_parts);
                    body.splice(..0, before);
                    return Seen {
                        status: head.status.as_u16(),
                        headers: head.headers,
                        body,
                        reset: false,
                        calls,
                        took: self.now.since(began),
                        beats,
                        events,
                    };
                }
                Step::Commit { op, cancel } => {
                    let at = running.iter().position(|(running, ..)| *running == op).expect("a running op");
                    let (.., mut rest) = running.swap_remove(at);
                    running.retain(|(running, ..)| !cancel.contains(running));
                    assert!(running.iter().all(|(.., rest)| rest.is_empty()), "an operation is forgotten");
                    let mut relay = exchange.commit(op);
                    let (head, mut piece) = relay.begin(self.now);
                    let (head, ()) = head.into_parts();
                    let (head, mut body) = open.map_or((head, Vec::new()), Response::into_parts);
                    body.extend_from_slice(&piece.bytes);
                    while piece.next == Next::More {
                        piece = match rest.pop_front() {
                            Some(outcome) => relay.handle(outcome, self.now),
                            None => {
                                self.now = relay.idle_deadline();
                                relay.finish(&BodyEnd::Idle, self.now)
                            }
                        };
                        body.extend_from_slice(&piece.bytes);
                    }
                    events.extend(relay.take_events());
                    return Seen {
                        status: head.status.as_u16(),
                        headers: head.headers,
                        body,
                        reset: piece.next == Next::Reset,
                        calls,
                        took: self.now.since(began),
                        beats,
                        events,
                    };
                }
            }
        }
        panic!("the exchange does not end");
    }
}

/// What comes next of the operations under way, by then.
fn next_outcome(
    running: &mut [(OpId, Timestamp, VecDeque<Outcome>)],
    now: Timestamp,
) -> Option<(OpId, Outcome)> {
    let here = running.iter_mut().filter(|(_, at, _)| *at <= now);
    here.into_iter().find_map(|(op, _, rest)| Some((*op, rest.pop_front()?)))
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
        End::Broken => outcomes.push_back(Outcome::Failed { stale: false, message: FAILED.to_owned() }),
        End::Stale => outcomes.push_back(Outcome::Failed { stale: true, message: "closed".to_owned() }),
        End::Refused => outcomes.push_back(Outcome::Failed { stale: false, message: FAILED.to_owned() }),
        End::Silence => {}
    }
    outcomes
}
