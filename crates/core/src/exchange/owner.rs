//! Which project a request can go to at all, as it names what belongs to one.
//!
//! What is known decides at once. An object that nobody here knows (it was made before a restart, or elsewhere) is asked
//! for with a key of each project, a few at a time, until one has it; that is remembered, and so is that nobody has it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{Method, StatusCode};

use super::attempt::Lease;
use super::{Op, OpId, Outcome, Single, Step};
use crate::affinity::name::ObjectName;
use crate::affinity::objects::Owner;
use crate::affinity::scan::{self, Field, Found};
use crate::auth::Access;
use crate::error::{Error, Kind};
use crate::failure::{self, Answer, Class};
use crate::pool::{Only, Pick, ProjectId, Want};
use crate::resource;
use crate::secret::KeyId;
use crate::task::Task;
use crate::time::Timestamp;
use crate::upstream;

/// So many projects are asked for an object that nobody knows. A pool of more is one that keeps a store.
const MOST_ASKED: usize = 256;

/// So many are asked at a time.
const AT_ONCE: usize = 8;

/// So long the search may take; a client waits for it.
const SEARCH: Duration = Duration::from_secs(15);

/// So many objects that nobody knows are searched for one request.
const MOST_SOUGHT: usize = 16;

/// Errors are read up to here, to see whose fault they are.
const ERROR_BODY: usize = 16 << 10;

/// How far it is known which project can serve.
#[derive(Debug)]
pub(super) enum Ownership {
    /// Nothing was looked at.
    Due,
    /// Somebody is being asked.
    Searching(Box<Search>),
    /// It is known.
    Settled,
}

/// An object that a request names. `hard`: no project but its own can serve the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) name: ObjectName,
    hard: bool,
}

/// The search for the owners of objects.
#[derive(Debug)]
pub(super) struct Search {
    /// The objects to be found after the present one.
    wanted: Vec<ObjectName>,
    present: ObjectName,
    /// Whom to ask for the present one, the next one last.
    places: Vec<Only>,
    /// Keys that turned out not to work.
    tried: Vec<KeyId>,
    looks: Vec<Look>,
    /// Everybody who was asked has said no.
    certain: bool,
    /// Where the last one was found: the next one is likely there.
    last: Option<Only>,
    deadline: Timestamp,
}

/// One project that is asked.
#[derive(Debug)]
struct Look {
    op: OpId,
    place: Only,
    lease: Lease,
    status: Option<StatusCode>,
    content_type: Option<String>,
    body: BytesMut,
}

impl Single {
    /// The next step to the owner of what the request names; none once it is known.
    pub(super) fn find_owner(&mut self, now: Timestamp) -> Option<Step> {
        match std::mem::replace(&mut self.ownership, Ownership::Settled) {
            Ownership::Settled => None,
            Ownership::Due => {
                let unknown = match self.known_owners(now) {
                    Ok(unknown) => unknown,
                    Err(error) => {
                        self.refuse(&error, now);
                        return Some(self.advance(now));
                    }
                };
                self.begin_search(unknown, None, now);
                self.search(now)
            }
            searching @ Ownership::Searching(_) => {
                self.ownership = searching;
                self.search(now)
            }
        }
    }

    /// Looks up what the request names. The objects that nobody knows.
    fn known_owners(&mut self, now: Timestamp) -> Result<Vec<ObjectName>, Error> {
        if let Some(only) = self.task.resource().and_then(|resource| resource.only) {
            self.only = Some(only);
            return Ok(Vec::new());
        }
        if let Some(upload) = self.task.resource().and_then(|resource| resource.upload()) {
            self.only = self.place_of(upload.key);
            return Ok(Vec::new());
        }
        self.references = self.find_references();
        if self.references.is_empty() {
            return Ok(Vec::new());
        }
        let several = match &self.access {
            Access::Pool { .. } => self.gateway.pool(false).projects() > 1,
            Access::Own(keys) => keys.len() > 1,
        };
        let guests = matches!(self.access, Access::Own(_));
        let mut unknown = Vec::new();
        for reference in &self.references {
            let found = self.gateway.objects(guests).find(&reference.name, now);
            match found {
                Some(Some(owner)) if !self.may_see(owner) => return Err(foreign(&reference.name)),
                Some(Some(owner)) => match self.place_of(owner.key) {
                    Some(place) => self.owners.push((reference.name.clone(), place)),
                    // The key is gone; another one of its project may be there.
                    None if reference.hard => unknown.push(reference.name.clone()),
                    None => {}
                },
                Some(None) => {}
                None if several && reference.hard && reference.name.can_be_looked_up() => {
                    unknown.push(reference.name.clone());
                }
                None => {}
            }
        }
        unknown.truncate(MOST_SOUGHT);
        unknown.reverse();
        Ok(unknown)
    }

