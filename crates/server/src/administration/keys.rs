//! Keys of the pool, as they are administered.

use std::collections::{BTreeSet, HashMap, HashSet};

use libra_core::config::{Config, MAX_KEY_BYTES, MAX_KEYS, PoolKey, Tier, read_label, read_project_name};
use libra_core::pool::SetAsideView;
use libra_core::secret::{ApiKey, KeyId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Actor, Administration, Origin, Refusal, State, Told};
use crate::clock;
use crate::store::{Change, KeptKey};

/// A key of the pool. Never the key itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct KeyView {
    /// What stands for it.
    pub(crate) id: KeyId,
    /// The form in which its owner recognises it.
    pub(crate) masked: String,
    pub(crate) label: Option<String>,
    pub(crate) tags: Vec<String>,
    /// The project that it is said to belong to. What else is known of that is the pool's view.
    pub(crate) project: Option<String>,
    /// That project's tier.
    #[serde(serialize_with = "super::projects::tier_name")]
    pub(crate) tier: Tier,
    pub(crate) paused: bool,
    pub(crate) origin: Origin,
    /// When it came into the store, in milliseconds since 1970.
    pub(crate) added_at: Option<u64>,
    /// Why it is not used, if it is set aside. None where no gateway runs.
    pub(crate) set_aside: Option<SetAsideView>,
}

/// A key to be added.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewKey {
    pub(crate) key: ApiKey,
    pub(crate) label: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) project: Option<String>,
    pub(crate) paused: bool,
}

impl From<ApiKey> for NewKey {
    /// A key of which nothing else is said.
    fn from(key: ApiKey) -> Self {
        Self { key, label: None, tags: Vec::new(), project: None, paused: false }
    }
}

/// What has become of keys that were to be added.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Added {
    pub(crate) added: Vec<KeyId>,
    /// Those that were in the store already, or twice among those to be added.
    pub(crate) doubles: Vec<KeyId>,
    /// Those that the settings have already.
    pub(crate) in_settings: Vec<KeyId>,
}

/// A change of a key: what is none stays as it is. `Some(None)` takes a label or project away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct KeyChange {
    #[serde(deserialize_with = "super::given")]
    pub(crate) label: Option<Option<String>>,
    pub(crate) tags: Option<Vec<String>>,
    #[serde(deserialize_with = "super::given")]
    pub(crate) project: Option<Option<String>>,
    pub(crate) paused: Option<bool>,
}

/// What is said here of a key, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Said {
    /// None: nothing is said here. Null: it has none, whatever the settings say.
    #[serde(deserialize_with = "super::given", skip_serializing_if = "Option::is_none")]
    label: Option<Option<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(deserialize_with = "super::given", skip_serializing_if = "Option::is_none")]
    project: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<bool>,
}

impl Said {
    fn of(kept: Option<&KeptKey>) -> Self {
        let said = kept.and_then(|kept| serde_json::from_value(kept.said.clone()).ok());
        said.unwrap_or_default()
    }

    fn written(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Has it hold for a key.
    fn put(self, key: &mut PoolKey) {
        key.label = self.label.unwrap_or_else(|| key.label.take());
        key.project = self.project.unwrap_or_else(|| key.project.take());
        key.paused = self.paused.unwrap_or(key.paused);
    }

    /// Takes a change in.
    fn change(&mut self, change: KeyChange) -> Result<(), Refusal> {
        if let Some(label) = change.label {
            self.label = Some(label.map(|label| read_label(&label)).transpose().map_err(Refusal::Wrong)?);
        }
        if let Some(project) = change.project {
            let project = project.map(|project| read_project_name(&project));
            self.project = Some(project.transpose().map_err(Refusal::Wrong)?);
        }
        if let Some(tags) = change.tags {
            self.tags = read_tags(tags)?;
        }
        self.paused = change.paused.or(self.paused);
        Ok(())
    }
}

/// Adds the store's keys to the settings', and what it says of both. A client's key never goes upstream.
pub(super) fn add(config: &mut Config, kept: &[KeptKey]) {
    let mut places: HashMap<KeyId, usize> =
        config.keys.iter().enumerate().map(|(place, key)| (key.key.id(), place)).collect();
    for kept in kept {
        let place = match (places.get(&kept.id), &kept.key) {
            (Some(&place), _) => place,
            (None, Some(key)) => {
                places.insert(kept.id, config.keys.len());
                config.keys.push(PoolKey::from(key.clone()));
                config.keys.len() - 1
            }
            // The settings had it once.
            (None, None) => continue,
        };
        Said::of(Some(kept)).put(&mut config.keys[place]);
    }
    let clients = &config.clients;
    config.keys.retain(|key| !clients.contains(&key.key));
}

impl Administration {
    /// All keys of the pool, in its order.
    pub(crate) fn keys(&self) -> Vec<KeyView> {
        let state = self.state();
        let set_aside = self.set_aside();
        views(&state, &set_aside)
    }

