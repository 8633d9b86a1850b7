//! The request: chat completions to `generateContent`.

use super::{AudioFormat, ChatRequest, Google, ResponseFormat, Voice, thinking, tools, turns};
use crate::error::Error;
use crate::gemini::model::Model;
use crate::gemini::remote::Written;
use crate::gemini::request::{
    Content, GenerateContentRequest, GenerationConfig, Known, Part, PrebuiltVoiceConfig, Role, SpeechConfig,
    VoiceConfig,
};
use crate::gemini::schema::Schema;
use crate::gemini::tools::Tools;
use crate::openai::voice;

/// Gemini takes no more. OpenAI takes four, but clients in front of Gemini send what they like.
const MOST_STOP_SEQUENCES: usize = 5;

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
    let turns::Turns { mut system, mut contents, stand_ins } =
        turns::translate(chat.messages(), model, &names, &known.recalled)?;
    let mut tools = tools::translate(chat, model, &names)?;
    let mut config = sampling(chat, model)?;

    if let Some(json) = json_form(chat)? {
        let combines = model.combines_tools() || !tools.are_usable();
        if combines && model.answers_in_json() {
            if !model.combines_tools() {
                // Declared but forbidden functions are refused beside a JSON form, too.
                tools = Tools::default();
            }
            config.response_mime_type = Some("application/json");
            config.response_json_schema = json;
        } else {
            system.push(Part::text(instruction(json)));
        }
    }

    if contents.is_empty() && system.is_empty() {
        // OpenAI answers an empty message; Gemini refuses a request without any words.
        system.push(Part::text(" "));
    }
    let mut system_instruction = None;
    if !system.is_empty() {
        if contents.is_empty() || !model.takes_system_instruction() {
            match contents.first_mut().filter(|first| first.role == Some(Role::User)) {
                Some(first) => {
                    first.parts.splice(..0, system);
                }
                None => contents.insert(0, Content { role: Some(Role::User), parts: system }),
            }
        } else {
            system_instruction = Some(Content { role: None, parts: system });
        }
    }

    let google = chat.google();
    let body = GenerateContentRequest {
        contents,
        system_instruction,
        tools: tools.tools,
        tool_config: tools.config,
        safety_settings: google
            .and_then(|google| google.safety_settings.as_deref())
            .filter(|settings| settings.get() != "null"),
        generation_config: config,
        cached_content: google.and_then(|google| google.cached_content.as_deref()),
        // `auto`, `default` and whatever else OpenAI sells are what Gemini does without being told.
        service_tier: chat.service_tier.as_deref().filter(|tier| matches!(*tier, "flex" | "priority")),
    };
    Ok(Written { stand_ins, ..body.write(&known.media) })
}

/// All of `generationConfig` but the form of the answer.
fn sampling(chat: &ChatRequest, model: Model) -> Result<GenerationConfig<'_>, Error> {
    let positive =
        |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).filter(|n| *n > 0);
    let penalty = |penalty: Option<f64>| penalty.filter(|penalty| *penalty != 0.0 && model.takes_penalties());
    // Some clients say "no limit" with 0 or -1.
    let mut longest = positive(chat.max_completion_tokens).or_else(|| positive(chat.max_tokens));
    if !chat.stream
        && let Some(bound) = model.longest_whole_answer()
    {
        longest = longest.map(|tokens| tokens.min(bound));
    }
    let google_thinking = chat.google().and_then(|google: &Google| google.thinking_config.as_ref());
    let (response_modalities, speech_config) = modalities(chat)?;
    Ok(GenerationConfig {
        temperature: chat.temperature,
        top_p: chat.top_p,
        top_k: positive(chat.top_k),
        candidate_count: positive(chat.n).filter(|n| *n > 1),
        max_output_tokens: longest,
        stop_sequences: chat
            .stop
            .iter()
            .map(String::as_str)
            .filter(|stop| !stop.is_empty())
            .take(MOST_STOP_SEQUENCES)
            .collect(),
        // OpenAI's seeds have 64 bits, Gemini's 32: equal seeds stay equal.
        seed: chat.seed.map(|seed| i32::try_from(seed).unwrap_or((seed & 0x7FFF_FFFF) as i32)),
        presence_penalty: penalty(chat.presence_penalty),
        frequency_penalty: penalty(chat.frequency_penalty),
        response_logprobs: chat.logprobs,
        logprobs: positive(chat.top_logprobs).filter(|_| chat.logprobs),
        response_mime_type: None,
        response_json_schema: None,
        response_modalities,
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

/// The words for a model that cannot be held to a form.
fn instruction(schema: Option<Schema<'_>>) -> String {
    let words = "Answer with one JSON value and nothing else: no explanation, no code fence.";
    match schema.and_then(|schema| serde_json::to_string(&schema).ok()) {
        Some(schema) => format!("{words} It has to satisfy this JSON schema: {schema}"),
        None => words.to_owned(),
    }
}
