//! `cargo xtask edge-test`: the built folders, run by the platforms' own programs on this machine.
//!
//! Their upstream is the simulator, whose pool has a leaked key, one without quota, and a good one. What a platform must
//! show is in `xtask/edge/checks.mjs`, which talks to it as any client does. All programs come from npm, by lockfile; no
//! platform is deployed to.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use xtask::command::{self, cargo, exists, root, target};
use xtask::gateway::{self, CLIENT_KEY, alone};
use xtask::server::{Server, free_address};

use crate::edge;
use crate::npm::Packages;

const LEAKED: &str = "leaked-key-for-the-edges-checks-0000000";
const LIMITED: &str = "spent-key-for-the-edges-checks-00000000";
const ADMIN: &str = "admin-token-for-the-edges-checks";
const GOOD: &str = "good-key-for-the-edges-checks-000000000";

/// A loopback address that nothing listens on, as the proxy for all others: the platforms' tools ask nobody.
const NOWHERE: &str = "http://127.0.0.1:9";
const PROXIES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];

/// How long a platform's checks may take.
const LIMIT: Duration = Duration::from_secs(240);

/// The variables that the platforms hand to the gateway, besides the upstream's address.
const SETTINGS: [(&str, &str); 6] = [
    ("LIBRA_ADMIN_TOKEN", ADMIN),
    ("LIBRA_FETCH_ALLOW", "127.0.0.0/8"),
    ("LIBRA_CLIENTS", CLIENT_KEY),
    ("LIBRA_REPLAY_LIMIT", "1MiB"),
    ("LIBRA_HEARTBEAT", "1s"),
    ("LIBRA_MAX_ATTEMPTS", "3"),
];

/// Clients' SDKs that are asked, too: scripts of `xtask/conformance/node`.
const SDKS: [&str; 3] = ["openai_chat.mjs", "google_genai.mjs", "anthropic_messages.mjs"];

/// A platform that is shown here.
struct Platform {
    name: &'static str,
    /// What it is run by.
    program: &'static str,
    start: fn(&Bench, &Place) -> Result<Server, String>,
    /// Checks that it cannot pass here, and why.
    skipped: &'static [(&'static str, &'static str)],
}

const PLATFORMS: [Platform; 5] = [
    Platform {
        name: "workerd",
        program: "workerd serve",
        start: workerd,
        skipped: &[(
            "abort-before-head",
            "workerd by itself sees a client leave only when it sends something",
        )],
    },
    Platform {
        name: "wrangler",
        program: "wrangler dev --local",
        start: wrangler,
        skipped: &[(
            "abort-before-head",
            "workerd by itself sees a client leave only when it sends something",
        )],
    },
    Platform { name: "deno", program: "deno serve", start: deno, skipped: &[] },
    Platform {
        name: "netlify",
        program: "deno serve, with a stand-in for Netlify's start",
        start: netlify,
        skipped: &[],
    },
    Platform {
        name: "vercel",
        program: "edge-runtime",
        start: vercel,
        skipped: &[(
            "abort-before-head",
            "edge-runtime tells nothing of a client that leaves before the answer's head",
        )],
    },
];

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
    summary(&reports)
}

/// The programs, and where their files go.
struct Bench {
    packages: Packages,
    /// The tools that build what Netlify and Vercel are given.
    builders: Packages,
    /// The clients' SDKs, and their scripts.
    sdks: Packages,
    folder: PathBuf,
}

/// One platform's run.
struct Place {
    folder: PathBuf,
    address: SocketAddr,
    upstream: String,
    log: PathBuf,
}

