//! JSON schemas as Gemini takes them in `parametersJsonSchema` and `responseJsonSchema`.
//!
//! Those two fields take standard JSON Schema, so only what is refused or misread is changed: meta keywords go,
//! `const` becomes an `enum` of one, `definitions` become `$defs`, what stands beside a `$ref` goes (Gemini
//! allows nothing there), an `allOf` of one is that one, arrays get `items`, and `required` names only what
//! there is. A *property* that is called like a keyword is a property, and is left alone.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::value::RawValue;

use super::entries::Entries;

/// Schemas nested deeper are passed on as they are. Google's own bound on nesting is far below.
const DEEPEST: u8 = 64;

/// A client's schema, cleaned while it is written.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    raw: &'a RawValue,
    depth: u8,
}

impl<'a> Schema<'a> {
    /// Takes a schema as the client wrote it.
    pub fn new(raw: &'a RawValue) -> Self {
        Self { raw, depth: 0 }
    }

    fn at<'b>(self, raw: &'b RawValue) -> Schema<'b> {
        Schema { raw, depth: self.depth + 1 }
    }
}

impl PartialEq for Schema<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.raw.get() == other.raw.get()
    }
}

impl Serialize for Schema<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.depth >= DEEPEST {
            return self.raw.serialize(serializer);
        }
        let Some(mut entries) = Entries::of(self.raw) else {
            // `true` and `false` are schemas too; Gemini knows only objects.
            return serializer.serialize_map(Some(0))?.end();
        };
        inline_single_all_of(&mut entries);
        let mut map = serializer.serialize_map(None)?;
        if entries.get("$ref").is_some() {
            for (key, value) in entries.0.iter().filter(|(key, _)| key.starts_with('$') && !is_meta(key)) {
                self.write(&mut map, key, value, &entries)?;
            }
            return map.end();
        }
        for (key, value) in entries.0.iter().filter(|(key, _)| !is_meta(key)) {
            self.write(&mut map, key, value, &entries)?;
        }
        let is_array = entries.get("type").is_some_and(|kind| kind.get() == r#""array""#);
        if is_array && entries.get("items").is_none() && entries.get("prefixItems").is_none() {
            map.serialize_entry("items", &Everything {})?;
        }
        map.end()
    }
}

impl Schema<'_> {
    /// One keyword and its value.
    fn write<M: serde::ser::SerializeMap>(
        self,
        map: &mut M,
        key: &str,
        value: &RawValue,
        siblings: &Entries<'_>,
    ) -> Result<(), M::Error> {
        match key {
            "properties" | "patternProperties" | "$defs" | "dependentSchemas" => {
                map.serialize_entry(key, &Named(self.at(value)))
            }
            "definitions" if siblings.get("$defs").is_none() => {
                map.serialize_entry("$defs", &Named(self.at(value)))
            }
            "items" | "anyOf" | "oneOf" | "allOf" | "prefixItems" if value.get().starts_with('[') => {
                map.serialize_entry(key, &List(self.at(value)))
            }
            "items" | "contains" | "propertyNames" | "not" | "if" | "then" | "else" => {
                map.serialize_entry(key, &self.at(value))
            }
            "additionalProperties" | "unevaluatedProperties" if value.get().starts_with('{') => {
                map.serialize_entry(key, &self.at(value))
            }
            "$ref" => match serde_json::from_str::<Cow<'_, str>>(value.get()) {
                Ok(reference) if reference.starts_with("#/definitions/") => {
                    map.serialize_entry(key, &reference.replace("#/definitions/", "#/$defs/"))
                }
                _ => map.serialize_entry(key, value),
            },
            "const" if siblings.get("enum").is_some() => Ok(()),
            "const" if value.get() == "null" => map.serialize_entry("type", "null"),
            "const" => map.serialize_entry("enum", &[value]),
            "enum" => {
                // `null` is a matter of the type; in an enumeration Gemini wants strings and numbers.
                let mut values: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
                values.retain(|value| value.get() != "null");
                if values.is_empty() { Ok(()) } else { map.serialize_entry(key, &values) }
            }
            "required" => {
                let (Some(properties), Ok(required)) = (
                    siblings.get("properties").and_then(Entries::of),
                    serde_json::from_str::<Vec<Cow<'_, str>>>(value.get()),
                ) else {
                    return map.serialize_entry(key, value);
                };
                let names = properties.names();
                let known: Vec<_> =
                    required.into_iter().filter(|name| names.contains(name.as_ref())).collect();
                map.serialize_entry(key, &known)
            }
            _ => map.serialize_entry(key, value),
        }
    }
}

