//! As much of Google as shows whose an object is.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::harness::{Canned, End};

/// What the projects have.
#[derive(Default)]
pub(crate) struct Google {
    /// Objects by name: the project of each.
    pub(crate) objects: BTreeMap<String, String>,
    /// Keys that do not work any more.
    pub(crate) dead: Vec<String>,
    /// Bytes of each upload that have arrived.
    pub(crate) uploads: BTreeMap<String, (String, Vec<u8>)>,
    /// Projects whose quota is used up, and whether it is that of the day.
    pub(crate) used_up: Vec<String>,
    pub(crate) for_today: bool,
    /// The next piece of an upload breaks off behind so many bytes, in this way.
    pub(crate) cut: Option<(usize, End)>,
    /// Every request: method, path, key, body.
    pub(crate) seen: Vec<(String, String, String, String)>,
    made: u32,
}

pub(crate) const HOST: &str = "https://generativelanguage.googleapis.com";

const QUOTA: &str = r#"{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED","details":[
    {"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaDimensions":{"location":"global","model":"m"},"quotaValue":"10"}]},
    {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"40s"}]}}"#;

impl Google {
    /// The answer to a request.
    pub(crate) fn answer(&mut self, request: &Request<Option<Bytes>>) -> Canned {
        let path = request.uri().path_and_query().expect("a path").as_str().to_owned();
        let method = request.method().as_str().to_owned();
        let header = |name: &str| {
            request.headers().get(name).map_or("", |value| value.to_str().expect("ASCII")).to_owned()
        };
        let key = header("x-goog-api-key");
        let body = request.body().clone().unwrap_or_default();
        let text = String::from_utf8_lossy(&body).into_owned();
        self.seen.push((method.clone(), path.clone(), key.clone(), text.clone()));
        if self.dead.contains(&key) {
            let message = "API key not valid. Please pass a valid API key.";
            return error(400, "INVALID_ARGUMENT", message);
        }
        let project = key.split('-').next().unwrap_or_default().to_owned();
        let (plain, query) = path.split_once('?').unwrap_or((&path, ""));
        let parts: Vec<&str> = plain.split('/').filter(|part| !part.is_empty()).collect();
        match (method.as_str(), parts.as_slice()) {
            ("POST", ["upload", _, "files"]) if query.contains("uploadType=multipart") => {
                assert!(header("content-type").starts_with("multipart/related; boundary="));
                let name = self.make(&project, "files");
                let file = json!({ "file": { "name": name, "uri": format!("{HOST}/v1beta/{name}"), "state": "ACTIVE" } });
                Canned::json(200, file.to_string())
            }
            ("POST", ["upload", _, "files"]) if !query.contains("upload_id") => self.start(&project),
            (_, ["upload", _, "files"]) => self.piece(
                &project,
                query,
                &header("x-goog-upload-command"),
                &header("x-goog-upload-offset"),
                &body,
            ),
            ("GET", ["v1beta", "files", id]) if id.ends_with(":download") => {
                Canned::json(302, r#"{"error":{"code":302,"message":"Unknown Error.","status":"UNKNOWN"}}"#)
                    .with(
                        "location",
                        format!("{HOST}/download/{}/{}?{query}", parts[0], parts[1..].join("/")),
                    )
                    .with("x-goog-api-key", key)
            }
            ("GET", ["download", ..]) => {
                Canned { content_type: "video/mp4", ..Canned::json(200, "the film") }
                    .with("content-length", "8".to_owned())
                    .with("x-goog-hash", "crc32c=abc".to_owned())
            }
            ("GET", [_, collection @ ("files" | "cachedContents" | "batches")]) => {
                self.list(&project, collection, query)
            }
            ("POST", [_, "interactions"]) => self.interact(&project, &text),
            ("POST", [_, collection @ ("cachedContents" | "fileSearchStores")]) => {
                let name = self.make(&project, collection);
                Canned::json(200, json!({ "name": name }).to_string())
            }
            ("POST", [_, "models", call]) if call.ends_with(":predictLongRunning") => {
                let model = call.split(':').next().unwrap_or_default();
                let name = self.make(&project, &format!("models/{model}/operations"));
                Canned::json(200, json!({ "name": name }).to_string())
            }
            ("POST", [_, "models", ..]) => self.generate(&project, &text),
            (_, [_, rest @ ..]) => self.object(&project, &rest.join("/")),
            _ => error(404, "NOT_FOUND", "no such path"),
        }
    }

    pub(crate) fn make(&mut self, project: &str, collection: &str) -> String {
        self.made += 1;
        let name = format!("{collection}/o{}", self.made);
        self.objects.insert(name.clone(), project.to_owned());
        name
    }

    /// The keys that were used for requests whose path has this in it.
    pub(crate) fn keys_of(&self, path: &str) -> Vec<&str> {
        self.seen.iter().filter(|seen| seen.1.contains(path)).map(|seen| seen.2.as_str()).collect()
    }

    fn start(&mut self, project: &str) -> Canned {
        let id = format!("u{}", self.uploads.len());
        let url = format!("{HOST}/upload/v1beta/files?upload_id={id}&upload_protocol=resumable");
        self.uploads.insert(id, (project.to_owned(), Vec::new()));
        Canned { content_type: "text/plain; charset=utf-8", ..Canned::json(200, "") }
            .with("x-goog-upload-url", url.clone())
            .with("x-goog-upload-control-url", url)
            .with("x-goog-upload-status", "active".to_owned())
            .with("x-goog-upload-chunk-granularity", "8388608".to_owned())
    }

    fn piece(&mut self, project: &str, query: &str, command: &str, offset: &str, body: &[u8]) -> Canned {
        let id = query.split('&').find_map(|pair| pair.strip_prefix("upload_id=")).unwrap_or_default();
        let Some((owner, bytes)) = self.uploads.get_mut(id).filter(|upload| upload.0 == project) else {
            return error(404, "NOT_FOUND", "no such upload");
        };
        let owner = owner.clone();
        if command == "query" {
            return Canned::json(200, "")
                .with("x-goog-upload-status", "active".to_owned())
                .with("x-goog-upload-size-received", bytes.len().to_string());
        }
        if offset.parse() != Ok(bytes.len()) {
            return error(400, "INVALID_ARGUMENT", "the offset is not what has arrived");
        }
        if let Some((cut, end)) = self.cut.take() {
            bytes.extend_from_slice(&body[..cut]);
            return Canned::nothing(end);
        }
        bytes.extend_from_slice(body);
        if !command.contains("finalize") {
            return Canned::json(200, "").with("x-goog-upload-status", "active".to_owned());
        }
        let size = bytes.len();
        let name = self.make(&owner, "files");
        let file = json!({ "file": {
            "name": name, "uri": format!("{HOST}/v1beta/{name}"), "sizeBytes": size.to_string(), "state": "ACTIVE",
        } });
        Canned::json(200, serde_json::to_string_pretty(&file).expect("JSON"))
            .with("x-goog-upload-status", "final".to_owned())
    }

    fn list(&self, project: &str, collection: &str, query: &str) -> Canned {
        let asked = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        let size: usize = asked("pageSize").and_then(|size| size.parse().ok()).unwrap_or(10);
        let from: usize = asked("pageToken").map_or(0, |token| token.parse().expect("a token of ours"));
        let own: Vec<&String> = self
            .objects
            .iter()
            .filter(|(name, owner)| *owner == project && name.starts_with(collection))
            .map(|(name, _)| name)
            .collect();
        let page: Vec<Value> = own.iter().skip(from).take(size).map(|name| json!({ "name": name })).collect();
        let mut answer = json!({});
        if !page.is_empty() {
            answer[collection] = page.into();
        }
        if from + size < own.len() {
            answer["nextPageToken"] = json!((from + size).to_string());
        }
        Canned::json(200, answer.to_string())
    }

    fn interact(&mut self, project: &str, body: &str) -> Canned {
        let body: Value = serde_json::from_str(body).expect("JSON");
        if let Some(previous) = body["previous_interaction_id"].as_str()
            && self.objects.get(&format!("interactions/{previous}")).map(String::as_str) != Some(project)
        {
            return Canned::json(404, r#"{"error":{"code":"not_found","message":"No such interaction."}}"#);
        }
        let name = self.make(project, "interactions");
        let id = name.split('/').nth(1).expect("an id");
        if body["stream"] == true {
            let events = format!(
                "event: interaction.created\ndata: {{\"event_type\":\"interaction.created\",\"interaction\":{{\"id\":\"{id}\"}},\"event_id\":\"e1\"}}\n\n\
                 event: interaction.completed\ndata: {{\"event_type\":\"interaction.completed\"}}\n\nevent: done\ndata: [DONE]\n\n"
            );
            return Canned::sse(events);
        }
        Canned::json(200, json!({ "id": id, "status": "completed" }).to_string())
    }

    fn generate(&self, project: &str, body: &str) -> Canned {
        if self.used_up.iter().any(|used_up| used_up == project) {
            let quota = if self.for_today { QUOTA.replace("PerMinute", "PerDay") } else { QUOTA.to_owned() };
            return Canned::json(429, quota);
        }
        for (name, owner) in &self.objects {
            let named = body.contains(&format!("{name}\""));
            if named && owner != project {
                return foreign(name);
            }
        }
        if body.contains("files/nobodys\"") {
            return foreign("files/nobodys");
        }
        Canned::json(
            200,
            r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Seen."}]},"finishReason":"STOP"}]}"#,
        )
    }

    fn object(&self, project: &str, name: &str) -> Canned {
        let plain = name.split(':').next().unwrap_or_default();
        match self.objects.get(plain) {
            Some(owner) if owner == project => Canned::json(200, json!({ "name": plain }).to_string()),
            _ => foreign(plain),
        }
    }
}

fn foreign(name: &str) -> Canned {
    let id = name.split('/').next_back().unwrap_or_default();
    let message = format!("You do not have permission to access the File {id} or it may not exist.");
    error(403, "PERMISSION_DENIED", &message)
}

fn error(code: u16, status: &str, message: &str) -> Canned {
    Canned::json(code, json!({ "error": { "code": code, "message": message, "status": status } }).to_string())
}
