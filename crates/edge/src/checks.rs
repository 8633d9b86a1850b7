//! Runs core's checks of keys: for `/verify`, and for the pool's probes.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, Uri};
use libra_core::check::{CONCURRENT, Check, CheckAnswer, KeyProjects, Verification};
use libra_core::project_probe::{ProjectProbe, Relations};
use libra_core::route::VerifyFormat;
use libra_core::secret::ApiKey;

use crate::asking;
use crate::body::AnswerBody;
use crate::clock;
use crate::log;

/// A check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// So much of an answer is read.
const ANSWER_BYTES: usize = 64 << 10;

/// So many keys are checked in one request at most, and so many calls made altogether: platforms limit how many a request may
/// make (Cloudflare's free plan: 50), and some are the state's.
const MOST_KEYS: usize = 40;
const MOST_CALLS: usize = 44;

/// What is said of the keys beyond.
const LEFT_OUT: &str =
    "not checked: an edge allows so many calls a request only; send this key again, with 40 at most";

/// The answer to `POST /verify`.
pub(crate) async fn answer(verification: Verification) -> Response<AnswerBody> {
    let (format, mark, origin) = (verification.format, verification.mark, verification.origin());
    let calls_left = MOST_CALLS.saturating_sub(verification.checks.len());
    let results = stream::iter(verification.checks.into_iter().enumerate())
        .map(|(number, check)| async move {
            let answer =
                if number < MOST_KEYS { ask(check.request()).await } else { Err(LEFT_OUT.to_owned()) };
            check.result(&answer, clock::now()).to_json()
        })
        .buffer_unordered(CONCURRENT);
    // After the results, as a probe asks one key after the other.
    let projects = stream::iter(verification.projects).then(move |keys| {
        let origin = origin.clone();
        async move { KeyProjects::new(&keys, &projects_of(&keys, &origin, calls_left).await).to_json() }
    });
    let results = results.chain(projects);
    let (body, content_type) = match format {
        VerifyFormat::Events => {
            let events = results.map(|result| Bytes::from(format!("data: {result}\n\n")));
            (AnswerBody::Stream(events.boxed_local()), "text/event-stream; charset=utf-8")
        }
        VerifyFormat::Json => {
            let results: Vec<String> = results.collect().await;
            (AnswerBody::Whole(format!("[{}]", results.join(",")).into()), "application/json")
        }
    };
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    mark.put(answer.headers_mut());
    answer
}

/// Tries keys that were set aside, and tells the pool.
pub(crate) async fn probe(checks: Vec<Check>) {
    let probe = |check: Check| async move {
        let answer = ask(check.request()).await;
        log::record(check.conclude(&answer, clock::now()).into_iter().collect());
    };
    stream::iter(checks).for_each_concurrent(CONCURRENT, probe).await;
}

async fn projects_of(keys: &[ApiKey], origin: &Uri, most_calls: usize) -> Relations {
    let mut probe = ProjectProbe::new(keys.iter().map(|key| vec![key.clone()]).collect());
    let mut calls = 0;
    while let Some(request) = probe.next(origin) {
        calls += 1;
        // What could not be asked is unclear.
        let answer = if calls > most_calls { Err(LEFT_OUT.to_owned()) } else { ask(request).await };
        probe.heard(&answer);
    }
    probe.relations()
}

async fn ask(request: Request<Option<Bytes>>) -> CheckAnswer {
    asking::ask(request, CHECK_TIMEOUT, ANSWER_BYTES).await
}
