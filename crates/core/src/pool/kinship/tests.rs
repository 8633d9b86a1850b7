use std::time::Duration;

use super::*;
use crate::config::{PoolKey, Strategy};
use crate::failure::{Class, Consequence, Elsewhere, Limit, LimitKind};
use crate::pool::{Pick, PoolSettings, Want};
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

fn pool(names: &[&str]) -> Pool {
    let key = |name: &&str| match name.split_once(':') {
        Some((project, key)) => PoolKey {
            key: ApiKey::new(key),
            project: Some(project.to_owned()),
            ..PoolKey::from(ApiKey::new(key))
        },
        None => PoolKey::from(ApiKey::new(name)),
    };
    let keys: Vec<PoolKey> = names.iter().map(key).collect();
    Pool::new(&keys, PoolSettings::only(Strategy::Headroom), 1)
}

/// Which keys share a project: `a+b c`.
fn shape(pool: &Pool, keys: &[&str]) -> String {
    let mut groups: Vec<(ProjectId, String)> = Vec::new();
    for key in keys {
        let project = pool.project_of(id(key)).expect("the key is in the pool");
        match groups.iter_mut().find(|(known, _)| *known == project) {
            Some((_, group)) => *group += &format!("+{key}"),
            None => groups.push((project, (*key).to_owned())),
        }
    }
    assert_eq!(pool.projects(), groups.len());
    groups.into_iter().map(|(_, group)| group).collect::<Vec<_>>().join(" ")
}

fn limited(pool: &mut Pool, key: &str, consumer: Option<&str>, now: Timestamp) {
    let limit = |kind, value| Limit { family: MODEL.map(str::to_owned), kind, value };
    let failure = Failure {
        consumer: consumer.map(str::to_owned),
        consequence: Consequence::RestModel(now + Duration::from_secs(30)),
        limits: vec![limit(LimitKind::RequestsPerMinute, 3), limit(LimitKind::RequestsPerDay, 20)],
        ..Failure::new(Class::QuotaMinute, Elsewhere::All, "made up")
    };
    pool.failed(id(key), MODEL, &failure, now);
}

fn serve(pool: &mut Pool, now: Timestamp) -> Option<KeyId> {
    match pool.pick(&Want { model: MODEL, ..Want::default() }, now) {
        Pick::Ready { lease, key } => {
            pool.release(lease);
            Some(key.id())
        }
        _ => None,
    }
}

