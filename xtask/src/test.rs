//! `cargo xtask test`: everything that must pass before a commit lands, in the order in which it fails soonest.

use std::time::{Duration, Instant};

use xtask::command::{self, cargo, shown};

use crate::{edge, edge_test, wasm};

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let fast = match arguments {
        [] => false,
        [flag] if flag == "--fast" => true,
        _ => return Err("takes only --fast".to_owned()),
    };
    let mut tests = Tally::default();
    let mut steps = Steps::default();
    steps.take("format", || command::run(cargo().args(["fmt", "--all", "--check"])))?;
    steps.take("clippy", || {
        command::run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    })?;
    let tested = steps.take("tests", || cargo_test(&mut tests));
    if tested.is_err() {
        println!("\n{} passed, {} failed", tests.passed, tests.failed.max(1));
        return tested;
    }
    if fast {
        println!("\n== wasm and edges: left out (--fast)");
    } else {
        steps.take("wasm", wasm::build)?;
        if let Some(why) = edge_test::not_here() {
            println!("\n== edges: SKIPPED: {why}");
            tests.ignored += 1;
        } else {
            steps.take("edges", || {
                edge::build()?;
                let edges = edge_test::ask(&[])?;
                tests.passed += edges.passed as u64;
                tests.ignored += edges.skipped as u64;
                Ok(())
            })?;
        }
    }
    steps.summary(&tests);
    Ok(())
}

/// The steps that have ended well, with the time they took.
#[derive(Default)]
struct Steps(Vec<(&'static str, Duration)>);

impl Steps {
    fn take(&mut self, name: &'static str, step: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        println!("\n== {name}");
        let began = Instant::now();
        let outcome = step();
        let took = began.elapsed();
        match outcome {
            Ok(()) => {
                println!("== {name}: ok, {:.1} s", took.as_secs_f64());
                self.0.push((name, took));
                Ok(())
            }
            Err(why) => {
                println!("== {name}: FAILED after {:.1} s", took.as_secs_f64());
                Err(format!("step `{name}` failed: {why}"))
            }
        }
    }

    fn summary(&self, tests: &Tally) {
        println!("\n== summary");
        for (name, took) in &self.0 {
            println!("{name:<10} ok {:>7.1} s", took.as_secs_f64());
        }
        let total: Duration = self.0.iter().map(|(_, took)| *took).sum();
        println!("{:<10}    {:>7.1} s; {} tests ignored", "all", total.as_secs_f64(), tests.ignored);
        println!("{} passed, {} failed", tests.passed, tests.failed);
    }
}

/// What the test programs said of themselves, added up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    /// Counts a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`; every other line counts nothing.
    fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in counts.split(';') {
            let mut words = part.split_whitespace();
            let (Some(Ok(count)), Some(kind)) = (words.next().map(str::parse::<u64>), words.next()) else {
                continue;
            };
            match kind {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

/// Runs every test program, also after one has failed, and counts.
fn cargo_test(tally: &mut Tally) -> Result<(), String> {
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    let status = command::run_reading(&mut command, |line| tally.read(line))?;
    if !status.success() {
        return Err(format!("`{}` ended with {status}; {} failed", shown(&command), tally.failed));
    }
    if tally.passed == 0 {
        return Err(format!("`{}` ran no test", shown(&command)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_test_programs_say() {
        let check = |lines: &[&str], passed, failed, ignored| {
            let mut tally = Tally::default();
            lines.iter().for_each(|line| tally.read(line));
            assert_eq!(tally, Tally { passed, failed, ignored }, "{lines:?}");
        };
        let ok =
            "test result: ok. 15 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        let failed = "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        check(&[ok], 15, 0, 2);
        check(&["running 4 tests", "test a ... ok", failed, ok], 18, 1, 2);
        check(&["test result: unheard of", "7 passed; 8 failed", ""], 0, 0, 0);
    }
}
