//! Functions and built-in tools, and how they may be used.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::ChatRequest;
use super::message::NamedFunction;
use crate::error::Error;
use crate::gemini::model::Model;
use crate::gemini::names::FunctionNames;
use crate::gemini::request::{Empty, FunctionCallingConfig, FunctionDeclaration, Mode, Tool, ToolConfig};
use crate::gemini::schema::Schema;

/// One of `tools`: a function, or a built-in tool in the words of OpenAI (`{"type": "web_search"}`) or Google
/// (`{"google_search": {}}`). Others are ignored.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ToolSpec {
    r#type: Option<String>,
    pub(super) function: Option<Function>,
    #[serde(alias = "googleSearch")]
    google_search: Option<IgnoredAny>,
    #[serde(alias = "codeExecution")]
    code_execution: Option<IgnoredAny>,
    #[serde(alias = "urlContext")]
    url_context: Option<IgnoredAny>,
}

/// A function of the client.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Function {
    pub(super) name: String,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
}

/// A tool that Google runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BuiltIn {
    Search,
    Code,
    Url,
}

/// `tool_choice`: a word, a function, or a selection of functions.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct ToolChoice {
    r#type: Option<String>,
    function: Option<NamedFunction>,
    allowed_tools: Option<AllowedTools>,
}

#[derive(Debug, Clone, Deserialize)]
struct AllowedTools {
    mode: Option<String>,
    #[serde(default)]
    tools: Vec<AllowedTool>,
}

#[derive(Debug, Clone, Deserialize)]
struct AllowedTool {
    function: Option<NamedFunction>,
}

/// `function_call`, the form of 2023: a word, or a function.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct FunctionChoice {
    #[serde(skip)]
    word: Option<String>,
    name: Option<String>,
}

/// `tools` and `toolConfig`.
#[derive(Debug, Default)]
pub(super) struct Tools<'a> {
    pub(super) tools: Vec<Tool<'a>>,
    pub(super) config: Option<ToolConfig<'a>>,
}

/// What is to become of the functions.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice<'a> {
    Auto,
    None,
    /// A call has to be made, of one of these; of any where none is named.
    Required(Vec<&'a str>),
    /// Only these come into question.
    Among(Vec<&'a str>),
}

/// Translates the tools of a request.
pub(super) fn translate<'a>(
    chat: &'a ChatRequest,
    model: Model,
    names: &'a FunctionNames,
) -> Result<Tools<'a>, Error> {
    let mut seen = BTreeSet::new();
    // Gemini refuses a name that comes twice; the first one counts.
    let functions: Vec<_> = chat.functions().filter(|function| seen.insert(function.name.as_str())).collect();
    let choice = chat.choice()?;
    if let Choice::Required(wanted) | Choice::Among(wanted) = &choice
        && let Some(unknown) = wanted.iter().find(|name| !seen.contains(**name))
    {
        return Err(Error::bad_request(
            format!("Invalid value for 'tool_choice': the function '{unknown}' is not in 'tools'."),
            "tool_choice",
        ));
    }
    let mut built_in: Vec<_> = chat.tools.iter().flatten().filter_map(ToolSpec::built_in).collect();
    if chat.web_search_options.is_some() {
        built_in.push(BuiltIn::Search);
    }
    if !functions.is_empty() && !model.combines_tools() {
        // Such a model refuses both together, and the client relies on its own functions.
        built_in.clear();
    }

    let mut tools = Vec::new();
    let mut config = ToolConfig::default();
    if !functions.is_empty() {
        config.function_calling_config = choice.config(names);
        config.include_server_side_tool_invocations = !built_in.is_empty();
        tools.push(Tool {
            function_declarations: functions.iter().map(|function| function.declaration(names)).collect(),
            ..Tool::default()
        });
    }
    let mut add = |kind, tool| {
        if built_in.contains(&kind) {
            tools.push(tool);
        }
    };
    add(BuiltIn::Search, Tool { google_search: Some(Empty {}), ..Tool::default() });
    add(BuiltIn::Code, Tool { code_execution: Some(Empty {}), ..Tool::default() });
    add(BuiltIn::Url, Tool { url_context: Some(Empty {}), ..Tool::default() });
    let config = (config.function_calling_config.is_some() || config.include_server_side_tool_invocations)
        .then_some(config);
    Ok(Tools { tools, config })
}

