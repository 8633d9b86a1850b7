//! Completions of the days before chats: a prompt, and the text that follows it.
//!
//! Gemini only chats, so that it is told to go on with a text; that works for prompts that are instructions, too. Each
//! choice of each prompt is a request of its own. `best_of` is accepted and ignored, as Gemini cannot be told to
//! discard answers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::endpoint::{Fragment, texts};
use super::sampling::{longest, penalty, positive, seed, stop_sequences};
use super::texts::Texts;
use super::tokens::Tokens;
use crate::error::{Error, Kind};
use crate::fields::{self, lenient_whole, one_or_many};
use crate::gemini::finish::{Finish, finish};
use crate::gemini::model::Model;
use crate::gemini::request::{Content, GenerateContentRequest, GenerationConfig, Part, Role};
use crate::gemini::response::{GenerateContentResponse, Logprob, LogprobsResult, Text};
use crate::gemini::thinking::{self, Amount};
use crate::json;

/// Choices of all prompts together, each of which is a request to Gemini.
const MOST_CHOICES: usize = 128;

/// OpenAI's bound on `logprobs`.
const MOST_LOGPROBS: i64 = 5;

/// How a model that chats is told to complete.
const INSTRUCTION: &str = "You complete texts. Write what follows the text of the user, from exactly where it ends, \
     without repeating any of it and without a word about it. If the text is a question or an instruction, write the \
     answer.";

/// The same where the end of the text is given.
const INSTRUCTION_WITH_SUFFIX: &str = "You complete texts. The text of the user has a gap, marked <gap/>. Write what \
     belongs into the gap, exactly from where the text before it ends to where the text after it begins, without \
     repeating any of either and without a word about it.";

/// A request to `/v1/completions`, as far as it says anything to Gemini.
#[derive(Debug)]
pub struct Request {
    /// The model, as the client names it.
    pub model: String,
    /// Whether the answer is to come in events.
    pub stream: bool,
    prompts: Vec<String>,
    count: usize,
    fields: Fields,
    id: String,
    /// Seconds since 1970.
    created: u64,
}

#[derive(Debug, Deserialize)]
struct Fields {
    #[serde(default, deserialize_with = "fields::or_default")]
    model: String,
    prompt: Option<Texts>,
    suffix: Option<String>,
    #[serde(default, deserialize_with = "fields::or_default")]
    echo: bool,
    #[serde(default, deserialize_with = "fields::or_default")]
    stream: bool,
    stream_options: Option<StreamOptions>,
    #[serde(default, deserialize_with = "lenient_whole")]
    n: Option<i64>,
    #[serde(default, deserialize_with = "lenient_whole")]
    max_tokens: Option<i64>,
    #[serde(default, deserialize_with = "lenient_whole")]
    logprobs: Option<i64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    #[serde(default, deserialize_with = "lenient_whole")]
    seed: Option<i64>,
    #[serde(default, deserialize_with = "one_or_many")]
    stop: Vec<String>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

impl Request {
    /// Reads a body. `id` and `created` are the answer's.
    ///
    /// # Errors
    /// 400, with the field at fault as OpenAI names it.
    pub fn parse(body: &[u8], id: String, created: u64) -> Result<Self, Error> {
        let mut fields: Fields = fields::parse(body)?;
        if fields.model.trim().is_empty() {
            return Err(Error::bad_request("you must provide a model parameter", "model"));
        }
        let prompts = fields.prompt.take().map(|Texts(prompts)| prompts).unwrap_or_default();
        if prompts.is_empty() {
            return Err(Error::bad_request("Missing required parameter: 'prompt'.", "prompt"));
        }
        let count = fields.n.unwrap_or(1);
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count > 0 && count.saturating_mul(prompts.len()) <= MOST_CHOICES)
            .ok_or_else(|| {
                let message =
                    format!("'n' has to be at least 1, and with all prompts at most {MOST_CHOICES}.");
                Error::bad_request(message, "n")
            })?;
        if fields.logprobs.is_some_and(|logprobs| !(0..=MOST_LOGPROBS).contains(&logprobs)) {
            return Err(Error::bad_request(
                format!("'logprobs' has to be 0 to {MOST_LOGPROBS}."),
                "logprobs",
            ));
        }
        let model = std::mem::take(&mut fields.model);
        Ok(Self { model, stream: fields.stream, prompts, count, fields, id, created })
    }

    /// How many choices there will be, each of which is a request to Gemini.
    pub fn choices(&self) -> usize {
        self.prompts.len() * self.count
    }

    /// Whether Gemini is to answer in events. Several answers are gathered first, and told in events then.
    pub fn streams(&self) -> bool {
        self.stream && self.choices() == 1
    }

    /// The prompt of a choice.
    fn prompt(&self, choice: usize) -> &str {
        self.prompts.get(choice / self.count).map(String::as_str).unwrap_or_default()
    }

    fn suffix(&self) -> Option<&str> {
        self.fields.suffix.as_deref().filter(|suffix| !suffix.is_empty())
    }

