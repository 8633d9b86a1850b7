//! What a prompt asks of the simulator itself: `{{name=value}}` anywhere in the last text of the user. Parts that are one
//! element of markup are not the user's: agents add such.
//!
//! - `{{fault=overloaded}}`: any fault or condition of [`fault`](crate::fault), for this request.
//! - `{{retry_ms=1500}}`: the delay that a 429 of `{{fault=…}}` names.
//! - `{{bytes=4096}}`: an answer with so many bytes of text.
//! - `{{chunks=200}}`: a stream of so many events.
//! - `{{chunk_bytes=300}}`: events of a stream with so many bytes, framing included.
//! - `{{delay_ms=50}}`: a pause between events.
//! - `{{first_delay_ms=1000}}`: a pause between the head and the first byte of the body.
//! - `{{call=read_file {"path": "notes.txt"}}}`: a call of that function with these arguments, where it is declared and
//!   has not answered yet. Without arguments some are made up. Several directives are several calls.
//!
//! The prompt of a film can ask for more bytes, and its `{{delay_ms=…}}` is how long it takes. The display names of files
//! and batches have directives of their own: see [`UploadDirectives`].
//!
//! Other names in double braces are the prompt's own and mean nothing here. A known name with a wrong value is an
//! error of the request, so that a mistyped test does not pass.
//!
//! Some words are short for directives: see [`WORDS`].

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::fault::Condition;

/// Words that other fake upstreams know, so that a driver written for those runs against this one.
pub const WORDS: &[(&str, &str)] = &[
    ("TRIGGER_429", "{{fault=minute-limit}}"),
    ("TRIGGER_503", "{{fault=overloaded}}"),
    ("TRIGGER_SAFETY", "{{fault=blocked}}"),
    ("TRIGGER_MAXTOK", "{{fault=max-tokens}}"),
    ("TRIGGER_EMPTY", "{{fault=empty-candidate}}"),
    ("TRIGGER_NOCONTENT", "{{fault=no-content}}"),
    ("TRIGGER_MALFORMED", "{{fault=malformed}}"),
    ("TRIGGER_MIDSTREAM", "{{fault=event-error}}"),
];

/// What a prompt asks for. The default is what one without directives asks for: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Directives {
    pub(crate) fault: Condition,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) shape: Shape,
    pub(crate) delay: Duration,
    pub(crate) first_delay: Duration,
}

/// The size of an answer. All zero: whatever the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Shape {
    pub(crate) bytes: usize,
    pub(crate) chunks: usize,
    pub(crate) chunk_bytes: usize,
}

/// The most that a shape can ask for, of each: beyond it an answer says more about memory than about gateways.
const MOST_BYTES: usize = 64 << 20;
/// A film takes no memory, so it may be larger than any file that Google takes.
const LARGEST_FILM: usize = 4 << 30;
const MOST_CHUNKS: usize = 100_000;
const LONGEST_DELAY: u64 = 3_600_000;

