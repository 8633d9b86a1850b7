//! Bodies as they come: JavaScript's streams, read piece by piece.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{ReadableStream, ReadableStreamDefaultReader};

/// A body that comes. It broke off: an error without words, as each platform has its own.
pub(crate) struct Incoming {
    /// None where there is no body, or it has ended.
    reader: Option<ReadableStreamDefaultReader>,
    /// A piece that is being waited for.
    piece: Option<JsFuture>,
}

/// A body that ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

impl Incoming {
    pub(crate) fn new(stream: Option<ReadableStream>) -> Self {
        let reader = stream.and_then(|stream| stream.get_reader().dyn_into().ok());
        Self { reader, piece: None }
    }

    /// Nothing more of it is wanted.
    pub(crate) fn cancel(&mut self) {
        let Some(reader) = self.reader.take() else { return };
        let cancelled = JsFuture::from(reader.cancel());
        // Where it has failed already, there is nothing to do; a failure that nobody hears of would be logged.
        spawn_local(async move { drop(cancelled.await) });
    }

    /// The next piece; none at the end.
    pub(crate) fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            let Some(reader) = &self.reader else { return Poll::Ready(None) };
            let piece = self.piece.get_or_insert_with(|| JsFuture::from(reader.read()));
            let read = ready!(Pin::new(piece).poll(context));
            self.piece = None;
            match read.map_err(|_| Broken).and_then(|read| bytes(&read)) {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Ok(None) => self.reader = None,
                Err(broken) => {
                    self.reader = None;
                    return Poll::Ready(Some(Err(broken)));
                }
            }
        }
    }
}

/// What a read has brought: `{ done, value }`.
fn bytes(read: &JsValue) -> Result<Option<Bytes>, Broken> {
    let field = |name: &str| Reflect::get(read, &JsValue::from_str(name)).map_err(|_| Broken);
    if field("done")?.is_truthy() {
        return Ok(None);
    }
    let piece: Uint8Array = field("value")?.dyn_into().map_err(|_| Broken)?;
    Ok(Some(piece.to_vec().into()))
}
