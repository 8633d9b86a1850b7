//! Functions and built-in tools, and how they may be used.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::ChatRequest;
use super::message::NamedFunction;
use crate::error::Error;
use crate::gemini::model::Model;
use crate::gemini::names::FunctionNames;
use crate::gemini::request::Tool;
use crate::gemini::tools::{self, BuiltIn, Choice, Tools, UnknownFunction};

/// One of `tools`: a function, or a built-in tool in the words of OpenAI (`{"type": "web_search"}`) or Google
/// (`{"google_search": {}}`). Others are ignored.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in crate::openai) struct ToolSpec {
    pub(in crate::openai) r#type: Option<String>,
    pub(in crate::openai) function: Option<Function>,
    pub(in crate::openai) custom: Option<CustomTool>,
    #[serde(alias = "googleSearch")]
    pub(in crate::openai) google_search: Option<IgnoredAny>,
    #[serde(alias = "codeExecution")]
    pub(in crate::openai) code_execution: Option<IgnoredAny>,
    #[serde(alias = "urlContext")]
    pub(in crate::openai) url_context: Option<IgnoredAny>,
    #[serde(alias = "googleMaps")]
    pub(in crate::openai) google_maps: Option<Box<RawValue>>,
    #[serde(alias = "fileSearch")]
    pub(in crate::openai) file_search: Option<Box<RawValue>>,
}

/// A function of the client.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::openai) struct Function {
    pub(in crate::openai) name: String,
    pub(in crate::openai) description: Option<String>,
    pub(in crate::openai) parameters: Option<Box<RawValue>>,
}

/// A tool of the client whose argument is plain text. To Gemini it is a function with one string.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WrittenCustomTool")]
pub(in crate::openai) struct CustomTool {
    pub(in crate::openai) name: String,
    /// With what the text has to look like.
    pub(in crate::openai) description: String,
}

/// A custom tool as it is written.
#[derive(Deserialize)]
struct WrittenCustomTool {
    name: String,
    description: Option<String>,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    grammar: Option<Grammar>,
}

/// What a text has to look like.
#[derive(Deserialize)]
pub(in crate::openai) struct Grammar {
    #[serde(default)]
    pub(in crate::openai) definition: String,
    #[serde(default)]
    pub(in crate::openai) syntax: String,
}

/// The arguments of what stands for a custom tool.
const ONE_STRING: &str = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;

/// `tool_choice`: a word, a function, or a selection of functions.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in crate::openai) struct ToolChoice {
    pub(in crate::openai) r#type: Option<String>,
    pub(in crate::openai) function: Option<NamedFunction>,
    pub(in crate::openai) custom: Option<NamedFunction>,
    pub(in crate::openai) allowed_tools: Option<AllowedTools>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::openai) struct AllowedTools {
    pub(in crate::openai) mode: Option<String>,
    #[serde(default)]
    pub(in crate::openai) tools: Vec<AllowedTool>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::openai) struct AllowedTool {
    pub(in crate::openai) function: Option<NamedFunction>,
    pub(in crate::openai) custom: Option<NamedFunction>,
}

/// `function_call`, the form of 2023: a word, or a function.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in crate::openai) struct FunctionChoice {
    #[serde(skip)]
    pub(in crate::openai) word: Option<String>,
    pub(in crate::openai) name: Option<String>,
}

/// Translates the tools of a request.
pub(super) fn translate<'a>(
    chat: &'a ChatRequest,
    model: Model,
    names: &'a FunctionNames,
) -> Result<Tools<'a>, Error> {
    let mut built_in: Vec<_> = chat.tools.iter().flatten().filter_map(ToolSpec::built_in).collect();
    if chat.web_search_options.is_some() {
        built_in.push(BuiltIn::Search);
    }
    let mut tools = Tools::new(chat.functions(), built_in, chat.choice()?, model, names).map_err(
        |UnknownFunction(unknown)| {
            Error::bad_request(
                format!("Invalid value for 'tool_choice': the function '{unknown}' is not in 'tools'."),
                "tool_choice",
            )
        },
    )?;
    for spec in chat.tools.iter().flatten() {
        let (google_maps, file_search) = (spec.google_maps.as_deref(), spec.file_search.as_deref());
        if google_maps.is_some() || file_search.is_some() {
            tools.add(Tool { google_maps, file_search, ..Tool::default() }, model);
        }
    }
    Ok(tools)
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
    /// A function.
    pub(in crate::openai) fn function(function: Function) -> Self {
        Self { function: Some(function), ..Self::default() }
    }

    /// A tool whose argument is plain text.
    pub(in crate::openai) fn custom(custom: CustomTool) -> Self {
        Self { custom: Some(custom), ..Self::default() }
    }

    /// Whether it is a tool that Google runs.
    pub(in crate::openai) fn is_built_in(&self) -> bool {
        self.built_in().is_some() || self.google_maps.is_some() || self.file_search.is_some()
    }

    /// What the model is offered, if this is the client's to run.
    pub(super) fn as_gemini(&self) -> Option<tools::Function<'_>> {
        match (&self.function, &self.custom) {
            (Some(function), _) => Some(function.as_gemini()),
            (None, Some(custom)) => Some(custom.as_gemini()),
            (None, None) => None,
        }
    }

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

impl CustomTool {
    fn as_gemini(&self) -> tools::Function<'_> {
        tools::Function {
            name: &self.name,
            description: Some(&self.description),
            parameters: serde_json::from_str(ONE_STRING).ok(),
        }
    }
}

impl CustomTool {
    /// The grammar goes into the description, as Gemini has no other place for it.
    pub(in crate::openai) fn new(
        name: String,
        description: Option<String>,
        grammar: Option<Grammar>,
    ) -> Self {
        let mut description = description.unwrap_or_default();
        if let Some(Grammar { definition, syntax }) = grammar {
            let words = format!("The input has to satisfy this {syntax} grammar:\n{definition}");
            description = if description.is_empty() { words } else { format!("{description}\n{words}") };
        }
        Self { name, description }
    }
}

impl From<WrittenCustomTool> for CustomTool {
    fn from(WrittenCustomTool { name, description, format }: WrittenCustomTool) -> Self {
        Self::new(name, description, format.and_then(|format| format.grammar))
    }
}

impl Function {
    pub(super) fn as_gemini(&self) -> tools::Function<'_> {
        tools::Function {
            name: &self.name,
            description: self.description.as_deref(),
            parameters: self.parameters.as_deref(),
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
                    .filter_map(|tool| Some(tool.function.as_ref().or(tool.custom.as_ref())?.name.as_str()))
                    .collect();
                match allowed.and_then(|allowed| allowed.mode.as_deref()) {
                    _ if names.is_empty() => Ok(Choice::Auto),
                    Some("required") => Ok(Choice::Required(names)),
                    Some(_) | None => Ok(Choice::Among(names)),
                }
            }
            "function" | "custom" | "" => match self.function.as_ref().or(self.custom.as_ref()) {
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
