//! `libra audit`: what a pool is worth now.
//!
//! It reads only, unless `--probe-projects` is given: nothing is uploaded, changed or kept. What is asked and what answers mean is core's
//! ([`libra_core::audit`]); here are the pool's sources, the sending, and what is shown.

mod json;
mod projects;
mod source;
mod text;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream::{self, StreamExt as _};
use http::Uri;
use jiff::tz::TimeZone;
use libra_core::audit::{HOPELESS_AFTER, KeyAudit, KeyReport, MAX_MODELS, Summary, most_requests, summarize};
use libra_core::check::CONCURRENT;
use libra_core::config::PoolKey;
use libra_core::project_probe;
use libra_core::time::Timestamp;

use self::source::Pool;
use crate::cli::AuditOptions;
use crate::progress::Line;
use crate::settings::Settings;
use crate::upstream::Upstream;
use crate::{BAD_USAGE, StartError, checks, clock, demo, say, trust};

/// The longest name of a model, in bytes. Google's have some 40.
const MAX_NAME_BYTES: usize = 128;

/// All that was found.
struct Audit {
    pool: Pool,
    models: Arc<[String]>,
    reports: Vec<KeyReport>,
    summary: Summary,
    requests: Requests,
    /// Whether it was probed which keys share a project.
    probed: bool,
    /// When it ended.
    at: Timestamp,
}

/// How much was asked.
struct Requests {
    most: usize,
    sent: usize,
    /// Whether the audit was given up, as nobody answered.
    given_up: bool,
}

/// Runs the audit and prints what it found. The exit code is 0 if every key answers with every model.
///
/// # Errors
/// The demonstration's simulator cannot start.
pub(crate) async fn run(mut settings: Settings, options: &AuditOptions) -> Result<ExitCode, StartError> {
    if settings.demo {
        demo::prepare(&mut settings.config)?;
    }
    let prepared = source::pool(&settings, options.env.as_deref())
        .and_then(|pool| Ok((pool, models(&options.models, &settings.config.verify_model)?)));
    let (pool, models) = match prepared {
        Ok(prepared) => prepared,
        Err(problem) => {
            eprintln!("libra: {problem}");
            return Ok(ExitCode::from(BAD_USAGE));
        }
    };
    for notice in &pool.notices {
        tracing::warn!("{notice}");
    }
    let upstream =
        Upstream::new(&settings.outward, &trust::client_config(settings.outward.ca_file.as_deref())?, None);
    let mut requests =
        Requests { most: most_requests(pool.keys.len(), models.len()), sent: 0, given_up: false };
    if options.probe_projects {
        requests.most += project_probe::most_requests(pool.keys.len());
    }
    let announced = text::announcement(pool.keys.len(), models.len(), requests.most, options.probe_projects);
    eprintln!("{announced}");
    let mut reports = ask_all(&pool.keys, &models, &settings.config.upstream, &upstream, &mut requests).await;
    if options.probe_projects && !requests.given_up {
        let origin = &settings.config.upstream;
        requests.sent += projects::probe(&pool.keys, &mut reports, origin, &upstream).await;
    }
    let summary = summarize(&reports, &models);
    let healthy = summary.is_healthy();
    let probed = options.probe_projects;
    let audit = Audit { pool, models, reports, summary, requests, probed, at: clock::now() };
    if options.json {
        say(&json::object(&audit).to_string());
    } else {
        say(text::render(&audit, &TimeZone::system()).trim_end());
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The models to ask for, each once.
fn models(named: &[String], default: &str) -> Result<Arc<[String]>, String> {
    let mut models: Vec<String> = Vec::new();
    for name in named {
        let name = name.trim();
        let name = name.strip_prefix("models/").unwrap_or(name);
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(fits) {
            return Err("--model: a model's name has letters, digits, dots and dashes only".to_owned());
        }
        if !models.iter().any(|known| known == name) {
            models.push(name.to_owned());
        }
    }
    if models.len() > MAX_MODELS {
        return Err(format!("--model: {} models; {MAX_MODELS} are the most for one audit", models.len()));
    }
    if models.is_empty() {
        models.push(default.to_owned());
    }
    Ok(models.into())
}

/// The reports of all keys, in the keys' order.
async fn ask_all(
    keys: &[PoolKey],
    models: &Arc<[String]>,
    origin: &Uri,
    upstream: &Upstream,
    requests: &mut Requests,
) -> Vec<KeyReport> {
    let sent = AtomicUsize::new(0);
    let mut reports: Vec<Option<KeyReport>> = vec![None; keys.len()];
    let mut audits = stream::iter(keys.iter().enumerate())
        .map(|(index, key)| {
            let audit = KeyAudit::new(key.clone(), Arc::clone(models));
            let sent = &sent;
            async move { (index, ask_one(audit, origin, upstream, sent).await) }
        })
        .buffer_unordered(CONCURRENT)
        .boxed_local();
    let mut progress = Progress::new(keys.len());
    let mut silent = 0;
    while let Some((index, report)) = audits.next().await {
        silent = if report.heard_nothing() { silent + 1 } else { 0 };
        reports[index] = Some(report);
        progress.step(sent.load(Ordering::Relaxed));
        if silent == HOPELESS_AFTER && progress.done < keys.len() {
            requests.given_up = true;
            break;
        }
    }
    drop(audits);
    progress.line.clear();
    requests.sent = sent.load(Ordering::Relaxed);
    let unchecked = |key| KeyReport::unchecked(key, models.len());
    reports.into_iter().zip(keys).map(|(report, key)| report.unwrap_or_else(|| unchecked(key))).collect()
}

async fn ask_one(mut audit: KeyAudit, origin: &Uri, upstream: &Upstream, sent: &AtomicUsize) -> KeyReport {
    while let Some(request) = audit.next(origin) {
        sent.fetch_add(1, Ordering::Relaxed);
        let answer = checks::ask(request, upstream).await;
        audit.heard(&answer, clock::now());
    }
    audit.report()
}

/// How far the audit is, for whoever looks on.
struct Progress {
    all: usize,
    done: usize,
    line: Line,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self { all, done: 0, line: Line::new() }
    }

    fn step(&mut self, sent: usize) {
        self.done += 1;
        self.line.bar(self.done as u64, self.all as u64, &format!("keys, {sent} requests"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_named_once() {
        let check = |named: &[&str], expected: Result<&[&str], &str>| {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            match (models(&named, "small"), expected) {
                (Ok(models), Ok(expected)) => assert_eq!(*models, *expected),
                (Err(problem), Err(part)) => assert!(problem.contains(part), "{problem}"),
                (got, expected) => panic!("{got:?} is not {expected:?}"),
            }
        };
        check(&[], Ok(&["small"]));
        check(&["a", "models/b", " a "], Ok(&["a", "b"]));
        check(&["a", ""], Err("a model's name"));
        check(&["../files"], Err("a model's name"));
        let many: Vec<String> = (0..=MAX_MODELS).map(|n| format!("m{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        check(&many, Err("17 models; 16 are the most"));
    }
}
