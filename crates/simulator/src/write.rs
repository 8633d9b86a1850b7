//! Answers as bytes: one object, server-sent events, or an array that grows; and answers of a size that was asked
//! for, which are made once and kept.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Answer, Chunk, Usage, hash, tokens};
use crate::directive::Shape;
use crate::errors::Form;
use crate::json;
use crate::models::Model;

/// The bytes of an answer: the one object; or an event a chunk; or an element a chunk and the closing bracket.
pub(crate) fn answer(answer: &Answer, model: &Model, form: Form, id: u64) -> Arc<[Bytes]> {
    let about = About {
        model,
        id: response_id(id),
        usage: answer.usage,
        candidates: answer.candidates,
        details: Details::Told,
    };
    if let Some(reason) = answer.blocked {
        let mut object = json!({ "promptFeedback": { "blockReason": reason } });
        about.finish(&mut object, 0, false);
        return frame([object], form);
    }
    if form == Form::Single {
        let whole = answer.whole();
        let said = said(&whole);
        return frame([about.object(&whole, said)], form);
    }
    let mut so_far = 0;
    let objects = answer.chunks.iter().map(|chunk| {
        so_far += said(chunk);
        about.object(chunk, so_far)
    });
    frame(objects, form)
}

/// An answer of a size that was asked for.
///
/// A stream has `chunks` events, which together have `bytes` bytes of text, or each `chunk_bytes` bytes in all. What
/// is not asked for is chosen: 128 bytes of text an event.
fn shaped(model: &Model, form: Form, shape: Shape, prompt_tokens: u64) -> Arc<[Bytes]> {
    const TEXT_OF_A_CHUNK: usize = 128;
    let usage = Usage { text: prompt_tokens, ..Usage::default() };
    let about =
        About { model, id: response_id(hash(&shape)), usage, candidates: 1, details: Details::LeftOut };
    let chunk = |text: String, is_last: bool| Chunk {
        parts: Some(vec![json!({ "text": text })]),
        finish: is_last.then_some("STOP"),
    };
    let chunks = match (shape.chunks, form) {
        (_, Form::Single) => 1,
        (0, _) => shape.bytes.div_ceil(TEXT_OF_A_CHUNK).max(1),
        (chunks, _) => chunks,
    };
    let bytes = match shape {
        Shape { bytes: 0, chunks, .. } => chunks.max(1) * TEXT_OF_A_CHUNK,
        Shape { bytes, .. } => bytes,
    };
    let objects = (0..chunks).map(|number| {
        let is_last = number + 1 == chunks;
        let before = bytes * number / chunks;
        let up_to = bytes * (number + 1) / chunks;
        // By its place and not by its text, so that an event's length does not hang on itself.
        let tokens = (up_to as u64).div_ceil(4);
        let object =
            |size: usize| about.object(&chunk(filler(number * TEXT_OF_A_CHUNK, size), is_last), tokens);
        if shape.chunk_bytes == 0 || form == Form::Single {
            return object(up_to - before);
        }
        let least = frame_one(&object(1), form, number == 0).len();
        object(1 + shape.chunk_bytes.saturating_sub(least))
    });
    frame(objects, form)
}

/// Text of so many bytes, beginning somewhere in an endless sentence.
fn filler(start: usize, bytes: usize) -> String {
    const SENTENCE: &str = "The quick simulated fox streams over the lazy load balancer, again and again. ";
    SENTENCE.chars().cycle().skip(start % SENTENCE.len()).take(bytes).collect()
}

