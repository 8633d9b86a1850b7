//! What the model says: always the same to the same request.
//!
//! It chats about the prompt, calls the functions that the prompt names, repeats what functions answered, fills
//! schemas, sees how large pictures are, and draws and speaks a little where the model can.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::directive;
use crate::fault::Fault;
use crate::json::{field, list, number, text};
use crate::models::{Kind, Model};
use crate::objects::references;
use crate::schema;
use crate::validate::{SIGNATURE_START, decode};

/// An answer, in the pieces in which a stream tells it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// At least one, unless the prompt is blocked.
    pub(crate) chunks: Vec<Chunk>,
    /// `promptFeedback.blockReason`; then there are no chunks.
    pub(crate) blocked: Option<&'static str>,
    /// How many candidates say it.
    pub(crate) candidates: usize,
    pub(crate) usage: Usage,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Chunk {
    /// None: the candidate has no content at all.
    pub(crate) parts: Option<Vec<Value>>,
    /// In the last one only.
    pub(crate) finish: Option<&'static str>,
}

/// What an answer costs, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) text: u64,
    pub(crate) images: u64,
    pub(crate) sound: u64,
    /// What came out of a cache. Counts as text.
    pub(crate) cached: u64,
    pub(crate) thoughts: u64,
}

impl Usage {
    /// All that went in.
    pub(crate) const fn prompt(self) -> u64 {
        self.text + self.images + self.sound + self.cached
    }

    /// The same by modality, as `promptTokensDetails` has it.
    pub(crate) fn details(self) -> Value {
        [("TEXT", self.text + self.cached), ("IMAGE", self.images), ("AUDIO", self.sound)]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(modality, count)| json!({ "modality": modality, "tokenCount": count }))
            .collect()
    }
}

/// A picture counts as so many tokens, whatever its size.
const IMAGE_TOKENS: u64 = 258;

/// So does a recording: as many as two seconds have.
const SOUND_TOKENS: u64 = 64;

/// Tokens of a text. Four characters make one, roughly.
pub(crate) fn tokens(text: &str) -> u64 {
    (text.chars().count() as u64).div_ceil(4)
}

/// Tokens that a request puts in.
pub(crate) fn input(request: &Value) -> Usage {
    let mut usage = Usage::default();
    let system = field(request, "systemInstruction");
    for part in list(request, "contents").iter().chain(system).flat_map(|content| list(content, "parts")) {
        if let Some(medium) = field(part, "inlineData").or_else(|| field(part, "fileData")) {
            match text(medium, "mimeType").starts_with("audio/") {
                true => usage.sound += SOUND_TOKENS,
                false => usage.images += IMAGE_TOKENS,
            }
        } else if let Some(text) = field(part, "text").and_then(Value::as_str) {
            usage.text += tokens(text);
        } else {
            usage.text += part.to_string().len() as u64 / 4;
        }
    }
    usage.text += list(request, "tools").iter().map(|tool| tool.to_string().len() as u64 / 4).sum::<u64>();
    usage.text = usage.text.max(1);
    usage
}

impl Answer {
    /// The answer of `model` to a request that was found valid.
    pub(crate) fn to(request: &Value, model: &Model) -> Self {
        let asked = Request::read(request, model);
        let mut usage = input(request);
        if model.thinking && !asked.without_thoughts {
            usage.thoughts = 12;
        }
        let mut chunks = asked.chunks();
        if asked.with_thoughts && model.thinking {
            let thought =
                json!({ "text": "**Reading the prompt**\n\nIt wants an answer.\n\n", "thought": true });
            chunks.insert(0, Chunk { parts: Some(vec![thought]), finish: None });
        }
        Self { chunks, blocked: None, candidates: asked.candidates, usage }
    }

