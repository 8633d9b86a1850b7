//! Whose a session is that may be taken up again, and whose a token: both belong to the project that made them.

use crate::affinity::name::ObjectName;
use crate::auth::Access;
use crate::exchange::Lease;
use crate::gateway::Gateway;
use crate::pool::Only;
use crate::secret::KeyId;
use crate::time::Timestamp;

/// Whose a session or a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    /// The project, and the key that served.
    pub(super) only: Only,
    /// Whether the key is a client's own.
    pub(super) guests: bool,
    /// The client for whom it was made.
    pub(super) maker: Option<KeyId>,
}

impl Owner {
    #[cfg(test)]
    pub(super) fn of_tests(only: Only) -> Self {
        Self { only, guests: false, maker: None }
    }

    /// Whether a client may go on with it. Whose key it is, may use what the key has made.
    pub(super) fn serves(&self, access: &Access) -> bool {
        match access {
            Access::Pool { client } => self.maker.is_none_or(|maker| maker == client.id()),
            Access::Own(_) => true,
        }
    }
}

/// Whose an ephemeral token is, if it was minted through this gateway.
pub(super) fn minted(gateway: &Gateway, token: &str, now: Timestamp) -> Option<Owner> {
    let name = ObjectName::of_text(token, |_| false)?;
    [false, true].into_iter().find_map(|guests| owner(gateway, &name, guests, now))
}

/// Whose the session is that goes by this handle, as far as is known. Of clients with their own keys, none but theirs.
pub(super) fn of_session(gateway: &Gateway, handle: &str, access: &Access, now: Timestamp) -> Option<Owner> {
    let owner = owner(gateway, &name_of(handle)?, matches!(access, Access::Own(_)), now)?;
    match access {
        Access::Pool { .. } => Some(owner),
        Access::Own(keys) => keys.iter().any(|key| key.id() == owner.only.key).then_some(owner),
    }
}

/// The name of a session: whoever has its handle can go on with it, so the handle itself is not kept.
pub(super) fn name_of(handle: &str) -> Option<ObjectName> {
    ObjectName::opaque("live", handle)
}

/// A session that the lease serves goes by this name now. It has had another one, which is forgotten.
pub(super) fn learn(
    name: &ObjectName,
    before: Option<&ObjectName>,
    lease: &Lease,
    client: Option<KeyId>,
    now: Timestamp,
) {
    let mut objects = lease.gateway().objects(lease.is_guests());
    objects.learn(name, lease.key().id(), client, now);
    if let Some(before) = before {
        objects.forget(before);
    }
}

fn owner(gateway: &Gateway, name: &ObjectName, guests: bool, now: Timestamp) -> Option<Owner> {
    let known = gateway.objects(guests).find(name, now)??;
    let project = gateway.pool(guests).project_of(known.key)?;
    Some(Owner { only: Only { project, key: known.key }, guests, maker: known.maker })
}
