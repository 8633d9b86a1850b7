//! Thought signatures: the model's sealed reasoning, which has to come back with the call that it led to.
//!
//! Gemini 3 refuses a conversation whose calls have lost their signatures, and most clients keep nothing of a
//! call but its id. So a signature travels in whatever place the dialect has for it, and is also remembered here
//! by the id under which the client knows the call. On the way in the first of these counts: what the dialect
//! carried; the id itself, where `LIBRA_SIGNATURES_IN_IDS` put it there; this memory. What is left is a
//! [stand-in](STAND_IN), which is counted, as the model then does not see its own reasoning.
//!
//! Translators have no side effects: what they issue comes out of them ([`CallIds::take`]) and is
//! [remembered](Signatures::remember) by the gateway; what is known goes in ([`Recalled`]).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::contents::{self, Outbox};
use crate::gemini::request::{Content, Role};
use crate::secret::KeyId;

/// What Google takes in place of a signature that was lost, so that a conversation can go on.
pub const STAND_IN: &str = "skip_thought_signature_validator";

/// So many calls are remembered: those of some hundreds of long conversations.
const CALLS: usize = 100_000;

/// So many bytes of signatures are remembered, and never more than a quarter of the common memory. Most
/// signatures have one to four kilobytes.
const BYTES: usize = 64 << 20;

/// What an entry costs besides its texts: two maps and an allocation.
const ENTRY: usize = 160;

/// A longer signature is not remembered: no model writes one, and one answer must not push everything else out.
const LONGEST: usize = 1 << 20;

/// The part of the answer's id that goes into the ids of its calls. With the longest prefix, both numbers and
/// the bars an id stays within the 40 characters that some clients take.
const ANSWER_PART: usize = 24;

/// What parts an id from the signature in it. No id of this gateway's making has a hyphen before.
const MARK: &str = "-sig-";

/// What Gemini said of a call, under the id that the client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The id under which the client knows the call.
    pub id: String,
    /// The call's signature, if it came with one.
    pub signature: Option<String>,
    /// Gemini's own id of the call, if it gave one.
    pub native_id: Option<String>,
}

/// The ids of one answer's calls: short, unique, of letters, digits and `_`; and what has to be remembered of
/// the calls.
///
/// Gemini's own ids are not used, as older models give none and newer ones give short numbers, of which two
/// conversations may have the same.
#[derive(Debug, Clone)]
pub struct CallIds {
    opening: String,
    in_ids: bool,
    issued: Vec<Issued>,
}

impl CallIds {
    /// Ids that begin with `prefix` (`call_`, `toolu_`) and are as unique as the id of the answer. `in_ids`: the
    /// signature goes into the id itself.
    pub fn new(prefix: &str, answer: &str, in_ids: bool) -> Self {
        let unique: Vec<char> = answer.chars().rev().filter(char::is_ascii_alphanumeric).collect();
        let unique: String = unique.into_iter().take(ANSWER_PART).rev().collect();
        Self { opening: format!("{prefix}{unique}"), in_ids, issued: Vec::new() }
    }

    /// The id of a call. `place` is the numbers of the choice and of the call in it.
    pub fn issue(&mut self, place: (u64, u64), native_id: Option<&str>, signature: Option<&str>) -> String {
        let (choice, number) = place;
        let mut id = format!("{}_{choice}_{number}", self.opening);
        self.note(id.clone(), native_id, signature);
        if self.in_ids
            && let Some(sealed) = signature.and_then(in_id)
        {
            id.push_str(MARK);
            id.push_str(&sealed);
        }
        id
    }

    /// Notes a call that the client knows by something else than an id of this making.
    pub fn note(&mut self, id: String, native_id: Option<&str>, signature: Option<&str>) {
        let owned = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let issued = Issued { id, signature: owned(signature), native_id: owned(native_id) };
        if issued.signature.is_some() || issued.native_id.is_some() {
            self.issued.push(issued);
        }
    }

    /// What was issued since this was last asked.
    pub fn take(&mut self) -> Vec<Issued> {
        std::mem::take(&mut self.issued)
    }
}

