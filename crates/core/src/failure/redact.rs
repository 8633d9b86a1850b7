//! Takes keys and project numbers out of what the upstream wrote.
//!
//! Google repeats the key it was shown (in the message of a suspended consumer, in `containerInfo`, in
//! `DebugInfo`), names the project's number, and the address it was called from. Nothing of that is a client's
//! business. A body that holds none of it stays as it is, byte for byte; JSON stays JSON.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;

use memchr::memchr;
use serde::de::IgnoredAny;

use crate::secret::ApiKey;

/// What stands in the place of a secret.
const REDACTED: &str = "REDACTED";
/// Fields whose whole value goes, wherever they stand. In lower case, without underscores.
const FIELDS: [&str; 5] = ["consumer", "containerinfo", "callerip", "projectnumber", "projectid"];
/// A key of this length is taken out wherever its characters stand. A shorter one is no Google key, but what
/// somebody typed ("test"): it goes where it stands as a word.
const DISTINCT: usize = 16;
/// A shorter key than this is no secret, and could be any word of a sentence.
const SHORTEST: usize = 4;
/// How often an escape may have been escaped again.
const MOST_LAYERS: usize = 7;
/// The longest IP address: an IPv6 one that ends as an IPv4 one.
const LONGEST_ADDRESS: usize = 45;
/// Of a longer key, this many characters decide, so that a hostile key cannot make the search slow.
const DECISIVE: usize = 128;

/// A body without secrets: `key`, which was sent, and whatever else looks like one.
pub fn redact<'a>(body: &'a [u8], key: &ApiKey) -> Cow<'a, [u8]> {
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    if is_json { json(body, Some(key)) } else { plain(body, Some(key), Place::Text) }
}

/// A body without whatever looks like a secret.
pub fn redact_body(body: &[u8]) -> Cow<'_, [u8]> {
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    if is_json { json(body, None) } else { plain(body, None, Place::Text) }
}

/// A sentence without secrets; `key` is the one that was sent, where one was.
pub fn redact_text<'a>(text: &'a str, key: Option<&ApiKey>) -> Cow<'a, str> {
    match plain(text.as_bytes(), key, Place::Text) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        // Only whole characters are replaced, so nothing is lost here.
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Where a text stands, which decides what short keys do to it.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Free text, which may have been cut in the middle of a key.
    Text,
    /// A string of a JSON document.
    Value,
    /// The name of a field: structure, in which a short key is a coincidence.
    Name,
}

/// The source with some spans replaced; not copied until the first one.
struct Splice<'a> {
    source: &'a [u8],
    copied: usize,
    out: Vec<u8>,
}

impl<'a> Splice<'a> {
    fn new(source: &'a [u8]) -> Self {
        Self { source, copied: 0, out: Vec::new() }
    }

    fn replace(&mut self, span: Range<usize>, with: &[u8]) {
        self.out.extend_from_slice(&self.source[self.copied..span.start]);
        self.out.extend_from_slice(with);
        self.copied = span.end;
    }

    fn finish(mut self) -> Cow<'a, [u8]> {
        if self.copied == 0 {
            return Cow::Borrowed(self.source);
        }
        self.out.extend_from_slice(&self.source[self.copied..]);
        Cow::Owned(self.out)
    }
}

