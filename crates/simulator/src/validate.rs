//! What Google refuses before the model sees it: fields that there are not, values that cannot be, and turns in
//! an order that makes no sense.
//!
//! The rules come from public error texts and from Google's documentation. Where Google is known to be lenient,
//! this is; what nobody has seen refused is not refused here.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use crate::errors::GoogleError;
use crate::json::{field, list, number, spells, text};
use crate::media;
use crate::models::Model;

const REQUEST: &[&str] = &[
    "model",
    "contents",
    "tools",
    "toolConfig",
    "safetySettings",
    "systemInstruction",
    "generationConfig",
    "cachedContent",
    "serviceTier",
    "continuationToken",
    "store",
    "labels",
];
const CONTENT: &[&str] = &["role", "parts"];
const PART: &[&str] = &[
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
    "thought",
    "thoughtSignature",
    "videoMetadata",
    "mediaResolution",
    "partMetadata",
];
/// The fields of a part of which it has to have one.
const PART_DATA: &[&str] = &[
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
];
const GENERATION_CONFIG: &[&str] = &[
    "temperature",
    "topP",
    "topK",
    "candidateCount",
    "maxOutputTokens",
    "stopSequences",
    "responseLogprobs",
    "logprobs",
    "presencePenalty",
    "frequencyPenalty",
    "seed",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "_responseJsonSchema",
    "responseModalities",
    "mediaResolution",
    "speechConfig",
    "thinkingConfig",
    "imageConfig",
    "enableEnhancedCivicAnswers",
    "audioTranscriptionConfig",
];
const TOOL: &[&str] = &[
    "functionDeclarations",
    "googleSearch",
    "googleSearchRetrieval",
    "urlContext",
    "codeExecution",
    "googleMaps",
    "fileSearch",
    "computerUse",
    "mcpServers",
];
const DECLARATION: &[&str] = &[
    "name",
    "description",
    "parameters",
    "parametersJsonSchema",
    "response",
    "responseJsonSchema",
    "behavior",
];
const SCHEMA: &[&str] = &[
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "enum",
    "items",
    "minItems",
    "maxItems",
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "anyOf",
    "propertyOrdering",
    "default",
    "example",
];
const SCHEMA_TYPES: &[&str] =
    &["TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"];

/// What stands in for a thought signature that a client does not have.
const SENTINELS: &[&str] = &["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"];
/// What the simulator's own signatures begin with, under their base64.
pub(crate) const SIGNATURE_START: &[u8] = b"simulated thought ";

/// Checks the body of `generateContent` and `streamGenerateContent`.
pub(crate) fn generate(body: &Value, model: &Model) -> Result<(), GoogleError> {
    known(body, REQUEST, "")?;
    for name in ["contents", "tools", "safetySettings"] {
        if field(body, name).is_some_and(|value| !value.is_array()) {
            return Err(GoogleError::invalid_value(name, "(repeated field), a list is needed"));
        }
    }
    config(body, model)?;
    tools(body)?;
    contents(body)?;
    turns(list(body, "contents"))?;
    if model.signs_thoughts() {
        signatures(list(body, "contents"))?;
    }
    Ok(())
}

/// Checks the body of `countTokens`; gives what is to be counted.
pub(crate) fn count_tokens(body: &Value) -> Result<&Value, GoogleError> {
    known(body, &["model", "contents", "generateContentRequest"], "")?;
    let Some(request) = field(body, "generateContentRequest") else { return Ok(body) };
    known(request, REQUEST, "generate_content_request")?;
    Ok(request)
}

/// Checks one `EmbedContentRequest`.
pub(crate) fn embed(request: &Value) -> Result<(), GoogleError> {
    let fields = ["model", "content", "taskType", "title", "outputDimensionality", "embedContentConfig"];
    known(request, &fields, "")?;
    let Some(content) = field(request, "content").filter(|content| !list(content, "parts").is_empty()) else {
        return Err(GoogleError::invalid("* EmbedContentRequest.content: contents is not specified\n"));
    };
    known(content, CONTENT, "content")
}

