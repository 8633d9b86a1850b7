//! What has come of a batch, translated line by line into OpenAI's words.
//!
//! OpenAI has one file of answers and one of what failed; Gemini has one of both, so that each of OpenAI's is half of it.
//! The answers to a request that became several are put together again.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Target;
use super::key::{Key, Notes};
use crate::error::{Dialect, Error, Kind};
use crate::json;
use crate::openai::chat::{self, ChatRequest};
use crate::openai::embeddings;
use crate::openai::files::{FileId, Status};
use crate::openai::responses::{self, ResponsesRequest};
use crate::signatures::Issued;

/// What the translation has to know besides the lines.
#[derive(Debug, Clone, Copy)]
pub(in crate::openai) struct Of<'a> {
    /// The file's id. Ids of answers come from it.
    pub(in crate::openai) file: &'a FileId,
    /// The upstream's model, where it is known.
    pub(in crate::openai) model: Option<&'a str>,
    /// Seconds since 1970.
    pub(in crate::openai) created: u64,
    pub(in crate::openai) signatures_in_ids: bool,
}

/// A line of Gemini's.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    error: Option<Status>,
}

/// What every answer has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    model_version: Option<String>,
    embedding: Option<Vector>,
    #[serde(default)]
    embeddings: Vec<Vector>,
    token_count: Option<super::Int64>,
}

#[derive(Debug, Deserialize)]
struct Vector {
    #[serde(default)]
    values: Vec<f32>,
}

/// A request of which not all answers have come.
#[derive(Debug, Default)]
struct Gathered {
    of: u16,
    base64: bool,
    vectors: BTreeMap<u16, Vec<f32>>,
    tokens: u64,
    error: Option<Error>,
}

/// A line of OpenAI's.
#[derive(Serialize)]
struct Entry<'a> {
    id: String,
    custom_id: &'a str,
    response: Response<'a>,
    error: Option<()>,
}

#[derive(Serialize)]
struct Response<'a> {
    status_code: u16,
    request_id: &'a str,
    body: &'a RawValue,
}

/// Translates a file of Gemini's: the half of it that `of.file` names. Beside it comes what has to be remembered of
/// calls in it.
///
/// # Errors
/// 502 where it is no batch's output.
pub(in crate::openai) fn translate(file: &[u8], of: Of<'_>) -> Result<(Bytes, Vec<Issued>), Error> {
    let mut out = Translation { of, out: Vec::with_capacity(file.len()), issued: Vec::new(), number: 0 };
    let mut open: HashMap<String, Gathered> = HashMap::new();
    // In the order in which their first answer came.
    let mut order: Vec<String> = Vec::new();
    for line in file.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let line: Line<'_> = serde_json::from_slice(line)
            .map_err(|_| Error::new(Kind::BadGateway, "the upstream's file is no output of a batch"))?;
        let key = Key::read(line.key.as_deref().unwrap_or_default());
        let answer = match (line.response, line.error) {
            (Some(response), _) => Ok(response),
            (None, Some(error)) => Err(failed(&error)),
            (None, None) => Err(Error::new(Kind::Internal, "Gemini has not answered this request.")),
        };
        match key.notes.part {
            None => out.add(&key, answer),
            Some((number, parts)) => {
                let id = key.id.into_owned();
                let gathered = open.entry(id.clone()).or_insert_with(|| {
                    order.push(id);
                    Gathered { of: parts, base64: key.notes.base64, ..Gathered::default() }
                });
                match answer.and_then(vector) {
                    Ok((values, tokens)) => {
                        gathered.tokens += tokens;
                        gathered.vectors.insert(number, values);
                    }
                    Err(error) => gathered.error = Some(error),
                }
            }
        }
    }
    for id in order {
        let Some(gathered) = open.remove(&id) else { continue };
        let whole = gathered.vectors.len() == usize::from(gathered.of);
        let answer = match gathered.error {
            Some(error) => Err(error),
            None if !whole => {
                Err(Error::new(Kind::Internal, "Gemini has not answered all texts of this request."))
            }
            None => {
                let vectors = gathered.vectors.into_values();
                Ok(embeddings::whole(of.model.unwrap_or_default(), vectors, gathered.tokens, gathered.base64))
            }
        };
        out.write(&id, answer);
    }
    Ok((out.out.into(), out.issued))
}

/// Whether bytes are what comes of a batch: lines with keys, answers or errors.
pub(in crate::openai) fn is_output(file: &[u8]) -> bool {
    let first = file.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    first
        .and_then(|line| serde_json::from_slice::<Line<'_>>(line).ok())
        .is_some_and(|line| line.response.is_some() || line.error.is_some())
}

struct Translation<'a> {
    of: Of<'a>,
    out: Vec<u8>,
    issued: Vec<Issued>,
    number: u64,
}

