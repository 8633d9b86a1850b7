//! Waiting: requests that queue, whose turn it is, and what is due at a time.

use super::{Due, Pool, Ticket};
use crate::config::Tier;
use crate::secret::KeyId;
use crate::time::Timestamp;

impl Pool {
    /// When [`due`](Self::due) will next have something.
    pub fn next_deadline(&mut self, now: Timestamp) -> Option<Timestamp> {
        let lease = self.leases.first_key_value().map(|(_, leased)| leased.until);
        let probe = self.probes.first().map(|&(at, _)| at);
        let models: Vec<Box<str>> = self.queue.models().map(Into::into).collect();
        let turns: Vec<Timestamp> = models.iter().filter_map(|model| self.next_turn(model, now)).collect();
        lease.into_iter().chain(probe).chain(turns).min()
    }

    /// When somebody who waits for a model may have a turn.
    pub(super) fn next_turn(&mut self, model: &str, now: Timestamp) -> Option<Timestamp> {
        let end = self.queue.next_turn_end(model, now);
        let room = self.next_room(model, now).filter(|at| *at > now || end.is_none());
        end.into_iter().chain(room).min()
    }

    /// Takes a place among those that wait for a model; none where too many wait.
    pub fn enter_queue(&mut self, model: &str, client: KeyId, tokens: u64, most: usize) -> Option<Ticket> {
        (self.queue.len() < most).then(|| self.queue.enter(model, client, tokens))
    }

    /// How many requests wait.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// How many requests of a model the projects may serve today, and how many of those are left. A project of which
    /// nobody knows the limit counts like the average of the others, unless it has served as much already, or is paid for:
    /// then there is no telling. None too where no limit is known at all.
    pub(crate) fn room_today(&mut self, model: &str, now: Timestamp) -> Option<(u64, u64)> {
        let family = self.family(model).to_owned();
        let mut table = self.tables.get_mut(family.as_str());
        let day_ends = now.next_pacific_midnight();
        let (mut known, mut capacity, mut left) = (0_u64, 0_u64, 0_u64);
        // Those without a limit: what they have served, and whether they can serve any more today.
        let mut unknown: Vec<(u64, bool)> = Vec::new();
        for &number in &self.order {
            let project = &self.projects[number as usize];
            if project.usable.is_empty() {
                continue;
            }
            let cell = table.as_mut().and_then(|table| table.cell_mut(number));
            let (limit, used, rests) = match cell {
                Some(cell) => {
                    let (limit, used) = cell.meter.day_requests(now);
                    (limit, used, cell.rest_until())
                }
                None => {
                    let limits = project.settings.as_ref().and_then(|settings| settings.limits_of(model));
                    (limits.and_then(|limits| limits.requests_per_day), 0, Timestamp::EPOCH)
                }
            };
            let is_out = rests.max(project.rest_until) >= day_ends;
            match limit {
                Some(limit) => {
                    known += 1;
                    capacity = capacity.saturating_add(limit);
                    if !is_out {
                        left = left.saturating_add(limit.saturating_sub(used));
                    }
                }
                None if project.settings.as_ref().is_some_and(|settings| settings.tier == Tier::Paid) => {
                    return None;
                }
                None => unknown.push((used, is_out)),
            }
        }
        let average = capacity.checked_div(known)?;
        for (used, is_out) in unknown {
            capacity = capacity.saturating_add(average);
            match is_out {
                true => {}
                false if used >= average => return None,
                false => left = left.saturating_add(average - used),
            }
        }
        Some((capacity, left))
    }

    /// Gives a place up; `served`: because its request was given a key.
    pub fn leave_queue(&mut self, ticket: Ticket, served: bool) {
        self.queue.leave(ticket, served);
    }

    /// Whether a request has to wait behind others, with or without a place of its own.
    pub fn is_behind(&self, model: &str, ticket: Option<Ticket>, now: Timestamp) -> bool {
        match ticket {
            Some(ticket) => !self.queue.has_turn(ticket, now),
            None => self.queue.waits_for(model),
        }
    }

    /// A turn has brought nothing.
    pub fn pass_turn(&mut self, ticket: Ticket) {
        self.queue.pass(ticket);
    }

