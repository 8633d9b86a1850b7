//! Which key serves next: the strategies, and what all of them respect.
//!
//! A key that failed in this request, is set aside, or whose project rests is never chosen. One whose project
//! has a penalty (an overload, an empty answer) is chosen when there is no other. While an incident is on, nobody
//! is chosen but the one who tries.
//!
//! `headroom` chooses among projects, by what is known of their quotas; the classic strategies choose among keys.

use std::sync::Arc;
use std::time::Duration;

use super::incident::Gate;
use super::table::{Cell, LONGEST_PAUSE, Rank, Table};
use super::within::Only;
use super::{Key, LeaseId, Pool, ProjectId, standing};
use crate::config::Strategy;
use crate::secret::{ApiKey, KeyId};
use crate::time::Timestamp;

/// The time window of `time-window`, as Gemini Balance Lite has it.
const WINDOW: Duration = Duration::from_secs(10);

/// So many projects are looked at for one request, where the best ones do not fit it.
pub(super) const LOOKED_AT: usize = 64;

/// So many are looked at for the word when one has room: a client waits by it, and there is no better place to look.
const ASKED: usize = 1024;

/// A conversation stays with its project while that is used to less than this, in steps of 16 thousandths.
const STAYS_BELOW: u32 = 800 / 16;

/// What a key is wanted for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Want<'a> {
    /// The model; none for calls that concern no model.
    pub model: Option<&'a str>,
    /// Input tokens, estimated.
    pub tokens: u64,
    /// The keys that this request has tried.
    pub tried: &'a [KeyId],
    /// The projects that have failed in this request as a whole.
    pub avoid: &'a [ProjectId],
    /// The project that served this conversation last.
    pub stay: Option<ProjectId>,
    /// Only where there is room to spare: not of a project that failed lately, nor of one to be avoided.
    pub spare: bool,
    /// Rather a project that has given a good answer lately than one of which nothing is known.
    pub proven: bool,
    /// Only projects whose tier is paid: what goes to free ones may be used for training.
    pub paid: bool,
    /// The one project that can serve: the request names what belongs to it.
    pub only: Option<Only>,
    /// The client's own keys; none where the pool serves.
    pub own: Option<&'a [ApiKey]>,
}

/// What there is.
#[derive(Debug)]
pub enum Pick {
    /// A key, leased.
    Ready { lease: LeaseId, key: ApiKey },
    /// None now, but one that has not been tried will be there at this time.
    CoolingDown { until: Timestamp },
    /// None, and none by waiting.
    Rejected { why: Rejection },
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Every key that could have served has been tried in this request.
    AllTried,
    /// Every key is set aside, or there are none.
    NoneUsable,
}

/// What a single key has to say.
pub(super) enum Standing {
    Ready,
    Penalised,
    RestsUntil(Timestamp),
    Tried,
    SetAside,
}

impl Pool {
    /// Chooses a key and leases it.
    pub fn pick(&mut self, want: &Want<'_>, now: Timestamp) -> Pick {
        let gates = match want.own {
            Some(_) => [Gate::Open; 2],
            None => {
                let overload = want.model.and_then(|model| self.overloads.get(model));
                [self.egress.gate(now), overload.map_or(Gate::Open, |overload| overload.gate(now))]
            }
        };
        let closed = gates.iter().filter_map(|gate| match gate {
            Gate::Closed(until) => Some(*until),
            Gate::Open | Gate::Trial => None,
        });
        if let Some(until) = closed.max() {
            return Pick::CoolingDown { until };
        }
        let pick = match (self.strategy, want.own) {
            _ if let Some(only) = want.only => self.pick_within(only, want, now),
            (Strategy::Headroom, None) => self.pick_project(want, now),
            _ => self.pick_key(want, now),
        };
        if let Pick::Ready { lease, .. } = &pick {
            if gates[0] == Gate::Trial {
                self.egress.try_with(*lease, now);
            }
            if gates[1] == Gate::Trial
                && let Some(overload) = want.model.and_then(|model| self.overloads.get_mut(model))
            {
                overload.try_with(*lease, now);
            }
        }
        pick
    }

