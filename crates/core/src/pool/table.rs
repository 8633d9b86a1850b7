//! One model's projects, ordered: who has most room, and who will have some when.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::least_used::Awake;
use super::window::{Charge, Limits, Meter};
use crate::config::{ModelLimits, ProjectSettings};
use crate::google_clock::Skew;
use crate::secret::KeyId;
use crate::time::Timestamp;

/// After refusals for want of room, room is given out evenly for so long.
const SCARCE: Duration = Duration::from_secs(60);

/// At most so long a project waits between requests for the sake of evenness: half of what a client usually waits.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A project whose quota somebody unknown uses is used unevenly for so long after it has last run out early.
const SUSPECTED: Duration = Duration::from_secs(600);

/// Its load counts once, twice or four times.
pub(super) const HANDICAPS: u8 = 3;

/// Multiples of the golden ratio are spread evenly between whole numbers, however many they are.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// Penalties double from one second; Google's overloads pass within a minute or so.
const LONGEST_PENALTY: Duration = Duration::from_secs(60);

/// What is known of one model: a cell for each project that has been used with it.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) model: Arc<str>,
    cells: HashMap<u32, Cell, BuildHasherDefault<Spread>>,
    /// Those with room, best first.
    ready: BTreeSet<(Rank, u32)>,
    /// Those without, by when they will have some.
    waking: BTreeSet<(Timestamp, u32)>,
    /// Those with room, by when their place changes by itself.
    changing: BTreeSet<(Timestamp, u32)>,
    /// For `least-used` only, where many keys rest.
    pub(super) awake: Option<Box<Awake>>,
    /// Projects before this place in the pool's order have a cell, or had their turn.
    pub(super) fresh_from: usize,
    /// Where in the clock's minute Google's fixed minutes end, if they are fixed.
    fixed: Option<u64>,
    /// Until when room is given out evenly, as there is not enough of it.
    scarce_until: Timestamp,
    /// Who was refused last for want of room, and when.
    last_refused: Option<(KeyId, Timestamp)>,
    /// How wrong the local clock is.
    pub(super) skew: Skew,
}

/// The order of projects that have room: the smallest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Whether it has failed lately by no fault of its own.
    penalised: bool,
    /// The project's priority.
    priority: u8,
    /// Thousandths of its tightest limit, in steps of 16, so that equals take turns.
    load: u32,
    /// When it was used last, as a running number.
    turn: u64,
}

/// A project's standing with one model.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    pub(super) meter: Meter,
    rest_until: Timestamp,
    penalty_until: Timestamp,
    penalties: u32,
    /// Whether it has given a good answer since it last failed.
    proven: bool,
    turn: u64,
    /// Not before then while room is given out evenly.
    pause_until: Timestamp,
    /// How often its load counts double, and until when.
    handicap: (u8, Timestamp),
    place: Place,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Nowhere,
    Ready(Rank, Option<Timestamp>),
    Waking(Timestamp),
}

/// Spreads the numbers of projects over a hash table's places. They are the pool's own, so nobody can choose them.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        // A hash table looks at the highest and at the lowest bits.
        let product = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}

/// What of a project a table has to know to place it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    /// What the user says of it: where its limits are known before Google names any.
    pub(super) settings: Option<&'a ProjectSettings>,
    pub(super) priority: u8,
    /// Until when the whole project rests; never, where it has no usable key.
    pub(super) blocked_until: Timestamp,
}

impl Rank {
    /// The rank of a project of which nothing is known yet with this model.
    pub(super) fn fresh(priority: u8) -> Self {
        Self { penalised: false, priority, load: 0, turn: 0 }
    }
}

impl Rank {
    /// Whether it has failed lately.
    pub(super) fn is_penalised(self) -> bool {
        self.penalised
    }
}

impl Table {
    pub(super) fn new(model: &str, skew: Skew, fixed: Option<u64>) -> Self {
        Self {
            model: model.into(),
            cells: HashMap::default(),
            ready: BTreeSet::new(),
            waking: BTreeSet::new(),
            changing: BTreeSet::new(),
            awake: None,
            fresh_from: 0,
            fixed,
            scarce_until: Timestamp::EPOCH,
            last_refused: None,
            skew,
        }
    }

    pub(super) fn cell(&self, project: u32) -> Option<&Cell> {
        self.cells.get(&project)
    }

