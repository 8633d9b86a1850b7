//! What is said in a session: setup, turns, tools, and taking up an earlier session.
//!
//! Texts of the client may hold directives, besides those of [`directive`](crate::directive):
//!
//! - `{{close=1011:Internal error encountered.}}`: the session is closed like this.
//! - `{{go_away=30}}`: it is told that so many seconds are left.

use std::iter;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::Service;
use crate::answer;
use crate::directive::{self, Directives};
use crate::json::{field, list, spells, text};
use crate::models::Model;

/// What the simulator does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// Sends a message.
    Message(Value),
    /// Sends one many times.
    Many { value: Value, count: usize, delay: Duration },
    /// Closes with a code and a reason.
    Close(u16, String),
}

/// A session.
#[derive(Debug)]
pub(super) struct Talk {
    service: Service,
    version: &'static str,
    project: u64,
    /// The model that a token grants.
    granted: Option<String>,
    setup: Option<Setup>,
    /// Turns so far, those of the sessions that this one goes on with among them.
    turns: u64,
    /// What the client has said since the last turn.
    heard: String,
    /// The call whose answer is waited for.
    call: Option<String>,
    calls: u64,
}

#[derive(Debug)]
struct Setup {
    in_sound: bool,
    transcribes: bool,
    resumable: bool,
    functions: Vec<String>,
}

/// What messages of the client there are.
const MESSAGES: [&str; 7] = [
    "setup",
    "clientContent",
    "realtimeInput",
    "toolResponse",
    "contextUpdate",
    // Of music.
    "musicGenerationConfig",
    "playbackControl",
];

/// Silence of a few samples.
const SOUND: &str = "AwAaACYAHQA0ADMAAwALACsASQDY/7j/PQA3ABMA5v8U";

impl Talk {
    pub(super) fn new(service: Service, version: &'static str, project: u64) -> Self {
        let (turns, calls) = (0, 0);
        let (granted, setup, call, heard) = (None, None, None, String::new());
        Self { service, version, project, granted, setup, turns, heard, call, calls }
    }

    /// The same for the holder of a token that grants this setup.
    pub(super) fn within(mut self, constraint: &Value) -> Self {
        let model = text(field(constraint, "setup").unwrap_or(constraint), "model");
        self.granted = (!model.is_empty()).then(|| model.to_owned());
        self
    }

