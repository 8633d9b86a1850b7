//! An entry of the log: all that is kept of a request.

use std::time::Duration;

use libra_core::error::Dialect;
use libra_core::event::{Ending, Event, Finished, LiveEnded, LiveEndedBy, Usage};
use libra_core::mark::RequestId;
use libra_core::secret::KeyId;
use libra_core::time::Timestamp;

/// A request, or a session, that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// When.
    pub(crate) at: Timestamp,
    pub(crate) request: RequestId,
    pub(crate) client: KeyId,
    pub(crate) dialect: &'static str,
    pub(crate) model: Option<String>,
    pub(crate) status: u16,
    pub(crate) ending: How,
    pub(crate) attempts: u32,
    /// The key that served, if one did.
    pub(crate) key: Option<KeyId>,
    pub(crate) usage: Option<Usage>,
    pub(crate) elapsed: Duration,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Complete,
    Refused,
    Cut,
    ClientLeft,
}

impl Entry {
    /// What is kept of an event; of most, nothing.
    pub(crate) fn of(event: &Event, at: Timestamp) -> Option<Self> {
        match event {
            Event::Finished(end) => Some(Self::of_request(end, at)),
            Event::LiveEnded(end) => Some(Self::of_session(end, at)),
            _ => None,
        }
    }

    fn of_request(end: &Finished, at: Timestamp) -> Self {
        Self {
            at,
            request: end.request,
            client: end.client,
            dialect: match end.dialect {
                Dialect::Gemini => "gemini",
                Dialect::OpenAi => "openai",
                Dialect::Anthropic => "anthropic",
            },
            model: end.model.clone(),
            status: end.status.as_u16(),
            ending: match end.ending {
                Ending::Complete => How::Complete,
                Ending::Refused => How::Refused,
                Ending::Cut => How::Cut,
                Ending::ClientLeft => How::ClientLeft,
            },
            attempts: end.attempts,
            key: end.key,
            usage: end.usage,
            elapsed: end.elapsed,
        }
    }

    fn of_session(end: &LiveEnded, at: Timestamp) -> Self {
        Self {
            at,
            request: end.request,
            client: end.client,
            dialect: "live",
            model: end.model.clone(),
            // That of the upgrade.
            status: 101,
            ending: match (end.by, end.key) {
                // A close without a code, and one with a reason to be content.
                (_, Some(_)) if matches!(end.code, 1000 | 1001 | 1005) => How::Complete,
                (LiveEndedBy::Client, _) => How::ClientLeft,
                (LiveEndedBy::Gateway | LiveEndedBy::Upstream, Some(_)) => How::Cut,
                (LiveEndedBy::Gateway | LiveEndedBy::Upstream, None) => How::Refused,
            },
            attempts: end.attempts,
            key: end.key,
            usage: end.usage,
            elapsed: end.elapsed,
        }
    }

    /// Whether the client got what it asked for.
    pub(crate) fn is_answered(&self) -> bool {
        self.ending == How::Complete && matches!(self.status, 101 | 200..300)
    }
}

impl How {
    /// As it is stored.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Refused => "refused",
            Self::Cut => "cut",
            Self::ClientLeft => "client-left",
        }
    }
}
