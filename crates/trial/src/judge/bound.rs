//! What an all-knowing scheduler would have served: a bound to measure against.
//!
//! The scheduler knows all arrivals and all limits, needs no time to reach Google, and may hold each request back for
//! the patience of the scenario. Requests are a fluid: they may be served in parts, by several projects. It has to
//! serve the mix of sizes as it comes, so that preferring small requests wins nothing. Each model is for itself, as
//! Google counts by model.
//!
//! **A minute.** A project gives at most `r = min(RPM, TPM / w)` requests in a window, where `w` is the mean size of
//! what arrived in the last 60 s. Windows are the aligned minutes, or with rolling minutes every 60 s that end with a
//! whole second. Serving the oldest request as soon as there is room is optimal for either: all requests have the
//! same patience, so the oldest is the most urgent, and room that is used earlier comes back earlier. So
//! `flow(P)`, what a set of projects `P` can serve without regard to days, is computed by going through the windows
//! once.
//!
//! **A day.** A network of flows: from each request to the windows that its patience meets, from a window to a project
//! (at most `r`), from a project to the end of its day (at most RPD). What can be served is the smallest cut, and a cut
//! is a set `S` of projects cut at their days, while the others are cut at their windows:
//! `min over S of sum of RPD in S + flow(all but S)`. For a given number of cut windows a project belongs to `S`
//! exactly when `RPD / r` is less than it; so only the sets that take projects in ascending order of `RPD / r` have to
//! be looked at.
//!
//! A day's requests may be served just after its end without being charged to the next day: an error in favour of the
//! scheduler, at most its patience long.

use std::collections::VecDeque;
use std::time::Duration;

use libra_simulator::{Limits, Minutes, UnixMillis};

use crate::calendar::Days;
use crate::scenario::millis;

const MINUTE: UnixMillis = 60_000;

/// Projects that are alike, for one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Supply {
    /// The quotas of each.
    pub limits: Limits,
    /// How many projects.
    pub count: usize,
    /// What others take out of the one project (then `count` is 1): when, and how many tokens; by time.
    pub others: Vec<(UnixMillis, u64)>,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// When it arrives.
    pub at: UnixMillis,
    /// Its input tokens.
    pub tokens: u64,
}

/// The answers of the best scheduler to the requests of each day; `demands` by time.
pub fn best(
    window: Minutes,
    supplies: &[Supply],
    demands: &[Demand],
    patience: Duration,
    days: &Days,
) -> Vec<f64> {
    let of_day = |day: usize| {
        let from = demands.partition_point(|demand| days.of(demand.at) < day);
        let to = demands.partition_point(|demand| days.of(demand.at) <= day);
        &demands[from..to]
    };
    (0..days.count()).map(|day| best_of_day(window, supplies, of_day(day), patience, days, day)).collect()
}

fn best_of_day(
    window: Minutes,
    supplies: &[Supply],
    demands: &[Demand],
    patience: Duration,
    days: &Days,
    day: usize,
) -> f64 {
    if demands.is_empty() {
        return 0.0;
    }
    let mean = mean_size(demands);
    let mut order: Vec<(f64, &Supply)> = supplies
        .iter()
        .map(|supply| {
            let a_minute = a_minute(supply.limits, mean, 0.0, 0.0);
            let a_day = number(supply.limits.requests_per_day);
            (if a_minute > 0.0 { a_day / a_minute } else { f64::INFINITY }, supply)
        })
        .collect();
    order.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut least = demands.len() as f64;
    let mut of_days = 0.0;
    for cut in 0..=order.len() {
        // Of those with the same ratio all or none.
        if cut == 0 || cut == order.len() || order[cut - 1].0 < order[cut].0 {
            let rest: Vec<&Supply> = order[cut..].iter().map(|(_, supply)| *supply).collect();
            least = least.min(of_days + flow(window, &rest, mean, demands, patience));
        }
        let Some((_, supply)) = order.get(cut) else { break };
        let others = supply.others.iter().filter(|(at, _)| days.of(*at) == day).count() as f64;
        of_days += supply.count as f64 * (number(supply.limits.requests_per_day) - others).max(0.0);
        if of_days >= least {
            break;
        }
    }
    least
}