/// What came of a platform.
struct Report {
    name: &'static str,
    program: &'static str,
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Bench {
    /// Scripts find their packages beside themselves.
    fn copy_scripts(&self) -> Result<(), String> {
        let own = ["checks.mjs", "netlify.mjs", "vercel.mjs"].map(|script| ("edge", script, &self.packages));
        let sdks = SDKS.map(|script| ("conformance/node", script, &self.sdks));
        let shared = ("conformance/node", "checks.mjs", &self.sdks);
        for (from, script, packages) in own.into_iter().chain(sdks).chain([shared]) {
            let to = packages.folder().join(script);
            fs::copy(root().join("xtask").join(from).join(script), &to)
                .map_err(|error| format!("cannot write {}: {error}", to.display()))?;
        }
        Ok(())
    }

    fn script(&self, name: &str) -> PathBuf {
        self.packages.folder().join(name)
    }

    fn ask(&self, platform: &Platform) -> Result<Report, String> {
        println!("\n== {} ({})", platform.name, platform.program);
        let folder = self.fresh(platform.name)?;
        let simulator = self.simulator(&folder)?;
        let log = folder.join("platform.log");
        let place = Place { folder, address: free_address()?, upstream: simulator.url(), log };
        let server = (platform.start)(self, &place)?;
        let mut report = Report {
            name: platform.name,
            program: platform.program,
            passed: 0,
            failed: Vec::new(),
            skipped: Vec::new(),
        };
        let skipped: Vec<String> =
            platform.skipped.iter().map(|(name, why)| format!("{name}={why}")).collect();
        let mut checks = self.client(&place, &simulator, &self.packages, "checks.mjs");
        checks
            .env("ADMIN", ADMIN)
            .env("LEAKED", LEAKED)
            .env("LIMITED", LIMITED)
            .env("GOOD", GOOD)
            .env("LOG", &place.log)
            .env("SKIPPED", skipped.join("\n"));
        report.ask(&mut checks, &place)?;
        // Asked to stop, as wrangler has a process of its own to end.
        server.stop()?;
        self.ask_sdks(platform, &mut report)?;
        Ok(report)
    }

    /// The SDKs' own checks, with an upstream where all is well.
    fn ask_sdks(&self, platform: &Platform, report: &mut Report) -> Result<(), String> {
        let folder = self.fresh(&format!("{}-sdks", platform.name))?;
        let mut command = gateway::simulator(&target().join("debug/libra-simulator"), &folder);
        let simulator = Server::start(&mut command, &folder.join("simulator.log"))?;
        let log = folder.join("platform.log");
        let place = Place { folder, address: free_address()?, upstream: simulator.url(), log };
        let server = (platform.start)(self, &place)?;
        for script in SDKS {
            println!("-- {script}");
            report.ask(&mut self.client(&place, &simulator, &self.sdks, script), &place)?;
        }
        server.stop()
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

    /// Whether wrangler would deploy the folder as it is.
    fn dry_run(&self) -> Result<Report, String> {
        let folder = self.fresh("dry-run")?;
        let mut wrangler = self.node(&folder);
        wrangler.arg(self.wrangler()).args(["deploy", "--dry-run", "--outdir"]).arg(folder.join("out"));
        wrangler.current_dir(edge::dist().join("cloudflare"));
        Ok(Report::of_build("cloudflare", "wrangler deploy --dry-run", &mut wrangler, &[]))
    }

    /// Whether Netlify's tool makes a bundle of the folder as it is, for all paths. It says that a file of types cannot be
    /// had, which is only for who writes TypeScript.
    fn netlify_build(&self) -> Result<Report, String> {
        let folder = self.fresh("netlify-build")?;
        edge::copy_all(&edge::dist().join("netlify"), &folder)?;
        let deno = self.packages.folder().join("node_modules/@deno/linux-x64-glibc");
        let mut netlify = self.node(&folder);
        // It would not start with a proxy that does not answer; offline, it asks for the types alone.
        PROXIES.iter().for_each(|proxy| {
            netlify.env_remove(proxy);
        });
        netlify.env("PATH", format!("{}:{}", deno.display(), self.packages.path()));
        netlify.arg(self.builders.folder().join("node_modules/netlify-cli/bin/run.js"));
        let manifest = folder.join(".netlify/edge-functions-dist/manifest.json");
        let expected = [(manifest, r#""function":"libra","pattern":"^(?:/(.*))/?$""#)];
        netlify.args(["build", "--offline"]).env("NETLIFY_TELEMETRY_DISABLED", "1");
        Ok(Report::of_build("netlify", "netlify build --offline", &mut netlify, &expected))
    }

    /// Whether Vercel's tool takes the folder as it is for an edge function that answers all paths.
    fn vercel_build(&self) -> Result<Report, String> {
        let folder = self.fresh("vercel-build")?;
        edge::copy_all(&edge::dist().join("vercel"), &folder)?;
        // What `vercel link` would write. The names are made up: nobody is asked.
        let project = r#"{"projectId":"prj_local","orgId":"team_local","settings":{"framework":null,"nodeVersion":"22.x"}}"#;
        fs::create_dir_all(folder.join(".vercel"))
            .map_err(|error| format!("cannot write to {}: {error}", folder.display()))?;
        write(&folder.join(".vercel/project.json"), project)?;
        let mut vercel = self.node(&folder);
        vercel.arg(self.builders.folder().join("node_modules/vercel/dist/index.js"));
        vercel.args(["build", "--yes", "--token", "none"]).env("VERCEL_TELEMETRY_DISABLED", "1");
        let output = folder.join(".vercel/output");
        let expected = [
            (output.join("functions/api/index.func/.vc-config.json"), r#""runtime": "edge""#),
            (output.join("config.json"), r#""dest": "/api/index""#),
        ];
        Ok(Report::of_build("vercel", "vercel build", &mut vercel, &expected))
    }

    fn fresh(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.folder.join(name);
        let removed = if folder.exists() { fs::remove_dir_all(&folder) } else { Ok(()) };
        removed
            .and_then(|()| fs::create_dir_all(&folder))
            .map_err(|error| format!("cannot empty {}: {error}", folder.display()))?;
        Ok(folder)
    }

    fn simulator(&self, folder: &Path) -> Result<Server, String> {
        let pool = folder.join("pool.toml");
        let text = format!(
            "[[projects]]\nkeys = [{{ key = \"{LEAKED}\", condition = \"leaked\" }}]\n\
             [[projects]]\ncondition = \"day-limit\"\nkeys = [\"{LIMITED}\"]\n\
             [[projects]]\nkeys = [\"{GOOD}\"]\n"
        );
        write(&pool, &text)?;
        let mut command = Command::new(target().join("debug/libra-simulator"));
        alone(&mut command, folder);
        command.args(["--listen", "127.0.0.1:0", "--log", "0", "--config"]).arg(&pool);
        Server::start(&mut command, &folder.join("simulator.log"))
    }

    /// Node.js, with nothing of the developer's own settings.
    fn node(&self, folder: &Path) -> Command {
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

    fn wrangler(&self) -> PathBuf {
        self.packages.folder().join("node_modules/wrangler/wrangler-dist/cli.js")
    }

    fn deno(&self, place: &Place) -> Command {
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
    fn variables(&self) -> BTreeMap<&'static str, String> {
        let mut variables: BTreeMap<&str, String> =
            SETTINGS.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        variables.insert("LIBRA_KEYS", [LEAKED, LIMITED, GOOD].join(","));
        variables.insert("LIBRA_UPSTREAM", self.upstream.clone());
        variables
    }

    fn serve(&self, command: &mut Command) -> Result<Server, String> {
        Server::start_at(command, self.address, &self.log)
    }
}

fn workerd(bench: &Bench, place: &Place) -> Result<Server, String> {
    let dist = edge::dist().join("cloudflare");
    let bindings: String = place
        .variables()
        .keys()
        .map(|name| format!("(name = \"{name}\", fromEnvironment = \"{name}\"), "))
        .collect();
    let mut modules = String::new();
    for (name, kind) in [("index.js", "esModule"), ("libra.js", "esModule"), ("libra_bg.wasm", "wasm")] {
        // A configuration embeds files of its own folder only.
        fs::copy(dist.join(name), place.folder.join(name))
            .map_err(|error| format!("cannot copy {name} to {}: {error}", place.folder.display()))?;
        modules.push_str(&format!("(name = \"{name}\", {kind} = embed \"{name}\"), "));
    }
    let setting = |name: &str| toml_value(&dist.join("wrangler.toml"), name);
    let config = format!(
        "using Workerd = import \"/workerd/workerd.capnp\";\n\
         const config :Workerd.Config = (\n\
         services = [(name = \"main\", worker = .libra), (name = \"out\", network = (allow = [\"private\"]))],\n\
         sockets = [(name = \"http\", address = \"{}\", http = (), service = \"main\")]);\n\
         const libra :Workerd.Worker = (\n\
         modules = [{modules}],\n\
         bindings = [{bindings}],\n\
         compatibilityDate = {}, compatibilityFlags = {},\n\
         globalOutbound = \"out\");\n",
        place.address,
        setting("compatibility_date")?,
        setting("compatibility_flags")?,
    );
    let file = place.folder.join("config.capnp");
    write(&file, &config)?;
    let program = bench.packages.folder().join("node_modules/@cloudflare/workerd-linux-64/bin/workerd");
    let mut command = Command::new(program);
    alone(&mut command, &place.folder);
    place.serve(command.envs(place.variables()).arg("serve").arg(file))
}

fn wrangler(bench: &Bench, place: &Place) -> Result<Server, String> {
    let mut command = bench.node(&place.folder);
    command.arg(bench.wrangler()).args([
        "dev",
        "--local",
        "--ip",
        "127.0.0.1",
        "--show-interactive-dev-session=false",
    ]);
    command.args(["--port", &place.address.port().to_string(), "--inspector-port", "0", "--persist-to"]);
    command.arg(place.folder.join("state"));
    for (name, value) in place.variables() {
        command.args(["--var", &format!("{name}:{value}")]);
    }
    place.serve(command.current_dir(edge::dist().join("cloudflare")))
}

fn deno(bench: &Bench, place: &Place) -> Result<Server, String> {
    let mut command = bench.deno(place);
    command.args(["--allow-read=.", "main.js"]);
    place.serve(command.current_dir(edge::dist().join("deno")))
}

fn netlify(bench: &Bench, place: &Place) -> Result<Server, String> {
    let mut command = bench.deno(place);
    command.arg("--allow-read=.").arg(bench.script("netlify.mjs"));
    place.serve(command.current_dir(edge::dist().join("netlify")))
}

fn vercel(bench: &Bench, place: &Place) -> Result<Server, String> {
    let mut command = bench.node(&place.folder);
    command.envs(place.variables()).arg(bench.script("vercel.mjs"));
    command.arg(edge::dist().join("vercel/api/index.js")).arg(place.address.port().to_string());
    place.serve(&mut command)
}

/// A value of a TOML file's top, as it is written there: what is tested has the settings of what is deployed.
fn toml_value(file: &Path, name: &str) -> Result<String, String> {
    let text =
        fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
    value.map(|value| value.trim().to_owned()).ok_or_else(|| format!("{} has no {name}", file.display()))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

impl Report {
    /// A tool that builds: it ends well, and files say what they should.
    fn of_build(
        name: &'static str,
        program: &'static str,
        tool: &mut Command,
        expected: &[(PathBuf, &str)],
    ) -> Self {
        println!("\n== {program}");
        let mut failed: Vec<String> = command::run(tool).err().into_iter().collect();
        for (file, part) in expected {
            if !fs::read_to_string(file).is_ok_and(|text| text.contains(part)) {
                failed.push(format!("{} does not say {part}", file.display()));
            }
        }
        Self { name, program, passed: usize::from(failed.is_empty()), failed, skipped: Vec::new() }
    }

    /// Runs a script of checks to its end, and counts them.
    fn ask(&mut self, script: &mut Command, place: &Place) -> Result<(), String> {
        let errors = place.folder.join("checks-errors.log");
        let failed = self.failed.len();
        let status = command::run_bounded(script, &errors, LIMIT, |line| {
            println!("{line}");
            self.read(line);
        })?;
        if !status.is_some_and(|status| status.success()) && self.failed.len() == failed {
            self.failed.push(format!("the checks did not end well; see {}", errors.display()));
        }
        if self.failed.len() > failed {
            println!("The platform's log is {}.", place.log.display());
        }
        Ok(())
    }

    /// Counts a line of the checks'.
    fn read(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("PASS", _)) => self.passed += 1,
            Some(("FAIL", rest)) => self.failed.push(rest.to_owned()),
            Some(("SKIP", rest)) => self.skipped.push(rest.to_owned()),
            _ => {}
        }
    }
}

fn summary(reports: &[Report]) -> Result<(), String> {
    println!("\n{:<11} {:<50} {:>6} {:>6} {:>8}", "platform", "run by", "passed", "failed", "not here");
    for report in reports {
        let (failed, skipped) = (report.failed.len(), report.skipped.len());
        println!("{:<11} {:<50} {:>6} {failed:>6} {skipped:>8}", report.name, report.program, report.passed);
    }
    for report in reports {
        report.skipped.iter().for_each(|what| println!("{}: not shown here: {what}", report.name));
    }
    let failed: Vec<String> = reports
        .iter()
        .flat_map(|report| report.failed.iter().map(move |what| format!("{}: {what}", report.name)))
        .collect();
    let passed: usize = reports.iter().map(|report| report.passed).sum();
    println!("{passed} passed, {} failed", failed.len());
    if failed.is_empty() { Ok(()) } else { Err(format!("failed:\n{}", failed.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_settings_found() {
        let mut report = Report {
            name: "a platform",
            program: "a program",
            passed: 0,
            failed: Vec::new(),
            skipped: Vec::new(),
        };
        for line in ["PASS one", "PASS two - 7 ms", "FAIL three - why", "SKIP four - why", "", "PASSED"] {
            report.read(line);
        }
        assert_eq!((report.passed, report.failed.len(), report.skipped.len()), (2, 1, 1));
        let settings = root().join("crates/edge/entries/cloudflare/wrangler.toml");
        assert!(toml_value(&settings, "compatibility_flags").is_ok_and(|flags| flags.starts_with('[')));
        assert!(toml_value(&settings, "nonesuch").is_err());
    }
}