    fn include_usage(&self) -> bool {
        self.fields.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true)
    }

    /// What goes to `models/{model}:generateContent` or `:streamGenerateContent`.
    pub fn to_gemini(&self, model: &str, choice: usize) -> GenerateContentRequest<'_> {
        let model = Model::parse(model);
        let fields = &self.fields;
        let prompt = self.prompt(choice);
        let (instruction, text) = match self.suffix() {
            None if prompt.is_empty() => (INSTRUCTION, Cow::Borrowed(" ")),
            None => (INSTRUCTION, Cow::Borrowed(prompt)),
            Some(suffix) => (INSTRUCTION_WITH_SUFFIX, Cow::Owned(format!("{prompt}<gap/>{suffix}"))),
        };
        let mut parts = vec![Part::text(text)];
        let mut system_instruction = None;
        if model.takes_system_instruction() {
            system_instruction = Some(Content { role: None, parts: vec![Part::text(instruction)] });
        } else {
            parts.insert(0, Part::text(instruction));
        }
        GenerateContentRequest {
            contents: vec![Content { role: Some(Role::User), parts }],
            system_instruction,
            generation_config: GenerationConfig {
                temperature: fields.temperature,
                top_p: fields.top_p,
                max_output_tokens: longest(fields.max_tokens, self.streams(), model),
                stop_sequences: stop_sequences(&fields.stop),
                seed: fields.seed.map(seed),
                presence_penalty: penalty(fields.presence_penalty, model),
                frequency_penalty: penalty(fields.frequency_penalty, model),
                response_logprobs: fields.logprobs.is_some(),
                logprobs: positive(fields.logprobs),
                // Thoughts would use up what clients of those days ask for, often 16 tokens.
                thinking_config: thinking::config(Some(Amount::Off), None, model),
                ..GenerationConfig::default()
            },
            ..GenerateContentRequest::default()
        }
    }

    /// One of `choices`, or its events, from its whole answer.
    ///
    /// # Errors
    /// 502 where the body is no answer.
    pub fn choice(&self, answer: &[u8], choice: usize) -> Result<Fragment, Error> {
        let answer = GenerateContentResponse::read(answer)?;
        let candidate = answer.candidates.iter().next();
        if candidate.is_none() && answer.blocked().is_none() {
            return Err(Error::new(Kind::BadGateway, "the upstream's answer holds no candidate"));
        }
        let mut text = if self.fields.echo { self.prompt(choice).to_owned() } else { String::new() };
        let offset = text.chars().count();
        candidate.into_iter().flat_map(texts).for_each(|piece| text.push_str(&piece.decode()));
        let reason = candidate.map_or("content_filter", |candidate| {
            finish_reason(candidate.finish_reason.map(Text::decode).unwrap_or_default().as_ref())
        });
        let logprobs = candidate.and_then(|candidate| candidate.logprobs_result);
        let mut out = Vec::with_capacity(text.len() + 160);
        if self.stream {
            let frames = Frames::new(self);
            frames.chunk(&text, choice, logprobs.map(|logprobs| (logprobs, offset)), None, &mut out);
            frames.chunk("", choice, None, Some(reason), &mut out);
        } else {
            entry(&text, choice, logprobs.map(|logprobs| (logprobs, offset)), Some(reason), &mut out);
        }
        Ok(Fragment { bytes: out, tokens: Tokens::read(answer.usage_metadata) })
    }

    /// The whole answer, from all choices in order: an object, or the events of a stream.
    pub fn answer(&self, choices: &[Fragment]) -> Bytes {
        let tokens: Tokens = choices.iter().map(|choice| choice.tokens).sum();
        let mut out =
            Vec::with_capacity(choices.iter().map(|choice| choice.bytes.len()).sum::<usize>() + 300);
        if self.stream {
            choices.iter().for_each(|choice| out.extend_from_slice(&choice.bytes));
            Frames::new(self).end(tokens, &mut out);
            return out.into();
        }
        out.extend_from_slice(br#"{"id":"#);
        json::string(&mut out, &self.id);
        out.extend_from_slice(br#","object":"text_completion","created":"#);
        json::number(&mut out, self.created);
        out.extend_from_slice(br#","model":"#);
        json::string(&mut out, &self.model);
        out.extend_from_slice(br#","choices":["#);
        Fragment::join(choices, &mut out);
        out.extend_from_slice(br#"],"usage":"#);
        usage(tokens, &mut out);
        out.push(b'}');
        out.into()
    }

    /// What translates the events of one choice.
    pub fn encoder(&self) -> Encoder {
        Encoder {
            frames: Frames::new(self),
            echo: self.fields.echo.then(|| self.prompt(0).to_owned()),
            offset: 0,
            reason: None,
            tokens: Tokens::default(),
        }
    }
}

/// Translates the events of one choice.
#[derive(Debug)]
pub struct Encoder {
    frames: Frames,
    /// The prompt, until it was repeated.
    echo: Option<String>,
    /// So many characters were said.
    offset: usize,
    reason: Option<&'static str>,
    tokens: Tokens,
}

impl Encoder {
    pub(super) fn is_finished(&self) -> bool {
        self.reason.is_some()
    }

    pub(super) fn push(&mut self, event: &GenerateContentResponse<'_>, out: &mut Vec<u8>) {
        if let Some(prompt) = self.echo.take() {
            self.frames.chunk(&prompt, 0, None, None, out);
            self.offset += prompt.chars().count();
        }
        if event.usage_metadata.is_some() {
            self.tokens = Tokens::read(event.usage_metadata);
        }
        if let Some(candidate) = event.candidates.iter().next() {
            let text: String = texts(candidate).map(Text::decode).collect();
            let logprobs = candidate.logprobs_result.map(|logprobs| (logprobs, self.offset));
            if !text.is_empty() || logprobs.is_some() {
                self.frames.chunk(&text, 0, logprobs, None, out);
                self.offset += text.chars().count();
            }
            if let Some(reason) = candidate.finish_reason {
                self.reason = Some(finish_reason(&reason.decode()));
            }
        } else if event.blocked().is_some() {
            self.reason = Some("content_filter");
        }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.frames.chunk("", 0, None, self.reason, out);
        self.frames.end(self.tokens, out);
    }
}

/// What all events of an answer have in common.
#[derive(Debug)]
struct Frames {
    /// `data: {"id":…,"object":…,"created":…,"model":…,"choices":[`
    opening: Vec<u8>,
    include_usage: bool,
}

impl Frames {
    fn new(request: &Request) -> Self {
        let mut opening = Vec::with_capacity(160);
        opening.extend_from_slice(br#"data: {"id":"#);
        json::string(&mut opening, &request.id);
        opening.extend_from_slice(br#","object":"text_completion","created":"#);
        json::number(&mut opening, request.created);
        opening.extend_from_slice(br#","model":"#);
        json::string(&mut opening, &request.model);
        opening.extend_from_slice(br#","choices":["#);
        Self { opening, include_usage: request.include_usage() }
    }

    fn chunk(
        &self,
        text: &str,
        index: usize,
        logprobs: Option<(&RawValue, usize)>,
        reason: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&self.opening);
        entry(text, index, logprobs, reason, out);
        out.extend_from_slice(if self.include_usage { b"],\"usage\":null}\n\n" } else { b"]}\n\n" });
    }

    fn end(&self, tokens: Tokens, out: &mut Vec<u8>) {
        if self.include_usage {
            out.extend_from_slice(&self.opening);
            out.extend_from_slice(br#"],"usage":"#);
            usage(tokens, out);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

/// Writes one of `choices`. Beside the log probabilities stands how many characters come before their text.
fn entry(
    text: &str,
    index: usize,
    logprobs: Option<(&RawValue, usize)>,
    reason: Option<&str>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(br#"{"text":"#);
    json::string(out, text);
    out.extend_from_slice(br#","index":"#);
    json::number(out, index as u64);
    out.extend_from_slice(br#","logprobs":"#);
    match logprobs.and_then(|(result, offset)| Logprobs::read(result, offset)) {
        Some(logprobs) => {
            serde_json::to_writer(&mut *out, &logprobs).expect("strings and numbers can be written")
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(br#","finish_reason":"#);
    match reason {
        Some(reason) => json::string(out, reason),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

fn usage(tokens: Tokens, out: &mut Vec<u8>) {
    for (name, count) in [
        (&br#"{"prompt_tokens":"#[..], tokens.input),
        (br#","completion_tokens":"#, tokens.output),
        (br#","total_tokens":"#, tokens.total()),
    ] {
        out.extend_from_slice(name);
        json::number(out, count);
    }
    out.push(b'}');
}

/// The three reasons that there were.
fn finish_reason(native: &str) -> &'static str {
    match finish(native) {
        Finish::Length => "length",
        Finish::Blocked => "content_filter",
        Finish::Stop => "stop",
    }
}

/// Log probabilities in the shape of those days.
#[derive(Serialize)]
struct Logprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f64>,
    top_logprobs: Vec<BTreeMap<String, f64>>,
    text_offset: Vec<usize>,
}

impl Logprobs {
    fn read(result: &RawValue, mut offset: usize) -> Option<Self> {
        let result: LogprobsResult<'_> = serde_json::from_str(result.get()).ok()?;
        let token = |logprob: &Logprob<'_>| {
            logprob.token.map(|token| token.decode().into_owned()).unwrap_or_default()
        };
        let mut logprobs = Self {
            tokens: Vec::new(),
            token_logprobs: Vec::new(),
            top_logprobs: Vec::new(),
            text_offset: Vec::new(),
        };
        let mut alternatives = result.top_candidates.iter();
        for chosen in &result.chosen_candidates {
            let top = alternatives.next().map(|top| top.candidates.as_slice()).unwrap_or_default();
            logprobs.top_logprobs.push(top.iter().map(|one| (token(one), one.log_probability)).collect());
            logprobs.text_offset.push(offset);
            logprobs.token_logprobs.push(chosen.log_probability);
            let chosen = token(chosen);
            offset += chosen.chars().count();
            logprobs.tokens.push(chosen);
        }
        Some(logprobs)
    }
}
