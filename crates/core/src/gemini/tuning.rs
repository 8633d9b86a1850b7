//! What is changed in a request to Gemini of any dialect: what the model's name wishes for, and the operator's safety
//! settings.
//!
//! Works on the body as it goes up, so that every dialect gets it, Gemini's own included. Everything else in the
//! body stays as it was written; a body of which nothing is wanted is not read.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::entries::{Edit, Entries, Names, array, written};
use super::model::Model;
use super::request::{Empty, ThinkingConfig, Tool};
use super::thinking;
use crate::suffix::Wishes;

/// What is changed in a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tuning {
    /// What the model's name wishes for.
    pub wishes: Wishes,
    /// The threshold for what the client does not speak of.
    pub safety: Safety,
    /// Whether summaries of thoughts are wanted where thinking is.
    pub shows_thoughts: Option<bool>,
}

/// From which likelihood on Gemini blocks what it finds harmful.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Safety {
    /// What the client says, else Gemini's own.
    #[default]
    Client,
    /// The filter is off.
    Off,
    /// Nothing is blocked.
    BlockNone,
    /// What is likely.
    BlockOnlyHigh,
    /// What is more or less likely.
    BlockMediumAndAbove,
    /// What is not unlikely.
    BlockLowAndAbove,
}

/// What every model knows.
const CATEGORIES: [&str; 4] = [
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
];

impl Safety {
    /// Google's word for it; none where it is left to the client.
    const fn threshold(self) -> Option<&'static str> {
        match self {
            Self::Client => None,
            Self::Off => Some("OFF"),
            Self::BlockNone => Some("BLOCK_NONE"),
            Self::BlockOnlyHigh => Some("BLOCK_ONLY_HIGH"),
            Self::BlockMediumAndAbove => Some("BLOCK_MEDIUM_AND_ABOVE"),
            Self::BlockLowAndAbove => Some("BLOCK_LOW_AND_ABOVE"),
        }
    }
}

impl Tuning {
    /// Whether every body passes as it is.
    pub fn is_nothing(&self) -> bool {
        self.wishes == Wishes::default() && self.safety == Safety::Client
    }

    /// The body for `model`. What is no object passes as it is: Google says what is wrong with it.
    pub fn apply(&self, body: &Bytes, model: &str) -> Bytes {
        if self.is_nothing() {
            return body.clone();
        }
        let Some(entries) = std::str::from_utf8(body).ok().and_then(|text| serde_json::from_str(text).ok())
        else {
            return body.clone();
        };
        let edits = self.edits(&entries, Model::parse(model));
        match edits.is_empty() {
            true => body.clone(),
            false => written(&entries, &edits).into(),
        }
    }

    fn edits(&self, entries: &Entries<'_>, model: Model) -> Vec<Edit> {
        let mut edits = Vec::new();
        if let Some(amount) = self.wishes.thinking
            && let Some(wanted) = thinking::config(Some(amount), None, model)
        {
            let config = entries.object(&GENERATION_CONFIG);
            edits.push(Edit { names: GENERATION_CONFIG, value: self.thinking(&config, wanted) });
        }
        if self.wishes.search {
            edits.extend(search(entries, model));
        }
        if let Some(threshold) = self.safety.threshold()
            && model.takes_safety_settings()
        {
            edits.extend(safety(entries, threshold));
        }
        edits
    }

    /// `generationConfig` with another amount of thinking.
    fn thinking(&self, config: &Entries<'_>, wanted: ThinkingConfig) -> String {
        let said: Option<bool> = config
            .object(&THINKING_CONFIG)
            .either(&["includeThoughts", "include_thoughts"])
            .and_then(|said| serde_json::from_str(said.get()).ok());
        let is_off = wanted.thinking_budget == Some(0);
        let include_thoughts = said.or(self.shows_thoughts).filter(|_| !is_off);
        let value = json(&ThinkingConfig { include_thoughts, ..wanted });
        written(config, &[Edit { names: THINKING_CONFIG, value }])
    }
}

const GENERATION_CONFIG: Names = ["generationConfig", "generation_config"];
const THINKING_CONFIG: Names = ["thinkingConfig", "thinking_config"];
const TOOLS: Names = ["tools", "tools"];
const TOOL_CONFIG: Names = ["toolConfig", "tool_config"];
const SAFETY_SETTINGS: Names = ["safetySettings", "safety_settings"];

/// Web search beside the tools that are there; not where the model would refuse both together.
fn search(entries: &Entries<'_>, model: Model) -> Vec<Edit> {
    let tools: Vec<&RawValue> = entries.list(&TOOLS);
    let has = |names: &Names| {
        tools.iter().any(|tool| Entries::of(tool).is_some_and(|tool| tool.either(names).is_some()))
    };
    let calls = has(&["functionDeclarations", "function_declarations"]);
    if has(&["googleSearch", "google_search"]) || calls && !model.combines_tools() {
        return Vec::new();
    }
    let search = json(&Tool { google_search: Some(Empty {}), ..Tool::default() });
    let mut edits = vec![Edit { names: TOOLS, value: joined(&tools, [search]) }];
    if calls {
        let together = Edit {
            names: ["includeServerSideToolInvocations", "include_server_side_tool_invocations"],
            value: "true".to_owned(),
        };
        let value = written(&entries.object(&TOOL_CONFIG), &[together]);
        edits.push(Edit { names: TOOL_CONFIG, value });
    }
    edits
}

