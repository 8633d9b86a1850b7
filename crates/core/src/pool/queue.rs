//! Requests that wait for room: bounded, and fair between clients.
//!
//! Whoever has been given least while others waited comes first (max-min fairness over tokens); of one client's
//! requests the oldest. A request that waits has no key and no lease, only a ticket.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::secret::KeyId;
use crate::time::Timestamp;

/// A request that was woken and does not come loses its turn after this.
const TURN: Duration = Duration::from_secs(1);

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Those that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    last_ticket: u64,
    /// In order, so that the same seed wakes the same requests.
    models: BTreeMap<Box<str>, BTreeMap<Ticket, Waiter>>,
    places: HashMap<Ticket, Box<str>>,
    /// Tokens given to each client while somebody waited.
    given: HashMap<KeyId, u64>,
}

#[derive(Debug)]
struct Waiter {
    client: KeyId,
    tokens: u64,
    /// Until when it has the turn.
    turn_until: Timestamp,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether somebody waits for this model.
    pub(super) fn waits_for(&self, model: &str) -> bool {
        self.models.contains_key(model)
    }

    /// The models that somebody waits for.
    pub(super) fn models(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(AsRef::as_ref)
    }

    /// Takes a place.
    pub(super) fn enter(&mut self, model: &str, client: KeyId, tokens: u64) -> Ticket {
        // A newcomer has no claim to what others were given before it came.
        let least = self.given.values().copied().min().unwrap_or(0);
        self.given.entry(client).or_insert(least);
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let waiter = Waiter { client, tokens, turn_until: Timestamp::EPOCH };
        self.models.entry(model.into()).or_default().insert(ticket, waiter);
        self.places.insert(ticket, model.into());
        ticket
    }

    /// Gives a place up; `served`: because its request was given a key.
    pub(super) fn leave(&mut self, ticket: Ticket, served: bool) {
        let Some(model) = self.places.remove(&ticket) else { return };
        let Some(waiting) = self.models.get_mut(&model) else { return };
        if let Some(waiter) = waiting.remove(&ticket)
            && served
        {
            *self.given.entry(waiter.client).or_default() += waiter.tokens;
        }
        if waiting.is_empty() {
            self.models.remove(&model);
        }
        if self.places.is_empty() {
            self.given.clear();
        }
    }

    /// Whether a request has the turn.
    pub(super) fn has_turn(&self, ticket: Ticket, now: Timestamp) -> bool {
        let waiter = self.places.get(&ticket).and_then(|model| self.models.get(model)?.get(&ticket));
        waiter.is_some_and(|waiter| waiter.turn_until > now)
    }

    /// Ends a turn that brought nothing.
    pub(super) fn pass(&mut self, ticket: Ticket) {
        let waiting = self.places.get(&ticket).and_then(|model| self.models.get_mut(model));
        if let Some(waiter) = waiting.and_then(|waiting| waiting.get_mut(&ticket)) {
            waiter.turn_until = Timestamp::EPOCH;
        }
    }

    /// Gives the turn to as many as there is room for; those that have it now.
    pub(super) fn wake(&mut self, model: &str, room: usize, now: Timestamp) -> Vec<Ticket> {
        let Some(waiting) = self.models.get_mut(model) else { return Vec::new() };
        let have_it = waiting.values().filter(|waiter| waiter.turn_until > now).count();
        let mut promised: HashMap<KeyId, u64> = HashMap::new();
        let mut woken = Vec::new();
        for _ in have_it..room.min(waiting.len()) {
            let first = waiting
                .iter()
                .filter(|(_, waiter)| waiter.turn_until <= now)
                .min_by_key(|(ticket, waiter)| {
                    let given = self.given.get(&waiter.client).copied().unwrap_or(0);
                    (given + promised.get(&waiter.client).copied().unwrap_or(0), **ticket)
                })
                .map(|(ticket, _)| *ticket);
            let Some(waiter) = first.and_then(|ticket| waiting.get_mut(&ticket)) else { break };
            waiter.turn_until = now + TURN;
            *promised.entry(waiter.client).or_default() += waiter.tokens;
            woken.extend(first);
        }
        woken
    }

    /// When a turn that was given out ends.
    pub(super) fn next_turn_end(&self, model: &str, now: Timestamp) -> Option<Timestamp> {
        self.models.get(model)?.values().map(|waiter| waiter.turn_until).filter(|until| *until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ApiKey;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn models_are_woken_in_the_same_order_always() {
        let names = ["d", "a", "h", "c", "g", "b", "f", "e"];
        let mut queue = Queue::default();
        for name in names {
            queue.enter(name, ApiKey::new("one").id(), 100);
        }
        assert_eq!(queue.models().collect::<String>(), "abcdefgh");
    }

    #[test]
    fn who_was_given_least_comes_first() {
        let mut queue = Queue::default();
        let (greedy, modest) = (ApiKey::new("greedy").id(), ApiKey::new("modest").id());
        let first: Vec<Ticket> = (0..3).map(|_| queue.enter("m", greedy, 100)).collect();
        let second = queue.enter("m", modest, 100);
        assert_eq!(queue.wake("m", 1, NOW), [first[0]]);
        assert_eq!(queue.wake("m", 1, NOW), [], "it has the turn");
        assert!(queue.has_turn(first[0], NOW) && !queue.has_turn(second, NOW));
        queue.leave(first[0], true);
        assert_eq!(queue.wake("m", 2, NOW), [second, first[1]]);
        queue.pass(second);
        assert_eq!(queue.wake("m", 2, NOW), [second], "a turn that brought nothing comes again");
        for ticket in [second, first[1], first[2]] {
            queue.leave(ticket, false);
        }
        assert!(queue.len() == 0 && !queue.waits_for("m"));
    }

    #[test]
    fn who_does_not_come_loses_the_turn() {
        let mut queue = Queue::default();
        let client = ApiKey::new("client").id();
        let (one, other) = (queue.enter("m", client, 1), queue.enter("m", client, 1));
        assert_eq!(queue.wake("m", 1, NOW), [one]);
        queue.leave(one, false);
        assert_eq!(queue.wake("m", 1, NOW), [other]);
        assert_eq!(queue.wake("m", 1, NOW + TURN), [other]);
    }
}
