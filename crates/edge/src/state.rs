//! What outlives an isolate, and is shared by several: what was learned of keys, projects and objects, what conversations
//! have left behind, and keys that were added while the gateway runs.
//!
//! What serves is memory, as everywhere; a store is read when an isolate starts and, where others write into it, every few
//! seconds beside a request. What was learned is written behind, in batches. A store that is slow or fails holds no request
//! up for long, and fails none.

mod keys;
mod redis;
mod store;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use libra_core::contents::{Content, ContentName, KeptContent};
use libra_core::pool::Record;
use libra_core::seal::Seal;
use libra_core::secret::ApiKey;
use libra_core::time::Timestamp;
use wasm_bindgen::prelude::JsValue;
use wasm_bindgen_futures::future_to_promise;

pub(crate) use self::keys::change as change_keys;
use self::redis::Redis;
pub use self::store::PlatformStore;
use self::store::{Failed, Read, Store};
use crate::bell::Bell;
use crate::clock::{self, Sleep};
use crate::js;
use crate::platform::Platform;
use crate::shell::Shell;

/// How long the first request of an isolate waits for what is known, and any request for what it goes on from.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long where there is no other key than those that are kept.
const PATIENCE_FOR_KEYS: Duration = Duration::from_secs(3);

/// What others have written is read so often at most, beside a request: commands are counted by those who offer stores. One
/// that comes after a longer pause waits for it.
const REFRESHED: Duration = Duration::from_secs(10);
const STALE: Duration = Duration::from_secs(60);

/// An isolate writes so often at most.
const WRITTEN: Duration = Duration::from_secs(1);

/// After a failure, nothing is tried for so long.
const PAUSE: Duration = Duration::from_secs(5);

/// Work that was begun and has not ended by then was given up by the platform, with the request that it belonged to.
const GIVEN_UP: Duration = Duration::from_secs(15);

/// So many records and contents go out at once: stores take requests of a megabyte.
const BATCH: usize = 500;
const BATCH_OF_CONTENTS: usize = 20;

/// So much waits to be written; beyond, the oldest are dropped, and are missed by others only.
const MOST_RECORDS: usize = 5_000;
const MOST_CONTENTS: usize = 200;

/// So many answers of one conversation are looked for, one after the other: each costs a call.
const LONGEST_CHAIN: usize = 16;

/// As the native server asks for: a shorter secret could be guessed by whoever has the store.
const SHORTEST_SECRET: usize = 32;

/// What an isolate knows of the store.
pub(crate) struct State {
    redis: Option<Redis>,
    seal: Option<Seal>,
    /// When it was read last.
    read_at: Cell<Option<Timestamp>>,
    cursor: RefCell<Option<String>>,
    /// Since when somebody reads, and since when somebody writes.
    reading: Cell<Option<Timestamp>>,
    writing: Cell<Option<Timestamp>>,
    written_at: Cell<Timestamp>,
    failed_at: Cell<Option<Timestamp>>,
    records: RefCell<VecDeque<Record>>,
    contents: RefCell<VecDeque<Leaving>>,
    /// The keys that are kept there, as they were read last.
    keys: RefCell<Vec<String>>,
}

/// A content on its way out.
enum Leaving {
    Kept(KeptContent),
    /// The answer of this name is not shown any more.
    Deleted(ContentName),
}

impl State {
    /// By settings.
    ///
    /// # Errors
    /// What cannot be used, without a secret.
    pub(crate) fn configured(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let secret = variable("LIBRA_SECRET").map(|secret| secret.trim().to_owned());
        let secret = secret.filter(|secret| !secret.is_empty());
        if secret.as_ref().is_some_and(|secret| secret.len() < SHORTEST_SECRET) {
            return Err(format!("LIBRA_SECRET: {SHORTEST_SECRET} characters or more are needed"));
        }
        Ok(Self {
            redis: Redis::configured(variable)?,
            seal: secret.map(|secret| Seal::of(&ApiKey::new(&secret))),
            read_at: Cell::new(None),
            cursor: RefCell::new(None),
            reading: Cell::new(None),
            writing: Cell::new(None),
            written_at: Cell::new(Timestamp::EPOCH),
            failed_at: Cell::new(None),
            records: RefCell::default(),
            contents: RefCell::default(),
            keys: RefCell::default(),
        })
    }

    /// The store of a request; a Redis comes before the platform's own.
    fn store(&self, platform: &Platform) -> Option<Store> {
        self.redis.clone().map(Store::Redis).or_else(|| platform.state().map(Store::Platform))
    }

