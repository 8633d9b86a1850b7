//! Log probabilities.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::gemini::response::{Logprob, LogprobsResult};

#[derive(Serialize)]
struct Token {
    token: String,
    logprob: f64,
    bytes: Vec<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<Vec<Self>>,
}

/// Writes `logprobs` of a choice; `null` where there is nothing to read.
pub(super) fn write(out: &mut Vec<u8>, result: Option<&RawValue>) {
    match result.and_then(tokens) {
        Some(tokens) => {
            out.extend_from_slice(br#"{"content":"#);
            out.extend_from_slice(&tokens);
            out.extend_from_slice(br#","refusal":null}"#);
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// The tokens as a JSON array; none where there is nothing to read.
pub(in crate::openai) fn tokens(result: &RawValue) -> Option<Vec<u8>> {
    let result: LogprobsResult<'_> = serde_json::from_str(result.get()).ok()?;
    let mut alternatives = result.top_candidates.iter();
    let tokens: Vec<Token> = result
        .chosen_candidates
        .iter()
        .map(|chosen| {
            let top = alternatives.next().map(|top| top.candidates.as_slice()).unwrap_or_default();
            Token { top_logprobs: Some(top.iter().map(Token::of).collect()), ..Token::of(chosen) }
        })
        .collect();
    serde_json::to_vec(&tokens).ok()
}

impl Token {
    fn of(logprob: &Logprob<'_>) -> Self {
        let token = logprob.token.map(|token| token.decode().into_owned()).unwrap_or_default();
        Self {
            bytes: token.clone().into_bytes(),
            token,
            logprob: logprob.log_probability,
            top_logprobs: None,
        }
    }
}
