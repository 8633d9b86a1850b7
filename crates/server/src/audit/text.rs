//! The audit for people: plain, aligned text.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use libra_core::audit::{
    Finding, Group, KeyReport, ModelSummary, NamedLimit, State, Summary, project_of_each,
};
use libra_core::failure::LimitKind;

use super::Audit;
use crate::local_time::Clock;
use crate::table::table;

/// More lines about single keys help nobody at a terminal; JSON has them all.
const MOST_KEY_LINES: usize = 200;

/// More of Google's words are not shown in a line.
const MOST_WORDS: usize = 120;

/// What is said before anything is sent.
pub(super) fn announcement(keys: usize, models: usize, most: usize, probes: bool) -> String {
    let words = keys.saturating_mul(models);
    let writes = match probes {
        true => "A file of five letters is uploaded into each project and deleted again.",
        false => "Nothing is uploaded or changed.",
    };
    format!(
        "Asking about {} with {}: this makes at most {}, of which at most {words} generate a word and count \
         against the keys' quotas. {writes}",
        count(keys, "key"),
        count(models, "model"),
        count(most, "request"),
    )
}

/// Everything, as lines.
pub(super) fn render(audit: &Audit, zone: &TimeZone) -> String {
    let clock = Clock { now: audit.at, zone };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<10}{value}");
    };
    line("Pool", source(audit));
    line("Keys", keys(audit));
    line("Dead", dead(&audit.summary));
    line("Limited", limited(&audit.summary, &clock));
    line("Projects", projects(&audit.summary, audit.probed));
    line("Requests", requests(audit));
    for model in &audit.summary.models {
        let _ = write!(text, "\n{}", of_model(model, &clock));
    }
    let rows = rows(audit, &clock);
    if !rows.is_empty() {
        let _ = write!(text, "\nKeys that do not answer\n{}", table(&rows));
    }
    text
}

fn source(audit: &Audit) -> String {
    match audit.pool.clients {
        0 => audit.pool.source.clone(),
        clients => format!("{}, with {}", audit.pool.source, count(clients, "client key")),
    }
}

fn keys(audit: &Audit) -> String {
    let Summary { keys, healthy, .. } = audit.summary;
    let doubles = match audit.pool.doubles {
        0 => "none of them double".to_owned(),
        doubles => format!("and {} left out", count(doubles, "double")),
    };
    format!("{keys} different, {doubles}; {healthy} healthy")
}

fn dead(summary: &Summary) -> String {
    let all: usize = summary.dead.values().sum();
    if all == 0 {
        return "none".to_owned();
    }
    let each: Vec<String> =
        summary.dead.iter().map(|(state, keys)| format!("{keys} {}", state.words())).collect();
    format!("{all}: {}", each.join(", "))
}

fn limited(summary: &Summary, clock: &Clock<'_>) -> String {
    let limited = &summary.limited;
    match (limited.keys, limited.first, limited.last) {
        (0, ..) => "none now".to_owned(),
        (keys, Some(first), Some(last)) if clock.minute(first) != clock.minute(last) => format!(
            "{keys} now, the first until {}, the last until {}",
            clock.moment(first),
            clock.moment(last)
        ),
        (keys, _, Some(last)) => format!("{keys} now, until {}", clock.moment(last)),
        (keys, ..) => format!("{keys} now"),
    }
}

fn projects(summary: &Summary, probed: bool) -> String {
    let projects = &summary.projects;
    if projects.keys == 0 {
        return "none, as no key lives".to_owned();
    }
    let keys = count(projects.keys, if summary.dead.is_empty() { "key" } else { "living key" });
    match projects.unknown {
        0 => {
            let verified = if probed { " (verified)" } else { "" };
            format!("{keys} = {}{verified}", count(projects.count, "project"))
        }
        unknown => format!(
            "{keys} = at most {} (unverified: of {} the project is not known)",
            count(projects.count, "project"),
            count(unknown, "key")
        ),
    }
}

