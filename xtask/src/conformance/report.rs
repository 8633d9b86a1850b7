//! What the clients' scripts said: checks, verdicts, and the table of them.

use super::clients::Client;
use super::install;

/// The turns that every client has to manage. A check belongs to one if its name begins with that.
const TURNS: [&str; 3] = ["plain", "stream", "tools"];

/// What one client's script said.
pub(super) struct Report {
    /// The client's name.
    pub(super) client: String,
    /// None: the judges' scripts and others that have no row in the table.
    pub(super) row: Option<&'static Client>,
    pub(super) outcome: Outcome,
}

pub(super) enum Outcome {
    /// Its checks, and whether it came to its end.
    Ran { checks: Vec<Check>, ended_well: bool },
    /// Why it could not be run here.
    NotRun(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check {
    name: String,
    passed: bool,
}

impl Check {
    /// A line of a script, if it is a verdict.
    pub(super) fn read(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        let passed = match word {
            "PASS" => true,
            "FAIL" => false,
            _ => return None,
        };
        Some(Self { name: rest.split_whitespace().next()?.to_owned(), passed })
    }
}

/// Says how many checks passed, names those that did not, and whether all is well.
pub(super) fn summary(reports: &[Report]) -> Result<(), String> {
    println!("\n== summary");
    let (mut passed, mut failed) = (0, 0);
    let mut broken = Vec::new();
    for report in reports {
        match &report.outcome {
            Outcome::NotRun(why) => println!("{:<28} not run: {why}", report.client),
            Outcome::Ran { checks, ended_well } => {
                let good = checks.iter().filter(|check| check.passed).count();
                passed += good;
                failed += checks.len() - good;
                println!("{:<28} {good} of {}", report.client, checks.len());
                for check in checks.iter().filter(|check| !check.passed) {
                    println!("    FAIL {}", check.name);
                }
                if !ended_well && good == checks.len() {
                    broken.push(report.client.as_str());
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if !broken.is_empty() {
        return Err(format!("ended without a verdict: {}", broken.join("; ")));
    }
    if failed > 0 || passed == 0 {
        return Err(format!("{failed} checks failed"));
    }
    Ok(())
}

/// The table of clients and turns, in Markdown. `heads` are the names of its columns: client, version, the three
/// turns, all checks.
pub(super) fn table(reports: &[Report], heads: [&str; 6]) -> String {
    let mut table = format!("| {} |\n|---|---|---|---|---|---|\n", heads.join(" | "));
    for report in reports {
        let Some(client) = report.row else { continue };
        let cells = match &report.outcome {
            Outcome::NotRun(why) => [format!("not run: {why}"), String::new(), String::new(), String::new()],
            Outcome::Ran { checks, .. } => {
                let [plain, stream, tools] = TURNS.map(|turn| verdict(checks, turn).to_owned());
                let good = checks.iter().filter(|check| check.passed).count();
                [plain, stream, tools, format!("{good} / {}", checks.len())]
            }
        };
        let version = install::versions(client);
        table += &format!("| {} | {version} | {} |\n", client.title, cells.join(" | "));
    }
    table
}

fn verdict(checks: &[Check], turn: &str) -> &'static str {
    let mut of_turn = checks.iter().filter(|check| check.name.starts_with(turn)).map(|check| check.passed);
    match of_turn.next() {
        None => "–",
        Some(first) if first && of_turn.all(|passed| passed) => "✓",
        Some(_) => "✗",
    }
}

#[cfg(test)]
mod tests {
    use super::super::clients::CLIENTS;
    use super::*;

    #[test]
    fn reads_what_scripts_print() {
        let check = |line: &str, expected: Option<(&str, bool)>| {
            let expected = expected.map(|(name, passed)| Check { name: name.to_owned(), passed });
            assert_eq!(Check::read(line), expected, "{line}");
        };
        check("PASS stream - 5 chunks", Some(("stream", true)));
        check("FAIL tools - AssertionError", Some(("tools", false)));
        check("PASS", None);
        check("21 passed, 1 failed", None);
        check("Traceback (most recent call last):", None);
    }

    #[test]
    fn the_table_tells_each_turn() {
        let row = |lines: &[&str]| {
            let checks = lines.iter().copied().filter_map(Check::read).collect();
            let outcome = Outcome::Ran { checks, ended_well: true };
            let report = Report { client: "one".to_owned(), row: Some(&CLIENTS[0]), outcome };
            let table = table(&[report], ["Client", "Version", "Plain", "Stream", "Tools", "All"]);
            let cells = table.lines().nth(2).expect("there is one row").split(" | ").skip(2);
            cells.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(row(&["PASS plain_turn", "PASS stream", "FAIL stream_raw", "PASS more"]), "✓ ✗ – 3 / 4 |");
        let outcome = Outcome::NotRun("no Python".to_owned());
        let report = Report { client: "one".to_owned(), row: Some(&CLIENTS[0]), outcome };
        let table = table(&[report], ["a", "b", "c", "d", "e", "f"]);
        assert!(table.contains("| not run: no Python |  |  |  |"), "{table}");
    }
}
