//! JSON with one of its values replaced.

#![allow(unreachable_pub, reason = "shared by tests")]

use serde_json::Value;

/// Replaces one value, the `place`th of all, counted around.
pub fn replace_at(value: &mut Value, place: usize, other: Value) {
    let mut place = place % count(value);
    replace(value, &mut place, other);
}

/// All values, those within others included.
pub fn count(value: &Value) -> usize {
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
