//! The bodies of requests: which are read, how much of each is kept, and what they become.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, TRANSFER_ENCODING};

use super::admit::{Accepted, MODEL_NAME};
use super::clients::{permits_batches, permits_model};
use super::{Gateway, Head};
use crate::admin;
use crate::affinity::address::Called;
use crate::auth::Access;
use crate::clients::Charge;
use crate::config::{AliasFor, Config, DEFAULT_MEMORY};
use crate::contents::{ContentName, kept};
use crate::error::{Dialect, Error, Kind};
use crate::exchange::{Admitted, Client, Exchange};
use crate::fields;
use crate::gemini::tuning::Tuning;
use crate::generation::{Asked, Form, Generation};
use crate::mark::Mark;
use crate::memory::Held;
use crate::openai::objects::{Call, Of, Work};
use crate::resource;
use crate::secret::KeyId;
use crate::suffix::Wishes;
use crate::task::Task;
use crate::time::Timestamp;
use crate::upstream;

/// An upload's body is kept for another try up to here: SDKs send pieces of 8 MiB. Larger ones stream.
const UPLOAD_KEPT: u64 = 8 << 20;

/// What a value of a body takes in memory once it is read and translated, about, and how many are not counted: a
/// long conversation with many tools has some thousands.
const VALUE: usize = 512;
const FEW_VALUES: usize = 16_384;

/// A request whose head was accepted and whose body is to come.
#[derive(Debug)]
pub struct Intake {
    gateway: Arc<Gateway>,
    wanted: Wanted,
    /// What is changed in a native body; of others it is known once they are read.
    tuning: Tuning,
    access: Access,
    headers: HeaderMap,
    called: Called,
    arrived: Timestamp,
    held: Held,
    mark: Mark,
    /// What it takes of what its client may use.
    charge: Option<Charge>,
}

#[derive(Debug)]
pub(super) enum Wanted {
    /// To be read and translated once the body is there.
    Generation(Form),
    /// OpenAI's files and batches: read whole, and done in steps.
    Objects(Call),
    Admin(admin::Change),
    Task(Task),
}

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// There is no room for it now.
    NoRoom,
    /// It did not arrive in time.
    TooSlow,
    /// The client broke off.
    Broken,
}

impl Gateway {
    pub(super) fn intake(
        self: &Arc<Self>,
        head: &Head<'_>,
        wanted: Wanted,
        dialect: Dialect,
        mark: Mark,
        now: Timestamp,
    ) -> Result<Accepted, Error> {
        let access = self.access(head, dialect, now)?;
        self.intake_for(head, wanted, access, mark, now)
    }

    pub(super) fn intake_for(
        self: &Arc<Self>,
        head: &Head<'_>,
        wanted: Wanted,
        access: Access,
        mark: Mark,
        now: Timestamp,
    ) -> Result<Accepted, Error> {
        let length =
            head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let limit = wanted.body_limit(&self.config());
        if length.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let encoded = head.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
        let mut tuning = self.tuning_of(&wanted, &access);
        if encoded && tuning.wishes == Wishes::default() {
            // What cannot be read stays as it is.
            tuning = Tuning::default();
        }
        let headers = match &wanted {
            Wanted::Task(Task::Resource(resource)) => resource::forwarded(resource.call(), head.headers),
            _ => upstream::forwarded(head.headers),
        };
        let called = Called::of(head.headers);
        let held = self.memory.share();
        let gateway = Arc::clone(self);
        wanted.is_permitted(&access)?;
        let charge = match &access {
            Access::Pool { client } => Some(self.charge(client, u64::from(wanted.asks_a_model()), now)?),
            Access::Own(_) => None,
        };
        let intake =
            Intake { gateway, wanted, tuning, access, headers, called, arrived: now, held, mark, charge };
        if encoded && !intake.can_stream() {
            let message = "A compressed body cannot be translated; send it without Content-Encoding.";
            return Err(Error::new(Kind::UnsupportedEncoding, message));
        }
        if length.is_none() && !head.headers.contains_key(TRANSFER_ENCODING) {
            return Ok(intake.whole(Bytes::new(), now).map_or_else(Accepted::Reply, Accepted::Stream));
        }
        if intake.can_stream() && length.is_some_and(|length| length > intake.whole_limit()) {
            return Ok(intake.streamed().map_or_else(Accepted::Reply, Accepted::Stream));
        }
        Ok(Accepted::NeedBody(intake))
    }

