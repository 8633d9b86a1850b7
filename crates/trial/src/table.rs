//! The table of `libra simulate`: a line a strategy.

use std::fmt::Write as _;
use std::time::Duration;

use crate::judge::Verdict;

/// What the columns mean, to be said once below a table.
pub const LEGEND: &str = "\
best       answers as a share of what an all-knowing scheduler would have given
429, 503   requests whose client saw that; failed: all others without an answer; cut: streams that broke off
avoidable  requests without an answer for which a project had room that nobody used
wasted     calls refused for a quota, or with keys known to be dead, as a share of all calls
wait       from arrival to the beginning of the call that answered: median, 99 of 100, longest
aside      keys set aside / healthy ones among them
off        refusals whose Retry-After was wrong by more than a second
unfair     how far the worst treated client is from its max-min share
";

const HEADS: [&str; 13] = [
    "strategy",
    "answers",
    "best",
    "429",
    "503",
    "failed",
    "cut",
    "avoidable",
    "calls",
    "wasted",
    "wait",
    "aside",
    "off",
];

/// A table with a line for each strategy: its name, and its verdict for each seed. Numbers are means over the seeds,
/// waits and errors the worst.
pub fn table(strategies: &[(String, Vec<Verdict>)]) -> String {
    let mut rows: Vec<Vec<String>> = vec![HEADS.into_iter().chain(["unfair"]).map(str::to_owned).collect()];
    rows.extend(strategies.iter().map(|(name, verdicts)| row(name, verdicts)));
    aligned(&rows)
}

fn row(name: &str, verdicts: &[Verdict]) -> Vec<String> {
    let mean = |of: fn(&Verdict) -> f64| verdicts.iter().map(of).sum::<f64>() / verdicts.len().max(1) as f64;
    let count = |of: fn(&Verdict) -> f64| {
        let mean = mean(of);
        if mean.fract() == 0.0 { format!("{mean:.0}") } else { format!("{mean:.1}") }
    };
    let most = |of: fn(&Verdict) -> Duration| verdicts.iter().map(of).max().unwrap_or_default();
    let wait = [|one: &Verdict| one.wait_median, |one: &Verdict| one.wait_p99, |one: &Verdict| one.wait_most];
    vec![
        name.to_owned(),
        count(|one| one.answered as f64),
        percent(mean(Verdict::share)),
        count(|one| one.limited as f64),
        count(|one| one.unavailable as f64),
        count(|one| one.failed as f64),
        count(|one| one.cut as f64),
        count(|one| one.avoidable as f64),
        count(|one| one.calls as f64),
        percent(mean(Verdict::waste)),
        wait.map(|of| seconds(most(of))).join("/"),
        format!("{}/{}", count(|one| one.set_aside as f64), count(|one| one.wrongly_set_aside as f64)),
        format!("{} of {}", count(|one| one.mistold as f64), count(|one| one.told as f64)),
        percent(mean(|one| one.unfairness)),
    ]
}

/// The cells of rows below each other: the first column to the left, the others to the right.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a string cannot fail.
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `98.25 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// `12.3 s`.
fn seconds(wait: Duration) -> String {
    format!("{:.1} s", wait.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_means_and_the_worst_waits() {
        let one = Verdict {
            answered: 10,
            best_by_day: vec![10.0],
            calls: 10,
            wasted: 1,
            wait_most: Duration::from_secs(2),
            ..Verdict::default()
        };
        let two = Verdict { answered: 9, wait_most: Duration::from_secs(3), ..one.clone() };
        let text = table(&[("random".to_owned(), vec![one, two])]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split("  ").collect()).collect();
        assert_eq!(lines.len(), 2);
        for said in ["random", "9.5", "95.00 %", "10.00 %", "0.0 s/0.0 s/3.0 s", "0/0", "0 of 0"] {
            assert!(lines[1].iter().any(|cell| cell.trim() == said), "{said}: {text}");
        }
    }
}
