//! Clients of the pool at the gateway's door: whether one may ask for this at all, and how much it may still use.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;

use super::verification::client_address;
use super::{Gateway, Head, locked};
use crate::auth::{Access, Presented};
use crate::clients::{self, Amounts, Charge, Client, Page, Room};
use crate::config::Config;
use crate::error::{Dialect, Error, Kind};
use crate::event::Usage;
use crate::task::Task;
use crate::time::Timestamp;
use crate::tokens;

impl Gateway {
    /// Whose keys serve a request.
    ///
    /// # Errors
    /// No key or too many, one that may not use the pool, a client that may not ask from there or in that dialect.
    pub(crate) fn access(&self, head: &Head<'_>, dialect: Dialect, now: Timestamp) -> Result<Access, Error> {
        let presented = Presented::find(head.uri, head.headers);
        let config = self.config();
        let access = presented.access(&config).map_err(|error| self.slowed(error, &presented, head, now))?;
        if let Access::Pool { client } = &access {
            permits(client, head, dialect, &config, now)?;
        }
        Ok(access)
    }

    /// What a client sees of itself. Whatever dialects and limits it has, and even where it is paused: it may know why.
    pub(super) fn own(&self, head: &Head<'_>, page: Page, now: Timestamp) -> Result<Response<Bytes>, Error> {
        let presented = Presented::find(head.uri, head.headers);
        let config = self.config();
        match presented.trusted(&config) {
            Some(client) => {
                is_current(client, now).or_else(|error| match error.kind {
                    Kind::Forbidden => Ok(()),
                    _ => Err(error),
                })?;
                is_near(client, head, &config)?;
                Ok(clients::answer(page, client, &self.account(client, now)))
            }
            None => {
                let refused = presented.access(&config).err();
                let message = "This page is for clients of the gateway's pool. 此页面仅供网关的客户端使用。";
                let error = refused.unwrap_or_else(|| Error::new(Kind::Forbidden, message));
                Err(self.slowed(error, &presented, head, now))
            }
        }
    }

    /// What somebody is told whose key was refused: where many wrong ones come from, to wait.
    pub(crate) fn slowed(
        &self,
        error: Error,
        presented: &Presented,
        head: &Head<'_>,
        now: Timestamp,
    ) -> Error {
        if error.kind != Kind::Unauthorized || presented.is_none() {
            return error;
        }
        let address = client_address(head, &self.config());
        match locked(&self.wrong_keys).note(address, now) {
            Ok(()) => error,
            Err(wait) => {
                let message = "Too many wrong keys have come from this address; try again later. \
                               来自此地址的错误密钥过多，请稍后再试。";
                Error { retry_after: Some(wait), ..Error::new(Kind::RateLimited, message) }
            }
        }
    }

    /// Takes what the head of a request says that it uses. None of clients with keys of their own.
    ///
    /// # Errors
    /// A limit of the client.
    pub(crate) fn charge(
        &self,
        client: &Arc<Client>,
        requests: u64,
        now: Timestamp,
    ) -> Result<Charge, Error> {
        let config = self.config();
        // Where the queue is half full, nobody fills the rest of it alone.
        let crowded = config.fair_shares
            && config.clients.len() > 1
            && self.pool(false).queued() > config.queue_size / 2;
        self.ledger.enter(client, requests, crowded, now)
    }

    /// Takes what the body of a request says that it uses.
    ///
    /// # Errors
    /// A limit of the client, or its share of the day.
    pub(crate) fn charge_task(
        &self,
        charge: &mut Charge,
        task: &Task,
        body: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(model) = task.model() else { return Ok(()) };
        let parts = match task {
            Task::Generation(generation) => generation.parts() as u64,
            _ => 1,
        };
        let translated = task.translated_body();
        let sent = translated.as_deref().or(body).filter(|_| task.uses_tokens());
        let tokens = sent.map_or(0, tokens::estimate);
        // The head did not always say that a model is asked.
        let more = if charge.requests() == 0 { parts } else { parts.saturating_sub(1) };
        self.charge_model(charge, model, more, tokens, now)
    }

    /// Takes so many more requests of a model, and so many tokens.
    ///
    /// # Errors
    /// A limit of the client, or its share of the day.
    pub(crate) fn charge_model(
        &self,
        charge: &mut Charge,
        model: &str,
        requests: u64,
        tokens: u64,
        now: Timestamp,
    ) -> Result<(), Error> {
        let config = self.config();
        let cost_millionths = config.cost_millionths(model, tokens, 0);
        charge.hold(Amounts { requests, tokens, cost_millionths }, now)?;
        if config.fair_shares && config.clients.len() > 1 {
            let room = self.room_today(model, now);
            charge.share(model, &config.clients, room, now)?;
        }
        Ok(())
    }

