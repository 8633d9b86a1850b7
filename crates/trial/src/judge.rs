//! The judge: what a run was worth, from what clients and Google saw of it.
//!
//! What the words mean:
//!
//! - *wasted*: a call that brought a client nothing and could have been foreseen: one that Google refused for a
//!   quota, or one with a dead key after its verdict. Probes are not counted.
//! - *verdict*: the first answer that tells the gateway that a key is dead. Which keys are, the scenario says.
//! - *avoidable*: a request that got no answer, though a project had room for it within its patience that nobody used
//!   to the end: answering it would have cost nobody an answer. Each such room counts once. A request that met four
//!   empty answers has had all that it may.
//! - *best*: the answers of an all-knowing scheduler; see [`bound`].
//! - *wait*: from a request's arrival to the beginning of the call that answered it.

pub mod books;
pub mod bound;
pub mod fairness;
mod keys;
mod refusals;

use std::time::Duration;

use libra_simulator::{Condition, Disturbance, UnixMillis};

use self::books::{Account, Entry};
use self::bound::{Demand, Supply};
use crate::calendar::Days;
use crate::record::{Call, Record, Request, What};
use crate::scenario::{Scenario, millis};

/// What a run was worth.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Requests that arrived.
    pub offered: usize,
    /// Requests with a whole answer.
    pub answered: usize,
    /// Whole answers to the requests of each day.
    pub answered_by_day: Vec<usize>,
    /// What the best scheduler would have answered each day.
    pub best_by_day: Vec<f64>,
    /// Streams that broke off after they had begun: nothing a gateway could mend.
    pub cut: usize,
    /// Requests whose client saw 429.
    pub limited: usize,
    /// Requests whose client saw 503.
    pub unavailable: usize,
    /// All other requests without an answer.
    pub failed: usize,
    /// Requests without an answer that could have had one, cut streams apart.
    pub avoidable: usize,
    /// Those of them whose client saw 429.
    pub avoidable_limited: usize,
    /// Calls to Google.
    pub calls: usize,
    /// Those of them that were wasted.
    pub wasted: usize,
    /// Calls after the first hour.
    pub later_calls: usize,
    /// Those of them that were wasted.
    pub later_wasted: usize,
    /// Calls with a dead key that began after its verdict.
    pub dead_calls: usize,
    /// Calls with a key that had never answered and was in use already, while there was another choice.
    pub crowded: usize,
    /// Probes.
    pub probes: usize,
    /// How often a key was set aside.
    pub set_aside: usize,
    /// How often a healthy one was.
    pub wrongly_set_aside: usize,
    /// Half of the answers waited at most so long.
    pub wait_median: Duration,
    /// 99 of 100 answers waited at most so long.
    pub wait_p99: Duration,
    /// The longest wait of an answer.
    pub wait_most: Duration,
    /// Refusals for want of quota that said when to come back.
    pub told: usize,
    /// Refusals with 429 that did not.
    pub untold: usize,
    /// Those of the told that were wrong by more than a second.
    pub mistold: usize,
    /// The worst error of a `Retry-After`, in milliseconds; above 0: later than the truth. `i64::MIN`: there will be no
    /// room.
    pub worst_told: i64,
    /// How far the worst treated client is from its share of the tokens: 0.05 is five in a hundred.
    pub unfairness: f64,
    /// How long after the end of a fault that met everybody a request still failed or waited longer than a second.
    pub recovery: Duration,
}

impl Verdict {
    /// Answers as a share of the best scheduler's, over all days.
    pub fn share(&self) -> f64 {
        ratio(self.answered as f64, self.best_by_day.iter().sum())
    }

    /// The same of the requests of one day; 1 where nothing could be answered.
    pub fn share_of_day(&self, day: usize) -> f64 {
        let answered = self.answered_by_day.get(day).copied().unwrap_or_default();
        ratio(answered as f64, self.best_by_day.get(day).copied().unwrap_or_default())
    }

    /// The worst share of the second day and those after it; 1 where there is one day only.
    pub fn share_of_later_days(&self) -> f64 {
        let shares = (1..self.best_by_day.len()).map(|day| self.share_of_day(day));
        shares.reduce(f64::min).unwrap_or(1.0)
    }

    /// Wasted calls as a share of all.
    pub fn waste(&self) -> f64 {
        self.wasted as f64 / self.calls.max(1) as f64
    }

    /// Wasted calls as a share of all, after the first hour.
    pub fn later_waste(&self) -> f64 {
        self.later_wasted as f64 / self.later_calls.max(1) as f64
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 1.0 }
}

/// Limits are unknown at the start: waste after so long is counted apart, in milliseconds.
const FIRST_HOUR: UnixMillis = 3_600_000;

/// After a fault that met everybody, requests are looked at for so long, in milliseconds.
const AFTERMATH: UnixMillis = 120_000;

/// A request that waits longer than this is not served at full rate, in milliseconds.
const PROMPT: UnixMillis = 1_000;

