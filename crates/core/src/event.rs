//! What happened, as data. Shells log, count and trace it; core keeps no log.

mod course;

use std::time::Duration;

use http::StatusCode;

pub use self::course::{Attempt, AttemptResult, Course, TraceContext};
use crate::clients::Limit;
use crate::error::Dialect;
use crate::failure::{Class, Why};
use crate::mark::RequestId;
use crate::secret::KeyId;
use crate::time::Timestamp;

/// Something worth telling an operator. Holds no secret and no content.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// An attempt failed; the exchange goes on or gives up.
    AttemptFailed {
        /// The client's request.
        request: RequestId,
        /// The key used, if it was one of the pool's or the client's.
        key: Option<KeyId>,
        /// The model asked for.
        model: Option<String>,
        /// What kind of failure.
        class: Class,
        /// The upstream's status, if it answered.
        status: Option<StatusCode>,
        /// What the upstream said, redacted, one line.
        message: String,
        /// From the attempt's start.
        elapsed: Duration,
    },
    /// A second attempt has begun beside one that keeps silent.
    Hedged {
        /// The client's request.
        request: RequestId,
        /// The key of the second.
        key: KeyId,
    },
    /// Another attempt would have made sense, but retries have added as much to the load as they may.
    RetriesUsedUp {
        /// The client's request.
        request: RequestId,
    },
    /// Media that a request names by address could not be had.
    FetchFailed {
        /// The client's request.
        request: RequestId,
        /// The host that they were to come from; empty where none could be made out.
        host: String,
        /// What the client was told.
        message: String,
    },
    /// An exchange has ended.
    Finished(Finished),
    /// A session of the Live API has ended.
    LiveEnded(LiveEnded),
    /// A key will not be used until probed or restored.
    SetAside {
        /// The key.
        key: KeyId,
        /// Why.
        why: Why,
    },
    /// The local clock differs from Google's, by which days end; or no longer does.
    ClockOff {
        /// By how much it is behind; negative where it is ahead.
        behind_seconds: i64,
    },
    /// A client has reached a limit, for the first time in the limit's window.
    ClientLimited {
        /// The client.
        client: KeyId,
        /// The limit.
        limit: Limit,
        /// How much it may use; money in millionths.
        of: u64,
        /// When it may go on; none: not by waiting.
        until: Option<Timestamp>,
    },
    /// A client has used four fifths of what it may, for the first time in the limit's window.
    ClientNearLimit {
        /// The client.
        client: KeyId,
        /// The limit.
        limit: Limit,
        /// How much it has used, and holds for what is under way; money in millionths.
        used: u64,
        /// How much it may use; money in millionths.
        of: u64,
    },
    /// A key is in use again.
    Restored {
        /// The key.
        key: KeyId,
    },
}

/// The end of an exchange.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The request.
    pub request: RequestId,
    /// What stands for the client.
    pub client: KeyId,
    /// The client's dialect.
    pub dialect: Dialect,
    /// The model asked for upstream.
    pub model: Option<String>,
    /// The status that the client saw.
    pub status: StatusCode,
    /// How the answer ended.
    pub ending: Ending,
    /// Attempts made.
    pub attempts: u32,
    /// The key that served, if one did.
    pub key: Option<KeyId>,
    /// Tokens, as the upstream counted them.
    pub usage: Option<Usage>,
    /// So many calls of the conversation had lost their thought signatures, so that the model did not see its
    /// own reasoning.
    pub stand_ins: u32,
    /// From the request's arrival.
    pub elapsed: Duration,
    /// How it went.
    pub course: Course,
}

/// What requests ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Operation {
    /// An answer of the model: text, and whatever else it makes.
    #[default]
    Generate,
    /// What asking would cost.
    CountTokens,
    /// Vectors.
    Embed,
    /// Images, by a call made for them.
    Image,
    /// Speech of a text.
    Speech,
    /// A text of speech.
    Transcribe,
    /// Which models there are.
    Models,
    /// Files, caches, batches and other objects.
    Objects,
    /// A session of the Live API.
    Live,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Generate,
        Self::CountTokens,
        Self::Embed,
        Self::Image,
        Self::Speech,
        Self::Transcribe,
        Self::Models,
        Self::Objects,
        Self::Live,
    ];

    /// Its name where requests are counted.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::CountTokens => "count_tokens",
            Self::Embed => "embed",
            Self::Image => "image",
            Self::Speech => "speech",
            Self::Transcribe => "transcribe",
            Self::Models => "models",
            Self::Objects => "objects",
            Self::Live => "live",
        }
    }
}

/// The end of a session of the Live API.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveEnded {
    /// The client's request.
    pub request: RequestId,
    /// What stands for the client.
    pub client: KeyId,
    /// The model asked for upstream.
    pub model: Option<String>,
    /// The key that served, if one did.
    pub key: Option<KeyId>,
    /// Attempts made before one was good.
    pub attempts: u32,
    /// Who ended it.
    pub by: LiveEndedBy,
    /// The code of the close; 1005 is one without a code, 1006 a connection that was gone.
    pub code: u16,
    /// Messages of the client.
    pub up: Traffic,
    /// Messages of the upstream.
    pub down: Traffic,
    /// Tokens of all turns, as the upstream counted them.
    pub usage: Option<Usage>,
    /// From the request's arrival.
    pub elapsed: Duration,
    /// How it went.
    pub course: Course,
}

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveEndedBy {
    /// The client.
    Client,
    /// Google.
    Upstream,
    /// The gateway: a limit of its own, or no key that serves.
    Gateway,
}

/// What has passed in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Messages.
    pub frames: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Complete,
    /// With an error before anything of an answer was sent.
    Refused,
    /// The upstream broke off, or sent an error, after the answer had begun.
    Cut,
    /// The client left.
    ClientLeft,
}

/// Tokens, as the upstream counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// `promptTokenCount`.
    pub prompt: u64,
    /// `totalTokenCount`.
    pub total: u64,
    /// `candidatesTokenCount`: what was answered.
    pub output: u64,
    /// `thoughtsTokenCount`: what was thought before.
    pub thoughts: u64,
    /// `cachedContentTokenCount`: how much of the prompt was cached.
    pub cached: u64,
}

impl Usage {
    /// Adds what another answer has used.
    pub(crate) fn add(&mut self, other: Self) {
        self.prompt = self.prompt.saturating_add(other.prompt);
        self.total = self.total.saturating_add(other.total);
        self.output = self.output.saturating_add(other.output);
        self.thoughts = self.thoughts.saturating_add(other.thoughts);
        self.cached = self.cached.saturating_add(other.cached);
    }
}