impl Tools<'_> {
    /// Whether the model may do anything but answer.
    pub(super) fn are_usable(&self) -> bool {
        let forbidden = self
            .config
            .as_ref()
            .and_then(|config| config.function_calling_config.as_ref())
            .is_some_and(|calling| calling.mode == Mode::None);
        match self.tools.as_slice() {
            [] => false,
            [only] => !forbidden || only.function_declarations.is_empty(),
            _ => true,
        }
    }
}

impl ChatRequest {
    /// What is to become of the functions, from `tool_choice` or the older `function_call`.
    fn choice(&self) -> Result<Choice<'_>, Error> {
        if let Some(choice) = &self.tool_choice {
            return choice.read();
        }
        match &self.function_call {
            Some(FunctionChoice { name: Some(name), .. }) => Ok(Choice::Required(vec![name])),
            Some(FunctionChoice { word: Some(word), .. }) => word_choice(word, "function_call"),
            Some(_) | None => Ok(Choice::Auto),
        }
    }
}

impl ToolSpec {
    /// The built-in tool that this is, if it is one.
    pub(super) fn built_in(&self) -> Option<BuiltIn> {
        let kind = self.r#type.as_deref().unwrap_or_default();
        match kind {
            _ if self.google_search.is_some() => Some(BuiltIn::Search),
            _ if self.code_execution.is_some() => Some(BuiltIn::Code),
            _ if self.url_context.is_some() => Some(BuiltIn::Url),
            "google_search" | "googleSearch" => Some(BuiltIn::Search),
            "code_execution" | "code_interpreter" => Some(BuiltIn::Code),
            "url_context" => Some(BuiltIn::Url),
            // web_search_preview_2025_03_11 and its successors
            _ if kind.starts_with("web_search") => Some(BuiltIn::Search),
            _ => None,
        }
    }
}

impl Function {
    fn declaration<'a>(&'a self, names: &'a FunctionNames) -> FunctionDeclaration<'a> {
        let parameters = self.parameters.as_deref().filter(|parameters| parameters.get() != "null");
        FunctionDeclaration {
            name: names.to_gemini(&self.name),
            description: self.description.as_deref().filter(|description| !description.is_empty()),
            parameters_json_schema: parameters.map(Schema::new),
        }
    }
}

impl ToolChoice {
    fn read(&self) -> Result<Choice<'_>, Error> {
        match self.r#type.as_deref().unwrap_or_default() {
            "allowed_tools" => {
                let allowed = self.allowed_tools.as_ref();
                let names: Vec<_> = allowed
                    .iter()
                    .flat_map(|allowed| &allowed.tools)
                    .filter_map(|tool| Some(tool.function.as_ref()?.name.as_str()))
                    .collect();
                match allowed.and_then(|allowed| allowed.mode.as_deref()) {
                    _ if names.is_empty() => Ok(Choice::Auto),
                    Some("required") => Ok(Choice::Required(names)),
                    Some(_) | None => Ok(Choice::Among(names)),
                }
            }
            "function" | "" => match &self.function {
                Some(function) => Ok(Choice::Required(vec![&function.name])),
                None => Err(Error::bad_request(
                    "Missing required parameter: 'tool_choice.function'.",
                    "tool_choice.function",
                )),
            },
            word => word_choice(word, "tool_choice"),
        }
    }
}

fn word_choice(word: &str, param: &'static str) -> Result<Choice<'static>, Error> {
    match word {
        "auto" => Ok(Choice::Auto),
        "none" => Ok(Choice::None),
        // `any` is Anthropic's word, and Google's.
        "required" | "any" => Ok(Choice::Required(Vec::new())),
        _ => Err(Error::bad_request(
            format!("Invalid value for '{param}'. Supported values are: 'none', 'auto', and 'required'."),
            param,
        )),
    }
}

impl<'a> Choice<'a> {
    /// `AUTO` is what Gemini does without being told.
    fn config(self, names: &'a FunctionNames) -> Option<FunctionCallingConfig<'a>> {
        let (mode, allowed) = match self {
            Choice::Auto => return None,
            Choice::None => (Mode::None, Vec::new()),
            Choice::Required(allowed) => (Mode::Any, allowed),
            Choice::Among(allowed) => (Mode::Validated, allowed),
        };
        let allowed_function_names = allowed.into_iter().map(|name| names.to_gemini(name)).collect();
        Some(FunctionCallingConfig { mode, allowed_function_names })
    }
}

impl From<String> for ToolChoice {
    fn from(word: String) -> Self {
        Self { r#type: Some(word), ..Self::default() }
    }
}

impl From<String> for FunctionChoice {
    fn from(word: String) -> Self {
        Self { word: Some(word), ..Self::default() }
    }
}
