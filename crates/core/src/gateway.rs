//! The gateway: what all requests share, and what is asked of it as a whole.
//!
//! A request's way begins in [`accept`](Gateway::accept).

mod admit;
mod clients;
mod intake;
mod ready;
mod sizes;
mod verification;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, Response, Uri};

pub use self::admit::Accepted;
pub(crate) use self::clients::{is_current, permits, permits_model};
pub use self::intake::{BodyFault, Intake};
pub(crate) use self::intake::{held_values, no_room, too_large};
pub use self::ready::Place;
pub use self::sizes::Size;
use self::verification::Strangers;
use crate::affinity::conversations::Conversations;
use crate::affinity::name::ObjectName;
use crate::affinity::objects::{self, Objects, Owner};
use crate::affinity::placed::Placed;
use crate::affinity::spool::{self, Spool};
use crate::auth::Access;
use crate::check::Check;
use crate::clients::{AccountView, Client, Ledger, WrongKeys};
use crate::config::{Config, DEFAULT_MEMORY, Notice, ProxyAddress};
use crate::contents::{Content, ContentName, kept};
use crate::error::Error;
use crate::event::Event;
use crate::exchange::Lease;
use crate::fetch::{self, Kept};
use crate::google_clock::{GoogleClock, Skew};
use crate::live;
use crate::mark::RequestId;
use crate::memory::{Held, Memory};
use crate::openai::responses::store::Answers;
use crate::pool::{
    Due, Explanation, IncidentView, Measure, Named, Pool, PoolSettings, PoolView, ProjectCounts, ProjectId,
    STRETCH, StateChange, Ticket,
};
use crate::project_probe::Relations;
use crate::repair::Repairs;
use crate::retry::CommonBudget;
use crate::secret::{ApiKey, KeyId};
use crate::signatures::Signatures;
use crate::task::Task;
use crate::time::Timestamp;

/// So many keys of clients are remembered.
const GUEST_KEYS: usize = 4096;

/// How long a list of models is kept.
const LIST_KEPT: Duration = Duration::from_secs(300);

/// So many lists are kept: dialects, versions and pages.
const LISTS_KEPT: usize = 32;

