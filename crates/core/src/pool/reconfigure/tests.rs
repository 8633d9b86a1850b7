use std::time::Duration;

use super::*;
use crate::config::Price;
use crate::failure::{Class, Consequence, Elsewhere, Failure, Limit, LimitKind, Why};
use crate::pool::{By, Due, Pick, StateChange, Want};
use crate::secret::ApiKey;

/// 15 January 2027, midnight in California.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const MODEL: Option<&str> = Some("gemini-2.5-flash");

fn at(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

fn id(key: &str) -> KeyId {
    ApiKey::new(key).id()
}

/// `a` a key, `p:a` a key of a project, `!a` and `!p:a` the same paused.
fn keys(names: &str) -> Vec<PoolKey> {
    let key = |name: &str| {
        let (paused, name) = name.strip_prefix('!').map_or((false, name), |name| (true, name));
        let (project, key) =
            name.split_once(':').map_or((None, name), |(project, key)| (Some(project.to_owned()), key));
        PoolKey { project, paused, ..PoolKey::from(ApiKey::new(key)) }
    };
    names.split_whitespace().map(key).collect()
}

fn pool(names: &str, strategy: Strategy) -> Pool {
    Pool::new(&keys(names), PoolSettings::only(strategy), 1)
}

fn change(pool: &mut Pool, names: &str, now: Timestamp) {
    let strategy = pool.strategy;
    pool.reconfigure(&keys(names), PoolSettings::only(strategy), now);
    whole(pool);
}

fn failure(consequence: Consequence) -> Failure {
    Failure { consequence, ..Failure::new(Class::Unknown, Elsewhere::All, "made up") }
}

/// All keys that one request could be given one after the other, sorted, and when there would be more.
fn all_served(pool: &mut Pool, now: Timestamp) -> String {
    let mut tried = Vec::new();
    let mut names = Vec::new();
    let end = loop {
        match pool.pick(&Want { model: MODEL, tried: &tried, ..Want::default() }, now) {
            Pick::Ready { lease, key } => {
                pool.unused(lease, now);
                pool.release(lease);
                assert!(!tried.contains(&key.id()), "{key} twice");
                tried.push(key.id());
                names.push(key.expose().to_owned());
            }
            Pick::CoolingDown { until } => break format!("wait {}", until.since(now).as_secs()),
            Pick::Rejected { .. } => break "end".to_owned(),
        }
    };
    names.sort();
    names.push(end);
    names.join(" ")
}

/// What must be true of any pool.
fn whole(pool: &Pool) {
    let usable: Vec<usize> = (0..pool.keys.len()).filter(|&slot| pool.keys[slot].is_usable()).collect();
    assert_eq!(pool.usable, usable);
    assert_eq!(pool.by_id.len(), pool.keys.len());
    let mut listed = Vec::new();
    for (number, project) in (0_u32..).zip(&pool.projects) {
        let has_key = pool.keys.iter().any(|key| key.project == number);
        assert_eq!(has_key, !project.gone, "project {number}");
        assert_eq!(pool.order.contains(&number), has_key);
        listed.extend(project.usable.iter().copied());
        assert!(project.usable.iter().all(|&slot| pool.keys[slot].project == number));
        assert!(project.gone || pool.project_numbers.get(&project.id) == Some(&number));
        assert!(pool.tables.values().all(|table| table.cell(number).is_none() || has_key));
        let is_named = pool.keys.iter().any(|key| key.named == Some(project.id));
        assert!(!has_key || project.name.is_some() == is_named, "{:?}", project.name);
    }
    listed.sort_unstable();
    assert_eq!(listed, usable);
    for (slot, key) in pool.keys.iter().enumerate() {
        assert_eq!(pool.by_id.get(&key.key.id()), Some(&slot));
        let probe = key.set_aside.as_ref().map(|aside| (aside.probe_at, slot));
        let is_planned = probe.is_some_and(|probe| pool.probes.contains(&probe));
        let is_wanted = probe.is_some_and(|(at, _)| at != Timestamp::NEVER) && !key.paused;
        assert_eq!(is_planned, is_wanted);
        let own = ProjectId::of_key(key.key.id());
        assert!(pool.project_numbers.get(&own).is_none_or(|number| *number == key.project));
    }
    assert!(pool.project_numbers.values().all(|&number| !pool.projects[number as usize].gone));
    let is_ranked = pool.strategy == Strategy::LeastUsed;
    assert_eq!(pool.ranking.len(), if is_ranked { usable.len() } else { 0 });
    for charged in pool.leases.values().filter_map(|leased| leased.charged.as_ref()) {
        assert!(!pool.projects[charged.1 as usize].gone);
    }
}

#[test]
fn keys_come_and_go() {
    for strategy in [Strategy::Headroom, Strategy::RoundRobin, Strategy::LeastUsed, Strategy::TimeWindow] {
        let mut pool = pool("a b p:c p:d", strategy);
        pool.succeeded(id("a"), MODEL, NOW);
        change(&mut pool, "b p:d e p:f", NOW);
        assert_eq!(all_served(&mut pool, NOW), "b d e f end", "{strategy:?}");
        assert_eq!(pool.project_of(id("f")), pool.project_of(id("d")));
        change(&mut pool, "", NOW);
        assert_eq!(all_served(&mut pool, NOW), "end");
        change(&mut pool, "a", NOW);
        assert_eq!(all_served(&mut pool, NOW), "a end");
    }
}

#[test]
fn what_is_known_of_keys_that_stay_is_kept() {
    let mut pool = pool("a b p:c p:d q:e", Strategy::Headroom);
    pool.failed(id("a"), MODEL, &failure(Consequence::SetAside(Why::Invalid)), NOW);
    pool.failed(id("b"), MODEL, &failure(Consequence::RestModel(at(30))), NOW);
    pool.failed(id("c"), MODEL, &failure(Consequence::RestProject(at(60))), NOW);
    change(&mut pool, "f a b p:d q:e", NOW);
    assert_eq!(pool.set_aside(id("a")), Some(Why::Invalid));
    assert_eq!(all_served(&mut pool, NOW), "e f wait 30");
    assert_eq!(all_served(&mut pool, at(30)), "b e f wait 30");
    assert_eq!(all_served(&mut pool, at(60)), "b d e f end");
    // A new key of a project that rests does not serve either.
    pool.failed(id("d"), MODEL, &failure(Consequence::RestProject(at(90))), at(60));
    change(&mut pool, "p:d p:g", at(60));
    assert_eq!(all_served(&mut pool, at(60)), "wait 30");
    // What is away is forgotten.
    change(&mut pool, "x", at(60));
    change(&mut pool, "a b p:d", at(60));
    assert_eq!(all_served(&mut pool, at(60)), "a b d end");
}

#[test]
fn a_paused_key_is_left_alone() {
    for strategy in [Strategy::Headroom, Strategy::RoundRobin, Strategy::LeastUsed, Strategy::Random] {
        let mut pool = pool("a !b", strategy);
        pool.failed(id("a"), MODEL, &failure(Consequence::SetAside(Why::Invalid)), NOW);
        pool.failed(id("b"), MODEL, &failure(Consequence::SetAside(Why::Invalid)), NOW);
        whole(&pool);
        pool.restore(id("b"), NOW);
        whole(&pool);
        assert_eq!(all_served(&mut pool, NOW), "end", "{strategy:?}");
        change(&mut pool, "!a b", NOW);
        assert_eq!(all_served(&mut pool, NOW), "b end");
        assert_eq!(pool.due(at(100_000)), [], "it is not probed");
        let view = pool.view(NOW);
        assert_eq!((view.keys.all, view.keys.usable, view.keys.set_aside, view.keys.paused), (2, 1, 0, 1));
        change(&mut pool, "a b", at(200_000));
        let due = pool.due(at(200_000));
        assert!(matches!(due[..], [Due::Probe(_)]), "it is now: {due:?}");
        assert_eq!(all_served(&mut pool, at(200_000)), "b end");
    }
    let mut pool = pool("!a b", Strategy::Headroom);
    let explained = pool.explain("gemini-2.5-flash", 1, NOW);
    let verdicts: Vec<_> = explained.projects.iter().map(|project| project.verdict).collect();
    assert_eq!(verdicts, [crate::pool::Verdict::Paused, crate::pool::Verdict::Ready]);
}

#[test]
fn requests_with_removed_keys_end_well() {
    for strategy in [Strategy::Headroom, Strategy::LeastUsed] {
        let mut pool = pool("a b p:c", strategy);
        for key in ["a", "b", "c"] {
            pool.succeeded(id(key), MODEL, NOW);
        }
        let want = Want { model: MODEL, tokens: 10, ..Want::default() };
        let mut leases = Vec::new();
        for _ in 0..3 {
            let Pick::Ready { lease, key } = pool.pick(&want, NOW) else { panic!("there are three") };
            leases.push((lease, key.id()));
        }
        change(&mut pool, "d p:e", NOW);
        for (lease, key) in leases {
            let usage = crate::event::Usage { prompt: 5, total: 9, ..Default::default() };
            pool.used(lease, "gemini-2.5-flash", usage, NOW);
            pool.used_again(lease, "gemini-2.5-flash", usage, NOW);
            pool.lease_failed(lease, MODEL, &failure(Consequence::SetAside(Why::Leaked)), NOW);
            pool.failed(key, MODEL, &failure(Consequence::RestModel(at(30))), NOW);
            pool.succeeded(key, MODEL, NOW);
            let renewed = pool.renew(lease, NOW);
            pool.release(renewed);
        }
        whole(&pool);
        assert_eq!(all_served(&mut pool, NOW), "d e end");
    }
}

#[test]
fn a_key_belongs_where_its_owner_says_now() {
    let mut pool = pool("p:a p:b q:c", Strategy::Headroom);
    pool.failed(id("a"), MODEL, &failure(Consequence::RestModel(at(30))), NOW);
    pool.failed(id("c"), MODEL, &failure(Consequence::RestModel(at(60))), NOW);
    // The project goes by another name, with all that is known of it.
    change(&mut pool, "r:a r:b q:c", NOW);
    assert_eq!(all_served(&mut pool, NOW), "wait 30");
    assert_eq!(pool.project_of(id("a")), Some(ProjectId::named("r")));
    // A key leaves for a project of which more is known: that knows nothing of the rest.
    change(&mut pool, "r:a q:b q:c", NOW);
    assert_eq!(all_served(&mut pool, at(30)), "a wait 30");
    // A key leaves for a project of its own, and takes a copy of the rest along.
    change(&mut pool, "r:a b q:c", at(30));
    assert_eq!(all_served(&mut pool, at(30)), "a wait 30");
    // Two whole projects become one.
    change(&mut pool, "q:a b q:c", at(30));
    assert_eq!(all_served(&mut pool, at(30)), "wait 30");
    assert_eq!(all_served(&mut pool, at(60)), "a b c end");
}

#[test]
fn what_was_learned_of_projects_outlives_a_change() {
    let mut pool = pool("a b c p:d p:e", Strategy::Headroom);
    pool.join_keys(id("a"), id("b"), By::Google, NOW).expect("nobody has said the contrary");
    pool.split_key(id("e"), By::Person, NOW).expect("it is not alone");
    change(&mut pool, "f c b a p:e p:d", at(1));
    assert_eq!(pool.project_of(id("a")), pool.project_of(id("b")));
    assert_ne!(pool.project_of(id("d")), pool.project_of(id("e")));
    // A word that is older or weaker than the one that was heard before counts no more than it would have.
    let weaker = StateChange::Split { key: id("a"), by: By::Person, at: at(2) };
    pool.apply(&weaker, at(2));
    assert_eq!(pool.project_of(id("a")), pool.project_of(id("b")));
    // The key goes for which the joint project was named.
    change(&mut pool, "b g", at(3));
    pool.failed(id("b"), MODEL, &failure(Consequence::RestProject(at(60))), at(3));
    assert_eq!(all_served(&mut pool, at(3)), "g wait 57");
    change(&mut pool, "a b", at(3));
    assert_eq!(all_served(&mut pool, at(3)), "a wait 57", "a is another's now, for all that is known");
}

#[test]
fn limits_and_allowances_follow_the_settings() {
    let said = |limit: Option<u64>, most: Option<u64>| ProjectSettings {
        max_requests_per_day: most,
        limits: limit
            .map(|limit| crate::config::ModelLimits {
                models: wildmatch::WildMatch::new("*"),
                requests_per_minute: Some(limit),
                tokens_per_minute: None,
                requests_per_day: None,
            })
            .into_iter()
            .collect(),
        ..ProjectSettings::new("p")
    };
    let prices: [Price; 0] = [];
    let usage = crate::event::Usage { prompt: 1, total: 2, ..Default::default() };
    let serve = |pool: &mut Pool| {
        let want = Want { model: MODEL, tokens: 1, ..Want::default() };
        match pool.pick(&want, NOW) {
            Pick::Ready { lease, .. } => {
                pool.succeeded(id("a"), MODEL, NOW);
                pool.used(lease, MODEL.unwrap_or_default(), usage, NOW);
                pool.release(lease);
                true
            }
            _ => false,
        }
    };
    let mut pool = pool("p:a", Strategy::Headroom);
    let set = |pool: &mut Pool, limit, most| {
        let projects = [said(limit, most)];
        let settings = PoolSettings { strategy: Strategy::Headroom, projects: &projects, prices: &prices };
        pool.reconfigure(&keys("p:a"), settings, NOW);
        whole(pool);
    };
    assert!(serve(&mut pool) && serve(&mut pool));
    set(&mut pool, Some(2), None);
    assert!(!serve(&mut pool), "two were served in this minute");
    set(&mut pool, Some(3), None);
    assert!(serve(&mut pool) && !serve(&mut pool));
    set(&mut pool, None, Some(2));
    assert!(serve(&mut pool) && serve(&mut pool) && !serve(&mut pool));
    set(&mut pool, None, Some(3));
    assert!(serve(&mut pool) && !serve(&mut pool));
    set(&mut pool, None, None);
    assert!(serve(&mut pool));
    // What Google has named stays when the settings say nothing any more.
    let limit = Limit { family: MODEL.map(str::to_owned), kind: LimitKind::RequestsPerMinute, value: 1 };
    let named = Failure { limits: vec![limit], ..failure(Consequence::Nothing) };
    pool.failed(id("a"), MODEL, &named, NOW);
    set(&mut pool, Some(100), None);
    assert!(serve(&mut pool));
    pool.failed(id("a"), MODEL, &named, NOW);
    set(&mut pool, None, None);
    assert!(!serve(&mut pool));
}

/// A pool that was changed in random ways chooses as one that was made anew with the same knowledge.
#[test]
fn a_changed_pool_chooses_as_a_new_one_that_knows_the_same() {
    const NAMES: [&str; 12] = ["a", "b", "c", "d", "p:e", "p:f", "p:g", "q:h", "q:i", "r:j", "r:k", "s:l"];
    let strategies = [
        Strategy::Headroom,
        Strategy::RoundRobin,
        Strategy::LeastUsed,
        Strategy::TimeWindow,
        Strategy::Random,
    ];
    for seed in 0..60 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let strategy = strategies[chance.usize(..strategies.len())];
        let mut pool = pool(&NAMES.join(" "), strategy);
        let mut here: Vec<PoolKey> = keys(&NAMES.join(" "));
        // What a new one would have to be told, of projects and keys that are there.
        let mut known: Vec<(KeyId, StateChange)> = Vec::new();
        let mut leases = Vec::new();
        let mut now = NOW;
        for step in 0..60 {
            now = now + Duration::from_secs(chance.u64(..5));
            let subject = here.get(chance.usize(..here.len().max(1))).map(|key| key.key.id());
            match (chance.u8(..6), subject) {
                (0, _) => {
                    let all = keys(&NAMES.join(" "));
                    here = all.into_iter().filter(|_| chance.u8(..3) > 0).collect();
                    here.iter_mut().for_each(|key| key.paused = chance.u8(..5) == 0);
                    chance.shuffle(&mut here);
                    pool.reconfigure(&here, PoolSettings::only(strategy), now);
                    whole(&pool);
                    let projects: Vec<ProjectId> =
                        here.iter().filter_map(|key| pool.project_of(key.key.id())).collect();
                    known.retain(|(key, change)| match change {
                        StateChange::Rest { project, .. } => projects.contains(project),
                        _ => here.iter().any(|entry| entry.key.id() == *key),
                    });
                }
                (1, Some(key)) => {
                    let until = now + Duration::from_secs(chance.u64(1..60));
                    pool.failed(key, MODEL, &failure(Consequence::RestModel(until)), now);
                }
                (2, Some(key)) => {
                    pool.failed(key, MODEL, &failure(Consequence::SetAside(Why::Leaked)), now);
                }
                (3, Some(key)) if chance.u8(..3) == 0 => pool.restore(key, now),
                _ => {
                    if let Pick::Ready { lease, key } = pool.pick(&Want::default(), now) {
                        assert!(
                            here.iter().any(|entry| entry.key == key && !entry.paused),
                            "{key} is not to serve"
                        );
                        leases.push(lease);
                    }
                    if leases.len() > 3 {
                        pool.release(leases.swap_remove(chance.usize(..leases.len())));
                    }
                }
            }
            whole(&pool);
            let learned = pool.take_changes();
            known.extend(learned.into_iter().map(|change| match &change {
                StateChange::SetAside { key, .. } | StateChange::Restored { key, .. } => (*key, change),
                _ => (KeyId::from_u64(0), change),
            }));
            let mut fresh = Pool::new(&here, PoolSettings::only(strategy), 1);
            for (_, change) in &known {
                fresh.apply(change, now);
            }
            let expected = all_served(&mut fresh, now);
            assert_eq!(all_served(&mut pool, now), expected, "seed {seed}, step {step}, {strategy:?}");
        }
    }
}

