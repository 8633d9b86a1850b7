//! Cases: a field of a request and what Gemini is told, or a field of Gemini's answer and what the client is told.

use libra_core::error::Error;
use serde_json::Value;

/// A text in English and in Chinese.
pub(crate) type Words = [&'static str; 2];

/// One dialect: its paths, and what becomes of its fields.
pub(crate) struct Dialect {
    pub(crate) title: Words,
    pub(crate) intro: Words,
    /// A plain request, to which the cases add their fields.
    pub(crate) plain: Value,
    /// Translates a request for a model.
    pub(crate) request: fn(&Value, &str) -> Result<Value, Error>,
    /// Translates an answer of Gemini's to a request.
    pub(crate) answer: fn(&Value, &Value) -> Value,
    pub(crate) requests: Vec<Asked>,
    pub(crate) answers: Vec<Answered>,
}

/// A field of a request.
pub(crate) struct Asked {
    /// As it is called in the page.
    pub(crate) field: &'static str,
    /// What is added to the plain request.
    pub(crate) body: Value,
    pub(crate) model: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) remark: Words,
}

/// What becomes of a field.
pub(crate) enum Outcome {
    /// These values stand in these places of Gemini's request.
    Becomes(Vec<(&'static str, Value)>),
    /// Gemini is told the same as without it.
    Ignored,
    /// Likewise, as it says in which form the answer is to come.
    OfAnswer,
    /// The client is told that it is wrong.
    Refused { param: &'static str },
}

/// A field of an answer.
pub(crate) struct Answered {
    /// Gemini's field, as it is called in the page.
    pub(crate) field: &'static str,
    /// What is added to the plain request.
    pub(crate) request: Value,
    /// Gemini's answer.
    pub(crate) native: Value,
    pub(crate) becomes: Vec<(&'static str, Value)>,
    pub(crate) remark: Words,
}

/// Begins a case of a request; without another word its fields are ignored.
pub(crate) fn asked(field: &'static str, body: Value) -> Asked {
    Asked { field, body, model: "gemini-3.5-flash", outcome: Outcome::Ignored, remark: [""; 2] }
}

/// Begins a case of an answer.
pub(crate) fn answered(field: &'static str, native: Value) -> Answered {
    Answered { field, request: serde_json::json!({}), native, becomes: Vec::new(), remark: [""; 2] }
}

impl Asked {
    /// For another model than the usual one.
    pub(crate) fn on(self, model: &'static str) -> Self {
        Self { model, ..self }
    }

    /// What stands in a place of Gemini's request, by JSON pointer. Null: nothing.
    pub(crate) fn becomes(mut self, place: &'static str, value: Value) -> Self {
        match &mut self.outcome {
            Outcome::Becomes(places) => places.push((place, value)),
            outcome => *outcome = Outcome::Becomes(vec![(place, value)]),
        }
        self
    }

    /// Refused, with this field named.
    pub(crate) fn refused(self, param: &'static str) -> Self {
        Self { outcome: Outcome::Refused { param }, ..self }
    }

    /// Says in which form the answer is to come.
    pub(crate) fn of_answer(self) -> Self {
        Self { outcome: Outcome::OfAnswer, ..self }
    }

    pub(crate) fn says(self, english: &'static str, chinese: &'static str) -> Self {
        Self { remark: [english, chinese], ..self }
    }

    /// Whether the value goes up as it came, and under the name that it had.
    pub(crate) fn is_taken(&self) -> bool {
        let Outcome::Becomes(places) = &self.outcome else { return false };
        let [(place, value)] = places.as_slice() else { return false };
        let name = place.rsplit('/').next().unwrap_or_default().to_lowercase();
        let same_name = self.field.rsplit('.').next().unwrap_or_default().replace('_', "") == name;
        same_name && self.body.as_object().is_some_and(|body| body.values().any(|given| given == value))
    }
}

impl Answered {
    /// As the answer to a request with these fields.
    pub(crate) fn to(self, request: Value) -> Self {
        Self { request, ..self }
    }

    /// What stands in a place of the client's answer, by JSON pointer. Null: nothing.
    pub(crate) fn becomes(mut self, place: &'static str, value: Value) -> Self {
        self.becomes.push((place, value));
        self
    }

    pub(crate) fn says(self, english: &'static str, chinese: &'static str) -> Self {
        Self { remark: [english, chinese], ..self }
    }
}

impl Dialect {
    /// The plain request with these fields.
    pub(crate) fn body(&self, fields: &Value) -> Value {
        let mut body = self.plain.clone();
        for (name, value) in fields.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    }
}
