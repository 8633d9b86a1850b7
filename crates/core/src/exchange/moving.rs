//! Another project for a request whose own has no room: its files are uploaded there again, its cache is written out.
//!
//! It takes what the [spool](crate::affinity::spool) still has of both.

use std::time::Duration;

use bytes::Bytes;

use super::attempt::Lease;
use super::{Single, Step};
use crate::affinity::name::ObjectName;
use crate::affinity::scan;
use crate::affinity::spool::written_out;
use crate::auth::Access;
use crate::pool::{Only, Want};
use crate::secret::KeyId;
use crate::task::Task;
use crate::time::Timestamp;
use crate::tokens;

/// A project that is without room for longer loses its clients. A minute's quota is no reason to: a store and a file that
/// is to be imported have to be in one project.
const LONG: Duration = Duration::from_secs(300);

impl Single {
    /// Whether the request can go to another project than that of its objects, and does so from now on.
    pub(super) fn moves(&mut self, now: Timestamp) -> bool {
        let Some(only) = self.only.filter(|_| !self.has_moved) else { return false };
        let is_prompt = matches!(self.task, Task::Native { .. } | Task::Generation(_));
        let Some(body) = self.task.translated_body().or_else(|| self.body.clone()).filter(|_| is_prompt)
        else {
            return false;
        };
        let Some(body) = self.without_cache(body) else { return false };
        if !self.files_are_at_hand(&body) {
            return false;
        }
        // Where copies are already.
        let file = self.owners.iter().find(|(name, _)| name.collection() == "files");
        self.stay = file.and_then(|(name, _)| self.gateway.placed().project(name.as_str(), now));
        self.tokens = tokens::estimate(&body);
        self.moved_body = Some(body);
        let recovery =
            self.gateway.pool(false).recovery(&Want { tried: &[], avoid: &[], ..self.want() }, now);
        self.avoid.push(only.project);
        self.has_moved = true;
        // Another project, and no further load on the one that has none to spare.
        self.adds_to_load = false;
        if let Access::Pool { client } = &self.access {
            self.leave_home(client.id(), recovery, now);
        }
        self.only = None;
        true
    }

    /// The project of the request's objects has no room before `recovery`. If that is long, what the client makes next is
    /// made where there is room; else it stays where it can be used with the rest.
    pub(super) fn leave_home(&self, client: KeyId, recovery: Option<Timestamp>, now: Timestamp) {
        let is_long = recovery.is_none_or(|recovery| recovery > now + LONG);
        if self.only.is_some() && is_long {
            self.gateway.objects(false).move_out(client);
        }
    }

    /// One of the projects whose objects the request names, if what it names of the others can be brought there.
    pub(super) fn meeting_place(&mut self) -> Option<Only> {
        let is_prompt = matches!(self.task, Task::Native { .. } | Task::Generation(_));
        let body = self.task.translated_body().or_else(|| self.body.clone()).filter(|_| is_prompt)?;
        let spool = self.gateway.spool();
        let comes_to = |target: &Only| {
            self.owners.iter().all(|(name, place)| {
                place.project == target.project || name.collection() == "files" && spool.file(name).is_some()
            })
        };
        let target = self.owners.iter().map(|(_, place)| *place).find(comes_to)?;
        drop(spool);
        self.moved_body = Some(body);
        Some(target)
    }

    /// The body with what its cache was made of in the cache's place, if it uses one. None: that is not known any more.
    fn without_cache(&self, body: Bytes) -> Option<Bytes> {
        let mut caches = self.owners.iter().filter(|(name, _)| name.collection() == "cachedContents");
        let Some((cache, _)) = caches.next() else { return Some(body) };
        let spool = self.gateway.spool();
        written_out(&body, spool.cache(cache)?)
    }

    /// Whether all that the body names can be uploaded again.
    fn files_are_at_hand(&self, body: &Bytes) -> bool {
        let public = self.called.public(&self.gateway.config());
        let spool = self.gateway.spool();
        scan::generation(body).iter().all(|found| match found.field {
            scan::Field::Address => {
                public.object(&found.value).is_none_or(|name| spool.file(&name).is_some())
            }
            _ => false,
        })
    }

    /// Begins the attempt with this key, or what has to come before it: the next file of the request is brought into
    /// the key's project.
    pub(super) fn go_with(&mut self, lease: Lease, now: Timestamp) -> Step {
        let (Some(body), Some(project)) = (&self.moved_body, lease.project()) else {
            return self.send_media(lease, now);
        };
        let public = self.called.public(&self.gateway.config());
        let named = scan::generation(body).into_iter().filter_map(|found| public.object(&found.value));
        let missing = {
            let placed = self.gateway.placed();
            let is_there = |name: &ObjectName| {
                self.owners.iter().any(|(owned, place)| owned == name && place.project == project)
                    || placed.find(name.as_str(), project, now).is_some()
            };
            named.into_iter().find(|name| !is_there(name))
        };
        let content = missing.and_then(|file| {
            let content = self.gateway.spool().file(&file).map(|content| content.as_related(file.id()))?;
            Some((file, content))
        });
        match content {
            Some((file, content)) => self.bring(file.as_str(), content, lease, now),
            None => self.send_media(lease, now),
        }
    }

    /// Where a file is to be found with this key, if the request has moved to its project.
    pub(super) fn copy_of(&self, address: &str, key: KeyId) -> Option<String> {
        let name = self.called.public(&self.gateway.config()).object(address)?;
        self.place_of_copy(name.as_str(), key)
    }
}
