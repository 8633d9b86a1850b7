//! Messages: [`to_gemini`] translates the request, [`from_gemini`] a whole answer, [`stream`] an answer in events.
//!
//! A request is read once ([`MessagesRequest::parse`]) and can be translated for one model after another. Fields
//! that have no counterpart (`metadata`, `cache_control`, `context_management`, `container`, `mcp_servers`, `speed`
//! and so on) are accepted and ignored, as are fields that nobody knows; a field of the wrong type is the client's
//! fault and named.

mod blocks;
mod content;
pub mod from_gemini;
mod signature;
pub mod stream;
mod thinking;
pub mod to_gemini;
mod tools;
mod turns;
mod usage;
mod writer;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use self::content::{Content, Message};
use self::thinking::ThinkingChoice;
use self::tools::{ToolChoice, ToolSpec};
use crate::error::Error;
use crate::fields::{self, lenient_whole};
use crate::gemini::names::FunctionNames;
use crate::gemini::tools::BuiltIn;
use crate::signatures::CallIds;

/// What the ids of answers begin with.
pub const ID_PREFIX: &str = "msg_";

/// A request to `/v1/messages` or `/v1/messages/count_tokens`, as far as it says anything to Gemini.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct MessagesRequest {
    /// The model, as the client names it.
    #[serde(default, deserialize_with = "fields::or_default")]
    pub model: String,
    /// Whether the answer is to come in events.
    #[serde(default, deserialize_with = "fields::or_default")]
    pub stream: bool,
    messages: Option<Vec<Message>>,
    #[serde(default)]
    system: Content,
    #[serde(default, deserialize_with = "lenient_whole")]
    max_tokens: Option<i64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    #[serde(default, deserialize_with = "lenient_whole")]
    top_k: Option<i64>,
    #[serde(default, deserialize_with = "fields::or_default")]
    stop_sequences: Vec<String>,
    tools: Option<Vec<ToolSpec>>,
    tool_choice: Option<ToolChoice>,
    thinking: Option<ThinkingChoice>,
    output_config: Option<OutputConfig>,
    /// The form before `output_config` had it.
    output_format: Option<OutputFormat>,
}

/// `output_config`: how much effort, and in which form.
#[derive(Debug, Clone, Deserialize)]
struct OutputConfig {
    effort: Option<String>,
    format: Option<OutputFormat>,
}

/// The form of the answer.
#[derive(Debug, Clone, Deserialize)]
struct OutputFormat {
    r#type: Option<String>,
    schema: Option<Box<RawValue>>,
}

/// What the translation of an answer has to know of its request. Made by [`MessagesRequest::context`].
#[derive(Debug, Clone)]
pub struct Context {
    /// The model, as the client asked for it.
    pub model: String,
    /// `msg_…`, unique. What is inside the answer gets its ids from it.
    pub id: String,
    /// Whether signatures go into the ids of calls.
    pub signatures_in_ids: bool,
    /// The client's names of its tools.
    names: FunctionNames,
    /// The client is to see that the model thought, and hands back what sealed its thoughts.
    thinks: bool,
    /// `disable_parallel_tool_use`. Gemini cannot be told, so further calls are left out.
    single_call: bool,
    /// The model may search, so that citations can come.
    searches: bool,
}

impl MessagesRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// 400, with the field at fault.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let request: Self = fields::parse(body)?;
        let bad = |param: &str, what: &str| Err(Error::bad_request(format!("{param}: {what}"), param));
        if request.model.trim().is_empty() {
            return bad("model", "Field required");
        }
        match &request.messages {
            None => return bad("messages", "Field required"),
            Some(messages) if messages.is_empty() => {
                return bad("messages", "at least one message is required");
            }
            Some(_) => {}
        }
        if request.max_tokens.is_some_and(|most| most < 0) {
            return bad("max_tokens", "must not be negative");
        }
        Ok(request)
    }

    /// What the answer's translation has to know of this request. `id` is the answer's (`msg_…`), made by the
    /// caller and unique.
    pub fn context(&self, id: impl Into<String>) -> Context {
        Context {
            model: self.model.clone(),
            id: id.into(),
            signatures_in_ids: false,
            names: self.function_names(),
            thinks: self.thinking.as_ref().is_some_and(ThinkingChoice::is_on),
            single_call: self.tool_choice.as_ref().is_some_and(ToolChoice::allows_one_call),
            searches: self.built_in().any(|tool| tool == BuiltIn::Search),
        }
    }

    /// What the gateway may know more about: the ids of calls, and the signatures that stand for others.
    pub fn call_ids(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let blocks = self.messages().iter().flat_map(|message| message.content.blocks());
        blocks
            .filter_map(|block| block.id_of_call().or_else(|| signature::reference_in(block)))
            .map(Cow::Borrowed)
    }

    fn messages(&self) -> &[Message] {
        self.messages.as_deref().unwrap_or_default()
    }

    /// The names of all tools that the client runs.
    fn function_names(&self) -> FunctionNames {
        FunctionNames::new(self.functions().map(|function| function.name))
    }

    fn effort(&self) -> Option<&str> {
        self.output_config.as_ref()?.effort.as_deref()
    }

    fn format(&self) -> Option<&OutputFormat> {
        self.output_config.as_ref().and_then(|config| config.format.as_ref()).or(self.output_format.as_ref())
    }
}

impl Context {
    /// The ids of the answer's calls.
    fn call_ids(&self) -> CallIds {
        CallIds::new("toolu_", &self.id, self.signatures_in_ids)
    }

    /// What makes other ids inside the answer unique.
    fn unique(&self) -> &str {
        self.id.strip_prefix(ID_PREFIX).unwrap_or(&self.id)
    }
}
