//! What the translation of an answer has to know of its request.

use std::collections::BTreeMap;

use super::tools::Offered;
use super::{Conversation, ResponsesRequest, echo};
use crate::gemini::names::FunctionNames;

/// What the translation of an answer has to know of its request. Made by
/// [`ResponsesRequest::context`](super::ResponsesRequest::context).
#[derive(Debug, Clone)]
pub struct Context {
    /// `resp_…`, unique. Items and calls get their ids from it.
    pub id: String,
    /// Whether the ids of calls hold their signatures.
    pub signatures_in_ids: bool,
    /// The beginning of the answer's object: what it repeats of the request.
    pub(super) opening: Vec<u8>,
    /// The client's names of its functions.
    pub(super) names: FunctionNames,
    offered: BTreeMap<String, Offered>,
    /// `parallel_tool_calls: false`. Gemini cannot be told, so further calls are left out.
    pub(in crate::openai) single_call: bool,
    /// What the client asked for besides.
    pub(in crate::openai) sealed_reasoning: bool,
    pub(in crate::openai) code_outputs: bool,
    pub(in crate::openai) search_sources: bool,
}

impl Context {
    pub(super) fn new(
        request: &ResponsesRequest,
        conversation: &Conversation,
        id: String,
        created: u64,
    ) -> Self {
        Self {
            opening: echo::opening(request, &id, created),
            id,
            signatures_in_ids: false,
            names: conversation.chat.function_names(),
            offered: conversation.offered.clone(),
            single_call: request.parallel_tool_calls == Some(false),
            sealed_reasoning: request.includes("reasoning.encrypted_content"),
            code_outputs: request.includes("code_interpreter_call.outputs"),
            search_sources: request.includes("web_search_call.action.sources"),
        }
    }

    /// Whether the client and Gemini know all tools by the same names.
    pub(in crate::openai) fn has_plain_tools(&self) -> bool {
        self.names.is_identity() && self.offered.is_empty()
    }

    /// What the client knows a function as: its namespace, its name, and whether it takes plain text.
    pub(super) fn tool<'a>(&'a self, native: &'a str) -> (Option<&'a str>, &'a str, bool) {
        let flat = self.names.to_client(native);
        match self.offered.get(flat) {
            Some(offered) => (offered.namespace.as_deref(), &offered.name, offered.is_custom),
            None => (None, flat, false),
        }
    }
}
