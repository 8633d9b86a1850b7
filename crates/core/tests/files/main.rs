//! OpenAI's files and batches, against a Google whose objects belong to projects.

#[path = "../harness/mod.rs"]
mod harness;

mod batches;
mod google;
mod large;
#[path = "../harness/mutation.rs"]
mod mutation;
mod noise;
mod uploads;

use harness::{Call, Harness, Seen, projects};
use libra_core::config::Config;
use serde_json::Value;

use crate::google::Google;

const BOUNDARY: &str = "a-boundary-of-the-tests";

/// Four projects with two keys each, and two clients.
fn pool() -> Config {
    projects(4)
}

struct World {
    harness: Harness,
    google: Google,
}

impl World {
    fn new() -> Self {
        Self { harness: Harness::new(pool()), google: Google::default() }
    }

    /// The same Google, and a gateway that knows nothing.
    fn restarted(self) -> Self {
        Self { harness: Harness::new(pool()), google: self.google }
    }

    fn send(&mut self, call: &Call) -> Seen {
        self.harness.send(call, |request| self.google.answer(request))
    }

    /// Sends a call that is answered with JSON of this status.
    fn ask(&mut self, call: &Call, status: u16) -> Value {
        let seen = self.send(call);
        assert_eq!(seen.status, status, "{} {}: {}", call.method, call.path, seen.text());
        serde_json::from_str(seen.text()).unwrap_or_else(|error| panic!("{error}: {}", seen.text()))
    }

    fn get(&mut self, path: &str) -> Value {
        self.ask(&Call::get(path), 200)
    }

    /// Sends a call that is refused: the message, and the field at fault.
    fn refused(&mut self, call: &Call, status: u16) -> (String, Value) {
        let error = self.ask(call, status);
        let message = error["error"]["message"].as_str().expect("an error in OpenAI's words");
        (message.to_owned(), error["error"]["param"].clone())
    }

    fn upload(&mut self, purpose: &str, name: &str, content: &str) -> Value {
        self.ask(&form(&[("purpose", None, purpose), ("file", Some(name), content)]), 200)
    }
}

/// A form for `/v1/files`: names of fields, names of files, and what they hold.
fn form(fields: &[(&str, Option<&str>, &str)]) -> Call {
    let mut body = String::new();
    for (name, file, content) in fields {
        body.push_str(&format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\""));
        if let Some(file) = file {
            body.push_str(&format!("; filename=\"{file}\"\r\nContent-Type: application/octet-stream"));
        }
        body.push_str(&format!("\r\n\r\n{content}\r\n"));
    }
    body.push_str(&format!("--{BOUNDARY}--\r\n"));
    Call::post("/v1/files", body).with("content-type", &format!("multipart/form-data; boundary={BOUNDARY}"))
}

fn delete(path: &str) -> Call {
    Call { method: http::Method::DELETE, ..Call::get(path) }
}

/// The same call of the other client.
fn others(mut call: Call) -> Call {
    call.headers[0].1 = "Bearer other-client".to_owned();
    call
}
