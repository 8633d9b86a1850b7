//! A Redis over HTTP, by the protocol of Upstash's REST API, which Vercel's stores speak, too.
//!
//! The pool is one hash and its objects another, so that all of it is read at once; what is written goes into a short
//! stream beside them, too, of which the others read what is new. Of two records of one name the one that was written
//! last is there: an isolate merges what it reads, and what it has in mind itself.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Uri};
use libra_core::contents::KeptContent;
use libra_core::pool::Record;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::store::{Failed, Read, list};
use crate::asking::ask;
use crate::clock;

/// The names of what is kept, with the form it has.
const POOL: &str = "libra:1:pool";
const OBJECTS: &str = "libra:1:objects";
const LOG: &str = "libra:1:log";
/// The keys, as people add them, too.
const KEYS: &str = "libra:keys";

/// How long the hashes outlive the last write, in seconds: as long as anything in them counts.
const KEPT: u64 = 90 * 24 * 3600;

/// How much of the log is kept, and how long it outlives the last write, in seconds. Whoever has not read for longer reads
/// everything.
const LOG_LENGTH: &str = "1000";
const LOG_KEPT: u64 = 3600;

/// So many objects are remembered here: each isolate reads them all. Those that end soonest go.
const MOST_OBJECTS: usize = 2_000;

/// An answer that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// So much of an answer is read: all records, or what conversations have left behind.
const MOST_BYTES: usize = 8 << 20;

/// How the store is reached. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Redis(Rc<Address>);

struct Address {
    pipeline: Uri,
    /// `Bearer …`, marked as sensitive.
    token: HeaderValue,
}

/// A command: its name and what it takes.
type Command = Vec<String>;

fn command<const N: usize>(parts: [&str; N]) -> Command {
    parts.map(str::to_owned).into()
}

impl Redis {
    /// The store that settings name, under Upstash's names or those of Vercel.
    ///
    /// # Errors
    /// Half of it is set, or the address is none that a token may be sent to.
    pub(crate) fn configured(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let set = |name: &str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        for [url, token] in
            [["UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"], ["KV_REST_API_URL", "KV_REST_API_TOKEN"]]
        {
            match (set(url), set(token)) {
                (None, None) => {}
                (Some(address), Some(secret)) => {
                    return Self::at(&address, &secret).map(Some).map_err(|why| format!("{url}: {why}"));
                }
                _ => return Err(format!("{url} and {token} are set together, or neither is")),
            }
        }
        Ok(None)
    }

