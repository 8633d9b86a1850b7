//! A JSON object of which a few fields are looked at, and the rest only moves.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The entries of an object in their order, each value as it was written; of equal keys the last value.
#[derive(Debug, Default)]
pub(crate) struct Entries<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Entries<'a> {
    /// None where the value is no object.
    pub(crate) fn of(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// The value under either of two spellings; null is as good as nothing.
    pub(crate) fn either(&self, names: &[&str; 2]) -> Option<&'a RawValue> {
        self.get(names[0]).or_else(|| self.get(names[1])).filter(|value| value.get() != "null")
    }

    /// The object under either of two spellings; empty where there is none.
    pub(crate) fn object(&self, names: &[&str; 2]) -> Self {
        self.either(names).and_then(Self::of).unwrap_or_default()
    }

    /// The elements of the array under either of two spellings; none where there is none.
    pub(crate) fn list(&self, names: &[&str; 2]) -> Vec<&'a RawValue> {
        self.either(names).and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Self::Value = Vec::with_capacity(map.size_hint().unwrap_or(0).min(64));
                let mut places = HashMap::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    // A key counts once, whichever way it is written: each may cost as much as all others.
                    match places.get(&key) {
                        Some(&place) => {
                            let (_, last): &mut (_, _) = &mut entries[place];
                            *last = value;
                        }
                        None => {
                            places.insert(key.clone(), entries.len());
                            entries.push((key, value));
                        }
                    }
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(Object).map(Self)
    }
}

/// A key that borrows where it can.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
