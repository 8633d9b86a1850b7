//! The answer to a call as the shell has to give it: a head, pieces of a body, pauses, and how it ends.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::errors::{Form, GoogleError};
use crate::fault::Fault;
use crate::json;

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Answer.
    Answer(Reply),
    /// Keep the connection open and say nothing.
    Hang,
    /// Reset the connection.
    Reset,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// `content-type`.
    pub content_type: &'static str,
    /// Further headers; each takes the place of the usual one of its name.
    pub headers: HeaderMap,
    /// Whether the body is packed with gzip.
    pub gzip: bool,
    /// How long the head waits.
    pub head_delay: Duration,
    /// How long the body waits after the head.
    pub first_delay: Duration,
    /// How long the body waits between pieces.
    pub delay: Duration,
    /// The body.
    pub pieces: Arc<[Bytes]>,
    /// What comes after the last piece.
    pub end: End,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As it should.
    Complete,
    /// The connection is closed without the terminator.
    Cut,
    /// It does not.
    Never,
}

pub(crate) const JSON: &str = "application/json; charset=UTF-8";
const EVENTS: &str = "text/event-stream";
pub(crate) const HTML: &str = "text/html; charset=UTF-8";

impl Reply {
    /// A whole body at once.
    pub(crate) fn whole(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::pieces(status, content_type, Arc::new([body.into()]))
    }

    /// A good answer in a form. Pieces are events, elements with their commas and brackets, or the one object.
    pub(crate) fn good(form: Form, pieces: Arc<[Bytes]>) -> Self {
        Self::pieces(200, if form == Form::Events { EVENTS } else { JSON }, pieces)
    }

    /// 200 with an object.
    pub(crate) fn object(object: &Value) -> Self {
        Self::whole(200, JSON, json::pretty(object))
    }