/// What these projects can serve without regard to days.
fn flow(window: Minutes, supplies: &[&Supply], mean: f64, demands: &[Demand], patience: Duration) -> f64 {
    // A window has so many slots; where minutes are fixed, one.
    let (slot, slots) = match window {
        Minutes::Fixed => (MINUTE, 1),
        Minutes::Rolling => (1_000, 60),
    };
    let patience = millis(patience);
    let mut arrivals = demands.iter().peekable();
    let mut waiting: VecDeque<(UnixMillis, f64)> = VecDeque::new();
    let mut lately: VecDeque<Demand> = VecDeque::new();
    let mut lately_tokens = 0;
    let mut served: VecDeque<(u64, f64)> = VecDeque::new();
    let mut total = 0.0;
    let mut number = 0;
    loop {
        number = match (waiting.front(), arrivals.peek()) {
            (Some(_), _) => number + 1,
            (None, Some(next)) => (next.at / slot).max(number),
            (None, None) => return total,
        };
        let (start, end) = (number * slot, (number + 1) * slot);
        while let Some(demand) = arrivals.next_if(|demand| demand.at < end) {
            waiting.push_back((demand.at + patience, 1.0));
            lately.push_back(*demand);
            lately_tokens += demand.tokens;
        }
        while let Some(old) = lately.pop_front_if(|demand| demand.at + MINUTE < end) {
            lately_tokens -= old.tokens;
        }
        while waiting.pop_front_if(|(until, _)| *until < start).is_some() {}
        while served.pop_front_if(|(then, _)| *then + slots <= number).is_some() {}
        let size = if lately.is_empty() { mean } else { lately_tokens as f64 / lately.len() as f64 };
        let in_window: f64 = served.iter().map(|(_, served)| served).sum();
        let capacity: f64 = supplies.iter().map(|supply| supply.in_window(size, end)).sum();
        let mut room = (capacity - in_window).max(0.0);
        let before = room;
        while room > 0.0
            && let Some((_, left)) = waiting.front_mut()
        {
            let part = left.min(room);
            *left -= part;
            room -= part;
            total += part;
            if *left > 0.0 {
                break;
            }
            waiting.pop_front();
        }
        if before.is_finite() && before > room {
            served.push_back((number, before - room));
        }
    }
}

impl Supply {
    /// What all of them give in the window that ends with `end`, in requests of this size.
    fn in_window(&self, size: f64, end: UnixMillis) -> f64 {
        let from = self.others.partition_point(|(at, _)| at + MINUTE < end);
        let to = self.others.partition_point(|(at, _)| *at < end);
        let others = &self.others[from.min(to)..to];
        let tokens: u64 = others.iter().map(|(_, tokens)| tokens).sum();
        self.count as f64 * a_minute(self.limits, size, others.len() as f64, tokens as f64)
    }
}

/// Requests of a mean size that fit into a minute.
fn a_minute(limits: Limits, size: f64, others: f64, others_tokens: f64) -> f64 {
    let requests = number(limits.requests_per_minute) - others;
    let tokens = number(limits.input_tokens_per_minute) - others_tokens;
    requests.min(tokens / size.max(1.0)).max(0.0)
}

fn mean_size(demands: &[Demand]) -> f64 {
    demands.iter().map(|demand| demand.tokens as f64).sum::<f64>() / demands.len().max(1) as f64
}

