//! As much of Google as files and batches take: what belongs to one project, and what it shows of itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::harness::Canned;

const HOST: &str = "https://generativelanguage.googleapis.com";

/// What the projects have.
#[derive(Default)]
pub(crate) struct Google {
    /// By name: the project of each, and what is shown of it.
    pub(crate) objects: BTreeMap<String, (String, Value)>,
    /// What files hold.
    pub(crate) contents: BTreeMap<String, Bytes>,
    /// Uploads that have begun: the project, and what was said of the file.
    uploads: Vec<(String, Value)>,
    /// Projects that answer no prompt.
    pub(crate) busy: String,
    /// So often a medium that was put there is still being looked at.
    pub(crate) looks: u32,
    /// Keys that do not work any more.
    pub(crate) dead: Vec<String>,
    /// Every request: method, path, key, body.
    pub(crate) seen: Vec<(String, String, String, String)>,
}

impl Google {
    pub(crate) fn answer(&mut self, request: &Request<Option<Bytes>>) -> Canned {
        let path = request.uri().path_and_query().expect("a path").as_str().to_owned();
        let method = request.method().as_str().to_owned();
        let header = |name: &str| {
            request.headers().get(name).map_or("", |value| value.to_str().expect("ASCII")).to_owned()
        };
        let key = header("x-goog-api-key");
        let bytes = request.body().clone().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // Of what is large, the beginning says enough.
        let shown = text.chars().take(10_000).collect();
        self.seen.push((method.clone(), path.clone(), key.clone(), shown));
        if self.dead.contains(&key) {
            return error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.");
        }
        let project = key.split('-').next().unwrap_or_default().to_owned();
        let (plain, query) = path.split_once('?').unwrap_or((&path, ""));
        let parts: Vec<&str> = plain.split('/').filter(|part| !part.is_empty()).collect();
        match (method.as_str(), parts.as_slice()) {
            ("POST", ["upload", "v1beta", "files"]) if query.is_empty() => {
                assert_eq!(header("content-type"), "application/json");
                let said: Value = serde_json::from_str(&text).expect("JSON");
                let url = format!(
                    "{HOST}/upload/v1beta/files?upload_id=u{}&upload_protocol=resumable",
                    self.uploads.len()
                );
                self.uploads.push((project, said["file"].clone()));
                Canned { content_type: "text/plain; charset=utf-8", ..Canned::json(200, "") }
                    .with("x-goog-upload-url", url)
                    .with("x-goog-upload-status", "active".to_owned())
            }
            ("POST", ["upload", "v1beta", "files"]) if query == "uploadType=multipart" => {
                let content_type = header("content-type");
                let boundary = content_type.strip_prefix("multipart/related; boundary=").expect("a boundary");
                let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
                let [_, about, content, "--\r\n"] = parts.as_slice() else { panic!("{} parts", parts.len()) };
                let said: Value =
                    serde_json::from_str(about.split("\r\n\r\n").nth(1).expect("JSON")).expect("JSON");
                let content = content.split_once("\r\n\r\n").expect("a head").1.trim_end_matches("\r\n");
                let content = Bytes::copy_from_slice(content.as_bytes());
                let mut shown = self.file(&project, &said["file"], content);
                if self.looks > 0 {
                    shown["state"] = json!("PROCESSING");
                }
                Canned::json(200, json!({ "file": shown }).to_string())
            }
            ("POST", ["upload", "v1beta", "files"]) => {
                assert_eq!(header("x-goog-upload-command"), "upload, finalize");
                assert!(!query.contains("libra"), "{query}");
                let id =
                    query.split(['=', '&']).nth(1).and_then(|id| id.strip_prefix('u')?.parse::<usize>().ok());
                let (owner, said) = self.uploads[id.expect("an upload")].clone();
                assert_eq!(owner, project, "bytes follow their upload");
                let shown = self.file(&project, &said, bytes);
                Canned::json(200, json!({ "file": shown }).to_string())
            }
            ("GET", [_, "files", call]) if call.ends_with(":download") => {
                let name = format!("files/{}", call.trim_end_matches(":download"));
                match self.objects.get(&name) {
                    Some((owner, shown)) if *owner == project && shown["source"] == "GENERATED" => {
                        let location = format!("{HOST}/download/v1beta/{name}:download?alt=media");
                        Canned::json(302, "{}").with("location", location)
                    }
                    Some((owner, _)) if *owner == project => {
                        error(400, "INVALID_ARGUMENT", "Only generated files can be downloaded.")
                    }
                    _ => foreign(&name),
                }
            }
            ("GET", ["download", _, "files", call]) => {
                let name = format!("files/{}", call.trim_end_matches(":download"));
                let content_type = if name.contains("film") { "video/mp4" } else { "application/jsonl" };
                Canned { content_type, ..Canned::json(200, self.contents[&name].clone()) }
            }
            ("GET", ["v1beta", collection @ ("files" | "batches")]) => self.list(&project, collection, query),
            ("POST", ["v1beta", "models", call]) => {
                let (model, method) = call.split_once(':').expect("a method");
                self.work(&project, model, method, &text)
            }
            ("POST", ["v1beta", "batches", call]) if call.ends_with(":cancel") => {
                let name = format!("batches/{}", call.trim_end_matches(":cancel"));
                match self.objects.get(&name) {
                    Some((owner, _)) if *owner == project => Canned::json(200, "{}"),
                    _ => foreign(&name),
                }
            }
            (method, ["v1beta", "files", id]) if id.len() > 40 => {
                let message = format!(
                    "* {method}: File ID (name excluding 'files/') cannot be more than 40 characters."
                );
                error(400, "INVALID_ARGUMENT", &message)
            }
            (method, ["v1beta", rest @ ..]) => {
                let name = rest.join("/");
                match self.objects.get(&name) {
                    Some((owner, _)) if *owner == project && method == "DELETE" => {
                        self.objects.remove(&name);
                        Canned::json(200, "{}")
                    }
                    Some((owner, shown)) if *owner == project => {
                        let mut shown = shown.clone();
                        self.looks = self.looks.saturating_sub(1);
                        if self.looks > 0 {
                            shown["state"] = json!("PROCESSING");
                        }
                        Canned::json(200, shown.to_string())
                    }
                    _ => foreign(&name),
                }
            }
            _ => error(404, "NOT_FOUND", "no such path"),
        }
    }

