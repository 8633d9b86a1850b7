//! How Google counts minutes: in sliding ones, or in fixed ones that end at one place in the clock's minute.
//!
//! A refusal says when there is room again. With sliding minutes that is when the project's own oldest request leaves;
//! with fixed ones it is the same moment for every project, whatever each has sent.
//!
//! Who keeps to sliding minutes is never refused, and so never told better. So a few requests try: just after a fixed
//! minute would have begun, one more is sent to a project than a sliding minute could have room for. An answer decides;
//! refusals make the next trial rarer.

use std::collections::VecDeque;
use std::time::Duration;

use super::LeaseId;
use super::window::MINUTE;
use crate::time::Timestamp;

/// What the way to Google may take less for a trial than the clock's minute seems to last.
const WAY: Duration = Duration::from_millis(150);

/// Google's word of when a minute ends is as much too late as it took to come here, in milliseconds: what is sent just
/// before then is counted in the next minute.
const LATE: u64 = 120;

/// Words about one moment differ by no more than this: what the way from Google takes more for one than for another.
const SAME: u64 = 400;

/// Own counts that differ from Google's words by so much more for one project than for another, in milliseconds, are
/// counts of something else than what Google counts.
const APART: i64 = 1_500;

/// So many words from projects that differ have to agree.
const WORDS: usize = 3;

/// So many words are kept, and so long.
const KEPT: usize = 16;
const KEPT_FOR: Duration = Duration::from_secs(600);

/// So many requests try at once for the first time: most answers take seconds, and the first one decides.
const TRIALS: usize = 8;

/// And so many later.
const LATER_TRIALS: usize = 2;

/// After refused trials the next ones come after this time, and each time after twice as long.
const REFUSED: Duration = Duration::from_secs(600);
const SELDOM: u32 = 8;

/// What Google has said of late.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    words: VecDeque<Word>,
    /// Where fixed minutes would end by the last word.
    supposed: Option<u64>,
    /// Requests that try, each with the place at which it supposes minutes to end.
    trials: Vec<(LeaseId, u64)>,
    /// How often trials were refused, and when the next may be made.
    refused: u32,
    next_trial: Timestamp,
    /// Where in the clock's minute fixed minutes end, in milliseconds.
    fixed: Option<u64>,
    /// How many words in a row did not agree with that.
    denied: usize,
}

#[derive(Debug, Clone, Copy)]
struct Word {
    project: u32,
    /// When there is room again, by Google's word and by the own count.
    free_at: Timestamp,
    own: Timestamp,
}

impl Minutes {
    /// Where in the clock's minute fixed minutes end, if they are.
    pub(super) fn fixed(&self) -> Option<u64> {
        self.fixed
    }

    /// Google has said when a project has room again: there a fixed minute may end.
    pub(super) fn suppose(&mut self, free_at: Timestamp) {
        self.supposed = Some(phase_of(free_at));
    }

    /// Google has said of a project, all of whose keys are known, when it has room again; the own count, taken to slide,
    /// says `own`. Whether this changes what is known.
    pub(super) fn heard(&mut self, project: u32, free_at: Timestamp, own: Timestamp, now: Timestamp) -> bool {
        self.words.retain(|word| now.since(word.free_at) <= KEPT_FOR && word.project != project);
        if self.words.len() >= KEPT {
            self.words.pop_front();
        }
        self.words.push_back(Word { project, free_at, own });
        if let Some(phase) = self.fixed {
            self.denied = if is_near(phase, free_at) { 0 } else { self.denied + 1 };
            if self.denied >= WORDS {
                *self = Self { supposed: self.supposed, ..Self::default() };
                return true;
            }
            return false;
        }
        let agreeing = self.words.iter().filter(|word| is_near(phase_of(free_at), word.free_at));
        let offs: Vec<i64> =
            agreeing.map(|word| word.own.as_millis() as i64 - word.free_at.as_millis() as i64).collect();
        let spread = offs.iter().max().zip(offs.iter().min()).map_or(0, |(most, least)| most - least);
        if offs.len() < WORDS || spread < APART {
            return false;
        }
        self.settle(phase_of(free_at));
        true
    }

