//! `libra`: the native server.

mod cli;
mod settings;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use libra_core::config::parse_keys;

use crate::cli::{Cli, Command};
use crate::settings::{Settings, SettingsError};

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(line) => {
            // A closed standard output is no reason to fail.
            let _ = writeln!(std::io::stdout(), "{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("libra: {error}");
            ExitCode::from(2)
        }
    }
}

/// Loads the settings and says in one line what was understood.
fn run(cli: &Cli) -> Result<String, SettingsError> {
    let Settings { config, notices, log, demo, proxies } = Settings::load(&cli.options)?;
    for notice in notices {
        eprintln!("libra: {notice}");
    }
    let keys = match cli.task() {
        Command::Serve => config.keys.len(),
        Command::Verify { keys } if keys.is_empty() => config.keys.len(),
        Command::Verify { keys } => parse_keys(&keys.join(","))?.len(),
    };
    Ok(format!(
        "listen {}, upstream {}, keys {keys}, clients {}, log {log}, demo {demo}, {proxies:?}",
        config.listen,
        config.upstream,
        config.clients.len()
    ))
}