    /// What is changed in a native body before it goes up.
    fn tuning_of(&self, wanted: &Wanted, access: &Access) -> Tuning {
        match wanted {
            Wanted::Task(Task::Native { call, .. }) if call.method.generates() => Tuning {
                wishes: self.config().wishes(&call.model, AliasFor::Chat),
                safety: self.config().safety_for(access.client()),
                // A client of Gemini's own dialect says itself whether it wants to see thoughts.
                shows_thoughts: None,
            },
            Wanted::Task(_) | Wanted::Generation(_) | Wanted::Objects(_) | Wanted::Admin(_) => {
                Tuning::default()
            }
        }
    }

    /// What a client asks for in another dialect than Gemini's own.
    fn generation(
        &self,
        form: Form,
        body: &Bytes,
        content_type: &str,
        access: &Access,
        held: &mut Held,
        now: Timestamp,
    ) -> Result<Generation, Error> {
        // Apart from the body's own share, whose size says how much the client has sent.
        let mut read = held_values(self, body)?;
        let asked = Asked::read(form, body, content_type, (self, access.client()), held, now)?;
        let custom = asked.is_chat()
            && asked.model().len() <= MODEL_NAME
            && matches!(access, Access::Pool { .. })
            && self.config().custom_llm.as_ref().is_some_and(|custom| custom.serves(asked.model()));
        let model = match self.served_model(asked.model(), asked.alias_for()) {
            Ok(model) => model,
            Err(_) if custom => asked.model().to_owned(),
            Err(error) => return Err(error),
        };
        permits_model(access, asked.model(), &model)?;
        let generation = self.translated(asked, model, access.client())?;
        let large: usize = generation.large().iter().map(|large| large.size()).sum();
        if !read.grow(generation.body().len() + large) {
            return Err(no_room());
        }
        held.absorb(read);
        Ok(generation)
    }

    /// A client's request for this model of the upstream's.
    pub(crate) fn translated(&self, asked: Asked, model: String, client: KeyId) -> Result<Generation, Error> {
        let ids = asked.call_ids().into_iter();
        let recalled = self.signatures().recall(client, ids);
        let tuning = Tuning {
            wishes: self.config().wishes(asked.model(), AliasFor::Chat),
            safety: self.config().safety_for(client),
            shows_thoughts: Some(true),
        };
        asked.translated_for(model, recalled, tuning)
    }
}

impl Intake {
    /// The dialect in which the client is answered.
    fn dialect(&self) -> Dialect {
        match &self.wanted {
            Wanted::Generation(form) => form.dialect(),
            Wanted::Task(task) => task.dialect(),
            Wanted::Objects(_) | Wanted::Admin(_) => Dialect::OpenAi,
        }
    }

    /// What a body seems to go on from and is not known here: a shell with a store looks for it there, and
    /// [restores](Gateway::restore) it first.
    pub fn sought(&self, body: &[u8]) -> Vec<ContentName> {
        if !matches!(self.wanted, Wanted::Generation(_)) {
            return Vec::new();
        }
        let calls = self.gateway.signatures().unknown(self.access.client(), &kept::call_ids(body));
        let answers = kept::answer_ids(body).into_iter().filter(|id| self.gateway.lacks_answer(id));
        let answers = answers.map(|id| ContentName::Answer(id.into()));
        calls.into_iter().map(ContentName::Call).chain(answers).collect()
    }

    /// The largest body that is kept whole, in bytes. What is read has to be whole; any other body that is larger is
    /// [streamed](Self::streamed).
    pub fn whole_limit(&self) -> u64 {
        let (most, kept) = (self.body_limit(), self.gateway.config().replay_limit);
        match &self.wanted {
            _ if !self.can_stream() => most,
            Wanted::Task(Task::Resource(resource)) if resource.sends_bytes() => UPLOAD_KEPT.min(kept),
            _ => kept.min(most),
        }
    }