/// Whether `message` has only fields of `names`.
pub(crate) fn known(message: &Value, names: &[&str], path: &str) -> Result<(), GoogleError> {
    let Some(fields) = message.as_object() else {
        return Err(GoogleError::invalid_value(path, "(message), an object is needed"));
    };
    let unknown: Vec<&str> =
        fields.keys().filter(|key| !names.iter().any(|name| spells(key, name))).map(String::as_str).collect();
    if unknown.is_empty() { Ok(()) } else { Err(GoogleError::unknown_fields(path, &unknown)) }
}

fn config(body: &Value, model: &Model) -> Result<(), GoogleError> {
    let Some(config) = field(body, "generationConfig") else { return Ok(()) };
    known(config, GENERATION_CONFIG, "generation_config")?;
    let range = |name: &str, snake: &str, least: f64, most: f64| match number(config, name) {
        Some(value) if !(least..=most).contains(&value) => Err(GoogleError::invalid(format!(
            "* GenerateContentRequest.generation_config.{snake}: {snake} must be in the range [{least}, {most}].\n"
        ))),
        _ => Ok(()),
    };
    range("temperature", "temperature", 0.0, 2.0)?;
    range("topP", "top_p", 0.0, 1.0)?;
    range("candidateCount", "candidate_count", 1.0, 8.0)?;
    range("maxOutputTokens", "max_output_tokens", 1.0, f64::from(i32::MAX))?;
    if list(config, "stopSequences").len() > 5 {
        return Err(GoogleError::invalid(
            "* GenerateContentRequest.generation_config.stop_sequences: at most 5 stop sequences are allowed.\n",
        ));
    }
    for name in ["presencePenalty", "frequencyPenalty"] {
        if number(config, name).is_some_and(|penalty| penalty != 0.0) {
            return Err(GoogleError::invalid("Penalty is not enabled for this model"));
        }
    }
    if let Some(thinking) = field(config, "thinkingConfig") {
        known(
            thinking,
            &["includeThoughts", "thinkingBudget", "thinkingLevel"],
            "generation_config.thinking_config",
        )?;
        let level = field(thinking, "thinkingLevel").is_some();
        if level && field(thinking, "thinkingBudget").is_some() {
            return Err(GoogleError::invalid("Thinking budget and thinking level cannot be used together."));
        }
        if level && !model.signs_thoughts() {
            return Err(GoogleError::invalid("Thinking level is not supported for this model."));
        }
    }
    media::check(config, model)?;
    match (field(config, "responseSchema"), field(config, "responseJsonSchema")) {
        (Some(_), Some(_)) => Err(GoogleError::invalid(
            "response_schema and response_json_schema are mutually exclusive; only one can be set.",
        )),
        (Some(found), None) => schema(found, "generation_config.response_schema"),
        _ => Ok(()),
    }
}

