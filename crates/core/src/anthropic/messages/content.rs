//! Messages and their blocks as clients write them.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::fields::{StringOr, or_default, string_or};

/// One of `messages`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Message {
    pub(super) role: Role,
    #[serde(default)]
    pub(super) content: Content,
}

/// Who speaks. A system message may stand in the middle of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    #[serde(alias = "developer")]
    System,
    User,
    #[serde(alias = "model")]
    Assistant,
}

/// A text or blocks. What is an object elsewhere (the result of code that ran) is one block here.
#[derive(Debug, Clone, Default)]
pub(super) enum Content {
    #[default]
    Nothing,
    Text(String),
    Blocks(Vec<Block>),
}

/// A block. Which field counts is a matter of `type`; hand-written requests leave it out for text.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Block {
    pub(super) r#type: Option<String>,
    pub(super) text: Option<String>,
    /// Of an image or a document; of a search result its address.
    #[serde(default, deserialize_with = "string_or")]
    pub(super) source: Option<Source>,
    pub(super) title: Option<String>,
    pub(super) context: Option<String>,
    /// Of a call.
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) input: Option<Box<RawValue>>,
    /// Of a result: the call.
    pub(super) tool_use_id: Option<String>,
    #[serde(default)]
    pub(super) content: Content,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) is_error: bool,
    pub(super) signature: Option<String>,
    /// Of code that ran.
    pub(super) stdout: Option<String>,
    pub(super) stderr: Option<String>,
}

/// Where an image or a document comes from.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Source {
    pub(super) r#type: Option<String>,
    pub(super) media_type: Option<String>,
    pub(super) data: Option<String>,
    pub(super) url: Option<String>,
    pub(super) file_id: Option<String>,
    #[serde(default)]
    pub(super) content: Content,
}

impl Content {
    /// The blocks, where there are any but a single text.
    pub(super) fn blocks(&self) -> &[Block] {
        match self {
            Self::Nothing | Self::Text(_) => &[],
            Self::Blocks(blocks) => blocks,
        }
    }

    /// All text, in order.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let text = if let Self::Text(text) = self { Some(text.as_str()) } else { None };
        text.into_iter()
            .chain(self.blocks().iter().filter_map(Block::as_text))
            .filter(|text| !text.is_empty())
    }
}

impl Block {
    /// What it is.
    pub(super) fn kind(&self) -> &str {
        self.r#type.as_deref().unwrap_or("text")
    }

    /// The text of a block that is text.
    pub(super) fn as_text(&self) -> Option<&str> {
        if self.kind() == "text" { self.text.as_deref() } else { None }
    }

    /// The id of a call of the client's tools.
    pub(super) fn id_of_call(&self) -> Option<&str> {
        if self.kind() == "tool_use" { self.id.as_deref() } else { None }
    }
}

impl From<String> for Block {
    fn from(text: String) -> Self {
        Self { text: Some(text), ..Self::default() }
    }
}

impl From<String> for Source {
    fn from(url: String) -> Self {
        Self { r#type: Some("url".to_owned()), url: Some(url), ..Self::default() }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of blocks")
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
                let mut blocks = Vec::new();
                while let Some(StringOr(block)) = elements.next_element()? {
                    blocks.push(block);
                }
                Ok(Content::Blocks(blocks))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Content, A::Error> {
                let block = Block::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Content::Blocks(vec![block]))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
