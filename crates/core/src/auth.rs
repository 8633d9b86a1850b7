//! Who the client is, and which keys serve it.

use std::sync::Arc;

use http::Uri;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName};

use crate::clients::Client;
use crate::config::{ClientKeys, Config};
use crate::error::{Error, Kind};
use crate::secret::{ApiKey, KeyId};

/// More keys than this in one request are refused: a client that pools more than that wants a pool.
pub const MAX_CLIENT_KEYS: usize = 100;

/// The longest key taken from a client, in bytes.
const MAX_KEY_LENGTH: usize = 512;

/// Where a client's keys may stand, besides `Authorization` and `?key=`.
const KEY_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("x-goog-api-key"), HeaderName::from_static("x-api-key")];

/// The keys that a request brings, in the order found, each once.
#[derive(Debug, Clone, Default)]
pub struct Presented {
    keys: Vec<ApiKey>,
    too_many: bool,
}

/// Which keys serve a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Access {
    /// The pool's: the client is trusted.
    Pool { client: Arc<Client> },
    /// The client's own, none of them trusted.
    Own(Vec<ApiKey>),
}

impl Access {
    /// What stands for the client: its key, or the least of its own keys, in whatever order it sends them.
    pub fn client(&self) -> KeyId {
        match self {
            Self::Pool { client } => client.id(),
            Self::Own(keys) => keys.iter().map(ApiKey::id).min().unwrap_or_else(|| ApiKey::new("").id()),
        }
    }
}

impl Presented {
    /// Collects the keys of a request: headers first, then the query.
    pub fn find(uri: &Uri, headers: &HeaderMap) -> Self {
        let mut this = Self::default();
        for name in &KEY_HEADERS {
            for value in headers.get_all(name) {
                this.add(text(value));
            }
        }
        for value in headers.get_all(AUTHORIZATION) {
            let value = text(value).trim_start();
            match value.split_once(' ') {
                Some((scheme, keys)) if scheme.eq_ignore_ascii_case("bearer") => this.add(keys),
                _ => {}
            }
        }
        if let Some(query) = uri.query().filter(|query| query.contains("key")) {
            for (name, value) in form_urlencoded::parse(query.as_bytes()) {
                if name == "key" {
                    this.add(&value);
                }
            }
        }
        this
    }

    fn add(&mut self, list: &str) {
        for text in list.split([',', '，']).map(str::trim) {
            if text.is_empty()
                || text.len() > MAX_KEY_LENGTH
                || !text.bytes().all(|byte| byte.is_ascii_graphic())
            {
                continue;
            }
            let key = ApiKey::new(text);
            if self.keys.contains(&key) {
                continue;
            }
            // One more: a trusted key among them is not the client's own.
            if self.keys.len() == MAX_CLIENT_KEYS + 1 {
                self.too_many = true;
                return;
            }
            self.keys.push(key);
        }
    }

    /// Whether there is no key.
    pub fn is_none(&self) -> bool {
        self.keys.is_empty()
    }

    /// The first trusted key, if one is among them.
    pub fn trusted<'a>(&self, config: &'a Config) -> Option<&'a Arc<Client>> {
        self.keys.iter().find_map(|key| config.clients.by_key(key))
    }

    /// The trusted key itself, if one is among them.
    pub(crate) fn trusted_key(&self, config: &Config) -> Option<&ApiKey> {
        self.keys.iter().find(|key| config.clients.contains(key))
    }

    /// The keys that are not trusted: the ones that are the client's own.
    pub fn own(&self, config: &Config) -> Vec<ApiKey> {
        self.keys.iter().filter(|key| !config.clients.contains(key)).cloned().collect()
    }

    /// Whether there were more keys than are taken.
    pub fn too_many(&self, config: &Config) -> bool {
        self.too_many || self.own(config).len() > MAX_CLIENT_KEYS
    }

    /// Decides which keys serve the request.
    ///
    /// A trusted key, alone or among others, opens the pool and never goes upstream. Several foreign keys are
    /// served with themselves, as ever since Gemini Balance Lite. Without a pool the gateway is a plain proxy.
    ///
    /// # Errors
    /// No key, too many of them, or a key that may not use the pool.
    pub fn access(&self, config: &Config) -> Result<Access, Error> {
        if self.too_many(config) {
            let message = format!("More than {MAX_CLIENT_KEYS} keys in one request.");
            return Err(Error::new(Kind::BadRequest, message));
        }
        let has_pool = !config.keys.is_empty();
        if let Some(client) = self.trusted(config) {
            if has_pool {
                return Ok(Access::Pool { client: Arc::clone(client) });
            }
            let own = self.own(config);
            if own.is_empty() {
                return Err(Error::new(Kind::Unavailable, NO_POOL));
            }
            return own_keys(own, config);
        }
        match self.keys.len() {
            0 => Err(Error::new(Kind::Unauthorized, NO_KEY)),
            1 if !has_pool => own_keys(self.keys.clone(), config),
            1 if config.clients.is_empty() => Err(Error::new(Kind::Unauthorized, CLOSED)),
            1 => Err(Error::new(Kind::Unauthorized, UNKNOWN)),
            _ => own_keys(self.keys.clone(), config),
        }
    }
}

/// Lists may be parted by full-width commas, which are not ASCII.
fn text(value: &http::HeaderValue) -> &str {
    std::str::from_utf8(value.as_bytes()).unwrap_or("")
}

