//! `reasoning` and `text`, in the words of chat completions.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::fields;
use crate::openai::chat::{JsonSchema, ResponseFormat};

/// `reasoning`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Reasoning {
    pub(super) effort: Option<String>,
    summary: Option<String>,
    /// What `summary` was called first.
    generate_summary: Option<String>,
}

#[derive(Deserialize)]
struct Text {
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    r#type: String,
    schema: Option<Box<RawValue>>,
    /// The form of chat completions.
    json_schema: Option<JsonSchema>,
}

impl Reasoning {
    pub(super) fn read(raw: Option<&RawValue>) -> Result<Self, Error> {
        raw.map_or_else(|| Ok(Self::default()), |raw| fields::parse_within(raw.get(), "reasoning"))
    }

    /// Whether summaries of the thoughts are wanted; none where nothing was said about thinking at all.
    pub(super) fn wants_thoughts(&self) -> Option<bool> {
        // Where nothing is thought, nothing can be told of it.
        let is_off = matches!(self.effort.as_deref(), Some("none" | "disable" | "disabled" | "off"));
        let summary = self.summary.as_ref().or(self.generate_summary.as_ref());
        match summary {
            _ if is_off => None,
            Some(summary) => Some(summary != "none"),
            None => self.effort.as_ref().map(|_| false),
        }
    }
}

/// The form of the answer.
pub(super) fn format(text: Option<&RawValue>) -> Result<Option<ResponseFormat>, Error> {
    let Some(text) = text else { return Ok(None) };
    let Text { format } = fields::parse_within(text.get(), "text")?;
    let Some(Format { r#type, schema, json_schema }) = format else { return Ok(None) };
    if !matches!(r#type.as_str(), "text" | "json_object" | "json_schema") {
        return Err(Error::bad_request(
            "Invalid value for 'text.format.type'. Supported values are: 'text', 'json_object' and 'json_schema'.",
            "text.format.type",
        ));
    }
    let json_schema = json_schema.or_else(|| schema.map(|schema| JsonSchema { schema: Some(schema) }));
    Ok(Some(ResponseFormat { r#type, json_schema }))
}
