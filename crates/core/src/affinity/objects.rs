//! Whose the objects are: the key that made each, and the client.
//!
//! The key stands for its project, as what is known of projects may change: keys are joined and split. A client sees what
//! it made itself. An object that was only looked up has no maker that is known, and is everybody's who knows its name:
//! names cannot be guessed.

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::name::ObjectName;
use crate::pool::StateChange;
use crate::secret::KeyId;
use crate::time::Timestamp;

/// So many objects are remembered, and so many of clients that bring their own keys. One takes some 100 bytes.
pub(crate) const OBJECTS: usize = 200_000;
pub(crate) const GUESTS_OBJECTS: usize = 20_000;

/// So many clients' homes are remembered.
const HOMES: usize = 10_000;

/// A client makes its objects in one project for so long after the last one: as long as Google keeps files.
const AT_HOME: Duration = Duration::from_secs(48 * 60 * 60);

/// What clients make to use it together, and so in one project.
const AT_HOMES: [&str; 2] = ["files", "cachedContents"];

/// So long it is remembered that nobody has an object.
const NOBODYS: Duration = Duration::from_secs(60);

/// So many changes wait to be fetched; beyond, the oldest are dropped, as objects can be looked up.
const MAX_CHANGES: usize = 65_536;

/// Stands for the maker of copies that this gateway has made: nobody's to see.
pub(crate) const COPY: KeyId = KeyId::from_u64(0);

/// What is known of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// A key of the project that it belongs to.
    pub(crate) key: KeyId,
    /// The client that made it, where that is known.
    pub(crate) maker: Option<KeyId>,
}

/// The objects that are known.
#[derive(Debug)]
pub(crate) struct Objects {
    most: usize,
    entries: HashMap<u128, Entry>,
    homes: HashMap<KeyId, (KeyId, Timestamp)>,
    changes: Vec<StateChange>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// None: nobody has it.
    owner: Option<Owner>,
    until: Timestamp,
    /// Until when it is remembered as far as others were told.
    told: Timestamp,
}

impl Objects {
    /// How many objects, homes and changes there are, and may be.
    pub(crate) fn sizes(&self) -> [(usize, usize); 3] {
        [(self.entries.len(), self.most), (self.homes.len(), HOMES), (self.changes.len(), MAX_CHANGES)]
    }

