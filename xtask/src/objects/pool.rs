//! The pool of these runs: five projects with four keys each.

use std::fs;
use std::path::Path;
use std::process::Command;

use xtask::gateway::{CLIENT_KEY, alone};
use xtask::server::Server;

/// How many projects there are.
pub(super) const PROJECTS: usize = 5;
/// How many keys each of them has.
pub(super) const KEYS: usize = 4;

/// A key of the pool; both are counted from one. As long as Gemini's keys are, so that the gateway has nothing to warn of.
pub(super) fn key(project: usize, number: usize) -> String {
    format!("objects-key-{project}-{number}-{:024}", 0)
}

/// The keys as the gateway is told them.
pub(super) fn keys() -> String {
    let all = (1..=PROJECTS).flat_map(|project| (1..=KEYS).map(move |number| (project, number)));
    let all: Vec<String> =
        all.map(|(project, number)| format!("p{project}:{}", key(project, number))).collect();
    all.join(",")
}

/// The clients: one that most scripts share, and one for every fourth script.
pub(super) fn clients(scripts: usize) -> String {
    let own = (0..scripts).step_by(4).map(|number| format!("{CLIENT_KEY}-{number}"));
    std::iter::once(CLIENT_KEY.to_owned()).chain(own).collect::<Vec<_>>().join(",")
}

/// The simulator with these projects and no other key.
pub(super) fn simulator(program: &Path, place: &Path) -> Result<Server, String> {
    let projects = (1..=PROJECTS).map(|project| {
        let keys: Vec<String> = (1..=KEYS).map(|number| format!("\"{}\"", key(project, number))).collect();
        format!("[[projects]]\nname = \"p{project}\"\ntier = \"paid\"\nkeys = [{}]\n", keys.join(", "))
    });
    let settings = place.join("simulator.toml");
    // A file of a gigabyte in a body of several parts is held whole there.
    let written = format!("body_limit = {}\n{}", 2_u64 << 30, projects.collect::<String>());
    fs::write(&settings, written).map_err(|error| format!("cannot write {}: {error}", settings.display()))?;
    let mut command = Command::new(program);
    command.args(["--listen", "127.0.0.1:0", "--config"]).arg(&settings);
    alone(&mut command, place);
    Server::start(&mut command, &place.join("simulator.log"))
}
