//! `--probe-projects`: which keys share a project, by files that are uploaded and taken away again.

use std::collections::HashMap;

use http::Uri;
use libra_core::audit::{KeyReport, take_in};
use libra_core::config::PoolKey;
use libra_core::project_probe::ProjectProbe;

use super::Progress;
use crate::checks;
use crate::upstream::Upstream;

/// Probes the keys that live, and notes in the reports what was found. The number of requests that it took.
pub(super) async fn probe(
    keys: &[PoolKey],
    reports: &mut [KeyReport],
    origin: &Uri,
    upstream: &Upstream,
) -> usize {
    let entries = entries(keys, reports);
    let of_entry = |places: &Vec<usize>| places.iter().map(|&place| keys[place].key.clone()).collect();
    let mut probe = ProjectProbe::new(entries.iter().map(of_entry).collect());
    let mut progress = Progress::new(entries.len());
    while let Some(request) = probe.next(origin) {
        let answer = tokio::select! {
            answer = checks::ask(request, upstream) => answer,
            // What is there is taken away before the end.
            _ = tokio::signal::ctrl_c() => {
                probe.stop();
                continue;
            }
        };
        probe.heard(&answer);
        let (known, requests) = probe.progress();
        progress.line.show(&format!("{known} of {} keys placed, {requests} requests", entries.len()));
    }
    progress.line.clear();
    let (_, sent) = probe.progress();
    take_in(reports, &entries, &probe.relations());
    sent
}

/// The keys that live, those of a project that the settings name together.
fn entries(keys: &[PoolKey], reports: &[KeyReport]) -> Vec<Vec<usize>> {
    let mut entries: Vec<Vec<usize>> = Vec::new();
    let mut named: HashMap<&str, usize> = HashMap::new();
    for (place, report) in reports.iter().enumerate() {
        if report.death().is_some() || report.heard_nothing() {
            continue;
        }
        match keys[place].project.as_deref() {
            Some(project) => match named.get(project) {
                Some(&entry) => entries[entry].push(place),
                None => {
                    named.insert(project, entries.len());
                    entries.push(vec![place]);
                }
            },
            None => entries.push(vec![place]),
        }
    }
    entries
}
