//! What each family of models takes, read off the model's name.
//!
//! Google refuses a whole request for one setting that a model does not know, and the settings differ by
//! family. Names of the future are taken to be like the newest known family; names without a version
//! (`gemini-flash-latest`) stand for current models.

use serde::Serialize;

/// A model, as far as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    family: Family,
    /// Major and minor. `(0, 0)` where the name has none.
    version: (u16, u16),
    size: Size,
    /// Draws: `…-image…`.
    draws: bool,
    /// Speaks: `…-tts…`, `…-native-audio…`.
    speaks: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Gemini,
    Gemma,
    /// Tuned models and everything else: nothing is known, so only what every model takes is sent.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Pro,
    FlashLite,
    Other,
}

/// How a model is told how much to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinking {
    /// It cannot be told.
    Fixed,
    /// In tokens, Gemini 2.5.
    Budget {
        /// The least that it takes besides zero.
        least: i32,
        /// The most.
        most: i32,
        /// Whether zero switches thinking off.
        can_be_off: bool,
    },
    /// By level, Gemini 3 and later.
    Level {
        /// The levels that it takes, rising.
        levels: &'static [Level],
    },
}

/// `ThinkingConfig.thinkingLevel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// As little as possible.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// A lot.
    High,
}

impl Model {
    /// Reads a name, with or without `models/`.
    pub fn parse(name: &str) -> Self {
        let name = name.strip_prefix("models/").unwrap_or(name);
        let mut words = name.split('-');
        let family = match words.next() {
            Some("gemini") => Family::Gemini,
            Some("gemma") => Family::Gemma,
            _ => Family::Other,
        };
        // gemini-3.1-pro-preview, gemma-3n-e4b-it, gemini-robotics-er-1.5-preview
        let version = words.clone().find_map(version).unwrap_or_default();
        let has = |word: &str| words.clone().any(|other| other == word);
        let size = match () {
            () if has("pro") => Size::Pro,
            () if has("lite") => Size::FlashLite,
            () => Size::Other,
        };
        Self { family, version, size, draws: has("image"), speaks: has("tts") || has("audio") }
    }

    /// Gemini of at least this version. Aliases without a version are the newest.
    fn is_gemini(self, major: u16, minor: u16) -> bool {
        self.family == Family::Gemini && (self.version == (0, 0) || self.version >= (major, minor))
    }

    /// Whether calls in its history have to be signed, and are known by ids.
    pub fn signs_calls(self) -> bool {
        self.is_gemini(3, 0)
    }

    /// Whether functions, built-in tools and JSON answers can be combined.
    pub fn combines_tools(self) -> bool {
        self.is_gemini(3, 0)
    }

    /// Whether results of functions can hold images.
    pub fn takes_media_in_results(self) -> bool {
        self.is_gemini(3, 0)
    }

    /// Whether it can be held to JSON.
    pub fn answers_in_json(self) -> bool {
        match self.family {
            Family::Gemini => !self.draws && !self.speaks,
            Family::Gemma => self.version >= (4, 0),
            Family::Other => true,
        }
    }

    /// Whether it takes a system instruction; others want it as the user's words.
    pub fn takes_system_instruction(self) -> bool {
        match self.family {
            Family::Gemini if self.draws => self.version != (2, 0),
            Family::Gemini => !self.speaks,
            Family::Gemma => self.version >= (4, 0),
            Family::Other => true,
        }
    }

    /// Whether it can be asked for an image without words.
    pub fn draws_alone(self) -> bool {
        self.version != (2, 0)
    }

    /// Whether the shape of an image can be chosen.
    pub fn draws_in_shapes(self) -> bool {
        self.draws && self.is_gemini(2, 5)
    }

    /// Whether the size of an image can be chosen.
    pub fn draws_in_sizes(self) -> bool {
        self.draws && self.is_gemini(3, 0)
    }

    /// Whether it takes penalties. Zero is refused by none, and says nothing.
    pub fn takes_penalties(self) -> bool {
        match self.family {
            Family::Gemini => !self.is_gemini(2, 5),
            Family::Gemma | Family::Other => true,
        }
    }

    /// Whether it takes JSON Schema; before, it is OpenAPI's subset.
    pub fn takes_json_schema(self) -> bool {
        self.family != Family::Gemini || self.is_gemini(2, 0)
    }

    /// Whether it takes safety settings.
    pub fn takes_safety_settings(self) -> bool {
        !self.speaks
    }

    /// Whether it can search the web.
    pub fn searches(self) -> bool {
        self.is_gemini(2, 0) && !self.draws && !self.speaks
    }

    /// Whether it gives more than one answer to a request.
    pub fn gives_several_answers(self) -> bool {
        !(self.family == Family::Gemini && self.version >= (4, 0))
    }

    /// Whether the last turn may be the model's, to be continued.
    pub fn continues_its_own_turn(self) -> bool {
        !(self.family == Family::Gemini && self.version >= (4, 0))
    }

