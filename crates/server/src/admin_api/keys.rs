//! Keys of the pool over HTTP.

use libra_core::config::Tier;
use libra_core::failure::Why;
use libra_core::secret::KeyId;
use libra_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::pasted::{Pasted, Refused};
use super::problem::Problem;
use super::read::Kind;
use super::routes::MOST_KEYS_BYTES;
use super::{AdminApi, Answer, Asked, confirmed, key_named};
use crate::administration::{KeyChange, KeyView, NewKey, Origin};

/// So many entries that are no keys are listed; more are counted.
const MOST_REFUSED: usize = 100;

/// A key of the pool. Never the key itself.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Key)]
pub(crate) struct Key {
    /// What stands for it everywhere.
    #[schema(value_type = String, pattern = "^key-[0-9a-f]{16}$")]
    pub(crate) id: KeyId,
    /// The form in which its owner recognises it.
    pub(crate) masked: String,
    pub(crate) label: Option<String>,
    pub(crate) tags: Vec<String>,
    /// The project that it is said to belong to; `/admin/api/pool` knows what else is known of that.
    pub(crate) project: Option<String>,
    /// That project's tier: `unknown`, `free` or `paid`.
    #[schema(pattern = "^(unknown|free|paid)$")]
    pub(crate) tier: String,
    pub(crate) paused: bool,
    /// `settings` (files or the environment) or `store`.
    #[schema(pattern = "^(settings|store)$")]
    pub(crate) origin: String,
    /// When it came into the store.
    #[schema(format = DateTime)]
    pub(crate) added_at: Option<String>,
    pub(crate) set_aside: Option<SetAside>,
}

/// Why a key is not used until a probe or a person brings it back.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SetAside {
    /// `leaked`, `invalid`, `unauthenticated`, `suspended` or `restricted`.
    pub(crate) why: String,
    #[schema(format = DateTime)]
    pub(crate) since: String,
    /// When it is tried again; none where only a person can bring it back.
    #[schema(format = DateTime)]
    pub(crate) next_probe: Option<String>,
}

/// Which keys, and how many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct KeysAsked {
    /// Those that go by this name: an id, its beginning (`key-` and six digits at least), or a label.
    #[param(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// Those that are said to belong to this project.
    #[param(min_length = 1, max_length = 200)]
    project: Option<String>,
    /// Those with this tag.
    #[param(min_length = 1, max_length = 200)]
    tag: Option<String>,
    /// Those in this state.
    #[param(inline)]
    state: Option<State>,
    /// Those behind this id, in the pool's order: the last one of the page before.
    #[param(pattern = "^key-[0-9a-f]{16}$")]
    after: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 10000)]
    limit: u32,
}

impl Default for KeysAsked {
    fn default() -> Self {
        Self { name: None, project: None, tag: None, state: None, after: None, limit: 1000 }
    }
}

/// What keys can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum State {
    Usable,
    Paused,
    SetAside,
}

/// A page of keys.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Keys {
    /// How many there are that fit, on all pages.
    pub(crate) total: u64,
    pub(crate) keys: Vec<Key>,
    /// The `after` of the next page, if there is one.
    pub(crate) next: Option<String>,
}

/// Keys to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddKeys {
    /// One key or thousands, as they are pasted: parted by lines, commas or spaces, as `KEY` or `project:KEY`, or as JSON.
    #[schema(min_length = 1, max_length = 16000000)]
    text: String,
    /// What their owner calls them; only for one key.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    label: Option<String>,
    #[serde(default)]
    #[schema(max_items = 20)]
    tags: Vec<String>,
    /// The project of those that name none.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    project: Option<String>,
    /// Whether they are not to be used for now.
    #[serde(default)]
    paused: bool,
}

/// What has become of keys that were to be added. It is on disk.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct KeysAdded {
    /// The ids of those that are new.
    pub(crate) added: Vec<String>,
    /// How many were there already, or twice among these.
    pub(crate) doubles: u64,
    /// How many the settings (files or the environment) have already.
    pub(crate) in_settings: u64,
    /// The projects that the keys name.
    pub(crate) projects: Vec<String>,
    /// Entries that are no keys, at most 100 of them.
    pub(crate) refused: Vec<Refused>,
    /// How many entries are no keys.
    pub(crate) refused_count: u64,
}

/// A change of a key: what is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct ChangeKey {
    /// What its owner calls it; null takes it away.
    #[serde(deserialize_with = "super::given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    label: Option<Option<String>>,
    #[schema(nullable = false, max_items = 20)]
    #[serde(deserialize_with = "super::given")]
    tags: Option<Vec<String>>,
    /// The project that it belongs to; null: a project of its own, as far as is known.
    #[serde(deserialize_with = "super::given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    project: Option<Option<String>>,
    #[schema(nullable = false)]
    #[serde(deserialize_with = "super::given")]
    paused: Option<bool>,
}

