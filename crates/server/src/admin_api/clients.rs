//! Clients over HTTP.

use libra_core::clients::{ClientSettings, client_name};
use libra_core::config::weakness;
use libra_core::secret::{ApiKey, KeyId};
use libra_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::keys::origin_name;
use super::problem::Problem;
use super::{AdminApi, Answer, Asked};
use crate::administration::{ClientView, NewClient};

/// A client of the pool. Never its key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Client)]
pub(crate) struct Client {
    /// What stands for it in counts and logs.
    #[schema(value_type = String, pattern = "^key-[0-9a-f]{16}$")]
    id: KeyId,
    /// Its name, or what stands for it.
    name: String,
    /// `settings` (files or the environment) or `store`.
    #[schema(pattern = "^(settings|store)$")]
    origin: String,
    /// When it came into the store.
    #[schema(format = DateTime)]
    added_at: Option<String>,
    /// What is said of it: the fields of `ClientSettings` that are set.
    #[schema(value_type = Object)]
    settings: Value,
}

/// All clients.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Clients {
    clients: Vec<Client>,
}

/// A client with its key, which is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClientWithKey {
    /// The key. Nobody can read it again.
    key: String,
    client: Client,
}

/// Descriptions of what core reads: what is its own, and all that can be said of a client. What is left out of a change
/// stays as it is, and null takes back what was said.
macro_rules! described {
    ($(#[$about:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$about])*
        #[derive(Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "a description of what core reads")]
        pub(crate) struct $name {
            $($own)*
            /// Whether it is refused for now.
            paused: Option<bool>,
            /// From when on it is refused: a time, or a date whose whole day (UTC) it may still be used.
            #[schema(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)?$")]
            expires: Option<String>,
            /// The models that it may use, as patterns of their names (`gemini-*-flash*`). Empty: all.
            #[schema(max_items = 100)]
            models: Option<Vec<String>>,
            /// The dialects that it may speak: `gemini`, `openai`, `anthropic`. Empty: all.
            #[schema(max_items = 3)]
            dialects: Option<Vec<String>>,
            /// The networks from which its key is taken (`10.0.0.0/8`, `192.0.2.1`, `private`, `loopback`). Empty: all.
            #[schema(max_items = 100)]
            addresses: Option<Vec<String>>,
            /// Requests to models in any sixty seconds.
            #[schema(minimum = 0, maximum = 1000000000000_i64)]
            requests_per_minute: Option<i64>,
            /// Requests in a day, Pacific time.
            #[schema(minimum = 0, maximum = 1000000000000_i64)]
            requests_per_day: Option<i64>,
            /// Tokens of input and output in any sixty seconds.
            #[schema(minimum = 0, maximum = 1000000000000_i64)]
            tokens_per_minute: Option<i64>,
            /// Tokens in a day, Pacific time.
            #[schema(minimum = 0, maximum = 1000000000000_i64)]
            tokens_per_day: Option<i64>,
            /// Tokens in a calendar month, Pacific time.
            #[schema(minimum = 0, maximum = 1000000000000_i64)]
            tokens_per_month: Option<i64>,
            /// Tokens altogether.
            #[schema(minimum = 0, maximum = 1000000000000_i64)]
            tokens_in_total: Option<i64>,
            /// What it may cost in a day, by the prices that are set.
            #[schema(minimum = 0, maximum = 1000000000)]
            cost_per_day: Option<f64>,
            /// What it may cost in a calendar month.
            #[schema(minimum = 0, maximum = 1000000000)]
            cost_per_month: Option<f64>,
            /// What it may cost altogether.
            #[schema(minimum = 0, maximum = 1000000000)]
            cost_in_total: Option<f64>,
            /// Requests and Live sessions under way at a time.
            #[schema(minimum = 0, maximum = 1000000000000_i64)]
            concurrent_requests: Option<i64>,
            /// Whether only paid projects serve it.
            paid_only: Option<bool>,
            /// What Gemini is to block where the client does not say: `client`, `off`, `block-none` …
            #[schema(pattern = "^(client|off|block-none|block-only-high|block-medium-and-above|block-low-and-above)$")]
            safety: Option<String>,
            /// The share of the pool that is kept for it, in percent.
            #[schema(minimum = 0, maximum = 100)]
            reserve: Option<i64>,
            /// How much its fair share weighs where the pool is short.
            #[schema(minimum = 1, maximum = 100)]
            weight: Option<i64>,
        }
    };
}

described! {
    /// A client to be added.
    AddClient {
        /// What its operator calls it; the client sees it, too.
        #[schema(min_length = 1, max_length = 128)]
        name: String,
        /// The key that it has already; without it, one is made.
        #[schema(min_length = 12, max_length = 512)]
        key: Option<String>,
    }
}

described! {
    /// A change of a client.
    ChangeClient {
        /// What its operator calls it.
        #[schema(min_length = 1, max_length = 128)]
        name: Option<String>,
    }
}

impl AdminApi {
    pub(super) async fn clients(&self) -> Result<Answer, Problem> {
        let clients = self.blocking(|administration| Ok(administration.clients())).await?;
        Answer::json(&Clients { clients: clients.iter().map(client_of).collect() })
    }

    pub(super) async fn add_client(&self, asked: Asked) -> Result<Answer, Problem> {
        let mut fields = fields_of::<AddClient>(&asked)?;
        let key = match fields.remove("key") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(own_key(&text)?),
            Some(_) => return Err(Problem::wrong_field("key", "key: expected a string.")),
        };
        let name =
            fields.get("name").ok_or_else(|| Problem::wrong_field("name", "The field name is missing."))?;
        let name = name.as_str().ok_or_else(|| Problem::wrong_field("name", "name: expected a string."))?;
        named(name)?;
        let settings = settings_of(fields)?;
        let actor = asked.actor();
        let (client, key) = self
            .blocking(move |administration| administration.add_client(actor, NewClient { key, settings }))
            .await?;
        Answer::created(&with_key(&client, &key))
    }

    pub(super) async fn change_client(&self, asked: Asked) -> Result<Answer, Problem> {
        let (id, actor) = (asked.key_id()?, asked.actor());
        let fields = fields_of::<ChangeClient>(&asked)?;
        if let Some(name) = fields.get("name").and_then(Value::as_str) {
            named(name)?;
        }
        let client = self
            .blocking_problem(move |administration| {
                let known = administration.clients().into_iter().find(|client| client.id == id);
                let known = known.ok_or_else(|| Problem::not_found("There is no such client."))?;
                let mut merged = match known.settings.written() {
                    Value::Object(fields) => fields,
                    _ => Map::new(),
                };
                for (name, value) in fields {
                    if value.is_null() {
                        merged.remove(&name);
                    } else {
                        merged.insert(name, value);
                    }
                }
                let settings = settings_of(merged)?;
                Ok(administration.change_client(actor, id, settings)?)
            })
            .await?;
        Answer::json(&client_of(&client))
    }

    pub(super) async fn remove_client(&self, asked: Asked) -> Result<Answer, Problem> {
        let (id, actor) = (asked.key_id()?, asked.actor());
        self.blocking(move |administration| administration.remove_client(actor, id)).await?;
        Ok(Answer::Nothing)
    }

    pub(super) async fn rotate_client(&self, asked: Asked) -> Result<Answer, Problem> {
        let (id, actor) = (asked.key_id()?, asked.actor());
        let (client, key) =
            self.blocking(move |administration| administration.rotate_client(actor, id)).await?;
        Answer::json(&with_key(&client, &key))
    }
}