    /// The largest body that is taken at all, in bytes.
    pub fn body_limit(&self) -> u64 {
        self.wanted.body_limit(&self.gateway.config())
    }

    /// Takes the room for `more` bytes of the body from the common budget. False: there is not so much left; a
    /// native body is then [streamed](Self::streamed), any other [refused](Self::refuse).
    #[must_use]
    pub fn hold(&mut self, more: usize) -> bool {
        self.held.grow(more)
    }

    /// Whether a body can be passed on without being read whole.
    pub fn can_stream(&self) -> bool {
        matches!(self.wanted, Wanted::Task(_)) && self.tuning.is_nothing()
    }

    /// Whether it is a change that the administration asks for: it should be [stored](Gateway::take_changes) before the
    /// answer says that it is made.
    pub fn administers(&self) -> bool {
        matches!(self.wanted, Wanted::Admin(_))
    }

    /// The exchange, with the whole body.
    ///
    /// # Errors
    /// The answer, where there is nothing to exchange: to a body that cannot be understood, or to a change that the
    /// administration has asked for.
    pub fn whole(self, body: Bytes, now: Timestamp) -> Result<Exchange, Response<Bytes>> {
        let (dialect, mark) = (self.dialect(), self.mark);
        if let Wanted::Admin(change) = self.wanted {
            let answer = change.answer(&self.gateway, &body, now).map(|mut answer| {
                mark.put_served(answer.headers_mut(), 0, None);
                answer
            });
            return Err(answer.unwrap_or_else(|error| refusal(&error, dialect, mark)));
        }
        self.exchange(Some(body), now).map_err(|error| refusal(&error, dialect, mark))
    }

    /// The exchange, with a body that is larger than what is kept: one attempt, streamed.
    ///
    /// # Errors
    /// The answer to a body that has to be read whole and is too large for that.
    pub fn streamed(self) -> Result<Exchange, Response<Bytes>> {
        let (dialect, arrived, mark) = (self.dialect(), self.arrived, self.mark);
        self.exchange(None, arrived).map_err(|error| refusal(&error, dialect, mark))
    }

    fn exchange(self, body: Option<Bytes>, now: Timestamp) -> Result<Exchange, Error> {
        let limit = self.body_limit();
        let Self { gateway, wanted, tuning, access, headers, called, arrived, mut held, mark, mut charge } =
            self;
        if body.is_none() {
            held.release();
        }
        let task = match (wanted, &body) {
            (Wanted::Task(task), None) if tuning.is_nothing() => task,
            (Wanted::Task(mut task), Some(body)) => {
                task.tune(body, tuning);
                if let Task::Resource(resource) = &mut task {
                    resource.read(body);
                }
                task
            }
            (Wanted::Objects(call), Some(body)) => {
                let content_type = content_type(&headers).to_owned();
                let public = called.public(&gateway.config());
                let of = Of { gateway: &gateway, client: access.client(), public: &public, now };
                let begun = Work::begin(call, body, &content_type, of, &mut held)?;
                let client = Client { gateway, access, headers, called, held, arrived, mark, charge };
                return Ok(Exchange::steps(client, begun));
            }
            (Wanted::Generation(form), Some(body)) => {
                let content_type = content_type(&headers);
                let generation = gateway.generation(form, body, content_type, &access, &mut held, now)?;
                Task::Generation(Box::new(generation))
            }
            // It has to be read whole and was not. What the administration asks for has been answered by now.
            (_, None) | (Wanted::Admin(_), _) => return Err(too_large(limit)),
        };
        if let Some(charge) = &mut charge {
            gateway.charge_task(charge, &task, body.as_deref(), now)?;
        }
        let mut body = body;
        if task.keeps_its_own() {
            // What is needed of the body is in the task.
            body = Some(Bytes::new());
        }
        let asked = task.asked_model().unwrap_or_default();
        let mut further_models: Vec<String> = Vec::new();
        if task.takes_another_model() {
            let config = gateway.config();
            let (asked, _) = config.parted(asked);
            let further = config.further_models(asked, task.model().unwrap_or_default());
            further_models.extend(
                further.filter(|model| permits_model(&access, asked, model).is_ok()).map(str::to_owned),
            );
            further_models.reverse();
        }
        let admitted =
            Admitted { task, access, headers, called, body, further_models, held, arrived, mark, charge };
        Ok(Exchange::new(gateway, admitted))
    }

