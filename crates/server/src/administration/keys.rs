//! Keys of the pool, as they are administered.

use libra_core::config::Tier;
use libra_core::pool::SetAsideView;
use libra_core::secret::{ApiKey, KeyId};
use serde::{Deserialize, Serialize};

use super::Origin;

/// A key of the pool. Never the key itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct KeyView {
    /// What stands for it.
    pub(crate) id: KeyId,
    /// The form in which its owner recognises it.
    pub(crate) masked: String,
    pub(crate) label: Option<String>,
    pub(crate) tags: Vec<String>,
    /// The project that it is said to belong to. What else is known of that is the pool's view.
    pub(crate) project: Option<String>,
    /// That project's tier.
    #[serde(serialize_with = "super::projects::tier_name")]
    pub(crate) tier: Tier,
    pub(crate) paused: bool,
    pub(crate) origin: Origin,
    /// When it came into the store, in milliseconds since 1970.
    pub(crate) added_at: Option<u64>,
    /// Why it is not used, if it is set aside. None where no gateway runs.
    pub(crate) set_aside: Option<SetAsideView>,
}

/// A key to be added.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewKey {
    pub(crate) key: ApiKey,
    pub(crate) label: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) project: Option<String>,
    pub(crate) paused: bool,
}

impl From<ApiKey> for NewKey {
    /// A key of which nothing else is said.
    fn from(key: ApiKey) -> Self {
        Self { key, label: None, tags: Vec::new(), project: None, paused: false }
    }
}

/// What has become of keys that were to be added.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Added {
    pub(crate) added: Vec<KeyId>,
    /// Those that were in the store already, or twice among those to be added.
    pub(crate) doubles: Vec<KeyId>,
    /// Those that the settings have already.
    pub(crate) in_settings: Vec<KeyId>,
}

/// A change of a key: what is none stays as it is. `Some(None)` takes a label or project away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct KeyChange {
    #[serde(deserialize_with = "super::given")]
    pub(crate) label: Option<Option<String>>,
    pub(crate) tags: Option<Vec<String>>,
    #[serde(deserialize_with = "super::given")]
    pub(crate) project: Option<Option<String>>,
    pub(crate) paused: Option<bool>,
}
