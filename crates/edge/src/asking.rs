//! Short requests, whose answers are read whole: checks of keys, and state behind an address.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use libra_core::check::CheckAnswer;
use libra_core::exchange::Outcome;

use crate::clock::{self, Sleep};
use crate::upstream::Operation;

/// Sends a request and brings what was said, at most so many bytes of it.
///
/// # Errors
/// There was no answer in time; what the network said.
pub(crate) async fn ask(request: Request<Option<Bytes>>, within: Duration, most: usize) -> CheckAnswer {
    let mut operation = Operation::send(request, &mut None);
    let end = clock::now() + within;
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
                body.extend_from_slice(&chunk[..chunk.len().min(most - body.len())]);
                body.len() == most
            }
            Some(Outcome::End) => true,
        };
        if is_over && let Some((status, headers)) = head.take() {
            return Ok((status, headers, body.freeze()));
        }
    }
}
