//! Messages as Gemini's turns.
//!
//! Gemini wants what OpenAI does not ask for: nothing but user and model, calls of one turn answered all
//! together and in their order by the very next turn, and no empty part. So system messages go above the
//! conversation wherever they stand, results are put behind the calls that they answer, a result that is
//! missing is replaced by an error, and one whose call is not there becomes text.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use serde_json::value::RawValue;

use super::message::{CalledCustom, Content as Words, ContentPart, Message, Role, ToolCall};
use crate::error::Error;
use crate::gemini::media;
use crate::gemini::model::Model;
use crate::gemini::names::FunctionNames;
use crate::gemini::remote::Accepts;
use crate::gemini::request::{self, Content, FunctionCall, FunctionResponse, Outcome, Part};
use crate::signatures::{self, Recalled};

/// A conversation in Gemini's form.
#[derive(Debug, Default)]
pub(super) struct Turns<'a> {
    pub(super) system: Vec<Part<'a>>,
    pub(super) contents: Vec<Content<'a>>,
    /// So many calls had lost their signatures.
    pub(super) stand_ins: u32,
}

/// Translates `messages` for `model`.
pub(super) fn translate<'a>(
    messages: &'a [Message],
    model: Model,
    names: &'a FunctionNames,
    recalled: &'a Recalled,
) -> Result<Turns<'a>, Error> {
    let calls = Calls::of(messages);
    let mut turns = Turns::default();
    let mut next_call = 0;
    for (index, message) in messages.iter().enumerate() {
        match message.role {
            Role::System => turns.system.extend(message.content.texts().map(Part::text)),
            Role::User => turns.say(request::Role::User, content_parts(message, index)?),
            Role::Assistant => {
                turns.say(request::Role::Model, model_parts(message, index, model, names, recalled)?);
                if continues(&messages[index + 1..]) {
                    continue;
                }
                if model.signs_calls() {
                    turns.sign_first_call();
                }
                let group = calls.group_from(next_call, index);
                next_call += group.len();
                if !group.is_empty() {
                    let results = results(group, messages, model, names, recalled)?;
                    turns.contents.push(Content { role: Some(request::Role::User), parts: results });
                }
            }
            Role::Tool | Role::Function if calls.answered_by(index) => {}
            Role::Tool | Role::Function => turns.say(request::Role::User, orphan_parts(message, index)?),
        }
    }
    turns.round_off(model);
    Ok(turns)
}

impl<'a> Turns<'a> {
    /// Adds to the last turn if it is of the same role, else opens one. Results of functions stay alone:
    /// Gemini counts them, and a turn with other words in it would begin a new exchange.
    fn say(&mut self, role: request::Role, mut parts: Vec<Part<'a>>) {
        if parts.is_empty() {
            return;
        }
        let holds_results =
            |turn: &Content<'_>| turn.parts.iter().any(|part| part.function_response.is_some());
        match self.contents.last_mut() {
            Some(last) if last.role == Some(role) && !holds_results(last) => last.parts.append(&mut parts),
            _ => self.contents.push(Content { role: Some(role), parts }),
        }
    }

    /// Gemini 3 wants the first call of every step signed.
    fn sign_first_call(&mut self) {
        let stood_in = self.contents.last_mut().is_some_and(signatures::stand_in);
        self.stand_ins += u32::from(stood_in);
    }

    /// What Gemini wants of a conversation's beginning and end.
    fn round_off(&mut self, model: Model) {
        let begins_with_call = self.contents.first().is_some_and(|first| {
            first.role == Some(request::Role::Model)
                && first.parts.iter().any(|part| part.function_call.is_some())
        });
        if begins_with_call {
            // A call has to follow a user's turn; a client that cut its history may have lost it.
            let parts = vec![Part::text("(Earlier messages are left out.)")];
            self.contents.insert(0, Content { role: Some(request::Role::User), parts });
        }
        let ends_with_model =
            self.contents.last().is_some_and(|last| last.role == Some(request::Role::Model));
        if ends_with_model && !model.continues_its_own_turn() {
            let parts = vec![Part::text("Continue.")];
            self.contents.push(Content { role: Some(request::Role::User), parts });
        }
    }
}

