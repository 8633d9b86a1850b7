//! `cargo xtask soak`: the test `soak` of the server, which works for 20 seconds, for longer and with a release build.

use xtask::command::{self, cargo};

/// An hour, as the slow things show by then.
const MINUTES: u64 = 60;

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let minutes: u64 = match arguments {
        [] => MINUTES,
        [minutes] => minutes.parse().map_err(|_| "takes how many minutes to work, as a number".to_owned())?,
        _ => return Err("takes one number".to_owned()),
    };
    let mut test = cargo();
    test.args(["test", "--release", "--package", "libra", "--test", "soak", "--", "--nocapture"]);
    command::run(test.env("LIBRA_SOAK_SECONDS", (minutes * 60).max(20).to_string()))
}
