//! A list of objects, put together from those of all projects.
//!
//! Each project is asked by an exchange of its own ([`Single`]), some side by side; their pages follow one another in a
//! fixed order of the projects. A page of the whole ends where it is full, and its token says where the next one begins: in
//! which project, with which token of Google's, behind how many items. A client sees what it made itself; an
//! administrator, and the only client of a pool, see everything. A project that cannot be asked is left out, and the
//! head says how many were.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::inner::Operations;
use super::{Admitted, CLIENT_LEFT, OpId, Outcome, Single, Step};
use crate::affinity::address::Called;
use crate::affinity::name::ObjectName;
use crate::affinity::objects::COPY;
use crate::auth::Access;
use crate::clients::Charge;
use crate::error::{Dialect, Error, Kind};
use crate::event::{Course, Ending, Event, Finished, Operation};
use crate::gateway::Gateway;
use crate::mark::Mark;
use crate::memory::Held;
use crate::pool::{By, Only};
use crate::resource::{Resource, ResourceCall};
use crate::secret::KeyId;
use crate::task::Task;
use crate::time::Timestamp;

/// So many projects are asked at a time.
const SIDE_BY_SIDE: usize = 8;

/// So many projects are listed at most. A pool of more is asked for its objects by their names.
const MOST_PROJECTS: usize = 1_000;

/// So many calls are made for one page once there is something on it, and so many at all.
const CALLS: u32 = 64;
const MOST_CALLS: u32 = 1_024;

/// How long a page is where the client does not say, and at most.
const PAGE: usize = 50;
const LONGEST_PAGE: usize = 1_000;

/// How many projects could not be asked.
const MISSING: HeaderName = HeaderName::from_static("x-libra-missing-projects");

/// The list of a collection.
#[derive(Debug)]
pub(super) struct Listing {
    gateway: Arc<Gateway>,
    resource: Box<Resource>,
    access: Access,
    headers: HeaderMap,
    called: Called,
    mark: Mark,
    arrived: Timestamp,
    held: Held,
    /// Its place among those of its client.
    charge: Option<Charge>,
    /// The query without what is said of pages.
    query: Vec<String>,
    page: usize,
    sees_all: bool,
    /// The projects that are still to be asked, in order.
    places: VecDeque<Place>,
    /// Those that are being asked, in order, and what has come of them.
    asked: VecDeque<Asked>,
    items: Vec<Box<RawValue>>,
    shown: HashSet<ObjectName>,
    /// Keys that have turned out to share a project.
    kin: Vec<(KeyId, KeyId)>,
    /// What Google calls the list.
    field: Option<String>,
    missing: u32,
    failed: Option<Response<Bytes>>,
    cancel: Vec<OpId>,
    reply: Option<Response<Bytes>>,
    next_op: u32,
    calls: u32,
    attempts: u32,
    course: Course,
    events: Vec<Event>,
}

/// Where in a project's list to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    only: Only,
    token: Option<String>,
    skip: usize,
}

#[derive(Debug)]
struct Asked {
    place: Place,
    single: Single,
    operations: Operations,
    reply: Option<Response<Bytes>>,
}

impl Listing {
    /// Whether a list has to be put together: by its nature, or as not all of it is for this client.
    pub(super) fn is_needed(gateway: &Gateway, access: &Access, mark: Mark) -> bool {
        match access {
            Access::Pool { .. } => gateway.pool(false).projects() > 1 || !sees_all(gateway, access, mark),
            Access::Own(keys) => keys.len() > 1,
        }
    }

