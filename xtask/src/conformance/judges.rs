//! Somebody else's scripts, with an upstream of their own: another idea of what Gemini is and what clients expect.
//!
//! `LIBRA_JUDGES` names their folder. They are called as the clients' scripts are, and print the same.

use std::env;
use std::path::PathBuf;

use xtask::server::{Server, free_address};

use super::Bench;
use super::clients::SDKS;
use super::report::{Outcome, Report};

/// By which they are chosen on the command line.
pub(super) const NAME: &str = "judges";
/// The folder's variable.
const FOLDER: &str = "LIBRA_JUDGES";

/// The scripts.
const JUDGES: [&str; 3] = ["genai_native", "openai_sdk", "anthropic_sdk"];
const UPSTREAM: &str = "fake_gemini.py";
/// With one key nothing can fail over, with many everything can.
const POOLS: [usize; 2] = [1, 64];

/// Runs them all, with each size of pool, if there are any.
pub(super) fn run(bench: &Bench) -> Result<Vec<Report>, String> {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else {
        let outcome = Outcome::NotRun(format!("{FOLDER} names no folder of judges"));
        return Ok(vec![Report { client: NAME.to_owned(), row: None, outcome }]);
    };
    let mut reports = Vec::new();
    for pool in POOLS {
        for name in JUDGES {
            let label = format!("{name}, {pool} key{}", if pool == 1 { "" } else { "s" });
            let place = bench.place(&format!("{name}-{pool}"))?;
            let address = free_address()?;
            let mut upstream = bench.installed.python("sdks");
            upstream.arg(folder.join(UPSTREAM)).arg(address.port().to_string());
            let upstream = Server::start_at(&mut upstream, address, &place.join("upstream.log"))?;
            let libra = bench.libra(&upstream.url(), Some(pool), &place)?;
            let mut command = bench.installed.python("sdks");
            command.arg(folder.join(format!("{name}.py")));
            bench.surround(&mut command, SDKS, &libra, &place);
            reports.push(Report {
                client: label.clone(),
                row: None,
                outcome: super::ask(&label, command, &place)?,
            });
        }
    }
    Ok(reports)
}
