//! `countTokens`: how many tokens a request would have.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::remote::Written;
use crate::error::{Error, Kind};

/// The body for `models/{model}:countTokens`, of one for `generateContent`.
pub fn body(written: Written, model: &str) -> Written {
    /// The one form that counts tools and instructions, too. It wants the model again, inside.
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Count<'a> {
        generate_content_request: &'a RawValue,
    }
    let body = std::str::from_utf8(&written.body).unwrap_or("{}");
    let name = match model.strip_prefix("tunedModels/") {
        Some(_) => serde_json::to_string(model),
        None => serde_json::to_string(&format!("models/{model}")),
    };
    let model = name.expect("a string can be written");
    let inside = format!(r#"{{"model":{model},{}"#, body.strip_prefix('{').unwrap_or("}"));
    let inside = RawValue::from_string(inside).expect("a member before others makes an object");
    let body =
        serde_json::to_vec(&Count { generate_content_request: &inside }).expect("JSON in an object is JSON");
    Written { body: Bytes::from(body), ..written }
}

/// What the answer says.
///
/// # Errors
/// 502 where the body is no count.
pub fn tokens(body: &[u8]) -> Result<u64, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Count {
        #[serde(default)]
        total_tokens: u64,
    }
    let count: Count = serde_json::from_slice(body)
        .map_err(|_| Error::new(Kind::BadGateway, "the upstream's answer is no count of tokens"))?;
    Ok(count.total_tokens)
}
