use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clients::ClientSettings;
use crate::secret::ApiKey;

/// 12:00:00 UTC of a day in January: 04:00 in California.
const NOON: Timestamp = Timestamp::from_millis(1_800_000_000_000 + 4 * 3_600_000);

fn client(name: &str, settings: ClientSettings) -> Arc<Client> {
    Arc::new(Client::new(ApiKey::new(name), settings))
}

fn after(seconds: f64) -> Timestamp {
    NOON + Duration::from_secs_f64(seconds)
}

/// What a client does, at random.
#[derive(Debug, Clone)]
enum Act {
    /// A request comes, and so many tokens are held for it.
    Enter(u64),
    /// One of those under way is sent to Google.
    Send(usize),
    /// One of those under way ends and has used so many tokens.
    End(usize, u64),
    /// One of those under way is dropped.
    Drop(usize),
    /// So many milliseconds go by.
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..40_u64).prop_map(Act::Enter),
        3 => (0..8_usize).prop_map(Act::Send),
        3 => (0..8_usize, 0..80_u64).prop_map(|(which, tokens)| Act::End(which, tokens)),
        1 => (0..8_usize).prop_map(Act::Drop),
        2 => (0..20_000_u64).prop_map(Act::Wait),
    ]
}

/// One request as the test keeps its own book of it.
struct Known {
    charge: Charge,
    at: Timestamp,
    sent: bool,
}

proptest! {
    /// However requests come, are sent, end and are dropped: no sixty seconds have more than the limit of those that were
    /// let in and not dropped unsent, no more are under way than may be, and who comes back when told is let in.
    #[test]
    fn nobody_gets_more_than_the_limit_and_waits_are_true(
        acts in prop::collection::vec(act(), 1..200),
        most in 1..6_u64,
        at_once in 1..5_u64,
        tokens_most in 50..200_u64,
    ) {
        let settings = ClientSettings {
            requests_per_minute: Some(most),
            requests_per_day: Some(60),
            tokens_per_minute: Some(tokens_most),
            concurrent_requests: Some(at_once),
            ..ClientSettings::default()
        };
        let client = client("one", settings);
        let ledger = Arc::new(Ledger::default());
        let mut now = NOON;
        let mut running: Vec<Known> = Vec::new();
        let mut granted: Vec<Timestamp> = Vec::new();
        for act in acts {
            match act {
                Act::Wait(millis) => now = now + Duration::from_millis(millis),
                Act::Enter(tokens) => {
                    let hold = Amounts { tokens, ..Amounts::default() };
                    let ask = |now| {
                        // A head knows nothing of tokens: what it is told is true of requests.
                        let mut charge = ledger.enter(&client, 1, false, now).map_err(|error| (error, false))?;
                        charge.hold(hold, now).map_err(|error| (error, true))?;
                        Ok::<_, (Error, bool)>(charge)
                    };
                    match ask(now) {
                        Ok(charge) => running.push(Known { charge, at: now, sent: false }),
                        Err((error, for_tokens)) => {
                            prop_assert_eq!(error.kind, crate::error::Kind::RateLimited);
                            let Some(wait) = error.retry_after else { continue };
                            if running.is_empty() {
                                let seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
                                now = now + Duration::from_secs(seconds);
                                let again = ask(now).err().filter(|(_, tokens)| for_tokens || !tokens);
                                prop_assert!(again.is_none(), "refused after {wait:?}: {again:?}");
                            }
                        }
                    }
                }
                Act::Send(which) if which < running.len() => {
                    let known = &mut running[which];
                    if !known.sent {
                        known.sent = true;
                        granted.push(known.at);
                    }
                    known.charge.sent(now);
                }
                Act::End(which, tokens) if which < running.len() => {
                    let mut known = running.swap_remove(which);
                    if known.sent {
                        known.charge.used(tokens, 0, now);
                    }
                }
                Act::Drop(which) if which < running.len() => drop(running.swap_remove(which)),
                Act::Send(_) | Act::End(..) | Act::Drop(_) => {}
            }
            prop_assert!(running.len() as u64 <= at_once);
            let held = running.iter().filter(|known| !known.sent).map(|known| known.at);
            let mut all: Vec<Timestamp> = granted.iter().copied().chain(held).collect();
            all.sort();
            for (index, first) in all.iter().enumerate() {
                let within = all[index..].iter().filter(|at| at.since(*first) < Duration::from_secs(60)).count();
                prop_assert!(within as u64 <= most, "{within} within a minute, {most} allowed");
            }
            prop_assert!(granted.len() <= 60);
        }
        drop(running);
        let view = ledger.view(&client, now);
        prop_assert_eq!(view.under_way, 0);
        if now < NOON.next_pacific_midnight() {
            prop_assert_eq!(view.periods[0].1.requests, granted.len() as u64, "nothing counts twice or is lost");
        }
    }
}

