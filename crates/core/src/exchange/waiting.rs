//! A request for which nobody has room now: how long it has patience, and its place in the queue.

use std::sync::Arc;
use std::time::Duration;

use super::{Single, Step};
use crate::auth::Access;
use crate::error::{Error, Kind};
use crate::gateway::Gateway;
use crate::pool::{Ticket, Want};
use crate::time::Timestamp;

/// Rests of up to this long are waited out: shorter than what a client would wait before it tries again.
const SHORT_REST: Duration = Duration::from_secs(3);

/// With another service to take over, less patience.
const TAKE_OVER_AFTER: Duration = Duration::from_secs(2);

const QUEUE_FULL: &str = "Too many requests are waiting for this model already (LIBRA_QUEUE_SIZE). \
     等待该模型的请求过多，请稍后重试。";

/// A place in the queue. Given up when dropped, whatever happens.
#[derive(Debug)]
pub(super) struct Place {
    gateway: Arc<Gateway>,
    ticket: Ticket,
    pub(super) served: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gateway.pool(false).leave_queue(self.ticket, self.served);
    }
}

impl Single {
    /// Whether the request waits in the queue when it has to wait.
    pub(super) fn queues(&self) -> bool {
        // Whom only one project can serve, no other's room helps: it waits by itself.
        self.only.is_none() && self.is_patient()
    }

    /// Whether it waits as long as others wait in the queue.
    fn is_patient(&self) -> bool {
        let config = self.gateway.config();
        matches!(self.access, Access::Pool { .. })
            && self.task.model().is_some()
            && !config.queue_wait.is_zero()
    }

    /// Whether a rest is worth going to another project for, if the request can: its files are brought there sooner.
    pub(super) fn is_long(&self, until: Timestamp) -> bool {
        until > self.times.arrived + SHORT_REST
    }

    /// Rests are waited out until here.
    pub(super) fn waits_until(&self) -> Timestamp {
        let patience = match (self.can_take_over(), self.is_patient()) {
            (true, _) => TAKE_OVER_AFTER,
            (false, true) => self.gateway.config().queue_wait,
            (false, false) => SHORT_REST,
        };
        (self.times.arrived + patience).min(self.times.deadline)
    }

    /// Where others wait for the model already, or its own turn has not come, a request waits too.
    pub(super) fn wait_behind_others(&mut self, may_wait: bool, now: Timestamp) -> Option<Step> {
        if !self.queues() || now >= self.waits_until() {
            return None;
        }
        let ticket = self.place.as_ref().map(|place| place.ticket);
        let behind = self.gateway.pool(false).is_behind(self.task.model()?, ticket, now);
        behind.then(|| if may_wait { self.wait_in_queue(now) } else { self.give_up(now) })
    }

    /// Where nobody else can serve in time, those that had no more than a minute's quota too little can, once it is over.
    /// Each attempt counts, so that this has an end.
    pub(super) fn asks_short_again(&mut self, now: Timestamp) -> bool {
        if self.short.is_empty() || now >= self.waits_until() {
            return false;
        }
        let short = std::mem::take(&mut self.short);
        self.tried.retain(|key| !short.contains(key));
        let pool = self.gateway.pool(matches!(self.access, Access::Own(_)));
        let projects: Vec<_> = short.iter().filter_map(|key| pool.project_of(*key)).collect();
        self.avoid.retain(|project| !projects.contains(project));
        true
    }

    pub(super) fn wait_in_queue(&mut self, now: Timestamp) -> Step {
        let until = self.waits_until();
        if let Some(place) = &self.place {
            // If it had the turn, that has brought nothing.
            self.gateway.pool(false).pass_turn(place.ticket);
            return Step::Queued { ticket: place.ticket, until };
        }
        let client = match &self.access {
            Access::Pool { client } => client.id(),
            Access::Own(_) => return self.give_up(now),
        };
        if self.queues_left == 0 {
            return self.give_up(now);
        }
        self.queues_left -= 1;
        let most = self.gateway.config().queue_size;
        let model = self.task.model().unwrap_or_default();
        let ticket = self.gateway.pool(false).enter_queue(model, client, self.tokens, most);
        let Some(ticket) = ticket else {
            let recovery =
                self.gateway.pool(false).recovery(&Want { tried: &[], avoid: &[], ..self.want() }, now);
            let retry_after = recovery.map(|at| at.since(now).max(Duration::from_secs(1)));
            let error = Error { retry_after, ..Error::new(Kind::Unavailable, QUEUE_FULL) };
            self.refuse(&error, now);
            return self.advance(now);
        };
        self.course.queue(now);
        self.place = Some(Place { gateway: Arc::clone(&self.gateway), ticket, served: false });
        Step::Queued { ticket, until }
    }
}