fn tools(body: &Value) -> Result<(), GoogleError> {
    let mut names: Vec<&str> = Vec::new();
    for (number, tool) in list(body, "tools").iter().enumerate() {
        known(tool, TOOL, &format!("tools[{number}]"))?;
        for (place, declaration) in list(tool, "functionDeclarations").iter().enumerate() {
            let path = format!("tools[{number}].function_declarations[{place}]");
            known(declaration, DECLARATION, &path)?;
            let name = text(declaration, "name");
            if !is_function_name(name) {
                return Err(GoogleError::invalid(format!(
                    "* GenerateContentRequest.{path}.name: [Invalid function name. Must start with a letter or an \
                     underscore. Must be alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or \
                     dashes (-), with a maximum length of 128.]\n"
                )));
            }
            if names.contains(&name) {
                return Err(GoogleError::invalid(format!("Duplicate function declaration found: {name}")));
            }
            names.push(name);
            match (field(declaration, "parameters"), field(declaration, "parametersJsonSchema")) {
                (Some(_), Some(_)) => {
                    return Err(GoogleError::invalid(format!(
                        "{path}: parameters and parameters_json_schema are mutually exclusive."
                    )));
                }
                (Some(parameters), None) => schema(parameters, &format!("{path}.parameters"))?,
                _ => {}
            }
        }
    }
    let Some(tool_config) = field(body, "toolConfig") else { return Ok(()) };
    known(
        tool_config,
        &["functionCallingConfig", "retrievalConfig", "includeServerSideToolInvocations"],
        "tool_config",
    )?;
    let Some(calling) = field(tool_config, "functionCallingConfig") else { return Ok(()) };
    let path = "tool_config.function_calling_config";
    known(calling, &["mode", "allowedFunctionNames"], path)?;
    match text(calling, "mode").to_ascii_uppercase().as_str() {
        "" | "MODE_UNSPECIFIED" | "AUTO" | "ANY" | "NONE" | "VALIDATED" => Ok(()),
        other => Err(GoogleError::invalid_value(
            &format!("{path}.mode"),
            &format!(
                "(type.googleapis.com/google.ai.generativelanguage.v1beta.FunctionCallingConfig.Mode), \"{other}\""
            ),
        )),
    }
}

fn is_function_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.:-".contains(letter))
}

/// Google's subset of OpenAPI's schema. JSON Schema, in the fields made for it, is not checked.
fn schema(schema: &Value, path: &str) -> Result<(), GoogleError> {
    known(schema, SCHEMA, path)?;
    let kind = match field(schema, "type") {
        None => "",
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(_)) => {
            return Err(GoogleError::invalid_value(
                &format!("{path}.type"),
                "(type), Proto field is not repeating, cannot start list.",
            ));
        }
        Some(other) => return Err(bad_type(path, &other.to_string())),
    };
    let kind = kind.to_ascii_uppercase();
    if !kind.is_empty() && !SCHEMA_TYPES.contains(&kind.as_str()) {
        return Err(bad_type(path, &format!("\"{kind}\"")));
    }
    if let Some(value) = list(schema, "enum").iter().find(|value| !value.is_string()) {
        return Err(GoogleError::invalid_value(
            &format!("{path}.enum[0]"),
            &format!("(TYPE_STRING), {value}"),
        ));
    }
    if kind == "ARRAY" && field(schema, "items").is_none() {
        return Err(GoogleError::invalid(format!("* GenerateContentRequest.{path}.items: missing field.\n")));
    }
    if let Some(properties) = field(schema, "properties").and_then(Value::as_object) {
        for (name, property) in properties {
            self::schema(property, &format!("{path}.properties[{name}].value"))?;
        }
        for name in list(schema, "required").iter().filter_map(Value::as_str) {
            if !properties.contains_key(name) {
                return Err(GoogleError::invalid(format!(
                    "* GenerateContentRequest.{path}.required: property is not defined: {name}\n"
                )));
            }
        }
    }
    if let Some(items) = field(schema, "items") {
        self::schema(items, &format!("{path}.items"))?;
    }
    for (number, choice) in list(schema, "anyOf").iter().enumerate() {
        self::schema(choice, &format!("{path}.any_of[{number}]"))?;
    }
    Ok(())
}

fn bad_type(path: &str, found: &str) -> GoogleError {
    GoogleError::invalid_value(
        &format!("{path}.type"),
        &format!("(type.googleapis.com/google.ai.generativelanguage.v1beta.Type), {found}"),
    )
}

