//! The client's first frame: which model, and whether an earlier session goes on.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Frame, MAX_SETUP};

/// A first frame, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setup {
    /// What goes up.
    pub(super) frame: Frame,
    /// The model, without `models/`. Whoever holds an ephemeral token need not say it.
    pub(super) model: Option<String>,
    /// `sessionResumption.handle`.
    pub(super) handle: Option<String>,
}

#[derive(Deserialize)]
struct First<'a> {
    #[serde(borrow)]
    setup: Option<Said<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow, alias = "session_resumption")]
    session_resumption: Option<Resumption<'a>>,
}

#[derive(Deserialize)]
struct Resumption<'a> {
    #[serde(borrow)]
    handle: Option<Cow<'a, str>>,
}

impl Setup {
    /// Reads a first frame. The error is a sentence.
    ///
    /// `serve` says which model stands for the one that is asked for; where it is another, it takes the place of the
    /// name, and everything else goes up as it came.
    pub(super) fn read<E: From<&'static str>>(
        frame: Frame,
        serve: impl FnOnce(&str) -> Result<String, E>,
    ) -> Result<Self, E> {
        if frame.payload.len() > MAX_SETUP {
            return Err("The setup message is too large.".into());
        }
        let first: First<'_> = serde_json::from_slice(&frame.payload)
            .map_err(|_| "The first message must be JSON with a setup, and no field in it twice.")?;
        let setup = first.setup.ok_or("The first message must be {\"setup\": …}.")?;
        let handle = setup.session_resumption.and_then(|resumption| resumption.handle);
        let handle = handle.filter(|handle| !handle.is_empty()).map(Cow::into_owned);
        let Some(raw) = setup.model else {
            return Ok(Self { model: None, handle, frame });
        };
        let named: Cow<'_, str> = serde_json::from_str::<Text<'_>>(raw.get())
            .map_err(|_| "setup.model must be a string, such as models/gemini-…")?
            .0;
        let asked = named.strip_prefix("models/").unwrap_or(&named);
        let model = serve(asked)?;
        let payload = if model == asked {
            frame.payload.clone()
        } else {
            let collection = if model.contains('/') { "" } else { "models/" };
            replaced(&frame.payload, raw, &format!("{collection}{model}"))
        };
        Ok(Self { model: Some(model), handle, frame: Frame { payload, ..frame } })
    }
}

/// A string of JSON, borrowed where it can be.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The payload with another string in the place of a value of it.
fn replaced(payload: &Bytes, value: &RawValue, text: &str) -> Bytes {
    // The value is a part of the payload: both begin somewhere in the same memory.
    let from = (value.get().as_ptr() as usize).saturating_sub(payload.as_ptr() as usize);
    let to = from + value.get().len();
    let text = serde_json::Value::from(text).to_string();
    [&payload[..from], text.as_bytes(), &payload[to..]].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Setup, String> {
        Setup::read(Frame::text(text.to_owned()), |model| match model {
            "gpt-4o" => Ok("gemini-2.5-flash".to_owned()),
            "secret" => Err("not served".to_owned()),
            model => Ok(model.to_owned()),
        })
    }

    #[test]
    fn a_setup_is_read_in_either_spelling() {
        let check = |text: &str, model: Option<&str>, handle: Option<&str>| {
            let setup = read(text).expect("a good setup");
            assert_eq!((setup.model.as_deref(), setup.handle.as_deref()), (model, handle), "{text}");
            assert_eq!(setup.frame, Frame::text(text.to_owned()), "nothing changes");
        };
        check(r#"{"setup":{"model":"models/m"}}"#, Some("m"), None);
        check(r#"{ "setup" : { "model" : "m", "tools": [ 1.50 ] } }"#, Some("m"), None);
        check(r#"{"setup":{"model":"models/m","sessionResumption":{"handle":"h"}}}"#, Some("m"), Some("h"));
        check(r#"{"setup":{"session_resumption":{"handle":"h\"1"},"model":"m"}}"#, Some("m"), Some("h\"1"));
        check(r#"{"setup":{"model":"m","sessionResumption":{}}}"#, Some("m"), None);
        check(r#"{"setup":{"model":"m","sessionResumption":{"handle":null}}}"#, Some("m"), None);
        check(r#"{"setup":{"model":"m","sessionResumption":null}}"#, Some("m"), None);
        check(r#"{"setup":{}}"#, None, None);
        check(r#"{"setup":{"model":"tunedModels/t"}}"#, Some("tunedModels/t"), None);
    }

    #[test]
    fn only_the_models_name_is_replaced() {
        let check = |text: &str, expected: &str| {
            let setup = read(text).expect("a good setup");
            assert_eq!(setup.frame, Frame::text(expected.to_owned()));
            assert_eq!(setup.model.as_deref(), Some("gemini-2.5-flash"));
        };
        check(
            r#"{"setup" : {"n": 1.0, "model" : "models/gpt-4o" , "systemInstruction": "\u00e9 gpt-4o"} }"#,
            r#"{"setup" : {"n": 1.0, "model" : "models/gemini-2.5-flash" , "systemInstruction": "\u00e9 gpt-4o"} }"#,
        );
        check(r#"{"setup":{"model":"\u0067pt-4o"}}"#, r#"{"setup":{"model":"models/gemini-2.5-flash"}}"#);
    }

    #[test]
    fn what_is_no_setup_is_told() {
        let check = |text: &str, said: &str| {
            let error = read(text).expect_err(text);
            assert!(error.contains(said), "{text}: {error}");
        };
        check("", "must be JSON");
        check("{", "must be JSON");
        check("[]", "must be JSON");
        check(r#"{"clientContent":{}}"#, "must be {\"setup\"");
        check(r#"{"setup":null}"#, "must be {\"setup\"");
        check(r#"{"setup":{"model":7}}"#, "must be a string");
        check(r#"{"setup":{"model":"a","model":"b"}}"#, "twice");
        check(r#"{"setup":{"model":"secret"}}"#, "not served");
        check(&format!(r#"{{"setup":{{"x":"{}"}}}}"#, "x".repeat(MAX_SETUP)), "too large");
        let frame = Frame { payload: Bytes::from_static(b"\xff\xfe"), is_text: false };
        assert!(Setup::read(frame, |_| Ok::<_, String>(String::new())).is_err());
    }
}
