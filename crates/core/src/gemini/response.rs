//! What `generateContent` answers, and each event of `streamGenerateContent`, as far as translators read it.
//!
//! Everything borrows from the body. Strings stay JSON as they came ([`Text`]): nearly all of them go on into
//! another JSON document, so that unescaping and escaping them again would be work for nothing. What is not
//! named here is skipped, unknown values of enumerations included.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, Kind};

/// `GenerateContentResponse`, or an error in its place.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerateContentResponse<'a> {
    /// The answers; none where the prompt was blocked.
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub candidates: Few<Candidate<'a>>,
    /// Why the prompt was blocked.
    #[serde(borrow)]
    pub prompt_feedback: Option<PromptFeedback<'a>>,
    /// What was used up so far ([`UsageMetadata`]). On every event of a stream, of which only the last one
    /// counts, so that it is not read before somebody asks.
    #[serde(borrow)]
    pub usage_metadata: Option<&'a RawValue>,
    /// An error inside of a 200.
    pub error: Option<Status>,
}

/// One answer, or a piece of it.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate<'a> {
    /// Its number. Gemini leaves 0 out.
    #[serde(default)]
    pub index: Option<u32>,
    /// Absent where the model spent everything on thoughts, or its call was malformed.
    #[serde(borrow)]
    pub content: Option<Content<'a>>,
    /// In a stream on the last event with content only.
    #[serde(borrow)]
    pub finish_reason: Option<Text<'a>>,
    /// More about it, for people.
    #[serde(borrow)]
    pub finish_message: Option<Text<'a>>,
    /// Where the answer was found.
    #[serde(borrow)]
    pub grounding_metadata: Option<&'a RawValue>,
    /// Log probabilities.
    #[serde(borrow)]
    pub logprobs_result: Option<&'a RawValue>,
}

/// The turn of the model.
#[derive(Debug, serde::Deserialize)]
pub struct Content<'a> {
    /// Its parts; absent in an empty answer.
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub parts: Few<Part<'a>>,
}

/// One part: one kind of data, perhaps a thought, perhaps signed.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part<'a> {
    /// Text.
    #[serde(borrow)]
    pub text: Option<Text<'a>>,
    /// Whether this is a summary of thoughts.
    #[serde(default)]
    pub thought: Option<bool>,
    /// To be handed back with this part.
    #[serde(borrow)]
    pub thought_signature: Option<Text<'a>>,
    /// A call, always whole.
    #[serde(borrow)]
    pub function_call: Option<FunctionCall<'a>>,
    /// An image, or sound.
    #[serde(borrow)]
    pub inline_data: Option<Blob<'a>>,
    /// Code that Google runs.
    #[serde(borrow)]
    pub executable_code: Option<ExecutableCode<'a>>,
    /// What it printed.
    #[serde(borrow)]
    pub code_execution_result: Option<CodeExecutionResult<'a>>,
}

/// A call of one of the client's functions.
#[derive(Debug, serde::Deserialize)]
pub struct FunctionCall<'a> {
    /// Absent before Gemini 3.1.
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    /// The function.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// An object; absent where there are no arguments.
    #[serde(borrow)]
    pub args: Option<&'a RawValue>,
}

/// Data in base64.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blob<'a> {
    /// Its media type, with parameters.
    #[serde(borrow)]
    pub mime_type: Option<Text<'a>>,
    /// Standard base64.
    #[serde(borrow)]
    pub data: Option<Text<'a>>,
}

/// Code that Google runs.
#[derive(Debug, serde::Deserialize)]
pub struct ExecutableCode<'a> {
    /// `PYTHON`.
    #[serde(borrow)]
    pub language: Option<Text<'a>>,
    /// The code.
    #[serde(borrow)]
    pub code: Option<Text<'a>>,
}

/// What code printed.
#[derive(Debug, serde::Deserialize)]
pub struct CodeExecutionResult<'a> {
    /// `OUTCOME_OK`, or why not.
    #[serde(borrow)]
    pub outcome: Option<Text<'a>>,
    /// Its output, or its error.
    #[serde(borrow)]
    pub output: Option<Text<'a>>,
}

/// What Gemini thinks of the prompt.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PromptFeedback<'a> {
    /// Set where the prompt was blocked.
    #[serde(borrow)]
    pub block_reason: Option<Text<'a>>,
}

/// Tokens. Gemini leaves zeros out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UsageMetadata {
    /// Of the prompt, cached ones included.
    pub prompt_token_count: u64,
    /// Those of the prompt that came from a cache.
    pub cached_content_token_count: u64,
    /// Of all candidates.
    pub candidates_token_count: u64,
    /// Of the thoughts.
    pub thoughts_token_count: u64,
    /// Of what built-in tools put into the prompt.
    pub tool_use_prompt_token_count: u64,
    /// All together.
    pub total_token_count: u64,
}

