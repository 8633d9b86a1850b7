//! The other endpoints' translators, both ways: no body, form or answer makes them panic, and what goes up is JSON.
//!
//! Input: a byte that chooses the endpoint, the client's body, three bytes 0, and the upstream's answer or events, a
//! line each.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use libra_core::gemini::remote::Media;
use libra_core::openai::endpoint::{Endpoint, Request};
use libra_fuzz::is_json;

const ENDPOINTS: [Endpoint; 7] = [
    Endpoint::Embeddings,
    Endpoint::ImageGeneration,
    Endpoint::ImageEdit,
    Endpoint::Speech,
    Endpoint::Transcription,
    Endpoint::Translation,
    Endpoint::Completion,
];
const MODELS: [&str; 3] = ["gemini-2.5-flash", "gemini-3-pro-image-preview", "a-model-of-tomorrow"];

fuzz_target!(|input: &[u8]| {
    let Some((&choice, input)) = input.split_first() else { return };
    let endpoint = ENDPOINTS[usize::from(choice) % ENDPOINTS.len()];
    let (body, answer) = match input.windows(3).position(|bytes| bytes == [0; 3]) {
        Some(end) => (&input[..end], &input[end + 3..]),
        None => (input, &[][..]),
    };
    let content_type =
        if body.starts_with(b"--") { "multipart/form-data; boundary=X" } else { "application/json" };
    let body = Bytes::copy_from_slice(body);
    let Ok(request) = endpoint.read(&body, content_type, "cmpl-fuzz".to_owned(), 1_790_000_000) else {
        return;
    };
    assert!(request.parts() > 0);
    for model in MODELS {
        if let Ok(written) = request.to_gemini(model, request.parts() - 1, &Media::default()) {
            is_json(&written.body);
        }
    }
    answered(&request, answer);
});

fn answered(request: &Request, answer: &[u8]) {
    let Some(mut encoder) = request.encoder().filter(|_| request.streams()) else {
        if let Ok(fragment) = request.fragment(answer, 0) {
            let whole = request.answer(&[fragment]);
            if request.content_type() == "application/json" {
                is_json(&whole);
            }
        }
        return;
    };
    let mut out = Vec::new();
    for event in answer.split(|&byte| byte == b'\n') {
        let _ = request.refusal(event);
        let before = out.len();
        if encoder.push(event, &mut out).is_err() {
            assert_eq!(out.len(), before, "something was sent of an event that failed");
            return;
        }
    }
    if encoder.is_finished() {
        encoder.finish(&mut out);
    }
}
