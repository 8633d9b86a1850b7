use std::time::Duration;

use super::super::{LeaseId, Pick, PoolSettings};
use super::*;
use crate::config::PoolKey;
use crate::failure::{Class, Consequence, Elsewhere, Failure, Limit, LimitKind};
use crate::secret::ApiKey;

/// 15 January 2027, 08:00 UTC: midnight in California.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const MODEL: &str = "gemini-2.5-flash";

const STRATEGIES: [Strategy; 5] =
    [Strategy::Headroom, Strategy::RoundRobin, Strategy::TimeWindow, Strategy::Random, Strategy::LeastUsed];

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn id(key: &str) -> KeyId {
    ApiKey::new(key).id()
}

fn pool(names: &[&str], strategy: Strategy) -> Pool {
    let key = |name: &&str| match name.split_once(':') {
        Some((project, key)) => PoolKey {
            key: ApiKey::new(key),
            project: Some(project.to_owned()),
            ..PoolKey::from(ApiKey::new(key))
        },
        None => PoolKey::from(ApiKey::new(name)),
    };
    Pool::new(&names.iter().map(key).collect::<Vec<_>>(), PoolSettings::only(strategy), 1)
}

fn failure(class: Class, consequence: Consequence) -> Failure {
    Failure { consequence, ..Failure::new(class, Elsewhere::All, "made up") }
}

fn fail(pool: &mut Pool, key: &str, consequence: Consequence) {
    pool.failed(id(key), Some(MODEL), &failure(Class::Unknown, consequence), NOW);
}

fn limit(pool: &mut Pool, key: &str, kind: LimitKind, value: u64) {
    let limits = vec![Limit { family: Some(MODEL.to_owned()), kind, value }];
    let named = Failure { limits, ..failure(Class::Unknown, Consequence::Nothing) };
    pool.failed(id(key), Some(MODEL), &named, NOW);
}

fn take(pool: &mut Pool, tokens: u64, now: Timestamp) -> Option<(LeaseId, KeyId)> {
    match pool.pick(&Want { model: Some(MODEL), tokens, ..Want::default() }, now) {
        Pick::Ready { lease, key } => Some((lease, key.id())),
        _ => None,
    }
}

#[test]
fn projects_are_counted_as_far_as_they_are_known() {
    let check = |names: &[&str], joined: &[(&str, &str)], expected: &str| {
        let mut pool = pool(names, Strategy::Headroom);
        for (key, consumer) in joined {
            let named = Failure {
                consumer: Some((*consumer).to_owned()),
                ..failure(Class::Unknown, Consequence::Nothing)
            };
            pool.failed(id(key), Some(MODEL), &named, NOW);
        }
        let counts = pool.view(NOW).projects;
        assert_eq!(counts.summary, expected);
        assert_eq!(counts.verified, counts.unknown == 0);
    };
    check(&[], &[], "0 keys = 0 projects");
    check(&["a"], &[], "1 key = at most 1 project (unverified)");
    check(&["a", "b", "c"], &[], "3 keys = at most 3 projects (unverified)");
    check(&["one:a", "one:b", "two:c"], &[], "3 keys = 2 projects");
    check(&["one:a", "one:b", "c"], &[], "3 keys = at most 2 projects (unverified)");
    check(&["a", "b", "c"], &[("a", "1"), ("b", "1"), ("c", "2")], "3 keys = 2 projects");
    check(&["one:a", "b"], &[("b", "1"), ("a", "1")], "2 keys = 1 project");
}

