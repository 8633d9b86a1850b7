//! `libra`: the native server.
//!
//! A thin shell: it reads settings, listens, and does what core's state machines say. See `ARCHITECTURE.md`.

mod admin;
#[expect(dead_code, reason = "nobody asks for changes yet")]
mod administration;
mod app;
mod audit;
mod body;
mod check;
mod checks;
mod cli;
mod clock;
mod demo;
mod drive;
mod fetch;
mod live;
mod local_time;
mod machine;
mod patient;
mod serve;
mod settings;
mod simulate;
mod store;
mod table;
mod telemetry;
mod upstream;
mod waiting;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use futures_util::StreamExt as _;
use libra_core::check::{KeyProjects, KeyStatus};
use libra_core::config::parse_keys;
use libra_core::fetch::guard::Guard;
use libra_core::gateway::Gateway;
use tracing_subscriber::EnvFilter;

use crate::administration::{Administration, watch};
use crate::app::App;
use crate::cli::{Cli, Command, ConfigTask, KeysTask, Options};
use crate::fetch::Fetcher;
use crate::settings::Settings;
use crate::upstream::Upstream;

/// What ends a start: a setting, a port that is taken.
type StartError = Box<dyn std::error::Error>;

/// Settings that cannot be used, as shells' tools say it.
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Simulate(simulation) = cli.task() {
        // Nothing of it depends on this machine's settings.
        return simulate::run(simulation, say);
    }
    if let Command::Config { task: ConfigTask::Check { file } } = cli.task() {
        let mut options = cli.options.clone();
        options.config = file.clone().or(options.config);
        return check::check(&options, say);
    }
    if let Some(lapse) = cli.options.time_lapse {
        lapse.begin();
    }
    let settings = match Settings::load(&cli.options) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("libra: {error}");
            return ExitCode::from(BAD_USAGE);
        }
    };
    log_to_stderr(&settings.log);
    // An audit tells what is about its own pool, which may be another than the one that is set; and the running
    // gateway has settings of its own.
    if matches!(cli.task(), Command::Verify { .. }) {
        for notice in &settings.notices {
            tracing::warn!("{notice}");
        }
    }
    let done = runtime().and_then(|runtime| {
        runtime.block_on(async {
            match cli.task() {
                Command::Serve => run(&cli.options, settings).await.map(|()| ExitCode::SUCCESS),
                Command::Verify { keys, probe_projects } => verify(settings, keys, *probe_projects).await,
                Command::Simulate(_) | Command::Config { .. } => {
                    unreachable!("it has run before the settings were read")
                }
                Command::Keys { task: KeysTask::Rekey } => rekey(&settings),
                Command::Audit(options) => audit::run(settings, options).await,
                Command::Pool(options) => admin::pool(&settings, options).await,
                Command::Explain(question) => admin::explain(&settings, question).await,
                Command::Backup { file } => stored(store::backup(&settings.store, file)),
                Command::Restore { file } => stored(store::restore(&settings.store, file)),
            }
        })
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("libra: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Work stealing also on one core: its slot for the task woken last suits answers that hop from the upstream's
/// connection to the client's, and measures faster than the runtime of one thread.
fn runtime() -> Result<tokio::runtime::Runtime, StartError> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

async fn run(options: &Options, mut settings: Settings) -> Result<(), StartError> {
    // A connection is a file, two with the upstream's; the usual soft limit is 1,024.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    if settings.demo {
        demo::prepare(&mut settings.config)?;
    }
    settings.config.memory = settings.config.memory.or_else(|| Some(machine::memory()? / 4));
    let opened = store::open(&settings.store)?;
    let (demo, proxies) = (settings.demo, settings.proxies.clone());
    let administration = Arc::new(Administration::begin(options, settings, opened.as_ref())?);
    for notice in administration.notices() {
        tracing::warn!("{notice}");
    }
    let config = administration.config();
    let listen = config.listen;
    let listener = serve::listen(listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let address = listener.local_addr()?;
    let app = App {
        upstream: Arc::new(Upstream::new(&proxies)),
        fetcher: Arc::new(Fetcher::new(&proxies, Guard::new(&config.fetch_allow))),
        gateway: Gateway::new(config, seed()),
        waiting: Arc::default(),
        stopping: Arc::default(),
    };
    // Whoever waits for a key may have one now.
    let waiting = Arc::clone(&app.waiting);
    administration.govern(Arc::clone(&app.gateway), move || waiting.look_again());
    let store = opened.map(|opened| opened.begin(&app.gateway)).transpose()?;
    if let Some(store) = &store {
        telemetry::keep_in(Arc::clone(store));
    }
    tokio::spawn(checks::look_after_pool(
        Arc::clone(&app.gateway),
        Arc::clone(&app.upstream),
        Arc::clone(&app.waiting),
        store.is_some(),
    ));
    if app.gateway.config().project_probe {
        tokio::spawn(checks::place_keys(Arc::clone(&app.gateway), Arc::clone(&app.upstream)));
    }
    tokio::spawn(watch(Arc::clone(&administration)));
    // Whoever hears that it is there may end it at once, and in good order.
    let stop = stop_signal();
    say(&format!("Libra is listening on http://{address}"));
    tracing::info!("{}", app.gateway.project_counts().summary);
    if demo {
        say(&demo::lines(address));
    }
    serve::serve(listener, app, stop).await;
    if let Some(store) = store {
        store.end();
    }
    Ok(())
}

/// `libra keys rekey`: seals the store with another secret.
fn rekey(settings: &Settings) -> Result<ExitCode, StartError> {
    let done = store::open_existing(&settings.store)?.rekey(&settings.store)?;
    say(&format!("all is sealed anew; {done}"));
    Ok(ExitCode::SUCCESS)
}

/// What came of a command about the store.
fn stored(done: Result<(), store::StoreError>) -> Result<ExitCode, StartError> {
    Ok(done.map(|()| ExitCode::SUCCESS)?)
}

/// `libra verify`: checks keys and says of each what it is worth.
async fn verify(
    mut settings: Settings,
    keys: &[String],
    probe_projects: bool,
) -> Result<ExitCode, StartError> {
    if settings.demo {
        demo::prepare(&mut settings.config)?;
    }
    let keys = match keys {
        [] => settings.config.keys.iter().map(|key| key.key.clone()).collect(),
        keys => parse_keys(&keys.join(","))?.into_iter().map(|key| key.key).collect::<Vec<_>>(),
    };
    if keys.is_empty() {
        return Err("no keys to check: name them, or set LIBRA_KEYS".into());
    }
    let upstream = Arc::new(Upstream::new(&settings.proxies));
    let gateway = Gateway::new(settings.config, seed());
    let checks = keys.iter().map(|key| gateway.check(key.clone())).collect();
    let mut results = checks::results(checks, Arc::clone(&upstream)).boxed();
    let mut all_good = true;
    while let Some(result) = results.next().await {
        all_good &= result.status == KeyStatus::Good;
        let status = match result.status {
            KeyStatus::Good => "GOOD ",
            KeyStatus::Bad => "BAD  ",
            KeyStatus::Error => "ERROR",
        };
        say(format!("{status}  {}  {}", result.key, result.error.unwrap_or_default()).trim_end());
    }
    if probe_projects {
        let entries = keys.iter().map(|key| vec![key.clone()]).collect();
        let relations = checks::projects_of(entries, &gateway.config().upstream, &upstream).await;
        let found = KeyProjects::new(&keys, &relations);
        for (number, keys) in found.projects.iter().enumerate() {
            say(&format!("project {}  {}", number + 1, keys.join("  ")));
        }
        found.unclear.iter().for_each(|key| say(&format!("unclear    {key}")));
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Chance need not be secret here: it spreads keys and names answers.
fn seed() -> u64 {
    clock::now().as_millis().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(std::process::id())
}

fn say(line: &str) {
    // A closed standard output is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn log_to_stderr(directives: &str) {
    // A bare level is about Libra; its libraries only warn.
    let directives = match directives.parse::<tracing::Level>() {
        Ok(level) => format!("warn,libra={level},libra_core={level}"),
        Err(_) => directives.to_owned(),
    };
    let filter = EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}

/// Ready at the first SIGTERM or SIGINT from now on.
fn stop_signal() -> impl Future<Output = ()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{Signal, SignalKind, signal};
        let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        async move {
            let [terminated, interrupted] = signals;
            // Where the system has no handler to give, the signal ends the process by itself.
            let heard = async |signal: std::io::Result<Signal>| match signal {
                Ok(mut signal) => {
                    signal.recv().await;
                }
                Err(_) => std::future::pending().await,
            };
            tokio::select! {
                () = heard(terminated) => {}
                () = heard(interrupted) => {}
            }
        }
    }
    #[cfg(not(unix))]
    async {
        let _ = tokio::signal::ctrl_c().await;
    }
}
