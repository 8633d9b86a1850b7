//! All clients' accounts, and what each request takes from them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::account::{Account, Amounts, Held, Over, Standing};
use super::fair::{Room, Shares};
use super::limit::{Limit, Measure, Period};
use super::told::{Told, refusal};
use super::{Client, Clients};
use crate::error::Error;
use crate::event::Event;
use crate::pool::StateChange;
use crate::secret::KeyId;
use crate::time::Timestamp;

/// So many events wait for somebody to take them; older ones are dropped.
const MAX_EVENTS: usize = 1000;

/// A client whose requests are all under way is told to come back after this: nobody knows when one ends.
const SOON: Duration = Duration::from_secs(1);

/// So many requests at a time every client may have, however short the pool is.
const FEW: u64 = 4;

/// The accounts of all clients. Shared with every request that is under way.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    /// Of clients of the configuration alone, so there are no more than of those.
    accounts: HashMap<KeyId, Account>,
    shares: Shares,
    /// All requests under way, and the weights of the clients who have any.
    under_way: u64,
    busy_weight: u64,
    changed: HashSet<KeyId>,
    events: Vec<Event>,
}

/// What one request of a client takes: its place among those under way, and what it uses. Dropped, it gives back what was
/// not used.
#[derive(Debug)]
pub(crate) struct Charge {
    ledger: Arc<Ledger>,
    client: Arc<Client>,
    /// The weight with which it counts among those under way; none: a part of a request that has the place.
    place: Option<u64>,
    /// From the head, and from the body.
    held: [Held; 2],
    /// The model of whose day it takes, and how many requests.
    shared: Option<(Box<str>, u64)>,
    answered: bool,
    told: Option<Told>,
}

/// What a client has used, for itself and for whoever administers it.
#[derive(Debug, Clone)]
pub struct AccountView {
    pub(super) standings: Vec<Standing>,
    /// What was spent in each period, and when that ends.
    pub periods: [(Period, Amounts, Timestamp); 3],
    /// Requests and sessions under way.
    pub under_way: u64,
}

impl Ledger {
    /// Lets a request in that asks so many requests of a model.
    ///
    /// # Errors
    /// The limit in its way.
    pub(crate) fn enter(
        self: &Arc<Self>,
        client: &Arc<Client>,
        requests: u64,
        crowded: bool,
        now: Timestamp,
    ) -> Result<Charge, Error> {
        let mut books = self.books();
        let books = &mut *books;
        let id = client.id();
        let account = books.accounts.entry(id).or_default();
        let weight = u64::from(client.settings.weight);
        let most = client.settings.concurrent_requests;
        let fair = match crowded {
            // One more than none is always its own share.
            true => {
                let others =
                    books.busy_weight - if account.under_way > 0 { weight.min(books.busy_weight) } else { 0 };
                Some(FEW.max(((books.under_way + 1) * weight).div_ceil(others + weight)))
            }
            false => None,
        };
        let most = [most, fair].into_iter().flatten().min();
        if let Some(most) = most.filter(|most| account.under_way >= *most) {
            let standing =
                Standing { limit: Limit::ConcurrentRequests, of: most, used: account.under_way, resets: now };
            let until = (most > 0).then_some(now + SOON);
            return Err(books.refused(client, Over { standing, needs: 1, until }, now));
        }
        let amounts = Amounts { requests, ..Amounts::default() };
        match account.hold(&client.settings, amounts, now) {
            Ok(held) => {
                if account.under_way == 0 {
                    books.busy_weight += weight;
                }
                account.under_way += 1;
                books.under_way += 1;
                let told = books.told(client, now);
                Ok(Charge {
                    ledger: Arc::clone(self),
                    client: Arc::clone(client),
                    place: Some(weight),
                    held: [held, Held::default()],
                    shared: None,
                    answered: false,
                    told,
                })
            }
            Err(over) => Err(books.refused(client, over, now)),
        }
    }

    /// What a client has used.
    pub(crate) fn view(&self, client: &Client, now: Timestamp) -> AccountView {
        let mut books = self.books();
        let mut none = Account::default();
        let account = books.accounts.get_mut(&client.id()).unwrap_or(&mut none);
        AccountView {
            standings: account.standings(&client.settings, now),
            // Looking has brought the sums up to date.
            periods: Period::ALL.map(|period| {
                let (spent, ends) = account.sum(period);
                (period, spent, ends)
            }),
            under_way: account.under_way,
        }
    }

