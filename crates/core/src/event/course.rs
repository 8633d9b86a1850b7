//! How a request went, from its arrival to its end: gathered on the way, told once, with its end.
//!
//! Shells make spans, stories and histograms of it after the fact; nothing of it is looked at while a request is served.

use std::time::Duration;

use http::header::HeaderMap;
use http::{HeaderName, StatusCode};

use super::Operation;
use crate::failure::{Class, Consequence, Failure};
use crate::secret::KeyId;
use crate::time::Timestamp;

/// Of a request that takes many calls, the attempts of so many are told: more than any other request makes.
const TOLD: usize = 64;

/// How a request went.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Course {
    /// What was asked for.
    pub operation: Operation,
    /// Whether the answer comes in pieces.
    pub streams: bool,
    /// The model that was asked for first, where another one took its place.
    pub first_model: Option<String>,
    /// From the request's arrival until there was something of the answer for the client.
    pub first_byte: Option<Duration>,
    /// How long it waited in the queue; none where it did not.
    pub queued: Option<Duration>,
    /// The attempts that were made, in their order.
    pub attempts: Vec<Attempt>,
    /// The trace that the client goes on with.
    pub trace: Option<TraceContext>,
    queued_since: Option<Timestamp>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// The key; none where another service than Gemini was asked.
    pub key: Option<KeyId>,
    /// How many requests its project had room for before this one, where that is known and somebody
    /// [wants to know](crate::gateway::Gateway::tell_room).
    pub room: Option<u64>,
    /// When it was sent.
    pub began: Timestamp,
    /// When it ended; none while it is under way.
    pub ended: Option<Timestamp>,
    /// What came of it.
    pub result: AttemptResult,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptResult {
    /// The answer.
    Served,
    /// A failure.
    Failed {
        /// What kind of failure.
        class: Class,
        /// The upstream's status, if it answered.
        status: Option<StatusCode>,
        /// For how long the project, or the model with it, rests then.
        rests: Option<Duration>,
    },
    /// Nothing that was waited for: another attempt had answered, or the client had left.
    Dropped,
}

/// The trace that a request belongs to: W3C Trace Context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// Of the whole trace; never zero.
    pub trace: u128,
    /// Of the client's span; never zero.
    pub parent: u64,
    /// Whether the client records its part.
    pub sampled: bool,
}

impl Course {
    pub(crate) fn new(operation: Operation, streams: bool, trace: Option<TraceContext>) -> Self {
        Self { operation, streams, trace, ..Self::default() }
    }

    /// An attempt begins.
    pub(crate) fn begin(&mut self, key: Option<KeyId>, room: Option<u64>, now: Timestamp) {
        if self.attempts.len() < TOLD {
            let result = AttemptResult::Dropped;
            self.attempts.push(Attempt { key, room, began: now, ended: None, result });
        }
    }

    /// The attempt with this key has failed.
    pub(crate) fn failed(&mut self, key: Option<KeyId>, failure: &Failure, now: Timestamp) {
        let rests = match failure.consequence {
            Consequence::RestProject(until) | Consequence::RestModel(until) => Some(until.since(now)),
            _ => None,
        };
        let result = AttemptResult::Failed { class: failure.class, status: failure.status, rests };
        self.conclude(key, result, now);
    }

    /// The request waits in the queue.
    pub(crate) fn queue(&mut self, now: Timestamp) {
        self.queued_since.get_or_insert(now);
    }

    /// It waits no more.
    pub(crate) fn leave_queue(&mut self, now: Timestamp) {
        if let Some(since) = self.queued_since.take() {
            *self.queued.get_or_insert_default() += now.since(since);
        }
    }

    /// The request has ended; `served` is the key whose answer it was, or none of another service.
    pub(crate) fn end(&mut self, served: Option<Option<KeyId>>, now: Timestamp) {
        self.leave_queue(now);
        if let Some(key) = served {
            self.conclude(key, AttemptResult::Served, now);
        }
        for attempt in &mut self.attempts {
            attempt.ended.get_or_insert(now);
        }
    }

    /// Takes in how a part of the request went.
    pub(crate) fn absorb(&mut self, part: Self) {
        let room = TOLD.saturating_sub(self.attempts.len());
        self.attempts.extend(part.attempts.into_iter().take(room));
        self.queued = self.queued.max(part.queued);
    }

    fn conclude(&mut self, key: Option<KeyId>, result: AttemptResult, now: Timestamp) {
        let last = self.attempts.iter_mut().rev().find(|attempt| attempt.key == key);
        if let Some(attempt) = last {
            (attempt.ended, attempt.result) = (Some(now), result);
        }
    }
}

impl TraceContext {
    const HEADER: HeaderName = HeaderName::from_static("traceparent");

    /// The trace that a head names, if it names one as the standard has it: `00-{trace}-{parent}-{flags}`.
    pub(crate) fn find(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(Self::HEADER)?.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.bytes().any(|byte| byte != b'-' && !is_hex(byte)) {
            return None;
        }
        let mut fields = text.split('-');
        let mut field = |length: usize| fields.next().filter(|field| field.len() == length);
        let (version, trace, parent, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        // Later versions may have more fields, this one has not.
        if version == "ff" || (version == "00" && fields.next().is_some()) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
        let parent = u64::from_str_radix(parent, 16).ok().filter(|parent| *parent != 0)?;
        Some(Self { trace, parent, sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Elsewhere;
    use crate::secret::ApiKey;

    #[test]
    fn attempts_are_told_as_they_ended() {
        let at = Timestamp::from_millis;
        let [one, two, three] = ["a", "b", "c"].map(|text| Some(ApiKey::new(text).id()));
        let mut course = Course::default();
        course.queue(at(0));
        course.queue(at(5));
        course.leave_queue(at(10));
        course.begin(one, Some(3), at(10));
        let failure = Failure {
            consequence: Consequence::RestModel(at(60)),
            ..Failure::new(Class::QuotaMinute, Elsewhere::All, "")
        };
        course.failed(one, &failure, at(20));
        course.begin(two, None, at(20));
        course.begin(three, None, at(30));
        course.end(Some(two), at(40));
        let result = |at: usize| course.attempts[at].result;
        let rests = Some(Duration::from_millis(40));
        assert_eq!(result(0), AttemptResult::Failed { class: Class::QuotaMinute, status: None, rests });
        assert_eq!((result(1), result(2)), (AttemptResult::Served, AttemptResult::Dropped));
        assert_eq!(course.attempts[0].ended, Some(at(20)));
        assert_eq!(course.attempts[2].ended, Some(at(40)));
        assert_eq!(course.queued, Some(Duration::from_millis(10)));
        for _ in 0..2 * TOLD {
            course.begin(one, None, at(50));
        }
        assert_eq!(course.attempts.len(), TOLD);
    }

    #[test]
    fn traces_are_read_as_the_standard_has_them() {
        let check = |text: &str, expected: Option<(u128, u64, bool)>| {
            let found = TraceContext::parse(text);
            assert_eq!(found.map(|it| (it.trace, it.parent, it.sampled)), expected, "{text}");
        };
        let good = Some((0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7, true));
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", good);
        check("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", None);
        check("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-abc", good);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-abc", None);
        check("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None);
        check("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None);
        check("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", None);
        check("", None);
    }
}
