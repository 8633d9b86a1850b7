//! What an answer that was searched for rests on: the queries, the pages, and which words are from which.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::gemini::grounding::citations;
use crate::gemini::response::{GroundingMetadata, Text};

/// How much of Gemini's grounding is kept until the end.
const MOST_GROUNDING: usize = 1 << 20;

/// Everything that was said of searching.
#[derive(Debug, Default)]
pub(super) struct Search {
    metadata: Vec<String>,
    size: usize,
    told: bool,
}

/// The form of chat completions, with all fields on one level.
#[derive(Serialize)]
struct Annotation<'a> {
    r#type: &'static str,
    start_index: usize,
    end_index: usize,
    url: &'a str,
    title: &'a str,
}

impl Search {
    /// Takes in a `groundingMetadata`; streams repeat them.
    pub(super) fn learn(&mut self, metadata: &RawValue) {
        let metadata = metadata.get();
        if self.size + metadata.len() <= MOST_GROUNDING
            && self.metadata.last().is_none_or(|last| last != metadata)
        {
            self.size += metadata.len();
            self.metadata.push(metadata.to_owned());
        }
    }

    /// The queries and the pages, as JSON strings, if there was a search and nobody has been told yet.
    pub(super) fn due(&mut self) -> Option<(Vec<String>, Vec<String>)> {
        if self.told || self.metadata.is_empty() {
            return None;
        }
        let (mut queries, mut pages) = (Vec::new(), Vec::new());
        let add = |list: &mut Vec<String>, text: Text<'_>| {
            if !list.iter().any(|known| known == text.literal()) {
                list.push(text.literal().to_owned());
            }
        };
        for metadata in &self.metadata {
            let Ok(metadata) = serde_json::from_str::<GroundingMetadata<'_>>(metadata) else { continue };
            metadata.web_search_queries.iter().for_each(|query| add(&mut queries, *query));
            let sources = metadata.grounding_chunks.iter().filter_map(|chunk| chunk.web.as_ref()?.uri);
            sources.for_each(|page| add(&mut pages, page));
        }
        if queries.is_empty() && pages.is_empty() {
            return None;
        }
        self.told = true;
        Some((queries, pages))
    }

    /// The citations in a text, which is escaped, as JSON objects.
    pub(super) fn annotations(&self, text: &[u8]) -> Vec<String> {
        if self.metadata.is_empty() {
            return Vec::new();
        }
        let literal = [b"\"", text, b"\""].concat();
        let text = serde_json::from_slice::<String>(&literal).unwrap_or_default();
        let citations = citations(self.metadata.iter().map(String::as_str), &text);
        let annotations = citations.iter().map(|citation| Annotation {
            r#type: "url_citation",
            start_index: citation.start,
            end_index: citation.end,
            url: &citation.url,
            title: &citation.title,
        });
        annotations.filter_map(|annotation| serde_json::to_string(&annotation).ok()).collect()
    }
}
