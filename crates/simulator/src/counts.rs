//! What the simulator got: counts by key, and the last requests whole.
//!
//! Keys are shown as they are. They are made up here, and a test wants to see exactly what was sent.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use http::Request;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::clock::UnixMillis;

/// What was counted since the start, or since the last reset.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// All keys together, and what came without one.
    pub totals: KeyCounts,
    /// By key. What came without a key is under `(none)`, what came with more than one under `(several)`, what
    /// names more keys than can be told apart under `(others)`.
    pub keys: BTreeMap<String, KeyCounts>,
}

/// What was counted of one key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct KeyCounts {
    /// The name of its project. None for keys that there are not.
    pub project: Option<String>,
    /// Requests that came.
    pub requests: u64,
    /// Answers by HTTP status; 0 for requests that were left without one.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that are being answered.
    pub in_flight: u64,
    /// Requests whose client left before the end of the answer.
    pub aborted: u64,
    /// Requests by model and method.
    #[serde(serialize_with = "calls")]
    pub calls: BTreeMap<(&'static str, &'static str), u64>,
    /// When the first request came, in milliseconds since the epoch.
    pub first_ms: Option<UnixMillis>,
    /// When the last one came.
    pub last_ms: Option<UnixMillis>,
}

fn calls<S: Serializer>(
    calls: &BTreeMap<(&'static str, &'static str), u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(calls.iter().map(|((model, method), count)| (format!("{model}:{method}"), count)))
}

impl Counts {
    /// The counts of a key; all zero for one that was never used.
    pub fn key(&self, key: &str) -> KeyCounts {
        self.keys.get(key).cloned().unwrap_or_default()
    }
}

impl KeyCounts {
    /// How often this status was answered.
    pub fn status(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or_default()
    }

    pub(crate) fn begin(&mut self, call: (&'static str, &'static str), now: UnixMillis) {
        self.requests += 1;
        self.in_flight += 1;
        *self.calls.entry(call).or_default() += 1;
        self.first_ms.get_or_insert(now);
        self.last_ms = Some(now);
    }

    pub(crate) fn answered(&mut self, status: u16) {
        *self.statuses.entry(status).or_default() += 1;
    }

    pub(crate) fn end(&mut self, aborted: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.aborted += u64::from(aborted);
    }

    /// Zero, but for what is still under way.
    pub(crate) fn reset(&mut self) {
        *self = Self { project: self.project.take(), in_flight: self.in_flight, ..Self::default() };
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.in_flight += other.in_flight;
        self.aborted += other.aborted;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (call, count) in &other.calls {
            *self.calls.entry(*call).or_default() += count;
        }
        self.first_ms = [self.first_ms, other.first_ms].into_iter().flatten().min();
        self.last_ms = self.last_ms.max(other.last_ms);
    }
}

/// The last requests.
#[derive(Debug)]
pub(crate) struct Log {
    most: usize,
    requests: VecDeque<Logged>,
}

#[derive(Debug)]
struct Logged {
    at: UnixMillis,
    /// Without its body.
    head: Request<()>,
    body_bytes: usize,
    /// The beginning of the body.
    body: Bytes,
    status: u16,
}

impl Log {
    /// How much of a body is kept.
    pub(crate) const BODY: usize = 64 << 10;

    pub(crate) fn new(most: usize) -> Self {
        Self { most, requests: VecDeque::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.requests.clear();
    }

    /// `body_bytes`: of the whole body, of which the request may have the beginning alone.
    pub(crate) fn add(&mut self, request: &Request<Bytes>, body_bytes: usize, status: u16, now: UnixMillis) {
        if self.most == 0 {
            return;
        }
        self.requests.truncate(self.most - 1);
        let body = request.body();
        // A slice would keep the whole body in memory.
        let kept =
            if body.len() > Self::BODY { Bytes::copy_from_slice(&body[..Self::BODY]) } else { body.clone() };
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = request.uri().clone();
        *head.headers_mut() = request.headers().clone();
        self.requests.push_front(Logged { at: now, head, body_bytes, body: kept, status });
    }

    /// The oldest first: `[{"at_ms", "method", "path", "headers", "body_bytes", "body", "status"}]`. A header that
    /// came several times is a list. A body that is no UTF-8 is shown as well as it goes.
    pub(crate) fn show(&self) -> Value {
        self.requests.iter().rev().map(Logged::show).collect()
    }
}

impl Logged {
    fn show(&self) -> Value {
        let mut headers = Map::new();
        for name in self.head.headers().keys() {
            let values = self.head.headers().get_all(name).into_iter();
            let mut values: Vec<Value> =
                values.map(|value| String::from_utf8_lossy(value.as_bytes()).into()).collect();
            let shown = if values.len() == 1 { values.remove(0) } else { values.into() };
            headers.insert(name.to_string(), shown);
        }
        json!({
            "at_ms": self.at,
            "method": self.head.method().as_str(),
            "path": self.head.uri().to_string(),
            "headers": headers,
            "body_bytes": self.body_bytes,
            "body": String::from_utf8_lossy(&self.body),
            "status": self.status,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_keeps_the_last_requests() {
        let mut log = Log::new(2);
        for number in 0..3_u64 {
            let request = Request::post(format!("/{number}"))
                .header("x-a", "1")
                .header("x-a", "2")
                .header("x-b", "3")
                .body(Bytes::from(vec![b'x'; 100_000]))
                .expect("the request is valid");
            log.add(&request, 100_000, 200, number);
        }
        let shown = log.show();
        assert_eq!(shown.as_array().map(Vec::len), Some(2));
        assert_eq!(shown[0]["path"], "/1");
        assert_eq!(shown[1]["headers"], json!({ "x-a": ["1", "2"], "x-b": "3" }));
        assert_eq!(shown[1]["body_bytes"], 100_000);
        assert_eq!(shown[1]["body"].as_str().map(str::len), Some(Log::BODY));
    }
}
