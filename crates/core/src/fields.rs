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
    if !error.is_data() {
        return Err(unreadable(&error));
    }
    let deserializer = &mut serde_json::Deserializer::from_slice(body);
    let Err(located) = serde_path_to_error::deserialize::<_, T>(deserializer) else {
        return Err(unreadable(&error));
    };
    let param = located.path().to_string();
    // The path says better where it is than line and column do.
    let reason = located.inner().to_string();
    let reason = reason.split(" at line ").next().unwrap_or_default();
    Err(match param.as_str() {
        "." => Error::new(Kind::BadRequest, format!("Invalid body: {reason}.")),
        _ => Error::bad_request(format!("Invalid value for '{param}': {reason}."), param),
    })
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
    Error::new(Kind::BadRequest, format!("We could not parse the JSON body of your request. ({error})"))
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
