//! `cargo xtask pool-report`: runs the scenarios and prints what they must show beside what was seen.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "Usage: cargo xtask pool-report [--seeds N] [SCENARIO…]";
const DEFAULT_SEEDS: u64 = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((seeds, scenarios)) = parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    // A closed standard output is no reason to fail.
    let say = |table: &str| _ = writeln!(std::io::stdout(), "{table}");
    match libra_trial::report::report(&folder, seeds, &scenarios, say) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("Not all is reached.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Option<(u64, Vec<String>)> {
    let mut seeds = DEFAULT_SEEDS;
    let mut scenarios = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seeds" => {
                seeds = arguments.next()?.parse().ok().filter(|seeds| (1..=10_000).contains(seeds))?
            }
            flag if flag.starts_with('-') => return None,
            name => scenarios.push(name.to_owned()),
        }
    }
    Some((seeds, scenarios))
}
