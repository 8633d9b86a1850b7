//! Method and path → what is asked for, in which dialect.
//!
//! Paths forgive what clients do to base URLs: doubled slashes, a slash at the end, `/v1/v1/…`, `/v1beta/v1/…`,
//! the prefixes of other gateways, and the escaped colon of some SDKs. What is then asked of the upstream is the
//! path as Google documents it.

use std::borrow::Cow;

use http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;

use crate::affinity::address::Called;
use crate::affinity::name::is_collection;
use crate::clients::Page;
use crate::error::{Dialect, Error, Kind};
use crate::generation::Form;
use crate::live;
use crate::openai::endpoint::Endpoint;
use crate::openai::objects::Call;
use crate::resource::{Area, ResourceCall};
use crate::sse::Framing;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The dialect in which it is answered.
    pub dialect: Dialect,
    /// What is to be done.
    pub operation: Operation,
}

/// The operations that the gateway knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// One of Google's methods on a model: `…/models/{model}:{method}`.
    Model(ModelCall),
    /// Anything else in Google's own terms: files, caches, batches, interactions, and what there may be.
    Resource(ResourceCall),
    /// `GET …/models`, in any dialect.
    ModelList { version: Version },
    /// `GET …/models/{model}`, in any dialect.
    ModelGet { version: Version, model: String },
    /// An answer of the model, asked for in another dialect than Google's.
    Generation(Form),
    /// An answer that was kept: `/v1/responses/{id}` and below.
    Answer { id: String, act: Act },
    /// OpenAI's files and batches.
    Objects(Call),
    /// A WebSocket of the Live API: `/ws/google.ai.generativelanguage.…`.
    Live(live::Call),
    /// `POST /verify`.
    Verify { format: VerifyFormat },
    /// What a client sees of itself: `GET /me`, `GET /v1/dashboard/billing/…`.
    Own(Page),
    /// `GET /`.
    Home,
    /// `GET /health`: the process is alive.
    Health,
    /// `GET /ready`: there is a key to serve with.
    Ready,
    /// Anything under `/admin/`. Whether there is such a path is the configuration's matter, and so is the method.
    Admin { page: String },
}

/// A call of a method on a model, as it goes upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCall {
    /// The API version of the path.
    pub version: Version,
    /// `models`, `tunedModels` or `dynamic`.
    pub collection: &'static str,
    /// The model, without its collection.
    pub model: String,
    /// The method.
    pub method: ModelMethod,
    /// The query without credentials.
    pub query: Option<String>,
}

/// The methods on models that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelMethod {
    /// One whole answer.
    GenerateContent,
    /// An answer in pieces, in the framing that the query asks for.
    StreamGenerateContent(Framing),
    /// How many tokens a request has.
    CountTokens,
    /// One vector.
    EmbedContent,
    /// Many vectors.
    BatchEmbedContents,
}

/// What is to be done with an answer that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Show it.
    Get,
    /// Forget it.
    Delete,
    /// Show what the model was given.
    InputItems,
    /// Stop making it.
    Cancel,
}

/// The versions of Google's API. SDKs of 2026 speak `v1`, those before `v1beta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    V1Beta,
    V1Alpha,
}

/// How the results of a verification are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyFormat {
    /// Server-sent events, one a key, as each check ends.
    Events,
    /// One JSON array.
    Json,
}

/// A path that leads nowhere, or a method that it does not take.
#[derive(Debug, Clone, PartialEq)]
pub struct NoRoute {
    /// The dialect that the path looks like.
    pub dialect: Dialect,
    /// What the client is told.
    pub error: Error,
}

