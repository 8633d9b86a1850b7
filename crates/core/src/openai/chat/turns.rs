//! Messages as what was said, for [`turns`](crate::gemini::turns) to put into Gemini's order. System messages go
//! above the conversation wherever they stand.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::message::{CalledCustom, Content as Words, ContentPart, Message, Role, ToolCall};
use crate::error::Error;
use crate::fields::StringOr;
use crate::gemini::media;
use crate::gemini::model::Model;
use crate::gemini::names::FunctionNames;
use crate::gemini::remote::Accepts;
use crate::gemini::request::{FunctionCall, Outcome, Part};
use crate::gemini::turns::{self, CallResult, Key, Saying};
use crate::signatures::Recalled;

/// A conversation, and what stands above it.
#[derive(Debug, Default)]
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Part<'a>>,
    pub(super) sayings: Vec<Saying<'a>>,
}

/// Reads `messages` for `model`.
pub(super) fn translate<'a>(
    messages: &'a [Message],
    model: Model,
    names: &'a FunctionNames,
    recalled: &'a Recalled,
) -> Result<Conversation<'a>, Error> {
    let mut conversation = Conversation::default();
    for (index, message) in messages.iter().enumerate() {
        conversation.sayings.push(match message.role {
            Role::System => {
                conversation.system.extend(message.content.texts().map(Part::text));
                continue;
            }
            Role::User => Saying::User(content_parts(message, index)?),
            Role::Assistant => Saying::Model {
                parts: model_parts(message, index, model, names, recalled)?,
                calls: keys(message),
            },
            Role::Tool | Role::Function => Saying::Result(CallResult {
                of: match (message.role, &message.tool_call_id, &message.name) {
                    (Role::Function, _, Some(name)) => Key::Name(name),
                    (_, id, _) => Key::Id(id.as_deref().unwrap_or_default()),
                },
                outcome: Outcome::of_text(joined(&message.content)),
                media: media_parts(message.content.parts(), index)?,
            }),
        });
    }
    Ok(conversation)
}

/// What the calls of a message are known by.
fn keys(message: &Message) -> Vec<Key<'_>> {
    let calls = message.tool_calls.iter().flatten().filter(|call| call.name().is_some());
    let calls = calls.map(|call| Key::Id(call.id.as_deref().unwrap_or_default()));
    calls.chain(message.function_call.iter().map(|call| Key::Name(&call.name))).collect()
}

/// All text of a result.
fn joined(content: &Words) -> Cow<'_, str> {
    turns::joined(content.texts().map(Cow::Borrowed))
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
    for (number, StringOr(image)) in message.images.iter().flatten().enumerate() {
        let Some(url) = &image.image_url else { continue };
        let param = || format!("messages[{index}].images[{number}].image_url.url");
        let part = media::from_url(&url.url, Accepts::Media, param)?;
        let thought_signature = image.extra_content.signature().map(Cow::Borrowed);
        parts.push(Part { thought_signature, ..part });
    }
    let signature = message.extra_content.signature();
    let last = parts.last_mut().filter(|last| last.thought_signature.is_none());
    if let (Some(last), Some(signature)) = (last, signature) {
        last.thought_signature = Some(Cow::Borrowed(signature));
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
                Some((None, Some(id), _)) if media::is_file_id(id) => {
                    media::from_url(id, Accepts::Documents, || param("file.file_id"))
                }
                Some((None, Some(_), _)) => Err(Error::bad_request(
                    "Invalid file id: files are those of Gemini's Files API, as in 'file-abc-123' or 'files/abc-123'.",
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
