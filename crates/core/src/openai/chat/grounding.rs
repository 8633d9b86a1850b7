//! Citations: Gemini's grounding as OpenAI's `url_citation` annotations.
//!
//! Gemini names stretches of the answer in bytes of UTF-8, counted from the beginning of a part; OpenAI counts
//! characters of the whole content.

use serde::Serialize;

use crate::gemini::response::{GroundingChunk, GroundingMetadata, Segment, Text};

/// No answer has more citations; the bound is for what an upstream could invent.
const MOST_ANNOTATIONS: usize = 512;

#[derive(Serialize, PartialEq)]
struct Annotation {
    r#type: &'static str,
    url_citation: Citation,
}

#[derive(Serialize, PartialEq)]
struct Citation {
    start_index: usize,
    end_index: usize,
    url: String,
    title: String,
}

/// The annotations of `content` as a JSON array; none where there are none.
///
/// `metadata` is every `groundingMetadata` that came: once for a whole answer, perhaps several times in a
/// stream, with repetitions.
pub(super) fn annotations<'a>(metadata: impl Iterator<Item = &'a str>, content: &str) -> Option<String> {
    let metadata: Vec<GroundingMetadata<'_>> =
        metadata.filter_map(|metadata| serde_json::from_str(metadata).ok()).collect();
    let mut annotations = Vec::new();
    let mut add = |chunk: &GroundingChunk<'_>, (start_index, end_index)| {
        let source = chunk.web.as_ref().or(chunk.retrieved_context.as_ref()).or(chunk.maps.as_ref());
        let Some(url) = source.and_then(|source| source.uri) else { return };
        let title = source.and_then(|source| source.title).map(Text::decode).unwrap_or_default().into_owned();
        let url_citation = Citation { start_index, end_index, url: url.decode().into_owned(), title };
        let annotation = Annotation { r#type: "url_citation", url_citation };
        if annotations.len() < MOST_ANNOTATIONS && !annotations.contains(&annotation) {
            annotations.push(annotation);
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
        let whole = (0, content.chars().count());
        metadata.iter().flat_map(|metadata| &metadata.grounding_chunks).for_each(|chunk| add(chunk, whole));
    }
    if annotations.is_empty() {
        return None;
    }
    serde_json::to_string(&annotations).ok()
}

/// Where a segment is, in characters. The place is believed if the text stands there; if it stands elsewhere
/// (after other parts), it is found.
fn locate(content: &str, segment: &Segment<'_>) -> Option<(usize, usize)> {
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
    Some((start, start + said.chars().count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_characters() {
        let content = "Zürich — schön. Bern.";
        let metadata = r#"{"groundingChunks":[{"web":{"uri":"https://a","title":"A"}},{"web":{"title":"no address"}}],
            "groundingSupports":[
                {"segment":{"startIndex":8,"endIndex":18,"text":"— schön"},"groundingChunkIndices":[0,1,7]},
                {"segment":{"startIndex":1,"endIndex":2,"text":"Bern."},"groundingChunkIndices":[0]},
                {"segment":{"startIndex":900,"endIndex":2},"groundingChunkIndices":[0]}]}"#;
        let annotations = annotations([metadata, metadata, "[]"].into_iter(), content).expect("some");
        let citation = |start: usize, end: usize| {
            format!(
                r#"{{"type":"url_citation","url_citation":{{"start_index":{start},"end_index":{end},"url":"https://a","title":"A"}}}}"#
            )
        };
        // The first stretch is off by a byte or so, and is found by its text.
        assert_eq!(annotations, format!("[{},{}]", citation(7, 14), citation(16, 21)));
    }

    #[test]
    fn pages_without_sentences_stand_for_the_whole() {
        let metadata = r#"{"groundingChunks":[{"web":{"uri":"u"}}]}"#;
        let expected = r#"[{"type":"url_citation","url_citation":{"start_index":0,"end_index":2,"url":"u","title":""}}]"#;
        assert_eq!(annotations([metadata].into_iter(), "éa").as_deref(), Some(expected));
        assert_eq!(annotations(["{}"].into_iter(), "a"), None);
    }
}
