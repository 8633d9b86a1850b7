//! OpenAI's batches on Gemini's.
//!
//! OpenAI's input is a file of requests in OpenAI's words. What was uploaded can never be read again, so it is
//! translated when it comes ([`input`]), and Gemini's file holds Gemini's requests. What comes of them is translated
//! when it is fetched ([`output`]). What has to be known of a batch meanwhile stands in display names, and what an answer's
//! translation has to know of its request stands beside the request's id ([`key`]): nothing is kept here.

pub(super) mod input;
mod key;
pub(super) mod output;
mod wanted;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) use self::wanted::Wanted;
use super::files::{ERRORS, FileId, Int64, Status, seconds};
use crate::error::{Error, Kind};

/// Google ends a batch after two days.
const LONGEST_JOB: u64 = 48 * 60 * 60;

/// Where the requests of a batch would go if they were sent one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/responses`
    Responses,
    /// `/v1/embeddings`
    Embeddings,
}

/// A batch as Gemini shows it.
#[derive(Debug, Deserialize)]
pub(super) struct GeminiBatch {
    name: String,
    #[serde(default)]
    metadata: Metadata,
    error: Option<Status>,
    response: Option<Output>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(rename = "@type", default)]
    kind: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    create_time: String,
    #[serde(default)]
    end_time: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    batch_stats: Stats,
    output: Option<Output>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    #[serde(default)]
    request_count: Int64,
    #[serde(default)]
    successful_request_count: Int64,
    #[serde(default)]
    failed_request_count: Int64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    responses_file: Option<String>,
}

/// A batch in OpenAI's words.
#[derive(Debug, Serialize)]
struct BatchObject<'a> {
    id: String,
    object: &'static str,
    endpoint: &'static str,
    model: &'a str,
    errors: Option<Errors<'a>>,
    input_file_id: &'a str,
    completion_window: &'static str,
    status: &'static str,
    output_file_id: Option<String>,
    error_file_id: Option<String>,
    created_at: u64,
    in_progress_at: Option<u64>,
    expires_at: u64,
    finalizing_at: Option<u64>,
    completed_at: Option<u64>,
    failed_at: Option<u64>,
    expired_at: Option<u64>,
    cancelling_at: Option<u64>,
    cancelled_at: Option<u64>,
    request_counts: Counts,
    metadata: Option<&'a RawValue>,
}

#[derive(Debug, Serialize)]
struct Errors<'a> {
    object: &'static str,
    data: [BatchError<'a>; 1],
}

#[derive(Debug, Serialize)]
struct BatchError<'a> {
    code: String,
    message: &'a str,
    param: Option<&'a str>,
    line: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Counts {
    total: u64,
    completed: u64,
    failed: u64,
}

impl Target {
    const ALL: [Self; 3] = [Self::Chat, Self::Responses, Self::Embeddings];

    /// As OpenAI has it.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    /// As it stands in display names.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
        }
    }

    fn of_path(path: &str) -> Option<Self> {
        let path = path.trim_start_matches('/');
        let path = path.strip_prefix("v1/").unwrap_or(path);
        Self::ALL.into_iter().find(|target| target.path()["/v1/".len()..] == *path)
    }

    pub(super) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.word() == word)
    }

    /// Gemini's method on the model.
    const fn method(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses => "batchGenerateContent",
            Self::Embeddings => "asyncBatchEmbedContent",
        }
    }

    /// All of them, for errors.
    fn known() -> String {
        Self::ALL.map(|target| format!("'{}'", target.path())).join(", ")
    }
}

/// Gemini's name of a batch, from the id that clients have.
pub(super) fn name(id: &str) -> Option<&str> {
    let last = id.strip_prefix("batch_").or_else(|| id.strip_prefix("batches/"))?;
    let is_geminis = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (!last.is_empty() && last.bytes().all(is_geminis)).then_some(last)
}

/// There is no such batch for this client.
pub(super) fn no_batch(id: &str) -> Error {
    let id: String = id.chars().filter(|char| !char.is_control()).take(100).collect();
    let message = format!("No batch found with id '{id}'.");
    Error { param: Some("batch_id".to_owned()), ..Error::new(Kind::NotFound, message) }
}

impl GeminiBatch {
    /// The model of its requests, without its collection.
    pub(super) fn model(&self) -> &str {
        self.metadata.model.strip_prefix("models/").unwrap_or(&self.metadata.model)
    }

    /// The file of what came of it.
    fn responses_file(&self) -> Option<&str> {
        let outputs = [&self.metadata.output, &self.response];
        outputs.into_iter().flatten().find_map(|output| output.responses_file.as_deref())
    }

    /// When it was made, in Google's words.
    pub(super) fn create_time(&self) -> &str {
        &self.metadata.create_time
    }

