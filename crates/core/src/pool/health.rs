//! What is known of a key that is set aside.

use std::time::Duration;

use crate::failure::Why;
use crate::time::Timestamp;

const HOUR: Duration = Duration::from_secs(3600);

/// How long to the first, second, third and every further probe of a key that is set aside.
const PROBES: [Duration; 4] =
    [Duration::from_secs(600), HOUR, Duration::from_secs(6 * 3600), Duration::from_secs(24 * 3600)];

/// A key that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SetAside {
    pub(super) why: Why,
    pub(super) since: Timestamp,
    /// When to try it again; never, where only a person can say.
    pub(super) probe_at: Timestamp,
}

impl SetAside {
    /// `probes` says how often the key was probed since it last served.
    pub(super) fn new(why: Why, since: Timestamp, probes: usize) -> Self {
        let probe_at = match why {
            Why::Leaked => Timestamp::NEVER,
            Why::Invalid | Why::Unauthenticated | Why::Suspended | Why::Restricted => {
                next_probe(since, probes)
            }
        };
        Self { why, since, probe_at }
    }

    /// Plans the next probe.
    pub(super) fn postpone(&mut self, now: Timestamp, probes: usize) {
        self.probe_at = next_probe(now, probes);
    }
}

fn next_probe(now: Timestamp, probes: usize) -> Timestamp {
    now + PROBES[probes.min(PROBES.len() - 1)]
}