/// A signature in the alphabet of ids; none where it is no standard base64, and could not be read back.
fn in_id(signature: &str) -> Option<String> {
    let bytes = STANDARD.decode(signature).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// An id without the signature in it, and that signature.
fn parted(id: &str) -> (&str, Option<String>) {
    let Some((stem, sealed)) = id.split_once(MARK) else { return (id, None) };
    match URL_SAFE_NO_PAD.decode(sealed) {
        Ok(bytes) if !bytes.is_empty() => (stem, Some(STANDARD.encode(bytes))),
        // Somebody else's id, which happens to hold the mark.
        Ok(_) | Err(_) => (id, None),
    }
}

/// What is known of the calls in one request.
#[derive(Debug, Clone, Default)]
pub struct Recalled {
    calls: HashMap<String, Remembered>,
}

/// What is remembered of a call.
#[derive(Debug, Clone)]
struct Remembered {
    signature: Option<Arc<str>>,
    native_id: Option<Arc<str>>,
}

/// A call of an earlier turn, as Gemini is to be told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<'a> {
    /// Gemini's own id where it is known, else the client's. For the call and for its result.
    pub id: &'a str,
    /// The call's signature, if it can be found.
    pub signature: Option<Cow<'a, str>>,
}

impl Recalled {
    /// The call that the client knows as `id`. `carried` is the signature that its dialect has brought along.
    pub fn call<'a>(&'a self, id: &'a str, carried: Option<&'a str>) -> Call<'a> {
        let (stem, in_id) = parted(id);
        let remembered = self.calls.get(stem);
        let carried = carried.filter(|signature| !signature.is_empty()).map(Cow::Borrowed);
        let kept = || remembered?.signature.as_deref().map(Cow::Borrowed);
        Call {
            id: remembered.and_then(|call| call.native_id.as_deref()).unwrap_or(stem),
            signature: carried.or_else(|| in_id.map(Cow::Owned)).or_else(kept),
        }
    }

    /// The signature of a call that has no id, and is remembered by something else.
    pub fn signature<'a>(&'a self, known_as: &str, carried: Option<&'a str>) -> Option<Cow<'a, str>> {
        let kept = || self.calls.get(known_as)?.signature.as_deref();
        carried.filter(|signature| !signature.is_empty()).or_else(kept).map(Cow::Borrowed)
    }

    /// Adds what was issued, as if the gateway had remembered it.
    pub fn extend(&mut self, issued: impl IntoIterator<Item = Issued>) {
        for issued in issued {
            let remembered = Remembered {
                signature: issued.signature.map(Into::into),
                native_id: issued.native_id.map(Into::into),
            };
            self.calls.insert(issued.id, remembered);
        }
    }
}

/// Gives the first call of a step the stand-in where it has no signature, and says whether it had to. Further
/// calls of a step are never signed.
pub fn stand_in(step: &mut Content<'_>) -> bool {
    if step.role != Some(Role::Model) {
        return false;
    }
    match step.parts.iter_mut().find(|part| part.function_call.is_some()) {
        Some(first) if first.thought_signature.is_none() => {
            first.thought_signature = Some(Cow::Borrowed(STAND_IN));
            true
        }
        Some(_) | None => false,
    }
}

/// The gateway's memory: what was issued to which client. Within bounds; what was not asked for longest goes.
#[derive(Debug)]
pub struct Signatures {
    calls: HashMap<Name, Entry>,
    /// By when they were used last.
    order: BTreeMap<u64, Name>,
    used: u64,
    bytes: usize,
    most_calls: usize,
    most_bytes: usize,
    outbox: Outbox<(Name, Remembered)>,
}

/// Client and id, in 128 bits that nobody can make collide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Name(u128);

#[derive(Debug)]
struct Entry {
    call: Remembered,
    used: u64,
}

impl Signatures {
    /// How many calls are remembered, and how many bytes they take, and may.
    pub(crate) fn sizes(&self) -> [(usize, usize); 2] {
        [(self.calls.len(), self.most_calls), (self.bytes, self.most_bytes)]
    }

    /// An empty memory, within a quarter of `memory` bytes.
    pub fn new(memory: u64) -> Self {
        let quarter = usize::try_from(memory / 4).unwrap_or(usize::MAX);
        Self::within(CALLS, BYTES.min(quarter))
    }

    fn within(most_calls: usize, most_bytes: usize) -> Self {
        let (calls, order, outbox) = (HashMap::new(), BTreeMap::new(), Outbox::default());
        Self { calls, order, used: 0, bytes: 0, most_calls, most_bytes, outbox }
    }

    /// From now on, what is remembered can be [fetched](Self::take_contents), too.
    pub fn keep_contents(&mut self) {
        self.outbox.open();
    }

    /// What was remembered since this was last asked.
    pub fn take_contents(&mut self) -> Vec<contents::Content> {
        let content = |(name, call): (Name, Remembered)| contents::Content::Call {
            name: name.0.to_be_bytes(),
            said: serde_json::to_vec(&(call.signature.as_deref(), call.native_id.as_deref()))
                .unwrap_or_default()
                .into(),
        };
        self.outbox.take().into_iter().map(content).collect()
    }