fn contents(body: &Value) -> Result<(), GoogleError> {
    let contents = list(body, "contents");
    if contents.is_empty() {
        return Err(GoogleError::invalid("* GenerateContentRequest.contents: contents is not specified\n"));
    }
    if let Some(system) = field(body, "systemInstruction") {
        content(system, "system_instruction")?;
    }
    for (number, found) in contents.iter().enumerate() {
        content(found, &format!("contents[{number}]"))?;
        if !["", "user", "model", "function"].contains(&text(found, "role")) {
            return Err(GoogleError::invalid("Please use a valid role: user, model."));
        }
        if list(found, "parts").is_empty() {
            return Err(GoogleError::invalid(format!(
                "* GenerateContentRequest.contents[{number}].parts: contents.parts must not be empty.\n"
            )));
        }
    }
    Ok(())
}

fn content(content: &Value, path: &str) -> Result<(), GoogleError> {
    known(content, CONTENT, path)?;
    for (number, part) in list(content, "parts").iter().enumerate() {
        let path = format!("{path}.parts[{number}]");
        known(part, PART, &path)?;
        if !PART_DATA.iter().any(|name| field(part, name).is_some()) {
            return Err(GoogleError::invalid(format!(
                "* GenerateContentRequest.{path}.data: required oneof field 'data' must have one initialized field\n"
            )));
        }
        for (name, snake, fields) in [
            ("inlineData", "inline_data", &["mimeType", "data", "displayName"][..]),
            ("fileData", "file_data", &["mimeType", "fileUri", "displayName"]),
            ("functionCall", "function_call", &["id", "name", "args"]),
            (
                "functionResponse",
                "function_response",
                &["id", "name", "response", "parts", "willContinue", "scheduling"],
            ),
        ] {
            if let Some(data) = field(part, name) {
                known(data, fields, &format!("{path}.{snake}"))?;
            }
        }
        if let Some(data) = field(part, "inlineData")
            && decode(text(data, "data")).is_none()
        {
            let path = format!("{path}.inline_data.data");
            return Err(GoogleError::invalid_value(&path, "(TYPE_BYTES), Base64 decoding failed"));
        }
        for name in ["functionCall", "functionResponse"] {
            if field(part, name).is_some_and(|call| text(call, "name").is_empty()) {
                let snake = if name == "functionCall" { "function_call" } else { "function_response" };
                return Err(GoogleError::invalid(format!(
                    "* GenerateContentRequest.{path}.{snake}.name: Name cannot be empty.\n"
                )));
            }
        }
    }
    Ok(())
}

/// A call's answers come in the turn after it, as many as there were calls.
fn turns(contents: &[Value]) -> Result<(), GoogleError> {
    let count = |content: &Value, name| {
        list(content, "parts").iter().filter(|part| field(part, name).is_some()).count()
    };
    for (number, content) in contents.iter().enumerate() {
        let calls = count(content, "functionCall");
        let answers = contents.get(number + 1).map(|next| count(next, "functionResponse"));
        if calls > 0 && answers.is_some_and(|answers| answers != calls) {
            return Err(GoogleError::invalid(
                "Please ensure that the number of function response parts is equal to the number of function call \
                 parts of the function call turn.",
            ));
        }
        let asked = number.checked_sub(1).is_some_and(|before| count(&contents[before], "functionCall") > 0);
        if count(content, "functionResponse") > 0 && !asked {
            return Err(GoogleError::invalid(
                "Please ensure that function response turn comes immediately after a function call turn.",
            ));
        }
    }
    Ok(())
}

/// In the current turn (after the last thing a person said), the first call of every step carries the signature
/// that came with it. Earlier turns are not looked at.
fn signatures(contents: &[Value]) -> Result<(), GoogleError> {
    let is_from_a_person = |content: &Value| {
        text(content, "role") != "model"
            && list(content, "parts").iter().any(|part| field(part, "functionResponse").is_none())
    };
    let turn = contents.iter().rposition(is_from_a_person).map_or(0, |last| last + 1);
    for (number, content) in contents.iter().enumerate().skip(turn) {
        let Some(first) = list(content, "parts").iter().find(|part| field(part, "functionCall").is_some())
        else {
            continue;
        };
        let signature = text(first, "thoughtSignature");
        if signature.is_empty() {
            let name = field(first, "functionCall").map_or("", |call| text(call, "name"));
            return Err(GoogleError::invalid(format!(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to \
                 work correctly, and missing thought_signature may lead to degraded model performance. Additional \
                 data, function call `default_api:{name}` , position {}. Please refer to \
                 https://ai.google.dev/gemini-api/docs/thought-signatures for more details.",
                number + 1
            )));
        }
        let decoded = decode(signature).unwrap_or_default();
        let is_sentinel = SENTINELS.iter().any(|known| *known == signature || known.as_bytes() == decoded);
        if !is_sentinel && !decoded.starts_with(SIGNATURE_START) {
            return Err(GoogleError::invalid("Corrupted thought signature."));
        }
    }
    Ok(())
}

