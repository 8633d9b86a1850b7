//! Gemini's models as Anthropic lists them.

use bytes::Bytes;
use serde::Serialize;

use crate::error::{Error, Kind};
use crate::gemini::catalogue::{Model, ModelPage};

/// Gemini has no dates for its models; Anthropic's shape demands one. Its own documentation uses the epoch where
/// a date is unknown.
const UNKNOWN_DATE: &str = "1970-01-01T00:00:00Z";

#[derive(Serialize)]
struct List<'a> {
    data: Vec<Info<'a>>,
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Info<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: &'static str,
    /// What Google lists can be asked.
    lifecycle: &'static str,
    max_input_tokens: Option<u64>,
    max_tokens: Option<u64>,
}

/// The whole list, in one page, of the models that `keep` wants.
///
/// # Errors
/// The upstream's list is no list.
pub fn list(gemini: &[u8], keep: &dyn Fn(&str) -> bool) -> Result<Bytes, Error> {
    let page: ModelPage<'_> = serde_json::from_slice(gemini).map_err(|_| not_a_list())?;
    let models = page.models.unwrap_or_default();
    let data: Vec<Info<'_>> =
        models.iter().filter(|model| keep(model.id())).map(|model| info(model, model.id())).collect();
    let ends = (data.first().map(|model| model.id), data.last().map(|model| model.id));
    let list = List { first_id: ends.0, last_id: ends.1, data, has_more: false };
    serde_json::to_vec(&list).map(Bytes::from).map_err(|_| not_a_list())
}

/// One model, under the name that the client used.
///
/// # Errors
/// The upstream's answer is no model.
pub fn get(gemini: &[u8], id: &str) -> Result<Bytes, Error> {
    let model: Model<'_> = serde_json::from_slice(gemini).map_err(|_| not_a_list())?;
    serde_json::to_vec(&info(&model, id)).map(Bytes::from).map_err(|_| not_a_list())
}

fn info<'a>(model: &'a Model<'_>, id: &'a str) -> Info<'a> {
    let display_name = model.display_name.as_deref().unwrap_or(id);
    Info {
        kind: "model",
        id,
        display_name,
        created_at: UNKNOWN_DATE,
        lifecycle: "active",
        max_input_tokens: model.input_token_limit,
        max_tokens: model.output_token_limit,
    }
}

fn not_a_list() -> Error {
    Error::new(Kind::BadGateway, "The upstream's list of models cannot be read.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_come_in_anthropics_shape() {
        let gemini = br#"{"models":[{"name":"models/a","displayName":"A","inputTokenLimit":9,"outputTokenLimit":2},{"name":"models/b"}]}"#;
        let list = list(gemini, &|model| model != "b").expect("a list");
        assert_eq!(
            std::str::from_utf8(&list).expect("JSON"),
            r#"{"data":[{"type":"model","id":"a","display_name":"A","created_at":"1970-01-01T00:00:00Z","lifecycle":"active","max_input_tokens":9,"max_tokens":2}],"has_more":false,"first_id":"a","last_id":"a"}"#
        );
        let one = get(br#"{"name":"models/a"}"#, "claude-x").expect("a model");
        assert!(std::str::from_utf8(&one).expect("JSON").contains(r#""id":"claude-x""#));
        assert!(get(b"[]", "a").is_err());
    }
}
