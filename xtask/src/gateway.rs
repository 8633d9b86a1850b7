//! The two programs under test, as the tasks start them: on a free loopback port, with nothing taken from the
//! developer's own environment or settings files.

use std::path::Path;
use std::process::Command;

/// The only client key of the gateway that the tasks start.
pub const CLIENT_KEY: &str = "client-key-of-the-tasks";

/// The simulator, which takes every key.
pub fn simulator(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--listen", "127.0.0.1:0", "--open"]);
    alone(&mut command, folder);
    command
}

/// The gateway in front of `upstream`, with a pool of so many keys.
pub fn libra(program: &Path, folder: &Path, upstream: &str, pool: usize) -> Command {
    let mut command = libra_at(program, folder, "127.0.0.1:0", upstream);
    command.env("LIBRA_KEYS", keys(pool)).env("LIBRA_CLIENTS", CLIENT_KEY);
    command
}

/// So many keys, as long as Gemini's are, so that the gateway has nothing to warn of.
fn keys(count: usize) -> String {
    let keys: Vec<String> = (1..=count).map(|number| format!("pool-key-{number:030}")).collect();
    keys.join(",")
}

/// The same with a store in `folder`, metrics, and its clients in the `libra.toml` that is there.
pub fn libra_with_all(program: &Path, folder: &Path, upstream: &str, pool: usize) -> Command {
    let mut command = Command::new(program);
    command.args(["--listen", "127.0.0.1:0", "--upstream", upstream, "--data", "data"]);
    alone(&mut command, folder);
    command.env("LIBRA_KEYS", keys(pool)).env("LIBRA_METRICS_TOKEN", "token-of-the-tasks-for-metrics");
    command
}

/// The gateway in front of `upstream`, on this address, without keys and clients.
pub fn libra_at(program: &Path, folder: &Path, listen: &str, upstream: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["--ephemeral", "--listen", listen, "--upstream", upstream]);
    alone(&mut command, folder);
    command
}

/// No variable but the one that finds programs, and a folder without settings.
pub fn alone(command: &mut Command, folder: &Path) {
    command.env_clear().current_dir(folder);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
}
