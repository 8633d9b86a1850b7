//! Clients' schemas and what is changed in bodies: no JSON makes them panic, and what comes out is JSON.
//!
//! Input: a schema, or a body for Gemini, and behind a byte 0 a refusal or a model's name.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use libra_core::gemini::schema::{Form, Schema};
use libra_core::gemini::tuning::{Safety, Tuning};
use libra_core::repair::{self, Repairs};
use libra_core::suffix;
use libra_fuzz::parted;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

fuzz_target!(|input: &[u8]| {
    let (body, words) = parted(input);
    let words = String::from_utf8_lossy(words);
    if let Ok(raw) = serde_json::from_slice::<&RawValue>(body) {
        for form in [Form::JsonSchema, Form::Without("format"), Form::OpenApi] {
            let text = serde_json::to_string(&Schema::new(raw).in_form(form)).expect("a schema is written");
            serde_json::from_str::<IgnoredAny>(&text).expect("what is written is JSON");
        }
    }
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    let (model, wishes) = suffix::parted(&words);
    let body = Bytes::copy_from_slice(body);
    let mut repairs = Repairs::default();
    let learned = repairs.learn(&body, model, &words);
    let tuning = Tuning { wishes, safety: Safety::Off, shows_thoughts: None };
    let mut made = vec![repairs.forms().apply(&body, model), tuning.apply(&body, model)];
    made.extend(repair::without_signatures(&body).map(|(body, _)| body));
    repairs.forget(&learned);
    for made in made.iter().filter(|_| is_json) {
        serde_json::from_slice::<IgnoredAny>(made).expect("a body stays JSON");
    }
});
