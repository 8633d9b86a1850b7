//! Text to sound: `/v1/audio/speech` to a model that speaks.
//!
//! Gemini answers in raw samples. They go out as they are, as WAV, or packed as MP3, and but for a WAV file, whose
//! header tells how long it is, as they come. Its models have no settings for pace and manner: they are told in words.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::mp3::Packer;
use super::wave;
use crate::error::{Error, Kind};
use crate::fields;
use crate::gemini::finish::{Finish, finish};
use crate::gemini::request::{
    Content, GenerateContentRequest, GenerationConfig, Part, PrebuiltVoiceConfig, Role, SpeechConfig,
    VoiceConfig,
};
use crate::gemini::response::{Blob, GenerateContentResponse, Text};
use crate::json;
use crate::openai::endpoint::{Fragment, blocked};
use crate::openai::tokens::Tokens;
use crate::openai::voice;

/// What OpenAI's oldest clients ask for.
const DEFAULT_MODEL: &str = "tts-1";

/// A request to `/v1/audio/speech`, as far as it says anything to Gemini.
#[derive(Debug)]
pub struct Request {
    /// The model, as the client names it.
    pub model: String,
    input: String,
    voice: Option<String>,
    instructions: Option<String>,
    /// Of the usual pace.
    speed: f64,
    format: Format,
    /// In events rather than in plain bytes.
    events: bool,
}

/// The form of the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Mp3,
    Wav,
    /// As it comes: 16 bits, little-endian, mono, 24 kHz.
    Pcm,
}

#[derive(Debug, Deserialize)]
struct Fields {
    #[serde(default, deserialize_with = "fields::or_default")]
    model: String,
    input: Option<String>,
    #[serde(default, deserialize_with = "fields::string_or")]
    voice: Option<Voice>,
    instructions: Option<String>,
    response_format: Option<String>,
    speed: Option<f64>,
    stream_format: Option<String>,
}

/// A voice: by its name, or an object with its id.
#[derive(Debug, Deserialize)]
struct Voice {
    id: String,
}

impl From<String> for Voice {
    fn from(id: String) -> Self {
        Self { id }
    }
}

impl Request {
    /// Reads a body.
    ///
    /// # Errors
    /// 400, with the field at fault as OpenAI names it.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let fields: Fields = fields::parse(body)?;
        let input = fields.input.unwrap_or_default();
        if input.trim().is_empty() {
            return Err(Error::bad_request("Missing required parameter: 'input'.", "input"));
        }
        let format = match fields.response_format.as_deref() {
            None | Some("mp3") => Format::Mp3,
            Some("wav") => Format::Wav,
            Some("pcm" | "pcm16") => Format::Pcm,
            Some(_) => {
                return Err(Error::bad_request(
                    "Unsupported value for 'response_format': this gateway makes 'mp3', 'wav' and 'pcm'.",
                    "response_format",
                ));
            }
        };
        let events = match fields.stream_format.as_deref() {
            None | Some("audio") => false,
            Some("sse") => true,
            Some(_) => {
                return Err(Error::bad_request(
                    "Invalid value for 'stream_format'. Supported values are: 'audio' and 'sse'.",
                    "stream_format",
                ));
            }
        };
        let speed = fields.speed.unwrap_or(1.0);
        if !(0.25..=4.0).contains(&speed) {
            return Err(Error::bad_request("'speed' has to be 0.25 to 4.0.", "speed"));
        }
        let model = if fields.model.trim().is_empty() { DEFAULT_MODEL.to_owned() } else { fields.model };
        Ok(Self {
            model,
            input,
            voice: fields.voice.map(|voice| voice.id).filter(|voice| !voice.trim().is_empty()),
            instructions: fields.instructions.filter(|instructions| !instructions.trim().is_empty()),
            speed,
            format,
            events,
        })
    }

    /// Whether Gemini is to answer in events.
    pub fn streams(&self) -> bool {
        self.events || self.format != Format::Wav
    }

    /// The media type of the answer.
    pub fn content_type(&self) -> &'static str {
        match self.format {
            _ if self.events => "text/event-stream; charset=utf-8",
            Format::Mp3 => "audio/mpeg",
            Format::Wav => "audio/wav",
            Format::Pcm => "audio/pcm",
        }
    }

    /// What goes to `models/{model}:generateContent` or `:streamGenerateContent`.
    pub fn to_gemini(&self) -> GenerateContentRequest<'_> {
        let voice_name = self.voice.as_deref().map(voice::to_gemini);
        GenerateContentRequest {
            contents: vec![Content { role: Some(Role::User), parts: vec![Part::text(self.script())] }],
            generation_config: GenerationConfig {
                response_modalities: vec!["AUDIO"],
                speech_config: voice_name.map(|voice_name| SpeechConfig {
                    voice_config: VoiceConfig { prebuilt_voice_config: PrebuiltVoiceConfig { voice_name } },
                }),
                ..GenerationConfig::default()
            },
            ..GenerateContentRequest::default()
        }
    }

    /// The text with what is to be known for speaking it, set apart as Google advises so that it is not spoken, too.
    fn script(&self) -> Cow<'_, str> {
        let pace = self.speed != 1.0;
        if self.instructions.is_none() && !pace {
            return Cow::Borrowed(&self.input);
        }
        let mut script = "### DIRECTOR'S NOTES\n".to_owned();
        if let Some(instructions) = &self.instructions {
            script.push_str(instructions.trim());
            script.push('\n');
        }
        if pace {
            script.push_str(&format!("Pace: {} times as fast as usual.\n", self.speed));
        }
        script.push_str("\n### TRANSCRIPT\n");
        script.push_str(&self.input);
        Cow::Owned(script)
    }

    /// The sound of a whole answer.
    ///
    /// # Errors
    /// 400 where Gemini would not speak, 502 where the body is no answer or holds no sound.
    pub fn sound(&self, answer: &[u8]) -> Result<Fragment, Error> {
        let answer = GenerateContentResponse::read(answer)?;
        let mut encoder = self.encoder();
        let mut samples = Vec::new();
        for blob in sounds(&answer) {
            samples.append(&mut encoder.samples(blob)?);
        }
        if samples.is_empty() {
            let silent = || Error::new(Kind::BadGateway, "the upstream's answer holds no sound");
            return Err(blocked(&answer).unwrap_or_else(silent));
        }
        let header = wave::header(encoder.rate, Some(samples.len()));
        Ok(Fragment { bytes: [&header[..], &samples].concat(), tokens: Tokens::read(answer.usage_metadata) })
    }

    /// What makes the sound of an answer in events.
    pub fn encoder(&self) -> Encoder {
        Encoder {
            format: self.format,
            events: self.events,
            rate: wave::RATE,
            packer: None,
            odd: None,
            begun: false,
            finished: false,
            tokens: Tokens::default(),
        }
    }
}

