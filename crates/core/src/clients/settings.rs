//! What may be said of a client: what its key opens, for how long, and how much of the pool it may use.
//!
//! The same words everywhere: in `[[clients]]` of `libra.toml`, in the store, and where clients are administered.
//! Everything is optional; a client of which nothing is said may do what any trusted client may.

use ipnet::IpNet;
use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wildmatch::WildMatch;

use crate::config::{model_pattern, quoted, read_network};
use crate::error::Dialect;
use crate::gemini::tuning::Safety;
use crate::time::Timestamp;

/// The longest name of a client, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// The most patterns of models and the most networks of one client: a request may be matched against all.
const MAX_PATTERNS: usize = 100;
const MAX_NETWORKS: usize = 100;

/// More than any pool serves, and far from where sums of numbers overflow.
const MOST_COUNTED: u64 = 1_000_000_000_000;

/// The most that anything may cost, in whatever money the prices are in.
const MOST_COST: f64 = 1e9;

/// The most weight of a client: one that weighs 100 times as much as another leaves it as good as nothing.
const MOST_WEIGHT: u16 = 100;

/// What is said of a client, without its key. `ClientSettings::default()` is a client without any limit.
///
/// As data, every field but those that are set is left out. Unknown fields and values out of bounds are refused
/// when it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientSettings {
    /// What its operator calls it: 1 to 128 bytes of visible characters and spaces. Empty: nothing; its
    /// [`KeyId`](crate::secret::KeyId) stands for it. The client itself sees it.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "name")]
    pub name: String,
    /// Whether it is refused for now, whatever else is said.
    #[serde(skip_serializing_if = "is_default")]
    pub paused: bool,
    /// From when on it is refused. As data: RFC 3339 (`2027-01-31T12:00:00Z`), or a date (`2027-01-31`), whose whole day
    /// in UTC it may still be used.
    #[serde(skip_serializing_if = "Option::is_none", with = "moment")]
    pub expires: Option<Timestamp>,
    /// The models that it may use, as patterns (`gemini-*-flash*`) of the names that clients write or of Gemini's own.
    /// Empty: all.
    #[serde(skip_serializing_if = "ModelPatterns::is_empty")]
    pub models: ModelPatterns,
    /// The dialects that it may speak: `gemini`, `openai`, `anthropic`. Empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dialects: Vec<Dialect>,
    /// The networks from which its key is taken (`10.0.0.0/8`, `192.0.2.1`, `private`). Empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty", with = "networks")]
    pub addresses: Vec<IpNet>,
    /// How many requests to models it may make in any sixty seconds.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub requests_per_minute: Option<u64>,
    /// How many in a day, Pacific time, as Google counts.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub requests_per_day: Option<u64>,
    /// How many tokens, of input and output, in any sixty seconds.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub tokens_per_minute: Option<u64>,
    /// How many tokens in a day, Pacific time.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub tokens_per_day: Option<u64>,
    /// How many tokens in a calendar month, Pacific time.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub tokens_per_month: Option<u64>,
    /// How many tokens altogether, for ever.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub tokens_in_total: Option<u64>,
    /// What it may cost in a day, by [`Config::prices`](crate::config::Config::prices). Models without a price cost
    /// nothing.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "cost")]
    pub cost_per_day: Option<f64>,
    /// What it may cost in a calendar month.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "cost")]
    pub cost_per_month: Option<f64>,
    /// What it may cost altogether, for ever.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "cost")]
    pub cost_in_total: Option<f64>,
    /// How many of its requests and Live sessions may be under way at a time.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub concurrent_requests: Option<u64>,
    /// Whether only paid projects serve it.
    #[serde(skip_serializing_if = "is_default")]
    pub paid_only: bool,
    /// What Gemini is to block where the client does not say. None: what holds for all (`LIBRA_SAFETY`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safety: Option<Safety>,
    /// The share of the pool that is kept for it while others use up the rest, in percent: 0 to 100.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "percent")]
    pub reserve: u8,
    /// How much its fair share weighs beside others' where the pool is short: 1 to 100. One of 3 may have three times as
    /// much as one of 1.
    #[serde(skip_serializing_if = "is_one", deserialize_with = "weight")]
    pub weight: u16,
}

/// The names of the fields.
const FIELDS: [&str; 20] = [
    "name",
    "paused",
    "expires",
    "models",
    "dialects",
    "addresses",
    "requests_per_minute",
    "requests_per_day",
    "tokens_per_minute",
    "tokens_per_day",
    "tokens_per_month",
    "tokens_in_total",
    "cost_per_day",
    "cost_per_month",
    "cost_in_total",
    "concurrent_requests",
    "paid_only",
    "safety",
    "reserve",
    "weight",
];

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            paused: false,
            expires: None,
            models: ModelPatterns::default(),
            dialects: Vec::new(),
            addresses: Vec::new(),
            requests_per_minute: None,
            requests_per_day: None,
            tokens_per_minute: None,
            tokens_per_day: None,
            tokens_per_month: None,
            tokens_in_total: None,
            cost_per_day: None,
            cost_per_month: None,
            cost_in_total: None,
            concurrent_requests: None,
            paid_only: false,
            safety: None,
            reserve: 0,
            weight: 1,
        }
    }
}

