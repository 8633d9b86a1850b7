//! Answers that are kept: for whom, for how long, and what can be done with them.

use std::time::Duration;

use http::Method;
use libra_core::config::Config;
use libra_core::secret::ApiKey;
use serde_json::{Value, json};

use crate::harness::{CLIENT, Call, Canned, Harness, Seen, config};
use crate::shape::Event;

const ANSWER: &str =
    r#"{"candidates":[{"content":{"parts":[{"text":"Hello."}]},"finishReason":"STOP"}],"usageMetadata":{}}"#;

fn harness() -> Harness {
    let clients = [CLIENT, "another-client"].into_iter().map(ApiKey::new).collect();
    Harness::new(Config { clients, ..config(&["pool-key-one"]) })
}

fn ask(harness: &mut Harness, fields: &Value) -> Seen {
    let mut body = json!({ "model": "gemini-2.5-flash", "input": "Hi" });
    for (name, value) in fields.as_object().expect("fields") {
        body[name] = value.clone();
    }
    let streams = body["stream"] == true;
    let answer = move |_: &http::Request<Option<bytes::Bytes>>| match streams {
        true => Canned::sse(format!("data: {ANSWER}\n\n")),
        false => Canned::json(200, ANSWER),
    };
    harness.send(&Call::post("/v1/responses", body.to_string()), answer)
}

fn answer(seen: &Seen) -> Value {
    assert_eq!(seen.status, 200, "{}", seen.text());
    match seen.text().starts_with("event: ") {
        true => Event::read_all(&seen.body).last().expect("events").data["response"].clone(),
        false => serde_json::from_str(seen.text()).expect("JSON"),
    }
}

fn call(harness: &mut Harness, method: Method, path: &str, client: &str) -> (u16, Value) {
    let call = Call { method, ..Call::get(path) };
    let call = call.without_key().with("authorization", &format!("Bearer {client}"));
    let seen = harness.send(&call, |_| panic!("nothing goes up"));
    (seen.status, serde_json::from_str(seen.text()).expect("JSON"))
}

#[test]
fn an_answer_can_be_had_again_by_its_client_alone() {
    for stream in [false, true] {
        let mut harness = harness();
        let answered = answer(&ask(&mut harness, &json!({ "stream": stream })));
        let path = format!("/v1/responses/{}", answered["id"].as_str().expect("an id"));
        let mut call = |method, path: &str, client| call(&mut harness, method, path, client);
        assert_eq!(call(Method::GET, &path, CLIENT), (200, answered.clone()));
        let (status, nobodys) = call(Method::GET, "/v1/responses/resp_of_nobody", CLIENT);
        assert_eq!(status, 404);
        let (status, anothers) = call(Method::GET, &path, "another-client");
        assert_eq!(status, 404);
        let words =
            |error: &Value, id: &str| error["error"]["message"].as_str().expect("words").replace(id, "");
        assert_eq!(words(&anothers, &path[14..]), words(&nobodys, "resp_of_nobody"));
        assert_eq!(call(Method::DELETE, &path, "another-client").0, 404);
        assert_eq!(call(Method::GET, &path, "a-stranger").0, 401);
        assert_eq!(call(Method::POST, &format!("{path}/cancel"), CLIENT).0, 400);
        assert_eq!(call(Method::GET, &format!("{path}?stream=true"), CLIENT).0, 400);
        assert_eq!(call(Method::PUT, &path, CLIENT).0, 405);
        let deleted = json!({ "id": answered["id"], "object": "response", "deleted": true });
        assert_eq!(call(Method::DELETE, &path, CLIENT), (200, deleted));
        assert_eq!(call(Method::GET, &path, CLIENT).0, 404);
        assert_eq!(call(Method::DELETE, &path, CLIENT).0, 404);
    }
}

#[test]
fn what_is_not_to_be_kept_is_not() {
    let mut harness = harness();
    let answered = answer(&ask(&mut harness, &json!({ "store": false })));
    let path = format!("/v1/responses/{}", answered["id"].as_str().expect("an id"));
    assert_eq!(call(&mut harness, Method::GET, &path, CLIENT).0, 404);
    let seen = ask(&mut harness, &json!({ "previous_response_id": answered["id"] }));
    assert_eq!(seen.status, 400);
    let error: Value = serde_json::from_str(seen.text()).expect("JSON");
    assert_eq!(error["error"]["param"], "previous_response_id");

    let kept = answer(&ask(&mut harness, &json!({})));
    harness.now = harness.now + Duration::from_secs(24 * 3600);
    let path = format!("/v1/responses/{}", kept["id"].as_str().expect("an id"));
    assert_eq!(call(&mut harness, Method::GET, &path, CLIENT).0, 404);
}

