//! A call of JavaScript's that a future waits for: a timer that goes off, a client that leaves.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use wasm_bindgen::closure::Closure;

/// Rings once.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Bell {
    /// A bell, and the function that rings it.
    pub(crate) fn with_function() -> (Rc<Self>, Closure<dyn FnMut()>) {
        let bell = Rc::new(Self::default());
        let rung = Rc::clone(&bell);
        (bell, Closure::new(move || rung.ring()))
    }

    pub(crate) fn ring(&self) {
        self.rung.set(true);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn is_rung(&self) -> bool {
        self.rung.get()
    }

    /// Ready once it has rung.
    pub(crate) fn poll_rung(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_rung() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}
