//! Generation in another dialect than Gemini's: a request translated for a model, and its answer translated back.
//!
//! The dialects are a closed set, and everything in which they differ is one `match` here. Each has a pure
//! translator of its own: the request to Gemini's, a whole answer, and an answer in events.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::answers;
use crate::anthropic::messages::{self, MessagesRequest};
use crate::config::AliasFor;
use crate::error::{Dialect, Error};
use crate::event::Operation;
use crate::gateway::Gateway;
use crate::gemini::large::Large;
use crate::gemini::remote::{Media, Remote, Written};
use crate::gemini::request::Known;
use crate::gemini::tuning::Tuning;
use crate::mark::RequestId;
use crate::memory::Held;
use crate::openai::chat::{self, ChatRequest};
pub(crate) use crate::openai::endpoint::Fragment;
use crate::openai::endpoint::{self, Endpoint};
use crate::openai::responses::store::Answer;
use crate::openai::responses::{self, ResponsesRequest};
use crate::secret::KeyId;
use crate::signatures::{Issued, Recalled};
use crate::time::Timestamp;

/// In which form a client asks for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// OpenAI's `/v1/chat/completions`.
    Chat,
    /// OpenAI's `/v1/responses`.
    Responses,
    /// OpenAI's `/v1/responses/input_tokens`: no answer, but what asking would cost.
    ResponseTokens,
    /// OpenAI's other endpoints.
    Endpoint(Endpoint),
    /// Anthropic's `/v1/messages`.
    Messages,
    /// Anthropic's `/v1/messages/count_tokens`: no answer, but what asking would cost.
    MessageTokens,
}

/// A request that was read, and what the translation of its answer has to know of it.
#[derive(Debug)]
pub(crate) enum Asked {
    Chat {
        request: ChatRequest,
        context: chat::Context,
        /// It came in the items of [`Form::Responses`], and nobody but this gateway could read it as a chat.
        in_items: bool,
    },
    Responses(Box<AskedResponse>),
    ResponseTokens {
        conversation: responses::Conversation,
    },
    Messages {
        request: MessagesRequest,
        context: messages::Context,
    },
    MessageTokens {
        request: MessagesRequest,
    },
    Endpoint {
        endpoint: Endpoint,
        request: Arc<endpoint::Request>,
        part: Part,
    },
}

/// A request to `/v1/responses`, with all that it goes on from.
#[derive(Debug)]
pub(crate) struct AskedResponse {
    conversation: responses::Conversation,
    context: responses::Context,
    /// What the answer is kept with; none where it is not to be kept.
    kept: Option<Arc<Kept>>,
}

/// What an answer is kept with: its id, the items of the request, and what the request goes on from.
#[derive(Debug)]
pub(crate) struct Kept {
    id: String,
    items: Vec<responses::Item>,
    before: Option<Arc<responses::store::Turn>>,
}

/// What of a request one generation is about. Some take several of Gemini's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Numbered(usize),
}

/// A request, translated for one model.
#[derive(Debug)]
pub(crate) struct Generation {
    asked: Asked,
    model: String,
    /// What is changed in the body on its way up.
    tuning: Tuning,
    /// What the gateway knows beside it.
    known: Known,
    /// For Gemini.
    written: Written,
}

/// What translates the events of one answer.
#[derive(Debug)]
pub(crate) enum Encoder {
    Chat(chat::stream::Encoder),
    Responses { encoder: responses::stream::Encoder, kept: Option<Arc<Kept>> },
    Endpoint(endpoint::Encoder),
    Messages(messages::stream::Encoder),
}

impl Form {
    /// What it asks for, where requests are counted.
    pub(crate) const fn operation(self) -> Operation {
        match self {
            Self::Chat | Self::Responses | Self::Messages => Operation::Generate,
            Self::ResponseTokens | Self::MessageTokens => Operation::CountTokens,
            Self::Endpoint(endpoint) => match endpoint {
                Endpoint::Embeddings => Operation::Embed,
                Endpoint::ImageGeneration | Endpoint::ImageEdit => Operation::Image,
                Endpoint::Speech => Operation::Speech,
                Endpoint::Transcription | Endpoint::Translation => Operation::Transcribe,
                Endpoint::Completion => Operation::Generate,
            },
        }
    }

