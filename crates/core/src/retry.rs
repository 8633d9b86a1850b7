//! POLICY: what is done after a failure, and what the client is told when nothing more can be done.
//!
//! A key that can be told from the others by its fault is left behind at once, without a wait; a request that
//! every project would refuse costs no second attempt.

mod common;

use std::time::Duration;

pub(crate) use self::common::{CommonBudget, adds_to_load};
use crate::error::{Error, Kind};
use crate::failure::{Class, Elsewhere, Failure};
use crate::time::Timestamp;

/// Attempts that a request gets where nothing else is set and the pool has that many keys.
pub const DEFAULT_ATTEMPTS: u32 = 10;

/// Empty answers that are followed by another attempt: each one is billed, and a prompt may simply have no answer.
/// Enough to find one good project among four; after that the others come last for a while.
const EMPTY_ANSWERS: u32 = 3;

/// What the client's way back takes at least. The wait is told in whole seconds, and this decides which.
const WAY: Duration = Duration::from_millis(150);

/// Malformed function calls that are followed by another attempt: some prompts make the model fail always.
const MALFORMED_ANSWERS: u32 = 2;

/// The attempts of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    made: u32,
    most: u32,
    /// How many more the failures so far leave sensible.
    sensible: u32,
    /// How many of them brought an empty answer.
    empty: u32,
    /// How many, a malformed function call.
    malformed: u32,
}

impl Budget {
    /// At most `most` attempts.
    pub fn new(most: u32) -> Self {
        Self { made: 0, most: most.max(1), sensible: u32::MAX, empty: 0, malformed: 0 }
    }

    /// Counts an attempt that begins.
    pub fn spend(&mut self) {
        self.made += 1;
        self.sensible = self.sensible.saturating_sub(1);
    }

    /// Takes in what a failure says about further attempts.
    pub fn learn(&mut self, failure: &Failure) {
        if failure.class == Class::Empty {
            self.empty += 1;
        }
        if failure.class == Class::Malformed {
            self.malformed += 1;
        }
        self.sensible = self.sensible.min(match failure.elsewhere {
            Elsewhere::None => 0,
            Elsewhere::One => 1,
            Elsewhere::All => u32::MAX,
        });
    }

    /// Whether another attempt makes sense.
    pub fn allows_another(&self) -> bool {
        self.made < self.most
            && self.sensible > 0
            && self.empty <= EMPTY_ANSWERS
            && self.malformed <= MALFORMED_ANSWERS
    }

    /// No further attempt makes sense.
    pub fn end(&mut self) {
        self.sensible = 0;
    }

    /// Begins anew with so many more attempts, for another model.
    pub fn renew(&mut self, more: u32) {
        self.most = self.made + more.max(1);
        self.sensible = u32::MAX;
        self.empty = 0;
        self.malformed = 0;
    }

    /// How many attempts have begun.
    pub fn made(&self) -> u32 {
        self.made
    }
}

/// What is known when a request is given up.
#[derive(Debug)]
pub struct GivenUp<'a> {
    /// All failures of the request, in order.
    pub failures: &'a [Failure],
    /// When some project can serve this model again; none: not by waiting.
    pub recovery: Option<Timestamp>,
    /// Whether the keys are the client's own: then Google's word about them is for the client.
    pub own_keys: bool,
    /// The time.
    pub now: Timestamp,
}

impl GivenUp<'_> {
    /// The truest error: a fault of the request before everything else, then limits with the earliest recovery,
    /// then overload, then time-outs. Dead keys of the pool are never the client's fault.
    pub fn error(&self) -> Error {
        let rank = |failure: &&Failure| match failure.class {
            Class::Request | Class::ModelUnknown | Class::Affinity | Class::Signature | Class::Egress => 0,
            Class::QuotaMinute | Class::QuotaDay | Class::QuotaUnnamed => 1,
            Class::Overloaded => 2,
            Class::Timeout => 3,
            Class::Internal | Class::Unknown | Class::Empty | Class::Malformed | Class::Network => 4,
            Class::QuotaNone | Class::ModelForbidden | Class::ModelClosed | Class::ProjectBilling => 5,
            Class::KeyInvalid
            | Class::KeyLeaked
            | Class::KeyUnauthenticated
            | Class::KeyRestricted
            | Class::ProjectSuspended
            | Class::ProjectDisabled
            | Class::Gateway => 6,
        };
        let wait = self.recovery.map(|at| at.since(self.now).saturating_sub(WAY).max(Duration::from_secs(1)));
        // Of equals the last one: it was true latest.
        let Some(truest) = self.failures.iter().rev().min_by_key(rank) else {
            return match wait {
                Some(wait) => Error { retry_after: Some(wait), ..Error::new(Kind::RateLimited, AT_LIMIT) },
                None => Error::new(Kind::Unavailable, NO_KEYS),
            };
        };
        match rank(&truest) {
            0 => truest.to_error(),
            1 => Error { retry_after: wait.or(truest.retry_after), ..truest.to_error() },
            2 | 4 => Error {
                retry_after: wait.filter(|wait| *wait < Duration::from_secs(60)),
                ..truest.to_error()
            },
            3 => truest.to_error(),
            _ if self.own_keys => truest.to_error(),
            5 => Error { retry_after: wait, ..truest.to_error() },
            _ => Error { retry_after: wait, ..Error::new(Kind::Unavailable, NO_KEYS) },
        }
    }
}

