//! What goes on between a client, the gateway and a scripted Google, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response};
use libra_core::event::{Event, LiveEnded};
use libra_core::gateway::{Accepted, Gateway, Head};
use libra_core::live::{Close, Ended, Frame, Input, Outgoing, Session, Step};
use libra_core::time::Timestamp;

use crate::harness::{CLIENT, START, config};

pub(crate) const PATH: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
pub(crate) const SETUP: &str =
    r#"{"setup": {"model": "models/gemini-2.5-flash", "generationConfig": {"temperature": 1.0}}}"#;
pub(crate) const READY: &str = r#"{"setupComplete": {}}"#;
pub(crate) const LEAKED: &str = r#"{"error":{"code":403,"message":"Your API key was reported as leaked. Please use another API key.","status":"PERMISSION_DENIED"}}"#;

/// What goes on between a client, the gateway and Google.
pub(crate) struct Play {
    pub(crate) session: Session,
    pub(crate) now: Timestamp,
    /// What Google was asked for.
    pub(crate) asked: Vec<Request<()>>,
    /// What Google got since the last connection.
    pub(crate) up: Vec<Outgoing>,
    pub(crate) down: Vec<Outgoing>,
    pub(crate) dropped: usize,
    pub(crate) waits_until: Timestamp,
    pub(crate) is_over: bool,
    pub(crate) events: Vec<Event>,
}

pub(crate) fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers: HeaderMap = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    .into_iter()
    .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
    .collect();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), value.parse().expect("a value"));
    }
    headers
}

pub(crate) fn accept(
    gateway: &Arc<Gateway>,
    uri: &str,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Session, Response<Bytes>> {
    let uri = uri.parse().expect("a URI");
    let head = Head { method: &Method::GET, uri: &uri, headers, peer: [127, 0, 0, 1].into() };
    match gateway.accept(&head, now) {
        Accepted::Upgrade(session) => Ok(*session),
        Accepted::Reply(reply) => Err(reply),
        other => panic!("{other:?}"),
    }
}

impl Play {
    pub(crate) fn of(session: Session) -> Self {
        let mut play = Self {
            session,
            now: START,
            asked: Vec::new(),
            up: Vec::new(),
            down: Vec::new(),
            dropped: 0,
            waits_until: START,
            is_over: false,
            events: Vec::new(),
        };
        play.settle();
        play
    }

    pub(crate) fn with(gateway: &Arc<Gateway>) -> Self {
        let session = accept(gateway, PATH, &head(&[("x-goog-api-key", CLIENT)]), START);
        Self::of(session.expect("a session"))
    }

    pub(crate) fn settle(&mut self) {
        loop {
            match self.session.poll(self.now) {
                Step::Connect(request) => {
                    self.asked.push(*request);
                    self.up.clear();
                }
                Step::Disconnect => self.dropped += 1,
                Step::Wait(until) => {
                    let (up, down) = (self.up.len(), self.down.len());
                    self.up.extend(std::iter::from_fn(|| self.session.to_upstream(self.now)));
                    self.down.extend(std::iter::from_fn(|| self.session.to_client(self.now)));
                    if (up, down) == (self.up.len(), self.down.len()) {
                        self.waits_until = until;
                        break;
                    }
                }
                Step::End => {
                    self.is_over = true;
                    break;
                }
            }
        }
        self.events.extend(self.session.take_events());
    }

    pub(crate) fn tell(&mut self, input: Input) {
        self.session.handle(input, self.now);
        self.settle();
    }

    pub(crate) fn client(&mut self, text: &str) {
        assert!(self.session.reads_client());
        self.tell(Input::FromClient(Frame::text(text.to_owned())));
    }

    pub(crate) fn google(&mut self, text: &str) {
        assert!(self.session.reads_upstream());
        self.tell(Input::FromUpstream(binary(text)));
    }

    pub(crate) fn connected(&mut self) {
        self.tell(Input::Connected(HeaderMap::new()));
    }

    /// To where frames pass.
    pub(crate) fn ready(gateway: &Arc<Gateway>) -> Self {
        let mut play = Self::with(gateway);
        play.client(SETUP);
        play.connected();
        play.google(READY);
        play.down.clear();
        play.up.clear();
        play
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.settle();
    }

    pub(crate) fn key(&self) -> &str {
        self.asked.last().expect("it was asked").headers()["x-goog-api-key"].to_str().expect("a key")
    }

    pub(crate) fn closed(&self) -> (u16, &str) {
        match self.down.last() {
            Some(Outgoing::Close(Some(close))) => (close.code, &close.reason),
            other => panic!("no close: {other:?}"),
        }
    }

    pub(crate) fn end(&self) -> &LiveEnded {
        let mut ends = self.events.iter().filter_map(|event| match event {
            Event::LiveEnded(end) => Some(end),
            _ => None,
        });
        let end = ends.next().expect("an end");
        assert_eq!(ends.next(), None, "there is one end");
        end
    }
}

pub(crate) fn binary(text: &str) -> Frame {
    Frame { payload: Bytes::from(text.to_owned()), is_text: false }
}

pub(crate) fn close(code: u16, reason: &str) -> Close {
    Close { code, reason: reason.to_owned() }
}

pub(crate) fn said(code: u16, reason: &str) -> Ended {
    Ended::Said(Some(close(code, reason)))
}

pub(crate) fn five() -> Arc<Gateway> {
    Gateway::new(config(&["key-1", "key-2", "key-3", "key-4", "key-5"]), 1)
}

impl Play {
    pub(crate) fn end_after_goodbye(&mut self) -> &LiveEnded {
        self.tell(Input::ClientEnded(said(1000, "")));
        assert!(self.is_over);
        self.end()
    }
}
