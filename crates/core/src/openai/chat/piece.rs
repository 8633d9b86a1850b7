//! A part of Gemini's answer by what it is to an OpenAI client.

use crate::gemini::response::{Blob, FunctionCall, Part, Text};

/// What a part is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece<'p, 'a> {
    /// A summary of thoughts.
    Reasoning(Text<'a>),
    /// Words of the answer.
    Text(Text<'a>),
    /// Code that Google ran.
    Code { language: Option<Text<'a>>, code: Text<'a> },
    /// What it printed.
    Output(Text<'a>),
    /// A call for the client.
    Call { call: &'p FunctionCall<'a>, signature: Option<Text<'a>> },
    /// A picture.
    Image(&'p Blob<'a>),
    /// Sound.
    Audio(&'p Blob<'a>),
}

impl<'p, 'a> Piece<'p, 'a> {
    /// None: nothing that an OpenAI client could be told. So are empty texts, which carry a signature or
    /// the finish reason.
    pub(super) fn of(part: &'p Part<'a>) -> Option<Self> {
        let is_thought = part.thought == Some(true);
        if let Some(text) = part.text {
            return match (text.is_empty(), is_thought) {
                (true, _) => None,
                (false, true) => Some(Self::Reasoning(text)),
                (false, false) => Some(Self::Text(text)),
            };
        }
        if let Some(call) = &part.function_call {
            return Some(Self::Call {
                call,
                signature: part.thought_signature.filter(|text| !text.is_empty()),
            });
        }
        if is_thought {
            // Drafts of a picture.
            return None;
        }
        if let Some(blob) = &part.inline_data {
            let mime_type = blob.mime_type?.escaped();
            return match mime_type.split(['/', '\\']).next() {
                Some("audio") => Some(Self::Audio(blob)),
                Some("image") => Some(Self::Image(blob)),
                _ => None,
            };
        }
        if let Some(executable) = &part.executable_code {
            return Some(Self::Code { language: executable.language, code: executable.code? });
        }
        let output = part.code_execution_result.as_ref()?.output?;
        (!output.is_empty()).then_some(Self::Output(output))
    }

    /// Whether this goes into `content`.
    pub(super) fn is_content(self) -> bool {
        matches!(self, Self::Text(_) | Self::Code { .. } | Self::Output(_))
    }

    /// Writes what goes into `content`, escaped and without quotes.
    pub(super) fn write_content(self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => out.extend_from_slice(text.escaped().as_bytes()),
            Self::Code { language, code } => {
                out.extend_from_slice(br"\n\n```");
                if let Some(language) = language {
                    out.extend(language.escaped().bytes().map(|byte| byte.to_ascii_lowercase()));
                }
                out.extend_from_slice(br"\n");
                fence(out, code);
            }
            Self::Output(output) => {
                out.extend_from_slice(br"\n\n```\n");
                fence(out, output);
            }
            Self::Reasoning(_) | Self::Call { .. } | Self::Image(_) | Self::Audio(_) => {}
        }
    }
}

fn fence(out: &mut Vec<u8>, text: Text<'_>) {
    out.extend_from_slice(text.escaped().as_bytes());
    if !text.escaped().ends_with(r"\n") {
        out.extend_from_slice(br"\n");
    }
    out.extend_from_slice(br"```\n\n");
}