impl Directives {
    /// Reads the directives out of a text. The error is a sentence.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        Self::up_to(MOST_BYTES, text)
    }

    /// The same, of a prompt that asks for a film.
    pub(crate) fn of_film(text: &str) -> Result<Self, String> {
        Self::up_to(LARGEST_FILM, text)
    }

    fn up_to(most_bytes: usize, text: &str) -> Result<Self, String> {
        let mut found = Self::default();
        for (word, directive) in WORDS {
            if text.contains(word) {
                found.take(directive, most_bytes)?;
            }
        }
        found.take(text, most_bytes)?;
        calls(text)?;
        if found.shape.chunks.saturating_mul(found.shape.chunk_bytes) > MOST_BYTES {
            return Err(format!("an answer has at most {MOST_BYTES} bytes"));
        }
        Ok(found)
    }

    fn take(&mut self, text: &str, most_bytes: usize) -> Result<(), String> {
        for inner in
            text.split("{{").skip(1).filter_map(|start| start.split_once("}}")).map(|(inner, _)| inner)
        {
            let Some((name, value)) = inner.split_once('=') else { continue };
            let value = value.trim();
            let number = |most: u64| match value.parse::<u64>() {
                Ok(number) if number <= most => Ok(number),
                _ => Err(format!("{{{{{inner}}}}} needs a whole number up to {most}")),
            };
            let size = |most: usize| number(most as u64).map(|size| size as usize);
            match name.trim() {
                "fault" => self.fault = value.parse()?,
                "retry_ms" => self.retry_after = Some(Duration::from_millis(number(LONGEST_DELAY)?)),
                "bytes" => self.shape.bytes = size(most_bytes)?,
                "chunks" => self.shape.chunks = size(MOST_CHUNKS)?,
                "chunk_bytes" => self.shape.chunk_bytes = size(MOST_BYTES)?,
                "delay_ms" => self.delay = Duration::from_millis(number(LONGEST_DELAY)?),
                "first_delay_ms" => self.first_delay = Duration::from_millis(number(LONGEST_DELAY)?),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What the display name of a file asks for: `{{cut=5000000}}`, `{{processing_ms=3000}}`, `{{state=failed}}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct UploadDirectives {
    /// The connection is reset, once each, when so many bytes of the file have arrived. Ascending.
    pub(crate) cuts: Vec<u64>,
    /// How long the file is not yet ready.
    pub(crate) processing: Duration,
    /// Whether it never will be.
    pub(crate) fails: bool,
}

impl UploadDirectives {
    /// Reads the directives out of a display name. The error is a sentence.
    pub(crate) fn read(name: &str) -> Result<Self, String> {
        let mut found = Self::default();
        for inner in name.split("{{").skip(1).filter_map(|start| Some(start.split_once("}}")?.0)) {
            let Some((name, value)) = inner.split_once('=') else { continue };
            let value = value.trim();
            let number = || value.parse::<u64>().map_err(|_| format!("{{{{{inner}}}}} needs a whole number"));
            match name.trim() {
                "cut" => found.cuts.push(number()?),
                "processing_ms" => found.processing = Duration::from_millis(number()?.min(LONGEST_DELAY)),
                "state" if value.eq_ignore_ascii_case("failed") => found.fails = true,
                "state" => return Err(format!("{{{{{inner}}}}} can only be failed")),
                _ => {}
            }
        }
        found.cuts.sort_unstable();
        Ok(found)
    }
}

/// A function call that a prompt asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct ScriptedCall<'a> {
    pub(crate) name: &'a str,
    /// An object.
    pub(crate) args: Option<Value>,
}

/// The calls that a text scripts. The error is a sentence.
pub(crate) fn calls(text: &str) -> Result<Vec<ScriptedCall<'_>>, String> {
    let starts = text.match_indices("{{").map(|(place, braces)| &text[place + braces.len()..]);
    starts
        .filter_map(|start| start.trim_start().strip_prefix("call")?.trim_start().strip_prefix('='))
        .map(|rest| {
            let rest = rest.trim_start();
            let end = rest.find(|letter: char| letter.is_whitespace() || matches!(letter, '{' | '}'));
            let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
            let rest = rest.trim_start();
            if name.is_empty() {
                return Err("{{call=…}} needs the name of a function".to_owned());
            }
            if rest.starts_with("}}") {
                return Ok(ScriptedCall { name, args: None });
            }
            // The arguments end in braces, too, so only reading them tells where.
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
            match values.next() {
                Some(Ok(args @ Value::Object(_)))
                    if rest[values.byte_offset()..].trim_start().starts_with("}}") =>
                {
                    Ok(ScriptedCall { name, args: Some(args) })
                }
                _ => Err(format!("{{{{call={name} …}}}} needs its arguments as a JSON object, or none")),
            }
        })
        .collect()
}

/// Whether a text is one element of markup from end to end: how agents mark what they add to a prompt.
pub(crate) fn is_added(text: &str) -> bool {
    let text = text.trim();
    let Some(inner) = text.strip_prefix('<') else { return false };
    let is_name = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
    let name = inner.split(|letter| !is_name(letter)).next().unwrap_or_default();
    let end = text.strip_suffix('>').and_then(|rest| rest.strip_suffix(name)?.strip_suffix("</"));
    !name.is_empty() && end.is_some()
}

/// The last text of the user, read without a tree of the whole body. None: the body is not of that shape, and
/// has to be read properly to say why.
pub(crate) fn last_user_text(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        contents: Vec<Content>,
    }
    #[derive(Deserialize)]
    struct Content {
        role: Option<String>,
        #[serde(default)]
        parts: Vec<Part>,
    }
    #[derive(Deserialize)]
    struct Part {
        text: Option<String>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let texts = |content: Content| {
        let texts = content.parts.into_iter().filter_map(|part| part.text);
        let texts: Vec<String> = texts.filter(|text| !is_added(text)).collect();
        (!texts.is_empty()).then(|| texts.join(" "))
    };
    body.contents
        .into_iter()
        .rev()
        .filter(|content| content.role.as_deref().is_none_or(|role| role == "user"))
        .find_map(texts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fault::Fault;

    #[test]
    fn directives_are_read_anywhere() {
        let check =
            |text: &str, expected: Directives| assert_eq!(Directives::read(text), Ok(expected), "{text}");
        let millis = Duration::from_millis;
        check("Hello {{name}}, {{a=b}}", Directives::default());
        check(
            "a {{fault=cut}} b {{ delay_ms = 5 }}{{first_delay_ms=7}}{{retry_ms=9}}",
            Directives {
                fault: Condition::Faulty(Fault::Cut),
                delay: millis(5),
                first_delay: millis(7),
                retry_after: Some(millis(9)),
                ..Directives::default()
            },
        );
        check(
            "{{bytes=4096}}{{chunks=200}}{{chunk_bytes=300}}",
            Directives {
                shape: Shape { bytes: 4096, chunks: 200, chunk_bytes: 300 },
                ..Directives::default()
            },
        );
        check(
            "TRIGGER_503",
            Directives { fault: Condition::Faulty(Fault::Overloaded), ..Directives::default() },
        );
        for wrong in ["{{fault=sick}}", "{{bytes=-1}}", "{{chunks=x}}", "{{bytes=99999999999}}"] {
            assert!(Directives::read(wrong).is_err(), "{wrong}");
        }
        assert!(Directives::read("{{chunks=100000}}{{chunk_bytes=60000000}}").is_err());
    }

    #[test]
    fn display_names_have_directives() {
        let read =
            UploadDirectives::read("a {{cut=9}}{{cut=5}} {{processing_ms=10}} {{state=failed}} {{x=y}}");
        let expected =
            UploadDirectives { cuts: vec![5, 9], processing: Duration::from_millis(10), fails: true };
        assert_eq!(read, Ok(expected));
        for wrong in ["{{cut=all}}", "{{state=sad}}"] {
            assert!(UploadDirectives::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn calls_are_read_with_their_arguments() {
        let check = |text: &str, expected: &[(&str, Option<Value>)]| {
            let found = calls(text).expect("the test's directives are well formed");
            let found: Vec<_> = found.into_iter().map(|call| (call.name, call.args)).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("call=one {{name}} {{callers=2}}", &[]);
        check("do {{call=one}} and {{ call = two }}", &[("one", None), ("two", None)]);
        let nested = json!({ "a": { "b": ["}}", "{{x}}"] } });
        check(&format!("{{{{call=one {nested}}}}}!"), &[("one", Some(nested.clone()))]);
        check(&format!("{{{{call=one{nested} }}}}{{{{call=two}}}}"), &[("one", Some(nested)), ("two", None)]);
        for wrong in [
            "{{call=}}",
            "{{call=one",
            "{{call=one x}}",
            "{{call=one [1]}}",
            "{{call=one {\"a\": 1}",
            "{{call=one {}",
        ] {
            assert!(Directives::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_last_text_of_the_user_counts() {
        let check = |body: &str, expected: Option<&str>| {
            assert_eq!(last_user_text(body.as_bytes()).as_deref(), expected, "{body}");
        };
        check(
            r#"{"contents":[{"role":"user","parts":[{"text":"one"}]},{"role":"model","parts":[{"text":"two"}]},
               {"role":"user","parts":[{"text":"three"},{"inlineData":{}},{"text":"four"}]},
               {"role":"user","parts":[{"functionResponse":{}}]}]}"#,
            Some("three four"),
        );
        check(r#"{"contents":[{"parts":[{"text":"one"}]}]}"#, Some("one"));
        check(r#"{"contents":"text"}"#, None);
        check(r#"{"contents":["#, None);
    }
}
