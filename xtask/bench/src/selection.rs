//! What it costs to choose a key: to pick and to release one, in pools of some and of very many keys.
//!
//! The pool is the gateway's own, in virtual time, in the state in which a pool is after a while: limits were learned, each
//! project is used at half of its limits, and some rest, some are penalised, some keys are set aside. The machine's speed
//! is in these figures, as there is nothing to compare them with.

use std::time::{Duration, Instant};

use libra_core::config::{PoolKey, Strategy};
use libra_core::event::Usage;
use libra_core::failure::{Class, Consequence, Elsewhere, Failure, Limit, LimitKind, Why};
use libra_core::pool::{LeaseId, Pick, Pool, PoolSettings, Want};
use libra_core::secret::{ApiKey, KeyId};
use libra_core::time::Timestamp;
use serde_json::{Value, json};

use crate::report::{median, verdict};

const STRATEGIES: [(Strategy, &str); 5] = [
    (Strategy::Headroom, "headroom"),
    (Strategy::RoundRobin, "round-robin"),
    (Strategy::TimeWindow, "time-window"),
    (Strategy::Random, "random"),
    (Strategy::LeastUsed, "least-used"),
];

/// The sizes of the pool in keys, with the longest that a choice may take in microseconds.
const SIZES: [(usize, f64); 3] = [(10, 1.0), (1_000, 1.0), (100_000, 2.0)];

/// Keys of one project, as people have them.
const KEYS_A_PROJECT: usize = 2;

/// The limits of the free tier; the day's are wider, as a run lasts for days.
const REQUESTS_A_MINUTE: u64 = 15;
const REQUESTS_A_DAY: u64 = 1_000_000;
const TOKENS_A_MINUTE: u64 = 250_000;

const TOKENS: u64 = 500;
const MODEL: &str = "gemini-2.5-flash";

/// So many are picked before they are released: as many are under way at once. Enough that each batch meets its share of
/// what comes in bursts (requests leave the running minute every tenth of a second), and that reading the clock does not
/// count.
const BATCH: usize = 1024;

/// So many batches are measured. Their median counts: most are over before anything else gets the processor.
const BATCHES: usize = 300;
const QUICK_BATCHES: usize = 60;

/// 15 January 2027, 08:00 UTC: midnight in California.
const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Measures all strategies with all sizes, prints a table, and returns the figures.
pub(crate) fn measure(quick: bool) -> Result<Value, String> {
    let batches = if quick { QUICK_BATCHES } else { BATCHES };
    println!("\n== selection: to pick a key and to release it, µs; medians of {batches} times {BATCH}");
    println!("{:<12} {:>14} {:>14} {:>14}", "", "10 keys", "1,000 keys", "100,000 keys");
    let mut figures = Vec::new();
    for (strategy, name) in STRATEGIES {
        let mut line = format!("{name:<12}");
        for (keys, most) in SIZES {
            let mut busy = Busy::new(strategy, keys);
            busy.settle()?;
            let measured: Result<Vec<f64>, String> = (0..batches).map(|_| busy.run()).collect();
            let value = median(&measured?).unwrap_or_default();
            line += &format!(" {value:>14.2}");
            figures.push(json!({"strategy": name, "keys": keys, "choice_us": value, "most": most,
                "reached": value <= most}));
        }
        println!("{line}");
    }
    for (keys, most) in SIZES {
        let of_size = figures.iter().filter(|figure| figure["keys"] == keys);
        let slowest = of_size.filter_map(|figure| figure["choice_us"].as_f64()).fold(0.0, f64::max);
        println!("target: at most {most:.1} µs with {keys} keys: {slowest:.2}, {}", verdict(slowest <= most));
    }
    println!("\n== refusal: that nobody has room now, and when somebody will; µs");
    println!("{:<12} {:>14} {:>14} {:>14}", "", "10 keys", "1,000 keys", "100,000 keys");
    for (strategy, name) in STRATEGIES {
        let mut line = format!("{name:<12}");
        for (keys, _) in SIZES {
            let value = refusal(strategy, keys)?;
            line += &format!(" {value:>14.2}");
            figures.push(json!({"strategy": name, "keys": keys, "refusal_us": value}));
        }
        println!("{line}");
    }
    Ok(Value::Array(figures))
}

/// A pool in use.
struct Busy {
    pool: Pool,
    now: Timestamp,
    /// From one request to the next, in nanoseconds: half of what the projects have room for.
    gap: u64,
    /// Of the present millisecond, in nanoseconds.
    rest: u64,
}

