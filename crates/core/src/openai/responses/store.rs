//! Answers that are kept, for those who ask for them again or go on from them.
//!
//! In memory, within bounds of number, size and age: what does not fit pushes out what is oldest. An answer is its
//! client's alone; to others it is as if there were none. Whoever goes on from an answer holds on to what it
//! went on from in turn, so that deleting or forgetting one leaves the conversations that followed whole.
//!
//! What goes in and comes out is data ([`Answer`]), so that something lasting can stand behind it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ids;
use super::input::Item;
use crate::contents::{Content, Outbox};
use crate::memory::{Held, Memory};
use crate::secret::KeyId;
use crate::time::Timestamp;

/// So long an answer is kept: a working day and the night after it.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// So many answers are kept.
const ANSWERS: usize = 20_000;

/// So much is kept, and never more than an eighth of the common memory. Long conversations have a few megabytes.
const BYTES: u64 = 256 << 20;

/// What an answer costs besides its texts: maps, allocations and identifiers.
const OVERHEAD: usize = 512;

/// Longer conversations than this cannot be gone on with by their last answer alone.
const LONGEST: usize = 10_000;

/// An answer with its conversation.
#[derive(Debug)]
pub struct Answer {
    /// `resp_…`
    pub id: String,
    /// The answer as the client got it.
    pub body: Bytes,
    /// The items of the request, and those of the answer.
    pub turn: Arc<Turn>,
}

/// One request and its answer in a conversation, and what it went on from.
#[derive(Debug)]
pub struct Turn {
    /// The id of its answer.
    response: Box<str>,
    input: Vec<Item>,
    output: Vec<Item>,
    before: Option<Arc<Self>>,
    length: usize,
    /// The bytes of all items up to here.
    size: usize,
    /// The share of the store's memory; given back when nobody holds the turn any more.
    _held: Option<Held>,
}

/// The store.
#[derive(Debug)]
pub struct Answers {
    answers: HashMap<String, Entry>,
    /// In the order in which they came.
    order: VecDeque<(Timestamp, String)>,
    memory: Arc<Memory>,
    most: usize,
    outbox: Outbox<Told>,
}

/// What a store is told.
#[derive(Debug)]
enum Told {
    Kept(KeyId, Arc<Answer>, Timestamp),
    Deleted(String),
}

#[derive(Debug)]
struct Entry {
    client: KeyId,
    answer: Arc<Answer>,
}

impl Answer {
    /// Reads an answer's items from its body.
    pub fn new(id: String, body: Bytes, input: Vec<Item>, before: Option<Arc<Turn>>) -> Self {
        let output = output_items(&body);
        let (length, size) = before.as_ref().map_or((0, 0), |before| (before.length, before.size));
        let size = size + input.iter().chain(&output).map(Item::size).sum::<usize>();
        let response = id.as_str().into();
        let turn = Turn { response, input, output, before, length: length + 1, size, _held: None };
        Self { id, body, turn: Arc::new(turn) }
    }

    /// All of it but what it goes on from, for a [store](Content::Answer).
    fn written(&self) -> Option<Vec<u8>> {
        let raw = |json: &'_ str| serde_json::from_str::<Box<RawValue>>(json).ok();
        let input = self.turn.input.iter().map(|item| Some((&*item.id, raw(&item.json)?, item.is_reference)));
        let body = raw(std::str::from_utf8(&self.body).ok()?)?;
        serde_json::to_vec(&Written { input: input.collect::<Option<Vec<_>>>()?, body }).ok()
    }

    /// Reads what was [written](Self::written).
    fn read(id: &str, said: &[u8], before: Option<Arc<Turn>>) -> Option<Self> {
        let Written { input, body } = serde_json::from_slice::<Written<String>>(said).ok()?;
        let item = |(id, json, is_reference): (String, Box<RawValue>, bool)| Item {
            id,
            json: json.get().to_owned(),
            is_reference,
        };
        let body = Bytes::copy_from_slice(body.get().as_bytes());
        Some(Self::new(id.to_owned(), body, input.into_iter().map(item).collect(), before))
    }

    fn size(&self) -> usize {
        OVERHEAD + self.body.len() + self.turn.items().map(Item::size).sum::<usize>()
    }
}

