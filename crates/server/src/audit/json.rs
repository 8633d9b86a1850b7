//! The audit for programs: one JSON object. Times are RFC 3339 in UTC, shares lie between 0 and 1.

use libra_core::audit::{Finding, KeyReport, ModelSummary, NamedLimit, Standing, project_of_each};
use libra_core::failure::LimitKind;
use libra_core::time::Timestamp;
use serde_json::{Map, Value, json};

use super::Audit;
use crate::local_time::jiff_time;

/// Everything.
pub(super) fn object(audit: &Audit) -> Value {
    let summary = &audit.summary;
    let dead: Map<String, Value> =
        summary.dead.iter().map(|(state, keys)| (state.word().to_owned(), json!(keys))).collect();
    let numbers = project_of_each(&audit.reports);
    let keys = audit.reports.iter().zip(numbers).enumerate();
    json!({
        "at": time(audit.at),
        "source": audit.pool.source,
        "healthy": summary.is_healthy(),
        "requests": {
            "at_most": audit.requests.most,
            "made": audit.requests.sent,
            "given_up": audit.requests.given_up,
        },
        "keys": {
            "different": summary.keys,
            "double": audit.pool.doubles,
            "healthy": summary.healthy,
            "dead": summary.dead.values().sum::<usize>(),
            "dead_by_why": dead,
            "limited": standing(&summary.limited),
        },
        "clients": audit.pool.clients,
        "projects": {
            "keys": summary.projects.keys,
            "at_most": summary.projects.count,
            "exact": summary.projects.is_exact(),
            "unknown": summary.projects.unknown,
        },
        "models": summary.models.iter().map(of_model).collect::<Vec<_>>(),
        "each_key": keys
            .map(|(index, (report, number))| of_key(audit, index + 1, report, number))
            .collect::<Vec<_>>(),
    })
}

fn of_model(model: &ModelSummary) -> Value {
    let states: Map<String, Value> =
        model.states.iter().map(|(state, keys)| (state.word().to_owned(), standing(keys))).collect();
    let (waste, by_state) = model.waste();
    let by_state: Map<String, Value> =
        by_state.iter().map(|(state, share)| (state.word().to_owned(), json!(rounded(*share)))).collect();
    json!({
        "model": model.model,
        "asked": model.asked,
        "answering": model.answering(),
        "states": states,
        "limits": model.limits.iter().map(limit).collect::<Vec<_>>(),
        "waste_of_rotation": { "share": rounded(waste), "by_state": by_state },
    })
}

fn of_key(audit: &Audit, number: usize, report: &KeyReport, project: Option<usize>) -> Value {
    let findings: Map<String, Value> =
        audit.models.iter().zip(&report.findings).map(|(model, it)| (model.clone(), finding(it))).collect();
    json!({
        "number": number,
        "key": report.key,
        "project": report.project,
        "project_number": project,
        "models": findings,
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "state": finding.state.word(),
        "until": finding.until.and_then(time),
        "message": finding.message,
    })
}

fn standing(standing: &Standing) -> Value {
    json!({
        "keys": standing.keys,
        "first_until": standing.first.and_then(time),
        "last_until": standing.last.and_then(time),
    })
}

fn limit(limit: &NamedLimit) -> Value {
    let kind = match limit.kind {
        LimitKind::RequestsPerMinute => "requests-per-minute",
        LimitKind::RequestsPerDay => "requests-per-day",
        LimitKind::TokensPerMinute => "tokens-per-minute",
        LimitKind::TokensPerDay => "tokens-per-day",
    };
    json!({ "family": limit.family, "kind": kind, "value": limit.value, "keys": limit.keys })
}

/// In whole seconds: nobody plans by less.
fn time(at: Timestamp) -> Option<String> {
    Some(jiff_time(at)?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn rounded(share: f64) -> f64 {
    (share * 10_000.0).round() / 10_000.0
}
