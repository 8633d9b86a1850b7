//! Reads a 429: which quota, of which models, and for how long.
//!
//! The quota's name decides over `RetryInfo`: with a quota by the day Google sends delays of seconds, after
//! which the answer is the same. Source: recorded and reported answers of the API.

use std::time::Duration;

use super::classify::Verdict;
use super::report::{Report, Violation};
use super::{Class, Consequence, Elsewhere, Limit, LimitKind};
use crate::time::Timestamp;

/// Quotas by the minute roll; a minute is enough where Google says nothing.
const MINUTE: Duration = Duration::from_secs(60);
/// Google says "0s" at times. Less than a second is a delay that has passed on arrival.
const SHORTEST: Duration = Duration::from_secs(1);
/// "At least a day": a project gets a quota only when its owner does something, or a model's terms change.
const NO_QUOTA: Duration = Duration::from_secs(24 * 60 * 60);
/// A 429 that only links the documentation: a tool's quota, a batch's, or a limit for abuse.
const HELP_ONLY: Duration = Duration::from_secs(30);
/// A 429 without anything: a throttle that passes in seconds.
const THROTTLED: Duration = Duration::from_secs(3);
/// Interactions name the rate and no delay.
const RATE: Duration = Duration::from_secs(10);
/// Prepaid credits or the monthly cap are used up. Reported to heal within the hour where it was a mistake.
const NO_MONEY: Duration = Duration::from_secs(45 * 60);
/// The limit on spending rolls over ten minutes.
const SPENDING: Duration = Duration::from_secs(10 * 60);

/// The window a quota is counted over. The later one is the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Window {
    Unnamed,
    Minute,
    Day,
    /// Not a window: the project has no quota.
    None,
}

/// What a 429 with a readable error means.
pub(super) fn read(report: &Report, now: Timestamp) -> Verdict {
    let said = report.said.as_str();
    if let Some(wait) = money(said) {
        return Verdict::new(Class::ProjectBilling, Consequence::RestProject(now + wait), Elsewhere::All)
            .with_wait(Some(wait));
    }
    let window = window(report);
    let named = !report.violations.is_empty() || said.contains("quota exceeded for");
    let mut verdict = match window {
        Window::None => rest(Class::QuotaNone, now, NO_QUOTA.max(to_midnight(now)), Elsewhere::All),
        Window::Day => rest(Class::QuotaDay, now, to_midnight(now), Elsewhere::All),
        Window::Minute => {
            rest(Class::QuotaMinute, now, report.delay.unwrap_or(MINUTE).max(SHORTEST), Elsewhere::All)
        }
        Window::Unnamed if named => {
            rest(Class::QuotaUnnamed, now, report.delay.unwrap_or(MINUTE).max(SHORTEST), Elsewhere::All)
        }
        Window::Unnamed => unnamed(report, now),
    };
    verdict.families = families(report);
    verdict.limits = report.violations.iter().filter_map(limit).collect();
    verdict
}

/// A 429 without a readable error. Somebody limits us, and no more is known.
pub(super) fn unreadable(now: Timestamp) -> Verdict {
    rest(Class::QuotaUnnamed, now, THROTTLED, Elsewhere::One)
}

/// No quota is named.
fn unnamed(report: &Report, now: Timestamp) -> Verdict {
    let said = report.said.as_str();
    match report.word.as_str() {
        "quota_exceeded" => return rest(Class::QuotaDay, now, to_midnight(now), Elsewhere::All),
        "rate_limit_exceeded" | "too_many_requests" => {
            let wait = report.delay.unwrap_or(RATE).max(SHORTEST);
            return rest(Class::QuotaMinute, now, wait, Elsewhere::All);
        }
        _ => {}
    }
    // Capacity that all projects share ("dynamic shared quota").
    if said.contains("error-code-429") || said.starts_with("resource exhausted") {
        return Verdict::new(Class::Overloaded, Consequence::Penalty, Elsewhere::One).with_wait(report.delay);
    }
    let exceeded = said.starts_with("you exceeded your current quota");
    let wait = report.delay.unwrap_or(if exceeded { HELP_ONLY } else { THROTTLED });
    rest(Class::QuotaUnnamed, now, wait.max(SHORTEST), Elsewhere::One)
}

fn rest(class: Class, now: Timestamp, wait: Duration, elsewhere: Elsewhere) -> Verdict {
    Verdict::new(class, Consequence::RestModel(now + wait), elsewhere).with_wait(Some(wait))
}

/// The time to the next Pacific midnight.
fn to_midnight(now: Timestamp) -> Duration {
    now.next_pacific_midnight().since(now)
}

/// How long a project without money rests, if that is what the message says.
fn money(said: &str) -> Option<Duration> {
    if said.contains("prepayment credits are depleted") || said.contains("spending cap") {
        Some(NO_MONEY)
    } else if said.contains("spend limit") || said.contains("spending limit") || said.contains("spend-based")
    {
        Some(SPENDING)
    } else {
        None
    }
}

/// The worst window of all quotas that are named, in the details or only in the message.
fn window(report: &Report) -> Window {
    let of_message = || {
        if report.said.contains("per day") || report.said.contains("perday") {
            Window::Day
        } else if report.said.contains("per minute") || report.said.contains("perminute") {
            Window::Minute
        } else {
            Window::Unnamed
        }
    };
    if says_limit_zero(&report.said) {
        return Window::None;
    }
    let worst = report.violations.iter().map(Violation::window).max();
    worst.filter(|&window| window != Window::Unnamed).unwrap_or_else(of_message)
}

/// "limit: 0" as a whole number, and not the beginning of another.
fn says_limit_zero(said: &str) -> bool {
    said.match_indices("limit: 0").any(|(at, words)| {
        let mut rest = said[at + words.len()..].chars();
        match rest.next() {
            Some('.') => !rest.next().is_some_and(|c| c.is_ascii_digit()),
            next => !next.is_some_and(|c| c.is_ascii_alphanumeric()),
        }
    })
}

/// Each family once: from the details, else from the message ("limit: 20, model: gemini-2.5-flash").
fn families(report: &Report) -> Vec<String> {
    let mut families: Vec<String> = Vec::new();
    for family in report.violations.iter().filter_map(|violation| violation.family.as_ref()) {
        if !families.contains(family) {
            families.push(family.clone());
        }
    }
    if families.is_empty()
        && let Some((_, rest)) = report.said.split_once(", model: ")
    {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"-._".contains(c)).unwrap_or(rest.len());
        let family = rest[..end].trim_end_matches('.');
        if (1..=128).contains(&family.len()) {
            families.push(family.to_owned());
        }
    }
    families
}

/// A limit to learn: one that is not zero, of a kind that is planned by.
fn limit(violation: &Violation) -> Option<Limit> {
    let value = violation.value.filter(|&value| value > 0)?;
    let tokens = violation.quota.contains("token");
    let kind = match violation.window() {
        Window::Day if tokens => LimitKind::TokensPerDay,
        Window::Minute if tokens => LimitKind::TokensPerMinute,
        Window::Day if violation.quota.contains("request") => LimitKind::RequestsPerDay,
        Window::Minute if violation.quota.contains("request") => LimitKind::RequestsPerMinute,
        _ => return None,
    };
    Some(Limit { family: violation.family.clone(), kind, value })
}

impl Violation {
    fn window(&self) -> Window {
        if self.value == Some(0) {
            Window::None
        } else if self.quota.contains("perday") {
            Window::Day
        } else if self.quota.contains("perminute") {
            Window::Minute
        } else {
            Window::Unnamed
        }
    }
}
