//! Runs: one, or many beside each other.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::calendar::Days;
use crate::judge::{self, Verdict};
use crate::load::{self, Arrival};
use crate::record::Record;
use crate::scenario::Scenario;
use crate::world::World;

/// The strategies that were there before quotas were known, for comparison.
pub const CLASSIC: [&str; 4] = ["round-robin", "time-window", "random", "least-used"];

/// One run to make.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// What runs. Of several ways to cut minutes the first counts.
    pub scenario: &'a Scenario,
    /// The gateway's strategy; none: its default.
    pub strategy: Option<&'a str>,
    /// What decides what chance decides.
    pub seed: u64,
}

impl Trial<'_> {
    /// What happens.
    ///
    /// # Errors
    /// A setting or strategy that there is not; a gateway that does what no shell could carry out.
    pub fn record(&self) -> Result<Record, String> {
        let scenario = self.scenario;
        let days = Days::between(scenario.start, scenario.end());
        self.record_of(&load::arrivals(scenario, &days, self.seed)?)
    }

    /// What happens when these requests arrive.
    pub(crate) fn record_of(&self, arrivals: &[Arrival]) -> Result<Record, String> {
        World::new(self.scenario, self.strategy, self.seed)?.run(arrivals)
    }

    /// What it was worth.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn run(&self) -> Result<Verdict, String> {
        Ok(judge::judge(self.scenario, &self.record()?))
    }
}

/// Makes all runs, as many at a time as there are processors. The verdicts are in the order of the trials.
///
/// # Errors
/// The first of the runs' errors.
pub fn run_all(trials: &[Trial<'_>]) -> Result<Vec<Verdict>, String> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::with_capacity(trials.len()));
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(trials.len());
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(trial) = trials.get(place) else { break };
            let verdict = trial.run();
            verdicts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((place, verdict));
        }
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let mut verdicts = verdicts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    verdicts.sort_by_key(|(place, _)| *place);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// What the gateway's default strategy is called.
///
/// # Errors
/// Settings that the gateway refuses.
pub fn default_strategy(scenario: &Scenario) -> Result<String, String> {
    let mut name = String::new();
    for letter in format!("{:?}", scenario.gateway(None)?.strategy).chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    Ok(name)
}
