//! What an exchange has to do with objects: addresses that are turned, redirects that are followed, and what is learned
//! from answers.

use bytes::Bytes;
use http::header::{HeaderMap, LOCATION};
use http::{Method, StatusCode, Uri};
use memchr::memmem;

use super::Single;
use super::attempt::{Attempt, Phase};
use crate::affinity::address::{Public, put, upload_id};
use crate::affinity::name::{GOOGLE, ObjectName};
use crate::affinity::scan::{self, Field, Found};
use crate::affinity::spool::LARGEST;
use crate::event::Ending;
use crate::gateway::Gateway;
use crate::resource::Kind;
use crate::secret::KeyId;
use crate::time::Timestamp;

/// So many redirects are followed. Google sends one.
const MOST_REDIRECTS: u8 = 3;

impl Single {
    /// A body with this gateway's addresses turned to the upstream's.
    /// Where the request has moved, those of the copies in the project of this key.
    pub(super) fn addressed(&self, body: Bytes, key: KeyId) -> Bytes {
        if !self.names_addresses && self.moved_body.is_none() {
            return body;
        }
        let public = self.called.public(&self.gateway.config());
        let found = match self.task.resource() {
            Some(_) => scan::request(&body),
            None => scan::generation(&body),
        };
        let mut places: Vec<_> = found
            .into_iter()
            .filter(|found| found.field == Field::Address)
            .filter_map(|found| {
                if let Some(placed) = self.placed(&found.value, key) {
                    return Some((found.span, placed));
                }
                let copy = self.moved_body.as_ref().and_then(|_| self.copy_of(&found.value, key));
                Some((found.span, copy.or_else(|| public.upward(&found.value))?))
            })
            .collect();
        places.sort_by_key(|(span, _)| span.start);
        put(body, &places)
    }

