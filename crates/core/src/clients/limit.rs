//! What of a client's use is limited, over which time, and in what.

use serde::Serialize;

use super::ClientSettings;

/// A number with a fraction is counted in millionths, so that sums are exact.
pub(super) const MILLION: f64 = 1_000_000.0;

/// A limit of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Requests in any sixty seconds.
    RequestsPerMinute,
    /// Tokens in any sixty seconds.
    TokensPerMinute,
    /// Requests in a Pacific day.
    RequestsPerDay,
    /// Tokens in a Pacific day.
    TokensPerDay,
    /// Money in a Pacific day, in millionths.
    CostPerDay,
    /// Tokens in a Pacific month.
    TokensPerMonth,
    /// Money in a Pacific month, in millionths.
    CostPerMonth,
    /// Tokens altogether.
    TokensInTotal,
    /// Money altogether, in millionths.
    CostInTotal,
    /// Requests under way.
    ConcurrentRequests,
    /// What is the client's of a pool that is short today, in requests.
    FairShare,
}

/// Over which time something is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A Pacific day.
    Day,
    /// A Pacific calendar month.
    Month,
    /// All the time.
    Total,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    Requests,
    Tokens,
    Cost,
}

impl Limit {
    /// Those that are counted in windows of time.
    pub(super) const COUNTED: [Self; 9] = [
        Self::RequestsPerMinute,
        Self::TokensPerMinute,
        Self::RequestsPerDay,
        Self::TokensPerDay,
        Self::CostPerDay,
        Self::TokensPerMonth,
        Self::CostPerMonth,
        Self::TokensInTotal,
        Self::CostInTotal,
    ];

    /// Its name, as in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::RequestsPerDay => "requests_per_day",
            Self::TokensPerDay => "tokens_per_day",
            Self::CostPerDay => "cost_per_day",
            Self::TokensPerMonth => "tokens_per_month",
            Self::CostPerMonth => "cost_per_month",
            Self::TokensInTotal => "tokens_in_total",
            Self::CostInTotal => "cost_in_total",
            Self::ConcurrentRequests => "concurrent_requests",
            Self::FairShare => "fair_share",
        }
    }

    /// In the words of a message.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests a minute",
            Self::TokensPerMinute => "tokens a minute",
            Self::RequestsPerDay => "requests a day",
            Self::TokensPerDay => "tokens a day",
            Self::CostPerDay => "cost a day",
            Self::TokensPerMonth => "tokens a month",
            Self::CostPerMonth => "cost a month",
            Self::TokensInTotal => "tokens in total",
            Self::CostInTotal => "cost in total",
            Self::ConcurrentRequests => "requests at a time",
            Self::FairShare => "requests of this client's share of the day",
        }
    }

    /// The period over which it counts; none: a minute, or no time at all.
    /// Whether what is used up does not come back within a minute.
    pub const fn is_of_a_day_or_more(self) -> bool {
        self.period().is_some()
    }

    pub(super) const fn period(self) -> Option<Period> {
        match self {
            Self::RequestsPerDay | Self::TokensPerDay | Self::CostPerDay => Some(Period::Day),
            Self::TokensPerMonth | Self::CostPerMonth => Some(Period::Month),
            Self::TokensInTotal | Self::CostInTotal => Some(Period::Total),
            Self::RequestsPerMinute | Self::TokensPerMinute | Self::ConcurrentRequests | Self::FairShare => {
                None
            }
        }
    }

    pub(super) const fn measure(self) -> Measure {
        match self {
            Self::RequestsPerMinute | Self::RequestsPerDay | Self::ConcurrentRequests | Self::FairShare => {
                Measure::Requests
            }
            Self::TokensPerMinute | Self::TokensPerDay | Self::TokensPerMonth | Self::TokensInTotal => {
                Measure::Tokens
            }
            Self::CostPerDay | Self::CostPerMonth | Self::CostInTotal => Measure::Cost,
        }
    }

    /// Whether it is a budget, which is used up, rather than a rate, which is slowed down to.
    pub(super) const fn is_budget(self) -> bool {
        matches!(self.period(), Some(Period::Month | Period::Total)) || matches!(self, Self::CostPerDay)
    }

    /// What the settings say of it; money in millionths.
    pub(super) fn of(self, settings: &ClientSettings) -> Option<u64> {
        let millionths = |cost: Option<f64>| cost.map(|cost| (cost * MILLION).round() as u64);
        match self {
            Self::RequestsPerMinute => settings.requests_per_minute,
            Self::TokensPerMinute => settings.tokens_per_minute,
            Self::RequestsPerDay => settings.requests_per_day,
            Self::TokensPerDay => settings.tokens_per_day,
            Self::CostPerDay => millionths(settings.cost_per_day),
            Self::TokensPerMonth => settings.tokens_per_month,
            Self::CostPerMonth => millionths(settings.cost_per_month),
            Self::TokensInTotal => settings.tokens_in_total,
            Self::CostInTotal => millionths(settings.cost_in_total),
            Self::ConcurrentRequests => settings.concurrent_requests,
            Self::FairShare => None,
        }
    }
}

impl Period {
    /// All of them, in the order of their sums.
    pub const ALL: [Self; 3] = [Self::Day, Self::Month, Self::Total];

    /// Its name in stores and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// The period of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.name() == name)
    }
}