    /// Whether this client may know of an object.
    pub(super) fn may_see(&self, owner: Owner) -> bool {
        match &self.access {
            Access::Pool { client } => {
                owner.maker.is_none_or(|maker| maker == client.id()) || self.mark.is_admins()
            }
            // Whose key it is, may see what the key sees.
            Access::Own(_) => true,
        }
    }

    /// The project of a key, among those that may serve this client.
    pub(super) fn place_of(&self, key: KeyId) -> Option<Only> {
        let project = match &self.access {
            Access::Pool { .. } => self.gateway.pool(false).project_of(key)?,
            Access::Own(keys) => ProjectId::of_key(keys.iter().find(|own| own.id() == key)?.id()),
        };
        Some(Only { project, key })
    }

    /// The objects that the request names, each once.
    fn find_references(&mut self) -> Vec<Reference> {
        let body = self.task.translated_body().or_else(|| self.body.clone()).unwrap_or_default();
        let public = || self.called.public(&self.gateway.config());
        let mut references: Vec<Reference> = Vec::new();
        let mut add = |name: Option<ObjectName>, hard: bool| {
            if let Some(name) = name
                && !references.iter().any(|known| known.name == name)
            {
                references.push(Reference { name, hard });
            }
        };
        let found = match &self.task {
            Task::ModelList { .. } | Task::ModelGet { .. } => return Vec::new(),
            Task::Resource(resource) => {
                add(resource.call().object(), true);
                resource.named().iter().for_each(|name| add(Some(name.clone()), true));
                match !resource.sends_bytes() && resource::is_json(&self.headers, &body) {
                    true => scan::request(&body),
                    false => Vec::new(),
                }
            }
            Task::Native { model, .. } => {
                if model.contains('/') {
                    add(ObjectName::of_text(model, |_| false), true);
                }
                scan::generation(&body)
            }
            Task::Generation(_) => scan::generation(&body),
        };
        if !found.is_empty() {
            let public = public();
            for Found { field, value, .. } in &found {
                match field {
                    Field::Address | Field::Source | Field::Name => add(public.object(value), true),
                    Field::Cache => add(ObjectName::within("cachedContents", value), true),
                    Field::Store => add(ObjectName::within("fileSearchStores", value), true),
                    Field::Interaction => add(ObjectName::within("interactions", value), true),
                    Field::Continuation => add(ObjectName::opaque("continuations", value), false),
                    // Google has agents and voices of its own by such names.
                    Field::Agent => add(ObjectName::within("agents", value), value.starts_with("agents/")),
                    Field::Environment => {
                        add(ObjectName::within("environments", value), value.starts_with("environments/"));
                    }
                    Field::Voice => add(ObjectName::within("voices", value), value.starts_with("voices/")),
                    Field::Id => {}
                }
            }
            self.names_addresses = found.iter().any(|found| found.field == Field::Address);
        }
        references
    }

    fn begin_search(&mut self, mut wanted: Vec<ObjectName>, last: Option<Only>, now: Timestamp) {
        let Some(present) = wanted.pop() else {
            self.settle(now);
            return;
        };
        let own = match &self.access {
            Access::Pool { .. } => None,
            Access::Own(keys) => Some(keys.as_slice()),
        };
        let guests = own.is_some();
        let most = self.gateway.config().most_calls.map_or(MOST_ASKED, |most| MOST_ASKED.min(most as usize));
        let mut places = self.gateway.pool(guests).representatives(own, most);
        let home = self.gateway.objects(guests).home(self.access.client(), now);
        // Most likely where the client's other objects are.
        let likely = |place: &Only| {
            self.owners.iter().any(|(_, owner)| owner.project == place.project)
                || last.is_some_and(|last| last.project == place.project)
                || home == Some(place.key)
        };
        places.sort_by_key(likely);
        self.ownership = Ownership::Searching(Box::new(Search {
            wanted,
            present,
            places,
            tried: Vec::new(),
            looks: Vec::new(),
            certain: true,
            last,
            deadline: now + SEARCH,
        }));
    }