    /// Chooses and leases a key for an attempt that can as well be left out: one with room to spare, and only where
    /// nobody waits for the model.
    pub fn pick_spare(&mut self, want: &Want<'_>, now: Timestamp) -> Option<(LeaseId, ApiKey)> {
        let model = want.model?;
        let overload = self.overloads.get(model).map_or(Gate::Open, |overload| overload.gate(now));
        if self.queue.waits_for(model) || [self.egress.gate(now), overload] != [Gate::Open; 2] {
            return None;
        }
        match self.pick(&Want { spare: true, ..*want }, now) {
            Pick::Ready { lease, key } => Some((lease, key)),
            Pick::CoolingDown { .. } | Pick::Rejected { .. } => None,
        }
    }

    /// A model's table, out of the pool, so that both can be used. It has to be [returned](Self::return_table).
    pub(super) fn lend_table(&mut self, model: &str) -> Option<Table> {
        let family = self.families.get(model).map_or(model, AsRef::as_ref);
        let skew = self.skew;
        self.tables.get_mut(family).map(|table| std::mem::replace(table, Table::new("", skew, None)))
    }

    pub(super) fn return_table(&mut self, table: Table) {
        if let Some(place) = self.tables.get_mut(&*table.model) {
            *place = table;
        }
    }

    /// By room: the project with the most of it, spread evenly.
    fn pick_project(&mut self, want: &Want<'_>, now: Timestamp) -> Pick {
        if self.usable.is_empty() {
            return Pick::Rejected { why: Rejection::NoneUsable };
        }
        let Some(mut table) = want.model.and_then(|model| self.lend_table(model)) else {
            return self.pick_in_turn(want, now);
        };
        self.move_on(&mut table, now);
        let mut chosen = self.best_project(&mut table, want, now);
        let (mut tries, mut doubts) = (false, false);
        if let Err(Pick::CoolingDown { .. }) = &chosen
            && !want.spare
            && let Some(project) = self.guess_to_try(&mut table, want, now)
        {
            (chosen, doubts) = (Ok(project), true);
        }
        if let Err(Pick::CoolingDown { until }) = &mut chosen
            && let Some((at, project)) = self.trial(&mut table, want, now).filter(|(at, _)| at < until)
            && !want.spare
        {
            if at <= now {
                (chosen, tries) = (Ok(project), true);
            } else {
                *until = at;
            }
        }
        let pick = match chosen {
            Ok((project, slot)) => {
                let turn = self.next_lease + 1;
                let tokens = want.tokens.max(1);
                let standing = self.standing_of(project);
                let charge = table.charge(project, standing, (tokens, turn), now);
                let lease = self.lease(slot, Some((Arc::clone(&table.model), project, charge)), now);
                if tries {
                    self.minutes.try_with(lease);
                }
                if doubts {
                    self.guesses.try_with(lease, project);
                }
                Pick::Ready { lease, key: self.keys[slot].key.clone() }
            }
            Err(otherwise) => otherwise,
        };
        self.return_table(table);
        pick
    }