#[test]
fn who_comes_at_once_from_many_threads_gets_no_more() {
    let client = client("one", ClientSettings { requests_per_day: Some(100), ..ClientSettings::default() });
    let ledger = Arc::new(Ledger::default());
    let granted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut granted = 0;
                    for _ in 0..50 {
                        if let Ok(mut charge) = ledger.enter(&client, 1, false, NOON) {
                            charge.sent(NOON);
                            granted += 1;
                        }
                    }
                    granted
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(granted, 100);
}

#[test]
fn what_is_held_is_corrected_by_what_was_used() {
    let settings = ClientSettings {
        tokens_per_minute: Some(1_000),
        tokens_per_day: Some(1_000),
        ..ClientSettings::default()
    };
    let client = client("one", settings);
    let ledger = Arc::new(Ledger::default());
    let used = |now| {
        let view = ledger.view(&client, now);
        view.standings.iter().map(|standing| standing.used).collect::<Vec<_>>()
    };
    let hold = Amounts { tokens: 600, ..Amounts::default() };
    let mut first = ledger.enter(&client, 1, false, NOON).expect("the first");
    first.hold(hold, NOON).expect("there is room");
    assert_eq!(used(NOON), [600, 600]);
    let mut second = ledger.enter(&client, 1, false, NOON).expect("the second");
    let refused = second.hold(hold, NOON).expect_err("both do not fit");
    assert_eq!(
        refused.retry_after,
        Some(NOON.next_pacific_midnight().since(NOON)),
        "of two limits the longer wait"
    );
    first.sent(NOON);
    first.used(100, 0, after(30.0));
    assert_eq!(used(after(30.0)), [100, 100]);
    second.hold(hold, after(30.0)).expect("now it fits");
    second.sent(after(30.0));
    second.used(800, 0, after(80.0));
    // What was held counts from when it was held, and what is more from when it is known.
    assert_eq!(used(after(80.0)), [800, 900]);
    assert_eq!(used(after(91.0)), [200, 900]);
    assert_eq!(used(after(141.0)), [0, 900]);
    drop((first, second));
    assert_eq!(used(after(141.0)), [0, 900]);
}

#[test]
fn a_request_in_parts_counts_each_once() {
    let client = client("one", ClientSettings { requests_per_day: Some(10), ..ClientSettings::default() });
    let ledger = Arc::new(Ledger::default());
    let mut whole = ledger.enter(&client, 1, false, NOON).expect("there is room");
    whole.hold(Amounts { requests: 3, tokens: 100, cost_millionths: 10 }, NOON).expect("there is room");
    assert_eq!(ledger.view(&client, NOON).standings[0].used, 4);
    let mut parts: Vec<Charge> = (0..3).map(|number| whole.part(4 - number)).collect();
    for part in &mut parts {
        part.sent(NOON);
        part.sent(NOON);
    }
    parts[0].used(7, 1, NOON);
    drop(parts);
    let view = ledger.view(&client, NOON);
    assert_eq!((view.under_way, view.standings[0].used), (1, 4), "one part was not begun yet");
    drop(whole);
    let view = ledger.view(&client, NOON);
    assert_eq!((view.under_way, view.standings[0].used), (0, 3));
    assert_eq!(view.periods[2].1, Amounts { requests: 3, tokens: 7, cost_millionths: 1 });
}

