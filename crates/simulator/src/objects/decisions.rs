//! `decisions`: questions with a choice of answers. All are answered alike: every answer is as likely.

use http::Method;
use serde_json::{Value, json};

use crate::answer::tokens;
use crate::asked::Asked;
use crate::call::{Call, Operation};
use crate::errors::GoogleError;
use crate::json::{field, text};
use crate::models::Model;
use crate::objects::{Answered, Asking};
use crate::plan::Reply;

/// Answers `{"model", "input", "questions": {"a": {"type", …}}}`.
pub(crate) fn answer(asking: &Asking<'_>) -> Answered {
    if asking.method() != Method::POST || asking.route.path.len() != 1 {
        return Ok(None);
    }
    let body = asking.json()?;
    let name = text(&body, "model");
    let name = name.strip_prefix("models/").unwrap_or(name);
    let model = Model::named(name).filter(|model| model.supports("generateContent"));
    let model =
        model.ok_or_else(|| GoogleError::no_such_model(name, asking.route.version, "createDecision"))?;
    let questions = field(&body, "questions").and_then(Value::as_object);
    let questions = questions.filter(|questions| !questions.is_empty());
    let questions = questions.ok_or_else(|| GoogleError::invalid("'questions' is required."))?;
    let used = tokens(&body.to_string());
    let call =
        Call { version: asking.route.version, model: model.id.to_owned(), operation: Operation::Generate };
    let (simulator, request, caller, now) = (asking.simulator, asking.request, asking.caller, asking.now);
    Asked { simulator, request, call: &call, caller, now }.take(model, used)?;
    let answers: serde_json::Map<String, Value> =
        questions.iter().map(|(id, question)| (id.clone(), decide(question))).collect();
    let usage = json!({ "total_tokens": used, "total_input_tokens": used, "total_output_tokens": 0 });
    Ok(Some(Reply::object(&json!({ "answers": answers, "usage": usage }))))
}

/// Of `criteria`, a choice has an object by option, and a score a list by level.
fn decide(question: &Value) -> Value {
    let criteria = field(question, "criteria").unwrap_or(&Value::Null);
    let options: Vec<String> = match criteria {
        Value::Object(options) => options.keys().cloned().collect(),
        Value::Array(levels) => (0..levels.len()).map(|level| level.to_string()).collect(),
        _ => Vec::new(),
    };
    let share = 1.0 / options.len().max(1) as f64;
    let probabilities: serde_json::Map<String, Value> =
        options.iter().map(|option| (option.clone(), json!(share))).collect();
    match text(question, "type") {
        "choice" => json!({
            "type": "choice",
            "choice": options.first(),
            "confidence": share,
            "probabilities": probabilities,
        }),
        "score" => {
            let levels = criteria.as_array().into_iter().flatten().enumerate();
            let legend: serde_json::Map<String, Value> =
                levels.map(|(level, what)| (level.to_string(), what.clone())).collect();
            let score = options.len().saturating_sub(1) as f64 / 2.0;
            json!({
                "type": "score",
                "score": score,
                "confidence": share,
                "probabilities": probabilities,
                "legend": legend,
            })
        }
        _ => json!({ "type": "noul", "noul": 0.5, "confidence": 0.5 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_shape_of_their_questions() {
        let check = |question: Value, expected: Value| assert_eq!(decide(&question), expected, "{question}");
        check(
            json!({ "type": "choice", "criteria": { "yes": "good", "no": "bad" } }),
            json!({ "type": "choice", "choice": "yes", "confidence": 0.5, "probabilities": { "yes": 0.5, "no": 0.5 } }),
        );
        check(
            json!({ "type": "score", "criteria": ["bad", "good"] }),
            json!({ "type": "score", "score": 0.5, "confidence": 0.5, "probabilities": { "0": 0.5, "1": 0.5 },
                "legend": { "0": "bad", "1": "good" } }),
        );
        check(json!({ "type": "noul" }), json!({ "type": "noul", "noul": 0.5, "confidence": 0.5 }));
    }
}
