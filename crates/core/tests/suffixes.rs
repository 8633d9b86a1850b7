//! What clients say in a model's name, and what operators say of safety, in every dialect.

mod harness;

use harness::{CLIENT, Call, Canned, Harness, config};
use libra_core::clients::{Client, ClientSettings};
use libra_core::config::{Config, Safety, Suffixes};
use libra_core::secret::ApiKey;
use serde_json::{Value, json};

const ANSWER: &str = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#;
const BODY: &str = r#"{ "contents" : [ {"role":"user","parts":[{"text":"Hi"}]} ] }"#;

/// What goes up for a call: the path, and the body.
fn sent(config: &Config, call: &Call) -> (String, String) {
    let mut sent = None;
    let seen = Harness::new(config.clone()).send(call, |request| {
        let body = request.body().clone().unwrap_or_default();
        sent = Some((request.uri().path().to_owned(), String::from_utf8(body.to_vec()).expect("UTF-8")));
        Canned::json(200, ANSWER)
    });
    assert_eq!(seen.status, 200, "{}", seen.text());
    sent.expect("a request goes up")
}

fn native(model: &str) -> Call {
    Call::post(&format!("/v1beta/models/{model}:generateContent"), BODY)
}

fn chat(model: &str) -> Call {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hi" }] });
    Call::post("/v1/chat/completions", body.to_string())
}

#[test]
fn suffixes_are_wishes_in_every_dialect() {
    let config = config(&["pool-key-one"]);
    let check = |name: &str, model: &str, place: &str, expected: Value| {
        for call in [native(&name.replace('(', "%28").replace(')', "%29")), chat(name)] {
            let (path, body) = sent(&config, &call);
            assert_eq!(path, format!("/v1beta/models/{model}:generateContent"), "{name}");
            let body: Value = serde_json::from_str(&body).expect("JSON");
            let mut found = body.pointer(place).cloned().unwrap_or_default();
            if let Some(found) = found.as_object_mut() {
                // Only the other dialects have a place for thoughts that nobody asked for.
                found.remove("includeThoughts");
            }
            assert_eq!(found, expected, "{name}: {body}");
            assert_eq!(body["contents"][0]["parts"][0]["text"], "Hi");
        }
    };
    let thinking = "/generationConfig/thinkingConfig";
    check("gemini-2.5-flash-search", "gemini-2.5-flash", "/tools/0/googleSearch", json!({}));
    check("gemini-2.5-flash-nothinking", "gemini-2.5-flash", thinking, json!({ "thinkingBudget": 0 }));
    check("gemini-2.5-pro-thinking-8192", "gemini-2.5-pro", thinking, json!({ "thinkingBudget": 8192 }));
    check("gemini-3.5-flash(high)", "gemini-3.5-flash", thinking, json!({ "thinkingLevel": "HIGH" }));
    check("gemini-3.5-flash(high):search", "gemini-3.5-flash", "/tools/0/googleSearch", json!({}));
    check("gpt-5(low)", "gemini-3.8-flash", thinking, json!({ "thinkingLevel": "LOW" }));
}

#[test]
fn a_native_body_of_which_nothing_is_wanted_passes_byte_for_byte() {
    let (path, body) = sent(&config(&["pool-key-one"]), &native("gemini-2.5-flash"));
    assert_eq!((path.as_str(), body.as_str()), ("/v1beta/models/gemini-2.5-flash:generateContent", BODY));
    let count = Call::post("/v1beta/models/gemini-2.5-flash-search:countTokens", BODY);
    let (path, body) = sent(&config(&["pool-key-one"]), &count);
    assert_eq!((path.as_str(), body.as_str()), ("/v1beta/models/gemini-2.5-flash:countTokens", BODY));
}

