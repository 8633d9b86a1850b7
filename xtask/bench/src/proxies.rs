//! What is compared: the simulator itself, and the proxies in front of it on a core of their own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::command::{self, exists};
use xtask::gateway::{self, CLIENT_KEY};
use xtask::server::{Server, free_address};

use crate::load::Call;
use crate::process::processor_time;
use crate::scenario::{Length, Scenario};

/// The core of the proxies; the benchmark itself and the simulator are started on another one.
const PROXY_CORE: &str = "0";

/// The keys in libra's pool.
const POOL: usize = 8;

/// Where the programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) libra: PathBuf,
    pub(crate) simulator: PathBuf,
    pub(crate) bare_proxy: PathBuf,
    /// For logs and settings of the servers, and nothing else.
    pub(crate) folder: PathBuf,
    pub(crate) pinned: bool,
}

impl Programs {
    pub(crate) fn start_simulator(&self) -> Result<Server, String> {
        Server::start(&mut gateway::simulator(&self.simulator, &self.folder), &self.log("simulator"))
    }

    pub(crate) fn start_libra(&self, upstream: &str) -> Result<Server, String> {
        let mut command = self.pin(&gateway::libra(&self.libra, &self.folder, upstream, POOL));
        Server::start(&mut command, &self.log("libra"))
    }

    /// With all that a team turns on: a store on disk, metrics, and a client with limits, which are counted and never
    /// reached.
    fn start_whole_libra(&self, upstream: &str) -> Result<Server, String> {
        let folder = self.folder.join("whole");
        let failed = |error: std::io::Error| format!("cannot write in {}: {error}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(failed)?;
        }
        fs::create_dir_all(&folder).map_err(failed)?;
        fs::write(folder.join("libra.toml"), whole_settings()).map_err(failed)?;
        let command = gateway::libra_with_all(&self.libra, &folder, upstream, POOL);
        Server::start(&mut self.pin(&command), &self.log("whole-libra"))
    }

    pub(crate) fn start_bare(&self, upstream: &str) -> Result<Server, String> {
        Server::start(&mut self.pin(&self.bare(upstream)), &self.log("bare-proxy"))
    }

    pub(crate) fn libra(&self, upstream: &str) -> Command {
        gateway::libra(&self.libra, &self.folder, upstream, POOL)
    }

    pub(crate) fn bare(&self, upstream: &str) -> Command {
        let mut command = Command::new(&self.bare_proxy);
        command.args(["--upstream", upstream]);
        gateway::alone(&mut command, &self.folder);
        command
    }

    /// One worker that logs nothing and keeps its connections to the upstream.
    fn start_nginx(&self, upstream: SocketAddr) -> Result<Server, String> {
        install_nginx()?;
        let folder = self.folder.join("nginx");
        let address = free_address()?;
        let settings = folder.join("nginx.conf");
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&settings, nginx_settings(&folder, address, upstream)))
            .map_err(|error| format!("cannot write {}: {error}", settings.display()))?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&folder).arg("-c").arg(&settings);
        gateway::alone(&mut command, &folder);
        Server::start_at(&mut self.pin(&command), address, &self.log("nginx"))
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// The same command, on the proxies' core. `taskset` becomes the program that it starts, so the process is the same.
    pub(crate) fn pin(&self, command: &Command) -> Command {
        if !self.pinned {
            return again(command, Command::new(command.get_program()));
        }
        let mut pinned = Command::new("taskset");
        pinned.args(["--cpu-list", PROXY_CORE]).arg(command.get_program());
        again(command, pinned)
    }
}

/// Gives `to` the arguments, the variables and the folder of `command`.
pub(crate) fn again(command: &Command, mut to: Command) -> Command {
    to.args(command.get_args()).env_clear();
    to.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        to.current_dir(folder);
    }
    to
}

/// One of those compared.
pub(crate) struct Proxy {
    pub(crate) name: &'static str,
    server: Server,
    translates: bool,
    measured: bool,
}

impl Proxy {
    pub(crate) const DIRECT: &'static str = "direct";
    pub(crate) const BARE: &'static str = "bare hyper";
    pub(crate) const LIBRA: &'static str = "libra";
    pub(crate) const WHOLE: &'static str = "libra, all on";

    /// All of them, the simulator first.
    pub(crate) fn start_all(programs: &Programs) -> Result<Vec<Self>, String> {
        let simulator = programs.start_simulator()?;
        let (address, url) = (simulator.address(), simulator.url());
        let proxy = |name, server| Self { name, server, translates: false, measured: true };
        Ok(vec![
            Self { measured: false, ..proxy(Self::DIRECT, simulator) },
            proxy("nginx", programs.start_nginx(address)?),
            proxy(Self::BARE, programs.start_bare(&url)?),
            Self { translates: true, ..proxy(Self::LIBRA, programs.start_libra(&url)?) },
            Self { translates: true, ..proxy(Self::WHOLE, programs.start_whole_libra(&url)?) },
        ])
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What it is asked: libra the scenario's own request, the others the native request that this becomes.
    pub(crate) fn call(&self, scenario: Scenario, length: Length) -> Call {
        if self.translates { scenario.libra_call(length) } else { scenario.native_call(length) }
    }

    /// The processor time used so far; nothing for the simulator, which shares its core with the load.
    pub(crate) fn processor_time(&self) -> Result<Option<std::time::Duration>, String> {
        self.measured.then(|| processor_time(self.server.id())).transpose()
    }
}

/// One client, with a limit of every kind.
fn whole_settings() -> String {
    format!(
        "[[clients]]
key = \"{CLIENT_KEY}\"
name = \"bench\"
requests_per_minute = 100000000
requests_per_day = 10000000000
tokens_per_minute = 1000000000000
tokens_per_day = 1000000000000
concurrent_requests = 10000
"
    )
}

fn install_nginx() -> Result<(), String> {
    if exists("nginx", "-v") {
        return Ok(());
    }
    if !exists("apt-get", "--version") {
        return Err("nginx is missing, and there is no apt-get to install it with".to_owned());
    }
    println!("Installing from Debian: nginx-light.");
    command::run(Command::new("apt-get").args(["update", "--quiet"]))?;
    command::run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args([
        "install",
        "--yes",
        "--quiet",
        "--no-install-recommends",
        "nginx-light",
    ]))
}

fn nginx_settings(folder: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
# A benchmark's server has no need of a second process that watches the first.
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream simulator {{ server {upstream}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen {address} backlog=4096;
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    location / {{ proxy_pass http://simulator; }}
    location ~ streamGenerateContent {{ proxy_pass http://simulator; proxy_buffering off; }}
  }}
}}
"
    )
}
