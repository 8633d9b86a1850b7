//! Tools: functions, custom tools, both in namespaces, and what Google runs itself.
//!
//! Tools that
//! others would run (files of OpenAI's, MCP servers, computers) are left out, as clients offer them without need.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::fields;
use crate::openai::chat::message::NamedFunction;
use crate::openai::chat::tools::{
    AllowedTool, AllowedTools, CustomTool, Function, Grammar, ToolChoice, ToolSpec,
};

/// Namespaces in namespaces are no more than clients write by hand.
const DEEPEST: usize = 4;

/// One of `tools`.
#[derive(Deserialize)]
struct Tool {
    r#type: Option<String>,
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
    /// Of a custom tool: what its text has to look like, if anything.
    format: Option<Grammar>,
    /// Of a namespace: what is in it.
    tools: Option<Vec<Box<RawValue>>>,
    /// The form of chat completions.
    function: Option<Function>,
}

/// What a client's tool is, where its name alone does not say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) is_custom: bool,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// The tools of a request.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// In the words of chat completions.
    pub(super) specs: Vec<ToolSpec>,
    /// By name, custom tools and those in namespaces.
    pub(super) offered: BTreeMap<String, Offered>,
}

/// One name for a tool in a namespace.
pub(super) fn flat_name(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}.{name}"),
        None => name.to_owned(),
    }
}

impl Tools {
    /// Reads tools. `place` names the list in errors.
    pub(super) fn read<'a>(tools: impl Iterator<Item = &'a RawValue>, place: &str) -> Result<Self, Error> {
        let mut this = Self::default();
        this.add(tools, place, None, 0)?;
        Ok(this)
    }

    fn add<'a>(
        &mut self,
        tools: impl Iterator<Item = &'a RawValue>,
        place: &str,
        namespace: Option<&str>,
        depth: usize,
    ) -> Result<(), Error> {
        for (number, raw) in tools.enumerate() {
            let place = format!("{place}[{number}]");
            let tool: Tool = fields::parse_within(raw.get(), &place)?;
            let kind = tool.r#type.as_deref().unwrap_or("function");
            match (kind, &tool.name) {
                ("function", Some(_)) => self.function(tool, namespace),
                ("function", None) => match tool.function {
                    Some(function) => self.specs.push(ToolSpec::function(function)),
                    None => {
                        let param = format!("{place}.name");
                        return Err(Error::bad_request(
                            format!("Missing required parameter: '{param}'."),
                            param,
                        ));
                    }
                },
                ("custom", Some(_)) => self.custom(tool, namespace),
                ("namespace", Some(name)) if depth < DEEPEST => {
                    let within = flat_name(namespace, name);
                    let inner = tool.tools.as_deref().unwrap_or_default().iter().map(AsRef::as_ref);
                    self.add(inner, &format!("{place}.tools"), Some(&within), depth + 1)?;
                }
                // What chat completions know is searched and run by Google; the rest is nobody's here.
                _ => self
                    .specs
                    .extend(serde_json::from_str::<ToolSpec>(raw.get()).ok().filter(ToolSpec::is_built_in)),
            }
        }
        Ok(())
    }

    fn function(&mut self, tool: Tool, namespace: Option<&str>) {
        let name = self.offer(tool.name.unwrap_or_default(), namespace, false);
        let Tool { description, parameters, .. } = tool;
        self.specs.push(ToolSpec::function(Function { name, description, parameters }));
    }

    fn custom(&mut self, tool: Tool, namespace: Option<&str>) {
        let name = self.offer(tool.name.unwrap_or_default(), namespace, true);
        let grammar = tool.format.filter(|grammar| !grammar.definition.is_empty());
        self.specs.push(ToolSpec::custom(CustomTool::new(name, tool.description, grammar)));
    }

    /// Notes a tool, and says by which name it goes.
    fn offer(&mut self, name: String, namespace: Option<&str>, is_custom: bool) -> String {
        let flat = flat_name(namespace, &name);
        if is_custom || namespace.is_some() {
            let offered = Offered { is_custom, namespace: namespace.map(str::to_owned), name };
            // Of two tools with one name the first counts, as for Gemini.
            self.offered.entry(flat.clone()).or_insert(offered);
        }
        flat
    }
}

/// `tool_choice`: a word, a tool, or a selection of tools.
#[derive(Deserialize)]
struct Choice {
    r#type: Option<String>,
    mode: Option<String>,
    #[serde(default)]
    tools: Vec<Chosen>,
    #[serde(flatten)]
    tool: Chosen,
}

#[derive(Deserialize)]
struct Chosen {
    name: Option<String>,
    namespace: Option<String>,
    function: Option<NamedFunction>,
}

impl Chosen {
    fn named(self) -> Option<NamedFunction> {
        let name = self.name.map(|name| flat_name(self.namespace.as_deref(), &name));
        self.function.or_else(|| name.map(|name| NamedFunction { name }))
    }
}

/// Reads `tool_choice`. None: the model decides, as where a tool is chosen that Google decides about.
pub(super) fn choice(choice: Option<&RawValue>) -> Result<Option<ToolChoice>, Error> {
    let Some(raw) = choice.map(RawValue::get) else { return Ok(None) };
    if raw.starts_with('"') {
        return Ok(Some(fields::parse_within::<String>(raw, "tool_choice")?.into()));
    }
    let choice: Choice = fields::parse_within(raw, "tool_choice")?;
    Ok(match choice.r#type.as_deref().unwrap_or("function") {
        "allowed_tools" => {
            let named = choice.tools.into_iter().filter_map(Chosen::named);
            let tools =
                named.map(|function| AllowedTool { function: Some(function), custom: None }).collect();
            let allowed_tools = Some(AllowedTools { mode: choice.mode, tools });
            Some(ToolChoice { allowed_tools, ..ToolChoice::from("allowed_tools".to_owned()) })
        }
        "function" | "custom" => {
            Some(ToolChoice { function: choice.tool.named(), ..ToolChoice::from("function".to_owned()) })
        }
        _ => None,
    })
}
