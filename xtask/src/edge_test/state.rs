//! What outlives an isolate: a platform is started, asked, ended, and started again with the same state.

use std::process::Command;

use xtask::gateway::alone;
use xtask::server::{Server, free_address};

use super::bench::{ADDED, Bench, Place};
use super::platforms::Platform;
use super::report::Report;

/// What opens the stand-in for a Redis, and what seals what is put into it.
const TOKEN: &str = "token-of-the-redis-for-the-edges-checks";
const SECRET: &str = "secret-of-the-edges-checks-with-32-characters";

/// Where state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    /// What the platform has for it.
    Own,
    /// A Redis over HTTP.
    Redis,
}

/// Which stores each platform is shown with.
const STORES: [(&str, Store); 7] = [
    ("workerd", Store::Own),
    ("workerd", Store::Redis),
    ("wrangler", Store::Own),
    ("deno", Store::Own),
    ("deno", Store::Redis),
    ("netlify", Store::Redis),
    ("vercel", Store::Redis),
];

/// Asks a platform with each store that it can have.
pub(super) fn ask(bench: &Bench, platform: &Platform, report: &mut Report) -> Result<(), String> {
    for (_, store) in STORES.into_iter().filter(|(name, _)| *name == platform.name) {
        println!("-- state: {store:?}");
        with(bench, platform, store, report)?;
    }
    Ok(())
}

fn with(bench: &Bench, platform: &Platform, store: Store, report: &mut Report) -> Result<(), String> {
    let folder = bench.fresh(&format!("{}-state-{store:?}", platform.name))?;
    let simulator = bench.simulator(&folder)?;
    let mut more = vec![("LIBRA_SECRET", SECRET.to_owned())];
    let redis = match store {
        Store::Redis => {
            let mut stand_in = Command::new(bench.packages.program("node"));
            alone(&mut stand_in, &folder);
            stand_in.arg(bench.script("upstash.mjs")).arg(TOKEN);
            let redis = Server::start(&mut stand_in, &folder.join("redis.log"))?;
            more.push(("UPSTASH_REDIS_REST_URL", redis.url()));
            more.push(("UPSTASH_REDIS_REST_TOKEN", TOKEN.to_owned()));
            Some(redis)
        }
        Store::Own => {
            if platform.name == "deno" {
                more.push(("LIBRA_DENO_KV", folder.join("libra.kv").display().to_string()));
            }
            None
        }
    };
    let address = redis.as_ref().map(Server::url);
    let mut phase = |name: &str, redis: Option<&str>| {
        let place = Place {
            folder: folder.clone(),
            address: free_address()?,
            upstream: simulator.url(),
            log: folder.join(format!("platform-{name}.log")),
            more: more.clone(),
        };
        let server = (platform.start)(bench, &place)?;
        let mut checks = bench.checks(&place, &simulator, platform, "state.mjs");
        checks
            .env("PHASE", name)
            .env("FILE", folder.join("told.json"))
            .env("ADDED", ADDED)
            .env("TOKEN", TOKEN)
            .env("SECRET", SECRET)
            .env("REDIS", redis.unwrap_or_default());
        report.ask(&mut checks, &place)?;
        server.stop()
    };
    phase("first", address.as_deref())?;
    phase("next", address.as_deref())?;
    if let Some(redis) = redis {
        phase("slow", address.as_deref())?;
        redis.stop()?;
        phase("without", None)?;
    }
    Ok(())
}