/// An object whose values are schemas and whose keys are names.
struct Named<'a>(Schema<'a>);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(entries) = Entries::of(self.0.raw) else {
            return self.0.raw.serialize(serializer);
        };
        let mut map = serializer.serialize_map(Some(entries.0.len()))?;
        for (name, schema) in &entries.0 {
            map.serialize_entry(name, &self.0.at(schema))?;
        }
        map.end()
    }
}

/// An array of schemas.
struct List<'a>(Schema<'a>);

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Ok(schemas) = serde_json::from_str::<Vec<&RawValue>>(self.0.raw.get()) else {
            return self.0.raw.serialize(serializer);
        };
        let mut list = serializer.serialize_seq(Some(schemas.len()))?;
        for schema in schemas {
            list.serialize_element(&self.0.at(schema))?;
        }
        list.end()
    }
}

/// The schema that everything satisfies.
#[derive(serde::Serialize)]
struct Everything {}

/// Keywords about the schema itself, and those of other systems.
fn is_meta(key: &str) -> bool {
    matches!(key, "$schema" | "$id" | "id" | "$comment" | "$vocabulary" | "strict") || key.starts_with("x-")
}

/// Pydantic wraps a reference that has a description: `{"allOf": [{"$ref": …}], "description": …}`.
fn inline_single_all_of(entries: &mut Entries<'_>) {
    let Some(list) = entries.get("allOf") else { return };
    let Ok([single]) = serde_json::from_str::<[&RawValue; 1]>(list.get()) else { return };
    let Some(inner) = Entries::of(single) else { return };
    entries.0.retain(|(key, _)| key != "allOf");
    let known = entries.names();
    let new: Vec<_> = inner.0.into_iter().filter(|(key, _)| !known.contains(key.as_ref())).collect();
    entries.0.extend(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &str, expected: &str) {
        let raw: &RawValue = serde_json::from_str(schema).expect("valid JSON");
        assert_eq!(serde_json::to_string(&Schema::new(raw)).expect("writes"), expected);
    }

    #[test]
    fn meta_keywords_go_and_the_rest_stays() {
        check(
            r#"{"$schema":"http://json-schema.org/draft-07/schema#","$id":"a","type":"object","strict":true,
                "properties":{"city":{"type":"string","x-order":1,"$comment":"c"}},"required":["city"],
                "additionalProperties":false}"#,
            r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}"#,
        );
    }

    #[test]
    fn properties_that_are_called_like_keywords_are_properties() {
        check(
            r#"{"type":"object","properties":{"$schema":{"type":"string"},"id":{"type":"string"},"const":{"type":"integer"},"required":{"type":"boolean"},"x-y":true,"items":{"const":"a"}},"required":["const","id"]}"#,
            r#"{"type":"object","properties":{"$schema":{"type":"string"},"id":{"type":"string"},"const":{"type":"integer"},"required":{"type":"boolean"},"x-y":{},"items":{"enum":["a"]}},"required":["const","id"]}"#,
        );
    }

    #[test]
    fn what_gemini_misreads_is_put_otherwise() {
        check(r#"{"const":"only"}"#, r#"{"enum":["only"]}"#);
        check(
            r#"{"type":["string","null"],"enum":["c","f",null]}"#,
            r#"{"type":["string","null"],"enum":["c","f"]}"#,
        );
        check(r#"{"type":"array"}"#, r#"{"type":"array","items":{}}"#);
        check(
            r#"{"type":"array","items":{"type":"array"}}"#,
            r#"{"type":"array","items":{"type":"array","items":{}}}"#,
        );
        check(
            r##"{"definitions":{"A":{"type":"string"}},"properties":{"a":{"$ref":"#/definitions/A","description":"d"}}}"##,
            r##"{"$defs":{"A":{"type":"string"}},"properties":{"a":{"$ref":"#/$defs/A"}}}"##,
        );
        check(
            r##"{"properties":{"a":{"allOf":[{"$ref":"#/$defs/A"}],"title":"t"}}}"##,
            r##"{"properties":{"a":{"$ref":"#/$defs/A"}}}"##,
        );
        check(
            r#"{"properties":{"a":{}},"required":["a","b"]}"#,
            r#"{"properties":{"a":{}},"required":["a"]}"#,
        );
        check("true", "{}");
    }

    #[test]
    fn deep_nesting_is_bounded() {
        let deep = format!("{}{}", r#"{"items":"#.repeat(5_000), "{}".to_owned() + &"}".repeat(5_000));
        check(&deep, &deep);
    }
}