impl<'a> GenerateContentResponse<'a> {
    /// Reads an answer or an event.
    ///
    /// # Errors
    /// 502 where it is none; where an error stands in its place, the status that it names.
    pub fn read(json: &'a [u8]) -> Result<Self, Error> {
        let json = std::str::from_utf8(json).map_err(|_| not_an_answer())?;
        let response: Self = serde_json::from_str(json).map_err(|_| not_an_answer())?;
        match response.error {
            None => Ok(response),
            Some(error) => {
                let status = error.code.and_then(|code| http::StatusCode::from_u16(code).ok());
                let kind = status.map_or(Kind::BadGateway, Kind::from_status);
                // Google's own words may hold what no client should see.
                Err(Error::new(kind, "the upstream broke the answer off with an error"))
            }
        }
    }

    /// Why the prompt was blocked, where there is no answer to it.
    pub fn blocked(&self) -> Option<Text<'a>> {
        let blocked = self.prompt_feedback.as_ref().and_then(|feedback| feedback.block_reason);
        blocked.filter(|_| self.candidates.is_empty())
    }
}

fn not_an_answer() -> Error {
    Error::new(Kind::BadGateway, "the upstream's answer could not be understood")
}

impl UsageMetadata {
    /// Reads what an answer says; what cannot be read counts nothing.
    pub fn read(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    /// As clients count: what built-in tools read is of the prompt, thoughts are of the answer.
    pub fn tokens(&self) -> Tokens {
        let thoughts = self.thoughts_token_count;
        let prompt = self.prompt_token_count.saturating_add(self.tool_use_prompt_token_count);
        // Gemini counts thoughts beside the candidates; where the total says otherwise they are among them.
        let among = self.total_token_count == prompt.saturating_add(self.candidates_token_count);
        let answer = match self.candidates_token_count {
            candidates if among && candidates >= thoughts => candidates,
            candidates => candidates.saturating_add(thoughts),
        };
        let total = match self.total_token_count {
            0 => prompt.saturating_add(answer),
            total => total,
        };
        Tokens { prompt, cached: self.cached_content_token_count, answer, thoughts, total }
    }
}

/// Tokens as clients count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Of the prompt, cached ones included.
    pub prompt: u64,
    /// Those of the prompt that came from a cache.
    pub cached: u64,
    /// Of the answer, thoughts included.
    pub answer: u64,
    /// Those of the answer that are thoughts.
    pub thoughts: u64,
    /// All together.
    pub total: u64,
}

/// The error that Google puts into a stream that began well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub struct Status {
    /// An HTTP status.
    pub code: Option<u16>,
}

/// Grounding: the pages, and which sentences rest on which.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroundingMetadata<'a> {
    /// The pages.
    #[serde(borrow, default)]
    pub grounding_chunks: Vec<GroundingChunk<'a>>,
    /// The sentences.
    #[serde(borrow, default)]
    pub grounding_supports: Vec<GroundingSupport<'a>>,
    /// What was searched for.
    #[serde(borrow, default)]
    pub web_search_queries: Vec<Text<'a>>,
}

/// A page, a place or a document.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroundingChunk<'a> {
    /// A page.
    #[serde(borrow)]
    pub web: Option<Source<'a>>,
    /// A document of the client's.
    #[serde(borrow)]
    pub retrieved_context: Option<Source<'a>>,
    /// A place.
    #[serde(borrow)]
    pub maps: Option<Source<'a>>,
}

/// Where something was found.
#[derive(Debug, serde::Deserialize)]
pub struct Source<'a> {
    /// Its address.
    #[serde(borrow)]
    pub uri: Option<Text<'a>>,
    /// Its name.
    #[serde(borrow)]
    pub title: Option<Text<'a>>,
}

/// A stretch of the answer and what it rests on.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroundingSupport<'a> {
    /// The stretch.
    #[serde(borrow)]
    pub segment: Option<Segment<'a>>,
    /// Numbers of [`GroundingMetadata::grounding_chunks`].
    #[serde(default)]
    pub grounding_chunk_indices: Vec<u32>,
}

/// A stretch of the answer, in bytes of UTF-8 from the beginning of its part.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment<'a> {
    /// The first byte.
    #[serde(default)]
    pub start_index: u64,
    /// The byte after the last.
    #[serde(default)]
    pub end_index: u64,
    /// What is written there.
    #[serde(borrow)]
    pub text: Option<Text<'a>>,
}

/// `LogprobsResult`: a list of chosen tokens, and beside it the alternatives to each.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogprobsResult<'a> {
    /// The tokens of the answer.
    #[serde(borrow, default)]
    pub chosen_candidates: Vec<Logprob<'a>>,
    /// As many lists.
    #[serde(borrow, default)]
    pub top_candidates: Vec<TopCandidates<'a>>,
}

