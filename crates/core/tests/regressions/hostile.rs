//! Requests that nobody means well with: what costs far more than its bytes, and what comes back far larger.

use std::time::{Duration, Instant};

use crate::harness::{Call, Canned, Harness, config};
use libra_core::config::Config;

const GOOD: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP","index":0}]}"#;

/// What these bodies take at most, on a slow machine in a debug build. Where the cost grows with the square of
/// the size, it is minutes.
const LONG: Duration = Duration::from_secs(20);

fn list(count: usize, entry: impl Fn(usize) -> String) -> String {
    (0..count).map(entry).collect::<Vec<_>>().join(",")
}

fn chat(messages: &str) -> String {
    format!(r#"{{"model":"gemini-3-pro-preview","messages":[{messages}]}}"#)
}

fn with_schema(schema: &str) -> String {
    format!(
        r#"{{"model":"gemini-2.5-flash","messages":[{{"role":"user","content":"x"}}],"response_format":{{"type":"json_schema","json_schema":{{"schema":{schema}}}}}}}"#
    )
}

/// Sends a body, and looks how long that takes.
#[expect(clippy::disallowed_methods, reason = "the time that passes is what is tested")]
fn costs(path: &str, what: &str, body: String, status: u16) {
    let mut harness = Harness::new(config(&["only"]));
    let began = Instant::now();
    let seen = harness.send(&Call::post(path, body), |_| Canned::json(200, GOOD));
    assert_eq!(seen.status, status, "{what}: {}", seen.text());
    assert!(began.elapsed() < LONG, "{path}, {what}: {:?}", began.elapsed());
}

fn same(count: usize, entry: &str) -> String {
    list(count, |_| entry.to_owned())
}

#[test]
fn no_chat_costs_far_more_than_its_bytes() {
    let check = |what: &str, body, status| costs("/v1/chat/completions", what, body, status);
    check("turns of one side", chat(&same(100_000, r#"{"role":"user","content":"x"}"#)), 200);
    let orphan = r#"{"role":"tool","tool_call_id":"a","content":"x"}"#;
    check("results without calls", chat(&same(50_000, orphan)), 200);
    let call = |id: usize| {
        format!(
            r#"{{"role":"assistant","tool_calls":[{{"id":"{id}","function":{{"name":"f","arguments":"{{}}"}}}}]}}"#
        )
    };
    let result = |id: usize| format!(r#"{{"role":"tool","tool_call_id":"{id}","content":"x"}}"#);
    let calls_first = list(20_000, |n| if n < 10_000 { call(n) } else { result(19_999 - n) });
    check("results far from their calls", chat(&calls_first), 200);
    let same_id = list(20_000, |n| if n % 2 == 0 { call(0) } else { result(0) });
    check("one id again and again", chat(&same_id), 200);

    let silence = r#"{"role":"assistant","content":"x"},{"role":"user","content":""}"#;
    check("words with nothing between", chat(&same(50_000, silence)), 200);
    let parts = same(100_000, r#"{"type":"text","text":"some words of a result"}"#);
    check(
        "a result of many texts",
        chat(&format!(r#"{{"role":"tool","tool_call_id":"a","content":[{parts}]}}"#)),
        200,
    );

    let tool = |name: usize| format!(r#"{{"type":"function","function":{{"name":"f{name}"}}}}"#);
    let tools = list(20_000, tool);
    let allowed = format!(
        r#"{{"model":"gemini-2.5-flash","messages":[{{"role":"user","content":"x"}}],"tools":[{tools}],"tool_choice":{{"type":"allowed_tools","allowed_tools":{{"mode":"auto","tools":[{tools}]}}}}}}"#
    );
    check("a choice among all tools", allowed, 200);

    let required = same(20_000, r#""required":["a"]"#);
    let properties = list(20_000, |n| format!(r#""p{n}":{{}}"#));
    let schema = format!(r#"{{{required},"properties":{{{properties}}}}}"#);
    check("a keyword again and again", with_schema(&schema), 200);
    check("constants", with_schema(&format!("{{{}}}", same(50_000, r#""const":1"#))), 200);
    let lists = same(20_000, r#""allOf":[{"type":"string"}]"#);
    check("lists of one", with_schema(&format!("{{{lists}}}")), 200);
    let deep = |count| format!("{}{}", "[".repeat(count), "]".repeat(count));
    check("a deep schema", with_schema(&deep(100_000)), 200);
    check("deep content", chat(&format!(r#"{{"role":"user","content":{}}}"#, deep(100_000))), 400);
}

#[test]
fn no_message_costs_far_more_than_its_bytes() {
    let check = |what: &str, messages: &str, status| {
        let body = format!(r#"{{"model":"gemini-3-pro-preview","max_tokens":9,"messages":[{messages}]}}"#);
        costs("/v1/messages", what, body, status);
    };
    let said = |role: &str, content: &str| format!(r#"{{"role":"{role}","content":{content}}}"#);
    check("turns of one side", &same(100_000, &said("user", r#""x""#)), 200);
    check("words of the system", &same(50_000, &said("system", r#""x""#)), 200);
    let silence = format!("{},{}", said("assistant", r#""x""#), said("user", r#""""#));
    check("words with nothing between", &same(50_000, &silence), 200);
    let texts = same(100_000, r#"{"type":"text","text":"some words of a result"}"#);
    let result = format!(r#"[{{"type":"tool_result","tool_use_id":"a","content":[{texts}]}}]"#);
    check("a result of many texts", &said("user", &result), 200);
    let orphans = same(50_000, r#"{"type":"tool_result","tool_use_id":"a","content":"x"}"#);
    check("results without calls", &said("user", &format!("[{orphans}]")), 200);
    let calls = list(20_000, |n| format!(r#"{{"type":"tool_use","id":"{n}","name":"f","input":{{}}}}"#));
    let results = list(20_000, |n| format!(r#"{{"type":"tool_result","tool_use_id":"{}"}}"#, 19_999 - n));
    let turn =
        format!("{},{}", said("assistant", &format!("[{calls}]")), said("user", &format!("[{results}]")));
    check("many calls in one turn", &turn, 200);
    let thoughts =
        same(50_000, r#"{"type":"thinking","thinking":"x","signature":"AAAA"},{"type":"text","text":"x"}"#);
    check("thoughts", &said("assistant", &format!("[{thoughts}]")), 200);
    let deep = format!(
        "{}{}",
        r#"{"type":"document","source":{"type":"content","content":["#.repeat(20_000),
        "]}}".repeat(20_000)
    );
    check("documents in documents", &said("user", &format!("[{deep}]")), 400);
}

/// What a client writes where it should not comes back in an error, but not all of it; and its name for a model
/// comes back with every event.
#[test]
fn no_answer_repeats_what_is_long() {
    let long = "x".repeat(1 << 20);
    let fields = [
        format!(r#""model":"{long}","messages":[{{"role":"user","content":"x"}}]"#),
        format!(r#""model":"gpt-{long}","messages":[{{"role":"user","content":"x"}}]"#),
        format!(r#""model":"gemini-2.5-flash","messages":"{long}""#),
        format!(r#""model":"gemini-2.5-flash","messages":[{{"role":"{long}","content":"x"}}]"#),
        format!(
            r#""model":"gemini-2.5-flash","messages":[{{"role":"user","content":[{{"type":"{long}"}}]}}]"#
        ),
        format!(
            r#""model":"gemini-2.5-flash","messages":[{{"role":"user","content":[{{"type":"image_url","image_url":"{long}"}}]}}]"#
        ),
        format!(
            r#""model":"gemini-2.5-flash","messages":[{{"role":"user","content":[{{"type":"image_url","image_url":"https://{long}"}}]}}]"#
        ),
        format!(
            r#""model":"gemini-2.5-flash","messages":[{{"role":"user","content":"x"}}],"tool_choice":{{"type":"function","function":{{"name":"{long}"}}}}"#
        ),
        format!(r#""model":"gemini-2.5-flash","messages":[{{"role":"user","content":"x"}}],"n":"{long}""#),
        format!(
            r#""model":"gemini-2.5-flash","messages":[{{"role":"user","content":"x"}}],"reasoning_effort":"{long}""#
        ),
        format!(
            r#""model":"gemini-2.5-flash","messages":[{{"role":"user","content":"x"}}],"response_format":{{"type":"{long}"}}"#
        ),
        format!(
            r#""model":"gemini-2.5-flash","messages":[{{"role":"user","content":"x"}}],"modalities":["audio"],"audio":{{"format":"{long}"}}"#
        ),
    ];
    for fields in fields {
        let mut harness = Harness::new(config(&["only"]));
        let call = Call::post("/v1/chat/completions", format!("{{{fields}}}"));
        let seen = harness.send(&call, |_| Canned::json(200, GOOD));
        let start = &fields[..fields.len().min(200)];
        assert!(matches!(seen.status, 400 | 404), "{start}: {}", seen.status);
        assert!(seen.body.len() < 20_000, "{start}: {} bytes", seen.body.len());
        assert!(format!("{:?}", seen.events).len() < 20_000, "{start}");
    }
}

/// Of what is held, the values count that a body has: many small ones take far more than its bytes.
#[test]
fn small_values_count() {
    let config = || Config { memory: Some(16 << 20), ..config(&["only"]) };
    let send = |body: String| {
        let mut harness = Harness::new(config());
        let seen = harness.send(&Call::post("/v1/chat/completions", body), |_| Canned::json(200, GOOD));
        assert!(format!("{:?}", harness.gateway).contains("held: 0"));
        seen
    };
    let parts = |count| format!(r#"{{"role":"user","content":[{}]}}"#, list(count, |_| r#""""#.to_owned()));
    assert_eq!(send(chat(&parts(30_000))).status, 200);
    // Beside the body and what it becomes there is no room for so many, and for more there never is.
    let text = r#"{"role":"user","content":"TEXT"}"#.replace("TEXT", &"x".repeat(30_000));
    let seen = send(chat(&format!("{text},{}", parts(49_100))));
    assert_eq!((seen.status, seen.header("retry-after")), (503, Some("1")), "{}", seen.text());
    let seen = send(chat(&parts(60_000)));
    assert_eq!((seen.status, seen.header("retry-after")), (413, None), "{}", seen.text());
    // Text is text, whatever it looks like.
    let words = format!(r#"{{"role":"user","content":"{}"}}"#, "[{,".repeat(60_000));
    assert_eq!(send(chat(&words)).status, 200);
}