/// An answer as it is stored.
#[derive(Serialize, Deserialize)]
struct Written<T> {
    /// The items of the request: the id, the item, and whether it only names another.
    input: Vec<(T, Box<RawValue>, bool)>,
    body: Box<RawValue>,
}

fn output_items(body: &[u8]) -> Vec<Item> {
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        output: Vec<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let Ok(Response { output }) = serde_json::from_slice::<Response<'_>>(body) else { return Vec::new() };
    let item = |json: &RawValue| {
        let Named { id } = serde_json::from_str(json.get()).ok()?;
        Some(Item { id, json: json.get().to_owned(), is_reference: false })
    };
    output.into_iter().filter_map(item).collect()
}

impl Turn {
    /// All turns up to this one, the first one first.
    pub(super) fn conversation(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let before = |turn: &Arc<Self>| turn.before.clone();
        let mut turns: Vec<_> = std::iter::successors(Some(Arc::clone(self)), before).collect();
        turns.reverse();
        turns
    }

    /// The request's items, then the answer's.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.input.iter().chain(&self.output)
    }

    /// What the model was given: the conversation without the last answer, in order.
    pub fn given(self: &Arc<Self>) -> Vec<Item> {
        let before = self.before.as_ref().map(Self::conversation).unwrap_or_default();
        let before = before.iter().flat_map(|turn| turn.items());
        before.chain(&self.input).cloned().collect()
    }

    /// How many bytes the conversation has up to here.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether another turn may follow.
    pub fn may_be_followed(&self) -> bool {
        self.length < LONGEST
    }
}

impl Drop for Turn {
    /// One after another: a long conversation would overflow the stack.
    fn drop(&mut self) {
        let mut next = self.before.take();
        while let Some(turn) = next {
            next = Arc::into_inner(turn).and_then(|mut turn| turn.before.take());
        }
    }
}

impl Answers {
    /// How many answers are kept and may be, and how many bytes they take, and may.
    pub(crate) fn sizes(&self) -> [(usize, usize); 2] {
        let bytes = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        [
            (self.answers.len().max(self.order.len()), self.most),
            (bytes(self.memory.held()), bytes(self.memory.limit())),
        ]
    }

    /// An empty store, within an eighth of `memory` bytes.
    pub fn new(memory: u64) -> Self {
        Self::within(ANSWERS, BYTES.min(memory / 8))
    }

    fn within(most: usize, bytes: u64) -> Self {
        let (answers, order, outbox) = (HashMap::new(), VecDeque::new(), Outbox::default());
        Self { answers, order, memory: Memory::new(bytes), most, outbox }
    }

    /// From now on, what is kept can be [fetched](Self::take_contents), too.
    pub fn keep_contents(&mut self) {
        self.outbox.open();
    }

    /// What was kept and deleted since this was last asked.
    pub fn take_contents(&mut self) -> impl Iterator<Item = Content> + use<> {
        self.outbox.take().into_iter().filter_map(|told| {
            Some(match told {
                Told::Kept(client, answer, since) => Content::Answer {
                    id: answer.id.as_str().into(),
                    client,
                    before: answer.turn.before.as_ref().map(|before| before.response.clone()),
                    until: since + KEPT,
                    shown: true,
                    said: answer.written()?.into(),
                },
                Told::Deleted(id) => Content::Deleted { id: id.into() },
            })
        })
    }

    /// Keeps what was kept before a restart, or elsewhere: answers in the order in which they came. Those whose conversation
    /// is not there from its beginning are left out.
    pub fn restore(&mut self, contents: impl IntoIterator<Item = Content>, now: Timestamp) {
        let mut turns: HashMap<Box<str>, Arc<Turn>> = HashMap::new();
        for content in contents {
            let Content::Answer { id, client, before, until, shown, said } = content else { continue };
            if self.is_known(&id) {
                continue;
            }
            let kept = |id: &str| self.answers.get(id).map(|entry| &entry.answer.turn);
            let before = match before {
                None => None,
                Some(before) => match turns.get(&before).or_else(|| kept(&before)) {
                    Some(turn) => Some(Arc::clone(turn)),
                    None => continue,
                },
            };
            let Some(mut answer) = Answer::read(&id, &said, before) else { continue };
            if shown && until > now {
                self.put(client, answer, until - KEPT);
                let entry = self.answers.get(&*id);
                turns.extend(entry.map(|entry| (id, Arc::clone(&entry.answer.turn))));
            } else {
                let mut held = self.memory.share();
                if held.grow(answer.size()) {
                    if let Some(turn) = Arc::get_mut(&mut answer.turn) {
                        turn._held = Some(held);
                    }
                    turns.insert(id, answer.turn);
                }
            }
        }
    }

