//! JSON as Google reads and writes it.

use std::io;

use bytes::Bytes;
use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::Formatter;

/// A field of a protocol message. Both spellings are taken, `generationConfig` and `generation_config`; `name` is
/// the first. Null is the same as absent.
pub(crate) fn field<'a>(message: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = message.as_object()?;
    let found = fields.get(name).or_else(|| {
        fields.iter().find(|(key, _)| key.contains('_') && spells(key, name)).map(|(_, value)| value)
    });
    found.filter(|value| !value.is_null())
}

/// A text field; empty where there is none.
pub(crate) fn text<'a>(message: &'a Value, name: &str) -> &'a str {
    field(message, name).and_then(Value::as_str).unwrap_or_default()
}

/// A repeated field; empty where there is none.
pub(crate) fn list<'a>(message: &'a Value, name: &str) -> &'a [Value] {
    field(message, name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A number that may be written as a string, as protocol buffers allow.
pub(crate) fn number(message: &Value, name: &str) -> Option<f64> {
    let value = field(message, name)?;
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// Whether `key` is `name` in camelCase or in snake_case.
pub(crate) fn spells(key: &str, name: &str) -> bool {
    if key == name {
        return true;
    }
    let mut key = key.chars();
    name.chars().all(|expected| {
        if expected.is_ascii_uppercase() {
            key.next() == Some('_') && key.next() == Some(expected.to_ascii_lowercase())
        } else {
            key.next() == Some(expected)
        }
    }) && key.next().is_none()
}

/// On one line, as in events: a space after each colon and none after commas.
pub(crate) fn line(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Line);
    value.serialize(&mut serializer).expect("a JSON value can be written to memory");
    out
}

/// Indented by two spaces, with a line feed at the end, as in bodies.
pub(crate) fn pretty(value: &Value) -> Vec<u8> {
    let mut out = serde_json::to_vec_pretty(value).expect("a JSON value can be written to memory");
    out.push(b'\n');
    out
}

/// An event of a stream.
pub(crate) fn event(value: &Value) -> Bytes {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"data: ");
    out.append(&mut line(value));
    out.extend_from_slice(b"\r\n\r\n");
    out.into()
}

struct Line;

impl Formatter for Line {
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_have_two_spellings() {
        let check =
            |key: &str, name: &str, expected| assert_eq!(spells(key, name), expected, "{key}, {name}");
        check("generationConfig", "generationConfig", true);
        check("generation_config", "generationConfig", true);
        check("generation_config_", "generationConfig", false);
        check("generationconfig", "generationConfig", false);
        check("top_p", "topP", true);
        check("top_p", "top", false);
        let message = json!({ "max_output_tokens": "12", "topK": null });
        assert_eq!(number(&message, "maxOutputTokens"), Some(12.0));
        assert_eq!(field(&message, "topK"), None);
    }

    #[test]
    fn lines_are_spaced_as_googles() {
        let value = json!({ "a": [{ "b": "c:,d" }, 1], "e": {} });
        assert_eq!(line(&value), br#"{"a": [{"b": "c:,d"},1],"e": {}}"#);
        assert_eq!(event(&json!({ "a": 1 })), "data: {\"a\": 1}\r\n\r\n");
    }
}
