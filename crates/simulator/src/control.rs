//! The simulator's own endpoints, under `/_simulator/`: counts, log, reset, clock, conditions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::Condition;
use crate::plan::{JSON, Reply};
use crate::simulator::Simulator;

/// `POST /_simulator/clock`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: u64,
}

/// `POST /_simulator/keys`: of a key or of a project.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    key: Option<String>,
    project: Option<String>,
    condition: Condition,
}

/// Answers a request to `/_simulator/{path}`.
pub(crate) fn answer(simulator: &Arc<Simulator>, request: &Request<Bytes>, path: &str) -> Reply {
    let answer = match (request.method(), path) {
        (&Method::GET, "counts") => Ok(json!(simulator.counts())),
        (&Method::GET, "log") => Ok(simulator.log()),
        (&Method::GET, "keys") => Ok(simulator.conditions()),
        (&Method::POST, "reset") => {
            simulator.reset();
            Ok(json!({}))
        }
        (&Method::POST, "clock") => read(request).map(|Advance { advance_ms }| {
            simulator.clock().advance(Duration::from_millis(advance_ms));
            json!({ "now_ms": simulator.clock().now() })
        }),
        (&Method::POST, "keys") => read(request).and_then(|change| set(simulator, change)),
        _ => Err((404, "counts, log, keys (GET); reset, clock, keys (POST)".to_owned())),
    };
    let (status, body) = match answer {
        Ok(body) => (200, body),
        Err((status, message)) => (status, json!({ "error": message })),
    };
    Reply::whole(status, JSON, body.to_string())
}

fn read<'a, T: Deserialize<'a>>(request: &'a Request<Bytes>) -> Result<T, (u16, String)> {
    serde_json::from_slice(request.body()).map_err(|error| (400, error.to_string()))
}

fn set(simulator: &Simulator, change: Change) -> Result<Value, (u16, String)> {
    let is_known = match (&change.key, &change.project) {
        (Some(key), None) => simulator.set_key(key, change.condition),
        (None, Some(project)) => simulator.set_project(project, change.condition),
        _ => return Err((400, "either a key or a project is needed".to_owned())),
    };
    if is_known { Ok(json!({})) } else { Err((404, "there is no such key or project".to_owned())) }
}
