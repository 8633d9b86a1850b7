//! `cargo xtask bench`: builds what is measured in the release profile, and hands over to the benchmark.

use std::process::Command;
use std::thread::available_parallelism;

use xtask::command::{self, cargo, exists, target};

/// The core that the simulator and the load come from; the proxies have the other one, number 0.
const LOAD_CORE: &str = "1";

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("processor time is read from Linux's /proc, which this system does not have".to_owned());
    }
    command::run(cargo().args(["build", "--release", "--package", "libra", "--package", "libra-simulator"]))?;
    command::run(cargo().args(["build", "--release", "--package", "libra-bench"]))?;
    let programs = target().join("release");
    let bench = programs.join("libra-bench");
    let mut command =
        if available_parallelism().is_ok_and(|cores| cores.get() > 1) && exists("taskset", "--version") {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", LOAD_CORE]).arg(bench);
            command
        } else {
            println!("One core, or no taskset: the proxies share theirs with the load.");
            Command::new(bench)
        };
    command::run(command.current_dir(command::root()).arg("--programs").arg(programs).args(arguments))
}