    /// Remembers what was remembered before a restart. What this crate has not written is forgotten.
    pub fn restore(&mut self, name: [u8; 16], said: &[u8]) {
        let Ok((signature, native_id)) = serde_json::from_slice::<(Option<String>, Option<String>)>(said)
        else {
            return;
        };
        let call = Remembered { signature: signature.map(Into::into), native_id: native_id.map(Into::into) };
        if call.size() <= LONGEST {
            self.put(Name(u128::from_be_bytes(name)), call);
        }
    }

    /// Remembers what was issued to a client.
    pub fn remember(&mut self, client: KeyId, issued: impl IntoIterator<Item = Issued>) {
        for Issued { id, signature, native_id } in issued {
            let call =
                Remembered { signature: signature.map(Into::into), native_id: native_id.map(Into::into) };
            if call.size() > LONGEST {
                continue;
            }
            let name = Name::of(client, &id);
            self.outbox.put(call.size(), || (name, call.clone()));
            self.put(name, call);
        }
    }

    /// The names of those of a client's calls that nothing is remembered of.
    pub fn unknown(&self, client: KeyId, ids: &[&str]) -> Vec<[u8; 16]> {
        let names = ids.iter().map(|id| Name::of(client, id));
        names.filter(|name| !self.calls.contains_key(name)).map(|name| name.0.to_be_bytes()).collect()
    }

    fn put(&mut self, name: Name, call: Remembered) {
        self.forget(name);
        self.used += 1;
        self.bytes += call.size();
        self.order.insert(self.used, name);
        self.calls.insert(name, Entry { call, used: self.used });
        while self.calls.len() > self.most_calls || self.bytes > self.most_bytes {
            let Some((_, oldest)) = self.order.first_key_value() else { break };
            self.forget(*oldest);
        }
    }

    /// What is known of a client's calls. They count as used, so that a long conversation keeps its beginning.
    pub fn recall<'a>(&mut self, client: KeyId, ids: impl Iterator<Item = Cow<'a, str>>) -> Recalled {
        let mut recalled = Recalled::default();
        for id in ids {
            let (stem, _) = parted(&id);
            let name = Name::of(client, stem);
            let Some(entry) = self.calls.get_mut(&name) else { continue };
            self.used += 1;
            self.order.remove(&entry.used);
            self.order.insert(self.used, name);
            entry.used = self.used;
            recalled.calls.insert(stem.to_owned(), entry.call.clone());
        }
        recalled
    }

    fn forget(&mut self, name: Name) {
        if let Some(entry) = self.calls.remove(&name) {
            self.order.remove(&entry.used);
            self.bytes -= entry.call.size();
        }
    }
}

impl Remembered {
    fn size(&self) -> usize {
        let length = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        ENTRY + length(&self.signature) + length(&self.native_id)
    }
}