    /// `admitted` is about a list.
    ///
    /// # Errors
    /// A token that was not made here.
    pub(super) fn new(gateway: Arc<Gateway>, admitted: Admitted) -> Self {
        let Admitted {
            task,
            access,
            headers,
            called,
            body: _,
            further_models: _,
            held,
            arrived,
            mark,
            charge,
        } = admitted;
        let Task::Resource(resource) = task else { unreachable!("only resources are listed") };
        let query = resource.call().query.clone().unwrap_or_default();
        let mut page = PAGE;
        let mut token = None;
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "pageSize" | "page_size" => {
                    page = value.parse().ok().filter(|page| *page > 0).unwrap_or(PAGE).min(LONGEST_PAGE);
                }
                "pageToken" | "page_token" => {
                    token = Some(value.to_owned()).filter(|token| !token.is_empty())
                }
                _ => kept.push(pair.to_owned()),
            }
        }
        let own = match &access {
            Access::Pool { .. } => None,
            Access::Own(keys) => Some(keys.as_slice()),
        };
        let mut places = gateway.pool(own.is_some()).representatives(own, MOST_PROJECTS);
        places.sort_by_key(|place| place.project);
        let mut places: VecDeque<Place> =
            places.into_iter().map(|only| Place { only, token: None, skip: 0 }).collect();
        let mut this = Self {
            sees_all: sees_all(&gateway, &access, mark),
            gateway,
            resource,
            access,
            headers,
            called,
            mark,
            arrived,
            held,
            charge,
            query: kept,
            page,
            places: VecDeque::new(),
            asked: VecDeque::new(),
            items: Vec::new(),
            shown: HashSet::new(),
            kin: Vec::new(),
            field: None,
            missing: 0,
            failed: None,
            cancel: Vec::new(),
            reply: None,
            next_op: 0,
            calls: 0,
            attempts: 0,
            course: Course::new(Operation::Objects, false, mark.trace()),
            events: Vec::new(),
        };
        match token.map(|token| Token::read(&token)) {
            None => {}
            Some(None) => {
                let message = "pageToken is none of this list's. pageToken 无效。";
                this.refuse(&Error::new(Kind::BadRequest, message), arrived);
            }
            Some(Some(token)) => {
                while places.front().is_some_and(|place| place.only.project.as_u64() < token.project) {
                    places.pop_front();
                }
                if let Some(first) =
                    places.front_mut().filter(|place| place.only.project.as_u64() == token.project)
                {
                    first.token = token.token;
                    first.skip = token.skip;
                }
            }
        }
        this.places = places;
        this
    }

    pub(super) fn poll(&mut self, now: Timestamp) -> Step {
        loop {
            if let Some(op) = self.cancel.pop() {
                return Step::Cancel(op);
            }
            if let Some(reply) = self.reply.take() {
                return Step::Reply(reply);
            }
            let mut wakes_at: Option<Timestamp> = None;
            for asked in &mut self.asked {
                if asked.reply.is_some() {
                    continue;
                }
                let until = match asked.single.poll(now) {
                    Step::Start(inner, what) => {
                        self.next_op += 1;
                        let outer = OpId(self.next_op);
                        asked.operations.start(outer, inner);
                        return Step::Start(outer, what);
                    }
                    Step::Cancel(inner) => match asked.operations.cancel(inner) {
                        Some(outer) => return Step::Cancel(outer),
                        None => now,
                    },
                    Step::WaitUntil(until) | Step::Queued { until, .. } => until,
                    Step::Open(_) | Step::Ping(_) => now,
                    Step::Reply(reply) => {
                        asked.reply = Some(reply);
                        now
                    }
                    Step::Commit { op, .. } => {
                        // A page too large to be held is none.
                        self.cancel.extend(asked.operations.cancel(op));
                        let error = Error::new(Kind::BadGateway, "A page of the list is too large.");
                        asked.reply = Some(error.response(Dialect::Gemini, Some(self.mark.id())));
                        now
                    }
                };
                wakes_at = Some(wakes_at.map_or(until, |earlier| earlier.min(until)));
            }
            if self.asked.front().is_some_and(|first| first.reply.is_some()) {
                self.take_first(now);
                continue;
            }
            let may_ask = self.asked.len() < SIDE_BY_SIDE && self.calls < self.most_calls();
            if self.reply.is_none() && may_ask && !self.places.is_empty() {
                self.ask_next(now);
                continue;
            }
            match wakes_at {
                Some(until) if until > now => return Step::WaitUntil(until),
                Some(_) => {}
                None => {
                    let rest = self.places.front().cloned();
                    self.answer(rest.as_ref(), now);
                }
            }
        }
    }

    /// Asks the next project for its part.
    fn ask_next(&mut self, now: Timestamp) {
        let Some(place) = self.places.pop_front() else { return };
        let asked = self.ask(place, now);
        self.asked.push_back(asked);
    }

    fn ask(&mut self, place: Place, now: Timestamp) -> Asked {
        // Of what is not all this client's, much is asked for at a time.
        let size = if self.sees_all { self.page } else { self.page.max(longest_page(self.resource.call())) };
        let mut query = self.query.clone();
        query.push(format!("pageSize={size}"));
        if let Some(token) = &place.token {
            let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
            query.push(format!("pageToken={token}"));
        }
        let admitted = Admitted {
            task: Task::Resource(Box::new(self.resource.part_of_list(Some(query.join("&")), place.only))),
            access: self.access.clone(),
            headers: self.headers.clone(),
            called: self.called.clone(),
            body: Some(Bytes::new()),
            further_models: Vec::new(),
            held: self.gateway.share(),
            arrived: now,
            mark: self.mark,
            charge: None,
        };
        self.calls += 1;
        let single = Single::new(Arc::clone(&self.gateway), admitted);
        Asked { place, single, operations: Operations::default(), reply: None }
    }

    /// Takes the first project's page: the others' follow it.
    fn take_first(&mut self, now: Timestamp) {
        let Some(mut asked) = self.asked.pop_front() else { return };
        self.hear(asked.single.take_events());
        let Some(reply) = asked.reply.take() else { return };
        let page = Some(&reply).filter(|reply| reply.status().is_success());
        let Some(Page { field, items, next }) = page.and_then(|reply| Page::read(reply.body())) else {
            self.missing += 1;
            self.failed.get_or_insert(reply);
            return;
        };
        self.field = self.field.take().or(field);
        let mut room = self.page - self.items.len();
        for (at, item) in items.into_iter().enumerate().skip(asked.place.skip) {
            if !self.shows(&item, asked.place.only, now) {
                continue;
            }
            if room == 0 {
                let rest = Place { skip: at, ..asked.place };
                return self.answer(Some(&rest), now);
            }
            if self.held.grow(item.get().len()) {
                room -= 1;
                self.items.push(item);
            }
        }
        // A full page does not end here: the SDKs fail at a next one that is empty.
        if let Some(next) = next {
            let rest = Place { token: Some(next), skip: 0, ..asked.place };
            if self.is_long() {
                return self.answer(Some(&rest), now);
            }
            // What the others have been asked meanwhile is behind it.
            let asked = self.ask(rest, now);
            self.asked.push_front(asked);
            return;
        }
        let behind = self.asked.front().map(|asked| &asked.place).or_else(|| self.places.front()).cloned();
        if let Some(behind) = behind.filter(|_| self.is_long()) {
            self.answer(Some(&behind), now);
        }
    }

    /// Whether enough was asked for one page.
    fn is_long(&self) -> bool {
        let most = if self.items.is_empty() { MOST_CALLS } else { CALLS };
        self.calls >= most.min(self.most_calls())
    }

    /// How many calls may be made at all. Beyond, the page ends, and its token says where to go on.
    fn most_calls(&self) -> u32 {
        self.gateway.config().most_calls.unwrap_or(MOST_CALLS).min(MOST_CALLS)
    }

    /// Whether this client sees an item of the list, and sees it here: of keys that share a project each lists it.
    fn shows(&mut self, item: &RawValue, place: Only, now: Timestamp) -> bool {
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow)]
            name: Option<Cow<'a, str>>,
        }
        let named = serde_json::from_str::<Named<'_>>(item.get()).ok().and_then(|item| item.name);
        let Some(name) = named.and_then(|name| ObjectName::of_text(&name, |_| false)) else {
            return self.sees_all;
        };
        let guests = matches!(self.access, Access::Own(_));
        let owner = self.gateway.objects(guests).find(&name, now).flatten();
        let is_theirs = self.sees_all || owner.is_some_and(|owner| owner.maker == Some(self.access.client()));
        if !is_theirs || owner.is_some_and(|owner| owner.maker == Some(COPY)) {
            return false;
        }
        if let Some(owner) = owner
            && self.is_elsewhere(&name, owner.key, place.key)
        {
            return false;
        }
        self.shown.insert(name)
    }

    /// Whether an object that one key has listed is listed by the key of its owner, too, as that of another project.
    fn is_elsewhere(&mut self, name: &ObjectName, owner: KeyId, lister: KeyId) -> bool {
        if matches!(self.access, Access::Own(_)) {
            return owner != lister;
        }
        let pool = self.gateway.pool(false);
        if pool.project_of(owner) == pool.project_of(lister) {
            return false;
        }
        // Who sees a file of another key's is of its project. Some other objects can be shared. Told at the end, so that
        // the places of the list stay what they are.
        let pair = (owner, lister);
        if matches!(name.collection(), "files" | "cachedContents") && !self.kin.contains(&pair) {
            self.kin.push(pair);
        }
        pool.can_be_asked(owner)
    }

    /// The page is full, or there is nothing more.
    fn answer(&mut self, rest: Option<&Place>, now: Timestamp) {
        if self.items.is_empty()
            && rest.is_none()
            && let Some(failed) = self.failed.take()
        {
            return self.finish(failed, Ending::Refused, now);
        }
        let mut body = String::from("{");
        if !self.items.is_empty() {
            let field = self.field.as_deref().unwrap_or_else(|| self.resource.call().collection());
            body.push_str(&serde_json::Value::from(field).to_string());
            body.push_str(":[");
            for (at, item) in self.items.iter().enumerate() {
                body.push_str(if at == 0 { "" } else { "," });
                body.push_str(item.get());
            }
            body.push(']');
        }
        if let Some(rest) = rest {
            let comma = if self.items.is_empty() { "" } else { "," };
            // A token has nothing that would have to be escaped.
            body.push_str(&format!("{comma}\"nextPageToken\":\"{}\"", Token::of(rest).write()));
        }
        body.push('}');
        let mut response = Response::new(Bytes::from(body));
        let json = HeaderValue::from_static("application/json; charset=UTF-8");
        response.headers_mut().insert(CONTENT_TYPE, json);
        if self.missing > 0 {
            response.headers_mut().insert(MISSING, HeaderValue::from(self.missing));
        }
        self.finish(response, Ending::Complete, now);
    }

    fn refuse(&mut self, error: &Error, now: Timestamp) {
        let reply = error.response(Dialect::Gemini, Some(self.mark.id()));
        self.finish(reply, Ending::Refused, now);
    }

    fn finish(&mut self, mut response: Response<Bytes>, ending: Ending, now: Timestamp) {
        for (key, other) in std::mem::take(&mut self.kin) {
            let _ = self.gateway.pool(false).join_keys(key, other, By::Google, now);
        }
        self.drop_asked();
        self.charge = None;
        self.tell_end(response.status(), ending, now);
        self.mark.put_served(response.headers_mut(), self.attempts, None);
        self.reply = Some(response);
    }

    fn drop_asked(&mut self) {
        for mut asked in std::mem::take(&mut self.asked) {
            self.hear(asked.single.take_events());
            self.cancel.extend(asked.operations.take());
        }
        self.places.clear();
    }

    /// Takes in what happened while a project was asked. Its end is not the whole's.
    fn hear(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Finished(Finished { attempts, course, .. }) => {
                    self.course.absorb(course);
                    self.attempts = self.attempts.saturating_add(attempts);
                }
                event => self.events.push(event),
            }
        }
    }

    fn tell_end(&mut self, status: StatusCode, ending: Ending, now: Timestamp) {
        let mut course = std::mem::take(&mut self.course);
        course.end(None, now);
        if ending == Ending::Complete {
            course.first_byte = Some(now.since(self.arrived));
        }
        self.events.push(Event::Finished(Finished {
            request: self.mark.id(),
            client: self.access.client(),
            dialect: Dialect::Gemini,
            model: None,
            status,
            ending,
            attempts: self.attempts,
            key: None,
            usage: None,
            stand_ins: 0,
            elapsed: now.since(self.arrived),
            course,
        }));
    }

    pub(super) fn handle(&mut self, op: OpId, outcome: Outcome, now: Timestamp) {
        for asked in &mut self.asked {
            if let Some(inner) = asked.operations.inner(op) {
                return asked.single.handle(inner, outcome, now);
            }
        }
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(super) fn abandon(&mut self, now: Timestamp) {
        self.drop_asked();
        self.tell_end(CLIENT_LEFT, Ending::ClientLeft, now);
    }
}

