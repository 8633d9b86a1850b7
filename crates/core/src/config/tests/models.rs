//! What model names stand for, which are served, and what is turned to.

use super::*;

#[test]
fn model_names_are_resolved() {
    use AliasFor::{Chat, Embed, Image, Speech, Transcribe};
    const ALIASES: &str = "gpt-4o-mini=gemini-2.5-flash,models/gemini-2.5-pro; mine-* = gemini-3.5-flash;";
    let check = |aliases: &str, requested: &str, operation: AliasFor, expected: &str| {
        let config = good(&[("LIBRA_MODEL_ALIASES", aliases)]);
        assert_eq!(config.resolve_model(requested, operation), expected, "{aliases} {requested}");
    };
    check("", "gemini-2.5-pro", Chat, "gemini-2.5-pro");
    check("", "models/gemini-2.5-pro", Chat, "gemini-2.5-pro");
    check("", "", Chat, "");
    for name in ["gpt-4o", "GPT-5", "chatgpt-4o-latest", "o1", "o3-mini", "o4-mini", "claude-opus-4"] {
        check("", name, Chat, "gemini-3.8-flash");
    }
    check("", "gpt-4o", Embed, "gpt-4o");
    check("", "text-embedding-3-small", Embed, "gemini-embedding-001");
    check("", "text-embedding-3-small", Chat, "text-embedding-3-small");
    check("", "gpt-image-1", Image, "gemini-2.5-flash-image");
    check("", "dall-e-3", Image, "gemini-2.5-flash-image");
    check("", "tts-1-hd", Speech, "gemini-2.5-flash-preview-tts");
    check("", "gpt-4o-mini-tts", Speech, "gemini-2.5-flash-preview-tts");
    check("", "whisper-1", Transcribe, "gemini-3.8-flash");
    check("", "gpt-4o-transcribe", Transcribe, "gemini-3.8-flash");
    check(ALIASES, "gpt-4o-mini", Chat, "gemini-2.5-flash");
    check(ALIASES, "models/gpt-4o-mini", Chat, "gemini-2.5-flash");
    check(ALIASES, "gpt-4o", Chat, "gemini-3.8-flash");
    check(ALIASES, "mine-1", Image, "gemini-3.5-flash");
    check("gpt-*=gpt-9；o?=gemini-2.5-pro", "o9", Chat, "gemini-2.5-pro");
    check("gpt-*=gpt-9", "gpt-4", Chat, "gpt-9");
    check("{\"b*\":\"x\",\"*\":[\"y\",\"z\"]}", "a", Chat, "y");
    check("{\"b*\":\"x\",\"*\":[\"y\",\"z\"]}", "b", Chat, "x");

    let config = good(&[("LIBRA_MODEL_ALIASES", ALIASES)]);
    assert_eq!(config.model_aliases[0].models, ["gemini-2.5-flash", "gemini-2.5-pro"]);
    for text in
        ["gpt-4o", "=a", "a=", "a=b c?", "a=../b", "{", "{\"a\":1}", "{\"a\":[]}", "{\"a\":[1]}", "[\"a=b\"]"]
    {
        bad(&[("LIBRA_MODEL_ALIASES", text)]);
    }
}

#[test]
fn models_turn_to_others_in_order() {
    let check = |aliases: &str, fallbacks: &str, requested: &str, expected: &[&str]| {
        let config = good(&[
            ("LIBRA_MODEL_ALIASES", aliases),
            ("LIBRA_MODEL_FALLBACKS", fallbacks),
            ("LIBRA_MODELS_DENY", "denied"),
        ]);
        let served = config.resolve_model(requested, AliasFor::Chat);
        assert_eq!(config.further_models(requested, served).collect::<Vec<_>>(), expected, "{requested}");
    };
    check("", "", "a", &[]);
    check("x=a,b,c", "", "x", &["b", "c"]);
    check("", "a=b,c", "a", &["b", "c"]);
    check("", "a=b,c", "models/a", &["b", "c"]);
    check("", "a=b;b=c", "a", &["b"]);
    check("", "a=b;a=c", "a", &["b"]);
    check("", "gemini-3.8-*=b", "gpt-4o", &["b"]);
    check("x=a,b", "a=c,b;b=d,a", "x", &["b", "c", "d"]);
    check("x=a,denied", "a=denied,a,b", "x", &["b"]);
    check("x=a,b", "*=c", "tunedModels/x", &["c"]);
    check("", "a=1,2,3,4,5,6,7,8,9,10,11", "a", &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    for text in ["a", "a=", "a=b=c", "a=b c?"] {
        bad(&[("LIBRA_MODEL_FALLBACKS", text)]);
    }
}

#[test]
fn models_are_allowed_and_denied() {
    let check = |allow: &str, deny: &str, model: &str, expected: bool| {
        let config = good(&[("LIBRA_MODELS", allow), ("LIBRA_MODELS_DENY", deny)]);
        assert_eq!(config.model_allowed(model), expected, "{allow} {deny} {model}");
    };
    check("", "", "anything", true);
    check("gemini-*", "", "gemini-2.5-pro", true);
    check("gemini-*", "", "models/gemini-2.5-pro", true);
    check("gemini-*", "", "gemma-3", false);
    check("", "*-pro, models/gemma-*", "gemini-2.5-pro", false);
    check("", "*-pro, models/gemma-*", "gemma-3", false);
    check("", "*-pro", "gemini-2.5-flash", true);
    check("gemini-2.5-pro", "*-PRO", "gemini-2.5-pro", false);
}
