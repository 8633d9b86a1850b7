//! The pool in numbers, for whoever watches it: bounded in size, however many keys and models there are.
//!
//! Gathered in stretches of the pool's order, so that the pool can serve between them.

use super::Pool;
use super::table::Cell;
use super::view::{IncidentView, KeyCounts};
use crate::failure::Why;
use crate::secret::KeyId;
use crate::time::Timestamp;

/// So many projects are looked at before others may have the pool: some tenths of a millisecond.
pub(crate) const STRETCH: usize = 512;

/// So many used up days are told at once; more are the same news.
const USED_UP: usize = 100;

/// The pool in numbers.
#[derive(Debug, Clone, Default)]
pub struct Measure {
    /// How many keys there are.
    pub keys: Option<KeyCounts>,
    /// How many keys are set aside, by reason.
    pub set_aside: Vec<(Why, usize)>,
    /// How many projects there are, those of which nothing is known among them.
    pub projects: usize,
    /// How many of them rest as a whole.
    pub resting_projects: usize,
    /// How many requests wait for room.
    pub queued: usize,
    /// What is paused because many projects failed alike.
    pub incidents: Vec<IncidentView>,
    /// What is left, by project and model; the first projects of the pool's order by name.
    pub rooms: Vec<Room>,
    /// Who has nothing left for the day: a project, and a model where it is not all of them.
    pub used_up: Vec<(String, Option<String>)>,
    /// The projects that have a room of their own, each with its name.
    named: Vec<(u32, String)>,
}

/// What a project has left for a model; or several projects, or several models, together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The project; none: all that are not told by name.
    pub project: Option<String>,
    /// The model, or the quota family that it shares; none: all that are not told by name.
    pub model: Option<String>,
    /// Requests in the running minute.
    pub requests_per_minute: Option<Quota>,
    /// Input tokens in the running minute.
    pub tokens_per_minute: Option<Quota>,
    /// Requests of the running day, Pacific time.
    pub requests_per_day: Option<Quota>,
    /// Tokens of the running day.
    pub tokens_per_day: Option<Quota>,
    /// How many projects rest with the model.
    pub resting: usize,
}

/// What is left of limits that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// What is left.
    pub left: u64,
    /// What there is.
    pub limit: u64,
}

/// What is told by name.
pub struct Named<'a> {
    /// So many projects.
    pub projects: usize,
    /// So many rooms.
    pub rooms: usize,
    /// These models.
    pub models: &'a dyn Fn(&str) -> bool,
}

impl std::fmt::Debug for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Named").field("projects", &self.projects).field("rooms", &self.rooms).finish()
    }
}

