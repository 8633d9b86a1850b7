//! Tokens, as OpenAI counts them.

use crate::gemini::response::UsageMetadata;
use crate::json;

/// Writes `usage`: OpenAI's `completion_tokens` include thoughts and its `prompt_tokens` include cached ones.
/// `metadata` is Gemini's `usageMetadata`.
pub(super) fn write(out: &mut Vec<u8>, metadata: &str) {
    let tokens = UsageMetadata::read(metadata).tokens();
    for (name, count) in [
        (&br#"{"prompt_tokens":"#[..], tokens.prompt),
        (br#","completion_tokens":"#, tokens.answer),
        (br#","total_tokens":"#, tokens.total),
        (br#","prompt_tokens_details":{"cached_tokens":"#, tokens.cached),
        (br#"},"completion_tokens_details":{"reasoning_tokens":"#, tokens.thoughts),
    ] {
        out.extend_from_slice(name);
        json::number(out, count);
    }
    out.extend_from_slice(b"}}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let check = |usage: &str, expected: [u64; 5]| {
            let mut out = Vec::new();
            write(&mut out, usage);
            let written: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
            let read = |pointer: &str| written.pointer(pointer).and_then(serde_json::Value::as_u64);
            let paths = [
                "/prompt_tokens",
                "/completion_tokens",
                "/total_tokens",
                "/prompt_tokens_details/cached_tokens",
                "/completion_tokens_details/reasoning_tokens",
            ];
            assert_eq!(paths.map(read), expected.map(Some));
        };
        check("{}", [0; 5]);
        check("null", [0; 5]);
        check(
            r#"{"promptTokenCount":8,"candidatesTokenCount":7,"totalTokenCount":35,"thoughtsTokenCount":20}"#,
            [8, 27, 35, 0, 20],
        );
        check(
            r#"{"promptTokenCount":85,"toolUsePromptTokenCount":149,"candidatesTokenCount":122,"thoughtsTokenCount":87,"totalTokenCount":443,"cachedContentTokenCount":40}"#,
            [234, 209, 443, 40, 87],
        );
        // Thoughts among the candidates.
        check(
            r#"{"promptTokenCount":10,"candidatesTokenCount":50,"thoughtsTokenCount":30,"totalTokenCount":60}"#,
            [10, 50, 60, 0, 30],
        );
        // A blocked prompt.
        check(r#"{"promptTokenCount":14,"totalTokenCount":14}"#, [14, 0, 14, 0, 0]);
        check(r#"{"promptTokenCount":8,"thoughtsTokenCount":9,"totalTokenCount":17}"#, [8, 9, 17, 0, 9]);
    }
}
