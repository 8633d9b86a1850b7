//! OpenAI's files on Gemini's Files API: what a client uploads, and what a file of Gemini's is in OpenAI's words.
//!
//! Gemini keeps a file's display name and nothing else of what its maker says of it. So that is where OpenAI's purpose
//! stands ([`Label`]), readable for people, and enough to know a file again after any restart.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::batches::Target;
use super::form::Form;
use crate::error::{Error, Kind};
use crate::gemini::media::file_name;
use crate::gemini::media_type;
use crate::gemini::remote::Accepts;

/// Google's bound on a file's display name, in characters.
pub(super) const LONGEST_LABEL: usize = 512;

/// What a file can be for. OpenAI has further purposes for files that it makes itself.
const PURPOSES: [&str; 6] = ["assistants", "batch", "evals", "fine-tune", "user_data", "vision"];

/// What a file is for that says nothing else of it: its display name is its name.
const USUAL: &str = "user_data";

/// Behind the id of a batch's output: only the requests that failed. No id of Gemini's has such a character.
pub(super) const ERRORS: &str = "_errors";

/// How Google names what comes of a batch: `files/batch-{id of the batch}`.
const OF_BATCH: &str = "files/batch-";

/// The id of a file, as clients of OpenAI's API have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileId {
    /// `files/abc`
    pub(super) name: String,
    /// Of a batch's output: the requests that failed.
    pub(super) errors: bool,
}

/// A file that a client has sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) purpose: &'static str,
    pub(super) name: String,
    pub(super) mime_type: Cow<'static, str>,
    pub(super) data: Bytes,
}

/// What the display name of a file says of it.
///
/// `notes.txt` is for anything, `vision/cat.png` for what stands before the slash, and
/// `batch/chat/gemini-2.5-flash/input.jsonl` holds requests to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label<'a> {
    pub(super) purpose: &'a str,
    /// Of a batch's input: the endpoint and the model of its requests.
    pub(super) batch: Option<(Target, &'a str)>,
    pub(super) name: &'a str,
}

/// A file as Gemini shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GeminiFile {
    pub(super) name: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    mime_type: String,
    #[serde(default)]
    size_bytes: Int64,
    #[serde(default)]
    pub(super) create_time: String,
    #[serde(default)]
    expiration_time: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    source: String,
    error: Option<Status>,
}

/// Why something has failed, in Google's words.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Status {
    #[serde(default)]
    pub(super) code: i32,
    #[serde(default)]
    pub(super) message: String,
}

/// A number that Google writes as a string, as 64 bits are more than JavaScript counts.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(from = "Written")]
pub(super) struct Int64(pub(super) u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Number(u64),
}

/// A file in OpenAI's words.
#[derive(Debug, Serialize)]
pub(super) struct FileObject<'a> {
    pub(super) id: String,
    pub(super) object: &'static str,
    pub(super) bytes: u64,
    pub(super) created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<u64>,
    pub(super) filename: Cow<'a, str>,
    pub(super) purpose: &'a str,
    pub(super) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status_details: Option<&'a str>,
}

impl FileId {
    /// Reads an id: `file-abc`, or `files/abc` as Gemini has it.
    pub(super) fn read(id: &str) -> Option<Self> {
        let (plain, errors) = id.strip_suffix(ERRORS).map_or((id, false), |plain| (plain, true));
        Some(Self { name: file_name(plain)?.into_owned(), errors })
    }

    /// As clients have it.
    pub(super) fn write(name: &str) -> String {
        format!("file-{}", name.strip_prefix("files/").unwrap_or(name))
    }

    /// The last part of Gemini's name.
    pub(super) fn last(&self) -> &str {
        self.name.strip_prefix("files/").unwrap_or(&self.name)
    }

    /// The batch whose output it is, where its name says so. Google refuses to show such files, as their names are
    /// longer than it takes; it does give their bytes.
    pub(super) fn batch(&self) -> Option<&str> {
        self.name.strip_prefix(OF_BATCH)
    }
}

/// There is no such file for this client.
pub(super) fn no_file(id: &str) -> Error {
    let id: String = id.chars().filter(|char| !char.is_control()).take(100).collect();
    Error { param: Some("id".to_owned()), ..Error::new(Kind::NotFound, format!("No such File object: {id}")) }
}