    /// With a header more. A value that cannot be one is left out.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    pub(crate) fn pieces(status: u16, content_type: &'static str, pieces: Arc<[Bytes]>) -> Self {
        Self {
            status,
            content_type,
            headers: HeaderMap::new(),
            gzip: false,
            head_delay: Duration::ZERO,
            first_delay: Duration::ZERO,
            delay: Duration::ZERO,
            pieces,
            end: End::Complete,
        }
    }

    /// An error. One that takes the place of events has their content type and is a plain object all the same.
    pub(crate) fn error(error: &GoogleError, form: Form) -> Self {
        let content_type = if form == Form::Events { EVENTS } else { JSON };
        Self::whole(error.status, content_type, error.bytes(form))
    }

    /// Does to the body what a fault does to it.
    pub(crate) fn spoil(&mut self, fault: Fault, form: Form) {
        let error = GoogleError::overloaded();
        // An array has its closing bracket as its last piece.
        let events = self.pieces.len() - usize::from(form == Form::Array && self.pieces.len() > 1);
        let good = &self.pieces[..(events / 2).max(1).min(events)];
        let (pieces, end) = match (fault, form) {
            (Fault::Empty, _) => (Vec::new(), End::Complete),
            (Fault::Silent, _) => (Vec::new(), End::Never),
            (Fault::FirstEventError, Form::Events) => (vec![json::event(&error.body)], End::Complete),
            (Fault::FirstEventError | Fault::EventError | Fault::RawErrorTail, Form::Single) => {
                (vec![error.bytes(form)], End::Complete)
            }
            (Fault::FirstEventError, Form::Array) => (vec![error.bytes(form)], End::Complete),
            (Fault::EventError, Form::Events) => {
                ([good, &[json::event(&error.body)]].concat(), End::Complete)
            }
            (Fault::RawErrorTail, Form::Events) => ([good, &[error.bytes(form)]].concat(), End::Complete),
            (Fault::EventError | Fault::RawErrorTail, Form::Array) => {
                let element = [b",\r\n", json::pretty(&error.body).as_slice(), b"]"].concat();
                ([good, &[element.into()]].concat(), End::Complete)
            }
            (Fault::Truncated, Form::Events) => (good.to_vec(), End::Complete),
            (Fault::Truncated, Form::Array) => ([good, &[Bytes::from_static(b"]")]].concat(), End::Complete),
            (Fault::Cut | Fault::Stall, _) => {
                let end = if fault == Fault::Cut { End::Cut } else { End::Never };
                // In the middle of what comes next: of an event, or of the one object.
                let next = if form == Form::Single { 0 } else { good.len() };
                let half = self.pieces.get(next).map(|piece| piece.slice(..piece.len() / 2));
                (self.pieces[..next].iter().cloned().chain(half).collect(), end)
            }
            (Fault::SlowFirstByte(millis), _) => {
                self.head_delay = Duration::from_millis(millis);
                return;
            }
            _ => return,
        };
        self.pieces = pieces.into();
        self.end = end;
    }

    /// Packs a body of one piece, if it is large enough to be worth it.
    pub(crate) fn pack(&mut self) {
        const WORTH_IT: usize = 256;
        let [body] = &*self.pieces else { return };
        if body.len() < WORTH_IT || self.end != End::Complete {
            return;
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
        let packed = encoder.write_all(body).and_then(|()| encoder.finish());
        self.pieces = Arc::new([packed.expect("writing to memory does not fail").into()]);
        self.gzip = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(form: Form) -> Arc<[Bytes]> {
        let texts: &[&'static str] = match form {
            Form::Single => &["{1234}"],
            Form::Events => &["e1", "e2", "e3", "e4"],
            Form::Array => &["[e1", ",e2", ",e3", ",e4", "]"],
        };
        texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
    }

    #[test]
    fn faults_spoil_every_form() {
        let check = |fault, form, start: &str, last: &str, end| {
            let mut reply = Reply::good(form, pieces(form));
            reply.spoil(fault, form);
            let body = String::from_utf8(reply.pieces.concat()).expect("bodies are UTF-8");
            assert!(body.starts_with(start) && body.ends_with(last), "{fault} {form:?}: {body}");
            assert_eq!(reply.end, end, "{fault} {form:?}");
            assert_eq!(reply.status, 200);
        };
        use End::{Complete, Cut, Never};
        use Form::{Array, Events, Single};
        check(Fault::Empty, Events, "", "", Complete);
        check(Fault::Silent, Events, "", "", Never);
        check(Fault::FirstEventError, Events, "data: {\"error\": {\"code\": 503,", "}}\r\n\r\n", Complete);
        check(Fault::FirstEventError, Array, "[{\n  \"error\"", "}\n]", Complete);
        check(Fault::FirstEventError, Single, "{\n  \"error\"", "}\n", Complete);
        check(Fault::EventError, Events, "e1e2data: {\"error\"", "}\r\n\r\n", Complete);
        check(Fault::EventError, Array, "[e1,e2,\r\n{\n  \"error\"", "}\n]", Complete);
        check(Fault::RawErrorTail, Events, "e1e2{\n  \"error\": {\n", "}\n}\n", Complete);
        check(Fault::Truncated, Events, "e1e2", "e1e2", Complete);
        check(Fault::Truncated, Array, "[e1,e2]", "", Complete);
        check(Fault::Cut, Events, "e1e2e", "e2e", Cut);
        check(Fault::Cut, Array, "[e1,e2,", ",e2,", Cut);
        check(Fault::Cut, Single, "{12", "{12", Cut);
        check(Fault::Stall, Events, "e1e2e", "e2e", Never);
        check(Fault::SlowFirstByte(5), Events, "e1", "e4", Complete);
    }

    #[test]
    fn large_bodies_are_packed() {
        let mut reply = Reply::whole(200, JSON, vec![b' '; 1000]);
        reply.pack();
        assert!(reply.gzip && reply.pieces[0].len() < 100);
        let mut reply = Reply::whole(200, JSON, "{}");
        reply.pack();
        assert!(!reply.gzip);
    }
}
