//! Which keys share a project: what was said, by whom, and what becomes of counts when that changes.
//!
//! Until somebody says otherwise, each key is a project of its own. Of two words that contradict each other the stronger
//! counts, and of two equally strong ones the newer: see [`By`]. So a split by hand stays, whatever quotas suggest
//! later, until Google itself says that it was wrong.

use std::collections::HashMap;
use std::time::Duration;

use super::{By, Key, Pool, Project, ProjectId, StateChange, Today, standing};
use crate::failure::Failure;
use crate::project_probe::Relations;
use crate::secret::{ApiKey, KeyId};
use crate::time::Timestamp;

/// Somebody's word, and when it was said.
pub(super) type Word = (By, Timestamp);

/// What was said of the project of a key.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kinship {
    /// The strongest word that it shares a project with the others that are there.
    pub(super) joined: Option<Word>,
    /// The strongest word that it is a project of its own.
    pub(super) apart: Option<Word>,
    /// The project as Google named it.
    pub(super) consumer: Option<ProjectId>,
}

/// Why keys stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The pool has no such key.
    NoSuchKey(KeyId),
    /// Somebody whose word is stronger has said the contrary.
    Contradicted(KeyId, By),
    /// It is a project of its own already.
    Alone(KeyId),
}

impl Kinship {
    /// Of a key whose project the configuration names.
    pub(super) fn configured() -> Self {
        Self { joined: Some((By::Person, Timestamp::EPOCH)), ..Self::default() }
    }
}

impl Pool {
    /// Joins the projects of two keys.
    ///
    /// # Errors
    /// Keys that there are not, and a stronger word to the contrary.
    pub fn join_keys(&mut self, key: KeyId, other: KeyId, by: By, now: Timestamp) -> Result<(), Kept> {
        let slots = [self.slot(key)?, self.slot(other)?];
        for slot in slots {
            let key = &self.keys[slot];
            if let Some(word) = key.kinship.apart.filter(|word| *word >= (by, now)) {
                return Err(Kept::Contradicted(key.key.id(), word.0));
            }
        }
        let [project, other] = [key, other].map(ProjectId::of_key);
        self.say(StateChange::Joined { project, other, by, at: now }, now);
        Ok(())
    }

    /// Makes a key a project of its own.
    ///
    /// # Errors
    /// A key that there is not, or that is alone already, and a stronger word to the contrary.
    pub fn split_key(&mut self, key: KeyId, by: By, now: Timestamp) -> Result<(), Kept> {
        let slot = self.slot(key)?;
        if let Some(word) = self.keys[slot].kinship.joined.filter(|word| *word > (by, now)) {
            return Err(Kept::Contradicted(key, word.0));
        }
        let project = self.keys[slot].project;
        if !self.has_others(project, slot) {
            return Err(Kept::Alone(key));
        }
        self.say(StateChange::Split { key, by, at: now }, now);
        // The others may have been joined to this key. To whoever takes that in later, they are joined to each other.
        let stays = self.projects[project as usize].id;
        let others = self.keys.iter().filter(|other| other.project == project);
        let links = others.filter_map(|other| {
            let (by, at) = other.kinship.joined.filter(|(_, at)| *at > Timestamp::EPOCH)?;
            Some(StateChange::Joined { project: stays, other: ProjectId::of_key(other.key.id()), by, at })
        });
        for link in links.collect::<Vec<_>>() {
            self.changed(link);
        }
        Ok(())
    }

    /// Joins the projects of several keys, or of none if one of them cannot be.
    ///
    /// # Errors
    /// As [`join_keys`](Self::join_keys).
    pub fn join_all(&mut self, keys: &[KeyId], by: By, now: Timestamp) -> Result<(), Kept> {
        let now = self.after_own_words(keys, by, now);
        for &key in keys {
            let kinship = self.keys[self.slot(key)?].kinship;
            if let Some(word) = kinship.apart.filter(|word| *word >= (by, now)) {
                return Err(Kept::Contradicted(key, word.0));
            }
        }
        keys.windows(2).try_for_each(|pair| self.join_keys(pair[0], pair[1], by, now))
    }