    /// Makes the answer what a fault makes of it, as far as its content goes.
    pub(crate) fn spoil(&mut self, fault: Fault, is_stream: bool) {
        let only = |parts, finish| vec![Chunk { parts, finish: Some(finish) }];
        match fault {
            Fault::EmptyCandidate => self.chunks = only(Some(Vec::new()), "STOP"),
            Fault::NoContent => self.chunks = only(None, "MAX_TOKENS"),
            Fault::Safety => self.chunks = only(Some(Vec::new()), "SAFETY"),
            Fault::Malformed => self.chunks = only(None, "MALFORMED_FUNCTION_CALL"),
            Fault::ProjectLimited => self.chunks = only(None, "PUP_LIMITED_DISABLED"),
            Fault::Blocked => {
                self.chunks.clear();
                self.blocked = Some("PROHIBITED_CONTENT");
                self.usage.thoughts = 0;
            }
            Fault::MaxTokens => {
                self.chunks.truncate(self.chunks.len().div_ceil(2));
                if let Some(last) = self.chunks.last_mut() {
                    last.finish = Some("MAX_TOKENS");
                }
            }
            Fault::Truncated if !is_stream => {
                if let Some(last) = self.chunks.last_mut() {
                    last.finish = None;
                }
            }
            // These break a stream in its middle, so it needs one.
            Fault::EventError | Fault::RawErrorTail | Fault::Truncated | Fault::Cut | Fault::Stall
                if self.chunks.len() == 1 =>
            {
                let finish = self.chunks[0].finish.take();
                self.chunks.push(Chunk { parts: Some(vec![json!({ "text": "" })]), finish });
            }
            _ => {}
        }
    }

    /// All chunks as one, with texts and sound that follow one another joined.
    pub(crate) fn whole(&self) -> Chunk {
        let mut whole = Chunk::default();
        for chunk in &self.chunks {
            whole.finish = chunk.finish.or(whole.finish);
            let Some(parts) = &chunk.parts else { continue };
            let joined = whole.parts.get_or_insert_default();
            for part in parts {
                // Of speech only the end of a stream has no sound.
                if joined.iter().any(|part| sound(part).is_some()) && part["text"] == "" {
                    continue;
                }
                match joined.last_mut().filter(|last| follows(last, part)) {
                    Some(last) => join(last, part),
                    None => joined.push(part.clone()),
                }
            }
        }
        whole
    }
}

/// The media type of a part that is sound.
fn sound(part: &Value) -> Option<&str> {
    part.pointer("/inlineData/mimeType")?.as_str().filter(|kind| kind.starts_with("audio/"))
}

fn follows(last: &Value, part: &Value) -> bool {
    if sound(last).is_some() && sound(last) == sound(part) {
        return true;
    }
    last.get("text").is_some() && part.get("text").is_some() && last.get("thought") == part.get("thought")
}

fn join(last: &mut Value, part: &Value) {
    if let Some(data) = part.pointer("/inlineData/data").and_then(Value::as_str) {
        // A piece has a multiple of three bytes, so that its base64 has no padding.
        let joined = [text(&last["inlineData"], "data"), data].concat();
        last["inlineData"]["data"] = joined.into();
        return;
    }
    let joined = [text(last, "text"), text(part, "text")].concat();
    last["text"] = joined.into();
    if let Some(signature) = part.get("thoughtSignature") {
        last["thoughtSignature"] = signature.clone();
    }
}

/// What matters of a request.
struct Request<'a> {
    body: &'a Value,
    model: &'a Model,
    /// The last text of the user.
    prompt: String,
    config: &'a Value,
    candidates: usize,
    with_thoughts: bool,
    without_thoughts: bool,
}

impl<'a> Request<'a> {
    fn read(body: &'a Value, model: &'a Model) -> Self {
        let config = field(body, "generationConfig").unwrap_or(&Value::Null);
        let thinking = field(config, "thinkingConfig").unwrap_or(&Value::Null);
        Self {
            body,
            model,
            prompt: last_user_text(body),
            config,
            candidates: number(config, "candidateCount").map_or(1, |count| (count as usize).clamp(1, 8)),
            with_thoughts: field(thinking, "includeThoughts") == Some(&Value::Bool(true)),
            without_thoughts: number(thinking, "thinkingBudget") == Some(0.0),
        }
    }

