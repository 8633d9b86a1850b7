//! One committed answer on its way to the client.
//!
//! From here failing over is unrepresentable: the client has seen the answer's beginning. A stream that breaks
//! off ends with an honest error in the client's dialect, never with an invented "stop"; where no error can be
//! said any more, the connection is broken so that the client notices.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use crate::clients::Charge;
use crate::error::{Dialect, Error, Kind};
use crate::event::{Course, Ending, Event, Finished};
use crate::exchange::{Lease, Outcome, Times, learn_continuation};
use crate::failure::{Class, Consequence, Elsewhere, Failure, Why};
use crate::gateway::Gateway;
use crate::generation::Encoder;
use crate::judge;
use crate::mark::RequestId;
use crate::retry::GivenUp;
use crate::secret::KeyId;
use crate::sse::{Decoder, Frame, Framing};
use crate::time::Timestamp;

/// A native event larger than this is not held back until it is whole: it flows, and if it is then cut, the
/// connection is broken. Images come as events of some megabytes.
const HELD_EVENT: usize = 8 << 20;

/// A translated event must be whole. Larger ones end the stream with an error.
const TRANSLATED_EVENT: usize = 64 << 20;

/// An answer that has been committed.
#[derive(Debug)]
pub struct Relay {
    head: Option<(StatusCode, HeaderMap)>,
    mode: Mode,
    origin: Origin,
    /// What was held back while the answer was judged.
    held: Vec<Bytes>,
    /// With that the upstream's body has ended.
    all_held: bool,
    /// A reason to end was seen: a finish reason, or why the prompt was blocked.
    finished: bool,
    /// Whether any bytes of the body have gone to the client.
    begun: bool,
    /// The last stretch began in the middle of an event.
    torn: bool,
    /// A failure has been reported to the pool already.
    blamed: bool,
    /// The last stretch that was passed: it has the final token counts.
    last: Bytes,
    ended: bool,
    /// When the upstream sent something last.
    heard: Timestamp,
    events: Vec<Event>,
}

/// The request that is answered, and the attempt that the answer comes from.
#[derive(Debug)]
pub(crate) struct Origin {
    pub gateway: Arc<Gateway>,
    /// What stands for the client.
    pub client: KeyId,
    /// So many calls of the conversation had lost their signatures.
    pub stand_ins: u32,
    /// None where another service than Gemini answers.
    pub lease: Option<Lease>,
    pub model: Option<Arc<str>>,
    pub request: RequestId,
    pub dialect: Dialect,
    pub times: Times,
    /// How many were made for the request, with this one.
    pub attempts: u32,
    /// What it takes of what its client may use.
    pub charge: Option<Charge>,
    /// How it went so far.
    pub course: Course,
}

#[derive(Debug)]
pub(crate) enum Mode {
    /// Google's own stream, whole events as they came.
    Native { decoder: Decoder, flowing: bool },
    /// A stream in another dialect, translated event by event.
    Translated { decoder: Decoder, encoder: Box<Encoder> },
    /// Bytes as they come: an answer too large to be held, or another service's.
    Bytes,
}

/// What is to be sent now, and whether more will follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Bytes for the client; may be empty.
    pub bytes: Bytes,
    /// What comes after them.
    pub next: Next,
}

/// What comes after a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// More, when the upstream has sent more.
    More,
    /// Nothing: the answer is complete, or has ended with an error.
    End,
    /// The connection has to be broken: the answer is not complete, and this cannot be said in it.
    Reset,
}

/// Why the upstream's body ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyEnd {
    /// As HTTP says it should.
    Complete,
    /// The connection broke.
    Broken,
    /// Nothing came for too long.
    Idle,
}