    /// Makes each of several keys a project of its own, or none if one of them cannot be.
    ///
    /// # Errors
    /// As [`split_key`](Self::split_key).
    pub fn split_all(&mut self, keys: &[KeyId], by: By, now: Timestamp) -> Result<(), Kept> {
        let now = self.after_own_words(keys, by, now);
        for &key in keys {
            let slot = self.slot(key)?;
            if let Some(word) = self.keys[slot].kinship.joined.filter(|word| *word > (by, now)) {
                return Err(Kept::Contradicted(key, word.0));
            }
            if !self.has_others(self.keys[slot].project, slot) {
                return Err(Kept::Alone(key));
            }
        }
        for &key in keys {
            match self.split_key(key, by, now) {
                // The last of a project is alone when the others have left it.
                Ok(()) | Err(Kept::Alone(_)) => {}
                Err(kept) => return Err(kept),
            }
        }
        Ok(())
    }

    /// The keys, those together of which somebody whose word counts has said that they share a project.
    pub(crate) fn entries(&self) -> Vec<Vec<ApiKey>> {
        let mut known: HashMap<u32, usize> = HashMap::new();
        let mut entries: Vec<Vec<ApiKey>> = Vec::new();
        for key in self.keys.iter().filter(|key| key.is_usable()) {
            let place = known.get(&key.project).copied().unwrap_or(entries.len());
            if self.projects[key.project as usize].known {
                known.insert(key.project, place);
            }
            match entries.get_mut(place) {
                Some(entry) => entry.push(key.key.clone()),
                None => entries.push(vec![key.key.clone()]),
            }
        }
        entries
    }

    /// Takes in what Google has said of these entries: which of them are one project, and which are alone.
    pub(crate) fn place(&mut self, entries: &[Vec<ApiKey>], relations: &Relations, now: Timestamp) {
        for project in &relations.projects {
            let keys: Vec<KeyId> =
                project.iter().filter_map(|&entry| Some(entries.get(entry)?.first()?.id())).collect();
            match keys.as_slice() {
                // What a person has split stays split until Google itself contradicts it, as it does here.
                [key] => self.apply(&StateChange::Split { key: *key, by: By::Google, at: now }, now),
                keys => {
                    let _ = self.join_all(keys, By::Google, now);
                }
            }
        }
    }

    /// Now, or just after what the same has said of these keys before: the newer word counts, also within a moment.
    fn after_own_words(&self, keys: &[KeyId], by: By, now: Timestamp) -> Timestamp {
        let slots = keys.iter().filter_map(|key| self.by_id.get(key));
        let words = slots.flat_map(|&slot| [self.keys[slot].kinship.joined, self.keys[slot].kinship.apart]);
        let own = words.flatten().filter(|(whose, _)| *whose == by).map(|(_, at)| at).max();
        own.map_or(now, |at| now.max(at + Duration::from_millis(1)))
    }

    /// The keys of the projects that are shown under this name.
    pub(crate) fn keys_of_project(&self, name: &str) -> Vec<KeyId> {
        let is_it = |key: &&Key| self.projects[key.project as usize].shown_name() == name;
        self.keys.iter().filter(is_it).map(|key| key.key.id()).collect()
    }

    /// Google may have named the project of a key: all keys of that name are one project, and no others.
    pub(super) fn hear_consumer(&mut self, slot: usize, failure: &Failure, now: Timestamp) {
        let Some(consumer) = failure.consumer.as_deref().filter(|_| self.capacity.is_none()) else { return };
        let named = ProjectId::named(&format!("consumer {consumer}"));
        if self.keys[slot].kinship.consumer == Some(named) && self.is_of(slot, named) {
            return;
        }
        let key = self.keys[slot].key.id();
        self.keys[slot].kinship.consumer = Some(named);
        let project = self.keys[slot].project;
        let others = self.projects[project as usize].usable.iter().filter(|other| **other != slot);
        let mut consumers = others.filter_map(|&other| self.keys[other].kinship.consumer);
        let was_guessed = self.keys[slot].kinship.joined.is_some_and(|(by, _)| by == By::Quotas);
        if was_guessed && consumers.any(|other| other != named) {
            // It cannot fail: the word that joined them is the weakest.
            let _ = self.split_key(key, By::Google, now);
        }
        let project = self.keys[slot].project;
        self.projects[project as usize].known = true;
        match self.project_numbers.get(&named) {
            None => {
                self.project_numbers.insert(named, project);
            }
            Some(&known) => {
                let (project, other) = (self.projects[known as usize].id, ProjectId::of_key(key));
                // Also where they are one project already: then it is known for certain.
                self.say(StateChange::Joined { project, other, by: By::Google, at: now }, now);
            }
        }
    }

