//! What concerns the gateway in the messages of Google's that pass: tokens, and the names under which a session goes on.

use memchr::memmem;
use serde::Deserialize;

use super::{Session, Who, known};
use crate::judge;
use crate::time::Timestamp;

impl Session {
    /// What concerns the gateway in a message of Google's. It passes in any case. Whether it says what was used.
    pub(super) fn look_at(&mut self, payload: &[u8], now: Timestamp) -> bool {
        let usage = judge::usage(payload);
        if let Some(usage) = usage {
            let first = self.usage.is_none();
            self.usage.get_or_insert_default().add(usage);
            self.gateway.settle(self.charge.as_mut(), self.model.as_deref(), Some(usage), now);
            if let (Some(lease), Some(model)) = (self.lease(), &self.model) {
                lease.used(model, usage, first, now);
            }
        }
        if memmem::find(payload, b"\"newHandle\"").is_some()
            && let Some(handle) = new_handle(payload)
        {
            self.learn(&handle, now);
        }
        usage.is_some()
    }

    /// The session can be taken up again under this handle, with its project.
    fn learn(&mut self, handle: &str, now: Timestamp) {
        let Some(lease) = self.lease() else { return };
        let Some(name) = known::name_of(handle).filter(|name| !self.names.contains(name)) else { return };
        let client = match &self.who {
            Who::Keys(access) => Some(access.client()),
            Who::Token { .. } => None,
        };
        // A client may still hold the one before.
        let old = self.names.front().filter(|_| self.names.len() >= 2);
        known::learn(&name, old, lease, client, now);
        if self.names.len() >= 2 {
            self.names.pop_front();
        }
        self.names.push_back(name);
    }
}

/// The name under which a session can be taken up again, if a message gives one.
fn new_handle(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Message {
        session_resumption_update: Update,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Update {
        new_handle: String,
    }
    let message: Message = serde_json::from_slice(payload).ok()?;
    Some(message.session_resumption_update.new_handle).filter(|handle| !handle.is_empty())
}
