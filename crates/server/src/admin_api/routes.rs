//! All paths of the administration, once: what is served and what is described is made of the same table.

use std::sync::LazyLock;

use http::Method;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, ToSchema};

use super::access::Role;
use super::{clients, keys, projects, settings, usage, verify};

/// The largest body of keys: 200,000 of them, with their projects.
pub(super) const MOST_KEYS_BYTES: usize = 16_000_000;

/// The largest other body.
const MOST_BYTES: usize = 256 << 10;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Document,
    Pool,
    Explain,
    Keys,
    AddKeys,
    ChangeKey,
    RemoveKey,
    RemoveKeys,
    ExportKeys,
    BeginCheck,
    Check,
    EndCheck,
    Clients,
    AddClient,
    ChangeClient,
    RemoveClient,
    RotateClient,
    Projects,
    ChangeProject,
    JoinKeys,
    SplitKeys,
    Usage,
    Requests,
    Settings,
    ChangeSetting,
    Audit,
    Reload,
}

/// A method of a path.
pub(crate) struct Route {
    pub(crate) method: Method,
    /// Below `/admin/api`.
    pub(crate) path: &'static str,
    pub(crate) call: Call,
    /// Its name for generated clients.
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    /// Who may.
    pub(crate) role: Role,
    pub(crate) query: Option<fn() -> Vec<Parameter>>,
    pub(crate) body: Option<BodyTaken>,
    pub(crate) answer: Said,
    /// What it may be refused with beside what any may.
    pub(crate) refusals: &'static [u16],
}

/// A body that is read.
pub(crate) struct BodyTaken {
    pub(crate) described: fn() -> Described,
    pub(crate) most: usize,
    /// Whether it may also be plain text.
    pub(crate) takes_text: bool,
}

/// What is answered.
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) described: Option<fn() -> Described>,
    /// Whether it may also be a table.
    pub(crate) is_table: bool,
}

/// A type as the document describes it.
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) schema: RefOr<Schema>,
    /// What it is made of.
    pub(crate) parts: Vec<(String, RefOr<Schema>)>,
}

fn of<T: ToSchema>() -> Described {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    Described { name: T::name().into_owned(), schema: T::schema(), parts }
}

fn query<T: IntoParams>() -> Vec<Parameter> {
    T::into_params(|| None)
}

/// An object that is described elsewhere.
#[derive(ToSchema)]
#[schema(as = Anything)]
#[expect(dead_code, reason = "a description")]
pub(super) struct Anything {
    #[schema(inline)]
    #[serde(flatten)]
    fields: std::collections::HashMap<String, serde_json::Value>,
}

fn json<T: ToSchema>() -> Said {
    Said { status: 200, described: Some(of::<T>), is_table: false }
}

const NOTHING: Said = Said { status: 204, described: None, is_table: false };

fn body<T: ToSchema>() -> Option<BodyTaken> {
    Some(BodyTaken { described: of::<T>, most: MOST_BYTES, takes_text: false })
}

fn route(method: Method, path: &'static str, call: Call, name: &'static str, answer: Said) -> Route {
    Route {
        method,
        path,
        call,
        name,
        summary: "",
        role: Role::Administrator,
        query: None,
        body: None,
        answer,
        refusals: &[],
    }
}

/// A change that goes to disk.
const CHANGES: &[u16] = &[409, 422, 503];
const CHANGES_ONE: &[u16] = &[404, 409, 422, 503];

