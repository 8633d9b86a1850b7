//! What waits to be written: bounded, so that a disk that is slow or full costs memory only, and never a request.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libra_core::contents::Content;
use libra_core::pool::StateChange;
use tokio::sync::watch;

use super::entry::Entry;
use super::usage::Usage;

/// A row waits at most so long for others to be written with it.
const GATHERED: Duration = Duration::from_millis(250);

/// So many rows are enough to write at once.
const ENOUGH: usize = 4096;

/// So many of each kind wait: some minutes of a busy gateway, and some ten megabytes. Beyond, the oldest are dropped.
const ROWS: usize = 32_768;

/// So many bytes of contents wait, as what was said may be long: a small part of what a container of 256 MB has.
const CONTENT_BYTES: usize = 16 << 20;

/// What is to be written at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// What was learned of keys and projects.
    pub(crate) changes: VecDeque<StateChange>,
    /// What was learned of objects.
    pub(crate) objects: VecDeque<StateChange>,
    /// What conversations have left behind.
    pub(crate) contents: VecDeque<Content>,
    content_bytes: usize,
    /// The log.
    pub(crate) log: VecDeque<Entry>,
    /// What is counted of requests that fell out of the log.
    pub(crate) usage: Usage,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.changes.len() + self.objects.len() + self.contents.len() + self.log.len() + self.usage.len()
    }

    /// Drops what is over the bounds, the oldest first. Gives how many.
    fn trim(&mut self) -> u64 {
        let mut dropped = 0;
        for lane in [&mut self.changes, &mut self.objects] {
            let over = lane.len().saturating_sub(ROWS);
            lane.drain(..over);
            dropped += over as u64;
        }
        while self.contents.len() > ROWS || self.content_bytes > CONTENT_BYTES {
            let Some(content) = self.contents.pop_front() else { break };
            self.content_bytes -= bytes_of(&content);
            dropped += 1;
        }
        while self.log.len() > ROWS {
            let Some(entry) = self.log.pop_front() else { break };
            self.usage.count(&entry);
            dropped += 1;
        }
        dropped
    }
}

fn bytes_of(content: &Content) -> usize {
    match content {
        Content::Call { said, .. } | Content::Answer { said, .. } => said.len(),
        Content::Deleted { .. } => 0,
    }
}

/// The queue between requests and the writer.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    /// The number of the last batch that is on disk.
    written: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    /// The number of the batch that gathers.
    number: u64,
    /// Somebody waits for it.
    urgent: bool,
    stopping: bool,
    dropped: u64,
    /// Since the start.
    all_dropped: u64,
    write_errors: u64,
}

/// How a store is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Rows that wait to be written.
    pub(crate) waiting: usize,
    /// Rows that fell out of the queue since the start.
    pub(crate) dropped: u64,
    /// Attempts to write that failed since the start.
    pub(crate) write_errors: u64,
}

/// What the writer is to do.
pub(crate) enum Next {
    /// Write this.
    Write(Batch, u64),
    /// There was nothing for a while.
    Nothing,
    /// All is written, and nothing will follow.
    Stop,
}

impl Default for Queue {
    fn default() -> Self {
        let state = State { number: 1, ..State::default() };
        Self { state: Mutex::new(state), wake: Condvar::new(), written: watch::Sender::new(0) }
    }
}

impl Queue {
    /// Puts in what was learned.
    pub(crate) fn learned(&self, changes: Vec<StateChange>, contents: Vec<Content>) {
        if changes.is_empty() && contents.is_empty() {
            return;
        }
        self.put(|batch| {
            for change in changes {
                let is_object = matches!(change, StateChange::Object { .. } | StateChange::Forgotten { .. });
                if is_object { &mut batch.objects } else { &mut batch.changes }.push_back(change);
            }
            batch.content_bytes += contents.iter().map(bytes_of).sum::<usize>();
            batch.contents.extend(contents);
        });
    }

    /// Puts in that a request has ended.
    pub(crate) fn ended(&self, entry: Entry) {
        self.put(|batch| batch.log.push_back(entry));
    }

    fn put(&self, put: impl FnOnce(&mut Batch)) {
        let mut state = self.locked();
        let was = state.batch.len();
        put(&mut state.batch);
        let dropped = state.batch.trim();
        if dropped > 0 && state.dropped == 0 {
            tracing::warn!(
                "the store cannot be written as fast as there is something to write: what is oldest is dropped; \
                 requests are served all the same"
            );
        }
        state.dropped += dropped;
        state.all_dropped += dropped;
        if was == 0 || (was < ENOUGH && state.batch.len() >= ENOUGH) {
            self.wake.notify_one();
        }
    }

