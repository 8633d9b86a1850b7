//! A client that leaves.

use std::rc::Rc;
use std::task::{Context, Poll};

use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;
use web_sys::AbortSignal;

use crate::bell::Bell;

/// Tells when the client of a request leaves, where the platform says so by the request's signal.
pub(crate) struct Leaving {
    signal: AbortSignal,
    bell: Rc<Bell>,
    ring: Closure<dyn FnMut()>,
}

impl Leaving {
    pub(crate) fn of(signal: AbortSignal) -> Self {
        let (bell, ring) = Bell::with_function();
        if signal.aborted() {
            bell.ring();
        }
        // A platform whose signals cannot be listened to tells of leaving by cancelling the answer's stream.
        let _ = signal.add_event_listener_with_callback("abort", ring.as_ref().unchecked_ref());
        Self { signal, bell, ring }
    }

    /// Ready once the client has left.
    pub(crate) fn poll_left(&self, context: &Context<'_>) -> Poll<()> {
        self.bell.poll_rung(context)
    }

    /// The client has left, as something else than the signal says.
    pub(crate) fn left(&self) {
        self.bell.ring();
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let _ = self.signal.remove_event_listener_with_callback("abort", self.ring.as_ref().unchecked_ref());
    }
}
