//! What the fuzz targets share.

use std::borrow::Cow;

use libra_core::gemini::request::Known;
use libra_core::secret::ApiKey;
use libra_core::signatures::{Issued, Signatures};
use serde::de::IgnoredAny;

/// One of each kind that the translation tells apart.
pub const MODELS: [&str; 4] =
    ["gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-pro-preview", "a-model-of-tomorrow"];

/// What stands before the first byte 0, and what behind it.
pub fn parted(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|&byte| byte == 0) {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &[]),
    }
}

/// A gateway that remembers a signature of each of these calls.
pub fn remembered<'a, I: Iterator<Item = Cow<'a, str>>>(ids: impl Fn() -> I) -> Known {
    let mut memory = Signatures::new(1 << 20);
    let client = ApiKey::new("fuzz").id();
    let issued = |id: Cow<'_, str>| Issued {
        id: id.into_owned(),
        signature: Some("c2ln".to_owned()),
        native_id: None,
    };
    memory.remember(client, ids().map(issued));
    Known { recalled: memory.recall(client, ids()), ..Known::default() }
}

/// Fails unless these bytes are JSON, whole.
pub fn is_json(bytes: &[u8]) {
    let read = serde_json::from_slice::<IgnoredAny>(bytes);
    assert!(read.is_ok(), "{:?}: {}", read, String::from_utf8_lossy(bytes));
}
