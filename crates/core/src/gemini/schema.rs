//! JSON schemas as Gemini takes them.
//!
//! `parametersJsonSchema` and `responseJsonSchema` take standard JSON Schema, as far as it says what Gemini can hold
//! itself to. A client's schema is [cleaned](clean) into that: what it accepts, the cleaned one accepts. Old models,
//! and what Gemini refused before, get the [subset of OpenAPI](subset) that `parameters` and `responseSchema` take.

mod clean;
mod subset;

use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

use self::clean::Node;

/// A client's schema, cleaned while it is written.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    raw: &'a RawValue,
    form: Form<'a>,
}

/// In which form a schema goes up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form<'a> {
    /// JSON Schema, for `parametersJsonSchema` and `responseJsonSchema`.
    #[default]
    JsonSchema,
    /// The same without a keyword that Gemini has refused.
    Without(&'a str),
    /// OpenAPI's, for `parameters` and `responseSchema`.
    OpenApi,
}

impl<'a> Schema<'a> {
    /// Takes a schema as the client wrote it.
    pub fn new(raw: &'a RawValue) -> Self {
        Self { raw, form: Form::JsonSchema }
    }

    /// The same in another form.
    pub fn in_form(self, form: Form<'a>) -> Self {
        Self { form, ..self }
    }
}

impl PartialEq for Schema<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.raw.get() == other.raw.get() && self.form == other.form
    }
}