#[test]
fn a_cut_answer_is_not_kept() {
    let mut harness = harness();
    let body = json!({ "model": "gemini-2.5-flash", "input": "Hi", "stream": true });
    let event = r#"data: {"candidates":[{"content":{"parts":[{"text":"Hello."}]}}]}"#;
    let seen =
        harness.send(&Call::post("/v1/responses", body.to_string()), |_| Canned::sse(format!("{event}\n\n")));
    let failed = answer(&seen);
    assert_eq!(failed["status"], "failed");
    let path = format!("/v1/responses/{}", failed["id"].as_str().expect("an id"));
    assert_eq!(call(&mut harness, Method::GET, &path, CLIENT).0, 404);
}

#[test]
fn input_items_are_the_whole_conversation() {
    let mut harness = harness();
    let first = answer(&ask(
        &mut harness,
        &json!({ "input": [
        { "role": "developer", "content": "Be brief." }, { "role": "user", "content": "One", "id": "msg_own" },
    ] }),
    ));
    let fields = json!({ "input": "Two", "previous_response_id": first["id"], "instructions": "Be polite." });
    let second = answer(&ask(&mut harness, &fields));
    assert_eq!(second["previous_response_id"], first["id"]);
    let path = format!("/v1/responses/{}/input_items", second["id"].as_str().expect("an id"));
    let mut list = |query: &str| call(&mut harness, Method::GET, &format!("{path}{query}"), CLIENT);
    let (status, newest) = list("");
    assert_eq!(status, 200);
    let said = |list: &Value| -> Vec<String> {
        let items = list["data"].as_array().expect("items").iter();
        items.map(|item| item["content"][0]["text"].as_str().expect("a text").to_owned()).collect()
    };
    assert_eq!(said(&newest), ["Two", "Hello.", "One", "Be brief."]);
    assert_eq!(newest["has_more"], false);
    let (_, oldest) = list("?order=asc&limit=2");
    assert_eq!(said(&oldest), ["Be brief.", "One"]);
    assert_eq!((&oldest["has_more"], &oldest["last_id"]), (&json!(true), &json!("msg_own")));
    let (_, rest) = list("?order=asc&after=msg_own");
    assert_eq!(said(&rest), ["Hello.", "Two"]);
    for wrong in ["?limit=0", "?limit=101", "?order=up", "?after=nothing"] {
        assert_eq!(list(wrong).0, 400, "{wrong}");
    }
}

#[test]
fn going_on_sends_the_conversation_without_its_instructions() {
    let mut harness = harness();
    let first = answer(&ask(&mut harness, &json!({ "instructions": "Old words." })));
    let body = json!({
        "model": "gemini-2.5-flash", "input": "And?", "previous_response_id": first["id"], "instructions": "New words.",
    });
    let mut sent = Value::Null;
    harness.send(&Call::post("/v1/responses", body.to_string()), |request| {
        sent = serde_json::from_slice(request.body().as_deref().expect("a body")).expect("JSON");
        Canned::json(200, ANSWER)
    });
    let turn = |role: &str, text: &str| json!({ "role": role, "parts": [{ "text": text }] });
    assert_eq!(sent["contents"], json!([turn("user", "Hi"), turn("model", "Hello."), turn("user", "And?")]));
    assert_eq!(sent["systemInstruction"]["parts"], json!([{ "text": "New words." }]));
}

/// What is gone on from counts like a body: a client cannot make the gateway hold more by naming it often.
#[test]
fn what_is_gone_on_from_is_bounded_like_a_body() {
    let clients = [CLIENT].into_iter().map(ApiKey::new).collect();
    let mut harness = Harness::new(Config { clients, body_limit: 4_000, ..config(&["pool-key-one"]) });
    let long = "x".repeat(1_500);
    let first = answer(&ask(&mut harness, &json!({ "input": long })));
    let second = answer(&ask(&mut harness, &json!({ "input": "And?", "previous_response_id": first["id"] })));
    let third = ask(&mut harness, &json!({ "input": long, "previous_response_id": second["id"] }));
    let third = answer(&third);
    let fourth = ask(&mut harness, &json!({ "input": "And?", "previous_response_id": third["id"] }));
    assert_eq!(fourth.status, 413, "{}", fourth.text());
    let path = format!("/v1/responses/{}/input_items", first["id"].as_str().expect("an id"));
    let (_, items) = call(&mut harness, Method::GET, &path, CLIENT);
    let reference = json!({ "type": "item_reference", "id": items["data"][0]["id"] });
    let often = ask(&mut harness, &json!({ "input": [reference, reference, reference] }));
    assert_eq!(often.status, 413, "{}", often.text());
    let once = ask(&mut harness, &json!({ "input": [reference] }));
    assert_eq!(once.status, 200, "{}", once.text());
}

