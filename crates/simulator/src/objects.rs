//! Objects that belong to the project of the key that made them: files, caches, batches and their like. With a key of
//! another project they are as if they were not there, and the errors are those that Google has for strangers.
//!
//! One module a kind; [`shelf`] is where they all lie, [`references`] finds them in prompts.

mod batches;
mod caches;
mod corpora;
mod decisions;
mod files;
mod interactions;
mod media;
mod multipart;
mod operations;
pub(crate) mod references;
mod resources;
mod route;
mod session;
mod shelf;
mod stores;
mod tokens;
mod upload;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::Value;

use crate::asked::{self, Asked};
use crate::call::{Call, Operation};
use crate::clock::UnixMillis;
use crate::errors::{Form, GoogleError, NOT_FOUND_PAGE};
use crate::fault::Fault;
use crate::plan::{HTML, Plan, Reply};
use crate::simulator::{Caller, ProjectId, Simulator};

pub(crate) use batches::{Batches, Work};
pub(crate) use caches::Caches;
pub(crate) use corpora::Corpora;
pub(crate) use files::{File, Files};
pub(crate) use interactions::Interactions;
pub(crate) use operations::{Film, Operations};
pub(crate) use resources::Resources;
pub(crate) use route::Route;
pub(crate) use session::{Taken, Uploads, Writing};
pub(crate) use stores::Stores;
pub(crate) use tokens::Tokens;
pub(crate) use upload::is_streamed;

/// Everything that keys have made.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub(crate) files: Files,
    pub(crate) uploads: Uploads,
    pub(crate) operations: Operations,
    pub(crate) caches: Caches,
    pub(crate) batches: Batches,
    pub(crate) stores: Stores,
    pub(crate) resources: Resources,
    pub(crate) corpora: Corpora,
    pub(crate) tokens: Tokens,
    pub(crate) interactions: Interactions,
}

/// A request for an object that is being answered.
pub(crate) struct Asking<'a> {
    simulator: &'a Arc<Simulator>,
    request: &'a Request<Bytes>,
    route: &'a Route,
    caller: &'a Caller,
    project: ProjectId,
    now: UnixMillis,
}

/// The largest body that becomes an object as it is. There may be some thousand of them.
const MOST_KEPT: usize = 256 << 10;

/// What one kind of object answers. `None`: there is nothing of the sort at Google.
type Answered = Result<Option<Reply>, GoogleError>;

/// The answer to a request for objects. Faults of the key meet it here, too, and those that any service of Google's has.
pub(crate) fn answer(
    simulator: &Arc<Simulator>,
    request: &Request<Bytes>,
    route: &Route,
    caller: &Caller,
    now: UnixMillis,
) -> Plan {
    if caller.fault == Some(Fault::ResetBeforeHeaders) {
        return Plan::Reset;
    }
    let answered = admit(simulator, request, route, caller, now)
        .and_then(|project| Asking { simulator, request, route, caller, project, now }.plan());
    answered.unwrap_or_else(|error| Plan::Answer(Reply::error(&error, Form::Single)))
}

/// The project of a key that may ask for objects.
pub(crate) fn admit(
    simulator: &Arc<Simulator>,
    request: &Request<Bytes>,
    route: &Route,
    caller: &Caller,
    now: UnixMillis,
) -> Result<ProjectId, GoogleError> {
    let call = as_list(route);
    let asked = Asked { simulator, request, call: &call, caller, now };
    let meets = |fault: &Fault| {
        fault.is_of_the_key() || matches!(fault, Fault::Internal | Fault::Overloaded | Fault::BareExhausted)
    };
    let fault = caller.fault.filter(meets);
    if let Some(error) = fault.and_then(|fault| asked.refuse(fault, 0)) {
        return Err(error);
    }
    caller.project.ok_or_else(GoogleError::key_invalid)
}

/// Objects are asked for without a model, as the list of models is.
fn as_list(route: &Route) -> Call {
    Call { version: route.version, model: String::new(), operation: Operation::ListModels }
}

impl Asking<'_> {
    fn plan(&self) -> Result<Plan, GoogleError> {
        if self.route.path == ["interactions"] && *self.method() == Method::POST {
            return interactions::create(self).map_err(GoogleError::in_words);
        }
        Ok(Plan::Answer(self.answer()?.unwrap_or_else(|| Reply::whole(404, HTML, NOT_FOUND_PAGE))))
    }

    fn answer(&self) -> Answered {
        match self.route.path[0].as_str() {
            _ if self.route.path.iter().any(|part| part == "operations") => operations::answer(self),
            "files" => files::answer(self),
            "cachedContents" => caches::answer(self),
            "batches" => batches::answer(self),
            "fileSearchStores" => stores::answer(self),
            "corpora" | "tunedModels" => corpora::answer(self),
            "auth_tokens" => tokens::answer(self),
            "interactions" => interactions::answer(self).map_err(GoogleError::in_words),
            "decisions" => decisions::answer(self).map_err(GoogleError::in_words),
            "agents" | "environments" | "credentials" | "triggers" | "webhooks" | "voices" => {
                resources::answer(self).map_err(GoogleError::in_words)
            }
            _ => Ok(None),
        }
    }

    fn method(&self) -> &Method {
        self.request.method()
    }

    /// What is done while nobody else may.
    fn objects<T>(&self, work: impl FnOnce(&mut Objects) -> T) -> T {
        self.simulator.objects(work)
    }

    /// The body, unpacked.
    fn body(&self) -> Result<Bytes, GoogleError> {
        let call = as_list(self.route);
        let (simulator, request, caller, now) = (self.simulator, self.request, self.caller, self.now);
        Asked { simulator, request, call: &call, caller, now }.body()
    }

    /// The body as an object.
    fn json(&self) -> Result<Value, GoogleError> {
        asked::parse(&self.body()?)
    }

    /// The same of a body that is kept.
    fn small_json(&self) -> Result<Value, GoogleError> {
        let body = self.body()?;
        if body.len() > MOST_KEPT {
            return Err(GoogleError::invalid(format!(
                "Request payload size exceeds the limit: {MOST_KEPT} bytes."
            )));
        }
        asked::parse(&body)
    }

    /// A header of the request. Empty where there is none, or none that is text.
    fn header(&self, name: &str) -> &str {
        header(self.request.headers(), name)
    }
}

/// A header that is text; empty where there is none.
pub(crate) fn header<'a>(headers: &'a http::HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}
