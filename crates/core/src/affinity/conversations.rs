//! Which project served a conversation last.
//!
//! A conversation that stays where it was profits twice: Google's cache has its beginning, and thought signatures are
//! read by whoever wrote them. It is known by its client, its model and its first text, which every further turn
//! repeats. The gain is weighed against room: see [`pool`](crate::pool).

use std::collections::HashMap;
use std::time::Duration;

use memchr::memmem;
use sha2::{Digest as _, Sha256};

use crate::pool::ProjectId;
use crate::secret::KeyId;
use crate::time::Timestamp;

/// So long a conversation is remembered after its last turn. Google's cache forgets within minutes.
const REMEMBERED: Duration = Duration::from_secs(1800);

/// So many conversations are remembered; when there are more, the old ones go.
const CONVERSATIONS: usize = 20_000;

/// So much of the first text tells a conversation from others, in bytes.
const TEXT: usize = 4096;

/// A conversation, by a hash of what does not change in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Conversation(u64);

/// The projects of conversations.
#[derive(Debug, Default)]
pub(crate) struct Conversations {
    projects: HashMap<Conversation, (ProjectId, Timestamp)>,
}

impl Conversation {
    /// The conversation that a body in Gemini's terms belongs to; none where it has no text.
    pub(crate) fn of(client: KeyId, model: &str, body: &[u8]) -> Option<Self> {
        let contents = memmem::find(body, b"\"contents\"")?;
        let text = contents + memmem::find(&body[contents..], b"\"text\"")? + 6;
        let value =
            body[text..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
        let value = &value[..value.len().min(TEXT)];
        // The text ends at a quote that no backslash escapes.
        let mut end = 0;
        while let Some(&byte) = value.get(end) {
            match byte {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        let mut hash = Sha256::new();
        hash.update(client.as_u64().to_be_bytes());
        hash.update(model.as_bytes());
        hash.update([0]);
        hash.update(&value[..end.min(value.len())]);
        let digest = hash.finalize();
        Some(Self(u64::from_be_bytes(digest[..8].try_into().expect("a SHA-256 has 32 bytes"))))
    }
}

impl Conversations {
    /// How many are known, and how many may be.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.projects.len(), CONVERSATIONS)
    }

    /// The project that served a conversation last.
    pub(crate) fn project(&self, conversation: Conversation, now: Timestamp) -> Option<ProjectId> {
        let (project, until) = self.projects.get(&conversation)?;
        (*until > now).then_some(*project)
    }

    /// A project has served a conversation.
    pub(crate) fn served(&mut self, conversation: Conversation, project: ProjectId, now: Timestamp) {
        if self.projects.len() >= CONVERSATIONS && !self.projects.contains_key(&conversation) {
            self.projects.retain(|_, (_, until)| *until > now);
            if self.projects.len() >= CONVERSATIONS {
                self.projects.clear();
            }
        }
        self.projects.insert(conversation, (project, now + REMEMBERED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ApiKey;

    #[test]
    fn a_conversation_is_known_by_its_beginning() {
        let of = |client: &str, model: &str, body: &str| {
            Conversation::of(ApiKey::new(client).id(), model, body.as_bytes())
        };
        let first = r#"{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"a \"b\" c"}]}]}"#;
        let second = r#"{"contents": [{"role":"user","parts":[{"text": "a \"b\" c"}]},{"role":"model","parts":[{"text":"d"}]}]}"#;
        assert_eq!(of("x", "m", first), of("x", "m", second));
        assert_ne!(of("x", "m", first), of("y", "m", first));
        assert_ne!(of("x", "m", first), of("x", "n", first));
        assert_ne!(of("x", "m", first), of("x", "m", &first.replace("a ", "e ")));
        assert_eq!(of("x", "m", "{}"), None);
        assert!(of("x", "m", r#"{"contents":[{"parts":[{"text":"unfinished \"#).is_some());
    }

    #[test]
    fn conversations_are_remembered_within_bounds() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let mut affinity = Conversations::default();
        let project = ProjectId::named("a");
        for number in 0..CONVERSATIONS as u64 + 10 {
            affinity.served(Conversation(number), project, now);
        }
        assert!(affinity.projects.len() <= CONVERSATIONS);
        let last = Conversation(CONVERSATIONS as u64 + 9);
        assert_eq!(affinity.project(last, now), Some(project));
        assert_eq!(affinity.project(last, now + REMEMBERED), None);
    }
}
