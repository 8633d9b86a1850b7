//! Requests of the network, by the platform's `fetch`. Connections, TLS and their reuse are the platform's.

use std::cell::Cell;
use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use js_sys::{Promise, Reflect, Uint8Array};
use libra_core::exchange::Outcome;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, RequestInit, Response};

use crate::answer;
use crate::body::AnswerBody;
use crate::head;
use crate::incoming::{Broken, Incoming};
use crate::js;

/// What clients are told of a connection. What a platform says of it may name addresses.
const FAILED: &str = "the connection to the upstream failed";

/// Platforms let a request make so many calls only; this is how Cloudflare says that there were too many.
const TOO_MANY: &str = "Too many subrequests";

/// The client's body, streamed into one attempt, up to a limit.
pub(crate) struct ClientBody {
    /// What was read before it was known that the body is too large to be kept.
    prefix: Option<Bytes>,
    rest: Incoming,
    /// How many more bytes are taken.
    left: u64,
    too_large: Rc<Cell<bool>>,
}

/// A request under way, or its answer. Dropping it breaks the connection.
pub(crate) struct Operation {
    state: State,
    /// Whether the client's body, streamed, was too large.
    too_large: Option<Rc<Cell<bool>>>,
    abort: Option<AbortController>,
}

enum State {
    /// The head of the answer has not come. None: the platform has refused to send.
    Sent(Option<JsFuture>),
    /// Its body is coming.
    Answering(Incoming),
    /// It has ended.
    Over,
}

impl ClientBody {
    pub(crate) fn new(prefix: Option<Bytes>, rest: Incoming, limit: u64) -> Self {
        Self { prefix, rest, left: limit, too_large: Rc::default() }
    }

    pub(crate) fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let chunk = match self.prefix.take() {
            Some(prefix) => prefix,
            None => match ready!(self.rest.poll_data(context)) {
                Some(Ok(chunk)) => chunk,
                end => return Poll::Ready(end),
            },
        };
        match self.left.checked_sub(chunk.len() as u64) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(chunk)))
            }
            None => {
                self.too_large.set(true);
                Poll::Ready(Some(Err(Broken)))
            }
        }
    }
}

impl Operation {
    /// Sends a request. One without a body takes the client's streamed one.
    pub(crate) fn send(request: Request<Option<Bytes>>, streamed: &mut Option<ClientBody>) -> Self {
        let abort = AbortController::new().ok();
        let (head, whole) = request.into_parts();
        let client = if whole.is_none() { streamed.take() } else { None };
        let too_large = client.as_ref().map(|client| Rc::clone(&client.too_large));
        let body = match (whole, client) {
            (Some(bytes), _) if !bytes.is_empty() => Some(Uint8Array::from(&*bytes).into()),
            (None, Some(client)) => {
                answer::stream(AnswerBody::Client(client), None, None).ok().map(JsValue::from)
            }
            _ => None,
        };
        let sent = fetch(&head, body.as_ref(), abort.as_ref()).ok().map(JsFuture::from);
        Self { state: State::Sent(sent), too_large, abort }
    }

    /// What comes next of it. After the end, nothing does.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        let (next, outcome) = match &mut self.state {
            State::Sent(sent) => match ready!(poll_head(sent, context)) {
                Ok((status, headers, body)) => (State::Answering(body), Outcome::Head(status, headers)),
                Err(_) if self.too_large.as_ref().is_some_and(|too_large| too_large.get()) => {
                    (State::Over, Outcome::TooLarge)
                }
                Err(message) => (State::Over, failed(message)),
            },
            State::Answering(body) => match ready!(body.poll_data(context)) {
                Some(Ok(chunk)) => return Poll::Ready(Outcome::Chunk(chunk)),
                Some(Err(Broken)) => (State::Over, failed(FAILED)),
                None => (State::Over, Outcome::End),
            },
            State::Over => return Poll::Pending,
        };
        self.state = next;
        if matches!(self.state, State::Over) {
            // There is nothing left to break.
            self.abort = None;
        }
        Poll::Ready(outcome)
    }

    /// Whether all of it has come.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // Deno has been seen to forget, once in some forty times, that an answer belongs to a signal: so both.
        if let State::Answering(body) = &mut self.state {
            body.cancel();
        }
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}

fn failed(message: &str) -> Outcome {
    Outcome::Failed { stale: false, message: message.to_owned() }
}

fn fetch(
    head: &http::request::Parts,
    body: Option<&JsValue>,
    abort: Option<&AbortController>,
) -> Result<Promise, JsValue> {
    let init = RequestInit::new();
    init.set_method(head.method.as_str());
    init.set_headers(&head::to_js(&head.headers)?.into());
    if let Some(abort) = abort {
        init.set_signal(Some(&abort.signal()));
    }
    if let Some(body) = body {
        init.set_body(body);
        // Where a stream goes up, fetch's standard wants to be told that the answer may only be read after it.
        Reflect::set(&init, &"duplex".into(), &"half".into())?;
    }
    // A key would follow a redirect to wherever it leads; core follows those that it understands.
    Reflect::set(&init, &"redirect".into(), &"manual".into())?;
    Ok(js::fetch(&head.uri.to_string(), &init))
}

type Head = (StatusCode, HeaderMap, Incoming);

fn poll_head(sent: &mut Option<JsFuture>, context: &mut Context<'_>) -> Poll<Result<Head, &'static str>> {
    let Some(sent) = sent else { return Poll::Ready(Err(FAILED)) };
    let answer = ready!(Pin::new(sent).poll(context));
    let answer: Result<Response, JsValue> = answer.and_then(JsCast::dyn_into);
    Poll::Ready(match answer {
        Ok(response) => {
            let (status, headers) = head::of_answer(&response);
            Ok((status, headers, Incoming::new(response.body())))
        }
        Err(error) => {
            let said = Reflect::get(&error, &"message".into()).ok().and_then(|message| message.as_string());
            let too_many = said.is_some_and(|said| said.contains(TOO_MANY));
            Err(if too_many { "the platform allows no more calls in this request" } else { FAILED })
        }
    })
}
