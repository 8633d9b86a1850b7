//! How many input tokens a request has, before Google says: an estimate that orders projects and never refuses.

use memchr::memmem;

/// Bytes of JSON text a token, about.
const BYTES_A_TOKEN: u64 = 4;

/// What an inline medium counts: an image has 258 tokens a tile, a few seconds of sound or a page about as many.
const MEDIUM: u64 = 1_000;

/// Base64 text shorter than this counts as text.
const LONG: usize = 512;

/// Estimates the input tokens of a body in Gemini's terms. Inline media count by their number, not by their size.
pub fn estimate(body: &[u8]) -> u64 {
    let mut text = body.len();
    let mut media = 0;
    if body.len() > LONG {
        let mut from = 0;
        while let Some(at) = memmem::find(&body[from..], b"\"data\"") {
            let value = from + at + 6;
            let rest =
                body[value..].trim_ascii_start().strip_prefix(b":").unwrap_or_default().trim_ascii_start();
            let Some(rest) = rest.strip_prefix(b"\"") else {
                from = value;
                continue;
            };
            let length = memchr::memchr(b'"', rest).unwrap_or(rest.len());
            if length >= LONG {
                media += 1;
                text -= length.min(text);
            }
            from = body.len() - rest.len() + length;
        }
    }
    (text as u64 / BYTES_A_TOKEN + media * MEDIUM).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_count_by_their_number() {
        assert_eq!(estimate(b""), 1);
        assert_eq!(estimate(&[b'x'; 400]), 100);
        let image =
            format!(r#"{{"inlineData":{{"mimeType":"image/png","data": "{}"}}}}"#, "A".repeat(1 << 20));
        let two = format!("[{image},{image}]");
        assert!((2_000..2_100).contains(&estimate(two.as_bytes())), "{}", estimate(two.as_bytes()));
        assert!(estimate(b"\"data\"\"data\":\"") < 10);
    }
}
