//! Messages as what was said, for [`turns`](crate::gemini::turns) to put into Gemini's order.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::content::{Block, Content, Message, Role, Source};
use super::signature::{self, Seal};
use crate::error::Error;
use crate::gemini::media;
use crate::gemini::model::Model;
use crate::gemini::names::FunctionNames;
use crate::gemini::remote::Accepts;
use crate::gemini::request::{FunctionCall, Outcome, Part};
use crate::gemini::turns::{self, CallResult, Key, Saying};
use crate::signatures::Recalled;

/// What Claude Code writes into its system prompt for the bill. It differs from one request to the next, so that
/// nothing behind it would ever come from a cache.
const BILLING: &str = "x-anthropic-billing-header";

/// A conversation, and what stands above it.
#[derive(Debug, Default)]
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Part<'a>>,
    pub(super) sayings: Vec<Saying<'a>>,
}

/// Where a block stands, for errors.
#[derive(Debug, Clone, Copy)]
struct Place<'p> {
    within: Option<&'p Self>,
    name: &'static str,
    index: usize,
}

/// Reads `system` and `messages` for `model`.
pub(super) fn translate<'a>(
    system: &'a Content,
    messages: &'a [Message],
    model: Model,
    names: &'a FunctionNames,
    recalled: &'a Recalled,
) -> Result<Conversation<'a>, Error> {
    let mut conversation = Conversation::default();
    conversation.system.extend(system.texts().filter_map(without_bill).map(Part::text));
    for (index, message) in messages.iter().enumerate() {
        let place = Place { within: None, name: "messages", index };
        match message.role {
            // At the beginning it stands above the conversation; later it has to be where it is.
            Role::System if conversation.sayings.is_empty() => {
                conversation.system.extend(message.content.texts().filter_map(without_bill).map(Part::text));
            }
            Role::System => {
                let reminders = message.content.texts().filter_map(without_bill).map(reminder).collect();
                conversation.sayings.push(Saying::User(reminders));
            }
            Role::User => say_of_user(&message.content, place, &mut conversation.sayings)?,
            Role::Assistant => {
                conversation.sayings.push(said_by_model(&message.content, place, model, names, recalled)?);
            }
        }
    }
    Ok(conversation)
}

/// A system's word in the middle of a conversation, in the clothes that such words wear in Claude Code.
fn reminder(text: &str) -> Part<'_> {
    Part::text(format!("<system-reminder>\n{text}\n</system-reminder>"))
}

/// A system text without the line for the bill; none where nothing else is there.
fn without_bill(text: &str) -> Option<&str> {
    if !text.trim_start().starts_with(BILLING) {
        return Some(text);
    }
    let (_, rest) = text.trim_start().split_once('\n')?;
    Some(rest).filter(|rest| !rest.trim().is_empty())
}

/// Results come first: Gemini takes nothing between a call and what it brought.
fn say_of_user<'a>(
    content: &'a Content,
    place: Place<'_>,
    sayings: &mut Vec<Saying<'a>>,
) -> Result<(), Error> {
    let mut parts = Vec::new();
    if let Content::Text(text) = content
        && !text.is_empty()
    {
        parts.push(Part::text(text));
    }
    for (index, block) in content.blocks().iter().enumerate() {
        let place = Place { within: Some(&place), name: "content", index };
        match block.kind() {
            "tool_result" => sayings.push(Saying::Result(result(block, place)?)),
            _ => push_parts(block, place, &mut parts)?,
        }
    }
    sayings.push(Saying::User(parts));
    Ok(())
}

fn result<'a>(block: &'a Block, place: Place<'_>) -> Result<CallResult<'a>, Error> {
    let mut parts = Vec::new();
    if let Content::Text(text) = &block.content {
        parts.push(Part::text(text));
    }
    for (index, inner) in block.content.blocks().iter().enumerate() {
        push_parts(inner, Place { within: Some(&place), name: "content", index }, &mut parts)?;
    }
    let (texts, media): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| part.text.is_some());
    let text = turns::joined(texts.into_iter().filter_map(|part| part.text));
    let outcome = if block.is_error { Outcome::Error { error: text } } else { Outcome::of_text(text) };
    Ok(CallResult { of: Key::Id(block.tool_use_id.as_deref().unwrap_or_default()), outcome, media })
}

