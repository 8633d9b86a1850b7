//! What a client's schema accepts, the cleaned one accepts: a validator that shares no code with the gateway judges
//! both, over schemas and values at random.

use std::cell::Cell;

use libra_core::gemini::schema::{Form, Schema};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// Property names, those of keywords among them.
fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "const", "not", "title", "$ref"]).prop_map(str::to_owned)
}

/// Values of the few kinds that the schemas speak of.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1..4).prop_map(Value::from),
        Just(json!(1.5)),
        prop::sample::select(vec!["", "a", "b", "abc"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// One keyword with its value, from schemas that are there already.
fn keyword(inner: impl Strategy<Value = Value> + Clone + 'static) -> impl Strategy<Value = (String, Value)> {
    let schemas = || prop::collection::vec(inner.clone(), 1..3).prop_map(Value::from);
    let named = || {
        prop::collection::btree_map(name(), inner.clone(), 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    };
    let kind =
        || prop::sample::select(vec!["object", "array", "string", "number", "integer", "boolean", "null"]);
    let small = || (0..3).prop_map(Value::from);
    let reference = prop::sample::select(vec!["#", "#/$defs/a", "#/$defs/b", "#/properties/a", "#/nowhere"]);
    let pair =
        |key: &'static str, value: BoxedStrategy<Value>| value.prop_map(move |value| (key.to_owned(), value));
    prop_oneof![
        4 => pair("type", kind().prop_map(Value::from).boxed()),
        1 => pair("type", prop::collection::btree_set(kind(), 1..4).prop_map(|kinds| json!(kinds)).boxed()),
        4 => pair("properties", named().boxed()),
        3 => pair("patternProperties", named().boxed()),
        2 => pair("required", prop::collection::btree_set(name(), 0..3).prop_map(|names| json!(names)).boxed()),
        4 => pair("additionalProperties", prop_oneof![Just(json!(false)), inner.clone()].boxed()),
        2 => pair("items", inner.clone().boxed()),
        1 => pair("prefixItems", schemas().boxed()),
        2 => pair("anyOf", schemas().boxed()),
        1 => pair("oneOf", schemas().boxed()),
        2 => pair("allOf", schemas().boxed()),
        1 => pair("not", inner.clone().boxed()),
        1 => pair("if", inner.clone().boxed()),
        1 => pair("then", inner.clone().boxed()),
        2 => pair("enum", prop::collection::vec(value(), 1..4).prop_map(Value::from).boxed()),
        2 => pair("const", value().boxed()),
        1 => pair("nullable", any::<bool>().prop_map(Value::from).boxed()),
        1 => pair("minimum", small().boxed()),
        1 => pair("exclusiveMinimum", small().boxed()),
        1 => pair("maximum", small().boxed()),
        1 => pair("multipleOf", Just(json!(2)).boxed()),
        1 => pair("minLength", small().boxed()),
        1 => pair("minItems", small().boxed()),
        1 => pair("maxProperties", small().boxed()),
        1 => pair("uniqueItems", any::<bool>().prop_map(Value::from).boxed()),
        1 => pair("title", Just(json!("t")).boxed()),
        2 => pair("$ref", reference.prop_map(Value::from).boxed()),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        3 => prop::sample::select(vec!["object", "array", "string", "integer"]).prop_map(|kind| json!({ "type": kind })),
        1 => any::<bool>().prop_map(Value::from),
    ];
    let schema = leaf.prop_recursive(4, 24, 4, |inner| {
        prop::collection::vec(keyword(inner), 1..6)
            .prop_map(|keywords| Value::Object(keywords.into_iter().collect()))
    });
    (schema.clone(), schema.clone(), schema).prop_map(|(schema, a, b)| {
        let mut schema = if schema.is_object() { schema } else { Value::Object(Map::new()) };
        schema["$defs"] = json!({ "a": a, "b": b });
        schema
    })
}

fn cleaned(schema: &Value) -> Value {
    let raw = RawValue::from_string(schema.to_string()).expect("JSON");
    let text = serde_json::to_string(&Schema::new(&raw)).expect("writes");
    serde_json::from_str(&text).expect("JSON comes out")
}

#[test]
fn what_the_original_accepts_the_cleaned_one_accepts() {
    let config =
        Config { cases: 1_000, failure_persistence: None, max_global_rejects: u32::MAX, ..Config::default() };
    let seed = [7; 32];
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let accepted = Cell::new(0_u32);
    let refused = Cell::new(0_u32);
    let cases = (schema(), prop::collection::vec(value(), 12));
    let result = runner.run(&cases, |(schema, values)| {
        // What is no schema (a reference that leads nowhere) says nothing.
        let Ok(original) = jsonschema::draft202012::new(&schema) else { return Ok(()) };
        let clean = cleaned(&schema);
        let judge = jsonschema::draft202012::new(&clean);
        let judge = judge.map_err(|error| TestCaseError::fail(format!("{clean} is no schema: {error}")))?;
        for value in values {
            if original.is_valid(&value) {
                accepted.set(accepted.get() + 1);
                prop_assert!(judge.is_valid(&value), "{clean} refuses {value}, which {schema} accepts");
            } else if !judge.is_valid(&value) {
                refused.set(refused.get() + 1);
            }
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("seed {seed:?}: {failure}");
    }
    // Neither of the two says the same to everything.
    assert!(accepted.get() > 1_500, "{}", accepted.get());
    assert!(refused.get() > 1_500, "{}", refused.get());
    eprintln!("{} values accepted by both, {} refused by both", accepted.get(), refused.get());
}

#[test]
fn every_form_is_json_and_names_only_what_gemini_knows() {
    let known = [
        "type",
        "format",
        "title",
        "description",
        "enum",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "pattern",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "propertyOrdering",
        "default",
        "example",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "prefixItems",
        "anyOf",
        "nullable",
    ];
    fn check(schema: &Value, known: &[&str]) {
        let Some(schema) = schema.as_object() else { return };
        for (key, value) in schema {
            assert!(known.contains(&key.as_str()), "{key}");
            match key.as_str() {
                "properties" => {
                    value.as_object().expect("an object").values().for_each(|value| check(value, known))
                }
                "items" | "additionalProperties" => check(value, known),
                "anyOf" | "prefixItems" => {
                    value.as_array().expect("a list").iter().for_each(|value| check(value, known))
                }
                _ => {}
            }
        }
    }
    let mut runner = TestRunner::deterministic();
    runner
        .run(&schema(), |schema| {
            let raw = RawValue::from_string(schema.to_string()).expect("JSON");
            for form in [Form::JsonSchema, Form::Without("type"), Form::OpenApi] {
                let text = serde_json::to_string(&Schema::new(&raw).in_form(form)).expect("writes");
                check(&serde_json::from_str(&text).expect("JSON"), &known);
            }
            Ok(())
        })
        .expect("every schema");
}
