//! The same scenarios over loopback: the real server, the simulator behind it, and clocks that run fast.
//!
//! This proves that the server wires right what the trials in virtual time have shown of the pool. All three (server,
//! simulator, clients) read the same lapse: from one moment on, time runs so many times as fast. A scenario is made
//! shorter as a whole, its disturbances with it, so that a run takes seconds and some thousand requests.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use libra_simulator::{Clock, Simulator, UnixMillis};
use tokio::task::JoinSet;

use crate::calendar::Days;
use crate::load::{self, Arrival};
use crate::record::{Record, What};
use crate::scenario::{Scenario, client_key, millis, others_key};
use crate::trial::Trial;

/// So much virtual time has the short form of a scenario at most: some dozen minutes of quotas.
pub const LONGEST: Duration = Duration::from_secs(20 * 60);

/// So many requests has it at most; a laptop serves as many in a few seconds.
const MOST_REQUESTS: usize = 6_000;

/// How much faster time runs in the report. A millisecond of this machine is a tenth of a virtual second.
pub const RATE: u32 = 100;

/// So much the shares may differ: a stall of ten milliseconds is a second of quotas.
const TOLERATED: f64 = 0.08;

/// The clocks stand still for so long, so that the server has started when they begin to run.
const START: Duration = Duration::from_secs(2);

/// A client waits so long in real time. A gateway that needs longer is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was answered and what was wasted, over loopback or in virtual time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Requests that arrived.
    pub offered: usize,
    /// Those that got a whole answer.
    pub answered: usize,
    /// Calls to Google.
    pub calls: usize,
}

impl Figures {
    /// The share of requests that were answered.
    pub fn share(&self) -> f64 {
        self.answered as f64 / self.offered.max(1) as f64
    }

    /// The share of calls that brought no client an answer.
    pub fn waste(&self) -> f64 {
        1.0 - self.answered.min(self.calls) as f64 / self.calls.max(1) as f64
    }

    /// Whether both have come to the same, as well as a busy machine lets them.
    pub fn agrees_with(&self, other: &Self) -> bool {
        (self.share() - other.share()).abs() <= TOLERATED && self.waste() <= other.waste() + TOLERATED
    }
}

/// The short form of a scenario. Times within it shrink alike.
pub fn short(scenario: &Scenario, longest: Duration) -> Scenario {
    let mut short = scenario.clone();
    short.duration = scenario.duration.min(longest);
    let part = short.duration.as_secs_f64() / scenario.duration.as_secs_f64();
    for disturbance in &mut short.disturbances {
        disturbance.after_secs = (disturbance.after_secs as f64 * part) as u64;
        disturbance.for_secs = disturbance.for_secs.map(|secs| (secs as f64 * part) as u64);
    }
    // The simulator answers at once over loopback, and the way there and back is short.
    short.latency.network_ms = 50;
    short.latency.first_byte_ms = 50;
    short.latency.answer_ms = 100;
    short.latency.error_ms = 50;
    short
}

