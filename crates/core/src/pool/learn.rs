//! What the pool concludes from failures beyond a rest: incidents, limits, families, and keys that are not to blame.

use super::incident::Incident;
use super::{MANY_VERDICTS, MAX_MODELS, Pool, ProjectId, StateChange, VERDICTS_TOGETHER, Verdicts, standing};
use crate::failure::{Class, Failure, Why};
use crate::secret::KeyId;
use crate::time::Timestamp;

impl Pool {
    /// Many projects failing alike are one event.
    pub(super) fn note_incident(
        &mut self,
        project: u32,
        model: Option<&str>,
        failure: &Failure,
        now: Timestamp,
    ) {
        if self.capacity.is_some() {
            return; // a client's keys say nothing about the others
        }
        let chance = self.chance.f64();
        match failure.class {
            Class::Network | Class::Egress => {
                self.egress.failed(project, chance, now);
            }
            Class::Overloaded | Class::Internal => {
                let Some(model) = model else { return };
                if !self.overloads.contains_key(model) {
                    self.overloads.retain(|_, overload| overload.matters(now));
                    if self.overloads.len() >= MAX_MODELS {
                        return;
                    }
                    self.overloads.insert(model.into(), Incident::of_model());
                }
                if let Some(overload) = self.overloads.get_mut(model) {
                    overload.failed(project, chance, now);
                }
            }
            _ => {}
        }
    }

    /// Takes in the limits and families that Google named.
    pub(super) fn learn(&mut self, project: u32, model: Option<&str>, failure: &Failure, now: Timestamp) {
        if self.capacity.is_some() {
            return;
        }
        for limit in &failure.limits {
            if let (Some(family), Some(model)) = (limit.family.as_deref(), model)
                && family != model
            {
                self.join(model, family);
            }
            let Some(model) = limit.family.as_deref().or(model) else { continue };
            let project = self.projects[project as usize].id;
            let change =
                StateChange::Limit { project, model: model.into(), kind: limit.kind, value: limit.value };
            self.apply(&change, now);
            self.changed(change);
        }
    }

    /// Google has named the project of a key: all keys of that name are one project.
    pub(super) fn join_consumer(&mut self, project: u32, failure: &Failure, now: Timestamp) {
        let Some(consumer) = failure.consumer.as_deref().filter(|_| self.capacity.is_none()) else { return };
        let named = ProjectId::named(&format!("consumer {consumer}"));
        match self.project_numbers.get(&named) {
            None => {
                self.project_numbers.insert(named, project);
            }
            Some(&known) if known != project => {
                let (project, other) = (self.projects[known as usize].id, self.projects[project as usize].id);
                let change = StateChange::Joined { project, other };
                self.apply(&change, now);
                self.changed(change);
            }
            Some(_) => {}
        }
    }

    /// Two projects are one: the keys, counts and rests of the second become the first's.
    pub(super) fn join_projects(&mut self, first: u32, second: u32, now: Timestamp) {
        if first == second || self.projects[first as usize].gone || self.projects[second as usize].gone {
            return;
        }
        for key in self.keys.iter_mut().filter(|key| key.project == second) {
            key.project = first;
        }
        let gone = &mut self.projects[second as usize];
        gone.gone = true;
        let (usable, rest, id) = (std::mem::take(&mut gone.usable), gone.rest_until, gone.id);
        let name = gone.name.take();
        let kept = &mut self.projects[first as usize];
        kept.name = kept.name.take().or(name);
        kept.usable.extend(usable);
        kept.rest_until = kept.rest_until.max(rest);
        self.project_numbers.insert(id, first);
        self.project_numbers
            .values_mut()
            .filter(|number| **number == second)
            .for_each(|number| *number = first);
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
        self.arrange();
        for table in self.tables.values_mut() {
            table.fresh_from = 0;
        }
        self.replace(first, now);
    }

    /// A model turns out to share the quotas of a family.
    fn join(&mut self, model: &str, family: &str) {
        if self.families.len() >= MAX_MODELS
            || self.families.contains_key(model)
            || self.families.contains_key(family)
        {
            return;
        }
        let known = self.tables.remove(model);
        if let Some(table) = known
            && !self.tables.contains_key(family)
        {
            self.tables.insert(family.into(), table);
        }
        self.families.insert(model.into(), family.into());
    }

    pub(super) fn put_aside(&mut self, slot: usize, why: Why, now: Timestamp) -> Option<Why> {
        let key = self.keys[slot].key.id();
        if self.keys[slot].set_aside.is_some() {
            return None;
        }
        if why != Why::Leaked && self.is_wave(key, self.keys[slot].project, now) {
            return None;
        }
        let change = StateChange::SetAside { key, why, since: now };
        self.apply(&change, now);
        self.changed(change);
        Some(why)
    }

    /// Whether a verdict is one of a wave about half of the pool: then it is not the keys, and those that it has
    /// already met are taken back. The way to Google is paused instead.
    fn is_wave(&mut self, key: KeyId, project: u32, now: Timestamp) -> bool {
        if self.capacity.is_some() {
            return false;
        }
        if now.since(self.verdicts.first) > VERDICTS_TOGETHER {
            self.verdicts = Verdicts { keys: Vec::new(), first: now };
        }
        self.verdicts.keys.push((key, project));
        let mut projects: Vec<u32> = self.verdicts.keys.iter().map(|(_, project)| *project).collect();
        projects.sort_unstable();
        projects.dedup();
        if projects.len() < MANY_VERDICTS.max(self.projects.len().div_ceil(2)) {
            return false;
        }
        for (met, _) in std::mem::take(&mut self.verdicts.keys) {
            if self.set_aside(met).is_some_and(|why| why != Why::Leaked) {
                self.restore(met, now);
            }
        }
        let chance = self.chance.f64();
        for project in projects {
            self.egress.failed(project, chance, now);
        }
        true
    }
}
