//! Images: a prompt, perhaps with images to change, to a model that draws.
//!
//! Gemini draws one image a request, so that `n` of them are as many requests. What Gemini cannot be told (`quality`,
//! `background`, `style`, `moderation` and so on) is accepted and ignored.

mod answer;
mod size;

use bytes::Bytes;
use serde::Deserialize;

use self::size::Size;
use super::form::{File, Form};
use crate::error::Error;
use crate::fields::{self, lenient_whole};
use crate::gemini::media;
use crate::gemini::model::Model;
use crate::gemini::remote::Accepts;
use crate::gemini::request::{Content, GenerateContentRequest, GenerationConfig, Part, Role};

/// OpenAI's bound on `n`.
const MOST_IMAGES: i64 = 10;

/// What OpenAI takes for a request without a model.
const DEFAULT_MODEL: &str = "gpt-image-1";

/// Gemini has no masks; this is how it is told of one.
const MASK: &str = "The last image is a mask for the first one: change the first image only where the mask is \
     transparent, and leave everything else as it is.";

/// A request to `/v1/images/generations` or `/v1/images/edits`, as far as it says anything to Gemini.
#[derive(Debug)]
pub struct Request {
    /// The model, as the client names it.
    pub model: String,
    /// Whether the answer is to come in events.
    pub stream: bool,
    prompt: String,
    count: usize,
    size: Option<Size>,
    /// In `url`, as a data URL, rather than in `b64_json`.
    as_url: bool,
    /// Images to be changed. None: a new one is drawn.
    sources: Option<Sources>,
    /// Seconds since 1970.
    created: u64,
}

#[derive(Debug)]
struct Sources {
    images: Vec<Source>,
    mask: Option<Source>,
}

/// An image to be changed.
#[derive(Debug)]
enum Source {
    /// A file of a form.
    File(File),
    /// A data URL or an address.
    Url(String),
}

/// The body, where it is JSON.
#[derive(Debug, Default, Deserialize)]
struct Fields {
    #[serde(default, deserialize_with = "fields::or_default")]
    model: String,
    prompt: Option<String>,
    #[serde(default, deserialize_with = "lenient_whole")]
    n: Option<i64>,
    size: Option<String>,
    response_format: Option<String>,
    #[serde(default, deserialize_with = "fields::or_default")]
    stream: bool,
    /// Of an edit.
    #[serde(default, deserialize_with = "fields::or_default")]
    images: Vec<Reference>,
    mask: Option<Reference>,
}

#[derive(Debug, Deserialize)]
struct Reference {
    image_url: Option<String>,
    file_id: Option<String>,
}

impl Request {
    /// Reads the body of `/v1/images/generations`.
    ///
    /// # Errors
    /// 400, with the field at fault as OpenAI names it.
    pub fn generation(body: &[u8], created: u64) -> Result<Self, Error> {
        let fields: Fields = fields::parse(body)?;
        Self::new(fields, None, created)
    }

    /// Reads the body of `/v1/images/edits`: a form, or JSON that names its images by address.
    ///
    /// # Errors
    /// 400, with the field at fault as OpenAI names it.
    pub fn edit(body: &Bytes, content_type: &str, created: u64) -> Result<Self, Error> {
        let Some(form) = Form::read(body, content_type)? else {
            let mut fields: Fields = fields::parse(body)?;
            let images =
                std::mem::take(&mut fields.images).into_iter().map(Source::of).collect::<Result<_, _>>()?;
            let mask = fields.mask.take().map(Source::of).transpose()?;
            return Self::new(fields, Some(Sources { images, mask }), created);
        };
        let owned = |name| Ok::<_, Error>(form.text(name)?.map(str::to_owned));
        let fields = Fields {
            model: owned("model")?.unwrap_or_default(),
            prompt: owned("prompt")?,
            n: form.number("n")?.map(|n| n as i64),
            size: owned("size")?,
            response_format: owned("response_format")?,
            stream: form.flag("stream")?,
            ..Fields::default()
        };
        let images = form.files("image")?.into_iter().map(Source::File).collect();
        let mask = form.files("mask")?.into_iter().next().map(Source::File);
        Self::new(fields, Some(Sources { images, mask }), created)
    }

