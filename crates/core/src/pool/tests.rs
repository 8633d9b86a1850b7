use http::StatusCode;

use super::*;
use crate::failure::{Class, Elsewhere, Limit, LimitKind};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const MODEL: Option<&str> = Some("gemini-2.5-flash");

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn keys(names: &[&str]) -> Vec<PoolKey> {
    names
        .iter()
        .map(|name| match name.split_once(':') {
            Some((project, key)) => PoolKey {
                key: ApiKey::new(key),
                project: Some(project.to_owned()),
                ..PoolKey::from(ApiKey::new(key))
            },
            None => PoolKey::from(ApiKey::new(name)),
        })
        .collect()
}

fn failure(consequence: Consequence) -> Failure {
    Failure {
        status: Some(StatusCode::TOO_MANY_REQUESTS),
        consequence,
        ..Failure::new(Class::Unknown, Elsewhere::All, "made up")
    }
}

/// The keys that `count` requests get, one after the other, each given back at once.
fn served(pool: &mut Pool, count: usize, now: Timestamp) -> String {
    let mut names = Vec::new();
    for _ in 0..count {
        match pool.pick(&Want { model: MODEL, ..Want::default() }, now) {
            Pick::Ready { lease, key } => {
                pool.release(lease);
                names.push(key.expose().to_owned());
            }
            Pick::CoolingDown { until } => names.push(format!("wait {}", until.since(now).as_secs())),
            Pick::Rejected { why } => names.push(format!("{why:?}")),
        }
    }
    names.join(" ")
}

fn id(key: &str) -> KeyId {
    ApiKey::new(key).id()
}

#[test]
fn round_robin_takes_one_after_the_other() {
    let mut pool = Pool::new(&keys(&["a", "b", "c"]), PoolSettings::only(Strategy::RoundRobin), 1);
    assert_eq!(served(&mut pool, 7, NOW), "a b c a b c a");
    pool.failed(id("b"), MODEL, &failure(Consequence::RestModel(NOW + secs(30))), NOW);
    assert_eq!(served(&mut pool, 4, NOW), "c a c a");
    assert_eq!(served(&mut pool, 3, NOW + secs(30)), "b c a");
}

#[test]
fn time_window_splits_ten_seconds_among_the_keys() {
    let mut pool = Pool::new(&keys(&["a", "b", "c", "d"]), PoolSettings::only(Strategy::TimeWindow), 1);
    let start = Timestamp::from_millis(1_800_000_000_000);
    let seen: Vec<String> = (0..10).map(|second| served(&mut pool, 1, start + secs(second))).collect();
    assert_eq!(seen.join(" "), "a a a b b c c c d d");
    pool.failed(id("b"), MODEL, &failure(Consequence::SetAside(Why::Invalid)), NOW);
    assert_eq!(served(&mut pool, 2, start + secs(3)), "c c");
}

#[test]
fn random_repeats_with_its_seed_and_reaches_every_key() {
    let all = keys(&["a", "b", "c"]);
    let first = served(&mut Pool::new(&all, PoolSettings::only(Strategy::Random), 7), 60, NOW);
    assert_eq!(first, served(&mut Pool::new(&all, PoolSettings::only(Strategy::Random), 7), 60, NOW));
    for key in ["a", "b", "c"] {
        assert!(first.matches(key).count() > 8, "{first}");
    }
}

#[test]
fn least_used_prefers_who_has_least_to_do() {
    let mut pool = Pool::new(&keys(&["a", "b", "c"]), PoolSettings::only(Strategy::LeastUsed), 1);
    let want = Want { model: MODEL, ..Want::default() };
    let Pick::Ready { lease, key } = pool.pick(&want, NOW) else { panic!("a key") };
    assert_eq!(key.expose(), "a");
    assert_eq!(served(&mut pool, 4, NOW), "b c b c");
    pool.release(lease);
    assert_eq!(served(&mut pool, 2, NOW), "a a");
}

