//! Faults on demand: what a key, a project or a prompt can make go wrong, and how it is written.
//!
//! The written form is `kebab-case`, with parameters after colons: `leaked`, `slow-first-byte:1500`,
//! `flaky:30:overloaded`. `_` and `-` are the same, case does not matter.

use std::fmt;
use std::str::FromStr;

/// The state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Answers as well as its project's quotas let it.
    #[default]
    Healthy,
    /// Has a fault, always.
    Faulty(Fault),
    /// Has a fault in so many requests of a hundred, by the simulator's seed.
    Flaky {
        /// 0 to 100.
        percent: u8,
        /// What happens then.
        fault: Fault,
    },
}

macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// One thing that goes wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault {
            $($(#[$doc])* $variant,)*
            /// An HTML page with this status instead of an answer (200, 403, 503 …), as after an IP ban.
            Html(u16),
            /// The answer's head comes after so many milliseconds.
            SlowFirstByte(u64),
        }

        /// The faults without parameters, by name.
        pub const PLAIN: &[(&str, Fault)] = &[$(($name, Fault::$variant),)*];
    };
}

faults! {
    // Refusals: an error instead of an answer, and no quota used.
    /// 400 `API_KEY_INVALID`: unknown, mistyped or deleted.
    Invalid = "invalid",
    /// 400 `API_KEY_INVALID`: expired.
    Expired = "expired",
    /// 403: found in public.
    Leaked = "leaked",
    /// 403 `CONSUMER_SUSPENDED`; the body repeats the key, as Google's does.
    Suspended = "suspended",
    /// 403 `API_KEY_SERVICE_BLOCKED`: the key is restricted to other APIs.
    Restricted = "restricted",
    /// 403 `API_KEY_IP_ADDRESS_BLOCKED`: the key is restricted to other addresses.
    AddressBlocked = "address-blocked",
    /// 403 `SERVICE_DISABLED`: the project has not switched the API on.
    ServiceDisabled = "service-disabled",
    /// 403 `BILLING_DISABLED`: the project has no billing account.
    BillingDisabled = "billing-disabled",
    /// 403 without a reason: the key may not use this model.
    Forbidden = "forbidden",
    /// 403 for a file of another project.
    FileForbidden = "file-forbidden",
    /// 401 `ACCESS_TOKEN_TYPE_UNSUPPORTED`.
    Unauthenticated = "unauthenticated",
    /// 429: the requests of the day are used up.
    DayLimit = "day-limit",
    /// 429: the requests of the minute are used up.
    MinuteLimit = "minute-limit",
    /// 429: the input tokens of the minute are used up.
    TokenLimit = "token-limit",
    /// 429 with limits of 0: this project has no quota for this model.
    NoQuota = "no-quota",
    /// 429: prepaid credits are used up.
    Prepay = "prepay",
    /// 429: the project's monthly spending cap is reached.
    SpendingCap = "spending-cap",
    /// 429 with nothing but a link to the documentation.
    HelpOnly = "help-only",
    /// 429 with nothing but a sentence.
    BareExhausted = "bare-exhausted",
    /// 429 of the capacity that all projects share.
    SharedExhausted = "shared-exhausted",
    /// 503: the model is overloaded.
    Overloaded = "overloaded",
    /// 500.
    Internal = "internal",
    /// 504: Google gave up in time.
    Deadline = "deadline",
    /// 499: Google gave up.
    Cancelled = "cancelled",
    /// 404: this model is closed to new users.
    ModelClosed = "model-closed",
    /// 400: Google does not serve this country.
    Location = "location",
    /// 400 that is the request's own fault.
    BadRequest = "bad-request",
    /// 400: a thought signature that this project did not write.
    CorruptSignature = "corrupt-signature",
    // Spoilt answers: a 200 that is not what it should be.
    /// 200 without a body.
    Empty = "empty",
    /// 200 with a candidate that has no parts, and `STOP`.
    EmptyCandidate = "empty-candidate",
    /// 200 with a candidate without content, and `MAX_TOKENS`: all went into thinking.
    NoContent = "no-content",
    /// 200 whose answer stops in mid-sentence with `MAX_TOKENS`.
    MaxTokens = "max-tokens",
    /// 200 with `promptFeedback.blockReason` and no candidate.
    Blocked = "blocked",
    /// 200 with an empty candidate and `SAFETY`.
    Safety = "safety",
    /// 200 with a candidate without content, and `MALFORMED_FUNCTION_CALL`.
    Malformed = "malformed",
    /// 200 with a candidate without content, and `PUP_LIMITED_DISABLED`: the project is limited for abuse.
    ProjectLimited = "project-limited",
    /// 200 whose first event is an error.
    FirstEventError = "first-event-error",
    /// 200 with good events, then an error as an event.
    EventError = "event-error",
    /// 200 with good events, then a bare, pretty-printed error without `data:`.
    RawErrorTail = "raw-error-tail",
    /// 200 with good events, then a clean end without a finish reason.
    Truncated = "truncated",
    /// 200 whose connection closes in the middle of the body.
    Cut = "cut",
    /// 200 with one good event (or half an answer), then silence.
    Stall = "stall",
    /// 200, then silence.
    Silent = "silent",
    // No answer.
    /// Silence, without even a head.
    Hang = "hang",
    /// The connection is reset without an answer.
    ResetBeforeHeaders = "reset-before-headers",
}

