//! A scenario of the pool's trials with the real server: the shell wires right what the trials have shown.

use std::path::Path;
use std::time::Duration;

use libra_trial::{loopback, report};

/// How fast time runs, and how long a time passes: some refills of the minutes in a few seconds.
const RATE: u32 = 60;
const LONG: Duration = Duration::from_secs(4 * 60);

/// On a machine that does much else, a timer comes late, and late by twenty milliseconds is more than a second here.
const TOLERATED: f64 = 0.2;

#[test]
fn the_server_does_over_loopback_what_the_pool_does_in_virtual_time() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/overload-150.toml");
    let scenario = report::read(&file).expect("a scenario of ours is good");
    let libra = Path::new(env!("CARGO_BIN_EXE_libra"));
    let [really, virtually] = loopback::compare(&scenario, libra, RATE, LONG).expect("it runs");
    assert!(really.offered > 300, "{really:?}");
    // Two thirds can be answered: much less, and the server does not know when there is room; more, and time does not run.
    assert!((really.share() - virtually.share()).abs() <= TOLERATED, "{really:?} {virtually:?}");
    assert!(really.waste() <= virtually.waste() + TOLERATED, "{really:?} {virtually:?}");
}
