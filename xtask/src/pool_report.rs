//! `cargo xtask pool-report`: builds the trials in the release profile, and hands over to them.

use std::process::Command;

use xtask::command::{self, cargo, target};

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    command::run(cargo().args(["build", "--release", "--package", "libra-trial"]))?;
    let trials = target().join("release/libra-trial");
    command::run(Command::new(trials).current_dir(command::root()).args(arguments))
}
