//! Runs core's checks of keys: for `/verify`, for `libra verify`, and for the pool's probes.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, Uri};
use libra_core::check::{CONCURRENT, Check, CheckAnswer, CheckResult, KeyProjects, Verification};
use libra_core::gateway::{DueNow, Gateway};
use libra_core::project_probe::{ProjectProbe, Relations};
use libra_core::route::VerifyFormat;
use libra_core::secret::ApiKey;

use crate::app::event_stream;
use crate::body::AnswerBody;
use crate::clock;
use crate::drive::poll_data;
use crate::telemetry;
use crate::upstream::{SendError, Upstream};
use crate::waiting::Waiting;

/// A check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// So much of an answer is read.
const ANSWER_BYTES: usize = 64 << 10;

/// The pool is looked after at least this often.
const ROUND: Duration = Duration::from_secs(30);

/// The answer to `POST /verify`.
pub(crate) async fn answer(verification: Verification, upstream: Arc<Upstream>) -> Response<AnswerBody> {
    let format = verification.format;
    let origin = verification.origin();
    let projects = verification.projects;
    let of_projects = Arc::clone(&upstream);
    let results = results(verification.checks, upstream).map(|result| result.to_json());
    // After the results, as a probe asks one key after the other.
    let projects = stream::iter(projects).then(move |keys| {
        let (upstream, origin) = (Arc::clone(&of_projects), origin.clone());
        async move {
            let entries = keys.iter().map(|key| vec![key.clone()]).collect();
            KeyProjects::new(&keys, &projects_of(entries, &origin, &upstream).await).to_json()
        }
    });
    let results = results.chain(projects);
    match format {
        VerifyFormat::Events => {
            let events = results.map(|result| Bytes::from(format!("data: {result}\n\n")));
            event_stream(AnswerBody::Stream(events.boxed()))
        }
        VerifyFormat::Json => {
            let results: Vec<String> = results.collect().await;
            let mut response = Response::new(AnswerBody::whole(format!("[{}]", results.join(",")).into()));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
    }
}

/// Which of these keys share a project; each entry is a key, or keys that are known to share one.
pub(crate) async fn projects_of(entries: Vec<Vec<ApiKey>>, origin: &Uri, upstream: &Upstream) -> Relations {
    let mut probe = ProjectProbe::new(entries);
    while let Some(request) = probe.next(origin) {
        let answer = ask(request, upstream).await;
        probe.heard(&answer);
    }
    probe.relations()
}

/// Finds out which keys of the pool share a project.
pub(crate) async fn place_keys(gateway: Arc<Gateway>, upstream: Arc<Upstream>) {
    let Some(entries) = gateway.unplaced() else { return };
    let relations = projects_of(entries.clone(), &gateway.config().upstream, &upstream).await;
    gateway.place(&entries, &relations, clock::now());
    tracing::info!("{}", gateway.project_counts().summary);
}

/// The results of checks, each as its check ends.
pub(crate) fn results(
    checks: Vec<Check>,
    upstream: Arc<Upstream>,
) -> impl stream::Stream<Item = CheckResult> + Send + 'static {
    stream::iter(checks)
        .map(move |check| {
            let upstream = Arc::clone(&upstream);
            async move {
                let answer = run(&check, &upstream).await;
                check.result(&answer, clock::now())
            }
        })
        .buffer_unordered(CONCURRENT)
}

/// Looks after the pool: tries keys that are set aside when it is time to. Never ends. `is_stored`: somebody else fetches
/// what changes.
pub(crate) async fn look_after_pool(
    gateway: Arc<Gateway>,
    upstream: Arc<Upstream>,
    waiting: Arc<Waiting>,
    is_stored: bool,
) {
    loop {
        let upstream = Arc::clone(&upstream);
        let probe = move |check: Check| {
            let upstream = Arc::clone(&upstream);
            async move {
                let answer = run(&check, &upstream).await;
                telemetry::record(check.conclude(&answer, clock::now()).into_iter().collect());
            }
        };
        let mut checks = Vec::new();
        for due in gateway.due(clock::now()) {
            match due {
                DueNow::Probe(check) => checks.push(check),
                DueNow::Wake(ticket) => waiting.wake(ticket),
            }
        }
        if !checks.is_empty() {
            // Turns of requests that wait go on meanwhile.
            tokio::spawn(stream::iter(checks).for_each_concurrent(CONCURRENT, probe));
        }
        telemetry::record(gateway.take_events());
        if !is_stored {
            drop(gateway.take_changes());
        }
        let now = clock::now();
        let next = gateway.next_deadline(now).unwrap_or(now + ROUND);
        let wait = clock::real(next.since(now)).clamp(Duration::from_millis(2), ROUND);
        let _ = tokio::time::timeout(wait, waiting.changed()).await;
    }
}

async fn run(check: &Check, upstream: &Upstream) -> CheckAnswer {
    ask(check.request(), upstream).await
}

/// Sends one short request and brings what was said.
pub(crate) async fn ask(request: Request<Option<Bytes>>, upstream: &Upstream) -> CheckAnswer {
    ask_up_to(ANSWER_BYTES, request, upstream).await
}

/// Sends one short request and brings the first `most` bytes of what was said.
pub(crate) async fn ask_up_to(
    most: usize,
    request: Request<Option<Bytes>>,
    upstream: &Upstream,
) -> CheckAnswer {
    let answer = tokio::time::timeout(CHECK_TIMEOUT, fetch(most, request, upstream)).await;
    answer.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

async fn fetch(most: usize, request: Request<Option<Bytes>>, upstream: &Upstream) -> CheckAnswer {
    let mut answer = upstream.send(request, &mut None);
    let answer = match poll_fn(|context| answer.poll_head(context)).await {
        Ok(answer) => answer,
        Err(SendError::Network { message, .. }) => return Err(message),
        Err(SendError::BodyTooLarge) => return Err("the request was not sent".to_owned()),
    };
    let (head, mut incoming) = answer.into_parts();
    let mut incoming = Pin::new(&mut incoming);
    let mut body = BytesMut::new();
    while let Some(chunk) = poll_fn(|context| poll_data(&mut incoming, context)).await {
        let chunk = chunk.map_err(|_| "the answer broke off".to_owned())?;
        body.extend_from_slice(&chunk[..chunk.len().min(most - body.len())]);
        if body.len() == most {
            break;
        }
    }
    Ok((head.status, head.headers, body.freeze()))
}
