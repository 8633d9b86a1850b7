//! How much the model is to think, in the words of its family.
//!
//! Gemini 2.5 is told in tokens, later models by level; both together are refused. Google's own
//! OpenAI-compatible endpoint turns efforts into 1,024, 8,192 and 24,576 tokens, and so does this.

use super::model::{Level, Model, Thinking};
use super::request::ThinkingConfig;

/// What a client wants, in nobody's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// No thinking, or as little as the model can.
    Off,
    /// The model decides.
    AsMuchAsItLikes,
    /// About so much.
    Level(Level),
    /// All that the model can.
    Most,
    /// So many tokens.
    Tokens(i64),
}

impl Amount {
    /// Reads an effort or a level, which have the same names in every dialect. None: an unknown word; Some(None):
    /// a word that leaves it to the model.
    pub fn of_word(word: &str) -> Option<Option<Self>> {
        Some(Some(match word.to_ascii_lowercase().as_str() {
            "none" | "disable" | "disabled" | "off" => Self::Off,
            "minimal" => Self::Level(Level::Minimal),
            "low" => Self::Level(Level::Low),
            "medium" => Self::Level(Level::Medium),
            "high" => Self::Level(Level::High),
            "xhigh" | "max" => Self::Most,
            "" | "auto" | "default" | "thinking_level_unspecified" => return Some(None),
            _ => return None,
        }))
    }

    /// Reads a budget as Google has it: 0 is off, less is the model's own choice.
    pub fn of_budget(tokens: i64) -> Self {
        match tokens {
            0 => Self::Off,
            ..0 => Self::AsMuchAsItLikes,
            tokens => Self::Tokens(tokens),
        }
    }
}

/// What to send to `model`; none where it is not to be told anything. `include_thoughts` says whether summaries
/// come along.
pub fn config(
    amount: Option<Amount>,
    include_thoughts: Option<bool>,
    model: Model,
) -> Option<ThinkingConfig> {
    let mut thinking = ThinkingConfig { include_thoughts, ..ThinkingConfig::default() };
    match (model.thinking(), amount) {
        (Thinking::Fixed, _) => return None,
        (_, None) => {}
        (Thinking::Budget { least, most, can_be_off }, Some(amount)) => {
            thinking.thinking_budget = Some(tokens(amount, least, most, can_be_off));
        }
        (Thinking::Level { levels }, Some(amount)) => thinking.thinking_level = nearest(amount, levels),
    }
    (thinking != ThinkingConfig::default()).then_some(thinking)
}

fn tokens(amount: Amount, least: i32, most: i32, can_be_off: bool) -> i32 {
    let tokens = match amount {
        Amount::Off if can_be_off => return 0,
        Amount::Off => least,
        Amount::AsMuchAsItLikes => return -1,
        Amount::Level(Level::Minimal) => 512,
        Amount::Level(Level::Low) => 1_024,
        Amount::Level(Level::Medium) => 8_192,
        Amount::Level(Level::High) => 24_576,
        Amount::Most => most,
        Amount::Tokens(tokens) => i32::try_from(tokens).unwrap_or(i32::MAX),
    };
    tokens.clamp(least, most)
}

fn nearest(amount: Amount, levels: &[Level]) -> Option<Level> {
    let level = match amount {
        Amount::AsMuchAsItLikes => return None,
        Amount::Off => return levels.first().copied(),
        Amount::Most => return levels.last().copied(),
        Amount::Level(level) => level,
        Amount::Tokens(..=512) => Level::Minimal,
        Amount::Tokens(..=1_024) => Level::Low,
        Amount::Tokens(..=8_192) => Level::Medium,
        Amount::Tokens(_) => Level::High,
    };
    level.nearest(levels)
}
