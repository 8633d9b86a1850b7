//! Keys in use: what a request is charged for, and what comes of the charge.

use std::sync::Arc;

use super::window::{Charge, Meter};
use super::{LEASE, LeaseId, Leased, Pool, Today, standing};
use crate::config::Strategy;
use crate::event::Usage;
use crate::time::Timestamp;

impl Pool {
    pub(super) fn lease(
        &mut self,
        slot: usize,
        charged: Option<(Arc<str>, u32, Charge)>,
        now: Timestamp,
    ) -> LeaseId {
        self.next_lease += 1;
        let id = LeaseId(self.next_lease);
        self.rerank(slot, |key| {
            key.in_flight += 1;
            key.used += 1;
        });
        self.keys[slot].last_lease = id.0;
        let key = self.keys[slot].key.id();
        self.leases
            .insert(id, Leased { key, until: now + LEASE, began: now, counted: charged.is_some(), charged });
        self.spend(self.keys[slot].project, 1, 0.0, now);
        id
    }

    /// Counts against what the owner of a project allows for a day. Where that is used up, the project rests to the
    /// day's end.
    pub(super) fn spend(&mut self, project: u32, requests: u64, cost: f64, now: Timestamp) {
        let project_number = project;
        let midnight = self.skew.next_pacific_midnight(now);
        let project = &mut self.projects[project_number as usize];
        let Some(settings) = &project.settings else { return };
        let most = (settings.max_requests_per_day, settings.max_cost_per_day);
        if most == (None, None) {
            return;
        }
        if project.today.ends <= now {
            project.today = Today { ends: midnight, requests: 0, cost: 0.0 };
        }
        self.spent.insert(project_number);
        project.today.requests += requests;
        project.today.cost += cost;
        let used_up = most.0.is_some_and(|most| project.today.requests >= most)
            || most.1.is_some_and(|most| project.today.cost >= most);
        if used_up && project.rest_until < project.today.ends {
            project.rest_until = project.today.ends;
            self.replace(project_number, now);
        }
    }

    /// Gives a key back. Twice does no harm.
    pub fn release(&mut self, lease: LeaseId) {
        let Some(leased) = self.leases.remove(&lease) else { return };
        if let Some((model, project, _)) = &leased.charged
            && let Some(cell) = self.tables.get_mut(&**model).and_then(|table| table.cell_mut(*project))
        {
            cell.meter.end();
        }
        self.minutes.trial_ended(lease);
        self.guesses.trial_ended(lease);
        self.egress.ended(lease);
        self.overloads.values_mut().for_each(|overload| overload.ended(lease));
        // A key that is no longer there has nothing to be counted with.
        if let Some(&slot) = self.by_id.get(&leased.key) {
            self.rerank(slot, |key| key.in_flight = key.in_flight.saturating_sub(1));
        }
    }

    /// The request of a lease was answered: so many tokens went in and came out.
    pub fn used(&mut self, lease: LeaseId, model: &str, usage: Usage, now: Timestamp) {
        if let Some(project) = self.project_of_lease(lease)
            && let Some(price) = self.prices.iter().find(|price| price.models.matches(model))
        {
            let cost = price.cost(usage.prompt, usage.total.saturating_sub(usage.prompt));
            self.spend(project, 0, cost, now);
        }
        self.show_minutes(lease, now);
        self.refute_guess(lease, now);
        self.count_late(lease, model, usage, now);
        let settled = self.settle(lease, now, |meter, charge| meter.correct(charge, usage.prompt));
        let began = self.leases.get(&lease).map(|leased| leased.began);
        if let (Some((model, project)), Some(began)) = (settled, began) {
            self.together.served(project, &model, lease.0, began);
        }
    }

    /// The answer to the request of a lease has begun, and it is good so far.
    pub fn begun(&mut self, lease: LeaseId, now: Timestamp) {
        self.egress.succeeded();
        self.show_minutes(lease, now);
        self.refute_guess(lease, now);
    }

    /// A request that began before anything was known of its model counts from when it began.
    fn count_late(&mut self, lease: LeaseId, model: &str, usage: Usage, now: Timestamp) {
        let counts = self.strategy == Strategy::Headroom && self.capacity.is_none();
        let Some(project) = self.project_of_lease(lease) else { return };
        let Some(leased) = self.leases.get_mut(&lease).filter(|leased| counts && !leased.counted) else {
            return;
        };
        leased.counted = true;
        let began = leased.began;
        let known = self.tables.get(self.family(model)).is_some_and(|table| table.cell(project).is_some());
        if known {
            self.change(model, project, now, |cell| cell.meter.charge_late(usage.prompt, began, now));
        }
    }

    /// Another turn of a session, beyond the one that its lease was charged for.
    pub fn used_again(&mut self, lease: LeaseId, model: &str, usage: Usage, now: Timestamp) {
        self.used(lease, model, usage, now);
        let Some(project) = self.project_of_lease(lease) else { return };
        let known = self.tables.get(self.family(model)).is_some_and(|table| table.cell(project).is_some());
        if known {
            self.change(model, project, now, |cell| {
                cell.meter.charge(usage.prompt, now);
                cell.meter.end();
            });
        }
    }

    /// The project of the key of a lease; none, if the key was taken out of the pool meanwhile.
    fn project_of_lease(&self, lease: LeaseId) -> Option<u32> {
        let slot = self.by_id.get(&self.leases.get(&lease)?.key)?;
        Some(self.keys[*slot].project)
    }

    /// A lease that is to last on. It goes by another number, as leases end in the order of their numbers.
    pub fn renew(&mut self, lease: LeaseId, now: Timestamp) -> LeaseId {
        let Some(leased) = self.leases.remove(&lease) else { return lease };
        self.next_lease += 1;
        let id = LeaseId(self.next_lease);
        self.leases.insert(id, Leased { until: now + LEASE, ..leased });
        id
    }

    /// Google has not counted the request of a lease against a quota.
    pub fn unused(&mut self, lease: LeaseId, now: Timestamp) {
        self.settle(lease, now, Meter::refund);
    }

    /// Changes what a lease was charged for, once. The quota family and the project that were.
    pub(super) fn settle(
        &mut self,
        lease: LeaseId,
        now: Timestamp,
        change: impl FnOnce(&mut Meter, Charge),
    ) -> Option<(Arc<str>, u32)> {
        let charged = self.leases.get_mut(&lease).and_then(|leased| leased.charged.take());
        let (model, project, charge) = charged?;
        let standing = standing(&self.projects[project as usize]);
        let family = self.families.get(&*model).map_or(&*model, AsRef::as_ref);
        if let Some(table) = self.tables.get_mut(family) {
            table.change(project, standing, now, |cell| change(&mut cell.meter, charge));
        }
        Some((model, project))
    }
}
