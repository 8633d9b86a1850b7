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

/// What becomes of the second, third and fourth key of each project, in rounds. A key that was found in public stays so;
/// a key's "minute limit" is its project's for whoever believes it.
const ROUNDS: [[&str; 3]; 4] = [
    ["leaked", "flaky:10:overloaded", "healthy"],
    ["leaked", "flaky:10:reset-before-headers", "flaky:5:minute-limit"],
    ["leaked", "flaky:10:overloaded", "invalid"],
    ["leaked", "flaky:10:internal", "healthy"],
];

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
            for round in ROUNDS.iter().cycle() {
                for project in 1..=PROJECTS {
                    for (at, condition) in round.iter().enumerate() {
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