    /// Whether what conversations leave behind is kept: sealed, or not at all.
    pub(crate) fn keeps_contents(&self, platform: &Platform) -> bool {
        self.seal.is_some() && self.store(platform).is_some()
    }

    fn has_failed(&self, now: Timestamp) -> bool {
        self.failed_at.get().is_some_and(|at| now < at + PAUSE)
    }

    fn fail(&self, what: &str, why: &Failed) {
        self.failed_at.set(Some(clock::now()));
        let line = serde_json::json!({ "event": "state", "problem": format!("{what}: {why}") });
        js::log_error(&line.to_string());
    }
}

/// Waits until this isolate knows what is kept, but not for long, and looks now and then for what is new.
pub(crate) async fn ready(shell: &Rc<Shell>, platform: &Platform) {
    let state = &shell.state;
    let Some(store) = state.store(platform) else { return };
    let now = clock::now();
    let age = state.read_at.get().map(|at| now.since(at));
    if age.is_some_and(|age| store.is_alone() || age < REFRESHED) {
        return;
    }
    let is_read = Rc::new(Bell::default());
    let is_being_read = state.reading.get().is_some_and(|since| now < since + GIVEN_UP);
    if !is_being_read && !state.has_failed(now) {
        state.reading.set(Some(now));
        let (shell, is_read) = (Rc::clone(shell), Rc::clone(&is_read));
        let reading = future_to_promise(async move {
            read(&shell, &store).await;
            is_read.ring();
            Ok(JsValue::UNDEFINED)
        });
        platform.keep_up(&reading);
    } else if !is_being_read {
        return;
    }
    if age.is_some_and(|age| age < STALE) {
        return;
    }
    let (pool, _) = shell.gateway.pool_size();
    let needs_keys = pool == 0 && !shell.gateway.config().clients.is_empty();
    let end = now + if needs_keys { PATIENCE_FOR_KEYS } else { PATIENCE };
    let mut sleep = Sleep::default();
    // Another request's reading must not wake this one: so it looks.
    while state.reading.get().is_some() && clock::now() < end {
        let look = clock::now() + Duration::from_millis(10);
        poll_fn(|context| match is_read.poll_rung(context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => sleep.poll_until(look.min(end), context),
        })
        .await;
    }
}

/// Reads what is new, and tells the gateway.
async fn read(shell: &Shell, store: &Store) {
    let state = &shell.state;
    // The log of a store is short: after a pause everything is read.
    let is_recent = state.read_at.get().is_some_and(|at| clock::now().since(at) < STALE);
    let after = state.cursor.borrow().clone().filter(|_| is_recent);
    let mut read = store.read(after.as_deref()).await;
    if let Ok(Read { keys, .. }) = &read
        && shell.take_keys(keys)
        && after.is_some()
    {
        // What was said of them before they were known here.
        read = store.read(None).await;
    }
    let now = clock::now();
    state.reading.set(None);
    match read {
        Ok(Read { cursor, records, .. }) => {
            shell.gateway.apply(&Record::changes(records, now), now);
            *state.cursor.borrow_mut() = cursor;
            state.read_at.set(Some(now));
            state.failed_at.set(None);
        }
        Err(why) => state.fail("cannot be read", &why),
    }
}

/// Brings what a request goes on from, where it is kept.
pub(crate) async fn bring(shell: &Rc<Shell>, platform: &Platform, sought: Vec<ContentName>) {
    let state = &shell.state;
    let (Some(store), Some(seal)) = (state.store(platform), &state.seal) else { return };
    if sought.is_empty() || state.has_failed(clock::now()) {
        return;
    }
    let found = within(PATIENCE, find(shell, &store, seal, sought)).await;
    match found {
        Some(Ok(found)) => shell.gateway.restore(found, clock::now()),
        Some(Err(why)) => state.fail("cannot be searched", &why),
        None => state.fail("cannot be searched", &"no answer in time".to_owned()),
    }
}

/// What is kept under these names, and what that goes on from: the beginning of a conversation first.
async fn find(
    shell: &Shell,
    store: &Store,
    seal: &Seal,
    mut sought: Vec<ContentName>,
) -> Result<Vec<Content>, Failed> {
    let mut found = Vec::new();
    for _ in 0..LONGEST_CHAIN {
        let names: Vec<String> = sought.iter().map(ContentName::as_text).collect();
        let kept = store.find(&names).await?;
        let opened: Vec<Content> =
            sought.iter().zip(kept).filter_map(|(name, kept)| name.open(&kept?, seal)).collect();
        sought.clear();
        for content in &opened {
            if let Content::Answer { before: Some(before), .. } = content
                && shell.gateway.lacks_answer(before)
            {
                sought.push(ContentName::Answer(before.clone()));
            }
        }
        found.extend(opened);
        if sought.is_empty() {
            break;
        }
    }
    found.reverse();
    Ok(found)
}

