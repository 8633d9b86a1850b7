//! What one exchange is about: the request as it goes upstream, and its answer as the client wants it.
//!
//! Everything in which the operations differ is here, so that the exchange need not know them.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::anthropic;
use crate::clients::ModelPatterns;
use crate::config::Config;
use crate::error::{Dialect, Error};
use crate::event::Operation;
use crate::exchange::Phase;
use crate::gateway::Gateway;
use crate::gemini::catalogue::{trimmed, with_suffixes};
use crate::gemini::large::Large;
use crate::gemini::remote::{Media, Remote};
use crate::gemini::tuning::Tuning;
use crate::generation::{Encoder, Form, Generation};
use crate::judge::{self, Verdict};
use crate::openai::models;
use crate::openai::responses::store::Answer;
use crate::resource::{self, Kind, Resource};
use crate::route::{ModelCall, ModelMethod, Version, model_path};
use crate::signatures::Issued;
use crate::sse::Framing;
use crate::time::Timestamp;

/// The largest upload. Google takes files of 2 GB.
const UPLOAD_LIMIT: u64 = 3 << 30;

/// What is asked of the upstream, and how it is answered.
#[derive(Debug)]
pub(crate) enum Task {
    /// A method on a model, in Google's own terms: bytes up, bytes down.
    Native { call: ModelCall, model: String, tuned: Tuned },
    /// An answer of the model in the terms of another dialect.
    Generation(Box<Generation>),
    /// A call about an object: bytes up, bytes down, addresses turned.
    Resource(Box<Resource>),
    /// The list of models; `only` those where the client may not use all.
    ModelList { dialect: Dialect, version: Version, query: Option<String>, only: ModelPatterns },
    /// One model. `asked` is the name that the client used.
    ModelGet { dialect: Dialect, version: Version, model: String, asked: String },
}

/// What is changed in a native body on its way up, if anything is.
#[derive(Debug, Default)]
pub(crate) struct Tuned {
    tuning: Tuning,
    /// The client's body and what has become of it; none where it goes as it is.
    bodies: Option<[Bytes; 2]>,
}

impl Task {
    /// Changes a native body that is there whole, for every model that it may go to.
    pub(crate) fn tune(&mut self, body: &Bytes, with: Tuning) {
        if let Self::Native { model, tuned, .. } = self
            && !with.is_nothing()
        {
            *tuned = Tuned { tuning: with, bodies: Some([body.clone(), with.apply(body, model)]) };
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Native { .. } => Dialect::Gemini,
            Self::Resource(resource) => resource.dialect(),
            Self::Generation(generation) => generation.form().dialect(),
            Self::ModelList { dialect, .. } | Self::ModelGet { dialect, .. } => *dialect,
        }
    }

    /// The upstream's model, where quotas by model count.
    pub(crate) fn model(&self) -> Option<&str> {
        match self {
            Self::Native { model, .. } => Some(model),
            Self::Generation(generation) => Some(generation.model()),
            Self::Resource(resource) => resource.counted(),
            Self::ModelList { .. } | Self::ModelGet { .. } => None,
        }
    }

