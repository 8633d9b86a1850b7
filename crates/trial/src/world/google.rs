//! Google's side: the simulator, and how long things take.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, StatusCode, Uri};
use libra_core::check::Check;
use libra_core::exchange::{OpId, Outcome};
use libra_simulator::{End, Plan, Reply, Ticket, UnixMillis};

use super::{Event, World};
use crate::load::{self, Arrival};
use crate::record::Others;
use crate::scenario::{millis, others_key};

impl World<'_> {
    /// A call is at Google's.
    pub(super) fn reach(&mut self, number: usize, op: OpId) {
        let Some(task) = self.tasks.get_mut(number).and_then(Option::as_mut) else { return };
        let Some(running) = task.running.iter_mut().find(|running| running.op == op) else { return };
        let Some(request) = running.request.take() else { return };
        let call = running.call;
        let (plan, ticket) = self.ask(&request);
        if let Some(task) = self.tasks[number].as_mut()
            && let Some(running) = task.running.iter_mut().find(|running| running.op == op)
        {
            running.ticket = ticket;
        }
        self.record.calls[call].reached = Some(self.now);
        let back = self.now + self.network();
        match plan {
            Plan::Answer(reply) => {
                self.record.calls[call].status = reply.status;
                let is_stream = request.uri().path().ends_with(":streamGenerateContent");
                self.answer(number, op, reply, is_stream, back);
            }
            Plan::Hang => {}
            Plan::Reset => {
                let outcome = Outcome::Failed { stale: false, message: "connection reset".to_owned() };
                self.plan(back, Event::Comes { task: number, op, outcome, is_last: true });
            }
        }
    }

    /// Plans when what of an answer comes. `back`: the earliest moment.
    fn answer(&mut self, number: usize, op: OpId, reply: Reply, is_stream: bool, back: UnixMillis) {
        let latency = self.scenario.latency;
        let is_good = reply.status < 400;
        let begins = if is_good { self.about(latency.first_byte_ms) } else { latency.error_ms };
        let lasts = if is_good { self.about(latency.answer_ms) } else { 0 };
        let (head, last) = match is_stream {
            true => (back + begins, back + begins + lasts),
            // What is no stream is sent when it is whole.
            false => (back + begins + lasts, back + begins + lasts),
        };
        let head = head + millis(reply.head_delay);
        let first = head + millis(reply.first_delay);
        let mut come = |at: UnixMillis, outcome, is_last| {
            self.plan(at, Event::Comes { task: number, op, outcome, is_last });
        };
        come(head, Outcome::Head(status(&reply), headers(&reply)), false);
        let mut at = first;
        for (place, piece) in reply.pieces.iter().enumerate() {
            at = if place == 0 { first } else { last.max(at) + millis(reply.delay) };
            come(at, Outcome::Chunk(piece.clone()), false);
        }
        match reply.end {
            End::Complete => come(at, Outcome::End, true),
            End::Cut => {
                let outcome = Outcome::Failed { stale: false, message: "connection closed".to_owned() };
                come(at, outcome, true);
            }
            End::Never => {}
        }
    }

    /// Sends a probe.
    pub(super) fn probe(&mut self, check: Check) {
        let request = check.request();
        let call = self.new_call(None, &request);
        if self.broken.is_some() {
            return;
        }
        let (plan, ticket) = self.ask(&request.map(Option::unwrap_or_default));
        ticket.into_iter().for_each(Ticket::done);
        self.record.calls[call].reached = Some(self.now);
        let answer = match plan {
            Plan::Answer(reply) => {
                self.record.calls[call].status = reply.status;
                Ok((status(&reply), headers(&reply), Bytes::from(reply.pieces.concat())))
            }
            Plan::Hang => Err("no answer in time".to_owned()),
            Plan::Reset => Err("connection reset".to_owned()),
        };
        let at = self.now + 2 * self.network() + self.scenario.latency.error_ms;
        self.plan(at, Event::Probed { check: Box::new(check), call, answer });
    }

    /// Others use a project; then they plan to do it again.
    pub(super) fn others_call(&mut self, number: usize) {
        let call = self.others[number];
        let body = load::body(&Arrival {
            at: self.now,
            client: u32::MAX,
            tokens: load::OTHERS_TOKENS,
            stream: false,
            conversation: 0,
            turn: 0,
        });
        let tokens = load::tokens(&body);
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        let uri = format!("/v1beta/models/{}:generateContent", call.model).parse();
        let key = HeaderValue::try_from(others_key(call.project));
        if let (Ok(uri), Ok(key)) = (uri, key) {
            *request.uri_mut() = uri;
            request.headers_mut().insert("x-goog-api-key", key);
            let (plan, ticket) = self.ask(&request);
            ticket.into_iter().for_each(Ticket::done);
            let model = self.models.iter().position(|model| *model == call.model);
            if let (Plan::Answer(Reply { status: 200, .. }), Some(model)) = (plan, model) {
                let (project, model) = (call.project as u32, model as u32);
                self.record.others.push(Others { at: self.now, project, model, tokens });
            }
        }
        self.plan_others(number + 1);
    }

    pub(super) fn plan_others(&mut self, number: usize) {
        if let Some(call) = self.others.get(number) {
            let at = call.at;
            self.plan(at, Event::Others { number });
        }
    }

    fn ask(&self, request: &Request<Bytes>) -> (Plan, Option<Ticket>) {
        let clock = self.google.clock();
        clock.advance(std::time::Duration::from_millis(self.now.saturating_sub(clock.now())));
        self.google.answer(request)
    }

    /// The way to Google or back: half to one and a half of what is usual.
    pub(super) fn network(&mut self) -> u64 {
        let usual = self.scenario.latency.network_ms;
        usual / 2 + self.random.u64(..=usual)
    }

    /// A time that is mostly about `median`, and sometimes much longer.
    fn about(&mut self, median: u64) -> u64 {
        // Box and Muller's way to a normal distribution.
        let (one, two) = (1.0 - self.random.f64(), self.random.f64());
        let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
        (median as f64 * (self.scenario.latency.spread * normal).exp()) as u64
    }
}

/// The model whose quota a call uses.
pub(super) fn counted_model(uri: &Uri, models: &[&str]) -> Option<u32> {
    let (model, method) = uri.path().rsplit_once('/')?.1.split_once(':')?;
    let is_counted = matches!(method, "generateContent" | "streamGenerateContent");
    let number = models.iter().position(|known| *known == model)?;
    u32::try_from(number).ok().filter(|_| is_counted)
}

fn status(reply: &Reply) -> StatusCode {
    StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn headers(reply: &Reply) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    headers
}
