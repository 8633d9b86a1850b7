//! Clients' keys: as text in settings, as a keyed hash where they come from a store, and the set of all.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::ClientSettings;
use crate::secret::{ApiKey, KeyId};

/// A client that may use the pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Client {
    id: KeyId,
    key: ClientKey,
    /// What is said of it.
    pub settings: ClientSettings,
}

/// What is known of a client's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientKey {
    /// The key itself.
    Text(ApiKey),
    /// What stands for it, and its hash.
    Hashed(KeyId, KeyHash),
}

/// A keyed hash of a client's key: whoever reads a store cannot send it as a key, nor find the key without the
/// [`HashKey`].
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

/// The key with which clients' keys are hashed. A secret of the store; wiped when dropped.
#[derive(Clone)]
pub struct HashKey(Zeroizing<[u8; 32]>);

impl Client {
    /// A client by its key.
    pub fn new(key: ApiKey, settings: ClientSettings) -> Self {
        Self { id: key.id(), key: ClientKey::Text(key), settings }
    }

    /// A client of a store, which knows a hash of its key.
    pub fn stored(id: KeyId, hash: KeyHash, settings: ClientSettings) -> Self {
        Self { id, key: ClientKey::Hashed(id, hash), settings }
    }

    /// The same client going by this identity: that of its first key, where it was given another key since, so that
    /// counts and objects stay its own.
    #[must_use]
    pub fn known_as(self, id: KeyId) -> Self {
        Self { id, ..self }
    }

    /// What stands for the client in counts, objects and logs.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What stands for its key.
    pub fn key_id(&self) -> KeyId {
        match &self.key {
            ClientKey::Text(key) => key.id(),
            ClientKey::Hashed(id, _) => *id,
        }
    }

    /// What is known of its key.
    pub fn key(&self) -> &ClientKey {
        &self.key
    }

    /// Its name, or what stands for it.
    pub fn name(&self) -> String {
        match self.settings.name.as_str() {
            "" => self.id().to_string(),
            name => name.to_owned(),
        }
    }
}

impl HashKey {
    /// A key of 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The hash of a client's key.
    pub fn hash(&self, key: &ApiKey) -> KeyHash {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        mac.update(b"libra: the key of a client, version 1\0");
        mac.update(key.expose().as_bytes());
        KeyHash(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey")
    }
}

impl KeyHash {
    /// The hash as it is stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A hash that was stored.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// In constant time.
impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

/// All clients that may use the pool, by what stands for their keys.
///
/// A presented key is found by its identity, whose bits a guesser cannot steer, and let in only if the whole key, or the
/// whole hash of it, is the same: compared in constant time.
#[derive(Debug, Clone, Default)]
pub struct Clients {
    by_id: HashMap<KeyId, Arc<Client>>,
    /// The clients that do not go by their keys' identity, by that.
    by_key: HashMap<KeyId, KeyId>,
    hash_key: Option<HashKey>,
}

impl Clients {
    /// Sets the key with which stored clients' keys were hashed. Without it none of them is let in.
    pub fn set_hash_key(&mut self, key: HashKey) {
        self.hash_key = Some(key);
    }

    /// Adds a client, or replaces the one with the same key. Returns the one that was replaced.
    pub fn insert(&mut self, client: Client) -> Option<Arc<Client>> {
        if client.key_id() != client.id() {
            self.by_key.insert(client.key_id(), client.id());
        }
        self.by_id.insert(client.id(), Arc::new(client))
    }

    /// Takes a client out.
    pub fn remove(&mut self, id: KeyId) -> Option<Arc<Client>> {
        self.by_id.remove(&id)
    }

    /// The client whose key this is.
    pub fn by_key(&self, key: &ApiKey) -> Option<&Arc<Client>> {
        let id = self.by_key.get(&key.id()).copied().unwrap_or_else(|| key.id());
        let client = self.by_id.get(&id)?;
        let is_its = match &client.key {
            ClientKey::Text(known) => known == key,
            ClientKey::Hashed(_, hash) => self.hash_key.as_ref().is_some_and(|by| by.hash(key) == *hash),
        };
        is_its.then_some(client)
    }

    /// Whether this is the key of a client.
    pub fn contains(&self, key: &ApiKey) -> bool {
        self.by_key(key).is_some()
    }

    /// The client that this stands for. For state that names clients; it lets nobody in.
    pub fn find(&self, id: KeyId) -> Option<&Arc<Client>> {
        self.by_id.get(&id)
    }

    /// All clients, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Client>> {
        self.by_id.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// Clients of which nothing is said.
impl FromIterator<ApiKey> for Clients {
    fn from_iter<I: IntoIterator<Item = ApiKey>>(keys: I) -> Self {
        keys.into_iter().map(|key| Client::new(key, ClientSettings::default())).collect()
    }
}

impl FromIterator<Client> for Clients {
    fn from_iter<I: IntoIterator<Item = Client>>(clients: I) -> Self {
        let mut all = Self::default();
        for client in clients {
            all.insert(client);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_client_is_let_in_by_its_whole_key_only() {
        let (key, by) = (ApiKey::new("libra-0123456789abcdef"), HashKey::new([7; 32]));
        let stored = Client::stored(key.id(), by.hash(&key), ClientSettings::default());
        let mut clients: Clients = [stored.clone()].into_iter().collect();
        assert!(!clients.contains(&key), "without the key of the hash");
        clients.set_hash_key(HashKey::new([8; 32]));
        assert!(!clients.contains(&key), "with another");
        clients.set_hash_key(by.clone());
        assert!(clients.contains(&key));
        assert!(!clients.contains(&ApiKey::new("libra-0123456789abcdeg")));
        // The identity alone opens nothing.
        let other = Client::stored(key.id(), by.hash(&ApiKey::new("another")), ClientSettings::default());
        clients.insert(other);
        assert!(!clients.contains(&key) && clients.find(key.id()).is_some());
        // Another key for the same client.
        let (old, new) = (key.clone(), ApiKey::new("libra-another-key-of-it"));
        let settings = ClientSettings::default();
        clients.insert(Client::stored(new.id(), by.hash(&new), settings).known_as(old.id()));
        assert!(clients.contains(&new) && !clients.contains(&old));
        assert_eq!(clients.by_key(&new).map(|client| client.id()), Some(old.id()));
        let shown = format!("{stored:?} {clients:?}");
        assert!(!shown.contains("[7") && !shown.contains("0123456789"), "{shown}");
        // A change of this hash would lock all stored clients out.
        let hash: String = by.hash(&key).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash.len(), 64);
    }
}