/// What the model said. Thoughts are not said again; what sealed them goes to what they led to: the next call of
/// the message, as Gemini insists on it there, and where none follows, the next text.
fn said_by_model<'a>(
    content: &'a Content,
    place: Place<'_>,
    model: Model,
    names: &'a FunctionNames,
    recalled: &'a Recalled,
) -> Result<Saying<'a>, Error> {
    let (mut parts, mut calls) = (Vec::new(), Vec::new());
    if let Content::Text(text) = content
        && !text.is_empty()
    {
        parts.push(Part::text(text));
    }
    let mut seal = None;
    // The text that has followed the seal.
    let mut sealed_text = None;
    let flush = |parts: &mut Vec<Part<'a>>, seal: Option<Seal<'a>>, text: Option<usize>| {
        let signature = match seal {
            Some(Seal::Signature(signature)) => Some(Cow::Borrowed(signature)),
            Some(Seal::Reference(reference)) => recalled.signature(reference, None),
            None => None,
        };
        if let (Some(signature), Some(part)) = (signature, text.and_then(|text| parts.get_mut(text))) {
            part.thought_signature = Some(signature);
        }
    };
    for (index, block) in content.blocks().iter().enumerate() {
        match block.kind() {
            "thinking" => {
                flush(&mut parts, seal.take(), sealed_text.take());
                seal = signature::of(block);
            }
            "tool_use" => {
                let (Some(id), Some(name)) = (&block.id, &block.name) else {
                    let place = Place { within: Some(&place), name: "content", index };
                    let missing = if block.id.is_none() { "id" } else { "name" };
                    return Err(missing_field(&place.field(missing)));
                };
                let mut known = recalled.call(id, None);
                // What is remembered of the call itself is surer. The seal is spent either way.
                if (model.signs_calls() || sealed_text.is_none())
                    && let Some(Seal::Signature(signature)) = seal
                {
                    seal = None;
                    known.signature.get_or_insert(Cow::Borrowed(signature));
                }
                // Gemini knows its calls by id from version 3 on.
                let call_id = Some(known.id).filter(|id| model.signs_calls() && !id.is_empty());
                let call = FunctionCall {
                    id: call_id,
                    name: names.to_gemini(name),
                    args: arguments(block.input.as_deref()),
                };
                calls.push(Key::Id(id));
                parts.push(Part {
                    function_call: Some(call),
                    thought_signature: known.signature,
                    ..Part::default()
                });
            }
            // Code that Google ran, and what it printed.
            "server_tool_use" => parts.extend(code(block).map(Part::text)),
            "code_execution_tool_result" | "bash_code_execution_tool_result" => {
                parts.extend(output(block).map(Part::text));
            }
            "text" => {
                let Some(text) = block.text.as_deref().filter(|text| !text.is_empty()) else { continue };
                sealed_text = Some(parts.len());
                parts.push(Part::text(text));
            }
            "image" | "document" => {
                let place = Place { within: Some(&place), name: "content", index };
                push_parts(block, place, &mut parts)?;
            }
            // What other services found, hid or ran for the model has no place in Gemini's turns.
            _ => {}
        }
    }
    flush(&mut parts, seal, sealed_text);
    Ok(Saying::Model { parts, calls })
}

/// Arguments have to be an object. What is none is kept in one.
fn arguments(input: Option<&RawValue>) -> Cow<'_, RawValue> {
    match input {
        Some(input) if input.get().starts_with('{') => Cow::Borrowed(input),
        None => Cow::Owned(RawValue::from_string("{}".to_owned()).expect("an object is JSON")),
        Some(input) if input.get() == "null" => arguments(None),
        Some(input) => {
            let object = format!(r#"{{"_raw":{}}}"#, input.get());
            Cow::Owned(RawValue::from_string(object).expect("a member that is JSON makes an object"))
        }
    }
}

/// The code of a call that Google served.
fn code(block: &Block) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Input {
        code: Option<String>,
        command: Option<String>,
    }
    let input: Input = serde_json::from_str(block.input.as_ref()?.get()).ok()?;
    let (language, code) = match (input.code, input.command) {
        (Some(code), _) => ("python", code),
        (None, Some(command)) => ("bash", command),
        (None, None) => return None,
    };
    Some(format!("```{language}\n{}\n```", code.trim_end()))
}

/// What code printed.
fn output(block: &Block) -> Option<String> {
    let inner = block.content.blocks().first()?;
    let printed = [&inner.stdout, &inner.stderr];
    let printed: String = printed.into_iter().flatten().map(String::as_str).collect();
    (!printed.is_empty()).then(|| format!("```\n{}\n```", printed.trim_end()))
}

/// Adds what a block of the user's, or of a result, is to Gemini.
fn push_parts<'a>(block: &'a Block, place: Place<'_>, parts: &mut Vec<Part<'a>>) -> Result<(), Error> {
    match block.kind() {
        "text" => match block.text.as_deref() {
            Some("") => {}
            Some(text) => parts.push(Part::text(text)),
            None => return Err(missing_field(&place.field("text"))),
        },
        "image" => parts.push(source(block, Accepts::Media, place)?),
        "document" => push_document(block, place, parts)?,
        "search_result" => {
            let source = block.source.as_ref().and_then(|source| source.url.as_deref());
            let title =
                [block.title.as_deref(), source].into_iter().flatten().collect::<Vec<_>>().join(" — ");
            let texts = block.content.texts().collect::<Vec<_>>().join("\n");
            parts.push(Part::text(format!("<search_result title=\"{title}\">\n{texts}\n</search_result>")));
        }
        // Of the model, of caches, of containers: nothing that Gemini could read.
        "thinking" | "redacted_thinking" | "container_upload" | "tool_reference" => {}
        other => {
            let message = format!("{}: '{other}' is no block that Gemini can be given", place.field("type"));
            return Err(Error::bad_request(message, place.field("type")));
        }
    }
    Ok(())
}

