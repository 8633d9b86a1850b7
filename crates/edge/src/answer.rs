//! Answers as JavaScript's responses; streams go out piece by piece, when the platform asks for more.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode};
use js_sys::{Object, Promise, Uint8Array};
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use wasm_bindgen_futures::future_to_promise;
use web_sys::{QueuingStrategy, ReadableStream, ReadableStreamDefaultController, ResponseInit};

use crate::body::AnswerBody;
use crate::head;
use crate::incoming::Broken;
use crate::leaving::Leaving;
use crate::platform::Platform;
use crate::shell::Shell;
use crate::state;

/// The end of a request, with the last of its answer: what was learned in it is then written.
pub(crate) struct Farewell {
    pub(crate) shell: Rc<Shell>,
    pub(crate) platform: Platform,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        state::save_soon(&self.shell, &self.platform);
    }
}

/// A core answer as a response. The farewell comes when all of it is out.
///
/// # Errors
/// The platform does not take it.
pub(crate) fn to_js(
    answer: Response<AnswerBody>,
    leaving: Option<Leaving>,
    farewell: Option<Farewell>,
) -> Result<JsValue, JsValue> {
    let (head, body) = answer.into_parts();
    let init = ResponseInit::new();
    init.set_status(head.status.as_u16());
    init.set_headers(&head::to_js(&head.headers)?.into());
    let response = match body {
        AnswerBody::Whole(bytes) if bytes.is_empty() || has_no_body(head.status) => {
            web_sys::Response::new_with_opt_str_and_init(None, &init)
        }
        AnswerBody::Whole(bytes) => {
            web_sys::Response::new_with_opt_buffer_source_and_init(Some(&Uint8Array::from(&*bytes)), &init)
        }
        body => {
            let stream = stream(body, leaving, farewell)?;
            web_sys::Response::new_with_opt_readable_stream_and_init(Some(&stream), &init)
        }
    };
    response.map(JsValue::from)
}

/// With these, a response must not be given even an empty body.
fn has_no_body(status: StatusCode) -> bool {
    matches!(status.as_u16(), 204 | 205 | 304)
}

/// A body as a stream. Nothing of it is made before it is asked for.
///
/// # Errors
/// The platform does not take it.
pub(crate) fn stream(
    body: AnswerBody,
    leaving: Option<Leaving>,
    farewell: Option<Farewell>,
) -> Result<ReadableStream, JsValue> {
    let source = AnswerSource(Rc::new(RefCell::new(Source { body: Some(body), leaving, farewell })));
    let strategy = QueuingStrategy::new();
    strategy.set_high_water_mark(0.0);
    let source: Object = JsValue::from(source).into();
    ReadableStream::new_with_underlying_source_and_strategy(&source, &strategy)
}

/// What a `ReadableStream` asks for its pieces.
#[wasm_bindgen]
pub struct AnswerSource(Rc<RefCell<Source>>);

struct Source {
    /// None once it has ended or nobody wants more of it.
    body: Option<AnswerBody>,
    leaving: Option<Leaving>,
    farewell: Option<Farewell>,
}

#[wasm_bindgen]
impl AnswerSource {
    /// Brings one piece.
    pub fn pull(&self, controller: ReadableStreamDefaultController) -> Promise {
        let source = Rc::clone(&self.0);
        future_to_promise(async move {
            let piece = poll_fn(|context| source.borrow_mut().poll_piece(context)).await;
            match piece {
                Some(Ok(bytes)) => controller.enqueue_with_chunk(&Uint8Array::from(&*bytes))?,
                Some(Err(Broken)) => controller.error_with_e(&js_sys::Error::new("the body was cut")),
                // One that is cancelled meanwhile is closed already.
                None => controller.close().unwrap_or_default(),
            }
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Nobody wants more.
    pub fn cancel(&self) {
        let Ok(mut source) = self.0.try_borrow_mut() else { return };
        if let Some(leaving) = &source.leaving {
            leaving.left();
        }
        let (body, farewell) = (source.body.take(), source.farewell.take());
        drop(source);
        drop(body);
        drop(farewell);
    }
}

impl Source {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let left = self.leaving.as_ref().is_some_and(|leaving| leaving.poll_left(context).is_ready());
        let Some(body) = self.body.as_mut().filter(|_| !left) else {
            self.body = None;
            self.farewell = None;
            return Poll::Ready(None);
        };
        let piece = body.poll_data(context);
        if matches!(piece, Poll::Ready(None | Some(Err(_)))) {
            (self.body, self.leaving) = (None, None);
            self.farewell = None;
        }
        piece
    }
}