#[test]
fn a_restart_gives_nobody_a_new_budget() {
    let settings =
        ClientSettings { requests_per_day: Some(3), tokens_in_total: Some(100), ..ClientSettings::default() };
    let client = client("one", settings);
    let before = Arc::new(Ledger::default());
    for _ in 0..2 {
        let mut charge = before.enter(&client, 1, false, NOON).expect("there is room");
        charge.sent(NOON);
        charge.used(20, 5, NOON);
    }
    let held = before.enter(&client, 1, false, NOON).expect("the third");
    let changes = before.take_changes();
    assert_eq!(changes.len(), 3, "a day, a month, and all");
    assert_eq!(before.take_changes(), []);
    drop(held);
    let restored = |times: usize, now: Timestamp| {
        let ledger = Arc::new(Ledger::default());
        for _ in 0..times {
            for change in &changes {
                let StateChange::ClientSpent { client, period, ends, spent } = change else { continue };
                ledger.restore(*client, (*period, *ends), *spent, now);
            }
        }
        ledger
    };
    let soon = restored(2, NOON);
    let _one = soon.enter(&client, 1, false, NOON).expect("what was only held is not counted");
    assert!(soon.enter(&client, 1, false, NOON).is_err());
    let tomorrow = NOON + Duration::from_secs(86_400);
    let ledger = restored(1, tomorrow);
    let mut charge = ledger.enter(&client, 3, false, tomorrow).expect("a new day");
    assert!(charge.hold(Amounts { tokens: 61, ..Amounts::default() }, tomorrow).is_err(), "the total stays");
    charge.hold(Amounts { tokens: 60, ..Amounts::default() }, tomorrow).expect("what is left");
}

#[test]
fn operators_are_told_once_a_window() {
    let client = client("one", ClientSettings { requests_per_minute: Some(5), ..ClientSettings::default() });
    let ledger = Arc::new(Ledger::default());
    let count = |now| {
        let mut charges = Vec::new();
        for _ in 0..8 {
            if let Ok(mut charge) = ledger.enter(&client, 1, false, now) {
                charge.sent(now);
                charges.push(charge);
            }
        }
        let told = ledger.take_events();
        let near = told.iter().filter(|event| matches!(event, Event::ClientNearLimit { used: 4, of: 5, .. }));
        let reached =
            told.iter().filter(|event| matches!(event, Event::ClientLimited { until: Some(_), .. }));
        let counts = (near.count(), reached.count());
        assert_eq!(told.len(), counts.0 + counts.1);
        counts
    };
    assert_eq!(count(NOON), (1, 1));
    assert_eq!(count(after(30.0)), (0, 0));
    assert_eq!(count(after(61.0)), (1, 1));
}

#[test]
fn where_many_wait_nobody_has_more_than_its_share_under_way() {
    let plain = |name: &str| client(name, ClientSettings::default());
    let (greedy, modest) = (plain("greedy"), plain("modest"));
    let ledger = Arc::new(Ledger::default());
    let enter = |client: &Arc<Client>, crowded| ledger.enter(client, 1, crowded, NOON);
    let mut running: Vec<Charge> = (0..20).map(|_| enter(&greedy, true).expect("it is alone")).collect();
    running.push(enter(&modest, true).expect("its first"));
    let refused = enter(&greedy, true).expect_err("it has more than half");
    assert_eq!(refused.retry_after, Some(SOON));
    running.extend((0..9).map(|_| enter(&modest, true).expect("it has less")));
    running.push(enter(&greedy, false).expect("nobody waits"));
    let heavy = client("heavy", ClientSettings { weight: 3, ..ClientSettings::default() });
    running.extend((0..30).map(|_| enter(&heavy, true).expect("it weighs more")));
}
