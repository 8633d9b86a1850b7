//! The shell's clock: `Date.now()` for core, `setTimeout` for waiting.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use libra_core::time::Timestamp;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::JsValue;

use crate::bell::Bell;
use crate::js;

/// Timers reach no further than 24 days; a longer wait is simply taken up again.
const FARTHEST: Duration = Duration::from_secs(24 * 3600);

/// Now. On Cloudflare the clock stands still while code runs, and goes on with every answer of the network.
pub(crate) fn now() -> Timestamp {
    // Milliseconds since the epoch are far below what a float holds exactly.
    Timestamp::from_millis(js_sys::Date::now() as u64)
}

/// A timer that is set up only when it is really waited for: most answers come first.
#[derive(Default)]
pub(crate) struct Sleep(Option<Timer>);

struct Timer {
    id: JsValue,
    set_to: Timestamp,
    bell: Rc<Bell>,
    /// Kept for as long as the timer may call it.
    _ring: Closure<dyn FnMut()>,
}

impl Sleep {
    /// Ready at the deadline. A timer that goes off before it, as it was set for an earlier one, is set anew: so a deadline
    /// that moves with every chunk costs no timer a chunk.
    pub(crate) fn poll_until(&mut self, deadline: Timestamp, context: &Context<'_>) -> Poll<()> {
        loop {
            let now = now();
            if deadline <= now {
                self.0 = None;
                return Poll::Ready(());
            }
            let timer = match &self.0 {
                Some(timer) if timer.set_to <= deadline => timer,
                _ => self.0.insert(Timer::set(deadline, now)),
            };
            ready!(timer.bell.poll_rung(context));
            self.0 = None;
        }
    }
}

impl Timer {
    fn set(deadline: Timestamp, now: Timestamp) -> Self {
        let (bell, ring) = Bell::with_function();
        // Moments are whole milliseconds: one more, so as not to wake too early.
        let wait = deadline.since(now).min(FARTHEST) + Duration::from_millis(1);
        let id = js::set_timeout(ring.as_ref().unchecked_ref(), wait.as_secs_f64() * 1000.0);
        Self { id, set_to: deadline, bell, _ring: ring }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if !self.bell.is_rung() {
            js::clear_timeout(&self.id);
        }
    }
}
