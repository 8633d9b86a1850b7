//! Other models than the one asked for.

use libra_core::config::{Config, ModelAlias};
use wildmatch::WildMatch;

use crate::harness::{Call, Harness, config};
use crate::upstream::{day, error, good};

fn fallbacks() -> Config {
    let alias = |pattern: &str, models: &[&str]| ModelAlias {
        pattern: WildMatch::new(pattern),
        models: models.iter().map(|model| (*model).to_owned()).collect(),
    };
    Config {
        model_aliases: vec![alias("best", &["gemini-a", "gemini-2.5-flash"])],
        model_fallbacks: vec![alias("gemini-2.5-flash", &["gemini-b", "gemini-c"])],
        ..config(&["only"])
    }
}

#[test]
fn an_answer_of_another_model_says_so() {
    // The models that cannot serve, the status, and what the answer says.
    let check = |call: &Call, bad: &[&str], status: u16, model: Option<&str>| {
        let seen = Harness::new(fallbacks()).send(call, |request| {
            let path = request.uri().path();
            if bad.iter().any(|bad| path.contains(bad)) { day() } else { good(call) }
        });
        assert_eq!((seen.status, seen.header("x-libra-model")), (status, model), "{} {bad:?}", call.path);
        assert!(seen.header("x-libra-attempts").is_none(), "only administrators are told more");
    };
    for call in [Call::native(), Call::native_stream(), Call::chat(), Call::chat_stream()] {
        check(&call, &[], 200, None);
        check(&call, &["gemini-2.5-flash"], 200, Some("gemini-b"));
        check(&call, &["gemini-2.5-flash", "gemini-b"], 200, Some("gemini-c"));
        check(&call, &["gemini-"], 429, None);
    }
    let alias =
        Call::post("/v1/chat/completions", r#"{"model":"best","messages":[{"role":"user","content":"Hi"}]}"#);
    check(&alias, &[], 200, None);
    check(&alias, &["gemini-a"], 200, Some("gemini-2.5-flash"));
}

#[test]
fn a_fault_of_the_request_turns_to_no_other_model() {
    let seen = Harness::new(fallbacks())
        .send(&Call::chat(), |_| error(400, "Request contains an invalid argument.", "INVALID_ARGUMENT"));
    assert_eq!((seen.status, seen.calls.len(), seen.header("x-libra-model")), (400, 1, None));
}
