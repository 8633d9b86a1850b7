//! Media that a request names by address: where they stand, and how what was fetched takes their place.
//!
//! A translator writes every address as [`FileData`], marked with where the client named it if the gateway may
//! fetch it. [`GenerateContentRequest::write`] then puts in what has been fetched, and tells what has not.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::large::{BODY_LIMIT, Large};
use super::media_type;
use super::request::{Blob, FileData, GenerateContentRequest, Part};
use crate::json;
use crate::memory::Held;

/// Left for what is added to a body after it was written: safety settings, a search, repaired schemas.
const ROOM: usize = 64 << 10;

/// Where an address stands in the client's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The field, as errors name it.
    pub param: String,
    /// What may come from there.
    pub accepts: Accepts,
}

/// In place of what an address stands, which says what may come from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// An image: images, sound, video and PDF. A text in its place is a web page that was meant to show it.
    Media,
    /// A document: these and texts.
    Documents,
}

/// An address that is to be fetched.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    /// As the client wrote it.
    pub address: String,
    /// Where it stands first.
    pub place: Place,
    /// In how many places it stands. What is fetched stands in all of them.
    pub times: u64,
}

/// Something that was fetched.
pub struct Medium {
    kind: &'static str,
    base64: String,
    /// Its share of the common memory.
    _held: Held,
}

/// What was fetched for a request, by the addresses as the client wrote them.
#[derive(Debug, Clone, Default)]
pub struct Media(HashMap<String, Arc<Medium>>);

/// A request as it goes up.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The body.
    pub body: Bytes,
    /// The addresses in it that could be fetched and have not been, each once, in their order.
    pub remote: Vec<Remote>,
    /// So many calls had lost their signatures and got the [stand-in](crate::signatures::STAND_IN).
    pub stand_ins: u32,
    /// What was too large to stand in the body, and has to be put where its marks are.
    pub large: Vec<Arc<Large>>,
}

impl Medium {
    /// `held` has the room for it.
    pub fn new(kind: &'static str, base64: String, held: Held) -> Self {
        Self { kind, base64, _held: held }
    }

    /// Whether it may stand in such a place.
    pub fn fits(&self, accepts: Accepts) -> bool {
        accepts == Accepts::Documents || !media_type::is_text(self.kind)
    }

    /// How many bytes it takes.
    pub fn size(&self) -> u64 {
        self.base64.len() as u64
    }
}

impl Media {
    /// Adds what was fetched from an address.
    pub fn insert(&mut self, address: String, medium: Arc<Medium>) {
        self.0.insert(address, medium);
    }

    /// How many bytes all of it takes, once each.
    pub fn size(&self) -> u64 {
        self.0.values().map(|medium| medium.size()).sum()
    }
}

impl<'a> GenerateContentRequest<'a> {
    /// The body, with `media` in place of their addresses.
    pub fn write(mut self, media: &'a Media) -> Written {
        let mut remote = Places::default();
        for content in &mut self.contents {
            for part in &mut content.parts {
                remote.settle(part, media);
                for part in part.function_response.iter_mut().flat_map(|response| &mut response.parts) {
                    remote.settle(part, media);
                }
            }
        }
        let written = |request: &mut Self| {
            let plain = request.media().iter().map(|(size, _)| size).sum();
            json::with_plain(request, plain).expect("a request consists of strings, numbers and JSON")
        };
        let mut body = written(&mut self);
        let mut large = Vec::new();
        if body.len() > BODY_LIMIT - ROOM {
            let size = body.len();
            // Both would be in memory else.
            drop(body);
            large = self.take_out(size, BODY_LIMIT - ROOM);
            body = written(&mut self);
        }
        Written { body: body.into(), remote: remote.remote, stand_ins: 0, large }
    }
}

/// Collects the addresses that have not been fetched.
#[derive(Default)]
struct Places {
    remote: Vec<Remote>,
    /// The number of each in `remote`.
    numbers: HashMap<String, usize>,
}

impl Places {
    fn settle<'a>(&mut self, part: &mut Part<'a>, media: &'a Media) {
        let Some(FileData { file_uri, place: Some(place), .. }) = &part.file_data else { return };
        if let Some(medium) = media.0.get(file_uri.as_ref()) {
            let (mime_type, data) = (Cow::Borrowed(medium.kind), Cow::Borrowed(medium.base64.as_str()));
            part.inline_data = Some(Blob { mime_type, data });
            part.file_data = None;
            return;
        }
        match self.numbers.get(file_uri.as_ref()) {
            Some(&number) => {
                let known = &mut self.remote[number];
                known.times += 1;
                // What may stand in one place has to do in the other.
                if place.accepts == Accepts::Media {
                    known.place.accepts = Accepts::Media;
                }
            }
            None => {
                let address = file_uri.clone().into_owned();
                self.numbers.insert(address.clone(), self.remote.len());
                self.remote.push(Remote { address, place: place.clone(), times: 1 });
            }
        }
    }
}

/// Addresses may be secret.
impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("place", &self.place).finish_non_exhaustive()
    }
}

impl fmt::Debug for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Medium").field("kind", &self.kind).field("size", &self.size()).finish_non_exhaustive()
    }
}
