//! Changes as records of a store that knows names and values only, as those of edge platforms do.
//!
//! A record says itself which of two counts, so that a store need not know what it holds. What was written once is read for
//! ever: a change gets no other form, only other changes get forms of their own. What a later release has written and this
//! one does not know is skipped.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{By, ProjectId, StateChange};
use crate::clients::{Amounts, Period};
use crate::failure::{LimitKind, Why};
use crate::secret::KeyId;
use crate::time::Timestamp;

/// How long is kept what has no end of its own: who is set aside, who shares a project, what a limit is. What is still so
/// then is learned again.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// How long an object that goes by another name must not come back: as long as any may be remembered without use.
const FORGOTTEN: Duration = Duration::from_secs(30 * 24 * 3600);

/// A record: what it is about, which of two counts, and how long it does.
///
/// As text it is a JSON array, `[name, rank, until, change]`. Its numbers are whole, and exact in JavaScript, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is about, unique among all: `key/…`, `rest/…`, `object/…`.
    pub name: String,
    /// Of two records of one name, the one of the higher rank counts; of equal ones either.
    pub rank: u64,
    /// When it can be dropped.
    pub until: Timestamp,
    change: StateChange,
}

/// The largest number that a JavaScript number holds exactly: that is how JSON is read there.
const MOST: u64 = (1 << 53) - 1;

impl Record {
    /// The record of a change.
    pub fn new(change: StateChange, now: Timestamp) -> Self {
        let later = now + KEPT;
        let (name, rank, until) = match &change {
            StateChange::Rest { project, model, until } => {
                let model = model.as_deref().unwrap_or_default();
                (format!("rest/{:016x}/{model}", project.as_u64()), until.as_millis(), *until)
            }
            // Every voice is kept: which is the strongest is for the pool to say.
            StateChange::Joined { project, other, by, at } => {
                let (one, other) = (project.min(other).as_u64(), project.max(other).as_u64());
                (format!("joined/{one:016x}/{other:016x}/{}", said_by(*by)), at.as_millis(), later)
            }
            StateChange::Split { key, by, at } => {
                (format!("split/{:016x}/{}", key.as_u64(), said_by(*by)), at.as_millis(), later)
            }
            StateChange::Limit { project, model, kind, .. } => {
                let name = format!("limit/{:016x}/{}/{model}", project.as_u64(), kind_name(*kind));
                (name, now.as_millis(), later)
            }
            StateChange::SetAside { key, since, .. } => (key_name(*key), since.as_millis(), later),
            StateChange::Restored { key, at } => (key_name(*key), at.as_millis(), later),
            StateChange::Spent { project, ends, requests, .. } => {
                // The later day; of one day, which Google's clock moves by minutes, the greater count.
                let day = ends.as_millis() / HALF_A_DAY;
                let rank = day.saturating_mul(REQUESTS).saturating_add((*requests).min(REQUESTS - 1));
                (format!("spent/{:016x}", project.as_u64()), rank, *ends)
            }
            // As above; all the time has no end. Requests are never fewer where tokens or money are more.
            StateChange::ClientSpent { client, period, ends, spent } => {
                let day = if *period == Period::Total { 0 } else { ends.as_millis() / HALF_A_DAY };
                let rank = day.saturating_mul(REQUESTS).saturating_add(spent.requests.min(REQUESTS - 1));
                (format!("client/{:016x}/{}", client.as_u64(), period.name()), rank, *ends)
            }
            // Who made an object is not to be lost to whoever has only looked it up.
            StateChange::Object { object, maker, until, .. } => {
                let kind = if maker.is_some() { "object" } else { "found" };
                (format!("{kind}/{object}"), until.as_millis(), *until)
            }
            StateChange::Forgotten { object } => (format!("object/{object}"), MOST, now + FORGOTTEN),
        };
        let until = Timestamp::from_millis(until.as_millis().min(MOST));
        Self { name, rank: rank.min(MOST), until, change }
    }

    /// As it is stored.
    pub fn to_json(&self) -> String {
        let written = Written::of(&self.change);
        serde_json::to_string(&(&self.name, self.rank, self.until.as_millis(), written)).unwrap_or_default()
    }

