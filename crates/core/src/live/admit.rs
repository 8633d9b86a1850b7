//! From the head of a request to a session: what is refused before the upgrade.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{CONNECTION, HeaderMap, HeaderName, SEC_WEBSOCKET_KEY, UPGRADE};

use super::{Call, PING, Phase, Session, Side, Who, known};
use crate::auth::{Access, Presented};
use crate::error::{Error, Kind};
use crate::event::Traffic;
use crate::gateway::{Gateway, Head};
use crate::mark::Mark;
use crate::retry::{Budget, DEFAULT_ATTEMPTS};
use crate::route::without_credentials;
use crate::time::Timestamp;
use crate::upstream;

/// One of the sessions that there may be at once; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Permit {
    /// None: there are as many as there may be.
    pub(crate) fn take(sessions: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let more = |running: usize| running.checked_add(1).filter(|running| *running <= most);
        sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(Arc::clone(sessions)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A session for a client that asks for one.
///
/// # Errors
/// What a client can be told before it has a WebSocket: that it asks for none, who it is, that there is no key at all,
/// that there are too many sessions.
pub(crate) fn admit(
    gateway: &Arc<Gateway>,
    head: &Head<'_>,
    call: Call,
    mark: Mark,
    now: Timestamp,
) -> Result<Session, Error> {
    let config = gateway.config();
    let who = Who::find(head.uri, head.headers, &config, |token| known::minted(gateway, token, now))?;
    if !asks_for_websocket(head.headers) {
        return Err(Error::new(Kind::BadRequest, NO_UPGRADE));
    }
    if matches!(who, Who::Keys(Access::Pool { .. })) && gateway.pool_size().1 == 0 {
        return Err(Error::new(Kind::Unavailable, NO_KEYS));
    }
    let Some(permit) = gateway.live_permit() else {
        return Err(Error {
            retry_after: Some(Duration::from_secs(10)),
            ..Error::new(Kind::Unavailable, TOO_MANY)
        });
    };
    let keys = match &who {
        Who::Keys(Access::Pool { .. }) => config.keys.len(),
        Who::Keys(Access::Own(keys)) => keys.len(),
        Who::Token { .. } => 1,
    };
    let every_key_once = DEFAULT_ATTEMPTS.min(u32::try_from(keys).unwrap_or(u32::MAX));
    Ok(Session {
        call,
        trusted: Presented::find(head.uri, head.headers).trusted_key(&config).cloned(),
        query: without_credentials(head.uri.query().unwrap_or("")),
        headers: upstream::forwarded(head.headers),
        mark,
        _permit: permit,
        held: gateway.share(),
        arrived: now,
        heard: now,
        ping_at: now + PING,
        ping_due: false,
        phase: Phase::Opening,
        client: Side::Open,
        upstream: Side::Gone,
        up: VecDeque::new(),
        up_size: 0,
        down: VecDeque::new(),
        setup: None,
        model: None,
        owner: None,
        attempt: None,
        budget: Budget::new(config.max_attempts.unwrap_or(every_key_once)),
        adds_to_load: false,
        patience: now,
        tried: Vec::new(),
        avoid: Vec::new(),
        failures: Vec::new(),
        closes: Vec::new(),
        stale_retries: 0,
        disconnect: false,
        names: VecDeque::new(),
        key: None,
        traffic: [Traffic::default(); 2],
        usage: None,
        end: None,
        told: false,
        events: Vec::new(),
        who,
        gateway: Arc::clone(gateway),
    })
}

/// Whether the head is that of RFC 6455, section 4.1.
fn asks_for_websocket(headers: &HeaderMap) -> bool {
    const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
    let lists = |name: HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
    };
    lists(CONNECTION, "upgrade")
        && lists(UPGRADE, "websocket")
        && lists(VERSION, "13")
        && headers.contains_key(SEC_WEBSOCKET_KEY)
}

const NO_UPGRADE: &str = "This is the Live API: it needs a WebSocket (Connection: Upgrade, Upgrade: websocket). A proxy \
     in front has to pass both on. 此地址为 Live API，需要 WebSocket；前置代理须转发 Upgrade 与 Connection 请求头。";

const NO_KEYS: &str = "No key of this gateway can serve a session now; its operator sees why in the log. \
     网关当前没有可用的密钥，请联系管理员。";

const TOO_MANY: &str = "There are as many Live sessions as there may be (LIBRA_LIVE_SESSIONS). Live 会话数已达上限，请稍后再试。";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn websockets_are_asked_for_in_four_fields() {
        const GOOD: [(&str, &str); 4] = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let headers = |fields: &[(&'static str, &str)]| -> HeaderMap {
            let fields = fields.iter();
            fields
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
                .collect()
        };
        assert!(asks_for_websocket(&headers(&GOOD)));
        for without in 0..GOOD.len() {
            let mut fields = GOOD.to_vec();
            fields.remove(without);
            assert!(!asks_for_websocket(&headers(&fields)), "{fields:?}");
        }
    }

    #[test]
    fn permits_are_given_back() {
        let sessions = Arc::default();
        let first = Permit::take(&sessions, 2);
        let second = Permit::take(&sessions, 2);
        assert!(first.is_some() && second.is_some());
        assert!(Permit::take(&sessions, 2).is_none());
        drop(first);
        assert!(Permit::take(&sessions, 2).is_some());
    }
}
