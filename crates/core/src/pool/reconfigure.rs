//! Other keys, projects and prices for a pool that is in use.
//!
//! What is known of keys that stay is kept: set-asides, strikes, what was said of their projects, and of the projects
//! rests, limits, counts and what they have served today. A key of which the configuration says another project than
//! before belongs there from now on: that is its owner's newest word. Projects keep their numbers, so that nothing of
//! what is known by number has to move but what has changed.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::kinship::Kinship;
use super::{Key, Pool, PoolSettings, Project, ProjectId, Today, least_used, standing};
use crate::config::{PoolKey, ProjectSettings, Strategy};
use crate::secret::KeyId;
use crate::time::Timestamp;

/// Where a key belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Home {
    /// In a project that is there.
    Known(u32),
    /// In one that is to be made.
    Made(ProjectId),
}

/// What becomes of projects when keys move.
#[derive(Debug, Default)]
struct Moves {
    /// The projects that are made now.
    made: HashSet<u32>,
    /// From where to where keys have moved, in the order of the keys.
    moves: Vec<(u32, u32)>,
    /// The projects of which no key is left.
    left: BTreeSet<u32>,
}

impl Pool {
    /// Takes these keys in the place of the ones it has, and goes by these settings.
    ///
    /// Keys that are not among them are never chosen again; requests that run with them end as they would have.
    pub fn reconfigure(&mut self, keys: &[PoolKey], settings: PoolSettings<'_>, now: Timestamp) {
        self.strategy = settings.strategy;
        self.prices = settings.prices.to_vec();
        let said: HashMap<ProjectId, &ProjectSettings> =
            settings.projects.iter().map(|project| (ProjectId::named(&project.name), project)).collect();
        let was_blocked: Vec<bool> = self.projects.iter().map(|project| project.usable.is_empty()).collect();
        let moves = self.seat(keys);
        self.name_projects(keys);
        let mut touched = self.transfer(&moves, now);
        self.tidy_names(&moves);
        touched.extend(self.settle_projects(&said, now));
        self.list_usable();
        for (number, project) in (0..).zip(&self.projects) {
            if was_blocked.get(number as usize) != Some(&project.usable.is_empty()) {
                touched.insert(number);
            }
        }
        self.rearrange();
        for number in touched {
            self.replace(number, now);
        }
    }

    /// Goes by another strategy: for the keys that clients bring, of which nothing is configured.
    pub fn set_strategy(&mut self, strategy: Strategy) {
        self.strategy = strategy;
    }

    /// Leaves a key alone.
    pub(super) fn pause(&mut self, slot: usize) {
        self.keys[slot].paused = true;
        self.unschedule(slot);
        self.unrank(slot);
        if let Ok(at) = self.usable.binary_search(&slot) {
            self.usable.remove(at);
        }
        let project = self.keys[slot].project;
        self.projects[project as usize].usable.retain(|&usable| usable != slot);
    }

    /// Gives every key its slot and its project.
    fn seat(&mut self, keys: &[PoolKey]) -> Moves {
        let next = self.keys.get(self.cursor).map(|key| key.key.id());
        let mut before: Vec<Option<Key>> = std::mem::take(&mut self.keys).into_iter().map(Some).collect();
        let slots = std::mem::take(&mut self.by_id);
        let named = |key: &PoolKey| key.project.as_deref().map(ProjectId::named);
        // A project stays where the configuration still names it, or one of its keys is where it has always been.
        let mut stays = vec![false; self.projects.len()];
        for key in keys {
            if let Some(&number) = named(key).and_then(|name| self.project_numbers.get(&name)) {
                stays[number as usize] = true;
            }
            if let Some(Some(known)) = slots.get(&key.key.id()).map(|&slot| &before[slot])
                && known.named == named(key)
            {
                stays[known.project as usize] = true;
            }
        }
        let there = (0..).zip(&self.projects).filter(|(_, project)| !project.gone);
        let left = there.map(|(number, _)| number).collect();
        let mut moves = Moves { left, ..Moves::default() };
        let mut homes: HashMap<ProjectId, u32> = HashMap::new();
        let mut seen: HashSet<(u32, u32)> = HashSet::new();
        // Numbers that nobody has are given out again.
        let gone = (0..).zip(&self.projects).filter(|(_, project)| project.gone);
        let mut free: Vec<u32> = gone.map(|(number, _)| number).collect();
        for entry in keys {
            let id = entry.key.id();
            if self.by_id.contains_key(&id) {
                continue;
            }
            let named = named(entry);
            let known = slots.get(&id).and_then(|&slot| before[slot].take());
            let home = match (&known, named) {
                (Some(key), _) if key.named == named => Home::Known(key.project),
                (_, Some(name)) => match self.project_numbers.get(&name) {
                    Some(&number) if stays[number as usize] => Home::Known(number),
                    _ => Home::Made(name),
                },
                (_, None) => Home::Made(ProjectId::of_key(id)),
            };
            let number = match home {
                Home::Known(number) => number,
                Home::Made(id) => *homes.entry(id).or_insert_with(|| {
                    let number = free.pop().unwrap_or_else(|| {
                        self.projects.push(Project::new(id, None));
                        u32::try_from(self.projects.len() - 1).unwrap_or(u32::MAX)
                    });
                    self.projects[number as usize] = Project::new(id, None);
                    moves.made.insert(number);
                    number
                }),
            };
            let moved = known.as_ref().is_none_or(|key| key.named != named);
            let mut key = known.unwrap_or_else(|| Key::new(entry.key.clone(), number));
            if key.project != number && seen.insert((key.project, number)) {
                moves.moves.push((key.project, number));
            }
            if moved {
                key.kinship = if named.is_some() { Kinship::configured() } else { Kinship::default() };
            }
            moves.left.remove(&number);
            key.project = number;
            key.named = named;
            key.paused = entry.paused;
            self.by_id.insert(id, self.keys.len());
            self.keys.push(key);
        }
        self.cursor = next.and_then(|next| self.by_id.get(&next).copied()).unwrap_or(0);
        moves
    }

