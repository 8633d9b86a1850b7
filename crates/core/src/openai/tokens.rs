//! Tokens, of one answer or of several together.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::gemini::response::UsageMetadata;

/// What answers cost, as OpenAI counts: thoughts are part of what came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// What went in.
    pub(super) input: u64,
    /// The part of it that is no text.
    pub(super) media: u64,
    /// What came out.
    pub(super) output: u64,
}

impl Tokens {
    /// Reads `usageMetadata`; what cannot be read counts nothing.
    pub(super) fn read(metadata: Option<&RawValue>) -> Self {
        let Some(metadata) = metadata.map(RawValue::get) else { return Self::default() };
        let tokens = UsageMetadata::read(metadata).tokens();
        let details: Details = serde_json::from_str(metadata).unwrap_or_default();
        let media = details.prompt_tokens_details.iter().filter(|part| part.modality != "TEXT");
        Self {
            input: tokens.prompt,
            media: media.fold(0, |sum: u64, part| sum.saturating_add(part.token_count)),
            output: tokens.answer,
        }
    }

    pub(super) fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// The part of the input that is text.
    pub(super) fn text(self) -> u64 {
        self.input.saturating_sub(self.media)
    }
}

impl std::iter::Sum for Tokens {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            input: sum.input.saturating_add(one.input),
            media: sum.media.saturating_add(one.media),
            output: sum.output.saturating_add(one.output),
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Details {
    prompt_tokens_details: Vec<ModalityTokenCount>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ModalityTokenCount {
    modality: String,
    token_count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_and_added() {
        let read = |json: &str| Tokens::read(Some(&RawValue::from_string(json.to_owned()).expect("JSON")));
        let one = read(
            r#"{"promptTokenCount":270,"candidatesTokenCount":7,"thoughtsTokenCount":3,"totalTokenCount":280,
                "promptTokensDetails":[{"modality":"TEXT","tokenCount":12},{"modality":"IMAGE","tokenCount":258}]}"#,
        );
        assert_eq!(one, Tokens { input: 270, media: 258, output: 10 });
        assert_eq!((one.total(), one.text()), (280, 12));
        assert_eq!(read("{}"), Tokens::default());
        assert_eq!(read(r#"{"promptTokensDetails":7}"#), Tokens::default());
        let sum: Tokens = [one, one, Tokens::read(None)].into_iter().sum();
        assert_eq!(sum, Tokens { input: 540, media: 516, output: 20 });
    }
}
