//! Several proxies to Gemini: each project keeps to one, and a proxy that fails is left out for a while.
//!
//! Which one is a project's is found by rendezvous hashing: every pair of project and proxy has a score, the highest
//! wins. So it is the same after a restart, and a proxy that comes or goes moves only its own projects. A proxy that
//! cannot be connected through is the one to blame: no key hears of it as long as another proxy leads to Google.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use libra_core::config::ProxyAddress;
use libra_core::gateway::Gateway;
use libra_core::secret::KeyId;

use crate::upstream::{CONNECT_TIMEOUT, HttpClient};

/// How long a proxy is left out when it has failed; twice as long each further time, up to the longest.
const REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(300);

/// So many ways a request tries: a chain of dead proxies costs each its time.
pub(crate) const WAYS: usize = 3;

/// The ways to Gemini.
pub(crate) struct Egress {
    gateway: Arc<Gateway>,
    several: Vec<Arc<Way>>,
    /// The proxies that projects name for themselves, those that were asked for.
    named: RwLock<Vec<Arc<Way>>>,
    client: Box<dyn Fn(&ProxyAddress) -> HttpClient + Send + Sync>,
}

/// A proxy, its connections, and how it is.
pub(crate) struct Way {
    pub(crate) client: HttpClient,
    address: ProxyAddress,
    hash: u64,
    health: Mutex<Health>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Health {
    failures: u32,
    /// Left out until then; when it is over, one request tries.
    until: Option<Instant>,
}

impl Egress {
    /// `gateway` says whose a request is, `client` makes connections through a proxy.
    pub(crate) fn new(
        gateway: &Arc<Gateway>,
        several: &[ProxyAddress],
        client: impl Fn(&ProxyAddress) -> HttpClient + Send + Sync + 'static,
    ) -> Self {
        let several = several.iter().map(|address| Way::new(address, client(address))).collect();
        Self { gateway: Arc::clone(gateway), several, named: RwLock::default(), client: Box::new(client) }
    }

    /// The ways for a request with this key, the best first. None: the usual one.
    pub(crate) fn ways(&self, key: KeyId) -> Vec<Arc<Way>> {
        let (project, own) = self.gateway.way(key);
        if let Some(own) = own {
            return vec![self.named(&own)];
        }
        if self.several.is_empty() {
            return Vec::new();
        }
        let hashes: Vec<u64> = self.several.iter().map(|way| way.hash).collect();
        let now = Instant::now();
        let mut ways: Vec<_> = ranked(project, &hashes).into_iter().map(|at| &self.several[at]).collect();
        // The order among the well and among the others stays.
        ways.sort_by_key(|way| way.is_left_out(now));
        ways.into_iter().take(WAYS).map(Arc::clone).collect()
    }

    /// The way through a proxy that a project has of its own. Settings may name others while the gateway runs.
    fn named(&self, address: &ProxyAddress) -> Arc<Way> {
        let known = |ways: &[Arc<Way>]| ways.iter().find(|way| way.address == *address).map(Arc::clone);
        // Each change is whole.
        if let Some(way) = known(&self.named.read().unwrap_or_else(PoisonError::into_inner)) {
            return way;
        }
        let mut ways = self.named.write().unwrap_or_else(PoisonError::into_inner);
        known(&ways).unwrap_or_else(|| {
            let config = self.gateway.config();
            ways.retain(|way| {
                config.projects.iter().any(|project| project.proxy.as_ref() == Some(&way.address))
            });
            ways.push(Way::new(address, (self.client)(address)));
            Arc::clone(&ways[ways.len() - 1])
        })
    }
}

impl Way {
    fn new(address: &ProxyAddress, client: HttpClient) -> Arc<Self> {
        let hash = hash(address.to_string().as_bytes());
        Arc::new(Self { client, address: address.clone(), hash, health: Mutex::default() })
    }

    fn is_left_out(&self, now: Instant) -> bool {
        self.health().until.is_some_and(|until| now < until)
    }

    /// A request goes this way. After a failure one does so at a time.
    pub(crate) fn begin(&self) {
        let mut health = self.health();
        if health.until.is_some() {
            health.until = Some(Instant::now() + CONNECT_TIMEOUT);
        }
    }

    /// It led to an answer.
    pub(crate) fn worked(&self) {
        let mut health = self.health();
        if health.failures > 0 {
            tracing::info!("the proxy {} works again", self.address);
            *health = Health::default();
        }
    }

    /// No connection could be made through it.
    pub(crate) fn failed(&self, reason: &str) {
        let mut health = self.health();
        let rest = rest(health.failures);
        health.failures = health.failures.saturating_add(1);
        health.until = Some(Instant::now() + rest);
        tracing::warn!("the proxy {} fails and is left out for {} s: {reason}", self.address, rest.as_secs());
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        // Each change is whole.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a proxy is left out that has failed so often before.
fn rest(failures: u32) -> Duration {
    REST.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(LONGEST_REST)
}

/// The places of the proxies, by their score for a project, the highest first.
fn ranked(project: u64, proxies: &[u64]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..proxies.len()).collect();
    places.sort_by_key(|place| std::cmp::Reverse(mixed(project ^ mixed(proxies[*place]))));
    places
}

/// FNV-1a: the same on every machine and in every version.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// SplitMix64's finalizer: spreads every bit over all.
fn mixed(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_comes_or_goes_moves_only_its_own_projects() {
        let proxies: Vec<u64> = (0..5).map(|n| hash(format!("http://proxy-{n}:3128").as_bytes())).collect();
        let mut of_each = [0; 5];
        for project in (0..10_000).map(mixed) {
            let all = ranked(project, &proxies);
            of_each[all[0]] += 1;
            let without_last = ranked(project, &proxies[..4]);
            assert!(all[0] == 4 || all[0] == without_last[0], "it kept its proxy");
            assert_eq!(without_last[0], *all.iter().find(|place| **place != 4).expect("another"));
        }
        assert!(of_each.iter().all(|projects| (1800..2200).contains(projects)), "{of_each:?}");
    }

    #[test]
    fn a_failing_proxy_is_left_out_longer_and_longer() {
        let rests: Vec<u64> = (0..9).map(|failures| rest(failures).as_secs()).collect();
        assert_eq!(rests, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(rest(u32::MAX), LONGEST_REST);
    }
}