impl Relay {
    /// `held` was held back while the answer was judged; `all_held`: it is all of the upstream's body.
    pub(crate) fn new(
        head: (StatusCode, HeaderMap),
        mode: Mode,
        origin: Origin,
        held: Vec<Bytes>,
        all_held: bool,
    ) -> Self {
        Self {
            head: Some(head),
            mode,
            heard: origin.times.arrived,
            origin,
            held,
            all_held,
            finished: false,
            begun: false,
            torn: false,
            blamed: false,
            last: Bytes::new(),
            ended: false,
            events: Vec::new(),
        }
    }

    /// It takes its place among a client's requests until it ends.
    pub(crate) fn charged_to(mut self, charge: Option<Charge>) -> Self {
        self.origin.charge = charge.or(self.origin.charge);
        self
    }

    /// The head of the response, and the first bytes: what was held back. To be asked for once, first.
    pub fn begin(&mut self, now: Timestamp) -> (Response<()>, Piece) {
        let mut response = Response::new(());
        if let Some((status, headers)) = self.head.take() {
            *response.status_mut() = status;
            *response.headers_mut() = headers;
        }
        self.heard = now;
        let mut held = std::mem::take(&mut self.held);
        let whole = if held.len() == 1 { held.remove(0) } else { Bytes::from(held.concat()) };
        let piece = if whole.is_empty() { Piece::more(Bytes::new()) } else { self.push(whole, now) };
        self.note_begun(&piece, now);
        if self.all_held && piece.next == Next::More {
            let last = self.finish(&BodyEnd::Complete, now);
            let bytes = [piece.bytes, last.bytes].concat().into();
            return (response, Piece { bytes, next: last.next });
        }
        (response, piece)
    }

    /// Until when the next bytes have to come. Each puts it off.
    pub fn idle_deadline(&self) -> Timestamp {
        self.heard + self.origin.times.idle
    }

    /// Takes in what else has come of the operation.
    pub fn handle(&mut self, outcome: Outcome, now: Timestamp) -> Piece {
        match outcome {
            Outcome::Chunk(chunk) => self.push(chunk, now),
            Outcome::End => self.finish(&BodyEnd::Complete, now),
            // Its head has come before.
            Outcome::Head(..) | Outcome::TooLarge | Outcome::Failed { .. } => {
                self.finish(&BodyEnd::Broken, now)
            }
        }
    }

    /// Takes the next bytes of the upstream.
    pub fn push(&mut self, chunk: Bytes, now: Timestamp) -> Piece {
        self.heard = now;
        let piece = self.take(chunk, now);
        self.note_begun(&piece, now);
        piece
    }

    fn note_begun(&mut self, piece: &Piece, now: Timestamp) {
        if !self.begun && !piece.bytes.is_empty() {
            self.begun = true;
            self.origin.course.first_byte = Some(now.since(self.origin.times.arrived));
        }
    }

    fn take(&mut self, chunk: Bytes, now: Timestamp) -> Piece {
        if self.ended {
            return Piece { bytes: Bytes::new(), next: Next::End };
        }
        match &mut self.mode {
            Mode::Bytes => Piece::more(chunk),
            Mode::Native { decoder, flowing } => {
                decoder.push(chunk);
                let mut piece = decoder.whole().unwrap_or_default();
                self.torn = *flowing;
                if !piece.is_empty() {
                    *flowing = false;
                }
                if decoder.held() > HELD_EVENT {
                    (*flowing, self.torn) = (true, true);
                    piece = [piece, decoder.overflow()].concat().into();
                }
                self.pass(piece, now)
            }
            Mode::Translated { decoder, .. } => {
                decoder.push(chunk);
                let too_large = decoder.held() > TRANSLATED_EVENT;
                let piece = self.translate(now);
                if too_large && piece.next == Next::More && self.held_back() > TRANSLATED_EVENT {
                    let error =
                        Error::new(Kind::BadGateway, "The upstream sent an event too large to translate.");
                    return self.end_with(piece.bytes, &error, now);
                }
                piece
            }
        }
    }