    fn file(&mut self, project: &str, said: &Value, content: Bytes) -> Value {
        let number = self.objects.len() + 1;
        let name = format!("files/f{number}");
        let shown = json!({
            "name": name, "displayName": said["displayName"], "mimeType": said["mimeType"],
            "sizeBytes": content.len().to_string(), "createTime": format!("2026-08-19T14:34:{number:02}.267870162Z"),
            "expirationTime": "2026-08-21T14:34:12Z", "uri": format!("{HOST}/v1beta/{name}"), "state": "ACTIVE",
            "source": "UPLOADED",
        });
        self.contents.insert(name.clone(), content);
        self.objects.insert(name, (project.to_owned(), shown.clone()));
        shown
    }

    /// Takes a batch of a file, or a prompt.
    fn work(&mut self, project: &str, model: &str, method: &str, body: &str) -> Canned {
        let foreigner = self.objects.iter().find(|(name, (owner, _))| {
            owner != project && (body.contains(&format!("{name}\"")) || body.contains(&format!("{name}:")))
        });
        if let Some((name, _)) = foreigner {
            return foreign(name);
        }
        if body.len() > 20_971_520 {
            let message = "Request payload size exceeds the limit: 20971520 bytes. Please use the File API to upload \
                files in larger sizes and retry the request.";
            return error(400, "INVALID_ARGUMENT", message);
        }
        if method == "generateContent" && self.busy.contains(project) {
            return error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.");
        }
        if method == "generateContent" {
            return Canned::json(
                200,
                r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Seen."}]},"finishReason":"STOP"}]}"#,
            );
        }
        let said: Value = serde_json::from_str(body).expect("JSON");
        let kind = match method {
            "batchGenerateContent" => "GenerateContentBatch",
            "asyncBatchEmbedContent" => "EmbedContentBatch",
            _ => panic!("{method}"),
        };
        let input = said["batch"]["inputConfig"]["fileName"].as_str().expect("a file");
        assert!(self.objects.contains_key(input));
        let number = self.objects.len() + 1;
        let name = format!("batches/{}{number}", "b".repeat(35));
        let shown = json!({ "name": name, "metadata": {
            "@type": format!("type.googleapis.com/google.ai.generativelanguage.v1main.{kind}"),
            "model": format!("models/{model}"), "displayName": said["batch"]["displayName"],
            "createTime": format!("2026-08-19T14:34:{number:02}Z"),
            "batchStats": { "requestCount": "2", "pendingRequestCount": "2" },
            "state": "BATCH_STATE_PENDING", "name": name,
        } });
        self.objects.insert(name, (project.to_owned(), shown.clone()));
        Canned::json(200, shown.to_string())
    }

    /// Ends a batch: with these lines as what has come of it, of which so many are failures.
    pub(crate) fn end(&mut self, batch: &str, failed: u32, lines: &str) {
        let file = format!("files/batch-{}", batch.trim_start_matches("batches/"));
        let (project, shown) = self.objects.get_mut(batch).expect("a batch");
        let metadata = &mut shown["metadata"];
        metadata["state"] = json!("BATCH_STATE_SUCCEEDED");
        metadata["endTime"] = json!("2026-08-19T15:00:00Z");
        metadata["batchStats"] =
            json!({ "requestCount": "2", "successfulRequestCount": (2 - failed).to_string() });
        if failed > 0 {
            metadata["batchStats"]["failedRequestCount"] = json!(failed.to_string());
        }
        metadata["output"] = json!({ "responsesFile": file });
        let generated = json!({ "name": file, "source": "GENERATED", "mimeType": "application/jsonl" });
        let project = project.clone();
        self.objects.insert(file.clone(), (project, generated));
        self.contents.insert(file, Bytes::copy_from_slice(lines.as_bytes()));
    }

    /// The name of the only object of a collection.
    pub(crate) fn only(&self, collection: &str) -> String {
        let names: Vec<&String> = self.objects.keys().filter(|name| name.starts_with(collection)).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names[0].clone()
    }

    fn list(&self, project: &str, collection: &str, query: &str) -> Canned {
        let from: usize = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("pageToken="))
            .map_or(0, |token| token.parse().expect("a token of ours"));
        let own: Vec<&Value> = self
            .objects
            .iter()
            .filter(|(name, (owner, _))| owner == project && name.starts_with(collection))
            .map(|(_, (_, shown))| shown)
            .collect();
        // Pages of two, whatever is asked for.
        let page: Vec<&&Value> = own.iter().skip(from).take(2).collect();
        let field = if collection == "files" { "files" } else { "operations" };
        let mut answer = json!({});
        if !page.is_empty() {
            answer[field] = json!(page);
        }
        if from + 2 < own.len() {
            answer["nextPageToken"] = json!((from + 2).to_string());
        }
        Canned::json(200, answer.to_string())
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
