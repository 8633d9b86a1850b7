//! Fair shares of a day that is short.
//!
//! Google allows so many requests of a model in a day. By default no client may take them all before the others wake:
//! each client that was seen in the last week has a share, by its weight, of what is not reserved, and what is reserved for
//! it besides. Up to its share a client is never refused. Beyond it, it is served while the pool has more left than is
//! held for the others:
//!
//! - what is reserved for them and was not used yet, all day long, and
//! - what of their fair shares they have not used yet, times the part of the day that is left: so that nothing is kept
//!   for somebody who does not come.
//!
//! So nothing is refused while there is plenty, nor where there is one client, and all of a day can be used up. What has
//! been answered is counted by model and client, in this process alone.

use std::collections::HashMap;
use std::time::Duration;

use super::account::Account;
use super::{Client, Clients};
use crate::secret::KeyId;
use crate::time::Timestamp;

/// A client that was not seen for so long has no share kept for it.
const LATELY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// So many models are counted. Gemini has some dozens; what is made up by clients is not served.
const MODELS: usize = 256;

/// How long a sum over more clients than these is taken for good.
const MANY: usize = 1_000;
const SUMMED: Duration = Duration::from_secs(1);

/// What of a day the pool can serve of a model, and what of that is left, in requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) capacity: u64,
    pub(crate) left: u64,
}

/// What clients have had of each model today.
#[derive(Debug, Default)]
pub(super) struct Shares {
    ends: Timestamp,
    models: HashMap<Box<str>, Served>,
}

#[derive(Debug, Default)]
struct Served {
    by: HashMap<KeyId, u64>,
    sums: Option<Sums>,
}

/// What all clients together may claim.
#[derive(Debug, Clone, Copy)]
struct Sums {
    at: Timestamp,
    capacity: u64,
    /// Of those seen lately.
    weight: u64,
    /// In percent.
    reserved: u64,
    /// What is reserved and was not used yet; the rest of what is not used yet of fair shares.
    held: [u64; 2],
}

impl Shares {
    /// Counts requests, before their answers are known.
    pub(super) fn count(&mut self, model: &str, client: KeyId, requests: u64, now: Timestamp) -> bool {
        self.roll(now);
        if !self.models.contains_key(model) && self.models.len() >= MODELS {
            return false;
        }
        *self.models.entry(model.into()).or_default().by.entry(client).or_default() += requests;
        true
    }

    /// They were not answered.
    pub(super) fn discount(&mut self, model: &str, client: KeyId, requests: u64) {
        if let Some(count) = self.models.get_mut(model).and_then(|served| served.by.get_mut(&client)) {
            *count = count.saturating_sub(requests);
        }
    }

    /// Whether a client has had its share, and more would be at the cost of others: until when, and what its share is.
    pub(super) fn refuses(
        &mut self,
        (model, client): (&str, &Client),
        (clients, accounts): (&Clients, &HashMap<KeyId, Account>),
        room: Room,
        now: Timestamp,
    ) -> Option<(Timestamp, u64)> {
        self.roll(now);
        let served = self.models.get_mut(model)?;
        let sums = match served.sums {
            Some(sums) if clients.len() > MANY && sums.is_good(room.capacity, now) => sums,
            _ => Sums::of(&served.by, clients, accounts, room.capacity, now),
        };
        served.sums = Some(sums);
        let used = |client: &Client| served.by.get(&client.id()).copied().unwrap_or(0);
        let own = used(client);
        let [_, share] = sums.shares(client);
        if own < share {
            return None;
        }
        // Nothing of either sum is its own: it has used up its share.
        let [reserved, fair] = sums.held;
        if reserved + fair == 0 {
            return None;
        }
        let ends = self.ends;
        let day = u64::try_from(Duration::from_secs(86_400).as_millis()).unwrap_or(u64::MAX);
        let Some(free) = room.left.checked_sub(reserved).filter(|free| *free > 0) else {
            return Some((ends, share));
        };
        if fair == 0 {
            return None;
        }
        // It is served once so little of the day is left that less than `free` is held.
        let left = (u128::from(free) * u128::from(day)).saturating_sub(1) / u128::from(fair);
        let at = ends - Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX));
        (at > now).then_some((at, share))
    }

    fn roll(&mut self, now: Timestamp) {
        if self.ends <= now {
            *self = Self { ends: now.next_pacific_midnight(), models: HashMap::new() };
        }
    }
}

impl Sums {
    fn of(
        by: &HashMap<KeyId, u64>,
        clients: &Clients,
        accounts: &HashMap<KeyId, Account>,
        capacity: u64,
        now: Timestamp,
    ) -> Self {
        let lately =
            |client: &Client| accounts.get(&client.id()).is_some_and(|account| account.seen + LATELY > now);
        let reserved = clients.iter().map(|client| u64::from(client.settings.reserve)).sum();
        let seen = clients.iter().filter(|client| lately(client));
        let weight = seen.map(|client| u64::from(client.settings.weight)).sum::<u64>().max(1);
        let mut sums = Self { at: now, capacity, weight, reserved, held: [0, 0] };
        for client in clients.iter() {
            let used = by.get(&client.id()).copied().unwrap_or(0);
            let [reserve, share] = sums.shares(client);
            sums.held[0] += reserve.saturating_sub(used);
            if lately(client) {
                sums.held[1] += share.saturating_sub(used.max(reserve));
            }
        }
        sums
    }

