//! The thread that writes: nobody else touches the database while the gateway runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use libra_core::gateway::Gateway;
use rusqlite::Connection;

use super::queue::{Batch, Next, Queue};
use super::retention::Retention;
use super::rows;
use super::seal::Seal;
use crate::clock;

/// How often is looked for what has to go.
const TIDIED: Duration = Duration::from_secs(60);

/// A batch that could not be written is tried again after so long, then after twice as long, up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What the thread works with.
pub(crate) struct Writer {
    pub(crate) database: Connection,
    pub(crate) seal: Seal,
    pub(crate) queue: Arc<Queue>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) retention: Retention,
}

impl Writer {
    /// Writes until there is nothing more to come.
    pub(crate) fn run(mut self) {
        let mut tidied = Instant::now();
        let mut patience = TIDIED;
        loop {
            match self.queue.next(patience) {
                Next::Write(batch, number) => {
                    if !self.write(&batch) {
                        return;
                    }
                    self.queue.is_written(number);
                }
                Next::Nothing => {}
                Next::Stop => break,
            }
            if tidied.elapsed() >= patience {
                tidied = Instant::now();
                // More is done soon, but never before what waits to be written.
                patience = match self.retention.step(&mut self.database, clock::now()) {
                    Ok(true) => Duration::from_millis(20),
                    Ok(false) => TIDIED,
                    Err(error) => {
                        tracing::warn!("old rows cannot be removed from the store: {error}");
                        TIDIED
                    }
                };
            }
        }
        // Leaves one file behind. Where it cannot, the next start does it.
        let _ = self.database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// Writes a batch, however often it takes. False: the process ends before.
    fn write(&mut self, batch: &Batch) -> bool {
        let mut pause = PAUSE;
        let Self { database, seal, queue, gateway, .. } = self;
        loop {
            let written = rows::write(database, seal, batch, gateway, clock::now());
            let Err(error) = written else {
                if pause > PAUSE {
                    tracing::info!("the store is written again");
                }
                return true;
            };
            queue.note_write_error();
            if pause == PAUSE {
                tracing::warn!("the store cannot be written: {error}; requests are served all the same");
            }
            if queue.is_stopping() {
                return false;
            }
            queue.pause(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
