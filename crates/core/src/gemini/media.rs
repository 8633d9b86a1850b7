//! Images, sound and documents as clients write them: data URLs become inline data, addresses become file data,
//! which is marked where the gateway may fetch it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use super::media_type;
use super::remote::{Accepts, Place};
use super::request::{Blob, FileData, Part};
use crate::error::Error;
use crate::fetch::address::Address;

/// So much base64 shows what is in it.
const SHOWN: usize = 64;

/// Where the Files API keeps `files/…`; Google knows its own files by this address.
const FILES: &str = "https://generativelanguage.googleapis.com/v1beta/";

/// A part from an address: a data URL, a file of the Files API, or one of the web.
///
/// `param` names the field in errors.
pub(crate) fn from_url<'a>(
    url: &'a str,
    accepts: Accepts,
    param: impl Fn() -> String,
) -> Result<Part<'a>, Error> {
    let url = url.trim();
    if let Some(rest) = strip_prefix_ignoring_case(url, "data:") {
        return from_data_url(rest, None, param);
    }
    if let Some(name) = file_name(url) {
        return Ok(file(None, Cow::Owned(format!("{FILES}{name}")), None));
    }
    if is_of_the_web(url) {
        let address = Address::parse(url);
        let is_googles = address.as_ref().is_ok_and(Address::is_googles);
        let mime_type = address.as_ref().ok().and_then(|address| media_type::of_name(address.name()));
        let place = (!is_googles).then(|| Place { param: param(), accepts });
        return Ok(file(mime_type.map(Cow::Borrowed), Cow::Borrowed(url), place));
    }
    if let Some(object) = strip_prefix_ignoring_case(url, "gs://") {
        let name = object.rsplit('/').next().unwrap_or_default();
        return Ok(file(media_type::of_name(name).map(Cow::Borrowed), Cow::Borrowed(url), None));
    }
    // Base64 without `data:` in front, as some clients send it.
    match media_type_of_data(url) {
        Some(mime_type) => Ok(inline(Cow::Borrowed(mime_type), base64_of(url, param)?)),
        None => Err(Error::bad_request(
            "Invalid URL: expected a data URL with base64, or an http(s) address.",
            param(),
        )),
    }
}

/// Whether a client's id of a file can be one here: a name of the Files API, that name as clients of OpenAI's API know
/// it (`file-abc` for `files/abc`), or an address.
pub(crate) fn is_file_id(id: &str) -> bool {
    file_name(id).is_some() || id.contains("://")
}

/// The name in the Files API that an id stands for. OpenAI's own ids have capital letters, Gemini's have none.
pub(crate) fn file_name(id: &str) -> Option<Cow<'_, str>> {
    if id.starts_with("files/") {
        return Some(Cow::Borrowed(id));
    }
    let rest = id.strip_prefix("file-")?;
    let is_geminis = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (!rest.is_empty() && rest.bytes().all(is_geminis)).then(|| Cow::Owned(format!("files/{rest}")))
}

/// Whether a text is an address that could be fetched.
fn is_of_the_web(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| strip_prefix_ignoring_case(url, scheme).is_some())
}

/// A part from a document: a data URL, plain base64 whose kind the file's name tells, or an address of the web.
pub(crate) fn from_file<'a>(
    data: &'a str,
    name: Option<&str>,
    param: impl Fn() -> String,
) -> Result<Part<'a>, Error> {
    if is_of_the_web(data.trim()) {
        return from_url(data, Accepts::Documents, param);
    }
    let named = name.and_then(media_type::of_name);
    if let Some(rest) = strip_prefix_ignoring_case(data.trim(), "data:") {
        return from_data_url(rest, named, param);
    }
    match named.or_else(|| media_type_of_data(data)) {
        Some(mime_type) => Ok(inline(Cow::Borrowed(mime_type), base64_of(data, param)?)),
        None => Err(Error::bad_request(
            "Invalid file data: expected a data URL with a media type, as in 'data:application/pdf;base64,…'.",
            param(),
        )),
    }
}

/// A part from base64, which the client says is of this media type.
pub(crate) fn from_base64<'a>(
    said: Option<&'a str>,
    data: &'a str,
    param: impl Fn() -> String,
) -> Result<Part<'a>, Error> {
    if let Some(rest) = strip_prefix_ignoring_case(data.trim(), "data:") {
        return from_data_url(rest, None, param);
    }
    let data = base64_of(data, param)?;
    Ok(inline(known_type(said.unwrap_or_default(), None, &data), data))
}

