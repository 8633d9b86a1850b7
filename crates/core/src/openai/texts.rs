//! Texts, where other clients send the numbers of tokens.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// What is said of tokens.
const TOKENS: &str = "tokens are numbers that only OpenAI's models know; send the text itself (LangChain: \
     check_embedding_ctx_length=False)";

/// One text or many.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts(pub(super) Vec<String>);

/// One of many.
struct Element(String);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(Element(text)) = elements.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Element;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Element, E> {
                Ok(Element(text.to_owned()))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Element, E> {
                Err(E::custom(TOKENS))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Element, A::Error> {
                Err(A::Error::custom(TOKENS))
            }
        }

        deserializer.deserialize_any(Text)
    }
}
