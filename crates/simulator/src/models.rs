//! The models that there are.

use serde_json::{Value, json};

/// A model, as the list tells it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Model {
    /// The name without `models/`. Also the family by which quotas are counted.
    pub id: &'static str,
    /// The model that answers, where the name is an alias.
    pub serves: &'static str,
    display: &'static str,
    /// What it can do.
    pub kind: Kind,
    /// Whether it thinks before it answers.
    pub thinking: bool,
    /// The most input tokens.
    pub input_limit: u64,
    output_limit: u64,
}

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text out of text and pictures; calls functions.
    Chat,
    /// Pictures.
    Image,
    /// Speech.
    Speech,
    /// Vectors.
    Embedding,
    /// Films, which take a while.
    Film,
    /// Pictures, by `predict`.
    Painting,
    /// Answers out of passages, by `generateAnswer`.
    Answering,
}

/// All of them, in the order of the list.
pub(crate) const MODELS: &[Model] = &[
    chat("gemini-2.5-flash", "Gemini 2.5 Flash"),
    chat("gemini-2.5-pro", "Gemini 2.5 Pro"),
    chat("gemini-2.5-flash-lite", "Gemini 2.5 Flash-Lite"),
    Model { serves: "gemini-3.8-flash", ..chat("gemini-flash-latest", "Gemini Flash Latest") },
    chat("gemini-3-flash-preview", "Gemini 3 Flash Preview"),
    chat("gemini-3-pro-preview", "Gemini 3 Pro Preview"),
    chat("gemini-3.1-flash-lite", "Gemini 3.1 Flash-Lite"),
    chat("gemini-3.5-flash-lite", "Gemini 3.5 Flash-Lite"),
    chat("gemini-3.8-flash", "Gemini 3.8 Flash"),
    special("gemini-2.5-flash-image", "Gemini 2.5 Flash Image", Kind::Image, 32_768, 32_768),
    special("gemini-3-pro-image-preview", "Gemini 3 Pro Image Preview", Kind::Image, 65_536, 32_768),
    special("gemini-2.5-flash-preview-tts", "Gemini 2.5 Flash Preview TTS", Kind::Speech, 8_192, 16_384),
    special("gemini-embedding-001", "Gemini Embedding 001", Kind::Embedding, 2_048, 1),
    special("gemini-embedding-2", "Gemini Embedding 2", Kind::Embedding, 8_192, 1),
    special("veo-3.1-generate-preview", "Veo 3.1", Kind::Film, 480, 8_192),
    special("veo-3.1-lite-generate-preview", "Veo 3.1 Lite", Kind::Film, 480, 8_192),
    special("imagen-4.0-generate-001", "Imagen 4", Kind::Painting, 480, 8_192),
    special("aqa", "Model that performs Attributed Question Answering.", Kind::Answering, 7_168, 1_024),
];

/// Those of the Live API. No list shows them.
const LIVE_MODELS: &[Model] = &[
    special(
        "gemini-2.5-flash-native-audio-preview-09-2025",
        "Gemini 2.5 Flash Live",
        Kind::Speech,
        131_072,
        8_192,
    ),
    special("gemini-3.1-flash-live-preview", "Gemini 3.1 Flash Live Preview", Kind::Speech, 131_072, 65_536),
    special("gemini-live-2.5-flash-preview", "Gemini 2.5 Flash Live Preview", Kind::Chat, 131_072, 8_192),
    special("lyria-realtime-exp", "Lyria RealTime", Kind::Speech, 8_192, 8_192),
];

const fn chat(id: &'static str, display: &'static str) -> Model {
    Model { thinking: true, ..special(id, display, Kind::Chat, 1_048_576, 65_536) }
}

const fn special(
    id: &'static str,
    display: &'static str,
    kind: Kind,
    input_limit: u64,
    output_limit: u64,
) -> Model {
    Model { id, serves: id, display, kind, thinking: false, input_limit, output_limit }
}

impl Model {
    /// Finds a model by its name without `models/`.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.id == name)
    }

    /// Finds a model of the Live API by its name without `models/`.
    pub(crate) fn live(name: &str) -> Option<&'static Self> {
        LIVE_MODELS.iter().find(|model| model.id == name)
    }

    /// Whether it signs its thoughts and wants the signatures back.
    pub(crate) fn signs_thoughts(&self) -> bool {
        self.serves.starts_with("gemini-3")
    }

    /// Whether vectors that are cut to fewer dimensions get length one again.
    pub(crate) fn scales_vectors(&self) -> bool {
        self.id != "gemini-embedding-001"
    }

    /// Whether it can be asked with this method.
    pub(crate) fn supports(&self, method: &str) -> bool {
        self.methods().contains(&method)
            || (method == "streamGenerateContent" && self.methods().contains(&"generateContent"))
    }

    fn methods(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Chat => &["generateContent", "countTokens", "createCachedContent", "batchGenerateContent"],
            Kind::Image | Kind::Speech => &["generateContent", "countTokens"],
            Kind::Embedding => {
                &["embedContent", "batchEmbedContents", "countTokens", "asyncBatchEmbedContent"]
            }
            Kind::Film => &["predictLongRunning"],
            Kind::Painting => &["predict"],
            Kind::Answering => &["generateAnswer"],
        }
    }

    /// As the list and `models/{name}` tell it.
    pub(crate) fn describe(&self) -> Value {
        let mut description = json!({
            "name": format!("models/{}", self.id),
            "version": "001",
            "displayName": self.display,
            "description": format!("A simulated {}", self.display),
            "inputTokenLimit": self.input_limit,
            "outputTokenLimit": self.output_limit,
            "supportedGenerationMethods": self.methods(),
        });
        if self.kind != Kind::Embedding {
            description["temperature"] = json!(1);
            description["topP"] = json!(0.95);
            description["topK"] = json!(64);
            description["maxTemperature"] = json!(2);
        }
        if self.thinking {
            description["thinking"] = json!(true);
        }
        description
    }
}

/// Whether there is a model of this name, without `models/`.
pub fn has_model(name: &str) -> bool {
    Model::named(name).is_some()
}

/// A page of the list. `None`: there is no such page.
pub(crate) fn page(size: Option<&str>, token: Option<&str>) -> Option<Value> {
    let size = match size {
        // Zero means the default, as absent does.
        None | Some("" | "0") => 50,
        Some(size) => size.parse::<usize>().ok()?.min(1000),
    };
    let start = match token {
        None | Some("") => 0,
        Some(token) => MODELS.iter().position(|model| Some(model.id) == token.strip_prefix("after-"))? + 1,
    };
    let end = MODELS.len().min(start + size);
    let mut page = json!({ "models": MODELS[start..end].iter().map(Model::describe).collect::<Vec<_>>() });
    if end < MODELS.len() {
        page["nextPageToken"] = json!(format!("after-{}", MODELS[end - 1].id));
    }
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lead_through_the_whole_list() {
        let mut names = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page = page(Some("5"), token.as_deref()).expect("the token is the list's own");
            let models = page["models"].as_array().expect("a page has models");
            assert!(models.len() <= 5);
            names.extend(models.iter().map(|model| model["name"].as_str().unwrap_or_default().to_owned()));
            token = page["nextPageToken"].as_str().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        let all: Vec<_> = MODELS.iter().map(|model| format!("models/{}", model.id)).collect();
        assert_eq!(names, all);
        assert!(page(None, Some("after-nothing")).is_none());
        assert!(page(Some("many"), None).is_none());
    }
}
