//! Content blocks as they go out: inside of a whole answer, or as the events that make one up.
//!
//! Blocks never overlap: opening one closes the one before. Gemini's strings are JSON already and are copied as they
//! came.

use crate::gemini::response::Text;
use crate::json;

/// How an answer goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// As one JSON document.
    Whole,
    /// In events.
    Events,
}

/// Writes blocks one after the other.
#[derive(Debug)]
pub(super) struct Writer {
    shape: Shape,
    /// The number of the block that is open, or of the next one.
    index: u64,
    open: Option<Open>,
}

/// A block that is not closed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Thinking,
    Text { cited: bool },
}

/// A result of a tool that Google ran.
pub(super) struct Finding<'a> {
    pub(super) url: &'a str,
    pub(super) title: &'a str,
}

impl Writer {
    pub(super) fn new(shape: Shape) -> Self {
        Self { shape, index: 0, open: None }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn is_thinking(&self) -> bool {
        self.open == Some(Open::Thinking)
    }

    pub(super) fn is_saying(&self) -> bool {
        matches!(self.open, Some(Open::Text { .. }))
    }

    /// Whether nothing has been written.
    pub(super) fn is_blank(&self) -> bool {
        self.index == 0 && self.open.is_none()
    }

    /// Opens a block of thoughts.
    pub(super) fn open_thinking(&mut self, out: &mut Vec<u8>) {
        self.start(out, |out, shape| {
            out.extend_from_slice(match shape {
                Shape::Whole => br#"{"type":"thinking","thinking":""#,
                Shape::Events => b"{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n",
            });
        });
        self.open = Some(Open::Thinking);
    }

    /// Writes thoughts into the open block.
    pub(super) fn thoughts(&mut self, out: &mut Vec<u8>, text: Text<'_>) {
        self.delta(out, br#"{"type":"thinking_delta","thinking":""#, |out| {
            out.extend_from_slice(text.escaped().as_bytes());
        });
    }

    /// Seals and closes the open block of thoughts.
    pub(super) fn seal(&mut self, out: &mut Vec<u8>, signature: &str) {
        match self.shape {
            Shape::Whole => {
                out.extend_from_slice(br#"","signature":"#);
                json::string(out, signature);
                out.push(b'}');
            }
            Shape::Events => {
                self.open_delta(out);
                out.extend_from_slice(br#"{"type":"signature_delta","signature":"#);
                json::string(out, signature);
                out.extend_from_slice(b"}}\n\n");
                self.stop(out);
            }
        }
        self.open = None;
        self.index += 1;
    }

    /// Opens a block of text.
    pub(super) fn open_text(&mut self, out: &mut Vec<u8>) {
        self.start(out, |out, shape| {
            out.extend_from_slice(match shape {
                Shape::Whole => br#"{"type":"text","text":""#,
                Shape::Events => b"{\"type\":\"text\",\"text\":\"\"}}\n\n",
            });
        });
        self.open = Some(Open::Text { cited: false });
    }

    /// Writes text into the open block. `write` writes it escaped and without quotes.
    pub(super) fn text(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        self.delta(out, br#"{"type":"text_delta","text":""#, write);
    }

    /// Writes where something in the open block of text was found.
    pub(super) fn citation(&mut self, out: &mut Vec<u8>, found: &Finding<'_>, said: &str) {
        let Some(Open::Text { cited }) = &mut self.open else { return };
        let first = !std::mem::replace(cited, true);
        match self.shape {
            Shape::Whole => out.extend_from_slice(if first { br#"","citations":["# } else { b"," }),
            Shape::Events => {
                self.open_delta(out);
                out.extend_from_slice(br#"{"type":"citations_delta","citation":"#);
            }
        }
        out.extend_from_slice(br#"{"type":"web_search_result_location","url":"#);
        json::string(out, found.url);
        out.extend_from_slice(br#","title":"#);
        json::string(out, found.title);
        out.extend_from_slice(br#","encrypted_index":"","cited_text":"#);
        json::string(out, said);
        out.push(b'}');
        if self.shape == Shape::Events {
            out.extend_from_slice(b"}}\n\n");
        }
    }

    /// Closes the open block of text, if one is open.
    pub(super) fn close_text(&mut self, out: &mut Vec<u8>) {
        let Some(Open::Text { cited }) = self.open else { return };
        match self.shape {
            Shape::Whole => out.extend_from_slice(if cited { b"]}" } else { br#""}"# }),
            Shape::Events => self.stop(out),
        }
        self.open = None;
        self.index += 1;
    }

    /// Writes a call: of `tool_use`, which the client serves, or of `server_tool_use`, which was served. `id` needs
    /// no escape; `name` is a JSON string, `input` a JSON object.
    pub(super) fn call(&mut self, out: &mut Vec<u8>, kind: &str, id: &str, name: &str, input: &str) {
        self.start(out, |out, _| {
            for piece in [r#"{"type":""#, kind, r#"","id":""#, id, r#"","name":"#, name, r#","input":"#] {
                out.extend_from_slice(piece.as_bytes());
            }
        });
        match self.shape {
            Shape::Whole => {
                out.extend_from_slice(input.as_bytes());
                out.push(b'}');
            }
            Shape::Events => {
                out.extend_from_slice(b"{}}}\n\n");
                // The first piece of Anthropic's own is empty, too.
                for (is_first, piece) in [(true, ""), (false, input)] {
                    self.open_delta(out);
                    out.extend_from_slice(br#"{"type":"input_json_delta","partial_json":"#);
                    if is_first {
                        out.extend_from_slice(br#""""#);
                    } else {
                        json::document_as_string(out, piece);
                    }
                    out.extend_from_slice(b"}}\n\n");
                }
                self.stop(out);
            }
        }
        self.index += 1;
    }

    /// Writes a block that comes whole in both shapes: an object.
    pub(super) fn block(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        self.start(out, |out, _| write(out));
        if self.shape == Shape::Events {
            out.extend_from_slice(b"}\n\n");
            self.stop(out);
        }
        self.index += 1;
    }

    /// Begins a block, up to what `write` writes.
    fn start(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>, Shape)) {
        self.close_text(out);
        match self.shape {
            Shape::Whole if self.index > 0 => out.push(b','),
            Shape::Whole => {}
            Shape::Events => {
                out.extend_from_slice(
                    b"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":",
                );
                json::number(out, self.index);
                out.extend_from_slice(br#","content_block":"#);
            }
        }
        write(out, self.shape);
    }

    /// A piece of a string in the open block.
    fn delta(&mut self, out: &mut Vec<u8>, opening: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        match self.shape {
            Shape::Whole => write(out),
            Shape::Events => {
                self.open_delta(out);
                out.extend_from_slice(opening);
                write(out);
                out.extend_from_slice(b"\"}}\n\n");
            }
        }
    }

    fn open_delta(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":",
        );
        json::number(out, self.index);
        out.extend_from_slice(br#","delta":"#);
    }

    fn stop(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":",
        );
        json::number(out, self.index);
        out.extend_from_slice(b"}\n\n");
    }
}