impl Serialize for Schema<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut node = Node::of(self.raw);
        match self.form {
            Form::JsonSchema => node.serialize(serializer),
            Form::Without(keyword) => {
                node.remove(keyword);
                node.serialize(serializer)
            }
            Form::OpenApi => subset::OpenApi::of(&node).serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(schema: &str, form: Form<'_>) -> String {
        let raw: &RawValue = serde_json::from_str(schema).expect("valid JSON");
        serde_json::to_string(&Schema::new(raw).in_form(form)).expect("writes")
    }

    fn check(schema: &str, expected: &str) {
        assert_eq!(written(schema, Form::JsonSchema), expected, "{schema}");
        assert_eq!(written(expected, Form::JsonSchema), expected, "what is clean stays as it is");
    }

    #[test]
    fn what_says_nothing_to_gemini_goes_and_the_rest_stays() {
        check(
            r#"{"$schema":"http://json-schema.org/draft-07/schema#","$id":"a","type":"object","strict":true,
                "properties":{"city":{"type":"string","x-order":1,"$comment":"c"}},"required":["city"],
                "additionalProperties":false}"#,
            r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}"#,
        );
        check(
            r#"{"type":"integer","exclusiveMinimum":0,"maximum":9,"multipleOf":3,"description":"How many."}"#,
            r#"{"type":"integer","description":"How many. (multipleOf: 3)","minimum":0,"maximum":9}"#,
        );
        check(
            r#"{"patternProperties":{"^x":{}},"additionalProperties":false}"#,
            r#"{"description":"(patternProperties: {\"^x\":{}})"}"#,
        );
        check("true", "{}");
    }

    #[test]
    fn of_equal_keys_the_last_counts() {
        check(
            r#"{"type":"object","required":["a"],"properties":{"a":{}},"required":["b"],"\u0074ype":"string"}"#,
            r#"{"type":"string","properties":{"a":{}}}"#,
        );
    }

    #[test]
    fn properties_that_are_called_like_keywords_are_properties() {
        check(
            r#"{"type":"object","properties":{"$schema":{"type":"string"},"id":{"type":"string"},"const":{"type":"integer"},"not":{"type":"string"},"title":{"type":"string"},"required":{"type":"boolean"},"x-y":true,"items":{"const":"a"}},"required":["const","not","title","id"]}"#,
            r#"{"type":"object","properties":{"$schema":{"type":"string"},"id":{"type":"string"},"const":{"type":"integer"},"not":{"type":"string"},"title":{"type":"string"},"required":{"type":"boolean"},"x-y":{},"items":{"type":"string","enum":["a"]}},"required":["const","not","title","id"]}"#,
        );
    }

    #[test]
    fn constants_and_enumerations() {
        check(r#"{"const":"only"}"#, r#"{"type":"string","enum":["only"]}"#);
        check(r#"{"const":null}"#, r#"{"type":"null"}"#);
        check(r#"{"const":true}"#, r#"{"type":"boolean","description":"(one of: [true])"}"#);
        check(r#"{"enum":[1,2]}"#, r#"{"type":"number","enum":[1,2]}"#);
        check(r#"{"enum":["a",1]}"#, r#"{"description":"(one of: [\"a\",1])"}"#);
        check(
            r#"{"type":["string","null"],"enum":["c","f",null]}"#,
            r#"{"anyOf":[{"type":"string","enum":["c","f"]},{"type":"null"}]}"#,
        );
        check(r#"{"type":"string","nullable":true}"#, r#"{"type":["string","null"]}"#);
    }

    #[test]
    fn arrays() {
        check(r#"{"type":"array"}"#, r#"{"type":"array","items":{}}"#);
        check(
            r#"{"type":"array","items":[{"type":"string"}],"additionalItems":{"type":"integer"}}"#,
            r#"{"type":"array","items":{"type":"integer"},"prefixItems":[{"type":"string"}]}"#,
        );
        check(
            r#"{"type":"array","items":{"type":"array"}}"#,
            r#"{"type":"array","items":{"type":"array","items":{}}}"#,
        );
        check(
            r#"{"properties":{"a":{}},"required":["a","b"]}"#,
            r#"{"properties":{"a":{}},"required":["a"]}"#,
        );
    }

    #[test]
    fn references_are_inlined_and_cycles_are_cut() {
        check(
            r##"{"definitions":{"A":{"type":"string"}},"properties":{"a":{"$ref":"#/definitions/A","description":"d"}}}"##,
            r#"{"properties":{"a":{"type":"string","description":"d"}}}"#,
        );
        check(
            r##"{"$defs":{"N":{"type":"object","properties":{"next":{"$ref":"#/$defs/N"},"v":{"type":"integer"}}}},"$ref":"#/$defs/N"}"##,
            r#"{"type":"object","properties":{"next":{"type":"object"},"v":{"type":"integer"}}}"#,
        );
        check(
            r##"{"properties":{"a/b~c":{"type":"string"},"x":{"$ref":"#/properties/a~1b~0c"},"y":{"$ref":"#"},"z":{"$ref":"https://a/b"}}}"##,
            r#"{"properties":{"a/b~c":{"type":"string"},"x":{"type":"string"},"y":{},"z":{}}}"#,
        );
        // Twenty definitions, each naming the next one twice, would be a million schemas.
        let doubling: Vec<String> = (0..20)
            .map(|n| {
                let next = n + 1;
                format!(r##""d{n}":{{"properties":{{"a":{{"$ref":"#/$defs/d{next}"}},"b":{{"$ref":"#/$defs/d{next}"}}}}}}"##)
            })
            .collect();
        let doubling = format!(r##"{{"$defs":{{{},"d20":{{}}}},"$ref":"#/$defs/d0"}}"##, doubling.join(","));
        assert!(written(&doubling, Form::JsonSchema).len() < 500_000);
    }

    #[test]
    fn what_all_have_to_satisfy_is_merged() {
        check(
            r##"{"$defs":{"A":{"type":"object","properties":{"a":{"type":"number"}},"required":["a"]}},
                "allOf":[{"$ref":"#/$defs/A"},{"properties":{"a":{"type":"integer","title":"t"},"b":{"type":"string"}},"required":["b"]}],"title":"T"}"##,
            r#"{"type":"object","title":"T","properties":{"a":{"type":"integer","title":"t"},"b":{"type":"string"}},"required":["a","b"]}"#,
        );
        check(
            r#"{"oneOf":[{"type":"string"},{"type":"null"}],"default":null}"#,
            r#"{"default":null,"anyOf":[{"type":"string"},{"type":"null"}]}"#,
        );
        check(r#"{"anyOf":[{"type":"string"}],"title":"t"}"#, r#"{"type":"string","title":"t"}"#);
    }

    #[test]
    fn the_subset_of_openapi() {
        let check = |schema, expected| assert_eq!(written(schema, Form::OpenApi), expected, "{schema}");
        check(
            r#"{"type":"object","properties":{"a":{"type":["string","null"],"format":"uri","minLength":1},"n":{"enum":[1,2]},"t":{"type":"array","prefixItems":[{"type":"string"}]},"any":{}},"required":["a"],"additionalProperties":false}"#,
            r#"{"type":"OBJECT","properties":{"a":{"type":"STRING","minLength":1,"nullable":true,"description":"(format: \"uri\")"},"n":{"type":"STRING","enum":["1","2"]},"t":{"type":"ARRAY","items":{"type":"STRING"}},"any":{"type":"STRING"}},"required":["a"]}"#,
        );
        check(
            r#"{"type":["string","integer","null"]}"#,
            r#"{"nullable":true,"anyOf":[{"type":"STRING"},{"type":"INTEGER"}]}"#,
        );
        check(
            r#"{"anyOf":[{"type":"string","format":"date-time"},{"type":"null"}]}"#,
            r#"{"type":"STRING","format":"date-time","nullable":true}"#,
        );
        check(r#"{"type":"object"}"#, r#"{"type":"OBJECT"}"#);
    }

    #[test]
    fn a_refused_keyword_goes_everywhere() {
        let schema = r#"{"type":"object","properties":{"minimum":{"type":"integer","minimum":1}},"additionalProperties":false}"#;
        assert_eq!(
            written(schema, Form::Without("minimum")),
            r#"{"type":"object","properties":{"minimum":{"type":"integer"}},"additionalProperties":false}"#
        );
        assert_eq!(
            written(schema, Form::Without("additionalProperties")),
            r#"{"type":"object","properties":{"minimum":{"type":"integer","minimum":1}}}"#
        );
    }

    #[test]
    fn deep_nesting_is_bounded() {
        let deep = format!("{}{}", r#"{"items":"#.repeat(5_000), "{}".to_owned() + &"}".repeat(5_000));
        let clean = written(&deep, Form::JsonSchema);
        assert!(clean.starts_with(r#"{"items":{"items":"#) && clean.len() < 1_000, "{}", clean.len());
    }
}
