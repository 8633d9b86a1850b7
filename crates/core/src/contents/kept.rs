//! Contents one by one, under names: for a store that is asked for what a request needs, when it needs it.
//!
//! What is sought is found by a search of the body: no protocol is read for it, and what looks like an id and is none costs
//! one question. What is kept is sealed, with its name.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

use super::Content;
use crate::openai::responses::RESPONSE_ID;
use crate::seal::{NONCE, Seal};
use crate::secret::KeyId;
use crate::time::Timestamp;

/// So long what is known of a call is kept: a conversation that rests over a week's end goes on.
const CALLS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The most of one entry, sealed and in letters: stores take requests of a megabyte.
const LONGEST: usize = 700 << 10;

/// So many calls of one request are sought, the last ones: the beginning of a longer conversation is known from its turns
/// before, or lost.
pub(crate) const CALLS_SOUGHT: usize = 128;

/// So many answers of one request are sought. It goes on from one; what else it names are single items.
pub(crate) const ANSWERS_SOUGHT: usize = 4;

/// The name of something that may be kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ContentName {
    /// What stands for a client and the id of a call.
    Call([u8; 16]),
    /// `resp_…`
    Answer(Box<str>),
}

/// A sealed content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptContent {
    /// What it is about.
    pub name: ContentName,
    /// When it can be dropped.
    pub until: Timestamp,
    /// What was said, sealed, in base64.
    pub sealed: String,
}

impl ContentName {
    /// As it is stored: `call/…`, `answer/…`.
    pub fn as_text(&self) -> String {
        match self {
            Self::Call(name) => format!("call/{:032x}", u128::from_be_bytes(*name)),
            Self::Answer(id) => format!("answer/{id}"),
        }
    }

    /// The content of this name, out of what was kept. None: it was sealed with another secret, or for another name.
    pub fn open(&self, sealed: &str, seal: &Seal) -> Option<Content> {
        let plain = seal.open(&self.as_text(), &STANDARD.decode(sealed).ok()?)?;
        match self {
            Self::Call(name) => Some(Content::Call { name: *name, said: plain.into() }),
            Self::Answer(id) => {
                let end = memchr::memchr(b'\n', &plain)?;
                let head = serde_json::from_slice::<(u64, Option<Box<str>>, u64, bool)>(plain.get(..end)?);
                let (client, before, until, shown) = head.ok()?;
                let said = plain.get(end + 1..)?.to_vec().into();
                let (client, until) = (KeyId::from_u64(client), Timestamp::from_millis(until));
                Some(Content::Answer { id: id.clone(), client, before, until, shown, said })
            }
        }
    }
}

impl Content {
    /// What is kept of it. None: it is only about another, or too large to be kept.
    pub fn kept(&self, seal: &Seal, nonce: [u8; NONCE], now: Timestamp) -> Option<KeptContent> {
        let (name, until, plain) = match self {
            Self::Call { name, said } => (ContentName::Call(*name), now + CALLS_KEPT, said.to_vec()),
            Self::Answer { id, client, before, until, shown, said } => {
                let head = (client.as_u64(), before, until.as_millis(), shown);
                let mut plain = serde_json::to_vec(&head).ok()?;
                plain.push(b'\n');
                plain.extend_from_slice(said);
                (ContentName::Answer(id.clone()), *until, plain)
            }
            Self::Deleted { .. } => return None,
        };
        let sealed = STANDARD.encode(seal.seal(nonce, &name.as_text(), &plain)?);
        (sealed.len() <= LONGEST).then_some(KeptContent { name, until, sealed })
    }
}

/// The ids in a body that the gateway may have given to calls; the last ones.
pub(crate) fn call_ids(body: &[u8]) -> Vec<&str> {
    ids(body, &["call_", "toolu_"], CALLS_SOUGHT)
}

/// The ids in a text that the gateway may have given to answers; the last ones.
pub(crate) fn answer_ids(body: &[u8]) -> Vec<&str> {
    ids(body, &[RESPONSE_ID], ANSWERS_SOUGHT)
}

/// Texts that are ids as a whole, and begin so: of letters, digits and `_`, 64 at most.
fn ids<'a>(body: &'a [u8], prefixes: &[&str], most: usize) -> Vec<&'a str> {
    let mut found = Vec::new();
    for prefix in prefixes {
        let mut left = most;
        for at in memmem::rfind_iter(body, prefix.as_bytes()) {
            let is_id = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
            let length = body[at..].iter().take(65).take_while(is_id).count();
            let begins = at == 0 || matches!(body[at - 1], b'"' | b'/');
            let ends = matches!(body.get(at + length), None | Some(b'"' | b'/'));
            let id = std::str::from_utf8(&body[at..at + length]).ok();
            if let Some(id) = id.filter(|id| begins && ends && id.len() <= 64 && !found.contains(id)) {
                found.push(id);
                left -= 1;
            }
            if left == 0 {
                break;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ApiKey;

    #[test]
    fn ids_are_found_wherever_they_stand() {
        let check = |body: &str, expected: &[&str]| {
            let found = [call_ids(body.as_bytes()), answer_ids(body.as_bytes())].concat();
            assert_eq!(found, expected, "{body}");
        };
        check(r#"{"tool_calls":[{"id":"call_a_0_1"},{"id":"call_b"}]}"#, &["call_b", "call_a_0_1"]);
        check(r#"{"id":"toolu_a"} {"tool_use_id":"toolu_a"}"#, &["toolu_a"]);
        check(r#"{"previous_response_id":"resp_01"}"#, &["resp_01"]);
        check("/v1/responses/resp_01/input_items", &["resp_01"]);
        check(r#""tool_call_id" "recall_x" "call_x-sig-y" "a call_x" "call_ö""#, &[]);
        check(&format!("\"call_{}\"", "a".repeat(60)), &[]);
        check("call_", &["call_"]);
        let many: String = (0..1000).map(|number| format!("\"call_{number}\",")).collect();
        let found = call_ids(many.as_bytes());
        assert_eq!((found.len(), found[0]), (CALLS_SOUGHT, "call_999"));
    }

    #[test]
    fn contents_come_back_under_their_own_names_only() {
        let seal = Seal::of(&ApiKey::new("a secret of the tests"));
        let now = Timestamp::from_millis(1_800_000_000_000);
        let call = Content::Call { name: [1; 16], said: "signed".into() };
        let answer = Content::Answer {
            id: "resp_1".into(),
            client: KeyId::from_u64(u64::MAX),
            before: Some("resp_0".into()),
            until: now + Duration::from_secs(60),
            shown: false,
            said: "{\"a\":\"\\n\"}\n".into(),
        };
        for content in [&call, &answer] {
            let kept = content.kept(&seal, [3; NONCE], now).expect("it is short");
            assert_eq!(kept.name.open(&kept.sealed, &seal).as_ref(), Some(content));
            assert!(kept.until > now && !kept.sealed.contains("signed"));
            let other = ContentName::Answer("resp_2".into());
            assert_eq!(other.open(&kept.sealed, &seal), None);
            assert_eq!(kept.name.open(&kept.sealed[4..], &seal), None);
            assert_eq!(kept.name.open("", &seal), None);
        }
        let long = Content::Call { name: [1; 16], said: vec![b'a'; LONGEST].into() };
        assert_eq!(long.kept(&seal, [3; NONCE], now), None);
        assert_eq!(Content::Deleted { id: "resp_1".into() }.kept(&seal, [3; NONCE], now), None);
    }
}
