//! A conversation as Gemini's turns.
//!
//! Gemini wants what other dialects do not ask for: nothing but user and model, calls of one turn answered all
//! together and in their order by the very next turn, and no empty part. So results are put behind the calls that
//! they answer, a result that is missing is replaced by an error, and one whose call is not there becomes text.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use super::model::Model;
use super::request::{Content, FunctionResponse, Outcome, Part, Role};
use crate::signatures;

/// Something that was said, in its place.
#[derive(Debug)]
pub enum Saying<'a> {
    /// Of the user.
    User(Vec<Part<'a>>),
    /// Of the model.
    Model {
        /// What it said.
        parts: Vec<Part<'a>>,
        /// What the client knows the calls among the parts by, in their order.
        calls: Vec<Key<'a>>,
    },
    /// What a call brought.
    Result(CallResult<'a>),
}

/// What the client knows a call by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key<'a> {
    /// An id; empty where it has none.
    Id(&'a str),
    /// A name, where a dialect knows nothing else.
    Name(&'a str),
}

/// What a call brought.
#[derive(Debug)]
pub struct CallResult<'a> {
    /// The call.
    pub of: Key<'a>,
    /// The result.
    pub outcome: Outcome<'a>,
    /// Images and the like that belong to it.
    pub media: Vec<Part<'a>>,
}

/// A conversation in Gemini's form.
#[derive(Debug, Default)]
pub struct Turns<'a> {
    /// The turns.
    pub contents: Vec<Content<'a>>,
    /// So many calls had lost their signatures.
    pub stand_ins: u32,
    /// So many parts of the last turn are known to hold no call, or its first call is signed.
    looked_at: usize,
    is_signed: bool,
}

impl<'a> Turns<'a> {
    /// Puts what was said into the order that `model` takes.
    pub fn of(sayings: Vec<Saying<'a>>, model: Model) -> Self {
        let calls = Calls::of(&sayings);
        // A result is taken out of its place when its turn comes.
        let mut sayings: Vec<_> = sayings.into_iter().map(Some).collect();
        let mut turns = Self::default();
        let mut next_call = 0;
        for index in 0..sayings.len() {
            match sayings[index].take() {
                None => {}
                Some(Saying::User(parts)) => turns.say(Role::User, parts),
                Some(Saying::Model { parts, .. }) => {
                    turns.say(Role::Model, parts);
                    if matches!(sayings.get(index + 1), Some(Some(Saying::Model { .. }))) {
                        continue;
                    }
                    if model.signs_calls() {
                        turns.sign_first_call();
                    }
                    let group = calls.group_from(next_call, index);
                    next_call += group.len();
                    if !group.is_empty() {
                        let results = results(group, &mut sayings, model);
                        turns.open(Role::User, results);
                    }
                }
                Some(Saying::Result(orphan)) => turns.say(Role::User, orphan.into_words()),
            }
        }
        turns.round_off(model);
        turns
    }

    /// Adds to the last turn if it is of the same role, else opens one. Results of functions stay alone:
    /// Gemini counts them, and a turn with other words in it would begin a new exchange.
    fn say(&mut self, role: Role, mut parts: Vec<Part<'a>>) {
        if parts.is_empty() {
            return;
        }
        // They come first; a turn may have a hundred thousand parts behind.
        let holds_results =
            |turn: &Content<'_>| turn.parts.first().is_some_and(|part| part.function_response.is_some());
        match self.contents.last_mut() {
            Some(last) if last.role == Some(role) && !holds_results(last) => last.parts.append(&mut parts),
            _ => self.open(role, parts),
        }
    }

    fn open(&mut self, role: Role, parts: Vec<Part<'a>>) {
        self.contents.push(Content { role: Some(role), parts });
        (self.looked_at, self.is_signed) = (0, false);
    }

    /// Gemini 3 wants the first call of every step signed.
    fn sign_first_call(&mut self) {
        let Some(last) = self.contents.last_mut().filter(|_| !self.is_signed) else { return };
        // Where nothing is between two of the model's words they are one turn, and that may become long.
        self.is_signed = last.parts[self.looked_at..].iter().any(|part| part.function_call.is_some());
        self.looked_at = last.parts.len();
        if self.is_signed {
            self.stand_ins += u32::from(signatures::stand_in(last));
        }
    }