/// Base64 as protocol buffers read it: either alphabet, with or without padding.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, lenient).decode(text).ok()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD as BASE64;
    use serde_json::json;

    use super::*;

    /// `expected`: a part of the message, or empty where the request is good.
    fn check_with(model: &str, body: &Value, expected: &str) {
        let model = Model::named(model).expect("test models exist");
        match generate(body, model) {
            Ok(()) => assert_eq!(expected, "", "{body}"),
            Err(error) => {
                let message = error.body["error"]["message"].as_str().unwrap_or_default();
                assert_eq!(error.status, 400);
                assert!(!expected.is_empty() && message.contains(expected), "{message}\n{body}");
            }
        }
    }

    fn check(body: Value, expected: &str) {
        check_with("gemini-2.5-flash", &body, expected);
    }

    /// A request with one more field.
    fn with(name: &str, value: Value) -> Value {
        let mut body = json!({ "contents": [{ "parts": [{ "text": "hi" }] }] });
        body[name] = value;
        body
    }

    #[test]
    fn both_spellings_are_taken() {
        check(with("generationConfig", json!({ "topP": 0.5, "maxOutputTokens": 5 })), "");
        check(with("generation_config", json!({ "top_p": 0.5, "max_output_tokens": "5" })), "");
        check(
            json!({ "contents": [{ "parts": [{ "inline_data": { "mime_type": "image/png", "data": "AA==" } }] }] }),
            "",
        );
    }

    #[test]
    fn unknown_fields_are_refused_at_every_level() {
        check(with("nonsense", json!(1)), "Unknown name \"nonsense\": Cannot find field.");
        check(
            with("generationConfig", json!({ "frobnicate": 1 })),
            "Unknown name \"frobnicate\" at 'generation_config'",
        );
        check(json!({ "contents": [{ "parts": [{ "txt": "hi" }] }] }), "\"txt\" at 'contents[0].parts[0]'");
        check(with("tools", json!([{ "functions": [] }])), "\"functions\" at 'tools[0]'");
        check(
            with(
                "tools",
                json!([{ "functionDeclarations": [{ "name": "f", "parameters": { "additionalProperties": false } }] }]),
            ),
            "\"additionalProperties\" at 'tools[0].function_declarations[0].parameters'",
        );
        check(
            with(
                "tools",
                json!([{ "functionDeclarations": [{ "name": "f", "parametersJsonSchema":
                { "type": "object", "additionalProperties": false } }] }]),
            ),
            "",
        );
        check(
            with(
                "generationConfig",
                json!({ "responseSchema": { "type": "OBJECT", "properties": { "a": { "const": 1 } } } }),
            ),
            "\"const\" at 'generation_config.response_schema.properties[a].value'",
        );
    }

    #[test]
    fn values_have_to_be_possible() {
        check(json!({}), "contents is not specified");
        check(json!({ "contents": "hi" }), "Invalid value at 'contents'");
        check(json!({ "contents": [{ "parts": [] }] }), "must not be empty");
        check(json!({ "contents": [{ "parts": [{ "thought": true }] }] }), "required oneof field 'data'");
        check(json!({ "contents": [{ "role": "system", "parts": [{ "text": "x" }] }] }), "valid role");
        check(
            json!({ "contents": [{ "parts": [{ "inlineData": { "data": "!" } }] }] }),
            "Base64 decoding failed",
        );
        for (config, expected) in [
            (json!({ "temperature": 2.5 }), "temperature must be in the range [0, 2]"),
            (json!({ "candidateCount": 9 }), "candidate_count"),
            (json!({ "stopSequences": ["1", "2", "3", "4", "5", "6"] }), "stop_sequences"),
            (json!({ "presencePenalty": 0.5 }), "Penalty is not enabled"),
            (json!({ "presencePenalty": 0 }), ""),
            (json!({ "thinkingConfig": { "thinkingLevel": "LOW" } }), "Thinking level is not supported"),
            (json!({ "responseSchema": { "type": ["STRING", "NULL"] } }), "cannot start list"),
            (json!({ "responseSchema": { "type": "text" } }), "v1beta.Type), \"TEXT\""),
            (json!({ "responseSchema": { "type": "INTEGER", "enum": [1] } }), "(TYPE_STRING), 1"),
            (json!({ "responseSchema": { "type": "ARRAY" } }), "items: missing field"),
            (
                json!({ "responseSchema": { "type": "OBJECT", "properties": {}, "required": ["a"] } }),
                "not defined: a",
            ),
        ] {
            check(with("generationConfig", config), expected);
        }
        let declare = |declarations: Value| with("tools", json!([{ "functionDeclarations": declarations }]));
        check(declare(json!([{ "name": "1st" }])), "Invalid function name");
        check(declare(json!([{ "name": "f" }, { "name": "f" }])), "Duplicate function declaration");
        check(
            with("toolConfig", json!({ "functionCallingConfig": { "mode": "SOMETIMES" } })),
            "FunctionCallingConfig.Mode), \"SOMETIMES\"",
        );
    }

    fn conversation(calls: Value, answers: Value) -> Value {
        json!({ "contents": [
            { "role": "user", "parts": [{ "text": "use f" }] },
            { "role": "model", "parts": calls },
            { "role": "user", "parts": answers },
        ]})
    }

    #[test]
    fn every_call_has_one_answer() {
        let call = json!({ "functionCall": { "name": "f", "args": {} } });
        let answer = json!({ "functionResponse": { "name": "f", "response": {} } });
        check(conversation(json!([call]), json!([answer])), "");
        check(conversation(json!([call, call]), json!([answer])), "number of function response parts");
        check(conversation(json!([call]), json!([{ "text": "well?" }])), "number of function response parts");
        check(
            conversation(json!([{ "text": "no" }]), json!([answer])),
            "immediately after a function call turn",
        );
    }

    #[test]
    fn the_current_turn_needs_its_signatures() {
        let check = |signature: Value, expected| {
            let mut call = json!({ "functionCall": { "name": "f", "args": {} } });
            call["thoughtSignature"] = signature;
            let plain = json!({ "functionCall": { "name": "f", "args": {} } });
            let answer = json!({ "functionResponse": { "name": "f", "response": {} } });
            // Only the first of parallel calls is signed.
            let body = conversation(json!([call, plain]), json!([answer, answer]));
            check_with("gemini-3-flash-preview", &body, expected);
            check_with("gemini-2.5-flash", &body, "");
            // What was said before the last question is not looked at.
            let mut body = body;
            let asked = json!({ "role": "user", "parts": [{ "text": "and now?" }] });
            body["contents"].as_array_mut().expect("contents are a list").push(asked);
            check_with("gemini-3-flash-preview", &body, "");
        };
        check(Value::Null, "missing a thought_signature in functionCall parts");
        check(json!("skip_thought_signature_validator"), "");
        check(json!(BASE64.encode("skip_thought_signature_validator")), "");
        check(json!(BASE64.encode("simulated thought 1")), "");
        check(json!(BASE64.encode("somebody else's")), "Corrupted thought signature.");
    }
}