fn number(limit: Option<u64>) -> f64 {
    limit.map_or(f64::INFINITY, |limit| limit as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 December 2026, 00:00 in California.
    const MIDNIGHT: UnixMillis = 1_796_112_000_000;
    const HOUR: UnixMillis = 3_600_000;

    fn supply(requests: Option<u64>, tokens: Option<u64>, day: Option<u64>) -> Supply {
        let limits =
            Limits { requests_per_minute: requests, input_tokens_per_minute: tokens, requests_per_day: day };
        Supply { limits, count: 1, others: Vec::new() }
    }

    /// Demands are (milliseconds after midnight, how many at once).
    fn check(window: Minutes, supplies: &[Supply], demands: &[(u64, usize)], expected: &[f64]) {
        let demands: Vec<Demand> = demands
            .iter()
            .flat_map(|&(after, count)| {
                std::iter::repeat_n(Demand { at: MIDNIGHT + after, tokens: 100 }, count)
            })
            .collect();
        let days = Days::between(MIDNIGHT, MIDNIGHT + 24 * HOUR * expected.len() as u64 - 1);
        let best = best(window, supplies, &demands, Duration::from_secs(20), &days);
        let close = best.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-6);
        assert!(best.len() == expected.len() && close, "{window:?} {supplies:?} {demands:?}: {best:?}");
    }

    #[test]
    fn fixed_minutes_give_their_limit_once() {
        let ten = [supply(Some(10), None, None)];
        check(Minutes::Fixed, &ten, &[(0, 20)], &[10.0]);
        // From 40 s on a request can wait for the next minute.
        check(Minutes::Fixed, &ten, &[(39_999, 20)], &[10.0]);
        check(Minutes::Fixed, &ten, &[(40_000, 20)], &[20.0]);
        check(Minutes::Fixed, &ten, &[(40_000, 30)], &[20.0]);
        check(Minutes::Fixed, &ten, &[(0, 5), (50_000, 20), (61_000, 5)], &[20.0]);
        check(Minutes::Fixed, &[supply(None, None, None)], &[(0, 20)], &[20.0]);
        check(Minutes::Fixed, &[], &[(0, 20)], &[0.0]);
    }

    #[test]
    fn rolling_minutes_give_back_after_a_minute() {
        let ten = [supply(Some(10), None, None)];
        check(Minutes::Rolling, &ten, &[(0, 20)], &[10.0]);
        check(Minutes::Rolling, &ten, &[(0, 10), (39_000, 10)], &[10.0]);
        check(Minutes::Rolling, &ten, &[(0, 10), (40_000, 10)], &[20.0]);
        check(Minutes::Rolling, &ten, &[(0, 5), (30_000, 10), (45_000, 5)], &[15.0]);
    }

    #[test]
    fn tokens_limit_the_fluid() {
        // 950 tokens are nine and a half requests of 100.
        check(Minutes::Fixed, &[supply(Some(10), Some(950), None)], &[(0, 20)], &[9.5]);
        let two = [supply(Some(3), None, None), supply(None, Some(400), None)];
        check(Minutes::Fixed, &two, &[(0, 20)], &[7.0]);
    }

    #[test]
    fn days_limit_together_with_minutes() {
        // Four of one by the day, and one a minute of the other, in ten minutes.
        let two = [supply(Some(10), None, Some(4)), supply(Some(1), None, None)];
        let minutes: Vec<(u64, usize)> = (0..10).map(|minute| (minute * 60_000, 5)).collect();
        check(Minutes::Fixed, &two, &minutes, &[14.0]);
        // Each day anew.
        let days = [(0, 9), (24 * HOUR, 9)];
        check(Minutes::Fixed, &[supply(None, None, Some(4))], &days, &[4.0, 4.0]);
        check(Minutes::Rolling, &[supply(None, None, Some(4))], &days, &[4.0, 4.0]);
        let many = Supply { count: 3, ..supply(Some(1), None, Some(1)) };
        check(Minutes::Fixed, &[many], &[(0, 5), (60_000, 5)], &[3.0]);
    }

    #[test]
    fn what_others_take_is_gone() {
        let others = vec![(MIDNIGHT + 1_000, 100), (MIDNIGHT + 2_000, 100)];
        let shared = Supply { others, ..supply(Some(10), Some(1_000), Some(12)) };
        check(Minutes::Fixed, std::slice::from_ref(&shared), &[(0, 20)], &[8.0]);
        check(Minutes::Fixed, &[shared], &[(0, 20), (60_000, 20)], &[10.0]);
    }
}
