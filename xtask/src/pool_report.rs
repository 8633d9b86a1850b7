//! `cargo xtask pool-report`: builds the trials in the release profile, and hands over to them.

use std::process::Command;

use xtask::command::{self, cargo, target};

/// Run over loopback, with the real server.
const LOOPBACK: &str = "--loopback";

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let loopback = arguments.iter().any(|argument| argument == LOOPBACK);
    let mut build = cargo();
    build.args(["build", "--release", "--package", "libra-trial"]);
    if loopback {
        build.args(["--package", "libra"]);
    }
    command::run(&mut build)?;
    let programs = target().join("release");
    let mut trials = Command::new(programs.join("libra-trial"));
    trials.current_dir(command::root());
    if loopback {
        trials.arg(LOOPBACK).arg(programs.join("libra"));
    }
    command::run(trials.args(arguments.iter().filter(|argument| *argument != LOOPBACK)))
}