impl Pool {
    /// The numbers of the whole, before those of its projects.
    pub(crate) fn measure(&self, now: Timestamp) -> Measure {
        let keys = self.key_counts();
        let mut set_aside: Vec<(Why, usize)> = Vec::new();
        if keys.set_aside > 0 {
            for why in self.keys.iter().filter_map(|key| Some(key.set_aside.as_ref()?.why)) {
                match set_aside.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, count)) => *count += 1,
                    None => set_aside.push((why, 1)),
                }
            }
        }
        Measure {
            keys: Some(keys),
            set_aside,
            projects: self.order.len(),
            queued: self.queue.len(),
            incidents: self.incidents(now),
            ..Measure::default()
        }
    }

    /// Adds the projects at these places of the order. False: there are no more.
    pub(crate) fn measure_stretch(
        &mut self,
        measure: &mut Measure,
        from: usize,
        named: &Named<'_>,
        now: Timestamp,
    ) -> bool {
        let until = (from + STRETCH).min(self.order.len());
        for &number in self.order.get(from..until).unwrap_or_default() {
            let project = &self.projects[number as usize];
            let rests = project.rest_until > now;
            measure.resting_projects += usize::from(rests);
            if rests && project.today.ends > now && project.rest_until >= project.today.ends {
                measure.note_used_up(project.shown_name(), None);
            }
            if measure.named.len() < named.projects {
                measure.named.push((number, project.shown_name()));
            }
        }
        for (model, table) in &mut self.tables {
            let shown = (named.models)(model);
            let mut others: Option<Room> = None;
            for &number in self.order.get(from..until).unwrap_or_default() {
                let Some(cell) = table.cell_mut(number) else { continue };
                let (room, used_up) = cell.measure(now);
                if used_up {
                    let name = self.projects[number as usize].shown_name();
                    measure.note_used_up(name, Some(model.to_string()));
                }
                let place = measure.named.iter().find(|(known, _)| shown && *known == number);
                match (place, &mut others) {
                    (Some((_, name)), _) => {
                        let (project, model) = (Some(name.clone()), Some(model.to_string()));
                        measure.add(Room { project, model, ..room }, named.rooms);
                    }
                    (None, Some(others)) => others.merge(&room),
                    (None, others) => *others = Some(room),
                }
            }
            if let Some(others) = others {
                measure.add(Room { model: shown.then(|| model.to_string()), ..others }, named.rooms);
            }
        }
        until < self.order.len()
    }

    /// How many requests for a model the project of a key has still room for, where limits are known.
    pub(crate) fn room_left(&mut self, key: KeyId, model: &str, now: Timestamp) -> Option<u64> {
        let number = self.keys[*self.by_id.get(&key)?].project;
        let family = self.family(model).to_owned();
        let (room, _) = self.tables.get_mut(family.as_str())?.cell_mut(number)?.measure(now);
        [room.requests_per_minute, room.requests_per_day].into_iter().flatten().map(|quota| quota.left).min()
    }
}

impl Measure {
    fn note_used_up(&mut self, project: String, model: Option<String>) {
        if self.used_up.len() < USED_UP {
            self.used_up.push((project, model));
        }
    }

    /// Adds a room: to its own, while there may be more of them, or to the others'.
    fn add(&mut self, mut room: Room, most: usize) {
        let is_known = |known: &Room, room: &Room| known.project == room.project && known.model == room.model;
        let mut known = self.rooms.iter().position(|known| is_known(known, &room));
        if known.is_none() && self.rooms.len() >= most {
            (room.project, room.model) = (None, None);
            known = self.rooms.iter().position(|known| is_known(known, &room));
        }
        match known {
            Some(known) => self.rooms[known].merge(&room),
            None => self.rooms.push(room),
        }
    }
}

impl Room {
    fn merge(&mut self, other: &Self) {
        let sum = |one: &mut Option<Quota>, other: Option<Quota>| {
            if let Some(other) = other {
                let sum = one.get_or_insert_default();
                sum.left = sum.left.saturating_add(other.left);
                sum.limit = sum.limit.saturating_add(other.limit);
            }
        };
        sum(&mut self.requests_per_minute, other.requests_per_minute);
        sum(&mut self.tokens_per_minute, other.tokens_per_minute);
        sum(&mut self.requests_per_day, other.requests_per_day);
        sum(&mut self.tokens_per_day, other.tokens_per_day);
        self.resting += other.resting;
    }
}

