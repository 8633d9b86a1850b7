//! Which model a name stands for, and which models are served.

use std::sync::LazyLock;

use serde_json::Value;
use wildmatch::WildMatch;

use super::lists::{is_blank, is_quote, json_error, split};
use super::values;
use super::variables::quoted;
use super::{Config, ModelAlias, Suffixes};
use crate::suffix::{self, Wishes};

/// What chat models of other services become: the Flash model of November 2026.
const CHAT: &str = "gemini-3.8-flash";

/// The small, cheap model that checks use.
pub(super) const SMALL: &str = "gemini-3.5-flash-lite";

const EMBED: &str = "gemini-embedding-001";
const IMAGE: &str = "gemini-2.5-flash-image";
const SPEECH: &str = "gemini-2.5-flash-preview-tts";

/// The most patterns or aliases in one setting; each request is matched against all.
const MAX_PATTERNS: usize = 1000;

/// The most models that one request turns to; each has attempts of its own.
const MAX_FURTHER: usize = 10;

/// The most suffixes that are listed: each makes the list of models longer by itself.
const MAX_SUFFIXES: usize = 16;

/// The longest model name or pattern, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// What a model is asked for. The same foreign name may mean different things: `gpt-4o-…` chats, speaks
/// and listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AliasFor {
    /// Chat and everything else that generates text.
    Chat,
    /// Embeddings.
    Embed,
    /// Making images.
    Image,
    /// Text to speech.
    Speech,
    /// Speech to text.
    Transcribe,
}

impl AliasFor {
    /// The foreign names that have a meaning without being set, and the model that serves them.
    fn built_in(self) -> (&'static [WildMatch], &'static str) {
        // Every request asks: the patterns are made once.
        static PATTERNS: LazyLock<[Vec<WildMatch>; 5]> = LazyLock::new(|| {
            let patterns =
                |list: &[&str]| list.iter().map(|text| WildMatch::new_case_insensitive(text)).collect();
            [
                patterns(&["gpt-*", "chatgpt-*", "o1*", "o3*", "o4*", "codex-*", "claude-*"]),
                patterns(&["text-embedding-*"]),
                patterns(&["gpt-image-*", "chatgpt-image-*", "dall-e-*"]),
                patterns(&["tts-1*", "gpt-*-tts*"]),
                patterns(&["whisper-*", "gpt-*-transcribe*"]),
            ]
        });
        let [chat, embed, image, speech, transcribe] = &*PATTERNS;
        match self {
            Self::Chat => (chat, CHAT),
            Self::Embed => (embed, EMBED),
            Self::Image => (image, IMAGE),
            Self::Speech => (speech, SPEECH),
            Self::Transcribe => (transcribe, CHAT),
        }
    }
}

impl Config {
    /// The Gemini model that `requested` stands for, without `models/` before it: what the user's aliases say,
    /// else the built-in ones for the operation, else itself. Aliases are not followed twice.
    pub fn resolve_model<'a>(&'a self, requested: &'a str, operation: AliasFor) -> &'a str {
        let requested = bare(requested);
        if requested.starts_with("tunedModels/") {
            return requested;
        }
        let alias = self.model_aliases.iter().find(|alias| alias.pattern.matches(requested));
        if let Some(model) = alias.and_then(|alias| alias.models.first()) {
            return model;
        }
        let (patterns, model) = operation.built_in();
        if patterns.iter().any(|pattern| pattern.matches(requested)) { model } else { requested }
    }

    /// A model's name without its suffixes, and what they wish for. A name that is an alias as it stands has none.
    pub fn parted<'a>(&self, name: &'a str) -> (&'a str, Wishes) {
        let is_alias = || {
            self.model_aliases.iter().any(|alias| alias.pattern.pattern().eq_ignore_ascii_case(bare(name)))
        };
        match self.suffixes {
            Suffixes::Off => (name, Wishes::default()),
            Suffixes::Listed(_) => {
                let parted = suffix::parted(name);
                if parted.0 == name || is_alias() { (name, Wishes::default()) } else { parted }
            }
        }
    }

    /// What a client's name of a model wishes for, and what the alias that it goes by does.
    pub fn wishes(&self, requested: &str, operation: AliasFor) -> Wishes {
        let (plain, wishes) = self.parted(requested);
        wishes.or(self.parted(self.resolve_model(plain, operation)).1)
    }

    /// The models to turn to where `served`, the one that `requested` was resolved to, cannot serve: the others
    /// of the user's alias, then the fallbacks of `served` and of each of those. Each once, none that is not
    /// allowed, at most [`MAX_FURTHER`]; the fallbacks of fallbacks are not followed.
    pub fn further_models<'a>(&'a self, requested: &str, served: &str) -> impl Iterator<Item = &'a str> {
        let of = |list: &'a [ModelAlias], name: &str| {
            let alias = list.iter().find(|alias| alias.pattern.matches(name));
            alias.map(|alias| alias.models.as_slice()).unwrap_or_default()
        };
        // Tuned models have no alias, whatever their last name is.
        let others = match of(&self.model_aliases, bare(requested)) {
            [first, others @ ..] if self.parted(first).0 == served => others,
            _ => &[],
        };
        let chosen = std::iter::once(served).chain(others.iter().map(String::as_str));
        let fallbacks = chosen.flat_map(|model| of(&self.model_fallbacks, model));
        let mut further: Vec<&'a str> = Vec::new();
        for model in others.iter().chain(fallbacks).map(|model| self.parted(model).0) {
            if further.len() == MAX_FURTHER {
                break;
            }
            if model != served && !further.contains(&model) && self.model_allowed(model) {
                further.push(model);
            }
        }
        further.into_iter()
    }

    /// What a foreign name is most likely meant for, where only the name is known.
    pub fn alias_kind(&self, requested: &str) -> AliasFor {
        let requested = bare(requested);
        [AliasFor::Embed, AliasFor::Image, AliasFor::Speech, AliasFor::Transcribe]
            .into_iter()
            .find(|kind| kind.built_in().0.iter().any(|pattern| pattern.matches(requested)))
            .unwrap_or(AliasFor::Chat)
    }

    /// Whether no model is left out of lists.
    pub fn lists_all_models(&self) -> bool {
        self.models.is_empty() && self.models_deny.is_empty()
    }

    /// Whether a Gemini model may be listed and served, by `LIBRA_MODELS` and `LIBRA_MODELS_DENY`; the latter
    /// has the last word. `model` is a resolved name, with or without `models/` before it.
    pub fn model_allowed(&self, model: &str) -> bool {
        let model = bare(model);
        let listed = |patterns: &[WildMatch]| patterns.iter().any(|pattern| pattern.matches(model));
        (self.models.is_empty() || listed(&self.models)) && !listed(&self.models_deny)
    }
}

