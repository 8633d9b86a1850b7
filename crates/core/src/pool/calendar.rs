//! The pool's days by Google's clock.

use super::{Pool, standing};
use crate::google_clock::Skew;
use crate::time::Timestamp;

impl Pool {
    /// Another skew of the local clock is known: days end, and rests that last to midnight, when it is midnight at
    /// Google's.
    pub(crate) fn set_skew(&mut self, skew: Skew, now: Timestamp) {
        let before = std::mem::replace(&mut self.skew, skew).next_pacific_midnight(now);
        let midnight = skew.next_pacific_midnight(now);
        for project in &mut self.projects {
            if project.today.ends > now {
                project.today.ends = midnight;
            }
            if project.rest_until == before {
                project.rest_until = midnight;
            }
        }
        for table in self.tables.values_mut() {
            table.skew = skew;
            let known: Vec<u32> = table.cells_mut().map(|(project, _)| project).collect();
            for project in known {
                let standing = standing(&self.projects[project as usize]);
                table.change(project, standing, now, |cell| {
                    cell.meter.set_skew(skew, now);
                    cell.move_rest(before, midnight);
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{PoolKey, Strategy};
    use crate::failure::{Class, Consequence, Elsewhere, Failure, Limit, LimitKind};
    use crate::pool::{Pick, PoolSettings, Want};
    use crate::secret::ApiKey;

    /// 15 January 2027, 08:00 UTC: midnight in California.
    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const DAY: Duration = Duration::from_secs(86_400);
    const MODEL: &str = "gemini-2.5-flash";

    #[test]
    fn days_and_rests_end_when_it_is_midnight_at_googles() {
        let keys = ["one", "other"].map(|key| PoolKey::from(ApiKey::new(key)));
        let mut pool = Pool::new(&keys, PoolSettings::only(Strategy::Headroom), 1);
        let want = Want { model: Some(MODEL), tokens: 1, ..Want::default() };
        let failure = Failure::new(Class::QuotaDay, Elsewhere::All, "made up");
        // One is at the limit that it was told of, the other rests; both to the local midnight.
        let limit = Limit { family: Some(MODEL.to_owned()), kind: LimitKind::RequestsPerDay, value: 1 };
        let named = Failure { limits: vec![limit], ..failure.clone() };
        pool.failed(keys[0].key.id(), Some(MODEL), &named, NOW);
        let served = |pool: &mut Pool| matches!(pool.pick(&want, NOW), Pick::Ready { .. });
        assert!(served(&mut pool) && served(&mut pool));
        let rest = Failure { consequence: Consequence::RestModel(NOW + DAY), ..failure };
        pool.failed(keys[1].key.id(), Some(MODEL), &rest, NOW);
        let recovery = |pool: &mut Pool| pool.recovery(&want, NOW + DAY / 2);
        assert_eq!(recovery(&mut pool), Some(NOW + DAY));
        // The local clock is ten minutes behind, then as much ahead.
        for (google, local) in [(600, DAY - Duration::from_secs(600)), (0, DAY)] {
            let skew = Skew::of_seconds(google);
            pool.set_skew(skew, NOW + DAY / 2);
            assert_eq!(recovery(&mut pool), Some(NOW + local), "{google}");
            let pick = pool.pick(&want, NOW + DAY / 2);
            assert!(
                matches!(pick, Pick::CoolingDown { until } if until == NOW + local),
                "{google}: {pick:?}"
            );
        }
    }
}
