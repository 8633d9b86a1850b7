//! `fileSearchStores/*`: documents to search in, kept until they are deleted. Nothing is searched.

use http::Method;
use serde_json::{Value, json};

use crate::call::query;
use crate::clock::{UnixMillis, json_time};
use crate::errors::GoogleError;
use crate::json::{field, list, text};
use crate::objects::files::listed;
use crate::objects::route::Place;
use crate::objects::shelf::{Kept, Shelf};
use crate::objects::{Answered, Asking, File, Objects, media, operations, route, upload};
use crate::plan::Reply;
use crate::simulator::ProjectId;

/// Stores and their documents.
#[derive(Debug)]
pub(crate) struct Stores {
    stores: Shelf<String>,
    documents: Shelf<Document>,
}

#[derive(Debug)]
struct Document {
    file: File,
    metadata: Value,
}

impl Default for Stores {
    fn default() -> Self {
        Self { stores: Shelf::new("stores"), documents: Shelf::new("documents") }
    }
}

impl Stores {
    /// Refuses a store that is not the project's. `name` is `fileSearchStores/…`.
    pub(crate) fn check(&self, project: ProjectId, name: &str, now: UnixMillis) -> Result<(), GoogleError> {
        self.of(project, name, now).map(|_| ())
    }

    fn of(&self, project: ProjectId, name: &str, now: UnixMillis) -> Result<&Kept<String>, GoogleError> {
        let id = name.strip_prefix("fileSearchStores/").unwrap_or(name);
        self.stores.find(project, name, now).ok_or_else(|| GoogleError::foreign("FileSearchStore", id))
    }

    fn document(
        &self,
        project: ProjectId,
        name: &str,
        now: UnixMillis,
    ) -> Result<&Kept<Document>, GoogleError> {
        let id = name.rsplit('/').next().unwrap_or(name);
        self.documents.find(project, name, now).ok_or_else(|| GoogleError::foreign("Document", id))
    }

    fn add(&mut self, display_name: &str, project: ProjectId, now: UnixMillis) -> Value {
        let letters = display_name.to_ascii_lowercase();
        let letters: String = letters.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
        let dash = if letters.is_empty() { "" } else { "-" };
        let name = format!("fileSearchStores/{letters}{dash}{}", self.stores.id(12));
        self.stores.put(name.clone(), project, now, None, display_name.to_owned());
        self.show(project, &name, now).unwrap_or_default()
    }

    fn show(&self, project: ProjectId, name: &str, now: UnixMillis) -> Result<Value, GoogleError> {
        let kept = self.of(project, name, now)?;
        let mut shown = json!({ "name": name });
        if !kept.it.is_empty() {
            shown["displayName"] = json!(kept.it);
        }
        shown["createTime"] = json!(json_time(kept.created));
        shown["updateTime"] = json!(json_time(kept.updated));
        let documents = self.documents.below(project, &format!("{name}/documents/"), now);
        if !documents.is_empty() {
            let size: u64 = documents.iter().map(|(_, kept)| kept.it.file.size).sum();
            shown["activeDocumentsCount"] = json!(documents.len().to_string());
            shown["sizeBytes"] = json!(size.to_string());
        }
        Ok(shown)
    }
}

fn show_document(name: &str, kept: &Kept<Document>) -> Value {
    let Document { file, metadata } = &kept.it;
    let mut shown = json!({ "name": name });
    if let Some(display_name) = &file.display_name {
        shown["displayName"] = json!(display_name);
    }
    if let Some(custom) = field(metadata, "customMetadata") {
        shown["customMetadata"] = custom.clone();
    }
    shown["createTime"] = json!(json_time(kept.created));
    shown["updateTime"] = json!(json_time(kept.updated));
    shown["state"] = json!("STATE_ACTIVE");
    shown["sizeBytes"] = json!(file.size.to_string());
    shown["mimeType"] = json!(file.mime);
    shown
}

