//! LiteLLM: `config.yaml`. Models whose name begins with `gemini/` have the keys; the master key is what clients send. Keys of
//! its database are hashed there and cannot be read.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Found, list, text_of};

pub(super) fn read(file: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Found, String> {
    let config: Value = yaml_serde::from_str(&text_of(file)?).map_err(|error| {
        // Its own words may quote what stands there.
        let place = error.location().map(|place| format!(" (line {})", place.line())).unwrap_or_default();
        format!("it is no YAML{place}")
    })?;
    let models =
        config["model_list"].as_array().ok_or("it has no model_list, as LiteLLM's config.yaml has one")?;
    let mut found = Found::default();
    // `os.environ/NAME` stands for a variable.
    let resolve = |value: &Value| -> Result<Option<String>, String> {
        let Some(text) = value.as_str().map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        match text.strip_prefix("os.environ/") {
            None => Ok(Some(text.to_owned())),
            Some(name) => variable(name).map(Some).ok_or_else(|| name.to_owned()),
        }
    };
    let (mut others, mut vertex) = (0, 0);
    for entry in models {
        let parameters = &entry["litellm_params"];
        let model = parameters["model"].as_str().unwrap_or_default();
        match model.split('/').next() {
            Some("gemini") => {}
            Some("vertex_ai" | "vertex_ai_beta") => {
                vertex += 1;
                continue;
            }
            _ => {
                others += 1;
                continue;
            }
        }
        match resolve(&parameters["api_key"]) {
            Ok(Some(key)) => {
                for key in list(&key) {
                    found.key(&key, None, false);
                }
            }
            // Then LiteLLM takes what the environment has.
            Ok(None) => match ["GEMINI_API_KEY", "GOOGLE_API_KEY"].iter().find_map(|name| variable(name)) {
                Some(key) => found.key(&key, None, false),
                None => found.left_out.push(format!(
                    "model {}: it has no api_key, and GEMINI_API_KEY is not set here",
                    shown(entry["model_name"].as_str().unwrap_or(model))
                )),
            },
            Err(name) => found.left_out.push(format!(
                "model {}: its api_key is in the variable {}, which is not set here",
                shown(entry["model_name"].as_str().unwrap_or(model)),
                shown(&name)
            )),
        }
    }
    match resolve(&config["general_settings"]["master_key"]) {
        Ok(Some(key)) => found.client("litellm master_key", &key, Map::new()),
        Ok(None) => {}
        Err(name) => found
            .left_out
            .push(format!("the master_key: it is in the variable {}, which is not set here", shown(&name))),
    }
    if others > 0 {
        found.left_out.push(format!("{others} models of other services than Gemini"));
    }
    if vertex > 0 {
        found.left_out.push(format!("{vertex} models of Vertex AI: they have no keys of this API"));
    }
    if !config["general_settings"]["database_url"].is_null() {
        found.left_out.push(
            "the keys that LiteLLM has made (its database): it keeps hashes of them alone, and nobody can read them; make \
             new ones with libra clients add"
                .to_owned(),
        );
    }
    Ok(found)
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(80).collect()
}
