//! The clients: how they ask, and what they see.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, Response, Uri};
use libra_core::exchange::Exchange;
use libra_core::gateway::{Accepted, Head};
use libra_simulator::UnixMillis;
use memchr::memmem;

use super::{Phase, Task, World};
use crate::load::{self, Arrival};
use crate::record::{self, Ended, What};
use crate::scenario::{Scenario, client_key};

/// How a client asks.
pub(super) struct Door {
    whole: Uri,
    stream: Uri,
    headers: HeaderMap,
}

/// The clients' ways in, by their numbers.
pub(super) fn doors(scenario: &Scenario) -> Result<Vec<Door>, String> {
    let door = |(number, client): (usize, &crate::scenario::Client)| {
        let address = |method: &str| {
            let path = format!("/v1beta/models/{}:{method}", client.model);
            path.parse::<Uri>().map_err(|_| format!("client {}: {} is no model", client.name, client.model))
        };
        let bearer = HeaderValue::try_from(format!("Bearer {}", client_key(number)));
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, bearer.map_err(|error| error.to_string())?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Door {
            whole: address("generateContent")?,
            stream: address("streamGenerateContent?alt=sse")?,
            headers,
        })
    };
    scenario.clients.iter().enumerate().map(door).collect()
}

impl World<'_> {
    /// A request arrives at the gateway.
    pub(super) fn arrive(&mut self, arrival: &Arrival) {
        let number = self.record.requests.len();
        let body = load::body(arrival);
        self.record.requests.push(record::Request {
            at: arrival.at,
            client: arrival.client,
            tokens: load::tokens(&body),
            stream: arrival.stream,
            end: None,
        });
        self.tasks.push(None);
        self.live += 1;
        match self.accept(arrival, body) {
            Ok(exchange) => {
                let phase = Phase::Exchange(Box::new(exchange));
                let (running, seen) = (Vec::new(), Seen::default());
                let task = Task { phase, running, wakes_at: UnixMillis::MAX, seen };
                self.tasks[number] = Some(Box::new(task));
                self.drive(number);
            }
            Err(ended) => {
                self.record.requests[number].end = Some(ended);
                self.live -= 1;
            }
        }
    }

    fn accept(&mut self, arrival: &Arrival, body: Bytes) -> Result<Exchange, Ended> {
        let door = &self.doors[arrival.client as usize];
        let mut headers = door.headers.clone();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        let uri = if arrival.stream { &door.stream } else { &door.whole };
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let head = Head { method: &Method::POST, uri, headers: &headers, peer };
        let reply = match self.gateway.accept(&head, self.time()) {
            Accepted::Reply(reply) => reply,
            Accepted::Stream(exchange) => return Ok(exchange),
            Accepted::NeedBody(mut intake) => {
                // Where there is no room the body would be streamed; a trial's bodies are small.
                let _ = intake.hold(body.len());
                match intake.whole(body, self.time()) {
                    Ok(exchange) => return Ok(exchange),
                    Err(reply) => reply,
                }
            }
            Accepted::Verify(_) | Accepted::Upgrade(_) => {
                self.broken = Some("a request for an answer was taken for something else".to_owned());
                Response::new(Bytes::new())
            }
        };
        Err(replied(&reply, self.now))
    }
}

/// What a client has seen so far of an answer that streams.
#[derive(Debug, Default)]
pub(super) struct Seen {
    status: u16,
    has_finished: bool,
}

impl Seen {
    pub(super) fn head(&mut self, head: &Response<()>) {
        self.status = head.status().as_u16();
    }

    pub(super) fn piece(&mut self, bytes: &[u8]) {
        self.has_finished = self.has_finished || finishes(bytes);
    }

    /// `orderly`: the body ended as HTTP says it should.
    pub(super) fn ended(&self, orderly: bool, at: UnixMillis) -> Ended {
        let what = if orderly && self.has_finished { What::Answer } else { What::Part };
        Ended { at, status: self.status, retry_after: None, what }
    }
}

/// What a client makes of a whole reply.
pub(super) fn replied(reply: &Response<Bytes>, at: UnixMillis) -> Ended {
    let retry_after = reply.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let is_answer = reply.status().is_success() && finishes(reply.body());
    let what = if is_answer { What::Answer } else { What::Nothing };
    Ended { at, status: reply.status().as_u16(), retry_after, what }
}

/// Whether an answer says why it ended. The simulator's good answers do, in one piece.
fn finishes(bytes: &[u8]) -> bool {
    memmem::find(bytes, b"\"finishReason\"").is_some()
}