    fn at(address: &str, token: &str) -> Result<Self, &'static str> {
        let pipeline: Uri = format!("{}/pipeline", address.trim_end_matches('/'))
            .parse()
            .map_err(|_| "this is no address")?;
        let host = pipeline.host().unwrap_or_default();
        let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        match pipeline.scheme_str() {
            Some("https") => {}
            Some("http") if is_here => {}
            _ => return Err("an address that begins with https:// is needed"),
        }
        let mut token = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| "its token has characters that none has")?;
        token.set_sensitive(true);
        Ok(Self(Rc::new(Address { pipeline, token })))
    }

    pub(super) async fn read(&self, after: Option<&str>) -> Result<Read, Failed> {
        let keys = command(["SMEMBERS", KEYS]);
        let mut read = Read::default();
        match after {
            Some(after) => {
                let log = command(["XRANGE", LOG, &format!("({after}"), "+", "COUNT", LOG_LENGTH]);
                let [log, keys] = self.ask(&[log, keys]).await?;
                read.cursor = Some(after.to_owned());
                for (id, fields) in
                    serde_json::from_value::<Vec<(String, Vec<String>)>>(log).map_err(no_sense)?
                {
                    read.cursor = Some(id);
                    let records = fields.get(1).and_then(|records| serde_json::from_str(records).ok());
                    let records: Vec<Box<RawValue>> = records.unwrap_or_default();
                    read.records.extend(records.iter().filter_map(|record| Record::read(record.get())));
                }
                read.keys = serde_json::from_value(keys).map_err(no_sense)?;
            }
            None => {
                let last = command(["XREVRANGE", LOG, "+", "-", "COUNT", "1"]);
                let all = [last, command(["HGETALL", POOL]), command(["HGETALL", OBJECTS]), keys];
                let [last, pool, objects, keys] = self.ask(&all).await?;
                let last: Vec<(String, Vec<String>)> = serde_json::from_value(last).map_err(no_sense)?;
                read.cursor = Some(last.into_iter().next().map_or_else(|| "0-0".to_owned(), |(id, _)| id));
                for hash in [pool, objects] {
                    let fields: Vec<String> = serde_json::from_value(hash).map_err(no_sense)?;
                    read.records.extend(fields.chunks(2).filter_map(|field| Record::read(field.get(1)?)));
                }
                read.keys = serde_json::from_value(keys).map_err(no_sense)?;
                self.tidy(&mut read.records).await;
            }
        }
        Ok(read)
    }

    /// Removes what is over, and what is too much.
    async fn tidy(&self, records: &mut Vec<Record>) {
        let now = clock::now();
        let mut gone = [command(["HDEL", POOL]), command(["HDEL", OBJECTS])];
        let mut ends: Vec<_> =
            records.iter().filter(|record| !record.is_of_pool()).map(|record| record.until).collect();
        ends.sort_unstable();
        let kept_from = ends.len().checked_sub(MOST_OBJECTS).and_then(|over| ends.get(over)).copied();
        records.retain(|record| {
            let is_of_pool = record.is_of_pool();
            let is_kept =
                record.until > now && (is_of_pool || kept_from.is_none_or(|from| record.until >= from));
            if !is_kept {
                gone[usize::from(!is_of_pool)].push(record.name.clone());
            }
            is_kept
        });
        for gone in gone.into_iter().filter(|gone| gone.len() > 2) {
            // What could not be removed is removed by the next one.
            let _ = self.ask::<1>(&[gone]).await;
        }
    }

    pub(super) async fn write(&self, records: &[Record]) -> Result<(), Failed> {
        let mut commands = Vec::new();
        for (hash, is_of_pool) in [(POOL, true), (OBJECTS, false)] {
            let mut set = command(["HSET", hash]);
            for record in records.iter().filter(|record| record.is_of_pool() == is_of_pool) {
                set.extend([record.name.clone(), record.to_json()]);
            }
            if set.len() > 2 {
                commands.push(set);
                commands.push(command(["EXPIRE", hash, &KEPT.to_string()]));
            }
        }
        commands.push(command(["XADD", LOG, "MAXLEN", "~", LOG_LENGTH, "*", "records", &list(records)]));
        commands.push(command(["EXPIRE", LOG, &LOG_KEPT.to_string()]));
        self.tell(&commands).await
    }

    pub(super) async fn find(&self, names: &[String]) -> Result<Vec<Option<String>>, Failed> {
        let mut get = command(["MGET"]);
        get.extend(names.iter().map(|name| content(name)));
        let [found] = self.ask(&[get]).await?;
        serde_json::from_value(found).map_err(no_sense)
    }

    pub(super) async fn keep(&self, contents: &[KeptContent]) -> Result<(), Failed> {
        let now = clock::now();
        let set = |kept: &KeptContent| {
            let left = kept.until.since(now).as_millis().max(1).to_string();
            command(["SET", &content(&kept.name.as_text()), &kept.sealed, "PX", &left])
        };
        self.tell(&contents.iter().map(set).collect::<Vec<_>>()).await
    }

    pub(super) async fn change_keys(&self, add: &[String], remove: &[String]) -> Result<(), Failed> {
        let changes = [("SADD", add), ("SREM", remove)].into_iter().filter(|(_, keys)| !keys.is_empty());
        let commands = changes.map(|(name, keys)| [&command([name, KEYS]), keys].concat());
        self.tell(&commands.collect::<Vec<_>>()).await
    }

    async fn tell(&self, commands: &[Command]) -> Result<(), Failed> {
        self.pipeline(commands).await.map(drop)
    }

    /// What so many commands have brought.
    async fn ask<const N: usize>(&self, commands: &[Command; N]) -> Result<[Value; N], Failed> {
        self.pipeline(commands).await?.try_into().map_err(|_| "it did not answer every command".to_owned())
    }

    async fn pipeline(&self, commands: &[Command]) -> Result<Vec<Value>, Failed> {
        #[derive(Deserialize)]
        struct Result {
            #[serde(default)]
            result: Value,
            error: Option<String>,
        }
        let body = serde_json::to_vec(commands).unwrap_or_default();
        let mut request = Request::new(Some(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.0.pipeline.clone();
        request.headers_mut().insert(AUTHORIZATION, self.0.token.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let (status, _, said) = ask(request, PATIENCE, MOST_BYTES).await?;
        if !status.is_success() {
            // Its words may repeat what it was sent.
            return Err(format!("it answers {status}"));
        }
        let results: Vec<Result> = serde_json::from_slice(&said).map_err(no_sense)?;
        if let Some(error) = results.iter().find_map(|result| result.error.as_deref()) {
            // The first word is Redis's own: `ERR`, `WRONGTYPE`, `NOPERM`.
            return Err(format!("a command failed: {}", error.split(' ').next().unwrap_or_default()));
        }
        Ok(results.into_iter().map(|result| result.result).collect())
    }
}

fn content(name: &str) -> String {
    format!("libra:1:{name}")
}

fn no_sense<T>(_: T) -> Failed {
    "its answer makes no sense".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_safe_addresses_only() {
        let check = |address: &str, expected: Option<&str>| {
            let redis = Redis::at(address, "a token");
            let pipeline = redis.ok().map(|redis| redis.0.pipeline.to_string());
            assert_eq!(pipeline.as_deref(), expected, "{address}");
        };
        check("https://a.upstash.io", Some("https://a.upstash.io/pipeline"));
        check("https://a.example/redis/", Some("https://a.example/redis/pipeline"));
        check("http://127.0.0.1:8080", Some("http://127.0.0.1:8080/pipeline"));
        check("http://a.upstash.io", None);
        check("redis://a.upstash.io", None);
        check("a.upstash.io", None);
    }

    #[test]
    fn both_names_of_the_settings_are_known() {
        let check = |set: &[(&str, &str)], expected: Result<bool, &str>| {
            let variable =
                |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            let configured = Redis::configured(variable).map(|redis| redis.is_some());
            assert_eq!(configured.as_ref().map_err(String::as_str), expected.as_ref().map_err(|why| *why));
        };
        check(&[], Ok(false));
        check(&[("UPSTASH_REDIS_REST_URL", " ")], Ok(false));
        let [url, token] = [("KV_REST_API_URL", "https://a.example"), ("KV_REST_API_TOKEN", "secret")];
        check(&[url, token], Ok(true));
        check(&[url], Err("KV_REST_API_URL and KV_REST_API_TOKEN are set together, or neither is"));
        let plain = [("KV_REST_API_URL", "http://a.example"), token];
        check(&plain, Err("KV_REST_API_URL: an address that begins with https:// is needed"));
    }
}
