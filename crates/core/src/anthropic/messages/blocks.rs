//! Parts of an answer as content blocks, the same for whole answers and for events.
//!
//! Where the client has thinking on, it gets a block of thoughts before whatever Gemini has signed, with the
//! signature, empty if need be: clients hand such blocks back, and with them the signature. What the signature of a
//! text is, a stream knows only at the text's end: until then a [reference](super::signature) stands for it.

use super::Context;
use super::signature;
use super::writer::{Finding, Shape, Writer};
use crate::gemini::finish::{Finish, finish};
use crate::gemini::grounding;
use crate::gemini::piece::Piece;
use crate::gemini::response::{
    Blob, Candidate, CodeExecutionResult, FunctionCall, GroundingMetadata, Part, Text,
};
use crate::json;
use crate::signatures::{CallIds, Issued};

/// How much text is kept to place citations in. Longer answers keep those of their beginning.
const MOST_GROUNDED_TEXT: usize = 1 << 20;

/// How much of Gemini's grounding is kept until the end.
const MOST_GROUNDING: usize = 1 << 20;

/// The blocks of one answer.
#[derive(Debug)]
pub(super) struct Blocks {
    context: Context,
    writer: Writer,
    ids: CallIds,
    /// The model signs what it says, so that a text may turn out to be signed.
    signs: bool,
    /// The reference that stands for the signature of the text that is open or was last.
    reference: Option<String>,
    references: u64,
    calls: u64,
    /// Calls that Google served.
    served: u64,
    /// The call whose output is awaited.
    running: Option<String>,
    /// The text of the open block, and the grounding of all.
    text: String,
    grounding: Vec<String>,
    /// Bytes in `grounding`.
    grounding_size: usize,
    /// The search has been shown.
    searched: bool,
    /// How many searches the model made.
    searches: u64,
}

impl Blocks {
    pub(super) fn new(context: Context, shape: Shape, signs: bool) -> Self {
        Self {
            ids: context.call_ids(),
            writer: Writer::new(shape),
            context,
            signs,
            reference: None,
            references: 0,
            calls: 0,
            served: 0,
            running: None,
            text: String::new(),
            grounding: Vec::new(),
            grounding_size: 0,
            searched: false,
            searches: 0,
        }
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// How many web searches were made.
    pub(super) fn searches(&self) -> u64 {
        self.searches
    }

    /// What has to be remembered since this was last asked.
    pub(super) fn take_issued(&mut self) -> Vec<Issued> {
        self.ids.take()
    }

    /// Anthropic's word for why the answer ended.
    pub(super) fn stop_reason(&self, native: &str) -> &'static str {
        match finish(native) {
            Finish::Length => "max_tokens",
            Finish::Blocked => "refusal",
            Finish::Stop if self.calls > 0 => "tool_use",
            Finish::Stop => "end_turn",
        }
    }

    /// Writes what an answer or an event has.
    pub(super) fn push(&mut self, candidate: &Candidate<'_>, out: &mut Vec<u8>) {
        if let Some(metadata) = candidate.grounding_metadata
            && self.context.searches
        {
            self.keep_grounding(metadata.get());
        }
        let parts: Vec<&Part<'_>> =
            candidate.content.iter().flat_map(|content| content.parts.iter()).collect();
        // The signature of the text that is open, where it was known when the text began.
        let mut known = None;
        for (index, part) in parts.iter().enumerate() {
            match Piece::of(part) {
                Some(Piece::Reasoning(text)) => {
                    if self.context.thinks {
                        if !self.writer.is_thinking() {
                            self.writer.open_thinking(out);
                        }
                        self.writer.thoughts(out, text);
                    }
                }
                Some(piece @ (Piece::Text(_) | Piece::Image(_) | Piece::Audio(_))) => {
                    if !self.writer.is_saying() {
                        known = text_signature(&parts[index..]);
                        self.open_text(out, known);
                    }
                    self.say(piece, out);
                }
                Some(Piece::Call { call, signature }) => self.call(call, signature, out),
                Some(Piece::Code { code, .. }) => self.code(code, part, out),
                Some(Piece::Output(_)) | None => {
                    if let Some(result) = &part.code_execution_result {
                        self.output(result, out);
                    }
                }
            }
            if let Some(signature) = signature_of_text(part)
                && known.is_none()
            {
                self.sign_text(signature);
            }
        }
    }