#[test]
fn a_rest_is_for_one_model_and_for_the_whole_project() {
    let mut pool = Pool::new(&keys(&["team:a", "team:b", "c"]), PoolSettings::only(Strategy::RoundRobin), 1);
    pool.failed(id("a"), MODEL, &failure(Consequence::RestModel(NOW + secs(60))), NOW);
    assert_eq!(served(&mut pool, 3, NOW), "c c c");
    let other = Want { model: Some("gemini-2.5-pro"), tried: &[id("c")], ..Want::default() };
    assert!(matches!(pool.pick(&other, NOW), Pick::Ready { .. }));
    pool.failed(id("c"), MODEL, &failure(Consequence::RestProject(NOW + secs(20))), NOW);
    assert_eq!(served(&mut pool, 1, NOW), "wait 20");
    assert_eq!(pool.recovery(&Want { model: MODEL, ..Want::default() }, NOW), Some(NOW + secs(20)));
    assert_eq!(pool.recovery(&Want { model: Some("gemini-2.5-pro"), ..Want::default() }, NOW), Some(NOW));
}

#[test]
fn families_named_by_google_rest_too() {
    let mut pool = Pool::new(&keys(&["a"]), PoolSettings::only(Strategy::RoundRobin), 1);
    let mut limited = failure(Consequence::RestModel(NOW + secs(60)));
    limited.families = vec!["gemini-2.5-flash".to_owned()];
    pool.failed(id("a"), Some("gemini-2.5-flash-preview"), &limited, NOW);
    assert_eq!(
        pool.recovery(&Want { model: Some("gemini-2.5-flash-preview"), ..Want::default() }, NOW),
        Some(NOW + secs(60))
    );
    assert_eq!(
        pool.recovery(&Want { model: Some("gemini-2.5-flash"), ..Want::default() }, NOW),
        Some(NOW + secs(60))
    );
}

#[test]
fn a_penalty_only_orders() {
    let mut pool = Pool::new(&keys(&["a", "b"]), PoolSettings::only(Strategy::RoundRobin), 1);
    pool.failed(id("a"), MODEL, &failure(Consequence::Penalty), NOW);
    assert_eq!(served(&mut pool, 3, NOW), "b b b");
    pool.failed(id("b"), MODEL, &failure(Consequence::Penalty), NOW);
    assert!(!served(&mut pool, 1, NOW).contains("wait"));
    pool.succeeded(id("a"), MODEL, NOW);
    assert_eq!(served(&mut pool, 2, NOW), "a a");
}

#[test]
fn a_suspended_project_takes_all_its_keys_along() {
    let mut pool = Pool::new(&keys(&["team:a", "team:b", "c"]), PoolSettings::only(Strategy::RoundRobin), 1);
    let why = pool.failed(id("a"), MODEL, &failure(Consequence::SetAsideProject(Why::Suspended)), NOW);
    assert_eq!(why, Some(Why::Suspended));
    assert_eq!(pool.set_aside(id("b")), Some(Why::Suspended));
    assert_eq!(served(&mut pool, 2, NOW), "c c");
}

#[test]
fn three_strikes_in_a_row_set_a_key_aside() {
    let mut pool = Pool::new(&keys(&["a"]), PoolSettings::only(Strategy::RoundRobin), 1);
    let strike = failure(Consequence::Strike);
    assert_eq!(pool.failed(id("a"), MODEL, &strike, NOW), None);
    assert_eq!(pool.failed(id("a"), MODEL, &strike, NOW), None);
    pool.succeeded(id("a"), MODEL, NOW);
    assert_eq!(pool.failed(id("a"), MODEL, &strike, NOW), None);
    assert_eq!(pool.failed(id("a"), MODEL, &strike, NOW), None);
    assert_eq!(pool.failed(id("a"), MODEL, &strike, NOW), Some(Why::Unauthenticated));
    assert_eq!(served(&mut pool, 1, NOW), "NoneUsable");
}

#[test]
fn set_aside_keys_are_probed_at_growing_intervals_and_leaked_ones_never() {
    let mut pool = Pool::new(&keys(&["a", "b"]), PoolSettings::only(Strategy::RoundRobin), 1);
    pool.failed(id("a"), MODEL, &failure(Consequence::SetAside(Why::Invalid)), NOW);
    pool.failed(id("b"), MODEL, &failure(Consequence::SetAside(Why::Leaked)), NOW);
    let mut now = NOW;
    for wait in [600, 3600, 6 * 3600, 24 * 3600, 24 * 3600] {
        assert_eq!(pool.due(now), []);
        assert_eq!(pool.next_deadline(now), Some(now + secs(wait)));
        now = now + secs(wait);
        assert_eq!(pool.due(now), [Due::Probe(ApiKey::new("a"))]);
        pool.probed(id("a"), false, now);
    }
    pool.probed(id("a"), true, now);
    assert_eq!(served(&mut pool, 2, now), "a a");
    assert_eq!(pool.next_deadline(now), None);
}