    /// The project with the most room for the request, and its key whose turn it is.
    fn best_project(
        &mut self,
        table: &mut Table,
        want: &Want<'_>,
        now: Timestamp,
    ) -> Result<(u32, usize), Pick> {
        let tokens = want.tokens.max(1);
        let mut recovery = Timestamp::NEVER;
        if let Some(&project) = want.stay.and_then(|stay| self.project_numbers.get(&stay))
            && table
                .cell(project)
                .is_some_and(|cell| !cell.penalised(now) && cell.meter.load() / 16 < STAYS_BELOW)
            && standing(&self.projects[project as usize]).blocked_until <= now
            && table.room(project, tokens, now) <= now
            && let Some(slot) = self.next_key(project, want)
            && !self.keys[slot].is_crowded()
        {
            return Ok((project, slot));
        }
        let mut crowded = None;
        let spread: Vec<(Rank, u32)> =
            if want.proven { table.ready().take(LOOKED_AT).collect() } else { Vec::new() };
        for (rank, project) in spread {
            if !rank.is_penalised()
                && table.cell(project).is_some_and(Cell::is_proven)
                && let Some(slot) = self.next_key(project, want)
                && table.room(project, tokens, now) <= now
            {
                return Ok((project, slot));
            }
        }
        let mut known = table.ready_after(None);
        let mut place = table.fresh_from;
        let mut in_front = true;
        for _ in 0..LOOKED_AT * 2 {
            // Projects that were never used with this model come first: they have all their room.
            while self.order.get(place).is_some_and(|&project| table.cell(project).is_some()) {
                place += 1;
                if in_front {
                    table.fresh_from = place;
                }
            }
            let fresh = self.order.get(place).copied();
            let fresh = fresh.map(|project| (Rank::fresh(self.projects[project as usize].priority), project));
            let Some(best) = fresh.into_iter().chain(known).min() else { break };
            if want.spare && best.0.is_penalised() {
                break;
            }
            let project = best.1;
            if fresh == Some(best) {
                place += 1;
                let blocked = standing(&self.projects[project as usize]);
                if blocked.blocked_until > now {
                    // It gets a cell, and with it a place among those that wait.
                    table.change(project, blocked, now, |_| ());
                    if in_front {
                        table.fresh_from = place;
                    }
                    continue;
                }
                in_front = false;
            } else {
                known = table.ready_after(known);
            }
            let Some(slot) = self.next_key(project, want) else { continue };
            let room = table.room(project, tokens, now);
            if room > now {
                recovery = recovery.min(room);
            } else if self.keys[slot].is_crowded() {
                crowded = crowded.or(Some((project, slot)));
            } else {
                return Ok((project, slot));
            }
        }
        if let Some(chosen) = crowded {
            return Ok(chosen);
        }
        let waking: Vec<(Timestamp, u32)> = table.waking().take(LOOKED_AT).collect();
        let next = waking.into_iter().find(|&(_, project)| self.next_key(project, want).is_some());
        recovery = next.map_or(recovery, |(at, _)| recovery.min(at));
        Err(match recovery {
            Timestamp::NEVER if want.tried.is_empty() => Pick::Rejected { why: Rejection::NoneUsable },
            Timestamp::NEVER => Pick::Rejected { why: Rejection::AllTried },
            until => Pick::CoolingDown { until },
        })
    }

    /// A project that has room for the request only if minutes are fixed, and when it may be tried whether they are: now, or
    /// when the next one would begin.
    fn trial(
        &mut self,
        table: &mut Table,
        want: &Want<'_>,
        now: Timestamp,
    ) -> Option<(Timestamp, (u32, usize))> {
        let (began, ends) = self.minutes.around(now)?;
        for (began, at) in [(began, now), (ends, ends)] {
            if !self.minutes.may_try(at) {
                continue;
            }
            let waking: Vec<u32> = table.waking().take(LOOKED_AT).map(|(_, project)| project).collect();
            for project in waking {
                let is_blocked = self.standing_of(project).blocked_until > at;
                if !is_blocked
                    && table.tells_minutes(project, (want.tokens.max(1), began, at), now)
                    && let Some(slot) = self.next_key(project, want)
                {
                    return Some((at, (project, slot)));
                }
            }
        }
        None
    }

    /// The key of a project whose turn it is, if the project may serve the request.
    pub(super) fn next_key(&mut self, number: u32, want: &Want<'_>) -> Option<usize> {
        let project = &self.projects[number as usize];
        if want.avoid.contains(&project.id) || (want.paid && !project.is_paid()) {
            return None;
        }
        let (at, slot) = self.key_in_turn(number, want.tried)?;
        self.projects[number as usize].turn = at + 1;
        Some(slot)
    }

    /// The key of a project whose turn it is, among those not tried: its place and its slot. One that is crowded comes
    /// last.
    pub(super) fn key_in_turn(&self, number: u32, tried: &[KeyId]) -> Option<(usize, usize)> {
        let project = &self.projects[number as usize];
        let count = project.usable.len();
        let mut crowded = None;
        for offset in 0..count {
            let at = (project.turn + offset) % count;
            let slot = project.usable[at];
            let key = &self.keys[slot];
            if tried.contains(&key.key.id()) {
                continue;
            }
            if !key.is_crowded() {
                return Some((at, slot));
            }
            crowded = crowded.or(Some((at, slot)));
        }
        crowded
    }