    /// Asks the next projects. None: the search is over.
    fn search(&mut self, now: Timestamp) -> Option<Step> {
        loop {
            let Ownership::Searching(search) = &mut self.ownership else { return None };
            if now >= search.deadline {
                search.places.clear();
                search.certain = false;
                self.cancel.extend(search.looks.drain(..).map(|look| look.op));
            }
            if search.looks.len() < AT_ONCE
                && let Some(place) = search.places.pop()
            {
                let tried = search.tried.clone();
                if let Some(step) = self.look(place, &tried, now) {
                    return Some(step);
                }
                continue;
            }
            let Ownership::Searching(search) = &mut self.ownership else { return None };
            if !search.looks.is_empty() {
                let until = search.deadline;
                if let Some(op) = self.cancel.pop() {
                    return Some(Step::Cancel(op));
                }
                return Some(Step::WaitUntil(until));
            }
            let (name, certain) = (search.present.clone(), search.certain);
            let (wanted, last) = (std::mem::take(&mut search.wanted), search.last);
            if certain {
                let guests = matches!(self.access, Access::Own(_));
                self.gateway.objects(guests).nobodys(&name, now);
            }
            self.ownership = Ownership::Settled;
            self.begin_search(wanted, last, now);
            if self.reply.is_some() {
                return Some(self.advance(now));
            }
        }
    }

    /// Asks one project for the object. None: it cannot be asked now.
    fn look(&mut self, place: Only, tried: &[KeyId], now: Timestamp) -> Option<Step> {
        let own = match &self.access {
            Access::Pool { .. } => None,
            Access::Own(keys) => Some(keys.as_slice()),
        };
        let guests = own.is_some();
        let want = Want { tokens: 1, tried, only: Some(place), own, ..Want::default() };
        let picked = self.gateway.pool(guests).pick(&want, now);
        let Pick::Ready { lease, key } = picked else {
            if let Ownership::Searching(search) = &mut self.ownership {
                search.certain = false;
            }
            return None;
        };
        let op = self.new_op();
        let Ownership::Searching(search) = &mut self.ownership else { return None };
        let path = format!("/v1beta/{}", search.present.shown_by());
        let config = self.gateway.config();
        let request = upstream::to_gemini(
            &config.upstream,
            Method::GET,
            &path,
            HeaderMap::new(),
            &key,
            Some(Bytes::new()),
        );
        let lease = Lease { gateway: Arc::clone(&self.gateway), guests, id: lease, key };
        let place = Only { key: lease.key.id(), ..place };
        search.looks.push(Look { op, place, lease, status: None, content_type: None, body: BytesMut::new() });
        Some(Step::Start(op, Op::Upstream(request)))
    }

    /// Takes in what has come of an operation, if it is one of a search.
    ///
    /// # Errors
    /// The outcome, where it belongs to another operation.
    pub(super) fn looked(&mut self, op: OpId, outcome: Outcome, now: Timestamp) -> Result<(), Outcome> {
        let Ownership::Searching(search) = &mut self.ownership else { return Err(outcome) };
        let Some(at) = search.looks.iter().position(|look| look.op == op) else { return Err(outcome) };
        let look = &mut search.looks[at];
        let ended = match outcome {
            Outcome::Head(status, headers) => {
                look.status = Some(status);
                look.content_type =
                    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
                // That it is there is all that is asked.
                status.is_success()
            }
            Outcome::Chunk(chunk) => {
                let room = ERROR_BODY.saturating_sub(look.body.len());
                look.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                look.body.len() >= ERROR_BODY
            }
            Outcome::End | Outcome::Failed { .. } | Outcome::TooLarge => true,
        };
        if !ended {
            return Ok(());
        }
        let look = search.looks.swap_remove(at);
        self.cancel.push(look.op);
        match look.status {
            Some(status) if status.is_success() => {
                self.cancel.extend(search.looks.drain(..).map(|other| other.op));
                search.places.clear();
                search.last = Some(look.place);
                // Not that nobody has it.
                search.certain = false;
                let name = search.present.clone();
                let guests = look.lease.guests;
                let mut objects = self.gateway.objects(guests);
                objects.learn(&name, look.place.key, None, now);
                // What is made next is likely used with it.
                objects.settle(self.access.client(), look.place.key, None, now);
                drop(objects);
                self.owners.push((name, look.place));
                look.lease.succeeded(None, None, now);
            }
            Some(status) => {
                let answer = Answer {
                    status,
                    content_type: look.content_type.as_deref(),
                    body: &look.body,
                    model: None,
                };
                let failure = look.lease.classify(&answer, now);
                match failure.class {
                    // It has said that it has no such thing, which every project says of another's.
                    Class::Affinity | Class::Request => look.lease.unused(now),
                    Class::Unknown if matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => {
                        look.lease.unused(now);
                    }
                    _ => {
                        search.certain = false;
                        self.events.extend(look.lease.failed(None, &failure, now));
                        if failure.class.is_the_keys() {
                            search.tried.push(look.place.key);
                            search.places.push(look.place);
                        }
                    }
                }
            }
            None => {
                search.certain = false;
                let failure = failure::network("the connection failed");
                self.events.extend(look.lease.failed(None, &failure, now));
            }
        }
        Ok(())
    }