/// Shaped answers that were made before.
#[derive(Debug, Default)]
pub(crate) struct ShapedAnswers {
    made: VecDeque<(ShapeKey, Arc<[Bytes]>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ShapeKey {
    model: &'static str,
    form: Form,
    shape: Shape,
    prompt_tokens: u64,
}

impl ShapedAnswers {
    /// More shapes than one benchmark has.
    const MOST: usize = 64;
    /// Larger answers are made anew each time.
    const LARGEST: usize = 1 << 20;

    /// The answer, made once for the same request.
    pub(crate) fn answer(
        &mut self,
        model: &'static Model,
        form: Form,
        shape: Shape,
        prompt_tokens: u64,
    ) -> Arc<[Bytes]> {
        let key = ShapeKey { model: model.id, form, shape, prompt_tokens };
        if let Some((_, pieces)) = self.made.iter().find(|(known, _)| *known == key) {
            return Arc::clone(pieces);
        }
        let pieces = shaped(model, form, shape, prompt_tokens);
        if pieces.iter().map(Bytes::len).sum::<usize>() <= Self::LARGEST {
            self.made.truncate(Self::MOST - 1);
            self.made.push_front((key, Arc::clone(&pieces)));
        }
        pieces
    }
}

/// What every object of an answer says.
struct About<'a> {
    model: &'a Model,
    id: String,
    usage: Usage,
    candidates: usize,
    details: Details,
}

/// Whether the usage is told by modality and tier.
#[derive(PartialEq, Eq)]
enum Details {
    Told,
    /// As older models do, so that an event of 300 bytes has room for a text.
    LeftOut,
}

impl About<'_> {
    /// A `GenerateContentResponse`. `said`: the candidates' tokens up to here.
    fn object(&self, chunk: &Chunk, said: u64) -> Value {
        let calls = |part: &Value| part.get("functionCall").is_some();
        let candidates: Vec<Value> = (0..self.candidates)
            .map(|index| {
                let mut candidate = json!({});
                if let Some(parts) = &chunk.parts {
                    candidate["content"] = match parts.as_slice() {
                        [] => json!({}),
                        parts => json!({ "parts": parts, "role": "model" }),
                    };
                }
                if let Some(finish) = chunk.finish {
                    candidate["finishReason"] = json!(finish);
                }
                candidate["index"] = json!(index);
                if chunk.finish.is_some() && chunk.parts.iter().flatten().any(calls) {
                    candidate["finishMessage"] = json!("Model generated function call(s).");
                }
                candidate
            })
            .collect();
        let mut object = json!({ "candidates": candidates });
        self.finish(&mut object, said * self.candidates as u64, chunk.finish.is_some() || said > 0);
        object
    }

    /// Adds what comes after the candidates. Counts are left out where there is nothing to count.
    fn finish(&self, object: &mut Value, said: u64, has_said: bool) {
        let thoughts = self.usage.thoughts;
        let mut usage = json!({ "promptTokenCount": self.usage.prompt() });
        if has_said && said > 0 {
            usage["candidatesTokenCount"] = json!(said);
        }
        usage["totalTokenCount"] = json!(self.usage.prompt() + said + thoughts);
        let cached = self.usage.cached;
        if cached > 0 {
            usage["cachedContentTokenCount"] = json!(cached);
        }
        if self.details == Details::Told {
            usage["promptTokensDetails"] = self.usage.details();
        }
        if cached > 0 {
            usage["cacheTokensDetails"] = json!([{ "modality": "TEXT", "tokenCount": cached }]);
        }
        if thoughts > 0 {
            usage["thoughtsTokenCount"] = json!(thoughts);
        }
        if self.details == Details::Told {
            usage["serviceTier"] = json!("standard");
        }
        object["usageMetadata"] = usage;
        object["modelVersion"] = json!(self.model.serves);
        object["responseId"] = json!(self.id);
    }
}

fn frame(objects: impl IntoIterator<Item = Value>, form: Form) -> Arc<[Bytes]> {
    let pieces =
        objects.into_iter().enumerate().map(|(number, object)| frame_one(&object, form, number == 0));
    let end = (form == Form::Array).then_some(Bytes::from_static(b"]"));
    pieces.chain(end).collect()
}

fn frame_one(object: &Value, form: Form, is_first: bool) -> Bytes {
    match form {
        Form::Single => json::pretty(object).into(),
        Form::Events => json::event(object),
        Form::Array => {
            let before: &[u8] = if is_first { b"[" } else { b",\r\n" };
            [before, &json::pretty(object)].concat().into()
        }
    }
}

/// Tokens of what a chunk says aloud.
fn said(chunk: &Chunk) -> u64 {
    let parts = chunk.parts.iter().flatten().filter(|part| part.get("thought").is_none());
    parts
        .map(|part| match (part.get("text").and_then(Value::as_str), part.get("inlineData")) {
            (Some(text), _) => tokens(text),
            (None, Some(_)) => 258,
            (None, None) => part.to_string().len() as u64 / 4,
        })
        .sum()
}

