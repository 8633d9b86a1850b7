//! `input`: a string or a list of items, as they are kept and shown again.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::ids;
use crate::error::Error;
use crate::json;

/// An item of a conversation, of its input or of its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// The item as JSON, with its id.
    pub json: String,
    /// Whether it only names another item.
    pub is_reference: bool,
}

impl Item {
    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        /// Two texts and their lengths.
        const OVERHEAD: usize = 64;
        OVERHEAD + self.id.len() + self.json.len()
    }
}

/// The fields of an object, in their order, each as it was written.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = entries.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

impl<'a> Fields<'a> {
    fn find(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.get())
    }

    /// A field that is a string.
    fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.find(name)?).ok()
    }
}

/// The items of a request's input. Those without an id get one that leads to the answer `response`.
pub(super) fn items(input: Option<&RawValue>, response: &str) -> Result<Vec<Item>, Error> {
    let Some(input) = input.map(RawValue::get) else { return Ok(Vec::new()) };
    match input.as_bytes().first() {
        Some(b'"') => Ok(vec![said(input, ids::of_input("msg", response, 0))]),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(input).map_err(|_| wrong("input"))?;
            let numbered = items.into_iter().enumerate();
            numbered.map(|(number, item)| kept(item.get(), response, number)).collect()
        }
        _ => Err(wrong("input")),
    }
}

fn wrong(param: &str) -> Error {
    let expected = if param == "input" { "a string or an array of items" } else { "an object" };
    Error::bad_request(format!("Invalid value for '{param}': expected {expected}."), param)
}

/// The item with an id, and with what clients leave out of messages.
fn kept(item: &str, response: &str, number: usize) -> Result<Item, Error> {
    if item.starts_with('"') {
        return Ok(said(item, ids::of_input("msg", response, number)));
    }
    let fields: Fields<'_> = serde_json::from_str(item).map_err(|_| wrong(&format!("input[{number}]")))?;
    let role = fields.text("role");
    let kind = fields.text("type").unwrap_or_else(|| role.as_ref().map_or("", |_| "message").to_owned());
    let named = fields.text("id");
    let is_reference = matches!(kind.as_str(), "" | "item_reference") && named.is_some();
    let id = named.unwrap_or_else(|| ids::of_input(id_prefix(&kind), response, number));
    let is_message = kind == "message";

    let mut json = br#"{"id":"#.to_vec();
    json::string(&mut json, &id);
    if is_message {
        json.extend_from_slice(br#","type":"message""#);
    }
    for (name, value) in &fields.0 {
        if name == "id" || is_message && name == "type" {
            continue;
        }
        json.push(b',');
        json::string(&mut json, name);
        json.push(b':');
        match value.get() {
            text if is_message && name == "content" && text.starts_with('"') => {
                parts(&mut json, text, role.as_deref() == Some("assistant"));
            }
            value => json.extend_from_slice(value.as_bytes()),
        }
    }
    json.push(b'}');
    Ok(Item { id, json: String::from_utf8(json).expect("strings make a string"), is_reference })
}

/// A message of the user's, of one text, which is a JSON string.
fn said(text: &str, id: String) -> Item {
    let mut json = br#"{"id":"#.to_vec();
    json::string(&mut json, &id);
    json.extend_from_slice(br#","type":"message","status":"completed","role":"user","content":"#);
    parts(&mut json, text, false);
    json.push(b'}');
    Item { id, json: String::from_utf8(json).expect("strings make a string"), is_reference: false }
}

/// A text, which is a JSON string, as the list of parts that it is short for.
fn parts(out: &mut Vec<u8>, text: &str, of_model: bool) {
    let (kind, end) = if of_model { ("output_text", r#","annotations":[]}]"#) } else { ("input_text", "}]") };
    out.extend_from_slice(format!(r#"[{{"type":"{kind}","text":{text}{end}"#).as_bytes());
}

fn id_prefix(kind: &str) -> &'static str {
    match kind {
        "message" => "msg",
        "reasoning" => "rs",
        "function_call" => "fc",
        "function_call_output" => "fco",
        "custom_tool_call" => "ctc",
        "custom_tool_call_output" => "ctco",
        _ => "item",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &str = "resp_0123456789abcdef01234567";

    #[test]
    fn items_are_kept_with_what_was_left_out() {
        let check = |input: &str, expected: &[&str]| {
            let input = RawValue::from_string(input.to_owned()).expect("JSON");
            let items = items(Some(&input), RESPONSE).expect("items");
            let json: Vec<&str> = items.iter().map(|item| item.json.as_str()).collect();
            assert_eq!(json, expected);
            for item in &items {
                serde_json::from_str::<serde_json::Value>(&item.json).expect("JSON");
            }
        };
        let id = |kind: &str, number: usize| format!(r#""id":"{kind}_0123456789abcdef01234567i000{number}""#);
        let said = format!(
            r#"{{{},"type":"message","status":"completed","role":"user","content":[{{"type":"input_text","text":"a\n"}}]}}"#,
            id("msg", 0)
        );
        check(r#""a\n""#, &[&said]);
        check(r#"["a\n"]"#, &[&said]);
        check(
            r#"[{"role":"user","content":"a\n","x": [1]}]"#,
            &[&format!(
                r#"{{{},"type":"message","role":"user","content":[{{"type":"input_text","text":"a\n"}}],"x":[1]}}"#,
                id("msg", 0)
            )],
        );
        check(
            r#"[{"role":"assistant","content":"b","id":"m"}]"#,
            &[
                r#"{"id":"m","type":"message","role":"assistant","content":[{"type":"output_text","text":"b","annotations":[]}]}"#,
            ],
        );
        check(
            r#"[{"role":"user","content":[]},{"type":"reasoning","summary":[]},{"type":"x","id":null},{}]"#,
            &[
                &format!(r#"{{{},"type":"message","role":"user","content":[]}}"#, id("msg", 0)),
                &format!(r#"{{{},"type":"reasoning","summary":[]}}"#, id("rs", 1)),
                &format!(r#"{{{},"type":"x"}}"#, id("item", 2)),
                &format!("{{{}}}", id("item", 3)),
            ],
        );
        check("[]", &[]);
    }

    #[test]
    fn what_is_no_item_is_named() {
        let check = |input: &str, param: &str| {
            let input = RawValue::from_string(input.to_owned()).expect("JSON");
            let error = items(Some(&input), RESPONSE).expect_err("no items");
            assert_eq!(error.param.as_deref(), Some(param));
        };
        check("7", "input");
        check("{}", "input");
        check(r#"["a", 7]"#, "input[1]");
        check("[[]]", "input[0]");
    }
}
