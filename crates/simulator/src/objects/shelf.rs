//! Where objects of one kind are: each belongs to a project, has an age, and may have an end.

use std::collections::BTreeMap;

use crate::answer::hash;
use crate::clock::UnixMillis;
use crate::errors::GoogleError;
use crate::simulator::ProjectId;

/// So many objects of one kind are remembered; the oldest make room. A test has a handful, a trial with many clients a thousand.
const MOST: usize = 4096;

/// Objects of one kind by their full names, `files/abc`.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    kept: BTreeMap<String, Kept<T>>,
    /// How many there ever were; makes names and the order.
    made: u64,
    /// What tells this shelf's names from those of others.
    salt: &'static str,
    most: usize,
}

/// An object with what all objects have.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    pub(crate) project: ProjectId,
    pub(crate) created: UnixMillis,
    pub(crate) updated: UnixMillis,
    /// None: it stays until it is deleted.
    pub(crate) until: Option<UnixMillis>,
    pub(crate) it: T,
    number: u64,
}

/// What part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) size: usize,
    /// Empty: from the start.
    pub(crate) token: String,
}

/// A part of a list: names and objects, and the token of the next part.
pub(crate) type Listed<'a, T> = (Vec<(&'a str, &'a Kept<T>)>, Option<String>);

impl<T> Shelf<T> {
    pub(crate) const fn new(salt: &'static str) -> Self {
        Self::with_most(salt, MOST)
    }

    /// One for objects that are large: so many are remembered.
    pub(crate) const fn with_most(salt: &'static str, most: usize) -> Self {
        Self { kept: BTreeMap::new(), made: 0, salt, most }
    }

    /// A last part for a name that nothing has yet.
    pub(crate) fn id(&self, letters: usize) -> String {
        id_of(&(self.salt, self.made), letters)
    }

    /// Puts an object there. One of the same name goes.
    pub(crate) fn put(
        &mut self,
        name: String,
        project: ProjectId,
        now: UnixMillis,
        until: Option<UnixMillis>,
        it: T,
    ) -> &mut Kept<T> {
        self.sweep(now);
        if self.kept.len() >= self.most
            && let Some(oldest) = self.kept.iter().min_by_key(|(_, kept)| kept.number)
        {
            let oldest = oldest.0.clone();
            self.kept.remove(&oldest);
        }
        self.made += 1;
        let kept = Kept { project, created: now, updated: now, until, it, number: self.made };
        self.kept.remove(&name);
        self.kept.entry(name).or_insert(kept)
    }

    /// The object, if it is there and the project's.
    pub(crate) fn find(&self, project: ProjectId, name: &str, now: UnixMillis) -> Option<&Kept<T>> {
        self.kept.get(name).filter(|kept| kept.project == project && kept.is_there(now))
    }

    /// The same, to change it.
    pub(crate) fn find_mut(
        &mut self,
        project: ProjectId,
        name: &str,
        now: UnixMillis,
    ) -> Option<&mut Kept<T>> {
        self.kept.get_mut(name).filter(|kept| kept.project == project && kept.is_there(now))
    }

    /// Whose an object is.
    pub(crate) fn owner(&self, name: &str, now: UnixMillis) -> Option<ProjectId> {
        self.kept.get(name).filter(|kept| kept.is_there(now)).map(|kept| kept.project)
    }

    /// Whether there is anything of this name, whosever it is.
    pub(crate) fn has(&self, name: &str, now: UnixMillis) -> bool {
        self.kept.get(name).is_some_and(|kept| kept.is_there(now))
    }

    /// Takes the object away, if it is there and the project's.
    pub(crate) fn remove(&mut self, project: ProjectId, name: &str, now: UnixMillis) -> Option<Kept<T>> {
        self.find(project, name, now)?;
        self.kept.remove(name)
    }

    /// All of a project whose names begin so.
    pub(crate) fn below(&self, project: ProjectId, start: &str, now: UnixMillis) -> Vec<(&str, &Kept<T>)> {
        let is_below = |(name, kept): &(&String, &Kept<T>)| {
            kept.project == project && kept.is_there(now) && name.starts_with(start)
        };
        self.kept.iter().filter(is_below).map(|(name, kept)| (name.as_str(), kept)).collect()
    }

    /// Takes away all of a project whose names begin so.
    pub(crate) fn remove_below(&mut self, project: ProjectId, start: &str) {
        self.kept.retain(|name, kept| kept.project != project || !name.starts_with(start));
    }