/// All of them.
pub(crate) static ROUTES: LazyLock<[Route; 27]> = LazyLock::new(|| {
    [
        Route {
            role: Role::Reader,
            summary: "This description.",
            ..route(Method::GET, "/openapi.json", Call::Document, "getDescription", json::<Anything>())
        },
        Route {
            role: Role::Reader,
            summary: "The pool now: keys, projects, counts, limits and rests.",
            ..route(Method::GET, "/pool", Call::Pool, "getPool", json::<Anything>())
        },
        Route {
            role: Role::Reader,
            summary: "Which project would serve a request now, and why not the others.",
            query: Some(query::<super::pool::ExplainAsked>),
            refusals: &[404],
            ..route(Method::GET, "/explain", Call::Explain, "explain", json::<Anything>())
        },
        Route {
            role: Role::Reader,
            summary: "The keys of the pool, never themselves.",
            query: Some(query::<keys::KeysAsked>),
            ..route(Method::GET, "/keys", Call::Keys, "listKeys", json::<keys::Keys>())
        },
        Route {
            summary: "Adds keys: one or thousands, as they are pasted. On disk when it is answered.",
            body: Some(BodyTaken { described: of::<keys::AddKeys>, most: MOST_KEYS_BYTES, takes_text: true }),
            refusals: CHANGES,
            ..route(Method::POST, "/keys", Call::AddKeys, "addKeys", json::<keys::KeysAdded>())
        },
        Route {
            summary: "Changes what is said of a key: label, tags, project, whether it is paused.",
            body: body::<keys::ChangeKey>(),
            refusals: CHANGES_ONE,
            ..route(Method::PATCH, "/keys/{id}", Call::ChangeKey, "changeKey", json::<keys::Key>())
        },
        Route {
            summary: "Removes a key for ever. One of the settings can be paused, not removed.",
            refusals: CHANGES_ONE,
            ..route(Method::DELETE, "/keys/{id}", Call::RemoveKey, "removeKey", NOTHING)
        },
        Route {
            summary: "Removes keys for ever: all of these, or none.",
            body: Some(BodyTaken { described: of::<keys::KeyIds>, most: MOST_KEYS_BYTES, takes_text: false }),
            refusals: CHANGES_ONE,
            ..route(Method::POST, "/keys/remove", Call::RemoveKeys, "removeKeys", NOTHING)
        },
        Route {
            summary: "The keys themselves. Asks for the token once more, and is noted in the log of changes.",
            body: body::<keys::Confirm>(),
            refusals: CHANGES,
            ..route(Method::POST, "/keys/export", Call::ExportKeys, "exportKeys", json::<keys::Exported>())
        },
        Route {
            summary: "Begins to check keys with a short request each; the answer says where its progress is.",
            body: Some(BodyTaken {
                described: of::<verify::VerifyKeys>,
                most: MOST_KEYS_BYTES,
                takes_text: false,
            }),
            refusals: &[409, 422],
            ..route(
                Method::POST,
                "/keys/verify",
                Call::BeginCheck,
                "beginCheck",
                Said { status: 202, described: Some(of::<verify::Job>), is_table: false },
            )
        },
        Route {
            role: Role::Reader,
            summary: "How far a check is, and which keys are not good.",
            query: Some(query::<verify::JobAsked>),
            refusals: &[404],
            ..route(Method::GET, "/checks/{id}", Call::Check, "getCheck", json::<verify::Job>())
        },
        Route {
            summary: "Ends a check.",
            refusals: &[404],
            ..route(Method::DELETE, "/checks/{id}", Call::EndCheck, "endCheck", NOTHING)
        },
        Route {
            role: Role::Reader,
            summary: "The clients, never their keys.",
            ..route(Method::GET, "/clients", Call::Clients, "listClients", json::<clients::Clients>())
        },
        Route {
            summary: "Adds a client: a name is enough. The answer holds its key, this once.",
            body: body::<clients::AddClient>(),
            refusals: CHANGES,
            ..route(
                Method::POST,
                "/clients",
                Call::AddClient,
                "addClient",
                Said { status: 201, described: Some(of::<clients::ClientWithKey>), is_table: false },
            )
        },
        Route {
            summary: "Changes what is said of a client: its name, and how much it may use.",
            body: body::<clients::ChangeClient>(),
            refusals: CHANGES_ONE,
            ..route(
                Method::PATCH,
                "/clients/{id}",
                Call::ChangeClient,
                "changeClient",
                json::<clients::Client>(),
            )
        },
        Route {
            summary: "Removes a client: its key opens nothing from then on.",
            refusals: CHANGES_ONE,
            ..route(Method::DELETE, "/clients/{id}", Call::RemoveClient, "removeClient", NOTHING)
        },
        Route {
            summary: "Gives a client another key, which the answer holds this once; the one it had opens nothing any more.",
            refusals: CHANGES_ONE,
            ..route(
                Method::POST,
                "/clients/{id}/rotate",
                Call::RotateClient,
                "rotateClient",
                json::<clients::ClientWithKey>(),
            )
        },
        Route {
            role: Role::Reader,
            summary: "The projects that have a name.",
            ..route(Method::GET, "/projects", Call::Projects, "listProjects", json::<projects::Projects>())
        },
        Route {
            summary: "Changes what is said of a project: label, tier, priority, limits.",
            body: body::<projects::ChangeProject>(),
            refusals: CHANGES_ONE,
            ..route(
                Method::PATCH,
                "/projects/{id}",
                Call::ChangeProject,
                "changeProject",
                json::<projects::Project>(),
            )
        },
        Route {
            summary: "Says that keys are of one project.",
            body: Some(BodyTaken { described: of::<projects::KeysNamed>, most: 64 << 10, takes_text: false }),
            refusals: &[422],
            ..route(
                Method::POST,
                "/projects/join",
                Call::JoinKeys,
                "joinKeys",
                json::<projects::KeysPlaced>(),
            )
        },
        Route {
            summary: "Says that each of these keys is of a project of its own.",
            body: Some(BodyTaken { described: of::<projects::KeysNamed>, most: 64 << 10, takes_text: false }),
            refusals: &[422],
            ..route(
                Method::POST,
                "/projects/split",
                Call::SplitKeys,
                "splitKeys",
                json::<projects::KeysPlaced>(),
            )
        },
        Route {
            role: Role::Reader,
            summary: "What was used, by day, client, project and model.",
            query: Some(query::<usage::UsageAsked>),
            refusals: &[409, 503],
            ..route(
                Method::GET,
                "/usage",
                Call::Usage,
                "getUsage",
                Said { status: 200, described: Some(of::<usage::Usage>), is_table: true },
            )
        },
        Route {
            role: Role::Reader,
            summary: "The log of requests: nothing of what was said.",
            query: Some(query::<usage::RequestsAsked>),
            refusals: &[409, 422, 503],
            ..route(Method::GET, "/requests", Call::Requests, "listRequests", json::<usage::Requests>())
        },
        Route {
            role: Role::Reader,
            summary: "Every setting, where it is set, and whether it can be changed here.",
            ..route(Method::GET, "/settings", Call::Settings, "listSettings", json::<settings::Settings>())
        },
        Route {
            summary: "Changes a setting. What files or the environment set cannot be changed here.",
            body: body::<settings::ChangeSetting>(),
            refusals: CHANGES_ONE,
            ..route(
                Method::PATCH,
                "/settings",
                Call::ChangeSetting,
                "changeSetting",
                json::<settings::Setting>(),
            )
        },
        Route {
            role: Role::Reader,
            summary: "The log of changes, newest first.",
            query: Some(query::<settings::AuditAsked>),
            refusals: &[409, 503],
            ..route(Method::GET, "/audit", Call::Audit, "listChanges", json::<settings::Audit>())
        },
        Route {
            summary: "Reads files and the environment again. Where something is wrong, all stays as it is.",
            refusals: CHANGES,
            ..route(Method::POST, "/reload", Call::Reload, "reload", json::<settings::Reloaded>())
        },
    ]
});
