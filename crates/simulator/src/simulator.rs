//! The simulated Gemini: its state, and the answer to each request.
//!
//! Nothing here waits or does I/O: [`Simulator::answer`] takes a request and gives a [`Plan`], which
//! [`serve`](crate::serve) carries out.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::call::{self, Call};
use crate::clock::{Clock, UnixMillis};
use crate::config::{Config, Project};
use crate::control;
use crate::counts::{Counts, KeyCounts, Log};
use crate::directive::Shape;
use crate::errors::{Form, GoogleError, NOT_FOUND_PAGE};
use crate::fault::{Condition, Fault};
use crate::models::Model;
use crate::objects::{self, Objects, Route, Taken};
use crate::plan::{HTML, Plan, Reply};
use crate::quota::{Exceeded, Usage};
use crate::write::ShapedAnswers;

/// A Gemini that does what its configuration, its clock and its prompts tell it.
#[derive(Debug)]
pub struct Simulator {
    config: Config,
    clock: Clock,
    /// What the clock said at the start.
    began: UnixMillis,
    seed: u64,
    state: Mutex<State>,
    shaped: Mutex<ShapedAnswers>,
}

#[derive(Debug)]
struct State {
    keys: Vec<KeyState>,
    /// Where each key is in `keys`.
    places: HashMap<String, usize>,
    projects: Vec<ProjectState>,
    objects: Objects,
    log: Log,
    random: fastrand::Rng,
    /// Requests so far; makes the answers' ids.
    number: u64,
}

/// How many keys are told apart that the configuration does not name.
const MOST_STRANGERS: usize = 4096;
/// What came without a key.
const NO_KEY: &str = "(none)";
/// What came with more than one.
const SEVERAL_KEYS: &str = "(several)";
/// What came after [`MOST_STRANGERS`].
const OTHER_KEYS: &str = "(others)";

#[derive(Debug)]
struct KeyState {
    name: String,
    /// None: there is no such key.
    project: Option<ProjectId>,
    condition: Condition,
    counts: KeyCounts,
}

/// A project: one of the configuration, or one that a key of an open simulator has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ProjectId {
    Configured(usize),
    Own(usize),
}

#[derive(Debug, Default)]
struct ProjectState {
    condition: Condition,
    /// By model. Models are few.
    usage: BTreeMap<&'static str, Usage>,
}

/// A request that is being answered. Its end is counted when it is dropped.
#[derive(Debug)]
pub struct Ticket {
    simulator: Arc<Simulator>,
    key: usize,
    is_done: bool,
}

/// Who asks, and in which condition the key is.
pub(crate) struct Caller {
    pub(crate) key: String,
    /// None: there is no such key.
    pub(crate) project: Option<ProjectId>,
    /// What the key or its project does to this request.
    pub(crate) fault: Option<Fault>,
    /// Of the request, counted from one.
    pub(crate) number: u64,
    /// 0 to 99, for a prompt that asks for chance.
    pub(crate) percent: u8,
}

