//! The list of models, as far as other dialects and the operator's filters need it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::entries::Entries;
use super::model;
use crate::error::{Error, Kind};
use crate::suffix;

/// A page of `models.list`.
#[derive(Debug, Deserialize)]
pub struct ModelPage<'a> {
    /// The models; absent where there are none.
    #[serde(borrow)]
    pub models: Option<Vec<Model<'a>>>,
}

/// A model, as Google describes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model<'a> {
    /// `models/…`.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// For people.
    #[serde(borrow)]
    pub display_name: Option<Cow<'a, str>>,
    /// How many tokens it reads.
    pub input_token_limit: Option<u64>,
    /// How many it writes.
    pub output_token_limit: Option<u64>,
}

impl Model<'_> {
    /// The name without its collection.
    pub fn id(&self) -> &str {
        self.name.strip_prefix("models/").unwrap_or(&self.name)
    }
}

/// A page of `models.list` with only the models that `keep` wants. Each model stays as Google wrote it.
///
/// # Errors
/// The upstream's list is no list.
pub fn trimmed(page: &[u8], keep: &dyn Fn(&str) -> bool) -> Result<Bytes, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page<'a> {
        #[serde(borrow)]
        models: Option<Vec<&'a RawValue>>,
        #[serde(borrow)]
        next_page_token: Option<&'a RawValue>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Trimmed<'a> {
        models: Vec<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_page_token: Option<&'a RawValue>,
    }
    let unreadable = || Error::new(Kind::BadGateway, "The upstream's list of models cannot be read.");
    let page: Page<'_> = serde_json::from_slice(page).map_err(|_| unreadable())?;
    let wanted = |model: &&RawValue| {
        serde_json::from_str::<Model<'_>>(model.get()).is_ok_and(|model| keep(model.id()))
    };
    let models = page.models.unwrap_or_default().into_iter().filter(wanted).collect();
    let trimmed = Trimmed { models, next_page_token: page.next_page_token };
    serde_json::to_vec(&trimmed).map(Bytes::from).map_err(|_| unreadable())
}

/// A page of `models.list` in which every model that generates stands once more with each of the suffixes that mean
/// something to it. Everything else of a model stays as Google wrote it.
///
/// # Errors
/// The upstream's list is no list.
pub fn with_suffixes(page: Bytes, suffixes: &[String]) -> Result<Bytes, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page<'a> {
        #[serde(borrow)]
        models: Option<Vec<&'a RawValue>>,
        #[serde(borrow)]
        next_page_token: Option<&'a RawValue>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Longer {
        models: Vec<Box<RawValue>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_page_token: Option<Box<RawValue>>,
    }
    if suffixes.is_empty() {
        return Ok(page);
    }
    let unreadable = || Error::new(Kind::BadGateway, "The upstream's list of models cannot be read.");
    let page: Page<'_> = serde_json::from_slice(&page).map_err(|_| unreadable())?;
    let mut models = Vec::new();
    for model in page.models.unwrap_or_default() {
        models.push(model.to_owned());
        models.extend(suffixes.iter().filter_map(|suffix| named(model, suffix)));
    }
    let longer = Longer { models, next_page_token: page.next_page_token.map(ToOwned::to_owned) };
    serde_json::to_vec(&longer).map(Bytes::from).map_err(|_| unreadable())
}

/// A model under its name with a suffix; none where the suffix means nothing to it.
fn named(model: &RawValue, suffix: &str) -> Option<Box<RawValue>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Methods<'a> {
        #[serde(borrow, default)]
        supported_generation_methods: Vec<Cow<'a, str>>,
    }
    let entries = Entries::of(model)?;
    let name: Cow<'_, str> = serde_json::from_str(entries.get("name")?.get()).ok()?;
    let methods: Methods<'_> = serde_json::from_str(model.get()).ok()?;
    let generates = methods.supported_generation_methods.iter().any(|method| method == "generateContent");
    let (kind, wishes) = (model::Model::parse(&name), suffix::parted(&format!("m{suffix}")).1);
    let thinks = wishes.thinking.is_none() || kind.thinking() != model::Thinking::Fixed;
    if !generates || !thinks || (wishes.search && !kind.searches()) {
        return None;
    }
    let name = serde_json::value::to_raw_value(&format!("{name}{suffix}")).ok()?;
    let renamed = |(key, value): &(Cow<'_, str>, &RawValue)| match key.as_ref() {
        "name" => (key.clone().into_owned(), name.clone()),
        _ => (key.clone().into_owned(), (*value).to_owned()),
    };
    serde_json::value::to_raw_value(&InOrder(entries.0.iter().map(renamed).collect())).ok()
}

/// An object whose entries stay in their order.
struct InOrder(Vec<(String, Box<RawValue>)>);

impl Serialize for InOrder {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_listed_with_their_suffixes() {
        let page = r#"{"models":[{"name":"models/gemini-2.5-flash","supportedGenerationMethods":["generateContent"],"x":1.0},{"name":"models/gemini-2.0-flash","supportedGenerationMethods":["generateContent"]},{"name":"models/embed","supportedGenerationMethods":["embedContent"]}],"nextPageToken":"t"}"#;
        let suffixes = ["-search".to_owned(), "(high)".to_owned()];
        let longer = with_suffixes(Bytes::from_static(page.as_bytes()), &suffixes).expect("a page");
        let list: ModelPage<'_> = serde_json::from_slice(&longer).expect("a page");
        let models = list.models.expect("models");
        let names: Vec<&str> = models.iter().map(Model::id).collect();
        let expected = [
            "gemini-2.5-flash",
            "gemini-2.5-flash-search",
            "gemini-2.5-flash(high)",
            "gemini-2.0-flash",
            "gemini-2.0-flash-search",
            "embed",
        ];
        assert_eq!(names, expected);
        let text = std::str::from_utf8(&longer).expect("UTF-8");
        assert!(text.contains(r#"{"name":"models/gemini-2.5-flash(high)","supportedGenerationMethods":["generateContent"],"x":1.0}"#));
        assert!(text.contains(r#""nextPageToken":"t""#));
        assert_eq!(with_suffixes(Bytes::from_static(b"{ }"), &[]).expect("as it is"), "{ }");
    }

    #[test]
    fn models_are_left_out_and_the_others_stay_as_they_are() {
        let page =
            br#"{"models": [{"name": "models/a", "x": 1.0}, {"name":"models/b"}], "nextPageToken": "t"}"#;
        let trimmed = trimmed(page, &|model| model == "a").expect("a page");
        assert_eq!(trimmed, r#"{"models":[{"name": "models/a", "x": 1.0}],"nextPageToken":"t"}"#);
    }
}