#[test]
fn the_view_shows_what_is_known_and_no_key() {
    let mut pool = pool(&["team:key-one", "team:key-two", "key-three"], Strategy::Headroom);
    limit(&mut pool, "key-one", LimitKind::RequestsPerMinute, 10);
    limit(&mut pool, "key-three", LimitKind::RequestsPerDay, 4);
    for _ in 0..3 {
        take(&mut pool, 100, NOW).expect("a key");
    }
    fail(&mut pool, "key-two", Consequence::SetAside(Why::Invalid));
    fail(&mut pool, "key-three", Consequence::SetAside(Why::Leaked));
    fail(&mut pool, "key-one", Consequence::RestModel(NOW + secs(30)));
    fail(&mut pool, "key-one", Consequence::Penalty);
    let later = NOW + secs(10);
    let view = pool.view(later);
    assert_eq!((view.keys.all, view.keys.usable, view.keys.set_aside), (3, 1, 2));
    let [team, other] = &view.each_project[..] else { panic!("{view:?}") };
    assert_eq!((team.name.as_str(), team.keys.len()), ("team", 2));
    assert_eq!(other.name, format!("project-{}", &id("key-three").to_string()[4..14]));
    let aside = team.keys[1].set_aside.as_ref().expect("it is set aside");
    assert_eq!((aside.why, aside.since.in_seconds), (Why::Invalid, Some(-10)));
    assert_eq!(aside.next_probe, Some(Moment::new(NOW + secs(600), later)));
    assert_eq!(other.keys[0].set_aside.as_ref().and_then(|aside| aside.next_probe), None);
    let [model] = &team.models[..] else { panic!("{team:?}") };
    let served = model.requests_per_minute.used;
    assert_eq!(model.requests_per_minute.limit, Some(10));
    assert_eq!(model.tokens_per_minute, Used { used: 100 * served, limit: None });
    assert_eq!(model.load_percent, u32::try_from(served * 10).expect("small"));
    assert_eq!(model.rests_until, Some(Moment::new(NOW + secs(30), later)));
    assert_eq!(served + other.models[0].requests_per_minute.used, 3);
    assert_eq!(other.models[0].requests_per_day.limit, Some(4));

    let text = serde_json::to_string_pretty(&view).expect("it can be written");
    assert!(!text.contains("key-one") && !text.contains("key-three"), "{text}");
    assert!(
        text.contains("\"at\": \"2027-01-15T08:00:30Z\",\n") && text.contains("\"in_seconds\": 20"),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<PoolView>(&text).expect("it can be read"), view);
}

