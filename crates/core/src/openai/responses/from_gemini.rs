//! A whole answer: `generateContent` to `response`.

use bytes::Bytes;

use super::Context;
use super::events::Events;
use super::output::Output;
use crate::error::{Error, Kind};
use crate::gemini::count;
use crate::gemini::response::GenerateContentResponse;
use crate::signatures::Issued;

/// Translates the body of a successful answer. With it comes what has to be remembered of its calls.
///
/// # Errors
/// 502 where the body is no answer, or has neither a candidate nor a reason for having none; the status that
/// it names where it is an error.
pub fn answer(body: &[u8], context: &Context) -> Result<(Bytes, Vec<Issued>), Error> {
    let response = GenerateContentResponse::read(body)?;
    if response.candidates.is_empty() && response.blocked().is_none() {
        return Err(Error::new(Kind::BadGateway, "the upstream's answer holds no candidate"));
    }
    let mut output = Output::new(context, Events::silent());
    let mut unheard = Vec::new();
    output.push(&response, body.len(), context, &mut unheard)?;
    let answer = output.finish(context, &mut unheard);
    Ok((answer.into(), output.take_issued()))
}

/// Translates the answer to `countTokens`.
///
/// # Errors
/// 502 where the body is no count.
pub fn count(body: &[u8]) -> Result<Bytes, Error> {
    let tokens = count::tokens(body)?;
    Ok(format!(r#"{{"object":"response.input_tokens","input_tokens":{tokens}}}"#).into())
}