/// `LIBRA_SUFFIXES`: the suffixes that lists show, or `off`.
pub(super) fn suffixes(text: &str) -> Result<Suffixes, String> {
    if values::switch(text) == Ok(false) {
        return Ok(Suffixes::Off);
    }
    let mut listed = Vec::new();
    for entry in split(text).iter() {
        let name = format!("m{entry}");
        if suffix::parted(&name).0 != "m" {
            return Err(format!(
                "{} is no suffix; write -search, -nothinking, -thinking-8192, (high) or the like, or off",
                quoted(entry)
            ));
        }
        if listed.len() == MAX_SUFFIXES {
            return Err(format!("holds more than {MAX_SUFFIXES} suffixes"));
        }
        listed.push(entry.to_owned());
    }
    Ok(Suffixes::Listed(listed))
}

/// `pattern=model,model;pattern=model`, or a JSON object of patterns to a model or an array of models.
pub(super) fn aliases(text: &str) -> Result<Vec<ModelAlias>, String> {
    let aliases = if text.starts_with('{') {
        let table: serde_json::Map<String, Value> =
            serde_json::from_str(text).map_err(|error| json_error(&error))?;
        table
            .iter()
            .map(|(pattern, models)| {
                let models: Option<Vec<&str>> = match models {
                    Value::String(model) => Some(vec![model]),
                    Value::Array(models) => models.iter().map(Value::as_str).collect(),
                    _ => None,
                };
                let models = models
                    .ok_or_else(|| format!("{} needs a model or an array of models", quoted(pattern)))?;
                alias(pattern, models)
            })
            .collect::<Result<Vec<_>, _>>()?
    } else {
        text.split([';', '；', '\n'])
            .map(trimmed)
            .filter(|entry| !entry.is_empty())
            .map(|entry| {
                let (pattern, models) = entry
                    .split_once(['=', '＝'])
                    .ok_or_else(|| format!("{} is not of the form pattern=model", quoted(entry)))?;
                alias(pattern, split(models).iter())
            })
            .collect::<Result<Vec<_>, _>>()?
    };
    if aliases.len() > MAX_PATTERNS {
        return Err(format!("has {} aliases; at most {MAX_PATTERNS} are allowed", aliases.len()));
    }
    Ok(aliases)
}

fn alias<'a>(text: &str, models: impl IntoIterator<Item = &'a str>) -> Result<ModelAlias, String> {
    let models = models
        .into_iter()
        .map(|model| match model.contains('=') {
            true => Err(format!("{} holds a =; aliases are parted by semicolons", quoted(model))),
            false => name(model),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if models.is_empty() {
        return Err(format!("{} has no model", quoted(trimmed(text))));
    }
    Ok(ModelAlias { pattern: pattern(trimmed(text))?, models })
}

/// Model names, in which `*` stands for anything and `?` for one character.
pub(super) fn patterns(text: &str) -> Result<Vec<WildMatch>, String> {
    let patterns = split(text).iter().map(pattern).collect::<Result<Vec<_>, _>>()?;
    if patterns.len() > MAX_PATTERNS {
        return Err(format!("has {} patterns; at most {MAX_PATTERNS} are allowed", patterns.len()));
    }
    Ok(patterns)
}

pub(crate) fn pattern(text: &str) -> Result<WildMatch, String> {
    let text = bare(text);
    if text.is_empty() || text.len() > MAX_NAME_BYTES {
        return Err(format!("{} is no pattern: it has 1 to {MAX_NAME_BYTES} characters", quoted(text)));
    }
    // Clients write "GPT-4o" too. Gemini's own names have no capitals.
    Ok(WildMatch::new_case_insensitive(text))
}

/// A Gemini model's name, fit to stand in a path; perhaps with suffixes.
pub(super) fn name(text: &str) -> Result<String, String> {
    let text = bare(text);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '@');
    let (plain, _) = suffix::parted(text);
    let climbs = plain.split('/').any(|segment| matches!(segment, "" | "." | ".."));
    if text.len() > MAX_NAME_BYTES || climbs || !plain.chars().all(fits) {
        return Err(format!("{} is no model name: letters, digits and -_./@ are allowed", quoted(text)));
    }
    Ok(text.to_owned())
}

/// A model's name without the collection that Google puts before it.
fn bare(model: &str) -> &str {
    model.strip_prefix("models/").unwrap_or(model)
}

pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c| is_blank(c) || is_quote(c))
}
