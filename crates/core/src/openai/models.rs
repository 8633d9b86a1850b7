//! The list of models, and one of them: Gemini's in OpenAI's shape.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};

#[derive(Deserialize)]
struct GeminiList {
    #[serde(default)]
    models: Vec<GeminiModel>,
}

#[derive(Deserialize)]
struct GeminiModel {
    /// `models/gemini-…`
    name: String,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

/// Translates the answer to `GET /v1beta/models`, and keeps the models whose name (without `models/`) `keep`
/// wants. Gemini does not say when a model came, so `created` (seconds since 1970) stands for all.
///
/// # Errors
/// 502 where the body is no list of models.
pub fn list(gemini: &[u8], keep: &dyn Fn(&str) -> bool, created: u64) -> Result<Bytes, Error> {
    let list: GeminiList = parse(gemini)?;
    let names = list.models.iter().map(|model| plain(&model.name)).filter(|name| keep(name));
    let data = names.map(|id| model(id, created)).collect();
    Ok(write(&List { object: "list", data }))
}

/// Translates the answer to `GET /v1beta/models/…`. `id` is the name that the client asked for.
///
/// # Errors
/// 502 where the body is no model.
pub fn get(gemini: &[u8], id: &str, created: u64) -> Result<Bytes, Error> {
    parse::<GeminiModel>(gemini)?;
    Ok(write(&model(id, created)))
}

fn model(id: &str, created: u64) -> Model<'_> {
    Model { id, object: "model", created, owned_by: "google" }
}

fn plain(name: &str) -> &str {
    name.strip_prefix("models/").unwrap_or(name)
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|_| Error::new(Kind::BadGateway, "the upstream's list of models could not be understood"))
}

fn write(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("strings and numbers can be written").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_gets() {
        let gemini = br#"{"models":[{"name":"models/gemini-3.5-flash","version":"1"},{"name":"models/aqa"},{"name":"tunedModels/a"}],"nextPageToken":"x"}"#;
        let check = |result: Result<Bytes, Error>, expected: &str| {
            assert_eq!(String::from_utf8_lossy(&result.expect("translates")), expected);
        };
        check(
            list(gemini, &|name| name != "aqa", 7),
            r#"{"object":"list","data":[{"id":"gemini-3.5-flash","object":"model","created":7,"owned_by":"google"},{"id":"tunedModels/a","object":"model","created":7,"owned_by":"google"}]}"#,
        );
        check(list(b"{}", &|_| true, 7), r#"{"object":"list","data":[]}"#);
        check(
            get(br#"{"name":"models/gemini-3.5-flash"}"#, "gpt-5", 7),
            r#"{"id":"gpt-5","object":"model","created":7,"owned_by":"google"}"#,
        );
        assert_eq!(list(b"[", &|_| true, 7).map_err(|error| error.kind), Err(Kind::BadGateway));
        assert_eq!(get(b"{}", "a", 7).map_err(|error| error.kind), Err(Kind::BadGateway));
    }
}
