//! Which keys share a project, learned from how their quotas run out.
//!
//! Google counts by project, and seldom says which one a key belongs to. A quota that is refused although far fewer
//! requests were sent than its limit is *surprised*: somebody else uses it. When it will be free again follows from the
//! oldest request that counts, whoever sent it; so two keys of one project are told the same moment, and two of different
//! projects seldom are. How seldom is known from those that are strangers for certain, as one was served while the other
//! was refused; it decides how many such moments are enough. Where minutes are fixed everybody is told the same moment,
//! and nothing is concluded.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::time::Timestamp;

/// How likely a wrong verdict may be.
const ERROR: f64 = 1e-6;

/// At least so many proofs.
const PROOFS: f64 = 6.0;

/// A used-up quota comes back in the same places of every minute, and two strangers may have one of them in common:
/// proofs count that are so far apart within the minute, in milliseconds.
const PLACES: u64 = 4_000;
const MINUTE: u64 = 60_000;

/// Chance is taken to have brought strangers together so many times more than was seen: without strangers to learn it
/// from, nothing is proven.
const CAUTION: f64 = 3.0;

/// Two words of one moment differ by no more than this.
const SAME: Duration = Duration::from_millis(600);

/// Two moments that are to say anything of their own are so far from each other.
const APART: Duration = Duration::from_secs(10);

/// Google's word of when a quota is free again may be late by this.
const LATE: Duration = Duration::from_secs(2);

/// So many pairs are remembered; beyond, nothing new is learned.
const PAIRS: usize = 50_000;

/// So many surprises are watched at once for one model.
const SURPRISES: usize = 32;

/// The experiments with strangers are halved whenever there are so many: what chance does now is what counts.
const EXPERIMENTS: f64 = 200.0;

/// What is known of pairs of projects, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Together {
    pairs: HashMap<(u32, u32), Pair>,
    models: HashMap<Box<str>, Vec<Surprise>>,
    /// How often strangers were told the same moment, and another one.
    same: f64,
    other: f64,
}

#[derive(Debug, Default)]
struct Pair {
    /// The places in the minute at which the two were told the same moment, since they were told different ones.
    proofs: Vec<u64>,
    /// The end of the rest in which they were compared last: once a rest.
    until: Timestamp,
    strangers: bool,
}

/// A quota that was refused before its time.
#[derive(Debug, Clone, Copy)]
struct Surprise {
    project: u32,
    /// The number of the last lease given out before: what began later, began while this one was used up.
    after: u64,
    until: Timestamp,
    /// What of its quota this key has certainly used.
    served: u64,
}

/// A refusal that came before its time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) project: u32,
    /// The number of the lease that was refused, and of the last one so far.
    pub(super) lease: u64,
    pub(super) last_lease: u64,
    /// When the quota is free again.
    pub(super) until: Timestamp,
    /// What the own keys were served of it in the running minute, of how many that may be.
    pub(super) served: u64,
    pub(super) limit: u64,
}

impl Together {
    /// A project was surprised. The projects that are now known to be the same.
    pub(super) fn surprised(&mut self, refusal: &Refusal, model: &str, now: Timestamp) -> Vec<u32> {
        let Refusal { project, until, served, .. } = *refusal;
        if !self.models.contains_key(model) {
            self.models.retain(|_, surprises| surprises.iter().any(|surprise| surprise.until > now));
            self.models.insert(model.into(), Vec::new());
        }
        let enough = self.enough();
        let Some(surprises) = self.models.get_mut(model) else { return Vec::new() };
        surprises.retain(|surprise| surprise.until > now);
        let mut alike = Vec::new();
        for other in surprises.iter().filter(|other| other.project != project && other.after < refusal.lease)
        {
            let Some(pair) = pair(&mut self.pairs, project, other.project) else { continue };
            // Two that were served more than one quota gives have two. One request may count here a little longer.
            pair.strangers |= served + other.served > refusal.limit + 1;
            if other.until <= pair.until + APART {
                continue;
            }
            pair.until = other.until;
            let is_same = until.since(other.until).max(other.until.since(until)) <= SAME;
            match (pair.strangers, is_same) {
                (true, true) => self.same += 1.0,
                (true, false) => self.other += 1.0,
                (false, false) => pair.proofs.clear(),
                (false, true) => {
                    pair.prove(until);
                    if pair.proofs.len() as f64 >= enough {
                        alike.push(other.project);
                    }
                }
            }
        }
        surprises.retain(|surprise| surprise.project != project);
        if surprises.len() < SURPRISES {
            surprises.push(Surprise { project, after: refusal.last_lease, until, served });
        }
        if self.same + self.other > EXPERIMENTS {
            (self.same, self.other) = (self.same / 2.0, self.other / 2.0);
        }
        alike
    }

    /// A project was served for a model, by a lease of this number: whoever was surprised before and rests still is a
    /// stranger to it, as one quota is not used up and free at once.
    pub(super) fn served(&mut self, project: u32, model: &str, lease: u64, now: Timestamp) {
        let Some(surprises) = self.models.get(model) else { return };
        for other in surprises {
            if other.project == project || other.after >= lease || now + LATE >= other.until {
                continue;
            }
            if let Some(pair) = pair(&mut self.pairs, project, other.project) {
                pair.strangers = true;
            }
        }
    }