    /// Whether a key's project has this name, too.
    fn is_of(&self, slot: usize, named: ProjectId) -> bool {
        self.project_numbers.get(&named) == Some(&self.keys[slot].project)
    }

    fn slot(&self, key: KeyId) -> Result<usize, Kept> {
        self.by_id.get(&key).copied().ok_or(Kept::NoSuchKey(key))
    }

    pub(super) fn say(&mut self, change: StateChange, now: Timestamp) {
        self.apply(&change, now);
        self.changed(change);
    }

    fn has_others(&self, project: u32, slot: usize) -> bool {
        self.keys.iter().enumerate().any(|(other, key)| key.project == project && other != slot)
    }

    /// The number of the project of that name, or of the key for which it was made up.
    fn number_of(&self, project: ProjectId) -> Option<u32> {
        let slot = self.by_id.get(&KeyId::from_u64(project.as_u64()));
        slot.map(|&slot| self.keys[slot].project).or_else(|| self.project_numbers.get(&project).copied())
    }

    /// Two projects are one, if nobody with a stronger word has said that they are not.
    pub(super) fn join_projects(&mut self, project: ProjectId, other: ProjectId, word: Word, now: Timestamp) {
        let (Some(first), Some(second)) = (self.number_of(project), self.number_of(other)) else { return };
        // A guess is about all keys of both projects, any other word about those that it names.
        let is_meant =
            |key: &Key| word.0 == By::Quotas || [project, other].contains(&ProjectId::of_key(key.key.id()));
        let mut both = self.keys.iter().filter(|key| [first, second].contains(&key.project));
        if first != second && both.any(|key| is_meant(key) && key.kinship.apart >= Some(word)) {
            return;
        }
        let numbers = [first as usize, second as usize];
        if numbers.iter().any(|&number| self.projects[number].gone) {
            return;
        }
        let [has_name, other_has_name] = numbers.map(|number| self.projects[number].name.is_some());
        if word.0 == By::Quotas && has_name && other_has_name && first != second {
            return; // the configuration says that they are two
        }
        for key in self.keys.iter_mut().filter(|key| [first, second].contains(&key.project)) {
            key.kinship.joined = key.kinship.joined.max(Some(word));
        }
        let [is_known, other_is_known] = numbers.map(|number| self.projects[number].known);
        self.projects[numbers[0]].known = (is_known && other_is_known) || word.0 > By::Quotas;
        if first == second {
            return;
        }
        // What is said of a project with a name is said of the whole.
        let (first, second) = if other_has_name && !has_name { (second, first) } else { (first, second) };
        let is_known = self.projects[numbers[0]].known;
        self.projects[first as usize].known = is_known;
        self.merge_projects(first, second, now);
        if word.0 == By::Quotas {
            self.guesses.made(first, now);
        }
    }

