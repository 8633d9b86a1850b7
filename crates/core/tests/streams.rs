//! Streams through the gateway, split at every byte: what comes out does not depend on how it came in.

mod harness;

use harness::{Call, Canned, End, Harness, Seen, config};

const EVENTS: [&str; 3] = [
    r#"{"candidates": [{"content": {"parts": [{"text": "Good \"error\"\n\nmorning"}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 3,"totalTokenCount": 5}}"#,
    r#"{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f","args": {"error": "]}"}}}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 3,"totalTokenCount": 9}}"#,
    r#"{"candidates": [{"content": {"parts": [{"text": ", Jürgen 🌍"}],"role": "model"},"finishReason": "STOP","index": 0}],"usageMetadata": {"promptTokenCount": 3,"totalTokenCount": 12}}"#,
];

const ERROR: &str = r#"{
  "error": {
    "code": 503,
    "message": "The model is overloaded. pool-key-one",
    "status": "UNAVAILABLE"
  }
}
"#;

fn sse(events: &[&str]) -> String {
    events.iter().map(|event| format!("data: {event}\r\n\r\n")).collect()
}

fn array(events: &[&str]) -> String {
    format!("[{}", events.join("\n,\r\n"))
}

/// Sends a call, the answer split in two at every place, and checks each time.
fn split_everywhere(call: &Call, canned: &Canned, check: impl Fn(&Seen, &str)) {
    let size: usize = canned.chunks.iter().map(bytes::Bytes::len).sum();
    for place in 0..=size {
        let canned = canned.clone().cut_at(&[place]);
        let seen = Harness::new(config(&["pool-key-one"])).send(call, |_| canned.clone());
        check(&seen, &format!("split at {place}"));
    }
    let everywhere: Vec<usize> = (1..size).collect();
    let canned = canned.clone().cut_at(&everywhere);
    let seen = Harness::new(config(&["pool-key-one"])).send(call, |_| canned.clone());
    check(&seen, "split everywhere");
}

#[test]
fn native_streams_pass_byte_for_byte() {
    let body = sse(&EVENTS);
    split_everywhere(&Call::native_stream(), &Canned::sse(body.clone()), |seen, how| {
        assert_eq!((seen.status, seen.text(), seen.reset), (200, body.as_str(), false), "{how}");
    });
    let body = format!("{}\n]\n", array(&EVENTS));
    split_everywhere(&Call::native_array(), &Canned::json(200, body.clone()), |seen, how| {
        assert_eq!((seen.status, seen.text(), seen.reset), (200, body.as_str(), false), "{how}");
    });
}

/// The error object at the end of what the client got, and what came before it.
fn said_error<'a>(text: &'a str, before: &str, end: &str, how: &str) -> &'a str {
    let rest =
        text.strip_prefix(before).unwrap_or_else(|| panic!("{how}: {text:?} does not begin with {before:?}"));
    let error = rest.strip_suffix(end).unwrap_or_else(|| panic!("{how}: {rest:?}"));
    assert!(
        serde_json::from_str::<serde_json::Value>(error).is_ok_and(|error| error["error"].is_object()),
        "{how}: {error}"
    );
    error
}

#[test]
fn a_native_stream_that_is_cut_ends_with_an_error() {
    for end in [End::Complete, End::Broken, End::Silence] {
        // Cut between events, and in the middle of one.
        for tail in ["", "data: {\"candidates\": [{\"content\""] {
            let whole = sse(&EVENTS[..2]);
            let canned = Canned::sse(format!("{whole}{tail}")).ending(end);
            split_everywhere(&Call::native_stream(), &canned, |seen, how| {
                let error = said_error(seen.text(), &format!("{whole}data: "), "\r\n\r\n", how);
                assert!(error.contains("\"code\":502"), "{how}: {error}");
            });
        }
        let whole = array(&EVENTS[..2]);
        let canned = Canned::json(200, format!("{whole}\n,\r\n{{\"cand")).ending(end);
        split_everywhere(&Call::native_array(), &canned, |seen, how| {
            let error = said_error(seen.text(), &format!("{whole},\r\n"), "\n]\n", how);
            assert!(error.contains("\"code\":502"), "{how}: {error}");
            assert!(
                serde_json::from_str::<serde_json::Value>(seen.text()).is_ok(),
                "{how}: the array is whole"
            );
        });
    }
}