/// Keys by name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyIds {
    /// Ids of keys.
    #[schema(min_items = 1, max_items = 100000)]
    ids: Vec<String>,
}

/// The token once more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirm {
    /// The administrator's token.
    #[schema(min_length = 1, max_length = 512)]
    token: String,
}

/// The keys themselves.
#[derive(Serialize, ToSchema)]
pub(crate) struct Exported {
    keys: Vec<ExportedKey>,
}

/// A key as it is.
#[derive(Serialize, ToSchema)]
struct ExportedKey {
    id: String,
    /// The key itself.
    key: String,
    project: Option<String>,
    label: Option<String>,
    tags: Vec<String>,
    paused: bool,
}

impl AdminApi {
    pub(super) async fn keys(&self, asked: KeysAsked) -> Result<Answer, Problem> {
        if asked.limit == 0 || asked.limit > 10_000 {
            return Err(Problem::wrong_field("limit", "limit: expected a number from 1 to 10000."));
        }
        for (name, value) in [("name", &asked.name), ("project", &asked.project), ("tag", &asked.tag)] {
            within(name, value.as_deref(), 200)?;
        }
        let after = asked.after.as_deref().map(|after| key_id("after", after)).transpose()?;
        let all = self.blocking(|administration| Ok(administration.keys())).await?;
        let fits = |key: &&KeyView| {
            asked.name.as_deref().is_none_or(|name| key_named(key.id, key.label.as_deref(), name))
                && asked.project.as_ref().is_none_or(|project| key.project.as_ref() == Some(project))
                && asked.tag.as_ref().is_none_or(|tag| key.tags.contains(tag))
                && asked.state.is_none_or(|state| match state {
                    State::Usable => !key.paused && key.set_aside.is_none(),
                    State::Paused => key.paused,
                    State::SetAside => key.set_aside.is_some(),
                })
        };
        let fitting: Vec<&KeyView> = all.iter().filter(fits).collect();
        let from = match after {
            None => 0,
            Some(after) => fitting.iter().position(|key| key.id == after).map_or(fitting.len(), |at| at + 1),
        };
        let page: Vec<Key> =
            fitting[from..].iter().take(asked.limit as usize).map(|key| key_of(key)).collect();
        let has_more = from + page.len() < fitting.len();
        let next = page.last().filter(|_| has_more).map(|key| key.id.to_string());
        Answer::json(&Keys { total: fitting.len() as u64, keys: page, next })
    }

    pub(super) async fn add_keys(&self, asked: Asked) -> Result<Answer, Problem> {
        let add = match asked.kind {
            Kind::Json => asked.json::<AddKeys>()?,
            Kind::Text => {
                let text = String::from_utf8(asked.body.to_vec());
                let text = text.map_err(|_| Problem::bad_request("The body is not UTF-8 text."))?;
                AddKeys { text, label: None, tags: Vec::new(), project: None, paused: false }
            }
        };
        if add.text.is_empty() || add.text.len() > MOST_KEYS_BYTES {
            return Err(Problem::wrong_field("text", "text: expected at least one key."));
        }
        within("label", add.label.as_deref(), 100)?;
        within("project", add.project.as_deref(), 100)?;
        if add.tags.len() > 20 {
            return Err(Problem::wrong_field("tags", "tags: expected at most 20."));
        }
        let Pasted { keys, doubles, refused, refused_count } = Pasted::read(&add.text);
        if keys.is_empty() {
            return Err(Problem::impossible(match refused.first() {
                Some(first) => format!("There is no key in it: entry {} {}.", first.entry, first.problem),
                None => "There is no key in it.".to_owned(),
            }));
        }
        if add.label.is_some() && keys.len() > 1 {
            return Err(Problem::impossible("A label is for one key, and there are several."));
        }
        let mut projects: Vec<String> = Vec::new();
        let keys: Vec<NewKey> = keys
            .into_iter()
            .map(|key| {
                let project = key.project.or_else(|| add.project.clone());
                if let Some(project) = project.as_ref().filter(|project| !projects.contains(project)) {
                    projects.push(project.clone());
                }
                let label = key.label.or_else(|| add.label.clone());
                NewKey { key: key.key, label, tags: add.tags.clone(), project, paused: add.paused }
            })
            .collect();
        let actor = asked.actor();
        let added = self.blocking(move |administration| administration.add_keys(actor, keys)).await?;
        let answer = KeysAdded {
            added: added.added.iter().map(KeyId::to_string).collect(),
            doubles: (doubles + added.doubles.len()) as u64,
            in_settings: added.in_settings.len() as u64,
            projects,
            refused: refused.into_iter().take(MOST_REFUSED).collect(),
            refused_count: refused_count as u64,
        };
        Answer::json(&answer)
    }

