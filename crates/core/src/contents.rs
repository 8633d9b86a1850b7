//! What conversations leave behind, as data for a store: signatures of calls, and answers to go on from.
//!
//! Apart from the [changes of the pool](crate::pool::StateChange), as these are what people and models have said: a store
//! has to seal them. Nothing is set aside for a store until one [asks](crate::gateway::Gateway::keep_contents) for it.

pub(crate) mod kept;

use std::collections::VecDeque;

use bytes::Bytes;

pub use self::kept::{ContentName, KeptContent};
use crate::secret::KeyId;
use crate::time::Timestamp;

/// So many entries wait to be fetched, and so many bytes; beyond, the oldest are dropped. A store fetches several times a
/// second, and what is dropped is only missed after a restart.
const ENTRIES: usize = 16_384;
const BYTES: usize = 16 << 20;

/// Something to keep, or to keep no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// What is remembered of a call.
    Call {
        /// What stands for the client and the id of the call.
        name: [u8; 16],
        /// What is known, in a form of this crate's.
        said: Bytes,
    },
    /// An answer, with what it answers.
    Answer {
        /// `resp_…`
        id: Box<str>,
        /// Whose it is.
        client: KeyId,
        /// The answer that it goes on from.
        before: Option<Box<str>>,
        /// How long it can be asked for.
        until: Timestamp,
        /// Whether its client has not deleted it. Others may go on from it all the same.
        shown: bool,
        /// What was asked and answered, in a form of this crate's.
        said: Bytes,
    },
    /// A client has deleted an answer of its own.
    Deleted {
        /// `resp_…`
        id: Box<str>,
    },
}

/// What waits to be fetched.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    /// None: nobody fetches anything.
    waiting: Option<VecDeque<(usize, T)>>,
    bytes: usize,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self { waiting: None, bytes: 0 }
    }
}

impl<T> Outbox<T> {
    /// Somebody fetches what comes from now on.
    pub(crate) fn open(&mut self) {
        self.waiting.get_or_insert_default();
    }

    /// Puts something in that holds so many bytes.
    pub(crate) fn put(&mut self, bytes: usize, make: impl FnOnce() -> T) {
        let Some(waiting) = &mut self.waiting else { return };
        waiting.push_back((bytes, make()));
        self.bytes += bytes;
        while waiting.len() > ENTRIES || self.bytes > BYTES {
            let Some((bytes, _)) = waiting.pop_front() else { break };
            self.bytes -= bytes;
        }
    }

    /// All that waits, in its order.
    pub(crate) fn take(&mut self) -> Vec<T> {
        self.bytes = 0;
        let waiting = self.waiting.as_mut().map(std::mem::take).unwrap_or_default();
        waiting.into_iter().map(|(_, entry)| entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_waits_for_nobody_and_not_too_much_for_somebody() {
        let mut outbox = Outbox::default();
        outbox.put(1, || unreachable!("nobody fetches it"));
        outbox.open();
        for number in 0..ENTRIES + 2 {
            outbox.put(1, || number);
        }
        let taken: Vec<usize> = outbox.take();
        assert_eq!((taken.len(), taken.first()), (ENTRIES, Some(&2)), "the oldest are dropped");
        outbox.put(BYTES - 1, || 1);
        outbox.put(2, || 2);
        assert_eq!(outbox.take(), [2]);
        outbox.put(BYTES + 1, || 3);
        assert_eq!((outbox.take(), outbox.bytes), (vec![], 0));
    }
}
