//! The administration over HTTP: `/admin/api/*`, for whoever has its token.
//!
//! What there is stands in one table ([`routes`]), of which the description is made, too. Answers of success to changes mean
//! that they are on disk; how they come there is [`Administration`]'s matter. No browser of another origin is let in.

mod access;
mod clients;
mod document;
mod keys;
mod pasted;
mod pool;
mod problem;
mod projects;
mod read;
mod routes;
mod settings;
mod usage;
mod verify;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderName, Method, Response, StatusCode};
use hyper::body::Incoming;
use libra_core::gateway::{Gateway, Head};
use libra_core::route::{Operation, Route as CoreRoute};
use libra_core::secret::KeyId;
use serde::{Deserialize, Deserializer, Serialize};

pub(crate) use self::access::{Access, Role, token_in};
pub(crate) use self::clients::own_key;
pub(crate) use self::keys::{Key, Keys, KeysAdded};
use self::problem::Problem;
use self::read::Kind;
use self::routes::{Call, ROUTES, Route};
pub(crate) use self::usage::{Request as LoggedRequest, Requests, Usage};
pub(crate) use self::verify::Job;
use self::verify::Jobs;
use crate::administration::{Actor, Administration, Refusal};
use crate::app::drain;
use crate::body::AnswerBody;
use crate::clock;
use crate::store::Reports;
use crate::upstream::Upstream;

/// The administration over HTTP.
pub(crate) struct AdminApi {
    gateway: Arc<Gateway>,
    upstream: Arc<Upstream>,
    administration: Arc<Administration>,
    reports: Option<Reports>,
    access: Access,
    jobs: Jobs,
    paths: matchit::Router<Vec<&'static Route>>,
    document: Bytes,
}

/// What is asked for, with its body.
struct Asked {
    /// What the path is about; empty where it names nothing.
    id: String,
    kind: Kind,
    body: Bytes,
    address: IpAddr,
    actor: Actor,
}

/// What is answered.
enum Answer {
    Written(StatusCode, Bytes, Option<String>),
    Csv(String),
    Nothing,
}