/// Redacts the strings of a valid document one by one, decoded, and leaves everything between them alone.
fn json<'a>(body: &'a [u8], key: Option<&ApiKey>) -> Cow<'a, [u8]> {
    let mut splice = Splice::new(body);
    let mut at = 0;
    let mut secret_field = false;
    while let Some(open) = memchr(b'"', &body[at..]).map(|found| at + found) {
        if secret_field && let Some(number) = number(body, at..open) {
            splice.replace(number, format!("\"{REDACTED}\"").as_bytes());
        }
        // A name is followed by its value; whatever lies between is white space, or the value is no string.
        secret_field &= body[at..open].iter().all(|byte| matches!(byte, b':' | b' ' | b'\t' | b'\r' | b'\n'));
        let Some(close) = string_end(body, open) else { break };
        let token = &body[open..=close];
        let is_name = body[close + 1..].trim_ascii_start().first() == Some(&b':');
        // A lone surrogate cannot be decoded; such a string is searched as it stands.
        let decoded = serde_json::from_slice::<String>(token).ok();
        let text = decoded.as_deref().map_or_else(|| &token[1..token.len() - 1], str::as_bytes);
        let clean = match (is_name, secret_field) {
            (true, _) => plain(text, key, Place::Name),
            (false, true) => whole_value(text),
            (false, false) => plain(text, key, Place::Value),
        };
        if let Cow::Owned(clean) = clean {
            if decoded.is_some() {
                let clean = serde_json::Value::from(String::from_utf8_lossy(&clean)).to_string();
                splice.replace(open..close + 1, clean.as_bytes());
            } else {
                splice.replace(open + 1..close, &clean);
            }
        }
        secret_field = is_name && is_secret_field(text);
        at = close + 1;
    }
    if secret_field && let Some(number) = number(body, at..body.len()) {
        splice.replace(number, format!("\"{REDACTED}\"").as_bytes());
    }
    splice.finish()
}

/// The index of the quote that ends the string opened at `open`.
fn string_end(body: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    while at < body.len() {
        match body[at] {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

fn is_secret_field(name: &[u8]) -> bool {
    let letters = || name.iter().filter(|&&byte| byte != b'_').map(u8::to_ascii_lowercase);
    FIELDS.iter().any(|field| letters().eq(field.bytes()))
}

/// The value of a secret field, but for the kind that it names ("projects/", "api_key:").
fn whole_value(text: &[u8]) -> Cow<'_, [u8]> {
    let kind = text.iter().position(|byte| matches!(byte, b'/' | b':')).map_or(0, |at| at + 1);
    let known = [&b"projects/"[..], b"api_key:", b"project_number:"].contains(&&text[..kind]);
    let kind = if known { &text[..kind] } else { b"" };
    if text[kind.len()..] == *REDACTED.as_bytes() || text.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned([kind, REDACTED.as_bytes()].concat())
}

/// A number that is the value after a name: `: 123`, up to the comma or bracket that ends it.
fn number(body: &[u8], gap: Range<usize>) -> Option<Range<usize>> {
    let value = gap.start + body[gap.clone()].iter().position(u8::is_ascii_digit)?;
    let before = &body[gap.start..value];
    let length = body[value..gap.end]
        .iter()
        .take_while(|byte| byte.is_ascii_digit() || b".eE+-".contains(byte))
        .count();
    before.trim_ascii().eq(b":").then_some(value..value + length)
}

/// Redacts a text that has no structure.
fn plain<'a>(text: &'a [u8], key: Option<&ApiKey>, place: Place) -> Cow<'a, [u8]> {
    let key = key
        .map(|key| key.expose().as_bytes())
        .filter(|key| key.len() >= SHORTEST && (place != Place::Name || key.len() >= DISTINCT));
    let names_address = contains_ignoring_case(text, b"ip address");
    let mut splice = Splice::new(text);
    let mut at = 0;
    while at < text.len() {
        let found = key
            .and_then(|key| sent_key(text, at, key, place))
            .or_else(|| shaped_like_a_secret(text, at))
            .or_else(|| names_address.then(|| address(text, at)).flatten());
        match found {
            Some(span) => {
                if text[span.clone()] != *REDACTED.as_bytes() {
                    splice.replace(span.clone(), REDACTED.as_bytes());
                }
                at = span.end;
            }
            None => at += 1,
        }
    }
    splice.finish()
}

