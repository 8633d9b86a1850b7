//! `cargo xtask edge-test`: the built folders, run by the platforms' own programs on this machine.
//!
//! Their upstream is the simulator, whose pool has a leaked key, one without quota, and a good one. What a platform must
//! show is in `xtask/edge/checks.mjs`, which talks to it as any client does. All programs come from npm, by lockfile; no
//! platform is deployed to.

mod bench;
mod builds;
mod platforms;
mod report;
mod state;

use xtask::command::{self, cargo, exists, target};

use self::bench::Bench;
use self::platforms::PLATFORMS;
use self::report::Report;
use crate::edge;
use crate::npm::Packages;

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let built = arguments.iter().any(|argument| argument == "--built");
    let chosen: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| *argument != "--built").collect();
    let is_known = |name: &&str| PLATFORMS.iter().any(|platform| platform.name == *name);
    if let Some(unknown) = chosen.iter().find(|name| !is_known(name)) {
        let names: Vec<&str> = PLATFORMS.iter().map(|platform| platform.name).collect();
        return Err(format!("no platform `{unknown}`; there are {}", names.join(", ")));
    }
    if !(cfg!(all(target_os = "linux", target_arch = "x86_64")) && exists("npm", "--version")) {
        return Err("needs npm, and Linux on x86-64, for which the platforms' programs are pinned".to_owned());
    }
    if !built {
        edge::build()?;
    }
    command::run(cargo().args(["build", "--package", "libra-simulator"]))?;
    let bench = Bench {
        packages: Packages::install("edge/platforms")?,
        builders: Packages::install("edge/builders")?,
        sdks: Packages::install("conformance/node")?,
        folder: target().join("edge/runs"),
    };
    bench.copy_scripts()?;
    let mut reports = Vec::new();
    for platform in &PLATFORMS {
        if chosen.is_empty() || chosen.contains(&platform.name) {
            reports.push(bench.ask(platform)?);
        }
    }
    for (platform, check) in [
        ("wrangler", Bench::dry_run as fn(&Bench) -> Result<Report, String>),
        ("netlify", Bench::netlify_build),
        ("vercel", Bench::vercel_build),
    ] {
        if chosen.is_empty() || chosen.contains(&platform) {
            reports.push(check(&bench)?);
        }
    }
    report::summary(&reports)
}
