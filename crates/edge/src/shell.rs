//! What all requests of an isolate share, and the pool's care.
//!
//! An isolate has no background task: what is due is done within requests, when they come and while they wait.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use js_sys::{Array, Function};
use libra_core::fetch::guard::Guard;
use libra_core::gateway::{DueNow, Gateway};
use libra_core::pool::Ticket;
use libra_core::time::Timestamp;
use wasm_bindgen::prelude::JsValue;
use wasm_bindgen_futures::future_to_promise;

use crate::checks;
use crate::log;
use crate::waiting::{Wait, Waiting};

/// So many keys are tried within one request at most: platforms limit how many calls a request may make (Cloudflare's free
/// plan: 50). What is left out counts as tried in vain and comes later.
const PROBES: usize = 5;

/// A request that waits for its turn looks at least this often.
const ROUND: Duration = Duration::from_secs(1);

/// The shared whole.
pub(crate) struct Shell {
    pub(crate) gateway: Arc<Gateway>,
    waiting: Rc<Waiting>,
    guard: Guard,
    /// Whether the platform itself keeps requests out of private networks.
    is_guarded: bool,
}

impl Shell {
    pub(crate) fn new(gateway: Arc<Gateway>, is_guarded: bool) -> Self {
        let guard = Guard::new(&gateway.config().fetch_allow);
        Self { gateway, waiting: Rc::default(), guard, is_guarded }
    }

    /// Does what is due. `wait_until` is the platform's way to let work go on when the request has been answered.
    pub(crate) fn look_after_pool(&self, now: Timestamp, wait_until: Option<&Function>) {
        let mut probes = Vec::new();
        for due in self.gateway.due(now) {
            match due {
                DueNow::Probe(check) => probes.push(check),
                DueNow::Wake(ticket) => self.waiting.mark(ticket),
            }
        }
        log::record(self.gateway.take_events());
        // Nothing here stores or shares them.
        drop(self.gateway.take_changes());
        probes.truncate(PROBES);
        if probes.is_empty() {
            return;
        }
        let probing = future_to_promise(async move {
            checks::probe(probes).await;
            Ok(JsValue::UNDEFINED)
        });
        if let Some(wait_until) = wait_until {
            // A platform that refuses may end the probes with the request: they are then tried again later.
            let _ = wait_until.apply(&JsValue::UNDEFINED, &Array::of1(&probing));
        }
    }

    /// When a request that waits looks again.
    pub(crate) fn next_look(&self, now: Timestamp) -> Timestamp {
        let soonest = now + Duration::from_millis(2);
        self.gateway.next_deadline(now).unwrap_or(now + ROUND).clamp(soonest, now + ROUND)
    }

    /// Begins a wait in the queue.
    pub(crate) fn wait(&self, ticket: Ticket) -> Wait {
        self.waiting.begin(ticket)
    }

    /// Whether media may be fetched from there. Names are looked up by the platform, which only says what came of it: so
    /// nothing is fetched where it does not keep requests out of private networks by itself.
    ///
    /// # Errors
    /// Why not, in words for the client.
    pub(crate) fn may_fetch(&self, address: &Uri) -> Result<(), &'static str> {
        let host = address.host().unwrap_or_default();
        let usual = if address.scheme_str() == Some("https") { 443 } else { 80 };
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if !self.is_guarded && !is_address {
            return Err("where this gateway runs, names of hosts cannot be checked");
        }
        let port = address.port_u16().unwrap_or(usual);
        self.guard.check_unresolved(host, port).map_err(|refused| refused.reason())
    }
}