/// The key that was sent, at `at`: as it is, percent-encoded, or with JSON's escapes.
fn sent_key(text: &[u8], at: usize, key: &[u8], place: Place) -> Option<Range<usize>> {
    let mut end = at;
    let mut matched = 0;
    while matched < key.len() {
        let Some((length, next)) = matches_next(text, end, &key[matched..]) else { break };
        matched += length;
        end = next;
    }
    let is_word = || !is_word_before(text, at) && !text.get(end).is_some_and(|&byte| is_word(byte));
    let whole = matched >= key.len().min(DECISIVE) && (key.len() >= DISTINCT || is_word());
    // The body was cut in the middle of the key. (What is left of a short key tells nothing.)
    let cut = place == Place::Text && key.len() >= DISTINCT && matched >= 8 && is_cut(&text[end..]);
    (whole || cut).then_some(at..if cut { text.len() } else { end })
}

/// Whether nothing is left, or nothing but the beginning of an escape.
fn is_cut(rest: &[u8]) -> bool {
    rest.is_empty() || (rest.len() < 6 && matches!(rest[0], b'%' | b'\\'))
}

/// Whether the text goes on with the first character of `key`; its length in the key, and where the text
/// continues.
fn matches_next(text: &[u8], at: usize, key: &[u8]) -> Option<(usize, usize)> {
    let (&byte, rest) = text.get(at..)?.split_first()?;
    if byte == key[0] {
        return Some((1, at + 1));
    }
    match byte {
        b'%' => {
            // `%2B`, or `%252B` where an encoded text was encoded again.
            let layers = rest.chunks(2).take(MOST_LAYERS).take_while(|layer| *layer == b"25").count();
            let digits = rest.get(2 * layers..2 * layers + 2)?;
            (hex(digits)? == u32::from(key[0])).then_some((1, at + 1 + 2 * layers + 2))
        }
        b'\\' => {
            let slashes = 1 + rest.iter().take(MOST_LAYERS).take_while(|&&byte| byte == b'\\').count();
            let rest = &text[at + slashes..];
            let mut buffer = [0; 4];
            let decoded = rest.strip_prefix(b"u").and_then(|rest| char::from_u32(hex(rest.get(..4)?)?));
            let encoded = decoded.map(|c| c.encode_utf8(&mut buffer).as_bytes());
            match encoded.filter(|encoded| key.starts_with(encoded)) {
                Some(encoded) => Some((encoded.len(), at + slashes + 5)),
                // `\/`, or a character that needs no escape.
                None => (rest.first() == Some(&key[0])).then_some((1, at + slashes + 1)),
            }
        }
        _ => None,
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, &byte| Some(sum * 16 + char::from(byte).to_digit(16)?))
}

/// What Google's keys and project numbers look like, and the places where they stand.
fn shaped_like_a_secret(text: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = &text[at..];
    match rest[0] | 0x20 {
        b'a' => {
            let bare = token(rest, b"AIza", 20)
                .or_else(|| token(rest, b"AQ.", 16).filter(|_| !is_word_before(text, at)));
            if let Some(length) = bare {
                return Some(at..at + length);
            }
            // "Consumer 'api_key:…' has been suspended."
            if starts_ignoring_case(rest, b"api_key:") {
                return run(text, at + 8, is_key_byte);
            }
            parameter(text, at, b"api_key=").or_else(|| parameter(text, at, b"access_token="))
        }
        b'k' => parameter(text, at, b"key="),
        b'i' if starts_ignoring_case(rest, b"invalid api key: ") => {
            let span =
                run(text, at + 17, |byte| !byte.is_ascii_whitespace() && !b"\"'<>\\,;".contains(&byte))?;
            let stops = text[span.clone()].iter().rev().take_while(|&&byte| byte == b'.').count();
            (stops < span.len()).then(|| span.start..span.end - stops)
        }
        b'p' => project(text, at),
        // The name that AI Studio gives a project.
        b'g' if rest.starts_with(b"gen-lang-client-") => {
            run(text, at + 16, |byte| byte.is_ascii_digit()).map(|digits| at..digits.end)
        }
        _ => None,
    }
}

