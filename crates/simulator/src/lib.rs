//! A Gemini API to trust in tests, demos, experiments and benchmarks.
//!
//! It speaks the native endpoints as Google does, down to the spacing of its events, has keys that belong to
//! projects with quotas for each model, and fails on demand in every way that Google is known to fail in. Time and
//! chance come from outside, so that a test repeats. It counts what it gets.
//!
//! ```no_run
//! use libra_simulator::{Clock, Config, Project, Simulator, listen, serve};
//!
//! # async fn example() -> std::io::Result<()> {
//! let config = Config {
//!     projects: vec![Project::new("first", Default::default(), &["key-one", "key-two"])],
//!     ..Config::default()
//! };
//! let simulator = Simulator::new(config, Clock::manual(1_795_550_400_000), 1);
//! let listener = listen(([127, 0, 0, 1], 0).into())?;
//! tokio::spawn(serve(simulator.clone(), listener));
//! // … ask it something, then:
//! assert_eq!(simulator.counts().key("key-one").requests, 0);
//! # Ok(())
//! # }
//! ```
//!
//! What keys make (files, caches, batches, operations, stores, interactions, agents and what they work with, corpora,
//! tuned models, tokens) belongs to their projects, and is refused to all others as Google refuses it.
//!
//! What is pure (state, quotas, answers) is in [`Simulator`], which turns a request into a [`Plan`]; what is HTTP is
//! in [`serve`]. Nothing is shared with the gateway: what judges it must not share its mistakes.
//!
//! Deliberately not here: what large files hold, other services of Google, and anything intelligent: nothing is searched,
//! tuned or run.

mod answer;
mod asked;
mod call;
mod clock;
mod config;
mod control;
mod counts;
pub mod demo;
mod directive;
mod errors;
mod fault;
mod intake;
mod json;
mod live;
mod media;
mod models;
mod objects;
mod plan;
mod quota;
mod schema;
mod server;
mod simulator;
mod validate;
mod write;

pub use clock::{Clock, UnixMillis};
pub use config::{Config, Disturbance, Key, Project, Tier};
pub use counts::{Counts, KeyCounts};
pub use directive::WORDS;
pub use fault::{Condition, Fault, PLAIN as PLAIN_FAULTS};
pub use models::has_model;
pub use plan::{End, Plan, Reply};
pub use quota::{Limits, Minutes};
pub use server::{listen, serve};
pub use simulator::{Simulator, Ticket};
