//! The translator of Anthropic's messages, both ways: no body makes it panic, and what comes out is JSON, whole.
//!
//! Input: the client's body, a byte 0, and the upstream's answer or events, a line each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libra_core::anthropic::messages::stream::Encoder;
use libra_core::anthropic::messages::{MessagesRequest, from_gemini, to_gemini};
use libra_core::gemini::remote::Written;
use libra_fuzz::{MODELS, is_json, parted, remembered};

const PLAIN: &[u8] =
    br#"{"model":"gemini-2.5-flash","thinking":{"type":"adaptive"},"messages":[{"role":"user","content":"x"}]}"#;

fuzz_target!(|input: &[u8]| {
    let (request, answer) = parted(input);
    let messages = match MessagesRequest::parse(request) {
        Ok(messages) => messages,
        Err(_) => MessagesRequest::parse(PLAIN).expect("the plain request is a good one"),
    };
    let known = remembered(|| messages.call_ids());
    for model in MODELS {
        for translate in [to_gemini::request, to_gemini::count] {
            if let Ok(Written { body, .. }) = translate(&messages, model, &known) {
                is_json(&body);
            }
        }
    }

    let context = messages.context("msg_fuzz");
    if let Ok((body, _)) = from_gemini::answer(answer, &context) {
        is_json(&body);
    }
    if let Ok(body) = from_gemini::count(answer) {
        is_json(&body);
    }
    let mut encoder = Encoder::new(context, "gemini-3-pro-preview");
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
        assert!(out.ends_with(b"data: {\"type\":\"message_stop\"}\n\n"), "no end");
    }
    are_events(&out);
});

fn are_events(out: &[u8]) {
    let text = std::str::from_utf8(out).expect("events are UTF-8");
    for event in text.split_terminator("\n\n") {
        let (kind, data) = event.split_once('\n').expect("two lines make an event");
        assert!(kind.starts_with("event: "), "an event begins with its kind");
        is_json(data.strip_prefix("data: ").expect("the data comes second").as_bytes());
    }
}