impl Objects {
    /// Puts a document into a store; gives the operation that does it, below `store/{way}operations/`.
    pub(super) fn add_document(
        &mut self,
        store: &str,
        way: &str,
        file: File,
        metadata: &Value,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<Value, GoogleError> {
        self.stores.check(project, store, now)?;
        let name = format!("{store}/documents/{}", self.stores.documents.id(24));
        let takes = file.ready_at.saturating_sub(now).max(operations::USUAL);
        let document = Document { file, metadata: metadata.clone() };
        self.stores.documents.put(name.clone(), project, now, None, document);
        let kind = if way.is_empty() { "ImportFileResponse" } else { "UploadToFileSearchStoreResponse" };
        let outcome = json!({ "response": {
            "@type": format!("type.googleapis.com/google.ai.generativelanguage.v1main.{kind}"),
            "parent": store,
            "documentName": name,
        } });
        let parent = format!("{store}/{way}operations/");
        Ok(self.operations.begin(&parent, Value::Null, outcome, project, now, takes))
    }

    /// Refuses a request whose tools search what is not the project's.
    pub(crate) fn check_stores(
        &self,
        request: &Value,
        project: ProjectId,
        now: UnixMillis,
    ) -> Result<(), GoogleError> {
        let searches = list(request, "tools").iter().filter_map(|tool| field(tool, "fileSearch"));
        let mut names = searches.flat_map(|search| list(search, "fileSearchStoreNames"));
        names.try_for_each(|name| self.stores.check(project, name.as_str().unwrap_or_default(), now))
    }
}

/// Answers what is asked of stores.
pub(crate) fn answer(asking: &Asking<'_>) -> Answered {
    let (project, now, name) = (asking.project, asking.now, asking.route.name());
    let parts = asking.route.parts();
    if asking.route.place == Place::Upload {
        return match (asking.method(), parts.as_slice(), asking.route.verb) {
            (&Method::POST, [_, _], "uploadToFileSearchStore") => upload::answer(asking),
            _ => Ok(None),
        };
    }
    let body = if asking.method() == Method::GET { Value::Null } else { asking.small_json()? };
    let page = route::page(asking.request.uri(), 10, 20);
    let forced = query(asking.request.uri(), "force").is_some_and(|force| force.eq_ignore_ascii_case("true"));
    if let (&Method::GET, [_, store, "media", blob]) = (asking.method(), parts.as_slice()) {
        let name = format!("fileSearchStores/{store}/documents/{blob}");
        let document =
            |objects: &mut Objects| Ok(objects.stores.document(project, &name, now)?.it.file.clone());
        return media::download(asking, &asking.objects(document)?).map(Some);
    }
    asking.objects(|objects| {
        let stores = &mut objects.stores;
        let shown = match (asking.method(), parts.as_slice(), asking.route.verb) {
            (&Method::POST, [_], "") => stores.add(text(&body, "displayName"), project, now),
            (&Method::GET, [_], "") => {
                let (found, next) = stores.stores.list(project, "fileSearchStores/", &page, now)?;
                let shown = found.into_iter().map(|(name, _)| stores.show(project, name, now));
                listed("fileSearchStores", shown.collect::<Result<_, _>>()?, next)
            }
            (&Method::GET, [_, _], "") => stores.show(project, &name, now)?,
            (&Method::DELETE, [_, _], "") => {
                stores.check(project, &name, now)?;
                let below = format!("{name}/documents/");
                if !forced && !stores.documents.below(project, &below, now).is_empty() {
                    return Err(GoogleError::precondition("Cannot delete non-empty FileSearchStore."));
                }
                stores.documents.remove_below(project, &below);
                stores.stores.remove(project, &name, now);
                json!({})
            }
            (&Method::POST, [_, _], "importFile") => {
                stores.check(project, &name, now)?;
                let file = objects.files.active(project, text(&body, "fileName"), now)?.it.clone();
                objects.add_document(&name, "", file, &body, project, now)?
            }
            (&Method::GET, [_, store, "documents"], "") => {
                let store = format!("fileSearchStores/{store}");
                stores.check(project, &store, now)?;
                let (found, next) =
                    stores.documents.list(project, &format!("{store}/documents/"), &page, now)?;
                let shown = found.into_iter().map(|(name, kept)| show_document(name, kept)).collect();
                listed("documents", shown, next)
            }
            (&Method::GET, [_, _, "documents", _], "") => {
                show_document(&name, stores.document(project, &name, now)?)
            }
            (&Method::DELETE, [_, _, "documents", _], "") => {
                stores.document(project, &name, now)?;
                stores.documents.remove(project, &name, now);
                json!({})
            }
            _ => return Ok(None),
        };
        Ok(Some(Reply::object(&shown)))
    })
}
