//! How the platforms' own programs are started with the built folders.

use std::fs;
use std::path::Path;
use std::process::Command;

use xtask::gateway::alone;
use xtask::server::Server;

use super::bench::{Bench, Place, write};
use crate::edge;

/// A platform that is shown here.
pub(super) struct Platform {
    pub(super) name: &'static str,
    /// What it is run by.
    pub(super) program: &'static str,
    pub(super) start: fn(&Bench, &Place) -> Result<Server, String>,
    /// Checks that it cannot pass here, and why.
    pub(super) skipped: &'static [(&'static str, &'static str)],
}

const SERVES_SESSIONS: (&str, &str) = ("live-is-refused", "it serves sessions");
const NO_SESSIONS: (&str, &str) = ("live", "the platform has no WebSockets");

pub(super) const PLATFORMS: [Platform; 6] = [
    Platform {
        name: "workerd",
        program: "workerd serve",
        start: workerd,
        skipped: &[
            ("abort-before-head", "workerd by itself sees a client leave only when it sends something"),
            SERVES_SESSIONS,
        ],
    },
    Platform {
        name: "wrangler",
        program: "wrangler dev --local",
        start: wrangler,
        skipped: &[
            ("abort-before-head", "workerd by itself sees a client leave only when it sends something"),
            SERVES_SESSIONS,
        ],
    },
    Platform { name: "deno", program: "deno serve", start: deno, skipped: &[SERVES_SESSIONS] },
    Platform {
        name: "netlify",
        program: "deno serve, with a stand-in for Netlify's start",
        start: netlify,
        skipped: &[NO_SESSIONS],
    },
    Platform {
        name: "vercel",
        program: "edge-runtime",
        start: vercel,
        skipped: &[
            (
                "abort-before-head",
                "edge-runtime tells nothing of a client that leaves before the answer's head",
            ),
            NO_SESSIONS,
        ],
    },
    Platform {
        name: "vercel-native",
        program: "the program that @vercel/rust has built",
        start: vercel_native,
        skipped: &[
            ("live-is-refused", "the native server has the Live API"),
            ("verify-many", "the native server checks all keys: nobody bounds its calls"),
            (
                "live: a client that leaves is noticed upstream",
                "the check looks for the edge's own line in the log",
            ),
        ],
    },
];

fn workerd(bench: &Bench, place: &Place) -> Result<Server, String> {
    let dist = edge::dist().join("cloudflare");
    let bindings: String = place
        .variables()
        .keys()
        .map(|name| format!("(name = \"{name}\", fromEnvironment = \"{name}\"), "))
        .collect();
    let mut modules = String::new();
    for (name, kind) in [
        ("index.js", "esModule"),
        ("sockets.js", "esModule"),
        ("state.js", "esModule"),
        ("libra.js", "esModule"),
        ("libra_bg.wasm", "wasm"),
    ] {
        // A configuration embeds files of its own folder only.
        fs::copy(dist.join(name), place.folder.join(name))
            .map_err(|error| format!("cannot copy {name} to {}: {error}", place.folder.display()))?;
        modules.push_str(&format!("(name = \"{name}\", {kind} = embed \"{name}\"), "));
    }
    // With a Redis, it is shown without the object: each isolate is then a gateway.
    let objects = place.folder.join("objects");
    fs::create_dir_all(&objects).map_err(|error| format!("cannot make {}: {error}", objects.display()))?;
    let object = match place.more.iter().any(|(name, _)| name.starts_with("UPSTASH")) {
        true => "",
        false => "(name = \"LIBRA\", durableObjectNamespace = \"Libra\")",
    };
    let setting = |name: &str| toml_value(&dist.join("wrangler.toml"), name);
    let config = format!(
        "using Workerd = import \"/workerd/workerd.capnp\";\n\
         const config :Workerd.Config = (\n\
         services = [(name = \"main\", worker = .libra), (name = \"out\", network = (allow = [\"private\"])),\n\
         (name = \"objects\", disk = (path = \"{}\", writable = true))],\n\
         sockets = [(name = \"http\", address = \"{}\", http = (), service = \"main\")]);\n\
         const libra :Workerd.Worker = (\n\
         modules = [{modules}],\n\
         bindings = [{bindings}{object}],\n\
         durableObjectNamespaces = [(className = \"Libra\", uniqueKey = \"libra\", enableSql = true)],\n\
         durableObjectStorage = (localDisk = \"objects\"),\n\
         compatibilityDate = {}, compatibilityFlags = {},\n\
         globalOutbound = \"out\");\n",
        objects.display(),
        place.address,
        setting("compatibility_date")?,
        setting("compatibility_flags")?,
    );
    let file = place.folder.join("config.capnp");
    write(&file, &config)?;
    let program = bench.packages.folder().join("node_modules/@cloudflare/workerd-linux-64/bin/workerd");
    let mut command = Command::new(program);
    alone(&mut command, &place.folder);
    place.serve(command.envs(place.variables()).arg("serve").arg(file))
}

