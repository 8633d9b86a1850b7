//! `cargo xtask conformance`: real clients of libra, whose upstream is the simulator.
//!
//! The checks are in `xtask/conformance`: a script prints `PASS name` or `FAIL name - why` a check, or
//! `SKIP why` if its client cannot run here. Each client has a
//! gateway and a simulator to itself, so that none meets the limits that another has brought about, and no way to any
//! other address.

pub(crate) mod clients;
pub(crate) mod install;
mod judges;
mod recordings;
mod report;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use std::{fs, thread};

use xtask::command::{self, cargo, root, target};
use xtask::gateway::{self, CLIENT_KEY};
use xtask::server::Server;

use clients::{CLIENTS, Client, Home, SDKS};
use install::Installed;
use report::{Check, Outcome, Report};

/// Keys of the pool: enough that a check that sets one aside leaves some for the next.
const POOL: usize = 4;
/// Clients that run at the same time. Each is three processes.
const AT_ONCE: usize = 2;
/// How long a script may take: the slowest (an agent's) bounds its own runs to less.
const LIMIT: Duration = Duration::from_secs(420);
/// A loopback address that nothing listens on, as the proxy for all others: who asks for more than loopback fails at
/// once.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:9";

/// Where the table goes, and what it is called there.
const READMES: [(&str, [&str; 6]); 2] = [
    ("README.md", ["Client", "Version", "Plain turn", "Stream", "Tools", "Checks"]),
    ("README.zh-CN.md", ["客户端", "版本", "普通回合", "流式", "工具", "检查项"]),
];
const TABLE_START: &str = "<!-- `cargo xtask conformance --readme` writes this table. -->\n";
const TABLE_END: &str = "<!-- End of the table. -->\n";

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let into_readme = arguments.iter().any(|argument| argument == "--readme");
    let chosen: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| *argument != "--readme").collect();
    let clients = choose(&chosen)?;
    if into_readme && !chosen.is_empty() {
        return Err("--readme tells of all clients: name none".to_owned());
    }
    let is_wanted = |name: &str| chosen.is_empty() || chosen.contains(&name);
    let bench = Bench::make(&clients)?;
    let mut reports = bench.ask_all(&clients)?;
    if is_wanted(recordings::NAME) {
        reports.push(recordings::run(&bench)?);
    }
    if is_wanted(judges::NAME) {
        reports.extend(judges::run(&bench)?);
    }
    println!("\n{}", report::table(&reports, READMES[0].1));
    if into_readme {
        for (file, heads) in READMES {
            write_table(&root().join(file), &report::table(&reports, heads))?;
        }
    }
    report::summary(&reports)
}

/// The clients that the arguments name, by their names or how these begin. None named: all.
fn choose(chosen: &[&str]) -> Result<Vec<&'static Client>, String> {
    let is_chosen = |client: &Client, word: &str| client.name.starts_with(word);
    let others = [recordings::NAME, judges::NAME];
    let is_known =
        |word: &str| others.contains(&word) || CLIENTS.iter().any(|client| is_chosen(client, word));
    if let Some(unknown) = chosen.iter().find(|word| !is_known(word)) {
        let names: Vec<&str> = CLIENTS.iter().map(|client| client.name).chain(others).collect();
        return Err(format!("no client `{unknown}`; there are {}", names.join(", ")));
    }
    let is_wanted = |client: &&Client| chosen.is_empty() || chosen.iter().any(|word| is_chosen(client, word));
    Ok(CLIENTS.iter().filter(is_wanted).collect())
}

/// The programs under test, and what their clients need.
struct Bench {
    installed: Installed,
    /// For settings, logs and the clients' own files.
    folder: PathBuf,
}

impl Bench {
    fn make(clients: &[&Client]) -> Result<Self, String> {
        let folder = target().join("conformance");
        fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        command::run(cargo().args(["build", "--package", "libra", "--package", "libra-simulator"]))?;
        let homes: BTreeSet<Home> = clients.iter().map(|client| client.home).chain([SDKS]).collect();
        Ok(Self { installed: Installed::make(&folder, homes)?, folder })
    }

