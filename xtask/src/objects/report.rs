//! What the runs have shown.

use std::collections::BTreeMap;
use std::time::Duration;

use xtask::server::Server;

use super::crowd::Heard;
use super::http::ask;
use super::pool::{KEYS, PROJECTS, key};

/// A run.
pub(super) struct Report {
    name: &'static str,
    heard: Heard,
    took: Duration,
    /// Requests that came to the simulator.
    requests: u64,
    /// Of those, answered 403 or 404 to a key that works: for what is another project's, or gone.
    strangers: u64,
    /// In kilobytes.
    memory: u64,
}

impl Report {
    pub(super) fn new(
        name: &'static str,
        heard: Heard,
        took: Duration,
        (simulator, libra): (&Server, &Server),
    ) -> Result<Self, String> {
        let counts = ask(simulator.address(), "GET", "/_simulator/counts", "")?;
        // The second key of a project is leaked in some runs, and then 403 is what it is always told.
        let working = (1..=PROJECTS).flat_map(|project| {
            (1..=KEYS)
                .filter(|number| *number != 2 || name != KEYS_FAIL)
                .map(move |number| key(project, number))
        });
        let strangers = working.map(|key| counted(&counts, &key, &["403", "404"])).sum();
        let requests = after(&counts, "\"totals\"").map_or(0, |totals| number(totals, "\"requests\""));
        Ok(Self { name, heard, took, requests, strangers, memory: high_water(libra.id()) })
    }

    /// Failures by what they were.
    fn kinds(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for failure in &self.heard.failures {
            let kind = failure.split(':').next().unwrap_or_default().to_owned();
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    }
}

/// The run in which keys fail.
pub(super) const KEYS_FAIL: &str = "keys fail";

/// The runs, side by side.
pub(super) fn table(reports: &[Report]) -> String {
    let mut table = String::from(
        "run         scripts  well  objects  requests  403/404  told to wait  longest   whole  libra's peak\n",
    );
    for report in reports {
        let heard = &report.heard;
        table += &format!(
            "{:<11} {:>7} {:>5} {:>8} {:>9} {:>8} {:>13} {:>6.1} s {:>5.1} s {:>9.1} MB\n",
            report.name,
            heard.scripts,
            heard.done,
            heard.objects,
            report.requests,
            report.strangers,
            heard.waits,
            heard.longest,
            report.took.as_secs_f64(),
            report.memory as f64 / 1024.0,
        );
    }
    for report in reports {
        for (kind, count) in report.kinds() {
            table += &format!("{}: {count} × {kind}\n", report.name);
        }
    }
    table
}

/// Whether all went well.
pub(super) fn verdict(reports: &[Report]) -> Result<(), String> {
    let failed: usize = reports.iter().map(|report| report.heard.failures.len()).sum();
    if failed == 0 { Ok(()) } else { Err(format!("{failed} scripts failed")) }
}

/// The most memory that a process has ever had, in kilobytes. 0 where nobody tells.
pub(super) fn high_water(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// How often a key was answered with these statuses.
fn counted(counts: &str, key: &str, statuses: &[&str]) -> u64 {
    let Some(of_key) = after(counts, &format!("\"{key}\"")) else { return 0 };
    let Some((told, _)) = after(of_key, "\"statuses\"").and_then(|told| told.split_once('}')) else {
        return 0;
    };
    statuses.iter().map(|status| number(told, &format!("\"{status}\""))).sum()
}

fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    text.split_once(word).map(|(_, after)| after)
}

/// The number behind a name; 0 where there is none.
fn number(text: &str, name: &str) -> u64 {
    let digits = after(text, name).map(|after| after.trim_start_matches([':', ' ']));
    let digits =
        digits.map(|rest| rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        let counts = r#"{"keys":{"a":{"project":"p","requests":9,"statuses":{"200":3,"403":4,"404":1},"in_flight":0},
            "b":{"statuses":{"200":1}}},"totals":{"requests":12,"statuses":{"403":4}}}"#;
        assert_eq!(counted(counts, "a", &["403", "404"]), 5);
        assert_eq!(counted(counts, "b", &["403", "404"]), 0);
        assert_eq!(counted(counts, "c", &["403"]), 0);
        assert_eq!(after(counts, "\"totals\"").map(|totals| number(totals, "\"requests\"")), Some(12));
    }
}