    /// A client's request for a model was refused because no project has room for it.
    pub fn refused(&mut self, model: &str, client: KeyId, now: Timestamp) {
        let family = self.family(model).to_owned();
        if let Some(table) = self.tables.get_mut(family.as_str()) {
            table.refused(client, now);
        }
    }

    /// What is due now. Lost leases are taken back on the way.
    pub fn due(&mut self, now: Timestamp) -> Vec<Due> {
        while let Some((&lease, leased)) = self.leases.first_key_value()
            && leased.until <= now
        {
            self.release(lease);
        }
        let mut due = Vec::new();
        let models: Vec<Box<str>> = self.queue.models().map(Into::into).collect();
        for model in models {
            let room = self.room_for(&model, now);
            due.extend(self.queue.wake(&model, room, now).into_iter().map(Due::Wake));
        }
        while let Some(&(at, slot)) = self.probes.first()
            && at <= now
        {
            self.probes.pop_first();
            let key = &mut self.keys[slot];
            if let Some(aside) = &mut key.set_aside {
                // Until the result is in, the next probe is already planned: a result that never comes is a
                // failed probe.
                key.probes += 1;
                aside.postpone(now, key.probes);
                self.probes.insert((aside.probe_at, slot));
                due.push(Due::Probe(self.keys[slot].key.clone()));
            }
        }
        due
    }

    /// The result of a probe. Only a good answer restores; a fault that says nothing about the key leaves it
    /// set aside until the next probe.
    pub fn probed(&mut self, key: KeyId, works: bool, now: Timestamp) {
        if works {
            self.restore(key, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use wildmatch::WildMatch;

    use super::*;
    use crate::config::{ModelLimits, PoolKey, ProjectSettings, Strategy};
    use crate::event::Usage;
    use crate::pool::{Pick, PoolSettings, Want};
    use crate::secret::ApiKey;

    #[test]
    fn the_room_of_a_day_is_known_as_far_as_limits_are() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let check = |projects: &[(Tier, Option<u64>)], served: usize, expected: Option<(u64, u64)>| {
            let settings: Vec<ProjectSettings> = (0..)
                .zip(projects)
                .map(|(number, &(tier, limit))| ProjectSettings {
                    tier,
                    limits: vec![ModelLimits {
                        models: WildMatch::new("m"),
                        requests_per_minute: Some(1_000),
                        tokens_per_minute: None,
                        requests_per_day: limit,
                    }],
                    ..ProjectSettings::new(&format!("p{number}"))
                })
                .collect();
            let key = |project: &ProjectSettings| PoolKey {
                project: Some(project.name.clone()),
                ..PoolKey::from(ApiKey::new(&format!("key of {}", project.name)))
            };
            let keys: Vec<PoolKey> = settings.iter().map(key).collect();
            let all = PoolSettings { projects: &settings, ..PoolSettings::only(Strategy::Headroom) };
            let mut pool = Pool::new(&keys, all, 1);
            // Only models that were served are counted; this is the first request.
            let want = Want { model: Some("m"), tokens: 1, ..Want::default() };
            let Pick::Ready { lease, key } = pool.pick(&want, now) else { panic!("{projects:?}") };
            pool.succeeded(key.id(), Some("m"), now);
            pool.used(lease, "m", Usage { prompt: 1, total: 2, ..Usage::default() }, now);
            pool.release(lease);
            for _ in 0..served {
                assert!(matches!(pool.pick(&want, now), Pick::Ready { .. }), "{projects:?}");
            }
            assert_eq!(pool.room_today("m", now), expected, "{projects:?}");
        };
        use Tier::{Free, Paid, Unknown};
        check(&[(Free, None), (Unknown, None)], 3, None);
        check(&[(Free, Some(100)), (Paid, Some(50))], 0, Some((150, 149)));
        check(&[(Free, Some(100))], 30, Some((100, 69)));
        check(&[(Free, Some(100)), (Unknown, None)], 0, Some((200, 199)));
        check(&[(Free, Some(100)), (Paid, None)], 0, None);
        // The one without a limit has served more than the other may: there is no telling what it may.
        check(&[(Free, Some(2)), (Unknown, None)], 20, None);
    }
}
