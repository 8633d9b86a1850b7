//! What bytes are, in the media types that Gemini knows.

use super::remote::Accepts;

/// Media types as servers say them, and as Gemini knows them. None: Gemini does not.
const DECLARED: [(&str, Option<&str>); 52] = [
    ("image/png", Some("image/png")),
    ("image/jpeg", Some("image/jpeg")),
    ("image/jpg", Some("image/jpeg")),
    ("image/pjpeg", Some("image/jpeg")),
    ("image/webp", Some("image/webp")),
    ("image/heic", Some("image/heic")),
    ("image/heif", Some("image/heif")),
    ("image/gif", Some("image/gif")),
    ("application/pdf", Some("application/pdf")),
    ("application/x-pdf", Some("application/pdf")),
    ("audio/wav", Some("audio/wav")),
    ("audio/x-wav", Some("audio/wav")),
    ("audio/wave", Some("audio/wav")),
    ("audio/vnd.wave", Some("audio/wav")),
    ("audio/mp3", Some("audio/mp3")),
    ("audio/mpeg", Some("audio/mp3")),
    ("audio/aiff", Some("audio/aiff")),
    ("audio/x-aiff", Some("audio/aiff")),
    ("audio/aac", Some("audio/aac")),
    ("audio/x-aac", Some("audio/aac")),
    ("audio/ogg", Some("audio/ogg")),
    ("application/ogg", Some("audio/ogg")),
    ("audio/opus", Some("audio/ogg")),
    ("audio/flac", Some("audio/flac")),
    ("audio/x-flac", Some("audio/flac")),
    ("audio/mp4", Some("audio/mp4")),
    ("audio/m4a", Some("audio/mp4")),
    ("audio/x-m4a", Some("audio/mp4")),
    ("audio/webm", Some("audio/webm")),
    ("video/mp4", Some("video/mp4")),
    ("video/x-m4v", Some("video/mp4")),
    ("video/mpeg", Some("video/mpeg")),
    ("video/mpg", Some("video/mpeg")),
    ("video/mov", Some("video/mov")),
    ("video/quicktime", Some("video/mov")),
    ("video/avi", Some("video/avi")),
    ("video/x-msvideo", Some("video/avi")),
    ("video/x-flv", Some("video/x-flv")),
    ("video/webm", Some("video/webm")),
    ("video/wmv", Some("video/wmv")),
    ("video/x-ms-wmv", Some("video/wmv")),
    ("video/3gpp", Some("video/3gpp")),
    ("application/json", Some("application/json")),
    ("application/xml", Some("text/xml")),
    ("application/xhtml+xml", Some("text/html")),
    ("application/javascript", Some("text/javascript")),
    ("application/x-javascript", Some("text/javascript")),
    ("application/rtf", Some("text/rtf")),
    ("application/yaml", Some("text/plain")),
    ("application/x-yaml", Some("text/plain")),
    ("application/x-sh", Some("text/plain")),
    ("image/svg+xml", None),
];

/// Texts that Gemini knows by their own name; any other is plain.
const TEXTS: [&str; 8] = [
    "text/plain",
    "text/html",
    "text/css",
    "text/markdown",
    "text/csv",
    "text/xml",
    "text/rtf",
    "text/javascript",
];

/// What extensions of names say, for what Gemini can read.
const EXTENSIONS: [(&str, &str); 27] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("html", "text/html"),
    ("xml", "text/xml"),
    ("json", "application/json"),
    ("mp3", "audio/mp3"),
    ("wav", "audio/wav"),
    ("aiff", "audio/aiff"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("aac", "audio/aac"),
    ("m4a", "audio/mp4"),
    ("mp4", "video/mp4"),
    ("mov", "video/mov"),
    ("avi", "video/avi"),
    ("webm", "video/webm"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
];

/// What is said of bytes that are no media, to go on after "it is".
pub type NoMedia = &'static str;

/// What fetched bytes are. `declared` is the server's `Content-Type`, `name` the last part of the address.
///
/// The first bytes have the first word: servers often know nothing, and sometimes wrong.
///
/// # Errors
/// What they are instead, in words.
pub fn of(
    declared: Option<&str>,
    name: &str,
    bytes: &[u8],
    accepts: Accepts,
) -> Result<&'static str, NoMedia> {
    if bytes.is_empty() {
        return Err("empty");
    }
    let declared = declared.map(essence).unwrap_or_default();
    let is_unspecific = matches!(
        declared.as_str(),
        "" | "application/octet-stream" | "binary/octet-stream" | "application/binary"
    );
    let is_called_text = declared.starts_with("text/");
    let kind = match of_bytes(bytes) {
        Some(Seen::Known(kind)) => Some(kind),
        Some(Seen::Unknown(what)) => return Err(what),
        // A text may begin with anything.
        Some(Seen::WebPage) if is_unspecific || is_called_text => Some("text/html"),
        Some(Seen::WebPage) if accepts == Accepts::Media => Some("text/html"),
        Some(Seen::WebPage) | None if is_unspecific => {
            of_name(name).filter(|kind| !is_text(kind) || std::str::from_utf8(bytes).is_ok())
        }
        Some(Seen::WebPage) | None => of_declared(&declared),
    };
    match kind {
        Some("text/html") if accepts == Accepts::Media => Err("a web page, not an image"),
        Some(kind) if accepts == Accepts::Media && is_text(kind) => Err("a text, not an image"),
        Some(kind) => Ok(kind),
        None => Err("of a kind that Gemini does not read"),
    }
}

