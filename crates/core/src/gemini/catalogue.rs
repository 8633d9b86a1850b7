//! The list of models, as far as other dialects and the operator's filters need it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, Kind};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_left_out_and_the_others_stay_as_they_are() {
        let page =
            br#"{"models": [{"name": "models/a", "x": 1.0}, {"name":"models/b"}], "nextPageToken": "t"}"#;
        let trimmed = trimmed(page, &|model| model == "a").expect("a page");
        assert_eq!(trimmed, r#"{"models":[{"name": "models/a", "x": 1.0}],"nextPageToken":"t"}"#);
    }
}
