//! The chat translator, both ways: no body makes it panic, and what comes out is JSON, whole.
//!
//! Input: the client's body, a byte 0, and the upstream's answer or events, a line each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libra_core::gemini::remote::Written;
use libra_core::gemini::request::Known;
use libra_core::openai::chat::stream::Encoder;
use libra_core::openai::chat::{ChatRequest, from_gemini, to_gemini};
use libra_core::secret::ApiKey;
use libra_core::signatures::{Issued, Signatures};
use serde::de::IgnoredAny;

/// One of each kind that the translation tells apart.
const MODELS: [&str; 4] =
    ["gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-pro-preview", "a-model-of-tomorrow"];
const PLAIN: &[u8] = br#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"x"}]}"#;

fuzz_target!(|input: &[u8]| {
    let (request, answer) = match input.iter().position(|&byte| byte == 0) {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &[][..]),
    };
    let chat = match ChatRequest::parse(request) {
        Ok(chat) => chat,
        Err(_) => ChatRequest::parse(PLAIN).expect("the plain request is a good one"),
    };
    let mut memory = Signatures::new(1 << 20);
    let client = ApiKey::new("fuzz").id();
    let issued = |id: std::borrow::Cow<'_, str>| Issued {
        id: id.into_owned(),
        signature: Some("c2ln".to_owned()),
        native_id: None,
    };
    memory.remember(client, chat.call_ids().map(issued));
    let known = Known { recalled: memory.recall(client, chat.call_ids()), ..Known::default() };
    for model in MODELS {
        if let Ok(Written { body, .. }) = to_gemini::request(&chat, model, &known) {
            is_json(&body);
        }
    }

    let context = chat.context("chatcmpl-fuzz", 1_790_000_000);
    if let Ok((body, _)) = from_gemini::answer(answer, &context) {
        is_json(&body);
    }
    let mut encoder = Encoder::new(context);
    let mut out = Vec::new();
    for event in answer.split(|&byte| byte == b'\n') {
        let before = out.len();
        if encoder.push(event, &mut out).is_err() {
            assert_eq!(out.len(), before, "something was sent of an event that failed");
            are_events(&out);
            return;
        }
    }
    if encoder.is_finished() {
        encoder.finish(&mut out);
        assert!(out.ends_with(b"data: [DONE]\n\n"), "no end");
    }
    are_events(&out);
});

fn are_events(out: &[u8]) {
    let text = std::str::from_utf8(out).expect("events are UTF-8");
    for event in text.split_terminator("\n\n") {
        let data = event.strip_prefix("data: ").expect("an event begins with its data");
        if data != "[DONE]" {
            is_json(data.as_bytes());
        }
    }
}

fn is_json(bytes: &[u8]) {
    let read = serde_json::from_slice::<IgnoredAny>(bytes);
    assert!(read.is_ok(), "{:?}: {}", read, String::from_utf8_lossy(bytes));
}
