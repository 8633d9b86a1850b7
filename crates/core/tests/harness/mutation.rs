//! Noise: any JSON, and good JSON with one of its values replaced.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;
use serde_json::Value;

/// The same cases every time, and no files of those that failed.
pub fn repeatable() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() }
}

/// Any JSON, made of the words that a translator looks for, and of odd ones.
pub fn any_json(words: &'static str, odd: &[&'static str]) -> impl Strategy<Value = Value> + use<> {
    let mut words: Vec<&'static str> = words.split_whitespace().collect();
    words.extend(["", "é😀\u{2028}\u{0}\"\\"]);
    words.extend(odd);
    let word = prop::sample::select(words);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|entries| Value::from_iter(
                entries.into_iter().map(|(key, value)| (key.to_owned(), value))
            )),
        ]
    })
}

/// One of these with one of its values replaced.
pub fn mutated(originals: Vec<Value>, other: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    (prop::sample::select(originals), any::<Index>(), other).prop_map(|(mut value, place, other)| {
        replace_at(&mut value, place, other);
        value
    })
}

/// Replaces one value of all, those within others included.
pub fn replace_at(value: &mut Value, place: Index, other: Value) {
    let mut place = place.index(count(value));
    replace(value, &mut place, other);
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(elements) => elements.iter().map(count).sum(),
        Value::Object(entries) => entries.values().map(count).sum(),
        _ => 0,
    }
}

fn children(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(elements) => elements.iter_mut().collect(),
        Value::Object(entries) => entries.values_mut().collect(),
        _ => Vec::new(),
    }
}

fn replace(value: &mut Value, place: &mut usize, other: Value) -> bool {
    if *place == 0 {
        *value = other;
        return true;
    }
    *place -= 1;
    children(value).into_iter().any(|child| replace(child, place, other.clone()))
}