    /// Adds keys to the pool. Those that are there already are told apart, and nothing is said of them.
    ///
    /// # Errors
    /// No store; a label, tag or project that cannot be; a key that is a client's. Then none is added.
    pub(crate) fn add_keys(&self, actor: Actor, keys: Vec<NewKey>) -> Result<Added, Refusal> {
        let mut state = self.state();
        state.check_store()?;
        let stored: HashMap<KeyId, &KeptKey> = state.kept.keys.iter().map(|key| (key.id, key)).collect();
        let set: HashSet<KeyId> = state.settings.config.keys.iter().map(|key| key.key.id()).collect();
        let mut seen = HashSet::new();
        let mut added = Added::default();
        let mut changes = Vec::new();
        let mut notes = Vec::new();
        let now = clock::now().as_millis();
        for (index, new) in keys.into_iter().enumerate() {
            let wrong = |problem: &str| Refusal::Wrong(format!("key {}: {problem}", index + 1));
            let id = new.key.id();
            check(&new.key).map_err(|problem| wrong(&problem))?;
            if state.config.clients.contains(&new.key) {
                return Err(wrong("is a client's key, and those never go upstream"));
            }
            if state.config.admin_token.as_ref() == Some(&new.key) {
                return Err(wrong("is the administrator's token"));
            }
            if set.contains(&id) {
                added.in_settings.push(id);
                continue;
            }
            let known = stored.get(&id);
            if !seen.insert(id) || known.is_some_and(|known| known.key.is_some()) {
                added.doubles.push(id);
                continue;
            }
            let mut said = Said::default();
            let change = KeyChange {
                label: new.label.map(Some),
                tags: Some(new.tags),
                project: new.project.map(Some),
                paused: new.paused.then_some(true),
            };
            said.change(change).map_err(|refusal| wrong(&refusal.to_string()))?;
            let said = said.written();
            notes.push(Told {
                action: "keys.add",
                subject: id.to_string(),
                before: None,
                after: Some(said.clone()),
            });
            changes.push(Change::Key(KeptKey { id, key: Some(new.key), said, added_at: now }));
            added.added.push(id);
        }
        if state.config.keys.len() + changes.len() > MAX_KEYS {
            return Err(Refusal::Wrong(format!("a pool holds at most {MAX_KEYS} keys")));
        }
        drop(stored);
        self.change(&mut state, actor, changes, summed_up(notes))?;
        Ok(added)
    }

    /// Changes what is said of a key, whether it comes from the settings or the store. What is said here wins.
    ///
    /// # Errors
    /// No store, no such key, a value that cannot be.
    pub(crate) fn change_key(&self, actor: Actor, key: KeyId, change: KeyChange) -> Result<KeyView, Refusal> {
        let mut state = self.state();
        state.check_store()?;
        if !state.config.keys.iter().any(|known| known.key.id() == key) {
            return Err(no_key(key));
        }
        let kept = state.kept.keys.iter().find(|known| known.id == key);
        let before = Said::of(kept);
        let mut said = before.clone();
        said.change(change)?;
        if said != before {
            let note = Told {
                action: "keys.change",
                subject: key.to_string(),
                before: Some(before.written()),
                after: Some(said.written()),
            };
            let added_at = kept.map_or_else(|| clock::now().as_millis(), |kept| kept.added_at);
            let itself = kept.and_then(|kept| kept.key.clone());
            let is_needed = itself.is_some() || said != Said::default();
            let change = match is_needed {
                true => Change::Key(KeptKey { id: key, key: itself, said: said.written(), added_at }),
                false => Change::NoKey(key),
            };
            self.change(&mut state, actor, vec![change], vec![note])?;
        }
        let set_aside = self.set_aside();
        views(&state, &set_aside).into_iter().find(|view| view.id == key).ok_or_else(|| no_key(key))
    }

