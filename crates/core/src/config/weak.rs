//! Client keys that somebody would guess.

use std::fmt;

use crate::secret::ApiKey;

/// A client key that is shorter is tried through in days, even slowly: eleven letters of somebody's choice are a word
/// and a year.
const SHORTEST: usize = 12;

/// What programs of this kind come with, and what their guides write in the place of a key. In lower case.
const WELL_KNOWN: [&str; 27] = [
    // gemini-balance's .env.example, and hajimi's.
    "sk-123456",
    "123456",
    "123",
    // gpt-load's and new-api's examples.
    "sk-prod-123456",
    "sk-123456789",
    "sk-1234567890",
    "your-secret-key",
    "your-secure-auth-key",
    "your_secret_key",
    // LiteLLM's documentation.
    "sk-1234",
    "sk-12345",
    "sk-litellm-master-key",
    "litellm-master-key",
    "sk-anything",
    "anything",
    // What people write.
    "password",
    "password123",
    "changeme",
    "change-me",
    "change-me-please",
    "secret",
    "admin",
    "test",
    "your-api-key",
    "your_api_key",
    "your-api-key-here",
    "sk-your-api-key",
];

/// Why a client key is no protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// Other programs come with it, or everybody writes it.
    WellKnown,
    /// It has too few characters.
    Short,
    /// It has too few different characters.
    Monotonous,
}

/// What is wrong with a client key, if somebody would guess it.
pub fn weakness(key: &ApiKey) -> Option<Weakness> {
    let text = key.expose().to_ascii_lowercase();
    if WELL_KNOWN.contains(&text.as_str()) {
        return Some(Weakness::WellKnown);
    }
    if text.chars().count() < SHORTEST {
        return Some(Weakness::Short);
    }
    let body = text.strip_prefix("sk-").unwrap_or(&text);
    let different: std::collections::BTreeSet<char> = body.chars().collect();
    // "aaaaaaaaaaaa", "121212121212", "sk-1111222233334".
    if different.len() < 5 || is_counted(body) { Some(Weakness::Monotonous) } else { None }
}

/// Whether each character follows the one before: `123456789012`, `abcdefghijkl`.
fn is_counted(text: &str) -> bool {
    let follows = |one: u8, other: u8| other == one.wrapping_add(1) || (one, other) == (b'9', b'0');
    text.as_bytes().windows(2).all(|pair| follows(pair[0], pair[1]))
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WellKnown => {
                f.write_str("is one that everybody knows, as programs and guides come with it")
            }
            Self::Short => write!(f, "has fewer than {SHORTEST} characters, and could be guessed"),
            Self::Monotonous => f.write_str("repeats or counts a few characters, and could be guessed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_guessed_first_is_weak() {
        let check = |key: &str, expected: Option<Weakness>| {
            assert_eq!(weakness(&ApiKey::new(key)), expected, "{key}");
        };
        for known in ["sk-123456", "123456", "Password", "sk-1234", "your-secret-key", "change-me-please"] {
            check(known, Some(Weakness::WellKnown));
        }
        check("elevenchars", Some(Weakness::Short));
        check("aaaaaaaaaaaaaaaaaaaa", Some(Weakness::Monotonous));
        check("sk-12121212121212", Some(Weakness::Monotonous));
        check("sk-12345678901234567890", Some(Weakness::Monotonous));
        check("abcdefghijklmnop", Some(Weakness::Monotonous));
        check("client-key-of-the-tests", None);
        check("8f3a91c04be7", None);
    }
}
