//! Failures of many projects at once: one event, not many faults.
//!
//! Where several projects fail alike and none succeeds in between, the fault is not theirs: it is the model's
//! (overload), or it lies between here and Google (network, region, an incident). The level that is to blame is
//! paused; when the pause is over one request tries, and the others wait for how it fares.

use std::time::Duration;

use super::LeaseId;
use crate::time::Timestamp;

/// Within this time.
const TOGETHER: Duration = Duration::from_secs(10);

/// A request that tries is waited for so long; then another may. An overloaded model is slow to say so.
const TRIAL: Duration = Duration::from_secs(10);

/// A broken way to Google mostly shows at once. Who has heard nothing after this is likely to be through, and an answer
/// may take long: so another may try, and the first word of any of them ends the pause.
const EGRESS_TRIAL: Duration = Duration::from_millis(500);

/// So many requests at most try at once, and fail if the way is still broken.
const TRIALS: usize = 8;

/// While one tries, the others look again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What is known of one level.
#[derive(Debug)]
pub(super) struct Incident {
    /// So many different projects have to fail, and none succeed in between.
    threshold: usize,
    shortest: Duration,
    longest: Duration,
    /// The different projects that failed since the last success.
    projects: Vec<u32>,
    last_failure: Timestamp,
    /// How often the pause was prolonged; 0: there is none.
    level: u32,
    until: Timestamp,
    /// How long a request that tries is waited for before another may, too.
    patience: Duration,
    /// The requests that try, and since when.
    trials: Vec<(LeaseId, Timestamp)>,
}

/// Whether a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// It may.
    Open,
    /// It may, to see whether the pause can end: see [`Incident::try_with`].
    Trial,
    /// Not before then.
    Closed(Timestamp),
}

impl Incident {
    /// For an overloaded model: pauses from half a second to four. An overload is seldom total, and each request
    /// that is let through may be the one that finds room.
    pub(super) fn of_model() -> Self {
        Self::new(6, Duration::from_millis(500), Duration::from_secs(4), TRIAL)
    }

    /// For the way to Google: short pauses, so that the full rate is back within seconds of its end.
    pub(super) fn of_egress() -> Self {
        Self::new(3, Duration::from_millis(500), Duration::from_secs(1), EGRESS_TRIAL)
    }

    fn new(threshold: usize, shortest: Duration, longest: Duration, patience: Duration) -> Self {
        Self {
            threshold,
            shortest,
            longest,
            projects: Vec::new(),
            last_failure: Timestamp::EPOCH,
            level: 0,
            until: Timestamp::EPOCH,
            patience,
            trials: Vec::new(),
        }
    }

    /// A project has failed at this level. `chance` is in 0..1. Whether this opens a pause.
    pub(super) fn failed(&mut self, project: u32, chance: f64, now: Timestamp) -> bool {
        if self.level == 0 && now.since(self.last_failure) > TOGETHER {
            self.projects.clear();
        }
        self.last_failure = now;
        if !self.projects.contains(&project) && self.projects.len() < self.threshold {
            self.projects.push(project);
        }
        // What was under way when the pause began says nothing new.
        if self.projects.len() < self.threshold || (self.level > 0 && now < self.until) {
            return false;
        }
        let opened = self.level == 0;
        let pause =
            self.shortest.as_secs_f64() * f64::from(1_u32 << self.level.min(6)) * (0.75 + chance / 2.0);
        self.level += 1;
        self.until = now + Duration::from_secs_f64(pause.min(self.longest.as_secs_f64()));
        self.trials.clear();
        opened
    }

    /// Some project has succeeded: there is no incident.
    pub(super) fn succeeded(&mut self) {
        self.projects.clear();
        self.level = 0;
        self.until = Timestamp::EPOCH;
        self.trials.clear();
    }

    /// The request that tried has ended, with or without a word about the level.
    pub(super) fn ended(&mut self, lease: LeaseId) {
        self.trials.retain(|(trial, _)| *trial != lease);
    }

