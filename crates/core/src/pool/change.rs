//! Changes of the pool's state as data, for a store or other instances to carry.

use serde::{Deserialize, Serialize};

use super::ProjectId;
use crate::failure::{LimitKind, Why};
use crate::secret::KeyId;
use crate::time::Timestamp;

/// Who says which keys share a project. The stronger the word, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// How their quotas run out: evidence, no proof.
    Quotas,
    /// A person: the configuration, or whoever administers the gateway.
    Person,
    /// Google: it named the project, or one key could read what another had uploaded.
    Google,
}

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
    /// Two projects have turned out to be one. Their order does not matter. Against a split, the stronger word counts,
    /// and of two equally strong ones the newer.
    Joined {
        /// The one.
        project: ProjectId,
        /// The other.
        other: ProjectId,
        /// Who says so.
        by: By,
        /// Since when.
        at: Timestamp,
    },
    /// A key is a project of its own. Against a join, the stronger word counts, and of two equally strong ones the
    /// newer.
    Split {
        /// The key.
        key: KeyId,
        /// Who says so.
        by: By,
        /// Since when.
        at: Timestamp,
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