    fn new(fields: Fields, sources: Option<Sources>, created: u64) -> Result<Self, Error> {
        let model = if fields.model.trim().is_empty() { DEFAULT_MODEL.to_owned() } else { fields.model };
        let prompt = fields.prompt.unwrap_or_default();
        if prompt.trim().is_empty() {
            return Err(Error::bad_request("Missing required parameter: 'prompt'.", "prompt"));
        }
        let count = fields.n.unwrap_or(1);
        if !(1..=MOST_IMAGES).contains(&count) {
            return Err(Error::bad_request(format!("'n' has to be 1 to {MOST_IMAGES}."), "n"));
        }
        let as_url = match fields.response_format.as_deref() {
            Some("url") => true,
            Some("b64_json") => false,
            // The older models answer with addresses unless told otherwise, and their clients read them.
            None => model.starts_with("dall-e"),
            Some(_) => {
                return Err(Error::bad_request(
                    "Invalid value for 'response_format'. Supported values are: 'url' and 'b64_json'.",
                    "response_format",
                ));
            }
        };
        if let Some(Sources { images, mask }) = &sources {
            if images.is_empty() {
                return Err(Error::bad_request("Missing required parameter: 'image'.", "image"));
            }
            let is_image = |source: &Source| match source {
                Source::File(file) => file.is("image"),
                Source::Url(_) => true,
            };
            if !images.iter().chain(mask).all(is_image) {
                return Err(Error::bad_request("Invalid file 'image': it is no image.", "image"));
            }
        }
        Ok(Self {
            size: fields.size.as_deref().map(Size::parse).transpose()?.flatten(),
            model,
            stream: fields.stream,
            prompt,
            count: usize::try_from(count).unwrap_or(1),
            as_url,
            sources,
            created,
        })
    }

    /// How many requests to Gemini it takes.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What goes to `models/{model}:generateContent`. Each image is asked for with the same words.
    ///
    /// # Errors
    /// 400 for an image that cannot be sent on.
    pub fn to_gemini(&self, model: &str) -> Result<GenerateContentRequest<'_>, Error> {
        let model = Model::parse(model);
        let mut parts = Vec::new();
        if let Some(Sources { images, mask }) = &self.sources {
            for (number, image) in images.iter().enumerate() {
                parts.push(image.part(|| format!("images[{number}].image_url"))?);
            }
            if let Some(mask) = mask {
                parts.push(mask.part(|| "mask.image_url".to_owned())?);
                parts.push(Part::text(MASK));
            }
        }
        parts.push(Part::text(&self.prompt));
        Ok(GenerateContentRequest {
            contents: vec![Content { role: Some(Role::User), parts }],
            generation_config: GenerationConfig {
                response_modalities: if model.draws_alone() { vec!["IMAGE"] } else { vec!["TEXT", "IMAGE"] },
                image_config: self.size.and_then(|size| size.config(model)),
                ..GenerationConfig::default()
            },
            ..GenerateContentRequest::default()
        })
    }
}

impl Source {
    fn of(reference: Reference) -> Result<Self, Error> {
        match reference {
            Reference { image_url: Some(url), .. } => Ok(Self::Url(url)),
            Reference { file_id: Some(file), .. } if media::file_name(&file).is_some() => Ok(Self::Url(file)),
            _ => Err(Error::bad_request(
                "Invalid value for 'images': each needs an 'image_url' with a data URL or an address.",
                "images",
            )),
        }
    }

    fn part(&self, param: impl Fn() -> String) -> Result<Part<'_>, Error> {
        match self {
            Self::File(file) => Ok(Part { inline_data: Some(file.blob()), ..Part::default() }),
            Self::Url(url) => media::from_url(url, Accepts::Media, param),
        }
    }
}