    /// A memory of at most so many objects.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, entries: HashMap::new(), homes: HashMap::new(), changes: Vec::new() }
    }

    /// A key of the project that has this object. `None`: not known. `Some(None)`: nobody had it a moment ago.
    pub(crate) fn find(&mut self, name: &ObjectName, now: Timestamp) -> Option<Option<Owner>> {
        let entry = self.entries.get_mut(&digest(name)).filter(|entry| entry.until > now)?;
        let Some(owner) = entry.owner else { return Some(None) };
        entry.until = entry.until.max(now + name.remembered());
        if entry.until.since(entry.told) > name.remembered() / 4 {
            entry.told = entry.until;
            let until = entry.until;
            self.tell(name, owner, until);
        }
        Some(Some(owner))
    }

    /// A key has shown that its project has this object. Who made it counts for ever; who only sees it is no maker.
    pub(crate) fn learn(&mut self, name: &ObjectName, key: KeyId, maker: Option<KeyId>, now: Timestamp) {
        let known = self.find(name, now).flatten();
        let maker = known.and_then(|known| known.maker).or(maker);
        let owner = Owner { key: known.map_or(key, |known| known.key), maker };
        let until = now + name.remembered();
        if known != Some(owner) {
            self.put(name, Entry { owner: Some(owner), until, told: until }, now);
            self.tell(name, owner, until);
        }
    }

    fn tell(&mut self, name: &ObjectName, owner: Owner, until: Timestamp) {
        let Owner { key, maker } = owner;
        self.note(StateChange::Object { object: name.as_str().into(), key, maker, until });
    }

    fn note(&mut self, change: StateChange) {
        if self.changes.len() >= MAX_CHANGES {
            self.changes.drain(..MAX_CHANGES / 2);
        }
        self.changes.push(change);
    }

    /// An object that goes by another name now.
    pub(crate) fn forget(&mut self, name: &ObjectName) {
        if self.entries.remove(&digest(name)).is_some() {
            self.note(StateChange::Forgotten { object: name.as_str().into() });
        }
    }

    /// No project has this object.
    pub(crate) fn nobodys(&mut self, name: &ObjectName, now: Timestamp) {
        self.put(name, Entry { owner: None, until: now + NOBODYS, told: Timestamp::EPOCH }, now);
    }

    /// Takes in what another instance, or this one before a restart, has learned.
    pub(crate) fn apply(&mut self, name: &ObjectName, owner: Owner, until: Timestamp, now: Timestamp) {
        if until <= now {
            return;
        }
        let entry = self.entries.get(&digest(name));
        let maker = entry.and_then(|entry| entry.owner?.maker).or(owner.maker);
        let until = entry.filter(|entry| entry.owner.is_some()).map_or(until, |entry| entry.until.max(until));
        self.put(name, Entry { owner: Some(Owner { maker, ..owner }), until, told: until }, now);
        // Its maker lives there, unless it has made another one elsewhere since.
        let lives_until = until - name.remembered() + AT_HOME;
        let settles = AT_HOMES.contains(&name.collection()) && lives_until > now;
        let home = owner.maker.filter(|maker| settles && *maker != COPY);
        if let Some(maker) = home
            && self.homes.get(&maker).is_none_or(|(_, until)| *until < lives_until)
            && self.homes.len() < HOMES
        {
            self.homes.insert(maker, (owner.key, lives_until));
        }
    }

    /// What was learned since this was last asked.
    pub(crate) fn take_changes(&mut self) -> Vec<StateChange> {
        std::mem::take(&mut self.changes)
    }

    /// A key of the project in which a client makes its objects, so that it can use them together.
    pub(crate) fn home(&self, client: KeyId, now: Timestamp) -> Option<KeyId> {
        let (key, until) = self.homes.get(&client)?;
        (*until > now).then_some(*key)
    }

    /// A client is about to make an object with this key, or has one there: from now on it makes all in its project. Who
    /// has a home keeps it, but for one that could not serve (`instead_of`). Gives the home's key.
    pub(crate) fn settle(
        &mut self,
        client: KeyId,
        key: KeyId,
        instead_of: Option<KeyId>,
        now: Timestamp,
    ) -> KeyId {
        let key = self.home(client, now).filter(|home| instead_of != Some(*home)).unwrap_or(key);
        if self.homes.len() >= HOMES && !self.homes.contains_key(&client) {
            self.homes.retain(|_, (_, until)| *until > now);
            if self.homes.len() >= HOMES {
                self.homes.clear();
            }
        }
        self.homes.insert(client, (key, now + AT_HOME));
        key
    }

    /// The project of a client's objects has no room for what it asks: the next ones are made elsewhere.
    pub(crate) fn move_out(&mut self, client: KeyId) {
        self.homes.remove(&client);
    }

    fn put(&mut self, name: &ObjectName, entry: Entry, now: Timestamp) {
        let digest = digest(name);
        if self.entries.len() >= self.most && !self.entries.contains_key(&digest) {
            self.entries.retain(|_, entry| entry.until > now);
            if self.entries.len() >= self.most {
                self.make_room();
            }
        }
        self.entries.insert(digest, entry);
    }

    /// Forgets the quarter that would end first.
    fn make_room(&mut self) {
        let mut ends: Vec<Timestamp> = self.entries.values().map(|entry| entry.until).collect();
        let (_, quarter, _) = ends.select_nth_unstable(self.most / 4);
        let quarter = *quarter;
        let mut room = self.most / 4 + 1;
        self.entries.retain(|_, entry| {
            let goes = entry.until <= quarter && room > 0;
            room -= usize::from(goes);
            !goes
        });
    }
}

