//! The gateway: from the head of a request to an exchange.
//!
//! Everything that can be refused is refused from the head alone, in the client's own dialect: a stranger makes
//! nobody buffer a body.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    self, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING,
};
use http::{Method, Response, StatusCode, Uri};

use crate::admin;
use crate::affinity::address::{Called, OWNER, UploadOwner};
use crate::affinity::conversations::Conversations;
use crate::affinity::name::ObjectName;
use crate::affinity::objects::{self, Objects, Owner};
use crate::affinity::placed::Placed;
use crate::affinity::spool::{self, Spool};
use crate::answers;
use crate::auth::{Access, Presented};
use crate::check::{Check, Verification};
use crate::config::{AliasFor, Config, DEFAULT_MEMORY, Verify};
use crate::contents::Content;
use crate::error::{Dialect, Error, Kind};
use crate::event::Event;
use crate::exchange::{Admitted, Client, Exchange};
use crate::fetch::{self, Kept};
use crate::fields;
use crate::gemini::tuning::Tuning;
use crate::generation::{Asked, Form, Generation};
use crate::google_clock::{GoogleClock, Skew};
use crate::home;
use crate::live;
use crate::mark::{Mark, RequestId};
use crate::memory::{Held, Memory};
use crate::openai::objects::{Call, Of, Work};
use crate::openai::responses::store::Answers;
use crate::pool::{
    Due, Explanation, Pool, PoolSettings, PoolView, ProjectCounts, ProjectId, StateChange, Ticket,
};
use crate::project_probe::Relations;
use crate::repair::Repairs;
use crate::resource::{self, Resource, ResourceCall};
use crate::retry::CommonBudget;
use crate::route::{ModelCall, NoRoute, Operation, Route, VerifyFormat};
use crate::secret::{ApiKey, KeyId};
use crate::signatures::Signatures;
use crate::suffix::Wishes;
use crate::task::{Task, Tuned};
use crate::time::Timestamp;
use crate::upstream;

/// So many keys of clients are remembered.
const GUEST_KEYS: usize = 4096;

/// How long a list of models is kept.
const LIST_KEPT: Duration = Duration::from_secs(300);

/// So many lists are kept: dialects, versions and pages.
const LISTS_KEPT: usize = 32;

/// What one address may have checked without being a trusted client: keys a request, and keys a minute.
const STRANGER_KEYS: usize = 5;
const STRANGER_KEYS_A_MINUTE: u32 = 10;

/// What a trusted client may have checked in one request.
const TRUSTED_KEYS: usize = 100;

/// So many addresses are counted; when there are more, the count begins anew.
const COUNTED_ADDRESSES: usize = 10_000;

/// An upload's body is kept for another try up to here: SDKs send pieces of 8 MiB. Larger ones stream.
const UPLOAD_KEPT: u64 = 8 << 20;

/// What a value of a body takes in memory once it is read and translated, about, and how many are not counted: a
/// long conversation with many tools has some thousands.
const VALUE: usize = 512;
const FEW_VALUES: usize = 16_384;

/// The longest name of a model. Google's are below 100 bytes.
const MODEL_NAME: usize = 256;

/// The gateway. One for the whole process, shared.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    pool: Mutex<Pool>,
    guests: Mutex<Pool>,
    lists: Mutex<HashMap<String, (Timestamp, Response<Bytes>)>>,
    strangers: Mutex<Strangers>,
    conversations: Mutex<Conversations>,
    /// Of the pool, and of clients' own keys.
    objects: [Mutex<Objects>; 2],
    signatures: Mutex<Signatures>,
    repairs: Mutex<Repairs>,
    answers: Mutex<Answers>,
    spool: Mutex<Spool>,
    placed: Mutex<Placed>,
    memory: Arc<Memory>,
    media: Mutex<Kept>,
    google_clock: GoogleClock,
    /// How many sessions of the Live API there are.
    live_sessions: Arc<AtomicUsize>,
    /// For the pool, and for clients' own keys.
    retries: [Mutex<CommonBudget>; 2],
    seed: u64,
    drawn: AtomicU64,
}

/// The head of a request, as a shell has read it.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
    /// The address at the other end of the connection.
    pub peer: IpAddr,
}

/// Something for the shell's pool task to do.
#[derive(Debug)]
pub enum DueNow {
    /// Send this check, and tell it the answer.
    Probe(Check),
    /// Poll the exchange that waits with this ticket.
    Wake(Ticket),
}

