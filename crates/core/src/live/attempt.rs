//! A session before Google is ready: which key, and what becomes of an attempt that fails.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

use super::close::Ended;
use super::{Close, Frame, Phase, Session, Side, Step, Who};
use crate::auth::Access;
use crate::event::Event;
use crate::exchange::Lease;
use crate::failure::{self, Answer, Class, Consequence, Elsewhere, Failure};
use crate::pool::{Pick, Want};
use crate::retry::{self, GivenUp};
use crate::time::Timestamp;
use crate::tokens;
use crate::upstream::{self, Credential};

/// A kept-alive connection that turns out dead is replaced so often; then it is no accident.
const STALE_RETRIES: u32 = 3;

/// A connection to Google, or the way to one.
#[derive(Debug)]
pub(super) struct Attempt {
    /// None: a token goes up whose project is not known, or rests.
    pub(super) lease: Option<Lease>,
    started: Timestamp,
    ends_at: Timestamp,
    /// When the lease was.
    pub(super) renewed: Timestamp,
}

impl Session {
    /// Looks for a key.
    pub(super) fn look(&mut self, now: Timestamp) -> Step {
        let in_time = now < self.arrived + self.gateway.config().deadline;
        if self.budget.allows_another() && in_time {
            let guests = self.is_guests();
            if matches!(&self.who, Who::Token { owner, .. } if owner.is_none_or(|owner| owner.guests)) {
                return self.begin_attempt(None, now);
            }
            let want = self.want();
            let pick = self.gateway.pool(guests).pick(&want, now);
            match pick {
                Pick::Ready { lease, key } => {
                    let lease = Lease::new(Arc::clone(&self.gateway), guests, lease, key);
                    if !self.adds_to_load || self.gateway.retries(guests).take(now) {
                        return self.begin_attempt(Some(lease), now);
                    }
                    lease.unused(now);
                    self.events.push(Event::RetriesUsedUp { request: self.mark.id() });
                }
                // A token has its project's say already; the pool's books are only kept.
                _ if matches!(self.who, Who::Token { .. }) => return self.begin_attempt(None, now),
                Pick::CoolingDown { until } if until <= self.patience => {
                    self.phase = Phase::Looking(until);
                    return Step::Wait(self.wakes_at(now));
                }
                Pick::CoolingDown { .. } | Pick::Rejected { .. } => {}
            }
        }
        self.give_up(now);
        self.poll(now)
    }

    fn is_guests(&self) -> bool {
        match &self.who {
            Who::Keys(access) => matches!(access, Access::Own(_)),
            Who::Token { owner, .. } => owner.is_some_and(|owner| owner.guests),
        }
    }