    /// A project has become another one: what was known of its number is of no more use.
    pub(super) fn forget(&mut self, project: u32) {
        self.pairs.retain(|(one, other), _| *one != project && *other != project);
        self.models.values_mut().for_each(|all| all.retain(|surprise| surprise.project != project));
    }

    /// [`forget`](Self::forget) for many at once.
    pub(super) fn forget_all(&mut self, projects: &BTreeSet<u32>) {
        if projects.is_empty() {
            return;
        }
        self.pairs.retain(|(one, other), _| !projects.contains(one) && !projects.contains(other));
        self.models.values_mut().for_each(|all| all.retain(|surprise| !projects.contains(&surprise.project)));
    }

    /// How many proofs are enough: so many in a row would hardly be chance.
    fn enough(&self) -> f64 {
        let chance = (self.same + CAUTION) / (self.same + self.other + CAUTION);
        if chance < 1.0 { (ERROR.ln() / chance.ln()).ceil().max(PROOFS) } else { f64::INFINITY }
    }
}

impl Pair {
    fn prove(&mut self, until: Timestamp) {
        let place = until.as_millis() % MINUTE;
        let near = |&known: &u64| {
            let apart = (place + MINUTE - known) % MINUTE;
            apart.min(MINUTE - apart) < PLACES
        };
        if !self.proofs.iter().any(near) {
            self.proofs.push(place);
        }
    }
}

fn pair(pairs: &mut HashMap<(u32, u32), Pair>, one: u32, other: u32) -> Option<&mut Pair> {
    let names = (one.min(other), one.max(other));
    if pairs.len() >= PAIRS && !pairs.contains_key(&names) {
        return None;
    }
    Some(pairs.entry(names).or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    const NONE: Vec<u32> = Vec::new();

    fn at(minute: u64, millis: u64) -> Timestamp {
        NOW + Duration::from_millis(60_000 * minute + millis)
    }

    /// A refusal in some second of a minute, which is told a moment of that minute in milliseconds.
    fn refused(
        together: &mut Together,
        (project, served): (u32, u64),
        (minute, second, until): (u64, u64, u64),
    ) -> Vec<u32> {
        let lease = minute * 100 + second;
        let until = at(minute, until);
        let refusal = Refusal { project, lease, last_lease: lease, until, served, limit: 10 };
        together.surprised(&refusal, "m", at(minute, second * 1000))
    }

    /// In every minute 1 and 2 are refused, having been served so much, and told these moments; 3 is served meanwhile, and
    /// refused itself later. The first minute after which 1 and 2 are one project.
    fn found(served: u64, told: impl Fn(u64) -> (u64, u64)) -> Option<u64> {
        let mut together = Together::default();
        (0..200).find(|&minute| {
            let (one, two) = told(minute);
            assert_eq!(refused(&mut together, (1, served), (minute, 1, one)), NONE);
            let alike = refused(&mut together, (2, served), (minute, 2, two));
            assert_eq!(refused(&mut together, (2, served), (minute, 3, two)), NONE, "once a rest");
            together.served(3, "m", minute * 100 + 5, at(minute, 5_000));
            let other = 30_000 + minute * 11_000 % 23_000;
            assert_eq!(refused(&mut together, (3, 3), (minute, 6, other)), NONE);
            alike == [1]
        })
    }

    fn same(minute: u64) -> (u64, u64) {
        (20_000 + minute * 7_300 % 39_000, 20_200 + minute * 7_300 % 39_000)
    }

    #[test]
    fn who_is_told_the_same_moments_is_the_same() {
        let found = found(5, same);
        assert!(found.is_some_and(|minute| (7..40).contains(&minute)), "{found:?}");
    }

    #[test]
    fn who_is_told_other_moments_is_not() {
        let now_and_then = |minute| match minute % 4 {
            0 => (40_000, 40_100),
            _ => (30_000 + minute * 1_300 % 20_000, 50_500),
        };
        assert_eq!(found(5, now_and_then), None);
    }

    #[test]
    fn who_is_served_more_than_one_quota_gives_is_not() {
        assert_eq!(found(6, same), None);
    }

    #[test]
    fn where_everybody_is_told_the_same_nothing_is_proven() {
        let mut together = Together::default();
        for minute in 0..500 {
            for project in 1..10 {
                let told = (minute, u64::from(project), 59_000);
                assert_eq!(refused(&mut together, (project, 4), told), NONE);
            }
        }
    }

    #[test]
    fn who_is_served_meanwhile_is_a_stranger_for_ever() {
        let mut together = Together::default();
        assert_eq!(refused(&mut together, (1, 5), (0, 1, 50_000)), NONE);
        together.served(2, "m", 5, at(0, 3_000));
        for minute in 1..100 {
            assert_eq!(refused(&mut together, (1, 5), (minute, 1, 50_000)), NONE);
            assert_eq!(refused(&mut together, (2, 5), (minute, 2, 50_000)), NONE);
        }
    }
}