#[test]
fn an_error_in_the_middle_is_said_and_holds_no_key() {
    let whole = sse(&EVENTS[..1]);
    let on_one_line = ERROR.replace('\n', " ");
    for tail in [
        ERROR.to_owned(),
        format!("data: {on_one_line}\r\n\r\n"),
        format!("data: {on_one_line}\r\n\r\n{}", sse(&EVENTS)),
    ] {
        split_everywhere(&Call::native_stream(), &Canned::sse(format!("{whole}{tail}")), |seen, how| {
            let error = said_error(seen.text(), &format!("{whole}data: "), "\r\n\r\n", how);
            assert!(
                error.contains("overloaded") && error.contains("503") && !error.contains("pool-key"),
                "{how}: {error}"
            );
        });
        split_everywhere(&Call::chat_stream(), &Canned::sse(format!("{whole}{tail}")), |seen, how| {
            let (before, error) = seen.text().trim_end().rsplit_once("data: ").expect("events");
            assert!(before.contains("morning"), "{how}: {before}");
            assert!(error.contains("overloaded") && !error.contains("pool-key"), "{how}: {error}");
            assert!(
                !seen.text().contains("[DONE]") && !seen.text().contains("\"finish_reason\":\""),
                "{how}"
            );
        });
    }
    let whole = array(&EVENTS[..1]);
    split_everywhere(
        &Call::native_array(),
        &Canned::json(200, format!("{whole}\n,\r\n{ERROR}]")),
        |seen, how| {
            let error = said_error(seen.text(), &format!("{whole},\r\n"), "\n]\n", how);
            assert!(error.contains("overloaded") && !error.contains("pool-key"), "{how}: {error}");
        },
    );
}

#[test]
fn a_translated_stream_is_the_same_however_it_comes() {
    let canned = Canned::sse(sse(&EVENTS));
    let whole = Harness::new(config(&["pool-key-one"])).send(&Call::chat_stream(), |_| canned.clone());
    assert!(whole.text().ends_with("data: [DONE]\n\n"), "{}", whole.text());
    assert!(whole.text().contains("Jürgen 🌍") && whole.text().contains("\"finish_reason\":\"tool_calls\""));
    split_everywhere(&Call::chat_stream(), &canned, |seen, how| {
        assert_eq!(seen.text(), whole.text(), "{how}")
    });
}

#[test]
fn messages_are_the_same_however_they_come() {
    let canned = Canned::sse(sse(&EVENTS));
    let whole = Harness::new(config(&["pool-key-one"])).send(&Call::message_stream(), |_| canned.clone());
    assert!(whole.text().contains("Jürgen 🌍") && whole.text().contains("\"stop_reason\":\"tool_use\""));
    assert!(whole.text().ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    split_everywhere(&Call::message_stream(), &canned, |seen, how| {
        assert_eq!(seen.text(), whole.text(), "{how}");
    });
}

#[test]
fn messages_that_are_cut_end_with_an_error_and_never_stop() {
    for end in [End::Complete, End::Broken, End::Silence] {
        let canned = Canned::sse(format!("{}data: {{\"cand", sse(&EVENTS[..2]))).ending(end);
        split_everywhere(&Call::message_stream(), &canned, |seen, how| {
            let (_, last) = seen.text().trim_end().rsplit_once("event: error\ndata: ").expect("an error");
            let error: serde_json::Value = serde_json::from_str(last).expect("JSON");
            assert!(error["type"] == "error" && error["error"]["type"] == "api_error", "{how}: {last}");
            assert!(error["request_id"].as_str().is_some_and(|id| id.starts_with("req_")), "{how}: {last}");
            assert!(!seen.text().contains("message_stop") && !seen.text().contains("message_delta"), "{how}");
        });
    }
}

#[test]
fn a_translated_stream_that_is_cut_never_says_stop() {
    for end in [End::Complete, End::Broken, End::Silence] {
        let canned = Canned::sse(format!("{}data: {{\"cand", sse(&EVENTS[..2]))).ending(end);
        split_everywhere(&Call::chat_stream(), &canned, |seen, how| {
            let (_, last) = seen.text().trim_end().rsplit_once("data: ").expect("events");
            let error: serde_json::Value = serde_json::from_str(last).expect("JSON");
            let error = error["error"].as_object().unwrap_or_else(|| panic!("{how}: {last}"));
            assert_eq!(error.len(), 4, "{how}: {last}");
            assert!(!seen.text().contains("\"finish_reason\":\""), "{how}");
        });
    }
}

#[test]
fn a_large_answer_flows_and_is_broken_off_when_cut() {
    let large = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"inlineData":{{"mimeType":"image/png","data":"{}"}}}}]}},"finishReason":"STOP"}}]}}"#,
        "A".repeat(20 << 20)
    );
    let places: Vec<usize> = (1..large.len() / 65_536).map(|chunk| chunk * 65_536).collect();
    for (call, body) in [
        (Call::native(), large.clone()),
        (Call::native_stream(), format!("data: {large}\r\n\r\n")),
        (Call::native_array(), format!("[{large}\n]\n")),
    ] {
        let whole = if call.path.contains("sse") {
            Canned::sse(body.clone())
        } else {
            Canned::json(200, body.clone())
        };
        let whole = whole.cut_at(&places);
        let seen = Harness::new(config(&["pool-key-one"])).send(&call, |_| whole.clone());
        assert!(seen.status == 200 && !seen.reset && seen.body == body.as_bytes(), "{}", call.path);
        let mut cut = whole.ending(End::Broken);
        cut.chunks.truncate(200);
        let seen = Harness::new(config(&["pool-key-one"])).send(&call, |_| cut.clone());
        assert!(seen.status == 200 && seen.reset, "{}: a cut answer must not look whole", call.path);
    }
}