    /// What is asked for, where requests are counted.
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Native { call, .. } => match call.method {
                ModelMethod::GenerateContent | ModelMethod::StreamGenerateContent(_) => Operation::Generate,
                ModelMethod::CountTokens => Operation::CountTokens,
                ModelMethod::EmbedContent | ModelMethod::BatchEmbedContents => Operation::Embed,
            },
            Self::Generation(generation) => generation.form().operation(),
            Self::Resource(_) => Operation::Objects,
            Self::ModelList { .. } | Self::ModelGet { .. } => Operation::Models,
        }
    }

    /// How the upstream's answer is divided, if it is a stream.
    pub(crate) fn framing(&self) -> Option<Framing> {
        match self {
            Self::Native { call, .. } => call.method.framing(),
            Self::Generation(generation) if generation.streams() => Some(Framing::Sse),
            Self::Resource(resource) => resource.framing(),
            Self::Generation(_) | Self::ModelList { .. } | Self::ModelGet { .. } => None,
        }
    }

    /// Whether the upstream's answer has candidates.
    pub(crate) fn generates(&self) -> bool {
        match self {
            Self::Native { call, .. } => call.method.generates(),
            Self::Generation(generation) => generation.generates(),
            Self::Resource(_) | Self::ModelList { .. } | Self::ModelGet { .. } => false,
        }
    }

    /// Whether tokens are used for the answer: not to count them, nor to name a model.
    pub(crate) fn uses_tokens(&self) -> bool {
        match self {
            Self::Native { call, .. } => call.method != ModelMethod::CountTokens,
            Self::Generation(generation) => generation.method() != "countTokens",
            Self::Resource(resource) => resource.counted().is_some(),
            Self::ModelList { .. } | Self::ModelGet { .. } => false,
        }
    }

    /// Whether the client gets something else than the upstream's bytes.
    pub(crate) fn is_translated(&self) -> bool {
        match self {
            Self::Native { .. } => false,
            Self::Resource(resource) => resource.is_whole(),
            Self::Generation(_) | Self::ModelList { .. } | Self::ModelGet { .. } => true,
        }
    }

    /// Whether the whole of what came is an answer.
    pub(crate) fn judge(&self, body: &[u8]) -> Verdict {
        match self {
            // They may be empty, and of any kind. Bytes that were asked for may look like errors, as a batch's may.
            Self::Resource(resource) if resource.kind() != Kind::Media && resource::is_error(body) => {
                Verdict::Error
            }
            Self::Resource(_) => Verdict::Good,
            _ => judge::whole(body, self.generates()),
        }
    }

    /// What one event of a stream amounts to.
    pub(crate) fn judge_event(&self, data: &[u8]) -> Verdict {
        match self {
            Self::Resource(_) if resource::is_error(data) => Verdict::Error,
            Self::Resource(_) => Verdict::Good,
            _ => judge::content(data),
        }
    }

    /// The largest body that is taken at all, in bytes.
    pub(crate) fn body_limit(&self, config: &Config) -> u64 {
        match self {
            Self::Resource(resource) if resource.sends_bytes() => config.body_limit.max(UPLOAD_LIMIT),
            _ => config.body_limit,
        }
    }

    /// The call about an object, if it is one.
    pub(crate) fn resource(&self) -> Option<&Resource> {
        match self {
            Self::Resource(resource) => Some(resource),
            _ => None,
        }
    }

    /// Turns to another model, as the one so far cannot serve.
    ///
    /// # Errors
    /// The request cannot be put to that model.
    pub(crate) fn turn_to(&mut self, other: String) -> Result<(), Error> {
        match self {
            Self::Native { model, tuned, .. } => {
                if let Some([written, changed]) = &mut tuned.bodies {
                    *changed = tuned.tuning.apply(written, &other);
                }
                *model = other;
            }
            Self::Generation(generation) => generation.turn_to(other)?,
            Self::Resource(_) | Self::ModelList { .. } | Self::ModelGet { .. } => {}
        }
        Ok(())
    }

    /// The media that it names by address and that have not been fetched.
    pub(crate) fn remote(&self) -> &[Remote] {
        match self {
            Self::Generation(generation) => generation.remote(),
            Self::Native { .. } | Self::Resource(_) | Self::ModelList { .. } | Self::ModelGet { .. } => &[],
        }
    }

    /// Puts what was fetched in the place of its addresses.
    ///
    /// # Errors
    /// The request cannot be put to its model.
    pub(crate) fn place(&mut self, media: Media) -> Result<(), Error> {
        match self {
            Self::Generation(generation) => generation.place(media),
            Self::Native { .. } | Self::Resource(_) | Self::ModelList { .. } | Self::ModelGet { .. } => {
                Ok(())
            }
        }
    }

    /// The model of a chat, as the client names it, for the service that may take chats over.
    pub(crate) fn chat_model(&self) -> Option<&str> {
        match self {
            Self::Generation(generation) if generation.is_chat() => Some(generation.asked_model()),
            _ => None,
        }
    }

    /// Whether another model may answer in the place of the one that was asked for.
    pub(crate) fn takes_another_model(&self) -> bool {
        match self {
            Self::Generation(generation) => generation.takes_another_model(),
            Self::Native { .. } => true,
            Self::Resource(_) | Self::ModelList { .. } | Self::ModelGet { .. } => false,
        }
    }

    /// Whether the client's body is not needed any more: neither is it sent, nor does another service take it over.
    pub(crate) fn keeps_its_own(&self) -> bool {
        matches!(self, Self::Generation(generation) if matches!(generation.form(), Form::Endpoint(_)))
    }

    /// The model, as the client names it, where others may take its place.
    pub(crate) fn asked_model(&self) -> Option<&str> {
        match self {
            Self::Native { call, .. } => Some(&call.model),
            Self::Generation(generation) => Some(generation.asked_model()),
            Self::Resource(_) | Self::ModelList { .. } | Self::ModelGet { .. } => None,
        }
    }

    pub(crate) fn method_and_path(&self) -> (Method, Cow<'_, str>) {
        match self {
            Self::Native { call, model, .. } => (Method::POST, call.path_and_query(model).into()),
            Self::Generation(generation) => {
                let path = model_path(Version::V1Beta, generation.model());
                (Method::POST, format!("{path}:{}", generation.method()).into())
            }
            Self::Resource(resource) => {
                let (method, path) = resource.method_and_path();
                (method, path.into())
            }
            Self::ModelList { dialect: Dialect::Gemini, version, query, .. } => {
                let mark = if query.is_some() { "?" } else { "" };
                let query = query.as_deref().unwrap_or("");
                (Method::GET, format!("/{}/models{mark}{query}", version.as_str()).into())
            }
            // The other dialects know no pages of Google's making: all in one.
            Self::ModelList { .. } => (Method::GET, "/v1beta/models?pageSize=1000".into()),
            Self::ModelGet { dialect, version, model, .. } => {
                let version = if *dialect == Dialect::Gemini { *version } else { Version::V1Beta };
                (Method::GET, model_path(version, model).into())
            }
        }
    }

    /// So many calls of the conversation had lost their signatures.
    pub(crate) fn stand_ins(&self) -> u32 {
        match self {
            Self::Generation(generation) => generation.stand_ins(),
            Self::Native { .. } | Self::Resource(_) | Self::ModelList { .. } | Self::ModelGet { .. } => 0,
        }
    }

    /// The body that a translator has made; none of Gemini's own dialect, whose bodies are the client's.
    pub(crate) fn generated_body(&self) -> Option<Bytes> {
        match self {
            Self::Generation(generation) => Some(generation.body()),
            Self::Native { .. } | Self::Resource(_) | Self::ModelList { .. } | Self::ModelGet { .. } => None,
        }
    }

    /// What was too large to stand in the body, and has to be in a project before the request is.
    pub(crate) fn large(&self) -> &[Arc<Large>] {
        match self {
            Self::Generation(generation) => generation.large(),
            Self::Native { .. } | Self::Resource(_) | Self::ModelList { .. } | Self::ModelGet { .. } => &[],
        }
    }

    /// The body for Gemini, where it is not the client's.
    pub(crate) fn translated_body(&self) -> Option<Bytes> {
        match self {
            Self::Native { tuned, .. } => tuned.bodies.as_ref().map(|[_, changed]| changed.clone()),
            Self::Generation(generation) => Some(generation.body()),
            Self::Resource(_) => None,
            Self::ModelList { .. } | Self::ModelGet { .. } => Some(Bytes::new()),
        }
    }

    /// What translates a committed stream; none where its bytes pass as they are.
    pub(crate) fn stream_encoder(&self) -> Option<Encoder> {
        match self {
            Self::Generation(generation) => generation.encoder(),
            Self::Native { .. } | Self::Resource(_) | Self::ModelList { .. } | Self::ModelGet { .. } => None,
        }
    }

    /// What keeps a client patient that waits for a stream. None in Google's own protocol, which knows nothing of the
    /// kind.
    pub(crate) fn ping(&self) -> Option<&'static [u8]> {
        match self {
            Self::Generation(generation) => generation.ping(),
            Self::Native { .. } | Self::Resource(_) | Self::ModelList { .. } | Self::ModelGet { .. } => None,
        }
    }

    /// The media type of what [`stream_encoder`](Self::stream_encoder) makes.
    pub(crate) fn stream_content_type(&self) -> &'static str {
        match self {
            Self::Generation(generation) => generation.content_type(),
            Self::Native { .. } | Self::Resource(_) | Self::ModelList { .. } | Self::ModelGet { .. } => {
                "application/json"
            }
        }
    }

    /// What the client is told where an answer in events begins with a no.
    pub(crate) fn refusal(&self, event: &[u8]) -> Option<Error> {
        match self {
            Self::Generation(generation) => generation.refusal(event),
            Self::Native { .. } | Self::Resource(_) | Self::ModelList { .. } | Self::ModelGet { .. } => None,
        }
    }

    /// What the head of an answer leads to.
    pub(crate) fn phase_after_head(&self, status: StatusCode, headers: HeaderMap) -> Phase {
        let is_html = headers
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"text/html"));
        // Identity was asked for; what is encoded all the same cannot be judged.
        let is_encoded = headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
        // What was made by a model may be a page or packed, and is passed on as it is.
        let is_medium = self.resource().is_some_and(|resource| resource.kind() == Kind::Media);
        if !status.is_success() || (is_html || is_encoded) && !is_medium {
            return Phase::Refused { status, headers, body: BytesMut::new() };
        }
        if let Self::Resource(resource) = self {
            return resource.phase(status, headers);
        }
        match self.framing() {
            Some(framing) => Phase::judging(status, headers, framing),
            None => Phase::holding(status, headers),
        }
    }

    /// The client's answer from a whole one of the upstream, good as far as it goes, and what has to be
    /// remembered of the calls in it.
    ///
    /// # Errors
    /// The upstream's answer cannot be translated.
    pub(crate) fn answer(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: Bytes,
        gateway: &Gateway,
        now: Timestamp,
    ) -> Result<(Response<Bytes>, Vec<Issued>), Error> {
        let config = gateway.config();
        let only = match self {
            Self::ModelList { only, .. } => only.clone(),
            _ => ModelPatterns::default(),
        };
        let keep = |model: &str| {
            let plain = config.parted(model).0;
            config.model_allowed(plain) && (only.contains(model) || only.contains(plain))
        };
        let created = now.as_secs();
        let mut content_type = "application/json";
        let mut fragment = None;
        let mut issued = Vec::new();
        let body = match self {
            Self::ModelList { .. } => with_suffixes(body, config.suffixes.listed())?,
            _ => body,
        };
        let body = match self {
            Self::Native { .. } | Self::Resource(_) => body,
            Self::Generation(generation) => {
                content_type = generation.content_type();
                fragment = generation.fragment(&body)?;
                if fragment.is_some() {
                    Bytes::new()
                } else {
                    let (body, of_calls) = generation.answer(&body)?;
                    issued = of_calls;
                    body
                }
            }
            Self::ModelList { dialect: Dialect::Gemini, .. }
                if config.lists_all_models() && only.is_empty() =>
            {
                body
            }
            Self::ModelList { dialect: Dialect::Gemini, .. } => trimmed(&body, &keep)?,
            Self::ModelList { dialect: Dialect::OpenAi, .. } => models::list(&body, &keep, created)?,
            Self::ModelList { dialect: Dialect::Anthropic, .. } => anthropic::models::list(&body, &keep)?,
            Self::ModelGet { dialect: Dialect::Gemini, .. } => body,
            Self::ModelGet { dialect: Dialect::OpenAi, asked, .. } => models::get(&body, asked, created)?,
            Self::ModelGet { dialect: Dialect::Anthropic, asked, .. } => {
                anthropic::models::get(&body, asked)?
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = crate::upstream::returned(headers);
        if self.is_translated() && self.dialect() != Dialect::Gemini {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        // For whoever puts the parts of an answer together.
        if let Some(fragment) = fragment {
            response.extensions_mut().insert(fragment);
        }
        Ok((response, issued))
    }

    /// What is kept of an answer for clients that go on from it; none where nothing is.
    pub(crate) fn kept(&self, answer: &Bytes) -> Option<Answer> {
        match self {
            Self::Generation(generation) => generation.kept(answer),
            Self::Native { .. } | Self::Resource(_) | Self::ModelList { .. } | Self::ModelGet { .. } => None,
        }
    }

    /// Under which name a good answer may be kept for a while; none for what is asked anew each time.
    pub(crate) fn cached_as(&self) -> Option<String> {
        match self {
            Self::ModelList { only, .. } if !only.is_empty() => None,
            Self::ModelList { .. } => Some(format!("{:?} {}", self.dialect(), self.method_and_path().1)),
            Self::Native { .. } | Self::Generation(_) | Self::Resource(_) | Self::ModelGet { .. } => None,
        }
    }
}
