//! The way back from a wrong guess of which keys share a project.
//!
//! Keys that were joined wrongly are never used beyond one quota, so that nothing contradicts the guess. So now and then,
//! when such a project has certainly used up a minute's quota and nobody else has room, one more request is sent: a refusal
//! confirms the guess, and makes the next trial rarer; an answer shows that there is more than one quota, and the keys are
//! taken apart.

use std::collections::HashMap;
use std::time::Duration;

use super::choose::{LOOKED_AT, Want};
use super::table::Table;
use super::{By, LeaseId, Pool};
use crate::secret::KeyId;
use crate::time::Timestamp;

/// A guess is tried so long after it was made, and each time after twice as long.
const FIRST: Duration = Duration::from_secs(300);
const SELDOM: u32 = 8;

/// What is guessed, by the projects' numbers.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    tried: HashMap<u32, Tried>,
    /// Requests that try, and which project.
    trials: Vec<(LeaseId, u32)>,
}

#[derive(Debug)]
struct Tried {
    times: u32,
    next: Timestamp,
}

impl Guesses {
    /// A project was put together by a guess, or changed.
    pub(super) fn made(&mut self, project: u32, now: Timestamp) {
        self.tried.insert(project, Tried { times: 0, next: now + FIRST });
    }

    pub(super) fn forget(&mut self, project: u32) {
        self.tried.remove(&project);
        self.trials.retain(|(_, tried)| *tried != project);
    }

    /// This request tries.
    pub(super) fn try_with(&mut self, lease: LeaseId, project: u32) {
        self.trials.push((lease, project));
    }

    fn is_due(&self, project: u32, now: Timestamp) -> bool {
        self.tried.get(&project).is_some_and(|tried| tried.next <= now)
            && self.trials.iter().all(|(_, other)| *other != project)
    }

    /// A request was refused for a quota of the minute.
    pub(super) fn trial_failed(&mut self, lease: LeaseId, now: Timestamp) {
        if let Some(project) = self.trial_ended(lease)
            && let Some(tried) = self.tried.get_mut(&project)
        {
            tried.times += 1;
            tried.next = now + FIRST * (1 << tried.times.min(SELDOM));
        }
    }

    /// A request has ended, without a word. The project that it tried.
    pub(super) fn trial_ended(&mut self, lease: LeaseId) -> Option<u32> {
        let at = self.trials.iter().position(|(trial, _)| *trial == lease)?;
        Some(self.trials.swap_remove(at).1)
    }
}

impl Pool {
    /// A project that was put together by a guess which is to be tried now, and its key for the request.
    pub(super) fn guess_to_try(
        &mut self,
        table: &mut Table,
        want: &Want<'_>,
        now: Timestamp,
    ) -> Option<(u32, usize)> {
        if self.guesses.tried.is_empty() {
            return None;
        }
        // Whether minutes slide may be unknown: then the quota has to be used up either way.
        let around = self.minutes.around(now);
        let waking: Vec<u32> = table.waking().take(LOOKED_AT).map(|(_, project)| project).collect();
        waking.into_iter().find_map(|project| {
            let is_free = self.standing_of(project).blocked_until <= now;
            let tries = is_free
                && self.guesses.is_due(project, now)
                && !self.projects[project as usize].known
                && table.is_surely_full(project, around, now);
            if !tries {
                return None;
            }
            self.next_key(project, want).map(|slot| (project, slot))
        })
    }

    /// Somebody was answered: if that tried a guess, it was wrong, and whoever was joined by it is a project of its own.
    pub(super) fn refute_guess(&mut self, lease: LeaseId, now: Timestamp) {
        let Some(project) = self.guesses.trial_ended(lease) else { return };
        let guessed = self.keys.iter().filter(|key| key.project == project);
        let guessed = guessed.filter(|key| key.kinship.joined.is_some_and(|(by, _)| by == By::Quotas));
        for key in guessed.map(|key| key.key.id()).collect::<Vec<KeyId>>() {
            // The last of them is alone when the others have left.
            let _ = self.split_key(key, By::Quotas, now);
        }
        self.guesses.forget(project);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PoolKey, Strategy};
    use crate::failure::{Class, Consequence, Elsewhere, Failure, Limit, LimitKind};
    use crate::pool::{Pick, PoolSettings};
    use crate::secret::ApiKey;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const MODEL: &str = "m";

    fn at(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    /// Two keys that are taken for one project, which has used up its two requests of the minute.
    fn joined() -> Pool {
        let keys = ["a", "b"].map(|key| PoolKey::from(ApiKey::new(key)));
        let mut pool = Pool::new(&keys, PoolSettings::only(Strategy::Headroom), 1);
        let [one, other] = ["a", "b"].map(|key| ApiKey::new(key).id());
        pool.join_keys(one, other, By::Quotas, NOW).expect("nobody has said anything");
        let limit = Limit { family: None, kind: LimitKind::RequestsPerMinute, value: 2 };
        pool.failed(one, Some(MODEL), &refused(limit, Consequence::Nothing), NOW);
        for second in [400, 401] {
            assert!(serve(&mut pool, at(second)));
        }
        pool
    }

    fn refused(limit: Limit, consequence: Consequence) -> Failure {
        let failure = Failure::new(Class::QuotaMinute, Elsewhere::All, "made up");
        Failure { limits: vec![limit], consequence, ..failure }
    }

    fn take(pool: &mut Pool, now: Timestamp) -> Option<(LeaseId, KeyId)> {
        match pool.pick(&Want { model: Some(MODEL), tokens: 1, ..Want::default() }, now) {
            Pick::Ready { lease, key } => Some((lease, key.id())),
            _ => None,
        }
    }

    fn serve(pool: &mut Pool, now: Timestamp) -> bool {
        let Some((lease, key)) = take(pool, now) else { return false };
        pool.succeeded(key, Some(MODEL), now);
        pool.used(lease, MODEL, crate::event::Usage::default(), now);
        pool.release(lease);
        true
    }

    #[test]
    fn an_answer_beyond_the_quota_takes_apart_what_was_guessed() {
        let mut pool = joined();
        assert_eq!(pool.projects(), 1);
        assert!(serve(&mut pool, at(410)), "one more is tried");
        assert_eq!(pool.projects(), 2);
        assert!(pool.guesses.tried.is_empty() && pool.guesses.trials.is_empty());
    }

    #[test]
    fn a_refusal_confirms_a_guess_and_it_is_tried_more_seldom() {
        let mut pool = joined();
        let (lease, _) = take(&mut pool, at(410)).expect("one more is tried");
        let limit = Limit { family: None, kind: LimitKind::RequestsPerMinute, value: 2 };
        let rest = Consequence::RestModel(at(460));
        pool.lease_failed(lease, Some(MODEL), &refused(limit, rest), at(410));
        pool.release(lease);
        assert_eq!(pool.projects(), 1);
        for second in [470, 471] {
            assert!(serve(&mut pool, at(second)));
        }
        assert!(!serve(&mut pool, at(480)), "not so soon");
    }
}
