//! The platforms' own builders: whether they take the folders as they are.

use std::fs;

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
        // What `vercel link` would write. The names are made up: nobody is asked.
        let project = r#"{"projectId":"prj_local","orgId":"team_local","settings":{"framework":null,"nodeVersion":"22.x"}}"#;
        fs::create_dir_all(folder.join(".vercel"))
            .map_err(|error| format!("cannot write to {}: {error}", folder.display()))?;
        write(&folder.join(".vercel/project.json"), project)?;
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
}
