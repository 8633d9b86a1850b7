//! Seals what people and models have said before it is stored: XChaCha20-Poly1305 with a nonce drawn for each entry.
//!
//! What an entry is about is sealed with it, so that nobody who can write into the database can pass one entry off as
//! another. What is lost or stolen without the secret says nothing but how long the entries are.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use libra_core::secret::ApiKey;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::folder;

/// The bytes of a key, and of a nonce.
const KEY: usize = 32;
const NONCE: usize = 24;

/// What seals and opens.
#[derive(Clone)]
pub(crate) struct Seal(XChaCha20Poly1305);

/// The key is never shown.
impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// By a secret text, which has to be long and made by chance: no slow hash protects a short one.
    pub(crate) fn of(secret: &ApiKey) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"libra: the key that seals a store, version 1")
            .expect("HMAC takes keys of any length");
        mac.update(secret.expose().as_bytes());
        Self(XChaCha20Poly1305::new(&Key::from(<[u8; KEY]>::from(mac.finalize().into_bytes()))))
    }

    /// By the secret in a file, which is made where it is not there.
    ///
    /// # Errors
    /// The file cannot be read or made, or the system has no randomness to give.
    pub(crate) fn in_file(path: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => Zeroizing::new(text),
            Ok(_) => make(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path)?,
            Err(error) => return Err(error),
        };
        Ok(Self::of(&ApiKey::new(&text)))
    }

    /// Seals an entry.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub(crate) fn seal(&self, about: &str, plain: &[u8]) -> io::Result<Vec<u8>> {
        let nonce: [u8; NONCE] = random()?;
        let payload = Payload { msg: plain, aad: about.as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| io::Error::other("an entry is too large to be sealed"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens an entry. None: it was sealed with another secret, or is about something else.
    pub(crate) fn open(&self, about: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: about.as_bytes() };
        self.0.decrypt(&XNonce::from(*nonce), payload).ok()
    }
}

/// Makes a secret and writes it into a file for its owner alone.
pub(super) fn make(path: &Path) -> io::Result<Zeroizing<String>> {
    let bytes = Zeroizing::new(random::<KEY>()?);
    let text: Zeroizing<String> = Zeroizing::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
    let mut file = folder::private().open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    // Entries that are sealed with it are of no use without it.
    file.sync_all()?;
    Ok(text)
}

pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_secret_and_for_the_same_entry() {
        let seal = Seal::of(&ApiKey::new("a secret of the tests"));
        let sealed = seal.seal("call 1", b"said in confidence").expect("randomness");
        assert_eq!(seal.open("call 1", &sealed).as_deref(), Some(&b"said in confidence"[..]));
        assert_eq!(seal.open("call 2", &sealed), None);
        assert_eq!(Seal::of(&ApiKey::new("another")).open("call 1", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open("call 1", &changed), None, "byte {at}");
            assert_eq!(seal.open("call 1", &sealed[..at]), None, "cut at {at}");
        }
        assert_ne!(seal.seal("call 1", b"x").ok(), seal.seal("call 1", b"x").ok());
        assert!(!sealed.windows(4).any(|window| window == b"said"));
    }

    #[test]
    fn a_secret_is_made_once() {
        let scratch = Scratch::new();
        let path = scratch.path().join("secret");
        let sealed = Seal::in_file(&path).and_then(|seal| seal.seal("a", b"b")).expect("a secret");
        let again = Seal::in_file(&path).expect("the same");
        assert_eq!(again.open("a", &sealed).as_deref(), Some(&b"b"[..]));
        assert_eq!(fs::read_to_string(&path).map(|text| text.len()).ok(), Some(2 * KEY + 1));
    }
}
