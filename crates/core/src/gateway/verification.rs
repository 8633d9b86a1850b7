//! Checks of keys that somebody brings: who may have how many.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Accepted, Gateway, Head, locked};
use crate::auth::Presented;
use crate::check::Verification;
use crate::config::{Config, Verify};
use crate::error::{Error, Kind};
use crate::mark::Mark;
use crate::route::VerifyFormat;
use crate::time::Timestamp;

/// What one address may have checked without being a trusted client: keys a request, and keys a minute.
const STRANGER_KEYS: usize = 5;
const STRANGER_KEYS_A_MINUTE: u32 = 10;

/// What a trusted client may have checked in one request.
const TRUSTED_KEYS: usize = 100;

/// So many addresses are counted; when there are more, the count begins anew.
const COUNTED_ADDRESSES: usize = 10_000;

/// How many keys each address had checked in the running minute.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    minute: u64,
    counts: HashMap<IpAddr, u32>,
}

impl Gateway {
    pub(super) fn verification(
        self: &Arc<Self>,
        head: &Head<'_>,
        format: VerifyFormat,
        mark: Mark,
        now: Timestamp,
    ) -> Result<Accepted, Error> {
        let presented = Presented::find(head.uri, head.headers);
        let trusted = presented.trusted(&self.config()).is_some();
        match self.config().verify {
            Verify::Open => {}
            Verify::Trusted if trusted => {}
            Verify::Trusted => {
                return Err(Error::new(
                    Kind::Unauthorized,
                    "Only trusted clients may have keys checked here.",
                ));
            }
            Verify::Off => return Err(Error::new(Kind::NotFound, "Not found.")),
        }
        let keys = presented.own(&self.config());
        if keys.is_empty() {
            let message = "No keys to check. Send them, comma-separated, as x-goog-api-key. 请在 x-goog-api-key 中提供要校验的密钥。";
            return Err(Error::new(Kind::BadRequest, message));
        }
        let guarded = !self.config().keys.is_empty() && !trusted;
        let most = if guarded { STRANGER_KEYS } else { TRUSTED_KEYS };
        if keys.len() > most || presented.too_many(&self.config()) {
            return Err(Error::new(
                Kind::BadRequest,
                format!("At most {most} keys a request can be checked."),
            ));
        }
        if guarded {
            let address = client_address(head, &self.config());
            locked(&self.strangers).spend(address, u32::try_from(keys.len()).unwrap_or(u32::MAX), now)?;
        }
        // It writes into the keys' projects: only where somebody asks for it, and no stranger of a pool.
        let asks = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
            name == "projects" && value != "0" && value != "false"
        };
        let query = head.uri.query().unwrap_or_default();
        let projects = form_urlencoded::parse(query.as_bytes()).any(asks);
        if projects && guarded {
            let message = "Only trusted clients may have it found out which keys share a project.";
            return Err(Error::new(Kind::Unauthorized, message));
        }
        let projects = projects.then(|| keys.clone());
        let checks = keys.into_iter().map(|key| self.check(key)).collect();
        Ok(Accepted::Verify(Verification { format, checks, projects, mark }))
    }
}

impl Strangers {
    fn spend(&mut self, address: IpAddr, keys: u32, now: Timestamp) -> Result<(), Error> {
        let minute = now.as_secs() / 60;
        if minute != self.minute || self.counts.len() >= COUNTED_ADDRESSES {
            self.minute = minute;
            self.counts.clear();
        }
        let count = self.counts.entry(network(address)).or_default();
        if count.saturating_add(keys) > STRANGER_KEYS_A_MINUTE {
            let message =
                format!("At most {STRANGER_KEYS_A_MINUTE} keys a minute can be checked from one address.");
            let wait = Duration::from_secs(60 - now.as_secs() % 60);
            return Err(Error { retry_after: Some(wait), ..Error::new(Kind::RateLimited, message) });
        }
        *count += keys;
        Ok(())
    }
}

/// The client's address: the last one in `X-Forwarded-For` that no trusted proxy stands for.
fn client_address(head: &Head<'_>, config: &Config) -> IpAddr {
    let is_proxy = |address: &IpAddr| config.trusted_proxies.iter().any(|proxies| proxies.contains(address));
    // A socket for both families shows IPv4 addresses in IPv6's form.
    let mut address = head.peer.to_canonical();
    let lists = head.headers.get_all("x-forwarded-for");
    let hops: Vec<&str> =
        lists.iter().filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(',')).collect();
    for hop in hops.iter().rev() {
        if !is_proxy(&address) {
            break;
        }
        let Ok(before) = hop.trim().parse::<IpAddr>() else { break };
        address = before.to_canonical();
    }
    address
}

/// An IPv6 subscriber has at least a /64 of addresses.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            IpAddr::V6(segments.into())
        }
    }
}
