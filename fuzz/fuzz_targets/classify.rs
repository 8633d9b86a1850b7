//! The error classifier: no answer makes it panic, and the key that was sent is in nothing that goes on.
//!
//! Input: a byte for the status, then the body. The seeds hold the key, so that it is met in many places.

#![no_main]

use http::StatusCode;
use libfuzzer_sys::fuzz_target;
use libra_core::failure::{Answer, Failure, classify, classify_event};
use libra_core::secret::ApiKey;
use libra_core::time::Timestamp;

const KEY: &str = "fuzz-key-0123456789-abcdefghij";
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const STATUSES: [u16; 16] = [200, 204, 302, 400, 401, 403, 404, 408, 409, 413, 429, 499, 500, 502, 503, 504];
const CONTENT_TYPES: [Option<&str>; 4] =
    [Some("application/json; charset=UTF-8"), Some("text/event-stream"), Some("text/html"), None];

fuzz_target!(|input: &[u8]| {
    let Some((&choice, body)) = input.split_first() else { return };
    let key = ApiKey::new(KEY);
    let answer = Answer {
        status: StatusCode::from_u16(STATUSES[usize::from(choice & 15)]).expect("each is a status"),
        content_type: CONTENT_TYPES[usize::from(choice >> 4 & 3)],
        body,
        model: Some("gemini-2.5-flash").filter(|_| choice & 0x40 == 0),
    };
    keeps_the_secret(&classify(&answer, &key, NOW));
    keeps_the_secret(&classify_event(body, answer.model, &key, NOW));
});

fn keeps_the_secret(failure: &Failure) {
    let shown = format!("{failure:?}");
    assert!(!shown.contains(KEY), "the key is in {shown}");
}
