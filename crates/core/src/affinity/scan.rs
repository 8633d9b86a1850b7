//! Objects in JSON bodies: which ones a request names, and which ones an answer speaks of.
//!
//! Bodies of the methods that generate are not parsed. Four searches find the beginnings of the few fields that can name
//! an object; inside a text the quotes before them would be escaped, so what is found is a field. A field whose name is
//! written with escapes (`"\u0066ileUri"`, which no client does by accident) is found by reading all strings: what one
//! client made must not be quoted by another in whatever spelling.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

/// So many references of one request, and names in one answer, are taken. Google takes some thousand files at most.
const MOST: usize = 10_000;

/// A field that names an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `fileUri`, `uri`, `downloadUri`, `fileName`: a name or an address.
    Address,
    /// `cachedContent`.
    Cache,
    /// `fileSearchStoreNames`.
    Store,
    /// `continuationToken`.
    Continuation,
    /// `previous_interaction_id`.
    Interaction,
    /// `agent`: an agent of one's own, or one of Google's.
    Agent,
    /// `environment`, `environment_id`.
    Environment,
    /// `voice`.
    Voice,
    /// `source`, `corpus`: what is searched.
    Source,
    /// `name`, `parent`: of answers.
    Name,
    /// `id`: of answers of interactions and their relatives.
    Id,
}

/// A value of such a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    pub field: Field,
    /// Where the value stands in the body, without its quotes.
    pub span: Range<usize>,
    /// The value, without escapes.
    pub value: Cow<'a, str>,
}

/// What of a body for a method that generates can name objects. Empty for most.
pub fn generation(body: &[u8]) -> Vec<Found<'_>> {
    static BEGINNINGS: LazyLock<[Finder<'static>; 3]> =
        LazyLock::new(|| [&b"\"file"[..], b"\"cached", b"\"continuation"].map(Finder::new));
    static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\\u00"));
    let spells_letters = |at: usize| matches!(body.get(at + 4), Some(b'4'..=b'7'));
    if ESCAPE.find_iter(body).any(spells_letters) {
        return strings(body, of_generation);
    }
    let mut found = Vec::new();
    for beginning in &*BEGINNINGS {
        for at in beginning.find_iter(body) {
            if at > 0 && body[at - 1] == b'\\' {
                continue;
            }
            if let Some((name, after)) = string(body, at)
                && let Some(field) = of_generation(&body[name])
            {
                values(body, after, field, &mut found);
            }
        }
    }
    found
}

/// What of any other request's body can name objects.
pub fn request(body: &[u8]) -> Vec<Found<'_>> {
    strings(body, of_request)
}

/// The names of objects in an answer.
pub fn answer(body: &[u8]) -> Vec<Found<'_>> {
    strings(body, of_answer)
}

fn of_generation(name: &[u8]) -> Option<Field> {
    Some(match name {
        b"fileUri" | b"file_uri" => Field::Address,
        b"cachedContent" | b"cached_content" => Field::Cache,
        b"fileSearchStoreNames" | b"file_search_store_names" => Field::Store,
        b"continuationToken" | b"continuation_token" => Field::Continuation,
        _ => return None,
    })
}

fn of_request(name: &[u8]) -> Option<Field> {
    Some(match name {
        b"fileName" | b"file_name" | b"uri" => Field::Address,
        b"previousInteractionId" | b"previous_interaction_id" => Field::Interaction,
        b"agent" => Field::Agent,
        b"environment" | b"environmentId" | b"environment_id" => Field::Environment,
        b"voice" | b"voiceName" | b"voice_name" => Field::Voice,
        b"source" | b"corpus" => Field::Source,
        _ => return of_generation(name),
    })
}

fn of_answer(name: &[u8]) -> Option<Field> {
    Some(match name {
        b"name" | b"parent" => Field::Name,
        b"uri" | b"fileUri" | b"downloadUri" | b"download_uri" | b"fileName" | b"responsesFile"
        | b"responses_file" => Field::Address,
        b"id" => Field::Id,
        b"continuationToken" => Field::Continuation,
        _ => return None,
    })
}

/// Reads all strings, and takes the values of the fields that `field_of` knows.
fn strings(body: &[u8], field_of: impl Fn(&[u8]) -> Option<Field>) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(quote) = memchr(b'"', &body[at..]) {
        let Some((name, after)) = string(body, at + quote) else { break };
        at = after;
        let field = match body[name.clone()].contains(&b'\\') {
            true => unescaped(body, &name).and_then(|name| field_of(name.as_bytes())),
            false => field_of(&body[name]),
        };
        if let Some(field) = field {
            at = values(body, after, field, &mut found);
        }
    }
    found
}

/// Takes the value of a field whose name ends at `at`: a string, or the strings of a list. Where reading goes on.
fn values<'a>(body: &'a [u8], at: usize, field: Field, found: &mut Vec<Found<'a>>) -> usize {
    let Some(colon) = after_space(body, at).filter(|&at| body[at] == b':') else { return at };
    let mut take = |at: usize| {
        let (span, after) = string(body, at)?;
        if found.len() < MOST
            && let Some(value) = unescaped(body, &span)
        {
            found.push(Found { field, span, value });
        }
        Some(after)
    };
    match after_space(body, colon + 1) {
        Some(at) if body[at] == b'"' => take(at).unwrap_or(at + 1),
        Some(mut at) if body[at] == b'[' => loop {
            match after_space(body, at + 1) {
                Some(next) if body[next] == b',' => at = next,
                Some(next) if body[next] == b'"' => match take(next) {
                    Some(after) => at = after - 1,
                    None => return next + 1,
                },
                _ => return at + 1,
            }
        },
        _ => colon + 1,
    }
}