    /// One project after the other, by priority: while nothing is known of the model.
    fn pick_in_turn(&mut self, want: &Want<'_>, now: Timestamp) -> Pick {
        let mut recovery = Timestamp::NEVER;
        let mut crowded = None;
        for turn in 0..self.turns.len() {
            let (begin, end, next) = (self.turns[turn].begin, self.turns[turn].end, self.turns[turn].next);
            for offset in 0..end - begin {
                let place = begin + (next - begin + offset) % (end - begin);
                let project = self.order[place];
                let blocked_until = self.standing_of(project).blocked_until;
                if blocked_until > now {
                    recovery = recovery.min(blocked_until);
                    continue;
                }
                let Some(slot) = self.next_key(project, want) else { continue };
                if self.keys[slot].is_crowded() {
                    crowded = crowded.or(Some(slot));
                    continue;
                }
                self.turns[turn].next = if place + 1 < end { place + 1 } else { begin };
                return self.lease_untold(slot, now);
            }
        }
        if let Some(slot) = crowded {
            return self.lease_untold(slot, now);
        }
        match recovery {
            Timestamp::NEVER if want.tried.is_empty() => Pick::Rejected { why: Rejection::NoneUsable },
            Timestamp::NEVER => Pick::Rejected { why: Rejection::AllTried },
            until => Pick::CoolingDown { until },
        }
    }

    /// Leases a key without counting the request against a quota.
    pub(super) fn lease_untold(&mut self, slot: usize, now: Timestamp) -> Pick {
        let lease = self.lease(slot, None, now);
        Pick::Ready { lease, key: self.keys[slot].key.clone() }
    }

    /// How many projects have room for a model now; one at least while nothing is known of it.
    pub(super) fn room_for(&mut self, model: &str, now: Timestamp) -> usize {
        if self.next_room(model, now).is_none_or(|at| at > now) {
            return 0;
        }
        let family = self.family(model).to_owned();
        self.tables.get(family.as_str()).map_or(1, |table| table.ready().take(LOOKED_AT).count().max(1))
    }

    /// When some project has room for a model: now, or later. None: not by waiting.
    pub(super) fn next_room(&mut self, model: &str, now: Timestamp) -> Option<Timestamp> {
        let overload = self.overloads.get(model).map_or(Gate::Open, |overload| overload.gate(now));
        for gate in [self.egress.gate(now), overload] {
            if let Gate::Closed(until) = gate {
                return Some(until);
            }
        }
        let want = Want { model: Some(model), tokens: 1, ..Want::default() };
        if self.strategy != Strategy::Headroom {
            return self.room(&want, now);
        }
        let Some(mut table) = self.lend_table(model) else { return self.room(&want, now) };
        self.move_on(&mut table, now);
        let fresh = table.fresh_from < self.order.len();
        let ready = table.ready().next().is_some();
        let next = if ready || fresh { Some(now) } else { table.waking().next().map(|(at, _)| at) };
        let has_room = next.is_none_or(|next| next <= now);
        let trial = if has_room { None } else { self.trial(&mut table, &want, now).map(|(at, _)| at) };
        self.return_table(table);
        next.map(|next| trial.map_or(next, |at| at.min(next)))
    }

    /// By key: the classic strategies, and clients' own keys.
    fn pick_key(&mut self, want: &Want<'_>, now: Timestamp) -> Pick {
        let own: Option<Vec<usize>> = want
            .own
            .map(|keys| keys.iter().map(|key| self.insert(key, ProjectId::of_key(key.id()))).collect());
        let guests = own.is_some();
        let count = own.as_ref().map_or(self.usable.len(), Vec::len);
        if count == 0 {
            return Pick::Rejected { why: Rejection::NoneUsable };
        }
        if !guests && let Some(until) = self.all_rest(want, now) {
            return Pick::CoolingDown { until };
        }
        if self.strategy == Strategy::LeastUsed && !guests {
            return self.pick_least_used(want, now);
        }
        let chance = self.chance.usize(..count);
        let candidates = own.as_deref().unwrap_or(&self.usable);
        let start = self.start(candidates, guests, chance, now);
        let table = want.model.and_then(|model| self.tables.get(self.family(model)));
        let mut penalised = None;
        let mut last_resort = None;
        let mut recovery = Timestamp::NEVER;
        let mut tried = false;
        let mut chosen = None;
        for offset in 0..candidates.len() {
            let slot = candidates[(start + offset) % candidates.len()];
            match self.key_standing(&self.keys[slot], want, table, now) {
                Standing::Ready => {
                    chosen = Some(slot);
                    break;
                }
                Standing::Penalised => penalised = penalised.or(Some(slot)),
                Standing::RestsUntil(until) => recovery = recovery.min(until),
                Standing::Tried => tried = true,
                // A client has no other keys than its own: for want of a better one they are tried again.
                Standing::SetAside if guests => last_resort = last_resort.or(Some(slot)),
                Standing::SetAside => {}
            }
        }
        if recovery < Timestamp::NEVER {
            last_resort = None;
        }
        match chosen.or_else(|| penalised.filter(|_| !want.spare)).or(last_resort) {
            Some(slot) => {
                if !guests && matches!(self.strategy, Strategy::Headroom | Strategy::RoundRobin) {
                    let next = self.usable.partition_point(|&usable| usable <= slot);
                    self.cursor = self.usable.get(next).copied().unwrap_or(0);
                }
                self.lease_untold(slot, now)
            }
            None if recovery < Timestamp::NEVER => Pick::CoolingDown { until: recovery },
            None => Pick::Rejected { why: if tried { Rejection::AllTried } else { Rejection::NoneUsable } },
        }
    }

