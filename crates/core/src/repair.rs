//! What is done about a refusal of what this gateway has made of a request: a schema, or a thought signature.
//!
//! Google refuses a whole request for one keyword of one schema, and what it refuses changes. So a 400 that names a
//! schema leads to one more try with that schema in other words, and the schema is remembered, so that the next
//! request gets it right at once. A refused signature leads to one more try with [stand-ins](STAND_IN). Bodies in
//! Gemini's own dialect are the client's affair.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::gemini::entries::{Edit, Entries, Names, array, written};
use crate::gemini::schema::{Form, Schema};
use crate::signatures::STAND_IN;

/// So many schemas are remembered, the latest ones: an agent has some dozens of tools.
const SCHEMAS: usize = 4_096;

/// Keywords that a schema can do without. Others make it another schema.
const DISPENSABLE: [&str; 16] = [
    "additionalProperties",
    "default",
    "enum",
    "example",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "pattern",
    "propertyOrdering",
    "title",
];

const GENERATION_CONFIG: Names = ["generationConfig", "generation_config"];

/// What is remembered of refused schemas. Shared by all exchanges.
#[derive(Debug, Default)]
pub struct Repairs {
    forms: Forms,
    order: VecDeque<Name>,
}

/// In which form schemas go up that were refused before: as known at one moment, so that nobody is kept from learning
/// more while a body is read.
#[derive(Debug, Clone, Default)]
pub struct Forms(Arc<HashMap<Name, Remedy>>);

/// A model and a schema as it goes up, in 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name(u128);

/// In which form a schema goes up instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    Without(&'static str),
    OpenApi,
}

/// Which schema a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// That of a function, by the numbers of the tool and of the function in it.
    Function(usize, usize),
    /// That of the answer.
    Answer,
    /// It does not say.
    Any,
}

/// What a refusal says of schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Complaint {
    place: Place,
    keyword: Option<&'static str>,
}

impl Forms {
    /// The body with the schemas in it as they have to be for `model`.
    pub fn apply(&self, body: &Bytes, model: &str) -> Bytes {
        if self.0.is_empty() {
            return body.clone();
        }
        let known = |_: Place, schema: &RawValue| self.0.get(&Name::of(model, schema)).copied();
        mended(body, known).unwrap_or_else(|| body.clone())
    }
}

impl Repairs {
    /// How many schemas are known, and how many may be.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.order.len().max(self.forms.0.len()), SCHEMAS)
    }

    /// What is known now.
    pub fn forms(&self) -> Forms {
        self.forms.clone()
    }

    /// Takes in why `body`, as it was made and before anything was [applied](Forms::apply), was refused. What comes
    /// back is the schemas that now go up in another form; none where nothing can be done.
    pub fn learn(&mut self, body: &Bytes, model: &str, refusal: &str) -> Vec<Name> {
        let Some(complaint) = Complaint::read(refusal) else { return Vec::new() };
        let mut learned = Vec::new();
        mended(body, |place, schema| {
            if complaint.place != Place::Any && complaint.place != place {
                return None;
            }
            let name = Name::of(model, schema);
            let without =
                complaint.keyword.filter(|keyword| schema.get().contains(&format!("\"{keyword}\"")));
            let remedy = match (self.forms.0.get(&name), without) {
                (None, Some(keyword)) => Remedy::Without(keyword),
                (None, None) | (Some(Remedy::Without(_)), _) => Remedy::OpenApi,
                (Some(Remedy::OpenApi), _) => return None,
            };
            learned.push((name, remedy));
            Some(remedy)
        });
        for (name, remedy) in &learned {
            if Arc::make_mut(&mut self.forms.0).insert(*name, *remedy).is_none() {
                self.order.push_back(*name);
            }
        }
        while self.order.len() > SCHEMAS {
            let Some(oldest) = self.order.pop_front() else { break };
            Arc::make_mut(&mut self.forms.0).remove(&oldest);
        }
        learned.into_iter().map(|(name, _)| name).collect()
    }

    /// What was learned has not helped.
    pub fn forget(&mut self, learned: &[Name]) {
        for name in learned {
            Arc::make_mut(&mut self.forms.0).remove(name);
        }
        self.order.retain(|name| !learned.contains(name));
    }
}

