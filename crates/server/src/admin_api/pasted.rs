//! Keys in whatever text somebody pastes: lists, files of the environment, JSON of other programs.

use std::collections::BTreeSet;

use libra_core::config::{PoolKey, parse_keys};
use libra_core::secret::KeyId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Gemini's keys have 39 characters or more. What is much shorter is a word, or was cut off.
const SHORTEST: usize = 20;

/// More entries that are no keys than are told one by one.
const MOST_TOLD: usize = 100;

/// How deep JSON is looked through.
const DEEPEST: usize = 16;

/// What was found in a text.
#[derive(Debug, Default)]
pub(crate) struct Pasted {
    /// The keys, each once.
    pub(crate) keys: Vec<PoolKey>,
    /// How many came again.
    pub(crate) doubles: usize,
    /// The first entries that are no keys.
    pub(crate) refused: Vec<Refused>,
    /// All of them.
    pub(crate) refused_count: usize,
}

/// An entry that is no key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = RefusedEntry)]
pub(crate) struct Refused {
    /// Its place among the entries, from 1.
    pub(crate) entry: u64,
    /// What is wrong with it. Nothing of it is shown.
    pub(crate) problem: String,
}

impl Pasted {
    pub(crate) fn read(text: &str) -> Self {
        let mut reading = Reading::default();
        match serde_json::from_str::<Value>(text.trim()) {
            Ok(value @ (Value::Array(_) | Value::Object(_))) => reading.value(&value, 0),
            _ => text.lines().for_each(|line| reading.line(line)),
        }
        reading.pasted
    }
}

#[derive(Default)]
struct Reading {
    pasted: Pasted,
    known: BTreeSet<KeyId>,
    entries: u64,
}

impl Reading {
    fn line(&mut self, line: &str) {
        // A comment begins a line, or stands behind white space: # may be in a key.
        let comment = line.match_indices('#').map(|(at, _)| at);
        let comment =
            comment.into_iter().find(|at| line[..*at].chars().next_back().is_none_or(char::is_whitespace));
        let line = comment.map_or(line, |at| &line[..at]);
        let is_separator = |c: char| {
            c.is_whitespace()
                || matches!(c, ',' | ';' | '，' | '；' | '、' | '|' | '[' | ']' | '\u{200b}' | '\u{feff}')
        };
        for word in line.split(is_separator) {
            // NAME=KEY, as files of the environment have it; the = at the end of a word is no such thing.
            let word =
                word.split_once('=').map_or(word, |(_, value)| if value.is_empty() { word } else { value });
            let word =
                word.trim_matches(|c| matches!(c, '"' | '\'' | '`' | '“' | '”' | '‘' | '’' | '(' | ')'));
            // Bullets, numbers, "export", and whatever else stands between keys.
            if !word.is_empty() && !is_noise(word) {
                self.entry(word, None, None);
            }
        }
    }

    /// Texts in lists are keys, and so is what a table calls one.
    fn value(&mut self, value: &Value, depth: usize) {
        match value {
            _ if depth > DEEPEST => {}
            Value::String(text) => text.lines().for_each(|line| self.line(line)),
            Value::Array(values) => values.iter().for_each(|value| self.value(value, depth + 1)),
            Value::Object(fields) => {
                let text = |names: &[&str]| {
                    names
                        .iter()
                        .find_map(|name| fields.get(*name)?.as_str())
                        .filter(|text| !text.trim().is_empty())
                };
                if let Some(key) =
                    text(&["key", "api_key", "apiKey", "api-key", "key_value", "value", "token"])
                {
                    let (project, label) = (text(&["project"]), text(&["label", "name", "note", "remark"]));
                    self.entry(key.trim(), project, label);
                }
                for value in fields.values().filter(|value| value.is_array() || value.is_object()) {
                    self.value(value, depth + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn entry(&mut self, text: &str, project: Option<&str>, label: Option<&str>) {
        self.entries += 1;
        match read_one(text) {
            Ok(mut key) => {
                if !self.known.insert(key.key.id()) {
                    self.pasted.doubles += 1;
                    return;
                }
                key.project = key.project.or_else(|| project.map(str::to_owned));
                key.label = key.label.or_else(|| label.map(str::to_owned));
                self.pasted.keys.push(key);
            }
            Err(problem) => {
                self.pasted.refused_count += 1;
                if self.pasted.refused.len() < MOST_TOLD {
                    self.pasted.refused.push(Refused { entry: self.entries, problem });
                }
            }
        }
    }
}

fn read_one(text: &str) -> Result<PoolKey, String> {
    let mut keys = parse_keys(text).map_err(|error| match error.problem.split_once(": ") {
        Some((_, problem)) => problem.to_owned(),
        None => error.problem,
    })?;
    match (keys.pop(), keys.is_empty()) {
        (Some(key), true) if key.key.expose().len() >= SHORTEST => Ok(key),
        (Some(_), true) => {
            Err(format!("has fewer than {SHORTEST} characters; Gemini's keys have 39 or more"))
        }
        _ => Err("is no key".to_owned()),
    }
}

fn is_noise(word: &str) -> bool {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    word.strip_suffix('=').is_some_and(is_name)
        || word.len() < 8 && word.chars().all(|c| !c.is_alphanumeric() || c.is_ascii_digit())
        || word == "export"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_what_is_pasted() {
        const A: &str = "fixture-key-not-a-real-one-0000000001";
        const B: &str = "fixture-key-not-a-real-one-0000000002";
        let check = |text: &str, expected: &[(&str, Option<&str>, Option<&str>)], doubles, refused| {
            let pasted = Pasted::read(text);
            let found: Vec<_> = pasted
                .keys
                .iter()
                .map(|key| (key.key.expose(), key.project.as_deref(), key.label.as_deref()))
                .collect();
            assert_eq!(found, expected, "{text}");
            assert_eq!((pasted.doubles, pasted.refused_count), (doubles, refused), "{text}");
        };
        let both = &[(A, None, None), (B, None, None)];
        check(&format!("{A}\n{B}\r\n{A}\n"), both, 1, 0);
        check(&format!("{A}, {B}，{B}"), both, 1, 0);
        check(&format!("- \"{A}\"\n2. '{B}'  # the second"), both, 0, 0);
        check(&format!("export GEMINI_API_KEY={A}\nKEYS=\"{B}\""), both, 0, 0);
        check(&format!("team-a:{A}"), &[(A, Some("team-a"), None)], 0, 0);
        check(&format!("[\"{A}\",\"{B}\"]"), both, 0, 0);
        check(&format!("API_KEYS=[\"{A}\",\"{B}\"]"), both, 0, 0);
        check(
            &format!(
                r#"{{"data":[{{"key":"{A}","project":"p","label":"one"}},{{"api_key":"{B}","status":1}}]}}"#
            ),
            &[(A, Some("p"), Some("one")), (B, None, None)],
            0,
            0,
        );
        check(&format!("hello there\n{A}"), &[(A, None, None)], 0, 2);
        check("", &[], 0, 0);
        check("\u{0}\u{7f}", &[], 0, 0);
    }

    #[test]
    fn what_is_no_key_is_not_shown() {
        let pasted = Pasted::read("geheimes-wort\nnot-ascii-ключ-at-all-but-long");
        assert_eq!(pasted.refused.len(), 2);
        for refused in &pasted.refused {
            assert!(!refused.problem.contains("wort") && !refused.problem.contains("ключ"), "{refused:?}");
        }
    }
}
