//! Who is let in, and what goes up.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, StatusCode};
use libra_core::clients::{Client, ClientSettings};
use libra_core::config::{ClientKeys, Config};
use libra_core::event::LiveEndedBy;
use libra_core::gateway::Gateway;
use libra_core::live::{Frame, Input, Outgoing};
use libra_core::secret::ApiKey;
use serde_json::json;

use crate::harness::{CLIENT, START, config};
use crate::play::{LEAKED, PATH, Play, SETUP, accept, five, head, said};

#[test]
fn what_is_refused_before_the_upgrade() {
    let check = |gateway: &Arc<Gateway>, uri: &str, headers: &HeaderMap, expected: u16, says: &str| {
        let reply = accept(gateway, uri, headers, START).expect_err(uri);
        let body = String::from_utf8_lossy(reply.body()).into_owned();
        assert_eq!(reply.status(), expected, "{uri}: {body}");
        assert!(body.starts_with(r#"{"error":{"code":"#) && body.contains(says), "{uri}: {body}");
        assert_eq!(reply.headers()["access-control-allow-origin"], "*");
    };
    let gateway = five();
    let good = head(&[("x-goog-api-key", CLIENT)]);
    let mut plain = good.clone();
    plain.remove("upgrade");
    check(&gateway, PATH, &plain, 400, "Upgrade: websocket");
    check(&gateway, PATH, &head(&[]), 401, "No API key");
    check(&gateway, PATH, &head(&[("x-goog-api-key", "stranger")]), 401, "may not use");
    check(
        &gateway,
        "/ws/google.ai.generativelanguage.v9.GenerativeService.BidiGenerateContent",
        &good,
        404,
        "nothing",
    );
    let busy = Gateway::new(Config { live_sessions: 1, ..config(&["key-1"]) }, 1);
    let first = accept(&busy, PATH, &good, START).expect("one may be");
    check(&busy, PATH, &good, 503, "LIBRA_LIVE_SESSIONS");
    drop(first);
    assert!(accept(&busy, PATH, &good, START).is_ok(), "it was given back");
    let mut play = Play::with(&busy);
    play.client(SETUP);
    play.tell(Input::Refused(StatusCode::FORBIDDEN, HeaderMap::new(), LEAKED.into()));
    drop(play);
    check(&busy, PATH, &good, 503, "No key of this gateway");
}

#[test]
fn every_path_leads_to_googles_and_one_credential_goes_up() {
    let check = |base: &str, uri: &str, expected: &str| {
        let gateway = Gateway::new(Config { base_path: base.to_owned(), ..config(&["key-1"]) }, 1);
        let fields = [
            ("authorization", "Bearer client-key"),
            ("user-agent", "google-genai-sdk/3.4.0"),
            ("origin", "https://where.example"),
            ("cookie", "a=b"),
            ("sec-websocket-protocol", "x"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ];
        let session = accept(&gateway, uri, &head(&fields), START).expect("a session");
        let answer = session.head();
        assert_eq!(answer.status(), 101);
        assert!(answer.headers().contains_key("x-libra-request-id"));
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        let mut play = Play::of(session);
        play.client(SETUP);
        let request = &play.asked[0];
        assert_eq!(
            request.uri().path_and_query().map(ToString::to_string).as_deref(),
            Some(expected),
            "{uri}"
        );
        let mut names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["user-agent", "x-goog-api-key"]);
        assert_eq!(play.key(), "key-1");
    };
    const SERVICE: &str = "google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent";
    let google = format!("/ws/{SERVICE}");
    check("", &google, &google);
    check("", &format!("//ws/{SERVICE}?key={CLIENT}"), &google);
    check("", &format!("/v1beta/ws/{SERVICE}?alt=ws&key={CLIENT}"), &format!("{google}?alt=ws"));
    check("/gemini", &format!("/gemini//ws/{SERVICE}/"), &google);
    let music = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateMusic";
    check("", music, music);
}

#[test]
fn models_are_those_that_are_served_here() {
    let gateway = Gateway::new(
        Config {
            model_aliases: Config::from_vars(
                |name| (name == "LIBRA_MODEL_ALIASES").then(|| "voice=gemini-2.5-flash".to_owned()),
                |_| Err(String::new()),
            )
            .expect("an alias")
            .0
            .model_aliases,
            models_deny: vec![wildmatch("gemini-*-pro")],
            ..config(&["key-1"])
        },
        1,
    );
    let mut play = Play::with(&gateway);
    play.client(r#"{"setup": { "model":"models/voice", "x": 1.0 } }"#);
    play.connected();
    let expected = r#"{"setup": { "model":"models/gemini-2.5-flash", "x": 1.0 } }"#;
    assert_eq!(play.up, [Outgoing::Frame(Frame::text(expected.to_owned()))]);

    let check = |first: &str, code: u16, says: &str| {
        let mut play = Play::with(&gateway);
        play.client(first);
        let (told, reason) = play.closed();
        assert!(told == code && reason.contains(says), "{first}: {told} {reason}");
        assert!(play.asked.is_empty());
        play.tell(Input::ClientEnded(said(code, "")));
        assert!(play.is_over);
        assert_eq!((play.end().by, play.end().code), (LiveEndedBy::Gateway, code));
    };
    check(r#"{"setup":{"model":"models/gemini-2.5-pro"}}"#, 1008, "gemini-2.5-pro is not served");
    check(r#"{"clientContent":{}}"#, 1007, "first message");
    check("hello", 1007, "JSON");
    check(r#"{"setup":{}}"#, 1007, "setup.model");
    check(r#"{"setup":{"model":"a/../b"}}"#, 1008, "not served");
}

#[test]
fn sessions_count_against_what_their_clients_may() {
    let gateway = |settings: serde_json::Value| {
        let settings = ClientSettings::read(settings).expect("good settings");
        let clients = [Client::new(ApiKey::new(CLIENT), settings)].into_iter().collect();
        Gateway::new(Config { clients, ..config(&["key-1"]) }, 1)
    };
    let asked = |gateway: &Arc<Gateway>| {
        let asked = accept(gateway, PATH, &head(&[("x-goog-api-key", CLIENT)]), START);
        asked.err().map(|reply| reply.status().as_u16())
    };
    let one_at_a_time = gateway(json!({ "concurrent_requests": 1 }));
    let mut play = Play::ready(&one_at_a_time);
    assert_eq!(asked(&one_at_a_time), Some(429));
    play.tell(Input::UpstreamEnded(said(1000, "")));
    play.end_after_goodbye();
    assert_eq!(asked(&one_at_a_time), None, "its place was given back");

    let one_a_day = gateway(json!({ "requests_per_day": 1 }));
    drop(accept(&one_a_day, PATH, &head(&[("x-goog-api-key", CLIENT)]), START));
    let _play = Play::ready(&one_a_day);
    assert_eq!(asked(&one_a_day), Some(429), "one that came to nothing did not count");

    let few_tokens = gateway(json!({ "tokens_per_day": 250 }));
    let mut play = Play::ready(&few_tokens);
    let turn = r#"{"usageMetadata":{"promptTokenCount":40,"totalTokenCount":100}}"#;
    (0..2).for_each(|_| play.google(turn));
    assert!(play.down.iter().all(|message| matches!(message, Outgoing::Frame(_))), "there is something left");
    play.google(turn);
    let (code, reason) = play.closed();
    assert!(code == 1013 && reason.contains("tokens_per_day"), "{code} {reason}");
    assert_eq!(play.down.len(), 4, "what was said has come");
    let client = few_tokens.config().clients.iter().next().cloned().expect("a client");
    assert_eq!(few_tokens.account(&client, START).periods[0].1.tokens, 300);
    let mut play = Play::with(&few_tokens);
    play.client(SETUP);
    let (code, reason) = play.closed();
    assert!(code == 1013 && reason.contains("tokens a day"), "{code} {reason}");

    let others = gateway(json!({ "models": "gemini-*-pro" }));
    let mut play = Play::with(&others);
    play.client(SETUP);
    let (code, reason) = play.closed();
    assert!(code == 1008 && reason.contains("may not use the model"), "{code} {reason}");
    let openai = gateway(json!({ "dialects": ["openai"] }));
    assert_eq!(asked(&openai), Some(403));
}

#[test]
fn own_keys_are_served_with_themselves() {
    let gateway = five();
    let session = accept(&gateway, &format!("{PATH}?key=own-1,own-2"), &head(&[]), START);
    let mut play = Play::of(session.expect("a session"));
    play.client(SETUP);
    let first = play.key().to_owned();
    assert!(first.starts_with("own-"), "{first}");
    play.tell(Input::Refused(StatusCode::FORBIDDEN, HeaderMap::new(), LEAKED.into()));
    let second = play.key().to_owned();
    assert!(second.starts_with("own-") && second != first, "{second}");
    play.tell(Input::Refused(StatusCode::FORBIDDEN, HeaderMap::new(), LEAKED.into()));
    let (code, reason) = play.closed();
    assert!(code == 1008 && reason.contains("reported as leaked"), "{code} {reason}");
    assert_eq!(gateway.pool_size(), (5, 5), "the pool has learned nothing");
}

#[test]
fn an_ephemeral_token_goes_up_alone() {
    let path = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained";
    let gateway = five();
    let token = [("authorization", "Token auth_tokens/abc-123"), ("x-goog-api-key", "auth_tokens/abc-123")];
    let mut play = Play::of(accept(&gateway, path, &head(&token), START).expect("a session"));
    play.client(r#"{"setup":{}}"#);
    let request = &play.asked[0];
    let expected = format!("{path}?access_token=auth_tokens/abc-123");
    assert_eq!(request.uri().path_and_query().map(ToString::to_string), Some(expected));
    assert!(request.headers().is_empty(), "{:?}", request.headers());
    play.connected();
    play.tell(Input::UpstreamEnded(said(1008, "Token auth_tokens/abc-123 has expired")));
    let (code, reason) = play.closed();
    assert!(code == 1008 && !reason.contains("abc-123"), "{code} {reason}");
    assert_eq!(play.asked.len(), 1, "there is no other token");

    let strict = Gateway::new(Config { client_keys: ClientKeys::Deny, ..config(&["key-1"]) }, 1);
    assert_eq!(accept(&strict, path, &head(&token), START).expect_err("a stranger").status(), 401);
}

fn wildmatch(pattern: &str) -> wildmatch::WildMatch {
    wildmatch::WildMatch::new(pattern)
}
