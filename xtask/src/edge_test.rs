//! `cargo xtask edge-test`: the built folders, run by the platforms' own programs on this machine.
//!
//! Their upstream is the simulator, whose pool has a leaked key, one without quota, and a good one. What a platform must
//! show is in `xtask/edge/checks.mjs`, which talks to it as any client does. All programs come from npm, by lockfile; no
//! platform is deployed to.

mod bench;
mod builds;
mod in_node;
mod platforms;
mod report;
mod state;

use std::cell::OnceCell;

use xtask::command::{self, cargo, exists, target};

use self::bench::Bench;
use self::platforms::PLATFORMS;
use self::report::{Report, Tally};
use crate::edge;
use crate::npm::Packages;

type Asking = fn(&Bench) -> Result<Report, String>;

/// What is asked beside the platforms' running programs: the name that it is chosen by, and how.
const OTHERS: [(&str, Asking); 5] = [
    ("budgets", Bench::budgets),
    ("plays", Bench::plays),
    ("wrangler", Bench::dry_run),
    ("netlify", Bench::netlify_build),
    ("vercel", Bench::vercel_build),
];

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let built = arguments.iter().any(|argument| argument == "--built");
    let chosen: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| *argument != "--built").collect();
    let mut known: Vec<&str> =
        PLATFORMS.iter().map(|platform| platform.name).chain(OTHERS.map(|(name, _)| name)).collect();
    known.sort_unstable();
    known.dedup();
    if let Some(unknown) = chosen.iter().find(|name| !known.contains(name)) {
        return Err(format!("no platform `{unknown}`; there are {}", known.join(", ")));
    }
    if let Some(why) = not_here() {
        return Err(why.to_owned());
    }
    if !built {
        edge::build()?;
    }
    ask(&chosen).map(|_| ())
}

/// Why the platforms' programs cannot be run on this machine.
pub(crate) fn not_here() -> Option<&'static str> {
    let is_here = cfg!(all(target_os = "linux", target_arch = "x86_64")) && exists("npm", "--version");
    (!is_here).then_some("needs npm, and Linux on x86-64, for which the platforms' programs are pinned")
}

/// Asks everything that was chosen, of the folders as they are; nothing chosen means all.
pub(crate) fn ask(chosen: &[&str]) -> Result<Tally, String> {
    let is_chosen = |name: &str| chosen.is_empty() || chosen.contains(&name);
    command::run(cargo().args(["build", "--package", "libra-simulator"]))?;
    let bench = Bench {
        packages: Packages::install("edge/platforms")?,
        builders: Packages::install("edge/builders")?,
        sdks: Packages::install("conformance/node")?,
        folder: target().join("edge/runs"),
        native: OnceCell::new(),
    };
    bench.copy_scripts()?;
    let mut reports = Vec::new();
    for platform in PLATFORMS.iter().filter(|platform| is_chosen(platform.name)) {
        reports.push(bench.ask(platform)?);
    }
    for (_, ask) in OTHERS.iter().filter(|(name, _)| is_chosen(name)) {
        reports.push(ask(&bench)?);
    }
    report::summary(&reports)
}
