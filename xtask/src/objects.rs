//! `cargo xtask objects`: scripts with Google's own SDKs that make objects, use them together, list and delete them.
//!
//! The scripts are `xtask/conformance/objects.py` and its sister for Node. They know nothing of projects; here are five,
//! with several keys each, of which some fail meanwhile. Whoever is told that a file of its own is not there, or that two
//! of them are in different projects, fails.

mod crowd;
mod http;
mod memory;
mod pool;
mod recordings;
mod report;
mod trouble;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use xtask::command::{self, cargo, target};
use xtask::gateway;
use xtask::server::Server;

use crate::conformance::clients::{NODE, SDKS};
use crate::conformance::install::Installed;
use crowd::Crowd;
use report::{KEYS_FAIL, Report};
use trouble::Trouble;

/// Scripts that run at once, where nothing else is asked for.
const SCRIPTS: usize = 200;
/// Scripts of the run with a restart in its middle, at most: there is nothing in it that more of them would show.
const WITH_RESTART: usize = 40;

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let scripts = match arguments {
        [] => SCRIPTS,
        [flag] if flag == "--memory" => return memory::run(),
        [flag, number] if flag == "--scripts" => {
            number.parse().ok().filter(|number| *number > 0).ok_or("--scripts needs a number")?
        }
        _ => return Err("takes --scripts N, or --memory".to_owned()),
    };
    let stage = Stage::make()?;
    let reports = [stage.with_failing_keys(scripts)?, stage.over_a_restart(scripts.min(WITH_RESTART))?];
    println!("\n{}", report::table(&reports));
    let replayed = recordings::run(&stage);
    report::verdict(&reports).and(replayed)
}

/// The programs, and a folder for what they write.
struct Stage {
    installed: Installed,
    folder: PathBuf,
}

impl Stage {
    fn make() -> Result<Self, String> {
        let folder = target().join("conformance");
        fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        command::run(cargo().args(["build", "--package", "libra", "--package", "libra-simulator"]))?;
        Ok(Self { installed: Installed::make(&folder, [SDKS, NODE])?, folder })
    }

    /// An empty folder for a run.
    fn place(&self, name: &str) -> Result<PathBuf, String> {
        let place = self.folder.join("runs").join(name);
        let fresh = if place.exists() { fs::remove_dir_all(&place) } else { Ok(()) };
        fresh
            .and_then(|()| fs::create_dir_all(&place))
            .map_err(|error| format!("cannot empty {}: {error}", place.display()))?;
        Ok(place)
    }

    fn simulator(&self, place: &Path) -> Result<Server, String> {
        pool::simulator(&target().join("debug/libra-simulator"), place)
    }

    fn libra(&self, place: &Path, listen: &str, upstream: &str, scripts: usize) -> Result<Server, String> {
        let mut command = gateway::libra_at(&target().join("debug/libra"), place, listen, upstream);
        command.env("LIBRA_KEYS", pool::keys()).env("LIBRA_CLIENTS", pool::clients(scripts));
        let log =
            place.join(format!("libra-{}.log", if listen.ends_with(":0") { "first" } else { "second" }));
        Server::start(&mut command, &log)
    }

    /// All scripts at once, while keys fail: never all of a project.
    fn with_failing_keys(&self, scripts: usize) -> Result<Report, String> {
        println!("\n== {scripts} scripts, while keys fail");
        let place = self.place("objects-keys")?;
        let simulator = self.simulator(&place)?;
        let libra = self.libra(&place, "127.0.0.1:0", &simulator.url(), scripts)?;
        let began = Instant::now();
        let mut crowd = Crowd::start(&self.installed, &place, &libra.url(), scripts, false)?;
        let trouble = Trouble::begin(simulator.address());
        let heard = crowd.listen(|_| Ok(()));
        let made = trouble.end();
        let report = Report::new(KEYS_FAIL, heard?, began.elapsed(), (&simulator, &libra))?;
        println!("{made} changes of keys, all of which reached the simulator");
        Ok(report)
    }

    /// The gateway is killed when all have made their objects, and started again: it knows nothing any more.
    fn over_a_restart(&self, scripts: usize) -> Result<Report, String> {
        println!("\n== {scripts} scripts, with a restart in the middle");
        let place = self.place("objects-restart")?;
        let simulator = self.simulator(&place)?;
        let first = self.libra(&place, "127.0.0.1:0", &simulator.url(), scripts)?;
        let address = first.address();
        let mut libra = Some(first);
        let began = Instant::now();
        let mut crowd = Crowd::start(&self.installed, &place, &format!("http://{address}"), scripts, true)?;
        let heard = crowd.listen(|crowd| {
            // Dropping it kills it.
            drop(libra.take());
            thread::sleep(Duration::from_millis(100));
            libra = Some(self.libra(&place, &address.to_string(), &simulator.url(), scripts)?);
            crowd.go_on()
        });
        let libra = libra.ok_or("the gateway did not come back")?;
        Report::new("a restart", heard?, began.elapsed(), (&simulator, &libra))
    }
}