/// A word: who says it, when, that two keys are one project or that one is alone.
enum Said {
    Join(By, u64, &'static str, &'static str),
    Split(By, u64, &'static str),
}
use Said::{Join, Split};

#[test]
fn the_stronger_word_counts_and_then_the_newer() {
    let check = |keys: &[&str], said: &[Said], expected: &str| {
        let mut pool = pool(keys);
        let mut other = self::pool(keys);
        for said in said {
            // What contradicts a stronger word is refused, and changes nothing.
            let _ = match said {
                Join(by, when, one, two) => pool.join_keys(id(one), id(two), *by, at(*when)),
                Split(by, when, key) => pool.split_key(id(key), *by, at(*when)),
            };
        }
        let names: Vec<&str> = keys.iter().map(|key| key.rsplit(':').next().unwrap_or(key)).collect();
        assert_eq!(shape(&pool, &names), expected);
        // Another instance comes to the same, also if it hears everything twice and the last thing first.
        let changes = pool.take_changes();
        for change in changes.iter().rev().chain(changes.iter().rev()) {
            other.apply(change, at(100));
        }
        assert_eq!(shape(&other, &names), expected, "in another order");
    };
    let (quotas, person, google) = (By::Quotas, By::Person, By::Google);
    let abc = ["a", "b", "c"];
    check(&abc, &[Join(person, 1, "a", "b")], "a+b c");
    check(&abc, &[Join(person, 1, "a", "b"), Split(person, 2, "b")], "a b c");
    check(&abc, &[Join(person, 1, "a", "b"), Split(person, 2, "b"), Join(person, 3, "b", "a")], "a+b c");
    check(&abc, &[Join(person, 1, "a", "b"), Join(person, 2, "b", "c"), Split(person, 3, "a")], "a b+c");
    check(&abc, &[Join(quotas, 1, "a", "b"), Split(person, 2, "b"), Join(quotas, 3, "a", "b")], "a b c");
    check(&abc, &[Join(quotas, 1, "a", "b"), Split(person, 2, "b"), Join(google, 3, "a", "b")], "a+b c");
    check(&abc, &[Join(person, 1, "a", "b"), Join(person, 2, "a", "c"), Split(person, 3, "a")], "a b+c");
    check(&abc, &[Join(google, 1, "a", "b"), Split(person, 2, "b")], "a+b c");
    check(&abc, &[Join(person, 1, "a", "b"), Split(quotas, 2, "b")], "a+b c");
    check(&abc, &[Join(quotas, 1, "a", "b"), Split(quotas, 2, "b"), Join(quotas, 3, "b", "c")], "a b+c");
    let named = ["one:a", "one:b", "two:c", "d"];
    check(&named, &[Join(quotas, 1, "a", "c"), Split(quotas, 2, "a")], "a+b c d");
    check(&named, &[Join(quotas, 1, "d", "a")], "a+b+d c");
    check(&named, &[Split(person, 1, "a")], "a b c d");
    check(&named, &[Join(google, 1, "a", "c")], "a+b+c d");
}

#[test]
fn what_cannot_be_done_is_said() {
    let mut pool = pool(&["a", "b"]);
    assert_eq!(pool.split_key(id("a"), By::Person, NOW), Err(Kept::Alone(id("a"))));
    assert_eq!(pool.split_key(id("x"), By::Person, NOW), Err(Kept::NoSuchKey(id("x"))));
    assert_eq!(pool.join_keys(id("a"), id("x"), By::Person, NOW), Err(Kept::NoSuchKey(id("x"))));
    pool.join_keys(id("a"), id("b"), By::Google, NOW).expect("nobody has said anything");
    let contradicted = Err(Kept::Contradicted(id("b"), By::Google));
    assert_eq!(pool.split_key(id("b"), By::Person, at(9)), contradicted);
    pool.split_key(id("b"), By::Google, at(10)).expect("Google's newer word");
    assert_eq!(pool.join_keys(id("a"), id("b"), By::Person, at(11)), contradicted);
}

#[test]
fn a_split_key_takes_rests_limits_and_counts_along() {
    let mut pool = pool(&["a", "b"]);
    pool.join_keys(id("a"), id("b"), By::Person, NOW).expect("nobody has said anything");
    limited(&mut pool, "a", None, NOW);
    let later = at(40);
    assert!(serve(&mut pool, later).is_some() && serve(&mut pool, later).is_some());
    pool.split_key(id("b"), By::Person, later).expect("it has company");
    let view = pool.view(later);
    assert_eq!(view.projects.summary, "2 keys = 2 projects");
    for project in &view.each_project {
        let [model] = &project.models[..] else { panic!("{project:?}") };
        assert_eq!((model.requests_per_minute.used, model.requests_per_minute.limit), (2, Some(3)));
        assert_eq!((model.requests_per_day.used, model.requests_per_day.limit), (2, Some(20)));
    }
    let served: Vec<_> = (0..3).map(|_| serve(&mut pool, later)).collect();
    assert!(served.contains(&Some(id("a"))) && served.contains(&Some(id("b"))), "{served:?}");
    assert_eq!(served[2], None, "each had room for one more");
    // A rest of the whole project and of the model stay with both.
    let mut resting = self::pool(&["a", "b"]);
    resting.join_keys(id("a"), id("b"), By::Person, NOW).expect("nobody has said anything");
    limited(&mut resting, "a", None, NOW);
    resting.split_key(id("a"), By::Person, at(1)).expect("it has company");
    assert_eq!(serve(&mut resting, at(2)), None);
    assert!(serve(&mut resting, at(31)).is_some());
}

#[test]
fn a_split_leaves_room_for_the_next() {
    let mut pool = pool(&["a", "b", "c"]);
    for round in 0..5 {
        pool.join_keys(id("a"), id("b"), By::Person, at(2 * round)).expect("a person may");
        assert_eq!(shape(&pool, &["a", "b", "c"]), "a+b c");
        pool.split_key(id("a"), By::Person, at(2 * round + 1)).expect("a person may");
        assert_eq!(shape(&pool, &["a", "b", "c"]), "a b c");
    }
    assert_eq!(pool.projects.len(), 3, "numbers are used again");
    for key in ["a", "b", "c"] {
        assert!((0..3).any(|_| serve(&mut pool, at(20)) == Some(id(key))), "{key}");
    }
}

#[test]
fn google_takes_apart_what_quotas_have_joined_wrongly() {
    let mut pool = pool(&["a", "b", "c"]);
    pool.join_keys(id("a"), id("b"), By::Quotas, NOW).expect("nobody has said anything");
    limited(&mut pool, "a", Some("123"), at(1));
    assert_eq!(shape(&pool, &["a", "b", "c"]), "a+b c");
    limited(&mut pool, "b", Some("456"), at(2));
    limited(&mut pool, "c", Some("456"), at(3));
    assert_eq!(shape(&pool, &["a", "b", "c"]), "a b+c");
    assert!(pool.view(at(3)).projects.verified);
    // A person who splits what Google has named apart is wrong, and says so again in vain.
    limited(&mut pool, "b", Some("456"), at(4));
    assert!(pool.split_key(id("b"), By::Person, at(5)).is_err());
}

#[test]
fn a_key_that_is_split_takes_its_name_along() {
    let mut pool = pool(&["a", "b", "c"]);
    pool.join_keys(id("a"), id("b"), By::Person, NOW).expect("nobody has said anything");
    limited(&mut pool, "b", Some("123"), at(1));
    pool.split_key(id("b"), By::Person, at(2)).expect("Google has named only one of them");
    limited(&mut pool, "c", Some("123"), at(3));
    assert_eq!(shape(&pool, &["a", "b", "c"]), "a b+c");
    limited(&mut pool, "a", Some("123"), at(4));
    assert_eq!(shape(&pool, &["a", "b", "c"]), "a+b+c", "Google's word is stronger than the split");
}

#[test]
fn guesses_are_not_taken_for_knowledge() {
    let mut pool = pool(&["a", "b"]);
    pool.join_keys(id("a"), id("b"), By::Quotas, NOW).expect("nobody has said anything");
    assert_eq!(pool.view(NOW).projects.summary, "2 keys = at most 1 project (unverified)");
    pool.join_keys(id("a"), id("b"), By::Person, NOW).expect("it is so already");
    assert_eq!(pool.view(NOW).projects.summary, "2 keys = 1 project");
}