fn wrangler(bench: &Bench, place: &Place) -> Result<Server, String> {
    let mut command = bench.node(&place.folder);
    command.arg(bench.wrangler()).args([
        "dev",
        "--local",
        "--ip",
        "127.0.0.1",
        "--show-interactive-dev-session=false",
    ]);
    command.args(["--port", &place.address.port().to_string(), "--inspector-port", "0", "--persist-to"]);
    command.arg(place.folder.join("state"));
    for (name, value) in place.variables() {
        command.args(["--var", &format!("{name}:{value}")]);
    }
    place.serve(command.current_dir(edge::dist().join("cloudflare")))
}

fn deno(bench: &Bench, place: &Place) -> Result<Server, String> {
    let mut command = bench.deno(place);
    if place.more.iter().any(|(name, _)| *name == "LIBRA_DENO_KV") {
        let folder = place.folder.display();
        command.arg(format!("--allow-read=.,{folder}")).arg(format!("--allow-write={folder}"));
        command.arg("--unstable-kv");
    } else {
        command.arg("--allow-read=.");
    }
    command.arg("main.js");
    place.serve(command.current_dir(edge::dist().join("deno")))
}

fn netlify(bench: &Bench, place: &Place) -> Result<Server, String> {
    let mut command = bench.deno(place);
    command.arg("--allow-read=.").arg(bench.script("netlify.mjs"));
    place.serve(command.current_dir(edge::dist().join("netlify")))
}

fn vercel(bench: &Bench, place: &Place) -> Result<Server, String> {
    let mut command = bench.node(&place.folder);
    command.envs(place.variables()).arg(bench.script("vercel.mjs"));
    command.arg(edge::dist().join("vercel/api/index.js")).arg(place.address.port().to_string());
    place.serve(&mut command)
}

fn vercel_native(bench: &Bench, place: &Place) -> Result<Server, String> {
    if bench.native.get().is_none() {
        // Set once, here.
        let _ = bench.native.set(bench.vercel_native()?);
    }
    let Some(program) = bench.native.get() else { return Err("there is no program".to_owned()) };
    let mut command = Command::new(program);
    alone(&mut command, &place.folder);
    // Functions have no folder of their own, and one port.
    command.envs(place.variables()).env("PORT", place.address.port().to_string());
    command.env("LIBRA_DATA", "off").env("LIBRA_ADMIN_LISTEN", "same");
    place.serve(&mut command)
}

/// A value of a TOML file's top, as it is written there: what is tested has the settings of what is deployed.
fn toml_value(file: &Path, name: &str) -> Result<String, String> {
    let text =
        fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
    value.map(|value| value.trim().to_owned()).ok_or_else(|| format!("{} has no {name}", file.display()))
}

#[cfg(test)]
mod tests {
    use xtask::command::root;

    use super::*;

    #[test]
    fn settings_are_found() {
        let settings = root().join("crates/edge/entries/cloudflare/wrangler.toml");
        assert!(toml_value(&settings, "compatibility_flags").is_ok_and(|flags| flags.starts_with('[')));
        assert!(toml_value(&settings, "nonesuch").is_err());
    }
}