    /// What is said to a message. `admit` decides about the key.
    pub(super) fn hear(
        &mut self,
        message: &str,
        admit: impl FnOnce(&'static Model) -> Result<(), Said>,
    ) -> Vec<Said> {
        let said = self.listen(message, admit);
        said.unwrap_or_else(|close| vec![close])
    }

    fn listen(
        &mut self,
        message: &str,
        admit: impl FnOnce(&'static Model) -> Result<(), Said>,
    ) -> Result<Vec<Said>, Said> {
        let invalid = |what: &str| Said::Close(1007, format!("Invalid JSON payload received. {what}"));
        let message: Value = serde_json::from_str(message).map_err(|_| invalid("Unexpected token."))?;
        let fields = message.as_object().ok_or_else(|| invalid("Not an object."))?;
        for name in fields.keys() {
            if !MESSAGES.iter().any(|known| spells(name, known)) {
                return Err(invalid(&format!("Unknown name \"{name}\": Cannot find field.")));
            }
        }
        if let Some(setup) = field(&message, "setup") {
            if self.setup.is_some() {
                return Err(Said::Close(1007, "setup must be sent only once.".to_owned()));
            }
            return self.begin(setup, admit);
        }
        if self.setup.is_none() {
            return Err(Said::Close(1007, "The first message must be setup.".to_owned()));
        }
        if let Some(content) = field(&message, "clientContent") {
            if self.service == Service::Music {
                return Ok(vec![Said::Message(music())]);
            }
            self.heard.push_str(&answer::last_user_text(&json!({ "contents": list(content, "turns") })));
            let is_over = field(content, "turnComplete").is_some_and(|over| over == &json!(true));
            return if is_over { self.turn() } else { Ok(Vec::new()) };
        }
        if let Some(input) = field(&message, "realtimeInput") {
            self.heard.push_str(text(input, "text"));
            if field(input, "audio").is_some() || !list(input, "mediaChunks").is_empty() {
                self.heard.push_str("(sound)");
            }
            let ends = ["text", "audioStreamEnd", "activityEnd"];
            let is_over = ends.iter().any(|end| field(input, end).is_some());
            return if is_over { self.turn() } else { Ok(Vec::new()) };
        }
        if let Some(response) = field(&message, "toolResponse") {
            return self.called(response);
        }
        Ok(Vec::new())
    }

    fn begin(
        &mut self,
        setup: &Value,
        admit: impl FnOnce(&'static Model) -> Result<(), Said>,
    ) -> Result<Vec<Said>, Said> {
        let named = self.granted.as_deref().unwrap_or_else(|| text(setup, "model"));
        let Some(name) = named.strip_prefix("models/") else {
            let what = "* BidiGenerateContentRequest.setup.model: unexpected model name format\n";
            return Err(Said::Close(1007, what.to_owned()));
        };
        let Some(model) = Model::live(name) else {
            let version = self.version;
            let what = format!(
                "models/{name} is not found for API version {version}, or is not supported for \
                 bidiGenerateContent. Call ListModels to see the list of available models."
            );
            return Err(Said::Close(1008, what));
        };
        admit(model)?;
        let resumption = field(setup, "sessionResumption");
        if let Some(handle) = resumption.and_then(|resumption| field(resumption, "handle")?.as_str()) {
            match read_handle(handle) {
                Some((project, turns)) if project == self.project => self.turns = turns,
                _ => return Err(Said::Close(1008, "BidiGenerateContent session not found".to_owned())),
            }
        }
        let modalities =
            field(setup, "generationConfig").map_or(&[][..], |it| list(it, "responseModalities"));
        let declared = list(setup, "tools").iter().flat_map(|tool| list(tool, "functionDeclarations"));
        self.setup = Some(Setup {
            in_sound: !modalities.contains(&json!("TEXT")),
            transcribes: field(setup, "outputAudioTranscription").is_some(),
            resumable: resumption.is_some(),
            functions: declared.map(|function| text(function, "name").to_owned()).collect(),
        });
        let complete = Said::Message(json!({ "setupComplete": {} }));
        Ok(iter::once(complete).chain(self.handle()).collect())
    }

    /// The name under which the session goes on.
    fn handle(&self) -> Option<Said> {
        self.setup.as_ref().filter(|setup| setup.resumable)?;
        let handle = BASE64.encode(format!("session {} {}", self.project, self.turns));
        Some(Said::Message(json!({ "sessionResumptionUpdate": { "newHandle": handle, "resumable": true } })))
    }

    /// The client has had its say.
    fn turn(&mut self) -> Result<Vec<Said>, Said> {
        let heard = std::mem::take(&mut self.heard);
        let Some(setup) = &self.setup else { return Ok(Vec::new()) };
        if let Some(close) = value(&heard, "close") {
            let (code, reason) = close.split_once(':').unwrap_or((close, ""));
            return Err(Said::Close(code.parse().unwrap_or(1011), reason.to_owned()));
        }
        let directives = Directives::read(&heard).map_err(|what| Said::Close(1007, what))?;
        let scripted = directive::calls(&heard).map_err(|what| Said::Close(1007, what))?;
        let called = scripted.into_iter().next().map(|call| (call.name.to_owned(), call.args));
        let called = called.or_else(|| {
            let named = setup.functions.iter().find(|name| !name.is_empty() && heard.contains(*name))?;
            Some((named.clone(), None))
        });
        let mut said = Vec::new();
        if let Some(seconds) = value(&heard, "go_away") {
            said.push(Said::Message(json!({ "goAway": { "timeLeft": format!("{seconds}s") } })));
        }
        if let Some((name, args)) = called.filter(|(name, _)| setup.functions.contains(name)) {
            self.calls += 1;
            let id = format!("function-call-{}", self.calls);
            self.call = Some(id.clone());
            let args = args.unwrap_or_else(|| json!({ "city": "Lisbon" }));
            let call = json!({ "toolCall": { "functionCalls": [{ "id": id, "name": name, "args": args }] } });
            said.push(Said::Message(call));
            return Ok(said);
        }
        let shape = directives.shape;
        if shape.chunks > 0 {
            let filling = "x".repeat(shape.chunk_bytes);
            let value = json!({ "serverContent": { "modelTurn": { "parts": [{ "text": filling }] } } });
            said.push(Said::Many { value, count: shape.chunks, delay: directives.delay });
        }
        let words = format!("You said “{}”.", heard.chars().take(80).collect::<String>());
        said.extend(self.answer(&words, answer::tokens(&heard)));
        Ok(said)
    }

    fn called(&mut self, response: &Value) -> Result<Vec<Said>, Said> {
        let Some(waits) = self.call.take() else {
            return Err(Said::Close(1007, "There is no function call to respond to.".to_owned()));
        };
        let responses = list(response, "functionResponses");
        let Some(response) = responses.iter().find(|response| text(response, "id") == waits) else {
            return Err(Said::Close(1007, "The function responses lack the id of the call.".to_owned()));
        };
        let result = field(response, "response").map(Value::to_string).unwrap_or_default();
        let words = format!("The function says {result}.");
        Ok(self.answer(&words, answer::tokens(&result)).collect())
    }

    /// A whole turn of the model.
    fn answer(&mut self, words: &str, heard: u64) -> impl Iterator<Item = Said> + use<> {
        self.turns += 1;
        let words = format!("Turn {}. {words}", self.turns);
        let (in_sound, transcribes) =
            self.setup.as_ref().map_or((false, false), |setup| (setup.in_sound, setup.transcribes));
        let part = |part: Value| json!({ "serverContent": { "modelTurn": { "parts": [part] } } });
        let mut said = Vec::new();
        if in_sound {
            said.push(part(json!({ "inlineData": { "mimeType": "audio/pcm;rate=24000", "data": SOUND } })));
            if transcribes {
                said.push(json!({ "serverContent": { "outputTranscription": { "text": words } } }));
            }
        } else {
            let half = words.floor_char_boundary(words.len() / 2);
            said.extend([&words[..half], &words[half..]].map(|half| part(json!({ "text": half }))));
        }
        let spoken = answer::tokens(&words);
        said.push(json!({ "serverContent": { "generationComplete": true } }));
        said.push(json!({
            "serverContent": { "turnComplete": true },
            "usageMetadata": {
                "promptTokenCount": heard,
                "responseTokenCount": spoken,
                "totalTokenCount": heard + spoken,
                "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": heard }],
            },
        }));
        said.into_iter().map(Said::Message).chain(self.handle())
    }
}

fn music() -> Value {
    let chunk = json!({ "mimeType": "audio/l16;rate=48000;channels=2", "data": SOUND });
    json!({ "serverContent": { "audioChunks": [chunk] } })
}

/// The value of a directive: `{{name=value}}`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let insides = text.split("{{").skip(1).filter_map(|start| start.split_once("}}"));
    insides.filter_map(|(inside, _)| inside.trim().strip_prefix(name)?.strip_prefix('=')).next()
}