    fn room_today(&self, model: &str, now: Timestamp) -> Option<Room> {
        self.pool(false).room_today(model, now).map(|(capacity, left)| Room { capacity, left })
    }

    /// Says what an answered request has used, as far as the upstream said it.
    pub(crate) fn settle(
        &self,
        charge: Option<&mut Charge>,
        model: Option<&str>,
        usage: Option<Usage>,
        now: Timestamp,
    ) {
        let Some(charge) = charge else { return };
        match usage {
            Some(Usage { prompt, total, .. }) => {
                let cost = self.config().cost_millionths(
                    model.unwrap_or_default(),
                    prompt,
                    total.saturating_sub(prompt),
                );
                charge.used(total, cost, now);
            }
            None => charge.used_as_held(now),
        }
    }
}

/// Whether a client may ask from there, in this dialect, at this time.
///
/// # Errors
/// 401 for a key that has expired, 403 for what it does not open.
pub(crate) fn permits(
    client: &Client,
    head: &Head<'_>,
    dialect: Dialect,
    config: &Config,
    now: Timestamp,
) -> Result<(), Error> {
    is_current(client, now)?;
    is_near(client, head, config)?;
    let settings = &client.settings;
    if !settings.dialects.is_empty() && !settings.dialects.contains(&dialect) {
        let name = match dialect {
            Dialect::Gemini => "Gemini",
            Dialect::OpenAi => "OpenAI",
            Dialect::Anthropic => "Anthropic",
        };
        let message =
            format!("This key may not be used with {name}'s protocol. 此密钥不允许使用 {name} 协议。");
        return Err(Error::new(Kind::Forbidden, message));
    }
    Ok(())
}

/// Whether a client may ask from where it does.
///
/// # Errors
/// 403 where it may not.
fn is_near(client: &Client, head: &Head<'_>, config: &Config) -> Result<(), Error> {
    let networks = &client.settings.addresses;
    if networks.is_empty() {
        return Ok(());
    }
    let address = client_address(head, config);
    if networks.iter().any(|network| network.contains(&address)) {
        return Ok(());
    }
    let message = format!("This key may not be used from {address}. 此密钥不允许从 {address} 使用。");
    Err(Error::new(Kind::Forbidden, message))
}

/// Whether a client's key is good now.
///
/// # Errors
/// 401 for one that has expired, 403 for a client that is paused.
pub(crate) fn is_current(client: &Client, now: Timestamp) -> Result<(), Error> {
    let settings = &client.settings;
    if let Some(expired) = settings.expires.filter(|expires| *expires <= now) {
        let at = expired.rfc3339();
        let message = format!("This key has expired at {at}. 此密钥已于 {at} 过期。");
        return Err(Error::new(Kind::Unauthorized, message));
    }
    if settings.paused {
        let message = "This client is paused by the gateway's operator. 此客户端已被管理员停用。";
        return Err(Error::new(Kind::Forbidden, message));
    }
    Ok(())
}

/// Whether a client may use a model, by the name that it asked for or by the one that serves.
///
/// # Errors
/// 403 where it may not.
pub(crate) fn permits_model(access: &Access, asked: &str, served: &str) -> Result<(), Error> {
    let Access::Pool { client } = access else { return Ok(()) };
    let models = &client.settings.models;
    if models.contains(asked) || models.contains(served) {
        return Ok(());
    }
    let name: String = asked.chars().filter(|char| !char.is_control()).take(100).collect();
    let message = format!("This client may not use the model {name}. 此客户端不允许使用模型 {name}。");
    Err(Error { param: Some("model".to_owned()), ..Error::new(Kind::Forbidden, message) })
}

/// A batch answers whenever Google likes to, and nobody here sees what it uses.
///
/// # Errors
/// 403 for a client whose use is limited.
pub(crate) fn permits_batches(access: &Access) -> Result<(), Error> {
    match access {
        Access::Pool { client } if client.settings.is_limited() => {
            let message = "This client's use is limited, and what a batch uses cannot be counted here: send the \
                           requests one by one. 此客户端有用量限额，无法使用批处理。";
            Err(Error::new(Kind::Forbidden, message))
        }
        _ => Ok(()),
    }
}
