//! Sound to text: `/v1/audio/transcriptions` and `/v1/audio/translations` to a model that hears.
//!
//! Gemini has no endpoint of this kind: a model that chats is told to write down what it hears. Where times are wanted it
//! is held to JSON with a time for each sentence, and what it wrote is checked. Nobody says how sure it was, so that
//! `verbose_json` has zeros there.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::subtitles::{Segment, Timed};
use super::wave;
use crate::error::{Error, Kind};
use crate::gemini::finish::{Finish, finish};
use crate::gemini::model::Model;
use crate::gemini::remote::{Media, Written};
use crate::gemini::request::{Content, GenerateContentRequest, GenerationConfig, Part, Role};
use crate::gemini::response::{GenerateContentResponse, Text};
use crate::gemini::schema::Schema;
use crate::gemini::thinking::{self, Amount};
use crate::json;
use crate::openai::endpoint::{Fragment, blocked, texts};
use crate::openai::form::{File, Form};
use crate::openai::tokens::Tokens;

/// What OpenAI's oldest clients ask for.
const DEFAULT_MODEL: &str = "whisper-1";

/// What a model says in place of nothing: an answer without a word is none.
const SILENCE: &str = "[no speech]";

/// The longest transcript: several times what a model can write.
const LONGEST: usize = 4 << 20;

/// A request to `/v1/audio/transcriptions` or `/v1/audio/translations`, as far as it says anything to Gemini.
#[derive(Debug)]
pub struct Request {
    /// The model, as the client names it.
    pub model: String,
    file: File,
    /// Into English.
    translates: bool,
    language: Option<String>,
    /// What was said before, or words that may occur.
    prompt: Option<String>,
    temperature: Option<f64>,
    format: Format,
    /// Whether each word has a time of its own.
    words: bool,
    stream: bool,
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Text,
    VerboseJson,
    Srt,
    Vtt,
}