    pub(super) async fn change_key(&self, asked: Asked) -> Result<Answer, Problem> {
        let id = asked.key_id()?;
        let change: ChangeKey = asked.json()?;
        within("label", change.label.as_ref().and_then(Option::as_deref), 100)?;
        within("project", change.project.as_ref().and_then(Option::as_deref), 100)?;
        if change.tags.as_ref().is_some_and(|tags| tags.len() > 20) {
            return Err(Problem::wrong_field("tags", "tags: expected at most 20."));
        }
        let ChangeKey { label, tags, project, paused } = change;
        let change = KeyChange { label, tags, project, paused };
        let actor = asked.actor();
        let key = self.blocking(move |administration| administration.change_key(actor, id, change)).await?;
        Answer::json(&key_of(&key))
    }

    pub(super) async fn remove_key(&self, asked: Asked) -> Result<Answer, Problem> {
        let (id, actor) = (asked.key_id()?, asked.actor());
        self.blocking(move |administration| administration.remove_keys(actor, &[id])).await?;
        Ok(Answer::Nothing)
    }

    pub(super) async fn remove_keys(&self, asked: Asked) -> Result<Answer, Problem> {
        let KeyIds { ids } = asked.json()?;
        if ids.is_empty() || ids.len() > 100_000 {
            return Err(Problem::wrong_field("ids", "ids: expected 1 to 100000 ids of keys."));
        }
        let ids: Vec<KeyId> = ids
            .iter()
            .enumerate()
            .map(|(at, id)| {
                super::parsed_id(id).ok_or_else(|| Problem::impossible(format!("ids[{at}] is no key's id.")))
            })
            .collect::<Result<_, _>>()?;
        let actor = asked.actor();
        self.blocking(move |administration| administration.remove_keys(actor, &ids)).await?;
        Ok(Answer::Nothing)
    }

    pub(super) async fn export_keys(&self, asked: Asked) -> Result<Answer, Problem> {
        let Confirm { token } = asked.json()?;
        confirmed(&token)?;
        self.access.confirm(&token, asked.address, crate::clock::now())?;
        let actor = asked.actor();
        let keys = self.blocking(move |administration| administration.export_keys(actor)).await?;
        let keys = keys.into_iter().map(|(view, key)| ExportedKey {
            id: view.id.to_string(),
            key: key.expose().to_owned(),
            project: view.project,
            label: view.label,
            tags: view.tags,
            paused: view.paused,
        });
        Answer::json(&Exported { keys: keys.collect() })
    }
}

/// A text of 1 to `most` characters.
pub(super) fn within(field: &str, text: Option<&str>, most: usize) -> Result<(), Problem> {
    match text.map(|text| text.chars().count()) {
        Some(0) => Err(Problem::wrong_field(field, format!("{field}: expected a text that is not empty."))),
        Some(length) if length > most => {
            Err(Problem::wrong_field(field, format!("{field}: expected at most {most} characters.")))
        }
        _ => Ok(()),
    }
}

fn key_id(field: &str, text: &str) -> Result<KeyId, Problem> {
    super::parsed_id(text)
        .ok_or_else(|| Problem::wrong_field(field, format!("{field}: expected the id of a key.")))
}

fn key_of(view: &KeyView) -> Key {
    Key {
        id: view.id,
        masked: view.masked.clone(),
        label: view.label.clone(),
        tags: view.tags.clone(),
        project: view.project.clone(),
        tier: tier_name(view.tier).to_owned(),
        paused: view.paused,
        origin: origin_name(view.origin).to_owned(),
        added_at: view.added_at.map(|at| Timestamp::from_millis(at).rfc3339()),
        set_aside: view.set_aside.as_ref().map(|aside| SetAside {
            why: why_name(aside.why).to_owned(),
            since: aside.since.at.rfc3339(),
            next_probe: aside.next_probe.map(|probe| probe.at.rfc3339()),
        }),
    }
}

pub(super) fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Unknown => "unknown",
        Tier::Free => "free",
        Tier::Paid => "paid",
    }
}

pub(super) fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Settings => "settings",
        Origin::Store => "store",
    }
}

fn why_name(why: Why) -> &'static str {
    match why {
        Why::Leaked => "leaked",
        Why::Invalid => "invalid",
        Why::Unauthenticated => "unauthenticated",
        Why::Suspended => "suspended",
        Why::Restricted => "restricted",
    }
}
