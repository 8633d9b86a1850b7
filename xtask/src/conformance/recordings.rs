//! Recorded exchanges with Google, asked for in every dialect: a validator of its own holds what comes against the
//! dialects' types and against what was recorded.
//!
//! `LIBRA_CORPUS` names their folder. They hold other people's data and are no part of the project.

use std::env;
use std::path::PathBuf;

use xtask::server::free_address;

use super::Bench;
use super::clients::SDKS;
use super::report::{Outcome, Report};

/// By which they are chosen on the command line.
pub(super) const NAME: &str = "recordings";
/// The folder's variable.
const FOLDER: &str = "LIBRA_CORPUS";

/// Runs them, if there are any.
pub(super) fn run(bench: &Bench) -> Result<Report, String> {
    let outcome = match env::var_os(FOLDER).map(PathBuf::from) {
        None => Outcome::NotRun(format!("{FOLDER} names no folder of recorded exchanges")),
        Some(folder) if !folder.is_dir() => {
            return Err(format!("{FOLDER}: there is no folder {}", folder.display()));
        }
        Some(folder) => {
            let place = bench.place(NAME)?;
            let upstream = free_address()?;
            // No pool and no clients: a request's own key goes on, and names the recording that it wants.
            let libra = bench.libra(&format!("http://{upstream}"), None, &place)?;
            let mut command = bench.installed.command(SDKS, "recordings.py")?;
            bench.surround(&mut command, SDKS, &libra, &place);
            command.env("CORPUS", folder).env("UPSTREAM", upstream.to_string());
            super::ask(NAME, command, &place)?
        }
    };
    Ok(Report { client: NAME.to_owned(), row: None, outcome })
}
