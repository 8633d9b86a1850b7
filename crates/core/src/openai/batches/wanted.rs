//! A request to make a batch.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;

use super::Target;
use crate::error::Error;
use crate::fields;
use crate::openai::files::{FileId, LONGEST_LABEL};

/// OpenAI's bounds on metadata.
const MOST_METADATA: usize = 16;

/// A request to make a batch.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// As the client has written it.
    pub(in crate::openai) input: String,
    pub(in crate::openai) file: FileId,
    pub(in crate::openai) target: Target,
    /// JSON; none where there is none.
    metadata: Option<String>,
}

impl Wanted {
    /// Reads a body.
    ///
    /// # Errors
    /// 400, with the field at fault.
    pub(in crate::openai) fn read(body: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Fields {
            input_file_id: Option<String>,
            endpoint: Option<String>,
            completion_window: Option<String>,
            metadata: Option<BTreeMap<String, String>>,
        }
        let fields: Fields = fields::parse(body)?;
        let missing = |name: &str| Error::bad_request(format!("Missing required parameter: '{name}'."), name);
        let input = fields.input_file_id.ok_or_else(|| missing("input_file_id"))?;
        let Some(file) = FileId::read(&input).filter(|file| !file.errors) else {
            let message = "Invalid 'input_file_id': expected the id of a file that was uploaded here, as in 'file-abc-123'.";
            return Err(Error::bad_request(message, "input_file_id"));
        };
        let endpoint = fields.endpoint.ok_or_else(|| missing("endpoint"))?;
        let Some(target) = Target::of_path(&endpoint) else {
            let message = format!("Invalid value for 'endpoint'. Supported values are: {}.", Target::known());
            return Err(Error::bad_request(message, "endpoint"));
        };
        if fields.completion_window.is_some_and(|window| window != "24h") {
            let message = "Invalid value for 'completion_window'. Supported values are: '24h'.";
            return Err(Error::bad_request(message, "completion_window"));
        }
        let metadata = fields.metadata.filter(|metadata| !metadata.is_empty());
        if metadata.as_ref().is_some_and(|metadata| metadata.len() > MOST_METADATA) {
            let message = format!("'metadata' may have at most {MOST_METADATA} pairs.");
            return Err(Error::bad_request(message, "metadata"));
        }
        let metadata =
            metadata.map(|metadata| serde_json::to_string(&metadata).expect("strings can be written"));
        let wanted = Self { input, file, target, metadata };
        if wanted.label().chars().count() > LONGEST_LABEL {
            let message = format!(
                "'metadata' is too long: Gemini keeps it in a batch's display name, which has at most \
                 {LONGEST_LABEL} characters in all. metadata 过长。"
            );
            return Err(Error::bad_request(message, "metadata"));
        }
        Ok(wanted)
    }

    /// The batch's display name: `/v1/responses file-abc {"customer":"7"}`.
    fn label(&self) -> String {
        let (path, file) = (self.target.path(), FileId::write(&self.file.name));
        match &self.metadata {
            Some(metadata) => format!("{path} {file} {metadata}"),
            None => format!("{path} {file}"),
        }
    }

    /// The method on the model, and the body for it.
    pub(in crate::openai) fn to_gemini(&self) -> (&'static str, Bytes) {
        let body = serde_json::json!({ "batch": {
            "displayName": self.label(),
            "inputConfig": { "fileName": self.file.name },
        } });
        (self.target.method(), body.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::openai::batches::GeminiBatch;

    fn wanted(body: &str) -> Result<Wanted, (Option<String>, String)> {
        Wanted::read(body.as_bytes()).map_err(|error| (error.param, error.message))
    }

    #[test]
    fn what_is_asked_comes_back_from_geminis_display_name() {
        let check = |body: &str, expected: &str| {
            let wanted = wanted(body).expect("a batch");
            let (_, body) = wanted.to_gemini();
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(body["batch"]["displayName"], expected);
            assert_eq!(body["batch"]["inputConfig"]["fileName"], "files/abc");
            let gemini = serde_json::json!({
                "name": "batches/x", "metadata": { "displayName": expected, "state": "BATCH_STATE_PENDING" },
            });
            let batch: GeminiBatch = serde_json::from_value(gemini).expect("a batch");
            let (target, file, metadata) = batch.label();
            assert_eq!((target, file), (wanted.target, "file-abc"));
            assert_eq!(metadata.map(RawValue::get), wanted.metadata.as_deref());
        };
        check(r#"{"input_file_id":"file-abc","endpoint":"/v1/responses"}"#, "/v1/responses file-abc");
        check(
            r#"{"input_file_id":"files/abc","endpoint":"/v1/embeddings","completion_window":"24h","metadata":{"b":"x y","a":"1"}}"#,
            r#"/v1/embeddings file-abc {"a":"1","b":"x y"}"#,
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |body: &str, param: &str| {
            assert_eq!(wanted(body).expect_err(body).0.as_deref(), Some(param), "{body}");
        };
        check(r#"{"endpoint":"/v1/responses"}"#, "input_file_id");
        check(r#"{"input_file_id":"file-ABC","endpoint":"/v1/responses"}"#, "input_file_id");
        check(r#"{"input_file_id":"file-a_errors","endpoint":"/v1/responses"}"#, "input_file_id");
        check(r#"{"input_file_id":"file-a"}"#, "endpoint");
        check(r#"{"input_file_id":"file-a","endpoint":"/v1/completions"}"#, "endpoint");
        check(
            r#"{"input_file_id":"file-a","endpoint":"/v1/responses","completion_window":"1h"}"#,
            "completion_window",
        );
        check(r#"{"input_file_id":"file-a","endpoint":"/v1/responses","metadata":{"a":1}}"#, "metadata.a");
        let long = format!(
            r#"{{"input_file_id":"file-a","endpoint":"/v1/responses","metadata":{{"a":"{}"}}}}"#,
            "x".repeat(512)
        );
        check(&long, "metadata");
    }
}
