//! `cargo xtask admin-fuzz`: schemathesis asks the administration for what its own description allows, and for what it does
//! not, and sees that every answer is one that is described, and none a 500.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use xtask::command::{self, cargo, root, target};
use xtask::gateway::{self, CLIENT_KEY};
use xtask::server::Server;

use crate::conformance::clients::Home;
use crate::conformance::install::Installed;

/// The list of packages.
const HOME: &str = "schemathesis";

/// How long it runs where nobody says.
const SECONDS: u64 = 60;

/// What starting and ending takes beside that, and the phases that do not look at the clock.
const SLACK: Duration = Duration::from_secs(120);

const TOKEN: &str = "the-administrators-token-of-the-tasks";

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let seconds = match arguments {
        [] => SECONDS,
        [seconds] => seconds.parse().map_err(|_| format!("{seconds} is no number of seconds"))?,
        _ => return Err("admin-fuzz takes a number of seconds, and nothing else".to_owned()),
    };
    let folder = target().join("admin-fuzz");
    let data = folder.join("data");
    // What a run before has left would be tested, too.
    let _ = fs::remove_dir_all(&data);
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    command::run(cargo().args(["build", "--package", "libra", "--package", "libra-simulator"]))?;
    let installed = Installed::make(&folder, [Home::Python(HOME)])?;
    let mut fuzzer = installed.command(Home::Python(HOME), "admin_fuzz.py")?;
    let simulator = Server::start(
        &mut gateway::simulator(&target().join("debug/libra-simulator"), &folder),
        &folder.join("simulator.log"),
    )?;
    let libra = Server::start(&mut libra(&folder, &data, &simulator.url()), &folder.join("libra.log"))?;
    let config = root().join("xtask/conformance/schemathesis.toml");
    fuzzer.arg("--config-file").arg(config);
    fuzzer
        .args(["run", &format!("{}/admin/api/openapi.json", libra.url())])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        // Wrong tokens are slowed down by address, and this would be the address of all. tests/admin_api.rs looks.
        .args(["--exclude-checks", "ignored_auth"])
        .args(["--max-time", &seconds.to_string(), "--continue-on-failure", "--no-color"])
        .current_dir(&folder);
    let errors = folder.join("errors.log");
    let limit = Duration::from_secs(seconds) + SLACK;
    let status = command::run_bounded(&mut fuzzer, &errors, limit, |line| println!("{line}"))?;
    let alive = std::net::TcpStream::connect(libra.address()).is_ok();
    match status {
        _ if !alive => Err(format!("libra has ended; its log is {}", folder.join("libra.log").display())),
        None => Err(format!("schemathesis was ended after {} s", limit.as_secs())),
        Some(status) if status.success() => Ok(()),
        Some(_) => Err("the administration does not do what it says (above)".to_owned()),
    }
}

/// The gateway with a store of its own.
fn libra(folder: &Path, data: &Path, upstream: &str) -> Command {
    let mut command = Command::new(target().join("debug/libra"));
    command.args(["--listen", "127.0.0.1:0", "--upstream", upstream, "--data"]).arg(data);
    gateway::alone(&mut command, folder);
    let keys = "team-a:pool-key-of-the-tasks-that-is-long-1,pool-key-of-the-tasks-that-is-long-2";
    command.env("LIBRA_KEYS", keys).env("LIBRA_CLIENTS", CLIENT_KEY).env("LIBRA_ADMIN_TOKEN", TOKEN);
    command
}
