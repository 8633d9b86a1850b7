//! What the pool concludes from failures beyond a rest: incidents, limits, families, and keys that are not to blame.

use super::incident::Incident;
use super::together::Refusal;
use super::{
    By, LeaseId, MANY_VERDICTS, MAX_MODELS, Pool, StateChange, VERDICTS_TOGETHER, Verdicts, standing,
};
use crate::failure::{Class, Consequence, Failure, LimitKind, Why};
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

    /// Google has said when a minute's quota is free again.
    pub(super) fn heard(&mut self, project: u32, model: &str, free_at: Timestamp, now: Timestamp) {
        let own = self.change(model, project, now, |cell| cell.meter.heard(free_at, now)).flatten();
        // Where keys may share a project unknown, the own count is not the project's.
        let told = &self.projects[project as usize];
        let is_whole = told.known || told.name.is_some();
        let Some(own) = own.or_else(|| self.minutes.fixed().map(|_| free_at)).filter(|_| is_whole) else {
            return;
        };
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

    /// Where a quota of the minute was refused before its time, somebody else uses it: who does may show now.
    pub(super) fn look_for_kin(
        &mut self,
        key: KeyId,
        lease: LeaseId,
        model: Option<&str>,
        failure: &Failure,
        now: Timestamp,
    ) {
        let (Some(model), Consequence::RestModel(until)) = (model, failure.consequence) else { return };
        if self.capacity.is_some() || failure.class != Class::QuotaMinute {
            return;
        }
        // Tokens prove nothing: a small request may be served where a large one was refused.
        let [limit] = failure.limits.as_slice() else { return };
        let Some(&slot) = self.by_id.get(&key) else { return };
        let project = self.keys[slot].project;
        let family = self.family(model).to_owned();
        let counts = self.change(&family, project, now, |cell| cell.meter.sent_and_served(now));
        let Some((sent, served)) = counts else { return };
        // A few requests may be counted differently there and here.
        if limit.kind != LimitKind::RequestsPerMinute || sent + 1 >= limit.value {
            return;
        }
        let last_lease = self.next_lease;
        let refusal = Refusal { project, lease: lease.0, last_lease, until, served, limit: limit.value };
        for other in self.together.surprised(&refusal, &family, now) {
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