impl Busy {
    fn new(strategy: Strategy, count: usize) -> Self {
        let (mut pool, keys) = pool_of(strategy, count);
        for (number, key) in keys.iter().enumerate() {
            // Each hundredth is met, and a small pool's projects are of different ones.
            let hundredth = number / KEYS_A_PROJECT * 37 % 100;
            let spread = Duration::from_millis(number as u64 * 7_919 % 3_600_000);
            match hundredth {
                // A tenth has nothing left today, a tenth rests for a while, some are overloaded.
                0..10 => fail(&mut pool, *key, Consequence::RestModel(START.next_pacific_midnight()), START),
                10..20 => fail(&mut pool, *key, Consequence::RestModel(START + spread), START),
                20..23 => fail(&mut pool, *key, Consequence::Penalty, START),
                23 if number % KEYS_A_PROJECT == 0 => {
                    // One after the other, or it would be taken for an incident.
                    let later = START + Duration::from_secs(60);
                    pool.failed(*key, Some(MODEL), &failure(Consequence::SetAside(Why::Leaked)), later);
                }
                _ => {}
            }
        }
        let projects = count.div_ceil(KEYS_A_PROJECT) as u64;
        let gap = 60_000_000_000 / (projects * REQUESTS_A_MINUTE) * 2;
        Self { pool, now: START + Duration::from_secs(61), gap, rest: 0 }
    }

    /// Lets two minutes pass, so that as much leaves the running minute as comes into it.
    fn settle(&mut self) -> Result<(), String> {
        let until = self.now + Duration::from_secs(120);
        while self.now < until {
            self.batch()?;
        }
        Ok(())
    }

    /// Microseconds a choice.
    fn run(&mut self) -> Result<f64, String> {
        Ok(self.batch()?.as_secs_f64() * 1e6 / BATCH as f64)
    }

    /// Picks and releases some. What the answers teach the pool is not counted.
    fn batch(&mut self) -> Result<Duration, String> {
        let want = Want { model: Some(MODEL), tokens: TOKENS, ..Want::default() };
        let mut leased: Vec<Option<(LeaseId, KeyId)>> = vec![None; BATCH];
        let began = Instant::now();
        for place in &mut leased {
            self.rest += self.gap;
            self.now = self.now + Duration::from_millis(self.rest / 1_000_000);
            self.rest %= 1_000_000;
            if let Pick::Ready { lease, key } = self.pool.pick(&want, self.now) {
                *place = Some((lease, key.id()));
            }
        }
        let picked = began.elapsed();
        let usage = Usage { prompt: TOKENS + 20, total: TOKENS + 300, ..Usage::default() };
        for (lease, key) in leased.iter().flatten() {
            self.pool.used(*lease, MODEL, usage, self.now);
            self.pool.succeeded(*key, Some(MODEL), self.now);
        }
        let began = Instant::now();
        for (lease, _) in leased.iter().flatten() {
            self.pool.release(*lease);
        }
        match leased.iter().all(Option::is_some) {
            true => Ok(picked + began.elapsed()),
            false => Err("a pool that is half used refused a request".to_owned()),
        }
    }
}

/// Microseconds that a request costs which nobody can serve, with the word when somebody can.
fn refusal(strategy: Strategy, count: usize) -> Result<f64, String> {
    let (mut pool, keys) = pool_of(strategy, count);
    let later = START + Duration::from_secs(70);
    for (number, key) in keys.iter().enumerate() {
        let until = later + Duration::from_millis(30_000 + number as u64 * 7_919 % 3_600_000);
        fail(&mut pool, *key, Consequence::RestModel(until), later);
    }
    let want = Want { model: Some(MODEL), tokens: TOKENS, ..Want::default() };
    let mut measured = Vec::with_capacity(QUICK_BATCHES);
    for _ in 0..QUICK_BATCHES {
        let began = Instant::now();
        for _ in 0..BATCH {
            let pick = pool.pick(&want, later);
            let recovery = pool.recovery(&want, later);
            if !matches!(pick, Pick::CoolingDown { .. }) || recovery.is_none() {
                return Err("a pool that rests served a request".to_owned());
            }
        }
        measured.push(began.elapsed().as_secs_f64() * 1e6 / BATCH as f64);
    }
    Ok(median(&measured).unwrap_or_default())
}

/// A pool that has learned the limits of its projects.
fn pool_of(strategy: Strategy, count: usize) -> (Pool, Vec<KeyId>) {
    let keys: Vec<PoolKey> = (0..count)
        .map(|number| PoolKey {
            key: ApiKey::new(&format!("bench-pool-key-{number:024}")),
            project: Some(format!("project-{}", number / KEYS_A_PROJECT)),
            label: None,
        })
        .collect();
    let mut pool = Pool::new(&keys, PoolSettings::only(strategy), 1);
    let limit = |kind, value| Limit { family: Some(MODEL.to_owned()), kind, value };
    let mut named = failure(Consequence::Nothing);
    named.limits = vec![
        limit(LimitKind::RequestsPerMinute, REQUESTS_A_MINUTE),
        limit(LimitKind::TokensPerMinute, TOKENS_A_MINUTE),
        limit(LimitKind::RequestsPerDay, REQUESTS_A_DAY),
    ];
    let ids: Vec<KeyId> = keys.iter().map(|key| key.key.id()).collect();
    for key in ids.iter().step_by(KEYS_A_PROJECT) {
        pool.failed(*key, Some(MODEL), &named, START);
    }
    drop(pool.take_changes());
    (pool, ids)
}

fn fail(pool: &mut Pool, key: KeyId, consequence: Consequence, now: Timestamp) {
    pool.failed(key, Some(MODEL), &failure(consequence), now);
}

fn failure(consequence: Consequence) -> Failure {
    Failure { consequence, ..Failure::new(Class::Unknown, Elsewhere::All, "made up") }
}
