//! Writing JSON straight into a buffer of bytes.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// A value as JSON. What it gives as bytes is text that needs no escapes (base64), and stands in the JSON as a string
/// without having been looked at: megabytes are copied and nothing else. `plain` is how much of that there is.
///
/// # Errors
/// The value cannot be written; strings, numbers and JSON can.
pub(crate) fn with_plain(value: &impl Serialize, plain: usize) -> serde_json::Result<Vec<u8>> {
    struct Plain;

    impl Formatter for Plain {
        fn write_byte_array<W: ?Sized + io::Write>(&mut self, out: &mut W, text: &[u8]) -> io::Result<()> {
            out.write_all(b"\"")?;
            out.write_all(text)?;
            out.write_all(b"\"")
        }
    }

    /// Enough for most of what stands around it.
    const AROUND: usize = 4096;
    let mut out = Vec::with_capacity(plain + AROUND);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Plain))?;
    Ok(out)
}

/// Writes `text` as a JSON string, quotes included.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string can be written, and a buffer takes it");
}

/// Writes a whole number.
pub(crate) fn number(out: &mut Vec<u8>, number: u64) {
    if let Some(digit) = u8::try_from(number).ok().filter(|digit| *digit < 10) {
        out.push(b'0' + digit);
    } else {
        out.extend_from_slice(number.to_string().as_bytes());
    }
}

/// Writes `json`, a document that is valid, as a JSON string: without the white space between its tokens,
/// and escaped.
///
/// Inside of strings valid JSON has no control characters, so only quotes and backslashes need an escape.
pub(crate) fn document_as_string(out: &mut Vec<u8>, json: &str) {
    out.reserve(json.len() + json.len() / 8 + 2);
    out.push(b'"');
    let mut in_string = false;
    let mut escaped = false;
    for byte in json.bytes() {
        match byte {
            b'"' => {
                out.extend_from_slice(br#"\""#);
                in_string = !in_string || escaped;
                escaped = false;
            }
            b'\\' => {
                out.extend_from_slice(br"\\");
                escaped = in_string && !escaped;
            }
            b' ' | b'\n' | b'\r' | b'\t' if !in_string => {}
            _ => {
                out.push(byte);
                escaped = false;
            }
        }
    }
    out.push(b'"');
}

/// Writes `json`, a document that is valid, without the white space between its tokens.
pub(crate) fn document(out: &mut Vec<u8>, json: &str) {
    let (mut in_string, mut escaped) = (false, false);
    out.extend(json.bytes().filter(|byte| {
        match byte {
            b'"' if !escaped => in_string = !in_string,
            b' ' | b'\n' | b'\r' | b'\t' if !in_string => return false,
            _ => {}
        }
        escaped = *byte == b'\\' && in_string && !escaped;
        true
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_strings_without_white_space() {
        let check = |json: &str, expected: &str| {
            let mut out = Vec::new();
            document_as_string(&mut out, json);
            let text: String = serde_json::from_slice(&out).expect("a JSON string");
            assert_eq!(text, expected);
            let same = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("valid");
            assert_eq!(same(json), same(&text));
            let mut out = Vec::new();
            document(&mut out, json);
            assert_eq!(out, expected.as_bytes());
        };
        check("{}", "{}");
        check("{\n  \"a b\": [1, 2],\r\n\t\"c\": \"d e\"\n}", r#"{"a b":[1,2],"c":"d e"}"#);
        check(
            r#"{"q": "say \"hi  there\" \\", "r": " \\\" "}"#,
            r#"{"q":"say \"hi  there\" \\","r":" \\\" "}"#,
        );
        check(r#"{"u": "\u003c é 😀"}"#, r#"{"u":"\u003c é 😀"}"#);
    }

    #[test]
    fn numbers_are_written() {
        for value in [0, 7, 10, 255, 256, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(out, value.to_string().as_bytes());
        }
    }
}
