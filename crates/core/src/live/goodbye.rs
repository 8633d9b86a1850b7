//! The end of a session: who says goodbye to whom, and what is made of it.

use std::time::Duration;

use super::close::{GOING_AWAY, INTERNAL};
use super::{Close, Ended, Phase, Session, Who, attempt};
use crate::event::{Event, LiveEnded, LiveEndedBy};
use crate::failure::Class;
use crate::time::Timestamp;

/// How long a side may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// How far the end of a side is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Side {
    /// It is there.
    Open,
    /// It is to be told this.
    Owed(Option<Close>),
    /// It has been told.
    Told,
    /// It is gone.
    Gone,
}

impl Session {
    pub(super) fn client_ended(&mut self, ended: Ended, now: Timestamp) {
        let (close, is_lost) = match ended {
            Ended::Said(close) => (close, false),
            Ended::Lost => (None, true),
        };
        let code = close.as_ref().map_or(if is_lost { 1006 } else { 1005 }, |close| close.code);
        self.client = Side::Gone;
        self.down.clear();
        match self.phase {
            Phase::Open => {
                self.note_end(LiveEndedBy::Client, code);
                let told = match (close, is_lost) {
                    (Some(close), _) => close.told(self.clients_secret()),
                    (None, false) => None,
                    (None, true) => Some(Close::new(GOING_AWAY, "")),
                };
                self.upstream = Side::Owed(told);
                self.phase = Phase::Closing(now + GOODBYE);
            }
            Phase::Closing(_) | Phase::Over => {}
            _ => {
                self.note_end(LiveEndedBy::Client, code);
                self.drop_attempt(now);
                self.finish(now);
            }
        }
    }

    pub(super) fn upstream_ended(&mut self, ended: Ended, now: Timestamp) {
        match self.phase {
            Phase::SettingUp { .. } => self.closed_early(ended, now),
            Phase::Open => {
                self.upstream = Side::Gone;
                self.up.clear();
                let told = match ended {
                    Ended::Said(None) => None,
                    Ended::Said(Some(close)) => {
                        self.learn_of_close(&close, now);
                        close.told(self.secret())
                    }
                    Ended::Lost => Some(Close::new(INTERNAL, "The connection to Google broke.")),
                };
                self.note_end(LiveEndedBy::Upstream, told.as_ref().map_or(1005, |close| close.code));
                self.client = Side::Owed(told);
                self.phase = Phase::Closing(now + GOODBYE);
            }
            _ => self.upstream = Side::Gone,
        }
    }

    /// Ends the session from here, whatever it does.
    pub(super) fn end_both(&mut self, close: Close, now: Timestamp) {
        match self.phase {
            Phase::Open => {
                self.note_end(LiveEndedBy::Gateway, close.code);
                // Google is told that the client is gone, which it soon will be.
                self.upstream = Side::Owed(Some(Close::new(GOING_AWAY, "")));
                self.client = Side::Owed(Some(close));
                self.phase = Phase::Closing(now + GOODBYE);
            }
            Phase::Closing(_) | Phase::Over => {}
            _ => self.refuse(close, now),
        }
    }

    /// Ends the session before Google was ready.
    pub(super) fn refuse(&mut self, close: Close, now: Timestamp) {
        self.note_end(LiveEndedBy::Gateway, close.code);
        self.drop_attempt(now);
        self.upstream = Side::Gone;
        self.up.clear();
        self.client = Side::Owed(Some(close));
        self.phase = Phase::Closing(now + GOODBYE);
    }

    /// While something still goes out, a side is not late with its goodbye.
    pub(super) fn moved(&mut self, now: Timestamp) {
        if let Phase::Closing(until) = &mut self.phase {
            *until = now + GOODBYE;
        }
    }

    pub(super) fn note_end(&mut self, by: LiveEndedBy, code: u16) {
        self.end.get_or_insert((by, code));
    }

    pub(super) fn finish(&mut self, now: Timestamp) {
        self.phase = Phase::Over;
        self.drop_attempt(now);
        self.disconnect = false;
        self.charge = None;
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        // A session that is dropped has lost its client.
        let (by, code) = self.end.unwrap_or((LiveEndedBy::Client, 1006));
        let mut course = std::mem::take(&mut self.course);
        course.end(self.key.map(Some), now);
        self.events.push(Event::LiveEnded(LiveEnded {
            request: self.mark.id(),
            client: self.who.client(),
            model: self.model.clone(),
            key: self.key,
            attempts: self.budget.made(),
            by,
            code,
            up: self.traffic[0],
            down: self.traffic[1],
            usage: self.usage,
            elapsed: now.since(self.arrived),
            course,
        }));
    }

    /// What Google says when it ends a session may be about the key, or about a limit.
    fn learn_of_close(&mut self, close: &Close, now: Timestamp) {
        let Some(lease) = self.lease() else { return };
        if matches!(self.who, Who::Token { .. }) {
            return;
        }
        let failure = attempt::meaning(close, lease, self.model.as_deref(), now);
        let says_something = failure.class.is_the_keys()
            || failure.class.is_the_projects()
            || matches!(
                failure.class,
                Class::ProjectBilling | Class::QuotaMinute | Class::QuotaDay | Class::QuotaNone
            )
            || failure.class == Class::QuotaUnnamed;
        if says_something {
            self.events.extend(lease.failed(self.model.as_deref(), &failure, now));
        }
    }
}

impl Side {
    pub(super) fn take_owed(&mut self) -> Option<Option<Close>> {
        if !matches!(self, Self::Owed(_)) {
            return None;
        }
        match std::mem::replace(self, Self::Told) {
            Self::Owed(close) => Some(close),
            _ => None,
        }
    }
}