/// Whether the model goes on speaking in what follows.
fn continues(rest: &[Message]) -> bool {
    rest.iter().find(|message| message.role != Role::System).is_some_and(|next| next.role == Role::Assistant)
}

/// All calls of a conversation and what answers them.
struct Calls<'a> {
    calls: Vec<Call<'a>>,
    /// By message, whether it answers a call.
    answers: Vec<bool>,
}

/// A call, and where its result is.
struct Call<'a> {
    message: usize,
    id: Option<&'a str>,
    name: &'a str,
    result: Option<usize>,
}

/// What a result says of its call.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Id(&'a str),
    /// The form of 2023 knows only names.
    Name(&'a str),
}

impl<'a> Calls<'a> {
    /// Pairs calls and results. Ids may come again, within a step or in a later one: a result belongs to the
    /// latest step that waits for it, and there to the first such call.
    fn of(messages: &'a [Message]) -> Self {
        let mut calls: Vec<Call<'a>> = Vec::new();
        let mut answers = vec![false; messages.len()];
        let mut waiting: BTreeMap<Key<'a>, Vec<(usize, VecDeque<usize>)>> = BTreeMap::new();
        let mut step = 0;
        for (message, said) in messages.iter().enumerate() {
            let mut wait = |key, id, name| {
                let steps = waiting.entry(key).or_default();
                match steps.last_mut() {
                    Some((last, queue)) if *last == step => queue.push_back(calls.len()),
                    _ => steps.push((step, VecDeque::from([calls.len()]))),
                }
                calls.push(Call { message, id, name, result: None });
            };
            match said.role {
                Role::Assistant => {
                    for call in said.tool_calls.iter().flatten() {
                        let Some(name) = call.name() else { continue };
                        let id = call.id.as_deref().filter(|id| !id.is_empty());
                        wait(Key::Id(id.unwrap_or_default()), id, name);
                    }
                    if let Some(call) = &said.function_call {
                        wait(Key::Name(&call.name), None, &call.name);
                    }
                }
                Role::Tool | Role::Function => {
                    step += 1;
                    let key = match (said.role, &said.tool_call_id, &said.name) {
                        (Role::Function, _, Some(name)) => Key::Name(name),
                        (_, id, _) => Key::Id(id.as_deref().unwrap_or_default()),
                    };
                    let Some(steps) = waiting.get_mut(&key) else { continue };
                    let Some((_, queue)) = steps.last_mut() else { continue };
                    if let Some(call) = queue.pop_front() {
                        calls[call].result = Some(message);
                        answers[message] = true;
                    }
                    if queue.is_empty() {
                        steps.pop();
                    }
                }
                Role::User => step += 1,
                Role::System => {}
            }
        }
        Self { calls, answers }
    }

    /// The calls from number `first` on that were made up to message `last`.
    fn group_from(&self, first: usize, last: usize) -> &[Call<'a>] {
        let rest = &self.calls[first..];
        let length = rest.iter().take_while(|call| call.message <= last).count();
        &rest[..length]
    }

    fn answered_by(&self, message: usize) -> bool {
        self.answers[message]
    }
}

/// The results of one step, in the order of its calls.
fn results<'a>(
    calls: &[Call<'a>],
    messages: &'a [Message],
    model: Model,
    names: &'a FunctionNames,
    recalled: &'a Recalled,
) -> Result<Vec<Part<'a>>, Error> {
    let mut parts = Vec::with_capacity(calls.len());
    let mut beside = Vec::new();
    for call in calls {
        let mut media = Vec::new();
        let response = match call.result {
            Some(index) => {
                media = media_parts(messages[index].content.parts(), index)?;
                outcome(&messages[index].content)
            }
            None => Outcome::Error { error: "There is no result of this call." },
        };
        let mut response =
            FunctionResponse { id: None, name: names.to_gemini(call.name), response, parts: Vec::new() };
        if model.signs_calls() {
            response.id = call.id.map(|id| recalled.call(id, None).id);
        }
        if model.takes_media_in_results() {
            response.parts = media;
        } else {
            beside.append(&mut media);
        }
        parts.push(Part { function_response: Some(response), ..Part::default() });
    }
    parts.append(&mut beside);
    Ok(parts)
}