/// The gateway. One for the whole process, shared.
#[derive(Debug)]
pub struct Gateway {
    config: RwLock<Arc<Config>>,
    reconfiguring: Mutex<()>,
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
    ledger: Arc<Ledger>,
    wrong_keys: Mutex<WrongKeys>,
    /// How many sessions of the Live API there are.
    live_sessions: Arc<AtomicUsize>,
    exit: ready::Exit,
    /// For the pool, and for clients' own keys.
    retries: [Mutex<CommonBudget>; 2],
    /// Whether attempts tell how much room there was.
    tells_room: AtomicBool,
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
            config: RwLock::new(Arc::new(config)),
            reconfiguring: Mutex::default(),
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
            ledger: Arc::default(),
            wrong_keys: Mutex::default(),
            live_sessions: Arc::default(),
            exit: ready::Exit::default(),
            retries,
            tells_room: AtomicBool::new(false),
            seed,
            drawn: AtomicU64::new(0),
        })
    }

    /// The settings as they are now. Whoever goes by several of them holds on to what this gives: they are swapped
    /// whole.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes by other settings from now on, all at once. Requests that are under way end by those that they began with,
    /// or by these: each looks at what it needs when it needs it.
    ///
    /// What is known of keys that stay is kept. What takes a restart to change stays as it was, and is named.
    pub fn reconfigure(&self, mut config: Config, now: Timestamp) -> Vec<Notice> {
        let mut notices = Vec::new();
        // Two that change it at once do it one after the other.
        let _one = locked(&self.reconfiguring);
        let current = self.config();
        if config.listen != current.listen {
            config.listen = current.listen;
            notices.push(Notice::NeedsRestart { variable: "LIBRA_LISTEN" });
        }
        if config.memory != current.memory {
            config.memory = current.memory;
            notices.push(Notice::NeedsRestart { variable: "LIBRA_MEMORY" });
        }
        if config.project_probe && !current.project_probe {
            notices.push(Notice::NeedsRestart { variable: "LIBRA_PROJECT_PROBE" });
        }
        let pool_changed = (&config.keys, &config.projects, &config.prices, config.strategy)
            != (&current.keys, &current.projects, &current.prices, current.strategy);
        if pool_changed {
            let settings = PoolSettings {
                strategy: config.strategy,
                projects: &config.projects,
                prices: &config.prices,
            };
            self.pool(false).reconfigure(&config.keys, settings, now);
            self.pool(true).set_strategy(config.strategy);
        }
        for guests in [false, true] {
            self.retries(guests).set_share(config.retry_budget);
        }
        locked(&self.lists).clear();
        self.ledger.retain(&config.clients);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        notices
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
        live::Permit::take(&self.live_sessions, self.config().live_sessions)
    }

    /// An empty share of the common memory.
    pub fn share(&self) -> Held {
        self.memory.share()
    }

    /// How many pool keys there are, and how many of them are not set aside.
    pub fn pool_size(&self) -> (usize, usize) {
        let pool = self.pool(false);
        (pool.len(), pool.usable())
    }

    /// Which way to Google requests with a key take: the number of its project, by which a shell with several ways keeps
    /// to one, and the proxy that the user has named for the project. For keys that clients bring, the key's own number.
    pub fn way(&self, key: KeyId) -> (u64, Option<ProxyAddress>) {
        let way = self.pool(false).way(key);
        way.map_or((key.as_u64(), None), |(project, proxy)| (project.as_u64(), proxy))
    }

    /// How many projects the keys belong to, as far as is known.
    pub fn project_counts(&self) -> ProjectCounts {
        self.pool(false).project_counts()
    }

    /// The state of the pool.
    pub fn view(&self, now: Timestamp) -> PoolView {
        self.pool(false).view(now).by_google(self.skew())
    }

    /// The pool in numbers, for whoever watches it. It is looked at in stretches, between which it serves.
    pub fn measure(&self, named: &Named<'_>, now: Timestamp) -> Measure {
        let mut measure = self.pool(false).measure(now);
        let mut from = 0;
        while self.pool(false).measure_stretch(&mut measure, from, named, now) {
            from += STRETCH;
        }
        measure
    }

    /// What is paused because many projects failed alike.
    pub fn incidents(&self, now: Timestamp) -> Vec<IncidentView> {
        self.pool(false).incidents(now)
    }

    /// How many bytes of the common memory are held, and how many there are.
    pub fn memory_held(&self) -> (u64, u64) {
        (self.memory.held(), self.memory.limit())
    }

    /// How many sessions of the Live API there are.
    pub fn live_sessions(&self) -> usize {
        self.live_sessions.load(Ordering::Relaxed)
    }

    /// The name of the project that a key of the pool belongs to.
    pub fn project_name(&self, key: KeyId) -> Option<String> {
        self.pool(false).project_name(key)
    }

    /// Whether this is a key of the pool, of a client, or the administration's.
    pub fn is_secret(&self, text: &str) -> bool {
        let key = ApiKey::new(text);
        let config = self.config();
        self.pool(false).key(key.id()).is_some()
            || config.clients.contains(&key)
            || config.admin_token.as_ref().is_some_and(|token| token.id() == key.id())
    }

    /// From now on, attempts tell how much room their projects had. It costs a look at the pool for each.
    pub fn tell_room(&self) {
        self.tells_room.store(true, Ordering::Relaxed);
    }

    /// How much room the project of a lease has, if attempts tell that.
    pub(crate) fn room_told(&self, lease: &Lease, model: Option<&str>, now: Timestamp) -> Option<u64> {
        if !self.tells_room.load(Ordering::Relaxed) {
            return None;
        }
        self.pool(lease.is_guests()).room_left(lease.key().id(), model?, now)
    }

    /// Whom the pool would choose for a request, and what of every project. The model may go by an alias.
    ///
    /// # Errors
    /// A model that is not served.
    pub fn explain(&self, model: &str, tokens: u64, now: Timestamp) -> Result<Explanation, Error> {
        let model = self.served_model(model, self.config().alias_kind(model))?;
        Ok(self.pool(false).explain(&model, tokens, now).by_google(self.skew()))
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
        changes.append(&mut self.ledger.take_changes());
        changes
    }

    /// What an operator wants to know of clients and their limits, since this was last asked.
    pub fn take_events(&self) -> Vec<Event> {
        self.ledger.take_events()
    }

    /// What a client has used of what it may.
    pub fn account(&self, client: &Client, now: Timestamp) -> AccountView {
        self.ledger.view(client, now)
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
                StateChange::ClientSpent { client, period, ends, spent } => {
                    if self.config().clients.find(*client).is_some() {
                        self.ledger.restore(*client, (*period, *ends), *spent, now);
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

    /// The answer that a path is about, where it is not known here.
    pub fn sought_by_path(&self, path: &str) -> Option<ContentName> {
        if !path.contains("/responses/") {
            return None;
        }
        let id = kept::answer_ids(path.as_bytes()).into_iter().next()?;
        self.lacks_answer(id).then(|| ContentName::Answer(id.into()))
    }

    /// Whether an answer of this id is not known here.
    pub fn lacks_answer(&self, id: &str) -> bool {
        !self.answers().is_known(id)
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

    /// A name for a request that a shell answers by itself, as all answers carry one.
    pub fn mark(&self, headers: &mut HeaderMap) {
        RequestId::new(self.chance().u64(..)).put(headers);
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

/// A panic elsewhere does not make the state useless: every change leaves it whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