/// A document: a file, or a text, under its title.
fn push_document<'a>(block: &'a Block, place: Place<'_>, parts: &mut Vec<Part<'a>>) -> Result<(), Error> {
    let head = [&block.title, &block.context];
    let head: Vec<&str> =
        head.into_iter().flatten().map(String::as_str).filter(|text| !text.is_empty()).collect();
    if !head.is_empty() {
        parts.push(Part::text(head.join("\n")));
    }
    let Some(from) = &block.source else { return Err(missing_field(&place.field("source"))) };
    match from.r#type.as_deref() {
        Some("text") => match from.data.as_deref() {
            Some(text) if !text.is_empty() => parts.push(Part::text(text)),
            Some(_) => {}
            None => return Err(missing_field(&place.field("source.data"))),
        },
        Some("content") => {
            parts.extend(from.content.texts().filter(|_| from.content.blocks().is_empty()).map(Part::text));
            for (index, inner) in from.content.blocks().iter().enumerate() {
                push_parts(inner, Place { within: Some(&place), name: "source.content", index }, parts)?;
            }
        }
        _ => parts.push(source(block, Accepts::Documents, place)?),
    }
    Ok(())
}

/// Bytes, an address, or a file of Gemini's Files API.
fn source<'a>(block: &'a Block, accepts: Accepts, place: Place<'_>) -> Result<Part<'a>, Error> {
    let Some(Source { r#type: kind, media_type, data, url, file_id, .. }) = &block.source else {
        return Err(missing_field(&place.field("source")));
    };
    let by_field = if data.is_some() {
        "base64"
    } else if url.is_some() {
        "url"
    } else {
        "file"
    };
    match (kind.as_deref().unwrap_or(by_field), data, url, file_id) {
        ("base64", Some(data), _, _) => {
            media::from_base64(media_type.as_deref(), data, || place.field("source.data"))
        }
        ("base64", None, _, _) => Err(missing_field(&place.field("source.data"))),
        ("url", _, Some(url), _) => media::from_url(url, accepts, || place.field("source.url")),
        ("url", _, None, _) => Err(missing_field(&place.field("source.url"))),
        ("file", _, _, Some(id)) if media::is_file_id(id) => {
            media::from_url(id, accepts, || place.field("source.file_id"))
        }
        ("file", _, _, Some(_)) => Err(Error::bad_request(
            format!(
                "{}: files are those of Gemini's Files API, as in 'file-abc-123' or 'files/abc-123'",
                place.field("source.file_id")
            ),
            place.field("source.file_id"),
        )),
        ("file", _, _, None) => Err(missing_field(&place.field("source.file_id"))),
        (other, ..) => Err(Error::bad_request(
            format!("{}: '{other}' is none of 'base64', 'url' and 'file'", place.field("source.type")),
            place.field("source.type"),
        )),
    }
}

fn missing_field(field: &str) -> Error {
    Error::bad_request(format!("{field}: Field required"), field)
}

impl Place<'_> {
    /// A field of the block, as Anthropic names it: `messages.0.content.1.source`.
    fn field(&self, name: &str) -> String {
        let mut path = format!("{}.{}", self.name, self.index);
        let mut outer = self.within;
        while let Some(place) = outer {
            path = format!("{}.{}.{path}", place.name, place.index);
            outer = place.within;
        }
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_for_the_bill_goes() {
        assert_eq!(without_bill("You are helpful."), Some("You are helpful."));
        assert_eq!(without_bill("x-anthropic-billing-header: cc_version=2.1; cch=a1;"), None);
        assert_eq!(without_bill("x-anthropic-billing-header: a\n\nYou are."), Some("\nYou are."));
        assert_eq!(
            without_bill("About x-anthropic-billing-header"),
            Some("About x-anthropic-billing-header")
        );
    }

    #[test]
    fn places_are_named_as_anthropic_names_them() {
        let message = Place { within: None, name: "messages", index: 2 };
        let block = Place { within: Some(&message), name: "content", index: 0 };
        let inner = Place { within: Some(&block), name: "content", index: 1 };
        assert_eq!(inner.field("source.url"), "messages.2.content.0.content.1.source.url");
    }
}
