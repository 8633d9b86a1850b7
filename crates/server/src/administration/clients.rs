//! Clients of the pool, as they are administered.

use std::collections::BTreeMap;

pub(crate) use libra_core::clients::ClientSettings;
use libra_core::clients::{Client, ClientKey, HashKey, KeyHash};
use libra_core::config::{Config, MAX_KEY_BYTES};
use libra_core::secret::{ApiKey, KeyId};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Actor, Administration, Origin, Refusal, State, Told};
use crate::clock;
use crate::store::{Change, KeptClient};

/// 16 random characters cannot be guessed over a network.
const SHORTEST: usize = 16;

/// So many clients there may be: each is looked at when settings change.
const MAX_CLIENTS: usize = 100_000;

/// A client. Never its key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ClientView {
    /// What stands for it, in counts and logs, too.
    pub(crate) id: KeyId,
    /// Its name, or what stands for it.
    pub(crate) name: String,
    pub(crate) origin: Origin,
    /// When it came into the store, in milliseconds since 1970.
    pub(crate) added_at: Option<u64>,
    pub(crate) settings: ClientSettings,
}

/// A client to be added.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewClient {
    /// The key that it has already; none: one is made.
    pub(crate) key: Option<ApiKey>,
    pub(crate) settings: ClientSettings,
}

/// Adds the store's clients to the settings'.
pub(super) fn add(config: &mut Config, kept: &BTreeMap<KeyId, KeptClient>, hash_key: Option<&HashKey>) {
    if let Some(hash_key) = hash_key {
        config.clients.set_hash_key(hash_key.clone());
    }
    for (&id, client) in kept {
        // The settings' word counts where both have a client; one whose limits cannot be read is refused.
        if config.clients.find(id).is_some() {
            continue;
        }
        let settings = ClientSettings::read(client.said.clone());
        let settings =
            settings.unwrap_or_else(|_| ClientSettings { paused: true, ..ClientSettings::default() });
        config.clients.insert(Client::stored(client.key, client.hash, settings).known_as(id));
    }
}

impl Administration {
    /// All clients, by name.
    pub(crate) fn clients(&self) -> Vec<ClientView> {
        let state = self.state();
        let mut views: Vec<ClientView> =
            state.config.clients.iter().map(|client| view(&state, client)).collect();
        views.sort_by(|one, other| (&one.name, one.id).cmp(&(&other.name, other.id)));
        views
    }

    /// Adds a client. Its key is in the answer, and never again.
    ///
    /// # Errors
    /// No store, a name that another one has, settings that cannot be, a key that is a client's or the pool's.
    pub(crate) fn add_client(
        &self,
        actor: Actor,
        client: NewClient,
    ) -> Result<(ClientView, ApiKey), Refusal> {
        let mut state = self.state();
        state.check_store()?;
        if state.config.clients.len() >= MAX_CLIENTS {
            return Err(Refusal::Wrong(format!("there can be at most {MAX_CLIENTS} clients")));
        }
        check(&state, &client.settings, None)?;
        let key = match client.key {
            Some(key) => key,
            None => make_key()?,
        };
        check_key(&state, &key)?;
        let id = key.id();
        let kept = KeptClient {
            key: id,
            hash: hash(&state, &key)?,
            said: client.settings.written(),
            added_at: clock::now().as_millis(),
        };
        let after = Some(kept.said.clone());
        let note = Told { action: "clients.add", subject: id.to_string(), before: None, after };
        self.change(&mut state, actor, vec![Change::Client(id, kept)], vec![note])?;
        Ok((found(&state, id)?, key))
    }

    /// Replaces what is said of a client.
    ///
    /// # Errors
    /// As above; no such client, or one that comes from the settings.
    pub(crate) fn change_client(
        &self,
        actor: Actor,
        client: KeyId,
        settings: ClientSettings,
    ) -> Result<ClientView, Refusal> {
        let mut state = self.state();
        let kept = stored(&state, client)?.clone();
        check(&state, &settings, Some(client))?;
        let said = settings.written();
        let note = Told {
            action: "clients.change",
            subject: client.to_string(),
            before: Some(kept.said.clone()),
            after: Some(said.clone()),
        };
        let change = Change::Client(client, KeptClient { said, ..kept });
        self.change(&mut state, actor, vec![change], vec![note])?;
        found(&state, client)
    }

