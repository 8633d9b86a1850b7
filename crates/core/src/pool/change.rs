//! Changes of the pool's state as data, for a store or other instances to carry.

use super::ProjectId;
use crate::failure::{LimitKind, Why};
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
    /// Two projects have turned out to be one. The order does not matter.
    Joined {
        /// The one.
        project: ProjectId,
        /// The other.
        other: ProjectId,
    },
    /// A limit was named. Of two, the newer counts.
    Limit {
        /// Whose.
        project: ProjectId,
        /// For which model or quota family.
        model: Box<str>,
        /// What is limited.
        kind: LimitKind,
        /// To how many.
        value: u64,
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
