//! The chat translator, both ways: no body makes it panic, and what comes out is JSON, whole.
//!
//! Input: the client's body, a byte 0, and the upstream's answer or events, a line each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libra_core::gemini::remote::Written;
use libra_core::openai::chat::stream::Encoder;
use libra_core::openai::chat::{ChatRequest, from_gemini, to_gemini};
use libra_fuzz::{MODELS, is_json, parted, remembered};

const PLAIN: &[u8] = br#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"x"}]}"#;

fuzz_target!(|input: &[u8]| {
    let (request, answer) = parted(input);
    let chat = match ChatRequest::parse(request) {
        Ok(chat) => chat,
        Err(_) => ChatRequest::parse(PLAIN).expect("the plain request is a good one"),
    };
    let known = remembered(|| chat.call_ids());
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