impl Name {
    fn of(model: &str, schema: &RawValue) -> Self {
        let mut hash = Sha256::new();
        hash.update(model.as_bytes());
        hash.update([0]);
        hash.update(schema.get().as_bytes());
        let digest = hash.finalize();
        Self(u128::from_be_bytes(digest[..16].try_into().expect("a SHA-256 has 32 bytes")))
    }
}

impl Complaint {
    /// `Invalid JSON payload received. Unknown name "const" at 'tools[0].function_declarations[3].parameters…`,
    /// `* GenerateContentRequest.generation_config.response_schema.properties[a].enum: cannot be empty`
    fn read(refusal: &str) -> Option<Self> {
        let plain: String = refusal.chars().filter(|character| *character != '_').collect();
        let plain = plain.to_ascii_lowercase();
        let function = plain.find("functiondeclarations").or_else(|| plain.find("function declaration"));
        let answer = ["responseschema", "responsejsonschema", "response schema"]
            .iter()
            .find_map(|words| plain.find(words));
        let place = match (function, answer) {
            (Some(at), _) => {
                let tool = number(plain[..at].rsplit("tools").next().unwrap_or_default());
                let function = number(&plain[at + "functiondeclarations".len().min(plain.len() - at)..]);
                match (tool, function) {
                    (Some(tool), Some(function)) => Place::Function(tool, function),
                    _ => Place::Any,
                }
            }
            (None, Some(_)) => Place::Answer,
            (None, None) if plain.contains("schema") => Place::Any,
            (None, None) => return None,
        };
        let named = plain.split("unknown name \"").nth(1).and_then(|rest| rest.split('"').next());
        // The last step of the path, before what is said of it.
        let path =
            plain.split([' ', '\'', '"']).find(|word| word.contains("schema") || word.contains("parameters"));
        let last =
            path.map(|path| path.trim_end_matches([':', '.', ',']).split(':').next().unwrap_or_default());
        let last = last.and_then(|path| path.rsplit('.').next());
        let keyword = |word: &str| DISPENSABLE.into_iter().find(|known| known.eq_ignore_ascii_case(word));
        let keyword = named.and_then(keyword).or_else(|| last.and_then(keyword));
        Some(Self { place, keyword })
    }
}

/// `[3]…`
fn number(text: &str) -> Option<usize> {
    text.strip_prefix('[')?.split(']').next()?.parse().ok()
}

/// A body whose schemas are in the forms that `remedy` says; none where it says nothing of any.
fn mended(body: &Bytes, mut remedy: impl FnMut(Place, &RawValue) -> Option<Remedy>) -> Option<Bytes> {
    let entries: Entries<'_> = serde_json::from_slice(body).ok()?;
    let mut edits = Vec::new();
    let tools = entries.list(&["tools", "tools"]);
    let mut changed = false;
    let tools: Vec<Cow<'_, str>> = tools
        .into_iter()
        .enumerate()
        .map(|(tool_number, tool)| {
            let Some(tool_entries) = Entries::of(tool) else { return Cow::Borrowed(tool.get()) };
            let functions = tool_entries.list(&["functionDeclarations", "functionDeclarations"]);
            let mut any = false;
            let functions: Vec<Cow<'_, str>> = functions
                .into_iter()
                .enumerate()
                .map(|(number, function)| {
                    let place = Place::Function(tool_number, number);
                    let names = ["parametersJsonSchema", "parameters"];
                    match other_form(function, names, |schema| remedy(place, schema)) {
                        Some(function) => {
                            any = true;
                            Cow::Owned(function)
                        }
                        None => Cow::Borrowed(function.get()),
                    }
                })
                .collect();
            if !any {
                return Cow::Borrowed(tool.get());
            }
            changed = true;
            let names = ["functionDeclarations", "functionDeclarations"];
            Cow::Owned(written(&tool_entries, &[Edit { names, value: array(&functions) }]))
        })
        .collect();
    if changed {
        edits.push(Edit { names: ["tools", "tools"], value: array(&tools) });
    }
    let config = entries.either(&GENERATION_CONFIG);
    let names = ["responseJsonSchema", "responseSchema"];
    if let Some(config) = config.and_then(|config| other_form(config, names, |it| remedy(Place::Answer, it)))
    {
        edits.push(Edit { names: GENERATION_CONFIG, value: config });
    }
    (!edits.is_empty()).then(|| written(&entries, &edits).into())
}