    /// When it ended, in seconds since 1970; when it was made, where that is not known.
    pub(super) fn ended(&self) -> u64 {
        let metadata = &self.metadata;
        seconds(&metadata.end_time).or_else(|| seconds(&metadata.create_time)).unwrap_or_default()
    }

    /// As clients have it.
    pub(super) fn id(&self) -> String {
        format!("batch_{}", self.name.strip_prefix("batches/").unwrap_or(&self.name))
    }

    /// Where its requests would have gone, the file that they came in, and metadata.
    fn label(&self) -> (Target, &str, Option<&RawValue>) {
        let mut words = self.metadata.display_name.splitn(3, ' ');
        let target = words.next().filter(|path| path.starts_with("/v1/")).and_then(Target::of_path);
        if let (Some(target), Some(file)) = (target, words.next()) {
            let metadata = words.next().and_then(|rest| serde_json::from_str(rest).ok());
            return (target, file, metadata);
        }
        // It was made in Gemini's words.
        let embeds = self.metadata.kind.ends_with("EmbedContentBatch");
        (if embeds { Target::Embeddings } else { Target::Chat }, "", None)
    }

    /// In OpenAI's words. `cancelled`: the client has asked for its end a moment ago.
    pub(super) fn object(&self, cancelled: bool) -> Bytes {
        let metadata = &self.metadata;
        let (target, input, own) = self.label();
        let state = metadata.state.rsplit("STATE_").next().unwrap_or_default();
        let file = self.responses_file().map(FileId::write);
        let status = match (state, &file) {
            // Google says that it has succeeded some time before it shows what has come of it.
            ("SUCCEEDED", None) if self.response.is_none() && metadata.output.is_none() => "finalizing",
            ("SUCCEEDED", _) => "completed",
            ("FAILED", _) => "failed",
            ("CANCELLED", _) => "cancelled",
            ("EXPIRED", _) => "expired",
            _ if cancelled => "cancelling",
            ("RUNNING", _) => "in_progress",
            _ => "validating",
        };
        let created = seconds(&metadata.create_time).unwrap_or_default();
        let ended = |wanted: &str| (status == wanted).then(|| self.ended());
        let counts = &metadata.batch_stats;
        let failed = counts.failed_request_count.0;
        let object = BatchObject {
            id: self.id(),
            object: "batch",
            endpoint: target.path(),
            model: self.model(),
            errors: self.error.as_ref().filter(|_| status == "failed").map(|error| Errors {
                object: "list",
                data: [BatchError {
                    code: error.code.to_string(),
                    message: &error.message,
                    param: None,
                    line: None,
                }],
            }),
            input_file_id: input,
            completion_window: "24h",
            status,
            error_file_id: file.as_ref().filter(|_| failed > 0).map(|file| format!("{file}{ERRORS}")),
            output_file_id: file,
            created_at: created,
            in_progress_at: None,
            expires_at: created + LONGEST_JOB,
            finalizing_at: None,
            completed_at: ended("completed"),
            failed_at: ended("failed"),
            expired_at: ended("expired"),
            cancelling_at: None,
            cancelled_at: ended("cancelled"),
            request_counts: Counts {
                total: counts.request_count.0,
                completed: counts.successful_request_count.0,
                failed,
            },
            metadata: own,
        };
        serde_json::to_vec(&object).expect("strings, numbers and JSON can be written").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_openais_names() {
        let check = |state: &str, more: &str, cancelled: bool, expected: &str| {
            let text = format!(r#"{{"name":"batches/b","metadata":{{"state":"{state}"{more}}}}}"#);
            let batch: GeminiBatch = serde_json::from_str(&text).expect("a batch");
            let object: serde_json::Value = serde_json::from_slice(&batch.object(cancelled)).expect("JSON");
            assert_eq!(object["status"], expected, "{text}");
            assert_eq!(object["id"], "batch_b");
        };
        check("BATCH_STATE_PENDING", "", false, "validating");
        check("BATCH_STATE_UNSPECIFIED", "", false, "validating");
        check("BATCH_STATE_RUNNING", "", false, "in_progress");
        check("JOB_STATE_RUNNING", "", false, "in_progress");
        check("BATCH_STATE_RUNNING", "", true, "cancelling");
        check("BATCH_STATE_CANCELLED", "", true, "cancelled");
        check("BATCH_STATE_SUCCEEDED", "", false, "finalizing");
        check("BATCH_STATE_SUCCEEDED", r#","output":{"responsesFile":"files/batch-b"}"#, true, "completed");
        check("BATCH_STATE_SUCCEEDED", r#","output":{"inlinedResponses":{}}"#, false, "completed");
        check("BATCH_STATE_FAILED", "", false, "failed");
        check("BATCH_STATE_EXPIRED", "", false, "expired");
    }
}
