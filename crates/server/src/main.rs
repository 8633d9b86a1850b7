//! `libra`: the native server.
//!
//! A thin shell: it reads settings, listens, and does what core's state machines say. See `ARCHITECTURE.md`.

mod admin;
mod admin_api;
#[expect(dead_code, reason = "nobody asks for changes yet")]
mod administration;
mod app;
mod audit;
mod body;
mod check;
mod checks;
mod cli;
mod clock;
mod commands;
mod demo;
mod drive;
mod egress;
mod fetch;
mod health;
mod live;
mod local_time;
mod machine;
mod metrics;
mod notify;
mod patient;
mod progress;
mod serve;
mod settings;
mod signals;
mod simulate;
mod store;
mod table;
mod telemetry;
mod trust;
mod upstream;
mod waiting;

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use futures_util::StreamExt as _;
use libra_core::check::{KeyProjects, KeyStatus};
use libra_core::config::{Notice, parse_keys};
use libra_core::fetch::guard::Guard;
use libra_core::gateway::Gateway;
use libra_core::secret::ApiKey;

use crate::admin_api::{Access, AdminApi, token_in};
use crate::administration::{Administration, watch};
use crate::app::{App, Door};
use crate::cli::{Cli, Command, ConfigTask, KeysTask, Options};
use crate::fetch::Fetcher;
use crate::metrics::page::Guarded;
use crate::settings::{Listens, SeeingSettings, Settings};
use crate::signals::Signals;
use crate::store::{Opened, Reports};
use crate::telemetry::webhook::Webhook;
use crate::upstream::Upstream;

/// The one of musl takes a lock for everything, and static builds have it.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    // Until the end: what waits is written then.
    let _log = telemetry::log::begin(&settings.log, settings.seeing.log_format);
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
                Command::Keys(asked) if matches!(asked.task, KeysTask::Rekey) => rekey(&settings),
                Command::Keys(asked) => commands::keys(&cli.options, &settings, asked).await,
                Command::Clients(asked) => commands::clients(&cli.options, &settings, asked).await,
                Command::Usage(asked) => commands::usage(&cli.options, &settings, asked).await,
                Command::Logs(asked) => commands::logs(&cli.options, &settings, asked).await,
                Command::Import(asked) => commands::import(&cli.options, &settings, asked).await,
                Command::Audit(options) => audit::run(settings, options).await,
                Command::Pool(options) => admin::pool(&settings, options).await,
                Command::Explain(question) => admin::explain(&settings, question).await,
                Command::Health => {
                    let config = &settings.config;
                    health::ask(config.listen, &config.base_path, settings.serving.tls.is_some())?;
                    Ok(ExitCode::SUCCESS)
                }
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
    let files = rlimit::increase_nofile_limit(u64::MAX);
    if let Err(error) = &files {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    if settings.demo {
        demo::prepare(&mut settings.config)?;
    }
    let memory = machine::memory();
    settings.config.memory = settings.config.memory.or_else(|| Some(memory? / 4));
    let listens = settings.administration();
    if settings.is_public() {
        refuse_weak(&settings)?;
    }
    let opened = store::open(&settings.store)?;
    if listens != Listens::Nowhere {
        settings.config.admin_token = admin_token(&settings, opened.as_ref())?;
    }
    let admin_access = match (listens, settings.config.admin_token.clone()) {
        (Listens::Nowhere, _) | (_, None) => None,
        (_, Some(token)) => Some(Access::new(token, settings.config.admin_read_token.clone())),
    };
    let (demo, outward, serving) = (settings.demo, settings.outward.clone(), settings.serving.clone());
    let seeing = settings.seeing.clone();
    let administration = Arc::new(Administration::begin(options, settings, opened.as_ref())?);
    for notice in administration.notices() {
        tracing::warn!("{notice}");
    }
    let config = administration.config();
    let tls = serving.tls.as_ref().map(serve::Tls::open).transpose()?;
    let acceptor = tls.as_ref().map(serve::Tls::acceptor);
    let listen = config.listen;
    let (address, mut listeners) = serve::listen(listen, acceptor.as_ref())
        .map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    for place in &serving.also {
        listeners.push(serve::listen_also(place, acceptor.as_ref())?);
    }
    let apart = match listens {
        Listens::Apart { address, named } if admin_access.is_some() => {
            listen_apart(address, named, acceptor.as_ref())?
        }
        _ => Vec::new(),
    };
    let places = serve::Places::new(serving.connections, serving.of_address, files.ok(), memory);
    let trusted = trust::client_config(outward.ca_file.as_deref())?;
    let fetcher = Fetcher::new(&outward.proxies, &trusted, Guard::new(&config.fetch_allow));
    let tokens =
        [&config.admin_token, &config.admin_read_token, &seeing.metrics_token].into_iter().flatten().cloned();
    let metrics = Guarded::new(tokens, &config.base_path);
    let gateway = Gateway::new(config, seed());
    let mut app = App {
        metrics,
        upstream: Arc::new(Upstream::new(&outward, &trusted, Some(&gateway))),
        fetcher: Arc::new(fetcher),
        gateway,
        waiting: Arc::default(),
        stopping: Arc::default(),
        admin: None,
        door: if listens == Listens::Same { Door::Both } else { Door::Clients },
    };
    let reports = opened.as_ref().map(|opened| Reports::of(opened.path()));
    app.admin = admin_access.map(|access| {
        let (gateway, upstream) = (Arc::clone(&app.gateway), Arc::clone(&app.upstream));
        Arc::new(AdminApi::new(gateway, upstream, Arc::clone(&administration), reports, access))
    });
    // Whoever waits for a key may have one now.
    let waiting = Arc::clone(&app.waiting);
    administration.govern(Arc::clone(&app.gateway), move || waiting.look_again());
    see(&seeing, || Upstream::new(&outward, &trusted, None), &app)?;
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
    let signals = Signals::listen();
    let scheme = if tls.is_some() { "https" } else { "http" };
    say(&format!("Libra is listening on {scheme}://{address}"));
    tracing::debug!("there are places for {} connections", places.most());
    if let Some(tls) = tls {
        tokio::spawn(tls.look_after());
    }
    tokio::spawn(notify::live());
    notify::ready();
    tracing::info!("{}", app.gateway.project_counts().summary);
    if demo {
        say(&demo::lines(address));
    }
    let service = serve::Service { app, administration: apart, places, drain: serving.drain, memory };
    serve::serve(listeners, service, signals).await;
    telemetry::end();
    if let Some(store) = store {
        store.end();
    }
    Ok(())
}

