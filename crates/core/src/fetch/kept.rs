//! What was fetched lately. A conversation names its media again with every turn.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::gemini::remote::Medium;
use crate::time::Timestamp;

/// How long something is kept: longer than a turn takes, and hardly longer than what is there stays the same.
const KEPT: Duration = Duration::from_secs(600);

/// So many are kept; they are looked through one by one.
const MOST: usize = 256;

/// The share of the common memory that they take at most: one part of so many.
pub(crate) const SHARE: u64 = 8;

/// Media by their address, oldest first.
#[derive(Default)]
pub(crate) struct Kept {
    entries: VecDeque<Entry>,
    /// How many bytes they take, and may take.
    size: u64,
    most: u64,
}

struct Entry {
    address: String,
    until: Timestamp,
    medium: Arc<Medium>,
}

impl Kept {
    /// How many media are kept, and how many bytes they take, and may.
    pub(crate) fn sizes(&self) -> [(usize, usize); 2] {
        let bytes = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        [(self.entries.len(), MOST), (bytes(self.size), bytes(self.most))]
    }

    /// Nothing yet, and at most so many bytes.
    pub(crate) fn new(most: u64) -> Self {
        Self { most, ..Self::default() }
    }

    /// What was fetched from an address, if that is not long ago.
    pub(crate) fn find(&mut self, address: &str, now: Timestamp) -> Option<Arc<Medium>> {
        self.forget_old(now);
        let found = self.entries.iter().find(|entry| entry.address == address)?;
        Some(Arc::clone(&found.medium))
    }

    /// Keeps what was fetched; the oldest go where it needs their room.
    pub(crate) fn keep(&mut self, address: String, medium: &Arc<Medium>, now: Timestamp) {
        self.forget_old(now);
        self.entries.retain(|entry| {
            let stays = entry.address != address;
            self.size -= if stays { 0 } else { entry.medium.size() };
            stays
        });
        if medium.size() > self.most {
            return;
        }
        while self.entries.len() >= MOST || self.size + medium.size() > self.most {
            self.forget_oldest();
        }
        self.size += medium.size();
        self.entries.push_back(Entry { address, until: now + KEPT, medium: Arc::clone(medium) });
    }

    fn forget_old(&mut self, now: Timestamp) {
        while self.entries.front().is_some_and(|oldest| oldest.until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.entries.pop_front() {
            self.size -= oldest.medium.size();
        }
    }
}

/// Addresses may be secret.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("entries", &self.entries.len()).field("size", &self.size).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn medium(size: usize) -> Arc<Medium> {
        Arc::new(Medium::new("image/png", "A".repeat(size), Memory::new(1 << 20).share()))
    }

    #[test]
    fn the_oldest_go_first() {
        let mut kept = Kept::new(100);
        kept.keep("a".to_owned(), &medium(40), NOW);
        kept.keep("b".to_owned(), &medium(40), NOW + Duration::from_secs(1));
        kept.keep("a".to_owned(), &medium(60), NOW + Duration::from_secs(2));
        assert_eq!(kept.size, 100);
        kept.keep("c".to_owned(), &medium(40), NOW + Duration::from_secs(3));
        let find = |kept: &mut Kept, address, at| kept.find(address, NOW + at).map(|found| found.size());
        let soon = Duration::from_secs(5);
        assert_eq!(find(&mut kept, "a", soon), Some(60));
        assert_eq!(find(&mut kept, "b", soon), None);
        assert_eq!(find(&mut kept, "c", soon), Some(40));
        kept.keep("large".to_owned(), &medium(101), NOW + soon);
        assert_eq!(find(&mut kept, "large", soon), None);
        assert_eq!(find(&mut kept, "a", Duration::from_secs(602)), None);
        assert_eq!(find(&mut kept, "c", Duration::from_secs(602)), Some(40));
        assert_eq!(find(&mut kept, "c", Duration::from_secs(603)), None);
        assert_eq!((kept.size, kept.entries.len()), (0, 0));
        for number in 0..300 {
            kept.keep(number.to_string(), &medium(0), NOW);
        }
        assert_eq!(kept.entries.len(), MOST);
    }
}