impl AdminApi {
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        upstream: Arc<Upstream>,
        administration: Arc<Administration>,
        reports: Option<Reports>,
        access: Access,
    ) -> Self {
        let mut by_path: Vec<(&str, Vec<&'static Route>)> = Vec::new();
        for route in ROUTES.iter() {
            match by_path.iter_mut().find(|(path, _)| *path == route.path) {
                Some((_, routes)) => routes.push(route),
                None => by_path.push((route.path, vec![route])),
            }
        }
        let mut paths = matchit::Router::new();
        for (path, routes) in by_path {
            paths.insert(path, routes).expect("the table's paths do not contradict each other");
        }
        let document = document::document(&gateway.config().base_path);
        let document = serde_json::to_vec_pretty(&document).unwrap_or_default().into();
        Self { gateway, upstream, administration, reports, access, jobs: Jobs::default(), paths, document }
    }

    /// Answers a request whose path is `/admin/{page}`.
    pub(crate) async fn answer(
        &self,
        parts: &Parts,
        peer: IpAddr,
        page: &str,
        body: Incoming,
    ) -> Response<AnswerBody> {
        let head = Head { method: &parts.method, uri: &parts.uri, headers: &parts.headers, peer };
        let address = self.gateway.subscriber(&head);
        let role = match self.access.role(&parts.headers, address, clock::now()) {
            Ok(role) => role,
            Err(problem) => {
                refuse_body(parts, body).await;
                return refused(&problem);
            }
        };
        let path = match page.strip_prefix("api/") {
            Some(path) => path,
            // Where they were before the others came.
            None if PLAIN.contains(&page) => page,
            None => "",
        };
        let answered = self.served(parts, address, role, path, body).await;
        answered.unwrap_or_else(|problem| refused(&problem))
    }

    async fn served(
        &self,
        parts: &Parts,
        address: IpAddr,
        role: Role,
        path: &str,
        body: Incoming,
    ) -> Result<Response<AnswerBody>, Problem> {
        let path = format!("/{path}");
        let found = self.paths.at(&path).ok();
        let Some(found) = found else {
            refuse_body(parts, body).await;
            return Err(Problem::not_found("There is no such path; /admin/api/openapi.json describes all."));
        };
        let id = found.params.get("id").unwrap_or_default().to_owned();
        let method = if parts.method == Method::HEAD { &Method::GET } else { &parts.method };
        let Some(route) = found.value.iter().find(|route| route.method == *method) else {
            refuse_body(parts, body).await;
            return Err(not_allowed(found.value));
        };
        if role < route.role {
            refuse_body(parts, body).await;
            return Err(Problem::only_looks());
        }
        let query = parts.uri.query().unwrap_or_default();
        let actor = match role {
            Role::Administrator => Actor::Token(address),
            Role::Reader => Actor::ReadOnly(address),
        };
        let mut asked = Asked { id, kind: Kind::Json, body: Bytes::new(), address, actor };
        match &route.body {
            Some(taken) => {
                asked.kind = match Kind::of(&parts.headers, taken.takes_text) {
                    Ok(kind) => kind,
                    Err(problem) => {
                        refuse_body(parts, body).await;
                        return Err(problem);
                    }
                };
                asked.body = read::whole(body, taken.most).await?;
            }
            None => drain(body).await,
        }
        if route.query.is_none() {
            read::query::<NoParameters>(query)?;
        }
        let answer = self.call(route.call, asked, query).await?;
        Ok(answer.into_response())
    }

    /// What a command on this machine asks for, as if it came over HTTP: the status and the body of the answer.
    pub(crate) async fn answer_locally(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
    ) -> (StatusCode, Bytes) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = path.strip_prefix("/admin/api").unwrap_or(path);
        let found = self.paths.at(path).ok().and_then(|found| {
            let route = found.value.iter().find(|route| route.method == *method)?;
            Some((route.call, found.params.get("id").unwrap_or_default().to_owned()))
        });
        let Some((call, id)) = found else { return (StatusCode::NOT_FOUND, Bytes::new()) };
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let asked = Asked { id, kind: Kind::Json, body, address, actor: Actor::CommandLine };
        match self.call(call, asked, query).await {
            Ok(Answer::Written(status, body, _)) => (status, body),
            Ok(Answer::Csv(text)) => (StatusCode::OK, text.into()),
            Ok(Answer::Nothing) => (StatusCode::NO_CONTENT, Bytes::new()),
            Err(problem) => (problem.status, serde_json::to_vec(&problem.body()).unwrap_or_default().into()),
        }
    }

    async fn call(&self, call: Call, asked: Asked, query: &str) -> Result<Answer, Problem> {
        match call {
            Call::Document => Ok(Answer::written(self.document.clone())),
            Call::Pool => self.pool(),
            Call::Explain => self.explain(read::query(query)?),
            Call::Keys => self.keys(read::query(query)?).await,
            Call::AddKeys => self.add_keys(asked).await,
            Call::ChangeKey => self.change_key(asked).await,
            Call::RemoveKey => self.remove_key(asked).await,
            Call::RemoveKeys => self.remove_keys(asked).await,
            Call::ExportKeys => self.export_keys(asked).await,
            Call::BeginCheck => self.begin_check(asked).await,
            Call::Check => self.check(&asked, read::query(query)?),
            Call::EndCheck => self.end_check(&asked),
            Call::Clients => self.clients().await,
            Call::AddClient => self.add_client(asked).await,
            Call::ChangeClient => self.change_client(asked).await,
            Call::RemoveClient => self.remove_client(asked).await,
            Call::RotateClient => self.rotate_client(asked).await,
            Call::Projects => self.projects().await,
            Call::ChangeProject => self.change_project(asked).await,
            Call::JoinKeys => self.place_keys(asked, "projects/join").await,
            Call::SplitKeys => self.place_keys(asked, "projects/split").await,
            Call::Usage => self.usage(read::query(query)?).await,
            Call::Requests => self.requests(read::query(query)?).await,
            Call::Settings => self.settings().await,
            Call::ChangeSetting => self.change_setting(asked).await,
            Call::Audit => self.audit(read::query(query)?).await,
            Call::Reload => self.reload().await,
        }
    }

    /// Asks the administration where waiting for the disk is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Administration) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Problem> {
        self.blocking_problem(move |administration| Ok(ask(administration)?)).await
    }

    async fn blocking_problem<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Administration) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let administration = Arc::clone(&self.administration);
        let answer = tokio::task::spawn_blocking(move || ask(&administration)).await;
        answer.unwrap_or_else(|_| {
            Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "failed",
                "The gateway failed. 网关内部错误。",
            ))
        })
    }
}

impl Asked {
    fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Problem> {
        read::json(&self.body)
    }

    fn key_id(&self) -> Result<KeyId, Problem> {
        parsed_id(&self.id)
            .ok_or_else(|| Problem::not_found("There is no such thing: an id is key-… with 16 digits."))
    }

    fn actor(&self) -> Actor {
        self.actor
    }
}

impl Answer {
    fn json(value: &impl Serialize) -> Result<Self, Problem> {
        Self::of(StatusCode::OK, value, None)
    }

    fn created(value: &impl Serialize) -> Result<Self, Problem> {
        Self::of(StatusCode::CREATED, value, None)
    }

