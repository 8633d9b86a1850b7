//! What a client sees of itself, with its own key: `/me`, and the old pages of OpenAI's billing that clients of one-api and
//! new-api ask for a balance.
//!
//! Of those, clients read `hard_limit_usd` (what may be used, in money; what counts as no limit is 100,000,000),
//! `access_until` (seconds, 0 for ever) and `total_usage` (hundredths of money); what is left is their difference. Dates in
//! the query are not looked at: both pages speak of the same period, the one of the budget with least left.

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};

use super::account::Standing;
use super::limit::{MILLION, Measure};
use super::{AccountView, Client, Period};
use crate::time::Timestamp;

/// What one-api and its kin say of a key without a limit.
const NO_LIMIT: f64 = 100_000_000.0;

/// What a client may ask about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// `/me`
    Me,
    /// `/v1/dashboard/billing/subscription`
    Subscription,
    /// `/v1/dashboard/billing/usage`
    Usage,
}

/// The answer.
pub(crate) fn answer(page: Page, client: &Client, account: &AccountView) -> Response<Bytes> {
    let body = match page {
        Page::Me => me(client, account),
        Page::Subscription => {
            let limit = budget(account).map_or(NO_LIMIT, |budget| money(budget.of));
            json!({
                "object": "billing_subscription",
                "has_payment_method": true,
                "soft_limit_usd": limit,
                "hard_limit_usd": limit,
                "system_hard_limit_usd": limit,
                "access_until": client.settings.expires.map_or(0, Timestamp::as_secs),
            })
        }
        Page::Usage => {
            let all = || account.periods[Period::Total as usize].1.cost_millionths;
            let used = budget(account).map_or_else(all, |budget| budget.used);
            json!({ "object": "list", "total_usage": money(used) * 100.0 })
        }
    };
    let mut response = Response::new(Bytes::from(body.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn me(client: &Client, account: &AccountView) -> Value {
    let settings = &client.settings;
    let limits: Vec<Value> = account.limits().collect();
    let periods = account.periods.iter().map(|(period, spent, ends)| {
        let used = json!({
            "requests": spent.requests,
            "tokens": spent.tokens,
            "cost": money(spent.cost_millionths),
            "resets": resets(*ends),
        });
        (period.name().to_owned(), used)
    });
    let used: Map<String, Value> = periods.collect();
    json!({
        "name": client.name(),
        "id": client.id().to_string(),
        "expires": settings.expires.map(Timestamp::rfc3339),
        "models": settings.models,
        "dialects": settings.dialects,
        "paid_only": settings.paid_only,
        "limits": limits,
        "concurrent_requests": { "limit": settings.concurrent_requests, "used": account.under_way },
        "used": used,
    })
}

impl AccountView {
    /// How far each limit is used, as an answer shows it: `limit`, `of`, `used`, `remaining`, `resets` (RFC 3339; null
    /// where it does not come back). What requests under way may use is used.
    pub fn limits(&self) -> impl Iterator<Item = Value> {
        self.standings.iter().map(|Standing { limit, of, used, resets: at }| {
            let shown = |amount: u64| match limit.measure() {
                Measure::Cost => json!(money(amount)),
                Measure::Requests | Measure::Tokens => json!(amount),
            };
            json!({
                "limit": limit.name(),
                "of": shown(*of),
                "used": shown(*used),
                "remaining": shown(of.saturating_sub(*used)),
                "resets": resets(*at),
            })
        })
    }
}

/// The budget of money with least left.
fn budget(account: &AccountView) -> Option<&Standing> {
    let money = account.standings.iter().filter(|standing| standing.limit.measure() == Measure::Cost);
    money.min_by_key(|standing| standing.of.saturating_sub(standing.used))
}

fn money(millionths: u64) -> f64 {
    millionths as f64 / MILLION
}

fn resets(at: Timestamp) -> Option<String> {
    (at != Timestamp::NEVER).then(|| at.rfc3339())
}
