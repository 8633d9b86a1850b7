//! What was measured, as numbers, as a table and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use crate::proxies::Proxy;
use crate::scenario::Scenario;

/// What of its throughput libra keeps at least with a store, metrics and limits.
const WHOLE_THROUGHPUT: f64 = 0.9;

/// The measurements of one proxy in one scenario, over all runs.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// Processor time a request in microseconds, one number a run; empty for the simulator.
    pub(crate) processor: Vec<f64>,
    /// Requests a second, one number a run.
    pub(crate) throughput: Vec<f64>,
    /// Of each request of the runs over a single connection: the time to the first byte of the answer's body.
    pub(crate) first_bytes: Vec<Duration>,
}

/// One scenario's measurements, a proxy each.
pub(crate) struct Table {
    pub(crate) scenario: Scenario,
    pub(crate) rows: Vec<(&'static str, Samples)>,
}

impl Table {
    /// Processor time a request against the bare proxy's.
    fn ratio(&self, samples: &Samples) -> Option<f64> {
        let (_, bare) = self.rows.iter().find(|(name, _)| *name == Proxy::BARE)?;
        Some(median(&samples.processor)? / median(&bare.processor)?)
    }

    fn added(&self, samples: &Samples, share: f64) -> f64 {
        let direct = self.rows.iter().find(|(name, _)| *name == Proxy::DIRECT);
        let base = direct.map_or(0.0, |(_, samples)| percentile(&samples.first_bytes, share));
        percentile(&samples.first_bytes, share) - base
    }

    pub(crate) fn print(&self) {
        println!(
            "{:<14} {:>12} {:>15} {:>7} {:>11} {:>12} {:>12}",
            "", "cpu µs/req", "(min - max)", "ratio", "req/s", "p50 added µs", "p99 added µs"
        );
        for (name, samples) in &self.rows {
            let throughput = median(&samples.throughput).unwrap_or_default();
            match median(&samples.processor) {
                None => println!(
                    "{name:<14} {:>12} {:>15} {:>7} {throughput:>11.0} {:>12} {:>12}",
                    "",
                    "",
                    "",
                    format!("({:.0})", percentile(&samples.first_bytes, 0.5)),
                    format!("({:.0})", percentile(&samples.first_bytes, 0.99)),
                ),
                Some(processor) => println!(
                    "{name:<14} {processor:>12.1} {:>15} {:>7.2} {throughput:>11.0} {:>12.0} {:>12.0}",
                    range(&samples.processor),
                    self.ratio(samples).unwrap_or(f64::NAN),
                    self.added(samples, 0.5),
                    self.added(samples, 0.99),
                ),
            }
        }
        if let Some(ratio) = self.libra() {
            let target = self.scenario.target();
            let reached = verdict(ratio <= target);
            println!("target: libra at most {target:.2} times the bare proxy: {ratio:.2}, {reached}");
        }
        if let Some((throughput, processor)) = self.whole() {
            let reached = verdict(throughput >= WHOLE_THROUGHPUT);
            println!(
                "target: with store, metrics and limits at least {WHOLE_THROUGHPUT:.2} times the throughput: {throughput:.2} \
                 ({processor:.2} times the processor time), {reached}"
            );
        }
    }

    /// Libra's ratio.
    fn libra(&self) -> Option<f64> {
        let (_, samples) = self.rows.iter().find(|(name, _)| *name == Proxy::LIBRA)?;
        self.ratio(samples)
    }

    /// Requests a second and processor time a request with all turned on, against libra with nothing of it.
    fn whole(&self) -> Option<(f64, f64)> {
        let samples = |wanted| self.rows.iter().find(|(name, _)| *name == wanted).map(|(_, samples)| samples);
        let (plain, whole) = (samples(Proxy::LIBRA)?, samples(Proxy::WHOLE)?);
        let throughput = median(&whole.throughput)? / median(&plain.throughput)?;
        Some((throughput, median(&whole.processor)? / median(&plain.processor)?))
    }

    pub(crate) fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|(name, samples)| {
                json!({
                    "proxy": name,
                    "processor_us": samples.processor,
                    "processor_us_median": median(&samples.processor),
                    "ratio": self.ratio(samples),
                    "requests_per_second": median(&samples.throughput),
                    "first_byte_p50_us": percentile(&samples.first_bytes, 0.5),
                    "first_byte_p99_us": percentile(&samples.first_bytes, 0.99),
                })
            })
            .collect();
        let target = self.scenario.target();
        let reached = self.libra().map(|ratio| ratio <= target);
        json!({
            "scenario": self.scenario.name(),
            "target": target,
            "reached": reached,
            "whole_throughput": self.whole().map(|(throughput, _)| throughput),
            "proxies": rows,
        })
    }
}

/// One number with a limit, such as the memory at rest.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) below: f64,
    pub(crate) unit: &'static str,
}

impl Figure {
    pub(crate) fn print(&self) {
        let Self { name, value, below, unit } = self;
        println!("{name:<44} {value:>8.1} {unit:<4} target below {below} {unit}: {}", verdict(value < below));
    }

    pub(crate) fn json(&self) -> Value {
        let Self { name, value, below, unit } = self;
        json!({"name": name, "value": value, "below": below, "unit": unit, "reached": value < below})
    }
}

pub(crate) fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "NOT REACHED" }
}

pub(crate) fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        even if even % 2 == 0 => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        _ => Some(sorted[middle]),
    }
}

/// In microseconds; 0 where nothing was measured.
fn percentile(times: &[Duration], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

fn range(numbers: &[f64]) -> String {
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(0.0, f64::max);
    format!("({least:.1} - {most:.1})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_middle() {
        let check =
            |numbers: &[f64], expected: Option<f64>| assert_eq!(median(numbers), expected, "{numbers:?}");
        check(&[], None);
        check(&[3.0], Some(3.0));
        check(&[9.0, 1.0, 2.0], Some(2.0));
        check(&[4.0, 1.0, 2.0, 9.0], Some(3.0));
    }

    #[test]
    fn finds_percentiles_by_rank() {
        let times: Vec<Duration> = (1..=100).rev().map(Duration::from_micros).collect();
        let check = |share: f64, expected: f64| assert!((percentile(&times, share) - expected).abs() < 1e-6);
        check(0.5, 50.0);
        check(0.99, 99.0);
        check(1.0, 100.0);
        assert!(percentile(&[], 0.5).abs() < f64::EPSILON);
    }
}