impl Cell {
    /// What is left, and whether that is nothing for the day.
    fn measure(&mut self, now: Timestamp) -> (Room, bool) {
        let (requests, tokens, day, day_ends) = self.meter.counts(now);
        let limits = self.meter.limits;
        let quota = |used: u64, limit: Option<u64>| {
            limit.map(|limit| Quota { left: limit.saturating_sub(used), limit })
        };
        let room = Room {
            project: None,
            model: None,
            requests_per_minute: quota(requests, limits.requests_per_minute),
            tokens_per_minute: quota(tokens, limits.tokens_per_minute),
            requests_per_day: quota(day, limits.requests_per_day),
            tokens_per_day: quota(self.meter.tokens_today(), limits.tokens_per_day),
            resting: usize::from(self.rest_until() > now),
        };
        let rests_today = self.rest_until() > now && day_ends > now && self.rest_until() >= day_ends;
        let is_used_up = !limits.admit_nothing() && day > 0 && (self.meter.is_day_full(1) || rests_today);
        (room, is_used_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PoolKey, Strategy};
    use crate::failure::{Class, Consequence, Elsewhere, Failure};
    use crate::pool::{Pick, PoolSettings, Want};
    use crate::secret::ApiKey;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn measured(pool: &mut Pool, named: &Named<'_>) -> Measure {
        let mut measure = pool.measure(NOW);
        let mut from = 0;
        while pool.measure_stretch(&mut measure, from, named, NOW) {
            from += STRETCH;
        }
        measure
    }

    /// A pool of so many projects, each of which has been asked for each model.
    fn pool(projects: usize, models: &[&str]) -> Pool {
        let keys: Vec<_> =
            (0..projects).map(|number| PoolKey::from(ApiKey::new(&format!("fixture-{number}")))).collect();
        let mut pool = Pool::new(&keys, PoolSettings::only(Strategy::Headroom), 1);
        for model in models {
            // The first answer shows that there is such a model; from then on requests are counted.
            for _ in 0..2 * projects {
                let want = Want { model: Some(model), tokens: 1, ..Want::default() };
                let Pick::Ready { lease, key } = pool.pick(&want, NOW) else { panic!("there is room") };
                pool.succeeded(key.id(), Some(model), NOW);
                pool.release(lease);
            }
        }
        pool
    }

    #[test]
    fn a_measure_is_bounded_whatever_the_pool() {
        let mut pool = pool(STRETCH + 100, &["known", "made-up-1", "made-up-2"]);
        let named = Named { projects: 10, rooms: 8, models: &|model| model == "known" };
        let measure = measured(&mut pool, &named);
        assert_eq!(measure.keys.map(|keys| keys.all), Some(STRETCH + 100));
        assert!(measure.rooms.len() <= 8 + 2, "{}", measure.rooms.len());
        assert!(measure.rooms.iter().all(|room| room.model.as_deref().is_none_or(|model| model == "known")));
        let names = measure.rooms.iter().filter(|room| room.project.is_some()).count();
        assert!((1..=8).contains(&names), "{:?}", measure.rooms);
    }

    #[test]
    fn what_is_left_and_what_is_used_up_is_told() {
        let mut pool = pool(2, &["known"]);
        let key = ApiKey::new("fixture-0").id();
        let limits = |pool: &mut Pool| {
            let number = pool.keys[pool.by_id[&key]].project;
            let cell = pool.tables.get_mut("known").and_then(|table| table.cell_mut(number));
            cell.expect("it was asked").meter.limits.requests_per_day = Some(5);
        };
        limits(&mut pool);
        let named = Named { projects: 2, rooms: 10, models: &|_| true };
        let measure = measured(&mut pool, &named);
        let days: Vec<_> = measure.rooms.iter().filter_map(|room| room.requests_per_day).collect();
        assert!(matches!(days[..], [Quota { left: 1..5, limit: 5 }]), "{days:?}");
        assert_eq!(pool.room_left(key, "known", NOW), Some(days[0].left));
        assert!(measure.used_up.is_empty());
        let midnight = NOW.next_pacific_midnight();
        let failure = Failure {
            consequence: Consequence::RestModel(midnight),
            ..Failure::new(Class::QuotaDay, Elsewhere::All, "made up")
        };
        pool.failed(key, Some("known"), &failure, NOW);
        let measure = measured(&mut pool, &named);
        let name = pool.project_name(key).expect("it has one");
        assert_eq!(measure.used_up, [(name, Some("known".to_owned()))]);
        assert_eq!(measure.rooms.iter().map(|room| room.resting).sum::<usize>(), 1);
    }
}