/// Gemini wants an object: one that is there is taken, any other text is put into one.
fn outcome(content: &Words) -> Outcome<'_> {
    let text = joined(content);
    if let Cow::Borrowed(text) = text
        && text.trim_start().starts_with('{')
        && let Ok(object) = serde_json::from_str::<&RawValue>(text)
    {
        return Outcome::Object(object);
    }
    Outcome::Text { result: text }
}

/// All text of a result.
fn joined(content: &Words) -> Cow<'_, str> {
    let mut texts = content.texts();
    let first = texts.next().unwrap_or_default();
    texts.fold(Cow::Borrowed(first), |joined, text| Cow::Owned(format!("{joined}\n{text}")))
}

/// A result whose call is not in the conversation.
fn orphan_parts(message: &Message, index: usize) -> Result<Vec<Part<'_>>, Error> {
    let text = joined(&message.content);
    let text = match message.tool_call_id.as_deref().or(message.name.as_deref()) {
        Some(call) => format!("Result of the tool call {call}: {text}"),
        None => format!("Result of a tool call: {text}"),
    };
    let mut parts = vec![Part::text(text)];
    parts.append(&mut media_parts(message.content.parts(), index)?);
    Ok(parts)
}

fn content_parts(message: &Message, index: usize) -> Result<Vec<Part<'_>>, Error> {
    match &message.content {
        Words::Nothing => Ok(Vec::new()),
        Words::Text(text) if text.is_empty() => Ok(Vec::new()),
        Words::Text(text) => Ok(vec![Part::text(text)]),
        Words::Parts(parts) => {
            parts.iter().enumerate().filter_map(|(number, part)| content_part(part, index, number)).collect()
        }
    }
}

fn model_parts<'a>(
    message: &'a Message,
    index: usize,
    model: Model,
    names: &'a FunctionNames,
    recalled: &'a Recalled,
) -> Result<Vec<Part<'a>>, Error> {
    let mut parts = content_parts(message, index)?;
    parts.extend(message.refusal.iter().filter(|refusal| !refusal.is_empty()).map(Part::text));
    let signature = message.extra_content.signature();
    if let Some(last) = parts.last_mut() {
        last.thought_signature = signature.map(Cow::Borrowed);
    }
    for call in message.tool_calls.iter().flatten() {
        let id = call.id.as_deref().unwrap_or_default();
        let known = recalled.call(id, call.extra_content.signature());
        // Gemini knows its calls by id from version 3 on.
        let id = Some(known.id).filter(|id| model.signs_calls() && !id.is_empty());
        let Some(function_call) = function_call(call, id, names) else { continue };
        parts.push(Part {
            function_call: Some(function_call),
            thought_signature: known.signature,
            ..Part::default()
        });
    }
    if let Some(call) = &message.function_call {
        // The form of 2023 has one place for a signature, and a call needs it more than a text does.
        let signature = recalled.signature(&call.known_as(), signature);
        if let Some(last) = parts.last_mut().filter(|_| signature.is_some()) {
            last.thought_signature = None;
        }
        let args = arguments(&call.arguments);
        let call = FunctionCall { id: None, name: names.to_gemini(&call.name), args };
        parts.push(Part { function_call: Some(call), thought_signature: signature, ..Part::default() });
    }
    Ok(parts)
}

