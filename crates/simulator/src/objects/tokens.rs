//! `auth_tokens/*`: what a client gets instead of a key, for some sessions and a short while.

use http::Method;
use serde_json::{Value, json};

use crate::clock::{UnixMillis, json_time, read_time};
use crate::errors::GoogleError;
use crate::json::{field, number, text};
use crate::objects::shelf::Shelf;
use crate::objects::{Answered, Asking};
use crate::plan::Reply;
use crate::simulator::{ProjectId, Simulator};

/// How long a token is good, where nothing is said.
const KEPT: UnixMillis = 30 * 60_000;
/// How long new sessions can be begun with it, where nothing is said.
const NEW_SESSIONS: UnixMillis = 60_000;

/// The tokens that there are.
#[derive(Debug)]
pub(crate) struct Tokens {
    tokens: Shelf<Token>,
}

#[derive(Debug)]
struct Token {
    /// How many sessions can still be begun. None: any number.
    uses: Option<u64>,
    new_until: UnixMillis,
    /// `bidiGenerateContentSetup`, null where it is the client's.
    setup: Value,
}

/// What a token is good for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grant {
    /// The project of the key that made the token.
    pub(crate) project: ProjectId,
    /// The setup that its sessions have to have; null where the client may choose.
    pub(crate) setup: Value,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { tokens: Shelf::new("auth_tokens") }
    }
}

impl Tokens {
    fn add(&mut self, body: &Value, project: ProjectId, now: UnixMillis) -> Result<Value, GoogleError> {
        let time = |name: &str, usual: UnixMillis| match field(body, name) {
            None => Ok(now.saturating_add(usual)),
            Some(_) => match read_time(text(body, name)) {
                Some(time) if time > now => Ok(time),
                _ => Err(GoogleError::invalid(format!("{name} must be a time in the future"))),
            },
        };
        let until = time("expireTime", KEPT)?;
        let new_until = time("newSessionExpireTime", NEW_SESSIONS)?;
        let uses = match number(body, "uses") {
            // Zero is no limit.
            Some(uses) if uses <= 0.0 => None,
            uses => Some(uses.map_or(1, |uses| uses as u64)),
        };
        let setup = field(body, "bidiGenerateContentSetup").cloned().unwrap_or_default();
        let name = format!("auth_tokens/{}", self.tokens.id(64));
        self.tokens.put(name.clone(), project, now, Some(until), Token { uses, new_until, setup });
        Ok(json!({
            "name": name,
            "expireTime": json_time(until),
            "newSessionExpireTime": json_time(new_until),
            "uses": uses.unwrap_or(0),
        }))
    }

    /// Takes one use of a token (`auth_tokens/…`) for a new session. None: it is not good, or no more.
    fn redeem(&mut self, name: &str, now: UnixMillis) -> Option<Grant> {
        let (_, kept) = self.tokens.oldest_first().into_iter().find(|(known, _)| *known == name)?;
        let token = &mut kept.it;
        if kept.until.is_some_and(|until| until <= now) || token.new_until <= now || token.uses == Some(0) {
            return None;
        }
        token.uses = token.uses.map(|uses| uses - 1);
        Some(Grant { project: kept.project, setup: token.setup.clone() })
    }
}

impl Simulator {
    /// Takes one use of a token (`auth_tokens/…`) for a new session. None: it is not good, or no more.
    pub(crate) fn redeem_token(&self, name: &str) -> Option<Grant> {
        let now = self.clock().now();
        self.objects(|objects| objects.tokens.redeem(name, now))
    }
}

/// Answers what is asked of tokens: they can only be made.
pub(crate) fn answer(asking: &Asking<'_>) -> Answered {
    if asking.method() != Method::POST || asking.route.path.len() != 1 || !asking.route.verb.is_empty() {
        return Ok(None);
    }
    let body = asking.small_json()?;
    // The SDKs send the fields as they are, and others wrap them.
    let about = field(&body, "authToken").unwrap_or(&body);
    let made = asking.objects(|objects| objects.tokens.add(about, asking.project, asking.now))?;
    Ok(Some(Reply::object(&made)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_used_up() {
        let mut tokens = Tokens::default();
        let project = ProjectId::Configured(3);
        let mut add =
            |body: Value| text(&tokens.add(&body, project, 0).expect("it is good"), "name").to_owned();
        let once = add(json!({}));
        let twice = add(json!({ "uses": 2, "bidiGenerateContentSetup": { "model": "models/m" } }));
        let always = add(json!({ "uses": 0 }));
        let mut check = |name: &str, now, expected: bool| {
            assert_eq!(tokens.redeem(name, now).is_some(), expected, "{name} at {now}");
        };
        check(&once, 1, true);
        check(&once, 1, false);
        check("auth_tokens/other", 1, false);
        for _ in 0..9 {
            check(&always, 1, true);
        }
        check(&always, NEW_SESSIONS, false);
        let grant = tokens.redeem(&twice, 1);
        assert_eq!(grant, Some(Grant { project, setup: json!({ "model": "models/m" }) }));
        assert!(tokens.add(&json!({ "expireTime": "1970-01-01T00:00:00Z" }), project, 1).is_err());
    }
}