/// Whatever is said of whom, in whatever order: nothing is lost and nobody chosen who must not be.
#[test]
fn projects_may_be_said_to_be_anything() {
    for seed in 0..100 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut pool = pool("", Strategy::Headroom);
        let mut leases = Vec::new();
        let mut now = NOW;
        for _ in 0..80 {
            now = now + Duration::from_secs(chance.u64(..20));
            let mut here = Vec::new();
            for key in ["a", "b", "c", "d", "e", "f", "g"] {
                let project = ["", "p:", "q:", "r:"][chance.usize(..4)];
                if chance.u8(..4) > 0 {
                    here.push(format!("{}{project}{key}", if chance.u8(..6) == 0 { "!" } else { "" }));
                }
            }
            change(&mut pool, &here.join(" "), now);
            for _ in 0..chance.u8(..6) {
                let [key, other] =
                    [(); 2].map(|()| id(["a", "b", "c", "d", "e", "f", "g"][chance.usize(..7)]));
                let by = [By::Person, By::Google, By::Quotas][chance.usize(..3)];
                let until = now + Duration::from_secs(chance.u64(1..40));
                let consumer = Some(["one", "two"][chance.usize(..2)].to_owned());
                let failed = match chance.u8(..7) {
                    0 => pool.join_keys(key, other, by, now).is_ok(),
                    1 => pool.split_key(key, by, now).is_ok(),
                    2 => pool.failed(key, MODEL, &failure(Consequence::RestModel(until)), now).is_some(),
                    3 => {
                        pool.failed(key, MODEL, &failure(Consequence::SetAside(Why::Invalid)), now).is_some()
                    }
                    4 => {
                        let named = Failure { consumer, ..failure(Consequence::Nothing) };
                        pool.failed(key, MODEL, &named, now).is_some()
                    }
                    5 => {
                        pool.restore(key, now);
                        true
                    }
                    _ => {
                        if let Pick::Ready { lease, key } =
                            pool.pick(&Want { model: MODEL, ..Want::default() }, now)
                        {
                            assert!(
                                here.iter()
                                    .any(|name| name.ends_with(key.expose()) && !name.starts_with('!'))
                            );
                            pool.succeeded(key.id(), MODEL, now);
                            leases.push(lease);
                        }
                        true
                    }
                };
                let _ = failed;
            }
            if let Some(lease) = leases.pop() {
                pool.release(lease);
            }
        }
    }
}