impl Condition {
    /// The fault that this request meets, if any. `percent` is drawn for this request, 0 to 99.
    pub fn fault(self, percent: impl FnOnce() -> u8) -> Option<Fault> {
        match self {
            Self::Healthy => None,
            Self::Faulty(fault) => Some(fault),
            Self::Flaky { percent: chance, fault } => (percent() < chance).then_some(fault),
        }
    }
}

impl Fault {
    /// Whether this is a fault of the credential itself, that every operation meets. The others spare the list of
    /// models: Google's list says nothing about whether a key can generate.
    pub fn is_of_the_key(self) -> bool {
        matches!(
            self,
            Self::Invalid
                | Self::Expired
                | Self::Leaked
                | Self::Suspended
                | Self::Restricted
                | Self::AddressBlocked
                | Self::ServiceDisabled
                | Self::Unauthenticated
        )
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.trim().to_ascii_lowercase().replace('_', "-");
        if let Some((_, fault)) = PLAIN.iter().find(|(plain, _)| *plain == name) {
            return Ok(*fault);
        }
        let (kind, parameter) = name.split_once(':').unwrap_or((&name, ""));
        match (kind, parameter) {
            ("html", "") => Ok(Self::Html(503)),
            ("html", status) => status
                .parse()
                .ok()
                .filter(|status| (200..600).contains(status))
                .map(Self::Html)
                .ok_or_else(|| format!("{status} is no HTTP status that can have a body")),
            ("slow-first-byte", millis) => millis
                .parse()
                .map(Self::SlowFirstByte)
                .map_err(|_| format!("{text} needs milliseconds: slow-first-byte:1500")),
            _ => Err(format!("there is no fault named {text}")),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Html(status) => write!(f, "html:{status}"),
            Self::SlowFirstByte(millis) => write!(f, "slow-first-byte:{millis}"),
            plain => {
                let name = PLAIN.iter().find(|(_, fault)| fault == plain).map_or("", |(name, _)| name);
                f.write_str(name)
            }
        }
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.trim().to_ascii_lowercase();
        if name == "healthy" {
            return Ok(Self::Healthy);
        }
        let Some(flaky) = name.strip_prefix("flaky:") else {
            return text.parse().map(Self::Faulty);
        };
        let (percent, fault) =
            flaky.split_once(':').ok_or("flaky needs a chance and a fault: flaky:30:overloaded")?;
        let percent = percent
            .parse()
            .ok()
            .filter(|percent| *percent <= 100)
            .ok_or_else(|| format!("{percent} is no chance in percent"))?;
        Ok(Self::Flaky { percent, fault: fault.parse()? })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Faulty(fault) => fault.fmt(f),
            Self::Flaky { percent, fault } => write!(f, "flaky:{percent}:{fault}"),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Condition {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_reads_what_it_writes() {
        for (name, fault) in PLAIN {
            assert_eq!(name.parse(), Ok(*fault));
            assert_eq!(fault.to_string(), *name);
        }
        let check = |text: &str, condition: Condition| {
            assert_eq!(text.parse(), Ok(condition));
            assert_eq!(condition.to_string().parse(), Ok(condition));
        };
        check("healthy", Condition::Healthy);
        check("DAY_LIMIT", Condition::Faulty(Fault::DayLimit));
        check("html", Condition::Faulty(Fault::Html(503)));
        check("html:200", Condition::Faulty(Fault::Html(200)));
        check("slow_first_byte:20", Condition::Faulty(Fault::SlowFirstByte(20)));
        check(
            "flaky:30:reset-before-headers",
            Condition::Flaky { percent: 30, fault: Fault::ResetBeforeHeaders },
        );
        for wrong in
            ["", "sick", "flaky:30", "flaky:101:cut", "flaky:5:flaky:5:cut", "html:99", "slow-first-byte"]
        {
            assert!(wrong.parse::<Condition>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn flaky_keys_fail_by_chance() {
        let flaky = Condition::Flaky { percent: 30, fault: Fault::Cut };
        assert_eq!(flaky.fault(|| 29), Some(Fault::Cut));
        assert_eq!(flaky.fault(|| 30), None);
    }
}
