//! How a client is told of its limits: in the heads of answers, and in refusals.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::account::{Over, Standing};
use super::limit::{Limit, MILLION, Measure};
use crate::error::{Dialect, Error, Kind};
use crate::time::Timestamp;

/// How far a client's limits on requests and tokens were used when it asked. Of several the one with least left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    at: Timestamp,
    requests: Option<Line>,
    tokens: Option<Line>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    limit: u64,
    remaining: u64,
    resets: Timestamp,
}

impl Told {
    pub(super) fn of(standings: &[Standing], now: Timestamp) -> Option<Self> {
        let line = |measure: Measure| {
            let of_it = standings.iter().filter(|standing| standing.limit.measure() == measure);
            let lines = of_it.map(|standing| Line {
                limit: standing.of,
                remaining: standing.of.saturating_sub(standing.used),
                resets: standing.resets.max(now),
            });
            lines.min_by_key(|line| line.remaining)
        };
        let told = Self { at: now, requests: line(Measure::Requests), tokens: line(Measure::Tokens) };
        (told.requests.is_some() || told.tokens.is_some()).then_some(told)
    }

    /// Puts it into the head of an answer, as the dialect's own service does. Google's has no such headers.
    ///
    /// Sources: "Rate limits in headers" (platform.openai.com), "Response headers" (docs.anthropic.com, rate limits).
    pub(crate) fn put(&self, headers: &mut HeaderMap, dialect: Dialect) {
        let names = match dialect {
            Dialect::Gemini => return,
            Dialect::OpenAi => [OPENAI_REQUESTS, OPENAI_TOKENS],
            Dialect::Anthropic => [ANTHROPIC_REQUESTS, ANTHROPIC_TOKENS],
        };
        for ([limit, remaining, reset], line) in names.into_iter().zip([self.requests, self.tokens]) {
            let Some(line) = line else { continue };
            headers.insert(HeaderName::from_static(limit), HeaderValue::from(line.limit));
            headers.insert(HeaderName::from_static(remaining), HeaderValue::from(line.remaining));
            let resets = match dialect {
                Dialect::Anthropic => line.resets.rfc3339(),
                _ => in_gos_words(line.resets.since(self.at)),
            };
            headers.extend(
                HeaderValue::try_from(resets).ok().map(|resets| (HeaderName::from_static(reset), resets)),
            );
        }
    }
}

const OPENAI_REQUESTS: [&str; 3] =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const OPENAI_TOKENS: [&str; 3] =
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
const ANTHROPIC_REQUESTS: [&str; 3] = [
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
];
const ANTHROPIC_TOKENS: [&str; 3] = [
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
];

/// A time as OpenAI writes it: `250ms`, `7s`, `6m0s`, `11h2m0s`.
fn in_gos_words(time: Duration) -> String {
    let millis = time.as_millis();
    let (seconds, rest) = (millis / 1000, millis % 1000);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0) => format!("{rest}ms"),
        (0, 0, seconds) if rest > 0 => format!("{seconds}.{rest:03}s"),
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// The refusal of a request for a limit.
pub(super) fn refusal(over: &Over, told: Option<Told>, now: Timestamp) -> Error {
    let Over { standing: Standing { limit, of, used, .. }, needs, until } = *over;
    let shown = |amount: u64| match limit.measure() {
        Measure::Cost => format!("{}", amount as f64 / MILLION),
        Measure::Requests | Measure::Tokens => amount.to_string(),
    };
    let (words, most) = (limit.words(), shown(of));
    let wait = until.map(|until| until.since(now).max(Duration::from_millis(1)));
    let seconds = wait.map(|wait| wait.as_millis().div_ceil(1000)).unwrap_or_default();
    let message = match (limit, wait) {
        (Limit::ConcurrentRequests, _) => format!(
            "This client may have {most} {words}, and has {used}. 此客户端的并发请求数已达上限 {most}。"
        ),
        (Limit::FairShare, _) => format!(
            "The pool is short of this model today, and this client has had its {most} {words} \
             (LIBRA_FAIR_SHARES); try again in {seconds} s. 今日额度紧张，此客户端已用完其份额，请 {seconds} 秒后再试。"
        ),
        (_, Some(_)) => format!(
            "This client may use {most} {words}: {} are used, {} needed; try again in {seconds} s. \
             此客户端已达到限额（{}），请 {seconds} 秒后再试。",
            shown(used),
            shown(needs),
            limit.name(),
        ),
        (_, None) if needs > of => format!(
            "This request needs about {}, and this client may use {most} {words}. 此请求超出客户端的限额（{}）。",
            shown(needs),
            limit.name(),
        ),
        (_, None) => format!(
            "This client may use {most} {words}, and has used {}. 此客户端的额度已用完（{}）。",
            shown(used),
            limit.name(),
        ),
    };
    let kind = if limit.is_budget() { Kind::QuotaSpent } else { Kind::RateLimited };
    Error { retry_after: wait, limits: told.map(Box::new), ..Error::new(kind, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_go() {
        let check =
            |millis, expected: &str| assert_eq!(in_gos_words(Duration::from_millis(millis)), expected);
        check(0, "0ms");
        check(250, "250ms");
        check(1_500, "1.500s");
        check(7_000, "7s");
        check(360_000, "6m0s");
        check(39_720_999, "11h2m0s");
    }
}
