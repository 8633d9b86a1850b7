//! An answer that only says that the model spoiled it: kept while others are asked, and given where nobody does better.
//!
//! Google ends such an answer with a reason like `MALFORMED_FUNCTION_CALL` and without content. It is chance, and no
//! fault of the key; and it is an answer all the same, whose reason the client may want to know.

use bytes::Bytes;

use super::attempt::Attempt;
use super::{Single, Step};
use crate::failure;
use crate::time::Timestamp;

/// An answer that will do.
#[derive(Debug)]
pub(super) struct SecondBest {
    attempt: Attempt,
    /// All of it, where it is no stream.
    whole: Option<Bytes>,
}

impl Single {
    /// Takes in a spoiled answer. `whole` is all of it, where it is no stream.
    pub(super) fn spoiled(&mut self, attempt: Attempt, whole: Option<Bytes>, now: Timestamp) {
        let failure = failure::malformed();
        self.budget.learn(&failure);
        self.adds_to_load = true;
        self.note_failure(&attempt, &failure, now);
        self.avoid.extend(attempt.lease.as_ref().and_then(|lease| lease.project()));
        self.failures.push(failure);
        // Of several the last: its key is the one that is still leased.
        self.second_best = Some(SecondBest { attempt, whole });
    }

    /// Gives the second best answer, if there is one.
    pub(super) fn settle_for_second_best(&mut self, now: Timestamp) -> Option<Step> {
        let SecondBest { attempt, whole } = self.second_best.take()?;
        match whole {
            None => self.running.push(attempt),
            Some(body) => self.give(attempt, body, now),
        }
        Some(self.advance(now))
    }
}