    /// Ready once all that was put in before is on disk.
    pub(crate) async fn flushed(&self) {
        let mut written = self.written.subscribe();
        let number = {
            let mut state = self.locked();
            state.urgent = true;
            self.wake.notify_one();
            // Where nothing gathers, the batch before may still be on its way.
            if state.batch.len() == 0 { state.number - 1 } else { state.number }
        };
        // The sender is this queue's own.
        let _ = written.wait_for(|written| *written >= number).await;
    }

    /// Nothing more will come: the writer writes what there is, and ends.
    pub(crate) fn stop(&self) {
        self.locked().stopping = true;
        self.wake.notify_one();
    }

    /// Whether the writer is to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.locked().stopping
    }

    /// Waits for something to write, at most so long; then for a while for more.
    pub(crate) fn next(&self, patience: Duration) -> Next {
        let mut state = self.locked();
        if state.batch.len() == 0 && !state.stopping {
            state.urgent = false;
            state = self.wait(state, patience);
        }
        let until = Instant::now() + GATHERED;
        while state.batch.len() > 0 && state.batch.len() < ENOUGH && !state.urgent && !state.stopping {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
        if state.batch.len() == 0 {
            return if state.stopping { Next::Stop } else { Next::Nothing };
        }
        let number = state.number;
        state.number += 1;
        state.urgent = false;
        Next::Write(mem::take(&mut state.batch), number)
    }

    /// Waits between two attempts to write.
    pub(crate) fn pause(&self, pause: Duration) {
        let state = self.locked();
        if !state.stopping {
            drop(self.wait(state, pause));
        }
    }

    /// A batch could not be written.
    pub(crate) fn note_write_error(&self) {
        self.locked().write_errors += 1;
    }

    pub(crate) fn figures(&self) -> Figures {
        let state = self.locked();
        Figures { waiting: state.batch.len(), dropped: state.all_dropped, write_errors: state.write_errors }
    }

    /// A batch is on disk.
    pub(crate) fn is_written(&self, number: u64) {
        self.written.send_replace(number);
        let mut state = self.locked();
        if state.dropped > 0 && state.batch.len() < ENOUGH {
            tracing::info!(dropped = state.dropped, "the store has caught up");
            state.dropped = 0;
        }
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State>, patience: Duration) -> MutexGuard<'a, State> {
        self.wake.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use libra_core::pool::ProjectId;
    use libra_core::time::Timestamp;

    use super::super::tests::ended;
    use super::*;

    fn rest(number: u64) -> StateChange {
        let until = Timestamp::from_millis(number);
        StateChange::Rest { project: ProjectId::from_u64(number), model: None, until }
    }

    #[test]
    fn what_waits_is_bounded_and_the_oldest_goes() {
        let queue = Queue::default();
        let more = 10;
        queue.learned((0..(ROWS + more) as u64).map(rest).collect(), Vec::new());
        let entry = ended(0);
        for number in 0..(ROWS + more) as u64 {
            queue.ended(Entry { at: Timestamp::from_millis(number), ..entry.clone() });
        }
        let said = vec![0; CONTENT_BYTES / 3].into();
        let call = Content::Call { name: [0; 16], said };
        queue.learned(Vec::new(), vec![call; 5]);
        let Next::Write(batch, 1) = queue.next(Duration::ZERO) else { panic!("there is something") };
        assert_eq!((batch.changes.len(), batch.changes.front()), (ROWS, Some(&rest(more as u64))));
        assert_eq!((batch.log.len(), batch.log[0].at.as_millis()), (ROWS, more as u64));
        assert_eq!(batch.contents.len(), 3);
        let counted: u64 = batch.usage.iter().map(|(_, counts)| counts.requests).sum();
        assert_eq!(counted, more as u64, "they are counted all the same");
        assert_eq!(queue.locked().dropped, 22);
        queue.is_written(1);
        assert_eq!(queue.locked().dropped, 0);
        assert!(matches!(queue.next(Duration::ZERO), Next::Nothing));
    }

    #[tokio::test]
    async fn whoever_waits_for_a_row_waits_for_its_batch() {
        let queue = Queue::default();
        queue.flushed().await;
        queue.learned(vec![rest(1)], Vec::new());
        let waits = queue.flushed();
        let mut waits = std::pin::pin!(waits);
        let soon = tokio::time::timeout(Duration::from_millis(10), &mut waits);
        assert!(soon.await.is_err(), "it is not on disk");
        let began = Instant::now();
        let Next::Write(_, number) = queue.next(Duration::ZERO) else { panic!("there is something") };
        assert!(began.elapsed() < GATHERED, "somebody waits: nothing is gathered");
        queue.learned(vec![rest(2)], Vec::new());
        queue.is_written(number);
        waits.await;
    }

    #[test]
    fn what_is_left_is_written_before_the_end() {
        let queue = Queue::default();
        queue.learned(vec![rest(1)], Vec::new());
        queue.stop();
        assert!(matches!(queue.next(Duration::ZERO), Next::Write(..)));
        assert!(matches!(queue.next(Duration::from_secs(9)), Next::Stop));
    }
}
