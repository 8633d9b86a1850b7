//! Trials of the pool in virtual time.
//!
//! A [`Scenario`] describes a pool and a load. [`run`](trial::run) lets the gateway serve it: requests arrive, the
//! gateway's state machines say what to do, a simulated Gemini answers, and nobody waits, as time is a number that
//! jumps to whatever comes next. A virtual day takes about a second. What happened is a [`Record`], of which the
//! [`judge`] makes a [`Verdict`].
//!
//! ```text
//! Scenario ─► load (arrivals) ─┐
//!          ─► Simulator ───────┼─► World: head ─► Gateway ─► Exchange ─► Relay ─► Record ─► judge ─► Verdict
//!          ─► Config ──────────┘
//! ```
//!
//! The judge knows what the pool has to learn: every limit, every dead key, every arrival. It has its own books of
//! the quotas and its own calendar, and takes nothing from the gateway but what a client or Google would see; only
//! which keys are set aside it is told by the pool.
//!
//! The same seed gives the same result.

pub mod calendar;
pub mod judge;
pub mod load;
pub mod loopback;
pub mod record;
pub mod report;
pub mod scenario;
pub mod table;
pub mod trial;
mod world;

pub use judge::Verdict;
pub use record::Record;
pub use scenario::Scenario;
