//! One item of a conversation, by what it says.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::fields::{self, or_default, string_or};
use crate::openai::chat::message::{Content, ContentPart, ExtraContent, File, InputAudio, Role, Url};

/// What an item says.
#[derive(Debug)]
pub(super) enum Said {
    /// Somebody speaks.
    Message { role: Role, content: Content, signature: Option<String> },
    /// The model calls a function, or one of the tools that clients run.
    Call(Call),
    /// What a call brought.
    Result { call_id: String, content: Content },
    /// A call that somebody else has answered: an MCP server.
    Answered(Call, Content),
    /// What a reasoning item seals.
    Sealed(String),
    /// Something else that exists elsewhere under this id.
    Reference(String),
    /// Further tools.
    Tools(Vec<Box<RawValue>>),
    /// Nothing that Gemini could be told.
    Nothing,
}

/// A call in an earlier turn.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) input: CallInput,
}

/// What a call hands over.
#[derive(Debug)]
pub(super) enum CallInput {
    /// JSON.
    Arguments(String),
    /// Any text.
    Text(String),
}

#[derive(Deserialize)]
struct Head {
    r#type: Option<String>,
    role: Option<String>,
}

#[derive(Deserialize)]
struct MessageItem {
    role: Role,
    content: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "or_default")]
    extra_content: ExtraContent,
}

