//! Objects that belong to one project: made, named, listed and fetched by clients who know nothing of projects.

#[path = "../harness/mod.rs"]
mod harness;

mod exhausted;
mod google;
mod lists;
mod owners;
mod uploads;

use harness::{Call, Harness, projects};
use libra_core::config::Config;
use libra_core::secret::ApiKey;

/// A pool of five projects with two keys each, and two clients.
fn pool() -> Config {
    Config { admin_token: Some(ApiKey::new("the-administrators-token")), ..projects(5) }
}

/// A call of the first client, whose address for the gateway is `http://libra.example`.
fn call(method: &str, path: &str, body: &str) -> Call {
    Call {
        method: method.parse().expect("a method"),
        headers: vec![
            ("x-goog-api-key", harness::CLIENT.to_owned()),
            ("host", "libra.example".to_owned()),
            ("content-type", "application/json".to_owned()),
        ],
        ..Call::post(path, body.to_owned())
    }
}

/// The same of the other client.
fn others(method: &str, path: &str, body: &str) -> Call {
    let mut call = call(method, path, body);
    call.headers[0].1 = "other-client".to_owned();
    call
}

fn harness() -> Harness {
    Harness::new(pool())
}