    /// The earliest moment at which some project can serve the request, whatever it has tried. None: not
    /// before a person or a probe helps.
    pub fn recovery(&mut self, want: &Want<'_>, now: Timestamp) -> Option<Timestamp> {
        let incidents = match want.own {
            Some(_) => None,
            None => {
                let overload = want.model.and_then(|model| self.overloads.get(model)?.paused_until());
                self.egress.paused_until().into_iter().chain(overload).max()
            }
        };
        let room = self.room(want, now)?;
        Some(incidents.map_or(room, |until| until.max(room)))
    }

    fn room(&mut self, want: &Want<'_>, now: Timestamp) -> Option<Timestamp> {
        if let Some(only) = want.only {
            return self.room_within(only, want, now);
        }
        if let Some(own) = want.own {
            return self.room_of_own(own, want, now);
        }
        let table = want.model.and_then(|model| self.lend_table(model));
        let Some(mut table) = table else {
            let able = self.order.iter().filter(|&&project| self.may_serve(project, want));
            return able.map(|&project| self.projects[project as usize].rest_until.max(now)).min();
        };
        let room = self.first_room(&mut table, want, now);
        self.return_table(table);
        (room < Timestamp::NEVER).then_some(room)
    }

    /// The same for the keys that a client brings.
    fn room_of_own(&mut self, own: &[ApiKey], want: &Want<'_>, now: Timestamp) -> Option<Timestamp> {
        let mut slots: Vec<usize> = own.iter().filter_map(|key| self.by_id.get(&key.id()).copied()).collect();
        slots.retain(|&slot| self.keys[slot].is_usable());
        let mut table = want.model.and_then(|model| self.lend_table(model));
        let rooms = slots.into_iter().map(|slot| {
            let project = self.keys[slot].project;
            let rest = self.projects[project as usize].rest_until.max(now);
            table.as_mut().map_or(rest, |table| rest.max(table.recovery(project, want.tokens.max(1), now)))
        });
        let room = rooms.min();
        table.into_iter().for_each(|table| self.return_table(table));
        room
    }

    /// When the first project has room for a request. The projects are looked at in the order in which they will have
    /// some, so that few have to be.
    fn first_room(&mut self, table: &mut Table, want: &Want<'_>, now: Timestamp) -> Timestamp {
        let tokens = want.tokens.max(1);
        let mut room = Timestamp::NEVER;
        self.pass_known(table);
        for &project in self.order.iter().skip(table.fresh_from).take(ASKED) {
            if room <= now {
                return room;
            }
            if table.cell(project).is_none() && self.may_serve(project, want) {
                room = room.min(self.projects[project as usize].rest_until.max(now));
            }
        }
        let mut ready = table.ready_after(None);
        for _ in 0..ASKED {
            let Some((_, project)) = ready.filter(|_| room > now) else { break };
            if self.may_serve(project, want) {
                let blocked = self.standing_of(project).blocked_until;
                room = room.min(table.recovery(project, tokens, now).max(blocked));
            }
            ready = table.ready_after(ready);
        }
        let waking: Vec<(Timestamp, u32)> = table.waking().take(ASKED).collect();
        for (at, project) in waking {
            // A place in this order may be later than the room, by a pause.
            if at >= room + LONGEST_PAUSE {
                break;
            }
            if self.may_serve(project, want) {
                let blocked = self.standing_of(project).blocked_until;
                room = room.min(table.recovery(project, tokens, now).max(blocked));
            }
        }
        room
    }