impl Route {
    /// Finds what a request asks for.
    ///
    /// # Errors
    /// A path that is not served, or a method that the path does not take.
    pub fn find(method: &Method, uri: &Uri, headers: &HeaderMap, base_path: &str) -> Result<Self, NoRoute> {
        let whole = uri.path();
        let slashes = whole.len() - whole.trim_start_matches('/').len();
        let single = &whole[slashes.saturating_sub(1)..];
        let within = match single.strip_prefix(base_path) {
            Some(within) if within.is_empty() || within.starts_with('/') => within,
            _ => single,
        };
        let path = Path::parse(within);
        let query = uri.query().unwrap_or("");
        let parts: Vec<&str> = path.parts.iter().map(AsRef::as_ref).collect();
        let version = path.version.unwrap_or(Version::V1Beta);
        let dialect = path.dialect();

        let (route, allowed) = match parts.as_slice() {
            [] if path.version.is_none() && path.named.is_none() => {
                (Self::other(Operation::Home), &[Method::GET, Method::HEAD][..])
            }
            ["me"] => (Self::other(Operation::Own(Page::Me)), &[Method::GET][..]),
            ["dashboard", "billing", "subscription"] => {
                (Self::other(Operation::Own(Page::Subscription)), &[Method::GET][..])
            }
            ["dashboard", "billing", "usage"] => {
                (Self::other(Operation::Own(Page::Usage)), &[Method::GET][..])
            }
            ["health"] => (Self::other(Operation::Health), &[Method::GET, Method::HEAD][..]),
            ["ready"] => (Self::other(Operation::Ready), &[Method::GET, Method::HEAD][..]),
            ["admin", page @ ..] if path.version.is_none() && path.named.is_none() => {
                return Ok(Self::other(Operation::Admin { page: page.join("/") }));
            }
            ["verify"] => {
                let json =
                    form_urlencoded::parse(query.as_bytes()).any(|(k, v)| k == "format" && v == "json");
                let format = if json { VerifyFormat::Json } else { VerifyFormat::Events };
                (Self::other(Operation::Verify { format }), &[Method::POST][..])
            }
            ["ws", service @ ..] if let Some(call) = live::Call::of_path(service) => {
                (Self { dialect: Dialect::Gemini, operation: Operation::Live(call) }, &[Method::GET][..])
            }
            ["chat"] | ["chat", "completions"] => (Self::generation(Form::Chat), &[Method::POST][..]),
            ["responses"] => (Self::generation(Form::Responses), &[Method::POST][..]),
            ["responses", "input_tokens"] => (Self::generation(Form::ResponseTokens), &[Method::POST][..]),
            ["responses", id] if *method == Method::DELETE => {
                (Self::kept(id, Act::Delete), &[Method::DELETE][..])
            }
            ["responses", id] => (Self::kept(id, Act::Get), &[Method::GET, Method::DELETE][..]),
            ["responses", id, "input_items"] => (Self::kept(id, Act::InputItems), &[Method::GET][..]),
            ["responses", id, "cancel"] => (Self::kept(id, Act::Cancel), &[Method::POST][..]),
            ["messages"] => (Self::generation(Form::Messages), &[Method::POST][..]),
            ["messages", "count_tokens"] => (Self::generation(Form::MessageTokens), &[Method::POST][..]),
            parts if let Some(endpoint) = Endpoint::of_path(parts) => {
                (Self::generation(Form::Endpoint(endpoint)), &[Method::POST][..])
            }
            ["models"] => {
                let dialect = path.dialect_of_models(uri, headers);
                (Self { dialect, operation: Operation::ModelList { version } }, &[Method::GET][..])
            }
            parts if let Some(call) = path.resource(method, uri, headers, parts) => {
                (Self { dialect: Dialect::Gemini, operation: Operation::Resource(call) }, RESOURCE_METHODS)
            }
            parts
                if path.dialect_of_models(uri, headers) == Dialect::OpenAi
                    && let Some((call, allowed)) = Call::of_path(method, parts, query) =>
            {
                (Self::other(Operation::Objects(call)), allowed)
            }
            [collection @ ("models" | "tunedModels" | "dynamic"), rest @ ..] if !rest.is_empty() => {
                match model_call(collection, rest, version, query) {
                    Some(call) => (
                        Self { dialect: Dialect::Gemini, operation: Operation::Model(call) },
                        &[Method::POST][..],
                    ),
                    None if *collection == "models" && !rest.iter().any(|part| part.contains(':')) => {
                        let dialect = path.dialect_of_models(uri, headers);
                        let model = rest.join("/");
                        (
                            Self { dialect, operation: Operation::ModelGet { version, model } },
                            &[Method::GET][..],
                        )
                    }
                    None => return Err(NoRoute::not_found(Dialect::Gemini, whole, headers, base_path)),
                }
            }
            _ => return Err(NoRoute::not_found(dialect, whole, headers, base_path)),
        };
        if !allowed.contains(method) {
            return Err(NoRoute::wrong_method(route.dialect, method, whole, &allowed[0]));
        }
        Ok(route)
    }

    fn generation(form: Form) -> Self {
        Self { dialect: form.dialect(), operation: Operation::Generation(form) }
    }

    fn kept(id: &str, act: Act) -> Self {
        Self { dialect: Dialect::OpenAi, operation: Operation::Answer { id: id.to_owned(), act } }
    }

    /// Paths of the gateway itself are answered in OpenAI's shape, the one most tools read.
    fn other(operation: Operation) -> Self {
        Self { dialect: Dialect::OpenAi, operation }
    }
}

