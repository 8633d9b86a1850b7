//! Noise: whatever comes in, the translators answer or refuse, and never panic.

use libra_core::gemini::remote::Media;
use libra_core::openai::endpoint::{Endpoint, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::golden::cases;
use crate::mutation::{repeatable, replace_at};
use crate::{BOUNDARY, body, endpoint, read, shown};

const ENDPOINTS: [Endpoint; 7] = [
    Endpoint::Embeddings,
    Endpoint::ImageGeneration,
    Endpoint::ImageEdit,
    Endpoint::Speech,
    Endpoint::Transcription,
    Endpoint::Translation,
    Endpoint::Completion,
];

const MODELS: [&str; 4] = ["gemini-2.5-flash", "gemini-3-pro-image-preview", "gemma-3-27b-it", "x"];

/// What stands in the place of a good value.
fn other() -> impl Strategy<Value = Value> {
    let odd = [
        Value::Null,
        json!([]),
        json!({}),
        json!([[1]]),
        json!(["a", 1]),
        json!("STOP"),
        json!("16:9"),
        json!("audio/L16;rate=0"),
        json!("audio/L16;rate=11025"),
        json!("AAA"),
        json!("data:,"),
        json!(r#"{"segments":[{"start":9e9,"end":"1:2:3:4","text":"a"}]}"#),
    ];
    prop_oneof![
        prop::sample::select(odd.to_vec()),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ]
}

/// A case with one value of this member replaced.
fn mutated(file: &'static str, member: &'static str) -> impl Strategy<Value = Value> {
    let with_member: Vec<Value> = cases(file).into_iter().filter(|case| !case[member].is_null()).collect();
    (prop::sample::select(with_member), any::<prop::sample::Index>(), other()).prop_map(
        move |(mut case, place, other)| {
            replace_at(&mut case[member], place, other);
            case
        },
    )
}

fn try_request(request: &Request) {
    assert!((1..=128).contains(&request.parts()));
    for model in MODELS {
        if let Ok(written) = request.to_gemini(model, request.parts() - 1, &Media::default()) {
            let body: Value = serde_json::from_slice(&written.body).expect("JSON");
            assert!(body["contents"].is_array() || body["requests"].is_array());
        }
    }
}

fn try_answer(request: &Request, answer: &Value) {
    let answer = answer.to_string();
    let fragment = request.fragment(answer.as_bytes(), 0);
    if let Some(fragment) = fragment.ok().filter(|_| !request.streams()) {
        shown(request.content_type(), &request.answer(&[fragment]));
    }
    let Some(mut encoder) = request.encoder().filter(|_| request.streams()) else { return };
    let mut out = Vec::new();
    let _ = request.refusal(answer.as_bytes());
    if encoder.push(answer.as_bytes(), &mut out).is_ok() && encoder.is_finished() {
        encoder.finish(&mut out);
        shown(request.content_type(), &out);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..repeatable() })]

    #[test]
    fn a_mutated_request_is_a_request_or_an_error(case in mutated("endpoints/requests.json", "body")) {
        if let Ok(request) = read(&case) {
            try_request(&request);
        }
    }

    #[test]
    fn a_mutated_answer_is_an_answer_or_an_error(case in mutated("endpoints/answers.json", "answers")) {
        let request = read(&case).expect("a good request");
        try_answer(&request, &case["answers"][0]);
    }

    #[test]
    fn a_mutated_event_is_an_event_or_an_error(case in mutated("endpoints/streams.json", "events")) {
        let request = read(&case).expect("a good request");
        try_answer(&request, &case["events"][0]);
    }

    #[test]
    fn a_form_with_other_bytes_is_a_form_or_an_error(
        case in prop::sample::select(cases("endpoints/requests.json")),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in any::<prop::sample::Index>(),
    ) {
        let (good, content_type) = body(&case);
        let mut bytes = good.to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let cut = bytes[..end.index(bytes.len())].to_vec();
        for bytes in [bytes, cut] {
            if let Ok(request) = endpoint(&case).read(&bytes.into(), &content_type, String::new(), 0) {
                try_request(&request);
            }
        }
    }

    #[test]
    fn any_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        for endpoint in ENDPOINTS {
            for content_type in ["application/json", &format!("multipart/form-data; boundary={BOUNDARY}")] {
                let read = endpoint.read(&bytes.clone().into(), content_type, String::new(), 0);
                prop_assert!(read.is_err());
            }
        }
    }
}