    fn chunks(&self) -> Vec<Chunk> {
        let wants = |modality: &str| {
            list(self.config, "responseModalities")
                .iter()
                .any(|wanted| wanted.as_str().is_some_and(|wanted| wanted.eq_ignore_ascii_case(modality)))
        };
        if self.model.kind == Kind::Speech || wants("AUDIO") {
            // What is spoken comes in pieces, and the end for itself.
            let sound =
                json!({ "inlineData": { "mimeType": "audio/L16;codec=pcm;rate=24000", "data": *SPEECH } });
            let piece = Chunk { parts: Some(vec![sound]), finish: None };
            let end = Chunk { parts: Some(vec![json!({ "text": "" })]), finish: Some("STOP") };
            return vec![piece.clone(), piece, end];
        }
        if self.model.kind == Kind::Image || wants("IMAGE") {
            let picture = json!({ "inlineData": { "mimeType": "image/png", "data": PICTURE } });
            let caption = wants("TEXT").then(|| json!({ "text": "Here is a picture." }));
            let parts = caption.into_iter().chain([picture]).collect();
            return vec![Chunk { parts: Some(parts), finish: Some("STOP") }];
        }
        let calls = self.calls();
        if !calls.is_empty() {
            // Google gives every parallel call an event of its own.
            let mut chunks: Vec<Chunk> =
                calls.into_iter().map(|call| Chunk { parts: Some(vec![call]), finish: None }).collect();
            if let Some(last) = chunks.last_mut() {
                last.finish = Some("STOP");
            }
            return chunks;
        }
        let (said, finish) = self.limited(self.words());
        self.spoken(&said, finish)
    }

    /// The function calls, as parts.
    fn calls(&self) -> Vec<Value> {
        let tool_config = field(self.body, "toolConfig").unwrap_or(&Value::Null);
        let calling = field(tool_config, "functionCallingConfig").unwrap_or(&Value::Null);
        let mode = text(calling, "mode").to_ascii_uppercase();
        if mode == "NONE" || !self.function_answers().is_empty() {
            return Vec::new();
        }
        let allowed = list(calling, "allowedFunctionNames");
        let declared: Vec<&Value> = list(self.body, "tools")
            .iter()
            .flat_map(|tool| list(tool, "functionDeclarations"))
            .filter(|function| {
                allowed.is_empty() || allowed.iter().any(|name| name == text(function, "name"))
            })
            .collect();
        // Malformed ones were refused before.
        let scripted = directive::calls(&self.prompt).unwrap_or_default();
        let of_name = |name: &str| declared.iter().copied().find(|function| text(function, "name") == name);
        let scripted: Vec<_> =
            scripted.into_iter().filter_map(|call| Some((of_name(call.name)?, call.args))).collect();
        if !scripted.is_empty() {
            return scripted
                .into_iter()
                .enumerate()
                .map(|(number, (function, args))| self.call(function, args, number))
                .collect();
        }
        let mut wanted: Vec<&Value> = declared
            .iter()
            .copied()
            .filter(|function| asks_for(&self.prompt, text(function, "name")))
            .collect();
        if wanted.is_empty() && mode == "ANY" {
            wanted.extend(declared.first());
        }
        if wanted.len() == 1 && self.prompt.to_ascii_lowercase().contains("parallel") {
            wanted.push(wanted[0]);
        }
        wanted.iter().enumerate().map(|(number, function)| self.call(function, None, number)).collect()
    }

    /// A call as a part. Arguments that the prompt did not give are made up.
    fn call(&self, function: &Value, args: Option<Value>, number: usize) -> Value {
        let args = args.or_else(|| {
            let parameters =
                field(function, "parametersJsonSchema").or_else(|| field(function, "parameters"));
            parameters.map(schema::instance).filter(Value::is_object)
        });
        let mut call = json!({ "name": text(function, "name"), "args": args.unwrap_or_else(|| json!({})) });
        let mut part = json!({});
        if self.model.signs_thoughts() {
            let id = hash(&(&self.prompt, text(function, "name"), number)) % 1_000_000;
            call["id"] = json!(format!("call_{id:06}"));
        }
        part["functionCall"] = call;
        if self.model.signs_thoughts() && number == 0 {
            part["thoughtSignature"] = json!(self.signature());
        }
        part
    }

