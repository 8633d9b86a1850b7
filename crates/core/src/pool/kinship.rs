//! Which keys share a project, learned from how their quotas run out.
//!
//! Google counts by project and says nothing of it. A project whose quota is refused although far fewer requests
//! were sent to it than the limit that Google names is *surprised*: somebody else uses the same quota. While it rests,
//! every request that begins elsewhere is an experiment. If the other one is served, the two are strangers: one quota
//! cannot be used up and free at once. If it is surprised too, they may be kin, or it may be chance. How often chance
//! does that is known from all experiments together, and decides how many such proofs are enough.

use std::collections::HashMap;
use std::time::Duration;

use crate::time::Timestamp;

/// How likely a wrong verdict may be.
const ERROR: f64 = 1e-8;

/// At least and at most so many proofs.
const PROOFS: (f64, f64) = (4.0, 400.0);

/// Google's word of when a quota is free again may be late by this.
const LATE: Duration = Duration::from_secs(2);

/// So many pairs are remembered; beyond, nothing new is learned.
const PAIRS: usize = 50_000;

/// So many surprises are watched at once for one model.
const SURPRISES: usize = 32;

/// The experiments of a model are halved whenever there are so many: what chance does now is what counts.
const EXPERIMENTS: f64 = 60.0;

/// What is known of pairs.
#[derive(Debug, Default)]
pub(super) struct Kinship {
    pairs: HashMap<(u32, u32), Pair>,
    models: HashMap<Box<str>, Model>,
}

#[derive(Debug, Default)]
struct Model {
    surprises: Vec<Surprise>,
    /// Experiments that ended with a surprise, and with an answer.
    surprised: f64,
    served: f64,
}

#[derive(Debug, Default)]
struct Pair {
    proofs: u16,
    /// The end of the rest in which the last proof fell: one a rest.
    until: Timestamp,
    strangers: bool,
}

/// A quota that was refused before its time.
#[derive(Debug, Clone, Copy)]
struct Surprise {
    project: u32,
    /// The number of the last lease given out before: what began later is an experiment.
    after: u64,
    until: Timestamp,
}

impl Kinship {
    /// A project was surprised. `leases` are the number of the lease that was, and of the last one so far. The
    /// projects that are now known to be its kin.
    pub(super) fn surprised(
        &mut self,
        project: u32,
        model: &str,
        leases: (u64, u64),
        until: Timestamp,
        now: Timestamp,
    ) -> Vec<u32> {
        if !self.models.contains_key(model) {
            self.models.retain(|_, model| model.surprises.iter().any(|surprise| surprise.until > now));
            self.models.insert(model.into(), Model::default());
        }
        let Some(model) = self.models.get_mut(model) else { return Vec::new() };
        let enough = model.enough();
        model.surprises.retain(|surprise| surprise.until > now);
        let mut kin = Vec::new();
        let (lease, after) = leases;
        let others = model.surprises.iter().filter(|other| other.project != project && other.after < lease);
        for other in others {
            let Some(pair) = pair(&mut self.pairs, project, other.project) else { continue };
            if pair.until >= other.until {
                continue;
            }
            pair.until = other.until;
            model.surprised += 1.0;
            if !pair.strangers {
                pair.proofs += 1;
                if f64::from(pair.proofs) >= enough {
                    kin.push(other.project);
                }
            }
        }
        model.surprises.retain(|surprise| surprise.project != project);
        if model.surprises.len() < SURPRISES {
            model.surprises.push(Surprise { project, after, until });
        }
        model.forget();
        kin
    }

    /// A project was served for a model, by a lease of this number: whoever was surprised before and rests still is a
    /// stranger to it.
    pub(super) fn served(&mut self, project: u32, model: &str, lease: u64, now: Timestamp) {
        let Some(model) = self.models.get_mut(model) else { return };
        for other in &model.surprises {
            if other.project == project || other.after >= lease || now + LATE >= other.until {
                continue;
            }
            let Some(pair) = pair(&mut self.pairs, project, other.project) else { continue };
            if pair.until < other.until {
                pair.until = other.until;
                model.served += 1.0;
            }
            pair.strangers = true;
        }
        model.forget();
    }

    /// A project has become part of another.
    pub(super) fn joined(&mut self, gone: u32) {
        self.pairs.retain(|(one, other), _| *one != gone && *other != gone);
        self.models
            .values_mut()
            .for_each(|model| model.surprises.retain(|surprise| surprise.project != gone));
    }
}

impl Model {
    /// How many proofs are enough: so many surprises in a row would hardly be chance.
    fn enough(&self) -> f64 {
        let chance = (self.surprised + 1.0) / (self.surprised + self.served + 2.0);
        (ERROR.ln() / chance.ln()).ceil().clamp(PROOFS.0, PROOFS.1)
    }

    fn forget(&mut self) {
        if self.surprised + self.served > EXPERIMENTS {
            self.surprised /= 2.0;
            self.served /= 2.0;
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

    fn at(minute: u64, second: u64) -> Timestamp {
        NOW + Duration::from_secs(60 * minute + second)
    }

    fn surprise(kinship: &mut Kinship, project: u32, minute: u64, second: u64) -> Vec<u32> {
        let lease = minute * 1000 + second * 2 + 1;
        kinship.surprised(project, "m", (lease, lease), at(minute, 50), at(minute, second))
    }

    /// Others are served while 1 rests: it does not happen to everybody.
    fn others(kinship: &mut Kinship, minute: u64) {
        for other in 10..20 {
            kinship.served(other, "m", minute * 1000 + 900, at(minute, 20));
        }
    }

    #[test]
    fn who_runs_out_together_again_and_again_is_kin() {
        let mut kinship = Kinship::default();
        let found = (0..50).find(|&minute| {
            assert_eq!(surprise(&mut kinship, 1, minute, 0), Vec::<u32>::new());
            let kin = surprise(&mut kinship, 2, minute, 1);
            assert_eq!(surprise(&mut kinship, 2, minute, 2), Vec::<u32>::new(), "one a rest");
            others(&mut kinship, minute);
            kin == [1]
        });
        assert!(found.is_some_and(|minute| (3..20).contains(&minute)), "{found:?}");
    }

    #[test]
    fn where_everybody_runs_out_nothing_is_proven() {
        let mut kinship = Kinship::default();
        for minute in 0..60 {
            for project in 1..10 {
                assert_eq!(surprise(&mut kinship, project, minute, u64::from(project)), Vec::<u32>::new());
            }
        }
    }

    #[test]
    fn who_is_served_meanwhile_is_a_stranger_for_ever() {
        let mut kinship = Kinship::default();
        surprise(&mut kinship, 1, 0, 0);
        kinship.served(2, "m", 5, at(0, 3));
        for minute in 1..60 {
            surprise(&mut kinship, 1, minute, 0);
            assert_eq!(surprise(&mut kinship, 2, minute, 1), Vec::<u32>::new());
            others(&mut kinship, minute);
        }
    }
}
