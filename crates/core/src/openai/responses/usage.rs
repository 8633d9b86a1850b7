//! Tokens, as this API counts them: like chat completions, in other words.

use crate::gemini::response::UsageMetadata;
use crate::json;

/// Writes `usage`. `metadata` is Gemini's `usageMetadata`. What Gemini writes into its cache it does not say.
pub(super) fn write(out: &mut Vec<u8>, metadata: &str) {
    let tokens = UsageMetadata::read(metadata).tokens();
    for (name, count) in [
        (&br#"{"input_tokens":"#[..], tokens.prompt),
        (br#","input_tokens_details":{"cached_tokens":"#, tokens.cached),
        (br#","cache_write_tokens":0},"output_tokens":"#, tokens.answer),
        (br#","output_tokens_details":{"reasoning_tokens":"#, tokens.thoughts),
        (br#"},"total_tokens":"#, tokens.total),
    ] {
        out.extend_from_slice(name);
        json::number(out, count);
    }
    out.push(b'}');
}
