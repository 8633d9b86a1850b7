//! `cargo xtask conformance`: the official SDKs as clients of libra, whose upstream is the simulator.
//!
//! The checks are in `xtask/conformance`, a script a client. A script prints `PASS name` or `FAIL name - why` a check.
//! `LIBRA_JUDGES` names a folder with further scripts of that kind and an upstream of their own, so that somebody else's
//! idea of Gemini can be the judge too.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use xtask::command::{self, cargo, root, target};
use xtask::gateway::{self, CLIENT_KEY};
use xtask::server::{Server, free_address};

/// The clients, a script each in `xtask/conformance`.
const CLIENTS: [&str; 2] = ["openai_chat", "google_genai"];
const POOL: usize = 4;

/// The judges' scripts, with the checks that concern what libra speaks (none named: all of them).
const JUDGES: [(&str, &[&str]); 2] = [
    ("genai_native", &[]),
    (
        "openai_sdk",
        &[
            "chat",
            "chat_raw_shape",
            "stream",
            "stream_no_usage_by_default",
            "stream_raw_done",
            "tool_round_trip",
            "tool_round_trip_stream",
            "tool_parallel_stream",
            "tool_string_result_and_unknown_id",
            "tool_choice",
            "structured_parse",
            "json_object",
            "image_input",
            "n_2",
            "reasoning",
            "max_tokens_length",
            "no_content_candidate",
            "malformed_call_candidate",
            "safety",
            "models_list",
            "models_retrieve",
            "err_404_model",
            "err_401",
            "err_429",
            "err_503",
            "err_429_stream",
            "err_midstream",
            "err_400_bad_body",
        ],
    ),
];
const JUDGES_UPSTREAM: &str = "fake_gemini.py";
const JUDGES_POOLS: [usize; 2] = [1, 64];

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(unknown) = arguments.iter().find(|name| !CLIENTS.contains(&name.as_str())) {
        return Err(format!("no client `{unknown}`; there are {}", CLIENTS.join(", ")));
    }
    let wanted = |name: &&str| arguments.is_empty() || arguments.iter().any(|given| given == name);
    let folder = target().join("conformance");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let bench = Bench { python: python(&folder)?, libra: target().join("debug/libra"), folder };
    command::run(cargo().args(["build", "--package", "libra", "--package", "libra-simulator"]))?;

    let mut reports = Vec::new();
    {
        let program = target().join("debug/libra-simulator");
        let log = bench.folder.join("simulator.log");
        let simulator = Server::start(&mut gateway::simulator(&program, &bench.folder), &log)?;
        for client in CLIENTS.into_iter().filter(wanted) {
            // A gateway each, so that no client meets the limits that another has brought about.
            let libra = bench.start_libra(&simulator.url(), POOL)?;
            let script = root().join("xtask/conformance").join(format!("{client}.py"));
            reports.push(bench.report(client.to_owned(), &script, &libra, &[])?);
        }
    }
    if let Some(judges) = env::var_os("LIBRA_JUDGES").map(PathBuf::from).filter(|_| arguments.is_empty()) {
        reports.extend(bench.judges(&judges)?);
    }
    summary(&reports)
}

struct Bench {
    python: PathBuf,
    libra: PathBuf,
    /// For logs and settings.
    folder: PathBuf,
}

impl Bench {
    fn start_libra(&self, upstream: &str, pool: usize) -> Result<Server, String> {
        let mut command = gateway::libra(&self.libra, &self.folder, upstream, pool);
        Server::start(&mut command, &self.folder.join("libra.log"))
    }

    fn judges(&self, folder: &Path) -> Result<Vec<Report>, String> {
        let mut reports = Vec::new();
        for pool in JUDGES_POOLS {
            for (name, checks) in JUDGES {
                let address = free_address()?;
                let mut upstream = Command::new(&self.python);
                upstream.arg(folder.join(JUDGES_UPSTREAM)).arg(address.port().to_string());
                let upstream =
                    Server::start_at(&mut upstream, address, &self.folder.join("judges-upstream.log"))?;
                let libra = self.start_libra(&upstream.url(), pool)?;
                let label = format!("{name}, {pool} key{}", if pool == 1 { "" } else { "s" });
                reports.push(self.report(label, &folder.join(format!("{name}.py")), &libra, checks)?);
            }
        }
        Ok(reports)
    }

    /// Runs a client's script, all of it or only some checks. What it prints goes through.
    fn report(&self, client: String, script: &Path, libra: &Server, only: &[&str]) -> Result<Report, String> {
        let mut command = Command::new(&self.python);
        command
            .arg(script)
            .env("BASE_URL", libra.url())
            .env("API_KEY", CLIENT_KEY)
            .env("ONLY", only.join(","))
            // The scripts' folder may be somebody else's.
            .env("PYTHONDONTWRITEBYTECODE", "1");
        for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            command.env_remove(proxy);
        }
        println!("\n== {client}");
        let mut checks = Vec::new();
        let status = command::run_reading(&mut command, |line| checks.extend(Check::read(line)))?;
        Ok(Report { client, checks, ended_well: status.success() })
    }
}

/// What one client's script said.
struct Report {
    client: String,
    checks: Vec<Check>,
    ended_well: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Check {
    name: String,
    passed: bool,
}

impl Check {
    fn read(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        let passed = match word {
            "PASS" => true,
            "FAIL" => false,
            _ => return None,
        };
        Some(Self { name: rest.split_whitespace().next()?.to_owned(), passed })
    }
}

/// The table of clients and checks, and whether all is well.
fn summary(reports: &[Report]) -> Result<(), String> {
    println!("\n== summary");
    let (mut passed, mut failed) = (0, 0);
    let mut broken = Vec::new();
    for report in reports {
        let good = report.checks.iter().filter(|check| check.passed).count();
        passed += good;
        failed += report.checks.len() - good;
        println!("{:<24} {good} of {}", report.client, report.checks.len());
        for check in &report.checks {
            println!("    {} {}", if check.passed { "pass" } else { "FAIL" }, check.name);
        }
        if !report.ended_well && good == report.checks.len() {
            broken.push(report.client.as_str());
        }
    }
    println!("{passed} passed, {failed} failed");
    if !broken.is_empty() {
        return Err(format!("ended without a verdict: {}", broken.join("; ")));
    }
    if failed > 0 || passed == 0 {
        return Err(format!("{failed} checks failed"));
    }
    Ok(())
}

/// A Python with the SDKs, made anew when the list of packages has changed.
fn python(folder: &Path) -> Result<PathBuf, String> {
    let requirements = root().join("xtask/conformance/requirements.txt");
    let wanted = fs::read_to_string(&requirements)
        .map_err(|error| format!("cannot read {}: {error}", requirements.display()))?;
    let environment = folder.join("venv");
    let stamp = environment.join("requirements.txt");
    let python = environment.join("bin/python");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    println!("Installing the SDKs from PyPI into {}.", environment.display());
    command::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    command::run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"])
            .arg(&requirements),
    )?;
    command::run(Command::new(&python).args(["-m", "pip", "check"]))?;
    fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_scripts_print() {
        let check = |line: &str, expected: Option<(&str, bool)>| {
            let expected = expected.map(|(name, passed)| Check { name: name.to_owned(), passed });
            assert_eq!(Check::read(line), expected, "{line}");
        };
        check("PASS stream - 5 chunks", Some(("stream", true)));
        check("FAIL tools - AssertionError", Some(("tools", false)));
        check("PASS", None);
        check("21 passed, 1 failed", None);
        check("Traceback (most recent call last):", None);
    }
}
