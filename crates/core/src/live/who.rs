//! Who begins a session: a client with keys, as everywhere, or the holder of an ephemeral token.

use http::Uri;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName};

use super::known::Owner;
use crate::auth::{Access, Presented};
use crate::config::{ClientKeys, Config};
use crate::error::{Error, Kind};
use crate::secret::{ApiKey, KeyId};

/// How the name of every ephemeral token begins.
const TOKENS: &str = "auth_tokens/";

/// The longest token, in bytes.
const LONGEST_TOKEN: usize = 1024;

/// Who begins a session.
#[derive(Debug)]
pub(super) enum Who {
    /// Somebody with keys.
    Keys(Access),
    /// The holder of an ephemeral token, which is a credential by itself and goes up as it is.
    Token {
        /// The token.
        token: ApiKey,
        /// Whose it is, where it was minted through this gateway.
        owner: Option<Owner>,
    },
}

impl Who {
    /// Finds out, by the head of the request. `minted` says whose a token is.
    ///
    /// # Errors
    /// No key and no token, or one that may not be used here.
    pub(super) fn find(
        uri: &Uri,
        headers: &HeaderMap,
        config: &Config,
        minted: impl FnOnce(&str) -> Option<Owner>,
    ) -> Result<Self, Error> {
        let presented = Presented::find(uri, headers);
        let Some(token) = token(uri, headers) else {
            return presented.access(config).map(Self::Keys);
        };
        let owner = minted(&token);
        // A browser holds a token and nothing else: that it was minted here is its right to be here.
        let is_known = owner.is_some() || presented.trusted(config).is_some();
        if !is_known && config.client_keys == ClientKeys::Deny {
            return Err(Error::new(Kind::Unauthorized, FOREIGN_TOKEN));
        }
        Ok(Self::Token { token: ApiKey::new(&token), owner })
    }

    /// What stands for the client: the one that had a token made, where that is known.
    pub(super) fn client(&self) -> KeyId {
        match self {
            Self::Keys(access) => access.client(),
            Self::Token { token, owner } => {
                owner.as_ref().and_then(|owner| owner.maker).unwrap_or_else(|| token.id())
            }
        }
    }
}

const FOREIGN_TOKEN: &str = "This ephemeral token was not made through this gateway, which serves no others \
     (LIBRA_CLIENT_KEYS). 此临时令牌并非由本网关签发。";

/// The first ephemeral token, wherever SDKs put it: `?access_token=`, `Authorization: Token …`, the key's header.
fn token(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    const KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
    let values = headers.get_all(AUTHORIZATION).iter().chain(headers.get_all(KEY));
    let in_headers = values.filter_map(|value| value.to_str().ok()).map(|value| {
        let value = value.trim();
        value.split_once(' ').map_or(value, |(_, token)| token.trim()).to_owned()
    });
    let in_query = form_urlencoded::parse(uri.query().unwrap_or("").as_bytes())
        .filter(|(name, _)| matches!(&**name, "access_token" | "key"))
        .map(|(_, value)| value.into_owned());
    in_headers.chain(in_query).find(|text| is_token(text))
}

/// It goes into a query as it is.
fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.len() <= LONGEST_TOKEN
        && text.strip_prefix(TOKENS).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PoolKey;
    use crate::pool::{Only, ProjectId};

    fn check(config: &Config, uri: &str, headers: &[(&'static str, &'static str)], expected: &str) {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect();
        let key = ApiKey::new("p1").id();
        let only = Only { project: ProjectId::of_key(key), key };
        let minted = |token: &str| (token == "auth_tokens/ours").then(|| Owner::of_tests(only));
        let who = Who::find(&uri.parse().expect("a URI"), &headers, config, minted);
        let found = match who {
            Ok(Who::Keys(Access::Pool { .. })) => "pool".to_owned(),
            Ok(Who::Keys(Access::Own(keys))) => keys.iter().map(ApiKey::expose).collect::<Vec<_>>().join("+"),
            Ok(Who::Token { token, owner }) => {
                format!("{} {}", token.expose(), if owner.is_some() { "ours" } else { "foreign" })
            }
            Err(error) => error.kind.status().as_str().to_owned(),
        };
        assert_eq!(found, expected, "{uri} {headers:?}");
    }

    #[test]
    fn keys_and_tokens_are_told_apart() {
        let open = Config {
            keys: vec![PoolKey::from(ApiKey::new("p1"))],
            clients: [ApiKey::new("t1")].into_iter().collect(),
            ..Config::default()
        };
        let strict = Config { client_keys: ClientKeys::Deny, ..open.clone() };
        check(&open, "/?key=t1", &[], "pool");
        check(&open, "/", &[("x-goog-api-key", "t1")], "pool");
        check(&open, "/", &[("authorization", "Bearer t1")], "pool");
        check(&open, "/?key=a,b", &[], "a+b");
        check(&open, "/", &[], "401");
        check(&open, "/?access_token=auth_tokens/ours", &[], "auth_tokens/ours ours");
        check(&open, "/?access_token=auth_tokens%2Fours", &[], "auth_tokens/ours ours");
        check(&open, "/", &[("authorization", "Token auth_tokens/ours")], "auth_tokens/ours ours");
        // The Python SDK sends the token in both places.
        let both = [("x-goog-api-key", "auth_tokens/ours"), ("authorization", "Token auth_tokens/ours")];
        check(&strict, "/", &both, "auth_tokens/ours ours");
        check(&open, "/?access_token=auth_tokens/other", &[], "auth_tokens/other foreign");
        check(&strict, "/?access_token=auth_tokens/other", &[], "401");
        check(&strict, "/?access_token=auth_tokens/other&key=t1", &[], "auth_tokens/other foreign");
        check(&strict, "/?access_token=ya29.other", &[], "401");
        check(&open, "/?access_token=auth_tokens/", &[], "401");
        check(&open, "/?access_token=auth_tokens/a%26key%3Db", &[], "401");
    }
}