/// What a head leads to.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made and taken apart once a request, at once")]
pub enum Accepted {
    /// The answer, at once.
    Reply(Response<Bytes>),
    /// Read the body, within the intake's limits, and give it to the intake.
    NeedBody(Intake),
    /// Drive the exchange and stream the client's body into its one attempt.
    Stream(Exchange),
    /// Check keys.
    Verify(Verification),
    /// Accept the upgrade, and drive the session.
    Upgrade(Box<live::Session>),
}

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
}

#[derive(Debug)]
enum Wanted {
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
    /// Larger than the limit.
    TooLarge,
    /// There is no room for it now.
    NoRoom,
    /// It did not arrive in time.
    TooSlow,
    /// The client broke off.
    Broken,
}

impl Gateway {
    /// A gateway with this configuration. `seed` decides what chance decides.
    pub fn new(config: Config, seed: u64) -> Arc<Self> {
        let settings =
            PoolSettings { strategy: config.strategy, projects: &config.projects, prices: &config.prices };
        let pool = Pool::new(&config.keys, settings, seed);
        let retries = [(); 2].map(|()| Mutex::new(CommonBudget::new(config.retry_budget)));
        let memory = config.memory.unwrap_or(DEFAULT_MEMORY);
        let guests = Pool::for_guests(GUEST_KEYS, config.strategy, seed.wrapping_add(1));
        Arc::new(Self {
            config,
            pool: Mutex::new(pool),
            guests: Mutex::new(guests),
            lists: Mutex::default(),
            strangers: Mutex::default(),
            conversations: Mutex::default(),
            objects: [objects::OBJECTS, objects::GUESTS_OBJECTS].map(|most| Mutex::new(Objects::new(most))),
            signatures: Mutex::new(Signatures::new(memory)),
            repairs: Mutex::default(),
            answers: Mutex::new(Answers::new(memory)),
            spool: Mutex::new(Spool::new(memory / spool::SHARE)),
            placed: Mutex::default(),
            memory: Memory::new(memory),
            media: Mutex::new(Kept::new(memory / fetch::SHARE)),
            google_clock: GoogleClock::default(),
            live_sessions: Arc::default(),
            retries,
            seed,
            drawn: AtomicU64::new(0),
        })
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The pool, or the memory of clients' own keys. Never held while something is waited for.
    pub(crate) fn pool(&self, guests: bool) -> MutexGuard<'_, Pool> {
        locked(if guests { &self.guests } else { &self.pool })
    }