fn function_call<'a>(
    call: &'a ToolCall,
    id: Option<&'a str>,
    names: &'a FunctionNames,
) -> Option<FunctionCall<'a>> {
    let args = match (&call.function, &call.custom) {
        (Some(function), _) => arguments(&function.arguments),
        (None, Some(CalledCustom { input, .. })) => wrapped("input", input),
        (None, None) => return None,
    };
    Some(FunctionCall { id, name: names.to_gemini(call.name()?), args })
}

/// Arguments have to be an object. What is none (a model can write anything) is kept as text in one.
fn arguments(text: &str) -> Cow<'_, RawValue> {
    if text.trim().is_empty() {
        return Cow::Owned(RawValue::from_string("{}".to_owned()).expect("an object is JSON"));
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(object) if object.get().starts_with('{') => Cow::Borrowed(object),
        Ok(_) | Err(_) => wrapped("_raw", text),
    }
}

fn wrapped(name: &str, text: &str) -> Cow<'static, RawValue> {
    let object = BTreeMap::from([(name, text)]);
    Cow::Owned(serde_json::value::to_raw_value(&object).expect("a map of strings is JSON"))
}

/// All parts that are no text.
fn media_parts(parts: &[ContentPart], index: usize) -> Result<Vec<Part<'_>>, Error> {
    let media = parts.iter().enumerate().filter(|(_, part)| part.as_text().is_none());
    media.filter_map(|(number, part)| content_part(part, index, number)).collect()
}

/// A part of `messages[index].content[number]`; none where there is nothing in it.
fn content_part(part: &ContentPart, index: usize, number: usize) -> Option<Result<Part<'_>, Error>> {
    if let Some(text) = part.as_text() {
        return (!text.is_empty()).then(|| Ok(Part::text(text)));
    }
    let param = |field: &str| format!("messages[{index}].content[{number}].{field}");
    let missing = |field: &str| {
        let param = param(field);
        Err(Error::bad_request(format!("Missing required parameter: '{param}'."), param))
    };
    let by_field = match part {
        ContentPart { image_url: Some(_), .. } => "image_url",
        ContentPart { video_url: Some(_), .. } => "video_url",
        ContentPart { input_audio: Some(_), .. } => "input_audio",
        ContentPart { file: Some(_), .. } => "file",
        _ => "text",
    };
    Some(match part.r#type.as_deref().unwrap_or(by_field) {
        "image_url" | "input_image" => match &part.image_url {
            Some(image) => media::from_url(&image.url, Accepts::Media, || param("image_url.url")),
            None => missing("image_url"),
        },
        "video_url" => match &part.video_url {
            Some(video) => media::from_url(&video.url, Accepts::Media, || param("video_url.url")),
            None => missing("video_url"),
        },
        "input_audio" => match &part.input_audio {
            Some(audio) => {
                media::from_audio(&audio.data, audio.format.as_deref(), || param("input_audio.data"))
            }
            None => missing("input_audio"),
        },
        "file" | "input_file" => {
            match part.file.as_ref().map(|file| (&file.file_data, &file.file_id, file)) {
                Some((Some(data), _, file)) => {
                    media::from_file(data, file.filename.as_deref(), || param("file.file_data"))
                }
                Some((None, Some(id), _)) if id.starts_with("files/") || id.contains("://") => {
                    media::from_url(id, Accepts::Documents, || param("file.file_id"))
                }
                Some((None, Some(_), _)) => Err(Error::bad_request(
                    "Invalid file id: files are those of Gemini's Files API, as in 'files/abc-123'.",
                    param("file.file_id"),
                )),
                Some((None, None, _)) => missing("file.file_data"),
                None => missing("file"),
            }
        }
        "text" | "input_text" | "output_text" => missing("text"),
        // Of the model, for the model alone.
        "refusal" | "thinking" | "redacted_thinking" | "reasoning" => return None,
        other => Err(Error::bad_request(
            format!(
                "Invalid value: '{other}'. Supported values are: 'text', 'image_url', 'input_audio', 'file', \
                 'video_url' and 'refusal'."
            ),
            param("type"),
        )),
    })
}
