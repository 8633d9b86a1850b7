//! What clients say in the name of a model, where they can say nothing else: `gemini-2.5-flash-search`,
//! `gemini-2.5-pro(high)`.
//!
//! | suffix | means |
//! |---|---|
//! | `-search`, `:search` | web search |
//! | `-nothinking`, `:nothinking` | no thinking, or as little as the model can |
//! | `-thinking-8192` | so many tokens of thinking |
//! | `(high)`, `(8192)`, `(auto)` | an effort, tokens, or the model's own choice |
//!
//! They can be joined. A name without its suffixes is the model's.

use crate::gemini::thinking::Amount;

/// So many suffixes are read; there are no more that could be joined sensibly.
const MOST: usize = 4;

/// What a name wishes for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Web search.
    pub search: bool,
    /// How much thinking.
    pub thinking: Option<Amount>,
}

impl Wishes {
    /// These wishes, and `others` for what they do not speak of.
    pub fn or(self, others: Self) -> Self {
        Self { search: self.search || others.search, thinking: self.thinking.or(others.thinking) }
    }
}

/// A name without its suffixes, and what they wish for.
pub fn parted(name: &str) -> (&str, Wishes) {
    let mut wishes = Wishes::default();
    let mut rest = name;
    for _ in 0..MOST {
        let Some((stem, wish)) = last(rest) else { break };
        rest = stem;
        // What stands further right goes first, as it was added last.
        wishes = wishes.or(wish);
    }
    (rest, wishes)
}

/// A name without its last suffix.
fn last(name: &str) -> Option<(&str, Wishes)> {
    let searches = |stem| (stem, Wishes { search: true, thinking: None });
    let thinks = |stem, amount| (stem, Wishes { search: false, thinking: amount });
    let found = if let Some(stem) = either(name, "search") {
        searches(stem)
    } else if let Some(stem) = either(name, "nothinking") {
        thinks(stem, Some(Amount::Off))
    } else if let Some((stem, word)) = name.strip_suffix(')').and_then(|name| name.rsplit_once('(')) {
        let amount = match word.parse::<i64>() {
            Ok(tokens) => Amount::of_budget(tokens),
            Err(_) => Amount::of_word(word)?.unwrap_or(Amount::AsMuchAsItLikes),
        };
        thinks(stem, Some(amount))
    } else {
        let (stem, tokens) = name.rsplit_once("-thinking-")?;
        let is_number = !tokens.is_empty() && tokens.bytes().all(|byte| byte.is_ascii_digit());
        thinks(stem, Some(Amount::of_budget(tokens.parse().ok().filter(|_| is_number)?)))
    };
    (!found.0.is_empty()).then_some(found)
}

fn either<'a>(name: &'a str, word: &str) -> Option<&'a str> {
    name.strip_suffix(word)?.strip_suffix(['-', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemini::model::Level;

    #[test]
    fn names_are_parted() {
        let check = |name: &str, stem: &str, search: bool, thinking: Option<Amount>| {
            assert_eq!(parted(name), (stem, Wishes { search, thinking }), "{name}");
        };
        check("gemini-2.5-flash", "gemini-2.5-flash", false, None);
        check("gemini-2.5-flash-search", "gemini-2.5-flash", true, None);
        check("gemini-2.5-flash:search", "gemini-2.5-flash", true, None);
        check("gemini-2.5-flash-nothinking", "gemini-2.5-flash", false, Some(Amount::Off));
        check("gemini-2.5-pro-thinking-8192", "gemini-2.5-pro", false, Some(Amount::Tokens(8192)));
        check("gemini-2.5-pro(high)", "gemini-2.5-pro", false, Some(Amount::Level(Level::High)));
        check("gemini-2.5-pro(2000)", "gemini-2.5-pro", false, Some(Amount::Tokens(2000)));
        check("gemini-2.5-pro(auto)", "gemini-2.5-pro", false, Some(Amount::AsMuchAsItLikes));
        check("gemini-2.5-pro(none)-search", "gemini-2.5-pro", true, Some(Amount::Off));
        check("gemini-2.5-pro-search(low)", "gemini-2.5-pro", true, Some(Amount::Level(Level::Low)));
        check("m(low)(high)", "m", false, Some(Amount::Level(Level::High)));
        // Models that are called so.
        check("gemini-2.0-flash-thinking-exp-01-21", "gemini-2.0-flash-thinking-exp-01-21", false, None);
        check("llama(big)", "llama(big)", false, None);
        check("-search", "-search", false, None);
        check("research", "research", false, None);
        check("m-thinking-", "m-thinking-", false, None);
        check("m-thinking-99999999999999999999", "m-thinking-99999999999999999999", false, None);
        check("", "", false, None);
    }
}