#[test]
fn a_name_is_a_name_where_suffixes_are_off_or_an_alias_is_called_so() {
    let off = Config { suffixes: Suffixes::Off, ..config(&["pool-key-one"]) };
    assert_eq!(sent(&off, &chat("my-search")).0, "/v1beta/models/my-search:generateContent");
    let (mut alias, _) = Config::from_vars(
        |name| {
            (name == "LIBRA_MODEL_ALIASES")
                .then(|| "my-search=gemini-2.5-pro(high),gemini-2.5-flash".to_owned())
        },
        |_| Err("no files".to_owned()),
    )
    .expect("settings");
    alias.keys = config(&["pool-key-one"]).keys;
    alias.clients = config(&["pool-key-one"]).clients;
    let (path, body) = sent(&alias, &chat("my-search"));
    assert_eq!(path, "/v1beta/models/gemini-2.5-pro:generateContent");
    assert!(body.contains(r#""thinkingBudget":24576"#) && !body.contains("googleSearch"), "{body}");
    // The second model of the alias has its own words for what the first was asked for.
    let mut bodies = Vec::new();
    let seen = Harness::new(alias).send(&native("my-search"), |request| {
        bodies.push((request.uri().path().to_owned(), request.body().clone().unwrap_or_default()));
        if bodies.len() == 1 {
            Canned::json(503, r#"{"error":{"code":503,"status":"UNAVAILABLE"}}"#)
        } else {
            Canned::json(200, ANSWER)
        }
    });
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert_eq!(bodies[1].0, "/v1beta/models/gemini-2.5-flash:generateContent");
    assert!(bodies[1].1.ends_with(br#""generationConfig":{"thinkingConfig":{"thinkingBudget":24576}}}"#));
}

#[test]
fn safety_is_for_what_the_client_does_not_say() {
    let off = Config { safety: Safety::Off, ..config(&["pool-key-one"]) };
    let count = |config: &Config, call: &Call| sent(config, call).1.matches("\"threshold\":\"OFF\"").count();
    for call in [native("gemini-2.5-flash"), chat("gemini-2.5-flash")] {
        assert_eq!(count(&off, &call), 4);
        let settings = ClientSettings { safety: Some(Safety::Client), ..ClientSettings::default() };
        let own = [Client::new(ApiKey::new(CLIENT), settings)].into_iter().collect();
        assert_eq!(count(&Config { clients: own, ..off.clone() }, &call), 0);
        assert_eq!(count(&config(&["pool-key-one"]), &call), 0);
    }
    assert_eq!(count(&off, &native("gemini-2.5-flash-preview-tts")), 0);
    let own = json!({
        "contents": [{ "parts": [{ "text": "Hi" }] }],
        "safety_settings": [{ "category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE" }],
    });
    let call = Call::post("/v1beta/models/gemini-2.5-flash:generateContent", own.to_string());
    assert_eq!(count(&off, &call), 3);
    // What cannot be read passes as it is.
    assert_eq!(sent(&off, &native("gemini-2.5-flash").with("content-encoding", "gzip")).1, BODY);
}

#[test]
fn a_wish_for_a_body_that_cannot_be_read_is_refused() {
    let call = native("gemini-2.5-flash-search").with("content-encoding", "gzip");
    let seen = Harness::new(config(&["pool-key-one"])).send(&call, |_| panic!("nothing goes up"));
    assert_eq!(seen.status, 415);
}

#[test]
fn suffixes_are_listed_where_they_are_wanted() {
    let listed =
        Config { suffixes: Suffixes::Listed(vec!["-search".to_owned()]), ..config(&["pool-key-one"]) };
    let list =
        r#"{"models":[{"name":"models/gemini-2.5-flash","supportedGenerationMethods":["generateContent"]}]}"#;
    for (path, config, expected) in [
        ("/v1/models", &listed, true),
        ("/v1beta/models", &listed, true),
        ("/v1/models", &config(&["pool-key-one"]), false),
    ] {
        let seen = Harness::new(config.clone()).send(&Call::get(path), |_| Canned::json(200, list));
        assert_eq!(seen.text().contains("gemini-2.5-flash-search"), expected, "{path}: {}", seen.text());
    }
    let mut asked = String::new();
    let seen = Harness::new(listed).send(&Call::get("/v1/models/gemini-2.5-flash-search"), |request| {
        request.uri().path().clone_into(&mut asked);
        Canned::json(200, r#"{"name":"models/gemini-2.5-flash"}"#)
    });
    assert_eq!(asked, "/v1beta/models/gemini-2.5-flash");
    assert!(seen.text().contains("gemini-2.5-flash-search"), "{}", seen.text());
}
