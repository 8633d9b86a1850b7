//! The programs that the checks need, and the files of one run.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::command::{root, target};
use xtask::gateway::{self, CLIENT_KEY, alone};
use xtask::server::{Server, free_address};

use super::platforms::Platform;
use super::report::Report;
use super::state;
use crate::npm::Packages;

const LEAKED: &str = "leaked-key-for-the-edges-checks-0000000";
const LIMITED: &str = "spent-key-for-the-edges-checks-00000000";
const ADMIN: &str = "admin-token-for-the-edges-checks";
const GOOD: &str = "good-key-for-the-edges-checks-000000000";
/// A good one that no setting names.
pub(super) const ADDED: &str = "added-key-for-the-edges-checks-00000000";

/// A loopback address that nothing listens on, as the proxy for all others: the platforms' tools ask nobody.
const NOWHERE: &str = "http://127.0.0.1:9";
pub(super) const PROXIES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];

/// The variables that the platforms hand to the gateway, besides the upstream's address.
const SETTINGS: [(&str, &str); 6] = [
    ("LIBRA_ADMIN_TOKEN", ADMIN),
    ("LIBRA_FETCH_ALLOW", "127.0.0.0/8"),
    ("LIBRA_CLIENTS", CLIENT_KEY),
    ("LIBRA_REPLAY_LIMIT", "1MiB"),
    ("LIBRA_HEARTBEAT", "1s"),
    ("LIBRA_MAX_ATTEMPTS", "3"),
];

/// What each platform must show, one after the other with the same gateway: scripts of `xtask/edge`, which share `client.mjs`.
const CHECKS: [&str; 2] = ["checks.mjs", "sessions.mjs"];

/// Clients' SDKs that are asked, too: scripts of `xtask/conformance/node`.
const SDKS: [&str; 3] = ["openai_chat.mjs", "google_genai.mjs", "anthropic_messages.mjs"];

/// The programs, and where their files go.
pub(super) struct Bench {
    pub(super) packages: Packages,
    /// The tools that build what Netlify and Vercel are given.
    pub(super) builders: Packages,
    /// The clients' SDKs, and their scripts.
    pub(super) sdks: Packages,
    pub(super) folder: PathBuf,
    /// The native server as Vercel's builder makes it, once it has.
    pub(super) native: OnceCell<PathBuf>,
}

/// One platform's run.
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) address: SocketAddr,
    pub(super) upstream: String,
    pub(super) log: PathBuf,
    /// What the gateway is set with besides.
    pub(super) more: Vec<(&'static str, String)>,
}

impl Bench {
    /// Scripts find their packages beside themselves.
    pub(super) fn copy_scripts(&self) -> Result<(), String> {
        copy_scripts("edge", self.packages.folder())?;
        copy_scripts("conformance/node", self.sdks.folder())
    }

    pub(super) fn script(&self, name: &str) -> PathBuf {
        self.packages.folder().join(name)
    }

    pub(super) fn ask(&self, platform: &Platform) -> Result<Report, String> {
        println!("\n== {} ({})", platform.name, platform.program);
        let folder = self.fresh(platform.name)?;
        let simulator = self.simulator(&folder)?;
        let log = folder.join("platform.log");
        let place =
            Place { folder, address: free_address()?, upstream: simulator.url(), log, more: Vec::new() };
        let server = (platform.start)(self, &place)?;
        let mut report = Report::new(platform.name, platform.program);
        for script in CHECKS {
            report.ask(&mut self.checks(&place, &simulator, platform, script), &place)?;
        }
        // Asked to stop, as wrangler has a process of its own to end.
        server.stop()?;
        state::ask(self, platform, &mut report)?;
        self.ask_sdks(platform, &mut report)?;
        Ok(report)
    }

    /// The SDKs' own checks, with an upstream where all is well.
    fn ask_sdks(&self, platform: &Platform, report: &mut Report) -> Result<(), String> {
        let folder = self.fresh(&format!("{}-sdks", platform.name))?;
        let mut command = gateway::simulator(&target().join("debug/libra-simulator"), &folder);
        let simulator = Server::start(&mut command, &folder.join("simulator.log"))?;
        let log = folder.join("platform.log");
        let place =
            Place { folder, address: free_address()?, upstream: simulator.url(), log, more: Vec::new() };
        let server = (platform.start)(self, &place)?;
        for script in SDKS {
            println!("-- {script}");
            report.ask(&mut self.client(&place, &simulator, &self.sdks, script), &place)?;
        }
        server.stop()
    }

