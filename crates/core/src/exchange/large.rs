//! Media that are too large to stand in a request go up as files, into the project whose key was chosen for the attempt. A
//! conversation, which sends all of its media with every turn, finds them there.

use std::sync::Arc;

use super::attempt::Lease;
use super::{Single, Step};
use crate::error::{Error, Kind};
use crate::gemini::large::Large;
use crate::secret::KeyId;
use crate::time::Timestamp;

impl Single {
    /// Begins the attempt with this key, or what has to come before it: the next medium that its project has not.
    pub(super) fn send_media(&mut self, lease: Lease, now: Timestamp) -> Step {
        let Some(project) = lease.project().filter(|_| !self.task.large().is_empty()) else {
            return self.start(lease, now);
        };
        let missing = {
            let placed = self.gateway.placed();
            let is_missing = |large: &&Arc<Large>| placed.find(large.digest(), project, now).is_none();
            self.task.large().iter().find(is_missing).cloned()
        };
        let Some(large) = missing else { return self.start(lease, now) };
        let Some((content_type, body)) = large.as_related() else {
            lease.unused(now);
            self.refuse(&Error::new(Kind::BadRequest, "Invalid base64 data."), now);
            return self.advance(now);
        };
        self.bring(large.digest(), (content_type, body.into()), lease, now)
    }

    /// Where a medium is, for a key whose project has it. None: the address is no medium's mark.
    pub(super) fn placed(&self, mark: &str, key: KeyId) -> Option<String> {
        self.place_of_copy(Large::digest_of_mark(mark)?, key)
    }
}