    /// Asks all clients, some at the same time. The reports are in the clients' order.
    fn ask_all(&self, clients: &[&'static Client]) -> Result<Vec<Report>, String> {
        let waiting = Mutex::new(clients.iter().enumerate());
        let reports = thread::scope(|scope| {
            let work = || {
                let mut done = Vec::new();
                loop {
                    let next = waiting.lock().expect("nobody panics while holding it").next();
                    let Some((place, client)) = next else { return Ok(done) };
                    done.push((place, self.client(client)?));
                }
            };
            let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
            let joined = workers.into_iter().map(|worker| worker.join().expect("a worker does not panic"));
            joined.collect::<Result<Vec<Vec<(usize, Report)>>, String>>()
        })?;
        let mut reports: Vec<_> = reports.into_iter().flatten().collect();
        reports.sort_by_key(|(place, _)| *place);
        Ok(reports.into_iter().map(|(_, report)| report).collect())
    }

    fn client(&self, client: &'static Client) -> Result<Report, String> {
        let outcome = match self.installed.command(client.home, client.script) {
            Err(why) => Outcome::NotRun(why),
            Ok(mut command) => {
                let place = self.place(client.name)?;
                let simulator = target().join("debug/libra-simulator");
                let simulator =
                    Server::start(&mut gateway::simulator(&simulator, &place), &place.join("simulator.log"))?;
                let libra = self.libra(&simulator.url(), Some(POOL), &place)?;
                command.args(client.argument);
                self.surround(&mut command, client.home, &libra, &place);
                command.env("SIMULATOR_URL", simulator.url());
                ask(client.name, command, &place)?
            }
        };
        Ok(Report { client: client.name.to_owned(), row: Some(client), outcome })
    }

    /// An empty folder for one client's run.
    fn place(&self, name: &str) -> Result<PathBuf, String> {
        let place = self.folder.join("runs").join(name);
        let fresh = if place.exists() { fs::remove_dir_all(&place) } else { Ok(()) };
        fresh
            .and_then(|()| fs::create_dir_all(place.join("home")))
            .and_then(|()| fs::create_dir_all(place.join("tmp")))
            .map_err(|error| format!("cannot empty {}: {error}", place.display()))?;
        Ok(place)
    }

    /// The gateway, with so many keys and a client's key to them, or without either.
    fn libra(&self, upstream: &str, pool: Option<usize>, place: &Path) -> Result<Server, String> {
        let program = target().join("debug/libra");
        let mut command = gateway::libra(&program, place, upstream, pool.unwrap_or_default());
        if pool.is_none() {
            command.env_remove("LIBRA_KEYS").env_remove("LIBRA_CLIENTS");
        }
        Server::start(&mut command, &place.join("libra.log"))
    }

    /// All that a client is given: where libra is and the key to it, a home of its own, and no way elsewhere.
    fn surround(&self, command: &mut Command, home: Home, libra: &Server, place: &Path) {
        command
            .env_clear()
            .current_dir(place)
            .env("PATH", self.installed.path(home))
            .env("HOME", place.join("home"))
            .env("TMPDIR", place.join("tmp"))
            .env("LANG", "C.UTF-8")
            .env("BASE_URL", libra.url())
            .env("API_KEY", CLIENT_KEY)
            // LiteLLM would fetch a list of prices.
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            // The scripts' folder may be somebody else's.
            .env("PYTHONDONTWRITEBYTECODE", "1");
        for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env(proxy, NOWHERE).env(proxy.to_lowercase(), NOWHERE);
        }
        for loopback in ["NO_PROXY", "no_proxy"] {
            command.env(loopback, "127.0.0.1,localhost");
        }
    }
}

/// Runs a client's script; what it prints is shown when it has ended.
fn ask(client: &str, mut command: Command, place: &Path) -> Result<Outcome, String> {
    let mut lines = Vec::new();
    let errors = place.join("errors.log");
    let status = command::run_bounded(&mut command, &errors, LIMIT, |line| lines.push(line.to_owned()))?;
    let checks: Vec<Check> = lines.iter().filter_map(|line| Check::read(line)).collect();
    let ended_well = status.is_some_and(|status| status.success());
    println!("\n== {client}\n{}", lines.join("\n"));
    if let Some(why) = lines.iter().find_map(|line| line.strip_prefix("SKIP ")) {
        return Ok(Outcome::NotRun(why.to_owned()));
    }
    if !ended_well && checks.is_empty() {
        println!("It ended before its first check; what it had to say is in {}.", errors.display());
    }
    if status.is_none() {
        println!("It was ended after {} s.", LIMIT.as_secs());
    }
    Ok(Outcome::Ran { checks, ended_well })
}

/// Puts the table between its marks.
fn write_table(file: &Path, table: &str) -> Result<(), String> {
    let text =
        fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let written = with_table(&text, table)
        .ok_or_else(|| format!("{} has no place for the table: its marks are missing", file.display()))?;
    fs::write(file, written).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

fn with_table(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(TABLE_START)?;
    let (_, after) = rest.split_once(TABLE_END)?;
    // Markdown ends a table at an empty line, and a mark right below one would be a row.
    Some([before, TABLE_START, "\n", table, "\n", TABLE_END, after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_goes_between_its_marks() {
        let text = format!("before\n{TABLE_START}old\n{TABLE_END}after\n");
        let written = with_table(&text, "| new |\n").expect("the marks are there");
        assert_eq!(written, format!("before\n{TABLE_START}\n| new |\n\n{TABLE_END}after\n"));
        assert_eq!(with_table(&written, "| new |\n").as_deref(), Some(written.as_str()));
        assert_eq!(with_table("no marks", "| new |\n"), None);
    }

    #[test]
    fn clients_are_chosen_by_name_or_beginning() {
        let names = |chosen: &[&str]| {
            choose(chosen).map(|clients| clients.iter().map(|client| client.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).map(|names| names.len()), Ok(CLIENTS.len()));
        assert_eq!(names(&["google-python"]), Ok(vec!["google-python"]));
        assert!(names(&["ai-sdk"]).is_ok_and(|names| names.len() > 2));
        assert_eq!(names(&["recordings"]), Ok(Vec::new()));
        assert!(names(&["nonesuch"]).is_err_and(|why| why.contains("google-python")));
    }
}