/// The length of `prefix` and the run of key characters after it, if that is long enough to be a key.
fn token(rest: &[u8], prefix: &[u8], shortest: usize) -> Option<usize> {
    let after = rest.strip_prefix(prefix)?;
    let length = after.iter().take_while(|&&byte| is_word(byte)).count();
    (length >= shortest).then_some(prefix.len() + length)
}

/// The value of a query parameter: `?key=…`, `&key=…`, `&amp;key=…`.
fn parameter(text: &[u8], at: usize, name: &[u8]) -> Option<Range<usize>> {
    let in_query = matches!(text[..at].last(), Some(b'?' | b'&' | b';'));
    if !in_query || !starts_ignoring_case(&text[at..], name) {
        return None;
    }
    run(text, at + name.len(), |byte| byte.is_ascii_graphic() && !b"&#\"'<>()[]{},;\\`".contains(&byte))
}

/// "projects/123", "project=123", "project 123456 before", "project_number:123", percent-encoded or not.
///
/// A number after a space counts from five digits: "project 3 of 5" is no project of Google's.
fn project(text: &[u8], at: usize) -> Option<Range<usize>> {
    let mut end = at;
    let mut skip = |words: &[&[u8]]| {
        let word = words.iter().find(|word| starts_ignoring_case(&text[end..], word));
        end += word.map_or(0, |word| word.len());
        word.is_some()
    };
    if !skip(&[b"projects", b"project"]) {
        return None;
    }
    let numbered = skip(&[b"_number", b" number", b"-number", b"number", b"_id", b" id", b"id"]);
    let assigned = skip(&[b"/", b"=", b"%2f", b"%3d"]);
    let mut apart = numbered || assigned;
    while end - at < 32 && text.get(end).is_some_and(|byte| b" :#'\"`\\".contains(byte)) {
        end += 1;
        apart = true;
    }
    let digits = run(text, end, |byte| byte.is_ascii_digit())?;
    let ends = !text.get(digits.end).is_some_and(|&byte| is_word(byte));
    let enough = if numbered || assigned { 1 } else { 5 };
    (apart && ends && digits.len() >= enough).then_some(digits)
}