/// All that calls and results have, whichever tool they are of.
#[derive(Deserialize)]
struct ToolItem {
    id: Option<String>,
    call_id: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    arguments: Option<Box<RawValue>>,
    input: Option<Box<RawValue>>,
    action: Option<Box<RawValue>>,
    operation: Option<Box<RawValue>>,
    output: Option<Box<RawValue>>,
    error: Option<Box<RawValue>>,
    status: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct ReasoningItem {
    encrypted_content: Option<String>,
}

#[derive(Deserialize)]
struct ReferenceItem {
    id: String,
}

#[derive(Deserialize)]
struct ToolsItem {
    #[serde(default)]
    tools: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct PictureItem {
    result: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    extra_content: ExtraContent,
}

#[derive(Deserialize)]
struct CodeItem {
    code: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    outputs: Vec<CodeOutput>,
}

#[derive(Deserialize)]
struct CodeOutput {
    logs: Option<String>,
}

/// A part of a message or of a result: the newer words for those of chat completions, which are taken, too.
#[derive(Default, Deserialize)]
struct ItemPart {
    r#type: Option<String>,
    text: Option<String>,
    refusal: Option<String>,
    #[serde(default, deserialize_with = "string_or")]
    image_url: Option<Url>,
    #[serde(default, deserialize_with = "string_or")]
    video_url: Option<Url>,
    input_audio: Option<InputAudio>,
    file: Option<File>,
    file_id: Option<String>,
    file_data: Option<String>,
    file_url: Option<String>,
    filename: Option<String>,
}

impl Said {
    /// Reads an item. `place` names it in errors.
    pub(super) fn read(json: &str, place: &str) -> Result<Self, Error> {
        let Head { r#type, role } = fields::parse_within(json, place)?;
        let kind = match (r#type.as_deref(), role) {
            (Some(kind), _) => kind,
            (None, Some(_)) => "message",
            (None, None) => "item_reference",
        };
        Ok(match kind {
            "message" => {
                let MessageItem { role, content, extra_content } = fields::parse_within(json, place)?;
                let signature = extra_content.signature().map(str::to_owned);
                Self::Message {
                    role,
                    content: words(content.as_deref(), &format!("{place}.content"))?,
                    signature,
                }
            }
            "function_call" | "custom_tool_call" | "local_shell_call" | "shell_call" | "apply_patch_call" => {
                let item: ToolItem = fields::parse_within(json, place)?;
                Self::Call(item.call(kind, place)?)
            }
            "function_call_output"
            | "custom_tool_call_output"
            | "local_shell_call_output"
            | "shell_call_output"
            | "apply_patch_call_output" => {
                let item: ToolItem = fields::parse_within(json, place)?;
                // Of an edit there may be no more to say than whether it went well.
                let output = item.output.as_deref().or(item.status.as_deref());
                let content = result(output, &format!("{place}.output"))?;
                // The oldest of these tools has its call's id under the name of its own.
                Self::Result { call_id: item.call_id.or(item.id).unwrap_or_default(), content }
            }
            "mcp_call" => {
                let item: ToolItem = fields::parse_within(json, place)?;
                let content = result(item.output.as_deref().or(item.error.as_deref()), place)?;
                Self::Answered(item.call(kind, place)?, content)
            }
            "reasoning" => {
                let item: ReasoningItem = fields::parse_within(json, place)?;
                item.encrypted_content.map_or(Self::Nothing, Self::Sealed)
            }
            "code_interpreter_call" => {
                let text = fields::parse_within::<CodeItem>(json, place)?.text();
                Self::Message { role: Role::Assistant, content: Content::Text(text), signature: None }
            }
            "image_generation_call" => {
                let item: PictureItem = fields::parse_within(json, place)?;
                match item.result {
                    Some(url) => {
                        let picture = ContentPart { image_url: Some(Url { url }), ..ContentPart::default() };
                        let signature = item.extra_content.signature().map(str::to_owned);
                        Self::Message {
                            role: Role::Assistant,
                            content: Content::Parts(vec![picture]),
                            signature,
                        }
                    }
                    None => Self::Nothing,
                }
            }
            "item_reference" => Self::Reference(fields::parse_within::<ReferenceItem>(json, place)?.id),
            "additional_tools" => Self::Tools(fields::parse_within::<ToolsItem>(json, place)?.tools),
            _ => Self::Nothing,
        })
    }
}

impl ToolItem {
    fn call(self, kind: &str, place: &str) -> Result<Call, Error> {
        let (name, input) = match kind {
            "custom_tool_call" => (self.name, CallInput::Text(loose(self.input.as_deref()))),
            "local_shell_call" => (Some("local_shell".to_owned()), arguments(self.action.as_deref())),
            "shell_call" => (Some("shell".to_owned()), arguments(self.action.as_deref())),
            "apply_patch_call" => (Some("apply_patch".to_owned()), arguments(self.operation.as_deref())),
            _ => (self.name, arguments(self.arguments.as_deref())),
        };
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            let param = format!("{place}.name");
            return Err(Error::bad_request(format!("Missing required parameter: '{param}'."), param));
        };
        let id = self.call_id.or(self.id).unwrap_or_default();
        Ok(Call { id, name, namespace: self.namespace.filter(|namespace| !namespace.is_empty()), input })
    }
}

impl CodeItem {
    /// As the model would have written it into its text.
    fn text(self) -> String {
        let mut text = format!("```python\n{}\n```", self.code.unwrap_or_default().trim_end());
        for logs in self.outputs.into_iter().filter_map(|output| output.logs) {
            text.push_str("\n\n```\n");
            text.push_str(logs.trim_end());
            text.push_str("\n```");
        }
        text
    }
}

fn arguments(raw: Option<&RawValue>) -> CallInput {
    CallInput::Arguments(loose(raw))
}

/// A string; any other JSON stands for itself.
fn loose(raw: Option<&RawValue>) -> String {
    match raw.map(RawValue::get) {
        None => String::new(),
        Some(json) => serde_json::from_str(json).unwrap_or_else(|_| json.to_owned()),
    }
}

/// What is said: nothing, a text, or parts.
fn words(content: Option<&RawValue>, place: &str) -> Result<Content, Error> {
    let Some(content) = content.map(RawValue::get) else { return Ok(Content::Nothing) };
    if content.starts_with('"') {
        return Ok(Content::Text(fields::parse_within(content, place)?));
    }
    let parts: Vec<fields::StringOr<ItemPart>> = fields::parse_within(content, place)?;
    Ok(Content::Parts(parts.into_iter().map(|fields::StringOr(part)| part.into_chat()).collect()))
}

/// What a call brought: text or parts, and any other JSON as text.
fn result(output: Option<&RawValue>, place: &str) -> Result<Content, Error> {
    let of_parts = output.is_some_and(|output| {
        #[derive(Deserialize)]
        struct Part {
            r#type: String,
        }
        let parts = serde_json::from_str::<Vec<Part>>(output.get()).unwrap_or_default();
        parts.iter().any(|part| part.r#type.starts_with("input_") || part.r#type.ends_with("text"))
    });
    if of_parts { words(output, place) } else { Ok(Content::Text(loose(output))) }
}

impl ItemPart {
    fn into_chat(self) -> ContentPart {
        let Self { r#type, text, refusal, image_url, video_url, input_audio, file, .. } = self;
        let is_file = matches!(r#type.as_deref(), Some("input_file" | "file"));
        let image_url =
            image_url.or_else(|| self.file_id.clone().filter(|_| !is_file).map(|url| Url { url }));
        // An address stands where an id would: both are fetched by Google.
        let flat = File {
            file_data: self.file_data,
            file_id: self.file_url.or(self.file_id),
            filename: self.filename,
        };
        let file = file.or_else(|| is_file.then_some(flat));
        ContentPart { r#type, text, refusal, image_url, video_url, input_audio, file }
    }
}

impl From<String> for ItemPart {
    fn from(text: String) -> Self {
        Self { text: Some(text), ..Self::default() }
    }
}