/// The likeliest tokens at one place.
#[derive(Debug, serde::Deserialize)]
pub struct TopCandidates<'a> {
    /// In falling order.
    #[serde(borrow, default)]
    pub candidates: Vec<Logprob<'a>>,
}

/// A token and how likely it was.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Logprob<'a> {
    /// The token.
    #[serde(borrow)]
    pub token: Option<Text<'a>>,
    /// The natural logarithm of its probability.
    #[serde(default)]
    pub log_probability: f64,
}

/// A JSON string, as it stands in the body: quotes and escapes included.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// The whole literal, quotes included: itself a JSON document.
    pub fn literal(self) -> &'a str {
        self.0
    }

    /// What stands between the quotes, still escaped: can be put between other quotes.
    pub fn escaped(self) -> &'a str {
        &self.0[1..self.0.len() - 1]
    }

    /// Whether it is the empty string.
    pub fn is_empty(self) -> bool {
        self.0.len() == 2
    }

    /// The text that is meant. A half of a surrogate pair, which Rust has no text for, is replaced.
    pub fn decode(self) -> Cow<'a, str> {
        let escaped = self.escaped();
        if !escaped.contains('\\') {
            return Cow::Borrowed(escaped);
        }
        serde_json::from_str::<String>(self.0).map_or_else(|_| decode_lossy(escaped).into(), Cow::Owned)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        // Anything else would be no string, and could not be put between quotes.
        if raw.len() >= 2 && raw.starts_with('"') {
            Ok(Self(raw))
        } else {
            Err(<D::Error as de::Error>::custom("expected a string"))
        }
    }
}

/// A list that nearly always has one element, which is held without an allocation.
#[derive(Debug)]
pub struct Few<T> {
    first: Option<T>,
    rest: Vec<T>,
}

impl<T> Few<T> {
    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.rest)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self { first: None, rest: Vec::new() }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = Few<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Few<T>, A::Error> {
                let mut few = Few { first: elements.next_element()?, rest: Vec::new() };
                while let Some(element) = elements.next_element()? {
                    few.rest.push(element);
                }
                Ok(few)
            }
        }

        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

/// `null` in place of a list.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Unescapes what is valid JSON but no valid text.
fn decode_lossy(escaped: &str) -> String {
    let mut text = String::with_capacity(escaped.len());
    let mut units = Vec::new();
    let mut rest = escaped.chars();
    while let Some(character) = rest.next() {
        let unescaped = match character {
            '\\' => match rest.next() {
                Some('u') => {
                    let hex = rest.as_str().get(..4).unwrap_or_default();
                    rest = rest.as_str().get(4..).unwrap_or_default().chars();
                    units.push(u16::from_str_radix(hex, 16).unwrap_or(0xFFFD));
                    continue;
                }
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        flush(&mut units, &mut text);
        text.push(unescaped);
    }
    flush(&mut units, &mut text);
    text
}

fn flush(units: &mut Vec<u16>, text: &mut String) {
    text.extend(char::decode_utf16(units.drain(..)).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_as_it_came_and_can_be_decoded() {
        let check = |json: &str, expected: &str| {
            let text: Text<'_> = serde_json::from_str(json).expect("a string");
            assert_eq!(text.literal(), json);
            assert_eq!(text.decode(), expected);
        };
        check(r#""""#, "");
        check(r#""plain""#, "plain");
        check(r#""a\n\u003cb\u003e \ud83d\ude00""#, "a\n<b> 😀");
        check(r#""half \ud83d pair\t\"""#, "half \u{fffd} pair\t\"");
        assert!(serde_json::from_str::<Text<'_>>("12").is_err());
        assert!(serde_json::from_str::<Text<'_>>("\"a\nb\"").is_err(), "a raw line break is no JSON");
    }

    #[test]
    fn few_keeps_the_order() {
        let check = |json: &str, expected: &[u8]| {
            let few: Few<u8> = serde_json::from_str(json).expect("an array");
            assert_eq!(few.iter().copied().collect::<Vec<_>>(), expected);
            assert_eq!((few.len(), few.is_empty()), (expected.len(), expected.is_empty()));
        };
        check("[]", &[]);
        check("[1]", &[1]);
        check("[1,2,3]", &[1, 2, 3]);
    }

    #[test]
    fn nulls_and_unknown_fields_are_nothing() {
        let response: GenerateContentResponse<'_> = serde_json::from_str(
            r#"{"candidates":[{"content":{"parts":null,"role":"model"},"news":[1]}],"promptFeedback":null}"#,
        )
        .expect("tolerated");
        assert_eq!(response.candidates.len(), 1);
    }
}