/// 23 letters, as Google's ids have.
fn response_id(number: u64) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = fastrand::Rng::with_seed(number);
    (0..23).map(|_| char::from(LETTERS[random.usize(..LETTERS.len())])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> &'static Model {
        Model::named("gemini-2.5-flash").expect("test models exist")
    }

    fn greeting() -> Answer {
        let chunk = |text: &str, finish| Chunk { parts: Some(vec![json!({ "text": text })]), finish };
        Answer {
            chunks: vec![chunk("Hello ", None), chunk("there.", Some("STOP"))],
            blocked: None,
            candidates: 1,
            usage: Usage { text: 3, thoughts: 2, ..Usage::default() },
        }
    }

    fn text(pieces: &[Bytes]) -> String {
        String::from_utf8(pieces.concat()).expect("answers are UTF-8")
    }

    #[test]
    fn events_end_in_crlf_and_repeat_the_usage() {
        let pieces = answer(&greeting(), model(), Form::Events, 1);
        let id = response_id(1);
        let expected = format!(
            "data: {{\"candidates\": [{{\"content\": {{\"parts\": [{{\"text\": \"Hello \"}}],\"role\": \"model\"}},\
             \"index\": 0}}],\"usageMetadata\": {{\"promptTokenCount\": 3,\"candidatesTokenCount\": 2,\
             \"totalTokenCount\": 7,\"promptTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": 3}}],\
             \"thoughtsTokenCount\": 2,\"serviceTier\": \"standard\"}},\"modelVersion\": \"gemini-2.5-flash\",\
             \"responseId\": \"{id}\"}}\r\n\r\n"
        );
        assert_eq!(pieces[0], expected);
        assert_eq!(pieces.len(), 2);
        let last = std::str::from_utf8(&pieces[1]).expect("answers are UTF-8");
        assert!(
            last.contains("\"finishReason\": \"STOP\"") && last.contains("\"totalTokenCount\": 9"),
            "{last}"
        );
    }

    #[test]
    fn arrays_grow_as_googles_do() {
        let body = text(&answer(&greeting(), model(), Form::Array, 1));
        assert!(body.starts_with("[{\n  \"candidates\": [\n    {\n"), "{body}");
        assert!(body.contains("\"\n}\n,\r\n{\n  \"candidates\""), "{body}");
        assert!(body.ends_with("\"\n}\n]"), "{body}");
        let read: Vec<Value> = serde_json::from_str(&body).expect("the array is JSON");
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn one_object_has_the_whole_text_for_every_candidate() {
        let two = Answer { candidates: 2, ..greeting() };
        let read: Value =
            serde_json::from_str(&text(&answer(&two, model(), Form::Single, 1))).expect("the object is JSON");
        let candidates = read["candidates"].as_array().expect("there are candidates");
        assert_eq!(candidates.len(), 2);
        for (index, candidate) in candidates.iter().enumerate() {
            assert_eq!(candidate["content"]["parts"], json!([{ "text": "Hello there." }]));
            assert_eq!(candidate["finishReason"], "STOP");
            assert_eq!(candidate["index"], index);
        }
        assert_eq!(read["usageMetadata"]["candidatesTokenCount"], 6);
    }

    #[test]
    fn blocked_prompts_have_no_candidates() {
        let blocked = Answer { chunks: Vec::new(), blocked: Some("SAFETY"), ..greeting() };
        let read: Value = serde_json::from_str(&text(&answer(&blocked, model(), Form::Single, 1)))
            .expect("the object is JSON");
        assert_eq!(read["promptFeedback"]["blockReason"], "SAFETY");
        assert_eq!(read.get("candidates"), None);
        assert_eq!(read["usageMetadata"].get("candidatesTokenCount"), None);
    }

    #[test]
    fn shapes_are_kept_to_the_byte() {
        let mut answers = ShapedAnswers::default();
        let mut made = |form, bytes, chunks, chunk_bytes| {
            answers.answer(model(), form, Shape { bytes, chunks, chunk_bytes }, 500)
        };
        let texts = |pieces: &[Bytes]| -> String {
            let events = pieces.iter().map(|piece| {
                let line = piece.strip_prefix(b"data: ").unwrap_or(piece);
                let event: Value = serde_json::from_slice(line).expect("events are JSON");
                event["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap_or_default().to_owned()
            });
            events.collect()
        };
        assert_eq!(texts(&made(Form::Single, 4096, 0, 0)).len(), 4096);
        let stream = made(Form::Events, 4096, 50, 0);
        assert_eq!((stream.len(), texts(&stream).len()), (50, 4096));
        let stream = made(Form::Events, 0, 200, 300);
        assert_eq!(stream.len(), 200);
        assert!(stream.iter().all(|event| event.len() == 300));
        // The last one says how it ended.
        assert!(stream[199].windows(12).any(|window| window == b"finishReason"));
        assert_eq!(made(Form::Events, 1000, 0, 0).len(), 8);
        assert_eq!(made(Form::Array, 0, 3, 0).len(), 4);
        let first = made(Form::Events, 0, 5, 0);
        assert!(Arc::ptr_eq(&first, &made(Form::Events, 0, 5, 0)));
        for size in 0..200 {
            made(Form::Single, size + 1, 0, 0);
        }
        assert!(answers.made.len() <= ShapedAnswers::MOST);
    }
}