    pub(super) fn cell_mut(&mut self, project: u32) -> Option<&mut Cell> {
        self.cells.get_mut(&project)
    }

    pub(super) fn cells_mut(&mut self) -> impl Iterator<Item = (u32, &mut Cell)> {
        self.cells.iter_mut().map(|(project, cell)| (*project, cell))
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether the table says anything about the future that an absent one does not.
    pub(super) fn matters(&self, now: Timestamp) -> bool {
        self.cells.values().any(|cell| {
            cell.rest_until > now || cell.penalty_until > now || cell.meter.limits != Limits::default()
        })
    }

    /// Changes a cell, which is made where there is none, and places it anew.
    pub(super) fn change<T>(
        &mut self,
        project: u32,
        standing: Standing<'_>,
        now: Timestamp,
        change: impl FnOnce(&mut Cell) -> T,
    ) -> T {
        let (model, skew, fixed) = (&self.model, self.skew, self.fixed);
        let cell = self.cells.entry(project).or_insert_with(|| {
            let mut cell = Cell::new(standing.settings, model, skew);
            cell.meter.count_by(fixed, now);
            cell
        });
        let result = change(cell);
        let old = std::mem::take(&mut cell.place);
        let new = cell.placed(standing, self.scarce_until > now, now);
        cell.place = new;
        self.place(project, old, new);
        result
    }

    /// Counts minutes as Google is known to count them. The cells have to be placed anew.
    pub(super) fn count_by(&mut self, fixed: Option<u64>, now: Timestamp) {
        self.fixed = fixed;
        self.cells.values_mut().for_each(|cell| cell.meter.count_by(fixed, now));
    }

    /// Moves a project from one place to another. Where it stays, nothing is touched.
    fn place(&mut self, project: u32, old: Place, new: Place) {
        let (was_ready, was_changing, was_waking) = old.entries();
        let (ready, changing, waking) = new.entries();
        exchange(&mut self.ready, project, was_ready, ready);
        exchange(&mut self.changing, project, was_changing, changing);
        exchange(&mut self.waking, project, was_waking, waking);
    }

    /// Takes a project out.
    pub(super) fn remove(&mut self, project: u32) -> Option<Cell> {
        let cell = self.cells.remove(&project)?;
        self.place(project, cell.place, Place::Nowhere);
        Some(Cell { place: Place::Nowhere, ..cell })
    }

    /// A project whose place has to be looked at again by now.
    pub(super) fn next_due(&self, now: Timestamp) -> Option<u32> {
        let first = |set: &BTreeSet<(Timestamp, u32)>| {
            set.first().filter(|(at, _)| *at <= now).map(|(_, project)| *project)
        };
        first(&self.waking).or_else(|| first(&self.changing))
    }

    /// The projects without room, by when they will have some.
    pub(super) fn waking(&self) -> impl Iterator<Item = (Timestamp, u32)> {
        self.waking.iter().copied().filter(|(at, _)| *at < Timestamp::NEVER)
    }

    /// The next project with room after this one, or the best of all.
    pub(super) fn ready_after(&self, previous: Option<(Rank, u32)>) -> Option<(Rank, u32)> {
        match previous {
            None => self.ready.first().copied(),
            Some(previous) => self.ready.range((Bound::Excluded(previous), Bound::Unbounded)).next().copied(),
        }
    }

    /// The projects with room, best first.
    pub(super) fn ready(&self) -> impl Iterator<Item = (Rank, u32)> {
        self.ready.iter().copied()
    }

    /// When a project may be sent a request of so many tokens: now, or later.
    pub(super) fn room(&mut self, project: u32, tokens: u64, now: Timestamp) -> Timestamp {
        let scarce = self.scarce_until > now;
        self.cells.get_mut(&project).map_or(now, |cell| cell.turn_at(tokens, scarce, now))
    }

    /// Whether a project has certainly used up its requests of the minute, and not by Google's word; `around`: where a fixed
    /// minute may begin and end.
    pub(super) fn is_surely_full(
        &mut self,
        project: u32,
        around: Option<(Timestamp, Timestamp)>,
        now: Timestamp,
    ) -> bool {
        self.cells.get_mut(&project).is_some_and(|cell| {
            cell.rest_until <= now && !cell.penalised(now) && cell.meter.is_surely_full(around, now)
        })
    }

    /// Whether the answer to a request of so many tokens, sent to a project then, would show that minutes are fixed and one
    /// `began` before.
    pub(super) fn tells_minutes(
        &mut self,
        project: u32,
        (tokens, began, at): (u64, Timestamp, Timestamp),
        now: Timestamp,
    ) -> bool {
        self.cells.get_mut(&project).is_some_and(|cell| {
            let is_free = cell.rest_until <= at && !cell.penalised(at);
            is_free && cell.meter.tells_minutes(tokens, began, at, now)
        })
    }

    /// When Google has room with a project for so many tokens: now, or later.
    pub(super) fn recovery(&mut self, project: u32, tokens: u64, now: Timestamp) -> Timestamp {
        let cell = self.cells.get_mut(&project);
        cell.map_or(now, |cell| cell.meter.recovery(tokens, now).max(cell.rest_until))
    }

    /// Counts a request with a project.
    pub(super) fn charge(
        &mut self,
        project: u32,
        standing: Standing<'_>,
        (tokens, turn): (u64, u64),
        now: Timestamp,
    ) -> Charge {
        let scarce = self.scarce_until > now;
        self.change(project, standing, now, |cell| {
            if scarce {
                cell.pause(project, tokens, now);
            }
            cell.charge(tokens, turn, now)
        })
    }

    /// A client was refused for want of room. Where this happens to several, what room there is is given out evenly from
    /// then on: where it comes in bursts, whoever asks between them is refused, however modest.
    pub(super) fn refused(&mut self, client: KeyId, now: Timestamp) {
        let others = self.last_refused.is_some_and(|(last, at)| last != client && now.since(at) <= SCARCE);
        if others || self.scarce_until > now {
            self.scarce_until = now + SCARCE;
        }
        self.last_refused = Some((client, now));
    }
}

impl Place {
    /// What stands for it in each of the orders: ready, changing, waking.
    fn entries(self) -> (Option<Rank>, Option<Timestamp>, Option<Timestamp>) {
        match self {
            Self::Nowhere => (None, None, None),
            Self::Ready(rank, changes) => (Some(rank), changes, None),
            Self::Waking(at) => (None, None, Some(at)),
        }
    }
}

fn exchange<T: Ord + Copy>(order: &mut BTreeSet<(T, u32)>, project: u32, old: Option<T>, new: Option<T>) {
    if old == new {
        return;
    }
    if let Some(old) = old {
        order.remove(&(old, project));
    }
    if let Some(new) = new {
        order.insert((new, project));
    }
}

impl Cell {
    fn new(settings: Option<&ProjectSettings>, model: &str, skew: Skew) -> Self {
        let mut cell = Self { meter: Meter::new(skew), ..Self::default() };
        if let Some(known) = settings.and_then(|settings| settings.limits_of(model)) {
            cell.meter.limits = Limits {
                requests_per_minute: known.requests_per_minute,
                tokens_per_minute: known.tokens_per_minute,
                requests_per_day: known.requests_per_day,
                tokens_per_day: None,
            };
        }
        cell
    }

