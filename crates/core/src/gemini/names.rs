//! Function names that Gemini takes, for those that clients choose.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Gemini's bound on the length of a name.
const LONGEST: usize = 128;

/// The names of one request's functions, there and back. Names that Gemini takes as they are cost nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FunctionNames {
    to_gemini: BTreeMap<String, String>,
    to_client: BTreeMap<String, String>,
}

impl FunctionNames {
    /// Finds names for those of `names` that Gemini would refuse, distinct from all others.
    pub fn new<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut map = Self::default();
        if names.clone().all(is_valid) {
            return map;
        }
        let mut taken: BTreeSet<Cow<'a, str>> =
            names.clone().filter(|name| is_valid(name)).map(Cow::Borrowed).collect();
        // The next number to try for a name, so that many alike are fitted in one pass.
        let mut numbers: HashMap<String, u32> = HashMap::new();
        for name in names.filter(|name| !is_valid(name)) {
            if map.to_gemini.contains_key(name) {
                continue;
            }
            let plain = sanitise(name);
            let mut candidate = plain.clone();
            let number = numbers.entry(plain.clone()).or_insert(2);
            while taken.contains(candidate.as_str()) {
                let suffix = format!("_{number}");
                candidate = format!("{}{suffix}", &plain[..plain.len().min(LONGEST - suffix.len())]);
                *number += 1;
            }
            taken.insert(Cow::Owned(candidate.clone()));
            map.to_client.insert(candidate.clone(), name.to_owned());
            map.to_gemini.insert(name.to_owned(), candidate);
        }
        map
    }

    /// What Gemini knows a function as. Names that are not of this request (of an old turn, say) are
    /// fitted too.
    pub fn to_gemini<'a>(&'a self, name: &'a str) -> Cow<'a, str> {
        match self.to_gemini.get(name) {
            Some(known) => Cow::Borrowed(known),
            None if is_valid(name) => Cow::Borrowed(name),
            None => Cow::Owned(sanitise(name)),
        }
    }

    /// What the client knows a function as.
    pub fn to_client<'a>(&'a self, name: &'a str) -> &'a str {
        self.to_client.get(name).map_or(name, String::as_str)
    }

    /// Whether every name is the same on both sides.
    pub fn is_identity(&self) -> bool {
        self.to_client.is_empty()
    }
}

/// `[A-Za-z_][A-Za-z0-9_.:-]{0,127}`
fn is_valid(name: &str) -> bool {
    name.len() <= LONGEST
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(is_allowed)
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-')
}

fn sanitise(name: &str) -> String {
    let allowed = |character: char| u8::try_from(character).is_ok_and(is_allowed);
    let mut sanitised: String =
        name.chars().map(|character| if allowed(character) { character } else { '_' }).collect();
    if !sanitised.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        sanitised.insert(0, '_');
    }
    // ASCII alone is left.
    sanitised.truncate(LONGEST);
    sanitised
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fitted_and_found_again() {
        let check = |names: &[&str], expected: &[&str]| {
            let map = FunctionNames::new(names.iter().copied());
            let fitted: Vec<_> = names.iter().map(|name| map.to_gemini(name)).collect();
            assert_eq!(fitted, expected);
            for (name, fitted) in names.iter().zip(&fitted) {
                assert_eq!(map.to_client(fitted), *name);
                assert!(is_valid(fitted));
            }
        };
        check(&["get_weather", "a.b:c-d"], &["get_weather", "a.b:c-d"]);
        check(&["my tool", "my_tool", "my/tool"], &["my_tool_2", "my_tool", "my_tool_3"]);
        check(&["7zip", "天气"], &["_7zip", "__"]);
        check(&[""], &["_"]);
        let long = "x".repeat(130);
        check(&[&long, &long[..128]], &[&format!("{}_2", &long[..126]), &long[..128]]);
    }
}
