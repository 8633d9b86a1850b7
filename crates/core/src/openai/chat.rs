//! Chat completions: [`to_gemini`] translates the request, [`from_gemini`] a whole answer, [`stream`] an
//! answer in events.
//!
//! A request is read once ([`ChatRequest::parse`]) and can be translated for one model after another. Fields
//! that have no counterpart (`user`, `metadata`, `store`, `logit_bias`, `prediction` and so on) are accepted
//! and ignored, as are fields that nobody knows; a field of the wrong type is the client's fault and named.

pub(super) mod finish;
pub mod from_gemini;
mod grounding;
pub(super) mod logprobs;
pub(super) mod message;

mod piece;
pub mod stream;
mod thinking;
pub mod to_gemini;
pub(super) mod tools;
mod turns;
mod usage;

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;

pub use self::from_gemini::Context;
use self::message::Message;
use self::tools::{Function, FunctionChoice, ToolChoice, ToolSpec};
use crate::error::Error;
use crate::fields::{self, lenient_whole, one_or_many, string_or};
use crate::gemini::names::FunctionNames;
use crate::gemini::request::AsWritten;
use crate::gemini::tools::BuiltIn;

/// A request to `/v1/chat/completions`, as far as it says anything to Gemini.
#[derive(Debug, Clone, Default, Deserialize)]
#[non_exhaustive]
pub struct ChatRequest {
    /// The model, as the client names it.
    #[serde(default, deserialize_with = "fields::or_default")]
    pub model: String,
    /// Whether the answer is to come in events.
    #[serde(default, deserialize_with = "fields::or_default")]
    pub stream: bool,
    pub(super) messages: Option<Vec<Message>>,
    pub(super) stream_options: Option<StreamOptions>,

    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    #[serde(default, deserialize_with = "lenient_whole")]
    pub(super) top_k: Option<i64>,
    #[serde(default, deserialize_with = "lenient_whole")]
    pub(super) seed: Option<i64>,
    #[serde(default, deserialize_with = "lenient_whole")]
    pub(super) n: Option<i64>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) stop: Vec<String>,
    pub(super) presence_penalty: Option<f64>,
    pub(super) frequency_penalty: Option<f64>,
    #[serde(default, deserialize_with = "lenient_whole")]
    pub(super) max_tokens: Option<i64>,
    #[serde(default, deserialize_with = "lenient_whole")]
    pub(super) max_completion_tokens: Option<i64>,
    #[serde(default, deserialize_with = "fields::or_default")]
    pub(super) logprobs: bool,
    #[serde(default, deserialize_with = "lenient_whole")]
    pub(super) top_logprobs: Option<i64>,
    pub(super) reasoning_effort: Option<String>,

    pub(super) response_format: Option<ResponseFormat>,
    pub(super) tools: Option<Vec<ToolSpec>>,
    #[serde(default, deserialize_with = "string_or")]
    pub(super) tool_choice: Option<ToolChoice>,
    pub(super) parallel_tool_calls: Option<bool>,
    /// The form of 2023.
    pub(super) functions: Option<Vec<Function>>,
    #[serde(default, deserialize_with = "string_or")]
    pub(super) function_call: Option<FunctionChoice>,
    /// Asks for web search; its settings have no counterpart.
    pub(super) web_search_options: Option<serde::de::IgnoredAny>,

    pub(super) modalities: Option<Vec<String>>,
    pub(super) audio: Option<Audio>,
    /// The shape of images, where gateways in front of several services expect it.
    pub(super) image_config: Option<Box<RawValue>>,
    pub(super) service_tier: Option<String>,
    /// Google's own additions; the SDKs send them as `extra_body` within the body.
    pub(super) extra_body: Option<ExtraBody>,
    pub(super) google: Option<Google>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct ResponseFormat {
    pub(super) r#type: String,
    pub(super) json_schema: Option<JsonSchema>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct JsonSchema {
    pub(super) schema: Option<Box<RawValue>>,
}

/// `audio`: the voice and the form of a spoken answer.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Audio {
    voice: Option<Voice>,
    format: Option<String>,
}

/// A voice by name, or one of OpenAI's custom voices by id.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Voice {
    Name(String),
    Custom { id: String },
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct ExtraBody {
    pub(super) google: Option<Google>,
}

/// What Google's own OpenAI-compatible endpoint takes under `extra_body.google`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Google {
    #[serde(alias = "thinkingConfig")]
    pub(super) thinking_config: Option<thinking::Config>,
    #[serde(alias = "cachedContent")]
    pub(super) cached_content: Option<String>,
    #[serde(alias = "safetySettings")]
    pub(super) safety_settings: Option<Box<RawValue>>,
    #[serde(alias = "imageConfig")]
    pub(super) image_config: Option<Box<RawValue>>,
    #[serde(alias = "mediaResolution")]
    pub(super) media_resolution: Option<String>,
}

/// The form of sound that the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AudioFormat {
    /// What Gemini speaks: 16 bits, little-endian, mono, 24 kHz.
    Pcm16,
    /// The same behind a header.
    Wav,
}

