//! From the head of a request to what it leads to.
//!
//! Everything that can be refused is refused from the head alone, in the client's own dialect: a stranger makes
//! nobody buffer a body.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use super::clients::permits;
use super::intake::{Intake, Wanted};
use super::{Gateway, Head};
use crate::admin;
use crate::affinity::address::{OWNER, UploadOwner};
use crate::answers;
use crate::auth::{Access, Presented};
use crate::check::Verification;
use crate::clients::ModelPatterns;
use crate::config::AliasFor;
use crate::error::{Dialect, Error, Kind};
use crate::exchange::Exchange;
use crate::home;
use crate::live;
use crate::mark::{Mark, RequestId};
use crate::resource::{self, Resource, ResourceCall};
use crate::route::{ModelCall, NoRoute, Operation, Route};
use crate::secret::ApiKey;
use crate::task::{Task, Tuned};
use crate::time::Timestamp;

/// The longest name of a model. Google's are below 100 bytes.
pub(super) const MODEL_NAME: usize = 256;

/// What a head leads to.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made and taken apart once a request, at once")]
pub enum Accepted {
    /// The answer, at once.
    Reply(Response<Bytes>),
    /// Read the body, within the intake's limits, and give it to the intake.
    NeedBody(Intake),
    /// Drive the exchange and stream the client's body into its one attempt.
    Stream(Exchange),
    /// Check keys.
    Verify(Verification),
    /// Accept the upgrade, and drive the session.
    Upgrade(Box<live::Session>),
}

impl Gateway {
    /// Whether somebody with the administration's token asks for `/admin/{page}`, which is the shell's own.
    pub fn administers(&self, head: &Head<'_>, page: &str) -> bool {
        let config = self.config();
        if !admin::is_admin(head.headers, config.admin_token.as_ref()) {
            return false;
        }
        let route = Route::find(head.method, head.uri, head.headers, &config.base_path);
        matches!(route, Ok(Route { operation: Operation::Admin { page: asked }, .. }) if asked == page)
    }

    /// Decides from the head alone what a request leads to.
    pub fn accept(self: &Arc<Self>, head: &Head<'_>, now: Timestamp) -> Accepted {
        let config = self.config();
        let route = Route::find(head.method, head.uri, head.headers, &config.base_path);
        let token = config.admin_token.as_ref();
        let is_admin =
            matches!(&route, Ok(Route { operation: Operation::Admin { .. }, .. })) && token.is_some();
        let id = RequestId::new(self.chance().u64(..));
        let (Ok(Route { dialect, .. }) | Err(NoRoute { dialect, .. })) = &route;
        let mark = Mark::new(id, *dialect, head.headers, token, !is_admin);
        let accepted = match route {
            _ if head.method == Method::OPTIONS && !is_admin => Accepted::Reply(preflight(head.headers)),
            Ok(route) => {
                let dialect = route.dialect;
                let accepted = self.admit(head, route, mark, now);
                accepted.unwrap_or_else(|error| Accepted::Reply(error.response(dialect, Some(id))))
            }
            Err(NoRoute { dialect, error }) => Accepted::Reply(error.response(dialect, Some(id))),
        };
        match accepted {
            Accepted::Reply(mut reply) => {
                mark.put_served(reply.headers_mut(), 0, None);
                Accepted::Reply(reply)
            }
            accepted => accepted,
        }
    }

    fn admit(
        self: &Arc<Self>,
        head: &Head<'_>,
        route: Route,
        mark: Mark,
        now: Timestamp,
    ) -> Result<Accepted, Error> {
        match route.operation {
            Operation::Admin { page } if self.config().admin_token.is_some() => {
                match admin::Change::asked(self, head, &page) {
                    // Nobody but the administration has a part in it: there are no keys to serve it with.
                    Some(change) => {
                        self.intake_for(head, Wanted::Admin(change), Access::Own(Vec::new()), mark, now)
                    }
                    None => Ok(Accepted::Reply(admin::answer(self, head, &page, now))),
                }
            }
            Operation::Admin { .. } => {
                let (path, base) = (head.uri.path(), &self.config().base_path);
                Err(NoRoute::not_found(route.dialect, path, head.headers, base).error)
            }
            Operation::Home if self.config().home => Ok(Accepted::Reply(home::page(&self.config()))),
            Operation::Home => Err(Error::new(Kind::NotFound, "Not found.")),
            Operation::Own(page) => self.own(head, page, now).map(Accepted::Reply),
            Operation::Health => Ok(Accepted::Reply(status_page(StatusCode::OK, "alive"))),
            Operation::Ready => Ok(Accepted::Reply(self.ready(now))),
            Operation::Verify { format } => self.verification(head, format, mark, now),
            Operation::Live(call) => {
                live::admit(self, head, call, mark, now).map(|session| Accepted::Upgrade(Box::new(session)))
            }
            Operation::Generation(form) => {
                self.intake(head, Wanted::Generation(form), route.dialect, mark, now)
            }
            Operation::Answer { id, act } => {
                let access = self.access(head, route.dialect, now)?;
                let query = head.uri.query().unwrap_or("");
                answers::answer(self, access.client(), &id, act, query, now).map(Accepted::Reply)
            }
            Operation::Model(call) => {
                let task = self.native(call)?;
                self.intake(head, Wanted::Task(task), route.dialect, mark, now)
            }
            Operation::Resource(call) => self.resource(head, call, mark, now),
            Operation::Objects(call) => self.intake(head, Wanted::Objects(call), route.dialect, mark, now),
            Operation::ModelList { version } => {
                let access = self.access(head, route.dialect, now)?;
                let query = crate::route::without_credentials(head.uri.query().unwrap_or(""));
                let only = match &access {
                    Access::Pool { client } => client.settings.models.clone(),
                    Access::Own(_) => ModelPatterns::default(),
                };
                let task = Task::ModelList { dialect: route.dialect, version, query, only };
                match self.kept(&task, &access, now) {
                    Some(kept) => Ok(Accepted::Reply(kept)),
                    None => self.intake_for(head, Wanted::Task(task), access, mark, now),
                }
            }
            Operation::ModelGet { version, model: asked } => {
                let operation = self.config().alias_kind(&asked);
                let model = self.served_model(&asked, operation)?;
                let task = Task::ModelGet { dialect: route.dialect, version, model, asked };
                self.intake(head, Wanted::Task(task), route.dialect, mark, now)
            }
        }
    }