#[test]
fn a_reference_to_what_is_not_there_is_named() {
    let mut harness = harness();
    let seen = ask(&mut harness, &json!({ "input": [{ "type": "item_reference", "id": "msg_nowhere" }] }));
    assert_eq!(seen.status, 400);
    let error: Value = serde_json::from_str(seen.text()).expect("JSON");
    assert_eq!(error["error"]["param"], "input[0].id");
    assert!(error["error"]["message"].as_str().expect("words").contains("msg_nowhere"));
}

/// A well-known editor sends the one and waits for the other.
#[test]
fn items_sent_as_a_chat_are_answered_as_a_chat() {
    let mut harness = harness();
    for stream in [false, true] {
        let body = json!({
            "model": "gemini-2.5-flash", "stream": stream, "stream_options": { "include_usage": true },
            "input": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": [
                { "type": "input_text", "text": "Hi" },
            ] }],
            "tools": [{ "type": "function", "name": "look", "parameters": { "type": "object" } }],
        });
        let mut sent = Value::Null;
        let seen = harness.send(&Call::post("/v1/chat/completions", body.to_string()), |request| {
            sent = serde_json::from_slice(request.body().as_deref().expect("a body")).expect("JSON");
            if stream { Canned::sse(format!("data: {ANSWER}\n\n")) } else { Canned::json(200, ANSWER) }
        });
        assert_eq!(sent["contents"], json!([{ "role": "user", "parts": [{ "text": "Hi" }] }]));
        assert_eq!(sent["tools"][0]["functionDeclarations"][0]["name"], "look");
        assert_eq!(seen.status, 200);
        if stream {
            assert!(
                seen.text().contains("chat.completion.chunk") && seen.text().ends_with("data: [DONE]\n\n")
            );
            assert!(seen.text().contains("\"total_tokens\""));
        } else {
            let chat: Value = serde_json::from_str(seen.text()).expect("JSON");
            assert_eq!(chat["choices"][0]["message"]["content"], "Hello.");
        }
    }
    let neither =
        harness.send(&Call::post("/v1/chat/completions", r#"{"model":"m"}"#), |_| panic!("refused"));
    assert_eq!(neither.status, 400);
    assert!(neither.text().contains("'messages'"), "{}", neither.text());
}

#[test]
fn tokens_are_counted_with_all_that_a_request_goes_on_from() {
    let mut harness = harness();
    let first = answer(&ask(&mut harness, &json!({})));
    let body = json!({
        "model": "gemini-2.5-flash", "input": "And?", "previous_response_id": first["id"], "instructions": "Be brief.",
        "stream": true, "tools": [{ "type": "function", "name": "look" }],
    });
    let mut sent = Value::Null;
    let seen = harness.send(&Call::post("/v1/responses/input_tokens", body.to_string()), |request| {
        assert!(request.uri().path().ends_with("/gemini-2.5-flash:countTokens"), "{}", request.uri());
        sent = serde_json::from_slice(request.body().as_deref().expect("a body")).expect("JSON");
        Canned::json(200, r#"{"totalTokens":7}"#)
    });
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert_eq!(seen.text(), r#"{"object":"response.input_tokens","input_tokens":7}"#);
    let counted = &sent["generateContentRequest"];
    assert_eq!(counted["model"], "models/gemini-2.5-flash");
    assert_eq!(counted["contents"].as_array().map(Vec::len), Some(3));
    assert!(counted["systemInstruction"].is_object() && counted["tools"].is_array());
}

/// A stream is the same however it comes.
#[test]
fn streams_split_at_every_byte() {
    let events = concat!(
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"thought\":true,\"text\":\"Hm\"},{\"text\":\"a é\"}]}}]}\r\n\r\n",
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":{\"b\":1}}}]},\"finishReason\":\"STOP\"}]}\r\n\r\n",
    );
    let body = r#"{"model":"gemini-2.5-flash","input":"Hi","stream":true}"#;
    let call = Call::post("/v1/responses", body);
    let send = |places: &[usize]| {
        let seen = harness().send(&call, |_| Canned::sse(events).cut_at(places));
        assert_eq!(seen.header("content-type"), Some("text/event-stream; charset=utf-8"));
        seen.text().to_owned()
    };
    let whole = send(&[]);
    let names: Vec<String> = Event::read_all(whole.as_bytes()).into_iter().map(|event| event.name).collect();
    assert_eq!(names.last().map(String::as_str), Some("response.completed"));
    for place in 1..events.len() {
        assert!(send(&[place]) == whole, "split at {place}");
    }
}
