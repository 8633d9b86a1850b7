//! The platforms' own builders: whether they take the folders as they are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use xtask::command::{self, root, target};

use super::bench::{Bench, PROXIES, write};
use super::report::Report;
use crate::edge;

impl Bench {
    /// Whether wrangler would deploy the folder as it is.
    pub(super) fn dry_run(&self) -> Result<Report, String> {
        let folder = self.fresh("dry-run")?;
        let mut wrangler = self.node(&folder);
        wrangler.arg(self.wrangler()).args(["deploy", "--dry-run", "--outdir"]).arg(folder.join("out"));
        wrangler.current_dir(edge::dist().join("cloudflare"));
        Ok(Report::of_build("cloudflare", "wrangler deploy --dry-run", &mut wrangler, &[]))
    }

    /// Whether Netlify's tool makes a bundle of the folder as it is, for all paths. It says that a file of types cannot be
    /// had, which is only for who writes TypeScript.
    pub(super) fn netlify_build(&self) -> Result<Report, String> {
        let folder = self.fresh("netlify-build")?;
        edge::copy_all(&edge::dist().join("netlify"), &folder)?;
        let deno = self.packages.folder().join("node_modules/@deno/linux-x64-glibc");
        let mut netlify = self.node(&folder);
        // It would not start with a proxy that does not answer; offline, it asks for the types alone.
        PROXIES.iter().for_each(|proxy| {
            netlify.env_remove(proxy);
        });
        netlify.env("PATH", format!("{}:{}", deno.display(), self.packages.path()));
        netlify.arg(self.builders.folder().join("node_modules/netlify-cli/bin/run.js"));
        let manifest = folder.join(".netlify/edge-functions-dist/manifest.json");
        let expected = [(manifest, r#""function":"libra","pattern":"^(?:/(.*))/?$""#)];
        netlify.args(["build", "--offline"]).env("NETLIFY_TELEMETRY_DISABLED", "1");
        Ok(Report::of_build("netlify", "netlify build --offline", &mut netlify, &expected))
    }

    /// Whether Vercel's tool takes the folder as it is for an edge function that answers all paths.
    pub(super) fn vercel_build(&self) -> Result<Report, String> {
        let folder = self.fresh("vercel-build")?;
        edge::copy_all(&edge::dist().join("vercel"), &folder)?;
        linked(&folder)?;
        let mut vercel = self.node(&folder);
        vercel.arg(self.builders.folder().join("node_modules/vercel/dist/index.js"));
        vercel.args(["build", "--yes", "--token", "none"]).env("VERCEL_TELEMETRY_DISABLED", "1");
        let output = folder.join(".vercel/output");
        let expected = [
            (output.join("functions/api/index.func/.vc-config.json"), r#""runtime": "edge""#),
            (output.join("config.json"), r#""dest": "/api/index""#),
        ];
        Ok(Report::of_build("vercel", "vercel build", &mut vercel, &expected))
    }

    /// The native server as Vercel's builder makes it of the repository's sources, for a function that runs a program.
    /// Quicker to build than what Vercel gets, and otherwise the same.
    pub(super) fn vercel_native(&self) -> Result<PathBuf, String> {
        let folder = self.fresh("vercel-native-build")?;
        // As it would be cloned there.
        let files = command::ask(Command::new("git").current_dir(root()).args([
            "ls-files",
            "-co",
            "--exclude-standard",
        ]));
        for file in files.ok_or("cannot ask git for the sources")?.lines() {
            let (from, to) = (root().join(file), folder.join(file));
            to.parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| if from.is_file() { fs::copy(&from, &to).map(|_| ()) } else { Ok(()) })
                .map_err(|error| format!("cannot copy {file}: {error}"))?;
        }
        linked(&folder)?;
        let mut vercel = self.node(&folder);
        vercel.arg(self.builders.folder().join("node_modules/vercel/dist/index.js"));
        vercel
            .args(["build", "--yes", "--token", "none", "--standalone"])
            .env("VERCEL_TELEMETRY_DISABLED", "1");
        // On their machine it takes the compiler that is there; elsewhere it would want to cross-compile.
        vercel.env("VERCEL_BUILD_IMAGE", "1").env("CARGO_TARGET_DIR", target().join("edge/native"));
        for (setting, value) in [("LTO", "off"), ("OPT_LEVEL", "0"), ("CODEGEN_UNITS", "16"), ("DEBUG", "0")]
        {
            vercel.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
        }
        for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
            if let Some(value) = env::var_os(name) {
                vercel.env(name, value);
            }
        }
        // Crates come from where they always come from.
        PROXIES.iter().for_each(|proxy| {
            vercel.env_remove(proxy);
        });
        command::run(&mut vercel)?;
        let function = function_in(&folder.join(".vercel/output/functions"))
            .ok_or_else(|| format!("no function was built in {}", folder.display()))?;
        let said = fs::read_to_string(function.join(".vc-config.json")).unwrap_or_default();
        if !said.contains(r#""supportsResponseStreaming": true"#) {
            return Err(format!("the function cannot stream: {said}"));
        }
        Ok(function.join("executable"))
    }
}

/// Writes what `vercel link` would write. The names are made up: nobody is asked.
fn linked(folder: &Path) -> Result<(), String> {
    let project = r#"{"projectId":"prj_local","orgId":"team_local","settings":{"framework":null,"nodeVersion":"22.x"}}"#;
    fs::create_dir_all(folder.join(".vercel"))
        .map_err(|error| format!("cannot write to {}: {error}", folder.display()))?;
    write(&folder.join(".vercel/project.json"), project)
}

/// The one folder of a function below another.
fn function_in(folder: &Path) -> Option<PathBuf> {
    if folder.extension().is_some_and(|extension| extension == "func") {
        return Some(folder.to_owned());
    }
    let below = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    below.filter(|path| path.is_dir()).find_map(|path| function_in(&path))
}
