//! How the fields of a client's JSON are read: what clients get away with, and how a wrong one is named.

use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, SeqAccess, Visitor};

use crate::error::{Error, Kind};

/// Reads a body whole. Only once that failed it is read again, to find the field at fault.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let error = match serde_json::from_slice(body) {
        Ok(request) => return Ok(request),
        Err(error) => error,
    };
    let unreadable = unreadable(&error);
    if !error.is_data() {
        return Err(unreadable);
    }
    // It may quote a value as large as the body, and the next one will.
    drop(error);
    let deserializer = &mut serde_json::Deserializer::from_slice(body);
    let Err(located) = serde_path_to_error::deserialize::<_, T>(deserializer) else {
        return Err(unreadable);
    };
    let param = located.path().to_string();
    // The path says better where it is than line and column do.
    let reason = shortened(located.inner());
    let reason = reason.split(" at line ").next().unwrap_or_default();
    Err(match param.as_str() {
        "." => Error::new(Kind::BadRequest, format!("Invalid body: {reason}.")),
        _ => Error::bad_request(format!("Invalid value for '{param}': {reason}."), param),
    })
}

/// How many values a body of JSON has, members of objects among them; about, where it is none.
///
/// Each takes memory of its own once it is read: three bytes, `{},`, may become hundreds.
pub(crate) fn values(body: &[u8]) -> usize {
    let mut count = 1;
    let mut rest = body;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        count += openings(&rest[..quote]);
        rest = &rest[quote + 1..];
        while let Some(end) = memchr::memchr2(b'"', b'\\', rest) {
            let is_end = rest[end] == b'"';
            rest = rest.get(end + if is_end { 1 } else { 2 }..).unwrap_or_default();
            if is_end {
                break;
            }
        }
    }
    count + openings(rest)
}

/// What begins a further value, outside of strings.
fn openings(json: &[u8]) -> usize {
    json.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count()
}

/// Reads a part of a body, which is known to be JSON. `place` is where it stands.
pub(crate) fn parse_within<T: DeserializeOwned>(json: &str, place: &str) -> Result<T, Error> {
    parse(json.as_bytes()).map_err(|error| {
        let param = match error.param.as_deref() {
            None => place.to_owned(),
            Some(inner) if inner.starts_with('[') => format!("{place}{inner}"),
            Some(inner) => format!("{place}.{inner}"),
        };
        let reason = error.message.split_once(": ").map_or("it cannot be read.", |(_, reason)| reason);
        Error::bad_request(format!("Invalid value for '{param}': {reason}"), param)
    })
}

/// In OpenAI's own words, and where it is.
fn unreadable(error: &serde_json::Error) -> Error {
    let reason = shortened(error);
    Error::new(Kind::BadRequest, format!("We could not parse the JSON body of your request. ({reason})"))
}

/// What an error says, cut where it quotes a value at length.
fn shortened(error: &impl fmt::Display) -> String {
    /// Enough for any words of the parser's own.
    const LONGEST: usize = 500;
    let mut text = Shortened { text: String::new(), left: LONGEST };
    // It fails where the text is cut.
    let _ = fmt::write(&mut text, format_args!("{error}"));
    text.text
}

struct Shortened {
    text: String,
    left: usize,
}

impl fmt::Write for Shortened {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.floor_char_boundary(self.left);
        self.text.push_str(&text[..end]);
        self.left -= end;
        if end < text.len() {
            self.text.push('…');
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// `null` is as good as nothing.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A whole number, which some clients write as `16.0`.
pub(crate) fn lenient_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    struct Whole;

    impl<'de> Visitor<'de> for Whole {
        type Value = Option<i64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number")
        }

        fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
            Ok(Some(number))
        }

        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(i64::try_from(number).unwrap_or(i64::MAX)))
        }

        fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
            if number.fract() == 0.0 {
                // Saturates.
                Ok(Some(number as i64))
            } else {
                Err(E::invalid_type(serde::de::Unexpected::Float(number), &self))
            }
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Whole)
}

/// A string, or a list of strings.
pub(crate) fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct OneOrMany;

    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or an array of strings")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![text.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
            let mut texts = Vec::new();
            while let Some(text) = elements.next_element()? {
                texts.push(text);
            }
            Ok(texts)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
    }

    deserializer.deserialize_any(OneOrMany)
}

/// A string, or an object that holds it: what many fields were before they became objects.
#[derive(Debug, Clone)]
pub(crate) struct StringOr<T>(pub(super) T);

impl<'de, T: Deserialize<'de> + From<String>> Deserialize<'de> for StringOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de> + From<String>> Visitor<'de> for Either<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an object")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
                Ok(text.to_owned().into())
            }

            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<T, E> {
                Ok(text.into())
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(serde::de::value::MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(Either(std::marker::PhantomData)).map(Self)
    }
}

/// [`StringOr`] for an optional field.
pub(crate) fn string_or<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + From<String>,
{
    Ok(Option::<StringOr<T>>::deserialize(deserializer)?.map(|StringOr(value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_strings() {
        let check = |json: &str, expected| assert_eq!(values(json.as_bytes()), expected, "{json}");
        check("1", 1);
        check("[]", 2);
        check(r#"{"a":1,"b":[2,3]}"#, 5);
        check(r#"["a,b","\"[{,","\\",""]"#, 5);
        check(r#"["unfinished \"#, 2);
        check("[[[[,,,", 8);
    }

    #[test]
    fn what_an_error_quotes_is_cut() {
        assert_eq!(shortened(&"words"), "words");
        let long = shortened(&"é".repeat(1000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (251, true));
    }
}