    /// What functions have answered to the model's last calls.
    fn function_answers(&self) -> Vec<&'a Value> {
        let contents = list(self.body, "contents");
        let after_model = contents.iter().rposition(|content| text(content, "role") == "model");
        contents[after_model.map_or(0, |place| place + 1)..]
            .iter()
            .flat_map(|content| list(content, "parts"))
            .filter_map(|part| field(part, "functionResponse"))
            .collect()
    }

    fn words(&self) -> String {
        let answers = self.function_answers();
        if !answers.is_empty() {
            let told: Vec<String> = answers
                .iter()
                .map(|answer| {
                    let response = field(answer, "response").unwrap_or(&Value::Null);
                    format!("{} says {response}", text(answer, "name"))
                })
                .collect();
            return format!("{}.", told.join("; "));
        }
        if text(self.config, "responseMimeType") == "application/json" {
            let schema = ["responseJsonSchema", "_responseJsonSchema", "responseSchema"]
                .iter()
                .find_map(|name| field(self.config, name));
            return schema.map_or_else(|| json!({ "ok": true }), schema::instance).to_string();
        }
        let files = references::files(self.body);
        if !files.is_empty() {
            let plural = if files.len() == 1 { "file" } else { "files" };
            return format!("I read {} {plural}: {}.", files.len(), files.join(", "));
        }
        let seen: Vec<String> = list(self.body, "contents")
            .iter()
            .flat_map(|content| list(content, "parts"))
            .filter_map(|part| field(part, "inlineData"))
            .map(|data| {
                let size = decode(text(data, "data")).map_or(0, |bytes| bytes.len());
                format!("{} of {size} bytes", text(data, "mimeType"))
            })
            .collect();
        if seen.is_empty() { small_talk(&self.prompt) } else { format!("I see {}.", seen.join(" and ")) }
    }

    /// Cut at stop sequences and at the most tokens.
    fn limited(&self, mut said: String) -> (String, &'static str) {
        let stops = list(self.config, "stopSequences").iter().filter_map(Value::as_str);
        if let Some(end) = stops.filter(|stop| !stop.is_empty()).filter_map(|stop| said.find(stop)).min() {
            said.truncate(end);
        }
        let most = number(self.config, "maxOutputTokens").map_or(usize::MAX, |most| most as usize);
        match said.char_indices().nth(most.saturating_mul(4)) {
            Some((end, _)) => {
                said.truncate(end);
                (said, "MAX_TOKENS")
            }
            None => (said, "STOP"),
        }
    }

    /// A text as a stream tells it: in at least three pieces where it is long enough, wherever they break.
    fn spoken(&self, said: &str, finish: &'static str) -> Vec<Chunk> {
        let letters: Vec<char> = said.chars().collect();
        let size = letters.len().div_ceil(3).clamp(1, 40).max(letters.len().div_ceil(64));
        let texts = letters.chunks(size).map(|piece| json!({ "text": piece.iter().collect::<String>() }));
        let mut chunks: Vec<Chunk> =
            texts.map(|part| Chunk { parts: Some(vec![part]), finish: None }).collect();
        if self.model.signs_thoughts() || chunks.is_empty() {
            // The signature of a text comes with an empty one, at the end.
            let mut last = json!({ "text": "" });
            if self.model.signs_thoughts() {
                last["thoughtSignature"] = json!(self.signature());
            }
            chunks.push(Chunk { parts: Some(vec![last]), finish: None });
        }
        if let Some(last) = chunks.last_mut() {
            last.finish = Some(finish);
        }
        chunks
    }

    fn signature(&self) -> String {
        let number = hash(&(&self.prompt, self.model.serves));
        BASE64.encode([SIGNATURE_START, format!("{number:016x}").as_bytes()].concat())
    }
}

