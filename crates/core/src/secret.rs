//! Keys that must not be seen: how they are held, named and compared.
//!
//! A key appears in exactly one place outside this module: the `x-goog-api-key` header of a request to the
//! upstream ([`ApiKey::expose`]). Everywhere else its [`KeyId`] or its masked form stands for it.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A secret key, of the pool or of a client. Cloning shares the bytes; the last clone wipes them.
#[derive(Clone)]
pub struct ApiKey {
    text: Arc<Zeroizing<String>>,
    id: KeyId,
}

/// What stands for a key: the first 64 bits of a keyed hash of it.
///
/// Stable over restarts and between instances, so that what was learned of a key can be stored and shared.
/// 64 bits tell 100,000 keys apart with a chance of collision below one in three billion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u64);

impl ApiKey {
    /// Takes a key as the user wrote it. Surrounding white space is not part of a key.
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        let digest = digest(text);
        let id = KeyId(u64::from_be_bytes(digest[..8].try_into().expect("a SHA-256 has 32 bytes")));
        Self { text: Arc::new(Zeroizing::new(text.to_owned())), id }
    }

    /// What stands for this key everywhere.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The secret itself. For the one header that goes upstream, and for nothing else.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The form in which a person recognises a key of his own: `AIzaSyB......9xYzAbC`.
    ///
    /// Only for answers to somebody who has just shown the whole key (verification). Short keys show less.
    pub fn masked(&self) -> String {
        let text: Vec<char> = self.text.chars().collect();
        let shown = if text.len() >= 28 { 7 } else { text.len() / 8 };
        let head: String = text[..shown].iter().collect();
        let tail: String = text[text.len() - shown..].iter().collect();
        format!("{head}......{tail}")
    }
}

impl PartialEq for ApiKey {
    /// In constant time for keys of equal length.
    fn eq(&self, other: &Self) -> bool {
        self.text.as_bytes().ct_eq(other.text.as_bytes()).into()
    }
}

impl Eq for ApiKey {}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.id, f)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.id, f)
    }
}

impl KeyId {
    /// The number that stores and fleets carry.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// What a number of [`as_u64`](Self::as_u64) stands for.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key-{:016x}", self.0)
    }
}

/// As it is displayed.
impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("key-").filter(|digits| digits.len() == 16);
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.map(Self).ok_or_else(|| de::Error::custom("not the name of a key"))
    }
}

/// A keyed SHA-256. The hash key only separates this use from others: API keys are long and random, so the
/// digest cannot be searched for them, and it has to be the same on every instance.
fn digest(text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"libra: the identity of an API key, version 1")
        .expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_prints_shows_the_key() {
        let key = ApiKey::new(" AIzaSyB-this-is-not-real-all-0 ");
        for shown in [format!("{key}"), format!("{key:?}"), format!("{:?}", Some(&key)), key.masked()] {
            assert!(!shown.contains("not-real"), "{shown}");
        }
        assert_eq!(key.masked(), "AIzaSyB......l-all-0");
        assert_eq!(ApiKey::new("short").masked(), "......");
        assert_eq!(ApiKey::new("").masked(), "......");
    }

    #[test]
    fn the_identity_of_a_key_is_stable() {
        assert_eq!(ApiKey::new("key-one").id(), ApiKey::new("key-one\n").id());
        assert_ne!(ApiKey::new("key-one").id(), ApiKey::new("key-two").id());
        // A change of this number would orphan everything that a store knows of the keys.
        assert_eq!(ApiKey::new("key-one").id().to_string(), "key-d9d96d82c5516de6");
        let written = serde_json::to_string(&ApiKey::new("key-one").id()).expect("it can be written");
        assert_eq!(written, "\"key-d9d96d82c5516de6\"");
        assert_eq!(serde_json::from_str(&written).ok(), Some(ApiKey::new("key-one").id()));
        assert!(serde_json::from_str::<KeyId>("\"key-1\"").is_err());
    }
}