/// The token that opens the administration: the one that is set, else that of the data folder's file, which is made at the
/// first start. A person who looks on is shown it then.
fn admin_token(settings: &Settings, opened: Option<&Opened>) -> Result<Option<ApiKey>, StartError> {
    let (set, Some(opened)) = (settings.config.admin_token.clone(), opened) else {
        return Ok(settings.config.admin_token.clone());
    };
    if set.is_some() {
        return Ok(set);
    }
    let file = admin::token_file(opened.path());
    let (token, is_new) = token_in(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    tracing::info!("the administration's token is in {}", file.display());
    if is_new && std::io::stdout().is_terminal() {
        say(&format!("The administration's token, shown this once: {}", token.expose()));
    }
    Ok(Some(token))
}

/// The administration's own listeners, and where they are. Where nobody has named the address, the gateway does without.
/// What leaves this machine is over TLS, where there is TLS.
fn listen_apart(
    address: SocketAddr,
    named: bool,
    acceptor: Option<&serve::Acceptor>,
) -> Result<Vec<serve::Listener>, StartError> {
    let acceptor = acceptor.filter(|_| !address.ip().to_canonical().is_loopback());
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    match serve::listen(address, acceptor) {
        Ok((address, listeners)) => {
            tracing::info!("the administration is at {scheme}://{address}/admin");
            Ok(listeners)
        }
        Err(error) if named => {
            Err(format!("cannot listen on {address} for the administration (LIBRA_ADMIN_LISTEN): {error}")
                .into())
        }
        Err(error) => {
            tracing::warn!(
                "there is no administration, as {address} cannot be listened on: {error}; set LIBRA_ADMIN_LISTEN to \
                 another address, or to off if that is meant"
            );
            Ok(Vec::new())
        }
    }
}

/// Where others than this machine can send keys, those that everybody guesses open nothing.
fn refuse_weak(settings: &Settings) -> Result<(), StartError> {
    let weak = settings.notices.iter().find(|notice| matches!(notice, Notice::WeakClients { .. }));
    match weak {
        Some(notice) => Err(format!(
            "{notice}; libra does not start with it at {}, where others can reach it",
            settings.config.listen
        )
        .into()),
        None => Ok(()),
    }
}

/// `libra keys rekey`: seals the store with another secret.
fn rekey(settings: &Settings) -> Result<ExitCode, StartError> {
    let done = store::open_existing(&settings.store)?.rekey(&settings.store)?;
    say(&format!("all is sealed anew; {done}"));
    Ok(ExitCode::SUCCESS)
}

/// Begins to show what happens to whoever is to see it.
fn see(seeing: &SeeingSettings, upstream: impl Fn() -> Upstream, app: &App) -> Result<(), StartError> {
    if let Some(listen) = seeing.metrics_listen {
        let listener = serve::open(listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
        tracing::info!("metrics are on http://{}/metrics", listener.local_addr()?);
        tokio::spawn(metrics::listener::serve(listener, Arc::clone(&app.gateway)));
    }
    if let Some(most) = seeing.log_bodies {
        tracing::warn!(
            "LIBRA_LOG_BODIES is set: what clients say, and what they are answered, is written into this log (up to {most} bytes of each)"
        );
        telemetry::bodies::show(most);
    }
    let webhook = seeing.webhook.clone();
    let webhook = webhook.map(|address| Webhook::begin(address, &app.gateway, upstream()));
    #[cfg(feature = "otlp")]
    let otlp = match &seeing.otlp {
        // What it is told may leave the machine: not with an error's words, which may have the address in them.
        Some(collector) => Some(
            telemetry::otlp::Otlp::begin(collector, &app.gateway, upstream())
                .map_err(|_| "LIBRA_OTLP: the exporter cannot be made for this address")?,
        ),
        None => None,
    };
    telemetry::listen(telemetry::Listeners {
        webhook,
        #[cfg(feature = "otlp")]
        otlp,
        stories: telemetry::stories(&app.gateway),
    });
    Ok(())
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
    let trusted = trust::client_config(settings.outward.ca_file.as_deref())?;
    let gateway = Gateway::new(settings.config, seed());
    let upstream = Arc::new(Upstream::new(&settings.outward, &trusted, Some(&gateway)));
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
