//! A request put together, and fitted to what its model takes.

use super::model::Model;
use super::request::{Content, GenerateContentRequest, GenerationConfig, Part, Role};
use super::schema::{Form, Schema};
use super::tools::Tools;

/// Gemini takes no more.
pub const MOST_STOP_SEQUENCES: usize = 5;

/// What a translator has made of a client's request.
#[derive(Debug, Default)]
pub struct Draft<'a> {
    /// What stands above the conversation.
    pub system: Vec<Part<'a>>,
    /// The turns.
    pub contents: Vec<Content<'a>>,
    /// The tools.
    pub tools: Tools<'a>,
    /// All settings but the form of the answer.
    pub config: GenerationConfig<'a>,
    /// Whether the answer has to be JSON, and by which schema.
    pub json: Option<Option<Schema<'a>>>,
}

impl<'a> Draft<'a> {
    /// The request for `model`.
    pub fn fit(self, model: Model) -> GenerateContentRequest<'a> {
        let Self { mut system, mut contents, mut tools, mut config, json } = self;
        if let Some(json) = json {
            let combines = model.combines_tools() || !tools.are_usable();
            if combines && model.answers_in_json() {
                if !model.combines_tools() {
                    // Declared but forbidden functions are refused beside a JSON form, too.
                    tools = Tools::default();
                }
                config.response_mime_type = Some("application/json");
                if model.takes_json_schema() {
                    config.response_json_schema = json;
                } else {
                    config.response_schema = json.map(|schema| schema.in_form(Form::OpenApi));
                }
            } else {
                system.push(Part::text(instruction(json)));
            }
        }
        if contents.is_empty() && system.is_empty() {
            // Other services answer an empty message; Gemini refuses a request without any words.
            system.push(Part::text(" "));
        }
        let mut system_instruction = None;
        if !system.is_empty() {
            if contents.is_empty() || !model.takes_system_instruction() {
                match contents.first_mut().filter(|first| first.role == Some(Role::User)) {
                    Some(first) => {
                        first.parts.splice(..0, system);
                    }
                    None => contents.insert(0, Content { role: Some(Role::User), parts: system }),
                }
            } else {
                system_instruction = Some(Content { role: None, parts: system });
            }
        }
        GenerateContentRequest {
            contents,
            system_instruction,
            tools: tools.tools,
            tool_config: tools.config,
            generation_config: config,
            ..GenerateContentRequest::default()
        }
    }
}

/// The words for a model that cannot be held to a form.
fn instruction(schema: Option<Schema<'_>>) -> String {
    let words = "Answer with one JSON value and nothing else: no explanation, no code fence.";
    match schema.and_then(|schema| serde_json::to_string(&schema).ok()) {
        Some(schema) => format!("{words} It has to satisfy this JSON schema: {schema}"),
        None => words.to_owned(),
    }
}
