//! A file of requests in OpenAI's words, translated line by line into Gemini's.
//!
//! Each line is read by the translator of its endpoint, with the model's suffixes, safety settings and kept signatures
//! that it would have if it were sent by itself. One line that cannot be translated refuses the whole: the client is
//! told which, while it still has the file.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Target;
use super::key::Notes;
use crate::affinity::address::{Public, put};
use crate::affinity::name::ObjectName;
use crate::affinity::scan::{self, Field};
use crate::config::{AliasFor, Fetch};
use crate::error::{Error, Kind};
use crate::gateway::{Gateway, held_values, no_room};
use crate::generation::{Asked, Form, Generation};
use crate::json;
use crate::memory::Held;
use crate::openai::chat::AudioFormat;
use crate::openai::embeddings;
use crate::secret::KeyId;
use crate::time::Timestamp;

/// OpenAI's bound on the requests of a batch.
const MOST_LINES: usize = 50_000;

/// The longest id. OpenAI's have 64 characters.
const LONGEST_ID: usize = 512;

/// Requests for Gemini.
#[derive(Debug)]
pub(in crate::openai) struct Input {
    pub(in crate::openai) target: Target,
    /// The model of all of them, as the upstream knows it.
    pub(in crate::openai) model: String,
    /// JSONL.
    pub(in crate::openai) lines: Bytes,
    /// The objects that they name: the batch has to be where these are.
    pub(in crate::openai) named: Vec<ObjectName>,
}

/// Whose requests they are, and what translates them.
#[derive(Debug, Clone, Copy)]
pub(in crate::openai) struct Of<'a> {
    pub(in crate::openai) gateway: &'a Gateway,
    pub(in crate::openai) client: KeyId,
    pub(in crate::openai) public: &'a Public,
    pub(in crate::openai) now: Timestamp,
}

/// A line.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    custom_id: Option<String>,
    method: Option<String>,
    url: Option<String>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

/// Translates a file. What comes out counts as `held`.
///
/// # Errors
/// 400, with the number of the line and the field at fault; 503 where there is no room for the translation.
pub(in crate::openai) fn translate(file: &Bytes, of: Of<'_>, held: &mut Held) -> Result<Input, Error> {
    let mut out = Vec::with_capacity(file.len());
    let mut ids = HashSet::new();
    let mut all: Option<(Target, String)> = None;
    // Some editors begin a file with a mark of its encoding.
    let text = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let lines = text.split(|byte| *byte == b'\n').enumerate();
    for (number, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let before = out.len();
        let line = file.slice_ref(line);
        let (target, model) = one(&line, of, &mut ids, &mut out).map_err(|error| at(number + 1, error))?;
        if !held.grow(out.len() - before) {
            return Err(no_room());
        }
        match &all {
            None => all = Some((target, model)),
            Some((first, _)) if *first != target => {
                let message = format!("the url of all lines has to be one; it was '{}'", first.path());
                return Err(at(number + 1, Error::bad_request(message, "url")));
            }
            Some((_, first)) if *first != model => {
                let message = format!(
                    "the model of all lines has to be one, as a batch of Gemini's has one; it was '{first}'"
                );
                return Err(at(number + 1, Error::bad_request(message, "body.model")));
            }
            Some(_) => {}
        }
        if ids.len() > MOST_LINES {
            let message = format!("Invalid file: a batch may have at most {MOST_LINES} requests.");
            return Err(Error::bad_request(message, "file"));
        }
    }
    let Some((target, model)) = all else {
        return Err(Error::bad_request("Invalid file: it holds no requests.", "file"));
    };
    let (lines, named) = placed(out.into(), of.public);
    Ok(Input { target, model, lines, named })
}

/// Translates one line. Its endpoint and the upstream's model.
fn one(
    line: &Bytes,
    of: Of<'_>,
    ids: &mut HashSet<String>,
    out: &mut Vec<u8>,
) -> Result<(Target, String), Error> {
    let read: Line<'_> = serde_json::from_slice(line)
        .map_err(|error| Error::new(Kind::BadRequest, format!("it is no request of a batch ({error})")))?;
    let missing = |name: &str| Error::bad_request("it is missing", name);
    let id = read.custom_id.filter(|id| !id.is_empty()).ok_or_else(|| missing("custom_id"))?;
    if id.len() > LONGEST_ID {
        return Err(Error::bad_request(format!("it may have at most {LONGEST_ID} bytes"), "custom_id"));
    }
    if read.method.is_some_and(|method| method != "POST") {
        return Err(Error::bad_request("it has to be 'POST'", "method"));
    }
    let url = read.url.ok_or_else(|| missing("url"))?;
    let Some(target) = Target::of_path(&url) else {
        return Err(Error::bad_request(format!("supported values are {}", Target::known()), "url"));
    };
    let body = line.slice_ref(read.body.ok_or_else(|| missing("body"))?.get().as_bytes());
    let written = match target {
        Target::Chat => generation(Form::Chat, &body, &id, of, out),
        Target::Responses => generation(Form::Responses, &body, &id, of, out),
        Target::Embeddings => vectors(&body, &id, of, out),
    };
    let model = written.map_err(|error| within(error, "body"))?;
    if !ids.insert(id) {
        return Err(Error::bad_request("another line has the same", "custom_id"));
    }
    Ok((target, model))
}