    fn placed(&mut self, standing: Standing<'_>, scarce: bool, now: Timestamp) -> Place {
        let room = self.turn_at(1, scarce, now).max(standing.blocked_until);
        if room == Timestamp::NEVER {
            return Place::Nowhere;
        }
        if room > now {
            return Place::Waking(room);
        }
        let penalty = self.penalty_until(now);
        Place::Ready(
            self.rank(standing.priority, now),
            self.meter.next_change().into_iter().chain(penalty).min(),
        )
    }

    /// Whether the project is not given the model at all.
    pub(super) fn is_given_nothing(&self) -> bool {
        self.meter.limits.admit_nothing()
    }

    /// Its place among the projects with room.
    pub(super) fn rank(&self, priority: u8, now: Timestamp) -> Rank {
        let (doublings, until) = self.handicap;
        let doublings = if until > now { doublings } else { 0 };
        let load = (self.meter.load() / 16).saturating_mul(1 << doublings);
        Rank { penalised: self.penalised(now), priority, load, turn: self.turn }
    }

    fn turn_at(&mut self, tokens: u64, scarce: bool, now: Timestamp) -> Timestamp {
        let room = self.meter.room(tokens, now).max(self.rest_until);
        if scarce { room.max(self.pause_until) } else { room }
    }