    pub(super) fn gate(&self, now: Timestamp) -> Gate {
        match (self.level, self.trials.last()) {
            (0, _) => Gate::Open,
            _ if now < self.until => Gate::Closed(self.until),
            (_, Some(&(_, since))) if now.since(since) < self.wait() => Gate::Closed(now + LOOK_AGAIN),
            _ => Gate::Trial,
        }
    }

    /// How long the last request that tries is waited for.
    fn wait(&self) -> Duration {
        if self.trials.len() < TRIALS { self.patience } else { TRIAL }
    }

    /// This request tries.
    pub(super) fn try_with(&mut self, lease: LeaseId, now: Timestamp) {
        if self.trials.len() >= TRIALS {
            self.trials.remove(0);
        }
        self.trials.push((lease, now));
    }

    /// Whether there is anything to remember.
    pub(super) fn matters(&self, now: Timestamp) -> bool {
        self.level > 0 || now.since(self.last_failure) <= TOGETHER
    }

    /// The end of the pause, while there is one.
    pub(super) fn paused_until(&self) -> Option<Timestamp> {
        (self.level > 0).then_some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn three_projects_make_an_incident_and_a_success_ends_it() {
        let mut incident = Incident::of_egress();
        assert!(
            !incident.failed(1, 0.5, NOW) && !incident.failed(1, 0.5, NOW) && !incident.failed(2, 0.5, NOW)
        );
        assert_eq!(incident.gate(NOW), Gate::Open);
        incident.succeeded();
        assert!(!incident.failed(3, 0.5, NOW) && !incident.failed(4, 0.5, NOW));
        assert!(incident.failed(5, 0.5, NOW));
        let second = NOW + Duration::from_millis(500);
        assert_eq!(incident.gate(NOW), Gate::Closed(second));
        assert_eq!(incident.gate(second), Gate::Trial);
        incident.try_with(LeaseId(7), second);
        assert_eq!(incident.gate(second), Gate::Closed(second + LOOK_AGAIN));
        assert!(!incident.failed(5, 0.5, second), "prolonged, not opened");
        assert_eq!(incident.gate(second), Gate::Closed(second + Duration::from_secs(1)));
        incident.succeeded();
        assert_eq!(incident.gate(second), Gate::Open);
    }

    #[test]
    fn failures_far_apart_are_no_incident() {
        let mut incident = Incident::of_egress();
        for (project, seconds) in [(1, 0), (2, 11), (3, 22), (4, 33)] {
            assert!(!incident.failed(project, 0.5, NOW + Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn a_trial_that_left_makes_room_for_another() {
        let mut incident = Incident::of_egress();
        for project in 1..=3 {
            incident.failed(project, 0.0, NOW);
        }
        let later = NOW + Duration::from_secs(1);
        incident.try_with(LeaseId(1), later);
        incident.ended(LeaseId(2));
        assert!(matches!(incident.gate(later), Gate::Closed(_)));
        incident.ended(LeaseId(1));
        assert_eq!(incident.gate(later), Gate::Trial);
    }

    #[test]
    fn a_silent_trial_is_not_waited_for_alone_and_trials_are_bounded() {
        let mut incident = Incident::of_egress();
        for project in 1..=3 {
            incident.failed(project, 0.0, NOW);
        }
        let begun = NOW + Duration::from_secs(1);
        let tries = (0..60).filter(|step| {
            let at = begun + Duration::from_millis(step * 100);
            let goes = incident.gate(at) == Gate::Trial;
            if goes {
                incident.try_with(LeaseId(*step), at);
            }
            goes
        });
        assert_eq!(tries.count(), TRIALS, "one every half second, and then no more for a while");
        incident.failed(1, 0.5, begun + Duration::from_secs(9));
        assert!(matches!(incident.gate(begun + Duration::from_secs(9)), Gate::Closed(_)));
    }
}