/// The last text of the user. What agents add to a prompt about themselves is not the user's, unless there is nothing
/// else.
pub(crate) fn last_user_text(body: &Value) -> String {
    let last = |is_wanted: fn(&str) -> bool| {
        list(body, "contents")
            .iter()
            .rev()
            .filter(|content| matches!(text(content, "role"), "" | "user"))
            .map(|content| {
                let texts = list(content, "parts").iter().filter_map(|part| field(part, "text")?.as_str());
                texts.filter(|text| is_wanted(text)).collect::<Vec<_>>().join(" ")
            })
            .find(|text| !text.is_empty())
    };
    last(|text| !directive::is_added(text)).or_else(|| last(|_| true)).unwrap_or_default()
}

/// Whether a prompt says to use or call this function, the two in one sentence.
fn asks_for(prompt: &str, name: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    prompt.split(['.', '\n']).any(|sentence| {
        let Some(place) = sentence.match_indices(name).map(|(place, _)| place).find(|place| {
            !sentence[..*place].ends_with(is_word) && !sentence[place + name.len()..].starts_with(is_word)
        }) else {
            return false;
        };
        let before = &sentence[..place];
        before
            .split(|letter| !is_word(letter))
            .any(|word| word.eq_ignore_ascii_case("use") || word.eq_ignore_ascii_case("call"))
    })
}

fn small_talk(prompt: &str) -> String {
    const REMARKS: &[&str] = &[
        "That is a fine thing to ask a model that only pretends to be one.",
        "I would have to think about that, if I could think.",
        "Somebody should write a test about it.",
        "The answer is left as an exercise to the real Gemini.",
    ];
    let start: String = prompt.trim().chars().take(80).collect();
    let more = if start.len() < prompt.trim().len() { "…" } else { "" };
    let remark = REMARKS[hash(prompt) as usize % REMARKS.len()];
    format!("Hello from the simulated Gemini. You said “{start}{more}”. {remark}")
}

/// The same on every machine and in every version that has the same `DefaultHasher`, which is enough here.
pub(crate) fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A vector for a text: the same for the same, of length 1.
pub(crate) fn embedding(text: &str, dimensions: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(hash(text));
    let mut values: Vec<f32> = (0..dimensions).map(|_| random.f32() - 0.5).collect();
    normalise(&mut values);
    values
}

/// Brings a vector to length 1.
pub(crate) fn normalise(values: &mut [f32]) {
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        values.iter_mut().for_each(|value| *value /= length);
    }
}

/// The answer of `predict`: as many pictures as `parameters.sampleCount` says, at most four.
pub(crate) fn paintings(request: &Value) -> Value {
    let parameters = field(request, "parameters").unwrap_or(&Value::Null);
    let count = number(parameters, "sampleCount").map_or(1, |count| (count as usize).clamp(1, 4));
    let painting = json!({ "mimeType": "image/png", "bytesBase64Encoded": PICTURE });
    json!({ "predictions": vec![painting; count] })
}

/// The answer of `generateAnswer`.
pub(crate) fn attributed(request: &Value) -> Value {
    let said = small_talk(&last_user_text(request));
    json!({
        "answer": { "content": { "parts": [{ "text": said }], "role": "model" }, "finishReason": "STOP", "index": 0 },
        "answerableProbability": 0.5,
    })
}

