//! Another service that speaks OpenAI's chat and answers where the pool cannot, or always for some models.

use bytes::Bytes;
use http::Request;

use super::attempt::{Attempt, Phase};
use super::{Op, Single, Step};
use crate::auth::Access;
use crate::time::Timestamp;
use crate::upstream;

impl Single {
    /// Whether the custom service may serve this request.
    pub(super) fn can_take_over(&self) -> bool {
        matches!(self.access, Access::Pool { .. })
            && !self.taken_over
            && self.task.chat_model().is_some()
            && self.body.is_some()
            && self.gateway.config().custom_llm.is_some()
    }

    /// Models that always go to the custom service.
    pub(super) fn take_over_at_once(&mut self, now: Timestamp) -> Option<Step> {
        let config = self.gateway.config();
        let custom = config.custom_llm.as_ref()?;
        if custom.serves(self.task.chat_model()?) { self.take_over(now) } else { None }
    }

    pub(super) fn take_over(&mut self, now: Timestamp) -> Option<Step> {
        if !self.can_take_over() {
            return None;
        }
        self.taken_over = true;
        self.note_sent(now);
        let op = self.new_op();
        let request = self.custom_request();
        let deadline = (now + self.times.attempt).min(self.times.deadline);
        self.course.begin(None, None, now);
        self.running.push(Attempt { op, lease: None, started: now, deadline, phase: Phase::Sent });
        Some(Step::Start(op, Op::Upstream(request)))
    }

    pub(super) fn custom_request(&self) -> Request<Option<Bytes>> {
        let config = self.gateway.config();
        let body = self.body.clone().unwrap_or_default();
        match &config.custom_llm {
            Some(custom) => {
                let asked = self.task.chat_model().unwrap_or_default();
                let body = match &custom.model {
                    Some(model) if !custom.serves(asked) => with_model(&body, model).unwrap_or(body),
                    _ => body,
                };
                upstream::to_custom_llm(&custom.base_url, custom.api_key.as_ref(), &self.headers, body)
            }
            None => Request::new(Some(body)),
        }
    }
}

/// A chat body with another model. Everything else stays as it was written.
fn with_model(body: &Bytes, model: &str) -> Option<Bytes> {
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    object.insert("model".to_owned(), model.into());
    serde_json::to_vec(&object).ok().map(Bytes::from)
}