    /// A script of checks of the platform.
    pub(super) fn checks(
        &self,
        place: &Place,
        simulator: &Server,
        platform: &Platform,
        script: &str,
    ) -> Command {
        let skipped: Vec<String> =
            platform.skipped.iter().map(|(name, why)| format!("{name}={why}")).collect();
        let mut checks = self.client(place, simulator, &self.packages, script);
        checks
            .env("ADMIN", ADMIN)
            .env("LEAKED", LEAKED)
            .env("LIMITED", LIMITED)
            .env("GOOD", GOOD)
            .env("LOG", &place.log)
            .env("SKIPPED", skipped.join("\n"));
        checks
    }

    /// A script that is a client of the platform.
    fn client(&self, place: &Place, simulator: &Server, packages: &Packages, script: &str) -> Command {
        let mut command = Command::new(self.packages.program("node"));
        alone(&mut command, &place.folder);
        command
            .arg(packages.folder().join(script))
            .env("BASE_URL", format!("http://{}", place.address))
            .env("SIMULATOR_URL", simulator.url())
            .env("API_KEY", CLIENT_KEY);
        command
    }

    pub(super) fn fresh(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.folder.join(name);
        let removed = if folder.exists() { fs::remove_dir_all(&folder) } else { Ok(()) };
        removed
            .and_then(|()| fs::create_dir_all(&folder))
            .map_err(|error| format!("cannot empty {}: {error}", folder.display()))?;
        Ok(folder)
    }

    pub(super) fn simulator(&self, folder: &Path) -> Result<Server, String> {
        let pool = folder.join("pool.toml");
        let text = format!(
            "[[projects]]\nkeys = [{{ key = \"{LEAKED}\", condition = \"leaked\" }}]\n\
             [[projects]]\ncondition = \"day-limit\"\nkeys = [\"{LIMITED}\"]\n\
             [[projects]]\nkeys = [\"{GOOD}\"]\n\
             [[projects]]\nkeys = [\"{ADDED}\"]\n"
        );
        write(&pool, &text)?;
        let mut command = Command::new(target().join("debug/libra-simulator"));
        alone(&mut command, folder);
        command.args(["--listen", "127.0.0.1:0", "--log", "0", "--config"]).arg(&pool);
        Server::start(&mut command, &folder.join("simulator.log"))
    }

    /// Node.js, with nothing of the developer's own settings.
    pub(super) fn node(&self, folder: &Path) -> Command {
        let mut command = Command::new(self.packages.program("node"));
        alone(&mut command, folder);
        command
            .env("PATH", self.packages.path())
            .env("HOME", folder)
            .env("CI", "1")
            .env("NO_UPDATE_NOTIFIER", "1")
            .env("WRANGLER_SEND_METRICS", "false");
        for proxy in PROXIES {
            command.env(proxy, NOWHERE);
        }
        for loopback in ["NO_PROXY", "no_proxy"] {
            command.env(loopback, "127.0.0.1,localhost");
        }
        command
    }

    pub(super) fn wrangler(&self) -> PathBuf {
        self.packages.folder().join("node_modules/wrangler/wrangler-dist/cli.js")
    }

    pub(super) fn deno(&self, place: &Place) -> Command {
        let mut command =
            Command::new(self.packages.folder().join("node_modules/@deno/linux-x64-glibc/deno"));
        alone(&mut command, &place.folder);
        command.envs(place.variables()).env("DENO_DIR", place.folder.join("deno")).env("NO_COLOR", "1");
        command.args(["serve", "--no-prompt", "--no-remote", "--no-npm", "--allow-net", "--allow-env"]);
        command.args(["--host", "127.0.0.1", "--port", &place.address.port().to_string()]);
        command
    }
}

impl Place {
    /// What the gateway is set with.
    pub(super) fn variables(&self) -> BTreeMap<&'static str, String> {
        let mut variables: BTreeMap<&str, String> =
            SETTINGS.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        variables.insert("LIBRA_KEYS", [LEAKED, LIMITED, GOOD].join(","));
        variables.insert("LIBRA_UPSTREAM", self.upstream.clone());
        variables.extend(self.more.iter().cloned());
        variables
    }

    pub(super) fn serve(&self, command: &mut Command) -> Result<Server, String> {
        Server::start_at(command, self.address, &self.log)
    }
}

pub(super) fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

/// Copies the scripts of a folder of `xtask`.
fn copy_scripts(from: &str, to: &Path) -> Result<(), String> {
    let from = root().join("xtask").join(from);
    let entries = fs::read_dir(&from).map_err(|error| format!("cannot read {}: {error}", from.display()))?;
    for script in entries.flatten().map(|entry| entry.path()) {
        if script.extension().is_some_and(|extension| extension == "mjs") {
            let to = to.join(script.file_name().unwrap_or_default());
            fs::copy(&script, &to).map_err(|error| format!("cannot write {}: {error}", to.display()))?;
        }
    }
    Ok(())
}
