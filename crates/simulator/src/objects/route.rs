//! Which object is meant: the path of a request, taken apart.

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use crate::call::query;
use crate::objects::shelf::Page;

/// Where in the host a path lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// `/v1beta/…`
    Plain,
    /// `/upload/v1beta/…`
    Upload,
    /// `/download/v1beta/…`
    Download,
}

/// A path: `/upload/v1beta/fileSearchStores/s:uploadToFileSearchStore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) place: Place,
    pub(crate) version: &'static str,
    /// Its parts, decoded, the last one without its verb. The first is of [`KINDS`].
    pub(crate) path: Vec<String>,
    /// What follows the colon. Empty where nothing does.
    pub(crate) verb: &'static str,
}

/// The kinds of objects. `models` is for their operations.
const KINDS: &[&str] = &[
    "files",
    "cachedContents",
    "batches",
    "models",
    "operations",
    "fileSearchStores",
    "interactions",
    "agents",
    "environments",
    "credentials",
    "triggers",
    "webhooks",
    "voices",
    "corpora",
    "tunedModels",
    "decisions",
    "auth_tokens",
];

/// What can follow a colon.
const VERBS: &[&str] = &[
    "register",
    "download",
    "cancel",
    "updateGenerateContentBatch",
    "updateEmbedContentBatch",
    "uploadToFileSearchStore",
    "importFile",
    "ping",
    "rotateSigningSecret",
    "query",
    "batchCreate",
    "batchUpdate",
    "batchDelete",
    "generateContent",
    "streamGenerateContent",
    "countTokens",
    "transferOwnership",
    "run",
];

impl Route {
    /// Takes a path apart. None: it leads to no kind of object.
    pub(crate) fn read(uri: &Uri) -> Option<Self> {
        let path = uri.path().strip_prefix('/')?;
        let (place, path) = if let Some(path) = path.strip_prefix("upload/") {
            (Place::Upload, path)
        } else if let Some(path) = path.strip_prefix("download/") {
            (Place::Download, path)
        } else {
            (Place::Plain, path)
        };
        let (version, path) = path.split_once('/')?;
        let version = ["v1", "v1beta", "v1alpha"].into_iter().find(|known| *known == version)?;
        let decoded = path.split('/').map(|part| percent_decode_str(part).decode_utf8().map(Into::into));
        let mut path = decoded.collect::<Result<Vec<String>, _>>().ok()?;
        let last = path.last_mut()?;
        let mut verb = "";
        if let Some((name, after)) = last.rsplit_once(':')
            && let Some(known) = VERBS.iter().find(|known| **known == after)
        {
            verb = known;
            *last = name.to_owned();
        }
        let is_kind = KINDS.contains(&path[0].as_str()) && path.iter().all(|part| !part.is_empty());
        // What models do is no object; what they began is.
        let is_model = path[0] == "models" && path.get(2).is_none_or(|part| part != "operations");
        (is_kind && !is_model).then_some(Self { place, version, path, verb })
    }

    /// The parts, to match them.
    pub(crate) fn parts(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The full name, `files/abc`.
    pub(crate) fn name(&self) -> String {
        self.path.join("/")
    }

    /// Kind and method, as requests are counted: `("files", "create")`.
    pub(crate) fn counted(&self, method: &Method) -> (&'static str, &'static str) {
        let kind = KINDS.iter().find(|kind| **kind == self.path[0]).copied().unwrap_or("other");
        // Names lie at even places, collections at odd ones.
        let is_collection = self.path.len() % 2 == 1;
        let what = match (self.verb, self.place, method.as_str()) {
            ("", Place::Upload, _) => "upload",
            ("", _, "POST") if self.path.last().is_some_and(|last| last == "cancel") => "cancel",
            ("", _, "GET") if is_collection => "list",
            ("", _, "GET") => "get",
            ("", _, "POST") => "create",
            ("", _, "PATCH" | "PUT") => "update",
            ("", _, "DELETE") => "delete",
            ("", ..) => "other",
            (verb, ..) => verb,
        };
        (kind, what)
    }
}

/// The part of a list that a request wants. Google takes too large a size for the largest.
pub(crate) fn page(uri: &Uri, usual: usize, most: usize) -> Page {
    let size = query(uri, "pageSize").or_else(|| query(uri, "page_size"));
    let size = size.and_then(|size| size.parse::<usize>().ok()).filter(|size| *size > 0);
    let token = query(uri, "pageToken").or_else(|| query(uri, "page_token"));
    Page { size: size.unwrap_or(usual).min(most), token: token.unwrap_or_default().into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_objects() {
        let check = |path: &str, expected: Option<(Place, &str, &str)>| {
            let route = Route::read(&path.parse().expect("test paths are valid"));
            let found = route.as_ref().map(|route| (route.place, route.name(), route.verb));
            let expected = expected.map(|(place, name, verb)| (place, name.to_owned(), verb));
            assert_eq!(found, expected, "{path}");
        };
        check("/v1beta/files", Some((Place::Plain, "files", "")));
        check("/v1/files/a:download?alt=media", Some((Place::Plain, "files/a", "download")));
        check("/download/v1beta/files/a%3Adownload", Some((Place::Download, "files/a", "download")));
        check("/upload/v1alpha/files?upload_id=1", Some((Place::Upload, "files", "")));
        check("/v1beta/models/m/operations/o", Some((Place::Plain, "models/m/operations/o", "")));
        check(
            "/v1beta/environments/e/files/a:b.txt",
            Some((Place::Plain, "environments/e/files/a:b.txt", "")),
        );
        for path in
            ["/v2/files", "/v1beta/models/m", "/v1beta/models", "/v1beta/files/", "/v1beta/songs", "/"]
        {
            check(path, None);
        }
    }

    #[test]
    fn calls_are_counted_by_kind() {
        let check = |method: Method, path: &str, expected: (&str, &str)| {
            let route = Route::read(&path.parse().expect("test paths are valid")).expect("it is an object");
            assert_eq!(route.counted(&method), expected, "{path}");
        };
        check(Method::GET, "/v1beta/files", ("files", "list"));
        check(Method::GET, "/v1beta/files/a", ("files", "get"));
        check(Method::POST, "/upload/v1beta/files", ("files", "upload"));
        check(Method::POST, "/v1beta/interactions/a/cancel", ("interactions", "cancel"));
        check(Method::PATCH, "/v1beta/cachedContents/a", ("cachedContents", "update"));
    }
}
