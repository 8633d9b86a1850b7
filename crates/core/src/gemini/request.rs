//! The body of `generateContent` and `streamGenerateContent`, as far as translators fill it.
//!
//! Everything borrows from the client's request. What only moves (arguments, results, schemas, settings) is
//! raw JSON.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::remote::{Media, Place};
use super::schema::Schema;
use crate::signatures::Recalled;

/// `GenerateContentRequest`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerateContentRequest<'a> {
    /// The turns. Gemini refuses a request without any, and a turn without parts.
    pub contents: Vec<Content<'a>>,
    /// What stands above the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_instruction: Option<Content<'a>>,
    /// Functions of the client and built-in tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool<'a>>,
    /// How tools may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_config: Option<ToolConfig<'a>>,
    /// `SafetySetting[]`, as the client wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safety_settings: Option<&'a RawValue>,
    /// Sampling and form of the answer.
    #[serde(skip_serializing_if = "GenerationConfig::is_empty")]
    pub generation_config: GenerationConfig<'a>,
    /// `cachedContents/…`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_content: Option<&'a str>,
    /// `flex`, `standard` or `priority`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<&'a str>,
}

/// What a translator is told besides the request.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What has been fetched for it.
    pub media: Media,
    /// What is remembered of the calls in it.
    pub recalled: Recalled,
}

/// One turn.
#[derive(Debug, Serialize)]
pub struct Content<'a> {
    /// Whose turn; system instructions have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// What it says; never empty.
    pub parts: Vec<Part<'a>>,
}

/// The two roles that Gemini knows. Results of functions are the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The client, and its functions.
    User,
    /// The model.
    Model,
}

/// One part of a turn: exactly one kind of data, perhaps signed.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part<'a> {
    /// Text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Cow<'a, str>>,
    /// Bytes that ride along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline_data: Option<Blob<'a>>,
    /// Bytes that Google fetches or holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_data: Option<FileData<'a>>,
    /// A call that the model made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<FunctionCall<'a>>,
    /// What a call brought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_response: Option<FunctionResponse<'a>>,
    /// The model's sealed reasoning, to be handed back in the part it came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thought_signature: Option<Cow<'a, str>>,
}

/// Data in base64.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blob<'a> {
    /// Its media type.
    pub mime_type: Cow<'a, str>,
    /// Standard base64, of nothing but its own letters: it is [written](crate::json::with_plain) as it is.
    #[serde(serialize_with = "as_bytes")]
    pub data: Cow<'a, str>,
}

fn as_bytes<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(text.as_bytes())
}

/// Data by address: the Files API, YouTube, or a public URL.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileData<'a> {
    /// Its media type, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<Cow<'a, str>>,
    /// Its address.
    pub file_uri: Cow<'a, str>,
    /// Where the client named it, if the gateway may fetch it; None: it is Google's to know.
    #[serde(skip)]
    pub place: Option<Place>,
}

/// A call that the model made in an earlier turn.
#[derive(Debug, Serialize)]
pub struct FunctionCall<'a> {
    /// Gemini 3 and later give calls ids; before, order tells them apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// The function.
    pub name: Cow<'a, str>,
    /// An object.
    pub args: Cow<'a, RawValue>,
}

/// What a call brought.
#[derive(Debug, Serialize)]
pub struct FunctionResponse<'a> {
    /// The id of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// The function.
    pub name: Cow<'a, str>,
    /// The result.
    pub response: Outcome<'a>,
    /// Images and the like that belong to the result (Gemini 3 and later).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part<'a>>,
}

/// `FunctionResponse.response`, which has to be an object.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome<'a> {
    /// A result that is an object already.
    Object(&'a RawValue),
    /// Any other text.
    Text {
        /// The text.
        result: Cow<'a, str>,
    },
    /// It failed, or nothing came back.
    Error {
        /// Why.
        error: Cow<'a, str>,
    },
}

impl<'a> Outcome<'a> {
    /// Gemini wants an object: one that is there is taken, any other text is put into one.
    pub fn of_text(text: Cow<'a, str>) -> Self {
        if let Cow::Borrowed(text) = text
            && text.trim_start().starts_with('{')
            && let Ok(object) = serde_json::from_str::<&RawValue>(text)
        {
            return Self::Object(object);
        }
        Self::Text { result: text }
    }
}