    fn settle(&mut self, phase: u64) {
        self.fixed = Some((phase + MINUTE - LATE) % MINUTE);
        self.denied = 0;
        self.refused = 0;
        self.trials.clear();
    }

    /// Whether a trial may be made at a moment.
    pub(super) fn may_try(&self, at: Timestamp) -> bool {
        let most = if self.refused == 0 { TRIALS } else { LATER_TRIALS };
        self.fixed.is_none() && self.supposed.is_some() && self.trials.len() < most && at >= self.next_trial
    }

    /// When the fixed minute began in which now lies, and when a request is surely in the next, if minutes are as they are
    /// supposed to be.
    pub(super) fn around(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let into = (now.as_millis() + MINUTE - self.supposed?) % MINUTE;
        let began = now - Duration::from_millis(into);
        Some((began, began + Duration::from_millis(MINUTE) + WAY))
    }

    /// This request tries.
    pub(super) fn try_with(&mut self, lease: LeaseId) {
        self.trials.extend(self.supposed.map(|phase| (lease, phase)));
    }

    /// A request was answered. Whether this changes what is known.
    pub(super) fn trial_served(&mut self, lease: LeaseId) -> bool {
        let Some(&(_, phase)) = self.trials.iter().find(|(trial, _)| *trial == lease) else { return false };
        self.settle(phase);
        true
    }

    /// A request was refused for a quota of the minute.
    pub(super) fn trial_failed(&mut self, lease: LeaseId, now: Timestamp) {
        if !self.trials.iter().any(|(trial, _)| *trial == lease) {
            return;
        }
        self.trial_ended(lease);
        if now >= self.next_trial {
            self.next_trial = now + REFUSED * (1 << self.refused.min(SELDOM));
            self.refused += 1;
        }
    }

    /// A request has ended, without a word.
    pub(super) fn trial_ended(&mut self, lease: LeaseId) {
        self.trials.retain(|(trial, _)| *trial != lease);
    }
}

fn phase_of(at: Timestamp) -> u64 {
    at.as_millis() % MINUTE
}

/// Whether a moment lies at a place in the clock's minute.
fn is_near(phase: u64, at: Timestamp) -> bool {
    let apart = (phase_of(at) + MINUTE - phase) % MINUTE;
    apart <= SAME || apart >= MINUTE - SAME
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    /// Words of projects one after the other, as (Google's, own) milliseconds from now, and the phase they show.
    fn check(words: &[(u64, u64)], expected: Option<u64>) {
        let mut minutes = Minutes::default();
        for (project, &(free_at, own)) in (0..).zip(words) {
            let at = |millis| NOW + Duration::from_millis(millis);
            minutes.heard(project, at(free_at), at(own), NOW);
        }
        assert_eq!(minutes.fixed(), expected, "{words:?}");
    }

    #[test]
    fn fixed_minutes_end_for_all_at_once() {
        check(&[(20_000, 20_500), (20_100, 22_000), (19_950, 24_000)], Some(19_950 - LATE));
        check(&[(20_000, 20_500), (20_100, 22_000)], None);
        // Everybody's own count says the same: it may be chance.
        check(&[(20_000, 20_500), (20_100, 21_000), (19_950, 20_200)], None);
        // Sliding minutes: each word follows its own count.
        check(&[(20_000, 20_500), (21_600, 22_000), (23_700, 24_000), (25_000, 26_000)], None);
    }

    #[test]
    fn words_that_deny_it_end_it() {
        let mut minutes = Minutes { fixed: Some(20_000), ..Minutes::default() };
        let at = |millis| NOW + Duration::from_millis(millis);
        assert!(
            !minutes.heard(1, at(30_000), at(30_100), NOW) && !minutes.heard(2, at(31_000), at(31_000), NOW)
        );
        assert!(!minutes.heard(1, at(80_100), at(90_000), NOW), "one that agrees");
        assert!(
            !minutes.heard(1, at(30_000), at(30_100), NOW) && !minutes.heard(2, at(31_000), at(31_000), NOW)
        );
        assert!(minutes.heard(3, at(32_000), at(32_000), NOW) && minutes.fixed().is_none());
    }
}