    /// Reads what was [stored](Self::to_json). None: it is nothing that this release knows.
    pub fn read(json: &str) -> Option<Self> {
        let (name, rank, until, written) = serde_json::from_str::<(String, u64, u64, Written)>(json).ok()?;
        let change = written.change()?;
        Some(Self { name, rank, until: Timestamp::from_millis(until), change })
    }

    /// Whether it is about the pool, and not about one of its many objects.
    pub fn is_of_pool(&self) -> bool {
        !matches!(self.change, StateChange::Object { .. } | StateChange::Forgotten { .. })
    }

    /// The changes of records, as [`apply`](crate::gateway::Gateway::apply) wants them: which projects are one comes first,
    /// as rests and limits are then theirs. What is over is left out.
    pub fn changes(records: impl IntoIterator<Item = Self>, now: Timestamp) -> Vec<StateChange> {
        let mut changes: Vec<StateChange> =
            records.into_iter().filter(|record| record.until > now).map(|record| record.change).collect();
        changes.sort_by_key(|change| match change {
            StateChange::Split { .. } => 0,
            StateChange::Joined { .. } => 1,
            StateChange::Forgotten { .. } => 3,
            _ => 2,
        });
        changes
    }
}

/// Half a day in milliseconds.
const HALF_A_DAY: u64 = 12 * 3600 * 1000;

/// More than any project serves in a day.
const REQUESTS: u64 = 1_000_000_000;

fn key_name(key: KeyId) -> String {
    format!("key/{:016x}", key.as_u64())
}

const fn said_by(by: By) -> &'static str {
    match by {
        By::Quotas => "quotas",
        By::Person => "person",
        By::Google => "google",
    }
}

const fn kind_name(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::RequestsPerMinute => "requests-per-minute",
        LimitKind::RequestsPerDay => "requests-per-day",
        LimitKind::TokensPerMinute => "tokens-per-minute",
        LimitKind::TokensPerDay => "tokens-per-day",
    }
}

/// A change as it is written. Projects are numbers in hexadecimal digits, moments are milliseconds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Written {
    Rest(Hex, Option<Box<str>>, u64),
    Joined(Hex, Hex, By, u64),
    Split(Hex, By, u64),
    Limit(Hex, Box<str>, Box<str>, u64),
    SetAside(Hex, Why, u64),
    Restored(Hex, u64),
    Spent(Hex, u64, u64, u64),
    ClientSpent(Hex, Box<str>, u64, u64, u64, u64),
    Object(Box<str>, Hex, Option<Hex>, u64),
    Forgotten(Box<str>),
}

/// 64 bits are more than JavaScript's numbers hold.
struct Hex(u64);

impl Serialize for Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        u64::from_str_radix(&digits, 16).map(Self).map_err(|_| serde::de::Error::custom("not a number"))
    }
}

impl Written {
    fn of(change: &StateChange) -> Self {
        let project = |project: &ProjectId| Hex(project.as_u64());
        let id = |key: &KeyId| Hex(key.as_u64());
        match change {
            StateChange::Rest { project: whose, model, until } => {
                Self::Rest(project(whose), model.clone(), until.as_millis())
            }
            StateChange::Joined { project: one, other, by, at } => {
                Self::Joined(project(one), project(other), *by, at.as_millis())
            }
            StateChange::Split { key, by, at } => Self::Split(id(key), *by, at.as_millis()),
            StateChange::Limit { project: whose, model, kind, value } => {
                Self::Limit(project(whose), model.clone(), kind_name(*kind).into(), *value)
            }
            StateChange::SetAside { key, why, since } => Self::SetAside(id(key), *why, since.as_millis()),
            StateChange::Restored { key, at } => Self::Restored(id(key), at.as_millis()),
            StateChange::Spent { project: whose, ends, requests, cost_millionths } => {
                Self::Spent(project(whose), ends.as_millis(), *requests, *cost_millionths)
            }
            StateChange::ClientSpent { client, period, ends, spent } => {
                let Amounts { requests, tokens, cost_millionths: cost } = *spent;
                let ends = ends.as_millis().min(MOST);
                Self::ClientSpent(id(client), period.name().into(), ends, requests, tokens, cost)
            }
            StateChange::Object { object, key, maker, until } => {
                Self::Object(object.clone(), id(key), maker.as_ref().map(id), until.as_millis())
            }
            StateChange::Forgotten { object } => Self::Forgotten(object.clone()),
        }
    }