    fn want(&self) -> Want<'_> {
        let (own, paid) = match &self.who {
            Who::Keys(Access::Own(keys)) => (Some(keys.as_slice()), false),
            Who::Keys(Access::Pool { client }) => (None, client.settings.paid_only),
            Who::Token { .. } => (None, false),
        };
        Want {
            model: self.model.as_deref(),
            tokens: self.setup.as_ref().map_or(1, |setup| tokens::estimate(&setup.frame.payload)),
            tried: &self.tried,
            avoid: &self.avoid,
            only: self.owner.map(|owner| owner.only),
            paid,
            own,
            ..Want::default()
        }
    }

    fn begin_attempt(&mut self, lease: Option<Lease>, now: Timestamp) -> Step {
        if self.budget.made() == 0 {
            self.gateway.retries(self.is_guests()).earn();
        }
        self.budget.spend();
        self.tried.extend(lease.as_ref().map(|lease| lease.key().id()));
        let config = self.gateway.config();
        let ends_at = (now + config.first_byte_timeout).min(self.arrived + config.deadline);
        self.attempt = Some(Attempt { lease, started: now, ends_at, renewed: now });
        self.upstream = Side::Open;
        self.dial()
    }

    /// Asks for the connection of the attempt; again, where the first one was dead.
    pub(super) fn dial(&mut self) -> Step {
        let credential = match (&self.who, self.attempt.as_ref().and_then(|attempt| attempt.lease.as_ref())) {
            (Who::Token { token, .. }, _) => Credential::Token(token),
            (Who::Keys(_), Some(lease)) => Credential::Key(lease.key()),
            (Who::Keys(_), None) => unreachable!("an attempt with keys has a lease"),
        };
        let (path, query) = (self.call.path(), self.query.as_deref());
        let origin = &self.gateway.config().upstream;
        let request = upstream::to_live(origin, &path, query, self.headers.clone(), credential);
        self.phase = Phase::Connecting;
        Step::Connect(Box::new(request))
    }

    pub(super) fn attempt_ends_at(&self) -> Timestamp {
        self.attempt.as_ref().map_or(Timestamp::NEVER, |attempt| attempt.ends_at)
    }

    pub(super) fn connected(&mut self, headers: &HeaderMap, now: Timestamp) {
        if self.phase == Phase::Connecting {
            self.hear_date(headers, now);
            self.phase = Phase::SettingUp { sent: false };
        }
    }

    /// Google has said no to the upgrade.
    pub(super) fn refused(&mut self, status: StatusCode, headers: &HeaderMap, body: &Bytes, now: Timestamp) {
        if self.phase != Phase::Connecting {
            return;
        }
        self.hear_date(headers, now);
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let answer = Answer { status, content_type, body, model: self.model.as_deref() };
        let failure = self.meaning(&answer, now);
        self.failed(failure, None, now);
    }

    pub(super) fn not_connected(&mut self, stale: bool, message: &str, now: Timestamp) {
        if self.phase != Phase::Connecting {
            return;
        }
        if stale && self.stale_retries < STALE_RETRIES {
            self.stale_retries += 1;
            self.phase = Phase::Dialling;
            return;
        }
        self.failed(failure::network(message), None, now);
    }

    pub(super) fn timed_out(&mut self, now: Timestamp) {
        let started = self.attempt.as_ref().map_or(now, |attempt| attempt.started);
        self.disconnect = true;
        self.failed(failure::timeout(now.since(started)), None, now);
    }

    /// Google has closed before it was ready.
    pub(super) fn closed_early(&mut self, ended: Ended, now: Timestamp) {
        let Ended::Said(Some(close)) = ended else {
            let failure = failure::network("the connection was closed before the session was ready");
            return self.failed(failure, None, now);
        };
        let (status, body) = close.as_answer();
        let content_type = Some("application/json");
        let answer = Answer { status, content_type, body: &body, model: self.model.as_deref() };
        let failure = self.meaning(&answer, now);
        // A close has no room for the details that would say which quota it is; so it says nothing of other projects'.
        let elsewhere = match failure.class {
            Class::QuotaUnnamed => Elsewhere::All,
            _ => failure.elsewhere,
        };
        self.failed(Failure { elsewhere, ..failure }, close.told(self.secret()), now);
    }

    /// Google has sent an error in the place of `setupComplete`.
    pub(super) fn error_frame(&mut self, frame: &Frame, now: Timestamp) {
        let model = self.model.as_deref();
        let failure = match (&self.who, self.lease()) {
            (Who::Token { token, .. }, _) => failure::classify_event(&frame.payload, model, token, now),
            (Who::Keys(_), Some(lease)) => lease.classify_event(&frame.payload, model, now),
            (Who::Keys(_), None) => unreachable!("an attempt with keys has a lease"),
        };
        self.disconnect = true;
        self.failed(failure, None, now);
    }

    /// An attempt was in vain. The connection is gone, or is to be dropped.
    fn failed(&mut self, failure: Failure, close: Option<Close>, now: Timestamp) {
        let Some(attempt) = self.attempt.take() else { return };
        self.upstream = Side::Gone;
        let failure = self.about_the_handle(failure);
        self.budget.learn(&failure);
        self.adds_to_load = retry::adds_to_load(failure.class);
        self.events.push(Event::AttemptFailed {
            request: self.mark.id(),
            key: attempt.lease.as_ref().map(|lease| lease.key().id()),
            model: self.model.clone(),
            class: failure.class,
            status: failure.status,
            message: failure.message.clone(),
            elapsed: now.since(attempt.started),
        });
        match (attempt.lease, &self.who) {
            (Some(lease), Who::Keys(_)) => {
                self.events.extend(lease.failed(self.model.as_deref(), &failure, now));
                if !failure.class.is_the_keys() {
                    self.avoid.extend(lease.project());
                }
                self.phase = Phase::Looking(now);
            }
            // It was the token that failed; no other one can take its place.
            (lease, _) => {
                lease.into_iter().for_each(|lease| lease.unused(now));
                self.failures.push(failure);
                self.closes.push(close);
                return self.give_up(now);
            }
        }
        self.failures.push(failure);
        self.closes.push(close);
    }

    /// Google does not know a handle of another project, or one that is too old, and says so in words that are told of
    /// requests. Where it is not known whose a handle is, the next project may know it.
    fn about_the_handle(&self, failure: Failure) -> Failure {
        let resumes = self.setup.as_ref().is_some_and(|setup| setup.handle.is_some());
        if !resumes || !matches!(failure.class, Class::Request | Class::Affinity) {
            return failure;
        }
        let elsewhere = if self.owner.is_some() { Elsewhere::None } else { Elsewhere::All };
        Failure { class: Class::Affinity, consequence: Consequence::Nothing, elsewhere, ..failure }
    }

    /// No attempt is left, or none makes sense: the client is told why.
    fn give_up(&mut self, now: Timestamp) {
        let want = Want { tried: &[], avoid: &[], ..self.want() };
        let own_keys = matches!(self.who, Who::Keys(Access::Own(_)) | Who::Token { .. });
        let recovery = match &self.who {
            Who::Keys(_) => self.gateway.pool(want.own.is_some()).recovery(&want, now),
            Who::Token { .. } => None,
        };
        let error = GivenUp { failures: &self.failures, recovery, own_keys, now }.error();
        let as_google_said = self
            .failures
            .iter()
            .zip(&self.closes)
            .rev()
            .find_map(|(failure, close)| close.as_ref().filter(|_| failure.message == error.message));
        let close = match as_google_said {
            Some(close) if error.retry_after.is_none() => close.clone(),
            _ => Close::of_error(&error, self.model.as_deref()),
        };
        self.refuse(close, now);
    }

    /// The attempt is not wanted any more.
    pub(super) fn drop_attempt(&mut self, now: Timestamp) {
        let Some(attempt) = self.attempt.take() else { return };
        self.disconnect = true;
        if let Some(lease) = attempt.lease.filter(|_| self.key.is_none()) {
            lease.unused(now);
        }
    }

    /// What an unsuccessful answer to the credential means.
    fn meaning(&self, answer: &Answer<'_>, now: Timestamp) -> Failure {
        match (&self.who, self.lease()) {
            (Who::Token { token, .. }, _) => failure::classify(answer, token, now),
            (Who::Keys(_), Some(lease)) => lease.classify(answer, now),
            (Who::Keys(_), None) => unreachable!("an attempt with keys has a lease"),
        }
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        self.attempt.as_ref()?.lease.as_ref()
    }

    fn hear_date(&mut self, headers: &HeaderMap, now: Timestamp) {
        let started = self.attempt.as_ref().map_or(now, |attempt| attempt.started);
        self.events.extend(self.gateway.hear_date(headers, started, now));
    }
}

/// What a close with which Google ends a session means for the key.
pub(super) fn meaning(close: &Close, lease: &Lease, model: Option<&str>, now: Timestamp) -> Failure {
    let (status, body) = close.as_answer();
    lease.classify(&Answer { status, content_type: Some("application/json"), body: &body, model }, now)
}
