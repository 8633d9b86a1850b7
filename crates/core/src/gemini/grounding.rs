//! Grounding: which stretches of an answer rest on which pages.
//!
//! Gemini names stretches in bytes of UTF-8, counted from the beginning of a part; clients count characters of
//! the whole text, and are told what stands there.

use super::response::{GroundingChunk, GroundingMetadata, Segment, Text};

/// No answer has more citations; the bound is for what an upstream could invent.
const MOST_CITATIONS: usize = 512;

/// A stretch of an answer, and a page that it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation<'c> {
    /// The first character.
    pub start: usize,
    /// The character after the last.
    pub end: usize,
    /// What is said there.
    pub said: &'c str,
    /// The page's address.
    pub url: String,
    /// Its title; empty where it has none.
    pub title: String,
}

/// The citations of `content`.
///
/// `metadata` is every `groundingMetadata` that came: once for a whole answer, perhaps several times in a
/// stream, with repetitions.
pub fn citations<'a, 'c>(metadata: impl Iterator<Item = &'a str>, content: &'c str) -> Vec<Citation<'c>> {
    let metadata: Vec<GroundingMetadata<'_>> =
        metadata.filter_map(|metadata| serde_json::from_str(metadata).ok()).collect();
    let mut citations = Vec::new();
    let mut add = |chunk: &GroundingChunk<'_>, (start, end, said)| {
        let source = chunk.web.as_ref().or(chunk.retrieved_context.as_ref()).or(chunk.maps.as_ref());
        let Some(url) = source.and_then(|source| source.uri) else { return };
        let title = source.and_then(|source| source.title).map(Text::decode).unwrap_or_default().into_owned();
        let citation = Citation { start, end, said, url: url.decode().into_owned(), title };
        if citations.len() < MOST_CITATIONS && !citations.contains(&citation) {
            citations.push(citation);
        }
    };
    for metadata in &metadata {
        for support in &metadata.grounding_supports {
            let Some(place) = support.segment.as_ref().and_then(|segment| locate(content, segment)) else {
                continue;
            };
            let chunk = |index: &u32| metadata.grounding_chunks.get(usize::try_from(*index).ok()?);
            support.grounding_chunk_indices.iter().filter_map(chunk).for_each(|chunk| add(chunk, place));
        }
    }
    if metadata.iter().all(|metadata| metadata.grounding_supports.is_empty()) {
        // The answer rests on these pages, and nobody says which sentence on which.
        let whole = (0, content.chars().count(), content);
        metadata.iter().flat_map(|metadata| &metadata.grounding_chunks).for_each(|chunk| add(chunk, whole));
    }
    citations
}

/// Where a segment is, in characters. The place is believed if the text stands there; if it stands elsewhere
/// (after other parts), it is found.
fn locate<'c>(content: &'c str, segment: &Segment<'_>) -> Option<(usize, usize, &'c str)> {
    let text = segment.text.map(Text::decode).unwrap_or_default();
    let start = usize::try_from(segment.start_index).ok()?;
    let end = usize::try_from(segment.end_index).ok()?;
    let said = content.get(start..end).filter(|said| text.is_empty() || *said == text);
    let (start, said) = match said {
        Some(said) => (start, said),
        None if text.is_empty() => return None,
        None => {
            let start = content.find(text.as_ref())?;
            (start, &content[start..start + text.len()])
        }
    };
    let start = content[..start].chars().count();
    Some((start, start + said.chars().count(), said))
}
