//! One budget for everything that is held in memory for requests: bodies kept for another attempt, and answers
//! held until they are whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The budget. Shared by all exchanges.
#[derive(Debug)]
pub struct Memory {
    limit: u64,
    held: AtomicU64,
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub struct Held {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Memory {
    /// A budget of so many bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, held: AtomicU64::new(0) })
    }

    /// An empty share, to be [grown](Held::grow).
    pub fn share(self: &Arc<Self>) -> Held {
        Held { memory: Arc::clone(self), bytes: 0 }
    }

    /// How many bytes are held now.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

impl Held {
    /// Takes `more` bytes from the budget. False, and nothing taken, where it has not so many left.
    #[must_use]
    pub fn grow(&mut self, more: usize) -> bool {
        let more = more as u64;
        let taken = self.memory.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            held.checked_add(more).filter(|held| *held <= self.memory.limit)
        });
        if taken.is_ok() {
            self.bytes += more;
        }
        taken.is_ok()
    }

    /// How much this share has taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives everything back.
    pub fn release(&mut self) {
        self.memory.held.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_back() {
        let memory = Memory::new(100);
        let mut one = memory.share();
        let mut other = memory.share();
        assert!(one.grow(60) && !other.grow(50) && other.grow(40));
        assert_eq!(memory.held(), 100);
        assert!(!one.grow(usize::MAX));
        drop(one);
        assert_eq!(memory.held(), 40);
        other.release();
        assert_eq!(memory.held(), 0);
    }
}