impl Google {
    /// What the client `asked`, and whether summaries of the thoughts are wanted, if it did not say that itself.
    pub(super) fn with_thoughts(asked: Option<&Self>, thoughts: Option<bool>) -> Option<Self> {
        let mut google = asked.cloned();
        if thoughts.is_some() {
            let google = google.get_or_insert_default();
            google.thinking_config.get_or_insert_default().include_thoughts_if_unsaid(thoughts);
        }
        google
    }
}

impl ChatRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// 400, with the field at fault as OpenAI names it.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let request: Self = fields::parse(body)?;
        if request.model.trim().is_empty() {
            return Err(Error::bad_request("you must provide a model parameter", "model"));
        }
        match &request.messages {
            None => Err(Error::bad_request("Missing required parameter: 'messages'.", "messages")),
            Some(messages) if messages.is_empty() => Err(Error::bad_request(
                "Invalid 'messages': empty array. Expected an array with minimum length 1.",
                "messages",
            )),
            Some(_) => Ok(request),
        }
    }

    /// What the answer's translation has to know of this request.
    ///
    /// `id` is the answer's (`chatcmpl-…`), made by the caller and unique; `created` its time in seconds since
    /// 1970.
    pub fn context(&self, id: impl Into<String>, created: u64) -> Context {
        Context {
            model: self.model.clone(),
            id: id.into(),
            created,
            include_usage: self.stream_options.as_ref().and_then(|options| options.include_usage)
                == Some(true),
            names: self.function_names(),
            custom: self.custom_tools(),
            single_call: self.parallel_tool_calls == Some(false),
            legacy_call: self.tools.is_none() && self.functions.is_some(),
            grounded: self.searches(),
            audio: self.audio_format().ok().flatten(),
            signatures_in_ids: false,
        }
    }

    /// The ids of all calls in the conversation, by which the gateway may
    /// [know](crate::signatures::Signatures::recall) their signatures.
    pub fn call_ids(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let calls = self.messages().iter().flat_map(|message| message.tool_calls.iter().flatten());
        let legacy = self.messages().iter().filter_map(|message| message.function_call.as_ref());
        let ids = calls.filter_map(|call| call.id.as_deref()).filter(|id| !id.is_empty());
        ids.map(Cow::Borrowed).chain(legacy.map(|call| Cow::Owned(call.known_as())))
    }

    fn messages(&self) -> &[Message] {
        self.messages.as_deref().unwrap_or_default()
    }

    /// The names of all functions that this request offers.
    pub(super) fn function_names(&self) -> FunctionNames {
        FunctionNames::new(self.functions().map(|function| function.name))
    }

    /// The functions that this request offers, in either form, and its custom tools.
    fn functions(&self) -> impl Iterator<Item = crate::gemini::tools::Function<'_>> + Clone {
        let tools = self.tools.iter().flatten().filter_map(ToolSpec::as_gemini);
        tools.chain(self.functions.iter().flatten().map(Function::as_gemini))
    }

    /// The names of its custom tools.
    fn custom_tools(&self) -> BTreeSet<String> {
        let tools = self.tools.iter().flatten().filter_map(|tool| tool.custom.as_ref());
        tools.map(|custom| custom.name.clone()).collect()
    }

    /// Whether it asks for web search.
    fn searches(&self) -> bool {
        self.web_search_options.is_some()
            || self.tools.iter().flatten().any(|tool| tool.built_in() == Some(BuiltIn::Search))
    }

    fn google(&self) -> Option<&Google> {
        self.google.as_ref().or_else(|| self.extra_body.as_ref()?.google.as_ref())
    }

    /// The shape of images.
    fn image_config(&self) -> Option<AsWritten<'_>> {
        let google = self.google().and_then(|google| google.image_config.as_deref());
        google.or(self.image_config.as_deref()).filter(|config| config.get() != "null").map(AsWritten)
    }

    fn modality(&self, name: &str) -> bool {
        self.modalities.iter().flatten().any(|modality| modality.eq_ignore_ascii_case(name))
    }

    /// The form in which a spoken answer is to come; none where none was asked for.
    fn audio_format(&self) -> Result<Option<AudioFormat>, Error> {
        if !self.modality("audio") {
            return Ok(None);
        }
        match self.audio.as_ref().and_then(|audio| audio.format.as_deref()) {
            None | Some("pcm16" | "pcm") => Ok(Some(AudioFormat::Pcm16)),
            Some("wav") if !self.stream => Ok(Some(AudioFormat::Wav)),
            Some("wav") => Err(Error::bad_request(
                "Unsupported value: 'audio.format' has to be 'pcm16' where 'stream' is true.",
                "audio.format",
            )),
            Some(_) => Err(Error::bad_request(
                "Unsupported value: Gemini speaks PCM, so 'audio.format' has to be 'pcm16' or 'wav'.",
                "audio.format",
            )),
        }
    }
}