    fn native(&self, call: ModelCall) -> Result<Task, Error> {
        let operation = if call.method.embeds() { AliasFor::Embed } else { AliasFor::Chat };
        let asked = match call.collection {
            "models" => Cow::Borrowed(call.model.as_str()),
            // A tuned model goes by its whole name, and no alias stands for it.
            collection => Cow::Owned(format!("{collection}/{}", call.model)),
        };
        let model = self.served_model(&asked, operation)?;
        Ok(Task::Native { call, model, tuned: Tuned::default() })
    }

    /// A call about an object.
    fn resource(
        self: &Arc<Self>,
        head: &Head<'_>,
        call: ResourceCall,
        mark: Mark,
        now: Timestamp,
    ) -> Result<Accepted, Error> {
        let query = call.query.clone().unwrap_or_default();
        let upload = UploadOwner::find(&query);
        let presented = Presented::find(head.uri, head.headers);
        let config = self.config();
        let access = match (presented.access(&config), &upload) {
            // The address is a credential of its own: SDKs send no key with the bytes.
            (Err(_), Some(owner)) if presented.is_none() && self.has_signed(owner, None, &query) => {
                let client = config.clients.find(owner.client);
                Access::Pool { client: client.cloned().ok_or_else(foreign_upload)? }
            }
            (access, _) => access.map_err(|error| self.slowed(error, &presented, head, now))?,
        };
        if let Access::Pool { client } = &access {
            permits(client, head, Dialect::Gemini, &config, now)?;
        }
        let own = match &access {
            Access::Pool { .. } => None,
            Access::Own(keys) => Some(keys.as_slice()),
        };
        let is_theirs = match &upload {
            Some(owner) => owner.client == access.client() && self.has_signed(owner, own, &query),
            // An address as Google has given it: somebody's own key may have begun it without this gateway.
            None => {
                call.kind() != resource::Kind::Upload
                    || !query.contains(OWNER) && own.is_some_and(|own| own.len() == 1)
            }
        };
        if !is_theirs {
            return Err(foreign_upload());
        }
        let model = call.model_method().map(|(model, _)| model.to_owned());
        let model = match &model {
            Some(model) => Some(self.served_model(model, AliasFor::Chat)?),
            None => None,
        };
        let task = Task::Resource(Box::new(Resource::new(call, model, upload)));
        self.intake_for(head, Wanted::Task(task), access, mark, now)
    }

    /// Whether an upload's address was made here.
    fn has_signed(&self, owner: &UploadOwner, own: Option<&[ApiKey]>, query: &str) -> bool {
        let key = match own {
            Some(own) => own.iter().find(|key| key.id() == owner.key).cloned(),
            None => self.pool(false).key(owner.key),
        };
        key.is_some_and(|key| owner.is_signed_by(&key, query))
    }

    /// The upstream's model that a client's name stands for, without what is wished for behind it.
    pub(crate) fn served_model(&self, asked: &str, operation: AliasFor) -> Result<String, Error> {
        // The client's own name for it goes into every event of an answer.
        let config = self.config();
        let (plain, _) = config.parted(asked);
        let (model, _) = config.parted(config.resolve_model(plain, operation));
        let plausible = !model.is_empty()
            && asked.len().max(model.len()) <= MODEL_NAME
            && !model.chars().any(char::is_control)
            && model.split('/').all(|part| !matches!(part, "." | ".." | ""));
        if plausible && config.model_allowed(model) {
            return Ok(model.to_owned());
        }
        let name: String = asked.chars().filter(|char| !char.is_control()).take(100).collect();
        let message = format!("The model {name} is not served here. 此网关不提供模型 {name}。");
        Err(Error { param: Some("model".to_owned()), ..Error::new(Kind::ModelNotFound, message) })
    }
}

fn foreign_upload() -> Error {
    let message = "This address does not belong to an upload of this client. 该上传地址不属于此客户端。";
    Error::new(Kind::Forbidden, message)
}

fn preflight(asked: &HeaderMap) -> Response<Bytes> {
    const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    // A star would not cover Authorization: what was asked for is named.
    let allowed = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed.unwrap_or(HeaderValue::from_static("*")));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    if asked.contains_key(PRIVATE_NETWORK) {
        let name = HeaderName::from_static("access-control-allow-private-network");
        headers.insert(name, HeaderValue::from_static("true"));
    }
    response
}

fn status_page(status: StatusCode, word: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{{\"status\":\"{word}\"}}")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
