//! One request in, one answer out: reads what the gateway asks for and hands the exchange to the loop.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use libra_core::error::{Dialect, Error, Kind};
use libra_core::gateway::{Accepted, BodyFault, Head, Intake};
use libra_core::live::Session;
use libra_core::time::Timestamp;
use web_sys::Request;

use crate::body::AnswerBody;
use crate::checks;
use crate::clock::{self, Sleep};
use crate::drive::drive;
use crate::head::ClientHead;
use crate::incoming::Incoming;
use crate::live::Sockets;
use crate::place;
use crate::platform::Platform;
use crate::shell::Shell;
use crate::state;
use crate::upstream::ClientBody;

/// A client that sends nothing of its body for so long is given up.
const BODY_SILENCE: Duration = Duration::from_secs(60);

/// So much is read of what the administration sends: two thousand keys have less.
const CHANGE: usize = 256 << 10;

/// What comes of a request.
pub(crate) enum Answer {
    Said(Response<AnswerBody>),
    /// The upgrade is to be accepted, and the session driven.
    Live(Box<Session>, Sockets),
}

/// Answers a request.
pub(crate) async fn answer(shell: &Rc<Shell>, request: &Request, platform: &Platform) -> Answer {
    let Some(ClientHead { method, uri, headers, peer }) =
        ClientHead::read(request, platform.peer().as_deref())
    else {
        let error = Error::new(Kind::BadRequest, "The request's head cannot be read.");
        return Answer::Said(error.response(Dialect::OpenAi, None).map(AnswerBody::Whole));
    };
    state::ready(shell, platform).await;
    shell.look_after_pool(clock::now(), Some(platform));
    if place::is_asked(request, &uri)
        && let Some(place) = soon(place::ask()).await
    {
        shell.gateway.leaves_from(place);
    }
    let head = Head { method: &method, uri: &uri, headers: &headers, peer };
    if shell.gateway.administers(&head, "keys") {
        let body = change_of(request).await;
        let answer = state::change_keys(shell, platform, &method, &body).await;
        return Answer::Said(answer.map(AnswerBody::Whole));
    }
    let sought = shell.gateway.sought_by_path(uri.path());
    state::bring(shell, platform, sought.into_iter().collect()).await;
    Answer::Said(match shell.gateway.accept(&head, clock::now()) {
        Accepted::Reply(reply) => reply.map(AnswerBody::Whole),
        Accepted::Stream(exchange) => {
            let body = ClientBody::new(None, Incoming::new(request.body()), exchange.body_limit());
            drive(exchange, shell, Some(body)).await
        }
        Accepted::NeedBody(intake) => with_body(shell, platform, intake, Incoming::new(request.body())).await,
        Accepted::Upgrade(session) => match platform.sockets() {
            Some(sockets) => return Answer::Live(session, sockets),
            None => no_live(),
        },
        Accepted::Verify(verification) => checks::answer(verification).await,
    })
}

/// A short body, or what has come of one that is not.
async fn change_of(request: &Request) -> Vec<u8> {
    let mut body = Incoming::new(request.body());
    let mut bytes = Vec::new();
    while bytes.len() < CHANGE
        && let Some(Ok(chunk)) = poll_fn(|context| body.poll_data(context)).await
    {
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

/// What comes of `work` within two seconds: nobody who asks whether the gateway is ready waits longer for a detail.
async fn soon<T>(work: impl Future<Output = Option<T>>) -> Option<T> {
    let (mut work, end) = (pin!(work), clock::now() + Duration::from_secs(2));
    let mut sleep = Sleep::default();
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => sleep.poll_until(end, context).map(|()| None),
    })
    .await
}

/// What clients of the Live API are told.
fn no_live() -> Response<AnswerBody> {
    const BODY: &str = r#"{
  "error": {
    "code": 501,
    "message": "This edition of the gateway does not serve the Live API; those for Cloudflare and Deno and the native server do. 此平台不支持 Live API，请使用 Cloudflare、Deno 或原生服务器。",
    "status": "UNIMPLEMENTED"
  }
}
"#;
    let mut answer = Response::new(AnswerBody::Whole(Bytes::from_static(BODY.as_bytes())));
    *answer.status_mut() = StatusCode::NOT_IMPLEMENTED;
    let json = HeaderValue::from_static("application/json; charset=UTF-8");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

async fn with_body(
    shell: &Rc<Shell>,
    platform: &Platform,
    mut intake: Intake,
    mut body: Incoming,
) -> Response<AnswerBody> {
    let limit = intake.body_limit();
    let end = clock::now() + shell.gateway.config().deadline;
    let read = read(&mut body, &mut intake, end).await;
    let (exchange, streamed) = match read {
        ReadBody::Whole(bytes) => {
            if shell.state.keeps_contents(platform) {
                state::bring(shell, platform, intake.sought(&bytes)).await;
            }
            (intake.whole(bytes, clock::now()), None)
        }
        ReadBody::Larger(prefix) => (intake.streamed(), Some(ClientBody::new(Some(prefix), body, limit))),
        ReadBody::Faulty(fault) => return intake.refuse(fault).map(AnswerBody::Whole),
    };
    match exchange {
        Ok(exchange) => drive(exchange, shell, streamed).await,
        Err(refusal) => refusal.map(AnswerBody::Whole),
    }
}

enum ReadBody {
    Whole(Bytes),
    /// Larger than is kept: what was read so far.
    Larger(Bytes),
    Faulty(BodyFault),
}

async fn read(body: &mut Incoming, intake: &mut Intake, end: Timestamp) -> ReadBody {
    let most = intake.whole_limit();
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut sleep = Sleep::default();
    loop {
        let patience = (clock::now() + BODY_SILENCE).min(end);
        let chunk = poll_fn(|context| match body.poll_data(context) {
            Poll::Ready(chunk) => Poll::Ready(Some(chunk)),
            Poll::Pending => sleep.poll_until(patience, context).map(|()| None),
        });
        let chunk = match chunk.await {
            Some(Some(Ok(chunk))) => chunk,
            Some(Some(Err(_))) => return ReadBody::Faulty(BodyFault::Broken),
            Some(None) => break,
            None => return ReadBody::Faulty(BodyFault::TooSlow),
        };
        let room = intake.hold(chunk.len());
        if !room && !intake.can_stream() {
            return ReadBody::Faulty(BodyFault::NoRoom);
        }
        // Most bodies come in one piece, which is then kept as it is.
        if first.is_empty() && all.is_empty() {
            first = chunk;
        } else {
            if all.is_empty() {
                all.reserve(first.len() + chunk.len());
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&chunk);
        }
        if !room || (first.len() + all.len()) as u64 > most {
            return ReadBody::Larger(if all.is_empty() { first } else { all.freeze() });
        }
    }
    ReadBody::Whole(if all.is_empty() { first } else { all.freeze() })
}

/// What comes of `work`; none once `left` is ready, and then the work is dropped.
pub(crate) async fn unless<T>(
    left: impl Fn(&std::task::Context<'_>) -> Poll<()>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| {
        if left(context).is_ready() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(context).map(Some)
    })
    .await
}
