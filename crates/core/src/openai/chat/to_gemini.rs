//! The request: chat completions to `generateContent`.

use super::{AudioFormat, ChatRequest, Google, ResponseFormat, Voice, thinking, tools, turns};
use crate::error::Error;
use crate::gemini::draft::Draft;
use crate::gemini::model::Model;
use crate::gemini::remote::Written;
use crate::gemini::request::{
    GenerateContentRequest, GenerationConfig, ImageConfig, Known, PrebuiltVoiceConfig, SpeechConfig,
    VoiceConfig,
};
use crate::gemini::schema::Schema;
use crate::gemini::turns::Turns;
use crate::openai::sampling::{longest, penalty, positive, seed, stop_sequences};
use crate::openai::voice;

/// The body for `models/{model}:generateContent` or `:streamGenerateContent`.
///
/// `model` is the upstream's name, without `models/`. It decides about settings that are refused by some
/// models and needed by others, so that a request that falls back on another model is translated anew. `known` is
/// what has been fetched for it so far, and what is remembered of its [calls](ChatRequest::call_ids).
///
/// # Errors
/// 400 for what cannot be said to Gemini, with the field at fault.
pub fn request(chat: &ChatRequest, model: &str, known: &Known) -> Result<Written, Error> {
    let model = Model::parse(model);
    let names = chat.function_names();
    let turns::Conversation { system, sayings } =
        turns::translate(chat.messages(), model, &names, &known.recalled)?;
    let Turns { contents, stand_ins, .. } = Turns::of(sayings, model);
    let tools = tools::translate(chat, model, &names)?;
    let draft = Draft { system, contents, tools, config: sampling(chat, model)?, json: json_form(chat)? };
    let google = chat.google();
    let body = GenerateContentRequest {
        safety_settings: google
            .and_then(|google| google.safety_settings.as_deref())
            .filter(|settings| settings.get() != "null"),
        cached_content: google.and_then(|google| google.cached_content.as_deref()),
        // `auto`, `default` and whatever else OpenAI sells are what Gemini does without being told.
        service_tier: chat.service_tier.as_deref().filter(|tier| matches!(*tier, "flex" | "priority")),
        ..draft.fit(model)
    };
    Ok(Written { stand_ins, ..body.write(&known.media) })
}

/// All of `generationConfig` but the form of the answer.
fn sampling(chat: &ChatRequest, model: Model) -> Result<GenerationConfig<'_>, Error> {
    let longest = |tokens| longest(tokens, chat.stream, model);
    let answers = positive(chat.n).filter(|n| *n > 1);
    if answers.is_some() && !model.gives_several_answers() {
        return Err(Error::bad_request(
            "Unsupported value: this model gives one answer, so 'n' has to be 1.",
            "n",
        ));
    }
    let google_thinking = chat.google().and_then(|google: &Google| google.thinking_config.as_ref());
    let (response_modalities, speech_config) = modalities(chat)?;
    Ok(GenerationConfig {
        temperature: chat.temperature,
        top_p: chat.top_p,
        top_k: positive(chat.top_k),
        candidate_count: answers,
        max_output_tokens: longest(chat.max_completion_tokens).or_else(|| longest(chat.max_tokens)),
        stop_sequences: stop_sequences(&chat.stop),
        seed: chat.seed.map(seed),
        presence_penalty: penalty(chat.presence_penalty, model),
        frequency_penalty: penalty(chat.frequency_penalty, model),
        response_logprobs: chat.logprobs,
        logprobs: positive(chat.top_logprobs).filter(|_| chat.logprobs),
        response_mime_type: None,
        response_json_schema: None,
        response_schema: None,
        response_modalities,
        image_config: chat.image_config().map(ImageConfig::AsWritten),
        media_resolution: chat.google().and_then(|google| google.media_resolution.as_deref()),
        speech_config,
        thinking_config: thinking::translate(chat.reasoning_effort.as_deref(), google_thinking, model)?,
    })
}

/// `modalities` and `audio`. Text alone is what Gemini does without being told.
fn modalities(chat: &ChatRequest) -> Result<(Vec<&'static str>, Option<SpeechConfig<'_>>), Error> {
    if let Some(AudioFormat::Pcm16 | AudioFormat::Wav) = chat.audio_format()? {
        // Models that speak do nothing else; the words come as sound.
        let name = chat.audio.as_ref().and_then(|audio| audio.voice.as_ref()).map(|voice| match voice {
            Voice::Name(name) | Voice::Custom { id: name } => voice::to_gemini(name),
        });
        let speech = name.map(|voice_name| SpeechConfig {
            voice_config: VoiceConfig { prebuilt_voice_config: PrebuiltVoiceConfig { voice_name } },
        });
        return Ok((vec!["AUDIO"], speech));
    }
    let modalities = match (chat.modality("text"), chat.modality("image")) {
        (_, false) => Vec::new(),
        (true, true) => vec!["TEXT", "IMAGE"],
        (false, true) => vec!["IMAGE"],
    };
    Ok((modalities, None))
}

/// Whether the answer has to be JSON, and by which schema.
fn json_form(chat: &ChatRequest) -> Result<Option<Option<Schema<'_>>>, Error> {
    match chat.response_format.as_ref() {
        None => Ok(None),
        Some(ResponseFormat { r#type, json_schema }) => match r#type.as_str() {
            "text" => Ok(None),
            "json_object" => Ok(Some(None)),
            "json_schema" => {
                let schema = json_schema.as_ref().and_then(|json_schema| json_schema.schema.as_deref());
                Ok(Some(schema.filter(|schema| schema.get() != "null").map(Schema::new)))
            }
            _ => Err(Error::bad_request(
                "Invalid value for 'response_format.type'. Supported values are: 'text', 'json_object' and \
                 'json_schema'.",
                "response_format.type",
            )),
        },
    }
}