    /// The dialect of its errors.
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Chat | Self::Responses | Self::ResponseTokens | Self::Endpoint(_) => Dialect::OpenAi,
            Self::Messages | Self::MessageTokens => Dialect::Anthropic,
        }
    }

    /// What its clients pass over in a stream.
    fn ping(self) -> &'static [u8] {
        match self {
            Self::Chat | Self::Responses | Self::ResponseTokens | Self::Endpoint(_) => b": ping\n\n",
            Self::Messages | Self::MessageTokens => b"event: ping\ndata: {\"type\":\"ping\"}\n\n",
        }
    }

    /// What the ids of its answers begin with.
    fn id_prefix(self) -> &'static str {
        match self {
            Self::Chat => "chatcmpl-",
            Self::Responses | Self::ResponseTokens => responses::RESPONSE_ID,
            Self::Endpoint(endpoint) => endpoint.id_prefix(),
            Self::Messages | Self::MessageTokens => messages::ID_PREFIX,
        }
    }
}

impl Asked {
    /// Reads the body of a client's request, of this media type. What it goes on from is looked up among what the
    /// gateway has kept, and counts as `held` for it.
    ///
    /// # Errors
    /// A body that is no request of this form.
    pub(crate) fn read(
        form: Form,
        body: &Bytes,
        content_type: &str,
        (gateway, client): (&Gateway, KeyId),
        held: &mut Held,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let (id, created) = (format!("{}{}", form.id_prefix(), gateway.answer_id()), now.as_secs());
        let signatures_in_ids = gateway.config().signatures_in_ids;
        match form {
            Form::Chat => {
                let (request, in_items) = match ChatRequest::parse(body) {
                    // A well-known editor sends items here, and waits for the answer to a chat.
                    Err(_) if ResponsesRequest::is_in_items(body) => {
                        let request = ResponsesRequest::parse(body)?;
                        let (items, before) =
                            answers::gone_on_from(&request, &id, (gateway, client), held, now)?;
                        (request.conversation(before.as_ref(), &items)?.into_chat(), true)
                    }
                    request => (request?, false),
                };
                let mut context = request.context(id, created);
                context.signatures_in_ids = signatures_in_ids;
                Ok(Self::Chat { request, context, in_items })
            }
            Form::Responses => {
                let request = ResponsesRequest::parse(body)?;
                let (items, before) = answers::gone_on_from(&request, &id, (gateway, client), held, now)?;
                let conversation = request.conversation(before.as_ref(), &items)?;
                let mut context = request.context(&conversation, id.clone(), created);
                context.signatures_in_ids = signatures_in_ids;
                let kept = request.stores().then(|| Arc::new(Kept { id, items, before }));
                Ok(Self::Responses(Box::new(AskedResponse { conversation, context, kept })))
            }
            Form::ResponseTokens => {
                let request = ResponsesRequest::parse(body)?.whole();
                let (items, before) = answers::gone_on_from(&request, &id, (gateway, client), held, now)?;
                Ok(Self::ResponseTokens { conversation: request.conversation(before.as_ref(), &items)? })
            }
            Form::Endpoint(endpoint) => {
                let request = Arc::new(endpoint.read(body, content_type, id, created)?);
                Ok(Self::Endpoint { endpoint, request, part: Part::Whole })
            }
            Form::Messages => {
                let request = MessagesRequest::parse(body)?;
                let mut context = request.context(id);
                context.signatures_in_ids = signatures_in_ids;
                Ok(Self::Messages { request, context })
            }
            Form::MessageTokens => {
                let mut request = MessagesRequest::parse(body)?;
                // A count comes whole, whatever the request that it is for asks.
                request.stream = false;
                Ok(Self::MessageTokens { request })
            }
        }
    }

    /// Whether another service that speaks chat completions could serve the client's body as it came.
    pub(crate) fn is_chat(&self) -> bool {
        matches!(self, Self::Chat { in_items: false, .. })
    }

    /// The model, as the client names it.
    pub(crate) fn model(&self) -> &str {
        match self {
            Self::Chat { request, .. } => &request.model,
            Self::Responses(asked) => &asked.conversation.chat().model,
            Self::ResponseTokens { conversation } => &conversation.chat().model,
            Self::Messages { request, .. } | Self::MessageTokens { request } => &request.model,
            Self::Endpoint { request, .. } => request.model(),
        }
    }

    /// What the model is asked for.
    pub(crate) fn alias_for(&self) -> AliasFor {
        match self {
            Self::Chat { .. }
            | Self::Responses(_)
            | Self::ResponseTokens { .. }
            | Self::Messages { .. }
            | Self::MessageTokens { .. } => AliasFor::Chat,
            Self::Endpoint { request, .. } => request.alias_for(),
        }
    }