    /// Gives every project the name that the configuration has for it, or that of one of its keys.
    fn name_projects(&mut self, keys: &[PoolKey]) {
        let names: HashMap<ProjectId, &str> = keys
            .iter()
            .filter_map(|key| Some((ProjectId::named(key.project.as_deref()?), key.project.as_deref()?)))
            .collect();
        let mut ids: Vec<Option<(ProjectId, bool)>> = vec![None; self.projects.len()];
        for key in &self.keys {
            let (number, own) = (key.project as usize, ProjectId::of_key(key.key.id()));
            let id = self.projects[number].id;
            let is_valid = own == id || key.named == Some(id);
            let name = key.named.filter(|name| self.project_numbers.get(name) == Some(&key.project));
            let better = match (ids[number], name) {
                _ if is_valid => Some((id, true)),
                (None | Some((_, false)), Some(name)) => Some((name, true)),
                (None, None) => Some((own, false)),
                _ => None,
            };
            // The project's own name, if it still is one, then a configured one, then the first key's.
            if better.is_some() && ids[number].is_none_or(|(chosen, _)| chosen != id) {
                ids[number] = better;
            }
        }
        for (project, id) in self.projects.iter_mut().zip(ids) {
            let Some((id, _)) = id else { continue };
            project.id = id;
            project.name = names.get(&id).map(|name| (*name).into());
            project.known |= project.name.is_some();
        }
    }

    /// Takes along what is known of projects whose keys have moved, and gives up those without keys. The projects of
    /// which something else is known now.
    fn transfer(&mut self, moves: &Moves, now: Timestamp) -> BTreeSet<u32> {
        let mut targets: HashMap<u32, Vec<u32>> = HashMap::new();
        for &(from, to) in &moves.moves {
            targets.entry(from).or_default().push(to);
        }
        let whole = |from: u32| match targets.get(&from).map(Vec::as_slice) {
            Some([to]) if moves.left.contains(&from) => Some(*to),
            _ => None,
        };
        let mut touched = BTreeSet::new();
        for &(from, to) in &moves.moves {
            let is_new = moves.made.contains(&to) && !touched.contains(&to);
            // Of a project that has moved as a whole all is known of where it is now. One of which a part has gone to
            // where more is known leaves that alone: nobody knows whose the counts were.
            if whole(from).is_some() {
                self.absorb_project(to, from, is_new, now);
                touched.insert(to);
            } else if is_new {
                self.copy_project(to, from, now);
                touched.insert(to);
            }
        }
        for leased in self.leases.values_mut() {
            let from = leased.charged.as_ref().map(|(_, project, _)| *project);
            let Some(from) = from.filter(|from| moves.left.contains(from)) else { continue };
            match (whole(from), &mut leased.charged) {
                (Some(to), Some((_, project, _))) => *project = to,
                (_, charged) => *charged = None,
            }
        }
        for &number in &moves.left {
            let project = &mut self.projects[number as usize];
            *project = Project { gone: true, ..Project::new(project.id, None) };
            self.spent.remove(&number);
            self.tables.values_mut().for_each(|table| {
                table.remove(number);
            });
        }
        self.together.forget_all(&moves.left);
        touched
    }

    /// What is known of a project becomes another one's.
    fn absorb_project(&mut self, to: u32, from: u32, is_new: bool, now: Timestamp) {
        let old = &mut self.projects[from as usize];
        let (today, rest, known) = (std::mem::take(&mut old.today), old.rest_until, old.known);
        let project = &mut self.projects[to as usize];
        project.rest_until = project.rest_until.max(rest);
        project.known |= is_new && known;
        if project.today.ends == today.ends {
            project.today.requests += today.requests;
            project.today.cost += today.cost;
        } else if project.today.ends < today.ends {
            project.today = today;
        }
        let standing = standing(&self.projects[to as usize]);
        for table in self.tables.values_mut() {
            let Some(cell) = table.remove(from) else { continue };
            table.change(to, standing, now, |known| if is_new { *known = cell } else { known.absorb(cell) });
        }
    }

