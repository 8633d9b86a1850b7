//! Files: uploaded with one key, seen with all keys of its project, and with no others.
//!
//! As much of Google's files as shows whose a file is: upload in one request, look, delete. No file is kept for its
//! contents, and none can be named in a prompt.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::clock::UnixMillis;
use crate::errors::{Form, GoogleError};
use crate::plan::{JSON, Plan, Reply};
use crate::simulator::ProjectId;

/// So many files are remembered; the oldest make room.
const MOST_FILES: usize = 1024;

/// Google deletes files after two days.
const KEPT: UnixMillis = 48 * 3_600_000;

/// What is asked of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileCall<'a> {
    Upload,
    Get(&'a str),
    Delete(&'a str),
}

/// The files that there are, by their names' last parts.
#[derive(Debug, Default)]
pub(crate) struct Files {
    files: BTreeMap<String, File>,
    uploaded: u64,
}

#[derive(Debug)]
struct File {
    project: ProjectId,
    bytes: usize,
    until: UnixMillis,
}

impl<'a> FileCall<'a> {
    /// Reads method and path. None: it is about something else.
    pub(crate) fn read<T>(request: &'a Request<T>) -> Option<Self> {
        let path = request.uri().path().strip_prefix('/')?;
        let (version, rest) = match path.strip_prefix("upload/") {
            Some(upload) => upload.split_once('/').map(|(version, rest)| (version, Err(rest)))?,
            None => path.split_once('/').map(|(version, rest)| (version, Ok(rest)))?,
        };
        if !["v1", "v1beta", "v1alpha"].contains(&version) {
            return None;
        }
        match (request.method(), rest) {
            (&Method::POST, Err("files")) => Some(Self::Upload),
            (&Method::GET, Ok(rest)) => rest.strip_prefix("files/").map(Self::Get),
            (&Method::DELETE, Ok(rest)) => rest.strip_prefix("files/").map(Self::Delete),
            _ => None,
        }
    }
}

impl Files {
    /// The answer to a call with a key of this project.
    pub(crate) fn answer(
        &mut self,
        call: FileCall<'_>,
        body: &Bytes,
        project: ProjectId,
        now: UnixMillis,
    ) -> Plan {
        self.files.retain(|_, file| file.until > now);
        let answer = match call {
            FileCall::Upload => {
                self.uploaded += 1;
                if self.files.len() >= MOST_FILES {
                    self.files.pop_first();
                }
                // Names grow, so that the first one is the oldest.
                let name = format!("simulated{:012}", self.uploaded);
                let file = File { project, bytes: body.len(), until: now + KEPT };
                let shown = json!({ "file": shown(&name, &file) });
                self.files.insert(name, file);
                Ok(shown)
            }
            FileCall::Get(name) => self.of(project, name).map(|file| shown(name, file)),
            FileCall::Delete(name) => self.of(project, name).map(|_| json!({})).inspect(|_| {
                self.files.remove(name);
            }),
        };
        Plan::Answer(match answer {
            Ok(answer) => Reply::whole(200, JSON, answer.to_string()),
            Err(error) => Reply::error(&error, Form::Single),
        })
    }

    /// How many files there are.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    fn of(&self, project: ProjectId, name: &str) -> Result<&File, GoogleError> {
        let file = self.files.get(name).filter(|file| file.project == project);
        file.ok_or_else(|| GoogleError::foreign_file(name))
    }
}

fn shown(name: &str, file: &File) -> Value {
    json!({
        "name": format!("files/{name}"),
        "mimeType": "text/plain",
        "sizeBytes": file.bytes.to_string(),
        "uri": format!("https://generativelanguage.googleapis.com/v1beta/files/{name}"),
        "state": "ACTIVE",
        "source": "UPLOADED",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_seen_by_their_project_alone() {
        let mut files = Files::default();
        let (own, other) = (ProjectId::Configured(0), ProjectId::Configured(1));
        let status = |plan: Plan| match plan {
            Plan::Answer(reply) => reply.status,
            _ => 0,
        };
        let body = Bytes::from_static(b"text");
        assert_eq!(status(files.answer(FileCall::Upload, &body, own, 0)), 200);
        let name = "simulated000000000001";
        let mut check = |call, project, now, expected| {
            assert_eq!(status(files.answer(call, &body, project, now)), expected, "{call:?}");
        };
        check(FileCall::Get(name), own, 1, 200);
        check(FileCall::Get(name), other, 1, 403);
        check(FileCall::Delete(name), other, 1, 403);
        check(FileCall::Delete(name), own, 1, 200);
        check(FileCall::Get(name), own, 1, 403);
        check(FileCall::Upload, own, 2, 200);
        check(FileCall::Get("simulated000000000002"), own, 2 + KEPT, 403);
    }

    #[test]
    fn paths_say_what_is_asked() {
        let check = |method: Method, path: &str, expected: Option<FileCall<'_>>| {
            let request = Request::builder().method(method).uri(path).body(()).expect("a request");
            assert_eq!(FileCall::read(&request), expected, "{path}");
        };
        check(Method::POST, "/upload/v1beta/files?uploadType=multipart", Some(FileCall::Upload));
        check(Method::GET, "/v1beta/files/a", Some(FileCall::Get("a")));
        check(Method::DELETE, "/v1/files/a", Some(FileCall::Delete("a")));
        check(Method::POST, "/v1beta/files", None);
        check(Method::GET, "/v2/files/a", None);
        check(Method::GET, "/v1beta/models/a", None);
    }
}
