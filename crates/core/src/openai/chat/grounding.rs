//! Citations: Gemini's grounding as OpenAI's `url_citation` annotations.

use serde::Serialize;

use crate::gemini::grounding::{self, Citation};

#[derive(Serialize)]
struct Annotation<'c> {
    r#type: &'static str,
    url_citation: UrlCitation<'c>,
}

#[derive(Serialize)]
struct UrlCitation<'c> {
    start_index: usize,
    end_index: usize,
    url: &'c str,
    title: &'c str,
}

/// The annotations of `content` as a JSON array; none where there are none. `metadata` is as in
/// [`grounding::citations`].
pub(super) fn annotations<'a>(metadata: impl Iterator<Item = &'a str>, content: &str) -> Option<String> {
    let citations = grounding::citations(metadata, content);
    let annotation = |citation: &Citation<'_>| {
        serde_json::to_string(&Annotation {
            r#type: "url_citation",
            url_citation: UrlCitation {
                start_index: citation.start,
                end_index: citation.end,
                url: &citation.url,
                title: &citation.title,
            },
        })
        .ok()
    };
    let annotations: Vec<String> = citations.iter().filter_map(annotation).collect();
    (!annotations.is_empty()).then(|| format!("[{}]", annotations.join(",")))
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