/// What can be done with resources.
const RESOURCE_METHODS: &[Method] = &[Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

impl Version {
    /// As it stands in a path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1Beta => "v1beta",
            Self::V1Alpha => "v1alpha",
        }
    }

    pub(crate) fn parse(part: &str) -> Option<Self> {
        match part {
            "v1" => Some(Self::V1),
            "v1beta" => Some(Self::V1Beta),
            "v1alpha" => Some(Self::V1Alpha),
            _ => None,
        }
    }
}

impl ModelMethod {
    /// As it stands in a path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GenerateContent => "generateContent",
            Self::StreamGenerateContent(_) => "streamGenerateContent",
            Self::CountTokens => "countTokens",
            Self::EmbedContent => "embedContent",
            Self::BatchEmbedContents => "batchEmbedContents",
        }
    }

    /// How the answer is divided, if it is a stream.
    pub const fn framing(self) -> Option<Framing> {
        match self {
            Self::StreamGenerateContent(framing) => Some(framing),
            _ => None,
        }
    }

    /// Whether the answer has candidates.
    pub const fn generates(self) -> bool {
        matches!(self, Self::GenerateContent | Self::StreamGenerateContent(_))
    }

    /// Whether vectors are asked for.
    pub const fn embeds(self) -> bool {
        matches!(self, Self::EmbedContent | Self::BatchEmbedContents)
    }
}

impl ModelCall {
    /// Path and query for the upstream, with another model where one stands for it.
    pub fn path_and_query(&self, model: &str) -> String {
        let (method, query) = (self.method.as_str(), self.query.as_deref().unwrap_or(""));
        let path = model_path(self.version, model);
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{path}:{method}{mark}{query}")
    }
}

/// The path of a model: of Google's own under `models`, of others under `tunedModels` or `dynamic`, as its name says.
pub(crate) fn model_path(version: Version, model: &str) -> String {
    let version = version.as_str();
    for collection in ["tunedModels", "dynamic"] {
        if let Some(own) = model.strip_prefix(collection).and_then(|rest| rest.strip_prefix('/')) {
            return format!("/{version}/{collection}/{}", escape_model(own));
        }
    }
    format!("/{version}/models/{}", escape_model(model))
}

/// A model's name as a path segment: a client's word must not become a path, a query or a fragment.
pub(crate) fn escape_model(model: &str) -> Cow<'_, str> {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const NOT_IN_A_SEGMENT: &AsciiSet =
        &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'<').add(b'>').add(b'?').add(b'\\');
    Cow::from(utf8_percent_encode(model, NOT_IN_A_SEGMENT))
}

fn model_call(collection: &str, rest: &[&str], version: Version, query: &str) -> Option<ModelCall> {
    let collection = match collection {
        "models" => "models",
        "dynamic" => "dynamic",
        _ => "tunedModels",
    };
    let (last, before) = rest.split_last()?;
    let (name, method) = last.rsplit_once(':')?;
    let method = match method {
        "generateContent" => ModelMethod::GenerateContent,
        "streamGenerateContent" => {
            let sse = form_urlencoded::parse(query.as_bytes())
                .any(|(k, v)| (k == "alt" || k == "$alt") && v == "sse");
            ModelMethod::StreamGenerateContent(if sse { Framing::Sse } else { Framing::Array })
        }
        "countTokens" => ModelMethod::CountTokens,
        "embedContent" => ModelMethod::EmbedContent,
        "batchEmbedContents" => ModelMethod::BatchEmbedContents,
        _ => return None,
    };
    // Some clients put the whole resource name into the path: models/models/gemini-….
    let before: Vec<&str> = before.iter().copied().filter(|&part| part != collection).collect();
    let model = if before.is_empty() { name.to_owned() } else { format!("{}/{name}", before.join("/")) };
    if model.is_empty() {
        return None;
    }
    Some(ModelCall { version, collection, model, method, query: without_credentials(query) })
}

/// A file's name in `files/http:/host/v1beta/files/a:download`: Google's SDKs take the name out of a film's address if it
/// begins with `https`, and take any other address for the name.
fn of_address<'a, 'b>(parts: &'a [&'b str]) -> Option<&'a [&'b str]> {
    let ["files", "http:" | "https:", rest @ ..] = parts else { return None };
    let at = rest.iter().rposition(|part| *part == "files")?;
    (rest.len() == at + 2).then(|| &rest[at..])
}

