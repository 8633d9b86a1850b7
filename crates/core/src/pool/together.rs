//! Which keys share a project, learned from how their quotas run out.
//!
//! Google counts by project, and seldom says which one a key belongs to. A quota that is refused although far fewer
//! requests were sent than its limit is *surprised*: somebody else uses it. Who does is found in three steps.
//!
//! *Strangers* are found first, for certain: one was served while the other was refused, or both together were served
//! more than one quota gives. Google says when a quota is free again, and what counts is what was served in the minute
//! before that, whether minutes slide or are fixed; so both hold for either.
//!
//! *Accounts*: at a refusal, exactly the limit was used. Where those that are not strangers come to it together with one
//! key, and not without it, that key is one of them. Nobody but the pool may use the project for this.
//!
//! *Trials*: two that are refused together again and again, told the same moment, while neither was ever served when the
//! other was not. This holds whoever else uses the project, and takes longer: loads come in waves that meet everybody, and
//! where minutes are fixed all are told the same moment. So a trial counts by how many others were served meanwhile, and by
//! how seldom strangers are told the same moment.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::time::Timestamp;

/// How likely a wrong verdict may be.
const ERROR: f64 = 1e-6;

/// Trials are not as independent of each other as they should be: so much more they have to show than the error asks for.
const DEPENDENT: f64 = 2.0;

/// Trials count once so many were served while another rested: where all run out at once, to be refused says nothing.
const SERVED_MEANWHILE: u32 = 16;

/// At least so many accounts.
const ACCOUNTS: f64 = 4.0;

/// Chance is taken to have brought strangers together so many times more than was seen: without strangers to learn it
/// from, nothing is proven.
const CAUTION: f64 = 3.0;

/// Two words of one moment differ by no more than this.
const SAME: Duration = Duration::from_millis(600);

/// Two moments that are to say anything of their own are so far from each other.
const APART: Duration = Duration::from_secs(10);

/// A request is at Google's within this time.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// So long an answer may take that tells of a rest in which its request began.
const KEPT: Duration = Duration::from_secs(20);

/// So many pairs are remembered; beyond, nothing new is learned.
pub(super) const PAIRS: usize = 50_000;

/// So many surprises are watched at once for one model.
const SURPRISES: usize = 64;

/// The experiments with strangers are halved whenever there are so many: what chance does now is what counts.
const EXPERIMENTS: f64 = 400.0;

/// What is known of pairs of projects, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Together {
    pairs: HashMap<(u32, u32), Pair>,
    models: HashMap<Box<str>, Vec<Surprise>>,
    /// How often strangers are told the same moment, and how often they would explain each other's refusals.
    moments: Chance,
    accounts: Chance,
    /// How often somebody was served while another rested.
    served_meanwhile: u32,
}

/// How often something happened to strangers, and how often not.
#[derive(Debug, Default)]
struct Chance {
    seen: f64,
    unseen: f64,
}

#[derive(Debug, Default)]
struct Pair {
    strangers: bool,
    /// How unlikely it is that both were refused, and told the same moment, so often by chance: as a logarithm.
    trials: f64,
    /// Rests in which the one explains the other's refusal, and nobody else does.
    accounts: u32,
    /// The ends of the last rest of a minute and of a day in which they were compared: once a rest.
    compared: [Timestamp; 2],
    accounted: [Timestamp; 2],
}

/// A quota that was refused before its time.
#[derive(Debug, Clone, Copy)]
struct Surprise {
    project: u32,
    /// The number of the last lease given out before: what began later, began while this one was used up.
    after: u64,
    until: Timestamp,
    of_day: bool,
    /// Others that were served and refused meanwhile.
    served: u32,
    refused: u32,
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
    /// Whether it is a day's.
    pub(super) of_day: bool,
    pub(super) limit: u64,
}

/// What a project was served of the minute or day whose quota was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) project: u32,
    /// Certainly.
    pub(super) sure: u64,
    /// At most.
    pub(super) most: u64,
}

