//! Media that this gateway has put into projects, as they were too large to stand in a request: where each is, by what it
//! is. A conversation that sends the same film with every turn finds it there.

use std::collections::HashMap;
use std::time::Duration;

use crate::pool::ProjectId;
use crate::time::Timestamp;

/// So many places are known. One takes some 200 bytes.
const MOST: usize = 10_000;

/// Google deletes files after 48 hours; one that is about to go is not relied on.
const KEPT: Duration = Duration::from_secs(46 * 60 * 60);

/// Where media are.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    /// By digest and project: the address, and until when it counts.
    places: HashMap<(Box<str>, ProjectId), (String, Timestamp)>,
}

impl Placed {
    /// The address of a medium in a project.
    pub(crate) fn find(&self, digest: &str, project: ProjectId, now: Timestamp) -> Option<&str> {
        let (address, until) = self.places.get(&(digest.into(), project))?;
        (*until > now).then_some(address.as_str())
    }

    /// A medium was put into a project.
    pub(crate) fn put(&mut self, digest: &str, project: ProjectId, address: String, now: Timestamp) {
        if self.places.len() >= MOST {
            self.places.retain(|_, (_, until)| *until > now);
            if self.places.len() >= MOST {
                self.places.clear();
            }
        }
        self.places.insert((digest.into(), project), (address, now + KEPT));
    }

    /// It is not there any more.
    pub(crate) fn forget(&mut self, digest: &str, project: ProjectId) {
        self.places.remove(&(digest.into(), project));
    }
}
