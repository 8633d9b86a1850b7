//! Checking keys of the pool, as a job whose progress can be looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use libra_core::check::KeyStatus;
use libra_core::secret::KeyId;
use libra_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::{AdminApi, Answer, Asked, parsed_id};
use crate::checks;
use crate::clock;

/// So many jobs run at a time: each asks Google of five keys at once.
const RUNNING: usize = 2;

/// So many are remembered; the oldest that have ended go first.
const REMEMBERED: usize = 20;

/// Which keys are to be checked.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct VerifyKeys {
    /// Ids of keys; without it, all of the pool.
    #[schema(nullable = false, min_items = 1, max_items = 100000)]
    #[serde(deserialize_with = "super::given")]
    ids: Option<Vec<String>>,
}

/// A check of keys that is under way or has ended.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Job {
    pub(crate) id: u64,
    /// How many keys are checked.
    pub(crate) total: u64,
    /// How many have been.
    pub(crate) done: u64,
    /// Those that serve.
    pub(crate) good: u64,
    /// Those that do not, and will not by waiting.
    pub(crate) bad: u64,
    /// Those of which nothing can be said now: limited, overloaded, unreachable.
    pub(crate) unclear: u64,
    /// Whether it has ended.
    pub(crate) is_over: bool,
    /// Whether it was ended before all were checked.
    pub(crate) is_cancelled: bool,
    #[schema(format = DateTime)]
    pub(crate) started_at: String,
    /// Those that are not good, in the order in which they were found, from the one that was asked for.
    pub(crate) failures: Vec<CheckedKey>,
    /// The `from` of the next failures.
    pub(crate) next: u64,
}

/// A key that is not good.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct CheckedKey {
    pub(crate) id: String,
    /// The key as its owner recognises it.
    pub(crate) masked: String,
    /// `bad` or `unclear`.
    pub(crate) status: String,
    pub(crate) error: Option<String>,
}

/// Which failures are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobAsked {
    /// The place of the first failure that is told: the `next` of the answer before.
    #[param(minimum = 0, maximum = 1000000)]
    from: u64,
}

/// The most failures that one answer tells.
const FAILURES: usize = 1000;

/// All jobs, by number.
#[derive(Default)]
pub(super) struct Jobs {
    jobs: Mutex<BTreeMap<u64, Arc<Running>>>,
}

struct Running {
    job: Mutex<Job>,
    is_cancelled: AtomicBool,
}

impl Jobs {
    fn all(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Running>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, total: usize, now: Timestamp) -> Result<Arc<Running>, Problem> {
        let mut all = self.all();
        if all.values().filter(|running| !running.job().is_over).count() >= RUNNING {
            let message = format!("{RUNNING} checks are under way already: wait for one to end, or end it.");
            return Err(Problem::new(http::StatusCode::CONFLICT, "busy", message));
        }
        while all.len() >= REMEMBERED {
            let Some(oldest) = all.iter().find(|(_, running)| running.job().is_over).map(|(id, _)| *id)
            else {
                break;
            };
            all.remove(&oldest);
        }
        let id = all.keys().next_back().map_or(1, |last| last + 1);
        let job = Job {
            id,
            total: total as u64,
            done: 0,
            good: 0,
            bad: 0,
            unclear: 0,
            is_over: false,
            is_cancelled: false,
            started_at: now.rfc3339(),
            failures: Vec::new(),
            next: 0,
        };
        let running = Arc::new(Running { job: Mutex::new(job), is_cancelled: AtomicBool::new(false) });
        all.insert(id, Arc::clone(&running));
        Ok(running)
    }

    fn find(&self, id: &str) -> Result<Arc<Running>, Problem> {
        let id = id.parse::<u64>().ok();
        let found = id.and_then(|id| self.all().get(&id).cloned());
        found.ok_or_else(|| Problem::not_found("There is no such check, or it was forgotten."))
    }
}

impl Running {
    fn job(&self) -> MutexGuard<'_, Job> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job as it is told, with its failures from this place on.
    fn told(&self, from: u64) -> Job {
        let job = self.job();
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(job.failures.len());
        let failures: Vec<CheckedKey> = job.failures[from..].iter().take(FAILURES).cloned().collect();
        let next = (from + failures.len()) as u64;
        Job { failures, next, started_at: job.started_at.clone(), ..*job }
    }

    fn note(&self, id: KeyId, masked: String, status: KeyStatus, error: Option<String>) {
        let mut job = self.job();
        job.done += 1;
        let status = match status {
            KeyStatus::Good => {
                job.good += 1;
                return;
            }
            KeyStatus::Bad => {
                job.bad += 1;
                "bad"
            }
            KeyStatus::Error => {
                job.unclear += 1;
                "unclear"
            }
        };
        // Bounded by the pool.
        job.failures.push(CheckedKey { id: id.to_string(), masked, status: status.to_owned(), error });
    }
}

impl AdminApi {
    pub(super) async fn begin_check(&self, asked: Asked) -> Result<Answer, Problem> {
        let VerifyKeys { ids } = asked.json()?;
        let mut keys: Vec<_> = self.gateway.config().keys.iter().map(|key| key.key.clone()).collect();
        if let Some(ids) = ids {
            if ids.is_empty() || ids.len() > 100_000 {
                return Err(Problem::wrong_field("ids", "ids: expected 1 to 100000 ids of keys."));
            }
            let wanted: BTreeSet<KeyId> = ids.iter().filter_map(|id| parsed_id(id)).collect();
            keys.retain(|key| wanted.contains(&key.id()));
            if keys.len() < ids.iter().collect::<BTreeSet<_>>().len() {
                return Err(Problem::impossible("Not all of these are keys of the pool."));
            }
        }
        let running = self.jobs.begin(keys.len(), clock::now())?;
        let answer = running.told(0);
        let (gateway, upstream) = (Arc::clone(&self.gateway), Arc::clone(&self.upstream));
        tokio::spawn(async move {
            // In lots, so that a result goes by its key, and an end is soon.
            let mut checks = futures_util::stream::iter(keys)
                .map(|key| {
                    let (gateway, upstream) = (Arc::clone(&gateway), Arc::clone(&upstream));
                    async move {
                        let check = gateway.check(key.clone());
                        let result = checks::results(vec![check], upstream).next().await;
                        (key.id(), result)
                    }
                })
                .buffer_unordered(libra_core::check::CONCURRENT)
                .boxed();
            while let Some((id, result)) = checks.next().await {
                if let Some(result) = result {
                    running.note(id, result.key, result.status, result.error);
                }
                if running.is_cancelled.load(Ordering::Relaxed) {
                    break;
                }
            }
            let mut job = running.job();
            job.is_cancelled = job.done < job.total;
            job.is_over = true;
        });
        Answer::accepted(&answer, &format!("/admin/api/checks/{}", answer.id))
    }

    pub(super) fn check(&self, asked: &Asked, query: JobAsked) -> Result<Answer, Problem> {
        if query.from > 1_000_000 {
            return Err(Problem::wrong_field("from", "from: expected a number up to 1000000."));
        }
        Answer::json(&self.jobs.find(&asked.id)?.told(query.from))
    }

    pub(super) fn end_check(&self, asked: &Asked) -> Result<Answer, Problem> {
        self.jobs.find(&asked.id)?.is_cancelled.store(true, Ordering::Relaxed);
        Ok(Answer::Nothing)
    }
}