/// The query that goes upstream: everything but credentials, otherwise as it came.
pub(crate) fn without_credentials(query: &str) -> Option<String> {
    let is_credential = |pair: &str| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        let name = percent_decode_str(name).decode_utf8_lossy();
        matches!(&*name, "key" | "access_token" | "api_key" | "apiKey" | "oauth_token")
    };
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !is_credential(pair)).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

/// A path without what clients put before it.
struct Path<'a> {
    /// The last version named, if any.
    version: Option<Version>,
    /// The dialect that a prefix named: `openai` or the like, `anthropic`.
    named: Option<Dialect>,
    /// What is left, percent-decoded, without empty segments.
    parts: Vec<Cow<'a, str>>,
}

impl<'a> Path<'a> {
    fn parse(path: &'a str) -> Self {
        let mut this = Self { version: None, named: None, parts: Vec::new() };
        let mut prefixes = true;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let part = percent_decode_str(part).decode_utf8_lossy();
            if prefixes {
                if let Some(version) = Version::parse(&part) {
                    this.version = Some(version);
                    continue;
                }
                match &*part {
                    "openai" | "hf" => {
                        this.named = Some(Dialect::OpenAi);
                        continue;
                    }
                    "anthropic" => {
                        this.named = Some(Dialect::Anthropic);
                        continue;
                    }
                    "gemini" => continue,
                    _ => prefixes = false,
                }
            }
            this.parts.push(part);
        }
        this
    }

    /// The dialect that the path looks like, for its errors.
    fn dialect(&self) -> Dialect {
        self.dialect_by_name().unwrap_or(match self.version {
            Some(Version::V1Beta | Version::V1Alpha) => Dialect::Gemini,
            _ => Dialect::OpenAi,
        })
    }

    /// The dialect that a word of the path belongs to.
    fn dialect_by_name(&self) -> Option<Dialect> {
        if self.named.is_some() {
            return self.named;
        }
        Some(match self.parts.first()?.as_ref() {
            "messages" => Dialect::Anthropic,
            "chat" | "completions" | "responses" | "embeddings" | "images" | "audio" | "moderations"
            | "conversations" | "assistants" | "threads" | "vector_stores" | "fine_tuning" | "realtime" => {
                Dialect::OpenAi
            }
            "upload" | "download" | "ws" => Dialect::Gemini,
            // Other APIs have them, too.
            "files" | "batches" => return None,
            name if is_collection(name) => Dialect::Gemini,
            _ => return None,
        })
    }

    /// A call about objects: a collection of Google's, or a path that only Google's API can have, known here or not.
    fn resource(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        parts: &[&str],
    ) -> Option<ResourceCall> {
        let version = self.version.unwrap_or(Version::V1Beta);
        let query = uri.query().unwrap_or("");
        let (parts, query) = of_address(parts).map_or((parts, query), |parts| {
            // Behind the address's own query they write `:download?alt=media` once more.
            (parts, query.rsplit('?').next().unwrap_or_default())
        });
        let (area, version, parts) = match parts {
            // Some SDKs put the version of their base URL before it: /v1beta/upload/v1beta/files.
            ["upload" | "download", within, rest @ ..] if let Some(version) = Version::parse(within) => {
                (Self::area(parts[0]), version, rest)
            }
            ["upload" | "download", rest @ ..] => (Self::area(parts[0]), version, rest),
            _ => (Area::Plain, version, parts),
        };
        let first = parts.first()?;
        let collection = first.split_once(':').map_or(*first, |(collection, _)| collection);
        let is_ours = match collection {
            _ if self.named.is_some_and(|named| named != Dialect::Gemini) => false,
            _ if area != Area::Plain => true,
            "models" | "tunedModels" | "dynamic" => {
                let generates = model_call(collection, &parts[1..], version, query).is_some();
                let is_model = collection == "models"
                    && !parts.iter().any(|part| part.contains(':'))
                    && !parts.contains(&"operations");
                !generates && !is_model
            }
            "files" | "batches" => self.dialect_of_models(uri, headers) == Dialect::Gemini,
            name if is_collection(name) || name == "decisions" => true,
            _ => {
                self.version.is_some()
                    && self.dialect_by_name().is_none()
                    && self.dialect_of_models(uri, headers) == Dialect::Gemini
            }
        };
        is_ours.then(|| ResourceCall::new(method, version, area, parts, query))
    }

    fn area(word: &str) -> Area {
        if word == "upload" { Area::Upload } else { Area::Download }
    }

    /// `/v1/models` belongs to three APIs. Google's marks decide, then Anthropic's; OpenAI has none.
    fn dialect_of_models(&self, uri: &Uri, headers: &HeaderMap) -> Dialect {
        let has = |name: &str| headers.contains_key(name);
        let agent = headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or("");
        let asked = |name: &str| {
            form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).any(|(key, _)| key == name)
        };
        let google = has("x-goog-api-key")
            || has("x-goog-api-client")
            || asked("key")
            || asked("pageSize")
            || asked("pageToken")
            || agent.contains("google-genai-sdk")
            || agent.starts_with("GeminiCLI");
        if let Some(named) = self.named {
            return named;
        }
        match self.version {
            _ if google => Dialect::Gemini,
            _ if has("anthropic-version") => Dialect::Anthropic,
            // Nobody but Google has these versions.
            Some(Version::V1Beta | Version::V1Alpha) => Dialect::Gemini,
            _ => Dialect::OpenAi,
        }
    }
}