#[test]
fn a_tried_key_is_not_chosen_again() {
    let mut pool = Pool::new(&keys(&["a", "b"]), PoolSettings::only(Strategy::RoundRobin), 1);
    let tried = [id("a"), id("b")];
    let pick = pool.pick(&Want { model: MODEL, tried: &tried, ..Want::default() }, NOW);
    assert!(matches!(pick, Pick::Rejected { why: Rejection::AllTried }), "{pick:?}");
}

#[test]
fn a_lost_lease_heals() {
    let mut pool = Pool::new(&keys(&["a", "b"]), PoolSettings::only(Strategy::LeastUsed), 1);
    let Pick::Ready { .. } = pool.pick(&Want { model: MODEL, ..Want::default() }, NOW) else {
        panic!("a key")
    };
    assert_eq!(pool.keys[0].in_flight, 1);
    assert_eq!(pool.next_deadline(NOW), Some(NOW + LEASE));
    assert_eq!(pool.due(NOW + LEASE), []);
    assert_eq!(pool.keys[0].in_flight, 0);
    assert_eq!(pool.next_deadline(NOW), None);
}

#[test]
fn changes_carry_the_state_to_another_pool() {
    let all = keys(&["a", "b", "c"]);
    let mut pool = Pool::new(&all, PoolSettings::only(Strategy::RoundRobin), 1);
    pool.failed(id("a"), MODEL, &failure(Consequence::RestModel(NOW + secs(60))), NOW);
    pool.failed(id("b"), MODEL, &failure(Consequence::SetAside(Why::Leaked)), NOW);
    let mut changes = pool.take_changes();
    changes.reverse();
    let mut other = Pool::new(&all, PoolSettings::only(Strategy::RoundRobin), 2);
    for change in changes.iter().chain(&changes.clone()) {
        other.apply(change, NOW);
    }
    assert_eq!(served(&mut other, 2, NOW), "c c");
    assert_eq!(other.set_aside(id("b")), Some(Why::Leaked));
    assert_eq!(other.take_changes(), []);
}

#[test]
fn guests_are_remembered_within_bounds_and_served_with_their_own_keys_only() {
    let mut guests = Pool::for_guests(3, Strategy::RoundRobin, 1);
    let mut serve = |names: &[&str]| {
        let own: Vec<ApiKey> = names.iter().map(|name| ApiKey::new(name)).collect();
        match guests.pick(&Want { model: MODEL, own: Some(&own), ..Want::default() }, NOW) {
            Pick::Ready { lease, key } => {
                guests.release(lease);
                let bad = key.expose().starts_with("bad");
                if bad {
                    guests.failed(key.id(), MODEL, &failure(Consequence::SetAside(Why::Invalid)), NOW);
                }
                assert!(guests.len() <= 3);
                key.expose().to_owned()
            }
            other => format!("{other:?}"),
        }
    };
    assert_eq!(serve(&["a", "bad"]), "a");
    assert_eq!(serve(&["a", "bad"]), "bad");
    assert_eq!(serve(&["a", "bad"]), "a");
    assert_eq!(serve(&["a", "bad"]), "a");
    assert_eq!(serve(&["bad"]), "bad", "the only key of a client is tried even so");
    for name in ["c", "d", "e", "f"] {
        assert_eq!(serve(&[name]), name);
    }
}

#[test]
fn a_limit_that_was_named_is_not_run_into_again() {
    let mut pool = Pool::new(&keys(&["a", "b"]), PoolSettings::only(Strategy::Headroom), 1);
    let mut limited = failure(Consequence::RestModel(NOW + secs(20)));
    limited.limits = vec![Limit {
        family: Some("gemini-2.5-flash".to_owned()),
        kind: LimitKind::RequestsPerMinute,
        value: 3,
    }];
    pool.failed(id("a"), MODEL, &limited, NOW);
    pool.failed(id("b"), MODEL, &limited, NOW);
    let later = NOW + secs(70);
    let seen: Vec<String> = (0..8).map(|n| served(&mut pool, 1, later + secs(n))).collect();
    assert_eq!(seen.join(" "), "a b a b a b wait 54 wait 53");
}

