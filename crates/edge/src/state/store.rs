//! Where state is: what a platform has for it, or a Redis behind an address.

use js_sys::{Array, Promise};
use serde::Deserialize;
use serde_json::value::RawValue;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

use libra_core::contents::KeptContent;
use libra_core::pool::Record;

use super::redis::Redis;

/// What is said of a store that has failed, for the log. Never with a secret.
pub(crate) type Failed = String;

#[wasm_bindgen]
extern "C" {
    /// A platform's own store, as its entry describes it (`entries/*/state.js`). Its methods may return promises.
    #[derive(Clone)]
    pub type PlatformStore;

    /// Whether nobody else writes into it, so that what was read once need not be read again.
    #[wasm_bindgen(method, getter, js_name = isAlone)]
    fn is_alone(this: &PlatformStore) -> Option<bool>;

    #[wasm_bindgen(method, catch, js_name = read)]
    fn read_from(this: &PlatformStore, after: Option<&str>) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = write)]
    fn write_to(this: &PlatformStore, records: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = find)]
    fn find_in(this: &PlatformStore, names: &Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = keep)]
    fn keep_in(this: &PlatformStore, contents: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = change)]
    fn change_in(this: &PlatformStore, add: &Array, remove: &Array) -> Result<JsValue, JsValue>;
}

/// A store.
#[derive(Clone)]
pub(crate) enum Store {
    Platform(PlatformStore),
    Redis(Redis),
}

/// What was read.
#[derive(Default)]
pub(crate) struct Read {
    /// Where to go on.
    pub(crate) cursor: Option<String>,
    pub(crate) records: Vec<Record>,
    /// The keys that are kept there, as they are written down.
    pub(crate) keys: Vec<String>,
}

/// What a platform's store answers.
#[derive(Deserialize)]
struct Answered<'a> {
    cursor: Option<String>,
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
    keys: Vec<String>,
}

impl Store {
    pub(crate) fn is_alone(&self) -> bool {
        match self {
            Self::Platform(store) => store.is_alone().unwrap_or_default(),
            Self::Redis(_) => false,
        }
    }

    /// All that is kept of the pool and its objects; or what was written `after` an earlier read.
    pub(crate) async fn read(&self, after: Option<&str>) -> Result<Read, Failed> {
        match self {
            Self::Redis(redis) => redis.read(after).await,
            Self::Platform(store) => {
                let said = settled(store.read_from(after)).await?;
                let said = said.as_string().unwrap_or_default();
                let Answered { cursor, records, keys } =
                    serde_json::from_str(&said).map_err(|_| "what was read makes no sense".to_owned())?;
                let records = records.iter().filter_map(|record| Record::read(record.get())).collect();
                Ok(Read { cursor, records, keys })
            }
        }
    }

    pub(crate) async fn write(&self, records: &[Record]) -> Result<(), Failed> {
        match self {
            Self::Redis(redis) => redis.write(records).await,
            Self::Platform(store) => settled(store.write_to(&list(records))).await.map(drop),
        }
    }

    /// What is kept under these names.
    pub(crate) async fn find(&self, names: &[String]) -> Result<Vec<Option<String>>, Failed> {
        match self {
            Self::Redis(redis) => redis.find(names).await,
            Self::Platform(store) => {
                let found = settled(store.find_in(&array(names))).await?;
                Ok(Array::from(&found).iter().map(|value| value.as_string()).collect())
            }
        }
    }

    pub(crate) async fn keep(&self, contents: &[KeptContent]) -> Result<(), Failed> {
        match self {
            Self::Redis(redis) => redis.keep(contents).await,
            Self::Platform(store) => {
                let rows = contents
                    .iter()
                    .map(|kept| (kept.name.as_text(), kept.until.as_millis(), kept.sealed.as_str()));
                let rows = serde_json::to_string(&rows.collect::<Vec<_>>()).unwrap_or_default();
                settled(store.keep_in(&rows)).await.map(drop)
            }
        }
    }

    /// Adds and removes keys, as they are written down.
    pub(crate) async fn change_keys(&self, add: &[String], remove: &[String]) -> Result<(), Failed> {
        match self {
            Self::Redis(redis) => redis.change_keys(add, remove).await,
            Self::Platform(store) => settled(store.change_in(&array(add), &array(remove))).await.map(drop),
        }
    }
}

/// Records as a JSON array.
pub(super) fn list(records: &[Record]) -> String {
    let records: Vec<String> = records.iter().map(Record::to_json).collect();
    format!("[{}]", records.join(","))
}

fn array(texts: &[String]) -> Array {
    texts.iter().map(|text| JsValue::from_str(text)).collect()
}

/// What a call has brought, once it has. What it failed with is the platform's word, which knows no secret.
async fn settled(called: Result<JsValue, JsValue>) -> Result<JsValue, Failed> {
    let settled = match called {
        Ok(value) => JsFuture::from(Promise::resolve(&value)).await,
        Err(error) => Err(error),
    };
    settled.map_err(|error| {
        let message = js_sys::Reflect::get(&error, &"message".into()).ok().and_then(|said| said.as_string());
        message.unwrap_or_else(|| "it has failed".to_owned())
    })
}