    fn accepted(value: &impl Serialize, place: &str) -> Result<Self, Problem> {
        Self::of(StatusCode::ACCEPTED, value, Some(place.to_owned()))
    }

    fn written(body: Bytes) -> Self {
        Self::Written(StatusCode::OK, body, None)
    }

    fn of(status: StatusCode, value: &impl Serialize, place: Option<String>) -> Result<Self, Problem> {
        let body = serde_json::to_vec_pretty(value).map_err(|_| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "The answer could not be written.")
        })?;
        Ok(Self::Written(status, body.into(), place))
    }

    fn into_response(self) -> Response<AnswerBody> {
        let (status, kind, body, place) = match self {
            Self::Written(status, body, place) => (status, Some(JSON), body, place),
            Self::Csv(text) => {
                (StatusCode::OK, Some(HeaderValue::from_static("text/csv; charset=utf-8")), text.into(), None)
            }
            Self::Nothing => (StatusCode::NO_CONTENT, None, Bytes::new(), None),
        };
        let mut response = Response::new(AnswerBody::whole(body));
        *response.status_mut() = status;
        if let Some(kind) = kind {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        if let Some(place) = place.and_then(|place| HeaderValue::try_from(place).ok()) {
            response.headers_mut().insert(LOCATION, place);
        }
        private(response)
    }
}

/// Pages that are found without `api/`, too.
const PLAIN: [&str; 4] = ["pool", "explain", "projects/join", "projects/split"];

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A query without parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParameters {}

/// The page below `/admin` that a request is about, if it is: however its path is written, as core reads it.
pub(crate) fn page_of(parts: &Parts, gateway: &Gateway) -> Option<String> {
    let path = parts.uri.path();
    // Most requests are told apart by this.
    if !path.contains("admin") && !path.contains('%') {
        return None;
    }
    let route = CoreRoute::find(&parts.method, &parts.uri, &parts.headers, &gateway.config().base_path);
    match route.map(|route| route.operation) {
        Ok(Operation::Admin { page }) => Some(page),
        _ => None,
    }
}

/// The answer where there is no administration, or not here.
pub(crate) fn elsewhere() -> Response<AnswerBody> {
    let problem = Problem::not_found(
        "There is no administration at this address (LIBRA_ADMIN_LISTEN). 此地址不提供管理接口（LIBRA_ADMIN_LISTEN）。",
    );
    refused(&problem)
}

/// The answer where there is nothing but the administration.
pub(crate) fn only_administration() -> Response<AnswerBody> {
    refused(&Problem::not_found(
        "This is the address of the administration: there is /admin, /health and /ready. 此地址仅提供管理接口。",
    ))
}

fn refused(problem: &Problem) -> Response<AnswerBody> {
    let body = serde_json::to_vec_pretty(&problem.body()).unwrap_or_default();
    let mut response = Response::new(AnswerBody::whole(body.into()));
    *response.status_mut() = problem.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    if let Some(allow) = problem.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
        headers.insert(ALLOW, allow);
    }
    if problem.is_unauthorized() {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"libra\""));
    }
    if let Some(wait) = problem.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)));
    }
    private(response)
}

/// Nothing of the administration is kept by whoever passes it on, and nothing of it is taken for a page.
fn private(mut response: Response<AnswerBody>) -> Response<AnswerBody> {
    const OPTIONS: HeaderName = HeaderName::from_static("x-content-type-options");
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn not_allowed(routes: &[&'static Route]) -> Problem {
    let mut methods: Vec<&str> = routes.iter().map(|route| route.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    let allow = methods.join(", ");
    let message = format!("This path takes {allow}.");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).allowing(allow)
}

/// A body that nobody wants is read within bounds, unless the client waits to be asked for it.
async fn refuse_body(parts: &Parts, body: Incoming) {
    if !parts.headers.contains_key(http::header::EXPECT) {
        drain(body).await;
    }
}

/// `key-` and 16 hexadecimal digits.
pub(crate) fn parsed_id(text: &str) -> Option<KeyId> {
    let digits = text.strip_prefix("key-")?;
    let fits = digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    fits.then(|| u64::from_str_radix(digits, 16).ok().map(KeyId::from_u64)).flatten()
}

/// Whether a key goes by a name: its id, the beginning of it, or its label.
pub(crate) fn key_named(id: KeyId, label: Option<&str>, name: &str) -> bool {
    label == Some(name) || name.len() >= "key-".len() + 6 && id.to_string().starts_with(name)
}

/// A token that was sent once more.
fn confirmed(token: &str) -> Result<(), Problem> {
    let is_short = !token.is_empty() && token.len() <= 512;
    if is_short { Ok(()) } else { Err(Problem::wrong_field("token", "token: expected 1 to 512 characters.")) }
}

/// A field that was given, be it as null.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