/// A threshold for the categories of which the client says nothing.
fn safety(entries: &Entries<'_>, threshold: &'static str) -> Option<Edit> {
    #[derive(serde::Deserialize)]
    struct Said<'a> {
        #[serde(borrow)]
        category: Cow<'a, str>,
    }
    #[derive(Serialize)]
    struct Setting {
        category: &'static str,
        threshold: &'static str,
    }

    let settings = entries.list(&SAFETY_SETTINGS);
    let said = |category: &str| {
        settings.iter().any(|setting| {
            serde_json::from_str::<Said<'_>>(setting.get()).is_ok_and(|said| said.category == category)
        })
    };
    let missing: Vec<_> = CATEGORIES
        .into_iter()
        .filter(|category| !said(category))
        .map(|category| json(&Setting { category, threshold }))
        .collect();
    if missing.is_empty() {
        return None;
    }
    Some(Edit { names: SAFETY_SETTINGS, value: joined(&settings, missing) })
}

/// An array of what is there and what is added.
fn joined(there: &[&RawValue], added: impl IntoIterator<Item = String>) -> String {
    let there = there.iter().map(|value| value.get().to_owned());
    array(&there.chain(added).map(Cow::Owned).collect::<Vec<_>>())
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers can be written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suffix::parted;

    fn check(wishes: &str, safety: Safety, model: &str, body: &str, expected: &str) {
        let tuning = Tuning { wishes: parted(wishes).1, safety, shows_thoughts: None };
        let tuned = tuning.apply(&Bytes::from(body.to_owned()), model);
        assert_eq!(std::str::from_utf8(&tuned), Ok(expected), "{wishes} {safety:?} {model}");
    }

    #[test]
    fn thinking_is_said_in_the_models_words() {
        let check = |wishes, model, body, expected| check(wishes, Safety::Client, model, body, expected);
        check(
            "m-nothinking",
            "gemini-2.5-flash",
            r#"{ "contents": [ 1.0 ], "generationConfig": {"topP":1,"thinkingConfig":{"includeThoughts":true,"thinkingBudget":9}} }"#,
            r#"{"contents":[ 1.0 ],"generationConfig":{"topP":1,"thinkingConfig":{"thinkingBudget":0}}}"#,
        );
        check(
            "m-thinking-8192",
            "gemini-3.5-flash",
            r#"{"generation_config":{"thinking_config":{"include_thoughts":false,"thinking_level":"HIGH"}}}"#,
            r#"{"generationConfig":{"thinkingConfig":{"includeThoughts":false,"thinkingLevel":"MEDIUM"}}}"#,
        );
        check("m(high)", "gemini-2.0-flash", r#"{"a": 1}"#, r#"{"a": 1}"#);
        check(
            "m(high)",
            "gemini-2.5-pro",
            r#"{"generationConfig":null}"#,
            r#"{"generationConfig":{"thinkingConfig":{"thinkingBudget":24576}}}"#,
        );
        check("m(high)", "gemini-2.5-pro", "[1, 2]", "[1, 2]");
        check("m(high)", "gemini-2.5-pro", "{", "{");
        check("m", "gemini-2.5-pro", r#"{ "a" : 1 }"#, r#"{ "a" : 1 }"#);
    }

    #[test]
    fn search_goes_beside_what_is_there() {
        let check = |model, body, expected| check("m-search", Safety::Client, model, body, expected);
        check("gemini-2.5-flash", "{}", r#"{"tools":[{"googleSearch":{}}]}"#);
        check(
            "gemini-2.5-flash",
            r#"{"tools":[{"google_search":{}}]}"#,
            r#"{"tools":[{"google_search":{}}]}"#,
        );
        check(
            "gemini-2.5-flash",
            r#"{"tools":[{"urlContext":{}}]}"#,
            r#"{"tools":[{"urlContext":{}},{"googleSearch":{}}]}"#,
        );
        let functions = r#"{"tools":[{"functionDeclarations":[]}],"toolConfig":{"a":1}}"#;
        check("gemini-2.5-flash", functions, functions);
        check(
            "gemini-3.5-flash",
            functions,
            r#"{"tools":[{"functionDeclarations":[]},{"googleSearch":{}}],"toolConfig":{"a":1,"includeServerSideToolInvocations":true}}"#,
        );
    }

    #[test]
    fn safety_settings_are_for_what_the_client_does_not_speak_of() {
        let check = |model, body, expected: &str| check("m", Safety::Off, model, body, expected);
        let of = |category: &str| format!(r#"{{"category":"HARM_CATEGORY_{category}","threshold":"OFF"}}"#);
        let all = ["HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT"].map(of).join(",");
        check("gemini-2.5-flash", "{}", &format!(r#"{{"safetySettings":[{all}]}}"#));
        check("gemini-2.5-flash-preview-tts", "{}", "{}");
        let own = r#"{"threshold":"BLOCK_NONE","category":"HARM_CATEGORY_HARASSMENT"}"#;
        let rest = ["HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT"].map(of).join(",");
        check(
            "gemini-2.5-flash",
            &format!(r#"{{"safety_settings":[{own}]}}"#),
            &format!(r#"{{"safetySettings":[{own},{rest}]}}"#),
        );
    }
}
