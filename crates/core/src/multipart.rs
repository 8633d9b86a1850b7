//! `multipart/form-data` (RFC 7578), of a body that is there whole.
//!
//! The fields borrow from the body: files of many megabytes are not copied. Lines may end without a carriage
//! return, as those of scripts do; transfer encodings, which nobody has sent for twenty years, are not undone.

use std::borrow::Cow;

use memchr::memmem;
use percent_encoding::percent_decode_str;

/// OpenAI's longest form has some twenty fields; an edit of sixteen images is the longest list.
const MOST_FIELDS: usize = 256;

/// The longest head of a field. Real ones have two lines.
const LONGEST_HEAD: usize = 8 << 10;

/// RFC 2046 allows 70 characters; some clients make longer ones.
const LONGEST_BOUNDARY: usize = 256;

/// A field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name, as `file` or `image[]`.
    pub name: Cow<'a, str>,
    /// The name of the file, if it is one.
    pub file_name: Option<Cow<'a, str>>,
    /// The media type that the client names.
    pub content_type: Option<&'a str>,
    /// What it holds.
    pub data: &'a [u8],
}

/// Why a body is no form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not begin with the boundary, or does not end with it.
    Cut,
    /// A field has no name, or its head cannot be read.
    Head,
    /// It has more fields than [`MOST_FIELDS`].
    TooMany,
}

/// The boundary that a `Content-Type` names; none where the body is said to be something else.
pub fn boundary(content_type: &str) -> Option<Cow<'_, str>> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary")?;
    (!boundary.is_empty() && boundary.len() <= LONGEST_BOUNDARY).then_some(boundary)
}

/// Reads a body whose `Content-Type` names this boundary.
///
/// # Errors
/// A body that is no form.
pub fn fields<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<Field<'a>>, Fault> {
    let boundary = Boundary { dashed: format!("--{boundary}") };
    let mut fields = Vec::new();
    let (_, mut rest) = boundary.find(body).ok_or(Fault::Cut)?;
    while let Some(part) = rest {
        let (field, after) = boundary.find(part).ok_or(Fault::Cut)?;
        if fields.len() == MOST_FIELDS {
            return Err(Fault::TooMany);
        }
        fields.push(Field::read(field)?);
        rest = after;
    }
    Ok(fields)
}

struct Boundary {
    dashed: String,
}

impl Boundary {
    /// What stands before the next boundary, and what after it; nothing comes after the last.
    fn find<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        for at in memmem::find_iter(bytes, self.dashed.as_bytes()) {
            let before = &bytes[..at];
            let before = match before.strip_suffix(b"\n") {
                Some(before) => before.strip_suffix(b"\r").unwrap_or(before),
                None if at == 0 => before,
                // In the middle of a line it is data.
                None => continue,
            };
            let after = &bytes[at + self.dashed.len()..];
            if after.starts_with(b"--") {
                return Some((before, None));
            }
            let padding = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let after = &after[padding..];
            if let Some(after) = after.strip_prefix(b"\r\n").or_else(|| after.strip_prefix(b"\n")) {
                return Some((before, Some(after)));
            }
        }
        None
    }
}

impl<'a> Field<'a> {
    /// The text of a field that is no file.
    ///
    /// # Errors
    /// What is no UTF-8.
    pub fn text(&self) -> Result<&'a str, std::str::Utf8Error> {
        std::str::from_utf8(self.data)
    }

    /// Reads the head and what follows it.
    fn read(mut bytes: &'a [u8]) -> Result<Self, Fault> {
        let head_bound = bytes.len().saturating_sub(LONGEST_HEAD);
        let mut field = Self { name: Cow::Borrowed(""), file_name: None, content_type: None, data: b"" };
        loop {
            let end = memchr::memchr(b'\n', bytes).ok_or(Fault::Head)?;
            let line = &bytes[..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            bytes = &bytes[end + 1..];
            if line.is_empty() {
                break;
            }
            if bytes.len() < head_bound {
                return Err(Fault::Head);
            }
            let line = std::str::from_utf8(line).map_err(|_| Fault::Head)?;
            let (header, value) = line.split_once(':').ok_or(Fault::Head)?;
            if header.trim().eq_ignore_ascii_case("content-disposition") {
                let parameters = value.split_once(';').map_or("", |(_, parameters)| parameters);
                field.name = parameter(parameters, "name").unwrap_or_default();
                field.file_name =
                    extended(parameters, "filename*").or_else(|| parameter(parameters, "filename"));
            } else if header.trim().eq_ignore_ascii_case("content-type") {
                field.content_type = Some(value.trim());
            }
        }
        if field.name.is_empty() {
            return Err(Fault::Head);
        }
        field.data = bytes;
        Ok(field)
    }
}

/// The value of a parameter: a token, or a quoted string.
fn parameter<'a>(mut parameters: &'a str, wanted: &str) -> Option<Cow<'a, str>> {
    loop {
        parameters = parameters.trim_start_matches([';', ' ', '\t']);
        let (name, rest) = parameters.split_once('=')?;
        let rest = rest.trim_start();
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find(';').unwrap_or(rest.len());
                (Cow::Borrowed(rest[..end].trim_end()), &rest[end..])
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        parameters = rest;
    }
}