    /// Ends the last block.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.writer.is_thinking() {
            self.seal(None, out);
        }
        if self.writer.is_saying() && !self.grounding.is_empty() {
            let metadata = self.grounding.iter().map(String::as_str);
            for citation in grounding::citations(metadata, &self.text) {
                let found = Finding { url: &citation.url, title: &citation.title };
                self.writer.citation(out, &found, citation.said);
            }
        }
        self.writer.close_text(out);
    }

    /// Seals the thoughts that are open; without a signature, by a reference to one that may come.
    fn seal(&mut self, signature: Option<Text<'_>>, out: &mut Vec<u8>) {
        match signature {
            Some(signature) => {
                self.reference = None;
                self.writer.seal(out, &signature.decode());
            }
            None => {
                let reference = signature::reference(self.context.unique(), self.references);
                self.references += 1;
                self.writer.seal(out, &reference);
                self.reference = Some(reference);
            }
        }
    }

    /// Begins a text, after the thoughts that led to it.
    fn open_text(&mut self, out: &mut Vec<u8>, signature: Option<Text<'_>>) {
        let may_be_signed = self.signs && self.writer.shape() == Shape::Events && self.writer.is_blank();
        if self.writer.is_thinking() {
            self.seal(signature, out);
        } else if self.context.thinks && (signature.is_some() || may_be_signed) {
            self.writer.open_thinking(out);
            self.seal(signature, out);
        }
        self.show_search(out);
        self.text.clear();
        self.writer.open_text(out);
    }

    fn say(&mut self, piece: Piece<'_, '_>, out: &mut Vec<u8>) {
        match piece {
            Piece::Text(text) => {
                if self.context.searches && self.text.len() + text.escaped().len() <= MOST_GROUNDED_TEXT {
                    self.text.push_str(&text.decode());
                }
                self.writer.text(out, |out| out.extend_from_slice(text.escaped().as_bytes()));
            }
            // There is no block for what a model draws or speaks; Markdown shows it.
            Piece::Image(blob) => self.writer.text(out, |out| markdown(out, b"![image]", blob)),
            Piece::Audio(blob) => self.writer.text(out, |out| markdown(out, b"[audio]", blob)),
            _ => {}
        }
    }

    /// The signature of a text came after its beginning.
    fn sign_text(&mut self, signature: Text<'_>) {
        if let Some(reference) = self.reference.take() {
            self.ids.note(reference, None, Some(&signature.decode()));
        }
    }

    fn call(&mut self, call: &FunctionCall<'_>, signature: Option<Text<'_>>, out: &mut Vec<u8>) {
        if self.context.single_call && self.calls > 0 {
            return;
        }
        if self.writer.is_thinking() {
            self.seal(signature, out);
        } else if self.context.thinks && signature.is_some() {
            self.writer.open_thinking(out);
            self.seal(signature, out);
        }
        self.reference = None;
        let native_id = call.id.map(Text::decode);
        let signature = signature.map(Text::decode);
        let id = self.ids.issue((0, self.calls), native_id.as_deref(), signature.as_deref());
        let mut name = Vec::new();
        let known = call.name.map(Text::decode).unwrap_or_default();
        json::string(&mut name, self.context.names.to_client(&known));
        let name = String::from_utf8(name).unwrap_or_default();
        let input = call.args.map(|args| args.get()).filter(|args| args.starts_with('{')).unwrap_or("{}");
        self.writer.call(out, "tool_use", &id, &name, input);
        self.calls += 1;
    }

    fn served_id(&mut self) -> String {
        let unique: String = self.context.unique().chars().filter(char::is_ascii_alphanumeric).collect();
        self.served += 1;
        format!("srvtoolu_{unique}_{}", self.served - 1)
    }

    /// Code that Google ran.
    fn code(&mut self, code: Text<'_>, part: &Part<'_>, out: &mut Vec<u8>) {
        let signature = part.thought_signature.filter(|signature| !signature.is_empty());
        if self.writer.is_thinking() {
            self.seal(signature, out);
        }
        let id = self.served_id();
        let input = format!(r#"{{"code":{}}}"#, code.literal());
        self.writer.call(out, "server_tool_use", &id, r#""code_execution""#, &input);
        self.running = Some(id);
    }

    /// What it printed.
    fn output(&mut self, result: &CodeExecutionResult<'_>, out: &mut Vec<u8>) {
        if self.writer.is_thinking() {
            self.seal(None, out);
        }
        let id = self.running.take().unwrap_or_else(|| self.served_id());
        let good = result.outcome.is_none_or(|outcome| outcome.escaped() == "OUTCOME_OK");
        let printed = result.output.map_or(r#""""#, Text::literal);
        self.writer.block(out, |out| {
            out.extend_from_slice(br#"{"type":"code_execution_tool_result","tool_use_id":""#);
            out.extend_from_slice(id.as_bytes());
            out.extend_from_slice(br#"","content":{"type":"code_execution_result","return_code":"#);
            let (code, stdout, stderr) = if good { ("0", printed, r#""""#) } else { ("1", r#""""#, printed) };
            for piece in [code, r#","stdout":"#, stdout, r#","stderr":"#, stderr, r#","content":[]}}"#] {
                out.extend_from_slice(piece.as_bytes());
            }
        });
    }

    fn keep_grounding(&mut self, metadata: &str) {
        if self.grounding_size + metadata.len() > MOST_GROUNDING {
            return;
        }
        self.grounding_size += metadata.len();
        if let Ok(read) = serde_json::from_str::<GroundingMetadata<'_>>(metadata) {
            // Repeated, and never fewer.
            self.searches = self.searches.max(read.web_search_queries.len() as u64);
        }
        self.grounding.push(metadata.to_owned());
    }

    /// Shows what was searched for and found, where that is known before the text that rests on it.
    fn show_search(&mut self, out: &mut Vec<u8>) {
        let Some(metadata) = self.grounding.first().filter(|_| !self.searched) else { return };
        let Ok(metadata) = serde_json::from_str::<GroundingMetadata<'_>>(metadata) else { return };
        let queries: Vec<_> = metadata.web_search_queries.iter().map(|query| query.decode()).collect();
        if queries.is_empty() {
            return;
        }
        let mut input = br#"{"query":"#.to_vec();
        json::string(&mut input, &queries.join("; "));
        input.push(b'}');
        let input = String::from_utf8(input).unwrap_or_default();
        let mut results = Vec::new();
        for source in metadata.grounding_chunks.iter().filter_map(|chunk| chunk.web.as_ref()) {
            let Some(url) = source.uri else { continue };
            results.extend_from_slice(if results.is_empty() { b"" } else { b"," });
            results.extend_from_slice(br#"{"type":"web_search_result","url":"#);
            results.extend_from_slice(url.literal().as_bytes());
            results.extend_from_slice(br#","title":"#);
            results.extend_from_slice(source.title.map_or(r#""""#, Text::literal).as_bytes());
            results.extend_from_slice(br#","encrypted_content":"","page_age":null}"#);
        }
        self.searched = true;
        let id = self.served_id();
        self.writer.call(out, "server_tool_use", &id, r#""web_search""#, &input);
        self.writer.block(out, |out| {
            out.extend_from_slice(br#"{"type":"web_search_tool_result","tool_use_id":""#);
            out.extend_from_slice(id.as_bytes());
            out.extend_from_slice(br#"","content":["#);
            out.extend_from_slice(&results);
            out.extend_from_slice(b"]}");
        });
    }
}

/// Writes data as a link that holds it, escaped and without quotes.
fn markdown(out: &mut Vec<u8>, label: &[u8], blob: &Blob<'_>) {
    out.extend_from_slice(label);
    out.extend_from_slice(b"(data:");
    out.extend_from_slice(blob.mime_type.map(Text::escaped).unwrap_or_default().as_bytes());
    out.extend_from_slice(b";base64,");
    out.extend_from_slice(blob.data.map(Text::escaped).unwrap_or_default().as_bytes());
    out.push(b')');
}

/// The signature of the text that begins with the first of `parts`, as far as it is there already.
fn text_signature<'a>(parts: &[&Part<'a>]) -> Option<Text<'a>> {
    let is_thought = |part: &&&Part<'a>| part.thought == Some(true);
    let same = parts.iter().take_while(|part| part.function_call.is_none() && !is_thought(part));
    same.filter_map(|part| signature_of_text(part)).next()
}

/// The signature of a part that is text, or data in its place, an empty one included.
fn signature_of_text<'a>(part: &Part<'a>) -> Option<Text<'a>> {
    let is_text = part.thought != Some(true) && (part.text.is_some() || part.inline_data.is_some());
    part.thought_signature.filter(|signature| is_text && !signature.is_empty())
}