/// What the judge knows of a run.
struct Case<'a> {
    scenario: &'a Scenario,
    record: &'a Record,
    days: Days,
    /// The number of each client's model.
    models: Vec<usize>,
    /// By project and model: `project * models + model`.
    accounts: Vec<Account>,
    model_count: usize,
    /// The project of each key.
    projects: Vec<u32>,
    is_dead: Vec<bool>,
    /// Whether a project has a key that is not dead.
    is_able: Vec<bool>,
    /// The number of the last call of each request.
    last_call: Vec<Option<u32>>,
}

/// Judges a run of a scenario with one way to cut minutes.
pub fn judge(scenario: &Scenario, record: &Record) -> Verdict {
    let case = Case::new(scenario, record);
    let mut verdict = Verdict { offered: record.requests.len(), ..Verdict::default() };
    case.count_answers(&mut verdict);
    case.count_calls(&mut verdict);
    case.measure_waits(&mut verdict);
    case.judge_keys(&mut verdict);
    case.judge_refusals(&mut verdict);
    case.judge_fairness(&mut verdict);
    case.judge_recovery(&mut verdict);
    verdict.best_by_day = case.best();
    verdict
}

impl<'a> Case<'a> {
    fn new(scenario: &'a Scenario, record: &'a Record) -> Self {
        let names = scenario.models();
        let model = |name: &str| names.iter().position(|model| *model == name).unwrap_or_default();
        let models = scenario.clients.iter().map(|client| model(&client.model)).collect();
        let (mut projects, mut is_dead, mut is_able) = (Vec::new(), Vec::new(), Vec::new());
        for (number, project) in scenario.projects().enumerate() {
            let all_dead = is_death(project.group.condition);
            for key in 0..project.group.keys {
                projects.push(number as u32);
                is_dead.push(all_dead || (key < project.group.dead && is_death(project.group.dead_because)));
            }
            is_able.push(!all_dead && project.group.dead < project.group.keys);
        }
        let mut entries = vec![Vec::new(); is_able.len() * names.len()];
        for call in record.calls.iter().filter(|call| call.status == 200) {
            let project = projects.get(call.key as usize);
            if let (Some(at), Some(model), Some(project)) = (call.reached, call.model, project) {
                let entry = Entry { began: call.began, at, tokens: call.tokens };
                entries[*project as usize * names.len() + model as usize].push(entry);
            }
        }
        for others in &record.others {
            let entry = Entry { began: others.at, at: others.at, tokens: others.tokens };
            entries[others.project as usize * names.len() + others.model as usize].push(entry);
        }
        let mut entries = entries.into_iter();
        let accounts = scenario.projects().flat_map(|project| {
            names
                .iter()
                .map(move |name| project.group.models.get(*name).copied().unwrap_or(project.group.limits))
        });
        let accounts = accounts
            .map(|limits| Account::new(limits, scenario.window(), entries.next().unwrap_or_default()))
            .collect();
        let mut last_call = vec![None; record.requests.len()];
        for (number, call) in record.calls.iter().enumerate() {
            if let Some(request) = call.request {
                last_call[request as usize] = Some(number as u32);
            }
        }
        Self {
            days: Days::between(scenario.start, scenario.end().max(scenario.start + 1) - 1),
            model_count: names.len(),
            scenario,
            record,
            models,
            accounts,
            projects,
            is_dead,
            is_able,
            last_call,
        }
    }

    fn count_answers(&self, verdict: &mut Verdict) {
        verdict.answered_by_day = vec![0; self.days.count()];
        for request in &self.record.requests {
            match request.end.map(|end| (end.what, end.status)) {
                Some((What::Answer, _)) => {
                    verdict.answered += 1;
                    verdict.answered_by_day[self.days.of(request.at)] += 1;
                }
                _ if is_cut(request) => verdict.cut += 1,
                Some((_, 429)) => verdict.limited += 1,
                Some((_, 503)) => verdict.unavailable += 1,
                _ => verdict.failed += 1,
            }
        }
    }

    fn count_calls(&self, verdict: &mut Verdict) {
        let later = self.scenario.start + FIRST_HOUR;
        for call in &self.record.calls {
            if call.request.is_none() {
                verdict.probes += 1;
                continue;
            }
            let wasted = usize::from(call.status == 429);
            verdict.calls += 1;
            verdict.wasted += wasted;
            if call.began >= later {
                verdict.later_calls += 1;
                verdict.later_wasted += wasted;
            }
        }
    }

    fn measure_waits(&self, verdict: &mut Verdict) {
        let answered = self.record.requests.iter().enumerate().filter(|(_, request)| is_answered(request));
        let mut waits: Vec<u64> = answered.filter_map(|(number, _)| self.wait(number)).collect();
        waits.sort_unstable();
        let at = |share: f64| {
            let place = (waits.len() as f64 * share).ceil() as usize;
            Duration::from_millis(waits.get(place.max(1) - 1).copied().unwrap_or_default())
        };
        (verdict.wait_median, verdict.wait_p99, verdict.wait_most) = (at(0.5), at(0.99), at(1.0));
    }