/// The longest page that Google gives of a list, or one that is long enough.
fn longest_page(call: &ResourceCall) -> usize {
    match call.collection() {
        "fileSearchStores" | "ragStores" => 20,
        _ => 100,
    }
}

/// Whether a client sees objects whose maker it is not known to be.
fn sees_all(gateway: &Gateway, access: &Access, mark: Mark) -> bool {
    match access {
        Access::Pool { .. } => mark.is_admins() || gateway.config().clients.len() == 1,
        Access::Own(_) => true,
    }
}

/// One project's page.
struct Page {
    field: Option<String>,
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}

impl Page {
    fn read(body: &[u8]) -> Option<Self> {
        let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).ok()?;
        let mut page = Self { field: None, items: Vec::new(), next: None };
        for (name, value) in fields {
            if name == "nextPageToken" {
                let token: String = serde_json::from_str(value.get()).ok()?;
                page.next = (!token.is_empty()).then_some(token);
            } else if value.get().starts_with('[') && page.field.is_none() {
                page.items = serde_json::from_str(value.get()).ok()?;
                page.field = Some(name);
            }
        }
        Some(page)
    }
}

/// Where a page begins.
#[derive(Debug, PartialEq, Eq)]
struct Token {
    project: u64,
    skip: usize,
    token: Option<String>,
}

impl Token {
    fn of(place: &Place) -> Self {
        Self { project: place.only.project.as_u64(), skip: place.skip, token: place.token.clone() }
    }

    fn write(&self) -> String {
        let token = self.token.as_deref().unwrap_or_default();
        URL_SAFE_NO_PAD.encode(format!("{:x}.{}.{token}", self.project, self.skip))
    }

    fn read(text: &str) -> Option<Self> {
        let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = decoded.splitn(3, '.');
        let project = u64::from_str_radix(parts.next()?, 16).ok()?;
        let skip = parts.next()?.parse().ok().filter(|skip| *skip <= LONGEST_PAGE)?;
        let token = parts.next()?;
        Some(Self { project, skip, token: (!token.is_empty()).then(|| token.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_say_where_a_page_begins() {
        for token in [None, Some("a.b/c=".to_owned())] {
            let token = Token { project: u64::MAX, skip: 7, token };
            assert_eq!(Token::read(&token.write()), Some(token));
        }
        for junk in ["", "?", "YQ", "MS4yMDAwMC4"] {
            assert_eq!(Token::read(junk), None, "{junk}");
        }
    }
}