    /// The upstream's body has ended. Says the rest of the answer, or that it is not whole.
    pub fn finish(&mut self, end: &BodyEnd, now: Timestamp) -> Piece {
        if self.ended {
            return Piece { bytes: Bytes::new(), next: Next::End };
        }
        let cut = match end {
            BodyEnd::Complete => "The upstream ended the answer before it was complete.",
            BodyEnd::Broken => "The connection to the upstream broke before the answer was complete.",
            BodyEnd::Idle => "The upstream has been silent for too long; the answer is not complete.",
        };
        let cut = Error::new(Kind::BadGateway, cut);
        let complete = *end == BodyEnd::Complete;
        match &mut self.mode {
            Mode::Bytes if complete => self.end(Bytes::new(), Next::End, Ending::Complete, now),
            Mode::Bytes => self.end(Bytes::new(), Next::Reset, Ending::Cut, now),
            Mode::Native { decoder, flowing } => {
                let (rest, framing, flowing) = (decoder.rest(), decoder.framing(), *flowing);
                let frame = Frame::of_rest(framing, rest.clone());
                if let Some(failure) = self.error_in(&frame, now) {
                    return self.fail(Bytes::new(), &failure, now);
                }
                self.finished = self.finished
                    || judge::mentions_finish(&rest)
                        && frame.data().is_some_and(|data| judge::finishes(&data));
                match (self.finished && complete, flowing) {
                    (true, _) => self.end(rest, Next::End, Ending::Complete, now),
                    (false, true) => self.end(rest, Next::Reset, Ending::Cut, now),
                    (false, false) => self.end_with(Bytes::new(), &cut, now),
                }
            }
            Mode::Translated { decoder, .. } => {
                let rest = decoder.rest();
                let frame = Frame::of_rest(decoder.framing(), rest);
                let mut out = Vec::new();
                // What is left of a broken body is half an event, if anything.
                let is_event = frame.data().is_some_and(|data| complete || judge::is_error(&data));
                if is_event && let Err(failure) = self.encode(&frame, &mut out, now) {
                    return self.fail(out.into(), &failure, now);
                }
                let Mode::Translated { encoder, .. } = &mut self.mode else {
                    unreachable!("the mode of a relay does not change")
                };
                if encoder.is_finished() && complete {
                    encoder.finish(&mut out);
                    if let Some(kept) = encoder.take_kept() {
                        self.origin.gateway.answers().keep(self.origin.client, kept, now);
                    }
                    return self.end(out.into(), Next::End, Ending::Complete, now);
                }
                self.end_with(out.into(), &cut, now)
            }
        }
    }

    /// The client has left, or the shell gives up. Does nothing when the answer has ended.
    pub fn abandon(&mut self, now: Timestamp) {
        if !self.ended {
            self.end(Bytes::new(), Next::Reset, Ending::ClientLeft, now);
        }
    }

