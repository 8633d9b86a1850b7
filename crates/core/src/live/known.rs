//! Which project a session that may be taken up again belongs to.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::pool::Only;
use crate::secret::{ApiKey, KeyId};
use crate::time::Timestamp;

/// So long a handle is remembered. Google keeps sessions for two hours; its documents also speak of a day.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// So many handles are remembered; the oldest go first. A session that runs has two, whatever it was given before.
const HANDLES: usize = 20_000;

/// Whose a handle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The project, and the key that served.
    pub(super) only: Only,
    /// Whether the key is a client's own.
    pub(super) guests: bool,
}

/// What stands for a handle: handles are long, and whoever has one can go on with the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Handle(KeyId);

/// The owners of handles.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    owners: HashMap<Handle, (Owner, Timestamp)>,
    /// In the order in which they were learned; some may be forgotten already.
    order: VecDeque<Handle>,
}

impl Handle {
    pub(super) fn of(text: &str) -> Self {
        Self(ApiKey::new(&format!("live/{text}")).id())
    }
}

impl Handles {
    pub(super) fn owner(&self, handle: Handle, now: Timestamp) -> Option<Owner> {
        let (owner, until) = self.owners.get(&handle)?;
        (*until > now).then_some(*owner)
    }

    pub(super) fn learn(&mut self, handle: Handle, owner: Owner, now: Timestamp) {
        if self.owners.insert(handle, (owner, now + REMEMBERED)).is_none() {
            self.order.push_back(handle);
        }
        while self.order.len() > HANDLES {
            if let Some(oldest) = self.order.pop_front() {
                self.owners.remove(&oldest);
            }
        }
    }

    /// Forgets a handle in whose place others have come.
    pub(super) fn forget(&mut self, handle: Handle) {
        self.owners.remove(&handle);
        if self.order.len() > 2 * self.owners.len() + 16 {
            self.order.retain(|known| self.owners.contains_key(known));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::ProjectId;

    #[test]
    fn handles_are_remembered_within_bounds() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let only = Only { project: ProjectId::named("a"), key: ApiKey::new("k").id() };
        let owner = Owner { only, guests: false };
        let mut handles = Handles::default();
        let name = |number: usize| Handle::of(&number.to_string());
        for number in 0..HANDLES + 10 {
            handles.learn(name(number), owner, now);
        }
        assert_eq!(handles.owners.len(), HANDLES);
        assert_eq!(handles.owner(name(0), now), None);
        assert_eq!(handles.owner(name(HANDLES), now), Some(owner));
        assert_eq!(handles.owner(name(HANDLES), now + REMEMBERED), None);
        for number in 0..HANDLES + 9 {
            handles.forget(name(number));
        }
        assert_eq!(handles.owners.len(), 1);
        assert!(handles.order.len() < 20, "{}", handles.order.len());
    }
}
