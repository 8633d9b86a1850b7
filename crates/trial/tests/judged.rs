//! The judge judged: small scenarios whose outcome is known beforehand, and records with planted faults.

use std::time::Duration;

use libra_trial::judge::judge;
use libra_trial::record::{Call, Ended, Record, Request, What};
use libra_trial::trial::{CLASSIC, Trial};
use libra_trial::{Scenario, Verdict};

/// 1 December 2026, midnight in California.
const START: u64 = 1_796_112_000_000;

/// A scenario of one client, without a queue in the gateway.
fn scenario(minutes: &str, pool: &str, load: &str) -> Scenario {
    let text = format!(
        "name = \"small\"\nminutes = [\"{minutes}\"]\nsettings = {{ LIBRA_QUEUE_WAIT = \"0\" }}\n{pool}\n\
         [[clients]]\nname = \"one\"\nmodel = \"gemini-2.5-flash\"\n{load}"
    );
    Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn run(scenario: &Scenario) -> Verdict {
    Trial { scenario, strategy: Some("round-robin"), seed: 1 }.run().expect("the run can be made")
}

#[test]
fn ten_a_minute_serve_ten_of_twenty_at_once() {
    for minutes in ["fixed", "rolling"] {
        let scenario = scenario(
            minutes,
            "duration = \"1m\"\n[[projects]]\nkeys = 2\nlimits = { requests_per_minute = 10 }",
            "rate = 20.0\narrivals = \"burst\"",
        );
        let verdict = run(&scenario);
        assert_eq!((verdict.offered, verdict.answered, verdict.limited), (20, 10, 10), "{minutes}");
        assert_eq!(verdict.best_by_day, [10.0]);
        assert_eq!((verdict.avoidable, verdict.share()), (0, 1.0), "nothing better could be done");
        assert!(verdict.wasted >= 1 && verdict.told == 10, "{verdict:?}");
    }
}

#[test]
fn refusals_are_avoidable_where_waiting_helps() {
    let burst = |start: &str| {
        run(&scenario(
            "fixed",
            &format!(
                "duration = \"1m\"\nstart = \"{start}\"\n[[projects]]\nlimits = {{ requests_per_minute = 10 }}"
            ),
            "rate = 20.0\narrivals = \"burst\"",
        ))
    };
    // With 15 s to the next minute, which nobody uses, the other ten could have waited.
    let late = burst("2026-12-01T08:00:45Z");
    assert_eq!((late.answered, late.best_by_day.as_slice()), (10, &[20.0][..]));
    assert_eq!((late.avoidable, late.avoidable_limited), (10, 10));
    // With 30 s they could not.
    let early = burst("2026-12-01T08:00:30Z");
    assert_eq!((early.answered, early.avoidable, early.best_by_day.as_slice()), (10, 0, &[10.0][..]));
}

#[test]
fn the_best_is_never_beaten_and_the_same_seed_gives_the_same_run() {
    for minutes in ["fixed", "rolling"] {
        let scenario = scenario(
            minutes,
            "duration = \"10m\"\ndisturbances = [{ condition = \"flaky:5:overloaded\" }]\n[[projects]]\ncount = 3\n\
             keys = 2\nlimits = { requests_per_minute = 5, requests_per_day = 40 }\n[[projects]]\nkeys = 3\ndead = 1\n\
             limits = { requests_per_minute = 10 }",
            "rate = 30.0\nstreams = 0.5\nturns = 3\ntokens = [300, 300]",
        );
        let mut records = Vec::new();
        for strategy in CLASSIC {
            for seed in 1..=2 {
                let trial = Trial { scenario: &scenario, strategy: Some(strategy), seed };
                let record = trial.record().expect("the run can be made");
                let verdict = judge(&scenario, &record);
                assert!(verdict.share() > 0.5 && verdict.share() <= 1.0, "{strategy} {seed}: {verdict:?}");
                assert_eq!(verdict.wrongly_set_aside, 0);
                assert_eq!(verdict.set_aside, 1, "the dead key is found");
                assert_eq!(record, trial.record().expect("the run can be made again"));
                records.push(record);
            }
        }
        assert!(records.windows(2).all(|pair| pair[0] != pair[1]), "seeds and strategies differ");
    }
}

#[test]
fn the_books_agree_with_the_simulator() {
    use libra_simulator::{Limits, Minutes};
    use libra_trial::calendar::Days;
    use libra_trial::judge::books::{Account, Entry};

    for (name, window) in [("fixed", Minutes::Fixed), ("rolling", Minutes::Rolling)] {
        let scenario = scenario(
            name,
            "duration = \"4h\"\nstart = \"2026-12-01T06:00:00Z\"\nlatency = { network_ms = 0 }\n[[projects]]\nlimits = { \
             requests_per_minute = 8, input_tokens_per_minute = 6000, requests_per_day = 300 }",
            "rate = 10.0",
        );
        // One that runs into limits.
        let trial = Trial { scenario: &scenario, strategy: Some("round-robin"), seed: 5 };
        let record = trial.record().expect("the run can be made");
        let limits = Limits {
            requests_per_minute: Some(8),
            input_tokens_per_minute: Some(6_000),
            requests_per_day: Some(300),
        };
        let days = Days::between(scenario.start, scenario.end());
        let mut entries = Vec::new();
        let mut refused = 0;
        for call in &record.calls {
            let at = call.reached.expect("every call arrives at once");
            let opens = Account::new(limits, window, entries.clone()).opens(at, call.tokens, &days);
            let opens = opens.expect("no request is too large").at;
            assert_eq!(opens == at, call.status == 200, "{name}: {call:?} opens at {opens}");
            match call.status {
                200 => entries.push(Entry { began: call.began, at, tokens: call.tokens }),
                _ => refused += 1,
            }
        }
        assert!(refused > 10 && entries.len() > 300, "{refused} of {}", record.calls.len());
    }
}

/// Requests and calls written by hand: one key is dead (number 0), one well (number 1), each in its own project.
struct Planted {
    scenario: Scenario,
    record: Record,
}

impl Planted {
    fn new() -> Self {
        let scenario = scenario(
            "fixed",
            "duration = \"1h\"\n[[projects]]\ndead = 1\n[[projects]]\nlimits = { requests_per_minute = 2 }",
            "rate = 1.0",
        );
        Self { scenario, record: Record::default() }
    }

    fn request(&mut self, at: u64, ended: u64, status: u16) -> &mut Self {
        let what = if status == 200 { What::Answer } else { What::Nothing };
        let end = Some(Ended { at: START + ended, status, retry_after: None, what });
        self.record.requests.push(Request { at: START + at, client: 0, tokens: 100, stream: false, end });
        self
    }

    fn call(&mut self, request: Option<u32>, key: u32, began: u64, ended: u64, status: u16) -> &mut Self {
        self.record.calls.push(Call {
            request,
            key,
            model: Some(0),
            tokens: 100,
            began: START + began,
            reached: Some(START + began),
            ended: Some(START + ended),
            status,
        });
        self
    }

    fn verdict(&self) -> Verdict {
        judge(&self.scenario, &self.record)
    }
}

#[test]
fn planted_waste_is_seen() {
    let mut planted = Planted::new();
    planted.request(0, 500, 200).request(1_000, 1_500, 200).request(2_000, 2_500, 429);
    planted.call(Some(0), 1, 0, 500, 200).call(Some(1), 1, 1_000, 1_500, 200);
    planted.call(Some(2), 1, 2_000, 2_500, 429);
    let verdict = planted.verdict();
    assert_eq!((verdict.calls, verdict.wasted, verdict.later_calls), (3, 1, 0));
    assert_eq!((verdict.answered, verdict.limited, verdict.untold), (2, 1, 1));
    assert_eq!((verdict.wait_most, verdict.best_by_day.as_slice()), (Duration::ZERO, &[2.0][..]));
}

#[test]
fn planted_calls_to_dead_keys_are_seen() {
    let mut planted = Planted::new();
    planted.request(0, 900, 200).request(100, 900, 200).request(800, 1_500, 503);
    // Two begin before the verdict at 200; one after it, and a probe.
    planted.call(Some(0), 0, 0, 200, 400).call(Some(1), 0, 100, 300, 400);
    planted.call(Some(0), 1, 400, 900, 200).call(Some(1), 1, 400, 900, 200);
    planted.call(Some(2), 0, 800, 1_000, 400).call(None, 0, 1_200, 1_300, 400);
    planted.record.set_aside = vec![(START + 200, 0), (START + 900, 1)];
    let verdict = planted.verdict();
    assert_eq!((verdict.dead_calls, verdict.wasted, verdict.calls, verdict.probes), (1, 1, 5, 1));
    assert_eq!((verdict.set_aside, verdict.wrongly_set_aside), (2, 1));
    // The second call on key 0 came while its first was under way and key 1 was idle; the second on key 1 came while
    // there was no other choice.
    assert_eq!(verdict.crowded, 1);
}

#[test]
fn the_truth_of_retry_after_is_measured() {
    let check = |told: Option<u64>, expected: (usize, usize, usize, i64)| {
        let mut planted = Planted::new();
        planted.request(10_000, 10_500, 200).request(11_000, 11_500, 200).request(12_300, 12_300, 429);
        planted.call(Some(0), 1, 10_000, 10_500, 200).call(Some(1), 1, 11_000, 11_500, 200);
        planted.record.requests[2].end.as_mut().expect("it has ended").retry_after = told;
        let verdict = planted.verdict();
        let seen = (verdict.told, verdict.untold, verdict.mistold, verdict.worst_told);
        assert_eq!(seen, expected, "{told:?}");
    };
    // The next minute begins in 47.7 s.
    check(Some(48), (1, 0, 0, 300));
    check(Some(47), (1, 0, 0, -700));
    check(Some(49), (1, 0, 1, 1_300));
    check(Some(10), (1, 0, 1, -37_700));
    check(None, (0, 1, 0, 0));
}

#[test]
fn recovery_from_a_fault_is_measured() {
    let mut planted = Planted::new();
    planted.scenario.disturbances = toml_disturbances(
        "[[disturbances]]\nafter_secs = 0\nfor_secs = 60\ncondition = \"reset-before-headers\"",
    );
    planted.request(10_000, 10_100, 502).request(61_000, 64_000, 200).request(64_000, 64_500, 200);
    planted.call(Some(0), 1, 10_000, 10_100, 0).call(Some(1), 1, 63_500, 64_000, 200);
    planted.call(Some(2), 1, 64_000, 64_500, 200);
    let verdict = planted.verdict();
    assert_eq!(verdict.recovery, Duration::from_secs(1));
    // What came while nothing could get through in its patience is not asked for.
    assert_eq!((verdict.best_by_day.as_slice(), verdict.failed, verdict.avoidable), (&[2.0][..], 1, 0));
}

fn toml_disturbances(text: &str) -> Vec<libra_simulator::Disturbance> {
    libra_simulator::Config::from_toml(text).expect("the disturbances are good").disturbances
}