    fn change(self) -> Option<StateChange> {
        let project = |Hex(number)| ProjectId::from_u64(number);
        let id = |Hex(number)| KeyId::from_u64(number);
        let time = Timestamp::from_millis;
        Some(match self {
            Self::Rest(whose, model, until) => {
                StateChange::Rest { project: project(whose), model, until: time(until) }
            }
            Self::Joined(one, other, by, at) => {
                StateChange::Joined { project: project(one), other: project(other), by, at: time(at) }
            }
            Self::Split(key, by, at) => StateChange::Split { key: id(key), by, at: time(at) },
            Self::Limit(whose, model, kind, value) => {
                let kind = KINDS.into_iter().find(|known| kind_name(*known) == &*kind)?;
                StateChange::Limit { project: project(whose), model, kind, value }
            }
            Self::SetAside(key, why, since) => {
                StateChange::SetAside { key: id(key), why, since: time(since) }
            }
            Self::Restored(key, at) => StateChange::Restored { key: id(key), at: time(at) },
            Self::Spent(whose, ends, requests, cost_millionths) => {
                StateChange::Spent { project: project(whose), ends: time(ends), requests, cost_millionths }
            }
            Self::ClientSpent(client, period, ends, requests, tokens, cost) => {
                let period = Period::named(&period)?;
                let ends = if period == Period::Total { Timestamp::NEVER } else { time(ends) };
                let spent = Amounts { requests, tokens, cost_millionths: cost };
                StateChange::ClientSpent { client: id(client), period, ends, spent }
            }
            Self::Object(object, key, maker, until) => {
                StateChange::Object { object, key: id(key), maker: maker.map(id), until: time(until) }
            }
            Self::Forgotten(object) => StateChange::Forgotten { object },
        })
    }
}