impl Sent {
    /// Reads a form.
    ///
    /// # Errors
    /// 400, with the field at fault.
    pub(super) fn read(body: &Bytes, content_type: &str) -> Result<Self, Error> {
        let Some(form) = Form::read(body, content_type)? else {
            let message = "Invalid body: expected a form (multipart/form-data) with a file.";
            return Err(Error::bad_request(message, "file"));
        };
        let Some(asked) = form.text("purpose")? else {
            return Err(Error::bad_request("Missing required parameter: 'purpose'.", "purpose"));
        };
        let Some(purpose) = PURPOSES.into_iter().find(|known| *known == asked) else {
            let known = PURPOSES.map(|purpose| format!("'{purpose}'")).join(", ");
            let message = format!("Invalid value for 'purpose'. Supported values are: {known}.");
            return Err(Error::bad_request(message, "purpose"));
        };
        let Some((name, declared, data)) = form.raw("file") else {
            return Err(Error::bad_request("Missing required parameter: 'file'.", "file"));
        };
        if data.is_empty() {
            return Err(Error::bad_request("Invalid file 'file': it is empty.", "file"));
        }
        let name = plain_name(name.unwrap_or_default());
        let mime_type = match media_type::of(declared, &name, &data, Accepts::Documents) {
            _ if purpose == "batch" => Cow::Borrowed("application/jsonl"),
            Ok(known) => Cow::Borrowed(known),
            // Whether it is of any use is for Google to say.
            Err(_) => match declared.map(str::trim).filter(|declared| is_media_type(declared)) {
                Some(declared) if declared != "application/octet-stream" => Cow::Owned(declared.to_owned()),
                _ if std::str::from_utf8(&data).is_ok() => Cow::Borrowed("text/plain"),
                _ => Cow::Borrowed("application/octet-stream"),
            },
        };
        Ok(Self { purpose, name, mime_type, data })
    }

    /// The display name of a file that holds no requests.
    pub(super) fn label(&self) -> String {
        Label { purpose: self.purpose, batch: None, name: &self.name }.write()
    }
}

/// A name without folders, and without what no name of a file has.
fn plain_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let last: String = last.chars().filter(|char| !char.is_control()).collect();
    if last.trim().is_empty() { "file".to_owned() } else { last }
}

fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-_".contains(&byte))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

impl<'a> Label<'a> {
    /// The display name. A file's name that is too long for it loses its beginning: the end says what it is.
    pub(super) fn write(&self) -> String {
        let mut label = match self.batch {
            Some((target, model)) => format!("batch/{}/{model}/", target.word()),
            None if self.purpose == USUAL => String::new(),
            None => format!("{}/", self.purpose),
        };
        let room = LONGEST_LABEL.saturating_sub(label.chars().count());
        let over = self.name.chars().count().saturating_sub(room);
        label.extend(self.name.chars().skip(over));
        label
    }

    /// Reads a display name, whoever has given it.
    pub(super) fn read(label: &'a str) -> Self {
        let plain = Self { purpose: USUAL, batch: None, name: label };
        let Some((first, rest)) = label.split_once('/') else { return plain };
        let Some(purpose) = PURPOSES.into_iter().find(|known| *known == first) else { return plain };
        let batch = || {
            let (target, rest) = rest.split_once('/')?;
            let (model, name) = rest.rsplit_once('/').filter(|(model, _)| !model.is_empty())?;
            Some(Self { purpose, batch: Some((Target::of_word(target)?, model)), name })
        };
        if purpose == "batch"
            && let Some(batch) = batch()
        {
            return batch;
        }
        Self { purpose, batch: None, name: rest }
    }
}

