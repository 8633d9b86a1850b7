//! How much the model thinks: `thinking`, and `output_config.effort` where that leaves it open.

use serde::Deserialize;

use super::MessagesRequest;
use crate::error::Error;
use crate::fields::lenient_whole;
use crate::gemini::model::{Model, Thinking};
use crate::gemini::request::ThinkingConfig;
use crate::gemini::thinking::{self, Amount};

/// `thinking`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ThinkingChoice {
    r#type: Option<String>,
    #[serde(default, deserialize_with = "lenient_whole")]
    budget_tokens: Option<i64>,
    display: Option<String>,
}

impl ThinkingChoice {
    /// Whether the client is to get blocks of thoughts. Kinds of the future are on, as all but one are today.
    pub(super) fn is_on(&self) -> bool {
        self.r#type.as_deref() != Some("disabled")
    }

    fn shows_thoughts(&self) -> bool {
        self.is_on() && self.display.as_deref() != Some("omitted")
    }
}

/// What to send. Gemini 2.5 is told the budget, later models the effort, where both are given. Without any of
/// this the model decides.
pub(super) fn translate(request: &MessagesRequest, model: Model) -> Result<Option<ThinkingConfig>, Error> {
    let effort = request.effort().map(effort).transpose()?.flatten();
    let Some(choice) = &request.thinking else { return Ok(thinking::config(effort, None, model)) };
    if !choice.is_on() {
        return Ok(thinking::config(Some(Amount::Off), None, model));
    }
    let budget = choice.budget_tokens.filter(|_| choice.r#type.as_deref() == Some("enabled"));
    // Thoughts count towards the longest answer, which has to leave room for some words.
    let below = request.max_tokens.filter(|most| *most > 1).map_or(i64::MAX, |most| most - 1);
    let budget = budget.filter(|tokens| *tokens > 0).map(|tokens| Amount::Tokens(tokens.min(below)));
    let amount = match model.thinking() {
        Thinking::Budget { .. } => budget.or(effort).or(Some(Amount::AsMuchAsItLikes)),
        Thinking::Level { .. } | Thinking::Fixed => effort.or(budget),
    };
    Ok(thinking::config(amount, choice.shows_thoughts().then_some(true), model))
}

fn effort(word: &str) -> Result<Option<Amount>, Error> {
    Amount::of_word(word).ok_or_else(|| {
        Error::bad_request(
            "output_config.effort: must be one of 'low', 'medium', 'high', 'xhigh' and 'max'",
            "output_config.effort",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_in_the_words_of_each_family() {
        let check = |model: &str, fields: &str, expected: &str| {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"a"}}],{fields}}}"#);
            let request = MessagesRequest::parse(body.as_bytes()).expect("a request");
            let thinking = translate(&request, Model::parse(model)).expect("known efforts");
            assert_eq!(serde_json::to_string(&thinking).expect("writes"), expected, "{model} {fields}");
        };
        let budget = r#""max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":4096}"#;
        check("gemini-2.5-flash", budget, r#"{"includeThoughts":true,"thinkingBudget":4096}"#);
        check("gemini-3.5-flash", budget, r#"{"includeThoughts":true,"thinkingLevel":"MEDIUM"}"#);
        check("gemini-2.0-flash", budget, "null");
        let tight = r#""max_tokens":2000,"thinking":{"type":"enabled","budget_tokens":4096}"#;
        check("gemini-2.5-flash", tight, r#"{"includeThoughts":true,"thinkingBudget":1999}"#);
        let adaptive = r#""thinking":{"type":"adaptive"}"#;
        check("gemini-2.5-pro", adaptive, r#"{"includeThoughts":true,"thinkingBudget":-1}"#);
        check("gemini-3.5-flash", adaptive, r#"{"includeThoughts":true}"#);
        let effort = r#""thinking":{"type":"adaptive"},"output_config":{"effort":"max"}"#;
        check("gemini-2.5-flash", effort, r#"{"includeThoughts":true,"thinkingBudget":24576}"#);
        check("gemini-3.8-flash", effort, r#"{"includeThoughts":true,"thinkingLevel":"HIGH"}"#);
        let omitted =
            r#""thinking":{"type":"adaptive","display":"omitted"},"output_config":{"effort":"low"}"#;
        check("gemini-3.5-flash", omitted, r#"{"thinkingLevel":"LOW"}"#);
        let disabled = r#""thinking":{"type":"disabled"},"output_config":{"effort":"high"}"#;
        check("gemini-2.5-flash", disabled, r#"{"thinkingBudget":0}"#);
        check("gemini-2.5-pro", disabled, r#"{"thinkingBudget":128}"#);
        check("gemini-3.5-flash", disabled, r#"{"thinkingLevel":"MINIMAL"}"#);
        check("gemini-3.5-flash", r#""output_config":{"effort":"medium"}"#, r#"{"thinkingLevel":"MEDIUM"}"#);
        check("gemini-3.5-flash", r#""thinking":null"#, "null");
        check("gemini-3.5-flash", r#""thinking":{"type":"between_tools"}"#, r#"{"includeThoughts":true}"#);
    }
}
