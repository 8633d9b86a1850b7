//! Recorded exchanges with Google about objects, through the gateway.
//!
//! `LIBRA_CORPUS` names their folder. They hold other people's data and are no part of the project.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use xtask::command;
use xtask::gateway;
use xtask::server::{Server, free_address};

use super::Stage;
use crate::conformance::clients::SDKS;

/// The folder's variable.
const FOLDER: &str = "LIBRA_CORPUS";
/// How long it may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs them, if there are any.
pub(super) fn run(stage: &Stage) -> Result<(), String> {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else {
        println!("No recordings: {FOLDER} names no folder of them.");
        return Ok(());
    };
    if !folder.is_dir() {
        return Err(format!("{FOLDER}: there is no folder {}", folder.display()));
    }
    println!("\n== recordings");
    let place = stage.place("objects-recordings")?;
    let upstream = free_address()?;
    // No pool and no clients: a request's own key goes on, and names the recording that it wants.
    let program = command::target().join("debug/libra");
    let mut libra = gateway::libra_at(&program, &place, "127.0.0.1:0", &format!("http://{upstream}"));
    let libra = Server::start(&mut libra, &place.join("libra.log"))?;
    let mut script = stage.installed.command(SDKS, "recorded_objects.py")?;
    script
        .env_clear()
        .current_dir(&place)
        .env("PATH", stage.installed.path(SDKS))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("BASE_URL", libra.url())
        .env("API_KEY", "a-recording-names-itself")
        .env("CORPUS", folder)
        .env("UPSTREAM", upstream.to_string());
    let status =
        command::run_bounded(&mut script, &place.join("errors.log"), LIMIT, |line| println!("{line}"))?;
    if status.is_some_and(|status| status.success()) { Ok(()) } else { Err("recordings differ".to_owned()) }
}
