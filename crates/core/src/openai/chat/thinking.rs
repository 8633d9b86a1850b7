//! How much the model thinks: `reasoning_effort`, or Google's own `thinking_config`.

use serde::Deserialize;

use crate::error::Error;
use crate::fields::lenient_whole;
use crate::gemini::model::{Model, Thinking};
use crate::gemini::request::ThinkingConfig;
use crate::gemini::thinking::{self, Amount};

/// `extra_body.google.thinking_config`, in either spelling.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in crate::openai) struct Config {
    #[serde(alias = "includeThoughts")]
    include_thoughts: Option<bool>,
    #[serde(alias = "thinkingBudget", default, deserialize_with = "lenient_whole")]
    thinking_budget: Option<i64>,
    #[serde(alias = "thinkingLevel")]
    thinking_level: Option<String>,
}

impl Config {
    pub(super) fn include_thoughts_if_unsaid(&mut self, include: Option<bool>) {
        self.include_thoughts = self.include_thoughts.or(include);
    }
}

/// What to send. The client's `config` goes before its `effort`; with neither, the model decides.
pub(super) fn translate(
    effort: Option<&str>,
    config: Option<&Config>,
    model: Model,
) -> Result<Option<ThinkingConfig>, Error> {
    let effort = effort.map(|effort| amount(effort, "reasoning_effort")).transpose()?.flatten();
    let level = config.and_then(|config| config.thinking_level.as_deref());
    let level = level
        .map(|level| amount(level, "extra_body.google.thinking_config.thinking_level"))
        .transpose()?
        .flatten();
    let budget = config.and_then(|config| config.thinking_budget).map(Amount::of_budget);
    // Where both are given, the one that the model knows.
    let amount = match model.thinking() {
        Thinking::Fixed => return Ok(None),
        Thinking::Budget { .. } => budget.or(level),
        Thinking::Level { .. } => level.or(budget),
    };
    let amount = amount.or(effort);
    let include_thoughts = config
        .and_then(|config| config.include_thoughts)
        .or_else(|| amount.and_then(|amount| (amount != Amount::Off).then_some(true)));
    Ok(thinking::config(amount, include_thoughts, model))
}

/// Reads an effort or a level. None: the model decides.
fn amount(text: &str, param: &str) -> Result<Option<Amount>, Error> {
    Amount::of_word(text).ok_or_else(|| {
        Error::bad_request(
            format!(
                "Invalid value for '{param}'. Supported values are: 'none', 'minimal', 'low', 'medium', \
                 'high', 'xhigh' and 'max'."
            ),
            param,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(model: &str, effort: Option<&str>, config: &str, expected: &str) {
        let config: Option<Config> = serde_json::from_str(config).expect("a config");
        let thinking = translate(effort, config.as_ref(), Model::parse(model)).expect("known efforts");
        assert_eq!(serde_json::to_string(&thinking).expect("writes"), expected, "{model} {effort:?}");
    }

    #[test]
    fn efforts() {
        let check = |model, effort, expected| check(model, Some(effort), "null", expected);
        check("gemini-2.5-flash", "none", r#"{"thinkingBudget":0}"#);
        check("gemini-2.5-flash", "minimal", r#"{"includeThoughts":true,"thinkingBudget":512}"#);
        check("gemini-2.5-flash", "low", r#"{"includeThoughts":true,"thinkingBudget":1024}"#);
        check("gemini-2.5-flash", "medium", r#"{"includeThoughts":true,"thinkingBudget":8192}"#);
        check("gemini-2.5-flash", "high", r#"{"includeThoughts":true,"thinkingBudget":24576}"#);
        check("gemini-2.5-flash", "max", r#"{"includeThoughts":true,"thinkingBudget":24576}"#);
        check("gemini-2.5-pro", "none", r#"{"thinkingBudget":128}"#);
        check("gemini-2.5-pro", "xhigh", r#"{"includeThoughts":true,"thinkingBudget":32768}"#);
        check("gemini-3-pro-preview", "medium", r#"{"includeThoughts":true,"thinkingLevel":"HIGH"}"#);
        check("gemini-3-flash-preview", "none", r#"{"thinkingLevel":"MINIMAL"}"#);
        check("gemini-3.8-flash", "minimal", r#"{"includeThoughts":true,"thinkingLevel":"LOW"}"#);
        check("gemini-4-argon", "xhigh", r#"{"includeThoughts":true,"thinkingLevel":"HIGH"}"#);
        check("gemini-2.0-flash", "high", "null");
        check("gemini-2.5-flash-image", "high", "null");
        check("gemini-2.5-flash", "default", "null");
        assert!(translate(Some("much"), None, Model::parse("gemini-2.5-pro")).is_err());
    }

    #[test]
    fn googles_own_words_go_first_and_are_translated_too() {
        let budget = r#"{"thinking_budget":2000,"include_thoughts":false}"#;
        check("gemini-2.5-flash", Some("high"), budget, r#"{"includeThoughts":false,"thinkingBudget":2000}"#);
        check("gemini-3.5-flash", None, budget, r#"{"includeThoughts":false,"thinkingLevel":"MEDIUM"}"#);
        check(
            "gemini-2.5-flash",
            None,
            r#"{"thinkingBudget":-1}"#,
            r#"{"includeThoughts":true,"thinkingBudget":-1}"#,
        );
        check(
            "gemini-2.5-flash-lite",
            None,
            r#"{"thinkingBudget":9}"#,
            r#"{"includeThoughts":true,"thinkingBudget":512}"#,
        );
        let both = r#"{"thinkingBudget":0,"thinkingLevel":"HIGH"}"#;
        check("gemini-2.5-flash", None, both, r#"{"thinkingBudget":0}"#);
        check("gemini-3.5-flash", None, both, r#"{"includeThoughts":true,"thinkingLevel":"HIGH"}"#);
        check("gemini-3.5-flash", None, r#"{"includeThoughts":true}"#, r#"{"includeThoughts":true}"#);
    }
}
