//! Requests that wait for their turn.
//!
//! One request never wakes another: on Cloudflare what belongs to one request must not be touched from within another.
//! Whoever looks after the pool leaves a mark, and each request looks for its own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use libra_core::pool::Ticket;

/// The requests that wait, and whether their turn has come.
#[derive(Default)]
pub(crate) struct Waiting(RefCell<HashMap<Ticket, bool>>);

/// One request's wait. Leaves nothing behind when dropped.
pub(crate) struct Wait {
    waiting: Rc<Waiting>,
    ticket: Ticket,
}

impl Waiting {
    pub(crate) fn begin(self: &Rc<Self>, ticket: Ticket) -> Wait {
        self.0.borrow_mut().entry(ticket).or_default();
        Wait { waiting: Rc::clone(self), ticket }
    }

    /// The turn of a ticket has come. Of one that nobody waits with any more, nothing is kept.
    pub(crate) fn mark(&self, ticket: Ticket) {
        if let Some(has_turn) = self.0.borrow_mut().get_mut(&ticket) {
            *has_turn = true;
        }
    }
}

impl Wait {
    pub(crate) fn has_turn(&self) -> bool {
        self.waiting.0.borrow().get(&self.ticket).copied().unwrap_or_default()
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.waiting.0.borrow_mut().remove(&self.ticket);
    }
}
