//! `cargo xtask pool-report`: runs the scenarios and prints what they must show beside what was seen.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libra_trial::report::{self, over_loopback};

const USAGE: &str = "Usage: cargo xtask pool-report [--seeds N | --loopback] [SCENARIO…]";
const DEFAULT_SEEDS: u64 = 100;

/// What to do.
struct Options {
    seeds: u64,
    /// The server's program: run over loopback with it, instead of in virtual time.
    loopback: Option<PathBuf>,
    scenarios: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(options) = parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    // A closed standard output is no reason to fail.
    let say = |table: &str| _ = writeln!(std::io::stdout(), "{table}");
    let reached = match &options.loopback {
        Some(libra) => over_loopback(&folder, libra, &options.scenarios, say),
        None => report::report(&folder, options.seeds, &options.scenarios, say),
    };
    match reached {
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

fn parse(arguments: &[String]) -> Option<Options> {
    let mut options = Options { seeds: DEFAULT_SEEDS, loopback: None, scenarios: Vec::new() };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seeds" => {
                options.seeds = arguments.next()?.parse().ok().filter(|seeds| (1..=10_000).contains(seeds))?
            }
            "--loopback" => options.loopback = Some(PathBuf::from(arguments.next()?)),
            flag if flag.starts_with('-') => return None,
            name => options.scenarios.push(name.to_owned()),
        }
    }
    Some(options)
}