    /// Removes a client: its key opens nothing from then on.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn remove_client(&self, actor: Actor, client: KeyId) -> Result<(), Refusal> {
        let mut state = self.state();
        let before = Some(stored(&state, client)?.said.clone());
        let note = Told { action: "clients.remove", subject: client.to_string(), before, after: None };
        self.change(&mut state, actor, vec![Change::NoClient(client)], vec![note])
    }

    /// Gives a client another key; the one it had opens nothing from then on. It keeps its id, and with it counts and
    /// objects.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn rotate_client(&self, actor: Actor, client: KeyId) -> Result<(ClientView, ApiKey), Refusal> {
        let mut state = self.state();
        let kept = stored(&state, client)?.clone();
        let key = make_key()?;
        let change = KeptClient { key: key.id(), hash: hash(&state, &key)?, ..kept };
        let note = Told { action: "clients.rotate", subject: client.to_string(), before: None, after: None };
        self.change(&mut state, actor, vec![Change::Client(client, change)], vec![note])?;
        Ok((found(&state, client)?, key))
    }
}

/// A key for a client: 256 random bits.
fn make_key() -> Result<ApiKey, Refusal> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut *bytes).map_err(|error| Refusal::Disk(error.to_string()))?;
    let text: Zeroizing<String> = Zeroizing::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
    Ok(ApiKey::new(&Zeroizing::new(format!("libra-{}", *text))))
}

fn hash(state: &State, key: &ApiKey) -> Result<KeyHash, Refusal> {
    state.check_store()?;
    // With every store comes its key.
    let by = state.hash_key.as_ref().ok_or_else(|| Refusal::NoStore("there is no store".to_owned()))?;
    Ok(by.hash(key))
}

fn view(state: &State, client: &Client) -> ClientView {
    let kept = state.kept.clients.get(&client.id());
    let is_stored =
        kept.is_some_and(|kept| matches!(client.key(), ClientKey::Hashed(key, _) if *key == kept.key));
    ClientView {
        id: client.id(),
        name: client.name(),
        origin: if is_stored { Origin::Store } else { Origin::Settings },
        added_at: kept.filter(|_| is_stored).map(|kept| kept.added_at),
        settings: client.settings.clone(),
    }
}

fn found(state: &State, client: KeyId) -> Result<ClientView, Refusal> {
    let found = state.config.clients.find(client);
    found.map(|client| view(state, client)).ok_or_else(|| no_client(client))
}

fn stored(state: &State, client: KeyId) -> Result<&KeptClient, Refusal> {
    state.check_store()?;
    match state.kept.clients.get(&client) {
        Some(kept) => Ok(kept),
        None if state.config.clients.find(client).is_some() => {
            Err(Refusal::Wrong(format!("{client} comes from the settings: change it there")))
        }
        None => Err(no_client(client)),
    }
}

fn no_client(client: KeyId) -> Refusal {
    Refusal::NotFound(format!("there is no client {client}"))
}

/// Whether a client may be so beside the others.
fn check(state: &State, settings: &ClientSettings, itself: Option<KeyId>) -> Result<(), Refusal> {
    let others = || state.config.clients.iter().filter(|other| Some(other.id()) != itself);
    let wrong = |problem: String| Err(Refusal::Wrong(problem));
    if let Some(setting) = settings.needs_prices().filter(|_| state.config.prices.is_empty()) {
        return wrong(format!("{setting} needs prices: set LIBRA_PRICES too"));
    }
    if !settings.name.is_empty() && others().any(|other| other.settings.name == settings.name) {
        return wrong(format!("there is another client named \"{}\"", settings.name));
    }
    let reserved: u32 = others().map(|other| u32::from(other.settings.reserve)).sum();
    if reserved + u32::from(settings.reserve) > 100 && settings.reserve > 0 {
        return wrong("with it, more than 100 percent of the pool would be reserved".to_owned());
    }
    Ok(())
}

/// Whether a key can be a client's.
fn check_key(state: &State, key: &ApiKey) -> Result<(), Refusal> {
    let wrong = |problem: &str| Err(Refusal::Wrong(problem.to_owned()));
    let text = key.expose();
    if text.len() < SHORTEST {
        return wrong("the key has fewer than 16 characters, and could be guessed");
    }
    if text.len() > MAX_KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("the key has characters that no key has, or is too long");
    }
    let clients = &state.config.clients;
    if clients.contains(key) || clients.find(key.id()).is_some() {
        return wrong("there is a client with this key");
    }
    let in_pool = state.config.keys.iter().any(|known| known.key == *key);
    if in_pool || state.config.admin_token.as_ref() == Some(key) {
        return wrong("the key is one of the pool, or the administrator's token: use one of its own");
    }
    Ok(())
}
