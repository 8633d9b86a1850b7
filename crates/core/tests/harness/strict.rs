//! A Gemini 3 that refuses what Google refuses: a step whose first call has no signature or not its own, calls and
//! results that do not match. It calls functions for a while and then says something.

use std::collections::HashMap;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::Canned;

/// What Google takes in place of a lost signature.
const STAND_IN: &str = "skip_thought_signature_validator";

/// The strict upstream.
#[derive(Debug, Default)]
pub struct Strict {
    /// By signature: the id, name and arguments of the call that it was given with.
    signed: HashMap<String, Value>,
    issued: u64,
    /// Whether a call may come back under another id than it was made with.
    pub any_id: bool,
    /// Stand-ins that came in place of signatures.
    pub stand_ins: u32,
    /// Why requests were refused.
    pub refused: Vec<String>,
}

impl Strict {
    /// How many signatures were given out.
    pub fn signatures(&self) -> usize {
        self.signed.len()
    }

    /// Answers a request: with calls while fewer than `steps` were made since the user spoke, every other time
    /// two at once; then with words.
    pub fn answer(&mut self, request: &Request<Option<Bytes>>, steps: usize) -> Canned {
        let body: Value =
            serde_json::from_slice(request.body().as_deref().unwrap_or_default()).expect("JSON goes up");
        let contents = body["contents"].as_array().expect("contents");
        let step = match self.check(contents) {
            Ok(step) => step,
            Err(problem) => {
                self.refused.push(problem.clone());
                let error =
                    json!({ "error": { "code": 400, "message": problem, "status": "INVALID_ARGUMENT" } });
                return Canned::json(400, error.to_string());
            }
        };
        let parts = if step >= steps {
            json!([{ "text": "Done." }, { "text": "", "thoughtSignature": self.sign(&json!("text")) }])
        } else {
            let calls: Vec<Value> = (0..=step % 2)
                .map(|number| {
                    self.issued += 1;
                    // The same function with the same arguments, told apart by nothing but its id.
                    let call =
                        json!({ "id": format!("fc{}", self.issued), "name": "look", "args": {"at": step} });
                    match number {
                        0 => json!({ "thoughtSignature": self.sign(&call), "functionCall": call }),
                        _ => json!({ "functionCall": call }),
                    }
                })
                .collect();
            calls.into()
        };
        if !request.uri().path().ends_with(":streamGenerateContent") {
            let answer = json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": "STOP" }] });
            return Canned::json(200, answer.to_string());
        }
        // Each part in an event of its own, as Gemini sends parallel calls.
        let mut events = String::new();
        for part in parts.as_array().expect("parts") {
            let event = json!({ "candidates": [{ "content": { "parts": [part] } }] });
            events.push_str(&format!("data: {event}\r\n\r\n"));
        }
        events.push_str("data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\r\n\r\n");
        Canned::sse(events)
    }

    /// Whether a signature was given with this call.
    fn made(&self, signature: &str, call: &Value) -> bool {
        let Some(signed) = self.signed.get(signature) else { return false };
        let same = |name: &str| signed[name] == call[name];
        same("name") && same("args") && (self.any_id || same("id"))
    }

    fn sign(&mut self, what: &Value) -> String {
        // Standard base64 with the characters that the alphabet for URLs does not have.
        let signature = format!("+/{:06}", self.signed.len());
        self.signed.insert(signature.clone(), what.clone());
        signature
    }

    /// How many steps were made since the user spoke last.
    fn check(&mut self, contents: &[Value]) -> Result<usize, String> {
        let parts = |turn: &Value| turn["parts"].as_array().cloned().unwrap_or_default();
        let mut steps = 0;
        for (number, turn) in contents.iter().enumerate() {
            let said = parts(turn);
            let of = |name: &str| -> Vec<Value> {
                said.iter().map(|part| part[name].clone()).filter(|value| !value.is_null()).collect()
            };
            if turn["role"] == "user" && of("functionResponse").is_empty() {
                steps = 0;
            }
            let calls = of("functionCall");
            if calls.is_empty() {
                continue;
            }
            steps += 1;
            let signatures: Vec<&Value> = said
                .iter()
                .filter(|part| !part["functionCall"].is_null())
                .map(|part| &part["thoughtSignature"])
                .collect();
            match signatures[0].as_str() {
                Some(STAND_IN) => self.stand_ins += 1,
                None => {
                    return Err(format!("Function call is missing a thought_signature, position {number}."));
                }
                Some(signature) if !self.made(signature, &calls[0]) => {
                    return Err("Thought signature is not valid.".to_owned());
                }
                Some(_) => {}
            }
            if signatures[1..].iter().any(|signature| !signature.is_null()) {
                return Err("A parallel call must not be signed.".to_owned());
            }
            let answered: Vec<Value> = contents.get(number + 1).map(parts).unwrap_or_default();
            let ids = |values: &[Value]| values.iter().map(|value| value["id"].clone()).collect::<Vec<_>>();
            let responses: Vec<Value> =
                answered.iter().map(|part| part["functionResponse"].clone()).collect();
            if ids(&responses) != ids(&calls) {
                return Err("Function responses do not match the calls.".to_owned());
            }
        }
        Ok(steps)
    }
}
