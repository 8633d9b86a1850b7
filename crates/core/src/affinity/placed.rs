//! What this gateway has put into projects for requests that need it there, and where each is: media that were too large
//! to stand in a request, by their digest, and copies of files, by the name of the file.

use std::collections::HashMap;
use std::time::Duration;

use crate::pool::ProjectId;
use crate::time::Timestamp;

/// So many places are known. One takes some 200 bytes.
const MOST: usize = 10_000;

/// Google deletes files after 48 hours; one that is about to go is not relied on.
const KEPT: Duration = Duration::from_secs(46 * 60 * 60);

/// Where it is.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    /// By what it is and project: the address, and until when it counts.
    places: HashMap<(Box<str>, ProjectId), (String, Timestamp)>,
}

impl Placed {
    /// How many places are known, and how many may be.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.places.len(), MOST)
    }

    /// The address of something in a project.
    pub(crate) fn find(&self, what: &str, project: ProjectId, now: Timestamp) -> Option<&str> {
        let (address, until) = self.places.get(&(what.into(), project))?;
        (*until > now).then_some(address.as_str())
    }

    /// A project that has something.
    pub(crate) fn project(&self, what: &str, now: Timestamp) -> Option<ProjectId> {
        let is_there =
            |((known, _), (_, until)): &(&(Box<str>, _), &(_, Timestamp))| &**known == what && *until > now;
        self.places.iter().find(is_there).map(|((_, project), _)| *project)
    }

    /// Something was put into a project.
    pub(crate) fn put(&mut self, what: &str, project: ProjectId, address: String, now: Timestamp) {
        if self.places.len() >= MOST {
            self.places.retain(|_, (_, until)| *until > now);
            if self.places.len() >= MOST {
                self.places.clear();
            }
        }
        self.places.insert((what.into(), project), (address, now + KEPT));
    }

    /// It is not there any more.
    pub(crate) fn forget(&mut self, what: &str, project: ProjectId) {
        self.places.remove(&(what.into(), project));
    }
}
