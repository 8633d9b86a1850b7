//! Keys that are kept beside what was learned: added and removed without a new deployment.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Response};
use libra_core::config::{PoolKey, parse_keys};
use libra_core::error::{Dialect, Error, Kind};
use libra_core::seal::Seal;
use libra_core::secret::ApiKey;
use serde::Deserialize;

use super::{State, read};
use crate::js;
use crate::platform::Platform;
use crate::shell::Shell;

/// What stands before a key that is sealed, and what it is sealed about.
const SEALED: &str = "sealed:";
const ABOUT: &str = "key";

/// The most keys that are kept, and that one request may change.
pub(crate) const MOST: usize = 2_000;

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Keys, each with its project before it where that is known: `project:key`.
    #[serde(default)]
    add: Vec<String>,
    /// Keys, or what stands for them.
    #[serde(default)]
    remove: Vec<String>,
}

/// `POST /admin/keys`, for whoever has the administration's token.
pub(crate) async fn change(
    shell: &Rc<Shell>,
    platform: &Platform,
    method: &Method,
    body: &[u8],
) -> Response<Bytes> {
    changed(shell, platform, method, body).await.unwrap_or_else(|error| error.response(Dialect::OpenAi, None))
}

async fn changed(
    shell: &Rc<Shell>,
    platform: &Platform,
    method: &Method,
    body: &[u8],
) -> Result<Response<Bytes>, Error> {
    let state = &shell.state;
    let Some(store) = state.store(platform) else {
        let message = "There is no state to keep keys in. 没有可保存密钥的状态存储。";
        return Err(Error::new(Kind::NotFound, message));
    };
    if method != Method::POST {
        return Err(Error::new(Kind::MethodNotAllowed, format!("/admin/keys takes POST, not {method}.")));
    }
    let asked: Asked = serde_json::from_slice(body).map_err(|_| {
        Error::new(
            Kind::BadRequest,
            r#"The body is {"add": ["KEY", "PROJECT:KEY"], "remove": ["KEY", "key-…"]}."#,
        )
    })?;
    let failed = |why: String| Error::new(Kind::Unavailable, format!("The keys could not be kept: {why}."));
    let kept = store.read(None).await.map_err(failed)?.keys;
    let known: Vec<(&String, Option<PoolKey>)> =
        kept.iter().map(|entry| (entry, key_of(entry, state.seal.as_ref()))).collect();
    let is_known = |key: &PoolKey| {
        known.iter().any(|(_, other)| other.as_ref().is_some_and(|other| other.key == key.key))
    };
    let mut add = Vec::new();
    for text in &asked.add {
        // What is wrong with an entry is said by its position only.
        let keys = parse_keys(text).map_err(|error| Error::new(Kind::BadRequest, error.to_string()))?;
        let new = keys.iter().any(|key| !is_known(key));
        if keys.len() != 1 {
            return Err(Error::new(Kind::BadRequest, "Each entry of 'add' is one key."));
        }
        if new {
            add.push(entry_of(text.trim(), state.seal.as_ref()));
        }
    }
    if kept.len() + add.len() > MOST {
        return Err(Error::new(Kind::BadRequest, format!("At most {MOST} keys are kept.")));
    }
    let is_removed = |key: &PoolKey| {
        asked.remove.iter().any(|text| {
            let id = key.key.id();
            let named = text.trim().rsplit(':').next().unwrap_or_default();
            named == id.to_string() || ApiKey::new(named).id() == id
        })
    };
    let remove: Vec<String> = known
        .iter()
        .filter(|(_, key)| key.as_ref().is_some_and(is_removed))
        .map(|(entry, _)| (*entry).clone())
        .collect();
    if !add.is_empty() || !remove.is_empty() {
        store.change_keys(&add, &remove).await.map_err(failed)?;
    }
    let (added, removed) = (add.len(), remove.len());
    state.cursor.replace(None);
    read(shell, &store).await;
    let said = serde_json::json!({
        "added": added,
        "removed": removed,
        "kept": kept.len() + added - removed,
        "sealed": state.seal.is_some(),
        "pool": shell.gateway.pool_size().0,
    });
    let mut answer = Response::new(Bytes::from(said.to_string()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

impl State {
    /// The keys that stand in entries. None: the entries are those that were read before.
    pub(crate) fn new_keys(&self, entries: &[String]) -> Option<Vec<PoolKey>> {
        let mut entries = entries.to_vec();
        entries.sort_unstable();
        if *self.keys.borrow() == entries {
            return None;
        }
        let keys: Vec<PoolKey> =
            entries.iter().take(MOST).filter_map(|entry| key_of(entry, self.seal.as_ref())).collect();
        if keys.len() < entries.len() {
            let line = serde_json::json!({
                "event": "state",
                "problem": format!("{} of {} keys cannot be read", entries.len() - keys.len(), entries.len()),
            });
            js::log_error(&line.to_string());
        }
        self.keys.replace(entries);
        Some(keys)
    }
}

/// A key as it is written down.
fn entry_of(text: &str, seal: Option<&Seal>) -> String {
    let sealed = seal.zip(js::nonce()).and_then(|(seal, nonce)| seal.seal(nonce, ABOUT, text.as_bytes()));
    sealed.map_or_else(|| text.to_owned(), |sealed| format!("{SEALED}{}", STANDARD.encode(sealed)))
}

fn key_of(entry: &str, seal: Option<&Seal>) -> Option<PoolKey> {
    let text = match entry.strip_prefix(SEALED) {
        Some(sealed) => String::from_utf8(seal?.open(ABOUT, &STANDARD.decode(sealed).ok()?)?).ok()?,
        None => entry.to_owned(),
    };
    parse_keys(&text).ok()?.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_sealed_and_not() {
        let seal = Seal::of(&ApiKey::new("a secret of the tests, long enough"));
        let text = "shop:AIzaSyA-key-of-the-tests-0123456789abc";
        let sealed = seal
            .seal([5; 24], ABOUT, text.as_bytes())
            .map(|sealed| format!("{SEALED}{}", STANDARD.encode(sealed)));
        let sealed = sealed.expect("it is short");
        assert!(!sealed.contains("AIza"));
        let check = |entry: &str, seal: Option<&Seal>, expected: Option<&str>| {
            let key = key_of(entry, seal);
            assert_eq!(key.as_ref().and_then(|key| key.project.as_deref()), expected, "{entry}");
        };
        check(text, None, Some("shop"));
        check(text, Some(&seal), Some("shop"));
        check(&sealed, Some(&seal), Some("shop"));
        check(&sealed, None, None);
        check(&sealed, Some(&Seal::of(&ApiKey::new("another secret of the tests"))), None);
        check("sealed:!", Some(&seal), None);
        check("", None, None);
    }
}
