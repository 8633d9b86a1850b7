//! The translator of responses, both ways: no body makes it panic, and what comes out is JSON, whole and numbered.
//!
//! Input: the client's body, a byte 0, and the upstream's answer or events, a line each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libra_core::error::{Error, Kind};
use libra_core::gemini::request::Known;
use libra_core::openai::responses::stream::Encoder;
use libra_core::openai::responses::{Conversation, Item, ResponsesRequest, from_gemini, to_gemini};
use libra_fuzz::{MODELS, is_json, parted};
use serde::Deserialize;

const PLAIN: &[u8] = br#"{"model":"gemini-2.5-flash","input":"x"}"#;
const ID: &str = "resp_0123456789abcdef01234567";

fuzz_target!(|input: &[u8]| {
    let (body, answer) = parted(input);
    let (request, conversation) =
        read(body).or_else(|_| read(PLAIN)).expect("the plain request is a good one");
    for model in MODELS {
        if let Ok(written) = to_gemini::request(&conversation, model, &Known::default()) {
            is_json(&written.body);
        }
    }

    let context = request.context(&conversation, ID, 1_790_000_000);
    if let Ok((body, _)) = from_gemini::answer(answer, &context) {
        is_json(&body);
    }
    let mut encoder = Encoder::new(context);
    let mut out = Vec::new();
    for event in answer.split(|&byte| byte == b'\n') {
        let before = out.len();
        if let Err(error) = encoder.push(event, &mut out) {
            assert_eq!(out.len(), before, "something was sent of an event that failed");
            encoder.fail(&error, &mut out);
            return are_events(&out);
        }
    }
    if encoder.is_finished() {
        encoder.finish(&mut out);
    } else {
        encoder.fail(&Error::new(Kind::BadGateway, "cut"), &mut out);
    }
    are_events(&out);
});

fn read(body: &[u8]) -> Result<(ResponsesRequest, Conversation), Error> {
    let request = ResponsesRequest::parse(body)?;
    let items: Vec<Item> = request.items(ID)?;
    items.iter().for_each(|item| is_json(item.json.as_bytes()));
    let conversation = request.conversation(None, &items)?;
    Ok((request, conversation))
}

fn are_events(out: &[u8]) {
    #[derive(Deserialize)]
    struct Event {
        r#type: String,
        sequence_number: usize,
    }
    let text = std::str::from_utf8(out).expect("events are UTF-8");
    for (number, event) in text.split_terminator("\n\n").enumerate() {
        let (name, data) = event.split_once('\n').expect("an event has two lines");
        let data = data.strip_prefix("data: ").expect("the second is its data");
        let read: Event = serde_json::from_str(data).expect("an event is JSON");
        assert_eq!(name.strip_prefix("event: "), Some(read.r#type.as_str()));
        assert_eq!(read.sequence_number, number);
    }
}
