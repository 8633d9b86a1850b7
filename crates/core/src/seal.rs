//! Seals what people and models have said before anybody stores it: XChaCha20-Poly1305, with a nonce for each entry that
//! the shell draws by chance.
//!
//! What an entry is about is sealed with it, so that nobody who can write into a store can pass one entry off as another.
//! What is lost or stolen without the secret says nothing but how long the entries are.

use std::fmt;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::secret::ApiKey;

/// The bytes of a key, and of a nonce.
const KEY: usize = 32;
pub const NONCE: usize = 24;

/// What seals and opens.
#[derive(Clone)]
pub struct Seal(XChaCha20Poly1305);

/// The key is never shown.
impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// By a secret text, which has to be long and made by chance: no slow hash protects a short one.
    pub fn of(secret: &ApiKey) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"libra: the key that seals a store, version 1")
            .expect("HMAC takes keys of any length");
        mac.update(secret.expose().as_bytes());
        Self(XChaCha20Poly1305::new(&Key::from(<[u8; KEY]>::from(mac.finalize().into_bytes()))))
    }

    /// Seals an entry. None: it is larger than the cipher takes, 256 GB.
    pub fn seal(&self, nonce: [u8; NONCE], about: &str, plain: &[u8]) -> Option<Vec<u8>> {
        let payload = Payload { msg: plain, aad: about.as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    /// Opens an entry. None: it was sealed with another secret, or is about something else.
    pub fn open(&self, about: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: about.as_bytes() };
        self.0.decrypt(&XNonce::from(*nonce), payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_secret_and_for_the_same_entry() {
        let seal = Seal::of(&ApiKey::new("a secret of the tests"));
        let sealed = seal.seal([7; NONCE], "call 1", b"said in confidence").expect("it is short");
        assert_eq!(seal.open("call 1", &sealed).as_deref(), Some(&b"said in confidence"[..]));
        assert_eq!(seal.open("call 2", &sealed), None);
        assert_eq!(Seal::of(&ApiKey::new("another")).open("call 1", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open("call 1", &changed), None, "byte {at}");
            assert_eq!(seal.open("call 1", &sealed[..at]), None, "cut at {at}");
        }
        assert!(!sealed.windows(4).any(|window| window == b"said"));
    }
}