impl Translation<'_> {
    /// Adds the answer to a request.
    fn add(&mut self, key: &Key<'_>, answer: Result<&RawValue, Error>) {
        let body = answer.and_then(|answer| self.body(answer, key.notes));
        self.write(&key.id, body);
    }

    /// An answer in OpenAI's words.
    fn body(&mut self, answer: &RawValue, notes: Notes) -> Result<Bytes, Error> {
        let probe: Probe = serde_json::from_str(answer.get()).unwrap_or_default();
        let model = self.of.model.or(probe.model_version.as_deref()).unwrap_or("gemini").to_owned();
        let target = match notes.response {
            _ if probe.embedding.is_some() || !probe.embeddings.is_empty() => Target::Embeddings,
            true => Target::Responses,
            false => Target::Chat,
        };
        let id = format!("{}-{}", self.of.file.last(), self.number + 1);
        let (body, issued) = match target {
            Target::Embeddings => {
                let (values, tokens) = vector(answer)?;
                (embeddings::whole(&model, [values], tokens, notes.base64), Vec::new())
            }
            Target::Chat => {
                let request = ChatRequest::parse(&as_if_asked(&model, notes))?;
                let mut context = request.context(format!("chatcmpl-{id}"), self.of.created);
                context.signatures_in_ids = self.of.signatures_in_ids;
                chat::from_gemini::answer(answer.get().as_bytes(), &context)?
            }
            Target::Responses => {
                let request = ResponsesRequest::parse(&as_if_asked(&model, notes))?;
                // Ids of items are made of it, and have no dashes.
                let id = format!("{}{}", responses::RESPONSE_ID, id.replace('-', "0"));
                let conversation = request.conversation(None, &request.items(&id)?)?;
                let mut context = request.context(&conversation, id, self.of.created);
                context.signatures_in_ids = self.of.signatures_in_ids;
                responses::from_gemini::answer(answer.get().as_bytes(), &context)?
            }
        };
        self.issued.extend(issued);
        Ok(body)
    }

    fn write(&mut self, custom_id: &str, body: Result<Bytes, Error>) {
        self.number += 1;
        if self.of.file.errors != body.is_err() {
            return;
        }
        let (status, body) = match body {
            Ok(body) => (StatusCode::OK, body),
            Err(error) => (error.status(Dialect::OpenAi), error.body(Dialect::OpenAi, None)),
        };
        let body: &RawValue = match serde_json::from_slice(&body) {
            Ok(body) => body,
            Err(_) => RawValue::NULL,
        };
        let id = format!("{}_{}", self.of.file.last(), self.number);
        let entry = Entry {
            id: format!("batch_req_{id}"),
            custom_id,
            response: Response { status_code: status.as_u16(), request_id: &id, body },
            error: None,
        };
        serde_json::to_writer(&mut self.out, &entry).expect("strings, numbers and JSON can be written");
        self.out.push(b'\n');
    }
}

/// A request whose answer looks like that to the one that was sent.
fn as_if_asked(model: &str, notes: Notes) -> Vec<u8> {
    let mut asked = Vec::from(&br#"{"model":"#[..]);
    json::string(&mut asked, model);
    // One endpoint reads `input`, the other `messages`.
    asked.extend_from_slice(br#","store":false,"input":"-","messages":[{"role":"user","content":"-"}]"#);
    let mut add = |wanted: bool, json: &str| {
        if wanted {
            asked.push(b',');
            asked.extend_from_slice(json.as_bytes());
        }
    };
    add(notes.one_call, r#""parallel_tool_calls":false"#);
    add(notes.legacy, r#""functions":[]"#);
    add(notes.search, r#""web_search_options":{}"#);
    add(notes.pcm, r#""modalities":["audio"],"audio":{"format":"pcm16"}"#);
    add(notes.wav && !notes.pcm, r#""modalities":["audio"],"audio":{"format":"wav"}"#);
    let included = [
        (notes.sealed, r#""reasoning.encrypted_content""#),
        (notes.outputs, r#""code_interpreter_call.outputs""#),
        (notes.sources, r#""web_search_call.action.sources""#),
    ];
    let included: Vec<&str> =
        included.into_iter().filter(|(wanted, _)| *wanted).map(|(_, word)| word).collect();
    add(!included.is_empty(), &format!(r#""include":[{}]"#, included.join(",")));
    asked.push(b'}');
    asked
}

/// The vector of an answer, and how many tokens its text had.
fn vector(answer: &RawValue) -> Result<(Vec<f32>, u64), Error> {
    let no_vector = || Error::new(Kind::BadGateway, "the upstream's answer holds no vector");
    let probe: Probe = serde_json::from_str(answer.get()).map_err(|_| no_vector())?;
    let vector = probe.embedding.or_else(|| probe.embeddings.into_iter().next()).ok_or_else(no_vector)?;
    if vector.values.iter().any(|value| !value.is_finite()) {
        return Err(no_vector());
    }
    Ok((vector.values, probe.token_count.unwrap_or_default().0))
}

/// Why Gemini has not answered a request. Its codes are those of gRPC.
fn failed(error: &Status) -> Error {
    let kind = match error.code {
        1 => Kind::Cancelled,
        3 | 9 | 11 => Kind::BadRequest,
        4 => Kind::Timeout,
        5 => Kind::NotFound,
        7 => Kind::Forbidden,
        8 => Kind::RateLimited,
        14 => Kind::Unavailable,
        16 => Kind::Unauthorized,
        code => match u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok()) {
            // Some are HTTP's.
            Some(status) if status.is_client_error() || status.is_server_error() => Kind::from_status(status),
            _ => Kind::Internal,
        },
    };
    Error::new(kind, error.message.clone())
}
