//! Messages as clients write them.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use crate::fields::{StringOr, or_default, string_or};

/// One of `messages`.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::openai) struct Message {
    pub(in crate::openai) role: Role,
    #[serde(default)]
    pub(in crate::openai) content: Content,
    /// Of the model: a refusal in place of content.
    pub(in crate::openai) refusal: Option<String>,
    /// Of the model: the calls it made.
    pub(in crate::openai) tool_calls: Option<Vec<ToolCall>>,
    /// Of the model: its call, in the form of 2023.
    pub(in crate::openai) function_call: Option<CalledFunction>,
    /// Of a tool: the call it answers.
    pub(in crate::openai) tool_call_id: Option<String>,
    /// Of a function (the form of 2023): which one it is.
    pub(in crate::openai) name: Option<String>,
    /// Of the model: the images that it drew, as clients hand them back.
    pub(in crate::openai) images: Option<Vec<StringOr<Image>>>,
    /// Google's addition: the signature of a text.
    #[serde(default, deserialize_with = "or_default")]
    pub(in crate::openai) extra_content: ExtraContent,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::openai) enum Role {
    #[serde(alias = "developer")]
    System,
    User,
    #[serde(alias = "model")]
    Assistant,
    Tool,
    Function,
}

/// What is said.
#[derive(Debug, Clone, Default)]
pub(in crate::openai) enum Content {
    #[default]
    Nothing,
    Text(String),
    Parts(Vec<ContentPart>),
}

/// A part of what is said. Which field counts is a matter of `type`; old clients leave it out for text.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in crate::openai) struct ContentPart {
    pub(in crate::openai) r#type: Option<String>,
    pub(in crate::openai) text: Option<String>,
    pub(in crate::openai) refusal: Option<String>,
    #[serde(default, deserialize_with = "string_or")]
    pub(in crate::openai) image_url: Option<Url>,
    /// Not OpenAI's, but what gateways in front of Gemini agree on.
    #[serde(default, deserialize_with = "string_or")]
    pub(in crate::openai) video_url: Option<Url>,
    pub(in crate::openai) input_audio: Option<InputAudio>,
    pub(in crate::openai) file: Option<File>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::openai) struct Url {
    pub(in crate::openai) url: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::openai) struct InputAudio {
    pub(in crate::openai) data: String,
    pub(in crate::openai) format: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::openai) struct File {
    pub(in crate::openai) file_data: Option<String>,
    pub(in crate::openai) file_id: Option<String>,
    pub(in crate::openai) filename: Option<String>,
}

/// An image that the model drew.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::openai) struct Image {
    #[serde(default, deserialize_with = "string_or")]
    pub(in crate::openai) image_url: Option<Url>,
    #[serde(default, deserialize_with = "or_default")]
    pub(in crate::openai) extra_content: ExtraContent,
}

/// A call that the model made.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::openai) struct ToolCall {
    pub(in crate::openai) id: Option<String>,
    pub(in crate::openai) function: Option<CalledFunction>,
    /// A call of a custom tool, whose argument is plain text.
    pub(in crate::openai) custom: Option<CalledCustom>,
    #[serde(default, deserialize_with = "or_default")]
    pub(in crate::openai) extra_content: ExtraContent,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::openai) struct CalledFunction {
    pub(in crate::openai) name: String,
    /// JSON in a string; empty where there are none.
    #[serde(default, deserialize_with = "or_default")]
    pub(in crate::openai) arguments: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::openai) struct CalledCustom {
    pub(in crate::openai) name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(in crate::openai) input: String,
}

/// `{"google": {"thought_signature": …}}`
#[derive(Debug, Clone, Default, Deserialize)]
pub(in crate::openai) struct ExtraContent {
    google: Option<GoogleContent>,
}

#[derive(Debug, Clone, Deserialize)]
struct GoogleContent {
    thought_signature: Option<String>,
}

/// A function that is named, and nothing else.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::openai) struct NamedFunction {
    pub(in crate::openai) name: String,
}

impl Content {
    /// All text, in order.
    pub(in crate::openai) fn texts(&self) -> impl Iterator<Item = &str> {
        let (text, parts) = match self {
            Self::Nothing => (None, [].as_slice()),
            Self::Text(text) => (Some(text.as_str()), [].as_slice()),
            Self::Parts(parts) => (None, parts.as_slice()),
        };
        text.into_iter().chain(parts.iter().filter_map(ContentPart::as_text)).filter(|text| !text.is_empty())
    }

    /// The parts, where there are any but a single text.
    pub(in crate::openai) fn parts(&self) -> &[ContentPart] {
        match self {
            Self::Nothing | Self::Text(_) => &[],
            Self::Parts(parts) => parts,
        }
    }
}

impl ContentPart {
    /// The text of a part that is text.
    pub(in crate::openai) fn as_text(&self) -> Option<&str> {
        match self.r#type.as_deref() {
            None | Some("text" | "input_text" | "output_text") => self.text.as_deref(),
            Some("refusal") => self.refusal.as_deref(),
            Some(_) => None,
        }
    }
}

impl Message {
    /// Somebody's, without words.
    pub(in crate::openai) fn of(role: Role) -> Self {
        Self {
            role,
            content: Content::Nothing,
            refusal: None,
            tool_calls: None,
            function_call: None,
            tool_call_id: None,
            name: None,
            images: None,
            extra_content: ExtraContent::default(),
        }
    }
}

impl ToolCall {
    pub(in crate::openai) fn name(&self) -> Option<&str> {
        match (&self.function, &self.custom) {
            (Some(function), _) => Some(&function.name),
            (None, Some(custom)) => Some(&custom.name),
            (None, None) => None,
        }
    }
}

impl CalledFunction {
    /// By what a call without an id is remembered.
    pub(in crate::openai) fn known_as(&self) -> String {
        known_as(&self.name, &self.arguments)
    }
}

/// By what a call of the form of 2023 is remembered: it has no id, but comes back as it was.
pub(in crate::openai) fn known_as(name: &str, arguments: &str) -> String {
    format!("{name} {arguments}")
}

impl ExtraContent {
    /// What holds a signature.
    pub(in crate::openai) fn signed(signature: String) -> Self {
        Self { google: Some(GoogleContent { thought_signature: Some(signature) }) }
    }

    /// The signature, if there is one.
    pub(in crate::openai) fn signature(&self) -> Option<&str> {
        self.google.as_ref()?.thought_signature.as_deref().filter(|signature| !signature.is_empty())
    }
}

impl From<String> for Url {
    fn from(url: String) -> Self {
        Self { url }
    }
}

impl From<String> for Image {
    fn from(url: String) -> Self {
        Self { image_url: Some(Url { url }), extra_content: ExtraContent::default() }
    }
}

impl From<String> for ContentPart {
    fn from(text: String) -> Self {
        Self { text: Some(text), ..Self::default() }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an array of parts or null")
            }

            fn visit_unit<E>(self) -> Result<Content, E> {
                Ok(Content::Nothing)
            }

            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Content, A::Error> {
                let mut parts = Vec::new();
                while let Some(StringOr(part)) = elements.next_element()? {
                    parts.push(part);
                }
                Ok(Content::Parts(parts))
            }
        }

        deserializer.deserialize_any(Either)
    }
}
