//! A data folder for libra, and files to make in its projects.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use rusqlite::Connection;
use serde_json::Value;

use crate::running::{CLIENT, Running, text};

/// Where clients reach libra, whatever the port of the running one is.
pub const PUBLIC: &str = "http://libra.example";

/// A data folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("libra-data-{}-{number}", std::process::id())))
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }

    pub fn database(&self) -> Connection {
        let database = Connection::open(self.0.join("libra.db")).expect("a database");
        database.busy_timeout(Duration::from_secs(5)).expect("it waits");
        database
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.database().query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A request of either client.
pub fn request(
    running: &Running,
    client: &str,
    method: Method,
    path: &str,
    body: &str,
) -> Request<Full<Bytes>> {
    let mut request = running.request(method, path, body.to_owned());
    let bearer = format!("Bearer {client}").parse().expect("a header");
    request.headers_mut().insert("authorization", bearer);
    request.headers_mut().insert("x-goog-api-client", "google-genai-sdk/1.0".parse().expect("a header"));
    request
}

pub async fn ask(running: &Running, client: &str, method: Method, path: &str, body: &str) -> (u16, String) {
    let answer = running.send(request(running, client, method, path, body)).await;
    (answer.status().as_u16(), text(answer).await.expect("a whole body"))
}

/// Uploads a file. Its name and its address.
pub async fn upload(running: &Running) -> (String, String) {
    let file = r#"{"file":{"displayName":"notes"}}"#;
    let mut begin = request(running, CLIENT, Method::POST, "/upload/v1beta/files", file);
    for (name, value) in [
        ("x-goog-upload-protocol", "resumable"),
        ("x-goog-upload-command", "start"),
        ("x-goog-upload-header-content-length", "5"),
        ("x-goog-upload-header-content-type", "text/plain"),
    ] {
        begin.headers_mut().insert(name, value.parse().expect("a header"));
    }
    let begun = running.send(begin).await;
    let address = begun.headers()["x-goog-upload-url"].to_str().expect("text").to_owned();
    let path = address.strip_prefix(&running.base).or_else(|| address.strip_prefix(PUBLIC));
    let path = path.unwrap_or_else(|| panic!("{address}"));
    let mut bytes = request(running, CLIENT, Method::POST, path, "notes");
    for (name, value) in [("x-goog-upload-command", "upload, finalize"), ("x-goog-upload-offset", "0")] {
        bytes.headers_mut().insert(name, value.parse().expect("a header"));
    }
    let done = text(running.send(bytes).await).await.expect("a whole body");
    let done: Value = serde_json::from_str(&done).unwrap_or_else(|_| panic!("{done}"));
    let part = |name: &str| done["file"][name].as_str().unwrap_or_else(|| panic!("{done}")).to_owned();
    (part("name"), part("uri"))
}
