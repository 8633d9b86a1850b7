//! The request: items to `generateContent`, by way of a chat.

use std::sync::Arc;

use super::input::Item;
use super::messages::Messages;
use super::settings::{self, Reasoning};
use super::store::Turn;
use super::tools::{self, Tools};
use super::{Conversation, ResponsesRequest};
use crate::error::Error;
use crate::gemini::count;
use crate::gemini::remote::Written;
use crate::gemini::request::Known;
use crate::openai::chat::message::{Content, Message, Role};
use crate::openai::chat::{self, ChatRequest, Google};

/// The body for `models/{model}:generateContent` or `:streamGenerateContent`, as
/// [for chats](chat::to_gemini::request).
///
/// # Errors
/// 400 for what cannot be said to Gemini, with the field at fault.
pub fn request(conversation: &Conversation, model: &str, known: &Known) -> Result<Written, Error> {
    let mut written = chat::to_gemini::request(&conversation.chat, model, known)
        .map_err(|error| conversation.renamed(error))?;
    for remote in &mut written.remote {
        if let Some(param) = conversation.param(&remote.place.param) {
            remote.place.param = param;
        }
    }
    Ok(written)
}

/// The body for `models/{model}:countTokens`.
///
/// # Errors
/// As for [`request`].
pub fn count(conversation: &Conversation, model: &str, known: &Known) -> Result<Written, Error> {
    Ok(count::body(request(conversation, model, known)?, model))
}

/// Reads a request, with what it goes on from, as a chat.
pub(super) fn conversation(
    request: &ResponsesRequest,
    before: Option<&Arc<Turn>>,
    items: &[Item],
) -> Result<Conversation, Error> {
    let before = before.map(Turn::conversation).unwrap_or_default();
    let before: Vec<&Item> = before.iter().flat_map(|turn| turn.items()).collect();
    let Messages { mut messages, mut origins, tools: more_tools, .. } = Messages::of(&before, items)?;
    // Instructions are of this request alone: those of the answers before are not repeated.
    if let Some(instructions) = request.instructions.as_ref().filter(|text| !text.is_empty()) {
        messages
            .insert(0, Message { content: Content::Text(instructions.clone()), ..Message::of(Role::System) });
        origins.insert(0, None);
    }
    let all = request.tools.iter().flatten().chain(&more_tools).map(AsRef::as_ref);
    let Tools { specs, offered } = Tools::read(all, "tools")?;
    let reasoning = Reasoning::read(request.reasoning.as_deref())?;
    let asked = request.google.as_ref().or_else(|| request.extra_body.as_ref()?.google.as_ref());
    let google = Google::with_thoughts(asked, reasoning.wants_thoughts());
    let chat = ChatRequest {
        model: request.model.clone(),
        stream: request.stream,
        messages: Some(messages),
        stream_options: request.stream_options.clone(),
        temperature: request.temperature,
        top_p: request.top_p,
        max_completion_tokens: request.max_output_tokens,
        logprobs: request.wants_logprobs(),
        top_logprobs: request.top_logprobs,
        reasoning_effort: reasoning.effort,
        response_format: settings::format(request.text.as_deref())?,
        tools: Some(specs),
        tool_choice: tools::choice(request.tool_choice.as_deref())?,
        parallel_tool_calls: request.parallel_tool_calls,
        service_tier: request.service_tier.clone(),
        google,
        ..ChatRequest::default()
    };
    Ok(Conversation { chat, origins, offered })
}

impl ResponsesRequest {
    pub(super) fn wants_logprobs(&self) -> bool {
        self.top_logprobs.is_some_and(|top| top > 0) || self.includes("message.output_text.logprobs")
    }
}

impl Conversation {
    /// The error in this API's words: `messages[2].content[0].image_url.url` is `input[1].content[0].image_url`.
    fn renamed(&self, mut error: Error) -> Error {
        let param = error.param.as_deref().and_then(|param| self.param(param));
        if let (Some(old), Some(new)) = (&error.param, param) {
            error.message = error.message.replace(old.as_str(), &new);
            error.param = Some(new);
        }
        error
    }

    fn param(&self, param: &str) -> Option<String> {
        let renamed = [
            ("reasoning_effort", "reasoning.effort"),
            ("response_format.type", "text.format.type"),
            ("top_logprobs", "top_logprobs"),
        ];
        if let Some((_, new)) = renamed.iter().find(|(old, _)| *old == param) {
            return Some((*new).to_owned());
        }
        let (number, rest) = param.strip_prefix("messages[")?.split_once(']')?;
        let origin = self.origins.get(number.parse::<usize>().ok()?)?;
        let rest = rest.replace("image_url.url", "image_url").replace("file.file_", "file_");
        Some(match origin {
            Some(index) => format!("input[{index}]{rest}"),
            None => "previous_response_id".to_owned(),
        })
    }
}