impl Together {
    /// How many pairs are known.
    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// A project was surprised, when all projects had used so much. The projects that are now known to be the same.
    pub(super) fn surprised(
        &mut self,
        refusal: &Refusal,
        used: &[Used],
        model: &str,
        now: Timestamp,
    ) -> Vec<u32> {
        if !self.models.contains_key(model) {
            self.models.retain(|_, surprises| surprises.iter().any(|surprise| surprise.until > now));
            self.models.insert(model.into(), Vec::new());
        }
        let Some(mut surprises) = self.models.remove(model) else { return Vec::new() };
        surprises.retain(|surprise| surprise.until + KEPT > now);
        self.part_by_sum(refusal, used);
        let mut alike = self.compare(refusal, &mut surprises, now);
        alike.extend(self.account(refusal, used, &surprises, now));
        alike.sort_unstable();
        alike.dedup();
        let project = refusal.project;
        surprises.retain(|surprise| surprise.project != project || surprise.of_day != refusal.of_day);
        if surprises.len() < SURPRISES {
            let (until, of_day) = (refusal.until, refusal.of_day);
            let after = refusal.last_lease;
            surprises.push(Surprise { project, after, until, of_day, served: 0, refused: 0 });
        }
        self.models.insert(model.into(), surprises);
        alike
    }

    /// Those that were served more than one quota gives, together with the one that was refused, are strangers to it. One
    /// request may count here a little longer.
    fn part_by_sum(&mut self, refusal: &Refusal, used: &[Used]) {
        let own = used.iter().find(|used| used.project == refusal.project).map_or(0, |used| used.sure);
        for other in used.iter().filter(|other| other.project != refusal.project) {
            if own + other.sure > refusal.limit + 1
                && let Some(pair) = pair(&mut self.pairs, refusal.project, other.project)
            {
                pair.strangers = true;
            }
        }
    }

    /// Holds a refusal against those that rest. Those that are now known to be the same.
    fn compare(&mut self, refusal: &Refusal, surprises: &mut [Surprise], now: Timestamp) -> Vec<u32> {
        let kind = usize::from(refusal.of_day);
        let mut alike = Vec::new();
        for other in surprises.iter_mut().filter(|other| {
            other.of_day == refusal.of_day
                && other.project != refusal.project
                && other.after < refusal.lease
                && other.until > now
        }) {
            let Some(pair) = pair(&mut self.pairs, refusal.project, other.project) else { continue };
            if other.until <= pair.compared[kind] + APART {
                continue;
            }
            pair.compared[kind] = other.until;
            match (pair.strangers, is_same(refusal.until, other.until)) {
                (true, same) => self.moments.note(same),
                (false, false) => (pair.trials, pair.accounts) = (0.0, 0),
                (false, true) if self.served_meanwhile < SERVED_MEANWHILE => {}
                (false, true) => {
                    pair.trials -= other.chance_of_refusal().ln() + self.moments.chance().ln();
                    if pair.trials >= -ERROR.ln() * DEPENDENT {
                        alike.push(other.project);
                    }
                }
            }
            other.refused += 1;
        }
        alike
    }

    /// Looks who explains a refusal, together with all that may, and not without it.
    fn account(
        &mut self,
        refusal: &Refusal,
        used: &[Used],
        surprises: &[Surprise],
        now: Timestamp,
    ) -> Vec<u32> {
        let (project, limit) = (refusal.project, refusal.limit);
        let kind = usize::from(refusal.of_day);
        let enough = self.accounts.enough().max(ACCOUNTS);
        let may_be = |pairs: &HashMap<(u32, u32), Pair>, other: u32| {
            other == project || !pairs.get(&names(project, other)).is_some_and(|pair| pair.strangers)
        };
        let all: u64 =
            used.iter().filter(|used| may_be(&self.pairs, used.project)).map(|used| used.most).sum();
        let mut alike = Vec::new();
        for other in surprises {
            let rests = other.until > now && is_same(other.until, refusal.until);
            if other.project == project || other.of_day != refusal.of_day || !rests {
                continue;
            }
            let Some(part) = used.iter().find(|used| used.project == other.project) else { continue };
            let Some(pair) = pair(&mut self.pairs, project, other.project) else { continue };
            if part.most == 0 || other.until <= pair.accounted[kind] + APART {
                continue;
            }
            pair.accounted[kind] = other.until;
            let (with, without) =
                if pair.strangers { (all + part.most, all) } else { (all, all - part.most) };
            // One may have been counted in another minute than Google's.
            let is_needed = with + 1 >= limit && without + 1 < limit;
            if pair.strangers {
                self.accounts.note(is_needed);
            } else if is_needed {
                pair.accounts += 1;
                if f64::from(pair.accounts) >= enough {
                    alike.push(other.project);
                }
            }
        }
        alike
    }

