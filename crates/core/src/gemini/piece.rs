//! A part of an answer by what it is to a client of another dialect.

use super::response::{Blob, FunctionCall, Part, Text};

/// What a part is.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'p, 'a> {
    /// A summary of thoughts.
    Reasoning(Text<'a>),
    /// Words of the answer.
    Text(Text<'a>),
    /// Code that Google ran.
    Code {
        /// `PYTHON`.
        language: Option<Text<'a>>,
        /// The code.
        code: Text<'a>,
    },
    /// What it printed.
    Output(Text<'a>),
    /// A call for the client.
    Call {
        /// The call.
        call: &'p FunctionCall<'a>,
        /// Its signature, never empty.
        signature: Option<Text<'a>>,
    },
    /// A picture.
    Image(&'p Blob<'a>),
    /// Sound.
    Audio(&'p Blob<'a>),
}

impl<'p, 'a> Piece<'p, 'a> {
    /// None: nothing that a client could be told. So are empty texts, which carry a signature or
    /// the finish reason.
    pub fn of(part: &'p Part<'a>) -> Option<Self> {
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
}
