//! What retries may add to the load, over all requests together.
//!
//! On a day on which everything is overloaded, every request would come back again and again, and the retries would be
//! what keeps the overload up. So those into an overload, or after silence, have to fit a common budget, which grows
//! with the requests that are served. Where a key was at fault, or a limit that is known, another key is surely better:
//! that costs nothing here.

use std::time::Duration;

use crate::failure::Class;
use crate::time::Timestamp;

/// Thousandths of a retry: shares of a request are counted exactly.
const WHOLE: u64 = 1_000;

/// A gateway with a few requests has so many retries a second all the same: its load harms nobody, and it has not the
/// traffic to earn them.
const FLOOR_A_SECOND: u64 = 10;

/// So many can be saved up. A burst of failures that ends within moments is not what the budget is against, and an
/// overload that lasts for minutes uses this up in the first of them.
const SAVED: u64 = 1_000;

/// The common budget.
#[derive(Debug)]
pub(crate) struct CommonBudget {
    /// How many retries a request earns, in thousandths; none: all that are asked for.
    share: Option<u64>,
    /// In thousandths of a retry.
    left: u64,
    since: Timestamp,
}

impl CommonBudget {
    /// A budget of so many retries for a hundred requests; none: without bounds.
    pub(crate) fn new(percent: Option<u8>) -> Self {
        let share = percent.map(|percent| u64::from(percent) * WHOLE / 100);
        Self { share, left: SAVED * WHOLE, since: Timestamp::EPOCH }
    }

    /// Another share from now on. What was saved up stays.
    pub(crate) fn set_share(&mut self, percent: Option<u8>) {
        self.share = Self::new(percent).share;
    }

    /// A request has begun.
    pub(crate) fn earn(&mut self) {
        let share = self.share.unwrap_or(0);
        self.left = (self.left + share).min(SAVED * WHOLE);
    }

    /// Takes a retry out of the budget. False: it has none left.
    #[must_use]
    pub(crate) fn take(&mut self, now: Timestamp) -> bool {
        if self.share.is_none() {
            return true;
        }
        // Milliseconds times retries a second are thousandths. A clock that was set back earns nothing until it has
        // caught up with what it showed.
        let waited = now.since(self.since).min(Duration::from_secs(SAVED / FLOOR_A_SECOND));
        let earned = u64::try_from(waited.as_millis()).unwrap_or(0) * FLOOR_A_SECOND;
        self.since = self.since.max(now);
        self.left = (self.left + earned).min(SAVED * WHOLE);
        let has_one = self.left >= WHOLE;
        if has_one {
            self.left -= WHOLE;
        }
        has_one
    }
}

/// Whether another attempt after such a failure is one more call into what may be an overload.
pub(crate) const fn adds_to_load(class: Class) -> bool {
    match class {
        Class::Overloaded
        | Class::Internal
        | Class::Timeout
        | Class::Network
        | Class::Empty
        | Class::Malformed
        | Class::QuotaUnnamed
        | Class::Unknown => true,
        Class::KeyInvalid
        | Class::KeyLeaked
        | Class::KeyUnauthenticated
        | Class::KeyRestricted
        | Class::ModelForbidden
        | Class::ProjectSuspended
        | Class::ProjectDisabled
        | Class::ProjectBilling
        | Class::ModelClosed
        | Class::ModelUnknown
        | Class::QuotaMinute
        | Class::QuotaDay
        | Class::QuotaNone
        | Class::Egress
        | Class::Affinity
        | Class::Signature
        | Class::Request
        | Class::Gateway => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    /// How many of `wanted` retries are given to so many requests, evenly over so long a time, once what was saved is
    /// used up.
    fn given(percent: Option<u8>, requests: u64, wanted_each: u64, seconds: u64) -> u64 {
        let mut budget = CommonBudget::new(percent);
        let mut left = SAVED;
        while percent.is_some() && left > 0 {
            assert!(budget.take(NOW), "{left}");
            left -= 1;
        }
        let mut given = 0;
        for request in 0..requests {
            budget.earn();
            let now = NOW + Duration::from_millis(seconds * 1000 * (request + 1) / requests);
            given += (0..wanted_each).filter(|_| budget.take(now)).count() as u64;
        }
        given
    }

    #[test]
    fn retries_are_a_share_of_the_requests() {
        let check = |percent, requests, wanted_each, seconds, expected: u64| {
            let given = given(percent, requests, wanted_each, seconds);
            assert!(given.abs_diff(expected) <= 1, "{requests} in {seconds} s: {given}, not {expected}");
        };
        check(Some(20), 10_000, 9, 100, 2_000 + 1_000);
        check(Some(20), 100_000, 9, 100, 20_000 + 1_000);
        check(Some(20), 100, 9, 100, 900);
        check(Some(0), 10_000, 9, 100, 1_000);
        check(Some(100), 10_000, 9, 100, 10_000 + 1_000);
        check(Some(100), 10_000, 1, 100, 10_000);
        check(None, 10_000, 9, 100, 90_000);
    }

    #[test]
    fn what_can_be_saved_is_bounded() {
        let mut budget = CommonBudget::new(Some(20));
        for _ in 0..1_000_000 {
            budget.earn();
        }
        let later = NOW + Duration::from_secs(86_400);
        assert_eq!((0..5_000).filter(|_| budget.take(later)).count(), 1_000);
        assert!(!budget.take(NOW), "a clock that was set back earns nothing");
        assert!(budget.take(later + Duration::from_secs(1)));
    }
}