    /// The keys, counts and rests of the second become the first's.
    fn merge_projects(&mut self, first: u32, second: u32, now: Timestamp) {
        for key in self.keys.iter_mut().filter(|key| key.project == second) {
            key.project = first;
        }
        let gone = &mut self.projects[second as usize];
        gone.gone = true;
        let (usable, rest, id) = (std::mem::take(&mut gone.usable), gone.rest_until, gone.id);
        let today = std::mem::take(&mut gone.today);
        let kept = &mut self.projects[first as usize];
        kept.usable.extend(usable);
        kept.rest_until = kept.rest_until.max(rest);
        if kept.today.ends == today.ends {
            kept.today.requests += today.requests;
            kept.today.cost += today.cost;
        }
        self.together.merge(first, second);
        self.guesses.forget(second);
        self.project_numbers.insert(id, first);
        let numbers = self.project_numbers.values_mut().filter(|number| **number == second);
        numbers.for_each(|number| *number = first);
        let standing = standing(&self.projects[first as usize]);
        for table in self.tables.values_mut() {
            if let Some(other) = table.remove(second) {
                table.change(first, standing, now, |cell| cell.absorb(other));
            }
        }
        for leased in self.leases.values_mut() {
            if let Some((_, project, _)) = &mut leased.charged
                && *project == second
            {
                *project = first;
            }
        }
        self.rearrange();
        self.replace(first, now);
    }

    /// A key leaves its project and is one of its own. Rests, limits and counts it takes along as a copy: nobody knows
    /// whose they were, and too much counted is soon forgotten.
    pub(super) fn split_slot(&mut self, slot: usize, word: Word, now: Timestamp) {
        let key = &mut self.keys[slot];
        let is_known_already = key.kinship.apart >= Some(word);
        key.kinship.apart = key.kinship.apart.max(Some(word));
        if self.capacity.is_some() || is_known_already || key.kinship.joined > Some(word) {
            return;
        }
        key.kinship.joined = None;
        let (project, own) = (key.project, ProjectId::of_key(key.key.id()));
        let is_known = word.0 > By::Quotas;
        if !self.has_others(project, slot) {
            self.projects[project as usize].known |= is_known;
            return;
        }
        if self.projects[project as usize].id == own {
            let mut others = self.keys.iter().enumerate();
            let next = others.find(|(other, key)| key.project == project && *other != slot);
            let next = next.map(|(_, key)| ProjectId::of_key(key.key.id()));
            self.projects[project as usize].id = next.expect("it has others");
        }
        let old = &mut self.projects[project as usize];
        let at = old.usable.iter().position(|usable| *usable == slot);
        let usable = at.map(|at| old.usable.remove(at));
        let fresh = Project {
            id: own,
            name: None,
            // What the owner says of a project he says of no other: neither that it is paid nor what it may cost.
            settings: None,
            priority: old.priority,
            today: Today::default(),
            usable: usable.into_iter().collect(),
            turn: 0,
            rest_until: old.rest_until,
            known: is_known,
            gone: false,
        };
        let number = self.projects.iter().position(|project| project.gone).unwrap_or(self.projects.len());
        match self.projects.get_mut(number) {
            Some(gone) => *gone = fresh,
            None => self.projects.push(fresh),
        }
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.keys[slot].project = number;
        self.together.forget(project);
        self.together.forget(number);
        self.guesses.forget(number);
        self.project_numbers.insert(own, number);
        let stays = self.projects[project as usize].id;
        self.project_numbers.insert(stays, project);
        if let Some(consumer) = self.keys[slot].kinship.consumer {
            let mut others = self.keys.iter().filter(|key| key.project == project);
            if self.is_of_project(consumer, project)
                && !others.any(|key| key.kinship.consumer == Some(consumer))
            {
                self.project_numbers.insert(consumer, number);
            }
        }
        self.rearrange();
        let standing = standing(&self.projects[number as usize]);
        for table in self.tables.values_mut() {
            if let Some(copy) = table.cell(project).map(super::table::Cell::split) {
                table.change(number, standing, now, |cell| *cell = copy);
            }
        }
        self.replace(project, now);
    }

    fn is_of_project(&self, named: ProjectId, project: u32) -> bool {
        self.project_numbers.get(&named) == Some(&project)
    }

    /// Orders the projects anew, and has the tables look for those of which they know nothing.
    pub(super) fn rearrange(&mut self) {
        self.arrange();
        for table in self.tables.values_mut() {
            table.fresh_from = 0;
        }
    }
}

#[cfg(test)]
mod tests;
