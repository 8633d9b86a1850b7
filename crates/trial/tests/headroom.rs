//! What the default strategy must reach, over five seeds: what the report on the pool asks for over many.

use libra_trial::Verdict;
use libra_trial::scenario::Scenario;
use libra_trial::trial::{Trial, run_all};

/// The verdicts on the scenario of this file, with fixed and with rolling minutes, each with what it is about.
fn verdicts(file: &str) -> Vec<(String, Verdict)> {
    let path = format!("{}/../../scenarios/{file}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the scenario is there");
    let scenario = Scenario::from_toml(&text).expect("the scenario can be read");
    let mut all = Vec::new();
    for scenario in scenario.variants() {
        let trials: Vec<Trial<'_>> =
            (1..=5).map(|seed| Trial { scenario: &scenario, strategy: Some("headroom"), seed }).collect();
        let verdicts = run_all(&trials).expect("the runs can be made");
        let about = |seed: usize| format!("{} seed {}", scenario.title(), seed + 1);
        all.extend(verdicts.into_iter().enumerate().map(|(seed, verdict)| (about(seed), verdict)));
    }
    all
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

#[test]
fn under_overload_capacity_is_used_and_shared_and_times_told_are_true() {
    for (about, verdict) in verdicts("overload-150-named") {
        assert!(verdict.share() >= 0.99, "{about}: {} of the best", percent(verdict.share()));
        assert!(verdict.waste() <= 0.02, "{about}: {} wasted", percent(verdict.waste()));
        assert!(verdict.unfairness <= 0.05, "{about}: shares differ by {}", percent(verdict.unfairness));
        assert!(verdict.told > 1_000 && verdict.untold == 0, "{about}: {} untold", verdict.untold);
        assert!(verdict.worst_told.unsigned_abs() <= 1_000, "{about}: told {} ms wrong", verdict.worst_told);
        assert_eq!(verdict.wrongly_set_aside, 0, "{about}");
    }
}

#[test]
fn who_shares_a_project_is_learned_within_the_first_hour() {
    for (about, verdict) in verdicts("overload-150") {
        assert!(verdict.share() >= 0.99, "{about}: {} of the best", percent(verdict.share()));
        assert!(verdict.later_waste() <= 0.02, "{about}: {} wasted", percent(verdict.later_waste()));
        // What is shared out before it is learned is shared out unevenly.
        assert!(verdict.unfairness <= 0.10, "{about}: shares differ by {}", percent(verdict.unfairness));
    }
}

#[test]
fn after_a_fault_of_the_network_all_is_as_before_within_seconds() {
    for (about, verdict) in verdicts("egress-fault") {
        assert!(verdict.recovery.as_secs_f64() <= 5.0, "{about}: after {:?}", verdict.recovery);
        assert_eq!(verdict.set_aside, 0, "{about}");
    }
}

#[test]
fn on_a_bad_day_all_is_answered_that_can_be() {
    for (about, verdict) in verdicts("chaos") {
        let seen = [verdict.avoidable, verdict.wrongly_set_aside, verdict.dead_calls, verdict.crowded];
        assert_eq!(seen, [0; 4], "{about}");
    }
}