/// Runs the short form of a scenario over loopback, in time that runs `rate` times as fast, and in virtual time: what each
/// has shown.
///
/// # Errors
/// A server that does not start or does not answer; a scenario that cannot be run.
pub fn compare(
    scenario: &Scenario,
    libra: &Path,
    rate: u32,
    longest: Duration,
) -> Result<[Figures; 2], String> {
    let short = short(scenario, longest.min(LONGEST));
    let days = Days::between(short.start, short.end());
    let mut arrivals = load::arrivals(&short, &days, 1)?;
    let mut short = short;
    if arrivals.len() > MOST_REQUESTS {
        arrivals.truncate(MOST_REQUESTS);
        let last = arrivals.last().map_or(0, |arrival| arrival.at);
        short.duration = Duration::from_millis(last - short.start + 1);
    }
    let virtually = of_record(&Trial { scenario: &short, strategy: None, seed: 1 }.record_of(&arrivals)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let really = runtime.block_on(run(&short, &arrivals, libra, rate))?;
    Ok([really, virtually])
}

fn of_record(record: &Record) -> Figures {
    let answered =
        record.requests.iter().filter(|request| request.end.is_some_and(|end| end.what == What::Answer));
    Figures { offered: record.requests.len(), answered: answered.count(), calls: record.calls.len() }
}

/// Lets all requests arrive at a real server.
async fn run(scenario: &Scenario, arrivals: &[Arrival], libra: &Path, rate: u32) -> Result<Figures, String> {
    let cannot =
        |what: &str, error: &dyn std::fmt::Display| format!("{}: cannot {what}: {error}", scenario.name);
    let origin = Clock::system().now() + millis(START);
    let clock = Clock::lapse(scenario.start, origin, rate);
    let simulator = Simulator::new(scenario.simulator(), clock.clone(), 1);
    let listener = libra_simulator::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .map_err(|error| cannot("listen", &error))?;
    let upstream = listener.local_addr().map_err(|error| cannot("listen", &error))?;
    tokio::spawn(libra_simulator::serve(Arc::clone(&simulator), listener));
    let mut variables = scenario.variables(None);
    variables.insert("LIBRA_UPSTREAM".to_owned(), format!("http://{upstream}"));
    let lapse = format!("{rate}:{origin}:{}", scenario.start);
    let server = Server::start(libra, variables, &lapse).map_err(|error| cannot("start libra", &error))?;

    let others = tokio::spawn(use_by_others(scenario.clone(), Arc::clone(&simulator), clock.clone()));
    let http: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    // Where the start took longer, the load begins when there is somebody to serve it.
    let late = clock.now().saturating_sub(scenario.start);
    let mut requests = JoinSet::new();
    for arrival in arrivals {
        sleep_until(&clock, arrival.at + late).await;
        let client = &scenario.clients[arrival.client as usize];
        let method = if arrival.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
        let request = Request::post(format!("{}/v1beta/models/{}:{method}", server.base, client.model))
            .header("authorization", format!("Bearer {}", client_key(arrival.client as usize)))
            .header("content-type", "application/json")
            .body(Full::new(load::body(arrival)))
            .map_err(|error| cannot("ask", &error))?;
        let http = http.clone();
        requests.spawn(async move { tokio::time::timeout(PATIENCE, is_answered(&http, request)).await });
    }
    let (mut answered, mut stuck) = (0, 0);
    while let Some(done) = requests.join_next().await {
        match done {
            Ok(Ok(whole)) => answered += usize::from(whole),
            Ok(Err(_)) | Err(_) => stuck += 1,
        }
    }
    others.abort();
    if stuck > 0 {
        return Err(format!("{}: {stuck} requests had no end within {PATIENCE:?}", scenario.name));
    }
    let of_others: u64 = others_requests(scenario, &simulator);
    let calls = simulator.counts().totals.requests.saturating_sub(of_others);
    Ok(Figures { offered: arrivals.len(), answered, calls: usize::try_from(calls).unwrap_or(usize::MAX) })
}

/// Whether a client gets a whole answer.
async fn is_answered(http: &Client<HttpConnector, Full<Bytes>>, request: Request<Full<Bytes>>) -> bool {
    let Ok(answer) = http.request(request).await else { return false };
    let status = answer.status();
    let body = answer.into_body().collect().await;
    status == StatusCode::OK
        && body.is_ok_and(|body| memchr::memmem::find(&body.to_bytes(), b"\"finishReason\"").is_some())
}

async fn sleep_until(clock: &Clock, at: UnixMillis) {
    let wait = clock.real(Duration::from_millis(at.saturating_sub(clock.now())));
    // Timers are no finer than a millisecond.
    if wait >= Duration::from_millis(1) {
        tokio::time::sleep(wait).await;
    }
}

/// Others use their projects, as the scenario says.
async fn use_by_others(scenario: Scenario, simulator: Arc<Simulator>, clock: Clock) {
    for call in load::others(&scenario, 1) {
        sleep_until(&clock, call.at).await;
        let arrival = Arrival {
            at: call.at,
            client: u32::MAX,
            tokens: load::OTHERS_TOKENS,
            stream: false,
            conversation: 0,
            turn: 0,
        };
        let request = Request::post(format!("/v1beta/models/{}:generateContent", call.model))
            .header("x-goog-api-key", others_key(call.project))
            .body(load::body(&arrival));
        if let Ok(request) = request {
            let (_, ticket) = simulator.answer(&request);
            ticket.into_iter().for_each(libra_simulator::Ticket::done);
        }
    }
}

fn others_requests(scenario: &Scenario, simulator: &Simulator) -> u64 {
    let counts = simulator.counts();
    (0..scenario.project_count()).map(|project| counts.key(&others_key(project)).requests).sum()
}

/// The real server. Ends with it.
struct Server {
    base: String,
    child: Child,
    keys: PathBuf,
}

impl Server {
    fn start(libra: &Path, mut variables: BTreeMap<String, String>, lapse: &str) -> std::io::Result<Self> {
        // A variable holds some three thousand keys, a file any number. They are made up.
        let keys = std::env::temp_dir()
            .join(format!("libra-trial-keys-{}-{lapse}", std::process::id()).replace(':', "-"));
        let mut file = std::fs::File::create(&keys)?;
        file.write_all(variables.remove("LIBRA_KEYS").unwrap_or_default().as_bytes())?;
        let mut child = Command::new(libra)
            .args(["--ephemeral", "--time-lapse", lapse])
            .env_clear()
            .current_dir(std::env::temp_dir())
            .envs(variables)
            .env("LIBRA_KEYS_FILE", &keys)
            .env("LIBRA_LISTEN", "127.0.0.1:0")
            .env("LIBRA_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take();
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let base = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        let server = Self { base, child, keys };
        match server.base.starts_with("http://") {
            true => Ok(server),
            false => Err(std::io::Error::other(format!("it said {line:?}"))),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.keys);
    }
}