/// A part from recorded sound.
pub(crate) fn from_audio<'a>(
    data: &'a str,
    format: Option<&str>,
    param: impl Fn() -> String,
) -> Result<Part<'a>, Error> {
    if let Some(rest) = strip_prefix_ignoring_case(data.trim(), "data:") {
        return from_data_url(rest, None, param);
    }
    let mime_type = match format.unwrap_or("wav") {
        "wav" => Cow::Borrowed("audio/wav"),
        "mp3" => Cow::Borrowed("audio/mp3"),
        "pcm16" | "pcm" => Cow::Borrowed("audio/pcm"),
        "m4a" | "mp4" => Cow::Borrowed("audio/mp4"),
        other if !other.is_empty() && other.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Cow::Owned(format!("audio/{other}"))
        }
        _ => return Err(Error::bad_request("Invalid audio format.", param())),
    };
    Ok(inline(mime_type, base64_of(data, param)?))
}

fn inline<'a>(mime_type: Cow<'a, str>, data: Cow<'a, str>) -> Part<'a> {
    Part { inline_data: Some(Blob { mime_type, data }), ..Part::default() }
}

fn file<'a>(mime_type: Option<Cow<'a, str>>, file_uri: Cow<'a, str>, place: Option<Place>) -> Part<'a> {
    Part { file_data: Some(FileData { mime_type, file_uri, place }), ..Part::default() }
}

/// What follows `data:`.
fn from_data_url<'a>(
    rest: &'a str,
    named: Option<&'static str>,
    param: impl Fn() -> String,
) -> Result<Part<'a>, Error> {
    let Some((head, payload)) = rest.split_once(',') else {
        return Err(Error::bad_request("Invalid data URL: it has no data.", param()));
    };
    let mut fields = head.split(';').map(str::trim);
    let said = fields.next().unwrap_or_default();
    let data = if fields.any(|field| field.eq_ignore_ascii_case("base64")) {
        base64_of(payload, &param)?
    } else {
        Cow::Owned(STANDARD.encode(percent_decode_str(payload).collect::<Vec<u8>>()))
    };
    Ok(inline(known_type(said, named, &data), data))
}

/// The media type that Gemini knows, for what the client says.
fn known_type<'a>(said: &'a str, named: Option<&'static str>, data: &str) -> Cow<'a, str> {
    match said {
        "" | "application/octet-stream" => {
            let known = named.or_else(|| media_type_of_data(data));
            Cow::Borrowed(known.unwrap_or(if said.is_empty() { "text/plain" } else { said }))
        }
        // What people write, and Gemini does not know.
        "image/jpg" => Cow::Borrowed("image/jpeg"),
        _ if said.bytes().any(|byte| byte.is_ascii_uppercase()) => Cow::Owned(said.to_ascii_lowercase()),
        _ => Cow::Borrowed(said),
    }
}

/// Base64 in the standard alphabet. White space goes, the alphabet for URLs is translated; as it usually is
/// standard already, it usually is not copied.
fn base64_of<'a>(text: &'a str, param: impl Fn() -> String) -> Result<Cow<'a, str>, Error> {
    let text = text.trim();
    if !text.is_empty() && is_standard(text.as_bytes()) {
        return Ok(Cow::Borrowed(text));
    }
    let decoded = percent_decode_str(text).collect::<Vec<u8>>();
    let standard: Option<String> = decoded
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| match byte {
            b'-' => Some('+'),
            b'_' => Some('/'),
            b'+' | b'/' | b'=' => Some(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => Some(char::from(*byte)),
            _ => None,
        })
        .collect();
    match standard {
        Some(standard) if !standard.is_empty() => Ok(Cow::Owned(standard)),
        _ => Err(Error::bad_request("Invalid base64 data.", param())),
    }
}

/// Whether all bytes are of the standard alphabet, or fill it up. Eight at a time and without branches, so that megabytes
/// take little time on every kind of processor, WebAssembly's among them.
fn is_standard(text: &[u8]) -> bool {
    /// The highest bit of each byte.
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let each = |byte: u8| u64::from_ne_bytes([byte; 8]);
    // The highest bit of each byte that is in a range, where all are ASCII: one that is too small does not reach it, one
    // that is too large does so by itself.
    let within =
        |eight: u64, from: u8, to: u8| (eight + each(0x80 - from)) & !(eight + each(0x7f - to)) & HIGH;
    let are_standard = |eight: u64| {
        let ascii = eight & !HIGH;
        let letters = within(ascii | each(0x20), b'a', b'z');
        // From `/` on, digits follow.
        let others = within(ascii, b'/', b'9') | within(ascii, b'+', b'+') | within(ascii, b'=', b'=');
        (letters | others) & !eight & HIGH
    };
    // Filled up with what is standard.
    let last = |rest: &[u8]| {
        let mut eight = [b'A'; 8];
        eight[..rest.len()].copy_from_slice(rest);
        u64::from_ne_bytes(eight)
    };
    let (eights, rest) = text.as_chunks::<8>();
    eights.chunks(512).all(|block| {
        block.iter().fold(HIGH, |all, eight| all & are_standard(u64::from_ne_bytes(*eight))) == HIGH
    }) && are_standard(last(rest)) == HIGH
}

