//! What passes between a session and its shell.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};

use super::close::{Close, Ended};
use crate::event::Traffic;
use crate::time::Timestamp;

/// A message, without its framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What is in it. UTF-8, where it is a text.
    pub payload: Bytes,
    /// Whether it is a text frame; else it is a binary one. Both hold JSON.
    pub is_text: bool,
}

/// What goes out to a side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A message.
    Frame(Frame),
    /// A sign of life.
    Ping,
    /// The end; nothing follows.
    Close(Option<Close>),
}

/// What has happened.
#[derive(Debug)]
pub enum Input {
    /// Google has agreed to the upgrade.
    Connected(HeaderMap),
    /// Google has answered otherwise; of the body at most [`BODY_LIMIT`](crate::failure::BODY_LIMIT).
    Refused(StatusCode, HeaderMap, Bytes),
    /// There is no connection to Google. `stale`: it had served before and died before any byte of an answer.
    Failed { stale: bool, message: String },
    /// A message of the client's.
    FromClient(Frame),
    /// A message of Google's.
    FromUpstream(Frame),
    /// The client's connection has ended.
    ClientEnded(Ended),
    /// Google's connection has ended.
    UpstreamEnded(Ended),
    /// The client broke the protocol, and is to be told so.
    ClientFault(Fault),
    /// The process is to end.
    Stop,
}

/// How a client breaks the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A message larger than [`MAX_FROM_CLIENT`].
    TooLarge,
    /// A text that is no UTF-8, a frame that is none.
    Malformed,
}

/// What the shell does next.
#[derive(Debug)]
pub enum Step {
    /// Ask for a WebSocket with this request; the shell adds what is the handshake's.
    Connect(Box<Request<()>>),
    /// Drop the connection to Google, or the attempt at one.
    Disconnect,
    /// Move frames, at most until then.
    Wait(Timestamp),
    /// All is over.
    End,
}

impl Frame {
    /// A text.
    pub fn text(text: String) -> Self {
        Self { payload: text.into(), is_text: true }
    }
}

impl Traffic {
    pub(super) fn add(&mut self, frame: &Frame) {
        self.frames += 1;
        self.bytes += frame.payload.len() as u64;
    }
}