/// The string that begins with the quote at `at`: what is between its quotes, and where it is over. None: it does not end.
fn string(body: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    let begin = at + 1;
    let mut end = begin;
    loop {
        end += memchr2(b'"', b'\\', body.get(end..)?)?;
        if body[end] == b'"' {
            return Some((begin..end, end + 1));
        }
        end += 2;
    }
}

fn after_space(body: &[u8], at: usize) -> Option<usize> {
    let rest = body.get(at..)?;
    Some(at + rest.iter().position(|byte| !byte.is_ascii_whitespace())?)
}

/// What a string says. None: it is no text.
fn unescaped<'a>(body: &'a [u8], span: &Range<usize>) -> Option<Cow<'a, str>> {
    let raw = &body[span.clone()];
    if memchr(b'\\', raw).is_none() {
        return std::str::from_utf8(raw).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice(&body[span.start - 1..span.end + 1]).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(found: &[Found<'_>]) -> Vec<String> {
        found.iter().map(|found| format!("{:?} {}", found.field, found.value)).collect()
    }

    #[test]
    fn references_are_found_wherever_they_stand() {
        let check = |body: &str, expected: &[&str]| {
            let found = generation(body.as_bytes());
            assert_eq!(shown(&found), expected, "{body}");
            let mut slowly = shown(&strings(body.as_bytes(), of_generation));
            let mut quickly = shown(&found);
            slowly.sort();
            quickly.sort();
            assert_eq!(quickly, slowly, "{body}");
            for one in &found {
                let raw = &body[one.span.clone()];
                assert!(raw == one.value || raw.contains('\\'), "{body}: {raw}");
            }
        };
        check(r#"{"contents":[{"parts":[{"text":"Hi"}]}]}"#, &[]);
        check(
            r#"{"contents":[{"parts":[{"fileData":{"mimeType":"a/b","fileUri":"files/a"}}]}]}"#,
            &["Address files/a"],
        );
        check(
            r#"{"contents":[{"parts":[{"file_data":{"file_uri" : "https:\/\/h\/v1beta\/files\/a"}}]}]}"#,
            &["Address https://h/v1beta/files/a"],
        );
        check(r#"{"cachedContent":"cachedContents/c"}"#, &["Cache cachedContents/c"]);
        check("{\"cached_content\"\n:\n\"cachedContents/c\"}", &["Cache cachedContents/c"]);
        check(
            r#"{"tools":[{"fileSearch":{"fileSearchStoreNames":["fileSearchStores/a" , "fileSearchStores/b"]}}]}"#,
            &["Store fileSearchStores/a", "Store fileSearchStores/b"],
        );
        check(r#"{"file_search_store_names":[]}"#, &[]);
        check(r#"{"continuationToken":"abc"}"#, &["Continuation abc"]);
        check(r#"{"text":"he said \"fileUri\":\"files/a\""}"#, &[]);
        check(r#"{"text":"fileUri","fileUri":{"a":1}}"#, &[]);
        check(r#"{"fileUri":null,"b":"files/a"}"#, &[]);
        check(r#"["fileUri","files/a"]"#, &[]);
        check(r#"{"\u0066ileUri":"files\/a"}"#, &["Address files/a"]);
        check(r#"{"text":"\u4e2d\u6587","file\u0055ri":"\u0066iles/a"}"#, &["Address files/a"]);
        check(r#"{"fileUri":"files/a"#, &[]);
        check(r#"{"fileUri":"#, &[]);
        check(r#"{"fileUri""#, &[]);
        check(r#"{"fileUri"#, &[]);
        check(r#"{"fileSearchStoreNames":["a","b"#, &["Store a"]);
        check(r#"{"fileSearchStoreNames":["#, &[]);
        check("\"\\", &[]);
    }

    #[test]
    fn other_requests_name_more() {
        let check = |body: &str, expected: &[&str]| {
            assert_eq!(shown(&request(body.as_bytes())), expected, "{body}");
        };
        check(
            r#"{"model":"m","input":[{"type":"image","uri":"files/a"}],"previous_interaction_id":"v1_x"}"#,
            &["Address files/a", "Interaction v1_x"],
        );
        check(r#"{"batch":{"inputConfig":{"fileName":"files/in"}}}"#, &["Address files/in"]);
        check(r#"{"agent":"agents/a","environment":"e"}"#, &["Agent agents/a", "Environment e"]);
    }

    #[test]
    fn answers_name_what_they_made() {
        let body =
            r#"{"file":{"name":"files/a","uri":"https://h/v1beta/files/a"},"id":"v1_x","x":[{"name":"b"}]}"#;
        let expected = ["Name files/a", "Address https://h/v1beta/files/a", "Id v1_x", "Name b"];
        assert_eq!(shown(&answer(body.as_bytes())), expected);
    }

    #[test]
    fn every_prefix_is_read_without_harm() {
        let body = r#"{"fileUri" : "a\\\"b", "fileSearchStoreNames":["x", "y\u00e9"], "\u0066ile_uri":"z"}"#;
        for end in 0..=body.len() {
            for reads in [generation, request, answer] {
                for found in reads(&body.as_bytes()[..end]) {
                    assert!(found.span.end < end);
                }
            }
        }
    }
}