    /// What happened since this was last asked.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn held_back(&self) -> usize {
        match &self.mode {
            Mode::Native { decoder, .. } | Mode::Translated { decoder, .. } => decoder.held(),
            Mode::Bytes => 0,
        }
    }

    /// Passes whole native events on, up to an error among them.
    fn pass(&mut self, piece: Bytes, now: Timestamp) -> Piece {
        let Mode::Native { decoder, .. } = &self.mode else { return Piece::more(piece) };
        let suspicious = match decoder.framing() {
            Framing::Sse => judge::has_error_event(&piece),
            Framing::Array => judge::mentions_error(&piece),
        };
        if !suspicious {
            self.look_at(&piece, now);
            return Piece::more(piece);
        }
        let mut frames = Decoder::new(decoder.framing());
        // In the middle of an array the decoder is told that one is open.
        let mut good = 0_usize;
        let mut opened = 0;
        if decoder.framing() == Framing::Array && !piece.trim_ascii_start().starts_with(b"[") {
            frames.push(Bytes::from_static(b"["));
            let _ = frames.next_frame();
            opened = 1;
        }
        frames.push(piece.clone());
        while let Some(frame) = frames.next_frame() {
            if let Some(failure) = self.error_in(&frame, now) {
                let before = piece.slice(..good.saturating_sub(opened).min(piece.len()));
                self.look_at(&before, now);
                return self.fail(before, &failure, now);
            }
            good += frame.raw.len();
        }
        self.look_at(&piece, now);
        Piece::more(piece)
    }

    fn error_in(&self, frame: &Frame, now: Timestamp) -> Option<Failure> {
        let data = frame.data()?;
        if !judge::mentions_error(&data) || !judge::is_error(&data) {
            return None;
        }
        Some(match &self.origin.lease {
            Some(lease) => lease.classify_event(&data, self.origin.model.as_deref(), now),
            None => Failure::new(Class::Unknown, Elsewhere::None, "The service sent an error."),
        })
    }

    /// Notes what a passed stretch says of the answer's end.
    fn look_at(&mut self, piece: &Bytes, now: Timestamp) {
        if piece.is_empty() {
            return;
        }
        self.last = piece.clone();
        if !judge::mentions_finish(piece) {
            return;
        }
        if let Some(lease) = &self.origin.lease {
            let by = (lease.key().id(), lease.is_guests());
            learn_continuation(&self.origin.gateway, piece, by, self.origin.client, now);
        }
        // A part of an event that was too large to be held cannot be read; its word has to do.
        self.finished = self.finished
            || self.torn
            || self.last_frames().iter().any(|frame| frame.data().is_some_and(|data| judge::finishes(&data)));
    }

    /// The events of the last stretch that was passed.
    fn last_frames(&self) -> Vec<Frame> {
        let framing = match &self.mode {
            Mode::Native { decoder, .. } | Mode::Translated { decoder, .. } => decoder.framing(),
            Mode::Bytes => return Vec::new(),
        };
        let mut decoder = Decoder::new(framing);
        if framing == Framing::Array && !self.last.trim_ascii_start().starts_with(b"[") {
            decoder.push(Bytes::from_static(b"["));
            let _ = decoder.next_frame();
        }
        decoder.push(self.last.clone());
        std::iter::from_fn(|| decoder.next_frame()).collect()
    }

    fn translate(&mut self, now: Timestamp) -> Piece {
        let mut out = Vec::new();
        loop {
            let Mode::Translated { decoder, .. } = &mut self.mode else {
                unreachable!("the mode of a relay does not change")
            };
            let Some(frame) = decoder.next_frame() else { break };
            if let Err(failure) = self.encode(&frame, &mut out, now) {
                return self.fail(out.into(), &failure, now);
            }
            self.last = frame.raw;
        }
        Piece::more(out.into())
    }

    fn encode(&mut self, frame: &Frame, out: &mut Vec<u8>, now: Timestamp) -> Result<(), Failure> {
        if let Some(failure) = self.error_in(frame, now) {
            return Err(failure);
        }
        let (Some(data), Mode::Translated { encoder, .. }) = (frame.data(), &mut self.mode) else {
            return Ok(());
        };
        encoder
            .push(&data, out)
            .map_err(|error| Failure::new(Class::Unknown, Elsewhere::None, error.to_string()))?;
        let issued = encoder.take_issued();
        if !issued.is_empty() {
            self.origin.gateway.signatures().remember(self.origin.client, issued);
        }
        Ok(())
    }

    /// Ends with an error that the upstream sent in the middle of the answer.
    fn fail(&mut self, before: Bytes, failure: &Failure, now: Timestamp) -> Piece {
        self.report(failure, now);
        let own_keys = self.origin.lease.as_ref().is_none_or(Lease::is_guests);
        // It has been reported as what it is; the cut that follows is no further fault.
        self.blamed = true;
        let failures = std::slice::from_ref(failure);
        let error = GivenUp { failures, recovery: None, own_keys, now }.error();
        self.end_with(before, &error, now)
    }

    /// Ends with an error in the client's dialect.
    fn end_with(&mut self, before: Bytes, error: &Error, now: Timestamp) -> Piece {
        let said = match &mut self.mode {
            Mode::Native { decoder, .. } if decoder.framing() == Framing::Array => {
                let begun = self.begun || !before.is_empty();
                let mark: &[u8] = if begun { b",\r\n" } else { b"[" };
                Bytes::from([mark, &error.object(Dialect::Gemini, None)[..], b"\n]\n"].concat())
            }
            Mode::Native { .. } | Mode::Bytes => error.event(self.origin.dialect, Some(self.origin.request)),
            Mode::Translated { encoder, .. } => {
                let mut said = Vec::new();
                encoder.fail(error, self.origin.request, &mut said);
                if said.is_empty() {
                    return self.end(before, Next::Reset, Ending::Cut, now);
                }
                said.into()
            }
        };
        let bytes = if before.is_empty() { said } else { [before, said].concat().into() };
        self.end(bytes, Next::End, Ending::Cut, now)
    }

    fn end(&mut self, bytes: Bytes, next: Next, ending: Ending, now: Timestamp) -> Piece {
        self.ended = true;
        if judge::mentions_disabled(&self.last) && self.says_disabled() {
            let disabled = Failure {
                consequence: Consequence::SetAsideProject(Why::Suspended),
                ..Failure::new(Class::ProjectSuspended, Elsewhere::All, "PUP_LIMITED_DISABLED")
            };
            self.report(&disabled, now);
        }
        let key = self.origin.lease.as_ref().map(|lease| lease.key().id());
        match (ending, self.origin.lease.take()) {
            (Ending::Complete, Some(lease)) => {
                lease.succeeded(self.origin.model.as_deref(), judge::usage(&self.last), now)
            }
            (Ending::Cut, Some(lease)) if !self.blamed => {
                // A cut is no proof against anybody; a project that cuts again and again comes last.
                let cut = Failure {
                    consequence: Consequence::Penalty,
                    ..Failure::new(Class::Network, Elsewhere::None, "The answer was cut.")
                };
                self.events.extend(lease.failed(self.origin.model.as_deref(), &cut, now));
            }
            _ => {}
        }
        // What was sent before it was cut, or left, was used, too.
        let (usage, model) = (judge::usage(&self.last), self.origin.model.as_deref());
        self.origin.gateway.settle(self.origin.charge.as_mut(), model, usage, now);
        self.origin.charge = None;
        let mut course = std::mem::take(&mut self.origin.course);
        // The whole of a short answer may come with its end.
        if ending == Ending::Complete || !bytes.is_empty() {
            course.first_byte.get_or_insert_with(|| now.since(self.origin.times.arrived));
        }
        course.end(Some(key), now);
        self.events.push(Event::Finished(Finished {
            request: self.origin.request,
            client: self.origin.client,
            dialect: self.origin.dialect,
            model: self.origin.model.as_deref().map(str::to_owned),
            status: StatusCode::OK,
            ending,
            attempts: self.origin.attempts,
            key,
            usage,
            stand_ins: self.origin.stand_ins,
            elapsed: now.since(self.origin.times.arrived),
            course,
        }));
        Piece { bytes, next }
    }

    fn says_disabled(&self) -> bool {
        let disabled = |frame: &Frame| {
            frame.data().is_some_and(|data| judge::content(&data) == judge::Verdict::ProjectDisabled)
        };
        self.last_frames().iter().any(disabled)
    }

    fn report(&mut self, failure: &Failure, now: Timestamp) {
        if let Some(lease) = &self.origin.lease {
            self.events.extend(lease.failed(self.origin.model.as_deref(), failure, now));
        }
    }
}

impl Piece {
    fn more(bytes: Bytes) -> Self {
        Self { bytes, next: Next::More }
    }
}