    /// Whether there is an answer of this id, whoever's it is.
    pub fn is_known(&self, id: &str) -> bool {
        self.answers.contains_key(id)
    }

    /// Keeps an answer of a client's. One that is larger than the store is not kept.
    pub fn keep(&mut self, client: KeyId, answer: Answer, now: Timestamp) {
        let id = answer.id.clone();
        self.put(client, answer, now);
        if let Some(Entry { answer, .. }) = self.answers.get(&id) {
            self.outbox.put(answer.size(), || Told::Kept(client, Arc::clone(answer), now));
        }
    }

    fn put(&mut self, client: KeyId, mut answer: Answer, now: Timestamp) {
        self.forget_old(now);
        let mut held = self.memory.share();
        while self.answers.len() >= self.most || !held.grow(answer.size()) {
            if !self.forget_oldest() {
                return;
            }
        }
        if let Some(turn) = Arc::get_mut(&mut answer.turn) {
            turn._held = Some(held);
        }
        self.order.push_back((now, answer.id.clone()));
        self.answers.insert(answer.id.clone(), Entry { client, answer: Arc::new(answer) });
    }

    /// The client's answer of this id.
    pub fn find(&mut self, client: KeyId, id: &str, now: Timestamp) -> Option<Arc<Answer>> {
        self.forget_old(now);
        let entry = self.answers.get(id).filter(|entry| entry.client == client)?;
        Some(Arc::clone(&entry.answer))
    }

    /// The client's item of this id, of an answer or of a request.
    pub fn item(&mut self, client: KeyId, id: &str, now: Timestamp) -> Option<Item> {
        let (response, place) = ids::place_of(id)?;
        let turn = &self.find(client, &response, now)?.turn;
        let item = match place {
            ids::Place::Input(number) => turn.input.get(number),
            ids::Place::Output(number) => turn.output.get(number),
        };
        item.filter(|item| item.id == id).cloned()
    }

    /// Forgets the client's answer of this id. False: there is none.
    pub fn remove(&mut self, client: KeyId, id: &str) -> bool {
        let is_its = self.answers.get(id).is_some_and(|entry| entry.client == client);
        if is_its {
            self.answers.remove(id);
            self.order.retain(|(_, other)| other != id);
            self.outbox.put(id.len(), || Told::Deleted(id.to_owned()));
        }
        is_its
    }

