//! Runs core's checks of keys: for `/verify`, and for the pool's probes.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, Uri};
use libra_core::check::{CONCURRENT, Check, CheckAnswer, KeyProjects, Verification};
use libra_core::exchange::Outcome;
use libra_core::project_probe::{ProjectProbe, Relations};
use libra_core::route::VerifyFormat;
use libra_core::secret::ApiKey;

use crate::body::AnswerBody;
use crate::clock::{self, Sleep};
use crate::log;
use crate::upstream::Operation;

/// A check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// So much of an answer is read.
const ANSWER_BYTES: usize = 64 << 10;

/// The answer to `POST /verify`.
pub(crate) async fn answer(verification: Verification) -> Response<AnswerBody> {
    let (format, mark, origin) = (verification.format, verification.mark, verification.origin());
    let results = stream::iter(verification.checks)
        .map(|check| async move { check.result(&ask(check.request()).await, clock::now()).to_json() })
        .buffer_unordered(CONCURRENT);
    // After the results, as a probe asks one key after the other.
    let projects = stream::iter(verification.projects).then(move |keys| {
        let origin = origin.clone();
        async move { KeyProjects::new(&keys, &projects_of(&keys, &origin).await).to_json() }
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

async fn projects_of(keys: &[ApiKey], origin: &Uri) -> Relations {
    let mut probe = ProjectProbe::new(keys.iter().map(|key| vec![key.clone()]).collect());
    while let Some(request) = probe.next(origin) {
        let answer = ask(request).await;
        probe.heard(&answer);
    }
    probe.relations()
}

/// Sends one short request and brings what was said.
async fn ask(request: Request<Option<Bytes>>) -> CheckAnswer {
    let mut operation = Operation::send(request, &mut None);
    let end = clock::now() + CHECK_TIMEOUT;
    let mut sleep = Sleep::default();
    let mut head = None;
    let mut body = BytesMut::new();
    loop {
        let outcome = poll_fn(|context| match operation.poll_next(context) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => sleep.poll_until(end, context).map(|()| None),
        });
        let is_over = match outcome.await {
            None => return Err("no answer in time".to_owned()),
            Some(Outcome::TooLarge) => return Err("the request was not sent".to_owned()),
            Some(Outcome::Failed { message, .. }) => return Err(message),
            Some(Outcome::Head(status, headers)) => {
                head = Some((status, headers));
                false
            }
            Some(Outcome::Chunk(chunk)) => {
                body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES - body.len())]);
                body.len() == ANSWER_BYTES
            }
            Some(Outcome::End) => true,
        };
        if is_over && let Some((status, headers)) = head.take() {
            return Ok((status, headers, body.freeze()));
        }
    }
}
