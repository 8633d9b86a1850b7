//! Objects in bodies: looking for them never panics, points into the body, and in valid JSON misses none that a parser
//! finds, in whatever spelling.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libra_core::affinity::scan::{self, Field, Found};
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let found = scan::generation(body);
    for scanned in [&found, &scan::request(body), &scan::answer(body)] {
        for Found { span, value, .. } in scanned {
            assert!(span.start <= span.end && span.end < body.len() && body[span.end] == b'"');
            let raw = &body[span.clone()];
            assert!(raw.contains(&b'\\') || raw == value.as_bytes());
        }
    }
    if let Ok(parsed) = serde_json::from_slice::<Value>(body) {
        look(&parsed, &found);
    }
});

/// Every field that a parser finds has been found.
fn look(value: &Value, found: &[Found<'_>]) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| look(item, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                let field = match name.as_str() {
                    "fileUri" | "file_uri" => Some(Field::Address),
                    "cachedContent" | "cached_content" => Some(Field::Cache),
                    "fileSearchStoreNames" | "file_search_store_names" => Some(Field::Store),
                    "continuationToken" | "continuation_token" => Some(Field::Continuation),
                    _ => None,
                };
                let texts: Vec<&str> = match value {
                    Value::String(text) => vec![text],
                    Value::Array(items) if items.iter().all(Value::is_string) => {
                        items.iter().filter_map(Value::as_str).collect()
                    }
                    _ => Vec::new(),
                };
                if let Some(field) = field {
                    for text in texts {
                        let is_it = |one: &Found<'_>| one.field == field && one.value == *text;
                        assert!(found.iter().any(is_it), "{name}: {text} is missed");
                    }
                }
                look(value, found);
            }
        }
        _ => {}
    }
}