/// Writes what was learned since, soon; to be called when a request has ended.
pub(crate) fn save_soon(shell: &Rc<Shell>, platform: &Platform) {
    let state = &shell.state;
    let now = clock::now();
    let changes = shell.gateway.take_changes();
    let Some(store) = state.store(platform) else { return };
    state.records.borrow_mut().extend(changes.into_iter().map(|change| Record::new(change, now)));
    if let Some(seal) = &state.seal {
        let leaving = shell.gateway.take_contents().into_iter().filter_map(|content| match content {
            Content::Deleted { id } => Some(Leaving::Deleted(ContentName::Answer(id))),
            content => content.kept(seal, js::nonce()?, now).map(Leaving::Kept),
        });
        state.contents.borrow_mut().extend(leaving);
    }
    bound(&mut state.records.borrow_mut(), MOST_RECORDS);
    bound(&mut state.contents.borrow_mut(), MOST_CONTENTS);
    let is_being_written = state.writing.get().is_some_and(|since| now < since + GIVEN_UP);
    if state.is_all_written() || is_being_written || state.has_failed(now) {
        return;
    }
    state.writing.set(Some(now));
    let shell = Rc::clone(shell);
    let writing = future_to_promise(async move {
        let state = &shell.state;
        let mut sleep = Sleep::default();
        poll_fn(|context| sleep.poll_until(state.written_at.get() + WRITTEN, context)).await;
        while !state.is_all_written() {
            if let Err(why) = write(state, &store).await {
                state.fail("cannot be written", &why);
                break;
            }
            state.written_at.set(clock::now());
        }
        state.writing.set(None);
        Ok(JsValue::UNDEFINED)
    });
    platform.keep_up(&writing);
}

/// Writes a batch. What could not be written waits on.
async fn write(state: &State, store: &Store) -> Result<(), Failed> {
    let batch = first(&mut state.records.borrow_mut(), BATCH);
    if !batch.is_empty()
        && let Err(why) = store.write(&batch).await
    {
        let mut records = state.records.borrow_mut();
        batch.into_iter().rev().for_each(|record| records.push_front(record));
        return Err(why);
    }
    let mut kept = Vec::new();
    let mut hidden = Vec::new();
    for leaving in first(&mut state.contents.borrow_mut(), BATCH_OF_CONTENTS) {
        match leaving {
            Leaving::Kept(content) => kept.push(content),
            Leaving::Deleted(name) => hidden.push(name),
        }
    }
    if !kept.is_empty() {
        store.keep(&kept).await?;
    }
    if let (false, Some(seal)) = (hidden.is_empty(), &state.seal) {
        hide(store, seal, &hidden).await?;
    }
    Ok(())
}

/// Keeps answers for those that go on from them, and shows them to nobody.
async fn hide(store: &Store, seal: &Seal, names: &[ContentName]) -> Result<(), Failed> {
    let texts: Vec<String> = names.iter().map(ContentName::as_text).collect();
    let found = store.find(&texts).await?;
    let hidden = names.iter().zip(found).filter_map(|(name, found)| {
        let mut content = name.open(&found?, seal)?;
        if let Content::Answer { shown, .. } = &mut content {
            *shown = false;
        }
        content.kept(seal, js::nonce()?, clock::now())
    });
    store.keep(&hidden.collect::<Vec<_>>()).await
}

impl State {
    fn is_all_written(&self) -> bool {
        self.records.borrow().is_empty() && self.contents.borrow().is_empty()
    }
}

fn bound<T>(waiting: &mut VecDeque<T>, most: usize) {
    let over = waiting.len().saturating_sub(most);
    waiting.drain(..over);
}

fn first<T>(waiting: &mut VecDeque<T>, most: usize) -> Vec<T> {
    let count = waiting.len().min(most);
    waiting.drain(..count).collect()
}

/// What comes of work within a time; none where it takes longer, and then it is dropped.
async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let end = clock::now() + time;
    let mut work = pin!(work);
    let mut sleep = Sleep::default();
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => sleep.poll_until(end, context).map(|()| None),
    })
    .await
}
