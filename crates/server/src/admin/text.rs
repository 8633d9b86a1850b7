//! The pool and an explanation for people: plain, aligned text.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use libra_core::config::Strategy;
use libra_core::failure::Why;
use libra_core::pool::{
    Candidate, Explanation, KeyView, ModelView, Moment, PoolView, ProjectView, Used, Verdict,
};
use libra_core::time::Timestamp;

use crate::local_time::Clock;
use crate::table::table;

/// More lines help nobody at a terminal; JSON has them all.
const MOST_LINES: usize = 200;

/// `libra pool`.
pub(super) fn pool(view: &PoolView, zone: &TimeZone) -> String {
    let clock = Clock { now: view.at.at, zone };
    let mut text = String::new();
    let keys = view.keys;
    // Writing to a string cannot fail.
    let _ =
        write!(text, "Keys      {} in all, {} usable, {} set aside", keys.all, keys.usable, keys.set_aside);
    if keys.paused > 0 {
        let _ = write!(text, ", {} paused", keys.paused);
    }
    text.push('\n');
    let _ = writeln!(text, "Projects  {}", view.projects.summary);
    let _ = writeln!(text, "Strategy  {}", strategy(view.strategy));
    if let Some(clock) = clock_off(view.clock_behind_seconds) {
        let _ = writeln!(text, "Clock     {clock}");
    }
    for incident in &view.incidents {
        let what = match &incident.model {
            Some(model) => format!("{model} is overloaded"),
            None => "the way to Google is disturbed".to_owned(),
        };
        let _ =
            writeln!(text, "Paused    {what}; the next request tries at {}", clock.moment(incident.until.at));
    }
    if keys.all > 0 {
        let header = [
            "PROJECT",
            "PRIORITY",
            "KEYS",
            "MODEL",
            "REQUESTS/MIN",
            "TOKENS/MIN",
            "REQUESTS/DAY",
            "LOAD",
            "STATE",
        ];
        let rows = view.each_project.iter().flat_map(|project| project_rows(project, &clock));
        let _ = write!(text, "\n{}", table(&cut(header, rows)));
    }
    if keys.set_aside > 0 {
        let rows = view.each_project.iter().flat_map(|project| {
            project.keys.iter().filter_map(|key| set_aside_row(key, &project.name, &clock))
        });
        let header = ["KEY", "PROJECT", "WHY", "SINCE", "NEXT PROBE"];
        let _ = write!(text, "\nKeys set aside\n{}", table(&cut(header, rows)));
    }
    text
}

/// Said where the gateway's own clock is wrong.
fn clock_off(behind: i64) -> Option<String> {
    let side = if behind > 0 { "behind" } else { "ahead of" };
    (behind != 0).then(|| format!("the gateway's is {} s {side} Google's; times are Google's", behind.abs()))
}

/// `libra explain`.
pub(super) fn explanation(explanation: &Explanation, zone: &TimeZone) -> String {
    let clock = Clock { now: explanation.at.at, zone };
    let mut text = String::new();
    let Explanation { model, family, tokens, .. } = explanation;
    let family = if family == model { String::new() } else { format!(" (its quotas are {family}'s)") };
    let plural = if *tokens == 1 { "" } else { "s" };
    let _ = writeln!(text, "Request   {model}{family}, {tokens} input token{plural}");
    let answer = match (&explanation.picked, explanation.recovers) {
        (Some(picked), _) => format!("{} would serve now, with {}", picked.project, picked.key),
        (None, Some(at)) => format!("nobody could serve before {}", clock.moment(at.at)),
        (None, None) => "nobody can serve until a key comes back".to_owned(),
    };
    let _ = writeln!(text, "Answer    {answer}");
    let _ = writeln!(text, "Strategy  {}", strategy(explanation.strategy));
    if !explanation.projects.is_empty() {
        let picked = explanation.picked.as_ref().map(|picked| picked.project.as_str());
        let rows = explanation.projects.iter().map(|candidate| candidate_row(candidate, picked, &clock));
        let _ = write!(text, "\n{}", table(&cut(["PROJECT", "PRIORITY", "KEYS", "LOAD", "NOW"], rows)));
    }
    text
}

/// A table's rows below its header, as many as help.
fn cut<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
) -> Vec<[String; COLUMNS]> {
    let mut table = vec![header.map(str::to_owned)];
    let mut left_out = 0;
    for row in rows {
        if table.len() > MOST_LINES {
            left_out += 1;
        } else {
            table.push(row);
        }
    }
    if left_out > 0 {
        let mut note = [""; COLUMNS].map(str::to_owned);
        note[1] = format!("… and {left_out} more; --json has them all");
        table.push(note);
    }
    table
}

