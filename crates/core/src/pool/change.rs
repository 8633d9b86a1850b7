//! Changes of the pool's state as data, for a store or other instances to carry.

use super::ProjectId;
use crate::failure::Why;
use crate::secret::KeyId;
use crate::time::Timestamp;

/// Something that the pool has learned, in a form that merges in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    /// A project rests, for one model or altogether. Of two, the later end counts.
    Rest {
        /// Who rests.
        project: ProjectId,
        /// For which model or quota family; none: for all.
        model: Option<Box<str>>,
        /// Until when.
        until: Timestamp,
    },
    /// A key is set aside. Of two, the newer counts.
    SetAside {
        /// The key.
        key: KeyId,
        /// Why.
        why: Why,
        /// Since when.
        since: Timestamp,
    },
    /// A key is in use again.
    Restored {
        /// The key.
        key: KeyId,
        /// Since when.
        at: Timestamp,
    },
}
