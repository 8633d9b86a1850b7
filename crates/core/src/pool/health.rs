//! What is known of a key that is set aside, and of a project's standing with one model.

use std::time::Duration;

use crate::failure::Why;
use crate::time::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How long to the first, second, third and every further probe of a key that is set aside.
const PROBES: [Duration; 4] =
    [Duration::from_secs(600), HOUR, Duration::from_secs(6 * 3600), Duration::from_secs(24 * 3600)];

/// Penalties double from one second; Google's overloads pass within a minute or so.
const LONGEST_PENALTY: Duration = MINUTE;

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

/// A project's standing with one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cell {
    rest_until: Timestamp,
    penalty_until: Timestamp,
    penalties: u32,
}

impl Cell {
    /// Rests at least until then.
    pub(super) fn rest(&mut self, until: Timestamp) {
        self.rest_until = self.rest_until.max(until);
    }

    pub(super) fn rest_until(&self) -> Timestamp {
        self.rest_until
    }

    /// Comes last for a while: 1, 2, 4, … seconds, each between half and one and a half times that long, so
    /// that projects penalised together do not come back together. `chance` is in 0..1.
    pub(super) fn penalise(&mut self, now: Timestamp, chance: f64) {
        let longest = LONGEST_PENALTY.as_secs_f64();
        let wait = f64::from(1_u32 << self.penalties.min(6)).min(longest) * (0.5 + chance);
        self.penalties = self.penalties.saturating_add(1);
        self.penalty_until = self.penalty_until.max(now + Duration::from_secs_f64(wait));
    }

    pub(super) fn penalised(&self, now: Timestamp) -> bool {
        self.penalty_until > now
    }

    /// A good answer ends penalties; a rest ends in its own time.
    pub(super) fn forgive(&mut self) {
        self.penalties = 0;
        self.penalty_until = Timestamp::EPOCH;
    }

    /// Whether the cell says anything that an absent one does not.
    pub(super) fn matters(&self, now: Timestamp) -> bool {
        self.rest_until > now || self.penalty_until > now
    }
}