    /// Forgets clients that are no more.
    pub(crate) fn retain(&self, clients: &Clients) {
        let mut books = self.books();
        let books = &mut *books;
        // What is under way gives back what it holds to whom it was taken from.
        books.accounts.retain(|id, account| clients.find(*id).is_some() || account.under_way > 0);
        books.changed.retain(|id| books.accounts.contains_key(id));
    }

    /// What clients have spent since this was last asked.
    pub(crate) fn take_changes(&self) -> Vec<StateChange> {
        let mut books = self.books();
        let books = &mut *books;
        let mut changes = Vec::new();
        for client in std::mem::take(&mut books.changed) {
            let Some(account) = books.accounts.get(&client) else { continue };
            for period in Period::ALL {
                let (spent, ends) = account.sum(period);
                changes.push(StateChange::ClientSpent { client, period, ends, spent });
            }
        }
        changes
    }

    /// Takes in what a client has spent before a restart.
    pub(crate) fn restore(
        &self,
        client: KeyId,
        (period, ends): (Period, Timestamp),
        spent: Amounts,
        now: Timestamp,
    ) {
        self.books().accounts.entry(client).or_default().restore(period, ends, spent, now);
    }

    /// What an operator wants to know of clients, since this was last asked.
    pub(crate) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.books().events)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// How far the limits of a client are used after a request was let in. Tells the operator of those that are nearly
    /// used up.
    fn told(&mut self, client: &Client, now: Timestamp) -> Option<Told> {
        if !client.settings.is_limited() {
            return None;
        }
        let account = self.accounts.get_mut(&client.id())?;
        let standings = account.standings(&client.settings, now);
        for Standing { limit, of, used, resets } in standings.iter().copied() {
            // Four fifths.
            let is_near = u128::from(used) * 5 >= u128::from(of) * 4;
            if is_near && account.tells(limit, false, resets, now) {
                let client = client.id();
                self.events.push(Event::ClientNearLimit { client, limit, used, of });
            }
        }
        self.bound_events();
        Told::of(&standings, now)
    }

    fn refused(&mut self, client: &Client, over: Over, now: Timestamp) -> Error {
        let id = client.id();
        let account = self.accounts.entry(id).or_default();
        let Standing { limit, of, .. } = over.standing;
        let until = over.until;
        if account.tells(limit, true, until.unwrap_or(over.standing.resets), now) {
            self.events.push(Event::ClientLimited { client: id, limit, of, until });
        }
        let told = Told::of(&account.standings(&client.settings, now), now);
        self.bound_events();
        refusal(&over, told, now)
    }

    fn bound_events(&mut self) {
        if self.events.len() > MAX_EVENTS {
            self.events.drain(..MAX_EVENTS / 2);
        }
    }
}

impl Charge {
    /// How many requests it takes that were not sent yet.
    pub(crate) fn requests(&self) -> u64 {
        self.held.iter().map(|held| held.amounts.requests).sum()
    }

    /// How far the client's limits were used, for the head of its answer.
    pub(crate) fn told(&self) -> Option<&Told> {
        self.told.as_ref()
    }

    /// Takes what the body says that the request may use, besides what its head did.
    ///
    /// # Errors
    /// The limit in its way.
    pub(crate) fn hold(&mut self, amounts: Amounts, now: Timestamp) -> Result<(), Error> {
        let mut books = self.ledger.books();
        let books = &mut *books;
        let account = books.accounts.entry(self.client.id()).or_default();
        match account.hold(&self.client.settings, amounts, now) {
            Ok(held) => {
                self.held[1] = held;
                self.told = books.told(&self.client, now);
                Ok(())
            }
            Err(over) => Err(books.refused(&self.client, over, now)),
        }
    }