/// An object whose schema, under the first of `names`, is in another form, in OpenAPI's under the second.
fn other_form(
    object: &RawValue,
    names: Names,
    remedy: impl FnOnce(&RawValue) -> Option<Remedy>,
) -> Option<String> {
    let entries = Entries::of(object)?;
    let schema = entries.get(names[0])?;
    let remedy = remedy(schema)?;
    let write = |form| serde_json::to_string(&Schema::new(schema).in_form(form)).ok();
    let (name, value) = match remedy {
        Remedy::Without(keyword) => (names[0], write(Form::Without(keyword))?),
        Remedy::OpenApi => (names[1], write(Form::OpenApi)?),
    };
    // The edited field goes under the first of its names.
    let edit = Edit { names: [name, names[0]], value };
    Some(written(&entries, &[edit]))
}

/// A body without any signature but stand-ins, and how many of these there are; none where there is no signature to
/// take out and no call to sign.
pub fn without_signatures(body: &Bytes) -> Option<(Bytes, u32)> {
    let entries: Entries<'_> = serde_json::from_slice(body).ok()?;
    let (mut stand_ins, mut changed) = (0, false);
    let contents = entries.list(&["contents", "contents"]);
    let contents: Vec<Cow<'_, str>> = contents
        .into_iter()
        .map(|content| {
            let Some(turn) = Entries::of(content)
                .filter(|turn| turn.get("role").is_some_and(|role| role.get() == r#""model""#))
            else {
                return Cow::Borrowed(content.get());
            };
            let mut signed = false;
            let parts: Vec<Cow<'_, str>> = turn
                .list(&["parts", "parts"])
                .into_iter()
                .map(|part| {
                    let Some(mut entries) = Entries::of(part) else { return Cow::Borrowed(part.get()) };
                    let before = entries.0.len();
                    entries.0.retain(|(key, _)| key != "thoughtSignature");
                    // Only the first call of a step is signed.
                    let sign = entries.get("functionCall").is_some() && !signed;
                    signed = signed || sign;
                    if !sign && entries.0.len() == before {
                        return Cow::Borrowed(part.get());
                    }
                    changed = true;
                    let names = ["thoughtSignature", "thoughtSignature"];
                    let edits: &[Edit] = &[Edit { names, value: format!("\"{STAND_IN}\"") }];
                    stand_ins += u32::from(sign);
                    Cow::Owned(written(&entries, if sign { edits } else { &[] }))
                })
                .collect();
            Cow::Owned(written(&turn, &[Edit { names: ["parts", "parts"], value: array(&parts) }]))
        })
        .collect();
    let edit = Edit { names: ["contents", "contents"], value: array(&contents) };
    changed.then(|| (written(&entries, &[edit]).into(), stand_ins))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_a_schema_and_perhaps_a_keyword() {
        let check = |refusal: &str, expected: Option<(Place, Option<&'static str>)>| {
            let expected = expected.map(|(place, keyword)| Complaint { place, keyword });
            assert_eq!(Complaint::read(refusal), expected, "{refusal}");
        };
        check(
            "Invalid JSON payload received. Unknown name \"default\" at 'tools[0].function_declarations[3].parameters.properties[0].value': Cannot find field.",
            Some((Place::Function(0, 3), Some("default"))),
        );
        check(
            "* GenerateContentRequest.tools[1].function_declarations[0].parameters_json_schema.properties[url].format: only 'enum' and 'date-time' are supported for STRING type",
            Some((Place::Function(1, 0), Some("format"))),
        );
        check(
            "* GenerateContentRequest.generation_config.response_json_schema.properties[a].items: missing field.",
            Some((Place::Answer, None)),
        );
        check(
            "The specified schema produces a constraint that has too many states for serving.",
            Some((Place::Any, None)),
        );
        check("Function declaration parameters should be of type OBJECT.", Some((Place::Any, None)));
        check("Please use a valid role: user, model.", None);
        check(
            "Invalid JSON payload received. Unknown name \"role\" at 'contents[0].parts': Cannot find field.",
            None,
        );
    }

    const BODY: &str = r#"{"contents":[],"tools":[{"functionDeclarations":[{"name":"a","parametersJsonSchema":{"type":"string","format":"uri"}},{"name":"b","parametersJsonSchema":{"type":"integer"}}]},{"googleSearch":{}}],"generationConfig":{"topK":1,"responseJsonSchema":{"type":"string"}}}"#;

    #[test]
    fn a_schema_is_put_otherwise_and_remembered() {
        let body = Bytes::from_static(BODY.as_bytes());
        let mut repairs = Repairs::default();
        let apply = |repairs: &Repairs, model| {
            String::from_utf8(repairs.forms().apply(&body, model).to_vec()).expect("UTF-8")
        };
        assert_eq!(apply(&repairs, "m"), BODY);
        let path = "tools[0].function_declarations[0].parameters_json_schema.format: no";
        assert_eq!(repairs.learn(&body, "m", path).len(), 1);
        assert_eq!(apply(&repairs, "m"), BODY.replace(r#","format":"uri""#, ""));
        assert_eq!(apply(&repairs, "n"), BODY, "of another model nothing is known");
        assert_eq!(repairs.learn(&body, "m", path).len(), 1);
        let open_api = BODY.replace(
            r#""parametersJsonSchema":{"type":"string","format":"uri"}"#,
            r#""parameters":{"type":"STRING","description":"(format: \"uri\")"}"#,
        );
        assert_eq!(apply(&repairs, "m"), open_api);
        assert!(repairs.learn(&body, "m", path).is_empty(), "there is nothing more to try");
        let learned = repairs.learn(&body, "m", "The response_schema has too many states.");
        assert!(apply(&repairs, "m").contains(r#""responseSchema":{"type":"STRING"}"#));
        repairs.forget(&learned);
        assert_eq!(apply(&repairs, "m"), open_api);
        assert_eq!(repairs.learn(&body, "n", "The schema is too deep.").len(), 3);
        assert!(repairs.learn(&Bytes::from_static(b"["), "m", path).is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut repairs = Repairs::default();
        for number in 0..SCHEMAS + 10 {
            let body = format!(r#"{{"generationConfig":{{"responseJsonSchema":{{"minimum":{number}}}}}}}"#);
            repairs.learn(&body.into(), "m", "schema");
        }
        assert_eq!((repairs.forms.0.len(), repairs.order.len()), (SCHEMAS, SCHEMAS));
    }

    #[test]
    fn refused_signatures_are_replaced_by_stand_ins() {
        let check = |body: &str, expected: Option<(&str, u32)>| {
            let found = without_signatures(&Bytes::copy_from_slice(body.as_bytes()));
            let found = found.map(|(body, count)| (String::from_utf8(body.to_vec()).expect("UTF-8"), count));
            assert_eq!(found, expected.map(|(body, count)| (body.to_owned(), count)), "{body}");
        };
        check(
            r#"{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"b","thoughtSignature":"s"},{"functionCall":{},"thoughtSignature":"t"},{"functionCall":{}}]},{"role":"model","parts":[{"functionCall":{}}]}]}"#,
            Some((
                r#"{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"b"},{"functionCall":{},"thoughtSignature":"skip_thought_signature_validator"},{"functionCall":{}}]},{"role":"model","parts":[{"functionCall":{},"thoughtSignature":"skip_thought_signature_validator"}]}]}"#,
                2,
            )),
        );
        check(r#"{"contents":[{"role":"user","parts":[{"text":"a"}]}]}"#, None);
    }
}
