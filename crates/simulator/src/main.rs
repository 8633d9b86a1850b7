//! A Gemini on a port of this machine.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use libra_simulator::{Clock, Config, Simulator, demo, listen, serve};

/// A simulated Gemini API: projects, quotas, Google's errors, faults on demand.
///
/// The first line it prints is `listening on http://ADDRESS`.
#[derive(Debug, Parser)]
#[command(name = "libra-simulator", version)]
struct Options {
    /// The address to listen on; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Serve the demo pool: 12 keys in 5 projects.
    #[arg(long, conflicts_with_all = ["open", "config"])]
    demo: bool,
    /// Take any key that does not begin with "bad", without limits. So it is without other options too.
    #[arg(long)]
    open: bool,
    /// Projects, keys and quotas, as TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Decides what chance decides.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many requests /_simulator/log remembers; 0 for benchmarks.
    #[arg(long, value_name = "N")]
    log: Option<usize>,
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("libra-simulator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), String> {
    let mut config = match &options.config {
        Some(path) => {
            let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
            Config::from_toml(&text).map_err(|error| named(&error))?
        }
        None if options.demo => demo::config(),
        None => Config::open(),
    };
    config.open |= options.open;
    config.logged_requests = options.log.unwrap_or(config.logged_requests);
    let simulator = Simulator::new(config, Clock::system(), options.seed);
    // Where the limit cannot be raised, fewer connections are served.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(async {
        let listener =
            listen(options.listen).map_err(|error| format!("--listen {}: {error}", options.listen))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let mut out = std::io::stdout();
        writeln!(out, "listening on http://{address}")
            .and_then(|()| out.flush())
            .map_err(|error| format!("standard output: {error}"))?;
        tokio::select! {
            () = serve(simulator, listener) => Ok(()),
            stop = tokio::signal::ctrl_c() => stop.map_err(|error| error.to_string()),
        }
    })
}