impl GeminiFile {
    pub(super) fn label(&self) -> Label<'_> {
        Label::read(&self.display_name)
    }

    /// Whether a client has sent it. Google gives the bytes only of what it has made itself.
    pub(super) fn was_sent(&self) -> bool {
        self.source != "GENERATED"
    }

    /// In OpenAI's words.
    pub(super) fn object(&self) -> FileObject<'_> {
        let label = self.label();
        let (purpose, filename) = match self.was_sent() {
            true => (label.purpose, Cow::Borrowed(label.name)),
            false if self.mime_type.contains("json") => {
                ("batch_output", Cow::Owned(self.made_name(".jsonl")))
            }
            false => ("assistants_output", Cow::Owned(self.made_name(""))),
        };
        FileObject {
            id: FileId::write(&self.name),
            object: "file",
            bytes: self.size_bytes.0,
            created_at: seconds(&self.create_time).unwrap_or_default(),
            expires_at: seconds(&self.expiration_time),
            filename,
            purpose,
            status: match self.state.as_str() {
                "PROCESSING" => "uploaded",
                "FAILED" => "error",
                _ => "processed",
            },
            status_details: self.error.as_ref().map(|error| error.message.as_str()),
        }
    }

    /// What Google makes has no name for people.
    fn made_name(&self, ending: &str) -> String {
        match self.display_name.as_str() {
            "" => format!("{}{ending}", FileId::write(&self.name)),
            name => name.to_owned(),
        }
    }
}

impl FileObject<'_> {
    pub(super) fn write(&self) -> Bytes {
        serde_json::to_vec(self).expect("strings and numbers can be written").into()
    }
}

impl From<Written> for Int64 {
    fn from(written: Written) -> Self {
        match written {
            Written::Text(text) => Self(text.parse().unwrap_or_default()),
            Written::Number(number) => Self(number),
        }
    }
}

/// A time in Google's words (RFC 3339), in seconds since 1970.
pub(super) fn seconds(time: &str) -> Option<u64> {
    u64::try_from(time.parse::<jiff::Timestamp>().ok()?.as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_were_written() {
        let check = |label: Label<'_>, expected: &str| {
            assert_eq!(label.write(), expected);
            assert_eq!(Label::read(expected), label);
        };
        check(Label { purpose: "user_data", batch: None, name: "notes (1).txt" }, "notes (1).txt");
        check(Label { purpose: "vision", batch: None, name: "cat.png" }, "vision/cat.png");
        check(Label { purpose: "batch", batch: None, name: "a.jsonl" }, "batch/a.jsonl");
        let batch = Some((Target::Responses, "gemini-2.5-flash"));
        check(Label { purpose: "batch", batch, name: "a.jsonl" }, "batch/responses/gemini-2.5-flash/a.jsonl");
        let tuned = Some((Target::Chat, "tunedModels/t"));
        check(Label { purpose: "batch", batch: tuned, name: "a" }, "batch/chat/tunedModels/t/a");
        for others in ["", "a/b", "/", "batches/a", "2026/01/a.txt"] {
            assert_eq!(Label::read(others), Label { purpose: "user_data", batch: None, name: others });
        }
        let long = format!("{}.pdf", "é".repeat(600));
        let label = Label { purpose: "assistants", batch: None, name: &long }.write();
        assert_eq!(label.chars().count(), LONGEST_LABEL);
        assert!(label.starts_with("assistants/é") && label.ends_with(".pdf"));
    }

    #[test]
    fn ids_stand_for_names() {
        let check = |id: &str, expected: Option<(&str, bool)>| {
            let read = FileId::read(id);
            assert_eq!(read.as_ref().map(|id| (id.name.as_str(), id.errors)), expected, "{id}");
        };
        check("file-abc-1", Some(("files/abc-1", false)));
        check("files/abc", Some(("files/abc", false)));
        check("file-batch-xyz_errors", Some(("files/batch-xyz", true)));
        check("file-AbC", None);
        check("file-", None);
        check("file-_errors", None);
        check("abc", None);
        check("", None);
        assert_eq!(FileId::read("file-batch-xyz").expect("an id").batch(), Some("xyz"));
    }

    #[test]
    fn names_lose_their_folders() {
        for (name, expected) in [
            ("a.txt", "a.txt"),
            ("../b/a.txt", "a.txt"),
            (r"c:\d\a.txt", "a.txt"),
            ("", "file"),
            ("a/", "file"),
        ] {
            assert_eq!(plain_name(name), expected);
        }
    }

    #[test]
    fn times_are_read() {
        assert_eq!(seconds("2026-08-19T14:34:12.267870162Z"), Some(1_787_150_052));
        assert_eq!(seconds("yesterday"), None);
    }
}
