//! One request in, one answer out: reads what the gateway asks for and hands the exchange to the loop.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use js_sys::Function;
use libra_core::error::{Dialect, Error, Kind};
use libra_core::gateway::{Accepted, BodyFault, Head, Intake};
use libra_core::time::Timestamp;
use web_sys::Request;

use crate::body::AnswerBody;
use crate::checks;
use crate::clock::{self, Sleep};
use crate::drive::drive;
use crate::head::ClientHead;
use crate::incoming::Incoming;
use crate::place;
use crate::shell::Shell;
use crate::upstream::ClientBody;

/// A client that sends nothing of its body for so long is given up.
const BODY_SILENCE: Duration = Duration::from_secs(60);

/// Answers a request. `peer` is the client's address, as the platform says it.
pub(crate) async fn answer(
    shell: &Rc<Shell>,
    request: &Request,
    peer: Option<&str>,
    wait_until: Option<&Function>,
) -> Response<AnswerBody> {
    let Some(ClientHead { method, uri, headers, peer }) = ClientHead::read(request, peer) else {
        let error = Error::new(Kind::BadRequest, "The request's head cannot be read.");
        return error.response(Dialect::OpenAi, None).map(AnswerBody::Whole);
    };
    shell.look_after_pool(clock::now(), wait_until);
    if place::is_asked(request, &uri)
        && let Some(place) = soon(place::ask()).await
    {
        shell.gateway.leaves_from(place);
    }
    let head = Head { method: &method, uri: &uri, headers: &headers, peer };
    match shell.gateway.accept(&head, clock::now()) {
        Accepted::Reply(reply) => reply.map(AnswerBody::Whole),
        Accepted::Stream(exchange) => {
            let body = ClientBody::new(None, Incoming::new(request.body()), exchange.body_limit());
            drive(exchange, shell, Some(body)).await
        }
        Accepted::NeedBody(intake) => with_body(shell, intake, Incoming::new(request.body())).await,
        Accepted::Upgrade(_) => no_live(),
        Accepted::Verify(verification) => checks::answer(verification).await,
    }
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
    "message": "This edition of the gateway does not serve the Live API; the native server does. 边缘版不支持 Live API，请使用原生服务器。",
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

async fn with_body(shell: &Rc<Shell>, mut intake: Intake, mut body: Incoming) -> Response<AnswerBody> {
    let limit = intake.body_limit();
    let end = clock::now() + shell.gateway.config().deadline;
    let read = read(&mut body, &mut intake, end).await;
    let (exchange, streamed) = match read {
        ReadBody::Whole(bytes) => (intake.whole(bytes, clock::now()), None),
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
