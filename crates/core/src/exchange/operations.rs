//! What a shell has started for an exchange, and what comes of it.

use std::task::{Context, Poll};

use super::{OpId, Outcome};

/// The operations under way, each as a shell has it. Mostly one; a few at most. Dropping one has to break its connection.
#[derive(Debug)]
pub struct Operations<T> {
    running: Vec<(OpId, T)>,
}

impl<T> Operations<T> {
    /// One more.
    pub fn start(&mut self, op: OpId, operation: T) {
        self.running.push((op, operation));
    }

    /// Drops one.
    pub fn cancel(&mut self, op: OpId) {
        self.running.retain(|(running, _)| *running != op);
    }

    /// What comes next of any of them; `poll` asks one. The first that has something is told, in the order in which they
    /// were started.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        poll: impl Fn(&mut T, &mut Context<'_>) -> Poll<Outcome>,
    ) -> Poll<(OpId, Outcome)> {
        for (op, operation) in &mut self.running {
            if let Poll::Ready(outcome) = poll(operation, context) {
                return Poll::Ready((*op, outcome));
            }
        }
        Poll::Pending
    }

    /// The one whose answer was committed. The others are dropped.
    pub fn take(self, op: OpId) -> Option<T> {
        self.running.into_iter().find_map(|(running, operation)| (running == op).then_some(operation))
    }
}

impl<T> Default for Operations<T> {
    fn default() -> Self {
        Self { running: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn operations_are_asked_in_turn_and_known_by_their_numbers() {
        let mut operations = Operations::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut next = |operations: &mut Operations<u8>| {
            // An operation counts what it still has to tell.
            let told = operations.poll_next(&mut context, |left, _| match left.checked_sub(1) {
                Some(less) => {
                    *left = less;
                    Poll::Ready(Outcome::End)
                }
                None => Poll::Pending,
            });
            told.map(|(op, _)| op)
        };
        assert_eq!(next(&mut operations), Poll::Pending);
        for (op, left) in [(1, 0), (2, 1), (3, 1), (4, 5)] {
            operations.start(OpId(op), left);
        }
        operations.cancel(OpId(3));
        let told = [(); 3].map(|()| next(&mut operations));
        assert_eq!(told, [2, 4, 4].map(|op| Poll::Ready(OpId(op))));
        operations.cancel(OpId(2));
        assert_eq!(operations.take(OpId(4)), Some(3));
        assert_eq!(Operations::<u8>::default().take(OpId(1)), None);
    }
}