    /// The ids of the calls in the conversation, of which the gateway may know more.
    pub(crate) fn call_ids(&self) -> Vec<Cow<'_, str>> {
        match self {
            Self::Chat { request, .. } => request.call_ids().collect(),
            Self::Responses(asked) => asked.conversation.chat().call_ids().collect(),
            Self::ResponseTokens { conversation } => conversation.chat().call_ids().collect(),
            Self::Endpoint { .. } => Vec::new(),
            Self::Messages { request, .. } | Self::MessageTokens { request } => request.call_ids().collect(),
        }
    }

    /// Translates it for a model. `recalled` is what the gateway knows of its [calls](Self::call_ids), `tuning` what
    /// is changed in what comes out.
    ///
    /// # Errors
    /// What cannot be said to Gemini.
    pub(crate) fn translated_for(
        mut self,
        model: String,
        recalled: Recalled,
        tuning: Tuning,
    ) -> Result<Generation, Error> {
        if tuning.wishes.search {
            self.expect_citations();
        }
        let known = Known { recalled, ..Known::default() };
        let written = self.to_gemini(&model, &known, &tuning)?;
        Ok(Generation { asked: self, model, tuning, known, written })
    }

    /// The answer can have citations, though the request does not ask for search.
    fn expect_citations(&mut self) {
        match self {
            Self::Chat { context, .. } => context.expect_citations(),
            // They tell of a search whenever there was one.
            Self::Responses(_) | Self::Messages { .. } => {}
            Self::ResponseTokens { .. } | Self::MessageTokens { .. } | Self::Endpoint { .. } => {}
        }
    }

    fn to_gemini(&self, model: &str, known: &Known, tuning: &Tuning) -> Result<Written, Error> {
        let written = match self {
            Self::Chat { request, .. } => chat::to_gemini::request(request, model, known),
            Self::Responses(asked) => responses::to_gemini::request(&asked.conversation, model, known),
            Self::Messages { request, .. } => messages::to_gemini::request(request, model, known),
            // A count is of what the client wrote.
            Self::ResponseTokens { conversation } => {
                return responses::to_gemini::count(conversation, model, known);
            }
            Self::MessageTokens { request } => return messages::to_gemini::count(request, model, known),
            // The parts will be translated for themselves.
            Self::Endpoint { request, part: Part::Whole, .. } if request.parts() > 1 => {
                return Ok(Written::default());
            }
            Self::Endpoint { request, part, .. } if !request.generates() => {
                return request.to_gemini(model, part.number(), &known.media);
            }
            Self::Endpoint { request, part, .. } => request.to_gemini(model, part.number(), &known.media),
        }?;
        Ok(Written { body: tuning.apply(&written.body, model), ..written })
    }
}

impl Part {
    fn number(self) -> usize {
        match self {
            Self::Whole => 0,
            Self::Numbered(number) => number,
        }
    }
}

impl AskedResponse {
    /// What the answer's translation has to know.
    pub(crate) fn context(&self) -> &responses::Context {
        &self.context
    }
}

impl Kept {
    fn answer(&self, body: Bytes) -> Answer {
        Answer::new(self.id.clone(), body, self.items.clone(), self.before.clone())
    }
}

impl Generation {
    /// The request.
    pub(crate) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// The model, as the client named it.
    pub(crate) fn asked_model(&self) -> &str {
        self.asked.model()
    }

    /// The upstream's model.
    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    /// The body for Gemini.
    pub(crate) fn body(&self) -> Bytes {
        self.written.body.clone()
    }

    /// What was too large to stand in the body.
    pub(crate) fn large(&self) -> &[Arc<Large>] {
        &self.written.large
    }

    /// So many calls of the conversation had lost their signatures.
    pub(crate) fn stand_ins(&self) -> u32 {
        self.written.stand_ins
    }

    /// In which form the client asked.
    pub(crate) fn form(&self) -> Form {
        match &self.asked {
            Asked::Chat { .. } => Form::Chat,
            Asked::Responses(_) => Form::Responses,
            Asked::ResponseTokens { .. } => Form::ResponseTokens,
            Asked::Endpoint { endpoint, .. } => Form::Endpoint(*endpoint),
            Asked::Messages { .. } => Form::Messages,
            Asked::MessageTokens { .. } => Form::MessageTokens,
        }
    }

