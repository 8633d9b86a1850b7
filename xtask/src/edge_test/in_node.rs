//! The WebAssembly by itself, in Node.js: what it costs, and whether it does what core's own tests have seen core do.

use std::fs;
use std::time::Duration;

use xtask::command::{self, cargo};

use super::bench::Bench;
use super::report::Report;
use crate::edge;

/// Core's tests that are played: failing over, streams, requests in parts, repairs, suffixes, and the golden fixtures of
/// the dialects that chat.
const PLAYED: [&str; 6] = ["failover", "streams", "parts", "repair", "suffixes", "fixtures"];

/// Tests that cannot be played, and why.
const NOT_HERE: [(&str, &str); 1] = [(
    "failover::a_stale_connection_is_nobodys_fault",
    "a platform does not say whether a connection that broke had been idle before",
)];

/// How long all plays, or all measurements, may take.
const LIMIT: Duration = Duration::from_secs(240);

impl Bench {
    /// What the WebAssembly costs.
    pub(super) fn budgets(&self) -> Result<Report, String> {
        println!("\n== budgets (Node.js)");
        let folder = self.fresh("budgets")?;
        let mut report = Report::new("budgets", "Node.js, one isolate");
        let mut node = self.node(&folder);
        node.arg(self.script("budgets.mjs")).arg(edge::dist().join("deno"));
        report.run(&mut node, &folder.join("errors.log"), LIMIT)?;
        Ok(report)
    }

    /// The failover table and the golden fixtures, played with the WebAssembly.
    pub(super) fn plays(&self) -> Result<Report, String> {
        println!("\n== plays (Node.js)");
        let folder = self.fresh("plays")?;
        let plays = folder.join("written");
        fs::create_dir(&plays).map_err(|error| format!("cannot make {}: {error}", plays.display()))?;
        let mut tests = cargo();
        tests.args(["test", "--quiet", "--package", "libra-core"]).env("LIBRA_WRITE_PLAYS", &plays);
        tests.args(PLAYED.iter().flat_map(|test| ["--test", test]));
        command::run(&mut tests)?;
        let mut report = Report::new("plays", "Node.js, with time and chance made up");
        let not_here: Vec<String> = NOT_HERE.iter().map(|(test, why)| format!("{test}={why}")).collect();
        let mut node = self.node(&folder);
        node.arg(self.script("plays.mjs")).arg(edge::dist().join("deno")).arg(&plays);
        node.env("NOT_HERE", not_here.join("\n"));
        report.run(&mut node, &folder.join("errors.log"), LIMIT)?;
        Ok(report)
    }
}