#[test]
fn keys_that_google_puts_into_one_project_are_joined() {
    let mut pool = Pool::new(&keys(&["a", "b", "c"]), PoolSettings::only(Strategy::Headroom), 1);
    let named = |number: &str| Failure {
        consumer: Some(number.to_owned()),
        ..failure(Consequence::RestModel(NOW + secs(20)))
    };
    pool.failed(id("a"), MODEL, &named("123"), NOW);
    pool.failed(id("c"), MODEL, &named("456"), NOW);
    assert_eq!(pool.projects(), 3);
    pool.failed(id("b"), MODEL, &named("123"), NOW);
    assert_eq!(pool.projects(), 2);
    assert_eq!(pool.project_of(id("a")), pool.project_of(id("b")));
    let later = NOW + secs(30);
    assert_eq!(served(&mut pool, 4, later), "a c b c", "the projects take turns, and in one its keys do");
}

/// Whoever knows nothing of a key yet sends one request, and the next one to another key.
#[test]
fn an_unproven_key_is_not_crowded() {
    let mut pool = Pool::new(&keys(&["one:a", "one:b", "two:c"]), PoolSettings::only(Strategy::Headroom), 1);
    let pick = |pool: &mut Pool| match pool.pick(&Want { model: MODEL, ..Want::default() }, NOW) {
        Pick::Ready { key, .. } => key.expose().to_owned(),
        other => panic!("{other:?}"),
    };
    let mut first: Vec<String> = (0..3).map(|_| pick(&mut pool)).collect();
    first.sort();
    assert_eq!(first, ["a", "b", "c"], "each has one that is not answered yet");
    pool.succeeded(id("b"), MODEL, NOW);
    assert_eq!((pick(&mut pool), pick(&mut pool)), ("b".to_owned(), "b".to_owned()), "it has answered");
    pool.failed(id("b"), MODEL, &failure(Consequence::SetAside(Why::Leaked)), NOW);
    assert!(["a", "c"].contains(&pick(&mut pool).as_str()), "there is no other choice");
}

/// When several clients are refused, what room there is comes evenly, and the whole of it.
#[test]
fn scarce_room_is_given_out_evenly() {
    let mut pool = Pool::new(&keys(&["one:a", "two:b"]), PoolSettings::only(Strategy::Headroom), 1);
    for key in ["a", "b"] {
        pool.succeeded(id(key), MODEL, NOW);
        let mut limited = failure(Consequence::Nothing);
        limited.limits = vec![Limit { family: None, kind: LimitKind::RequestsPerMinute, value: 6 }];
        pool.failed(id(key), MODEL, &limited, NOW);
    }
    let mut now = NOW + secs(120);
    let mut minute = |pool: &mut Pool, refused: &[&str]| {
        let mut times = Vec::new();
        for tenth in 0..600 {
            let at = now + Duration::from_millis(tenth * 100);
            for client in refused {
                pool.refused("gemini-2.5-flash", id(client), at);
            }
            if let Pick::Ready { lease, .. } = pool.pick(&Want { model: MODEL, ..Want::default() }, at) {
                pool.release(lease);
                times.push(tenth / 10);
            }
        }
        now = now + secs(61);
        times
    };
    assert_eq!(minute(&mut pool, &[]).last(), Some(&1), "twelve at once");
    assert_eq!(minute(&mut pool, &["greedy"]).last(), Some(&1), "one client takes nothing from others");
    let even = minute(&mut pool, &["greedy", "modest"]);
    let longest = even.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(even.len() >= 11 && even[10] >= 40 && longest <= Some(11), "{even:?}");
}

#[test]
fn what_a_project_is_not_given_is_not_tried_every_day() {
    for strategy in [
        Strategy::Headroom,
        Strategy::RoundRobin,
        Strategy::TimeWindow,
        Strategy::Random,
        Strategy::LeastUsed,
    ] {
        let mut pool = Pool::new(&keys(&["a", "b"]), PoolSettings::only(strategy), 1);
        let mut none = failure(Consequence::RestModel(NOW + secs(86_400)));
        none.limits = vec![Limit {
            family: Some("gemini-2.5-flash".to_owned()),
            kind: LimitKind::RequestsPerDay,
            value: 0,
        }];
        pool.failed(id("a"), MODEL, &none, NOW);
        for day in 1..4 {
            assert_eq!(served(&mut pool, 3, NOW + secs(day * 90_000)), "b b b", "{strategy:?}");
        }
        // Another model is another matter.
        let other = Want { model: Some("gemini-2.5-pro"), tried: &[id("b")], ..Want::default() };
        assert!(matches!(pool.pick(&other, NOW), Pick::Ready { .. }), "{strategy:?}");
    }
}
