//! The request: messages to `generateContent`, and to `countTokens`.

use super::{MessagesRequest, OutputFormat, thinking, tools, turns};
use crate::error::Error;
use crate::gemini::count;
use crate::gemini::draft::{Draft, MOST_STOP_SEQUENCES};
use crate::gemini::model::Model;
use crate::gemini::remote::Written;
use crate::gemini::request::{GenerationConfig, Known};
use crate::gemini::schema::Schema;
use crate::gemini::turns::Turns;

/// The body for `models/{model}:generateContent` or `:streamGenerateContent`.
///
/// `model` is the upstream's name, without `models/`. It decides about settings that are refused by some
/// models and needed by others, so that a request that falls back on another model is translated anew. `known` is
/// what has been fetched for it so far, and what is remembered of its [calls](MessagesRequest::call_ids).
///
/// # Errors
/// 400 for what cannot be said to Gemini, with the field at fault.
pub fn request(messages: &MessagesRequest, model: &str, known: &Known) -> Result<Written, Error> {
    let model = Model::parse(model);
    let names = messages.function_names();
    let turns::Conversation { system, sayings } =
        turns::translate(&messages.system, messages.messages(), model, &names, &known.recalled)?;
    let Turns { contents, stand_ins } = Turns::of(sayings, model);
    let draft = Draft {
        system,
        contents,
        tools: tools::translate(messages, model, &names)?,
        config: sampling(messages, model)?,
        json: messages.format().map(json_form).transpose()?.flatten(),
    };
    Ok(Written { stand_ins, ..draft.fit(model).write(&known.media) })
}

/// The body for `models/{model}:countTokens`.
///
/// # Errors
/// As for [`request`].
pub fn count(messages: &MessagesRequest, model: &str, known: &Known) -> Result<Written, Error> {
    Ok(count::body(request(messages, model, known)?, model))
}

/// All of `generationConfig` but the form of the answer.
fn sampling(messages: &MessagesRequest, model: Model) -> Result<GenerationConfig<'_>, Error> {
    // 0 asks Anthropic to fill its cache and answer nothing; one token is the least that Gemini answers.
    let most = messages.max_tokens.and_then(|most| u64::try_from(most).ok()).map(|most| most.max(1));
    let bound = model.longest_whole_answer().filter(|_| !messages.stream);
    Ok(GenerationConfig {
        temperature: messages.temperature,
        top_p: messages.top_p,
        top_k: messages.top_k.and_then(|k| u64::try_from(k).ok()).filter(|k| *k > 0),
        max_output_tokens: most.map(|most| bound.map_or(most, |bound| most.min(bound))),
        stop_sequences: messages
            .stop_sequences
            .iter()
            .map(String::as_str)
            .filter(|stop| !stop.is_empty())
            .take(MOST_STOP_SEQUENCES)
            .collect(),
        thinking_config: thinking::translate(messages, model)?,
        ..GenerationConfig::default()
    })
}

/// Whether the answer has to be JSON, and by which schema.
fn json_form(format: &OutputFormat) -> Result<Option<Option<Schema<'_>>>, Error> {
    match format.r#type.as_deref() {
        None | Some("text") => Ok(None),
        Some("json_schema") => {
            let schema = format.schema.as_deref().filter(|schema| schema.get() != "null");
            Ok(Some(schema.map(Schema::new)))
        }
        Some(_) => Err(Error::bad_request(
            "output_config.format.type: must be 'json_schema'",
            "output_config.format.type",
        )),
    }
}