#[test]
fn a_moment_beyond_the_calendar_is_told_as_none() {
    let check = |at: Timestamp, expected: &str| {
        let moment = Moment::new(at, NOW);
        let text = serde_json::to_string(&moment).expect("it can be written");
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Moment>(&text).expect("it can be read"), moment);
    };
    check(NOW, r#"{"at":"2027-01-15T08:00:00Z","in_seconds":0}"#);
    check(NOW + Duration::from_millis(1500), r#"{"at":"2027-01-15T08:00:01.5Z","in_seconds":2}"#);
    check(NOW - secs(60), r#"{"at":"2027-01-15T07:59:00Z","in_seconds":-60}"#);
    check(Timestamp::NEVER, r#"{"at":null,"in_seconds":null}"#);
}

#[test]
fn an_explanation_says_why_not() {
    type Prepare = fn(&mut Pool);
    let check = |prepare: Prepare, tokens: u64, expected: Verdict, seconds: Option<i64>| {
        let mut pool = pool(&["one:a", "two:b"], Strategy::Headroom);
        prepare(&mut pool);
        let explained = pool.explain(MODEL, tokens, NOW);
        let one = &explained.projects[0];
        assert_eq!((one.verdict, one.until.and_then(|until| until.in_seconds)), (expected, seconds));
        assert_eq!(one.project, "one");
        explained
    };
    check(|_| (), 1, Verdict::Ready, None);
    let rest = |pool: &mut Pool| fail(pool, "a", Consequence::RestProject(NOW + secs(9)));
    check(rest, 1, Verdict::ProjectRests, Some(9));
    let rest = |pool: &mut Pool| fail(pool, "a", Consequence::RestModel(NOW + secs(9)));
    let explained = check(rest, 1, Verdict::ModelRests, Some(9));
    assert_eq!(explained.picked.map(|picked| picked.project).as_deref(), Some("two"));
    let aside = |pool: &mut Pool| fail(pool, "a", Consequence::SetAside(Why::Leaked));
    assert_eq!(check(aside, 1, Verdict::NoUsableKey, None).projects[0].usable_keys, 0);
    let minute: Prepare = |pool| {
        limit(pool, "a", LimitKind::TokensPerMinute, 1000);
        limit(pool, "b", LimitKind::TokensPerMinute, 1000);
        take(pool, 900, NOW);
        take(pool, 900, NOW);
    };
    check(minute, 100, Verdict::Ready, None);
    let explained = check(minute, 101, Verdict::MinuteFull, Some(61));
    assert_eq!((explained.picked, explained.recovers.and_then(|at| at.in_seconds)), (None, Some(61)));
    let day: Prepare = |pool| {
        limit(pool, "a", LimitKind::RequestsPerDay, 1);
        limit(pool, "b", LimitKind::RequestsPerDay, 1);
        take(pool, 1, NOW);
        take(pool, 1, NOW);
    };
    check(day, 1, Verdict::DayFull, Some(86_400));
    let none: Prepare = |pool| limit(pool, "a", LimitKind::RequestsPerDay, 0);
    check(none, 1, Verdict::NoQuota, None);
    let incident: Prepare = |pool| {
        for project in 0..3 {
            pool.egress.failed(project, 0.5, NOW);
        }
    };
    let explained = check(incident, 1, Verdict::Incident, Some(1));
    assert_eq!((explained.picked, explained.recovers.and_then(|at| at.in_seconds)), (None, Some(1)));
    let mut pool = pool(&["one:a", "two:b"], Strategy::Headroom);
    fail(&mut pool, "a", Consequence::Penalty);
    let explained = pool.explain(MODEL, 1, NOW);
    assert_eq!(explained.projects[0].verdict, Verdict::Penalised);
    assert_eq!(explained.picked.map(|picked| picked.project).as_deref(), Some("two"));
}

/// What is said to be picked is what is picked, in any state; and asking changes nothing.
#[test]
fn the_explanation_is_true() {
    let names = ["one:a", "one:b", "two:c", "d", "e", "f"];
    for strategy in STRATEGIES {
        for seed in 0..20 {
            let mut chance = fastrand::Rng::with_seed(seed);
            let (mut asked, mut silent) = (pool(&names, strategy), pool(&names, strategy));
            let mut now = NOW;
            for step in 0..80 {
                now = now + Duration::from_millis(chance.u64(..8000));
                let tokens = chance.u64(1..2000);
                let explained = asked.explain(MODEL, tokens, now);
                assert_eq!(explained, asked.explain(MODEL, tokens, now), "asking twice");
                asked.view(now);
                let served = take(&mut asked, tokens, now);
                let other = take(&mut silent, tokens, now);
                let context = format!("{strategy:?}, seed {seed}, step {step}: {explained:#?}");
                assert_eq!(served, other, "{context}");
                assert_eq!(
                    explained.picked.map(|picked| picked.key),
                    served.map(|(_, key)| key),
                    "{context}"
                );
                let Some((lease, key)) = served else { continue };
                let consequence = match chance.u8(..8) {
                    0 => Consequence::RestModel(now + secs(chance.u64(1..60))),
                    1 => Consequence::RestProject(now + secs(chance.u64(1..60))),
                    2 => Consequence::Penalty,
                    3 if step > 40 => Consequence::SetAside(Why::Invalid),
                    _ => Consequence::Nothing,
                };
                let mut failed = failure(Class::Request, consequence);
                if chance.bool() {
                    let kind =
                        if chance.bool() { LimitKind::RequestsPerMinute } else { LimitKind::TokensPerMinute };
                    let value = chance.u64(1..5) * if kind == LimitKind::TokensPerMinute { 1000 } else { 1 };
                    failed.limits = vec![Limit { family: Some(MODEL.to_owned()), kind, value }];
                }
                let (good, kept) = (chance.bool(), chance.bool());
                for pool in [&mut asked, &mut silent] {
                    match good {
                        true => pool.succeeded(key, Some(MODEL), now),
                        false => {
                            pool.lease_failed(lease, Some(MODEL), &failed, now);
                        }
                    }
                    if good || !kept {
                        pool.release(lease);
                    }
                }
            }
        }
    }
}
