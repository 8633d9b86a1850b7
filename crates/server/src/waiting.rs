//! Requests that wait for their turn: where the pool task finds whom to wake.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use libra_core::pool::Ticket;
use tokio::sync::Notify;

/// The requests that wait, by ticket.
#[derive(Default)]
pub(crate) struct Waiting {
    tickets: Mutex<HashMap<Ticket, Turn>>,
    changed: Notify,
}

enum Turn {
    /// Not yet: whom to wake.
    Waits(Waker),
    Come,
}

/// One request's wait. Leaves nothing behind when dropped.
pub(crate) struct Wait {
    waiting: Arc<Waiting>,
    ticket: Ticket,
}

impl Waiting {
    /// Begins a wait, and has the pool task look again.
    pub(crate) fn begin(self: &Arc<Self>, ticket: Ticket) -> Wait {
        self.changed.notify_one();
        Wait { waiting: Arc::clone(self), ticket }
    }

    /// Has the pool task look again: there may be room that nobody knew of.
    pub(crate) fn look_again(&self) {
        self.changed.notify_one();
    }

    /// The turn of a ticket has come.
    pub(crate) fn wake(&self, ticket: Ticket) {
        if let Some(Turn::Waits(waker)) = self.tickets().insert(ticket, Turn::Come) {
            waker.wake();
        }
    }

    /// Ready when somebody has begun to wait.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn tickets(&self) -> MutexGuard<'_, HashMap<Ticket, Turn>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wait {
    /// Ready when the turn has come.
    pub(crate) fn poll_turn(&self, context: &Context<'_>) -> Poll<()> {
        let mut tickets = self.waiting.tickets();
        if matches!(tickets.get(&self.ticket), Some(Turn::Come)) {
            return Poll::Ready(());
        }
        tickets.insert(self.ticket, Turn::Waits(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.waiting.tickets().remove(&self.ticket);
    }
}
