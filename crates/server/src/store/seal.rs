//! What seals what was said: core's seal, with nonces and secrets that the system's chance makes.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use libra_core::seal::{self, NONCE};
use libra_core::secret::ApiKey;
use zeroize::Zeroizing;

use super::folder;

/// The bytes of a secret that is made here.
const SECRET: usize = 32;

/// What seals and opens.
#[derive(Debug, Clone)]
pub(crate) struct Seal(seal::Seal);

impl Seal {
    /// By a secret text, which has to be long and made by chance: no slow hash protects a short one.
    pub(crate) fn of(secret: &ApiKey) -> Self {
        Self(seal::Seal::of(secret))
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
        let sealed = self.0.seal(random::<NONCE>()?, about, plain);
        sealed.ok_or_else(|| io::Error::other("an entry is too large to be sealed"))
    }

    /// Opens an entry. None: it was sealed with another secret, or is about something else.
    pub(crate) fn open(&self, about: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.open(about, sealed)
    }
}

/// Makes a secret and writes it into a file for its owner alone.
pub(super) fn make(path: &Path) -> io::Result<Zeroizing<String>> {
    let bytes = Zeroizing::new(random::<SECRET>()?);
    let text: Zeroizing<String> = Zeroizing::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
    let mut file = folder::private().open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    // Entries that are sealed with it are of no use without it.
    file.sync_all()?;
    // Nor is a file of which its folder does not know after a loss of power. Windows has no such thing to ask for.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
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
    fn no_entry_is_sealed_as_another_was() {
        let seal = Seal::of(&ApiKey::new("a secret of the tests"));
        let (one, other) = (seal.seal("call 1", b"x").ok(), seal.seal("call 1", b"x").ok());
        assert_ne!(one, other);
        assert_eq!(one.and_then(|sealed| seal.open("call 1", &sealed)).as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn a_secret_is_made_once() {
        let scratch = Scratch::new();
        let path = scratch.path().join("secret");
        let sealed = Seal::in_file(&path).and_then(|seal| seal.seal("a", b"b")).expect("a secret");
        let again = Seal::in_file(&path).expect("the same");
        assert_eq!(again.open("a", &sealed).as_deref(), Some(&b"b"[..]));
        assert_eq!(fs::read_to_string(&path).map(|text| text.len()).ok(), Some(2 * SECRET + 1));
    }
}
