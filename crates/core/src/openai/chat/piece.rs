//! What of an answer goes into `content`.

pub(super) use crate::gemini::piece::Piece;
use crate::gemini::response::Text;

impl Piece<'_, '_> {
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
