//! What seals a block of thoughts.
//!
//! A signature of Gemini's goes out as it is where it is known when the block ends. In a stream it often is not:
//! the signature of a text comes with the text's end. Then a reference goes out, and the gateway remembers what it
//! stands for. Google's signatures are standard base64, which has no `_`, so that the two cannot be mixed up.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::content::Block;

/// What references begin with.
const REFERENCE: &str = "sig_";

/// The reference number `number` of an answer.
pub(super) fn reference(unique: &str, number: u64) -> String {
    format!("{REFERENCE}{unique}_{number}")
}

/// What seals a block of thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seal<'a> {
    /// Gemini's own.
    Signature(&'a str),
    /// One of this gateway's references.
    Reference(&'a str),
}

/// The seal of a block; none where it is no block of thoughts, or of another service's.
pub(super) fn of(block: &Block) -> Option<Seal<'_>> {
    if block.kind() != "thinking" {
        return None;
    }
    let signature = block.signature.as_deref().filter(|signature| !signature.is_empty())?;
    match signature.starts_with(REFERENCE) {
        true => Some(Seal::Reference(signature)),
        false if is_anthropics(signature) => None,
        false => Some(Seal::Signature(signature)),
    }
}

/// The reference that seals a block, if one does.
pub(super) fn reference_in(block: &Block) -> Option<&str> {
    match of(block)? {
        Seal::Reference(reference) => Some(reference),
        Seal::Signature(_) => None,
    }
}

/// Whether a signature was made by Anthropic: its field 2 holds a message, which begins with a message whose first
/// field is a number. Google's holds bytes that begin with a version. A conversation that was begun there can go
/// on here, but Gemini refuses what it has not signed.
fn is_anthropics(signature: &str) -> bool {
    let start = signature.get(..signature.len().min(16) / 4 * 4).unwrap_or_default();
    let Ok(bytes) = STANDARD.decode(start) else { return false };
    let Some((0x12, rest)) = bytes.split_first().map(|(first, rest)| (*first, rest)) else { return false };
    let after_length = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte < 0x80)?;
        bytes.get(end + 1..).map(<[u8]>::to_vec)
    };
    let inner = after_length(rest).and_then(|bytes| after_length(bytes.strip_prefix(&[0x0a])?));
    inner.is_some_and(|inner| matches!(inner.first(), Some(0x08 | 0x10 | 0x18)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_services_signatures_are_known() {
        let check = |signature: &str, expected: Option<Seal<'_>>| {
            let block = Block {
                r#type: Some("thinking".to_owned()),
                signature: Some(signature.to_owned()),
                ..Block::default()
            };
            assert_eq!(of(&block), expected, "{signature}");
        };
        // A short message first, and a longer one, as Anthropic writes them.
        let foreign = STANDARD.encode([0x12, 0xa4, 0x01, 0x0a, 0x02, 0x18, 0x02, 0x12, 0x0c, 1, 2, 3]);
        check(&foreign, None);
        let foreign = STANDARD.encode([0x12, 0x8b, 0x27, 0x0a, 0x46, 0x08, 0x0b, 0x12, 0x0c, 1, 2, 3]);
        check(&foreign, None);
        let google = STANDARD.encode([0x12, 0x9c, 0x02, 0x0a, 0x99, 0x02, 0x01, 0x0c, 0x39, 1, 2, 3]);
        check(&google, Some(Seal::Signature(&google)));
        let google = STANDARD.encode([0x0a, 0xb1, 0x01, 0x01, 0x14, 0x53, 1, 2, 3]);
        check(&google, Some(Seal::Signature(&google)));
        for odd in ["c2ln", "x", "é", "EgAK", "Eg=="] {
            check(odd, Some(Seal::Signature(odd)));
        }
        check("sig_abc_0", Some(Seal::Reference("sig_abc_0")));
        check("", None);
    }
}
