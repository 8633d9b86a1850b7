//! `cargo xtask kill-test`: the test `kills` of the server, which kills 20 times, for longer.

use xtask::command::{self, cargo};

const KILLS: u32 = 200;

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let kills = match arguments {
        [] => KILLS,
        [times] => times.parse().map_err(|_| "takes how often to kill, as a number".to_owned())?,
        _ => return Err("takes one number".to_owned()),
    };
    let mut test = cargo();
    test.args(["test", "--package", "libra", "--test", "kills", "--", "--nocapture"]);
    command::run(test.env("LIBRA_KILLS", kills.to_string()))
}