    /// How long a request waited for its last call to begin, in milliseconds.
    fn wait(&self, request: usize) -> Option<u64> {
        let call: &Call = &self.record.calls[self.last_call[request]? as usize];
        Some(call.began.saturating_sub(self.record.requests[request].at))
    }

    fn judge_fairness(&self, verdict: &mut Verdict) {
        let clients = self.scenario.clients.len();
        let (mut wanted, mut got) = (vec![0.0; clients], vec![0.0; clients]);
        for request in &self.record.requests {
            wanted[request.client as usize] += request.tokens as f64;
            if is_answered(request) {
                got[request.client as usize] += request.tokens as f64;
            }
        }
        for model in 0..self.model_count {
            let of_model = |all: &[f64]| -> Vec<f64> {
                let with = all.iter().zip(&self.models).filter(|(_, of)| **of == model);
                with.map(|(tokens, _)| *tokens).collect()
            };
            let (wanted, got) = (of_model(&wanted), of_model(&got));
            if wanted.len() > 1 {
                verdict.unfairness = verdict.unfairness.max(fairness::unfairness(&wanted, &got));
            }
        }
    }

    fn judge_recovery(&self, verdict: &mut Verdict) {
        for fault in &self.scenario.disturbances {
            let (Condition::Faulty(_), None, Some(lasts)) = (fault.condition, &fault.model, fault.for_secs)
            else {
                continue;
            };
            let since_start = fault.after_secs.saturating_add(lasts).saturating_mul(1_000);
            let end = self.scenario.start.saturating_add(since_start);
            let from = self.record.requests.partition_point(|request| request.at < end);
            for (number, request) in self.record.requests.iter().enumerate().skip(from) {
                if request.at >= end.saturating_add(AFTERMATH) {
                    break;
                }
                let is_late = self.wait(number).is_none_or(|wait| wait > PROMPT);
                if is_late || !(is_answered(request) || is_cut(request)) {
                    verdict.recovery = verdict.recovery.max(Duration::from_millis(request.at - end));
                }
            }
        }
    }

    fn best(&self) -> Vec<f64> {
        let mut best = vec![0.0; self.days.count()];
        for (model, name) in self.scenario.models().iter().enumerate() {
            let of_model =
                self.record.requests.iter().filter(|one| self.models[one.client as usize] == model);
            let demands: Vec<Demand> = of_model
                .filter(|request| !self.is_hopeless(name, request.at))
                .map(|request| Demand { at: request.at, tokens: request.tokens })
                .collect();
            let supplies = self.supplies(model, name);
            let window = self.scenario.window();
            let answers = bound::best(window, &supplies, &demands, self.scenario.patience, &self.days);
            best.iter_mut().zip(answers).for_each(|(best, answers)| *best += answers);
        }
        best
    }

    fn supplies(&self, model: usize, name: &str) -> Vec<Supply> {
        let mut supplies: Vec<Supply> = Vec::new();
        for (number, project) in self.scenario.projects().enumerate() {
            if !self.is_able[number] {
                continue;
            }
            let limits = project.group.models.get(name).copied().unwrap_or(project.group.limits);
            let of_project = |others: &&crate::record::Others| {
                (others.project as usize, others.model as usize) == (number, model)
            };
            // Few scenarios have others, and few projects.
            let others: Vec<_> = match project.group.others.is_empty() {
                true => Vec::new(),
                false => {
                    let of_project = self.record.others.iter().filter(of_project);
                    of_project.map(|others| (others.at, others.tokens)).collect()
                }
            };
            match supplies.iter_mut().find(|supply| supply.limits == limits && supply.others.is_empty()) {
                Some(like) if others.is_empty() => like.count += 1,
                _ => supplies.push(Supply { limits, count: 1, others }),
            }
        }
        supplies
    }

    /// Whether a fault that meets every request lasts through all of a request's patience.
    fn is_hopeless(&self, model: &str, at: UnixMillis) -> bool {
        let until = at + millis(self.scenario.patience);
        self.scenario
            .disturbances
            .iter()
            .any(|fault| self.is_total(fault, model, at) && self.is_total(fault, model, until))
    }

    /// Whether nothing gets through at a moment.
    fn is_out(&self, model: &str, at: UnixMillis) -> bool {
        self.scenario.disturbances.iter().any(|fault| self.is_total(fault, model, at))
    }

    fn is_total(&self, fault: &Disturbance, model: &str, at: UnixMillis) -> bool {
        matches!(fault.condition, Condition::Faulty(_))
            && fault.meets(model, at.saturating_sub(self.scenario.start))
    }
}

/// Whether a condition makes a key useless for good.
fn is_death(condition: Condition) -> bool {
    matches!(condition, Condition::Faulty(fault) if fault.is_of_the_key())
}

fn is_answered(request: &Request) -> bool {
    request.end.is_some_and(|end| end.what == What::Answer)
}

/// A stream that had begun cannot be begun again.
fn is_cut(request: &Request) -> bool {
    request.stream && request.end.is_some_and(|end| end.what == What::Part)
}