impl NoRoute {
    pub(crate) fn not_found(dialect: Dialect, path: &str, headers: &HeaderMap, base_path: &str) -> Self {
        let origin = Called::of(headers).base(base_path);
        let path: String = path.chars().take(200).collect();
        let message = format!(
            "There is nothing at {path}. Base URLs: {origin} for the SDKs of Google and Anthropic, {origin}/v1 for \
             OpenAI's. 此路径不存在。基础地址：Google 和 Anthropic SDK 用 {origin}，OpenAI SDK 用 {origin}/v1。"
        );
        Self { dialect, error: Error::new(Kind::NotFound, message) }
    }

    fn wrong_method(dialect: Dialect, method: &Method, path: &str, right: &Method) -> Self {
        let path: String = path.chars().take(200).collect();
        let message = format!("{path} takes {right}, not {method}.");
        Self { dialect, error: Error::new(Kind::MethodNotAllowed, message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &str, uri: &str, headers: &[(&'static str, &'static str)]) -> Result<Route, NoRoute> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect();
        Route::find(&method.parse().expect("a method"), &uri.parse().expect("a URI"), &headers, "/base")
    }

    fn check_call(uri: &str, expected: &str) {
        let route = find("POST", uri, &[]).unwrap_or_else(|error| panic!("{uri}: {error:?}"));
        assert_eq!(route.dialect, Dialect::Gemini, "{uri}");
        let Operation::Model(call) = route.operation else { panic!("{uri}: {:?}", route.operation) };
        let model = if call.collection == "models" {
            call.model.clone()
        } else {
            format!("{}/{}", call.collection, call.model)
        };
        assert_eq!(call.path_and_query(&model), expected, "{uri}");
    }

    #[test]
    fn native_paths_come_out_as_google_documents_them() {
        let whole = "/v1beta/models/gemini-2.5-flash:generateContent";
        check_call(whole, whole);
        check_call("/v1beta/models/gemini-2.5-flash%3AgenerateContent", whole);
        check_call("//v1beta//models/gemini-2.5-flash:generateContent/", whole);
        check_call("/models/gemini-2.5-flash:generateContent", whole);
        check_call("/gemini/v1beta/models/gemini-2.5-flash:generateContent", whole);
        check_call("/v1/v1beta/models/gemini-2.5-flash:generateContent", whole);
        check_call("/base/v1beta/models/gemini-2.5-flash:generateContent", whole);
        check_call("/v1beta/models/models/gemini-2.5-flash:generateContent", whole);
        check_call("/v1beta/models/gemini-2.5-flash:generateContent?key=k", whole);
        check_call("/v1/models/m:countTokens", "/v1/models/m:countTokens");
        check_call("/v1alpha/tunedModels/t:generateContent", "/v1alpha/tunedModels/t:generateContent");
        check_call(
            "/v1beta/models/m:streamGenerateContent?key=k&alt=sse&%6bey=k",
            "/v1beta/models/m:streamGenerateContent?alt=sse",
        );
        check_call(
            "/v1beta/models/m:embedContent?%24alt=json%3Benum-encoding%3Dint",
            "/v1beta/models/m:embedContent?%24alt=json%3Benum-encoding%3Dint",
        );
        check_call("/v1beta/models/a%3Fkey=x%23:countTokens", "/v1beta/models/a%3Fkey=x%23:countTokens");
        check_call("/v1beta/models/a%2F..%2Fb:countTokens", "/v1beta/models/a%2F..%2Fb:countTokens");
    }

    #[test]
    fn calls_about_objects_come_out_as_google_documents_them() {
        let check = |method: &str, uri: &str, headers: &[_], expected: &str, kind: CallKind| {
            let route = find(method, uri, headers).unwrap_or_else(|error| panic!("{uri}: {error:?}"));
            let Operation::Resource(call) = route.operation else { panic!("{uri}: {:?}", route.operation) };
            assert_eq!(call.kind(), kind, "{method} {uri}");
            let (_, path) = Resource::new(call, None, None).method_and_path();
            assert_eq!(path, expected, "{method} {uri}");
        };
        use crate::resource::{Kind as CallKind, Resource};
        let settles = CallKind::Make { settles: true };
        let passes = CallKind::Make { settles: false };
        let google = [("x-goog-api-key", "k")];
        check("POST", "/upload/v1beta/files", &[], "/upload/v1beta/files", settles);
        check("POST", "/v1beta/upload/v1beta/files?key=k", &[], "/upload/v1beta/files", settles);
        check(
            "POST",
            "/base/upload/v1/files?uploadType=multipart",
            &[],
            "/upload/v1/files?uploadType=multipart",
            settles,
        );
        check("POST", "/upload/files", &[], "/upload/v1beta/files", settles);
        let rest = "/upload/v1beta/files?upload_id=a&upload_protocol=resumable";
        check("PUT", &format!("{rest}&libra_owner=1.2.3"), &[], rest, CallKind::Upload);
        check("GET", "/v1/files?pageSize=3", &[], "/v1/files?pageSize=3", CallKind::List);
        check("GET", "/v1/files", &google, "/v1/files", CallKind::List);
        check("GET", "/v1beta/files/a", &[], "/v1beta/files/a", CallKind::Act);
        check(
            "GET",
            "/v1/files/a:download?alt=media",
            &google,
            "/v1/files/a:download?alt=media",
            CallKind::Media,
        );
        check(
            "GET",
            "/download/v1beta/files/a:download",
            &[],
            "/download/v1beta/files/a:download",
            CallKind::Media,
        );
        check(
            "GET",
            "/v1/files/http://libra.example:8080/base/v1beta/files/a:download?alt=media:download?alt=media",
            &google,
            "/v1/files/a:download?alt=media",
            CallKind::Media,
        );
        check(
            "GET",
            "/v1/files/http:/libra.example/v1beta/files/a:download?alt=media",
            &google,
            "/v1/files/a:download?alt=media",
            CallKind::Media,
        );
        check("POST", "/v1beta/files:register", &[], "/v1beta/files:register", settles);
        check(
            "PATCH",
            "/v1alpha/cachedContents/c?updateMask=ttl",
            &[],
            "/v1alpha/cachedContents/c?updateMask=ttl",
            CallKind::Act,
        );
        check("POST", "/v1/cachedContents", &[], "/v1/cachedContents", settles);
        check(
            "POST",
            "/v1beta/models/m:batchGenerateContent",
            &[],
            "/v1beta/models/m:batchGenerateContent",
            passes,
        );
        check("POST", "/v1/models/veo:predictLongRunning", &[], "/v1/models/veo:predictLongRunning", passes);
        check(
            "GET",
            "/v1beta/models/veo/operations/o",
            &[],
            "/v1beta/models/veo/operations/o",
            CallKind::Act,
        );
        check("GET", "/v1beta/models/veo/operations", &[], "/v1beta/models/veo/operations", CallKind::List);
        check("POST", "/v1/models/m:launchRocket", &[], "/v1/models/m:launchRocket", passes);
        check("POST", "/v1beta/unknown/thing", &[], "/v1beta/unknown/thing", passes);
        check("POST", "/v1beta/interactions", &[], "/v1beta/interactions", passes);
        check("POST", "/v1/interactions/v1_a=/cancel", &[], "/v1/interactions/v1_a=/cancel", CallKind::Act);
        check(
            "GET",
            "/v1beta/fileSearchStores/s/documents?pageSize=2",
            &[],
            "/v1beta/fileSearchStores/s/documents?pageSize=2",
            CallKind::Act,
        );
        check("DELETE", "/v1beta/tunedModels/t", &[], "/v1beta/tunedModels/t", CallKind::Act);
        check("GET", "/v1beta/files/a%2F..%2Fb", &[], "/v1beta/files/a%2F..%2Fb", CallKind::Act);
    }

    #[test]
    fn a_stream_says_its_framing() {
        let framing = |uri| match find("POST", uri, &[]).expect("a route").operation {
            Operation::Model(ModelCall { method: ModelMethod::StreamGenerateContent(framing), .. }) => {
                framing
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(framing("/v1/models/m:streamGenerateContent?alt=sse"), Framing::Sse);
        assert_eq!(framing("/v1/models/m:streamGenerateContent"), Framing::Array);
        assert_eq!(framing("/v1/models/m:streamGenerateContent?alt=json"), Framing::Array);
    }

    #[test]
    fn chat_is_found_wherever_clients_look_for_it() {
        for uri in [
            "/v1/chat/completions",
            "/chat/completions",
            "/chat",
            "/v1beta/openai/chat/completions",
            "/v1/v1/chat/completions",
            "/v1beta/v1/chat/completions",
            "/openai/v1/chat/completions",
            "/hf/v1/chat/completions",
            "/v1//chat/completions/",
            "/base/v1/chat/completions",
        ] {
            let route = find("POST", uri, &[]).unwrap_or_else(|error| panic!("{uri}: {error:?}"));
            assert_eq!(route, Route::generation(Form::Chat), "{uri}");
        }
    }

    #[test]
    fn responses_are_found_with_what_is_below_them() {
        let check = |method: &str, uri: &str, expected: Option<Route>| {
            assert_eq!(find(method, uri, &[]).ok(), expected, "{method} {uri}");
        };
        check("POST", "/v1/responses", Some(Route::generation(Form::Responses)));
        check("POST", "/v1beta/openai/responses", Some(Route::generation(Form::Responses)));
        check("POST", "/responses/input_tokens", Some(Route::generation(Form::ResponseTokens)));
        check("GET", "/v1/responses/resp_1", Some(Route::kept("resp_1", Act::Get)));
        check("DELETE", "/v1/responses/resp_1", Some(Route::kept("resp_1", Act::Delete)));
        check(
            "GET",
            "/v1/responses/resp_1/input_items?limit=2",
            Some(Route::kept("resp_1", Act::InputItems)),
        );
        check("POST", "/v1/responses/resp_1/cancel", Some(Route::kept("resp_1", Act::Cancel)));
        check("GET", "/v1/responses", None);
        check("POST", "/v1/responses/resp_1", None);
        check("GET", "/v1/responses/resp_1/cancel", None);
        check("GET", "/v1/responses/resp_1/else", None);
    }

    #[test]
    fn openais_other_endpoints_are_found_wherever_clients_look_for_them() {
        let check = |path: &str, endpoint| {
            for prefix in ["/v1", "", "/v1beta/openai", "/openai/v1", "/v1/v1", "/base/v1"] {
                let uri = format!("{prefix}/{path}");
                let route = find("POST", &uri, &[]).unwrap_or_else(|error| panic!("{uri}: {error:?}"));
                assert_eq!(route, Route::generation(Form::Endpoint(endpoint)), "{uri}");
            }
        };
        check("embeddings", Endpoint::Embeddings);
        check("images/generations", Endpoint::ImageGeneration);
        check("images/edits", Endpoint::ImageEdit);
        check("audio/speech", Endpoint::Speech);
        check("audio/transcriptions", Endpoint::Transcription);
        check("audio/translations", Endpoint::Translation);
        check("completions", Endpoint::Completion);
    }

    #[test]
    fn openais_files_and_batches_are_told_from_geminis() {
        use Call::*;
        let check = |method: &str, path: &str, expected: Call| {
            for prefix in ["/v1", "", "/v1beta/openai", "/openai/v1", "/v1/v1", "/base/v1"] {
                let uri = format!("{prefix}/{path}");
                let route = find(method, &uri, &[("authorization", "Bearer k")]);
                assert_eq!(route.ok(), Some(Route::other(Operation::Objects(expected.clone()))), "{uri}");
            }
        };
        let id = || "file-a".to_owned();
        let batch = || "batch_a".to_owned();
        check("POST", "files", CreateFile);
        check("GET", "files?limit=2&after=x", ListFiles { query: "limit=2&after=x".to_owned() });
        check("GET", "files/file-a", GetFile { id: id() });
        check("DELETE", "files/file-a", DeleteFile { id: id() });
        check("GET", "files/file-a/content", FileContent { id: id() });
        check("POST", "batches", CreateBatch);
        check("GET", "batches", ListBatches { query: String::new() });
        check("GET", "batches/batch_a", GetBatch { id: batch() });
        check("POST", "batches/batch_a/cancel", CancelBatch { id: batch() });
        let check = |uri: &str, headers: &[_]| {
            let route = find("GET", uri, headers).unwrap_or_else(|error| panic!("{uri}: {error:?}"));
            assert!(matches!(route.operation, Operation::Resource(_)), "{uri}: {:?}", route.operation);
        };
        check("/v1beta/files/file-a", &[]);
        check("/v1/files?pageSize=2", &[]);
        check("/v1/batches?key=k", &[]);
        check("/v1/files/a", &[("x-goog-api-key", "k")]);
        check("/v1/files", &[("user-agent", "google-genai-sdk/3.4.0")]);
        let anthropic = find("GET", "/v1/files", &[("anthropic-version", "2023-06-01")]);
        assert!(anthropic.is_err(), "those of Anthropic are not served");
    }

    #[test]
    fn messages_are_found_with_and_without_a_prefix() {
        let check = |uri, form| {
            let route = find("POST", uri, &[]).unwrap_or_else(|error| panic!("{uri}: {error:?}"));
            assert_eq!(route, Route { dialect: Dialect::Anthropic, operation: Operation::Generation(form) });
        };
        for uri in ["/v1/messages", "/v1/messages?beta=true", "/messages", "/anthropic/v1/messages"] {
            check(uri, Form::Messages);
        }
        check("/v1/v1/messages", Form::Messages);
        check("/v1/messages/count_tokens?beta=true", Form::MessageTokens);
        check("/anthropic/v1/messages/count_tokens", Form::MessageTokens);
    }

    #[test]
    fn the_models_of_three_apis_are_told_apart() {
        let check = |uri, headers: &[_], expected| {
            let route = find("GET", uri, headers).unwrap_or_else(|error| panic!("{uri}: {error:?}"));
            assert_eq!(route.dialect, expected, "{uri} {headers:?}");
        };
        check("/v1/models", &[], Dialect::OpenAi);
        check("/models", &[("authorization", "Bearer k")], Dialect::OpenAi);
        check("/v1/models/gemini-2.5-flash", &[("authorization", "Bearer k")], Dialect::OpenAi);
        check("/v1beta/openai/models", &[("x-goog-api-key", "k")], Dialect::OpenAi);
        check("/v1/models", &[("x-goog-api-key", "k")], Dialect::Gemini);
        check("/v1/models?key=k", &[], Dialect::Gemini);
        check("/v1/models?pageSize=3", &[("authorization", "Bearer k")], Dialect::Gemini);
        check("/v1/models", &[("x-goog-api-client", "google-genai-sdk/3.4.0")], Dialect::Gemini);
        check("/v1/models", &[("user-agent", "GeminiCLI/1.0")], Dialect::Gemini);
        check("/anthropic/v1/models", &[("authorization", "Bearer k")], Dialect::Anthropic);
        check("/anthropic/v1/models/gemini-2.5-flash", &[], Dialect::Anthropic);
        check("/v1/models", &[("anthropic-version", "2023-06-01"), ("x-api-key", "k")], Dialect::Anthropic);
    }

    #[test]
    fn what_is_not_served_is_refused_in_the_dialect_of_the_path() {
        let check = |method, uri, dialect, kind| {
            let refused = find(method, uri, &[("host", "libra.example")]).expect_err(uri);
            assert_eq!((refused.dialect, refused.error.kind), (dialect, kind), "{method} {uri}");
            refused.error.message
        };
        let message = check("POST", "/v1/chat/complete", Dialect::OpenAi, Kind::NotFound);
        assert!(message.contains("http://libra.example/base/v1 for OpenAI's"), "{message}");
        check("POST", "/v1/messages/batches", Dialect::Anthropic, Kind::NotFound);
        check("POST", "/anthropic/v1/unknown", Dialect::Anthropic, Kind::NotFound);
        check("GET", "/v1/messages", Dialect::Anthropic, Kind::MethodNotAllowed);
        check("POST", "/v1/unknown", Dialect::OpenAi, Kind::NotFound);
        check("PATCH", "/v1/files/file-a", Dialect::OpenAi, Kind::MethodNotAllowed);
        check("POST", "/v1/files/file-a/content", Dialect::OpenAi, Kind::MethodNotAllowed);
        check("GET", "/v1/batches/batch_a/cancel", Dialect::OpenAi, Kind::MethodNotAllowed);
        check("GET", "/v1/files/file-a/else", Dialect::OpenAi, Kind::NotFound);
        check("POST", "/openai/v1/cachedContents", Dialect::OpenAi, Kind::NotFound);
        check("HEAD", "/v1beta/files/a", Dialect::Gemini, Kind::MethodNotAllowed);
        check("POST", "/moderations", Dialect::OpenAi, Kind::NotFound);
        check("GET", "/v1/embeddings", Dialect::OpenAi, Kind::MethodNotAllowed);
        check("GET", "/v1/chat/completions", Dialect::OpenAi, Kind::MethodNotAllowed);
        check("GET", "/v1beta/models/m:generateContent", Dialect::Gemini, Kind::MethodNotAllowed);
        check("GET", "/verify", Dialect::OpenAi, Kind::MethodNotAllowed);
    }
}