    /// The project's objects directly under `parent` (`files/`), the newest first.
    pub(crate) fn list(
        &self,
        project: ProjectId,
        parent: &str,
        page: &Page,
        now: UnixMillis,
    ) -> Result<Listed<'_, T>, GoogleError> {
        let before = match page.token.as_str() {
            "" => u64::MAX,
            token => self.number_of(project, token).ok_or_else(|| {
                GoogleError::invalid("Invalid page token. It does not belong to this list of this project.")
            })?,
        };
        let is_child = |name: &str| {
            name.strip_prefix(parent).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
        };
        let mut found: Vec<_> = self
            .kept
            .iter()
            .filter(|(name, kept)| kept.project == project && kept.is_there(now) && is_child(name))
            .filter(|(_, kept)| kept.number < before)
            .map(|(name, kept)| (name.as_str(), kept))
            .collect();
        found.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.number));
        let is_more = found.len() > page.size;
        found.truncate(page.size);
        let next = found.last().filter(|_| is_more).map(|(_, kept)| self.token(project, kept.number));
        Ok((found, next))
    }

    /// How many there are.
    pub(crate) fn len(&self, now: UnixMillis) -> usize {
        self.kept.values().filter(|kept| kept.is_there(now)).count()
    }

    /// All of all projects, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Kept<T>> {
        self.kept.values()
    }

    /// All of all projects, the oldest first.
    pub(crate) fn oldest_first(&mut self) -> Vec<(&str, &mut Kept<T>)> {
        let mut all: Vec<_> = self.kept.iter_mut().map(|(name, kept)| (name.as_str(), kept)).collect();
        all.sort_by_key(|(_, kept)| kept.number);
        all
    }

    fn sweep(&mut self, now: UnixMillis) {
        self.kept.retain(|_, kept| kept.is_there(now));
    }

    /// A token means something to its own project and kind alone, as Google's do.
    fn token(&self, project: ProjectId, number: u64) -> String {
        format!("{}-{number}", id_of(&(self.salt, project), 8))
    }

    fn number_of(&self, project: ProjectId, token: &str) -> Option<u64> {
        let number = token.split_once('-')?.1.parse().ok()?;
        (self.token(project, number) == token).then_some(number)
    }
}

impl<T> Kept<T> {
    fn is_there(&self, now: UnixMillis) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// Small letters and digits that follow from `from`, as the last parts of Google's names have them.
pub(crate) fn id_of(from: &impl std::hash::Hash, letters: usize) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = fastrand::Rng::with_seed(hash(from));
    (0..letters).map(|_| char::from(LETTERS[random.usize(..LETTERS.len())])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ProjectId = ProjectId::Configured(0);
    const TWO: ProjectId = ProjectId::Configured(1);

    fn page(size: usize, token: &str) -> Page {
        Page { size, token: token.to_owned() }
    }

    #[test]
    fn lists_are_the_projects_and_begin_with_the_newest() {
        let mut shelf = Shelf::new("test");
        for number in 0..5 {
            shelf.put(format!("things/{number}"), ONE, 10, None, number);
            shelf.put(format!("things/{number}/parts/p"), ONE, 10, None, number);
            shelf.put(format!("things/other{number}"), TWO, 10, Some(20), number);
        }
        let mut seen = Vec::new();
        let mut token = String::new();
        loop {
            let (listed, next) =
                shelf.list(ONE, "things/", &page(2, &token), 10).expect("the token is the list's");
            assert!(listed.len() <= 2);
            seen.extend(listed.iter().map(|(_, kept)| kept.it));
            let Some(next) = next else { break };
            assert!(shelf.list(TWO, "things/", &page(2, &next), 10).is_err());
            token = next;
        }
        assert_eq!(seen, [4, 3, 2, 1, 0]);
        assert_eq!(shelf.list(TWO, "things/", &page(9, ""), 19).map(|(listed, _)| listed.len()), Ok(5));
        assert_eq!(shelf.list(TWO, "things/", &page(9, ""), 20).map(|(listed, _)| listed.len()), Ok(0));
        assert_eq!(
            shelf.list(ONE, "things/3/parts/", &page(9, ""), 20).map(|(listed, _)| listed.len()),
            Ok(1)
        );
    }

    #[test]
    fn objects_are_their_projects() {
        let mut shelf = Shelf::new("test");
        shelf.put("things/a".to_owned(), ONE, 10, Some(20), ());
        assert!(shelf.find(ONE, "things/a", 19).is_some());
        assert!(shelf.find(TWO, "things/a", 19).is_none());
        assert!(shelf.find(ONE, "things/a", 20).is_none());
        assert!(shelf.remove(TWO, "things/a", 19).is_none());
        assert!(shelf.remove(ONE, "things/a", 19).is_some());
        assert!(!shelf.has("things/a", 19));
    }

    #[test]
    fn the_oldest_make_room() {
        let mut shelf = Shelf::new("test");
        for number in 0..=MOST {
            shelf.put(format!("things/{}", MOST - number), ONE, 0, None, ());
        }
        assert_eq!(shelf.len(0), MOST);
        assert!(!shelf.has(&format!("things/{MOST}"), 0));
    }
}
