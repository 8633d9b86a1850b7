//! What happened in a run, as clients and Google saw it.

use libra_simulator::UnixMillis;

/// Everything that the judge looks at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// The requests, by arrival.
    pub requests: Vec<Request>,
    /// The calls to Google, by their beginning.
    pub calls: Vec<Call>,
    /// Keys that were set aside: when, and the key's number.
    pub set_aside: Vec<(UnixMillis, u32)>,
    /// What others took out of a project's quota.
    pub others: Vec<Others>,
    /// When the last client had its answer.
    pub ended: UnixMillis,
}

/// A request of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// When it arrived.
    pub at: UnixMillis,
    /// Whose it is.
    pub client: u32,
    /// Its input tokens.
    pub tokens: u64,
    /// Whether it asked for a stream.
    pub stream: bool,
    /// How it ended; none: it never did.
    pub end: Option<Ended>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: UnixMillis,
    /// The status that the client saw.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// What the client got.
    pub what: What,
}

/// What a client got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A whole answer.
    Answer,
    /// The beginning of one.
    Part,
    /// An error, or a success without an answer in it.
    Nothing,
}

/// A call to Google.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The number of the request that it was made for; none: a probe.
    pub request: Option<u32>,
    /// The number of the key.
    pub key: u32,
    /// The number of the model whose quota it uses if it is answered; none: it uses none.
    pub model: Option<u32>,
    /// Its input tokens.
    pub tokens: u64,
    /// When the gateway began it.
    pub began: UnixMillis,
    /// When it was at Google's; none: it was cancelled before.
    pub reached: Option<UnixMillis>,
    /// When the gateway knew all of it, or gave it up.
    pub ended: Option<UnixMillis>,
    /// What Google answered; 0: nothing.
    pub status: u16,
}

/// A call of somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Others {
    /// When it was at Google's.
    pub at: UnixMillis,
    /// The number of the project.
    pub project: u32,
    /// The number of the model, as the scenario [counts them](crate::Scenario::models).
    pub model: u32,
    /// Its input tokens.
    pub tokens: u64,
}