/// A quoted string behind its first quote, and what follows it. A backslash stands only before what needs one:
/// names of files have had others.
fn unquote(quoted: &str) -> Option<(Cow<'_, str>, &str)> {
    let bytes = quoted.as_bytes();
    let mut end = 0;
    let mut escaped = false;
    loop {
        match bytes.get(end)? {
            b'"' => break,
            b'\\' if matches!(bytes.get(end + 1), Some(b'"' | b'\\')) => {
                escaped = true;
                end += 2;
            }
            _ => end += 1,
        }
    }
    let value = &quoted[..end];
    let value = match escaped {
        true => Cow::Owned(value.replace("\\\"", "\"").replace("\\\\", "\\")),
        false => Cow::Borrowed(value),
    };
    Some((value, &quoted[end + 1..]))
}

/// `filename*=UTF-8''na%C3%AFve.mp3`
fn extended<'a>(parameters: &'a str, wanted: &str) -> Option<Cow<'a, str>> {
    let value = parameter(parameters, wanted)?;
    let encoded = value.splitn(3, '\'').nth(2)?;
    Some(Cow::Owned(percent_decode_str(encoded).decode_utf8_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, name of the file, media type and data.
    type Shown = (String, Option<String>, Option<String>, String);

    fn read(body: &str) -> Result<Vec<Shown>, Fault> {
        let fields = fields(body.as_bytes(), "XX")?;
        Ok(fields
            .into_iter()
            .map(|field| {
                (
                    field.name.into_owned(),
                    field.file_name.map(Cow::into_owned),
                    field.content_type.map(str::to_owned),
                    String::from_utf8_lossy(field.data).into_owned(),
                )
            })
            .collect())
    }

    #[test]
    fn boundaries() {
        let check = |content_type, expected: Option<&str>| {
            assert_eq!(boundary(content_type).as_deref(), expected, "{content_type}");
        };
        check("multipart/form-data; boundary=abc", Some("abc"));
        check("Multipart/Form-Data;charset=utf-8; Boundary=\"a b;c\" ; x=y", Some("a b;c"));
        check("multipart/form-data", None);
        check("multipart/form-data; boundary=", None);
        check("multipart/mixed; boundary=abc", None);
        check("application/json", None);
    }

    #[test]
    fn fields_come_in_order() {
        let check = |body: &str, expected: &[(&str, Option<&str>, Option<&str>, &str)]| {
            let read = read(body).unwrap_or_else(|fault| panic!("{fault:?}: {body}"));
            let read: Vec<_> = read
                .iter()
                .map(|(name, file, kind, data)| {
                    (name.as_str(), file.as_deref(), kind.as_deref(), data.as_str())
                })
                .collect();
            assert_eq!(read, expected, "{body}");
        };
        check(
            "--XX\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--XX\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\" c:\\\\d.mp3\"\r\n\
             Content-Type: audio/mpeg\r\n\r\n\0\r\n--X\r\n\r\n--XX--\r\n",
            &[
                ("model", None, None, "whisper-1"),
                ("file", Some("a \"b\" c:\\d.mp3"), Some("audio/mpeg"), "\0\r\n--X\r\n"),
            ],
        );
        // A preamble, padding, bare line feeds, tokens without quotes, and data that looks like a boundary.
        check(
            "hello\n--XX \t\nContent-Disposition: form-data; filename*=UTF-8''na%C3%AFve.wav; name=image[]\n\na--XX\n--XXY\n--XX--",
            &[("image[]", Some("naïve.wav"), None, "a--XX\n--XXY")],
        );
        check("--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--XX--", &[("a", None, None, "")]);
        check("--XX--", &[]);
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let check = |body: &str, expected| assert_eq!(read(body), Err(expected), "{body}");
        check("", Fault::Cut);
        check("--XX", Fault::Cut);
        check("{\"model\":1}", Fault::Cut);
        check("--XX\r\nContent-Disposition: form-data; name=a\r\n\r\nb", Fault::Cut);
        check("--XX\r\nContent-Disposition: form-data\r\n\r\nb\r\n--XX--", Fault::Head);
        check("--XX\r\nContent-Disposition: form-data; name=\"a\r\n\r\nb\r\n--XX--", Fault::Head);
        check("--XX\r\nno header\r\n\r\nb\r\n--XX--", Fault::Head);
        check("--XX\r\n--XX--", Fault::Head);
        let field = "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n";
        check(&format!("{}--XX--", field.repeat(MOST_FIELDS + 1)), Fault::TooMany);
        let head = format!("X: {}\r\n", "y".repeat(100)).repeat(100);
        check(
            &format!("--XX\r\n{head}Content-Disposition: form-data; name=a\r\n\r\n\r\n--XX--"),
            Fault::Head,
        );
    }
}
