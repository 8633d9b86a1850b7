//! OpenAI's endpoints besides chats against golden fixtures, and against noise.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use libra_core::error::Kind;
use libra_core::gemini::remote::Media;
use libra_core::openai::endpoint::{Endpoint, Fragment, Request};
use serde_json::{Value, json};

#[path = "../harness/golden.rs"]
mod golden;
#[path = "../harness/mutation.rs"]
mod mutation;
mod noise;

const CREATED: u64 = 1_800_000_000;
const BOUNDARY: &str = "a-boundary-of-the-tests";

/// The body of a case, and its media type: JSON, a form, or bytes as they are.
fn body(case: &Value) -> (Bytes, String) {
    if let Some(raw) = case["raw"].as_str() {
        return (Bytes::copy_from_slice(raw.as_bytes()), format!("multipart/form-data; boundary={BOUNDARY}"));
    }
    let Some(fields) = case["form"].as_array() else {
        return (case["body"].to_string().into(), "application/json".to_owned());
    };
    let mut form = Vec::new();
    for field in fields {
        let name = field["name"].as_str().expect("a name");
        form.extend_from_slice(
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"").as_bytes(),
        );
        match field["file_name"].as_str() {
            Some(file) => {
                form.extend_from_slice(format!("; filename=\"{file}\"").as_bytes());
                let kind = field["content_type"].as_str().unwrap_or("application/octet-stream");
                form.extend_from_slice(format!("\r\nContent-Type: {kind}\r\n\r\n").as_bytes());
                let data = field["base64"].as_str().expect("a file has data");
                form.append(&mut STANDARD.decode(data).expect("base64"));
            }
            None => {
                form.extend_from_slice(
                    format!("\r\n\r\n{}", field["text"].as_str().expect("text")).as_bytes(),
                );
            }
        }
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    (form.into(), format!("multipart/form-data; boundary={BOUNDARY}"))
}

fn endpoint(case: &Value) -> Endpoint {
    let path: Vec<&str> = case["endpoint"].as_str().expect("an endpoint").split('/').collect();
    Endpoint::of_path(&path).expect("an endpoint that there is")
}

fn read(case: &Value) -> Result<Request, libra_core::error::Error> {
    let (body, content_type) = body(case);
    endpoint(case).read(&body, &content_type, "an-id".to_owned(), CREATED)
}

fn request(case: &Value) -> Request {
    read(case).unwrap_or_else(|error| panic!("{}: {error}", case["name"]))
}

/// JSON as it is, a stream of events as a list of them, texts as texts, and anything else in base64.
fn shown(content_type: &str, bytes: &[u8]) -> Value {
    if content_type.starts_with("application/json") {
        return serde_json::from_slice(bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)));
    }
    if content_type.starts_with("text/event-stream") {
        let text = std::str::from_utf8(bytes).expect("UTF-8");
        assert!(text.is_empty() || text.ends_with("\n\n"), "only whole frames come out: {text}");
        let events = text.split_terminator("\n\n").map(|frame| {
            let (kind, data) = match frame.split_once('\n') {
                Some((kind, data)) => (kind.strip_prefix("event: ").expect("its kind"), data),
                None => ("", frame),
            };
            let data = data.strip_prefix("data: ").expect("one line of data");
            if data == "[DONE]" {
                return data.into();
            }
            let data: Value = serde_json::from_str(data).expect("JSON");
            assert!(kind.is_empty() || data["type"] == kind, "{frame}");
            data
        });
        return events.collect();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if content_type.starts_with("text/") => text.into(),
        _ => STANDARD.encode(bytes).into(),
    }
}

/// What goes up, for each of the models of a case.
fn translated_request(case: &Value) -> Value {
    let request = request(case);
    let models =
        case["models"].as_array().expect("models").iter().map(|model| model.as_str().expect("a name"));
    let bodies = models.map(|model| {
        let parts = (0..request.parts()).map(|part| {
            let written = request.to_gemini(model, part, &Media::default()).expect("translates");
            serde_json::from_slice::<Value>(&written.body).expect("JSON")
        });
        let parts: Vec<Value> = parts.collect();
        let expected = json!({ "method": request.method(), "parts": parts });
        (model.to_owned(), expected)
    });
    Value::Object(bodies.collect())
}

