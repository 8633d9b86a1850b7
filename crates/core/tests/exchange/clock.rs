//! A local clock that is wrong, and Google's `Date`.

use std::time::Duration;

use libra_core::config::Strategy;
use libra_core::event::Event;
use libra_core::time::Timestamp;

use crate::harness::{Call, Canned, Harness, START, config};
use crate::upstream::{day, good};

const MINUTE: Duration = Duration::from_secs(60);

fn dated(answer: Canned, at: Timestamp) -> Canned {
    let time =
        jiff::Timestamp::from_second(i64::try_from(at.as_secs()).expect("in range")).expect("in range");
    answer.with("date", time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// A gateway whose clock shows `local` when Google's shows `google`, after some answers.
fn harness(local: Timestamp, google: Timestamp, strategy: Strategy) -> (Harness, Vec<Event>) {
    let mut harness = Harness::new(libra_core::config::Config { strategy, ..config(&["only"]) });
    harness.now = local - MINUTE;
    let mut events = Vec::new();
    for second in 0..6 {
        let call = Call::chat();
        let date = google - MINUTE + Duration::from_secs(second);
        events.extend(harness.send(&call, |_| dated(good(&call), date)).events);
        harness.now = harness.now + Duration::from_secs(1);
    }
    harness.now = local;
    (harness, events)
}

#[test]
fn a_wrong_clock_rests_to_the_true_midnight() {
    // Local and Google's minutes after midnight in California, and how many minutes a project rests that has used up
    // its day.
    let check = |local: u64, google: u64, expected: u64| {
        let midnight = START + Duration::from_secs(86_400);
        let at =
            |minutes: u64| midnight - 60 * MINUTE + minutes.try_into().map_or(MINUTE, |n: u32| n * MINUTE);
        for strategy in [Strategy::Headroom, Strategy::RoundRobin] {
            let (mut harness, events) = harness(at(60 + local), at(60 + google), strategy);
            let off = events.iter().any(|event| matches!(event, Event::ClockOff { .. }));
            assert_eq!(off, local != google, "{local} {google}");
            let seen = harness.send(&Call::chat(), |_| day());
            let wait: u64 = seen.header("retry-after").expect("a wait").parse().expect("seconds");
            assert_eq!((seen.status, wait.abs_diff(expected * 60) <= 3), (429, true), "{wait}");
            harness.now = harness.now + Duration::from_secs(wait) - Duration::from_secs(10);
            let seen = harness.send(&Call::chat(), |_| panic!("it rests"));
            assert_eq!(seen.status, 429);
            harness.now = harness.now + Duration::from_secs(13);
            let call = Call::chat();
            assert_eq!(harness.send(&call, |_| good(&call)).status, 200, "{strategy:?}");
        }
    };
    check(5, 5, 24 * 60 - 5);
    check(0, 10, 24 * 60 - 10);
    check(10, 0, 24 * 60);
    // Ten minutes apart, on either side of midnight.
    let day = 24 * 60;
    check(day - 5, day + 5, day - 5);
    check(day + 5, day - 5, 5);
}

#[test]
fn what_is_shown_is_googles_time() {
    let (mut harness, _) = harness(START + 10 * MINUTE, START + 20 * MINUTE, Strategy::Headroom);
    assert_eq!(harness.send(&Call::chat(), |_| day()).status, 429);
    let view = harness.gateway.view(harness.now);
    assert!((599..=601).contains(&view.clock_behind_seconds), "{}", view.clock_behind_seconds);
    let rest = view.each_project[0].models[0].rests_until.expect("a rest");
    assert_eq!(rest.at, START + Duration::from_secs(86_400), "midnight");
    assert_eq!(rest.in_seconds.map(|wait| wait / 60), Some(24 * 60 - 20));
    let explained = harness.gateway.explain("gemini-2.5-flash", 1, harness.now).expect("a model");
    assert_eq!(explained.recovers.expect("a time").at, rest.at);
}