/// An address of the network, in a text that says "IP address".
fn address(text: &[u8], at: usize) -> Option<Range<usize>> {
    if is_word_before(text, at) {
        return None;
    }
    let text = &text[..text.len().min(at + LONGEST_ADDRESS + 1)];
    let digits = &text[run(text, at, |byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'))?];
    let stops = digits.iter().rev().take_while(|&&byte| byte == b'.').count();
    let digits = &digits[..digits.len() - stops];
    // From "1.1.1.1" on; "::" and the like stand in the names of things.
    if !(7..=LONGEST_ADDRESS).contains(&digits.len()) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse::<IpAddr>().ok().map(|_| at..at + digits.len())
}

/// The run of bytes that `belongs` holds of, from `start`; none if there is none.
fn run(text: &[u8], start: usize, belongs: impl Fn(u8) -> bool) -> Option<Range<usize>> {
    let length = text.get(start..)?.iter().take_while(|&&byte| belongs(byte)).count();
    (length > 0).then_some(start..start + length)
}

fn is_key_byte(byte: u8) -> bool {
    is_word(byte) || byte == b'.'
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn is_word_before(text: &[u8], at: usize) -> bool {
    text[..at].last().is_some_and(|&byte| is_word(byte))
}

fn starts_ignoring_case(text: &[u8], words: &[u8]) -> bool {
    text.get(..words.len()).is_some_and(|start| start.eq_ignore_ascii_case(words))
}

fn contains_ignoring_case(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window.eq_ignore_ascii_case(words))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "AQ.made-up_key/with+signs.0123456789";

    fn check(body: &str, expected: &str) {
        let key = ApiKey::new(KEY);
        let clean = redact(body.as_bytes(), &key);
        assert_eq!(String::from_utf8_lossy(&clean), expected, "from {body}");
        // What is clean stays as it is.
        assert!(matches!(redact(&clean, &key), Cow::Borrowed(_)), "{expected}");
    }

    #[test]
    fn the_key_that_was_sent_is_taken_out_in_every_spelling() {
        check(&format!("<{KEY}>"), "<REDACTED>");
        check(&format!("{{\"a\" : \"x{KEY}y\" }}\n"), "{\"a\" : \"xREDACTEDy\" }\n");
        check(&format!("{{\"{KEY}\":1}}"), "{\"REDACTED\":1}");
        check(r#"{"a":"AQ.made\u002dup_key\/with\u002Bsigns.0123456789"}"#, r#"{"a":"REDACTED"}"#);
        check("see AQ%2Emade-up_key%2fwith%2Bsigns.0123456789&x", "see REDACTED&x");
        check("see AQ.made-up_key%252Fwith%252bsigns.0123456789&x", "see REDACTED&x");
        check(
            r#"{"a":"{\"b\":\"AQ.made\\u002dup_key\\/with+signs.0123456789\"}"}"#,
            r#"{"a":"{\"b\":\"REDACTED\"}"}"#,
        );
        let key = ApiKey::new("under-the-letter-u");
        assert_eq!(&*redact_text(r"\\u0075nder-the-letter-\u0075", Some(&key)), "REDACTED");
        check("cut: AQ.made-up_key/wi", "cut: REDACTED");
        check("cut: AQ.made-up_key%2", "cut: REDACTED");
        check(r#"{"not cut":"AQ.made-up_key"}"#, r#"{"not cut":"AQ.made-up_key"}"#);
    }

    #[test]
    fn a_short_key_is_taken_out_as_a_word_only() {
        let check = |body: &str, key: &str, expected: &str| {
            assert_eq!(String::from_utf8_lossy(&redact(body.as_bytes(), &ApiKey::new(key))), expected);
        };
        check(r#"{"test":"a test of testing"}"#, "test", r#"{"test":"a REDACTED of testing"}"#);
        check(r#"{"a":"a"}"#, "a", r#"{"a":"a"}"#);
        check("Invalid API key: a", "a", "Invalid API key: REDACTED");
        check("", "", "");
    }

    #[test]
    fn whatever_looks_like_a_secret_is_taken_out() {
        check("key AIza-not-a-real-key_0000000000.", "key REDACTED.");
        check("key AQ.not-a-real-key_0000 is bad", "key REDACTED is bad");
        check("https://x/y?key=abc.def&alt=sse", "https://x/y?key=REDACTED&alt=sse");
        check("https://x/y?alt=sse&amp;key=abc\"", "https://x/y?alt=sse&amp;key=REDACTED\"");
        check("/y?access_token=abc", "/y?access_token=REDACTED");
        check(
            "Consumer 'api_key:abc' has been suspended.",
            "Consumer 'api_key:REDACTED' has been suspended.",
        );
        check(r#"{"detail":"Invalid API key: SOME_KEY."}"#, r#"{"detail":"Invalid API key: REDACTED."}"#);
        check("in project 4005006007 before", "in project REDACTED before");
        check("/overview?project=4005006007 then", "/overview?project=REDACTED then");
        check("//x/projects/7/locations", "//x/projects/REDACTED/locations");
        check("u=%2Fprojects%2F4005006007", "u=%2Fprojects%2FREDACTED");
        check("for consumer 'project_number:4005006007'.", "for consumer 'project_number:REDACTED'.");
        check("projects/gen-lang-client-0123456", "projects/REDACTED");
        check("IP address of the call (192.0.2.7).", "IP address of the call (REDACTED).");
        check("IP address: 2001:db8::7<br>", "IP address: REDACTED<br>");
    }

    #[test]
    fn fields_that_hold_secrets_lose_their_value() {
        check(r#"{"consumer": "projects/4005"}"#, r#"{"consumer": "projects/REDACTED"}"#);
        check(r#"{"containerInfo":"api_key:x y"}"#, r#"{"containerInfo":"api_key:REDACTED"}"#);
        check(r#"{"containerInfo":"4005","a":"4005"}"#, r#"{"containerInfo":"REDACTED","a":"4005"}"#);
        check(r#"{"callerIp":"192.0.2.7"}"#, r#"{"callerIp":"REDACTED"}"#);
        check(r#"{"project_number" : 4005006007, "n": 1}"#, r#"{"project_number" : "REDACTED", "n": 1}"#);
        check(r#"{"a":{"projectNumber":1.5e3}}"#, r#"{"a":{"projectNumber":"REDACTED"}}"#);
        check(r#"{"consumer":{"name":"x"},"callerIp":null}"#, r#"{"consumer":{"name":"x"},"callerIp":null}"#);
    }

    #[test]
    fn innocent_text_stays() {
        for text in [
            "models/gemini-2.5-flash is not found for API version v1beta",
            "The input token count (3475108) exceeds the maximum number of tokens allowed (1048576).",
            "You do not have permission to access the File abc123def456 or it may not exist.",
            "see https://ai.studio/projects to manage your project and billing.",
            "monkey=banana key=value turkey: 12345678",
            "project 3 of 5; subproject; project12345; projects/readme; project: 12 files",
            "AQ. AIza AIzaShort FAQ.this-is-a-long-anchor-name api_key: string",
            "version 1.2.3.4 and std::net::IpAddr",
            "Consumer 'api_key:REDACTED' projects/REDACTED ?key=REDACTED Invalid API key: REDACTED",
            "quotaValue 250000, limit: 1000000, model: gemini-2.5-flash",
            r#"{"retryDelay":"45.837906927s","quotaValue":"250000","code":429}"#,
            r#"{"lone":"\ud800 surrogate","\u0061":"\u00e9"}"#,
            "\\\\ % %2 %25 \\u \\u00 é",
        ] {
            check(text, text);
        }
        let bytes = b"\xff\xfe {\"a\":\"\x80\"}";
        assert!(matches!(redact(bytes, &ApiKey::new(KEY)), Cow::Borrowed(same) if same == bytes));
    }

    #[test]
    fn hostile_texts_take_no_time() {
        let key = ApiKey::new(&"a".repeat(16_000));
        for part in ["a", "\\", "%25", "1.", "AIza", "?key=", "project", "invalid api key: .", "AQ.a"] {
            let text = format!("IP address {}", part.repeat(65_536 / part.len()));
            redact(text.as_bytes(), &key);
        }
    }

    proptest! {
        #[test]
        fn json_stays_json_and_never_shows_the_key(
            key in "[A-Za-z0-9_./+-]{16,60}",
            words in prop::collection::vec("[ -~é\n]{0,12}", 0..6),
            spelling in 0..4_u8,
        ) {
            let spelled: String = match spelling {
                0 => key.clone(),
                1 => key.bytes().map(|byte| format!("%{byte:02x}")).collect(),
                2 => key.bytes().map(|byte| format!("\\u{byte:04X}")).collect(),
                _ => key.replace('/', "\\/"),
            };
            let text = words.join(&spelled);
            let body = serde_json::json!({ "error": { "message": text, "consumer": text, &text: [1, text] } });
            let body = body.to_string();
            let api_key = ApiKey::new(&key);
            let clean = redact(body.as_bytes(), &api_key);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&clean).is_ok());
            let clean = String::from_utf8_lossy(&clean).into_owned();
            prop_assert!(!clean.contains(&key) && !clean.contains(&spelled), "{}", clean);
            let bare = redact_text(&text, Some(&api_key)).into_owned();
            prop_assert!(!bare.contains(&key) && !bare.contains(&spelled), "{}", bare);
        }
    }
}
