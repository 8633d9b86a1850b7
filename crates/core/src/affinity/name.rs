//! Names of objects that belong to one project: `files/abc`, `models/m/operations/x`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// The collections whose objects belong to the project that made them, and how long one is remembered after it was
/// last seen. Google deletes files after two days and ends caches when their makers say; what people keep for long, they
/// use from time to time. [`objects`](super::objects) bounds how many there are.
const COLLECTIONS: [(&str, Duration); 20] = [
    ("files", days(3)),
    ("generatedFiles", days(7)),
    ("cachedContents", days(30)),
    ("batches", days(60)),
    ("operations", days(30)),
    ("fileSearchStores", days(400)),
    ("ragStores", days(400)),
    ("tunedModels", days(400)),
    ("corpora", days(400)),
    ("interactions", days(60)),
    ("agents", days(400)),
    ("environments", days(400)),
    ("credentials", days(400)),
    ("triggers", days(400)),
    ("webhooks", days(400)),
    ("voices", days(400)),
    ("auth_tokens", days(2)),
    // No collections of Google's: what else is one project's, by what a client shows of it.
    ("uploads", days(8)),
    ("live", days(1)),
    ("continuations", days(2)),
];

/// The longest name. Google's have some 100 bytes; ids of interactions are the longest.
const LONGEST: usize = 1024;

/// Where Google's API is.
pub(crate) const GOOGLE: &str = "generativelanguage.googleapis.com";

/// The name of an object, without what stands below it: of a document in a store it is the store's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ObjectName(Box<str>);

impl ObjectName {
    /// The object that a path is about: its segments, without the version.
    pub(crate) fn of_path<T: AsRef<str>>(parts: &[T]) -> Option<Self> {
        let part = |at: usize| parts.get(at).map(AsRef::as_ref);
        let (collection, id) = (part(0)?, without_method(part(1)?));
        if collection == "models" {
            let operation = part(3).filter(|_| part(2) == Some("operations"))?;
            return Self::new(&["models", id, "operations", without_method(operation)]);
        }
        is_collection(collection).then(|| Self::new(&[collection, id]))?
    }

    /// The object that a text names, as a name or as an address. Of addresses, those of the hosts that `is_ours` knows.
    pub(crate) fn of_text(text: &str, is_ours: impl FnOnce(&str) -> bool) -> Option<Self> {
        let address = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let path = match address {
            None => text,
            Some(address) => {
                let (host, path) = address.split_once('/')?;
                if !is_ours(host) {
                    return None;
                }
                let path = path.split(['?', '#']).next().unwrap_or_default();
                VERSIONS.iter().find_map(|version| {
                    let at = path.find(version)?;
                    (at == 0 || path.as_bytes()[at - 1] == b'/').then(|| &path[at + version.len()..])
                })?
            }
        };
        let parts: Vec<&str> = path.split('/').take(5).collect();
        Self::of_path(&parts)
    }

    /// A name as [`as_str`](Self::as_str) gave it, out of a store.
    pub(crate) fn stored(name: &str) -> Option<Self> {
        (name.len() <= LONGEST && name.contains('/')).then(|| Self(name.into()))
    }