fn named(name: &str) -> Result<(), Problem> {
    super::keys::within("name", Some(name), 128)?;
    match client_name(name) {
        Ok(name) if name.is_empty() => Err(Problem::impossible("name: expected a name that is not empty.")),
        Ok(_) => Ok(()),
        Err(problem) => Err(Problem::impossible(format!("The name {problem}."))),
    }
}

/// What core makes of fields; null is as if the field were not there.
fn settings_of(mut fields: Map<String, Value>) -> Result<ClientSettings, Problem> {
    fields.retain(|_, value| !value.is_null());
    ClientSettings::read(Value::Object(fields)).map_err(|problem| Problem::impossible(format!("{problem}.")))
}

/// The fields of a body, each of its type.
fn fields_of<T: serde::de::DeserializeOwned>(asked: &Asked) -> Result<Map<String, Value>, Problem> {
    let mut fields: Map<String, Value> = asked.json()?;
    for value in fields.values_mut() {
        super::read::as_whole(value);
    }
    // Names what is wrong; core reads the values.
    let written = serde_json::to_vec(&fields).unwrap_or_default();
    super::read::json::<T>(&written)?;
    if let Some(expires) = fields.get("expires").and_then(Value::as_str)
        && !super::usage::is_day(expires)
        && !super::usage::is_time(expires)
    {
        return Err(Problem::wrong_field(
            "expires",
            "expires: expected a time like 2027-01-31T12:00:00Z, or a day.",
        ));
    }
    Ok(fields)
}

/// A key that a client has already.
pub(crate) fn own_key(text: &str) -> Result<ApiKey, Problem> {
    let key = ApiKey::new(text);
    if key.expose().len() > 512 {
        return Err(Problem::wrong_field("key", "key: expected 12 to 512 characters."));
    }
    if !key.expose().bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
        return Err(Problem::impossible("The key has characters that no header can carry."));
    }
    let Some(weakness) = weakness(&key) else { return Ok(key) };
    let message = format!("The key {weakness}. Leave it out, and one is made.");
    Err(if text.chars().count() < 12 {
        Problem::wrong_field("key", message)
    } else {
        Problem::impossible(message)
    })
}

fn client_of(view: &ClientView) -> Client {
    Client {
        id: view.id,
        name: view.name.clone(),
        origin: origin_name(view.origin).to_owned(),
        added_at: view.added_at.map(|at| Timestamp::from_millis(at).rfc3339()),
        settings: view.settings.written(),
    }
}

fn with_key(client: &ClientView, key: &ApiKey) -> ClientWithKey {
    ClientWithKey { key: key.expose().to_owned(), client: client_of(client) }
}
