//! The Responses API: [`to_gemini`] translates the request, [`from_gemini`] a whole answer, [`stream`] an answer
//! in events, and [`store`] keeps answers for those who go on from them.
//!
//! A request in items says what a chat in messages says, in newer words. So it is read into a
//! [`ChatRequest`] ([`ChatRequest`] knows how to speak to Gemini), and only what an answer looks like is
//! this module's own. A client that is in both worlds at once, and sends items to `/chat/completions`, is
//! served by the same reading.
//!
//! Fields that have no counterpart (`truncation`, `max_tool_calls`, `moderation`, `client_metadata` and so on) are
//! accepted and ignored, as are fields, items and tools that nobody knows.

mod carrier;
mod context;
mod echo;
mod events;
pub mod from_gemini;
mod ids;
mod input;
mod item;
pub(crate) mod listing;
mod messages;
mod output;
mod search;
mod settings;
pub mod store;
pub mod stream;
pub mod to_gemini;
mod tools;
mod usage;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

pub use self::context::Context;
pub(crate) use self::ids::RESPONSE as RESPONSE_ID;
pub use self::input::Item;
use self::store::Turn;
use crate::error::Error;
use crate::fields::{self, lenient_whole, or_default};
use crate::openai::chat::{ChatRequest, ExtraBody, Google, StreamOptions};

/// Nothing is kept under the id that a request wants to go on from.
pub(crate) fn no_previous(id: &str) -> Error {
    let id: String = id.chars().filter(|char| !char.is_control()).take(100).collect();
    let message = format!(
        "Previous response with id '{id}' not found. Responses are kept for a day, within bounds, and only where \
         'store' is not false; send the whole conversation as 'input' instead."
    );
    Error::bad_request(message, "previous_response_id")
}

/// A request to `/v1/responses`, as it was read.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct ResponsesRequest {
    /// The model, as the client names it.
    #[serde(default, deserialize_with = "or_default")]
    pub model: String,
    /// Whether the answer is to come in events.
    #[serde(default, deserialize_with = "or_default")]
    pub stream: bool,
    /// The answer that this request goes on from.
    pub previous_response_id: Option<String>,
    /// A string, or a list of items.
    input: Option<Box<RawValue>>,
    instructions: Option<String>,
    store: Option<bool>,
    #[serde(default, deserialize_with = "or_default")]
    include: Vec<String>,

    #[serde(default, deserialize_with = "or_default")]
    background: bool,
    conversation: Option<IgnoredAny>,
    prompt: Option<IgnoredAny>,

    temperature: Option<f64>,
    top_p: Option<f64>,
    #[serde(default, deserialize_with = "lenient_whole")]
    top_logprobs: Option<i64>,
    #[serde(default, deserialize_with = "lenient_whole")]
    max_output_tokens: Option<i64>,
    #[serde(default, deserialize_with = "lenient_whole")]
    max_tool_calls: Option<i64>,
    reasoning: Option<Box<RawValue>>,
    text: Option<Box<RawValue>>,

    tools: Option<Vec<Box<RawValue>>>,
    tool_choice: Option<Box<RawValue>>,
    parallel_tool_calls: Option<bool>,

    service_tier: Option<String>,
    truncation: Option<String>,
    user: Option<String>,
    safety_identifier: Option<String>,
    prompt_cache_key: Option<String>,
    metadata: Option<Box<RawValue>>,
    stream_options: Option<StreamOptions>,
    /// Google's own additions, as in chat completions.
    extra_body: Option<ExtraBody>,
    google: Option<Google>,
}

/// A request with all that it goes on from, ready to be translated for one model after another.
#[derive(Debug, Clone)]
pub struct Conversation {
    chat: ChatRequest,
    /// By message, which item of `input` it was read from; none for what stood before.
    origins: Vec<Option<usize>>,
    /// What the client's tools are, where their names alone do not say it.
    offered: BTreeMap<String, tools::Offered>,
}

impl ResponsesRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// 400, with the field at fault as OpenAI names it.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let request: Self = fields::parse(body)?;
        if request.model.trim().is_empty() {
            return Err(Error::bad_request("you must provide a model parameter", "model"));
        }
        let refused = [
            (
                request.background,
                "background",
                "Responses are not made in the background here: send 'background': false.",
            ),
            (
                request.conversation.is_some(),
                "conversation",
                "Conversations are not kept here. Send 'previous_response_id', or all items as 'input'.",
            ),
            (
                request.prompt.is_some(),
                "prompt",
                "Prompt templates are kept by OpenAI alone. Send their text as 'instructions' and 'input'.",
            ),
        ];
        if let Some((_, param, message)) = refused.into_iter().find(|(asked, ..)| *asked) {
            return Err(Error::bad_request(message, param));
        }
        if request.input.is_none() && request.previous_response_id.is_none() {
            return Err(Error::bad_request("Missing required parameter: 'input'.", "input"));
        }
        Ok(request)
    }

    /// Whether a body says what it has to say in items.
    pub fn is_in_items(body: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Probe {
            messages: Option<IgnoredAny>,
            input: Option<IgnoredAny>,
        }
        serde_json::from_slice::<Probe>(body)
            .is_ok_and(|probe| probe.messages.is_none() && probe.input.is_some())
    }

    /// The same request, whose answer is to come whole.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { stream: false, ..self }
    }

    /// Whether the answer is to be kept.
    pub fn stores(&self) -> bool {
        self.store.unwrap_or(true)
    }

    /// The items of the request itself, each with an id. `id` is the answer's.
    ///
    /// # Errors
    /// 400, with the item at fault.
    pub fn items(&self, id: &str) -> Result<Vec<Item>, Error> {
        input::items(self.input.as_deref(), id)
    }

    /// The conversation: what the request goes on from (`before`), then its own `items`.
    ///
    /// # Errors
    /// 400, with the field at fault.
    pub fn conversation(&self, before: Option<&Arc<Turn>>, items: &[Item]) -> Result<Conversation, Error> {
        to_gemini::conversation(self, before, items)
    }

    /// What the answer's translation has to know of this request.
    ///
    /// `id` is the answer's (`resp_…`), made by the caller and unique; `created` its time in seconds since 1970.
    pub fn context(&self, conversation: &Conversation, id: impl Into<String>, created: u64) -> Context {
        Context::new(self, conversation, id.into(), created)
    }

    fn includes(&self, what: &str) -> bool {
        self.include.iter().any(|included| included == what)
    }
}

impl Conversation {
    /// The same as a chat.
    pub fn into_chat(self) -> ChatRequest {
        self.chat
    }

    /// The chat that it is read as.
    pub fn chat(&self) -> &ChatRequest {
        &self.chat
    }
}
