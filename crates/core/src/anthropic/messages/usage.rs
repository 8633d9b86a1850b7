//! Tokens, as Anthropic counts them.

use crate::gemini::response::UsageMetadata;
use crate::json;

/// Writes `usage`: what came from a cache is beside `input_tokens`, thoughts are among `output_tokens`. `metadata`
/// is Gemini's `usageMetadata`, `searches` the number of web searches that the model made.
pub(super) fn write(out: &mut Vec<u8>, metadata: &str, searches: u64) {
    let tokens = UsageMetadata::read(metadata).tokens();
    for (name, count) in [
        (&br#"{"input_tokens":"#[..], tokens.prompt.saturating_sub(tokens.cached)),
        (br#","cache_creation_input_tokens":"#, 0),
        (br#","cache_read_input_tokens":"#, tokens.cached),
        (br#","output_tokens":"#, tokens.answer),
        (br#","output_tokens_details":{"thinking_tokens":"#, tokens.thoughts),
    ] {
        out.extend_from_slice(name);
        json::number(out, count);
    }
    out.push(b'}');
    if searches > 0 {
        out.extend_from_slice(br#","server_tool_use":{"web_search_requests":"#);
        json::number(out, searches);
        out.extend_from_slice(br#","web_fetch_requests":0}"#);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let check = |usage: &str, [input, read, output, thoughts]: [u64; 4]| {
            let mut out = Vec::new();
            write(&mut out, usage, 0);
            let expected = format!(
                r#"{{"input_tokens":{input},"cache_creation_input_tokens":0,"cache_read_input_tokens":{read},"output_tokens":{output},"output_tokens_details":{{"thinking_tokens":{thoughts}}}}}"#
            );
            assert_eq!(String::from_utf8(out).expect("JSON"), expected);
        };
        check("", [0; 4]);
        check(
            r#"{"promptTokenCount":85,"toolUsePromptTokenCount":149,"candidatesTokenCount":122,"thoughtsTokenCount":87,"totalTokenCount":443,"cachedContentTokenCount":40}"#,
            [194, 40, 209, 87],
        );
        // More from the cache than there is.
        check(r#"{"promptTokenCount":3,"cachedContentTokenCount":4}"#, [0, 4, 0, 0]);
    }

    #[test]
    fn searches_are_told() {
        let mut out = Vec::new();
        write(&mut out, "{}", 2);
        let written: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(written["server_tool_use"]["web_search_requests"], 2);
    }
}
