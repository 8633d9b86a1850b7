//! What the checks said, counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use xtask::command;

use super::bench::Place;

/// How long a platform's checks may take.
const LIMIT: Duration = Duration::from_secs(240);

/// What came of a platform.
pub(super) struct Report {
    name: &'static str,
    program: &'static str,
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Report {
    pub(super) fn new(name: &'static str, program: &'static str) -> Self {
        Self { name, program, passed: 0, failed: Vec::new(), skipped: Vec::new() }
    }

    /// A tool that builds: it ends well, and files say what they should.
    pub(super) fn of_build(
        name: &'static str,
        program: &'static str,
        tool: &mut Command,
        expected: &[(PathBuf, &str)],
    ) -> Self {
        println!("\n== {program}");
        let mut failed: Vec<String> = command::run(tool).err().into_iter().collect();
        for (file, part) in expected {
            if !fs::read_to_string(file).is_ok_and(|text| text.contains(part)) {
                failed.push(format!("{} does not say {part}", file.display()));
            }
        }
        Self { passed: usize::from(failed.is_empty()), failed, ..Self::new(name, program) }
    }

    /// Runs a script of checks to its end, and counts them.
    pub(super) fn ask(&mut self, script: &mut Command, place: &Place) -> Result<(), String> {
        let failed = self.failed.len();
        self.run(script, &place.folder.join("checks-errors.log"), LIMIT)?;
        if self.failed.len() > failed {
            println!("The platform's log is {}.", place.log.display());
        }
        Ok(())
    }

    /// Runs a script that says what has passed, and counts. What it says of errors goes into a file.
    pub(super) fn run(&mut self, script: &mut Command, errors: &Path, limit: Duration) -> Result<(), String> {
        let failed = self.failed.len();
        let status = command::run_bounded(script, errors, limit, |line| {
            println!("{line}");
            self.read(line);
        })?;
        if !status.is_some_and(|status| status.success()) && self.failed.len() == failed {
            self.failed.push(format!("the checks did not end well; see {}", errors.display()));
        }
        Ok(())
    }

    /// Counts a line of the checks'.
    fn read(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("PASS", _)) => self.passed += 1,
            Some(("FAIL", rest)) => self.failed.push(rest.to_owned()),
            Some(("SKIP", rest)) => self.skipped.push(rest.to_owned()),
            _ => {}
        }
    }
}

/// What all reports come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    /// What cannot be shown on this machine.
    pub(crate) skipped: usize,
}

/// Says what came of everything; an error where anything has failed.
pub(super) fn summary(reports: &[Report]) -> Result<Tally, String> {
    println!("\n{:<14} {:<50} {:>6} {:>6} {:>8}", "platform", "run by", "passed", "failed", "not here");
    for report in reports {
        let (failed, skipped) = (report.failed.len(), report.skipped.len());
        println!("{:<14} {:<50} {:>6} {failed:>6} {skipped:>8}", report.name, report.program, report.passed);
    }
    for report in reports {
        report.skipped.iter().for_each(|what| println!("{}: not shown here: {what}", report.name));
    }
    let failed: Vec<String> = reports
        .iter()
        .flat_map(|report| report.failed.iter().map(move |what| format!("{}: {what}", report.name)))
        .collect();
    let passed = reports.iter().map(|report| report.passed).sum();
    let skipped = reports.iter().map(|report| report.skipped.len()).sum();
    println!("{passed} passed, {} failed, {skipped} not shown here", failed.len());
    if failed.is_empty() {
        Ok(Tally { passed, skipped })
    } else {
        Err(format!("failed:\n{}", failed.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted() {
        let mut report = Report::new("a platform", "a program");
        for line in ["PASS one", "PASS two - 7 ms", "FAIL three - why", "SKIP four - why", "", "PASSED"] {
            report.read(line);
        }
        assert_eq!((report.passed, report.failed.len(), report.skipped.len()), (2, 1, 1));
    }
}
