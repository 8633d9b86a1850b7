//! A second attempt beside one that keeps silent: the first of the two with a good event answers, the other is
//! dropped.
//!
//! It costs a second request of somebody's quota. So there is one at most for a request, on another project that has
//! plain room, and it has to fit what retries may add to the load. A request whose answer may act on the world (by a
//! tool) or that belongs to one project gets none.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use memchr::memmem;

use super::attempt::{Attempt, Lease};
use super::{Single, Step};
use crate::auth::Access;
use crate::event::Event;
use crate::pool::Want;
use crate::time::Timestamp;

/// Fields of a body for Gemini, with which it is not asked twice: tools, and what is one project's. Within a text
/// their quotes would be escaped.
const ONCE: [&[u8]; 7] = [
    b"\"tools\"",
    b"\"cachedContent\"",
    b"\"cached_content\"",
    b"\"fileUri\"",
    b"\"file_uri\"",
    b"\"fileData\"",
    b"\"file_data\"",
];

/// Whether a body for Gemini may be sent twice.
pub(super) fn may_be_sent_twice(body: &Bytes, headers: &HeaderMap) -> bool {
    // What is in a compressed body cannot be seen here.
    !headers.contains_key(CONTENT_ENCODING) && !ONCE.iter().any(|field| memmem::find(body, field).is_some())
}

impl Single {
    /// When a second attempt is to begin, if the one under way shows nothing before.
    pub(super) fn hedges_at(&self) -> Option<Timestamp> {
        let after = self.hedge_after.filter(|_| self.budget.allows_another())?;
        match self.running.as_slice() {
            [only] if only.lease.is_some() && only.is_silent() => Some(only.started + after),
            _ => None,
        }
    }

    /// Begins a second attempt, if it is time for one and somebody has room for it.
    pub(super) fn hedge(&mut self, now: Timestamp) -> Option<Step> {
        let at = self.hedges_at()?;
        if at > now || !matches!(self.access, Access::Pool { .. }) {
            return None;
        }
        self.hedge_after = None;
        let first = self.running.first().and_then(|attempt| attempt.lease.as_ref()?.project());
        let avoid: Vec<_> = self.avoid.iter().copied().chain(first).collect();
        let want = Want { avoid: &avoid, stay: None, ..self.want() };
        let (id, key) = self.gateway.pool(false).pick_spare(&want, now)?;
        let lease = Lease { gateway: Arc::clone(&self.gateway), guests: false, id, key };
        if !self.gateway.retries(false).take(now) {
            lease.unused(now);
            return None;
        }
        self.events.push(Event::Hedged { request: self.mark.id(), key: lease.key.id() });
        Some(self.begin(lease, now))
    }

    /// Notes which project the conversation is with, where two were asked.
    pub(super) fn note_winner(&self, winner: Option<&Lease>, now: Timestamp) {
        let conversation = self.conversation.filter(|_| self.budget.made() > 1);
        if let (Some(conversation), Some(project)) = (conversation, winner.and_then(Lease::project)) {
            self.gateway.conversations().served(conversation, project, now);
        }
    }

    /// Drops all attempts that are under way.
    pub(super) fn drop_running(&mut self) {
        let running = self.running.drain(..).map(|Attempt { op, .. }| op);
        self.cancel.extend(running);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_acts_on_the_world_is_asked_once() {
        let check = |body: &'static str, expected: bool| {
            assert_eq!(
                may_be_sent_twice(&Bytes::from_static(body.as_bytes()), &HeaderMap::new()),
                expected,
                "{body}"
            );
        };
        check(r#"{"contents":[{"parts":[{"text":"Hi"}]}]}"#, true);
        check(r#"{"contents":[{"parts":[{"text":"the word \"tools\" in quotes"}]}]}"#, true);
        check(r#"{"contents":[],"tools":[{"functionDeclarations":[]}]}"#, false);
        check(r#"{"contents":[{"parts":[{"fileData":{"fileUri":"files/a"}}]}]}"#, false);
        check(r#"{"contents":[],"cached_content":"cachedContents/a"}"#, false);
        let packed = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
        assert!(!may_be_sent_twice(&Bytes::new(), &packed));
    }
}
