//! Reading what is asked: bodies within bounds, as JSON whose every field is known; queries likewise.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::poll_fn;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Problem;
use crate::drive::poll_data;

/// All of a body has to be there within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a body is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Text,
}

impl Kind {
    /// # Errors
    /// A content type that is not read here, or an encoding.
    pub(crate) fn of(headers: &HeaderMap, takes_text: bool) -> Result<Self, Problem> {
        let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let plain = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let kind = match plain.as_str() {
            "application/json" => Some(Self::Json),
            "text/plain" if takes_text => Some(Self::Text),
            _ => None,
        };
        let is_plain = headers.get(CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity");
        kind.filter(|_| is_plain).ok_or_else(|| {
            let message = match takes_text {
                true => "Send JSON with Content-Type: application/json, or a list with text/plain.",
                false => "Send JSON with Content-Type: application/json, not encoded.",
            };
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
        })
    }
}

/// The whole body.
///
/// # Errors
/// It is larger, breaks off or takes too long.
pub(crate) async fn whole(mut body: Incoming, most: usize) -> Result<Bytes, Problem> {
    let read = async {
        let mut all = BytesMut::new();
        while let Some(chunk) = poll_fn(|context| poll_data(&mut body, context)).await {
            let chunk = chunk.map_err(|_| Problem::bad_request("The body broke off."))?;
            if all.len() + chunk.len() > most {
                let message = format!("The body is larger than {most} bytes.");
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    };
    let read = tokio::time::timeout(PATIENCE, read).await;
    let read = read.unwrap_or_else(|_| {
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "The body did not arrive in time."))
    });
    if read.is_err() {
        crate::app::drain(body).await;
    }
    read
}

/// A body of JSON.
///
/// # Errors
/// It is none, or a field is not as it is described; which one, and nothing of its value.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.inner();
        if inner.is_data() { wrong(&path, &inner.to_string()) } else { no_json(inner) }
    })?;
    reader.end().map_err(|error| no_json(&error))?;
    Ok(read)
}

/// Makes a whole number of one that is written with a point: to JSON both are the same.
pub(crate) fn as_whole(value: &mut Value) {
    // Beyond, not every whole number can be written so.
    const MOST: f64 = 9_007_199_254_740_992.0;
    if let Some(number) = value.as_f64().filter(|_| value.is_f64())
        && number.fract() == 0.0
        && number.abs() <= MOST
    {
        *value = Value::from(number as i64);
    }
}

/// A field that was given, be it as null: a whole number.
pub(crate) fn given_whole<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: DeserializeOwned,
    D: serde::Deserializer<'de>,
{
    use serde::Deserialize as _;
    let mut value = Value::deserialize(deserializer)?;
    as_whole(&mut value);
    T::deserialize(value)
        .map(Some)
        .map_err(|_| serde::de::Error::custom("it is no whole number within its bounds"))
}

fn no_json(error: &serde_json::Error) -> Problem {
    let place = format!("line {}, column {}", error.line(), error.column());
    Problem::bad_request(format!("The body is not valid JSON ({place})."))
}

/// A query.
///
/// # Errors
/// A parameter that is not known, comes twice, or is not as it is described.
pub(crate) fn query<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    // A number or a word that is empty would be read as one that is not there.
    if let Some((name, _)) = form_urlencoded::parse(query.as_bytes()).find(|(_, value)| value.is_empty()) {
        return Err(wrong(&name.chars().take(64).collect::<String>(), "it is empty"));
    }
    let reader = serde_html_form::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        wrong(&path, &error.inner().to_string())
    })
}

/// What serde says of a field, without the value that it quotes: that may be a key.
fn wrong(path: &str, problem: &str) -> Problem {
    // "unknown field `x`, expected one of …", "missing field `x`": the field is what is wrong.
    let named = |before: &str| {
        let name = problem.strip_prefix(before)?.split('`').next()?;
        Some(name.chars().filter(|c| !c.is_control()).take(64).collect::<String>())
    };
    let inside = |name: String| match path {
        "." | "?" | "" => name,
        path if path.ends_with(name.as_str()) => path.to_owned(),
        path => format!("{}.{name}", path.trim_end_matches(".?")),
    };
    if let Some(name) = named("unknown field `") {
        let name = inside(name);
        return Problem::wrong_field(&name, format!("There is no field {name} here."));
    }
    if let Some(name) = named("missing field `") {
        let name = inside(name);
        return Problem::wrong_field(&name, format!("The field {name} is missing."));
    }
    if let Some(name) = named("duplicate field `") {
        let name = inside(name);
        return Problem::wrong_field(&name, format!("The field {name} comes twice."));
    }
    let problem = problem.split(" at line ").next().unwrap_or_default();
    let said = match problem.split_once(", expected ") {
        Some((before, expected))
            if before.starts_with("invalid ") || before.starts_with("unknown variant") =>
        {
            format!("expected {expected}")
        }
        // Ours.
        _ if !problem.contains(['"', '`']) => problem.chars().take(300).collect(),
        _ => "it is not as it is described".to_owned(),
    };
    let path = if matches!(path, "." | "?" | "") { "the body" } else { path };
    Problem::wrong_field(path, format!("{path}: {said}."))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "they are read")]
    struct Asked {
        name: String,
        #[serde(default)]
        count: Option<u8>,
        #[serde(default)]
        within: Option<Within>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "they are read")]
    struct Within {
        place: u8,
    }

    #[test]
    fn what_is_wrong_is_named_and_not_shown() {
        let check = |body: &str, expected: &str| {
            let problem = json::<Asked>(body.as_bytes()).map(|_| ()).expect_err(body);
            let said = serde_json::to_value(problem.body()).expect("JSON");
            assert_eq!(said["error"]["message"], expected, "{body}");
            assert!(!said.to_string().contains("AIza"), "{said}");
        };
        check(r#"{"name":"a","AIza":1}"#.replace("AIza", "nmae").as_str(), "There is no field nmae here.");
        check("{}", "The field name is missing.");
        check(r#"{"name":"a","name":"b"}"#, "The field name comes twice.");
        check(r#"{"name":7}"#, "name: expected a string.");
        check(r#"{"name":"a","count":"AIza"}"#, "count: expected u8.");
        check(r#"{"name":"a","count":300}"#, "count: expected u8.");
        check(r#"{"name":"a","within":{"plaec":1}}"#, "There is no field within.plaec here.");
        check(r#"{"name":"a""#, "The body is not valid JSON (line 1, column 11).");
        check(r#"{"name":"a"} x"#, "The body is not valid JSON (line 1, column 14).");
        check("[]", "the body: expected struct Asked with 3 elements.");
    }

    #[test]
    fn queries_are_as_strict() {
        let check = |text: &str, expected: Option<&str>| {
            let read = query::<Asked>(text).map(|_| ());
            let said = read.err().map(|problem| {
                serde_json::to_value(problem.body()).expect("JSON")["error"]["field"]
                    .as_str()
                    .map(str::to_owned)
            });
            assert_eq!(said.map(Option::unwrap_or_default).as_deref(), expected, "{text}");
        };
        check("name=a&count=7", None);
        check("name=a&cuont=7", Some("cuont"));
        check("name=a&count=x", Some("count"));
        check("name=a&count=", Some("count"));
        check("name=a&name=b", Some("name"));
        check("", Some("name"));
    }
}