    /// All owners that can be known are: decides who serves.
    fn settle(&mut self, now: Timestamp) {
        self.ownership = Ownership::Settled;
        let Some((first, place)) = self.owners.first().cloned() else { return };
        let other = self.owners.iter().find(|(_, other)| other.project != place.project);
        if let Some((other, _)) = other.cloned() {
            if let Some(target) = self.meeting_place() {
                self.only = Some(target);
                return;
            }
            let message = format!(
                "{first} and {other} belong to different projects, and one request can use objects of one project only. \
                 Upload or create them again, one after the other. \
                 {first} 与 {other} 属于不同项目，同一请求只能使用同一项目的对象，请重新上传或创建。"
            );
            let error = Error::new(Kind::BadRequest, message);
            self.refuse(&error, now);
            return;
        }
        self.only = Some(place);
    }

    /// The keys that a search has under way.
    pub(super) fn drop_search(&mut self) {
        if let Ownership::Searching(search) = &mut self.ownership {
            self.cancel.extend(search.looks.drain(..).map(|look| look.op));
        }
        self.ownership = Ownership::Settled;
    }

    /// Whether this request makes an object that is used together with others.
    pub(super) fn settles(&self) -> bool {
        let resource = self.task.resource();
        resource.is_some_and(|resource| matches!(resource.kind(), resource::Kind::Make { settles: true }))
    }

    /// A key of the project in which the client makes its objects. Where it has none, or none that can serve, the first
    /// key that is chosen decides, before anything is sent: others may be on their way that want to be used with it.
    pub(super) fn pick_at_home(&self, guests: bool, now: Timestamp) -> Pick {
        let client = self.access.client();
        let at = |home: KeyId| {
            let only = self.place_of(home)?;
            let picked = self.gateway.pool(guests).pick(&Want { only: Some(only), ..self.want() }, now);
            matches!(picked, Pick::Ready { .. }).then_some(picked)
        };
        let home = self.gateway.objects(guests).home(client, now);
        if let Some(picked) = home.and_then(at) {
            return picked;
        }
        let picked = self.gateway.pool(guests).pick(&self.want(), now);
        let Pick::Ready { lease, key } = picked else { return picked };
        let settled = self.gateway.objects(guests).settle(client, key.id(), home, now);
        if settled == key.id() {
            return Pick::Ready { lease, key };
        }
        // Somebody was faster.
        match at(settled) {
            Some(picked) => {
                Lease { gateway: Arc::clone(&self.gateway), guests, id: lease, key }.unused(now);
                picked
            }
            None => Pick::Ready { lease, key },
        }
    }
}

/// What Google says of another project's object, and what is true of another client's.
pub(super) fn foreign(name: &ObjectName) -> Error {
    let message = match name.collection() {
        "files" => {
            let id = name.id();
            format!("You do not have permission to access the File {id} or it may not exist.")
        }
        "cachedContents" => "CachedContent not found (or permission denied)".to_owned(),
        _ => format!("You do not have permission to access {name} or it may not exist."),
    };
    Error::new(Kind::Forbidden, message)
}