fn translated_answer(case: &Value) -> Value {
    let request = request(case);
    let answers = case["answers"].as_array().expect("answers");
    assert_eq!(answers.len(), request.parts(), "{}", case["name"]);
    let fragments: Result<Vec<Fragment>, _> = (0..)
        .zip(answers)
        .map(|(part, answer)| request.fragment(answer.to_string().as_bytes(), part))
        .collect();
    match fragments {
        Ok(fragments) => shown(request.content_type(), &request.answer(&fragments)),
        Err(error) => json!({ "error": format!("{:?}", error.kind), "message": error.message }),
    }
}

fn translated_stream(case: &Value) -> Value {
    let request = request(case);
    assert!(request.streams(), "{}", case["name"]);
    let mut encoder = request.encoder().expect("it answers in events");
    let mut out = Vec::new();
    for event in case["events"].as_array().expect("events") {
        let event = event.to_string();
        if let Some(error) = out.is_empty().then(|| request.refusal(event.as_bytes())).flatten() {
            return json!({ "error": format!("{:?}", error.kind), "message": error.message });
        }
        if let Err(error) = encoder.push(event.as_bytes(), &mut out) {
            let before = shown(request.content_type(), &out);
            return json!({ "before": before, "error": format!("{:?}", error.kind), "message": error.message });
        }
    }
    assert!(encoder.is_finished(), "{}", case["name"]);
    encoder.finish(&mut out);
    shown(request.content_type(), &out)
}

#[test]
fn requests() {
    golden::check(&["endpoints/requests.json"], translated_request);
}

#[test]
fn answers() {
    golden::check(&["endpoints/answers.json"], translated_answer);
}

#[test]
fn streams() {
    golden::check(&["endpoints/streams.json"], translated_stream);
}

#[test]
fn wrong_requests_name_the_field() {
    golden::check_refusals("endpoints/errors.json", |case| read(case).map(|_| ()));
}

#[test]
fn many_texts_are_split_into_batches() {
    let texts: Vec<String> = (0..250).map(|number| format!("text {number}")).collect();
    let case = json!({ "endpoint": "embeddings", "body": { "model": "m", "input": texts } });
    let request = request(&case);
    assert_eq!(request.parts(), 3);
    let mut fragments = Vec::new();
    let mut sent = Vec::new();
    for part in 0..3 {
        let written = request.to_gemini("m", part, &Media::default()).expect("translates");
        let body: Value = serde_json::from_slice(&written.body).expect("JSON");
        let asked: Vec<String> = body["requests"]
            .as_array()
            .expect("requests")
            .iter()
            .map(|one| one["content"]["parts"][0]["text"].as_str().expect("text").to_owned())
            .collect();
        assert!(asked.len() <= 100);
        let vectors: Vec<Value> = asked.iter().map(|_| json!({ "values": [1.0, 0.0] })).collect();
        let answer = json!({ "embeddings": vectors, "usageMetadata": { "promptTokenCount": 7 } });
        fragments.push(request.fragment(answer.to_string().as_bytes(), part).expect("vectors"));
        sent.extend(asked);
        let fewer = json!({ "embeddings": &vectors[1..] });
        let error = request.fragment(fewer.to_string().as_bytes(), part).map_err(|error| error.kind);
        assert_eq!(error, Err(Kind::BadGateway), "a vector is missing");
    }
    assert_eq!(sent, texts);
    let answer: Value = serde_json::from_slice(&request.answer(&fragments)).expect("JSON");
    let numbers: Vec<u64> = answer["data"]
        .as_array()
        .expect("data")
        .iter()
        .map(|one| one["index"].as_u64().expect("a number"))
        .collect();
    assert_eq!(numbers, (0..250).collect::<Vec<u64>>());
    assert_eq!(answer["usage"], json!({ "prompt_tokens": 21, "total_tokens": 21 }));
}