    /// A copy of what is known of a project becomes a new one's: nobody knows whose the counts were, and too much counted
    /// is soon forgotten.
    fn copy_project(&mut self, to: u32, from: u32, now: Timestamp) {
        self.projects[to as usize].rest_until = self.projects[from as usize].rest_until;
        let standing = standing(&self.projects[to as usize]);
        for table in self.tables.values_mut() {
            if let Some(copy) = table.cell(from).map(super::table::Cell::split) {
                table.change(to, standing, now, |cell| *cell = copy);
            }
        }
    }

    /// Has every name lead to where it is now.
    fn tidy_names(&mut self, moves: &Moves) {
        let consumers: HashMap<ProjectId, u32> =
            self.keys.iter().filter_map(|key| Some((key.kinship.consumer?, key.project))).collect();
        let configured: HashSet<ProjectId> = self.keys.iter().filter_map(|key| key.named).collect();
        let (keys, by_id, projects) = (&self.keys, &self.by_id, &self.projects);
        self.project_numbers.retain(|id, number| {
            if let Some(&slot) = by_id.get(&KeyId::from_u64(id.as_u64())) {
                *number = keys[slot].project;
                return true;
            }
            if let Some(&consumer) = consumers.get(id) {
                *number = consumer;
                return true;
            }
            configured.contains(id) && !moves.left.contains(number) && !projects[*number as usize].gone
        });
        for (number, project) in (0..).zip(&self.projects) {
            if !project.gone {
                self.project_numbers.insert(project.id, number);
            }
        }
    }

    /// Goes by what is said of projects now. Those of which something else is said than before.
    fn settle_projects(
        &mut self,
        said: &HashMap<ProjectId, &ProjectSettings>,
        now: Timestamp,
    ) -> BTreeSet<u32> {
        self.settings.clear();
        let mut ranks: HashMap<u32, u8> = HashMap::new();
        for key in &self.keys {
            // One that was split from the project that the configuration names keeps that one's place.
            if let Some(said) = key.named.and_then(|name| said.get(&name)) {
                ranks.entry(key.project).or_insert_with(|| said.rank());
            }
        }
        let mut touched = BTreeSet::new();
        for number in 0..u32::try_from(self.projects.len()).unwrap_or(u32::MAX) {
            let project = &mut self.projects[number as usize];
            if project.gone {
                continue;
            }
            let settings = said.get(&project.id).map(|said| (*said).clone());
            let of_key = ranks.get(&number).copied().unwrap_or(super::PRIORITY);
            let priority = settings.as_ref().map_or(of_key, ProjectSettings::rank);
            if project.settings == settings && project.priority == priority {
                continue;
            }
            touched.insert(number);
            project.priority = priority;
            let was_used_up = is_used_up(&project.today, project.settings.as_ref());
            if was_used_up && !is_used_up(&project.today, settings.as_ref()) {
                // It had rested for its owner's sake alone.
                if project.rest_until == project.today.ends {
                    project.rest_until = Timestamp::EPOCH;
                }
            }
            let before = std::mem::replace(&mut project.settings, settings.clone());
            if let Some(settings) = &settings
                && (settings.max_requests_per_day, settings.max_cost_per_day) != (None, None)
            {
                self.spend(number, 0, 0.0, now);
            }
            let limits =
                |settings: &Option<ProjectSettings>| settings.as_ref().map(|said| said.limits.clone());
            if limits(&before) == limits(&settings) {
                continue;
            }
            for (model, table) in &mut self.tables {
                let limits = |said: &Option<ProjectSettings>| said.as_ref()?.limits_of(model).cloned();
                if let Some(cell) = table.cell_mut(number) {
                    cell.limit_by(limits(&before).as_ref(), limits(&settings).as_ref());
                }
            }
        }
        touched
    }

    /// Lists anew which keys can be chosen, and which are to be probed.
    fn list_usable(&mut self) {
        self.usable.clear();
        self.probes.clear();
        self.projects.iter_mut().for_each(|project| project.usable.clear());
        for (slot, key) in self.keys.iter().enumerate() {
            if key.is_usable() {
                self.usable.push(slot);
                self.projects[key.project as usize].usable.push(slot);
            } else if let Some(aside) = &key.set_aside
                && aside.probe_at != Timestamp::NEVER
                && !key.paused
            {
                self.probes.insert((aside.probe_at, slot));
            }
        }
        self.ranking.clear();
        if self.strategy == Strategy::LeastUsed {
            self.ranking = self.usable.iter().map(|&slot| least_used::load(&self.keys[slot], slot)).collect();
        }
        for table in self.tables.values_mut() {
            table.awake = None;
        }
    }
}

/// Whether a project has served all that its owner allows for a day.
fn is_used_up(today: &Today, settings: Option<&ProjectSettings>) -> bool {
    settings.is_some_and(|settings| {
        settings.max_requests_per_day.is_some_and(|most| today.requests >= most)
            || settings.max_cost_per_day.is_some_and(|most| today.cost >= most)
    })
}

#[cfg(test)]
mod tests;
