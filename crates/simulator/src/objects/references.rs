//! What a request names of other objects, in whatever place.

use serde_json::Value;

use crate::clock::UnixMillis;
use crate::errors::GoogleError;
use crate::json::{field, list, text};
use crate::objects::Objects;
use crate::simulator::ProjectId;

/// The files that a request quotes, `files/abc`, in the order of the request. Addresses of anything else are left out.
pub(crate) fn files(request: &Value) -> Vec<String> {
    let contents = list(request, "contents").iter();
    let singles = ["systemInstruction", "content"].into_iter().filter_map(|name| field(request, name));
    contents
        .chain(singles)
        .flat_map(|content| list(content, "parts"))
        .flat_map(|part| {
            let answer = field(part, "functionResponse").unwrap_or(&Value::Null);
            std::iter::once(part).chain(list(answer, "parts"))
        })
        .filter_map(|part| file_of(text(field(part, "fileData")?, "fileUri")))
        .collect()
}

/// The name in a file's address, `https://any.host/v1beta/files/abc`, or the name itself. None: it leads elsewhere.
pub(crate) fn file_of(uri: &str) -> Option<String> {
    let uri = uri.split(['?', '#']).next().unwrap_or_default();
    let path = match uri.split_once("://") {
        Some(("http" | "https", rest)) => {
            let (_, path) = rest.split_once('/')?;
            let (version, path) = path.trim_start_matches("download/").split_once('/')?;
            ["v1", "v1beta", "v1alpha"].contains(&version).then_some(path)?
        }
        Some(_) => return None,
        None => uri,
    };
    let id = path.strip_prefix("files/")?;
    let id = id.strip_suffix(":download").unwrap_or(id);
    (!id.is_empty() && !id.contains('/')).then(|| format!("files/{id}"))
}

/// Whether a body may name an object, without reading it.
pub(crate) fn may_be_in(body: &[u8]) -> bool {
    [&b"fileUri"[..], b"file_uri", b"achedContent", b"ached_content", b"fileSearch", b"file_search"]
        .into_iter()
        .any(|name| memchr::memmem::find(body, name).is_some())
}

impl Objects {
    /// Refuses a request to a model that names what is not the project's. Gives the tokens that a cache brings.
    pub(crate) fn check_references(
        &self,
        request: &Value,
        model: &str,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<u64, GoogleError> {
        for name in files(request) {
            self.files.active(project, &name, now)?;
        }
        self.check_stores(request, project, now)?;
        self.caches.tokens(request, model, project, now)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_of_files() {
        let check = |uri: &str, expected: Option<&str>| {
            assert_eq!(file_of(uri).as_deref(), expected, "{uri}");
        };
        check("https://generativelanguage.googleapis.com/v1beta/files/abc", Some("files/abc"));
        check("http://127.0.0.1:8080/v1/files/abc", Some("files/abc"));
        check("https://any.host/v1alpha/files/abc:download?alt=media", Some("files/abc"));
        check("files/abc", Some("files/abc"));
        for elsewhere in [
            "https://www.youtube.com/watch?v=abc",
            "https://example.com/files/abc",
            "https://example.com/v1beta/files/a/b",
            "gs://bucket/files/abc",
            "gs://bucket/v1beta/files/abc",
            "",
        ] {
            check(elsewhere, None);
        }
    }

    #[test]
    fn files_are_found_wherever_they_are() {
        let data = |id: &str| json!({ "fileUri": format!("https://host/v1beta/files/{id}") });
        let request = json!({
            "contents": [
                { "parts": [{ "fileData": data("a") }, { "text": "files/none" }] },
                { "parts": [{ "functionResponse": {
                    "response": { "fileData": data("no") },
                    "parts": [{ "file_data": { "file_uri": "files/b" } }],
                } }] },
                { "parts": [{ "functionCall": { "args": { "fileData": data("no") } } }] },
            ],
            "system_instruction": { "parts": [{ "fileData": data("c") }] },
        });
        assert_eq!(files(&request), ["files/a", "files/b", "files/c"]);
    }
}
