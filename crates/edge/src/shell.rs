//! What all requests of an isolate share, and the pool's care.
//!
//! An isolate has no background task: what is due is done within requests, when they come and while they wait.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use libra_core::config::{Config, PoolKey};
use libra_core::fetch::guard::Guard;
use libra_core::gateway::{DueNow, Gateway};
use libra_core::pool::Ticket;
use libra_core::time::Timestamp;
use wasm_bindgen::prelude::JsValue;
use wasm_bindgen_futures::future_to_promise;

use crate::checks;
use crate::clock;
use crate::log;
use crate::platform::Platform;
use crate::state::State;
use crate::waiting::{Wait, Waiting};

/// So many keys are tried within one request at most: platforms limit how many calls a request may make (Cloudflare's free
/// plan: 50). What is left out counts as tried in vain and comes later.
const PROBES: usize = 5;

/// A request that waits for its turn looks at least this often.
const ROUND: Duration = Duration::from_secs(1);

/// The shared whole.
pub(crate) struct Shell {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) state: State,
    /// The settings without the keys that are kept elsewhere.
    settings: Arc<Config>,
    waiting: Rc<Waiting>,
    guard: Guard,
    /// Whether the platform itself keeps requests out of private networks.
    is_guarded: bool,
}

impl Shell {
    pub(crate) fn new(gateway: Arc<Gateway>, state: State, is_guarded: bool) -> Self {
        let settings = gateway.config();
        let guard = Guard::new(&settings.fetch_allow);
        Self { gateway, state, settings, waiting: Rc::default(), guard, is_guarded }
    }

    /// Takes in the keys that are kept beside those of the settings, as they are written down. False: they are known.
    pub(crate) fn take_keys(&self, entries: &[String]) -> bool {
        let Some(keys) = self.state.new_keys(entries) else { return false };
        let mut config = (*self.settings).clone();
        for key in keys {
            // A client's key never goes upstream.
            let is_there = |other: &PoolKey| other.key == key.key;
            if !config.clients.contains(&key.key) && !config.keys.iter().any(is_there) {
                config.keys.push(key);
            }
        }
        self.gateway.reconfigure(config, clock::now());
        true
    }

    /// Does what is due. What takes longer than the request goes on where the platform has a way to.
    pub(crate) fn look_after_pool(&self, now: Timestamp, platform: Option<&Platform>) {
        let mut probes = Vec::new();
        for due in self.gateway.due(now) {
            match due {
                DueNow::Probe(check) => probes.push(check),
                DueNow::Wake(ticket) => self.waiting.mark(ticket),
            }
        }
        log::record(self.gateway.take_events());
        probes.truncate(PROBES);
        if probes.is_empty() {
            return;
        }
        let probing = future_to_promise(async move {
            checks::probe(probes).await;
            Ok(JsValue::UNDEFINED)
        });
        if let Some(platform) = platform {
            // Those that end with the request are tried again later.
            platform.keep_up(&probing);
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