/// What stands for a name in memory: 128 bits of a hash, as names are long and clients choose some of them.
fn digest(name: &ObjectName) -> u128 {
    let digest = Sha256::digest(name.as_str().as_bytes());
    u128::from_be_bytes(digest[..16].try_into().expect("a SHA-256 has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ApiKey;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn name(text: &str) -> ObjectName {
        ObjectName::of_text(text, |_| false).expect("a name")
    }

    fn key(text: &str) -> KeyId {
        ApiKey::new(text).id()
    }

    #[test]
    fn the_first_maker_counts() {
        let mut objects = Objects::new(10);
        let file = name("files/a");
        assert_eq!(objects.find(&file, NOW), None);
        objects.nobodys(&file, NOW);
        assert_eq!(objects.find(&file, NOW), Some(None));
        assert_eq!(objects.find(&file, NOW + NOBODYS), None);
        objects.learn(&file, key("k"), None, NOW);
        assert_eq!(objects.find(&file, NOW), Some(Some(Owner { key: key("k"), maker: None })));
        objects.learn(&file, key("k"), Some(key("anna")), NOW);
        objects.learn(&file, key("k"), Some(key("bert")), NOW);
        assert_eq!(objects.find(&file, NOW), Some(Some(Owner { key: key("k"), maker: Some(key("anna")) })));
        assert_eq!(objects.take_changes().len(), 2);
        assert_eq!(objects.find(&file, NOW + file.remembered() * 2), None, "it is forgotten in time");
    }

    #[test]
    fn what_was_learned_can_be_carried() {
        let (mut one, mut other) = (Objects::new(10), Objects::new(10));
        let file = name("files/a");
        one.learn(&file, key("k"), Some(key("anna")), NOW);
        for change in one.take_changes() {
            let StateChange::Object { object, key, maker, until } = change else { panic!("{change:?}") };
            other.apply(&name(&object), Owner { key, maker }, until, NOW);
        }
        assert_eq!(other.find(&file, NOW), one.find(&file, NOW));
        assert_eq!(other.home(key("anna"), NOW), Some(key("k")), "the next ones are made beside it");
        assert_eq!(other.home(key("anna"), NOW + AT_HOME), None);
    }

    #[test]
    fn what_is_used_is_remembered_longer_elsewhere_too() {
        let mut objects = Objects::new(10);
        let store = name("fileSearchStores/a");
        objects.learn(&store, key("k"), None, NOW);
        assert_eq!(objects.take_changes().len(), 1);
        let days = |days: u64| NOW + Duration::from_secs(days * 86_400);
        for (day, told) in [(1, 0), (99, 0), (101, 1), (102, 0)] {
            objects.find(&store, days(day));
            assert_eq!(objects.take_changes().len(), told, "day {day}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut objects = Objects::new(100);
        for number in 0..1_000 {
            objects.learn(
                &name(&format!("files/f{number}")),
                key("k"),
                None,
                NOW + Duration::from_secs(number),
            );
            assert!(objects.entries.len() <= 100);
        }
        let last = NOW + Duration::from_secs(999);
        assert!(objects.find(&name("files/f999"), last).is_some(), "the old ones go");
        assert!(objects.find(&name("files/f1"), last).is_none());
    }

    #[test]
    fn a_client_has_one_home() {
        let mut objects = Objects::new(10);
        assert_eq!(objects.home(key("anna"), NOW), None);
        assert_eq!(objects.settle(key("anna"), key("k"), None, NOW), key("k"));
        assert_eq!(objects.settle(key("anna"), key("other"), None, NOW), key("k"), "who was first");
        assert_eq!(objects.home(key("anna"), NOW), Some(key("k")));
        assert_eq!(objects.home(key("anna"), NOW + AT_HOME), None);
        assert_eq!(objects.settle(key("anna"), key("new"), Some(key("k")), NOW), key("new"));
        assert_eq!(
            objects.settle(key("anna"), key("newer"), Some(key("k")), NOW),
            key("new"),
            "it has moved"
        );
        objects.move_out(key("anna"));
        assert_eq!(objects.home(key("anna"), NOW), None);
    }
}