const AT_LIMIT: &str = "Every project of this gateway is at its limit for this model; Retry-After says when the \
     first one recovers. 所有项目对该模型的配额均已用完，请按 Retry-After 等待后重试。";

const NO_KEYS: &str = "No key of this gateway can serve this request now; its operator sees why in the log. \
     网关当前没有可用的密钥，请联系管理员。";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Dialect;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn failure(class: Class, status: u16) -> Failure {
        Failure {
            status: http::StatusCode::from_u16(status).ok(),
            ..Failure::new(class, Elsewhere::All, format!("{class:?}"))
        }
    }

    #[test]
    fn failures_say_how_many_more_attempts_make_sense() {
        let check = |most, faults: &[Elsewhere], expected| {
            let mut budget = Budget::new(most);
            let mut attempts = 0;
            for &elsewhere in faults {
                if !budget.allows_another() {
                    break;
                }
                budget.spend();
                attempts += 1;
                budget.learn(&Failure::new(Class::Unknown, elsewhere, ""));
            }
            assert_eq!((attempts, budget.allows_another()), expected, "{faults:?}");
        };
        use Elsewhere::{All, None, One};
        check(10, &[All, All, All], (3, true));
        check(3, &[All, All, All, All], (3, false));
        check(10, &[None, All], (1, false));
        check(10, &[One, All, All], (2, false));
        check(10, &[All, One, One, One], (3, false));
    }

    #[test]
    fn three_empty_answers_are_followed_by_another_attempt() {
        let check = |classes: &[Class], expected| {
            let mut budget = Budget::new(10);
            for &class in classes {
                budget.spend();
                budget.learn(&Failure::new(class, Elsewhere::All, ""));
            }
            assert_eq!(budget.allows_another(), expected, "{classes:?}");
        };
        use Class::{Empty, Overloaded};
        check(&[Empty, Empty, Empty], true);
        check(&[Empty, Empty, Empty, Empty], false);
        check(&[Empty, Overloaded, Overloaded, Overloaded, Overloaded], true);
        check(&[Empty, Overloaded, Empty, Empty, Overloaded, Empty], false);
    }

    #[test]
    fn the_truest_error_is_told() {
        let check =
            |failures: &[(Class, u16)], recovery: Option<u64>, own_keys, expected: (u16, Option<&str>)| {
                let failures: Vec<Failure> =
                    failures.iter().map(|&(class, status)| failure(class, status)).collect();
                let recovery = recovery.map(|seconds| NOW + Duration::from_secs(seconds));
                let given_up = GivenUp { failures: &failures, recovery, own_keys, now: NOW };
                let response = given_up.error().response(Dialect::OpenAi, None);
                let wait = response.headers().get("retry-after").map(|wait| wait.to_str().expect("digits"));
                assert_eq!((response.status().as_u16(), wait), expected, "{failures:?}");
            };
        use Class::{KeyInvalid, KeyLeaked, Overloaded, QuotaDay, QuotaMinute, Request, Timeout};
        check(&[(QuotaMinute, 429), (Request, 400)], Some(9), false, (400, None));
        check(&[(Overloaded, 503), (QuotaMinute, 429), (Timeout, 504)], Some(9), false, (429, Some("9")));
        check(&[(QuotaDay, 429)], Some(3600), false, (429, Some("3600")));
        check(&[(Timeout, 504), (Overloaded, 503)], Some(0), false, (503, Some("1")));
        check(&[(Timeout, 504)], Some(0), false, (504, None));
        check(&[(KeyInvalid, 400), (KeyLeaked, 403)], None, false, (503, None));
        check(&[(KeyInvalid, 400)], None, true, (401, None));
        check(&[], Some(2), false, (429, Some("2")));
        check(&[], None, false, (503, None));
    }
}
