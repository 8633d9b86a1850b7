//! Clients of the pool, as they are administered.

pub(crate) use libra_core::clients::ClientSettings;
use libra_core::secret::{ApiKey, KeyId};
use serde::Serialize;

use super::Origin;

/// A client. Never its key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ClientView {
    /// What stands for it, in counts and logs, too.
    pub(crate) id: KeyId,
    /// Its name, or what stands for it.
    pub(crate) name: String,
    pub(crate) origin: Origin,
    /// When it came into the store, in milliseconds since 1970.
    pub(crate) added_at: Option<u64>,
    pub(crate) settings: ClientSettings,
}

/// A client to be added.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewClient {
    /// The key that it has already; none: one is made.
    pub(crate) key: Option<ApiKey>,
    pub(crate) settings: ClientSettings,
}
