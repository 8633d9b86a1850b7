//! `encrypted_content`: how a thought signature travels with a reasoning item, and comes back.
//!
//! Gemini wants a signature back in the part that it came with. So what is sealed in a reasoning item says which
//! part that was: the call of an id, the text that follows, or the text that stood before. What somebody else has
//! sealed (OpenAI itself, in the part of a conversation that was held with it) says nothing here.

/// What tells these from others', and from what a later version may write.
const MARK: &str = "libra1";

/// What a signature belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signed<'a> {
    /// The call that the client knows by this id.
    Call(&'a str),
    /// The text after the reasoning.
    Next,
    /// The text before the reasoning.
    Last,
}

/// Seals a signature.
pub(super) fn seal(signed: Signed<'_>, signature: &str) -> String {
    match signed {
        Signed::Call(id) => format!("{MARK}.call.{id}.{signature}"),
        Signed::Next => format!("{MARK}.next.{signature}"),
        Signed::Last => format!("{MARK}.last.{signature}"),
    }
}

/// Reads what was sealed. A signature is base64, so that no dot is in it.
pub(super) fn open(sealed: &str) -> Option<(Signed<'_>, &str)> {
    let rest = sealed.strip_prefix(MARK)?.strip_prefix('.')?;
    let (kind, rest) = rest.split_once('.')?;
    let (signed, signature) = match kind {
        "call" => {
            let (id, signature) = rest.rsplit_once('.')?;
            (Signed::Call(id), signature)
        }
        "next" => (Signed::Next, rest),
        "last" => (Signed::Last, rest),
        _ => return None,
    };
    (!signature.is_empty()).then_some((signed, signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_can_be_opened() {
        for signed in
            [Signed::Call("call_1"), Signed::Call("a.b"), Signed::Call(""), Signed::Next, Signed::Last]
        {
            let sealed = seal(signed, "AbC+/9==");
            assert_eq!(open(&sealed), Some((signed, "AbC+/9==")), "{sealed}");
        }
        for foreign in
            ["", "gAAAAABo", "libra1", "libra1.call.x", "libra1.next.", "libra2.next.AAAA", "libra1.new.A"]
        {
            assert_eq!(open(foreign), None, "{foreign}");
        }
    }
}
