//! Functions of the client and tools that Google runs, as one model takes them together.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::model::Model;
use super::names::FunctionNames;
use super::request::{Empty, FunctionCallingConfig, FunctionDeclaration, Mode, Tool, ToolConfig};
use super::schema::{Form, Schema};

/// A function of the client.
#[derive(Debug, Clone, Copy)]
pub struct Function<'a> {
    /// As the client calls it.
    pub name: &'a str,
    /// For the model.
    pub description: Option<&'a str>,
    /// JSON schema of its arguments.
    pub parameters: Option<&'a RawValue>,
}

/// A tool that Google runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    /// Web search.
    Search,
    /// Python.
    Code,
    /// Reading of addresses that the prompt names.
    Url,
}

/// What is to become of the functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice<'a> {
    /// The model decides.
    Auto,
    /// None may be called.
    None,
    /// A call has to be made, of one of these; of any where none is named.
    Required(Vec<&'a str>),
    /// Only these come into question.
    Among(Vec<&'a str>),
}

/// `tools` and `toolConfig`.
#[derive(Debug, Default)]
pub struct Tools<'a> {
    /// The tools.
    pub tools: Vec<Tool<'a>>,
    /// How they may be used.
    pub config: Option<ToolConfig<'a>>,
}

/// The client chose a function that it does not offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownFunction<'a>(pub &'a str);

impl<'a> Tools<'a> {
    /// What `model` takes of the client's functions and of the tools that it asks for.
    ///
    /// # Errors
    /// The choice names a function that is not among `functions`.
    pub fn new(
        functions: impl Iterator<Item = Function<'a>>,
        mut built_in: Vec<BuiltIn>,
        choice: Choice<'a>,
        model: Model,
        names: &'a FunctionNames,
    ) -> Result<Self, UnknownFunction<'a>> {
        let mut seen = BTreeSet::new();
        // Gemini refuses a name that comes twice; the first one counts.
        let functions: Vec<_> = functions.filter(|function| seen.insert(function.name)).collect();
        if let Choice::Required(wanted) | Choice::Among(wanted) = &choice
            && let Some(unknown) = wanted.iter().find(|name| !seen.contains(**name))
        {
            return Err(UnknownFunction(unknown));
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
                function_declarations: functions
                    .iter()
                    .map(|function| function.declaration(names, model))
                    .collect(),
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
        let config = (config.function_calling_config.is_some()
            || config.include_server_side_tool_invocations)
            .then_some(config);
        Ok(Self { tools, config })
    }

    /// Adds a tool that Google runs, in Google's own words; left out where the model cannot combine it with the
    /// client's functions.
    pub fn add(&mut self, tool: Tool<'a>, model: Model) {
        if self.tools.iter().any(|tool| !tool.function_declarations.is_empty()) {
            if !model.combines_tools() {
                return;
            }
            self.config.get_or_insert_default().include_server_side_tool_invocations = true;
        }
        self.tools.push(tool);
    }

    /// Whether the model may do anything but answer.
    pub fn are_usable(&self) -> bool {
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

impl<'a> Function<'a> {
    fn declaration(&self, names: &'a FunctionNames, model: Model) -> FunctionDeclaration<'a> {
        let parameters = self.parameters.filter(|parameters| parameters.get() != "null").map(Schema::new);
        let (json_schema, open_api) = match model.takes_json_schema() {
            true => (parameters, None),
            false => (None, parameters.map(|schema| schema.in_form(Form::OpenApi))),
        };
        FunctionDeclaration {
            name: names.to_gemini(self.name),
            description: self.description.filter(|description| !description.is_empty()),
            parameters_json_schema: json_schema,
            parameters: open_api,
        }
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
