//! Tools: those that the client describes, those that Anthropic defines and the client runs, and those that the
//! service runs.

mod defined;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::MessagesRequest;
use crate::error::Error;
use crate::fields::or_default;
use crate::gemini::model::Model;
use crate::gemini::names::FunctionNames;
use crate::gemini::tools::{BuiltIn, Choice, Function, Tools, UnknownFunction};

/// One of `tools`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ToolSpec {
    /// With a date for what Anthropic defines; nothing or `custom` for the client's own.
    r#type: Option<String>,
    name: Option<String>,
    description: Option<String>,
    input_schema: Option<Box<RawValue>>,
}

/// `tool_choice`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ToolChoice {
    r#type: Option<String>,
    name: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    disable_parallel_tool_use: bool,
}

/// Translates the tools of a request.
pub(super) fn translate<'a>(
    request: &'a MessagesRequest,
    model: Model,
    names: &'a FunctionNames,
) -> Result<Tools<'a>, Error> {
    let choice = match &request.tool_choice {
        Some(choice) => choice.read()?,
        None => Choice::Auto,
    };
    let built_in = request.built_in().collect();
    Tools::new(request.functions(), built_in, choice, model, names).map_err(|UnknownFunction(unknown)| {
        let message = format!("tool_choice: the tool '{unknown}' is not among 'tools'");
        Error::bad_request(message, "tool_choice.name")
    })
}

impl MessagesRequest {
    /// The tools that the client runs.
    pub(super) fn functions(&self) -> impl Iterator<Item = Function<'_>> + Clone {
        self.tools.iter().flatten().filter_map(ToolSpec::function)
    }

    /// The tools that Google runs.
    pub(super) fn built_in(&self) -> impl Iterator<Item = BuiltIn> {
        self.tools.iter().flatten().filter_map(ToolSpec::built_in)
    }
}

impl ToolSpec {
    fn kind(&self) -> &str {
        self.r#type.as_deref().unwrap_or("custom")
    }

    /// None for what the service runs, and for what nobody here knows.
    fn function(&self) -> Option<Function<'_>> {
        if self.built_in().is_some() {
            return None;
        }
        let name = self.name.as_deref().filter(|name| !name.is_empty())?;
        if let Some(schema) = &self.input_schema {
            return Some(Function {
                name,
                description: self.description.as_deref(),
                parameters: Some(schema),
            });
        }
        match self.kind() {
            "custom" => Some(Function { name, description: self.description.as_deref(), parameters: None }),
            kind => defined::find(kind).map(|(description, parameters)| Function {
                name,
                description: Some(description),
                parameters,
            }),
        }
    }

    fn built_in(&self) -> Option<BuiltIn> {
        // web_search_20250305 and its successors
        [("web_search_", BuiltIn::Search), ("web_fetch_", BuiltIn::Url), ("code_execution_", BuiltIn::Code)]
            .into_iter()
            .find_map(|(prefix, tool)| self.kind().starts_with(prefix).then_some(tool))
    }
}

impl ToolChoice {
    /// Whether at most one call may be made.
    pub(super) fn allows_one_call(&self) -> bool {
        self.disable_parallel_tool_use
    }

    fn read(&self) -> Result<Choice<'_>, Error> {
        match (self.r#type.as_deref().unwrap_or_default(), &self.name) {
            ("auto", _) => Ok(Choice::Auto),
            ("none", _) => Ok(Choice::None),
            ("any", _) => Ok(Choice::Required(Vec::new())),
            ("tool", Some(name)) => Ok(Choice::Required(vec![name])),
            ("tool", None) => Err(Error::bad_request("tool_choice.name: Field required", "tool_choice.name")),
            _ => Err(Error::bad_request(
                "tool_choice.type: must be one of 'auto', 'any', 'tool' and 'none'",
                "tool_choice.type",
            )),
        }
    }
}