    /// What keeps a client patient that waits for events; none where it waits for one document.
    pub(crate) fn ping(&self) -> Option<&'static [u8]> {
        let in_events = self.streams() && self.content_type().starts_with("text/event-stream");
        in_events.then(|| self.form().ping())
    }

    /// Whether another service that speaks chat completions could serve the client's body as it came.
    pub(crate) fn is_chat(&self) -> bool {
        self.asked.is_chat()
    }

    /// Gemini's method, as it stands in a path.
    pub(crate) fn method(&self) -> &'static str {
        match &self.asked {
            Asked::MessageTokens { .. } | Asked::ResponseTokens { .. } => "countTokens",
            Asked::Endpoint { request, .. } => request.method(),
            _ if self.streams() => "streamGenerateContent?alt=sse",
            _ => "generateContent",
        }
    }

    /// Whether the answer is to come in events.
    pub(crate) fn streams(&self) -> bool {
        match &self.asked {
            Asked::Chat { request, .. } => request.stream,
            Asked::Responses(asked) => asked.conversation.chat().stream,
            Asked::Messages { request, .. } => request.stream,
            Asked::MessageTokens { .. } | Asked::ResponseTokens { .. } => false,
            Asked::Endpoint { request, .. } => request.streams(),
        }
    }

    /// Whether Gemini's answer has candidates.
    pub(crate) fn generates(&self) -> bool {
        match &self.asked {
            Asked::Chat { .. } | Asked::Responses(_) | Asked::Messages { .. } => true,
            Asked::MessageTokens { .. } | Asked::ResponseTokens { .. } => false,
            Asked::Endpoint { request, .. } => request.generates(),
        }
    }

    /// The media type of the client's answer.
    pub(crate) fn content_type(&self) -> &'static str {
        match &self.asked {
            Asked::Endpoint { request, .. } => request.content_type(),
            _ if self.streams() => "text/event-stream; charset=utf-8",
            _ => "application/json",
        }
    }

    /// Whether another model may answer in the place of the one that was asked for.
    pub(crate) fn takes_another_model(&self) -> bool {
        match &self.asked {
            Asked::Endpoint { request, .. } => request.takes_another_model(),
            _ => true,
        }
    }

    /// How many requests to Gemini it takes; one for a part.
    pub(crate) fn parts(&self) -> usize {
        match &self.asked {
            Asked::Endpoint { request, part: Part::Whole, .. } => request.parts(),
            _ => 1,
        }
    }

    /// One of its parts.
    ///
    /// # Errors
    /// What cannot be said to Gemini.
    pub(crate) fn part(&self, number: usize) -> Result<Self, Error> {
        let asked = match &self.asked {
            Asked::Endpoint { endpoint, request, .. } => {
                let (endpoint, request) = (*endpoint, Arc::clone(request));
                Asked::Endpoint { endpoint, request, part: Part::Numbered(number) }
            }
            _ => unreachable!("nothing else has parts"),
        };
        asked.translated_for(self.model.clone(), Recalled::default(), self.tuning)
    }

    /// What a part's answer adds to the whole; none where it is the whole.
    ///
    /// # Errors
    /// Gemini's answer cannot be translated.
    pub(crate) fn fragment(&self, body: &[u8]) -> Result<Option<Fragment>, Error> {
        match &self.asked {
            Asked::Endpoint { request, part: Part::Numbered(number), .. } => {
                request.fragment(body, *number).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The client's answer, from those to all parts in order.
    pub(crate) fn join(&self, fragments: &[Fragment]) -> Bytes {
        match &self.asked {
            Asked::Endpoint { request, .. } => request.answer(fragments),
            _ => Bytes::new(),
        }
    }

    /// What the client is told where an answer in events begins with a no.
    pub(crate) fn refusal(&self, event: &[u8]) -> Option<Error> {
        match &self.asked {
            Asked::Endpoint { request, .. } => request.refusal(event),
            _ => None,
        }
    }

    /// Translates the request anew, for another model.
    ///
    /// # Errors
    /// The request cannot be put to that model.
    pub(crate) fn turn_to(&mut self, model: String) -> Result<(), Error> {
        self.written = self.asked.to_gemini(&model, &self.known, &self.tuning)?;
        self.model = model;
        Ok(())
    }

    /// The media that it names by address and that have not been fetched.
    pub(crate) fn remote(&self) -> &[Remote] {
        &self.written.remote
    }

    /// Puts what was fetched in the place of its addresses.
    ///
    /// # Errors
    /// The request cannot be put to its model.
    pub(crate) fn place(&mut self, media: Media) -> Result<(), Error> {
        self.known.media = media;
        self.written = self.asked.to_gemini(&self.model, &self.known, &self.tuning)?;
        Ok(())
    }

    /// The client's answer from a whole one of Gemini, and what has to be remembered of its calls.
    ///
    /// # Errors
    /// Gemini's answer cannot be translated.
    pub(crate) fn answer(&self, body: &[u8]) -> Result<(Bytes, Vec<Issued>), Error> {
        match &self.asked {
            Asked::Chat { context, .. } => chat::from_gemini::answer(body, context),
            Asked::Responses(asked) => responses::from_gemini::answer(body, &asked.context),
            Asked::ResponseTokens { .. } => Ok((responses::from_gemini::count(body)?, Vec::new())),
            Asked::Messages { context, .. } => messages::from_gemini::answer(body, context),
            Asked::MessageTokens { .. } => Ok((messages::from_gemini::count(body)?, Vec::new())),
            Asked::Endpoint { request, part, .. } => {
                Ok((request.answer(&[request.fragment(body, part.number())?]), Vec::new()))
            }
        }
    }

    /// What is kept of the client's answer; none where nothing is.
    pub(crate) fn kept(&self, answer: &Bytes) -> Option<Answer> {
        match &self.asked {
            Asked::Responses(asked) => Some(asked.kept.as_ref()?.answer(answer.clone())),
            Asked::Chat { .. }
            | Asked::ResponseTokens { .. }
            | Asked::Messages { .. }
            | Asked::MessageTokens { .. }
            | Asked::Endpoint { .. } => None,
        }
    }

    /// What translates the answer's events; none where there are no events.
    pub(crate) fn encoder(&self) -> Option<Encoder> {
        match &self.asked {
            Asked::Chat { context, .. } => Some(Encoder::Chat(chat::stream::Encoder::new(context.clone()))),
            Asked::Messages { context, .. } => {
                let encoder = messages::stream::Encoder::new(context.clone(), &self.model);
                Some(Encoder::Messages(encoder))
            }
            Asked::Responses(asked) => Some(Encoder::Responses {
                encoder: responses::stream::Encoder::new(asked.context.clone()),
                kept: asked.kept.clone(),
            }),
            Asked::MessageTokens { .. } | Asked::ResponseTokens { .. } => None,
            Asked::Endpoint { request, .. } => request.encoder().map(Encoder::Endpoint),
        }
    }
}

impl Encoder {
    /// Translates the JSON of one event, and appends the frames that it makes, often none or one.
    ///
    /// # Errors
    /// The event cannot be understood, or is an error. Nothing is appended then, and the stream is over.
    pub(crate) fn push(&mut self, event: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Chat(encoder) => encoder.push(event, out),
            Self::Responses { encoder, .. } => encoder.push(event, out),
            Self::Endpoint(encoder) => encoder.push(event, out),
            Self::Messages(encoder) => encoder.push(event, out),
        }
    }

    /// What has to be remembered of the calls since this was last asked.
    pub(crate) fn take_issued(&mut self) -> Vec<Issued> {
        match self {
            Self::Chat(encoder) => encoder.take_issued(),
            Self::Responses { encoder, .. } => encoder.take_issued(),
            Self::Endpoint(_) => Vec::new(),
            Self::Messages(encoder) => encoder.take_issued(),
        }
    }

    /// What is kept of an answer that was finished; none where nothing is.
    pub(crate) fn take_kept(&mut self) -> Option<Answer> {
        match self {
            Self::Responses { encoder, kept } => Some(kept.take()?.answer(encoder.take_answer()?)),
            Self::Chat(_) | Self::Messages(_) | Self::Endpoint(_) => None,
        }
    }

    /// Whether Gemini has said why it ended. If a stream ends before, it was cut.
    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Self::Chat(encoder) => encoder.is_finished(),
            Self::Responses { encoder, .. } => encoder.is_finished(),
            Self::Endpoint(encoder) => encoder.is_finished(),
            Self::Messages(encoder) => encoder.is_finished(),
        }
    }

    /// Ends an answer that is complete.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Chat(encoder) => encoder.finish(out),
            Self::Responses { encoder, .. } => encoder.finish(out),
            Self::Messages(encoder) => encoder.finish(out),
            Self::Endpoint(encoder) => encoder.finish(out),
        }
    }

    /// Ends an answer that broke off. Where this cannot be said in it, nothing is appended, and the connection has to
    /// be broken.
    pub(crate) fn fail(&mut self, error: &Error, request: RequestId, out: &mut Vec<u8>) {
        match self {
            Self::Endpoint(encoder) if !encoder.can_say_errors() => {}
            Self::Chat(_) | Self::Endpoint(_) => out.extend_from_slice(&error.event(Dialect::OpenAi, None)),
            Self::Responses { encoder, .. } => encoder.fail(error, out),
            Self::Messages(_) => out.extend_from_slice(&error.event(Dialect::Anthropic, Some(request))),
        }
    }
}