    /// Where bytes are to be had, if the upstream says that they are elsewhere. The head of that answer holds the key
    /// that was sent, and goes nowhere.
    pub(super) fn redirected(&mut self, status: StatusCode, headers: &HeaderMap) -> bool {
        let is_medium = self.task.resource().is_some_and(|resource| resource.kind() == Kind::Media);
        if !is_medium || !status.is_redirection() || self.redirects >= MOST_REDIRECTS {
            return false;
        }
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok()?.parse::<Uri>().ok());
        let Some(location) = location else { return false };
        let upstream = &self.gateway.config().upstream;
        // A key goes to Google, and to nobody else.
        let is_the_upstreams = location
            .authority()
            .is_none_or(|authority| authority.host() == GOOGLE || Some(authority) == upstream.authority());
        let Some(path) = location.path_and_query().filter(|_| is_the_upstreams) else { return false };
        let prefix = upstream.path().trim_end_matches('/');
        let path = path.as_str();
        let path = path.strip_prefix(prefix).filter(|rest| rest.starts_with('/')).unwrap_or(path);
        self.redirects += 1;
        self.redirect = Some(path.to_owned());
        true
    }

    /// Gives a whole answer about an object to the client.
    pub(super) fn give_resource(&mut self, attempt: Attempt, body: Bytes, now: Timestamp) {
        let Attempt { lease: Some(lease), phase: Phase::Holding { status, headers, .. }, .. } = attempt
        else {
            return;
        };
        let Some(resource) = self.task.resource() else { return };
        let public = self.called.public(&self.gateway.config());
        let client = self.access.client();
        let response = resource.respond((status, &headers), body.clone(), &public, (lease.key(), client));
        let (key, guests) = (lease.key().id(), lease.is_guests());
        // What a model has written names nothing that there is.
        let names = if resource.kind() == Kind::Media { Vec::new() } else { self.names_in(&body, &public) };
        self.fill_spool(&headers, names.first());
        self.learn(names, key, guests, now);
        if resource.kind() == (Kind::Make { settles: true }) {
            self.gateway.objects(guests).settle(client, key, None, now);
        }
        lease.succeeded(self.task.model(), None, now);
        self.finish(response, Ending::Complete, Some(key), None, now);
    }

    /// Keeps what was uploaded, so that it can be uploaded again. `made` is what has become of it.
    fn fill_spool(&self, answered: &HeaderMap, made: Option<&ObjectName>) {
        let Some(resource) = self.task.resource() else { return };
        let said = |headers: &HeaderMap, name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let call = resource.call();
        let query = call.query.as_deref().unwrap_or_default();
        let mut spool = self.gateway.spool();
        match (resource.kind(), call.collection()) {
            (Kind::Make { .. }, "files") => {
                let address = said(answered, "x-goog-upload-url");
                let upload = address.split_once('?').and_then(|(_, query)| upload_id(query));
                let size = said(&self.headers, "x-goog-upload-header-content-length").parse().unwrap_or(0);
                if size <= LARGEST as u64
                    && let Some(upload) = upload.and_then(|id| ObjectName::opaque("uploads", &id))
                {
                    let media_type = said(&self.headers, "x-goog-upload-header-content-type");
                    spool.begin(&upload, &media_type, self.body.clone().unwrap_or_default());
                }
            }
            (Kind::Upload, "files") => {
                let Some(upload) = upload_id(query).and_then(|id| ObjectName::opaque("uploads", &id)) else {
                    return;
                };
                let command = said(&self.headers, "x-goog-upload-command");
                if command.starts_with("upload") {
                    let offset = said(&self.headers, "x-goog-upload-offset").parse().unwrap_or(0);
                    spool.add(&upload, offset, self.body.clone());
                }
                if command.contains("finalize")
                    && let Some(file) = made
                {
                    spool.finish(&upload, file.clone());
                }
            }
            (Kind::Make { .. }, "cachedContents") => {
                if let (Some(cache), Some(body)) = (made, &self.body) {
                    spool.keep_cache(cache.clone(), body.clone());
                }
            }
            (Kind::Act, _) if call.method == Method::DELETE => {
                if let Some(name) = call.object() {
                    spool.forget(&name);
                }
            }
            _ => {}
        }
    }

    /// Learns from the first event of an interaction what it is called.
    pub(super) fn learn_interaction(&self, attempt: &Attempt, now: Timestamp) {
        let streams = self.task.resource().is_some_and(|resource| resource.framing().is_some());
        let (Phase::Proven { held, .. } | Phase::Judging { held, .. }) = &attempt.phase else { return };
        let Some(lease) = attempt.lease.as_ref().filter(|_| streams) else { return };
        let begun = held.concat();
        let id = scan::answer(&begun).into_iter().find(|found| found.field == Field::Id);
        if let Some(name) = id.and_then(|found| ObjectName::within("interactions", &found.value)) {
            let maker = Some(self.access.client());
            self.gateway.objects(lease.is_guests()).learn(&name, lease.key().id(), maker, now);
        }
    }

    /// The objects that a whole answer speaks of, in its order.
    fn names_in(&self, body: &[u8], public: &Public) -> Vec<ObjectName> {
        let collection = self.task.resource().map_or("", |resource| resource.call().collection());
        let name = |found: Found<'_>| match found.field {
            Field::Name | Field::Address => public.object(&found.value),
            Field::Id => ObjectName::within(collection, &found.value),
            Field::Continuation => ObjectName::opaque("continuations", &found.value),
            _ => None,
        };
        scan::answer(body).into_iter().filter_map(name).collect()
    }

    /// Learns that the key's project has these objects.
    fn learn(&self, names: Vec<ObjectName>, key: KeyId, guests: bool, now: Timestamp) {
        let Some(resource) = self.task.resource() else { return };
        let call = resource.call();
        let mut objects = self.gateway.objects(guests);
        // What comes of an object is whose the object is.
        let of_object = call.object().and_then(|object| objects.find(&object, now).flatten());
        let maker = match (resource.kind(), of_object) {
            (Kind::Make { .. } | Kind::Upload, _) => Some(self.access.client()),
            (_, Some(owner)) => owner.maker,
            (_, None) => None,
        };
        for name in names {
            objects.learn(&name, key, maker, now);
        }
    }
}

/// Learns from an answer of a model, or a part of one, what of it only its project can go on with.
pub(crate) fn learn_continuation(
    gateway: &Gateway,
    data: &[u8],
    (key, guests): (KeyId, bool),
    client: KeyId,
    now: Timestamp,
) {
    if memmem::find(data, b"\"continuationToken\"").is_none() {
        return;
    }
    for found in scan::answer(data).into_iter().filter(|found| found.field == Field::Continuation) {
        if let Some(name) = ObjectName::opaque("continuations", &found.value) {
            gateway.objects(guests).learn(&name, key, Some(client), now);
        }
    }
}