    /// Waits until its next turn. Whoever comes late for one has the next one so much sooner.
    fn pause(&mut self, project: u32, tokens: u64, now: Timestamp) {
        // Unevenly, too, where it is used unevenly: its pace would be even otherwise.
        let (doublings, until) = self.handicap;
        let parts = if until > now { u32::from(doublings.min(1)) } else { 1 };
        let pause = (self.meter.share_of_minute(tokens) * parts).min(LONGEST_PAUSE);
        let late = now.since(self.pause_until);
        self.pause_until = if late <= pause {
            now + pause - late
        } else {
            // The first turn for a long time: projects that begin together are not to go on together.
            now + pause.mul_f64((f64::from(project) * GOLDEN).fract())
        };
    }

    /// Somebody unknown uses its quota. Where all are used evenly, all run out at once, and nothing shows who: so for a while
    /// it takes less than its part, or the others do. `chance` is in 0..[`HANDICAPS`].
    pub(super) fn be_suspected(&mut self, chance: u8, now: Timestamp) {
        self.handicap = (chance, now + SUSPECTED);
    }

    /// Counts a request; `turn` is a running number.
    pub(super) fn charge(&mut self, tokens: u64, turn: u64, now: Timestamp) -> Charge {
        self.turn = turn;
        self.meter.charge(tokens, now)
    }

    /// Takes in what is known of a project that has turned out to be the same.
    pub(super) fn absorb(&mut self, other: Self) {
        self.meter.absorb(other.meter);
        self.rest_until = self.rest_until.max(other.rest_until);
        self.penalty_until = self.penalty_until.max(other.penalty_until);
        self.turn = self.turn.max(other.turn);
    }

    /// The same for a key that turns out to be a project of its own: what was counted for all of them may have been its.
    pub(super) fn split(&self) -> Self {
        Self { meter: self.meter.split(), place: Place::Nowhere, ..self.clone() }
    }

    /// Other limits are configured than before. Those that Google has named stay where nothing is.
    pub(super) fn limit_by(&mut self, before: Option<&ModelLimits>, now: Option<&ModelLimits>) {
        let configured = |limits: Option<&ModelLimits>| match limits {
            Some(known) => [known.requests_per_minute, known.tokens_per_minute, known.requests_per_day],
            None => [None; 3],
        };
        let limits = &mut self.meter.limits;
        let known =
            [&mut limits.requests_per_minute, &mut limits.tokens_per_minute, &mut limits.requests_per_day];
        for ((known, before), now) in known.into_iter().zip(configured(before)).zip(configured(now)) {
            if now != before && (now.is_some() || *known == before) {
                *known = now;
            }
        }
    }

    /// Rests at least until then.
    pub(super) fn rest(&mut self, until: Timestamp) {
        self.rest_until = self.rest_until.max(until);
    }

    /// Ends a rest that ends at a certain time at another.
    pub(super) fn move_rest(&mut self, from: Timestamp, to: Timestamp) {
        if self.rest_until == from {
            self.rest_until = to;
        }
    }

    pub(super) fn rest_until(&self) -> Timestamp {
        self.rest_until
    }

    /// Comes last for a while: 1, 2, 4, … seconds, each between half and one and a half times that long, so
    /// that projects penalised together do not come back together. `chance` is in 0..1.
    pub(super) fn penalise(&mut self, now: Timestamp, chance: f64) {
        let longest = LONGEST_PENALTY.as_secs_f64();
        let wait = f64::from(1_u32 << self.penalties.min(6)).min(longest) * (0.5 + chance);
        self.penalties = self.penalties.saturating_add(1);
        self.proven = false;
        self.penalty_until = self.penalty_until.max(now + Duration::from_secs_f64(wait));
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven
    }

    pub(super) fn penalised(&self, now: Timestamp) -> bool {
        self.penalty_until > now
    }

    /// Until when it comes last, if it does.
    pub(super) fn penalty_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.penalised(now).then_some(self.penalty_until)
    }

    /// A good answer ends penalties; a rest ends in its own time.
    pub(super) fn forgive(&mut self) {
        self.proven = true;
        self.penalties = 0;
        self.penalty_until = Timestamp::EPOCH;
    }
}
