//! What the pool concludes from failures beyond a rest: incidents, limits, families, and keys that are not to blame.

use super::incident::Incident;
use super::table::HANDICAPS;
use super::together::{Refusal, Used};
use super::{
    By, LeaseId, MANY_VERDICTS, MAX_MODELS, Pool, StateChange, VERDICTS_TOGETHER, Verdicts, standing,
};
use crate::failure::{Class, Consequence, Failure, LimitKind, Why};
use crate::secret::KeyId;
use crate::time::Timestamp;

/// Who uses a quota is looked for among so many projects at most: each is looked at for each refusal.
const MOST_CELLS: usize = 512;

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

    /// Google has said when a minute's quota is free again.
    pub(super) fn heard(&mut self, project: u32, model: &str, free_at: Timestamp, now: Timestamp) {
        let own = self.change(model, project, now, |cell| cell.meter.heard(free_at, now)).flatten();
        self.minutes.suppose(free_at);
        // Where keys may share a project unknown, the own count is not the project's. What denies fixed minutes is no count.
        let told = &self.projects[project as usize];
        let is_whole = told.known || told.name.is_some();
        let denies = self.minutes.fixed().map(|_| free_at);
        let Some(own) = own.filter(|_| is_whole).or(denies) else { return };
        if self.minutes.heard(project, free_at, own, now) {
            self.count_by_minutes(now);
        }
    }

    /// Somebody was answered: if it was a trial, minutes are fixed.
    pub(super) fn show_minutes(&mut self, lease: LeaseId, now: Timestamp) {
        if self.minutes.trial_served(lease) {
            self.count_by_minutes(now);
        }
    }

    /// Counts minutes as they are known to be, from now on.
    fn count_by_minutes(&mut self, now: Timestamp) {
        let fixed = self.minutes.fixed();
        for table in self.tables.values_mut() {
            table.count_by(fixed, now);
            let projects: Vec<u32> = table.cells_mut().map(|(project, _)| project).collect();
            for project in projects {
                table.change(project, standing(&self.projects[project as usize]), now, |_| ());
            }
        }
    }

    /// Where a quota was refused before its time, somebody else uses it: who does may show now.
    pub(super) fn look_for_kin(
        &mut self,
        key: KeyId,
        lease: LeaseId,
        model: Option<&str>,
        failure: &Failure,
        now: Timestamp,
    ) {
        let (Some(model), Consequence::RestModel(until)) = (model, failure.consequence) else { return };
        // Tokens prove nothing: a small request may be served where a large one was refused.
        let [limit] = failure.limits.as_slice() else { return };
        let of_day = match (failure.class, limit.kind) {
            (Class::QuotaMinute, LimitKind::RequestsPerMinute) => false,
            (Class::QuotaDay, LimitKind::RequestsPerDay) => true,
            _ => return,
        };
        let Some(&slot) = self.by_id.get(&key).filter(|_| self.capacity.is_none()) else { return };
        let project = self.keys[slot].project;
        let family = self.family(model).to_owned();
        let Some(table) = self.tables.get_mut(family.as_str()) else { return };
        if table.len() > MOST_CELLS {
            return;
        }
        let used: Vec<Used> = table
            .cells_mut()
            .map(|(project, cell)| {
                let (sure, most) = cell.meter.served_until(until, of_day, now);
                Used { project, sure, most }
            })
            .collect();
        let own = used.iter().find(|used| used.project == project).map_or(0, |used| used.most);
        // A few requests may be counted differently there and here.
        if own + 1 >= limit.value {
            return;
        }
        let handicap = self.chance.u8(..HANDICAPS);
        self.change(&family, project, now, |cell| cell.be_suspected(handicap, now));
        let last_lease = self.next_lease;
        let refusal = Refusal { project, lease: lease.0, last_lease, until, of_day, limit: limit.value };
        for other in self.together.surprised(&refusal, &used, &family, now) {
            let (project, other) = (self.projects[project as usize].id, self.projects[other as usize].id);
            self.say(StateChange::Joined { project, other, by: By::Quotas, at: now }, now);
        }
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
        if let Some(mut table) = known
            && !self.tables.contains_key(family)
        {
            table.model = family.into();
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