/// Whether a server's `Content-Type` is worth reading on for. Says no only where no bytes could change it.
///
/// # Errors
/// What it is instead, in words.
pub fn may_be(declared: Option<&str>, accepts: Accepts) -> Result<(), NoMedia> {
    match declared.map(essence).as_deref() {
        Some("text/html" | "application/xhtml+xml") if accepts == Accepts::Media => {
            Err("a web page, not an image")
        }
        Some("image/svg+xml") => Err("SVG, which Gemini does not read"),
        _ => Ok(()),
    }
}

/// What the extension of a name says.
pub fn of_name(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    let known = EXTENSIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
    known.map(|(_, kind)| *kind)
}

/// What the first bytes say, where they say it.
pub fn of_start(bytes: &[u8]) -> Option<&'static str> {
    match of_bytes(bytes)? {
        Seen::Known(kind) => Some(kind),
        Seen::WebPage | Seen::Unknown(_) => None,
    }
}

/// A media type without its parameters, in lower case.
fn essence(declared: &str) -> String {
    declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn of_declared(essence: &str) -> Option<&'static str> {
    if let Some((_, kind)) = DECLARED.iter().find(|(declared, _)| *declared == essence) {
        return *kind;
    }
    let text = TEXTS.iter().find(|text| **text == essence).copied();
    text.or_else(|| essence.starts_with("text/").then_some("text/plain"))
}

/// Whether a kind is one of text.
pub fn is_text(kind: &str) -> bool {
    kind.starts_with("text/") || kind == "application/json"
}