    /// A project was served for a model, by a lease of this number that began then: whoever was surprised before and rested
    /// still is a stranger to it, as one quota is not used up and free at once.
    pub(super) fn served(&mut self, project: u32, model: &str, lease: u64, began: Timestamp) {
        let Some(surprises) = self.models.get_mut(model) else { return };
        for other in surprises {
            if other.project == project || other.after >= lease || began + ON_ITS_WAY >= other.until {
                continue;
            }
            other.served += 1;
            self.served_meanwhile = self.served_meanwhile.saturating_add(1);
            if let Some(pair) = pair(&mut self.pairs, project, other.project) {
                pair.strangers = true;
            }
        }
    }

    /// Two projects have turned out to be one, which has the first's number: what was known of the second's strangers is
    /// known of it.
    pub(super) fn merge(&mut self, first: u32, second: u32) {
        let strangers = self.pairs.iter().filter(|(_, pair)| pair.strangers);
        let strangers: Vec<u32> = strangers
            .filter_map(|((one, other), _)| match (*one == second, *other == second) {
                (true, _) => Some(*other),
                (_, true) => Some(*one),
                _ => None,
            })
            .filter(|other| *other != first)
            .collect();
        self.forget(second);
        for other in strangers {
            if let Some(pair) = pair(&mut self.pairs, first, other) {
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
}

impl Surprise {
    /// How likely it is that somebody who is tried while this one rests is refused, too.
    fn chance_of_refusal(&self) -> f64 {
        f64::from(self.refused + 1) / f64::from(self.refused + self.served + 2)
    }
}

impl Chance {
    fn note(&mut self, seen: bool) {
        *(if seen { &mut self.seen } else { &mut self.unseen }) += 1.0;
        if self.seen + self.unseen > EXPERIMENTS {
            (self.seen, self.unseen) = (self.seen / 2.0, self.unseen / 2.0);
        }
    }

    /// How likely it is, rather too high than too low.
    fn chance(&self) -> f64 {
        (self.seen + CAUTION) / (self.seen + self.unseen + CAUTION)
    }

    /// How many proofs are enough: so many in a row would hardly be chance.
    fn enough(&self) -> f64 {
        let chance = self.chance();
        if chance < 1.0 { (ERROR.ln() / chance.ln()).ceil() } else { f64::INFINITY }
    }
}

fn is_same(one: Timestamp, other: Timestamp) -> bool {
    one.since(other).max(other.since(one)) <= SAME
}

fn names(one: u32, other: u32) -> (u32, u32) {
    (one.min(other), one.max(other))
}

fn pair(pairs: &mut HashMap<(u32, u32), Pair>, one: u32, other: u32) -> Option<&mut Pair> {
    let names = names(one, other);
    if pairs.len() >= PAIRS && !pairs.contains_key(&names) {
        return None;
    }
    Some(pairs.entry(names).or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    const LIMIT: u64 = 10;

    fn at(minute: u64, millis: u64) -> Timestamp {
        NOW + Duration::from_millis(60_000 * minute + millis)
    }

    /// A refusal of a project in some second of a minute, which is told a moment of that minute in milliseconds, when the
    /// projects 1, 2, … have been served so much.
    fn refused(
        together: &mut Together,
        project: u32,
        (minute, second, until): (u64, u64, u64),
        served: &[u64],
    ) -> Vec<u32> {
        let (lease, until) = (minute * 100 + second, at(minute, until));
        let refusal = Refusal { project, lease, last_lease: lease, until, of_day: false, limit: LIMIT };
        let used = (1..).zip(served).map(|(project, &served)| Used { project, sure: served, most: served });
        together.surprised(&refusal, &used.collect::<Vec<_>>(), "m", at(minute, second * 1000))
    }

    fn served(together: &mut Together, project: u32, (minute, second): (u64, u64)) {
        together.served(project, "m", minute * 100 + second, at(minute, second * 1000));
    }

    /// In every minute 1 and 2 are refused when 1, 2 and 3 were served so much, and told that moment; 3 was served then, and
    /// is refused later. The first minute after which 1 and 2 are one project.
    fn found(used: &[u64], told: impl Fn(u64) -> [u64; 3]) -> Option<u64> {
        let mut together = Together::default();
        (0..200).find(|&minute| {
            let told = told(minute);
            let none: [u32; 0] = [];
            assert_eq!(refused(&mut together, 1, (minute, 1, told[0]), used), none);
            let alike = refused(&mut together, 2, (minute, 2, told[1]), used);
            served(&mut together, 3, (minute, 5));
            let other = refused(&mut together, 3, (minute, 6, told[2]), used);
            assert_eq!(other, none);
            alike == [1]
        })
    }

    fn fixed(_: u64) -> [u64; 3] {
        [59_900, 60_000, 60_000]
    }

    fn sliding(minute: u64) -> [u64; 3] {
        let told = 20_000 + minute * 7_300 % 39_000;
        [told, told + 200, 30_000 + minute * 11_000 % 23_000]
    }

    #[test]
    fn who_explains_the_others_refusals_is_the_same() {
        for told in [fixed, sliding] {
            let found = found(&[5, 5, 6], told);
            assert!(found.is_some_and(|minute| (4..60).contains(&minute)), "{found:?}");
        }
    }

    #[test]
    fn who_explains_nothing_is_the_same_after_many_trials() {
        // Somebody else uses the most of it.
        let found = found(&[2, 2, 3], sliding);
        assert!(found.is_some_and(|minute| (10..150).contains(&minute)), "{found:?}");
    }

    #[test]
    fn who_is_told_other_moments_is_not() {
        let other = |minute| {
            let told = sliding(minute);
            [told[0], told[1] + 700, told[2]]
        };
        assert_eq!(found(&[5, 5, 6], other), None);
    }

    #[test]
    fn who_is_served_more_than_one_quota_gives_is_not() {
        assert_eq!(found(&[6, 6, 6], sliding), None);
    }

    #[test]
    fn where_all_run_out_at_once_nothing_is_proven() {
        let mut together = Together::default();
        let used = [4; 9];
        for minute in 0..500 {
            for project in 1..10 {
                let told = (minute, u64::from(project), 59_000);
                assert_eq!(refused(&mut together, project, told, &used), Vec::<u32>::new());
            }
        }
    }

    #[test]
    fn who_is_served_meanwhile_is_a_stranger_for_ever_also_to_who_joins() {
        let mut together = Together::default();
        assert_eq!(refused(&mut together, 1, (0, 1, 50_000), &[5, 5]), Vec::<u32>::new());
        served(&mut together, 2, (0, 3));
        for minute in 1..100 {
            assert_eq!(refused(&mut together, 1, (minute, 1, 50_000), &[5, 5]), Vec::<u32>::new());
            assert_eq!(refused(&mut together, 2, (minute, 2, 50_000), &[5, 5]), Vec::<u32>::new());
        }
        together.merge(3, 1);
        assert!(together.pairs[&(2, 3)].strangers && !together.pairs.contains_key(&(1, 2)));
    }
}
