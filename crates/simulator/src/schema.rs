//! Values that fit a schema: arguments of function calls, and answers of structured output.

use serde_json::{Map, Value, json};

/// How deep a value can be nested, and how many values it can have. A schema with cycles through required
/// properties would otherwise never end.
const DEEPEST: usize = 12;
const MOST_VALUES: usize = 2_000;

/// A value that fits `schema`, of either kind (OpenAPI's subset or JSON Schema). Always the same for the same.
pub(crate) fn instance(schema: &Value) -> Value {
    Maker { root: schema, left: MOST_VALUES }.make(schema, 0)
}

struct Maker<'a> {
    root: &'a Value,
    left: usize,
}

impl<'a> Maker<'a> {
    fn make(&mut self, schema: &'a Value, depth: usize) -> Value {
        if depth > DEEPEST || self.left == 0 {
            return Value::Null;
        }
        self.left -= 1;
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let target = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return target.map_or(Value::Null, |target| self.make(target, depth + 1));
        }
        if let Some(fixed) = schema.get("const") {
            return fixed.clone();
        }
        if let Some(first) = schema.get("enum").and_then(|values| values.get(0)) {
            return first.clone();
        }
        for choice in ["anyOf", "any_of", "oneOf", "allOf"] {
            if let Some(first) = schema.get(choice).and_then(|schemas| schemas.get(0)) {
                return self.make(first, depth + 1);
            }
        }
        match kind(schema).as_str() {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "integer" => json!(bound(schema, "minimum").map_or(7, |least| least.ceil() as i64)),
            "number" => json!(bound(schema, "minimum").unwrap_or(1.5)),
            "boolean" => json!(true),
            "null" => Value::Null,
            _ => json!(string(schema)),
        }
    }

    fn object(&mut self, schema: &'a Value, depth: usize) -> Value {
        let mut fields = Map::new();
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            let required = schema.get("required").and_then(Value::as_array);
            for (name, property) in properties {
                let is_required = required.is_some_and(|names| names.iter().any(|required| required == name));
                // Optional properties stop first, so that schemas that contain themselves come to an end.
                if is_required || depth < DEEPEST / 3 {
                    fields.insert(name.clone(), self.make(property, depth + 1));
                }
            }
        }
        Value::Object(fields)
    }

    fn array(&mut self, schema: &'a Value, depth: usize) -> Value {
        if let Some(items) = schema.get("prefixItems").and_then(Value::as_array) {
            return items.iter().map(|item| self.make(item, depth + 1)).collect();
        }
        let least = bound(schema, "minItems").or_else(|| bound(schema, "min_items")).unwrap_or(1.0);
        let count = (least as usize).clamp(1, 100);
        let Some(items) = schema.get("items") else { return json!([]) };
        (0..count).map(|_| self.make(items, depth + 1)).collect()
    }
}

fn kind(schema: &Value) -> String {
    let named = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().find(|kind| *kind != "null").and_then(Value::as_str),
        Some(kind) => kind.as_str(),
        None => None,
    };
    let implied = if schema.get("properties").is_some() { "object" } else { "string" };
    named.unwrap_or(implied).to_ascii_lowercase()
}

/// A bound that may be a number or, as protocol buffers write 64 bits, a string.
fn bound(schema: &Value, name: &str) -> Option<f64> {
    let value = schema.get(name)?;
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn string(schema: &Value) -> String {
    let text = match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => "2026-11-24T12:00:00Z",
        Some("date") => "2026-11-24",
        Some("time") => "12:00:00Z",
        Some("email") => "someone@example.com",
        Some("uri" | "url") => "https://example.com/",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        _ => "Paris",
    };
    let most = bound(schema, "maxLength").or_else(|| bound(schema, "max_length")).unwrap_or(100.0) as usize;
    let least = bound(schema, "minLength").or_else(|| bound(schema, "min_length")).unwrap_or(0.0) as usize;
    let text: String = text.chars().take(most).collect();
    text.chars().chain(std::iter::repeat('x')).take(text.chars().count().max(least.min(1_000))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fit_their_schema() {
        let check = |schema: Value, expected: Value| assert_eq!(instance(&schema), expected, "{schema}");
        check(json!({ "type": "STRING" }), json!("Paris"));
        check(json!({ "type": "string", "maxLength": 3 }), json!("Par"));
        check(json!({ "type": "string", "minLength": "7" }), json!("Parisxx"));
        check(json!({ "type": ["null", "integer"], "minimum": 20.5 }), json!(21));
        check(json!({ "enum": ["c", "f"] }), json!("c"));
        check(json!({ "const": 5 }), json!(5));
        check(json!({ "anyOf": [{ "type": "boolean" }, { "type": "null" }] }), json!(true));
        check(json!({ "type": "array", "minItems": 2, "items": { "type": "number" } }), json!([1.5, 1.5]));
        check(
            json!({ "properties": { "a": { "$ref": "#/$defs/A" } }, "$defs": { "A": { "type": "NULL" } } }),
            json!({ "a": null }),
        );
        check(json!({ "type": "object" }), json!({}));
        check(json!("nonsense"), json!("Paris"));
    }

    #[test]
    fn schemas_that_contain_themselves_end() {
        let tree =
            json!({ "type": "object", "properties": { "left": { "$ref": "#" }, "right": { "$ref": "#" } } });
        assert!(instance(&tree)["left"].is_object());
        let endless = json!({
            "type": "object", "required": ["a", "b"],
            "properties": { "a": { "$ref": "#" }, "b": { "$ref": "#" } },
        });
        assert!(instance(&endless)["b"].is_object());
    }
}