    /// What Gemini wants of a conversation's beginning and end.
    fn round_off(&mut self, model: Model) {
        let begins_with_call = self.contents.first().is_some_and(|first| {
            first.role == Some(Role::Model) && first.parts.iter().any(|part| part.function_call.is_some())
        });
        if begins_with_call {
            // A call has to follow a user's turn; a client that cut its history may have lost it.
            let parts = vec![Part::text("(Earlier messages are left out.)")];
            self.contents.insert(0, Content { role: Some(Role::User), parts });
        }
        let ends_with_model = self.contents.last().is_some_and(|last| last.role == Some(Role::Model));
        if ends_with_model && !model.continues_its_own_turn() {
            let parts = vec![Part::text("Continue.")];
            self.contents.push(Content { role: Some(Role::User), parts });
        }
    }
}

/// All calls of a conversation and what answers them.
struct Calls<'a> {
    calls: Vec<Call<'a>>,
}

/// A call, and where its result is.
struct Call<'a> {
    saying: usize,
    id: Option<&'a str>,
    name: Cow<'a, str>,
    result: Option<usize>,
}

impl<'a> Calls<'a> {
    /// Pairs calls and results. Ids may come again, within a step or in a later one: a result belongs to the
    /// latest step that waits for it, and there to the first such call.
    fn of(sayings: &[Saying<'a>]) -> Self {
        let mut calls: Vec<Call<'a>> = Vec::new();
        let mut waiting: BTreeMap<Key<'a>, Vec<(usize, VecDeque<usize>)>> = BTreeMap::new();
        let mut step = 0;
        for (saying, said) in sayings.iter().enumerate() {
            match said {
                Saying::Model { parts, calls: keys } => {
                    let made = parts.iter().filter_map(|part| part.function_call.as_ref());
                    for (call, key) in made.zip(keys) {
                        let steps = waiting.entry(*key).or_default();
                        match steps.last_mut() {
                            Some((last, queue)) if *last == step => queue.push_back(calls.len()),
                            _ => steps.push((step, VecDeque::from([calls.len()]))),
                        }
                        calls.push(Call { saying, id: call.id, name: call.name.clone(), result: None });
                    }
                }
                Saying::Result(result) => {
                    step += 1;
                    let Some(steps) = waiting.get_mut(&result.of) else { continue };
                    let Some((_, queue)) = steps.last_mut() else { continue };
                    if let Some(call) = queue.pop_front() {
                        calls[call].result = Some(saying);
                    }
                    if queue.is_empty() {
                        steps.pop();
                    }
                }
                Saying::User(_) => step += 1,
            }
        }
        Self { calls }
    }

    /// The calls from number `first` on that were made up to saying `last`.
    fn group_from(&self, first: usize, last: usize) -> &[Call<'a>] {
        let rest = &self.calls[first..];
        let length = rest.iter().take_while(|call| call.saying <= last).count();
        &rest[..length]
    }
}

/// The results of one step, in the order of its calls.
fn results<'a>(calls: &[Call<'a>], sayings: &mut [Option<Saying<'a>>], model: Model) -> Vec<Part<'a>> {
    let mut parts = Vec::with_capacity(calls.len());
    let mut beside = Vec::new();
    for call in calls {
        let (response, mut media) = match call.result.and_then(|result| sayings[result].take()) {
            Some(Saying::Result(result)) => (result.outcome, result.media),
            _ => (Outcome::Error { error: "There is no result of this call.".into() }, Vec::new()),
        };
        let mut response =
            FunctionResponse { id: call.id, name: call.name.clone(), response, parts: Vec::new() };
        if model.takes_media_in_results() {
            response.parts = media;
        } else {
            beside.append(&mut media);
        }
        parts.push(Part { function_response: Some(response), ..Part::default() });
    }
    parts.append(&mut beside);
    parts
}

/// Texts as one, a line each at least.
pub fn joined<'a>(mut texts: impl Iterator<Item = Cow<'a, str>>) -> Cow<'a, str> {
    let first = texts.next().unwrap_or_default();
    texts.fold(first, |joined, text| {
        let mut joined = joined.into_owned();
        joined.push('\n');
        joined.push_str(&text);
        Cow::Owned(joined)
    })
}

impl<'a> CallResult<'a> {
    /// A result whose call is not in the conversation, in words.
    fn into_words(self) -> Vec<Part<'a>> {
        let text = match self.outcome {
            Outcome::Object(object) => Cow::Borrowed(object.get()),
            Outcome::Text { result: text } | Outcome::Error { error: text } => text,
        };
        let text = match self.of {
            Key::Id("") | Key::Name("") => format!("Result of a tool call: {text}"),
            Key::Id(call) | Key::Name(call) => format!("Result of the tool call {call}: {text}"),
        };
        let mut parts = vec![Part::text(text)];
        parts.extend(self.media);
        parts
    }
}
