//! Keys that fail while scripts run, by the simulator's control endpoint. The first key of each project stays healthy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::http::ask;
use super::pool::{PROJECTS, key};

/// How long a state lasts before the next key changes its own.
const PACE: Duration = Duration::from_millis(250);

/// What becomes of the second, third and fourth key of each project, in rounds. A key that was found in public stays so.
/// Faults that meet a request twice in a row are told to its client, so they are few.
const ROUNDS: [[&str; 3]; 4] = [
    ["leaked", "flaky:2:overloaded", "healthy"],
    ["leaked", "flaky:2:reset-before-headers", "invalid"],
    ["leaked", "flaky:2:internal", "healthy"],
    ["leaked", "flaky:2:overloaded", "invalid"],
];

/// In this round, counted from zero, the fourth key of some projects is at a limit: its project is, for whoever believes
/// it, and has no room for a while. Once, as those whose objects are there have to wait for that; and without a number, as
/// that would be kept to from then on.
const LIMITED: usize = 1;
/// The first ones: the others have room for what can go to them.
const LIMITED_PROJECTS: usize = 2;
const LIMIT: &str = "flaky:50:help-only";

/// Changes keys until it is ended.
pub(super) struct Trouble {
    ended: Arc<AtomicBool>,
    work: JoinHandle<usize>,
}

impl Trouble {
    pub(super) fn begin(simulator: SocketAddr) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let work = thread::spawn(move || {
            let mut changes = 0;
            for (number, round) in ROUNDS.iter().cycle().enumerate() {
                for project in 1..=PROJECTS {
                    for (at, condition) in round.iter().enumerate() {
                        let is_limited =
                            number == LIMITED && project <= LIMITED_PROJECTS && at + 1 == round.len();
                        let condition = if is_limited { LIMIT } else { condition };
                        let body =
                            format!(r#"{{"key":"{}","condition":"{condition}"}}"#, key(project, at + 2));
                        changes += usize::from(ask(simulator, "POST", "/_simulator/keys", &body).is_ok());
                    }
                    thread::sleep(PACE);
                    if until.load(Ordering::Relaxed) {
                        return changes;
                    }
                }
            }
            changes
        });
        Self { ended, work }
    }

    /// How many changes there were.
    pub(super) fn end(self) -> usize {
        self.ended.store(true, Ordering::Relaxed);
        self.work.join().unwrap_or_default()
    }
}