    /// Whether a project has a key that the request may use, now or later.
    fn may_serve(&self, number: u32, want: &Want<'_>) -> bool {
        let project = &self.projects[number as usize];
        !project.usable.is_empty() && (!want.paid || project.is_paid())
    }

    /// Moves the place from which on there are projects that were never used with a model.
    fn pass_known(&self, table: &mut Table) {
        while self.order.get(table.fresh_from).is_some_and(|&project| table.cell(project).is_some()) {
            table.fresh_from += 1;
        }
    }

    /// Until when no key can serve, where that is known of every project of a model: who asks again and again need not
    /// ask all of them each time.
    fn all_rest(&mut self, want: &Want<'_>, now: Timestamp) -> Option<Timestamp> {
        let mut table = self.lend_table(want.model?)?;
        self.move_on(&mut table, now);
        self.pass_known(&mut table);
        let nobody = table.fresh_from >= self.order.len() && table.ready_after(None).is_none();
        let until = nobody.then(|| {
            let mut able = table.waking().take(ASKED).filter(|&(_, project)| {
                let mut keys = self.projects[project as usize].usable.iter();
                self.may_serve(project, want)
                    && keys.any(|&slot| !want.tried.contains(&self.keys[slot].key.id()))
            });
            able.next().map(|(at, _)| at)
        });
        self.return_table(table);
        until.flatten()
    }

    /// Gives those projects their new places for whom it is time.
    fn move_on(&self, table: &mut Table, now: Timestamp) {
        while let Some(project) = table.next_due(now) {
            table.change(project, self.standing_of(project), now, |_| ());
        }
    }

    pub(super) fn key_standing(
        &self,
        key: &Key,
        want: &Want<'_>,
        table: Option<&Table>,
        now: Timestamp,
    ) -> Standing {
        let avoided = want.spare && want.avoid.contains(&self.projects[key.project as usize].id);
        if avoided || want.tried.contains(&key.key.id()) {
            return Standing::Tried;
        }
        if !key.is_usable() || (want.paid && !self.projects[key.project as usize].is_paid()) {
            return Standing::SetAside;
        }
        let cell = table.and_then(|table| table.cell(key.project));
        if cell.is_some_and(Cell::is_given_nothing) {
            return Standing::SetAside;
        }
        let project = self.projects[key.project as usize].rest_until;
        let rest = cell.map_or(project, |cell| project.max(cell.rest_until()));
        if rest > now {
            return Standing::RestsUntil(rest);
        }
        match cell {
            Some(cell) if cell.penalised(now) => Standing::Penalised,
            _ => Standing::Ready,
        }
    }

    /// Where in the candidates the search begins; `chance` is a random place.
    pub(super) fn start(&self, candidates: &[usize], guests: bool, chance: usize, now: Timestamp) -> usize {
        match self.strategy {
            Strategy::Random => chance,
            Strategy::TimeWindow => {
                let all = if guests { candidates.len() } else { self.keys.len() };
                let window = u64::try_from(WINDOW.as_millis()).unwrap_or(1);
                let slot = (now.as_millis() % window) * all as u64 / window;
                let slot = usize::try_from(slot).unwrap_or(0);
                if guests { slot } else { candidates.partition_point(|&candidate| candidate < slot) }
            }
            Strategy::Headroom | Strategy::RoundRobin if !guests => {
                let cursor = self.cursor;
                candidates.partition_point(|&candidate| candidate < cursor)
            }
            // The one used longest ago comes first: round-robin over whatever set of keys a client brings.
            Strategy::RoundRobin | Strategy::LeastUsed | Strategy::Headroom => candidates
                .iter()
                .enumerate()
                .min_by_key(|&(_, &slot)| self.keys[slot].last_lease)
                .map_or(0, |(at, _)| at),
        }
    }
}
