//! An upload whose connection broke is taken up where it was: the upstream is asked how much has arrived, and the rest of
//! the piece is sent. The client notices nothing, where its piece was small enough to be kept.

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::Single;
use crate::failure::{Class, Failure};
use crate::resource::Kind;

const COMMAND: HeaderName = HeaderName::from_static("x-goog-upload-command");
const OFFSET: HeaderName = HeaderName::from_static("x-goog-upload-offset");
const RECEIVED: HeaderName = HeaderName::from_static("x-goog-upload-size-received");
const STATUS: HeaderName = HeaderName::from_static("x-goog-upload-status");

/// How an upload goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
    /// As the client has sent it.
    No,
    /// The upstream is to be asked how much has arrived.
    Ask,
    /// So many bytes of the file have arrived.
    From(u64),
}

impl Single {
    /// Before a piece is sent once more: how much of it has arrived?
    pub(super) fn ask_what_arrived(&mut self) {
        if self.is_upload() && self.sends_a_piece() {
            self.resume = Resume::Ask;
        }
    }

    /// After a failure that says nothing of how much has arrived, that is asked for first.
    pub(super) fn resume_after(&mut self, failure: &Failure) {
        if !self.is_upload() {
            return;
        }
        match failure.class {
            Class::Network | Class::Timeout | Class::Internal | Class::Overloaded if self.sends_a_piece() => {
                self.resume = Resume::Ask;
            }
            // A key that does not work has sent nothing.
            class if class.is_the_keys() => {}
            _ => self.budget.end(),
        }
    }

    /// Whether an answer says how much has arrived, so that the rest can be sent.
    pub(super) fn learns_received(&mut self, status: StatusCode, headers: &HeaderMap) -> bool {
        if self.resume != Resume::Ask || !status.is_success() {
            return false;
        }
        let is_active = headers.get(STATUS).is_some_and(|status| status == "active");
        let received = headers.get(RECEIVED).and_then(|value| value.to_str().ok()?.parse().ok());
        let Some(received) = received.filter(|received| is_active && self.rest_of_body(*received).is_some())
        else {
            return false;
        };
        self.resume = Resume::From(received);
        true
    }

    /// Head and body of the next request of an upload.
    pub(super) fn resumed(&self, headers: &mut HeaderMap, body: Option<Bytes>) -> Option<Bytes> {
        match self.resume {
            Resume::No => body,
            Resume::Ask => {
                headers.insert(COMMAND, HeaderValue::from_static("query"));
                headers.remove(OFFSET);
                Some(Bytes::new())
            }
            Resume::From(received) => {
                headers.insert(OFFSET, HeaderValue::from(received));
                self.rest_of_body(received)
            }
        }
    }

    /// Whether an upload's keys begin anew, as all of its project's were tried: it may have one only.
    pub(super) fn tries_keys_again(&mut self) -> bool {
        let all_tried = self.resume != Resume::No && !self.tried.is_empty();
        if all_tried {
            self.tried.clear();
        }
        all_tried
    }

    fn is_upload(&self) -> bool {
        self.task.resource().is_some_and(|resource| resource.kind() == Kind::Upload)
    }

    fn sends_a_piece(&self) -> bool {
        self.headers.get(COMMAND).is_some_and(|command| command.as_bytes().starts_with(b"upload"))
    }

    /// What of the client's piece has not arrived. None: what has arrived does not fit it.
    fn rest_of_body(&self, received: u64) -> Option<Bytes> {
        let body = self.body.as_ref()?;
        let offset = self.headers.get(OFFSET).map_or(Some(0), |value| value.to_str().ok()?.parse().ok())?;
        let sent = usize::try_from(received.checked_sub(offset)?).ok()?;
        (sent <= body.len()).then(|| body.slice(sent..))
    }
}