const KINDS: [LimitKind; 4] = [
    LimitKind::RequestsPerMinute,
    LimitKind::RequestsPerDay,
    LimitKind::TokensPerMinute,
    LimitKind::TokensPerDay,
];

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn project(number: u64) -> ProjectId {
        ProjectId::from_u64(number)
    }

    fn all() -> Vec<StateChange> {
        let (key, until) = (KeyId::from_u64(u64::MAX), NOW + Duration::from_secs(60));
        let kinds = KINDS.into_iter().map(|kind| StateChange::Limit {
            project: project(1),
            model: "gemini-2.5-flash".into(),
            kind,
            value: 10,
        });
        let whys = [Why::Leaked, Why::Invalid, Why::Unauthenticated, Why::Suspended, Why::Restricted];
        let whys = whys.into_iter().map(|why| StateChange::SetAside { key, why, since: NOW });
        let bys = [By::Quotas, By::Person, By::Google].into_iter().flat_map(|by| {
            let joined = StateChange::Joined { project: project(2), other: project(1), by, at: NOW };
            [joined, StateChange::Split { key, by, at: NOW }]
        });
        let others = [
            StateChange::Rest { project: project(1), model: None, until },
            StateChange::Rest {
                project: project(1), model: Some("m/\"ä\"".into()), until: Timestamp::NEVER
            },
            StateChange::Restored { key, at: NOW },
            StateChange::Spent { project: project(1), ends: until, requests: 3, cost_millionths: 7 },
            StateChange::ClientSpent {
                client: key,
                period: Period::Day,
                ends: until,
                spent: Amounts { requests: 3, tokens: 70, cost_millionths: 9 },
            },
            StateChange::ClientSpent {
                client: key,
                period: Period::Total,
                ends: Timestamp::NEVER,
                spent: Amounts { requests: 30, tokens: 700, cost_millionths: 0 },
            },
            StateChange::Object { object: "files/a".into(), key, maker: Some(key), until },
            StateChange::Object { object: "files/a".into(), key, maker: None, until },
            StateChange::Forgotten { object: "files/a".into() },
        ];
        kinds.chain(whys).chain(bys).chain(others).collect()
    }

    #[test]
    fn every_change_comes_back_as_it_was() {
        for change in all() {
            let record = Record::new(change.clone(), NOW);
            let json = record.to_json();
            let read = Record::read(&json).unwrap_or_else(|| panic!("{json}"));
            assert_eq!(read, record, "{json}");
            assert_eq!(Record::changes([read], NOW), [change], "{json}");
        }
    }

    /// What was written by one release is read by every later one.
    #[test]
    fn forms_stay_as_they_are() {
        let check = |change: StateChange, expected: &str| {
            assert_eq!(Record::new(change, NOW).to_json(), expected);
        };
        let (key, until) = (KeyId::from_u64(255), Timestamp::from_millis(1_800_000_060_000));
        check(
            StateChange::SetAside { key, why: Why::Leaked, since: NOW },
            r#"["key/00000000000000ff",1800000000000,1807776000000,{"set-aside":["00000000000000ff","leaked",1800000000000]}]"#,
        );
        check(
            StateChange::Rest { project: project(1), model: Some("m".into()), until },
            r#"["rest/0000000000000001/m",1800000060000,1800000060000,{"rest":["0000000000000001","m",1800000060000]}]"#,
        );
        check(
            StateChange::Joined { project: project(2), other: project(1), by: By::Google, at: NOW },
            r#"["joined/0000000000000001/0000000000000002/google",1800000000000,1807776000000,{"joined":["0000000000000002","0000000000000001","google",1800000000000]}]"#,
        );
        check(
            StateChange::Object { object: "files/a".into(), key, maker: None, until },
            r#"["found/files/a",1800000060000,1800000060000,{"object":["files/a","00000000000000ff",null,1800000060000]}]"#,
        );
    }

    #[test]
    fn what_is_not_known_is_skipped() {
        for json in [
            r#"["news/1",1,9999999999999,{"news":["1"]}]"#,
            r#"["key/1",1,9999999999999,{"set-aside":["1","a new reason",1]}]"#,
            r#"["limit/1",1,9999999999999,{"limit":["1","m","images-per-minute",1]}]"#,
            r#"["key/1",-1,9999999999999,{"restored":["1",1]}]"#,
            "[]",
            "",
        ] {
            assert_eq!(Record::read(json), None, "{json}");
        }
    }

    #[test]
    fn of_two_the_one_counts_that_the_pool_would_take() {
        let until = NOW + Duration::from_secs(60);
        let key = KeyId::from_u64(1);
        let rank = |change| Record::new(change, NOW).rank;
        let rest = |until| StateChange::Rest { project: project(1), model: None, until };
        assert!(rank(rest(until)) > rank(rest(NOW)));
        let spent =
            |ends, requests| StateChange::Spent { project: project(1), ends, requests, cost_millionths: 0 };
        assert!(rank(spent(until, 4)) > rank(spent(until, 3)));
        assert!(rank(spent(until + Duration::from_secs(86_400), 0)) > rank(spent(until, 1_000_000)));
        let aside = StateChange::SetAside { key, why: Why::Leaked, since: until };
        assert!(rank(aside) > rank(StateChange::Restored { key, at: NOW }));
        for change in all() {
            let record = Record::new(change, NOW);
            assert!(record.rank <= MOST && record.until > NOW, "{record:?}");
        }
    }

    #[test]
    fn what_is_over_is_left_out_and_projects_come_first() {
        let records: Vec<Record> = all().into_iter().map(|change| Record::new(change, NOW)).collect();
        let changes = Record::changes(records.clone(), NOW);
        assert_eq!(changes.len(), records.len());
        assert!(
            matches!(changes[0], StateChange::Split { .. })
                && matches!(changes[3], StateChange::Joined { .. })
        );
        let later = Record::changes(records, NOW + Duration::from_secs(3600));
        assert!(!later.iter().any(|change| matches!(change, StateChange::Object { .. })), "{later:?}");
    }
}
