//! What the default strategy must reach where it is told which keys share a project, over five seeds.

use libra_trial::scenario::Scenario;
use libra_trial::trial::{Trial, run_all};

/// The scenario of this file, with fixed and with rolling minutes.
fn scenarios(file: &str) -> Vec<Scenario> {
    let path = format!("{}/../../scenarios/{file}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the scenario is there");
    Scenario::from_toml(&text).expect("the scenario can be read").variants()
}

#[test]
fn under_overload_capacity_is_used_and_shared_and_nothing_wasted() {
    for scenario in scenarios("overload-150-named") {
        let trials: Vec<Trial<'_>> =
            (1..=5).map(|seed| Trial { scenario: &scenario, strategy: Some("headroom"), seed }).collect();
        for (seed, verdict) in run_all(&trials).expect("the runs can be made").iter().enumerate() {
            let about = format!("{} seed {}", scenario.title(), seed + 1);
            assert!(verdict.share() >= 0.98, "{about}: {:.2} % of the best", verdict.share() * 100.0);
            assert!(verdict.waste() <= 0.02, "{about}: {:.2} % wasted", verdict.waste() * 100.0);
            assert!(
                verdict.unfairness <= 0.10,
                "{about}: clients' shares differ by {:.1} %",
                verdict.unfairness * 100.0
            );
            assert_eq!(verdict.wrongly_set_aside, 0, "{about}");
        }
    }
}