/// One tool, or all functions of the client together.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool<'a> {
    /// Functions of the client.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub function_declarations: Vec<FunctionDeclaration<'a>>,
    /// Web search with citations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub google_search: Option<Empty>,
    /// Python, run by Google.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_execution: Option<Empty>,
    /// Reading of addresses that the prompt names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_context: Option<Empty>,
    /// Places, as the client wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub google_maps: Option<&'a RawValue>,
    /// The client's stores of documents, as the client wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_search: Option<&'a RawValue>,
}

/// `{}`: a tool that is switched on by being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Empty {}

/// A function that the model may call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionDeclaration<'a> {
    /// `[A-Za-z_][A-Za-z0-9_.:-]{0,127}`, each only once.
    pub name: Cow<'a, str>,
    /// For the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    /// JSON schema of the arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters_json_schema: Option<Schema<'a>>,
    /// The same in OpenAPI's form; never both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Schema<'a>>,
}

/// `ToolConfig`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolConfig<'a> {
    /// Whether functions may or must be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_calling_config: Option<FunctionCallingConfig<'a>>,
    /// What Gemini 3 asks for where built-in tools and functions come together.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub include_server_side_tool_invocations: bool,
}

/// `FunctionCallingConfig`.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionCallingConfig<'a> {
    /// The mode.
    pub mode: Mode,
    /// The functions that come into question. Empty: all. Only with `ANY` and `VALIDATED`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_function_names: Vec<Cow<'a, str>>,
}

/// `FunctionCallingConfig.Mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// A call must be made.
    Any,
    /// No call may be made.
    None,
    /// Like the default (the model decides), but it takes a list of allowed functions.
    Validated,
}

/// `GenerationConfig`.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerationConfig<'a> {
    /// 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// A whole number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u64>,
    /// How many answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate_count: Option<u64>,
    /// Thoughts count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// At most five.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<&'a str>,
    /// An `int32`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i32>,
    /// Refused by most models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// Refused by most models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Whether log probabilities come along.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub response_logprobs: bool,
    /// Those of how many alternatives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<u64>,
    /// `application/json`, or text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_mime_type: Option<&'static str>,
    /// JSON schema of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_json_schema: Option<Schema<'a>>,
    /// The same in OpenAPI's form; never both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_schema: Option<Schema<'a>>,
    /// `TEXT`, `IMAGE`, `AUDIO`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_modalities: Vec<&'static str>,
    /// The shape and size of images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_config: Option<ImageConfig<'a>>,
    /// How closely images are looked at, as the client wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_resolution: Option<&'a str>,
    /// The voice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speech_config: Option<SpeechConfig<'a>>,
    /// How much the model thinks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_config: Option<ThinkingConfig>,
}

impl GenerationConfig<'_> {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `ImageConfig`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum ImageConfig<'a> {
    /// In Google's own words.
    AsWritten(AsWritten<'a>),
    /// Put together from what the client asks for.
    Chosen {
        /// `1:1`, `16:9`, …
        aspect_ratio: &'static str,
        /// `1K`, `2K`, `4K`, for Gemini 3 and later.
        #[serde(skip_serializing_if = "Option::is_none")]
        image_size: Option<&'static str>,
    },
}

/// JSON that goes up as the client wrote it.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
pub struct AsWritten<'a>(pub &'a RawValue);

impl PartialEq for AsWritten<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// `ThinkingConfig`. Budget and level together are refused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThinkingConfig {
    /// Whether summaries of the thoughts come along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_thoughts: Option<bool>,
    /// Tokens, for Gemini 2.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_budget: Option<i32>,
    /// For Gemini 3 and later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_level: Option<super::model::Level>,
}

/// `SpeechConfig` with one voice.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SpeechConfig<'a> {
    /// The voice.
    pub voice_config: VoiceConfig<'a>,
}

/// `VoiceConfig`.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VoiceConfig<'a> {
    /// One of Google's voices.
    pub prebuilt_voice_config: PrebuiltVoiceConfig<'a>,
}

/// `PrebuiltVoiceConfig`.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrebuiltVoiceConfig<'a> {
    /// `Kore`, `Puck`, …
    pub voice_name: &'a str,
}

impl<'a> Part<'a> {
    /// A part of text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }
}