    /// Removes keys for ever; requests that run with them end well.
    ///
    /// # Errors
    /// No store, no such key, or one that comes from the settings (it can be paused). Then none is removed.
    pub(crate) fn remove_keys(&self, actor: Actor, keys: &[KeyId]) -> Result<(), Refusal> {
        let mut state = self.state();
        state.check_store()?;
        let stored: HashMap<KeyId, &KeptKey> = state.kept.keys.iter().map(|key| (key.id, key)).collect();
        let set: HashSet<KeyId> = state.settings.config.keys.iter().map(|key| key.key.id()).collect();
        let mut changes = Vec::new();
        let mut notes = Vec::new();
        for &key in keys.iter().collect::<BTreeSet<_>>() {
            if set.contains(&key) {
                return Err(Refusal::Wrong(format!(
                    "{key} comes from the settings: take it out there, or pause it here"
                )));
            }
            let known = stored.get(&key).filter(|known| known.key.is_some()).ok_or_else(|| no_key(key))?;
            let before = Some(known.said.clone());
            notes.push(Told { action: "keys.remove", subject: key.to_string(), before, after: None });
            changes.push(Change::NoKey(key));
        }
        drop(stored);
        self.change(&mut state, actor, changes, summed_up(notes))
    }

    /// All keys themselves. It is noted in the log of changes that they were given out.
    ///
    /// # Errors
    /// It cannot be noted: then they are not given out.
    pub(crate) fn export_keys(&self, actor: Actor) -> Result<Vec<(KeyView, ApiKey)>, Refusal> {
        let mut state = self.state();
        state.check_store()?;
        let count = state.config.keys.len();
        let note =
            Told { action: "keys.export", subject: format!("{count} keys"), before: None, after: None };
        self.change(&mut state, actor, Vec::new(), vec![note])?;
        let set_aside = self.set_aside();
        let keys = state.config.keys.iter().map(|key| key.key.clone());
        Ok(views(&state, &set_aside).into_iter().zip(keys).collect())
    }

    /// Which keys are set aside, where a gateway runs.
    fn set_aside(&self) -> HashMap<KeyId, SetAsideView> {
        let Some(governed) = self.governed.get() else { return HashMap::new() };
        let view = governed.gateway.view(clock::now());
        let keys = view.each_project.into_iter().flat_map(|project| project.keys);
        keys.filter_map(|key| Some((key.key, key.set_aside?))).collect()
    }
}

/// Thousands of notes of one change would drive all others out of the log: they are told as one.
fn summed_up(notes: Vec<Told>) -> Vec<Told> {
    const MOST: usize = 100;
    match notes.first() {
        Some(first) if notes.len() > MOST => {
            let (action, subject) = (first.action, format!("{} keys", notes.len()));
            vec![Told { action, subject, before: None, after: None }]
        }
        _ => notes,
    }
}

fn views(state: &State, set_aside: &HashMap<KeyId, SetAsideView>) -> Vec<KeyView> {
    let stored: HashMap<KeyId, &KeptKey> = state.kept.keys.iter().map(|key| (key.id, key)).collect();
    let set: HashSet<KeyId> = state.settings.config.keys.iter().map(|key| key.key.id()).collect();
    let tiers: HashMap<&str, Tier> =
        state.config.projects.iter().map(|project| (project.name.as_str(), project.tier)).collect();
    let view = |key: &PoolKey| {
        let id = key.key.id();
        let kept = stored.get(&id).copied();
        KeyView {
            id,
            masked: key.key.masked(),
            label: key.label.clone(),
            tags: Said::of(kept).tags,
            project: key.project.clone(),
            tier: key.project.as_deref().and_then(|name| tiers.get(name)).copied().unwrap_or_default(),
            paused: key.paused,
            origin: if set.contains(&id) { Origin::Settings } else { Origin::Store },
            added_at: kept.filter(|kept| kept.key.is_some()).map(|kept| kept.added_at),
            set_aside: set_aside.get(&id).cloned(),
        }
    };
    state.config.keys.iter().map(view).collect()
}

fn no_key(key: KeyId) -> Refusal {
    Refusal::NotFound(format!("{key} is not in the pool"))
}

/// What can stand in a header.
fn check(key: &ApiKey) -> Result<(), String> {
    let text = key.expose();
    match text.len() {
        0 => Err("is empty".to_owned()),
        1..=MAX_KEY_BYTES if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(()),
        1..=MAX_KEY_BYTES => Err("has characters that no key has".to_owned()),
        _ => Err(format!("is longer than {MAX_KEY_BYTES} bytes")),
    }
}

/// Tags are words: sorted, each once.
fn read_tags(tags: Vec<String>) -> Result<Vec<String>, Refusal> {
    const MOST: usize = 32;
    let tags: Result<BTreeSet<String>, String> = tags.iter().map(|tag| read_label(tag)).collect();
    let tags = tags.map_err(|problem| Refusal::Wrong(problem.replace("a label", "a tag")))?;
    if tags.len() > MOST {
        return Err(Refusal::Wrong(format!("a key has at most {MOST} tags")));
    }
    Ok(tags.into_iter().collect())
}