fn generation(form: Form, body: &Bytes, id: &str, of: Of<'_>, out: &mut Vec<u8>) -> Result<String, Error> {
    let Of { gateway, client, now, .. } = of;
    let mut held = held_values(gateway, body)?;
    let asked = Asked::read(form, body, "application/json", (gateway, client), &mut held, now)?;
    let model = gateway.served_model(asked.model(), asked.alias_for())?;
    let generation = gateway.translated(asked, model, client)?;
    if let Some(remote) = generation.remote().first()
        && gateway.config().fetch != Fetch::Pass
    {
        let message = "files are not fetched for batches; send a data URL, or the id of a file";
        return Err(Error::bad_request(message, remote.place.param.clone()));
    }
    if !generation.large().is_empty() {
        let message = "it is too large with its media; upload them, and send their ids";
        return Err(Error::new(Kind::BadRequest, message));
    }
    entry(&notes(&generation)?.key(id), &generation.body(), out);
    Ok(generation.model().to_owned())
}

/// What has to be known of a request to translate its answer.
fn notes(generation: &Generation) -> Result<Notes, Error> {
    let (notes, is_plain) = match generation.asked() {
        Asked::Chat { context, .. } => {
            let notes = Notes {
                one_call: context.single_call,
                legacy: context.legacy_call,
                search: context.grounded,
                pcm: context.audio == Some(AudioFormat::Pcm16),
                wav: context.audio == Some(AudioFormat::Wav),
                ..Notes::default()
            };
            (notes, context.names.is_identity() && context.custom.is_empty())
        }
        Asked::Responses(asked) => {
            let context = asked.context();
            let notes = Notes {
                response: true,
                one_call: context.single_call,
                sealed: context.sealed_reasoning,
                outputs: context.code_outputs,
                sources: context.search_sources,
                ..Notes::default()
            };
            (notes, context.has_plain_tools())
        }
        _ => (Notes::default(), true),
    };
    if !is_plain {
        let message = "in a batch, tools have to be functions with names of letters, digits, '_', '.', ':' and '-', at most 128";
        return Err(Error::bad_request(message, "tools"));
    }
    Ok(notes)
}

/// Each text is a request of its own.
fn vectors(body: &Bytes, id: &str, of: Of<'_>, out: &mut Vec<u8>) -> Result<String, Error> {
    let _held = held_values(of.gateway, body)?;
    let request = embeddings::Request::parse(body)?;
    let model = of.gateway.served_model(&request.model, AliasFor::Embed)?;
    let singles = request.singles(&model);
    let count = u16::try_from(singles.len()).unwrap_or(u16::MAX);
    for (number, single) in (0..count).zip(singles) {
        let part = (count > 1).then_some((number, count));
        let notes = Notes { base64: request.is_base64(), part, ..Notes::default() };
        entry(&notes.key(id), &single, out);
    }
    Ok(model)
}

fn entry(key: &str, request: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"key":"#);
    json::string(out, key);
    out.extend_from_slice(br#","request":"#);
    out.extend_from_slice(request);
    out.extend_from_slice(b"}\n");
}

/// The lines with this gateway's addresses in them turned to Google's, and the objects that they name.
fn placed(lines: Bytes, public: &Public) -> (Bytes, Vec<ObjectName>) {
    let mut named = BTreeSet::new();
    let mut addresses = Vec::new();
    for found in scan::generation(&lines) {
        named.extend(match found.field {
            Field::Address => public.object(&found.value),
            Field::Cache => ObjectName::within("cachedContents", &found.value),
            Field::Store => ObjectName::within("fileSearchStores", &found.value),
            _ => None,
        });
        if found.field == Field::Address
            && let Some(upward) = public.upward(&found.value)
        {
            addresses.push((found.span, upward));
        }
    }
    addresses.sort_by_key(|(span, _)| span.start);
    let named = named.into_iter().collect();
    (put(lines, &addresses), named)
}

/// An error within a line, with what field of the line it is in.
fn within(error: Error, place: &str) -> Error {
    let param = match error.param.as_deref() {
        None => place.to_owned(),
        Some(param) => format!("{place}.{param}"),
    };
    Error { param: Some(param), ..error }
}

/// An error with the line that it is in.
fn at(line: usize, error: Error) -> Error {
    let message = match error.param.as_deref() {
        Some(param) => format!("Invalid file, line {line}, {param}: {}", error.message),
        None => format!("Invalid file, line {line}: {}", error.message),
    };
    Error { param: Some("file".to_owned()), ..Error { message, ..error } }
}
