//! Lists of files and batches. OpenAI's are in the order of time and go on behind an object; Gemini's have no order that
//! is told, and go on with a token. So all of a list is fetched, put in order, and cut.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Response};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Ask, parse, plain};
use crate::error::Error;
use crate::openai::batches::GeminiBatch;
use crate::openai::files::GeminiFile;
use crate::resource::{Area, ResourceCall};
use crate::route::Version;

/// So many objects are looked at: OpenAI's longest page of files. Google keeps files for two days.
const MOST: usize = 10_000;

/// So many pages are fetched for one list; the gateway's have up to a thousand objects.
const MOST_PAGES: u32 = 32;

/// How many projects could not be asked.
const MISSING: HeaderName = HeaderName::from_static("x-libra-missing-projects");

/// A list on its way.
#[derive(Debug)]
pub(crate) struct List {
    of: Collection,
    after: Option<String>,
    limit: usize,
    oldest_first: bool,
    purpose: Option<String>,
    found: Vec<Found>,
    pages: u32,
    missing: Option<HeaderValue>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Collection {
    Files,
    Batches,
}

#[derive(Debug)]
struct Found {
    /// When it was made, in Google's words and as time.
    made: (Option<jiff::Timestamp>, String),
    id: String,
    object: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow, default)]
    files: Vec<&'a RawValue>,
    /// Batches, by what they are for Google.
    #[serde(borrow, default)]
    operations: Vec<&'a RawValue>,
    next_page_token: Option<String>,
}

impl List {
    /// # Errors
    /// 400, with the parameter at fault.
    pub(super) fn of_files(query: &str) -> Result<Self, Error> {
        Self::new(Collection::Files, query, (10_000, 10_000))
    }

    /// # Errors
    /// 400, with the parameter at fault.
    pub(super) fn of_batches(query: &str) -> Result<Self, Error> {
        Self::new(Collection::Batches, query, (20, 100))
    }

    fn new(of: Collection, query: &str, (usual, most): (usize, usize)) -> Result<Self, Error> {
        let mut list = Self {
            of,
            after: None,
            limit: usual,
            oldest_first: false,
            purpose: None,
            found: Vec::new(),
            pages: 0,
            missing: None,
        };
        let pairs = form_urlencoded::parse(query.as_bytes());
        for (name, value) in pairs.filter(|(_, value)| !value.is_empty()) {
            match &*name {
                "after" => list.after = Some(value.into_owned()),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=most).contains(limit));
                    list.limit = limit.ok_or_else(|| {
                        Error::bad_request(format!("'limit' has to be 1 to {most}."), "limit")
                    })?;
                }
                "order" => {
                    list.oldest_first = match &*value {
                        "asc" => true,
                        "desc" => false,
                        _ => return Err(Error::bad_request("'order' has to be 'asc' or 'desc'.", "order")),
                    }
                }
                "purpose" if of == Collection::Files => list.purpose = Some(value.into_owned()),
                _ => {}
            }
        }
        Ok(list)
    }

    /// The call for a page.
    pub(super) fn ask(&self, token: Option<&str>) -> Ask {
        let collection = match self.of {
            Collection::Files => "files",
            Collection::Batches => "batches",
        };
        let mut query = "pageSize=1000".to_owned();
        if let Some(token) = token {
            query.push_str("&pageToken=");
            query.extend(form_urlencoded::byte_serialize(token.as_bytes()));
        }
        let call = ResourceCall::new(&Method::GET, Version::V1Beta, Area::Plain, &[collection], &query);
        Ask { call, ..plain(Method::GET, &[collection]) }
    }

    /// Takes in a page. The call for the next one.
    ///
    /// # Errors
    /// 502 where it is no page.
    pub(super) fn take(&mut self, reply: &Response<Bytes>) -> Result<Option<Ask>, Error> {
        let page: Page<'_> = parse(reply.body())?;
        if let Some(missing) = reply.headers().get(&MISSING) {
            self.missing = Some(missing.clone());
        }
        self.pages += 1;
        for item in page.files.iter().chain(&page.operations) {
            // One that cannot be read is none of those that are meant.
            if self.found.len() < MOST
                && let Some(found) = self.read(item)
            {
                self.found.push(found);
            }
        }
        let token = page.next_page_token.filter(|token| !token.is_empty());
        let goes_on = self.found.len() < MOST && self.pages < MOST_PAGES;
        Ok(token.filter(|_| goes_on).map(|token| self.ask(Some(&token))))
    }

    fn read(&self, item: &RawValue) -> Option<Found> {
        let found =
            |time: &str, id: String, object| Found { made: (time.parse().ok(), time.to_owned()), id, object };
        match self.of {
            Collection::Files => {
                let file: GeminiFile = serde_json::from_str(item.get()).ok()?;
                let object = file.object();
                let is_wanted = self.purpose.as_deref().is_none_or(|purpose| purpose == object.purpose);
                is_wanted.then(|| found(&file.create_time, object.id.clone(), object.write()))
            }
            Collection::Batches => {
                let batch: GeminiBatch = serde_json::from_str(item.get()).ok()?;
                Some(found(batch.create_time(), batch.id(), batch.object(false)))
            }
        }
    }

    /// The client's page.
    ///
    /// # Errors
    /// 400 for an object that is not there to go on behind.
    pub(super) fn answer(&mut self) -> Result<Response<Bytes>, Error> {
        self.found.sort_by(|one, other| (&one.made, &one.id).cmp(&(&other.made, &other.id)));
        if !self.oldest_first {
            self.found.reverse();
        }
        let from = match &self.after {
            None => 0,
            Some(after) => {
                let place = self.found.iter().position(|found| found.id == *after);
                let absent = || Error::bad_request(format!("'after' is none of this list: {after}"), "after");
                place.ok_or_else(absent)? + 1
            }
        };
        let rest = &self.found[from..];
        let page = &rest[..rest.len().min(self.limit)];
        let mut body = Vec::from(&br#"{"object":"list","data":["#[..]);
        for (at, found) in page.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&found.object);
        }
        let end = serde_json::json!({
            "first_id": page.first().map(|found| &found.id),
            "last_id": page.last().map(|found| &found.id),
            "has_more": rest.len() > page.len(),
        });
        body.extend_from_slice(b"],");
        body.extend_from_slice(&end.to_string().as_bytes()[1..]);
        let mut response = Response::new(Bytes::from(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(missing) = self.missing.take() {
            headers.insert(MISSING, missing);
        }
        Ok(response)
    }
}