    /// Something that can be told only by what a client shows of it.
    pub(crate) fn opaque(collection: &'static str, shown: &str) -> Option<Self> {
        (shown.len() <= 64 << 10 && !shown.is_empty()).then(|| {
            use base64::Engine as _;
            use sha2::Digest as _;
            let digest = sha2::Sha256::digest(shown.as_bytes());
            let digest = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest);
            Self(format!("{collection}/{digest}").into())
        })
    }

    /// An object of a collection, by the last part of its name.
    pub(crate) fn within(collection: &str, id: &str) -> Option<Self> {
        let id = id.strip_prefix(collection).and_then(|rest| rest.strip_prefix('/')).unwrap_or(id);
        is_collection(collection).then(|| Self::new(&[collection, id]))?
    }

    fn new(parts: &[&str]) -> Option<Self> {
        let plausible = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~=+@".contains(&byte))
        };
        let name = parts.join("/");
        (name.len() <= LONGEST && parts.iter().all(|part| plausible(part))).then(|| Self(name.into()))
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// `files` of `files/abc`; `operations` of `models/m/operations/x`.
    pub(crate) fn collection(&self) -> &str {
        let mut parts = self.0.split('/');
        match parts.next() {
            Some("models") => "operations",
            collection => collection.unwrap_or_default(),
        }
    }

    /// The last part of the name.
    pub(crate) fn id(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Whether Google tells with a GET whether a project has it.
    pub(crate) fn can_be_looked_up(&self) -> bool {
        !matches!(self.collection(), "uploads" | "live" | "continuations" | "auth_tokens")
    }

    /// What to ask for to learn whether a project has it. The files that come of batches have longer names than Google
    /// takes where files are asked for, and tell the batch in them.
    pub(crate) fn shown_by(&self) -> Cow<'_, str> {
        match self.0.strip_prefix("files/batch-") {
            Some(batch) => Cow::Owned(format!("batches/{batch}")),
            None => Cow::Borrowed(&self.0),
        }
    }

    /// How long it is remembered.
    pub(crate) fn remembered(&self) -> Duration {
        let collection = self.collection();
        let known = COLLECTIONS.iter().find(|(name, _)| *name == collection);
        known.map_or(days(1), |(_, remembered)| *remembered)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The versions as they stand in addresses.
const VERSIONS: [&str; 3] = ["v1beta/", "v1alpha/", "v1/"];

/// Whether objects of this collection belong to one project.
pub(crate) fn is_collection(name: &str) -> bool {
    COLLECTIONS[..COLLECTIONS.len() - 3].iter().any(|(collection, _)| *collection == name)
}

fn without_method(part: &str) -> &str {
    part.split_once(':').map_or(part, |(id, _)| id)
}

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 60 * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_texts_and_addresses() {
        let check = |text: &str, expected: Option<&str>| {
            let name = ObjectName::of_text(text, |host| [GOOGLE, "libra.example:8080"].contains(&host));
            assert_eq!(name.as_ref().map(ObjectName::as_str), expected, "{text}");
        };
        check("files/abc-123", Some("files/abc-123"));
        check("https://generativelanguage.googleapis.com/v1beta/files/abc", Some("files/abc"));
        check("https://generativelanguage.googleapis.com/v1/files/a:download?alt=media", Some("files/a"));
        check("https://generativelanguage.googleapis.com/download/v1beta/files/a:download", Some("files/a"));
        check("http://libra.example:8080/base/v1alpha/files/abc", Some("files/abc"));
        check("https://elsewhere.example/v1beta/files/abc", None);
        check("https://www.youtube.com/watch?v=abc", None);
        check("https://generativelanguage.googleapis.com/rev1/files/abc", None);
        check("gs://bucket/files/abc", None);
        check("files/", None);
        check("files/..", None);
        check("files/a b", None);
        check("models/gemini-2.5-flash", None);
        check("models/veo-3.1/operations/op1", Some("models/veo-3.1/operations/op1"));
        check("fileSearchStores/s-1/documents/d", Some("fileSearchStores/s-1"));
        check("cachedContents/x", Some("cachedContents/x"));
        check("uploads/x", None);
        check("https://", None);
    }

    #[test]
    fn paths_are_about_objects() {
        let check = |path: &str, expected: Option<&str>| {
            let parts: Vec<&str> = path.split('/').collect();
            let name = ObjectName::of_path(&parts);
            assert_eq!(name.as_ref().map(ObjectName::as_str), expected, "{path}");
        };
        check("files", None);
        check("files/a:download", Some("files/a"));
        check("batches/b:cancel", Some("batches/b"));
        check("models/veo/operations/o", Some("models/veo/operations/o"));
        check("models/m:generateContent", None);
        check("tunedModels/t/operations/o", Some("tunedModels/t"));
        check("interactions/v1_Q2g9PQ==/cancel", Some("interactions/v1_Q2g9PQ=="));
    }

    #[test]
    fn what_is_opaque_is_told_by_a_digest() {
        let name = ObjectName::opaque("live", "a handle with / and spaces").expect("a name");
        assert_eq!(name.collection(), "live");
        assert!(!name.can_be_looked_up() && !name.as_str().contains(' '));
        assert_ne!(Some(name), ObjectName::opaque("live", "another"));
    }
}
