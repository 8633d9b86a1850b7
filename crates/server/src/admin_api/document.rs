//! The description of the administration, as OpenAPI 3.1, made of the table of its paths.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::ToSchema as _;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::{RefOr, Schema};

use super::problem;
use super::routes::{Described, ROUTES, Route};

/// What each refusal means.
const REFUSALS: [(u16, &str); 13] = [
    (400, "The body or the query is not as it is described; the answer names the field."),
    (401, "No token, or a wrong one."),
    (403, "The token is for looking alone, or the token in the body is wrong."),
    (404, "There is no such thing."),
    (405, "The path does not take this method."),
    (408, "The body did not arrive in time."),
    (409, "Nothing is stored here, or too much is under way."),
    (413, "The body is too large."),
    (415, "The body is of a type that is not read here."),
    (422, "What is asked for is well said and cannot be."),
    (429, "Too many wrong tokens came from this address."),
    (500, "The gateway failed."),
    (503, "The disk has failed, and nothing has changed."),
];

/// The document.
pub(super) fn document(base: &str) -> Value {
    let mut schemas: BTreeMap<String, Value> = BTreeMap::new();
    let mut add = |described: Described| {
        for (name, schema) in described.parts {
            schemas.insert(name, written(&schema));
        }
        schemas.insert(described.name.clone(), written(&described.schema));
        reference(&described.name)
    };
    let problem = {
        let mut parts = Vec::new();
        problem::Body::schemas(&mut parts);
        let (name, schema) =
            (problem::Body::name().into_owned(), <problem::Body as utoipa::PartialSchema>::schema());
        add(Described { name, schema, parts })
    };
    let mut paths: BTreeMap<String, Value> = BTreeMap::new();
    for route in ROUTES.iter() {
        let operation = operation(route, &problem, &mut add);
        let path = paths.entry(format!("/admin/api{}", route.path)).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Libra's administration",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Keys, clients, projects, settings and what was used. An answer of success to a change means \
                            that it is on disk.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": if base.is_empty() { "/" } else { base } }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "LIBRA_ADMIN_TOKEN, or the token in the file admin-token of the data folder; \
                                    LIBRA_ADMIN_READ_TOKEN for looking alone.",
                },
            },
        },
    })
}

fn operation(route: &Route, problem: &Value, add: &mut impl FnMut(Described) -> Value) -> Value {
    let mut responses = json!({});
    let content = route.answer.described.map(|described| {
        let mut content = json!({ "application/json": { "schema": add(described()) } });
        if route.answer.is_table {
            content["text/csv"] = json!({ "schema": { "type": "string" } });
        }
        content
    });
    let done = if content.is_some() { "Done." } else { "Done; there is nothing to say." };
    responses[route.answer.status.to_string()] = match content {
        Some(content) => json!({ "description": done, "content": content }),
        None => json!({ "description": done }),
    };
    for status in refusals(route) {
        let meaning = REFUSALS.iter().find(|(known, _)| *known == status).map_or("", |(_, meaning)| meaning);
        let mut response =
            json!({ "description": meaning, "content": { "application/json": { "schema": problem } } });
        let header =
            |description: &str, schema: Value| json!({ "description": description, "schema": schema });
        match status {
            401 => {
                let schema = json!({ "type": "string" });
                response["headers"] = json!({ "WWW-Authenticate": header("Bearer.", schema) });
            }
            429 => {
                let schema = json!({ "type": "integer", "minimum": 0 });
                response["headers"] = json!({ "Retry-After": header("Seconds until another try.", schema) });
            }
            _ => {}
        }
        responses[status.to_string()] = response;
    }
    let mut operation = json!({
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.path.split('/').nth(1).unwrap_or_default()],
        "responses": responses,
    });
    let mut parameters: Vec<Value> = Vec::new();
    if let Some(subject) = route.path.contains("{id}").then(|| subject(route)) {
        parameters.push(subject);
    }
    parameters.extend(route.query.map(|query| query()).unwrap_or_default().iter().map(parameter));
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = &route.body {
        let mut content = json!({ "application/json": { "schema": add((body.described)()) } });
        if body.takes_text {
            content["text/plain"] = json!({ "schema": { "type": "string", "minLength": 1 } });
        }
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}

/// All statuses with which a route may refuse.
fn refusals(route: &Route) -> Vec<u16> {
    let mut all = vec![400, 401, 429];
    if route.path.contains("{id}") || route.refusals.contains(&404) {
        all.push(404);
    }
    if route.role == super::access::Role::Administrator {
        all.push(403);
    }
    if route.body.is_some() {
        all.extend([408, 413, 415]);
    }
    all.extend(route.refusals);
    all.sort_unstable();
    all.dedup();
    all
}

/// What a path is about.
fn subject(route: &Route) -> Value {
    let (description, schema) = match route.path.split('/').nth(1) {
        Some("checks") => {
            ("The check.", json!({ "type": "integer", "minimum": 0, "maximum": 1_000_000_000 }))
        }
        Some("projects") => {
            ("The project's name.", json!({ "type": "string", "minLength": 1, "maxLength": 100 }))
        }
        _ => ("The id.", json!({ "type": "string", "pattern": "^key-[0-9a-f]{16}$" })),
    };
    json!({ "name": "id", "in": "path", "required": true, "description": description, "schema": schema })
}

/// A parameter of the query. One that is left out is not there, and never null.
fn parameter(parameter: &Parameter) -> Value {
    let mut value = serde_json::to_value(parameter).unwrap_or_default();
    let schema = &mut value["schema"];
    if let Some(types) = schema["type"].as_array() {
        let types: Vec<&Value> = types.iter().filter(|kind| *kind != "null").collect();
        if let [kind] = types.as_slice() {
            schema["type"] = (*kind).clone();
        }
    }
    let variants = schema["oneOf"].as_array().map(|variants| {
        variants.iter().filter(|variant| variant["type"] != "null").cloned().collect::<Vec<_>>()
    });
    if let Some([only]) = variants.as_deref() {
        value["schema"] = only.clone();
    }
    value
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn written(schema: &RefOr<Schema>) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_described_once_and_every_reference_leads_somewhere() {
        let document = document("");
        let mut names: Vec<&str> = ROUTES.iter().map(|route| route.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROUTES.len());
        let text = document.to_string();
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().expect("a name");
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        for route in ROUTES.iter() {
            let path = format!("/admin/api{}", route.path);
            let operation = &document["paths"][path.as_str()][route.method.as_str().to_ascii_lowercase()];
            assert!(!route.summary.is_empty() && operation["summary"] == route.summary, "{path}");
            for status in refusals(route) {
                assert!(REFUSALS.iter().any(|(known, _)| *known == status), "{status}");
            }
        }
    }

    #[test]
    fn bodies_take_no_unknown_fields() {
        let document = document("");
        for route in ROUTES.iter().filter(|route| route.body.is_some()) {
            let path = format!("/admin/api{}", route.path);
            let operation = &document["paths"][path.as_str()][route.method.as_str().to_ascii_lowercase()];
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let name = schema.as_str().and_then(|name| name.rsplit('/').next()).expect("a reference");
            let schema = &document["components"]["schemas"][name];
            assert_eq!(schema["additionalProperties"], false, "{name}: {schema}");
        }
    }
}