/// What the first bytes show.
enum Seen {
    Known(&'static str),
    /// Something for certain, and nothing for Gemini.
    Unknown(NoMedia),
    WebPage,
}

fn of_bytes(bytes: &[u8]) -> Option<Seen> {
    let at = |from: usize, what: &[u8]| bytes.get(from..from + what.len()) == Some(what);
    let starts = |what: &[u8]| at(0, what);
    Some(match bytes {
        _ if starts(b"\x89PNG\r\n\x1a\n") => Seen::Known("image/png"),
        _ if starts(b"\xff\xd8\xff") => Seen::Known("image/jpeg"),
        _ if starts(b"GIF8") => Seen::Known("image/gif"),
        _ if starts(b"RIFF") && at(8, b"WEBP") => Seen::Known("image/webp"),
        _ if starts(b"RIFF") && at(8, b"WAVE") => Seen::Known("audio/wav"),
        _ if starts(b"RIFF") && at(8, b"AVI ") => Seen::Known("video/avi"),
        _ if starts(b"%PDF-") => Seen::Known("application/pdf"),
        _ if at(4, b"ftyp") => of_brand(bytes.get(8..12)?),
        _ if starts(b"ID3") || matches!(bytes, [0xff, 0xfb | 0xfa | 0xf3 | 0xf2, ..]) => {
            Seen::Known("audio/mp3")
        }
        _ if matches!(bytes, [0xff, 0xf1 | 0xf9, ..]) => Seen::Known("audio/aac"),
        _ if starts(b"OggS") => Seen::Known("audio/ogg"),
        _ if starts(b"fLaC") => Seen::Known("audio/flac"),
        _ if starts(b"FORM") && at(8, b"AIF") => Seen::Known("audio/aiff"),
        _ if starts(b"\x1a\x45\xdf\xa3") => Seen::Known("video/webm"),
        _ if starts(b"FLV\x01") => Seen::Known("video/x-flv"),
        _ if starts(b"\0\0\x01\xba") || starts(b"\0\0\x01\xb3") => Seen::Known("video/mpeg"),
        _ if starts(b"BM") && at(6, &[0; 4]) => Seen::Unknown("BMP, which Gemini does not read"),
        _ if starts(b"II*\0") || starts(b"MM\0*") => Seen::Unknown("TIFF, which Gemini does not read"),
        _ if starts(b"\0\0\x01\0") => Seen::Unknown("an icon, which Gemini does not read"),
        _ => {
            let from = bytes.iter().position(|byte| !byte.is_ascii_whitespace())?;
            let start = &bytes[from..bytes.len().min(from + 16)];
            let begins =
                |with: &[u8]| start.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
            match () {
                () if begins(b"<!doctype html") || begins(b"<html") => Seen::WebPage,
                () if begins(b"<svg") => Seen::Unknown("SVG, which Gemini does not read"),
                () => return None,
            }
        }
    })
}

/// The brand of a file in MPEG-4's container.
fn of_brand(brand: &[u8]) -> Seen {
    match brand {
        b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" => Seen::Known("image/heic"),
        b"mif1" | b"msf1" => Seen::Known("image/heif"),
        b"avif" | b"avis" => Seen::Unknown("AVIF, which Gemini does not read"),
        b"M4A " | b"M4B " | b"M4P " => Seen::Known("audio/mp4"),
        b"qt  " => Seen::Known("video/mov"),
        [b'3', b'g', b'p' | b'2', _] => Seen::Known("video/3gpp"),
        _ => Seen::Known("video/mp4"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let check = |declared: Option<&str>, name, bytes: &[u8], accepts, expected| {
            assert_eq!(of(declared, name, bytes, accepts), expected, "{declared:?} {name} {bytes:?}");
        };
        let png = b"\x89PNG\r\n\x1a\n...";
        use Accepts::{Documents, Media};
        check(Some("image/png"), "", png, Media, Ok("image/png"));
        check(Some("IMAGE/JPG; charset=x"), "", b"?", Media, Ok("image/jpeg"));
        check(Some("image/jpeg"), "", png, Media, Ok("image/png"));
        check(Some("application/octet-stream"), "x", b"\xff\xd8\xff\xe0", Media, Ok("image/jpeg"));
        check(None, "x", b"RIFF\0\0\0\0WEBPVP8 ", Media, Ok("image/webp"));
        check(None, "x", b"\0\0\0\x18ftypheic", Media, Ok("image/heic"));
        check(None, "x", b"\0\0\0\x18ftypisom", Media, Ok("video/mp4"));
        check(None, "x", b"%PDF-1.7", Media, Ok("application/pdf"));
        check(Some("text/plain"), "a.png", png, Media, Ok("image/png"));
        check(None, "clip.MOV", b"????", Media, Ok("video/mov"));
        check(Some("video/quicktime"), "", b"????", Media, Ok("video/mov"));
        check(Some("audio/mpeg"), "", b"????", Documents, Ok("audio/mp3"));

        check(Some("text/html"), "", b"<p>", Media, Err("a web page, not an image"));
        check(Some("image/png"), "", b"\n <!DOCTYPE html><html>", Media, Err("a web page, not an image"));
        check(Some("text/plain"), "", b"words", Media, Err("a text, not an image"));
        check(Some("application/json"), "", b"{}", Media, Err("a text, not an image"));
        check(Some("image/svg+xml"), "", b"<svg/>", Media, Err("SVG, which Gemini does not read"));
        check(None, "", b"\0\0\0\x18ftypavif", Media, Err("AVIF, which Gemini does not read"));
        check(Some("image/avif"), "", b"?", Media, Err("of a kind that Gemini does not read"));
        check(Some("application/zip"), "", b"PK", Documents, Err("of a kind that Gemini does not read"));
        check(None, "x", b"?", Documents, Err("of a kind that Gemini does not read"));
        check(Some("image/png"), "", b"", Media, Err("empty"));

        check(Some("text/html"), "", b"<!doctype html>", Documents, Ok("text/html"));
        check(Some("text/x-python"), "", b"import this", Documents, Ok("text/plain"));
        check(Some("text/markdown"), "", b"<html> in words", Documents, Ok("text/html"));
        check(Some("application/xml"), "", b"<a/>", Documents, Ok("text/xml"));
        check(None, "a.csv", b"a,b", Documents, Ok("text/csv"));
        check(None, "a.csv", b"\xff\xfe", Documents, Err("of a kind that Gemini does not read"));
    }

    #[test]
    fn what_is_not_read_on_for() {
        assert_eq!(may_be(Some("text/html; charset=utf-8"), Accepts::Media), Err("a web page, not an image"));
        assert_eq!(may_be(Some("text/html"), Accepts::Documents), Ok(()));
        assert_eq!(may_be(Some("text/plain"), Accepts::Media), Ok(()));
        assert_eq!(may_be(None, Accepts::Media), Ok(()));
    }
}