/// A line for each model, and one for a project that has none.
fn project_rows(project: &ProjectView, clock: &Clock<'_>) -> Vec<[String; 9]> {
    let usable = project.keys.iter().filter(|key| key.set_aside.is_none() && !key.paused).count();
    let row = |model: Option<&ModelView>| {
        let count =
            |used: fn(&ModelView) -> Used| model.map_or_else(|| "-".to_owned(), |model| of(used(model)));
        [
            project.name.clone(),
            project.priority.to_string(),
            format!("{usable} of {}", project.keys.len()),
            model.map_or_else(|| "-".to_owned(), |model| model.model.clone()),
            count(|model| model.requests_per_minute),
            count(|model| model.tokens_per_minute),
            count(|model| model.requests_per_day),
            model.map_or_else(|| "-".to_owned(), |model| format!("{} %", model.load_percent)),
            state(project, usable, model, clock),
        ]
    };
    match project.models.as_slice() {
        [] => vec![row(None)],
        models => models.iter().map(|model| row(Some(model))).collect(),
    }
}

fn state(project: &ProjectView, usable: usize, model: Option<&ModelView>, clock: &Clock<'_>) -> String {
    let rests = model.and_then(|model| model.rests_until);
    let penalised = model.and_then(|model| model.penalised_until);
    match (project.rests_until, rests, penalised) {
        _ if usable == 0 => "no usable key".to_owned(),
        (Some(until), ..) => format!("the project rests {}", until_words(until, clock)),
        (None, Some(until), _) => format!("rests {}", until_words(until, clock)),
        (None, None, Some(until)) => format!("comes last {}", until_words(until, clock)),
        (None, None, None) => "in use".to_owned(),
    }
}

fn of(used: Used) -> String {
    match used.limit {
        Some(limit) => format!("{} of {limit}", used.used),
        None => used.used.to_string(),
    }
}

fn set_aside_row(key: &KeyView, project: &str, clock: &Clock<'_>) -> Option<[String; 5]> {
    let aside = key.set_aside.as_ref()?;
    let probe =
        aside.next_probe.map_or_else(|| "none: only a person can help".to_owned(), |at| clock.moment(at.at));
    Some([
        key.key.to_string(),
        project.to_owned(),
        why(aside.why).to_owned(),
        clock.past(aside.since.at),
        probe,
    ])
}

fn candidate_row(candidate: &Candidate, picked: Option<&str>, clock: &Clock<'_>) -> [String; 5] {
    let until = candidate.until.map_or_else(String::new, |until| format!(" {}", until_words(until, clock)));
    let now = match candidate.verdict {
        _ if picked == Some(candidate.project.as_str()) => "would serve",
        Verdict::Ready => "could serve",
        Verdict::Penalised => "could serve, but comes last",
        Verdict::NoUsableKey => "no usable key",
        Verdict::Paused => "paused",
        Verdict::ProjectRests => "the project rests",
        Verdict::ModelRests => "rests",
        Verdict::NoQuota => "not given this model,",
        Verdict::MinuteFull => "no room in the minute",
        Verdict::DayFull => "no room in the day",
        Verdict::Incident => "paused, as many projects failed alike,",
    };
    [
        candidate.project.clone(),
        candidate.priority.to_string(),
        format!("{} of {}", candidate.usable_keys, candidate.keys),
        format!("{} %", candidate.load_percent),
        format!("{now}{until}"),
    ]
}

fn until_words(until: Moment, clock: &Clock<'_>) -> String {
    match until.at {
        Timestamp::NEVER => "until a person helps".to_owned(),
        at => format!("until {}", clock.moment(at)),
    }
}

fn why(why: Why) -> &'static str {
    match why {
        Why::Leaked => "leaked",
        Why::Invalid => "invalid",
        Why::Unauthenticated => "unauthenticated",
        Why::Suspended => "suspended",
        Why::Restricted => "restricted",
    }
}