    /// The most tokens that an answer in one piece may be asked for; a longer one has to be streamed.
    pub fn longest_whole_answer(self) -> Option<u64> {
        (self.family == Family::Gemini && self.version >= (4, 0)).then_some(32_768)
    }

    /// How it is told how much to think.
    pub fn thinking(self) -> Thinking {
        use Level::{High, Low, Medium, Minimal};
        if self.draws || self.speaks {
            return Thinking::Fixed;
        }
        let levels: &[Level] = match (self.family, self.version, self.size) {
            (Family::Gemini, (2, 5), Size::Pro) => {
                return Thinking::Budget { least: 128, most: 32_768, can_be_off: false };
            }
            (Family::Gemini, (2, 5), Size::FlashLite) => {
                return Thinking::Budget { least: 512, most: 24_576, can_be_off: true };
            }
            (Family::Gemini, (2, 5), Size::Other) => {
                return Thinking::Budget { least: 1, most: 24_576, can_be_off: true };
            }
            (Family::Gemma, (4.., _), _) => &[Minimal, High],
            (Family::Gemini, (4.., _), _) => &[Low, Medium, High],
            (Family::Gemini, (3, 0), Size::Pro) => &[Low, High],
            (Family::Gemini, (3, _), Size::Pro) => &[Low, Medium, High],
            (Family::Gemini, (3, _), Size::FlashLite) => &[Minimal, Low, Medium, High],
            (Family::Gemini, (3, 7..), _) => &[Low, Medium, High],
            (Family::Gemini, (3, _), Size::Other) => &[Minimal, Low, Medium, High],
            // An alias: what every current model takes.
            (Family::Gemini, (0, 0), _) => &[Low, Medium, High],
            _ => return Thinking::Fixed,
        };
        Thinking::Level { levels }
    }
}

impl Level {
    /// The nearest of `levels`; of two equally near the higher one, as Google rounds `medium` for models
    /// that know only `low` and `high`.
    pub fn nearest(self, levels: &[Self]) -> Option<Self> {
        levels.iter().rev().copied().min_by_key(|level| (*level as i8 - self as i8).abs())
    }
}

/// `2.5`, `3`, `3n`.
fn version(word: &str) -> Option<(u16, u16)> {
    let (major, minor) = word.split_once('.').unwrap_or((word, "0"));
    let major = major.strip_suffix('n').unwrap_or(major);
    // 001, 05 and 2025 are no versions.
    (major.len() == 1).then_some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_a_model_takes() {
        let check =
            |name: &str, version: (u16, u16), signs: bool, penalties: bool, json: bool, system: bool| {
                let model = Model::parse(name);
                assert_eq!(model.version, version, "{name}");
                assert_eq!(model.signs_calls(), signs, "{name} signs calls");
                assert_eq!(model.takes_penalties(), penalties, "{name} takes penalties");
                assert_eq!(model.answers_in_json(), json, "{name} answers in JSON");
                assert_eq!(model.takes_system_instruction(), system, "{name} takes a system instruction");
            };
        check("gemini-2.0-flash-001", (2, 0), false, true, true, true);
        check("gemini-2.0-flash-preview-image-generation", (2, 0), false, true, false, false);
        check("gemini-2.5-flash-lite-preview-09-2025", (2, 5), false, false, true, true);
        check("gemini-2.5-flash-preview-tts", (2, 5), false, false, false, false);
        check("models/gemini-3-pro-preview", (3, 0), true, false, true, true);
        check("gemini-3.1-flash-image", (3, 1), true, false, false, true);
        check("gemini-4-argon", (4, 0), true, false, true, true);
        check("gemini-flash-latest", (0, 0), true, false, true, true);
        check("gemma-3n-e4b-it", (3, 0), false, true, false, false);
        check("gemma-4-31b-it", (4, 0), false, true, true, true);
        check("my-own", (0, 0), false, true, true, true);
    }

    #[test]
    fn thinking_is_told_by_budget_or_by_level() {
        let levels = |name: &str| match Model::parse(name).thinking() {
            Thinking::Level { levels } => levels.len(),
            Thinking::Budget { .. } => 10,
            Thinking::Fixed => 0,
        };
        let check = |name: &str, expected: usize| assert_eq!(levels(name), expected, "{name}");
        check("gemini-2.5-pro", 10);
        check("gemini-2.0-flash", 0);
        check("gemini-3-pro-preview", 2);
        check("gemini-3.1-pro-preview", 3);
        check("gemini-3.5-flash", 4);
        check("gemini-3.5-flash-lite", 4);
        check("gemini-3.8-flash", 3);
        check("gemini-4-carbon", 3);
        check("gemma-4-27b-it", 2);
        check("gemma-3-27b-it", 0);
        check("gemini-3-pro-image-preview", 0);
        check("gemini-embedding-001", 3);
        assert_eq!(Level::Medium.nearest(&[Level::Low, Level::High]), Some(Level::High));
        assert_eq!(Level::Minimal.nearest(&[Level::Low, Level::High]), Some(Level::Low));
    }
}