/// What the first bytes say, in base64.
fn media_type_of_data(base64: &str) -> Option<&'static str> {
    let start = base64.as_bytes().get(..base64.len().min(SHOWN) / 4 * 4)?;
    media_type::of_start(&STANDARD.decode(start).ok()?)
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn check(part: Result<Part<'_>, Error>, expected: &str) {
        let json = match part {
            Ok(part) => String::from_utf8(json::with_plain(&part, 0).expect("writes")).expect("UTF-8"),
            Err(error) => format!("{}: {error}", error.param.as_deref().unwrap_or_default()),
        };
        assert_eq!(json, expected);
    }

    #[test]
    fn urls() {
        let check = |url, expected| check(from_url(url, Accepts::Media, || "p".to_owned()), expected);
        check("data:image/png;base64,AAAA", r#"{"inlineData":{"mimeType":"image/png","data":"AAAA"}}"#);
        check(
            " DATA:image/jpg;base64, A-_ \nAA== ",
            r#"{"inlineData":{"mimeType":"image/jpeg","data":"A+/AA=="}}"#,
        );
        check(
            "data:;base64,iVBORw0KGgoA",
            r#"{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgoA"}}"#,
        );
        check("data:image/png;base64,AA%2BA", r#"{"inlineData":{"mimeType":"image/png","data":"AA+A"}}"#);
        check("data:,a%20b", r#"{"inlineData":{"mimeType":"text/plain","data":"YSBi"}}"#);
        check("/9j/4AAQ", r#"{"inlineData":{"mimeType":"image/jpeg","data":"/9j/4AAQ"}}"#);
        check(
            "https://example.com/a.b/cat.JPG?size=1",
            r#"{"fileData":{"mimeType":"image/jpeg","fileUri":"https://example.com/a.b/cat.JPG?size=1"}}"#,
        );
        check(
            "gs://bucket/a.pdf",
            r#"{"fileData":{"mimeType":"application/pdf","fileUri":"gs://bucket/a.pdf"}}"#,
        );
        check("https://youtu.be/abc", r#"{"fileData":{"fileUri":"https://youtu.be/abc"}}"#);
        check(
            "files/abc",
            r#"{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}"#,
        );
        check(
            "file-abc-1",
            r#"{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc-1"}}"#,
        );
        check("file-BK7bz", "p: Invalid URL: expected a data URL with base64, or an http(s) address.");
        check("file-", "p: Invalid URL: expected a data URL with base64, or an http(s) address.");
        check("data:image/png;base64", "p: Invalid data URL: it has no data.");
        check("data:image/png;base64,", "p: Invalid base64 data.");
        check("data:image/png;base64,é", "p: Invalid base64 data.");
        check("cat.png", "p: Invalid URL: expected a data URL with base64, or an http(s) address.");
    }

    #[test]
    fn only_what_is_not_googles_is_marked() {
        let check = |url, expected: bool| {
            let part = from_url(url, Accepts::Media, || "p".to_owned()).expect("a part");
            let place = part.file_data.and_then(|file| file.place);
            assert_eq!(
                place,
                expected.then(|| Place { param: "p".to_owned(), accepts: Accepts::Media }),
                "{url}"
            );
        };
        check("https://example.com/cat.jpg", true);
        check("HTTP://user:password@example.com/", true);
        check("https://youtu.be/abc", false);
        check("https://generativelanguage.googleapis.com/v1beta/files/abc", false);
        check("gs://bucket/cat.jpg", false);
        check("files/abc", false);
    }

    #[test]
    fn files_and_sound() {
        let file = |data, name| from_file(data, name, || "p".to_owned());
        check(
            file("data:application/octet-stream;base64,AAAA", Some("a.pdf")),
            r#"{"inlineData":{"mimeType":"application/pdf","data":"AAAA"}}"#,
        );
        check(file("AAAA", Some("a.csv")), r#"{"inlineData":{"mimeType":"text/csv","data":"AAAA"}}"#);
        assert!(file("AAAA", None).is_err());
        check(
            file("https://example.com/x?a.pdf", Some("a.pdf")),
            r#"{"fileData":{"fileUri":"https://example.com/x?a.pdf"}}"#,
        );
        let audio = |data, format| from_audio(data, format, || "p".to_owned());
        check(audio("AAAA", Some("mp3")), r#"{"inlineData":{"mimeType":"audio/mp3","data":"AAAA"}}"#);
        check(audio("AAAA", Some("flac")), r#"{"inlineData":{"mimeType":"audio/flac","data":"AAAA"}}"#);
        assert!(audio("AAAA", Some("a/b")).is_err());
    }

    #[test]
    fn the_alphabet_is_known_eight_at_a_time() {
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
            for (before, after) in [(0, 0), (0, 7), (7, 0), (3, 9), (9, 3), (4095, 1)] {
                let text = [vec![b'A'; before], vec![byte], vec![b'/'; after]].concat();
                assert_eq!(is_standard(&text), expected, "{byte} after {before} and before {after}");
            }
        }
    }
}