    /// Which project served which conversation last. Never held while something is waited for.
    pub(crate) fn conversations(&self) -> MutexGuard<'_, Conversations> {
        locked(&self.conversations)
    }

    /// Whose the objects are: the pool's projects', or those of clients' own keys. Never held while something is
    /// waited for.
    pub(crate) fn objects(&self, guests: bool) -> MutexGuard<'_, Objects> {
        locked(&self.objects[usize::from(guests)])
    }

    /// What was uploaded lately. Never held while something is waited for.
    pub(crate) fn spool(&self) -> MutexGuard<'_, Spool> {
        locked(&self.spool)
    }

    /// Where media are that were too large for requests. Never held while something is waited for.
    pub(crate) fn placed(&self) -> MutexGuard<'_, Placed> {
        locked(&self.placed)
    }

    /// What retries may add to the load of the pool, or of clients' own keys: nobody uses up the others'.
    pub(crate) fn retries(&self, guests: bool) -> MutexGuard<'_, CommonBudget> {
        locked(&self.retries[usize::from(guests)])
    }

    /// What was fetched lately. Never held while something is waited for.
    pub(crate) fn media(&self) -> MutexGuard<'_, Kept> {
        locked(&self.media)
    }

    /// The thought signatures of calls, by client. Never held while something is waited for.
    pub(crate) fn signatures(&self) -> MutexGuard<'_, Signatures> {
        locked(&self.signatures)
    }

    /// Which schemas Google has refused. Never held while something is waited for.
    pub(crate) fn repairs(&self) -> MutexGuard<'_, Repairs> {
        locked(&self.repairs)
    }

    /// The answers that clients go on from. Never held while something is waited for.
    pub(crate) fn answers(&self) -> MutexGuard<'_, Answers> {
        locked(&self.answers)
    }

    /// What is known of the local clock's error.
    pub fn skew(&self) -> Skew {
        self.google_clock.skew()
    }

    /// Takes in what the head of an answer of Google's says of the time.
    pub(crate) fn hear_date(&self, head: &HeaderMap, sent: Timestamp, now: Timestamp) -> Option<Event> {
        let skew = self.google_clock.hear(head, sent, now)?;
        for guests in [false, true] {
            self.pool(guests).set_skew(skew, now);
        }
        Some(Event::ClockOff { behind_seconds: skew.seconds() })
    }

    /// One more session of the Live API, where there may be one.
    pub(crate) fn live_permit(&self) -> Option<live::Permit> {
        live::Permit::take(&self.live_sessions, self.config.live_sessions)
    }

    /// An empty share of the common memory.
    pub(crate) fn share(&self) -> Held {
        self.memory.share()
    }

    /// How many pool keys there are, and how many of them are not set aside.
    pub fn pool_size(&self) -> (usize, usize) {
        let pool = self.pool(false);
        (pool.len(), pool.usable())
    }

    /// How many projects the keys belong to, as far as is known.
    pub fn project_counts(&self) -> ProjectCounts {
        self.pool(false).project_counts()
    }

    /// The state of the pool.
    pub fn view(&self, now: Timestamp) -> PoolView {
        self.pool(false).view(now).by_google(self.skew())
    }

    /// Whom the pool would choose for a request, and what of every project. The model may go by an alias.
    ///
    /// # Errors
    /// A model that is not served.
    pub fn explain(&self, model: &str, tokens: u64, now: Timestamp) -> Result<Explanation, Error> {
        let model = self.served_model(model, self.config.alias_kind(model))?;
        Ok(self.pool(false).explain(model, tokens, now).by_google(self.skew()))
    }

    /// When [`due`](Self::due) will next have something.
    pub fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        self.pool(false).next_deadline(now)
    }

    /// What is due: probes of keys, and turns of requests that wait.
    pub fn due(self: &Arc<Self>, now: Timestamp) -> Vec<DueNow> {
        let due = self.pool(false).due(now);
        let due = due.into_iter().map(|due| match due {
            Due::Probe(key) => DueNow::Probe(Check::probe(Arc::clone(self), key)),
            Due::Wake(ticket) => DueNow::Wake(ticket),
        });
        due.collect()
    }

    /// What has changed in the pool, and what was learned of objects, since this was last asked.
    pub fn take_changes(&self) -> Vec<StateChange> {
        let mut changes = self.pool(false).take_changes();
        changes.append(&mut self.objects(false).take_changes());
        changes
    }

    /// Takes in what another instance, or this one before a restart, has learned.
    pub fn apply(&self, changes: &[StateChange], now: Timestamp) {
        for change in changes {
            match change {
                StateChange::Object { object, key, maker, until } => {
                    if let Some(name) = ObjectName::stored(object) {
                        let owner = Owner { key: *key, maker: *maker };
                        self.objects(false).apply(&name, owner, *until, now);
                    }
                }
                StateChange::Forgotten { object } => {
                    if let Some(name) = ObjectName::stored(object) {
                        self.objects(false).forget(&name);
                    }
                }
                change => self.pool(false).apply(change, now),
            }
        }
    }

    /// From now on, what conversations leave behind can be [fetched](Self::take_contents), for a store.
    pub fn keep_contents(&self) {
        self.signatures().keep_contents();
        self.answers().keep_contents();
    }

    /// What conversations have left behind since this was last asked.
    pub fn take_contents(&self) -> Vec<Content> {
        let mut contents = self.signatures().take_contents();
        // Writing them down takes a while: the answers are free meanwhile.
        let answers = self.answers().take_contents();
        contents.extend(answers);
        contents
    }

    /// Takes in what conversations had left behind before a restart, in the order in which it came.
    pub fn restore(&self, contents: impl IntoIterator<Item = Content>, now: Timestamp) {
        let mut answers = self.answers();
        let of_answers = contents.into_iter().filter_map(|content| match content {
            Content::Call { name, said } => {
                self.signatures().restore(name, &said);
                None
            }
            content => Some(content),
        });
        answers.restore(of_answers, now);
    }

    /// The project of a key of the pool, for whoever counts by it.
    pub fn project_of(&self, key: KeyId) -> Option<ProjectId> {
        self.pool(false).project_of(key)
    }

    /// The pool's keys for a [probe of projects](crate::project_probe), those together that are known to share one.
    /// None: all is known, or nothing is to be found out.
    pub fn unplaced(&self) -> Option<Vec<Vec<ApiKey>>> {
        let pool = self.pool(false);
        let counts = pool.project_counts();
        (counts.unknown > 0 && pool.usable() > 1).then(|| pool.entries())
    }

    /// Takes in what such a probe has found.
    pub fn place(&self, entries: &[Vec<ApiKey>], relations: &Relations, now: Timestamp) {
        self.pool(false).place(entries, relations, now);
    }

    /// A check of any key, for the command line.
    pub fn check(self: &Arc<Self>, key: ApiKey) -> Check {
        Check::verify(Arc::clone(self), key)
    }

    /// Decides from the head alone what a request leads to.
    pub fn accept(self: &Arc<Self>, head: &Head<'_>, now: Timestamp) -> Accepted {
        let route = Route::find(head.method, head.uri, head.headers, &self.config.base_path);
        let token = self.config.admin_token.as_ref();
        let is_admin =
            matches!(&route, Ok(Route { operation: Operation::Admin { .. }, .. })) && token.is_some();
        let id = RequestId::new(self.chance().u64(..));
        let (Ok(Route { dialect, .. }) | Err(NoRoute { dialect, .. })) = &route;
        let mark = Mark::new(id, *dialect, head.headers, token, !is_admin);
        let accepted = match route {
            _ if head.method == Method::OPTIONS && !is_admin => Accepted::Reply(preflight(head.headers)),
            Ok(route) => {
                let dialect = route.dialect;
                let accepted = self.admit(head, route, mark, now);
                accepted.unwrap_or_else(|error| Accepted::Reply(error.response(dialect, Some(id))))
            }
            Err(NoRoute { dialect, error }) => Accepted::Reply(error.response(dialect, Some(id))),
        };
        match accepted {
            Accepted::Reply(mut reply) => {
                mark.put_served(reply.headers_mut(), 0, None);
                Accepted::Reply(reply)
            }
            accepted => accepted,
        }
    }

    fn admit(
        self: &Arc<Self>,
        head: &Head<'_>,
        route: Route,
        mark: Mark,
        now: Timestamp,
    ) -> Result<Accepted, Error> {
        match route.operation {
            Operation::Admin { page } if self.config.admin_token.is_some() => {
                match admin::Change::asked(self, head, &page) {
                    // Nobody but the administration has a part in it: there are no keys to serve it with.
                    Some(change) => {
                        self.intake_for(head, Wanted::Admin(change), Access::Own(Vec::new()), mark, now)
                    }
                    None => Ok(Accepted::Reply(admin::answer(self, head, &page, now))),
                }
            }
            Operation::Admin { .. } => {
                let (path, base) = (head.uri.path(), &self.config.base_path);
                Err(NoRoute::not_found(route.dialect, path, head.headers, base).error)
            }
            Operation::Home if self.config.home => Ok(Accepted::Reply(home::page(&self.config))),
            Operation::Home => Err(Error::new(Kind::NotFound, "Not found.")),
            Operation::Health => Ok(Accepted::Reply(status_page(StatusCode::OK, "alive"))),
            Operation::Ready => Ok(Accepted::Reply(self.ready())),
            Operation::Verify { format } => self.verification(head, format, mark, now),
            Operation::Live(call) => {
                live::admit(self, head, call, mark, now).map(|session| Accepted::Upgrade(Box::new(session)))
            }
            Operation::Generation(form) => self.intake(head, Wanted::Generation(form), mark, now),
            Operation::Answer { id, act } => {
                let access = Presented::find(head.uri, head.headers).access(&self.config)?;
                let query = head.uri.query().unwrap_or("");
                answers::answer(self, access.client(), &id, act, query, now).map(Accepted::Reply)
            }
            Operation::Model(call) => {
                let task = self.native(call)?;
                self.intake(head, Wanted::Task(task), mark, now)
            }
            Operation::Resource(call) => self.resource(head, call, mark, now),
            Operation::Objects(call) => self.intake(head, Wanted::Objects(call), mark, now),
            Operation::ModelList { version } => {
                let access = Presented::find(head.uri, head.headers).access(&self.config)?;
                let query = crate::route::without_credentials(head.uri.query().unwrap_or(""));
                let task = Task::ModelList { dialect: route.dialect, version, query };
                match self.kept(&task, &access, now) {
                    Some(kept) => Ok(Accepted::Reply(kept)),
                    None => self.intake_for(head, Wanted::Task(task), access, mark, now),
                }
            }
            Operation::ModelGet { version, model: asked } => {
                let operation = self.config.alias_kind(&asked);
                let model = self.served_model(&asked, operation)?.to_owned();
                let task = Task::ModelGet { dialect: route.dialect, version, model, asked };
                self.intake(head, Wanted::Task(task), mark, now)
            }
        }
    }

    fn native(&self, call: ModelCall) -> Result<Task, Error> {
        let operation = if call.method.embeds() { AliasFor::Embed } else { AliasFor::Chat };
        let asked = match call.collection {
            "models" => Cow::Borrowed(call.model.as_str()),
            // A tuned model goes by its whole name, and no alias stands for it.
            collection => Cow::Owned(format!("{collection}/{}", call.model)),
        };
        let model = self.served_model(&asked, operation)?.to_owned();
        Ok(Task::Native { call, model, tuned: Tuned::default() })
    }

    /// A call about an object.
    fn resource(
        self: &Arc<Self>,
        head: &Head<'_>,
        call: ResourceCall,
        mark: Mark,
        now: Timestamp,
    ) -> Result<Accepted, Error> {
        let query = call.query.clone().unwrap_or_default();
        let upload = UploadOwner::find(&query);
        let presented = Presented::find(head.uri, head.headers);
        let access = match (presented.access(&self.config), &upload) {
            // The address is a credential of its own: SDKs send no key with the bytes.
            (Err(_), Some(owner)) if presented.is_none() && self.has_signed(owner, None, &query) => {
                let client = self.config.clients.find(owner.client);
                Access::Pool { client: client.cloned().ok_or_else(foreign_upload)? }
            }
            (access, _) => access?,
        };
        let own = match &access {
            Access::Pool { .. } => None,
            Access::Own(keys) => Some(keys.as_slice()),
        };
        let is_theirs = match &upload {
            Some(owner) => owner.client == access.client() && self.has_signed(owner, own, &query),
            // An address as Google has given it: somebody's own key may have begun it without this gateway.
            None => {
                call.kind() != resource::Kind::Upload
                    || !query.contains(OWNER) && own.is_some_and(|own| own.len() == 1)
            }
        };
        if !is_theirs {
            return Err(foreign_upload());
        }
        let model = call.model_method().map(|(model, _)| model.to_owned());
        let model = match &model {
            Some(model) => Some(self.served_model(model, AliasFor::Chat)?.to_owned()),
            None => None,
        };
        let task = Task::Resource(Box::new(Resource::new(call, model, upload)));
        self.intake_for(head, Wanted::Task(task), access, mark, now)
    }

    /// Whether an upload's address was made here.
    fn has_signed(&self, owner: &UploadOwner, own: Option<&[ApiKey]>, query: &str) -> bool {
        let key = match own {
            Some(own) => own.iter().find(|key| key.id() == owner.key).cloned(),
            None => self.pool(false).key(owner.key),
        };
        key.is_some_and(|key| owner.is_signed_by(&key, query))
    }

    /// A client's request for this model of the upstream's.
    pub(crate) fn translated(&self, asked: Asked, model: String, client: KeyId) -> Result<Generation, Error> {
        let ids = asked.call_ids().into_iter();
        let recalled = self.signatures().recall(client, ids);
        let tuning = Tuning {
            wishes: self.config.wishes(asked.model(), AliasFor::Chat),
            safety: self.config.safety_for(client),
            shows_thoughts: Some(true),
        };
        asked.translated_for(model, recalled, tuning)
    }

    /// The upstream's model that a client's name stands for, without what is wished for behind it.
    pub(crate) fn served_model<'a>(&'a self, asked: &'a str, operation: AliasFor) -> Result<&'a str, Error> {
        // The client's own name for it goes into every event of an answer.
        let (plain, _) = self.config.parted(asked);
        let (model, _) = self.config.parted(self.config.resolve_model(plain, operation));
        let plausible = !model.is_empty()
            && asked.len().max(model.len()) <= MODEL_NAME
            && !model.chars().any(char::is_control)
            && model.split('/').all(|part| !matches!(part, "." | ".." | ""));
        if plausible && self.config.model_allowed(model) {
            return Ok(model);
        }
        let name: String = asked.chars().filter(|char| !char.is_control()).take(100).collect();
        let message = format!("The model {name} is not served here. 此网关不提供模型 {name}。");
        Err(Error { param: Some("model".to_owned()), ..Error::new(Kind::ModelNotFound, message) })
    }

    fn intake(
        self: &Arc<Self>,
        head: &Head<'_>,
        wanted: Wanted,
        mark: Mark,
        now: Timestamp,
    ) -> Result<Accepted, Error> {
        let access = Presented::find(head.uri, head.headers).access(&self.config)?;
        self.intake_for(head, wanted, access, mark, now)
    }

    fn intake_for(
        self: &Arc<Self>,
        head: &Head<'_>,
        wanted: Wanted,
        access: Access,
        mark: Mark,
        now: Timestamp,
    ) -> Result<Accepted, Error> {
        let length =
            head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let limit = wanted.body_limit(&self.config);
        if length.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let encoded = head.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
        let mut tuning = self.tuning_of(&wanted, &access);
        if encoded && tuning.wishes == Wishes::default() {
            // What cannot be read stays as it is.
            tuning = Tuning::default();
        }
        let is_read = matches!(wanted, Wanted::Generation(_) | Wanted::Objects(_)) || !tuning.is_nothing();
        if is_read && encoded {
            let message = "A compressed body cannot be translated; send it without Content-Encoding.";
            return Err(Error::new(Kind::UnsupportedEncoding, message));
        }
        let headers = match &wanted {
            Wanted::Task(Task::Resource(resource)) => resource::forwarded(resource.call(), head.headers),
            _ => upstream::forwarded(head.headers),
        };
        let called = Called::of(head.headers);
        let held = self.memory.share();
        let gateway = Arc::clone(self);
        let intake = Intake { gateway, wanted, tuning, access, headers, called, arrived: now, held, mark };
        if length.is_none() && !head.headers.contains_key(TRANSFER_ENCODING) {
            return Ok(intake.whole(Bytes::new(), now).map_or_else(Accepted::Reply, Accepted::Stream));
        }
        if !is_read && length.is_some_and(|length| length > intake.whole_limit()) {
            return Ok(intake.streamed().map_or_else(Accepted::Reply, Accepted::Stream));
        }
        Ok(Accepted::NeedBody(intake))
    }

    /// What is changed in a native body before it goes up.
    fn tuning_of(&self, wanted: &Wanted, access: &Access) -> Tuning {
        match wanted {
            Wanted::Task(Task::Native { call, .. }) if call.method.generates() => Tuning {
                wishes: self.config.wishes(&call.model, AliasFor::Chat),
                safety: self.config.safety_for(access.client()),
                // A client of Gemini's own dialect says itself whether it wants to see thoughts.
                shows_thoughts: None,
            },
            Wanted::Task(_) | Wanted::Generation(_) | Wanted::Objects(_) | Wanted::Admin(_) => {
                Tuning::default()
            }
        }
    }

    fn ready(&self) -> Response<Bytes> {
        let (all, usable) = self.pool_size();
        if all > 0 && usable == 0 {
            return status_page(StatusCode::SERVICE_UNAVAILABLE, "no usable key");
        }
        status_page(StatusCode::OK, "ready")
    }

    fn verification(
        self: &Arc<Self>,
        head: &Head<'_>,
        format: VerifyFormat,
        mark: Mark,
        now: Timestamp,
    ) -> Result<Accepted, Error> {
        let presented = Presented::find(head.uri, head.headers);
        let trusted = presented.trusted(&self.config).is_some();
        match self.config.verify {
            Verify::Open => {}
            Verify::Trusted if trusted => {}
            Verify::Trusted => {
                return Err(Error::new(
                    Kind::Unauthorized,
                    "Only trusted clients may have keys checked here.",
                ));
            }
            Verify::Off => return Err(Error::new(Kind::NotFound, "Not found.")),
        }
        let keys = presented.own(&self.config);
        if keys.is_empty() {
            let message = "No keys to check. Send them, comma-separated, as x-goog-api-key. 请在 x-goog-api-key 中提供要校验的密钥。";
            return Err(Error::new(Kind::BadRequest, message));
        }
        let guarded = !self.config.keys.is_empty() && !trusted;
        let most = if guarded { STRANGER_KEYS } else { TRUSTED_KEYS };
        if keys.len() > most || presented.too_many(&self.config) {
            return Err(Error::new(
                Kind::BadRequest,
                format!("At most {most} keys a request can be checked."),
            ));
        }
        if guarded {
            let address = client_address(head, &self.config);
            locked(&self.strangers).spend(address, u32::try_from(keys.len()).unwrap_or(u32::MAX), now)?;
        }
        // It writes into the keys' projects: only where somebody asks for it, and no stranger of a pool.
        let asks = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
            name == "projects" && value != "0" && value != "false"
        };
        let query = head.uri.query().unwrap_or_default();
        let projects = form_urlencoded::parse(query.as_bytes()).any(asks);
        if projects && guarded {
            let message = "Only trusted clients may have it found out which keys share a project.";
            return Err(Error::new(Kind::Unauthorized, message));
        }
        let projects = projects.then(|| keys.clone());
        let checks = keys.into_iter().map(|key| self.check(key)).collect();
        Ok(Accepted::Verify(Verification { format, checks, projects, mark }))
    }

    /// A list that was answered lately. The lists of clients' own keys are not kept.
    fn kept(&self, task: &Task, access: &Access, now: Timestamp) -> Option<Response<Bytes>> {
        let Access::Pool { .. } = access else { return None };
        let lists = locked(&self.lists);
        let (until, kept) = lists.get(&task.cached_as()?)?;
        (*until > now).then(|| kept.clone())
    }

    /// Keeps a list for a while.
    pub(crate) fn keep(&self, name: String, list: &Response<Bytes>, now: Timestamp) {
        let mut lists = locked(&self.lists);
        if lists.len() >= LISTS_KEPT {
            lists.retain(|_, (until, _)| *until > now);
        }
        if lists.len() < LISTS_KEPT {
            lists.insert(name, (now + LIST_KEPT, list.clone()));
        }
    }

    /// What makes an answer's identifier: never the same twice in one process, nor likely in two.
    pub(crate) fn answer_id(&self) -> String {
        let mut chance = self.chance();
        format!("{:016x}{:08x}", chance.u64(..), chance.u32(..))
    }

    /// A source of chance: the same seed and the same count of draws give the same numbers.
    fn chance(&self) -> fastrand::Rng {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        fastrand::Rng::with_seed(self.seed ^ count.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

impl Wanted {
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

impl Intake {
    /// The dialect in which the client is answered.
    fn dialect(&self) -> Dialect {
        match &self.wanted {
            Wanted::Generation(form) => form.dialect(),
            Wanted::Task(task) => task.dialect(),
            Wanted::Objects(_) | Wanted::Admin(_) => Dialect::OpenAi,
        }
    }

    /// The largest body that is kept whole, in bytes. What is translated has to be read whole; a native
    /// body that is larger is [streamed](Self::streamed).
    pub fn whole_limit(&self) -> u64 {
        let config = self.gateway.config();
        match &self.wanted {
            Wanted::Generation(_) => config.body_limit,
            Wanted::Objects(_) => self.body_limit(),
            Wanted::Task(_) if !self.tuning.is_nothing() => config.body_limit,
            Wanted::Task(Task::Resource(resource)) if resource.sends_bytes() => {
                UPLOAD_KEPT.min(config.replay_limit)
            }
            Wanted::Task(_) => config.replay_limit.min(config.body_limit),
            Wanted::Admin(_) => admin::MOST_BYTES,
        }
    }

    /// The largest body that is taken at all, in bytes.
    pub fn body_limit(&self) -> u64 {
        self.wanted.body_limit(self.gateway.config())
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
        let Self { gateway, wanted, tuning, access, headers, called, arrived, mut held, mark } = self;
        if body.is_none() {
            held.release();
        }
        let task = match (wanted, &body) {
            (Wanted::Task(_), None) if !tuning.is_nothing() => {
                return Err(too_large(gateway.config().body_limit));
            }
            (Wanted::Task(task), None) => task,
            (Wanted::Task(mut task), Some(body)) => {
                task.tune(body, tuning);
                if let Task::Resource(resource) = &mut task {
                    resource.read(body);
                }
                task
            }
            // One that is not read whole.
            (Wanted::Admin(_), _) => return Err(too_large(admin::MOST_BYTES)),
            (Wanted::Generation(_) | Wanted::Objects(_), None) => {
                return Err(too_large(gateway.config().body_limit));
            }
            (Wanted::Objects(call), Some(body)) => {
                let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let content_type = content_type.unwrap_or_default().to_owned();
                let public = called.public(gateway.config());
                let of = Of { gateway: &gateway, client: access.client(), public: &public, now };
                let begun = Work::begin(call, body, &content_type, of, &mut held)?;
                let client = Client { gateway, access, headers, called, held, arrived, mark };
                return Ok(Exchange::steps(client, begun));
            }
            (Wanted::Generation(form), Some(body)) => {
                let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let content_type = content_type.unwrap_or_default();
                // Apart from the body's own share, whose size says how much the client has sent.
                let mut read = held_values(&gateway, body)?;
                let client = (&*gateway, access.client());
                let asked = Asked::read(form, body, content_type, client, &mut held, now)?;
                let custom = asked.is_chat()
                    && asked.model().len() <= MODEL_NAME
                    && matches!(access, Access::Pool { .. })
                    && gateway
                        .config()
                        .custom_llm
                        .as_ref()
                        .is_some_and(|custom| custom.serves(asked.model()));
                let model = match gateway.served_model(asked.model(), asked.alias_for()) {
                    Ok(model) => model.to_owned(),
                    Err(_) if custom => asked.model().to_owned(),
                    Err(error) => return Err(error),
                };
                let generation = gateway.translated(asked, model, access.client())?;
                let large: usize = generation.large().iter().map(|large| large.size()).sum();
                if !read.grow(generation.body().len() + large) {
                    return Err(no_room());
                }
                held.absorb(read);
                Task::Generation(Box::new(generation))
            }
        };
        let mut body = body;
        if task.keeps_its_own() {
            // What is needed of the body is in the task.
            body = Some(Bytes::new());
        }
        let asked = task.asked_model().unwrap_or_default();
        let mut further_models: Vec<String> = Vec::new();
        if task.takes_another_model() {
            let (asked, _) = gateway.config().parted(asked);
            let further = gateway.config().further_models(asked, task.model().unwrap_or_default());
            further_models.extend(further.map(str::to_owned));
            further_models.reverse();
        }
        let admitted = Admitted { task, access, headers, called, body, further_models, held, arrived, mark };
        Ok(Exchange::new(gateway, admitted))
    }

    /// The answer to a body that did not come whole.
    pub fn refuse(&self, fault: BodyFault) -> Response<Bytes> {
        let error = match fault {
            BodyFault::TooLarge => too_large(self.body_limit()),
            BodyFault::NoRoom => no_room(),
            BodyFault::TooSlow => Error::new(Kind::RequestTimeout, "The body did not arrive in time."),
            BodyFault::Broken => Error::new(Kind::BadRequest, "The body broke off."),
        };
        refusal(&error, self.dialect(), self.mark)
    }
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

fn foreign_upload() -> Error {
    let message = "This address does not belong to an upload of this client. 该上传地址不属于此客户端。";
    Error::new(Kind::Forbidden, message)
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

fn preflight(asked: &HeaderMap) -> Response<Bytes> {
    const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    // A star would not cover Authorization: what was asked for is named.
    let allowed = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed.unwrap_or(HeaderValue::from_static("*")));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    if asked.contains_key(PRIVATE_NETWORK) {
        let name = HeaderName::from_static("access-control-allow-private-network");
        headers.insert(name, HeaderValue::from_static("true"));
    }
    response
}

fn status_page(status: StatusCode, word: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{{\"status\":\"{word}\"}}")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The client's address: the last one in `X-Forwarded-For` that no trusted proxy stands for.
fn client_address(head: &Head<'_>, config: &Config) -> IpAddr {
    let is_proxy = |address: &IpAddr| config.trusted_proxies.iter().any(|proxies| proxies.contains(address));
    // A socket for both families shows IPv4 addresses in IPv6's form.
    let mut address = head.peer.to_canonical();
    let lists = head.headers.get_all("x-forwarded-for");
    let hops: Vec<&str> =
        lists.iter().filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(',')).collect();
    for hop in hops.iter().rev() {
        if !is_proxy(&address) {
            break;
        }
        let Ok(before) = hop.trim().parse::<IpAddr>() else { break };
        address = before.to_canonical();
    }
    address
}

/// How many keys each address had checked in the running minute.
#[derive(Debug, Default)]
struct Strangers {
    minute: u64,
    counts: HashMap<IpAddr, u32>,
}

impl Strangers {
    fn spend(&mut self, address: IpAddr, keys: u32, now: Timestamp) -> Result<(), Error> {
        let minute = now.as_secs() / 60;
        if minute != self.minute || self.counts.len() >= COUNTED_ADDRESSES {
            self.minute = minute;
            self.counts.clear();
        }
        let count = self.counts.entry(network(address)).or_default();
        if count.saturating_add(keys) > STRANGER_KEYS_A_MINUTE {
            let message =
                format!("At most {STRANGER_KEYS_A_MINUTE} keys a minute can be checked from one address.");
            let wait = Duration::from_secs(60 - now.as_secs() % 60);
            return Err(Error { retry_after: Some(wait), ..Error::new(Kind::RateLimited, message) });
        }
        *count += keys;
        Ok(())
    }
}

/// An IPv6 subscriber has at least a /64 of addresses.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            IpAddr::V6(segments.into())
        }
    }
}

/// A panic elsewhere does not make the state useless: every change leaves it whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
