//! Changes of the pool by hand: which keys share a project.
//!
//! Keys go by what [`/admin/pool`](super) shows of them, or by their label, or by the name of their project, and never by
//! themselves: what is typed ends up in histories.

use bytes::Bytes;
use http::{Method, Response};
use serde::{Deserialize, Serialize};

use super::{is_admin, json};
use crate::error::{Error, Kind};
use crate::gateway::{Gateway, Head};
use crate::pool::{By, Kept, ProjectCounts};
use crate::secret::{ApiKey, KeyId};
use crate::time::Timestamp;

/// More names than anybody types.
pub(crate) const MOST_BYTES: u64 = 64 << 10;

/// The changes by their paths.
const CHANGES: [(&str, Change); 2] = [("projects/join", Change::Join), ("projects/split", Change::Split)];

/// So much of a key's name tells it from others: the beginning of its number, at least.
const SHORTEST_NAME: usize = "key-".len() + 6;

/// What is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The keys are of one project.
    Join,
    /// Each of the keys is of a project of its own.
    Split,
}

/// Which keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    keys: Vec<String>,
}

/// What has become of it.
#[derive(Serialize)]
struct Changed {
    keys: Vec<KeyId>,
    projects: ProjectCounts,
}

impl Change {
    /// The change that the administration asks for, if it does.
    pub(crate) fn asked(gateway: &Gateway, head: &Head<'_>, page: &str) -> Option<Self> {
        let change = Self::at(page)?;
        let may =
            *head.method == Method::POST && is_admin(head.headers, gateway.config().admin_token.as_ref());
        may.then_some(change)
    }

    /// The change that has this path.
    pub(super) fn at(page: &str) -> Option<Self> {
        CHANGES.iter().find(|(path, _)| *path == page).map(|(_, change)| *change)
    }

    /// Changes the pool, and says what it is now.
    pub(crate) fn answer(
        self,
        gateway: &Gateway,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Response<Bytes>, Error> {
        json(&self.carry_out(gateway, body, now)?)
    }

    fn carry_out(self, gateway: &Gateway, body: &[u8], now: Timestamp) -> Result<Changed, Error> {
        let asked: Asked = serde_json::from_slice(body).map_err(|_| {
            Error::new(
                Kind::BadRequest,
                "Send JSON: {\"keys\": [\"key-…\", …]}, named as /admin/pool shows them.",
            )
        })?;
        let mut keys = Vec::new();
        for (place, name) in asked.keys.iter().enumerate() {
            for key in named(gateway, name.trim(), place + 1)? {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        let (least, few) = match self {
            Self::Join => (2, "Name at least two keys to join."),
            Self::Split => (1, "Name a key to split from its project."),
        };
        if keys.len() < least {
            return Err(Error::new(Kind::BadRequest, few));
        }
        let mut pool = gateway.pool(false);
        let done = match self {
            Self::Join => pool.join_all(&keys, By::Person, now),
            Self::Split => pool.split_all(&keys, By::Person, now),
        };
        done.map_err(|kept| Error::new(Kind::BadRequest, reason(kept)))?;
        Ok(Changed { keys, projects: pool.project_counts() })
    }
}

/// The keys that go by a name: one, or all of a project. A name may be a key, so it is not repeated.
fn named(gateway: &Gateway, name: &str, place: usize) -> Result<Vec<KeyId>, Error> {
    let refuse = |what: &str| {
        Error::new(
            Kind::BadRequest,
            format!("Name {place} of the list {what}: see `libra pool` or /admin/pool."),
        )
    };
    let keys = &gateway.config().keys;
    if keys.iter().any(|key| key.key == ApiKey::new(name)) {
        return Err(refuse("is a key itself; keys go by key-… here, as what is typed may be kept"));
    }
    let begins = |key: &KeyId| name.len() >= SHORTEST_NAME && key.to_string().starts_with(name);
    let by_name = keys.iter().map(|key| key.key.id()).filter(begins);
    let by_label = keys.iter().filter(|key| key.label.as_deref() == Some(name)).map(|key| key.key.id());
    let mut found: Vec<KeyId> = by_name.chain(by_label).collect();
    found.dedup();
    match found.len() {
        0 => {}
        1 => return Ok(found),
        _ => return Err(refuse("fits several keys")),
    }
    let of_project = gateway.pool(false).keys_of_project(name);
    match of_project.is_empty() {
        true => Err(refuse("is no key and no project of the pool")),
        false => Ok(of_project),
    }
}

fn reason(kept: Kept) -> String {
    match kept {
        Kept::NoSuchKey(key) => format!("{key} is not in the pool. 密钥池中没有 {key}。"),
        Kept::Alone(key) => format!("{key} is a project of its own already. {key} 本来就是单独的项目。"),
        Kept::Contradicted(key, _) => format!(
            "Google itself has said the contrary of {key}: its word about projects counts. \
             Google 对 {key} 所属项目的说法与此相反，以其为准。"
        ),
    }
}