/// Project and turns of a handle.
fn read_handle(handle: &str) -> Option<(u64, u64)> {
    let text = String::from_utf8(BASE64.decode(handle).ok()?).ok()?;
    let (project, turns) = text.strip_prefix("session ")?.split_once(' ')?;
    Some((project.parse().ok()?, turns.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "models/gemini-live-2.5-flash-preview";

    fn talk(project: u64) -> Talk {
        Talk::new(Service::Content, "v1beta", project)
    }

    fn hear(talk: &mut Talk, message: Value) -> Vec<Value> {
        let said = talk.hear(&message.to_string(), |_| Ok(()));
        let values = said.into_iter().map(|said| match said {
            Said::Message(value) => value,
            Said::Many { count, .. } => json!({ "many": count }),
            Said::Close(code, reason) => json!({ "close": code, "reason": reason }),
        });
        values.collect()
    }

    fn setup(more: Value) -> Value {
        let mut setup = json!({ "model": MODEL, "generationConfig": { "responseModalities": ["TEXT"] } });
        for (name, value) in more.as_object().expect("an object") {
            setup[name] = value.clone();
        }
        json!({ "setup": setup })
    }

    fn says(text: &str) -> Value {
        let turns = json!([{ "role": "user", "parts": [{ "text": text }] }]);
        json!({ "clientContent": { "turns": turns, "turnComplete": true } })
    }

    #[test]
    fn a_turn_is_answered() {
        let mut talk = talk(1);
        assert_eq!(hear(&mut talk, setup(json!({}))), [json!({ "setupComplete": {} })]);
        let said = hear(&mut talk, says("hello"));
        let last = said.last().expect("an answer");
        assert_eq!(last["serverContent"]["turnComplete"], true);
        assert_eq!(last["usageMetadata"]["promptTokenCount"], 2);
        let said = hear(&mut talk, json!({ "realtime_input": { "text": "hello" } }));
        assert!(said[0]["serverContent"]["modelTurn"]["parts"][0]["text"].is_string());
    }

    #[test]
    fn a_tool_is_called_and_waited_for() {
        let mut talk = talk(1);
        let tools = json!([{ "functionDeclarations": [{ "name": "get_weather" }] }]);
        hear(&mut talk, setup(json!({ "tools": tools })));
        let said = hear(&mut talk, says("Please use get_weather."));
        let call = &said[0]["toolCall"]["functionCalls"][0];
        assert_eq!(call["name"], "get_weather");
        let response = json!({ "id": call["id"], "name": "get_weather", "response": { "celsius": 21 } });
        let said = hear(&mut talk, json!({ "toolResponse": { "functionResponses": [response] } }));
        assert!(said.iter().map(Value::to_string).collect::<String>().contains("21"));
    }

    #[test]
    fn a_session_goes_on_in_its_project_alone() {
        let mut first = talk(1);
        hear(&mut first, setup(json!({ "sessionResumption": {} })));
        let said = hear(&mut first, says("hello"));
        let handle = said.last().expect("a handle")["sessionResumptionUpdate"]["newHandle"].clone();
        let resumed = setup(json!({ "sessionResumption": { "handle": handle } }));
        let mut second = talk(1);
        assert_eq!(hear(&mut second, resumed.clone())[0], json!({ "setupComplete": {} }));
        assert!(hear(&mut second, says("again"))[0].to_string().contains("Turn 2"));
        assert_eq!(hear(&mut talk(2), resumed)[0]["close"], 1008);
    }

    #[test]
    fn what_is_wrong_is_closed() {
        let check = |message: Value, code: u16, says: &str| {
            let said = hear(&mut talk(1), message.clone());
            assert_eq!(said[0]["close"], code, "{message}");
            assert!(said[0]["reason"].as_str().expect("a reason").contains(says), "{said:?}");
        };
        check(
            json!({ "setup": { "model": "models/none" } }),
            1008,
            "models/none is not found for API version v1beta",
        );
        check(json!({ "setup": { "model": "none" } }), 1007, "model name format");
        check(says("hello"), 1007, "must be setup");
        check(json!({ "sing": 1 }), 1007, "Unknown name");
        let mut talk = talk(1);
        hear(&mut talk, setup(json!({})));
        let said = hear(&mut talk, says("{{close=1011:Deadline expired.}}"));
        assert_eq!(said, [json!({ "close": 1011, "reason": "Deadline expired." })]);
    }
}