    fn forget_old(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|(since, _)| *since + KEPT <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some((_, id)) = self.order.pop_front() else { return false };
        self.answers.remove(&id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ApiKey;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn client(name: &str) -> KeyId {
        ApiKey::new(name).id()
    }

    fn id(number: usize) -> String {
        format!("resp_{number:024x}")
    }

    fn answer(number: usize, size: usize, before: Option<Arc<Turn>>) -> Answer {
        let item = format!("msg_{number:024x}0000");
        let body = format!(r#"{{"output":[{{"id":"{item}","text":"{}"}}]}}"#, "x".repeat(size));
        let input = ids::of_input("msg", &id(number), 0);
        let input = Item { json: format!(r#"{{"id":"{input}"}}"#), id: input, is_reference: false };
        Answer::new(id(number), body.into(), vec![input], before)
    }

    #[test]
    fn an_answer_is_its_clients_alone() {
        let mut answers = Answers::within(10, 1 << 20);
        answers.keep(client("a"), answer(1, 10, None), NOW);
        let item = answer(1, 10, None).turn.output[0].id.clone();
        assert!(answers.find(client("a"), &id(1), NOW).is_some());
        assert_eq!(answers.item(client("a"), &item, NOW).map(|item| item.id), Some(item.clone()));
        assert!(answers.find(client("b"), &id(1), NOW).is_none());
        assert!(answers.item(client("b"), &item, NOW).is_none());
        assert!(!answers.remove(client("b"), &id(1)));
        assert!(answers.remove(client("a"), &id(1)) && !answers.remove(client("a"), &id(1)));
        assert!(answers.find(client("a"), &id(1), NOW).is_none() && answers.order.is_empty());
        assert_eq!(answers.memory.held(), 0);
    }

    #[test]
    fn number_size_and_age_are_bounded() {
        let mut answers = Answers::within(3, 8_000);
        for number in 0..5 {
            answers.keep(client("a"), answer(number, 10, None), NOW);
        }
        assert_eq!((answers.answers.len(), answers.order.len()), (3, 3));
        assert!(answers.find(client("a"), &id(1), NOW).is_none());
        assert!(answers.find(client("a"), &id(2), NOW).is_some());
        answers.keep(client("a"), answer(7, 3_000, None), NOW);
        assert!(answers.find(client("a"), &id(7), NOW).is_some(), "the others made room");
        assert!(answers.memory.held() <= 8_000);
        answers.keep(client("a"), answer(8, 10_000, None), NOW);
        assert!(answers.find(client("a"), &id(8), NOW).is_none(), "larger than all there is");
        answers.keep(client("a"), answer(9, 10, None), NOW);
        assert!(answers.find(client("a"), &id(9), NOW + KEPT).is_none());
        assert_eq!(answers.memory.held(), 0);
    }

    #[test]
    fn a_conversation_outlives_its_beginning() {
        let mut answers = Answers::within(2, 1 << 20);
        answers.keep(client("a"), answer(1, 10, None), NOW);
        let first = answers.find(client("a"), &id(1), NOW).expect("kept");
        answers.keep(client("a"), answer(2, 10, Some(Arc::clone(&first.turn))), NOW);
        drop(first);
        answers.remove(client("a"), &id(1));
        let second = answers.find(client("a"), &id(2), NOW).expect("kept");
        let given: Vec<String> = second.turn.given().into_iter().map(|item| item.id).collect();
        assert_eq!(given.len(), 3, "{given:?}");
        let response = |item: &str| ids::place_of(item).map(|(response, _)| response);
        assert_eq!(response(&given[0]), Some(id(1)));
        assert_eq!(response(&given[2]), Some(id(2)));
        drop(second);
        answers.remove(client("a"), &id(2));
        assert_eq!(answers.memory.held(), 0);
    }

    #[test]
    fn conversations_outlive_a_restart() {
        let (mut before, mut after) = (Answers::within(10, 1 << 20), Answers::within(10, 1 << 20));
        before.keep_contents();
        let mut turn = None;
        for number in 1..=3 {
            before.keep(client("a"), answer(number, 10, turn.take()), NOW);
            turn = before.find(client("a"), &id(number), NOW).map(|answer| Arc::clone(&answer.turn));
        }
        before.remove(client("a"), &id(2));
        let mut contents: Vec<Content> = before.take_contents().collect();
        assert_eq!(contents.pop(), Some(Content::Deleted { id: id(2).as_str().into() }));
        let lost = {
            let Content::Answer { shown, .. } = &mut contents[1] else { panic!("an answer") };
            *shown = false;
            contents[1..].to_vec()
        };
        let mut in_parts = Answers::within(10, 1 << 20);
        for part in [&contents[..1], &contents[..1], &contents[1..]] {
            in_parts.restore(part.to_vec(), NOW);
        }
        assert!(in_parts.is_known(&id(3)) && !in_parts.is_known(&id(2)));
        assert_eq!(in_parts.order.len(), 2, "what is known is not kept anew");
        after.restore(contents, NOW);
        assert!(after.find(client("a"), &id(2), NOW).is_none(), "it was deleted");
        let [old, new] = [&mut before, &mut after]
            .map(|answers| answers.find(client("a"), &id(3), NOW).expect("the last answer"));
        assert_eq!((&new.body, new.turn.given()), (&old.body, old.turn.given()));
        assert!(after.find(client("b"), &id(3), NOW).is_none());
        let mut torn = Answers::within(10, 1 << 20);
        torn.restore(lost, NOW);
        assert!(torn.find(client("a"), &id(3), NOW).is_none(), "its beginning is missing");
        assert!(after.find(client("a"), &id(1), NOW + KEPT).is_none(), "in time they go");
        assert!(after.find(client("a"), &id(3), NOW + KEPT).is_none());
    }

    #[test]
    fn a_long_conversation_is_dropped_without_recursion() {
        let mut before = None;
        for number in 0..200_000 {
            before = Some(answer(number, 0, before.take()).turn);
        }
        assert!(!before.as_ref().is_some_and(|turn| turn.may_be_followed()));
        drop(before);
    }
}
