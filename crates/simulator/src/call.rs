//! What is asked, by whom: path, query and credential of a request.

use std::borrow::Cow;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;

use crate::errors::{Form, GoogleError};
use crate::models::Model;

/// A call of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// `v1`, `v1beta` or `v1alpha`.
    pub(crate) version: &'static str,
    /// The model, without `models/`. Empty for the list.
    pub(crate) model: String,
    pub(crate) operation: Operation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    ListModels,
    GetModel,
    Generate,
    Stream(Form),
    CountTokens,
    Embed,
    BatchEmbed,
    BatchGenerate,
    AsyncBatchEmbed,
    PredictLongRunning,
    Predict,
    GenerateAnswer,
}

impl Call {
    /// Reads method and path. None: Google has nothing there.
    pub(crate) fn read(method: &Method, uri: &Uri) -> Option<Self> {
        let path = percent_decode_str(uri.path()).decode_utf8().ok()?;
        let (version, rest) = path.strip_prefix('/')?.split_once('/')?;
        let version = ["v1", "v1beta", "v1alpha"].into_iter().find(|known| *known == version)?;
        if rest == "models" {
            return (method == Method::GET).then(|| Self {
                version,
                model: String::new(),
                operation: Operation::ListModels,
            });
        }
        let name = rest.strip_prefix("models/").filter(|name| !name.is_empty() && !name.contains('/'))?;
        let (model, operation) = match name.split_once(':') {
            None => (name, Operation::GetModel),
            Some((model, verb)) => (model, Operation::of_verb(verb, uri)?),
        };
        let expected = if operation == Operation::GetModel { Method::GET } else { Method::POST };
        (method == expected).then(|| Self { version, model: model.to_owned(), operation })
    }

    /// Model and method, as requests are counted. The list of models has no model.
    pub(crate) fn counted(&self) -> (&'static str, &'static str) {
        let model = Model::named(&self.model).map_or("other", |model| model.id);
        (if self.model.is_empty() { "models" } else { model }, self.operation.method())
    }
}

impl Operation {
    fn of_verb(verb: &str, uri: &Uri) -> Option<Self> {
        Some(match verb {
            "generateContent" => Self::Generate,
            "streamGenerateContent" if query(uri, "alt").as_deref() == Some("sse") => {
                Self::Stream(Form::Events)
            }
            "streamGenerateContent" => Self::Stream(Form::Array),
            "countTokens" => Self::CountTokens,
            "embedContent" => Self::Embed,
            "batchEmbedContents" => Self::BatchEmbed,
            "batchGenerateContent" => Self::BatchGenerate,
            "asyncBatchEmbedContent" => Self::AsyncBatchEmbed,
            "predictLongRunning" => Self::PredictLongRunning,
            "predict" => Self::Predict,
            "generateAnswer" => Self::GenerateAnswer,
            _ => return None,
        })
    }

    /// As paths and errors name it.
    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::ListModels => "list",
            Self::GetModel => "get",
            Self::Generate => "generateContent",
            Self::Stream(_) => "streamGenerateContent",
            Self::CountTokens => "countTokens",
            Self::Embed => "embedContent",
            Self::BatchEmbed => "batchEmbedContents",
            Self::BatchGenerate => "batchGenerateContent",
            Self::AsyncBatchEmbed => "asyncBatchEmbedContent",
            Self::PredictLongRunning => "predictLongRunning",
            Self::Predict => "predict",
            Self::GenerateAnswer => "generateAnswer",
        }
    }

    /// How its answer is written.
    pub(crate) const fn form(self) -> Form {
        match self {
            Self::Stream(form) => form,
            _ => Form::Single,
        }
    }

    /// Whether it uses the project's quotas. Batches have others of their own.
    pub(crate) const fn is_counted(self) -> bool {
        match self {
            Self::Generate | Self::Stream(_) | Self::Embed | Self::BatchEmbed => true,
            Self::PredictLongRunning | Self::Predict | Self::GenerateAnswer => true,
            Self::ListModels | Self::GetModel | Self::CountTokens => false,
            Self::BatchGenerate | Self::AsyncBatchEmbed => false,
        }
    }
}