impl Name {
    fn of(client: KeyId, id: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(client.as_u64().to_be_bytes());
        hash.update(id.as_bytes());
        let digest = hash.finalize();
        Self(u128::from_be_bytes(digest[..16].try_into().expect("a SHA-256 has 32 bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemini::request::{FunctionCall, Part};
    use crate::secret::ApiKey;

    fn client(name: &str) -> KeyId {
        ApiKey::new(name).id()
    }

    fn issued(id: &str, signature: &str) -> Issued {
        Issued { id: id.to_owned(), signature: Some(signature.to_owned()), native_id: None }
    }

    #[test]
    fn what_was_remembered_outlives_a_restart() {
        let (mut before, mut after) = (Signatures::new(1 << 20), Signatures::new(1 << 20));
        before.remember(client("a"), [issued("call_0", "too early")]);
        before.keep_contents();
        before.remember(client("a"), [issued("call_1", "one")]);
        for content in before.take_contents() {
            let contents::Content::Call { name, said } = content else { panic!("{content:?}") };
            after.restore(name, &said);
            after.restore([0; 16], b"of another make");
        }
        assert_eq!(signature(&mut after, "a", "call_1").as_deref(), Some("one"));
        assert_eq!(signature(&mut after, "b", "call_1"), None);
        assert_eq!(after.calls.len(), 1);
    }

    fn signature(signatures: &mut Signatures, owner: &str, id: &str) -> Option<String> {
        let recalled = signatures.recall(client(owner), [Cow::Borrowed(id)].into_iter());
        recalled.call(id, None).signature.map(Cow::into_owned)
    }

    #[test]
    fn ids_are_short_and_of_few_characters() {
        for prefix in ["call_", "toolu_"] {
            let mut ids = CallIds::new(prefix, "chatcmpl-0123456789abcdef01234567", false);
            let id = ids.issue((127, 999), Some("native"), Some("c2ln"));
            assert!(id.len() <= 40 && id.starts_with(prefix), "{id}");
            assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{id}");
            assert_ne!(id, ids.issue((127, 998), None, None));
            let taken = ids.take();
            assert_eq!(taken.len(), 1, "of an unsigned call there is nothing to remember");
            assert_eq!((taken[0].id.as_str(), taken[0].native_id.as_deref()), (id.as_str(), Some("native")));
            assert!(ids.take().is_empty());
        }
    }

    #[test]
    fn a_signature_is_found_in_the_first_of_its_places() {
        let mut ids = CallIds::new("call_", "a", true);
        // The characters that differ between the two alphabets, and padding.
        let id = ids.issue((0, 0), Some("7"), Some("+/+/AA=="));
        assert_eq!(id, "call_a_0_0-sig--_-_AA");
        let mut recalled = Recalled::default();
        let check = |recalled: &Recalled, id: &str, carried, expected: (&str, Option<&str>)| {
            let call = recalled.call(id, carried);
            assert_eq!((call.id, call.signature.as_deref()), expected, "{id}");
        };
        check(&recalled, &id, None, ("call_a_0_0", Some("+/+/AA==")));
        check(&recalled, &id, Some("carried"), ("call_a_0_0", Some("carried")));
        check(&recalled, &id, Some(""), ("call_a_0_0", Some("+/+/AA==")));
        check(&recalled, "call_a_0_0", None, ("call_a_0_0", None));
        check(&recalled, "x-sig-!", None, ("x-sig-!", None));
        check(&recalled, "x-sig-", None, ("x-sig-", None));
        let mut other = ids.take();
        other[0].signature = Some("remembered".to_owned());
        recalled.extend(other);
        check(&recalled, "call_a_0_0", None, ("7", Some("remembered")));
        check(&recalled, &id, None, ("7", Some("+/+/AA==")));
        assert_eq!(ids.issue((0, 1), None, Some("no base64")), "call_a_0_1");
    }

    #[test]
    fn what_was_not_used_longest_goes_first() {
        let mut signatures = Signatures::within(3, usize::MAX);
        for id in ["a", "b", "c"] {
            signatures.remember(client("x"), [issued(id, "s")]);
        }
        assert_eq!(signature(&mut signatures, "x", "a").as_deref(), Some("s"));
        signatures.remember(client("x"), [issued("d", "s")]);
        assert_eq!(signature(&mut signatures, "x", "b"), None);
        assert!(signature(&mut signatures, "x", "a").is_some());

        let mut signatures = Signatures::within(usize::MAX, 2 * (ENTRY + 100));
        for id in ["a", "b", "c", "c"] {
            signatures.remember(client("x"), [issued(id, &"s".repeat(100))]);
        }
        assert_eq!((signatures.calls.len(), signatures.order.len()), (2, 2));
        assert_eq!(signatures.bytes, 2 * (ENTRY + 100));
        signatures.remember(client("x"), [issued("d", &"s".repeat(LONGEST))]);
        assert_eq!(signature(&mut signatures, "x", "d"), None);
        assert!(signature(&mut signatures, "x", "c").is_some());
    }

    #[test]
    fn a_client_has_its_own_only() {
        let mut signatures = Signatures::new(1 << 30);
        signatures.remember(client("x"), [issued("a", "s")]);
        assert_eq!(signature(&mut signatures, "y", "a"), None);
        signatures.remember(client("y"), [issued("a", "t")]);
        assert_eq!(signature(&mut signatures, "x", "a").as_deref(), Some("s"));
    }

    #[test]
    fn only_the_first_call_of_a_step_gets_a_stand_in() {
        let call = |signature: Option<&'static str>| {
            let args = Cow::Owned(serde_json::value::to_raw_value(&()).expect("JSON"));
            let function_call = Some(FunctionCall { id: None, name: "f".into(), args });
            Part { function_call, thought_signature: signature.map(Cow::Borrowed), ..Part::default() }
        };
        let check = |parts: Vec<Part<'_>>, stands_in: bool| {
            let mut step = Content { role: Some(Role::Model), parts };
            assert_eq!(stand_in(&mut step), stands_in);
            let signed = step.parts.iter().filter(|part| part.thought_signature.is_some()).count();
            assert_eq!(signed, usize::from(step.parts.len() > 1));
        };
        check(vec![Part::text("a"), call(None), call(None)], true);
        check(vec![call(Some("s")), call(None)], false);
        check(vec![Part::text("a")], false);
    }
}