    /// Whether it is still to be gone by.
    fn is_good(&self, capacity: u64, now: Timestamp) -> bool {
        self.capacity == capacity && self.at <= now && self.at + SUMMED > now
    }

    /// What is reserved for a client, and all of its share.
    fn shares(&self, client: &Client) -> [u64; 2] {
        // More than all cannot be kept.
        let whole = self.reserved.max(100);
        let part = |of: u64, part: u64, whole: u64| {
            u64::try_from(u128::from(of) * u128::from(part) / u128::from(whole)).unwrap_or(u64::MAX)
        };
        let reserve = part(self.capacity, u64::from(client.settings.reserve), whole);
        let open = self.capacity - part(self.capacity, self.reserved.min(whole), whole);
        [reserve, reserve + part(open, u64::from(client.settings.weight), self.weight)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::ClientSettings;
    use crate::secret::ApiKey;

    const MIDNIGHT: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    /// Clients by name, weight and reserve; all but those of which `asleep` says so were seen.
    struct Scene {
        clients: Clients,
        accounts: HashMap<KeyId, Account>,
        shares: Shares,
        capacity: u64,
        left: u64,
    }

    impl Scene {
        fn new(capacity: u64, clients: &[(&str, u16, u8)], asleep: &[&str]) -> Self {
            let client = |&(name, weight, reserve): &(&str, u16, u8)| {
                Client::new(
                    ApiKey::new(name),
                    ClientSettings { weight, reserve, ..ClientSettings::default() },
                )
            };
            let seen = clients.iter().filter(|(name, ..)| !asleep.contains(name));
            let account = |&(name, ..): &(&str, u16, u8)| {
                let mut account = Account::default();
                account.seen = MIDNIGHT;
                (ApiKey::new(name).id(), account)
            };
            Self {
                clients: clients.iter().map(client).collect(),
                accounts: seen.map(account).collect(),
                shares: Shares::default(),
                capacity,
                left: capacity,
            }
        }

        /// Asks until it is refused; how often it was served, and until when it is refused.
        fn takes(&mut self, name: &str, most: u64, now: Timestamp) -> (u64, Option<Timestamp>) {
            let id = ApiKey::new(name).id();
            let client = self.clients.find(id).cloned().expect("it is known");
            for served in 0..most {
                let room = Room { capacity: self.capacity, left: self.left };
                let asked = ("m", &*client);
                if let Some((until, _)) =
                    self.shares.refuses(asked, (&self.clients, &self.accounts), room, now)
                {
                    return (served, Some(until));
                }
                if self.left == 0 {
                    return (served, None);
                }
                self.shares.count("m", id, 1, now);
                self.left -= 1;
            }
            (most, None)
        }
    }

    #[test]
    fn nobody_takes_the_day_before_the_others_wake() {
        let mut scene = Scene::new(1_000, &[("greedy", 1, 0), ("late", 1, 0)], &[]);
        let (served, until) = scene.takes("greedy", 2_000, MIDNIGHT);
        assert_eq!(served, 500, "its half");
        let until = until.expect("it is told when");
        assert_eq!(scene.takes("greedy", 1, until - Duration::from_millis(1)).0, 0, "not before");
        assert_eq!(scene.takes("greedy", 1, until).0, 1, "but then");
        let noon = MIDNIGHT + 12 * HOUR;
        assert_eq!(scene.takes("greedy", 2_000, noon).0, 249, "half of the other's half");
        assert_eq!(scene.takes("late", 2_000, noon).0, 250, "the rest is the other's");
    }

    #[test]
    fn what_nobody_comes_for_is_used_up_by_the_end_of_the_day() {
        let mut scene = Scene::new(1_000, &[("greedy", 1, 0), ("late", 1, 0)], &[]);
        let all: u64 =
            (0..24).map(|hour| scene.takes("greedy", 2_000, MIDNIGHT + hour * HOUR).0).sum::<u64>()
                + scene.takes("greedy", 2_000, MIDNIGHT + 24 * HOUR - Duration::from_secs(60)).0;
        assert_eq!(all, 1_000);
        assert_eq!(scene.shares.models.len(), 1);
    }

    #[test]
    fn one_client_alone_is_not_bound() {
        let mut scene = Scene::new(100, &[("only", 1, 0)], &[]);
        assert_eq!(scene.takes("only", 1_000, MIDNIGHT), (100, None));
        let mut scene = Scene::new(100, &[("only", 1, 0), ("never seen", 1, 0)], &["never seen"]);
        assert_eq!(scene.takes("only", 1_000, MIDNIGHT), (100, None));
    }

    #[test]
    fn what_is_reserved_is_kept_all_day() {
        let clients = [("greedy", 1, 0), ("reserved", 1, 20)];
        let mut scene = Scene::new(1_000, &clients, &["reserved"]);
        let late = MIDNIGHT + 23 * HOUR;
        let (served, until) = scene.takes("greedy", 2_000, late);
        assert_eq!((served, until), (800, Some(MIDNIGHT + 24 * HOUR)));
        assert_eq!(scene.takes("reserved", 2_000, late).0, 200);
    }

    #[test]
    fn shares_go_by_weight() {
        let mut scene = Scene::new(1_000, &[("light", 1, 0), ("heavy", 3, 0)], &[]);
        assert_eq!(scene.takes("light", 2_000, MIDNIGHT).0, 250);
        assert_eq!(scene.takes("heavy", 2_000, MIDNIGHT).0, 750);
        assert_eq!(scene.left, 0);
    }
}