/// A parameter of the query; the first, where there are several.
pub(crate) fn query<'a>(uri: &'a Uri, name: &str) -> Option<Cow<'a, str>> {
    let query = uri.query()?;
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The one credential. Google takes it in the header of its own, in the query, or as a bearer token, and refuses
/// a request that has it in two places.
pub(crate) fn credential(headers: &HeaderMap, uri: &Uri) -> Result<String, GoogleError> {
    let header = |name: http::HeaderName, scheme: &'static str| {
        headers.get_all(name).into_iter().map(move |value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            let token = match text.split_at_checked(scheme.len()) {
                Some((start, token)) if start.eq_ignore_ascii_case(scheme) => token,
                _ => &text,
            };
            token.trim().to_owned()
        })
    };
    let in_query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .filter(|(name, _)| name == "key")
        .map(|(_, value)| value.into_owned());
    let mut found = header(http::HeaderName::from_static("x-goog-api-key"), "")
        .chain(in_query)
        .chain(header(AUTHORIZATION, "Bearer "));
    let first = found.next().filter(|key| !key.is_empty()).ok_or_else(GoogleError::no_credential)?;
    if found.next().is_some() {
        return Err(GoogleError::several_credentials());
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_what_is_asked() {
        let check = |method: Method, path: &str, expected: Option<(&str, &str, Operation)>| {
            let call = Call::read(&method, &path.parse().expect("test paths are valid"));
            let expected =
                expected.map(|(version, model, operation)| (version.to_owned(), model.to_owned(), operation));
            let call = call.map(|call| (call.version.to_owned(), call.model, call.operation));
            assert_eq!(call, expected, "{method} {path}");
        };
        let (get, post) = (Method::GET, Method::POST);
        check(get.clone(), "/v1/models?pageSize=3", Some(("v1", "", Operation::ListModels)));
        check(get.clone(), "/v1beta/models/m", Some(("v1beta", "m", Operation::GetModel)));
        check(post.clone(), "/v1alpha/models/m:generateContent", Some(("v1alpha", "m", Operation::Generate)));
        check(
            post.clone(),
            "/v1beta/models/m%3AstreamGenerateContent?alt=sse",
            Some(("v1beta", "m", Operation::Stream(Form::Events))),
        );
        check(
            post.clone(),
            "/v1beta/models/m:streamGenerateContent?alt=json",
            Some(("v1beta", "m", Operation::Stream(Form::Array))),
        );
        check(post.clone(), "/v1/models/m:countTokens", Some(("v1", "m", Operation::CountTokens)));
        check(post.clone(), "/v1/models/m:embedContent", Some(("v1", "m", Operation::Embed)));
        check(post.clone(), "/v1/models/m:batchEmbedContents", Some(("v1", "m", Operation::BatchEmbed)));
        for path in
            ["/", "/v2/models", "/v1beta/models/", "/v1//models", "/v1/models/m:sing", "/v1/models/a/b"]
        {
            check(get.clone(), path, None);
        }
        check(get, "/v1/models/m:generateContent", None);
        check(post, "/v1/models", None);
    }

    #[test]
    fn there_is_exactly_one_credential() {
        let check = |headers: &[(&'static str, &str)], uri: &str, expected: Result<&str, u16>| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().expect("test headers are valid"));
            }
            let found = credential(&map, &uri.parse().expect("test paths are valid"));
            let found = found.as_deref().map_err(|error| error.status);
            assert_eq!(found, expected, "{headers:?} {uri}");
        };
        check(&[("x-goog-api-key", "one")], "/", Ok("one"));
        check(&[("authorization", "Bearer one")], "/", Ok("one"));
        check(&[], "/?alt=sse&key=o%6Ee", Ok("one"));
        check(&[], "/", Err(403));
        check(&[("x-goog-api-key", "")], "/", Err(403));
        check(&[("x-goog-api-key", "one")], "/?key=one", Err(400));
        check(&[("x-goog-api-key", "one"), ("authorization", "Bearer one")], "/", Err(400));
        check(&[("x-goog-api-key", "one"), ("x-goog-api-key", "two")], "/", Err(400));
    }
}