    /// The answer to a body that did not come whole.
    pub fn refuse(&self, fault: BodyFault) -> Response<Bytes> {
        let error = match fault {
            BodyFault::NoRoom => no_room(),
            BodyFault::TooSlow => Error::new(Kind::RequestTimeout, "The body did not arrive in time."),
            BodyFault::Broken => Error::new(Kind::BadRequest, "The body broke off."),
        };
        refusal(&error, self.dialect(), self.mark)
    }
}

impl Wanted {
    /// Whether a client may ask for it, as far as the head says what it is.
    fn is_permitted(&self, access: &Access) -> Result<(), Error> {
        match self {
            Self::Task(Task::Native { call, model, .. }) => permits_model(access, &call.model, model),
            Self::Task(Task::ModelGet { model, asked, .. }) => permits_model(access, asked, model),
            Self::Task(Task::Resource(resource)) => match resource.call().model_method() {
                Some((model, method)) => {
                    permits_model(access, model, model)?;
                    if method.to_ascii_lowercase().contains("batch") {
                        permits_batches(access)
                    } else {
                        Ok(())
                    }
                }
                None => Ok(()),
            },
            Self::Objects(Call::CreateBatch) => permits_batches(access),
            Self::Task(Task::Generation(_) | Task::ModelList { .. })
            | Self::Generation(_)
            | Self::Objects(_)
            | Self::Admin(_) => Ok(()),
        }
    }

    /// Whether a model is asked, as far as the head says: what counts as a request of the client's.
    fn asks_a_model(&self) -> bool {
        match self {
            Self::Generation(_) => true,
            Self::Task(task) => task.model().is_some(),
            Self::Objects(_) | Self::Admin(_) => false,
        }
    }

    /// The largest body that is taken at all, in bytes.
    fn body_limit(&self, config: &Config) -> u64 {
        match self {
            Self::Admin(_) => admin::MOST_BYTES,
            Self::Task(task) => task.body_limit(config),
            Self::Generation(_) => config.body_limit,
            // What never fits into memory is told to be too large before it comes.
            Self::Objects(_) => config.body_limit.min(config.memory.unwrap_or(DEFAULT_MEMORY)),
        }
    }
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The room for what a body becomes once it is read, besides its bytes.
pub(crate) fn held_values(gateway: &Gateway, body: &[u8]) -> Result<Held, Error> {
    let mut read = gateway.memory.share();
    let size = read_size(body);
    if !read.grow(size) {
        let never_fits = size as u64 > gateway.memory.limit();
        return Err(if never_fits { too_many_values() } else { no_room() });
    }
    Ok(read)
}

/// What a body takes once it is read, besides its bytes, where that is much. Of a form it is not.
fn read_size(body: &[u8]) -> usize {
    if !body.trim_ascii_start().starts_with(b"{") {
        return 0;
    }
    fields::values(body).saturating_sub(FEW_VALUES).saturating_mul(VALUE)
}

/// The common memory is used up.
pub(crate) fn no_room() -> Error {
    Error {
        retry_after: Some(Duration::from_secs(1)),
        ..Error::new(Kind::Unavailable, "The gateway holds too much at the moment. 网关当前负载过高。")
    }
}

fn too_many_values() -> Error {
    let message =
        "The body has more values than fit into memory (LIBRA_MEMORY). 请求体中的值过多，内存无法容纳。";
    Error::new(Kind::TooLarge, message)
}

pub(crate) fn too_large(limit: u64) -> Error {
    let message =
        format!("The body is larger than {limit} bytes (LIBRA_BODY_LIMIT). 请求体超过上限 {limit} 字节。");
    Error::new(Kind::TooLarge, message)
}

/// The answer to a request that got no further than its body.
fn refusal(error: &Error, dialect: Dialect, mark: Mark) -> Response<Bytes> {
    let mut response = error.response(dialect, Some(mark.id()));
    mark.put_served(response.headers_mut(), 0, None);
    response
}