fn requests(audit: &Audit) -> String {
    let sent = format!("{} made", audit.requests.sent);
    if audit.requests.given_up {
        return format!(
            "{sent}; given up, as nobody answers: look at the network and the address of this machine"
        );
    }
    sent
}

fn of_model(model: &ModelSummary, clock: &Clock<'_>) -> String {
    let mut text = format!("{}\n", model.model);
    let _ = writeln!(text, "  {} of {} answer now", model.answering(), count(model.asked, "key"));
    for (state, standing) in &model.states {
        if *state == State::Answers {
            continue;
        }
        let until = match (standing.first, standing.last) {
            (Some(first), Some(last)) if clock.minute(first) != clock.minute(last) => {
                format!(", from {} to {}", clock.moment(first), clock.moment(last))
            }
            (_, Some(last)) => format!(", until {}", clock.moment(last)),
            _ => String::new(),
        };
        let _ = writeln!(text, "  {} {}{until}", standing.keys, state.words());
    }
    if !model.limits.is_empty() {
        let limits: Vec<String> = model.limits.iter().map(|limit| limit_words(limit, &model.model)).collect();
        let _ = writeln!(text, "  limits that Google named: {}", limits.join(", "));
    }
    let (waste, by_state) = model.waste();
    if waste > 0.0 {
        let each: Vec<String> =
            by_state.iter().map(|(state, share)| format!("{} {}", percent(*share), state.words())).collect();
        let _ = writeln!(
            text,
            "  plain rotation would waste {} of its calls now: {}",
            percent(waste),
            each.join(", ")
        );
    }
    text
}

fn limit_words(limit: &NamedLimit, model: &str) -> String {
    let kind = match limit.kind {
        LimitKind::RequestsPerMinute => "requests a minute",
        LimitKind::RequestsPerDay => "requests a day",
        LimitKind::TokensPerMinute => "input tokens a minute",
        LimitKind::TokensPerDay => "tokens a day",
    };
    let family = match &limit.family {
        Some(family) if family != model => format!(" for {family}"),
        _ => String::new(),
    };
    format!("{} {kind}{family} (to {})", limit.value, count(limit.keys, "key"))
}

/// The lines about keys that do not answer: number, key, project, model, what, until when.
fn rows(audit: &Audit, clock: &Clock<'_>) -> Vec<[String; 6]> {
    let mut rows = vec![["", "KEY", "PROJECT", "MODEL", "WHAT", "UNTIL"].map(str::to_owned)];
    let mut left_out = 0;
    let numbers = project_of_each(&audit.reports);
    for (index, (report, number)) in audit.reports.iter().zip(numbers).enumerate() {
        let failing = report.findings.iter().zip(audit.models.iter());
        let mut failing = failing.filter(|(finding, _)| finding.state != State::Answers).peekable();
        let Some((first, _)) = failing.peek() else { continue };
        let alike = report.findings.iter().all(|finding| finding.state == first.state);
        let shown = if alike { 1 } else { usize::MAX };
        for (finding, model) in failing.take(shown) {
            if rows.len() > MOST_KEY_LINES {
                left_out += 1;
                continue;
            }
            rows.push([
                format!("{}", index + 1),
                report.key.clone(),
                project(report, number),
                if alike && report.findings.len() > 1 { "all".to_owned() } else { model.clone() },
                what(finding),
                finding.until.map_or_else(String::new, |until| clock.moment(until)),
            ]);
        }
    }
    if left_out > 0 {
        let note = format!("… and {left_out} more; --json has them all");
        rows.push([String::new(), note, String::new(), String::new(), String::new(), String::new()]);
    }
    if rows.len() == 1 { Vec::new() } else { rows }
}

fn project(report: &KeyReport, number: Option<usize>) -> String {
    match (&report.project, number) {
        (Some(project), _) => project.clone(),
        (None, Some(number)) => format!("#{number}"),
        (None, None) => "?".to_owned(),
    }
}

