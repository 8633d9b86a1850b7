//! One more try on the same key, where Google has refused what this gateway made of the request: see
//! [`repair`](crate::repair).

use bytes::Bytes;
use http::StatusCode;

use super::Single;
use super::attempt::{Attempt, Phase};
use crate::failure::{Class, Failure};
use crate::repair;
use crate::time::Timestamp;

impl Single {
    /// Whether a refusal is of something that this gateway has made, and that it can make otherwise. If it was the
    /// last remedy that was refused, that is forgotten.
    pub(super) fn can_repair(&mut self, failure: &Failure) -> bool {
        let (Some(body), Some(model)) = (self.task.generated_body(), self.task.model()) else { return false };
        let class = failure.class;
        if failure.status != Some(StatusCode::BAD_REQUEST)
            || !matches!(class, Class::Request | Class::Signature)
        {
            return false;
        }
        if let Some(learned) = self.repaired.take() {
            self.gateway.repairs().forget(&learned);
            self.repaired = Some(Vec::new());
            return false;
        }
        let says_signature = failure.message.contains("thought_signature");
        if class == Class::Signature || says_signature {
            self.unsigned = repair::without_signatures(&body).map(|(_, stand_ins)| stand_ins);
            self.repaired = Some(Vec::new());
            return self.unsigned.is_some();
        }
        let learned = self.gateway.repairs().learn(&body, model, &failure.message);
        let helps = !learned.is_empty();
        self.repaired = Some(learned);
        helps
    }

    /// The same key once more, with the request made otherwise. No other key would take it as it was.
    pub(super) fn try_repaired(&mut self, mut attempt: Attempt, failure: &Failure, now: Timestamp) {
        self.cancel.push(attempt.op);
        self.budget.spend();
        self.note_failure(&attempt, failure, now);
        self.course.begin(attempt.lease.as_ref().map(|lease| lease.key().id()), None, now);
        attempt.phase = Phase::Stale;
        self.running.push(attempt);
    }

    /// The body of a translated request, with what Google has refused in it put otherwise.
    pub(super) fn repaired_body(&self, body: Bytes) -> Bytes {
        let Some(model) = self.task.model().filter(|_| self.task.generated_body().is_some()) else {
            return body;
        };
        let forms = self.gateway.repairs().forms();
        let body = forms.apply(&body, model);
        match self.unsigned {
            Some(_) => repair::without_signatures(&body).map_or(body, |(unsigned, _)| unsigned),
            None => body,
        }
    }

    /// So many calls of the conversation went up with stand-ins.
    pub(super) fn stand_ins(&self) -> u32 {
        self.unsigned.unwrap_or_else(|| self.task.stand_ins())
    }
}