impl ClientSettings {
    /// Reads settings as data, each field by the rules of the settings.
    ///
    /// # Errors
    /// What is wrong, with the field before it (`requests_per_day: is no whole number from 0 to 1000000000000`). Holds
    /// nothing of a value that could be a key.
    pub fn read(value: Value) -> Result<Self, String> {
        let Value::Object(fields) = &value else { return Err("needs a table of settings".to_owned()) };
        if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            let known = FIELDS.join(", ");
            return Err(format!("there is no setting {}; {known} are known", quoted(unknown)));
        }
        serde_path_to_error::deserialize(value).map_err(|error| {
            let (path, problem) = (error.path(), error.inner().to_string());
            // Serde quotes what it does not understand, and that may be anything.
            let expected = || problem.split_once(", expected ").map_or("something else", |(_, rest)| rest);
            if problem.starts_with("unknown variant") || problem.starts_with("invalid ") {
                format!("{path}: cannot be used; expected {}", expected())
            } else {
                format!("{path}: {problem}")
            }
        })
    }

    /// As data, for a store or an answer: an object with the fields that are set.
    pub fn written(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// What of the settings needs prices, where there are none.
    pub fn needs_prices(&self) -> Option<&'static str> {
        let costs = [
            ("cost_per_day", self.cost_per_day),
            ("cost_per_month", self.cost_per_month),
            ("cost_in_total", self.cost_in_total),
        ];
        costs.iter().find(|(_, cost)| cost.is_some()).map(|(name, _)| *name)
    }
}

/// Models, as patterns of their names in which `*` stands for anything and `?` for one character.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelPatterns(Vec<WildMatch>);

impl ModelPatterns {
    /// Whether there is no pattern: all models are meant.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The patterns as they are written.
    pub fn iter(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(WildMatch::pattern)
    }

    /// Whether a model of this name is meant.
    pub fn contains(&self, model: &str) -> bool {
        let model = model.strip_prefix("models/").unwrap_or(model);
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.matches(model))
    }
}

impl Serialize for ModelPatterns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for ModelPatterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let patterns = texts(deserializer, MAX_PATTERNS)?;
        let patterns = patterns.iter().map(|text| model_pattern(text)).collect::<Result<Vec<_>, _>>();
        patterns.map(Self).map_err(D::Error::custom)
    }
}

/// One text, or several.
fn texts<'de, D: Deserializer<'de>>(deserializer: D, most: usize) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        Many(Vec<String>),
    }
    let texts = match Texts::deserialize(deserializer) {
        Ok(Texts::One(text)) => vec![text],
        Ok(Texts::Many(texts)) => texts,
        Err(_) => return Err(D::Error::custom("is neither a text nor an array of texts")),
    };
    if texts.len() > most {
        return Err(D::Error::custom(format!("has {} entries; at most {most} are allowed", texts.len())));
    }
    Ok(texts)
}

mod networks {
    use super::{Deserializer, IpNet, MAX_NETWORKS, Serializer, read_network, texts};
    use serde::de::Error as _;

    pub(super) fn serialize<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(networks.iter().map(IpNet::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
        let texts = texts(deserializer, MAX_NETWORKS)?;
        let networks = texts.iter().map(|text| read_network(text)).collect::<Result<Vec<_>, _>>();
        Ok(networks.map_err(D::Error::custom)?.concat())
    }
}

mod moment {
    use super::{Deserialize as _, Deserializer, Serializer, Timestamp, quoted};
    use serde::de::Error as _;

    // `with` hands over the whole field.
    pub(super) fn serialize<S: Serializer>(
        moment: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match moment {
            Some(moment) => serializer.serialize_str(&moment.rfc3339()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        Timestamp::from_rfc3339(&text).map(Some).ok_or_else(|| {
            let text = quoted(&text);
            D::Error::custom(format!("{text} is no time; write 2027-01-31T12:00:00Z or 2027-01-31"))
        })
    }
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    client_name(&name).map_err(D::Error::custom)
}

/// A client's name without what surrounds it, if the text can be one.
///
/// # Errors
/// What is wrong with it. Names are shown: what looks like a key is none.
pub fn client_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(format!("is no name of at most {MAX_NAME_BYTES} bytes without control characters"));
    }
    let looks_like_a_key = ["AIza", "AQ.", "sk-"].iter().any(|start| name.starts_with(start));
    if looks_like_a_key && name.len() >= 20 {
        return Err("looks like a key; give the client a name that can be shown".to_owned());
    }
    Ok(name.to_owned())
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if value.is_null() {
        return Ok(None);
    }
    let number = value.as_u64().filter(|number| *number <= MOST_COUNTED);
    number.map(Some).ok_or_else(|| D::Error::custom(format!("is no whole number from 0 to {MOST_COUNTED}")))
}

fn cost<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if value.is_null() {
        return Ok(None);
    }
    let number = value.as_f64().filter(|number| (0.0..=MOST_COST).contains(number));
    number.map(Some).ok_or_else(|| D::Error::custom(format!("is no amount from 0 to {MOST_COST}")))
}

fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let number = Value::deserialize(deserializer)?.as_u64().and_then(|number| u8::try_from(number).ok());
    let number = number.filter(|percent| *percent <= 100);
    number.ok_or_else(|| D::Error::custom("is no share from 0 to 100 percent"))
}

fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let number = Value::deserialize(deserializer)?.as_u64().and_then(|number| u16::try_from(number).ok());
    let number = number.filter(|weight| (1..=MOST_WEIGHT).contains(weight));
    number.ok_or_else(|| D::Error::custom(format!("is no whole number from 1 to {MOST_WEIGHT}")))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_one(weight: &u16) -> bool {
    *weight == 1
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let all = json!({
            "name": "team a",
            "paused": true,
            "expires": "2027-01-31T12:00:00Z",
            "models": ["gemini-*-flash*", "gpt-4o"],
            "dialects": ["gemini", "openai", "anthropic"],
            "addresses": ["10.0.0.0/8", "192.0.2.1/32"],
            "requests_per_minute": 10,
            "requests_per_day": 1000,
            "tokens_per_minute": 100_000,
            "tokens_per_day": 1_000_000,
            "tokens_per_month": 10_000_000,
            "tokens_in_total": 100_000_000,
            "cost_per_day": 1.5,
            "cost_per_month": 20.0,
            "cost_in_total": 100.0,
            "concurrent_requests": 4,
            "paid_only": true,
            "safety": "block-none",
            "reserve": 20,
            "weight": 3,
        });
        let settings = ClientSettings::read(all.clone()).expect("all of it is right");
        assert_eq!(settings.written(), all);
        let fields: Vec<&str> =
            all.as_object().map(|all| all.keys().map(String::as_str).collect()).unwrap_or_default();
        assert_eq!(fields, FIELDS);
        assert_eq!(ClientSettings::read(json!({})), Ok(ClientSettings::default()));
        assert_eq!(ClientSettings::default().written(), json!({}));
        let networks =
            ClientSettings::read(json!({ "addresses": "loopback" })).map(|read| read.addresses.len());
        assert_eq!(networks, Ok(2));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        let check = |value: Value, expected: &str| {
            let error = ClientSettings::read(value.clone()).expect_err("it is wrong");
            assert!(error.contains(expected), "{value}: {error}");
        };
        check(json!({ "request_per_day": 1 }), "there is no setting \"request_per_day\"; name, paused");
        check(json!({ "key": "secret" }), "there is no setting \"key\"");
        check(json!({ "requests_per_day": -1 }), "requests_per_day: is no whole number from 0 to");
        check(json!({ "tokens_per_day": 1.5 }), "tokens_per_day: is no whole number");
        check(json!({ "cost_per_day": -0.5 }), "cost_per_day: is no amount");
        check(json!({ "reserve": 101 }), "reserve: is no share from 0 to 100 percent");
        check(json!({ "weight": 0 }), "weight: is no whole number from 1 to 100");
        check(json!({ "models": 1 }), "models: is neither a text nor an array of texts");
        check(json!({ "models": [""] }), "models: ");
        check(
            json!({ "dialects": ["grpc"] }),
            "dialects[0]: cannot be used; expected one of `gemini`, `openai`, `anthropic`",
        );
        check(json!({ "paused": "AIzaSy" }), "paused: cannot be used; expected a boolean");
        check(json!({ "addresses": ["10.0.0.0/40"] }), "addresses: \"10.0.0.0/40\" is no network");
        check(json!({ "expires": "tomorrow" }), "expires: \"tomorrow\" is no time");
        check(json!({ "name": "AIzaSy-0123456789-0123456789" }), "name: looks like a key");
        check(json!({ "name": "a\nb" }), "name: is no name");
    }

    #[test]
    fn a_date_means_its_whole_day() {
        let expires = |text: &str| ClientSettings::read(json!({ "expires": text })).map(|read| read.expires);
        assert_eq!(expires("2027-01-31"), expires("2027-02-01T00:00:00Z"));
        assert_eq!(expires("2027-02-01T01:00:00+01:00"), expires("2027-02-01T00:00:00Z"));
    }
}