impl Simulator {
    /// A simulator with this configuration. `seed` decides what chance decides: flaky keys.
    pub fn new(config: Config, clock: Clock, seed: u64) -> Arc<Self> {
        let state = State::new(&config, seed);
        let began = clock.now();
        Arc::new(Self { config, clock, began, seed, state: Mutex::new(state), shaped: Mutex::default() })
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The largest body that a request may have, in bytes.
    pub(crate) fn body_limit(&self) -> usize {
        self.config.body_limit
    }

    /// What it got so far.
    pub fn counts(&self) -> Counts {
        let state = self.state();
        let used = state.keys.iter().filter(|key| key.project.is_some() || key.counts.requests > 0);
        let keys: BTreeMap<String, KeyCounts> =
            used.map(|key| (key.name.clone(), key.counts.clone())).collect();
        let mut totals = KeyCounts::default();
        state.keys.iter().for_each(|key| totals.add(&key.counts));
        Counts { totals, keys }
    }

    /// The last requests, as `GET /_simulator/log` shows them.
    pub fn log(&self) -> Value {
        self.state().log.show()
    }

    /// Changes the condition of a key. False: there is no such key.
    pub fn set_key(&self, key: &str, condition: Condition) -> bool {
        let mut state = self.state();
        let Some(place) = state.places.get(key).copied().filter(|place| state.keys[*place].project.is_some())
        else {
            return false;
        };
        state.keys[place].condition = condition;
        true
    }

    /// Changes the condition of a project's keys, those that have one of their own aside. False: there is no such
    /// project.
    pub fn set_project(&self, name: &str, condition: Condition) -> bool {
        let Some(place) = self.config.projects.iter().position(|project| project.name == name) else {
            return false;
        };
        self.state().projects[place].condition = condition;
        true
    }

    /// As it was at the start: counts, log, quotas, conditions, chance. The clock stays.
    pub fn reset(&self) {
        let mut state = self.state();
        let fresh = State::new(&self.config, self.seed);
        for (key, fresh) in state.keys.iter_mut().zip(&fresh.keys) {
            key.condition = fresh.condition;
        }
        state.keys.iter_mut().for_each(|key| key.counts.reset());
        state.projects = fresh.projects;
        state.objects = fresh.objects;
        state.log.clear();
        state.random = fresh.random;
        state.number = 0;
    }

    /// The answer to a request whose body is complete, and the ticket to hold until it is given. No ticket: the
    /// request was for the simulator itself, under `/_simulator/`.
    pub fn answer(self: &Arc<Self>, request: &Request<Bytes>) -> (Plan, Option<Ticket>) {
        if let Some(path) = request.uri().path().strip_prefix("/_simulator/") {
            return (Plan::Answer(control::answer(self, request, path)), None);
        }
        let body = request.body();
        if let Some(mut intake) = self.intake(request.method(), request.uri(), request.headers()) {
            return match intake.take(body) {
                Taken::More => intake.finish(),
                Taken::Cut => intake.cut(),
            };
        }
        let now = self.clock.now();
        let call = Call::read(request.method(), request.uri());
        let route = if call.is_none() { Route::read(request.uri()) } else { None };
        let credential = call::credential(request.headers(), request.uri());
        let counted = match (&call, &route) {
            (Some(call), _) => call.counted(),
            (None, Some(route)) => route.counted(request.method()),
            (None, None) => ("other", "other"),
        };
        let model = call.as_ref().map_or("", |call| call.model.as_str());
        let (caller, ticket) = self.enter(&credential, counted, model, now);
        let plan = match (call, route, credential) {
            (None, Some(route), Ok(_)) => objects::answer(self, request, &route, &caller, now),
            (None, Some(_), Err(error)) => Plan::Answer(Reply::error(&error, Form::Single)),
            (None, None, _) => Plan::Answer(Reply::whole(404, HTML, NOT_FOUND_PAGE)),
            (Some(call), _, Ok(_)) => {
                Asked { simulator: self, request, call: &call, caller: &caller, now }.plan()
            }
            (Some(call), _, Err(error)) => Plan::Answer(Reply::error(&error, call.operation.form())),
        };
        self.answered(&ticket, request, body.len(), &plan, now);
        (plan, Some(ticket))
    }

    /// Counts and logs an answer. Of the body, which has so many bytes, the request may have the beginning alone.
    pub(crate) fn answered(
        &self,
        ticket: &Ticket,
        request: &Request<Bytes>,
        body_bytes: usize,
        plan: &Plan,
        now: UnixMillis,
    ) {
        let status = if let Plan::Answer(reply) = plan { reply.status } else { 0 };
        let mut state = self.state();
        state.keys[ticket.key].counts.answered(status);
        state.log.add(request, body_bytes, status, now);
    }

    /// Does something with the objects while nobody else may.
    pub(crate) fn objects<T>(&self, work: impl FnOnce(&mut Objects) -> T) -> T {
        work(&mut self.state().objects)
    }

    /// How many files there are, uploaded or generated.
    pub fn files_kept(&self) -> usize {
        let now = self.clock.now();
        self.objects(|objects| objects.files.len(now))
    }

    /// The beginning of what a file (`files/…`) holds, at most 1 MiB; all of it, if it is no larger. None: there is no
    /// such file, or so many came after it that its content was given up.
    pub fn file_content(&self, name: &str) -> Option<Bytes> {
        self.objects(|objects| objects.files.content(name))
    }

    /// Counts a request in: by its kind or model, and its method.
    pub(crate) fn enter(
        self: &Arc<Self>,
        credential: &Result<String, GoogleError>,
        counted: (&'static str, &'static str),
        model: &str,
        now: UnixMillis,
    ) -> (Caller, Ticket) {
        let key = match credential {
            Ok(key) => key,
            Err(error) if error.status == 403 => NO_KEY,
            Err(_) => SEVERAL_KEYS,
        };
        let mut state = self.state();
        let place = state.place(key, &self.config);
        let percent = state.random.u8(..100);
        state.number += 1;
        let number = state.number;
        let known = &mut state.keys[place];
        known.counts.begin(counted, now);
        let (project, own) = (known.project, known.condition);
        let condition = match project {
            Some(ProjectId::Configured(project)) if own == Condition::Healthy => {
                state.projects[project].condition
            }
            _ => own,
        };
        let fault = condition.fault(|| percent);
        let fault = fault.or_else(|| self.disturbance(model, now, &mut state.random));
        drop(state);
        let ticket = Ticket { simulator: Arc::clone(self), key: place, is_done: false };
        (Caller { key: key.to_owned(), project, fault, number, percent }, ticket)
    }

    /// What goes wrong for everybody now.
    fn disturbance(&self, model: &str, now: UnixMillis, random: &mut fastrand::Rng) -> Option<Fault> {
        let since_start = now.saturating_sub(self.began);
        let met = self.config.disturbances.iter().filter(|one| one.meets(model, since_start));
        met.filter_map(|one| one.condition.fault(|| random.u8(..100))).next()
    }

    /// The project as configured. None: one that a key has to itself.
    pub(crate) fn project(&self, id: ProjectId) -> Option<&Project> {
        match id {
            ProjectId::Configured(project) => self.config.projects.get(project),
            ProjectId::Own(_) => None,
        }
    }

    /// Takes a request of `tokens` input tokens out of a project's quotas.
    pub(crate) fn take(
        &self,
        project: ProjectId,
        model: &'static Model,
        tokens: u64,
        now: UnixMillis,
    ) -> Result<(), Exceeded> {
        let ProjectId::Configured(place) = project else { return Ok(()) };
        let limits = self.config.projects[place].limits(model.id);
        let mut state = self.state();
        let usage = state.projects[place].usage.entry(model.id).or_default();
        usage.take(limits, self.config.minutes, tokens, now)
    }

    /// An answer of a size that was asked for.
    pub(crate) fn shaped(
        &self,
        model: &'static Model,
        form: Form,
        shape: Shape,
        tokens: u64,
    ) -> Arc<[Bytes]> {
        let mut shaped = self.shaped.lock().unwrap_or_else(PoisonError::into_inner);
        shaped.answer(model, form, shape, tokens)
    }

    /// What decides what chance decides.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The condition of each key: `{"key": "leaked"}`.
    pub(crate) fn conditions(&self) -> Value {
        let state = self.state();
        let keys = state.keys.iter().filter(|key| key.project.is_some());
        keys.map(|key| (key.name.clone(), json!(key.condition.to_string())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// A panic elsewhere leaves counts that may be off by one, which is no reason to stop.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(config: &Config, seed: u64) -> Self {
        let mut state = Self {
            keys: Vec::new(),
            places: HashMap::new(),
            projects: Vec::new(),
            objects: Objects::default(),
            log: Log::new(config.logged_requests),
            random: fastrand::Rng::with_seed(seed),
            number: 0,
        };
        for (number, project) in config.projects.iter().enumerate() {
            state.projects.push(ProjectState { condition: project.condition, usage: BTreeMap::new() });
            for key in &project.keys {
                let id = Some(ProjectId::Configured(number));
                state.add(&key.key, id, key.condition, Some(project.name.clone()));
            }
        }
        state
    }

    fn add(
        &mut self,
        name: &str,
        project: Option<ProjectId>,
        condition: Condition,
        called: Option<String>,
    ) -> usize {
        let place = self.keys.len();
        // Of a key that is there twice, the first counts.
        let place = *self.places.entry(name.to_owned()).or_insert(place);
        if place == self.keys.len() {
            let counts = KeyCounts { project: called, ..KeyCounts::default() };
            self.keys.push(KeyState { name: name.to_owned(), project, condition, counts });
        }
        place
    }

    /// Where a key is; makes room for one that was never seen.
    fn place(&mut self, key: &str, config: &Config) -> usize {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        let configured: usize = config.projects.iter().map(|project| project.keys.len()).sum();
        let is_mark = [NO_KEY, SEVERAL_KEYS, OTHER_KEYS].contains(&key);
        if self.keys.len() >= configured + MOST_STRANGERS && !is_mark {
            return self.place(OTHER_KEYS, config);
        }
        let is_good = config.open && !key.starts_with("bad") && !(is_mark && key != OTHER_KEYS);
        let project = is_good.then_some(ProjectId::Own(self.keys.len()));
        let called = is_good.then(|| format!("of {key}"));
        self.add(key, project, Condition::Healthy, called)
    }
}

impl Ticket {
    /// The answer was given to its end, or as far as it was meant to go.
    pub fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.simulator.state().keys[self.key].counts.end(!self.is_done);
    }
}