fn strategy(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Headroom => "headroom",
        Strategy::RoundRobin => "round-robin",
        Strategy::TimeWindow => "time-window",
        Strategy::Random => "random",
        Strategy::LeastUsed => "least-used",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use libra_core::config::PoolKey;
    use libra_core::failure::{Class, Consequence, Elsewhere, Failure, Limit, LimitKind};
    use libra_core::pool::{Pool, PoolSettings};
    use libra_core::secret::ApiKey;

    use super::*;

    /// 2026-11-24T06:36:16Z; Pacific midnight is at 08:00.
    const NOW: Timestamp = Timestamp::from_millis(1_795_502_176_000);
    const MODEL: &str = "gemini-2.5-flash";

    fn zone() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(8))
    }

    /// A pool of these projects, with one key each.
    fn pool_of(projects: &[&str]) -> Pool {
        let key = |project: &&str| PoolKey {
            project: Some((*project).to_owned()),
            ..PoolKey::from(ApiKey::new(&format!("key of {project}")))
        };
        Pool::new(&projects.iter().map(key).collect::<Vec<_>>(), PoolSettings::only(Strategy::Headroom), 1)
    }

    fn fail(pool: &mut Pool, project: &str, consequence: Consequence, limits: Vec<Limit>) {
        let failure =
            Failure { consequence, limits, ..Failure::new(Class::Unknown, Elsewhere::All, "made up") };
        pool.failed(ApiKey::new(&format!("key of {project}")).id(), Some(MODEL), &failure, NOW);
    }

    fn limit(value: u64) -> Vec<Limit> {
        vec![Limit { family: Some(MODEL.to_owned()), kind: LimitKind::RequestsPerDay, value }]
    }

    fn mixed() -> Pool {
        let mut pool = pool_of(&["one", "two", "three", "four"]);
        fail(&mut pool, "one", Consequence::Nothing, limit(20));
        fail(&mut pool, "two", Consequence::RestModel(NOW.next_pacific_midnight()), Vec::new());
        fail(&mut pool, "three", Consequence::SetAside(Why::Leaked), Vec::new());
        fail(&mut pool, "four", Consequence::RestProject(NOW + Duration::from_secs(22)), Vec::new());
        pool
    }

    #[test]
    fn a_person_reads_the_pool() {
        let expected = "\
Keys      4 in all, 3 usable, 1 set aside
Projects  4 keys = 4 projects
Strategy  headroom

  PROJECT  PRIORITY  KEYS    MODEL             REQUESTS/MIN  TOKENS/MIN  REQUESTS/DAY  LOAD  STATE
  one      1         1 of 1  gemini-2.5-flash  0             0           0 of 20       0 %   in use
  two      1         1 of 1  gemini-2.5-flash  0             0           0             0 %   rests until 2026-11-24 16:00 +08 (2026-11-24 08:00 UTC), in 1 h 23 min
  three    1         0 of 1  -                 -             -           -             -     no usable key
  four     1         1 of 1  -                 -             -           -             -     the project rests until 2026-11-24 14:36:38 +08 (2026-11-24 06:36:38 UTC), in 22 s

Keys set aside
  KEY           PROJECT  WHY     SINCE                                        NEXT PROBE
  KEY-OF-THREE  three    leaked  2026-11-24 14:36 +08 (2026-11-24 06:36 UTC)  none: only a person can help
";
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let key = ApiKey::new("key of three").id().to_string();
        let text = pool(&mixed().view(NOW), &zone());
        assert_eq!(squeezed(&text), squeezed(&expected.replace("KEY-OF-THREE", &key)), "{text}");
        assert!(text.contains("\n  one      1         1 of 1  gemini-2.5-flash  0  "), "{text}");
    }

    #[test]
    fn a_person_reads_why() {
        let mut pool = mixed();
        let key = ApiKey::new("key of one").id();
        let expected = format!(
            "\
Request   gemini-2.5-flash, 100 input tokens
Answer    one would serve now, with {key}
Strategy  headroom

  PROJECT  PRIORITY  KEYS    LOAD  NOW
  one      1         1 of 1  0 %   would serve
  two      1         1 of 1  0 %   rests until 2026-11-24 16:00 +08 (2026-11-24 08:00 UTC), in 1 h 23 min
  three    1         0 of 1  0 %   no usable key
  four     1         1 of 1  0 %   the project rests until 2026-11-24 14:36:38 +08 (2026-11-24 06:36:38 UTC), in 22 s
"
        );
        assert_eq!(explanation(&pool.explain(MODEL, 100, NOW), &zone()), expected);
        fail(&mut pool, "one", Consequence::Nothing, limit(0));
        let text = explanation(&pool.explain(MODEL, 100, NOW), &zone());
        assert!(text.contains("nobody could serve before 2026-11-24 14:36:38 +08"), "{text}");
        assert!(text.contains("not given this model, until a person helps"), "{text}");
    }

    #[test]
    fn large_pools_are_cut_short() {
        let names: Vec<String> = (0..MOST_LINES + 5).map(|n| format!("project {n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = pool(&pool_of(&names).view(NOW), &TimeZone::UTC);
        assert!(text.ends_with("… and 5 more; --json has them all\n"), "{text}");
    }
}