fn own_keys(keys: Vec<ApiKey>, config: &Config) -> Result<Access, Error> {
    match config.client_keys {
        ClientKeys::Allow => Ok(Access::Own(keys)),
        ClientKeys::Deny if config.clients.is_empty() => Err(Error::new(Kind::Unauthorized, CLOSED)),
        ClientKeys::Deny => Err(Error::new(Kind::Unauthorized, UNKNOWN)),
    }
}

/// What a client hears of a pool without client keys, on the page and in the refusal. The operator reads
/// [`Notice::PoolClosed`](crate::config::Notice::PoolClosed).
pub const CLOSED: &str = "This gateway is closed: it has no client keys yet. Its operator sets LIBRA_CLIENTS (or \
     TRUSTED_API_KEYS) to the keys that clients will send, and restarts it. \
     网关未开放：尚未设置客户端密钥。请管理员设置 LIBRA_CLIENTS（或 TRUSTED_API_KEYS）后重启。";

const UNKNOWN: &str = "This key may not use the gateway. Send one of the keys that its operator gave out \
     (LIBRA_CLIENTS or TRUSTED_API_KEYS) as x-goog-api-key, Authorization: Bearer, x-api-key or ?key=. \
     此密钥无权使用网关，请使用管理员发放的客户端密钥。";

const NO_KEY: &str = "No API key. Send one as x-goog-api-key, Authorization: Bearer, x-api-key or ?key=. \
     缺少 API 密钥。";

const NO_POOL: &str = "This gateway has no keys to serve with: its operator sets LIBRA_KEYS (or BACKUP_API_KEYS). \
     网关没有可用的密钥池：请管理员设置 LIBRA_KEYS（或 BACKUP_API_KEYS）。";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PoolKey;

    fn config(pool: &[&str], clients: &[&str], client_keys: ClientKeys) -> Config {
        Config {
            keys: pool.iter().map(|key| PoolKey::from(ApiKey::new(key))).collect(),
            clients: clients.iter().map(|key| ApiKey::new(key)).collect(),
            client_keys,
            ..Config::default()
        }
    }

    fn present(uri: &str, headers: &[(&'static str, &'static str)]) -> Presented {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect();
        Presented::find(&uri.parse().expect("a URI"), &headers)
    }

    fn pool_for(key: &str) -> String {
        format!("pool for {}", ApiKey::new(key).id())
    }

    fn names(access: Result<Access, Error>) -> String {
        match access {
            Ok(Access::Pool { client }) => format!("pool for {}", client.name()),
            Ok(Access::Own(keys)) => keys.iter().map(ApiKey::expose).collect::<Vec<_>>().join("+"),
            Err(error) => error.kind.status().as_str().to_owned(),
        }
    }

    #[test]
    fn keys_are_found_wherever_clients_put_them() {
        let check = |uri, headers: &[_], expected: &[&str]| {
            let found = present(uri, headers);
            let found: Vec<&str> = found.keys.iter().map(ApiKey::expose).collect();
            assert_eq!(found, expected, "{uri} {headers:?}");
        };
        check("/", &[("x-goog-api-key", "a")], &["a"]);
        check("/", &[("authorization", "Bearer a")], &["a"]);
        check("/", &[("authorization", "bearer  a , b")], &["a", "b"]);
        check("/", &[("x-api-key", "a,b,,a")], &["a", "b"]);
        check("/?key=a%2Cb", &[], &["a", "b"]);
        check("/?alt=sse&key=a", &[("x-goog-api-key", "a")], &["a"]);
        check("/?key=c", &[("authorization", "Bearer b"), ("x-goog-api-key", "a")], &["a", "b", "c"]);
        check("/", &[("authorization", "Basic dXNlcjpwdw==")], &[]);
        check("/?monkey=a", &[], &[]);
    }

    #[test]
    fn trust_decides_whose_keys_serve() {
        let open = config(&["p1", "p2"], &["t1", "t2"], ClientKeys::Allow);
        let strict = config(&["p1", "p2"], &["t1", "t2"], ClientKeys::Deny);
        let closed = config(&["p1"], &[], ClientKeys::Allow);
        let plain = config(&[], &[], ClientKeys::Allow);
        let empty = config(&[], &["t1"], ClientKeys::Allow);
        let check = |config: &Config, keys: &'static str, expected: &str| {
            assert_eq!(names(present("/", &[("x-goog-api-key", keys)]).access(config)), expected, "{keys:?}");
        };
        check(&open, "t1", &pool_for("t1"));
        check(&open, "x,t2,y", &pool_for("t2"));
        check(&open, "x", "401");
        check(&open, "p1", "401");
        check(&open, "x,y", "x+y");
        check(&open, "", "401");
        check(&strict, "x,y", "401");
        check(&strict, "t1", &pool_for("t1"));
        check(&closed, "x", "401");
        check(&closed, "x,y", "x+y");
        check(&plain, "x", "x");
        check(&plain, "x,y", "x+y");
        check(&empty, "t1", "503");
        check(&empty, "t1,x", "x");
    }

    #[test]
    fn a_list_of_keys_is_bounded() {
        let keys: Vec<String> = (0..=MAX_CLIENT_KEYS).map(|n| format!("k{n}")).collect();
        let uri = format!("/?key={}", keys.join(","));
        let access = present(&uri, &[]).access(&config(&[], &[], ClientKeys::Allow));
        assert_eq!(names(access), "400");
    }
}
