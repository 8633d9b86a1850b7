//! Noise: whatever a client sends or Google answers, there is an answer, and nobody panics.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Call, Canned};
use crate::mutation::{repeatable, replace_at};
use crate::{World, form};

const LINES: [&str; 3] = [
    r#"{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-x"}}]}],"tools":[{"type":"function","function":{"name":"f"}}]}}"#,
    r#"{"custom_id":"a#libra:","method":"POST","url":"/v1/responses","body":{"model":"m","input":"Hi","include":["reasoning.encrypted_content"]}}"#,
    r#"{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":["a","b"],"encoding_format":"base64"}}"#,
];

const OUTPUT: [&str; 4] = [
    r#"{"key":"a#libra:one","response":{"candidates":[{"content":{"parts":[{"text":"Hi"},{"functionCall":{"name":"f","args":{}}}]},"finishReason":"STOP"}],"modelVersion":"m"}}"#,
    r#"{"key":"a#libra:response,sealed","response":{"candidates":[{"content":{"parts":[{"text":"Hi","thoughtSignature":"AA"}]},"finishReason":"MAX_TOKENS"}]}}"#,
    r#"{"key":"a#libra:1/2","response":{"embedding":{"values":[1,2]},"tokenCount":"3"}}"#,
    r#"{"key":"a","error":{"code":3,"message":"No."}}"#,
];

const SHOWN: [&str; 2] = [
    r#"{"name":"files/x","displayName":"batch/chat/m/a.jsonl","sizeBytes":"5","createTime":"2026-08-19T14:34:12Z","state":"ACTIVE","source":"GENERATED","error":{"code":3,"message":"No."}}"#,
    r#"{"name":"batches/x","metadata":{"@type":"EmbedContentBatch","model":"models/m","displayName":"/v1/responses file-x {\"a\":\"b\"}","createTime":"2026-08-19T14:34:12Z","state":"BATCH_STATE_SUCCEEDED","batchStats":{"requestCount":"2"},"output":{"responsesFile":"files/batch-x"}},"error":{"code":1,"message":"No."}}"#,
];

fn other() -> impl Strategy<Value = Value> {
    let odd = [
        Value::Null,
        json!([]),
        json!({}),
        json!([[1]]),
        json!("file-x"),
        json!("a#libra:0/65535"),
        json!("/v1/embeddings"),
        json!("batch//"),
        json!("data:,"),
        json!("9999-12-31T23:59:60Z"),
        json!(1e300),
    ];
    prop_oneof![
        prop::sample::select(odd.to_vec()),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ]
}

/// One of these documents with one of its values replaced, or cut.
fn mutated(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    let place = any::<prop::sample::Index>();
    (prop::sample::select(of), place, other(), any::<Option<prop::sample::Index>>()).prop_map(
        |(text, place, other, cut)| {
            let mut value: Value = serde_json::from_str(text).expect("JSON");
            replace_at(&mut value, place, other);
            let mut text = value.to_string();
            if let Some(cut) = cut {
                text.truncate(text.floor_char_boundary(cut.index(text.len() + 1)));
            }
            text
        },
    )
}

/// Whatever is asked, Google's answer is this.
fn answered(path: &str, answer: &str, content_type: &'static str) -> (u16, Vec<u8>) {
    let mut world = World::new();
    let seen = world
        .harness
        .send(&Call::get(path), |_| Canned { content_type, ..Canned::json(200, answer.to_owned()) });
    (seen.status, seen.body)
}

proptest! {
    #![proptest_config(repeatable())]

    #[test]
    fn requests_of_batches_are_translated_or_refused(line in mutated(&LINES)) {
        let mut world = World::new();
        let call = form(&[("purpose", None, "batch"), ("file", Some("a"), &line)]);
        let seen = world.harness.send(&call, |_| Canned::json(404, "{}"));
        prop_assert!((400..600).contains(&seen.status), "{}", seen.status);
        let error: Value = serde_json::from_slice(&seen.body).expect("an error is JSON");
        prop_assert!(error["error"]["message"].is_string());
    }

    #[test]
    fn outputs_of_batches_are_translated_or_refused(lines in prop::collection::vec(mutated(&OUTPUT), 1..4)) {
        for id in ["file-x", "file-x_errors"] {
            let (status, body) = answered(&format!("/v1/files/{id}/content"), &lines.join("\n"), "application/jsonl");
            prop_assert!(matches!(status, 200 | 502), "{status}");
            // What is no output of a batch passes as it is.
            if status == 200 && body != lines.join("\n").as_bytes() {
                for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                    let line: Value = serde_json::from_slice(line).expect("JSON");
                    prop_assert!(line["response"]["body"].is_object(), "{line}");
                }
            }
        }
    }

    #[test]
    fn objects_are_shown_or_refused(shown in mutated(&SHOWN)) {
        for path in ["/v1/files/file-x", "/v1/batches/batch_x", "/v1/files/file-batch-x", "/v1/files/file-x/content"] {
            let (status, body) = answered(path, &shown, "application/json");
            // An answer that is nothing but an error is told as one.
            prop_assert!(status == 200 || (400..600).contains(&status), "{status}");
            prop_assert!(status == 200 || serde_json::from_slice::<Value>(&body).is_ok_and(|told| told["error"]["message"].is_string()));
        }
        for path in ["/v1/files", "/v1/batches?limit=1"] {
            let list = format!(r#"{{"files":[{shown}],"operations":[{shown}]}}"#);
            let (status, body) = answered(path, &list, "application/json");
            prop_assert!((200..600).contains(&status));
            prop_assert!(serde_json::from_slice::<Value>(&body).is_ok());
        }
    }

    #[test]
    fn forms_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>()) {
        let mut call = form(&[("purpose", None, "user_data"), ("file", Some("a"), "text")]);
        let at = cut.index(call.body.len());
        call.body = [&call.body[..at], &body, &call.body[at..]].concat().into();
        let mut world = World::new();
        let seen = world.harness.send(&call, |_| Canned::json(404, "{}"));
        prop_assert!((400..600).contains(&seen.status), "{}", seen.status);
    }
}
