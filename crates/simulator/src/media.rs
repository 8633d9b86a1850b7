//! What is asked of models that draw and speak, and of those that do not.

use serde_json::Value;

use crate::errors::GoogleError;
use crate::json::{field, list, text};
use crate::models::{Kind, Model};
use crate::validate::known;

/// The shapes of images.
const SHAPES: &[&str] = &["1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"];

const SIZES: &[&str] = &["1K", "2K", "4K"];

/// The voices, as the error names them.
const VOICES: &[&str] = &[
    "achernar",
    "achird",
    "algenib",
    "algieba",
    "alnilam",
    "aoede",
    "autonoe",
    "callirrhoe",
    "charon",
    "despina",
    "enceladus",
    "erinome",
    "fenrir",
    "gacrux",
    "iapetus",
    "kore",
    "laomedeia",
    "leda",
    "orus",
    "puck",
    "pulcherrima",
    "rasalgethi",
    "sadachbia",
    "sadaltager",
    "schedar",
    "sulafat",
    "umbriel",
    "vindemiatrix",
    "zephyr",
    "zubenelgenubi",
];

/// Checks what a `generationConfig` says of images and sound.
pub(crate) fn check(config: &Value, model: &Model) -> Result<(), GoogleError> {
    modalities(config, model)?;
    if let Some(image) = field(config, "imageConfig") {
        images(image, model)?;
    }
    let Some(speech) = field(config, "speechConfig") else { return Ok(()) };
    let path = "generation_config.speech_config";
    known(speech, &["voiceConfig", "multiSpeakerVoiceConfig", "languageCode"], path)?;
    let Some(voice) = field(speech, "voiceConfig") else { return Ok(()) };
    known(voice, &["prebuiltVoiceConfig"], &format!("{path}.voice_config"))?;
    let name = field(voice, "prebuiltVoiceConfig").map_or("", |voice| text(voice, "voiceName"));
    if VOICES.iter().any(|voice| voice.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    let allowed = VOICES.join(", ");
    Err(GoogleError::invalid(format!(
        "Voice name {name} is not supported. Allowed voice names are: {allowed}"
    )))
}

fn modalities(config: &Value, model: &Model) -> Result<(), GoogleError> {
    let mut asked: Vec<String> = list(config, "responseModalities")
        .iter()
        .filter_map(|modality| modality.as_str().map(str::to_ascii_uppercase))
        .collect();
    asked.sort();
    let accepted: &[&[&str]] = match model.kind {
        Kind::Chat => &[&["TEXT"]],
        Kind::Image => &[&["IMAGE", "TEXT"], &["IMAGE"]],
        Kind::Speech => &[&["AUDIO"]],
        Kind::Embedding | Kind::Film | Kind::Painting | Kind::Answering => return Ok(()),
    };
    // Without a word models do what they can, but those that speak want to be told.
    let fits = accepted.contains(&asked.iter().map(String::as_str).collect::<Vec<_>>().as_slice());
    if fits || (asked.is_empty() && model.kind != Kind::Speech) {
        return Ok(());
    }
    let asked = if asked.is_empty() { "TEXT".to_owned() } else { asked.join(", ") };
    let accepted: String = accepted.iter().map(|list| format!("* {}\n", list.join(", "))).collect();
    Err(GoogleError::invalid(format!(
        "The requested combination of response modalities ({asked}) is not supported by the model. models/{} accepts \
         the following combination of response modalities:\n{accepted}",
        model.id
    )))
}

fn images(image: &Value, model: &Model) -> Result<(), GoogleError> {
    let path = "generation_config.image_config";
    known(image, &["aspectRatio", "imageSize"], path)?;
    if model.kind != Kind::Image {
        return Err(GoogleError::invalid("Aspect ratio is not enabled for this model"));
    }
    let one_of = |name: &str, snake: &str, values: &[&str]| match text(image, name) {
        "" => Ok(()),
        value if values.contains(&value) => Ok(()),
        value => Err(GoogleError::invalid(format!(
            "* GenerateContentRequest.{path}.{snake}: {value} is not one of {}.\n",
            values.join(", ")
        ))),
    };
    one_of("aspectRatio", "aspect_ratio", SHAPES)?;
    one_of("imageSize", "image_size", SIZES)?;
    if !text(image, "imageSize").is_empty() && !model.signs_thoughts() {
        return Err(GoogleError::invalid("Image size is not enabled for this model"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check as check_config;
    use super::*;

    #[test]
    fn models_do_what_they_can() {
        let check = |model: &str, config: Value, expected: &str| {
            let model = Model::named(model).expect("test models exist");
            match check_config(&config, model) {
                Ok(()) => assert_eq!("", expected, "{config} was taken"),
                Err(error) => {
                    let message = error.body["error"]["message"].as_str().unwrap_or_default();
                    assert!(!expected.is_empty() && message.contains(expected), "{config}: {message}");
                }
            }
        };
        let (chat, draws, speaks) =
            ("gemini-2.5-flash", "gemini-2.5-flash-image", "gemini-2.5-flash-preview-tts");
        check(chat, json!({}), "");
        check(chat, json!({ "responseModalities": ["text"] }), "");
        check(chat, json!({ "responseModalities": ["AUDIO"] }), "(AUDIO) is not supported by the model");
        check(draws, json!({ "response_modalities": ["TEXT", "IMAGE"] }), "");
        check(
            draws,
            json!({ "responseModalities": ["IMAGE"], "imageConfig": { "aspectRatio": "16:9" } }),
            "",
        );
        check(draws, json!({ "imageConfig": { "aspectRatio": "2:1" } }), "2:1 is not one of 1:1, 2:3");
        check(draws, json!({ "imageConfig": { "imageSize": "2K" } }), "Image size is not enabled");
        check(draws, json!({ "imageConfig": { "quality": 1 } }), "Unknown name \"quality\"");
        check("gemini-3-pro-image-preview", json!({ "imageConfig": { "imageSize": "2K" } }), "");
        check(chat, json!({ "imageConfig": {} }), "Aspect ratio is not enabled");
        let voice = |name: &str| json!({ "voiceConfig": { "prebuiltVoiceConfig": { "voiceName": name } } });
        check(speaks, json!({ "responseModalities": ["AUDIO"], "speechConfig": voice("Kore") }), "");
        check(
            speaks,
            json!({ "responseModalities": ["AUDIO"], "speechConfig": voice("alloy") }),
            "Voice name alloy is not supported. Allowed voice names are: achernar, achird,",
        );
        check(speaks, json!({}), "* AUDIO\n");
    }
}
