//! The administration from a terminal: `libra keys`, `clients`, `usage`, `logs` and `import`.
//!
//! All of them speak with [`Reach`]: the running gateway over HTTP, or the store where none runs. Both give the same answers.

mod clients;
mod import;
mod keys;
mod usage;

use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use libra_core::gateway::Gateway as Core;
use libra_core::secret::ApiKey;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use self::clients::clients;
pub(crate) use self::import::import;
pub(crate) use self::keys::keys;
pub(crate) use self::usage::{logs, usage};
use crate::StartError;
use crate::admin::Gateway;
use crate::admin_api::{Access, AdminApi};
use crate::administration::Administration;
use crate::cli::{Asked, Options};
use crate::settings::Settings;
use crate::store::{Reports, StoreError};
use crate::trust;
use crate::upstream::Upstream;

/// What is administered.
pub(crate) enum Reach {
    /// A running gateway.
    Running(Box<Gateway>),
    /// The store, while no gateway uses it.
    Store(Box<AdminApi>, ApiKey),
}

impl Reach {
    /// The gateway at `--url`; else the store of this machine, or the gateway that uses it.
    ///
    /// # Errors
    /// There is neither, or how to be let in is not known.
    pub(crate) fn find(options: &Options, settings: &Settings, asked: &Asked) -> Result<Self, StartError> {
        if asked.url.is_none() {
            match Administration::of_store(options, settings.clone()) {
                Ok(administration) => return Self::of_store(administration, settings),
                // Somebody uses it, or there is none.
                Err(StoreError::InUse(_) | StoreError::NoFolder | StoreError::Nothing(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self::Running(Box::new(Gateway::found(settings, asked)?)))
    }

    fn of_store(administration: Administration, settings: &Settings) -> Result<Self, StartError> {
        let folder = settings.store.folder()?;
        eprintln!("libra: no gateway runs; this is the store at {}", folder.display());
        let core = Core::new(administration.config(), crate::seed());
        let trusted = trust::client_config(settings.outward.ca_file.as_deref())?;
        let upstream = Arc::new(Upstream::new(&settings.outward, &trusted, Some(&core)));
        // Nobody else hears of it: it is what is shown where a token is asked for once more.
        let token = ApiKey::new(&format!("local-{:016x}", crate::seed()));
        let access = Access::new(token.clone(), None);
        let reports = Some(Reports::of(folder));
        Ok(Self::Store(
            Box::new(AdminApi::new(core, upstream, Arc::new(administration), reports, access)),
            token,
        ))
    }

    /// What opens it.
    fn token(&self) -> &ApiKey {
        match self {
            Self::Running(gateway) => gateway.token(),
            Self::Store(_, token) => token,
        }
    }

    /// The answer as it comes.
    ///
    /// # Errors
    /// It is refused, with the reason.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<String, StartError> {
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        match self {
            Self::Running(gateway) => gateway.request(&method, path, body).await,
            Self::Store(api, _) => {
                let (status, body) = api.answer_locally(&method, path, body).await;
                let text = String::from_utf8_lossy(&body).into_owned();
                if status.is_success() {
                    return Ok(text);
                }
                let error: Value = serde_json::from_str(&text).unwrap_or_default();
                Err(error["error"]["message"].as_str().unwrap_or("that cannot be done").into())
            }
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, StartError> {
        read(&self.ask(Method::GET, path, None).await?)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<T, StartError> {
        read(&self.ask(method, path, Some(body)).await?)
    }
}

fn read<T: DeserializeOwned>(answer: &str) -> Result<T, StartError> {
    serde_json::from_str(answer).map_err(|_| "the gateway is another version of libra, or none".into())
}

/// A query of what is given.
fn query(parameters: &[(&str, Option<String>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    match query.finish() {
        text if text.is_empty() => text,
        text => format!("?{text}"),
    }
}

/// A table of words; empty cells are a dash.
fn shown<const COLUMNS: usize>(header: [&str; COLUMNS], rows: Vec<[String; COLUMNS]>) -> String {
    let dash = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
    let mut all = vec![header.map(str::to_owned)];
    all.extend(rows.into_iter().map(|row| row.map(dash)));
    crate::table::table(&all)
}

fn done() -> Result<ExitCode, StartError> {
    Ok(ExitCode::SUCCESS)
}