/// A picture of one pixel, as a PNG file.
const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A quarter of a second of 440 Hz.
static SPEECH: LazyLock<String> = LazyLock::new(|| {
    let wave = |sample: u32| (f64::from(sample) * 440.0 * std::f64::consts::TAU / 24_000.0).sin();
    BASE64.encode(
        (0..6_000).flat_map(|sample| ((wave(sample) * 8_000.0) as i16).to_le_bytes()).collect::<Vec<u8>>(),
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> &'static Model {
        Model::named(name).expect("test models exist")
    }

    fn ask(model_name: &str, body: Value) -> Answer {
        Answer::to(&body, model(model_name))
    }

    fn prompt(text: &str) -> Value {
        json!({ "contents": [{ "role": "user", "parts": [{ "text": text }] }] })
    }

    fn with(mut body: Value, name: &str, value: Value) -> Value {
        body[name] = value;
        body
    }

    fn said(answer: &Answer) -> String {
        let whole = answer.whole();
        whole
            .parts
            .iter()
            .flatten()
            .filter(|part| part.get("thought").is_none())
            .map(|part| text(part, "text"))
            .collect()
    }

    #[test]
    fn small_talk_is_about_the_prompt() {
        let answer = ask("gemini-2.5-flash", prompt("Grüße, 世界\u{2028}!"));
        assert!(said(&answer).contains("“Grüße, 世界\u{2028}!”"), "{}", said(&answer));
        assert!(answer.chunks.len() >= 3);
        let finished: Vec<_> = answer.chunks.iter().map(|chunk| chunk.finish.is_some()).collect();
        assert_eq!(finished.iter().filter(|finished| **finished).count(), 1);
        assert_eq!(finished.last(), Some(&true));
        assert_eq!(answer, ask("gemini-2.5-flash", prompt("Grüße, 世界\u{2028}!")));
    }

    #[test]
    fn answers_end_where_they_must() {
        let check = |config: Value, expected: &str, finish| {
            let answer = ask("gemini-2.5-flash", with(prompt("hi"), "generationConfig", config));
            assert_eq!(said(&answer), expected);
            assert_eq!(answer.whole().finish, Some(finish));
        };
        check(json!({ "maxOutputTokens": 2 }), "Hello fr", "MAX_TOKENS");
        check(json!({ "stopSequences": ["simulated", "from"] }), "Hello ", "STOP");
        check(json!({ "stopSequences": ["Hello"] }), "", "STOP");
    }

    #[test]
    fn schemas_are_filled() {
        let config = json!({
            "responseMimeType": "application/json",
            "responseSchema": { "type": "OBJECT", "properties": { "city": { "type": "STRING" } } },
        });
        let answer = ask("gemini-2.5-flash", with(prompt("a city"), "generationConfig", config));
        assert_eq!(said(&answer), r#"{"city":"Paris"}"#);
    }

    fn tools() -> Value {
        let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
        json!([{ "functionDeclarations": [
            { "name": "get_weather", "parametersJsonSchema": parameters },
            { "name": "get_time" },
        ]}])
    }

    #[test]
    fn functions_are_called_when_named() {
        let check = |text: &str, mode: &str, expected: &[&str]| {
            let config = json!({ "functionCallingConfig": { "mode": mode } });
            let body = with(with(prompt(text), "tools", tools()), "toolConfig", config);
            let whole = ask("gemini-3-flash-preview", body).whole();
            let calls: Vec<_> =
                whole.parts.iter().flatten().filter_map(|part| part.get("functionCall")).collect();
            let names: Vec<_> = calls.iter().map(|call| super::text(call, "name")).collect();
            assert_eq!(names, expected, "{text} {mode}");
        };
        check("Weather in Paris? Please use get_weather.", "AUTO", &["get_weather"]);
        check("call get_time and get_weather", "AUTO", &["get_weather", "get_time"]);
        check("use get_weather in parallel", "AUTO", &["get_weather", "get_weather"]);
        check("use get_weather_now", "AUTO", &[]);
        check("Use your head. get_weather is a name", "AUTO", &[]);
        check("hi", "ANY", &["get_weather"]);
        check("use get_weather", "NONE", &[]);
    }

    #[test]
    fn what_agents_add_is_not_the_prompt() {
        let parts = |texts: &[&str]| {
            let parts: Vec<_> = texts.iter().map(|text| json!({ "text": text })).collect();
            json!({ "contents": [{ "role": "user", "parts": parts }] })
        };
        let check = |texts: &[&str], expected: &str| assert_eq!(last_user_text(&parts(texts)), expected);
        check(&["<reminder>use get_time</reminder>\n", "hi", "<env x='1'>\ncall it</env>"], "hi");
        check(&["<reminder>one</reminder>"], "<reminder>one</reminder>");
        check(&["<b>one</b> two", "<three", "a < b >"], "<b>one</b> two <three a < b >");
    }

    #[test]
    fn calls_are_made_as_the_prompt_scripts_them() {
        let check = |text: &str, expected: &[(&str, Value)]| {
            let whole = ask("gemini-2.5-flash", with(prompt(text), "tools", tools())).whole();
            let calls: Vec<_> =
                whole.parts.iter().flatten().filter_map(|part| part.get("functionCall")).collect();
            let calls: Vec<_> =
                calls.iter().map(|call| (super::text(call, "name"), call["args"].clone())).collect();
            assert_eq!(calls, expected, "{text}");
        };
        check(r#"{{call=get_weather {"city": "Riga"}}}"#, &[("get_weather", json!({ "city": "Riga" }))]);
        check(
            r#"{{call=get_time}} {{call=get_weather}}"#,
            &[("get_time", json!({})), ("get_weather", json!({ "city": "Paris" }))],
        );
        check(r#"{{call=not_declared {"a": 1}}}"#, &[]);
    }

    #[test]
    fn the_first_call_is_signed_and_its_answer_repeated() {
        let body = with(prompt("use get_weather in parallel"), "tools", tools());
        let answer = ask("gemini-3-flash-preview", body.clone());
        assert_eq!(answer.chunks.len(), 2, "every call has an event of its own");
        let part = |number: usize| answer.chunks[number].parts.as_ref().expect("there are parts")[0].clone();
        assert!(!text(&part(0), "thoughtSignature").is_empty());
        assert!(part(1).get("thoughtSignature").is_none());
        assert_eq!(part(0)["functionCall"]["args"], json!({ "city": "Paris" }));
        assert_ne!(part(0)["functionCall"]["id"], part(1)["functionCall"]["id"]);
        let mut body = body;
        let contents = body["contents"].as_array_mut().expect("contents are a list");
        contents.push(json!({ "role": "model", "parts": [part(0), part(1)] }));
        let response = json!({ "functionResponse": { "name": "get_weather", "response": { "temp_c": 21 } } });
        contents.push(json!({ "role": "user", "parts": [response, response] }));
        assert!(crate::validate::generate(&body, model("gemini-3-flash-preview")).is_ok());
        assert!(said(&ask("gemini-3-flash-preview", body)).contains(r#"get_weather says {"temp_c":21}"#));
    }

    #[test]
    fn thoughts_pictures_and_speech() {
        let thinking = json!({ "thinkingConfig": { "includeThoughts": true } });
        let answer = ask("gemini-2.5-flash", with(prompt("hi"), "generationConfig", thinking));
        assert_eq!(answer.chunks[0].parts.as_ref().expect("there are parts")[0]["thought"], true);
        assert_eq!(answer.usage.thoughts, 12);
        let picture = json!({ "inline_data": { "mime_type": "image/png", "data": PICTURE } });
        let body = json!({ "contents": [{ "parts": [picture, { "text": "what is it?" }] }] });
        let answer = ask("gemini-2.5-flash", body);
        assert_eq!(said(&answer), "I see image/png of 70 bytes.");
        assert_eq!(answer.usage.images, 258);
        let mime = |answer: Answer| {
            let parts = answer.whole().parts.unwrap_or_default();
            parts
                .iter()
                .filter_map(|part| part.pointer("/inlineData/mimeType")?.as_str().map(str::to_owned))
                .collect::<Vec<_>>()
        };
        assert_eq!(mime(ask("gemini-2.5-flash-image", prompt("draw"))), ["image/png"]);
        assert_eq!(
            mime(ask("gemini-2.5-flash-preview-tts", prompt("say"))),
            ["audio/L16;codec=pcm;rate=24000"]
        );
    }

    #[test]
    fn embeddings_have_length_one() {
        let vector = embedding("text", 256);
        assert_eq!(vector, embedding("text", 256));
        assert_ne!(vector, embedding("other", 256));
        assert!((vector.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-4);
    }
}