impl Request {
    /// Reads a body, which is a form.
    ///
    /// # Errors
    /// 400, with the field at fault as OpenAI names it.
    pub fn read(body: &Bytes, content_type: &str, translates: bool) -> Result<Self, Error> {
        let Some(form) = Form::read(body, content_type)? else {
            let message = "Invalid body: expected a form (multipart/form-data) with a file.";
            return Err(Error::bad_request(message, "file"));
        };
        let Some(file) = form.files("file")?.into_iter().next() else {
            return Err(Error::bad_request("Missing required parameter: 'file'.", "file"));
        };
        if !file.is("audio") && !file.is("video") {
            let message = format!("Invalid file 'file': it is {}, not sound.", file.mime_type);
            return Err(Error::bad_request(message, "file"));
        }
        let format = match form.text("response_format")? {
            None | Some("json") => Format::Json,
            Some("text") => Format::Text,
            Some("verbose_json") => Format::VerboseJson,
            Some("srt") => Format::Srt,
            Some("vtt") => Format::Vtt,
            Some(_) => {
                return Err(Error::bad_request(
                    "Invalid value for 'response_format'. Supported values are: 'json', 'text', 'srt', \
                     'verbose_json' and 'vtt'.",
                    "response_format",
                ));
            }
        };
        let temperature = form.number("temperature")?;
        if temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
            return Err(Error::bad_request("'temperature' has to be 0 to 2.", "temperature"));
        }
        let owned = |name| Ok::<_, Error>(form.text(name)?.map(str::to_owned));
        Ok(Self {
            model: owned("model")?.unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
            file,
            translates,
            language: owned("language")?,
            prompt: owned("prompt")?,
            temperature,
            format,
            words: form.texts("timestamp_granularities")?.contains(&"word"),
            stream: form.flag("stream")?,
        })
    }

    /// Whether the answer comes in events. Files for players are whole or nothing.
    pub fn streams(&self) -> bool {
        self.stream && !self.is_timed() && !self.translates
    }

    /// The media type of a whole answer.
    pub fn content_type(&self) -> &'static str {
        match self.format {
            Format::Json | Format::VerboseJson => "application/json",
            Format::Text | Format::Srt => "text/plain; charset=utf-8",
            Format::Vtt => "text/vtt; charset=utf-8",
        }
    }

    fn is_timed(&self) -> bool {
        matches!(self.format, Format::VerboseJson | Format::Srt | Format::Vtt)
    }

    fn has_words(&self) -> bool {
        self.words && self.format == Format::VerboseJson && !self.translates
    }

    /// For `models/{model}:generateContent` or `:streamGenerateContent`.
    pub fn to_gemini(&self, model: &str) -> Written {
        let model = Model::parse(model);
        let mut config = GenerationConfig {
            temperature: self.temperature,
            thinking_config: thinking::config(Some(Amount::Off), None, model),
            ..GenerationConfig::default()
        };
        let schema = self.schema();
        let schema: &RawValue = serde_json::from_str(&schema).expect("it is written out below");
        if self.is_timed() && model.answers_in_json() {
            config.response_mime_type = Some("application/json");
            config.response_json_schema = Some(Schema::new(schema));
        }
        let instruction = self.instruction((self.is_timed() && !model.answers_in_json()).then_some(schema));
        let sound = Part { inline_data: Some(self.file.blob()), ..Part::default() };
        let body = GenerateContentRequest {
            contents: vec![Content { role: Some(Role::User), parts: vec![sound, Part::text(instruction)] }],
            generation_config: config,
            ..GenerateContentRequest::default()
        };
        body.write(&Media::default())
    }

    /// What the model is told to do with the recording.
    fn instruction(&self, schema: Option<&RawValue>) -> String {
        let mut words = match self.translates {
            true => "Translate what is said in this recording into English, sentence by sentence.".to_owned(),
            false => "Write down what is said in this recording, word for word and in the language that is \
                      spoken, with punctuation."
                .to_owned(),
        };
        if let Some(language) = &self.language {
            words.push_str(&format!(" The language that is spoken is {language}."));
        }
        if let Some(prompt) = &self.prompt {
            words.push_str(&format!(
                " The following may help with names and style, and is not part of the recording: <context>{prompt}</context>"
            ));
        }
        if self.is_timed() {
            words.push_str(
                " Give each sentence the times at which it begins and ends, in seconds from the beginning of the \
                 recording. Where nobody speaks there are no segments.",
            );
            if let Some(schema) = schema {
                words.push_str(&format!(" Answer with JSON alone, by this JSON schema: {schema}"));
            }
        } else {
            words.push_str(&format!(" Answer with that text alone; if nobody speaks, with {SILENCE}"));
        }
        words
    }

    fn schema(&self) -> String {
        let list = |of: &str| {
            format!(
                r#"{{"type":"array","items":{{"type":"object","properties":{{"start":{{"type":"number"}},"end":{{"type":"number"}},"{of}":{{"type":"string"}}}},"required":["start","end","{of}"]}}}}"#
            )
        };
        let language = r#""language":{"type":"string","description":"The language that is spoken, in English, as german"}"#;
        let segments = list("text");
        match self.has_words() {
            false => format!(
                r#"{{"type":"object","properties":{{{language},"segments":{segments}}},"required":["language","segments"]}}"#
            ),
            true => format!(
                r#"{{"type":"object","properties":{{{language},"segments":{segments},"words":{}}},"required":["language","segments","words"]}}"#,
                list("word")
            ),
        }
    }

    /// The client's answer from a whole one of Gemini.
    ///
    /// # Errors
    /// 400 where Gemini would not answer, 502 where the body is no answer, or not the JSON that was asked for.
    pub fn transcript(&self, answer: &[u8]) -> Result<Fragment, Error> {
        let answer = GenerateContentResponse::read(answer)?;
        if let Some(error) = blocked(&answer) {
            return Err(error);
        }
        let tokens = Tokens::read(answer.usage_metadata);
        let text: String = answer.candidates.iter().flat_map(texts).map(Text::decode).collect();
        let bytes = match self.format {
            Format::Json => self.json(spoken(&text), tokens),
            Format::Text => format!("{}\n", spoken(&text)).into_bytes(),
            Format::VerboseJson | Format::Srt | Format::Vtt => {
                let mut timed = Timed::read(&text).ok_or_else(|| {
                    Error::new(Kind::BadGateway, "the upstream's answer is not the JSON that was asked for")
                })?;
                let duration = wave::seconds(&self.file.data);
                if let Some(duration) = duration {
                    timed.limit(duration);
                }
                match self.format {
                    Format::Srt => timed.to_srt().into_bytes(),
                    Format::Vtt => timed.to_vtt().into_bytes(),
                    _ => self.verbose(&timed, duration.unwrap_or_else(|| timed.end())),
                }
            }
        };
        Ok(Fragment { bytes, tokens })
    }

    fn json(&self, text: &str, tokens: Tokens) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 200);
        out.extend_from_slice(br#"{"text":"#);
        json::string(&mut out, text);
        if !self.translates {
            out.extend_from_slice(br#","usage":"#);
            usage(tokens, &mut out);
        }
        out.push(b'}');
        out
    }

    fn verbose(&self, timed: &Timed, duration: f64) -> Vec<u8> {
        let verbose = Verbose {
            task: if self.translates { "translate" } else { "transcribe" },
            language: if self.translates { "english" } else { &timed.language },
            duration,
            text: &timed.text(),
            segments: timed
                .segments
                .iter()
                .enumerate()
                .map(|(id, segment)| VerboseSegment {
                    id,
                    seek: 0,
                    start: segment.start,
                    end: segment.end,
                    text: &segment.text,
                    tokens: [],
                    temperature: self.temperature.unwrap_or(0.0),
                    avg_logprob: 0.0,
                    compression_ratio: 0.0,
                    no_speech_prob: 0.0,
                })
                .collect(),
            words: self.has_words().then(|| timed.words.iter().map(VerboseWord::of).collect()),
            usage: Duration { r#type: "duration", seconds: duration.ceil() as u64 },
        };
        serde_json::to_vec(&verbose).expect("strings and numbers can be written")
    }

    /// What translates the events of a transcript.
    pub fn encoder(&self) -> Encoder {
        Encoder { text: String::new(), said: 0, finished: false, tokens: Tokens::default() }
    }
}

/// Translates the events of a transcript.
#[derive(Debug)]
pub struct Encoder {
    text: String,
    /// So many bytes of the text have gone out.
    said: usize,
    finished: bool,
    tokens: Tokens,
}

impl Encoder {
    pub(in crate::openai) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(in crate::openai) fn push(
        &mut self,
        event: &GenerateContentResponse<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let reason = event.candidates.iter().find_map(|candidate| candidate.finish_reason);
        if let Some(reason) = reason.filter(|reason| finish(reason.escaped()) == Finish::Blocked) {
            let message = format!("Gemini blocked the rest of the transcript ({}).", reason.decode());
            return Err(Error::new(Kind::Blocked, message));
        }
        for text in event.candidates.iter().flat_map(texts) {
            self.text.push_str(&text.decode());
        }
        if self.text.len() > LONGEST {
            return Err(Error::new(Kind::BadGateway, "the upstream's transcript does not end"));
        }
        if event.usage_metadata.is_some() {
            self.tokens = Tokens::read(event.usage_metadata);
        }
        // What may become the word for silence is held back.
        let may_be_silence = self.said == 0 && SILENCE.starts_with(self.text.trim());
        if !may_be_silence && self.said < self.text.len() {
            out.extend_from_slice(br#"data: {"type":"transcript.text.delta","delta":"#);
            json::string(out, &self.text[self.said..]);
            out.extend_from_slice(b"}\n\n");
            self.said = self.text.len();
        }
        self.finished = self.finished || reason.is_some();
        Ok(())
    }

    pub(in crate::openai) fn finish(&mut self, out: &mut Vec<u8>) {
        let text = if self.said == 0 { spoken(&self.text) } else { self.text.trim_end() };
        if self.said == 0 && !text.is_empty() {
            out.extend_from_slice(br#"data: {"type":"transcript.text.delta","delta":"#);
            json::string(out, text);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(br#"data: {"type":"transcript.text.done","text":"#);
        json::string(out, text);
        out.extend_from_slice(br#","usage":"#);
        usage(self.tokens, out);
        out.extend_from_slice(b"}\n\n");
    }
}

/// What was said, without the word for nothing.
fn spoken(text: &str) -> &str {
    let text = text.trim();
    if text.eq_ignore_ascii_case(SILENCE) { "" } else { text }
}

fn usage(tokens: Tokens, out: &mut Vec<u8>) {
    for (name, count) in [
        (&br#"{"type":"tokens","total_tokens":"#[..], tokens.total()),
        (br#","input_tokens":"#, tokens.input),
        (br#","output_tokens":"#, tokens.output),
        (br#","input_token_details":{"text_tokens":"#, tokens.text()),
        (br#","audio_tokens":"#, tokens.media),
    ] {
        out.extend_from_slice(name);
        json::number(out, count);
    }
    out.extend_from_slice(b"}}");
}

#[derive(Serialize)]
struct Verbose<'a> {
    task: &'static str,
    language: &'a str,
    duration: f64,
    text: &'a str,
    segments: Vec<VerboseSegment<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<VerboseWord<'a>>>,
    usage: Duration,
}

#[derive(Serialize)]
struct VerboseSegment<'a> {
    id: usize,
    seek: u64,
    start: f64,
    end: f64,
    text: &'a str,
    tokens: [u32; 0],
    temperature: f64,
    avg_logprob: f64,
    compression_ratio: f64,
    no_speech_prob: f64,
}

#[derive(Serialize)]
struct VerboseWord<'a> {
    word: &'a str,
    start: f64,
    end: f64,
}

impl<'a> VerboseWord<'a> {
    fn of(word: &'a Segment) -> Self {
        Self { word: &word.text, start: word.start, end: word.end }
    }
}

#[derive(Serialize)]
struct Duration {
    r#type: &'static str,
    seconds: u64,
}