/// The state, with Google's words where it is no word of its own.
fn what(finding: &Finding) -> String {
    let state = finding.state;
    match &finding.message {
        Some(message) if state.group() == Group::Unclear => {
            let short: String = message.chars().take(MOST_WORDS).collect();
            format!("{}: {short}", state.words())
        }
        _ => state.words().to_owned(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use libra_core::audit::summarize;
    use libra_core::failure::Limit;
    use libra_core::time::Timestamp;

    use super::super::Requests;
    use super::*;
    use crate::audit::source::Pool;

    /// 2026-11-24T06:36:16Z; Pacific midnight is at 08:00.
    const NOW: Timestamp = Timestamp::from_millis(1_795_502_176_000);

    fn finding(state: State, until: Option<Timestamp>, message: Option<&str>) -> Finding {
        Finding { state, until, message: message.map(str::to_owned), limits: Vec::new() }
    }

    fn report(project: Option<&str>, findings: &[Finding]) -> KeyReport {
        KeyReport {
            key: "AIzaSyA......tail-00".to_owned(),
            project: project.map(str::to_owned),
            consumer: None,
            findings: findings.to_vec(),
        }
    }

    fn audit(models: &[&str], reports: Vec<KeyReport>) -> Audit {
        let models: Vec<String> = models.iter().map(|model| (*model).to_owned()).collect();
        let summary = summarize(&reports, &models);
        let pool = Pool {
            source: "pool.env".to_owned(),
            keys: Vec::new(),
            doubles: 1,
            clients: 2,
            notices: Vec::new(),
        };
        let requests = Requests { most: 9, sent: 8, given_up: false };
        Audit { pool, models: models.into(), reports, summary, requests, probed: false, at: NOW }
    }

    fn zone() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(8))
    }

    #[test]
    fn a_person_reads_what_there_is() {
        let limit = Limit { family: Some("one".to_owned()), kind: LimitKind::RequestsPerDay, value: 20 };
        let used_up = Finding {
            limits: vec![limit],
            ..finding(State::DayUsedUp, Some(NOW.next_pacific_midnight()), None)
        };
        let answers = finding(State::Answers, None, None);
        let failed = finding(State::Failed, None, Some("The upstream answered 500."));
        let reports = vec![
            report(Some("team"), &[answers.clone(), answers.clone()]),
            report(Some("team"), &[used_up, answers.clone()]),
            report(None, &[finding(State::Leaked, None, None), finding(State::Leaked, None, None)]),
            report(None, &[failed, answers]),
        ];
        let expected = "\
Pool      pool.env, with 2 client keys
Keys      4 different, and 1 double left out; 1 healthy
Dead      1: 1 leaked
Limited   1 now, until 2026-11-24 16:00 +08 (2026-11-24 08:00 UTC), in 1 h 23 min
Projects  3 living keys = at most 2 projects (unverified: of 1 key the project is not known)
Requests  8 made

one
  1 of 4 keys answer now
  1 leaked
  1 used up for the day, until 2026-11-24 16:00 +08 (2026-11-24 08:00 UTC), in 1 h 23 min
  1 failed
  limits that Google named: 20 requests a day (to 1 key)
  plain rotation would waste 75 % of its calls now: 25 % leaked, 25 % used up for the day, 25 % failed

two
  3 of 4 keys answer now
  1 leaked
  plain rotation would waste 25 % of its calls now: 25 % leaked

Keys that do not answer
     KEY                   PROJECT  MODEL  WHAT                                UNTIL
  2  AIzaSyA......tail-00  team     one    used up for the day                 2026-11-24 16:00 +08 (2026-11-24 08:00 UTC), in 1 h 23 min
  3  AIzaSyA......tail-00  ?        all    leaked
  4  AIzaSyA......tail-00  ?        one    failed: The upstream answered 500.
";
        assert_eq!(render(&audit(&["one", "two"], reports), &zone()), expected);
    }

    #[test]
    fn large_pools_are_cut_short() {
        let reports = vec![report(None, &[finding(State::Invalid, None, None)]); MOST_KEY_LINES + 5];
        let text = render(&audit(&["one"], reports), &zone());
        assert!(text.ends_with("… and 5 more; --json has them all\n"), "{text}");
        assert!(text.contains("Projects  none, as no key lives\n"));
    }
}