    /// Takes a part of the day of a model.
    ///
    /// # Errors
    /// The client has had its share, and what is left is others'.
    pub(crate) fn share(
        &mut self,
        model: &str,
        clients: &Clients,
        room: Option<Room>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut books = self.ledger.books();
        let books = &mut *books;
        let refused = room.and_then(|room| {
            let Books { shares, accounts, .. } = books;
            shares.refuses((model, &self.client), (clients, accounts), room, now)
        });
        if let Some((until, share)) = refused {
            let standing = Standing { limit: Limit::FairShare, of: share, used: share, resets: until };
            return Err(books.refused(&self.client, Over { standing, needs: 1, until: Some(until) }, now));
        }
        let requests = self.requests();
        if books.shares.count(model, self.client.id(), requests, now) {
            self.shared = Some((model.into(), requests));
        }
        Ok(())
    }

    /// The share of one of `left` parts that are still to be begun.
    pub(crate) fn part(&mut self, left: u64) -> Self {
        let left = left.max(1);
        let mut held = self.held;
        for (ours, part) in self.held.iter_mut().zip(&mut held) {
            let all = ours.amounts;
            part.amounts = Amounts {
                requests: 0,
                tokens: all.tokens / left,
                cost_millionths: all.cost_millionths / left,
            };
            ours.amounts.tokens -= part.amounts.tokens;
            ours.amounts.cost_millionths -= part.amounts.cost_millionths;
        }
        if let Some(which) = self.held.iter().position(|held| held.amounts.requests > 0) {
            self.held[which].amounts.requests -= 1;
            held[which].amounts.requests = 1;
        }
        Self {
            ledger: Arc::clone(&self.ledger),
            client: Arc::clone(&self.client),
            place: None,
            held,
            // The whole has been counted; its parts are not answers by themselves.
            shared: None,
            answered: false,
            told: None,
        }
    }

    /// The request goes to Google: from now on it counts, whatever becomes of it.
    pub(crate) fn sent(&mut self, now: Timestamp) {
        if self.held.iter().all(|held| held.amounts.requests == 0) {
            return;
        }
        let mut books = self.ledger.books();
        let id = self.client.id();
        let account = books.accounts.entry(id).or_default();
        self.held.iter_mut().for_each(|held| account.send(held, now));
        books.changed.insert(id);
    }

    /// It has been answered, and has used this much. May be said again, where more is used.
    pub(crate) fn used(&mut self, tokens: u64, cost_millionths: u64, now: Timestamp) {
        self.answered = true;
        let mut books = self.ledger.books();
        let id = self.client.id();
        let account = books.accounts.entry(id).or_default();
        // What is held from the head are requests only.
        account.spend(&mut self.held[1], Amounts { requests: 0, tokens, cost_millionths }, now);
        books.changed.insert(id);
    }

    /// The budget of tokens or money that is used up, if one is: of a day, a month or altogether.
    pub(crate) fn used_up(&self, now: Timestamp) -> Option<Limit> {
        if !self.client.settings.is_limited() {
            return None;
        }
        let mut books = self.ledger.books();
        let account = books.accounts.get_mut(&self.client.id())?;
        let standings = account.standings(&self.client.settings, now);
        let is_used_up = |standing: &&Standing| {
            let Standing { limit, of, used, .. } = *standing;
            limit.period().is_some() && limit.measure() != Measure::Requests && used >= of
        };
        standings.iter().find(is_used_up).map(|standing| standing.limit)
    }

    /// It has been answered, or may have been, and nobody knows what it has used: the estimate counts.
    pub(crate) fn used_as_held(&mut self, now: Timestamp) {
        let Amounts { tokens, cost_millionths, .. } = self.held[1].amounts;
        self.used(tokens, cost_millionths, now);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut books = self.ledger.books();
        let books = &mut *books;
        let id = self.client.id();
        if let (Some((model, requests)), false) = (&self.shared, self.answered) {
            books.shares.discount(model, id, *requests);
        }
        let Some(account) = books.accounts.get_mut(&id) else { return };
        self.held.iter_mut().for_each(|held| account.refund(held));
        if let Some(weight) = self.place {
            account.under_way = account.under_way.saturating_sub(1);
            books.under_way = books.under_way.saturating_sub(1);
            if account.under_way == 0 {
                books.busy_weight = books.busy_weight.saturating_sub(weight);
            }
        }
    }
}

#[cfg(test)]
mod tests;