/// Makes the sound of an answer as it comes.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    events: bool,
    /// Samples a second, of the first sound.
    rate: u32,
    packer: Option<Packer>,
    /// The first half of a sample whose second is still to come.
    odd: Option<u8>,
    begun: bool,
    finished: bool,
    tokens: Tokens,
}

impl Encoder {
    /// Whether it makes events.
    pub(in crate::openai) fn is_of_events(&self) -> bool {
        self.events
    }

    /// A reason to end without any sound is none.
    pub(in crate::openai) fn is_finished(&self) -> bool {
        self.finished && self.begun
    }

    pub(in crate::openai) fn push(
        &mut self,
        event: &GenerateContentResponse<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let reason = event.candidates.iter().find_map(|candidate| candidate.finish_reason);
        if let Some(reason) = reason.filter(|reason| finish(reason.escaped()) == Finish::Blocked) {
            let message = format!("Gemini blocked the rest of the speech ({}).", reason.decode());
            return Err(Error::new(Kind::Blocked, message));
        }
        let mut made = Vec::new();
        for blob in sounds(event) {
            let samples = self.samples(blob)?;
            self.make(&samples, &mut made)?;
        }
        if event.usage_metadata.is_some() {
            self.tokens = Tokens::read(event.usage_metadata);
        }
        self.say(&made, out);
        self.finished = self.finished || reason.is_some();
        Ok(())
    }

    pub(in crate::openai) fn finish(&mut self, out: &mut Vec<u8>) {
        let mut made = Vec::new();
        if let Some(packer) = &mut self.packer {
            packer.finish(&mut made);
        }
        self.say(&made, out);
        if self.events {
            out.extend_from_slice(br#"data: {"type":"speech.audio.done","usage":{"input_tokens":"#);
            json::number(out, self.tokens.input);
            out.extend_from_slice(br#","output_tokens":"#);
            json::number(out, self.tokens.output);
            out.extend_from_slice(br#","total_tokens":"#);
            json::number(out, self.tokens.total());
            out.extend_from_slice(b"}}\n\n");
        }
    }

    /// Whole samples, with what was left of the last sound before them.
    fn samples(&mut self, blob: &Blob<'_>) -> Result<Vec<u8>, Error> {
        let not_sound =
            || Error::new(Kind::BadGateway, "the upstream's sound is of a kind that is not known");
        let mime_type = blob.mime_type.ok_or_else(not_sound)?;
        let kind = mime_type.escaped().split(';').next().unwrap_or_default().to_ascii_lowercase();
        if !matches!(kind.as_str(), "audio/l16" | "audio/pcm") {
            return Err(not_sound());
        }
        if !self.begun {
            self.rate = wave::sample_rate(mime_type).unwrap_or(wave::RATE);
        }
        let data = blob.data.map(Text::decode).unwrap_or_default();
        let mut samples: Vec<u8> = self.odd.take().into_iter().collect();
        STANDARD.decode_vec(data.as_bytes(), &mut samples).map_err(|_| not_sound())?;
        if samples.len() % 2 == 1 {
            self.odd = samples.pop();
        }
        Ok(samples)
    }

    /// Brings samples into the form that was asked for.
    fn make(&mut self, samples: &[u8], made: &mut Vec<u8>) -> Result<(), Error> {
        if samples.is_empty() {
            return Ok(());
        }
        let first = !std::mem::replace(&mut self.begun, true);
        match self.format {
            Format::Mp3 => self.packer.get_or_insert_with(|| Packer::new(self.rate)).push(samples, made)?,
            Format::Wav | Format::Pcm => {
                if first && self.format == Format::Wav {
                    made.extend_from_slice(&wave::header(self.rate, None));
                }
                made.extend_from_slice(samples);
            }
        }
        Ok(())
    }

    /// Appends what was made, in an event where events were asked for.
    fn say(&self, made: &[u8], out: &mut Vec<u8>) {
        if !self.events {
            out.extend_from_slice(made);
        } else if !made.is_empty() {
            out.extend_from_slice(br#"data: {"type":"speech.audio.delta","audio":""#);
            out.extend_from_slice(STANDARD.encode(made).as_bytes());
            out.extend_from_slice(b"\"}\n\n");
        }
    }
}

fn sounds<'b, 'a>(answer: &'b GenerateContentResponse<'a>) -> impl Iterator<Item = &'b Blob<'a>> {
    let contents = answer.candidates.iter().filter_map(|candidate| candidate.content.as_ref());
    contents.flat_map(|content| content.parts.iter()).filter_map(|part| part.inline_data.as_ref())
}
